/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Token buckets in a table of small sets; the bucket of a caller can only be in the set that its hash names.  A bucket is one
 * number: when it will be full (the virtual scheduling form of ITU-T I.371), so that rates of a few an hour are exact, too.
 */
#include "orchestrator/api/throttle.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>

#include <openssl/rand.h>

#include "pkiproto/base/limit.h"

#define THROTTLE_WAYS 4
#define SECOND_US     INT64_C(1000000)
#define HOUR_US       (3600 * SECOND_US)

typedef struct {
    uint64_t who;
    int64_t  full_us; /* 0: nobody's */
} bucket_t;

struct throttle {
    pthread_mutex_t lock;
    uint64_t        seed;
    size_t          set_count;
    bucket_t        way[][THROTTLE_WAYS];
};

throttle_t *
throttle_new(size_t buckets)
{
    size_t      sets = buckets / THROTTLE_WAYS + 1;
    throttle_t *t = calloc(1, sizeof(*t) + sets * sizeof(t->way[0]));

    if (t == NULL || RAND_bytes((uint8_t *) &t->seed, sizeof(t->seed)) != 1) {
        free(t);
        return NULL;
    }
    pthread_mutex_init(&t->lock, NULL);
    t->set_count = sets;
    return t;
}

void
throttle_free(throttle_t *t)
{
    if (t != NULL) {
        pthread_mutex_destroy(&t->lock);
        free(t);
    }
}

throttle_rate_t
throttle_rate(const conf_limits_t *c, throttle_kind_t kind)
{
    bool    own = kind == THROTTLE_ACTOR && c->actor_rps != 0;
    int64_t rps = own ? c->actor_rps : c->source_rps, burst = own ? c->actor_burst : c->source_burst;

    if (kind == THROTTLE_EXPORT) {
        return (throttle_rate_t){ c->export_per_hour != 0 ? HOUR_US / c->export_per_hour : 0, c->export_per_hour };
    }
    return (throttle_rate_t){ rps != 0 ? SECOND_US / rps : 0, burst };
}

/* Whoever does not know the seed cannot choose whom he drives out (FNV-1a, and the finalizer of MurmurHash3). */
static uint64_t
hash_mix(uint64_t x)
{
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccd;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53;
    return x ^ (x >> 33);
}

static uint64_t
hash_octets(uint64_t x, bytes_t in)
{
    for (size_t i = 0; i < in.len; i++) {
        x = (x ^ in.p[i]) * 0x100000001b3;
    }
    return hash_mix(x);
}

/* IPv6 by its /64, which is what one customer has. */
static uint64_t
source_number(const char *address)
{
    uint8_t octets[16];

    if (address != NULL && inet_pton(AF_INET, address, octets) == 1) {
        return limit_source(bytes_of(octets, 4));
    }
    if (address != NULL && inet_pton(AF_INET6, address, octets) == 1) {
        return limit_source(bytes_of(octets, 16));
    }
    return 0;
}

static uint64_t
who_hash(const throttle_t *t, throttle_kind_t kind, const char *who)
{
    uint64_t start = hash_mix(t->seed ^ (uint64_t) kind), number;

    if (kind != THROTTLE_SOURCE) {
        return hash_octets(start, bytes_str(who));
    }
    number = source_number(who);
    return hash_octets(start, bytes_of(&number, sizeof(number)));
}

static bucket_t *
bucket_find(throttle_t *t, uint64_t who)
{
    bucket_t *set = t->way[who % t->set_count], *oldest = set;

    for (size_t i = 0; i < THROTTLE_WAYS; i++) {
        if (set[i].full_us != 0 && set[i].who == who) {
            return &set[i];
        }
        if (set[i].full_us < oldest->full_us) {
            oldest = &set[i];
        }
    }
    *oldest = (bucket_t){ .who = who };
    return oldest;
}

int64_t
throttle_take(throttle_t *t, throttle_kind_t kind, const char *who, const throttle_rate_t *rate, int64_t now_us)
{
    uint64_t  hash = who_hash(t, kind, who);
    bucket_t *b;
    int64_t   wait = 0, full;

    if (rate->period_us == 0) {
        return 0;
    }
    pthread_mutex_lock(&t->lock);
    b = bucket_find(t, hash);
    full = (b->full_us > now_us ? b->full_us : now_us) + rate->period_us;
    if (full - now_us > rate->burst * rate->period_us) {
        wait = full - now_us - rate->burst * rate->period_us;
    } else {
        b->full_us = full;
    }
    pthread_mutex_unlock(&t->lock);
    return wait;
}
