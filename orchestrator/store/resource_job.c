/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Jobs and their items as lists.
 */
#include "orchestrator/store/resource.h"


static const char *const statuses[] = { "Pending", "Running", "RetryWait", "Completed", "Failed", "Cancelled", NULL };
static const char *const item_statuses[] = { "Pending", "Applied", "Done", "Skipped", "Failed", NULL };

/* A job about one certificate belongs to whatever that belongs to; a bulk job to what its criteria name. */
#define JOB_CERTIFICATE                                                                                                \
    " LEFT JOIN managed_certificate m ON m.id = j.certificate_id LEFT JOIN issuer i ON i.no = m.issuer_no"

/* clang-format off */
static const list_column_t job_columns[] = {
    { "id",             "j.id",             LIST_TEXT, "identifier" },
    { "type",           "j.type",           LIST_TEXT, "what is to be done" },
    { "status",         "j.status",         LIST_TEXT, "Pending, Running, RetryWait, Completed, Failed or Cancelled" },
    { "certificate_id", "j.certificate_id", LIST_TEXT, "the certificate that it is about; null: those of its items" },
    { "parent_id",      "(SELECT p.id FROM job p WHERE p.no = j.parent_no)", LIST_TEXT, "the bulk job that asked for it" },
    { "params",         "(j.params - 'certificate_ids')", LIST_JSON, "what was asked for" },
    { "requested_by",   "j.requested_by",   LIST_TEXT, "who asked for it" },
    { "attempts",       "j.attempts",       LIST_INT,  "attempts that failed" },
    { "max_attempts",   "j.max_attempts",   LIST_INT,  "attempts after which it has failed" },
    { "total",          "j.total",          LIST_INT,  "items" },
    { "done",           "j.done",           LIST_INT,  "items that are done" },
    { "skipped",        "j.skipped",        LIST_INT,  "items for which there was nothing to do" },
    { "failed",         "j.failed",         LIST_INT,  "items that failed" },
    { "last_error",     "j.last_error",     LIST_TEXT, "why the last attempt failed" },
    { "next_at",        "(CASE WHEN j.completed_at IS NULL THEN j.run_at END)", LIST_TIME, "when it is due; Running: when another worker may take it" },
    { "created_at",     "j.created_at",     LIST_TIME, "when it was asked for" },
    { "started_at",     "j.started_at",     LIST_TIME, "when it was first begun" },
    { "completed_at",   "j.completed_at",   LIST_TIME, "when it was over" },
    END
};
static const list_filter_t job_filters[] = {
    { "status",           "j.status = %s",         LIST_TEXT, statuses, "Pending, Running, RetryWait, Completed, Failed or Cancelled" },
    { "type",             "j.type = %s",           LIST_TEXT, NULL,     "what is to be done" },
    { "certificate_id",   "j.certificate_id = %s", LIST_TEXT, NULL,     "the certificate that it is about" },
    { "parent_id",        "j.parent_no = (SELECT p.no FROM job p WHERE p.id = %s)", LIST_TEXT, NULL, "renewals that this bulk job asked for" },
    { "requested_by",     "j.requested_by = %s",   LIST_TEXT, NULL,     "who asked for it" },
    { "created_after",    "j.created_at > %s",     LIST_TIME, NULL,     "asked for after this time" },
    { "created_before",   "j.created_at < %s",     LIST_TIME, NULL,     "asked for before this time" },
    { "completed_after",  "j.completed_at > %s",   LIST_TIME, NULL,     "over after this time" },
    { "completed_before", "j.completed_at < %s",   LIST_TIME, NULL,     "over before this time" },
    END
};
static const list_sort_t job_sorts[] = {
    { "created", "j.no", "bigint" },
    { "created_at", "j.created_at", "timestamptz" },
    END
};
const list_resource_t list_jobs = {
    .name = "jobs", .from = "job j" JOB_CERTIFICATE, .id = "j.id", .key = "j.no", .key_cast = "bigint",
    .newest_first = true, .version = "j.xmin",
    .scopes = { [SCOPE_ISSUER] = "coalesce(i.id, j.params->>'issuer_id')",
                [SCOPE_PROFILE] = "coalesce(m.profile_id, j.params->>'profile_id')",
                [SCOPE_TEAM] = "coalesce(m.team_id, j.params->>'team_id')",
                [SCOPE_OWNER] = "coalesce(m.owner_id, j.params->>'owner_id')" },
    .columns = job_columns, .filters = job_filters, .sorts = job_sorts,
};

static const list_column_t job_item_columns[] = {
    { "certificate_id", "t.certificate_id", LIST_TEXT, "the certificate" },
    { "status",         "t.status",         LIST_TEXT, "Pending, Applied, Done, Skipped or Failed" },
    { "error",          "t.error",          LIST_TEXT, "why it was skipped, or failed" },
    END
};
static const list_filter_t job_item_filters[] = {
    { "status", "t.status = %s", LIST_TEXT, item_statuses, "Pending, Applied, Done, Skipped or Failed" },
    END
};
static const list_sort_t job_item_sorts[] = {
    { "certificate_id", "t.certificate_id", "text" },
    END
};
const list_resource_t list_job_items = {
    .name = "job items",
    .from = "job j JOIN job_item t ON t.job_no = j.no LEFT JOIN managed_certificate m ON m.id = t.certificate_id"
            " LEFT JOIN issuer i ON i.no = m.issuer_no",
    .id = "t.certificate_id", .key = "t.certificate_id", .key_cast = "text", .parent = "j.id = %s",
    .scopes = { [SCOPE_ISSUER] = "i.id", [SCOPE_PROFILE] = "m.profile_id", [SCOPE_TEAM] = "m.team_id",
                [SCOPE_OWNER] = "m.owner_id" },
    .columns = job_item_columns, .filters = job_item_filters, .sorts = job_item_sorts,
};
/* clang-format on */
