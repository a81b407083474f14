/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What operators say of managed certificates: name, owner, team, environment, renewal policy, tags.  What is in a
 * certificate, and its state, nobody writes: they come of issuing and revoking.
 */
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/cert.h"
#include "orchestrator/store/managed.h"
#include "orchestrator/store/renewal_policy.h"
#include "orchestrator/store/team.h"

#define REASSIGN_MAX 1000

typedef struct {
    const char *name, *owner_id, *team_id, *environment, *renewal_policy_id;
    str_map_t   tags;
} certificate_change_t;

typedef struct {
    const char *profile_id, *issuer_id, *owner_id, *team_id, *environment;
} reassign_filter_t;

typedef struct {
    const char       *owner_id, *team_id;
    str_list_t        certificate_ids;
    reassign_filter_t filter;
} reassign_in_t;

typedef struct {
    const char *certificate_id, *error;
} reassign_error_t;

typedef struct {
    int64_t       total_matched, total_reassigned, total_skipped, total_failed;
    object_list_t errors;
} reassign_out_t;

/* clang-format off */
static const field_t certificate_change_fields[] = {
    FIELD_TEXT(certificate_change_t, name,              F_REQUIRED, 1, 200, "name, not used by another"),
    FIELD_TEXT(certificate_change_t, owner_id,          0, 1, 64,           "who answers for it"),
    FIELD_TEXT(certificate_change_t, team_id,           0, 1, 64,           "team that it belongs to"),
    FIELD_TEXT(certificate_change_t, environment,       0, 1, 64,           "environment that it is used in"),
    FIELD_TEXT(certificate_change_t, renewal_policy_id, 0, 1, 64,           "when it is renewed"),
    FIELD_MAP (certificate_change_t, tags,              0, NULL, 256, NULL, "whatever else is to be said of it"),
    FIELD_END };

static const field_t reassign_filter_fields[] = {
    FIELD_TEXT(reassign_filter_t, profile_id,  0, 1, 64, "certificates of this profile"),
    FIELD_TEXT(reassign_filter_t, issuer_id,   0, 1, 64, "of this issuer"),
    FIELD_TEXT(reassign_filter_t, owner_id,    0, 1, 64, "of this owner"),
    FIELD_TEXT(reassign_filter_t, team_id,     0, 1, 64, "of this team, or of an owner who is in it"),
    FIELD_TEXT(reassign_filter_t, environment, 0, 1, 64, "of this environment"),
    FIELD_END };

static const field_t reassign_fields[] = {
    FIELD_TEXT  (reassign_in_t, owner_id,        F_REQUIRED, 1, 64, "the new owner"),
    FIELD_TEXT  (reassign_in_t, team_id,         0, 1, 64,          "the new team; absent: it stays"),
    FIELD_STRS  (reassign_in_t, certificate_ids, 0, NULL,           "these, by id, at most 1000; or a filter"),
    FIELD_OBJECT(reassign_in_t, filter,          0, reassign_filter_fields, "those that fit all of its members, however many"),
    FIELD_END };

static const field_t reassign_error_fields[] = {
    FIELD_STR(reassign_error_t, certificate_id, F_REQUIRED, NULL, "id that was asked for"),
    FIELD_STR(reassign_error_t, error,          F_REQUIRED, NULL, "why nothing was done"),
    FIELD_END };

static const field_t reassigned_fields[] = {
    FIELD_INT    (reassign_out_t, total_matched,    0, NULL, 0, INT64_MAX, "certificates that fit, within the caller's scope"),
    FIELD_INT    (reassign_out_t, total_reassigned, 0, NULL, 0, INT64_MAX, "that were changed"),
    FIELD_INT    (reassign_out_t, total_skipped,    0, NULL, 0, INT64_MAX, "that had this owner and team already"),
    FIELD_INT    (reassign_out_t, total_failed,     0, NULL, 0, INT64_MAX, "ids that name none"),
    FIELD_OBJECTS(reassign_out_t, errors, 0, reassign_error_fields, sizeof(reassign_error_t), "those ids"),
    FIELD_END };
/* clang-format on */

const shape_t shape_certificate_change = SHAPE("CertificateChange", certificate_change_t, certificate_change_fields);
const shape_t shape_reassign = SHAPE("BulkReassign", reassign_in_t, reassign_fields);
const shape_t shape_reassigned = SHAPE("BulkReassigned", reassign_out_t, reassigned_fields);

void
check_text(req_t *r, const char *field, const char *text)
{
    for (; text != NULL && *text != '\0'; text++) {
        if ((unsigned char) *text < 0x20 || *text == 0x7f) {
            check_problem(r, field, "must not contain control characters");
            return;
        }
    }
}

pki_code_t
check_meta(req_t *r, const issue_meta_t *meta, pki_err_t *err)
{
    db_t            *db = r->api->parts.db;
    owner_row_t      owner;
    team_row_t       team;
    renewal_window_t window;

    check_text(r, "environment", meta->environment);
    if (meta->owner_id != NULL) {
        PKI_TRY(check_found(r, "owner_id", owner_find(db, r->a, meta->owner_id, &owner, err), err));
    }
    if (meta->team_id != NULL) {
        PKI_TRY(check_found(r, "team_id", team_find(db, r->a, meta->team_id, &team, err), err));
    }
    if (meta->renewal_policy_id != NULL) {
        PKI_TRY(check_found(r, "renewal_policy_id", renewal_policy_window(db, r->a, meta->renewal_policy_id, &window, err),
                            err));
    }
    return PKI_OK;
}

pki_code_t
certificate_replace(req_t *r, pki_err_t *err)
{
    const certificate_change_t *in = r->in;
    issue_review_t   review = { .managed_id = r->param[0], .actor = r->identity.actor,
                                .meta = { in->owner_id, in->team_id, in->environment, in->renewal_policy_id, NULL } };
    managed_change_t change = { r->param[0], in->name, in->owner_id, in->team_id, in->environment,
                                in->renewal_policy_id, NULL, NULL };
    managed_row_t    there;
    audit_t          audit = audit_of(r, 200);

    PKI_TRY(cert_find(r->api->parts.db, r->a, r->param[0], &there, err));
    check_name(r, in->name);
    PKI_TRY(check_meta(r, &review.meta, err));
    PKI_TRY(check_done(r, err));
    PKI_TRY(fields_print(r->a, certificate_change_fields, "tags", in, &change.tags, err));
    review.meta.tags = change.tags;
    review.profile_id = there.profile_id;
    review.issuer_id = there.issuer_id;
    PKI_TRY(issue_review(r->api->parts.issue, r->a, &review, &change.violations, err));
    PKI_TRY(managed_update(r->api->parts.db, &change, r->if_match, &audit, err));
    audit_kept(r, &audit);
    return row_answer(r, r->param[0], err);
}

pki_code_t
certificate_archive(req_t *r, pki_err_t *err)
{
    audit_t       audit = audit_of(r, 204);
    managed_row_t there;

    PKI_TRY(cert_find(r->api->parts.db, r->a, r->param[0], &there, err));
    PKI_TRY(managed_archive(r->api->parts.db, there.id, r->if_match, &audit, err));
    audit_kept(r, &audit);
    return PKI_OK;
}

/* ---- many at once ---- */

static pki_code_t
reassign_check(req_t *r, const reassign_in_t *in, pki_err_t *err)
{
    const reassign_filter_t *f = &in->filter;
    bool filtered = f->profile_id != NULL || f->issuer_id != NULL || f->owner_id != NULL || f->team_id != NULL
                    || f->environment != NULL;

    PKI_TRY(check_meta(r, &(issue_meta_t){ .owner_id = in->owner_id, .team_id = in->team_id }, err));
    if (in->certificate_ids.count > REASSIGN_MAX) {
        check_problem(r, "certificate_ids", "must have at most %d elements", REASSIGN_MAX);
    }
    if ((in->certificate_ids.count > 0) == filtered) {
        check_problem(r, "certificate_ids", "either these or a filter that is not empty");
    }
    return check_done(r, err);
}

static pki_code_t
reassign_answer(req_t *r, const reassigned_t *done, pki_err_t *err)
{
    reassign_out_t out = { .total_matched = done->matched, .total_reassigned = done->reassigned,
                           .total_skipped = done->skipped, .total_failed = (int64_t) done->missing.count };
    reassign_error_t *errors;

    PKI_TRY(PKI_NEW_N(r->a, done->missing.count + 1, &errors, err));
    for (size_t i = 0; i < done->missing.count; i++) {
        errors[i] = (reassign_error_t){ done->missing.v[i], "there is no certificate with this id" };
    }
    out.errors = (object_list_t){ errors, done->missing.count };
    return answer_struct(r, &out, err);
}

pki_code_t
certificates_reassign(req_t *r, pki_err_t *err)
{
    const reassign_in_t     *in = r->in;
    const reassign_filter_t *f = &in->filter;
    const reassign_t         order = { .owner_id = in->owner_id, .team_id = in->team_id,
                                       .ids = in->certificate_ids.count > 0 ? &in->certificate_ids : NULL,
                                       .profile_id = f->profile_id, .issuer_id = f->issuer_id, .from_owner_id = f->owner_id,
                                       .from_team_id = f->team_id, .environment = f->environment, .scope = &r->scope };
    reassigned_t             done;
    audit_t                  audit;

    PKI_TRY(reassign_check(r, in, err));
    r->resource = in->owner_id;
    audit = audit_of(r, 200);
    PKI_TRY(managed_reassign(r->api->parts.db, r->a, &order, &audit, &done, err));
    audit_kept(r, &audit);
    return reassign_answer(r, &done, err);
}
