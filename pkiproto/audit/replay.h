/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The audit's tree made again out of an export alone, and held against signed heads.
 */
#ifndef PKI_AUDIT_REPLAY_H
#define PKI_AUDIT_REPLAY_H

#include "pkiproto/audit/head.h"
#include "pkiproto/audit/line.h"

typedef struct {
    uint64_t      index;
    int64_t       id;
    merkle_hash_t leaf;
} replay_leaf_t;

typedef struct {
    void (*fault)(void *arg, int64_t event_id, const char *what); /* event_id 0: what is about no single event */
    void          *arg;
    uint64_t       lines, unsealed, covered, faults; /* out; covered: events in the largest head that was found right */
    int64_t        last_id;                          /* of the line before */
    replay_leaf_t *leaf;
    size_t         count, cap;
} replay_t;

/* The next line, as they come: newest first. */
pki_code_t replay_take(replay_t *r, bytes_t line, pki_err_t *err);

/* After the last: the tree, and whether each head is signed by one of the keys and is a head of it. */
pki_code_t replay_check(replay_t *r, audit_signed_head_t *heads, size_t head_count, const bytes_t *spki, size_t key_count,
                        pki_err_t *err);

void replay_free(replay_t *r);

#endif
