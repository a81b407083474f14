/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Local accounts of people, and managed certificates whose holders may call the API.
 */
#ifndef ORCHESTRATOR_STORE_ACCOUNT_H
#define ORCHESTRATOR_STORE_ACCOUNT_H

#include "core/password.h"
#include "orchestrator/store/audit.h"

typedef struct {
    const char *id, *name, *email; /* name: to log in with; email may be NULL */
    str_list_t  allowed_names;     /* patterns; empty: any */
    password_t  password;          /* for an update without a digest it stays */
    bool        disabled;
} account_row_t;

pki_code_t account_find(db_t *db, pki_arena_t *a, const char *id, account_row_t *out, pki_err_t *err);

/* After so many failures a lock of lock_s; they are forgotten after forget_s. */
typedef struct {
    int64_t failures, lock_s, forget_s;
} account_limits_t;

/*
 * An attempt to log in counts as a failure until account_cleared(): many at once are not more than the limit.
 * NOT_FOUND: there is no such account, or it is disabled or locked.
 */
pki_code_t account_attempt(db_t *db, pki_arena_t *a, const char *name, const account_limits_t *limits, account_row_t *out,
                           pki_err_t *err);
pki_code_t account_cleared(db_t *db, const char *id, pki_err_t *err);
pki_code_t account_unlock(db_t *db, const char *id, const audit_t *audit, pki_err_t *err);

/* With global grants of these roles.  CONFLICT: id or name is taken. */
pki_code_t account_insert(db_t *db, const account_row_t *in, const str_list_t *roles, const audit_t *audit, pki_err_t *err);

/* Its sessions end when it is disabled or gets another password.  PRECONDITION as elsewhere. */
pki_code_t account_update(db_t *db, const account_row_t *in, const char *version, const audit_t *audit, pki_err_t *err);

/* With its grants and sessions. */
pki_code_t account_delete(db_t *db, const char *id, const audit_t *audit, pki_err_t *err);

/* INVALID: there is no such managed certificate; CONFLICT: it is registered. */
pki_code_t certificate_identity_insert(db_t *db, const char *managed_id, const str_list_t *allowed_names,
                                       const str_list_t *roles, const audit_t *audit, pki_err_t *err);
pki_code_t certificate_identity_delete(db_t *db, const char *managed_id, const audit_t *audit, pki_err_t *err);

#endif
