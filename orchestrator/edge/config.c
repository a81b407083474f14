/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What workers need besides statuses, from PostgreSQL to records: issuers, OCSP responders, CRLs, EST labels and
 * credentials.  All of it is read, encoded and compared with what was published last; a difference replaces
 * the five databases in one commit and moves the generation.
 */
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/edge/part.h"
#include "pkiproto/base/ossl.h"

#define CONFIG_RECORD_MAX ((size_t) 1 << 20)

typedef struct {
    env_db_t db;
    bytes_t  key, value;
} config_record_t;

typedef struct {
    pki_arena_t     *arena;
    config_record_t *v;
    size_t           count, cap;
} config_set_t;

static const env_db_t config_dbs[] = { ENV_ISSUER, ENV_RESPONDER, ENV_CRL, ENV_PROFILE, ENV_ACCOUNT };

static pki_code_t
set_add(config_set_t *s, env_db_t db, bytes_t key, const pki_buf_t *value, pki_err_t *err)
{
    config_record_t *grown;

    PKI_TRY(pki_buf_check(value, "edge record", err));
    if (s->count == s->cap) {
        PKI_TRY(PKI_NEW_N(s->arena, s->cap == 0 ? 64 : 2 * s->cap, &grown, err));
        if (s->count > 0) {
            memcpy(grown, s->v, s->count * sizeof(*grown));
        }
        s->cap = s->cap == 0 ? 64 : 2 * s->cap;
        s->v = grown;
    }
    s->v[s->count++] = (config_record_t){ db, key, pki_buf_bytes(value) };
    return PKI_OK;
}

static pki_code_t
authority_key(config_set_t *s, uint32_t authority, bytes_t *key, pki_err_t *err)
{
    pki_buf_t b;

    pki_buf_init(&b, s->arena, 4);
    pki_buf_put_be(&b, authority, 4);
    *key = pki_buf_bytes(&b);
    return pki_buf_check(&b, "edge key", err);
}

static pki_code_t
responder_key(config_set_t *s, uint32_t authority, uint8_t place, bytes_t *key, pki_err_t *err)
{
    pki_buf_t b;

    pki_buf_init(&b, s->arena, 5);
    pki_buf_put_be(&b, authority, 4);
    pki_buf_put_u8(&b, place);
    *key = pki_buf_bytes(&b);
    return pki_buf_check(&b, "edge key", err);
}

static pki_code_t
text_key(config_set_t *s, bytes_t *key, pki_err_t *err, const char *label, const char *user)
{
    char *text = pki_printf(s->arena, "est/%s%s%s", label, user != NULL ? "/" : "", user != NULL ? user : "");

    if (text == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    *key = bytes_str(text);
    return PKI_OK;
}

/* One authority and what belongs to it. */
typedef struct {
    edge_t               *edge;
    config_set_t         *set;
    const issuer_chain_t *row;
    issuer_ca_t           ca;
    issuer_settings_t     settings;
    uint32_t              no; /* edge_authority() */
} authority_t;

static pki_code_t
add_issuer(const authority_t *x, pki_err_t *err)
{
    const ca_row_t *own = &x->row->chain[0];
    bool            revoked = own->revoked_at != 0 && x->settings.inherit_ca_revocation;
    edge_issuer_t   record = { .no = x->no,
                               .id = bytes_str(x->ca.issuer_id),
                               .is_current = own->active,
                               .is_revoked = revoked,
                               .reason = revoked ? (int) own->revocation_reason : -1,
                               .revoked_at = revoked ? own->revoked_at : 0,
                               .crl_shards = (uint32_t) own->crl_shards,
                               .ocsp_validity_s = (uint32_t) x->settings.ocsp_validity_s };
    bytes_t         key;
    pki_buf_t       value;

    PKI_TRY(edge_issuer_hashes(x->set->arena, &x->ca.cert, &record, err));
    if (x->ca.chain.count > EDGE_CHAIN_MAX) {
        return pki_fail(err, PKI_E_INVALID, NULL, "issuer %s: a chain of %zu certificates", x->ca.issuer_id,
                        x->ca.chain.count);
    }
    for (size_t i = 0; i < x->ca.chain.count; i++) {
        record.chain[record.chain_len++] = x->ca.chain.v[i];
    }
    pki_buf_init(&value, x->set->arena, CONFIG_RECORD_MAX);
    PKI_TRY(edge_issuer_encode(&record, &value, err));
    PKI_TRY(authority_key(x->set, x->no, &key, err));
    return set_add(x->set, ENV_ISSUER, key, &value, err);
}

static pki_code_t
add_responder(const authority_t *x, const responder_row_t *row, uint8_t place, pki_err_t *err)
{
    edge_responder_t record = { .certificate = row->der,
                                .key_file = bytes_str(row->key_file),
                                .generation = (uint32_t) row->generation,
                                .not_before = row->not_before,
                                .not_after = row->not_after };
    bytes_t          key;
    pki_buf_t        value;

    pki_buf_init(&value, x->set->arena, CONFIG_RECORD_MAX);
    PKI_TRY(edge_responder_encode(&record, &value, err));
    PKI_TRY(responder_key(x->set, x->no, place, &key, err));
    return set_add(x->set, ENV_RESPONDER, key, &value, err);
}

/* In the order of the settings.  One that could not be made (responder.c says why) leaves the others their work. */
static pki_code_t
add_responders(const authority_t *x, pki_err_t *err)
{
    const str_list_t *kinds = &x->settings.ocsp_keys;
    responder_row_t   row;
    uint8_t           place = 0;

    for (size_t i = 0; i < kinds->count; i++) {
        pki_code_t code = responder_of(x->edge, x->set->arena, &x->ca, kinds->v[i], &row, err);

        if (code == PKI_OK) {
            PKI_TRY(add_responder(x, &row, place++, err));
        } else if (code != PKI_E_NOT_FOUND) {
            return code;
        }
    }
    return PKI_OK;
}

static pki_code_t
add_crl(void *arg, bytes_t key, const pki_buf_t *value, pki_err_t *err)
{
    return set_add(arg, ENV_CRL, key, value, err);
}

static pki_code_t
add_authority(edge_t *e, config_set_t *s, const issuer_chain_t *row, pki_err_t *err)
{
    authority_t x = { .edge = e, .set = s, .row = row };

    PKI_TRY(edge_ca_of(s->arena, row, &x.ca, err));
    PKI_TRY(issuer_settings_of(s->arena, &row->issuer, e->conf, &x.settings, err));
    x.no = edge_authority(x.ca.issuer_no, x.ca.generation);
    PKI_TRY(add_issuer(&x, err));
    PKI_TRY(crl_watch_authority(e, s->arena, row, add_crl, s, err));
    return add_responders(&x, err);
}

/* One authority's trouble is logged and leaves the others alone; a database that is gone ends all of it. */
static pki_code_t
add_issuers(edge_t *e, config_set_t *s, pki_err_t *err)
{
    issuer_chain_t *rows;
    size_t          count;

    PKI_TRY(issuer_generations(e->db, s->arena, NULL, &rows, &count, err));
    PKI_TRY(crl_watch_begin(e, err));
    for (size_t i = 0; i < count; i++) {
        pki_err_t  why = { 0 };
        pki_code_t code = add_authority(e, s, &rows[i], &why);

        if (code != PKI_OK) {
            log_failure(LOG_ERROR, "edge.issuer_failed", &why);
        }
        if (code == PKI_E_UNAVAILABLE) {
            return pki_fail(err, code, NULL, "%s", why.text);
        }
    }
    crl_watch_end(e, rows, count);
    return PKI_OK;
}

static pki_code_t
add_label(config_set_t *s, const est_label_row_t *row, pki_err_t *err)
{
    edge_est_label_t record = { .label = bytes_str(row->name),
                                .issuer_no = (uint32_t) row->issuer_no,
                                .wrap = (uint32_t) row->wrap,
                                .auth_basic = row->auth_basic,
                                .auth_certificate = row->auth_certificate };
    cert_list_t      trust = { 0 };
    bytes_t          key;
    pki_buf_t        value;

    if (row->trust_pem != NULL && row->trust_pem[0] != '\0') {
        PKI_TRY(cert_decode(s->arena, bytes_str(row->trust_pem), EDGE_TRUST_MAX, &trust, err));
    }
    for (size_t i = 0; i < trust.count; i++) {
        record.trust[record.trust_len++] = trust.v[i];
    }
    pki_buf_init(&value, s->arena, CONFIG_RECORD_MAX);
    PKI_TRY(edge_est_label_encode(&record, &value, err));
    PKI_TRY(text_key(s, &key, err, row->name, NULL));
    PKI_TRY(set_add(s, ENV_PROFILE, key, &value, err));
    return row->is_default ? set_add(s, ENV_PROFILE, BYTES_LIT("est/"), &value, err) : PKI_OK;
}

static pki_code_t
add_labels(edge_t *e, config_set_t *s, pki_err_t *err)
{
    est_label_row_t *rows;
    size_t           count;

    PKI_TRY(est_label_list(e->db, s->arena, &rows, &count, err));
    for (size_t i = 0; i < count; i++) {
        pki_err_t why = { 0 };

        if (rows[i].enabled && add_label(s, &rows[i], &why) != PKI_OK) {
            (void) pki_err_context(&why, "label %s", rows[i].name);
            log_failure(LOG_ERROR, "edge.label_failed", &why);
        }
    }
    return PKI_OK;
}

static pki_code_t
add_accounts(edge_t *e, config_set_t *s, pki_err_t *err)
{
    est_credential_row_t *rows;
    size_t                count;

    PKI_TRY(est_credential_list(e->db, s->arena, NULL, &rows, &count, err));
    for (size_t i = 0; i < count; i++) {
        bool           generated = strcmp(rows[i].kind, "sha256") == 0;
        edge_account_t record = { .kind = generated ? EDGE_CREDENTIAL_SHA256 : EDGE_CREDENTIAL_ORCHESTRATOR,
                                  .digest = generated ? rows[i].digest : BYTES_NONE };
        bytes_t        key;
        pki_buf_t      value;

        pki_buf_init(&value, s->arena, CONFIG_RECORD_MAX);
        PKI_TRY(edge_account_encode(&record, &value, err));
        PKI_TRY(text_key(s, &key, err, rows[i].label_name, rows[i].user_name));
        PKI_TRY(set_add(s, ENV_ACCOUNT, key, &value, err));
    }
    return PKI_OK;
}

/* Publishing */

static pki_code_t
set_hash(const config_set_t *s, uint8_t out[32], pki_err_t *err)
{
    PKI_AUTO(EVP_MD_CTX) ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

    for (size_t i = 0; ok && i < s->count; i++) {
        const config_record_t *r = &s->v[i];
        uint64_t               head[3] = { r->db, r->key.len, r->value.len };

        ok = EVP_DigestUpdate(ctx, head, sizeof(head)) == 1 && EVP_DigestUpdate(ctx, r->key.p, r->key.len) == 1 &&
             EVP_DigestUpdate(ctx, r->value.p, r->value.len) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    return ok ? PKI_OK : pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 of the edge configuration");
}

static pki_code_t
config_write(env_t *env, MDB_txn *txn, void *arg, pki_err_t *err)
{
    const config_set_t *s = arg;
    env_state_t         state;

    for (size_t i = 0; i < sizeof(config_dbs) / sizeof(config_dbs[0]); i++) {
        PKI_TRY(env_empty(env, txn, config_dbs[i], err));
    }
    for (size_t i = 0; i < s->count; i++) {
        PKI_TRY(env_put(env, txn, s->v[i].db, s->v[i].key, s->v[i].value, err));
    }
    PKI_TRY(env_state_get(env, txn, &state, err));
    /* The first one starts above those of every store that was here before. */
    state.s.generation = state.s.generation != 0 ? state.s.generation + 1 : (uint64_t) clock_now_ms();
    return env_state_put(env, txn, &state, err);
}

static pki_code_t
config_apply(edge_t *e, config_set_t *s, pki_err_t *err)
{
    uint8_t hash[32];

    PKI_TRY(add_issuers(e, s, err));
    PKI_TRY(add_labels(e, s, err));
    PKI_TRY(add_accounts(e, s, err));
    PKI_TRY(set_hash(s, hash, err));
    if (!e->config_known || memcmp(hash, e->config_hash, sizeof(hash)) != 0) {
        PKI_TRY(writer_run(e->writer, config_write, s, err));
        memcpy(e->config_hash, hash, sizeof(hash));
        e->config_known = true;
    }
    atomic_store(&e->configured, true);
    return PKI_OK;
}

pki_code_t
config_publish(edge_t *e, pki_err_t *err)
{
    config_set_t s = { .arena = pki_arena_new(0) };
    pki_code_t   code;

    if (s.arena == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    pthread_mutex_lock(&e->config_lock);
    code = config_apply(e, &s, err);
    pthread_mutex_unlock(&e->config_lock);
    pki_arena_free(s.arena);
    return code;
}
