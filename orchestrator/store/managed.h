/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What operators do to a managed certificate: say whose it is, put it away.  What it certifies is not theirs to change.
 */
#ifndef ORCHESTRATOR_STORE_MANAGED_H
#define ORCHESTRATOR_STORE_MANAGED_H

#include "orchestrator/store/audit.h"
#include "orchestrator/store/scope.h"

/* Everything that can be changed; NULL: none. */
typedef struct {
    const char *id, *name;
    const char *owner_id, *team_id, *environment, *renewal_policy_id;
    const char *tags;       /* JSON, an object of strings */
    const char *violations; /* that were let through, as violation_t has them */
} managed_change_t;

/* CONFLICT when the name is another's; PRECONDITION when version (NULL: any) is not the row's. */
pki_code_t managed_update(db_t *db, const managed_change_t *in, const char *version, const audit_t *audit,
                          pki_err_t *err);

/* Put away: out of the lists of what lives, never out of CRLs and OCSP.  CONFLICT when it is already. */
pki_code_t managed_archive(db_t *db, const char *id, const char *version, const audit_t *audit, pki_err_t *err);

/* Another owner, and by choice team, for many in one statement. */
typedef struct {
    const char       *owner_id, *team_id;     /* NULL team_id: it stays */
    const str_list_t *ids;                    /* NULL: those that fit the filter */
    const char       *profile_id, *issuer_id, *from_owner_id, *from_team_id, *environment; /* NULL: any */
    const scope_t    *scope;                  /* what is outside of it is not there */
} reassign_t;
typedef struct {
    int64_t    matched, reassigned, skipped; /* skipped: it was so already */
    str_list_t missing;                      /* of the ids */
} reassigned_t;
pki_code_t managed_reassign(db_t *db, pki_arena_t *a, const reassign_t *in, const audit_t *audit, reassigned_t *out,
                            pki_err_t *err);

#endif
