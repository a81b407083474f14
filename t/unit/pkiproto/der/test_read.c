/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The DER reader, rule by rule of X.690.
 */
#include "pkiproto/der/read.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/asn1.h>
#include <openssl/rand.h>

typedef struct {
    uint8_t in[16];
    size_t  len;
    bool    ok;
    size_t  header, value;
    char    why[40];
} next_case_t;

ParameterizedTestParameters(read, headers)
{
    static next_case_t cases[] = {
        { { 0x05, 0x00 }, 2, true, 2, 0, "empty contents" },
        { { 0x04, 0x02, 1, 2 }, 4, true, 2, 2, "short form" },
        { { 0x04, 0x02, 1, 2, 3 }, 5, true, 2, 2, "what follows is left" },
        { { 0xbe, 0x01, 1 }, 3, true, 2, 1, "highest single-octet tag" },
        { { 0 }, 0, false, 0, 0, "nothing" },
        { { 0x04 }, 1, false, 0, 0, "no length" },
        { { 0x04, 0x02, 1 }, 3, false, 0, 0, "contents cut off" },
        { { 0x1f, 0x01, 1 }, 3, false, 0, 0, "multi-octet tag, universal" },
        { { 0xbf, 0x81, 0x01, 0 }, 4, false, 0, 0, "multi-octet tag, context" },
        { { 0x30, 0x80, 0, 0 }, 4, false, 0, 0, "indefinite length" },
        { { 0x04, 0x81, 0x02, 1, 2 }, 5, false, 0, 0, "long form of a short length" },
        { { 0x04, 0x81, 0x7f }, 3, false, 0, 0, "long form of 127" },
        { { 0x04, 0x82, 0x00, 0x80 }, 4, false, 0, 0, "leading zero in a length" },
        { { 0x04, 0x81 }, 2, false, 0, 0, "length cut off" },
        { { 0x04, 0x84, 0xff, 0xff, 0xff, 0xff }, 6, false, 0, 0, "4 GiB that are not there" },
        { { 0x04, 0x85, 1, 0, 0, 0, 0 }, 7, false, 0, 0, "five octets of length" },
        { { 0x04, 0xff }, 2, false, 0, 0, "the reserved length" },
        { { 0x04, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 10, false, 0, 0, "a length that wraps" },
    };

    return cr_make_param_array(next_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(next_case_t *c, read, headers)
{
    uint8_t   *copy = malloc(c->len + 1);
    bytes_t    in = bytes_of(copy, c->len);
    der_item_t item;
    pki_err_t  err = { .text = "" };

    memcpy(copy, c->in, c->len);
    cr_assert_eq(der_next(&in, &item, &err), c->ok ? PKI_OK : PKI_E_PARSE, "%s", c->why);
    if (c->ok) {
        cr_expect_eq(item.tag, c->in[0]);
        cr_expect_eq(item.value.len, c->value);
        cr_expect_eq(item.value.p, copy + c->header);
        cr_expect_eq(item.whole.len, c->header + c->value);
        cr_expect_eq(in.len, c->len - item.whole.len);
    } else {
        cr_expect_eq(in.len, c->len, "the input stays where it was");
        cr_expect_not_null(err.clause);
    }
    free(copy);
}

Test(read, long_lengths)
{
    static const size_t lens[] = { 0x80, 0xff, 0x100, 0xffff, 0x10000, 0x123456 };
    uint8_t            *der = calloc(1, 0x123456 + 16);

    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        uint8_t   *p = der;
        der_item_t item;
        bytes_t    in;

        ASN1_put_object(&p, 0, (int) lens[i], V_ASN1_OCTET_STRING, V_ASN1_UNIVERSAL);
        in = bytes_of(der, (size_t) (p - der) + lens[i]);
        cr_assert_eq(der_next(&in, &item, NULL), PKI_OK, "%zu", lens[i]);
        cr_expect_eq(item.value.len, lens[i]);
        cr_expect_eq(in.len, 0);
        in = bytes_of(der, (size_t) (p - der) + lens[i] - 1);
        cr_expect_eq(der_next(&in, &item, NULL), PKI_E_PARSE);
    }
    free(der);
}

/* Whatever we call an element OpenSSL calls one, too. */
Test(read, accepts_no_header_that_openssl_refuses)
{
    uint8_t octets[64];
    size_t  accepted = 0;

    for (int i = 0; i < 20000; i++) {
        const uint8_t *p = octets;
        bytes_t        in = BYTES_ARR(octets);
        der_item_t     item;
        long           len;
        int            tag, class;

        cr_assert_eq(RAND_bytes(octets, sizeof(octets)), 1);
        if (der_next(&in, &item, NULL) != PKI_OK) {
            continue;
        }
        accepted++;
        cr_assert_eq(ASN1_get_object(&p, &len, &tag, &class, sizeof(octets)) & 0x81, 0);
        cr_assert_eq((size_t) len, item.value.len);
        cr_assert_eq(p, item.value.p);
    }
    cr_expect_gt(accepted, 100);
}

Test(read, a_wrong_tag_names_what_was_wanted)
{
    bytes_t   in = BYTES_LIT("\x04\x01\x00"), none = BYTES_NONE, value;
    pki_err_t err;

    cr_expect_eq(der_take(&in, DER_INTEGER, "serialNumber", &value, &err), PKI_E_PARSE);
    cr_expect_str_eq(err.text, "serialNumber has tag 0x04, not 0x02");
    cr_expect_eq(der_take(&none, DER_INTEGER, "serialNumber", &value, &err), PKI_E_PARSE);
    cr_expect_str_eq(err.text, "serialNumber is missing");
    in = BYTES_LIT("\x02\x05\x01");
    cr_expect_eq(der_take_whole(&in, DER_INTEGER, "serialNumber", &value, &err), PKI_E_PARSE);
    cr_expect_eq(strncmp(err.text, "serialNumber: ", 14), 0);
    cr_expect_eq(der_take(&in, DER_INTEGER, "serialNumber", &value, NULL), PKI_E_PARSE, "without an err");
    cr_expect_eq(der_end(in, "it", &err), PKI_E_PARSE);
    cr_expect_eq(der_end(none, "it", &err), PKI_OK);
}

typedef struct {
    uint8_t  in[12];
    size_t   len;
    bool     integer, uint;
    uint64_t value;
} int_case_t;

ParameterizedTestParameters(read, integers)
{
    static int_case_t cases[] = {
        { { 2, 1, 0 }, 3, true, true, 0 },
        { { 2, 1, 0x7f }, 3, true, true, 127 },
        { { 2, 2, 0, 0x80 }, 4, true, true, 128 },
        { { 2, 1, 0x80 }, 3, true, false, 0 },
        { { 2, 2, 0xff, 0x7f }, 4, true, false, 0 },
        { { 2, 0 }, 2, false, false, 0 },
        { { 2, 2, 0, 0x7f }, 4, false, false, 0 },
        { { 2, 2, 0xff, 0x80 }, 4, false, false, 0 },
        { { 2, 8, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 10, true, true, INT64_MAX },
        { { 2, 9, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 11, true, true, UINT64_MAX },
        { { 2, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0 }, 11, true, false, 0 },
        { { 2, 10, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 12, true, false, 0 },
        { { 10, 1, 1 }, 3, false, false, 0 },
    };

    return cr_make_param_array(int_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(int_case_t *c, read, integers)
{
    bytes_t  in = bytes_of(c->in, c->len), value;
    uint64_t n = 0;

    cr_expect_eq(der_take_integer(&in, "n", &value, NULL) == PKI_OK, c->integer);
    in = bytes_of(c->in, c->len);
    cr_expect_eq(der_take_uint(&in, "n", UINT64_MAX, &n, NULL) == PKI_OK, c->uint);
    cr_expect_eq(n, c->value);
    in = bytes_of(c->in, c->len);
    if (c->uint && c->value != 0) {
        cr_expect_eq(der_take_uint(&in, "n", c->value - 1, &n, NULL), PKI_E_PARSE);
    }
}

Test(read, booleans_are_all_ones_or_all_zeroes)
{
    for (unsigned v = 0; v < 256; v++) {
        uint8_t der[] = { 1, 1, (uint8_t) v };
        bytes_t in = BYTES_ARR(der);
        bool    b = false;

        cr_expect_eq(der_take_bool(&in, "b", &b, NULL) == PKI_OK, v == 0 || v == 0xff, "%u", v);
        cr_expect_eq(b, v == 0xff);
    }
    bytes_t empty = BYTES_LIT("\x01\x00"), two = BYTES_LIT("\x01\x02\xff\xff");
    bool    b;

    cr_expect_eq(der_take_bool(&empty, "b", &b, NULL), PKI_E_PARSE);
    cr_expect_eq(der_take_bool(&two, "b", &b, NULL), PKI_E_PARSE);
}

Test(read, bit_strings_have_whole_octets)
{
    bytes_t good = BYTES_LIT("\x03\x03\x00\xab\xcd"), none = BYTES_LIT("\x03\x01\x00"), empty = BYTES_LIT("\x03\x00");
    bytes_t spare = BYTES_LIT("\x03\x02\x01\x80"), value;

    cr_expect_eq(der_take_bits(&good, "b", &value, NULL), PKI_OK);
    cr_expect(bytes_eq(value, BYTES_LIT("\xab\xcd")));
    cr_expect_eq(der_take_bits(&none, "b", &value, NULL), PKI_OK);
    cr_expect_eq(value.len, 0);
    cr_expect_eq(der_take_bits(&empty, "b", &value, NULL), PKI_E_PARSE);
    cr_expect_eq(der_take_bits(&spare, "b", &value, NULL), PKI_E_PARSE);
}

typedef struct {
    uint8_t tag;
    char    text[24];
    bool    ok;
} time_case_t;

ParameterizedTestParameters(read, times)
{
    static time_case_t cases[] = {
        { 0x17, "500101000000Z", true },
        { 0x17, "491231235959Z", true },
        { 0x17, "700101000000Z", true },
        { 0x17, "000229120000Z", true },
        { 0x18, "20500101000000Z", true },
        { 0x18, "99991231235959Z", true },
        { 0x18, "19700101000000Z", true },
        { 0x17, "0001010000Z", false },
        { 0x17, "000101000000", false },
        { 0x17, "000101000000+", false },
        { 0x17, "0001010000+0100", false },
        { 0x17, "010229120000Z", false },
        { 0x17, "001301000000Z", false },
        { 0x17, "00010100000 Z", false },
        { 0x17, "000101240000Z", false },
        { 0x17, "000101000060Z", false },
        { 0x17, "20000101000000Z", false },
        { 0x18, "500101000000Z", false },
        { 0x18, "20500101000000.5Z", false },
        { 0x18, "20500101000000", false },
        { 0x18, "2050010100Z", false },
        { 0x18, "-0500101000000Z", false },
        { 0x16, "500101000000Z", false },
    };

    return cr_make_param_array(time_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(time_case_t *c, read, times)
{
    uint8_t der[32] = { c->tag, (uint8_t) strlen(c->text) };
    bytes_t in = bytes_of(der, strlen(c->text) + 2);
    int64_t t;

    memcpy(der + 2, c->text, strlen(c->text));
    cr_assert_eq(der_take_time(&in, "t", &t, NULL) == PKI_OK, c->ok, "%s", c->text);
    if (c->ok) {
        const uint8_t *p = der;
        ASN1_TIME     *theirs = d2i_ASN1_TIME(NULL, &p, (long) strlen(c->text) + 2);
        struct tm      tm;

        cr_assert_eq(ASN1_TIME_to_tm(theirs, &tm), 1);
        cr_expect_eq(t, timegm(&tm));
        ASN1_TIME_free(theirs);
    }
}
