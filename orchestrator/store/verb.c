/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The common shapes of verbs, and the audit rows and announcements that go with changes.
 */
#include "orchestrator/store/verb.h"

typedef struct {
    pki_arena_t      *a;
    db_query_t        q;
    const db_param_t *params;
    size_t            count;
    db_rows_t       **rows;
} read_t;

static pki_code_t
read_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    read_t *r = arg;

    return db_query(c, r->a, r->q, r->params, r->count, r->rows, err);
}

pki_code_t
verb_read(db_t *db, pki_arena_t *a, db_query_t q, const db_param_t *params, size_t count, db_rows_t **rows,
          pki_err_t *err)
{
    read_t r = { a, q, params, count, rows };

    return db_run(db, read_run, &r, err);
}

pki_code_t
verb_list(db_t *db, pki_arena_t *a, db_query_t q, const db_param_t *params, size_t count, conn_read_pt read,
          size_t size, void **out, size_t *n, pki_err_t *err)
{
    db_rows_t *rows;

    PKI_TRY(verb_read(db, a, q, params, count, &rows, err));
    return conn_read_all(rows, a, read, size, out, n, err);
}

pki_code_t
verb_find(db_t *db, pki_arena_t *a, db_query_t q, const db_param_t *params, size_t count, conn_read_pt read,
          void *out, const char *what, const char *id, pki_err_t *err)
{
    db_rows_t *rows;

    /* To the statements NULL means any: that is not what a caller without an id wants. */
    if (id == NULL) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "a %s without an id", what);
    }
    PKI_TRY(verb_read(db, a, q, params, count, &rows, err));
    if (db_row_count(rows) == 0) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "there is no %s %s", what, id);
    }
    return read(rows, 0, a, out, err);
}

pki_code_t
change_write(db_conn_t *c, const char *kind, uint32_t issuer_no, bytes_t serial, pki_err_t *err)
{
    db_param_t no = issuer_no != 0 ? DB_I(issuer_no) : DB_T(NULL);

    return db_query(c, NULL, Q_change_insert, DB_PARAMS(DB_T(kind), no, DB_B(serial)), NULL, err);
}

/* The columns of audit_insert and audit_insert_many, in their order. */
#define AUDIT_COLUMNS 11

static void
audit_columns(const audit_t *e, db_param_t out[AUDIT_COLUMNS])
{
    const db_param_t row[AUDIT_COLUMNS] = {
        DB_T(e->actor), DB_T(e->actor_type), DB_T(e->action), DB_T(e->resource_type), DB_T(e->resource_id),
        DB_I(e->status), DB_T(e->request_id), DB_T(e->source), e->latency_us != 0 ? DB_I(e->latency_us) : DB_T(NULL),
        DB_T(e->body_hash), DB_T(e->details),
    };

    memcpy(out, row, sizeof(row));
}

pki_code_t
audit_write(db_conn_t *c, const audit_t *e, pki_err_t *err)
{
    db_param_t row[AUDIT_COLUMNS];

    if (e == NULL) {
        return PKI_OK;
    }
    audit_columns(e, row);
    return db_query(c, NULL, Q_audit_insert, row, AUDIT_COLUMNS, NULL, err);
}

pki_code_t
audit_write_many(db_conn_t *c, const audit_t *const *events, size_t count, pki_err_t *err)
{
    static const db_type_t types[AUDIT_COLUMNS] = { DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_INT,
                                                    DB_TEXT, DB_TEXT, DB_INT,  DB_TEXT, DB_TEXT };
    db_param_t values[AUDIT_MANY * AUDIT_COLUMNS], columns[AUDIT_COLUMNS];

    if (count > AUDIT_MANY) {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "%zu events at once", count);
    }
    for (size_t i = 0; i < count; i++) {
        audit_columns(events[i], &values[i * AUDIT_COLUMNS]);
    }
    for (size_t i = 0; i < AUDIT_COLUMNS; i++) {
        columns[i] = (db_param_t){ .type = DB_ARRAY, .num = (int64_t) count, .items = &values[i],
                                   .stride = AUDIT_COLUMNS, .elem = types[i] };
    }
    return db_query(c, NULL, Q_audit_insert_many, columns, AUDIT_COLUMNS, NULL, err);
}

static pki_code_t
audit_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    return audit_write(c, arg, err);
}

pki_code_t
audit_add(db_t *db, const audit_t *event, pki_err_t *err)
{
    return db_run(db, audit_run, (void *) event, err);
}

/* Whether the row is still the one that the caller has read (RFC 9110 13.1.1); it is locked from here on. */
static pki_code_t
version_check(db_conn_t *c, pki_arena_t *a, const verb_change_t *v, pki_err_t *err)
{
    const char *sql = pki_printf(a, "SELECT xmin::text AS version FROM %s WHERE id = $1 FOR UPDATE", v->table);
    db_rows_t  *rows;

    if (sql == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    PKI_TRY(conn_query_text(c, a, v->what, sql, DB_PARAMS(DB_T(v->id)), &rows, err));
    if (db_row_count(rows) > 0 && strcmp(db_text(rows, 0, "version"), v->version) != 0) {
        return pki_fail(err, PKI_E_PRECONDITION, "RFC 9110 13.1.1", "%s %s has changed since it was read", v->what, v->id);
    }
    return PKI_OK;
}

static pki_code_t
apply_counted(db_conn_t *c, pki_arena_t *a, const verb_change_t *v, pki_err_t *err)
{
    db_rows_t *rows;

    if (v->version != NULL) {
        PKI_TRY(version_check(c, a, v, err));
    }
    PKI_TRY(db_query(c, a, v->q, v->params, v->count, &rows, err));
    if (v->none != PKI_OK && db_rows_affected(rows) == 0) {
        return pki_fail(err, v->none, NULL, "there is no %s %s", v->what, v->id);
    }
    return PKI_OK;
}

/* What the server said, in the caller's terms. */
static pki_code_t
apply_explain(db_conn_t *c, const verb_change_t *v, pki_code_t rc, pki_err_t *err)
{
    if (strcmp(c->sqlstate, "23505") == 0) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "%s %s: the id, name or role is taken", v->what, v->id);
    }
    if (strcmp(c->sqlstate, "23503") == 0 && v->foreign == PKI_E_CONFLICT) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "%s %s is in use", v->what, v->id);
    }
    if (strcmp(c->sqlstate, "23503") == 0 && v->foreign != PKI_OK) {
        return pki_fail(err, v->foreign, NULL, "%s %s refers to something that is not there", v->what, v->id);
    }
    return rc;
}

pki_code_t
verb_apply(db_conn_t *c, const verb_change_t *v, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    pki_code_t   rc;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = apply_counted(c, a, v, err);
    pki_arena_free(a);
    return rc == PKI_OK ? rc : apply_explain(c, v, rc, err);
}

static pki_code_t
change_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    const verb_change_t *v = arg;

    PKI_TRY(verb_apply(c, v, err));
    if (v->announce) {
        PKI_TRY(change_write(c, "config", 0, BYTES_NONE, err));
    }
    return audit_write(c, v->audit, err);
}

pki_code_t
verb_change(db_t *db, const verb_change_t *v, pki_err_t *err)
{
    return db_tx(db, change_run, (void *) v, err);
}

typedef struct {
    const verb_change_t *v;
    db_query_t           uses;
} remove_t;

/* "2 owners, 17 certificates" */
static pki_code_t
uses_check(db_conn_t *c, pki_arena_t *a, const remove_t *x, pki_err_t *err)
{
    const verb_change_t *v = x->v;
    char                 text[128];
    pki_buf_t            b;
    db_rows_t           *rows;

    PKI_TRY(db_query(c, a, x->uses, v->params, v->count, &rows, err));
    if (db_row_count(rows) == 0) {
        return PKI_OK;
    }
    pki_buf_fixed(&b, text, sizeof(text) - 1);
    for (size_t i = 0; i < db_row_count(rows); i++) {
        pki_buf_printf(&b, "%s%lld %s", i > 0 ? ", " : "", (long long) db_int(rows, i, "uses"), db_text(rows, i, "what"));
    }
    text[b.len] = '\0';
    return pki_fail(err, PKI_E_CONFLICT, NULL, "%s %s is in use by %s", v->what, v->id, text);
}

static pki_code_t
remove_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    const remove_t *x = arg;
    pki_arena_t    *a = pki_arena_new(0);
    pki_code_t      rc;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = uses_check(c, a, x, err);
    pki_arena_free(a);
    return rc == PKI_OK ? change_run(c, (void *) x->v, err) : rc;
}

pki_code_t
verb_remove(db_t *db, const verb_change_t *v, db_query_t uses, pki_err_t *err)
{
    remove_t x = { v, uses };

    return db_tx(db, remove_run, &x, err);
}

void
status_read(const db_rows_t *r, size_t row, status_row_t *out)
{
    const char *state = db_text(r, row, "state");

    *out = (status_row_t){
        .issuer_no = db_int(r, row, "issuer_no"),
        .generation = db_int(r, row, "generation"),
        .fingerprint = db_bytes(r, row, "fingerprint"),
        .serial = db_bytes(r, row, "serial"),
        .state = 'g',
        .reason = -1,
        .revision = db_int(r, row, "revision"),
        .revoked_at = db_time(r, row, "revoked_at"),
        .invalidity_at = db_time(r, row, "invalidity_at"),
        .not_after = db_time(r, row, "not_after"),
    };
    if (state != NULL) {
        out->state = strcmp(state, "released") == 0 ? 'l' : state[0];
        out->reason = db_int(r, row, "reason");
    }
}
