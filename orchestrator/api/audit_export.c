/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The audit as a whole, or what its filters let through, newest first: a page of rows becomes a piece of the stream.
 * In NDJSON a row is PostgreSQL's own text, out of which its leaf can be made again; CSV (RFC 4180) is for people.
 */
#include <stdio.h>

#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "pkiproto/base/csv.h"

#define FLUSH_WAIT_MS 1000
#define PAGE_ROWS     500
#define CURSOR_MAX_   512

typedef struct {
    const char *format;
} export_query_t;

/* clang-format off */
static const char *const formats[] = { "ndjson", "csv", NULL };
static const field_t export_fields[] = {
    FIELD_ENUM(export_query_t, format, 0, "ndjson", formats, "ndjson: an event in each line, with its leaf; csv: for spreadsheets"),
    FIELD_END };
/* clang-format on */
const shape_t shape_audit_export = SHAPE("AuditExportQuery", export_query_t, export_fields);

typedef struct {
    req_t *r;
    bool   csv, begun;
    char   cursor[CURSOR_MAX_]; /* after the last page */
} export_t;

static void
header_put(pki_buf_t *out)
{
    for (const list_column_t *c = list_audit_export.columns; c->name != NULL; c++) {
        csv_put(out, bytes_str(c->name), c == list_audit_export.columns);
    }
    csv_end(out);
}

/* Numbers and objects in JSON's form; null is empty. */
static pki_code_t
value_put(pki_buf_t *out, const json_t *value, bool first, pki_err_t *err)
{
    char *text;

    if (value == NULL || json_is_null(value)) {
        csv_put(out, BYTES_LIT(""), first);
        return PKI_OK;
    }
    if (json_is_string(value)) {
        csv_put(out, bytes_of(json_string_value(value), json_string_length(value)), first);
        return PKI_OK;
    }
    text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (text == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    csv_put(out, bytes_str(text), first);
    free(text);
    return PKI_OK;
}

static pki_code_t
row_put(const export_t *e, const char *row, pki_buf_t *out, pki_err_t *err)
{
    JSON_AUTO in = NULL;

    if (!e->csv) {
        pki_buf_put(out, bytes_str(row));
        pki_buf_put_u8(out, '\n');
        return PKI_OK;
    }
    PKI_TRY(json_parse(bytes_str(row), &in, err));
    for (const list_column_t *c = list_audit_export.columns; c->name != NULL; c++) {
        PKI_TRY(value_put(out, json_object_get(in, c->name), c == list_audit_export.columns, err));
    }
    csv_end(out);
    return PKI_OK;
}

static pki_code_t
page_put(void *arg, pki_arena_t *a, pki_buf_t *out, bool *last, pki_err_t *err)
{
    export_t          *e = arg;
    const list_query_t query = { .limit = PAGE_ROWS, .cursor = e->cursor, .args = e->r->args, .arg_count = e->r->arg_count,
                                 .uncounted = true };
    list_page_t        page;

    PKI_TRY(list_page(e->r->api->parts.db, a, &list_audit_export, &query, &page, err));
    if (e->csv && !e->begun) {
        header_put(out);
    }
    e->begun = true;
    for (size_t i = 0; i < page.count; i++) {
        PKI_TRY(row_put(e, page.rows[i], out, err));
    }
    *last = page.next_cursor == NULL;
    if (!*last && (size_t) snprintf(e->cursor, sizeof(e->cursor), "%s", page.next_cursor) >= sizeof(e->cursor)) {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "a cursor of %zu octets", strlen(page.next_cursor));
    }
    return PKI_OK;
}

pki_code_t
audit_export(req_t *r, pki_err_t *err)
{
    const export_query_t *query = r->query;
    export_t             *e;

    PKI_TRY(filters_check(r, &list_audit_export, err));
    PKI_TRY(PKI_NEW(r->a, &e, err));
    e->r = r;
    e->csv = strcmp(query->format, "csv") == 0;
    trail_flush(r->api->trail, FLUSH_WAIT_MS);
    r->answer.disposition = e->csv ? "attachment; filename=\"audit.csv\"" : "attachment; filename=\"audit.ndjson\"";
    return stream_answer(r, e->csv ? "text/csv" : "application/x-ndjson", page_put, e, err);
}
