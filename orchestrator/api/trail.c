/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Audit rows on their way: a bounded list, and one thread that writes what has gathered in one
 * transaction.  While the database is away they wait here.
 */
#include "orchestrator/api/trail.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"

#define TRAIL_MAX     8192 /* events that wait */
#define TRAIL_BATCH   AUDIT_MANY
#define GATHER_MS     20 /* from the first event of a batch until it is written: more come, and a commit is for all */
#define ROOM_WAIT_MS  500
#define CLOSE_WAIT_US 2000000

typedef struct event {
    struct event *next;
    audit_t       audit; /* its strings follow the struct */
} event_t;

struct trail {
    db_t           *db;
    pthread_t       thread;
    pthread_mutex_t lock;
    pthread_cond_t  changed;
    event_t        *first, **last;
    uint64_t        put, done, lost; /* done counts lost ones, too */
    int64_t         lost_said_us, give_up_us; /* give_up_us 0: never */
    bool            closing, stuck; /* stuck: the last attempt failed */
    bool            gathering;      /* the thread does not look at single events */
    size_t          hurried;        /* who waits for what is written */
};

/* The strings of an audit_t, for copying. */
static const size_t texts[] = { offsetof(audit_t, actor),         offsetof(audit_t, actor_type),
                                offsetof(audit_t, action),        offsetof(audit_t, resource_type),
                                offsetof(audit_t, resource_id),   offsetof(audit_t, request_id),
                                offsetof(audit_t, source),        offsetof(audit_t, body_hash),
                                offsetof(audit_t, details) };
#define TEXTS (sizeof(texts) / sizeof(texts[0]))

static const char **
text_of(audit_t *a, size_t i)
{
    return (const char **) ((char *) a + texts[i]);
}

static void
deadline_of(int64_t wait_ms, struct timespec *out)
{
    clock_gettime(CLOCK_MONOTONIC, out);
    out->tv_sec += wait_ms / 1000;
    out->tv_nsec += wait_ms % 1000 * 1000000;
    if (out->tv_nsec >= 1000000000) {
        out->tv_sec++;
        out->tv_nsec -= 1000000000;
    }
}

static event_t *
event_copy(const audit_t *in)
{
    audit_t  from = *in;
    size_t   size = sizeof(event_t);
    event_t *e;
    char    *at;

    for (size_t i = 0; i < TEXTS; i++) {
        size += *text_of(&from, i) != NULL ? strlen(*text_of(&from, i)) + 1 : 0;
    }
    e = malloc(size);
    if (e == NULL) {
        return NULL;
    }
    e->next = NULL;
    e->audit = *in;
    at = (char *) (e + 1);
    for (size_t i = 0; i < TEXTS; i++) {
        const char **text = text_of(&e->audit, i);

        if (*text != NULL) {
            size_t len = strlen(*text) + 1;

            *text = memcpy(at, *text, len);
            at += len;
        }
    }
    return e;
}

static void
events_free(event_t *list)
{
    while (list != NULL) {
        event_t *next = list->next;

        free(list);
        list = next;
    }
}

/* With the lock held.  Said at most once a second: what is lost is in the log as calls. */
static void
trail_lose(trail_t *t, uint64_t count)
{
    int64_t now = clock_mono_us();

    t->lost += count;
    t->done += count;
    pthread_cond_broadcast(&t->changed);
    if (now - t->lost_said_us > 1000000) {
        t->lost_said_us = now;
        log_error("audit.lost", LOG_I("events", t->lost));
    }
}

/* With the lock held.  Others may be quicker to take the room that a batch made: the time counts from the last batch. */
static void
room_await(trail_t *t)
{
    struct timespec until;
    uint64_t        written = t->done - t->lost;
    int             rc = 0;

    deadline_of(ROOM_WAIT_MS, &until);
    while (t->put - t->done >= TRAIL_MAX && !t->stuck && rc == 0) {
        rc = pthread_cond_timedwait(&t->changed, &t->lock, &until);
        if (t->done - t->lost != written) {
            written = t->done - t->lost;
            deadline_of(ROOM_WAIT_MS, &until);
            rc = 0;
        }
    }
}

void
trail_put(trail_t *t, const audit_t *event, bool may_wait)
{
    event_t *e = event_copy(event);
    bool     wake = false;

    pthread_mutex_lock(&t->lock);
    if (may_wait) {
        room_await(t);
    }
    t->put++;
    if (e == NULL || t->put - t->done > TRAIL_MAX) {
        free(e);
        trail_lose(t, 1);
    } else {
        *t->last = e;
        t->last = &e->next;
        wake = !t->gathering || t->put - t->done == TRAIL_BATCH;
    }
    if (wake) {
        pthread_cond_broadcast(&t->changed);
    }
    pthread_mutex_unlock(&t->lock);
}

static pki_code_t
batch_insert(db_conn_t *c, void *arg, pki_err_t *err)
{
    const audit_t *events[TRAIL_BATCH];
    size_t         count = 0;

    for (event_t *e = arg; e != NULL && count < TRAIL_BATCH; e = e->next) {
        events[count++] = &e->audit;
    }
    return audit_write_many(c, events, count, err);
}

/* Write up to TRAIL_BATCH of a list; *rest is what follows.  PKI_OK when they need not be tried again. */
static pki_code_t
batch_write(trail_t *t, event_t *list, event_t **rest, uint64_t *written, uint64_t *lost)
{
    pki_err_t  err = { 0 };
    pki_code_t code = db_tx(t->db, batch_insert, list, &err);

    *rest = list;
    if (code == PKI_E_UNAVAILABLE || code == PKI_E_NOMEM || code == PKI_E_IO) {
        return code;
    }
    if (code != PKI_OK) {
        /* One of them is refused: each by itself, so that it alone is lost. */
        log_failure(LOG_ERROR, "audit.refused", &err);
    }
    for (size_t i = 0; *rest != NULL && i < TRAIL_BATCH; i++) {
        event_t *e = *rest;

        if (code != PKI_OK && audit_add(t->db, &e->audit, &err) != PKI_OK) {
            (*lost)++;
        } else {
            (*written)++;
        }
        *rest = e->next;
        free(e);
    }
    return PKI_OK;
}

/* With the lock held, and something there. */
static void
batch_await(trail_t *t)
{
    struct timespec until;
    int             rc = 0;

    deadline_of(GATHER_MS, &until);
    t->gathering = true;
    while (t->put - t->done < TRAIL_BATCH && t->hurried == 0 && !t->closing && rc == 0) {
        rc = pthread_cond_timedwait(&t->changed, &t->lock, &until);
    }
    t->gathering = false;
}

/* What waits, or NULL when the trail closes and nothing is left. */
static event_t *
trail_take(trail_t *t)
{
    event_t *list;

    pthread_mutex_lock(&t->lock);
    while (t->first == NULL && !t->closing) {
        pthread_cond_wait(&t->changed, &t->lock);
    }
    if (t->first != NULL) {
        batch_await(t);
    }
    list = t->first;
    t->first = NULL;
    t->last = &t->first;
    pthread_mutex_unlock(&t->lock);
    return list;
}

/* Account for a batch; false when it is time to give up. */
static bool
trail_settle(trail_t *t, pki_code_t code, uint64_t written, uint64_t lost)
{
    bool go_on;

    pthread_mutex_lock(&t->lock);
    t->done += written;
    t->stuck = code != PKI_OK;
    if (lost > 0) {
        trail_lose(t, lost);
    }
    pthread_cond_broadcast(&t->changed);
    go_on = code == PKI_OK || t->give_up_us == 0 || clock_mono_us() < t->give_up_us;
    pthread_mutex_unlock(&t->lock);
    return go_on;
}

static void *
trail_thread(void *arg)
{
    static const struct timespec pause = { 0, 200000000 };
    trail_t                     *t = arg;
    event_t                     *list;

    while ((list = trail_take(t)) != NULL) {
        while (list != NULL) {
            uint64_t   written = 0, lost = 0;
            pki_code_t code = batch_write(t, list, &list, &written, &lost);

            if (!trail_settle(t, code, written, lost)) {
                events_free(list);
                return NULL;
            }
            if (code != PKI_OK) {
                nanosleep(&pause, NULL);
            }
        }
    }
    return NULL;
}

void
trail_flush(trail_t *t, int64_t wait_ms)
{
    struct timespec until;
    uint64_t        mark;
    int             rc = 0;

    deadline_of(wait_ms, &until);
    pthread_mutex_lock(&t->lock);
    mark = t->put;
    t->hurried++;
    pthread_cond_broadcast(&t->changed);
    while (t->done < mark && rc == 0) {
        rc = pthread_cond_timedwait(&t->changed, &t->lock, &until);
    }
    t->hurried--;
    pthread_mutex_unlock(&t->lock);
}

void
trail_stats(trail_t *t, trail_stats_t *out)
{
    pthread_mutex_lock(&t->lock);
    out->waiting = t->put - t->done;
    out->lost = t->lost;
    out->written = t->done - t->lost;
    pthread_mutex_unlock(&t->lock);
}

pki_code_t
trail_open(db_t *db, trail_t **out, pki_err_t *err)
{
    trail_t           *t = calloc(1, sizeof(*t));
    pthread_condattr_t attr;

    if (t == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    t->db = db;
    t->last = &t->first;
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&t->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&t->thread, NULL, trail_thread, t) != 0) {
        pthread_cond_destroy(&t->changed);
        pthread_mutex_destroy(&t->lock);
        free(t);
        return pki_fail(err, PKI_E_NOMEM, NULL, "cannot start the audit thread");
    }
    *out = t;
    return PKI_OK;
}

void
trail_close(trail_t *t)
{
    if (t == NULL) {
        return;
    }
    pthread_mutex_lock(&t->lock);
    t->closing = true;
    t->give_up_us = clock_mono_us() + CLOSE_WAIT_US;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    events_free(t->first);
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    free(t);
}
