/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The workers: claim the most urgent job that is due and that can be done now, run it, write down how it ended.  A worker
 * that lost its claim meanwhile writes nothing: the row is another's.
 */
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include <openssl/rand.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/job/part.h"

#define RUNNER_FINISH_TRIES 5
#define RUNNER_ALIVE_US     10000000 /* longer without a look of the clock at the table, and something is wrong */

const int64_t job_buckets_ms[JOB_BUCKETS] = { 10, 50, 250, 1000, 5000, 30000, 120000, 600000 };

bool
job_stopping(const job_run_t *run)
{
    return atomic_load(run->stop);
}

/* Until then, until there are news, or until the end; the news since a look that found nothing. */
static void
news_wait(jobs_t *j, uint64_t news, int64_t until_us)
{
    struct timespec until = { .tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000 };
    int             rc = 0;

    pthread_mutex_lock(&j->lock);
    while (rc == 0 && !j->draining && j->news == news) {
        rc = pthread_cond_timedwait(&j->wake, &j->lock, &until);
    }
    pthread_mutex_unlock(&j->lock);
}

void
jobs_wake(jobs_t *j)
{
    pthread_mutex_lock(&j->lock);
    j->news++;
    pthread_cond_broadcast(&j->wake);
    pthread_mutex_unlock(&j->lock);
}

/* ---- claiming ---- */

static bool
needs_met(const jobs_t *j, unsigned needs)
{
    issue_health_t issue;
    edge_health_t  edge;

    if ((needs & JOB_NEEDS_EDGE) != 0) {
        edge_health(j->parts.edge, &edge);
        if (!edge.ready) {
            return false;
        }
    }
    if ((needs & JOB_NEEDS_ISSUANCE) != 0) {
        issue_health(j->parts.issue, &issue);
        return issue.reconciled;
    }
    return true;
}

/* A place among those that may run at a time; before the claim, so that there are never more. */
static bool
place_take(jobs_t *j, size_t at, const job_type_t *type)
{
    size_t all = (size_t) j->parts.conf->jobs.workers;
    size_t most = type->concurrency > 0 ? (size_t) type->concurrency : all - (all > 1);
    bool   taken;

    pthread_mutex_lock(&j->lock);
    taken = !j->draining && j->running[at] < most;
    j->running[at] += taken;
    pthread_mutex_unlock(&j->lock);
    return taken;
}

static void
place_give(jobs_t *j, size_t at)
{
    pthread_mutex_lock(&j->lock);
    j->running[at]--;
    pthread_mutex_unlock(&j->lock);
}

/* False when nothing is due, or the database is away. */
static bool
claim_any(worker_t *w, job_run_t *run, size_t *at)
{
    jobs_t           *j = w->jobs;
    const job_type_t *type;
    pki_err_t         err = { 0 };

    for (size_t i = 0; (type = job_type_at(i)) != NULL; i++) {
        pki_code_t code;

        if (!needs_met(j, type->needs) || !place_take(j, i, type)) {
            continue;
        }
        code = job_claim(j->parts.db, run->a, type->name, j->parts.conf->jobs.lease_s, &run->claim, &err);
        if (code == PKI_OK) {
            *at = i;
            return true;
        }
        place_give(j, i);
        if (code != PKI_E_NOT_FOUND) {
            log_failure(LOG_WARN, "job.not_claimed", &err);
            return false;
        }
    }
    return false;
}

/* ---- running ---- */

static void
worker_begin(worker_t *w, const job_claim_t *claim, const job_type_t *type)
{
    int64_t now = clock_mono_us();

    pthread_mutex_lock(&w->jobs->lock);
    w->type = type;
    w->no = claim->no;
    w->fence = claim->fence;
    w->kept_us = now;
    w->timeout_us = now + type->timeout_s * 1000000;
    memset(w->id, 0, sizeof(w->id));
    memcpy(w->id, claim->id, strnlen(claim->id, sizeof(w->id) - 1));
    atomic_store(&w->stop, w->jobs->draining);
    pthread_mutex_unlock(&w->jobs->lock);
}

static void
worker_end(worker_t *w)
{
    pthread_mutex_lock(&w->jobs->lock);
    w->type = NULL;
    pthread_mutex_unlock(&w->jobs->lock);
}

/* What is of no use to try again fails at once. */
static job_end_t
end_of(const job_run_t *run, pki_code_t code, const pki_err_t *err)
{
    const job_claim_t *claim = &run->claim;
    uint32_t           chance = 0;
    bool               again = pki_code_retryable(code) || pki_code_http(code) >= 500;

    if (code == PKI_OK && !run->again) {
        return (job_end_t){ .state = JOB_COMPLETED };
    }
    if (code == PKI_OK) {
        return (job_end_t){ .state = JOB_RETRY_WAIT, .wait_ms = job_stopping(run) ? 0 : run->wait_ms };
    }
    (void) RAND_bytes((uint8_t *) &chance, sizeof(chance));
    return (job_end_t){ .state = again && claim->attempts + 1 < claim->max_attempts ? JOB_RETRY_WAIT : JOB_FAILED,
                        .error = err->text,
                        .attempted = true,
                        .wait_ms = job_backoff_ms(claim->retry_s, claim->attempts + 1, chance) };
}

/* Bulk jobs end with an event of their own; a renewal that went well has been told with its certificate. */
static bool
audit_wanted(const job_run_t *run, const job_end_t *end)
{
    return end->state != JOB_RETRY_WAIT && (run->claim.certificate_id == NULL || end->state == JOB_FAILED);
}

static pki_code_t
end_write(job_run_t *run, const job_type_t *type, job_end_t *end, pki_err_t *err)
{
    const job_claim_t *claim = &run->claim;
    audit_t            audit = { .actor = claim->requested_by,
                                 .actor_type = claim->requester_type,
                                 .action = end->state == JOB_FAILED ? "job.failed" : "job.completed",
                                 .resource_type = claim->certificate_id != NULL ? "certificate" : "job",
                                 .resource_id = claim->certificate_id != NULL ? claim->certificate_id : claim->id,
                                 .status = end->state == JOB_FAILED ? 500 : 200,
                                 .request_id = claim->request_id };
    pki_code_t         code = PKI_E_UNAVAILABLE;

    end->audit = audit_wanted(run, end) ? &audit : NULL;
    for (int n = 0; n < RUNNER_FINISH_TRIES && code == PKI_E_UNAVAILABLE; n++) {
        code = job_finish(run->jobs->parts.db, claim, end, err);
    }
    if (code == PKI_OK) {
        log_info("job.ended", LOG_S("job", claim->id), LOG_S("type", type->name), LOG_S("status", job_state_names[end->state]));
    }
    return code;
}

static void
figures_add(type_figures_t *f, const job_end_t *end, pki_code_t written, int64_t took_us)
{
    size_t i = 0;

    while (i < JOB_BUCKETS && took_us > job_buckets_ms[i] * 1000) {
        i++;
    }
    atomic_fetch_add(&f->bucket[i], 1);
    atomic_fetch_add(&f->sum_us, (uint64_t) took_us);
    atomic_fetch_add(written != PKI_OK                 ? &f->lost
                     : end->state == JOB_COMPLETED     ? &f->completed
                     : end->state == JOB_FAILED        ? &f->failed
                                                       : &f->retried,
                     1);
}

static void
job_serve(worker_t *w, job_run_t *run, size_t at)
{
    const job_type_t *type = job_type_at(at);
    int64_t           began_us = clock_mono_us();
    pki_err_t         err = { 0 }, why = { 0 };
    job_end_t         end;
    pki_code_t        code;

    log_request_set(run->claim.request_id);
    worker_begin(w, &run->claim, type);
    code = type->run(run, &err);
    if (code != PKI_OK) {
        log_failure(LOG_WARN, "job.attempt_failed", &err);
    }
    end = end_of(run, code, &err);
    code = end_write(run, type, &end, &why);
    if (code != PKI_OK) {
        log_failure(LOG_WARN, "job.lost", &why);
    }
    worker_end(w);
    figures_add(&w->jobs->figures[at], &end, code, clock_mono_us() - began_us);
    log_request_set(NULL);
}

/* One look at the table; false when there was nothing to do. */
static bool
worker_turn(worker_t *w)
{
    job_run_t run = { .jobs = w->jobs, .a = pki_arena_new(0), .stop = &w->stop };
    size_t    at;
    bool      found;

    if (run.a == NULL) {
        return false;
    }
    found = claim_any(w, &run, &at);
    if (found) {
        job_serve(w, &run, at);
        place_give(w->jobs, at);
    }
    pki_arena_free(run.a);
    return found;
}

/* False when all is ending. */
static bool
news_read(jobs_t *j, uint64_t *news)
{
    bool on;

    pthread_mutex_lock(&j->lock);
    on = !j->draining;
    *news = j->news;
    pthread_mutex_unlock(&j->lock);
    return on;
}

void *
worker_thread(void *arg)
{
    worker_t *w = arg;
    jobs_t   *j = w->jobs;
    uint64_t  news;

    (void) prctl(PR_SET_NAME, "job-worker");
    while (news_read(j, &news)) {
        if (!worker_turn(w)) {
            news_wait(j, news, clock_mono_us() + j->parts.conf->jobs.poll_ms * 1000);
        }
    }
    return NULL;
}

/* ---- opening and closing ---- */

static void
jobs_stop(jobs_t *j, bool closing)
{
    pthread_mutex_lock(&j->lock);
    j->draining = true;
    j->closing = j->closing || closing;
    for (size_t i = 0; i < j->worker_count; i++) {
        atomic_store(&j->workers[i].stop, true);
    }
    pthread_cond_broadcast(&j->wake);
    pthread_cond_broadcast(&j->clock_wake);
    pthread_mutex_unlock(&j->lock);
}

static void
jobs_free(jobs_t *j)
{
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->wake);
    pthread_cond_destroy(&j->clock_wake);
    free(j->workers);
    free(j);
}

static pki_code_t
threads_start(jobs_t *j, size_t count, pki_err_t *err)
{
    for (; j->worker_count < count; j->worker_count++) {
        worker_t *w = &j->workers[j->worker_count];

        w->jobs = j;
        if (pthread_create(&w->thread, NULL, worker_thread, w) != 0) {
            return pki_fail(err, PKI_E_INTERNAL, NULL, "a job worker does not start");
        }
    }
    return PKI_OK;
}

pki_code_t
jobs_open(const job_parts_t *parts, jobs_t **out, pki_err_t *err)
{
    jobs_t            *j = calloc(1, sizeof(*j));
    pthread_condattr_t attr;
    pki_code_t         code;

    if (j == NULL || (j->workers = calloc((size_t) parts->conf->jobs.workers, sizeof(*j->workers))) == NULL) {
        free(j);
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    j->parts = *parts;
    pthread_mutex_init(&j->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&j->wake, &attr);
    pthread_cond_init(&j->clock_wake, &attr);
    pthread_condattr_destroy(&attr);
    code = threads_start(j, (size_t) parts->conf->jobs.workers, err);
    if (code == PKI_OK && pthread_create(&j->clock, NULL, clock_thread, j) != 0) {
        code = pki_fail(err, PKI_E_INTERNAL, NULL, "the clock of the jobs does not start");
    }
    if (code == PKI_OK) {
        *out = j;
        return PKI_OK;
    }
    jobs_stop(j, true);
    for (size_t i = 0; i < j->worker_count; i++) {
        pthread_join(j->workers[i].thread, NULL);
    }
    jobs_free(j);
    return code;
}

void
jobs_drain(jobs_t *j)
{
    if (j != NULL) {
        jobs_stop(j, false);
    }
}

void
jobs_close(jobs_t *j)
{
    if (j == NULL) {
        return;
    }
    jobs_stop(j, false);
    for (size_t i = 0; i < j->worker_count; i++) {
        pthread_join(j->workers[i].thread, NULL);
    }
    jobs_stop(j, true);
    pthread_join(j->clock, NULL);
    jobs_free(j);
}

/* ---- figures ---- */

void
jobs_figures(jobs_t *j, const job_type_t *type, job_figures_t *out)
{
    size_t at = 0;

    while (job_type_at(at) != type) {
        at++;
    }
    *out = (job_figures_t){ .sum_us = atomic_load(&j->figures[at].sum_us),
                            .completed = atomic_load(&j->figures[at].completed),
                            .failed = atomic_load(&j->figures[at].failed),
                            .retried = atomic_load(&j->figures[at].retried),
                            .lost = atomic_load(&j->figures[at].lost) };
    for (size_t i = 0; i <= JOB_BUCKETS; i++) {
        out->bucket[i] = atomic_load(&j->figures[at].bucket[i]);
    }
    pthread_mutex_lock(&j->lock);
    out->running = j->running[at];
    pthread_mutex_unlock(&j->lock);
}

int64_t
jobs_backlog(jobs_t *j)
{
    return atomic_load(&j->backlog);
}

bool
jobs_alive(jobs_t *j)
{
    int64_t looked_us = atomic_load(&j->looked_us);

    return looked_us != 0 && clock_mono_us() - looked_us < RUNNER_ALIVE_US;
}
