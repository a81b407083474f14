/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A flat table of buckets, each a piece of memory with its list of contents in the first cache line and the
 * entries, of any size, behind it in the order of their age.  A look-up reads that line and the entry, nothing
 * else.
 *
 * Readers take no lock: they copy, and see by the bucket's version whether somebody wrote meanwhile.  A writer
 * takes the bucket by putting its process id there, and gives up when another has it, for an answer that is not
 * kept is only signed once more.  A worker that dies while it writes leaves an odd version, which readers pass by,
 * and its process id: the next writer sees that there is no such process, and empties the bucket.
 *
 * What goes first is what cannot be used any more, then what nobody has asked for since it was put in or was last
 * passed over: a clock for each bucket.
 */
#include "ngx_module/ngx_http_pki_cache.h"

#include <signal.h>
#include <sys/mman.h>

#include <openssl/rand.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 has it, the C library's header may not */
#endif

#define NGX_HTTP_PKI_CACHE_BUCKET  4096
#define NGX_HTTP_PKI_CACHE_HEAD    64
#define NGX_HTTP_PKI_CACHE_ROOM    (NGX_HTTP_PKI_CACHE_BUCKET - NGX_HTTP_PKI_CACHE_HEAD)
#define NGX_HTTP_PKI_CACHE_ENTRIES 11
#define NGX_HTTP_PKI_CACHE_TRIES   3 /* of a reader who is disturbed */
#define NGX_HTTP_PKI_CACHE_CLAIM_S 2 /* how long the one who makes another answer is left alone with it */
#define NGX_HTTP_PKI_CACHE_LINE    64
#define NGX_HTTP_PKI_CACHE_PAGE    (2 << 20) /* a large one */

/* Times are seconds since 1970, until 2106. */
typedef struct {
    uint32_t refresh_at, reuse_until;
    uint16_t key_len, value_len;
    uint8_t  octets[]; /* key, value */
} ngx_http_pki_cache_entry_t;

typedef struct {
    ngx_atomic_t writer;  /* process id, 0: nobody */
    uint32_t     version; /* odd: somebody is writing, or died */
    uint16_t     used;    /* octets of room[] */
    uint16_t     count;
    uint16_t     asked; /* bits: entries that were found lately; only a hint, set without taking the bucket */
    uint16_t     hand;  /* the entry that is looked at next when one has to go */
    uint16_t     tag[NGX_HTTP_PKI_CACHE_ENTRIES], at[NGX_HTTP_PKI_CACHE_ENTRIES];
    uint8_t      room[NGX_HTTP_PKI_CACHE_ROOM] __attribute__((aligned(NGX_HTTP_PKI_CACHE_HEAD)));
} ngx_http_pki_cache_bucket_t;

_Static_assert(sizeof(ngx_http_pki_cache_bucket_t) == NGX_HTTP_PKI_CACHE_BUCKET, "the head has outgrown its line");

typedef struct {
    uint64_t                     seed, count; /* of buckets */
    ngx_atomic_t                 entries, used, inserted, replaced, evicted, busy;
    ngx_http_pki_cache_bucket_t *bucket;
} ngx_http_pki_cache_table_t;

typedef struct {
    ngx_http_pki_cache_table_t *table;
    ngx_slab_pool_t            *pool;
} ngx_http_pki_cache_t;

/* ---- the zone ---- */

/*
 * In large pages, where the kernel gives them: every look-up goes to another page, and walking the tables to a small one
 * took longer than all else of it.  Shared memory has none unless they are asked for, and only where the mapping begins at
 * such a page, which nginx' does not: another is put over a part of it, and goes when it goes.  There has to be something
 * in a page that is to become one.
 */
static ngx_int_t
ngx_http_pki_cache_enlarge(u_char *p, size_t size)
{
    u_char *first = ngx_align_ptr(p, NGX_HTTP_PKI_CACHE_PAGE), *end = p + size, *page;
    size_t  len = first < end ? (size_t) (end - first) / NGX_HTTP_PKI_CACHE_PAGE * NGX_HTTP_PKI_CACHE_PAGE : 0;

    if (len == 0) {
        return NGX_OK;
    }
    if (mmap(first, len, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) {
        return NGX_ERROR; /* what was there may be gone */
    }
    for (page = first; page < first + len; page += NGX_HTTP_PKI_CACHE_PAGE) {
        *(volatile u_char *) page = 0;
    }
    (void) madvise(first, len, MADV_COLLAPSE); /* if not, small ones serve */
    return NGX_OK;
}

/* All the room there is, which the kernel has filled with zeros. */
static ngx_int_t
ngx_http_pki_cache_make(ngx_http_pki_cache_t *cache)
{
    ngx_http_pki_cache_table_t *table = ngx_slab_calloc(cache->pool, sizeof(*table));
    size_t                      size;

    if (table == NULL || RAND_bytes((u_char *) &table->seed, sizeof(table->seed)) != 1) {
        return NGX_ERROR;
    }
    size = cache->pool->pfree * ngx_pagesize;
    table->bucket = ngx_slab_alloc(cache->pool, size);
    if (table->bucket == NULL || ngx_http_pki_cache_enlarge((u_char *) table->bucket, size) != NGX_OK) {
        return NGX_ERROR;
    }
    table->count = size / sizeof(*table->bucket);
    cache->table = table;
    cache->pool->data = table;
    cache->pool->log_nomem = 0;
    return NGX_OK;
}

static ngx_int_t
ngx_http_pki_cache_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_pki_cache_t *old = data, *cache = zone->data;

    if (old != NULL) {
        *cache = *old;
        return NGX_OK;
    }
    cache->pool = (ngx_slab_pool_t *) zone->shm.addr;
    if (zone->shm.exists) {
        cache->table = cache->pool->data;
        return NGX_OK;
    }
    return ngx_http_pki_cache_make(cache);
}

char *
ngx_http_pki_cache_zone(ngx_conf_t *cf, ngx_str_t *value, ngx_shm_zone_t **zone, void *tag)
{
    char *rv = ngx_http_pki_zone(cf, value, zone, tag);

    if (rv != NGX_CONF_OK) {
        return rv;
    }
    (*zone)->data = ngx_pcalloc(cf->pool, sizeof(ngx_http_pki_cache_t));
    (*zone)->init = ngx_http_pki_cache_init;
    return (*zone)->data != NULL ? NGX_CONF_OK : NGX_CONF_ERROR;
}

void
ngx_http_pki_cache_stat(ngx_shm_zone_t *zone, ngx_http_pki_cache_stat_t *out)
{
    ngx_http_pki_cache_table_t *table = ((ngx_http_pki_cache_t *) zone->data)->table;

    *out = (ngx_http_pki_cache_stat_t){
        .octets = table->count * NGX_HTTP_PKI_CACHE_ROOM,
        .used = table->used,
        .entries = table->entries,
        .inserted = table->inserted,
        .replaced = table->replaced,
        .evicted = table->evicted,
        .busy = table->busy,
    };
}

/* ---- keys ---- */

/* One step: both halves of a product of 128 bits, so that every bit in changes every bit out. */
static ngx_inline uint64_t
ngx_http_pki_cache_mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128) (a ^ 0x9e3779b97f4a7c15) * (b ^ 0xd1b54a32d192ed03);

    return (uint64_t) product ^ (uint64_t) (product >> 64);
}

static ngx_http_pki_cache_bucket_t *
ngx_http_pki_cache_bucket(ngx_shm_zone_t *zone, const ngx_http_pki_cache_key_t *key)
{
    ngx_http_pki_cache_table_t *table = ((ngx_http_pki_cache_t *) zone->data)->table;

    return &table->bucket[(uint64_t) (((unsigned __int128) key->hash * table->count) >> 64)];
}

/* The lowest bits, which have had no say in the choice of the bucket. */
static ngx_inline uint16_t
ngx_http_pki_cache_tag(const ngx_http_pki_cache_key_t *key)
{
    return (uint16_t) key->hash;
}

uint64_t
ngx_http_pki_cache_hash(ngx_shm_zone_t *zone, bytes_t octets)
{
    uint64_t hash = ((ngx_http_pki_cache_t *) zone->data)->table->seed ^ octets.len, word, two[2];
    size_t   i;

    for (i = 0; octets.len - i >= sizeof(two); i += sizeof(two)) {
        ngx_memcpy(two, octets.p + i, sizeof(two));
        hash = ngx_http_pki_cache_mix(hash ^ two[0], two[1]);
    }
    if (octets.len - i >= sizeof(word)) {
        ngx_memcpy(&word, octets.p + i, sizeof(word));
        hash = ngx_http_pki_cache_mix(hash, word);
        i += sizeof(word);
    }
    if (i < octets.len) {
        word = 0;
        ngx_memcpy(&word, octets.p + i, octets.len - i);
        hash = ngx_http_pki_cache_mix(hash, word);
    }
    return hash;
}

void
ngx_http_pki_cache_key(ngx_shm_zone_t *zone, ngx_http_pki_cache_key_t *key, bytes_t spread)
{
    key->hash = ngx_http_pki_cache_hash(zone, spread);
    key->len = 0;
    __builtin_prefetch(ngx_http_pki_cache_bucket(zone, key));

    ngx_http_pki_cache_key_add_number(key, spread.len);
    ngx_http_pki_cache_key_add(key, spread);
}

void
ngx_http_pki_cache_key_add(ngx_http_pki_cache_key_t *key, bytes_t octets)
{
    if (octets.len > sizeof(key->octets) - ngx_min(key->len, sizeof(key->octets))) {
        key->len = sizeof(key->octets) + 1;
        return;
    }
    if (octets.len != 0) {
        ngx_memcpy(key->octets + key->len, octets.p, octets.len);
        key->len += octets.len;
    }
}

void
ngx_http_pki_cache_key_add_number(ngx_http_pki_cache_key_t *key, uint64_t number)
{
    ngx_http_pki_cache_key_add(key, bytes_of(&number, sizeof(number)));
}

/* ---- reading ---- */

/* The entry at a place that may have been read while it was written. */
static ngx_inline ngx_http_pki_cache_entry_t *
ngx_http_pki_cache_entry(ngx_http_pki_cache_bucket_t *b, size_t at)
{
    return at <= sizeof(b->room) - sizeof(ngx_http_pki_cache_entry_t) && at % 8 == 0
               ? (ngx_http_pki_cache_entry_t *) (b->room + at)
               : NULL;
}

void
ngx_http_pki_cache_fetch(ngx_shm_zone_t *zone, const ngx_http_pki_cache_key_t *key)
{
    ngx_http_pki_cache_bucket_t *b = ngx_http_pki_cache_bucket(zone, key);
    size_t                       i, next, count = ngx_min(b->count, NGX_HTTP_PKI_CACHE_ENTRIES);
    uint8_t                     *p, *end;

    for (i = 0; i < count; i++) {
        if (b->tag[i] == ngx_http_pki_cache_tag(key)) {
            next = i + 1 < count ? b->at[i + 1] : b->used;
            p = b->room + b->at[i];
            end = b->room + ngx_min(next, sizeof(b->room));
            for (; p < end; p += NGX_HTTP_PKI_CACHE_LINE) {
                __builtin_prefetch(p);
            }
        }
    }
}

/* Copy an entry out if it has this key; what it says may be nonsense until the version is looked at again. */
static ngx_int_t
ngx_http_pki_cache_copy(ngx_http_pki_cache_bucket_t *b, size_t at, const ngx_http_pki_cache_key_t *key,
                        ngx_http_pki_cache_value_t *out)
{
    ngx_http_pki_cache_entry_t *e = ngx_http_pki_cache_entry(b, at);
    size_t                      len;

    if (e == NULL || e->key_len != key->len || (len = e->value_len) > sizeof(out->octets)
        || at + sizeof(*e) + key->len + len > sizeof(b->room)
        || ngx_memcmp(e->octets, key->octets, key->len) != 0) {
        return NGX_DECLINED;
    }
    out->refresh_at = e->refresh_at;
    out->reuse_until = e->reuse_until;
    out->len = len;
    ngx_memcpy(out->octets, e->octets + key->len, len);
    return NGX_OK;
}

/* NGX_AGAIN: somebody wrote meanwhile. */
static ngx_int_t
ngx_http_pki_cache_read(ngx_http_pki_cache_bucket_t *b, const ngx_http_pki_cache_key_t *key,
                        ngx_http_pki_cache_value_t *out, size_t *found)
{
    uint32_t  version = __atomic_load_n(&b->version, __ATOMIC_ACQUIRE);
    size_t    i, count = ngx_min(b->count, NGX_HTTP_PKI_CACHE_ENTRIES);
    ngx_int_t rc = NGX_DECLINED;

    for (i = 0; i < count && rc == NGX_DECLINED; i++) {
        if (b->tag[i] == ngx_http_pki_cache_tag(key)) {
            rc = ngx_http_pki_cache_copy(b, b->at[i], key, out);
            *found = i;
        }
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return (version & 1) == 0 && __atomic_load_n(&b->version, __ATOMIC_RELAXED) == version ? rc : NGX_AGAIN;
}

/* ---- writing ---- */

static void
ngx_http_pki_cache_clear(ngx_http_pki_cache_table_t *table, ngx_http_pki_cache_bucket_t *b)
{
    (void) ngx_atomic_fetch_add(&table->entries, -(ngx_atomic_int_t) ngx_min(b->count, NGX_HTTP_PKI_CACHE_ENTRIES));
    (void) ngx_atomic_fetch_add(&table->used, -(ngx_atomic_int_t) ngx_min(b->used, sizeof(b->room)));
    b->count = b->used = b->asked = b->hand = 0;
}

/* Take the bucket; from a process that is dead, too, but then nothing in it is to be believed. */
static ngx_int_t
ngx_http_pki_cache_take(ngx_http_pki_cache_table_t *table, ngx_http_pki_cache_bucket_t *b)
{
    ngx_atomic_uint_t writer = b->writer;
    ngx_uint_t        is_dead;

    /* One that has our own id is as dead: it had the id before us. */
    is_dead = writer != 0
              && (writer == (ngx_atomic_uint_t) ngx_pid || (kill((pid_t) writer, 0) == -1 && ngx_errno == ESRCH));

    if ((writer != 0 && !is_dead) || !ngx_atomic_cmp_set(&b->writer, writer, (ngx_atomic_uint_t) ngx_pid)) {
        (void) ngx_atomic_fetch_add(&table->busy, 1);
        return NGX_DECLINED;
    }
    __atomic_store_n(&b->version, b->version | 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    if (is_dead) {
        ngx_http_pki_cache_clear(table, b);
    }
    return NGX_OK;
}

static void
ngx_http_pki_cache_give(ngx_http_pki_cache_bucket_t *b)
{
    __atomic_store_n(&b->version, b->version + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&b->writer, 0, __ATOMIC_RELEASE);
}

static size_t
ngx_http_pki_cache_size(const ngx_http_pki_cache_entry_t *e)
{
    return ngx_align(sizeof(*e) + e->key_len + e->value_len, 8);
}

static void
ngx_http_pki_cache_remove(ngx_http_pki_cache_table_t *table, ngx_http_pki_cache_bucket_t *b, size_t i)
{
    size_t   at = b->at[i], size = ngx_http_pki_cache_size((ngx_http_pki_cache_entry_t *) (b->room + at));
    uint16_t below = (uint16_t) ((1u << i) - 1);

    ngx_memmove(b->room + at, b->room + at + size, b->used - at - size);
    b->used -= size;
    b->count--;
    b->hand -= i < b->hand;
    b->asked = (b->asked & below) | (b->asked >> 1 & ~below);
    for (; i < b->count; i++) {
        b->tag[i] = b->tag[i + 1];
        b->at[i] = b->at[i + 1] - size;
    }
    (void) ngx_atomic_fetch_add(&table->entries, -1);
    (void) ngx_atomic_fetch_add(&table->used, -(ngx_atomic_int_t) size);
}

static void
ngx_http_pki_cache_replace(ngx_http_pki_cache_table_t *table, ngx_http_pki_cache_bucket_t *b,
                           const ngx_http_pki_cache_key_t *key)
{
    ngx_http_pki_cache_entry_t *e;
    size_t                      i;

    for (i = 0; i < b->count; i++) {
        e = (ngx_http_pki_cache_entry_t *) (b->room + b->at[i]);
        if (b->tag[i] == ngx_http_pki_cache_tag(key) && e->key_len == key->len
            && ngx_memcmp(e->octets, key->octets, key->len) == 0) {
            ngx_http_pki_cache_remove(table, b, i--);
            (void) ngx_atomic_fetch_add(&table->replaced, 1);
        }
    }
}

/*
 * The entry that is to go; there is one at least.  Who is passed by has to be asked for before the hand comes again; the
 * newest has had no time for that.
 */
static size_t
ngx_http_pki_cache_victim(ngx_http_pki_cache_bucket_t *b, int64_t now)
{
    size_t i;

    for (i = 0; i < b->count; i++) {
        if (((ngx_http_pki_cache_entry_t *) (b->room + b->at[i]))->reuse_until <= now) {
            return i;
        }
    }
    b->hand %= b->count;
    for (i = 0; i < 2 * b->count && ((b->asked & 1u << b->hand) != 0 || b->hand == b->count - 1); i++) {
        b->asked &= ~(1u << b->hand);
        b->hand = (b->hand + 1) % b->count;
    }
    return b->hand;
}

static void
ngx_http_pki_cache_append(ngx_http_pki_cache_table_t *table, ngx_http_pki_cache_bucket_t *b,
                          const ngx_http_pki_cache_key_t *key, const ngx_http_pki_cache_value_t *value)
{
    ngx_http_pki_cache_entry_t *e = (ngx_http_pki_cache_entry_t *) (b->room + b->used);
    u_char                     *p;

    e->refresh_at = (uint32_t) value->refresh_at;
    e->reuse_until = (uint32_t) value->reuse_until;
    e->key_len = (uint16_t) key->len;
    e->value_len = (uint16_t) value->len;
    p = ngx_cpymem(e->octets, key->octets, key->len);
    ngx_memcpy(p, value->octets, value->len);

    b->tag[b->count] = ngx_http_pki_cache_tag(key);
    b->at[b->count] = b->used;
    b->asked &= ~(1u << b->count);
    b->count++;
    b->used += ngx_http_pki_cache_size(e);
    (void) ngx_atomic_fetch_add(&table->entries, 1);
    (void) ngx_atomic_fetch_add(&table->used, ngx_http_pki_cache_size(e));
    (void) ngx_atomic_fetch_add(&table->inserted, 1);
}

void
ngx_http_pki_cache_insert(ngx_shm_zone_t *zone, const ngx_http_pki_cache_key_t *key, int64_t now,
                          const ngx_http_pki_cache_value_t *value)
{
    ngx_http_pki_cache_table_t  *table = ((ngx_http_pki_cache_t *) zone->data)->table;
    ngx_http_pki_cache_bucket_t *b = ngx_http_pki_cache_bucket(zone, key);
    size_t                       size = sizeof(ngx_http_pki_cache_entry_t) + key->len + value->len;

    if (key->len > sizeof(key->octets) || ngx_align(size, 8) > sizeof(b->room)
        || ngx_http_pki_cache_take(table, b) != NGX_OK) {
        return;
    }
    ngx_http_pki_cache_replace(table, b, key);
    while (b->count == NGX_HTTP_PKI_CACHE_ENTRIES || ngx_align(size, 8) > sizeof(b->room) - b->used) {
        ngx_http_pki_cache_remove(table, b, ngx_http_pki_cache_victim(b, now));
        (void) ngx_atomic_fetch_add(&table->evicted, 1);
    }
    ngx_http_pki_cache_append(table, b, key, value);
    ngx_http_pki_cache_give(b);
}

ngx_int_t
ngx_http_pki_cache_find(ngx_shm_zone_t *zone, const ngx_http_pki_cache_key_t *key, int64_t now,
                        ngx_http_pki_cache_value_t *out)
{
    ngx_http_pki_cache_bucket_t *b = ngx_http_pki_cache_bucket(zone, key);
    ngx_int_t                    rc = NGX_AGAIN;
    size_t                       i, found = 0;

    if (key->len > sizeof(key->octets)) {
        return NGX_DECLINED;
    }
    for (i = 0; i < NGX_HTTP_PKI_CACHE_TRIES && rc == NGX_AGAIN; i++) {
        rc = ngx_http_pki_cache_read(b, key, out, &found);
    }
    if (rc != NGX_OK || out->reuse_until <= now) {
        return NGX_DECLINED;
    }
    if ((b->asked & 1u << found) == 0) {
        (void) __atomic_fetch_or(&b->asked, (uint16_t) (1u << found), __ATOMIC_RELAXED);
    }
    return NGX_OK;
}

ngx_int_t
ngx_http_pki_cache_claim(ngx_shm_zone_t *zone, const ngx_http_pki_cache_key_t *key, int64_t now)
{
    ngx_http_pki_cache_bucket_t *b = ngx_http_pki_cache_bucket(zone, key);
    ngx_http_pki_cache_entry_t  *e;
    ngx_int_t                    rc = NGX_DECLINED;
    size_t                       i;

    if (ngx_http_pki_cache_take(((ngx_http_pki_cache_t *) zone->data)->table, b) != NGX_OK) {
        return NGX_DECLINED;
    }
    for (i = 0; i < b->count; i++) {
        e = (ngx_http_pki_cache_entry_t *) (b->room + b->at[i]);
        if (e->key_len == key->len && ngx_memcmp(e->octets, key->octets, key->len) == 0 && e->refresh_at <= now) {
            e->refresh_at = (uint32_t) (now + NGX_HTTP_PKI_CACHE_CLAIM_S);
            rc = NGX_OK;
        }
    }
    ngx_http_pki_cache_give(b);
    return rc;
}
