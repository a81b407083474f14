/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Streams that wait for their next piece stand in a line; the thread takes the first, and whoever wants more joins at the
 * end.  Only a stream whose connection is suspended stands there: libmicrohttpd leaves it alone meanwhile.
 */
#include "orchestrator/api/stream.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "core/log.h"
#include "orchestrator/api/server.h"

#define STREAMS_MAX 32
#define PIECE_MAX   (16u << 20)
#define RETRY_S     10

struct stream {
    stream_t      *next; /* in the line */
    streams_t     *all;
    req_t         *r;
    stream_make_pt make;
    void          *arg;
    uint8_t       *piece;
    size_t         len, at;
    bool           last, failed;
};

struct streams {
    events_io_t     io;
    pthread_mutex_t lock;
    pthread_cond_t  wake;
    pthread_t       thread;
    bool            running, ending;
    stream_t       *first, **end; /* the line */
    size_t          count;        /* of all streams, in the line or not */
};

/* ---- a piece ---- */

static pki_code_t
piece_keep(stream_t *s, bytes_t made, pki_err_t *err)
{
    free(s->piece);
    s->len = s->at = 0;
    s->piece = malloc(made.len + 1);
    if (s->piece == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory for a piece of a stream");
    }
    if (made.len > 0) {
        memcpy(s->piece, made.p, made.len);
    }
    s->len = made.len;
    return PKI_OK;
}

static pki_code_t
piece_make(stream_t *s, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    pki_buf_t    out;
    pki_code_t   code;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory for a piece of a stream");
    }
    pki_buf_init(&out, a, PIECE_MAX);
    code = s->make(s->arg, a, &out, &s->last, err);
    code = code == PKI_OK ? pki_buf_check(&out, "a piece of a stream", err) : code;
    code = code == PKI_OK ? piece_keep(s, pki_buf_bytes(&out), err) : code;
    pki_arena_free(a);
    return code;
}

/* ---- for the server ---- */

ssize_t
stream_read(stream_t *s, char *out, size_t max)
{
    streams_t *all = s->all;
    ssize_t    n = EVENTS_WAIT;

    pthread_mutex_lock(&all->lock);
    if (s->at < s->len) {
        size_t len = s->len - s->at < max ? s->len - s->at : max;

        memcpy(out, s->piece + s->at, len);
        s->at += len;
        n = (ssize_t) len;
    } else if (s->last) {
        n = EVENTS_END;
    } else if (s->failed || all->ending) {
        n = EVENTS_LOST;
    } else {
        s->next = NULL;
        *all->end = s;
        all->end = &s->next;
        all->io.suspend(s->r->connection);
        pthread_cond_signal(&all->wake);
    }
    pthread_mutex_unlock(&all->lock);
    return n;
}

void
stream_free(stream_t *s)
{
    if (s == NULL) {
        return;
    }
    pthread_mutex_lock(&s->all->lock);
    s->all->count--;
    pthread_mutex_unlock(&s->all->lock);
    free(s->piece);
    free(s);
}

static stream_t *
stream_new(streams_t *all)
{
    stream_t *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        return NULL;
    }
    pthread_mutex_lock(&all->lock);
    if (all->ending || all->count >= STREAMS_MAX) {
        free(s);
        s = NULL;
    } else {
        s->all = all;
        all->count++;
    }
    pthread_mutex_unlock(&all->lock);
    return s;
}

pki_code_t
stream_answer(req_t *r, const char *content_type, stream_make_pt make, void *arg, pki_err_t *err)
{
    stream_t *s = stream_new(r->api->streams);

    if (s == NULL) {
        r->retry_after_s = RETRY_S;
        return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "too many streams are being read");
    }
    s->r = r;
    s->make = make;
    s->arg = arg;
    r->stream = s; /* goes with the request, whatever happens */
    PKI_TRY(piece_make(s, err));
    return answer_octets(r, content_type, BYTES_LIT(""), err);
}

/* ---- the thread ---- */

/* The first in the line; NULL: at the end. */
static stream_t *
line_take(streams_t *all)
{
    stream_t *s;

    pthread_mutex_lock(&all->lock);
    while (all->first == NULL && !all->ending) {
        pthread_cond_wait(&all->wake, &all->lock);
    }
    s = all->ending ? NULL : all->first;
    if (s != NULL) {
        all->first = s->next;
        all->end = all->first == NULL ? &all->first : all->end;
    }
    pthread_mutex_unlock(&all->lock);
    return s;
}

/* Whoever may not have the rest any more does not get it. */
static void
stream_go_on(stream_t *s)
{
    pki_err_t  err = { 0 };
    pki_code_t code = PKI_E_FORBIDDEN;

    log_request_set(s->r->id);
    if (auth_holds(s->r)) {
        code = piece_make(s, &err);
    } else {
        (void) pki_fail(&err, code, NULL, "%s may not have the rest any more", s->r->identity.actor);
    }
    if (code != PKI_OK) {
        log_failure(LOG_WARN, "api.stream_cut", &err);
    }
    log_request_set(NULL);
    pthread_mutex_lock(&s->all->lock);
    s->failed = code != PKI_OK;
    s->last = s->last && !s->failed;
    s->all->io.resume(s->r->connection);
    pthread_mutex_unlock(&s->all->lock);
}

static void *
streams_thread(void *arg)
{
    streams_t *all = arg;
    stream_t  *s;

    prctl(PR_SET_NAME, "streams");
    while ((s = line_take(all)) != NULL) {
        stream_go_on(s);
    }
    return NULL;
}

pki_code_t
streams_open(const events_io_t *io, streams_t **out, pki_err_t *err)
{
    streams_t *all = calloc(1, sizeof(*all));

    if (all == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    all->io = *io;
    all->end = &all->first;
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->wake, NULL);
    all->running = pthread_create(&all->thread, NULL, streams_thread, all) == 0;
    if (!all->running) {
        streams_close(all);
        return pki_fail(err, PKI_E_NOMEM, NULL, "cannot start the thread of streams");
    }
    *out = all;
    return PKI_OK;
}

/* Those that stand in the line are let go, to find that there is no more. */
void
streams_end(streams_t *all)
{
    if (all == NULL || !all->running) {
        return;
    }
    pthread_mutex_lock(&all->lock);
    all->ending = true;
    pthread_cond_signal(&all->wake);
    pthread_mutex_unlock(&all->lock);
    pthread_join(all->thread, NULL);
    all->running = false;
    pthread_mutex_lock(&all->lock);
    for (stream_t *s = all->first, *next; s != NULL; s = next) {
        next = s->next;
        all->io.resume(s->r->connection);
    }
    all->first = NULL;
    all->end = &all->first;
    pthread_mutex_unlock(&all->lock);
}

void
streams_close(streams_t *all)
{
    if (all == NULL) {
        return;
    }
    streams_end(all);
    pthread_cond_destroy(&all->wake);
    pthread_mutex_destroy(&all->lock);
    free(all);
}
