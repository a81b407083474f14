/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Flags that every command takes, and the variables that stand for them.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "cli/app.h"

typedef struct {
    const char *flag, *variable, *value; /* "server", "CHANCERY_URL", "URL"; no variable, no value: NULL */
    size_t      offset;                  /* in options_t: a const char *, or a bool without a value */
    const char *help;
} option_t;
extern const option_t option_table[]; /* ends with a NULL flag */

/* Variables first: flags come over them. */
void options_from_environment(options_t *o);

/*
 * One flag, "--server" or "--server=URL", and its value from the word behind it where it needs one; how many words
 * that were.  0: it is none of these; -1: its value is missing.
 */
int options_take(options_t *o, size_t count, char **words);

#endif
