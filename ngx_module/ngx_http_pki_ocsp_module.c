/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * OCSP over HTTP (RFC 6960 appendix A, RFC 9919): POST, and GET with the request in the path.
 *
 *     pki_ocsp;                            location; {location}{issuer id}[/{base64} or /{serial in hex}]
 *     pki_ocsp_cache zone=NAME:SIZE;       http; signed answers shared by the workers
 *
 * and those of limits, which are in ngx_http_pki_ocsp_limit.c; for logs
 *
 *     $pki_ocsp_path                       the location and the issuer, without what is asked
 *
 * Every answer reflects the status read for it: a cached one is found only under that status.  Unknown
 * serials and requests with errors never cause a signature.
 */
#include "ngx_module/ngx_http_pki_ocsp.h"

static ngx_int_t ngx_http_pki_ocsp_variables(ngx_conf_t *cf);
static void     *ngx_http_pki_ocsp_create_main_conf(ngx_conf_t *cf);
static char     *ngx_http_pki_ocsp(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char     *ngx_http_pki_ocsp_cache(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_pki_ocsp_handler(ngx_http_request_t *r);

static ngx_command_t ngx_http_pki_ocsp_commands[] = {

    { ngx_string("pki_ocsp"),
      NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS,
      ngx_http_pki_ocsp,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pki_ocsp_cache"),
      NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
      ngx_http_pki_ocsp_cache,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pki_ocsp_nonce_limit"),
      NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE23,
      ngx_http_pki_ocsp_nonce_limit,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pki_ocsp_sign_limit"),
      NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE2,
      ngx_http_pki_ocsp_sign_limit,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pki_ocsp_error"),
      NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1,
      ngx_http_pki_ocsp_error,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pki_ocsp_responder_id"),
      NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_pki_ocsp_loc_conf_t, by_name),
      &ngx_http_pki_ocsp_responder_ids },

    { ngx_string("pki_ocsp_unissued"),
      NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_pki_ocsp_loc_conf_t, unissued),
      &ngx_http_pki_ocsp_unissued },

    { ngx_string("pki_ocsp_nonce"),
      NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_pki_ocsp_loc_conf_t, nonce),
      NULL },

    { ngx_string("pki_ocsp_signed_requests"),
      NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_pki_ocsp_loc_conf_t, require_signed),
      &ngx_http_pki_ocsp_signed_requests },

    { ngx_string("pki_ocsp_client_trust"),
      NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1,
      ngx_http_pki_ocsp_client_trust,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pki_ocsp_archive_cutoff"),
      NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1,
      ngx_http_pki_ocsp_archive_cutoff,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pki_ocsp_crl_reference"),
      NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1,
      ngx_http_pki_ocsp_crl_reference,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pki_ocsp_cert_hash"),
      NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_pki_ocsp_loc_conf_t, cert_hash),
      NULL },

    { ngx_string("pki_ocsp_max_ids"),
      NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_pki_ocsp_loc_conf_t, max_ids),
      &ngx_http_pki_ocsp_max_ids },

    { ngx_string("pki_ocsp_max_age"),
      NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_pki_ocsp_loc_conf_t, max_age),
      NULL },

    { ngx_string("pki_ocsp_max_target"),
      NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_pki_ocsp_loc_conf_t, max_target),
      NULL },

    { ngx_string("pki_ocsp_dual_cert_id"),
      NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_pki_ocsp_loc_conf_t, dual_cert_id),
      NULL },

    ngx_null_command
};

static ngx_http_module_t ngx_http_pki_ocsp_module_ctx = {
    ngx_http_pki_ocsp_variables,        /* preconfiguration */
    NULL,                               /* postconfiguration */

    ngx_http_pki_ocsp_create_main_conf, /* create main configuration */
    NULL,                               /* init main configuration */

    NULL,                               /* create server configuration */
    NULL,                               /* merge server configuration */

    ngx_http_pki_ocsp_create_loc_conf,  /* create location configuration */
    ngx_http_pki_ocsp_merge_loc_conf    /* merge location configuration */
};

ngx_module_t ngx_http_pki_ocsp_module = {
    NGX_MODULE_V1,
    &ngx_http_pki_ocsp_module_ctx, /* module context */
    ngx_http_pki_ocsp_commands,    /* module directives */
    NGX_HTTP_MODULE,               /* module type */
    NULL,                          /* init master */
    NULL,                          /* init module */
    NULL,                          /* init process */
    NULL,                          /* init thread */
    NULL,                          /* exit thread */
    NULL,                          /* exit process */
    NULL,                          /* exit master */
    NGX_MODULE_V1_PADDING
};

/* What gets no OCSP answer at all. */
static ngx_int_t
ngx_http_pki_ocsp_refuse(ngx_http_request_t *r, ngx_int_t status, const char *text)
{
    ngx_http_pki_metrics_done(ngx_http_pki_metrics_none(r, NGX_HTTP_PKI_OCSP), status, ngx_http_pki_metrics_clock());
    r->disable_not_modified = 1;
    if (ngx_http_pki_ocsp_no_store(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return ngx_http_pki_send_text(r, status, text);
}

/* Inside the store's transaction. */
static ocsp_response_status_t
ngx_http_pki_ocsp_ask(ngx_http_pki_ocsp_t *o, const ngx_http_pki_ocsp_question_t *question, pki_code_t parsed)
{
    if (question->serial.p != NULL) {
        parsed = ngx_http_pki_ocsp_request_of(o, question->serial);
        if (parsed != PKI_OK) {
            return OCSP_INTERNAL_ERROR;
        }
        ngx_http_pki_ocsp_expect(o);
    }
    if (parsed == PKI_OK) {
        ngx_http_pki_ocsp_expect_more(o);
        return ngx_http_pki_ocsp_answer(o);
    }
    return parsed == PKI_E_UNSUPPORTED ? OCSP_UNAUTHORIZED : OCSP_MALFORMED_REQUEST;
}

static void
ngx_http_pki_ocsp_begin(ngx_http_pki_ocsp_t *o, ngx_http_request_t *r)
{
    o->r = r;
    o->now = ngx_time();
    o->store = ngx_http_pki_store(r);
    o->slot = ngx_http_pki_metrics_none(r, NGX_HTTP_PKI_OCSP);
    o->began = ngx_http_pki_metrics_clock();
    o->retry_after = 0;
}

/* All of an OCSP request but its transport.  Errors, too, are answered 200: some clients drop other ones (H-07). */
static ngx_int_t
ngx_http_pki_ocsp_respond(ngx_http_request_t *r, bytes_t id, const ngx_http_pki_ocsp_question_t *question)
{
    ngx_http_pki_ocsp_t    o;
    ocsp_response_status_t status = OCSP_TRY_LATER;
    pki_code_t             parsed;

    ngx_http_pki_ocsp_begin(&o, r);
    ngx_http_pki_ocsp_guess(&o, question->der);

    parsed = ocsp_request_parse(question->der, &o.request, NULL);
    if (parsed == PKI_OK) {
        ngx_http_pki_ocsp_expect(&o);
    }
    if (ngx_http_pki_store_begin(o.store, r->connection->log) == NGX_OK) {
        o.authorities = ngx_http_pki_authorities_find(o.store->snapshot, id, &o.authority_count);
        if (o.authorities == NULL) {
            ngx_http_pki_store_end(o.store);
            return ngx_http_pki_ocsp_refuse(r, NGX_HTTP_NOT_FOUND, "there is no such issuer");
        }
        o.slot = ngx_http_pki_metrics_slot(r, NGX_HTTP_PKI_OCSP, &o.authorities->slots, o.authorities->record.id);
        status = ngx_http_pki_ocsp_ask(&o, question, parsed);
        ngx_http_pki_store_end(o.store);
    }
    ngx_http_pki_metrics_done(o.slot, status == OCSP_SUCCESSFUL ? o.outcome : (ngx_int_t) status, o.began);
    if (status == OCSP_SUCCESSFUL) {
        return ngx_http_pki_ocsp_send(&o);
    }
    if (status == OCSP_TRY_LATER && ngx_http_pki_ocsp_not_now(r, ngx_max(o.retry_after, 1)) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return ngx_http_pki_ocsp_send_error(r, status);
}

/* The first segment of the path is the issuer; what follows is for GET. */
static ngx_int_t
ngx_http_pki_ocsp_split(ngx_http_request_t *r, bytes_t *id, bytes_t *rest)
{
    bytes_t path;
    u_char *slash;

    if (ngx_http_pki_path(r, &path) != NGX_OK || path.len == 0) {
        return NGX_DECLINED;
    }
    slash = memchr(path.p, '/', path.len);
    id->p = path.p;
    id->len = slash != NULL ? (size_t) (slash - path.p) : path.len;
    rest->p = path.p + id->len;
    rest->len = path.len - id->len;
    return NGX_OK;
}

static void
ngx_http_pki_ocsp_body(ngx_http_request_t *r, ngx_int_t rc, bytes_t body)
{
    ngx_http_pki_ocsp_question_t question = { body, BYTES_NONE };
    bytes_t                      id, rest;

    if (rc == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE) {
        rc = ngx_http_pki_ocsp_refuse(r, rc, "an OCSP request has at most 10240 octets");
    } else if (rc != NGX_OK) {
        rc = ngx_http_pki_ocsp_refuse(r, rc, "the request's body could not be read");
    } else if (ngx_http_pki_ocsp_split(r, &id, &rest) != NGX_OK) {
        rc = ngx_http_pki_ocsp_refuse(r, NGX_HTTP_NOT_FOUND, "there is no such issuer");
    } else {
        rc = ngx_http_pki_ocsp_respond(r, id, &question);
    }
    ngx_http_finalize_request(r, rc);
}

static ngx_int_t
ngx_http_pki_ocsp_get(ngx_http_request_t *r, bytes_t id, bytes_t raw)
{
    ngx_http_pki_ocsp_loc_conf_t *olcf = ngx_http_get_module_loc_conf(r, ngx_http_pki_ocsp_module);
    ngx_http_pki_ocsp_question_t  question;
    ngx_http_pki_ocsp_t           o;
    uint64_t                      had = ngx_http_pki_ocsp_had_expect(r);
    ngx_int_t                     rc;

    if (r->unparsed_uri.len > olcf->max_target) {
        return ngx_http_pki_ocsp_refuse(r, NGX_HTTP_REQUEST_URI_TOO_LARGE, "this is too long: ask by POST");
    }
    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }
    if (had != 0) {
        ngx_http_pki_ocsp_begin(&o, r);
        if (ngx_http_pki_ocsp_had(&o, had) == NGX_OK) {
            ngx_http_pki_metrics_done(o.slot, o.outcome, o.began);
            return ngx_http_pki_ocsp_send(&o);
        }
    }
    rc = ngx_http_pki_ocsp_question(r, raw, &question);
    if (rc == NGX_HTTP_BAD_REQUEST) {
        return ngx_http_pki_ocsp_refuse(r, rc, "there are control characters in the path");
    }
    return rc == NGX_OK ? ngx_http_pki_ocsp_respond(r, id, &question) : rc;
}

static ngx_int_t
ngx_http_pki_ocsp_handler(ngx_http_request_t *r)
{
    bytes_t id, rest;

    if (ngx_http_pki_method(r, NGX_HTTP_GET | NGX_HTTP_HEAD | NGX_HTTP_POST) != NGX_OK) {
        return ngx_http_pki_ocsp_refuse(r, NGX_HTTP_NOT_ALLOWED, "OCSP is asked by GET or POST");
    }
    if (ngx_http_pki_ocsp_split(r, &id, &rest) != NGX_OK) {
        return ngx_http_pki_ocsp_refuse(r, NGX_HTTP_NOT_FOUND, "there is no such issuer");
    }
    if (r->method != NGX_HTTP_POST) {
        return ngx_http_pki_ocsp_get(r, id, rest);
    }
    if (r->headers_in.content_length_n > OCSP_REQUEST_MAX) {
        return ngx_http_pki_ocsp_refuse(r, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                        "an OCSP request has at most 10240 octets");
    }
    return ngx_http_pki_body_read(r, OCSP_REQUEST_MAX, ngx_http_pki_ocsp_body);
}

/* Of a named location, its name: what came there was not for it. */
static ngx_int_t
ngx_http_pki_ocsp_path(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_core_loc_conf_t *clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    ngx_str_t                *path = clcf->named ? &clcf->name : &r->uri;
    size_t                    len = ngx_min(clcf->name.len, path->len);
    u_char                   *slash = memchr(path->data + len, '/', path->len - len);

    v->data = path->data;
    v->len = slash != NULL ? (size_t) (slash - path->data) : path->len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    return NGX_OK;
}

static ngx_int_t
ngx_http_pki_ocsp_variables(ngx_conf_t *cf)
{
    ngx_str_t            name = ngx_string("pki_ocsp_path");
    ngx_http_variable_t *v = ngx_http_add_variable(cf, &name, 0);

    if (v == NULL) {
        return NGX_ERROR;
    }
    v->get_handler = ngx_http_pki_ocsp_path;
    return NGX_OK;
}

static void *
ngx_http_pki_ocsp_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_pki_ocsp_main_conf_t));
}

static char *
ngx_http_pki_ocsp(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_pki_handler_set(cf, ngx_http_pki_ocsp_handler);
}

static char *
ngx_http_pki_ocsp_cache(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pki_ocsp_main_conf_t *omcf = conf;
    ngx_str_t                     *value = cf->args->elts;

    return ngx_http_pki_cache_zone(cf, &value[1], &omcf->cache, &ngx_http_pki_ocsp_module);
}
