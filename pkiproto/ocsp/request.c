/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The OCSP request reader, in the order of RFC 6960 4.1.1.  All slices point into the input.  What
 * is refused here is answered malformedRequest, before anything is looked up or signed.
 */
#include "pkiproto/ocsp/request.h"

#include "pkiproto/der/write.h"

#define OCSP_EXTENSIONS_MAX 16  /* in one list: a request needs three */
#define OCSP_NONCE_MAX      128 /* RFC 9654 2.1 */
#define OCSP_GUESS_MIN      8   /* octets of a serial that is guessed: all that are random have so many */
#define OCSP_GUESS_MAX      20

const size_t ocsp_hash_len[OCSP_HASH_COUNT] = {
    [OCSP_SHA1] = 20,
    [OCSP_SHA256] = 32,
    [OCSP_SHA384] = 48,
    [OCSP_SHA512] = 64,
};

static const bytes_t hash_oids[OCSP_HASH_COUNT] = {
    [OCSP_SHA1] = BYTES_LIT("\x2b\x0e\x03\x02\x1a"),
    [OCSP_SHA256] = BYTES_LIT("\x60\x86\x48\x01\x65\x03\x04\x02\x01"),
    [OCSP_SHA384] = BYTES_LIT("\x60\x86\x48\x01\x65\x03\x04\x02\x02"),
    [OCSP_SHA512] = BYTES_LIT("\x60\x86\x48\x01\x65\x03\x04\x02\x03"),
};

#define OID_BASIC "\x2b\x06\x01\x05\x05\x07\x30\x01\x01" /* id-pkix-ocsp-basic */

static pki_code_t
take_oid(bytes_t *in, const char *what, bytes_t *oid, pki_err_t *err)
{
    bool first = true, ok;

    PKI_TRY(der_take(in, DER_OID, what, oid, err));

    /* Subidentifiers in their shortest form, the last one complete (X.690 8.19.2). */
    ok = oid->len != 0 && oid->p[oid->len - 1] < 0x80;
    for (size_t i = 0; ok && i < oid->len; i++) {
        ok = !first || oid->p[i] != 0x80;
        first = oid->p[i] < 0x80;
    }
    return ok ? PKI_OK : pki_fail(err, PKI_E_PARSE, "X.690 8.19", "%s is not an OBJECT IDENTIFIER", what);
}

static pki_code_t
parse_hash(bytes_t algorithm, ocsp_hash_t *hash, pki_err_t *err)
{
    bytes_t oid, null;

    PKI_TRY(take_oid(&algorithm, "hash algorithm", &oid, err));
    if (algorithm.len != 0) {
        PKI_TRY(der_take(&algorithm, DER_NULL, "hash algorithm parameters", &null, err));
        PKI_TRY(der_end(null, "NULL", err));
        PKI_TRY(der_end(algorithm, "hash algorithm", err));
    }
    for (*hash = 0; *hash < OCSP_HASH_COUNT && !bytes_eq(oid, hash_oids[*hash]); ++*hash) { }
    return PKI_OK;
}

static pki_code_t
parse_cert_id(bytes_t *in, ocsp_cert_id_t *out, pki_err_t *err)
{
    der_item_t item;
    bytes_t    algorithm;

    if (!der_peek(*in, DER_SEQUENCE)) {
        return pki_fail(err, PKI_E_PARSE, "RFC 6960 4.1.1", "CertID is missing");
    }
    PKI_TRY(der_next(in, &item, err));
    out->whole = item.whole;
    PKI_TRY(der_take(&item.value, DER_SEQUENCE, "hash algorithm", &algorithm, err));
    PKI_TRY(parse_hash(algorithm, &out->hash, err));
    PKI_TRY(der_take(&item.value, DER_OCTET_STRING, "issuerNameHash", &out->name_hash, err));
    PKI_TRY(der_take(&item.value, DER_OCTET_STRING, "issuerKeyHash", &out->key_hash, err));
    PKI_TRY(der_take_integer(&item.value, "serialNumber", &out->serial, err));
    PKI_TRY(der_end(item.value, "CertID", err));

    if (out->hash != OCSP_HASH_COUNT
        && (out->name_hash.len != ocsp_hash_len[out->hash] || out->key_hash.len != ocsp_hash_len[out->hash]))
    {
        return pki_fail(err, PKI_E_PARSE, "RFC 6960 4.1.1", "issuer hashes of %zu and %zu octets, not %zu",
                        out->name_hash.len, out->key_hash.len, ocsp_hash_len[out->hash]);
    }
    return PKI_OK;
}

/* RFC 9654 2.1: 1 to 128 octets in an OCTET STRING; older clients send the octets without it. */
static pki_code_t
parse_nonce(bytes_t value, ocsp_request_t *out, pki_err_t *err)
{
    bytes_t rest = value, nonce = value, wrapped;

    if (der_take(&rest, DER_OCTET_STRING, "nonce", &wrapped, NULL) == PKI_OK && rest.len == 0) {
        nonce = wrapped;
    }
    if (nonce.len == 0 || nonce.len > OCSP_NONCE_MAX) {
        return pki_fail(err, PKI_E_PARSE, "RFC 9654 2.1", "nonce has %zu octets, not 1 to %d", nonce.len,
                        OCSP_NONCE_MAX);
    }
    out->nonce = value;
    return PKI_OK;
}

/* RFC 6960 4.4.3 */
static pki_code_t
parse_acceptable(bytes_t value, ocsp_request_t *out, pki_err_t *err)
{
    bytes_t list, oid;
    bool    basic = false;

    (void) out;
    PKI_TRY(der_take(&value, DER_SEQUENCE, "AcceptableResponses", &list, err));
    PKI_TRY(der_end(value, "AcceptableResponses", err));
    while (list.len != 0) {
        PKI_TRY(take_oid(&list, "response type", &oid, err));
        basic = basic || bytes_eq(oid, BYTES_LIT(OID_BASIC));
    }
    return basic ? PKI_OK
                 : pki_fail(err, PKI_E_UNSUPPORTED, "RFC 6960 4.4.3",
                            "the client does not accept id-pkix-ocsp-basic");
}

/* RFC 6960 4.4.7.1: the outline only; what the algorithms are is for the responder's key to say. */
static pki_code_t
parse_preferred(bytes_t value, ocsp_request_t *out, pki_err_t *err)
{
    bytes_t rest = value, list, item;

    PKI_TRY(der_take(&rest, DER_SEQUENCE, "PreferredSignatureAlgorithms", &list, err));
    PKI_TRY(der_end(rest, "PreferredSignatureAlgorithms", err));
    while (list.len != 0) {
        PKI_TRY(der_take(&list, DER_SEQUENCE, "PreferredSignatureAlgorithm", &item, err));
    }
    out->preferred_algorithms = value;
    return PKI_OK;
}

/* Known, and without a meaning in this place or for this responder. */
static pki_code_t
parse_ignored(bytes_t value, ocsp_request_t *out, pki_err_t *err)
{
    (void) value, (void) out, (void) err;
    return PKI_OK;
}

/* What may be critical.  A row's number is its bit among those already seen. */
typedef struct {
    bytes_t oid;
    pki_code_t (*parse)(bytes_t value, ocsp_request_t *out, pki_err_t *err);
} extension_row_t;

static const extension_row_t request_extensions[] = {
    { BYTES_LIT("\x2b\x06\x01\x05\x05\x07\x30\x01\x02"), parse_nonce },
    { BYTES_LIT("\x2b\x06\x01\x05\x05\x07\x30\x01\x04"), parse_acceptable },
    { BYTES_LIT("\x2b\x06\x01\x05\x05\x07\x30\x01\x08"), parse_preferred },
    { BYTES_NONE, NULL },
};

static const extension_row_t single_extensions[] = {
    {BYTES_LIT("\x2b\x06\x01\x05\x05\x07\x30\x01\x02"), parse_ignored}, /* a nonce belongs to the request */
    {BYTES_LIT("\x2b\x06\x01\x05\x05\x07\x30\x01\x07"),
     parse_ignored}, /* ServiceLocator: we do not forward */
    {BYTES_NONE, NULL},
};

static pki_code_t
parse_extension(bytes_t *in, const extension_row_t *rows, unsigned *seen, ocsp_request_t *out, pki_err_t *err)
{
    bytes_t extension, oid, value;
    bool    critical = false;
    size_t  i;

    PKI_TRY(der_take(in, DER_SEQUENCE, "extension", &extension, err));
    PKI_TRY(take_oid(&extension, "extnID", &oid, err));
    if (der_peek(extension, DER_BOOLEAN)) {
        PKI_TRY(der_take_bool(&extension, "critical", &critical, err));
    }
    PKI_TRY(der_take(&extension, DER_OCTET_STRING, "extnValue", &value, err));
    PKI_TRY(der_end(extension, "extension", err));

    for (i = 0; rows[i].parse != NULL && !bytes_eq(rows[i].oid, oid); i++) { }
    if (rows[i].parse == NULL) {
        return critical ? pki_fail(err, PKI_E_PARSE, "RFC 6960 4.1.2", "unknown critical extension") : PKI_OK;
    }
    if (*seen & 1u << i) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 4.2", "an extension is there twice");
    }
    *seen |= 1u << i;
    return rows[i].parse(value, out, err);
}

/* [n] EXPLICIT Extensions, or nothing. */
static pki_code_t
parse_extensions(bytes_t *in, uint8_t tag, const extension_row_t *rows, ocsp_request_t *out, pki_err_t *err)
{
    bytes_t  outer, list;
    unsigned seen = 0;

    if (!der_peek(*in, tag)) {
        return PKI_OK;
    }
    PKI_TRY(der_take(in, tag, "extensions", &outer, err));
    PKI_TRY(der_take(&outer, DER_SEQUENCE, "extensions", &list, err));
    PKI_TRY(der_end(outer, "extensions", err));
    if (list.len == 0) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 4.1.2.9", "a list of extensions is empty");
    }
    for (size_t i = 0; list.len != 0; i++) {
        if (i == OCSP_EXTENSIONS_MAX) {
            return pki_fail(err, PKI_E_PARSE, NULL, "more than %d extensions", OCSP_EXTENSIONS_MAX);
        }
        PKI_TRY(parse_extension(&list, rows, &seen, out, err));
    }
    return PKI_OK;
}

static pki_code_t
parse_version(bytes_t *in, pki_err_t *err)
{
    bytes_t  outer;
    uint64_t version;

    if (!der_peek(*in, DER_CONTEXT_CONSTRUCTED(0))) {
        return PKI_OK;
    }
    PKI_TRY(der_take(in, DER_CONTEXT_CONSTRUCTED(0), "version", &outer, err));
    PKI_TRY(der_take_uint(&outer, "version", 0, &version, err));
    return der_end(outer, "version", err);
}

/* One GeneralName, of no consequence unless the request is signed (RFC 9919 3.1.2). */
static pki_code_t
parse_requestor(bytes_t *in, ocsp_request_t *out, pki_err_t *err)
{
    der_item_t name;
    bytes_t    outer;

    if (!der_peek(*in, DER_CONTEXT_CONSTRUCTED(1))) {
        return PKI_OK;
    }
    PKI_TRY(der_take(in, DER_CONTEXT_CONSTRUCTED(1), "requestorName", &outer, err));
    PKI_TRY(der_next(&outer, &name, err));
    PKI_TRY(der_end(outer, "requestorName", err));
    out->requestor = name.whole;
    return (name.tag & 0xc0) == 0x80 && (name.tag & 0x1f) <= 8
               ? PKI_OK
               : pki_fail(err, PKI_E_PARSE, "RFC 6960 4.1.1", "requestorName is not a GeneralName");
}

static pki_code_t
parse_request_list(bytes_t list, ocsp_request_t *out, pki_err_t *err)
{
    bytes_t request;

    if (list.len == 0) {
        return pki_fail(err, PKI_E_PARSE, "RFC 6960 4.1.1", "requestList is empty");
    }
    while (list.len != 0) {
        if (out->count == OCSP_IDS_MAX) {
            return pki_fail(err, PKI_E_PARSE, "RFC 6960 4.1.1", "more than %d CertIDs", OCSP_IDS_MAX);
        }
        PKI_TRY(der_take(&list, DER_SEQUENCE, "Request", &request, err));
        PKI_TRY(parse_cert_id(&request, &out->id[out->count++], err));
        PKI_TRY(parse_extensions(&request, DER_CONTEXT_CONSTRUCTED(0), single_extensions, out, err));
        PKI_TRY(der_end(request, "Request", err));
    }
    return PKI_OK;
}

static pki_code_t
parse_tbs(bytes_t tbs, ocsp_request_t *out, pki_err_t *err)
{
    bytes_t list;

    PKI_TRY(parse_version(&tbs, err));
    PKI_TRY(parse_requestor(&tbs, out, err));
    PKI_TRY(der_take(&tbs, DER_SEQUENCE, "requestList", &list, err));
    PKI_TRY(parse_request_list(list, out, err));
    PKI_TRY(parse_extensions(&tbs, DER_CONTEXT_CONSTRUCTED(2), request_extensions, out, err));
    return der_end(tbs, "TBSRequest", err);
}

/* [0] EXPLICIT Signature: its outline; the certificates in it stay unread. */
static pki_code_t
parse_signature(bytes_t *in, ocsp_request_t *out, pki_err_t *err)
{
    der_item_t item;
    bytes_t    outer, certs;

    if (!der_peek(*in, DER_CONTEXT_CONSTRUCTED(0))) {
        return PKI_OK;
    }
    PKI_TRY(der_take(in, DER_CONTEXT_CONSTRUCTED(0), "optionalSignature", &outer, err));
    if (!der_peek(outer, DER_SEQUENCE)) {
        return pki_fail(err, PKI_E_PARSE, "RFC 6960 4.1.1", "Signature is missing");
    }
    PKI_TRY(der_next(&outer, &item, err));
    PKI_TRY(der_end(outer, "Signature", err));
    out->is_signed = true;

    PKI_TRY(der_take_whole(&item.value, DER_SEQUENCE, "signatureAlgorithm", &out->algorithm, err));
    PKI_TRY(der_take_bits(&item.value, "signature", &out->signature, err));
    if (der_peek(item.value, DER_CONTEXT_CONSTRUCTED(0))) {
        PKI_TRY(der_take(&item.value, DER_CONTEXT_CONSTRUCTED(0), "certs", &certs, err));
        PKI_TRY(der_take(&certs, DER_SEQUENCE, "certs", &out->certs, err));
        PKI_TRY(der_end(certs, "certs", err));
    }
    return der_end(item.value, "Signature", err);
}

pki_code_t
ocsp_request_parse(bytes_t der, ocsp_request_t *out, pki_err_t *err)
{
    der_item_t tbs;
    bytes_t    request;

    out->count = 0;
    out->nonce = out->preferred_algorithms = out->requestor = BYTES_NONE;
    out->algorithm = out->signature = out->certs = BYTES_NONE;
    out->is_signed = false;

    if (der.len > OCSP_REQUEST_MAX) {
        return pki_fail(err, PKI_E_PARSE, NULL, "request of %zu octets, at most %d", der.len,
                        OCSP_REQUEST_MAX);
    }
    PKI_TRY(der_take(&der, DER_SEQUENCE, "OCSPRequest", &request, err));
    PKI_TRY(der_end(der, "OCSPRequest", err));
    if (!der_peek(request, DER_SEQUENCE)) {
        return pki_fail(err, PKI_E_PARSE, "RFC 6960 4.1.1", "TBSRequest is missing");
    }
    PKI_TRY(der_next(&request, &tbs, err));
    out->tbs = tbs.whole;
    PKI_TRY(parse_tbs(tbs.value, out, err));
    PKI_TRY(parse_signature(&request, out, err));
    return der_end(request, "OCSPRequest", err);
}

void
ocsp_cert_id_put(pki_buf_t *out, ocsp_hash_t hash, bytes_t name_hash, bytes_t key_hash, bytes_t serial)
{
    size_t id = der_open(out, DER_SEQUENCE), algorithm = der_open(out, DER_SEQUENCE);

    der_put(out, DER_OID, hash_oids[hash]);
    der_put(out, DER_NULL, BYTES_NONE);
    der_close(out, algorithm);
    der_put(out, DER_OCTET_STRING, name_hash);
    der_put(out, DER_OCTET_STRING, key_hash);
    der_put(out, DER_INTEGER, serial);
    der_close(out, id);
}

bytes_t
ocsp_serial_guess(bytes_t der)
{
    const uint8_t *end = der.p + der.len;

    for (size_t len = OCSP_GUESS_MIN; len <= OCSP_GUESS_MAX && len + 2 <= der.len; len++) {
        if (end[-(ptrdiff_t) len - 1] == len && end[-(ptrdiff_t) len - 2] == DER_INTEGER) {
            return bytes_of(end - len, len);
        }
    }
    return BYTES_NONE;
}
