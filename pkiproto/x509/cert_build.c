/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Writing certificates: RFC 5280 sections 4.1 and 4.2, in the form that linters of the web PKI are
 * content with: minimal BIT STRINGs, critical exactly where it has to be, key identifiers only.
 */
#include <openssl/rand.h>

#include "pkiproto/der/write.h"
#include "pkiproto/x509/cert.h"
#include "pkiproto/x509/ext.h"

#define TLS_STATUS_REQUEST 5

static const bytes_t oid_skid = OID_OCTETS("\x55\x1d\x0e");
static const bytes_t oid_key_usage = OID_OCTETS("\x55\x1d\x0f");
static const bytes_t oid_san = OID_OCTETS("\x55\x1d\x11");
static const bytes_t oid_basic_constraints = OID_OCTETS("\x55\x1d\x13");
static const bytes_t oid_crl_distribution = OID_OCTETS("\x55\x1d\x1f");
static const bytes_t oid_akid = OID_OCTETS("\x55\x1d\x23");
static const bytes_t oid_eku = OID_OCTETS("\x55\x1d\x25");
static const bytes_t oid_tls_feature = OID_OCTETS("\x2b\x06\x01\x05\x05\x07\x01\x18");
static const bytes_t oid_no_rev_avail = OID_OCTETS("\x55\x1d\x38");
static const bytes_t oid_aia = OID_OCTETS("\x2b\x06\x01\x05\x05\x07\x01\x01");
static const bytes_t oid_ad_ocsp = OID_OCTETS("\x2b\x06\x01\x05\x05\x07\x30\x01");
static const bytes_t oid_ad_ca_issuers = OID_OCTETS("\x2b\x06\x01\x05\x05\x07\x30\x02");
static const bytes_t oid_ocsp_nocheck = OID_OCTETS("\x2b\x06\x01\x05\x05\x07\x30\x01\x05");

static bool
name_empty(bytes_t name)
{
    return name.len <= 2;
}

static pki_code_t
template_fail(pki_err_t *err, const char *clause, const char *why)
{
    return pki_fail(err, PKI_E_INVALID, clause, "a certificate template is wrong: %s", why);
}

static pki_code_t
template_check(const cert_template_t *t, pki_err_t *err)
{
    bytes_t s = t->serial;

    if (s.len == 0 || s.len > CERT_SERIAL_MAX || s.p[0] >= 0x80
        || (s.p[0] == 0 && (s.len == 1 || s.p[1] < 0x80)))
    {
        return template_fail(err, "RFC 5280 4.1.2.2", "the serial is not positive and canonical");
    }
    if (t->sigalg == NULL || t->spki.len == 0) {
        return template_fail(err, "RFC 5280 4.1", "there is no key or no signature algorithm");
    }
    if (t->not_after < t->not_before) {
        return template_fail(err, "RFC 5280 4.1.2.5", "notAfter is earlier than notBefore");
    }
    if (name_empty(t->issuer) || (name_empty(t->subject) && (t->is_ca || t->san.len == 0))) {
        return template_fail(err, "RFC 5280 4.1.2.6", "a name is missing");
    }
    if (t->key_usage == 0 || (!t->is_ca && (t->key_usage & KU_KEY_CERT_SIGN))) {
        return template_fail(err, "RFC 5280 4.2.1.3", "keyUsage does not fit");
    }
    if (t->path_len >= 0 && !t->is_ca) {
        return template_fail(err, "RFC 5280 4.2.1.9", "a path length without CA:TRUE");
    }
    if (t->no_rev_avail && (t->is_ca || t->ocsp_url != NULL || t->crl_url != NULL)) {
        return template_fail(err, "RFC 9608 2", "noRevAvail in a CA certificate, or beside a place to ask");
    }
    if (t->must_staple && t->ocsp_url == NULL) {
        return template_fail(err, "RFC 7633 4.2.3.1", "a stapled answer is asked for, and nowhere to get it");
    }
    if (t->eku & EKU_ANY) {
        return template_fail(err, "RFC 5280 4.2.1.12", "anyExtendedKeyUsage is never issued");
    }
    return PKI_OK;
}

/* Up to and including the OCTET STRING's header; both are closed by ext_close(). */
typedef struct {
    size_t extension, value;
} ext_open_t;

static ext_open_t
ext_open(pki_buf_t *out, bytes_t oid, bool critical)
{
    ext_open_t at;

    at.extension = der_open(out, DER_SEQUENCE);
    der_put(out, DER_OID, oid);
    if (critical) {
        der_put_bool(out, true);
    }
    at.value = der_open(out, DER_OCTET_STRING);
    return at;
}

static void
ext_close(pki_buf_t *out, ext_open_t at)
{
    der_close(out, at.value);
    der_close(out, at.extension);
}

static void
put_key_ids(const cert_template_t *t, pki_buf_t *out)
{
    ext_open_t ext;
    size_t     seq;

    if (t->akid.len != 0) {
        ext = ext_open(out, oid_akid, false);
        seq = der_open(out, DER_SEQUENCE);
        der_put(out, DER_CONTEXT(0), t->akid);
        der_close(out, seq);
        ext_close(out, ext);
    }
    if (t->skid.len != 0) {
        ext = ext_open(out, oid_skid, false);
        der_put(out, DER_OCTET_STRING, t->skid);
        ext_close(out, ext);
    }
}

static void
put_constraints(const cert_template_t *t, pki_buf_t *out)
{
    ext_open_t ext;
    size_t     seq;

    ext = ext_open(out, oid_key_usage, true);
    der_put_named_bits(out, t->key_usage);
    ext_close(out, ext);

    ext = ext_open(out, oid_basic_constraints, true);
    seq = der_open(out, DER_SEQUENCE);
    if (t->is_ca) {
        der_put_bool(out, true);
    }
    if (t->path_len >= 0) {
        der_put_uint(out, DER_INTEGER, (uint64_t) t->path_len);
    }
    der_close(out, seq);
    ext_close(out, ext);
}

static void
put_eku(const cert_template_t *t, pki_buf_t *out)
{
    ext_open_t ext = ext_open(out, oid_eku, false);
    size_t     seq = der_open(out, DER_SEQUENCE);

    for (unsigned bit = 1; bit < EKU_ANY; bit <<= 1) {
        if (t->eku & bit) {
            der_put(out, DER_OID, ext_eku_oid(bit));
        }
    }
    der_close(out, seq);
    ext_close(out, ext);
}

static void
put_access(pki_buf_t *out, bytes_t method, const char *url)
{
    size_t seq;

    if (url != NULL) {
        seq = der_open(out, DER_SEQUENCE);
        der_put(out, DER_OID, method);
        der_put(out, DER_CONTEXT(GENERAL_NAME_URI), bytes_str(url));
        der_close(out, seq);
    }
}

static void
put_aia(const cert_template_t *t, pki_buf_t *out)
{
    ext_open_t ext = ext_open(out, oid_aia, false);
    size_t     seq = der_open(out, DER_SEQUENCE);

    put_access(out, oid_ad_ocsp, t->ocsp_url);
    put_access(out, oid_ad_ca_issuers, t->ca_issuers_url);
    der_close(out, seq);
    ext_close(out, ext);
}

/* CRLDistributionPoints { DistributionPoint { [0] { fullName [0] { [6] url } } } } */
static void
put_crl_distribution(const cert_template_t *t, pki_buf_t *out)
{
    ext_open_t ext = ext_open(out, oid_crl_distribution, false);
    size_t     points = der_open(out, DER_SEQUENCE);
    size_t     point = der_open(out, DER_SEQUENCE);
    size_t     name = der_open(out, DER_CONTEXT_CONSTRUCTED(0));
    size_t     full_name = der_open(out, DER_CONTEXT_CONSTRUCTED(0));

    der_put(out, DER_CONTEXT(GENERAL_NAME_URI), bytes_str(t->crl_url));
    der_close(out, full_name);
    der_close(out, name);
    der_close(out, point);
    der_close(out, points);
    ext_close(out, ext);
}

static void
put_san(const cert_template_t *t, pki_buf_t *out)
{
    ext_open_t ext = ext_open(out, oid_san, name_empty(t->subject));

    pki_buf_put(out, t->san);
    ext_close(out, ext);
}

/* id-pkix-ocsp-nocheck and noRevAvail: there, and NULL. */
static void
put_null(pki_buf_t *out, bytes_t oid)
{
    ext_open_t ext = ext_open(out, oid, false);

    der_put(out, DER_NULL, BYTES_NONE);
    ext_close(out, ext);
}

/* Features { status_request (5) }: a server must staple an OCSP response (RFC 7633 4.1, RFC 6066 8). */
static void
put_must_staple(pki_buf_t *out)
{
    ext_open_t ext = ext_open(out, oid_tls_feature, false);
    size_t     seq = der_open(out, DER_SEQUENCE);

    der_put_uint(out, DER_INTEGER, TLS_STATUS_REQUEST);
    der_close(out, seq);
    ext_close(out, ext);
}

static void
put_extensions(const cert_template_t *t, pki_buf_t *out)
{
    size_t explicit = der_open(out, DER_CONTEXT_CONSTRUCTED(3));
    size_t seq = der_open(out, DER_SEQUENCE);

    put_key_ids(t, out);
    put_constraints(t, out);
    if (t->eku != 0) {
        put_eku(t, out);
    }
    if (t->san.len != 0) {
        put_san(t, out);
    }
    if (t->ocsp_url != NULL || t->ca_issuers_url != NULL) {
        put_aia(t, out);
    }
    if (t->crl_url != NULL) {
        put_crl_distribution(t, out);
    }
    if (t->ocsp_nocheck) {
        put_null(out, oid_ocsp_nocheck);
    }
    if (t->no_rev_avail) {
        put_null(out, oid_no_rev_avail);
    }
    if (t->must_staple) {
        put_must_staple(out);
    }
    der_close(out, seq);
    der_close(out, explicit);
}

pki_code_t
cert_build_tbs(const cert_template_t *t, pki_buf_t *out, pki_err_t *err)
{
    size_t tbs, explicit, validity;

    PKI_TRY(template_check(t, err));
    tbs = der_open(out, DER_SEQUENCE);
    explicit = der_open(out, DER_CONTEXT_CONSTRUCTED(0));
    der_put_uint(out, DER_INTEGER, 2);
    der_close(out, explicit);
    der_put(out, DER_INTEGER, t->serial);
    pki_buf_put(out, t->sigalg->identifier);
    pki_buf_put(out, t->issuer);
    validity = der_open(out, DER_SEQUENCE);
    der_put_time(out, t->not_before);
    der_put_time(out, t->not_after);
    der_close(out, validity);
    pki_buf_put(out, t->subject);
    pki_buf_put(out, t->spki);
    put_extensions(t, out);
    der_close(out, tbs);
    return pki_buf_check(out, "a certificate", err);
}

pki_code_t
signed_build(bytes_t tbs, const pki_sigalg_t *alg, bytes_t signature, pki_buf_t *out, pki_err_t *err)
{
    size_t seq = der_open(out, DER_SEQUENCE);

    pki_buf_put(out, tbs);
    pki_buf_put(out, alg->identifier);
    der_put_bits(out, signature);
    der_close(out, seq);
    return pki_buf_check(out, "a signed object", err);
}

pki_code_t
cert_serial_generate(uint8_t out[CERT_SERIAL_LEN], pki_err_t *err)
{
    do {
        if (RAND_bytes(out, CERT_SERIAL_LEN) != 1) {
            return pki_fail(err, PKI_E_CRYPTO, NULL, "no random octets");
        }
        out[0] &= 0x7f;
    } while (out[0] == 0);
    return PKI_OK;
}

uint16_t
cert_leaf_key_usage(pki_key_kind_t kind)
{
    return (uint16_t) (KU_DIGITAL_SIGNATURE | (kind == PKI_KEY_RSA ? KU_KEY_ENCIPHERMENT : 0u));
}
