/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What an OCSP answer says: from status records, the authority, published lists and the location's
 * configuration to the octets that are signed.  The same request under the same variant, records and times
 * gives the same octets in every worker.
 */
#include "ngx_module/ngx_http_pki_ocsp.h"

#define NGX_HTTP_PKI_OCSP_SINGLE_MAX 384 /* one SingleResponse, without its CertID and a list's URL */
#define NGX_HTTP_PKI_OCSP_DATA_MAX   256 /* what is around them, with a nonce, without the responder's name */

#define NGX_HTTP_PKI_REASON_CA_COMPROMISE 2

/* Lives as long as the octets are being written. */
typedef struct {
    ocsp_single_t single[OCSP_IDS_MAX + 1];
    size_t        count;
    uint8_t       twin[OCSP_CERT_ID_MAX];
} ngx_http_pki_ocsp_singles_t;

ngx_uint_t
ngx_http_pki_ocsp_refers(const ngx_http_pki_ocsp_t *o)
{
    return o->conf->crl_reference.len > 3;
}

/*
 * The list on which a certificate is: it was revoked before the list was made, and had not expired then (RFC
 * 5280 3.3).  NULL: it is on none that is published.
 */
static const edge_crl_t *
ngx_http_pki_ocsp_crl(const ngx_http_pki_ocsp_t *o, size_t i, crl_scope_t *scope)
{
    uint32_t                  shards = o->authority->record.crl_shards;
    const edge_status_t      *record = &o->record[i];
    const ngx_http_pki_crl_t *crl;

    scope->kind = shards != 0 ? CRL_SHARD : CRL_FULL;
    scope->shard = shards != 0 ? crl_shard_of(o->request.id[i].serial, shards) : 0;

    if (!ngx_http_pki_ocsp_refers(o) || record->kind == EDGE_GOOD
        || (crl = ngx_http_pki_crl_find(o->authority, *scope)) == NULL
        || record->revoked_at > crl->record.this_update || record->not_after < crl->record.this_update) {
        return NULL;
    }
    return &crl->record;
}

static pki_code_t
ngx_http_pki_ocsp_crl_put(const ngx_http_pki_ocsp_t *o, size_t i, ocsp_single_t *single, pki_err_t *err)
{
    const edge_issuer_t *issuer = &o->authority->record;
    crl_name_t           name = { .issuer = issuer->id, .generation = issuer->no & 0xff };
    const edge_crl_t    *crl = ngx_http_pki_ocsp_crl(o, i, &name.scope);
    ngx_str_t           *base = &o->conf->crl_reference;
    char                 file[CRL_NAME_MAX];
    size_t               len;
    u_char              *p;

    if (crl == NULL) {
        return PKI_OK;
    }
    if (!crl_name_format(&name, ".crl", file)) {
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "the name of the list is too long");
    }
    len = ngx_strlen(file);
    p = ngx_pnalloc(o->r->pool, base->len + len);
    if (p == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    ngx_memcpy(ngx_cpymem(p, base->data, base->len), file, len);
    single->crl_url = bytes_of(p, base->len + len);
    single->crl_number = crl->number;
    return PKI_OK;
}

/*
 * RFC 6960 2.7: when the CA is revoked, all that it issued is.  What was revoked for good keeps its own time
 * and reason; what was on hold never comes back.
 */
static void
ngx_http_pki_ocsp_inherit(const edge_issuer_t *issuer, const edge_status_t *record, ocsp_single_t *single)
{
    if (!issuer->is_revoked || record->kind == EDGE_REVOKED) {
        return;
    }
    single->status = OCSP_REVOKED;
    single->reason = NGX_HTTP_PKI_REASON_CA_COMPROMISE;
    single->revoked_at = record->kind == EDGE_HOLD ? ngx_min(record->revoked_at, issuer->revoked_at)
                                                   : issuer->revoked_at;
}

static pki_code_t
ngx_http_pki_ocsp_issued(const ngx_http_pki_ocsp_t *o, size_t i, ocsp_single_t *single, pki_err_t *err)
{
    const edge_status_t *record = &o->record[i];

    single->status = record->kind == EDGE_GOOD ? OCSP_GOOD : OCSP_REVOKED;
    single->reason = record->reason;
    single->revoked_at = record->revoked_at;
    single->invalidity_at = record->kind == EDGE_GOOD ? 0 : record->invalidity_at;
    single->cert_hash = o->conf->cert_hash ? record->cert_hash : BYTES_NONE;
    ngx_http_pki_ocsp_inherit(&o->authority->record, record, single);
    return ngx_http_pki_ocsp_crl_put(o, i, single, err);
}

static pki_code_t
ngx_http_pki_ocsp_single(const ngx_http_pki_ocsp_t *o, size_t i, ocsp_single_t *single, pki_err_t *err)
{
    *single = (ocsp_single_t){
        .cert_id = o->request.id[i].whole,
        .status = o->conf->unissued == NGX_HTTP_PKI_OCSP_UNISSUED_REVOKED ? OCSP_UNISSUED : OCSP_UNKNOWN,
        .reason = -1,
        .this_update = o->this_update,
        .next_update = o->next_update,
    };
    if (o->conf->archive_cutoff != 0) {
        single->archive_cutoff = o->now - o->conf->archive_cutoff;
    }
    return o->status[i].p != NULL ? ngx_http_pki_ocsp_issued(o, i, single, err) : PKI_OK;
}

/*
 * RFC 9919 3.2.1: one signature for both, so that a client with the other hash can use it too.  Only where
 * one CertID was asked for: the answer to several is for a client that knows what it wants.
 */
static void
ngx_http_pki_ocsp_twin(const ngx_http_pki_ocsp_t *o, ngx_http_pki_ocsp_singles_t *s)
{
    const ocsp_cert_id_t *id = &o->request.id[0];
    const edge_issuer_t  *issuer = &o->authority->record;
    ocsp_hash_t           other = id->hash == OCSP_SHA1 ? OCSP_SHA256 : OCSP_SHA1;
    pki_buf_t             b;

    if (!o->conf->dual_cert_id || s->count != 1 || id->hash > OCSP_SHA256) {
        return;
    }
    pki_buf_fixed(&b, s->twin, sizeof(s->twin));
    ocsp_cert_id_put(&b, other, issuer->name_hash[other], issuer->key_hash[other], id->serial);
    if (!b.failed) {
        s->single[1] = s->single[0];
        s->single[1].cert_id = pki_buf_bytes(&b);
        s->count = 2;
    }
}

pki_code_t
ngx_http_pki_ocsp_data(const ngx_http_pki_ocsp_t *o, bytes_t *tbs, pki_err_t *err)
{
    ngx_http_pki_ocsp_singles_t s;
    ocsp_data_t                 data;
    pki_buf_t                   b;
    size_t                      size, i;
    u_char                     *p;

    for (s.count = 0; s.count < o->request.count; s.count++) {
        PKI_TRY(ngx_http_pki_ocsp_single(o, s.count, &s.single[s.count], err));
    }
    ngx_http_pki_ocsp_twin(o, &s);

    data.responder_id = o->conf->by_name ? o->responder->ocsp.by_name : o->responder->ocsp.by_key;
    data.produced_at = o->now;
    data.singles = s.single;
    data.count = s.count;
    data.nonce = o->nonce;

    size = NGX_HTTP_PKI_OCSP_DATA_MAX + data.responder_id.len
           + s.count * (NGX_HTTP_PKI_OCSP_SINGLE_MAX + o->conf->crl_reference.len + CRL_NAME_MAX);
    for (i = 0; i < s.count; i++) {
        size += s.single[i].cert_id.len; /* a serial that was never issued may be long */
    }
    p = ngx_pnalloc(o->r->pool, size);
    if (p == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    pki_buf_fixed(&b, p, size);
    PKI_TRY(ocsp_tbs_build(&o->responder->ocsp, &data, &b, err));
    *tbs = pki_buf_bytes(&b);
    return PKI_OK;
}

ngx_int_t
ngx_http_pki_ocsp_outcome(const ngx_http_pki_ocsp_t *o)
{
    ngx_int_t outcome = NGX_HTTP_PKI_OUTCOME_GOOD;
    size_t    i;

    for (i = 0; i < o->request.count; i++) {
        if (o->status[i].p == NULL) {
            return NGX_HTTP_PKI_OUTCOME_UNKNOWN;
        }
        if (o->record[i].kind != EDGE_GOOD || o->authority->record.is_revoked) {
            outcome = NGX_HTTP_PKI_OUTCOME_REVOKED;
        }
    }
    return outcome;
}

static uint64_t
ngx_http_pki_ocsp_mix(uint64_t variant, uint64_t more)
{
    variant = (variant ^ more) * 0x9e3779b97f4a7c15;
    return variant ^ variant >> 32;
}

uint64_t
ngx_http_pki_ocsp_variant(const ngx_http_pki_ocsp_t *o)
{
    const edge_issuer_t *issuer = &o->authority->record;
    const edge_crl_t    *crl;
    crl_scope_t          scope;
    uint64_t             variant, octets;

    ngx_memcpy(&octets, o->responder->signer->certificate, sizeof(octets));
    variant = ngx_http_pki_ocsp_mix(o->conf->variant, octets);

    if (o->sigalg != o->responder->ocsp.sigalg) {
        variant = ngx_http_pki_ocsp_mix(variant, o->sigalg->digest_len);
    }
    if (issuer->is_revoked) {
        variant = ngx_http_pki_ocsp_mix(variant, (uint64_t) issuer->revoked_at);
    }
    if (ngx_http_pki_ocsp_refers(o) && (crl = ngx_http_pki_ocsp_crl(o, 0, &scope)) != NULL) {
        ngx_memcpy(&octets, crl->etag.p, sizeof(octets));
        variant = ngx_http_pki_ocsp_mix(ngx_http_pki_ocsp_mix(variant, octets),
                                        (uint64_t) scope.kind << 32 | scope.shard);
    }
    return variant;
}
