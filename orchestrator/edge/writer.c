/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The writer thread (see writer.h): a queue of jobs that live on their callers' stacks, and group commit.
 */
#include "orchestrator/edge/writer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>

#define WRITER_BATCH 256 /* jobs in one commit: bounds what is repeated when one of them fails */

typedef struct writer_job {
    writer_pt          run;  /* either of the two */
    writer_swap_pt     swap;
    void              *arg;
    pki_err_t         *err;
    pki_code_t         code;
    bool               done;
    pthread_cond_t     finished;
    struct writer_job *next;
} writer_job_t;

struct writer {
    pthread_t       thread;
    pthread_mutex_t lock;
    pthread_cond_t  wanted;
    writer_job_t   *head, **tail; /* under lock, as stopping */
    bool            stopping;
    env_t          *env;          /* the thread's own */
    atomic_bool     damaged, has_env;
    atomic_ullong   statuses, commits;
};

/* One transaction around the jobs of a list; any failure leaves the store as it was. */
static int
batch_commit(writer_t *w, writer_job_t *list, bool *failed)
{
    MDB_txn *txn;
    uint64_t statuses;
    int      rc = mdb_txn_begin(w->env->env, NULL, 0, &txn);

    if (rc != 0) {
        return rc;
    }
    for (writer_job_t *job = list; job != NULL; job = job->next) {
        job->code = job->run(w->env, txn, job->arg, job->err);
        if (job->code != PKI_OK) {
            *failed = true;
            mdb_txn_abort(txn);
            return 0;
        }
    }
    statuses = env_status_count(w->env, txn);
    rc = mdb_txn_commit(txn);
    if (rc == 0) {
        atomic_store(&w->statuses, statuses);
        atomic_fetch_add(&w->commits, 1);
    }
    return rc;
}

static void
batch_fail(writer_t *w, writer_job_t *list, int rc)
{
    for (writer_job_t *job = list; job != NULL; job = job->next) {
        job->code = env_fail(w->env, rc, "commit", job->err);
    }
}

/* When one job of several fails, each gets a transaction of its own, so that only the bad one suffers. */
static void
batch_run(writer_t *w, writer_job_t *list)
{
    bool failed = false;
    int  rc = batch_commit(w, list, &failed);

    if (rc != 0) {
        batch_fail(w, list, rc);
        return;
    }
    if (!failed || list->next == NULL) {
        return;
    }
    for (writer_job_t *job = list, *next; job != NULL; job = next) {
        next = job->next;
        job->next = NULL;
        rc = batch_commit(w, job, &failed);
        if (rc != 0) {
            batch_fail(w, job, rc);
        }
        job->next = next;
    }
}

static void
swap_run(writer_t *w, writer_job_t *job)
{
    MDB_txn *txn;
    env_t   *before = w->env;

    job->code = job->swap(&w->env, job->arg, job->err);
    if (w->env != before) {
        atomic_store(&w->damaged, false);
    }
    atomic_store(&w->has_env, w->env != NULL);
    if (w->env != NULL && mdb_txn_begin(w->env->env, NULL, MDB_RDONLY, &txn) == 0) {
        atomic_store(&w->statuses, env_status_count(w->env, txn));
        mdb_txn_abort(txn);
    }
}

static void
list_run(writer_t *w, writer_job_t *list)
{
    if (list->swap != NULL) {
        swap_run(w, list);
    } else if (w->env != NULL) {
        batch_run(w, list);
        atomic_store(&w->damaged, w->env->damaged);
    } else {
        for (writer_job_t *job = list; job != NULL; job = job->next) {
            job->code = pki_fail(job->err, PKI_E_UNAVAILABLE, NULL, "the edge store is being rebuilt");
        }
    }
}

/* Take what waits: a swap alone, or writes up to the next swap.  Called with the lock held. */
static writer_job_t *
queue_take(writer_t *w)
{
    writer_job_t *list = w->head, *last = list;

    if (list == NULL) {
        return NULL;
    }
    for (size_t n = 1; list->swap == NULL && n < WRITER_BATCH && last->next != NULL && last->next->swap == NULL; n++) {
        last = last->next;
    }
    w->head = last->next;
    if (w->head == NULL) {
        w->tail = &w->head;
    }
    last->next = NULL;
    return list;
}

static void *
writer_thread(void *arg)
{
    writer_t *w = arg;

    (void) prctl(PR_SET_NAME, "edge-writer");
    pthread_mutex_lock(&w->lock);
    for (;;) {
        writer_job_t *list = queue_take(w);

        if (list == NULL) {
            if (w->stopping) {
                break;
            }
            pthread_cond_wait(&w->wanted, &w->lock);
            continue;
        }
        pthread_mutex_unlock(&w->lock);
        list_run(w, list);
        pthread_mutex_lock(&w->lock);
        for (writer_job_t *job = list, *next; job != NULL; job = next) {
            next = job->next; /* the job goes with its caller's stack once it is done */
            job->done = true;
            pthread_cond_signal(&job->finished);
        }
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static pki_code_t
job_wait(writer_t *w, writer_job_t *job)
{
    pthread_cond_init(&job->finished, NULL);
    pthread_mutex_lock(&w->lock);
    if (w->stopping) {
        job->code = pki_fail(job->err, PKI_E_UNAVAILABLE, NULL, "the edge store is closing");
        job->done = true;
    } else {
        *w->tail = job;
        w->tail = &job->next;
        pthread_cond_signal(&w->wanted);
    }
    while (!job->done) {
        pthread_cond_wait(&job->finished, &w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    pthread_cond_destroy(&job->finished);
    return job->code;
}

pki_code_t
writer_run(writer_t *w, writer_pt fn, void *arg, pki_err_t *err)
{
    writer_job_t job = { .run = fn, .arg = arg, .err = err };

    return job_wait(w, &job);
}

pki_code_t
writer_swap(writer_t *w, writer_swap_pt fn, void *arg, pki_err_t *err)
{
    writer_job_t job = { .swap = fn, .arg = arg, .err = err };

    return job_wait(w, &job);
}

bool
writer_damaged(writer_t *w)
{
    return atomic_load(&w->damaged);
}

bool
writer_has_env(writer_t *w)
{
    return atomic_load(&w->has_env);
}

uint64_t
writer_statuses(writer_t *w)
{
    return atomic_load(&w->statuses);
}

uint64_t
writer_commits(writer_t *w)
{
    return atomic_load(&w->commits);
}

pki_code_t
writer_open(writer_t **out, pki_err_t *err)
{
    writer_t *w = calloc(1, sizeof(*w));

    if (w == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wanted, NULL);
    w->tail = &w->head;
    if (pthread_create(&w->thread, NULL, writer_thread, w) != 0) {
        free(w);
        return pki_fail(err, PKI_E_INTERNAL, NULL, "the edge writer's thread does not start");
    }
    *out = w;
    return PKI_OK;
}

void
writer_close(writer_t *w, bool clean)
{
    if (w == NULL) {
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->wanted);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    env_close(w->env, clean);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->wanted);
    free(w);
}
