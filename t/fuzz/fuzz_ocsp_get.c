/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The GET decoder: it stays in its memory, and what it decodes comes back from its own base64.
 */
#include <stdlib.h>

#include "pkiproto/base/text.h"
#include "pkiproto/ocsp/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t   cap = size % 7 == 0 ? size / 3 : size; /* sometimes too small */
    uint8_t *out = malloc(cap), *again = malloc(size);
    char    *text = malloc(BASE64_LEN(size) + 1);
    bytes_t  der, back;

    if (ocsp_get_decode(bytes_of(data, size), out, cap, &der, NULL) == PKI_OK) {
        size_t len = base64_encode(der, text);

        if (der.len > cap) {
            abort();
        }
        /* A first octet that encodes to '/' cannot be told from the path. */
        if (text[0] != '/' && (ocsp_get_decode(bytes_of(text, len), again, size, &back, NULL) != PKI_OK ||
                               !bytes_eq(der, back))) {
            abort();
        }
    }
    free(text);
    free(again);
    free(out);
    return 0;
}
