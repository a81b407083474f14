/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Reading until the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "cli/input.h"
#include "pkiproto/base/buf.h"

static pki_code_t
input_gather(int fd, const char *path, size_t max, pki_buf_t *in, pki_err_t *err)
{
    uint8_t piece[16384];

    for (;;) {
        ssize_t n = read(fd, piece, sizeof(piece));

        if (n == 0) {
            return PKI_OK;
        }
        if (n < 0 && errno != EINTR) {
            return pki_fail(err, PKI_E_IO, NULL, "%s: %s", path, strerror(errno));
        }
        if (n > 0 && (size_t) n > max - in->len) {
            return pki_fail(err, PKI_E_TOO_LARGE, NULL, "%s has more than %zu octets", path, max);
        }
        pki_buf_put(in, bytes_of(piece, n > 0 ? (size_t) n : 0));
        PKI_TRY(pki_buf_check(in, path, err));
    }
}

pki_code_t
input_read(pki_arena_t *a, const char *path, size_t max, bytes_t *out, pki_err_t *err)
{
    bool       is_stdin = strcmp(path, "-") == 0;
    int        fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    pki_buf_t  in;
    pki_code_t code;

    if (fd < 0) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "%s: %s", path, strerror(errno));
    }
    pki_buf_init(&in, a, max);
    code = input_gather(fd, path, max, &in, err);
    if (!is_stdin) {
        close(fd);
    }
    *out = in.p != NULL ? pki_buf_bytes(&in) : BYTES_LIT("");
    return code;
}
