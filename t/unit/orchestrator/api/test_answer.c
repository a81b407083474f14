/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Request ids and the readable ids of new things.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>

#include "orchestrator/api/request.h"

typedef struct {
    char given[80], name[80], want[80]; /* given "-": none; want "": a problem */
} id_case_t;

ParameterizedTestParameters(answer, ids_are_given_or_made_of_the_name)
{
    static id_case_t cases[] = {
        { "-", "Web servers", "prof-web-servers" },
        { "-", "  Ünï -- code 9!", "prof-n-code-9" },
        { "-", "***", "" },
        { "-", "a", "prof-a" },
        { "-", "0123456789012345678901234567890123456789012345678901234567890123456789",
          "prof-012345678901234567890123456789012345678901234567890123456" },
        { "prof-x", "anything", "prof-x" },
        { "prof-x-9", "anything", "prof-x-9" },
        { "prof-", "anything", "" },
        { "prof--x", "anything", "" },
        { "prof-X", "anything", "" },
        { "prof-a b", "anything", "" },
        { "est-x", "anything", "" },
        { "", "anything", "" },
        { "prof-0123456789012345678901234567890123456789012345678901234567", "anything", "" },
    };
    return cr_make_param_array(id_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(id_case_t *c, answer, ids_are_given_or_made_of_the_name)
{
    req_t       r = { .a = pki_arena_new(0) };
    const char *id = id_choose(&r, "prof", strcmp(c->given, "-") == 0 ? NULL : c->given, c->name);

    if (c->want[0] == '\0') {
        cr_expect_eq(r.problems.count, 1, "\"%s\" \"%s\"", c->given, c->name);
        cr_expect_str_eq(r.problems.item[0].field, "id");
        cr_expect_eq(check_done(&r, NULL), PKI_E_INVALID);
    } else {
        cr_expect_eq(check_done(&r, NULL), PKI_OK);
        cr_expect_str_eq(id, c->want);
        cr_expect_str_eq(r.resource, c->want);
    }
    pki_arena_free(r.a);
}

typedef struct {
    char id[80];
    bool valid;
} request_case_t;

ParameterizedTestParameters(answer, request_ids_of_others_are_taken_when_harmless)
{
    static request_case_t cases[] = {
        { "a", true },
        { "0af7651916cd43dd8448eb211c80319c", true },
        { "A.b_c-9", true },
        { "", false },
        { "a b", false },
        { "a\"b", false },
        { "a\nb", false },
        { "0123456789012345678901234567890123456789012345678901234567890123", true },
        { "01234567890123456789012345678901234567890123456789012345678901234", false },
    };
    return cr_make_param_array(request_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(request_case_t *c, answer, request_ids_of_others_are_taken_when_harmless)
{
    cr_expect_eq(request_id_valid(c->id), c->valid, "%s", c->id);
}

Test(answer, more_problems_than_fit_are_counted)
{
    req_t r = { .a = pki_arena_new(0) };

    for (size_t i = 0; i < 40; i++) {
        check_problem(&r, "field", "problem %zu", i);
    }
    cr_expect_eq(r.problems.count, 32);
    cr_expect_eq(r.problems.more, 8);
    pki_arena_free(r.a);
}
