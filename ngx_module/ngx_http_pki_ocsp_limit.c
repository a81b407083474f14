/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What OCSP does not do at any rate (N-07, O-37): signatures have budgets, and whom nginx's own limit_req
 * turns away is told so in a form that OCSP clients read.
 *
 *     pki_ocsp_nonce_limit zone=NAME:SIZE [source=RATE] [total=RATE];   http; answers that cannot be kept
 *     pki_ocsp_sign_limit zone=NAME:SIZE total=RATE;                    http; answers for the cache
 *     pki_ocsp_error unauthorized|tryLater;                             location; that is the answer, to all
 */
#include "ngx_module/ngx_http_pki_ocsp.h"

static ngx_int_t ngx_http_pki_ocsp_unauthorized_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_pki_ocsp_try_later_handler(ngx_http_request_t *r);

static const struct {
    ngx_str_t           name;
    ngx_http_handler_pt handler;
} ngx_http_pki_ocsp_errors[] = {
    { ngx_string("unauthorized"), ngx_http_pki_ocsp_unauthorized_handler },
    { ngx_string("tryLater"), ngx_http_pki_ocsp_try_later_handler },
};

ngx_int_t
ngx_http_pki_ocsp_afford(ngx_http_pki_ocsp_t *o, ngx_uint_t can_be_kept)
{
    ngx_http_pki_ocsp_main_conf_t *omcf = ngx_http_get_module_main_conf(o->r, ngx_http_pki_ocsp_module);

    o->retry_after = ngx_http_pki_limit_take(can_be_kept ? omcf->sign_limit : omcf->nonce_limit,
                                             o->r->connection->sockaddr, ngx_current_msec);
    if (o->retry_after != NGX_OK) {
        ngx_http_pki_metrics_event(o->slot, can_be_kept ? NGX_HTTP_PKI_EVENT_SHED_SIGN
                                                        : NGX_HTTP_PKI_EVENT_SHED_NONCE);
    }
    return o->retry_after;
}

ngx_int_t
ngx_http_pki_ocsp_not_now(ngx_http_request_t *r, ngx_int_t seconds)
{
    ngx_str_t value;

    value.data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }
    value.len = ngx_sprintf(value.data, "%i", seconds) - value.data;
    return ngx_http_pki_header(r, "Retry-After", value);
}

/* limit_req came before the store: whose issuer it was is not known. */
static ngx_int_t
ngx_http_pki_ocsp_error_send(ngx_http_request_t *r, ocsp_response_status_t status)
{
    ngx_http_pki_slot_t *slot = ngx_http_pki_metrics_none(r, NGX_HTTP_PKI_OCSP);

    ngx_http_pki_metrics_event(slot, NGX_HTTP_PKI_EVENT_SHED_SOURCE);
    ngx_http_pki_metrics_done(slot, status, ngx_http_pki_metrics_clock());
    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }
    if (ngx_http_pki_ocsp_not_now(r, 1) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return ngx_http_pki_ocsp_send_error(r, status);
}

static ngx_int_t
ngx_http_pki_ocsp_unauthorized_handler(ngx_http_request_t *r)
{
    return ngx_http_pki_ocsp_error_send(r, OCSP_UNAUTHORIZED);
}

static ngx_int_t
ngx_http_pki_ocsp_try_later_handler(ngx_http_request_t *r)
{
    return ngx_http_pki_ocsp_error_send(r, OCSP_TRY_LATER);
}

char *
ngx_http_pki_ocsp_error(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t *value = cf->args->elts;
    ngx_uint_t i;

    for (i = 0; i < sizeof(ngx_http_pki_ocsp_errors) / sizeof(ngx_http_pki_ocsp_errors[0]); i++) {
        if (bytes_eq(ngx_http_pki_bytes(value[1]), ngx_http_pki_bytes(ngx_http_pki_ocsp_errors[i].name))) {
            return ngx_http_pki_handler_set(cf, ngx_http_pki_ocsp_errors[i].handler);
        }
    }
    return "takes \"unauthorized\" or \"tryLater\"";
}

char *
ngx_http_pki_ocsp_nonce_limit(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pki_ocsp_main_conf_t *omcf = conf;

    return ngx_http_pki_limit_zone(cf, 1, &omcf->nonce_limit, &ngx_http_pki_ocsp_module);
}

char *
ngx_http_pki_ocsp_sign_limit(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pki_ocsp_main_conf_t *omcf = conf;

    return ngx_http_pki_limit_zone(cf, 0, &omcf->sign_limit, &ngx_http_pki_ocsp_module);
}
