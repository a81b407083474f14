/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Issuers: making a local CA or loading one, and its chain.  The connector's own field table is the shape of
 * the body's config.
 */
#include <stdlib.h>

#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "orchestrator/issuer/issuer.h"
#include "orchestrator/store/issuer.h"

typedef struct {
    const char *id, *name, *type;
} issuer_new_t;

/* clang-format off */
static const field_t issuer_new_fields[] = {
    FIELD_TEXT(issuer_new_t, id,   0,          1, 62,  "id, \"iss-...\"; absent: made of the name"),
    FIELD_TEXT(issuer_new_t, name, F_REQUIRED, 1, 200, "name, not used by another issuer"),
    FIELD_STR (issuer_new_t, type, 0, "local",         "connector that issues; its config is the member of that name"),
    FIELD_END };
/* clang-format on */

static bool
issuer_config_at(size_t i, shape_t *out)
{
    const issuer_ops_t *ops = issuer_at(i);

    if (ops != NULL) {
        *out = (shape_t){ .name = ops->title, .fields = ops->conf_fields, .size = ops->conf_size };
    }
    return ops != NULL;
}

static bool
issuer_new_open(const void *in, shape_t *out)
{
    const issuer_ops_t *ops = issuer_find(((const issuer_new_t *) in)->type);

    if (ops == NULL || ops->conf_fields == NULL) {
        return false;
    }
    *out = (shape_t){ .name = ops->title, .fields = ops->conf_fields, .size = ops->conf_size };
    return true;
}

const shape_t shape_issuer_new = { .name = "IssuerNew", .fields = issuer_new_fields, .size = sizeof(issuer_new_t),
                                   .open = "config", .open_shape = issuer_new_open,
                                   .open_at = issuer_config_at };

typedef struct {
    const char *format;
    int64_t     generation;
} chain_query_t;

/* clang-format off */
static const char *const formats[] = { "pem", "der", NULL };
static const field_t chain_query_fields[] = {
    FIELD_ENUM(chain_query_t, format,     0, NULL, formats,   "pem, or the first certificate as der; absent: as Accept asks, else pem"),
    FIELD_INT (chain_query_t, generation, 0, "0", 0, 255,     "generation of the CA; 0: the one that issues"),
    FIELD_END };
/* clang-format on */

const shape_t shape_chain_query = SHAPE("ChainQuery", chain_query_t, chain_query_fields);

/* One certificate of the chain as the database keeps it. */
static pki_code_t
ca_row_fill(req_t *r, bytes_t der, size_t position, ca_row_t *out, pki_err_t *err)
{
    cert_t cert;
    char   kind[16];

    PKI_TRY(cert_parse(r->a, der, &cert, err));
    *out = (ca_row_t){ .generation = 1, .position = (int64_t) position, .der = der, .serial = cert.serial,
                       .skid = cert.skid, .not_before = cert.not_before, .not_after = cert.not_after };
    PKI_TRY(name_print(r->a, cert.subject, &out->subject, err));
    out->key_kind = pki_strdup(r->a, pki_key_name(&cert.key, kind));
    return out->key_kind != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

pki_code_t
issuer_chain_fill(req_t *r, const issuer_local_ca_t *ca, issuer_chain_t *out, pki_err_t *err)
{
    out->chain_len = ca->chain.count;
    PKI_TRY(PKI_NEW_N(r->a, ca->chain.count, &out->chain, err));
    for (size_t i = 0; i < ca->chain.count; i++) {
        PKI_TRY(ca_row_fill(r, ca->chain.v[i], i, &out->chain[i], err));
    }
    out->chain[0].key_ref = ca->key_ref;
    if (ca->root_key_ref != NULL && ca->chain.count > 1) {
        out->chain[ca->chain.count - 1].key_ref = ca->root_key_ref;
    }
    return PKI_OK;
}

/* What it was made with; the certificates themselves are rows of their own. */
static pki_code_t
config_print(req_t *r, const field_t *fields, const issuer_local_conf_t *in, const char **out, pki_err_t *err)
{
    issuer_local_conf_t conf = *in;
    char               *text;

    conf.certificates = NULL;
    JSON_AUTO json = fields_encode(fields, &conf);

    text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    if (text == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory while encoding");
    }
    *out = text;
    return pki_arena_own(r->a, text, free, err);
}

/* Keys are made before the row is written: look first whether the id is free. */
static pki_code_t
issuer_absent(req_t *r, const char *id, pki_err_t *err)
{
    issuer_chain_t there;
    pki_code_t     code = issuer_row_find(r->api->parts.db, r->a, id, &there, err);

    if (code == PKI_OK) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "the issuer %s exists already", id);
    }
    return code == PKI_E_NOT_FOUND ? PKI_OK : code;
}

pki_code_t
issuer_create(req_t *r, pki_err_t *err)
{
    const issuer_new_t        *in = r->in;
    const issuer_ops_t        *ops = issuer_find(in->type);
    const issuer_local_conf_t *conf = r->open;
    const api_parts_t         *parts = &r->api->parts;
    issuer_chain_t             row = { .issuer = { .name = in->name, .type = in->type, .enabled = true } };
    issuer_local_ca_t          ca;
    audit_t                    audit;
    uint32_t                   no;

    if (ops == NULL) {
        check_problem(r, "type", "is not a known connector");
    }
    if (conf != NULL && conf->certificates == NULL && conf->subject == NULL) {
        check_problem(r, "config.subject", "is missing: a CA that is made needs a name");
    }
    check_name(r, in->name);
    row.issuer.id = id_choose(r, "iss", in->id, in->name);
    PKI_TRY(check_done(r, err));
    PKI_TRY(issuer_absent(r, row.issuer.id, err));
    PKI_TRY(issuer_no_next(parts->db, &no, err));
    PKI_TRY(issuer_local_create(parts->signer, r->a, row.issuer.id, no, conf, &ca, err));
    row.issuer.no = no;
    PKI_TRY(issuer_chain_fill(r, &ca, &row, err));
    PKI_TRY(config_print(r, ops->conf_fields, conf, &row.issuer.config, err));
    audit = audit_of(r, 201);
    PKI_TRY(issuer_row_insert(parts->db, &row, &audit, err));
    audit_kept(r, &audit);
    PKI_TRY(edge_follow(r, err));
    return row_answer(r, row.issuer.id, err);
}

pki_code_t
issuer_chain_get(req_t *r, pki_err_t *err)
{
    const chain_query_t *query = r->query;
    db_t                *db = r->api->parts.db;
    issuer_chain_t       row;
    bytes_t             *der;

    PKI_TRY(issuer_row_find(db, r->a, r->param[0], &row, err));
    if (query->generation != 0) {
        PKI_TRY(issuer_row_find_generation(db, r->a, (uint32_t) row.issuer.no, (uint32_t) query->generation, &row, err));
    }
    PKI_TRY(PKI_NEW_N(r->a, row.chain_len, &der, err));
    for (size_t i = 0; i < row.chain_len; i++) {
        der[i] = row.chain[i].der;
    }
    return answer_certificates(r, der, row.chain_len, query->format, row.issuer.id, err);
}
