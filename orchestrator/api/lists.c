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

typedef struct {
    int64_t     limit;
    const char *cursor, *sort;
} list_input_t;

/* clang-format off */
static const field_t list_input_fields[] = {
    FIELD_INT(list_input_t, limit,  0, "50", 1, LIST_LIMIT_MAX, "rows in one answer"),
    FIELD_STR(list_input_t, cursor, 0, NULL, "next_cursor of the answer before; absent: from the start"),
    FIELD_STR(list_input_t, sort,   0, NULL, "order of the rows; with a hyphen before it the other way round"),
    FIELD_END };
/* clang-format on */

const shape_t shape_list_query = SHAPE("ListQuery", list_input_t, list_input_fields);

/* A filter's value as a field, for its check. */
typedef union {
    const char *text;
    int64_t     number;
    bool        flag;
    bytes_t     octets;
} filter_value_t;

static const field_type_t filter_types[] = {
    [LIST_TEXT] = FIELD_T_STR, [LIST_INT] = FIELD_T_INT, [LIST_BOOL] = FIELD_T_BOOL, [LIST_TIME] = FIELD_T_TIME,
    [LIST_HEX] = FIELD_T_STR,  [LIST_TEXTS] = FIELD_T_STR, [LIST_PEM] = FIELD_T_STR, [LIST_JSON] = FIELD_T_STR,
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
    if (field_from_text(r->a, &f, value, &out, &why) != PKI_OK) {
        bool named = strncmp(why.text, filter->name, len) == 0 && why.text[len] == ':';

        check_problem(r, filter->name, "%s", named ? why.text + len + 2 : why.text);
    }
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

static pki_code_t
list_check(req_t *r, const list_resource_t *resource, const list_input_t *in, pki_err_t *err)
{
    for (size_t i = 0; i < r->arg_count; i++) {
        for (const list_filter_t *f = resource->filters; f->name != NULL; f++) {
            if (strcmp(f->name, r->args[i].name) == 0) {
                filter_check(r, f, r->args[i].value);
            }
        }
    }
    sort_check(r, resource, in->sort);
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

pki_code_t
list_serve(req_t *r, pki_err_t *err)
{
    const list_resource_t *resource = r->route->resource;
    const list_input_t    *in = r->query;
    list_query_t           query = { .limit = in->limit, .cursor = in->cursor, .sort = in->sort, .scope = &r->scope,
                                     .args = r->args, .arg_count = r->arg_count };
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

pki_code_t
row_answer(req_t *r, const char *id, pki_err_t *err)
{
    list_row_t row;

    PKI_TRY(list_one(r->api->parts.db, r->a, r->route->resource, NULL, id, NULL, &row, err));
    PKI_TRY(etag_set(r, row.version, bytes_str(row.json), err));
    if (r->answer.status == 201) {
        r->answer.location = pki_printf(r->a, "%s/%s", r->route->path, id);
    }
    return answer_text(r, row.json, err);
}

pki_code_t
row_serve(req_t *r, pki_err_t *err)
{
    return row_answer(r, r->param[0], err);
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
