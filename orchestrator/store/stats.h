/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Figures over many certificates: exact counts, never a sample.  Certificates outside of the scope are not counted.
 */
#ifndef ORCHESTRATOR_STORE_STATS_H
#define ORCHESTRATOR_STORE_STATS_H

#include "orchestrator/store/db.h"
#include "orchestrator/store/scope.h"

/* Managed certificates by what is said of them; each is in one of these. */
typedef struct {
    int64_t active, expiring, expired, renewal_in_progress, failed, revoked, archived;
    int64_t total;
    int64_t versions; /* ever issued, by the planner's estimate */
    int64_t as_of;
} stats_certificates_t;
#define STATS_EXPIRING_DAYS 30 /* "expiring": ends within */
pki_code_t stats_certificates(db_t *db, const scope_t *scope, stats_certificates_t *out, pki_err_t *err);

/* Rows whose columns a field table names; as many as the question has. */
typedef enum {
    STATS_TIMELINE,          /* date, count: good certificates by the day on which they end; days from today */
    STATS_JOBS,              /* date, created, completed, failed, cancelled: the last days, with today */
    STATS_ISSUED,            /* date, issued, renewed: the same */
    STATS_EXPIRY,            /* by, id, name, informational, warning, critical, expired */
    STATS_RISK,              /* risk, count */
    STATS_COMPLIANCE,        /* rule, fulfilled, violated */
    STATS_VIOLATIONS,        /* policy_id, name, severity, warned, refused: the last days */
} stats_question_t;
pki_code_t stats_rows(db_t *db, pki_arena_t *a, stats_question_t question, const scope_t *scope, int64_t days,
                      const field_t *fields, size_t size, object_list_t *out, pki_err_t *err);

#endif
