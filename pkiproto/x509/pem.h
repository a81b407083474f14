/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * PEM (RFC 7468): finding labelled blocks in text, and writing one.
 */
#ifndef PKI_X509_PEM_H
#define PKI_X509_PEM_H

#include "pkiproto/base/buf.h"

/*
 * The DER of the next block that has one of the labels (NULL-terminated list), in the arena; blocks with
 * other labels are skipped.  *out is BYTES_NONE when there is none left.
 */
pki_code_t pem_next(pki_arena_t *a, bytes_t *in, const char *const *labels, bytes_t *out, pki_err_t *err);

/* Lines of 64 characters, each ending in LF. */
pki_code_t pem_put(pki_buf_t *out, const char *label, bytes_t der, pki_err_t *err);

#endif
