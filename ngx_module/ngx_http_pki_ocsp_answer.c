/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * From a parsed OCSP request to its answer: authority, statuses, times, responder, cache, signature.  Errors and
 * unknown serials never cause a signature unless the configuration asks for one.
 */
#include "ngx_module/ngx_http_pki_ocsp.h"

#define NGX_HTTP_PKI_OCSP_SINGLE_MAX 384 /* one SingleResponse, with a SHA-512 CertID and all we put in */
#define NGX_HTTP_PKI_OCSP_FRAME_MAX  512 /* what is around them, with a nonce */

/* The authority that a CertID names must be one of the issuer that was asked, by both hashes (RFC 6960 4.1.1). */
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

/* Find the status of every CertID.  None may be missing: an answer covers all or nothing (RFC 6960 4.2.2.3).
 */
static ocsp_response_status_t
ngx_http_pki_ocsp_lookup(ngx_http_pki_ocsp_t *o)
{
    ngx_log_t *log = o->r->connection->log;
    size_t     i;
    ngx_int_t  rc;

    o->authority = ngx_http_pki_ocsp_authority(o, &o->request.id[0]);
    ngx_http_pki_ocsp_expect_more(o);
    for (i = 0; i < o->request.count; i++) {
        /* One signature, one key: a request that spans generations cannot be answered. */
        if (o->authority == NULL || !ngx_http_pki_ocsp_matches(&o->request.id[i], &o->authority->record)) {
            return OCSP_UNAUTHORIZED;
        }
        rc = ngx_http_pki_store_status(o->store, o->authority->record.no, o->request.id[i].serial, &o->status[i],
                                       log);
        if (rc != NGX_OK) {
            return rc == NGX_DECLINED ? OCSP_UNAUTHORIZED : OCSP_INTERNAL_ERROR;
        }
    }
    return OCSP_SUCCESSFUL;
}

/* The first that can sign now. */
static ngx_http_pki_responder_t *
ngx_http_pki_ocsp_responder(ngx_http_pki_ocsp_t *o)
{
    ngx_http_pki_responder_t *responder = o->authority->responders;
    size_t                    i;

    for (i = 0; i < o->authority->responder_count; i++, responder++) {
        if (responder->signer != NULL && responder->record.not_before <= o->now && responder->ocsp.not_after > o->now) {
            return responder;
        }
    }
    return NULL;
}

/*
 * thisUpdate is never later than the last time the store was in step with the database, and an answer
 * never outlives its signer's certificate.  What would have expired already is not answered.
 */
static ocsp_response_status_t
ngx_http_pki_ocsp_times(ngx_http_pki_ocsp_t *o)
{
    o->responder = ngx_http_pki_ocsp_responder(o);
    if (o->responder == NULL) {
        return OCSP_TRY_LATER;
    }
    o->this_update = ngx_min(o->now, o->store->state.synced_at);
    o->next_update = ngx_min(o->this_update + o->authority->record.ocsp_validity_s, o->responder->ocsp.not_after);
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
        o, &out, o->responder->ocsp.certificate.len + tbs.len + signature.len + NGX_HTTP_PKI_OCSP_FRAME_MAX);
    PKI_TRY(ocsp_response_build(&o->responder->ocsp, tbs, signature, &out, err));
    o->answer = pki_buf_bytes(&out);
    return PKI_OK;
}

/* The least good status of those in an answer. */
static ngx_int_t
ngx_http_pki_ocsp_outcome(const ngx_http_pki_ocsp_t *o)
{
    edge_status_t status;
    size_t        i;

    for (i = 0; i < o->request.count; i++) {
        if (edge_status_decode(o->status[i], &status, NULL) == PKI_OK && status.kind != EDGE_GOOD) {
            return NGX_HTTP_PKI_OUTCOME_REVOKED;
        }
    }
    return NGX_HTTP_PKI_OUTCOME_GOOD;
}

/* Build and sign an answer. */
static pki_code_t
ngx_http_pki_ocsp_sign(ngx_http_pki_ocsp_t *o, ngx_uint_t can_be_kept, bytes_t *tbs, uint8_t *sig, size_t *sig_len,
                       pki_err_t *err)
{
    ocsp_single_t singles[OCSP_IDS_MAX];
    pki_buf_t     b;
    size_t        i;

    for (i = 0; i < o->request.count; i++) {
        PKI_TRY(ngx_http_pki_ocsp_single(o, i, &singles[i], err));
    }
    if (ngx_http_pki_ocsp_afford(o, can_be_kept) != NGX_OK) {
        return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "no more signatures now");
    }
    ngx_http_pki_ocsp_memory(o, &b,
                             o->request.count * NGX_HTTP_PKI_OCSP_SINGLE_MAX + NGX_HTTP_PKI_OCSP_FRAME_MAX);
    PKI_TRY(ocsp_tbs_build(&o->responder->ocsp, singles, o->request.count, o->now, o->request.nonce, &b, err));
    *tbs = pki_buf_bytes(&b);
    PKI_TRY(ngx_http_pki_signer_sign(o->responder->signer, *tbs, sig, sig_len, err));
    ngx_http_pki_metrics_event(o->slot, NGX_HTTP_PKI_EVENT_SIGNATURE);
    return ngx_http_pki_ocsp_finish(o, *tbs, bytes_of(sig, *sig_len), err);
}

/* One CertID without a nonce: a kept answer if there is one, and kept if not.  What cannot be made anew is good
 * until it ends. */
static pki_code_t
ngx_http_pki_ocsp_cached(ngx_http_pki_ocsp_t *o, pki_err_t *err)
{
    uint8_t    sig[NGX_HTTP_PKI_SIGNATURE_MAX];
    bytes_t    tbs;
    size_t     len;
    pki_code_t rc;

    if (ngx_http_pki_ocsp_recall(o, 0, err) == NGX_OK) {
        ngx_http_pki_metrics_event(o->slot, NGX_HTTP_PKI_EVENT_CACHE_HIT);
        return PKI_OK;
    }
    ngx_http_pki_metrics_event(o->slot, NGX_HTTP_PKI_EVENT_CACHE_MISS);
    rc = ngx_http_pki_ocsp_sign(o, 1, &tbs, sig, &len, err);
    if (rc == PKI_OK) {
        ngx_http_pki_ocsp_validate(o);
        ngx_http_pki_ocsp_keep(o);
    } else if (ngx_http_pki_ocsp_recall(o, 1, err) == NGX_OK) {
        o->retry_after = 0;
        rc = PKI_OK;
    }
    return rc;
}

/* Another responder, another certificate. */
static uint64_t
ngx_http_pki_ocsp_variant(const ngx_http_pki_ocsp_t *o)
{
    ngx_http_pki_ocsp_loc_conf_t *olcf = ngx_http_get_module_loc_conf(o->r, ngx_http_pki_ocsp_module);
    uint64_t                      signer;

    ngx_memcpy(&signer, o->responder->signer->certificate, sizeof(signer));
    return olcf->variant ^ signer;
}

ocsp_response_status_t
ngx_http_pki_ocsp_answer(ngx_http_pki_ocsp_t *o)
{
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
    o->variant = ngx_http_pki_ocsp_variant(o);
    o->can_be_kept = o->request.nonce.p == NULL;
    if (o->can_be_kept && o->cache != NULL) {
        rc = ngx_http_pki_ocsp_cached(o, &err);
    } else {
        rc = ngx_http_pki_ocsp_sign(o, 0, &tbs, sig, &len, &err);
        if (rc == PKI_OK && o->can_be_kept) {
            ngx_http_pki_ocsp_validate(o);
        }
    }
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
