/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Delegated OCSP keys.  The digest and the signature are two steps, so that contexts made once serve for
 * all signatures: setting up EVP_DigestSign each time costs a good part of a P-256 signature.
 */
#include "ngx_module/ngx_http_pki_signer.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "pkiproto/base/ossl.h"

static pki_code_t
ngx_http_pki_signer_load(ngx_http_pki_signer_t *s, const char *file, const cert_t *certificate,
                         pki_err_t *err)
{
    PKI_AUTO(EVP_PKEY) wanted = NULL;
    PKI_AUTO(BIO) in = BIO_new_file(file, "r");

    if (in == NULL) {
        return pki_fail(err, PKI_E_IO, NULL, "responder key \"%s\" cannot be opened", file);
    }
    /* The empty passphrase keeps OpenSSL from asking a terminal for one. */
    s->key = PEM_read_bio_PrivateKey(in, NULL, NULL, (void *) "");
    if (s->key == NULL) {
        return pki_fail(err, PKI_E_PARSE, NULL, "responder key \"%s\" is not a private key in PEM", file);
    }
    PKI_TRY(pki_key_evp(&certificate->key, &wanted, err));
    if (EVP_PKEY_eq(s->key, wanted) != 1) {
        return pki_fail(err, PKI_E_KEY, NULL, "responder key \"%s\" is not the certificate's", file);
    }
    return PKI_OK;
}

static pki_code_t
ngx_http_pki_signer_way(ngx_http_pki_signer_t *s, const pki_sigalg_t *alg, ngx_http_pki_signer_way_t *way,
                        pki_err_t *err)
{
    way->sigalg = alg;
    if (alg->digest == NULL) {
        return PKI_OK;
    }
    way->md = EVP_MD_fetch(NULL, alg->digest, NULL);
    way->key_ctx = EVP_PKEY_CTX_new(s->key, NULL);
    if (way->md == NULL || way->key_ctx == NULL || EVP_PKEY_sign_init(way->key_ctx) != 1
        || EVP_PKEY_CTX_set_signature_md(way->key_ctx, way->md) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "responder key cannot sign with %s", alg->digest);
    }
    if (EVP_PKEY_is_a(s->key, "RSA") && EVP_PKEY_CTX_set_rsa_padding(way->key_ctx, RSA_PKCS1_PADDING) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "responder key cannot sign with PKCS #1 padding");
    }
    return PKI_OK;
}

/* Every algorithm that the key can sign with: clients may have wishes. */
static pki_code_t
ngx_http_pki_signer_prepare(ngx_http_pki_signer_t *s, pki_key_kind_t kind, pki_err_t *err)
{
    const pki_sigalg_t *algs;
    size_t              i, count;

    s->md_ctx = EVP_MD_CTX_new();
    if (s->md_ctx == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    algs = pki_key_sigalgs(kind, &count);
    for (i = 0; i < count; i++) {
        PKI_TRY(ngx_http_pki_signer_way(s, &algs[i], &s->ways[s->way_count++], err));
    }
    return PKI_OK;
}

pki_code_t
ngx_http_pki_signer_new(const char *file, const cert_t *certificate, ngx_http_pki_signer_t **out,
                        pki_err_t *err)
{
    ngx_http_pki_signer_t *s = calloc(1, sizeof(*s));
    pki_code_t             rc;

    if (s == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    s->refs = 1;
    rc = ngx_http_pki_signer_load(s, file, certificate, err);
    if (rc == PKI_OK) {
        rc = ngx_http_pki_signer_prepare(s, certificate->key.kind, err);
    }
    if (rc != PKI_OK) {
        ngx_http_pki_signer_release(s);
        return rc;
    }
    *out = s;
    return PKI_OK;
}

ngx_http_pki_signer_t *
ngx_http_pki_signer_hold(ngx_http_pki_signer_t *s)
{
    s->refs++;
    return s;
}

void
ngx_http_pki_signer_release(void *p)
{
    ngx_http_pki_signer_t *s = p;

    if (--s->refs == 0) {
        while (s->way_count != 0) {
            EVP_PKEY_CTX_free(s->ways[--s->way_count].key_ctx);
            EVP_MD_free(s->ways[s->way_count].md);
        }
        EVP_PKEY_free(s->key);
        EVP_MD_CTX_free(s->md_ctx);
        free(s);
    }
}

pki_code_t
ngx_http_pki_signer_sign(ngx_http_pki_signer_t *s, const pki_sigalg_t *sigalg, bytes_t message, uint8_t *sig,
                         size_t *len, pki_err_t *err)
{
    ngx_http_pki_signer_way_t *way = s->ways, *end = s->ways + s->way_count;
    uint8_t                    digest[EVP_MAX_MD_SIZE];
    unsigned                   digest_len;
    int                        ok;

    while (way < end && way->sigalg != sigalg) {
        way++;
    }
    *len = NGX_HTTP_PKI_SIGNATURE_MAX;

    if (way == end) {
        return pki_fail(err, PKI_E_KEY, NULL, "the OCSP responder's key does not sign so");
    }
    if (way->md == NULL) {
        ok = EVP_MD_CTX_reset(s->md_ctx) == 1 && EVP_DigestSignInit(s->md_ctx, NULL, NULL, NULL, s->key) == 1
             && EVP_DigestSign(s->md_ctx, sig, len, message.p, message.len) == 1;
    } else {
        ok = EVP_DigestInit_ex2(s->md_ctx, way->md, NULL) == 1
             && EVP_DigestUpdate(s->md_ctx, message.p, message.len) == 1
             && EVP_DigestFinal_ex(s->md_ctx, digest, &digest_len) == 1
             && EVP_PKEY_sign(way->key_ctx, sig, len, digest, digest_len) == 1;
    }
    return ok ? PKI_OK : pki_fail(err, PKI_E_CRYPTO, NULL, "the OCSP responder's key did not sign");
}
