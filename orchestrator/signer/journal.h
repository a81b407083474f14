/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The signer's journal: everything the keys ever signed, in the order in which it was signed, synced
 * before the signature is made.  Append-only and hash-chained.  journal.c documents the format.
 */
#ifndef ORCHESTRATOR_SIGNER_JOURNAL_H
#define ORCHESTRATOR_SIGNER_JOURNAL_H

#include "orchestrator/signer/signer.h"

typedef struct journal journal_t;

#define JOURNAL_HASH_LEN 32
#define JOURNAL_ID_LEN   16

typedef enum { JOURNAL_CERT = 1, JOURNAL_CRL, JOURNAL_HEAD } journal_kind_t; /* as the format numbers them */

typedef struct {
    journal_kind_t kind;
    int64_t  at;      /* seconds */
    uint32_t issuer_no;
    bytes_t  ref;     /* of the key */
    bytes_t  name;    /* serial, or CRL number; of a head nothing */
    bytes_t  data;    /* the whole TBSCertificate, the digest of the TBSCertList, or the whole head */
} journal_record_t;

/*
 * Open or create the journal of a folder, alone (CONFLICT when another process has it).  What a crash
 * left half written after the last sync is moved to a file of its own, with *torn octets, and made zero.  A
 * fault further back than a crash can reach is an error: such a journal is not written on.
 */
pki_code_t journal_open(const char *dir, journal_t **out, size_t *torn, pki_err_t *err);
void       journal_close(journal_t *j);

/* Collect a record in memory; then write all of them with one write and one sync. */
pki_code_t journal_add(journal_t *j, const journal_record_t *r, pki_err_t *err);
size_t     journal_pending(const journal_t *j); /* octets collected */
void       journal_drop(journal_t *j);          /* forget what was collected */

/* All collected records, or none.  INTERNAL: the write failed and the state on disk is unknown; end the process. */
pki_code_t journal_sync(journal_t *j, pki_err_t *err);

/* No more than this may be collected between two syncs; a crash damages no more than this. */
#define JOURNAL_BATCH_MAX (1u << 20)

/* Between batches: make a part of the next segment, when the end of this one comes near. */
pki_code_t journal_prepare(journal_t *j, pki_err_t *err);

bytes_t  journal_id(const journal_t *j);
uint64_t journal_end(const journal_t *j);   /* position after the last synced record */
uint64_t journal_syncs(const journal_t *j);

/* Synced records from a position on, into the arena: at most max, and at most max_octets as messages (but one). */
pki_code_t journal_read(journal_t *j, pki_arena_t *a, uint64_t from, size_t max, size_t max_octets,
                        signer_journal_entry_t *entries, size_t *count, pki_err_t *err);

/* Walk the whole chain of a folder without changing anything. */
typedef struct {
    uint8_t  id[JOURNAL_ID_LEN], head[JOURNAL_HASH_LEN];
    uint64_t end, certs, crls, heads, segments, torn_files;
    int64_t  first_at, last_at;
    uint64_t unfinished; /* octets after the last whole record: being written now, or left by a crash */
} journal_summary_t;
pki_code_t journal_check(const char *dir, journal_summary_t *out, pki_err_t *err);

/* The same, and every record whose hash is right is shown on the way. */
typedef void (*journal_each_pt)(const journal_record_t *r, void *arg);
pki_code_t journal_walk(const char *dir, journal_each_pt each, void *arg, journal_summary_t *out, pki_err_t *err);

#endif
