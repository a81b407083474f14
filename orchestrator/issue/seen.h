/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Transaction keys that may have been used inside the retry window: of one that was not, the database need not be asked.
 * Knows never too few once it is complete; too many at times, which costs the question.
 */
#ifndef ORCHESTRATOR_ISSUE_SEEN_H
#define ORCHESTRATOR_ISSUE_SEEN_H

#include "orchestrator/store/db.h"

typedef struct seen seen_t;

pki_code_t seen_open(int64_t window_s, seen_t **out, pki_err_t *err);
void       seen_close(seen_t *s);

/* A key (32 octets of SHA-256) that is being used, or was; now: seconds. */
void seen_add(seen_t *s, bytes_t key, int64_t now);

/* Keys may have been used that were not added: until the next seen_load() all may have been. */
void seen_doubt(seen_t *s);

/* Adds what the database has, unless nothing is in doubt: those that are used from now on have to be added as well. */
pki_code_t seen_load(seen_t *s, db_t *db, pki_err_t *err);

/* False: it was not used. */
bool seen_maybe(seen_t *s, bytes_t key, int64_t now);

#endif
