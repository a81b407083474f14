/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * See relay.h.
 */
#include "pkiproto/edge/relay.h"

void
relay_put(pki_buf_t *out, const char *name, bytes_t value)
{
    bytes_t named = bytes_str(name);

    pki_buf_put_u8(out, (uint8_t) named.len);
    pki_buf_put(out, named);
    pki_buf_put_be(out, value.len, 4);
    if (value.len > 0) {
        pki_buf_put(out, value);
    }
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

bytes_t
relay_find(bytes_t in, const char *name)
{
    bytes_t wanted = bytes_str(name), found, value;

    while (relay_take(&in, &found, &value) == 1) {
        if (bytes_eq(found, wanted)) {
            return value;
        }
    }
    return BYTES_NONE;
}
