/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Lists: a statement put together from a resource's fragments and numbered parameters, nothing of
 * which comes from a caller; the cursor that says where the next page begins; values checked by type.
 *
 * A cursor is the order's name, the unique key and the sort keys of the last row, in base64url.  A page by number is
 * found by the row before it: from there on it is a page after a cursor.
 */
#include "orchestrator/store/list.h"

#include <stdio.h>
#include <stdlib.h>

#include "orchestrator/store/conn.h"
#include "orchestrator/store/render.h"
#include "pkiproto/base/text.h"

#define LIST_SQL_MAX  16384
#define LIST_ROW_MAX  (1u << 20)
#define LIST_WAIT_MS  10000 /* more than a page takes, whatever is asked */
#define LIST_MANY     10000 /* more rows are not sorted: their order's index has fifty of them sooner */
#define CURSOR_MAX    4096
#define CURSOR_SEP    '\x1f'

typedef struct {
    const list_resource_t *r;
    const list_query_t    *q;
    pki_arena_t           *a;
    const list_sort_t     *sort;
    bool                   descending, opened; /* opened: what is usually hidden is listed */
    int64_t                limit;
    const char            *cursor_key, *cursor_sort, *cursor_then; /* cursor_key NULL: from the start */
    db_param_t             param[CONN_PARAMS_MAX];
    size_t                 count;
    pki_buf_t              where; /* without the cursor's condition */
    list_page_t           *page;
} list_t;

/* How each type is cast as a parameter and rendered as JSON. */
static const struct {
    const char *cast, *before, *after;
} list_types[] = {
    [LIST_TEXT] = { "text", "", "" },
    [LIST_INT] = { "bigint", "", "" },
    [LIST_BOOL] = { "boolean", "", "" },
    [LIST_INSTANT] = { "timestamptz", "to_char(", " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')" },
    [LIST_TIME] = { "timestamptz", "to_char(", " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')" },
    [LIST_DAY] = { "timestamptz", "", "" },
    [LIST_HEX] = { "text", "encode(", ", 'hex')" },
    [LIST_TEXTS] = { "text[]", "", "" },
    [LIST_PEM] = { "text", "E'-----BEGIN CERTIFICATE-----\\n' || regexp_replace(translate(encode(",
                   ", 'base64'), E'\\n', ''), '(.{1,64})', E'\\\\1\\n', 'g')"
                   " || E'-----END CERTIFICATE-----\\n'" },
    [LIST_JSON] = { "jsonb", "", "" },
    [LIST_TAG] = { "jsonb", "", "" },
};

const list_filter_t *
list_filter_of(const list_resource_t *r, const char *name)
{
    for (const list_filter_t *f = r->filters; f->name != NULL; f++) {
        if (strcmp(f->name, name) == 0) {
            return f;
        }
    }
    return NULL;
}

bool
list_has_column(const list_resource_t *r, bytes_t name)
{
    for (const list_column_t *c = r->columns; c->name != NULL; c++) {
        if (bytes_eq(bytes_str(c->name), name)) {
            return true;
        }
    }
    return false;
}

bool
list_fields_next(const char **at, bytes_t *name)
{
    if (*at == NULL) {
        return false;
    }
    *name = bytes_of(*at, strcspn(*at, ","));
    *at = (*at)[name->len] == ',' ? *at + name->len + 1 : NULL;
    return true;
}

static size_t
characters(const char *text)
{
    size_t n = 0;

    for (; *text != '\0'; text++) {
        n += ((uint8_t) *text & 0xc0) != 0x80;
    }
    return n;
}

pki_code_t
list_day_parse(const char *value, int64_t *out, pki_err_t *err)
{
    char whole[RFC3339_LEN + 1];

    if (strlen(value) != sizeof("2026-01-01") - 1) {
        return rfc3339_parse(value, out, err);
    }
    snprintf(whole, sizeof(whole), "%sT00:00:00Z", value);
    return rfc3339_parse(whole, out, err);
}

pki_code_t
list_value_check(const list_filter_t *f, const char *value, pki_err_t *err)
{
    if (characters(value) < f->least) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%s: must have at least %zu characters", f->name, f->least);
    }
    if (f->type == LIST_DAY && list_day_parse(value, &(int64_t){ 0 }, NULL) != PKI_OK) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%s: must be a date, or a time as RFC 3339 has it", f->name);
    }
    if (f->type == LIST_TAG && (*value == '\0' || *value == ':')) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%s: must be key:value, or a key", f->name);
    }
    return PKI_OK;
}

/* A serial as people write it (colons, leading zeros, odd length) to INTEGER contents octets. */
static pki_code_t
hex_value(list_t *l, const char *name, const char *in, const char **out, pki_err_t *err)
{
    char  *digits = pki_alloc(l->a, strlen(in) + 4), *p;
    size_t n = 2;

    if (digits == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    digits[0] = digits[1] = '0';
    for (; *in != '\0'; in++) {
        if (strchr("0123456789abcdefABCDEF", *in) != NULL) {
            digits[n++] = *in >= 'A' && *in <= 'F' ? (char) (*in + 32) : *in;
        } else if (*in != ':') {
            return pki_fail(err, PKI_E_INVALID, NULL, "%s is not hexadecimal", name);
        }
    }
    p = digits + 2 + strspn(digits + 2, "0");
    if (n == 2) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%s is empty", name);
    }
    p -= strlen(p) % 2 + (strlen(p) == 0) * 2;
    *out = strchr("89abcdef", *p) != NULL ? p - 2 : p;
    return PKI_OK;
}

static pki_code_t
choice_check(const list_filter_t *f, const char *value, size_t *at, pki_err_t *err)
{
    *at = 0;
    while (f->choices != NULL && f->choices[*at] != NULL && strcmp(f->choices[*at], value) != 0) {
        (*at)++;
    }
    if (f->choices != NULL && f->choices[*at] == NULL) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%s: \"%.60s\" is not one of its values", f->name, value);
    }
    return PKI_OK;
}

/* {"key": "value"}, or the key alone. */
static pki_code_t
tag_value(list_t *l, const char *in, const char **out, pki_err_t *err)
{
    const char *colon = strchr(in, ':');
    JSON_AUTO   tag = json_object();
    char       *text;

    if (colon == NULL) {
        *out = in;
        return PKI_OK;
    }
    if (json_object_setn_new(tag, in, (size_t) (colon - in), json_string(colon + 1)) != 0
        || (text = json_dumps(tag, JSON_COMPACT)) == NULL) {
        return pki_fail(err, PKI_E_INVALID, NULL, "tag: not UTF-8");
    }
    *out = pki_strdup(l->a, text);
    free(text);
    return *out != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

/* The parameter of a filter, checked; its number is l->count afterwards. */
static pki_code_t
value_add(list_t *l, const list_filter_t *f, const char *value, pki_err_t *err)
{
    db_param_t *p = &l->param[l->count];
    char       *end = NULL;

    PKI_TRY(list_value_check(f, value, err));
    *p = DB_T(value);
    switch (f->type) {
    case LIST_INT:
        *p = DB_I(strtoll(value, &end, 10));
        break;
    case LIST_BOOL:
        if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0) {
            return pki_fail(err, PKI_E_INVALID, NULL, "%s is true or false", f->name);
        }
        break;
    case LIST_TIME:
        PKI_TRY(rfc3339_parse(value, &p->num, err));
        p->type = DB_TIME;
        break;
    case LIST_DAY:
        PKI_TRY(list_day_parse(value, &p->num, err));
        p->type = DB_TIME;
        break;
    case LIST_HEX:
        PKI_TRY(hex_value(l, f->name, value, &p->text, err));
        break;
    case LIST_TAG:
        PKI_TRY(tag_value(l, value, &p->text, err));
        break;
    default:
        break;
    }
    if (end != NULL && (*end != '\0' || *value == '\0')) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%s is not a number", f->name);
    }
    l->count++;
    return PKI_OK;
}

/* A condition with each %s replaced by the newest parameter. */
static void
where_put(list_t *l, const char *cond, const char *cast)
{
    const char *at;

    while ((at = strstr(cond, "%s")) != NULL) {
        pki_buf_put(&l->where, bytes_of(cond, (size_t) (at - cond)));
        pki_buf_printf(&l->where, "$%zu::%s", l->count, cast);
        cond = at + 2;
    }
    pki_buf_put(&l->where, bytes_str(cond));
}

static void
where_add(list_t *l, const char *cond, const char *cast)
{
    pki_buf_put(&l->where, bytes_str(" AND ("));
    where_put(l, cond, cast);
    pki_buf_put(&l->where, bytes_str(")"));
}

static pki_code_t
filter_add(list_t *l, const list_arg_t *arg, pki_err_t *err)
{
    const list_filter_t *f = list_filter_of(l->r, arg->name);
    size_t               choice;

    if (f == NULL) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%s have no filter \"%.60s\"", l->r->name, arg->name);
    }
    if (l->count >= CONN_PARAMS_MAX - 5 - SCOPE_KINDS) {
        return pki_fail(err, PKI_E_INVALID, NULL, "too many filters");
    }
    PKI_TRY(choice_check(f, arg->value, &choice, err));
    l->opened = l->opened || (f->opens != NULL && strcmp(f->opens, arg->value) == 0);
    if (f->conds != NULL) {
        where_add(l, f->conds[choice], "");
        return PKI_OK;
    }
    PKI_TRY(value_add(l, f, arg->value, err));
    if (f->type == LIST_TAG && strchr(arg->value, ':') == NULL) {
        where_add(l, f->bare, "text");
    } else {
        where_add(l, f->cond, list_types[f->type].cast);
    }
    return PKI_OK;
}

/* Rows that belong to one of the scope's issuers, profiles, teams or owners. */
static void
scope_add(list_t *l)
{
    const scope_t *scope = l->q->scope;

    if (scope == NULL || scope->all) {
        return;
    }
    pki_buf_put(&l->where, bytes_str(" AND (false"));
    for (size_t kind = 0; kind < SCOPE_KINDS; kind++) {
        if (scope->ids[kind].count > 0 && l->r->scopes[kind] != NULL) {
            bool whole = strstr(l->r->scopes[kind], "%s") != NULL;

            l->param[l->count++] = DB_TS(&scope->ids[kind]);
            pki_buf_put(&l->where, bytes_str(" OR "));
            where_put(l, l->r->scopes[kind], "text[]");
            if (!whole) {
                pki_buf_printf(&l->where, " = ANY($%zu::text[])", l->count);
            }
        }
    }
    pki_buf_put(&l->where, bytes_str(")"));
}

static pki_code_t
filters_add(list_t *l, bool hiding, pki_err_t *err)
{
    pki_buf_init(&l->where, l->a, LIST_SQL_MAX);
    pki_buf_put(&l->where, bytes_str(" WHERE true"));
    if (l->r->parent != NULL) {
        if (l->q->parent == NULL) {
            return pki_fail(err, PKI_E_INTERNAL, NULL, "%s without a parent", l->r->name);
        }
        l->param[l->count++] = DB_T(l->q->parent);
        where_add(l, l->r->parent, "text");
    }
    for (size_t i = 0; i < l->q->arg_count; i++) {
        PKI_TRY(filter_add(l, &l->q->args[i], err));
    }
    if (hiding && l->r->usually != NULL && !l->opened) {
        where_add(l, l->r->usually, "");
    }
    scope_add(l);
    return pki_buf_check(&l->where, "a list's filters", err);
}

/* The order that one of the filters brings along, or NULL. */
static const char *
order_of_filters(const list_t *l)
{
    for (size_t i = 0; i < l->q->arg_count; i++) {
        const list_filter_t *f = list_filter_of(l->r, l->q->args[i].name);
        size_t               choice;

        if (f != NULL && f->orders != NULL && choice_check(f, l->q->args[i].value, &choice, NULL) == PKI_OK
            && f->orders[choice] != NULL) {
            return f->orders[choice];
        }
    }
    return NULL;
}

static pki_code_t
sort_choose(list_t *l, pki_err_t *err)
{
    const char *want = l->q->sort != NULL && *l->q->sort != '\0' ? l->q->sort : order_of_filters(l);

    l->sort = l->r->sorts;
    l->descending = l->r->newest_first;
    if (want == NULL) {
        return PKI_OK;
    }
    l->descending = *want == '-';
    want += l->descending;
    for (; l->sort->name != NULL; l->sort++) {
        if (strcmp(l->sort->name, want) == 0) {
            return PKI_OK;
        }
    }
    return pki_fail(err, PKI_E_INVALID, NULL, "%s cannot be sorted by \"%.60s\"", l->r->name, want);
}

static pki_code_t
limit_choose(list_t *l, pki_err_t *err)
{
    l->limit = l->q->limit != 0 ? l->q->limit : LIST_LIMIT_DEFAULT;
    if (l->limit < 1 || l->limit > LIST_LIMIT_MAX) {
        return pki_fail(err, PKI_E_INVALID, NULL, "limit is %lld, it is from 1 to %d", (long long) l->limit,
                        LIST_LIMIT_MAX);
    }
    if (l->q->page < 0 || l->q->page > LIST_PAGED_MAX / l->limit) {
        return pki_fail(err, PKI_E_INVALID, NULL, "page: pages end after %d rows; next_cursor goes on from there",
                        LIST_PAGED_MAX);
    }
    return PKI_OK;
}

/* base64url without padding (RFC 4648 5), in place of what base64_encode() and base64_decode() use. */
static pki_code_t
cursor_print(list_t *l, const db_rows_t *rows, size_t n, const char **out, pki_err_t *err)
{
    const char *then = l->sort->then != NULL ? db_text(rows, n, "next") : "";
    const char *text = pki_printf(l->a, "%s%s%c%s%c%s%c%s", l->descending ? "-" : "", l->sort->name, CURSOR_SEP,
                                  db_text(rows, n, "key"), CURSOR_SEP, then, CURSOR_SEP, db_text(rows, n, "sort"));
    char       *p = text != NULL ? base64_print(l->a, bytes_str(text)) : NULL;

    if (p == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    *out = p;
    for (; *p != '\0' && *p != '='; p++) {
        *p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
    }
    *p = '\0';
    return PKI_OK;
}

static pki_code_t
cursor_decode(list_t *l, char **out, pki_err_t *err)
{
    size_t  len = strlen(l->q->cursor);
    char   *p = pki_alloc(l->a, len + 4);
    bytes_t text;

    if (p == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    for (size_t i = 0; i < len; i++) {
        p[i] = l->q->cursor[i] == '-' ? '+' : l->q->cursor[i] == '_' ? '/' : l->q->cursor[i];
    }
    memcpy(p + len, "===", (4 - len % 4) % 4);
    if (base64_parse(l->a, bytes_str(p), 0, &text, NULL) != PKI_OK ||
        memchr(text.p, '\0', text.len) != NULL) {
        return pki_fail(err, PKI_E_INVALID, NULL, "cursor: not one of ours");
    }
    *out = pki_strndup(l->a, text.p, text.len);
    return *out != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

static pki_code_t
cursor_parse(list_t *l, pki_err_t *err)
{
    const char *want;
    char       *text, *key, *then, *sort;

    if (l->q->cursor == NULL || *l->q->cursor == '\0') {
        return PKI_OK;
    }
    if (strlen(l->q->cursor) > CURSOR_MAX) {
        return pki_fail(err, PKI_E_INVALID, NULL, "cursor: too long");
    }
    PKI_TRY(cursor_decode(l, &text, err));
    want = pki_printf(l->a, "%s%s", l->descending ? "-" : "", l->sort->name);
    key = strchr(text, CURSOR_SEP);
    then = key != NULL ? strchr(key + 1, CURSOR_SEP) : NULL;
    sort = then != NULL ? strchr(then + 1, CURSOR_SEP) : NULL;
    if (want == NULL || sort == NULL) {
        return pki_fail(err, PKI_E_INVALID, NULL, "cursor: not one of ours");
    }
    *key++ = *then++ = *sort++ = '\0';
    if (strcmp(text, want) != 0) {
        return pki_fail(err, PKI_E_INVALID, NULL, "cursor: it belongs to another sort order");
    }
    l->cursor_key = key;
    l->cursor_then = then;
    l->cursor_sort = sort;
    return PKI_OK;
}

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

static pki_code_t
fields_check(const list_resource_t *r, const char *fields, pki_err_t *err)
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

/* json_build_object('id', m.id, ...) as text */
static void
columns_put(pki_buf_t *b, const list_resource_t *r, const char *fields)
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

/* The keys of a row; in a row comparison they say what comes after a cursor. */
static void
keys_put(pki_buf_t *b, const list_t *l)
{
    pki_buf_printf(b, "(%s)::text AS key, (%s)::text AS sort", l->r->key, l->sort->expr);
    if (l->sort->then != NULL) {
        pki_buf_printf(b, ", (%s)::text AS next", l->sort->then);
    }
    pki_buf_printf(b, " FROM %s", l->r->from);
    pki_buf_put(b, pki_buf_bytes(&l->where));
}

static void
cursor_put(pki_buf_t *b, list_t *l, db_param_t *param, size_t *count)
{
    const list_sort_t *s = l->sort;

    if (l->cursor_key == NULL) {
        return;
    }
    pki_buf_printf(b, " AND (%s%s%s, %s) %c (", s->expr, s->then != NULL ? ", " : "", s->then != NULL ? s->then : "",
                   l->r->key, l->descending ? '<' : '>');
    param[(*count)++] = DB_T(l->cursor_sort);
    pki_buf_printf(b, "$%zu::%s, ", *count, s->cast);
    if (s->then != NULL) {
        param[(*count)++] = DB_T(l->cursor_then);
        pki_buf_printf(b, "$%zu::%s, ", *count, s->then_cast);
    }
    param[(*count)++] = DB_T(l->cursor_key);
    pki_buf_printf(b, "$%zu::%s)", *count, l->r->key_cast);
}

static void
order_put(pki_buf_t *b, const list_t *l)
{
    const char *way = l->descending ? "DESC" : "ASC";

    pki_buf_printf(b, " ORDER BY %s %s", l->sort->expr, way);
    if (l->sort->then != NULL) {
        pki_buf_printf(b, ", %s %s", l->sort->then, way);
    }
    pki_buf_printf(b, ", %s %s", l->r->key, way);
}

/* Run what is in b with the filters' parameters and those that came with the cursor. */
static pki_code_t
list_query(db_conn_t *c, list_t *l, pki_buf_t *b, const db_param_t *param, size_t count, db_rows_t **rows,
           pki_err_t *err)
{
    pki_buf_put_u8(b, '\0');
    PKI_TRY(pki_buf_check(b, "a list's statement", err));
    return conn_query_text(c, l->a, l->r->name, (const char *) b->p, param, count, rows, err);
}

/* Values that PostgreSQL cannot read come from a cursor: all others were checked. */
static pki_code_t
cursor_blame(const list_t *l, pki_code_t code, pki_err_t *err)
{
    if (code == PKI_E_INVALID && l->cursor_key != NULL) {
        return pki_fail(err, PKI_E_INVALID, NULL, "cursor: not one of ours");
    }
    return code;
}

/* The row before a page with a number is where its cursor would be; *none: there are not that many rows. */
static pki_code_t
page_find(db_conn_t *c, list_t *l, bool *none, pki_err_t *err)
{
    int64_t    before = (l->q->page - 1) * l->limit;
    pki_buf_t  b;
    db_rows_t *rows;

    *none = false;
    if (before <= 0) {
        return PKI_OK;
    }
    pki_buf_init(&b, l->a, LIST_SQL_MAX);
    pki_buf_put(&b, bytes_str("SELECT "));
    keys_put(&b, l);
    order_put(&b, l);
    pki_buf_printf(&b, " LIMIT 1 OFFSET %lld", (long long) before - 1);
    PKI_TRY(list_query(c, l, &b, l->param, l->count, &rows, err));
    *none = db_row_count(rows) == 0;
    if (!*none) {
        l->cursor_key = db_text(rows, 0, "key");
        l->cursor_sort = db_text(rows, 0, "sort");
        l->cursor_then = l->sort->then != NULL ? db_text(rows, 0, "next") : NULL;
    }
    return PKI_OK;
}

static pki_code_t
page_fill(list_t *l, const db_rows_t *rows, pki_err_t *err)
{
    size_t n = db_row_count(rows);

    if (n == 1 && db_null(rows, 0, "row")) {
        n = 0; /* what was counted, and no row of this page */
    }
    l->page->count = n > (size_t) l->limit ? (size_t) l->limit : n;
    PKI_TRY(PKI_NEW_N(l->a, n + 1, &l->page->rows, err));
    for (size_t i = 0; i < l->page->count; i++) {
        l->page->rows[i] = db_text(rows, i, "row");
    }
    return n > l->page->count ? cursor_print(l, rows, l->page->count - 1, &l->page->next_cursor, err) : PKI_OK;
}

static pki_code_t
page_read(db_conn_t *c, list_t *l, pki_err_t *err)
{
    db_param_t param[CONN_PARAMS_MAX];
    size_t     count = l->count;
    pki_buf_t  b;
    db_rows_t *rows;

    memcpy(param, l->param, sizeof(param));
    pki_buf_init(&b, l->a, LIST_SQL_MAX);
    columns_put(&b, l->r, l->q->fields);
    keys_put(&b, l);
    cursor_put(&b, l, param, &count);
    order_put(&b, l);
    /* One more than asked for tells whether there is a next page. */
    pki_buf_printf(&b, " LIMIT %lld", (long long) l->limit + 1);
    PKI_TRY(cursor_blame(l, list_query(c, l, &b, param, count, &rows, err), err));
    return page_fill(l, rows, err);
}

/* How many rows the planner expects: "Index Scan ...  (cost=0.42..8.44 rows=51 width=36)". */
static pki_code_t
rows_expect(db_conn_t *c, list_t *l, int64_t *out, pki_err_t *err)
{
    const char *plan;
    pki_buf_t   b;
    db_rows_t  *rows;

    pki_buf_init(&b, l->a, LIST_SQL_MAX);
    pki_buf_printf(&b, "EXPLAIN SELECT FROM %s", l->r->from);
    pki_buf_put(&b, pki_buf_bytes(&l->where));
    PKI_TRY(list_query(c, l, &b, l->param, l->count, &rows, err));
    plan = db_row_count(rows) > 0 ? strstr(db_text(rows, 0, "\"QUERY PLAN\""), " rows=") : NULL;
    *out = plan != NULL ? strtoll(plan + 6, NULL, 10) : 0;
    return PKI_OK;
}

/* One more than LIST_TOTAL_EXACT: there are more. */
static pki_code_t
rows_count(db_conn_t *c, list_t *l, int64_t *out, pki_err_t *err)
{
    pki_buf_t  b;
    db_rows_t *rows;

    pki_buf_init(&b, l->a, LIST_SQL_MAX);
    pki_buf_printf(&b, "SELECT count(*) AS total FROM (SELECT FROM %s", l->r->from);
    pki_buf_put(&b, pki_buf_bytes(&l->where));
    pki_buf_printf(&b, " LIMIT %d) AS counted", LIST_TOTAL_EXACT + 1);
    PKI_TRY(list_query(c, l, &b, l->param, l->count, &rows, err));
    *out = db_int(rows, 0, "total");
    return PKI_OK;
}

/* After the page; expected 0: it was not asked for yet. */
static pki_code_t
total_take(db_conn_t *c, list_t *l, int64_t expected, pki_err_t *err)
{
    list_page_t *page = l->page;

    if (l->q->uncounted) {
        return PKI_OK;
    }
    if (l->cursor_key == NULL && page->next_cursor == NULL && l->q->page <= 1) {
        page->total = (int64_t) page->count; /* all of them are on this page */
        return PKI_OK;
    }
    if (expected == 0) {
        PKI_TRY(rows_count(c, l, &page->total, err));
        page->total_estimated = page->total > LIST_TOTAL_EXACT;
        if (page->total_estimated) {
            PKI_TRY(rows_expect(c, l, &expected, err));
        }
    } else {
        page->total_estimated = true;
    }
    page->total = page->total > expected ? page->total : expected;
    return PKI_OK;
}

/* What comes after a cursor, of rows that were chosen already. */
static void
chosen_cursor_put(pki_buf_t *b, const list_t *l, db_param_t *param, size_t *count)
{
    const list_resource_t r = { .key = "chosen_key", .key_cast = l->r->key_cast };
    const list_sort_t     sort = { NULL, "chosen_sort", l->sort->cast, l->sort->then != NULL ? "chosen_next" : NULL,
                                   l->sort->then_cast };
    list_t                as = *l;

    as.r = &r;
    as.sort = &sort;
    cursor_put(b, &as, param, count);
}

/*
 * Few rows fit: they are found by the filters, counted and sorted, whatever indexes the order has.  *few is false when they
 * were more than that.
 */
static pki_code_t
page_sort(db_conn_t *c, list_t *l, bool *few, pki_err_t *err)
{
    const char *way = l->descending ? "DESC" : "ASC";
    int64_t     before = l->q->page > 0 ? (l->q->page - 1) * l->limit : 0;
    db_param_t  param[CONN_PARAMS_MAX];
    size_t      count = l->count;
    pki_buf_t   b;
    db_rows_t  *rows;

    memcpy(param, l->param, sizeof(param));
    pki_buf_init(&b, l->a, LIST_SQL_MAX);
    pki_buf_printf(&b, "WITH chosen AS MATERIALIZED (SELECT %s AS chosen_key, %s AS chosen_sort, %s AS chosen_next FROM %s",
                   l->r->key, l->sort->expr, l->sort->then != NULL ? l->sort->then : "NULL", l->r->from);
    pki_buf_put(&b, pki_buf_bytes(&l->where));
    pki_buf_printf(&b, " LIMIT %d), counted AS MATERIALIZED (SELECT count(*) AS total FROM chosen), page AS MATERIALIZED"
                       " (SELECT chosen.* FROM chosen, counted WHERE total <= %d", LIST_MANY + 1, LIST_MANY);
    chosen_cursor_put(&b, l, param, &count);
    pki_buf_printf(&b, " ORDER BY chosen_sort %s, chosen_next %s, chosen_key %s LIMIT %lld OFFSET %lld) "
                       "SELECT total, x.* FROM counted LEFT JOIN LATERAL (", way, way, way, (long long) l->limit + 1,
                   (long long) before);
    columns_put(&b, l->r, l->q->fields);
    pki_buf_printf(&b, "chosen_key::text AS key, chosen_sort::text AS sort, chosen_next::text AS next, chosen_key, chosen_sort,"
                       " chosen_next FROM page, %s WHERE %s = chosen_key) AS x ON true"
                       " ORDER BY chosen_sort %s, chosen_next %s, chosen_key %s",
                   l->r->from, l->r->key, way, way, way);
    PKI_TRY(cursor_blame(l, list_query(c, l, &b, param, count, &rows, err), err));
    l->page->total = db_int(rows, 0, "total");
    *few = l->page->total <= LIST_MANY;
    return page_fill(l, rows, err);
}

/*
 * The filters' own index has the rows in this order: it is the unique key's, which ends every index, or the one that a
 * filter brings along.
 */
static bool
order_is_native(const list_t *l)
{
    const char *own = order_of_filters(l);

    return l->sort->expr == l->r->key || (own != NULL && strcmp(own + (*own == '-'), l->sort->name) == 0);
}

/* Rows in the order of an index until there are enough. */
static pki_code_t
page_walk(db_conn_t *c, list_t *l, int64_t expected, pki_err_t *err)
{
    bool none;

    PKI_TRY(page_find(c, l, &none, err));
    if (!none) {
        PKI_TRY(page_read(c, l, err));
    }
    return total_take(c, l, expected, err);
}

/*
 * Of a large table.  The planner tells few rows from many.  Few are all read, since counting them would do the same.  Many
 * are not: what an index gives in order is enough soon, the sooner if it is the filters' own.
 */
static pki_code_t
page_large(db_conn_t *c, list_t *l, pki_err_t *err)
{
    int64_t expected;
    bool    few;

    PKI_TRY(rows_expect(c, l, &expected, err));
    if (expected < (order_is_native(l) ? 2 * LIST_TOTAL_EXACT : LIST_MANY)) {
        PKI_TRY(page_sort(c, l, &few, err));
        if (few) {
            return PKI_OK;
        }
    } else {
        PKI_TRY(conn_plans(c, CONN_PLANS_WALK, err));
    }
    return page_walk(c, l, expected > LIST_TOTAL_EXACT ? expected : LIST_TOTAL_EXACT + 1, err);
}

static pki_code_t
page_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    list_t *l = arg;

    conn_patience(c, LIST_WAIT_MS);
    PKI_TRY(conn_plans(c, CONN_PLANS_LIST, err));
    return l->r->large ? page_large(c, l, err) : page_walk(c, l, 0, err);
}

pki_code_t
list_page(db_t *db, pki_arena_t *a, const list_resource_t *r, const list_query_t *q, list_page_t *out,
          pki_err_t *err)
{
    list_t l = { .r = r, .q = q, .a = a, .page = out };

    PKI_TRY(limit_choose(&l, err));
    PKI_TRY(sort_choose(&l, err));
    PKI_TRY(cursor_parse(&l, err));
    PKI_TRY(fields_check(r, q->fields, err));
    PKI_TRY(filters_add(&l, true, err));
    *out = (list_page_t){ .page = q->page, .limit = l.limit };
    return db_run(db, page_run, &l, err);
}

pki_code_t
list_print(const list_page_t *page, pki_buf_t *out, pki_err_t *err)
{
    pki_buf_put(out, bytes_str("{\"data\": ["));
    for (size_t i = 0; i < page->count; i++) {
        pki_buf_put(out, bytes_str(i > 0 ? ", " : ""));
        pki_buf_put(out, bytes_str(page->rows[i]));
    }
    pki_buf_printf(out, "], \"total\": %lld, \"total_is_estimate\": %s, \"next_cursor\": ", (long long) page->total,
                   page->total_estimated ? "true" : "false");
    if (page->next_cursor != NULL) {
        pki_buf_printf(out, "\"%s\"", page->next_cursor);
    } else {
        pki_buf_put(out, bytes_str("null"));
    }
    if (page->page > 0) {
        pki_buf_printf(out, ", \"page\": %lld, \"per_page\": %lld}", (long long) page->page, (long long) page->limit);
    } else {
        pki_buf_printf(out, ", \"page_size\": %lld}", (long long) page->limit);
    }
    return pki_buf_check(out, "a list", err);
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

    PKI_TRY(fields_check(r, q->fields, err));
    PKI_TRY(filters_add(&l, false, err));
    l.param[l.count++] = DB_T(id);
    pki_buf_init(&b, a, LIST_SQL_MAX);
    columns_put(&b, r, q->fields);
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

typedef struct {
    const list_resource_t *r;
    pki_arena_t           *a;
    const str_list_t      *ids;
    list_row_t            *out;
} many_t;

/* Those that are rendered here (render.c); others are texts that PostgreSQL makes. */
static bool
renders(list_type_t type)
{
    return type == LIST_TIME || type == LIST_HEX;
}

static pki_code_t
many_put(const many_t *m, const db_rows_t *rows, size_t n, list_row_t *out, pki_err_t *err)
{
    pki_buf_t b;
    size_t    i = 0;

    pki_buf_init(&b, m->a, LIST_ROW_MAX);
    for (const list_column_t *c = m->r->columns; c->name != NULL; c++, i++) {
        pki_buf_put(&b, bytes_str(i > 0 ? ", \"" : "{\""));
        pki_buf_put(&b, bytes_str(c->name));
        pki_buf_put(&b, BYTES_LIT("\" : "));
        render_value(rows, n, i, &b);
    }
    pki_buf_put(&b, bytes_of("}", 2)); /* and a NUL */
    PKI_TRY(pki_buf_check(&b, "a row", err));
    *out = (list_row_t){ .json = (const char *) b.p, .version = db_text(rows, n, "row_version") };
    return PKI_OK;
}

static pki_code_t
many_fill(const many_t *m, const db_rows_t *rows, pki_err_t *err)
{
    for (size_t n = 0; n < db_row_count(rows); n++) {
        const char *id = db_text(rows, n, "row_id");
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
    pki_buf_printf(&b, "%s AS row_id, (%s)::text AS row_version FROM %s WHERE %s = ANY ($1::text[])", m->r->id,
                   m->r->version != NULL ? m->r->version : "NULL", m->r->from, m->r->id);
    pki_buf_put_u8(&b, '\0');
    PKI_TRY(pki_buf_check(&b, "a statement", err));
    PKI_TRY(conn_query_kept(c, m->a, m->r->name, (const char *) b.p, DB_PARAMS(DB_TS(m->ids)), &rows, err));
    return many_fill(m, rows, err);
}

pki_code_t
list_many(db_t *db, pki_arena_t *a, const list_resource_t *r, const str_list_t *ids, list_row_t *out, pki_err_t *err)
{
    many_t m = { r, a, ids, out };

    memset(out, 0, ids->count * sizeof(*out));
    return db_run(db, many_run, &m, err);
}
