/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Structs as octets, against octets written down by hand.
 */
#include "pkiproto/json/pack.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

typedef struct {
    const char *kind, *name, *pin, *hidden;
    int64_t     number;
    bytes_t     octets;
} thing_t;

static const char *const kinds[] = { "a", "b", NULL };

static const field_t table[] = {
    FIELD_ENUM(thing_t, kind, F_REQUIRED, NULL, kinds, "kind"),
    { .name = "name", .type = FIELD_T_STR, .offset = offsetof(thing_t, name), .min = 2, .max = 5, .help = "name" },
    FIELD_STR(thing_t, pin, F_SECRET | F_CARRIED, NULL, "carried"),
    FIELD_STR(thing_t, hidden, F_SECRET, NULL, "not carried"),
    FIELD_INT(thing_t, number, 0, NULL, -5, 1000, "number"),
    FIELD_BASE64(thing_t, octets, 0, "octets"),
    FIELD_END,
};

#define ABSENT "\xff\xff\xff\xff"
#define NUMBER(n) "\0\0\0\10\0\0\0\0\0\0" n
#define REST ABSENT ABSENT ABSENT NUMBER("\0\0") ABSENT

Test(pack, writes_each_member_behind_its_length)
{
    static const char want[] = "\6\0\0\0\2b\0\0\0\0\3xy\0\0\0\0\4one\0" ABSENT NUMBER("\1\2") "\0\0\0\3\1\0\2";
    thing_t           in = { .kind = "b", .name = "xy", .pin = "one", .hidden = "two", .number = 258,
                             .octets = BYTES_LIT("\1\0\2") };
    uint8_t           memory[128];
    pki_buf_t         b;

    pki_buf_fixed(&b, memory, sizeof(memory));
    fields_pack(table, &in, &b);
    cr_assert_not(b.failed);
    cr_assert_eq(b.len, sizeof(want) - 1);
    cr_expect_arr_eq(b.p, want, b.len);
}

Test(pack, reads_what_is_there_and_clears_what_is_not)
{
    bytes_t in = BYTES_LIT("\6\0\0\0\2a\0" ABSENT "\0\0\0\1\0" ABSENT "\0\0\0\10\xff\xff\xff\xff\xff\xff\xff\xfb\0\0\0\0");
    thing_t out;

    memset(&out, 0x55, sizeof(out));
    cr_assert_eq(fields_unpack(table, in, &out, NULL), PKI_OK);
    cr_expect_str_eq(out.kind, "a");
    cr_expect_null(out.name);
    cr_expect_str_eq(out.pin, "");
    cr_expect_null(out.hidden);
    cr_expect_eq(out.number, -5);
    cr_expect(out.octets.p != NULL && out.octets.len == 0, "present and empty");
    cr_expect((const uint8_t *) out.kind == in.p + 5, "borrowed");
}

Test(pack, every_truncation_is_refused)
{
    static const char whole[] = "\6\0\0\0\2a\0\0\0\0\3xy\0" ABSENT ABSENT NUMBER("\0\1") "\0\0\0\2zz";
    thing_t           out;

    cr_assert_eq(fields_unpack(table, bytes_of(whole, sizeof(whole) - 1), &out, NULL), PKI_OK);
    for (size_t len = 0; len < sizeof(whole) - 1; len++) {
        cr_expect_eq(fields_unpack(table, bytes_of(whole, len), &out, NULL), PKI_E_INVALID, "%zu", len);
    }
    cr_expect_eq(fields_unpack(table, bytes_of(whole, sizeof(whole)), &out, NULL), PKI_E_INVALID, "one too many");
}

typedef struct {
    char   what[32], octets[64];
    size_t len;
} bad_t;

#define BAD(text, octets) { text, octets, sizeof(octets) - 1 }

ParameterizedTestParameters(pack, what_the_table_does_not_allow_is_refused)
{
    static bad_t cases[] = {
        BAD("another count", "\5\0\0\0\2a\0" REST),
        BAD("absent and required", "\6" ABSENT REST),
        BAD("no such choice", "\6\0\0\0\2c\0" REST),
        BAD("no NUL", "\6\0\0\0\1a" REST),
        BAD("not even a NUL", "\6\0\0\0\0" REST),
        BAD("NUL inside", "\6\0\0\0\3a\0\0" REST),
        BAD("too short", "\6\0\0\0\2a\0\0\0\0\2x\0" ABSENT ABSENT NUMBER("\0\0") ABSENT),
        BAD("too long", "\6\0\0\0\2a\0\0\0\0\7xxxxxx\0" ABSENT ABSENT NUMBER("\0\0") ABSENT),
        BAD("not UTF-8", "\6\0\0\0\2a\0\0\0\0\4x\xc3x\0" ABSENT ABSENT NUMBER("\0\0") ABSENT),
        BAD("a number too large", "\6\0\0\0\2a\0" ABSENT ABSENT ABSENT NUMBER("\3\xe9") ABSENT),
        BAD("a short number", "\6\0\0\0\2a\0" ABSENT ABSENT ABSENT "\0\0\0\1\1" ABSENT),
    };
    return cr_make_param_array(bad_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(bad_t *c, pack, what_the_table_does_not_allow_is_refused)
{
    thing_t out;

    cr_expect_eq(fields_unpack(table, bytes_of(c->octets, c->len), &out, NULL), PKI_E_INVALID, "%s", c->what);
}
