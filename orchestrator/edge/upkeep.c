/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The upkeep thread: what takes longer than the feed may wait.  Keys and certificates of OCSP responders are made
 * before they are needed, and it is found out when the generations of CAs end.
 */
#include <sys/prctl.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/edge/part.h"

#define UPKEEP_RETRY_US  1000000
#define UPKEEP_IDLE_US   600000000 /* the feed asks every minute */
#define UPKEEP_SETTLE_US 600000000
#define UPKEEP_SETTLED_S 600 /* so long after a re-key nothing is on its way under the old key any more */

static pki_code_t
upkeep_turn(edge_t *e, int64_t *settle_us, pki_err_t *err)
{
    size_t made = 0;

    PKI_TRY(responders_ensure(e, &made, err));
    if (made != 0) {
        PKI_TRY(config_publish(e, err));
    }
    atomic_store(&e->kept_up, true);
    if (clock_mono_us() >= *settle_us) {
        PKI_TRY(issuer_generations_settle(e->db, UPKEEP_SETTLED_S, err));
        *settle_us = clock_mono_us() + UPKEEP_SETTLE_US;
    }
    return PKI_OK;
}

void
upkeep_want(edge_t *e)
{
    pthread_mutex_lock(&e->lock);
    e->upkeep_wanted = true;
    pthread_cond_broadcast(&e->wake);
    pthread_mutex_unlock(&e->lock);
}

/* Sleep until the time, until something is wanted, or until the end. */
static void
upkeep_sleep(edge_t *e, int64_t due_us)
{
    pthread_mutex_lock(&e->lock);
    while (!e->stopping && !e->upkeep_wanted && clock_mono_us() < due_us) {
        edge_wait_until(e, due_us);
    }
    e->upkeep_wanted = false;
    pthread_mutex_unlock(&e->lock);
}

void *
upkeep_thread(void *arg)
{
    edge_t    *e = arg;
    int64_t    settle_us = 0;
    pki_code_t failing = PKI_OK;

    (void) prctl(PR_SET_NAME, "edge-upkeep");
    while (!edge_stopping(e)) {
        pki_err_t  err = { 0 };
        pki_code_t code = upkeep_turn(e, &settle_us, &err);

        if (code != PKI_OK && code != failing) {
            log_failure(LOG_WARN, "edge.upkeep_failed", &err);
        }
        failing = code;
        upkeep_sleep(e, clock_mono_us() + (code == PKI_OK ? UPKEEP_IDLE_US : UPKEEP_RETRY_US));
    }
    return NULL;
}
