/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A worker's way to the orchestrator: one connection to a unix socket, with many requests on it at a time
 * (pkiproto/edge/frame.h).
 */
#ifndef NGX_HTTP_PKI_HOP_H
#define NGX_HTTP_PKI_HOP_H

#include "ngx_module/ngx_http_pki_glue.h"

typedef struct ngx_http_pki_hop_s ngx_http_pki_hop_t;

/* Absent octets: there is no answer, within the time of the hop.  They are borrowed; the handler finalizes the request. */
typedef void (*ngx_http_pki_hop_pt)(ngx_http_request_t *r, bytes_t answer);

/* The hop to "unix:PATH" of a directive; NULL when url is none, which has been logged. */
ngx_http_pki_hop_t *ngx_http_pki_hop_add(ngx_conf_t *cf, ngx_str_t *url, ngx_msec_t timeout);

/*
 * The octets live as long as the request: they are sent once more when a connection is lost.  After NGX_OK the handler
 * is called, later and once, unless the request ends before.
 */
ngx_int_t ngx_http_pki_hop_ask(ngx_http_request_t *r, ngx_http_pki_hop_t *hop, ngx_str_t octets,
                               ngx_http_pki_hop_pt answered);

#endif
