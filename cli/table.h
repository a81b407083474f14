/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rows and single things for people.  Nothing of what is shown can steer a terminal.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include "cli/app.h"

#define TABLE_COLUMNS_MAX 32

typedef struct {
    const char   *name;
    const json_t *schema;
    size_t        width; /* characters; 0: as they come */
} column_t;

typedef struct {
    column_t columns[TABLE_COLUMNS_MAX];
    size_t   count;
    bool     cuts; /* to the width */
} table_t;

/*
 * The columns of a command's rows: those of the text "a,b,c", or what columns.inc says, or the first plain members.
 * Widths are those of the first rows; a terminal of `width` columns has them all in one line.  INVALID: no such member.
 */
pki_code_t table_plan(const app_t *app, const command_t *c, const char *columns, const json_t *rows, table_t *out,
                      pki_err_t *err);
void       table_head(const table_t *t, pki_buf_t *out);
void       table_row(pki_arena_t *a, const table_t *t, const json_t *row, pki_buf_t *out);

/* "name   value" for each member, what is inside of others indented. */
void object_print(pki_arena_t *a, const json_t *document, const json_t *schema, const json_t *object, int indent,
                  pki_buf_t *out);

#endif
