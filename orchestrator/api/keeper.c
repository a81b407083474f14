/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The keeper of rights (see keeper.h).
 */
#include "orchestrator/api/keeper.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/api/rights.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/session.h"

#define USE_PLACES   4096       /* what was noted of late; one displaces another */
#define USE_WAITING  512        /* uses that are not yet written; more are noted at their next use */
#define USE_AGAIN_US 3600000000 /* an hour */
#define ACTOR_MAX    128
#define PRUNE_US     60000000
#define PAUSE_MS     1000

typedef struct {
    char        actor[ACTOR_MAX];
    const char *permission;
    int64_t     noted_us;
} use_t;

struct keeper {
    api_t          *api;
    pthread_t       thread;
    pthread_mutex_t lock;
    pthread_cond_t  wake;
    bool            started, closing, roles_there;
    int64_t         pruned_us;
    use_t           noted[USE_PLACES];
    use_t           waiting[USE_WAITING];
    size_t          count;
};

static use_t *
place_of(keeper_t *c, const char *actor, const char *permission)
{
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (const char *p = actor; *p != '\0'; p++) {
        hash = (hash ^ (uint8_t) *p) * 16777619u;
    }
    for (const char *p = permission; *p != '\0'; p++) {
        hash = (hash ^ (uint8_t) *p) * 16777619u;
    }
    return &c->noted[hash % USE_PLACES];
}

void
permission_used(keeper_t *c, const char *actor, const char *permission)
{
    int64_t now = clock_mono_us();
    use_t  *place = place_of(c, actor, permission);
    bool    known;

    pthread_mutex_lock(&c->lock);
    known = place->permission != NULL && strcmp(place->permission, permission) == 0 && strcmp(place->actor, actor) == 0
            && now - place->noted_us < USE_AGAIN_US;
    if (!known && c->count < USE_WAITING && strlen(actor) < ACTOR_MAX) {
        snprintf(place->actor, sizeof(place->actor), "%s", actor);
        place->permission = permission;
        place->noted_us = now;
        c->waiting[c->count++] = *place;
        pthread_cond_signal(&c->wake);
    }
    pthread_mutex_unlock(&c->lock);
}

/* One that could not be written is noted at its next use. */
static void
use_write(keeper_t *c, const use_t *use)
{
    pki_err_t err = { 0 };

    if (permission_use_note(c->api->parts.db, use->actor, use->permission, &err) == PKI_OK) {
        return;
    }
    log_failure(LOG_WARN, "api.permission_use", &err);
    pthread_mutex_lock(&c->lock);
    place_of(c, use->actor, use->permission)->permission = NULL;
    pthread_mutex_unlock(&c->lock);
}

static void
uses_write(keeper_t *c)
{
    use_t  list[USE_WAITING];
    size_t count;

    pthread_mutex_lock(&c->lock);
    count = c->count;
    memcpy(list, c->waiting, count * sizeof(list[0]));
    c->count = 0;
    pthread_mutex_unlock(&c->lock);
    for (size_t i = 0; i < count; i++) {
        use_write(c, &list[i]);
    }
}

static void
roles_bring(keeper_t *c, log_level_t level)
{
    pki_err_t err = { 0 };

    c->roles_there = roles_sync(c->api->parts.db, &err) == PKI_OK;
    if (!c->roles_there) {
        log_failure(level, "api.roles", &err);
    }
}

static void
sessions_prune(keeper_t *c)
{
    pki_err_t err = { 0 };

    if (clock_mono_us() - c->pruned_us < PRUNE_US) {
        return;
    }
    c->pruned_us = clock_mono_us();
    if (session_prune(c->api->parts.db, c->api->parts.conf->session.idle_s, &err) != PKI_OK) {
        log_failure(LOG_WARN, "api.session_prune", &err);
    }
}

/* With the lock held: until there is something to write, or a moment has passed. */
static void
pause_take(keeper_t *c)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PAUSE_MS / 1000;
    while (!c->closing && c->count == 0 && pthread_cond_timedwait(&c->wake, &c->lock, &until) == 0) {
    }
}

static void *
keeper_thread(void *arg)
{
    keeper_t *c = arg;
    bool      closing;

    do {
        pthread_mutex_lock(&c->lock);
        pause_take(c);
        closing = c->closing;
        pthread_mutex_unlock(&c->lock);
        if (!c->roles_there) {
            roles_bring(c, LOG_DEBUG);
        }
        uses_write(c);
        sessions_prune(c);
    } while (!closing);
    return NULL;
}

pki_code_t
keeper_open(api_t *api, keeper_t **out, pki_err_t *err)
{
    keeper_t          *c = calloc(1, sizeof(*c));
    pthread_condattr_t attr;

    if (c == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    *out = c;
    c->api = api;
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &attr);
    pthread_condattr_destroy(&attr);
    roles_bring(c, LOG_WARN);
    if (pthread_create(&c->thread, NULL, keeper_thread, c) != 0) {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "the keeper of rights does not start");
    }
    c->started = true;
    return PKI_OK;
}

void
keeper_close(keeper_t *c)
{
    if (c == NULL) {
        return;
    }
    pthread_mutex_lock(&c->lock);
    c->closing = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    if (c->started) {
        pthread_join(c->thread, NULL);
    }
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
