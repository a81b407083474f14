/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Comparing byte slices.
 */
#include "pkiproto/base/bytes.h"

#include <openssl/crypto.h>

bool
bytes_eq_secret(bytes_t a, bytes_t b)
{
    return a.len == b.len && CRYPTO_memcmp(a.p, b.p, a.len) == 0;
}

int
bytes_cmp(bytes_t a, bytes_t b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int    rc = n != 0 ? memcmp(a.p, b.p, n) : 0;

    return rc != 0 ? rc : (a.len > b.len) - (a.len < b.len);
}
