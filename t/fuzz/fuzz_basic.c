/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * EST: Basic credentials, paths, media types and bodies.  A path that is accepted has a label that is.
 */
#include <stdlib.h>

#include "pkiproto/est/transfer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pki_arena_t *a = pki_arena_new(1 << 24);
    bytes_t      in = bytes_of(data, size), user, password, der;
    char         label[EST_LABEL_MAX + 1];
    est_op_t     op;

    if (basic_parse(a, in, &user, &password, NULL) == PKI_OK
        && (password.p != user.p + user.len + 1 || memchr(user.p, ':', user.len) != NULL))
    {
        abort();
    }
    if (est_path_parse(in, label, &op, NULL) == PKI_OK
        && (op >= EST_OP_COUNT || (label[0] != '\0' && est_label_check(label, NULL) != PKI_OK)))
    {
        abort();
    }
    (void) media_type_is(in, "application/pkcs10");
    (void) est_body_decode(a, in, &der, NULL);
    pki_arena_free(a);
    return 0;
}
