/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * CRL numbers, and the record of the lists that were published or failed.
 */
#include "orchestrator/store/crl.h"

#include "orchestrator/store/verb.h"

#define SNAPSHOT_MAX 65536 /* as text; longer ones are not kept: thousands of transactions were open */

typedef char scope_t[CRL_SCOPE_TEXT_MAX];

static const char *
scope_text(const crl_id_t *id, scope_t out)
{
    crl_scope_format(id->scope, out);
    return out;
}

/* A delta is numbered with its full list (RFC 5280 5.2.4). */
static const char *
sequence_text(const crl_id_t *id, scope_t out)
{
    crl_scope_format(id->scope.kind == CRL_DELTA ? (crl_scope_t){ CRL_FULL, 0 } : id->scope, out);
    return out;
}

#define ID_PARAMS(id, text) DB_I((id)->issuer_no), DB_I((id)->generation), DB_T(text)

pki_code_t
crl_number_next(db_t *db, pki_arena_t *a, const crl_id_t *id, int64_t above, crl_number_t *out, pki_err_t *err)
{
    scope_t    scope;
    db_rows_t *rows;

    PKI_TRY(verb_read(db, a, Q_crl_number_next, DB_PARAMS(ID_PARAMS(id, sequence_text(id, scope)), DB_I(above)), &rows,
                      err));
    *out = (crl_number_t){ db_int(rows, 0, "number"), db_text(rows, 0, "snapshot") };
    if (strlen(out->snapshot) > SNAPSHOT_MAX) {
        out->snapshot = NULL;
    }
    return PKI_OK;
}

static pki_code_t
published_insert(db_conn_t *c, pki_arena_t *a, const crl_row_t *r, const char *scope, pki_err_t *err)
{
    db_rows_t *rows;

    PKI_TRY(db_query(c, a, Q_crl_insert,
                     DB_PARAMS(ID_PARAMS(&r->id, scope), DB_I(r->number), DB_T(r->host), DB_TM(r->this_update),
                               DB_TM(r->next_update), DB_T(r->file), DB_I(r->size), DB_B(r->etag),
                               DB_I(r->gzip_size), DB_B(r->gzip_etag), DB_I(r->entries), DB_I(r->duration_ms),
                               DB_T(r->error), DB_I(r->base_number), DB_T(r->snapshot), DB_TM(r->floor)),
                     &rows, err));
    if (db_rows_affected(rows) == 0) {
        return pki_fail(err, PKI_E_CONFLICT, "RFC 5280 5.2.3", "CRL %lld: a list of this scope with a number that is "
                        "not smaller has been published", (long long) r->number);
    }
    return PKI_OK;
}

typedef struct {
    pki_arena_t     *a;
    const crl_row_t *row;
} published_t;

static pki_code_t
published_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    published_t     *p = arg;
    const crl_row_t *r = p->row;
    scope_t          scope, sequence;

    PKI_TRY(db_query(c, NULL, Q_crl_lock, DB_PARAMS(ID_PARAMS(&r->id, sequence_text(&r->id, sequence))), NULL, err));
    PKI_TRY(published_insert(c, p->a, r, scope_text(&r->id, scope), err));
    PKI_TRY(db_query(c, NULL, Q_crl_forget, DB_PARAMS(ID_PARAMS(&r->id, scope), DB_T(r->host)), NULL, err));
    return r->error == NULL ? change_write(c, "crl", r->id.issuer_no, BYTES_NONE, err) : PKI_OK;
}

pki_code_t
crl_published(db_t *db, const crl_row_t *in, pki_err_t *err)
{
    published_t p = { .a = pki_arena_new(0), .row = in };
    pki_code_t  code;

    if (p.a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = db_tx(db, published_run, &p, err);
    pki_arena_free(p.a);
    return code;
}

static pki_code_t
compressed_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    const crl_row_t *r = arg;
    scope_t          scope;

    return db_query(c, NULL, Q_crl_compressed,
                    DB_PARAMS(ID_PARAMS(&r->id, scope_text(&r->id, scope)), DB_I(r->number), DB_I(r->gzip_size),
                              DB_B(r->gzip_etag)),
                    NULL, err);
}

pki_code_t
crl_compressed(db_t *db, const crl_row_t *in, pki_err_t *err)
{
    return db_run(db, compressed_run, (void *) in, err);
}

static pki_code_t
row_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    crl_row_t *o = out;

    (void) a;
    (void) err;
    *o = (crl_row_t){
        .id = { .issuer_no = (uint32_t) db_int(r, row, "issuer_no"),
                .generation = (uint32_t) db_int(r, row, "generation") },
        .number = db_int(r, row, "number"),
        .host = db_text(r, row, "host"),
        .this_update = db_time(r, row, "this_update"),
        .next_update = db_time(r, row, "next_update"),
        .file = db_text(r, row, "file"),
        .size = db_int(r, row, "size"),
        .etag = db_bytes(r, row, "etag"),
        .gzip_size = db_int(r, row, "gzip_size"),
        .gzip_etag = db_bytes(r, row, "gzip_etag"),
        .entries = db_int(r, row, "entries"),
        .duration_ms = db_int(r, row, "duration_ms"),
        .generated_at = db_time(r, row, "generated_at"),
        .error = db_text(r, row, "error"),
        .base_number = db_int(r, row, "base_number"),
        .snapshot = db_text(r, row, "snapshot"),
        .floor = db_time(r, row, "floor"),
    };
    (void) crl_scope_parse(bytes_str(db_text(r, row, "scope")), &o->id.scope);
    return PKI_OK;
}

pki_code_t
crl_last(db_t *db, pki_arena_t *a, const crl_id_t *id, const char *host, crl_row_t *out, pki_err_t *err)
{
    scope_t scope;

    (void) scope_text(id, scope);
    return verb_find(db, a, Q_crl_last, DB_PARAMS(ID_PARAMS(id, scope), DB_T(host)), row_read, out,
                     "CRL yet, scope", scope, err);
}

pki_code_t
crl_find(db_t *db, pki_arena_t *a, const crl_id_t *id, int64_t number, crl_row_t *out, pki_err_t *err)
{
    scope_t scope;

    (void) scope_text(id, scope);
    return verb_find(db, a, Q_crl_find, DB_PARAMS(ID_PARAMS(id, scope), DB_I(number)), row_read, out,
                     "such CRL, scope", scope, err);
}

pki_code_t
crl_published_at(db_t *db, const crl_id_t *id, int64_t *at, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    scope_t      scope;
    db_rows_t   *rows;
    pki_code_t   code;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = verb_read(db, a, Q_crl_published_at, DB_PARAMS(ID_PARAMS(id, scope_text(id, scope))), &rows, err);
    if (code == PKI_OK) {
        *at = db_time(rows, 0, "at");
    }
    pki_arena_free(a);
    return code;
}

pki_code_t
crl_events(db_t *db, pki_arena_t *a, const crl_id_t *id, const char *host, size_t max, crl_row_t **out, size_t *count,
           pki_err_t *err)
{
    scope_t scope;

    return verb_list(db, a, Q_crl_events, DB_PARAMS(ID_PARAMS(id, scope_text(id, scope)), DB_T(host), DB_I(max)),
                     row_read, sizeof(**out), (void **) out, count, err);
}

pki_code_t
crl_behind(db_t *db, const crl_id_t *id, int64_t number, bool *behind, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    scope_t      scope;
    db_rows_t   *rows;
    pki_code_t   code;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = verb_read(db, a, Q_crl_behind,
                     DB_PARAMS(ID_PARAMS(id, scope_text(id, scope)), DB_I(number), DB_I(id->scope.shard)), &rows, err);
    if (code == PKI_OK) {
        *behind = db_bool(rows, 0, "behind");
    }
    pki_arena_free(a);
    return code;
}

static pki_code_t
snapshots_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    (void) arg;
    return db_query(c, NULL, Q_crl_snapshots_check, NULL, 0, NULL, err);
}

pki_code_t
crl_snapshots_check(db_t *db, pki_err_t *err)
{
    return db_run(db, snapshots_run, NULL, err);
}
