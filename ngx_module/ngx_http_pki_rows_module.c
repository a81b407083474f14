/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Single rows of the management API, which the orchestrator reads many at a time.
 *
 *     pki_rows unix:PATH @NAME;   location; GETs go to the socket, other requests to the named location
 */
#include "ngx_module/ngx_http_pki_module.h"

#include "ngx_module/ngx_http_pki_hop.h"
#include "pkiproto/edge/relay.h"

#define NGX_HTTP_PKI_ROWS_TIMEOUT 60000 /* ms; that of proxies */
#define NGX_HTTP_PKI_ROWS_ROOM    512   /* in a request, for what is short, and for names and lengths */

typedef struct {
    ngx_http_pki_hop_t *hop;
    ngx_str_t           others;
} ngx_http_pki_rows_loc_conf_t;

static void *ngx_http_pki_rows_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_pki_rows(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

static ngx_command_t ngx_http_pki_rows_commands[] = {

    { ngx_string("pki_rows"),
      NGX_HTTP_LOC_CONF | NGX_CONF_TAKE2,
      ngx_http_pki_rows,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    ngx_null_command
};

static ngx_http_module_t ngx_http_pki_rows_module_ctx = {
    NULL,                              /* preconfiguration */
    NULL,                              /* postconfiguration */

    NULL,                              /* create main configuration */
    NULL,                              /* init main configuration */

    NULL,                              /* create server configuration */
    NULL,                              /* merge server configuration */

    ngx_http_pki_rows_create_loc_conf, /* create location configuration */
    NULL                               /* merge location configuration */
};

ngx_module_t ngx_http_pki_rows_module = {
    NGX_MODULE_V1,
    &ngx_http_pki_rows_module_ctx, /* module context */
    ngx_http_pki_rows_commands,    /* module directives */
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

/* ---- the request ---- */

/* Of a client's headers these are passed on, and no others: none of them could pass for an identity. */
static const ngx_str_t ngx_http_pki_rows_headers[] = {
    ngx_string("Accept"), ngx_string("Authorization"), ngx_string("Cookie"),
    ngx_string("If-Match"), ngx_string("If-None-Match"), ngx_string("Origin"),
};

#define NGX_HTTP_PKI_ROWS_HEADERS (sizeof(ngx_http_pki_rows_headers) / sizeof(ngx_http_pki_rows_headers[0]))

/* The first of each name. */
static void
ngx_http_pki_rows_pick(ngx_http_request_t *r, bytes_t values[NGX_HTTP_PKI_ROWS_HEADERS])
{
    ngx_list_part_t *part;
    ngx_table_elt_t *h;
    ngx_uint_t       i, n;

    for (n = 0; n < NGX_HTTP_PKI_ROWS_HEADERS; n++) {
        values[n] = BYTES_NONE;
    }
    for (part = &r->headers_in.headers.part; part != NULL; part = part->next) {
        h = part->elts;
        for (i = 0; i < part->nelts; i++) {
            for (n = 0; n < NGX_HTTP_PKI_ROWS_HEADERS; n++) {
                if (values[n].p == NULL && h[i].key.len == ngx_http_pki_rows_headers[n].len
                    && ngx_strncasecmp(h[i].key.data, ngx_http_pki_rows_headers[n].data, h[i].key.len) == 0) {
                    values[n] = ngx_http_pki_bytes(h[i].value);
                }
            }
        }
    }
}

/* What the client's certificate is, when it showed one: TLS has proved its key. */
static ngx_int_t
ngx_http_pki_rows_certificate(ngx_http_request_t *r, ngx_str_t *out)
{
    ngx_str_null(out);
    return r->connection->ssl != NULL ? ngx_ssl_get_escaped_certificate(r->connection, r->pool, out) : NGX_OK;
}

static ngx_int_t
ngx_http_pki_rows_request(ngx_http_request_t *r, ngx_str_t *out)
{
    bytes_t    values[NGX_HTTP_PKI_ROWS_HEADERS];
    ngx_str_t  certificate, id = ngx_http_pki_request_id(r);
    size_t     size;
    pki_buf_t  b;
    ngx_uint_t n;

    if (ngx_http_pki_rows_certificate(r, &certificate) != NGX_OK) {
        return NGX_ERROR;
    }
    ngx_http_pki_rows_pick(r, values);
    size = NGX_HTTP_PKI_ROWS_ROOM + r->unparsed_uri.len + certificate.len;
    for (n = 0; n < NGX_HTTP_PKI_ROWS_HEADERS; n++) {
        size += values[n].len;
    }
    out->data = ngx_pnalloc(r->pool, size);
    if (out->data == NULL) {
        return NGX_ERROR;
    }
    pki_buf_fixed(&b, out->data, size);
    relay_put(&b, RELAY_TARGET, ngx_http_pki_bytes(r->unparsed_uri));
    relay_put(&b, "X-Request-ID", ngx_http_pki_bytes(id));
    relay_put(&b, "X-Real-IP", ngx_http_pki_bytes(r->connection->addr_text));
    if (certificate.len != 0) {
        relay_put(&b, "X-Chancery-Certificate", ngx_http_pki_bytes(certificate));
    }
    for (n = 0; n < NGX_HTTP_PKI_ROWS_HEADERS; n++) {
        if (values[n].p != NULL) {
            relay_put(&b, (const char *) ngx_http_pki_rows_headers[n].data, values[n]);
        }
    }
    out->len = b.len;
    return b.failed ? NGX_ERROR : NGX_OK;
}

/* ---- the answer ---- */

typedef struct {
    ngx_uint_t status;
    ngx_str_t  type;
    bytes_t    body;
} ngx_http_pki_rows_answer_t;

static ngx_int_t
ngx_http_pki_rows_field(ngx_http_request_t *r, bytes_t name, bytes_t value, ngx_http_pki_rows_answer_t *out)
{
    ngx_str_t        text = { value.len, (u_char *) value.p };
    ngx_table_elt_t *h;

    if (bytes_eq(name, BYTES_LIT(RELAY_STATUS))) {
        out->status = (ngx_uint_t) ngx_atoi(text.data, text.len);
        return NGX_OK;
    }
    if (bytes_eq(name, BYTES_LIT(RELAY_BODY))) {
        out->body = value;
        return NGX_OK;
    }
    if (bytes_eq(name, BYTES_LIT("Content-Type"))) {
        out->type = text;
        return NGX_OK;
    }
    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }
    ngx_memzero(h, sizeof(*h));
    h->hash = 1;
    h->key.len = name.len;
    h->key.data = (u_char *) name.p;
    h->value = text;
    return NGX_OK;
}

static ngx_int_t
ngx_http_pki_rows_send(ngx_http_request_t *r, bytes_t octets)
{
    ngx_http_pki_rows_answer_t answer;
    bytes_t                    name, value;
    int                        rc;

    ngx_memzero(&answer, sizeof(answer));
    while ((rc = relay_take(&octets, &name, &value)) == 1) {
        if (ngx_http_pki_rows_field(r, name, value, &answer) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    if (rc != 0 || answer.status < NGX_HTTP_OK || answer.status > 599) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "pki: what the orchestrator answers is no answer");
        return NGX_HTTP_BAD_GATEWAY;
    }
    return ngx_http_pki_send(r, answer.status, &answer.type, answer.body);
}

static void
ngx_http_pki_rows_answered(ngx_http_request_t *r, bytes_t answer)
{
    ngx_int_t rc = NGX_HTTP_BAD_GATEWAY;
    u_char   *kept;

    if (answer.len != 0) {
        /* The headers and the body are sent from it. */
        kept = ngx_pnalloc(r->pool, answer.len);
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
        if (kept != NULL) {
            ngx_memcpy(kept, answer.p, answer.len);
            rc = ngx_http_pki_rows_send(r, bytes_of(kept, answer.len));
        }
    }
    ngx_http_finalize_request(r, rc);
}

static ngx_int_t
ngx_http_pki_rows_handler(ngx_http_request_t *r)
{
    ngx_http_pki_rows_loc_conf_t *prlcf = ngx_http_get_module_loc_conf(r, ngx_http_pki_rows_module);
    ngx_str_t                     request;

    if (r->method != NGX_HTTP_GET || r->headers_in.content_length_n > 0 || r->headers_in.chunked) {
        return ngx_http_named_location(r, &prlcf->others);
    }
    if (ngx_http_discard_request_body(r) != NGX_OK) {
        return NGX_HTTP_BAD_REQUEST;
    }
    if (ngx_http_pki_rows_request(r, &request) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (ngx_http_pki_hop_ask(r, prlcf->hop, request, ngx_http_pki_rows_answered) != NGX_OK) {
        return NGX_HTTP_BAD_GATEWAY;
    }
    r->main->count++;
    r->read_event_handler = ngx_http_test_reading;
    return NGX_DONE;
}

/* ---- configuration ---- */

static void *
ngx_http_pki_rows_create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_pki_rows_loc_conf_t));
}

static char *
ngx_http_pki_rows(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pki_rows_loc_conf_t *prlcf = conf;
    ngx_http_core_loc_conf_t     *clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    ngx_str_t                    *value = cf->args->elts;

    if (clcf->handler != NULL) {
        return "is not the only handler of its location";
    }
    if (value[2].len < 2 || value[2].data[0] != '@') {
        return "takes the name of a location for what is not a GET";
    }
    prlcf->others = value[2];
    prlcf->hop = ngx_http_pki_hop_add(cf, &value[1], NGX_HTTP_PKI_ROWS_TIMEOUT);
    clcf->handler = ngx_http_pki_rows_handler;
    return prlcf->hop != NULL ? NGX_CONF_OK : NGX_CONF_ERROR;
}
