/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Segments as files: their names, a view of one for reading, and the one that comes next, which is made of
 * real zeros beforehand.  An append to it is then an overwrite, which costs a sync of data alone; growing a
 * file, or writing to blocks that were only reserved, costs one of the file system's journal too.
 */
#include "orchestrator/signer/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"

#define NEXT_NAME "next"
#define FILL_STEP (256u << 10)

void
segment_path(const char *dir, uint64_t start, char out[SEGMENT_PATH_MAX])
{
    snprintf(out, SEGMENT_PATH_MAX, "%s/%016" PRIx64 JOURNAL_SUFFIX, dir, start);
}

pki_code_t
segments_add(segments_t *s, uint64_t start, pki_err_t *err)
{
    if (s->count == s->cap) {
        size_t    cap = s->cap != 0 ? s->cap * 2 : 16;
        uint64_t *p = realloc(s->start, cap * sizeof(*p));

        if (p == NULL) {
            return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
        }
        s->start = p;
        s->cap = cap;
    }
    s->start[s->count++] = start;
    return PKI_OK;
}

static int
position_cmp(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

    return x < y ? -1 : x > y;
}

static bool
segment_name_parse(const char *name, uint64_t *start)
{
    char *end;

    errno = 0;
    *start = strtoull(name, &end, 16);
    return errno == 0 && end - name == 16 && strcmp(end, JOURNAL_SUFFIX) == 0;
}

pki_code_t
segments_list(const char *dir, segments_t *out, pki_err_t *err)
{
    DIR           *d = opendir(dir);
    struct dirent *e;
    pki_code_t     rc = PKI_OK;
    uint64_t       start;

    *out = (segments_t){ 0 };
    if (d == NULL) {
        return pki_fail(err, errno == ENOENT ? PKI_E_NOT_FOUND : PKI_E_IO, NULL, "%s: %s", dir, strerror(errno));
    }
    while (rc == PKI_OK && (e = readdir(d)) != NULL) {
        if (segment_name_parse(e->d_name, &start)) {
            rc = segments_add(out, start, err);
        }
        out->torn_files += strncmp(e->d_name, SEGMENT_TORN, strlen(SEGMENT_TORN)) == 0;
    }
    closedir(d);
    if (out->count > 1) {
        qsort(out->start, out->count, sizeof(*out->start), position_cmp);
    }
    return rc;
}

void
segment_unmap(segment_view_t *v)
{
    if (v->map != NULL) {
        munmap(v->map, v->size);
        v->map = NULL;
    }
}

pki_code_t
segment_map(const char *dir, uint64_t start, segment_view_t *out, pki_err_t *err)
{
    char        path[SEGMENT_PATH_MAX];
    struct stat st;
    int         fd;
    pki_code_t  rc;

    out->map = NULL;
    segment_path(dir, start, path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        rc = pki_fail(err, PKI_E_IO, NULL, "open %s: %s", path, strerror(errno));
    } else if (st.st_size < JOURNAL_HEADER_LEN) {
        rc = pki_fail(err, PKI_E_PARSE, NULL, "%s ends inside its header", path);
    } else {
        out->size = (size_t) st.st_size;
        out->map = mmap(NULL, out->size, PROT_READ, MAP_SHARED, fd, 0);
        rc = out->map != MAP_FAILED ? PKI_OK : pki_fail(err, PKI_E_IO, NULL, "map %s: %s", path, strerror(errno));
        out->map = rc == PKI_OK ? out->map : NULL;
    }
    if (fd >= 0) {
        close(fd);
    }
    if (rc == PKI_OK) {
        bytes_t all = bytes_of(out->map, out->size);

        rc = journal_header_parse(all, &out->header, err);
        if (rc == PKI_OK && out->header.position != start) {
            rc = pki_fail(err, PKI_E_PARSE, NULL, "%s is the segment of another position", path);
        }
        out->records = bytes_of(all.p + JOURNAL_HEADER_LEN, all.len - JOURNAL_HEADER_LEN);
    }
    if (rc != PKI_OK) {
        segment_unmap(out);
    }
    return rc;
}

pki_code_t
segment_zero(int fd, uint64_t from, uint64_t to, pki_err_t *err)
{
    static const uint8_t zeros[FILL_STEP];

    while (from < to) {
        ssize_t n = pwrite(fd, zeros, to - from < sizeof(zeros) ? to - from : sizeof(zeros), (off_t) from);

        if (n < 0 && errno != EINTR) {
            return pki_fail(err, PKI_E_IO, NULL, "fill the journal: %s", strerror(errno));
        }
        from += n > 0 ? (uint64_t) n : 0;
    }
    return PKI_OK;
}

static void
next_path(const char *dir, char out[SEGMENT_PATH_MAX])
{
    snprintf(out, SEGMENT_PATH_MAX, "%s/" NEXT_NAME, dir);
}

void
segment_next_drop(segment_next_t *n, const char *dir)
{
    char path[SEGMENT_PATH_MAX];

    next_path(dir, path);
    unlink(path);
    if (n->fd >= 0) {
        close(n->fd);
    }
    *n = (segment_next_t){ .fd = -1 };
}

static pki_code_t
next_make(segment_next_t *n, const char *dir, pki_err_t *err)
{
    char path[SEGMENT_PATH_MAX];

    segment_next_drop(n, dir);
    next_path(dir, path);
    n->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return n->fd >= 0 ? PKI_OK : pki_fail(err, PKI_E_IO, NULL, "create %s: %s", path, strerror(errno));
}

pki_code_t
segment_next_fill(segment_next_t *n, const char *dir, uint64_t octets, pki_err_t *err)
{
    uint64_t   to;
    pki_code_t rc;

    if (n->fd < 0) {
        PKI_TRY(next_make(n, dir, err));
    }
    to = octets < JOURNAL_SEGMENT_LEN - n->filled ? n->filled + octets : JOURNAL_SEGMENT_LEN;
    rc = segment_zero(n->fd, n->filled, to, err);
    if (rc != PKI_OK) {
        segment_next_drop(n, dir);
        return rc;
    }
    /* Begin to write it out, so that the sync at the end finds little to do; no harm when that fails. */
    (void) sync_file_range(n->fd, (off_t) n->filled, (off_t) (to - n->filled), SYNC_FILE_RANGE_WRITE);
    n->filled = to;
    if (to == JOURNAL_SEGMENT_LEN && fsync(n->fd) != 0) {
        rc = pki_fail(err, PKI_E_IO, NULL, "sync the next segment: %s", strerror(errno));
        segment_next_drop(n, dir);
    }
    return rc;
}

static pki_code_t
next_rename(segment_next_t *n, const char *dir, const journal_header_t *h, pki_err_t *err)
{
    uint8_t octets[JOURNAL_HEADER_LEN];
    char    from[SEGMENT_PATH_MAX], to[SEGMENT_PATH_MAX];

    journal_header_build(h, octets);
    next_path(dir, from);
    segment_path(dir, h->position, to);
    if (pwrite(n->fd, octets, sizeof(octets), 0) != (ssize_t) sizeof(octets) || fsync(n->fd) != 0
        || rename(from, to) != 0)
    {
        return pki_fail(err, PKI_E_IO, NULL, "begin %s: %s", to, strerror(errno));
    }
    return dir_sync(dir, err);
}

pki_code_t
segment_next_use(segment_next_t *n, const char *dir, const journal_header_t *h, pki_err_t *err)
{
    pki_code_t rc = PKI_OK;

    if (n->filled < JOURNAL_SEGMENT_LEN) {
        PKI_TRY(segment_next_fill(n, dir, JOURNAL_SEGMENT_LEN, err));
    }
    rc = next_rename(n, dir, h, err);
    segment_next_drop(n, dir);
    return rc;
}
