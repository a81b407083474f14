/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The queue of a batch: who leads, who is taken along, who is woken.
 */
#include "orchestrator/store/batch.h"

#include <errno.h>
#include <time.h>

#include "core/clock.h"

void
batch_init(batch_t *b)
{
    *b = (batch_t){ .last = 1 };
    b->tail = &b->head;
    pthread_mutex_init(&b->lock, NULL);
}

void
batch_free(batch_t *b)
{
    pthread_mutex_destroy(&b->lock);
}

static void
queue_add(batch_t *b, batch_item_t *item)
{
    item->next = NULL;
    *b->tail = item;
    b->tail = &item->next;
    b->waiting++;
    if (b->gathering != NULL && b->waiting + 1 >= b->last) {
        sem_post(&b->gathering->wake);
    }
}

/* Take an item out, given the link that leads to it. */
static void
queue_remove(batch_t *b, batch_item_t **link)
{
    batch_item_t *item = *link;

    *link = item->next;
    if (b->tail == &item->next) {
        b->tail = link;
    }
    b->waiting--;
}

static struct timespec
time_of(int64_t mono_us)
{
    return (struct timespec){ .tv_sec = mono_us / 1000000, .tv_nsec = mono_us % 1000000 * 1000 };
}

/* Called with the lock held: until as many are here as were in the last batch, or the moment is over. */
static void
queue_gather(batch_t *b, batch_item_t *leader)
{
    struct timespec until = time_of(clock_mono_us() + BATCH_GATHER_US);
    int             rc = 0;

    b->gathering = leader;
    while (b->waiting + 1 < b->last && rc == 0) {
        pthread_mutex_unlock(&b->lock);
        rc = sem_clockwait(&leader->wake, CLOCK_MONOTONIC, &until);
        pthread_mutex_lock(&b->lock);
    }
    b->gathering = NULL;
}

/* The leader itself, which is in no queue any more, and as many as fit, in their order. */
static size_t
queue_take(batch_t *b, const batch_ops_t *ops, batch_item_t *leader, batch_item_t **taken)
{
    size_t         count = 1;
    batch_item_t **link = &b->head;

    taken[0] = leader;
    while (*link != NULL && count < BATCH_MAX) {
        batch_item_t *item = *link;

        if (ops->fits((const batch_item_t *const *) taken, count, item)) {
            queue_remove(b, link);
            item->state = BATCH_TAKEN;
            taken[count++] = item;
        } else {
            link = &item->next;
        }
    }
    return count;
}

typedef struct {
    const batch_ops_t *ops;
    batch_item_t     **items;
    size_t             count;
} run_t;

static pki_code_t
items_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    run_t *r = arg;

    return r->ops->run(c, r->items, r->count, err);
}

static void
batch_run(db_t *db, int64_t deadline_us, const batch_ops_t *ops, batch_item_t **items, size_t count)
{
    run_t      r = { ops, items, count };
    pki_err_t  err;
    pki_code_t rc = db_run_by(db, deadline_us, items_run, &r, &err);

    if (rc != PKI_OK && rc != PKI_E_UNAVAILABLE && count > 1) {
        for (size_t i = 0; i < count; i++) {
            batch_run(db, deadline_us, ops, &items[i], 1);
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        items[i]->rc = rc;
        if (rc != PKI_OK) {
            items[i]->err = err;
        }
    }
}

/* With the lock held: the head of the queue leads next. */
static batch_item_t *
queue_promote(batch_t *b)
{
    batch_item_t *next = b->head;

    b->busy = next != NULL;
    if (next != NULL) {
        queue_remove(b, &b->head);
        next->state = BATCH_LEADING;
    }
    return next;
}

/*
 * Run a batch, hand the lead on, and wake those in it.  Nobody is woken under the lock, and who is woken does not
 * need it: otherwise they would queue for it one after the other.
 */
static void
batch_lead(db_t *db, batch_t *b, const batch_ops_t *ops, batch_item_t *self, int64_t deadline_us)
{
    batch_item_t *taken[BATCH_MAX], *next;
    size_t        count;

    pthread_mutex_lock(&b->lock);
    queue_gather(b, self);
    count = queue_take(b, ops, self, taken);
    b->last = count;
    pthread_mutex_unlock(&b->lock);

    batch_run(db, deadline_us, ops, taken, count);

    pthread_mutex_lock(&b->lock);
    next = queue_promote(b);
    pthread_mutex_unlock(&b->lock);
    if (next != NULL) {
        sem_post(&next->wake);
    }
    for (size_t i = 1; i < count; i++) {
        sem_post(&taken[i]->wake); /* and it is gone */
    }
}

/* Out of the queue again, unless somebody has taken it meanwhile. */
static bool
batch_withdraw(batch_t *b, batch_item_t *self)
{
    batch_item_t **link;
    bool           waiting;

    pthread_mutex_lock(&b->lock);
    waiting = self->state == BATCH_WAITING;
    if (waiting) {
        for (link = &b->head; *link != self; link = &(*link)->next) {
        }
        queue_remove(b, link);
        self->rc = pki_fail(&self->err, PKI_E_UNAVAILABLE, NULL, "the database did not answer in time");
    }
    pthread_mutex_unlock(&b->lock);
    return waiting;
}

/* Until it leads, is done, or has waited long enough. */
static void
batch_wait(batch_t *b, batch_item_t *self, int64_t deadline_us)
{
    struct timespec until = time_of(deadline_us);
    int             rc;

    do {
        rc = sem_clockwait(&self->wake, CLOCK_MONOTONIC, &until);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0 && !batch_withdraw(b, self)) {
        while (sem_wait(&self->wake) != 0) { /* its leader has a deadline, too */
        }
    }
}

pki_code_t
batch_call(db_t *db, batch_kind_t kind, const batch_ops_t *ops, const void *in, void *out, pki_arena_t *a,
           pki_err_t *err)
{
    batch_t     *b = db_batch(db, kind);
    batch_item_t self = { .in = in, .out = out, .a = a };
    int64_t      deadline_us = db_deadline(db);
    bool         leads;

    sem_init(&self.wake, 0, 0);
    pthread_mutex_lock(&b->lock);
    leads = !b->busy;
    b->busy = true;
    if (!leads) {
        queue_add(b, &self);
    }
    pthread_mutex_unlock(&b->lock);
    if (!leads) {
        batch_wait(b, &self, deadline_us);
    }
    if (leads || self.state == BATCH_LEADING) {
        batch_lead(db, b, ops, &self, deadline_us);
    }
    sem_destroy(&self.wake);
    if (self.rc != PKI_OK && err != NULL) {
        *err = self.err;
    }
    return self.rc;
}
