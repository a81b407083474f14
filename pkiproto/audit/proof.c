/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Proofs: JSON, and their checks.
 */
#include "pkiproto/audit/proof.h"

#include "pkiproto/base/text.h"

/* clang-format off */
const field_t audit_proof_fields[] = {
    FIELD_INT   (audit_proof_t, event_id,   F_REQUIRED, NULL, INT64_MIN, INT64_MAX, "number of the event"),
    FIELD_INT   (audit_proof_t, leaf_index, F_REQUIRED, NULL, 0, INT64_MAX / 2, "place of its leaf in the tree, from 0"),
    FIELD_HEX   (audit_proof_t, leaf_hash,  F_REQUIRED, "its leaf"),
    FIELD_STRS  (audit_proof_t, path,       0, NULL, "RFC 9162 inclusion path, from the leaf up, hexadecimal"),
    FIELD_OBJECT(audit_proof_t, head,       F_REQUIRED, audit_signed_head_fields, "the tree that it is in"),
    FIELD_END };
const field_t audit_consistency_fields[] = {
    FIELD_INT   (audit_consistency_t, first,  F_REQUIRED, NULL, 1, INT64_MAX / 2, "size of the older tree"),
    FIELD_INT   (audit_consistency_t, second, F_REQUIRED, NULL, 1, INT64_MAX / 2, "size of the newer tree"),
    FIELD_STRS  (audit_consistency_t, path,   0, NULL, "RFC 9162 consistency path, hexadecimal"),
    FIELD_END };
/* clang-format on */

pki_code_t
audit_path_print(pki_arena_t *a, const merkle_hash_t *path, size_t len, str_list_t *out, pki_err_t *err)
{
    PKI_TRY(PKI_NEW_N(a, len + 1, &out->v, err));
    for (size_t i = 0; i < len; i++) {
        out->v[i] = hex_print(a, BYTES_ARR(path[i].h));
        if (out->v[i] == NULL) {
            return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
        }
    }
    out->count = len;
    return PKI_OK;
}

static bool
hash_read(bytes_t octets, merkle_hash_t *out)
{
    if (octets.len != MERKLE_HASH_LEN) {
        return false;
    }
    memcpy(out->h, octets.p, octets.len);
    return true;
}

static pki_code_t
path_read(const str_list_t *in, merkle_hash_t path[MERKLE_PATH_MAX], pki_err_t *err)
{
    if (in->count > MERKLE_PATH_MAX) {
        return pki_fail(err, PKI_E_PARSE, NULL, "a path of %zu hashes: no tree is that high", in->count);
    }
    for (size_t i = 0; i < in->count; i++) {
        size_t len = 0;

        if (hex_decode(bytes_str(in->v[i]), path[i].h, MERKLE_HASH_LEN, &len, NULL) != PKI_OK || len != MERKLE_HASH_LEN) {
            return pki_fail(err, PKI_E_PARSE, NULL, "path[%zu] is no hash", i);
        }
    }
    return PKI_OK;
}

pki_code_t
audit_proof_check(const audit_proof_t *p, const audit_event_t *e, pki_err_t *err)
{
    merkle_hash_t leaf, root, path[MERKLE_PATH_MAX];

    PKI_TRY(path_read(&p->path, path, err));
    PKI_TRY(audit_event_leaf(e, &leaf, err));
    if (!hash_read(p->head.root, &root)
        || !merkle_path_check(&leaf, (uint64_t) p->leaf_index, (uint64_t) p->head.tree_size, path, p->path.count, &root))
    {
        return pki_fail(err, PKI_E_INVALID, "RFC 9162 2.1.3.2",
                        "the event is not leaf %lld of the tree of %lld: it was changed, or this is no proof of it",
                        (long long) p->leaf_index, (long long) p->head.tree_size);
    }
    return PKI_OK;
}

pki_code_t
audit_consistency_check(const audit_consistency_t *c, const audit_signed_head_t *first, const audit_signed_head_t *second,
                        pki_err_t *err)
{
    merkle_hash_t older, newer, path[MERKLE_PATH_MAX];

    PKI_TRY(path_read(&c->path, path, err));
    if (first->tree_size != c->first || second->tree_size != c->second || !hash_read(first->root, &older)
        || !hash_read(second->root, &newer)
        || !merkle_consistency_check((uint64_t) c->first, (uint64_t) c->second, path, c->path.count, &older, &newer))
    {
        return pki_fail(err, PKI_E_INVALID, "RFC 9162 2.1.4.2", "the tree of %lld does not continue that of %lld",
                        (long long) second->tree_size, (long long) first->tree_size);
    }
    return PKI_OK;
}
