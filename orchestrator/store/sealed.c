/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Sealed values, kind by kind.
 */
#include "orchestrator/store/sealed.h"

#include "orchestrator/store/verb.h"

static const struct {
    const char *name;
    db_query_t  list, replace;
} kinds[] = {
    { "issuer secrets", Q_sealed_issuers, Q_sealed_issuer_replace },
    { "kept answers", Q_sealed_answers, Q_sealed_answer_replace },
    { NULL, Q_COUNT_, Q_COUNT_ },
};

const char *
sealed_kind(size_t kind)
{
    return kinds[kind].name;
}

static pki_code_t
sealed_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    (void) a;
    (void) err;
    *(sealed_row_t *) out = (sealed_row_t){ db_text(r, row, "id"), db_text(r, row, "place"), db_bytes(r, row, "sealed") };
    return PKI_OK;
}

pki_code_t
sealed_list(db_t *db, pki_arena_t *a, size_t kind, bytes_t key_id, const char *after, size_t max, sealed_row_t **out,
            size_t *count, pki_err_t *err)
{
    return verb_list(db, a, kinds[kind].list, DB_PARAMS(DB_B(key_id), DB_T(after), DB_I(max)), sealed_read, sizeof(**out),
                     (void **) out, count, err);
}

pki_code_t
sealed_replace(db_t *db, size_t kind, const sealed_row_t *row, bytes_t fresh, bool *done, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    db_rows_t   *rows;
    pki_code_t   code;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = verb_read(db, a, kinds[kind].replace, DB_PARAMS(DB_T(row->id), DB_B(row->sealed), DB_B(fresh)), &rows, err);
    *done = code == PKI_OK && db_rows_affected(rows) == 1;
    pki_arena_free(a);
    return code;
}
