/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rows of actors, of their grants, and of what they use.
 */
#include "orchestrator/store/actor.h"

#include "orchestrator/store/verb.h"

static pki_code_t
actor_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    actor_row_t *actor = out;

    *actor = (actor_row_t){
        .id = db_text(r, row, "id"),
        .type = db_text(r, row, "type"),
        .name = db_text(r, row, "name"),
        .live = db_bool(r, row, "live"),
        .session_id = db_text(r, row, "session_id"),
        .digest = db_bytes(r, row, "digest"),
        .expires_at = db_time(r, row, "expires_at"),
        .used_at = db_time(r, row, "used_at"),
        .ends_at = db_time(r, row, "ends_at"),
    };
    PKI_TRY(db_texts(r, row, "permissions", a, &actor->permissions, err));
    return db_texts(r, row, "allowed_names", a, &actor->allowed_names, err);
}

pki_code_t
actor_of_key(db_t *db, pki_arena_t *a, bytes_t digest, actor_row_t *out, pki_err_t *err)
{
    return verb_find(db, a, Q_actor_of_key, DB_PARAMS(DB_B(digest)), actor_read, out, "live API key", "like that", err);
}

pki_code_t
actor_of_session(db_t *db, pki_arena_t *a, bytes_t digest, int64_t idle_s, actor_row_t *out, pki_err_t *err)
{
    return verb_find(db, a, Q_actor_of_session, DB_PARAMS(DB_B(digest), DB_I(idle_s)), actor_read, out, "live session",
                     "like that", err);
}

pki_code_t
actor_of_certificate(db_t *db, pki_arena_t *a, bytes_t serial, bytes_t fingerprint, actor_row_t *out, pki_err_t *err)
{
    return verb_find(db, a, Q_actor_of_certificate, DB_PARAMS(DB_B(serial), DB_B(fingerprint)), actor_read, out,
                     "registered certificate", "like that", err);
}

pki_code_t
actor_find(db_t *db, pki_arena_t *a, const char *id, const char *type, actor_row_t *out, pki_err_t *err)
{
    return verb_find(db, a, Q_actor_find, DB_PARAMS(DB_T(id), DB_T(type)), actor_read, out, "identity", id, err);
}

/* ---- grants ---- */

static scope_kind_t
scope_kind(const char *type)
{
    scope_kind_t kind = 0;

    while (kind < SCOPE_KINDS && strcmp(scope_names[kind], type) != 0) {
        kind++;
    }
    return kind;
}

pki_code_t
grant_list(db_t *db, pki_arena_t *a, const char *actor_id, grant_t **out, size_t *count, pki_err_t *err)
{
    db_rows_t *rows;
    grant_t   *list;

    PKI_TRY(verb_read(db, a, Q_grant_list, DB_PARAMS(DB_T(actor_id)), &rows, err));
    *count = db_row_count(rows);
    PKI_TRY(PKI_NEW_N(a, *count + 1, &list, err));
    for (size_t i = 0; i < *count; i++) {
        grant_t *g = &list[i + 1];

        *g = (grant_t){ .role_id = db_text(rows, i, "role_id"),
                        .role_name = db_text(rows, i, "role_name"),
                        .scope = scope_kind(db_text(rows, i, "scope_type")),
                        .scope_id = db_text(rows, i, "scope_id"),
                        .expires_at = db_time(rows, i, "expires_at") };
        PKI_TRY(db_texts(rows, i, "permissions", a, &g->permissions, err));
    }
    *out = list + 1;
    return PKI_OK;
}

pki_code_t
grant_scope_there(db_t *db, pki_arena_t *a, const char *scope_type, const char *scope_id, bool *there, pki_err_t *err)
{
    db_rows_t *rows;

    PKI_TRY(verb_read(db, a, Q_grant_scope_there, DB_PARAMS(DB_T(scope_type), DB_T(scope_id)), &rows, err));
    *there = db_bool(rows, 0, "there");
    return PKI_OK;
}

static pki_code_t
grant_write(db_conn_t *c, const grant_row_t *in, const char *granted_by, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(in->actor_id), DB_T(in->role_id), DB_T(in->scope_type), DB_T(in->scope_id),
                                     DB_T(granted_by), DB_TM(in->expires_at) };
    const verb_change_t v = {
        .q = Q_grant_insert, .params = params, .count = 6, .what = "identity", .id = in->actor_id,
        .none = PKI_E_NOT_FOUND, .foreign = PKI_E_INVALID,
    };

    return verb_apply(c, &v, err);
}

pki_code_t
grants_write(db_conn_t *c, const char *actor_id, const str_list_t *roles, const char *granted_by, pki_err_t *err)
{
    for (size_t i = 0; i < roles->count; i++) {
        const grant_row_t one = { actor_id, roles->v[i], "global", "", 0 };

        PKI_TRY(grant_write(c, &one, granted_by, err));
    }
    return PKI_OK;
}

typedef struct {
    const grant_row_t *row;
    const char        *granted_by;
    const audit_t     *audit;
} grant_change_t;

static pki_code_t
insert_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    const grant_change_t *change = arg;

    PKI_TRY(grant_write(c, change->row, change->granted_by, err));
    return audit_write(c, change->audit, err);
}

pki_code_t
grant_insert(db_t *db, const grant_row_t *in, const char *granted_by, const audit_t *audit, pki_err_t *err)
{
    grant_change_t change = { in, granted_by, audit };

    return db_tx(db, insert_run, &change, err);
}

/* Which one is meant must be clear. */
static pki_code_t
one_check(db_conn_t *c, const grant_row_t *row, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    db_rows_t   *rows;
    int64_t      n = 0;
    pki_code_t   code;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = db_query(c, a, Q_grant_count, DB_PARAMS(DB_T(row->actor_id), DB_T(row->role_id)), &rows, err);
    if (code == PKI_OK) {
        n = db_int(rows, 0, "n");
    }
    pki_arena_free(a);
    if (code == PKI_OK && n > 1) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "%s has the role %s for several scopes: name scope_type and scope_id",
                        row->actor_id, row->role_id);
    }
    return code;
}

static pki_code_t
delete_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    const grant_change_t *change = arg;
    const grant_row_t    *row = change->row;
    const db_param_t      params[] = { DB_T(row->actor_id), DB_T(row->role_id), DB_T(row->scope_type), DB_T(row->scope_id) };
    const verb_change_t   v = {
          .q = Q_grant_delete, .params = params, .count = 4, .what = "such grant of", .id = row->role_id,
          .none = PKI_E_NOT_FOUND,
    };

    if (row->scope_type == NULL) {
        PKI_TRY(one_check(c, row, err));
    }
    PKI_TRY(verb_apply(c, &v, err));
    return audit_write(c, change->audit, err);
}

pki_code_t
grant_delete(db_t *db, const grant_row_t *in, const audit_t *audit, pki_err_t *err)
{
    grant_change_t change = { in, NULL, audit };

    return db_tx(db, delete_run, &change, err);
}

/* ---- use ---- */

static pki_code_t
use_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    (void) a;
    (void) err;
    *(permission_use_t *) out = (permission_use_t){
        .permission = db_text(r, row, "permission"),
        .hours = db_int(r, row, "hours"),
        .last_at = db_time(r, row, "last_at"),
    };
    return PKI_OK;
}

pki_code_t
permission_use_list(db_t *db, pki_arena_t *a, const char *actor_id, int64_t days, permission_use_t **out, size_t *count,
                    pki_err_t *err)
{
    return verb_list(db, a, Q_permission_use_list, DB_PARAMS(DB_T(actor_id), DB_I(days)), use_read, sizeof(**out),
                     (void **) out, count, err);
}

pki_code_t
permission_use_note(db_t *db, const char *actor_id, const char *permission, pki_err_t *err)
{
    return verb_read(db, NULL, Q_permission_use_note, DB_PARAMS(DB_T(actor_id), DB_T(permission)), NULL, err);
}
