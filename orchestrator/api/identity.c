/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The memory of identities (see identity.h): places by digest, each with one that is shared by reference.
 */
#include "orchestrator/api/identity.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/clock.h"

#define CACHE_PLACES   512
#define CACHE_TRUST_US 800000 /* less than the second within which a change must be in force */
#define KNOWN_MAX      (1u << 20)

typedef struct {
    known_t     known;
    atomic_uint users;
    int64_t     read_us;
} shared_t;

struct identity_cache {
    pthread_mutex_t lock;
    uint64_t        epoch;
    shared_t       *place[CACHE_PLACES]; /* NULL: empty */
};

identity_cache_t *
identity_cache_new(void)
{
    identity_cache_t *c = calloc(1, sizeof(*c));

    if (c != NULL) {
        pthread_mutex_init(&c->lock, NULL);
    }
    return c;
}

void
identity_cache_free(identity_cache_t *c)
{
    if (c == NULL) {
        return;
    }
    identity_forget(c, NULL);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

known_t *
identity_new(const uint8_t digest[32])
{
    shared_t *s = calloc(1, sizeof(*s));

    if (s == NULL || (s->known.a = pki_arena_new(KNOWN_MAX)) == NULL) {
        free(s);
        return NULL;
    }
    atomic_init(&s->users, 1);
    s->read_us = clock_mono_us();
    memcpy(s->known.digest, digest, sizeof(s->known.digest));
    return &s->known;
}

void
identity_release(known_t *k)
{
    shared_t *s = (shared_t *) k; /* its first member */

    if (s != NULL && atomic_fetch_sub(&s->users, 1) == 1) {
        pki_arena_free(s->known.a);
        free(s);
    }
}

static size_t
place_of(const uint8_t digest[32])
{
    return ((size_t) digest[0] << 8 | digest[1]) % CACHE_PLACES;
}

known_t *
identity_recall(identity_cache_t *c, const uint8_t digest[32])
{
    shared_t *s;
    bool      good;

    pthread_mutex_lock(&c->lock);
    s = c->place[place_of(digest)];
    good = s != NULL && clock_mono_us() - s->read_us < CACHE_TRUST_US
           && bytes_eq_secret(BYTES_ARR(s->known.digest), bytes_of(digest, 32))
           && (s->known.expires_at == 0 || s->known.expires_at > clock_now());
    if (good) {
        atomic_fetch_add(&s->users, 1);
    }
    pthread_mutex_unlock(&c->lock);
    return good ? &s->known : NULL;
}

uint64_t
identity_epoch(identity_cache_t *c)
{
    uint64_t epoch;

    pthread_mutex_lock(&c->lock);
    epoch = c->epoch;
    pthread_mutex_unlock(&c->lock);
    return epoch;
}

void
identity_keep(identity_cache_t *c, known_t *k, uint64_t epoch)
{
    shared_t **place = &c->place[place_of(k->digest)], *s = (shared_t *) k, *old = NULL;

    pthread_mutex_lock(&c->lock);
    if (c->epoch == epoch) {
        atomic_fetch_add(&s->users, 1);
        old = *place;
        *place = s;
    }
    pthread_mutex_unlock(&c->lock);
    identity_release(old != NULL ? &old->known : NULL);
}

void
identity_forget(identity_cache_t *c, const char *actor)
{
    shared_t *gone[CACHE_PLACES];
    size_t    count = 0;

    pthread_mutex_lock(&c->lock);
    c->epoch++;
    for (size_t i = 0; i < CACHE_PLACES; i++) {
        if (c->place[i] != NULL && (actor == NULL || strcmp(c->place[i]->known.who.actor, actor) == 0)) {
            gone[count++] = c->place[i];
            c->place[i] = NULL;
        }
    }
    pthread_mutex_unlock(&c->lock);
    while (count > 0) {
        identity_release(&gone[--count]->known);
    }
}
