/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rows of accounts and of certificates as identities.
 */
#include "orchestrator/store/account.h"

#include "orchestrator/store/actor.h"
#include "orchestrator/store/session.h"
#include "orchestrator/store/verb.h"

static pki_code_t
account_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    account_row_t *account = out;

    *account = (account_row_t){
        .id = db_text(r, row, "id"),
        .name = db_text(r, row, "name"),
        .email = db_text(r, row, "email"),
        .password = { .id = db_text(r, row, "id"),
                      .digest = db_bytes(r, row, "digest"),
                      .salt = db_bytes(r, row, "salt"),
                      .n = db_int(r, row, "scrypt_n"),
                      .r = db_int(r, row, "scrypt_r"),
                      .p = db_int(r, row, "scrypt_p") },
        .disabled = db_bool(r, row, "disabled"),
    };
    return db_texts(r, row, "allowed_names", a, &account->allowed_names, err);
}

pki_code_t
account_find(db_t *db, pki_arena_t *a, const char *id, account_row_t *out, pki_err_t *err)
{
    return verb_find(db, a, Q_account_find, DB_PARAMS(DB_T(id)), account_read, out, "account", id, err);
}

pki_code_t
account_attempt(db_t *db, pki_arena_t *a, const char *name, const account_limits_t *limits, account_row_t *out,
                pki_err_t *err)
{
    return verb_find(db, a, Q_account_attempt,
                     DB_PARAMS(DB_T(name), DB_I(limits->failures), DB_I(limits->lock_s), DB_I(limits->forget_s)),
                     account_read, out, "account to log in with, called", name, err);
}

pki_code_t
account_cleared(db_t *db, const char *id, pki_err_t *err)
{
    return verb_read(db, NULL, Q_account_cleared, DB_PARAMS(DB_T(id)), NULL, err);
}

pki_code_t
account_unlock(db_t *db, const char *id, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(id) };
    const verb_change_t v = {
        .q = Q_account_unlock, .params = params, .count = 1, .what = "account", .id = id, .none = PKI_E_NOT_FOUND,
        .audit = audit,
    };

    return verb_change(db, &v, err);
}

/* ---- changes ---- */

typedef struct {
    const char          *id;
    const account_row_t *row;
    const str_list_t    *roles, *allowed_names;
    const char          *version;
    const audit_t       *audit;
} account_change_t;

static pki_code_t
account_write(db_conn_t *c, db_query_t q, const account_change_t *change, bool made, pki_err_t *err)
{
    const account_row_t *in = change->row;
    const password_t    *p = &in->password;
    const db_param_t     none = DB_T(NULL);
    const db_param_t     params[] = { DB_T(in->id), DB_T(in->name), DB_T(in->email), DB_TS(&in->allowed_names),
                                      DB_B(p->digest), DB_B(p->salt),
                                      p->n != 0 ? DB_I(p->n) : none, p->n != 0 ? DB_I(p->r) : none,
                                      p->n != 0 ? DB_I(p->p) : none, DB_F(in->disabled), DB_T(change->audit->actor) };
    const verb_change_t  v = {
         .q = q, .params = params, .count = made ? 11 : 10, .what = "account", .id = in->id, .none = PKI_E_NOT_FOUND,
         .table = "account", .version = change->version,
    };

    return verb_apply(c, &v, err);
}

static pki_code_t
insert_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    const account_change_t *change = arg;

    PKI_TRY(account_write(c, Q_account_insert, change, true, err));
    PKI_TRY(grants_write(c, change->row->id, change->roles, change->audit->actor, err));
    return audit_write(c, change->audit, err);
}

pki_code_t
account_insert(db_t *db, const account_row_t *in, const str_list_t *roles, const audit_t *audit, pki_err_t *err)
{
    account_change_t change = { .row = in, .roles = roles, .audit = audit };

    return db_tx(db, insert_run, &change, err);
}

static pki_code_t
update_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    const account_change_t *change = arg;

    PKI_TRY(account_write(c, Q_account_update, change, false, err));
    if (change->row->disabled || change->row->password.digest.p != NULL) {
        PKI_TRY(sessions_end(c, change->row->id, NULL, err));
    }
    return audit_write(c, change->audit, err);
}

pki_code_t
account_update(db_t *db, const account_row_t *in, const char *version, const audit_t *audit, pki_err_t *err)
{
    account_change_t change = { .row = in, .version = version, .audit = audit };

    return db_tx(db, update_run, &change, err);
}

/* The row of an identity, its grants, its sessions. */
static pki_code_t
identity_remove(db_conn_t *c, db_query_t q, const char *what, const account_change_t *change, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(change->id) };
    const verb_change_t v = { .q = q, .params = params, .count = 1, .what = what, .id = change->id, .none = PKI_E_NOT_FOUND };

    PKI_TRY(verb_apply(c, &v, err));
    PKI_TRY(db_query(c, NULL, Q_grant_delete_all, params, 1, NULL, err));
    PKI_TRY(sessions_end(c, change->id, NULL, err));
    return audit_write(c, change->audit, err);
}

static pki_code_t
delete_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    return identity_remove(c, Q_account_delete, "account", arg, err);
}

pki_code_t
account_delete(db_t *db, const char *id, const audit_t *audit, pki_err_t *err)
{
    account_change_t change = { .id = id, .audit = audit };

    return db_tx(db, delete_run, &change, err);
}

/* ---- certificates ---- */

static pki_code_t
register_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    const account_change_t *change = arg;
    const db_param_t        params[] = { DB_T(change->id), DB_TS(change->allowed_names), DB_T(change->audit->actor) };
    const verb_change_t     v = {
            .q = Q_certificate_identity_insert, .params = params, .count = 3, .what = "managed certificate", .id = change->id,
            .none = PKI_E_INVALID,
    };

    PKI_TRY(verb_apply(c, &v, err));
    PKI_TRY(grants_write(c, change->id, change->roles, change->audit->actor, err));
    return audit_write(c, change->audit, err);
}

pki_code_t
certificate_identity_insert(db_t *db, const char *managed_id, const str_list_t *allowed_names, const str_list_t *roles,
                            const audit_t *audit, pki_err_t *err)
{
    account_change_t change = { .id = managed_id, .allowed_names = allowed_names, .roles = roles, .audit = audit };

    return db_tx(db, register_run, &change, err);
}

static pki_code_t
unregister_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    return identity_remove(c, Q_certificate_identity_delete, "certificate identity", arg, err);
}

pki_code_t
certificate_identity_delete(db_t *db, const char *managed_id, const audit_t *audit, pki_err_t *err)
{
    account_change_t change = { .id = managed_id, .audit = audit };

    return db_tx(db, unregister_run, &change, err);
}
