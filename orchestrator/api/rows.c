/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Two threads take turns, as those of the hop do: one takes every request that waits and has all their rows read by one
 * statement; while it answers them the other does the same, and what comes meanwhile gathers in the sockets.  A statement
 * costs several times what a further row in it costs, and a request that changes threads as much as its row.  Whatever
 * else may be asked here, or by somebody whose rights are not in memory, is for the workers.
 */
#include "orchestrator/api/rows.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/api/peers.h"
#include "orchestrator/api/server.h"

#define ROWS_THREADS 2
#define HEAD_ROOM    8192

struct rows {
    api_t          *api;
    peers_t         peers;
    atomic_bool     closing;
    pthread_mutex_t first; /* held from taking requests until their rows are read */
    pthread_t       threads[ROWS_THREADS];
    size_t          thread_count;
};

/* ---- answers ---- */

/* Of what such requests are answered with; nginx passes them on. */
static const struct {
    int         status;
    const char *reason;
} reasons[] = {
    { 200, "OK" },
    { 304, "Not Modified" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 422, "Unprocessable Content" },
    { 429, "Too Many Requests" },
    { 500, "Internal Server Error" },
    { 503, "Service Unavailable" },
};

static const char *
reason_of(int status)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "Answered";
}

static void
header_add(void *head, const char *name, const char *value)
{
    pki_buf_put(head, bytes_str(name));
    pki_buf_put(head, BYTES_LIT(": "));
    pki_buf_put(head, bytes_str(value));
    pki_buf_put(head, BYTES_LIT("\r\n"));
}

static bool
head_build(req_t *r, pki_buf_t *head)
{
    pki_buf_printf(head, "HTTP/1.1 %d %s\r\n", r->answer.status, reason_of(r->answer.status));
    if (r->answer.status != 304) {
        pki_buf_printf(head, "Content-Length: %zu\r\n", r->answer.body.len);
    }
    answer_headers(r, header_add, head);
    pki_buf_put(head, BYTES_LIT("\r\n"));
    return pki_buf_check(head, "the head of an answer", NULL) == PKI_OK;
}

/* From any thread; the connection may have its next request from here on. */
static void
row_answered(req_t *r)
{
    rows_t   *w = r->api->rows;
    peer_t   *c = r->connection;
    char      room[HEAD_ROOM];
    pki_buf_t head;

    pki_buf_fixed(&head, room, sizeof(room));
    if (head_build(r, &head)) {
        peer_answer(&w->peers, c, pki_buf_bytes(&head), r->answer.body, c->head.close || atomic_load(&w->api->draining));
    } else {
        peer_close(&w->peers, c);
    }
    request_free(r);
}

/* ---- requests ---- */

static bytes_t
field_get(void *get, const char *name)
{
    return head_field(get, name);
}

static int
get_parse(bytes_t in, head_t *out, void *get)
{
    return head_get_parse(in, get, out);
}

static req_t *
row_begin(rows_t *w, peer_t *c, const head_get_t *get)
{
    req_t *r = request_new(w->api, get->target);

    if (r == NULL) {
        return NULL;
    }
    r->connection = c;
    r->answered = row_answered;
    r->method = "GET";
    r->queued_us = r->began_us;
    if (request_headers(r, field_get, (void *) get) == PKI_OK) {
        request_prepare(r);
    } else {
        r->early = pki_fail(&r->early_err, PKI_E_NOMEM, NULL, "out of memory");
    }
    return r;
}

/* What head_get_parse() refuses is not nginx' proxy as it is configured. */
static void
row_refuse(rows_t *w, peer_t *c, int status)
{
    log_warn("rows.refused", LOG_I("status", status));
    metrics_count(w->api->metrics, NULL, status, 0);
    peer_answer(&w->peers, c, BYTES_LIT("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), BYTES_NONE,
                true);
}

/* The next whole request of a connection, or NULL. */
static req_t *
row_read(rows_t *w, peer_t *c, bool gone)
{
    head_get_t get;
    int        status = gone ? -1 : peer_read(c, get_parse, &get);
    req_t     *r = status == 200 ? row_begin(w, c, &get) : NULL;

    if (status < 0 || (status == 200 && r == NULL)) {
        peer_close(&w->peers, c);
    } else if (status == 0) {
        peer_wait(&w->peers, c);
    } else if (status != 200) {
        row_refuse(w, c, status);
    }
    return r;
}

static void
row_hand_over(req_t *r)
{
    if (!queue_put(r->api->queue, r)) {
        request_refuse(r, PKI_E_UNAVAILABLE, "too many requests are waiting");
        r->answered(r);
    }
}

/* The whole requests that are there and are for this thread. */
static size_t
rows_take(rows_t *w, req_t *r[REQUEST_ROWS_MAX])
{
    peer_t *ready[REQUEST_ROWS_MAX];
    bool    gone[REQUEST_ROWS_MAX];
    size_t  n = peers_take(&w->peers, ready, gone, REQUEST_ROWS_MAX), count = 0;

    for (size_t i = 0; i < n; i++) {
        req_t *one = row_read(w, ready[i], gone[i]);

        if (one != NULL && one->early == PKI_OK && (one->route->flags & R_TOGETHER) && auth_recalled(one)) {
            r[count++] = one;
        } else if (one != NULL) {
            row_hand_over(one);
        }
    }
    return count;
}

/* The other thread may go once the rows are read. */
static void
rows_turn(rows_t *w)
{
    request_rows_t rows;
    req_t         *r[REQUEST_ROWS_MAX];
    char           lines[LOG_GATHER_MAX];
    size_t         count;

    pthread_mutex_lock(&w->first);
    count = rows_take(w, r);
    log_gather(lines, sizeof(lines));
    request_rows_run(&rows, r, count);
    pthread_mutex_unlock(&w->first);
    request_rows_end(&rows);
    for (size_t i = 0; i < count; i++) {
        r[i]->answered(r[i]);
    }
    log_gather(NULL, 0);
}

static void *
rows_run(void *arg)
{
    rows_t *w = arg;

    pthread_setname_np(pthread_self(), "api-rows");
    while (!atomic_load(&w->closing)) {
        rows_turn(w);
    }
    return NULL;
}

/* ---- life ---- */

pki_code_t
rows_open(api_t *api, rows_t **out, pki_err_t *err)
{
    const conf_t *conf = api->parts.conf;
    rows_t       *w;

    *out = NULL;
    if (conf->listen.rows_socket == NULL || *conf->listen.rows_socket == '\0') {
        return PKI_OK;
    }
    w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    *out = w; /* closed with the API */
    w->api = api;
    pthread_mutex_init(&w->first, NULL);
    PKI_TRY(peers_open(&w->peers, conf->listen.rows_socket, conf->edge_group, err));
    while (w->thread_count < ROWS_THREADS && pthread_create(&w->threads[w->thread_count], NULL, rows_run, w) == 0) {
        w->thread_count++;
    }
    return w->thread_count == ROWS_THREADS ? PKI_OK
                                           : pki_fail(err, PKI_E_NOMEM, NULL, "the threads of single rows do not start");
}

void
rows_quiesce(rows_t *w)
{
    if (w != NULL) {
        peers_quiesce(&w->peers);
    }
}

void
rows_close(rows_t *w)
{
    if (w == NULL) {
        return;
    }
    atomic_store(&w->closing, true);
    peers_wake(&w->peers);
    while (w->thread_count > 0) {
        pthread_join(w->threads[--w->thread_count], NULL);
    }
    peers_close(&w->peers);
    pthread_mutex_destroy(&w->first);
    free(w);
}
