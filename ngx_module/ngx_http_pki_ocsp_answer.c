/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * From a parsed OCSP request to its answer: authority, statuses, times, responder, cache, signature.
 * Errors and unknown serials never cause a signature unless the configuration asks for one.
 */
#include "ngx_module/ngx_http_pki_ocsp.h"

#define NGX_HTTP_PKI_OCSP_FRAME_MAX  256 /* around what is signed, the signature and the certificate */
#define NGX_HTTP_PKI_OCSP_UNISSUED_S 300 /* "unknown" does not outlive what may be issued meanwhile */

/* The authority that a CertID names must be one of the issuer that was asked, by both hashes (RFC 6960
 * 4.1.1). */
static ngx_int_t
ngx_http_pki_ocsp_matches(const ocsp_cert_id_t *id, const edge_issuer_t *issuer)
{
    return id->hash != OCSP_HASH_COUNT && bytes_eq(id->key_hash, issuer->key_hash[id->hash])
           && bytes_eq(id->name_hash, issuer->name_hash[id->hash]);
}

static ngx_http_pki_authority_t *
ngx_http_pki_ocsp_authority(ngx_http_pki_ocsp_t *o, const ocsp_cert_id_t *id)
{
    size_t i;

    for (i = 0; i < o->authority_count; i++) {
        if (ngx_http_pki_ocsp_matches(id, &o->authorities[i].record)) {
            return &o->authorities[i];
        }
    }
    return NULL;
}

static ngx_uint_t
ngx_http_pki_ocsp_can_sign(const ngx_http_pki_ocsp_t *o, const ngx_http_pki_responder_t *responder)
{
    return responder->signer != NULL && responder->record.not_before <= o->now
           && responder->ocsp.not_after > o->now;
}

/* RFC 6960 4.4.7.2: the first algorithm of the client's list that one of our keys can sign with. */
static ngx_int_t
ngx_http_pki_ocsp_preferred(ngx_http_pki_ocsp_t *o)
{
    ngx_http_pki_responder_t *responder, *end = o->authority->responders + o->authority->responder_count;
    bytes_t                   list = ocsp_preferred_list(&o->request);
    ocsp_preferred_t          wish;
    ngx_uint_t                n;

    for (n = 0; n < OCSP_PREFERRED_MAX && ocsp_preferred_next(&list, &wish); n++) {
        for (responder = o->authority->responders; responder < end; responder++) {
            if (ngx_http_pki_ocsp_can_sign(o, responder)
                && (o->sigalg = ocsp_preferred_match(&wish, &responder->ocsp)) != NULL) {
                o->responder = responder;
                return NGX_OK;
            }
        }
    }
    return NGX_DECLINED;
}

/* One that the client prefers, or the first that can sign now. */
static ngx_int_t
ngx_http_pki_ocsp_responder(ngx_http_pki_ocsp_t *o)
{
    ngx_http_pki_responder_t *responder = o->authority->responders;
    ngx_http_pki_responder_t *end = responder + o->authority->responder_count;

    if (o->request.preferred_algorithms.p != NULL && ngx_http_pki_ocsp_preferred(o) == NGX_OK) {
        return NGX_OK;
    }
    while (responder < end && !ngx_http_pki_ocsp_can_sign(o, responder)) {
        responder++;
    }
    if (responder == end) {
        return NGX_DECLINED;
    }
    o->responder = responder;
    o->sigalg = responder->ocsp.sigalg;
    return NGX_OK;
}

/*
 * Of the answer that the cache has without a nonce, which costs less than a search in a store that is larger than the
 * processor's caches.  Where it is depends on who signs.
 */
static ngx_int_t
ngx_http_pki_ocsp_status_kept(ngx_http_pki_ocsp_t *o)
{
    return !o->can_be_kept && o->cache != NULL && ngx_http_pki_ocsp_responder(o) == NGX_OK
               ? ngx_http_pki_ocsp_recall_status(o)
               : NGX_DECLINED;
}

/* What the store knows of one serial.  Without a record it has not been issued, or was forgotten. */
static ocsp_response_status_t
ngx_http_pki_ocsp_status(ngx_http_pki_ocsp_t *o, size_t i)
{
    ngx_log_t *log = o->r->connection->log;
    bytes_t    serial = o->request.id[i].serial;
    pki_err_t  err;
    ngx_int_t  rc;

    rc = ngx_http_pki_ocsp_status_kept(o);
    if (rc != NGX_OK) {
        rc = ngx_http_pki_store_status(o->store, o->authority->record.no, serial, &o->status[i], log);
    }
    if (rc == NGX_DECLINED) {
        o->status[i] = BYTES_NONE;
        o->has_unissued = 1;
        return o->conf->unissued != NGX_HTTP_PKI_OCSP_UNISSUED_UNAUTHORIZED ? OCSP_SUCCESSFUL
                                                                            : OCSP_UNAUTHORIZED;
    }
    if (rc != NGX_OK) {
        return OCSP_INTERNAL_ERROR;
    }
    if (edge_status_decode(o->status[i], &o->record[i], &err) != PKI_OK) {
        ngx_log_error(NGX_LOG_ERR, log, 0, "pki: edge store: %s", err.text);
        return OCSP_INTERNAL_ERROR;
    }
    /* Beyond the archive cutoff that we claim, nothing is said of it (RFC 6960 4.4.4). */
    return o->conf->archive_cutoff != 0 && o->record[i].not_after + o->conf->archive_cutoff < o->now
               ? OCSP_UNAUTHORIZED
               : OCSP_SUCCESSFUL;
}

/* Find the status of every CertID.  None may be missing: an answer covers all or nothing (RFC 6960
 * 4.2.2.3). */
static ocsp_response_status_t
ngx_http_pki_ocsp_lookup(ngx_http_pki_ocsp_t *o)
{
    ocsp_response_status_t status = OCSP_SUCCESSFUL;
    size_t                 i;

    for (i = 0; status == OCSP_SUCCESSFUL && i < o->request.count; i++) {
        /* One signature, one key: a request that spans generations cannot be answered. */
        if (o->authority == NULL || !ngx_http_pki_ocsp_matches(&o->request.id[i], &o->authority->record)) {
            return OCSP_UNAUTHORIZED;
        }
        status = ngx_http_pki_ocsp_status(o, i);
    }
    return status;
}

/*
 * thisUpdate is never later than the last time the store was in step with the database, and an answer
 * never outlives its signer's certificate.  What would have expired already is not answered.
 */
static ocsp_response_status_t
ngx_http_pki_ocsp_times(ngx_http_pki_ocsp_t *o)
{
    if (ngx_http_pki_ocsp_responder(o) != NGX_OK) {
        return OCSP_TRY_LATER;
    }
    o->this_update = ngx_min(o->now, o->store->state.synced_at);
    o->next_update = o->this_update + o->authority->record.ocsp_validity_s;
    o->next_update = ngx_min(o->next_update, o->responder->ocsp.not_after);
    if (o->has_unissued) {
        o->next_update = ngx_min(o->next_update, o->now + NGX_HTTP_PKI_OCSP_UNISSUED_S);
    }
    return o->next_update > o->now ? OCSP_SUCCESSFUL : OCSP_TRY_LATER;
}

static pki_code_t
ngx_http_pki_ocsp_finish(ngx_http_pki_ocsp_t *o, bytes_t tbs, bytes_t signature, pki_err_t *err)
{
    ocsp_responder_t *responder = &o->responder->ocsp;
    size_t            size = tbs.len + signature.len + NGX_HTTP_PKI_OCSP_FRAME_MAX;
    u_char           *p = ngx_pnalloc(o->r->pool, size + responder->certificate.len);
    pki_buf_t         out;

    if (p == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    pki_buf_fixed(&out, p, size + responder->certificate.len);
    PKI_TRY(ocsp_response_build(responder, o->sigalg, tbs, signature, &out, err));
    o->answer = pki_buf_bytes(&out);
    return PKI_OK;
}

/* Build and sign an answer, if there is a budget for it. */
static pki_code_t
ngx_http_pki_ocsp_sign(ngx_http_pki_ocsp_t *o, ngx_uint_t can_be_kept, bytes_t *tbs, uint8_t *sig,
                       size_t *sig_len, pki_err_t *err)
{
    if (ngx_http_pki_ocsp_afford(o, can_be_kept) != NGX_OK) {
        return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "no more signatures now");
    }
    PKI_TRY(ngx_http_pki_ocsp_data(o, tbs, err));
    PKI_TRY(ngx_http_pki_signer_sign(o->responder->signer, o->sigalg, *tbs, sig, sig_len, err));
    ngx_http_pki_metrics_event(o->slot, NGX_HTTP_PKI_EVENT_SIGNATURE);
    return ngx_http_pki_ocsp_finish(o, *tbs, bytes_of(sig, *sig_len), err);
}

/* One CertID without a nonce: a kept answer if there is one, and kept if not.  What cannot be made anew is
 * good until it ends. */
static pki_code_t
ngx_http_pki_ocsp_cached(ngx_http_pki_ocsp_t *o, pki_err_t *err)
{
    uint8_t    sig[NGX_HTTP_PKI_SIGNATURE_MAX];
    bytes_t    tbs;
    size_t     len;
    pki_code_t rc;

    if (ngx_http_pki_ocsp_recall(o) == NGX_OK) {
        ngx_http_pki_metrics_event(o->slot, NGX_HTTP_PKI_EVENT_CACHE_HIT);
        return PKI_OK;
    }
    ngx_http_pki_metrics_event(o->slot, NGX_HTTP_PKI_EVENT_CACHE_MISS);
    rc = ngx_http_pki_ocsp_sign(o, 1, &tbs, sig, &len, err);
    if (rc == PKI_OK) {
        ngx_http_pki_ocsp_validate(o);
        ngx_http_pki_ocsp_keep(o);
    } else if (ngx_http_pki_ocsp_recall_due(o) == NGX_OK) {
        o->retry_after = 0;
        rc = PKI_OK;
    }
    return rc;
}

static ocsp_response_status_t
ngx_http_pki_ocsp_check(ngx_http_pki_ocsp_t *o)
{
    if (o->request.count > (size_t) o->conf->max_ids) {
        return OCSP_MALFORMED_REQUEST;
    }
    return o->conf->require_signed ? ngx_http_pki_ocsp_signed(o) : OCSP_SUCCESSFUL;
}

/* An answer, kept or new. */
static pki_code_t
ngx_http_pki_ocsp_make(ngx_http_pki_ocsp_t *o, pki_err_t *err)
{
    uint8_t sig[NGX_HTTP_PKI_SIGNATURE_MAX];
    bytes_t tbs;
    size_t  len;

    /* What random serials cause is not kept: it would drive out what is asked for again. */
    if (o->can_be_kept && o->cache != NULL && !o->has_unissued) {
        return ngx_http_pki_ocsp_cached(o, err);
    }
    PKI_TRY(ngx_http_pki_ocsp_sign(o, 0, &tbs, sig, &len, err));
    if (o->can_be_kept) {
        ngx_http_pki_ocsp_validate(o);
    }
    return PKI_OK;
}

/* The usual case: it has been asked before, and there has been no change. */
static ngx_int_t
ngx_http_pki_ocsp_again(ngx_http_pki_ocsp_t *o)
{
    if (!o->can_be_kept || o->cache == NULL || o->authority == NULL || ngx_http_pki_ocsp_times(o) != OCSP_SUCCESSFUL
        || ngx_http_pki_ocsp_recall_unchanged(o) != NGX_OK) {
        return NGX_DECLINED;
    }
    ngx_http_pki_metrics_event(o->slot, NGX_HTTP_PKI_EVENT_CACHE_HIT);
    return NGX_OK;
}

ocsp_response_status_t
ngx_http_pki_ocsp_answer(ngx_http_pki_ocsp_t *o)
{
    ocsp_response_status_t status;
    pki_err_t              err;
    pki_code_t             rc;

    o->conf = ngx_http_get_module_loc_conf(o->r, ngx_http_pki_ocsp_module);
    o->authority = ngx_http_pki_ocsp_authority(o, &o->request.id[0]);
    o->has_unissued = 0;

    /* Where nonces are off, a request with one gets the answer that all others get (RFC 9919 3.2.1). */
    o->nonce = o->conf->nonce ? o->request.nonce : BYTES_NONE;
    o->can_be_kept = o->nonce.p == NULL;

    if ((status = ngx_http_pki_ocsp_check(o)) != OCSP_SUCCESSFUL || ngx_http_pki_ocsp_again(o) == NGX_OK) {
        return status;
    }
    if ((status = ngx_http_pki_ocsp_lookup(o)) != OCSP_SUCCESSFUL
        || (status = ngx_http_pki_ocsp_times(o)) != OCSP_SUCCESSFUL) {
        return status;
    }
    rc = ngx_http_pki_ocsp_make(o, &err);
    if (o->retry_after != 0) {
        return OCSP_TRY_LATER;
    }
    if (rc != PKI_OK) {
        ngx_log_error(NGX_LOG_ERR, o->r->connection->log, 0, "pki: OCSP answer: %s", err.text);
        return OCSP_INTERNAL_ERROR;
    }
    o->outcome = ngx_http_pki_ocsp_outcome(o);
    return OCSP_SUCCESSFUL;
}
