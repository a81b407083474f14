/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * One connection to PostgreSQL: connecting, sending and waiting against a deadline, and what the
 * server's error codes mean to this project.
 */
#include "orchestrator/store/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "pkiproto/base/text.h"

/* Every session alike: instants in UTC, give up on locks, stop working for a client that has gone.  Compiling a plan that
 * is for a large table takes a hundred milliseconds, most often to find a few rows in it. */
#define CONN_SETUP                                                                                      \
    "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET client_encoding = 'UTF8';"                        \
    "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s';"                        \
    "SET client_connection_check_interval = '2s'; SET plan_cache_mode = force_generic_plan;"            \
    "SET jit = off"

/* What an SQLSTATE, or all that start alike, mean; the first match counts. */
static const struct {
    const char *state;
    pki_code_t  code;
} sqlstates[] = {
    { "23505", PKI_E_CONFLICT },    /* unique_violation */
    { "23503", PKI_E_CONFLICT },    /* foreign_key_violation */
    { "23502", PKI_E_INVALID },     /* not_null_violation */
    { "23514", PKI_E_INVALID },     /* check_violation */
    { "22", PKI_E_INVALID },        /* data exceptions */
    { "08", PKI_E_UNAVAILABLE },    /* connection exceptions */
    { "25006", PKI_E_UNAVAILABLE }, /* read only: a standby */
    { "26000", PKI_E_UNAVAILABLE }, /* prepared statement lost: the connection is replaced */
    { "0A000", PKI_E_UNAVAILABLE }, /* cached plan must not change result type: as above */
    { "40", PKI_E_UNAVAILABLE },    /* serialization failure, deadlock */
    { "53", PKI_E_UNAVAILABLE },    /* out of resources */
    { "55P03", PKI_E_UNAVAILABLE }, /* lock not available */
    { "57", PKI_E_UNAVAILABLE },    /* cancelled, shutting down, starting up */
    { "58", PKI_E_UNAVAILABLE },    /* system errors: disk full, input/output */
};

static const char *const lost_states[] = { "26000", "0A000", "57P01", "57P02", "57P03", "25006" };

const char *
db_query_name(db_query_t q)
{
    static const char *const names[] = {
#define SQL(name, text) #name,
#include "sql.inc"
#undef SQL
    };

    return q < Q_COUNT_ ? names[q] : "?";
}

const char *
db_query_text(db_query_t q)
{
    static const char *const texts[] = {
#define SQL(name, text) text,
#include "sql.inc"
#undef SQL
    };

    return q < Q_COUNT_ ? texts[q] : NULL;
}

/* libpq's messages end in a newline and may have several lines: the first will do. */
static int
message_len(const char *text)
{
    return (int) strcspn(text, "\n");
}

static pki_code_t
conn_lost(db_conn_t *c, const char *what, pki_err_t *err)
{
    const char *text = PQerrorMessage(c->pg);

    c->broken = true;
    return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "%s: %.*s", what, message_len(text), text);
}

/* Wait until the socket is ready for one of `events`. */
static pki_code_t
conn_wait(db_conn_t *c, short events, const char *what, pki_err_t *err)
{
    for (;;) {
        struct pollfd p = { .fd = PQsocket(c->pg), .events = events };
        int64_t       left_us = c->deadline_us - clock_mono_us();
        int           n;

        if (left_us <= 0) {
            c->broken = true;
            return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "%s: the database did not answer in time", what);
        }
        n = poll(&p, 1, (int) (left_us / 1000 + 1));
        if (n > 0) {
            return PKI_OK;
        }
        if (n < 0 && errno != EINTR) {
            c->broken = true;
            return pki_fail(err, PKI_E_IO, NULL, "%s: poll: %m", what);
        }
    }
}

static pki_code_t
conn_flush(db_conn_t *c, const char *what, pki_err_t *err)
{
    int rc;

    while ((rc = PQflush(c->pg)) == 1) {
        PKI_TRY(conn_wait(c, POLLIN | POLLOUT, what, err));
        if (!PQconsumeInput(c->pg)) {
            return conn_lost(c, what, err);
        }
    }
    return rc == 0 ? PKI_OK : conn_lost(c, what, err);
}

static bool
conn_state_is_lost(const char *state)
{
    for (size_t i = 0; i < sizeof(lost_states) / sizeof(lost_states[0]); i++) {
        if (strcmp(state, lost_states[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* A failed result becomes an error of this project.  Details, which quote values, are left out. */
static pki_code_t
conn_result_fail(db_conn_t *c, const PGresult *res, const char *what, pki_err_t *err)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    pki_code_t  code = PKI_E_INTERNAL;

    if (state == NULL || PQstatus(c->pg) == CONNECTION_BAD) {
        return conn_lost(c, what, err);
    }
    snprintf(c->sqlstate, sizeof(c->sqlstate), "%s", state);
    if (conn_state_is_lost(state)) {
        c->broken = true;
    }
    for (size_t i = 0; i < sizeof(sqlstates) / sizeof(sqlstates[0]); i++) {
        if (strncmp(state, sqlstates[i].state, strlen(sqlstates[i].state)) == 0) {
            code = sqlstates[i].code;
            break;
        }
    }
    return pki_fail(err, code, NULL, "%s: %s (SQLSTATE %s)", what, text != NULL ? text : "no text", state);
}

pki_code_t
conn_next(db_conn_t *c, const char *what, PGresult **out, pki_err_t *err)
{
    pki_code_t rc;

    *out = NULL;
    while (PQisBusy(c->pg)) {
        PKI_TRY(conn_wait(c, POLLIN, what, err));
        if (!PQconsumeInput(c->pg)) {
            return conn_lost(c, what, err);
        }
    }
    *out = PQgetResult(c->pg);
    if (*out == NULL) {
        return PKI_OK;
    }
    switch (PQresultStatus(*out)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_SINGLE_TUPLE:
    case PGRES_EMPTY_QUERY:
        return PKI_OK;
    default:
        rc = conn_result_fail(c, *out, what, err);
        PQclear(*out);
        *out = NULL;
        return rc;
    }
}

/* Read what is left of a statement; the first failure counts. */
static pki_code_t
conn_drain(db_conn_t *c, const char *what, pki_err_t *err)
{
    pki_code_t rc = PKI_OK;
    PGresult  *res;

    for (;;) {
        pki_code_t next = conn_next(c, what, &res, rc == PKI_OK ? err : NULL);

        rc = rc != PKI_OK ? rc : next;
        if (c->broken || (next == PKI_OK && res == NULL)) {
            return rc;
        }
        PQclear(res);
    }
}

pki_code_t
conn_exec(db_conn_t *c, const char *sql, pki_err_t *err)
{
    char what[40];

    snprintf(what, sizeof(what), "%.*s", (int) strcspn(sql, ";\n"), sql);
    if (!PQsendQuery(c->pg, sql)) {
        return conn_lost(c, what, err);
    }
    PKI_TRY(conn_flush(c, what, err));
    return conn_drain(c, what, err);
}

pki_code_t
conn_plans(db_conn_t *c, conn_plans_t plans, pki_err_t *err)
{
    static const char *const settings[] = {
        [CONN_PLANS_KEPT] = "SET plan_cache_mode = force_generic_plan; RESET enable_seqscan; RESET enable_sort;"
                            " RESET enable_bitmapscan; RESET random_page_cost;"
                            " RESET max_parallel_workers_per_gather",
        /* The largest tables are read by index and for the most part from memory; a plan that reads all of one to find
         * fifty rows is wrong whatever the statistics say. */
        [CONN_PLANS_LIST] = "SET plan_cache_mode = force_custom_plan; SET enable_seqscan = off; RESET enable_sort;"
                            " RESET enable_bitmapscan; SET random_page_cost = 1.1;"
                            " SET max_parallel_workers_per_gather = 0",
        [CONN_PLANS_WALK] = "SET plan_cache_mode = force_custom_plan; SET enable_seqscan = off; SET enable_sort = off;"
                            " SET enable_bitmapscan = off; SET random_page_cost = 1.1;"
                            " SET max_parallel_workers_per_gather = 0",
    };

    if (c->plans != (int) plans) {
        PKI_TRY(conn_exec(c, settings[plans], err));
        c->plans = (int) plans;
    }
    return PKI_OK;
}

void
conn_close(db_conn_t *c)
{
    for (size_t i = 0; c != NULL && i < CONN_KEPT; i++) {
        free(c->kept[i]);
    }
    if (c != NULL) {
        PQfinish(c->pg);
        free(c);
    }
}

static pki_code_t
conn_connect(db_conn_t *c, pki_err_t *err)
{
    PostgresPollingStatusType want = PGRES_POLLING_WRITING;

    if (c->pg == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    while (PQstatus(c->pg) != CONNECTION_BAD && want != PGRES_POLLING_OK && want != PGRES_POLLING_FAILED) {
        PKI_TRY(conn_wait(c, want == PGRES_POLLING_READING ? POLLIN : POLLOUT, "connecting", err));
        want = PQconnectPoll(c->pg);
    }
    if (PQstatus(c->pg) != CONNECTION_OK || PQsetnonblocking(c->pg, 1) != 0) {
        return conn_lost(c, "connecting", err);
    }
    return conn_exec(c, CONN_SETUP, err);
}

pki_code_t
conn_open(const char *url, int64_t deadline_us, db_conn_t **out, pki_err_t *err)
{
    static const char *const keys[] = { "dbname", "fallback_application_name", NULL };
    const char *const        values[] = { url, "chanceryd", NULL };
    db_conn_t               *c = calloc(1, sizeof(*c));
    pki_code_t               rc;

    if (c == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    c->deadline_us = deadline_us;
    c->pg = PQconnectStartParams(keys, values, 1);
    rc = conn_connect(c, err);
    if (rc != PKI_OK) {
        conn_close(c);
        return rc;
    }
    *out = c;
    return PKI_OK;
}

bool
conn_alive(db_conn_t *c)
{
    struct pollfd p = { .fd = PQsocket(c->pg), .events = POLLIN };

    /* An idle connection has nothing to read, unless the server says goodbye. */
    if (poll(&p, 1, 0) == 0) {
        return true;
    }
    return PQconsumeInput(c->pg) && PQstatus(c->pg) == CONNECTION_OK &&
           PQtransactionStatus(c->pg) == PQTRANS_IDLE;
}

void
conn_patience(db_conn_t *c, int64_t ms)
{
    c->deadline_us = clock_mono_us() + ms * 1000;
}

/* Parameters as libpq wants them; numbers and times are printed into `scratch`. */
typedef struct {
    const char *value[CONN_PARAMS_MAX];
    int         len[CONN_PARAMS_MAX], format[CONN_PARAMS_MAX];
    char        scratch[CONN_PARAMS_MAX][RFC3339_LEN + 4];
    pki_arena_t *arena; /* for arrays; made when there is one */
} conn_params_t;

/* An array as text: {"a","b"}, with quotes and backslashes escaped. */
static pki_code_t
params_texts(conn_params_t *p, const str_list_t *list, const char **out, pki_err_t *err)
{
    pki_buf_t b;

    if (p->arena == NULL && (p->arena = pki_arena_new(0)) == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    pki_buf_init(&b, p->arena, (size_t) 64 << 20);
    pki_buf_put_u8(&b, '{');
    for (size_t i = 0; i < list->count; i++) {
        pki_buf_put(&b, bytes_str(i > 0 ? ",\"" : "\""));
        for (const char *s = list->v[i]; *s != '\0'; s++) {
            if (*s == '"' || *s == '\\') {
                pki_buf_put_u8(&b, '\\');
            }
            pki_buf_put_u8(&b, (uint8_t) *s);
        }
        pki_buf_put_u8(&b, '"');
    }
    pki_buf_put(&b, bytes_of("}", 2));
    PKI_TRY(pki_buf_check(&b, "a list of values", err));
    *out = (const char *) b.p;
    return PKI_OK;
}

/* Type numbers of pg_type, which never change, and the first instant of timestamptz. */
enum { OID_BYTEA = 17, OID_INT8 = 20, OID_TEXT = 25, OID_TIME = 1184 };
#define PG_EPOCH 946684800

static uint32_t
array_oid(db_type_t elem)
{
    return elem == DB_BYTES ? OID_BYTEA : elem == DB_INT ? OID_INT8 : elem == DB_TIME ? OID_TIME : OID_TEXT;
}

static void
array_put(pki_buf_t *b, const db_param_t *v)
{
    bytes_t octets = v->type == DB_TEXT ? bytes_str(v->text) : v->bytes;

    switch (v->type) {
    case DB_TEXT:
    case DB_BYTES:
        pki_buf_put_be(b, octets.len, 4);
        pki_buf_put(b, octets);
        break;
    case DB_INT:
    case DB_TIME:
        pki_buf_put_be(b, 8, 4);
        pki_buf_put_be(b, (uint64_t) (v->type == DB_INT ? v->num : (v->num - PG_EPOCH) * 1000000), 8);
        break;
    default:
        pki_buf_put_be(b, UINT32_MAX, 4); /* NULL */
    }
}

/* The binary form: one dimension, whether there are NULLs, the elements' type, how many, from 1. */
static pki_code_t
params_array(conn_params_t *p, size_t i, const db_param_t *in, pki_err_t *err)
{
    pki_buf_t b;

    if (p->arena == NULL && (p->arena = pki_arena_new(0)) == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    pki_buf_init(&b, p->arena, (size_t) 64 << 20);
    pki_buf_put_be(&b, 1, 4);
    pki_buf_put_be(&b, 1, 4);
    pki_buf_put_be(&b, array_oid(in->elem), 4);
    pki_buf_put_be(&b, (uint64_t) in->num, 4);
    pki_buf_put_be(&b, 1, 4);
    for (int64_t k = 0; k < in->num; k++) {
        array_put(&b, &in->items[(size_t) k * in->stride]);
    }
    PKI_TRY(pki_buf_check(&b, "a column of a batch", err));
    p->value[i] = (const char *) b.p;
    p->len[i] = (int) b.len;
    p->format[i] = 1;
    return PKI_OK;
}

static pki_code_t
params_put(conn_params_t *p, size_t i, const db_param_t *in, pki_err_t *err)
{
    switch (in->type) {
    case DB_NULL:
        break;
    case DB_TEXT:
        p->value[i] = in->text;
        break;
    case DB_BOOL:
        p->value[i] = in->num ? "t" : "f";
        break;
    case DB_INT:
        snprintf(p->scratch[i], sizeof(p->scratch[i]), "%lld", (long long) in->num);
        p->value[i] = p->scratch[i];
        break;
    case DB_TIME:
        rfc3339_print(in->num, p->scratch[i]);
        p->value[i] = p->scratch[i];
        break;
    case DB_BYTES:
        p->value[i] = (const char *) in->bytes.p;
        p->len[i] = (int) in->bytes.len;
        p->format[i] = 1;
        break;
    case DB_TEXTS:
        return params_texts(p, in->texts, &p->value[i], err);
    case DB_ARRAY:
        return params_array(p, i, in, err);
    }
    return PKI_OK;
}

static pki_code_t
params_fill(conn_params_t *p, const db_param_t *in, size_t count, pki_err_t *err)
{
    p->arena = NULL;
    if (count > CONN_PARAMS_MAX) {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "%zu parameters", count);
    }
    for (size_t i = 0; i < count; i++) {
        p->value[i] = NULL;
        p->len[i] = 0;
        p->format[i] = 0;
        PKI_TRY(params_put(p, i, &in[i], err));
    }
    return PKI_OK;
}

static pki_code_t
conn_prepare(db_conn_t *c, db_query_t q, pki_err_t *err)
{
    const char *name = db_query_name(q);

    if (c->prepared[q]) {
        return PKI_OK;
    }
    if (!PQsendPrepare(c->pg, name, db_query_text(q), 0, NULL)) {
        return conn_lost(c, name, err);
    }
    PKI_TRY(conn_flush(c, name, err));
    PKI_TRY(conn_drain(c, name, err));
    c->prepared[q] = true;
    return PKI_OK;
}

pki_code_t
conn_send(db_conn_t *c, db_query_t q, const db_param_t *params, size_t count, pki_err_t *err)
{
    conn_params_t p;
    pki_code_t    rc;

    PKI_TRY(conn_plans(c, CONN_PLANS_KEPT, err));
    PKI_TRY(conn_prepare(c, q, err));
    rc = params_fill(&p, params, count, err);
    if (rc == PKI_OK
        && !PQsendQueryPrepared(c->pg, db_query_name(q), (int) count, p.value, p.len, p.format, 1))
    {
        rc = conn_lost(c, db_query_name(q), err);
    }
    pki_arena_free(p.arena);
    return rc == PKI_OK ? conn_flush(c, db_query_name(q), err) : rc;
}

pki_code_t
conn_send_text(db_conn_t *c, const char *sql, const db_param_t *params, size_t count, pki_err_t *err)
{
    conn_params_t p;
    pki_code_t    rc;

    rc = params_fill(&p, params, count, err);
    if (rc == PKI_OK && !PQsendQueryParams(c->pg, sql, (int) count, NULL, p.value, p.len, p.format, 1)) {
        rc = conn_lost(c, "a list", err);
    }
    pki_arena_free(p.arena);
    return rc == PKI_OK ? conn_flush(c, "a list", err) : rc;
}

/* The name of a text's statement on this connection, prepared; another one that had its place is given up. */
static pki_code_t
kept_prepare(db_conn_t *c, const char *sql, char name[16], pki_err_t *err)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    size_t   at;
    char     drop[40];

    for (const char *p = sql; *p != '\0'; p++) {
        hash = (hash ^ (uint8_t) *p) * 16777619u;
    }
    at = hash % CONN_KEPT;
    snprintf(name, 16, "kept_%zu", at);
    if (c->kept[at] != NULL && strcmp(c->kept[at], sql) == 0) {
        return PKI_OK;
    }
    if (c->kept[at] != NULL) {
        snprintf(drop, sizeof(drop), "DEALLOCATE %s", name);
        PKI_TRY(conn_exec(c, drop, err));
        free(c->kept[at]);
        c->kept[at] = NULL;
    }
    if (!PQsendPrepare(c->pg, name, sql, 0, NULL)) {
        return conn_lost(c, name, err);
    }
    PKI_TRY(conn_flush(c, name, err));
    PKI_TRY(conn_drain(c, name, err));
    c->kept[at] = strdup(sql);
    c->broken = c->kept[at] == NULL; /* prepared and not remembered: not to be used again */
    return PKI_OK;
}

static pki_code_t
kept_send(db_conn_t *c, const char *sql, const db_param_t *params, size_t count, pki_err_t *err)
{
    conn_params_t p;
    pki_code_t    rc;
    char          name[16];

    PKI_TRY(conn_plans(c, CONN_PLANS_KEPT, err));
    PKI_TRY(kept_prepare(c, sql, name, err));
    rc = params_fill(&p, params, count, err);
    if (rc == PKI_OK && !PQsendQueryPrepared(c->pg, name, (int) count, p.value, p.len, p.format, 1)) {
        rc = conn_lost(c, name, err);
    }
    pki_arena_free(p.arena);
    return rc == PKI_OK ? conn_flush(c, name, err) : rc;
}

static void
result_free(void *p)
{
    PQclear(p);
}

pki_code_t
conn_rows(db_conn_t *c, pki_arena_t *a, const char *what, db_rows_t **rows, pki_err_t *err)
{
    PGresult  *res;
    pki_code_t rc, rest;

    rc = conn_next(c, what, &res, err);
    rest = c->broken ? PKI_OK : conn_drain(c, what, rc == PKI_OK ? err : NULL);
    rc = rc != PKI_OK ? rc : rest;
    if (rc != PKI_OK || rows == NULL) {
        PQclear(res);
        return rc;
    }
    PKI_TRY(pki_arena_own(a, res, result_free, err));
    PKI_TRY(PKI_NEW(a, rows, err));
    **rows = (db_rows_t){ .result = res, .arena = a };
    return PKI_NEW(a, &(*rows)->next, err);
}

pki_code_t
conn_query_text(db_conn_t *c, pki_arena_t *a, const char *what, const char *sql, const db_param_t *params,
                size_t count, db_rows_t **rows, pki_err_t *err)
{
    PKI_TRY(conn_send_text(c, sql, params, count, err));
    return conn_rows(c, a, what, rows, err);
}

pki_code_t
conn_query_kept(db_conn_t *c, pki_arena_t *a, const char *what, const char *sql, const db_param_t *params, size_t count,
                db_rows_t **rows, pki_err_t *err)
{
    PKI_TRY(kept_send(c, sql, params, count, err));
    return conn_rows(c, a, what, rows, err);
}

pki_code_t
db_query(db_conn_t *c, pki_arena_t *a, db_query_t q, const db_param_t *params, size_t count, db_rows_t **rows,
         pki_err_t *err)
{
    PKI_TRY(conn_send(c, q, params, count, err));
    return conn_rows(c, a, db_query_name(q), rows, err);
}
