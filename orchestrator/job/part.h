/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this folder share.
 *
 *   runner.c       workers: claim, run, finish; opening and closing
 *   clock.c        leases, renewals that are due, jobs that nobody will finish
 *   types.c        the table of list.inc; back-off
 *   criteria.c     what bulk calls and bulk jobs take
 *   bulk_revoke.c, bulk_renew.c, renewal.c   one type each
 */
#ifndef ORCHESTRATOR_JOB_PART_H
#define ORCHESTRATOR_JOB_PART_H

#include <pthread.h>

#include "orchestrator/job/job.h"

#define JOB_TYPES_MAX  32
#define JOB_ID_MAX     64
#define JOB_LOSSES_MAX 10 /* workers that may die with a job, one after the other, without any progress */

/* One job in the hands of one worker. */
struct job_run {
    jobs_t      *jobs;
    pki_arena_t *a;
    job_claim_t  claim;
    bool         again;   /* it is not over: go on in wait_ms */
    int64_t      wait_ms;
    atomic_bool *stop;
};

/* Asked between steps: whoever says that a job is `again` when this is true gives it back at once. */
bool job_stopping(const job_run_t *run);

/* A worker and what it has; the clock looks at it, too. */
typedef struct {
    jobs_t           *jobs;
    pthread_t         thread;
    const job_type_t *type; /* NULL: idle; under the lock, as the next ones */
    char              id[JOB_ID_MAX];
    int64_t           no, fence, kept_us, timeout_us;
    atomic_bool       stop; /* its lease is lost, its time is up, or all is ending */
} worker_t;

typedef struct {
    atomic_ullong bucket[JOB_BUCKETS + 1], sum_us, completed, failed, retried, lost;
} type_figures_t;

struct jobs {
    job_parts_t     parts;
    pthread_mutex_t lock;
    pthread_cond_t  wake;      /* of workers; monotonic clock, as the next one */
    pthread_cond_t  clock_wake;
    pthread_t       clock;
    worker_t       *workers;
    size_t          worker_count;
    uint64_t        news;      /* grows with each jobs_wake() */
    size_t          running[JOB_TYPES_MAX];
    bool            draining, closing;
    type_figures_t  figures[JOB_TYPES_MAX];
    _Atomic int64_t looked_us, backlog; /* of the clock; monotonic, 0: never */
};

void *clock_thread(void *jobs);
void *worker_thread(void *worker);

#endif
