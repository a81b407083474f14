/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * BulkRevoke: its certificates, a thousand in each transaction.
 */
#include "orchestrator/job/part.h"
#include "pkiproto/crl/crl.h"

pki_code_t job_bulk_revoke(job_run_t *run, pki_err_t *err);

static pki_code_t
params_read(job_run_t *run, bulk_criteria_t *out, int *reason, pki_err_t *err)
{
    JSON_AUTO in = NULL;

    PKI_TRY(json_parse(bytes_str(run->claim.params), &in, err));
    PKI_TRY(fields_decode(run->a, bulk_revoke_fields, in, out, NULL, err));
    *reason = crl_reason_parse(out->reason);
    return *reason >= 0 ? PKI_OK : pki_fail(err, PKI_E_INVALID, "RFC 5280 5.3.1", "reason %.40s", out->reason);
}

pki_code_t
job_bulk_revoke(job_run_t *run, pki_err_t *err)
{
    issue_t        *issue = run->jobs->parts.issue;
    bulk_criteria_t in;
    const char     *after = "";
    int64_t         taken;
    int             reason;

    PKI_TRY(params_read(run, &in, &reason, err));
    PKI_TRY(issue_revoke_resume(issue, &run->claim, err));
    do {
        if (job_stopping(run)) {
            run->again = true;
            return PKI_OK;
        }
        PKI_TRY(issue_revoke_bulk(issue, run->a, &run->claim, reason, in.invalidity_date, &after, &taken, err));
    } while (taken > 0);
    return PKI_OK;
}
