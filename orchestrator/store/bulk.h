/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The steps of bulk jobs.  Each is one transaction that takes some items of a job, does what is to be done for them, and
 * notes the outcome of each; a claim that somebody else has taken over (CONFLICT) does nothing.
 */
#ifndef ORCHESTRATOR_STORE_BULK_H
#define ORCHESTRATOR_STORE_BULK_H

#include "orchestrator/store/job.h"
#include "orchestrator/store/revocation.h"

typedef struct {
    status_row_t *changed; /* as the edge is to have them; exempt ones are here, too */
    size_t        count;
    int64_t       taken;   /* items; 0: none is left */
    const char   *last;    /* certificate id of the last of them: steps go in their order */
} bulk_step_t;

/*
 * Revoke the unexpired versions of at most max certificates after the id `after`.  Items of which something changed are
 * Applied until bulk_told() says that the edge knows; others are Skipped, or Failed when the certificate is not ours or
 * the issuer's rules are against it.
 */
pki_code_t bulk_revoke(db_t *db, pki_arena_t *a, const job_claim_t *job, int reason, int64_t invalidity_at,
                       const char *after, int64_t max, bulk_step_t *out, pki_err_t *err);

/* What an earlier worker applied, and died before it could tell: at most max items after the id `after`. */
pki_code_t bulk_applied(db_t *db, pki_arena_t *a, const job_claim_t *job, const char *after, int64_t max,
                        bulk_step_t *out, pki_err_t *err);
pki_code_t bulk_told(db_t *db, const job_claim_t *job, const char *after, pki_err_t *err);

/* Ask for renewals of at most max certificates: Applied until those are over.  *taken as above. */
pki_code_t bulk_renew(db_t *db, const job_claim_t *job, int64_t max, int64_t *taken, pki_err_t *err);

/* Those that nobody has begun, at most max after the id `after`; and what of them is not done, each for its reason. */
pki_code_t bulk_pending(db_t *db, pki_arena_t *a, const job_claim_t *job, const char *after, int64_t max, str_list_t *ids,
                        pki_err_t *err);
pki_code_t bulk_refuse(db_t *db, const job_claim_t *job, const str_list_t *ids, const str_list_t *why, pki_err_t *err);

/* Note which renewals are over; *open: those that are not. */
pki_code_t bulk_renewals_follow(db_t *db, const job_claim_t *job, int64_t *open, pki_err_t *err);

#endif
