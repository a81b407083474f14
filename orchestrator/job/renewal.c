/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Renewal: one certificate, by the one issuance path.
 */
#include "orchestrator/job/part.h"

pki_code_t job_renewal(job_run_t *run, pki_err_t *err);

pki_code_t
job_renewal(job_run_t *run, pki_err_t *err)
{
    const job_claim_t *claim = &run->claim;
    renew_order_t      order = { .managed_id = claim->certificate_id,
                                 .job_id = claim->id,
                                 .audit = { .actor = claim->requested_by,
                                            .actor_type = claim->requester_type,
                                            .request_id = claim->request_id } };
    JSON_AUTO          in = NULL;
    int                force = 0;

    PKI_TRY(json_parse(bytes_str(claim->params), &in, err));
    if (json_unpack(in, "{s?s s?b}", "csr_pem", &order.csr, "force", &force) != 0) {
        return pki_fail(err, PKI_E_INVALID, NULL, "job %s: its parameters are not those of a renewal", claim->id);
    }
    order.force = force != 0;
    return issue_renew(run->jobs->parts.issue, run->a, &order, err);
}
