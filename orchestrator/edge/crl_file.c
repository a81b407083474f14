/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Files of CRLs: mapped ones that do not stay in memory, entries on their way, the finished list and its compressed
 * form.  A list of a million entries has 42 MB: none of this holds more than a few of them at a time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "orchestrator/edge/crl.h"
#include "pkiproto/base/ossl.h"

#define GZIP_STEP      262144
#define GZIP_LARGE     (4 << 20) /* from here on speed counts: 42 MB take less than a second */
#define GZIP_MEM_LEVEL 9

pki_code_t
crl_map(int fd, size_t len, crl_map_t *out, pki_err_t *err)
{
    void *p = len != 0 ? mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0) : NULL;

    if (p == MAP_FAILED) {
        return pki_fail(err, PKI_E_IO, NULL, "map a CRL: %s", strerror(errno));
    }
    *out = (crl_map_t){ p, len };
    return PKI_OK;
}

pki_code_t
crl_map_open(const char *path, crl_map_t *out, pki_err_t *err)
{
    int         fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    pki_code_t  code;

    if (fd < 0) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "open %s: %s", path, strerror(errno));
    }
    code = fstat(fd, &st) == 0 ? crl_map(fd, (size_t) st.st_size, out, err)
                               : pki_fail(err, PKI_E_IO, NULL, "stat %s: %s", path, strerror(errno));
    close(fd);
    return code;
}

/* Pages that lie in the part altogether are given back; the file has them. */
void
crl_map_walked(void *arg, bytes_t part)
{
    crl_map_t *m = arg;
    uintptr_t  page = (uintptr_t) sysconf(_SC_PAGESIZE), first = (uintptr_t) part.p / page * page;
    uintptr_t  end = ((uintptr_t) part.p + part.len) / page * page;

    if (m->p != NULL && part.p >= m->p && part.p + part.len <= m->p + m->len && end > first) {
        (void) madvise((void *) first, end - first, MADV_DONTNEED);
    }
}

void
crl_map_close(crl_map_t *m)
{
    if (m->p != NULL) {
        munmap(m->p, m->len);
    }
    *m = (crl_map_t){ 0 };
}

/* Entries on their way */

pki_code_t
crl_spool_open(const char *dir, crl_spool_t *s, pki_err_t *err)
{
    s->len = s->count = s->used = 0;
    s->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return s->fd >= 0 ? PKI_OK : pki_fail(err, PKI_E_IO, NULL, "a file in %s: %s", dir, strerror(errno));
}

static pki_code_t
spool_flush(crl_spool_t *s, pki_err_t *err)
{
    PKI_TRY(fd_write_full(s->fd, s->buffer, s->used, err));
    s->len += s->used;
    s->used = 0;
    return PKI_OK;
}

pki_code_t
crl_spool_add(crl_spool_t *s, const crl_entry_t *entry, pki_err_t *err)
{
    size_t len;

    if (sizeof(s->buffer) - s->used < CRL_ENTRY_MAX) {
        PKI_TRY(spool_flush(s, err));
    }
    PKI_TRY(crl_entry_encode(entry, s->buffer + s->used, &len, err));
    s->used += len;
    s->count++;
    return PKI_OK;
}

pki_code_t
crl_spool_end(crl_spool_t *s, crl_map_t *out, pki_err_t *err)
{
    PKI_TRY(spool_flush(s, err));
    return crl_map(s->fd, s->len, out, err);
}

void
crl_spool_close(crl_spool_t *s)
{
    if (s->fd >= 0) {
        close(s->fd);
        s->fd = -1;
    }
}

/* The finished list */

typedef struct {
    EVP_MD_CTX *md;
    file_new_t *file;
    crl_map_t  *source;
    int64_t     size;
} write_t;

static pki_code_t
write_sink(void *arg, bytes_t data, pki_err_t *err)
{
    write_t *w = arg;

    if (EVP_DigestUpdate(w->md, data.p, data.len) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 of the CRL");
    }
    w->size += (int64_t) data.len;
    PKI_TRY(file_put(w->file, data, err));
    crl_map_walked(w->source, data);
    return PKI_OK;
}

pki_code_t
crl_file_write(const crl_t *crl, bytes_t signature, const char *path, crl_map_t *source, file_new_t *f, int64_t *size,
               uint8_t etag[32], pki_err_t *err)
{
    PKI_AUTO(EVP_MD_CTX) md = EVP_MD_CTX_new();
    write_t w = { .md = md, .file = f, .source = source };

    if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 of the CRL");
    }
    PKI_TRY(file_begin(f, path, 0640, err));
    PKI_TRY(crl_write(crl, signature, write_sink, &w, err));
    if (EVP_DigestFinal_ex(md, etag, NULL) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 of the CRL");
    }
    *size = w.size;
    return PKI_OK;
}

/* Its compressed form */

typedef struct {
    int         fd;
    z_stream    z;
    EVP_MD_CTX *md;
    file_new_t  file;
    int64_t     size;
    uint8_t     in[GZIP_STEP], out[GZIP_STEP];
} gzip_t;

static pki_code_t
gzip_put(gzip_t *g, int flush, pki_err_t *err)
{
    do {
        bytes_t part;

        g->z.next_out = g->out;
        g->z.avail_out = sizeof(g->out);
        if (deflate(&g->z, flush) == Z_STREAM_ERROR) {
            return pki_fail(err, PKI_E_INTERNAL, NULL, "a CRL cannot be compressed");
        }
        part = bytes_of(g->out, sizeof(g->out) - g->z.avail_out);
        if (EVP_DigestUpdate(g->md, part.p, part.len) != 1) {
            return pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 of a compressed CRL");
        }
        g->size += (int64_t) part.len;
        PKI_TRY(file_put(&g->file, part, err));
    } while (g->z.avail_out == 0);
    return PKI_OK;
}

static pki_code_t
gzip_run(gzip_t *g, crl_stop_pt stop, void *arg, pki_err_t *err)
{
    ssize_t n;

    do {
        if (stop(arg)) {
            return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "there is a newer list to make");
        }
        n = read(g->fd, g->in, sizeof(g->in));
        if (n < 0) {
            return pki_fail(err, PKI_E_IO, NULL, "read a CRL: %s", strerror(errno));
        }
        g->z.next_in = g->in;
        g->z.avail_in = (unsigned) n;
        PKI_TRY(gzip_put(g, n == 0 ? Z_FINISH : Z_NO_FLUSH, err));
    } while (n != 0);
    return PKI_OK;
}

/* No name and no time in the header: the same list gives the same octets. */
static pki_code_t
gzip_begin(gzip_t *g, const char *path, pki_err_t *err)
{
    char        name[4096];
    struct stat st;

    g->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (g->fd < 0 || fstat(g->fd, &st) != 0) {
        return pki_fail(err, PKI_E_IO, NULL, "%s: %s", path, strerror(errno));
    }
    if (snprintf(name, sizeof(name), "%s" EDGE_CRL_GZIP, path) >= (int) sizeof(name)) {
        return pki_fail(err, PKI_E_IO, NULL, "the path of a CRL is too long");
    }
    g->md = EVP_MD_CTX_new();
    if (g->md == NULL || EVP_DigestInit_ex(g->md, EVP_sha256(), NULL) != 1
        || deflateInit2(&g->z, st.st_size < GZIP_LARGE ? Z_BEST_COMPRESSION : Z_BEST_SPEED, Z_DEFLATED, 15 + 16,
                        GZIP_MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
    {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    return file_begin(&g->file, name, 0640, err);
}

pki_code_t
crl_file_compress(const char *path, crl_stop_pt stop, void *arg, int64_t *size, uint8_t etag[32], pki_err_t *err)
{
    gzip_t    *g = calloc(1, sizeof(*g));
    pki_code_t code;

    if (g == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    g->fd = g->file.fd = -1;
    code = gzip_begin(g, path, err);
    code = code == PKI_OK ? gzip_run(g, stop, arg, err) : code;
    if (code == PKI_OK && EVP_DigestFinal_ex(g->md, etag, NULL) != 1) {
        code = pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 of a compressed CRL");
    }
    code = code == PKI_OK ? file_commit(&g->file, err) : code;
    *size = code == PKI_OK ? g->size : 0;
    file_abandon(&g->file);
    (void) deflateEnd(&g->z);
    EVP_MD_CTX_free(g->md);
    if (g->fd >= 0) {
        close(g->fd);
    }
    free(g);
    return code;
}
