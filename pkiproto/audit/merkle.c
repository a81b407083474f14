/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * RFC 9162 2.1, in its order: hashes, inclusion proofs, consistency proofs.
 */
#include "pkiproto/audit/merkle.h"

#include "pkiproto/base/ossl.h"

bool
merkle_node(const merkle_hash_t *left, const merkle_hash_t *right, merkle_hash_t *out)
{
    uint8_t in[1 + 2 * MERKLE_HASH_LEN] = { 0x01 };

    memcpy(in + 1, left->h, MERKLE_HASH_LEN);
    memcpy(in + 1 + MERKLE_HASH_LEN, right->h, MERKLE_HASH_LEN);
    return EVP_Digest(in, sizeof(in), out->h, NULL, ossl_sha256(), NULL) == 1;
}

void
merkle_add(merkle_front_t *f, const merkle_hash_t *leaf, merkle_completed_pt completed, void *arg)
{
    merkle_hash_t node = *leaf;
    unsigned      level = 0;

    for (; f->size >> level & 1; level++) {
        f->failed = !merkle_node(&f->full[level], &node, &node) || f->failed;
        if (completed != NULL) {
            completed(arg, level + 1, f->size >> (level + 1), &node);
        }
    }
    f->full[level] = node;
    f->size++;
}

pki_code_t
merkle_root(const merkle_front_t *f, merkle_hash_t *out, pki_err_t *err)
{
    bool any = false, good = !f->failed && EVP_Digest("", 0, out->h, NULL, ossl_sha256(), NULL) == 1;

    for (unsigned level = 0; level < MERKLE_LEVELS; level++) {
        if (f->size >> level & 1) {
            if (any) {
                good = merkle_node(&f->full[level], out, out) && good;
            } else {
                *out = f->full[level];
            }
            any = true;
        }
    }
    return good ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory for the tree");
}

/* The largest power of two below n; n is at least 2. */
static uint64_t
split(uint64_t n)
{
    return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

static void
reverse(merkle_hash_t *path, size_t len)
{
    for (size_t i = 0; i < len / 2; i++) {
        merkle_hash_t other = path[i];

        path[i] = path[len - 1 - i];
        path[len - 1 - i] = other;
    }
}

pki_code_t
merkle_path(uint64_t index, uint64_t size, merkle_range_pt range, void *arg, merkle_hash_t path[MERKLE_PATH_MAX],
            size_t *len, pki_err_t *err)
{
    uint64_t at = 0, n = size;

    *len = 0;
    while (n > 1) {
        uint64_t k = split(n);

        if (index < at + k) {
            PKI_TRY(range(arg, at + k, n - k, &path[(*len)++], err));
            n = k;
        } else {
            PKI_TRY(range(arg, at, k, &path[(*len)++], err));
            at += k;
            n -= k;
        }
    }
    reverse(path, *len);
    return PKI_OK;
}

pki_code_t
merkle_consistency(uint64_t first, uint64_t second, merkle_range_pt range, void *arg,
                   merkle_hash_t path[MERKLE_PATH_MAX], size_t *len, pki_err_t *err)
{
    uint64_t at = 0, m = first, n = second;

    *len = 0;
    while (m < n) {
        uint64_t k = split(n);

        if (m <= k) {
            PKI_TRY(range(arg, at + k, n - k, &path[(*len)++], err));
            n = k;
        } else {
            PKI_TRY(range(arg, at, k, &path[(*len)++], err));
            at += k;
            m -= k;
            n -= k;
        }
    }
    /* The verifier knows the first tree's root already. */
    if (at > 0) {
        PKI_TRY(range(arg, at, n, &path[(*len)++], err));
    }
    reverse(path, *len);
    return PKI_OK;
}

bool
merkle_path_check(const merkle_hash_t *leaf, uint64_t index, uint64_t size, const merkle_hash_t *path, size_t len,
                  const merkle_hash_t *root)
{
    uint64_t      fn = index, sn = size - 1;
    merkle_hash_t r = *leaf;
    bool          good = true;

    if (index >= size) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (sn == 0) {
            return false;
        }
        if ((fn & 1) || fn == sn) {
            good = merkle_node(&path[i], &r, &r) && good;
            while (!(fn & 1) && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            good = merkle_node(&r, &path[i], &r) && good;
        }
        fn >>= 1;
        sn >>= 1;
    }
    return good && sn == 0 && merkle_same(&r, root);
}

bool
merkle_consistency_check(uint64_t first, uint64_t second, const merkle_hash_t *path, size_t len,
                         const merkle_hash_t *first_root, const merkle_hash_t *second_root)
{
    uint64_t      fn = first - 1, sn = second - 1;
    merkle_hash_t fr, sr;
    size_t        i = 0;
    bool          good = true;

    if (first == 0 || first > second) {
        return false;
    }
    if (first == second) {
        return len == 0 && merkle_same(first_root, second_root);
    }
    while (fn & 1) {
        fn >>= 1;
        sn >>= 1;
    }
    /* first is a power of two: its root is where the proof starts. */
    if ((first & (first - 1)) == 0) {
        fr = *first_root;
    } else if (len > 0) {
        fr = path[i++];
    } else {
        return false;
    }
    for (sr = fr; i < len; i++) {
        if (sn == 0) {
            return false;
        }
        if ((fn & 1) || fn == sn) {
            good = merkle_node(&path[i], &fr, &fr) && merkle_node(&path[i], &sr, &sr) && good;
            while (!(fn & 1) && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            good = merkle_node(&sr, &path[i], &sr) && good;
        }
        fn >>= 1;
        sn >>= 1;
    }
    return good && sn == 0 && merkle_same(&fr, first_root) && merkle_same(&sr, second_root);
}
