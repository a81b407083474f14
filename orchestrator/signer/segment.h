/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Segments of the journal as files of a folder.
 */
#ifndef ORCHESTRATOR_SIGNER_SEGMENT_H
#define ORCHESTRATOR_SIGNER_SEGMENT_H

#include "orchestrator/signer/journal_format.h"

#define SEGMENT_PATH_MAX 4096
#define SEGMENT_TORN     "torn-"

typedef struct {
    uint64_t *start; /* positions, ascending; malloc */
    size_t    count, cap;
    uint64_t  torn_files;
} segments_t;

void       segment_path(const char *dir, uint64_t start, char out[SEGMENT_PATH_MAX]);
pki_code_t segments_list(const char *dir, segments_t *out, pki_err_t *err);
pki_code_t segments_add(segments_t *s, uint64_t start, pki_err_t *err);

/* A segment mapped for reading: its header, and behind it the records and the zeros after them. */
typedef struct {
    void            *map;
    size_t           size;
    journal_header_t header;
    bytes_t          records;
} segment_view_t;
pki_code_t segment_map(const char *dir, uint64_t start, segment_view_t *out, pki_err_t *err);
void       segment_unmap(segment_view_t *v);

/* Write zeros over [from, to) of a file. */
pki_code_t segment_zero(int fd, uint64_t from, uint64_t to, pki_err_t *err);

/*
 * The segment that comes next, in a file that no list shows.  It is filled a slice at a time; what is not
 * filled when it is needed is filled then.  A fault drops it, and the next attempt begins anew.
 */
typedef struct {
    int      fd; /* -1: not begun */
    uint64_t filled;
} segment_next_t;
pki_code_t segment_next_fill(segment_next_t *n, const char *dir, uint64_t octets, pki_err_t *err);
pki_code_t segment_next_use(segment_next_t *n, const char *dir, const journal_header_t *h, pki_err_t *err);
void       segment_next_drop(segment_next_t *n, const char *dir); /* also what an earlier process left */

#endif
