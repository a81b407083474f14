/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Figures over many certificates (see stats.h).
 */
#include "orchestrator/store/stats.h"

#include "orchestrator/store/conn.h"

#define STATS_WAIT_MS 60000

static const db_query_t questions[] = {
    [STATS_TIMELINE] = Q_stats_timeline,     [STATS_JOBS] = Q_stats_jobs,   [STATS_ISSUED] = Q_stats_issued,
    [STATS_EXPIRY] = Q_stats_expiry,         [STATS_RISK] = Q_stats_risk,   [STATS_COMPLIANCE] = Q_stats_compliance,
    [STATS_VIOLATIONS] = Q_stats_violations,
};

typedef struct {
    pki_arena_t   *a;
    db_query_t     q;
    const scope_t *scope;
    int64_t        days; /* 0: it has no such parameter */
    db_rows_t     *rows;
} ask_t;

static pki_code_t
ask_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    ask_t            *k = arg;
    const scope_t    *s = k->scope;
    const db_param_t  params[] = { DB_F(s->all), DB_TS(&s->ids[SCOPE_ISSUER]), DB_TS(&s->ids[SCOPE_PROFILE]),
                                   DB_TS(&s->ids[SCOPE_TEAM]), DB_TS(&s->ids[SCOPE_OWNER]), DB_I(k->days) };

    conn_patience(c, STATS_WAIT_MS);
    return db_query(c, k->a, k->q, params, sizeof(params) / sizeof(params[0]) - (k->days == 0), &k->rows, err);
}

static pki_code_t
certificates_ask(db_t *db, pki_arena_t *a, const scope_t *scope, stats_certificates_t *out, pki_err_t *err)
{
    ask_t k = { .a = a, .q = Q_stats_certificates, .scope = scope, .days = STATS_EXPIRING_DAYS };

    PKI_TRY(db_run(db, ask_run, &k, err));
    *out = (stats_certificates_t){
        .active = db_int(k.rows, 0, "active"),
        .expiring = db_int(k.rows, 0, "expiring"),
        .expired = db_int(k.rows, 0, "expired"),
        .renewal_in_progress = db_int(k.rows, 0, "renewal_in_progress"),
        .failed = db_int(k.rows, 0, "failed"),
        .revoked = db_int(k.rows, 0, "revoked"),
        .archived = db_int(k.rows, 0, "archived"),
        .total = db_int(k.rows, 0, "total"),
        .versions = db_int(k.rows, 0, "versions"),
        .as_of = db_time(k.rows, 0, "as_of"),
    };
    return PKI_OK;
}

pki_code_t
stats_certificates(db_t *db, const scope_t *scope, stats_certificates_t *out, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    pki_code_t   rc;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = certificates_ask(db, a, scope, out, err);
    pki_arena_free(a);
    return rc;
}

pki_code_t
stats_rows(db_t *db, pki_arena_t *a, stats_question_t question, const scope_t *scope, int64_t days, const field_t *fields,
           size_t size, object_list_t *out, pki_err_t *err)
{
    ask_t k = { .a = a, .q = questions[question], .scope = scope, .days = days };
    char *rows;

    PKI_TRY(db_run(db, ask_run, &k, err));
    rows = pki_alloc(a, (db_row_count(k.rows) + 1) * size);
    if (rows == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    for (size_t i = 0; i < db_row_count(k.rows); i++) {
        PKI_TRY(db_row(k.rows, i, a, fields, rows + i * size, err));
    }
    *out = (object_list_t){ rows, db_row_count(k.rows) };
    return PKI_OK;
}
