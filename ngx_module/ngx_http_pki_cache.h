/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Signed OCSP answers in memory that all workers share.  The key is everything an answer depends on (authority,
 * CertID as asked, status record as just read, signer and configuration), so that nothing ever needs to be
 * invalidated: an answer for another state has another key, and what is no longer asked for is evicted.
 */
#ifndef NGX_HTTP_PKI_CACHE_H
#define NGX_HTTP_PKI_CACHE_H

#include "ngx_module/ngx_http_pki_glue.h"
#include "pkiproto/edge/record.h"

typedef struct {
    uint32_t authority;
    uint64_t variant; /* all else that an answer depends on: who signs, how, and what is configured */
    bytes_t  cert_id; /* whole, as asked */
    bytes_t  status;  /* the record */
} ngx_http_pki_cache_key_t;

/* The varying part of an answer: the responder's certificate is added when it is sent. */
#define NGX_HTTP_PKI_CACHE_TBS_MAX       1024
#define NGX_HTTP_PKI_CACHE_SIGNATURE_MAX 512
typedef struct {
    int64_t  reuse_until; /* exclusive */
    uint16_t tbs_len, signature_len;
    uint8_t  tbs[NGX_HTTP_PKI_CACHE_TBS_MAX];
    uint8_t  signature[NGX_HTTP_PKI_CACHE_SIGNATURE_MAX];
} ngx_http_pki_cache_answer_t;

/* "zone=NAME:SIZE" of a directive. */
char *ngx_http_pki_cache_zone(ngx_conf_t *cf, ngx_str_t *value, ngx_shm_zone_t **zone, void *tag);

/* Copies the answer out.  NGX_DECLINED when there is none to be used at the time now. */
ngx_int_t ngx_http_pki_cache_find(ngx_shm_zone_t *zone, const ngx_http_pki_cache_key_t *key, int64_t now,
                                  ngx_http_pki_cache_answer_t *out);

/* Insert, or replace what has the same key.  What does not fit makes old entries go. */
void ngx_http_pki_cache_insert(ngx_shm_zone_t *zone, const ngx_http_pki_cache_key_t *key,
                               const ngx_http_pki_cache_answer_t *answer);

#endif
