/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Two threads that are alike take turns.  One takes every request that waits and has all their certificates signed;
 * while these are recorded and answered the other one does the same.  What comes meanwhile gathers in the sockets,
 * so that under load the turns of the issuance path are large, and a request that is alone is served at once.  No
 * request changes threads, but those that may wait for long: a password to be checked, or the same request being
 * served.  They have threads of their own.
 */
#include "orchestrator/api/hop.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/peers.h"
#include "orchestrator/api/server.h"
#include "pkiproto/json/pack.h"

const shape_t shape_enrol_request = SHAPE("EnrolRequest", enrol_request_t, enrol_request_fields);
const shape_t shape_enrol_answer = SHAPE("EnrolAnswer", enrol_answer_t, enrol_answer_fields);

#define HOP_THREADS     2
#define HOP_WAITERS     8   /* threads of those that wait */
#define HOP_WAITING     256 /* how many may */
#define HOP_ARENA_MAX   (32u << 20)
#define HOP_ANSWER_MAX  (1u << 20)

/* A whole request. */
typedef struct {
    peer_t         *conn;
    enrol_request_t request; /* borrowed from the connection's octets */
    int64_t         began_us;
    issue_enrol_t   call;
} ask_t;

struct hop {
    api_t          *api;
    const route_t  *route;
    peers_t         peers;
    atomic_bool     closing;
    pthread_mutex_t first; /* held from taking requests to their signatures */
    queue_t        *waiting; /* of ask_t in malloc */
    pthread_t       threads[HOP_THREADS];
    size_t          thread_count;
};

/* Of one of the threads. */
typedef struct {
    hop_t *hop;
    bool   first; /* has hop->first */
} turn_t;

/* ---- answers ---- */

static void
ask_send(hop_t *h, peer_t *c, int status, const char *reason, bytes_t body)
{
    bool close_it = c->head.close || status == 0 || atomic_load(&h->api->draining);
    char head[192];
    int  len = snprintf(head, sizeof(head), "HTTP/1.1 %d %s\r\nContent-Length: %zu\r\n%s\r\n", status, reason, body.len,
                        close_it ? "Connection: close\r\n" : "");

    peer_answer(&h->peers, c, bytes_of(head, (size_t) len), body, close_it);
}

/* What head_parse() refuses is not nginx' proxy as it is configured. */
static void
ask_refuse(hop_t *h, peer_t *c, int status)
{
    c->head.close = true;
    log_warn("hop.refused", LOG_I("status", status));
    metrics_count(h->api->metrics, NULL, status, 0);
    ask_send(h, c, status, "Refused", BYTES_NONE);
}

static pki_code_t
answer_pack(const hop_t *h, ask_t *ask, bytes_t *out)
{
    pki_buf_t b;

    pki_buf_init(&b, ask->call.a, HOP_ANSWER_MAX);
    fields_pack(h->route->answer->fields, &ask->call.out, &b);
    *out = pki_buf_bytes(&b);
    return pki_buf_check(&b, "an answer", &ask->call.err);
}

static void
ask_answer(hop_t *h, ask_t *ask)
{
    bytes_t body = BYTES_NONE;
    int     status;

    if (ask->call.code == PKI_OK) {
        ask->call.code = answer_pack(h, ask, &body);
    }
    status = ask->call.code == PKI_OK ? h->route->status : pki_code_http(ask->call.code);
    if (ask->call.code != PKI_OK) {
        log_request_set(ask->request.request_id);
        log_failure(status == 500 ? LOG_ERROR : LOG_WARN, "hop.failed", &ask->call.err);
        log_request_set(NULL);
        body = BYTES_NONE;
    }
    ask_send(h, ask->conn, status, pki_code_name(ask->call.code), body);
    metrics_count(h->api->metrics, h->route, status, clock_mono_us() - ask->began_us);
    metrics_busy(h->api->metrics, -1);
    pki_arena_free(ask->call.a);
    atomic_fetch_sub(&h->api->active, 1);
}

/* ---- serving ---- */

static void
ask_begin(hop_t *h, peer_t *c, ask_t *ask)
{
    bytes_t body = bytes_of(c->in + c->head.len, c->head.body_len);

    *ask = (ask_t){ .conn = c, .began_us = clock_mono_us() };
    atomic_fetch_add(&h->api->active, 1);
    metrics_busy(h->api->metrics, 1);
    ask->call.a = pki_arena_new(HOP_ARENA_MAX);
    ask->call.code = ask->call.a != NULL ? fields_unpack(h->route->body->fields, body, &ask->request, &ask->call.err)
                                         : pki_fail(&ask->call.err, PKI_E_NOMEM, NULL, "out of memory");
    if (ask->request.request_id != NULL && !request_id_valid(ask->request.request_id)) {
        ask->request.request_id = NULL;
    }
}

/* To the threads of those that wait. */
static void
ask_wait(hop_t *h, ask_t *ask)
{
    ask_t *kept = malloc(sizeof(*kept));

    if (kept != NULL) {
        *kept = *ask;
        kept->call.patient = true;
        if (queue_put(h->waiting, kept)) {
            return;
        }
        free(kept);
    }
    ask->call.code = pki_fail(&ask->call.err, PKI_E_UNAVAILABLE, NULL, "too many requests are waiting");
    ask_answer(h, ask);
}

static void
ask_waited(void *item, void *arg)
{
    hop_t *h = arg;
    ask_t *ask = item;

    ask->call.in = &ask->request;
    if (clock_mono_us() - ask->began_us <= QUEUE_WAIT_US) {
        issue_enrol(h->api->parts.issue, &ask->call, 1, NULL);
    } else {
        ask->call.code = pki_fail(&ask->call.err, PKI_E_UNAVAILABLE, NULL, "too many requests are waiting");
    }
    ask_answer(h, ask);
    free(ask);
}

/* The other thread may go. */
static void
turn_pass(void *arg)
{
    turn_t *t = arg;

    if (t->first) {
        t->first = false;
        pthread_mutex_unlock(&t->hop->first);
    }
}

/* Calls are a list of their own, since issue_enrol() takes one. */
static void
asks_serve(hop_t *h, turn_t *turn, ask_t *asks, size_t count)
{
    issue_next_t  next = { turn_pass, turn };
    issue_enrol_t calls[ISSUE_ENROL_MAX];
    ask_t        *of[ISSUE_ENROL_MAX];
    size_t        n = 0;
    char          lines[LOG_GATHER_MAX];

    log_gather(lines, sizeof(lines));
    for (size_t i = 0; i < count; i++) {
        ask_t *ask = &asks[i];

        if (ask->call.code != PKI_OK) {
            ask_answer(h, ask);
        } else if (ask->request.password != NULL) {
            ask_wait(h, ask);
        } else {
            of[n] = ask;
            calls[n++] = (issue_enrol_t){ .a = ask->call.a, .in = &ask->request };
        }
    }
    if (n > 0) {
        issue_enrol(h->api->parts.issue, calls, n, &next);
    }
    for (size_t i = 0; i < n; i++) {
        of[i]->call = calls[i];
        if (calls[i].busy) {
            ask_wait(h, of[i]);
        } else {
            ask_answer(h, of[i]);
        }
    }
    log_gather(NULL, 0);
}

static int
ask_parse(bytes_t in, head_t *out, void *arg)
{
    const route_t *route = ((hop_t *) arg)->route;

    return head_parse(in, route->path, limits_rows[route->limits].body_max, out);
}

/* True when *ask is a whole request. */
static bool
ask_read(hop_t *h, peer_t *c, bool gone, ask_t *ask)
{
    /* A client that has gone is not served: it comes again. */
    int status = gone ? -1 : peer_read(c, ask_parse, h);

    if (status == 200) {
        ask_begin(h, c, ask);
        return true;
    }
    if (status < 0) {
        peer_close(&h->peers, c);
    } else if (status == 0) {
        peer_wait(&h->peers, c);
    } else {
        ask_refuse(h, c, status);
    }
    return false;
}

/* The whole requests that are there; waits for something to happen. */
static size_t
asks_take(hop_t *h, ask_t asks[ISSUE_ENROL_MAX])
{
    peer_t *ready[ISSUE_ENROL_MAX];
    bool    gone[ISSUE_ENROL_MAX];
    size_t  n = peers_take(&h->peers, ready, gone, ISSUE_ENROL_MAX), count = 0;

    for (size_t i = 0; i < n; i++) {
        count += ask_read(h, ready[i], gone[i], &asks[count]);
    }
    return count;
}

static void *
hop_run(void *arg)
{
    turn_t turn = { .hop = arg };
    ask_t  asks[ISSUE_ENROL_MAX];

    pthread_setname_np(pthread_self(), "edge-hop");
    while (!atomic_load(&turn.hop->closing)) {
        size_t count;

        pthread_mutex_lock(&turn.hop->first);
        turn.first = true;
        count = asks_take(turn.hop, asks);
        if (count > 0) {
            asks_serve(turn.hop, &turn, asks, count);
        }
        turn_pass(&turn);
    }
    return NULL;
}

/* ---- life ---- */

static pki_code_t
hop_start(hop_t *h, pki_err_t *err)
{
    const conf_t *conf = h->api->parts.conf;

    PKI_TRY(peers_open(&h->peers, conf->listen.edge_socket, conf->edge_group, err));
    PKI_TRY(queue_open(HOP_WAITERS, HOP_WAITING, ask_waited, h, &h->waiting, err));
    while (h->thread_count < HOP_THREADS
           && pthread_create(&h->threads[h->thread_count], NULL, hop_run, h) == 0)
    {
        h->thread_count++;
    }
    return h->thread_count == HOP_THREADS ? PKI_OK
                                          : pki_fail(err, PKI_E_INTERNAL, NULL, "the hop's threads do not start");
}

pki_code_t
hop_open(api_t *api, hop_t **out, pki_err_t *err)
{
    hop_t     *h = calloc(1, sizeof(*h));
    pki_code_t code;

    if (h == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    h->api = api;
    h->route = route_edge();
    pthread_mutex_init(&h->first, NULL);
    code = hop_start(h, err);
    if (code != PKI_OK) {
        hop_close(h);
        return code;
    }
    *out = h;
    return PKI_OK;
}

void
hop_quiesce(hop_t *h)
{
    if (h != NULL) {
        peers_quiesce(&h->peers);
    }
}

void
hop_close(hop_t *h)
{
    if (h == NULL) {
        return;
    }
    hop_quiesce(h);
    atomic_store(&h->closing, true);
    peers_wake(&h->peers);
    while (h->thread_count > 0) {
        pthread_join(h->threads[--h->thread_count], NULL);
    }
    queue_stop(h->waiting);
    peers_close(&h->peers);
    queue_free(h->waiting);
    pthread_mutex_destroy(&h->first);
    free(h);
}
