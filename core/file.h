/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Files: whole reads with a limit, and replacement that no reader ever sees half done.
 */
#ifndef CORE_FILE_H
#define CORE_FILE_H

#include <sys/types.h>

#include "pkiproto/base/secret.h"

/* NOT_FOUND, TOO_LARGE or IO, with the path in the text. */
pki_code_t file_read(pki_arena_t *a, const char *path, size_t max, bytes_t *out, pki_err_t *err);

/* The same into a cleansed secret, without a trailing newline.  Refuses a file that others may read. */
pki_code_t file_read_secret(pki_arena_t *a, const char *path, size_t max, pki_secret_t *out, pki_err_t *err);

/* Temporary file in the same folder, fsync, rename, fsync of the folder. */
pki_code_t file_replace(const char *path, bytes_t data, mode_t mode, pki_err_t *err);

/* The same for contents that come in pieces: file_begin(); write to fd; file_commit() or file_abandon(). */
typedef struct {
    int  fd;
    char path[4096], temp[4096 + 8];
} file_new_t;
pki_code_t file_begin(file_new_t *f, const char *path, mode_t mode, pki_err_t *err);
pki_code_t file_put(file_new_t *f, bytes_t data, pki_err_t *err);
pki_code_t file_commit(file_new_t *f, pki_err_t *err);
void       file_abandon(file_new_t *f); /* after a failure; also harmless after file_commit() */

pki_code_t dir_make(const char *path, mode_t mode, pki_err_t *err); /* existing is fine */
pki_code_t dir_sync(const char *path, pki_err_t *err);

/* Read or write exactly len octets, resuming after EINTR; IO on error, UNAVAILABLE on end of file. */
pki_code_t fd_read_full(int fd, void *p, size_t len, pki_err_t *err);
pki_code_t fd_write_full(int fd, const void *p, size_t len, pki_err_t *err);

#endif
