/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The small records, decoded once for each generation of the edge store.  A record that cannot be used is
 * logged and left out: what depends on it answers "try later", all else is served.
 */
#include "ngx_module/ngx_http_pki_store.h"

#define NGX_HTTP_PKI_LABEL_PREFIX "est/"

/* Called with each record of a database, both slices copied to the arena. */
typedef pki_code_t (*ngx_http_pki_visit_pt)(ngx_http_pki_snapshot_t *snap, bytes_t key, bytes_t value,
                                            pki_err_t *err);

static pki_code_t
ngx_http_pki_snapshot_visit(ngx_http_pki_store_t *s, ngx_http_pki_snapshot_t *snap, ngx_http_pki_db_t db,
                            ngx_http_pki_visit_pt visit, ngx_log_t *log)
{
    MDB_cursor *cursor;
    MDB_val     k, v;
    bytes_t     key = { 0 }, value = { 0 };
    pki_err_t   err;
    pki_code_t  rc = PKI_OK;
    int         more;

    if (mdb_cursor_open(s->txn, s->dbi[db], &cursor) != MDB_SUCCESS) {
        return PKI_E_NOMEM;
    }
    for (more = mdb_cursor_get(cursor, &k, &v, MDB_FIRST); more == MDB_SUCCESS;
         more = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
        rc = pki_bytes_dup(snap->arena, bytes_of(k.mv_data, k.mv_size), &key, &err);
        if (rc == PKI_OK) {
            rc = pki_bytes_dup(snap->arena, bytes_of(v.mv_data, v.mv_size), &value, &err);
        }
        if (rc == PKI_OK) {
            rc = visit(snap, key, value, &err);
        }
        if (rc == PKI_E_NOMEM) {
            break;
        }
        if (rc != PKI_OK) {
            ngx_log_error(NGX_LOG_ERR, log, 0, "pki: edge store record left out: %s", err.text);
            rc = PKI_OK;
        }
    }
    mdb_cursor_close(cursor);
    return rc;
}

static size_t
ngx_http_pki_snapshot_count(ngx_http_pki_store_t *s, ngx_http_pki_db_t db)
{
    MDB_stat st;

    return mdb_stat(s->txn, s->dbi[db], &st) == MDB_SUCCESS ? st.ms_entries : 0;
}

static pki_code_t
ngx_http_pki_issuer_visit(ngx_http_pki_snapshot_t *snap, bytes_t key, bytes_t value, pki_err_t *err)
{
    edge_issuer_t *issuer = &snap->issuers[snap->issuer_count].record;

    PKI_TRY(edge_issuer_decode(value, issuer, err));
    snap->issuer_count++;
    return PKI_OK;
}

/* The issuer that a record's key starts with. */
static ngx_http_pki_issuer_t *
ngx_http_pki_issuer_of(ngx_http_pki_snapshot_t *snap, bytes_t *key)
{
    uint64_t no;
    size_t   i;

    if (bytes_take_be(key, 4, &no)) {
        for (i = 0; i < snap->issuer_count; i++) {
            if (snap->issuers[i].record.no == no) {
                return &snap->issuers[i];
            }
        }
    }
    return NULL;
}

static pki_code_t
ngx_http_pki_responder_visit(ngx_http_pki_snapshot_t *snap, bytes_t key, bytes_t value, pki_err_t *err)
{
    ngx_http_pki_issuer_t *issuer = ngx_http_pki_issuer_of(snap, &key);

    if (issuer == NULL) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "an OCSP responder of an unknown issuer");
    }
    return edge_responder_decode(value, &issuer->responder, err);
}

static pki_code_t
ngx_http_pki_crl_visit(ngx_http_pki_snapshot_t *snap, bytes_t key, bytes_t value, pki_err_t *err)
{
    ngx_http_pki_issuer_t *issuer = ngx_http_pki_issuer_of(snap, &key);

    if (issuer == NULL) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "a CRL of an unknown issuer");
    }
    if (!bytes_eq(key, BYTES_LIT("full"))) {
        return PKI_OK;
    }
    return edge_crl_decode(value, &issuer->crl, err);
}

static pki_code_t
ngx_http_pki_label_visit(ngx_http_pki_snapshot_t *snap, bytes_t key, bytes_t value, pki_err_t *err)
{
    ngx_http_pki_label_t *label = &snap->labels[snap->label_count];
    bytes_t               prefix;
    size_t                i;

    if (!bytes_take(&key, sizeof(NGX_HTTP_PKI_LABEL_PREFIX) - 1, &prefix)
        || !bytes_eq(prefix, BYTES_LIT(NGX_HTTP_PKI_LABEL_PREFIX))) {
        return PKI_OK;
    }
    PKI_TRY(edge_est_label_decode(value, &label->record, err));
    label->name = key;

    for (i = 0; i < snap->issuer_count; i++) {
        if (snap->issuers[i].record.no == label->record.issuer_no) {
            label->issuer = &snap->issuers[i];
            snap->label_count++;
            return PKI_OK;
        }
    }
    return pki_fail(err, PKI_E_NOT_FOUND, NULL, "EST label \"%.*s\" has an unknown issuer", (int) key.len,
                    key.p);
}

/* The key and the encoded parts of an issuer's responder; the key of the old snapshot when it is the same
 * one. */
static pki_code_t
ngx_http_pki_responder_prepare(ngx_http_pki_store_t *s, ngx_http_pki_snapshot_t *snap,
                               ngx_http_pki_issuer_t *issuer, ngx_http_pki_snapshot_t *old, pki_err_t *err)
{
    ngx_http_pki_issuer_t *before = old != NULL ? ngx_http_pki_issuer_find(old, issuer->record.id) : NULL;
    ngx_http_pki_signer_t *signer;
    uint8_t                digest[32];
    cert_t                 cert;
    char                  *file;

    PKI_TRY(cert_parse(snap->arena, issuer->responder.certificate, &cert, err));
    PKI_TRY(ocsp_responder_build(snap->arena, &cert, true, &issuer->ocsp, err));

    if (EVP_Digest(cert.der.p, cert.der.len, digest, NULL, EVP_sha256(), NULL) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 failed");
    }
    if (before != NULL && before->signer != NULL && ngx_memcmp(before->signer->certificate, digest, 32) == 0
        && before->responder.generation == issuer->responder.generation) {
        signer = ngx_http_pki_signer_hold(before->signer);
    } else {
        file = pki_printf(snap->arena, "%s/%s/%.*s", (char *) s->dir.data, EDGE_KEY_DIR,
                          (int) issuer->responder.key_file.len, issuer->responder.key_file.p);
        if (file == NULL) {
            return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
        }
        PKI_TRY(ngx_http_pki_signer_new(file, &cert, &signer, err));
        ngx_memcpy(signer->certificate, digest, 32);
    }
    PKI_TRY(pki_arena_own(snap->arena, signer, ngx_http_pki_signer_release, err));
    issuer->signer = signer;
    return PKI_OK;
}

static int ngx_libc_cdecl
ngx_http_pki_issuer_cmp(const void *a, const void *b)
{
    return bytes_cmp(((const ngx_http_pki_issuer_t *) a)->record.id,
                     ((const ngx_http_pki_issuer_t *) b)->record.id);
}

static int ngx_libc_cdecl
ngx_http_pki_label_cmp(const void *a, const void *b)
{
    return bytes_cmp(((const ngx_http_pki_label_t *) a)->name, ((const ngx_http_pki_label_t *) b)->name);
}

static pki_code_t
ngx_http_pki_snapshot_read(ngx_http_pki_store_t *s, ngx_http_pki_snapshot_t *snap,
                           ngx_http_pki_snapshot_t *old, ngx_log_t *log)
{
    pki_err_t err;
    size_t    i;

    PKI_TRY(PKI_NEW_N(snap->arena, ngx_http_pki_snapshot_count(s, NGX_HTTP_PKI_DB_ISSUER) + 1, &snap->issuers,
                      &err));
    PKI_TRY(PKI_NEW_N(snap->arena, ngx_http_pki_snapshot_count(s, NGX_HTTP_PKI_DB_PROFILE) + 1, &snap->labels,
                      &err));

    PKI_TRY(ngx_http_pki_snapshot_visit(s, snap, NGX_HTTP_PKI_DB_ISSUER, ngx_http_pki_issuer_visit, log));
    ngx_qsort(snap->issuers, snap->issuer_count, sizeof(*snap->issuers), ngx_http_pki_issuer_cmp);

    PKI_TRY(
        ngx_http_pki_snapshot_visit(s, snap, NGX_HTTP_PKI_DB_RESPONDER, ngx_http_pki_responder_visit, log));
    PKI_TRY(ngx_http_pki_snapshot_visit(s, snap, NGX_HTTP_PKI_DB_CRL, ngx_http_pki_crl_visit, log));
    PKI_TRY(ngx_http_pki_snapshot_visit(s, snap, NGX_HTTP_PKI_DB_PROFILE, ngx_http_pki_label_visit, log));
    ngx_qsort(snap->labels, snap->label_count, sizeof(*snap->labels), ngx_http_pki_label_cmp);

    for (i = 0; i < snap->issuer_count; i++) {
        if (snap->issuers[i].responder.certificate.p != NULL
            && ngx_http_pki_responder_prepare(s, snap, &snap->issuers[i], old, &err) != PKI_OK) {
            ngx_log_error(NGX_LOG_ERR, log, 0, "pki: OCSP responder left out: %s", err.text);
        }
    }
    return PKI_OK;
}

ngx_http_pki_snapshot_t *
ngx_http_pki_snapshot_new(ngx_http_pki_store_t *s, ngx_http_pki_snapshot_t *old, ngx_log_t *log)
{
    ngx_http_pki_snapshot_t *snap;
    pki_arena_t             *arena = pki_arena_new(0);

    snap = arena != NULL ? pki_alloc(arena, sizeof(*snap)) : NULL;
    if (snap == NULL) {
        pki_arena_free(arena);
        return NULL;
    }
    snap->arena = arena;
    snap->refs = 1;
    snap->generation = s->state.generation;

    if (ngx_http_pki_snapshot_read(s, snap, old, log) != PKI_OK) {
        ngx_log_error(NGX_LOG_ERR, log, 0, "pki: out of memory for what the edge store holds");
        pki_arena_free(arena);
        return NULL;
    }
    return snap;
}

void
ngx_http_pki_snapshot_release(ngx_http_pki_snapshot_t *snap)
{
    if (--snap->refs == 0) {
        pki_arena_free(snap->arena);
    }
}

static void
ngx_http_pki_snapshot_cleanup(void *data)
{
    ngx_http_pki_snapshot_release(data);
}

ngx_int_t
ngx_http_pki_snapshot_hold(ngx_http_request_t *r, ngx_http_pki_snapshot_t *snap)
{
    ngx_pool_cleanup_t *cln = ngx_pool_cleanup_add(r->pool, 0);

    if (cln == NULL) {
        return NGX_ERROR;
    }
    snap->refs++;
    cln->handler = ngx_http_pki_snapshot_cleanup;
    cln->data = snap;
    return NGX_OK;
}

static int ngx_libc_cdecl
ngx_http_pki_issuer_at(const void *id, const void *issuer)
{
    return bytes_cmp(*(const bytes_t *) id, ((const ngx_http_pki_issuer_t *) issuer)->record.id);
}

ngx_http_pki_issuer_t *
ngx_http_pki_issuer_find(ngx_http_pki_snapshot_t *snap, bytes_t id)
{
    return bsearch(&id, snap->issuers, snap->issuer_count, sizeof(*snap->issuers), ngx_http_pki_issuer_at);
}

static int ngx_libc_cdecl
ngx_http_pki_label_at(const void *name, const void *label)
{
    return bytes_cmp(*(const bytes_t *) name, ((const ngx_http_pki_label_t *) label)->name);
}

ngx_http_pki_label_t *
ngx_http_pki_label_find(ngx_http_pki_snapshot_t *snap, bytes_t name)
{
    return bsearch(&name, snap->labels, snap->label_count, sizeof(*snap->labels), ngx_http_pki_label_at);
}
