/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Making an issuer, and keeping its configuration.
 */
#include "orchestrator/api/issuer_make.h"

#include <stdlib.h>

#include <openssl/crypto.h>

#include "pkiproto/json/secret.h"

/* ---- configuration ---- */

static pki_code_t
json_text(pki_arena_t *a, const json_t *json, const char **out, pki_err_t *err)
{
    char *text = json_dumps(json, JSON_COMPACT);

    if (text == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory while encoding");
    }
    *out = text;
    return pki_arena_own(a, text, free, err);
}

static const char *
secrets_place(pki_arena_t *a, const char *id)
{
    return pki_printf(a, "issuer:%s:secrets", id);
}

static pki_code_t
secrets_seal(const api_parts_t *parts, pki_arena_t *a, const json_t *secret, issuer_row_t *row, pki_err_t *err)
{
    const char *place = secrets_place(a, row->id);
    char       *text;
    pki_code_t  code;

    row->secrets = BYTES_NONE;
    if (json_object_size(secret) == 0) {
        return PKI_OK;
    }
    text = json_dumps(secret, JSON_COMPACT);
    if (place == NULL || text == NULL) {
        free(text);
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory while encoding");
    }
    code = seal(parts->keyring, a, place, bytes_str(text), &row->secrets, err);
    OPENSSL_cleanse(text, strlen(text));
    free(text);
    return code;
}

pki_code_t
issuer_config_keep(const api_parts_t *parts, pki_arena_t *a, const issuer_ops_t *ops, const json_t *whole, issuer_row_t *row,
                   pki_err_t *err)
{
    JSON_AUTO shown = NULL;
    JSON_AUTO secret = NULL;

    PKI_TRY(secrets_split(ops->conf_fields, whole, &shown, &secret, err));
    PKI_TRY(json_text(a, shown, &row->config, err));
    return secrets_seal(parts, a, secret, row, err);
}

pki_code_t
issuer_config_merge(const api_parts_t *parts, pki_arena_t *a, const issuer_ops_t *ops, const issuer_row_t *row,
                    const json_t *given, json_t **whole, pki_err_t *err)
{
    JSON_AUTO    shown = NULL;
    JSON_AUTO    secret = NULL;
    pki_secret_t text;
    const char  *place = secrets_place(a, row->id);

    PKI_TRY(json_parse(bytes_str(row->config), &shown, err));
    if (row->secrets.p != NULL) {
        if (place == NULL) {
            return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
        }
        PKI_TRY(unseal(parts->keyring, a, place, row->secrets, &text, err));
        PKI_TRY(json_parse(pki_secret_bytes(&text), &secret, err));
    }
    return secrets_merge(ops->conf_fields, shown, secret, given, whole, err);
}

/* What it was made with, defaults included; the certificates themselves are rows of their own. */
static pki_code_t
config_first(const api_parts_t *parts, pki_arena_t *a, const issuer_plan_t *plan, issuer_row_t *row, pki_err_t *err)
{
    issuer_local_conf_t conf = *(const issuer_local_conf_t *) plan->conf;
    JSON_AUTO           defaults = NULL;
    JSON_AUTO           secret = NULL;
    JSON_AUTO           shown = NULL;
    JSON_AUTO           whole = NULL;

    conf.certificates = NULL;
    defaults = fields_encode(plan->ops->conf_fields, &conf);
    if (defaults == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory while encoding");
    }
    if (plan->given != NULL) {
        PKI_TRY(secrets_split(plan->ops->conf_fields, plan->given, &shown, &secret, err));
    }
    PKI_TRY(secrets_merge(plan->ops->conf_fields, defaults, secret, NULL, &whole, err));
    return issuer_config_keep(parts, a, plan->ops, whole, row, err);
}

/* ---- certificates ---- */

static pki_code_t
ca_row_fill(pki_arena_t *a, bytes_t der, size_t position, ca_row_t *out, pki_err_t *err)
{
    cert_t cert;
    char   kind[16];

    PKI_TRY(cert_parse(a, der, &cert, err));
    *out = (ca_row_t){ .generation = 1, .position = (int64_t) position, .der = der, .serial = cert.serial,
                       .skid = cert.skid, .not_before = cert.not_before, .not_after = cert.not_after };
    PKI_TRY(name_print(a, cert.subject, &out->subject, err));
    out->key_kind = pki_strdup(a, pki_key_name(&cert.key, kind));
    return out->key_kind != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

pki_code_t
issuer_chain_fill(pki_arena_t *a, const issuer_local_ca_t *ca, issuer_chain_t *out, pki_err_t *err)
{
    out->chain_len = ca->chain.count;
    PKI_TRY(PKI_NEW_N(a, ca->chain.count, &out->chain, err));
    for (size_t i = 0; i < ca->chain.count; i++) {
        PKI_TRY(ca_row_fill(a, ca->chain.v[i], i, &out->chain[i], err));
    }
    out->chain[0].key_ref = ca->key_ref;
    if (ca->root_key_ref != NULL && ca->chain.count > 1) {
        out->chain[ca->chain.count - 1].key_ref = ca->root_key_ref;
    }
    return PKI_OK;
}

/* ---- the issuer ---- */

/* Keys are made before the row is written: look first whether the id is free. */
static pki_code_t
issuer_absent(db_t *db, pki_arena_t *a, const char *id, pki_err_t *err)
{
    issuer_chain_t there;
    pki_code_t     code = issuer_row_find(db, a, id, &there, err);

    if (code == PKI_OK) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "the issuer %s exists already", id);
    }
    return code == PKI_E_NOT_FOUND ? PKI_OK : code;
}

pki_code_t
issuer_make(const api_parts_t *parts, pki_arena_t *a, const issuer_plan_t *plan, const audit_t *audit, pki_err_t *err)
{
    issuer_chain_t    row = { .issuer = { .id = plan->id, .name = plan->name, .type = plan->ops->type, .enabled = true,
                                          .source = plan->source } };
    issuer_local_ca_t ca;
    uint32_t          no;

    PKI_TRY(issuer_absent(parts->db, a, plan->id, err));
    PKI_TRY(config_first(parts, a, plan, &row.issuer, err));
    PKI_TRY(issuer_no_next(parts->db, &no, err));
    PKI_TRY(issuer_local_create(parts->signer, a, plan->id, no, plan->conf, &ca, err));
    row.issuer.no = no;
    PKI_TRY(issuer_chain_fill(a, &ca, &row, err));
    return issuer_row_insert(parts->db, &row, audit, err);
}
