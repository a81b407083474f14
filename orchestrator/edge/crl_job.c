/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * When CRLs are made: a job for each scope of an authority, which one thread at a time has.  Requests that come
 * within a moment make one list; a list is also made at start (a predecessor may have died between a revocation and
 * its CRL), every refresh, and when another host has published what this one has not seen.  After a failure the last
 * good list stays, and the next attempt comes soon and reads everything.
 */
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/edge/crl.h"

#define CRL_GATHER_US      100000   /* requests within this time share a list */
#define CRL_BACKOFF_MIN_US 500000
#define CRL_BACKOFF_MAX_US 30000000
#define CRL_IDLE_US        60000000
#define CRL_HEARD_US       5000000  /* after another list was published */
#define CRL_SPREAD         10       /* shards are made anew up to a tenth of the refresh earlier */

/* Finding them; all of this with e->lock held */

static bool
is_same(const crl_id_t *a, const crl_id_t *b)
{
    return a->issuer_no == b->issuer_no && a->generation == b->generation && a->scope.kind == b->scope.kind
           && a->scope.shard == b->scope.shard;
}

/* A delta belongs to the job of its full list. */
static crl_job_t *
job_find(edge_t *e, const crl_id_t *id)
{
    crl_id_t own = *id;

    if (own.scope.kind == CRL_DELTA) {
        own.scope.kind = CRL_FULL;
    }
    for (crl_job_t *job = e->crl; job != NULL; job = job->next) {
        if (is_same(&job->id, &own)) {
            return job;
        }
    }
    return NULL;
}

static void
due_soon(edge_t *e, crl_job_t *job)
{
    int64_t soon_us = clock_mono_us() + CRL_GATHER_US;

    job->wanted++;
    if (job->backoff_us == 0 && job->due_us > soon_us) {
        job->due_us = soon_us;
        pthread_cond_broadcast(&e->wake);
    }
}

/* Requests */

void
crl_want(edge_t *e, uint32_t authority, bytes_t serial)
{
    pthread_mutex_lock(&e->lock);
    for (crl_job_t *job = e->crl; job != NULL; job = job->next) {
        if (edge_authority(job->id.issuer_no, job->id.generation) == authority
            && (job->shards == 0 || job->id.scope.shard == crl_shard_of(serial, job->shards)))
        {
            due_soon(e, job);
        }
    }
    pthread_mutex_unlock(&e->lock);
}

void
crl_heard(edge_t *e, uint32_t issuer_no)
{
    int64_t then_us = clock_mono_us() + CRL_HEARD_US;

    pthread_mutex_lock(&e->lock);
    for (crl_job_t *job = e->crl; job != NULL; job = job->next) {
        if (job->id.issuer_no == issuer_no && job->heard_us == 0) {
            job->heard_us = then_us;
        }
    }
    pthread_mutex_unlock(&e->lock);
}

bool
crl_is_wanted(edge_t *e, const crl_order_t *order)
{
    crl_job_t *job;
    bool       wanted;

    pthread_mutex_lock(&e->lock);
    job = job_find(e, &order->id);
    wanted = job != NULL && job->wanted != order->wanted;
    pthread_mutex_unlock(&e->lock);
    return wanted;
}

void
crl_serve(edge_t *e, const crl_id_t *id, const crl_list_t *list)
{
    crl_job_t *job;

    pthread_mutex_lock(&e->lock);
    job = job_find(e, id);
    if (job != NULL && id->scope.kind == CRL_DELTA) {
        job->delta = *list;
    } else if (job != NULL) {
        job->list = *list;
        job->before = list->this_update;
    }
    pthread_mutex_unlock(&e->lock);
}

static bool
job_waits(const edge_t *e, uint32_t issuer_no)
{
    for (const crl_job_t *job = e->crl; job != NULL; job = job->next) {
        if (job->id.issuer_no == issuer_no && job->list.file[0] == '\0' && job->attempts == 0) {
            return true;
        }
    }
    return false;
}

void
crl_wait(edge_t *e, uint32_t issuer_no, int64_t timeout_ms)
{
    int64_t due_us = clock_mono_us() + timeout_ms * 1000;

    pthread_mutex_lock(&e->lock);
    while (!e->stopping && job_waits(e, issuer_no) && clock_mono_us() < due_us) {
        edge_wait_until(e, due_us);
    }
    pthread_mutex_unlock(&e->lock);
}

/* Stale lists */

/* Half of the time between the planned list and nextUpdate is over: people have the other half. */
static bool
list_is_stale(const crl_job_t *job, int64_t now)
{
    int64_t planned_s = job->rules.refresh_s < job->rules.validity_s ? job->rules.refresh_s : job->rules.validity_s;

    if (job->list.file[0] == '\0') {
        return job->attempts != 0;
    }
    return now >= job->list.this_update + planned_s + (job->list.next_update - job->list.this_update - planned_s) / 2;
}

static void
stale_note(crl_job_t *job)
{
    bool stale = list_is_stale(job, clock_now());
    char scope[CRL_SCOPE_TEXT_MAX];

    if (stale == job->stale) {
        return;
    }
    job->stale = stale;
    crl_scope_format(job->id.scope, scope);
    if (stale) {
        log_error("crl.stale", LOG_S("issuer", job->issuer), LOG_I("generation", job->id.generation),
                  LOG_S("scope", scope), LOG_I("number", job->list.number),
                  LOG_I("next_update", job->list.next_update), LOG_S("error", job->error));
    } else {
        log_info("crl.fresh", LOG_S("issuer", job->issuer), LOG_I("generation", job->id.generation),
                 LOG_S("scope", scope), LOG_I("number", job->list.number));
    }
}

/* Turns */

/* Shards that were made together are not made anew together. */
static int64_t
refresh_us(const crl_job_t *job)
{
    int64_t all_us = job->rules.refresh_s * 1000000;

    return job->shards < 2 ? all_us : all_us - all_us / CRL_SPREAD / job->shards * job->id.scope.shard;
}

static void
job_succeeded(crl_job_t *job, const crl_order_t *order, int64_t now_us)
{
    job->backoff_us = 0;
    job->built++;
    job->error[0] = '\0';
    if (order->full) {
        job->due_us = now_us + (job->wanted != order->wanted ? CRL_GATHER_US : refresh_us(job));
        job->done = order->wanted;
        if (order->reread) {
            job->reread = false;
            job->reread_us = now_us;
        }
    }
    job->delta_due_us = job->rules.delta_s == 0                ? INT64_MAX
                        : job->delta.number < job->list.number ? now_us + CRL_GATHER_US
                                                               : now_us + job->rules.delta_s * 1000000;
    if (!order->full && job->delta.number == order->delta.number) {
        job->delta_due_us = now_us + job->rules.delta_s * 1000000; /* there is no base yet */
    }
}

static void
job_failed(crl_job_t *job, const pki_err_t *err, int64_t now_us)
{
    job->failed++;
    snprintf(job->error, sizeof(job->error), "%s", err->text);
    job->backoff_us = job->backoff_us == 0 ? CRL_BACKOFF_MIN_US : 2 * job->backoff_us;
    if (job->backoff_us > CRL_BACKOFF_MAX_US) {
        job->backoff_us = CRL_BACKOFF_MAX_US;
    }
    job->due_us = now_us + job->backoff_us;
    job->reread = true;
}

static void
job_free(edge_t *e, crl_job_t *job)
{
    crl_job_t **at = &e->crl;

    while (*at != job) {
        at = &(*at)->next;
    }
    *at = job->next;
    free(job);
}

/* When the next list is due after an attempt. */
static void
job_finish(edge_t *e, crl_job_t *job, const crl_order_t *order, pki_code_t code, const pki_err_t *err)
{
    job->busy = false;
    job->attempts++;
    if (job->gone || code == PKI_E_NOT_FOUND) {
        job_free(e, job); /* no such issuer, or it has no certificate: nobody to sign */
    } else {
        if (code == PKI_OK) {
            job_succeeded(job, order, clock_mono_us());
        } else {
            job_failed(job, err, clock_mono_us());
        }
        stale_note(job);
    }
    pthread_cond_broadcast(&e->wake);
}

static int64_t
job_due(const crl_job_t *job)
{
    int64_t due_us = job->due_us < job->delta_due_us || job->backoff_us != 0 ? job->due_us : job->delta_due_us;

    return job->heard_us != 0 && job->heard_us < due_us ? job->heard_us : due_us;
}

static crl_job_t *
job_first(edge_t *e)
{
    crl_job_t *first = NULL;

    for (crl_job_t *job = e->crl; job != NULL; job = job->next) {
        if (!job->busy && (first == NULL || job_due(job) < job_due(first))) {
            first = job;
        }
    }
    return first;
}

/* Another host published: is there anything that our list does not know? */
static void
job_compare(edge_t *e, crl_job_t *job)
{
    crl_id_t id = job->id;
    int64_t  number = job->list.number;
    bool     behind = false;

    job->heard_us = 0;
    job->busy = true;
    pthread_mutex_unlock(&e->lock);
    if (crl_behind(e->db, &id, number, &behind, NULL) != PKI_OK) {
        behind = false; /* the feed comes with every revocation anyway */
    }
    pthread_mutex_lock(&e->lock);
    job->busy = false;
    if (job->gone) {
        job_free(e, job);
    } else if (behind && job->list.number == number) {
        due_soon(e, job);
    }
}

/*
 * All entries at start, after a failure, and when a list is made anew that nobody asked for; a revocation does not wait
 * for that, unless it has been put off for long.
 */
static bool
job_rereads(const crl_job_t *job, int64_t now_us)
{
    int64_t since_us = now_us - job->reread_us;

    return job->reread || since_us > 2 * refresh_us(job) || (since_us > refresh_us(job) / 2 && job->wanted == job->done);
}

static void
job_turn(edge_t *e, crl_job_t *job)
{
    int64_t     now_us = clock_mono_us();
    pki_err_t   err = { 0 };
    pki_code_t  code;
    crl_order_t order = { .id = job->id, .rules = job->rules, .list = job->list, .delta = job->delta,
                          .before = job->before, .full = job->due_us <= now_us, .wanted = job->wanted,
                          .reread = job_rereads(job, now_us) };

    job->busy = true;
    pthread_mutex_unlock(&e->lock);
    code = crl_build(e, &order, &err);
    pthread_mutex_lock(&e->lock);
    job_finish(e, job, &order, code, &err);
}

void *
crl_thread(void *arg)
{
    edge_t *e = arg;

    (void) prctl(PR_SET_NAME, "edge-crl");
    pthread_mutex_lock(&e->lock);
    while (!e->stopping) {
        crl_job_t *job = job_first(e);
        int64_t    now_us = clock_mono_us();

        if (job == NULL || job_due(job) > now_us) {
            edge_wait_until(e, job != NULL && job_due(job) < now_us + CRL_IDLE_US ? job_due(job) : now_us + CRL_IDLE_US);
        } else if (job->heard_us != 0 && job->heard_us <= now_us && job->due_us > now_us) {
            job_compare(e, job);
        } else {
            job_turn(e, job);
        }
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

/* What there is to be done, as the configuration has it */

pki_code_t
crl_watch_begin(edge_t *e, pki_err_t *err)
{
    if (!e->crl_checked) {
        PKI_TRY(crl_snapshots_check(e->db, err));
        e->crl_checked = true;
    }
    pthread_mutex_lock(&e->lock);
    for (crl_job_t *job = e->crl; job != NULL; job = job->next) {
        job->seen = false;
    }
    pthread_mutex_unlock(&e->lock);
    return PKI_OK;
}

/* One whose authority could not be looked at this time stays. */
static bool
is_among(const crl_job_t *job, const issuer_chain_t *issuers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (job->id.issuer_no == (uint32_t) issuers[i].issuer.no && issuers[i].chain_len != 0
            && job->id.generation == (uint32_t) issuers[i].chain[0].generation)
        {
            return true;
        }
    }
    return false;
}

void
crl_watch_end(edge_t *e, const issuer_chain_t *issuers, size_t count)
{
    crl_job_t *next;

    pthread_mutex_lock(&e->lock);
    for (crl_job_t *job = e->crl; job != NULL; job = next) {
        next = job->next;
        job->gone = !job->seen && !is_among(job, issuers, count);
        if (job->gone && !job->busy) {
            job_free(e, job);
        }
    }
    pthread_mutex_unlock(&e->lock);
}

void
crl_jobs_free(edge_t *e)
{
    while (e->crl != NULL) {
        job_free(e, e->crl);
    }
}

/* A file that somebody has deleted is made anew at once, and is nothing to compare with. */
static void
list_look(edge_t *e, pki_arena_t *a, crl_job_t *job, crl_list_t *list)
{
    const char *path = list->file[0] != '\0' ? edge_path(a, e->crl_dir, list->file) : NULL;

    if (path == NULL || access(path, R_OK) == 0) {
        return;
    }
    log_warn("crl.lost", LOG_S("issuer", job->issuer), LOG_S("file", list->file));
    list->file[0] = '\0';
    job->backoff_us = 0;
    job->reread = true;
    due_soon(e, job);
}

static bool
rules_differ(const crl_rules_t *a, const crl_rules_t *b)
{
    return a->validity_s != b->validity_s || a->refresh_s != b->refresh_s || a->delta_s != b->delta_s
           || a->keep_expired_s != b->keep_expired_s || a->expired_since != b->expired_since
           || a->next_publish != b->next_publish || a->aia != b->aia;
}

/* The job of a scope as it is now, made when there is none; with e->lock held. */
static void
job_update(edge_t *e, pki_arena_t *a, crl_job_t *job, const crl_rules_t *rules)
{
    job->seen = true;
    job->gone = false;
    if (rules_differ(&job->rules, rules)) {
        if (rules->delta_s == 0) {
            job->delta.file[0] = '\0';
        }
        job->rules = *rules;
        due_soon(e, job);
    }
    list_look(e, a, job, &job->list);
    list_look(e, a, job, &job->delta);
    stale_note(job);
}

static pki_code_t
job_make(edge_t *e, pki_arena_t *a, const crl_watch_t *w, const crl_id_t *id, pki_err_t *err)
{
    crl_job_t *job = calloc(1, sizeof(*job));
    pki_code_t code;

    if (job == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    job->id = *id;
    job->shards = w->shards;
    job->rules = w->rules;
    job->seen = job->reread = true;
    snprintf(job->issuer, sizeof(job->issuer), "%s", w->issuer);
    code = crl_adopt(e, a, job, err);
    if (code != PKI_OK) {
        free(job);
        return code;
    }
    pthread_mutex_lock(&e->lock);
    job->due_us = clock_mono_us() + CRL_GATHER_US;
    job->delta_due_us = INT64_MAX;
    job->next = e->crl;
    e->crl = job;
    pthread_cond_broadcast(&e->wake);
    pthread_mutex_unlock(&e->lock);
    return PKI_OK;
}

pki_code_t
crl_watch(edge_t *e, pki_arena_t *a, const crl_watch_t *w, const crl_id_t *id, crl_list_t *list, crl_list_t *delta,
          pki_err_t *err)
{
    crl_job_t *job;

    pthread_mutex_lock(&e->lock);
    job = job_find(e, id);
    if (job != NULL) {
        job_update(e, a, job, &w->rules);
    }
    pthread_mutex_unlock(&e->lock);
    if (job == NULL) {
        PKI_TRY(job_make(e, a, w, id, err));
    }
    pthread_mutex_lock(&e->lock);
    job = job_find(e, id);
    *list = job != NULL ? job->list : (crl_list_t){ 0 };
    *delta = job != NULL ? job->delta : (crl_list_t){ 0 };
    pthread_mutex_unlock(&e->lock);
    return PKI_OK;
}
