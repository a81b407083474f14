/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * EST on the wire: paths, labels, media types, base64 bodies and Basic credentials.
 */
#include "pkiproto/est/transfer.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <ctype.h>

#include <openssl/evp.h>

#include "t/unit/pkiproto/vector.h"

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

TestSuite(transfer, .init = setup, .fini = teardown);

typedef struct {
    char path[48], label[16];
    int  op; /* -1: not found */
} path_case_t;

ParameterizedTestParameters(transfer, paths_are_an_operation_or_a_label_and_an_operation)
{
    static path_case_t cases[] = {
        { "/cacerts", "", EST_CACERTS },
        { "/simpleenroll", "", EST_SIMPLEENROLL },
        { "/simplereenroll", "", EST_SIMPLEREENROLL },
        { "/iot/simpleenroll", "iot", EST_SIMPLEENROLL },
        { "/a.b_c-D9/cacerts", "a.b_c-D9", EST_CACERTS },
        { "/%69ot/cacer%74s", "iot", EST_CACERTS },
        { "", "", -1 },
        { "/", "", -1 },
        { "//cacerts", "", -1 },
        { "cacerts", "", -1 },
        { "/cacerts/", "", -1 },
        { "/iot", "", -1 },
        { "/iot/", "", -1 },
        { "/iot/other", "", -1 },
        { "/iot/cacerts/x", "", -1 },
        { "/iot/cacerts/", "", -1 },
        { "/CACERTS", "", -1 },
        { "/../cacerts", "", -1 },
        { "/./cacerts", "", -1 },
        { "/%2e%2e/cacerts", "", -1 },
        { "/%2e/cacerts", "", -1 },
        { "/a%2fb/cacerts", "", -1 },
        { "/a%2Fcacerts", "", -1 },
        { "/a%00/cacerts", "", -1 },
        { "/%2569ot/cacerts", "", -1 },
        { "/%6/cacerts", "", -1 },
        { "/%", "", -1 },
        { "/%zz/cacerts", "", -1 },
        { "/a b/cacerts", "", -1 },
        { "/cacerts?x", "", -1 },
        { "/simpleenroll/simpleenroll", "", -1 },
        { "/fullcmc/cacerts", "", -1 },
        { "/serverkeygen", "", -1 },
    };

    return cr_make_param_array(path_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(path_case_t *c, transfer, paths_are_an_operation_or_a_label_and_an_operation)
{
    char     label[EST_LABEL_MAX + 1] = "untouched";
    est_op_t op = EST_OP_COUNT;

    cr_expect_eq(est_path_parse(bytes_str(c->path), label, &op, NULL), c->op < 0 ? PKI_E_NOT_FOUND : PKI_OK, "%s",
                 c->path);
    cr_expect_str_eq(label, c->label);
    cr_expect_eq(op, c->op < 0 ? EST_OP_COUNT : (est_op_t) c->op);
}

Test(transfer, labels_have_up_to_128_characters)
{
    char     path[EST_LABEL_MAX + 32], label[EST_LABEL_MAX + 1];
    est_op_t op;

    path[0] = '/';
    memset(path + 1, 'x', EST_LABEL_MAX + 1);
    memcpy(path + 1 + EST_LABEL_MAX, "/cacerts", 9);
    cr_expect_eq(est_path_parse(bytes_str(path), label, &op, NULL), PKI_OK);
    cr_expect_eq(strlen(label), EST_LABEL_MAX);
    memcpy(path + 1 + EST_LABEL_MAX, "x/cacerts", 10);
    cr_expect_eq(est_path_parse(bytes_str(path), label, &op, NULL), PKI_E_NOT_FOUND);
}

Test(transfer, an_operator_may_not_name_a_label_like_an_operation)
{
    static const char *const good[] = { "a", "iot-2026", "A.b_c" };
    static const char *const bad[] = { "",   "cacerts", "simpleenroll", "simplereenroll", "serverkeygen", "csrattrs",
                                       "..", ".",       "fullcmc",      "a/b",            "a b",          "a%20b",
                                       "caf\xc3\xa9" };

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        cr_expect_eq(est_label_check(good[i], NULL), PKI_OK, "%s", good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_expect_eq(est_label_check(bad[i], NULL), PKI_E_INVALID, "%s", bad[i]);
    }
}

Test(transfer, operations_have_the_types_that_clients_compare)
{
    cr_expect_str_eq(est_op_info(EST_CACERTS)->method, "GET");
    cr_expect_null(est_op_info(EST_CACERTS)->request_type);
    cr_expect_str_eq(est_op_info(EST_CACERTS)->response_type, "application/pkcs7-mime");
    cr_expect_str_eq(est_op_info(EST_SIMPLEENROLL)->method, "POST");
    cr_expect_str_eq(est_op_info(EST_SIMPLEENROLL)->request_type, "application/pkcs10");
    cr_expect_str_eq(est_op_info(EST_SIMPLEREENROLL)->response_type, "application/pkcs7-mime; smime-type=certs-only");
    cr_expect_null(est_op_info(EST_OP_COUNT));
}

Test(transfer, media_types_are_compared_without_case_and_parameters)
{
    cr_expect(media_type_is(BYTES_LIT("application/pkcs10"), "application/pkcs10"));
    cr_expect(media_type_is(BYTES_LIT(" Application/PKCS10 ; charset=utf-8"), "application/pkcs10"));
    cr_expect(media_type_is(BYTES_LIT("application/pkcs10;"), "application/pkcs10"));
    cr_expect_not(media_type_is(BYTES_LIT("application/pkcs10x"), "application/pkcs10"));
    cr_expect_not(media_type_is(BYTES_LIT("application/pkcs1"), "application/pkcs10"));
    cr_expect_not(media_type_is(BYTES_LIT(""), "application/pkcs10"));
    cr_expect_not(media_type_is(BYTES_NONE, "application/pkcs10"));
    cr_expect_not(media_type_is(BYTES_LIT("; application/pkcs10"), "application/pkcs10"));
}

typedef struct {
    char       body[80];
    pki_code_t code;
} body_case_t;

ParameterizedTestParameters(transfer, bodies_are_base64_of_one_element)
{
    static body_case_t cases[] = {
        { "MAMCAQU=", PKI_OK },
        { "MAMC\r\nAQU=\r\n", PKI_OK },
        { " MA\tMC AQ\nU =", PKI_OK },
        { "", PKI_E_PARSE },
        { "\r\n", PKI_E_PARSE },
        { "MAMCAQU", PKI_E_PARSE },
        { "MAMCAQU==", PKI_E_PARSE },
        { "MAMCAQV=", PKI_E_PARSE },
        { "MAMC-QU=", PKI_E_PARSE },
        { "MAMCAQU=MAMCAQU=", PKI_E_PARSE },
        { "MAMCAQUA", PKI_E_PARSE },
        { "MIACAQUAAA==", PKI_E_PARSE },
        { "-----BEGIN CERTIFICATE REQUEST-----\nMAMCAQU=", PKI_E_PARSE },
    };

    return cr_make_param_array(body_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(body_case_t *c, transfer, bodies_are_base64_of_one_element)
{
    bytes_t der;

    cr_assert_eq(est_body_decode(arena, bytes_str(c->body), &der, NULL), c->code, "%s", c->body);
    if (c->code == PKI_OK) {
        cr_expect(bytes_eq(der, BYTES_LIT("\x30\x03\x02\x01\x05")));
    }
}

Test(transfer, bodies_are_bounded)
{
    uint8_t *big = pki_alloc(arena, EST_BODY_MAX + 1);
    bytes_t  der;

    memset(big, 'A', EST_BODY_MAX + 1);
    cr_expect_eq(est_body_decode(arena, bytes_of(big, EST_BODY_MAX + 1), &der, NULL), PKI_E_TOO_LARGE);
}

Test(transfer, answers_are_wrapped_as_asked_and_decode_with_openssl)
{
    static const unsigned wraps[] = { 0, 4, 64, 76 };
    bytes_t               der = vector_read(arena, "cert/leaf.der");

    for (size_t i = 0; i < sizeof(wraps) / sizeof(wraps[0]); i++) {
        for (size_t len = 0; len < 150; len++) {
            uint8_t   decoded[256], flat[256];
            pki_buf_t out;
            size_t    n = 0, column = 0;
            int       got;

            pki_buf_init(&out, arena, 4096);
            cr_assert_eq(est_body_encode(bytes_of(der.p, len), wraps[i], &out, NULL), PKI_OK);
            for (size_t j = 0; j < out.len; j++) {
                if (out.p[j] == '\r') {
                    cr_assert(j + 1 < out.len && out.p[j + 1] == '\n' && column > 0);
                    column = 0;
                    j++;
                    continue;
                }
                cr_assert(isprint(out.p[j]));
                cr_assert(wraps[i] == 0 || ++column <= wraps[i]);
                flat[n++] = out.p[j];
            }
            cr_expect_eq(column, 0, "the last line ends in CRLF, too");
            got = EVP_DecodeBlock(decoded, flat, (int) n);
            cr_assert_eq((size_t) got, (len + 2) / 3 * 3);
            cr_expect(len == 0 || memcmp(decoded, der.p, len) == 0);
        }
    }
}

Test(transfer, encoding_into_too_little_room_fails)
{
    uint8_t   room[8];
    pki_buf_t out;

    pki_buf_fixed(&out, room, sizeof(room));
    cr_expect_eq(est_body_encode(BYTES_LIT("123456"), 0, &out, NULL), PKI_E_TOO_LARGE);
    pki_buf_fixed(&out, room, sizeof(room));
    cr_expect_eq(est_body_encode(BYTES_LIT("123456"), 4, &out, NULL), PKI_E_TOO_LARGE);
}

typedef struct {
    char header[64], user[24], password[24];
    bool ok;
} basic_case_t;

ParameterizedTestParameters(transfer, basic_credentials)
{
    static basic_case_t cases[] = {
        { "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame", true }, /* RFC 7617 section 2 */
        { "bAsIc   QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame", true },
        { "Basic dGVzdDoxMjPCow==", "test", "123\xc2\xa3", true }, /* RFC 7617 section 2.1 */
        { "Basic Og==", "", "", true },
        { "Basic OnB3", "", "pw", true },
        { "Basic YTpiOmM=", "a", "b:c", true },
        { "Basic YQ==", "", "", false },
        { "Basic ", "", "", false },
        { "Basic", "", "", false },
        { "", "", "", false },
        { "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "", "", false },
        { "BasicQWxhZGRpbjpvcGVuIHNlc2FtZQ==", "", "", false },
        { "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ", "", "", false },
        { "Basic YTpi YTpi", "", "", false },
        { "Basic YQA6Yg==", "", "", false },
        { "Basic YTpiCg==", "", "", false },
        { "Basic YTr/", "", "", false },
    };

    return cr_make_param_array(basic_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(basic_case_t *c, transfer, basic_credentials)
{
    bytes_t    user = BYTES_NONE, password = BYTES_NONE;
    pki_code_t rc = basic_parse(arena, bytes_str(c->header), &user, &password, NULL);

    cr_assert_eq(rc, c->ok ? PKI_OK : PKI_E_UNAUTHENTICATED, "%s", c->header);
    cr_expect(bytes_eq(user, bytes_str(c->user)));
    cr_expect(bytes_eq(password, bytes_str(c->password)));
}
