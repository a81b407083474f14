/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What every protocol module needs of nginx: pkiproto's types beside nginx's own, an arena that lives as
 * long as the request, whole bodies in and out, errors as text.
 */
#ifndef NGX_HTTP_PKI_GLUE_H
#define NGX_HTTP_PKI_GLUE_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

/* nginx includes <openssl/x509v3.h>, whose key usage bits are laid out differently from ours. */
#undef KU_DIGITAL_SIGNATURE
#undef KU_NON_REPUDIATION
#undef KU_KEY_ENCIPHERMENT
#undef KU_DATA_ENCIPHERMENT
#undef KU_KEY_AGREEMENT
#undef KU_KEY_CERT_SIGN
#undef KU_CRL_SIGN

#include "pkiproto/base/buf.h"
#include "pkiproto/x509/cert.h"

static ngx_inline bytes_t
ngx_http_pki_bytes(ngx_str_t s)
{
    return bytes_of(s.data, s.len);
}

/* An arena that goes with the request, of at most limit octets; NULL when out of memory. */
pki_arena_t *ngx_http_pki_arena(ngx_http_request_t *r, size_t limit);

/*
 * What follows the location's name in the request target as it was sent: not decoded, slashes not merged,
 * without the query.  NGX_DECLINED when the target spells the location's name otherwise.
 */
ngx_int_t ngx_http_pki_path(ngx_http_request_t *r, bytes_t *path);

/* The names of methods for Allow; NGX_OK when the request's is one of those in mask (NGX_HTTP_GET...). */
ngx_int_t ngx_http_pki_method(ngx_http_request_t *r, ngx_uint_t mask);

/*
 * Read a body of at most max octets into one piece of memory.  The handler gets NGX_OK, or the HTTP status
 * that says what was wrong with the body, and finalizes the request.  Returned to nginx from a content
 * handler. Nothing is written to a file: what is over max is refused as soon as it is known.
 */
typedef void (*ngx_http_pki_body_pt)(ngx_http_request_t *r, ngx_int_t rc, bytes_t body);
ngx_int_t ngx_http_pki_body_read(ngx_http_request_t *r, size_t max, ngx_http_pki_body_pt handler);

/* Answer with a body in memory that lives as long as the request.  For HEAD the header only. */
ngx_int_t ngx_http_pki_send(ngx_http_request_t *r, ngx_uint_t status, ngx_str_t *type, bytes_t body);

/* Answer with a line of text/plain; the text is copied. */
ngx_int_t ngx_http_pki_send_text(ngx_http_request_t *r, ngx_uint_t status, const char *text);
ngx_int_t ngx_http_pki_send_error(ngx_http_request_t *r, const pki_err_t *err); /* "text (clause)" */
ngx_int_t ngx_http_pki_send_unavailable(ngx_http_request_t *r, const char *text, time_t retry_after);

/* One more answer header; the value lives as long as the request. */
ngx_int_t ngx_http_pki_header(ngx_http_request_t *r, const char *name, ngx_str_t value);

/*
 * "zone=NAME:SIZE" of a directive.  Returns NGX_CONF_OK or what is wrong; the zone's data and init are the
 * caller's.
 */
char *ngx_http_pki_zone(ngx_conf_t *cf, ngx_str_t *value, ngx_shm_zone_t **zone, void *tag);

/* Let client_max_body_size not get in the way of a location that bounds its bodies itself. */
void ngx_http_pki_body_unlimited(ngx_conf_t *cf);

#endif
