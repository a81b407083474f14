/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Certificate revocation lists and CA certificates over HTTP (RFC 5280 4.2.1.13, 4.2.2.1; RFC 2585 4).
 *
 *     pki_crl;      location; {location}{name}[.crl], names as in pkiproto/crl/scope.h
 *     pki_ca;       location; {location}{issuer id}[.g{generation}][.crt]
 *
 * A list is a file of the edge folder, sent with sendfile; nginx's own filters answer conditional and range
 * requests from the validators set here.
 */
#include "ngx_module/ngx_http_pki_module.h"

#include "pkiproto/base/text.h"

static char     *ngx_http_pki_crl(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char     *ngx_http_pki_ca(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_pki_crl_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_pki_ca_handler(ngx_http_request_t *r);

static ngx_command_t ngx_http_pki_crl_commands[] = {

    { ngx_string("pki_crl"),
      NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS,
      ngx_http_pki_crl,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pki_ca"),
      NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS,
      ngx_http_pki_ca,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    ngx_null_command
};

static ngx_http_module_t ngx_http_pki_crl_module_ctx = {
    NULL, /* preconfiguration */
    NULL, /* postconfiguration */

    NULL, /* create main configuration */
    NULL, /* init main configuration */

    NULL, /* create server configuration */
    NULL, /* merge server configuration */

    NULL, /* create location configuration */
    NULL  /* merge location configuration */
};

ngx_module_t ngx_http_pki_crl_module = {
    NGX_MODULE_V1,
    &ngx_http_pki_crl_module_ctx, /* module context */
    ngx_http_pki_crl_commands,    /* module directives */
    NGX_HTTP_MODULE,              /* module type */
    NULL,                         /* init master */
    NULL,                         /* init module */
    NULL,                         /* init process */
    NULL,                         /* init thread */
    NULL,                         /* exit thread */
    NULL,                         /* exit process */
    NULL,                         /* exit master */
    NGX_MODULE_V1_PADDING
};

/*
 * What both downloads begin with: method, store, and the authority named by the path, for which is counted.
 * NGX_OK with the store's transaction open; else the answer has been sent, and *answer is what the handler returns.
 */
static ngx_int_t
ngx_http_pki_crl_authority(ngx_http_request_t *r, const char *suffix, crl_name_t *name,
                           ngx_http_pki_authority_t **authority, ngx_http_pki_slot_t **slot, ngx_int_t *answer)
{
    ngx_http_pki_store_t *store = ngx_http_pki_store(r);
    bytes_t               path;
    size_t                i, count = 0;

    if (ngx_http_pki_method(r, NGX_HTTP_GET | NGX_HTTP_HEAD) != NGX_OK) {
        *answer = ngx_http_pki_send_text(r, NGX_HTTP_NOT_ALLOWED, "this can only be read");
        return NGX_DECLINED;
    }
    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }
    if (ngx_http_pki_store_begin(store, r->connection->log) != NGX_OK) {
        *answer = ngx_http_pki_send_unavailable(r, "there is no edge store yet", 1);
        return NGX_DECLINED;
    }
    if (ngx_http_pki_path(r, &path) == NGX_OK && crl_name_parse(path, suffix, name)) {
        *authority = ngx_http_pki_authorities_find(store->snapshot, name->issuer, &count);
    }
    for (i = 0; i < count; i++, (*authority)++) {
        if (((*authority)->record.no & 0xff) == name->generation) {
            *slot = ngx_http_pki_metrics_slot(r, NGX_HTTP_PKI_CRL, &(*authority)->slots, (*authority)->record.id);
            return NGX_OK;
        }
    }
    ngx_http_pki_store_end(store);
    *answer = ngx_http_pki_send_text(r, NGX_HTTP_NOT_FOUND, "there is no such issuer");
    return NGX_DECLINED;
}

/* NGX_DECLINED: the file is not there. */
static ngx_int_t
ngx_http_pki_crl_open(ngx_http_request_t *r, const edge_crl_t *crl, ngx_str_t *path, ngx_open_file_info_t *of)
{
    ngx_http_core_loc_conf_t *clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    ngx_str_t                *dir = &ngx_http_pki_store(r)->dir;
    u_char                   *p;

    path->len = dir->len + sizeof("/" EDGE_CRL_DIR "/") - 1 + crl->file.len;
    path->data = ngx_pnalloc(r->pool, path->len + 1);
    if (path->data == NULL) {
        return NGX_ERROR;
    }
    p = ngx_sprintf(path->data, "%V/%s/", dir, EDGE_CRL_DIR);
    p = ngx_cpymem(p, crl->file.p, crl->file.len);
    *p = '\0';

    ngx_memzero(of, sizeof(*of));
    of->read_ahead = clcf->read_ahead;
    of->directio = clcf->directio;
    of->valid = clcf->open_file_cache_valid;
    of->min_uses = clcf->open_file_cache_min_uses;
    of->errors = clcf->open_file_cache_errors;
    of->events = clcf->open_file_cache_events;

    if (ngx_open_cached_file(clcf->open_file_cache, path, of, r->pool) != NGX_OK || !of->is_file
        || (uint64_t) of->size != crl->size) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, of->err, "pki: CRL file \"%V\" cannot be served",
                      path);
        return NGX_DECLINED;
    }
    return NGX_OK;
}

/* Validators: ETag is the digest of the list, so that two edges give the same one. */
static ngx_int_t
ngx_http_pki_crl_headers(ngx_http_request_t *r, const edge_crl_t *crl)
{
    int64_t   age = crl->next_update - ngx_time();
    ngx_str_t etag, control;

    etag.len = 2 * crl->etag.len + 2;
    etag.data = ngx_pnalloc(r->pool, etag.len);
    control.data = ngx_pnalloc(r->pool, sizeof("max-age=") - 1 + NGX_INT64_LEN);
    if (etag.data == NULL || control.data == NULL) {
        return NGX_ERROR;
    }
    etag.data[0] = '"';
    ngx_hex_dump(etag.data + 1, (u_char *) crl->etag.p, crl->etag.len);
    etag.data[etag.len - 1] = '"';
    control.len = ngx_sprintf(control.data, "max-age=%L", age > 0 ? age : (int64_t) 0) - control.data;

    if (ngx_http_pki_header(r, "ETag", etag) != NGX_OK) {
        return NGX_ERROR;
    }
    /* The last one pushed: nginx's conditional filter looks for it here. */
    r->headers_out.etag =
        (ngx_table_elt_t *) r->headers_out.headers.last->elts + r->headers_out.headers.last->nelts - 1;
    r->headers_out.last_modified_time = crl->this_update;
    return ngx_http_pki_header(r, "Cache-Control", control);
}

static ngx_int_t
ngx_http_pki_crl_send(ngx_http_request_t *r, ngx_str_t *path, ngx_open_file_info_t *of)
{
    ngx_chain_t out;
    ngx_buf_t  *b;
    ngx_int_t   rc;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }
    b->file = ngx_pcalloc(r->pool, sizeof(*b->file));
    if (b->file == NULL) {
        return NGX_ERROR;
    }
    r->headers_out.status = NGX_HTTP_OK;
    ngx_str_set(&r->headers_out.content_type, "application/pkix-crl");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_length_n = of->size;
    r->allow_ranges = 1;

    rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }
    b->in_file = of->size != 0;
    b->file_last = of->size;
    b->file->fd = of->fd;
    b->file->name = *path;
    b->file->log = r->connection->log;
    b->file->directio = of->is_directio;
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;
    out.buf = b;
    out.next = NULL;
    return ngx_http_output_filter(r, &out);
}

static ngx_int_t
ngx_http_pki_crl_answer(ngx_http_request_t *r, ngx_http_pki_slot_t **slot)
{
    ngx_http_pki_authority_t *authority;
    ngx_http_pki_crl_t       *crl;
    ngx_open_file_info_t      of;
    crl_name_t                name;
    ngx_str_t                 path;
    ngx_int_t                 rc;

    if (ngx_http_pki_crl_authority(r, ".crl", &name, &authority, slot, &rc) != NGX_OK) {
        return rc;
    }
    crl = ngx_http_pki_crl_find(authority, name.scope);
    rc = crl != NULL ? ngx_http_pki_crl_open(r, &crl->record, &path, &of) : NGX_DECLINED;
    if (rc == NGX_OK) {
        rc = ngx_http_pki_crl_headers(r, &crl->record);
    }
    ngx_http_pki_store_end(ngx_http_pki_store(r));

    if (rc == NGX_DECLINED) {
        return ngx_http_pki_send_unavailable(r, "the CRL has not been published yet", 1);
    }
    return rc == NGX_OK ? ngx_http_pki_crl_send(r, &path, &of) : rc;
}

static ngx_int_t
ngx_http_pki_ca_answer(ngx_http_request_t *r, ngx_http_pki_slot_t **slot)
{
    static ngx_str_t          type = ngx_string("application/pkix-cert");
    ngx_http_pki_authority_t *authority;
    crl_name_t                name;
    bytes_t                   der = BYTES_NONE;
    ngx_int_t                 rc;
    u_char                   *p;

    if (ngx_http_pki_crl_authority(r, ".crt", &name, &authority, slot, &rc) != NGX_OK) {
        return rc;
    }
    if (authority->record.chain_len != 0) {
        /* A copy: the snapshot may go before the last octet is sent. */
        der = authority->record.chain[0];
        p = ngx_pnalloc(r->pool, der.len);
        if (p != NULL) {
            ngx_memcpy(p, der.p, der.len);
        }
        der.p = p;
    }
    ngx_http_pki_store_end(ngx_http_pki_store(r));

    if (der.p == NULL) {
        return ngx_http_pki_send_unavailable(r, "the CA certificate is not known yet", 1);
    }
    return ngx_http_pki_send(r, NGX_HTTP_OK, &type, der);
}

typedef ngx_int_t (*ngx_http_pki_crl_answer_pt)(ngx_http_request_t *r, ngx_http_pki_slot_t **slot);

/* The slot, and not the authority, outlasts the sending. */
static ngx_int_t
ngx_http_pki_crl_counted(ngx_http_request_t *r, ngx_http_pki_crl_answer_pt answer)
{
    uint64_t             began = ngx_http_pki_metrics_clock();
    ngx_http_pki_slot_t *slot = ngx_http_pki_metrics_none(r, NGX_HTTP_PKI_CRL);
    ngx_int_t            rc = answer(r, &slot);

    ngx_http_pki_metrics_done(slot, ngx_http_pki_metrics_status(r, rc), began);
    return rc;
}

static ngx_int_t
ngx_http_pki_crl_handler(ngx_http_request_t *r)
{
    return ngx_http_pki_crl_counted(r, ngx_http_pki_crl_answer);
}

static ngx_int_t
ngx_http_pki_ca_handler(ngx_http_request_t *r)
{
    return ngx_http_pki_crl_counted(r, ngx_http_pki_ca_answer);
}

static char *
ngx_http_pki_crl(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_pki_handler_set(cf, ngx_http_pki_crl_handler);
}

static char *
ngx_http_pki_ca(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_pki_handler_set(cf, ngx_http_pki_ca_handler);
}
