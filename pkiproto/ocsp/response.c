/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The OCSP response writer, in the order of RFC 6960 4.2.1.  It is between a lookup and a signature
 * for every answer that is not cached: nothing is allocated, and octets are copied once.
 */
#include "pkiproto/ocsp/response.h"

#include "pkiproto/der/write.h"

#define OID_BASIC           BYTES_LIT("\x2b\x06\x01\x05\x05\x07\x30\x01\x01") /* id-pkix-ocsp-basic */
#define OID_NONCE           BYTES_LIT("\x2b\x06\x01\x05\x05\x07\x30\x01\x02") /* id-pkix-ocsp-nonce */
#define OID_INVALIDITY_DATE BYTES_LIT("\x55\x1d\x18")                         /* id-ce-invalidityDate */

#define KEY_HASH_LEN 20

/* SEQUENCE { ENUMERATED status }, for the statuses without an answer in them. */
static const uint8_t error_responses[][5] = {
    [OCSP_MALFORMED_REQUEST] = { 0x30, 3, 0x0a, 1, OCSP_MALFORMED_REQUEST },
    [OCSP_INTERNAL_ERROR] = { 0x30, 3, 0x0a, 1, OCSP_INTERNAL_ERROR },
    [OCSP_TRY_LATER] = { 0x30, 3, 0x0a, 1, OCSP_TRY_LATER },
    [OCSP_SIG_REQUIRED] = { 0x30, 3, 0x0a, 1, OCSP_SIG_REQUIRED },
    [OCSP_UNAUTHORIZED] = { 0x30, 3, 0x0a, 1, OCSP_UNAUTHORIZED },
};

bytes_t
ocsp_error_response(ocsp_response_status_t status)
{
    bool known = (size_t) status < sizeof(error_responses) / sizeof(error_responses[0])
                 && error_responses[status][0] != 0;

    return BYTES_ARR(error_responses[known ? status : OCSP_INTERNAL_ERROR]);
}

pki_code_t
ocsp_responder_build(pki_arena_t *a, const cert_t *delegate, bool embed, ocsp_responder_t *out,
                     pki_err_t *err)
{
    uint8_t   id[4 + KEY_HASH_LEN], hash[KEY_HASH_LEN];
    pki_buf_t b;

    *out = (ocsp_responder_t){.sigalg = pki_key_sigalg(delegate->key.kind), .not_after = delegate->not_after};
    if (out->sigalg == NULL) {
        return pki_fail(err, PKI_E_KEY, NULL, "the OCSP responder's key is of no kind that signs");
    }
    if (!pki_key_id(&delegate->key, hash)) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "cannot hash the OCSP responder's key");
    }
    pki_buf_fixed(&b, id, sizeof(id));
    pki_buf_put_u8(&b, DER_CONTEXT_CONSTRUCTED(2));
    pki_buf_put_u8(&b, 2 + KEY_HASH_LEN);
    der_put(&b, DER_OCTET_STRING, BYTES_ARR(hash));
    PKI_TRY(pki_bytes_dup(a, pki_buf_bytes(&b), &out->responder_id, err));

    return embed ? pki_bytes_dup(a, delegate->der, &out->certificate, err) : PKI_OK;
}

/* CRLReasons that an answer may carry: 7 is not used, 8 belongs to delta CRLs. */
static bool
is_reason(int reason)
{
    return reason >= -1 && reason <= 10 && reason != 7 && reason != 8;
}

static pki_code_t
check_single(const ocsp_responder_t *r, const ocsp_single_t *s, int64_t produced_at, pki_err_t *err)
{
    if (s->this_update > produced_at || s->next_update <= s->this_update) {
        return pki_fail(err, PKI_E_INVALID, "RFC 6960 2.4",
                        "thisUpdate, producedAt and nextUpdate are out of order");
    }
    if (s->next_update > r->not_after) {
        return pki_fail(err, PKI_E_INVALID, "RFC 6960 4.2.2.2",
                        "nextUpdate is after the responder's notAfter");
    }
    if (s->status == OCSP_REVOKED && !is_reason(s->reason)) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 5.3.1", "%d is no reason for an answer", s->reason);
    }
    return PKI_OK;
}

static void
put_revoked(pki_buf_t *out, const ocsp_single_t *s)
{
    size_t info, reason;

    info = der_open(out, DER_CONTEXT_CONSTRUCTED(1));
    der_put_generalized_time(out, s->revoked_at);
    if (s->reason > 0) {
        reason = der_open(out, DER_CONTEXT_CONSTRUCTED(0));
        der_put_uint(out, DER_ENUMERATED, (uint64_t) s->reason);
        der_close(out, reason);
    }
    der_close(out, info);
}

static void
put_status(pki_buf_t *out, const ocsp_single_t *s)
{
    switch (s->status) {
    case OCSP_GOOD:
        der_put(out, DER_CONTEXT(0), BYTES_NONE);
        break;
    case OCSP_REVOKED:
        put_revoked(out, s);
        break;
    case OCSP_UNKNOWN:
        der_put(out, DER_CONTEXT(2), BYTES_NONE);
        break;
    }
}

/* [1] EXPLICIT Extensions with one of them, not critical.  Both lists are under this tag. */
static void
put_extension(pki_buf_t *out, bytes_t oid, bytes_t value)
{
    size_t outer, list, extension;

    outer = der_open(out, DER_CONTEXT_CONSTRUCTED(1));
    list = der_open(out, DER_SEQUENCE);
    extension = der_open(out, DER_SEQUENCE);
    der_put(out, DER_OID, oid);
    der_put(out, DER_OCTET_STRING, value);
    der_close(out, extension);
    der_close(out, list);
    der_close(out, outer);
}

static void
put_invalidity(pki_buf_t *out, int64_t t)
{
    uint8_t   mem[32];
    pki_buf_t value;

    pki_buf_fixed(&value, mem, sizeof(mem));
    der_put_generalized_time(&value, t);
    out->failed = out->failed || value.failed;
    put_extension(out, OID_INVALIDITY_DATE, pki_buf_bytes(&value));
}

static void
put_single(pki_buf_t *out, const ocsp_single_t *s)
{
    size_t single, next;

    single = der_open(out, DER_SEQUENCE);
    pki_buf_put(out, s->cert_id);
    put_status(out, s);
    der_put_generalized_time(out, s->this_update);
    next = der_open(out, DER_CONTEXT_CONSTRUCTED(0));
    der_put_generalized_time(out, s->next_update);
    der_close(out, next);
    if (s->status == OCSP_REVOKED && s->invalidity_at != 0) {
        put_invalidity(out, s->invalidity_at);
    }
    der_close(out, single);
}

pki_code_t
ocsp_tbs_build(const ocsp_responder_t *r, const ocsp_single_t *singles, size_t count, int64_t produced_at,
               bytes_t nonce, pki_buf_t *out, pki_err_t *err)
{
    size_t data, list;

    if (count == 0) {
        return pki_fail(err, PKI_E_INVALID, "RFC 6960 4.2.1", "an answer needs a SingleResponse");
    }
    for (size_t i = 0; i < count; i++) {
        PKI_TRY(check_single(r, &singles[i], produced_at, err));
    }
    data = der_open(out, DER_SEQUENCE);
    pki_buf_put(out, r->responder_id);
    der_put_generalized_time(out, produced_at);
    list = der_open(out, DER_SEQUENCE);
    for (size_t i = 0; i < count; i++) {
        put_single(out, &singles[i]);
    }
    der_close(out, list);
    if (nonce.p != NULL) {
        put_extension(out, OID_NONCE, nonce);
    }
    der_close(out, data);
    return pki_buf_check(out, "OCSP response data", err);
}

static size_t
element_len(size_t len)
{
    uint8_t header[DER_HEADER_MAX];

    return der_header(0, len, header) + len;
}

static void
put_header(pki_buf_t *out, uint8_t tag, size_t len)
{
    uint8_t header[DER_HEADER_MAX];

    pki_buf_put(out, bytes_of(header, der_header(tag, len, header)));
}

/* From the inside out every length is known beforehand, so that nothing written is moved. */
pki_code_t
ocsp_response_build(const ocsp_responder_t *r, bytes_t tbs, bytes_t signature, pki_buf_t *out, pki_err_t *err)
{
    size_t certs = r->certificate.len != 0 ? element_len(r->certificate.len) : 0;
    size_t basic = tbs.len + r->sigalg->identifier.len + element_len(signature.len + 1)
                   + (certs != 0 ? element_len(certs) : 0);
    size_t octets = element_len(basic);
    size_t bytes = element_len(OID_BASIC.len) + element_len(octets);

    put_header(out, DER_SEQUENCE, 3 + element_len(element_len(bytes)));
    der_put_uint(out, DER_ENUMERATED, OCSP_SUCCESSFUL);
    put_header(out, DER_CONTEXT_CONSTRUCTED(0), element_len(bytes));
    put_header(out, DER_SEQUENCE, bytes);
    der_put(out, DER_OID, OID_BASIC);
    put_header(out, DER_OCTET_STRING, octets);
    put_header(out, DER_SEQUENCE, basic);
    pki_buf_put(out, tbs);
    pki_buf_put(out, r->sigalg->identifier);
    der_put_bits(out, signature);
    if (certs != 0) {
        put_header(out, DER_CONTEXT_CONSTRUCTED(0), certs);
        put_header(out, DER_SEQUENCE, r->certificate.len);
        pki_buf_put(out, r->certificate);
    }
    return pki_buf_check(out, "OCSP response", err);
}
