/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The journal in a folder of segments (journal_format.h, segment.c), of which only the last is written and
 * only the last is walked when the signer starts.
 *
 * A crash can only damage what was written after the last sync, which is at most one batch.  That much is
 * moved to "torn-POSITION" beside the segments and made zero again; damage further back is no crash's and stops
 * the signer.
 */
#include "orchestrator/signer/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "core/clock.h"
#include "core/file.h"
#include "orchestrator/signer/message.h"
#include "orchestrator/signer/segment.h"

#define PREPARE_SLICE (256u << 10) /* octets of zeros at a time */

struct journal {
    char           dir[SEGMENT_PATH_MAX - 64];
    int            lock_fd, fd; /* fd: of the last segment; a write to it is a sync, too */
    uint64_t       room;        /* octets of records that the last segment takes, all in all */
    segments_t     segments;
    segment_next_t next;
    uint8_t        id[JOURNAL_ID_LEN];
    uint8_t        chain[JOURNAL_HASH_LEN], pending_chain[JOURNAL_HASH_LEN];
    uint64_t       end, syncs, synced_len; /* synced_len: of the last batch */
    pki_buf_t      pending;                /* fixed memory below */
    uint8_t        memory[JOURNAL_BATCH_MAX];
};

static pki_code_t
segment_open(const journal_t *j, uint64_t start, int *fd, pki_err_t *err)
{
    char path[SEGMENT_PATH_MAX];

    segment_path(j->dir, start, path);
    *fd = open(path, O_RDWR | O_DSYNC | O_CLOEXEC);
    return *fd >= 0 ? PKI_OK : pki_fail(err, PKI_E_IO, NULL, "open %s: %s", path, strerror(errno));
}

/* A new last segment behind what is there; it appears with its header or not at all. */
static pki_code_t
segment_begin(journal_t *j, pki_err_t *err)
{
    journal_header_t h = { .position = j->end };
    int              fd;

    memcpy(h.id, j->id, sizeof(h.id));
    memcpy(h.chain, j->chain, sizeof(h.chain));
    PKI_TRY(segment_next_use(&j->next, j->dir, &h, err));
    PKI_TRY(segment_open(j, j->end, &fd, err));
    if (segments_add(&j->segments, j->end, err) != PKI_OK) {
        close(fd);
        return PKI_E_NOMEM;
    }
    if (j->fd >= 0) {
        close(j->fd);
    }
    j->fd = fd;
    j->room = JOURNAL_SEGMENT_LEN - JOURNAL_HEADER_LEN;
    return PKI_OK;
}

static pki_code_t
journal_create(journal_t *j, pki_err_t *err)
{
    if (RAND_bytes(j->id, sizeof(j->id)) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "no random octets");
    }
    journal_chain_start(j->id, j->chain);
    return segment_begin(j, err);
}

/* Keep what is cut off: it is evidence too. */
static pki_code_t
torn_cut(journal_t *j, uint64_t whole, bytes_t tail, pki_err_t *err)
{
    char path[SEGMENT_PATH_MAX];

    snprintf(path, sizeof(path), "%s/" SEGMENT_TORN "%016" PRIx64 "-%" PRId64, j->dir, j->end, clock_now_ms());
    PKI_TRY(file_replace(path, tail, 0600, err));
    return segment_zero(j->fd, JOURNAL_HEADER_LEN + whole, JOURNAL_HEADER_LEN + whole + tail.len, err);
}

/* From the view of the last segment: the state at the end of its records, and what a crash left behind them. */
static pki_code_t
journal_walk_last(journal_t *j, const segment_view_t *v, size_t *torn, pki_err_t *err)
{
    journal_record_t r;
    bytes_t          left = v->records;
    uint64_t         whole;

    memcpy(j->id, v->header.id, sizeof(j->id));
    memcpy(j->chain, v->header.chain, sizeof(j->chain));
    while (left.len > 0 && journal_record_take(&left, j->chain, &r, err) == PKI_OK) {
    }
    whole = v->records.len - left.len;
    j->end = v->header.position + whole;
    j->room = v->records.len;
    *torn = journal_tail(left);
    if (*torn > JOURNAL_BATCH_MAX) {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "the journal is damaged at position %" PRIu64 " of %s", j->end,
                        j->dir);
    }
    return *torn > 0 ? torn_cut(j, whole, bytes_of(left.p, *torn), err) : PKI_OK;
}

/*
 * Go on at the end of the last segment.  What a killed signer wrote but did not sync counts, since nobody can
 * tell the difference, and is synced here: a later write syncs only itself.
 */
static pki_code_t
journal_resume(journal_t *j, size_t *torn, pki_err_t *err)
{
    uint64_t       start = j->segments.start[j->segments.count - 1];
    segment_view_t v;
    pki_code_t     rc;

    PKI_TRY(segment_open(j, start, &j->fd, err));
    if (fsync(j->fd) != 0) {
        return pki_fail(err, PKI_E_IO, NULL, "sync the journal: %s", strerror(errno));
    }
    PKI_TRY(segment_map(j->dir, start, &v, err));
    rc = journal_walk_last(j, &v, torn, err);
    segment_unmap(&v);
    return rc;
}

static pki_code_t
journal_lock(journal_t *j, pki_err_t *err)
{
    char path[SEGMENT_PATH_MAX];

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
    segment_next_drop(&j->next, j->dir);
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
    j->fd = j->lock_fd = j->next.fd = -1;
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
    if (j->next.fd >= 0) {
        close(j->next.fd);
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

/* Over the zeros at the end, with one write that is a sync, too. */
static pki_code_t
pending_write(journal_t *j, uint64_t at, pki_err_t *err)
{
    size_t done = 0;

    while (done < j->pending.len) {
        ssize_t n = pwrite(j->fd, j->pending.p + done, j->pending.len - done, (off_t) (at + done));

        if (n < 0 && errno != EINTR) {
            return pki_fail(err, PKI_E_INTERNAL, NULL, "write the journal: %s", strerror(errno));
        }
        done += n > 0 ? (size_t) n : 0;
    }
    return PKI_OK;
}

pki_code_t
journal_sync(journal_t *j, pki_err_t *err)
{
    size_t     len = j->pending.len;
    uint64_t   used = j->end - j->segments.start[j->segments.count - 1];
    pki_code_t rc;

    if (len == 0) {
        return PKI_OK;
    }
    if (used + len > j->room) {
        rc = segment_begin(j, err);
        if (rc != PKI_OK) {
            journal_drop(j);
            return rc;
        }
        used = 0;
    }
    PKI_TRY(pending_write(j, JOURNAL_HEADER_LEN + used, err));
    memcpy(j->chain, j->pending_chain, sizeof(j->chain));
    j->end += len;
    j->synced_len = len;
    j->syncs++;
    journal_drop(j);
    return PKI_OK;
}

/* Twice as fast as records come: what begins at one half is ready at the end. */
pki_code_t
journal_prepare(journal_t *j, pki_err_t *err)
{
    uint64_t used = j->end - j->segments.start[j->segments.count - 1];
    uint64_t slice = 2 * j->synced_len > PREPARE_SLICE ? 2 * j->synced_len : PREPARE_SLICE;

    if (used < j->room / 2 || j->next.filled == JOURNAL_SEGMENT_LEN) {
        return PKI_OK;
    }
    return segment_next_fill(&j->next, j->dir, slice, err);
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
        .is_cert = r->kind == JOURNAL_CERT,
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
view_read(pki_arena_t *a, const segment_view_t *v, uint64_t end, reading_t *in, pki_err_t *err)
{
    uint8_t          chain[JOURNAL_HASH_LEN];
    journal_record_t r;
    bytes_t          left;

    PKI_TRY(view_seek(v, in->at - v->header.position, &left, chain, err));
    while (in->at < end && !in->full) {
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
        rc = view_read(a, &v, i + 1 < j->segments.count ? j->segments.start[i + 1] : j->end, &in, err);
        segment_unmap(&v);
    }
    *count = in.count;
    return rc;
}

static void
summary_count(journal_summary_t *out, const journal_record_t *r)
{
    out->certs += r->kind == JOURNAL_CERT;
    out->crls += r->kind == JOURNAL_CRL;
    out->heads += r->kind == JOURNAL_HEAD;
    out->first_at = out->certs + out->crls + out->heads == 1 ? r->at : out->first_at;
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
    size_t           before, tail;

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
    do { /* again while a signer that is at work has written on meanwhile */
        before = left.len;
        while (journal_record_take(&left, out->head, &r, err) == PKI_OK) {
            summary_count(out, &r);
            if (each != NULL) {
                each(&r, arg);
            }
        }
        tail = journal_tail(left);
    } while (tail > 0 && left.len < before);
    if (tail > (is_last ? JOURNAL_BATCH_MAX : 0)) {
        return err != NULL ? pki_err_context(err, "position %" PRIu64, out->end + v->records.len - left.len)
                           : PKI_E_PARSE;
    }
    out->end += v->records.len - left.len;
    out->unfinished = tail;
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
