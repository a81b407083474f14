/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Reading test vectors.
 */
#include "t/unit/pkiproto/vector.h"

#include <criterion/criterion.h>
#include <stdio.h>

bytes_t
vector_read(pki_arena_t *a, const char *name)
{
    char     path[256];
    FILE    *f;
    uint8_t *p = pki_alloc(a, 65536);
    size_t   len;

    snprintf(path, sizeof(path), "t/vectors/%s", name);
    f = fopen(path, "rb");
    cr_assert_not_null(f, "cannot open %s", path);
    cr_assert_not_null(p);
    len = fread(p, 1, 65536, f);
    fclose(f);
    cr_assert(len != 0 && len < 65536, "%s has %zu octets", path, len);
    return bytes_of(p, len);
}
