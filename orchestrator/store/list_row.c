/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rows of lists: their members, and single rows by id, one or many with one statement.
 */
#include <stdio.h>
#include <string.h>

#include "orchestrator/store/list_part.h"
#include "orchestrator/store/render.h"

#define LIST_ROW_MAX   (1u << 20)
#define LIST_NAMES_MAX 2048

static bool
field_wanted(const char *fields, const char *name)
{
    bytes_t one;

    while (list_fields_next(&fields, &one)) {
        if (bytes_eq(one, bytes_str(name))) {
            return true;
        }
    }
    return false;
}

pki_code_t
list_fields_check(const list_resource_t *r, const char *fields, pki_err_t *err)
{
    bytes_t one;

    while (list_fields_next(&fields, &one)) {
        if (!list_has_column(r, one)) {
            return pki_fail(err, PKI_E_INVALID, NULL, "fields: %s have no \"%.*s\"", r->name,
                            (int) (one.len < 60 ? one.len : 60), (const char *) one.p);
        }
    }
    return PKI_OK;
}

void
list_columns_put(pki_buf_t *b, const list_resource_t *r, const char *fields)
{
    const char *comma = "";

    pki_buf_put(b, bytes_str("SELECT json_build_object("));
    for (const list_column_t *c = r->columns; c->name != NULL; c++) {
        if (fields == NULL || field_wanted(fields, c->name)) {
            pki_buf_printf(b, "%s'%s', %s%s%s", comma, c->name, list_types[c->type].before, c->expr,
                           list_types[c->type].after);
            comma = ", ";
        }
    }
    pki_buf_put(b, bytes_str(")::text AS row, "));
}

pki_code_t
list_none(const list_resource_t *r, pki_err_t *err)
{
    return pki_fail(err, PKI_E_NOT_FOUND, NULL, "there is none with this id among %s", r->name);
}

typedef struct {
    list_t     *l;
    const char *sql;
    list_row_t *out;
} one_t;

static pki_code_t
one_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    one_t     *o = arg;
    db_rows_t *rows;

    pki_code_t rc;

    rc = conn_query_kept(c, o->l->a, o->l->r->name, o->sql, o->l->param, o->l->count, &rows, err);
    if (rc != PKI_OK && (rc != PKI_E_INVALID || o->l->r->id_cast == NULL)) {
        return rc;
    }
    /* What does not even look like an id is none. */
    if (rc != PKI_OK || db_row_count(rows) == 0) {
        return list_none(o->l->r, err);
    }
    *o->out = (list_row_t){ .json = db_text(rows, 0, "row"), .version = db_text(rows, 0, "version") };
    return PKI_OK;
}

pki_code_t
list_one_by(db_t *db, pki_arena_t *a, const list_resource_t *r, const list_query_t *q, const char *id, list_row_t *out,
            pki_err_t *err)
{
    list_t    l = { .r = r, .q = q, .a = a };
    one_t     o = { .l = &l, .out = out };
    pki_buf_t b;

    PKI_TRY(list_fields_check(r, q->fields, err));
    PKI_TRY(list_where_put(&l, false, err));
    l.param[l.count++] = DB_T(id);
    pki_buf_init(&b, a, LIST_SQL_MAX);
    list_columns_put(&b, r, q->fields);
    pki_buf_printf(&b, "(%s)::text AS version FROM %s%.*s AND %s = $%zu::%s LIMIT 1",
                   r->version != NULL ? r->version : "NULL", r->from, (int) l.where.len, (const char *) l.where.p, r->id,
                   l.count, r->id_cast != NULL ? r->id_cast : "text");
    pki_buf_put_u8(&b, '\0');
    PKI_TRY(pki_buf_check(&b, "a statement", err));
    o.sql = (const char *) b.p;
    return db_run(db, one_run, &o, err);
}

pki_code_t
list_one(db_t *db, pki_arena_t *a, const list_resource_t *r, const char *parent, const char *id,
         const scope_t *scope, list_row_t *out, pki_err_t *err)
{
    const list_query_t q = { .parent = parent, .scope = scope };

    return list_one_by(db, a, r, &q, id, out, err);
}

/* What is the same in all rows. */
typedef struct {
    bytes_t   name; /* with what is around it */
    render_pt put;
} many_member_t;

typedef struct {
    const list_resource_t *r;
    pki_arena_t           *a;
    const str_list_t      *ids;
    list_row_t            *out;
    many_member_t         *members;
    size_t                 count;
} many_t;

/* Those that are rendered here (render.c); others are texts that PostgreSQL makes. */
static bool
renders(list_type_t type)
{
    return type == LIST_TIME || type == LIST_HEX;
}

static pki_code_t
many_members(many_t *m, const db_rows_t *rows, pki_err_t *err)
{
    uint8_t  *room;
    pki_buf_t b;

    while (m->r->columns[m->count].name != NULL) {
        m->count++;
    }
    PKI_TRY(PKI_NEW_N(m->a, m->count, &m->members, err));
    PKI_TRY(PKI_NEW_N(m->a, LIST_NAMES_MAX, &room, err));
    pki_buf_fixed(&b, room, LIST_NAMES_MAX);
    for (size_t i = 0; i < m->count; i++) {
        size_t from = b.len;

        pki_buf_put(&b, bytes_str(i > 0 ? ", \"" : "{\""));
        pki_buf_put(&b, bytes_str(m->r->columns[i].name));
        pki_buf_put(&b, BYTES_LIT("\" : "));
        m->members[i] = (many_member_t){ bytes_of(room + from, b.len - from), render_of(rows, i) };
    }
    return pki_buf_check(&b, "the names of members", err);
}

/* Its id and its version follow the members. */
static const char *
many_text(const many_t *m, const db_rows_t *rows, size_t n, size_t after)
{
    int at = (int) (m->count + after);

    return PQgetisnull(rows->result, (int) n, at) ? NULL : PQgetvalue(rows->result, (int) n, at);
}

static pki_code_t
many_put(const many_t *m, const db_rows_t *rows, size_t n, list_row_t *out, pki_err_t *err)
{
    pki_buf_t b;

    pki_buf_init(&b, m->a, LIST_ROW_MAX);
    for (size_t i = 0; i < m->count; i++) {
        pki_buf_put(&b, m->members[i].name);
        render_value(rows, n, i, m->members[i].put, &b);
    }
    pki_buf_put(&b, bytes_of("}", 2)); /* and a NUL */
    PKI_TRY(pki_buf_check(&b, "a row", err));
    *out = (list_row_t){ .json = (const char *) b.p, .version = many_text(m, rows, n, 1) };
    return PKI_OK;
}

static pki_code_t
many_fill(many_t *m, const db_rows_t *rows, pki_err_t *err)
{
    PKI_TRY(many_members(m, rows, err));
    for (size_t n = 0; n < db_row_count(rows); n++) {
        const char *id = many_text(m, rows, n, 0);
        list_row_t  row;

        PKI_TRY(many_put(m, rows, n, &row, err));
        for (size_t i = 0; i < m->ids->count; i++) {
            if (strcmp(m->ids->v[i], id) == 0) {
                m->out[i] = row;
            }
        }
    }
    return PKI_OK;
}

static pki_code_t
many_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    many_t    *m = arg;
    pki_buf_t  b;
    db_rows_t *rows;

    pki_buf_init(&b, m->a, LIST_SQL_MAX);
    pki_buf_put(&b, bytes_str("SELECT "));
    for (const list_column_t *col = m->r->columns; col->name != NULL; col++) {
        bool raw = renders(col->type);

        pki_buf_put(&b, bytes_str(raw ? "" : list_types[col->type].before));
        pki_buf_put(&b, bytes_str(col->expr));
        pki_buf_put(&b, bytes_str(raw ? "" : list_types[col->type].after));
        pki_buf_put(&b, BYTES_LIT(", "));
    }
    pki_buf_printf(&b, "%s, (%s)::text FROM %s WHERE %s = ANY ($1::text[])", m->r->id,
                   m->r->version != NULL ? m->r->version : "NULL", m->r->from, m->r->id);
    pki_buf_put_u8(&b, '\0');
    PKI_TRY(pki_buf_check(&b, "a statement", err));
    PKI_TRY(conn_query_kept(c, m->a, m->r->name, (const char *) b.p, DB_PARAMS(DB_TS(m->ids)), &rows, err));
    return many_fill(m, rows, err);
}

pki_code_t
list_many(db_t *db, pki_arena_t *a, const list_resource_t *r, const str_list_t *ids, list_row_t *out, pki_err_t *err)
{
    many_t m = { .r = r, .a = a, .ids = ids, .out = out };

    memset(out, 0, ids->count * sizeof(*out));
    return db_run(db, many_run, &m, err);
}
