/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Merkle trees of RFC 9162 2.1 with SHA-256: growing one leaf by leaf, and making and checking proofs.
 */
#ifndef PKI_AUDIT_MERKLE_H
#define PKI_AUDIT_MERKLE_H

#include "pkiproto/base/bytes.h"
#include "pkiproto/base/err.h"

#define MERKLE_HASH_LEN 32
#define MERKLE_LEVELS   62
#define MERKLE_PATH_MAX (MERKLE_LEVELS + 1)

typedef struct {
    uint8_t h[MERKLE_HASH_LEN];
} merkle_hash_t;

static inline bool
merkle_same(const merkle_hash_t *a, const merkle_hash_t *b)
{
    return memcmp(a->h, b->h, sizeof(a->h)) == 0;
}

/* False: out of memory. */
bool merkle_node(const merkle_hash_t *left, const merkle_hash_t *right, merkle_hash_t *out);

/* The roots of a tree's complete subtrees: full[n] is there when bit n of size is set.  All zero: no leaves. */
typedef struct {
    uint64_t      size;
    bool          failed; /* memory was out while it grew: it has no root any more */
    merkle_hash_t full[MERKLE_LEVELS];
} merkle_front_t;

/* Add a leaf.  `completed` (may be NULL) is told of each subtree that it completes: the no-th of 2^level leaves. */
typedef void (*merkle_completed_pt)(void *arg, unsigned level, uint64_t no, const merkle_hash_t *root);
void merkle_add(merkle_front_t *f, const merkle_hash_t *leaf, merkle_completed_pt completed, void *arg);

/* NOMEM: now, or when a leaf was added. */
pki_code_t merkle_root(const merkle_front_t *f, merkle_hash_t *out, pki_err_t *err);

/* The root of the leaves first .. first + count - 1, where a proof needs it. */
typedef pki_code_t (*merkle_range_pt)(void *arg, uint64_t first, uint64_t count, merkle_hash_t *out, pki_err_t *err);

/* RFC 9162 2.1.3.1: the path of a leaf in a tree of that size; index < size. */
pki_code_t merkle_path(uint64_t index, uint64_t size, merkle_range_pt range, void *arg,
                       merkle_hash_t path[MERKLE_PATH_MAX], size_t *len, pki_err_t *err);

/* RFC 9162 2.1.4.1: that a tree of size second begins with one of size first; 0 < first <= second. */
pki_code_t merkle_consistency(uint64_t first, uint64_t second, merkle_range_pt range, void *arg,
                              merkle_hash_t path[MERKLE_PATH_MAX], size_t *len, pki_err_t *err);

/* RFC 9162 2.1.3.2 and 2.1.4.2; false also when memory is out */
bool merkle_path_check(const merkle_hash_t *leaf, uint64_t index, uint64_t size, const merkle_hash_t *path, size_t len,
                       const merkle_hash_t *root);
bool merkle_consistency_check(uint64_t first, uint64_t second, const merkle_hash_t *path, size_t len,
                              const merkle_hash_t *first_root, const merkle_hash_t *second_root);

#endif
