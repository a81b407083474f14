/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The module that the others build on: it holds the edge store and what is the same in every request.
 */
#ifndef NGX_HTTP_PKI_MODULE_H
#define NGX_HTTP_PKI_MODULE_H

#include "ngx_module/ngx_http_pki_glue.h"
#include "ngx_module/ngx_http_pki_store.h"

extern ngx_module_t ngx_http_pki_module;

typedef struct {
    ngx_http_pki_store_t *store; /* NULL: no pki_edge_store */
    ngx_int_t             request_id; /* index of $request_id */
} ngx_http_pki_main_conf_t;

/* Per request: a body being read. */
typedef struct {
    size_t               body_max;
    ngx_http_pki_body_pt body_handler;
    ngx_str_t            body;
} ngx_http_pki_ctx_t;

/* The request's own, made on first use; NULL when out of memory. */
ngx_http_pki_ctx_t *ngx_http_pki_ctx(ngx_http_request_t *r);

/* The store of this worker, never NULL in a location of ours: configuration checks that. */
ngx_http_pki_store_t *ngx_http_pki_store(ngx_http_request_t *r);

/* $request_id: the same that access logs show. */
ngx_str_t ngx_http_pki_request_id(ngx_http_request_t *r);

/* What each protocol's directive does: refuse it without a store, set the content handler. */
char *ngx_http_pki_handler_set(ngx_conf_t *cf, ngx_http_handler_pt handler);

#endif
