/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rows of issuers and of their chains.
 */
#include "orchestrator/store/issuer.h"

#include <stdlib.h>

#include "orchestrator/store/verb.h"
#include "pkiproto/crl/scope.h"

static void
issuer_read(const db_rows_t *r, size_t row, issuer_row_t *out)
{
    *out = (issuer_row_t){
        .no = db_int(r, row, "no"),
        .id = db_text(r, row, "id"),
        .name = db_text(r, row, "name"),
        .type = db_text(r, row, "type"),
        .enabled = db_bool(r, row, "enabled"),
        .config = db_text(r, row, "config"),
        .settings = db_text(r, row, "settings"),
        .source = db_text(r, row, "source"),
        .secrets = db_bytes(r, row, "secrets"),
        .retired_at = db_time(r, row, "retired_at"),
        .created_at = db_time(r, row, "created_at"),
        .updated_at = db_time(r, row, "updated_at"),
    };
}

static void
ca_read(const db_rows_t *r, size_t row, ca_row_t *out)
{
    *out = (ca_row_t){
        .generation = db_int(r, row, "generation"),
        .position = db_int(r, row, "position"),
        .active = db_bool(r, row, "active"),
        .der = db_bytes(r, row, "der"),
        .serial = db_bytes(r, row, "serial"),
        .skid = db_bytes(r, row, "skid"),
        .subject = db_text(r, row, "subject"),
        .key_ref = db_text(r, row, "key_ref"),
        .key_kind = db_text(r, row, "key_kind"),
        .not_before = db_time(r, row, "not_before"),
        .not_after = db_time(r, row, "not_after"),
        .crl_shards = db_int(r, row, "crl_shards"),
        .revoked_at = db_time(r, row, "revoked_at"),
        .revocation_reason = db_null(r, row, "revocation_reason") ? -1 : db_int(r, row, "revocation_reason"),
    };
}

/* Rows come by issuer, generation and position; the certificates of each chain become one slice of one array. */
static pki_code_t
chains_read(const db_rows_t *r, pki_arena_t *a, issuer_chain_t **out, size_t *count, pki_err_t *err)
{
    size_t          n = db_row_count(r);
    ca_row_t       *ca;
    issuer_chain_t *last = NULL;

    *count = 0;
    PKI_TRY(PKI_NEW_N(a, n + 1, out, err));
    PKI_TRY(PKI_NEW_N(a, n + 1, &ca, err));
    for (size_t i = 0; i < n; i++) {
        if (last == NULL || last->issuer.no != db_int(r, i, "no")
            || last->chain[0].generation != db_int(r, i, "generation"))
        {
            last = &(*out)[(*count)++];
            issuer_read(r, i, &last->issuer);
            last->chain = &ca[i];
        }
        ca_read(r, i, &ca[i]);
        last->chain_len++;
    }
    return PKI_OK;
}

static pki_code_t
chains_find(db_t *db, pki_arena_t *a, db_param_t id, db_param_t no, db_param_t generation, issuer_chain_t **out,
            size_t *count, pki_err_t *err)
{
    db_rows_t *rows;

    PKI_TRY(verb_read(db, a, Q_issuer_chains, DB_PARAMS(id, no, generation), &rows, err));
    return chains_read(rows, a, out, count, err);
}

pki_code_t
issuer_row_list(db_t *db, pki_arena_t *a, issuer_chain_t **out, size_t *count, pki_err_t *err)
{
    return chains_find(db, a, DB_T(NULL), DB_T(NULL), DB_T(NULL), out, count, err);
}

pki_code_t
issuer_generations(db_t *db, pki_arena_t *a, const char *id, issuer_chain_t **out, size_t *count, pki_err_t *err)
{
    db_rows_t *rows;

    PKI_TRY(verb_read(db, a, Q_issuer_generations, DB_PARAMS(DB_T(id)), &rows, err));
    return chains_read(rows, a, out, count, err);
}

pki_code_t
issuer_row_find(db_t *db, pki_arena_t *a, const char *id, issuer_chain_t *out, pki_err_t *err)
{
    issuer_chain_t *found;
    size_t          count;

    PKI_TRY(chains_find(db, a, DB_T(id), DB_T(NULL), DB_T(NULL), &found, &count, err));
    if (id == NULL || count == 0) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "there is no issuer %s",
                        id != NULL ? id : "without an id");
    }
    *out = found[0];
    return PKI_OK;
}

pki_code_t
issuer_row_find_generation(db_t *db, pki_arena_t *a, uint32_t no, uint32_t generation, issuer_chain_t *out,
                           pki_err_t *err)
{
    issuer_chain_t *found;
    size_t          count;

    PKI_TRY(chains_find(db, a, DB_T(NULL), DB_I(no), DB_I(generation), &found, &count, err));
    if (count == 0) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "there is no generation %u of the issuer with the number %u",
                        generation, no);
    }
    *out = found[0];
    return PKI_OK;
}

pki_code_t
issuer_no_next(db_t *db, uint32_t *no, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    db_rows_t   *rows;
    pki_code_t   rc;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = verb_read(db, a, Q_issuer_no_next, NULL, 0, &rows, err);
    if (rc == PKI_OK) {
        *no = (uint32_t) db_int(rows, 0, "no");
    }
    pki_arena_free(a);
    return rc;
}

typedef struct {
    const issuer_chain_t *in;
    const audit_t        *audit;
} issuer_new_t;

static pki_code_t
chain_insert(db_conn_t *c, const issuer_chain_t *in, int64_t generation, pki_err_t *err)
{
    for (size_t k = 0; k < in->chain_len; k++) {
        const ca_row_t *ca = &in->chain[k];

        PKI_TRY(db_query(c, NULL, Q_ca_insert,
                         DB_PARAMS(DB_I(in->issuer.no), DB_I(generation), DB_I(k), DB_B(ca->der), DB_B(ca->serial),
                                   DB_T(ca->subject), DB_T(ca->key_ref), DB_T(ca->key_kind), DB_B(ca->skid),
                                   DB_TM(ca->not_before), DB_TM(ca->not_after), DB_I(k == 0 ? ca->crl_shards : 0)),
                         NULL, err));
    }
    return PKI_OK;
}

static pki_code_t
issuer_insert(db_conn_t *c, void *arg, pki_err_t *err)
{
    const issuer_new_t *n = arg;
    const issuer_row_t *i = &n->in->issuer;
    const db_param_t    params[] = {
        DB_I(i->no), DB_T(i->id), DB_T(i->name), DB_T(i->type), DB_F(i->enabled), DB_T(i->config),
        DB_T(i->source), DB_B(i->secrets),
    };
    const verb_change_t v = {
        .q = Q_issuer_insert, .params = params, .count = 8, .what = "issuer", .id = i->id,
    };

    PKI_TRY(verb_apply(c, &v, err));
    PKI_TRY(chain_insert(c, n->in, 1, err));
    PKI_TRY(change_write(c, "config", (uint32_t) i->no, BYTES_NONE, err));
    return audit_write(c, n->audit, err);
}

pki_code_t
issuer_row_insert(db_t *db, const issuer_chain_t *in, const audit_t *audit, pki_err_t *err)
{
    issuer_new_t n = { in, audit };

    return db_tx(db, issuer_insert, &n, err);
}

pki_code_t
issuer_row_enable(db_t *db, const char *id, bool enabled, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(id), DB_F(enabled) };
    const verb_change_t v = {
        .q = Q_issuer_enable, .params = params, .count = 2, .what = "issuer", .id = id,
        .none = PKI_E_NOT_FOUND, .announce = true, .audit = audit,
    };

    return verb_change(db, &v, err);
}

pki_code_t
issuer_row_update(db_t *db, const issuer_row_t *in, const char *version, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(in->id), DB_T(in->name), DB_F(in->enabled), DB_T(in->config), DB_B(in->secrets) };
    const verb_change_t v = {
        .q = Q_issuer_update, .params = params, .count = 5, .what = "issuer", .id = in->id, .none = PKI_E_NOT_FOUND,
        .announce = true, .table = "issuer", .version = version, .audit = audit,
    };

    return verb_change(db, &v, err);
}

typedef struct {
    const char    *id, *version;
    const audit_t *audit;
} retire_t;

static pki_code_t
used_check(db_conn_t *c, pki_arena_t *a, const char *id, pki_err_t *err)
{
    db_rows_t *rows;
    int64_t    labels;

    PKI_TRY(db_query(c, a, Q_issuer_used, DB_PARAMS(DB_T(id)), &rows, err));
    labels = db_int(rows, 0, "labels");
    if (labels != 0) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "issuer %s is used by %lld EST label%s", id, (long long) labels,
                        labels == 1 ? "" : "s");
    }
    return PKI_OK;
}

static pki_code_t
retire_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    const retire_t     *r = arg;
    const db_param_t    params[] = { DB_T(r->id) };
    const verb_change_t v = {
        .q = Q_issuer_end, .params = params, .count = 1, .what = "issuer that is not retired:", .id = r->id,
        .none = PKI_E_NOT_FOUND, .table = "issuer", .version = r->version,
    };
    pki_arena_t        *a = pki_arena_new(0);
    pki_code_t          code;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = verb_apply(c, &v, err);
    if (code == PKI_OK) {
        code = used_check(c, a, r->id, err);
    }
    pki_arena_free(a);
    PKI_TRY(code);
    PKI_TRY(change_write(c, "config", 0, BYTES_NONE, err));
    return audit_write(c, r->audit, err);
}

pki_code_t
issuer_row_retire(db_t *db, const char *id, const char *version, const audit_t *audit, pki_err_t *err)
{
    retire_t r = { id, version, audit };

    return db_tx(db, retire_run, &r, err);
}

pki_code_t
issuer_row_tested(db_t *db, const char *id, const char *error, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(id), DB_T(error == NULL ? "ok" : "failed"), DB_T(error) };
    const verb_change_t v = {
        .q = Q_issuer_tested, .params = params, .count = 3, .what = "issuer", .id = id, .none = PKI_E_NOT_FOUND,
        .audit = audit,
    };

    return verb_change(db, &v, err);
}

/* A re-key: the newest generation is locked, so that two do not make the same one. */

static pki_code_t
rekey_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    const issuer_new_t   *n = arg;
    const issuer_chain_t *in = n->in;
    pki_arena_t          *a = pki_arena_new(0);
    db_rows_t            *rows;
    int64_t               newest = -1;
    pki_code_t            rc;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = db_query(c, a, Q_issuer_lock, DB_PARAMS(DB_I(in->issuer.no)), &rows, err);
    if (rc == PKI_OK && db_row_count(rows) != 0) {
        newest = db_int(rows, 0, "generation");
    }
    pki_arena_free(a);
    PKI_TRY(rc);
    if (newest + 1 != in->chain[0].generation) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "issuer %s has another generation by now", in->issuer.id);
    }
    PKI_TRY(db_query(c, NULL, Q_issuer_retire, DB_PARAMS(DB_I(in->issuer.no)), NULL, err));
    PKI_TRY(chain_insert(c, in, newest + 1, err));
    PKI_TRY(change_write(c, "config", (uint32_t) in->issuer.no, BYTES_NONE, err));
    return audit_write(c, n->audit, err);
}

pki_code_t
issuer_row_rekey(db_t *db, const issuer_chain_t *in, const audit_t *audit, pki_err_t *err)
{
    issuer_new_t n = { in, audit };

    return db_tx(db, rekey_run, &n, err);
}

pki_code_t
issuer_row_revoke_ca(db_t *db, const char *id, uint32_t generation, int reason, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(id), DB_I(generation), DB_I(reason) };
    const verb_change_t v = {
        .q = Q_issuer_revoke_ca, .params = params, .count = 3, .what = "unrevoked CA certificate of issuer", .id = id,
        .none = PKI_E_CONFLICT, .announce = true, .audit = audit,
    };

    return verb_change(db, &v, err);
}

#define SETTLE_WAIT_MS 600000

static pki_code_t
settle_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    conn_patience(c, SETTLE_WAIT_MS);
    return db_query(c, NULL, Q_issuer_settle, DB_PARAMS(DB_I(*(const int64_t *) arg)), NULL, err);
}

pki_code_t
issuer_generations_settle(db_t *db, int64_t settled_s, pki_err_t *err)
{
    return db_run(db, settle_run, &settled_s, err);
}

/* Settings */

static const char *const ocsp_key_kinds[] = { "p-256", "rsa-2048", "rsa-3072", "ed25519", NULL };
static const char       *ocsp_keys_default[] = { "p-256" };

/* clang-format off */
const field_t issuer_settings_fields[] = {
    FIELD_INT (issuer_settings_t, ocsp_validity_s, 0, "0", 0, 864000, "seconds that an OCSP answer is valid; 0: as ocsp.validity_s says"),
    FIELD_STRS(issuer_settings_t, ocsp_keys, 0, ocsp_key_kinds, "kinds of key of the OCSP responders, the first for clients without a preference; empty: p-256"),
    FIELD_BOOL(issuer_settings_t, ocsp_cert_hash, 0, "false", "OCSP answers can show the certificate's hash (CertHash): a change makes the edge store anew"),
    FIELD_INT (issuer_settings_t, crl_validity_s, 0, "0", 0, 31536000, "seconds from a CRL's thisUpdate to its nextUpdate; 0: as crl.validity_s says"),
    FIELD_INT (issuer_settings_t, crl_refresh_s, 0, "0", 0, 31536000, "seconds after which a CRL is made anew when nothing was revoked; 0: as crl.refresh_s says"),
    FIELD_INT (issuer_settings_t, crl_delta_s, 0, "0", 0, 31536000, "seconds between delta CRLs; 0: none"),
    FIELD_INT (issuer_settings_t, crl_shards, 0, "0", 0, CRL_SHARDS_MAX, "shards of the CRL, from the next generation on; 0: one list"),
    FIELD_INT (issuer_settings_t, crl_keep_expired_s, 0, "0", 0, 3153600000, "seconds for which expired certificates stay on the CRL; 0: for one list after their end"),
    FIELD_BOOL(issuer_settings_t, crl_expired_since, 0, "false", "CRLs say since when they keep expired certificates (expiredCertsOnCRL)"),
    FIELD_BOOL(issuer_settings_t, crl_next_publish, 0, "false", "CRLs say when the next one comes (Microsoft's Next CRL Publish)"),
    FIELD_BOOL(issuer_settings_t, crl_aia, 0, "false", "CRLs say where the CA certificate is (authorityInfoAccess)"),
    FIELD_BOOL(issuer_settings_t, inherit_ca_revocation, 0, "false", "when the CA certificate itself is revoked, so is all that it issued"),
    FIELD_BOOL(issuer_settings_t, webpki, 0, "false", "hold to the CA/Browser Forum's Baseline Requirements: no hold, the reasons of 7.2.2 only, lifetimes of 4.9.7, 4.9.10 and 7.2"),
    FIELD_END
};
/* clang-format on */

pki_code_t
issuer_settings_read(pki_arena_t *a, const issuer_row_t *row, issuer_settings_t *out, pki_err_t *err)
{
    JSON_AUTO json = NULL;

    PKI_TRY(json_parse(bytes_str(row->settings != NULL ? row->settings : "{}"), &json, err));
    if (fields_decode(a, issuer_settings_fields, json, out, NULL, err) != PKI_OK) {
        return pki_err_context(err, "settings of issuer %s", row->id);
    }
    return PKI_OK;
}

pki_code_t
issuer_settings_of(pki_arena_t *a, const issuer_row_t *row, const conf_t *conf, issuer_settings_t *out, pki_err_t *err)
{
    PKI_TRY(issuer_settings_read(a, row, out, err));
    issuer_settings_default(conf, out);
    return PKI_OK;
}

void
issuer_settings_default(const conf_t *conf, issuer_settings_t *out)
{
    out->ocsp_validity_s = out->ocsp_validity_s != 0 ? out->ocsp_validity_s : conf->ocsp.validity_s;
    out->crl_validity_s = out->crl_validity_s != 0 ? out->crl_validity_s : conf->crl.validity_s;
    out->crl_refresh_s = out->crl_refresh_s != 0 ? out->crl_refresh_s : conf->crl.refresh_s;
    if (out->ocsp_keys.count == 0) {
        out->ocsp_keys = (str_list_t){ ocsp_keys_default, 1 };
    }
}

pki_code_t
issuer_settings_put(db_t *db, const char *id, const issuer_settings_t *in, const audit_t *audit, pki_err_t *err)
{
    JSON_AUTO json = fields_encode(issuer_settings_fields, in);
    char     *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;

    if (text == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    const db_param_t    params[] = { DB_T(id), DB_T(text) };
    const verb_change_t v = {
        .q = Q_issuer_settings_put, .params = params, .count = 2, .what = "issuer", .id = id,
        .none = PKI_E_NOT_FOUND, .announce = true, .audit = audit,
    };
    pki_code_t rc = verb_change(db, &v, err);

    free(text);
    return rc;
}
