/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Help at every level, printed from the tables.
 */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "cli/app.h"

void help_top(const app_t *app);
void help_group(const app_t *app, size_t count, char *const *words);
void help_command(const app_t *app, const command_t *c);

/* "  name  text", the text in as many lines as it needs. */
void help_row(int indent, int width, const char *name, const char *text);

#endif
