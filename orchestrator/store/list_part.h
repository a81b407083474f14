/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Inside of store/ only: what pages and rows of lists have in common.
 */
#ifndef ORCHESTRATOR_STORE_LIST_PART_H
#define ORCHESTRATOR_STORE_LIST_PART_H

#include "orchestrator/store/conn.h"
#include "orchestrator/store/list.h"

#define LIST_SQL_MAX 16384

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
typedef struct {
    const char *cast, *before, *after;
} list_type_row_t;
extern const list_type_row_t list_types[];

/* l->where and its parameters, of the query's filters, parent and scope; hiding: without what is usually hidden. */
pki_code_t list_where_put(list_t *l, bool hiding, pki_err_t *err);

/* The order that one of the filters brings along, or NULL. */
const char *list_filters_order(const list_t *l);

/* INVALID for members that there are not. */
pki_code_t list_fields_check(const list_resource_t *r, const char *fields, pki_err_t *err);

/* "SELECT json_build_object('id', m.id, ...)::text AS row, " */
void list_columns_put(pki_buf_t *b, const list_resource_t *r, const char *fields);

#endif
