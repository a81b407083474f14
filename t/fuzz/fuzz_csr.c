/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Certificate requests: what parses can be printed and checked, and points into the input.
 */
#include "pkiproto/x509/csr.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
expect_inside(bytes_t part, bytes_t whole)
{
    if (part.p != NULL && (part.p < whole.p || part.len > (size_t) (whole.p + whole.len - part.p))) {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pki_arena_t *a = pki_arena_new(1 << 24);
    bytes_t      in = bytes_of(data, size), der;
    pki_buf_t    text;
    csr_t        csr;

    if (csr_decode(a, in, &der, NULL) == PKI_OK && csr_parse(a, der, &csr, NULL) == PKI_OK) {
        pki_buf_init(&text, a, 1 << 22);
        if (csr_print(&csr, &text, NULL) != PKI_OK) {
            abort();
        }
        expect_inside(csr.san, der);
        expect_inside(csr.subject, der);
        expect_inside(csr.key.spki, der);
        expect_inside(csr.challenge_password, der);
        (void) csr_check(&csr, NULL);
    }
    pki_arena_free(a);
    return 0;
}
