/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * An OCSP request being answered: shared by the module's files.
 */
#ifndef NGX_HTTP_PKI_OCSP_H
#define NGX_HTTP_PKI_OCSP_H

#include "ngx_module/ngx_http_pki_cache.h"
#include "ngx_module/ngx_http_pki_module.h"

extern ngx_module_t ngx_http_pki_ocsp_module;

typedef struct {
    ngx_shm_zone_t *cache; /* NULL: every answer is signed */
} ngx_http_pki_ocsp_main_conf_t;

/* Lives within one call, inside the store's transaction. */
typedef struct {
    ngx_http_request_t       *r;
    ngx_http_pki_store_t     *store;
    ngx_http_pki_authority_t *authorities; /* of the issuer in the path */
    size_t                    authority_count;
    ocsp_request_t            request;

    /* Filled by ngx_http_pki_ocsp_answer(). */
    ngx_http_pki_authority_t *authority;
    ngx_http_pki_responder_t *responder;
    bytes_t                   status[OCSP_IDS_MAX]; /* records, in the store */
    int64_t                   now, this_update, next_update;
    bytes_t                   answer; /* in the request's pool */
} ngx_http_pki_ocsp_t;

/* The answer, or the status that is the answer. */
ocsp_response_status_t ngx_http_pki_ocsp_answer(ngx_http_pki_ocsp_t *o);

#endif
