/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Pages of lists: a statement put together from a resource's fragments and numbered parameters, nothing of
 * which comes from a caller, and the cursor that says where the next page begins.
 *
 * A cursor is the order's name, the unique key and the sort keys of the last row, in base64url.  A page by number is
 * found by the row before it: from there on it is a page after a cursor.
 */
#include <stdio.h>
#include <stdlib.h>

#include "orchestrator/store/list_part.h"
#include "pkiproto/base/text.h"

#define LIST_WAIT_MS 10000 /* more than a page takes, whatever is asked */
#define LIST_MANY    10000 /* more rows are not sorted: their order's index has fifty of them sooner */
#define CURSOR_MAX   4096
#define CURSOR_SEP   '\x1f'

static pki_code_t
sort_choose(list_t *l, pki_err_t *err)
{
    const char *want = l->q->sort != NULL && *l->q->sort != '\0' ? l->q->sort : list_filters_order(l);

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
    list_columns_put(&b, l->r, l->q->fields);
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
    plan = db_row_count(rows) > 0 ? strstr(db_text(rows, 0, "QUERY PLAN"), " rows=") : NULL;
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
    list_columns_put(&b, l->r, l->q->fields);
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
    const char *own = list_filters_order(l);

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
    PKI_TRY(list_fields_check(r, q->fields, err));
    PKI_TRY(list_where_put(&l, true, err));
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
