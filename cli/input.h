/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What a command is given to read: a file, a pipe, or "-" for standard input.
 */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include "pkiproto/base/arena.h"

pki_code_t input_read(pki_arena_t *a, const char *path, size_t max, bytes_t *out, pki_err_t *err);

#endif
