/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Budgets that all workers share: token buckets for each source address (IPv4 /32, IPv6 /64) and for all
 * together, in a zone of a fixed size (pkiproto/base/limit.h).
 */
#ifndef NGX_HTTP_PKI_LIMIT_H
#define NGX_HTTP_PKI_LIMIT_H

#include "ngx_module/ngx_http_pki_glue.h"

/*
 * The words of a directive: "zone=NAME:SIZE [source=RATE] [total=RATE]", RATE as 100r/s or 30r/m; source only
 * where it is allowed, one of both at least.
 */
char *ngx_http_pki_limit_zone(ngx_conf_t *cf, ngx_uint_t by_source, ngx_shm_zone_t **zone, void *tag);

/*
 * Take one from the budget.  NGX_OK, or the seconds (more than 0) after which to ask again.  Without a zone
 * there is no limit.  now_ms: ngx_current_msec.
 */
ngx_int_t ngx_http_pki_limit_take(ngx_shm_zone_t *zone, struct sockaddr *source, ngx_msec_t now_ms);

#endif
