/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The database's side of the reconciliation with the signer's journal.
 */
#include "orchestrator/store/journal.h"

#include "orchestrator/store/verb.h"
#include "pkiproto/base/text.h"

pki_code_t
journal_position(db_t *db, bytes_t journal_id, uint64_t *position, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    db_rows_t   *rows;
    pki_code_t   rc;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = verb_read(db, a, Q_journal_position, DB_PARAMS(DB_B(journal_id)), &rows, err);
    if (rc == PKI_OK) {
        *position = db_row_count(rows) > 0 ? (uint64_t) db_int(rows, 0, "position") : 0;
    }
    pki_arena_free(a);
    return rc;
}

pki_code_t
journal_advance(db_t *db, bytes_t journal_id, uint64_t position, pki_err_t *err)
{
    return verb_read(db, NULL, Q_journal_advance, DB_PARAMS(DB_B(journal_id), DB_I(position)), NULL, err);
}

static pki_code_t
known_find(db_t *db, pki_arena_t *a, journal_serial_t *serials, size_t count, pki_err_t *err)
{
    str_list_t  nos = { .count = count }, hex = { .count = count };
    db_rows_t  *rows;

    PKI_TRY(PKI_NEW_N(a, count + 1, &nos.v, err));
    PKI_TRY(PKI_NEW_N(a, count + 1, &hex.v, err));
    for (size_t i = 0; i < count; i++) {
        nos.v[i] = pki_printf(a, "%u", serials[i].issuer_no);
        hex.v[i] = hex_print(a, serials[i].serial);
        if (nos.v[i] == NULL || hex.v[i] == NULL) {
            return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
        }
        serials[i].known = false;
    }
    PKI_TRY(verb_read(db, a, Q_journal_known, DB_PARAMS(DB_TS(&nos), DB_TS(&hex)), &rows, err));
    for (size_t i = 0; i < db_row_count(rows); i++) {
        serials[db_int(rows, i, "place") - 1].known = true;
    }
    return PKI_OK;
}

pki_code_t
journal_known(db_t *db, journal_serial_t *serials, size_t count, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    pki_code_t   rc;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = known_find(db, a, serials, count, err);
    pki_arena_free(a);
    return rc;
}

typedef struct {
    pki_arena_t            *a;
    const journal_orphan_t *v;
    size_t                  count;
    bytes_t                 journal_id;
    uint64_t                position;
    size_t                  recorded;
} orphans_t;

static pki_code_t
orphans_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    orphans_t *o = arg;
    db_rows_t *rows;

    o->recorded = 0;
    for (size_t i = 0; i < o->count; i++) {
        const journal_orphan_t *v = &o->v[i];

        PKI_TRY(db_query(c, o->a, Q_journal_orphan,
                         DB_PARAMS(DB_I(v->issuer_no), DB_B(v->serial), DB_B(v->tbs), DB_B(v->spki_sha256),
                                   DB_TM(v->not_before), DB_TM(v->not_after), DB_TM(v->signed_at), DB_B(v->akid)),
                         &rows, err));
        o->recorded += (size_t) db_int(rows, 0, "recorded");
    }
    if (o->journal_id.p == NULL) {
        return PKI_OK;
    }
    return db_query(c, NULL, Q_journal_advance, DB_PARAMS(DB_B(o->journal_id), DB_I(o->position)), NULL, err);
}

pki_code_t
journal_orphans(db_t *db, const journal_orphan_t *orphans, size_t count, bytes_t journal_id,
                uint64_t position, size_t *recorded, pki_err_t *err)
{
    orphans_t o = {
        .a = pki_arena_new(0), .v = orphans, .count = count, .journal_id = journal_id, .position = position};
    pki_code_t rc;

    if (o.a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = db_tx(db, orphans_run, &o, err);
    *recorded = o.recorded;
    pki_arena_free(o.a);
    return rc;
}
