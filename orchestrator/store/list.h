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
    LIST_TEXT, LIST_INT, LIST_BOOL, LIST_TIME, LIST_INSTANT, LIST_DAY, LIST_HEX, LIST_TEXTS, LIST_PEM, LIST_JSON, LIST_TAG
} list_type_t;

typedef struct {
    const char *name;  /* JSON member */
    const char *expr;  /* SQL over the resource's FROM */
    list_type_t type;  /* LIST_TIME is rendered as RFC 3339, LIST_HEX as lower-case hexadecimal */
    const char *help;  /* one sentence, for OpenAPI */
} list_column_t;

typedef struct {
    const char *name;  /* query parameter */
    const char *cond;  /* SQL condition with %s where the parameter goes; of LIST_TAG: that a key has a value */
    list_type_t type;  /* how the value is checked: TEXT, INT, BOOL, TIME (RFC 3339), DAY (the same, or its date alone), HEX,
                      * TAG ("key:value", "key") */
    const char *const *choices; /* allowed values, or NULL */
    const char *help;
    const char *const *conds;   /* a condition for each of choices, without a parameter, instead of cond */
    const char *const *orders;  /* for each of choices (one, if there are none): order where none is asked for, or NULL */
    const char *bare;           /* of LIST_TAG: that there is a key, whatever its value */
    const char *opens;          /* with this value, what the resource usually hides is listed, too */
    size_t      least;          /* characters that the value must have */
    bool        words;          /* one of them must be a letter or a digit */
    bool        many;           /* may be given several times: all must hold */
} list_filter_t;

/* A key that is the same for many rows may be followed by another, which makes use of an index that has both. */
typedef struct {
    const char *name;  /* value of ?sort=, "-name" for the other direction */
    const char *expr;  /* never null */
    const char *cast;  /* SQL type of the key */
    const char *then, *then_cast; /* the next key, or NULL */
} list_sort_t;

typedef struct {
    const char          *name;    /* "certificates" */
    const char          *from;    /* FROM clause */
    const char          *id;      /* expression that list_one() compares with the id */
    const char          *id_cast; /* its type; NULL: text */
    const char          *key;     /* unique, not null: ends every sort order */
    const char          *key_cast;
    const char          *version; /* expression that another value comes of with each change: "p.xmin"; NULL: none */
    const char          *parent;  /* condition with one %s on the parent's id, or NULL */
    const char          *usually; /* condition that holds unless a filter opens what it hides, or NULL */
    /* what a row belongs to: an expression, or a condition with %s for an array of ids; NULL: none of that kind */
    const char          *scopes[SCOPE_KINDS];
    const list_column_t *columns; /* each ends with a NULL name */
    const list_filter_t *filters;
    const list_sort_t   *sorts;   /* the first is the default */
    bool                 newest_first; /* direction of the default order */
    bool                 large;        /* its pages are found by what the planner expects */
} list_resource_t;

extern const list_resource_t list_issuers, list_ca_certificates, list_profiles, list_certificates, list_versions,
    list_est_labels, list_est_credentials, list_api_keys, list_audit, list_jobs, list_job_items, list_teams, list_owners,
    list_renewal_policies, list_policies, list_violations, list_roles, list_accounts, list_sessions,
    list_certificate_identities, list_audit_heads, list_audit_export, list_audit_logs;

#define LIST_LIMIT_DEFAULT 50
#define LIST_LIMIT_MAX     1000
#define LIST_PAGED_MAX     10000 /* rows that can be reached by page: the cursor reaches all */
#define LIST_TOTAL_EXACT   2000  /* more rows than that are estimated, not counted */

typedef struct {
    const char *name, *value;
} list_arg_t;

typedef struct {
    int64_t           limit;  /* 0: default; above the maximum: INVALID */
    int64_t           page;   /* from 1, instead of a cursor; 0: none */
    const char       *cursor; /* NULL or "": from the start */
    const char       *fields; /* "a,b": only these columns; NULL: all */
    const char       *sort;   /* NULL or "": default */
    const char       *parent; /* parent's id, where the resource has one */
    const scope_t    *scope;  /* rows outside of it are left out; NULL: none are */
    const list_arg_t *args;   /* filters; unknown names and bad values: INVALID */
    size_t            arg_count;
    bool              uncounted; /* nobody asks for the total */
} list_query_t;

typedef struct {
    const char **rows; /* JSON text of each */
    size_t       count;
    int64_t      page, limit;     /* as asked for, or the default */
    int64_t      total;           /* that match the filters */
    bool         total_estimated; /* there are more than are counted: the planner's estimate */
    const char  *next_cursor;     /* NULL: no more */
} list_page_t;

pki_code_t list_page(db_t *db, pki_arena_t *a, const list_resource_t *r, const list_query_t *q,
                     list_page_t *out,
                     pki_err_t *err);

/* The whole answer: {"data": [...], "total": n, "total_is_estimate": false, "next_cursor": "..." or null, ...}. */
pki_code_t list_print(const list_page_t *page, pki_buf_t *out, pki_err_t *err);

/* A row as JSON text and its version (NULL where the resource has none): what If-Match has to say. */
typedef struct {
    const char *json, *version;
} list_row_t;

/* One row by id (and parent, where the resource has one); NOT_FOUND, also outside of the scope (may be NULL). */
pki_code_t list_one(db_t *db, pki_arena_t *a, const list_resource_t *r, const char *parent, const char *id,
                    const scope_t *scope, list_row_t *out, pki_err_t *err);

/* The same by the query's parent, scope and fields. */
pki_code_t list_one_by(db_t *db, pki_arena_t *a, const list_resource_t *r, const list_query_t *q, const char *id,
                       list_row_t *out, pki_err_t *err);

/*
 * Rows of a resource whose ids are text and have no parent, one for each id and in their order; json is NULL where there is
 * none, which list_none() says.
 */
pki_code_t list_many(db_t *db, pki_arena_t *a, const list_resource_t *r, const str_list_t *ids, list_row_t *out,
                     pki_err_t *err);
pki_code_t list_none(const list_resource_t *r, pki_err_t *err);

/* For checks that name what is wrong before anything is asked: whether there is this column, and this filter (or NULL). */
bool                 list_has_column(const list_resource_t *r, bytes_t name);
const list_filter_t *list_filter_of(const list_resource_t *r, const char *name);

/* The next name of "a,b,c", and what follows it; false at the end. */
bool list_fields_next(const char **at, bytes_t *name);

/* The time that a LIST_DAY says: a date alone is its first second in UTC. */
pki_code_t list_day_parse(const char *value, int64_t *out, pki_err_t *err);

/* A filter's value that its type alone does not refuse: too short, not a tag. */
pki_code_t list_value_check(const list_filter_t *f, const char *value, pki_err_t *err);

#endif
