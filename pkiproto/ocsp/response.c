/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The OCSP response writer, in the order of RFC 6960 4.2.1.  It is between a lookup and a signature
 * for every answer that is not cached: nothing is allocated, and octets are copied once.
 */
#include "pkiproto/ocsp/response.h"

#include "pkiproto/der/write.h"

#define OID_PKIX_OCSP       "\x2b\x06\x01\x05\x05\x07\x30\x01"
#define OID_BASIC           BYTES_LIT(OID_PKIX_OCSP "\x01")
#define OID_NONCE           BYTES_LIT(OID_PKIX_OCSP "\x02")
#define OID_CRL             BYTES_LIT(OID_PKIX_OCSP "\x03")
#define OID_ARCHIVE_CUTOFF  BYTES_LIT(OID_PKIX_OCSP "\x06")
#define OID_EXTENDED_REVOKE BYTES_LIT(OID_PKIX_OCSP "\x09")
#define OID_INVALIDITY_DATE BYTES_LIT("\x55\x1d\x18")             /* id-ce-invalidityDate */
#define OID_CERT_HASH       BYTES_LIT("\x2b\x24\x08\x03\x0d")     /* Common PKI 1.3.36.8.3.13 */
#define OID_SHA256          BYTES_LIT("\x60\x86\x48\x01\x65\x03\x04\x02\x01")

#define REASON_HOLD 6

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

/* byKey: SHA-1 of the key's octets, whatever the CertIDs are hashed with (RFC 6960 4.2.1). */
static pki_code_t
responder_by_key(pki_arena_t *a, const cert_t *delegate, bytes_t *out, pki_err_t *err)
{
    uint8_t   id[4 + KEY_HASH_LEN], hash[KEY_HASH_LEN];
    pki_buf_t b;

    if (!pki_key_id(&delegate->key, hash)) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "cannot hash the OCSP responder's key");
    }
    pki_buf_fixed(&b, id, sizeof(id));
    pki_buf_put_u8(&b, DER_CONTEXT_CONSTRUCTED(2));
    pki_buf_put_u8(&b, 2 + KEY_HASH_LEN);
    der_put(&b, DER_OCTET_STRING, BYTES_ARR(hash));
    return pki_bytes_dup(a, pki_buf_bytes(&b), out, err);
}

static pki_code_t
responder_by_name(pki_arena_t *a, const cert_t *delegate, bytes_t *out, pki_err_t *err)
{
    pki_buf_t b;

    pki_buf_init(&b, a, delegate->subject.len + DER_HEADER_MAX);
    der_put(&b, DER_CONTEXT_CONSTRUCTED(1), delegate->subject);
    *out = pki_buf_bytes(&b);
    return pki_buf_check(&b, "the OCSP responder's name", err);
}

static pki_code_t
responder_key_algorithm(pki_arena_t *a, const cert_t *delegate, bytes_t *out, pki_err_t *err)
{
    bytes_t spki = delegate->key.spki, key, algorithm;

    PKI_TRY(der_take(&spki, DER_SEQUENCE, "subjectPublicKeyInfo", &key, err));
    PKI_TRY(der_take(&key, DER_SEQUENCE, "key algorithm", &algorithm, err));
    return pki_bytes_dup(a, algorithm, out, err);
}

pki_code_t
ocsp_responder_build(pki_arena_t *a, const cert_t *delegate, bool embed, ocsp_responder_t *out,
                     pki_err_t *err)
{
    *out = (ocsp_responder_t){ .kind = delegate->key.kind,
                               .sigalg = pki_key_sigalg(delegate->key.kind),
                               .not_after = delegate->not_after };
    if (out->sigalg == NULL) {
        return pki_fail(err, PKI_E_KEY, NULL, "the OCSP responder's key is of no kind that signs");
    }
    PKI_TRY(responder_by_key(a, delegate, &out->by_key, err));
    PKI_TRY(responder_by_name(a, delegate, &out->by_name, err));
    PKI_TRY(responder_key_algorithm(a, delegate, &out->key_algorithm, err));
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
put_revoked(pki_buf_t *out, int64_t revoked_at, int reason)
{
    size_t info, at;

    info = der_open(out, DER_CONTEXT_CONSTRUCTED(1));
    der_put_generalized_time(out, revoked_at);
    if (reason > 0) {
        at = der_open(out, DER_CONTEXT_CONSTRUCTED(0));
        der_put_uint(out, DER_ENUMERATED, (uint64_t) reason);
        der_close(out, at);
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
        put_revoked(out, s->revoked_at, s->reason);
        break;
    case OCSP_UNKNOWN:
        der_put(out, DER_CONTEXT(2), BYTES_NONE);
        break;
    case OCSP_UNISSUED:
        put_revoked(out, 0, REASON_HOLD);
        break;
    }
}

/* [1] EXPLICIT Extensions, none of them critical.  Both lists are under this tag; no empty one is written. */
typedef struct {
    pki_buf_t *out;
    size_t     outer, list, extension, value;
    bool       is_open;
} extensions_t;

static void
extension_open(extensions_t *e, bytes_t oid)
{
    if (!e->is_open) {
        e->outer = der_open(e->out, DER_CONTEXT_CONSTRUCTED(1));
        e->list = der_open(e->out, DER_SEQUENCE);
        e->is_open = true;
    }
    e->extension = der_open(e->out, DER_SEQUENCE);
    der_put(e->out, DER_OID, oid);
    e->value = der_open(e->out, DER_OCTET_STRING);
}

static void
extension_close(extensions_t *e)
{
    der_close(e->out, e->value);
    der_close(e->out, e->extension);
}

static void
extensions_close(extensions_t *e)
{
    if (e->is_open) {
        der_close(e->out, e->list);
        der_close(e->out, e->outer);
    }
}

static void
put_time_extension(extensions_t *e, bytes_t oid, int64_t t)
{
    extension_open(e, oid);
    der_put_generalized_time(e->out, t);
    extension_close(e);
}

/* CrlID: the URL and the number of the list. */
static void
put_crl(extensions_t *e, const ocsp_single_t *s)
{
    size_t id, member;

    extension_open(e, OID_CRL);
    id = der_open(e->out, DER_SEQUENCE);
    member = der_open(e->out, DER_CONTEXT_CONSTRUCTED(0));
    der_put(e->out, DER_IA5_STRING, s->crl_url);
    der_close(e->out, member);
    member = der_open(e->out, DER_CONTEXT_CONSTRUCTED(1));
    der_put(e->out, DER_INTEGER, s->crl_number);
    der_close(e->out, member);
    der_close(e->out, id);
    extension_close(e);
}

/* CertHash: SEQUENCE { AlgorithmIdentifier, OCTET STRING } */
static void
put_cert_hash(extensions_t *e, bytes_t hash)
{
    size_t seq, algorithm;

    extension_open(e, OID_CERT_HASH);
    seq = der_open(e->out, DER_SEQUENCE);
    algorithm = der_open(e->out, DER_SEQUENCE);
    der_put(e->out, DER_OID, OID_SHA256);
    der_close(e->out, algorithm);
    der_put(e->out, DER_OCTET_STRING, hash);
    der_close(e->out, seq);
    extension_close(e);
}

static void
put_single_extensions(pki_buf_t *out, const ocsp_single_t *s)
{
    extensions_t e = { .out = out };

    if (s->crl_url.len != 0) {
        put_crl(&e, s);
    }
    if (s->archive_cutoff != 0) {
        put_time_extension(&e, OID_ARCHIVE_CUTOFF, s->archive_cutoff);
    }
    if (s->status == OCSP_REVOKED && s->invalidity_at != 0) {
        put_time_extension(&e, OID_INVALIDITY_DATE, s->invalidity_at);
    }
    if (s->cert_hash.len != 0) {
        put_cert_hash(&e, s->cert_hash);
    }
    extensions_close(&e);
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
    if (s->status != OCSP_UNISSUED) {
        put_single_extensions(out, s);
    }
    der_close(out, single);
}

static void
put_response_extensions(pki_buf_t *out, const ocsp_data_t *data)
{
    extensions_t e = { .out = out };
    bool         unissued = false;

    for (size_t i = 0; i < data->count; i++) {
        unissued = unissued || data->singles[i].status == OCSP_UNISSUED;
    }
    if (data->nonce.p != NULL) {
        extension_open(&e, OID_NONCE);
        pki_buf_put(out, data->nonce);
        extension_close(&e);
    }
    if (unissued) {
        extension_open(&e, OID_EXTENDED_REVOKE);
        der_put(out, DER_NULL, BYTES_NONE);
        extension_close(&e);
    }
    extensions_close(&e);
}

pki_code_t
ocsp_tbs_build(const ocsp_responder_t *r, const ocsp_data_t *data, pki_buf_t *out, pki_err_t *err)
{
    size_t whole, list;

    if (data->count == 0) {
        return pki_fail(err, PKI_E_INVALID, "RFC 6960 4.2.1", "an answer needs a SingleResponse");
    }
    for (size_t i = 0; i < data->count; i++) {
        PKI_TRY(check_single(r, &data->singles[i], data->produced_at, err));
    }
    whole = der_open(out, DER_SEQUENCE);
    pki_buf_put(out, data->responder_id);
    der_put_generalized_time(out, data->produced_at);
    list = der_open(out, DER_SEQUENCE);
    for (size_t i = 0; i < data->count; i++) {
        put_single(out, &data->singles[i]);
    }
    der_close(out, list);
    put_response_extensions(out, data);
    der_close(out, whole);
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
ocsp_response_build(const ocsp_responder_t *r, const pki_sigalg_t *sigalg, bytes_t tbs, bytes_t signature,
                    pki_buf_t *out, pki_err_t *err)
{
    size_t certs = r->certificate.len != 0 ? element_len(r->certificate.len) : 0;
    size_t basic = tbs.len + sigalg->identifier.len + element_len(signature.len + 1)
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
    pki_buf_put(out, sigalg->identifier);
    der_put_bits(out, signature);
    if (certs != 0) {
        put_header(out, DER_CONTEXT_CONSTRUCTED(0), certs);
        put_header(out, DER_SEQUENCE, r->certificate.len);
        pki_buf_put(out, r->certificate);
    }
    return pki_buf_check(out, "OCSP response", err);
}
