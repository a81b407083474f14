/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Writing the edge store (see writer.h).  LMDB wants a write transaction to stay in one thread: a turn of the
 * group does.
 */
#include "orchestrator/edge/writer.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "core/group.h"

#define WRITER_BATCH 256 /* jobs in one commit: bounds what is repeated when one of them fails */

typedef struct writer_job {
    group_job_t    group; /* first */
    writer_pt      run;   /* either of the two */
    writer_swap_pt swap;
    void          *arg;
    pki_err_t     *err;
    pki_code_t     code;
} writer_job_t;

struct writer {
    group_t       group;
    env_t        *env; /* of whoever leads the group */
    atomic_bool   damaged, has_env;
    atomic_ullong statuses;
};

static writer_job_t *
job_of(group_job_t *job)
{
    return (writer_job_t *) (void *) job;
}

static writer_job_t *
job_next(writer_job_t *job)
{
    return job_of(job->group.next);
}

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
    for (writer_job_t *job = list; job != NULL; job = job_next(job)) {
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
    }
    return rc;
}

static void
batch_fail(writer_t *w, writer_job_t *list, int rc)
{
    for (writer_job_t *job = list; job != NULL; job = job_next(job)) {
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
    if (!failed || list->group.next == NULL) {
        return;
    }
    for (writer_job_t *job = list; job != NULL; job = job_next(job)) {
        group_job_t *next = job->group.next;

        job->group.next = NULL;
        rc = batch_commit(w, job, &failed);
        if (rc != 0) {
            batch_fail(w, job, rc);
        }
        job->group.next = next;
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
turn_run(void *arg, group_job_t *first)
{
    writer_t     *w = arg;
    writer_job_t *list = job_of(first);

    if (list->swap != NULL) {
        swap_run(w, list);
    } else if (w->env != NULL) {
        batch_run(w, list);
        atomic_store(&w->damaged, w->env->damaged);
    } else {
        for (writer_job_t *job = list; job != NULL; job = job_next(job)) {
            job->code = pki_fail(job->err, PKI_E_UNAVAILABLE, NULL, "the edge store is being rebuilt");
        }
    }
}

/* A swap has its turn to itself. */
static bool
turn_joins(const group_job_t *list, const group_job_t *job)
{
    return ((const writer_job_t *) (const void *) list)->swap == NULL &&
           ((const writer_job_t *) (const void *) job)->swap == NULL;
}

static const group_ops_t writer_ops = { .max = WRITER_BATCH, .run = turn_run, .joins = turn_joins };

pki_code_t
writer_run(writer_t *w, writer_pt fn, void *arg, pki_err_t *err)
{
    writer_job_t job = { .run = fn, .arg = arg, .err = err };

    group_serve(&w->group, &job.group);
    return job.code;
}

pki_code_t
writer_swap(writer_t *w, writer_swap_pt fn, void *arg, pki_err_t *err)
{
    writer_job_t job = { .swap = fn, .arg = arg, .err = err };

    group_serve(&w->group, &job.group);
    return job.code;
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

pki_code_t
writer_open(writer_t **out, pki_err_t *err)
{
    writer_t *w = calloc(1, sizeof(*w));

    if (w == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    group_init(&w->group, &writer_ops, w);
    *out = w;
    return PKI_OK;
}

void
writer_close(writer_t *w, bool clean)
{
    if (w == NULL) {
        return;
    }
    env_close(w->env, clean);
    group_fini(&w->group);
    free(w);
}
