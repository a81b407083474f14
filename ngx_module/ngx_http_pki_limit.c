/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The zone of a budget.  The lock is held for some ten instructions; a worker that
 * dies inside leaves numbers that are right but for one token.
 */
#include "ngx_module/ngx_http_pki_limit.h"

#include <openssl/rand.h>

#include "pkiproto/base/limit.h"

typedef struct {
    limit_rates_t    rates;
    ngx_slab_pool_t *pool;
    limit_table_t   *table;
} ngx_http_pki_limit_t;

static ngx_int_t
ngx_http_pki_limit_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_pki_limit_t *old = data, *limit = zone->data;
    uint64_t              seed;
    size_t                size;
    void                 *mem;

    limit->pool = (ngx_slab_pool_t *) zone->shm.addr;
    if (old != NULL) {
        limit->table = old->table;
        return NGX_OK;
    }
    if (zone->shm.exists) {
        limit->table = limit->pool->data;
        return NGX_OK;
    }
    size = limit->pool->pfree * ngx_pagesize;
    mem = ngx_slab_alloc(limit->pool, size);
    if (mem == NULL || RAND_bytes((unsigned char *) &seed, sizeof(seed)) != 1) {
        return NGX_ERROR;
    }
    limit->table = limit_table_make(mem, size, seed);
    limit->pool->data = limit->table;
    return limit->table != NULL ? NGX_OK : NGX_ERROR;
}

/* NGX_DECLINED: not this word. */
static ngx_int_t
ngx_http_pki_limit_rate(ngx_str_t *value, const char *name, uint64_t *rate)
{
    size_t len = ngx_strlen(name);

    if (value->len < len || ngx_strncmp(value->data, name, len) != 0) {
        return NGX_DECLINED;
    }
    return limit_rate_parse(bytes_of(value->data + len, value->len - len), rate) ? NGX_OK : NGX_ERROR;
}

char *
ngx_http_pki_limit_zone(ngx_conf_t *cf, ngx_uint_t by_source, ngx_shm_zone_t **zone, void *tag)
{
    ngx_str_t            *value = cf->args->elts;
    ngx_http_pki_limit_t *limit = ngx_pcalloc(cf->pool, sizeof(*limit));
    ngx_uint_t            i;
    ngx_int_t             rc;
    char                 *rv;

    if (limit == NULL) {
        return NGX_CONF_ERROR;
    }
    rv = ngx_http_pki_zone(cf, &value[1], zone, tag);
    if (rv != NGX_CONF_OK) {
        return rv;
    }
    for (i = 2; i < cf->args->nelts; i++) {
        rc = by_source ? ngx_http_pki_limit_rate(&value[i], "source=", &limit->rates.source) : NGX_DECLINED;
        if (rc == NGX_DECLINED) {
            rc = ngx_http_pki_limit_rate(&value[i], "total=", &limit->rates.total);
        }
        if (rc != NGX_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }
    }
    if (limit->rates.source == 0 && limit->rates.total == 0) {
        return "needs a rate";
    }
    (*zone)->data = limit;
    (*zone)->init = ngx_http_pki_limit_init;
    return NGX_CONF_OK;
}

static bytes_t
ngx_http_pki_limit_address(struct sockaddr *source)
{
    switch (source->sa_family) {
    case AF_INET:
        return bytes_of(&((struct sockaddr_in *) source)->sin_addr, 4);
    case AF_INET6:
        return bytes_of(&((struct sockaddr_in6 *) source)->sin6_addr, 16);
    default:
        return BYTES_NONE; /* a unix socket: one source */
    }
}

ngx_int_t
ngx_http_pki_limit_take(ngx_shm_zone_t *zone, struct sockaddr *source, ngx_msec_t now_ms)
{
    ngx_http_pki_limit_t *limit;
    uint64_t              from, wait;

    if (zone == NULL) {
        return NGX_OK;
    }
    limit = zone->data;
    from = limit_source(ngx_http_pki_limit_address(source));

    ngx_shmtx_lock(&limit->pool->mutex);
    wait = limit_take(limit->table, &limit->rates, from, now_ms);
    ngx_shmtx_unlock(&limit->pool->mutex);

    return wait == 0 ? NGX_OK : (ngx_int_t) ((wait + 999) / 1000);
}
