/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Certificate revocation lists and CA certificates over HTTP (RFC 5280 4.2.1.13, 4.2.2.1; RFC 2585 4).
 *
 *     pki_crl;                  location; {location}{name}[.crl], names as in pkiproto/crl/scope.h;
 *                               {location}{issuer id}.json: where all lists of an issuer are
 *     pki_crl_max_age TIME;     http, server, location; how long caches may keep a list (1h)
 *     pki_ca;                   location; {location}{issuer id}[.g{generation}][.crt]
 *
 * A list is a file of the edge folder, sent with sendfile; nginx's own filters answer conditional and range
 * requests from the validators set here.  Its compressed form is another file with another entity tag, for
 * those who ask for it.
 */
#include "ngx_module/ngx_http_pki_module.h"

typedef struct {
    time_t max_age;
} ngx_http_pki_crl_loc_conf_t;

/* One of the two files of a list. */
typedef struct {
    const edge_crl_t *crl;
    ngx_uint_t        gzip; /* the compressed one */
    ngx_str_t         path;
    uint64_t          size;
    bytes_t           etag;
} ngx_http_pki_crl_file_t;

static char     *ngx_http_pki_crl(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char     *ngx_http_pki_ca(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static void     *ngx_http_pki_crl_create_loc_conf(ngx_conf_t *cf);
static char     *ngx_http_pki_crl_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static ngx_int_t ngx_http_pki_crl_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_pki_ca_handler(ngx_http_request_t *r);

extern ngx_module_t ngx_http_pki_crl_module;

static ngx_command_t ngx_http_pki_crl_commands[] = {

    { ngx_string("pki_crl"),
      NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS,
      ngx_http_pki_crl,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pki_crl_max_age"),
      NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_pki_crl_loc_conf_t, max_age),
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
    NULL,                             /* preconfiguration */
    NULL,                             /* postconfiguration */

    NULL,                             /* create main configuration */
    NULL,                             /* init main configuration */

    NULL,                             /* create server configuration */
    NULL,                             /* merge server configuration */

    ngx_http_pki_crl_create_loc_conf, /* create location configuration */
    ngx_http_pki_crl_merge_loc_conf   /* merge location configuration */
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

/* What all downloads begin with.  NGX_OK with the store's transaction open; else *answer is what the handler returns. */
static ngx_int_t
ngx_http_pki_crl_begin(ngx_http_request_t *r, ngx_int_t *answer)
{
    if (ngx_http_pki_method(r, NGX_HTTP_GET | NGX_HTTP_HEAD) != NGX_OK) {
        *answer = ngx_http_pki_send_text(r, NGX_HTTP_NOT_ALLOWED, "this can only be read");
        return NGX_DECLINED;
    }
    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }
    if (ngx_http_pki_store_begin(ngx_http_pki_store(r), r->connection->log) != NGX_OK) {
        *answer = ngx_http_pki_send_unavailable(r, "there is no edge store yet", 1);
        return NGX_DECLINED;
    }
    return NGX_OK;
}

/* The authority and the scope that the path names, and where to count it; NULL: none. */
static ngx_http_pki_authority_t *
ngx_http_pki_crl_authority(ngx_http_request_t *r, const char *suffix, crl_name_t *name, ngx_http_pki_slot_t **slot)
{
    ngx_http_pki_authority_t *authority;
    bytes_t                   path;
    size_t                    count;

    if (ngx_http_pki_path(r, &path) != NGX_OK || !crl_name_parse(path, suffix, name)) {
        return NULL;
    }
    authority = ngx_http_pki_authorities_find(ngx_http_pki_store(r)->snapshot, name->issuer, &count);
    for ( /* void */ ; count != 0; count--, authority++) {
        if ((authority->record.no & 0xff) == name->generation) {
            *slot = ngx_http_pki_metrics_slot(r, NGX_HTTP_PKI_CRL, &authority->slots, authority->record.id);
            return authority;
        }
    }
    return NULL;
}

/* Which of the two files to send, and its name. */
static ngx_int_t
ngx_http_pki_crl_choose(ngx_http_request_t *r, const edge_crl_t *crl, ngx_http_pki_crl_file_t *f)
{
    ngx_str_t *dir = &ngx_http_pki_store(r)->dir;
    u_char    *p;

    f->crl = crl;
    f->gzip = crl->gzip_size != 0 && ngx_http_gzip_ok(r) == NGX_OK;
    f->size = f->gzip ? crl->gzip_size : crl->size;
    f->etag = f->gzip ? crl->gzip_etag : crl->etag;

    p = ngx_pnalloc(r->pool, dir->len + sizeof("/" EDGE_CRL_DIR "/" EDGE_CRL_GZIP) + crl->file.len);
    if (p == NULL) {
        return NGX_ERROR;
    }
    f->path.data = p;
    p = ngx_sprintf(p, "%V/%s/%*s%s", dir, EDGE_CRL_DIR, crl->file.len, crl->file.p, f->gzip ? EDGE_CRL_GZIP : "");
    *p = '\0';
    f->path.len = p - f->path.data;
    return NGX_OK;
}

/* NGX_DECLINED: the file is not there. */
static ngx_int_t
ngx_http_pki_crl_open(ngx_http_request_t *r, ngx_http_pki_crl_file_t *f, ngx_open_file_info_t *of)
{
    ngx_http_core_loc_conf_t *clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    ngx_memzero(of, sizeof(*of));
    of->read_ahead = clcf->read_ahead;
    of->directio = clcf->directio;
    of->valid = clcf->open_file_cache_valid;
    of->min_uses = clcf->open_file_cache_min_uses;
    of->errors = clcf->open_file_cache_errors;
    of->events = clcf->open_file_cache_events;

    if (ngx_open_cached_file(clcf->open_file_cache, &f->path, of, r->pool) != NGX_OK || !of->is_file
        || (uint64_t) of->size != f->size) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, of->err, "pki: CRL file \"%V\" cannot be served",
                      &f->path);
        return NGX_DECLINED;
    }
    return NGX_OK;
}

/* The digest of the octets, so that two edges with the same list give the same one. */
static ngx_int_t
ngx_http_pki_crl_etag(ngx_http_request_t *r, bytes_t digest)
{
    ngx_str_t etag;

    etag.len = 2 * digest.len + 2;
    etag.data = ngx_pnalloc(r->pool, etag.len);
    if (etag.data == NULL) {
        return NGX_ERROR;
    }
    etag.data[0] = '"';
    ngx_hex_dump(etag.data + 1, (u_char *) digest.p, digest.len);
    etag.data[etag.len - 1] = '"';
    if (ngx_http_pki_header(r, "ETag", etag) != NGX_OK) {
        return NGX_ERROR;
    }
    /* The last one pushed: nginx's conditional filter looks for it here. */
    r->headers_out.etag =
        (ngx_table_elt_t *) r->headers_out.headers.last->elts + r->headers_out.headers.last->nelts - 1;
    return NGX_OK;
}

/* No cache keeps a list longer than it is valid; one that has ended is served, not kept, and reported (D-05). */
static ngx_int_t
ngx_http_pki_crl_freshness(ngx_http_request_t *r, const edge_crl_t *crl)
{
    ngx_http_pki_crl_loc_conf_t *plcf = ngx_http_get_module_loc_conf(r, ngx_http_pki_crl_module);
    time_t                       age = ngx_min(plcf->max_age, (time_t) crl->next_update - ngx_time());
    ngx_str_t                    control, expires;
    static time_t                reported;
    u_char                      *p;

    if (age <= 0) {
        if (reported != ngx_time()) {
            reported = ngx_time();
            ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0, "pki: CRL \"%*s\" has ended, no newer one is there",
                          crl->file.len, crl->file.p);
        }
        ngx_str_set(&control, "no-store");
        return ngx_http_pki_header(r, "Cache-Control", control);
    }
    p = ngx_pnalloc(r->pool, sizeof("max-age=") - 1 + NGX_TIME_T_LEN + sizeof("Mon, 28 Sep 1970 06:00:00 GMT") - 1);
    if (p == NULL) {
        return NGX_ERROR;
    }
    control.data = p;
    control.len = ngx_sprintf(p, "max-age=%T", age) - p;
    expires.data = p + control.len;
    expires.len = ngx_http_time(expires.data, ngx_time() + age) - expires.data;
    if (ngx_http_pki_header(r, "Expires", expires) != NGX_OK) {
        return NGX_ERROR;
    }
    return ngx_http_pki_header(r, "Cache-Control", control);
}

static ngx_int_t
ngx_http_pki_crl_headers(ngx_http_request_t *r, const ngx_http_pki_crl_file_t *f)
{
    ngx_str_t value;

    r->headers_out.last_modified_time = f->crl->this_update;
    if (ngx_http_pki_crl_etag(r, f->etag) != NGX_OK || ngx_http_pki_crl_freshness(r, f->crl) != NGX_OK) {
        return NGX_ERROR;
    }
    ngx_str_set(&value, "Accept-Encoding");
    if (f->crl->gzip_size != 0 && ngx_http_pki_header(r, "Vary", value) != NGX_OK) {
        return NGX_ERROR;
    }
    if (f->gzip) {
        ngx_str_set(&value, "gzip");
        if (ngx_http_pki_header(r, "Content-Encoding", value) != NGX_OK) {
            return NGX_ERROR;
        }
        /* So that no filter compresses it once more. */
        r->headers_out.content_encoding =
            (ngx_table_elt_t *) r->headers_out.headers.last->elts + r->headers_out.headers.last->nelts - 1;
    }
    return NGX_OK;
}

static ngx_int_t
ngx_http_pki_crl_send(ngx_http_request_t *r, ngx_http_pki_crl_file_t *f, ngx_open_file_info_t *of)
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
    b->file->name = f->path;
    b->file->log = r->connection->log;
    b->file->directio = of->is_directio;
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;
    out.buf = b;
    out.next = NULL;
    return ngx_http_output_filter(r, &out);
}

/* What there is of an authority depends on how it publishes: a name outside of that is no name. */
static ngx_uint_t
ngx_http_pki_crl_is_expected(const ngx_http_pki_authority_t *authority, crl_scope_t scope)
{
    switch (scope.kind) {
    case CRL_FULL:
        return authority->record.crl_shards == 0;
    case CRL_SHARD:
        return scope.shard < authority->record.crl_shards;
    default:
        return 0; /* a delta list is there or not */
    }
}

/* Inside the store's transaction: NGX_OK with the file open and the headers set, or an HTTP status. */
static ngx_int_t
ngx_http_pki_crl_find_file(ngx_http_request_t *r, ngx_http_pki_slot_t **slot, ngx_http_pki_crl_file_t *f,
                           ngx_open_file_info_t *of)
{
    ngx_http_pki_authority_t *authority;
    ngx_http_pki_crl_t       *crl;
    crl_name_t                name;
    ngx_int_t                 rc;

    authority = ngx_http_pki_crl_authority(r, ".crl", &name, slot);
    if (authority == NULL) {
        return NGX_HTTP_NOT_FOUND;
    }
    crl = ngx_http_pki_crl_find(authority, name.scope);
    if (crl == NULL) {
        return ngx_http_pki_crl_is_expected(authority, name.scope) ? NGX_HTTP_SERVICE_UNAVAILABLE : NGX_HTTP_NOT_FOUND;
    }
    if (ngx_http_pki_crl_choose(r, &crl->record, f) != NGX_OK) {
        return NGX_ERROR;
    }
    rc = ngx_http_pki_crl_open(r, f, of);
    if (rc != NGX_OK) {
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }
    return ngx_http_pki_crl_headers(r, f);
}

/* A JSON list of the paths of an issuer's lists, all generations and shards (D-07). */
static ngx_int_t
ngx_http_pki_crl_list(ngx_http_request_t *r, bytes_t id, bytes_t *out)
{
    ngx_http_core_loc_conf_t *clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    ngx_http_pki_authority_t *authority;
    char                      file[CRL_NAME_MAX];
    size_t                    i, count, size = sizeof("[]\n");
    u_char                   *p, *begin;

    authority = ngx_http_pki_authorities_find(ngx_http_pki_store(r)->snapshot, id, &count);
    if (authority == NULL) {
        return NGX_DECLINED;
    }
    for (i = 0; i < count; i++) {
        size += authority[i].crl_count * (clcf->name.len + CRL_NAME_MAX + sizeof("\"\",\n "));
    }
    p = begin = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }
    *p++ = '[';
    for ( /* void */ ; count != 0; count--, authority++) {
        for (i = 0; i < authority->crl_count; i++) {
            crl_name_t name = { id, authority->record.no & 0xff, authority->crls[i].scope };

            if (crl_name_format(&name, ".crl", file)) {
                p = ngx_sprintf(p, "%s\"%V%s\"", p - begin > 1 ? ",\n " : "", &clcf->name, file);
            }
        }
    }
    p = ngx_cpymem(p, "]\n", 2);
    *out = bytes_of(begin, p - begin);
    return NGX_OK;
}

/* {issuer id}.json: the id, absent for all else. */
static bytes_t
ngx_http_pki_crl_list_of(ngx_http_request_t *r)
{
    static const size_t suffix = sizeof(".json") - 1;
    bytes_t             path;

    if (ngx_http_pki_path(r, &path) == NGX_OK && path.len > suffix
        && ngx_memcmp(path.p + path.len - suffix, ".json", suffix) == 0) {
        return bytes_of(path.p, path.len - suffix);
    }
    return BYTES_NONE;
}

static ngx_int_t
ngx_http_pki_crl_answer_list(ngx_http_request_t *r, bytes_t id)
{
    static ngx_str_t type = ngx_string("application/json");
    bytes_t          body;
    ngx_int_t        rc = ngx_http_pki_crl_list(r, id, &body);

    ngx_http_pki_store_end(ngx_http_pki_store(r));
    if (rc == NGX_DECLINED) {
        return ngx_http_pki_send_text(r, NGX_HTTP_NOT_FOUND, "there is no such issuer");
    }
    return rc == NGX_OK ? ngx_http_pki_send(r, NGX_HTTP_OK, &type, body) : rc;
}

static ngx_int_t
ngx_http_pki_crl_answer(ngx_http_request_t *r, ngx_http_pki_slot_t **slot)
{
    ngx_http_pki_crl_file_t f;
    ngx_open_file_info_t    of;
    bytes_t                 id;
    ngx_int_t               rc;

    if (ngx_http_pki_crl_begin(r, &rc) != NGX_OK) {
        return rc;
    }
    id = ngx_http_pki_crl_list_of(r);
    if (id.p != NULL) {
        return ngx_http_pki_crl_answer_list(r, id);
    }
    rc = ngx_http_pki_crl_find_file(r, slot, &f, &of);
    ngx_http_pki_store_end(ngx_http_pki_store(r));

    switch (rc) {
    case NGX_OK:
        return ngx_http_pki_crl_send(r, &f, &of);
    case NGX_HTTP_NOT_FOUND:
        return ngx_http_pki_send_text(r, rc, "there is no such list; {issuer}.json names those that are");
    case NGX_HTTP_SERVICE_UNAVAILABLE:
        return ngx_http_pki_send_unavailable(r, "the CRL has not been published yet", 1);
    default:
        return rc;
    }
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

    if (ngx_http_pki_crl_begin(r, &rc) != NGX_OK) {
        return rc;
    }
    authority = ngx_http_pki_crl_authority(r, ".crt", &name, slot);
    if (authority == NULL || name.scope.kind != CRL_FULL) {
        ngx_http_pki_store_end(ngx_http_pki_store(r));
        return ngx_http_pki_send_text(r, NGX_HTTP_NOT_FOUND, "there is no such issuer");
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

static void *
ngx_http_pki_crl_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_pki_crl_loc_conf_t *conf = ngx_pcalloc(cf->pool, sizeof(*conf));

    if (conf != NULL) {
        conf->max_age = NGX_CONF_UNSET;
    }
    return conf;
}

static char *
ngx_http_pki_crl_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_pki_crl_loc_conf_t *prev = parent, *conf = child;

    ngx_conf_merge_sec_value(conf->max_age, prev->max_age, 3600);
    return NGX_CONF_OK;
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
