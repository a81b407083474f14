/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Signed OCSP requests (RFC 6960 4.1.2), where only clients that are known may ask.  Not for the public: each
 * request costs a verification and a path.
 */
#include "ngx_module/ngx_http_pki_ocsp.h"

#include "pkiproto/base/ossl.h"
#include "pkiproto/der/read.h"

#define NGX_HTTP_PKI_OCSP_CERTS_MAX 4 /* sent along, the signer's own among them */

/* The name in requestorName when it is a directoryName, [4] EXPLICIT. */
static bytes_t
ngx_http_pki_ocsp_requestor(const ocsp_request_t *request)
{
    bytes_t in = request->requestor, name;

    return in.p != NULL && der_take(&in, DER_CONTEXT_CONSTRUCTED(4), "directoryName", &name, NULL) == PKI_OK
               ? name
               : BYTES_NONE;
}

/* What came with the request. */
static pki_code_t
ngx_http_pki_ocsp_certs_read(const ocsp_request_t *request, STACK_OF(X509) *out, pki_err_t *err)
{
    bytes_t        rest = request->certs, der;
    const uint8_t *p;
    X509          *x;

    while (rest.len != 0 && sk_X509_num(out) < NGX_HTTP_PKI_OCSP_CERTS_MAX) {
        PKI_TRY(der_take_whole(&rest, DER_SEQUENCE, "certs", &der, err));
        p = der.p;
        x = d2i_X509(NULL, &p, (long) der.len);
        if (x == NULL || sk_X509_push(out, x) == 0) {
            X509_free(x);
            return pki_fail(err, PKI_E_PARSE, NULL, "a certificate of the request cannot be read");
        }
    }
    return PKI_OK;
}

static ngx_uint_t
ngx_http_pki_ocsp_is_named(X509 *x, bytes_t name)
{
    const unsigned char *p;
    size_t               len;

    if (name.p == NULL) {
        return 1;
    }
    return X509_NAME_get0_der(X509_get_subject_name(x), &p, &len) == 1 && bytes_eq(bytes_of(p, len), name);
}

/* The client's own certificate: that of its name, or the first where it gives none; NULL: not there. */
static X509 *
ngx_http_pki_ocsp_signer(STACK_OF(X509) *certs, bytes_t name)
{
    int i;

    for (i = 0; i < sk_X509_num(certs); i++) {
        if (ngx_http_pki_ocsp_is_named(sk_X509_value(certs, i), name)) {
            return sk_X509_value(certs, i);
        }
    }
    return NULL;
}

static pki_code_t
ngx_http_pki_ocsp_path(X509_STORE *trust, X509 *signer, STACK_OF(X509) *others, pki_err_t *err)
{
    PKI_AUTO(X509_STORE_CTX) ctx = X509_STORE_CTX_new();

    if (ctx == NULL || X509_STORE_CTX_init(ctx, trust, signer, others) != 1) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    if (X509_verify_cert(ctx) != 1) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 6960 4.1.2", "the signer is not trusted: %s",
                        X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    }
    return PKI_OK;
}

/* SHA-1 and MD5 are refused with the signature. */
static pki_code_t
ngx_http_pki_ocsp_signature(pki_arena_t *a, const ocsp_request_t *request, X509 *signer, pki_err_t *err)
{
    uint8_t *der, *p;
    cert_t   cert;
    int      len = i2d_X509(signer, NULL);

    if (len <= 0) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "a certificate cannot be encoded");
    }
    PKI_TRY(PKI_NEW_N(a, len, &der, err));
    p = der;
    i2d_X509(signer, &p);
    PKI_TRY(cert_parse(a, bytes_of(der, (size_t) len), &cert, err));

    if (cert.key_usage != 0 && !(cert.key_usage & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION))) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 5280 4.2.1.3", "the signer's key is not for signatures");
    }
    return pki_signature_check(&cert.key, request->algorithm, request->tbs, request->signature, err);
}

/* A client that sends no certificate is looked for among those that are trusted, by its name. */
static pki_code_t
ngx_http_pki_ocsp_verify(const ngx_http_pki_ocsp_t *o, pki_arena_t *a, STACK_OF(X509) *certs, pki_err_t *err)
{
    X509_STORE *trust = o->conf->client_trust;
    bytes_t     name = ngx_http_pki_ocsp_requestor(&o->request);
    X509       *signer = ngx_http_pki_ocsp_signer(certs, name);

    if (signer == NULL) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 6960 4.1.2", "the signer's certificate is not known");
    }
    PKI_TRY(ngx_http_pki_ocsp_path(trust, signer, certs, err));
    return ngx_http_pki_ocsp_signature(a, &o->request, signer, err);
}

static pki_code_t
ngx_http_pki_ocsp_certs(const ngx_http_pki_ocsp_t *o, STACK_OF(X509) **certs, pki_err_t *err)
{
    ngx_uint_t sent = o->request.certs.len != 0;

    *certs = sent ? sk_X509_new_null() : X509_STORE_get1_all_certs(o->conf->client_trust);
    if (*certs == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    if (!sent && ngx_http_pki_ocsp_requestor(&o->request).p == NULL) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 6960 4.1.2", "the signer does not say who it is");
    }
    return sent ? ngx_http_pki_ocsp_certs_read(&o->request, *certs, err) : PKI_OK;
}

ocsp_response_status_t
ngx_http_pki_ocsp_signed(const ngx_http_pki_ocsp_t *o)
{
    STACK_OF(X509) *certs = NULL;
    pki_arena_t *a;
    pki_err_t    err;
    pki_code_t   rc;

    if (!o->request.is_signed) {
        return OCSP_SIG_REQUIRED;
    }
    a = ngx_http_pki_arena(o->r, OCSP_REQUEST_MAX * 8);
    if (a == NULL) {
        return OCSP_INTERNAL_ERROR;
    }
    rc = ngx_http_pki_ocsp_certs(o, &certs, &err);
    if (rc == PKI_OK) {
        rc = ngx_http_pki_ocsp_verify(o, a, certs, &err);
    }
    sk_X509_pop_free(certs, X509_free);
    if (rc != PKI_OK) {
        ngx_log_error(NGX_LOG_INFO, o->r->connection->log, 0, "pki: signed OCSP request: %s", err.text);
        return OCSP_UNAUTHORIZED;
    }
    return OCSP_SUCCESSFUL;
}
