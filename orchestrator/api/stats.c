/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Figures for people: statistics, reports, and the metrics in JSON.  All are counted when they are asked for, over all that
 * the caller may see.
 */
#include "orchestrator/store/stats.h"

#include "core/clock.h"
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"

#define DAYS_MAX 366

typedef struct {
    int64_t days;
} days_query_t;

typedef struct {
    int64_t total, active, expiring, expired, renewal_in_progress, failed, revoked, archived;
    int64_t jobs_open, as_of;
} summary_t;

typedef struct {
    const char *status;
    int64_t     count;
} status_count_t;

typedef struct {
    object_list_t statuses;
    int64_t       total, as_of;
} by_status_t;

typedef struct {
    const char *date;
    int64_t     count, created, completed, failed, cancelled, issued, renewed;
} day_t;

typedef struct {
    object_list_t days;
    int64_t       as_of;
} days_t;

typedef struct {
    const char *by, *id, *name;
    int64_t     informational, warning, critical, expired;
} expiry_row_t;

typedef struct {
    const char *risk;
    int64_t     count;
} risk_row_t;

typedef struct {
    const char *rule;
    int64_t     fulfilled, violated;
} rule_row_t;

typedef struct {
    const char *policy_id, *name, *severity;
    int64_t     warned, refused;
} violation_row_t;

typedef struct {
    object_list_t rows, violations;
    int64_t       as_of;
} report_t;

typedef struct {
    int64_t certificate_total, certificate_active, certificate_expiring_soon, certificate_expired, certificate_revoked;
    int64_t job_pending, job_running;
} gauges_t;

typedef struct {
    int64_t job_completed_total, job_failed_total, issuance_total, issuance_failures_total, revocation_total;
} counters_t;

typedef struct {
    gauges_t   gauges;
    counters_t counters;
    int64_t    uptime_seconds, as_of;
} metrics_json_t;

/* clang-format off */
#define COUNT(s, m, text) FIELD_INT(s, m, F_REQUIRED, NULL, 0, INT64_MAX, text)
#define AS_OF(s)          FIELD_TIME(s, as_of, F_REQUIRED, "when it was counted")

static const field_t days_fields[] = {
    FIELD_INT(days_query_t, days, 0, "30", 1, DAYS_MAX, "days that are told of"),
    FIELD_END };

static const field_t summary_fields[] = {
    COUNT(summary_t, total,               "managed certificates"),
    COUNT(summary_t, active,              "good, and for more than 30 days"),
    COUNT(summary_t, expiring,            "good, and ending within 30 days"),
    COUNT(summary_t, expired,             "ended, and not renewed"),
    COUNT(summary_t, renewal_in_progress, "good, with an open renewal"),
    COUNT(summary_t, failed,              "good, and the last renewal failed"),
    COUNT(summary_t, revoked,             "revoked or on hold"),
    COUNT(summary_t, archived,            "archived"),
    COUNT(summary_t, jobs_open,           "jobs that are not over"),
    AS_OF(summary_t),
    FIELD_END };

static const field_t status_count_fields[] = {
    FIELD_STR(status_count_t, status, F_REQUIRED, NULL, "status"),
    COUNT(status_count_t, count, "certificates that have it"),
    FIELD_END };

static const field_t by_status_fields[] = {
    FIELD_OBJECTS(by_status_t, statuses, F_REQUIRED, status_count_fields, sizeof(status_count_t), "every status"),
    COUNT(by_status_t, total, "managed certificates"),
    AS_OF(by_status_t),
    FIELD_END };

#define DATE FIELD_STR(day_t, date, F_REQUIRED, NULL, "day in UTC")
static const field_t timeline_day_fields[] = {
    DATE, COUNT(day_t, count, "good certificates that end on it"), FIELD_END };
static const field_t job_day_fields[] = {
    DATE, COUNT(day_t, created, "jobs asked for"), COUNT(day_t, completed, "completed"), COUNT(day_t, failed, "failed"),
    COUNT(day_t, cancelled, "cancelled"), FIELD_END };
static const field_t issued_day_fields[] = {
    DATE, COUNT(day_t, issued, "certificates issued"), COUNT(day_t, renewed, "of these, versions after the first"), FIELD_END };

#define DAYS(table) { FIELD_OBJECTS(days_t, days, F_REQUIRED, table, sizeof(day_t), "each day, also without any"), AS_OF(days_t), FIELD_END }
static const field_t timeline_fields[] = DAYS(timeline_day_fields);
static const field_t job_trend_fields[] = DAYS(job_day_fields);
static const field_t issuance_fields[] = DAYS(issued_day_fields);

static const field_t expiry_row_fields[] = {
    FIELD_STR(expiry_row_t, by,   F_REQUIRED, NULL, "owner, team or issuer"),
    FIELD_STR(expiry_row_t, id,   0,          NULL, "which; absent: those that have none"),
    FIELD_STR(expiry_row_t, name, 0,          NULL, "its name"),
    COUNT(expiry_row_t, informational, "certificates that end soon, by the thresholds of their renewal policies"),
    COUNT(expiry_row_t, warning,       "sooner"),
    COUNT(expiry_row_t, critical,      "very soon"),
    COUNT(expiry_row_t, expired,       "ended in the last days, and not renewed"),
    FIELD_END };

static const field_t risk_row_fields[] = {
    FIELD_STR(risk_row_t, risk, F_REQUIRED, NULL, "what it is"),
    COUNT(risk_row_t, count, "how many there are"),
    FIELD_END };

static const field_t rule_row_fields[] = {
    FIELD_STR(rule_row_t, rule, F_REQUIRED, NULL, "what is asked for"),
    COUNT(rule_row_t, fulfilled, "good certificates that have it"),
    COUNT(rule_row_t, violated,  "that have not"),
    FIELD_END };

static const field_t violation_row_fields[] = {
    FIELD_STR(violation_row_t, policy_id, F_REQUIRED, NULL, "policy"),
    FIELD_STR(violation_row_t, name,      F_REQUIRED, NULL, "its name"),
    FIELD_STR(violation_row_t, severity,  F_REQUIRED, NULL, "its severity"),
    COUNT(violation_row_t, warned,  "let through in these days"),
    COUNT(violation_row_t, refused, "refused in these days"),
    FIELD_END };

#define ROWS(table, type, text) FIELD_OBJECTS(report_t, rows, F_REQUIRED, table, sizeof(type), text)
static const field_t expiry_fields[] = { ROWS(expiry_row_fields, expiry_row_t, "by owner, team and issuer; each certificate is under all three"), AS_OF(report_t), FIELD_END };
static const field_t risk_fields[] = { ROWS(risk_row_fields, risk_row_t, "each risk that is looked for, also without any"), AS_OF(report_t), FIELD_END };
static const field_t compliance_fields[] = {
    ROWS(rule_row_fields, rule_row_t, "each rule"),
    FIELD_OBJECTS(report_t, violations, F_REQUIRED, violation_row_fields, sizeof(violation_row_t), "each policy"),
    AS_OF(report_t),
    FIELD_END };

static const field_t gauges_fields[] = {
    COUNT(gauges_t, certificate_total,         "managed certificates"),
    COUNT(gauges_t, certificate_active,        "good ones"),
    COUNT(gauges_t, certificate_expiring_soon, "good ones that end within 30 days"),
    COUNT(gauges_t, certificate_expired,       "ended, and not renewed"),
    COUNT(gauges_t, certificate_revoked,       "revoked or on hold"),
    COUNT(gauges_t, job_pending,               "jobs that wait"),
    COUNT(gauges_t, job_running,               "jobs that run"),
    FIELD_END };

static const field_t counters_fields[] = {
    COUNT(counters_t, job_completed_total,     "jobs that completed, of those that are kept"),
    COUNT(counters_t, job_failed_total,        "jobs that failed, of those that are kept"),
    COUNT(counters_t, issuance_total,          "certificates issued by this process"),
    COUNT(counters_t, issuance_failures_total, "requests that it could not decide"),
    COUNT(counters_t, revocation_total,        "certificates revoked by it"),
    FIELD_END };

static const field_t metrics_json_fields[] = {
    FIELD_OBJECT(metrics_json_t, gauges,   F_REQUIRED, gauges_fields,   "what there is now"),
    FIELD_OBJECT(metrics_json_t, counters, F_REQUIRED, counters_fields, "what only grows"),
    COUNT(metrics_json_t, uptime_seconds, "since this process was started"),
    AS_OF(metrics_json_t),
    FIELD_END };
/* clang-format on */

const shape_t shape_days = SHAPE("DaysQuery", days_query_t, days_fields);
const shape_t shape_summary = SHAPE("Summary", summary_t, summary_fields);
const shape_t shape_by_status = SHAPE("CertificatesByStatus", by_status_t, by_status_fields);
const shape_t shape_timeline = SHAPE("ExpirationTimeline", days_t, timeline_fields);
const shape_t shape_job_trends = SHAPE("JobTrends", days_t, job_trend_fields);
const shape_t shape_issuance = SHAPE("IssuanceRate", days_t, issuance_fields);
const shape_t shape_expiry = SHAPE("ExpiryReport", report_t, expiry_fields);
const shape_t shape_risk = SHAPE("RiskReport", report_t, risk_fields);
const shape_t shape_compliance = SHAPE("ComplianceReport", report_t, compliance_fields);
const shape_t shape_metrics_json = SHAPE("Metrics", metrics_json_t, metrics_json_fields);

/* ---- statistics ---- */

/* Jobs in one of these states; NULL ends them. */
static int64_t
jobs_in(const job_count_t *counts, size_t count, const job_state_t *states, size_t state_count)
{
    int64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        for (size_t s = 0; s < state_count; s++) {
            sum += strcmp(counts[i].status, job_state_names[states[s]]) == 0 ? counts[i].count : 0;
        }
    }
    return sum;
}
#define JOBS_IN(counts, count, ...) \
    jobs_in((counts), (count), (const job_state_t[]){ __VA_ARGS__ }, \
            sizeof((const job_state_t[]){ __VA_ARGS__ }) / sizeof(job_state_t))

pki_code_t
stats_summary(req_t *r, pki_err_t *err)
{
    stats_certificates_t c;
    job_count_t         *jobs;
    size_t               count;
    summary_t            out;

    PKI_TRY(stats_certificates(r->api->parts.db, &r->scope, &c, err));
    PKI_TRY(job_counts(r->api->parts.db, r->a, &r->scope, &jobs, &count, err));
    out = (summary_t){ .total = c.total, .active = c.active, .expiring = c.expiring, .expired = c.expired,
                       .renewal_in_progress = c.renewal_in_progress, .failed = c.failed, .revoked = c.revoked,
                       .archived = c.archived, .as_of = c.as_of,
                       .jobs_open = JOBS_IN(jobs, count, JOB_PENDING, JOB_RUNNING, JOB_RETRY_WAIT) };
    return answer_struct(r, &out, err);
}

pki_code_t
stats_by_status(req_t *r, pki_err_t *err)
{
    stats_certificates_t c;
    by_status_t          out;

    PKI_TRY(stats_certificates(r->api->parts.db, &r->scope, &c, err));

    status_count_t rows[] = {
        { "Active", c.active },   { "Expiring", c.expiring }, { "Expired", c.expired },
        { "RenewalInProgress", c.renewal_in_progress },       { "Failed", c.failed },
        { "Revoked", c.revoked }, { "Archived", c.archived },
    };

    out = (by_status_t){ .statuses = { rows, sizeof(rows) / sizeof(rows[0]) }, .total = c.total, .as_of = c.as_of };
    return answer_struct(r, &out, err);
}

static pki_code_t
days_serve(req_t *r, stats_question_t question, const field_t *fields, pki_err_t *err)
{
    const days_query_t *in = r->query;
    days_t              out = { .as_of = clock_now() };

    PKI_TRY(stats_rows(r->api->parts.db, r->a, question, &r->scope, in->days, fields, sizeof(day_t), &out.days, err));
    return answer_struct(r, &out, err);
}

pki_code_t
stats_timeline(req_t *r, pki_err_t *err)
{
    return days_serve(r, STATS_TIMELINE, timeline_day_fields, err);
}

pki_code_t
stats_job_trends(req_t *r, pki_err_t *err)
{
    return days_serve(r, STATS_JOBS, job_day_fields, err);
}

pki_code_t
stats_issuance(req_t *r, pki_err_t *err)
{
    return days_serve(r, STATS_ISSUED, issued_day_fields, err);
}

/* ---- reports ---- */

static pki_code_t
report_rows(req_t *r, stats_question_t question, int64_t days, const field_t *fields, size_t size, object_list_t *out,
            pki_err_t *err)
{
    return stats_rows(r->api->parts.db, r->a, question, &r->scope, days, fields, size, out, err);
}

static pki_code_t
report_serve(req_t *r, stats_question_t question, const field_t *fields, size_t size, pki_err_t *err)
{
    const days_query_t *in = r->query;
    report_t            out = { .as_of = clock_now() };

    PKI_TRY(report_rows(r, question, in->days, fields, size, &out.rows, err));
    return answer_struct(r, &out, err);
}

pki_code_t
report_expiry(req_t *r, pki_err_t *err)
{
    return report_serve(r, STATS_EXPIRY, expiry_row_fields, sizeof(expiry_row_t), err);
}

pki_code_t
report_risk(req_t *r, pki_err_t *err)
{
    return report_serve(r, STATS_RISK, risk_row_fields, sizeof(risk_row_t), err);
}

pki_code_t
report_compliance(req_t *r, pki_err_t *err)
{
    const days_query_t *in = r->query;
    report_t            out = { .as_of = clock_now() };

    PKI_TRY(report_rows(r, STATS_COMPLIANCE, 0, rule_row_fields, sizeof(rule_row_t), &out.rows, err));
    PKI_TRY(report_rows(r, STATS_VIOLATIONS, in->days, violation_row_fields, sizeof(violation_row_t), &out.violations, err));
    return answer_struct(r, &out, err);
}

/* ---- metrics ---- */

pki_code_t
metrics_json_get(req_t *r, pki_err_t *err)
{
    stats_certificates_t c;
    issue_health_t       issue;
    job_count_t         *jobs;
    size_t               count;
    metrics_json_t       out;

    PKI_TRY(stats_certificates(r->api->parts.db, &r->scope, &c, err));
    PKI_TRY(job_counts(r->api->parts.db, r->a, &r->scope, &jobs, &count, err));
    issue_health(r->api->parts.issue, &issue);
    out = (metrics_json_t){
        .gauges = { .certificate_total = c.total,
                    .certificate_active = c.active + c.expiring + c.renewal_in_progress + c.failed,
                    .certificate_expiring_soon = c.expiring, .certificate_expired = c.expired,
                    .certificate_revoked = c.revoked, .job_pending = JOBS_IN(jobs, count, JOB_PENDING, JOB_RETRY_WAIT),
                    .job_running = JOBS_IN(jobs, count, JOB_RUNNING) },
        .counters = { .job_completed_total = JOBS_IN(jobs, count, JOB_COMPLETED),
                      .job_failed_total = JOBS_IN(jobs, count, JOB_FAILED), .issuance_total = (int64_t) issue.issued,
                      .issuance_failures_total = (int64_t) issue.failed, .revocation_total = (int64_t) issue.revoked },
        .uptime_seconds = (clock_mono_us() - r->api->opened_us) / 1000000,
        .as_of = c.as_of,
    };
    return answer_struct(r, &out, err);
}

/* ---- jobs, in Prometheus' format ---- */

static void
durations_print(req_t *r, const job_type_t *type, pki_buf_t *out)
{
    job_figures_t f;
    uint64_t      total = 0;

    jobs_figures(r->api->parts.jobs, type, &f);
    for (size_t i = 0; i <= JOB_BUCKETS; i++) {
        total += f.bucket[i];
        if (i < JOB_BUCKETS) {
            pki_buf_printf(out, "chancery_job_duration_seconds_bucket{type=\"%s\",le=\"%g\"} %llu\n", type->name,
                           (double) job_buckets_ms[i] / 1000, (unsigned long long) total);
        }
    }
    pki_buf_printf(out,
                   "chancery_job_duration_seconds_bucket{type=\"%s\",le=\"+Inf\"} %llu\n"
                   "chancery_job_duration_seconds_sum{type=\"%s\"} %.6f\n"
                   "chancery_job_duration_seconds_count{type=\"%s\"} %llu\n",
                   type->name, (unsigned long long) total, type->name, (double) f.sum_us / 1e6, type->name,
                   (unsigned long long) total);
}

static void
ends_print(req_t *r, const job_type_t *type, pki_buf_t *out)
{
    job_figures_t f;

    jobs_figures(r->api->parts.jobs, type, &f);
    const struct {
        const char *outcome;
        uint64_t    count;
    } ends[] = { { "completed", f.completed }, { "failed", f.failed }, { "waits", f.retried }, { "lost", f.lost } };

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        pki_buf_printf(out, "chancery_job_runs_total{type=\"%s\",outcome=\"%s\"} %llu\n", type->name, ends[i].outcome,
                       (unsigned long long) ends[i].count);
    }
}

void
job_metrics_print(req_t *r, pki_buf_t *out)
{
    static const scope_t all = { .all = true };
    const job_type_t    *type;
    job_count_t         *jobs;
    size_t               count;

    pki_buf_put(out, BYTES_LIT("# HELP chancery_job_duration_seconds Time that one run of a job took.\n"
                               "# TYPE chancery_job_duration_seconds histogram\n"));
    for (size_t i = 0; (type = job_type_at(i)) != NULL; i++) {
        durations_print(r, type, out);
    }
    pki_buf_put(out, BYTES_LIT("# HELP chancery_job_runs_total Runs of jobs in this process, by how they ended.\n"
                               "# TYPE chancery_job_runs_total counter\n"));
    for (size_t i = 0; (type = job_type_at(i)) != NULL; i++) {
        ends_print(r, type, out);
    }
    metric_print(out, "chancery_jobs_due", "gauge", "Jobs that are due and that no worker has yet.",
                 (double) jobs_backlog(r->api->parts.jobs));
    if (job_counts(r->api->parts.db, r->a, &all, &jobs, &count, NULL) != PKI_OK) {
        return;
    }
    pki_buf_put(out, BYTES_LIT("# HELP chancery_jobs Jobs by type and status.\n# TYPE chancery_jobs gauge\n"));
    for (size_t i = 0; i < count; i++) {
        pki_buf_printf(out, "chancery_jobs{type=\"%s\",status=\"%s\"} %lld\n", jobs[i].type, jobs[i].status,
                       (long long) jobs[i].count);
    }
}
