/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The pool: at most so many connections, made when needed, handed out one caller at a time,
 * replaced when broken.  Transactions and their repetition.
 */

#include "orchestrator/store/conn.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "core/clock.h"

#define DB_TRIES        4      /* once and three repetitions */
#define DB_EACH_WAIT_MS 60000  /* for one more row of a bulk read */

struct db {
    char           *url;
    int64_t         timeout_us;
    int64_t         max;
    pthread_mutex_t lock;
    pthread_cond_t  freed;
    int64_t         made; /* connections in use or idle */
    db_conn_t      *idle;
};

pki_code_t
db_open(const conf_database_t *conf, db_t **out, pki_err_t *err)
{
    pthread_condattr_t attr;
    db_t              *db = calloc(1, sizeof(*db));

    if (db == NULL || (db->url = strdup(conf->url)) == NULL) {
        free(db);
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    db->timeout_us = conf->timeout_ms * 1000;
    db->max = conf->pool > 0 ? conf->pool : 1;
    pthread_mutex_init(&db->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&db->freed, &attr);
    pthread_condattr_destroy(&attr);
    *out = db;
    return PKI_OK;
}

void
db_close(db_t *db)
{
    db_conn_t *c, *next;

    if (db == NULL) {
        return;
    }
    for (c = db->idle; c != NULL; c = next) {
        next = c->next;
        conn_close(c);
    }
    pthread_cond_destroy(&db->freed);
    pthread_mutex_destroy(&db->lock);
    free(db->url);
    free(db);
}

/* An idle connection, or leave to make one (*out NULL). */
static pki_code_t
pool_take(db_t *db, int64_t deadline_us, db_conn_t **out, pki_err_t *err)
{
    struct timespec until = { .tv_sec = deadline_us / 1000000, .tv_nsec = deadline_us % 1000000 * 1000 };
    int             rc = 0;

    pthread_mutex_lock(&db->lock);
    while (db->idle == NULL && db->made >= db->max && rc == 0) {
        rc = pthread_cond_timedwait(&db->freed, &db->lock, &until);
    }
    *out = db->idle;
    if (*out != NULL) {
        db->idle = (*out)->next;
    } else if (db->made < db->max) {
        db->made++;
        rc = 0;
    }
    pthread_mutex_unlock(&db->lock);
    return *out != NULL || rc == 0 ? PKI_OK
                                   : pki_fail(err, PKI_E_UNAVAILABLE, NULL,
                                              "all %lld database connections are busy", (long long) db->max);
}

/* A NULL connection gives back the leave to make one. */
static void
pool_give(db_t *db, db_conn_t *c)
{
    if (c != NULL && (c->broken || PQtransactionStatus(c->pg) != PQTRANS_IDLE)) {
        conn_close(c);
        c = NULL;
    }
    pthread_mutex_lock(&db->lock);
    if (c != NULL) {
        c->next = db->idle;
        db->idle = c;
    } else {
        db->made--;
    }
    pthread_cond_signal(&db->freed);
    pthread_mutex_unlock(&db->lock);
}

static pki_code_t
pool_checkout(db_t *db, int64_t deadline_us, db_conn_t **out, pki_err_t *err)
{
    pki_code_t rc;

    PKI_TRY(pool_take(db, deadline_us, out, err));
    if (*out != NULL && !conn_alive(*out)) {
        conn_close(*out);
        *out = NULL;
    }
    if (*out == NULL) {
        rc = conn_open(db->url, deadline_us, out, err);
        if (rc != PKI_OK) {
            pool_give(db, NULL);
            return rc;
        }
    }
    (*out)->deadline_us = deadline_us;
    (*out)->sqlstate[0] = '\0';
    return PKI_OK;
}

int64_t
db_deadline(const db_t *db)
{
    return clock_mono_us() + db->timeout_us;
}

pki_code_t
db_run_by(db_t *db, int64_t deadline_us, db_tx_pt fn, void *arg, pki_err_t *err)
{
    db_conn_t *c;
    pki_code_t rc;

    PKI_TRY(pool_checkout(db, deadline_us, &c, err));
    rc = fn(c, arg, err);
    pool_give(db, c);
    return rc;
}

pki_code_t
db_run(db_t *db, db_tx_pt fn, void *arg, pki_err_t *err)
{
    return db_run_by(db, db_deadline(db), fn, arg, err);
}

pki_code_t
conn_tx(db_conn_t *c, db_tx_pt fn, void *arg, pki_err_t *err)
{
    pki_code_t rc;

    PKI_TRY(conn_plans(c, CONN_PLANS_KEPT, err)); /* inside it would be undone by a rollback */
    PKI_TRY(conn_exec(c, "BEGIN", err));
    rc = fn(c, arg, err);
    if (rc == PKI_OK) {
        return conn_exec(c, "COMMIT", err);
    }
    if (!c->broken) {
        (void) conn_exec(c, "ROLLBACK", NULL);
    }
    return rc;
}

/* Serialization failure or deadlock: the same again may succeed. */
static bool
tx_repeats(const db_conn_t *c)
{
    return !c->broken && (strcmp(c->sqlstate, "40001") == 0 || strcmp(c->sqlstate, "40P01") == 0);
}

pki_code_t
db_tx(db_t *db, db_tx_pt fn, void *arg, pki_err_t *err)
{
    db_conn_t *c;
    pki_code_t rc = PKI_OK;

    PKI_TRY(pool_checkout(db, db_deadline(db), &c, err));
    for (int i = 0; i < DB_TRIES; i++) {
        c->sqlstate[0] = '\0';
        rc = conn_tx(c, fn, arg, err);
        if (rc == PKI_OK || !tx_repeats(c)) {
            break;
        }
    }
    pool_give(db, c);
    return rc;
}

static pki_code_t
each_row(db_conn_t *c, db_query_t q, db_each_pt fn, void *arg, pki_err_t *err)
{
    PGresult  *res;
    pki_code_t rc;
    bool       more = true;
    int        next = 0;

    while (more) {
        conn_patience(c, DB_EACH_WAIT_MS);
        PKI_TRY(conn_next(c, db_query_name(q), &res, err));
        more = res != NULL;
        if (more && PQresultStatus(res) == PGRES_SINGLE_TUPLE) {
            rc = fn(&(db_rows_t){ .result = res, .next = &next }, arg, err);
            PQclear(res);
            PKI_TRY(rc);
        } else {
            PQclear(res);
        }
    }
    return PKI_OK;
}

pki_code_t
db_each(db_conn_t *c, db_query_t q, const db_param_t *params, size_t count, db_each_pt fn, void *arg,
        pki_err_t *err)
{
    pki_code_t rc;

    PKI_TRY(conn_send(c, q, params, count, err));
    if (!PQsetSingleRowMode(c->pg)) {
        c->broken = true;
        return pki_fail(err, PKI_E_INTERNAL, NULL, "%s: no single-row mode", db_query_name(q));
    }
    rc = each_row(c, q, fn, arg, err);
    if (rc != PKI_OK && PQtransactionStatus(c->pg) == PQTRANS_ACTIVE) {
        c->broken = true; /* rows are still on their way: cheaper to hang up */
    }
    return rc;
}
