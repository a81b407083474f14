/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Sessions of browsers, known by the SHA-256 of their cookie.  Whose session something is, store/actor.h says.
 */
#ifndef ORCHESTRATOR_STORE_SESSION_H
#define ORCHESTRATOR_STORE_SESSION_H

#include "orchestrator/store/audit.h"

typedef struct {
    const char *id;
    bytes_t     digest; /* 32 octets */
    const char *actor_id, *source, *user_agent;
    int64_t     lifetime_s;
} session_row_t;

pki_code_t session_insert(db_t *db, const session_row_t *in, const audit_t *audit, pki_err_t *err);

/* Note that it was used; written once a minute at most. */
pki_code_t session_touch(db_t *db, const char *id, pki_err_t *err);

/* actor_id NULL: of anybody.  NOT_FOUND. */
pki_code_t session_revoke(db_t *db, const char *id, const char *actor_id, const audit_t *audit, pki_err_t *err);

/* All of an actor but one (NULL: all). */
pki_code_t session_revoke_all(db_t *db, const char *actor_id, const char *but, const audit_t *audit, pki_err_t *err);

/* The same inside of a transaction. */
pki_code_t sessions_end(db_conn_t *c, const char *actor_id, const char *but, pki_err_t *err);

/* Forget those that are over; idle_s: also those that were not used for so long. */
pki_code_t session_prune(db_t *db, int64_t idle_s, pki_err_t *err);

#endif
