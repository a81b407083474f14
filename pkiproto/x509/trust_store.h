/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Certificates without keys as PKCS #12 (RFC 7292), which Java opens as a trust store: each has Oracle's attribute
 * for trusted keys, without which Java shows none of them.  AES-256 in CBC mode under PBKDF2, MAC by SHA-256.
 */
#ifndef PKI_X509_TRUST_STORE_H
#define PKI_X509_TRUST_STORE_H

#include "pkiproto/base/secret.h"
#include "pkiproto/x509/cert.h"

/* The first is called `name` and those after it "name ca 1", ...: Java wants names that differ. */
pki_code_t trust_store_build(const cert_list_t *certs, const char *name, const char *password, pki_buf_t *out,
                             pki_err_t *err);

#endif
