/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rows: values in PostgreSQL's binary format, found by column name, alone or by a field table.  Asking
 * for a column that the statement does not have, or as another type than it has, is a mistake of this
 * program: it ends with a log line that names the column.
 */
#include "orchestrator/store/conn.h"

#include <stdlib.h>

#include "core/log.h"

/* Type numbers of pg_type, which never change. */
enum {
    OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_TEXT = 25, OID_JSON = 114,
    OID_TEXTS = 1009, OID_TIME = 1184, OID_JSONB = 3802, OID_XID8 = 5069,
};

#define PG_EPOCH 946684800 /* 2000-01-01T00:00:00Z, from which timestamptz counts microseconds */

static _Noreturn void
column_wrong(const char *what, const char *column)
{
    log_error("db.column", LOG_S("column", column), LOG_S("what", what));
    abort();
}

/* Rows are mostly read column by column in the order of the statement: the search begins where the last one ended. */
static int
column_find(const db_rows_t *r, const char *column)
{
    int count = PQnfields(r->result), i = *r->next;

    for (int tried = 0; tried < count; tried++, i++) {
        i = i < count ? i : 0;
        if (strcmp(PQfname(r->result, i), column) == 0) {
            *r->next = i + 1;
            return i;
        }
    }
    return -1;
}

/* The value's octets; p NULL for SQL NULL. */
static bytes_t
value_of(const db_rows_t *r, size_t row, const char *column, Oid *type)
{
    int i = column_find(r, column);

    if (i < 0) {
        column_wrong("there is no such column", column);
    }
    *type = PQftype(r->result, i);
    if (row >= (size_t) PQntuples(r->result) || PQgetisnull(r->result, (int) row, i)) {
        return BYTES_NONE;
    }
    return bytes_of(PQgetvalue(r->result, (int) row, i), (size_t) PQgetlength(r->result, (int) row, i));
}

/* Big endian, signed. */
static int64_t
be_int(bytes_t in)
{
    uint64_t v = in.len > 0 && (in.p[0] & 0x80) != 0 ? UINT64_MAX : 0;

    for (size_t i = 0; i < in.len; i++) {
        v = v << 8 | in.p[i];
    }
    return (int64_t) v;
}

size_t
db_row_count(const db_rows_t *r)
{
    return (size_t) PQntuples(r->result);
}

size_t
db_rows_affected(const db_rows_t *r)
{
    return (size_t) strtoull(PQcmdTuples(r->result), NULL, 10);
}

bool
db_null(const db_rows_t *r, size_t row, const char *column)
{
    Oid type;

    return value_of(r, row, column, &type).p == NULL;
}

const char *
db_text(const db_rows_t *r, size_t row, const char *column)
{
    Oid     type;
    bytes_t v = value_of(r, row, column, &type);

    if (type == OID_JSONB && v.p != NULL) {
        return (const char *) v.p + 1; /* after its version */
    }
    if (type != OID_TEXT && type != OID_JSON && type != OID_JSONB) {
        column_wrong("is not text", column);
    }
    return (const char *) v.p; /* libpq ends every value with a NUL */
}

int64_t
db_int(const db_rows_t *r, size_t row, const char *column)
{
    Oid     type;
    bytes_t v = value_of(r, row, column, &type);

    if (type != OID_INT2 && type != OID_INT4 && type != OID_INT8 && type != OID_XID8) {
        column_wrong("is not an integer", column);
    }
    return be_int(v);
}

bool
db_bool(const db_rows_t *r, size_t row, const char *column)
{
    Oid     type;
    bytes_t v = value_of(r, row, column, &type);

    if (type != OID_BOOL) {
        column_wrong("is not a boolean", column);
    }
    return v.p != NULL && v.p[0] != 0;
}

bytes_t
db_bytes(const db_rows_t *r, size_t row, const char *column)
{
    Oid     type;
    bytes_t v = value_of(r, row, column, &type);

    if (type != OID_BYTEA) {
        column_wrong("is not bytea", column);
    }
    return v;
}

int64_t
db_time(const db_rows_t *r, size_t row, const char *column)
{
    Oid     type;
    bytes_t v = value_of(r, row, column, &type);
    int64_t us;

    if (type != OID_TIME) {
        column_wrong("is not timestamptz", column);
    }
    if (v.p == NULL) {
        return 0;
    }
    us = be_int(v);
    return PG_EPOCH + us / 1000000 - (us % 1000000 < 0); /* the second it lies in */
}

/* Array header: dimensions, flags, element type; for each dimension its size and lower bound; the elements.
 */
pki_code_t
db_texts(const db_rows_t *r, size_t row, const char *column, pki_arena_t *a, str_list_t *out, pki_err_t *err)
{
    Oid      type;
    bytes_t  v = value_of(r, row, column, &type), item;
    uint64_t dims, skip, n, len;

    *out = (str_list_t){ NULL, 0 };
    if (type != OID_TEXTS) {
        column_wrong("is not text[]", column);
    }
    if (v.p == NULL || !bytes_take_be(&v, 4, &dims) || dims == 0) {
        return PKI_OK;
    }
    if (dims != 1 || !bytes_take_be(&v, 8, &skip) || !bytes_take_be(&v, 4, &n) || !bytes_take_be(&v, 4, &skip)
        || n > v.len / 4)
    {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "column %s: an array of an unknown shape", column);
    }
    PKI_TRY(PKI_NEW_N(a, n, &out->v, err));
    for (; out->count < n; out->count++) {
        if (!bytes_take_be(&v, 4, &len) || !bytes_take(&v, len, &item)) {
            return pki_fail(err, PKI_E_INTERNAL, NULL, "column %s: a null in an array", column);
        }
        out->v[out->count] = pki_strndup(a, item.p, item.len);
        if (out->v[out->count] == NULL) {
            return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
        }
    }
    return PKI_OK;
}

pki_code_t
db_row(const db_rows_t *r, size_t row, pki_arena_t *a, const field_t *table, void *out, pki_err_t *err)
{
    for (const field_t *f = table; f->type != FIELD_T_END; f++) {
        void *member = (char *) out + f->offset;

        switch (f->type) {
        case FIELD_T_STR:
            *(const char **) member = db_text(r, row, f->name);
            break;
        case FIELD_T_INT:
            *(int64_t *) member = db_int(r, row, f->name);
            break;
        case FIELD_T_BOOL:
            *(bool *) member = db_bool(r, row, f->name);
            break;
        case FIELD_T_TIME:
            *(int64_t *) member = db_time(r, row, f->name);
            break;
        case FIELD_T_BASE64:
        case FIELD_T_HEX:
            *(bytes_t *) member = db_bytes(r, row, f->name);
            break;
        case FIELD_T_STRS:
            PKI_TRY(db_texts(r, row, f->name, a, member, err));
            break;
        default:
            column_wrong("has no row form", f->name);
        }
    }
    return PKI_OK;
}

pki_code_t
conn_read_all(const db_rows_t *r, pki_arena_t *a, conn_read_pt read, size_t size, void **out, size_t *count,
              pki_err_t *err)
{
    size_t n = db_row_count(r);
    char  *items = pki_alloc(a, n * size + 1);

    *count = 0;
    if (items == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        PKI_TRY(read(r, i, a, items + i * size, err));
    }
    *out = items;
    *count = n;
    return PKI_OK;
}
