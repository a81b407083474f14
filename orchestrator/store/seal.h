/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The audit's tree in the database.  Events are written without waiting for each other; sealing makes those below the
 * oldest running transaction leaves of the tree, in an order that is stored, and keeps the signed head.
 */
#ifndef ORCHESTRATOR_STORE_SEAL_H
#define ORCHESTRATOR_STORE_SEAL_H

#include "orchestrator/store/db.h"
#include "pkiproto/audit/event.h"
#include "pkiproto/audit/proof.h"

#define SEAL_BATCH 8192

/* Who signs: its key, its log, and how. */
typedef struct {
    const char *key_id;
    uint8_t     log[AUDIT_LOG_LEN];
    pki_code_t (*sign)(void *arg, pki_arena_t *a, bytes_t head, bytes_t *signature, pki_err_t *err);
    void       *arg;
} seal_signer_t;

/*
 * Seal the next batch: *sealed events, 0 when there are none or another host is at it.  *front is the caller's
 * memory of the tree, all zero at first; it is made anew when somebody else has sealed meanwhile.
 */
pki_code_t seal_next(db_t *db, const seal_signer_t *by, merkle_front_t *front, size_t *sealed, pki_err_t *err);

pki_code_t seal_key_note(db_t *db, const char *id, bytes_t spki, const uint8_t log[AUDIT_LOG_LEN], pki_err_t *err);
pki_code_t seal_keys(db_t *db, pki_arena_t *a, bytes_t **spki, size_t *count, pki_err_t *err);

/* NOT_FOUND before the first batch. */
pki_code_t seal_head(db_t *db, pki_arena_t *a, audit_signed_head_t *out, pki_err_t *err);

/* NOT_FOUND for an event that is not sealed (yet). */
pki_code_t seal_proof(db_t *db, pki_arena_t *a, int64_t event_id, audit_proof_t *out, pki_err_t *err);

/* first may be the size of any tree of the past; INVALID when they are not in order or larger than the tree. */
pki_code_t seal_consistency(db_t *db, pki_arena_t *a, audit_consistency_t *io, pki_err_t *err);

/* Partitions for this month, three more and those of events without one; *strays: events are still in the default one. */
pki_code_t seal_partitions(db_t *db, int64_t *made, bool *strays, pki_err_t *err);

/* The whole tree from its first leaf, a batch at a time. */
typedef struct {
    void (*fault)(void *arg, int64_t event_id, const char *what); /* event_id 0: what is about no single event */
    void (*progress)(void *arg, uint64_t leaves);
    void                      *arg;
    const audit_signed_head_t *kept; /* a head that was kept elsewhere; NULL: none */
    uint64_t                   leaves, heads, pruned, faults; /* out */
    int64_t                    pruned_before;                 /* out; 0: nothing was pruned */
} seal_verify_t;
pki_code_t seal_verify(db_t *db, seal_verify_t *v, pki_err_t *err);

#endif
