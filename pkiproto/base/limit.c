/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Token buckets in a table of small sets: a source can only be in the set that its hash names.
 */
#include "pkiproto/base/limit.h"

#define LIMIT_TOKEN    1000000 /* one token, in the unit of levels */
#define LIMIT_RATE_MAX 1000000
#define LIMIT_WAYS     4

typedef struct {
    uint64_t level, at_ms; /* what was in it, and when */
} bucket_t;

typedef struct {
    uint64_t source;
    bucket_t bucket; /* at_ms 0: nobody's */
} way_t;

struct limit_table {
    uint64_t seed, set_count;
    bucket_t total;
    way_t    way[][LIMIT_WAYS];
};

bool
limit_rate_parse(bytes_t text, uint64_t *rate)
{
    uint64_t n = 0;
    size_t   i;

    for (i = 0; i < text.len && text.p[i] >= '0' && text.p[i] <= '9'; i++) {
        n = n * 10 + (text.p[i] - '0');
        if (n > LIMIT_RATE_MAX) {
            return false;
        }
    }
    text = bytes_of(text.p + i, text.len - i);
    if (n == 0) {
        return false;
    }
    if (bytes_eq(text, BYTES_LIT("r/s"))) {
        *rate = n * LIMIT_TOKEN / 1000;
        return true;
    }
    *rate = n * LIMIT_TOKEN / 60000;
    return bytes_eq(text, BYTES_LIT("r/m"));
}

static uint64_t
limit_be(const uint8_t *p, size_t len)
{
    uint64_t n = 0;

    for (size_t i = 0; i < len; i++) {
        n = n << 8 | p[i];
    }
    return n;
}

uint64_t
limit_source(bytes_t address)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

    if (address.len == 16 && memcmp(address.p, mapped, sizeof(mapped)) == 0) {
        address = bytes_of(address.p + sizeof(mapped), 4);
    }
    if (address.len == 4) {
        /* Among IPv6 prefixes that are nobody's. */
        return (uint64_t) 0xffff << 32 | limit_be(address.p, 4);
    }
    return address.len == 16 ? limit_be(address.p, 8) : 0;
}

limit_table_t *
limit_table_make(void *mem, size_t size, uint64_t seed)
{
    limit_table_t *t = mem;

    if (size < sizeof(*t) + sizeof(t->way[0])) {
        return NULL;
    }
    memset(mem, 0, size);
    t->seed = seed;
    t->set_count = (size - sizeof(*t)) / sizeof(t->way[0]);
    return t;
}

/* Whoever does not know the seed cannot choose whom he drives out (the finalizer of MurmurHash3). */
static uint64_t
limit_hash(uint64_t x, uint64_t seed)
{
    x ^= seed;
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccd;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53;
    return x ^ (x >> 33);
}

static uint64_t
bucket_size(uint64_t rate)
{
    uint64_t second = rate * 1000;

    return second > LIMIT_TOKEN ? second : LIMIT_TOKEN;
}

/* The bucket of a source, made full if it is new. */
static bucket_t *
limit_bucket(limit_table_t *t, uint64_t source, uint64_t rate, uint64_t now_ms)
{
    way_t *set = t->way[limit_hash(source, t->seed) % t->set_count], *oldest = set;

    for (size_t i = 0; i < LIMIT_WAYS; i++) {
        if (set[i].bucket.at_ms != 0 && set[i].source == source) {
            return &set[i].bucket;
        }
        if (set[i].bucket.at_ms < oldest->bucket.at_ms) {
            oldest = &set[i];
        }
    }
    oldest->source = source;
    oldest->bucket = (bucket_t){ .level = bucket_size(rate), .at_ms = now_ms };
    return &oldest->bucket;
}

/* What came in since; milliseconds until there is a token. */
static uint64_t
bucket_fill(bucket_t *b, uint64_t rate, uint64_t now_ms)
{
    uint64_t size = bucket_size(rate), passed = now_ms > b->at_ms ? now_ms - b->at_ms : 0;

    /* Not to be multiplied: what is over the size does not count. */
    b->level = passed >= size / rate ? size : b->level + passed * rate;
    b->level = b->level > size ? size : b->level;
    b->at_ms = now_ms > b->at_ms ? now_ms : b->at_ms;
    return b->level >= LIMIT_TOKEN ? 0 : (LIMIT_TOKEN - b->level + rate - 1) / rate;
}

uint64_t
limit_take(limit_table_t *t, const limit_rates_t *rates, uint64_t source, uint64_t now_ms)
{
    bucket_t *own = NULL, *all = NULL;
    uint64_t  wait = 0, other = 0;

    now_ms++; /* 0 says "nobody's" */
    if (rates->source != 0) {
        own = limit_bucket(t, source, rates->source, now_ms);
        wait = bucket_fill(own, rates->source, now_ms);
    }
    if (rates->total != 0) {
        all = &t->total;
        other = bucket_fill(all, rates->total, now_ms);
    }
    if (wait != 0 || other != 0) {
        return wait > other ? wait : other;
    }
    if (own != NULL) {
        own->level -= LIMIT_TOKEN;
    }
    if (all != NULL) {
        all->level -= LIMIT_TOKEN;
    }
    return 0;
}
