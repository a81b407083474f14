/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The configuration of chanceryd: an immutable snapshot.  The field table in conf.c is its manual.
 */
#ifndef ORCHESTRATOR_CONF_H
#define ORCHESTRATOR_CONF_H

#include "core/conf.h"

typedef struct {
    const char *url;        /* libpq connection string or URI */
    int64_t     pool;       /* connections */
    int64_t     timeout_ms; /* connect and statement: after that a caller gets UNAVAILABLE */
} conf_database_t;

typedef struct {
    const char *api_socket, *edge_socket, *rows_socket; /* unix sockets, mode 0660 */
    int64_t     workers;                  /* threads that run requests */
    int64_t     queue;                    /* requests waiting for a worker; more get 503 */
    str_list_t  cors_origins;             /* whose pages may call; "*": any */
    bool        cors_credentials;         /* with their cookies */
    int64_t     event_listeners;          /* of GET /api/v1/events, at most */
} conf_listen_t;

/* Token buckets: calls in a second on average, and at once.  0: no limit. */
typedef struct {
    int64_t source_rps, source_burst; /* of an address that has not said who it is */
    int64_t actor_rps, actor_burst;   /* of somebody known; 0: as for a source */
    int64_t export_per_hour;          /* of somebody known: downloads of many things or of secrets */
} conf_limits_t;

typedef struct {
    const char *user;            /* run the signer as this user when started as root; empty: as `user` below */
    const char *dir;             /* keys/ and journal/ inside */
    const char *passphrase_file; /* encrypts the PKCS#8 files */
    const char *pkcs11_module;   /* shared object; empty: no token */
    const char *pkcs11_pin_file;
} conf_signer_t;

typedef struct {
    const char *dir;        /* the edge folder: store/, crl/, responder/ */
    const char *public_url; /* "http://pki.example": base of the OCSP, CRL and CA URLs in certificates */
    int64_t     poll_ms;    /* change feed interval */
    const char *metrics_socket; /* where nginx gives its figures; empty: nowhere */
} conf_edge_t;

typedef struct {
    int64_t validity_s;           /* of one answer */
    int64_t responder_validity_s; /* of a delegated responder certificate: 30 days */
    int64_t responder_renew_s;    /* renewed this long before its end: 7 days */
} conf_ocsp_t;

typedef struct {
    int64_t validity_s; /* nextUpdate - thisUpdate */
    int64_t refresh_s;  /* a new list at least this often */
} conf_crl_t;

typedef struct {
    int64_t idle_s, lifetime_s; /* of browsers: since the last use, and whatever the use */
} conf_session_t;

typedef struct {
    int64_t workers;        /* jobs that run at a time */
    int64_t poll_ms;        /* between looks at the table, when nothing says that there is something */
    int64_t lease_s;        /* a worker that is not heard of for so long has lost its job */
    int64_t renewal_scan_s; /* between looks for certificates whose renewal is due */
    int64_t keep_days;      /* of jobs that are over */
} conf_jobs_t;

typedef struct {
    const char     *user, *group; /* run the orchestrator as these when started as root */
    const char     *edge_group;   /* group of the nginx workers: sockets, store and responder keys */
    const char     *log_level;
    int64_t         drain_s;      /* SIGTERM: time to finish what is running */
    int64_t         retry_window_s; /* a repeated enrolment gets the same certificate this long */
    const char     *bootstrap_token, *bootstrap_token_file; /* for the first administrator; empty: none */
    const char     *master_key_file; /* seals secrets in the database; empty: none */
    const char     *seed_file;       /* issuers to be made when they are not there; empty: none */
    conf_database_t database;
    conf_listen_t   listen;
    conf_limits_t   limits;
    conf_signer_t   signer;
    conf_edge_t     edge;
    conf_ocsp_t     ocsp;
    conf_crl_t      crl;
    conf_session_t  session;
    conf_jobs_t     jobs;
} conf_t;

#define BOOTSTRAP_TOKEN_MIN 20

extern const field_t conf_fields[];

/* Load and check (paths absolute, numbers that fit each other).  Environment prefix: CHANCERY. */
pki_code_t conf_read(pki_arena_t *a, const char *path, conf_t *out, field_problems_t *problems, pki_err_t *err);

#endif
