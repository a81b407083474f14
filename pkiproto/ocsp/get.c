/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The base64 of an OCSP GET request (RFC 6960 A.1) from the raw request target.  A server's normalised
 * path is of no use here: it merges "//" and decodes "%2F".  What clients and proxies do to the
 * three characters '+', '/' and '=' is undone; everything else is refused.
 */
#include "pkiproto/ocsp/request.h"

typedef struct {
    uint8_t *out;
    size_t   cap, len;
    uint32_t bits;
    unsigned digits, pads;
} get_t;

static int
hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The next character, one percent-encoding undone; -1: a broken one. */
static int
take_character(bytes_t *in)
{
    int c = in->p[0], hi, lo;

    if (c != '%') {
        in->p++;
        in->len--;
        return c;
    }
    if (in->len < 3) {
        return -1;
    }
    hi = hex_digit(in->p[1]);
    lo = hex_digit(in->p[2]);
    in->p += 3;
    in->len -= 3;
    return hi < 0 || lo < 0 ? -1 : hi << 4 | lo;
}

/*
 * Digits by character.  A space is a '+' that a form decoder has met; '-' and '_' are of base64url, which some
 * clients send.
 */
#define NO 0xff
static const uint8_t digit_of[256] = {
    /* clang-format off */
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    62, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 62, NO, 62, NO, 63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, NO, NO, NO, NO, NO, NO,
    NO,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, NO, NO, NO, NO, 63,
    NO, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    /* clang-format on */
};

static pki_code_t
put_octets(get_t *g, size_t count, pki_err_t *err)
{
    if (g->cap - g->len < count) {
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "request of more than %zu octets", g->cap);
    }
    for (size_t i = 0; i < count; i++) {
        g->out[g->len++] = (uint8_t) (g->bits >> (16 - 8 * i));
    }
    return PKI_OK;
}

static pki_code_t
put_character(get_t *g, int c, pki_err_t *err)
{
    if (c == '=') {
        g->pads++;
        return PKI_OK;
    }
    if (c < 0 || digit_of[c] == NO || g->pads != 0) {
        return pki_fail(err, PKI_E_PARSE, "RFC 6960 A.1", "the request's path is not base64");
    }
    g->bits = g->bits << 6 | digit_of[c];
    if (++g->digits < 4) {
        return PKI_OK;
    }
    PKI_TRY(put_octets(g, 3, err));
    g->bits = 0;
    g->digits = 0;
    return PKI_OK;
}

/* The last one or two octets; padding may be missing, too much of it is an error. */
static pki_code_t
put_end(get_t *g, pki_err_t *err)
{
    unsigned wanted = (4 - g->digits) % 4;

    if (g->digits == 1 || g->pads > wanted) {
        return pki_fail(err, PKI_E_PARSE, "RFC 4648 4", "the request's base64 has a wrong length");
    }
    if (g->digits == 0) {
        return PKI_OK;
    }
    g->bits <<= 6 * wanted;
    if (g->bits & (0xffffffu >> 8 * (g->digits - 1))) {
        return pki_fail(err, PKI_E_PARSE, "RFC 4648 3.5", "the request's base64 has unused bits set");
    }
    return put_octets(g, g->digits - 1, err);
}

/*
 * Whole groups of four digits as they are, which is nearly all there is.  In variables of its own: what is written could be
 * g itself for all the compiler knows.
 */
static void
put_groups(get_t *g, bytes_t *in)
{
    const uint8_t *p = in->p;
    uint8_t       *out = g->out + g->len;
    size_t         groups = in->len / 4, room = (g->cap - g->len) / 3, i;
    uint32_t       a, b, c, d;

    for (i = 0; i < groups && i < room; i++) {
        a = digit_of[p[0]];
        b = digit_of[p[1]];
        c = digit_of[p[2]];
        d = digit_of[p[3]];
        if ((a | b | c | d) > 63) {
            break;
        }
        out[0] = (uint8_t) (a << 2 | b >> 4);
        out[1] = (uint8_t) (b << 4 | c >> 2);
        out[2] = (uint8_t) (c << 6 | d);
        p += 4;
        out += 3;
    }
    g->len += 3 * i;
    in->p += 4 * i;
    in->len -= 4 * i;
}

pki_code_t
ocsp_get_decode(bytes_t raw, uint8_t *out, size_t cap, bytes_t *der, pki_err_t *err)
{
    const uint8_t *query = raw.len != 0 ? memchr(raw.p, '?', raw.len) : NULL;
    get_t          g = { .out = out, .cap = cap };
    bool           leading = true;

    if (query != NULL) {
        raw.len = (size_t) (query - raw.p);
    }
    while (raw.len != 0) {
        int c = take_character(&raw);

        /* DER starts with 0x30, its base64 with 'M': a '/' before it belongs to the path. */
        leading = leading && c == '/';
        if (leading) {
            continue;
        }
        PKI_TRY(put_character(&g, c, err));
        if (g.digits == 0 && g.pads == 0) {
            put_groups(&g, &raw);
        }
    }
    PKI_TRY(put_end(&g, err));
    if (g.len == 0) {
        return pki_fail(err, PKI_E_PARSE, "RFC 6960 A.1", "the request's path is empty");
    }
    *der = bytes_of(out, g.len);
    return PKI_OK;
}
