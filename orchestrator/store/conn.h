/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Inside of store/ only: one connection to PostgreSQL and the rows of its answers.
 *
 * All traffic is non-blocking against a deadline, so that a database that hangs costs a caller no more
 * than one that is down.  A connection that missed a deadline is broken: what it was doing is unknown.
 */
#ifndef ORCHESTRATOR_STORE_CONN_H
#define ORCHESTRATOR_STORE_CONN_H

#include <libpq-fe.h>

#include "orchestrator/store/db.h"

#define CONN_KEPT 64

/* How statements are planned: once and for all; for their values; and so that rows come in the order of an index. */
typedef enum { CONN_PLANS_KEPT, CONN_PLANS_LIST, CONN_PLANS_WALK } conn_plans_t;

struct db_conn {
    PGconn    *pg;
    int64_t    deadline_us; /* monotonic: of what is running now */
    bool       broken;
    char       sqlstate[6]; /* of the last failure; empty: it did not come from the server */
    bool       prepared[Q_COUNT_];
    char      *kept[CONN_KEPT]; /* texts that are prepared, each in the place that its hash says */
    int        plans;           /* conn_plans_t */
    db_conn_t *next;        /* in the pool's list of idle ones */
};

struct db_rows {
    PGresult    *result;    /* binary format; owned by the arena, or by db_each() */
    pki_arena_t *arena;     /* NULL in db_each() */
    int         *next;      /* column that is probably asked for next */
};

/* UNAVAILABLE when the server cannot be reached by the deadline. */
pki_code_t conn_open(const char *url, int64_t deadline_us, db_conn_t **out, pki_err_t *err);
void       conn_close(db_conn_t *c); /* accepts NULL */

/* db_run() with a deadline of the caller's. */
pki_code_t db_run_by(db_t *db, int64_t deadline_us, db_tx_pt fn, void *arg, pki_err_t *err);

/* False when the server has closed an idle connection in the meantime. */
bool conn_alive(db_conn_t *c);

/* Statements that take longer than callers wait: bulk reads, counts, migrations. */
void conn_patience(db_conn_t *c, int64_t ms);

/* One or more statements without parameters or rows: BEGIN, a migration. */
pki_code_t conn_exec(db_conn_t *c, const char *sql, pki_err_t *err);

/* fn between BEGIN and COMMIT, once; ROLLBACK when it fails. */
pki_code_t conn_tx(db_conn_t *c, db_tx_pt fn, void *arg, pki_err_t *err);

/* Send a named statement (prepared when it is new here), or a text; then fetch the answer. */
#define CONN_PARAMS_MAX 40
pki_code_t conn_send(db_conn_t *c, db_query_t q, const db_param_t *params, size_t count, pki_err_t *err);
pki_code_t conn_send_text(db_conn_t *c, const char *sql, const db_param_t *params, size_t count,
                          pki_err_t *err);

/* The next PGresult, NULL at the end of the statement; the caller clears it. */
pki_code_t conn_next(db_conn_t *c, const char *what, PGresult **out, pki_err_t *err);

/* All rows of what was sent, in the arena. */
pki_code_t conn_rows(db_conn_t *c, pki_arena_t *a, const char *what, db_rows_t **rows, pki_err_t *err);

/* As db_query(), for a text that list.c has put together. */
pki_code_t conn_query_text(db_conn_t *c, pki_arena_t *a, const char *what, const char *sql,
                           const db_param_t *params, size_t count, db_rows_t **rows, pki_err_t *err);

/* The same, prepared when it is new here: a text that is asked again and again. */
pki_code_t conn_query_kept(db_conn_t *c, pki_arena_t *a, const char *what, const char *sql, const db_param_t *params,
                           size_t count, db_rows_t **rows, pki_err_t *err);

/* For what this connection is asked next; named statements and kept ones go back by themselves. */
pki_code_t conn_plans(db_conn_t *c, conn_plans_t plans, pki_err_t *err);

/* Rows into an array of structs by a function that reads one. */
typedef pki_code_t (*conn_read_pt)(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err);
pki_code_t conn_read_all(const db_rows_t *r, pki_arena_t *a, conn_read_pt read, size_t size, void **out,
                         size_t *count, pki_err_t *err);

/* text[] in the arena. */
pki_code_t db_texts(const db_rows_t *r, size_t row, const char *column, pki_arena_t *a, str_list_t *out,
                    pki_err_t *err);
bool       db_null(const db_rows_t *r, size_t row, const char *column);

#endif
