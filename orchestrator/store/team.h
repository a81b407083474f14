/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Teams, and the owners in them: who answers for certificates.  The field tables are the bodies of the API, too.
 */
#ifndef ORCHESTRATOR_STORE_TEAM_H
#define ORCHESTRATOR_STORE_TEAM_H

#include "orchestrator/store/audit.h"

typedef struct {
    const char *id, *name, *description;
} team_row_t;

typedef struct {
    const char *id, *name;
    const char *email, *team_id; /* NULL: none */
} owner_row_t;

extern const field_t team_fields[], owner_fields[];

pki_code_t team_find(db_t *db, pki_arena_t *a, const char *id, team_row_t *out, pki_err_t *err);
pki_code_t owner_find(db_t *db, pki_arena_t *a, const char *id, owner_row_t *out, pki_err_t *err);

/* CONFLICT when id or name is taken; PRECONDITION when version (NULL: any) is not the row's. */
pki_code_t team_insert(db_t *db, const team_row_t *in, const audit_t *audit, pki_err_t *err);
pki_code_t team_update(db_t *db, const team_row_t *in, const char *version, const audit_t *audit, pki_err_t *err);

/* And INVALID when there is no such team. */
pki_code_t owner_insert(db_t *db, const owner_row_t *in, const audit_t *audit, pki_err_t *err);
pki_code_t owner_update(db_t *db, const owner_row_t *in, const char *version, const audit_t *audit, pki_err_t *err);

/* CONFLICT, with how many, while owners, certificates, EST labels or grants refer to it. */
pki_code_t team_delete(db_t *db, const char *id, const char *version, const audit_t *audit, pki_err_t *err);
pki_code_t owner_delete(db_t *db, const char *id, const char *version, const audit_t *audit, pki_err_t *err);

#endif
