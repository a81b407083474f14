/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Answers that clients had: the short way to a 304.  Who caches answers asks again and again with the same target and
 * the entity tag of what he has; when a worker has found such an answer current, it remembers the target's hash and
 * the tag, and need not decode, parse and look up the same request the next time.
 *
 * What is remembered is believed only under the snapshot it was found in, while the store counts no change of the
 * certificate's status, before the answer is to be made anew, and for the very tag, which is the digest of an answer:
 * targets whose hashes are the same cannot be taken for each other by a client that has the answer it speaks of.
 */
#include "ngx_module/ngx_http_pki_ocsp.h"

#include <sys/mman.h>

#define NGX_HTTP_PKI_OCSP_HAD_SHARE 32 /* part of the cache's size that a worker may take for this */
#define NGX_HTTP_PKI_OCSP_HAD_WAYS  2
#define NGX_HTTP_PKI_OCSP_HAD_AUTHORITY ((1 << 13) - 1) /* the last whose place in the snapshot has room */

/* One cache line. */
typedef struct {
    uint64_t key; /* 0: nothing */
    uint64_t changes;
    uint32_t this_update, next_update, refresh_at;
    uint32_t stripe : 10, authority : 13, last_octet : 8, is_revoked : 1;
    uint8_t  etag[32];
} ngx_http_pki_ocsp_had_entry_t;

typedef struct {
    ngx_http_pki_ocsp_had_entry_t way[NGX_HTTP_PKI_OCSP_HAD_WAYS];
} ngx_http_pki_ocsp_had_set_t;

_Static_assert(sizeof(ngx_http_pki_ocsp_had_entry_t) == 64, "an entry has outgrown its line");
_Static_assert(EDGE_STRIPES <= 1 << 10, "the number of a stripe has outgrown its bits");

struct ngx_http_pki_ocsp_had_s {
    ngx_http_pki_ocsp_had_set_t *set;
    size_t                       count;
};

/* Pages are taken as they are used. */
static ngx_http_pki_ocsp_had_t *
ngx_http_pki_ocsp_had_new(ngx_shm_zone_t *cache)
{
    ngx_http_pki_ocsp_had_t *had = ngx_calloc(sizeof(*had), ngx_cycle->log);
    size_t                   size = cache->shm.size / NGX_HTTP_PKI_OCSP_HAD_SHARE;

    if (had == NULL) {
        return NULL;
    }
    had->set = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (had->set == MAP_FAILED) {
        ngx_free(had);
        return NULL;
    }
    (void) madvise(had->set, size, MADV_HUGEPAGE);
    had->count = size / sizeof(*had->set);
    return had;
}

static ngx_http_pki_ocsp_had_set_t *
ngx_http_pki_ocsp_had_set(const ngx_http_pki_ocsp_had_t *had, uint64_t hash)
{
    return &had->set[(uint64_t) (((unsigned __int128) hash * had->count) >> 64)];
}

/* The target as it was sent, and the location, whose directives show in answers. */
static uint64_t
ngx_http_pki_ocsp_had_hash(ngx_http_request_t *r, ngx_shm_zone_t *cache)
{
    uint64_t location = (uintptr_t) ngx_http_get_module_loc_conf(r, ngx_http_pki_ocsp_module);

    return ngx_http_pki_cache_hash(cache, ngx_http_pki_bytes(r->unparsed_uri)) ^ location * 0x9e3779b97f4a7c15;
}

/* Authorities are numbered anew in each snapshot.  Never 0. */
static uint64_t
ngx_http_pki_ocsp_had_key(const ngx_http_pki_ocsp_t *o, uint64_t hash)
{
    return (hash ^ o->store->snapshots * 0xd1b54a32d192ed03) | 1;
}

static ngx_http_pki_ocsp_had_entry_t *
ngx_http_pki_ocsp_had_find(ngx_http_pki_ocsp_had_set_t *set, uint64_t key)
{
    ngx_uint_t i;

    for (i = 0; i < NGX_HTTP_PKI_OCSP_HAD_WAYS; i++) {
        if (set->way[i].key == key) {
            return &set->way[i];
        }
    }
    return NULL;
}

/* Fill what the 304 is made of, inside the store's transaction. */
static ngx_int_t
ngx_http_pki_ocsp_had_use(ngx_http_pki_ocsp_t *o, const ngx_http_pki_ocsp_had_entry_t *e)
{
    ngx_http_pki_authority_t *authority = &o->store->snapshot->authorities[e->authority];
    uint64_t                  changes;

    if (e->refresh_at <= o->now || !edge_changes_get_stripe(o->store->changes, e->stripe, &changes)
        || e->changes != changes) {
        return NGX_DECLINED;
    }
    ngx_http_pki_ocsp_tag(o, e->etag);
    if (!ngx_http_pki_ocsp_is_current(o)) {
        return NGX_DECLINED;
    }
    o->this_update = e->this_update;
    o->next_update = e->next_update;
    o->last_octet = e->last_octet;
    o->outcome = e->is_revoked ? NGX_HTTP_PKI_OUTCOME_REVOKED : NGX_HTTP_PKI_OUTCOME_GOOD;
    o->can_be_kept = 1;
    o->answer = BYTES_NONE;
    o->slot = ngx_http_pki_metrics_slot(o->r, NGX_HTTP_PKI_OCSP, &authority->slots, authority->record.id);
    return NGX_OK;
}

uint64_t
ngx_http_pki_ocsp_had_expect(ngx_http_request_t *r)
{
    ngx_http_pki_ocsp_main_conf_t *omcf = ngx_http_get_module_main_conf(r, ngx_http_pki_ocsp_module);
    ngx_http_pki_ocsp_had_set_t   *set;
    uint64_t                       hash;

    if (omcf->had == NULL || r->headers_in.if_none_match == NULL) {
        return 0;
    }
    hash = ngx_http_pki_ocsp_had_hash(r, omcf->cache);
    set = ngx_http_pki_ocsp_had_set(omcf->had, hash);
    __builtin_prefetch(&set->way[0]);
    __builtin_prefetch(&set->way[1]);
    return hash;
}

ngx_int_t
ngx_http_pki_ocsp_had(ngx_http_pki_ocsp_t *o, uint64_t hash)
{
    ngx_http_pki_ocsp_main_conf_t *omcf = ngx_http_get_module_main_conf(o->r, ngx_http_pki_ocsp_module);
    ngx_http_pki_ocsp_had_entry_t *e;
    ngx_int_t                      rc;

    if (ngx_http_pki_store_begin(o->store, o->r->connection->log) != NGX_OK) {
        return NGX_DECLINED;
    }
    e = ngx_http_pki_ocsp_had_find(ngx_http_pki_ocsp_had_set(omcf->had, hash), ngx_http_pki_ocsp_had_key(o, hash));
    rc = e != NULL ? ngx_http_pki_ocsp_had_use(o, e) : NGX_DECLINED;
    ngx_http_pki_store_end(o->store);
    if (rc == NGX_OK) {
        ngx_http_pki_metrics_event(o->slot, NGX_HTTP_PKI_EVENT_CACHE_HIT);
    }
    return rc;
}

/* The one that was remembered last goes last. */
static ngx_http_pki_ocsp_had_entry_t *
ngx_http_pki_ocsp_had_place(ngx_http_pki_ocsp_had_set_t *set, uint64_t key)
{
    ngx_http_pki_ocsp_had_entry_t *e = ngx_http_pki_ocsp_had_find(set, key);

    if (e == NULL) {
        e = &set->way[0];
        set->way[1] = *e;
    }
    return e;
}

void
ngx_http_pki_ocsp_had_insert(ngx_http_pki_ocsp_t *o, uint64_t changes, int64_t refresh_at)
{
    ngx_http_pki_ocsp_main_conf_t *omcf = ngx_http_get_module_main_conf(o->r, ngx_http_pki_ocsp_module);
    size_t                         authority = (size_t) (o->authority - o->store->snapshot->authorities), stripe;
    ngx_http_pki_ocsp_had_entry_t *e;
    uint64_t                       hash, key;

    if (o->r->headers_in.if_none_match == NULL || o->conf->require_signed || authority > NGX_HTTP_PKI_OCSP_HAD_AUTHORITY
        || ngx_http_pki_store_stripe(o->store, o->authority->record.no, o->request.id[0].serial, &stripe) != NGX_OK
        || (omcf->had == NULL && (omcf->had = ngx_http_pki_ocsp_had_new(omcf->cache)) == NULL)) {
        return;
    }
    hash = ngx_http_pki_ocsp_had_hash(o->r, omcf->cache);
    key = ngx_http_pki_ocsp_had_key(o, hash);
    e = ngx_http_pki_ocsp_had_place(ngx_http_pki_ocsp_had_set(omcf->had, hash), key);
    *e = (ngx_http_pki_ocsp_had_entry_t){
        .key = key,
        .changes = changes,
        .this_update = (uint32_t) o->this_update,
        .next_update = (uint32_t) o->next_update,
        .refresh_at = (uint32_t) refresh_at,
        .stripe = (uint32_t) stripe,
        .authority = (uint32_t) authority,
        .last_octet = o->last_octet,
        .is_revoked = o->outcome == NGX_HTTP_PKI_OUTCOME_REVOKED,
    };
    ngx_memcpy(e->etag, o->etag, sizeof(e->etag));
}
