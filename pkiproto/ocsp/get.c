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

/* A space is a '+' that a form decoder has met; '-' and '_' are of base64url, which some clients send. */
static int
base64_digit(int c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' || c == ' ' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

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
    int d = base64_digit(c);

    if (c == '=') {
        g->pads++;
        return PKI_OK;
    }
    if (c < 0 || d < 0 || g->pads != 0) {
        return pki_fail(err, PKI_E_PARSE, "RFC 6960 A.1", "the request's path is not base64");
    }
    g->bits = g->bits << 6 | (uint32_t) d;
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
        if (!leading) {
            PKI_TRY(put_character(&g, c, err));
        }
    }
    PKI_TRY(put_end(&g, err));
    if (g.len == 0) {
        return pki_fail(err, PKI_E_PARSE, "RFC 6960 A.1", "the request's path is empty");
    }
    *der = bytes_of(out, g.len);
    return PKI_OK;
}
