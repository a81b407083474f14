/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The DER writer: OpenSSL encodes the same values.
 */
#include "pkiproto/der/write.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdlib.h>

#include <openssl/asn1.h>
#include <openssl/crypto.h>

static pki_arena_t *arena;
static pki_buf_t    out;

static void
setup(void)
{
    arena = pki_arena_new(0);
    pki_buf_init(&out, arena, 1 << 20);
}

static void
teardown(void)
{
    pki_arena_free(arena);
}

TestSuite(write, .init = setup, .fini = teardown);

/* What was written equals what OpenSSL made (freed here). */
static void
expect_same(uint8_t *theirs, int n)
{
    cr_assert_gt(n, 0);
    cr_expect(bytes_eq(pki_buf_bytes(&out), bytes_of(theirs, (size_t) n)));
    OPENSSL_free(theirs);
    out.len = 0;
}

Test(write, numbers)
{
    static const uint64_t values[] = { 0,          1,     127,        128,        255,       256,
                                       0x7fff,     0x8000, 0xffffffff, 0x100000000, INT64_MAX, UINT64_MAX };

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        ASN1_INTEGER    *n = ASN1_INTEGER_new();
        ASN1_ENUMERATED *e = ASN1_ENUMERATED_new();
        uint8_t         *der = NULL;
        int              len;

        ASN1_INTEGER_set_uint64(n, values[i]);
        len = i2d_ASN1_INTEGER(n, &der);
        der_put_uint(&out, DER_INTEGER, values[i]);
        expect_same(der, len);
        if (values[i] <= INT64_MAX) {
            der = NULL;
            ASN1_ENUMERATED_set_int64(e, (int64_t) values[i]);
            len = i2d_ASN1_ENUMERATED(e, &der);
            der_put_uint(&out, DER_ENUMERATED, values[i]);
            expect_same(der, len);
        }
        ASN1_INTEGER_free(n);
        ASN1_ENUMERATED_free(e);
    }
}

Test(write, unsigned_octets_become_the_shortest_positive_integer)
{
    static const struct {
        bytes_t in, der;
    } rows[] = {
        { { NULL, 0 }, { (const uint8_t *) "\x02\x01\x00", 3 } },
        { { (const uint8_t *) "\x00\x00", 2 }, { (const uint8_t *) "\x02\x01\x00", 3 } },
        { { (const uint8_t *) "\x00\x00\x7f", 3 }, { (const uint8_t *) "\x02\x01\x7f", 3 } },
        { { (const uint8_t *) "\x80", 1 }, { (const uint8_t *) "\x02\x02\x00\x80", 4 } },
        { { (const uint8_t *) "\x01\x00", 2 }, { (const uint8_t *) "\x02\x02\x01\x00", 4 } },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        out.len = 0;
        der_put_unsigned(&out, rows[i].in);
        cr_expect(bytes_eq(pki_buf_bytes(&out), rows[i].der), "%zu", i);
    }
}

Test(write, named_bits_have_no_trailing_zeroes)
{
    for (unsigned bits = 0; bits < 0x10000; bits += bits < 0x200 || bits > 0xfe00 ? 1 : 0x81) {
        ASN1_BIT_STRING *theirs = ASN1_BIT_STRING_new();
        uint8_t         *der = NULL;
        int              len;

        for (int bit = 0; bit < 16; bit++) {
            if (bits & (0x8000u >> bit)) {
                ASN1_BIT_STRING_set_bit(theirs, bit, 1);
            }
        }
        len = i2d_ASN1_BIT_STRING(theirs, &der);
        der_put_named_bits(&out, (uint16_t) bits);
        expect_same(der, len);
        ASN1_BIT_STRING_free(theirs);
    }
}

Test(write, strings_and_booleans)
{
    der_put_bool(&out, true);
    der_put_bool(&out, false);
    der_put_bits(&out, BYTES_LIT("\xab"));
    der_put_bits(&out, BYTES_NONE);
    der_put(&out, DER_NULL, BYTES_NONE);
    der_put(&out, DER_CONTEXT(6), BYTES_LIT("x"));
    cr_expect(bytes_eq(pki_buf_bytes(&out), BYTES_LIT("\x01\x01\xff\x01\x01\x00\x03\x02\x00\xab\x03\x01\x00\x05\x00"
                                                      "\x86\x01x")));
}

Test(write, headers_of_every_length_are_those_of_openssl)
{
    static const size_t lens[] = { 0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000, 0xffffff, 0x1000000, 0x7fffffff };

    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        uint8_t ours[DER_HEADER_MAX], theirs[16], *p = theirs;
        size_t  n = der_header(DER_OCTET_STRING, lens[i], ours);

        ASN1_put_object(&p, 0, (int) lens[i], V_ASN1_OCTET_STRING, V_ASN1_UNIVERSAL);
        cr_assert_eq(n, (size_t) (p - theirs));
        cr_expect_arr_eq(ours, theirs, n);
    }
}

/* Nested elements whose length octets grow while they are closed. */
Test(write, closing_makes_room_for_longer_lengths)
{
    static const size_t lens[] = { 0, 1, 120, 125, 127, 128, 250, 255, 256, 60000, 65536, 200000 };
    uint8_t            *filler = calloc(1, 200000);

    memset(filler, 0x5a, 200000);
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        bytes_t in, a, b, c;
        size_t  outer, inner;

        out.len = 0;
        outer = der_open(&out, DER_SEQUENCE);
        inner = der_open(&out, DER_CONTEXT_CONSTRUCTED(3));
        der_put(&out, DER_OCTET_STRING, bytes_of(filler, lens[i]));
        der_close(&out, inner);
        der_put_bool(&out, true);
        der_close(&out, outer);
        cr_assert_eq(pki_buf_check(&out, "test", NULL), PKI_OK);
        in = pki_buf_bytes(&out);
        cr_assert_eq(der_take(&in, DER_SEQUENCE, "outer", &a, NULL), PKI_OK);
        cr_assert_eq(in.len, 0);
        cr_assert_eq(der_take(&a, DER_CONTEXT_CONSTRUCTED(3), "inner", &b, NULL), PKI_OK);
        cr_assert_eq(der_take(&b, DER_OCTET_STRING, "filler", &c, NULL), PKI_OK);
        cr_assert(b.len == 0 && c.len == lens[i] && (c.len == 0 || memcmp(c.p, filler, c.len) == 0));
        cr_assert(bytes_eq(a, BYTES_LIT("\x01\x01\xff")));
    }
    free(filler);
}

Test(write, too_little_room_fails_once_and_for_all)
{
    uint8_t   room[131], filler[126] = { 0 };
    pki_buf_t small;
    size_t    at;

    for (size_t cap = 0; cap < sizeof(room); cap++) {
        pki_buf_fixed(&small, room, cap);
        at = der_open(&small, DER_SEQUENCE);
        der_put(&small, DER_OCTET_STRING, BYTES_ARR(filler));
        der_close(&small, at);
        cr_expect_eq(pki_buf_check(&small, "test", NULL), PKI_E_TOO_LARGE, "%zu", cap);
    }
    pki_buf_fixed(&small, room, 131);
    at = der_open(&small, DER_SEQUENCE);
    der_put(&small, DER_OCTET_STRING, BYTES_ARR(filler));
    der_close(&small, at);
    cr_expect_eq(pki_buf_check(&small, "test", NULL), PKI_OK);
}

typedef struct {
    int64_t t;
    char    utc[20], generalized[20];
} time_case_t;

ParameterizedTestParameters(write, times)
{
    static time_case_t cases[] = {
        { 0, "700101000000Z", "19700101000000Z" },
        { -631152000, "500101000000Z", "19500101000000Z" },
        { -631152001, "19491231235959Z", "19491231235959Z" },
        { 2524607999, "491231235959Z", "20491231235959Z" },
        { 2524608000, "20500101000000Z", "20500101000000Z" },
        { 253402300799, "99991231235959Z", "99991231235959Z" },
        { 951782400, "000229000000Z", "20000229000000Z" },
    };

    return cr_make_param_array(time_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(time_case_t *c, write, times)
{
    bytes_t in;
    int64_t back;

    der_put_time(&out, c->t);
    cr_expect_eq(out.p[0], strlen(c->utc) == 13 ? DER_UTC_TIME : DER_GENERALIZED_TIME);
    cr_expect(bytes_eq(bytes_of(out.p + 2, out.len - 2), bytes_str(c->utc)));
    in = pki_buf_bytes(&out);
    cr_assert_eq(der_take_time(&in, "t", &back, NULL), PKI_OK);
    cr_expect_eq(back, c->t);
    out.len = 0;
    der_put_generalized_time(&out, c->t);
    cr_expect_eq(out.p[0], DER_GENERALIZED_TIME);
    cr_expect(bytes_eq(bytes_of(out.p + 2, out.len - 2), bytes_str(c->generalized)));
}

Test(write, a_year_of_five_digits_cannot_be_written)
{
    der_put_time(&out, 253402300800);
    cr_expect(out.failed);
}
