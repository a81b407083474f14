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
#include <stdlib.h>

#include <openssl/crypto.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/peers.h"
#include "orchestrator/api/server.h"
#include "pkiproto/json/pack.h"
#include "pkiproto/x509/cert.h"

const shape_t shape_enrol_request = SHAPE("EnrolRequest", enrol_request_t, enrol_request_fields);
const shape_t shape_enrol_answer = SHAPE("EnrolAnswer", enrol_answer_t, enrol_answer_fields);

#define HOP_THREADS     2
#define HOP_WAITERS     8   /* threads of those that wait */
#define HOP_WAITING     256 /* how many may */
#define HOP_ARENA_MAX   (32u << 20)
#define HOP_ANSWER_MAX  (CERT_MAX + 4096)

typedef struct {
    peer_t         *from;
    uint32_t        no;
    uint8_t        *octets; /* in the arena; cleansed at the end */
    size_t          len;
    enrol_request_t request; /* borrowed from the octets */
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
    hop_t         *hop;
    bool           first; /* has hop->first */
    ask_t          asks[ISSUE_ENROL_MAX];
    size_t         count;
    peer_answers_t answers;
} turn_t;

/* ---- answers ---- */

static pki_code_t
answer_pack(const hop_t *h, ask_t *ask, pki_buf_t *out)
{
    fields_pack(h->route->answer->fields, &ask->call.out, out);
    return pki_buf_check(out, "an answer", &ask->call.err);
}

/* No octets: it could not be served. */
static void
ask_answer(hop_t *h, ask_t *ask, peer_answers_t *with)
{
    uint8_t   room[HOP_ANSWER_MAX];
    pki_buf_t out;
    int       status;

    pki_buf_fixed(&out, room, sizeof(room));
    if (ask->call.code == PKI_OK) {
        ask->call.code = answer_pack(h, ask, &out);
    }
    status = ask->call.code == PKI_OK ? h->route->status : pki_code_http(ask->call.code);
    if (ask->call.code != PKI_OK) {
        log_request_set(ask->request.request_id);
        log_failure(status == 500 ? LOG_ERROR : LOG_WARN, "hop.failed", &ask->call.err);
        log_request_set(NULL);
    }
    peer_answer(ask->from, ask->no, ask->call.code == PKI_OK ? pki_buf_bytes(&out) : BYTES_NONE, BYTES_NONE, with);
    metrics_count(h->api->metrics, h->route, status, clock_mono_us() - ask->began_us);
    metrics_busy(h->api->metrics, -1);
    OPENSSL_cleanse(ask->octets, ask->len);
    pki_arena_free(ask->call.a);
    atomic_fetch_sub(&h->api->active, 1);
}

/* ---- serving ---- */

/* They outlive the connection's copy. */
static pki_code_t
octets_keep(ask_t *ask, bytes_t octets)
{
    ask->octets = ask->call.a != NULL ? pki_alloc(ask->call.a, octets.len + 1) : NULL;
    if (ask->octets == NULL) {
        return pki_fail(&ask->call.err, PKI_E_NOMEM, NULL, "out of memory");
    }
    memcpy(ask->octets, octets.p, octets.len);
    ask->len = octets.len;
    return PKI_OK;
}

static pki_code_t
ask_read(const hop_t *h, ask_t *ask, bytes_t octets)
{
    pki_code_t code;

    PKI_TRY(octets_keep(ask, octets));
    code = fields_unpack(h->route->body->fields, bytes_of(ask->octets, ask->len), &ask->request, &ask->call.err);
    if (ask->request.request_id != NULL && !request_id_valid(ask->request.request_id)) {
        ask->request.request_id = NULL; /* also of one that is refused: it is for the log */
    }
    return code;
}

static void
ask_begin(void *arg, peer_t *from, uint32_t no, bytes_t octets)
{
    turn_t *turn = arg;
    api_t  *api = turn->hop->api;
    ask_t  *ask = &turn->asks[turn->count++];

    *ask = (ask_t){ .from = from, .no = no, .began_us = clock_mono_us() };
    atomic_fetch_add(&api->active, 1);
    metrics_busy(api->metrics, 1);
    ask->call.a = pki_arena_new(HOP_ARENA_MAX);
    ask->call.code = ask_read(turn->hop, ask, octets);
}

/* To the threads of those that wait. */
static void
ask_wait(hop_t *h, ask_t *ask, peer_answers_t *with)
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
    ask_answer(h, ask, with);
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
    ask_answer(h, ask, NULL);
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
asks_serve(hop_t *h, turn_t *turn)
{
    issue_next_t  next = { turn_pass, turn };
    issue_enrol_t calls[ISSUE_ENROL_MAX];
    ask_t        *of[ISSUE_ENROL_MAX];
    size_t        n = 0;

    for (size_t i = 0; i < turn->count; i++) {
        ask_t *ask = &turn->asks[i];

        if (ask->call.code != PKI_OK) {
            ask_answer(h, ask, &turn->answers);
        } else if (ask->request.password != NULL) {
            ask_wait(h, ask, &turn->answers);
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
            ask_wait(h, of[i], &turn->answers);
        } else {
            ask_answer(h, of[i], &turn->answers);
        }
    }
}

static void
hop_turn(hop_t *h, turn_t *turn)
{
    char lines[LOG_GATHER_MAX];

    pthread_mutex_lock(&h->first);
    turn->first = true;
    turn->count = 0;
    peers_take(&h->peers, ISSUE_ENROL_MAX, ask_begin, turn);
    if (turn->count > 0) {
        log_gather(lines, sizeof(lines));
        asks_serve(h, turn);
        peer_answers_send(&turn->answers);
        log_gather(NULL, 0);
    }
    turn_pass(turn);
}

static void *
hop_run(void *arg)
{
    hop_t *h = arg;
    turn_t turn = { .hop = h };

    pthread_setname_np(pthread_self(), "edge-hop");
    while (!atomic_load(&h->closing)) {
        hop_turn(h, &turn);
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
    atomic_store(&h->closing, true);
    peers_end(&h->peers);
    while (h->thread_count > 0) {
        pthread_join(h->threads[--h->thread_count], NULL);
    }
    queue_stop(h->waiting);
    peers_close(&h->peers);
    queue_free(h->waiting);
    pthread_mutex_destroy(&h->first);
    free(h);
}
