/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The steps of bulk jobs (see bulk.h).  What a revocation does to a version is decided by the table in revocation.c, here
 * for many at once: four statements for a step, whatever its size.
 */
#include "orchestrator/store/bulk.h"

#include "orchestrator/store/revocation_rule.h"
#include "orchestrator/store/verb.h"

#define STEP_WAIT_MS 30000

/* A certificate of a step, and what became of it. */
typedef struct {
    const char *id, *status, *error;
    int64_t     no; /* 0: it is gone */
} item_t;

typedef struct {
    pki_arena_t       *a;
    const job_claim_t *job;
    int                reason;
    int64_t            invalidity_at, max;
    const char        *after;
    bulk_step_t       *out;
    str_list_t         ids;
    item_t            *items;

    /* Versions that change, in columns for unnest(). */
    db_param_t *issuer_no, *serial, *state, *not_after, *generation;
    size_t      changes;
} step_t;

#define COLUMN(v, n, t) ((db_param_t){ .type = DB_ARRAY, .items = (v), .stride = 1, .elem = (t), .num = (int64_t) (n) })

/*
 * A plan that was kept from the first steps would be one for small tables, and the tables grow by what the steps write:
 * each is planned anew.
 */
static pki_code_t
step_begin(db_conn_t *c, const job_claim_t *job, pki_err_t *err)
{
    conn_patience(c, STEP_WAIT_MS);
    PKI_TRY(conn_exec(c, "SET LOCAL plan_cache_mode = force_custom_plan", err));
    return job_hold(c, job, err);
}

static pki_code_t
items_take(db_conn_t *c, step_t *x, const char *status, pki_err_t *err)
{
    db_rows_t *rows;
    size_t     count;

    PKI_TRY(step_begin(c, x->job, err));
    PKI_TRY(db_query(c, x->a, Q_bulk_items, DB_PARAMS(DB_I(x->job->no), DB_T(status), DB_T(x->after), DB_I(x->max)), &rows,
                     err));
    count = db_row_count(rows);
    x->out->taken = (int64_t) count;
    x->ids.count = 0;
    PKI_TRY(PKI_NEW_N(x->a, count + 1, &x->ids.v, err));
    PKI_TRY(PKI_NEW_N(x->a, count + 1, &x->items, err));
    for (size_t i = 0; i < count; i++) {
        x->ids.v[x->ids.count++] = db_text(rows, i, "certificate_id");
        x->items[i].id = x->ids.v[i];
    }
    x->out->last = count > 0 ? x->ids.v[count - 1] : x->after;
    return PKI_OK;
}

/* Both are sorted by id. */
static pki_code_t
certificates_lock(db_conn_t *c, step_t *x, pki_err_t *err)
{
    db_rows_t *rows;
    size_t     row = 0;

    PKI_TRY(db_query(c, x->a, Q_bulk_lock, DB_PARAMS(DB_TS(&x->ids)), &rows, err));
    for (size_t i = 0; i < x->ids.count; i++) {
        bool there = row < db_row_count(rows) && strcmp(db_text(rows, row, "id"), x->items[i].id) == 0;

        x->items[i].no = there ? db_int(rows, row++, "no") : 0;
        x->items[i].status = there ? "Skipped" : "Failed";
        x->items[i].error = there ? "there is nothing to revoke" : "there is no certificate with this id";
    }
    return PKI_OK;
}

/* Whether the version changes.  One that cannot (RFC 5280 5.3.1) is passed over, as a single order does. */
static bool
version_judge(const db_rows_t *rows, size_t row, const step_t *x, item_t *item, char *to)
{
    const char  *obstacle = NULL;
    status_row_t was;

    status_read(rows, row, &was);
    *to = revocation_next(was.state, x->reason);
    if (*to == '=' || *to == '!') {
        return false;
    }
    if (db_bool(rows, row, "external")) {
        obstacle = "it was issued by somebody else, who alone can revoke it";
    } else if (db_bool(rows, row, "webpki") && !revocation_is_webpki(x->reason)) {
        obstacle = "the reason is none that its issuer may give";
    }
    if (obstacle == NULL || strcmp(item->status, "Applied") != 0) {
        item->status = obstacle != NULL ? "Failed" : "Applied";
        item->error = obstacle;
    }
    return obstacle == NULL;
}

static pki_code_t
columns_make(step_t *x, size_t count, pki_err_t *err)
{
    db_param_t **columns[] = { &x->issuer_no, &x->serial, &x->state, &x->not_after, &x->generation };

    x->changes = 0;
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        PKI_TRY(PKI_NEW_N(x->a, count + 1, columns[i], err));
    }
    return PKI_OK;
}

static pki_code_t
versions_judge(db_conn_t *c, step_t *x, pki_err_t *err)
{
    db_param_t *nos;
    db_rows_t  *rows;

    PKI_TRY(PKI_NEW_N(x->a, x->ids.count + 1, &nos, err));
    for (size_t i = 0; i < x->ids.count; i++) {
        nos[i] = DB_I(x->items[i].no);
    }
    PKI_TRY(db_query(c, x->a, Q_bulk_versions, DB_PARAMS(COLUMN(nos, x->ids.count, DB_INT)), &rows, err));
    PKI_TRY(columns_make(x, db_row_count(rows), err));
    for (size_t row = 0; row < db_row_count(rows); row++) {
        char to;

        if (!version_judge(rows, row, x, &x->items[db_int(rows, row, "place") - 1], &to)) {
            continue;
        }
        x->issuer_no[x->changes] = DB_I(db_int(rows, row, "issuer_no"));
        x->serial[x->changes] = DB_B(db_bytes(rows, row, "serial"));
        x->state[x->changes] = DB_T(revocation_state_name(to));
        x->not_after[x->changes] = DB_TM(db_time(rows, row, "not_after"));
        x->generation[x->changes++] = DB_I(db_int(rows, row, "generation"));
    }
    return PKI_OK;
}

/* The rows, what the edges are told, and the certificates that follow their versions. */
static pki_code_t
changes_write(db_conn_t *c, step_t *x, pki_err_t *err)
{
    size_t      n = x->changes, changed = 0;
    db_param_t *nos;
    db_rows_t  *rows;

    if (n == 0) {
        return PKI_OK;
    }
    PKI_TRY(db_query(c, x->a, Q_bulk_put,
                     DB_PARAMS(DB_I(x->reason), DB_TM(x->invalidity_at), COLUMN(x->issuer_no, n, DB_INT),
                               COLUMN(x->serial, n, DB_BYTES), COLUMN(x->state, n, DB_TEXT), COLUMN(x->not_after, n, DB_TIME),
                               COLUMN(x->generation, n, DB_INT)),
                     &rows, err));
    PKI_TRY(PKI_NEW_N(x->a, db_row_count(rows) + 1, &x->out->changed, err));
    x->out->count = db_row_count(rows);
    for (size_t row = 0; row < x->out->count; row++) {
        status_read(rows, row, &x->out->changed[row]);
    }
    PKI_TRY(db_query(c, NULL, Q_bulk_announce, DB_PARAMS(COLUMN(x->issuer_no, n, DB_INT), COLUMN(x->serial, n, DB_BYTES)),
                     NULL, err));
    PKI_TRY(PKI_NEW_N(x->a, x->ids.count + 1, &nos, err));
    for (size_t i = 0; i < x->ids.count; i++) {
        if (strcmp(x->items[i].status, "Applied") == 0) {
            nos[changed++] = DB_I(x->items[i].no);
        }
    }
    return db_query(c, NULL, Q_bulk_follow, DB_PARAMS(COLUMN(nos, changed, DB_INT), DB_I(x->reason)), NULL, err);
}

static pki_code_t
items_note(db_conn_t *c, step_t *x, pki_err_t *err)
{
    db_param_t *status, *error;

    PKI_TRY(PKI_NEW_N(x->a, x->ids.count + 1, &status, err));
    PKI_TRY(PKI_NEW_N(x->a, x->ids.count + 1, &error, err));
    for (size_t i = 0; i < x->ids.count; i++) {
        status[i] = DB_T(x->items[i].status);
        error[i] = DB_T(x->items[i].error);
    }
    return db_query(c, NULL, Q_bulk_note,
                    DB_PARAMS(DB_I(x->job->no), DB_TS(&x->ids), COLUMN(status, x->ids.count, DB_TEXT),
                              COLUMN(error, x->ids.count, DB_TEXT), DB_T(x->ids.v[0]), DB_T(x->out->last)),
                    NULL, err);
}

static pki_code_t
revoke_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    step_t *x = arg;

    *x->out = (bulk_step_t){ 0 };
    PKI_TRY(items_take(c, x, "Pending", err));
    if (x->ids.count == 0) {
        return PKI_OK;
    }
    PKI_TRY(certificates_lock(c, x, err));
    PKI_TRY(versions_judge(c, x, err));
    PKI_TRY(changes_write(c, x, err));
    return items_note(c, x, err);
}

pki_code_t
bulk_revoke(db_t *db, pki_arena_t *a, const job_claim_t *job, int reason, int64_t invalidity_at, const char *after,
            int64_t max, bulk_step_t *out, pki_err_t *err)
{
    step_t x = { .a = a, .job = job, .reason = reason, .invalidity_at = invalidity_at, .max = max, .after = after,
                 .out = out };

    return db_tx(db, revoke_run, &x, err);
}

static pki_code_t
applied_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    step_t    *x = arg;
    db_rows_t *rows;

    *x->out = (bulk_step_t){ 0 };
    PKI_TRY(items_take(c, x, "Applied", err));
    PKI_TRY(db_query(c, x->a, Q_bulk_applied, DB_PARAMS(DB_TS(&x->ids)), &rows, err));
    PKI_TRY(PKI_NEW_N(x->a, db_row_count(rows) + 1, &x->out->changed, err));
    x->out->count = db_row_count(rows);
    for (size_t row = 0; row < x->out->count; row++) {
        status_read(rows, row, &x->out->changed[row]);
    }
    return PKI_OK;
}

pki_code_t
bulk_applied(db_t *db, pki_arena_t *a, const job_claim_t *job, const char *after, int64_t max, bulk_step_t *out,
             pki_err_t *err)
{
    step_t x = { .a = a, .job = job, .max = max, .after = after, .out = out };

    return db_tx(db, applied_run, &x, err);
}

typedef struct {
    const job_claim_t *job;
    const char        *after;
} told_t;

static pki_code_t
told_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    const told_t *t = arg;

    PKI_TRY(step_begin(c, t->job, err));
    return db_query(c, NULL, Q_bulk_told, DB_PARAMS(DB_I(t->job->no), DB_T(t->after)), NULL, err);
}

pki_code_t
bulk_told(db_t *db, const job_claim_t *job, const char *after, pki_err_t *err)
{
    told_t t = { job, after };

    return db_tx(db, told_run, &t, err);
}

/* ---- renewals ---- */

static pki_code_t
pending_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    return items_take(c, arg, "Pending", err);
}

pki_code_t
bulk_pending(db_t *db, pki_arena_t *a, const job_claim_t *job, const char *after, int64_t max, str_list_t *ids,
             pki_err_t *err)
{
    bulk_step_t out;
    step_t      x = { .a = a, .job = job, .max = max, .after = after, .out = &out };

    PKI_TRY(db_tx(db, pending_run, &x, err));
    *ids = x.ids;
    return PKI_OK;
}

typedef struct {
    const job_claim_t *job;
    const str_list_t  *ids, *why;
} refuse_t;

static pki_code_t
refuse_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    const refuse_t *x = arg;

    PKI_TRY(step_begin(c, x->job, err));
    return db_query(c, NULL, Q_bulk_refuse, DB_PARAMS(DB_I(x->job->no), DB_TS(x->ids), DB_TS(x->why)), NULL, err);
}

pki_code_t
bulk_refuse(db_t *db, const job_claim_t *job, const str_list_t *ids, const str_list_t *why, pki_err_t *err)
{
    refuse_t x = { .job = job, .ids = ids, .why = why };

    return ids->count > 0 ? db_tx(db, refuse_run, &x, err) : PKI_OK;
}

typedef struct {
    pki_arena_t       *a;
    const job_claim_t *job;
    int64_t            max, number;
} renew_t;

static pki_code_t
renew_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    renew_t   *x = arg;
    db_rows_t *rows;

    PKI_TRY(step_begin(c, x->job, err));
    PKI_TRY(db_query(c, x->a, Q_bulk_renew,
                     DB_PARAMS(DB_I(x->job->no), DB_I(x->max), DB_I(x->job->max_attempts), DB_I(x->job->retry_s)), &rows,
                     err));
    x->number = db_int(rows, 0, "taken");
    return PKI_OK;
}

static pki_code_t
follow_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    renew_t   *x = arg;
    db_rows_t *rows;

    PKI_TRY(step_begin(c, x->job, err));
    PKI_TRY(db_query(c, x->a, Q_bulk_renewals_follow, DB_PARAMS(DB_I(x->job->no)), &rows, err));
    x->number = db_int(rows, 0, "open");
    return PKI_OK;
}

static pki_code_t
renew_step(db_t *db, db_tx_pt fn, const job_claim_t *job, int64_t max, int64_t *number, pki_err_t *err)
{
    renew_t    x = { .a = pki_arena_new(0), .job = job, .max = max };
    pki_code_t rc;

    if (x.a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = db_tx(db, fn, &x, err);
    *number = x.number;
    pki_arena_free(x.a);
    return rc;
}

pki_code_t
bulk_renew(db_t *db, const job_claim_t *job, int64_t max, int64_t *taken, pki_err_t *err)
{
    return renew_step(db, renew_run, job, max, taken, err);
}

pki_code_t
bulk_renewals_follow(db_t *db, const job_claim_t *job, int64_t *open, pki_err_t *err)
{
    return renew_step(db, follow_run, job, 0, open, err);
}
