/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * YAML as JSON values (expected values are JSON texts), and configuration from file and environment.
 */
#include "core/conf.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    char yaml[160], json[160];
} yaml_case_t;

ParameterizedTestParameters(yaml, reads_what_configuration_needs)
{
    static yaml_case_t cases[] = {
        { "", "null" },
        { "# only a comment\n", "null" },
        { "a: 1\nb: text here # comment\n", "{\"a\":1,\"b\":\"text here\"}" },
        { "a:\n  b: true\n  c: [x, \"2\", 3]\nd: ~\n",
          "{\"a\":{\"b\":true,\"c\":[\"x\",\"2\",3]},\"d\":null}" },
        { "a: '1'\nb: \"true\"\nc: 'null'\n", "{\"a\":\"1\",\"b\":\"true\",\"c\":\"null\"}" },
        { "a: 0644\nb: 1.5\nc: yes\nd: -3\n", "{\"a\":\"0644\",\"b\":\"1.5\",\"c\":\"yes\",\"d\":-3}" },
        { "a: |\n  one\n  two\n", "{\"a\":\"one\\ntwo\\n\"}" },
        { "- a\n- b: 1\n", "[\"a\",{\"b\":1}]" },
        { "a: \"\\u00e4\"\n", "{\"a\":\"\xc3\xa4\"}" },
        { "---\na: 9223372036854775807\n...\n", "{\"a\":9223372036854775807}" },
    };

    return cr_make_param_array(yaml_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(yaml_case_t *c, yaml, reads_what_configuration_needs)
{
    pki_err_t err = { .text = "" };
    JSON_AUTO out = NULL;
    JSON_AUTO want = json_loads(c->json, JSON_DECODE_ANY, NULL);

    cr_assert_not_null(want);
    cr_assert_eq(yaml_parse(bytes_str(c->yaml), &out, &err), PKI_OK, "%s: %s", c->yaml, err.text);
    cr_expect(json_equal(out, want), "%s", c->yaml);
}

typedef struct {
    char yaml[160], why[40];
} yaml_bad_t;

ParameterizedTestParameters(yaml, refuses_the_rest)
{
    static yaml_bad_t cases[] = {
        { "a: &x 1\n", "anchors" },
        { "a: !!str 1\n", "anchors and tags" },
        { "a: &x [1]\nb: *x\n", "anchors" },
        { "a: *x\n", "" },
        { "a: 1\na: 2\n", "twice (line 2" },
        { "[1]: 2\n", "plain name" },
        { "\"\": 2\n", "empty" },
        { "a: 1\n---\nb: 2\n", "second document" },
        { "a: 99999999999999999999\n", "too large" },
        { "a: \"\xff\"\n", "" },
        { "a: [1, 2\n", "" },
        { "\tb: 1\n", "" },
        { "[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]", "deeply" },
        { "\"a\\0b\": 1\n", "" },
    };

    return cr_make_param_array(yaml_bad_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(yaml_bad_t *c, yaml, refuses_the_rest)
{
    pki_err_t err;
    JSON_AUTO out = NULL;

    cr_expect_eq(yaml_parse(bytes_str(c->yaml), &out, &err), PKI_E_PARSE, "%s", c->yaml);
    cr_expect_null(out);
    cr_expect_not_null(strstr(err.text, c->why), "%s: %s", c->yaml, err.text);
    cr_expect_not_null(strstr(err.text, "line"), "%s", err.text);
}

typedef struct {
    const char *url;
    int64_t     pool;
} base_t;

typedef struct {
    const char *log_level, *pin;
    bool        on;
    str_list_t  names;
    base_t      base;
} conf_test_t;

static const field_t base_fields[] = {
    FIELD_STR(base_t, url, F_REQUIRED, NULL, "where the database is"),
    FIELD_INT(base_t, pool, F_RESTART, "8", 1, 100, "connections"),
    FIELD_END,
};

static const char *const levels[] = { "debug", "info", NULL };

static const field_t fields[] = {
    FIELD_ENUM(conf_test_t, log_level, 0, "info", levels, "least important events that are logged"),
    FIELD_STR(conf_test_t, pin, F_SECRET, NULL, "a secret"),
    FIELD_BOOL(conf_test_t, on, 0, "true", "switch"),
    FIELD_STRS(conf_test_t, names, 0, NULL, "names"),
    FIELD_OBJECT(conf_test_t, base, 0, base_fields, "database"),
    FIELD_END,
};

static pki_arena_t     *arena;
static field_problems_t problems;
static pki_err_t        err_conf;
static char             path[] = "/tmp/chancery-conf.XXXXXX";

static void
setup(void)
{
    arena = pki_arena_new(0);
}

static void
teardown(void)
{
    unlink(path);
    pki_arena_free(arena);
}

TestSuite(conf, .init = setup, .fini = teardown);

static pki_code_t
load(const char *text, conf_test_t *out)
{
    static const char *const ignore[] = { "CT_OTHER", NULL };

    if (text != NULL) {
        int   fd = mkstemp(path);
        FILE *f = fdopen(fd, "w");

        fputs(text, f);
        fclose(f);
    }
    return conf_load(arena, fields, text != NULL ? path : NULL, "CT", ignore, out, &problems, &err_conf);
}

Test(conf, reads_a_file_and_fills_defaults)
{
    conf_test_t c;

    cr_assert_eq(load("base:\n  url: host=/run\nnames: [a, b]\n", &c), PKI_OK, "%s", err_conf.text);
    cr_expect_str_eq(c.base.url, "host=/run");
    cr_expect_eq(c.base.pool, 8);
    cr_expect_str_eq(c.log_level, "info");
    cr_expect(c.on);
    cr_expect_eq(c.names.count, 2);
}

Test(conf, the_environment_is_over_the_file)
{
    conf_test_t c;

    setenv("CT_BASE_URL", "host=/env", 1);
    setenv("CT_BASE_POOL", "9", 1);
    setenv("CT_LOG_LEVEL", "debug", 1);
    setenv("CT_ON", "no", 1);
    setenv("CT_NAMES", "x, y,z", 1);
    setenv("CT_PIN", "1234", 1);
    setenv("CT_OTHER", "ignored", 1);
    setenv("CTX", "not ours", 1);
    cr_assert_eq(load("base:\n  url: host=/run\n  pool: 3\n", &c), PKI_OK, "%s", err_conf.text);
    cr_expect_str_eq(c.base.url, "host=/env");
    cr_expect_eq(c.base.pool, 9);
    cr_expect_str_eq(c.log_level, "debug");
    cr_expect_not(c.on);
    cr_expect_eq(c.names.count, 3);
    cr_expect_str_eq(c.pin, "1234");
}

Test(conf, a_required_key_may_come_from_the_environment_alone)
{
    conf_test_t c;

    setenv("CT_BASE_URL", "host=/env", 1);
    cr_assert_eq(load(NULL, &c), PKI_OK, "%s", err_conf.text);
    cr_expect_str_eq(c.base.url, "host=/env");
}

Test(conf, reports_all_problems_at_once_without_values)
{
    conf_test_t c;

    setenv("CT_BASE_POOL", "s3cret", 1);
    cr_assert_eq(load("log_level: s3cret\ncolour: s3cret\non: s3cret\nbase: {}\n", &c), PKI_E_INVALID);
    cr_expect_eq(problems.count, 5);
    for (size_t i = 0; i < problems.count; i++) {
        cr_expect_null(strstr(problems.item[i].text, "s3cret"));
    }
}

Test(conf, refuses_unknown_variables_and_files_that_are_no_mapping)
{
    conf_test_t c;

    cr_expect_eq(load("- a\n", &c), PKI_E_CONFIG);
    setenv("CT_BASE_URI", "typing error", 1);
    cr_expect_eq(load(NULL, &c), PKI_E_CONFIG);
    cr_expect_not_null(strstr(err_conf.text, "CT_BASE_URI"));
    cr_expect_null(strstr(err_conf.text, "typing"));
}

Test(conf, a_file_that_is_not_there_is_an_error)
{
    conf_test_t c;

    cr_expect_eq(conf_load(arena, fields, "/nonexistent/c.yaml", NULL, NULL, &c, NULL, &err_conf),
                 PKI_E_NOT_FOUND);
}

Test(conf, the_manual_is_a_configuration_with_every_default)
{
    conf_test_t c;
    pki_buf_t   out;
    char       *text;

    pki_buf_init(&out, arena, 65536);
    cr_assert_eq(conf_manual(fields, &out, &err_conf), PKI_OK);
    text = pki_strndup(arena, out.p, out.len);
    cr_expect_not_null(strstr(text, "# Least important events that are logged. One of: debug, info.\n"
                                    "log_level: \"info\"\n"),
                       "%s", text);
    cr_expect_not_null(strstr(text, "  # Where the database is. Must be given.\n  #url:\n"), "%s", text);
    cr_expect_not_null(strstr(text, "From 1 to 100. A reload does not change it.\n  pool: 8\n"), "%s", text);
    setenv("CT_BASE_URL", "host=/env", 1);
    cr_assert_eq(load(text, &c), PKI_OK, "%s", err_conf.text);
    cr_expect_eq(c.base.pool, 8);
}
