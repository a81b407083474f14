/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The journal as files: segments of about 16 MiB (journal_format.h), of which only the last is written and
 * only the last is walked when the signer starts.
 *
 * A crash can only damage what was written after the last sync, which is at most one batch.  That much is
 * moved to "torn-POSITION" beside the segments and cut off; damage further back is no crash's and stops the signer.
 */
#include "orchestrator/signer/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "core/clock.h"
#include "core/file.h"
#include "orchestrator/signer/journal_format.h"
#include "orchestrator/signer/message.h"

#define SEGMENT_MAX (16u << 20)
#define TORN_PREFIX "torn-"
#define PATH_MAX_   4096

typedef struct {
    uint64_t *start; /* positions, ascending */
    size_t    count, cap;
    uint64_t  torn_files;
} segments_t;

struct journal {
    char       dir[PATH_MAX_ - 64];
    int        lock_fd, fd; /* fd: of the last segment */
    segments_t segments;
    uint8_t    id[JOURNAL_ID_LEN];
    uint8_t    chain[JOURNAL_HASH_LEN], pending_chain[JOURNAL_HASH_LEN];
    uint64_t   end, syncs;
    pki_buf_t  pending; /* fixed memory below */
    uint8_t    memory[JOURNAL_BATCH_MAX];
};

static void
segment_path(const char *dir, uint64_t start, char out[PATH_MAX_])
{
    snprintf(out, PATH_MAX_, "%s/%016" PRIx64 JOURNAL_SUFFIX, dir, start);
}

static pki_code_t
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

static pki_code_t
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
        out->torn_files += strncmp(e->d_name, TORN_PREFIX, strlen(TORN_PREFIX)) == 0;
    }
    closedir(d);
    if (out->count > 1) {
        qsort(out->start, out->count, sizeof(*out->start), position_cmp);
    }
    return rc;
}

/* A segment mapped for reading: its header, and the records as *records. */
typedef struct {
    void            *map;
    size_t           size;
    journal_header_t header;
    bytes_t          records;
} segment_view_t;

static void
segment_unmap(segment_view_t *v)
{
    if (v->map != NULL) {
        munmap(v->map, v->size);
        v->map = NULL;
    }
}

static pki_code_t
segment_map(const char *dir, uint64_t start, segment_view_t *out, pki_err_t *err)
{
    char        path[PATH_MAX_];
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

/* A new last segment behind what is there; it appears with its header or not at all. */
static pki_code_t
segment_create(journal_t *j, pki_err_t *err)
{
    journal_header_t h = { .position = j->end };
    uint8_t          octets[JOURNAL_HEADER_LEN];
    char             path[PATH_MAX_];
    int              fd;

    memcpy(h.id, j->id, sizeof(h.id));
    memcpy(h.chain, j->chain, sizeof(h.chain));
    journal_header_build(&h, octets);
    segment_path(j->dir, j->end, path);
    PKI_TRY(file_replace(path, BYTES_ARR(octets), 0600, err));
    fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
    if (fd < 0) {
        return pki_fail(err, PKI_E_IO, NULL, "open %s: %s", path, strerror(errno));
    }
    if (j->fd >= 0) {
        close(j->fd);
    }
    j->fd = fd;
    return segments_add(&j->segments, j->end, err);
}

static pki_code_t
journal_create(journal_t *j, pki_err_t *err)
{
    if (RAND_bytes(j->id, sizeof(j->id)) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "no random octets");
    }
    journal_chain_start(j->id, j->chain);
    return segment_create(j, err);
}

/* Keep what is cut off: it is evidence too. */
static pki_code_t
torn_cut(journal_t *j, size_t whole, bytes_t tail, pki_err_t *err)
{
    char path[PATH_MAX_];

    snprintf(path, sizeof(path), "%s/" TORN_PREFIX "%016" PRIx64 "-%" PRId64, j->dir, j->end, clock_now_ms());
    PKI_TRY(file_replace(path, tail, 0600, err));
    if (ftruncate(j->fd, (off_t) (JOURNAL_HEADER_LEN + whole)) != 0 || fsync(j->fd) != 0) {
        return pki_fail(err, PKI_E_IO, NULL, "cut the journal: %s", strerror(errno));
    }
    return PKI_OK;
}

/* Walk the last segment, to its end or to what a crash left. */
static pki_code_t
journal_resume(journal_t *j, size_t *torn, pki_err_t *err)
{
    uint64_t         start = j->segments.start[j->segments.count - 1];
    segment_view_t   v;
    journal_record_t r;
    char             path[PATH_MAX_];
    bytes_t          left;
    pki_code_t       rc = PKI_OK;

    segment_path(j->dir, start, path);
    j->fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
    if (j->fd < 0) {
        return pki_fail(err, PKI_E_IO, NULL, "open %s: %s", path, strerror(errno));
    }
    PKI_TRY(segment_map(j->dir, start, &v, err));
    memcpy(j->id, v.header.id, sizeof(j->id));
    memcpy(j->chain, v.header.chain, sizeof(j->chain));
    left = v.records;
    while (left.len > 0 && journal_record_take(&left, j->chain, &r, err) == PKI_OK) {
    }
    j->end = start + (v.records.len - left.len);
    *torn = left.len;
    if (left.len > JOURNAL_BATCH_MAX) {
        rc = pki_fail(err, PKI_E_INTERNAL, NULL, "the journal is damaged at position %" PRIu64 " of %s", j->end, path);
    } else if (left.len > 0) {
        rc = torn_cut(j, v.records.len - left.len, left, err);
    }
    segment_unmap(&v);
    return rc;
}

static pki_code_t
journal_lock(journal_t *j, pki_err_t *err)
{
    char path[PATH_MAX_];

    snprintf(path, sizeof(path), "%s/lock", j->dir);
    j->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (j->lock_fd < 0) {
        return pki_fail(err, PKI_E_IO, NULL, "open %s: %s", path, strerror(errno));
    }
    if (flock(j->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "another process has the journal %s", j->dir);
    }
    return PKI_OK;
}

static pki_code_t
journal_start(journal_t *j, size_t *torn, pki_err_t *err)
{
    PKI_TRY(dir_make(j->dir, 0700, err));
    PKI_TRY(journal_lock(j, err));
    PKI_TRY(segments_list(j->dir, &j->segments, err));
    return j->segments.count == 0 ? journal_create(j, err) : journal_resume(j, torn, err);
}

pki_code_t
journal_open(const char *dir, journal_t **out, size_t *torn, pki_err_t *err)
{
    journal_t *j = calloc(1, sizeof(*j));
    pki_code_t rc;

    *out = NULL;
    *torn = 0;
    if (j == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    j->fd = j->lock_fd = -1;
    if ((size_t) snprintf(j->dir, sizeof(j->dir), "%s", dir) >= sizeof(j->dir)) {
        rc = pki_fail(err, PKI_E_CONFIG, NULL, "the journal's path is too long");
    } else {
        rc = journal_start(j, torn, err);
    }
    if (rc != PKI_OK) {
        journal_close(j);
        return rc;
    }
    journal_drop(j);
    *out = j;
    return PKI_OK;
}

void
journal_close(journal_t *j)
{
    if (j == NULL) {
        return;
    }
    if (j->fd >= 0) {
        close(j->fd);
    }
    if (j->lock_fd >= 0) {
        close(j->lock_fd);
    }
    free(j->segments.start);
    free(j);
}

pki_code_t
journal_add(journal_t *j, const journal_record_t *r, pki_err_t *err)
{
    size_t     len = j->pending.len;
    pki_code_t rc = journal_record_build(r, j->pending_chain, &j->pending, err);

    if (rc != PKI_OK) {
        j->pending.len = len;
        j->pending.failed = false;
    }
    return rc;
}

size_t
journal_pending(const journal_t *j)
{
    return j->pending.len;
}

void
journal_drop(journal_t *j)
{
    pki_buf_fixed(&j->pending, j->memory, sizeof(j->memory));
    memcpy(j->pending_chain, j->chain, sizeof(j->chain));
}

pki_code_t
journal_sync(journal_t *j, pki_err_t *err)
{
    uint64_t   start = j->segments.start[j->segments.count - 1];
    size_t     len = j->pending.len;
    pki_code_t rc;

    if (len == 0) {
        return PKI_OK;
    }
    if (j->end - start >= SEGMENT_MAX) {
        rc = segment_create(j, err);
        if (rc != PKI_OK) {
            journal_drop(j);
            return rc;
        }
        start = j->end;
    }
    rc = fd_write_full(j->fd, j->pending.p, len, err);
    if (rc != PKI_OK) {
        journal_drop(j);
        return ftruncate(j->fd, (off_t) (JOURNAL_HEADER_LEN + (j->end - start))) == 0
                   ? rc
                   : pki_fail(err, PKI_E_INTERNAL, NULL, "cut the journal: %s", strerror(errno));
    }
    if (fdatasync(j->fd) != 0) {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "sync the journal: %s", strerror(errno));
    }
    memcpy(j->chain, j->pending_chain, sizeof(j->chain));
    j->end += len;
    j->syncs++;
    journal_drop(j);
    return PKI_OK;
}

bytes_t
journal_id(const journal_t *j)
{
    return BYTES_ARR(j->id);
}

uint64_t
journal_end(const journal_t *j)
{
    return j->end;
}

uint64_t
journal_syncs(const journal_t *j)
{
    return j->syncs;
}

static pki_code_t
entry_of(pki_arena_t *a, const journal_record_t *r, uint64_t position, uint64_t next, signer_journal_entry_t *out,
         pki_err_t *err)
{
    *out = (signer_journal_entry_t){
        .position = position,
        .next = next,
        .at = r->at,
        .is_cert = r->is_cert,
        .issuer_no = r->issuer_no,
    };
    PKI_TRY(pki_bytes_dup(a, r->name, &out->serial, err));
    return pki_bytes_dup(a, r->data, &out->tbs, err);
}

/* The hash before a position is the 32 octets before it: the record's, or the last of the header's chain. */
static pki_code_t
view_seek(const segment_view_t *v, uint64_t offset, bytes_t *left, uint8_t chain[JOURNAL_HASH_LEN], pki_err_t *err)
{
    if (offset > v->records.len || (offset > 0 && offset < JOURNAL_FRAME_LEN)) {
        return pki_fail(err, PKI_E_INVALID, NULL, "no journal record starts there");
    }
    *left = bytes_of(v->records.p + offset, v->records.len - offset);
    memcpy(chain, offset == 0 ? v->header.chain : left->p - JOURNAL_HASH_LEN, JOURNAL_HASH_LEN);
    return PKI_OK;
}

typedef struct {
    uint64_t                at; /* position of the next record */
    size_t                  max, max_octets, octets;
    signer_journal_entry_t *entries;
    size_t                  count;
    bool                    full;
} reading_t;

static pki_code_t
view_read(const journal_t *j, pki_arena_t *a, const segment_view_t *v, reading_t *in, pki_err_t *err)
{
    uint8_t          chain[JOURNAL_HASH_LEN];
    journal_record_t r;
    bytes_t          left;

    PKI_TRY(view_seek(v, in->at - v->header.position, &left, chain, err));
    while (left.len > 0 && in->at < j->end && !in->full) {
        signer_journal_entry_t *e = &in->entries[in->count];
        size_t                  before = left.len;

        if (journal_record_take(&left, chain, &r, err) != PKI_OK) {
            return pki_fail(err, PKI_E_INVALID, NULL, "no journal record starts at position %" PRIu64, in->at);
        }
        PKI_TRY(entry_of(a, &r, in->at, in->at + (before - left.len), e, err));
        in->octets += signer_entry_size(e);
        if (in->octets > in->max_octets && in->count > 0) {
            in->full = true;
            break;
        }
        in->at = e->next;
        in->full = ++in->count == in->max;
    }
    return PKI_OK;
}

pki_code_t
journal_read(journal_t *j, pki_arena_t *a, uint64_t from, size_t max, size_t max_octets,
             signer_journal_entry_t *entries, size_t *count, pki_err_t *err)
{
    reading_t  in = { .at = from, .max = max, .max_octets = max_octets, .entries = entries, .full = max == 0 };
    size_t     i = 0;
    pki_code_t rc = PKI_OK;

    if (from > j->end) {
        return pki_fail(err, PKI_E_INVALID, NULL, "position %" PRIu64 " is after the journal's end", from);
    }
    while (i + 1 < j->segments.count && j->segments.start[i + 1] <= from) {
        i++;
    }
    for (; i < j->segments.count && rc == PKI_OK && !in.full && in.at < j->end; i++) {
        segment_view_t v;

        PKI_TRY(segment_map(j->dir, j->segments.start[i], &v, err));
        rc = view_read(j, a, &v, &in, err);
        segment_unmap(&v);
    }
    *count = in.count;
    return rc;
}

static void
summary_count(journal_summary_t *out, const journal_record_t *r)
{
    out->certs += r->is_cert;
    out->crls += !r->is_cert;
    out->first_at = out->certs + out->crls == 1 ? r->at : out->first_at;
    out->last_at = r->at;
}

/* One segment of the chain; what is unfinished may only be at the end of the last. */
static pki_code_t
segment_check(const segment_view_t *v, bool is_first, bool is_last, journal_each_pt each, void *arg,
              journal_summary_t *out, pki_err_t *err)
{
    uint8_t          start[JOURNAL_HASH_LEN];
    journal_record_t r;
    bytes_t          left = v->records;

    if (is_first) {
        memcpy(out->id, v->header.id, sizeof(out->id));
        journal_chain_start(out->id, start);
        memcpy(out->head, start, sizeof(start));
    }
    if (v->header.position != out->end) {
        return pki_fail(err, PKI_E_INVALID, NULL, "a segment is missing between positions %" PRIu64 " and %" PRIu64,
                        out->end, v->header.position);
    }
    if (!bytes_eq(BYTES_ARR(v->header.id), BYTES_ARR(out->id))
        || !bytes_eq(BYTES_ARR(v->header.chain), BYTES_ARR(out->head)))
    {
        return pki_fail(err, PKI_E_INVALID, NULL, "the segment at position %" PRIu64 " does not continue the chain",
                        out->end);
    }
    while (left.len > 0) {
        if (journal_record_take(&left, out->head, &r, err) != PKI_OK) {
            if (is_last && left.len <= JOURNAL_BATCH_MAX) {
                break;
            }
            return err != NULL ? pki_err_context(err, "position %" PRIu64, out->end + v->records.len - left.len)
                               : PKI_E_PARSE;
        }
        summary_count(out, &r);
        if (each != NULL) {
            each(&r, arg);
        }
    }
    out->end += v->records.len - left.len;
    out->unfinished = left.len;
    out->segments++;
    return PKI_OK;
}

pki_code_t
journal_walk(const char *dir, journal_each_pt each, void *arg, journal_summary_t *out, pki_err_t *err)
{
    segments_t s;
    pki_code_t rc;

    *out = (journal_summary_t){ 0 };
    rc = segments_list(dir, &s, err);
    if (rc == PKI_OK && s.count == 0) {
        rc = pki_fail(err, PKI_E_NOT_FOUND, NULL, "there is no journal in %s", dir);
    }
    out->torn_files = s.torn_files;
    for (size_t i = 0; i < s.count && rc == PKI_OK; i++) {
        segment_view_t v;

        rc = segment_map(dir, s.start[i], &v, err);
        if (rc == PKI_OK) {
            rc = segment_check(&v, i == 0, i + 1 == s.count, each, arg, out, err);
            segment_unmap(&v);
        }
    }
    free(s.start);
    return rc;
}

pki_code_t
journal_check(const char *dir, journal_summary_t *out, pki_err_t *err)
{
    return journal_walk(dir, NULL, NULL, out, err);
}
