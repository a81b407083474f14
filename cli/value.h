/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Words of the command line as values of the types that the document gives them.
 */
#ifndef CLI_VALUE_H
#define CLI_VALUE_H

#include "cli/command.h"

#define VALUE_FILE_MAX (4u << 20)

/* "@FILE" is the file's contents ("@-": standard input), "@@x" is "@x". */
pki_code_t value_text(pki_arena_t *a, const char *word, const char **out, pki_err_t *err);

/*
 * Put one word into *into, which is NULL before the first: lists and objects grow, others are replaced.  Lists take one
 * element a word, or a JSON array; objects NAME=VALUE, where VALUE has the type that the schema gives NAME, or JSON;
 * times RFC 3339, a date, "now", or a distance from now such as +30d or -12h.  INVALID says what would be right.
 */
pki_code_t value_put(pki_arena_t *a, const json_t *document, const param_t *p, const char *word, json_t **into,
                     pki_err_t *err);

/* "TEXT", "N", "TIME", "a|b|c": what help shows beside a flag. */
const char *value_shape(pki_arena_t *a, const param_t *p);

/* The words that are allowed; NULL: any. */
const json_t *value_choices(const param_t *p);

#endif
