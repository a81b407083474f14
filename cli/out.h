/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Where a command's result goes: standard output, or a file that appears when it is complete.
 */
#ifndef CLI_OUT_H
#define CLI_OUT_H

#include "core/file.h"

typedef struct {
    bool       is_file;
    file_new_t file;
} out_t;

pki_code_t out_open(const char *path, out_t *out, pki_err_t *err); /* path NULL: standard output */
pki_code_t out_put(out_t *out, bytes_t data, pki_err_t *err);
pki_code_t out_close(out_t *out, pki_err_t *err);
void       out_abandon(out_t *out); /* harmless after out_close() */

#endif
