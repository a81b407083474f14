/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Opening and closing the issuance path, transaction keys in flight, health.
 */
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "core/clock.h"
#include "orchestrator/issue/part.h"

#define FLIGHT_WAIT_S 5
#define ISSUE_START_S 2 /* the edge was opened a moment ago, and signs responder certificates */

static bool
flight_is_taken(const issue_t *i, const uint8_t key[32])
{
    for (const flight_t *f = i->flights; f != NULL; f = f->next) {
        if (memcmp(f->key, key, 32) == 0) {
            return true;
        }
    }
    return false;
}

bool
flight_enter(issue_t *i, flight_t *f, bool patient)
{
    struct timespec until;
    bool            taken;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += FLIGHT_WAIT_S;
    pthread_mutex_lock(&i->lock);
    i->flights_waiting++;
    while ((taken = flight_is_taken(i, f->key)) && patient && pthread_cond_timedwait(&i->landed, &i->lock, &until) == 0) {
    }
    i->flights_waiting--;
    if (!taken) {
        f->next = i->flights;
        i->flights = f;
    }
    pthread_mutex_unlock(&i->lock);
    return !taken;
}

void
flight_leave(issue_t *i, flight_t *f)
{
    flight_t **at = &i->flights;

    pthread_mutex_lock(&i->lock);
    while (*at != f) {
        at = &(*at)->next;
    }
    *at = f->next;
    if (i->flights_waiting != 0) {
        pthread_cond_broadcast(&i->landed);
    }
    pthread_mutex_unlock(&i->lock);
}

void
issue_health(issue_t *i, issue_health_t *out)
{
    *out = (issue_health_t){
        .issued = atomic_load(&i->issued),
        .repeated = atomic_load(&i->repeated),
        .rejected = atomic_load(&i->rejected),
        .failed = atomic_load(&i->failed),
        .revoked = atomic_load(&i->revoked),
        .orphans = atomic_load(&i->orphans),
        .reconciled = atomic_load(&i->reconciled),
    };
}

/* Another host's key, or our own again. */
static void
key_heard(bytes_t key, void *arg)
{
    issue_t *i = arg;

    if (key.p != NULL) {
        seen_add(i->seen, key, clock_now());
    } else {
        seen_doubt(i->seen);
        reconcile_want(i);
    }
}

static void
issue_free(issue_t *i)
{
    seen_close(i->seen);
    snapshot_cache_close(i->cache);
    passwords_close(i->passwords);
    pthread_mutex_destroy(&i->lock);
    pthread_cond_destroy(&i->wake);
    pthread_cond_destroy(&i->landed);
    pthread_rwlock_destroy(&i->signing);
    group_fini(&i->turns);
    free(i);
}

static void
locks_init(issue_t *i)
{
    pthread_condattr_t   cond;
    pthread_rwlockattr_t rwlock;

    pthread_mutex_init(&i->lock, NULL);
    pthread_condattr_init(&cond);
    pthread_condattr_setclock(&cond, CLOCK_MONOTONIC);
    pthread_cond_init(&i->wake, &cond);
    pthread_cond_init(&i->landed, &cond);
    pthread_condattr_destroy(&cond);
    /* Reconciliation must get its turn under a steady stream of enrolments. */
    pthread_rwlockattr_init(&rwlock);
    pthread_rwlockattr_setkind_np(&rwlock, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&i->signing, &rwlock);
    pthread_rwlockattr_destroy(&rwlock);
}

pki_code_t
issue_open(const conf_t *conf, db_t *db, signer_t *signer, edge_t *edge, issue_t **out, pki_err_t *err)
{
    issue_t   *i = calloc(1, sizeof(*i));
    pki_code_t code;

    if (i == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    i->conf = conf;
    i->db = db;
    i->signer = signer;
    i->edge = edge;
    i->started_at = clock_now() - ISSUE_START_S;
    i->reconcile_wanted = true;
    locks_init(i);
    group_init(&i->turns, &sign_group, i);
    code = snapshot_cache_open(conf, db, edge, &i->cache, err);
    if (code == PKI_OK) {
        code = passwords_open(SIZE_MAX - 1, &i->passwords, err);
    }
    if (code == PKI_OK) {
        code = seen_open(conf->retry_window_s, &i->seen, err);
    }
    if (code == PKI_OK && pthread_create(&i->reconcile_thread, NULL, reconcile_thread, i) != 0) {
        code = pki_fail(err, PKI_E_INTERNAL, NULL, "the reconciliation thread does not start");
    }
    if (code != PKI_OK) {
        issue_free(i);
        return code;
    }
    edge_hear(edge, key_heard, i);
    *out = i;
    return PKI_OK;
}

void
issue_close(issue_t *i)
{
    if (i == NULL) {
        return;
    }
    pthread_mutex_lock(&i->lock);
    i->stopping = true;
    pthread_cond_broadcast(&i->wake);
    pthread_mutex_unlock(&i->lock);
    pthread_join(i->reconcile_thread, NULL);
    edge_hear(i->edge, NULL, NULL);
    issue_free(i);
}
