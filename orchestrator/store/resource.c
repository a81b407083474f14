/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What can be listed beside certificates: for each resource its columns, filters and sort keys.
 */
#include "orchestrator/store/resource.h"

static const char *const issuer_sources[] = { "database", "file", NULL };
/* The grants of an actor that hold now. */
#define ACTOR_ROLES(id)                                                                                              \
    "(SELECT coalesce(jsonb_agg(jsonb_build_object('role_id', g.role_id, 'scope_type', g.scope_type, 'scope_id', "   \
    "nullif(g.scope_id, ''), 'granted_by', g.granted_by, 'expires_at', " RFC3339("g.expires_at") ") "                \
    "ORDER BY g.role_id, g.scope_type, g.scope_id), '[]') FROM role_grant g "                                        \
    "WHERE g.actor_id = " id " AND (g.expires_at IS NULL OR g.expires_at > now()))"
#define ACTOR_ROLES_HELP "its roles: role_id, scope_type, scope_id, granted_by, expires_at"

#define ISSUER_GENERATIONS                                                                                   \
    "(SELECT jsonb_agg(jsonb_build_object('generation', g.generation, 'active', g.active, 'subject', g.subject, "  \
    "'key_kind', g.key_kind, 'serial', encode(g.serial, 'hex'), 'not_before', " RFC3339("g.not_before")      \
    ", 'not_after', " RFC3339("g.not_after") ", 'crl_shards', g.crl_shards, 'retired_at', " RFC3339("g.retired_at") \
    ", 'revoked_at', " RFC3339("g.revoked_at") ", 'revocation_reason', " REASON_NAME("g.revocation_reason")  \
    ") ORDER BY g.generation DESC) FROM ca_certificate g WHERE g.issuer_no = i.no AND g.position = 0)"

/* clang-format off */
static const list_column_t issuer_columns[] = {
    { "id",         "i.id",         LIST_TEXT, "identifier" },
    { "name",       "i.name",       LIST_TEXT, "unique name" },
    { "type",       "i.type",       LIST_TEXT, "kind of issuer" },
    { "enabled",    "i.enabled",    LIST_BOOL, "whether it issues" },
    { "subject",    "c.subject",    LIST_TEXT, "subject of the issuing CA" },
    { "key_kind",   "c.key_kind",   LIST_TEXT, "kind of its key" },
    { "serial",     "c.serial",     LIST_HEX,  "serial number of its certificate" },
    { "not_before", "c.not_before", LIST_TIME, "its certificate is valid from" },
    { "not_after",  "c.not_after",  LIST_TIME, "its certificate is valid to" },
    { "generation", "c.generation", LIST_INT,  "generation of the CA that issues; every re-key makes another" },
    { "generations", ISSUER_GENERATIONS, LIST_JSON, "all generations of the CA, newest first: generation, active, subject, key_kind, serial, not_before, not_after, crl_shards, retired_at, revoked_at, revocation_reason" },
    { "config",     "i.config",     LIST_JSON, "configuration; secrets are ***" },
    { "source",     "i.source",     LIST_TEXT, "who made it: database (the API) or file (seed_file)" },
    { "test_status", "i.test_status", LIST_TEXT, "what the last test found: ok or failed; null: it was not tested" },
    { "test_error", "i.test_error", LIST_TEXT, "what was wrong" },
    { "tested_at",  "i.tested_at",  LIST_TIME, "when it was tested" },
    { "retired_at", "i.retired_at", LIST_TIME, "since when it issues no more, for good" },
    { "created_at", "i.created_at", LIST_TIME, "when it was made" },
    { "updated_at", "i.updated_at", LIST_TIME, "when it was last changed" },
    END
};
static const list_filter_t issuer_filters[] = {
    { "name",    "i.name = %s",    LIST_TEXT, NULL, "exact name" },
    { "type",    "i.type = %s",    LIST_TEXT, NULL, "kind of issuer" },
    { "enabled", "i.enabled = %s", LIST_BOOL, NULL, "true or false" },
    { "source",  "i.source = %s",  LIST_TEXT, issuer_sources, "database or file" },
    { "retired", "(i.retired_at IS NOT NULL) = %s", LIST_BOOL, NULL, "true or false" },
    END
};
static const list_sort_t issuer_sorts[] = {
    { "name", "i.name", "text" },
    { "created_at", "i.created_at", "timestamptz" },
    END
};
const list_resource_t list_issuers = {
    .name = "issuers",
    .from = "issuer i LEFT JOIN ca_certificate c ON c.issuer_no = i.no AND c.active AND c.position = 0",
    .id = "i.id", .key = "i.no", .key_cast = "integer", .version = "i.xmin",
    .scopes = { [SCOPE_ISSUER] = "i.id" },
    .columns = issuer_columns, .filters = issuer_filters, .sorts = issuer_sorts,
};

#define CA_ID "i.id || '.' || c.generation || '.' || c.position"

static const list_column_t ca_columns[] = {
    { "id",                CA_ID,          LIST_TEXT, "identifier: issuer, generation and position" },
    { "issuer_id",         "i.id",         LIST_TEXT, "issuer" },
    { "generation",        "c.generation", LIST_INT,  "generation of its CA" },
    { "position",          "c.position",   LIST_INT,  "0: it issues; above it the others, the last one is the root" },
    { "active",            "c.active",     LIST_BOOL, "whether its generation is the one that issues" },
    { "subject",           "c.subject",    LIST_TEXT, "subject, RFC 4514" },
    { "serial",            "c.serial",     LIST_HEX,  "serial number" },
    { "key_kind",          "c.key_kind",   LIST_TEXT, "kind of its key" },
    { "not_before",        "c.not_before", LIST_TIME, "valid from" },
    { "not_after",         "c.not_after",  LIST_TIME, "valid to" },
    { "revoked",           "c.revoked_at IS NOT NULL", LIST_BOOL, "whether it is revoked" },
    { "revoked_at",        "c.revoked_at", LIST_TIME, "when it was revoked" },
    { "revocation_reason", REASON_NAME("c.revocation_reason"), LIST_TEXT, "why" },
    { "retired_at",        "c.retired_at", LIST_TIME, "when the next generation took its place" },
    { "pem",               "c.der",        LIST_PEM,  "the certificate" },
    END
};
static const list_filter_t ca_filters[] = {
    { "issuer_id",      "i.id = %s",                       LIST_TEXT, NULL, "issuer" },
    { "generation",     "c.generation = %s",               LIST_INT,  NULL, "generation of its CA" },
    { "active",         "c.active = %s",                   LIST_BOOL, NULL, "true or false" },
    { "revoked",        "(c.revoked_at IS NOT NULL) = %s", LIST_BOOL, NULL, "true or false" },
    { "serial",         "c.serial = decode(%s, 'hex')",    LIST_HEX,  NULL, "serial number, hexadecimal" },
    { "expires_before", "c.not_after < %s",                LIST_TIME, NULL, "ends before this time" },
    { "expires_after",  "c.not_after > %s",                LIST_TIME, NULL, "ends after this time" },
    END
};
static const list_sort_t ca_sorts[] = {
    { "id", CA_ID, "text" },
    { "not_after", "c.not_after", "timestamptz" },
    { "subject", "c.subject", "text" },
    END
};
const list_resource_t list_ca_certificates = {
    .name = "CA certificates", .from = "ca_certificate c JOIN issuer i ON i.no = c.issuer_no",
    .id = CA_ID, .key = CA_ID, .key_cast = "text", .version = "c.xmin",
    .scopes = { [SCOPE_ISSUER] = "i.id" },
    .columns = ca_columns, .filters = ca_filters, .sorts = ca_sorts,
};

static const list_column_t profile_columns[] = {
    { "id",                  "p.id",                  LIST_TEXT,  "identifier" },
    { "name",                "p.name",                LIST_TEXT,  "unique name" },
    { "key_kinds",           "p.key_kinds",           LIST_TEXTS, "kinds of key that are certified" },
    { "min_rsa_bits",        "p.min_rsa_bits",        LIST_INT,   "least modulus of RSA keys" },
    { "validity_s",          "p.validity_s",          LIST_INT,   "lifetime in seconds" },
    { "eku",                 "p.eku",                 LIST_TEXTS, "extended key usages" },
    { "name_kinds",          "p.name_kinds",          LIST_TEXTS, "kinds of alternative names that are accepted" },
    { "dns_patterns",        "p.dns_patterns",        LIST_TEXTS, "patterns of DNS names" },
    { "ip_patterns",         "p.ip_patterns",         LIST_TEXTS, "patterns of IP addresses" },
    { "email_patterns",      "p.email_patterns",      LIST_TEXTS, "patterns of mail addresses" },
    { "uri_patterns",        "p.uri_patterns",        LIST_TEXTS, "patterns of URIs" },
    { "subject_rule",        "p.subject_rule",        LIST_TEXT,  "where the subject comes from" },
    { "allow_empty_subject", "p.allow_empty_subject", LIST_BOOL,  "whether a request without a subject is accepted" },
    { "revocation_exempt",   "p.revocation_exempt",   LIST_BOOL,  "whether its certificates say that no revocation information is available" },
    { "must_staple",         "p.must_staple",         LIST_BOOL,  "whether its certificates ask TLS servers to staple" },
    { "created_at",          "p.created_at",          LIST_TIME,  "when it was made" },
    { "updated_at",          "p.updated_at",          LIST_TIME,  "when it was last changed" },
    END
};
static const list_filter_t profile_filters[] = {
    { "name", "p.name = %s", LIST_TEXT, NULL, "exact name" },
    END
};
static const list_sort_t profile_sorts[] = {
    { "name", "p.name", "text" },
    { "created_at", "p.created_at", "timestamptz" },
    END
};
const list_resource_t list_profiles = {
    .name = "profiles", .from = "profile p", .id = "p.id", .key = "p.id", .key_cast = "text",
    .version = "p.xmin",
    .scopes = { [SCOPE_PROFILE] = "p.id" },
    .columns = profile_columns, .filters = profile_filters, .sorts = profile_sorts,
};

static const list_column_t est_label_columns[] = {
    { "id",                 "l.id",                 LIST_TEXT, "identifier" },
    { "name",               "l.name",               LIST_TEXT, "label in the path" },
    { "is_default",         "l.is_default",         LIST_BOOL, "whether it serves the path without a label" },
    { "enabled",            "l.enabled",            LIST_BOOL, "whether it is served" },
    { "issuer_id",          "i.id",                 LIST_TEXT, "issuer of its certificates" },
    { "profile_id",         "l.profile_id",         LIST_TEXT, "profile of its certificates" },
    { "auth_basic",         "l.auth_basic",         LIST_BOOL, "simpleenroll accepts a user name and password" },
    { "auth_certificate",   "l.auth_certificate",   LIST_BOOL, "simpleenroll accepts a client certificate" },
    { "wrap",               "l.wrap",               LIST_INT,  "characters in a line of base64 answers; 0: one line" },
    { "trust_pem",          "l.trust_pem",          LIST_TEXT, "anchors for client certificates" },
    { "superseded_grace_s", "l.superseded_grace_s", LIST_INT,  "seconds for which a renewed certificate may still renew" },
    { "allowed_names",      "l.allowed_names",      LIST_TEXTS, "names that client certificates may ask for; empty: any" },
    { "owner_id",           "l.owner_id",           LIST_TEXT, "owner of what is enrolled" },
    { "team_id",            "l.team_id",            LIST_TEXT, "team of what is enrolled" },
    { "environment",        "l.environment",        LIST_TEXT, "environment of what is enrolled" },
    { "renewal_policy_id",  "l.renewal_policy_id",  LIST_TEXT, "renewal policy of what is enrolled" },
    { "created_at",         "l.created_at",         LIST_TIME, "when it was made" },
    { "updated_at",         "l.updated_at",         LIST_TIME, "when it was last changed" },
    END
};
static const list_filter_t est_label_filters[] = {
    { "name",       "l.name = %s",       LIST_TEXT, NULL, "exact name" },
    { "enabled",    "l.enabled = %s",    LIST_BOOL, NULL, "true or false" },
    { "issuer_id",  "i.id = %s",         LIST_TEXT, NULL, "issuer" },
    { "profile_id", "l.profile_id = %s", LIST_TEXT, NULL, "profile" },
    END
};
static const list_sort_t est_label_sorts[] = {
    { "name", "l.name", "text" },
    { "created_at", "l.created_at", "timestamptz" },
    END
};
const list_resource_t list_est_labels = {
    .name = "EST labels", .from = "est_label l JOIN issuer i ON i.no = l.issuer_no",
    .id = "l.id", .key = "l.id", .key_cast = "text", .version = "l.xmin",
    .scopes = { [SCOPE_ISSUER] = "i.id", [SCOPE_PROFILE] = "l.profile_id" },
    .columns = est_label_columns, .filters = est_label_filters, .sorts = est_label_sorts,
};

static const list_column_t est_credential_columns[] = {
    { "id",         "c.id",         LIST_TEXT, "identifier" },
    { "user_name",  "c.user_name",  LIST_TEXT, "user of HTTP Basic authentication" },
    { "kind",       "c.kind",       LIST_TEXT, "sha256: generated; scrypt: chosen by a person" },
    { "allowed_names", "c.allowed_names", LIST_TEXTS, "names that the user may ask for; empty: any" },
    { "created_at", "c.created_at", LIST_TIME, "when it was made" },
    { "expires_at", "c.expires_at", LIST_TIME, "when it ends" },
    END
};
static const list_filter_t est_credential_filters[] = {
    { "user_name", "c.user_name = %s", LIST_TEXT, NULL, "exact user name" },
    END
};
static const list_sort_t est_credential_sorts[] = {
    { "user_name", "c.user_name", "text" },
    { "created_at", "c.created_at", "timestamptz" },
    END
};
const list_resource_t list_est_credentials = {
    .name = "EST credentials",
    .from = "(SELECT * FROM est_credential WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())) c",
    .id = "c.id", .key = "c.id", .key_cast = "text", .parent = "c.label_id = %s",
    .columns = est_credential_columns, .filters = est_credential_filters, .sorts = est_credential_sorts,
};

/* Revoked keys stay in the list: the audit names them. */
static const list_column_t api_key_columns[] = {
    { "id",           "k.id",           LIST_TEXT,  "identifier" },
    { "name",         "k.name",         LIST_TEXT,  "who or what uses it" },
    { "permissions",  "k.permissions",  LIST_TEXTS, "what it may do everywhere, besides its roles; *: all" },
    { "roles",        ACTOR_ROLES("k.id"), LIST_JSON, ACTOR_ROLES_HELP },
    { "allowed_names", "k.allowed_names", LIST_TEXTS, "names that it may ask certificates for; empty: any" },
    { "created_by",   "k.created_by",   LIST_TEXT,  "who made it" },
    { "created_at",   "k.created_at",   LIST_TIME,  "when it was made" },
    { "rotated_at",   "k.rotated_at",   LIST_TIME,  "when it got another secret" },
    { "expires_at",   "k.expires_at",   LIST_TIME,  "when it ends" },
    { "revoked_at",   "k.revoked_at",   LIST_TIME,  "when it was revoked" },
    { "last_used_at", "k.last_used_at", LIST_TIME,  "last use, to the minute" },
    END
};
static const list_filter_t api_key_filters[] = {
    { "name",    "k.name = %s",                     LIST_TEXT, NULL, "exact name" },
    { "revoked", "(k.revoked_at IS NOT NULL) = %s", LIST_BOOL, NULL, "true or false" },
    END
};
static const list_sort_t api_key_sorts[] = {
    { "name", "k.name", "text" },
    { "created_at", "k.created_at", "timestamptz" },
    END
};
const list_resource_t list_api_keys = {
    .name = "API keys", .from = "api_key k", .id = "k.id", .key = "k.id", .key_cast = "text",
    .version = "k.xmin",
    .columns = api_key_columns, .filters = api_key_filters, .sorts = api_key_sorts,
};

/* Named by the list and by the export. */
#define AUDIT_COLUMNS \
    { "id",            "e.id",            LIST_INT,  "number of the event" }, \
    { "at",            "e.at",            LIST_INSTANT, "when it was recorded, to the microsecond" }, \
    { "actor",         "e.actor",         LIST_TEXT, "who did it" }, \
    { "actor_type",    "e.actor_type",    LIST_TEXT, "what kind of caller that is" }, \
    { "action",        "e.action",        LIST_TEXT, "noun and verb" }, \
    { "resource_type", "e.resource_type", LIST_TEXT, "kind of thing it was done to" }, \
    { "resource_id",   "e.resource_id",   LIST_TEXT, "the thing" }, \
    { "status",        "e.status",        LIST_INT,  "HTTP status of the call" }, \
    { "request_id",    "e.request_id",    LIST_TEXT, "id of the request, as in the log" }, \
    { "source",        "e.source",        LIST_TEXT, "address of the caller" }, \
    { "latency_us",    "e.latency_us",    LIST_INT,  "microseconds it took" }, \
    { "body_hash",     "e.body_hash",     LIST_TEXT, "16 digits of the SHA-256 of the call's body" }, \
    { "details",       "e.details",       LIST_JSON, "more, without secrets" },

static const list_column_t audit_columns[] = {
    AUDIT_COLUMNS
    END
};
static const list_filter_t audit_filters[] = {
    { "actor",         "e.actor = %s",         LIST_TEXT, NULL, "who did it" },
    { "actor_type",    "e.actor_type = %s",    LIST_TEXT, NULL, "kind of caller" },
    { "action",        "e.action = %s",        LIST_TEXT, NULL, "noun and verb" },
    { "resource_type", "e.resource_type = %s", LIST_TEXT, NULL, "kind of thing" },
    { "resource_id",   "e.resource_id = %s",   LIST_TEXT, NULL, "the thing" },
    { "status",        "e.status = %s",        LIST_INT,  NULL, "HTTP status of the call" },
    { "request_id",    "e.request_id = %s",    LIST_TEXT, NULL, "id of the request" },
    { "from",          "e.at >= %s",           LIST_TIME, NULL, "not before this time" },
    { "to",            "e.at < %s",            LIST_TIME, NULL, "before this time" },
    END
};
static const list_sort_t audit_sorts[] = {
    { "id", "e.id", "bigint" },
    END
};
const list_resource_t list_audit = {
    .name = "audit events", .from = "audit_event e", .id = "e.id", .id_cast = "bigint", .key = "e.id", .key_cast = "bigint",
    .newest_first = true,
    .columns = audit_columns, .filters = audit_filters, .sorts = audit_sorts,
};

/* All that a leaf of the tree is made of, with its place: enough to make the tree again somewhere else. */
static const list_column_t audit_export_columns[] = {
    AUDIT_COLUMNS
    { "leaf_index",    "p.leaf",          LIST_INT,  "place of its leaf in the tree, from 0; null: not sealed yet" },
    { "leaf_hash",     "p.hash",          LIST_HEX,  "its leaf, as it was sealed" },
    END
};
const list_resource_t list_audit_export = {
    .name = "audit export", .id = "e.id", .id_cast = "bigint", .key = "e.id", .key_cast = "bigint", .newest_first = true,
    .from = "audit_event e LEFT JOIN LATERAL (SELECT s.first + s.place - 1 AS leaf,"
            " substring(s.leaves FROM 32 * s.place - 31 FOR 32) AS hash"
            " FROM (SELECT s.first, s.leaves, array_position(s.event_ids, e.id) AS place FROM audit_seal s"
            " WHERE s.max_id >= e.id AND s.min_id <= e.id AND e.id = ANY (s.event_ids) ORDER BY s.max_id LIMIT 1) s) p ON true",
    .columns = audit_export_columns, .filters = audit_filters, .sorts = audit_sorts,
};

/* The same events in the form of the first design: actor and resource as objects, success instead of a status. */
static const list_column_t audit_log_columns[] = {
    { "id",        "'audit-' || e.id", LIST_TEXT,    "number of the event, after audit-" },
    { "timestamp", "e.at",             LIST_INSTANT, "when it was recorded, to the microsecond" },
    { "actor",     "json_build_object('type', e.actor_type, 'id', e.actor)", LIST_JSON, "who did it: type and id" },
    { "action",    "e.action",         LIST_TEXT,    "noun and verb" },
    { "resource",  "json_build_object('type', e.resource_type, 'id', e.resource_id)", LIST_JSON, "the thing it was done to: type and id" },
    { "status",    "CASE WHEN e.status < 400 THEN 'success' ELSE 'failure' END", LIST_TEXT, "success, or failure: the call was refused" },
    { "details",   "e.details",        LIST_JSON,    "more, without secrets" },
    END
};
static const char *const audit_outcomes[] = { "success", "failure", NULL };
static const char *const audit_outcome_conds[] = { "e.status < 400", "e.status >= 400" };
static const list_filter_t audit_log_filters[] = {
    { "actor_type",    "e.actor_type = %s",    LIST_TEXT, NULL, "kind of caller" },
    { "actor_id",      "e.actor = %s",         LIST_TEXT, NULL, "who did it" },
    { "action",        "e.action = %s",        LIST_TEXT, NULL, "noun and verb" },
    { "resource_type", "e.resource_type = %s", LIST_TEXT, NULL, "kind of thing" },
    { "resource_id",   "e.resource_id = %s",   LIST_TEXT, NULL, "the thing" },
    { "status",        NULL,                   LIST_TEXT, audit_outcomes, "how it ended", audit_outcome_conds },
    { "from",          "e.at >= %s",           LIST_DAY,  NULL, "not before this date or time" },
    { "to",            "e.at < %s",            LIST_DAY,  NULL, "before this date or time" },
    END
};
const list_resource_t list_audit_logs = {
    .name = "audit logs", .from = "audit_event e", .id = "'audit-' || e.id", .key = "e.id", .key_cast = "bigint",
    .newest_first = true,
    .columns = audit_log_columns, .filters = audit_log_filters, .sorts = audit_sorts,
};

static const list_column_t audit_head_columns[] = {
    { "tree_size", "s.size",      LIST_INT,  "events in the tree" },
    { "root",      "s.root",      LIST_HEX,  "root of the tree" },
    { "at",        "s.at",        LIST_TIME, "when it was signed" },
    { "log",       "k.log",       LIST_HEX,  "id of the journal of the signer that signed it" },
    { "key_id",    "s.key_id",    LIST_TEXT, "first 16 digits of the SHA-256 of the signing key" },
    { "signature", "translate(encode(s.signature, 'base64'), E'\\n', '')", LIST_TEXT, "over the head's octets, in base64" },
    END
};
static const list_filter_t audit_head_filters[] = {
    { "key_id", "s.key_id = %s", LIST_TEXT, NULL, "signed by this key" },
    { "from",   "s.at >= %s",    LIST_TIME, NULL, "not signed before this time" },
    { "to",     "s.at < %s",     LIST_TIME, NULL, "signed before this time" },
    END
};
/* A tree is as large as the place of its last batch says: first goes up with size. */
static const list_sort_t audit_head_sorts[] = {
    { "tree_size", "s.first", "bigint" },
    END
};
const list_resource_t list_audit_heads = {
    .name = "audit heads", .from = "audit_seal s JOIN audit_key k ON k.id = s.key_id", .id = "s.size::text", .key = "s.first",
    .key_cast = "bigint", .newest_first = true,
    .columns = audit_head_columns, .filters = audit_head_filters, .sorts = audit_head_sorts,
};

static const list_column_t role_columns[] = {
    { "id",          "r.id",          LIST_TEXT,  "identifier" },
    { "name",        "r.name",        LIST_TEXT,  "unique name" },
    { "description", "r.description", LIST_TEXT,  "what it is for" },
    { "built_in",    "r.built_in",    LIST_BOOL,  "whether it is one of ours, which nobody changes" },
    { "permissions", "r.permissions", LIST_TEXTS, "what it allows; *: all" },
    { "created_at",  "r.created_at",  LIST_TIME,  "when it was made" },
    { "updated_at",  "r.updated_at",  LIST_TIME,  "when it was last changed" },
    END
};
static const list_filter_t role_filters[] = {
    { "name",       "r.name = %s",               LIST_TEXT, NULL, "exact name" },
    { "built_in",   "r.built_in = %s",           LIST_BOOL, NULL, "true or false" },
    { "permission", "%s = ANY(r.permissions)",   LIST_TEXT, NULL, "a permission that it allows by name" },
    END
};
static const list_sort_t role_sorts[] = {
    { "name", "r.name", "text" },
    { "created_at", "r.created_at", "timestamptz" },
    END
};
const list_resource_t list_roles = {
    .name = "roles", .from = "role r", .id = "r.id", .key = "r.id", .key_cast = "text", .version = "r.xmin",
    .columns = role_columns, .filters = role_filters, .sorts = role_sorts,
};

static const list_column_t account_columns[] = {
    { "id",            "u.id",            LIST_TEXT,  "identifier" },
    { "name",          "u.name",          LIST_TEXT,  "name to log in with" },
    { "email",         "u.email",         LIST_TEXT,  "mail address" },
    { "roles",         ACTOR_ROLES("u.id"), LIST_JSON, ACTOR_ROLES_HELP },
    { "allowed_names", "u.allowed_names", LIST_TEXTS, "names that it may ask certificates for; empty: any" },
    { "disabled",      "u.disabled_at IS NOT NULL", LIST_BOOL, "whether it may not log in" },
    { "locked_until",  "CASE WHEN u.locked_until > now() THEN u.locked_until END", LIST_TIME, "until when no password is accepted, after too many wrong ones" },
    { "last_login_at", "u.last_login_at", LIST_TIME,  "last login" },
    { "created_by",    "u.created_by",    LIST_TEXT,  "who made it" },
    { "created_at",    "u.created_at",    LIST_TIME,  "when it was made" },
    { "updated_at",    "u.updated_at",    LIST_TIME,  "when it was last changed" },
    END
};
static const list_filter_t account_filters[] = {
    { "name",     "u.name = %s",                      LIST_TEXT, NULL, "exact name" },
    { "email",    "u.email = %s",                     LIST_TEXT, NULL, "exact mail address" },
    { "disabled", "(u.disabled_at IS NOT NULL) = %s", LIST_BOOL, NULL, "true or false" },
    END
};
static const list_sort_t account_sorts[] = {
    { "name", "u.name", "text" },
    { "created_at", "u.created_at", "timestamptz" },
    END
};
const list_resource_t list_accounts = {
    .name = "accounts", .from = "account u", .id = "u.id", .key = "u.id", .key_cast = "text", .version = "u.xmin",
    .columns = account_columns, .filters = account_filters, .sorts = account_sorts,
};

static const list_column_t session_columns[] = {
    { "id",           "s.id",           LIST_TEXT, "identifier" },
    { "actor_id",     "s.actor_id",     LIST_TEXT, "who is logged in" },
    { "source",       "s.source",       LIST_TEXT, "address it was begun from" },
    { "user_agent",   "s.user_agent",   LIST_TEXT, "what the browser called itself" },
    { "created_at",   "s.created_at",   LIST_TIME, "when it began" },
    { "last_seen_at", "s.last_seen_at", LIST_TIME, "last use, to the minute" },
    { "expires_at",   "s.expires_at",   LIST_TIME, "when it ends, whatever its use" },
    END
};
static const list_filter_t session_filters[] = {
    { "actor_id", "s.actor_id = %s", LIST_TEXT, NULL, "who is logged in" },
    END
};
static const list_sort_t session_sorts[] = {
    { "created_at", "s.created_at", "timestamptz" },
    { "last_seen_at", "s.last_seen_at", "timestamptz" },
    END
};
const list_resource_t list_sessions = {
    .name = "sessions", .from = "(SELECT * FROM session WHERE revoked_at IS NULL AND expires_at > now()) s",
    .id = "s.id", .key = "s.id", .key_cast = "text", .newest_first = true,
    .columns = session_columns, .filters = session_filters, .sorts = session_sorts,
};

static const list_column_t certificate_identity_columns[] = {
    { "id",             "c.managed_id",    LIST_TEXT,  "the managed certificate: what the audit calls its holder" },
    { "certificate_id", "c.managed_id",    LIST_TEXT,  "the same" },
    { "name",           "m.name",          LIST_TEXT,  "name of the certificate" },
    { "common_name",    "m.common_name",   LIST_TEXT,  "common name of its subject" },
    { "roles",          ACTOR_ROLES("c.managed_id"), LIST_JSON, ACTOR_ROLES_HELP },
    { "allowed_names",  "c.allowed_names", LIST_TEXTS, "names that it may ask certificates for; empty: any" },
    { "created_by",     "c.created_by",    LIST_TEXT,  "who registered it" },
    { "created_at",     "c.created_at",    LIST_TIME,  "when it was registered" },
    END
};
static const list_filter_t certificate_identity_filters[] = {
    { "certificate_id", "c.managed_id = %s",  LIST_TEXT, NULL, "the managed certificate" },
    { "common_name",    "m.common_name = %s", LIST_TEXT, NULL, "exact common name" },
    END
};
static const list_sort_t certificate_identity_sorts[] = {
    { "name", "m.name", "text" },
    { "created_at", "c.created_at", "timestamptz" },
    END
};
const list_resource_t list_certificate_identities = {
    .name = "certificate identities",
    .from = "certificate_identity c JOIN managed_certificate m ON m.id = c.managed_id",
    .id = "c.managed_id", .key = "c.managed_id", .key_cast = "text", .version = "c.xmin",
    .columns = certificate_identity_columns, .filters = certificate_identity_filters, .sorts = certificate_identity_sorts,
};
/* clang-format on */
