/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What the load tools share: OCSP requests made on the fly from a template, answers over HTTP/1.1 read with as little
 * work as possible, a complete check with OpenSSL for some of them, counters, and the loop that drives connections.
 */
#ifndef CHANCERY_T_BENCH_LOAD_LOAD_H
#define CHANCERY_T_BENCH_LOAD_LOAD_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdnoreturn.h>

#include <netinet/in.h>
#include <openssl/x509.h>
#include <sys/types.h>

#define LOAD_SERIAL_MAX 20
#define LOAD_SERIAL_LEN 16 /* of the certificates that edge_fill makes */
#define LOAD_NONCE_MAX  128
#define LOAD_OUT_MAX    (32 << 10)
#define LOAD_IN_MAX     (64 << 10)
#define LOAD_ETAG_MAX   80
#define LOAD_REASON_MAX 160

typedef enum { LOAD_GET, LOAD_POST, LOAD_PLAIN } load_method_t;
typedef enum { LOAD_ALWAYS, LOAD_IF_NONE_MATCH, LOAD_IF_MODIFIED_SINCE } load_condition_t;
typedef enum { FLOOD_NONE, FLOOD_RANDOM, FLOOD_GARBAGE, FLOOD_OVERSIZE, FLOOD_MIX } load_flood_t;

/* Prints "PROGRAM: what: why" and ends the process. */
noreturn void load_die(const char *what, const char *why);

/* ---- where to: http://ADDRESS:PORT/PATH ---- */

typedef struct {
    struct sockaddr_in address;
    char               host[64]; /* as in the Host field */
    const char        *path;     /* borrowed from the URL */
} load_url_t;

void load_url_parse(const char *url, load_url_t *u);

/* ---- requests ---- */

/* A request with marks where serial and nonce go.  The serial is the last element but for extensions. */
typedef struct {
    uint8_t der[512];
    size_t  len, serial_at, serial_len, nonce_at, nonce_len;
    char    head[1024], tail[256]; /* before and after what changes */
    size_t  head_len, tail_len;
    bool    is_get;
} load_template_t;

X509  *load_certificate(const char *file);
void   load_template_make(load_template_t *t, const load_url_t *u, load_method_t method, X509 *issuer, const char *hash,
                          size_t serial_len, size_t nonce_len);
/* Write the whole request to out (LOAD_OUT_MAX octets); condition: whole field lines, or "". */
size_t load_template_write(const load_template_t *t, const uint8_t *serial, const uint8_t *nonce, const char *condition,
                           char *out);
/* GET of the path as it is. */
size_t load_plain_write(const load_url_t *u, const char *condition, char *out);

/* Serials of edge_fill's count=N: 0x40, then octets 1 to 15 of SHA-256 of the number in decimal. */
uint8_t (*load_serials(size_t count))[LOAD_SERIAL_LEN];

/* splitmix64 */
uint64_t load_random(uint64_t *state);
void     load_random_fill(uint64_t *state, uint8_t *p, size_t len);

/* A request of a flood. */
size_t load_flood_write(load_flood_t kind, const load_template_t *t, const load_url_t *u, uint64_t *random, char *out);

/* ---- answers ---- */

typedef struct {
    int         status;
    bool        close;  /* the server will close the connection */
    long        worker; /* field X-Worker, 0 without it */
    const char *etag, *body;
    size_t      etag_len, body_len, whole; /* whole: octets of head and body */
} load_answer_t;

/* 1: there is a whole answer; 0: more octets are needed; -1: this is no HTTP/1 answer with a length. */
int load_answer_read(const char *p, size_t len, load_answer_t *a);
/* OCSPResponseStatus of a body, or -1. */
int load_ocsp_status(const char *body, size_t len);

/* ---- complete checks ---- */

typedef struct {
    X509       *issuer;
    X509_STORE *trust;
} load_check_t;

void load_check_init(load_check_t *c, X509 *issuer);
/* Signature and chain, one answer about this serial, its times, the nonce echoed.  NULL: right, and certStatus
 * (V_OCSP_CERTSTATUS_*) is set; otherwise what is wrong, a string that lives on. */
const char *load_check(const load_check_t *c, const char *body, size_t len, const uint8_t *serial, size_t serial_len,
                       const uint8_t *nonce, size_t nonce_len, int *status);
/* certStatus alone, nothing verified; -1: not an answer about one certificate. */
int load_cert_status(const char *body, size_t len);

/* ---- figures ---- */

#define LOAD_BUCKETS    1024
#define LOAD_HTTP_MAX   600
#define LOAD_OCSP_COUNT 8

typedef enum { FAIL_CONNECT, FAIL_BROKEN, FAIL_HTTP, FAIL_OCSP, FAIL_CHECK, FAIL_COUNT } load_failure_t;

typedef struct {
    uint64_t answers, octets, checked, retried, reconnected;
    uint64_t http[LOAD_HTTP_MAX], ocsp[LOAD_OCSP_COUNT], failed[FAIL_COUNT];
    uint64_t latency[LOAD_BUCKETS];
    char     first_failure[LOAD_REASON_MAX];
    double   cpu_s, server_cpu_s; /* of this process, of the server's */
} load_stat_t;

int64_t load_now(void); /* nanoseconds, monotonic */
double  load_cpu(pid_t pid); /* seconds of a process, all its threads; 0: this one */
void    load_stat_latency(load_stat_t *s, int64_t ns);
void    load_stat_fail(load_stat_t *s, load_failure_t kind, const char *why);
void    load_stat_add(load_stat_t *sum, const load_stat_t *one);
double  load_stat_percentile(const load_stat_t *s, double part); /* microseconds */
/* One line of JSON. */
void    load_stat_print(const load_stat_t *s, double seconds);

/* ---- driving connections ---- */

typedef struct {
    load_url_t       url;
    load_method_t    method;
    load_condition_t condition;
    load_flood_t     flood;
    X509            *issuer;
    const char      *hash;        /* of the CertID */
    size_t           count;       /* certificates */
    size_t           nonce_len;
    bool             in_order;    /* each once, then the end */
    bool             any_body;    /* the body is not looked at */
    bool             no_keep;     /* a connection for each request */
    uint64_t         requests;    /* end after so many; 0: no bound */
    double           seconds;     /* 0: until a signal */
    double           rate;        /* requests a second offered; 0: as fast as answers come */
    unsigned         connections, threads, sources;
    uint32_t         source;      /* first address to connect from, host order; 0: the kernel's choice */
    unsigned         check_every; /* 0: never */
    int              want;        /* V_OCSP_CERTSTATUS_* of the checked ones, -1: any */
    uint64_t         seed;
    pid_t            pid;         /* whose CPU time is told; 0: nobody's */
    FILE            *save;        /* base64 of every body, one on a line; with one thread; NULL: none */
} load_conf_t;

extern volatile sig_atomic_t load_stopped;

/* Runs all threads to the end; *sum: all that they counted; the seconds that it took. */
double load_run(const load_conf_t *conf, load_stat_t *sum);

#endif
