/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Issuers: made or loaded, changed, retired, tested, and their chains.  The connector's own field table is the shape of
 * the body's config.
 */
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/issuer_make.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/responder.h"

/* clang-format off */
static const field_t issuer_new_fields[] = {
    FIELD_TEXT(issuer_new_t, id,   0,          1, 62,  "id, \"iss-...\"; absent: made of the name"),
    FIELD_TEXT(issuer_new_t, name, F_REQUIRED, 1, 200, "name, not used by another issuer"),
    FIELD_STR (issuer_new_t, type, 0, "local",         "connector that issues; its config is the member of that name"),
    FIELD_END };
/* clang-format on */

static bool
connector_shape(const issuer_ops_t *ops, shape_t *out)
{
    *out = (shape_t){ .name = ops->title, .fields = ops->conf_fields, .size = ops->conf_size };
    return ops->conf_fields != NULL;
}

static bool
issuer_config_at(size_t i, shape_t *out)
{
    const issuer_ops_t *ops = issuer_at(i);

    return ops != NULL && connector_shape(ops, out);
}

static bool
issuer_new_open(const void *in, shape_t *out)
{
    const char         *type = ((const issuer_new_t *) in)->type;
    const issuer_ops_t *ops = type != NULL ? issuer_find(type) : NULL;

    return ops != NULL && connector_shape(ops, out);
}

const shape_t shape_issuer_new = { .name = "IssuerNew", .fields = issuer_new_fields, .size = sizeof(issuer_new_t),
                                   .open = "config", .open_shape = issuer_new_open,
                                   .open_at = issuer_config_at };

typedef struct {
    const char *id, *name, *type;
    bool        enabled;
} issuer_update_t;

/* clang-format off */
static const field_t issuer_update_fields[] = {
    FIELD_STR (issuer_update_t, id,      0, NULL,            "id: the one of the path"),
    FIELD_TEXT(issuer_update_t, name,    F_REQUIRED, 1, 200, "name, not used by another issuer"),
    FIELD_STR (issuer_update_t, type,    0, NULL,            "connector that issues: the one that it has"),
    FIELD_BOOL(issuer_update_t, enabled, 0, "true",          "whether it issues; a retired one cannot"),
    FIELD_END };

static const field_t nothing_fields[] = { FIELD_END };
/* clang-format on */

static bool
issuer_update_open(const void *in, shape_t *out)
{
    const char         *type = ((const issuer_update_t *) in)->type;
    const issuer_ops_t *ops = type != NULL ? issuer_find(type) : NULL;

    return ops != NULL && connector_shape(ops, out);
}

const shape_t shape_issuer_update = { .name = "IssuerUpdate", .fields = issuer_update_fields, .size = sizeof(issuer_update_t),
                                      .open = "config", .open_shape = issuer_update_open, .open_at = issuer_config_at,
                                      .open_merges = true };
const shape_t shape_nothing = { .name = "Nothing", .fields = nothing_fields, .size = 1 };

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

/* What cannot be decided by the connector's field table. */
static void
conf_check(req_t *r, const issuer_local_conf_t *conf)
{
    if (conf->certificates == NULL && conf->subject == NULL) {
        check_problem(r, "config.subject", "is missing: a CA that is made needs a name");
    }
}

pki_code_t
issuer_create(req_t *r, pki_err_t *err)
{
    const issuer_new_t *in = r->in;
    issuer_plan_t       plan = { .name = in->name, .source = "database", .ops = issuer_find(in->type), .conf = r->open,
                                 .given = r->open_given };
    audit_t             audit;

    if (plan.ops == NULL) {
        check_problem(r, "type", "is not a known connector");
    }
    if (plan.conf != NULL) {
        conf_check(r, plan.conf);
    }
    check_name(r, in->name);
    plan.id = id_choose(r, "iss", in->id, in->name);
    PKI_TRY(check_done(r, err));
    audit = audit_of(r, 201);
    PKI_TRY(issuer_make(&r->api->parts, r->a, &plan, &audit, err));
    audit_kept(r, &audit);
    PKI_TRY(edge_follow(r, err));
    return row_answer(r, plan.id, err);
}

/* ---- update ---- */

/* What it was made with stays; a mask or what is there already is no change. */
static void
fixed_check(req_t *r, const field_t *table, const json_t *kept)
{
    for (const field_t *f = table; f->type != FIELD_T_END; f++) {
        const json_t *given = json_object_get(r->open_given, f->name), *there = json_object_get(kept, f->name);

        if (f->flags & F_FIXED && given != NULL && !json_is_null(given) && !json_equal(given, there)) {
            check_problem(r, pki_printf(r->a, "config.%s", f->name), "cannot be changed");
        }
    }
}

/* The configuration as it is to be, checked by the connector's table, into the row. */
static pki_code_t
config_update(req_t *r, const issuer_ops_t *ops, issuer_row_t *row, pki_err_t *err)
{
    field_problems_t problems = { 0 };
    void            *conf = pki_alloc(r->a, ops->conf_size);
    JSON_AUTO        kept = NULL;
    JSON_AUTO        whole = NULL;
    pki_code_t       code;

    if (r->open_given == NULL) {
        return PKI_OK;
    }
    if (conf == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    PKI_TRY(issuer_config_merge(&r->api->parts, r->a, ops, row, NULL, &kept, err));
    PKI_TRY(issuer_config_merge(&r->api->parts, r->a, ops, row, r->open_given, &whole, err));
    fixed_check(r, ops->conf_fields, kept);
    code = fields_decode(r->a, ops->conf_fields, whole, conf, &problems, err);
    if (code != PKI_OK && code != PKI_E_INVALID) {
        return code;
    }
    problems_add(r, "config", &problems);
    PKI_TRY(check_done(r, err));
    return issuer_config_keep(&r->api->parts, r->a, ops, whole, row, err);
}

pki_code_t
issuer_update(req_t *r, pki_err_t *err)
{
    const issuer_update_t *in = r->in;
    const issuer_ops_t    *ops;
    issuer_chain_t         there;
    audit_t                audit = audit_of(r, 200);

    PKI_TRY(issuer_row_find(r->api->parts.db, r->a, r->param[0], &there, err));
    ops = issuer_find(there.issuer.type);
    if (ops == NULL) {
        return pki_fail(err, PKI_E_CONFIG, NULL, "issuer %s is of an unknown type", there.issuer.id);
    }
    check_name(r, in->name);
    if (in->type != NULL && strcmp(in->type, ops->type) != 0) {
        check_problem(r, "type", "cannot be changed");
    }
    if (in->enabled && there.issuer.retired_at != 0) {
        check_problem(r, "enabled", "must be false: the issuer is retired");
    }
    PKI_TRY(check_same_id(r, in->id, err));
    PKI_TRY(config_update(r, ops, &there.issuer, err));
    there.issuer.name = in->name;
    there.issuer.enabled = in->enabled;
    PKI_TRY(issuer_row_update(r->api->parts.db, &there.issuer, r->if_match, &audit, err));
    audit_kept(r, &audit);
    PKI_TRY(edge_follow(r, err));
    return row_answer(r, there.issuer.id, err);
}

pki_code_t
issuer_retire(req_t *r, pki_err_t *err)
{
    audit_t audit = audit_of(r, 204);

    PKI_TRY(issuer_row_retire(r->api->parts.db, r->param[0], r->if_match, &audit, err));
    audit_kept(r, &audit);
    return edge_follow(r, err);
}

/* ---- test ---- */

static pki_code_t
lists_check(req_t *r, const char *id, pki_err_t *err)
{
    edge_crl_info_t *crls;
    size_t           count, found = 0;

    PKI_TRY(edge_crls(r->api->parts.edge, r->a, &crls, &count, err));
    for (size_t i = 0; i < count; i++) {
        const edge_crl_info_t *crl = &crls[i];

        if (strcmp(crl->issuer_id, id) != 0) {
            continue;
        }
        found++;
        if (!crl->is_served || crl->is_stale || crl->error != NULL) {
            return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "a CRL of generation %u is %s%s%s", crl->id.generation,
                            !crl->is_served ? "missing" : crl->is_stale ? "old" : "failing", crl->error != NULL ? ": " : "",
                            crl->error != NULL ? crl->error : "");
        }
    }
    return found > 0 ? PKI_OK : pki_fail(err, PKI_E_UNAVAILABLE, NULL, "there is no CRL");
}

/* A responder for each kind of key that its settings name. */
static pki_code_t
responders_check(req_t *r, const issuer_chain_t *row, pki_err_t *err)
{
    issuer_settings_t settings;
    responder_row_t  *found;
    size_t            count;

    PKI_TRY(issuer_settings_of(r->a, &row->issuer, r->api->parts.conf, &settings, err));
    for (size_t i = 0; i < settings.ocsp_keys.count; i++) {
        PKI_TRY(responder_find(r->api->parts.db, r->a, (uint32_t) row->issuer.no, (uint32_t) row->chain[0].generation,
                               settings.ocsp_keys.v[i], &found, &count, err));
        if (count == 0) {
            return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "there is no OCSP responder with a key of kind %s",
                            settings.ocsp_keys.v[i]);
        }
    }
    return PKI_OK;
}

static pki_code_t
issuer_check(req_t *r, const issuer_chain_t *row, pki_err_t *err)
{
    const issuer_ops_t *ops = issuer_find(row->issuer.type);
    issuer_ca_t         ca;

    if (ops == NULL) {
        return pki_fail(err, PKI_E_CONFIG, NULL, "it is of an unknown type");
    }
    if (row->chain[0].revoked_at != 0) {
        return pki_fail(err, PKI_E_POLICY, "RFC 6960 2.7", "the CA certificate is revoked: it needs a re-key");
    }
    PKI_TRY(edge_ca_of(r->a, row, &ca, err));
    PKI_TRY(ops->check(r->api->parts.signer, r->a, &ca, err));
    PKI_TRY(responders_check(r, row, err));
    return lists_check(r, row->issuer.id, err);
}

pki_code_t
issuer_test(req_t *r, pki_err_t *err)
{
    issuer_chain_t row;
    audit_t        audit = audit_of(r, 200);
    pki_err_t      why = { 0 };
    bool           good;

    PKI_TRY(issuer_row_find(r->api->parts.db, r->a, r->param[0], &row, err));
    good = issuer_check(r, &row, &why) == PKI_OK;
    PKI_TRY(issuer_row_tested(r->api->parts.db, row.issuer.id, good ? NULL : why.text, &audit, err));
    audit_kept(r, &audit);
    return row_answer(r, row.issuer.id, err);
}

/* ---- the chain ---- */

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
