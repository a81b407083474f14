/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Two threads that are alike take turns.  One takes every request that waits and has all their certificates signed;
 * while these are recorded and answered the other one does the same.  What comes meanwhile gathers in the sockets,
 * so that under load the turns of the issuance path are large, and a request that is alone is served at once.  No
 * request changes threads, but those that may wait for long: a password to be checked, or the same request being
 * served.  They have threads of their own.
 *
 * A connection is armed for one event at a time and belongs to the thread that got it until that arms it again.
 */
#include "orchestrator/api/hop.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/head.h"
#include "orchestrator/api/listen.h"
#include "orchestrator/api/server.h"
#include "pkiproto/json/pack.h"

const shape_t shape_enrol_request = SHAPE("EnrolRequest", enrol_request_t, enrol_request_fields);
const shape_t shape_enrol_answer = SHAPE("EnrolAnswer", enrol_answer_t, enrol_answer_fields);

#define HOP_THREADS     2
#define HOP_WAITERS     8   /* threads of those that wait */
#define HOP_WAITING     256 /* how many may */
#define HOP_ARENA_MAX   (32u << 20)
#define HOP_ANSWER_MAX  (1u << 20)
#define CONN_MAX        1024
#define CONN_ROOM       4096 /* first room for a request */
#define ACCEPT_PAUSE_US 10000

typedef struct conn {
    struct conn *next, **at;
    int          fd;
    uint8_t     *in; /* cleansed behind each request */
    size_t       len, cap;
    head_t       head;
} conn_t;

/* A whole request. */
typedef struct {
    conn_t         *conn;
    enrol_request_t request; /* borrowed from the connection's octets */
    int64_t         began_us;
    issue_enrol_t   call;
} ask_t;

struct hop {
    api_t          *api;
    const route_t  *route;
    int             fd, epoll, wake; /* fd: -1 when it does not listen any more */
    atomic_bool     closing;
    pthread_mutex_t first; /* held from taking requests to their signatures */
    pthread_mutex_t lock;  /* fd, conns */
    conn_t         *conns;
    size_t          conn_count;
    queue_t        *waiting; /* of ask_t in malloc */
    pthread_t       threads[HOP_THREADS];
    size_t          thread_count;
};

/* Of one of the threads. */
typedef struct {
    hop_t *hop;
    bool   first; /* has hop->first */
} turn_t;

/* ---- connections ---- */

static void
conn_close(hop_t *h, conn_t *c)
{
    pthread_mutex_lock(&h->lock);
    *c->at = c->next;
    if (c->next != NULL) {
        c->next->at = c->at;
    }
    h->conn_count--;
    pthread_mutex_unlock(&h->lock);
    close(c->fd);
    OPENSSL_cleanse(c->in, c->len);
    free(c->in);
    free(c);
}

/* Give it back: any thread may get its next event from here on. */
static void
conn_arm(hop_t *h, conn_t *c, int op)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, .data.ptr = c };

    if (epoll_ctl(h->epoll, op, c->fd, &event) != 0) {
        log_error("hop.epoll", LOG_S("text", strerror(errno)));
        conn_close(h, c);
    }
}

static void
conn_open(hop_t *h, int fd)
{
    conn_t *c = calloc(1, sizeof(*c));
    bool    full = false;

    if (c == NULL || (c->in = malloc(CONN_ROOM)) == NULL) {
        free(c);
        close(fd);
        return;
    }
    c->fd = fd;
    c->cap = CONN_ROOM;
    pthread_mutex_lock(&h->lock);
    full = h->conn_count >= CONN_MAX;
    c->next = h->conns;
    c->at = &h->conns;
    if (c->next != NULL) {
        c->next->at = &c->next;
    }
    h->conns = c;
    h->conn_count++;
    pthread_mutex_unlock(&h->lock);
    if (full) {
        conn_close(h, c);
        return;
    }
    conn_arm(h, c, EPOLL_CTL_ADD);
}

static int
conn_accept(hop_t *h)
{
    int fd = -1;

    errno = EAGAIN;
    pthread_mutex_lock(&h->lock);
    if (h->fd != -1) {
        fd = accept4(h->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    pthread_mutex_unlock(&h->lock);
    if (fd == -1 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
        log_warn("hop.accept", LOG_S("text", strerror(errno)));
        usleep(ACCEPT_PAUSE_US); /* whoever waits is still there then */
    }
    return fd;
}

static bool
conn_grow(conn_t *c)
{
    size_t   want = c->head.len + c->head.body_len;
    size_t   cap = want > c->cap ? want : c->cap * 2;
    uint8_t *p = malloc(cap);

    if (p == NULL) {
        return false;
    }
    memcpy(p, c->in, c->len);
    OPENSSL_cleanse(c->in, c->len);
    free(c->in);
    c->in = p;
    c->cap = cap;
    return true;
}

/* What is there, up to the end of one request.  The status of head_parse(), -1 at the end. */
static int
conn_read(const hop_t *h, conn_t *c)
{
    for (;;) {
        int     status;
        ssize_t n;

        if (c->len == c->cap && !conn_grow(c)) {
            return -1;
        }
        n = recv(c->fd, c->in + c->len, c->cap - c->len, MSG_DONTWAIT);
        if (n <= 0) {
            return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
        }
        c->len += (size_t) n;
        status = head_parse(bytes_of(c->in, c->len), h->route->path, limits_rows[h->route->limits].body_max, &c->head);
        if (status != 0 && (status != 200 || c->len >= c->head.len + c->head.body_len)) {
            return status;
        }
    }
}

/* ---- answers ---- */

/* All at once: the socket is empty, since nginx waits for this answer alone. */
static bool
conn_send(const conn_t *c, const char *head, int head_len, bytes_t body)
{
    struct iovec  parts[] = { { (void *) head, (size_t) head_len }, { (void *) body.p, body.len } };
    struct msghdr m = { .msg_iov = parts, .msg_iovlen = body.len > 0 ? 2 : 1 };
    ssize_t       n;

    do {
        n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t) (parts[0].iov_len + body.len);
}

/* Answer and give the connection back, or end it. */
static void
conn_answer(hop_t *h, conn_t *c, int status, const char *reason, bytes_t body)
{
    bool close_it = c->head.close || status == 0 || atomic_load(&h->api->draining);
    char head[192];
    int  len = snprintf(head, sizeof(head), "HTTP/1.1 %d %s\r\nContent-Length: %zu\r\n%s\r\n", status, reason, body.len,
                        close_it ? "Connection: close\r\n" : "");
    bool sent = conn_send(c, head, len, body);

    if (!sent || close_it || c->len != c->head.len + c->head.body_len) {
        conn_close(h, c);
        return;
    }
    OPENSSL_cleanse(c->in, c->len);
    c->len = 0;
    conn_arm(h, c, EPOLL_CTL_MOD);
}

/* What head_parse() refuses is not nginx' proxy as it is configured. */
static void
conn_refuse(hop_t *h, conn_t *c, int status)
{
    c->head.close = true;
    log_warn("hop.refused", LOG_I("status", status));
    metrics_count(h->api->metrics, NULL, status, 0);
    conn_answer(h, c, status, "Refused", BYTES_NONE);
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
    conn_answer(h, ask->conn, status, pki_code_name(ask->call.code), body);
    metrics_count(h->api->metrics, h->route, status, clock_mono_us() - ask->began_us);
    metrics_busy(h->api->metrics, -1);
    pki_arena_free(ask->call.a);
    atomic_fetch_sub(&h->api->active, 1);
}

/* ---- serving ---- */

static void
ask_begin(hop_t *h, conn_t *c, ask_t *ask)
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

/* True when *ask is a whole request. */
static bool
conn_event(hop_t *h, conn_t *c, uint32_t events, ask_t *ask)
{
    /* A client that has gone is not served: it comes again. */
    int status = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0 ? -1 : conn_read(h, c);

    if (status == 200) {
        ask_begin(h, c, ask);
        return true;
    }
    if (status < 0) {
        conn_close(h, c);
    } else if (status == 0) {
        conn_arm(h, c, EPOLL_CTL_MOD);
    } else {
        conn_refuse(h, c, status);
    }
    return false;
}

/* The whole requests that are there; waits for something to happen. */
static size_t
asks_take(hop_t *h, ask_t asks[ISSUE_ENROL_MAX])
{
    struct epoll_event events[ISSUE_ENROL_MAX];
    int                n = epoll_wait(h->epoll, events, ISSUE_ENROL_MAX, -1), fd;
    size_t             count = 0;

    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == &h->fd) {
            while ((fd = conn_accept(h)) >= 0) {
                conn_open(h, fd);
            }
        } else if (events[i].data.ptr != &h->wake) {
            count += conn_event(h, events[i].data.ptr, events[i].events, &asks[count]);
        }
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
hop_watch(hop_t *h, int *fd, uint32_t events, pki_err_t *err)
{
    struct epoll_event event = { .events = events, .data.ptr = fd };

    return epoll_ctl(h->epoll, EPOLL_CTL_ADD, *fd, &event) == 0
               ? PKI_OK
               : pki_fail(err, PKI_E_IO, NULL, "epoll: %s", strerror(errno));
}

static pki_code_t
hop_start(hop_t *h, pki_err_t *err)
{
    const conf_t *conf = h->api->parts.conf;

    PKI_TRY(socket_listen(conf->listen.edge_socket, conf->edge_group, &h->fd, err));
    h->epoll = epoll_create1(EPOLL_CLOEXEC);
    h->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (h->epoll == -1 || h->wake == -1) {
        return pki_fail(err, PKI_E_IO, NULL, "epoll: %s", strerror(errno));
    }
    PKI_TRY(hop_watch(h, &h->wake, EPOLLIN, err));
    PKI_TRY(hop_watch(h, &h->fd, EPOLLIN | EPOLLEXCLUSIVE, err));
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
    h->fd = h->epoll = h->wake = -1;
    pthread_mutex_init(&h->first, NULL);
    pthread_mutex_init(&h->lock, NULL);
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
    if (h == NULL) {
        return;
    }
    pthread_mutex_lock(&h->lock);
    if (h->fd != -1) {
        close(h->fd);
        h->fd = -1;
    }
    pthread_mutex_unlock(&h->lock);
}

void
hop_close(hop_t *h)
{
    uint64_t one = 1;

    if (h == NULL) {
        return;
    }
    hop_quiesce(h);
    atomic_store(&h->closing, true);
    while (h->wake != -1 && write(h->wake, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    while (h->thread_count > 0) {
        pthread_join(h->threads[--h->thread_count], NULL);
    }
    queue_stop(h->waiting);
    while (h->conns != NULL) {
        conn_close(h, h->conns);
    }
    queue_free(h->waiting);
    if (h->epoll != -1) {
        close(h->epoll);
    }
    if (h->wake != -1) {
        close(h->wake);
    }
    pthread_mutex_destroy(&h->first);
    pthread_mutex_destroy(&h->lock);
    free(h);
}
