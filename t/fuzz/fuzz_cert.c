/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Certificates, PEM or DER: what parses can be printed, and its names and signature looked at.
 */
#include "pkiproto/x509/cert.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pki_arena_t *a = pki_arena_new(1 << 24);
    cert_list_t  list = { NULL, 0 };
    const char  *cn;
    pki_buf_t    text;
    cert_t       cert;

    (void) cert_decode(a, bytes_of(data, size), 8, &list, NULL);
    for (size_t i = 0; i < list.count; i++) {
        if (cert_parse(a, list.v[i], &cert, NULL) != PKI_OK) {
            continue;
        }
        pki_buf_init(&text, a, 1 << 22);
        if (cert_print(&cert, &text, NULL) != PKI_OK || name_common_name(a, cert.subject, &cn, NULL) != PKI_OK) {
            abort();
        }
        (void) cert_check_ca(&cert, NULL);
        (void) cert_check_issued_by(&cert, &cert, NULL);
    }
    pki_arena_free(a);
    return 0;
}
