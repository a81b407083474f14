/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rows of EST labels and of their users' credentials.
 */
#include "orchestrator/store/est.h"

#include "orchestrator/store/verb.h"

/* clang-format off */
const field_t est_label_fields[] = {
    FIELD_STR(est_label_row_t, id, 0, NULL, "identifier, est-...; made from the name when absent"),
    FIELD_STR(est_label_row_t, name, F_REQUIRED, NULL, "label in the path: /.well-known/est/NAME/simpleenroll"),
    FIELD_BOOL(est_label_row_t, is_default, 0, "false", "serves the path without a label; one label at most"),
    FIELD_BOOL(est_label_row_t, enabled, 0, "true", "whether it is served"),
    FIELD_STR(est_label_row_t, issuer_id, F_REQUIRED, NULL, "issuer of its certificates"),
    FIELD_INT(est_label_row_t, issuer_no, F_READONLY, NULL, 0, 0, "number of that issuer"),
    FIELD_STR(est_label_row_t, profile_id, F_REQUIRED, NULL, "profile of its certificates"),
    FIELD_BOOL(est_label_row_t, auth_basic, 0, "true", "simpleenroll accepts a user name and password"),
    FIELD_BOOL(est_label_row_t, auth_certificate, 0, "true", "simpleenroll accepts a client certificate"),
    FIELD_INT(est_label_row_t, wrap, 0, "0", 0, 1024, "characters in a line of base64 answers; 0: one line"),
    { .name = "trust_pem", .type = FIELD_T_STR, .offset = FIELD_CHECK_(est_label_row_t, trust_pem, const char *),
      .flags = F_NULLABLE, .max = 131072, .help = "PEM certificates that client certificates may chain to, besides the issuer's own" },
    FIELD_INT(est_label_row_t, superseded_grace_s, 0, "604800", 0, 3155760000, "seconds for which a certificate that was renewed may still renew"),
    FIELD_STRS(est_label_row_t, allowed_names, 0, NULL, "names that client certificates may ask for: patterns, * being any run of characters; empty: any"),
    FIELD_STR(est_label_row_t, owner_id, 0, NULL, "owner of what is enrolled here for the first time"),
    FIELD_STR(est_label_row_t, team_id, 0, NULL, "team of what is enrolled here for the first time"),
    { .name = "environment", .type = FIELD_T_STR, .offset = FIELD_CHECK_(est_label_row_t, environment, const char *),
      .min = 1, .max = 64, .help = "environment of what is enrolled here for the first time" },
    FIELD_STR(est_label_row_t, renewal_policy_id, 0, NULL, "renewal policy of what is enrolled here for the first time"),
    FIELD_TIME(est_label_row_t, created_at, F_READONLY, "when it was made"),
    FIELD_TIME(est_label_row_t, updated_at, F_READONLY, "when it was last changed"),
    FIELD_END,
};
/* clang-format on */

static pki_code_t
label_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    return db_row(r, row, a, est_label_fields, out, err);
}

pki_code_t
est_label_list(db_t *db, pki_arena_t *a, est_label_row_t **out, size_t *count, pki_err_t *err)
{
    return verb_list(db, a, Q_est_label_list, DB_PARAMS(DB_T(NULL), DB_T(NULL)), label_read, sizeof(**out),
                     (void **) out, count, err);
}

pki_code_t
est_label_find(db_t *db, pki_arena_t *a, const char *id, est_label_row_t *out, pki_err_t *err)
{
    return verb_find(db, a, Q_est_label_list, DB_PARAMS(DB_T(id), DB_T(NULL)), label_read, out, "EST label",
                     id, err);
}

pki_code_t
est_label_find_name(db_t *db, pki_arena_t *a, const char *name, est_label_row_t *out, pki_err_t *err)
{
    return verb_find(db, a, Q_est_label_list, DB_PARAMS(DB_T(NULL), DB_T(name)), label_read, out, "EST label",
                     name, err);
}

/* Insert and update have the same parameters. */
static pki_code_t
label_write(db_t *db, const verb_change_t *how, const est_label_row_t *l, pki_err_t *err)
{
    const db_param_t params[] = {
        DB_T(l->id), DB_T(l->name), DB_F(l->is_default), DB_F(l->enabled), DB_T(l->issuer_id),
        DB_T(l->profile_id),
        DB_F(l->auth_basic), DB_F(l->auth_certificate), DB_I(l->wrap), DB_T(l->trust_pem),
        DB_I(l->superseded_grace_s), DB_T(l->owner_id), DB_T(l->team_id), DB_T(l->environment),
        DB_T(l->renewal_policy_id), DB_TS(&l->allowed_names),
    };
    verb_change_t v = *how;

    v.params = params;
    v.count = sizeof(params) / sizeof(params[0]);
    v.foreign = PKI_E_INVALID;
    v.announce = true;
    return verb_change(db, &v, err);
}

pki_code_t
est_label_insert(db_t *db, const est_label_row_t *in, const audit_t *audit, pki_err_t *err)
{
    const verb_change_t v = {
        .q = Q_est_label_insert, .what = "issuer", .id = in->issuer_id, .none = PKI_E_INVALID, .audit = audit,
    };

    return label_write(db, &v, in, err);
}

pki_code_t
est_label_update(db_t *db, const est_label_row_t *in, const char *version, const audit_t *audit, pki_err_t *err)
{
    const verb_change_t v = {
        .q = Q_est_label_update, .what = "EST label with its issuer:", .id = in->id,
        .none = PKI_E_NOT_FOUND, .table = "est_label", .version = version, .audit = audit,
    };

    return label_write(db, &v, in, err);
}

pki_code_t
est_label_delete(db_t *db, const char *id, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(id) };
    const verb_change_t v = {
        .q = Q_est_label_delete, .params = params, .count = 1, .what = "EST label", .id = id,
        .none = PKI_E_NOT_FOUND, .announce = true, .audit = audit,
    };

    return verb_change(db, &v, err);
}

static pki_code_t
credential_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    est_credential_row_t *c = out;

    *c = (est_credential_row_t){
        .id = db_text(r, row, "id"),
        .label_id = db_text(r, row, "label_id"),
        .label_name = db_text(r, row, "label_name"),
        .user_name = db_text(r, row, "user_name"),
        .kind = db_text(r, row, "kind"),
        .digest = db_bytes(r, row, "digest"),
        .salt = db_bytes(r, row, "salt"),
        .scrypt_n = db_int(r, row, "scrypt_n"),
        .scrypt_r = db_int(r, row, "scrypt_r"),
        .scrypt_p = db_int(r, row, "scrypt_p"),
        .created_at = db_time(r, row, "created_at"),
        .expires_at = db_time(r, row, "expires_at"),
    };
    return db_texts(r, row, "allowed_names", a, &c->allowed_names, err);
}

pki_code_t
est_credential_list(db_t *db, pki_arena_t *a, const char *label_id, est_credential_row_t **out, size_t *count,
                    pki_err_t *err)
{
    return verb_list(db, a, Q_est_credential_list, DB_PARAMS(DB_T(label_id), DB_T(NULL)), credential_read,
                     sizeof(**out), (void **) out, count, err);
}

pki_code_t
est_credential_find(db_t *db, pki_arena_t *a, const char *label_id, const char *user_name,
                    est_credential_row_t *out, pki_err_t *err)
{
    return verb_find(db, a, Q_est_credential_list, DB_PARAMS(DB_T(label_id), DB_T(user_name)),
                     credential_read, out, "credential of", user_name, err);
}

typedef struct {
    const est_credential_row_t *row;
    const audit_t              *audit;
} credential_new_t;

static pki_code_t
credential_insert(db_conn_t *c, void *arg, pki_err_t *err)
{
    const credential_new_t     *in = arg;
    const est_credential_row_t *e = in->row;
    bool                        scrypt = strcmp(e->kind, "scrypt") == 0;
    db_param_t                  none = DB_T(NULL);
    const db_param_t            params[] = {
        DB_T(e->id), DB_T(e->label_id), DB_T(e->user_name), DB_T(e->kind), DB_B(e->digest), DB_B(e->salt),
        scrypt ? DB_I(e->scrypt_n) : none, scrypt ? DB_I(e->scrypt_r) : none,
        scrypt ? DB_I(e->scrypt_p) : none,
        DB_TM(e->expires_at), DB_TS(&e->allowed_names),
    };
    const verb_change_t v = {
        .q = Q_est_credential_insert, .params = params, .count = sizeof(params) / sizeof(params[0]),
        .what = "credential of", .id = e->user_name, .foreign = PKI_E_NOT_FOUND,
    };

    PKI_TRY(db_query(c, NULL, Q_est_credential_retire, DB_PARAMS(DB_T(e->label_id), DB_T(e->user_name)), NULL,
                     err));
    PKI_TRY(verb_apply(c, &v, err));
    PKI_TRY(change_write(c, "config", 0, BYTES_NONE, err));
    return audit_write(c, in->audit, err);
}

pki_code_t
est_credential_insert(db_t *db, const est_credential_row_t *in, const audit_t *audit, pki_err_t *err)
{
    credential_new_t n = { in, audit };

    return db_tx(db, credential_insert, &n, err);
}

pki_code_t
est_credential_revoke(db_t *db, const char *label_id, const char *id, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(label_id), DB_T(id) };
    const verb_change_t v = {
        .q = Q_est_credential_revoke, .params = params, .count = 2, .what = "live credential", .id = id,
        .none = PKI_E_NOT_FOUND, .announce = true, .audit = audit,
    };

    return verb_change(db, &v, err);
}
