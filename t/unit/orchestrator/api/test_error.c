/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The error body.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "orchestrator/api/error.h"

static pki_arena_t *a;

static void
setup(void)
{
    a = pki_arena_new(0);
}

static void
teardown(void)
{
    pki_arena_free(a);
}

TestSuite(error, .init = setup, .fini = teardown);

static json_t *
body_of(pki_code_t code, const pki_err_t *err, const field_problems_t *problems)
{
    bytes_t body = error_body(a, code, err, "req-1", problems);
    json_t *out = json_loadb((const char *) body.p, body.len, JSON_REJECT_DUPLICATES, NULL);

    cr_assert_not_null(out, "the body is JSON");
    return out;
}

Test(error, names_code_message_clause_and_request)
{
    pki_err_t   err = { 0 };
    const char *code, *message, *clause, *id;
    json_t     *fields;

    (void) pki_fail(&err, PKI_E_NOT_FOUND, "RFC 1 2", "no such \"thing\"");
    JSON_AUTO body = body_of(PKI_E_NOT_FOUND, &err, NULL);

    cr_assert_eq(json_unpack_ex(body, NULL, JSON_STRICT, "{s{ss ss ss ss so}}", "error", "code", &code, "message",
                                &message, "request_id", &id, "clause", &clause, "fields", &fields), 0);
    cr_expect_str_eq(code, "not_found");
    cr_expect_str_eq(message, "no such \"thing\"");
    cr_expect_str_eq(clause, "RFC 1 2");
    cr_expect_str_eq(id, "req-1");
    cr_expect_eq(json_array_size(fields), 0);
}

Test(error, lists_every_wrong_field_and_counts_the_rest)
{
    field_problems_t problems = { .count = 2, .more = 3 };
    pki_err_t        err = { 0 };
    const char      *field, *text;

    problems.item[0].field = "name";
    problems.item[0].text = "is missing";
    problems.item[1].field = "wrap";
    problems.item[1].text = "must be an integer";
    (void) pki_fail(&err, PKI_E_INVALID, NULL, "name: is missing");
    JSON_AUTO body = body_of(PKI_E_INVALID, &err, &problems);
    json_t   *fields = json_object_get(json_object_get(body, "error"), "fields");

    cr_assert_eq(json_array_size(fields), 3);
    cr_assert_eq(json_unpack(json_array_get(fields, 1), "{ssss}", "field", &field, "text", &text), 0);
    cr_expect_str_eq(field, "wrap");
    cr_expect_str_eq(text, "must be an integer");
    cr_assert_eq(json_unpack(json_array_get(fields, 2), "{ssss}", "field", &field, "text", &text), 0);
    cr_expect_not_null(strstr(text, "3 more"));
}

Test(error, keeps_to_itself_what_went_wrong_inside)
{
    static const pki_code_t inside[] = { PKI_E_INTERNAL, PKI_E_CRYPTO, PKI_E_IO, PKI_E_CONFIG };

    for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
        pki_err_t err = { 0 };

        (void) pki_fail(&err, inside[i], NULL, "/secret/path: password=hunter2");
        bytes_t body = error_body(a, inside[i], &err, "req-1", NULL);

        cr_expect_null(memmem(body.p, body.len, "hunter2", 7));
        cr_expect_null(memmem(body.p, body.len, "/secret", 7));
    }
}

Test(error, a_text_that_is_not_utf8_does_not_lose_the_answer)
{
    pki_err_t err = { 0 };

    (void) pki_fail(&err, PKI_E_INVALID, NULL, "cut here: \xc3");
    JSON_AUTO body = body_of(PKI_E_INVALID, &err, NULL);

    cr_expect_str_eq(json_string_value(json_object_get(json_object_get(body, "error"), "message")),
                     pki_code_text(PKI_E_INVALID));
}

Test(error, every_code_has_a_name_in_lower_case)
{
    char name[ERROR_NAME_MAX];

    for (int code = 1; code < PKI_E_COUNT_; code++) {
        error_name((pki_code_t) code, name);
        cr_expect_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name), "%s", name);
        cr_expect_gt(strlen(name), 1);
    }
}
