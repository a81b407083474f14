/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Many different P-256 certificate requests, for load: csr_make N PREFIX
 * One line each on standard output, base64 of DER as EST carries it; the subject is CN=PREFIX-i with
 * that name as its only dNSName.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/x509v3.h>

#include "pkiproto/base/ossl.h"

static bool
request_fill(X509_REQ *req, EVP_PKEY *key, const char *name)
{
    STACK_OF(X509_EXTENSION) *list = sk_X509_EXTENSION_new_null();
    char                      san[128];
    X509_NAME                *subject = X509_REQ_get_subject_name(req);
    X509_EXTENSION           *extension;
    bool                      good;

    snprintf(san, sizeof(san), "DNS:%s.bench.example", name);
    extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
    good = list != NULL && extension != NULL && sk_X509_EXTENSION_push(list, extension) == 1
           && X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *) name, -1, -1, 0) == 1
           && X509_REQ_set_pubkey(req, key) == 1 && X509_REQ_add_extensions(req, list) == 1
           && X509_REQ_sign(req, key, EVP_sha256()) > 0;
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    return good;
}

static bool
request_print(const char *name)
{
    PKI_AUTO(EVP_PKEY) key = EVP_EC_gen("P-256");
    PKI_AUTO(X509_REQ) req = X509_REQ_new();
    unsigned char *der = NULL;
    unsigned char  text[4096];
    int            len;

    if (key == NULL || req == NULL || !request_fill(req, key, name)) {
        return false;
    }
    len = i2d_X509_REQ(req, &der);
    if (len <= 0 || len > (int) sizeof(text) / 2) {
        return false;
    }
    EVP_EncodeBlock(text, der, len);
    OPENSSL_free(der);
    return puts((const char *) text) >= 0;
}

int
main(int argc, char **argv)
{
    long count = argc == 3 ? strtol(argv[1], NULL, 10) : 0;

    if (count <= 0) {
        fprintf(stderr, "usage: csr_make N PREFIX\n");
        return EXIT_FAILURE;
    }
    for (long i = 0; i < count; i++) {
        char name[64];

        snprintf(name, sizeof(name), "%.32s-%ld", argv[2], i);
        if (!request_print(name)) {
            fprintf(stderr, "csr_make: cannot make request %ld\n", i);
            return EXIT_FAILURE;
        }
    }
    return EXIT_SUCCESS;
}
