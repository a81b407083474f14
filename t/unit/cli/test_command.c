/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The rule of names, on a small document and on the API's.
 */
#include "cli/command.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

static pki_arena_t   *arena;
static json_t        *document;
static command_list_t list;
static pki_err_t      err;

static const char small[] =
    "{\"paths\": {"
    "\"/api/v1/things\": {\"get\": {\"operationId\": \"thing_list\", \"tags\": [\"thing\"], \"summary\": \"List\","
    "  \"parameters\": [{\"name\": \"limit\", \"in\": \"query\", \"schema\": {\"type\": \"integer\"}},"
    "                   {\"name\": \"cursor\", \"in\": \"query\", \"schema\": {\"type\": \"string\"}}],"
    "  \"responses\": {\"200\": {\"content\": {\"application/json\": {\"schema\": {\"properties\": {"
    "     \"data\": {\"type\": \"array\", \"items\": {\"$ref\": \"#/components/schemas/Thing\"}}, \"next_cursor\": {}}}}}}}}},"
    "\"/api/v1/things/{id}\": {\"parameters\": [{\"name\": \"id\", \"in\": \"path\", \"required\": true, \"schema\": {\"type\": \"string\"}}],"
    "  \"get\": {\"operationId\": \"thing_read\", \"tags\": [\"thing\"]},"
    "  \"delete\": {\"operationId\": \"thing_delete\", \"tags\": [\"thing\"], \"responses\": {\"204\": {}}}},"
    "\"/api/v1/things/{id}/parts/{part_id}\": {\"get\": {\"operationId\": \"thing_part\", \"tags\": [\"thing\"],"
    "  \"parameters\": [{\"name\": \"id\", \"in\": \"path\", \"required\": true}, {\"name\": \"part_id\", \"in\": \"path\", \"required\": true}]}},"
    "\"/api/v1/things/bulk-break\": {\"post\": {\"operationId\": \"thing_break_many\", \"tags\": [\"thing\"],"
    "  \"requestBody\": {\"content\": {\"application/json\": {\"schema\": {\"$ref\": \"#/components/schemas/Break\"}}}},"
    "  \"responses\": {\"202\": {\"content\": {\"application/json\": {\"schema\": {\"type\": \"object\", \"properties\": {\"id\": {}}}}}}}}},"
    "\"/api/v1/auth/login\": {\"post\": {\"operationId\": \"session_create\", \"tags\": [\"session\"]}},"
    "\"/api/v1/auth/sessions\": {\"get\": {\"operationId\": \"session_list\", \"tags\": [\"session\"]}},"
    "\"/api/v1/stats/summary\": {\"get\": {\"operationId\": \"stats_summary\", \"tags\": [\"stats\"]}},"
    "\"/api/v1/stats/trend\": {\"get\": {\"operationId\": \"stats_trend\", \"tags\": [\"stats\"]}},"
    "\"/pulse\": {\"get\": {\"operationId\": \"pulse_read\", \"tags\": [\"pulse\"]}}},"
    "\"components\": {\"schemas\": {\"Thing\": {\"type\": \"object\", \"properties\": {\"id\": {\"type\": \"string\"}}},"
    "\"Break\": {\"type\": \"object\", \"required\": [\"why\"], \"properties\": {\"why\": {\"type\": \"string\"},"
    "  \"thing_ids\": {\"type\": \"array\", \"items\": {\"type\": \"string\"}}, \"deep\": {\"type\": \"boolean\"}}}}}}";

static void
build(bytes_t text)
{
    arena = pki_arena_new(0);
    cr_assert_eq(json_parse(text, &document, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(command_list_build(arena, document, &list, &err), PKI_OK, "%s", err.text);
}

static void
setup_small(void)
{
    build(BYTES_LIT(small));
}

static void
teardown(void)
{
    json_decref(document);
    pki_arena_free(arena);
}

TestSuite(command, .init = setup_small, .fini = teardown);

static const command_t *
find(const char *words)
{
    char       *copy[8];
    size_t      n = 0, used;
    bytes_t     word;
    const char *at = words;

    while (n < 8 && word_next(&at, &word)) {
        copy[n++] = pki_strndup(arena, word.p, word.len);
    }
    return command_find(&list, n, copy, &used);
}

typedef struct {
    char words[40], method[8], path[48];
} name_case_t;

ParameterizedTestParameters(command, has_the_name_that_the_rule_gives)
{
    static name_case_t cases[] = {
        { "things list", "GET", "/api/v1/things" },
        { "things get", "GET", "/api/v1/things/{id}" },
        { "things delete", "DELETE", "/api/v1/things/{id}" },
        { "things part", "GET", "/api/v1/things/{id}/parts/{part_id}" },
        { "things bulk-break", "POST", "/api/v1/things/bulk-break" },
        { "auth sessions list", "GET", "/api/v1/auth/sessions" },
        { "auth sessions create", "POST", "/api/v1/auth/login" },
        { "stats summary", "GET", "/api/v1/stats/summary" },
        { "stats trend", "GET", "/api/v1/stats/trend" },
        { "pulse", "GET", "/pulse" },
    };

    return cr_make_param_array(name_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(name_case_t *c, command, has_the_name_that_the_rule_gives)
{
    const command_t *found = find(c->words);

    cr_assert_not_null(found, "%s", c->words);
    cr_expect_str_eq(found->words, c->words);
    cr_expect_str_eq(found->method, c->method);
    cr_expect_str_eq(found->path, c->path);
    cr_expect_eq(command_of_path(&list, c->method, c->path), found);
}

Test(command, takes_the_longest_beginning_and_leaves_the_rest)
{
    char  *words[] = { (char *) "things", (char *) "get", (char *) "list" };
    size_t used;

    cr_assert_not_null(command_find(&list, 3, words, &used));
    cr_expect_eq(used, 2);
    cr_expect_null(command_find(&list, 1, words, &used), "a resource is no command");
    cr_expect_eq(command_group(&list, 1, words), 1);
    words[0] = (char *) "thing";
    cr_expect_eq(command_group(&list, 1, words), 0);
}

Test(command, knows_arguments_flags_and_what_the_answer_is)
{
    const command_t *c = find("things bulk-break"), *l = find("things list"), *d = find("things delete"), *p = find("things part");

    cr_expect_eq(p->argument_count, 2);
    cr_expect_str_eq(p->params[1].flag, "PART-ID");
    cr_expect_str_eq(p->params[1].name, "part_id");
    cr_expect(l->is_list && !l->has_body && !l->is_destructive);
    cr_expect_eq(command_param(l, "limit")->kind, VALUE_INT);
    cr_expect(d->is_destructive, "DELETE destroys");
    cr_expect_eq(d->argument_count, 1, "parameters of the path count for each of its operations");
    cr_expect_null(d->row);
    cr_expect(c->has_body && c->makes_job);
    cr_expect(command_param(c, "why")->required);
    cr_expect_not(command_param(c, "deep")->required);
    cr_assert_not_null(c->ids);
    cr_expect_str_eq(c->ids->flag, "thing-ids");
}

Test(command, of_the_same_name_as_another_is_refused)
{
    JSON_AUTO bad = json_pack("{s{s{s{sss[s]}} s{s{sss[s]}}}}", "paths", "/api/v1/a", "get", "operationId", "a_list", "tags", "a",
                              "/api/v1/a/old", "get", "operationId", "a_list", "tags", "a");

    cr_assert_not_null(bad);
    cr_expect_eq(command_list_build(arena, bad, &list, &err), PKI_E_CONFLICT);
    cr_expect_not_null(strstr(err.text, "/api/v1/a/old"), "%s", err.text);
}

/* ---- the API's own document ---- */

static void
setup_own(void)
{
    build(document_text());
}

TestSuite(command_of_the_api, .init = setup_own, .fini = teardown);

Test(command_of_the_api, names_everything_once_and_in_plain_words)
{
    cr_assert_gt(list.count, 30);
    for (size_t i = 0; i < list.count; i++) {
        const command_t *c = &list.v[i];

        cr_expect_eq(find(c->words), c, "%s", c->words);
        cr_expect_eq(strspn(c->words, "abcdefghijklmnopqrstuvwxyz0123456789- "), strlen(c->words), "%s", c->words);
        cr_expect_gt(strlen(c->summary), 0, "%s has a summary", c->words);
        cr_expect_gt(strlen(c->permission), 0, "%s has a permission", c->words);
        for (size_t k = 0; k < c->param_count; k++) {
            cr_expect_gt(strlen(c->params[k].help), 0, "%s %s has help", c->words, c->params[k].flag);
        }
    }
}

Test(command_of_the_api, has_the_names_of_the_design_documents)
{
    static const char *const names[] = { "certs list", "certs get",       "certs revoke",     "certificates list", "issuers list",
                                         "auth keys list", "est labels list", "est credentials list" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        cr_expect_not_null(find(names[i]), "%s", names[i]);
    }
}

Test(command_of_the_api, has_lists_that_say_what_their_rows_are)
{
    static const char *const names[] = { "certs list", "issuers list", "profiles list", "audit list" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const command_t *c = find(names[i]);

        cr_assert(c != NULL && c->is_list, "%s", names[i]);
        cr_expect_not_null(document_member(document, c->row, "id"), "%s", names[i]);
    }
}
