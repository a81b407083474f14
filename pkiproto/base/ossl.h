/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * OpenSSL temporaries that free themselves: PKI_AUTO(X509) x = d2i_X509(...);  And a digest for hot paths.
 */
#ifndef PKI_BASE_OSSL_H
#define PKI_BASE_OSSL_H

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#define PKI_AUTO(type) __attribute__((cleanup(pki_auto_##type))) type *

#define PKI_AUTO_DEFINE(type, free_fn)   \
    static inline void                   \
    pki_auto_##type(type **p)            \
    {                                    \
        free_fn(*p);                     \
    }

PKI_AUTO_DEFINE(BIO, BIO_free_all)
PKI_AUTO_DEFINE(BIGNUM, BN_free)
PKI_AUTO_DEFINE(EVP_MD_CTX, EVP_MD_CTX_free)
PKI_AUTO_DEFINE(EVP_PKEY, EVP_PKEY_free)
PKI_AUTO_DEFINE(EVP_PKEY_CTX, EVP_PKEY_CTX_free)
PKI_AUTO_DEFINE(PKCS12, PKCS12_free)
PKI_AUTO_DEFINE(X509, X509_free)
PKI_AUTO_DEFINE(X509_CRL, X509_CRL_free)
PKI_AUTO_DEFINE(X509_REQ, X509_REQ_free)
PKI_AUTO_DEFINE(X509_STORE, X509_STORE_free)
PKI_AUTO_DEFINE(X509_STORE_CTX, X509_STORE_CTX_free)

/* SHA-256, found once: EVP_sha256() is looked up in the library's tables at each use. */
const EVP_MD *ossl_sha256(void);

#endif
