/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The clock of jobs: once in a while it renews the leases of those that run, asks for renewals of certificates whose
 * window has come, and gives up what has killed every worker that had it.
 */
#include <sys/prctl.h>
#include <time.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/job/part.h"

#define CLOCK_TICK_US  1000000
#define CLOCK_REAP_US  30000000
#define CLOCK_DUE_MAX  1000 /* renewals in one transaction */

/* A lease is renewed as long as its run may take; after that somebody else may have the job. */
static void
worker_keep(jobs_t *j, worker_t *w)
{
    int64_t     lease_s = j->parts.conf->jobs.lease_s, now = clock_mono_us();
    char        id[JOB_ID_MAX];
    job_claim_t claim = { .id = id };
    pki_err_t   err = { 0 };
    bool        due;

    pthread_mutex_lock(&j->lock);
    due = w->type != NULL && now - w->kept_us > lease_s * 1000000 / 3;
    claim.no = w->no;
    claim.fence = w->fence;
    memcpy(id, w->id, sizeof(id));
    if (due && now > w->timeout_us) {
        atomic_store(&w->stop, true);
        due = false;
    }
    pthread_mutex_unlock(&j->lock);
    if (!due) {
        return;
    }
    switch (job_keep(j->parts.db, &claim, lease_s, &err)) {
    case PKI_OK:
        pthread_mutex_lock(&j->lock);
        w->kept_us = w->fence == claim.fence && w->no == claim.no ? now : w->kept_us;
        pthread_mutex_unlock(&j->lock);
        break;
    case PKI_E_CONFLICT:
        pthread_mutex_lock(&j->lock);
        if (w->fence == claim.fence && w->no == claim.no && w->type != NULL) {
            atomic_store(&w->stop, true);
        }
        pthread_mutex_unlock(&j->lock);
        break;
    default:
        log_failure(LOG_WARN, "job.lease_not_renewed", &err);
    }
}

static void
renewals_look(jobs_t *j)
{
    int64_t   count;
    pki_err_t err = { 0 };

    do {
        if (job_renewals_due(j->parts.db, CLOCK_DUE_MAX, &count, &err) != PKI_OK) {
            log_failure(LOG_WARN, "job.renewals_not_looked_for", &err);
            return;
        }
        if (count > 0) {
            log_info("job.renewals_due", LOG_I("count", count));
            jobs_wake(j);
        }
    } while (count == CLOCK_DUE_MAX);
}

static void
table_look(jobs_t *j)
{
    int64_t   backlog;
    pki_err_t err = { 0 };

    if (job_backlog(j->parts.db, &backlog, &err) != PKI_OK) {
        return; /* workers say what is wrong */
    }
    atomic_store(&j->backlog, backlog);
    atomic_store(&j->looked_us, clock_mono_us());
}

/* What nobody waits for: done when its time has come, and not when all is ending. */
static void
chores_do(jobs_t *j, int64_t *look_us, int64_t *reap_us)
{
    const conf_t *conf = j->parts.conf;
    int64_t       now = clock_mono_us();
    pki_err_t     err = { 0 };

    if (now >= *look_us) {
        renewals_look(j);
        *look_us = now + conf->jobs.renewal_scan_s * 1000000;
    }
    if (now >= *reap_us) {
        if (job_reap(j->parts.db, JOB_LOSSES_MAX, conf->jobs.keep_days, &err) != PKI_OK) {
            log_failure(LOG_WARN, "job.not_reaped", &err);
        }
        *reap_us = now + CLOCK_REAP_US;
    }
}

/* The state at the next tick, or at the end: what still runs while all ends needs its lease. */
static void
tick_wait(jobs_t *j, bool *draining, bool *closing)
{
    int64_t         until_us = clock_mono_us() + CLOCK_TICK_US;
    struct timespec until = { .tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000 };
    int             rc = 0;

    pthread_mutex_lock(&j->lock);
    while (rc == 0 && !j->closing) {
        rc = pthread_cond_timedwait(&j->clock_wake, &j->lock, &until);
    }
    *closing = j->closing;
    *draining = j->draining;
    pthread_mutex_unlock(&j->lock);
}

void *
clock_thread(void *arg)
{
    jobs_t *j = arg;
    int64_t look_us = 0, reap_us = 0;
    bool    closing = false, draining = false;

    (void) prctl(PR_SET_NAME, "job-clock");
    while (!closing) {
        for (size_t i = 0; i < j->worker_count; i++) {
            worker_keep(j, &j->workers[i]);
        }
        table_look(j);
        if (!draining) {
            chores_do(j, &look_us, &reap_us);
        }
        tick_wait(j, &draining, &closing);
    }
    return NULL;
}
