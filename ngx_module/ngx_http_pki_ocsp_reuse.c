/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Signed answers used again: what they are found by, how they are kept, and when they are made anew (H-13).
 *
 * An answer to one CertID without a nonce is kept without the CertID, which comes with the request, and without
 * the responder's certificate, which is in the snapshot.  Both are put in again when it is sent: one copy.
 *
 * It is used only for the status that it was made of.  Usually the store says that there has been no change (a
 * count, in the request's transaction); else the status is read and compared.
 */
#include "ngx_module/ngx_http_pki_ocsp.h"

#include <openssl/sha.h>

#define NGX_HTTP_PKI_OCSP_REUSE_MAX (4 * 86400) /* BR 4.9.10: never older than this */

/* The beginning of a value; then the status, what is before the CertID, and what is behind it. */
typedef struct {
    uint64_t changes;   /* the store's count when the status was read */
    uint32_t this_update, next_update;
    uint32_t renew_at;  /* no longer used from then on when the store has news */
    uint16_t head;      /* octets before the CertID */
    uint8_t  status;    /* octets of it */
    uint8_t  has_certificate : 1, has_changes : 1, is_first : 1, is_revoked : 1;
    uint8_t  etag[32];
} ngx_http_pki_ocsp_kept_t;

/* A value, taken apart. */
typedef struct {
    ngx_http_pki_cache_value_t value;
    ngx_http_pki_ocsp_kept_t   kept;
    bytes_t                    status, rest;
} ngx_http_pki_ocsp_found_t;

void
ngx_http_pki_ocsp_guess(ngx_http_pki_ocsp_t *o, bytes_t der)
{
    ngx_http_pki_ocsp_main_conf_t *omcf = ngx_http_get_module_main_conf(o->r, ngx_http_pki_ocsp_module);

    o->guess = omcf->cache != NULL ? ocsp_serial_guess(der) : BYTES_NONE;
    if (o->guess.p != NULL) {
        ngx_http_pki_store_expect(o->store, o->guess);
        ngx_http_pki_cache_key(omcf->cache, &o->key, o->guess);
    }
}

void
ngx_http_pki_ocsp_expect(ngx_http_pki_ocsp_t *o)
{
    ngx_http_pki_ocsp_main_conf_t *omcf = ngx_http_get_module_main_conf(o->r, ngx_http_pki_ocsp_module);
    bytes_t                        serial = o->request.id[0].serial;

    o->cache = o->request.count == 1 ? omcf->cache : NULL;
    o->last_octet = serial.p[serial.len - 1];
    if (o->cache != NULL && (o->guess.p != serial.p || o->guess.len != serial.len)) {
        ngx_http_pki_cache_key(o->cache, &o->key, serial);
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
 * The hash and its length stand for the CertID: its hashes have been found to be those of the authority, and DER
 * leaves nothing else to choose but NULL parameters or none.
 */
static void
ngx_http_pki_ocsp_key(ngx_http_pki_ocsp_t *o, ngx_http_pki_cache_key_t *key)
{
    const ocsp_cert_id_t *id = &o->request.id[0];

    *key = o->key;
    ngx_http_pki_cache_key_add_number(key, (uint64_t) o->authority->record.no << 32 | (uint64_t) id->hash << 16
                                               | id->whole.len);
    ngx_http_pki_cache_key_add_number(key, ngx_http_pki_ocsp_variant(o));
}

/* Answers made together do not end together. */
static int64_t
ngx_http_pki_ocsp_jitter(const ngx_http_pki_ocsp_t *o, int64_t most)
{
    return most * o->last_octet / 256;
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
    uint8_t etag[32];

    o->is_first = ngx_http_pki_ocsp_is_first(o);
    (void) SHA256(o->answer.p, o->answer.len, etag);
    ngx_http_pki_ocsp_tag(o, etag);
}

/* ---- finding ---- */

static ngx_int_t
ngx_http_pki_ocsp_find(ngx_http_pki_ocsp_t *o, const ngx_http_pki_cache_key_t *key, ngx_http_pki_ocsp_found_t *out)
{
    size_t at = sizeof(out->kept);

    if (ngx_http_pki_cache_find(o->cache, key, o->now, &out->value) != NGX_OK || out->value.len < at) {
        return NGX_DECLINED;
    }
    ngx_memcpy(&out->kept, out->value.octets, at);
    if (out->value.len - at < (size_t) out->kept.status + out->kept.head) {
        return NGX_DECLINED;
    }
    out->status = bytes_of(out->value.octets + at, out->kept.status);
    at += out->kept.status;
    out->rest = bytes_of(out->value.octets + at, out->value.len - at);
    return NGX_OK;
}

/* Would an answer made now have anything newer to say? */
static ngx_uint_t
ngx_http_pki_ocsp_is_due(const ngx_http_pki_ocsp_t *o, const ngx_http_pki_ocsp_found_t *found)
{
    return o->this_update > found->kept.this_update && found->value.refresh_at <= o->now;
}

/* Put a kept answer together; the certificate is the last that is in it. */
static ngx_int_t
ngx_http_pki_ocsp_complete(ngx_http_pki_ocsp_t *o, const ngx_http_pki_ocsp_found_t *found)
{
    bytes_t cert_id = o->request.id[0].whole, rest = found->rest, certificate = BYTES_NONE;
    size_t  head = found->kept.head;
    u_char *p;

    if (found->kept.has_certificate) {
        certificate = o->responder->ocsp.certificate;
    }
    o->answer.len = rest.len + cert_id.len + certificate.len;
    o->answer.p = p = ngx_pnalloc(o->r->pool, o->answer.len);
    if (p == NULL) {
        return NGX_DECLINED;
    }
    p = ngx_cpymem(p, rest.p, head);
    p = ngx_cpymem(p, cert_id.p, cert_id.len);
    p = ngx_cpymem(p, rest.p + head, rest.len - head);
    if (certificate.len != 0) {
        ngx_memcpy(p, certificate.p, certificate.len);
    }
    return NGX_OK;
}

static ngx_int_t
ngx_http_pki_ocsp_use(ngx_http_pki_ocsp_t *o, const ngx_http_pki_ocsp_found_t *found)
{
    o->this_update = found->kept.this_update;
    o->next_update = found->kept.next_update;
    o->is_first = found->kept.is_first;
    o->outcome = found->kept.is_revoked ? NGX_HTTP_PKI_OUTCOME_REVOKED : NGX_HTTP_PKI_OUTCOME_GOOD;
    ngx_http_pki_ocsp_tag(o, found->kept.etag);

    o->answer = BYTES_NONE;
    return ngx_http_pki_ocsp_is_current(o) ? NGX_OK : ngx_http_pki_ocsp_complete(o, found);
}

/* The one that was made of the status that the store still has. */
static ngx_int_t
ngx_http_pki_ocsp_find_unchanged(ngx_http_pki_ocsp_t *o, ngx_http_pki_ocsp_found_t *out)
{
    ngx_http_pki_cache_key_t key;
    uint64_t                 changes;

    /* These need the status before they can be looked for. */
    if (o->conf->archive_cutoff != 0 || ngx_http_pki_ocsp_refers(o)
        || ngx_http_pki_store_unchanged(o->store, o->authority->record.no, o->request.id[0].serial, &changes)
               != NGX_OK) {
        return NGX_DECLINED;
    }
    ngx_http_pki_ocsp_key(o, &key);

    return ngx_http_pki_ocsp_find(o, &key, out) == NGX_OK && out->kept.has_changes && out->kept.changes == changes
               ? NGX_OK
               : NGX_DECLINED;
}

ngx_int_t
ngx_http_pki_ocsp_recall_unchanged(ngx_http_pki_ocsp_t *o)
{
    ngx_http_pki_ocsp_found_t found;
    ngx_int_t                 rc;

    if (ngx_http_pki_ocsp_find_unchanged(o, &found) != NGX_OK || ngx_http_pki_ocsp_is_due(o, &found)) {
        return NGX_DECLINED;
    }
    rc = ngx_http_pki_ocsp_use(o, &found);
    if (rc == NGX_OK && o->answer.p == NULL) {
        ngx_http_pki_ocsp_had_insert(o, found.kept.changes, found.value.refresh_at);
    }
    return rc;
}

ngx_int_t
ngx_http_pki_ocsp_recall_status(ngx_http_pki_ocsp_t *o)
{
    ngx_http_pki_ocsp_found_t found;

    if (ngx_http_pki_ocsp_find_unchanged(o, &found) != NGX_OK || found.status.len > sizeof(o->kept_status)) {
        return NGX_DECLINED;
    }
    ngx_memcpy(o->kept_status, found.status.p, found.status.len);
    o->status[0] = bytes_of(o->kept_status, found.status.len);
    return NGX_OK;
}

/* The status has been read again and is the same: from now on this count says so. */
static void
ngx_http_pki_ocsp_confirm(ngx_http_pki_ocsp_t *o, ngx_http_pki_ocsp_found_t *found)
{
    uint64_t changes;

    if (ngx_http_pki_store_unchanged(o->store, o->authority->record.no, o->request.id[0].serial, &changes) != NGX_OK
        || (found->kept.has_changes && found->kept.changes == changes)) {
        return;
    }
    found->kept.changes = changes;
    found->kept.has_changes = 1;
    ngx_memcpy(found->value.octets, &found->kept, sizeof(found->kept));
    ngx_http_pki_cache_insert(o->cache, &o->key, o->now, &found->value);
}

ngx_int_t
ngx_http_pki_ocsp_recall(ngx_http_pki_ocsp_t *o)
{
    ngx_http_pki_ocsp_found_t found;

    ngx_http_pki_ocsp_key(o, &o->key);
    if (ngx_http_pki_ocsp_find(o, &o->key, &found) != NGX_OK || !bytes_eq(found.status, o->status[0])) {
        return NGX_DECLINED;
    }
    if (ngx_http_pki_ocsp_is_due(o, &found)
        && (found.kept.renew_at <= o->now || ngx_http_pki_cache_claim(o->cache, &o->key, o->now) == NGX_OK)) {
        return NGX_DECLINED;
    }
    ngx_http_pki_ocsp_confirm(o, &found);
    return ngx_http_pki_ocsp_use(o, &found);
}

ngx_int_t
ngx_http_pki_ocsp_recall_due(ngx_http_pki_ocsp_t *o)
{
    ngx_http_pki_ocsp_found_t found;

    return ngx_http_pki_ocsp_find(o, &o->key, &found) == NGX_OK && bytes_eq(found.status, o->status[0])
               ? ngx_http_pki_ocsp_use(o, &found)
               : NGX_DECLINED;
}

/* ---- keeping ---- */

static void
ngx_http_pki_ocsp_kept(ngx_http_pki_ocsp_t *o, int64_t reuse, ngx_http_pki_ocsp_kept_t *kept)
{
    *kept = (ngx_http_pki_ocsp_kept_t){
        .this_update = (uint32_t) o->this_update,
        .next_update = (uint32_t) o->next_update,
        .renew_at = (uint32_t) (o->this_update + reuse),
        .status = (uint8_t) o->status[0].len,
        .is_first = o->is_first,
        .is_revoked = ngx_http_pki_ocsp_outcome(o) == NGX_HTTP_PKI_OUTCOME_REVOKED,
    };
    kept->has_changes = ngx_http_pki_store_unchanged(o->store, o->authority->record.no, o->request.id[0].serial,
                                                     &kept->changes)
                        == NGX_OK;
    ngx_memcpy(kept->etag, o->etag, sizeof(kept->etag));
}

void
ngx_http_pki_ocsp_keep(ngx_http_pki_ocsp_t *o)
{
    int64_t                    reuse = ngx_min((o->next_update - o->this_update) / 2, NGX_HTTP_PKI_OCSP_REUSE_MAX);
    bytes_t                    cert_id = o->request.id[0].whole, certificate = o->responder->ocsp.certificate;
    const uint8_t             *end = o->answer.p + o->answer.len;
    const uint8_t             *at = memmem(o->answer.p, o->answer.len, cert_id.p, cert_id.len);
    ngx_http_pki_cache_value_t value;
    ngx_http_pki_ocsp_kept_t   kept;
    u_char                    *p;

    if (at == NULL || o->status[0].len > EDGE_STATUS_MAX
        || sizeof(kept) + o->status[0].len + o->answer.len > sizeof(value.octets)) {
        return;
    }
    ngx_http_pki_ocsp_kept(o, reuse, &kept);
    kept.head = (uint16_t) (at - o->answer.p);
    at += cert_id.len;
    if (certificate.len != 0 && (size_t) (end - at) >= certificate.len
        && ngx_memcmp(end - certificate.len, certificate.p, certificate.len) == 0) {
        kept.has_certificate = 1;
        end -= certificate.len;
    }
    value.refresh_at = o->this_update + reuse - reuse / 8 - ngx_http_pki_ocsp_jitter(o, reuse / 8);
    value.reuse_until = o->next_update;

    p = ngx_cpymem(value.octets, &kept, sizeof(kept));
    p = ngx_cpymem(p, o->status[0].p, o->status[0].len);
    p = ngx_cpymem(p, o->answer.p, kept.head);
    p = ngx_cpymem(p, at, (size_t) (end - at));
    value.len = (size_t) (p - value.octets);
    ngx_http_pki_cache_insert(o->cache, &o->key, o->now, &value);
}
