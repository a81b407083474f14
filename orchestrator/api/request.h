/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * One request, from its first octet to its answer: what the server hands to a worker, what a handler
 * sees, and how a handler answers.
 */
#ifndef ORCHESTRATOR_API_REQUEST_H
#define ORCHESTRATOR_API_REQUEST_H

#include "orchestrator/api/api.h"
#include "orchestrator/api/route.h"
#include "orchestrator/store/actor.h"
#include "pkiproto/base/secret.h"

#define REQUEST_ID_MAX   64
#define REQUEST_ARGS_MAX 32
#define REQUEST_ROWS_MAX 64

/* Who calls.  Lives with r->known. */
typedef struct {
    const char    *actor, *type, *name; /* "key-ops", "api_key", "Operations"; "anonymous" */
    const char    *session;             /* id of the browser's session; NULL: none */
    const grant_t *grants;              /* those that hold now, unless they have ended since */
    size_t         grant_count;
    str_list_t     allowed_names;       /* that it may ask certificates for; empty: any */
    int64_t        ends_at;             /* of the key that it is, whatever the grants say; 0: never */
} identity_t;

typedef struct {
    int         status;
    const char *content_type;
    const char *disposition; /* Content-Disposition; NULL: none */
    const char *allow;       /* 405 */
    const char *location;    /* 201 */
    const char *etag;        /* RFC 9110 8.8.3, with its quotes */
    const char *set_cookie;
    int64_t     retry_after_s;
    bool        challenge;   /* WWW-Authenticate: Bearer */
    bool        secret;      /* the body is cleansed when it has been sent */
    bool        replayed;    /* the answer of an earlier call with the same Idempotency-Key */
    bytes_t     body;        /* in the arena */
} answer_t;

/* A call with an Idempotency-Key. */
typedef struct keyed {
    const char   *actor, *key; /* key NULL: none was given */
    bytes_t       digest;      /* of the request */
    bool          serving;
    struct keyed *next;        /* of those that this process serves */
} keyed_t;

typedef struct listener listener_t;
typedef struct stream stream_t;

struct req {
    api_t          *api;
    pki_arena_t    *a;
    void           *connection; /* the face's that it came through, which sends the answer: */
    uint32_t        frame;      /* its number there, where requests are frames */
    void          (*answered)(req_t *r);
    bool            started, working, done; /* working: on a worker's thread, which may wait */
    int64_t         began_us, queued_us; /* queued_us 0: never waited for a worker */
    char            id[REQUEST_ID_MAX + 1];

    const char     *method, *uri;       /* uri: raw, with its query */
    const char     *content_type, *accept, *source;
    const char     *if_match, *if_none_match; /* if_match: the version of the row, without what else the tag says; NULL: any */
    const char     *certificate, *csrf, *user_agent; /* certificate: PEM, percent-encoded by nginx */
    const char     *origin, *last_event_id;
    bool            asks_method;        /* Access-Control-Request-Method: a browser asks first */
    keyed_t         keyed;
    pki_secret_t    authorization, cookie; /* cookie: the one of sessions */
    pki_code_t      early;              /* found before the body was read; early_err says more */
    pki_err_t       early_err;
    size_t          body_max;
    char            body_hash[17];      /* in the audit; empty: no body, or one with a secret in it */
    bool            body_secret;        /* members that are secrets were given, or it cannot be known */
    uint8_t        *body;               /* cleansed at the end */
    size_t          body_len, body_cap, body_seen;

    path_t          path;
    const route_t  *route;
    const char     *param[ROUTE_PARAMS_MAX];
    identity_t      identity;
    struct known   *known;              /* holds it */
    scope_t         scope;              /* what the route's permission is good for */
    void           *query, *in;         /* structs of route->query and route->body, decoded */
    void           *open;               /* struct of the body's open member, decoded; its shape by open_shape() */
    const json_t   *open_given;         /* the open member as it was sent; NULL: it was not */
    bytes_t         transaction_key;    /* of R_TRANSACTION, with an Idempotency-Key; absent: none */
    list_arg_t      args[REQUEST_ARGS_MAX]; /* filters of a list, decoded */
    size_t          arg_count;
    const char     *resource;           /* what the call was about, for the audit; default: the first parameter */
    field_problems_t problems;

    answer_t        answer;
    const char     *preflight;          /* methods that a preflight is told; NULL: it is none */
    listener_t     *listener;           /* of ANSWER_EVENTS: what the connection goes on with */
    stream_t       *stream;             /* of ANSWER_STREAM: the same */
    int64_t         retry_after_s;      /* of a refusal; 0: by its code */
    int             audited_status;     /* already in the audit with this status (0: not) */
};

/* Server side: make, prepare once the headers are there (also matches the route), run, free. */
req_t *request_new(api_t *api, bytes_t uri);
void   request_prepare(req_t *r);
void   request_run(req_t *r);
void   request_refuse(req_t *r, pki_code_t code, const char *text); /* answer without running */
void   request_free(req_t *r);
bool   request_id_valid(const char *id);

/* Requests of R_TOGETHER: run up to where all that is left is to be answered, then to their end. */
typedef struct {
    req_t     *r[REQUEST_ROWS_MAX];
    pki_code_t codes[REQUEST_ROWS_MAX];
    pki_err_t  errs[REQUEST_ROWS_MAX];
    size_t     count;
} request_rows_t;
void request_rows_run(request_rows_t *rows, req_t *const *r, size_t count); /* REQUEST_ROWS_MAX at most */
void request_rows_end(request_rows_t *rows);

/*
 * Faces' side (headers.c): a header's value, absent when there is none, into the request; the answer's headers, one call
 * each.
 */
typedef bytes_t (*header_get_pt)(void *arg, const char *name);
typedef void (*header_put_pt)(void *arg, const char *name, const char *value);
pki_code_t request_headers(req_t *r, header_get_pt get, void *arg);
void       answer_headers(const req_t *r, header_put_pt put, void *arg);

/* Handlers' side.  Each sets the answer. */
pki_code_t answer_struct(req_t *r, const void *in, pki_err_t *err); /* by route->answer */
pki_code_t answer_octets(req_t *r, const char *content_type, bytes_t in, pki_err_t *err);
pki_code_t answer_text(req_t *r, const char *json, pki_err_t *err); /* JSON that is text already */

/* The answer's tag: the version of the row (NULL: none) and a hash of what is answered. */
pki_code_t etag_set(req_t *r, const char *version, bytes_t body, pki_err_t *err);

/* Certificates as PEM, or the first as DER when format is "der" or Accept asks for it. */
pki_code_t answer_certificates(req_t *r, const bytes_t *der, size_t count, const char *format, const char *name,
                               pki_err_t *err);

/* Record a wrong field of the body or the query; check_done() fails with INVALID when there is any. */
void       check_problem(req_t *r, const char *field, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
pki_code_t check_done(req_t *r, pki_err_t *err);

/* The problems of an open member under its name, beside those that are there already. */
void problems_add(req_t *r, const char *open, const field_problems_t *more);

/*
 * Readable ids: `given` when it has the form PREFIX-[a-z0-9-]{1,}, otherwise derived from the name ("Web
 * servers" -> "prof-web-servers").  A problem of field "id" (or "name") is recorded when there is none.
 */
const char *id_choose(req_t *r, const char *prefix, const char *given, const char *name);

/* The audit row of this call with this status; for verbs that write it in their transaction. */
audit_t audit_of(req_t *r, int status);
void    audit_kept(req_t *r, const audit_t *audit); /* it was written */

#endif
