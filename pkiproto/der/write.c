/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The DER writer.
 */
#include "pkiproto/der/write.h"

#include "pkiproto/base/text.h"

size_t
der_header(uint8_t tag, size_t len, uint8_t out[DER_HEADER_MAX])
{
    size_t octets = len < 0x80 ? 0 : len <= 0xff ? 1 : len <= 0xffff ? 2 : len <= 0xffffff ? 3 : 4;

    out[0] = tag;
    out[1] = (uint8_t) (octets == 0 ? len : 0x80 | octets);
    for (size_t i = 0; i < octets; i++) {
        out[2 + i] = (uint8_t) (len >> 8 * (octets - 1 - i));
    }
    return 2 + octets;
}

size_t
der_open(pki_buf_t *b, uint8_t tag)
{
    size_t   at = b->len;
    uint8_t *p = pki_buf_extend(b, 2);

    if (p != NULL) {
        p[0] = tag;
        p[1] = 0;
    }
    return at;
}

void
der_close(pki_buf_t *b, size_t at)
{
    uint8_t header[DER_HEADER_MAX];
    size_t  len, n;

    if (b->failed) {
        return;
    }
    len = b->len - at - 2;
    n = der_header(b->p[at], len, header);
    if (n > 2) {
        if (pki_buf_extend(b, n - 2) == NULL) {
            return;
        }
        memmove(b->p + at + n, b->p + at + 2, len);
    }
    memcpy(b->p + at, header, n);
}

void
der_put(pki_buf_t *b, uint8_t tag, bytes_t value)
{
    uint8_t header[DER_HEADER_MAX];

    pki_buf_put(b, bytes_of(header, der_header(tag, value.len, header)));
    pki_buf_put(b, value);
}

void
der_put_uint(pki_buf_t *b, uint8_t tag, uint64_t v)
{
    uint8_t octets[9];
    size_t  n = sizeof(octets);

    do {
        octets[--n] = (uint8_t) v;
        v >>= 8;
    } while (v != 0);

    if (octets[n] >= 0x80) {
        octets[--n] = 0;
    }
    der_put(b, tag, bytes_of(octets + n, sizeof(octets) - n));
}

void
der_put_unsigned(pki_buf_t *b, bytes_t magnitude)
{
    uint8_t header[DER_HEADER_MAX];
    bool    pad;

    while (magnitude.len > 1 && magnitude.p[0] == 0) {
        magnitude.p++;
        magnitude.len--;
    }
    pad = magnitude.len == 0 || magnitude.p[0] >= 0x80;
    pki_buf_put(b, bytes_of(header, der_header(DER_INTEGER, magnitude.len + pad, header)));
    if (pad) {
        pki_buf_put_u8(b, 0);
    }
    pki_buf_put(b, magnitude);
}

void
der_put_bool(pki_buf_t *b, bool v)
{
    uint8_t octet = v ? 0xff : 0x00;

    der_put(b, DER_BOOLEAN, bytes_of(&octet, 1));
}

void
der_put_bits(pki_buf_t *b, bytes_t value)
{
    uint8_t header[DER_HEADER_MAX];

    pki_buf_put(b, bytes_of(header, der_header(DER_BIT_STRING, value.len + 1, header)));
    pki_buf_put_u8(b, 0);
    pki_buf_put(b, value);
}

void
der_put_named_bits(pki_buf_t *b, uint16_t bits)
{
    uint8_t octets[3] = { 0, (uint8_t) (bits >> 8), (uint8_t) bits };
    size_t  len = octets[2] != 0 ? 3 : octets[1] != 0 ? 2 : 1;

    if (len > 1) {
        octets[0] = (uint8_t) __builtin_ctz(octets[len - 1]);
    }
    der_put(b, DER_BIT_STRING, bytes_of(octets, len));
}

static uint8_t *
put_two_digits(uint8_t *p, int v)
{
    p[0] = (uint8_t) ('0' + v / 10);
    p[1] = (uint8_t) ('0' + v % 10);
    return p + 2;
}

/* No printf: a CRL has millions of these. */
static void
der_put_civil(pki_buf_t *b, int64_t t, bool generalized)
{
    civil_t c = civil_of(t);
    uint8_t text[15], *p = text;

    if (c.year < 0 || c.year > 9999) {
        b->failed = true;
        return;
    }
    if (generalized) {
        p = put_two_digits(p, c.year / 100);
    }
    p = put_two_digits(p, c.year % 100);
    p = put_two_digits(p, c.month);
    p = put_two_digits(p, c.day);
    p = put_two_digits(p, c.hour);
    p = put_two_digits(p, c.minute);
    p = put_two_digits(p, c.second);
    *p++ = 'Z';
    der_put(b, generalized ? DER_GENERALIZED_TIME : DER_UTC_TIME, bytes_of(text, (size_t) (p - text)));
}

void
der_put_time(pki_buf_t *b, int64_t t)
{
    int year = civil_of(t).year;

    der_put_civil(b, t, year < 1950 || year > 2049);
}

void
der_put_generalized_time(pki_buf_t *b, int64_t t)
{
    der_put_civil(b, t, true);
}
