/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The degenerate "certs-only" SignedData (RFC 5272 4.1, RFC 5652 5.1): version 1, no digest
 * algorithms, no content, certificates, no signers.
 */
#ifndef PKI_CMS_CERTS_ONLY_H
#define PKI_CMS_CERTS_ONLY_H

#include "pkiproto/x509/cert.h"

pki_code_t certs_only_build(const cert_list_t *certs, pki_buf_t *out, pki_err_t *err);
pki_code_t certs_only_parse(pki_arena_t *a, bytes_t der, cert_list_t *out, pki_err_t *err);

#endif
