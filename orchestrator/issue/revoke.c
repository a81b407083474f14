/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Revocation, hold and release (RFC 5280 5.3.1): one transaction in the store's verb, then every local worker, then a
 * CRL.
 */
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/issue/part.h"
#include "orchestrator/store/bulk.h"

#define REVOKE_PUBLISH_TRIES   20
#define REVOKE_PUBLISH_WAIT_US 100000
#define REVOKE_BULK            1000 /* certificates in one transaction: short enough for those who wait behind it */

/*
 * The database has decided; only the edge is behind.  A store that is being swapped is back in a moment; when it is
 * not, the feed brings the change as soon as there is one, and no worker answers from a store that is missing.
 */
static pki_code_t
publish(issue_t *i, const edge_change_t *changes, size_t count, pki_err_t *err)
{
    pki_code_t code = edge_publish(i->edge, changes, count, err);

    for (int n = 1; code != PKI_OK && n < REVOKE_PUBLISH_TRIES; n++) {
        usleep(REVOKE_PUBLISH_WAIT_US);
        code = edge_publish(i->edge, changes, count, err);
    }
    return code;
}

static pki_code_t
revoke_publish(issue_t *i, pki_arena_t *a, const status_row_t *rows, size_t count, pki_err_t *err)
{
    edge_change_t *changes;
    pki_code_t     code;

    PKI_TRY(PKI_NEW_N(a, count + 1, &changes, err));
    for (size_t n = 0; n < count; n++) {
        changes[n] = edge_change_of(&rows[n]);
    }
    code = publish(i, changes, count, err);
    for (size_t n = 0; n < count; n++) {
        edge_crl_request(i->edge, changes[n].authority, changes[n].serial);
    }
    return code;
}

/* What the database has decided is known at the edge, and only then the items are done. */
static pki_code_t
bulk_run(issue_t *i, pki_arena_t *a, const job_claim_t *job, const char *after, const bulk_step_t *step, pki_err_t *err)
{
    if (step->count == 0) {
        return PKI_OK;
    }
    PKI_TRY(revoke_publish(i, a, step->changed, step->count, err));
    return bulk_told(i->db, job, after, err);
}

pki_code_t
issue_revoke_bulk(issue_t *i, pki_arena_t *a, const job_claim_t *job, int reason, int64_t invalidity_at,
                  const char **after, int64_t *taken, pki_err_t *err)
{
    pki_arena_t *mine = pki_arena_new(0);
    bulk_step_t  step = { 0 };
    pki_code_t   code;

    if (mine == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = bulk_revoke(i->db, mine, job, reason, invalidity_at, *after, REVOKE_BULK, &step, err);
    if (code == PKI_OK) {
        atomic_fetch_add(&i->revoked, step.count);
        log_info("cert.bulk_status", LOG_S("job", job->id), LOG_I("versions", step.count), LOG_I("reason", reason));
        code = bulk_run(i, mine, job, *after, &step, err);
    }
    *taken = step.taken;
    if (code == PKI_OK && (*after = pki_strdup(a, step.last)) == NULL) {
        code = pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    pki_arena_free(mine);
    return code;
}

static pki_code_t
resume_run(issue_t *i, pki_arena_t *a, const job_claim_t *job, pki_err_t *err)
{
    const char *after = "";
    bulk_step_t step;
    bool        any = false;

    for (;;) {
        PKI_TRY(bulk_applied(i->db, a, job, after, REVOKE_BULK, &step, err));
        if (step.taken == 0) {
            return any ? bulk_told(i->db, job, "", err) : PKI_OK;
        }
        PKI_TRY(revoke_publish(i, a, step.changed, step.count, err));
        after = step.last;
        any = true;
    }
}

pki_code_t
issue_revoke_resume(issue_t *i, const job_claim_t *job, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    pki_code_t   code;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = resume_run(i, a, job, err);
    pki_arena_free(a);
    return code;
}

static pki_code_t
revoke_run(issue_t *i, pki_arena_t *a, const revoke_order_t *in, size_t *changed, pki_err_t *err)
{
    audit_t            audit = in->audit;
    revocation_order_t order = { .managed_id = in->managed_id,
                                 .serials = in->serials,
                                 .serial_count = in->serial_count,
                                 .reason = in->reason,
                                 .invalidity_at = in->invalidity_at,
                                 .audit = &audit };
    status_row_t      *rows;
    size_t             count;

    audit.action = in->reason == 8 ? "certificate.release" : "certificate.revoke";
    audit.resource_type = "certificate";
    audit.resource_id = in->managed_id;
    audit.status = 200;
    audit.details = pki_printf(a, "{\"reason\": %d}", in->reason);
    PKI_TRY(revocation_apply(i->db, a, &order, &rows, &count, err));
    *changed = count;
    atomic_fetch_add(&i->revoked, count);
    for (size_t n = 0; n < count; n++) {
        log_info("cert.status", LOG_S("certificate", in->managed_id), LOG_X("serial", rows[n].serial),
                 LOG_I("reason", in->reason), LOG_I("revision", rows[n].revision));
    }
    return revoke_publish(i, a, rows, count, err);
}

pki_code_t
issue_revoke(issue_t *i, const revoke_order_t *in, size_t *changed, pki_err_t *err)
{
    pki_arena_t *a;
    pki_code_t   code;

    *changed = 0;
    if (in->reason < 0 || in->reason > 10 || in->reason == 7) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 5.3.1", "reason %d", in->reason);
    }
    if (in->invalidity_at > clock_now()) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 5.3.2", "the invalidity date is in the future");
    }
    a = pki_arena_new(0);
    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = revoke_run(i, a, in, changed, err);
    pki_arena_free(a);
    return code;
}
