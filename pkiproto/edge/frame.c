/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * See frame.h.
 */
#include "pkiproto/edge/frame.h"

#include "pkiproto/base/buf.h"

void
frame_head(uint8_t out[FRAME_HEAD], uint32_t no, size_t len)
{
    for (unsigned i = 0; i < 4; i++) {
        out[i] = (uint8_t) (len >> (24 - 8 * i));
        out[4 + i] = (uint8_t) (no >> (24 - 8 * i));
    }
}

int
frame_take(bytes_t *in, size_t max, frame_t *out)
{
    bytes_t  rest = *in;
    uint64_t len = 0, no = 0;

    if (!bytes_take_be(&rest, 4, &len)) {
        return 0;
    }
    if (len > max) {
        return -1;
    }
    if (!bytes_take_be(&rest, 4, &no) || !bytes_take(&rest, (size_t) len, &out->octets)) {
        return 0;
    }
    out->no = (uint32_t) no;
    *in = rest;
    return 1;
}
