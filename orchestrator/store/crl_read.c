/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What the next list has in it: all entries, or what has changed since an earlier one, in one snapshot.
 *
 * Changes are found by two indexes, a thousand at a time so that the planner never prefers to read the table: rows
 * that the earlier list's snapshot has not seen, and those whose certificates ended meanwhile.
 */
#include <stdlib.h>

#include "orchestrator/store/crl.h"
#include "orchestrator/store/verb.h"

#define PAGE    1000
#define READ_MS 60000
#define REMOVED 8 /* removeFromCRL */

typedef struct {
    pki_arena_t       *a;
    const crl_query_t *q;
    crl_state_t       *out;
    db_conn_t         *c;
} read_t;

/* The end of one page, after which the next one begins. */
typedef struct {
    int64_t at; /* transaction or time */
    bytes_t serial;
} place_t;

typedef struct {
    crl_since_t *s;
    size_t       cap, max;
    int64_t      floor;
} since_t;

static void
entry_read(const db_rows_t *r, size_t row, crl_entry_t *out)
{
    *out = (crl_entry_t){
        .serial = db_bytes(r, row, "serial"),
        .revoked_at = db_time(r, row, "revoked_at"),
        .reason = (int) db_int(r, row, "reason"),
        .invalidity_at = db_time(r, row, "invalidity_at"),
    };
}

static pki_code_t
change_add(read_t *x, since_t *since, const db_rows_t *r, size_t row, pki_err_t *err)
{
    crl_since_t  *s = since->s;
    crl_change_t *c, *grown;

    if (s->count == since->cap) {
        since->cap = since->cap == 0 ? 64 : 2 * since->cap;
        PKI_TRY(PKI_NEW_N(x->a, since->cap, &grown, err));
        if (s->count != 0) {
            memcpy(grown, s->v, s->count * sizeof(*grown));
        }
        s->v = grown;
    }
    c = &s->v[s->count++];
    entry_read(r, row, &c->entry);
    c->listed = strcmp(db_text(r, row, "state"), "released") != 0 && db_time(r, row, "not_after") >= x->q->floor;
    return PKI_OK;
}

/* One page of rows; *more when there may be another one. */
static pki_code_t
page_add(read_t *x, since_t *since, const db_rows_t *rows, const char *place, place_t *last, bool *more, pki_err_t *err)
{
    size_t n = db_row_count(rows);

    for (size_t i = 0; i < n; i++) {
        PKI_TRY(change_add(x, since, rows, i, err));
    }
    *more = n == PAGE && since->s->count <= since->max;
    if (*more) {
        last->at = strcmp(place, "not_after") == 0 ? db_time(rows, n - 1, place) : db_int(rows, n - 1, place);
        last->serial = db_bytes(rows, n - 1, "serial");
    }
    return PKI_OK;
}

static pki_code_t
changed_add(read_t *x, since_t *since, pki_err_t *err)
{
    const crl_id_t *id = &x->q->id;
    place_t         last = { 0, BYTES_LIT("") };
    db_rows_t      *rows;
    bool            more = true;

    while (more) {
        conn_patience(x->c, READ_MS);
        PKI_TRY(db_query(x->c, x->a, Q_crl_changed,
                         DB_PARAMS(DB_I(id->issuer_no), DB_I(id->generation), DB_I(id->scope.shard),
                                   DB_T(since->s->snapshot), DB_I(last.at), DB_B(last.serial)),
                         &rows, err));
        PKI_TRY(page_add(x, since, rows, "changed_xid", &last, &more, err));
    }
    return PKI_OK;
}

static pki_code_t
ended_add(read_t *x, since_t *since, pki_err_t *err)
{
    const crl_id_t *id = &x->q->id;
    place_t         last = { since->floor, BYTES_LIT("") };
    db_rows_t      *rows;
    bool            more = since->floor < x->q->floor;

    while (more) {
        conn_patience(x->c, READ_MS);
        PKI_TRY(db_query(x->c, x->a, Q_crl_ended,
                         DB_PARAMS(DB_I(id->issuer_no), DB_I(id->generation), DB_I(id->scope.shard),
                                   DB_TM(since->floor), DB_TM(last.at), DB_B(last.serial), DB_TM(x->q->floor)),
                         &rows, err));
        PKI_TRY(page_add(x, since, rows, "not_after", &last, &more, err));
    }
    return PKI_OK;
}

static int
change_cmp(const void *a, const void *b)
{
    return bytes_cmp(((const crl_change_t *) a)->entry.serial, ((const crl_change_t *) b)->entry.serial);
}

/* In order of serial, each once: it may have changed and ended, and both look-ups saw the same row. */
static void
changes_sort(crl_since_t *s)
{
    size_t n = 0;

    if (s->count != 0) {
        qsort(s->v, s->count, sizeof(*s->v), change_cmp);
    }
    for (size_t i = 0; i < s->count; i++) {
        if (n == 0 || change_cmp(&s->v[n - 1], &s->v[i]) != 0) {
            s->v[n++] = s->v[i];
        }
    }
    s->count = n;
}

/* rows is the list that is compared with, or nothing.  Floors only rise, or what had gone would have to come back. */
static pki_code_t
since_read(read_t *x, const db_rows_t *rows, size_t max, crl_since_t *out, pki_err_t *err)
{
    since_t since = { .s = out, .max = max };

    *out = (crl_since_t){ 0 };
    if (db_row_count(rows) == 0 || db_time(rows, 0, "floor") > x->q->floor) {
        return PKI_OK;
    }
    out->number = db_int(rows, 0, "number");
    out->snapshot = db_text(rows, 0, "snapshot");
    since.floor = db_time(rows, 0, "floor");
    PKI_TRY(changed_add(x, &since, err));
    PKI_TRY(ended_add(x, &since, err));
    out->usable = out->count <= max;
    changes_sort(out);
    return PKI_OK;
}

static pki_code_t
list_since(read_t *x, pki_err_t *err)
{
    char       scope[CRL_SCOPE_TEXT_MAX];
    db_rows_t *rows;

    crl_scope_format(x->q->id.scope, scope);
    PKI_TRY(db_query(x->c, x->a, Q_crl_since,
                     DB_PARAMS(DB_I(x->q->id.issuer_no), DB_I(x->q->id.generation), DB_T(scope), DB_I(x->q->since)),
                     &rows, err));
    return since_read(x, rows, CRL_CHANGES_MAX, &x->out->since, err);
}

/* What is gone is said by an entry of its own (RFC 5280 5.3.1). */
static pki_code_t
delta_since(read_t *x, pki_err_t *err)
{
    crl_since_t *d = &x->out->delta;
    db_rows_t   *rows;

    PKI_TRY(db_query(x->c, x->a, Q_crl_base,
                     DB_PARAMS(DB_I(x->q->id.issuer_no), DB_I(x->q->id.generation), DB_T("full")), &rows, err));
    PKI_TRY(since_read(x, rows, CRL_DELTA_MAX, d, err));
    for (size_t i = 0; i < d->count; i++) {
        if (!d->v[i].listed) {
            d->v[i].entry.reason = REMOVED;
            d->v[i].entry.invalidity_at = 0;
            d->v[i].listed = true;
        }
    }
    return PKI_OK;
}

static pki_code_t
entries_row(const db_rows_t *row, void *arg, pki_err_t *err)
{
    read_t     *x = arg;
    crl_entry_t entry;

    entry_read(row, 0, &entry);
    return x->q->entry(&entry, x->q->arg, err);
}

static pki_code_t
read_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    read_t            *x = arg;
    const crl_query_t *q = x->q;

    x->c = c;
    *x->out = (crl_state_t){ 0 };
    PKI_TRY(db_query(c, NULL, Q_crl_read_only, NULL, 0, NULL, err));
    if (q->since != 0) {
        PKI_TRY(list_since(x, err));
    }
    if (q->delta) {
        PKI_TRY(delta_since(x, err));
    }
    if (q->entry == NULL || (x->out->since.usable && !q->reread)) {
        return PKI_OK;
    }
    x->out->read = true;
    PKI_TRY(db_each(c, Q_crl_entries,
                    DB_PARAMS(DB_I(q->id.issuer_no), DB_I(q->id.generation), DB_I(q->id.scope.shard), DB_TM(q->floor)),
                    entries_row, x, err));
    conn_patience(c, READ_MS);
    return PKI_OK;
}

pki_code_t
crl_read(db_t *db, pki_arena_t *a, const crl_query_t *q, crl_state_t *out, pki_err_t *err)
{
    crl_query_t bounded = *q;
    read_t      x = { .a = a, .q = &bounded, .out = out };

    bounded.floor = q->floor > 0 ? q->floor : 1; /* a time of 0 would be NULL */
    return db_tx(db, read_run, &x, err);
}

pki_code_t
crl_gone(db_t *db, const crl_id_t *id, int64_t floor, const bytes_t *serials, size_t count, size_t *gone,
         pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    db_param_t  *items;
    db_rows_t   *rows;
    pki_code_t   code;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = PKI_NEW_N(a, count + 1, &items, err);
    for (size_t i = 0; code == PKI_OK && i < count; i++) {
        items[i] = DB_B(serials[i]);
    }
    if (code == PKI_OK) {
        db_param_t list = { .type = DB_ARRAY, .elem = DB_BYTES, .num = (int64_t) count, .items = items, .stride = 1 };

        code = verb_read(db, a, Q_crl_gone,
                         DB_PARAMS(DB_I(id->issuer_no), DB_I(id->generation), DB_TM(floor > 0 ? floor : 1), list),
                         &rows, err);
    }
    if (code == PKI_OK) {
        *gone = (size_t) db_int(rows, 0, "gone");
    }
    pki_arena_free(a);
    return code;
}
