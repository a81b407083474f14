/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The words after a command's name: arguments, flags of the operation, flags of this program.
 */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include "cli/app.h"

/* What may be said with a command besides what its operation takes.  help prints these rows. */
typedef struct {
    const char *flag, *letter, *value; /* "output", "o", "FILE" */
    const char *help;
    bool      (*fits)(const command_t *c);
} client_flag_t;
extern const client_flag_t client_flags[]; /* ends with a NULL flag */

/* One call: everything that is sent, and how its answer is shown. */
typedef struct {
    const command_t *command;
    const char      *path;    /* with its arguments put in and encoded */
    json_t          *query;   /* strings, or arrays of them for lists */
    json_t          *headers; /* strings */
    json_t          *body;    /* NULL: none */
    const char      *output;  /* file; NULL: standard output */
    const char      *columns; /* of a table, separated by commas; NULL: what is usual */
    bool        all, wait;
} call_t;

/* Every wrong word is told on standard error: APP_USAGE then.  *out is to be freed by call_free() in any case. */
app_exit_t call_parse(app_t *app, const command_t *c, size_t count, char *const *words, call_t *out);
void       call_free(call_t *call);

#endif
