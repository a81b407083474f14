/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * General names: shapes, syntax, printing and comparing.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "pkiproto/x509/name.h"

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

TestSuite(general_name, .init = setup, .fini = teardown);

typedef struct {
    unsigned   kind;
    char       value[80];
    pki_code_t code;
} syntax_case_t;

ParameterizedTestParameters(general_name, checks_the_syntax_of_names)
{
    static syntax_case_t cases[] = {
        {GENERAL_NAME_DNS, "a.example", PKI_OK},
        {GENERAL_NAME_DNS, "localhost", PKI_OK},
        {GENERAL_NAME_DNS, "*.a.example", PKI_OK},
        {GENERAL_NAME_DNS, "_acme.a-b.example", PKI_OK},
        {GENERAL_NAME_DNS, "xn--caf-dma.example", PKI_OK},
        {GENERAL_NAME_DNS, "0123456789012345678901234567890123456789012345678901234567890ab", PKI_OK},
        {GENERAL_NAME_DNS, "0123456789012345678901234567890123456789012345678901234567890abc", PKI_E_INVALID},
        {GENERAL_NAME_DNS, "*", PKI_E_INVALID},
        {GENERAL_NAME_DNS, "*.", PKI_E_INVALID},
        {GENERAL_NAME_DNS, "a*.example", PKI_E_INVALID},
        {GENERAL_NAME_DNS, "a.*.example", PKI_E_INVALID},
        {GENERAL_NAME_DNS, ".example", PKI_E_INVALID},
        {GENERAL_NAME_DNS, "a..example", PKI_E_INVALID},
        {GENERAL_NAME_DNS, "a.example.", PKI_E_INVALID},
        {GENERAL_NAME_DNS, "-a.example", PKI_E_INVALID},
        {GENERAL_NAME_DNS, "a-.example", PKI_E_INVALID},
        {GENERAL_NAME_DNS, "a-", PKI_E_INVALID},
        {GENERAL_NAME_DNS, "a.example:443", PKI_E_INVALID},
        {GENERAL_NAME_EMAIL, "a@b.example", PKI_OK},
        {GENERAL_NAME_EMAIL, "a.b+c@b", PKI_OK},
        {GENERAL_NAME_EMAIL, "b.example", PKI_E_INVALID},
        {GENERAL_NAME_EMAIL, "@b.example", PKI_E_INVALID},
        {GENERAL_NAME_EMAIL, "a@", PKI_E_INVALID},
        {GENERAL_NAME_EMAIL, "a@b@c", PKI_E_INVALID},
        {GENERAL_NAME_EMAIL, "a@*.b", PKI_E_INVALID},
        {GENERAL_NAME_URI, "https://a.example/x?y", PKI_OK},
        {GENERAL_NAME_URI, "urn:uuid:1", PKI_OK},
        {GENERAL_NAME_URI, "spiffe://td/x", PKI_OK},
        {GENERAL_NAME_URI, "a.example/x", PKI_E_INVALID},
        {GENERAL_NAME_URI, ":x", PKI_E_INVALID},
        {GENERAL_NAME_URI, "1a:x", PKI_E_INVALID},
        {GENERAL_NAME_URI, "http:", PKI_E_INVALID},
    };

    return cr_make_param_array(syntax_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(syntax_case_t *c, general_name, checks_the_syntax_of_names)
{
    general_name_t name = {.kind = c->kind, .value = bytes_str(c->value)};

    cr_expect_eq(general_name_check(&name, NULL), c->code, "%s", c->value);
}

Test(general_name, parses_the_kinds_and_keeps_their_octets)
{
    static const uint8_t san[] = {0x30, 0x1c, 0x82, 1,    'a',  0x87, 4,    192, 0,    2,    1, 0x88, 1, 0x2a,
                                  0xa4, 2,    0x30, 0x00, 0xa0, 8,    0x06, 1,   0x2a, 0xa0, 3, 0x0c, 1, 'u'};
    static const char *const texts[] = {"dns:a", "ip:192.0.2.1", "other:88012a",
                                        "dirname:", "other:a00806012aa0030c0175"};
    general_names_t          names;
    const char              *text;
    pki_err_t                err = {.text = ""};
    uint8_t                  copy[sizeof(san)];

    memcpy(copy, san, sizeof(san));
    copy[1] = sizeof(san) - 2;
    cr_assert_eq(general_names_parse(arena, BYTES_ARR(copy), &names, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(names.count, 5);
    for (size_t i = 0; i < names.count; i++) {
        cr_assert_eq(general_name_print(arena, &names.v[i], &text, NULL), PKI_OK);
        cr_expect_str_eq(text, texts[i]);
    }
    cr_expect_eq(names.v[1].kind, GENERAL_NAME_IP);
    cr_expect(bytes_eq(names.v[0].whole, BYTES_LIT("\x82\x01"
                                                   "a")));
}

Test(general_name, refuses_wrong_shapes)
{
    static const bytes_t wrong[] = {
        {(const uint8_t *) "\x30\x00", 2},
        {(const uint8_t *) "\x30\x02\x82\x00", 4},
        {(const uint8_t *) "\x30\x03\x82\x01\x20", 5},
        {(const uint8_t *) "\x30\x03\x82\x01\x80", 5},
        {(const uint8_t *) "\x30\x03\x0c\x01\x61", 5},
        {(const uint8_t *) "\x30\x03\xa2\x01\x61", 5},
        {(const uint8_t *) "\x30\x03\x89\x01\x61", 5},
        {(const uint8_t *) "\x30\x05\x87\x03\x01\x02\x03", 7},
        {(const uint8_t *) "\x30\x04\xa4\x02\x31\x00", 6},
        {(const uint8_t *) "\x30\x05\xa0\x03\x06\x01\x2a", 7},
        {(const uint8_t *) "\x30\x03\x82\x01\x61\x00", 6},
        {(const uint8_t *) "\x30\x03\x82\x02\x61", 5},
        {(const uint8_t *) "\x31\x03\x82\x01\x61", 5},
    };
    general_names_t names;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_expect_neq(general_names_parse(arena, wrong[i], &names, NULL), PKI_OK, "%zu", i);
    }
}

static general_names_t
names_of(const char *der, size_t len)
{
    general_names_t names;

    cr_assert_eq(general_names_parse(arena, bytes_of(der, len), &names, NULL), PKI_OK);
    return names;
}

Test(general_name, sets_are_equal_whatever_their_order)
{
    general_names_t ab = names_of("\x30\x06\x82\x01"
                                  "a\x82\x01"
                                  "b",
                                  8),
                    ba = names_of("\x30\x06\x82\x01"
                                  "b\x82\x01"
                                  "a",
                                  8);
    general_names_t a = names_of("\x30\x03\x82\x01"
                                 "a",
                                 5),
                    uri = names_of("\x30\x03\x86\x01"
                                   "a",
                                   5);
    general_names_t upper = names_of("\x30\x03\x82\x01"
                                     "A",
                                     5),
                    none = {NULL, 0};

    cr_expect(general_names_equal(&ab, &ba));
    cr_expect(general_names_equal(&none, &none));
    cr_expect_not(general_names_equal(&ab, &a));
    cr_expect_not(general_names_equal(&a, &ab));
    cr_expect_not(general_names_equal(&a, &uri));
    cr_expect_not(general_names_equal(&a, &upper));
    cr_expect_not(general_names_equal(&a, &none));
}
