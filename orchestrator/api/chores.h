/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What the API does of its own accord, in a thread: the issuers of the seed file once at start, and every ten minutes
 * what is older than a day is forgotten.
 */
#ifndef ORCHESTRATOR_API_CHORES_H
#define ORCHESTRATOR_API_CHORES_H

#include "orchestrator/api/api.h"

typedef struct chores chores_t;

pki_code_t chores_open(const api_parts_t *parts, chores_t **out, pki_err_t *err);
void       chores_close(chores_t *c); /* accepts NULL */

/*
 * seed.c: make the issuers of the file (JSON text: a list of bodies of POST /api/v1/issuers, each with its id) that are
 * not there; *made counts them.  Those before a wrong one are made.
 */
pki_code_t seed_apply(const api_parts_t *parts, pki_arena_t *a, bytes_t text, size_t *made, pki_err_t *err);

#endif
