/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Reading the change feed, and the whole of the statuses with the place in the feed that fits them.
 */
#include "orchestrator/store/change.h"

#include "orchestrator/store/verb.h"

#define PRUNE_BATCH   10000
#define PRUNE_WAIT_MS 60000

typedef struct {
    pki_arena_t      *a;
    change_position_t after;
    size_t            max;
    db_rows_t        *rows;
} next_t;

static change_kind_t
change_kind(const char *name)
{
    return name[0] == 's' ? CHANGE_STATUS : strcmp(name, "crl") == 0 ? CHANGE_CRL : CHANGE_CONFIG;
}

static pki_code_t
change_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    change_t *c = out;

    (void) a;
    (void) err;
    *c = (change_t){
        .position = { (uint64_t) db_int(r, row, "xid"), (uint64_t) db_int(r, row, "seq") },
        .kind = change_kind(db_text(r, row, "kind")),
        .issuer_no = (uint32_t) db_int(r, row, "issuer_no"),
    };
    if (c->kind == CHANGE_STATUS) {
        status_read(r, row, &c->status);
        c->transaction_key = db_bytes(r, row, "transaction_key");
    }
    return PKI_OK;
}

static pki_code_t
next_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    next_t    *n = arg;
    db_param_t xid = DB_I(n->after.xid), seq = DB_I(n->after.seq);
    db_rows_t *check;

    PKI_TRY(db_query(c, n->a, Q_change_next, DB_PARAMS(xid, seq, DB_I(n->max)), &n->rows, err));
    /* Asked afterwards: what was pruned while we read is noticed. */
    PKI_TRY(db_query(c, n->a, Q_change_check, DB_PARAMS(xid, seq), &check, err));
    if (db_row_count(check) == 0 || !db_bool(check, 0, "usable")) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "the change feed does not reach back to %llu/%llu",
                        (unsigned long long) n->after.xid, (unsigned long long) n->after.seq);
    }
    return PKI_OK;
}

pki_code_t
change_next(db_t *db, pki_arena_t *a, change_position_t after, size_t max, change_t **out, size_t *count,
            pki_err_t *err)
{
    next_t n = { a, after, max, NULL };

    *count = 0;
    PKI_TRY(db_run(db, next_run, &n, err));
    return conn_read_all(n.rows, a, change_read, sizeof(**out), (void **) out, count, err);
}

typedef struct {
    pki_arena_t      *a;
    int64_t           ended_after;
    status_each_pt    fn;
    void             *arg;
    db_rows_t        *authorities;
    change_position_t position;
} each_t;

static pki_code_t
each_row(const db_rows_t *row, void *arg, pki_err_t *err)
{
    each_t      *e = arg;
    status_row_t s;

    status_read(row, 0, &s);
    return e->fn(&s, e->arg, err);
}

static pki_code_t
each_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    each_t    *e = arg;
    db_rows_t *head;

    PKI_TRY(db_query(c, e->a, Q_change_snapshot, NULL, 0, NULL, err));
    PKI_TRY(db_query(c, e->a, Q_change_head, NULL, 0, &head, err));
    e->position = (change_position_t){ (uint64_t) db_int(head, 0, "xid"), (uint64_t) db_int(head, 0, "seq") };
    PKI_TRY(db_query(c, e->a, Q_status_authorities, NULL, 0, &e->authorities, err));
    for (size_t i = 0; i < db_row_count(e->authorities); i++) {
        PKI_TRY(db_each(c, Q_status_each,
                        DB_PARAMS(DB_TM(e->ended_after), DB_I(db_int(e->authorities, i, "issuer_no")),
                                  DB_I(db_int(e->authorities, i, "generation"))),
                        each_row, e, err));
    }
    return PKI_OK;
}

pki_code_t
status_each(db_t *db, int64_t ended_after, status_each_pt fn, void *arg, change_position_t *position,
            pki_err_t *err)
{
    /* A time of 0 would be NULL; nothing ended before 1970 plus a second. */
    each_t e = {
        .a = pki_arena_new(0), .ended_after = ended_after > 0 ? ended_after : 1, .fn = fn, .arg = arg};
    pki_code_t rc;

    if (e.a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = db_tx(db, each_run, &e, err);
    *position = e.position;
    pki_arena_free(e.a);
    return rc;
}

static pki_code_t
announce_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    return change_write(c, "config", *(uint32_t *) arg, BYTES_NONE, err);
}

pki_code_t
change_announce(db_t *db, uint32_t issuer_no, pki_err_t *err)
{
    return db_run(db, announce_run, &issuer_no, err);
}

typedef struct {
    pki_arena_t *a;
    db_query_t   q;
    int64_t      keep_s;
    size_t       removed;
} prune_t;

static pki_code_t
prune_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    prune_t   *p = arg;
    db_rows_t *rows;

    conn_patience(c, PRUNE_WAIT_MS);
    PKI_TRY(db_query(c, p->a, p->q, DB_PARAMS(DB_I(p->keep_s)), &rows, err));
    p->removed = (size_t) db_int(rows, 0, "removed");
    return PKI_OK;
}

/* Batches, each in a transaction of its own, until one is not full. */
static pki_code_t
prune_all(db_t *db, db_query_t q, int64_t keep_s, size_t *removed, pki_err_t *err)
{
    prune_t    p = { .a = pki_arena_new(0), .q = q, .keep_s = keep_s };
    pki_code_t rc = PKI_OK;

    if (p.a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    do {
        rc = db_run(db, prune_run, &p, err);
        *removed += rc == PKI_OK ? p.removed : 0;
        pki_arena_reset(p.a);
    } while (rc == PKI_OK && p.removed == PRUNE_BATCH);
    pki_arena_free(p.a);
    return rc;
}

pki_code_t
change_prune(db_t *db, int64_t keep_s, int64_t key_window_s, size_t *removed, pki_err_t *err)
{
    *removed = 0;
    PKI_TRY(prune_all(db, Q_change_prune, keep_s, removed, err));
    return prune_all(db, Q_issuance_key_prune, key_window_s, removed, err);
}
