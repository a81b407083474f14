/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Tables: columns, widths, and that nothing of what is shown steers a terminal.
 */
#include "cli/table.h"

#include <criterion/criterion.h>
#include <stdio.h>

static app_t     app;
static command_t command;
static json_t   *schema, *rows;
static pki_err_t err;
static pki_buf_t out;
static table_t   table;

static void
setup(void)
{
    app.a = pki_arena_new(0);
    cr_assert_eq(json_parse(BYTES_LIT("{\"type\": \"object\", \"properties\": {\"id\": {\"type\": \"string\"}, \"name\": {\"type\": \"string\"},"
                                      "\"inside\": {\"type\": \"object\"}, \"at\": {\"type\": [\"string\", \"null\"], \"format\": \"date-time\"},"
                                      "\"on\": {\"type\": \"boolean\"}, \"many\": {\"type\": \"array\"}}}"),
                            &schema, &err),
                 PKI_OK, "%s", err.text);
    cr_assert_eq(json_parse(BYTES_LIT("[{\"id\": \"a\", \"name\": \"one two three four five six seven eight\", \"inside\": {\"x\": 1},"
                                      "\"at\": \"2026-11-28T05:40:12Z\", \"on\": true, \"many\": [\"p\", \"q\"]},"
                                      "{\"id\": \"bb\", \"name\": \"\\u001b[2Jwiped\\u009b\", \"inside\": {}, \"at\": null, \"on\": false, \"many\": []}]"),
                            &rows, &err),
                 PKI_OK, "%s", err.text);
    command = (command_t){ .words = "things list", .row = schema, .is_list = true };
    pki_buf_init(&out, app.a, 65536);
}

static void
teardown(void)
{
    json_decref(schema);
    json_decref(rows);
    pki_arena_free(app.a);
}

TestSuite(table, .init = setup, .fini = teardown);

static const char *
printed(const char *columns)
{
    size_t  i;
    json_t *row;

    cr_assert_eq(table_plan(&app, &command, columns, rows, &table, &err), PKI_OK, "%s", err.text);
    table_head(&table, &out);
    json_array_foreach(rows, i, row) {
        table_row(app.a, &table, row, &out);
    }
    pki_buf_put_u8(&out, '\0');
    return (const char *) out.p;
}

Test(table, shows_the_plain_members_when_nobody_says_which)
{
    const char *text = printed(NULL);

    cr_expect_eq(strncmp(text, "ID  NAME ", 9), 0, "%s", text);
    cr_expect_null(strstr(text, "INSIDE"), "%s", text);
    cr_expect_not_null(strstr(text, "2026-11-28 05:40Z  yes\n"), "%s", text);
    cr_expect_not_null(strstr(text, "one two three four five six seven eight"), "nothing is cut where there is no terminal: %s", text);
}

Test(table, shows_the_columns_that_were_asked_for)
{
    cr_expect_str_eq(printed("many,id"), "MANY  ID\np, q  a\n-     bb\n");
}

Test(table, refuses_a_column_that_rows_do_not_have)
{
    cr_expect_eq(table_plan(&app, &command, "id,none", rows, &table, &err), PKI_E_INVALID);
    cr_expect_not_null(strstr(err.text, "none"), "%s", err.text);
}

Test(table, shows_nothing_that_steers_a_terminal)
{
    const char *text = printed("id,name");

    cr_expect_null(strchr(text, 0x1b), "no escape");
    cr_expect_null(strstr(text, "\xc2\x9b"), "no C1 escape");
    cr_expect_not_null(strstr(text, "[2Jwiped"), "%s", text);
}

Test(table, fits_the_terminal)
{
    const char *text;

    app.width = 40;
    text = printed(NULL);
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        size_t width = 0;

        for (size_t i = 0; i < strcspn(line, "\n"); i++) {
            width += ((unsigned char) line[i] & 0xc0) != 0x80;
        }
        cr_expect_leq(width, 40, "%s", text);
    }
    cr_expect_not_null(strstr(text, "…"), "what was cut says so: %s", text);
    app.width = 0;
}

Test(table, prints_one_thing_with_what_is_inside_indented)
{
    object_print(app.a, NULL, schema, json_array_get(rows, 0), 0, &out);
    pki_buf_put_u8(&out, '\0');
    cr_expect_not_null(strstr((const char *) out.p, "id      a\n"), "%s", (const char *) out.p);
    cr_expect_not_null(strstr((const char *) out.p, "inside\n  x  1\n"), "%s", (const char *) out.p);
    cr_expect_not_null(strstr((const char *) out.p, "many    p, q\n"), "%s", (const char *) out.p);
}
