/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rows of certificate profiles.
 */
#include "orchestrator/store/profile.h"

#include "orchestrator/store/verb.h"

static const char *const key_kinds[] = { "rsa", "p-256", "p-384", "ed25519", NULL };
static const char *const ekus[] = {
    "serverAuth", "clientAuth", "codeSigning", "emailProtection", "timeStamping", NULL,
};
static const char *const name_kinds[] = { "dns", "ip", "email", "uri", NULL };
static const char *const subject_rules[] = { "csr", "san", NULL };

/* clang-format off */
const field_t profile_fields[] = {
    FIELD_STR(profile_row_t, id, 0, NULL, "identifier, prof-...; made from the name when absent"),
    FIELD_STR(profile_row_t, name, F_REQUIRED, NULL, "unique name"),
    FIELD_STRS(profile_row_t, key_kinds, F_REQUIRED, key_kinds, "kinds of key that are certified"),
    FIELD_INT(profile_row_t, min_rsa_bits, 0, "2048", 2048, 4096, "least modulus of RSA keys"),
    FIELD_INT(profile_row_t, validity_s, F_REQUIRED, NULL, 60, 3155760000, "lifetime in seconds, clamped to the issuing CA's"),
    FIELD_STRS(profile_row_t, eku, 0, ekus, "extended key usages of what is issued"),
    FIELD_STRS(profile_row_t, name_kinds, 0, name_kinds, "kinds of alternative names that are accepted"),
    FIELD_STRS(profile_row_t, dns_patterns, 0, NULL, "DNS names must match one of these, * being any run of characters; empty: any"),
    FIELD_STRS(profile_row_t, ip_patterns, 0, NULL, "the same for IP addresses"),
    FIELD_STRS(profile_row_t, email_patterns, 0, NULL, "the same for mail addresses"),
    FIELD_STRS(profile_row_t, uri_patterns, 0, NULL, "the same for URIs"),
    FIELD_ENUM(profile_row_t, subject_rule, 0, "csr", subject_rules, "csr: the subject of the request; san: its first DNS name"),
    FIELD_BOOL(profile_row_t, allow_empty_subject, 0, "false", "a request without a subject is accepted when it has names"),
    FIELD_BOOL(profile_row_t, revocation_exempt, 0, "false", "certificates say that no revocation information is available (noRevAvail) and name neither OCSP nor CRL; for lifetimes of an hour at most"),
    FIELD_BOOL(profile_row_t, must_staple, 0, "false", "certificates say that TLS servers have to staple an OCSP response"),
    FIELD_TIME(profile_row_t, created_at, F_READONLY, "when it was made"),
    FIELD_TIME(profile_row_t, updated_at, F_READONLY, "when it was last changed"),
    FIELD_END,
};
/* clang-format on */

static pki_code_t
profile_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    return db_row(r, row, a, profile_fields, out, err);
}

pki_code_t
profile_list(db_t *db, pki_arena_t *a, profile_row_t **out, size_t *count, pki_err_t *err)
{
    return verb_list(db, a, Q_profile_list, DB_PARAMS(DB_T(NULL)), profile_read, sizeof(**out), (void **) out,
                     count, err);
}

pki_code_t
profile_find(db_t *db, pki_arena_t *a, const char *id, profile_row_t *out, pki_err_t *err)
{
    return verb_find(db, a, Q_profile_list, DB_PARAMS(DB_T(id)), profile_read, out, "profile", id, err);
}

/* Insert and update have the same parameters. */
static pki_code_t
profile_write(db_t *db, db_query_t q, const profile_row_t *p, const char *version, const audit_t *audit,
              pki_err_t *err)
{
    const db_param_t params[] = {
        DB_T(p->id), DB_T(p->name), DB_TS(&p->key_kinds), DB_I(p->min_rsa_bits), DB_I(p->validity_s),
        DB_TS(&p->eku), DB_TS(&p->name_kinds), DB_TS(&p->dns_patterns), DB_TS(&p->ip_patterns),
        DB_TS(&p->email_patterns), DB_TS(&p->uri_patterns), DB_T(p->subject_rule),
        DB_F(p->allow_empty_subject), DB_F(p->revocation_exempt), DB_F(p->must_staple),
    };
    const verb_change_t v = {
        .q = q, .params = params, .count = sizeof(params) / sizeof(params[0]), .what = "profile", .id = p->id,
        .none = PKI_E_NOT_FOUND, .announce = true, .table = "profile", .version = version, .audit = audit,
    };

    return verb_change(db, &v, err);
}

pki_code_t
profile_insert(db_t *db, const profile_row_t *in, const audit_t *audit, pki_err_t *err)
{
    return profile_write(db, Q_profile_insert, in, NULL, audit, err);
}

pki_code_t
profile_update(db_t *db, const profile_row_t *in, const char *version, const audit_t *audit, pki_err_t *err)
{
    return profile_write(db, Q_profile_update, in, version, audit, err);
}

pki_code_t
profile_delete(db_t *db, const char *id, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(id) };
    const verb_change_t v = {
        .q = Q_profile_delete, .params = params, .count = 1, .what = "profile", .id = id,
        .none = PKI_E_NOT_FOUND, .foreign = PKI_E_CONFLICT, .announce = true, .audit = audit,
    };

    return verb_change(db, &v, err);
}
