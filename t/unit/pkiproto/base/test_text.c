/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Hexadecimal, base64, UTF-8 and times.  OpenSSL and libc are the judges.
 */
#include "pkiproto/base/text.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <time.h>

#include <openssl/evp.h>

#include "pkiproto/base/utf8.h"

static pki_arena_t *arena;

static void
setup(void)
{
    arena = pki_arena_new(0);
}

static void
teardown(void)
{
    pki_arena_free(arena);
}

TestSuite(text, .init = setup, .fini = teardown);

Test(text, hex_goes_both_ways)
{
    uint8_t out[4];
    size_t  len;

    cr_expect_str_eq(hex_print(arena, BYTES_LIT("\x00\xfe\x10")), "00fe10");
    cr_expect_str_eq(hex_print(arena, BYTES_NONE), "");
    cr_assert_eq(hex_decode(BYTES_LIT("00Fe1a"), out, sizeof(out), &len, NULL), PKI_OK);
    cr_expect(bytes_eq(bytes_of(out, len), BYTES_LIT("\x00\xfe\x1a")));
    cr_expect_eq(hex_decode(BYTES_LIT("0"), out, sizeof(out), &len, NULL), PKI_E_PARSE);
    cr_expect_eq(hex_decode(BYTES_LIT("0g"), out, sizeof(out), &len, NULL), PKI_E_PARSE);
    cr_expect_eq(hex_decode(BYTES_LIT("@0"), out, sizeof(out), &len, NULL), PKI_E_PARSE);
    cr_expect_eq(hex_decode(BYTES_LIT("0 "), out, sizeof(out), &len, NULL), PKI_E_PARSE);
    cr_expect_eq(hex_decode(BYTES_LIT("0011223344"), out, sizeof(out), &len, NULL), PKI_E_TOO_LARGE);
}

Test(text, base64_encodes_as_openssl_does_for_every_length)
{
    uint8_t data[100];
    char    ours[BASE64_LEN(100) + 1], theirs[BASE64_LEN(100) + 1];
    bytes_t back;

    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t) (i * 37 + 251);
    }
    for (size_t len = 0; len <= sizeof(data); len++) {
        size_t n = base64_encode(bytes_of(data, len), ours);

        cr_expect_eq(EVP_EncodeBlock((uint8_t *) theirs, data, (int) len), (int) n);
        cr_expect_str_eq(ours, theirs);
        cr_assert_eq(base64_parse(arena, bytes_of(ours, n), 0, &back, NULL), PKI_OK);
        cr_expect(bytes_eq(back, bytes_of(data, len)));
    }
}

typedef struct {
    char       text[24], out[12];
    pki_code_t strict, spaced;
} base64_case_t;

ParameterizedTestParameters(text, base64_is_strict_and_skips_spaces_only_when_told)
{
    static base64_case_t cases[] = {
        { "", "", PKI_OK, PKI_OK }, /* RFC 4648 section 10, then what is wrong */
        { "Zg==", "f", PKI_OK, PKI_OK },
        { "Zm8=", "fo", PKI_OK, PKI_OK },
        { "Zm9v", "foo", PKI_OK, PKI_OK },
        { "Zm9vYg==", "foob", PKI_OK, PKI_OK },
        { "Zm9vYmE=", "fooba", PKI_OK, PKI_OK },
        { "Zm9vYmFy", "foobar", PKI_OK, PKI_OK },
        { "Zm9v\r\nYmFy\r\n", "foobar", PKI_E_PARSE, PKI_OK },
        { " Z\tg = = ", "f", PKI_E_PARSE, PKI_OK },
        { "\n", "", PKI_E_PARSE, PKI_OK },
        { "Zm9v\vYmFy", "", PKI_E_PARSE, PKI_E_PARSE },
        { "Zg", "", PKI_E_PARSE, PKI_E_PARSE },
        { "Zg=", "", PKI_E_PARSE, PKI_E_PARSE },
        { "Zg===", "", PKI_E_PARSE, PKI_E_PARSE },
        { "Zh==", "", PKI_E_PARSE, PKI_E_PARSE },
        { "Zm9=", "", PKI_E_PARSE, PKI_E_PARSE },
        { "Z===", "", PKI_E_PARSE, PKI_E_PARSE },
        { "====", "", PKI_E_PARSE, PKI_E_PARSE },
        { "=", "", PKI_E_PARSE, PKI_E_PARSE },
        { "Z", "", PKI_E_PARSE, PKI_E_PARSE },
        { "Zg==Zg==", "", PKI_E_PARSE, PKI_E_PARSE },
        { "Zm9v=", "", PKI_E_PARSE, PKI_E_PARSE },
        { "Zm=v", "", PKI_E_PARSE, PKI_E_PARSE },
        { "-_8=", "", PKI_E_PARSE, PKI_E_PARSE },
        { "Zm9v!", "", PKI_E_PARSE, PKI_E_PARSE },
    };

    return cr_make_param_array(base64_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(base64_case_t *c, text, base64_is_strict_and_skips_spaces_only_when_told)
{
    bytes_t out;

    cr_expect_eq(base64_parse(arena, bytes_str(c->text), 0, &out, NULL), c->strict, "%s", c->text);
    cr_assert_eq(base64_parse(arena, bytes_str(c->text), BASE64_SPACE, &out, NULL), c->spaced, "%s", c->text);
    if (c->spaced == PKI_OK) {
        cr_expect(bytes_eq(out, bytes_str(c->out)));
    }
}

Test(text, base64_refuses_a_nul_and_keeps_to_its_room)
{
    uint8_t out[4];
    size_t  len;

    cr_expect_eq(base64_decode(BYTES_LIT("Zm9v\0"), BASE64_SPACE, out, 4, &len, NULL), PKI_E_PARSE);
    cr_expect_eq(base64_decode(BYTES_LIT("Zm9vYmFy"), 0, out, 4, &len, NULL), PKI_E_TOO_LARGE);
    cr_expect_eq(base64_decode(BYTES_LIT("Zm9vYmE="), 0, out, 4, &len, NULL), PKI_E_TOO_LARGE);
    cr_expect_eq(base64_decode(BYTES_LIT("Zm9vYg=="), 0, out, 4, &len, NULL), PKI_OK);
    cr_expect_eq(len, 4);
}

Test(text, base64_decodes_in_place)
{
    char   text[] = "Zm9vYmFy";
    size_t len;

    cr_assert_eq(base64_decode(bytes_of(text, 8), 0, (uint8_t *) text, 8, &len, NULL), PKI_OK);
    cr_expect(bytes_eq(bytes_of(text, len), BYTES_LIT("foobar")));
}

/* Every day of eight centuries, and odd seconds far away, against libc. */
Test(text, the_calendar_is_that_of_libc)
{
    for (int64_t t = -11676096000; t < 16725225600; t += 86399) {
        time_t    when = (time_t) t;
        struct tm tm;
        civil_t   c = civil_of(t);
        int64_t   back;

        gmtime_r(&when, &tm);
        cr_assert(c.year == tm.tm_year + 1900 && c.month == tm.tm_mon + 1 && c.day == tm.tm_mday
                      && c.hour == tm.tm_hour && c.minute == tm.tm_min && c.second == tm.tm_sec,
                  "%lld", (long long) t);
        cr_assert(civil_to_time(&c, &back));
        cr_assert_eq(back, t);
    }
}

Test(text, dates_that_do_not_exist_are_refused)
{
    static const civil_t wrong[] = {
        { 2026, 2, 29, 0, 0, 0 }, { 2100, 2, 29, 0, 0, 0 },  { 2026, 4, 31, 0, 0, 0 },  { 2026, 0, 1, 0, 0, 0 },
        { 2026, 13, 1, 0, 0, 0 }, { 2026, 1, 0, 0, 0, 0 },   { 2026, 1, 32, 0, 0, 0 },  { 2026, 1, 1, 24, 0, 0 },
        { 2026, 1, 1, 0, 60, 0 }, { 2026, 1, 1, 0, 0, 60 },  { 2026, 1, 1, -1, 0, 0 },
    };
    static const civil_t leap[] = { { 2000, 2, 29, 0, 0, 0 }, { 2024, 2, 29, 23, 59, 59 } };
    int64_t              t;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_expect_not(civil_to_time(&wrong[i], &t), "%zu", i);
    }
    cr_expect(civil_to_time(&leap[0], &t));
    cr_expect(civil_to_time(&leap[1], &t));
}

typedef struct {
    char    text[44];
    bool    ok;
    int64_t t;
} time_case_t;

ParameterizedTestParameters(text, rfc_3339_times)
{
    static time_case_t cases[] = {
        { "1970-01-01T00:00:00Z", true, 0 },
        { "2026-11-20T16:10:00Z", true, 1795191000 },
        { "2026-11-20t16:10:00z", true, 1795191000 },
        { "2026-11-20 16:10:00Z", true, 1795191000 },
        { "2026-11-20T16:10:00.999Z", true, 1795191000 },
        { "2026-11-20T17:10:00+01:00", true, 1795191000 },
        { "2026-11-20T10:40:00-05:30", true, 1795191000 },
        { "1969-12-31T23:59:59Z", true, -1 },
        { "9999-12-31T23:59:59Z", true, 253402300799 },
        { "", false, 0 },
        { "2026-11-20", false, 0 },
        { "2026-11-20T16:10:00", false, 0 },
        { "2026-11-20T16:10Z", false, 0 },
        { "2026-11-20T16:10:00Zx", false, 0 },
        { "2026-11-20T16:10:00+1:00", false, 0 },
        { "2026-11-20T16:10:00+24:00", false, 0 },
        { "2026-11-20T16:10:00+01:60", false, 0 },
        { "2026-11-20T16:10:60Z", false, 0 },
        { "2026-13-20T16:10:00Z", false, 0 },
        { "2026-02-29T16:10:00Z", false, 0 },
        { "+026-11-20T16:10:00Z", false, 0 },
        { "2026-11-20T-1:10:00Z", false, 0 },
        { "2026-11-20T16:10:00.99999999999999999999999Z", false, 0 },
    };

    return cr_make_param_array(time_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(time_case_t *c, text, rfc_3339_times)
{
    char    again[RFC3339_LEN + 1];
    int64_t t = -77, back;

    cr_assert_eq(rfc3339_parse(c->text, &t, NULL) == PKI_OK, c->ok, "%s", c->text);
    if (c->ok) {
        cr_expect_eq(t, c->t, "%s: %lld", c->text, (long long) t);
        rfc3339_print(t, again);
        cr_assert_eq(rfc3339_parse(again, &back, NULL), PKI_OK);
        cr_expect_eq(back, t);
    }
}

Test(text, rfc_3339_prints_twenty_characters)
{
    char text[RFC3339_LEN + 1];

    rfc3339_print(1795191000, text);
    cr_expect_str_eq(text, "2026-11-20T16:10:00Z");
    rfc3339_print(-62135596800, text);
    cr_expect_str_eq(text, "0001-01-01T00:00:00Z");
}

/* Every character there is, and its neighbours that are none. */
Test(text, utf8_goes_both_ways_for_every_character)
{
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        uint8_t   octets[4];
        pki_buf_t buf;
        bytes_t   in;
        uint32_t  back;
        bool      surrogate = c >= 0xd800 && c <= 0xdfff;

        pki_buf_fixed(&buf, octets, sizeof(octets));
        utf8_put(&buf, c);
        in = pki_buf_bytes(&buf);
        cr_assert_eq(utf8_take(&in, &back), !surrogate, "U+%04X", c);
        cr_assert(surrogate || (back == c && in.len == 0));
    }
}

Test(text, utf8_refuses_what_is_not_shortest_or_cut_off)
{
    static const char *const wrong[] = { "\x80",         "\xc0\x80",         "\xc1\xbf",         "\xe0\x9f\xbf",
                                         "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
                                         "\xc3",         "\xe2\x82",         "\xf0\x9f\x98",     "\xc3(",
                                         "a\xe2\x28\xa1" };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_expect_not(utf8_valid(bytes_str(wrong[i])), "%zu", i);
    }
    cr_expect(utf8_valid(BYTES_NONE));
    cr_expect(utf8_valid(BYTES_LIT("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")));
}
