/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What a GET asks for, from the rest of the raw request target: base64 of a request (RFC 6960 A.1), or a serial in
 * hexadecimal digits, for which the request is made here.  They cannot be taken for each other: the base64 of DER
 * begins with "M".
 */
#include "ngx_module/ngx_http_pki_ocsp.h"

/* Control characters are in no request, encoded or not (H-04). */
static ngx_uint_t
ngx_http_pki_ocsp_has_control(bytes_t raw)
{
    size_t    i;
    ngx_int_t c;

    for (i = 0; i < raw.len; i++) {
        c = raw.p[i] == '%' && raw.len - i > 2 ? ngx_hextoi((u_char *) raw.p + i + 1, 2) : raw.p[i];
        if ((c >= 0 && c < 0x20) || c == 0x7f) {
            return 1;
        }
    }
    return 0;
}

/* An even number of hexadecimal digits and nothing else: the INTEGER's contents octets, made positive. */
static ngx_int_t
ngx_http_pki_ocsp_serial(ngx_pool_t *pool, bytes_t raw, bytes_t *serial)
{
    u_char   *p;
    size_t    i;
    ngx_int_t octet;

    while (raw.len != 0 && raw.p[0] == '/') {
        raw.p++;
        raw.len--;
    }
    if (raw.len == 0 || raw.len % 2 != 0 || raw.len > 2 * (CERT_SERIAL_MAX + 1)
        || (p = ngx_pnalloc(pool, 1 + raw.len / 2)) == NULL) {
        return NGX_DECLINED;
    }
    p[0] = 0;
    for (i = 0; i < raw.len / 2; i++) {
        octet = ngx_hextoi((u_char *) raw.p + 2 * i, 2);
        if (octet == NGX_ERROR) {
            return NGX_DECLINED;
        }
        p[1 + i] = (u_char) octet;
    }
    *serial = bytes_of(p, 1 + raw.len / 2);
    while (serial->len > 1 && serial->p[0] == 0 && serial->p[1] < 0x80) {
        serial->p++;
        serial->len--;
    }
    return NGX_OK;
}

ngx_int_t
ngx_http_pki_ocsp_question(ngx_http_request_t *r, bytes_t raw, ngx_http_pki_ocsp_question_t *out)
{
    size_t  cap = ngx_min(raw.len, OCSP_REQUEST_MAX);
    u_char *p;

    out->der = out->serial = BYTES_NONE;
    if (ngx_http_pki_ocsp_serial(r->pool, raw, &out->serial) == NGX_OK) {
        return NGX_OK;
    }
    p = ngx_pnalloc(r->pool, cap + 1);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (ocsp_get_decode(raw, p, cap, &out->der, NULL) == PKI_OK) {
        return NGX_OK;
    }
    /* What is not base64 is no request either: the empty one is malformed. */
    out->der = BYTES_NONE;
    return ngx_http_pki_ocsp_has_control(raw) ? NGX_HTTP_BAD_REQUEST : NGX_OK;
}

/* The authority that issued it, the current one first; if none did, that one. */
static ngx_http_pki_authority_t *
ngx_http_pki_ocsp_issuer_of(ngx_http_pki_ocsp_t *o, bytes_t serial)
{
    bytes_t status;
    size_t  i;

    for (i = 0; i < o->authority_count; i++) {
        if (ngx_http_pki_store_status(o->store, o->authorities[i].record.no, serial, &status, o->r->connection->log)
            == NGX_OK) {
            return &o->authorities[i];
        }
    }
    return o->authorities;
}

pki_code_t
ngx_http_pki_ocsp_request_of(ngx_http_pki_ocsp_t *o, bytes_t serial)
{
    edge_issuer_t  *issuer = &ngx_http_pki_ocsp_issuer_of(o, serial)->record;
    ocsp_cert_id_t *id = &o->request.id[0];
    u_char         *p = ngx_pnalloc(o->r->pool, OCSP_CERT_ID_MAX);
    pki_buf_t       b;

    pki_buf_fixed(&b, p, p != NULL ? OCSP_CERT_ID_MAX : 0);
    ocsp_cert_id_put(&b, OCSP_SHA1, issuer->name_hash[OCSP_SHA1], issuer->key_hash[OCSP_SHA1], serial);

    ngx_memzero(&o->request, sizeof(o->request));
    o->request.count = 1;
    *id = (ocsp_cert_id_t){
        .whole = pki_buf_bytes(&b),
        .hash = OCSP_SHA1,
        .name_hash = issuer->name_hash[OCSP_SHA1],
        .key_hash = issuer->key_hash[OCSP_SHA1],
        .serial = serial,
    };
    return pki_buf_check(&b, "CertID", NULL);
}
