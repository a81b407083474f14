/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Reading certificates: RFC 5280 section 4.1 in its order, and what of 4.2 this project asks about.
 * The writer is cert_build.c.
 */
#include "pkiproto/x509/cert.h"

#include "pkiproto/base/text.h"
#include "pkiproto/der/read.h"
#include "pkiproto/x509/ext.h"
#include "pkiproto/x509/pem.h"

typedef struct {
    pki_arena_t *a;
    cert_t      *cert;
    bool         foreign; /* any key will do */
} cert_reader_t;

static pki_code_t
version_read(bytes_t *tbs, bool *is_v3, pki_err_t *err)
{
    bytes_t  explicit;
    uint64_t version;

    *is_v3 = false;
    if (!der_peek(*tbs, DER_CONTEXT_CONSTRUCTED(0))) {
        return PKI_OK;
    }
    PKI_TRY(der_take(tbs, DER_CONTEXT_CONSTRUCTED(0), "version", &explicit, err));
    PKI_TRY(der_take_uint(&explicit, "version", UINT32_MAX, &version, err));
    PKI_TRY(der_end(explicit, "version", err));
    if (version != 2) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 4.1.2.1", "the version is encoded as %llu, not 2",
                        (unsigned long long) version);
    }
    *is_v3 = true;
    return PKI_OK;
}

static pki_code_t
serial_read(bytes_t *tbs, bytes_t *out, pki_err_t *err)
{
    PKI_TRY(der_take_integer(tbs, "serialNumber", out, err));
    if (out->p[0] >= 0x80) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 4.1.2.2", "the serial number is negative");
    }
    if (out->len > CERT_SERIAL_MAX) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 4.1.2.2", "the serial number has %zu octets, %d allowed",
                        out->len, CERT_SERIAL_MAX);
    }
    return PKI_OK;
}

static pki_code_t
validity_read(bytes_t *tbs, cert_t *out, pki_err_t *err)
{
    bytes_t seq;

    PKI_TRY(der_take(tbs, DER_SEQUENCE, "validity", &seq, err));
    PKI_TRY(der_take_time(&seq, "notBefore", &out->not_before, err));
    PKI_TRY(der_take_time(&seq, "notAfter", &out->not_after, err));
    return der_end(seq, "validity", err);
}

static pki_code_t
skid_read(bytes_t value, bytes_t *out, pki_err_t *err)
{
    PKI_TRY(der_take(&value, DER_OCTET_STRING, "subjectKeyIdentifier", out, err));
    return der_end(value, "subjectKeyIdentifier", err);
}

static pki_code_t
akid_read(bytes_t value, bytes_t *out, pki_err_t *err)
{
    bytes_t seq, other;

    PKI_TRY(der_take(&value, DER_SEQUENCE, "authorityKeyIdentifier", &seq, err));
    PKI_TRY(der_end(value, "authorityKeyIdentifier", err));
    if (der_peek(seq, DER_CONTEXT(0))) {
        PKI_TRY(der_take(&seq, DER_CONTEXT(0), "keyIdentifier", out, err));
    }
    if (der_peek(seq, DER_CONTEXT_CONSTRUCTED(1))) {
        PKI_TRY(der_take(&seq, DER_CONTEXT_CONSTRUCTED(1), "authorityCertIssuer", &other, err));
    }
    if (der_peek(seq, DER_CONTEXT(2))) {
        PKI_TRY(der_take(&seq, DER_CONTEXT(2), "authorityCertSerialNumber", &other, err));
    }
    return der_end(seq, "authorityKeyIdentifier", err);
}

/* RFC 9608 2: NULL. */
static pki_code_t
no_rev_avail_read(bytes_t value, pki_err_t *err)
{
    bytes_t null;

    PKI_TRY(der_take(&value, DER_NULL, "noRevAvail", &null, err));
    PKI_TRY(der_end(null, "noRevAvail", err));
    return der_end(value, "noRevAvail", err);
}

static pki_code_t
extension_read(void *arg, const ext_t *ext, pki_err_t *err)
{
    cert_reader_t *r = arg;
    cert_t        *cert = r->cert;

    switch (ext->kind) {
    case EXT_SKID:
        return skid_read(ext->value, &cert->skid, err);
    case EXT_AKID:
        return akid_read(ext->value, &cert->akid, err);
    case EXT_KEY_USAGE:
        return ext_key_usage(ext->value, &cert->key_usage, err);
    case EXT_SAN:
        cert->san = ext->value;
        return general_names_parse(r->a, ext->value, &cert->names, err);
    case EXT_BASIC_CONSTRAINTS:
        cert->has_basic_constraints = true;
        return ext_basic_constraints(ext->value, &cert->is_ca, &cert->path_len, err);
    case EXT_EKU:
        cert->has_eku = true;
        return ext_eku(ext->value, &cert->eku, err);
    case EXT_NO_REV_AVAIL:
        cert->no_rev_avail = true;
        return no_rev_avail_read(ext->value, err);
    case EXT_OTHER:
        cert->has_unknown_critical |= ext->critical;
        break;
    }
    return PKI_OK;
}

static pki_code_t
extensions_read(cert_reader_t *r, bytes_t *tbs, bool is_v3, pki_err_t *err)
{
    bytes_t explicit, seq, unique;

    for (uint8_t n = 1; n <= 2; n++) {
        if (is_v3 && der_peek(*tbs, DER_CONTEXT(n))) {
            PKI_TRY(der_take(tbs, DER_CONTEXT(n), "unique identifier", &unique, err));
        }
    }
    if (!is_v3 || tbs->len == 0) {
        return der_end(*tbs, "subjectPublicKeyInfo", err);
    }
    PKI_TRY(der_take(tbs, DER_CONTEXT_CONSTRUCTED(3), "extensions", &explicit, err));
    PKI_TRY(der_end(*tbs, "extensions", err));
    PKI_TRY(der_take(&explicit, DER_SEQUENCE, "Extensions", &seq, err));
    PKI_TRY(der_end(explicit, "Extensions", err));
    if (seq.len == 0) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 4.1.2.9", "the list of extensions is empty");
    }
    return ext_walk(seq, extension_read, r, err);
}

static pki_code_t
key_read(cert_reader_t *r, bytes_t spki, pki_err_t *err)
{
    pki_key_t *key = &r->cert->key;
    pki_code_t code = pki_key_parse(spki, key, err);

    if (code == PKI_E_KEY && r->foreign) {
        *key = (pki_key_t){ .spki = spki };
        return PKI_OK;
    }
    return code;
}

static pki_code_t
tbs_read(cert_reader_t *r, bytes_t tbs, pki_err_t *err)
{
    cert_t *cert = r->cert;
    bytes_t algorithm, spki;
    bool    is_v3;

    PKI_TRY(version_read(&tbs, &is_v3, err));
    PKI_TRY(serial_read(&tbs, &cert->serial, err));
    PKI_TRY(der_take_whole(&tbs, DER_SEQUENCE, "signature algorithm", &algorithm, err));
    if (!bytes_eq(algorithm, cert->algorithm)) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 4.1.1.2", "the two signature algorithms differ");
    }
    PKI_TRY(der_take_whole(&tbs, DER_SEQUENCE, "issuer", &cert->issuer, err));
    PKI_TRY(name_shape_check(cert->issuer, err));
    PKI_TRY(validity_read(&tbs, cert, err));
    PKI_TRY(der_take_whole(&tbs, DER_SEQUENCE, "subject", &cert->subject, err));
    PKI_TRY(name_shape_check(cert->subject, err));
    PKI_TRY(der_take_whole(&tbs, DER_SEQUENCE, "subjectPublicKeyInfo", &spki, err));
    PKI_TRY(key_read(r, spki, err));
    return extensions_read(r, &tbs, is_v3, err);
}

static pki_code_t
cert_read(cert_reader_t *r, bytes_t der, pki_err_t *err)
{
    cert_t *out = r->cert;
    bytes_t seq, whole, tbs, rest = der;

    *out = (cert_t){ .der = der, .path_len = -1 };
    if (der.len > CERT_MAX) {
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "the certificate has %zu octets, %d allowed", der.len,
                        CERT_MAX);
    }
    PKI_TRY(der_take(&rest, DER_SEQUENCE, "Certificate", &seq, err));
    PKI_TRY(der_end(rest, "Certificate", err));
    PKI_TRY(der_take_whole(&seq, DER_SEQUENCE, "tbsCertificate", &out->tbs, err));
    PKI_TRY(der_take_whole(&seq, DER_SEQUENCE, "signatureAlgorithm", &out->algorithm, err));
    PKI_TRY(der_take_bits(&seq, "signatureValue", &out->signature, err));
    PKI_TRY(der_end(seq, "signatureValue", err));

    whole = out->tbs;
    PKI_TRY(der_take(&whole, DER_SEQUENCE, "tbsCertificate", &tbs, err));
    return tbs_read(r, tbs, err);
}

pki_code_t
cert_parse(pki_arena_t *a, bytes_t der, cert_t *out, pki_err_t *err)
{
    cert_reader_t r = { .a = a, .cert = out };

    return cert_read(&r, der, err);
}

pki_code_t
cert_parse_foreign(pki_arena_t *a, bytes_t der, cert_t *out, pki_err_t *err)
{
    cert_reader_t r = { .a = a, .cert = out, .foreign = true };

    return cert_read(&r, der, err);
}

pki_code_t
cert_check_issued_by(const cert_t *cert, const cert_t *issuer, pki_err_t *err)
{
    if (!bytes_eq(cert->issuer, issuer->subject)) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 6.1.3", "the issuer's name is not the CA's subject");
    }
    if (cert->akid.p != NULL && issuer->skid.p != NULL && !bytes_eq(cert->akid, issuer->skid)) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.2.1.1", "authorityKeyIdentifier is not the CA's");
    }
    if (!issuer->is_ca) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.2.1.9", "the issuer is no CA");
    }
    if (issuer->key_usage != 0 && !(issuer->key_usage & KU_KEY_CERT_SIGN)) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.2.1.3", "the issuer's keyUsage lacks keyCertSign");
    }
    return pki_signature_check(&issuer->key, cert->algorithm, cert->tbs, cert->signature, err);
}

pki_code_t
cert_check_ca(const cert_t *cert, pki_err_t *err)
{
    if (!cert->is_ca) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.2.1.9", "basicConstraints does not say CA:TRUE");
    }
    if (!(cert->key_usage & KU_KEY_CERT_SIGN)) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.2.1.3", "keyUsage lacks keyCertSign");
    }
    if (!(cert->key_usage & KU_CRL_SIGN)) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.2.1.3", "keyUsage lacks cRLSign");
    }
    if (cert->skid.len == 0) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.2.1.2", "there is no subjectKeyIdentifier");
    }
    if (cert->subject.len <= 2) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.1.2.6", "the subject is empty");
    }
    return PKI_OK;
}

static pki_code_t
list_add(cert_list_t *list, size_t max, bytes_t der, pki_err_t *err)
{
    bytes_t rest = der, whole;

    if (list->count == max) {
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "there are more than %zu certificates", max);
    }
    PKI_TRY(der_take_whole(&rest, DER_SEQUENCE, "Certificate", &whole, err));
    PKI_TRY(der_end(rest, "Certificate", err));
    list->v[list->count++] = whole;
    return PKI_OK;
}

pki_code_t
cert_decode(pki_arena_t *a, bytes_t in, size_t max, cert_list_t *out, pki_err_t *err)
{
    static const char *const labels[] = { "CERTIFICATE", "X509 CERTIFICATE", NULL };
    bytes_t                  der;

    out->count = 0;
    PKI_TRY(PKI_NEW_N(a, max, &out->v, err));
    if (der_peek(in, DER_SEQUENCE)) {
        return list_add(out, max, in, err);
    }
    for (;;) {
        PKI_TRY(pem_next(a, &in, labels, &der, err));
        if (der.p == NULL) {
            break;
        }
        PKI_TRY(list_add(out, max, der, err));
    }
    return out->count != 0 ? PKI_OK
                           : pki_fail(err, PKI_E_PARSE, "RFC 7468 5", "neither DER nor a PEM certificate");
}

pki_code_t
cert_pem(bytes_t der, pki_buf_t *out, pki_err_t *err)
{
    return pem_put(out, "CERTIFICATE", der, err);
}

static void
serial_print(bytes_t serial, pki_buf_t *out)
{
    char hex[2 * CERT_SERIAL_MAX + 1];

    hex_encode(serial, hex);
    pki_buf_printf(out, "serial: %s\n", hex);
}

static void
usage_print(const cert_t *cert, pki_buf_t *out)
{
    static const char *const bits[] = { "digitalSignature", "nonRepudiation",   "keyEncipherment",
                                        "dataEncipherment", "keyAgreement",     "keyCertSign",
                                        "cRLSign",          "encipherOnly",     "decipherOnly" };

    pki_buf_printf(out, "key usage:");
    for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
        if (cert->key_usage & (0x8000u >> i)) {
            pki_buf_printf(out, " %s", bits[i]);
        }
    }
    pki_buf_printf(out, "\nextended key usage:");
    for (unsigned bit = 1; bit <= EKU_ANY; bit <<= 1) {
        if (cert->eku & bit) {
            pki_buf_printf(out, " %s", eku_name(bit));
        }
    }
    pki_buf_printf(out, "\nCA: %s", cert->is_ca ? "yes" : "no");
    if (cert->path_len >= 0) {
        pki_buf_printf(out, ", path length %d", cert->path_len);
    }
    pki_buf_printf(out, "\n");
}

static pki_code_t
names_print(pki_arena_t *a, const cert_t *cert, pki_buf_t *out, pki_err_t *err)
{
    const char *issuer, *subject, *text;

    PKI_TRY(name_print(a, cert->issuer, &issuer, err));
    PKI_TRY(name_print(a, cert->subject, &subject, err));
    pki_buf_printf(out, "issuer: %s\nsubject: %s\n", issuer, subject);
    for (size_t i = 0; i < cert->names.count; i++) {
        PKI_TRY(general_name_print(a, &cert->names.v[i], &text, err));
        pki_buf_printf(out, "name: %s\n", text);
    }
    return PKI_OK;
}

pki_code_t
cert_print(const cert_t *cert, pki_buf_t *out, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    char         from[RFC3339_LEN + 1], to[RFC3339_LEN + 1], key[16];
    pki_code_t   rc;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "no room to print a certificate");
    }
    serial_print(cert->serial, out);
    rc = names_print(a, cert, out, err);
    pki_arena_free(a);
    PKI_TRY(rc);
    rfc3339_print(cert->not_before, from);
    rfc3339_print(cert->not_after, to);
    pki_buf_printf(out, "valid: %s to %s\nkey: %s\n", from, to, pki_key_name(&cert->key, key));
    usage_print(cert, out);
    return pki_buf_check(out, "a certificate as text", err);
}
