/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Files: whole reads with a limit, replacement by rename, and exact reads and writes.
 */
#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

static pki_code_t
file_fail(pki_err_t *err, const char *what, const char *path)
{
    pki_code_t code = errno == ENOENT || errno == ENOTDIR ? PKI_E_NOT_FOUND : PKI_E_IO;

    return pki_fail(err, code, NULL, "%s %s: %s", what, path, strerror(errno));
}

/* A regular file of at most max octets; the caller closes *fd. */
static pki_code_t
file_open_checked(const char *path, size_t max, int *fd, struct stat *st, pki_err_t *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) {
        return file_fail(err, "open", path);
    }
    if (fstat(*fd, st) != 0 || !S_ISREG(st->st_mode)) {
        close(*fd);
        return pki_fail(err, PKI_E_IO, NULL, "%s is not a regular file", path);
    }
    if ((uint64_t) st->st_size > max) {
        close(*fd);
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "%s has more than %zu octets", path, max);
    }
    return PKI_OK;
}

pki_code_t
file_read(pki_arena_t *a, const char *path, size_t max, bytes_t *out, pki_err_t *err)
{
    struct stat st;
    uint8_t    *p;
    pki_code_t  rc;
    int         fd;

    PKI_TRY(file_open_checked(path, max, &fd, &st, err));
    p = pki_alloc(a, (size_t) st.st_size + 1);
    rc = p == NULL ? pki_fail(err, PKI_E_NOMEM, NULL, "no room for %s", path)
                   : fd_read_full(fd, p, (size_t) st.st_size, err);
    close(fd);
    if (rc != PKI_OK) {
        return err != NULL ? pki_err_context(err, "%s", path) : rc;
    }
    *out = bytes_of(p, (size_t) st.st_size);
    return PKI_OK;
}

static pki_code_t
secret_read_fd(pki_arena_t *a, int fd, size_t len, pki_secret_t *out, pki_err_t *err)
{
    uint8_t   *p = OPENSSL_secure_malloc(len + 1);
    size_t     used = len;
    pki_code_t rc;

    if (p == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "no room for a secret");
    }
    rc = fd_read_full(fd, p, len, err);
    if (rc == PKI_OK) {
        while (used > 0 && (p[used - 1] == '\n' || p[used - 1] == '\r')) {
            used--;
        }
        rc = pki_secret_new(a, bytes_of(p, used), out, err);
    }
    OPENSSL_secure_clear_free(p, len + 1);
    return rc;
}

pki_code_t
file_read_secret(pki_arena_t *a, const char *path, size_t max, pki_secret_t *out, pki_err_t *err)
{
    struct stat st;
    pki_code_t  rc;
    int         fd;

    PKI_TRY(file_open_checked(path, max, &fd, &st, err));
    if ((st.st_mode & S_IRWXO) != 0) {
        close(fd);
        return pki_fail(err, PKI_E_CONFIG, NULL, "%s holds a secret and has mode %04o: others may not have "
                        "access", path, (unsigned) st.st_mode & 07777);
    }
    rc = secret_read_fd(a, fd, (size_t) st.st_size, out, err);
    close(fd);
    return rc != PKI_OK && err != NULL ? pki_err_context(err, "%s", path) : rc;
}

pki_code_t
file_begin(file_new_t *f, const char *path, mode_t mode, pki_err_t *err)
{
    f->fd = -1;
    if (strlen(path) >= sizeof(f->path)) {
        return pki_fail(err, PKI_E_IO, NULL, "path is longer than %zu octets", sizeof(f->path) - 1);
    }
    snprintf(f->path, sizeof(f->path), "%s", path);
    snprintf(f->temp, sizeof(f->temp), "%s.XXXXXX", path);
    f->fd = mkostemp(f->temp, O_CLOEXEC);
    if (f->fd < 0) {
        return file_fail(err, "create", f->temp);
    }
    if (fchmod(f->fd, mode) != 0) {
        pki_code_t rc = file_fail(err, "chmod", f->temp);

        file_abandon(f);
        return rc;
    }
    return PKI_OK;
}

pki_code_t
file_put(file_new_t *f, bytes_t data, pki_err_t *err)
{
    pki_code_t rc = fd_write_full(f->fd, data.p, data.len, err);

    return rc != PKI_OK && err != NULL ? pki_err_context(err, "%s", f->temp) : rc;
}

static void
path_folder(const char *path, char out[4096])
{
    char *slash;

    snprintf(out, 4096, "%s", path);
    slash = strrchr(out, '/');
    if (slash == NULL) {
        snprintf(out, 4096, ".");
    } else {
        slash[slash == out] = '\0'; /* keep the slash of "/name" */
    }
}

pki_code_t
file_commit(file_new_t *f, pki_err_t *err)
{
    char       folder[4096];
    pki_code_t rc = PKI_OK;

    if (fsync(f->fd) != 0) {
        rc = file_fail(err, "sync", f->temp);
    } else if (rename(f->temp, f->path) != 0) {
        rc = file_fail(err, "rename", f->temp);
    }
    if (rc != PKI_OK) {
        file_abandon(f);
        return rc;
    }
    close(f->fd);
    f->fd = -1;
    path_folder(f->path, folder);
    return dir_sync(folder, err);
}

void
file_abandon(file_new_t *f)
{
    if (f->fd >= 0) {
        close(f->fd);
        unlink(f->temp);
        f->fd = -1;
    }
}

pki_code_t
file_replace(const char *path, bytes_t data, mode_t mode, pki_err_t *err)
{
    file_new_t f;
    pki_code_t rc;

    PKI_TRY(file_begin(&f, path, mode, err));
    rc = file_put(&f, data, err);
    if (rc != PKI_OK) {
        file_abandon(&f);
        return rc;
    }
    return file_commit(&f, err);
}

pki_code_t
dir_make(const char *path, mode_t mode, pki_err_t *err)
{
    struct stat st;

    if (mkdir(path, mode) == 0 || (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode))) {
        return PKI_OK;
    }
    return file_fail(err, "make folder", path);
}

pki_code_t
dir_sync(const char *path, pki_err_t *err)
{
    int        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    pki_code_t rc = PKI_OK;

    if (fd < 0) {
        return file_fail(err, "open folder", path);
    }
    if (fsync(fd) != 0) {
        rc = file_fail(err, "sync folder", path);
    }
    close(fd);
    return rc;
}

pki_code_t
fd_read_full(int fd, void *p, size_t len, pki_err_t *err)
{
    uint8_t *at = p;
    ssize_t  n;

    while (len > 0) {
        n = read(fd, at, len);
        if (n < 0 && errno != EINTR) {
            return pki_fail(err, PKI_E_IO, NULL, "read: %s", strerror(errno));
        }
        if (n == 0) {
            return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "end of file %zu octets too early", len);
        }
        if (n > 0) {
            at += n;
            len -= (size_t) n;
        }
    }
    return PKI_OK;
}

pki_code_t
fd_write_full(int fd, const void *p, size_t len, pki_err_t *err)
{
    const uint8_t *at = p;
    ssize_t        n;

    while (len > 0) {
        n = write(fd, at, len);
        if (n < 0 && errno != EINTR) {
            return pki_fail(err, PKI_E_IO, NULL, "write: %s", strerror(errno));
        }
        if (n > 0) {
            at += n;
            len -= (size_t) n;
        }
    }
    return PKI_OK;
}
