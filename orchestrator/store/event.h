/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What has changed, out of the audit, in an order in which nothing comes late: by transaction, and only below the oldest
 * that is running (as the change feed, store/change.h).
 */
#ifndef ORCHESTRATOR_STORE_EVENT_H
#define ORCHESTRATOR_STORE_EVENT_H

#include "orchestrator/store/db.h"

typedef struct {
    uint64_t xid;
    int64_t  id;
} event_position_t;

static inline bool
event_after(event_position_t a, event_position_t b)
{
    return a.xid != b.xid ? a.xid > b.xid : a.id > b.id;
}

typedef struct {
    event_position_t at;
    const char      *action, *type; /* "certificate.issue", "certificate" */
    const char      *data;          /* JSON text */
} event_t;

/* All before xmin is there to be read; what begins from now on is not before xmax; last_id is the newest id. */
typedef struct {
    uint64_t xmin, xmax;
    int64_t  last_id;
} event_head_t;
pki_code_t event_head(db_t *db, event_head_t *out, pki_err_t *err);

/* An id below all that can still come after the event with this id; 0: after now. */
pki_code_t event_floor(db_t *db, int64_t id, int64_t *out, pki_err_t *err);

/* At most max events after a position and before a transaction, without those of some actions; floor bounds the search. */
typedef struct {
    event_position_t  after;
    uint64_t          before;
    int64_t           floor;
    const str_list_t *without;
    size_t            max;
} event_query_t;
pki_code_t event_next(db_t *db, pki_arena_t *a, const event_query_t *q, event_t **out, size_t *count, pki_err_t *err);

#endif
