/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * List and read endpoints from resource descriptors: white-listed columns, filters and sort keys, keyset
 * cursors.  PostgreSQL renders each row as JSON; values are always parameters.
 */
#ifndef ORCHESTRATOR_STORE_LIST_H
#define ORCHESTRATOR_STORE_LIST_H

#include "orchestrator/store/db.h"
#include "orchestrator/store/scope.h"

typedef enum {
    LIST_TEXT, LIST_INT, LIST_BOOL, LIST_TIME, LIST_HEX, LIST_TEXTS, LIST_PEM, LIST_JSON
} list_type_t;

typedef struct {
    const char *name;  /* JSON member */
    const char *expr;  /* SQL over the resource's FROM */
    list_type_t type;  /* LIST_TIME is rendered as RFC 3339, LIST_HEX as lower-case hexadecimal */
    const char *help;  /* one sentence, for OpenAPI */
} list_column_t;

typedef struct {
    const char *name;  /* query parameter */
    const char *cond;  /* SQL condition with one %s, where the parameter goes */
    list_type_t type;  /* how the value is checked: TEXT, INT, BOOL, TIME (RFC 3339), HEX */
    const char *const *choices; /* allowed values, or NULL */
    const char *help;
} list_filter_t;

typedef struct {
    const char *name;  /* value of ?sort=, "-name" for the other direction */
    const char *expr;
    const char *cast;  /* SQL type of the key */
} list_sort_t;

typedef struct {
    const char          *name;    /* "certificates" */
    const char          *from;    /* FROM clause */
    const char          *id;      /* expression that list_one() compares with the id */
    const char          *key;     /* unique, not null: ends every sort order */
    const char          *key_cast;
    const char          *version; /* expression that another value comes of with each change: "p.xmin"; NULL: none */
    const char          *parent;  /* condition with one %s on the parent's id, or NULL */
    const char          *scopes[SCOPE_KINDS]; /* expressions: what a row belongs to; NULL: none of that kind */
    const list_column_t *columns; /* each ends with a NULL name */
    const list_filter_t *filters;
    const list_sort_t   *sorts;   /* the first is the default */
    bool                 newest_first; /* direction of the default order */
} list_resource_t;

extern const list_resource_t list_issuers, list_ca_certificates, list_profiles, list_certificates, list_versions,
    list_est_labels, list_est_credentials, list_api_keys, list_audit, list_jobs, list_job_items, list_teams, list_owners,
    list_renewal_policies, list_policies, list_violations, list_roles, list_accounts, list_sessions,
    list_certificate_identities;

#define LIST_LIMIT_DEFAULT 50
#define LIST_LIMIT_MAX     1000

typedef struct {
    const char *name, *value;
} list_arg_t;

typedef struct {
    int64_t           limit;  /* 0: default; above the maximum: INVALID */
    const char       *cursor; /* NULL or "": from the start */
    const char       *sort;   /* NULL or "": default */
    const char       *parent; /* parent's id, where the resource has one */
    const scope_t    *scope;  /* rows outside of it are left out; NULL: none are */
    const list_arg_t *args;   /* filters; unknown names and bad values: INVALID */
    size_t            arg_count;
} list_query_t;

typedef struct {
    const char **rows; /* JSON text of each */
    size_t       count;
    int64_t      total;       /* that match the filters */
    const char  *next_cursor; /* NULL: no more */
} list_page_t;

pki_code_t list_page(db_t *db, pki_arena_t *a, const list_resource_t *r, const list_query_t *q,
                     list_page_t *out,
                     pki_err_t *err);

/* The whole answer: {"data": [...], "total": n, "next_cursor": "..." or null}. */
pki_code_t list_print(const list_page_t *page, pki_buf_t *out, pki_err_t *err);

/* A row as JSON text and its version (NULL where the resource has none): what If-Match has to say. */
typedef struct {
    const char *json, *version;
} list_row_t;

/* One row by id (and parent, where the resource has one); NOT_FOUND, also outside of the scope (may be NULL). */
pki_code_t list_one(db_t *db, pki_arena_t *a, const list_resource_t *r, const char *parent, const char *id,
                    const scope_t *scope, list_row_t *out, pki_err_t *err);

#endif
