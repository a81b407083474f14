/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Commands that are more than one operation of the API.
 */
#ifndef CLI_OWN_H
#define CLI_OWN_H

#include "cli/app.h"

#define OWN_FLAGS_MAX 16

typedef struct {
    const char *flag, *value, *help; /* "issuer", "ID"; no value: NULL */
} own_flag_t;

typedef struct {
    const char *values[OWN_FLAGS_MAX]; /* of each flag; "" of one that has none; NULL: not said */
    char      **words;                 /* what else was said */
    size_t      count;
} own_args_t;

typedef struct own own_t;
struct own {
    const char       *name, *arguments, *summary, *more; /* more: lines for its help; NULL: none */
    const own_flag_t *flags;                             /* ends with a NULL flag; NULL: none */
    app_exit_t      (*run)(app_t *app, const own_t *own, const own_args_t *args);
    bool              takes_all; /* flags too: it knows what to do with them */
};
extern const own_t own_table[]; /* ends with a NULL name */

const own_t *own_find(const char *name); /* NULL: there is none */
app_exit_t   own_run(app_t *app, const own_t *own, size_t count, char **words);
const char  *own_value(const own_t *own, const own_args_t *args, const char *flag);

/* What each is: import.c, status.c, completion.c, selftest/selftest.c */
app_exit_t import_run(app_t *app, const own_t *own, const own_args_t *args);
app_exit_t status_run(app_t *app, const own_t *own, const own_args_t *args);
app_exit_t version_run(app_t *app, const own_t *own, const own_args_t *args);
app_exit_t completion_run(app_t *app, const own_t *own, const own_args_t *args);
app_exit_t selftest_run(app_t *app, const own_t *own, const own_args_t *args);
extern const own_flag_t selftest_flags[];

#endif
