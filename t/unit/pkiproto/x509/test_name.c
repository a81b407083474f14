/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Distinguished names: OpenSSL builds and prints the same ones.
 */
#include "pkiproto/x509/name.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "pkiproto/base/ossl.h"

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

TestSuite(name, .init = setup, .fini = teardown);

/* A Name with one attribute, as OpenSSL encodes it. */
static bytes_t
name_of(X509_NAME *name)
{
    uint8_t *der = NULL;
    int      n = i2d_X509_NAME(name, &der);
    bytes_t  out;

    cr_assert_gt(n, 0);
    cr_assert_eq(pki_bytes_dup(arena, bytes_of(der, (size_t) n), &out, NULL), PKI_OK);
    OPENSSL_free(der);
    return out;
}

static bytes_t
name_one(const char *field, int type, const char *value, int len)
{
    X509_NAME *name = X509_NAME_new();
    bytes_t    out;

    cr_assert_eq(X509_NAME_add_entry_by_txt(name, field, type, (const uint8_t *) value, len, -1, 0), 1,
                 "%s=%s", field, value);
    out = name_of(name);
    X509_NAME_free(name);
    return out;
}

/* RFC 4514 by OpenSSL; characters beyond ASCII as they are. */
static const char *
openssl_print(bytes_t der)
{
    const uint8_t *p = der.p;
    X509_NAME     *name = d2i_X509_NAME(NULL, &p, (long) der.len);
    char          *text, *out;
    long           len;

    PKI_AUTO(BIO) bio = BIO_new(BIO_s_mem());
    cr_assert_not_null(name);
    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
    len = BIO_get_mem_data(bio, &text);
    out = pki_strndup(arena, text, (size_t) len);
    X509_NAME_free(name);
    return out;
}

typedef struct {
    char field[24], value[40];
    int  type;
} print_case_t;

ParameterizedTestParameters(name, prints_as_openssl_does)
{
    static print_case_t cases[] = {
        {"CN", "host.example", MBSTRING_UTF8},
        {"CN", "a,b+c\"d\\e<f>g;h", MBSTRING_UTF8},
        {"CN", "#hash", MBSTRING_UTF8},
        {"CN", " lead and trail ", MBSTRING_UTF8},
        {"CN", " ", MBSTRING_UTF8},
        {"CN", "x = y", MBSTRING_UTF8},
        {"CN", "tab\tnewline\n", V_ASN1_UTF8STRING},
        {"CN", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", V_ASN1_UTF8STRING},
        {"O", "caf\xe9", V_ASN1_T61STRING},
        {"OU", "\x01\x00\x20\xac", V_ASN1_BMPSTRING},
        {"C", "GB", MBSTRING_ASC},
        {"L", "l", MBSTRING_ASC},
        {"ST", "st", MBSTRING_ASC},
        {"street", "1 High Street", MBSTRING_ASC},
        {"serialNumber", "0042", MBSTRING_ASC},
        {"SN", "sur", MBSTRING_ASC},
        {"GN", "given", MBSTRING_ASC},
        {"title", "dr", MBSTRING_ASC},
        {"DC", "example", V_ASN1_IA5STRING},
        {"UID", "u1", MBSTRING_ASC},
        {"emailAddress", "a@b.example", V_ASN1_IA5STRING},
        {"organizationIdentifier", "x", MBSTRING_ASC},
        {"unstructuredName", "router.example", MBSTRING_ASC},
        {"1.3.6.1.4.1.99999.7", "odd", V_ASN1_UTF8STRING},
    };

    memcpy(cases[9].value, "\x01\x00\x20\xac", 4);
    return cr_make_param_array(print_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(print_case_t *c, name, prints_as_openssl_does)
{
    bytes_t     der = name_one(c->field, c->type, c->value, c->type == V_ASN1_BMPSTRING ? 4 : -1);
    const char *text = NULL;

    cr_assert_eq(name_print(arena, der, &text, NULL), PKI_OK);
    cr_expect_str_eq(text, openssl_print(der));
}

Test(name, prints_the_most_specific_rdn_first)
{
    X509_NAME  *name = X509_NAME_new();
    const char *text;
    bytes_t     der;

    X509_NAME_add_entry_by_txt(name, "C", MBSTRING_ASC, (const uint8_t *) "GB", -1, -1, 0);
    X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const uint8_t *) "Example", -1, -1, 0);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *) "host", -1, -1, 0);
    der = name_of(name);
    cr_assert_eq(name_print(arena, der, &text, NULL), PKI_OK);
    cr_expect_str_eq(text, "CN=host,O=Example,C=GB");
    cr_expect_str_eq(text, openssl_print(der));
    X509_NAME_free(name);
}

Test(name, shows_what_would_turn_or_hide_text_as_hexadecimal)
{
    bytes_t     der = name_one("CN", V_ASN1_UTF8STRING,
                               "a\xe2\x80\xae"
                                   "b\xc2\x85"
                                   "c\x7f",
                               -1);
    const char *text;

    cr_assert_eq(name_print(arena, der, &text, NULL), PKI_OK);
    cr_expect_str_eq(text, "CN=a\\E2\\80\\AEb\\C2\\85c\\7F");
}

Test(name, prints_a_nul_as_hexadecimal)
{
    const char *text;

    cr_assert_eq(name_print(arena, name_one("CN", V_ASN1_UTF8STRING, "a\0b", 3), &text, NULL), PKI_OK);
    cr_expect_str_eq(text, "CN=a\\00b");
}

Test(name, prints_an_empty_name_as_nothing)
{
    const char *text;

    cr_assert_eq(name_print(arena, BYTES_LIT("\x30\x00"), &text, NULL), PKI_OK);
    cr_expect_str_eq(text, "");
    cr_expect_eq(name_check(BYTES_LIT("\x30\x00"), NULL), PKI_OK);
}

typedef struct {
    uint8_t    attribute, tag; /* last octet of 2.5.4.x; string type */
    char       value[80];
    int        len; /* -1: to the NUL */
    pki_code_t code;
} check_case_t;

#define CN 3
#define C 6
#define L 7
#define OU 11
#define SIXTY_FOUR "0123456789012345678901234567890123456789012345678901234567890123"

ParameterizedTestParameters(name, checks_lengths_and_characters)
{
    static check_case_t cases[] = {
        {CN, V_ASN1_UTF8STRING, "ok", -1, PKI_OK},
        {CN, V_ASN1_T61STRING, "ok", -1, PKI_OK},
        {CN, V_ASN1_BMPSTRING, "\x20\xac", 2, PKI_OK},
        {CN, V_ASN1_UTF8STRING, "", 0, PKI_E_INVALID},
        {CN, V_ASN1_UTF8STRING, "a\0b", 3, PKI_E_INVALID},
        {CN, V_ASN1_BMPSTRING, "\0\0", 2, PKI_E_INVALID},
        {CN, V_ASN1_PRINTABLESTRING, "a\x1f", -1, PKI_E_INVALID},
        {CN, V_ASN1_PRINTABLESTRING, "under_score", -1, PKI_E_INVALID},
        {CN, V_ASN1_IA5STRING, "\xe9", -1, PKI_E_INVALID},
        {CN, V_ASN1_UTF8STRING, "\xed\xa0\x80", -1, PKI_E_INVALID},
        {CN, V_ASN1_UTF8STRING, "\xf4\x90\x80\x80", -1, PKI_E_INVALID},
        {CN, V_ASN1_UTF8STRING, "\xe0\x80\xaf", -1, PKI_E_INVALID},
        {CN, V_ASN1_UTF8STRING, "\xc3", -1, PKI_E_INVALID},
        {CN, V_ASN1_BMPSTRING, "\xd8\x00\xdc\x00", 4, PKI_E_INVALID},
        {CN, V_ASN1_BMPSTRING, "abc", 3, PKI_E_INVALID},
        {CN, V_ASN1_BIT_STRING, "x", -1, PKI_E_INVALID},
        {CN, V_ASN1_UNIVERSALSTRING, "\0\0\0x", 4, PKI_E_INVALID},
        {C, V_ASN1_PRINTABLESTRING, "G", -1, PKI_E_INVALID},
        {C, V_ASN1_PRINTABLESTRING, "GB", -1, PKI_OK},
        {OU, V_ASN1_UTF8STRING, SIXTY_FOUR, -1, PKI_OK},
        {OU, V_ASN1_UTF8STRING, SIXTY_FOUR "4", -1, PKI_E_INVALID},
        {L, V_ASN1_UTF8STRING, SIXTY_FOUR "4", -1, PKI_OK},
    };

    return cr_make_param_array(check_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

/* Put together by hand, since OpenSSL does not write all of these. */
ParameterizedTest(check_case_t *c, name, checks_lengths_and_characters)
{
    uint8_t len = (uint8_t) (c->len >= 0 ? (size_t) c->len : strlen(c->value));
    uint8_t der[128] = {0x30,         (uint8_t) (len + 11),
                        0x31,         (uint8_t) (len + 9),
                        0x30,         (uint8_t) (len + 7),
                        0x06,         3,
                        0x55,         4,
                        c->attribute, c->tag,
                        len};

    memcpy(der + 13, c->value, len);
    cr_expect_eq(name_check(bytes_of(der, len + 13u), NULL), c->code, "%s", c->value);
}

Test(name, refuses_malformed_der)
{
    static const bytes_t names[] = {
        {(const uint8_t *) "", 0},
        {(const uint8_t *) "\x30\x02\x31\x00", 4},                                      /* empty RDN */
        {(const uint8_t *) "\x30\x02\x30\x00", 4},                                      /* no SET */
        {(const uint8_t *) "\x30\x00\x00", 3},                                          /* trailing */
        {(const uint8_t *) "\x30\x0b\x31\x09\x30\x07\x06\x03\x55\x04\x03\x0c\x01", 13}, /* cut off */
        {(const uint8_t *) "\x30\x09\x31\x07\x30\x05\x06\x03\x55\x04\x03", 11},         /* no value */
        {(const uint8_t *) "\x30\x09\x31\x07\x30\x05\x06\x00\x0c\x01\x61", 11},         /* empty type */
    };
    const char *text;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        cr_expect_eq(name_check(names[i], NULL), PKI_E_PARSE, "%zu", i);
        if (i != 1) {
            cr_expect_neq(name_print(arena, names[i], &text, NULL), PKI_OK, "%zu", i);
        }
    }
}

Test(name, finds_the_first_common_name)
{
    const char *cn;
    bytes_t     der;

    cr_assert_eq(name_build(arena, "CN=second,CN=first,O=o", &der, NULL), PKI_OK);
    cr_assert_eq(name_common_name(arena, der, &cn, NULL), PKI_OK);
    cr_expect_str_eq(cn, "first");
    cr_assert_eq(name_common_name(arena, name_one("CN", V_ASN1_T61STRING, "caf\xe9", -1), &cn, NULL), PKI_OK);
    cr_expect_str_eq(cn, "caf\xc3\xa9");
    cr_assert_eq(name_common_name(arena, name_one("O", MBSTRING_ASC, "o", -1), &cn, NULL), PKI_OK);
    cr_expect_null(cn);
}

typedef struct {
    char text[80], printed[80];
} build_case_t;

/* OpenSSL prints them as text, of which the same value cannot be built. */
Test(name, prints_octets_where_no_text_builds_the_value)
{
    static const char *const names[] = { "serialNumber=#0C0122", "emailAddress=#0C02C3A9", "C=#0C03C3A961" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        bytes_t     der;
        const char *text;

        cr_assert_eq(name_build(arena, names[i], &der, NULL), PKI_OK, "%s", names[i]);
        cr_assert_eq(name_print(arena, der, &text, NULL), PKI_OK, "%s", names[i]);
        cr_expect_str_eq(text, names[i]);
    }
}

ParameterizedTestParameters(name, builds_what_openssl_reads)
{
    static build_case_t cases[] = {
        {"CN=Issuing CA,O=Example,C=GB", "CN=Issuing CA,O=Example,C=GB"},
        {"  cn = Issuing CA , o=Example ; c=GB", "CN=Issuing CA,O=Example,C=GB"},
        {"C=GB,O=Example,CN=x", "C=GB,O=Example,CN=x"},
        {"2.5.4.3=dotted", "CN=dotted"},
        {"CN=a\\,b\\2Bc\\\\", "CN=a\\,b\\+c\\\\"},
        {"CN=\\ x\\ ", "CN=\\ x\\ "},
        {"CN=\\#1", "CN=\\#1"},
        {"CN=#0C0161", "CN=a"},
        {"serialNumber=#0C0161", "serialNumber=a"},
        {"CN=a=b", "CN=a=b"},
        {"CN=caf\\C3\\A9", "CN=caf\xc3\xa9"},
        {"DC=ca,DC=example", "DC=ca,DC=example"},
        {"1.3.6.1.4.1.99999.70000=z", "1.3.6.1.4.1.99999.70000=#0C017A"},
        {"", ""},
    };

    return cr_make_param_array(build_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(build_case_t *c, name, builds_what_openssl_reads)
{
    pki_err_t err = {.text = ""};
    bytes_t   der;

    cr_assert_eq(name_build(arena, c->text, &der, &err), PKI_OK, "%s: %s", c->text, err.text);
    cr_expect_str_eq(openssl_print(der), c->printed);
}

Test(name, builds_the_string_types_of_rfc_5280)
{
    bytes_t der;

    cr_assert_eq(name_build(arena, "CN=a,C=GB", &der, NULL), PKI_OK);
    cr_expect(bytes_eq(der, BYTES_LIT("\x30\x19\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02GB"
                                      "\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01"
                                      "a")));
}

Test(name, refuses_text_that_is_no_name)
{
    static const char *const texts[] = {
        "CN",     "=x",      "nonsense=x", "CN=a,",    "CN=",    "CN=a+O=b", "CN=a\"b",
        "CN=a\\", "CN=a\\q", "CN=#zz",     "CN=#0C05", "1=x",    "3.1=x",    "1.40=x",
        "1..2=x", "C=GBR",   "CN=a\\00b",  "CN=a\nb",  "CN=<x>", ",",        "DC=caf\xc3\xa9",
    };
    bytes_t der;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cr_expect_neq(name_build(arena, texts[i], &der, NULL), PKI_OK, "%s", texts[i]);
    }
}
