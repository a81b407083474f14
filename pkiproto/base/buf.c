/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The bounded writer, and its counterpart for fixed-width fields.
 */
#include "pkiproto/base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#define BUF_FIRST 256u

void
pki_buf_init(pki_buf_t *b, pki_arena_t *a, size_t max)
{
    *b = (pki_buf_t){ .arena = a, .max = max };
}

void
pki_buf_fixed(pki_buf_t *b, void *mem, size_t cap)
{
    *b = (pki_buf_t){ .p = mem, .cap = cap, .max = cap };
}

static bool
buf_grow(pki_buf_t *b, size_t need)
{
    size_t   cap = b->cap != 0 ? b->cap : BUF_FIRST;
    uint8_t *p;

    while (cap < need) {
        cap = cap > b->max / 2 ? b->max : cap * 2;
    }
    p = pki_alloc(b->arena, cap);
    if (p == NULL) {
        return false;
    }
    if (b->len != 0) {
        memcpy(p, b->p, b->len);
    }
    b->p = p;
    b->cap = cap;
    return true;
}

uint8_t *
pki_buf_extend(pki_buf_t *b, size_t len)
{
    uint8_t *p;

    if (b->failed || len > b->max || b->len > b->max - len
        || (b->len + len > b->cap && (b->arena == NULL || !buf_grow(b, b->len + len))))
    {
        b->failed = true;
        return NULL;
    }
    p = b->p + b->len;
    b->len += len;
    return p;
}

void
pki_buf_put(pki_buf_t *b, bytes_t data)
{
    uint8_t *p;

    if (data.len == 0) {
        return;
    }
    p = pki_buf_extend(b, data.len);
    if (p != NULL) {
        memcpy(p, data.p, data.len);
    }
}

void
pki_buf_put_u8(pki_buf_t *b, uint8_t v)
{
    pki_buf_put(b, bytes_of(&v, 1));
}

void
pki_buf_put_be(pki_buf_t *b, uint64_t v, size_t width)
{
    uint8_t *p = pki_buf_extend(b, width);

    while (p != NULL && width-- > 0) {
        p[width] = (uint8_t) v;
        v >>= 8;
    }
}

void
pki_buf_put_int(pki_buf_t *b, int64_t v)
{
    char     digits[20], *at = digits + sizeof(digits);
    uint64_t left = v < 0 ? -(uint64_t) v : (uint64_t) v;

    do {
        *--at = (char) ('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (v < 0) {
        *--at = '-';
    }
    pki_buf_put(b, bytes_of(at, (size_t) (digits + sizeof(digits) - at)));
}

void
pki_buf_printf(pki_buf_t *b, const char *fmt, ...)
{
    va_list  ap;
    uint8_t *p;
    int      n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);

    /* vsnprintf() ends with a NUL, which is taken back. */
    p = n >= 0 ? pki_buf_extend(b, (size_t) n + 1) : NULL;
    if (p != NULL) {
        va_start(ap, fmt);
        vsnprintf((char *) p, (size_t) n + 1, fmt, ap);
        va_end(ap);
        b->len--;
    }
}

pki_code_t
pki_buf_check(const pki_buf_t *b, const char *what, pki_err_t *err)
{
    if (b->failed) {
        return b->arena != NULL && b->len < b->max / 2
                   ? pki_fail(err, PKI_E_NOMEM, NULL, "no room for %s", what)
                   : pki_fail(err, PKI_E_TOO_LARGE, NULL, "%s is longer than %zu octets", what, b->max);
    }
    return PKI_OK;
}

bool
bytes_take(bytes_t *in, size_t len, bytes_t *out)
{
    if (in->len < len) {
        return false;
    }
    *out = bytes_of(in->p, len);
    in->p += len;
    in->len -= len;
    return true;
}

bool
bytes_take_be(bytes_t *in, size_t width, uint64_t *out)
{
    bytes_t field;

    if (!bytes_take(in, width, &field)) {
        return false;
    }
    *out = 0;
    for (size_t i = 0; i < width; i++) {
        *out = *out << 8 | field.p[i];
    }
    return true;
}
