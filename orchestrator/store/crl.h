/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * CRLs as the database knows them: numbers, entries, what was published.  The lists themselves are files
 * of the
 * edge; their encoding is pkiproto/crl/crl.h.
 */
#ifndef ORCHESTRATOR_STORE_CRL_H
#define ORCHESTRATOR_STORE_CRL_H

#include "orchestrator/store/revocation.h"

#define CRL_SCOPE_FULL "full"

/* The next number: greater than every one before, at least the present time in seconds; durable on return. */
pki_code_t crl_number_next(db_t *db, uint32_t issuer_no, const char *scope, int64_t *number, pki_err_t *err);

/*
 * Entries of the next CRL in order of serial, one call each: revoked or on hold, and not expired before
 * the last
 * published CRL (RFC 5280 3.3, 5: an expired one appears on one CRL after its end).  The row lives only
 * during the call.
 */
typedef pki_code_t (*crl_entry_pt)(const status_row_t *row, void *arg, pki_err_t *err);
pki_code_t crl_entries(db_t *db, uint32_t issuer_no, const char *scope, crl_entry_pt fn, void *arg,
                       pki_err_t *err);

typedef struct {
    int64_t     issuer_no;
    const char *scope;
    int64_t     number, this_update, next_update;
    const char *file;
    int64_t     size;
    bytes_t     etag;
    int64_t     entries, duration_ms, generated_at;
    const char *error; /* a failed attempt: file and etag absent */
} crl_row_t;

/* Published or failed; a published one is announced in the change feed. */
pki_code_t crl_published(db_t *db, const crl_row_t *in, pki_err_t *err);
pki_code_t crl_last(db_t *db, pki_arena_t *a, uint32_t issuer_no, const char *scope, crl_row_t *out,
                    pki_err_t *err); /* NOT_FOUND: none yet */

#endif
