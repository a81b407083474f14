/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Paths and queries as they come over the wire.  A path is cut into segments first and each is decoded by
 * itself, so that an escaped slash or NUL never changes which route is meant.
 */
#include "orchestrator/api/uri.h"

#include "pkiproto/base/utf8.h"

static int
hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

pki_code_t
uri_decode(pki_arena_t *a, bytes_t in, bool plus, const char **out, pki_err_t *err)
{
    char  *p = pki_alloc(a, in.len + 1);
    size_t len = 0;

    if (p == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    for (size_t i = 0; i < in.len; i++) {
        int c = in.p[i];

        if (c == '+' && plus) {
            c = ' ';
        } else if (c == '%') {
            int hi = i + 2 < in.len ? hex_digit(in.p[i + 1]) : -1;
            int lo = i + 2 < in.len ? hex_digit(in.p[i + 2]) : -1;

            if (hi < 0 || lo < 0) {
                return pki_fail(err, PKI_E_INVALID, "RFC 3986 2.1", "the URI has a bad percent escape");
            }
            c = hi << 4 | lo;
            i += 2;
        }
        if (c < 0x20 || c == 0x7f) {
            return pki_fail(err, PKI_E_INVALID, "RFC 3986 2", "the URI has a control character");
        }
        p[len++] = (char) c;
    }
    if (!utf8_valid(bytes_of(p, len))) {
        return pki_fail(err, PKI_E_INVALID, "RFC 3986 2.5", "the URI is not UTF-8");
    }
    *out = p;
    return PKI_OK;
}

pki_code_t
path_parse(pki_arena_t *a, bytes_t text, path_t *out, pki_err_t *err)
{
    size_t at = 1;

    out->count = 0;
    if (text.len == 0 || text.p[0] != '/') {
        return pki_fail(err, PKI_E_INVALID, "RFC 9110 7.1", "the path does not start with a slash");
    }
    while (at < text.len) {
        const uint8_t *end = memchr(text.p + at, '/', text.len - at);
        size_t         len = end != NULL ? (size_t) (end - text.p) - at : text.len - at;

        if (len == 0 || out->count == PATH_SEGMENTS_MAX) {
            return pki_fail(err, PKI_E_NOT_FOUND, NULL, "there is no such path");
        }
        PKI_TRY(uri_decode(a, bytes_of(text.p + at, len), false, &out->segment[out->count], err));
        out->count++;
        at += len + 1;
        if (at == text.len && end != NULL) {
            return pki_fail(err, PKI_E_NOT_FOUND, NULL, "there is no such path");
        }
    }
    return PKI_OK;
}
