/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Renewal policies: when a certificate is due, how often its renewal is tried, who hears of its end and how loudly.
 * renewal_policy_fields is the body of the API, too.
 */
#ifndef ORCHESTRATOR_STORE_RENEWAL_POLICY_H
#define ORCHESTRATOR_STORE_RENEWAL_POLICY_H

#include "orchestrator/store/audit.h"

typedef struct {
    const char *id, *name;
    int64_t     renewal_window_days;
    bool        auto_renew;
    int64_t     max_retries, retry_interval_seconds;
    int_list_t  alert_thresholds_days; /* falling */
    str_map_t   alert_severity_map;    /* of each threshold: "informational", "warning", "critical" */
} renewal_policy_row_t;

extern const field_t renewal_policy_fields[];

/* What issuance asks of them. */
typedef struct {
    const char *id;
    int64_t     renewal_window_days;
} renewal_window_t;
pki_code_t renewal_policy_windows(db_t *db, pki_arena_t *a, renewal_window_t **out, size_t *count, pki_err_t *err);
pki_code_t renewal_policy_window(db_t *db, pki_arena_t *a, const char *id, renewal_window_t *out, pki_err_t *err);

/* CONFLICT when id or name is taken; PRECONDITION when version (NULL: any) is not the row's. */
pki_code_t renewal_policy_insert(db_t *db, pki_arena_t *a, const renewal_policy_row_t *in, const audit_t *audit,
                                 pki_err_t *err);
pki_code_t renewal_policy_update(db_t *db, pki_arena_t *a, const renewal_policy_row_t *in, const char *version,
                                 const audit_t *audit, pki_err_t *err);

/* CONFLICT, with how many, while certificates or EST labels refer to it. */
pki_code_t renewal_policy_delete(db_t *db, const char *id, const char *version, const audit_t *audit, pki_err_t *err);

#endif
