/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The GET decoder: it stays in its memory, and decodes what OpenSSL decodes once the path is put into
 * plain base64 by the rules of RFC 6960 A.1 as another hand wrote them: cut at '?', undo percent-encoding
 * once, drop leading '/', ' ' and '-' are '+', '_' is '/', padding may be missing, but not be too much.
 */
#include <stdlib.h>

#include <openssl/evp.h>

#include "pkiproto/base/text.h"
#include "pkiproto/ocsp/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A value for each pair of digits by sscanf's rules, not by ours; -1: not two digits. */
static int
hex_pair(const uint8_t *p)
{
    char  text[3] = {(char) p[0], (char) p[1], 0}, *end;
    long  value;

    if (strspn(text, "0123456789abcdefABCDEF") != 2) {
        return -1;
    }
    value = strtol(text, &end, 16);
    return *end == 0 ? (int) value : -1;
}

/* The path as plain base64 with all of its padding; false: it cannot be any. */
static bool
normalise(const uint8_t *p, size_t size, char *text, size_t *len, size_t *padding)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t            n = 0, pads = 0;

    for (size_t i = 0; i < size && p[i] != '?'; i++) {
        int c = p[i];

        if (c == '%') {
            if (size - i < 3 || memchr(p + i, '?', 3) != NULL || (c = hex_pair(p + i + 1)) < 0) {
                return false;
            }
            i += 2;
        }
        if (c == '=') {
            pads++;
        } else if (c != '/' || n != 0) {
            c = c == ' ' || c == '-' ? '+' : c == '_' ? '/' : c;
            if (pads != 0 || c == 0 || strchr(alphabet, c) == NULL) {
                return false;
            }
            text[n++] = (char) c;
        } else if (pads != 0) {
            return false;
        }
    }
    *padding = (4 - n % 4) % 4;
    if (n == 0 || *padding == 3 || pads > *padding) {
        return false;
    }
    memset(text + n, '=', *padding);
    *len = n + *padding;
    return true;
}

/* What OpenSSL decodes; false: nothing, or text that it would have written otherwise. */
static bool
by_openssl(const uint8_t *p, size_t size, char *text, char *again, uint8_t *out, size_t *len)
{
    size_t n, padding;
    int    got;

    if (!normalise(p, size, text, &n, &padding)) {
        return false;
    }
    got = EVP_DecodeBlock(out, (const uint8_t *) text, (int) n);
    if (got < 0) {
        abort();
    }
    *len = (size_t) got - padding;
    return EVP_EncodeBlock((uint8_t *) again, out, (int) *len) == (int) n && memcmp(text, again, n) == 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t     cap = size % 7 == 0 ? size / 3 : size, wanted = 0; /* sometimes too small */
    uint8_t   *out = malloc(cap), *theirs = malloc(size + 4);
    char      *text = malloc(size + 4), *again = malloc(BASE64_LEN(size) + 5);
    bytes_t    der;
    pki_code_t rc = ocsp_get_decode(bytes_of(data, size), out, cap, &der, NULL);
    bool       can = by_openssl(data, size, text, again, theirs, &wanted);

    if (rc == PKI_E_TOO_LARGE ? wanted <= cap && can : (rc == PKI_OK) != can) {
        abort();
    }
    if (rc == PKI_OK && (der.len > cap || !bytes_eq(der, bytes_of(theirs, wanted)))) {
        abort();
    }
    free(again);
    free(text);
    free(theirs);
    free(out);
    return 0;
}
