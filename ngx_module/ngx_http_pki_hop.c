/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * See ngx_http_pki_hop.h.  What is asked while events are served goes out in one piece behind them, and what has come
 * is answered in one go: a request costs a fraction of a system call, and no change of process of its own.
 */
#include "ngx_module/ngx_http_pki_hop.h"

#include <ngx_event_connect.h>
#include <openssl/crypto.h>

#include "pkiproto/edge/frame.h"

#define NGX_HTTP_PKI_HOP_ROOM  65536     /* first room for octets; grows to a frame */
#define NGX_HTTP_PKI_HOP_OUT   (4 << 20) /* waits to be sent at most */
#define NGX_HTTP_PKI_HOP_ASKS  4096      /* on their way at most; a power of 2 */
#define NGX_HTTP_PKI_HOP_TRIES 2         /* to send a request */

/* A request on its way.  Its place is the low bits of its number; what else is in there changes with each use. */
typedef struct {
    ngx_queue_t          queue;
    uint32_t             no;
    ngx_http_pki_hop_t  *hop;
    ngx_uint_t           tries;
    ngx_msec_t           until;
    ngx_http_request_t  *r;
    ngx_http_cleanup_t  *cleanup;
    ngx_str_t            octets;
    ngx_http_pki_hop_pt  answered;
} ngx_http_pki_hop_ask_t;

typedef struct {
    u_char *data;
    size_t  pos, last, size; /* what is between pos and last is there */
} ngx_http_pki_hop_room_t;

struct ngx_http_pki_hop_s {
    ngx_addr_t               addr;
    ngx_msec_t               timeout;

    /* The worker's. */
    ngx_connection_t        *connection;
    ngx_http_pki_hop_room_t  in, out;
    ngx_event_t              flush, timer; /* flush: something is to be sent; timer: of the first ask */
    ngx_queue_t              asks;         /* by the time that they were made, and so by until */
    ngx_queue_t              unused;
    ngx_http_pki_hop_ask_t **places;
    uint32_t                 count;        /* of places */
};

static void ngx_http_pki_hop_flush(ngx_event_t *ev);
static void ngx_http_pki_hop_expire(ngx_event_t *ev);
static void ngx_http_pki_hop_write(ngx_event_t *wev);
static void ngx_http_pki_hop_read(ngx_event_t *rev);

/* ---- room ---- */

/* Room for size more octets behind the last. */
static ngx_int_t
ngx_http_pki_hop_reserve(ngx_http_pki_hop_room_t *room, size_t size, ngx_log_t *log)
{
    size_t  len = room->last - room->pos, wanted = room->size != 0 ? room->size : NGX_HTTP_PKI_HOP_ROOM;
    u_char *data;

    if (room->size - room->last >= size) {
        return NGX_OK;
    }
    while (wanted - len < size) {
        wanted *= 2;
    }
    data = room->data;
    if (wanted > room->size) {
        data = ngx_alloc(wanted, log);
        if (data == NULL) {
            return NGX_ERROR;
        }
    }
    if (len != 0) {
        ngx_memmove(data, room->data + room->pos, len);
    }
    if (data != room->data) {
        if (room->data != NULL) {
            OPENSSL_cleanse(room->data, room->last);
            ngx_free(room->data);
        }
        room->data = data;
        room->size = wanted;
    }
    room->pos = 0;
    room->last = len;
    return NGX_OK;
}

/* There may have been passwords in it. */
static void
ngx_http_pki_hop_empty(ngx_http_pki_hop_room_t *room)
{
    if (room->last != 0) {
        OPENSSL_cleanse(room->data, room->last);
    }
    room->pos = room->last = 0;
}

/* ---- asks ---- */

static ngx_int_t
ngx_http_pki_hop_init(ngx_http_pki_hop_t *hop, ngx_log_t *log)
{
    hop->places = ngx_calloc(NGX_HTTP_PKI_HOP_ASKS * sizeof(*hop->places), log);
    if (hop->places == NULL) {
        return NGX_ERROR;
    }
    ngx_queue_init(&hop->asks);
    ngx_queue_init(&hop->unused);
    hop->flush.data = hop->timer.data = hop;
    hop->flush.log = hop->timer.log = ngx_cycle->log;
    hop->flush.handler = ngx_http_pki_hop_flush;
    hop->timer.handler = ngx_http_pki_hop_expire;
    return NGX_OK;
}

static ngx_http_pki_hop_ask_t *
ngx_http_pki_hop_ask_new(ngx_http_pki_hop_t *hop, ngx_log_t *log)
{
    ngx_http_pki_hop_ask_t *ask;
    ngx_queue_t            *q;

    if (!ngx_queue_empty(&hop->unused)) {
        q = ngx_queue_head(&hop->unused);
        ngx_queue_remove(q);
        return ngx_queue_data(q, ngx_http_pki_hop_ask_t, queue);
    }
    if (hop->count == NGX_HTTP_PKI_HOP_ASKS) {
        return NULL;
    }
    ask = ngx_calloc(sizeof(*ask), log);
    if (ask != NULL) {
        ask->no = hop->count;
        hop->places[hop->count++] = ask;
    }
    return ask;
}

static void
ngx_http_pki_hop_ask_free(ngx_http_pki_hop_ask_t *ask)
{
    ngx_http_pki_hop_t *hop = ask->hop;

    ask->no += NGX_HTTP_PKI_HOP_ASKS;
    ngx_queue_remove(&ask->queue);
    ngx_queue_insert_head(&hop->unused, &ask->queue);
}

/* Its request has ended.  A worker that ends may have waited for it; this may be somewhere in the midst of others. */
static void
ngx_http_pki_hop_forget(void *data)
{
    ngx_http_pki_hop_ask_t *ask = data;

    ngx_http_pki_hop_ask_free(ask);
    if (ngx_exiting) {
        ngx_post_event(&ask->hop->flush, &ngx_posted_events);
    }
}

static void
ngx_http_pki_hop_answer(ngx_http_pki_hop_ask_t *ask, bytes_t answer)
{
    ngx_http_pki_hop_pt answered = ask->answered;
    ngx_http_request_t *r = ask->r;
    ngx_connection_t   *c = r->connection;

    ask->cleanup->handler = NULL;
    ngx_http_pki_hop_ask_free(ask);

    ngx_http_set_log_request(c->log, r);
    answered(r, answer);
    ngx_http_run_posted_requests(c);
}

/* ---- the connection ---- */

static void
ngx_http_pki_hop_close(ngx_http_pki_hop_t *hop)
{
    if (hop->connection != NULL) {
        ngx_close_connection(hop->connection);
        hop->connection = NULL;
    }
    ngx_http_pki_hop_empty(&hop->in);
    ngx_http_pki_hop_empty(&hop->out);
}

/* The timer is of the first ask; nothing is on its way in a worker that ends. */
static void
ngx_http_pki_hop_settle(ngx_http_pki_hop_t *hop)
{
    ngx_http_pki_hop_ask_t *ask;

    if (!ngx_queue_empty(&hop->asks)) {
        ask = ngx_queue_data(ngx_queue_head(&hop->asks), ngx_http_pki_hop_ask_t, queue);
        if (!hop->timer.timer_set) {
            ngx_add_timer(&hop->timer, ngx_max((ngx_msec_int_t) (ask->until - ngx_current_msec), 1));
        }
        return;
    }
    if (ngx_exiting) {
        if (hop->timer.timer_set) {
            ngx_del_timer(&hop->timer);
        }
        ngx_http_pki_hop_close(hop);
    }
}

static void
ngx_http_pki_hop_expire(ngx_event_t *ev)
{
    ngx_http_pki_hop_t     *hop = ev->data;
    ngx_http_pki_hop_ask_t *ask;

    while (!ngx_queue_empty(&hop->asks)) {
        ask = ngx_queue_data(ngx_queue_head(&hop->asks), ngx_http_pki_hop_ask_t, queue);
        if ((ngx_msec_int_t) (ask->until - ngx_current_msec) > 0) {
            break;
        }
        ngx_http_pki_hop_answer(ask, BYTES_NONE);
    }
    ngx_http_pki_hop_settle(hop);
}

/* To be sent with all others that are put until the events have been served. */
static ngx_int_t
ngx_http_pki_hop_put(ngx_http_pki_hop_ask_t *ask, ngx_log_t *log)
{
    ngx_http_pki_hop_t      *hop = ask->hop;
    ngx_http_pki_hop_room_t *out = &hop->out;
    size_t                   size = FRAME_HEAD + ask->octets.len;

    if (out->last - out->pos + size > NGX_HTTP_PKI_HOP_OUT || ngx_http_pki_hop_reserve(out, size, log) != NGX_OK) {
        return NGX_ERROR;
    }
    frame_head(out->data + out->last, ask->no, ask->octets.len);
    ngx_memcpy(out->data + out->last + FRAME_HEAD, ask->octets.data, ask->octets.len);
    out->last += size;
    ask->tries++;
    ngx_post_event(&hop->flush, &ngx_posted_events);
    return NGX_OK;
}

/* What was not answered is asked once more on the next connection, or not answered at all. */
static void
ngx_http_pki_hop_lost(ngx_http_pki_hop_t *hop, ngx_uint_t tries)
{
    ngx_http_pki_hop_ask_t *ask;
    ngx_queue_t             asks, *q;

    ngx_http_pki_hop_close(hop);
    if (ngx_queue_empty(&hop->asks)) {
        return;
    }
    ngx_queue_init(&asks);
    ngx_queue_add(&asks, &hop->asks);
    ngx_queue_init(&hop->asks);
    while (!ngx_queue_empty(&asks)) {
        q = ngx_queue_head(&asks);
        ask = ngx_queue_data(q, ngx_http_pki_hop_ask_t, queue);
        if (ask->tries < tries && ngx_http_pki_hop_put(ask, ngx_cycle->log) == NGX_OK) {
            ngx_queue_remove(q);
            ngx_queue_insert_tail(&hop->asks, q);
        } else {
            ngx_http_pki_hop_answer(ask, BYTES_NONE);
        }
    }
    ngx_http_pki_hop_settle(hop);
}

static ngx_int_t
ngx_http_pki_hop_connect(ngx_http_pki_hop_t *hop)
{
    ngx_peer_connection_t pc;
    ngx_connection_t     *c;
    ngx_int_t             rc;

    ngx_memzero(&pc, sizeof(pc));
    pc.sockaddr = hop->addr.sockaddr;
    pc.socklen = hop->addr.socklen;
    pc.name = &hop->addr.name;
    pc.get = ngx_event_get_peer;
    pc.log = ngx_cycle->log;
    pc.log_error = NGX_ERROR_ERR;

    rc = ngx_event_connect_peer(&pc);
    if (rc != NGX_OK && rc != NGX_AGAIN) {
        if (pc.connection != NULL) {
            ngx_close_connection(pc.connection);
        }
        return NGX_ERROR;
    }
    c = pc.connection;
    c->data = hop;
    c->idle = 1; /* told when the worker ends */
    c->read->handler = ngx_http_pki_hop_read;
    c->write->handler = ngx_http_pki_hop_write;
    hop->connection = c;
    return NGX_OK;
}

static void
ngx_http_pki_hop_flush(ngx_event_t *ev)
{
    ngx_http_pki_hop_t *hop = ev->data;

    if (hop->out.last == hop->out.pos) {
        ngx_http_pki_hop_settle(hop);
        return;
    }
    if (hop->connection == NULL && ngx_http_pki_hop_connect(hop) != NGX_OK) {
        ngx_http_pki_hop_lost(hop, 0);
        return;
    }
    ngx_http_pki_hop_write(hop->connection->write);
}

static void
ngx_http_pki_hop_write(ngx_event_t *wev)
{
    ngx_connection_t        *c = wev->data;
    ngx_http_pki_hop_t      *hop = c->data;
    ngx_http_pki_hop_room_t *out = &hop->out;
    ssize_t                  n;

    while (out->last != out->pos) {
        n = c->send(c, out->data + out->pos, out->last - out->pos);
        if (n == NGX_AGAIN) {
            break;
        }
        if (n < 0) {
            ngx_http_pki_hop_lost(hop, NGX_HTTP_PKI_HOP_TRIES);
            return;
        }
        out->pos += n;
    }
    if (out->last == out->pos) {
        ngx_http_pki_hop_empty(out);
    }
    if (ngx_handle_write_event(wev, 0) != NGX_OK) {
        ngx_http_pki_hop_lost(hop, 0);
    }
}

/* Those who asked, each with its answer.  NGX_ERROR for what is no frame. */
static ngx_int_t
ngx_http_pki_hop_take(ngx_http_pki_hop_t *hop)
{
    ngx_http_pki_hop_room_t *in = &hop->in;
    ngx_http_pki_hop_ask_t  *ask;
    bytes_t                  rest = bytes_of(in->data + in->pos, in->last - in->pos);
    frame_t                  frame;
    int                      rc;

    while ((rc = frame_take(&rest, FRAME_ANSWER_MAX, &frame)) == 1) {
        ask = hop->places[frame.no & (NGX_HTTP_PKI_HOP_ASKS - 1)];
        /* Who asked may not have waited. */
        if (ask != NULL && ask->no == frame.no) {
            ngx_http_pki_hop_answer(ask, frame.octets);
        }
    }
    in->pos = in->last - rest.len;
    if (rest.len == 0) {
        in->pos = in->last = 0;
    }
    return rc == 0 ? NGX_OK : NGX_ERROR;
}

static void
ngx_http_pki_hop_read(ngx_event_t *rev)
{
    ngx_connection_t        *c = rev->data;
    ngx_http_pki_hop_t      *hop = c->data;
    ngx_http_pki_hop_room_t *in = &hop->in;
    ssize_t                  n;

    if (c->close) {
        /* The worker ends, but not before what is on its way is answered. */
        c->close = 0;
        ngx_http_pki_hop_settle(hop);
        if (hop->connection == NULL) {
            return;
        }
    }
    do {
        if (ngx_http_pki_hop_reserve(in, NGX_HTTP_PKI_HOP_ROOM / 2, c->log) != NGX_OK) {
            n = NGX_ERROR;
            break;
        }
        n = c->recv(c, in->data + in->last, in->size - in->last);
        if (n > 0) {
            in->last += n;
            if (ngx_http_pki_hop_take(hop) != NGX_OK) {
                ngx_log_error(NGX_LOG_ERR, c->log, 0, "pki: what the orchestrator answers is no frame");
                ngx_http_pki_hop_lost(hop, 0);
                return;
            }
        }
    } while (n > 0);

    if (n != NGX_AGAIN || ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_http_pki_hop_lost(hop, NGX_HTTP_PKI_HOP_TRIES);
        return;
    }
    ngx_http_pki_hop_settle(hop);
}

/* ---- for the modules ---- */

ngx_int_t
ngx_http_pki_hop_ask(ngx_http_request_t *r, ngx_http_pki_hop_t *hop, ngx_str_t octets, ngx_http_pki_hop_pt answered)
{
    ngx_log_t              *log = r->connection->log;
    ngx_http_cleanup_t     *cleanup;
    ngx_http_pki_hop_ask_t *ask;

    if (hop->places == NULL && ngx_http_pki_hop_init(hop, log) != NGX_OK) {
        return NGX_ERROR;
    }
    cleanup = ngx_http_cleanup_add(r, 0);
    ask = cleanup != NULL ? ngx_http_pki_hop_ask_new(hop, log) : NULL;
    if (ask == NULL) {
        return NGX_ERROR;
    }
    ask->hop = hop;
    ask->tries = 0;
    ask->until = ngx_current_msec + hop->timeout;
    ask->r = r;
    ask->octets = octets;
    ask->answered = answered;
    ask->cleanup = cleanup;
    ngx_queue_insert_tail(&hop->asks, &ask->queue);
    if (ngx_http_pki_hop_put(ask, log) != NGX_OK) {
        ngx_http_pki_hop_ask_free(ask);
        return NGX_ERROR;
    }
    cleanup->handler = ngx_http_pki_hop_forget;
    cleanup->data = ask;
    ngx_http_pki_hop_settle(hop);
    return NGX_OK;
}

ngx_http_pki_hop_t *
ngx_http_pki_hop_add(ngx_conf_t *cf, ngx_str_t *url, ngx_msec_t timeout)
{
    ngx_http_pki_hop_t *hop = ngx_pcalloc(cf->pool, sizeof(*hop));
    ngx_url_t           u;

    ngx_memzero(&u, sizeof(u));
    u.url = *url;
    if (hop == NULL || url->len < 6 || ngx_strncmp(url->data, "unix:", 5) != 0 || ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" is not \"unix:PATH\"", url);
        return NULL;
    }
    hop->addr = u.addrs[0];
    hop->timeout = timeout;
    return hop;
}
