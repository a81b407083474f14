/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rows of API keys, and the one of the first administrator.
 */
#include "orchestrator/store/api_key.h"

#include "orchestrator/store/actor.h"
#include "orchestrator/store/session.h"
#include "orchestrator/store/verb.h"

typedef struct {
    const api_key_row_t *row;
    const char          *id;
    const str_list_t    *permissions, *roles;
    bytes_t              digest;
    int64_t              grace_s;
    const audit_t       *audit;
} key_change_t;

static pki_code_t
key_write(db_conn_t *c, const api_key_row_t *in, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(in->id), DB_T(in->name), DB_B(in->digest), DB_TS(&in->permissions),
                                     DB_TS(&in->allowed_names), DB_T(in->created_by), DB_TM(in->expires_at) };
    const verb_change_t v = { .q = Q_api_key_insert, .params = params, .count = 7, .what = "API key", .id = in->id };

    return verb_apply(c, &v, err);
}

/* A statement about a live key by its id. */
static pki_code_t
key_apply(db_conn_t *c, db_query_t q, const db_param_t *params, size_t count, const char *id, pki_err_t *err)
{
    const verb_change_t v = {
        .q = q, .params = params, .count = count, .what = "live API key", .id = id, .none = PKI_E_NOT_FOUND,
    };

    return verb_apply(c, &v, err);
}

static pki_code_t
insert_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    const key_change_t *change = arg;

    PKI_TRY(key_write(c, change->row, err));
    if (change->roles != NULL) {
        PKI_TRY(grants_write(c, change->row->id, change->roles, change->audit->actor, err));
    }
    return audit_write(c, change->audit, err);
}

pki_code_t
api_key_insert(db_t *db, const api_key_row_t *in, const str_list_t *roles, const audit_t *audit, pki_err_t *err)
{
    key_change_t change = { .row = in, .roles = roles, .audit = audit };

    return db_tx(db, insert_run, &change, err);
}

pki_code_t
api_key_update(db_t *db, const api_key_row_t *in, const char *version, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(in->id), DB_T(in->name), DB_TS(&in->allowed_names), DB_TM(in->expires_at) };
    const verb_change_t v = {
        .q = Q_api_key_update, .params = params, .count = 4, .what = "live API key", .id = in->id,
        .none = PKI_E_NOT_FOUND, .table = "api_key", .version = version, .audit = audit,
    };

    return verb_change(db, &v, err);
}

static pki_code_t
rotate_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    const key_change_t *change = arg;

    PKI_TRY(key_apply(c, Q_api_key_rotate, DB_PARAMS(DB_T(change->id), DB_B(change->digest), DB_I(change->grace_s)),
                      change->id, err));
    PKI_TRY(sessions_end(c, change->id, NULL, err));
    return audit_write(c, change->audit, err);
}

pki_code_t
api_key_rotate(db_t *db, const char *id, bytes_t digest, int64_t grace_s, const audit_t *audit, pki_err_t *err)
{
    key_change_t change = { .id = id, .digest = digest, .grace_s = grace_s, .audit = audit };

    return db_tx(db, rotate_run, &change, err);
}

static pki_code_t
reduce_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    const key_change_t *change = arg;

    PKI_TRY(key_apply(c, Q_api_key_permissions, DB_PARAMS(DB_T(change->id), DB_TS(change->permissions)), change->id, err));
    PKI_TRY(db_query(c, NULL, Q_grant_keep, DB_PARAMS(DB_T(change->id), DB_TS(change->roles)), NULL, err));
    return audit_write(c, change->audit, err);
}

pki_code_t
api_key_reduce(db_t *db, const char *id, const str_list_t *permissions, const str_list_t *roles, const audit_t *audit,
               pki_err_t *err)
{
    key_change_t change = { .id = id, .permissions = permissions, .roles = roles, .audit = audit };

    return db_tx(db, reduce_run, &change, err);
}

static pki_code_t
revoke_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    const key_change_t *change = arg;

    PKI_TRY(key_apply(c, Q_api_key_revoke, DB_PARAMS(DB_T(change->id)), change->id, err));
    PKI_TRY(db_query(c, NULL, Q_grant_delete_all, DB_PARAMS(DB_T(change->id)), NULL, err));
    PKI_TRY(sessions_end(c, change->id, NULL, err));
    return audit_write(c, change->audit, err);
}

pki_code_t
api_key_revoke(db_t *db, const char *id, const audit_t *audit, pki_err_t *err)
{
    key_change_t change = { .id = id, .audit = audit };

    return db_tx(db, revoke_run, &change, err);
}

pki_code_t
api_key_touch(db_t *db, const char *id, pki_err_t *err)
{
    return verb_read(db, NULL, Q_api_key_touch, DB_PARAMS(DB_T(id)), NULL, err);
}

/* ---- the first administrator ---- */

pki_code_t
bootstrap_open(db_t *db, pki_arena_t *a, bool *open, pki_err_t *err)
{
    db_rows_t *rows;

    PKI_TRY(verb_read(db, a, Q_bootstrap_there, NULL, 0, &rows, err));
    *open = !db_bool(rows, 0, "there");
    if (*open) {
        PKI_TRY(verb_read(db, a, Q_actor_all_powerful, NULL, 0, &rows, err));
        *open = !db_bool(rows, 0, "there");
    }
    return PKI_OK;
}

typedef struct {
    pki_arena_t         *a;
    const api_key_row_t *row;
    const audit_t       *audit;
} claim_t;

static pki_code_t
claim_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    claim_t            *claim = arg;
    const db_param_t    params[] = { DB_T(claim->row->id) };
    const verb_change_t v = { .q = Q_bootstrap_insert, .params = params, .count = 1, .what = "bootstrap by",
                              .id = claim->row->id };
    db_rows_t          *rows;

    PKI_TRY(verb_apply(c, &v, err));
    PKI_TRY(db_query(c, claim->a, Q_actor_all_powerful, NULL, 0, &rows, err));
    if (db_bool(rows, 0, "there")) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "there is an administrator already");
    }
    PKI_TRY(key_write(c, claim->row, err));
    return audit_write(c, claim->audit, err);
}

pki_code_t
bootstrap_claim(db_t *db, const api_key_row_t *in, const audit_t *audit, pki_err_t *err)
{
    claim_t    claim = { pki_arena_new(0), in, audit };
    pki_code_t code;

    if (claim.a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = db_tx(db, claim_run, &claim, err);
    pki_arena_free(claim.a);
    return code;
}
