/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Words as values: what is taken, what is refused, and what JSON comes of it.
 */
#include "cli/value.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdlib.h>

#include "core/clock.h"

typedef struct {
    char         schema[160];
    value_kind_t kind;
    char         words[3][48];
    char         wanted[160]; /* "": refused */
} value_case_t;

ParameterizedTestParameters(value, is_what_the_schema_says)
{
    static value_case_t cases[] = {
        { "{}", VALUE_TEXT, { "a b" }, "\"a b\"" },
        { "{}", VALUE_TEXT, { "a", "b" }, "\"b\"" },
        { "{}", VALUE_TEXT, { "@@x" }, "\"@x\"" },
        { "{}", VALUE_TEXT, { "@/nowhere/at/all" }, "" },
        { "{\"enum\": [\"red\", \"blue\"]}", VALUE_TEXT, { "blue" }, "\"blue\"" },
        { "{\"enum\": [\"red\", \"blue\"]}", VALUE_TEXT, { "green" }, "" },
        { "{}", VALUE_INT, { "-7" }, "-7" },
        { "{}", VALUE_INT, { "7x" }, "" },
        { "{}", VALUE_INT, { "99999999999999999999" }, "" },
        { "{\"minimum\": 1, \"maximum\": 9}", VALUE_INT, { "9" }, "9" },
        { "{\"minimum\": 1, \"maximum\": 9}", VALUE_INT, { "10" }, "" },
        { "{\"minimum\": 1, \"maximum\": 9}", VALUE_INT, { "0" }, "" },
        { "{}", VALUE_BOOL, { "yes" }, "true" },
        { "{}", VALUE_BOOL, { "false" }, "false" },
        { "{}", VALUE_BOOL, { "maybe" }, "" },
        { "{}", VALUE_TIME, { "2027-01-31" }, "\"2027-01-31T00:00:00Z\"" },
        { "{}", VALUE_TIME, { "2027-01-31T10:00:00+02:00" }, "\"2027-01-31T10:00:00+02:00\"" },
        { "{}", VALUE_TIME, { "2027-02-31" }, "" },
        { "{}", VALUE_TIME, { "+5x" }, "" },
        { "{\"items\": {\"type\": \"string\"}}", VALUE_LIST, { "a", "b" }, "[\"a\",\"b\"]" },
        { "{\"items\": {\"type\": \"string\"}}", VALUE_LIST, { "a", "[\"b\", \"c\"]" }, "[\"a\",\"b\",\"c\"]" },
        { "{\"items\": {\"type\": \"integer\"}}", VALUE_LIST, { "1", "x" }, "" },
        { "{\"items\": {\"enum\": [\"a\"]}}", VALUE_LIST, { "b" }, "" },
        { "{\"properties\": {\"n\": {\"type\": \"integer\"}, \"s\": {}}}", VALUE_OBJECT, { "n=5", "s=5" }, "{\"n\":5,\"s\":\"5\"}" },
        { "{\"properties\": {\"l\": {\"type\": \"array\"}}}", VALUE_OBJECT, { "l=a", "l=b" }, "{\"l\":[\"a\",\"b\"]}" },
        { "{\"anyOf\": [{\"properties\": {\"b\": {\"type\": \"boolean\"}}}]}", VALUE_OBJECT, { "b=true" }, "{\"b\":true}" },
        { "{}", VALUE_OBJECT, { "{\"a\": {\"b\": 1}}", "c=d" }, "{\"a\":{\"b\":1},\"c\":\"d\"}" },
        { "{}", VALUE_OBJECT, { "no pair" }, "" },
        { "{}", VALUE_OBJECT, { "{broken" }, "" },
        { "{}", VALUE_OBJECTS, { "{\"a\": 1}", "{\"a\": 2}" }, "[{\"a\":1},{\"a\":2}]" },
    };

    return cr_make_param_array(value_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(value_case_t *c, value, is_what_the_schema_says)
{
    pki_arena_t *arena = pki_arena_new(0);
    json_t      *schema, *into = NULL;
    pki_err_t    err = { 0 };
    pki_code_t   code = PKI_OK;

    cr_assert_eq(json_parse(bytes_str(c->schema), &schema, &err), PKI_OK, "%s", err.text);
    param_t p = { .kind = c->kind, .schema = schema };
    for (size_t i = 0; i < 3 && c->words[i][0] != '\0' && code == PKI_OK; i++) {
        code = value_put(arena, NULL, &p, c->words[i], &into, &err);
    }
    if (c->wanted[0] == '\0') {
        cr_expect_neq(code, PKI_OK, "%s", c->words[0]);
        cr_expect_gt(strlen(err.text), 0, "says what would be right");
    } else {
        char *text = json_dumps(into, JSON_COMPACT | JSON_ENCODE_ANY);

        cr_assert_eq(code, PKI_OK, "%s: %s", c->words[0], err.text);
        cr_expect_str_eq(text, c->wanted);
        free(text);
    }
    json_decref(into);
    json_decref(schema);
    pki_arena_free(arena);
}

Test(value, of_a_time_may_be_a_distance_from_now)
{
    json_t   *into = NULL;
    param_t   p = { .kind = VALUE_TIME };
    pki_err_t err = { 0 };

    clock_shift(1900000000 - clock_now()); /* 2030-03-17T17:46:40Z */
    cr_assert_eq(value_put(NULL, NULL, &p, "+30d", &into, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(strncmp(json_string_value(into), "2030-04-16T17:46:4", 18), 0, "%s", json_string_value(into));
    cr_assert_eq(value_put(NULL, NULL, &p, "-1h", &into, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(strncmp(json_string_value(into), "2030-03-17T16:46:4", 18), 0, "%s", json_string_value(into));
    json_decref(into);
}
