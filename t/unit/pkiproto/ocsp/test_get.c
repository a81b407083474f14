/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * OCSP over GET: what clients and proxies make of '+', '/' and '=' is undone, the rest is refused.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "pkiproto/ocsp/request.h"

/* Base64 "MA+/+w==": every special character is in it. */
static const uint8_t octets_4[] = { 0x30, 0x0f, 0xbf, 0xfb };
/* "MP//", with two slashes in a row. */
static const uint8_t octets_3[] = { 0x30, 0xff, 0xff };

typedef struct {
    const char    *raw;
    const uint8_t *wanted; /* NULL: refused */
    size_t         len;
} get_case_t;

#define FOUR  octets_4, sizeof(octets_4)
#define THREE octets_3, sizeof(octets_3)
#define NONE  NULL, 0

static const get_case_t cases[] = {
    { "MA+/+w==", FOUR },
    { "MA%2B%2F%2Bw%3D%3D", FOUR },
    { "MA%2b%2f%2bw%3d%3d", FOUR },
    { "MA%2B/+w=%3D", FOUR },
    { "MA+/+w", FOUR },
    { "MA+/+w=", FOUR },
    { "MA / w==", FOUR },
    { "MA%20/%20w==", FOUR },
    { "/MA+/+w==", FOUR },
    { "///MA+/+w==", FOUR },
    { "%2F/%2fMA+/+w==", FOUR },
    { "MA+/+w==?x=1", FOUR },
    { "MA+/+w==?", FOUR },
    { "%4d%41+/+w==", FOUR },
    { "MA-_-w", FOUR },
    { "MP//", THREE },
    { "MP%2F%2F", THREE },
    { "MP/%2F", THREE },
    { "/MP//", THREE },
    { "", NONE },
    { "/", NONE },
    { "///", NONE },
    { "?MA+/+w==", NONE },
    { "=", NONE },
    { "==", NONE },
    { "M", NONE },
    { "MP//M", NONE },
    { "MP//=", NONE },
    { "MA+/+w===", NONE },
    { "MA+/+w==MA", NONE },
    { "MA=+", NONE },
    { "MA+/+x==", NONE },
    { "MA+/+w%", NONE },
    { "MA+/+w%3", NONE },
    { "MA+/+w%3g", NONE },
    { "MA+/+w%g3", NONE },
    { "MA+/+w%-1", NONE },
    { "MA%252B/+w==", NONE },
    { "MA%00/+w==", NONE },
    { "%00", NONE },
    { "MA+/\n+w==", NONE },
    { "MA+/%0a+w==", NONE },
    { "MA+/%7f+w==", NONE },
    { "MA+/\xff+w==", NONE },
    { "MA+/+w==%3Fx", NONE },
    { "MA+/+w==/", NONE },
    { "MA+/#+w==", NONE },
    { "../MA+/+w==", NONE },
};

Test(get, undoes_what_clients_do_and_refuses_the_rest)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t    out[64];
        bytes_t    der;
        pki_code_t rc = ocsp_get_decode(bytes_str(cases[i].raw), out, sizeof(out), &der, NULL);

        cr_assert_eq(rc, cases[i].wanted != NULL ? PKI_OK : PKI_E_PARSE, "\"%s\"", cases[i].raw);
        cr_assert(rc != PKI_OK || bytes_eq(der, bytes_of(cases[i].wanted, cases[i].len)), "\"%s\"",
                  cases[i].raw);
    }
}

/* Longer than one group, with what is escaped at every place of it. */
Test(get, reads_groups_on_both_sides_of_what_is_escaped)
{
    static const char digits[] = "MIIBCgKCAQEAtz/+";
    uint8_t           plain[32], out[32];
    char              text[64];
    bytes_t           wanted, der;

    cr_assert_eq(ocsp_get_decode(bytes_str(digits), plain, sizeof(plain), &wanted, NULL), PKI_OK);
    for (size_t i = 0; i < sizeof(digits) - 1; i++) {
        (void) snprintf(text, sizeof(text), "%.*s%%%02x%s", (int) i, digits, digits[i], digits + i + 1);
        cr_assert_eq(ocsp_get_decode(bytes_str(text), out, sizeof(out), &der, NULL), PKI_OK, "%s", text);
        cr_assert(bytes_eq(der, wanted), "%s", text);
    }
}

Test(get, refuses_a_nul_that_is_not_encoded)
{
    uint8_t out[64];
    bytes_t der;

    cr_assert_eq(ocsp_get_decode(BYTES_LIT("MA+\0/+w=="), out, sizeof(out), &der, NULL), PKI_E_PARSE);
}

Test(get, stays_inside_the_memory_of_its_caller)
{
    for (size_t cap = 0; cap <= sizeof(octets_4); cap++) {
        uint8_t *out = malloc(cap + (cap == 0));
        bytes_t  der;

        cr_assert_eq(ocsp_get_decode(BYTES_LIT("MA+/+w=="), out, cap, &der, NULL),
                     cap == sizeof(octets_4) ? PKI_OK : PKI_E_TOO_LARGE);
        free(out);
    }
}

/* Against OpenSSL's encoder, at every length modulo three. */
Test(get, decodes_what_openssl_encodes)
{
    uint8_t in[100], out[100];
    char    text[200];

    for (size_t len = 1; len <= sizeof(in); len++) {
        bytes_t der;
        int     n;

        for (size_t i = 0; i < len; i++) {
            in[i] = (uint8_t) (i * len * 37 + len);
        }
        in[0] = 0x30;
        n = EVP_EncodeBlock((uint8_t *) text, in, (int) len);
        cr_assert_eq(ocsp_get_decode(bytes_of(text, (size_t) n), out, sizeof(out), &der, NULL), PKI_OK);
        cr_assert(bytes_eq(der, bytes_of(in, len)), "%zu", len);
    }
}
