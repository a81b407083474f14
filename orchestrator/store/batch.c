/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Running a batch, and finding who spoils it.
 */
#include "orchestrator/store/batch.h"

typedef struct {
    batch_pt   fn;
    db_item_t *items;
    size_t     count;
} run_t;

static pki_code_t
items_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    run_t *r = arg;

    return r->fn(c, r->items, r->count, err);
}

void
batch_run(db_t *db, int64_t deadline_us, batch_pt fn, db_item_t *items, size_t count)
{
    run_t      r = { fn, items, count };
    pki_err_t  err = { 0 };
    pki_code_t code = db_run_by(db, deadline_us, items_run, &r, &err);

    if (code != PKI_OK && code != PKI_E_UNAVAILABLE && count > 1) {
        for (size_t i = 0; i < count; i++) {
            batch_run(db, deadline_us, fn, &items[i], 1);
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        items[i].code = code;
        items[i].err = err;
    }
}
