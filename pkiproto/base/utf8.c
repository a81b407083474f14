/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * UTF-8 by RFC 3629 section 3: shortest forms only, no surrogates, nothing above U+10FFFF.
 */
#include "pkiproto/base/utf8.h"

bool
utf8_take(bytes_t *in, uint32_t *out)
{
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    uint8_t               c = in->p[0];
    size_t                more = c < 0x80 ? 0 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    uint32_t              v = more == 0 ? c : c & (0x3fu >> more);

    if ((c >= 0x80 && c < 0xc2) || c > 0xf4 || in->len <= more) {
        return false;
    }
    for (size_t i = 1; i <= more; i++) {
        if ((in->p[i] & 0xc0) != 0x80) {
            return false;
        }
        v = v << 6 | (in->p[i] & 0x3f);
    }
    if (v < least[more] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff)) {
        return false;
    }
    *in = bytes_of(in->p + more + 1, in->len - more - 1);
    *out = v;
    return true;
}

void
utf8_put(pki_buf_t *out, uint32_t c)
{
    if (c < 0x80) {
        pki_buf_put_u8(out, (uint8_t) c);
        return;
    }
    if (c < 0x800) {
        pki_buf_put_u8(out, (uint8_t) (0xc0 | c >> 6));
    } else {
        if (c < 0x10000) {
            pki_buf_put_u8(out, (uint8_t) (0xe0 | c >> 12));
        } else {
            pki_buf_put_u8(out, (uint8_t) (0xf0 | c >> 18));
            pki_buf_put_u8(out, (uint8_t) (0x80 | (c >> 12 & 0x3f)));
        }
        pki_buf_put_u8(out, (uint8_t) (0x80 | (c >> 6 & 0x3f)));
    }
    pki_buf_put_u8(out, (uint8_t) (0x80 | (c & 0x3f)));
}

bool
utf8_valid(bytes_t in)
{
    uint32_t c;

    while (in.len != 0) {
        if (!utf8_take(&in, &c)) {
            return false;
        }
    }
    return true;
}
