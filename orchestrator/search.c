/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Each second what was changed since the turn before is looked at, with an overlap that short transactions fit into.
 * The database has the instant before which all is done, which moves at times.  At the first turn, and while there are
 * long transactions also before the instant moves, it is everything since that instant: what such a transaction brought
 * late, or a process that died had not got to, is found then.
 */
#include "orchestrator/search.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/store/search.h"

#define SEARCH_TURN_US   1000000
#define SEARCH_SETTLE_US 10000000
#define SEARCH_CROWD_US  5000000 /* after many rows: the more at once, the more they share */
#define SEARCH_CROWD     1000
#define SEARCH_BATCH     20000
#define SEARCH_BREATH_US 10000 /* after a full batch: enrolments come first */

struct search {
    db_t           *db;
    pthread_t       thread;
    pthread_mutex_t lock;
    pthread_cond_t  wake;
    bool            stopping;
    char            again[SEARCH_AT_MAX]; /* where the next turn begins; empty: at what is done */
    int64_t         settle_us;
    bool            late;  /* a transaction was seen that may have brought something behind the turns */
    bool            crowd; /* the last batch was one */
};

/* False at the end. */
static bool
search_sleep(search_t *s, int64_t us)
{
    struct timespec until;
    bool            stopping;
    int             rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += us * 1000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&s->lock);
    while (!s->stopping && rc == 0) {
        rc = pthread_cond_timedwait(&s->wake, &s->lock, &until);
    }
    stopping = s->stopping;
    pthread_mutex_unlock(&s->lock);
    return !stopping;
}

/* All rows from an instant on; *whole is false when it was not to the end. */
static pki_code_t
search_pass(search_t *s, const char *from, bool *whole, pki_err_t *err)
{
    char    at[SEARCH_AT_MAX];
    int64_t no = 0, rows = 0;
    bool    busy = false;

    *whole = false;
    snprintf(at, sizeof(at), "%s", from);
    do {
        PKI_TRY(search_fill(s->db, at, &no, SEARCH_BATCH, &rows, &busy, err));
        s->crowd = rows >= SEARCH_CROWD;
        *whole = !busy && rows < SEARCH_BATCH;
    } while (!busy && !*whole && search_sleep(s, SEARCH_BREATH_US));
    return PKI_OK;
}

static pki_code_t
search_turn(search_t *s, pki_err_t *err)
{
    bool           due = clock_mono_us() >= s->settle_us, whole, full = s->again[0] == '\0' || (due && s->late);
    search_begin_t b;

    PKI_TRY(search_begin(s->db, &b, err));
    PKI_TRY(search_pass(s, full ? b.done : s->again, &whole, err));
    if (!whole) {
        return PKI_OK;
    }
    snprintf(s->again, sizeof(s->again), "%s", b.again);
    s->late = b.late || (s->late && !full);
    if (full || (due && !s->late)) {
        PKI_TRY(search_settle(s->db, b.settled, err));
        s->settle_us = clock_mono_us() + SEARCH_SETTLE_US;
    }
    return PKI_OK;
}

static void *
search_thread(void *arg)
{
    search_t  *s = arg;
    pki_code_t failing = PKI_OK;

    (void) prctl(PR_SET_NAME, "search");
    do {
        pki_err_t  err = { 0 };
        pki_code_t code = search_turn(s, &err);

        if (code != PKI_OK && code != failing) {
            log_failure(LOG_WARN, "search.failed", &err);
        }
        failing = code;
    } while (search_sleep(s, s->crowd ? SEARCH_CROWD_US : SEARCH_TURN_US));
    return NULL;
}

pki_code_t
search_open(db_t *db, search_t **out, pki_err_t *err)
{
    pthread_condattr_t attr;
    search_t          *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    s->db = db;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&s->thread, NULL, search_thread, s) != 0) {
        pthread_cond_destroy(&s->wake);
        pthread_mutex_destroy(&s->lock);
        free(s);
        return pki_fail(err, PKI_E_NOMEM, NULL, "cannot start the search thread");
    }
    *out = s;
    return PKI_OK;
}

void
search_close(search_t *s)
{
    if (s == NULL) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
