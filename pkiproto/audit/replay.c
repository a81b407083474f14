/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What is wrong with a row is told by its own leaf; what is wrong with the leaves, by the signed roots.  A tree is made as
 * far as no leaf is missing.
 */
#include "pkiproto/audit/replay.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void fault(replay_t *r, int64_t id, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void
fault(replay_t *r, int64_t id, const char *fmt, ...)
{
    char    text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    r->faults++;
    r->fault(r->arg, id, text);
}

/* ---- lines ---- */

static pki_code_t
leaf_keep(replay_t *r, const audit_line_t *line, pki_err_t *err)
{
    if (r->count == r->cap) {
        size_t         cap = r->cap == 0 ? 4096 : r->cap * 2;
        replay_leaf_t *p = realloc(r->leaf, cap * sizeof(*p));

        if (p == NULL) {
            return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory for the leaves");
        }
        r->leaf = p;
        r->cap = cap;
    }
    r->leaf[r->count++] = (replay_leaf_t){ line->leaf_index, line->id, line->leaf_hash };
    return PKI_OK;
}

static pki_code_t
line_take(replay_t *r, const audit_line_t *line, pki_err_t *err)
{
    merkle_hash_t leaf;

    if (r->lines > 1 && line->id >= r->last_id) {
        fault(r, line->id, "stands after event %" PRId64 ": it was moved or is there twice", r->last_id);
    }
    r->last_id = line->id;
    if (!line->sealed) {
        r->unsealed++;
        return PKI_OK;
    }
    PKI_TRY(audit_event_leaf(&line->event, &leaf, err));
    if (!merkle_same(&leaf, &line->leaf_hash)) {
        fault(r, line->id, "was changed: its row is not that of its leaf");
    }
    return leaf_keep(r, line, err);
}

pki_code_t
replay_take(replay_t *r, bytes_t line, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    audit_line_t parsed;
    pki_err_t    why = { 0 };
    pki_code_t   code = a != NULL ? audit_line_parse(a, line, &parsed, &why)
                                  : pki_fail(&why, PKI_E_NOMEM, NULL, "out of memory");

    r->lines++;
    if (code == PKI_OK && parsed.alone) {
        code = pki_fail(&why, PKI_E_PARSE, NULL, "not an event with its leaf");
    }
    if (code == PKI_OK) {
        code = line_take(r, &parsed, &why);
    } else if (code != PKI_E_NOMEM) {
        fault(r, 0, "line %" PRIu64 ": %.180s", r->lines, why.text);
        code = PKI_OK;
    }
    pki_arena_free(a);
    if (code != PKI_OK && err != NULL) {
        *err = why;
    }
    return code;
}

/* ---- the tree ---- */

static int
leaf_order(const void *a, const void *b)
{
    const replay_leaf_t *x = a, *y = b;

    return x->index != y->index ? (x->index < y->index ? -1 : 1) : x->id < y->id ? -1 : x->id > y->id;
}

static int
head_order(const void *a, const void *b)
{
    const audit_signed_head_t *x = a, *y = b;

    return x->tree_size < y->tree_size ? -1 : x->tree_size > y->tree_size;
}

/* Leaves in the order of the tree; those before the first that is missing or there twice. */
static size_t
leaves_order(replay_t *r)
{
    uint64_t next = 0;
    size_t   whole = 0;
    bool     broken = false;

    if (r->count > 0) {
        qsort(r->leaf, r->count, sizeof(r->leaf[0]), leaf_order);
    }
    for (size_t i = 0; i < r->count; i++) {
        const replay_leaf_t *l = &r->leaf[i];

        if (l->index > next) {
            fault(r, 0, "leaves %" PRIu64 " to %" PRIu64 " are missing: events were removed before event %" PRId64 "%s", next,
                  l->index - 1, l->id, i == 0 ? ", the first there is" : "");
        } else if (i > 0 && l->index < next) {
            fault(r, l->id, "claims leaf %" PRIu64 ", which is that of event %" PRId64, l->index, r->leaf[i - 1].id);
        }
        broken = broken || l->index != next;
        whole += !broken;
        next = l->index + 1;
    }
    return whole;
}

/* going: false when the leaves since the head before are not those that were signed. */
static pki_code_t
head_take(replay_t *r, const audit_signed_head_t *h, merkle_front_t *front, bool *going, pki_err_t *err)
{
    uint64_t      from = front->size;
    merkle_hash_t root;

    while (front->size < (uint64_t) h->tree_size) {
        merkle_add(front, &r->leaf[front->size].leaf, NULL, NULL);
    }
    PKI_TRY(merkle_root(front, &root, err));
    *going = bytes_eq(BYTES_ARR(root.h), h->root);
    if (*going) {
        r->covered = front->size;
    } else if (from == front->size) {
        fault(r, 0, "of two heads of %" PRIu64 " events one is not of this tree", from);
    } else {
        fault(r, 0, "leaves %" PRIu64 " to %" PRIu64 " (events %" PRId64 " to %" PRId64 ") are not those that were signed",
              from, front->size - 1, r->leaf[from].id, r->leaf[front->size - 1].id);
    }
    return PKI_OK;
}

pki_code_t
replay_check(replay_t *r, audit_signed_head_t *heads, size_t head_count, const bytes_t *spki, size_t key_count,
             pki_err_t *err)
{
    size_t         whole = leaves_order(r);
    merkle_front_t front = { 0 };
    bool           going = true;

    if (head_count == 0) {
        return pki_fail(err, PKI_E_INVALID, NULL, "there is no head to hold the events against");
    }
    qsort(heads, head_count, sizeof(heads[0]), head_order);
    for (size_t i = 0; i < head_count; i++) {
        pki_err_t why = { 0 };

        if (audit_signed_head_check_any(&heads[i], spki, key_count, &why) != PKI_OK) {
            fault(r, 0, "the head of %" PRId64 " events is not signed: %.120s", heads[i].tree_size, why.text);
        } else if (going && (uint64_t) heads[i].tree_size <= whole) {
            PKI_TRY(head_take(r, &heads[i], &front, &going, err));
        } else if (going) {
            going = false;
            fault(r, 0, "the head of %" PRId64 " events cannot be made: only the first %zu leaves are there without a gap",
                  heads[i].tree_size, whole);
        }
    }
    return PKI_OK;
}

void
replay_free(replay_t *r)
{
    free(r->leaf);
    r->leaf = NULL;
    r->count = r->cap = 0;
}
