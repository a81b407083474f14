/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The change feed that fills edge stores, and the whole of the statuses for a rebuild.
 *
 * A position is the pair of transaction id and sequence number.  Rows are handed out only when every older
 * transaction has ended, so that none is skipped that commits out of order.
 */
#ifndef ORCHESTRATOR_STORE_CHANGE_H
#define ORCHESTRATOR_STORE_CHANGE_H

#include "orchestrator/store/revocation.h"

typedef struct {
    uint64_t xid, seq;
} change_position_t;

typedef enum { CHANGE_STATUS, CHANGE_CONFIG, CHANGE_CRL } change_kind_t;

typedef struct {
    change_position_t position;
    change_kind_t     kind;
    uint32_t          issuer_no; /* 0: none */
    status_row_t      status;    /* CHANGE_STATUS: as it is now, which may be newer than the change */
    bytes_t           transaction_key; /* of the certificate; absent: none */
} change_t;

/*
 * At most max changes after a position; *count 0: nothing new.  CONFLICT when the position cannot be of this
 * database (restored, or another one) or the rows after it are gone: rebuild.
 */
pki_code_t change_next(db_t *db, pki_arena_t *a, change_position_t after, size_t max, change_t **out,
                       size_t *count,
                       pki_err_t *err);

/*
 * Every status of certificates that end after `ended_after`, one call each, by authority and serial, in one snapshot;
 * *position is where the feed carries on from it (changes may be seen twice, never missed).  The row lives only during
 * the call.
 */
typedef pki_code_t (*status_each_pt)(const status_row_t *row, void *arg, pki_err_t *err);
pki_code_t status_each(db_t *db, int64_t ended_after, status_each_pt fn, void *arg,
                       change_position_t *position,
                       pki_err_t *err);

/* Announce a change of configuration that no other verb announces; 0: no particular issuer. */
pki_code_t change_announce(db_t *db, uint32_t issuer_no, pki_err_t *err);

/*
 * Forget changes older than keep_s seconds, a batch at a time, and transaction keys older than
 * key_window_s.
 */
pki_code_t change_prune(db_t *db, int64_t keep_s, int64_t key_window_s, size_t *removed, pki_err_t *err);

#endif
