/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A Bloom filter whose hash is the key itself.  It has two halves: keys go into the young one, which becomes the old one
 * when it has been so for a window; what is in neither was not used inside the window.
 */
#include "orchestrator/issue/seen.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "orchestrator/store/cert.h"

#define SEEN_OCTETS (2u << 20) /* of a half: among a million keys one of 430 others is taken for one of them */
#define SEEN_BITS   (8 * SEEN_OCTETS)
#define SEEN_TESTS  4
#define SEEN_KEY    32
#define SEEN_BATCH  10000

struct seen {
    pthread_mutex_t lock;
    int64_t         window_s, turned_at;
    unsigned        doubts, settled; /* equal: complete */
    unsigned        young;
    uint8_t         half[2][SEEN_OCTETS];
};

pki_code_t
seen_open(int64_t window_s, seen_t **out, pki_err_t *err)
{
    seen_t *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    s->window_s = window_s;
    s->turned_at = clock_now();
    s->doubts = 1;
    pthread_mutex_init(&s->lock, NULL);
    *out = s;
    return PKI_OK;
}

void
seen_close(seen_t *s)
{
    if (s != NULL) {
        pthread_mutex_destroy(&s->lock);
        free(s);
    }
}

static void
halves_turn(seen_t *s, int64_t now)
{
    if (now - s->turned_at > s->window_s) {
        s->young ^= 1;
        memset(s->half[s->young], 0, SEEN_OCTETS);
        s->turned_at = now;
    }
}

static size_t
bit_of(bytes_t key, size_t test)
{
    const uint8_t *p = key.p + 4 * test;

    return ((size_t) p[0] << 24 | (size_t) p[1] << 16 | (size_t) p[2] << 8 | p[3]) % SEEN_BITS;
}

static void
key_put(seen_t *s, bytes_t key)
{
    for (size_t n = 0; n < SEEN_TESTS && key.len == SEEN_KEY; n++) {
        size_t bit = bit_of(key, n);

        s->half[s->young][bit / 8] |= (uint8_t) (1 << bit % 8);
    }
}

static bool
half_has(const uint8_t *half, bytes_t key)
{
    for (size_t n = 0; n < SEEN_TESTS; n++) {
        size_t bit = bit_of(key, n);

        if ((half[bit / 8] >> bit % 8 & 1) == 0) {
            return false;
        }
    }
    return true;
}

void
seen_add(seen_t *s, bytes_t key, int64_t now)
{
    pthread_mutex_lock(&s->lock);
    halves_turn(s, now);
    key_put(s, key);
    pthread_mutex_unlock(&s->lock);
}

void
seen_doubt(seen_t *s)
{
    pthread_mutex_lock(&s->lock);
    s->doubts++;
    pthread_mutex_unlock(&s->lock);
}

bool
seen_maybe(seen_t *s, bytes_t key, int64_t now)
{
    bool maybe;

    pthread_mutex_lock(&s->lock);
    halves_turn(s, now);
    maybe = s->settled != s->doubts || key.len != SEEN_KEY || half_has(s->half[0], key) || half_has(s->half[1], key);
    pthread_mutex_unlock(&s->lock);
    return maybe;
}

/* *last is moved on; *count: how many there were. */
static pki_code_t
batch_load(seen_t *s, db_t *db, pki_arena_t *a, uint8_t last[SEEN_KEY], size_t *count, pki_err_t *err)
{
    bytes_t *keys;

    PKI_TRY(cert_keys(db, a, bytes_of(last, SEEN_KEY), s->window_s, SEEN_BATCH, &keys, count, err));
    pthread_mutex_lock(&s->lock);
    for (size_t n = 0; n < *count; n++) {
        key_put(s, keys[n]);
    }
    pthread_mutex_unlock(&s->lock);
    if (*count > 0) {
        memcpy(last, keys[*count - 1].p, SEEN_KEY);
    }
    return PKI_OK;
}

pki_code_t
seen_load(seen_t *s, db_t *db, pki_err_t *err)
{
    uint8_t      last[SEEN_KEY] = { 0 };
    pki_arena_t *a;
    pki_code_t   code = PKI_OK;
    size_t       count = SEEN_BATCH;
    unsigned     doubts;

    pthread_mutex_lock(&s->lock);
    doubts = s->doubts;
    pthread_mutex_unlock(&s->lock);
    if (doubts == s->settled) {
        return PKI_OK;
    }
    a = pki_arena_new(0);
    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    while (code == PKI_OK && count == SEEN_BATCH) {
        pki_arena_reset(a);
        code = batch_load(s, db, a, last, &count, err);
    }
    pki_arena_free(a);
    if (code == PKI_OK) {
        pthread_mutex_lock(&s->lock);
        s->settled = doubts;
        pthread_mutex_unlock(&s->lock);
    }
    return code;
}
