/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Sealing, and proofs out of what was sealed.
 */
#include "orchestrator/store/seal.h"

#include "core/clock.h"
#include "orchestrator/store/seal_part.h"
#include "orchestrator/store/verb.h"

#define SEAL_WAIT_MS   60000
#define SUBTREE_LEVEL  10 /* smaller ones are made of leaves */
#define SUBTREES_MAX   64 /* that one batch completes, of this level and above */
#define MONTHS_AHEAD   3

void
seal_event_read(const db_rows_t *r, size_t row, audit_event_t *out)
{
    for (size_t i = 0; i < AUDIT_EVENT_FIELDS; i++) {
        out->field[i] = bytes_str(db_text(r, row, audit_event_names[i]));
    }
}

/* ---- parts of the tree ---- */

typedef struct {
    db_conn_t   *c;
    pki_arena_t *a;
} parts_t;

static pki_code_t
leaves_root(parts_t *p, uint64_t first, uint64_t count, merkle_hash_t *out, pki_err_t *err)
{
    merkle_front_t front = { 0 };
    db_rows_t     *rows;

    PKI_TRY(db_query(p->c, p->a, Q_seal_leaves, DB_PARAMS(DB_I(first), DB_I(first + count)), &rows, err));
    for (size_t i = 0; i < db_row_count(rows); i++) {
        uint64_t no = (uint64_t) db_int(rows, i, "first");
        bytes_t  leaves = db_bytes(rows, i, "leaves"), leaf;

        for (; bytes_take(&leaves, MERKLE_HASH_LEN, &leaf); no++) {
            merkle_hash_t hash;

            if (no == first + front.size && front.size < count) {
                memcpy(hash.h, leaf.p, leaf.len);
                merkle_add(&front, &hash, NULL, NULL);
            }
        }
    }
    if (front.size != count) {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "the tree has no leaves %llu to %llu", (unsigned long long) first,
                        (unsigned long long) (first + count));
    }
    return merkle_root(&front, out, err);
}

static pki_code_t
range_root(void *arg, uint64_t first, uint64_t count, merkle_hash_t *out, pki_err_t *err)
{
    parts_t      *p = arg;
    unsigned      level = 63 - (unsigned) __builtin_clzll(count);
    uint64_t      half = UINT64_C(1) << level;
    merkle_hash_t left, right;
    db_rows_t    *rows;

    if (count <= UINT64_C(1) << SUBTREE_LEVEL && (count != half || level < SUBTREE_LEVEL)) {
        return leaves_root(p, first, count, out, err);
    }
    if (count == half) {
        PKI_TRY(db_query(p->c, p->a, Q_seal_subtree, DB_PARAMS(DB_I(level), DB_I(first >> level)), &rows, err));
        if (db_row_count(rows) == 0) {
            return pki_fail(err, PKI_E_INTERNAL, NULL, "the tree has no subtree %u/%llu", level,
                            (unsigned long long) (first >> level));
        }
        memcpy(out->h, db_bytes(rows, 0, "root").p, MERKLE_HASH_LEN);
        return PKI_OK;
    }
    PKI_TRY(range_root(arg, first, half, &left, err));
    PKI_TRY(range_root(arg, first + half, count - half, &right, err));
    return merkle_node(&left, &right, out) ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory for the tree");
}

static pki_code_t
front_load(parts_t *p, uint64_t size, merkle_front_t *out, pki_err_t *err)
{
    *out = (merkle_front_t){ .size = size };
    for (unsigned level = 0; level < MERKLE_LEVELS; level++) {
        if (size >> level & 1) {
            PKI_TRY(range_root(p, size >> (level + 1) << (level + 1), UINT64_C(1) << level, &out->full[level], err));
        }
    }
    return PKI_OK;
}

/* ---- sealing ---- */

typedef struct {
    const seal_signer_t *by;
    pki_arena_t         *a;
    merkle_front_t       front;
    uint64_t             last_xid;
    int64_t              last_id, base_id;
    uint8_t             *leaves;
    db_param_t          *ids;
    db_param_t           levels[SUBTREES_MAX], nos[SUBTREES_MAX], roots[SUBTREES_MAX];
    merkle_hash_t        subtrees[SUBTREES_MAX];
    size_t               count, subtree_count;
} sealing_t;

static void
subtree_note(void *arg, unsigned level, uint64_t no, const merkle_hash_t *root)
{
    sealing_t *s = arg;
    size_t     n = s->subtree_count;

    if (level >= SUBTREE_LEVEL && n < SUBTREES_MAX) {
        s->subtrees[n] = *root;
        s->levels[n] = DB_I(level);
        s->nos[n] = DB_I(no);
        s->roots[n] = DB_B(BYTES_ARR(s->subtrees[n].h));
        s->subtree_count++;
    }
}

/* Where the tree ends.  In another cluster transactions have other numbers: there, all events are new that came later. */
static pki_code_t
last_read(db_conn_t *c, sealing_t *s, pki_err_t *err)
{
    parts_t       parts = { c, s->a };
    merkle_hash_t root;
    db_rows_t    *rows;
    uint64_t      size = 0;

    PKI_TRY(db_query(c, s->a, Q_seal_last, NULL, 0, &rows, err));
    if (db_row_count(rows) > 0) {
        size = (uint64_t) db_int(rows, 0, "size");
        s->last_xid = (uint64_t) db_int(rows, 0, "last_xid");
        s->last_id = db_int(rows, 0, "last_id");
        s->base_id = db_int(rows, 0, "base_id");
        if (db_bool(rows, 0, "foreign_cluster")) {
            s->base_id = s->last_id;
            s->last_xid = 0;
        }
    }
    if (s->front.size != size) {
        PKI_TRY(front_load(&parts, size, &s->front, err));
    }
    PKI_TRY(merkle_root(&s->front, &root, err));
    if (size > 0 && !bytes_eq(BYTES_ARR(root.h), db_bytes(rows, 0, "root"))) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "the audit's tree of %llu leaves has another root than its head",
                        (unsigned long long) size);
    }
    return PKI_OK;
}

static pki_code_t
batch_build(sealing_t *s, const db_rows_t *rows, pki_err_t *err)
{
    s->count = db_row_count(rows);
    PKI_TRY(PKI_NEW_N(s->a, s->count * MERKLE_HASH_LEN + 1, &s->leaves, err));
    PKI_TRY(PKI_NEW_N(s->a, s->count + 1, &s->ids, err));
    for (size_t i = 0; i < s->count; i++) {
        audit_event_t event;
        merkle_hash_t leaf;

        seal_event_read(rows, i, &event);
        PKI_TRY(audit_event_leaf(&event, &leaf, err));
        memcpy(s->leaves + i * MERKLE_HASH_LEN, leaf.h, MERKLE_HASH_LEN);
        merkle_add(&s->front, &leaf, subtree_note, s);
        s->last_xid = (uint64_t) db_int(rows, i, "xid");
        s->last_id = db_int(rows, i, "no");
        s->ids[i] = DB_I(s->last_id);
    }
    return PKI_OK;
}

#define COLUMN(v, n, of) ((db_param_t){ .type = DB_ARRAY, .num = (int64_t) (n), .items = (v), .stride = 1, .elem = (of) })

static pki_code_t
batch_insert(db_conn_t *c, sealing_t *s, pki_err_t *err)
{
    audit_head_t head = { .size = s->front.size, .at = clock_now() };
    uint8_t      octets[AUDIT_HEAD_LEN];
    bytes_t      signature;

    memcpy(head.log, s->by->log, sizeof(head.log));
    PKI_TRY(merkle_root(&s->front, &head.root, err));
    audit_head_build(&head, octets);
    PKI_TRY(s->by->sign(s->by->arg, s->a, BYTES_ARR(octets), &signature, err));
    PKI_TRY(db_query(c, NULL, Q_seal_insert,
                     DB_PARAMS(DB_I(s->front.size - s->count), DB_I(s->front.size), COLUMN(s->ids, s->count, DB_INT),
                               DB_B(bytes_of(s->leaves, s->count * MERKLE_HASH_LEN)), DB_B(BYTES_ARR(head.root.h)),
                               DB_TM(head.at), DB_T(s->by->key_id), DB_B(signature), DB_I(s->last_xid), DB_I(s->last_id),
                               DB_I(s->base_id)),
                     NULL, err));
    if (s->subtree_count == 0) {
        return PKI_OK;
    }
    return db_query(c, NULL, Q_seal_subtree_insert,
                    DB_PARAMS(COLUMN(s->levels, s->subtree_count, DB_INT), COLUMN(s->nos, s->subtree_count, DB_INT),
                              COLUMN(s->roots, s->subtree_count, DB_BYTES)),
                    NULL, err);
}

static pki_code_t
seal_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    sealing_t *s = arg;
    db_rows_t *rows;

    conn_patience(c, SEAL_WAIT_MS);
    s->count = s->subtree_count = 0;
    PKI_TRY(db_query(c, s->a, Q_seal_lock, NULL, 0, &rows, err));
    if (!db_bool(rows, 0, "held")) {
        return PKI_OK;
    }
    PKI_TRY(last_read(c, s, err));
    PKI_TRY(db_query(c, s->a, Q_seal_unsealed,
                     DB_PARAMS(DB_I(s->last_xid), DB_I(s->last_id), DB_I(s->base_id), DB_I(SEAL_BATCH)), &rows, err));
    if (db_row_count(rows) == 0) {
        return PKI_OK;
    }
    PKI_TRY(batch_build(s, rows, err));
    return batch_insert(c, s, err);
}

pki_code_t
seal_next(db_t *db, const seal_signer_t *by, merkle_front_t *front, size_t *sealed, pki_err_t *err)
{
    sealing_t *s;
    pki_arena_t *a = pki_arena_new(0);
    pki_code_t   rc;

    *sealed = 0;
    if (a == NULL || (s = pki_alloc(a, sizeof(*s))) == NULL) {
        pki_arena_free(a);
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    s->by = by;
    s->a = a;
    s->front = *front;
    rc = db_tx(db, seal_run, s, err);
    /* After a failure nobody knows whether it was committed: the next turn looks. */
    *front = rc == PKI_OK ? s->front : (merkle_front_t){ 0 };
    *sealed = rc == PKI_OK ? s->count : 0;
    pki_arena_free(a);
    return rc;
}

/* ---- keys, heads, proofs ---- */

pki_code_t
seal_key_note(db_t *db, const char *id, bytes_t spki, const uint8_t log[AUDIT_LOG_LEN], pki_err_t *err)
{
    return verb_read(db, NULL, Q_seal_key_insert, DB_PARAMS(DB_T(id), DB_B(spki), DB_B(bytes_of(log, AUDIT_LOG_LEN))), NULL,
                     err);
}

pki_code_t
seal_keys(db_t *db, pki_arena_t *a, bytes_t **spki, size_t *count, pki_err_t *err)
{
    db_rows_t *rows;

    PKI_TRY(verb_read(db, a, Q_seal_keys, NULL, 0, &rows, err));
    *count = db_row_count(rows);
    PKI_TRY(PKI_NEW_N(a, *count + 1, spki, err));
    for (size_t i = 0; i < *count; i++) {
        (*spki)[i] = db_bytes(rows, i, "spki");
    }
    return PKI_OK;
}

static pki_code_t
head_run(db_conn_t *c, pki_arena_t *a, audit_signed_head_t *out, pki_err_t *err)
{
    db_rows_t *rows;

    PKI_TRY(db_query(c, a, Q_seal_last, NULL, 0, &rows, err));
    if (db_row_count(rows) == 0) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "no event of the audit is sealed yet");
    }
    seal_head_read(rows, out);
    return PKI_OK;
}

void
seal_head_read(const db_rows_t *rows, audit_signed_head_t *out)
{
    *out = (audit_signed_head_t){
        .tree_size = db_int(rows, 0, "size"),
        .at = db_time(rows, 0, "at"),
        .root = db_bytes(rows, 0, "root"),
        .log = db_bytes(rows, 0, "log"),
        .signature = db_bytes(rows, 0, "signature"),
        .key_id = db_text(rows, 0, "key_id"),
    };
}

typedef struct {
    pki_arena_t         *a;
    audit_signed_head_t *head;
    audit_proof_t       *proof;
    audit_consistency_t *consistency;
} asking_t;

static pki_code_t
latest_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    asking_t *q = arg;

    return head_run(c, q->a, q->head, err);
}

pki_code_t
seal_head(db_t *db, pki_arena_t *a, audit_signed_head_t *out, pki_err_t *err)
{
    asking_t q = { .a = a, .head = out };

    return db_run(db, latest_run, &q, err);
}

static pki_code_t
proof_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    asking_t      *q = arg;
    audit_proof_t *out = q->proof;
    parts_t        parts = { c, q->a };
    merkle_hash_t  path[MERKLE_PATH_MAX], leaf;
    size_t         len;
    db_rows_t     *rows;

    PKI_TRY(head_run(c, q->a, &out->head, err));
    PKI_TRY(db_query(c, q->a, Q_seal_place, DB_PARAMS(DB_I(out->event_id)), &rows, err));
    if (db_row_count(rows) == 0 || db_int(rows, 0, "place") >= out->head.tree_size) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "there is no audit event %lld, or it is not sealed yet",
                        (long long) out->event_id);
    }
    out->leaf_index = db_int(rows, 0, "place");
    PKI_TRY(leaves_root(&parts, (uint64_t) out->leaf_index, 1, &leaf, err));
    PKI_TRY(pki_bytes_dup(q->a, BYTES_ARR(leaf.h), &out->leaf_hash, err));
    PKI_TRY(merkle_path((uint64_t) out->leaf_index, (uint64_t) out->head.tree_size, range_root, &parts, path, &len, err));
    return audit_path_print(q->a, path, len, &out->path, err);
}

pki_code_t
seal_proof(db_t *db, pki_arena_t *a, int64_t event_id, audit_proof_t *out, pki_err_t *err)
{
    asking_t q = { .a = a, .proof = out };

    out->event_id = event_id;
    return db_run(db, proof_run, &q, err);
}

static pki_code_t
consistency_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    asking_t            *q = arg;
    audit_consistency_t *io = q->consistency;
    parts_t              parts = { c, q->a };
    audit_signed_head_t  head;
    merkle_hash_t        path[MERKLE_PATH_MAX];
    size_t               len;

    PKI_TRY(head_run(c, q->a, &head, err));
    if (io->first < 1 || io->first > io->second || io->second > head.tree_size) {
        return pki_fail(err, PKI_E_INVALID, "RFC 9162 2.1.4.1", "first and second are sizes up to %lld, in order",
                        (long long) head.tree_size);
    }
    PKI_TRY(merkle_consistency((uint64_t) io->first, (uint64_t) io->second, range_root, &parts, path, &len, err));
    return audit_path_print(q->a, path, len, &io->path, err);
}

pki_code_t
seal_consistency(db_t *db, pki_arena_t *a, audit_consistency_t *io, pki_err_t *err)
{
    asking_t q = { .a = a, .consistency = io };

    return db_run(db, consistency_run, &q, err);
}

pki_code_t
seal_partitions(db_t *db, int64_t *made, bool *strays, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    db_rows_t   *rows;
    pki_code_t   rc = a != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");

    if (rc == PKI_OK) {
        rc = verb_read(db, a, Q_seal_partitions, DB_PARAMS(DB_I(MONTHS_AHEAD)), &rows, err);
    }
    if (rc == PKI_OK) {
        *made = db_int(rows, 0, "made");
        rc = verb_read(db, a, Q_seal_strays, NULL, 0, &rows, err);
    }
    if (rc == PKI_OK) {
        *strays = db_bool(rows, 0, "strays");
    }
    pki_arena_free(a);
    return rc;
}
