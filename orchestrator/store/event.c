/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Reading changes out of the audit.
 */
#include "orchestrator/store/event.h"

#include "orchestrator/store/verb.h"

/* The one row of a statement. */
static pki_code_t
one_row(db_t *db, pki_arena_t *a, db_query_t q, const db_param_t *params, size_t count, db_rows_t **rows, pki_err_t *err)
{
    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    return verb_read(db, a, q, params, count, rows, err);
}

pki_code_t
event_head(db_t *db, event_head_t *out, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    db_rows_t   *rows;
    pki_code_t   code = one_row(db, a, Q_event_head, NULL, 0, &rows, err);

    if (code == PKI_OK) {
        *out = (event_head_t){ .xmin = (uint64_t) db_int(rows, 0, "xmin"), .xmax = (uint64_t) db_int(rows, 0, "xmax"),
                               .last_id = db_int(rows, 0, "last_id") };
    }
    pki_arena_free(a);
    return code;
}

pki_code_t
event_floor(db_t *db, int64_t id, int64_t *out, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    db_rows_t   *rows;
    pki_code_t   code = one_row(db, a, Q_event_floor, DB_PARAMS(DB_I(id)), &rows, err);

    if (code == PKI_OK) {
        *out = db_int(rows, 0, "id");
    }
    pki_arena_free(a);
    return code;
}

static pki_code_t
event_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    (void) a;
    (void) err;
    *(event_t *) out = (event_t){
        .at = { (uint64_t) db_int(r, row, "xid"), db_int(r, row, "id") },
        .action = db_text(r, row, "action"),
        .type = db_text(r, row, "resource_type"),
        .data = db_text(r, row, "data"),
    };
    return PKI_OK;
}

pki_code_t
event_next(db_t *db, pki_arena_t *a, const event_query_t *q, event_t **out, size_t *count, pki_err_t *err)
{
    return verb_list(db, a, Q_event_next,
                     DB_PARAMS(DB_I(q->after.xid), DB_I(q->after.id), DB_I(q->floor), DB_I(q->before), DB_TS(q->without),
                               DB_I(q->max)),
                     event_read, sizeof(**out), (void **) out, count, err);
}
