/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Trust stores (see trust_store.h), by OpenSSL's PKCS12_* functions.
 */
#include "pkiproto/x509/trust_store.h"

#include <openssl/pkcs12.h>
#include <stdio.h>

#include "pkiproto/base/ossl.h"

#define TRUST_ITERATIONS 10000
#define TRUST_NAME_MAX   256
#define TRUSTED_KEY_USAGE "2.16.840.1.113894.746875.1.1" /* Oracle: what the key of a trust anchor is for */

static void
bags_free(STACK_OF(PKCS12_SAFEBAG) **bags)
{
    sk_PKCS12_SAFEBAG_pop_free(*bags, PKCS12_SAFEBAG_free);
}

static void
safes_free(STACK_OF(PKCS7) **safes)
{
    sk_PKCS7_pop_free(*safes, PKCS7_free);
}

/* One certificate with its name, trusted for everything (anyExtendedKeyUsage). */
static pki_code_t
bag_add(STACK_OF(PKCS12_SAFEBAG) **bags, bytes_t der, const char *name, pki_err_t *err)
{
    const uint8_t  *at = der.p;
    PKI_AUTO(X509)  cert = d2i_X509(NULL, &at, (long) der.len);
    ASN1_OBJECT    *any = OBJ_nid2obj(NID_anyExtendedKeyUsage); /* of OpenSSL's own table */
    PKCS12_SAFEBAG *bag = cert != NULL ? PKCS12_add_cert(bags, cert) : NULL;

    if (bag == NULL || PKCS12_add_friendlyname_utf8(bag, name, -1) != 1
        || PKCS12_add1_attr_by_txt(bag, TRUSTED_KEY_USAGE, V_ASN1_OBJECT, (const unsigned char *) any, -1) != 1)
    {
        return pki_fail(err, PKI_E_CRYPTO, "RFC 7292 4.2.3", "a certificate does not go into the trust store");
    }
    return PKI_OK;
}

static pki_code_t
store_put(PKCS12 *store, pki_buf_t *out, pki_err_t *err)
{
    uint8_t *der = NULL;
    int      len = i2d_PKCS12(store, &der);

    if (len <= 0) {
        return pki_fail(err, PKI_E_CRYPTO, "RFC 7292 4", "the trust store cannot be encoded");
    }
    pki_buf_put(out, bytes_of(der, (size_t) len));
    OPENSSL_free(der);
    return pki_buf_check(out, "a trust store", err);
}

pki_code_t
trust_store_build(const cert_list_t *certs, const char *name, const char *password, pki_buf_t *out, pki_err_t *err)
{
    __attribute__((cleanup(bags_free))) STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    __attribute__((cleanup(safes_free))) STACK_OF(PKCS7) *safes = NULL;
    PKI_AUTO(PKCS12) store = NULL;
    char text[TRUST_NAME_MAX];

    for (size_t i = 0; i < certs->count; i++) {
        if (i > 0) {
            snprintf(text, sizeof(text), "%.200s ca %zu", name, i);
        }
        PKI_TRY(bag_add(&bags, certs->v[i], i > 0 ? text : name, err));
    }
    if (PKCS12_add_safe(&safes, bags, NID_aes_256_cbc, TRUST_ITERATIONS, password) != 1
        || (store = PKCS12_add_safes(safes, 0)) == NULL
        || PKCS12_set_mac(store, password, -1, NULL, 0, TRUST_ITERATIONS, EVP_sha256()) != 1)
    {
        return pki_fail(err, PKI_E_CRYPTO, "RFC 7292 5.1", "the trust store cannot be sealed");
    }
    return store_put(store, out, err);
}
