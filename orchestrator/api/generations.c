/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Generations of an issuer's CA, and how its revocations are told: re-key, revocation of the CA certificate itself, the
 * settings.
 */
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/issuer_make.h"
#include "orchestrator/api/server.h"
#include "orchestrator/issuer/issuer.h"
#include "orchestrator/store/issuer.h"

#define GENERATION_MAX 255
#define DAY_S          86400

typedef struct {
    const char *reason;
    int64_t     generation;
} ca_revoke_t;

typedef struct {
    issuer_settings_t settings, effective;
} revocation_answer_t;

/* CRLReason by the names of RFC 5280 5.3.1, as far as it can be said of a CA for good. */
static const struct {
    const char *name;
    int         reason;
} ca_reasons[] = {
    { "unspecified", 0 },          { "keyCompromise", 1 },      { "cACompromise", 2 },
    { "affiliationChanged", 3 },   { "superseded", 4 },         { "cessationOfOperation", 5 },
    { "privilegeWithdrawn", 9 },   { NULL, 0 },
};
static const char *const ca_reason_names[] = { "unspecified",          "keyCompromise",      "cACompromise",
                                               "affiliationChanged",   "superseded",         "cessationOfOperation",
                                               "privilegeWithdrawn",   NULL };

/* clang-format off */
static const field_t ca_revoke_fields[] = {
    FIELD_ENUM(ca_revoke_t, reason,     0, "unspecified", ca_reason_names, "reason as RFC 5280 5.3.1 names it"),
    FIELD_INT (ca_revoke_t, generation, 0, "0", 0, GENERATION_MAX,         "generation of the CA; 0: the one that issues"),
    FIELD_END };

static const field_t revocation_answer_fields[] = {
    FIELD_OBJECT(revocation_answer_t, settings,  0, issuer_settings_fields, "as they were set; absent: nothing was"),
    FIELD_OBJECT(revocation_answer_t, effective, 0, issuer_settings_fields, "with the defaults of the configuration in place of what was not set"),
    FIELD_END };
/* clang-format on */

const shape_t shape_rekey = SHAPE("IssuerRekey", issuer_local_rekey_t, issuer_local_rekey_fields);
const shape_t shape_ca_revoke = SHAPE("IssuerRevokeCA", ca_revoke_t, ca_revoke_fields);
const shape_t shape_revocation = SHAPE("RevocationSettings", issuer_settings_t, issuer_settings_fields);
const shape_t shape_revocation_answer = SHAPE("IssuerRevocation", revocation_answer_t, revocation_answer_fields);

/* ---- re-key ---- */

/* OCSP tells generations apart by their keys. */
static pki_code_t
key_is_new(req_t *r, const char *id, bytes_t der, pki_err_t *err)
{
    issuer_chain_t *live;
    size_t          count;
    cert_t          made, old;

    PKI_TRY(cert_parse(r->a, der, &made, err));
    PKI_TRY(issuer_generations(r->api->parts.db, r->a, id, &live, &count, err));
    for (size_t i = 0; i < count; i++) {
        PKI_TRY(cert_parse(r->a, live[i].chain[0].der, &old, err));
        if (bytes_eq(old.key.spki, made.key.spki)) {
            return pki_fail(err, PKI_E_CONFLICT, "RFC 6960 4.2.2.2", "generation %lld has the same key",
                            (long long) live[i].chain[0].generation);
        }
    }
    return PKI_OK;
}

static pki_code_t
generation_make(req_t *r, const issuer_chain_t *present, issuer_chain_t *next, pki_err_t *err)
{
    const char       *above = present->chain_len > 1 ? present->chain[1].key_ref : NULL;
    uint32_t          generation = (uint32_t) present->chain[0].generation + 1;
    issuer_settings_t settings;
    issuer_local_ca_t made;
    issuer_ca_t       ca;

    if (generation > GENERATION_MAX) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "issuer %s has had %d generations: make another issuer",
                        present->issuer.id, GENERATION_MAX);
    }
    PKI_TRY(edge_ca_of(r->a, present, &ca, err));
    PKI_TRY(issuer_settings_read(r->a, &present->issuer, &settings, err));
    PKI_TRY(issuer_local_rekey(r->api->parts.signer, r->a, &ca, above, generation, r->in, &made, err));
    PKI_TRY(key_is_new(r, present->issuer.id, made.chain.v[0], err));
    *next = (issuer_chain_t){ .issuer = present->issuer };
    PKI_TRY(issuer_chain_fill(r->a, &made, next, err));
    for (size_t i = 0; i < next->chain_len; i++) {
        next->chain[i].generation = generation;
    }
    next->chain[0].crl_shards = settings.crl_shards;
    return PKI_OK;
}

pki_code_t
issuer_rekey(req_t *r, pki_err_t *err)
{
    const api_parts_t *parts = &r->api->parts;
    issuer_chain_t     present, next;
    audit_t            audit = audit_of(r, 200);

    PKI_TRY(issuer_row_find(parts->db, r->a, r->param[0], &present, err));
    if (present.issuer.retired_at != 0) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "issuer %s is retired", present.issuer.id);
    }
    PKI_TRY(generation_make(r, &present, &next, err));
    audit.details = pki_printf(r->a, "{\"generation\": %lld}", (long long) next.chain[0].generation);
    PKI_TRY(issuer_row_rekey(parts->db, &next, &audit, err));
    audit_kept(r, &audit);
    PKI_TRY(edge_follow(r, err));
    return row_answer(r, present.issuer.id, err);
}

/* ---- the CA certificate itself ---- */

static int
reason_of(const char *name)
{
    size_t i = 0;

    while (ca_reasons[i].name != NULL && strcmp(ca_reasons[i].name, name) != 0) {
        i++;
    }
    return ca_reasons[i].reason;
}

pki_code_t
issuer_revoke_ca(req_t *r, pki_err_t *err)
{
    const ca_revoke_t *in = r->in;
    db_t              *db = r->api->parts.db;
    audit_t            audit = audit_of(r, 200);
    issuer_chain_t     row;
    uint32_t           generation = (uint32_t) in->generation;

    PKI_TRY(issuer_row_find(db, r->a, r->param[0], &row, err));
    if (generation != 0) {
        PKI_TRY(issuer_row_find_generation(db, r->a, (uint32_t) row.issuer.no, generation, &row, err));
    }
    generation = (uint32_t) row.chain[0].generation;
    audit.details = pki_printf(r->a, "{\"generation\": %u, \"reason\": \"%s\"}", generation, in->reason);
    PKI_TRY(issuer_row_revoke_ca(db, row.issuer.id, generation, reason_of(in->reason), &audit, err));
    audit_kept(r, &audit);
    PKI_TRY(edge_follow(r, err));
    return row_answer(r, row.issuer.id, err);
}

/* ---- settings ---- */

static pki_code_t
revocation_answer(req_t *r, pki_err_t *err)
{
    const api_parts_t  *parts = &r->api->parts;
    issuer_chain_t      row;
    revocation_answer_t out = { 0 };

    PKI_TRY(issuer_row_find(parts->db, r->a, r->param[0], &row, err));
    PKI_TRY(issuer_settings_read(r->a, &row.issuer, &out.settings, err));
    PKI_TRY(issuer_settings_of(r->a, &row.issuer, parts->conf, &out.effective, err));
    return answer_struct(r, &out, err);
}

pki_code_t
revocation_get(req_t *r, pki_err_t *err)
{
    return revocation_answer(r, err);
}

/* What the field table cannot say: what is not set counts with its default. */
static void
settings_check(req_t *r, const issuer_settings_t *in, const issuer_settings_t *effective)
{
    for (size_t i = 0; i < in->ocsp_keys.count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (strcmp(in->ocsp_keys.v[i], in->ocsp_keys.v[k]) == 0) {
                check_problem(r, "ocsp_keys", "has %s twice", in->ocsp_keys.v[i]);
            }
        }
    }
    if (in->ocsp_validity_s != 0 && in->ocsp_validity_s < 300) {
        check_problem(r, "ocsp_validity_s", "must be at least 300, or 0");
    }
    if (effective->ocsp_validity_s >= r->api->parts.conf->ocsp.responder_renew_s) {
        check_problem(r, "ocsp_validity_s", "must be less than ocsp.responder_renew_s of the configuration");
    }
    if (in->crl_validity_s != 0 && in->crl_validity_s < 300) {
        check_problem(r, "crl_validity_s", "must be at least 300, or 0");
    }
    if (in->crl_refresh_s != 0 && in->crl_refresh_s < 60) {
        check_problem(r, "crl_refresh_s", "must be at least 60, or 0");
    }
    if (effective->crl_refresh_s >= effective->crl_validity_s) {
        check_problem(r, "crl_refresh_s", "must be less than crl_validity_s, which is %lld",
                      (long long) effective->crl_validity_s);
    }
    if (in->crl_delta_s != 0 && (in->crl_delta_s < 10 || in->crl_delta_s >= effective->crl_validity_s)) {
        check_problem(r, "crl_delta_s", "must be 0, or from 10 to less than crl_validity_s");
    }
    if (in->crl_expired_since && in->crl_keep_expired_s == 0) {
        check_problem(r, "crl_expired_since", "needs crl_keep_expired_s");
    }
}

/* What the CA/Browser Forum's Baseline Requirements ask of an issuer of TLS certificates. */
static void
webpki_check(req_t *r, const issuer_settings_t *in)
{
    const struct {
        bool        good;
        const char *field, *rule;
    } rules[] = {
        { in->ocsp_validity_s >= 8 * 3600 && in->ocsp_validity_s < 10 * DAY_S, "ocsp_validity_s",
          "must be from 8 hours to less than 10 days, whose last second counts (BR 4.9.10)" },
        { in->crl_validity_s < 10 * DAY_S, "crl_validity_s", "must be less than 10 days (BR 7.2)" },
        { in->crl_refresh_s <= 4 * DAY_S, "crl_refresh_s", "must be at most 4 days (BR 4.9.7)" },
        { in->crl_delta_s == 0, "crl_delta_s", "must be 0: no FreshestCRL (BR 7.2.2)" },
        { !in->crl_expired_since, "crl_expired_since", "must not be set (BR 7.2.2)" },
        { !in->crl_next_publish, "crl_next_publish", "must not be set (BR 7.2.2)" },
        { !in->crl_aia, "crl_aia", "must not be set (BR 7.2.2)" },
    };

    for (size_t i = 0; in->webpki && i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (!rules[i].good) {
            check_problem(r, rules[i].field, "with webpki %s", rules[i].rule);
        }
    }
}

pki_code_t
revocation_put(req_t *r, pki_err_t *err)
{
    const issuer_settings_t *in = r->in;
    const api_parts_t       *parts = &r->api->parts;
    issuer_settings_t        effective = *in;
    audit_t                  audit = audit_of(r, 200);

    issuer_settings_default(parts->conf, &effective);
    settings_check(r, in, &effective);
    webpki_check(r, &effective);
    PKI_TRY(check_done(r, err));
    PKI_TRY(issuer_settings_put(parts->db, r->param[0], in, &audit, err));
    audit_kept(r, &audit);
    PKI_TRY(edge_follow(r, err));
    return revocation_answer(r, err);
}
