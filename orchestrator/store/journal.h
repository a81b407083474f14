/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Reconciliation with the signer's journal: what was signed but is not recorded becomes an orphan, revoked.
 */
#ifndef ORCHESTRATOR_STORE_JOURNAL_H
#define ORCHESTRATOR_STORE_JOURNAL_H

#include "orchestrator/store/audit.h"

/* Where reconciliation of this journal got to; 0 for one that was never seen. */
pki_code_t journal_position(db_t *db, bytes_t journal_id, uint64_t *position, pki_err_t *err);
pki_code_t journal_advance(db_t *db, bytes_t journal_id, uint64_t position, pki_err_t *err); /* never back */

typedef struct {
    uint32_t issuer_no;
    bytes_t  serial;
    bool     known; /* filled: issued, responder or CA certificate */
} journal_serial_t;
pki_code_t journal_known(db_t *db, journal_serial_t *serials, size_t count, pki_err_t *err);

typedef struct {
    uint32_t issuer_no;
    bytes_t  serial, tbs, spki_sha256;
    bytes_t  akid; /* which generation's key signed it; absent: the present one's */
    int64_t  not_before, not_after, signed_at;
} journal_orphan_t;

/*
 * One transaction: each orphan recorded and revoked (cessationOfOperation), with change feed and audit
 * rows; with a
 * journal_id the position moves, too.  Orphans that are there already are left alone.
 */
pki_code_t journal_orphans(db_t *db, const journal_orphan_t *orphans, size_t count, bytes_t journal_id,
                           uint64_t position, size_t *recorded, pki_err_t *err);

#endif
