/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Probes, version and figures.  /health says that the process answers; /ready asks every part that serving
 * needs and names what is missing.
 */
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/stats.h"

#define METRICS_MAX (6u << 20)

typedef struct {
    const char *status;
} health_t;

typedef struct {
    const char *name, *text;
    bool        ok;
} check_t;

typedef struct {
    const char   *status;
    object_list_t checks;
} ready_t;

typedef struct {
    const char *name, *version;
} version_t;

/* clang-format off */
static const field_t health_fields[] = {
    FIELD_STR(health_t, status, F_REQUIRED, NULL, "always \"ok\""),
    FIELD_END };

static const field_t check_fields[] = {
    FIELD_STR (check_t, name, F_REQUIRED, NULL, "part that was asked: database, schema, signer, edge, issuance or scheduler"),
    FIELD_BOOL(check_t, ok,   F_REQUIRED, NULL, "whether it is there"),
    FIELD_STR (check_t, text, 0,          NULL, "what is missing"),
    FIELD_END };

static const char *const ready_words[] = { "ready", "not_ready", NULL };

static const field_t ready_fields[] = {
    FIELD_ENUM   (ready_t, status, F_REQUIRED, NULL, ready_words, "whether everything is there"),
    FIELD_OBJECTS(ready_t, checks, F_REQUIRED, check_fields, sizeof(check_t), "every part that was asked"),
    FIELD_END };

static const field_t version_fields[] = {
    FIELD_STR(version_t, name,    F_REQUIRED, NULL, "name of the service"),
    FIELD_STR(version_t, version, F_REQUIRED, NULL, "its version"),
    FIELD_END };
/* clang-format on */

const shape_t shape_health = SHAPE("Health", health_t, health_fields);
const shape_t shape_ready = SHAPE("Ready", ready_t, ready_fields);
const shape_t shape_version = SHAPE("Version", version_t, version_fields);

pki_code_t
health_get(req_t *r, pki_err_t *err)
{
    return answer_struct(r, &(health_t){ .status = "ok" }, err);
}

pki_code_t
version_get(req_t *r, pki_err_t *err)
{
    return answer_struct(r, &(version_t){ .name = "chancery", .version = CHANCERY_VERSION }, err);
}

/* ---- readiness ---- */

/* Everybody may ask: nothing of the inside is told. */
static void
check_code(check_t *out, const char *name, pki_code_t code)
{
    *out = (check_t){ .name = name, .ok = code == PKI_OK, .text = code == PKI_OK ? NULL : pki_code_text(code) };
}

static void
check_fact(check_t *out, const char *name, bool ok, const char *missing)
{
    *out = (check_t){ .name = name, .ok = ok, .text = ok ? NULL : missing };
}

/* The schema can only be judged when the database answers. */
static void
checks_database(req_t *r, check_t *database, check_t *schema)
{
    pki_err_t  err = { 0 };
    pki_code_t code = db_schema_check(r->api->parts.db, &err);

    check_code(database, "database", code == PKI_E_CONFIG ? PKI_OK : code);
    check_fact(schema, "schema", code == PKI_OK,
               code == PKI_E_CONFIG ? "the schema is not the one this version needs: migrate" : "not known");
}

pki_code_t
ready_get(req_t *r, pki_err_t *err)
{
    check_t          check[6];
    ready_t          out = { .status = "ready", .checks = { check, sizeof(check) / sizeof(check[0]) } };
    signer_journal_t journal;
    edge_health_t    edge;
    issue_health_t   issue;
    pki_err_t        why = { 0 };
    pki_code_t       code;

    checks_database(r, &check[0], &check[1]);
    code = signer_journal_info(r->api->parts.signer, &journal, &why);
    check_code(&check[2], "signer", code);
    edge_health(r->api->parts.edge, &edge);
    check_fact(&check[3], "edge", edge.ready, "the edge store is not in step with the database");
    issue_health(r->api->parts.issue, &issue);
    check_fact(&check[4], "issuance", issue.reconciled, "the signer's journal is not reconciled with the database");

    check_fact(&check[5], "scheduler", jobs_alive(r->api->parts.jobs), "nobody has looked for jobs lately");

    for (size_t i = 0; i < out.checks.count; i++) {
        if (!check[i].ok) {
            out.status = "not_ready";
            r->answer.status = 503;
            r->answer.retry_after_s = 1;
        }
    }
    return answer_struct(r, &out, err);
}

/* ---- figures ---- */

typedef struct {
    const char *name, *type, *help;
    double      value;
} figure_t;

static void
figures_print(const figure_t *figures, size_t count, pki_buf_t *out)
{
    for (size_t i = 0; i < count; i++) {
        metric_print(out, figures[i].name, figures[i].type, figures[i].help, figures[i].value);
    }
}
#define FIGURES_PRINT(table, out) figures_print((table), sizeof(table) / sizeof((table)[0]), (out))

static void
issue_print(req_t *r, pki_buf_t *out)
{
    issue_health_t h;

    issue_health(r->api->parts.issue, &h);
    const figure_t figures[] = {
        { "chancery_certificates_issued_total", "counter", "Certificates issued by this process.", (double) h.issued },
        { "chancery_enrolments_repeated_total", "counter", "Requests answered with the certificate of an earlier one.",
          (double) h.repeated },
        { "chancery_enrolments_rejected_total", "counter", "Requests refused by rule.", (double) h.rejected },
        { "chancery_enrolments_failed_total", "counter", "Requests that could not be decided.", (double) h.failed },
        { "chancery_certificates_revoked_total", "counter", "Certificates revoked by this process.", (double) h.revoked },
        { "chancery_orphans_total", "counter", "Signed certificates that reconciliation recorded and revoked.",
          (double) h.orphans },
        { "chancery_issuance_open", "gauge", "1 when the signer's journal agrees with the database.", h.reconciled },
    };

    FIGURES_PRINT(figures, out);
}

static void
edge_print(req_t *r, pki_buf_t *out)
{
    edge_health_t h;

    edge_health(r->api->parts.edge, &h);
    const figure_t figures[] = {
        { "chancery_edge_ready", "gauge", "1 when the edge store is in step with the database.", h.ready },
        { "chancery_edge_synced_timestamp_seconds", "gauge", "Last successful synchronisation of the edge store.",
          (double) h.synced_at },
        { "chancery_edge_statuses", "gauge", "Certificate states in the edge store.", (double) h.statuses },
        { "chancery_edge_changes_applied_total", "counter", "Changes of the feed applied to the edge store.",
          (double) h.changes_applied },
        { "chancery_edge_rebuilds_total", "counter", "Full rebuilds of the edge store.", (double) h.rebuilds },
        { "chancery_crls_built_total", "counter", "CRLs built and published.", (double) h.crls_built },
        { "chancery_crl_failures_total", "counter", "CRLs that could not be built.", (double) h.crl_failures },
        { "chancery_crl_differences_total", "counter", "CRLs of which changes and table told differently.",
          (double) h.crl_differences },
    };

    FIGURES_PRINT(figures, out);
}

static void
process_print(req_t *r, pki_buf_t *out)
{
    signer_stats_t s;
    trail_stats_t  t;
    sealer_stats_t sealed;

    signer_stats(r->api->parts.signer, &s);
    trail_stats(r->api->trail, &t);
    sealer_stats(r->api->sealer, &sealed);
    const figure_t figures[] = {
        { "chancery_signer_signatures_total", "counter", "Signatures received from the signer.", (double) s.signatures },
        { "chancery_signer_journal_syncs_total", "counter", "Syncs of the signer's journal.", (double) s.syncs },
        { "chancery_signer_restarts_total", "counter", "Restarts of the signer that were seen.",
          (double) s.restarts_seen },
        { "chancery_audit_events_written_total", "counter", "Audit rows of calls written.", (double) t.written },
        { "chancery_audit_events_lost_total", "counter", "Audit rows of calls that could not be written.",
          (double) t.lost },
        { "chancery_audit_events_waiting", "gauge", "Audit rows of calls that wait to be written.", (double) t.waiting },
        { "chancery_audit_events_sealed_total", "counter", "Audit events sealed by this process.", (double) sealed.sealed },
        { "chancery_audit_heads_total", "counter", "Heads of the audit's tree signed by this process.", (double) sealed.heads },
        { "chancery_audit_strays", "gauge", "1 when audit events are in the default partition.", sealed.strays },
        { "chancery_http_queue_length", "gauge", "Requests that wait for a worker.", (double) queue_length(r->api->queue) },
    };

    FIGURES_PRINT(figures, out);
}

static void
events_print(req_t *r, pki_buf_t *out)
{
    size_t   listeners;
    uint64_t dropped;

    events_count(r->api->events, &listeners, &dropped);
    metric_print(out, "chancery_event_listeners", "gauge", "Callers that listen to /api/v1/events.", (double) listeners);
    metric_print(out, "chancery_event_listeners_dropped_total", "counter", "Listeners that were too slow.", (double) dropped);
}

/* Counts of the database; they are left out when it does not answer. */
static void
counts_print(req_t *r, pki_buf_t *out)
{
    static const scope_t all = { .all = true };
    stats_certificates_t c = { 0 };
    bool                 up = stats_certificates(r->api->parts.db, &all, &c, NULL) == PKI_OK;
    const struct {
        const char *status;
        int64_t     count;
    } rows[] = {
        { "Active", c.active },   { "Expiring", c.expiring }, { "Expired", c.expired },
        { "RenewalInProgress", c.renewal_in_progress },       { "Failed", c.failed },
        { "Revoked", c.revoked }, { "Archived", c.archived },
    };

    metric_print(out, "chancery_database_up", "gauge", "1 when the database answered.", up);
    if (!up) {
        return;
    }
    pki_buf_put(out, BYTES_LIT("# HELP chancery_managed_certificates Managed certificates by status.\n"
                               "# TYPE chancery_managed_certificates gauge\n"));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        pki_buf_printf(out, "chancery_managed_certificates{status=\"%s\"} %lld\n", rows[i].status,
                       (long long) rows[i].count);
    }
    metric_print(out, "chancery_certificate_versions", "gauge", "Certificates ever issued, by the planner's estimate.",
                 (double) c.versions);
}

pki_code_t
metrics_get(req_t *r, pki_err_t *err)
{
    pki_buf_t out;

    pki_buf_init(&out, r->a, METRICS_MAX);
    metrics_print(r->api->metrics, &out);
    issue_print(r, &out);
    edge_print(r, &out);
    PKI_TRY(crl_metrics_print(r, &out, err));
    process_print(r, &out);
    job_metrics_print(r, &out);
    counts_print(r, &out);
    events_print(r, &out);
    metrics_edge_print(r->api->parts.conf->edge.metrics_socket, r->a, &out);
    PKI_TRY(pki_buf_check(&out, "metrics", err));
    return answer_octets(r, "text/plain; version=0.0.4; charset=utf-8", pki_buf_bytes(&out), err);
}
