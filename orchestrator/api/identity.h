/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Identities that were good a moment ago, with their rights, by the SHA-256 of what they showed.  One is trusted for less
 * than a second, so that a right taken away on another host is gone within that; one taken away here is gone at once.
 */
#ifndef ORCHESTRATOR_API_IDENTITY_H
#define ORCHESTRATOR_API_IDENTITY_H

#include "orchestrator/api/request.h"

typedef struct identity_cache identity_cache_t;
identity_cache_t *identity_cache_new(void);
void              identity_cache_free(identity_cache_t *c);

/* Whatever was or is being read about them; actor NULL: about everybody. */
void identity_forget(identity_cache_t *c, const char *actor);

/* One that is known, shared by the requests of it.  Immutable once it was kept. */
typedef struct known {
    pki_arena_t *a;
    identity_t   who;
    uint8_t      digest[32];
    int64_t      expires_at; /* of what was shown; 0: never */
} known_t;

/* The caller's until it is released.  NULL: there is none that is to be trusted, or no memory. */
known_t *identity_recall(identity_cache_t *c, const uint8_t digest[32]);
known_t *identity_new(const uint8_t digest[32]);
void     identity_release(known_t *k); /* accepts NULL */

/*
 * Keep one that was read since identity_epoch() said so: not when somebody was told to be forgotten meanwhile.  The
 * caller goes on holding it.
 */
uint64_t identity_epoch(identity_cache_t *c);
void     identity_keep(identity_cache_t *c, known_t *k, uint64_t epoch);

#endif
