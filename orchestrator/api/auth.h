/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Who calls, and may they?  An API key, a session's cookie or a client certificate, by the SHA-256 of what was presented.
 */
#ifndef ORCHESTRATOR_API_AUTH_H
#define ORCHESTRATOR_API_AUTH_H

#include "orchestrator/api/request.h"

#define API_KEY_PREFIX "chk_" /* of the key's text, so that scanners for leaked secrets know it */
#define SESSION_COOKIE "__Host-chancery_session" /* RFC 6265bis 4.1.3.2: secure, of this host alone, for every path */

/* Fill r->identity from what the request presents, the header before the cookie before the certificate. */
pki_code_t auth_identify(req_t *r, pki_err_t *err); /* UNAUTHENTICATED, UNAVAILABLE; FORBIDDEN: may be forged */

/* Whether who presents it is in memory, so that nothing has to be asked; auth_identify() then takes it from there. */
bool auth_recalled(req_t *r);

/* Whether the permission is among those of the grant, which may have ended. */
bool grant_gives(const grant_t *grant, const char *permission);

/* What a permission of theirs is good for, in the arena; false: they do not have it. */
bool identity_may(pki_arena_t *a, const identity_t *who, const char *permission, scope_t *out);

/* FORBIDDEN unless the identity may use the route; r->scope says how far.  NOT_FOUND for a row outside of that. */
pki_code_t auth_permit(req_t *r, pki_err_t *err);

/* Whether the caller of a request that goes on may still call it.  Only a clear no is one: the database may be away. */
bool auth_holds(const req_t *r);

/* For REACH_BODY: what a thing that the body names belongs to has to be inside of the caller's scope.  FORBIDDEN. */
pki_code_t reach_check(req_t *r, const scope_of_t *of, pki_err_t *err);

/* A new key: its text (secret) and digest. */
#define API_KEY_TEXT_MAX 64
pki_code_t api_key_generate(char text[API_KEY_TEXT_MAX], uint8_t digest[32], pki_err_t *err);

/* A new session's cookie: 256 random bits, and its digest; and what X-CSRF-Token has to say beside a cookie. */
#define SESSION_TOKEN_LEN 64
pki_code_t session_generate(char text[SESSION_TOKEN_LEN + 1], uint8_t digest[32], pki_err_t *err);
pki_code_t session_csrf(const char *cookie, char out[SESSION_TOKEN_LEN + 1], pki_err_t *err);

#endif
