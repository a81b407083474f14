/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A bounded writer.  It grows in an arena up to a maximum, or fills memory of the caller that it
 * never outgrows.  A write that does not fit sets `failed` and leaves the contents as they were;
 * later writes do nothing, so that a sequence of writes needs one check at its end.
 */
#ifndef PKI_BASE_BUF_H
#define PKI_BASE_BUF_H

#include "pkiproto/base/arena.h"

typedef struct {
    uint8_t     *p;
    size_t       len;
    size_t       cap;
    size_t       max;   /* growth ends here */
    pki_arena_t *arena; /* NULL: fixed memory */
    bool         failed;
} pki_buf_t;

/* Nothing is allocated until the first write. */
void pki_buf_init(pki_buf_t *b, pki_arena_t *a, size_t max);
void pki_buf_fixed(pki_buf_t *b, void *mem, size_t cap);

/* Room for len more octets, counted as written; NULL when there is none. */
uint8_t *pki_buf_extend(pki_buf_t *b, size_t len);

void pki_buf_put(pki_buf_t *b, bytes_t data);
void pki_buf_put_u8(pki_buf_t *b, uint8_t v);
void pki_buf_put_be(pki_buf_t *b, uint64_t v, size_t width); /* big endian, 1 to 8 octets */
void pki_buf_put_int(pki_buf_t *b, int64_t v); /* decimal */
void pki_buf_printf(pki_buf_t *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline bytes_t
pki_buf_bytes(const pki_buf_t *b)
{
    return (bytes_t){ b->p, b->len };
}

/* NOMEM or TOO_LARGE when a write did not fit. */
pki_code_t pki_buf_check(const pki_buf_t *b, const char *what, pki_err_t *err);

/* Reading back fixed-width big-endian numbers; false when the slice is too short. */
bool bytes_take_be(bytes_t *in, size_t width, uint64_t *out);
bool bytes_take(bytes_t *in, size_t len, bytes_t *out);

#endif
