/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Answers in memory that all workers share.  The key is the question, compared whole; what its answer depends on
 * beside it is kept with the answer, and looked at by whoever finds it, so that nothing ever needs to be
 * invalidated: another answer takes the place of the one before.
 */
#ifndef NGX_HTTP_PKI_CACHE_H
#define NGX_HTTP_PKI_CACHE_H

#include "ngx_module/ngx_http_pki_glue.h"

#define NGX_HTTP_PKI_CACHE_KEY_MAX   64
#define NGX_HTTP_PKI_CACHE_VALUE_MAX 1536

/* Made by ngx_http_pki_cache_key() and _key_add(). */
typedef struct {
    uint64_t hash;
    size_t   len;
    uint8_t  octets[NGX_HTTP_PKI_CACHE_KEY_MAX];
} ngx_http_pki_cache_key_t;

typedef struct {
    int64_t refresh_at;  /* when the first claim is good */
    int64_t reuse_until; /* exclusive */
    size_t  len;
    uint8_t octets[NGX_HTTP_PKI_CACHE_VALUE_MAX];
} ngx_http_pki_cache_value_t;

typedef struct {
    uint64_t octets;   /* room for entries */
    uint64_t used;     /* octets of it that are taken */
    uint64_t entries;
    uint64_t inserted; /* ever, as the ones below */
    uint64_t replaced; /* by one with the same key */
    uint64_t evicted;  /* by one with another */
    uint64_t busy;     /* not inserted: another worker was writing there */
} ngx_http_pki_cache_stat_t;

/* "zone=NAME:SIZE" of a directive. */
char *ngx_http_pki_cache_zone(ngx_conf_t *cf, ngx_str_t *value, ngx_shm_zone_t **zone, void *tag);

/* Of octets from anywhere, under the zone's secret number.  Who knows how it is made can make two that are the same. */
uint64_t ngx_http_pki_cache_hash(ngx_shm_zone_t *zone, bytes_t octets);

/*
 * Begin a key with what spreads well, the serial.  Memory is slow: the place where an answer would be is
 * fetched meanwhile, its list of contents by _key(), and the answer itself by _fetch(), some work later.
 */
void ngx_http_pki_cache_key(ngx_shm_zone_t *zone, ngx_http_pki_cache_key_t *key, bytes_t spread);
void ngx_http_pki_cache_fetch(ngx_shm_zone_t *zone, const ngx_http_pki_cache_key_t *key);

/* What has no room makes a key that finds nothing and inserts nothing. */
void ngx_http_pki_cache_key_add(ngx_http_pki_cache_key_t *key, bytes_t octets);
void ngx_http_pki_cache_key_add_number(ngx_http_pki_cache_key_t *key, uint64_t number);

/* Copies the answer out.  NGX_DECLINED when there is none to be used at the time now. */
ngx_int_t ngx_http_pki_cache_find(ngx_shm_zone_t *zone, const ngx_http_pki_cache_key_t *key, int64_t now,
                                  ngx_http_pki_cache_value_t *out);

/* NGX_OK: it is the caller, and for some seconds nobody else, who makes another answer for one past refresh_at. */
ngx_int_t ngx_http_pki_cache_claim(ngx_shm_zone_t *zone, const ngx_http_pki_cache_key_t *key, int64_t now);

/* Insert, in the place of what has this key.  What does not fit makes old entries go. */
void ngx_http_pki_cache_insert(ngx_shm_zone_t *zone, const ngx_http_pki_cache_key_t *key, int64_t now,
                               const ngx_http_pki_cache_value_t *value);

void ngx_http_pki_cache_stat(ngx_shm_zone_t *zone, ngx_http_pki_cache_stat_t *out);

#endif
