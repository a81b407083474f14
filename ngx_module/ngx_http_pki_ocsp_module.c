/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * OCSP over HTTP (RFC 6960 appendix A, RFC 9919): POST, and GET with the request in the path.
 *
 *     pki_ocsp;                            location; {location}{issuer id}[/{base64}]
 *     pki_ocsp_cache zone=NAME:SIZE;       http; signed answers shared by the workers
 *
 * Every answer reflects the status read for it: a cached one is found only under that status.  Unknown
 * serials and requests with errors never cause a signature.
 */
#include "ngx_module/ngx_http_pki_cache.h"
#include "ngx_module/ngx_http_pki_module.h"

#define NGX_HTTP_PKI_OCSP_SINGLE_MAX 384 /* one SingleResponse, with a SHA-512 CertID and all we put in */
#define NGX_HTTP_PKI_OCSP_FRAME_MAX  512 /* what is around them, with a nonce */

typedef struct {
    ngx_shm_zone_t *cache; /* NULL: every answer is signed */
} ngx_http_pki_ocsp_main_conf_t;

/* One request being answered; lives within one call. */
typedef struct {
    ngx_http_request_t    *r;
    ngx_http_pki_store_t  *store;
    ngx_http_pki_issuer_t *issuer;
    ocsp_request_t         request;
    bytes_t                status[OCSP_IDS_MAX]; /* records, in the store */
    int64_t                now, this_update, next_update;
    bytes_t                answer;
} ngx_http_pki_ocsp_t;

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

    ngx_null_command
};

static ngx_http_module_t ngx_http_pki_ocsp_module_ctx = {
    NULL,                               /* preconfiguration */
    NULL,                               /* postconfiguration */

    ngx_http_pki_ocsp_create_main_conf, /* create main configuration */
    NULL,                               /* init main configuration */

    NULL,                               /* create server configuration */
    NULL,                               /* merge server configuration */

    NULL,                               /* create location configuration */
    NULL                                /* merge location configuration */
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

/* The issuer that a CertID names must be the one that was asked, by both hashes (RFC 6960 4.1.1). */
static ngx_int_t
ngx_http_pki_ocsp_matches(const ocsp_cert_id_t *id, const edge_issuer_t *issuer)
{
    return id->hash != OCSP_HASH_COUNT && bytes_eq(id->key_hash, issuer->key_hash[id->hash])
           && bytes_eq(id->name_hash, issuer->name_hash[id->hash]);
}

/* Find the status of every CertID.  None may be missing: an answer covers all or nothing (RFC 6960 4.2.2.3).
 */
static ocsp_response_status_t
ngx_http_pki_ocsp_lookup(ngx_http_pki_ocsp_t *o)
{
    ngx_log_t *log = o->r->connection->log;
    size_t     i;
    ngx_int_t  rc;

    for (i = 0; i < o->request.count; i++) {
        if (!ngx_http_pki_ocsp_matches(&o->request.id[i], &o->issuer->record)) {
            return OCSP_UNAUTHORIZED;
        }
        rc = ngx_http_pki_store_status(o->store, o->issuer->record.no, o->request.id[i].serial, &o->status[i],
                                       log);
        if (rc != NGX_OK) {
            return rc == NGX_DECLINED ? OCSP_UNAUTHORIZED : OCSP_INTERNAL_ERROR;
        }
    }
    return OCSP_SUCCESSFUL;
}

/*
 * thisUpdate is never later than the last time the store was in step with the database, and an answer
 * never outlives its signer's certificate.  What would have expired already is not answered.
 */
static ocsp_response_status_t
ngx_http_pki_ocsp_times(ngx_http_pki_ocsp_t *o)
{
    if (o->issuer->signer == NULL || o->issuer->responder.not_before > o->now) {
        return OCSP_TRY_LATER;
    }
    o->this_update = ngx_min(o->now, o->store->state.synced_at);
    o->next_update = ngx_min(o->this_update + o->issuer->record.ocsp_validity_s, o->issuer->ocsp.not_after);
    return o->next_update > o->now ? OCSP_SUCCESSFUL : OCSP_TRY_LATER;
}

static pki_code_t
ngx_http_pki_ocsp_single(const ngx_http_pki_ocsp_t *o, size_t i, ocsp_single_t *single, pki_err_t *err)
{
    edge_status_t status;

    PKI_TRY(edge_status_decode(o->status[i], &status, err));
    *single = (ocsp_single_t){
        .cert_id = o->request.id[i].whole,
        .status = status.kind == EDGE_GOOD ? OCSP_GOOD : OCSP_REVOKED,
        .revoked_at = status.revoked_at,
        .reason = status.reason,
        .invalidity_at = status.kind == EDGE_GOOD ? 0 : status.invalidity_at,
        .this_update = o->this_update,
        .next_update = o->next_update,
    };
    return PKI_OK;
}

static u_char *
ngx_http_pki_ocsp_memory(ngx_http_pki_ocsp_t *o, pki_buf_t *b, size_t size)
{
    u_char *p = ngx_pnalloc(o->r->pool, size);

    pki_buf_fixed(b, p, p != NULL ? size : 0);
    return p;
}

static pki_code_t
ngx_http_pki_ocsp_finish(ngx_http_pki_ocsp_t *o, bytes_t tbs, bytes_t signature, pki_err_t *err)
{
    pki_buf_t out;

    ngx_http_pki_ocsp_memory(
        o, &out, o->issuer->ocsp.certificate.len + tbs.len + signature.len + NGX_HTTP_PKI_OCSP_FRAME_MAX);
    PKI_TRY(ocsp_response_build(&o->issuer->ocsp, tbs, signature, &out, err));
    o->answer = pki_buf_bytes(&out);
    return PKI_OK;
}

/* Build and sign an answer. */
static pki_code_t
ngx_http_pki_ocsp_sign(ngx_http_pki_ocsp_t *o, bytes_t *tbs, uint8_t *sig, size_t *sig_len, pki_err_t *err)
{
    ocsp_single_t singles[OCSP_IDS_MAX];
    pki_buf_t     b;
    size_t        i;

    for (i = 0; i < o->request.count; i++) {
        PKI_TRY(ngx_http_pki_ocsp_single(o, i, &singles[i], err));
    }
    ngx_http_pki_ocsp_memory(o, &b,
                             o->request.count * NGX_HTTP_PKI_OCSP_SINGLE_MAX + NGX_HTTP_PKI_OCSP_FRAME_MAX);
    PKI_TRY(ocsp_tbs_build(&o->issuer->ocsp, singles, o->request.count, o->now, o->request.nonce, &b, err));
    *tbs = pki_buf_bytes(&b);
    PKI_TRY(ngx_http_pki_signer_sign(o->issuer->signer, *tbs, sig, sig_len, err));
    return ngx_http_pki_ocsp_finish(o, *tbs, bytes_of(sig, *sig_len), err);
}

/* Reuse ends at half of the answer's life, earlier by up to an eighth: answers made together do not end
 * together. */
static int64_t
ngx_http_pki_ocsp_reuse(const ngx_http_pki_ocsp_t *o)
{
    int64_t  life = o->next_update - o->this_update;
    bytes_t  serial = o->request.id[0].serial;
    uint32_t jitter = serial.p[serial.len - 1];

    return o->this_update + life / 2 - life / 8 * jitter / 256;
}

/* One CertID without a nonce: from the cache if it is there, into it if not. */
static pki_code_t
ngx_http_pki_ocsp_cached(ngx_http_pki_ocsp_t *o, ngx_shm_zone_t *zone, pki_err_t *err)
{
    ngx_http_pki_cache_answer_t answer;
    ngx_http_pki_cache_key_t    key;
    bytes_t                     tbs;
    size_t                      len;

    key.issuer_no = o->issuer->record.no;
    key.responder_generation = o->issuer->responder.generation;
    key.cert_id = o->request.id[0].whole;
    key.status = o->status[0];

    if (ngx_http_pki_cache_find(zone, &key, o->now, &answer) == NGX_OK) {
        return ngx_http_pki_ocsp_finish(o, bytes_of(answer.tbs, answer.tbs_len),
                                        bytes_of(answer.signature, answer.signature_len), err);
    }
    PKI_TRY(ngx_http_pki_ocsp_sign(o, &tbs, answer.signature, &len, err));

    answer.reuse_until = ngx_http_pki_ocsp_reuse(o);
    if (tbs.len <= sizeof(answer.tbs) && answer.reuse_until > o->now) {
        answer.tbs_len = (uint16_t) tbs.len;
        answer.signature_len = (uint16_t) len;
        ngx_memcpy(answer.tbs, tbs.p, tbs.len);
        ngx_http_pki_cache_insert(zone, &key, &answer);
    }
    return PKI_OK;
}

/* Inside the store's transaction: the answer, or the status that is the answer. */
static ocsp_response_status_t
ngx_http_pki_ocsp_answer(ngx_http_pki_ocsp_t *o)
{
    ngx_http_pki_ocsp_main_conf_t *omcf = ngx_http_get_module_main_conf(o->r, ngx_http_pki_ocsp_module);
    uint8_t                        sig[NGX_HTTP_PKI_SIGNATURE_MAX];
    ocsp_response_status_t         status;
    pki_err_t                      err;
    bytes_t                        tbs;
    size_t                         len;
    pki_code_t                     rc;

    status = ngx_http_pki_ocsp_lookup(o);
    if (status == OCSP_SUCCESSFUL) {
        status = ngx_http_pki_ocsp_times(o);
    }
    if (status != OCSP_SUCCESSFUL) {
        return status;
    }
    if (omcf->cache != NULL && o->request.count == 1 && o->request.nonce.p == NULL) {
        rc = ngx_http_pki_ocsp_cached(o, omcf->cache, &err);
    } else {
        rc = ngx_http_pki_ocsp_sign(o, &tbs, sig, &len, &err);
    }
    if (rc != PKI_OK) {
        ngx_log_error(NGX_LOG_ERR, o->r->connection->log, 0, "pki: OCSP answer: %s", err.text);
        return OCSP_INTERNAL_ERROR;
    }
    return OCSP_SUCCESSFUL;
}

/* All of an OCSP request but its transport.  Errors, too, are answered 200: some clients drop other ones
 * (H-07). */
static ngx_int_t
ngx_http_pki_ocsp_respond(ngx_http_request_t *r, bytes_t id, bytes_t der)
{
    static ngx_str_t       type = ngx_string("application/ocsp-response");
    ngx_http_pki_ocsp_t    o;
    ocsp_response_status_t status = OCSP_TRY_LATER;
    pki_code_t             rc;

    o.r = r;
    o.now = ngx_time();
    o.store = ngx_http_pki_store(r);

    if (ngx_http_pki_store_begin(o.store, r->connection->log) == NGX_OK) {
        o.issuer = ngx_http_pki_issuer_find(o.store->snapshot, id);
        if (o.issuer == NULL) {
            ngx_http_pki_store_end(o.store);
            return ngx_http_pki_send_text(r, NGX_HTTP_NOT_FOUND, "there is no such issuer");
        }
        rc = ocsp_request_parse(der, &o.request, NULL);
        if (rc == PKI_OK) {
            status = ngx_http_pki_ocsp_answer(&o);
        } else {
            status = rc == PKI_E_UNSUPPORTED ? OCSP_UNAUTHORIZED : OCSP_MALFORMED_REQUEST;
        }
        ngx_http_pki_store_end(o.store);
    }
    return ngx_http_pki_send(r, NGX_HTTP_OK, &type,
                             status == OCSP_SUCCESSFUL ? o.answer : ocsp_error_response(status));
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
    bytes_t id, rest;

    if (rc == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE) {
        rc = ngx_http_pki_send_text(r, rc, "an OCSP request has at most 10240 octets");
    } else if (rc != NGX_OK) {
        rc = ngx_http_pki_send_text(r, rc, "the request's body could not be read");
    } else if (ngx_http_pki_ocsp_split(r, &id, &rest) != NGX_OK) {
        rc = ngx_http_pki_send_text(r, NGX_HTTP_NOT_FOUND, "there is no such issuer");
    } else {
        rc = ngx_http_pki_ocsp_respond(r, id, body);
    }
    ngx_http_finalize_request(r, rc);
}

static ngx_int_t
ngx_http_pki_ocsp_get(ngx_http_request_t *r, bytes_t id, bytes_t raw)
{
    bytes_t der = BYTES_NONE;
    size_t  cap = ngx_min(raw.len, OCSP_REQUEST_MAX);
    u_char *p = ngx_pnalloc(r->pool, cap + 1);

    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }
    /* What is not base64 is no request either: the empty one is malformed. */
    if (ocsp_get_decode(raw, p, cap, &der, NULL) != PKI_OK) {
        der = BYTES_NONE;
    }
    return ngx_http_pki_ocsp_respond(r, id, der);
}

static ngx_int_t
ngx_http_pki_ocsp_handler(ngx_http_request_t *r)
{
    bytes_t id, rest;

    if (ngx_http_pki_method(r, NGX_HTTP_GET | NGX_HTTP_HEAD | NGX_HTTP_POST) != NGX_OK) {
        return ngx_http_pki_send_text(r, NGX_HTTP_NOT_ALLOWED, "OCSP is asked by GET or POST");
    }
    if (ngx_http_pki_ocsp_split(r, &id, &rest) != NGX_OK) {
        return ngx_http_pki_send_text(r, NGX_HTTP_NOT_FOUND, "there is no such issuer");
    }
    if (r->method != NGX_HTTP_POST) {
        return ngx_http_pki_ocsp_get(r, id, rest);
    }
    if (r->headers_in.content_length_n > OCSP_REQUEST_MAX) {
        return ngx_http_pki_send_text(r, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                      "an OCSP request has at most 10240 octets");
    }
    return ngx_http_pki_body_read(r, OCSP_REQUEST_MAX, ngx_http_pki_ocsp_body);
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
