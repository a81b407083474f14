/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * CRL numbers, the entries of the next list, and the record of those published.
 */
#include "orchestrator/store/crl.h"

#include "orchestrator/store/verb.h"

pki_code_t
crl_number_next(db_t *db, uint32_t issuer_no, const char *scope, int64_t *number, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    db_rows_t   *rows;
    pki_code_t   rc;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = verb_read(db, a, Q_crl_number_next, DB_PARAMS(DB_I(issuer_no), DB_T(scope)), &rows, err);
    if (rc == PKI_OK) {
        *number = db_int(rows, 0, "number");
    }
    pki_arena_free(a);
    return rc;
}

typedef struct {
    uint32_t     issuer_no;
    const char  *scope;
    crl_entry_pt fn;
    void        *arg;
} entries_t;

static pki_code_t
entries_row(const db_rows_t *row, void *arg, pki_err_t *err)
{
    entries_t   *e = arg;
    status_row_t s;

    status_read(row, 0, &s);
    return e->fn(&s, e->arg, err);
}

static pki_code_t
entries_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    entries_t *e = arg;

    return db_each(c, Q_crl_entries, DB_PARAMS(DB_I(e->issuer_no), DB_T(e->scope)), entries_row, e, err);
}

pki_code_t
crl_entries(db_t *db, uint32_t issuer_no, const char *scope, crl_entry_pt fn, void *arg, pki_err_t *err)
{
    entries_t e = { issuer_no, scope, fn, arg };

    return db_run(db, entries_run, &e, err);
}

static pki_code_t
published_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    const crl_row_t *r = arg;

    PKI_TRY(db_query(c, NULL, Q_crl_insert,
                     DB_PARAMS(DB_I(r->issuer_no), DB_T(r->scope), DB_I(r->number), DB_TM(r->this_update),
                               DB_TM(r->next_update), DB_T(r->file), DB_I(r->size), DB_B(r->etag),
                               DB_I(r->entries),
                               DB_I(r->duration_ms), DB_T(r->error)),
                     NULL, err));
    PKI_TRY(db_query(c, NULL, Q_crl_forget, DB_PARAMS(DB_I(r->issuer_no), DB_T(r->scope)), NULL, err));
    return r->error == NULL ? change_write(c, "crl", (uint32_t) r->issuer_no, BYTES_NONE, err) : PKI_OK;
}

pki_code_t
crl_published(db_t *db, const crl_row_t *in, pki_err_t *err)
{
    return db_tx(db, published_run, (void *) in, err);
}

static pki_code_t
crl_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    (void) a;
    (void) err;
    *(crl_row_t *) out = (crl_row_t){
        .issuer_no = db_int(r, row, "issuer_no"),
        .scope = db_text(r, row, "scope"),
        .number = db_int(r, row, "number"),
        .this_update = db_time(r, row, "this_update"),
        .next_update = db_time(r, row, "next_update"),
        .file = db_text(r, row, "file"),
        .size = db_int(r, row, "size"),
        .etag = db_bytes(r, row, "etag"),
        .entries = db_int(r, row, "entries"),
        .duration_ms = db_int(r, row, "duration_ms"),
        .generated_at = db_time(r, row, "generated_at"),
        .error = db_text(r, row, "error"),
    };
    return PKI_OK;
}

pki_code_t
crl_last(db_t *db, pki_arena_t *a, uint32_t issuer_no, const char *scope, crl_row_t *out, pki_err_t *err)
{
    return verb_find(db, a, Q_crl_last, DB_PARAMS(DB_I(issuer_no), DB_T(scope)), crl_read, out,
                     "CRL yet, scope", scope, err);
}
