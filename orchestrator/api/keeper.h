/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What the API has to do beside its requests, on a thread of its own: bring the built-in roles into the database, write
 * down which permissions are used, forget sessions that are over.
 */
#ifndef ORCHESTRATOR_API_KEEPER_H
#define ORCHESTRATOR_API_KEEPER_H

#include "orchestrator/api/api.h"

typedef struct keeper keeper_t;

/* The roles are tried once before this returns: callers of the first moment find them. */
pki_code_t keeper_open(api_t *api, keeper_t **out, pki_err_t *err);
void       keeper_close(keeper_t *c); /* writes what waits; accepts NULL */

/* Somebody used a permission (a string that stays).  Does not wait; written once an hour. */
void permission_used(keeper_t *c, const char *actor, const char *permission);

#endif
