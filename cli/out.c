/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Results.
 */
#include <errno.h>
#include <stdio.h>

#include "cli/out.h"

pki_code_t
out_open(const char *path, out_t *out, pki_err_t *err)
{
    memset(out, 0, sizeof(*out));
    out->is_file = path != NULL;
    return path != NULL ? file_begin(&out->file, path, 0644, err) : PKI_OK;
}

pki_code_t
out_put(out_t *out, bytes_t data, pki_err_t *err)
{
    if (out->is_file) {
        return file_put(&out->file, data, err);
    }
    return data.len == 0 || fwrite(data.p, 1, data.len, stdout) == data.len
               ? PKI_OK
               : pki_fail(err, PKI_E_IO, NULL, "standard output: %s", strerror(errno));
}

pki_code_t
out_close(out_t *out, pki_err_t *err)
{
    if (out->is_file) {
        return file_commit(&out->file, err);
    }
    return fflush(stdout) == 0 ? PKI_OK : pki_fail(err, PKI_E_IO, NULL, "standard output: %s", strerror(errno));
}

void
out_abandon(out_t *out)
{
    if (out->is_file) {
        file_abandon(&out->file);
    }
}
