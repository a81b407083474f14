/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Which members are columns, how wide they are, and what a value looks like.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli/table.h"

#define COLUMNS_USUAL 8  /* where columns.inc says nothing */
#define CELL_MAX      48 /* of a terminal's line, for one column at most */
#define CELL_LEAST    12
#define CELL_TEXT_MAX 4096
#define GAP           2

/* clang-format off */
static const struct {
    const char *command, *members;
} usual[] = {
#define COLUMNS(command, members) { command, members },
#include "cli/columns.inc"
#undef COLUMNS
};
/* clang-format on */

/* ---- cells ---- */

/* Control characters would be orders to the terminal. */
static char *
text_tame(char *text)
{
    for (unsigned char *p = (unsigned char *) text; p != NULL && *p != '\0'; p++) {
        *p = *p < ' ' || *p == 0x7f ? ' ' : *p;
        if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) { /* C1 */
            p[0] = p[1] = '?'; /* two octets for two: what follows stays where it is */
        }
    }
    return text;
}

static char *
list_text(pki_arena_t *a, const json_t *value)
{
    pki_buf_t out;
    size_t    i;
    json_t   *each;

    pki_buf_init(&out, a, CELL_TEXT_MAX * 16);
    json_array_foreach((json_t *) (uintptr_t) value, i, each) {
        char *text = json_is_string(each) ? NULL : json_dumps(each, JSON_ENCODE_ANY | JSON_COMPACT);

        pki_buf_printf(&out, "%s%s", i > 0 ? ", " : "", text != NULL ? text : json_string_value(each));
        free(text);
    }
    pki_buf_put_u8(&out, '\0');
    return out.failed ? NULL : (char *) out.p;
}

static const char *
cell_text(pki_arena_t *a, const json_t *schema, const json_t *value)
{
    char *text, *copy;

    if (value == NULL || json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0)) {
        return "-";
    }
    if (json_is_boolean(value)) {
        return json_is_true(value) ? "yes" : "no";
    }
    if (json_is_array(value)) {
        return text_tame(list_text(a, value));
    }
    if (json_is_string(value)) {
        text = text_tame(pki_strdup(a, json_string_value(value)));
        if (text != NULL && strcmp(json_text(schema, "format"), "date-time") == 0 && strlen(text) == 20 && text[19] == 'Z') {
            text[10] = ' '; /* "2026-11-28 05:40Z": seconds are in the JSON */
            text[16] = 'Z';
            text[17] = '\0';
        }
        return text != NULL && text[0] != '\0' ? text : "-";
    }
    text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    copy = text != NULL ? text_tame(pki_strdup(a, text)) : NULL;
    free(text);
    return copy;
}

static size_t
text_width(const char *text)
{
    size_t n = 0;

    for (; text != NULL && *text != '\0'; text++) {
        n += ((unsigned char) *text & 0xc0) != 0x80;
    }
    return n;
}

/* The first `width` characters, the last of them an ellipsis where there are more. */
static void
cell_put(pki_buf_t *out, const char *text, size_t width, bool cuts)
{
    const char *p = text;
    size_t      n = 0;

    if (cuts && text_width(text) > width && width > 0) {
        while (n < width - 1) {
            for (p++; ((unsigned char) *p & 0xc0) == 0x80; p++) { }
            n++;
        }
        pki_buf_put(out, bytes_of(text, (size_t) (p - text)));
        pki_buf_printf(out, "…");
        return;
    }
    pki_buf_printf(out, "%s", text);
}

/* ---- which columns ---- */

static bool
is_plain(const json_t *schema)
{
    return !schema_is(schema, "object") && !(schema_is(schema, "array")) && json_object_get(schema, "anyOf") == NULL;
}

static bool
column_add(const app_t *app, const command_t *c, table_t *t, bytes_t name)
{
    char         *copy = pki_strndup(app->a, name.p, name.len);
    const json_t *schema = copy != NULL ? document_member(app->document, c->row, copy) : NULL;

    if (schema != NULL && t->count < TABLE_COLUMNS_MAX) {
        t->columns[t->count++] = (column_t){ .name = copy, .schema = schema };
    }
    return schema != NULL;
}

static pki_code_t
columns_named(const app_t *app, const command_t *c, const char *names, bool strict, table_t *t, pki_err_t *err)
{
    while (*names != '\0') {
        size_t len = strcspn(names, ",");

        if (len > 0 && !column_add(app, c, t, bytes_of(names, len)) && strict) {
            return pki_fail(err, PKI_E_INVALID, NULL, "--columns: the rows have no member \"%.*s\"", (int) len, names);
        }
        names += len + (names[len] == ',');
    }
    return PKI_OK;
}

/* The first members that are one word each; where there are none, all. */
static void
columns_plain(const app_t *app, const command_t *c, table_t *t)
{
    const json_t *each;
    const char   *name;

    for (int plain = 1; plain >= 0 && t->count == 0; plain--) {
        json_object_foreach((json_t *) (uintptr_t) json_object_get(c->row, "properties"), name, each) {
            if (t->count < COLUMNS_USUAL && (!plain || is_plain(document_schema(app->document, each)))
                && strstr(name, "pem") == NULL) {
                column_add(app, c, t, bytes_str(name));
            }
        }
    }
}

static void
columns_usual(const app_t *app, const command_t *c, table_t *t)
{
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
        if (strcmp(usual[i].command, c->words) == 0) {
            columns_named(app, c, usual[i].members, false, t, NULL);
        }
    }
    if (t->count == 0) {
        columns_plain(app, c, t);
    }
}

/* ---- how wide ---- */

static size_t
table_width(const table_t *t)
{
    size_t sum = 0;

    for (size_t i = 0; i < t->count; i++) {
        sum += t->columns[i].width + (i > 0 ? GAP : 0);
    }
    return sum;
}

static void
widths_measure(const app_t *app, const json_t *rows, table_t *t)
{
    size_t  i;
    json_t *row;

    for (size_t n = 0; n < t->count; n++) {
        column_t *column = &t->columns[n];

        column->width = strlen(column->name);
        json_array_foreach((json_t *) (uintptr_t) rows, i, row) {
            size_t width = text_width(cell_text(app->a, column->schema, json_object_get(row, column->name)));

            column->width = width > column->width ? width : column->width;
        }
    }
}

/* What other commands take as an argument has to stay whole, and so have times. */
static bool
is_whole(const column_t *column)
{
    return strcmp(column->name, "id") == 0 || strcmp(column->name, "serial") == 0
           || strcmp(json_text(column->schema, "format"), "date-time") == 0;
}

/* The widest gives way, down to what still can be told apart; then the last columns go. */
static void
widths_fit(table_t *t, size_t room)
{
    t->cuts = true;
    while (table_width(t) > room) {
        column_t *widest = NULL;

        for (size_t i = 0; i < t->count; i++) {
            column_t *column = &t->columns[i];

            if (!is_whole(column) && column->width > CELL_LEAST && (widest == NULL || column->width > widest->width)) {
                widest = column;
            }
        }
        if (widest != NULL) {
            widest->width--;
        } else if (t->count > 1) {
            t->count--;
        } else {
            return;
        }
    }
}

pki_code_t
table_plan(const app_t *app, const command_t *c, const char *columns, const json_t *rows, table_t *out, pki_err_t *err)
{
    memset(out, 0, sizeof(*out));
    if (columns != NULL) {
        PKI_TRY(columns_named(app, c, columns, true, out, err));
    } else {
        columns_usual(app, c, out);
    }
    widths_measure(app, rows, out);
    if (app->width > 0) {
        for (size_t i = 0; i < out->count && columns == NULL; i++) {
            column_t *column = &out->columns[i];

            column->width = column->width > CELL_MAX && !is_whole(column) ? CELL_MAX : column->width;
        }
        widths_fit(out, (size_t) app->width);
    }
    return PKI_OK;
}

/* ---- printing ---- */

static void
cells_put(const table_t *t, const char *const *cells, pki_buf_t *out)
{
    for (size_t i = 0; i < t->count; i++) {
        size_t width = text_width(cells[i]);

        cell_put(out, cells[i], t->columns[i].width, t->cuts);
        if (i + 1 < t->count) {
            pki_buf_printf(out, "%*s", (int) (width < t->columns[i].width ? t->columns[i].width - width + GAP : GAP), "");
        }
    }
    pki_buf_put_u8(out, '\n');
}

void
table_head(const table_t *t, pki_buf_t *out)
{
    const char *cells[TABLE_COLUMNS_MAX];
    char        names[TABLE_COLUMNS_MAX][64];

    for (size_t i = 0; i < t->count; i++) {
        size_t n = 0;

        for (; t->columns[i].name[n] != '\0' && n + 1 < sizeof(names[i]); n++) {
            char ch = t->columns[i].name[n];

            names[i][n] = ch >= 'a' && ch <= 'z' ? (char) (ch - 'a' + 'A') : ch;
        }
        names[i][n] = '\0';
        cells[i] = names[i];
    }
    cells_put(t, cells, out);
}

void
table_row(pki_arena_t *a, const table_t *t, const json_t *row, pki_buf_t *out)
{
    const char *cells[TABLE_COLUMNS_MAX];

    for (size_t i = 0; i < t->count; i++) {
        cells[i] = cell_text(a, t->columns[i].schema, json_object_get(row, t->columns[i].name));
    }
    cells_put(t, cells, out);
}

/* Shown below its name, not beside it. */
static bool
is_inside(const json_t *value)
{
    return json_is_object(value) || (json_is_array(value) && json_is_object(json_array_get(value, 0)))
           || (json_is_string(value) && strchr(json_string_value(value), '\n') != NULL);
}

/* PEM and the like keep their lines. */
static void
lines_put(pki_buf_t *out, const char *text, int indent)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");

        pki_buf_printf(out, "\n%*s", indent, "");
        for (size_t i = 0; i < len; i++) {
            pki_buf_put_u8(out, (uint8_t) text[i] < ' ' ? ' ' : (uint8_t) text[i]);
        }
        text += len + (text[len] == '\n');
    }
    pki_buf_put_u8(out, '\n');
}

static void
member_put(pki_arena_t *a, const json_t *document, const json_t *schema, const json_t *value, int indent, pki_buf_t *out)
{
    const json_t *items = document_schema(document, json_object_get(schema, "items")), *each;
    size_t        i;

    if (json_is_object(value)) {
        pki_buf_put_u8(out, '\n');
        object_print(a, document, schema, value, indent + 2, out);
    } else if (json_is_array(value) && json_is_object(json_array_get(value, 0))) {
        pki_buf_put_u8(out, '\n');
        json_array_foreach((json_t *) (uintptr_t) value, i, each) {
            pki_buf_printf(out, "%s", i > 0 ? "\n" : "");
            object_print(a, document, items, each, indent + 2, out);
        }
    } else if (json_is_string(value) && strchr(json_string_value(value), '\n') != NULL) {
        lines_put(out, json_string_value(value), indent + 2);
    } else {
        pki_buf_printf(out, "%s\n", cell_text(a, schema, value));
    }
}

void
object_print(pki_arena_t *a, const json_t *document, const json_t *schema, const json_t *object, int indent, pki_buf_t *out)
{
    const char *name;
    json_t     *value;
    size_t      width = 0;

    json_object_foreach((json_t *) (uintptr_t) object, name, value) {
        width = strlen(name) > width ? strlen(name) : width;
    }
    json_object_foreach((json_t *) (uintptr_t) object, name, value) {
        const json_t *member = document_member(document, schema, name);
        char         *label = text_tame(pki_strdup(a, name));

        pki_buf_printf(out, "%*s%-*s", indent, "", is_inside(value) ? 0 : (int) width + GAP, label != NULL ? label : "");
        member_put(a, document, member, value, indent, out);
    }
}
