/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Two threads take turns, as those of the hop do: one takes every request that waits and has all their rows read by one
 * statement; while it answers them the other does the same, and what comes meanwhile gathers in the sockets.  A statement
 * costs several times what a further row in it costs, and a request that changes threads as much as its row.  Whatever
 * else may be asked here, or by somebody whose rights are not in memory, is for the workers.
 */
#include "orchestrator/api/rows.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/log.h"
#include "orchestrator/api/peers.h"
#include "orchestrator/api/server.h"
#include "pkiproto/edge/frame.h"
#include "pkiproto/edge/relay.h"

#define ROWS_THREADS 2
#define HEAD_ROOM    8192
#define GET_FIELDS   32

struct rows {
    api_t          *api;
    peers_t         peers;
    atomic_bool     closing;
    pthread_mutex_t first; /* held from taking requests until their rows are read */
    pthread_t       threads[ROWS_THREADS];
    size_t          thread_count;
};

/* Of one of the threads. */
typedef struct {
    rows_t        *rows;
    req_t         *r[REQUEST_ROWS_MAX];
    size_t         count;
    peer_answers_t answers;
} turn_t;

/* ---- answers ---- */

/* Whether nginx' connections are kept is nginx' matter. */
static void
header_add(void *head, const char *name, const char *value)
{
    if (strcmp(name, "Connection") != 0) {
        relay_put(head, name, bytes_str(value));
    }
}

/* All but the octets of the body, which comes last. */
static bool
head_build(req_t *r, pki_buf_t *head)
{
    char status[12];

    snprintf(status, sizeof(status), "%d", r->answer.status);
    relay_put(head, RELAY_STATUS, bytes_str(status));
    answer_headers(r, header_add, head);
    if (r->answer.status != 304) {
        relay_put_head(head, RELAY_BODY, r->answer.body.len);
    }
    return pki_buf_check(head, "the head of an answer", NULL) == PKI_OK
           && head->len + r->answer.body.len <= FRAME_ANSWER_MAX;
}

static void
row_send(req_t *r, peer_answers_t *with)
{
    uint8_t   room[HEAD_ROOM];
    pki_buf_t head;

    pki_buf_fixed(&head, room, sizeof(room));
    if (head_build(r, &head)) {
        peer_answer(r->connection, r->frame, pki_buf_bytes(&head), r->answer.body, with);
    } else {
        log_warn("rows.large", LOG_S("text", "an answer has no room in a frame"));
        peer_answer(r->connection, r->frame, BYTES_NONE, BYTES_NONE, with);
    }
    request_free(r);
}

/* From any thread. */
static void
row_answered(req_t *r)
{
    row_send(r, NULL);
}

/* ---- requests ---- */

typedef struct {
    bytes_t name, value;
} get_field_t;

typedef struct {
    bytes_t     target;
    get_field_t fields[GET_FIELDS];
    size_t      count;
} get_t;

static bytes_t
field_get(void *arg, const char *name)
{
    const get_t *get = arg;
    size_t       len = strlen(name);

    for (size_t i = 0; i < get->count; i++) {
        if (get->fields[i].name.len == len && memcmp(get->fields[i].name.p, name, len) == 0) {
            return get->fields[i].value;
        }
    }
    return BYTES_NONE;
}

/* False when it is not what nginx sends.  A NUL would end a text early. */
static bool
get_parse(bytes_t in, get_t *get)
{
    get_field_t f;
    int         status;

    get->count = 0;
    while ((status = relay_take(&in, &f.name, &f.value)) == 1) {
        if (get->count == GET_FIELDS || (f.value.len > 0 && memchr(f.value.p, 0, f.value.len) != NULL)) {
            return false;
        }
        get->fields[get->count++] = f;
    }
    get->target = field_get(get, RELAY_TARGET);
    return status == 0 && get->target.len > 0;
}

/* What goes on after its head is for the API's socket. */
static bool
row_whole(const req_t *r)
{
    return r->early != PKI_OK || (r->route->kind != ANSWER_EVENTS && r->route->kind != ANSWER_STREAM);
}

/* NULL when out of memory. */
static req_t *
row_begin(rows_t *w, peer_t *from, uint32_t no, get_t *get)
{
    req_t *r = request_new(w->api, get->target);

    if (r == NULL) {
        return NULL;
    }
    r->connection = from;
    r->frame = no;
    r->answered = row_answered;
    r->method = "GET";
    r->queued_us = r->began_us;
    if (request_headers(r, field_get, get) == PKI_OK) {
        request_prepare(r);
    } else {
        r->early = pki_fail(&r->early_err, PKI_E_NOMEM, NULL, "out of memory");
    }
    if (!row_whole(r)) {
        r->early = pki_fail(&r->early_err, PKI_E_UNSUPPORTED, NULL, "this is not answered in a frame");
    }
    return r;
}

static void
row_refuse(rows_t *w, peer_t *from, uint32_t no, pki_code_t code, peer_answers_t *with)
{
    log_warn("rows.refused", LOG_S("code", pki_code_name(code)));
    metrics_count(w->api->metrics, NULL, pki_code_http(code), 0);
    peer_answer(from, no, BYTES_NONE, BYTES_NONE, with);
}

static void
row_hand_over(req_t *r)
{
    if (!queue_put(r->api->queue, r)) {
        request_refuse(r, PKI_E_UNAVAILABLE, "too many requests are waiting");
        r->answered(r);
    }
}

/* Those that are for this thread are kept for its turn. */
static void
row_take(void *arg, peer_t *from, uint32_t no, bytes_t octets)
{
    turn_t *turn = arg;
    rows_t *w = turn->rows;
    get_t   get;
    bool    good = get_parse(octets, &get);
    req_t  *r = good ? row_begin(w, from, no, &get) : NULL;

    if (r == NULL) {
        row_refuse(w, from, no, good ? PKI_E_NOMEM : PKI_E_PARSE, &turn->answers);
    } else if (r->early == PKI_OK && (r->route->flags & R_TOGETHER) && auth_recalled(r)) {
        turn->r[turn->count++] = r;
    } else {
        row_hand_over(r);
    }
}

/* The other thread may go once the rows are read. */
static void
rows_turn(rows_t *w, turn_t *turn)
{
    request_rows_t rows;
    char           lines[LOG_GATHER_MAX];

    pthread_mutex_lock(&w->first);
    turn->count = 0;
    peers_take(&w->peers, REQUEST_ROWS_MAX, row_take, turn);
    log_gather(lines, sizeof(lines));
    request_rows_run(&rows, turn->r, turn->count);
    pthread_mutex_unlock(&w->first);
    request_rows_end(&rows);
    for (size_t i = 0; i < turn->count; i++) {
        row_send(turn->r[i], &turn->answers);
    }
    peer_answers_send(&turn->answers);
    log_gather(NULL, 0);
}

static void *
rows_run(void *arg)
{
    rows_t *w = arg;
    turn_t  turn = { .rows = w };

    pthread_setname_np(pthread_self(), "api-rows");
    while (!atomic_load(&w->closing)) {
        rows_turn(w, &turn);
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
    peers_end(&w->peers);
    while (w->thread_count > 0) {
        pthread_join(w->threads[--w->thread_count], NULL);
    }
    peers_close(&w->peers);
    pthread_mutex_destroy(&w->first);
    free(w);
}
