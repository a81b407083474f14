/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * certificate_search and how far it has come.
 */
#include "orchestrator/store/search.h"

#include <stdio.h>

#include "orchestrator/store/verb.h"

typedef struct {
    pki_arena_t *a;
    char        *at;
    int64_t     *no, max, *rows;
    bool        *busy;
} fill_t;

pki_code_t
search_begin(db_t *db, search_begin_t *out, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    db_rows_t   *rows;
    pki_code_t   code;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = verb_read(db, a, Q_search_begin, NULL, 0, &rows, err);
    if (code == PKI_OK && db_row_count(rows) != 1) {
        code = pki_fail(err, PKI_E_INTERNAL, NULL, "search_position has %zu rows", db_row_count(rows));
    }
    if (code == PKI_OK) {
        snprintf(out->again, sizeof(out->again), "%s", db_text(rows, 0, "again"));
        snprintf(out->settled, sizeof(out->settled), "%s", db_text(rows, 0, "settled"));
        snprintf(out->done, sizeof(out->done), "%s", db_text(rows, 0, "done"));
        out->late = db_bool(rows, 0, "late");
    }
    pki_arena_free(a);
    return code;
}

static pki_code_t
fill_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    fill_t    *f = arg;
    db_rows_t *rows;

    PKI_TRY(db_query(c, f->a, Q_search_lock, NULL, 0, &rows, err));
    *f->rows = 0;
    *f->busy = !db_bool(rows, 0, "mine");
    if (*f->busy) {
        return PKI_OK;
    }
    PKI_TRY(db_query(c, f->a, Q_search_fill, DB_PARAMS(DB_T(f->at), DB_I(*f->no), DB_I(f->max)), &rows, err));
    if (db_row_count(rows) > 0) {
        *f->rows = db_int(rows, 0, "rows");
        *f->no = db_int(rows, 0, "no");
        snprintf(f->at, SEARCH_AT_MAX, "%s", db_text(rows, 0, "at"));
    }
    return db_query(c, f->a, Q_search_merge, NULL, 0, &rows, err);
}

pki_code_t
search_fill(db_t *db, char at[SEARCH_AT_MAX], int64_t *no, int64_t max, int64_t *rows, bool *busy, pki_err_t *err)
{
    fill_t     f = { .a = pki_arena_new(0), .at = at, .no = no, .max = max, .rows = rows, .busy = busy };
    pki_code_t code;

    if (f.a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = db_tx(db, fill_run, &f, err);
    pki_arena_free(f.a);
    return code;
}

pki_code_t
search_settle(db_t *db, const char *settled, pki_err_t *err)
{
    return verb_read(db, NULL, Q_search_settle, DB_PARAMS(DB_T(settled)), NULL, err);
}

pki_code_t
search_update(db_conn_t *c, const char *managed_id, pki_err_t *err)
{
    return db_query(c, NULL, Q_search_update, DB_PARAMS(DB_T(managed_id)), NULL, err);
}
