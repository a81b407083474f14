/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Signed answers used again: what their key is, how they are kept, and when they are made anew (H-13).
 *
 * An answer to one CertID without a nonce is kept without the CertID, which comes with the request, and without
 * the responder's certificate, which is in the snapshot.  Both are put in again when it is sent: one copy.
 */
#include "ngx_module/ngx_http_pki_ocsp.h"

#include <openssl/sha.h>

#define NGX_HTTP_PKI_OCSP_REUSE_MAX (4 * 86400) /* BR 4.9.10: never older than this */

/* The beginning of a value; then what is before the CertID, and what is behind it. */
typedef struct {
    uint32_t this_update, next_update;
    uint32_t renew_at; /* no longer used from then on when the store has news */
    uint16_t head;     /* octets before the CertID */
    uint8_t  has_certificate;
    uint8_t  is_first;
    uint8_t  etag[32];
} ngx_http_pki_ocsp_kept_t;

void
ngx_http_pki_ocsp_expect(ngx_http_pki_ocsp_t *o)
{
    ngx_http_pki_ocsp_main_conf_t *omcf = ngx_http_get_module_main_conf(o->r, ngx_http_pki_ocsp_module);

    o->cache = o->request.count == 1 ? omcf->cache : NULL;
    if (o->cache != NULL) {
        ngx_http_pki_cache_key(o->cache, &o->key, o->request.id[0].serial);
    }
}

void
ngx_http_pki_ocsp_expect_more(ngx_http_pki_ocsp_t *o)
{
    if (o->cache != NULL) {
        ngx_http_pki_cache_fetch(o->cache, &o->key);
    }
}

/*
 * All that an answer depends on.  The hash and its length stand for the CertID: its hashes have been found to be
 * those of the authority, and DER leaves nothing else to choose but NULL parameters or none.
 */
static void
ngx_http_pki_ocsp_key(ngx_http_pki_ocsp_t *o)
{
    const edge_issuer_t  *issuer = &o->authority->record;
    const ocsp_cert_id_t *id = &o->request.id[0];

    ngx_http_pki_cache_key_add_number(&o->key, (uint64_t) issuer->no << 32 | (uint64_t) id->hash << 16 | id->whole.len);
    ngx_http_pki_cache_key_add_number(&o->key, o->variant);
    ngx_http_pki_cache_key_question(&o->key);

    ngx_http_pki_cache_key_add(&o->key, o->status[0]);
}

/* Answers made together do not end together. */
static int64_t
ngx_http_pki_ocsp_jitter(const ngx_http_pki_ocsp_t *o, int64_t most)
{
    bytes_t serial = o->request.id[0].serial;

    return most * serial.p[serial.len - 1] / 256;
}

/* Seconds that HTTP caches may keep an answer: now and these are before nextUpdate (RFC 9919 6.2). */
int64_t
ngx_http_pki_ocsp_max_age(const ngx_http_pki_ocsp_t *o)
{
    ngx_http_pki_ocsp_loc_conf_t *olcf = ngx_http_get_module_loc_conf(o->r, ngx_http_pki_ocsp_module);
    int64_t                       most = olcf->max_age - ngx_http_pki_ocsp_jitter(o, olcf->max_age / 8);

    return ngx_max(ngx_min(most, o->next_update - o->now - 1), 0);
}

/* Has the certificate been in this state since it was issued?  The feeder counts changes. */
static uint8_t
ngx_http_pki_ocsp_is_first(const ngx_http_pki_ocsp_t *o)
{
    return o->request.count == 1 && o->status[0].p != NULL && o->record[0].kind == EDGE_GOOD
           && o->record[0].revision <= 1 && !o->authority->record.is_revoked;
}

void
ngx_http_pki_ocsp_validate(ngx_http_pki_ocsp_t *o)
{
    o->is_first = ngx_http_pki_ocsp_is_first(o);
    (void) SHA256(o->answer.p, o->answer.len, o->etag);
}

/* Put a kept answer together; the certificate is the last that is in it. */
static pki_code_t
ngx_http_pki_ocsp_complete(ngx_http_pki_ocsp_t *o, const ngx_http_pki_ocsp_kept_t *kept, bytes_t rest, pki_err_t *err)
{
    bytes_t cert_id = o->request.id[0].whole, certificate = BYTES_NONE;
    u_char *p;

    if (kept->has_certificate) {
        certificate = o->responder->ocsp.certificate;
    }
    o->answer.len = rest.len + cert_id.len + certificate.len;
    o->answer.p = p = ngx_pnalloc(o->r->pool, o->answer.len);
    if (p == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    p = ngx_cpymem(p, rest.p, kept->head);
    p = ngx_cpymem(p, cert_id.p, cert_id.len);
    p = ngx_cpymem(p, rest.p + kept->head, rest.len - kept->head);
    if (certificate.len != 0) {
        ngx_memcpy(p, certificate.p, certificate.len);
    }
    return PKI_OK;
}

/* Is there anything newer to say, and is it this worker's turn to say it? */
static ngx_uint_t
ngx_http_pki_ocsp_is_due(ngx_http_pki_ocsp_t *o, const ngx_http_pki_cache_value_t *value,
                         const ngx_http_pki_ocsp_kept_t *kept)
{
    if (o->this_update <= kept->this_update || value->refresh_at > o->now) {
        return 0;
    }
    return kept->renew_at <= o->now || ngx_http_pki_cache_claim(o->cache, &o->key, o->now) == NGX_OK;
}

ngx_int_t
ngx_http_pki_ocsp_recall(ngx_http_pki_ocsp_t *o, ngx_uint_t even_if_due, pki_err_t *err)
{
    ngx_http_pki_cache_value_t value;
    ngx_http_pki_ocsp_kept_t   kept;

    if (!even_if_due) {
        ngx_http_pki_ocsp_key(o);
    }
    if (ngx_http_pki_cache_find(o->cache, &o->key, o->now, &value) != NGX_OK || value.len < sizeof(kept)) {
        return NGX_DECLINED;
    }
    ngx_memcpy(&kept, value.octets, sizeof(kept));
    if (!even_if_due && ngx_http_pki_ocsp_is_due(o, &value, &kept)) {
        return NGX_DECLINED;
    }
    o->this_update = kept.this_update;
    o->next_update = kept.next_update;
    o->is_first = kept.is_first;
    ngx_memcpy(o->etag, kept.etag, sizeof(o->etag));

    if (ngx_http_pki_ocsp_is_current(o)) {
        o->answer = BYTES_NONE;
        return NGX_OK;
    }
    return ngx_http_pki_ocsp_complete(o, &kept, bytes_of(value.octets + sizeof(kept), value.len - sizeof(kept)), err)
                   == PKI_OK
               ? NGX_OK
               : NGX_ERROR;
}

void
ngx_http_pki_ocsp_keep(ngx_http_pki_ocsp_t *o)
{
    int64_t                    life = o->next_update - o->this_update;
    int64_t                    reuse = ngx_min(life / 2, NGX_HTTP_PKI_OCSP_REUSE_MAX);
    bytes_t                    cert_id = o->request.id[0].whole, certificate = o->responder->ocsp.certificate;
    const uint8_t             *at = memmem(o->answer.p, o->answer.len, cert_id.p, cert_id.len), *end;
    ngx_http_pki_cache_value_t value;
    ngx_http_pki_ocsp_kept_t   kept;
    u_char                    *p;

    if (at == NULL || sizeof(kept) + o->answer.len > sizeof(value.octets)) {
        return;
    }
    end = o->answer.p + o->answer.len - certificate.len;
    kept = (ngx_http_pki_ocsp_kept_t){
        .this_update = (uint32_t) o->this_update,
        .next_update = (uint32_t) o->next_update,
        .renew_at = (uint32_t) (o->this_update + reuse),
        .head = (uint16_t) (at - o->answer.p),
        .is_first = o->is_first,
        .has_certificate = certificate.len != 0 && end >= at + cert_id.len
                           && ngx_memcmp(end, certificate.p, certificate.len) == 0,
    };
    ngx_memcpy(kept.etag, o->etag, sizeof(kept.etag));
    if (!kept.has_certificate) {
        end = o->answer.p + o->answer.len;
    }
    value.refresh_at = o->this_update + reuse - reuse / 8 - ngx_http_pki_ocsp_jitter(o, reuse / 8);
    value.reuse_until = o->next_update;

    p = ngx_cpymem(value.octets, &kept, sizeof(kept));
    p = ngx_cpymem(p, o->answer.p, kept.head);
    p = ngx_cpymem(p, at + cert_id.len, (size_t) (end - at) - cert_id.len);
    value.len = (size_t) (p - value.octets);
    ngx_http_pki_cache_insert(o->cache, &o->key, o->now, &value);
}
