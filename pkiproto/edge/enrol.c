/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The enrolment request and answer as field tables, and the key that makes retries idempotent.
 */
#include "pkiproto/edge/enrol.h"

#include "pkiproto/base/ossl.h"

static const char *const protocols[] = { "est", NULL };
static const char *const operations[] = { "simpleenroll", "simplereenroll", NULL };
static const char *const identity_kinds[] = { "basic", "certificate", NULL };
static const char *const statuses[] = { "issued", "pending", "rejected", NULL };

const field_t enrol_request_fields[] = {
    FIELD_ENUM(enrol_request_t, protocol, F_REQUIRED, NULL, protocols, "protocol the request came by"),
    FIELD_ENUM(enrol_request_t, operation, F_REQUIRED, NULL, operations, "operation of the protocol"),
    FIELD_STR(enrol_request_t, label, F_REQUIRED, NULL, "EST label"),
    FIELD_ENUM(enrol_request_t, identity_kind, F_REQUIRED, NULL, identity_kinds, "kind of identity"),
    FIELD_STR(enrol_request_t, identity, F_REQUIRED, NULL, "user name, or hex SHA-256 of the certificate"),
    FIELD_STR(enrol_request_t, password, F_SECRET | F_CARRIED, NULL, "password yet to be checked"),
    FIELD_BASE64(enrol_request_t, certificate, 0, "DER of the verified client certificate"),
    FIELD_BASE64(enrol_request_t, csr, F_REQUIRED, "DER of the certificate request"),
    FIELD_BASE64(enrol_request_t, transaction_key, F_REQUIRED, "SHA-256 that makes retries idempotent"),
    FIELD_STR(enrol_request_t, source, 0, NULL, "address of the peer"),
    FIELD_STR(enrol_request_t, request_id, 0, NULL, "id of the request in logs"),
    FIELD_END,
};

const field_t enrol_answer_fields[] = {
    FIELD_ENUM(enrol_answer_t, status, F_REQUIRED, NULL, statuses, "outcome"),
    FIELD_BASE64(enrol_answer_t, certificate, 0, "DER of the certificate when issued"),
    FIELD_INT(enrol_answer_t, retry_after_s, 0, NULL, 0, INT32_MAX, "seconds to wait when pending"),
    FIELD_STR(enrol_answer_t, code, 0, NULL, "error name when rejected"),
    FIELD_STR(enrol_answer_t, clause, 0, NULL, "clause of the standard when rejected"),
    FIELD_STR(enrol_answer_t, text, 0, NULL, "what was wrong, for people"),
    FIELD_END,
};

static bool
digest_part(EVP_MD_CTX *ctx, bytes_t part)
{
    uint8_t len[4] = { (uint8_t) (part.len >> 24), (uint8_t) (part.len >> 16), (uint8_t) (part.len >> 8),
                       (uint8_t) part.len };

    return EVP_DigestUpdate(ctx, len, sizeof(len)) == 1 && EVP_DigestUpdate(ctx, part.p, part.len) == 1;
}

bool
enrol_transaction_key(const enrol_request_t *r, uint8_t out[32])
{
    PKI_AUTO(EVP_MD_CTX) ctx = EVP_MD_CTX_new();
    bytes_t parts[] = { bytes_str(r->protocol),      bytes_str(r->operation), bytes_str(r->label),
                        bytes_str(r->identity_kind), bytes_str(r->identity),  r->csr };

    if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1) {
        return false;
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (!digest_part(ctx, parts[i])) {
            return false;
        }
    }
    return EVP_DigestFinal_ex(ctx, out, NULL) == 1;
}

pki_code_t
enrol_code_parse(const char *name)
{
    for (int code = PKI_OK + 1; name != NULL && code < PKI_E_COUNT_; code++) {
        if (strcmp(name, pki_code_name((pki_code_t) code)) == 0) {
            return (pki_code_t) code;
        }
    }
    return PKI_E_INTERNAL;
}
