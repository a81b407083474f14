/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Group commit among callers (see group.h).  The leader's job is always the first of the list: it either found
 * nobody waiting, or was handed the lead as the head of the queue.
 */
#include "core/group.h"

void
group_init(group_t *g, const group_ops_t *ops, void *arg)
{
    *g = (group_t){ .ops = ops, .arg = arg };
    g->tail = &g->head;
    pthread_mutex_init(&g->lock, NULL);
}

void
group_fini(group_t *g)
{
    pthread_mutex_destroy(&g->lock);
}

/* What one turn takes, with the lock held. */
static group_job_t *
group_take(group_t *g)
{
    group_job_t *list = g->head, *last = list;

    for (size_t n = 1; n < g->ops->max && last->next != NULL; n++) {
        group_job_t *job = last->next;

        /* joins() sees the list as it would be without the job. */
        last->next = NULL;
        if (g->ops->joins != NULL && !g->ops->joins(list, job)) {
            last->next = job;
            break;
        }
        last->next = job;
        last = job;
    }
    g->head = last->next;
    if (g->head == NULL) {
        g->tail = &g->head;
    }
    last->next = NULL;
    return list;
}

static void
group_lead(group_t *g, group_job_t *own)
{
    group_job_t *list, *next;

    pthread_mutex_lock(&g->lock);
    list = group_take(g);
    pthread_mutex_unlock(&g->lock);

    g->ops->run(g->arg, list);

    /* The next group first: it has waited, and what follows takes time. */
    pthread_mutex_lock(&g->lock);
    next = g->head;
    g->busy = next != NULL;
    if (next != NULL) {
        next->leads = true;
    }
    pthread_mutex_unlock(&g->lock);
    if (next != NULL) {
        sem_post(&next->served);
    }
    for (group_job_t *job = list, *after; job != NULL; job = after) {
        after = job->next; /* a job goes with its caller's stack once it is served */
        if (job != own) {
            sem_post(&job->served);
        }
    }
}

void
group_serve(group_t *g, group_job_t *job)
{
    bool waits;

    job->next = NULL;
    job->leads = false;
    sem_init(&job->served, 0, 0);

    pthread_mutex_lock(&g->lock);
    *g->tail = job;
    g->tail = &job->next;
    waits = g->busy;
    g->busy = true;
    pthread_mutex_unlock(&g->lock);

    while (waits && sem_wait(&job->served) != 0) {
    }
    if (!waits || job->leads) {
        group_lead(g, job);
    }
    sem_destroy(&job->served);
}
