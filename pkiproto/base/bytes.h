/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Byte slices.  A bytes_t never owns what it points at; a comment beside a struct member says who
 * does.  { NULL, 0 } is "absent", { non-NULL, 0 } is "present and empty".
 */
#ifndef PKI_BASE_BYTES_H
#define PKI_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const uint8_t *p;
    size_t         len;
} bytes_t;

#define BYTES_NONE   ((bytes_t){ NULL, 0 })
#define BYTES_LIT(s) ((bytes_t){ (const uint8_t *) (s), sizeof(s) - 1 })
#define BYTES_ARR(a) ((bytes_t){ (a), sizeof(a) })

static inline bytes_t
bytes_of(const void *p, size_t len)
{
    return (bytes_t){ p, len };
}

static inline bytes_t
bytes_str(const char *s)
{
    return (bytes_t){ (const uint8_t *) s, s != NULL ? strlen(s) : 0 };
}

static inline bool
bytes_eq(bytes_t a, bytes_t b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* Constant in the contents; the lengths are not secret. */
bool bytes_eq_secret(bytes_t a, bytes_t b);

/* Order by contents, then by length: for sorting and for canonical comparisons. */
int bytes_cmp(bytes_t a, bytes_t b);

#endif
