/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What can be listed of teams, owners and policies.  Sort keys are never null.
 */
#include "orchestrator/store/resource.h"

static const char *const severities[] = { "Warning", "Error", "Critical", NULL };

/* clang-format off */
static const list_column_t team_columns[] = {
    { "id",          "t.id",          LIST_TEXT, "identifier" },
    { "name",        "t.name",        LIST_TEXT, "unique name" },
    { "description", "t.description", LIST_TEXT, "what it is" },
    { "created_at",  "t.created_at",  LIST_TIME, "when it was made" },
    { "updated_at",  "t.updated_at",  LIST_TIME, "when it was last changed" },
    END
};
static const list_filter_t team_filters[] = {
    { "name", "t.name = %s", LIST_TEXT, NULL, "exact name" },
    END
};
static const list_sort_t team_sorts[] = {
    { "name", "t.name", "text" },
    { "created_at", "t.created_at", "timestamptz" },
    END
};
const list_resource_t list_teams = {
    .name = "teams", .from = "team t", .id = "t.id", .key = "t.id", .key_cast = "text", .version = "t.xmin",
    .scopes = { [SCOPE_TEAM] = "t.id" },
    .columns = team_columns, .filters = team_filters, .sorts = team_sorts,
};

static const list_column_t owner_columns[] = {
    { "id",         "o.id",         LIST_TEXT, "identifier" },
    { "name",       "o.name",       LIST_TEXT, "unique name" },
    { "email",      "o.email",      LIST_TEXT, "mail address" },
    { "team_id",    "o.team_id",    LIST_TEXT, "team that the owner is in" },
    { "created_at", "o.created_at", LIST_TIME, "when it was made" },
    { "updated_at", "o.updated_at", LIST_TIME, "when it was last changed" },
    END
};
static const list_filter_t owner_filters[] = {
    { "name",    "o.name = %s",    LIST_TEXT, NULL, "exact name" },
    { "email",   "o.email = %s",   LIST_TEXT, NULL, "exact mail address" },
    { "team_id", "o.team_id = %s", LIST_TEXT, NULL, "team" },
    END
};
static const list_sort_t owner_sorts[] = {
    { "name", "o.name", "text" },
    { "created_at", "o.created_at", "timestamptz" },
    END
};
const list_resource_t list_owners = {
    .name = "owners", .from = "owner o", .id = "o.id", .key = "o.id", .key_cast = "text", .version = "o.xmin",
    .scopes = { [SCOPE_TEAM] = "o.team_id", [SCOPE_OWNER] = "o.id" },
    .columns = owner_columns, .filters = owner_filters, .sorts = owner_sorts,
};

static const list_column_t renewal_policy_columns[] = {
    { "id",                     "p.id",                     LIST_TEXT, "identifier" },
    { "name",                   "p.name",                   LIST_TEXT, "unique name" },
    { "renewal_window_days",    "p.renewal_window_days",    LIST_INT,  "days before its end in which a certificate is renewed" },
    { "auto_renew",             "p.auto_renew",             LIST_BOOL, "whether it is renewed without being asked" },
    { "max_retries",            "p.max_retries",            LIST_INT,  "how often a renewal that failed is tried again" },
    { "retry_interval_seconds", "p.retry_interval_seconds", LIST_INT,  "seconds before it is tried again" },
    { "alert_thresholds_days",  "to_jsonb(p.alert_thresholds_days)", LIST_JSON, "days before its end at which a certificate is reported" },
    { "alert_severity_map",     "p.alert_severity_map",     LIST_JSON, "how serious each threshold is" },
    { "created_at",             "p.created_at",             LIST_TIME, "when it was made" },
    { "updated_at",             "p.updated_at",             LIST_TIME, "when it was last changed" },
    END
};
static const list_filter_t renewal_policy_filters[] = {
    { "name",       "p.name = %s",       LIST_TEXT, NULL, "exact name" },
    { "auto_renew", "p.auto_renew = %s", LIST_BOOL, NULL, "true or false" },
    END
};
static const list_sort_t renewal_policy_sorts[] = {
    { "name", "p.name", "text" },
    { "created_at", "p.created_at", "timestamptz" },
    END
};
const list_resource_t list_renewal_policies = {
    .name = "renewal policies", .from = "renewal_policy p", .id = "p.id", .key = "p.id", .key_cast = "text",
    .version = "p.xmin",
    .columns = renewal_policy_columns, .filters = renewal_policy_filters, .sorts = renewal_policy_sorts,
};

static const list_column_t policy_columns[] = {
    { "id",         "p.id",         LIST_TEXT, "identifier" },
    { "name",       "p.name",       LIST_TEXT, "unique name" },
    { "type",       "p.type",       LIST_TEXT, "what it looks at" },
    { "config",     "p.config",     LIST_JSON, "what it asks for" },
    { "severity",   "p.severity",   LIST_TEXT, "Warning: written down; Error, Critical: refused, too" },
    { "enabled",    "p.enabled",    LIST_BOOL, "whether certificates are held against it" },
    { "created_at", "p.created_at", LIST_TIME, "when it was made" },
    { "updated_at", "p.updated_at", LIST_TIME, "when it was last changed" },
    END
};
static const list_filter_t policy_filters[] = {
    { "name",     "p.name = %s",     LIST_TEXT, NULL,       "exact name" },
    { "type",     "p.type = %s",     LIST_TEXT, NULL,       "what it looks at" },
    { "severity", "p.severity = %s", LIST_TEXT, severities, "Warning, Error or Critical" },
    { "enabled",  "p.enabled = %s",  LIST_BOOL, NULL,       "true or false" },
    END
};
static const list_sort_t policy_sorts[] = {
    { "name", "p.name", "text" },
    { "created_at", "p.created_at", "timestamptz" },
    END
};
const list_resource_t list_policies = {
    .name = "policies", .from = "policy p", .id = "p.id", .key = "p.id", .key_cast = "text", .version = "p.xmin",
    .columns = policy_columns, .filters = policy_filters, .sorts = policy_sorts,
};

static const list_column_t violation_columns[] = {
    { "id",             "v.id",             LIST_INT,  "number of the violation" },
    { "policy_id",      "v.policy_id",      LIST_TEXT, "policy that was violated" },
    { "certificate_id", "v.certificate_id", LIST_TEXT, "managed certificate, which a refusal may have kept from being" },
    { "message",        "v.message",        LIST_TEXT, "what is wrong with it" },
    { "severity",       "v.severity",       LIST_TEXT, "that the policy had" },
    { "refused",        "v.refused",        LIST_BOOL, "whether it was refused" },
    { "actor",          "v.actor",          LIST_TEXT, "who asked for it" },
    { "at",             "v.at",             LIST_TIME, "when" },
    END
};
static const list_filter_t violation_filters[] = {
    { "certificate_id", "v.certificate_id = %s", LIST_TEXT, NULL,       "managed certificate" },
    { "severity",       "v.severity = %s",       LIST_TEXT, severities, "Warning, Error or Critical" },
    { "refused",        "v.refused = %s",        LIST_BOOL, NULL,       "true or false" },
    { "from",           "v.at >= %s",            LIST_TIME, NULL,       "not before this time" },
    { "to",             "v.at < %s",             LIST_TIME, NULL,       "before this time" },
    END
};
static const list_sort_t violation_sorts[] = {
    { "id", "v.id", "bigint" },
    END
};
const list_resource_t list_violations = {
    .name = "violations", .from = "policy_violation v", .id = "v.id::text", .key = "v.id", .key_cast = "bigint",
    .newest_first = true, .parent = "v.policy_id = %s",
    .columns = violation_columns, .filters = violation_filters, .sorts = violation_sorts,
};
/* clang-format on */
