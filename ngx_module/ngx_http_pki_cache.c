/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A hash table with chains and a queue by last use, in a slab zone.  An entry of a P-256 responder takes one
 * slab of 512 octets.  The critical sections are a look-up and two copies; nothing in them can fail half-way
 * but the allocation, so a worker that dies inside leaves a table that nginx's forced unlock makes usable.
 *
 * The queue is kept only roughly: moving an entry touches three others that are in no processor's cache,
 * which would cost as much as all the rest of a hit.
 */
#include "ngx_module/ngx_http_pki_cache.h"

#define NGX_HTTP_PKI_CACHE_ENTRY_SIZE 512 /* what one entry is expected to take, for the table's size */
#define NGX_HTTP_PKI_CACHE_EVICT_MAX  8   /* entries that make room for one */
#define NGX_HTTP_PKI_CACHE_TOUCH_S    30  /* an entry moves to the front of the queue at most this often */

typedef struct ngx_http_pki_cache_entry_s ngx_http_pki_cache_entry_t;

struct ngx_http_pki_cache_entry_s {
    ngx_http_pki_cache_entry_t *next; /* in its chain */
    ngx_queue_t                 queue;
    uint32_t                    hash;
    uint32_t                    authority;
    uint64_t                    variant;
    uint16_t                    cert_id_len, status_len, tbs_len, signature_len;
    int64_t                     reuse_until, moved_at;
    uint8_t                     data[]; /* CertID, status record, tbs, signature */
};

typedef struct {
    ngx_queue_t                 queue; /* recently used first */
    uint32_t                    mask;
    ngx_http_pki_cache_entry_t *bucket[];
} ngx_http_pki_cache_table_t;

typedef struct {
    ngx_http_pki_cache_table_t *table;
    ngx_slab_pool_t            *pool;
} ngx_http_pki_cache_t;

static ngx_int_t
ngx_http_pki_cache_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_pki_cache_t *old = data, *cache = zone->data;
    uint32_t              count = 64;

    if (old != NULL) {
        *cache = *old;
        return NGX_OK;
    }
    cache->pool = (ngx_slab_pool_t *) zone->shm.addr;
    if (zone->shm.exists) {
        cache->table = cache->pool->data;
        return NGX_OK;
    }
    while (count < zone->shm.size / NGX_HTTP_PKI_CACHE_ENTRY_SIZE) {
        count *= 2;
    }
    cache->table =
        ngx_slab_calloc(cache->pool, sizeof(*cache->table) + count * sizeof(cache->table->bucket[0]));
    if (cache->table == NULL) {
        return NGX_ERROR;
    }
    cache->table->mask = count - 1;
    ngx_queue_init(&cache->table->queue);
    cache->pool->data = cache->table;
    cache->pool->log_nomem = 0;
    return NGX_OK;
}

char *
ngx_http_pki_cache_zone(ngx_conf_t *cf, ngx_str_t *value, ngx_shm_zone_t **zone, void *tag)
{
    ngx_str_t name, text;
    ssize_t   size;
    u_char   *colon;

    if (*zone != NULL) {
        return "is duplicate";
    }
    if (value->len < 5 || ngx_strncmp(value->data, "zone=", 5) != 0) {
        return "takes \"zone=NAME:SIZE\"";
    }
    name.data = value->data + 5;
    colon = ngx_strlchr(name.data, value->data + value->len, ':');
    if (colon == NULL || colon == name.data) {
        return "takes \"zone=NAME:SIZE\"";
    }
    name.len = colon - name.data;
    text.data = colon + 1;
    text.len = value->data + value->len - text.data;
    size = ngx_parse_size(&text);
    if (size < (ssize_t) (16 * ngx_pagesize)) {
        return "needs a zone of at least 16 pages";
    }
    *zone = ngx_shared_memory_add(cf, &name, size, tag);
    if (*zone == NULL) {
        return NGX_CONF_ERROR;
    }
    if ((*zone)->data != NULL) {
        return "uses a zone that is in use already";
    }
    (*zone)->data = ngx_pcalloc(cf->pool, sizeof(ngx_http_pki_cache_t));
    (*zone)->init = ngx_http_pki_cache_init;
    return (*zone)->data != NULL ? NGX_CONF_OK : NGX_CONF_ERROR;
}

/* Serials are ours and random; whoever asks cannot choose what collides. */
static uint32_t
ngx_http_pki_cache_hash(const ngx_http_pki_cache_key_t *key)
{
    return ngx_murmur_hash2((u_char *) key->cert_id.p, key->cert_id.len) ^ key->authority;
}

static ngx_int_t
ngx_http_pki_cache_match(const ngx_http_pki_cache_entry_t *e, const ngx_http_pki_cache_key_t *key,
                         uint32_t hash)
{
    return e->hash == hash && e->authority == key->authority
           && e->variant == key->variant && e->cert_id_len == key->cert_id.len
           && e->status_len == key->status.len && ngx_memcmp(e->data, key->cert_id.p, e->cert_id_len) == 0
           && ngx_memcmp(e->data + e->cert_id_len, key->status.p, e->status_len) == 0;
}

ngx_int_t
ngx_http_pki_cache_find(ngx_shm_zone_t *zone, const ngx_http_pki_cache_key_t *key, int64_t now,
                        ngx_http_pki_cache_answer_t *out)
{
    ngx_http_pki_cache_t       *cache = zone->data;
    ngx_http_pki_cache_entry_t *e;
    uint32_t                    hash = ngx_http_pki_cache_hash(key);
    uint8_t                    *p;
    ngx_int_t                   rc = NGX_DECLINED;

    ngx_shmtx_lock(&cache->pool->mutex);

    for (e = cache->table->bucket[hash & cache->table->mask]; e != NULL; e = e->next) {
        if (ngx_http_pki_cache_match(e, key, hash)) {
            break;
        }
    }
    if (e != NULL && now < e->reuse_until) {
        p = e->data + e->cert_id_len + e->status_len;
        out->reuse_until = e->reuse_until;
        out->tbs_len = e->tbs_len;
        out->signature_len = e->signature_len;
        ngx_memcpy(out->tbs, p, e->tbs_len);
        ngx_memcpy(out->signature, p + e->tbs_len, e->signature_len);
        if (now - e->moved_at >= NGX_HTTP_PKI_CACHE_TOUCH_S) {
            e->moved_at = now;
            ngx_queue_remove(&e->queue);
            ngx_queue_insert_head(&cache->table->queue, &e->queue);
        }
        rc = NGX_OK;
    }

    ngx_shmtx_unlock(&cache->pool->mutex);
    return rc;
}

static void
ngx_http_pki_cache_remove(ngx_http_pki_cache_t *cache, ngx_http_pki_cache_entry_t *e)
{
    ngx_http_pki_cache_entry_t **p = &cache->table->bucket[e->hash & cache->table->mask];

    while (*p != e) {
        p = &(*p)->next;
    }
    *p = e->next;
    ngx_queue_remove(&e->queue);
    ngx_slab_free_locked(cache->pool, e);
}

static ngx_http_pki_cache_entry_t *
ngx_http_pki_cache_alloc(ngx_http_pki_cache_t *cache, size_t size)
{
    ngx_http_pki_cache_entry_t *e;
    ngx_queue_t                *last;
    ngx_uint_t                  i;

    e = ngx_slab_alloc_locked(cache->pool, size);
    for (i = 0; e == NULL && i < NGX_HTTP_PKI_CACHE_EVICT_MAX && !ngx_queue_empty(&cache->table->queue);
         i++) {
        last = ngx_queue_last(&cache->table->queue);
        ngx_http_pki_cache_remove(cache, ngx_queue_data(last, ngx_http_pki_cache_entry_t, queue));
        e = ngx_slab_alloc_locked(cache->pool, size);
    }
    return e;
}

static void
ngx_http_pki_cache_fill(ngx_http_pki_cache_entry_t *e, const ngx_http_pki_cache_key_t *key,
                        const ngx_http_pki_cache_answer_t *answer)
{
    u_char *p = e->data;

    e->authority = key->authority;
    e->variant = key->variant;
    e->cert_id_len = (uint16_t) key->cert_id.len;
    e->status_len = (uint16_t) key->status.len;
    e->tbs_len = answer->tbs_len;
    e->signature_len = answer->signature_len;
    e->reuse_until = answer->reuse_until;
    p = ngx_cpymem(p, key->cert_id.p, key->cert_id.len);
    p = ngx_cpymem(p, key->status.p, key->status.len);
    p = ngx_cpymem(p, answer->tbs, answer->tbs_len);
    ngx_memcpy(p, answer->signature, answer->signature_len);
}

void
ngx_http_pki_cache_insert(ngx_shm_zone_t *zone, const ngx_http_pki_cache_key_t *key,
                          const ngx_http_pki_cache_answer_t *answer)
{
    ngx_http_pki_cache_t        *cache = zone->data;
    ngx_http_pki_cache_entry_t  *e, **bucket;
    uint32_t                     hash = ngx_http_pki_cache_hash(key);

    ngx_shmtx_lock(&cache->pool->mutex);

    bucket = &cache->table->bucket[hash & cache->table->mask];
    for (e = *bucket; e != NULL; e = e->next) {
        if (ngx_http_pki_cache_match(e, key, hash)) {
            ngx_http_pki_cache_remove(cache, e);
            break;
        }
    }
    e = ngx_http_pki_cache_alloc(cache, sizeof(*e) + key->cert_id.len + key->status.len + answer->tbs_len
                                            + answer->signature_len);
    if (e != NULL) {
        e->hash = hash;
        e->moved_at = ngx_time();
        ngx_http_pki_cache_fill(e, key, answer);
        e->next = *bucket;
        *bucket = e;
        ngx_queue_insert_head(&cache->table->queue, &e->queue);
    }

    ngx_shmtx_unlock(&cache->pool->mutex);
}
