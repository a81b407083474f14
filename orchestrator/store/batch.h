/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Inside of store/ only: several items in one statement and one commit, each with its own outcome.
 */
#ifndef ORCHESTRATOR_STORE_BATCH_H
#define ORCHESTRATOR_STORE_BATCH_H

#include "orchestrator/store/conn.h"

/* One statement for all of them; a failure is that of each. */
typedef pki_code_t (*batch_pt)(db_conn_t *c, db_item_t *items, size_t count, pki_err_t *err);

/* A batch that fails for another reason than that the database is away is repeated item by item. */
void batch_run(db_t *db, int64_t deadline_us, batch_pt fn, db_item_t *items, size_t count);

#endif
