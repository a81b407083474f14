/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A certificate, the CA certificate that it names, the chain to what is trusted (RFC 5280 sections 4 and 6).
 */
#include <openssl/x509_vfy.h>
#include <stdio.h>

#include "cli/selftest/selftest.h"
#include "core/clock.h"
#include "pkiproto/base/ossl.h"
#include "pkiproto/base/text.h"

#define SERIAL_LEAST 8 /* octets: 64 bits, CA/Browser Forum 7.1 */

static void
free_x509(void *x)
{
    X509_free(x);
}

static pki_code_t
x509_of(selftest_t *t, bytes_t der, X509 **out, pki_err_t *err)
{
    const unsigned char *p = der.p;

    *out = d2i_X509(NULL, &p, (long) der.len);
    if (*out == NULL) {
        return pki_fail(err, PKI_E_PARSE, "RFC 5280 4.1", "OpenSSL reads no certificate there");
    }
    return pki_arena_own(t->a, *out, free_x509, err);
}

/* The first URL of an access method (RFC 5280 4.2.2.1). */
static const char *
aia_url(selftest_t *t, X509 *x, int method)
{
    AUTHORITY_INFO_ACCESS *aia = X509_get_ext_d2i(x, NID_info_access, NULL, NULL);
    const char            *url = NULL;

    for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(aia) && url == NULL; i++) {
        const ACCESS_DESCRIPTION *ad = sk_ACCESS_DESCRIPTION_value(aia, i);

        if (OBJ_obj2nid(ad->method) == method && ad->location->type == GEN_URI) {
            const ASN1_IA5STRING *uri = ad->location->d.uniformResourceIdentifier;

            url = pki_strndup(t->a, ASN1_STRING_get0_data(uri), (size_t) ASN1_STRING_length(uri));
        }
    }
    AUTHORITY_INFO_ACCESS_free(aia);
    return url;
}

static const char *
cdp_url(selftest_t *t, X509 *x)
{
    CRL_DIST_POINTS *points = X509_get_ext_d2i(x, NID_crl_distribution_points, NULL, NULL);
    const char      *url = NULL;

    for (int i = 0; i < sk_DIST_POINT_num(points); i++) {
        const DIST_POINT *p = sk_DIST_POINT_value(points, i);

        for (int k = 0; p->distpoint != NULL && p->distpoint->type == 0
             && k < sk_GENERAL_NAME_num(p->distpoint->name.fullname); k++) {
            const GENERAL_NAME *name = sk_GENERAL_NAME_value(p->distpoint->name.fullname, k);

            if (url == NULL && name->type == GEN_URI) {
                const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;

                url = pki_strndup(t->a, ASN1_STRING_get0_data(uri), (size_t) ASN1_STRING_length(uri));
            }
        }
    }
    CRL_DIST_POINTS_free(points);
    return url;
}

pki_code_t
view_build(selftest_t *t, const char *subject, cert_list_t chain, view_t *out, pki_err_t *err)
{
    memset(out, 0, sizeof(*out));
    out->subject = subject;
    out->chain = chain;
    if (chain.count < 2) {
        return pki_fail(err, PKI_E_INVALID, NULL, "the certificate came without its CA's");
    }
    PKI_TRY(cert_parse(t->a, chain.v[0], &out->cert, err));
    PKI_TRY(cert_parse(t->a, chain.v[1], &out->issuer, err));
    PKI_TRY(x509_of(t, chain.v[0], &out->leaf, err));
    PKI_TRY(x509_of(t, chain.v[1], &out->ca, err));
    out->ocsp_url = aia_url(t, out->leaf, NID_ad_OCSP);
    out->ca_url = aia_url(t, out->leaf, NID_ad_ca_issuers);
    out->crl_url = cdp_url(t, out->leaf);
    return PKI_OK;
}

/* ---- the CA ---- */

static void
ca_check(selftest_t *t, const view_t *v)
{
    http_answer_t answer;
    pki_err_t     err = { 0 };
    cert_t        ca;

    if (v->ca_url == NULL) {
        check_report(t, v->subject, "CA certificate", CHECK_WARN, "clients that miss it cannot fetch it",
                     "the certificate names no URL");
        return;
    }
    if (!web_get(t, v->subject, "CA certificate", v->ca_url, "application/pkix-cert", &answer)) {
        return;
    }
    if (cert_parse(t->a, answer.body, &ca, &err) != PKI_OK || cert_check_ca(&ca, &err) != PKI_OK) {
        check_report(t, v->subject, "CA certificate", CHECK_FAIL,
                     "another service answers there, or a proxy changes answers", "%s: %s",
                     v->ca_url, err.text);
    } else if (!bytes_eq(ca.der, v->issuer.der)) {
        check_report(t, v->subject, "CA certificate", CHECK_FAIL, "edge.public_url must lead to the service that issued",
                     "%s is another certificate than the one that signed", v->ca_url);
    } else {
        check_report(t, v->subject, "CA certificate", CHECK_OK, NULL, "%s is the one that signed", v->ca_url);
    }
}

static void
path_check(selftest_t *t, const view_t *v)
{
    PKI_AUTO(X509_STORE_CTX) ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *others = sk_X509_new_null();
    X509           *each;
    int             good = 0;

    if (t->trust == NULL) {
        check_report(t, v->subject, "chain", CHECK_WARN, "give the trusted certificates with --ca-bundle",
                     "there is nothing to build it to");
        sk_X509_free(others);
        return;
    }
    for (size_t i = 1; i < v->chain.count; i++) {
        if (x509_of(t, v->chain.v[i], &each, NULL) == PKI_OK) {
            sk_X509_push(others, each);
        }
    }
    if (ctx != NULL && X509_STORE_CTX_init(ctx, t->trust, v->leaf, others) == 1) {
        X509_STORE_CTX_set_time(ctx, 0, (time_t) clock_now());
        good = X509_verify_cert(ctx);
    }
    if (good == 1) {
        check_report(t, v->subject, "chain", CHECK_OK, NULL, "%d certificates up to what is trusted",
                     sk_X509_num(X509_STORE_CTX_get0_chain(ctx)));
    } else {
        check_report(t, v->subject, "chain", CHECK_FAIL,
                     "devices need this CA's root; is --ca-bundle the one that they have?", "%s",
                     ctx != NULL ? X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)) : "out of memory");
    }
    sk_X509_free(others);
}

/* ---- what a certificate of ours has to look like ---- */

static const char *
serial_wrong(const cert_t *c)
{
    return c->serial.len > CERT_SERIAL_MAX     ? "the serial number has more than 20 octets"
           : c->serial.len < SERIAL_LEAST      ? "the serial number has less than 64 bits"
           : (c->serial.p[0] & 0x80) != 0      ? "the serial number is negative"
                                               : NULL;
}

static const char *
extensions_wrong(const view_t *v)
{
    const cert_t *c = &v->cert;

    return c->is_ca                                     ? "it is a CA"
           : c->key_usage == 0                          ? "it has no keyUsage"
           : (c->key_usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)) ? "its key may sign certificates or CRLs"
           : c->skid.p == NULL                          ? "it has no subjectKeyIdentifier"
           : !bytes_eq(c->akid, v->issuer.skid)         ? "its authorityKeyIdentifier is not the CA's subjectKeyIdentifier"
           : (c->eku & EKU_ANY)                         ? "it is for any purpose"
           : c->has_unknown_critical                    ? "it has a critical extension that clients may not know"
           : c->names.count == 0                        ? "it has no subjectAltName"
                                                        : NULL;
}

static const char *
times_wrong(const view_t *v)
{
    int64_t now = clock_now();

    return v->cert.not_before > now + SELFTEST_SKEW_S         ? "it is not valid yet"
           : v->cert.not_after < now                          ? "it has ended"
           : v->cert.not_after > v->issuer.not_after          ? "it ends after its CA"
                                                              : NULL;
}

static const char *
places_wrong(const view_t *v)
{
    if (v->cert.no_rev_avail) {
        return NULL;
    }
    return v->ocsp_url == NULL                         ? "it does not say where OCSP is"
           : v->crl_url == NULL                        ? "it does not say where the CRL is"
           : strncmp(v->ocsp_url, "http://", 7) != 0   ? "its OCSP is not over plain http, which clients may not follow"
           : strncmp(v->crl_url, "http://", 7) != 0    ? "its CRL is not over plain http, which clients may not follow"
                                                       : NULL;
}

static void
certificate_check(selftest_t *t, const view_t *v)
{
    const char *wrong[] = { serial_wrong(&v->cert), extensions_wrong(v), times_wrong(v), places_wrong(v) };
    pki_err_t   err = { 0 };
    bool        good = cert_check_issued_by(&v->cert, &v->issuer, &err) == PKI_OK;

    if (!good) {
        check_report(t, v->subject, "certificate", CHECK_FAIL, "its chain is of another generation, or was mixed up",
                     "%s", err.text);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (wrong[i] != NULL) {
            check_report(t, v->subject, "certificate", CHECK_FAIL, "look at the profile that it was issued with", "%s",
                         wrong[i]);
            good = false;
        }
    }
    if (good) {
        check_report(t, v->subject, "certificate", CHECK_OK, NULL,
                     "serial of %zu octets, key usage, identifiers, times and URLs are right",
                     v->cert.serial.len);
    }
}

void
selftest_chain(selftest_t *t, const view_t *v)
{
    certificate_check(t, v);
    ca_check(t, v);
    path_check(t, v);
}
