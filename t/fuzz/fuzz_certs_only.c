/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Certs-only messages: what parses can be built again with the same certificates.
 */
#include "pkiproto/cms/certs_only.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pki_arena_t *a = pki_arena_new(1 << 24);
    cert_list_t  first, again;
    pki_buf_t    out;

    if (certs_only_parse(a, bytes_of(data, size), &first, NULL) == PKI_OK) {
        pki_buf_init(&out, a, size + 64);
        if (certs_only_build(&first, &out, NULL) != PKI_OK
            || certs_only_parse(a, pki_buf_bytes(&out), &again, NULL) != PKI_OK || again.count != first.count)
        {
            abort();
        }
        for (size_t i = 0; i < first.count; i++) {
            if (!bytes_eq(first.v[i], again.v[i])) {
                abort();
            }
        }
    }
    pki_arena_free(a);
    return 0;
}
