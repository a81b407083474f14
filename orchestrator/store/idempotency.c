/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rows of calls with an Idempotency-Key.
 */
#include "orchestrator/store/idempotency.h"

#include "orchestrator/store/verb.h"

#define PRUNE_BATCH 1000

typedef struct {
    pki_arena_t             *a;
    const idempotency_row_t *in;
    bool                    *fresh;
    idempotency_row_t       *out;
} begin_t;

static void
row_read(const db_rows_t *r, idempotency_row_t *out)
{
    *out = (idempotency_row_t){
        .request_hash = db_bytes(r, 0, "request_hash"),
        .holder = db_text(r, 0, "holder"),
        .status = db_int(r, 0, "status"),
        .headers = db_text(r, 0, "headers"),
        .answer = db_bytes(r, 0, "answer"),
        .sealed = db_bool(r, 0, "sealed"),
        .age_s = db_int(r, 0, "age_s"),
    };
}

static pki_code_t
begin_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    begin_t                 *b = arg;
    const idempotency_row_t *in = b->in;
    db_rows_t               *rows;

    PKI_TRY(db_query(c, b->a, Q_idempotency_begin,
                     DB_PARAMS(DB_T(in->actor), DB_T(in->key), DB_B(in->request_hash), DB_T(in->request_id), DB_T(in->holder)),
                     &rows, err));
    *b->fresh = db_rows_affected(rows) == 1;
    if (*b->fresh) {
        return PKI_OK;
    }
    PKI_TRY(db_query(c, b->a, Q_idempotency_find, DB_PARAMS(DB_T(in->actor), DB_T(in->key)), &rows, err));
    if (db_row_count(rows) == 0) {
        return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "the idempotency key was given free just now");
    }
    row_read(rows, b->out);
    return PKI_OK;
}

pki_code_t
idempotency_begin(db_t *db, pki_arena_t *a, const idempotency_row_t *in, bool *fresh, idempotency_row_t *out,
                  pki_err_t *err)
{
    begin_t b = { a, in, fresh, out };

    return db_run(db, begin_run, &b, err);
}

static pki_code_t
row_change(db_t *db, db_query_t q, const db_param_t *params, size_t count, pki_code_t none, pki_err_t *err)
{
    const verb_change_t v = { .q = q, .params = params, .count = count, .what = "unanswered idempotency key",
                              .id = params[1].text, .none = none };

    return verb_change(db, &v, err);
}

pki_code_t
idempotency_resume(db_t *db, const idempotency_row_t *in, const char *holder, pki_err_t *err)
{
    const db_param_t params[] = { DB_T(in->actor), DB_T(in->key), DB_T(holder), DB_T(in->holder), DB_T(in->request_id) };

    return row_change(db, Q_idempotency_resume, params, 5, PKI_E_CONFLICT, err);
}

pki_code_t
idempotency_finish(db_t *db, const idempotency_row_t *in, pki_err_t *err)
{
    const db_param_t params[] = { DB_T(in->actor), DB_T(in->key), DB_T(in->request_id), DB_I(in->status), DB_T(in->headers),
                                  DB_B(in->answer), DB_F(in->sealed) };

    return row_change(db, Q_idempotency_finish, params, 7, PKI_E_CONFLICT, err);
}

pki_code_t
idempotency_drop(db_t *db, const idempotency_row_t *in, pki_err_t *err)
{
    const db_param_t params[] = { DB_T(in->actor), DB_T(in->key), DB_T(in->request_id) };

    return row_change(db, Q_idempotency_drop, params, 3, PKI_OK, err);
}

pki_code_t
idempotency_prune(db_t *db, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    db_rows_t   *rows;
    int64_t      removed;
    pki_code_t   code;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    do {
        code = verb_read(db, a, Q_idempotency_prune, NULL, 0, &rows, err);
        removed = code == PKI_OK ? db_int(rows, 0, "removed") : 0;
        pki_arena_reset(a);
    } while (removed == PRUNE_BATCH);
    pki_arena_free(a);
    return code;
}
