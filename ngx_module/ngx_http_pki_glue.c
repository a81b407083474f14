/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The glue between nginx's requests and pkiproto's byte slices.
 */
#include "ngx_module/ngx_http_pki_glue.h"
#include "ngx_module/ngx_http_pki_module.h"

#define NGX_HTTP_PKI_ZONE_PAGES 16 /* at least; some go to the zone's own tables */

static void ngx_http_pki_body_begin(ngx_http_request_t *r);
static void ngx_http_pki_body_more(ngx_http_request_t *r);

static void
ngx_http_pki_arena_cleanup(void *data)
{
    pki_arena_free(data);
}

pki_arena_t *
ngx_http_pki_arena(ngx_http_request_t *r, size_t limit)
{
    ngx_pool_cleanup_t *cln = ngx_pool_cleanup_add(r->pool, 0);

    if (cln == NULL) {
        return NULL;
    }
    cln->data = pki_arena_new(limit);
    cln->handler = cln->data != NULL ? ngx_http_pki_arena_cleanup : NULL;
    return cln->data;
}

ngx_int_t
ngx_http_pki_path(ngx_http_request_t *r, bytes_t *path)
{
    ngx_http_core_loc_conf_t *clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    ngx_str_t                *raw = &r->unparsed_uri;
    u_char                   *query;
    size_t                    len = raw->len;

    if (len < clcf->name.len || ngx_memcmp(raw->data, clcf->name.data, clcf->name.len) != 0) {
        return NGX_DECLINED;
    }
    query = memchr(raw->data, '?', len);
    if (query != NULL) {
        len = query - raw->data;
    }
    *path = bytes_of(raw->data + clcf->name.len, len > clcf->name.len ? len - clcf->name.len : 0);
    return NGX_OK;
}

ngx_int_t
ngx_http_pki_method(ngx_http_request_t *r, ngx_uint_t mask)
{
    static const struct {
        ngx_uint_t mask;
        ngx_str_t  allow;
    } methods[] = {
        { NGX_HTTP_GET | NGX_HTTP_HEAD, ngx_string("GET, HEAD") },
        { NGX_HTTP_GET | NGX_HTTP_HEAD | NGX_HTTP_POST, ngx_string("GET, POST, HEAD") },
        { NGX_HTTP_POST, ngx_string("POST") },
        { 0, ngx_null_string },
    };
    ngx_uint_t i;

    if (r->method & mask) {
        return NGX_OK;
    }
    for (i = 0; methods[i].mask != 0; i++) {
        if (methods[i].mask == mask && ngx_http_pki_header(r, "Allow", methods[i].allow) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    return NGX_DECLINED;
}

ngx_int_t
ngx_http_pki_body_read(ngx_http_request_t *r, size_t max, ngx_http_pki_body_pt handler)
{
    ngx_http_pki_ctx_t *ctx = ngx_http_pki_ctx(r);
    ngx_int_t           rc;

    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ctx->body_max = max;
    ctx->body_handler = handler;

    /*
     * Not buffered by nginx: it would answer for a chunked body that is too large with a page of its own,
     * and write a large one to a file.  A small body has come with the header and takes no detour.
     */
    r->request_body_no_buffering = 1;

    rc = ngx_http_read_client_request_body(r, ngx_http_pki_body_begin);
    return rc >= NGX_HTTP_SPECIAL_RESPONSE ? rc : NGX_DONE;
}

/* Take what nginx has read.  NGX_DECLINED when it is more than the maximum. */
static ngx_int_t
ngx_http_pki_body_take(ngx_http_request_t *r, ngx_http_pki_ctx_t *ctx)
{
    ngx_http_request_body_t *rb = r->request_body;
    ngx_chain_t             *cl;
    size_t                   size;

    for (cl = rb->bufs; cl != NULL; cl = cl->next) {
        size = ngx_buf_size(cl->buf);
        if (size == 0) {
            continue;
        }
        if (size > ctx->body_max - ctx->body.len) {
            return NGX_DECLINED;
        }
        if (cl == rb->bufs && cl->next == NULL && !r->reading_body && ctx->body.len == 0) {
            /* All of it in one piece: the usual case. */
            ctx->body.data = cl->buf->pos;
            ctx->body.len = size;
            return NGX_OK;
        }
        if (ctx->body.data == NULL) {
            ctx->body.data = ngx_pnalloc(r->pool, ctx->body_max);
            if (ctx->body.data == NULL) {
                return NGX_ERROR;
            }
        }
        ngx_memcpy(ctx->body.data + ctx->body.len, cl->buf->pos, size);
        ctx->body.len += size;
        cl->buf->pos = cl->buf->last;
    }
    rb->bufs = NULL;
    return NGX_OK;
}

/* Called back by nginx when the first part, often the whole, has been read. */
static void
ngx_http_pki_body_begin(ngx_http_request_t *r)
{
    ngx_http_pki_ctx_t *ctx = ngx_http_get_module_ctx(r, ngx_http_pki_module);
    ngx_int_t           rc = NGX_OK;

    if (r->request_body == NULL) {
        ctx->body_handler(r, NGX_OK, BYTES_NONE);
        return;
    }
    if (r->reading_body) {
        r->read_event_handler = ngx_http_pki_body_more;
        ngx_http_pki_body_more(r);
        return;
    }
    rc = ngx_http_pki_body_take(r, ctx);
    if (rc != NGX_OK) {
        rc = rc == NGX_DECLINED ? NGX_HTTP_REQUEST_ENTITY_TOO_LARGE : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ctx->body_handler(r, rc, ngx_http_pki_bytes(ctx->body));
}

static void
ngx_http_pki_body_more(ngx_http_request_t *r)
{
    ngx_http_pki_ctx_t *ctx = ngx_http_get_module_ctx(r, ngx_http_pki_module);
    ngx_int_t           rc, taken;

    for (;;) {
        taken = ngx_http_pki_body_take(r, ctx);
        if (taken != NGX_OK) {
            rc = taken == NGX_DECLINED ? NGX_HTTP_REQUEST_ENTITY_TOO_LARGE : NGX_HTTP_INTERNAL_SERVER_ERROR;
            break;
        }
        if (!r->reading_body) {
            rc = NGX_OK;
            break;
        }
        rc = ngx_http_read_unbuffered_request_body(r);
        if (rc >= NGX_HTTP_SPECIAL_RESPONSE || (rc == NGX_AGAIN && r->request_body->bufs == NULL)) {
            break;
        }
    }
    if (rc == NGX_AGAIN) {
        return;
    }
    r->read_event_handler = ngx_http_block_reading;
    ctx->body_handler(r, rc, ngx_http_pki_bytes(ctx->body));
}

ngx_int_t
ngx_http_pki_send(ngx_http_request_t *r, ngx_uint_t status, ngx_str_t *type, bytes_t body)
{
    ngx_chain_t out;
    ngx_buf_t  *b;
    ngx_int_t   rc;

    r->headers_out.status = status;
    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_length_n = status != NGX_HTTP_NOT_MODIFIED ? (off_t) body.len : -1;

    rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }
    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }
    b->pos = (u_char *) body.p;
    b->last = b->pos + body.len;
    b->memory = body.len != 0;
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;
    out.buf = b;
    out.next = NULL;
    return ngx_http_output_filter(r, &out);
}

ngx_int_t
ngx_http_pki_send_text(ngx_http_request_t *r, ngx_uint_t status, const char *text)
{
    static ngx_str_t type = ngx_string("text/plain");
    size_t           len = ngx_strlen(text);
    u_char          *p;

    /* What is left of a body must not be taken for the next request. */
    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }
    if (r->reading_body) {
        r->keepalive = 0;
    }
    p = ngx_pnalloc(r->pool, len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }
    ngx_memcpy(p, text, len);
    p[len] = '\n';
    return ngx_http_pki_send(r, status, &type, bytes_of(p, len + 1));
}

ngx_int_t
ngx_http_pki_send_error(ngx_http_request_t *r, const pki_err_t *err)
{
    u_char text[sizeof(err->text) + 128];

    if (err->clause != NULL) {
        ngx_snprintf(text, sizeof(text), "%s (%s)%Z", err->text, err->clause);
    } else {
        ngx_snprintf(text, sizeof(text), "%s%Z", err->text);
    }
    text[sizeof(text) - 1] = '\0';
    if (pki_code_http(err->code) >= NGX_HTTP_INTERNAL_SERVER_ERROR) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "pki: %s", text);
        return ngx_http_pki_send_unavailable(r, pki_code_text(err->code), 1);
    }
    return ngx_http_pki_send_text(r, pki_code_http(err->code), (char *) text);
}

ngx_int_t
ngx_http_pki_send_unavailable(ngx_http_request_t *r, const char *text, time_t retry_after)
{
    ngx_str_t value;

    value.data = ngx_pnalloc(r->pool, NGX_TIME_T_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }
    value.len = ngx_sprintf(value.data, "%T", retry_after) - value.data;
    if (ngx_http_pki_header(r, "Retry-After", value) != NGX_OK) {
        return NGX_ERROR;
    }
    return ngx_http_pki_send_text(r, NGX_HTTP_SERVICE_UNAVAILABLE, text);
}

ngx_int_t
ngx_http_pki_header(ngx_http_request_t *r, const char *name, ngx_str_t value)
{
    ngx_table_elt_t *h = ngx_list_push(&r->headers_out.headers);

    if (h == NULL) {
        return NGX_ERROR;
    }
    ngx_memzero(h, sizeof(*h));
    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = value;
    return NGX_OK;
}

char *
ngx_http_pki_zone(ngx_conf_t *cf, ngx_str_t *value, ngx_shm_zone_t **zone, void *tag)
{
    ngx_str_t name, text;
    ssize_t   size;
    u_char   *colon;

    if (*zone != NULL) {
        return "is duplicate";
    }
    if (value->len < 5 || ngx_strncmp(value->data, "zone=", 5) != 0) {
        return "takes \"zone=NAME:SIZE\"";
    }
    name.data = value->data + 5;
    colon = ngx_strlchr(name.data, value->data + value->len, ':');
    if (colon == NULL || colon == name.data) {
        return "takes \"zone=NAME:SIZE\"";
    }
    name.len = colon - name.data;
    text.data = colon + 1;
    text.len = value->data + value->len - text.data;
    size = ngx_parse_size(&text);
    if (size < (ssize_t) (NGX_HTTP_PKI_ZONE_PAGES * ngx_pagesize)) {
        return "needs a larger zone: 16 pages at least";
    }
    *zone = ngx_shared_memory_add(cf, &name, size, tag);
    if (*zone == NULL) {
        return NGX_CONF_ERROR;
    }
    return (*zone)->data == NULL ? NGX_CONF_OK : "uses a zone that is in use already";
}

void
ngx_http_pki_body_unlimited(ngx_conf_t *cf)
{
    ngx_http_core_loc_conf_t *clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->client_max_body_size == NGX_CONF_UNSET) {
        clcf->client_max_body_size = 0;
    }
}
