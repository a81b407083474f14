/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rows of teams and owners.
 */
#include "orchestrator/store/team.h"

#include "orchestrator/store/verb.h"

/* clang-format off */
const field_t team_fields[] = {
    FIELD_STR(team_row_t, id, 0, NULL, "identifier, team-...; made from the name when absent"),
    FIELD_STR(team_row_t, name, F_REQUIRED, NULL, "unique name"),
    FIELD_STR(team_row_t, description, 0, "", "what it is"),
    FIELD_END,
};

const field_t owner_fields[] = {
    FIELD_STR(owner_row_t, id, 0, NULL, "identifier, owner-...; made from the name when absent"),
    FIELD_STR(owner_row_t, name, F_REQUIRED, NULL, "unique name"),
    FIELD_STR(owner_row_t, email, 0, NULL, "mail address, to be told of what happens to their certificates"),
    FIELD_STR(owner_row_t, team_id, 0, NULL, "team that the owner is in"),
    FIELD_END,
};
/* clang-format on */

static pki_code_t
team_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    return db_row(r, row, a, team_fields, out, err);
}

pki_code_t
team_find(db_t *db, pki_arena_t *a, const char *id, team_row_t *out, pki_err_t *err)
{
    return verb_find(db, a, Q_team_find, DB_PARAMS(DB_T(id)), team_read, out, "team", id, err);
}

static pki_code_t
team_write(db_t *db, db_query_t q, const team_row_t *t, const char *version, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(t->id), DB_T(t->name), DB_T(t->description) };
    const verb_change_t v = {
        .q = q, .params = params, .count = 3, .what = "team", .id = t->id, .none = PKI_E_NOT_FOUND,
        .table = "team", .version = version, .audit = audit,
    };

    return verb_change(db, &v, err);
}

pki_code_t
team_insert(db_t *db, const team_row_t *in, const audit_t *audit, pki_err_t *err)
{
    return team_write(db, Q_team_insert, in, NULL, audit, err);
}

pki_code_t
team_update(db_t *db, const team_row_t *in, const char *version, const audit_t *audit, pki_err_t *err)
{
    return team_write(db, Q_team_update, in, version, audit, err);
}

pki_code_t
team_delete(db_t *db, const char *id, const char *version, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(id) };
    const verb_change_t v = {
        .q = Q_team_delete, .params = params, .count = 1, .what = "team", .id = id, .none = PKI_E_NOT_FOUND,
        .foreign = PKI_E_CONFLICT, .table = "team", .version = version, .audit = audit,
    };

    return verb_remove(db, &v, Q_team_uses, err);
}

static pki_code_t
owner_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    return db_row(r, row, a, owner_fields, out, err);
}

pki_code_t
owner_find(db_t *db, pki_arena_t *a, const char *id, owner_row_t *out, pki_err_t *err)
{
    return verb_find(db, a, Q_owner_find, DB_PARAMS(DB_T(id)), owner_read, out, "owner", id, err);
}

static pki_code_t
owner_write(db_t *db, db_query_t q, const owner_row_t *o, const char *version, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(o->id), DB_T(o->name), DB_T(o->email), DB_T(o->team_id) };
    const verb_change_t v = {
        .q = q, .params = params, .count = 4, .what = "owner", .id = o->id, .none = PKI_E_NOT_FOUND,
        .foreign = PKI_E_INVALID, .table = "owner", .version = version, .audit = audit,
    };

    return verb_change(db, &v, err);
}

pki_code_t
owner_insert(db_t *db, const owner_row_t *in, const audit_t *audit, pki_err_t *err)
{
    return owner_write(db, Q_owner_insert, in, NULL, audit, err);
}

pki_code_t
owner_update(db_t *db, const owner_row_t *in, const char *version, const audit_t *audit, pki_err_t *err)
{
    return owner_write(db, Q_owner_update, in, version, audit, err);
}

pki_code_t
owner_delete(db_t *db, const char *id, const char *version, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(id) };
    const verb_change_t v = {
        .q = Q_owner_delete, .params = params, .count = 1, .what = "owner", .id = id, .none = PKI_E_NOT_FOUND,
        .foreign = PKI_E_CONFLICT, .table = "owner", .version = version, .audit = audit,
    };

    return verb_remove(db, &v, Q_owner_uses, err);
}
