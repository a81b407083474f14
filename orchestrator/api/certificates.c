/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Managed certificates: issue for a request, download, revoke, release.  What is decided about them is
 * decided in orchestrator/issue.
 */
#include <stdio.h>
#include <strings.h>

#include "core/clock.h"
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/cert.h"
#include "orchestrator/store/issuer.h"
#include "orchestrator/store/profile.h"
#include "pkiproto/base/text.h"
#include "pkiproto/x509/csr.h"

#define REASON_REMOVE 8 /* removeFromCRL: release from hold */
#define REASON_LAST   10
#define SERIALS_MAX   1000
#define CHAIN_PEM_MAX (256u << 10)

typedef struct {
    const char *name, *profile_id, *issuer_id, *csr_pem;
    const char *owner_id, *team_id, *environment, *renewal_policy_id;
    str_map_t   tags;
} certificate_new_t;

typedef struct {
    const char *id, *name, *profile_id, *issuer_id;
    bytes_t     serial;
    int64_t     not_before, not_after;
    const char *pem, *chain_pem;
} certificate_issued_t;

typedef struct {
    const char *reason;
    int64_t     invalidity_date;
    str_list_t  serials;
} revoke_t;

typedef struct {
    str_list_t serials;
} release_t;

typedef struct {
    const char *id, *status, *reason;
    int64_t     changed;
} revoked_t;

/* CRLReason by the names of RFC 5280 5.3.1; a caller may also write caCompromise and aaCompromise. */
static const char *const reason_names[REASON_LAST + 1] = {
    "unspecified",          "keyCompromise",   "cACompromise", "affiliationChanged", "superseded",
    "cessationOfOperation", "certificateHold", NULL,           "removeFromCRL",      "privilegeWithdrawn",
    "aACompromise",
};
/* What may be asked for: release from hold has a call of its own. */
static const char *const reasons[] = { "unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded",
                                       "cessationOfOperation", "certificateHold", "privilegeWithdrawn", "aACompromise",
                                       "caCompromise", "aaCompromise", NULL };
static const char *const formats[] = { "pem", "der", NULL };

/* clang-format off */
static const field_t certificate_new_fields[] = {
    FIELD_TEXT(certificate_new_t, name,              F_REQUIRED, 1, 200, "name of the managed certificate, not used by another"),
    FIELD_TEXT(certificate_new_t, profile_id,        F_REQUIRED, 1, 64,  "profile that says what may be issued"),
    FIELD_TEXT(certificate_new_t, issuer_id,         F_REQUIRED, 1, 64,  "issuer that signs"),
    FIELD_TEXT(certificate_new_t, csr_pem,           F_REQUIRED, 1, 2 * CSR_MAX, "PKCS #10 request in PEM"),
    FIELD_TEXT(certificate_new_t, owner_id,          0, 1, 64,           "who answers for it"),
    FIELD_TEXT(certificate_new_t, team_id,           0, 1, 64,           "team that it belongs to"),
    FIELD_TEXT(certificate_new_t, environment,       0, 1, 64,           "environment that it is used in"),
    FIELD_TEXT(certificate_new_t, renewal_policy_id, 0, 1, 64,           "when it is renewed"),
    FIELD_MAP (certificate_new_t, tags,              0, NULL, 256, NULL, "whatever else is to be said of it"),
    FIELD_END };

static const field_t certificate_issued_fields[] = {
    FIELD_STR (certificate_issued_t, id,         F_REQUIRED, NULL, "id of the managed certificate"),
    FIELD_STR (certificate_issued_t, name,       F_REQUIRED, NULL, "its name"),
    FIELD_STR (certificate_issued_t, profile_id, F_REQUIRED, NULL, "profile it was issued under"),
    FIELD_STR (certificate_issued_t, issuer_id,  F_REQUIRED, NULL, "issuer that signed"),
    FIELD_HEX (certificate_issued_t, serial,     F_REQUIRED,       "serial number"),
    FIELD_TIME(certificate_issued_t, not_before, F_REQUIRED,       "start of its validity"),
    FIELD_TIME(certificate_issued_t, not_after,  F_REQUIRED,       "end of its validity"),
    FIELD_STR (certificate_issued_t, pem,        F_REQUIRED, NULL, "the certificate in PEM"),
    FIELD_STR (certificate_issued_t, chain_pem,  F_REQUIRED, NULL, "the CA certificates up to, and without, the root"),
    FIELD_END };

static const field_t revoke_fields[] = {
    FIELD_ENUM(revoke_t, reason,          0, "unspecified", reasons, "reason as RFC 5280 5.3.1 names it; certificateHold can be released"),
    FIELD_TIME(revoke_t, invalidity_date, 0,                         "when the key is thought to have become unsafe"),
    FIELD_STRS(revoke_t, serials,         0, NULL,                   "versions by serial, hexadecimal; absent: every unexpired one"),
    FIELD_END };

static const field_t release_fields[] = {
    FIELD_STRS(release_t, serials, 0, NULL, "versions by serial, hexadecimal; absent: every one on hold"),
    FIELD_END };

static const field_t revoked_fields[] = {
    FIELD_STR(revoked_t, id,      F_REQUIRED, NULL,          "id of the managed certificate"),
    FIELD_STR(revoked_t, status,  F_REQUIRED, NULL,          "its status now"),
    FIELD_STR(revoked_t, reason,  F_REQUIRED, NULL,          "reason that was applied"),
    FIELD_INT(revoked_t, changed, 0, NULL, 0, INT64_MAX,     "versions whose state changed"),
    FIELD_END };

static const field_t format_fields[] = {
    FIELD_ENUM(format_query_t, format, 0, NULL, formats, "pem, or the first certificate as der; absent: as Accept asks, else pem"),
    FIELD_END };
/* clang-format on */

const shape_t shape_certificate_new = SHAPE("CertificateNew", certificate_new_t, certificate_new_fields);
const shape_t shape_certificate_issued = SHAPE("CertificateIssued", certificate_issued_t, certificate_issued_fields);
const shape_t shape_revoke = SHAPE("Revoke", revoke_t, revoke_fields);
const shape_t shape_release = SHAPE("Release", release_t, release_fields);
const shape_t shape_revoked = SHAPE("Revoked", revoked_t, revoked_fields);
const shape_t shape_format = SHAPE("Format", format_query_t, format_fields);

/* ---- issue ---- */

static pki_code_t
pem_of(req_t *r, const bytes_t *der, size_t count, const char **out, pki_err_t *err)
{
    pki_buf_t buf;

    pki_buf_init(&buf, r->a, CHAIN_PEM_MAX);
    for (size_t i = 0; i < count; i++) {
        PKI_TRY(cert_pem(der[i], &buf, err));
    }
    pki_buf_put_u8(&buf, 0);
    PKI_TRY(pki_buf_check(&buf, "certificates in PEM", err));
    *out = (const char *) buf.p;
    return PKI_OK;
}

static pki_code_t
issued_answer(req_t *r, const certificate_new_t *in, const issue_result_t *issued, pki_err_t *err)
{
    certificate_issued_t out = { .id = issued->managed_id, .name = in->name, .profile_id = in->profile_id,
                                 .issuer_id = in->issuer_id, .serial = issued->serial };
    size_t               above = issued->chain.count > 1 ? issued->chain.count - 1 : issued->chain.count;
    cert_t               cert;

    PKI_TRY(cert_parse(r->a, issued->der, &cert, err));
    out.not_before = cert.not_before;
    out.not_after = cert.not_after;
    PKI_TRY(pem_of(r, &issued->der, 1, &out.pem, err));
    PKI_TRY(pem_of(r, issued->chain.v, above, &out.chain_pem, err));
    r->answer.location = pki_printf(r->a, "%s/%s", r->route->path, out.id);
    return answer_struct(r, &out, err);
}

/* Everything that is wrong with the order at once; the issuance path decides about the request itself. */
static pki_code_t
certificate_check(req_t *r, const certificate_new_t *in, const issue_meta_t *meta, pki_err_t *err)
{
    db_t          *db = r->api->parts.db;
    issuer_chain_t issuer;
    profile_row_t  profile;
    bytes_t        der;
    pki_err_t      why = { 0 };

    check_name(r, in->name);
    PKI_TRY(check_found(r, "profile_id", profile_find(db, r->a, in->profile_id, &profile, err), err));
    PKI_TRY(check_found(r, "issuer_id", issuer_row_find(db, r->a, in->issuer_id, &issuer, err), err));
    PKI_TRY(check_meta(r, meta, err));
    if (csr_decode(r->a, bytes_str(in->csr_pem), &der, &why) != PKI_OK) {
        check_problem(r, "csr_pem", "%s", why.text);
    }
    PKI_TRY(check_done(r, err));
    return reach_check(r, &(scope_of_t){ { [SCOPE_ISSUER] = in->issuer_id, [SCOPE_PROFILE] = in->profile_id,
                                           [SCOPE_TEAM] = in->team_id, [SCOPE_OWNER] = in->owner_id } },
                       err);
}

pki_code_t
certificate_create(req_t *r, pki_err_t *err)
{
    const certificate_new_t *in = r->in;
    issue_order_t            order = { .name = in->name, .profile_id = in->profile_id, .issuer_id = in->issuer_id,
                                       .csr = in->csr_pem, .allowed_names = &r->identity.allowed_names,
                                       .transaction_key = r->transaction_key, .audit = audit_of(r, 201),
                                       .meta = { in->owner_id, in->team_id, in->environment, in->renewal_policy_id, NULL } };
    issue_result_t           issued;

    PKI_TRY(certificate_check(r, in, &order.meta, err));
    PKI_TRY(fields_print(r->a, certificate_new_fields, "tags", in, &order.meta.tags, err));
    PKI_TRY(issue_request(r->api->parts.issue, r->a, &order, &issued, err));
    r->resource = issued.managed_id;
    r->audited_status = 201; /* in the transaction of the certificate */
    return issued_answer(r, in, &issued, err);
}

/* ---- download ---- */

/* Hexadecimal as people write it (either case, colons, leading zeros) to the INTEGER's contents octets. */
static bool
serial_parse(pki_arena_t *a, const char *text, bytes_t *out)
{
    char    digits[2 * CERT_SERIAL_MAX + 4], *at = digits;
    uint8_t octets[CERT_SERIAL_MAX + 2];
    size_t  len, from;

    for (; *text != '\0'; text++) {
        if (*text != ':' && at < digits + sizeof(digits) - 2) {
            *at++ = *text;
        } else if (*text != ':') {
            return false;
        }
    }
    *at = '\0';
    if ((at - digits) % 2 != 0) {
        memmove(digits + 1, digits, (size_t) (at - digits) + 1);
        digits[0] = '0';
    }
    octets[0] = 0;
    if (at == digits || hex_decode(bytes_str(digits), octets + 1, sizeof(octets) - 1, &len, NULL) != PKI_OK) {
        return false;
    }
    for (from = 1; from < len && octets[from] == 0; from++) {
    }
    from -= octets[from] & 0x80 ? 1 : 0;
    return len + 1 - from <= CERT_SERIAL_MAX && pki_bytes_dup(a, bytes_of(octets + from, len + 1 - from), out, NULL) == PKI_OK;
}

pki_code_t
chain_of(req_t *r, const version_row_t *version, chain_t *out, pki_err_t *err)
{
    issuer_chain_t issuer = { 0 };
    pki_code_t     code;

    *out = (chain_t){ .version = *version };
    code = issuer_row_find_generation(r->api->parts.db, r->a, (uint32_t) version->issuer_no,
                                      (uint32_t) version->generation, &issuer, err);
    if (code != PKI_OK && code != PKI_E_NOT_FOUND) {
        return code; /* of an imported one nothing is above it */
    }
    PKI_TRY(PKI_NEW_N(r->a, issuer.chain_len + 1, &out->list.v, err));
    out->list.v[out->list.count++] = version->der;
    for (size_t i = 0; i < issuer.chain_len; i++) {
        out->list.v[out->list.count++] = issuer.chain[i].der;
    }
    return PKI_OK;
}

size_t
chain_sent(const chain_t *chain)
{
    return chain->list.count > 2 ? chain->list.count - 1 : chain->list.count;
}

pki_code_t
chain_newest(req_t *r, const char *managed_id, chain_t *out, pki_err_t *err)
{
    managed_row_t  managed;
    version_row_t *newest;
    size_t         count;

    PKI_TRY(cert_find(r->api->parts.db, r->a, managed_id, &managed, err));
    PKI_TRY(cert_versions(r->api->parts.db, r->a, managed.id, 1, &newest, &count, err));
    if (count == 0) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "nothing was issued for %s yet", managed.id);
    }
    return chain_of(r, newest, out, err);
}

static pki_code_t
chain_answer(req_t *r, const chain_t *chain, pki_err_t *err)
{
    const format_query_t *query = r->query;

    return answer_certificates(r, chain->list.v, chain_sent(chain), query->format, r->param[0], err);
}

pki_code_t
certificate_version_get(req_t *r, pki_err_t *err)
{
    version_row_t version;
    bytes_t       serial;
    chain_t       chain;

    if (!serial_parse(r->a, r->param[1], &serial)) {
        check_problem(r, "serial", "is not a serial number in hexadecimal");
        return check_done(r, err);
    }
    PKI_TRY(cert_version_find(r->api->parts.db, r->a, CERT_ANY_ISSUER, serial, &version, err));
    if (version.managed_id == NULL || strcmp(version.managed_id, r->param[0]) != 0) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "%s has no version of that serial", r->param[0]);
    }
    PKI_TRY(chain_of(r, &version, &chain, err));
    return chain_answer(r, &chain, err);
}

pki_code_t
certificate_download(req_t *r, pki_err_t *err)
{
    chain_t chain;

    PKI_TRY(chain_newest(r, r->param[0], &chain, err));
    return chain_answer(r, &chain, err);
}

/* ---- revoke ---- */

static int
reason_parse(const char *name)
{
    int reason = REASON_LAST;

    while (reason > 0 && (reason_names[reason] == NULL || strcasecmp(reason_names[reason], name) != 0)) {
        reason--;
    }
    return reason;
}

static pki_code_t
serials_parse(req_t *r, const str_list_t *in, const bytes_t **out, pki_err_t *err)
{
    bytes_t *v;

    if (in->count > SERIALS_MAX) {
        check_problem(r, "serials", "must have at most %d elements", SERIALS_MAX);
        return check_done(r, err);
    }
    PKI_TRY(PKI_NEW_N(r->a, in->count + 1, &v, err));
    for (size_t i = 0; i < in->count; i++) {
        char field[32];

        if (!serial_parse(r->a, in->v[i], &v[i])) {
            snprintf(field, sizeof(field), "serials.%zu", i);
            check_problem(r, field, "is not a serial number in hexadecimal");
        }
    }
    *out = v;
    return PKI_OK;
}

static pki_code_t
revoke_serve(req_t *r, revoke_order_t *order, pki_err_t *err)
{
    managed_row_t managed;
    revoked_t     out = { .id = r->param[0], .reason = reason_names[order->reason] };
    size_t        changed = 0;

    PKI_TRY(check_done(r, err));
    order->managed_id = r->param[0];
    order->audit = audit_of(r, 200);
    PKI_TRY(issue_revoke(r->api->parts.issue, order, &changed, err));
    r->audited_status = 200; /* in the transaction of the revocation */
    PKI_TRY(cert_find(r->api->parts.db, r->a, r->param[0], &managed, err));
    out.status = managed.status;
    out.changed = (int64_t) changed;
    return answer_struct(r, &out, err);
}

pki_code_t
certificate_revoke(req_t *r, pki_err_t *err)
{
    const revoke_t *in = r->in;
    revoke_order_t  order = { .serial_count = in->serials.count, .invalidity_at = in->invalidity_date,
                              .reason = reason_parse(in->reason) };

    if (in->invalidity_date > clock_now()) {
        check_problem(r, "invalidity_date", "must not be in the future");
    }
    PKI_TRY(serials_parse(r, &in->serials, &order.serials, err));
    return revoke_serve(r, &order, err);
}

pki_code_t
certificate_release(req_t *r, pki_err_t *err)
{
    const release_t *in = r->in;
    revoke_order_t   order = { .serial_count = in->serials.count, .reason = REASON_REMOVE };

    PKI_TRY(serials_parse(r, &in->serials, &order.serials, err));
    return revoke_serve(r, &order, err);
}
