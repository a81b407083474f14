/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The thread of chores.
 */
#include "orchestrator/api/chores.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "core/file.h"
#include "core/log.h"
#include "orchestrator/store/idempotency.h"

#define SEED_MAX    (4u << 20)
#define SEED_WAIT_S 1
#define PRUNE_S     600

struct chores {
    const api_parts_t *parts;
    pthread_mutex_t    lock;
    pthread_cond_t     wake;
    pthread_t          thread;
    bool               running, stopping;
};

/* False when the time is up, true when it is the end. */
static bool
chores_wait(chores_t *c, int64_t seconds)
{
    struct timespec until;
    bool            end;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    pthread_mutex_lock(&c->lock);
    while (!c->stopping && pthread_cond_timedwait(&c->wake, &c->lock, &until) == 0) {
    }
    end = c->stopping;
    pthread_mutex_unlock(&c->lock);
    return end;
}

static pki_code_t
seed_turn(const api_parts_t *parts, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    bytes_t      text;
    size_t       made = 0;
    pki_code_t   code;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = file_read(a, parts->conf->seed_file, SEED_MAX, &text, err);
    if (code == PKI_OK) {
        code = seed_apply(parts, a, text, &made, err);
    }
    if (made > 0) {
        log_info("api.seeded", LOG_S("file", parts->conf->seed_file), LOG_I("issuers", made));
    }
    pki_arena_free(a);
    return code;
}

/* The database and the signer may be there later; a file that is wrong stays so. */
static void
seed_run(chores_t *c)
{
    pki_err_t  err;
    pki_code_t code;

    do {
        err = (pki_err_t){ 0 };
        code = seed_turn(c->parts, &err);
    } while (pki_code_retryable(code) && !chores_wait(c, SEED_WAIT_S));
    if (code != PKI_OK) {
        log_failure(LOG_ERROR, "api.seed", &err);
    }
}

static void *
chores_thread(void *arg)
{
    chores_t *c = arg;

    prctl(PR_SET_NAME, "chores");
    if (c->parts->conf->seed_file[0] != '\0') {
        seed_run(c);
    }
    while (!chores_wait(c, PRUNE_S)) {
        pki_err_t err = { 0 };

        if (idempotency_prune(c->parts->db, &err) != PKI_OK) {
            log_failure(LOG_WARN, "api.prune", &err);
        }
    }
    return NULL;
}

pki_code_t
chores_open(const api_parts_t *parts, chores_t **out, pki_err_t *err)
{
    chores_t          *c = calloc(1, sizeof(*c));
    pthread_condattr_t clock;

    if (c == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    c->parts = parts;
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &clock);
    pthread_condattr_destroy(&clock);
    c->running = pthread_create(&c->thread, NULL, chores_thread, c) == 0;
    if (!c->running) {
        chores_close(c);
        return pki_fail(err, PKI_E_NOMEM, NULL, "cannot start the thread of chores");
    }
    *out = c;
    return PKI_OK;
}

void
chores_close(chores_t *c)
{
    if (c == NULL) {
        return;
    }
    if (c->running) {
        pthread_mutex_lock(&c->lock);
        c->stopping = true;
        pthread_cond_signal(&c->wake);
        pthread_mutex_unlock(&c->lock);
        pthread_join(c->thread, NULL);
    }
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
