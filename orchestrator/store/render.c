/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * See render.h.
 */
#include "orchestrator/store/render.h"

#include <stdlib.h>

#include "core/log.h"
#include "pkiproto/base/text.h"

/* Type numbers of pg_type, which never change. */
enum {
    OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_TEXT = 25, OID_JSON = 114,
    OID_TEXTS = 1009, OID_TIME = 1184, OID_JSONB = 3802,
};

#define PG_EPOCH 946684800

/* The escapes of PostgreSQL's escape_json(). */
static void
put_escaped(pki_buf_t *b, uint8_t c)
{
    static const char short_forms[] = "\bb\ff\nn\rr\tt\"\"\\\\";

    for (const char *p = short_forms; *p != '\0'; p += 2) {
        if ((uint8_t) *p == c) {
            pki_buf_put_u8(b, '\\');
            pki_buf_put_u8(b, (uint8_t) p[1]);
            return;
        }
    }
    pki_buf_printf(b, "\\u%04x", c);
}

static void
put_text(bytes_t in, pki_buf_t *b)
{
    size_t from = 0;

    pki_buf_put_u8(b, '"');
    for (size_t i = 0; i < in.len; i++) {
        if (in.p[i] < 0x20 || in.p[i] == '"' || in.p[i] == '\\') {
            pki_buf_put(b, bytes_of(in.p + from, i - from));
            put_escaped(b, in.p[i]);
            from = i + 1;
        }
    }
    pki_buf_put(b, bytes_of(in.p + from, in.len - from));
    pki_buf_put_u8(b, '"');
}

static int64_t
be_int(bytes_t in)
{
    uint64_t v = in.len > 0 && (in.p[0] & 0x80) != 0 ? UINT64_MAX : 0;

    for (size_t i = 0; i < in.len; i++) {
        v = v << 8 | in.p[i];
    }
    return (int64_t) v;
}

static void
put_int(bytes_t in, pki_buf_t *b)
{
    pki_buf_put_int(b, be_int(in));
}

static void
put_bool(bytes_t in, pki_buf_t *b)
{
    pki_buf_put(b, bytes_str(in.p[0] != 0 ? "true" : "false"));
}

static void
put_hex(bytes_t in, pki_buf_t *b)
{
    char *out = (char *) pki_buf_extend(b, 2 * in.len + 2);

    if (out != NULL) {
        out[0] = '"';
        hex_encode(in, out + 1);
        out[2 * in.len + 1] = '"'; /* where hex_encode() has put its NUL */
    }
}

/* The second that it lies in. */
static void
put_time(bytes_t in, pki_buf_t *b)
{
    int64_t us = be_int(in);
    char    text[RFC3339_LEN + 1];

    rfc3339_print(PG_EPOCH + us / 1000000 - (us % 1000000 < 0), text);
    put_text(bytes_str(text), b);
}

static void
put_json(bytes_t in, pki_buf_t *b)
{
    pki_buf_put(b, in);
}

/* After its version. */
static void
put_jsonb(bytes_t in, pki_buf_t *b)
{
    pki_buf_put(b, bytes_of(in.p + 1, in.len - 1));
}

/* One dimension, as params_array() in conn.c writes them. */
static void
put_texts(bytes_t in, pki_buf_t *b)
{
    uint64_t dims, skip, len;
    bytes_t  item;
    bool     first = true;

    pki_buf_put_u8(b, '[');
    if (bytes_take_be(&in, 4, &dims) && dims == 1 && bytes_take_be(&in, 8, &skip) && bytes_take_be(&in, 8, &skip)) {
        while (bytes_take_be(&in, 4, &len)) {
            if (!first) {
                pki_buf_put_u8(b, ',');
            }
            first = false;
            if (len == UINT32_MAX) {
                pki_buf_put(b, BYTES_LIT("null"));
            } else if (bytes_take(&in, len, &item)) {
                put_text(item, b);
            }
        }
    }
    pki_buf_put_u8(b, ']');
}

static const struct {
    Oid       type;
    render_pt put;
} forms[] = {
    { OID_TEXT, put_text },   { OID_TIME, put_time }, { OID_BYTEA, put_hex }, { OID_JSONB, put_jsonb },
    { OID_TEXTS, put_texts }, { OID_BOOL, put_bool }, { OID_INT8, put_int },  { OID_INT4, put_int },
    { OID_INT2, put_int },    { OID_JSON, put_json },
};

render_pt
render_of(const db_rows_t *r, size_t column)
{
    Oid type = PQftype(r->result, (int) column);

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (forms[i].type == type) {
            return forms[i].put;
        }
    }
    log_error("db.column", LOG_S("column", PQfname(r->result, (int) column)), LOG_S("what", "has no form in JSON"));
    abort();
}

void
render_value(const db_rows_t *r, size_t row, size_t column, render_pt put, pki_buf_t *out)
{
    const uint8_t *p = (const uint8_t *) PQgetvalue(r->result, (int) row, (int) column);
    size_t         len = (size_t) PQgetlength(r->result, (int) row, (int) column);

    if (len == 0 && PQgetisnull(r->result, (int) row, (int) column)) {
        pki_buf_put(out, BYTES_LIT("null"));
    } else {
        put(bytes_of(p, len), out);
    }
}
