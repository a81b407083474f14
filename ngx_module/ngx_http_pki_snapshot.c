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
ngx_http_pki_authority_visit(ngx_http_pki_snapshot_t *snap, bytes_t key, bytes_t value, pki_err_t *err)
{
    edge_issuer_t *issuer = &snap->authorities[snap->authority_count].record;

    PKI_TRY(edge_issuer_decode(value, issuer, err));
    snap->authority_count++;
    return PKI_OK;
}

/* The authority that a record's key starts with; the key is left with what follows. */
static pki_code_t
ngx_http_pki_authority_of(ngx_http_pki_snapshot_t *snap, bytes_t *key, ngx_http_pki_authority_t **out,
                          pki_err_t *err)
{
    uint64_t no;

    *out = bytes_take_be(key, 4, &no) ? ngx_http_pki_authority_find_no(snap, (uint32_t) no) : NULL;
    return *out != NULL ? PKI_OK : pki_fail(err, PKI_E_NOT_FOUND, NULL, "a record of an unknown authority");
}

/* Keys are sorted: the default responder comes first. */
static pki_code_t
ngx_http_pki_responder_visit(ngx_http_pki_snapshot_t *snap, bytes_t key, bytes_t value, pki_err_t *err)
{
    ngx_http_pki_authority_t *authority;

    PKI_TRY(ngx_http_pki_authority_of(snap, &key, &authority, err));
    if (authority->responder_count == NGX_HTTP_PKI_RESPONDERS_MAX) {
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "more than %d OCSP responders", NGX_HTTP_PKI_RESPONDERS_MAX);
    }
    PKI_TRY(edge_responder_decode(value, &authority->responders[authority->responder_count].record, err));
    authority->responder_count++;
    return PKI_OK;
}

static pki_code_t
ngx_http_pki_crl_visit(ngx_http_pki_snapshot_t *snap, bytes_t key, bytes_t value, pki_err_t *err)
{
    ngx_http_pki_authority_t *authority;
    ngx_http_pki_crl_t        crl, *grown;

    PKI_TRY(ngx_http_pki_authority_of(snap, &key, &authority, err));
    if (!crl_scope_parse(key, &crl.scope)) {
        return pki_fail(err, PKI_E_UNSUPPORTED, NULL, "a CRL of an unknown scope");
    }
    PKI_TRY(edge_crl_decode(value, &crl.record, err));
    if (authority->crl_count == authority->crl_cap) {
        authority->crl_cap = authority->crl_cap == 0 ? 2 : 2 * authority->crl_cap;
        PKI_TRY(PKI_NEW_N(snap->arena, authority->crl_cap, &grown, err));
        if (authority->crl_count != 0) {
            ngx_memcpy(grown, authority->crls, authority->crl_count * sizeof(*grown));
        }
        authority->crls = grown;
    }
    authority->crls[authority->crl_count++] = crl;
    return PKI_OK;
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

    for (i = 0; i < snap->authority_count; i++) {
        if (snap->authorities[i].record.is_current && snap->authorities[i].record.no >> 8 == label->record.issuer_no) {
            label->authority = &snap->authorities[i];
            snap->label_count++;
            return PKI_OK;
        }
    }
    return pki_fail(err, PKI_E_NOT_FOUND, NULL, "EST label \"%.*s\" has an unknown issuer", (int) key.len,
                    key.p);
}

/* The key that the old snapshot has for the same responder; NULL: none. */
static ngx_http_pki_signer_t *
ngx_http_pki_signer_before(ngx_http_pki_snapshot_t *old, uint32_t no, uint32_t generation,
                           const uint8_t certificate[32])
{
    ngx_http_pki_authority_t *before = old != NULL ? ngx_http_pki_authority_find_no(old, no) : NULL;
    size_t                    i;

    for (i = 0; before != NULL && i < before->responder_count; i++) {
        if (before->responders[i].signer != NULL && before->responders[i].record.generation == generation
            && ngx_memcmp(before->responders[i].signer->certificate, certificate, 32) == 0) {
            return before->responders[i].signer;
        }
    }
    return NULL;
}

/* The key and the encoded parts of a responder. */
static pki_code_t
ngx_http_pki_responder_prepare(ngx_http_pki_store_t *s, ngx_http_pki_snapshot_t *snap,
                               ngx_http_pki_snapshot_t *old, uint32_t no, ngx_http_pki_responder_t *responder,
                               pki_err_t *err)
{
    ngx_http_pki_signer_t *signer;
    uint8_t                digest[32];
    cert_t                 cert;
    char                  *file;

    PKI_TRY(cert_parse(snap->arena, responder->record.certificate, &cert, err));
    PKI_TRY(ocsp_responder_build(snap->arena, &cert, true, &responder->ocsp, err));

    if (EVP_Digest(cert.der.p, cert.der.len, digest, NULL, EVP_sha256(), NULL) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 failed");
    }
    signer = ngx_http_pki_signer_before(old, no, responder->record.generation, digest);
    if (signer != NULL) {
        signer = ngx_http_pki_signer_hold(signer);
    } else {
        file = pki_printf(snap->arena, "%s/%s/%.*s", (char *) s->dir.data, EDGE_KEY_DIR,
                          (int) responder->record.key_file.len, responder->record.key_file.p);
        if (file == NULL) {
            return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
        }
        PKI_TRY(ngx_http_pki_signer_new(file, &cert, &signer, err));
        ngx_memcpy(signer->certificate, digest, 32);
    }
    PKI_TRY(pki_arena_own(snap->arena, signer, ngx_http_pki_signer_release, err));
    responder->signer = signer;
    return PKI_OK;
}

static void
ngx_http_pki_authority_prepare(ngx_http_pki_store_t *s, ngx_http_pki_snapshot_t *snap,
                               ngx_http_pki_snapshot_t *old, ngx_http_pki_authority_t *authority, ngx_log_t *log)
{
    ngx_http_pki_authority_t *before =
        old != NULL ? ngx_http_pki_authority_find_no(old, authority->record.no) : NULL;
    pki_err_t err;
    size_t    i;

    if (before != NULL) {
        authority->slots = before->slots;
    }
    for (i = 0; i < authority->responder_count; i++) {
        if (ngx_http_pki_responder_prepare(s, snap, old, authority->record.no, &authority->responders[i], &err)
            != PKI_OK) {
            ngx_log_error(NGX_LOG_ERR, log, 0, "pki: OCSP responder left out: %s", err.text);
        }
    }
}

static int ngx_libc_cdecl
ngx_http_pki_authority_cmp(const void *a, const void *b)
{
    const edge_issuer_t *x = &((const ngx_http_pki_authority_t *) a)->record;
    const edge_issuer_t *y = &((const ngx_http_pki_authority_t *) b)->record;
    int                  by_id = bytes_cmp(x->id, y->id);

    if (by_id != 0) {
        return by_id;
    }
    if (x->is_current != y->is_current) {
        return x->is_current ? -1 : 1;
    }
    return x->no > y->no ? -1 : x->no < y->no;
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

    PKI_TRY(PKI_NEW_N(snap->arena, ngx_http_pki_snapshot_count(s, NGX_HTTP_PKI_DB_ISSUER) + 1, &snap->authorities,
                      &err));
    PKI_TRY(PKI_NEW_N(snap->arena, ngx_http_pki_snapshot_count(s, NGX_HTTP_PKI_DB_PROFILE) + 1, &snap->labels,
                      &err));

    PKI_TRY(ngx_http_pki_snapshot_visit(s, snap, NGX_HTTP_PKI_DB_ISSUER, ngx_http_pki_authority_visit, log));
    ngx_qsort(snap->authorities, snap->authority_count, sizeof(*snap->authorities), ngx_http_pki_authority_cmp);

    PKI_TRY(
        ngx_http_pki_snapshot_visit(s, snap, NGX_HTTP_PKI_DB_RESPONDER, ngx_http_pki_responder_visit, log));
    PKI_TRY(ngx_http_pki_snapshot_visit(s, snap, NGX_HTTP_PKI_DB_CRL, ngx_http_pki_crl_visit, log));
    PKI_TRY(ngx_http_pki_snapshot_visit(s, snap, NGX_HTTP_PKI_DB_PROFILE, ngx_http_pki_label_visit, log));
    ngx_qsort(snap->labels, snap->label_count, sizeof(*snap->labels), ngx_http_pki_label_cmp);

    for (i = 0; i < snap->authority_count; i++) {
        ngx_http_pki_authority_prepare(s, snap, old, &snap->authorities[i], log);
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

ngx_http_pki_authority_t *
ngx_http_pki_authorities_find(ngx_http_pki_snapshot_t *snap, bytes_t id, size_t *count)
{
    size_t first = 0, last = snap->authority_count, middle;

    while (first < last) {
        middle = first + (last - first) / 2;
        if (bytes_cmp(snap->authorities[middle].record.id, id) < 0) {
            first = middle + 1;
        } else {
            last = middle;
        }
    }
    for (last = first; last < snap->authority_count && bytes_eq(snap->authorities[last].record.id, id); last++) {
        /* void */
    }
    *count = last - first;
    return last != first ? &snap->authorities[first] : NULL;
}

ngx_http_pki_authority_t *
ngx_http_pki_authority_find_no(ngx_http_pki_snapshot_t *snap, uint32_t no)
{
    size_t i;

    for (i = 0; i < snap->authority_count; i++) {
        if (snap->authorities[i].record.no == no) {
            return &snap->authorities[i];
        }
    }
    return NULL;
}

ngx_http_pki_crl_t *
ngx_http_pki_crl_find(const ngx_http_pki_authority_t *authority, crl_scope_t scope)
{
    size_t i;

    for (i = 0; i < authority->crl_count; i++) {
        if (authority->crls[i].scope.kind == scope.kind && authority->crls[i].scope.shard == scope.shard) {
            return &authority->crls[i];
        }
    }
    return NULL;
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
