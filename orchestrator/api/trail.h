/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The audit trail of calls.  Changes write their row in their own transaction; rows of calls that read or
 * were refused wait here for one thread that writes many with one commit.
 */
#ifndef ORCHESTRATOR_API_TRAIL_H
#define ORCHESTRATOR_API_TRAIL_H

#include "orchestrator/store/audit.h"

typedef struct trail trail_t;

pki_code_t trail_open(db_t *db, trail_t **out, pki_err_t *err);
void       trail_close(trail_t *t); /* writes what waits, for two seconds at most */

/*
 * Copies.  When the list is full a caller that may wait does so while the database takes rows; otherwise the event
 * is lost (counted, and logged once a second): the call's log line remains.
 */
void trail_put(trail_t *t, const audit_t *event, bool may_wait);

/* Wait until all that was put before is written, wait_ms at most. */
void trail_flush(trail_t *t, int64_t wait_ms);

typedef struct {
    uint64_t written, lost, waiting;
} trail_stats_t;
void trail_stats(trail_t *t, trail_stats_t *out);

#endif
