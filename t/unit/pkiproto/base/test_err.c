/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The error record, and the table that errors.inc makes.
 */
#include "pkiproto/base/err.h"

#include <criterion/criterion.h>
#include <string.h>

#include <openssl/err.h>

Test(err, every_code_has_a_name_a_text_and_a_sensible_status)
{
    for (int i = PKI_OK + 1; i < PKI_E_COUNT_; i++) {
        pki_code_t code = (pki_code_t) i;

        cr_expect_neq(pki_code_name(code)[0], '\0');
        cr_expect_neq(pki_code_text(code)[0], '\0');
        cr_expect_neq(pki_code_acme(code)[0], '\0');
        cr_expect(pki_code_http(code) >= 400 && pki_code_http(code) <= 599);
        for (int j = i + 1; j < PKI_E_COUNT_; j++) {
            cr_expect_str_neq(pki_code_name(code), pki_code_name((pki_code_t) j));
        }
    }
    cr_expect(pki_code_retryable(PKI_E_UNAVAILABLE));
    cr_expect_not(pki_code_retryable(PKI_E_PARSE));
    cr_expect_str_eq(pki_code_name((pki_code_t) 9999), "INTERNAL");
    cr_expect_eq(pki_code_http((pki_code_t) -1), 500);
}

Test(err, failing_records_where_why_and_the_clause)
{
    pki_err_t err;

    cr_expect_eq(pki_fail(&err, PKI_E_PARSE, "RFC 1 2", "%d apples", 3), PKI_E_PARSE);
    cr_expect_eq(err.code, PKI_E_PARSE);
    cr_expect_str_eq(err.clause, "RFC 1 2");
    cr_expect_str_eq(err.text, "3 apples");
    cr_expect_not_null(strstr(err.file, "test_err.c"));
    cr_expect_gt(err.line, 0);
    cr_expect_eq(err.ossl, 0);
    cr_expect_eq(pki_fail(NULL, PKI_E_PARSE, NULL, "nobody listens"), PKI_E_PARSE);
}

Test(err, failing_keeps_the_first_openssl_error_and_drains_the_queue)
{
    pki_err_t err;

    ERR_raise(ERR_LIB_USER, 1);
    ERR_raise(ERR_LIB_USER, 2);
    pki_fail(&err, PKI_E_CRYPTO, NULL, "x");
    cr_expect_eq(ERR_GET_REASON(err.ossl), 1);
    cr_expect_eq(ERR_peek_error(), 0);
}

Test(err, context_goes_in_front_and_what_does_not_fit_is_cut_off)
{
    pki_err_t err;
    char      big[500];

    pki_fail(&err, PKI_E_IO, NULL, "no such file");
    cr_expect_eq(pki_err_context(&err, "issuer %s", "iss-local"), PKI_E_IO);
    cr_expect_str_eq(err.text, "issuer iss-local: no such file");
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    for (size_t len = sizeof(err.text) - 30; len <= sizeof(err.text) + 5; len++) {
        pki_fail(&err, PKI_E_IO, NULL, "no such file");
        pki_err_context(&err, "%.*s", (int) len, big);
        cr_expect_lt(strnlen(err.text, sizeof(err.text)), sizeof(err.text), "%zu", len);
        cr_expect_eq(err.text[0], 'x');
    }
    cr_expect_eq(pki_err_context(NULL, "x"), PKI_E_INTERNAL);
}

static pki_code_t
try_it(pki_code_t code, int *after)
{
    PKI_TRY(code);
    *after = 1;
    return PKI_OK;
}

Test(err, try_returns_upward_on_failure_only)
{
    int after = 0;

    cr_expect_eq(try_it(PKI_E_IO, &after), PKI_E_IO);
    cr_expect_eq(after, 0);
    cr_expect_eq(try_it(PKI_OK, &after), PKI_OK);
    cr_expect_eq(after, 1);
}
