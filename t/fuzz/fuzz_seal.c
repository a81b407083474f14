/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Sealed values: parts lie inside of the blob and are all of it, and nothing opens that was not sealed with the key.
 */
#include <stdlib.h>

#include "core/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static keyring_t *ring;
    pki_arena_t      *a = pki_arena_new(1 << 24);
    bytes_t           in = bytes_of(data, size);
    pki_secret_t      out;
    keyring_t        *other = NULL;
    sealed_t          s;

    if (ring == NULL
        && keyring_new(BYTES_LIT("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"), &ring, NULL) != PKI_OK)
    {
        abort();
    }
    if (sealed_parse(in, &s, NULL) == PKI_OK
        && (s.id.p != data + 1 || s.tag.p + s.tag.len != data + size
            || 1 + s.id.len + s.nonce.len + s.ciphertext.len + s.tag.len != size))
    {
        abort();
    }
    if (unseal(ring, a, "fuzz:a place of no value", in, &out, NULL) == PKI_OK) {
        abort();
    }
    if (keyring_new(in, &other, NULL) == PKI_OK && keyring_count(other) > SEAL_KEYS_MAX) {
        abort();
    }
    keyring_free(other);
    pki_arena_free(a);
    return 0;
}
