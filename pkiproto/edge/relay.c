/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * See relay.h.
 */
#include "pkiproto/edge/relay.h"

/* In one piece of `value_here` more octets, since an answer has a dozen. */
static uint8_t *
head_put(pki_buf_t *out, const char *name, size_t value_len, size_t value_here)
{
    size_t   len = strlen(name);
    uint8_t *p = pki_buf_extend(out, 1 + len + 4 + value_here);

    if (p == NULL) {
        return NULL;
    }
    *p++ = (uint8_t) len;
    memcpy(p, name, len);
    p += len;
    for (unsigned i = 0; i < 4; i++) {
        *p++ = (uint8_t) (value_len >> (24 - 8 * i));
    }
    return p;
}

void
relay_put(pki_buf_t *out, const char *name, bytes_t value)
{
    uint8_t *p = head_put(out, name, value.len, value.len);

    if (p != NULL && value.len > 0) {
        memcpy(p, value.p, value.len);
    }
}

void
relay_put_head(pki_buf_t *out, const char *name, size_t value_len)
{
    (void) head_put(out, name, value_len, 0);
}

int
relay_take(bytes_t *in, bytes_t *name, bytes_t *value)
{
    uint64_t len = 0;

    if (in->len == 0) {
        return 0;
    }
    return bytes_take_be(in, 1, &len) && bytes_take(in, (size_t) len, name) && bytes_take_be(in, 4, &len)
                   && bytes_take(in, (size_t) len, value)
               ? 1
               : -1;
}
