/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Group commit: work that is dear for each turn and cheap for each item.  Of the callers that wait one serves all;
 * while it does, the next group gathers.  There is no thread of its own: a caller that is alone serves itself.
 */
#ifndef CORE_GROUP_H
#define CORE_GROUP_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>

/* The first member of a caller's own struct, on its stack. */
typedef struct group_job {
    struct group_job *next; /* in the list that run() gets */
    sem_t             served;
    bool              leads;
} group_job_t;

typedef struct {
    size_t max; /* jobs in one turn */
    void (*run)(void *arg, group_job_t *list); /* one turn; never two at a time */
    bool (*joins)(const group_job_t *list, const group_job_t *job); /* may job be in this turn?  NULL: always */
} group_ops_t;

typedef struct {
    const group_ops_t *ops;
    void              *arg;
    pthread_mutex_t    lock;
    group_job_t       *head, **tail; /* under lock, as busy */
    bool               busy;
} group_t;

void group_init(group_t *g, const group_ops_t *ops, void *arg);
void group_fini(group_t *g); /* no caller may be inside */

/* Returns when a turn with this job in it has ended.  Jobs are served in the order in which they came. */
void group_serve(group_t *g, group_job_t *job);

#endif
