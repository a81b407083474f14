/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Who calls, and may they?  API keys by the SHA-256 of what the caller presents.
 */
#ifndef ORCHESTRATOR_API_AUTH_H
#define ORCHESTRATOR_API_AUTH_H

#include "orchestrator/api/request.h"

#define API_KEY_PREFIX "chk_" /* of the key's text, so that scanners for leaked secrets know it */

/*
 * Keys that were good a moment ago, by digest.  An entry is trusted for less than a second, so that a key
 * revoked on another host stops within that; one revoked here is forgotten at once.
 */
typedef struct key_cache key_cache_t;
key_cache_t *key_cache_new(void);
void         key_cache_free(key_cache_t *c);
void         key_cache_forget(key_cache_t *c, const char *key_id);

/* Fill r->identity from the Authorization header: UNAUTHENTICATED, UNAVAILABLE. */
pki_code_t auth_identify(req_t *r, pki_err_t *err);

/* What a permission of theirs is good for, in the arena; false: they do not have it. */
bool identity_may(pki_arena_t *a, const identity_t *who, const char *permission, scope_t *out);

/* FORBIDDEN unless the identity may use the route; r->scope says how far.  NOT_FOUND for a row outside of that. */
pki_code_t auth_permit(req_t *r, pki_err_t *err);

/* For REACH_BODY: what a thing that the body names belongs to has to be inside of the caller's scope.  FORBIDDEN. */
pki_code_t reach_check(req_t *r, const scope_of_t *of, pki_err_t *err);

/* A new key: its text (secret) and digest. */
#define API_KEY_TEXT_MAX 64
pki_code_t api_key_generate(char text[API_KEY_TEXT_MAX], uint8_t digest[32], pki_err_t *err);

#endif
