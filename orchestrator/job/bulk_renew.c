/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * BulkRenew: a Renewal job for each of its certificates; it is over when they are.  Certificates with names that whoever
 * asks may not ask for have failed before there is a Renewal: it would look like one of theirs that went wrong.
 */
#include "orchestrator/job/part.h"
#include "orchestrator/store/bulk.h"

#define RENEW_BULK     1000
#define NAMES_BULK     100
#define RENEW_LOOK_MS  1000 /* while renewals are open */

pki_code_t job_bulk_renew(job_run_t *run, pki_err_t *err);

static pki_code_t
allowed_names_read(job_run_t *run, bulk_criteria_t *out, pki_err_t *err)
{
    JSON_AUTO in = NULL;

    PKI_TRY(json_parse(bytes_str(run->claim.params), &in, err));
    return fields_decode(run->a, bulk_renew_params_fields, in, out, NULL, err);
}

/* Those that the names are against; what else is in the way of a renewal is seen to later. */
static pki_code_t
names_judge(job_run_t *run, pki_arena_t *a, const str_list_t *allowed, const str_list_t *ids, str_list_t *refused,
            str_list_t *why, pki_err_t *err)
{
    PKI_TRY(PKI_NEW_N(a, ids->count + 1, &refused->v, err));
    PKI_TRY(PKI_NEW_N(a, ids->count + 1, &why->v, err));
    for (size_t i = 0; i < ids->count; i++) {
        const renew_order_t order = { .managed_id = ids->v[i], .allowed_names = allowed };
        pki_err_t           no = { 0 };
        pki_code_t          code = issue_renew(run->jobs->parts.issue, a, &order, &no);

        if (code == PKI_E_POLICY) {
            refused->v[refused->count++] = ids->v[i];
            why->v[why->count++] = pki_strdup(a, no.text);
        } else if (pki_code_http(code) >= 500) {
            *err = no;
            return code;
        }
    }
    return PKI_OK;
}

static pki_code_t
names_step(job_run_t *run, pki_arena_t *a, const str_list_t *allowed, const char **after, bool *more, pki_err_t *err)
{
    db_t      *db = run->jobs->parts.db;
    str_list_t ids, refused = { 0 }, why = { 0 };

    PKI_TRY(bulk_pending(db, a, &run->claim, *after, NAMES_BULK, &ids, err));
    PKI_TRY(names_judge(run, a, allowed, &ids, &refused, &why, err));
    PKI_TRY(bulk_refuse(db, &run->claim, &refused, &why, err));
    *more = ids.count > 0;
    *after = ids.count > 0 ? pki_strdup(run->a, ids.v[ids.count - 1]) : "";
    return *after != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

static pki_code_t
names_check(job_run_t *run, pki_err_t *err)
{
    bulk_criteria_t in = { 0 };
    const char     *after = "";
    bool            more;
    pki_arena_t    *a;
    pki_code_t      code;

    PKI_TRY(allowed_names_read(run, &in, err));
    more = in.allowed_names.count > 0;
    a = pki_arena_new(0);
    code = a != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    while (code == PKI_OK && more && !job_stopping(run)) {
        code = names_step(run, a, &in.allowed_names, &after, &more, err);
        pki_arena_reset(a);
    }
    pki_arena_free(a);
    return code;
}

pki_code_t
job_bulk_renew(job_run_t *run, pki_err_t *err)
{
    db_t   *db = run->jobs->parts.db;
    int64_t taken = 1, open;

    PKI_TRY(names_check(run, err)); /* when that is stopped, so is what follows */
    while (taken > 0 && !job_stopping(run)) {
        PKI_TRY(bulk_renew(db, &run->claim, RENEW_BULK, &taken, err));
        jobs_wake(run->jobs);
    }
    PKI_TRY(bulk_renewals_follow(db, &run->claim, &open, err));
    run->again = taken > 0 || open > 0;
    run->wait_ms = RENEW_LOOK_MS;
    return PKI_OK;
}
