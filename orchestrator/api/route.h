/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The route table's types.  routes.inc is the one list of what the API can be asked; route.c makes the
 * table of it, and the router, the checks, the audit, the metrics and OpenAPI all read that table.
 */
#ifndef ORCHESTRATOR_API_ROUTE_H
#define ORCHESTRATOR_API_ROUTE_H

#include "orchestrator/api/uri.h"
#include "orchestrator/store/list.h"

typedef struct req req_t;

/* What a body, a query or an answer looks like: a field table and the struct that it describes. */
typedef struct shape {
    const char    *name; /* of the schema in OpenAPI: "Profile" */
    const field_t *fields;
    size_t         size;
    const char    *open; /* a member whose own shape depends on the others (an issuer's config), or NULL */
    bool (*open_shape)(const void *in, struct shape *out); /* its shape by the struct decoded so far; false: none */
    bool (*open_at)(size_t i, struct shape *out);          /* walks its shapes, for OpenAPI; false at the end */
    bool           open_merges; /* it is laid over what is kept: the handler decodes it */
} shape_t;
#define SHAPE(text, type, table) { .name = (text), .fields = (table), .size = sizeof(type) }

/* How an answer is sent. */
typedef enum {
    ANSWER_NONE,   /* 204 */
    ANSWER_OBJECT, /* JSON of .answer */
    ANSWER_ROW,    /* JSON of one row of .resource */
    ANSWER_LIST,   /* {"data": [rows of .resource], "total": n, "next_cursor": ...}; its query, too */
    ANSWER_PEM,    /* certificates: PEM, or the first as DER */
    ANSWER_TEXT,   /* text/plain of Prometheus */
    ANSWER_FILE,   /* octets of one of .media */
    ANSWER_EVENTS, /* a stream of server-sent events */
    ANSWER_STREAM, /* all rows of .resource that its filters let through, a piece at a time, as one of .media */
} answer_kind_t;

/* Limits classes: the largest body, the rate, the label of the latency histogram. */
typedef enum {
    LIMITS_PROBE, LIMITS_READ, LIMITS_WRITE, LIMITS_ISSUE, LIMITS_EXPORT, LIMITS_ENROL, LIMITS_LOGIN, LIMITS_COUNT
} limits_t;
typedef struct {
    const char *name;
    size_t      body_max;
    unsigned    rates; /* L_CALLS, L_EXPORTS; 0: probes are never limited */
} limits_row_t;
#define L_CALLS   0x01u /* of limits.source_rps and limits.actor_rps */
#define L_EXPORTS 0x02u /* of limits.export_per_hour */
extern const limits_row_t limits_rows[LIMITS_COUNT];

/* Audit classes. */
typedef enum {
    AUDIT_NONE = 1, /* probes */
    AUDIT_READ,     /* one row for a call */
    AUDIT_CHANGE,   /* the same, in the transaction of the change where the handler has one */
    AUDIT_CALLEE,   /* the issuance path writes it, in its transaction */
} audit_class_t;

/* Permissions that nobody is given: everybody has them, whoever may open the edge socket, every identity. */
#define ROUTE_PUBLIC "public"
#define ROUTE_EDGE   "edge"
#define ROUTE_SELF   "self" /* whoever is somebody */

/*
 * How far the permission has to reach.  A grant holds everywhere or for an issuer, a profile, a team or an owner; what a
 * caller may do outside of that is nothing.
 */
typedef enum {
    REACH_OPEN = 1, /* no identity is needed */
    REACH_SELF,     /* any identity: it is about the caller alone */
    REACH_ALL,      /* everywhere */
    REACH_LIST,     /* rows outside are left out */
    REACH_ROW,      /* the first parameter names a row of .reach_of, which has to be inside */
    REACH_BODY,     /* the handler asks reach_check() about what the body names */
} reach_t;

#define R_SECRET 0x10u /* open, and a secret in the body is checked: refusals as of an identity */
#define R_INLINE 0x01u /* cannot block: answered by the I/O thread, also when every worker is busy */

#define R_TRANSACTION 0x02u /* with an Idempotency-Key: done again, it gives what it gave before (req_t.transaction_key) */

#define R_TOGETHER 0x04u /* of row_serve: calls that come together are served together, by one statement */

#define ROUTE_PARAMS_MAX 3

typedef pki_code_t (*route_pt)(req_t *r, pki_err_t *err);

typedef struct {
    const char    *method, *path; /* "/api/v1/profiles/{id}": a parameter is a whole segment */
    const char    *permission;
    reach_t        reach;
    const list_resource_t *reach_of; /* of REACH_ROW */
    limits_t       limits;
    audit_class_t  audit;
    unsigned       flags;
    const char    *action;        /* "profile.read": in the audit; with '_' for '.', the operationId */
    const shape_t *query, *body, *answer;
    const list_resource_t *resource;
    answer_kind_t  kind;
    const char    *media[3];      /* of a file, or what an object can be had as, too; NULL at its end */
    int            status;        /* of success */
    route_pt       handler;       /* NULL: of the edge socket */
    const char    *summary;
} route_t;

const route_t *route_at(size_t i); /* walks the table; NULL at its end */
size_t         route_count(void);
const list_resource_t *route_filtered(const route_t *route); /* whose filters its query has; NULL: none */
size_t         route_index(const route_t *route);

typedef struct {
    const route_t *route;                   /* NULL: none */
    const char    *param[ROUTE_PARAMS_MAX]; /* in the order of the template */
    bool           path_known;              /* another method would have found one */
} route_match_t;

/* Of the API's routes, not the edge socket's.  HEAD finds what GET finds. */
void route_match(const char *method, const path_t *path, route_match_t *out);

/* "GET, HEAD, POST" for a path that is known. */
const char *route_allow(pki_arena_t *a, const path_t *path);

/* The edge socket's one route, which hop.c serves. */
const route_t *route_edge(void);

/* The name of the nth parameter of a template ("id"), not terminated; absent when there are fewer. */
bytes_t route_param_name(const route_t *route, size_t n);

#endif
