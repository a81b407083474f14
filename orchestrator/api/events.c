/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Listeners and the thread that serves them.  Everybody who has caught up gets what one look at the database finds;
 * somebody who resumes from further back is served alone until then.  Rights are looked at again every second.
 */
#include "orchestrator/api/events.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/event.h"

#define TICK_US     200000
#define CHECK_US    1000000
#define BEAT_US     15000000
#define PENDING_MAX (256u << 10) /* octets that wait for a listener */
#define PENDING_LOW (PENDING_MAX / 4) /* with less, there is room for a whole batch */
#define SLOW_US     10000000     /* whoever takes none of them for so long is dropped; he may resume */
#define BATCH       200          /* events of one look */
#define SAMPLES     64
#define ID_SLACK    2000         /* a number is taken a moment before its transaction's is */
#define RETRY_S     10
#define RESUME_MAX  100000       /* events back; whoever was away for longer reads the audit */

struct listener {
    listener_t      *next;
    events_t        *events;
    req_t           *r; /* the request, which lives as long as its connection, or until this thread lets it go */
    const str_list_t *types;
    event_position_t at;
    int64_t          floor;
    bool             behind;  /* served alone */
    bool             waiting; /* its connection is suspended */
    bool             ended, lost;
    bool             busy, gone; /* this thread looks at it; its connection has ended meanwhile */
    int64_t          beat_us, checked_us, taken_us; /* taken_us: when octets went out, or began to wait */
    char            *pending;
    size_t           len, cap;
};

struct events {
    api_t          *api;
    events_io_t     io;
    pthread_mutex_t lock;
    pthread_cond_t  wake;
    pthread_t       thread;
    bool            running, ending, stopping;
    listener_t     *first;
    size_t          count;
    uint64_t        dropped;
    str_list_t      reads; /* actions that change nothing */

    /* Of the thread: heads that it has seen, and an id that no event to come is below. */
    event_head_t sample[SAMPLES];
    size_t       sample_count;
    int64_t      floor;
};

/* ---- a listener's octets ---- */

static void
listener_end(listener_t *l, bool lost)
{
    l->ended = true;
    l->lost = l->lost || lost;
    if (lost) {
        l->events->io.drop(l->r->connection);
    }
    if (l->waiting) {
        l->waiting = false;
        l->events->io.resume(l->r->connection);
    }
}

static bool
pending_reserve(listener_t *l, size_t more)
{
    size_t cap = l->cap == 0 ? 4096 : l->cap;
    char  *p;

    while (cap < l->len + more) {
        cap *= 2;
    }
    if (cap == l->cap) {
        return true;
    }
    p = cap <= PENDING_MAX ? realloc(l->pending, cap) : NULL;
    if (p == NULL) {
        return false;
    }
    l->pending = p;
    l->cap = cap;
    return true;
}

static void
listener_put(listener_t *l, const char *text, size_t len)
{
    if (l->ended) {
        return;
    }
    if (!pending_reserve(l, len)) {
        l->events->dropped++;
        listener_end(l, true);
        return;
    }
    l->taken_us = l->len == 0 ? clock_mono_us() : l->taken_us;
    memcpy(l->pending + l->len, text, len);
    l->len += len;
    l->beat_us = clock_mono_us();
    if (l->waiting) {
        l->waiting = false;
        l->events->io.resume(l->r->connection);
    }
}

ssize_t
events_read(listener_t *l, char *out, size_t max)
{
    events_t *e = l->events;
    ssize_t   n = EVENTS_WAIT;

    pthread_mutex_lock(&e->lock);
    if (l->lost) {
        n = EVENTS_LOST;
    } else if (l->len > 0) {
        size_t len = l->len < max ? l->len : max;

        memcpy(out, l->pending, len);
        memmove(l->pending, l->pending + len, l->len - len);
        l->len -= len;
        l->taken_us = clock_mono_us();
        n = (ssize_t) len;
    } else if (l->ended || e->ending) {
        n = EVENTS_END;
    } else {
        l->waiting = true;
        e->io.suspend(l->r->connection);
    }
    pthread_mutex_unlock(&e->lock);
    return n;
}

/* ---- coming and going ---- */

static void
listener_free(listener_t *l)
{
    free(l->pending);
    free(l);
}

bool
events_leave(listener_t *l)
{
    events_t *e = l->events;
    bool      free_now;

    pthread_mutex_lock(&e->lock);
    free_now = !l->busy;
    l->gone = true;
    l->waiting = false;
    for (listener_t **at = &e->first; *at != NULL && free_now; at = &(*at)->next) {
        if (*at == l) {
            *at = l->next;
            e->count--;
            break;
        }
    }
    pthread_mutex_unlock(&e->lock);
    if (free_now) {
        listener_free(l);
    }
    return free_now;
}

void
events_count(events_t *e, size_t *listeners, uint64_t *dropped)
{
    pthread_mutex_lock(&e->lock);
    *listeners = e->count;
    *dropped = e->dropped;
    pthread_mutex_unlock(&e->lock);
}

typedef struct {
    str_list_t type;
} events_query_t;

/* clang-format off */
static const field_t events_query_fields[] = {
    FIELD_STRS(events_query_t, type, 0, NULL, "kinds of things to hear of, separated by commas: certificate, issuer, ...; absent: all"),
    FIELD_END };
/* clang-format on */

const shape_t shape_events_query = SHAPE("EventsQuery", events_query_t, events_query_fields);

/* Up to 18 digits. */
static bool
number_take(const char **at, uint64_t *out)
{
    size_t digits = strspn(*at, "0123456789");

    *out = 0;
    for (size_t i = 0; i < digits && digits <= 18; i++) {
        *out = *out * 10 + (uint64_t) ((*at)[i] - '0');
    }
    *at += digits;
    return digits > 0 && digits <= 18;
}

/* "1234-567", as an earlier stream sent it; absent or empty: from now on. */
static pki_code_t
position_parse(req_t *r, event_position_t *out, pki_err_t *err)
{
    const char *at = r->last_event_id;
    uint64_t    xid, id;

    *out = (event_position_t){ 0 };
    if (at == NULL || *at == '\0') {
        return PKI_OK;
    }
    if (!number_take(&at, &xid) || *at++ != '-' || !number_take(&at, &id) || *at != '\0') {
        check_problem(r, "Last-Event-ID", "is not an id of these events");
        return check_done(r, err);
    }
    *out = (event_position_t){ xid, (int64_t) id };
    return PKI_OK;
}

static pki_code_t
position_find(req_t *r, listener_t *l, pki_err_t *err)
{
    db_t        *db = r->api->parts.db;
    event_head_t head;

    PKI_TRY(event_head(db, &head, err));
    if (l->at.xid != 0 && head.last_id - l->at.id > RESUME_MAX) {
        check_problem(r, "Last-Event-ID", "is more than %d events back: read the audit", RESUME_MAX);
        return check_done(r, err);
    }
    PKI_TRY(event_floor(db, l->at.id, &l->floor, err));
    /* An id that is ahead of the database is of another one: from now on. */
    if (l->at.xid == 0 || l->at.xid >= head.xmax) {
        l->at = (event_position_t){ head.xmin, 0 };
    }
    l->behind = true;
    return PKI_OK;
}

static pki_code_t
listener_add(events_t *e, listener_t *l, pki_err_t *err)
{
    size_t     max = (size_t) e->api->parts.conf->listen.event_listeners;
    pki_code_t code = PKI_OK;

    pthread_mutex_lock(&e->lock);
    if (e->ending || e->count >= max) {
        l->r->retry_after_s = RETRY_S;
        code = pki_fail(err, PKI_E_UNAVAILABLE, NULL, "%zu callers listen already", e->count);
    } else {
        l->next = e->first;
        e->first = l;
        e->count++;
        pthread_cond_signal(&e->wake);
    }
    pthread_mutex_unlock(&e->lock);
    return code;
}

pki_code_t
events_stream(req_t *r, pki_err_t *err)
{
    static const char     hello[] = "retry: 2000\n: listening\n\n";
    const events_query_t *query = r->query;
    listener_t           *l = calloc(1, sizeof(*l));
    pki_code_t            code;

    if (l == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    *l = (listener_t){ .events = r->api->events, .r = r, .types = &query->type, .checked_us = clock_mono_us() };
    code = position_parse(r, &l->at, err);
    if (code == PKI_OK) {
        code = position_find(r, l, err);
    }
    if (code == PKI_OK) {
        listener_put(l, hello, sizeof(hello) - 1);
        code = listener_add(r->api->events, l, err);
    }
    if (code != PKI_OK) {
        listener_free(l);
        return code;
    }
    r->listener = l;
    return answer_octets(r, "text/event-stream", BYTES_LIT(""), err);
}

/* ---- the thread: what has changed ---- */

static bool
types_have(const str_list_t *types, const char *type)
{
    for (size_t i = 0; i < types->count; i++) {
        if (strcmp(types->v[i], type) == 0) {
            return true;
        }
    }
    return types->count == 0;
}

static void
listener_tell(listener_t *l, const event_t *event)
{
    char head[160];
    int  n = snprintf(head, sizeof(head), "id: %llu-%lld\nevent: %.80s\ndata: ", (unsigned long long) event->at.xid,
                      (long long) event->at.id, event->action);

    if (!event_after(event->at, l->at)) {
        return;
    }
    l->at = event->at;
    if (types_have(l->types, event->type)) {
        listener_put(l, head, (size_t) n);
        listener_put(l, event->data, strlen(event->data));
        listener_put(l, "\n\n", 2);
    }
}

/*
 * All before this head has been told.  What is to come began after the heads before it, and has ids after theirs: so far
 * back one has to look, and no further.
 */
static void
floor_raise(events_t *e, const event_head_t *head)
{
    for (size_t i = 0; i < e->sample_count; i++) {
        int64_t floor = e->sample[i].last_id - ID_SLACK;

        if (e->sample[i].xmax <= head->xmin && floor > e->floor) {
            e->floor = floor;
        }
    }
    if (e->sample_count == SAMPLES) {
        memmove(&e->sample[0], &e->sample[1], (SAMPLES - 1) * sizeof(e->sample[0]));
        e->sample_count--;
    }
    e->sample[e->sample_count++] = *head;
}

/* The one that is served alone in this turn, or the least position of all the others. */
static listener_t *
turn_pick(events_t *e, bool alone, event_query_t *q)
{
    listener_t *found = NULL;

    for (listener_t *l = e->first; l != NULL; l = l->next) {
        bool mine = l->behind == alone && !l->ended && !l->gone && (!alone || l->len < PENDING_LOW);

        if (mine && (found == NULL || event_after(found->at, l->at))) {
            found = l;
            q->after = l->at;
            q->floor = alone ? l->floor : e->floor;
        }
    }
    if (found != NULL) {
        found->busy = alone;
    }
    return found;
}

static void
turn_give(events_t *e, listener_t *alone, const event_query_t *q, const event_t *found, size_t count)
{
    for (listener_t *l = e->first; l != NULL; l = l->next) {
        if (alone != NULL ? l != alone : l->behind) {
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            listener_tell(l, &found[i]);
        }
        if (count < q->max) {
            event_position_t all = { q->before, 0 };

            l->at = event_after(all, l->at) ? all : l->at;
        }
        /* Whoever cannot take so much at once is served at his own pace. */
        l->floor = alone == NULL ? q->floor : l->floor;
        l->behind = l->len >= PENDING_LOW || (alone != NULL && count == q->max);
    }
}

static void listener_let_go(events_t *e, listener_t *l);

/* One look at the database, for one or for all others; what it finds may be no more than a part. */
static pki_code_t
turn_run(events_t *e, bool alone, uint64_t before, bool *more, pki_err_t *err)
{
    event_query_t q = { .before = before, .without = &e->reads, .max = BATCH };
    pki_arena_t  *a = pki_arena_new(0);
    listener_t   *l;
    event_t      *found = NULL;
    size_t        count = 0;
    pki_code_t    code;

    pthread_mutex_lock(&e->lock);
    l = a != NULL ? turn_pick(e, alone, &q) : NULL;
    pthread_mutex_unlock(&e->lock);
    *more = false;
    if (l == NULL) {
        pki_arena_free(a);
        return PKI_OK;
    }
    code = event_next(e->api->parts.db, a, &q, &found, &count, err);
    pthread_mutex_lock(&e->lock);
    if (code == PKI_OK) {
        turn_give(e, alone ? l : NULL, &q, found, count);
        *more = alone || count == q.max;
    }
    pthread_mutex_unlock(&e->lock);
    if (alone) {
        listener_let_go(e, l);
    }
    pki_arena_free(a);
    return code;
}

static pki_code_t
changes_tell(events_t *e, pki_err_t *err)
{
    event_head_t head;
    bool         more = true;

    PKI_TRY(event_head(e->api->parts.db, &head, err));
    if (e->sample_count == 0) {
        PKI_TRY(event_floor(e->api->parts.db, 0, &e->floor, err));
    }
    /* Somebody who is far behind waits between his batches until he has taken them. */
    for (size_t i = 0; i < BATCH && more; i++) {
        PKI_TRY(turn_run(e, true, head.xmin, &more, err));
    }
    more = true;
    while (more) {
        PKI_TRY(turn_run(e, false, head.xmin, &more, err));
    }
    floor_raise(e, &head);
    return PKI_OK;
}

/* ---- the thread: who may still listen ---- */

/* Whoever was gone while we looked is freed here. */
static void
listener_let_go(events_t *e, listener_t *l)
{
    req_t *r = NULL;

    pthread_mutex_lock(&e->lock);
    l->busy = false;
    if (l->gone) {
        r = l->r;
    }
    pthread_mutex_unlock(&e->lock);
    if (r != NULL) {
        request_free(r);
    }
}

static listener_t *
check_pick(events_t *e, int64_t now_us)
{
    listener_t *l;

    pthread_mutex_lock(&e->lock);
    for (l = e->first; l != NULL && (l->ended || l->gone || now_us - l->checked_us < CHECK_US); l = l->next) {
    }
    if (l != NULL) {
        l->busy = true;
        l->checked_us = now_us;
    }
    pthread_mutex_unlock(&e->lock);
    return l;
}

static void
rights_check(events_t *e)
{
    int64_t     now_us = clock_mono_us();
    listener_t *l;

    while ((l = check_pick(e, now_us)) != NULL) {
        bool allowed = auth_holds(l->r);

        pthread_mutex_lock(&e->lock);
        if (!allowed && !l->gone) {
            listener_end(l, true);
        }
        pthread_mutex_unlock(&e->lock);
        listener_let_go(e, l);
    }
}

/* Comments to those who have heard nothing for long; the end of those who take nothing. */
static void
hearts_beat(events_t *e)
{
    int64_t now_us = clock_mono_us();

    pthread_mutex_lock(&e->lock);
    for (listener_t *l = e->first; l != NULL; l = l->next) {
        if (!l->gone && !l->ended && l->len > 0 && now_us - l->taken_us >= SLOW_US) {
            e->dropped++;
            listener_end(l, true);
        } else if (!l->gone && now_us - l->beat_us >= BEAT_US) {
            listener_put(l, ":\n\n", 3);
        }
    }
    pthread_mutex_unlock(&e->lock);
}

/* Until there is somebody; then a moment. */
static bool
events_wait(events_t *e)
{
    struct timespec until;
    bool            going;

    pthread_mutex_lock(&e->lock);
    while (e->first == NULL && !e->stopping) {
        e->sample_count = 0;
        pthread_cond_wait(&e->wake, &e->lock);
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TICK_US * 1000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (!e->stopping && pthread_cond_timedwait(&e->wake, &e->lock, &until) == 0) {
    }
    going = !e->stopping;
    pthread_mutex_unlock(&e->lock);
    return going;
}

static void *
events_thread(void *arg)
{
    events_t *e = arg;
    pki_err_t err;
    bool      failing = false;

    prctl(PR_SET_NAME, "events");
    while (events_wait(e)) {
        pki_code_t code;

        rights_check(e);
        err = (pki_err_t){ 0 };
        code = changes_tell(e, &err);
        if (code != PKI_OK && !failing) {
            log_failure(LOG_WARN, "api.events", &err);
        }
        failing = code != PKI_OK;
        hearts_beat(e);
    }
    return NULL;
}

/* ---- the whole ---- */

/* What a call that only reads is called in the audit. */
static pki_code_t
reads_list(events_t *e, pki_err_t *err)
{
    const route_t *route;

    e->reads.v = calloc(route_count() + 1, sizeof(*e->reads.v));
    if (e->reads.v == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    for (size_t i = 0; (route = route_at(i)) != NULL; i++) {
        if (route->audit == AUDIT_READ) {
            e->reads.v[e->reads.count++] = route->action;
        }
    }
    return PKI_OK;
}

pki_code_t
events_open(api_t *api, const events_io_t *io, events_t **out, pki_err_t *err)
{
    events_t          *e = calloc(1, sizeof(*e));
    pthread_condattr_t clock;
    pki_code_t         code;

    if (e == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    e->api = api;
    e->io = *io;
    pthread_mutex_init(&e->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&e->wake, &clock);
    pthread_condattr_destroy(&clock);
    code = reads_list(e, err);
    e->running = code == PKI_OK && pthread_create(&e->thread, NULL, events_thread, e) == 0;
    if (!e->running) {
        events_close(e);
        return code != PKI_OK ? code : pki_fail(err, PKI_E_NOMEM, NULL, "cannot start the thread of events");
    }
    *out = e;
    return PKI_OK;
}

void
events_end(events_t *e)
{
    if (e == NULL) {
        return;
    }
    pthread_mutex_lock(&e->lock);
    e->ending = true;
    for (listener_t *l = e->first; l != NULL; l = l->next) {
        if (!l->gone) {
            listener_end(l, false);
        }
    }
    pthread_mutex_unlock(&e->lock);
}

void
events_close(events_t *e)
{
    if (e == NULL) {
        return;
    }
    if (e->running) {
        pthread_mutex_lock(&e->lock);
        e->stopping = true;
        pthread_cond_signal(&e->wake);
        pthread_mutex_unlock(&e->lock);
        pthread_join(e->thread, NULL);
    }
    pthread_cond_destroy(&e->wake);
    pthread_mutex_destroy(&e->lock);
    free(e->reads.v);
    free(e);
}
