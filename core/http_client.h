/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * HTTP across a network: a client on libcurl, HTTPS with certificates that verify, plain HTTP for what is signed itself
 * (OCSP, CRLs, CA certificates).  One request at a time, connections kept.  Redirects are not followed, no proxy
 * is taken from the environment, no error text holds a header, a body or a password.
 */
#ifndef CORE_HTTP_CLIENT_H
#define CORE_HTTP_CLIENT_H

#include "pkiproto/base/arena.h"

typedef struct http_client http_client_t;

/* Strings are borrowed for the life of the client. */
typedef struct {
    const char *agent;       /* User-Agent */
    const char *ca_bundle;   /* PEM file; NULL: the system's */
    const char *cert, *key;  /* PEM files of a client certificate; NULL: none */
    const char *unix_socket; /* instead of the URL's host; NULL: TCP */
    int64_t     connect_ms;  /* for connecting, TLS included */
} http_client_conf_t;

pki_code_t http_client_new(const http_client_conf_t *conf, http_client_t **out, pki_err_t *err);
void       http_client_free(http_client_t *c); /* accepts NULL */

typedef struct {
    const char *name, *value;
} http_header_t;

/* Told the body of an answer with a status of 2xx as it comes; what it returns ends the request unless it is 0. */
typedef pki_code_t (*http_sink_pt)(void *arg, bytes_t piece, pki_err_t *err);

/* Versions of TLS for a request that wants to know whether they are spoken. */
typedef enum { HTTP_TLS_ANY, HTTP_TLS_1_0, HTTP_TLS_1_1, HTTP_TLS_1_2, HTTP_TLS_1_3 } http_tls_t;

typedef struct {
    const char          *method, *url;
    const http_header_t *headers;
    size_t               header_count;
    const char          *user, *password; /* HTTP Basic; NULL: none */
    bytes_t              body;            /* absent: none */
    size_t               max;             /* octets of a body that is kept; TOO_LARGE beyond */
    int64_t              timeout_ms;      /* for the whole answer; with a sink: of silence; 0: none */
    http_tls_t           tls;
    http_sink_pt         sink;
    void                *arg;
} http_request_t;

typedef struct {
    int            status;
    http_header_t *headers; /* names in lower case */
    size_t         header_count;
    bytes_t        body;    /* absent when the sink had it */
    const char    *chain;   /* certificates that the server showed, PEM, leaf first; NULL without TLS */
} http_answer_t;

/*
 * Any status is an answer.  UNAVAILABLE: nobody answered, or not in time; SIGNATURE: the server's certificate does not
 * verify; INVALID: the URL, or a file of the configuration; TOO_LARGE; what the sink returned.
 */
pki_code_t http_client_do(http_client_t *c, pki_arena_t *a, const http_request_t *r, http_answer_t *out, pki_err_t *err);

/* The value of a header by its name in lower case; NULL: none. */
const char *http_header(const http_answer_t *answer, const char *name);

/* Percent-encoding of one path segment or query value (RFC 3986 2.3: unreserved stay); NULL when out of memory. */
char *http_escape(pki_arena_t *a, bytes_t text);

#endif
