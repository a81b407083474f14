/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * PKCS #10 requests: RFC 2986 section 4, the attributes of RFC 2985 5.4, extensions of RFC 5280 4.2.
 * What is no DER is PARSE; what is DER but no acceptable request is CSR; a bad key is KEY.
 */
#include "pkiproto/x509/csr.h"

#include "pkiproto/der/read.h"
#include "pkiproto/x509/ext.h"
#include "pkiproto/x509/pem.h"

#define CSR_ATTRIBUTES_MAX 32

static const bytes_t oid_challenge_password = OID_OCTETS("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07");
static const bytes_t oid_extension_request = OID_OCTETS("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e");
/* What Windows clients send instead: the same under an OID of Microsoft's (szOID_CERT_EXTENSIONS). */
static const bytes_t oid_ms_extension_request = OID_OCTETS("\x2b\x06\x01\x04\x01\x82\x37\x02\x01\x0e");

typedef struct {
    pki_arena_t *a;
    csr_t       *csr;
    bool         has_extensions;
} csr_reader_t;

/* The readers of names and extensions report INVALID: in a request that is CSR. */
static pki_code_t
csr_code(pki_code_t rc, pki_err_t *err)
{
    if (rc != PKI_E_INVALID) {
        return rc;
    }
    if (err != NULL) {
        err->code = PKI_E_CSR;
    }
    return PKI_E_CSR;
}

static pki_code_t
san_read(csr_reader_t *r, const ext_t *ext, pki_err_t *err)
{
    csr_t *csr = r->csr;

    csr->san = ext->value;
    csr->san_critical = ext->critical;
    PKI_TRY(general_names_parse(r->a, ext->value, &csr->names, err));
    for (size_t i = 0; i < csr->names.count; i++) {
        PKI_TRY(general_name_check(&csr->names.v[i], err));
    }
    return PKI_OK;
}

static pki_code_t
extension_read(void *arg, const ext_t *ext, pki_err_t *err)
{
    csr_reader_t *r = arg;
    unsigned      known;
    int           path_len;

    r->csr->extension_count++;
    switch (ext->kind) {
    case EXT_SAN:
        return san_read(r, ext, err);
    case EXT_KEY_USAGE:
        return ext_key_usage(ext->value, &r->csr->key_usage, err);
    case EXT_BASIC_CONSTRAINTS:
        r->csr->has_basic_constraints = true;
        return ext_basic_constraints(ext->value, &r->csr->asks_ca, &path_len, err);
    case EXT_EKU:
        r->csr->eku = ext->value;
        return ext_eku(ext->value, &known, err);
    default:
        return PKI_OK;
    }
}

static pki_code_t
extensions_read(csr_reader_t *r, bytes_t values, pki_err_t *err)
{
    bytes_t extensions;

    if (r->has_extensions) {
        return pki_fail(err, PKI_E_CSR, "RFC 2985 5.4.2", "there are two extensionRequests");
    }
    r->has_extensions = true;
    PKI_TRY(der_take(&values, DER_SEQUENCE, "Extensions", &extensions, err));
    if (values.len != 0) {
        return pki_fail(err, PKI_E_CSR, "RFC 2985 5.4.2", "extensionRequest has more than one value");
    }
    return ext_walk(extensions, extension_read, r, err);
}

static pki_code_t
challenge_password_read(csr_t *csr, bytes_t values, pki_err_t *err)
{
    static const uint8_t tags[] = { DER_UTF8_STRING, DER_PRINTABLE_STRING, DER_IA5_STRING, DER_T61_STRING,
                                    DER_BMP_STRING };
    der_item_t           item;

    PKI_TRY(der_next(&values, &item, err));
    if (values.len != 0) {
        return pki_fail(err, PKI_E_CSR, "RFC 2985 5.4.1", "challengePassword has more than one value");
    }
    if (memchr(tags, item.tag, sizeof(tags)) == NULL) {
        return pki_fail(err, PKI_E_CSR, "RFC 2985 5.4.1", "challengePassword is no string (tag 0x%02x)",
                        item.tag);
    }
    csr->challenge_password = item.value;
    return PKI_OK;
}

static pki_code_t
attribute_read(csr_reader_t *r, bytes_t oid, bytes_t values, pki_err_t *err)
{
    if (values.len == 0) {
        return pki_fail(err, PKI_E_CSR, "RFC 2986 4.1", "an attribute has no value");
    }
    if (bytes_eq(oid, oid_challenge_password)) {
        return challenge_password_read(r->csr, values, err);
    }
    if (bytes_eq(oid, oid_extension_request) || bytes_eq(oid, oid_ms_extension_request)) {
        return extensions_read(r, values, err);
    }
    while (values.len != 0) {
        der_item_t item;

        PKI_TRY(der_next(&values, &item, err));
    }
    return PKI_OK;
}

/* The SET is not required to be sorted: clients in the field send it in any order. */
static pki_code_t
attributes_read(csr_reader_t *r, bytes_t attributes, pki_err_t *err)
{
    bytes_t seen[CSR_ATTRIBUTES_MAX], seq, oid, values;
    size_t  count = 0;

    while (attributes.len != 0) {
        PKI_TRY(der_take(&attributes, DER_SEQUENCE, "Attribute", &seq, err));
        PKI_TRY(der_take(&seq, DER_OID, "attribute type", &oid, err));
        PKI_TRY(der_take(&seq, DER_SET, "attribute values", &values, err));
        PKI_TRY(der_end(seq, "attribute values", err));
        for (size_t i = 0; i < count; i++) {
            if (bytes_eq(seen[i], oid)) {
                return pki_fail(err, PKI_E_CSR, "RFC 2986 4.1", "%s there twice",
                                bytes_eq(oid, oid_extension_request) ? "extensionRequest is"
                                                                     : "an attribute is");
            }
        }
        if (count == CSR_ATTRIBUTES_MAX) {
            return pki_fail(err, PKI_E_CSR, NULL, "there are more than %d attributes", CSR_ATTRIBUTES_MAX);
        }
        seen[count++] = oid;
        PKI_TRY(attribute_read(r, oid, values, err));
    }
    return PKI_OK;
}

static pki_code_t
info_read(csr_reader_t *r, bytes_t info, pki_err_t *err)
{
    csr_t   *csr = r->csr;
    bytes_t  attributes, spki;
    uint64_t version;

    PKI_TRY(der_take_uint(&info, "version", UINT32_MAX, &version, err));
    if (version != 0) {
        return pki_fail(err, PKI_E_CSR, "RFC 2986 4.1", "the version is %llu, not 0",
                        (unsigned long long) version);
    }
    PKI_TRY(der_take_whole(&info, DER_SEQUENCE, "subject", &csr->subject, err));
    PKI_TRY(der_take_whole(&info, DER_SEQUENCE, "subjectPKInfo", &spki, err));
    PKI_TRY(der_take(&info, DER_CONTEXT_CONSTRUCTED(0), "attributes", &attributes, err));
    PKI_TRY(der_end(info, "attributes", err));
    PKI_TRY(name_check(csr->subject, err));
    PKI_TRY(pki_key_parse(spki, &csr->key, err));
    return attributes_read(r, attributes, err);
}

pki_code_t
csr_parse(pki_arena_t *a, bytes_t der, csr_t *out, pki_err_t *err)
{
    csr_reader_t r = { a, out, false };
    bytes_t      seq, info, tbs, rest = der;

    *out = (csr_t){ .der = der };
    if (der.len > CSR_MAX) {
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "a request of %zu octets, %d allowed", der.len, CSR_MAX);
    }
    PKI_TRY(der_take(&rest, DER_SEQUENCE, "CertificationRequest", &seq, err));
    PKI_TRY(der_end(rest, "CertificationRequest", err));
    PKI_TRY(der_take_whole(&seq, DER_SEQUENCE, "certificationRequestInfo", &out->tbs, err));
    PKI_TRY(der_take_whole(&seq, DER_SEQUENCE, "signatureAlgorithm", &out->algorithm, err));
    PKI_TRY(der_take_bits(&seq, "signature", &out->signature, err));
    PKI_TRY(der_end(seq, "signature", err));

    tbs = out->tbs;
    PKI_TRY(der_take(&tbs, DER_SEQUENCE, "certificationRequestInfo", &info, err));
    return csr_code(info_read(&r, info, err), err);
}

pki_code_t
csr_check_wish(const csr_t *csr, pki_err_t *err)
{
    static const bytes_t empty_name = OID_OCTETS("\x30\x00");

    if (csr->asks_ca) {
        return pki_fail(err, PKI_E_CSR, "RFC 5280 4.2.1.9", "the request asks for CA:TRUE");
    }
    if (bytes_eq(csr->subject, empty_name) && csr->names.count == 0) {
        return pki_fail(err, PKI_E_CSR, "RFC 5280 4.1.2.6", "neither a subject nor a subjectAltName");
    }
    return PKI_OK;
}

pki_code_t
csr_check(const csr_t *csr, pki_err_t *err)
{
    PKI_TRY(csr_check_wish(csr, err));
    return pki_signature_check(&csr->key, csr->algorithm, csr->tbs, csr->signature, err);
}

pki_code_t
csr_decode(pki_arena_t *a, bytes_t in, bytes_t *der, pki_err_t *err)
{
    static const char *const labels[] = { "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST", NULL };

    if (der_peek(in, DER_SEQUENCE)) {
        *der = in;
    } else {
        PKI_TRY(pem_next(a, &in, labels, der, err));
    }
    if (der->p == NULL) {
        return pki_fail(err, PKI_E_PARSE, "RFC 7468 7", "neither DER nor a PEM certificate request");
    }
    if (der->len > CSR_MAX) {
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "a request of %zu octets, %d allowed", der->len, CSR_MAX);
    }
    return PKI_OK;
}

static pki_code_t
names_print(pki_arena_t *a, const general_names_t *names, pki_buf_t *out, pki_err_t *err)
{
    const char *text;

    for (size_t i = 0; i < names->count; i++) {
        PKI_TRY(general_name_print(a, &names->v[i], &text, err));
        pki_buf_printf(out, "name: %s\n", text);
    }
    return PKI_OK;
}

pki_code_t
csr_print(const csr_t *csr, pki_buf_t *out, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    const char  *subject = NULL;
    char         key[16];
    pki_code_t   rc;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "no room to print a request");
    }
    rc = name_print(a, csr->subject, &subject, err);
    if (rc == PKI_OK) {
        pki_buf_printf(out, "subject: %s\nkey: %s\n", subject, pki_key_name(&csr->key, key));
        rc = names_print(a, &csr->names, out, err);
    }
    pki_arena_free(a);
    PKI_TRY(rc);
    pki_buf_printf(out, "extensions asked for: %zu%s%s%s\nchallenge password: %s\n", csr->extension_count,
                   csr->key_usage != 0 ? ", keyUsage" : "", csr->eku.p != NULL ? ", extKeyUsage" : "",
                   csr->asks_ca ? ", CA:TRUE" : "", csr->challenge_password.p != NULL ? "present" : "none");
    return pki_buf_check(out, "a request as text", err);
}
