/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Jobs: what makes them (bulk operations, renewals) and what cancels them.  Whatever the number of certificates, a call
 * only writes down which they are.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "pkiproto/x509/csr.h"

typedef struct {
    const char     *job_id, *status;
    bulk_criteria_t criteria;
    int64_t         affected_count;
} bulk_answer_t;

typedef struct {
    const char *csr_pem;
} renew_t;

typedef struct {
    bool force;
} renew_query_t;

typedef struct {
    const char *reason;
} cancel_t;

/* clang-format off */
#define BULK_ANSWER(table)                                                                                             \
    FIELD_STR   (bulk_answer_t, job_id,         F_REQUIRED, NULL,             "job that does it"),                     \
    FIELD_OBJECT(bulk_answer_t, criteria,       0, table,                     "what was asked for"),                   \
    FIELD_INT   (bulk_answer_t, affected_count, 0, NULL, 0, INT64_MAX,        "certificates that it is about"),        \
    FIELD_STR   (bulk_answer_t, status,         F_REQUIRED, NULL,             "status of the job: Pending"),           \
    FIELD_END
static const field_t bulk_revoked_fields[] = { BULK_ANSWER(bulk_revoke_fields) };
static const field_t bulk_renewed_fields[] = { BULK_ANSWER(bulk_renew_fields) };

static const field_t renew_fields[] = {
    FIELD_TEXT(renew_t, csr_pem, 0, 1, 2 * CSR_MAX, "PKCS #10 request in PEM with a new key; absent: the same key again"),
    FIELD_END };

static const field_t renew_query_fields[] = {
    FIELD_BOOL(renew_query_t, force, 0, "false", "also when it is revoked or has expired"),
    FIELD_END };

static const field_t cancel_fields[] = {
    FIELD_TEXT(cancel_t, reason, 0, 1, 500, "why, for the audit"),
    FIELD_END };
/* clang-format on */

const shape_t shape_bulk_revoke = SHAPE("BulkRevoke", bulk_criteria_t, bulk_revoke_fields);
const shape_t shape_bulk_renew = SHAPE("BulkRenew", bulk_criteria_t, bulk_renew_fields);
const shape_t shape_bulk_revoked = SHAPE("BulkRevoked", bulk_answer_t, bulk_revoked_fields);
const shape_t shape_bulk_renewed = SHAPE("BulkRenewed", bulk_answer_t, bulk_renewed_fields);
const shape_t shape_renew = SHAPE("Renew", renew_t, renew_fields);
const shape_t shape_renew_query = SHAPE("RenewQuery", renew_query_t, renew_query_fields);
const shape_t shape_job_cancel = SHAPE("JobCancel", cancel_t, cancel_fields);

/* JSON text in the arena. */
static pki_code_t
json_text(req_t *r, json_t *in, const char **out, pki_err_t *err)
{
    char *text = in != NULL ? json_dumps(in, JSON_COMPACT) : NULL;

    json_decref(in);
    *out = text;
    return text != NULL ? pki_arena_own(r->a, text, free, err) : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

/* ---- bulk operations ---- */

static pki_code_t
criteria_check(req_t *r, const bulk_criteria_t *in, pki_err_t *err)
{
    bool any = in->profile_id != NULL || in->owner_id != NULL || in->issuer_id != NULL || in->team_id != NULL
               || in->source != NULL || in->certificate_ids.count > 0;

    if (!any) {
        check_problem(r, "certificate_ids", "or another criterion is needed: not every certificate can be meant");
    }
    if (in->invalidity_date > clock_now()) {
        check_problem(r, "invalidity_date", "must not be in the future");
    }
    return check_done(r, err);
}

static pki_code_t
bulk_serve(req_t *r, const char *type_name, const field_t *fields, const bulk_criteria_t *in, pki_err_t *err)
{
    const job_type_t  *type = job_type_find(type_name);
    const job_filter_t filter = { .profile_id = in->profile_id, .owner_id = in->owner_id, .issuer_id = in->issuer_id,
                                  .team_id = in->team_id, .source = in->source,
                                  .certificate_ids = in->certificate_ids, .scope = &r->scope };
    const audit_t      audit = audit_of(r, 202);
    job_order_t        order = { .type = type->name, .max_attempts = type->max_attempts, .retry_s = type->retry_s,
                                 .audit = &audit };
    bulk_answer_t      out = { .criteria = *in, .status = job_state_names[JOB_PENDING] };

    PKI_TRY(criteria_check(r, in, err));
    PKI_TRY(json_text(r, fields_encode(fields, in), &order.params, err));
    PKI_TRY(job_bulk_insert(r->api->parts.db, r->a, &order, &filter, &out.job_id, &out.affected_count, err));
    audit_kept(r, &audit);
    jobs_wake(r->api->parts.jobs);
    r->answer.location = pki_printf(r->a, "/api/v1/jobs/%s", out.job_id);
    return answer_struct(r, &out, err);
}

pki_code_t
certificates_bulk_revoke(req_t *r, pki_err_t *err)
{
    return bulk_serve(r, "BulkRevoke", bulk_revoke_fields, r->in, err);
}

pki_code_t
est_bulk_revoke(req_t *r, pki_err_t *err)
{
    static const char est[] = "EST";
    bulk_criteria_t   in = *(const bulk_criteria_t *) r->in;

    if (in.source != NULL && strcmp(in.source, est) != 0) {
        check_problem(r, "source", "is %s here", est);
    }
    in.source = NULL;
    PKI_TRY(criteria_check(r, &in, err));
    in.source = est;
    return bulk_serve(r, "BulkRevoke", bulk_revoke_fields, &in, err);
}

pki_code_t
certificates_bulk_renew(req_t *r, pki_err_t *err)
{
    bulk_criteria_t in = *(const bulk_criteria_t *) r->in;

    in.allowed_names = r->identity.allowed_names;
    return bulk_serve(r, "BulkRenew", bulk_renew_params_fields, &in, err);
}

/* ---- renewal ---- */

/* What would fail anyway is refused now; what is left to fail later is the state of the house. */
static pki_code_t
renew_check(req_t *r, const renew_t *in, bool force, pki_err_t *err)
{
    const renew_order_t order = { .managed_id = r->param[0], .csr = in->csr_pem, .force = force,
                                  .allowed_names = &r->identity.allowed_names };
    pki_err_t           why = { 0 };
    bytes_t             der;

    if (in->csr_pem != NULL && csr_decode(r->a, bytes_str(in->csr_pem), &der, &why) != PKI_OK) {
        check_problem(r, "csr_pem", "%s", why.text);
    }
    PKI_TRY(check_done(r, err));
    return issue_renew(r->api->parts.issue, r->a, &order, err);
}

pki_code_t
certificate_renew(req_t *r, pki_err_t *err)
{
    const renew_t       *in = r->in;
    const renew_query_t *query = r->query;
    const job_type_t    *type = job_type_find("Renewal");
    const audit_t        audit = audit_of(r, 202);
    job_order_t          order = { .type = type->name, .max_attempts = type->max_attempts, .retry_s = type->retry_s,
                                   .audit = &audit };
    const char          *id;
    json_t              *params;

    PKI_TRY(renew_check(r, in, query->force, err));
    params = json_pack("{s:b}", "force", query->force);
    if (params != NULL && in->csr_pem != NULL && json_object_set_new(params, "csr_pem", json_string(in->csr_pem)) != 0) {
        json_decref(params);
        params = NULL;
    }
    PKI_TRY(json_text(r, params, &order.params, err));
    PKI_TRY(job_renewal_insert(r->api->parts.db, r->a, &order, r->param[0], &id, err));
    audit_kept(r, &audit);
    jobs_wake(r->api->parts.jobs);
    r->answer.location = pki_printf(r->a, "/api/v1/jobs/%s", id);
    return row_answer(r, id, err);
}

/* ---- cancelling ---- */

pki_code_t
job_cancel_serve(req_t *r, pki_err_t *err)
{
    const cancel_t *in = r->in;
    audit_t         audit = audit_of(r, 200);

    if (in->reason != NULL) {
        PKI_TRY(json_text(r, json_pack("{ss}", "reason", in->reason), &audit.details, err));
    }
    PKI_TRY(job_cancel(r->api->parts.db, r->param[0], r->if_match, &audit, err));
    audit_kept(r, &audit);
    return row_answer(r, r->param[0], err);
}
