/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Roles: permissions under a name.
 */
#ifndef ORCHESTRATOR_STORE_ROLE_H
#define ORCHESTRATOR_STORE_ROLE_H

#include "orchestrator/store/audit.h"

typedef struct {
    const char *id, *name, *description;
    bool        built_in;
    str_list_t  permissions;
} role_row_t;

extern const field_t role_fields[];

pki_code_t role_find(db_t *db, pki_arena_t *a, const char *id, role_row_t *out, pki_err_t *err);

/* The built-in ones, as this program knows them. */
pki_code_t role_sync(db_t *db, const role_row_t *roles, size_t count, pki_err_t *err);

/* CONFLICT: id or name is taken. */
pki_code_t role_insert(db_t *db, const role_row_t *in, const audit_t *audit, pki_err_t *err);

/* Not of built-in ones: NOT_FOUND.  PRECONDITION when version (NULL: any) is not the row's. */
pki_code_t role_update(db_t *db, const role_row_t *in, const char *version, const audit_t *audit, pki_err_t *err);

/* Add these to it, or take them from it. */
pki_code_t role_permissions_change(db_t *db, const char *id, const str_list_t *permissions, bool add, const char *version,
                                   const audit_t *audit, pki_err_t *err);

/* CONFLICT: somebody has it. */
pki_code_t role_delete(db_t *db, const char *id, const audit_t *audit, pki_err_t *err);

#endif
