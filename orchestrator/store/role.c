/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rows of roles.
 */
#include "orchestrator/store/role.h"

#include "orchestrator/store/verb.h"

/* clang-format off */
const field_t role_fields[] = {
    FIELD_STR(role_row_t, id, 0, NULL, "identifier, role-...; made from the name when absent"),
    FIELD_STR(role_row_t, name, F_REQUIRED, NULL, "unique name"),
    FIELD_STR(role_row_t, description, 0, "", "what it is for"),
    FIELD_BOOL(role_row_t, built_in, F_READONLY, "false", "whether it is one of ours, which nobody changes"),
    FIELD_STRS(role_row_t, permissions, F_REQUIRED, NULL, "what it allows; \"*\" is everything"),
    FIELD_END,
};
/* clang-format on */

static pki_code_t
role_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    return db_row(r, row, a, role_fields, out, err);
}

pki_code_t
role_find(db_t *db, pki_arena_t *a, const char *id, role_row_t *out, pki_err_t *err)
{
    return verb_find(db, a, Q_role_list, DB_PARAMS(DB_T(id)), role_read, out, "role", id, err);
}

typedef struct {
    const role_row_t *roles;
    size_t            count;
} sync_t;

static pki_code_t
sync_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    const sync_t *s = arg;

    for (size_t i = 0; i < s->count; i++) {
        const role_row_t *role = &s->roles[i];

        PKI_TRY(db_query(c, NULL, Q_role_sync,
                         DB_PARAMS(DB_T(role->id), DB_T(role->name), DB_T(role->description), DB_TS(&role->permissions)),
                         NULL, err));
    }
    return PKI_OK;
}

pki_code_t
role_sync(db_t *db, const role_row_t *roles, size_t count, pki_err_t *err)
{
    sync_t s = { roles, count };

    return db_tx(db, sync_run, &s, err);
}

/* Insert and update have the same parameters. */
static pki_code_t
role_write(db_t *db, db_query_t q, const role_row_t *in, const char *version, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(in->id), DB_T(in->name), DB_T(in->description), DB_TS(&in->permissions) };
    const verb_change_t v = {
        .q = q, .params = params, .count = 4, .what = "role", .id = in->id, .none = PKI_E_NOT_FOUND,
        .table = "role", .version = version, .audit = audit,
    };

    return verb_change(db, &v, err);
}

pki_code_t
role_insert(db_t *db, const role_row_t *in, const audit_t *audit, pki_err_t *err)
{
    return role_write(db, Q_role_insert, in, NULL, audit, err);
}

pki_code_t
role_update(db_t *db, const role_row_t *in, const char *version, const audit_t *audit, pki_err_t *err)
{
    return role_write(db, Q_role_update, in, version, audit, err);
}

pki_code_t
role_permissions_change(db_t *db, const char *id, const str_list_t *permissions, bool add, const char *version,
                        const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(id), DB_TS(permissions) };
    const verb_change_t v = {
        .q = add ? Q_role_permissions_add : Q_role_permissions_take, .params = params, .count = 2, .what = "role", .id = id,
        .none = PKI_E_NOT_FOUND, .table = "role", .version = version, .audit = audit,
    };

    return verb_change(db, &v, err);
}

pki_code_t
role_delete(db_t *db, const char *id, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(id) };
    const verb_change_t v = {
        .q = Q_role_delete, .params = params, .count = 1, .what = "role", .id = id, .none = PKI_E_NOT_FOUND,
        .foreign = PKI_E_CONFLICT, .audit = audit,
    };

    return verb_change(db, &v, err);
}
