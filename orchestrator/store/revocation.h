/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Revocation, hold and release.  The status of a managed certificate follows its versions.
 */
#ifndef ORCHESTRATOR_STORE_REVOCATION_H
#define ORCHESTRATOR_STORE_REVOCATION_H

#include "orchestrator/store/audit.h"

typedef struct {
    int64_t issuer_no, generation;
    bytes_t serial;
    bytes_t fingerprint; /* SHA-256 of the certificate; absent unless the issuer's answers show it */
    bool    exempt; /* no edge has it as good: RFC 9608 */
    char    state;  /* 'g'ood (never revoked), 'r'evoked, 'h'old, 'l': released */
    int64_t reason; /* CRLReason; -1: none */
    int64_t revision;
    int64_t revoked_at, invalidity_at, not_after;
} status_row_t;

typedef struct {
    const char    *managed_id;
    const bytes_t *serials;      /* count 0: every unexpired version */
    size_t         serial_count;
    int            reason;       /* CRLReason: 6 puts on hold, 8 releases from hold */
    int64_t        invalidity_at; /* 0: none */
    const audit_t *audit;
} revocation_order_t;

/*
 * One transaction: revocation rows, managed certificate, change feed, audit.  *changed are the versions
 * whose state
 * changed, as the edge is to have them.  Versions that are expired, or already as wanted, are passed over
 * when no serials
 * are named; named ones must be able to change.  NOT_FOUND: unknown certificate or serial.  CONFLICT: nothing
 * could change (already revoked; nothing on hold), or a named serial cannot.
 */
pki_code_t revocation_apply(db_t *db, pki_arena_t *a, const revocation_order_t *in, status_row_t **changed,
                            size_t *count, pki_err_t *err);

/* The state of one certificate; NOT_FOUND when it was never issued. */
pki_code_t revocation_status(db_t *db, pki_arena_t *a, uint32_t issuer_no, bytes_t serial, status_row_t *out,
                             pki_err_t *err);

#endif
