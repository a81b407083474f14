/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Every list and every single row: what store/list.h describes, PostgreSQL renders.  Filters are checked here
 * first, so that an answer names each wrong one.
 */
#include "core/log.h"
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"

#define LIST_ANSWER_MAX (16u << 20)
#define NAME_MAX_       200

/* Two forms: a cursor with page_size, and page with per_page. */
typedef struct {
    const char *cursor;
    int64_t     page_size, limit, page, per_page;
    const char *sort, *fields;
} list_input_t;

/* clang-format off */
static const field_t list_input_fields[] = {
    FIELD_STR(list_input_t, cursor,    0, NULL, "next_cursor of the answer before; absent or empty: from the start"),
    FIELD_INT(list_input_t, page_size, 0, NULL, 1, LIST_LIMIT_MAX, "rows in one answer, with or without a cursor; default 50"),
    FIELD_INT(list_input_t, limit,     0, NULL, 1, LIST_LIMIT_MAX, "the same by its older name"),
    FIELD_INT(list_input_t, page,      0, NULL, 1, LIST_PAGED_MAX, "number of the page, instead of a cursor; the first 10000 rows can be reached so"),
    FIELD_INT(list_input_t, per_page,  0, NULL, 1, LIST_LIMIT_MAX, "rows in one page; default 50"),
    FIELD_STR(list_input_t, sort,      0, NULL, "order of the rows; with a hyphen before it the other way round"),
    FIELD_STR(list_input_t, fields,    0, NULL, "members of each row that are wanted, separated by commas; absent: all"),
    FIELD_END };

/* What a single row is asked with. */
typedef struct {
    const char *fields;
} row_input_t;
static const field_t row_input_fields[] = {
    FIELD_STR(row_input_t, fields, 0, NULL, "members that are wanted, separated by commas; absent: all"),
    FIELD_END };
/* clang-format on */

const shape_t shape_list_query = SHAPE("ListQuery", list_input_t, list_input_fields);
const shape_t shape_row_query = SHAPE("RowQuery", row_input_t, row_input_fields);

const shape_t *
route_query(const route_t *route)
{
    if (route->kind == ANSWER_LIST) {
        return &shape_list_query;
    }
    return route->handler == row_serve ? &shape_row_query : route->query;
}

/* A filter's value as a field, for its check. */
typedef union {
    const char *text;
    int64_t     number;
    bool        flag;
    bytes_t     octets;
} filter_value_t;

static const field_type_t filter_types[] = {
    [LIST_TEXT] = FIELD_T_STR, [LIST_INT] = FIELD_T_INT, [LIST_BOOL] = FIELD_T_BOOL, [LIST_TIME] = FIELD_T_TIME,
    [LIST_DAY] = FIELD_T_STR,
    [LIST_HEX] = FIELD_T_STR,  [LIST_TEXTS] = FIELD_T_STR, [LIST_PEM] = FIELD_T_STR, [LIST_JSON] = FIELD_T_STR,
    [LIST_TAG] = FIELD_T_STR,
};

static void
filter_check(req_t *r, const list_filter_t *filter, const char *value)
{
    field_t        f = { .name = filter->name, .type = filter_types[filter->type], .choices = filter->choices };
    filter_value_t out;
    pki_err_t      why = { 0 };
    size_t         len = strlen(filter->name);

    if (filter->type == LIST_HEX) {
        /* Serials as people write them: the list knows their forms. */
        if (*value == '\0' || strspn(value, "0123456789abcdefABCDEF:") != strlen(value)) {
            check_problem(r, filter->name, "is not hexadecimal");
        }
        return;
    }
    if (field_from_text(r->a, &f, value, &out, &why) != PKI_OK || list_value_check(filter, value, &why) != PKI_OK) {
        bool named = strncmp(why.text, filter->name, len) == 0 && why.text[len] == ':';

        check_problem(r, filter->name, "%s", named ? why.text + len + 2 : why.text);
    }
}

static void
filter_values_check(req_t *r, const list_resource_t *resource)
{
    for (size_t i = 0; i < r->arg_count; i++) {
        filter_check(r, list_filter_of(resource, r->args[i].name), r->args[i].value);
    }
}

pki_code_t
filters_check(req_t *r, const list_resource_t *resource, pki_err_t *err)
{
    filter_values_check(r, resource);
    return check_done(r, err);
}

static void
sort_check(req_t *r, const list_resource_t *resource, const char *sort)
{
    const char *name = sort != NULL && *sort == '-' ? sort + 1 : sort;

    for (const list_sort_t *s = resource->sorts; name != NULL && s->name != NULL; s++) {
        if (strcmp(s->name, name) == 0) {
            return;
        }
    }
    if (name != NULL) {
        check_problem(r, "sort", "is not an order of this list");
    }
}

static void
fields_names_check(req_t *r, const list_resource_t *resource, const char *fields)
{
    bytes_t name;

    while (list_fields_next(&fields, &name)) {
        if (!list_has_column(resource, name)) {
            check_problem(r, "fields", "there is no member \"%.*s\"", (int) (name.len < 60 ? name.len : 60),
                          (const char *) name.p);
        }
    }
}

static void
forms_check(req_t *r, const list_input_t *in)
{
    int64_t rows = in->per_page != 0 ? in->per_page : LIST_LIMIT_DEFAULT;
    bool    paged = in->page != 0 || in->per_page != 0;
    const struct {
        bool        given;
        const char *name;
    } others[] = { { in->cursor != NULL, "cursor" }, { in->page_size != 0, "page_size" }, { in->limit != 0, "limit" } };

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]) && paged; i++) {
        if (others[i].given) {
            check_problem(r, others[i].name, "cannot be given with page or per_page");
        }
    }
    if (in->page_size != 0 && in->limit != 0) {
        check_problem(r, "limit", "cannot be given with page_size, which is the same");
    }
    if (in->page > LIST_PAGED_MAX / rows) {
        check_problem(r, "page", "pages end after %d rows; next_cursor goes on from there", LIST_PAGED_MAX);
    }
}

static pki_code_t
list_check(req_t *r, const list_resource_t *resource, const list_input_t *in, pki_err_t *err)
{
    filter_values_check(r, resource);
    sort_check(r, resource, in->sort);
    fields_names_check(r, resource, in->fields);
    forms_check(r, in);
    return check_done(r, err);
}

/* A list below a thing that is not there is not an empty list. */
static pki_code_t
parent_check(req_t *r, const list_resource_t *resource, pki_err_t *err)
{
    static const struct {
        const list_resource_t *list, *parent;
    } parents[] = { { &list_versions, &list_certificates },
                    { &list_est_credentials, &list_est_labels },
                    { &list_job_items, &list_jobs },
                    { &list_violations, &list_policies } };
    list_row_t row;

    for (size_t i = 0; i < sizeof(parents) / sizeof(parents[0]); i++) {
        if (parents[i].list == resource) {
            return list_one(r->api->parts.db, r->a, parents[i].parent, NULL, r->param[0], NULL, &row, err);
        }
    }
    return pki_fail(err, PKI_E_INTERNAL, NULL, "%s have no known parent", resource->name);
}

/* As the list is asked: in the form that was used. */
static list_query_t
list_query_of(req_t *r, const list_input_t *in)
{
    bool         paged = in->page != 0 || in->per_page != 0;
    list_query_t out = { .cursor = in->cursor, .sort = in->sort, .fields = in->fields, .scope = &r->scope, .args = r->args,
                         .arg_count = r->arg_count, .limit = in->page_size != 0 ? in->page_size : in->limit };

    if (paged) {
        out.page = in->page != 0 ? in->page : 1;
        out.limit = in->per_page;
    }
    return out;
}

pki_code_t
list_serve(req_t *r, pki_err_t *err)
{
    const list_resource_t *resource = r->route->resource;
    const list_input_t    *in = r->query;
    list_query_t           query = list_query_of(r, in);
    list_page_t            page;
    pki_buf_t              out;

    PKI_TRY(list_check(r, resource, in, err));
    if (resource->parent != NULL) {
        PKI_TRY(parent_check(r, resource, err));
        query.parent = r->param[0];
    }
    PKI_TRY(list_page(r->api->parts.db, r->a, resource, &query, &page, err));
    pki_buf_init(&out, r->a, LIST_ANSWER_MAX);
    PKI_TRY(list_print(&page, &out, err));
    PKI_TRY(pki_buf_check(&out, "list", err));
    PKI_TRY(etag_set(r, NULL, pki_buf_bytes(&out), err));
    return answer_octets(r, "application/json", pki_buf_bytes(&out), err);
}

/* The row lives as long as the request. */
static pki_code_t
row_put(req_t *r, const list_row_t *row, pki_err_t *err)
{
    PKI_TRY(etag_set(r, row->version, bytes_str(row->json), err));
    return answer_text(r, row->json, err);
}

static pki_code_t
row_send(req_t *r, const char *id, const char *fields, pki_err_t *err)
{
    const list_query_t query = { .fields = fields };
    list_row_t         row;

    PKI_TRY(list_one_by(r->api->parts.db, r->a, r->route->resource, &query, id, &row, err));
    if (r->answer.status == 201) {
        r->answer.location = pki_printf(r->a, "%s/%s", r->route->path, id);
    }
    return row_put(r, &row, err);
}

pki_code_t
row_answer(req_t *r, const char *id, pki_err_t *err)
{
    return row_send(r, id, NULL, err);
}

pki_code_t
row_serve(req_t *r, pki_err_t *err)
{
    const row_input_t *in = r->query;

    fields_names_check(r, r->route->resource, in->fields);
    PKI_TRY(check_done(r, err));
    return row_send(r, r->param[0], in->fields, err);
}

static pki_code_t
row_copy(req_t *r, const list_row_t *in, pki_err_t *err)
{
    list_row_t row = { .json = pki_strdup(r->a, in->json), .version = in->version };

    return row.json != NULL ? row_put(r, &row, err) : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory while answering");
}

/* Whole rows by one statement; its failure is that of all. */
static void
rows_read(pki_arena_t *a, req_t *const *r, size_t *at, size_t count, pki_code_t *codes, pki_err_t *errs)
{
    const list_resource_t *resource = r[at[0]]->route->resource;
    const char            *ids[REQUEST_ROWS_MAX];
    list_row_t             rows[REQUEST_ROWS_MAX];
    pki_err_t              err = { 0 };
    pki_code_t             code;

    for (size_t i = 0; i < count; i++) {
        ids[i] = r[at[i]]->param[0];
    }
    code = list_many(r[at[0]]->api->parts.db, a, resource, &(str_list_t){ ids, count }, rows, &err);
    for (size_t i = 0; i < count; i++) {
        size_t k = at[i];

        if (code != PKI_OK) {
            codes[k] = code;
            errs[k] = err;
        } else {
            codes[k] = rows[i].json != NULL ? row_copy(r[k], &rows[i], &errs[k]) : list_none(resource, &errs[k]);
        }
    }
}

void
rows_serve(req_t *const *r, size_t count, pki_code_t *codes, pki_err_t *errs)
{
    pki_arena_t *a = pki_arena_new(LIST_ANSWER_MAX);
    size_t       at[REQUEST_ROWS_MAX], n = 0;

    for (size_t i = 0; i < count; i++) {
        const row_input_t *in = r[i]->query;

        if (codes[i] == PKI_OK && in->fields == NULL && a != NULL) {
            at[n++] = i;
        } else if (codes[i] == PKI_OK) {
            codes[i] = row_serve(r[i], &errs[i]);
        }
    }
    if (n > 0) {
        rows_read(a, r, at, n, codes, errs);
    }
    pki_arena_free(a);
}

pki_code_t
edge_follow(req_t *r, pki_err_t *err)
{
    pki_err_t why = { 0 };

    if (edge_reconfigure(r->api->parts.edge, &why) == PKI_OK) {
        return PKI_OK;
    }
    log_failure(LOG_ERROR, "api.edge", &why);
    return pki_fail(err, PKI_E_UNAVAILABLE, NULL,
                    "the change is stored, but the edge of this host could not take it over yet");
}

void
check_name(req_t *r, const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > NAME_MAX_) {
        check_problem(r, "name", "must have 1 to %d characters", NAME_MAX_);
    }
    for (; *name != '\0'; name++) {
        if ((unsigned char) *name < 0x20 || *name == 0x7f) {
            check_problem(r, "name", "must not contain control characters");
            break;
        }
    }
}

pki_code_t
check_same_id(req_t *r, const char *given, pki_err_t *err)
{
    if (given != NULL && strcmp(given, r->param[0]) != 0) {
        check_problem(r, "id", "cannot be changed");
    }
    return check_done(r, err);
}

pki_code_t
check_found(req_t *r, const char *field, pki_code_t code, pki_err_t *err)
{
    (void) err;
    if (code != PKI_E_NOT_FOUND) {
        return code;
    }
    check_problem(r, field, "does not exist");
    return PKI_OK;
}
