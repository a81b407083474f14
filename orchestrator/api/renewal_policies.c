/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Renewal policies.
 */
#include <stdio.h>

#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/renewal_policy.h"

const shape_t shape_renewal_policy = SHAPE("RenewalPolicyInput", renewal_policy_row_t, renewal_policy_fields);

static bool
threshold_is(const int_list_t *thresholds, const char *days)
{
    char text[32];

    for (size_t i = 0; i < thresholds->count; i++) {
        snprintf(text, sizeof(text), "%lld", (long long) thresholds->v[i]);
        if (strcmp(text, days) == 0) {
            return true;
        }
    }
    return false;
}

/* What the field table cannot say: thresholds fall, and the severities are of thresholds. */
static void
renewal_policy_check(req_t *r, const renewal_policy_row_t *row)
{
    const int_list_t *days = &row->alert_thresholds_days;
    const str_map_t  *map = &row->alert_severity_map;

    check_name(r, row->name);
    for (size_t i = 1; i < days->count; i++) {
        if (days->v[i] >= days->v[i - 1]) {
            check_problem(r, "alert_thresholds_days", "each must be less than the one before it");
            break;
        }
    }
    for (size_t i = 0; i < map->count; i++) {
        if (!threshold_is(days, map->names[i])) {
            check_problem(r, "alert_severity_map", "%.20s is not one of alert_thresholds_days", map->names[i]);
        }
    }
}

pki_code_t
renewal_policy_create(req_t *r, pki_err_t *err)
{
    renewal_policy_row_t *row = r->in;
    audit_t               audit;

    renewal_policy_check(r, row);
    row->id = id_choose(r, "rp", row->id, row->name);
    PKI_TRY(check_done(r, err));
    audit = audit_of(r, 201);
    PKI_TRY(renewal_policy_insert(r->api->parts.db, r->a, row, &audit, err));
    audit_kept(r, &audit);
    PKI_TRY(edge_follow(r, err));
    return row_answer(r, row->id, err);
}

pki_code_t
renewal_policy_replace(req_t *r, pki_err_t *err)
{
    renewal_policy_row_t *row = r->in;
    audit_t               audit = audit_of(r, 200);

    renewal_policy_check(r, row);
    PKI_TRY(check_same_id(r, row->id, err));
    row->id = r->param[0];
    PKI_TRY(renewal_policy_update(r->api->parts.db, r->a, row, r->if_match, &audit, err));
    audit_kept(r, &audit);
    PKI_TRY(edge_follow(r, err));
    return row_answer(r, row->id, err);
}

pki_code_t
renewal_policy_remove(req_t *r, pki_err_t *err)
{
    audit_t audit = audit_of(r, 204);

    PKI_TRY(renewal_policy_delete(r->api->parts.db, r->param[0], r->if_match, &audit, err));
    audit_kept(r, &audit);
    return edge_follow(r, err);
}
