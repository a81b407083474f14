/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * BulkRenew: a Renewal job for each of its certificates; it is over when they are.
 */
#include "orchestrator/job/part.h"
#include "orchestrator/store/bulk.h"

#define RENEW_BULK     1000
#define RENEW_LOOK_MS  1000 /* while renewals are open */

pki_code_t job_bulk_renew(job_run_t *run, pki_err_t *err);

pki_code_t
job_bulk_renew(job_run_t *run, pki_err_t *err)
{
    db_t   *db = run->jobs->parts.db;
    int64_t taken = 1, open;

    while (taken > 0 && !job_stopping(run)) {
        PKI_TRY(bulk_renew(db, &run->claim, RENEW_BULK, &taken, err));
        jobs_wake(run->jobs);
    }
    PKI_TRY(bulk_renewals_follow(db, &run->claim, &open, err));
    run->again = taken > 0 || open > 0;
    run->wait_ms = RENEW_LOOK_MS;
    return PKI_OK;
}
