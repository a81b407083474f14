/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rows of renewal policies.
 */
#include "orchestrator/store/renewal_policy.h"

#include "orchestrator/store/verb.h"

static const char *const severities[] = { "informational", "warning", "critical", NULL };

/* clang-format off */
const field_t renewal_policy_fields[] = {
    FIELD_STR (renewal_policy_row_t, id,                     0, NULL, "identifier, rp-...; made from the name when absent"),
    FIELD_STR (renewal_policy_row_t, name,                   F_REQUIRED, NULL, "unique name"),
    FIELD_INT (renewal_policy_row_t, renewal_window_days,    0, "30", 1, 3650, "days before its end in which a certificate is renewed; a third of its lifetime at most"),
    FIELD_BOOL(renewal_policy_row_t, auto_renew,             0, "true", "whether it is renewed without being asked"),
    FIELD_INT (renewal_policy_row_t, max_retries,            0, "3", 0, 100, "how often a renewal that failed is tried again"),
    FIELD_INT (renewal_policy_row_t, retry_interval_seconds, 0, "3600", 1, 604800, "seconds before it is tried again"),
    FIELD_INTS(renewal_policy_row_t, alert_thresholds_days,  0, "[30, 14, 7, 0]", 0, 3650, "days before its end at which a certificate is reported"),
    FIELD_MAP (renewal_policy_row_t, alert_severity_map,     0, NULL, 0, severities, "how serious each threshold is; informational where nothing is said"),
    FIELD_END,
};
/* clang-format on */

static pki_code_t
window_read(const db_rows_t *r, size_t row, pki_arena_t *a, void *out, pki_err_t *err)
{
    (void) a;
    (void) err;
    *(renewal_window_t *) out = (renewal_window_t){
        .id = db_text(r, row, "id"),
        .renewal_window_days = db_int(r, row, "renewal_window_days"),
    };
    return PKI_OK;
}

pki_code_t
renewal_policy_windows(db_t *db, pki_arena_t *a, renewal_window_t **out, size_t *count, pki_err_t *err)
{
    return verb_list(db, a, Q_renewal_policy_windows, DB_PARAMS(DB_T(NULL)), window_read, sizeof(**out), (void **) out,
                     count, err);
}

pki_code_t
renewal_policy_window(db_t *db, pki_arena_t *a, const char *id, renewal_window_t *out, pki_err_t *err)
{
    return verb_find(db, a, Q_renewal_policy_windows, DB_PARAMS(DB_T(id)), window_read, out, "renewal policy", id, err);
}

/* Insert and update have the same parameters.  Issuance keeps the windows, hence the announcement. */
static pki_code_t
policy_write(db_t *db, pki_arena_t *a, db_query_t q, const renewal_policy_row_t *p, const char *version,
             const audit_t *audit, pki_err_t *err)
{
    const char *thresholds, *severity;

    PKI_TRY(fields_print(a, renewal_policy_fields, "alert_thresholds_days", p, &thresholds, err));
    PKI_TRY(fields_print(a, renewal_policy_fields, "alert_severity_map", p, &severity, err));

    const db_param_t params[] = {
        DB_T(p->id), DB_T(p->name), DB_I(p->renewal_window_days), DB_F(p->auto_renew), DB_I(p->max_retries),
        DB_I(p->retry_interval_seconds), DB_T(thresholds), DB_T(severity),
    };
    const verb_change_t v = {
        .q = q, .params = params, .count = sizeof(params) / sizeof(params[0]), .what = "renewal policy", .id = p->id,
        .none = PKI_E_NOT_FOUND, .announce = true, .table = "renewal_policy", .version = version, .audit = audit,
    };

    return verb_change(db, &v, err);
}

pki_code_t
renewal_policy_insert(db_t *db, pki_arena_t *a, const renewal_policy_row_t *in, const audit_t *audit, pki_err_t *err)
{
    return policy_write(db, a, Q_renewal_policy_insert, in, NULL, audit, err);
}

pki_code_t
renewal_policy_update(db_t *db, pki_arena_t *a, const renewal_policy_row_t *in, const char *version,
                      const audit_t *audit, pki_err_t *err)
{
    return policy_write(db, a, Q_renewal_policy_update, in, version, audit, err);
}

pki_code_t
renewal_policy_delete(db_t *db, const char *id, const char *version, const audit_t *audit, pki_err_t *err)
{
    const db_param_t    params[] = { DB_T(id) };
    const verb_change_t v = {
        .q = Q_renewal_policy_delete, .params = params, .count = 1, .what = "renewal policy", .id = id,
        .none = PKI_E_NOT_FOUND, .foreign = PKI_E_CONFLICT, .announce = true, .table = "renewal_policy",
        .version = version, .audit = audit,
    };

    return verb_remove(db, &v, Q_renewal_policy_uses, err);
}
