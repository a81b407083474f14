/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * PostgreSQL: a pool of connections, named statements (store/sql/NOUN.sql, prepared lazily per
 * connection), transactions, and rows.  The only folder that includes libpq.  Callers outside of
 * store/ use the verbs of store/NOUN.h and see db_t and db_conn_t as opaque.
 */
#ifndef ORCHESTRATOR_STORE_DB_H
#define ORCHESTRATOR_STORE_DB_H

#include "orchestrator/conf.h"

typedef struct db      db_t;
typedef struct db_conn db_conn_t;

/* Connections are made when needed; a database that is down is not an error here. */
pki_code_t db_open(const conf_database_t *conf, db_t **out, pki_err_t *err);
void       db_close(db_t *db);

/*
 * Run fn inside BEGIN/COMMIT on a connection of the pool; any error rolls back and is returned.  A
 * connection that broke is replaced; UNAVAILABLE within the configured timeout when the database is
 * down or the pool is exhausted.  Serialization failures and deadlocks run fn again (three times at most).
 */
typedef pki_code_t (*db_tx_pt)(db_conn_t *c, void *arg, pki_err_t *err);
pki_code_t db_tx(db_t *db, db_tx_pt fn, void *arg, pki_err_t *err);

/* One of several that a verb does together: what is asked, where the answer goes, and how it went. */
typedef struct {
    const void  *in;
    void        *out;
    pki_arena_t *a;
    pki_code_t   code;
    pki_err_t    err;
} db_item_t;

/* When what starts now has to be over, as clock_mono_us() counts. */
int64_t db_deadline(const db_t *db);

/* The same without a transaction: every statement commits by itself. */
pki_code_t db_run(db_t *db, db_tx_pt fn, void *arg, pki_err_t *err);

/* Statements: enum Q_<name> from the files in store/sql. */
typedef enum {
#define SQL(name, text) Q_##name,
#include "sql.inc" /* generated into the build folder by tools/sql2c.awk */
#undef SQL
    Q_COUNT_
} db_query_t;
const char *db_query_name(db_query_t q);
const char *db_query_text(db_query_t q);

/* A parameter; text or binary as its type needs. */
typedef enum { DB_NULL, DB_TEXT, DB_INT, DB_BYTES, DB_BOOL, DB_TIME, DB_TEXTS, DB_ARRAY } db_type_t;

typedef struct db_param {
    db_type_t         type;
    const char       *text;
    int64_t           num; /* DB_TIME: seconds since 1970, 0 is NULL */
    bytes_t           bytes;
    const str_list_t *texts;
    /* DB_ARRAY: a column of a batch: num elements of type elem or DB_NULL, every stride-th of items. */
    const struct db_param *items;
    size_t                 stride;
    db_type_t elem; /* DB_TEXT: text[], DB_INT: bigint[], DB_BYTES: bytea[], DB_TIME: timestamptz[] */
} db_param_t;
#define DB_T(v)  ((db_param_t){ .type = (v) != NULL ? DB_TEXT : DB_NULL, .text = (v) })
#define DB_I(v)  ((db_param_t){ .type = DB_INT, .num = (int64_t) (v) })
#define DB_B(v)  ((db_param_t){ .type = (v).p != NULL ? DB_BYTES : DB_NULL, .bytes = (v) })
#define DB_F(v)  ((db_param_t){ .type = DB_BOOL, .num = (v) })
#define DB_TM(v) ((db_param_t){ .type = (v) != 0 ? DB_TIME : DB_NULL, .num = (v) })
#define DB_TS(v) ((db_param_t){ .type = DB_TEXTS, .texts = (v) })

/* Rows of a result live in the arena (copied); columns are found by name. */
typedef struct db_rows db_rows_t;
pki_code_t db_query(db_conn_t *c, pki_arena_t *a, db_query_t q, const db_param_t *params, size_t count,
                    db_rows_t **rows, pki_err_t *err); /* rows may be NULL */
#define DB_PARAMS(...) \
    ((const db_param_t[]){ __VA_ARGS__ }), (sizeof((const db_param_t[]){ __VA_ARGS__ }) / sizeof(db_param_t))

size_t      db_row_count(const db_rows_t *r);
size_t      db_rows_affected(const db_rows_t *r);
const char *db_text(const db_rows_t *r, size_t row, const char *column);  /* NULL for SQL NULL */
int64_t     db_int(const db_rows_t *r, size_t row, const char *column);   /* 0 for NULL */
bool        db_bool(const db_rows_t *r, size_t row, const char *column);
bytes_t     db_bytes(const db_rows_t *r, size_t row, const char *column); /* bytea */
int64_t db_time(const db_rows_t *r, size_t row, const char *column); /* timestamptz, seconds; 0 for NULL */

/* Read a row into a struct by a field table (a column for each field of the same name). */
pki_code_t db_row(const db_rows_t *r, size_t row, pki_arena_t *a, const field_t *table, void *out,
                  pki_err_t *err);

/* Large results one row at a time (single-row mode); each call sees one row. */
typedef pki_code_t (*db_each_pt)(const db_rows_t *row, void *arg, pki_err_t *err);
pki_code_t db_each(db_conn_t *c, db_query_t q, const db_param_t *params, size_t count, db_each_pt fn,
                   void *arg, pki_err_t *err);

/*
 * Migrations (store/migrate.c): up to the newest, or up or down to a version, under an advisory lock; each
 * file in its own transaction, recorded with its SHA-256.  A file that changed after it ran is an error.
 */
pki_code_t db_migrate(db_t *db, const char *dir, int64_t target /* -1: newest */, pki_err_t *err);

/* CONFIG when the schema is older than this binary needs. */
#define DB_SCHEMA_VERSION 13
pki_code_t db_schema_check(db_t *db, pki_err_t *err);

#endif
