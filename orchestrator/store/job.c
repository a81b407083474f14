/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Jobs: claims, ends, and how they are made (see job.h).
 */
#include "orchestrator/store/job.h"

#include "orchestrator/store/verb.h"

#define BULK_WAIT_MS 60000 /* for writing down what a bulk job is about */
#define DUE_WAIT_MS  10000 /* of the clock, which has leases to renew */

const char *const job_state_names[JOB_STATES + 1] = { "Pending",   "Running", "RetryWait", "Completed",
                                                      "Failed",    "Cancelled", NULL };

#define MOVES(state) (1u << (state))
static const unsigned moves[JOB_STATES] = {
    [JOB_PENDING] = MOVES(JOB_RUNNING) | MOVES(JOB_CANCELLED),
    [JOB_RUNNING] = MOVES(JOB_RETRY_WAIT) | MOVES(JOB_COMPLETED) | MOVES(JOB_FAILED) | MOVES(JOB_CANCELLED),
    [JOB_RETRY_WAIT] = MOVES(JOB_RUNNING) | MOVES(JOB_CANCELLED),
};

bool
job_may(job_state_t from, job_state_t to)
{
    return (moves[from] & MOVES(to)) != 0;
}

static pki_code_t
claim_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    (void) a;
    (void) err;
    *(job_claim_t *) out = (job_claim_t){
        .no = db_int(r, row, "no"),
        .fence = db_int(r, row, "fence"),
        .id = db_text(r, row, "id"),
        .type = db_text(r, row, "type"),
        .certificate_id = db_text(r, row, "certificate_id"),
        .params = db_text(r, row, "params"),
        .requested_by = db_text(r, row, "requested_by"),
        .requester_type = db_text(r, row, "requester_type"),
        .request_id = db_text(r, row, "request_id"),
        .attempts = db_int(r, row, "attempts"),
        .max_attempts = db_int(r, row, "max_attempts"),
        .retry_s = db_int(r, row, "retry_s"),
    };
    return PKI_OK;
}

pki_code_t
job_claim(db_t *db, pki_arena_t *a, const char *type, int64_t lease_s, job_claim_t *out, pki_err_t *err)
{
    return verb_find(db, a, Q_job_claim, DB_PARAMS(DB_T(type), DB_I(lease_s)), claim_read, out, "due job of type", type,
                     err);
}

static pki_code_t
claim_lost(const job_claim_t *job, pki_err_t *err)
{
    return pki_fail(err, PKI_E_CONFLICT, NULL, "job %s is not ours any more", job->id);
}

pki_code_t
job_keep(db_t *db, const job_claim_t *job, int64_t lease_s, pki_err_t *err)
{
    const verb_change_t v = { .q = Q_job_keep, .what = "job", .id = job->id, .none = PKI_E_CONFLICT,
                              .params = (const db_param_t[]){ DB_I(job->no), DB_I(job->fence), DB_I(lease_s) }, .count = 3 };
    pki_code_t          rc = verb_change(db, &v, err);

    return rc == PKI_E_CONFLICT ? claim_lost(job, err) : rc;
}

pki_code_t
job_hold(db_conn_t *c, const job_claim_t *job, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    db_rows_t   *rows;
    pki_code_t   rc;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = db_query(c, a, Q_job_hold, DB_PARAMS(DB_I(job->no), DB_I(job->fence)), &rows, err);
    if (rc == PKI_OK && db_row_count(rows) == 0) {
        rc = claim_lost(job, err);
    }
    pki_arena_free(a);
    return rc;
}

typedef struct {
    pki_arena_t       *a;
    const job_claim_t *job;
    const job_end_t   *end;
} finish_t;

static pki_code_t
finish_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    finish_t          *f = arg;
    const job_claim_t *job = f->job;
    const job_end_t   *end = f->end;
    db_rows_t         *rows;

    PKI_TRY(db_query(c, f->a, Q_job_finish,
                     DB_PARAMS(DB_I(job->no), DB_I(job->fence), DB_T(job_state_names[end->state]), DB_T(end->error),
                               DB_I(end->attempted), DB_I(end->wait_ms)),
                     &rows, err));
    if (db_row_count(rows) == 0) {
        return claim_lost(job, err);
    }
    if (end->audit == NULL) {
        return PKI_OK;
    }
    end->audit->details = db_text(rows, 0, "figures");
    return audit_write(c, end->audit, err);
}

pki_code_t
job_finish(db_t *db, const job_claim_t *job, const job_end_t *end, pki_err_t *err)
{
    finish_t   f = { .a = pki_arena_new(0), .job = job, .end = end };
    pki_code_t rc;

    if (f.a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = db_tx(db, finish_run, &f, err);
    pki_arena_free(f.a);
    return rc;
}

/* ---- cancelling ---- */

typedef struct {
    pki_arena_t   *a;
    const char    *id, *version;
    const audit_t *audit;
} cancel_t;

static job_state_t
state_of(const char *name)
{
    int state = 0;

    while (job_state_names[state + 1] != NULL && strcmp(job_state_names[state], name) != 0) {
        state++;
    }
    return (job_state_t) state;
}

static pki_code_t
cancel_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    cancel_t   *x = arg;
    const char *status;
    db_rows_t  *rows;

    PKI_TRY(db_query(c, x->a, Q_job_lock, DB_PARAMS(DB_T(x->id)), &rows, err));
    if (db_row_count(rows) == 0) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "there is no job %s", x->id);
    }
    if (x->version != NULL && strcmp(x->version, db_text(rows, 0, "version")) != 0) {
        return pki_fail(err, PKI_E_PRECONDITION, "RFC 9110 13.1.1", "job %s has changed since it was read", x->id);
    }
    status = db_text(rows, 0, "status");
    if (!job_may(state_of(status), JOB_CANCELLED)) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "job %s is %s already", x->id, status);
    }
    PKI_TRY(db_query(c, NULL, Q_job_cancel, DB_PARAMS(DB_T(x->id)), NULL, err));
    PKI_TRY(db_query(c, NULL, Q_job_cancel_renewals, DB_PARAMS(DB_T(x->id)), NULL, err));
    return audit_write(c, x->audit, err);
}

pki_code_t
job_cancel(db_t *db, const char *id, const char *version, const audit_t *audit, pki_err_t *err)
{
    cancel_t   x = { .a = pki_arena_new(0), .id = id, .version = version, .audit = audit };
    pki_code_t rc;

    if (x.a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = db_tx(db, cancel_run, &x, err);
    pki_arena_free(x.a);
    return rc;
}

pki_code_t
job_backlog(db_t *db, int64_t *count, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    db_rows_t   *rows;
    pki_code_t   rc;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = verb_read(db, a, Q_job_backlog, NULL, 0, &rows, err);
    *count = rc == PKI_OK ? db_int(rows, 0, "count") : 0;
    pki_arena_free(a);
    return rc;
}

typedef struct {
    int64_t max_losses, keep_days;
} reap_t;

static pki_code_t
reap_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    const reap_t *r = arg;

    conn_patience(c, DUE_WAIT_MS);
    PKI_TRY(db_query(c, NULL, Q_job_reap, DB_PARAMS(DB_I(r->max_losses)), NULL, err));
    return db_query(c, NULL, Q_job_prune, DB_PARAMS(DB_I(r->keep_days)), NULL, err);
}

pki_code_t
job_reap(db_t *db, int64_t max_losses, int64_t keep_days, pki_err_t *err)
{
    reap_t r = { max_losses, keep_days };

    return db_run(db, reap_run, &r, err);
}

/* ---- making ---- */

typedef struct {
    pki_arena_t        *a;
    const job_order_t  *in;
    const job_filter_t *filter;         /* NULL: of one certificate */
    const char         *certificate_id;
    int64_t             no, affected;
    const char         *id;
} insert_t;

static pki_code_t
job_write(db_conn_t *c, insert_t *x, pki_err_t *err)
{
    const job_order_t *in = x->in;
    db_rows_t         *rows;

    PKI_TRY(db_query(c, x->a, Q_job_insert,
                     DB_PARAMS(DB_T(in->type), DB_T(x->certificate_id), DB_T(in->params), DB_T(in->audit->actor),
                               DB_T(in->audit->actor_type), DB_T(in->audit->request_id), DB_I(in->max_attempts),
                               DB_I(in->retry_s)),
                     &rows, err));
    if (db_row_count(rows) == 0) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "a renewal of %s is open already", x->certificate_id);
    }
    x->no = db_int(rows, 0, "no");
    x->id = db_text(rows, 0, "id");
    return PKI_OK;
}

static pki_code_t
items_write(db_conn_t *c, insert_t *x, pki_err_t *err)
{
    const job_filter_t *f = x->filter;
    const scope_t      *s = f->scope;
    db_param_t          ids = f->certificate_ids.count > 0 ? DB_TS(&f->certificate_ids) : DB_T(NULL);
    db_rows_t          *rows;
    int64_t             unknown = 0;

    PKI_TRY(db_query(c, x->a, Q_job_items_insert,
                     DB_PARAMS(DB_I(x->no), DB_T(x->in->type), DB_T(f->profile_id), DB_T(f->owner_id), DB_T(f->issuer_id),
                               DB_T(f->team_id), DB_T(f->source), ids, DB_F(s->all), DB_TS(&s->ids[SCOPE_ISSUER]),
                               DB_TS(&s->ids[SCOPE_PROFILE]), DB_TS(&s->ids[SCOPE_TEAM]), DB_TS(&s->ids[SCOPE_OWNER])),
                     &rows, err));
    x->affected = (int64_t) db_rows_affected(rows);
    if (f->certificate_ids.count > 0) {
        PKI_TRY(db_query(c, x->a, Q_job_items_unknown, DB_PARAMS(DB_I(x->no), ids), &rows, err));
        unknown = (int64_t) db_rows_affected(rows);
    }
    return db_query(c, NULL, Q_job_total, DB_PARAMS(DB_I(x->no), DB_I(x->affected), DB_I(unknown)), NULL, err);
}

static pki_code_t
insert_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    insert_t *x = arg;
    audit_t   audit = *x->in->audit;

    PKI_TRY(job_write(c, x, err));
    if (x->filter != NULL) {
        conn_patience(c, BULK_WAIT_MS);
        PKI_TRY(items_write(c, x, err));
        audit.resource_type = "job";
        audit.resource_id = x->id;
        audit.details = pki_printf(x->a, "{\"criteria\": %s, \"affected\": %lld}", x->in->params, (long long) x->affected);
    } else {
        audit.resource_type = "certificate";
        audit.resource_id = x->certificate_id;
        audit.details = pki_printf(x->a, "{\"job\": \"%s\"}", x->id);
    }
    return audit_write(c, &audit, err);
}

pki_code_t
job_bulk_insert(db_t *db, pki_arena_t *a, const job_order_t *in, const job_filter_t *filter, const char **id,
                int64_t *affected, pki_err_t *err)
{
    insert_t x = { .a = a, .in = in, .filter = filter };

    PKI_TRY(db_tx(db, insert_run, &x, err));
    *id = x.id;
    *affected = x.affected;
    return PKI_OK;
}

pki_code_t
job_renewal_insert(db_t *db, pki_arena_t *a, const job_order_t *in, const char *certificate_id, const char **id,
                   pki_err_t *err)
{
    insert_t x = { .a = a, .in = in, .certificate_id = certificate_id };

    PKI_TRY(db_tx(db, insert_run, &x, err));
    *id = x.id;
    return PKI_OK;
}

typedef struct {
    pki_arena_t *a;
    int64_t      max, count;
} due_t;

static pki_code_t
due_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    due_t     *d = arg;
    db_rows_t *rows;

    conn_patience(c, DUE_WAIT_MS);
    PKI_TRY(db_query(c, d->a, Q_job_renewals_lock, NULL, 0, &rows, err));
    if (!db_bool(rows, 0, "ours")) {
        return PKI_OK;
    }
    PKI_TRY(db_query(c, d->a, Q_job_renewals_due, DB_PARAMS(DB_I(d->max)), &rows, err));
    d->count = (int64_t) db_rows_affected(rows);
    return PKI_OK;
}

pki_code_t
job_renewals_due(db_t *db, int64_t max, int64_t *count, pki_err_t *err)
{
    due_t      d = { .a = pki_arena_new(0), .max = max };
    pki_code_t rc;

    if (d.a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = db_tx(db, due_run, &d, err);
    *count = d.count;
    pki_arena_free(d.a);
    return rc;
}

/* ---- reading ---- */

static pki_code_t
count_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    (void) a;
    (void) err;
    *(job_count_t *) out = (job_count_t){ db_text(r, row, "type"), db_text(r, row, "status"), db_int(r, row, "count") };
    return PKI_OK;
}

pki_code_t
job_counts(db_t *db, pki_arena_t *a, const scope_t *s, job_count_t **out, size_t *count, pki_err_t *err)
{
    return verb_list(db, a, Q_job_counts,
                     DB_PARAMS(DB_F(s->all), DB_TS(&s->ids[SCOPE_ISSUER]), DB_TS(&s->ids[SCOPE_PROFILE]),
                               DB_TS(&s->ids[SCOPE_TEAM]), DB_TS(&s->ids[SCOPE_OWNER])),
                     count_read, sizeof(**out), (void **) out, count, err);
}

static pki_code_t
renewal_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    (void) a;
    (void) err;
    *(renewal_cert_t *) out = (renewal_cert_t){
        .no = db_int(r, row, "no"),
        .id = db_text(r, row, "id"),
        .name = db_text(r, row, "name"),
        .source = db_text(r, row, "source"),
        .profile_id = db_text(r, row, "profile_id"),
        .issuer_id = db_text(r, row, "issuer_id"),
        .issuer_type = db_text(r, row, "issuer_type"),
        .est_label_id = db_text(r, row, "est_label_id"),
        .owner_id = db_text(r, row, "owner_id"),
        .team_id = db_text(r, row, "team_id"),
        .environment = db_text(r, row, "environment"),
        .renewal_policy_id = db_text(r, row, "renewal_policy_id"),
        .tags = db_text(r, row, "tags"),
        .status = db_text(r, row, "status"),
        .revocation_reason = db_null(r, row, "revocation_reason") ? -1 : db_int(r, row, "revocation_reason"),
        .der = db_bytes(r, row, "der"),
        .issued = db_bytes(r, row, "issued"),
    };
    return PKI_OK;
}

pki_code_t
renewal_find(db_t *db, pki_arena_t *a, const char *certificate_id, bytes_t transaction_key, renewal_cert_t *out,
             pki_err_t *err)
{
    return verb_find(db, a, Q_renewal_find, DB_PARAMS(DB_T(certificate_id), DB_B(transaction_key)), renewal_read, out,
                     "certificate", certificate_id, err);
}
