/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Distinguished names: what is built from text prints as text that builds, and prints the same again.
 */
#include "pkiproto/x509/name.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pki_arena_t *a = pki_arena_new(1 << 24);
    const char  *first, *again;
    bytes_t      der;

    if (size > 1000) {
        size = 1000;
    }
    if (name_check(bytes_of(data, size), NULL) == PKI_OK && name_print(a, bytes_of(data, size), &first, NULL) != PKI_OK) {
        abort();
    }
    if (name_build(a, pki_strndup(a, data, size), &der, NULL) == PKI_OK) {
        if (name_print(a, der, &first, NULL) != PKI_OK || name_build(a, first, &der, NULL) != PKI_OK
            || name_print(a, der, &again, NULL) != PKI_OK || strcmp(first, again) != 0)
        {
            abort();
        }
    }
    pki_arena_free(a);
    return 0;
}
