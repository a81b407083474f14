/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A ring under one lock, with worker threads: first come, first served.
 */
#include "orchestrator/api/queue.h"

#include <pthread.h>
#include <stdlib.h>

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t  filled;
    void          **ring;
    size_t          depth, head, count;
    bool            closing;
    queue_work_pt   fn;
    void           *arg;
    pthread_t      *threads;
    size_t          thread_count;
};

static void *
queue_take(queue_t *q)
{
    void *item = NULL;

    pthread_mutex_lock(&q->lock);
    while (q->count == 0 && !q->closing) {
        pthread_cond_wait(&q->filled, &q->lock);
    }
    if (q->count > 0) {
        item = q->ring[q->head];
        q->head = (q->head + 1) % q->depth;
        q->count--;
    }
    pthread_mutex_unlock(&q->lock);
    return item;
}

static void *
queue_worker(void *arg)
{
    queue_t *q = arg;
    void    *item;

    while ((item = queue_take(q)) != NULL) {
        q->fn(item, q->arg);
    }
    return NULL;
}

bool
queue_put(queue_t *q, void *item)
{
    bool taken = false;

    pthread_mutex_lock(&q->lock);
    if (q->count < q->depth && !q->closing) {
        q->ring[(q->head + q->count++) % q->depth] = item;
        taken = true;
    }
    pthread_mutex_unlock(&q->lock);
    if (taken) {
        pthread_cond_signal(&q->filled); /* after the lock, which the worker needs at once */
    }
    return taken;
}

size_t
queue_length(queue_t *q)
{
    size_t count;

    pthread_mutex_lock(&q->lock);
    count = q->count;
    pthread_mutex_unlock(&q->lock);
    return count;
}

void
queue_stop(queue_t *q)
{
    if (q == NULL) {
        return;
    }
    pthread_mutex_lock(&q->lock);
    q->closing = true;
    pthread_cond_broadcast(&q->filled);
    pthread_mutex_unlock(&q->lock);
    for (; q->thread_count > 0; q->thread_count--) {
        pthread_join(q->threads[q->thread_count - 1], NULL);
    }
}

void
queue_free(queue_t *q)
{
    if (q == NULL) {
        return;
    }
    pthread_cond_destroy(&q->filled);
    pthread_mutex_destroy(&q->lock);
    free(q->threads);
    free(q->ring);
    free(q);
}

pki_code_t
queue_open(size_t workers, size_t depth, queue_work_pt fn, void *arg, queue_t **out, pki_err_t *err)
{
    queue_t *q = calloc(1, sizeof(*q));

    if (q == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->filled, NULL);
    q->depth = depth;
    q->fn = fn;
    q->arg = arg;
    q->ring = calloc(depth, sizeof(*q->ring));
    q->threads = calloc(workers, sizeof(*q->threads));
    while (q->ring != NULL && q->threads != NULL && q->thread_count < workers
           && pthread_create(&q->threads[q->thread_count], NULL, queue_worker, q) == 0) {
        q->thread_count++;
    }
    if (q->thread_count < workers) {
        queue_stop(q);
        queue_free(q);
        return pki_fail(err, PKI_E_NOMEM, NULL, "cannot start %zu worker threads", workers);
    }
    *out = q;
    return PKI_OK;
}
