/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Base64: what strict decoding accepts is what encoding makes, and skipping spaces changes nothing else.
 */
#include "pkiproto/base/text.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pki_arena_t *a = pki_arena_new(1 << 24);
    bytes_t      in = bytes_of(data, size), strict, spaced;
    pki_code_t   rc = base64_parse(a, in, 0, &strict, NULL);

    if (rc == PKI_OK && !bytes_eq(bytes_str(base64_print(a, strict)), in)) {
        abort();
    }
    if (base64_parse(a, in, BASE64_SPACE, &spaced, NULL) == PKI_OK) {
        if (rc == PKI_OK && !bytes_eq(strict, spaced)) {
            abort();
        }
    } else if (rc == PKI_OK) {
        abort();
    }
    pki_arena_free(a);
    return 0;
}
