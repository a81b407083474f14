/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Verifying the audit: every leaf against its event, every head against the leaves and its key.  One batch is in memory
 * at a time.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "orchestrator/store/seal_part.h"
#include "orchestrator/store/verb.h"

#define VERIFY_WAIT_MS 600000
#define PRUNED_MAX     1200 /* months */

typedef struct {
    int64_t id;
    size_t  place;
    bool    seen;
} leaf_t;

typedef struct {
    int64_t first_id, last_id;
} pruned_t;

typedef struct {
    seal_verify_t *v;
    pki_arena_t   *a;
    merkle_front_t front;
    bool           astray, ended; /* astray: a root was wrong, and so are all that follow */
    uint64_t       last_xid, pruned_events;
    int64_t        last_id;
    pruned_t       pruned[PRUNED_MAX];
    size_t         pruned_count;
    bytes_t        leaves;
    leaf_t        *by_id;
    uint64_t      *xids; /* by place; 0: the event is not there */
    size_t         count;
} walk_t;

static void fault(walk_t *w, int64_t id, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void
fault(walk_t *w, int64_t id, const char *fmt, ...)
{
    char    text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    w->v->faults++;
    w->v->fault(w->v->arg, id, text);
}

static int
leaf_order(const void *a, const void *b)
{
    int64_t x = ((const leaf_t *) a)->id, y = ((const leaf_t *) b)->id;

    return (x > y) - (x < y);
}

static const uint8_t *
leaf_at(const walk_t *w, size_t place)
{
    return w->leaves.p + place * MERKLE_HASH_LEN;
}

static bool
leaf_elsewhere(const walk_t *w, const merkle_hash_t *hash)
{
    for (size_t i = 0; i < w->count; i++) {
        if (memcmp(leaf_at(w, i), hash->h, MERKLE_HASH_LEN) == 0) {
            return true;
        }
    }
    return false;
}

static pki_code_t
event_check(walk_t *w, const db_rows_t *rows, size_t row, pki_err_t *err)
{
    leaf_t        want = { .id = db_int(rows, row, "no") }, *leaf;
    audit_event_t event;
    merkle_hash_t hash;

    leaf = bsearch(&want, w->by_id, w->count, sizeof(*leaf), leaf_order);
    if (leaf == NULL) {
        return PKI_OK;
    }
    leaf->seen = true;
    w->xids[leaf->place] = (uint64_t) db_int(rows, row, "xid");
    seal_event_read(rows, row, &event);
    PKI_TRY(audit_event_leaf(&event, &hash, err));
    if (memcmp(leaf_at(w, leaf->place), hash.h, sizeof(hash.h)) != 0) {
        fault(w, want.id, leaf_elsewhere(w, &hash) ? "was moved to another place" : "was changed");
    }
    return PKI_OK;
}

static bool
was_pruned(const walk_t *w, int64_t id)
{
    for (size_t i = 0; i < w->pruned_count; i++) {
        if (id >= w->pruned[i].first_id && id <= w->pruned[i].last_id) {
            return true;
        }
    }
    return false;
}

/* Sealing takes events in the order of their transactions, and within one in that of their numbers. */
static void
order_check(walk_t *w, const int64_t *ids)
{
    uint64_t xid = 0;
    int64_t  id = 0;

    for (size_t i = 0; i < w->count; i++) {
        if (w->xids[i] == 0) {
            continue;
        }
        if (w->xids[i] < xid || (w->xids[i] == xid && ids[i] < id)) {
            fault(w, ids[i], "stands after %lld, which came later", (long long) id);
        }
        xid = w->xids[i];
        id = ids[i];
    }
}

static void
missing_check(walk_t *w)
{
    for (size_t i = 0; i < w->count; i++) {
        if (i > 0 && w->by_id[i].id == w->by_id[i - 1].id) {
            fault(w, w->by_id[i].id, "is in the tree twice");
        } else if (!w->by_id[i].seen && was_pruned(w, w->by_id[i].id)) {
            w->v->pruned++;
        } else if (!w->by_id[i].seen) {
            fault(w, w->by_id[i].id, "was removed");
        }
    }
}

static pki_code_t
kept_check(walk_t *w, pki_err_t *err)
{
    const audit_signed_head_t *kept = w->v->kept;
    merkle_hash_t              root;

    if (kept == NULL || w->front.size != (uint64_t) kept->tree_size) {
        return PKI_OK;
    }
    PKI_TRY(merkle_root(&w->front, &root, err));
    if (!bytes_eq(kept->root, BYTES_ARR(root.h))) {
        fault(w, 0, "the tree of %lld leaves is not the one of the head that was kept", (long long) kept->tree_size);
    }
    return PKI_OK;
}

static pki_code_t
head_check(walk_t *w, const db_rows_t *rows, pki_err_t *err)
{
    audit_signed_head_t head;
    merkle_hash_t       root;
    pki_err_t           why = { 0 };
    uint64_t            first = w->front.size;

    for (size_t i = 0; i < w->count; i++) {
        merkle_hash_t leaf;

        memcpy(leaf.h, leaf_at(w, i), sizeof(leaf.h));
        merkle_add(&w->front, &leaf, NULL, NULL);
        PKI_TRY(kept_check(w, err));
    }
    seal_head_read(rows, &head);
    PKI_TRY(merkle_root(&w->front, &root, err));
    if (!w->astray && !bytes_eq(head.root, BYTES_ARR(root.h))) {
        fault(w, 0, "leaves %llu to %llu, their order or the head over them were changed: the root is another one",
              (unsigned long long) first, (unsigned long long) w->front.size - 1);
        w->astray = true;
    }
    if (audit_signed_head_check(&head, db_bytes(rows, 0, "spki"), &why) != PKI_OK) {
        fault(w, 0, "the head of %lld leaves is not signed by its key", (long long) head.tree_size);
    }
    w->v->heads++;
    return PKI_OK;
}

static pki_code_t
batch_take(walk_t *w, const db_rows_t *rows, int64_t **ids, pki_err_t *err)
{
    bytes_t  octets = db_bytes(rows, 0, "ids");
    uint64_t id;

    w->count = octets.len / 8;
    w->leaves = db_bytes(rows, 0, "leaves");
    if (w->leaves.len != w->count * MERKLE_HASH_LEN
        || db_int(rows, 0, "size") - db_int(rows, 0, "first") != (int64_t) w->count)
    {
        return pki_fail(err, PKI_E_INVALID, NULL, "the batch at %lld has not as many leaves as events",
                        (long long) db_int(rows, 0, "first"));
    }
    PKI_TRY(PKI_NEW_N(w->a, w->count + 1, ids, err));
    PKI_TRY(PKI_NEW_N(w->a, w->count + 1, &w->by_id, err));
    PKI_TRY(PKI_NEW_N(w->a, w->count + 1, &w->xids, err));
    for (size_t i = 0; bytes_take_be(&octets, 8, &id); i++) {
        (*ids)[i] = (int64_t) id;
        w->by_id[i] = (leaf_t){ .id = (int64_t) id, .place = i };
    }
    qsort(w->by_id, w->count, sizeof(w->by_id[0]), leaf_order);
    return PKI_OK;
}

static pki_code_t
batch_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    walk_t    *w = arg;
    db_rows_t *rows, *events;
    int64_t   *ids = NULL, first;

    conn_patience(c, VERIFY_WAIT_MS);
    PKI_TRY(db_query(c, w->a, Q_seal_batch, DB_PARAMS(DB_I(w->front.size)), &rows, err));
    w->ended = db_row_count(rows) == 0;
    if (w->ended) {
        return PKI_OK;
    }
    first = db_int(rows, 0, "first");
    if (first != (int64_t) w->front.size) {
        return pki_fail(err, PKI_E_INVALID, NULL, "there is no batch with the leaves %llu to %lld",
                        (unsigned long long) w->front.size, (long long) first - 1);
    }
    PKI_TRY(batch_take(w, rows, &ids, err));
    PKI_TRY(db_query(c, w->a, Q_seal_batch_events, DB_PARAMS(DB_I(first)), &events, err));
    for (size_t i = 0; i < db_row_count(events); i++) {
        PKI_TRY(event_check(w, events, i, err));
    }
    missing_check(w);
    order_check(w, ids);
    PKI_TRY(head_check(w, rows, err));
    w->last_xid = (uint64_t) db_int(rows, 0, "last_xid");
    w->last_id = db_int(rows, 0, "last_id");
    return PKI_OK;
}

static pki_code_t
pruned_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    walk_t    *w = arg;
    db_rows_t *rows;

    PKI_TRY(db_query(c, w->a, Q_seal_pruned, NULL, 0, &rows, err));
    for (size_t i = 0; i < db_row_count(rows) && i < PRUNED_MAX; i++) {
        w->pruned[w->pruned_count++] = (pruned_t){ db_int(rows, i, "first_id"), db_int(rows, i, "last_id") };
        w->pruned_events += (uint64_t) db_int(rows, i, "events");
        w->v->pruned_before = db_time(rows, i, "before");
    }
    return PKI_OK;
}

static pki_code_t
inserted_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    walk_t    *w = arg;
    db_rows_t *rows;

    conn_patience(c, VERIFY_WAIT_MS);
    PKI_TRY(db_query(c, w->a, Q_seal_inserted, DB_PARAMS(DB_I(w->last_xid), DB_I(w->last_id)), &rows, err));
    for (size_t i = 0; i < db_row_count(rows); i++) {
        fault(w, db_int(rows, i, "id"), "was inserted later");
    }
    return PKI_OK;
}

static pki_code_t
walk(db_t *db, walk_t *w, pki_err_t *err)
{
    PKI_TRY(db_run(db, pruned_run, w, err));
    do {
        pki_arena_reset(w->a);
        PKI_TRY(db_run(db, batch_run, w, err));
        w->v->leaves = w->front.size;
        w->v->progress(w->v->arg, w->v->leaves);
    } while (!w->ended);
    if (w->v->pruned > w->pruned_events) {
        fault(w, 0, "%llu events are gone of months that had %llu when they were taken out",
              (unsigned long long) w->v->pruned, (unsigned long long) w->pruned_events);
    }
    if (w->v->kept != NULL && (uint64_t) w->v->kept->tree_size > w->front.size) {
        fault(w, 0, "the tree has %llu leaves, and a head of %lld was kept", (unsigned long long) w->front.size,
              (long long) w->v->kept->tree_size);
    }
    return db_run(db, inserted_run, w, err);
}

pki_code_t
seal_verify(db_t *db, seal_verify_t *v, pki_err_t *err)
{
    walk_t    *w = calloc(1, sizeof(*w));
    pki_code_t rc;

    if (w == NULL || (w->a = pki_arena_new(0)) == NULL) {
        free(w);
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    w->v = v;
    rc = walk(db, w, err);
    pki_arena_free(w->a);
    free(w);
    return rc;
}
