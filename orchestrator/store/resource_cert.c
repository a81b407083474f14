/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Managed certificates and their versions as they can be listed.  There may be millions: every filter and every order has
 * an index of migration 0008 or before, an order's expressions are those of its index, and what is wanted for fifty rows
 * only is a subselect, which the rest does not pay for.
 */
#include "orchestrator/store/resource.h"

/* The instant from which on a certificate is "Expiring". */
#define WINDOW                                                                                                         \
    "coalesce((SELECT rp.renewal_window_days FROM renewal_policy rp WHERE rp.id = m.renewal_policy_id), 30)"           \
    " * interval '1 day'"

/* What certificate_renewal says of one certificate.  Its newest renewal decides, since one that is open is the newest; to
 * set up the view takes longer than to read a row. */
#define RENEWAL_STATUS                                                                                                 \
    "(SELECT CASE WHEN j.status IN ('Pending', 'Running', 'RetryWait') THEN 'RenewalInProgress'"                        \
    " WHEN j.status = 'Failed' AND (m.last_renewal_at IS NULL OR m.last_renewal_at < j.completed_at) THEN 'Failed' END" \
    " FROM job j WHERE j.certificate_id = m.id AND j.type = 'Renewal' ORDER BY j.no DESC LIMIT 1)"

#define MANAGED_STATUS                                                                                                 \
    "CASE WHEN m.archived_at IS NOT NULL THEN 'Archived'"                                                              \
    " WHEN m.status <> 'Active' THEN m.status"                                                                         \
    " WHEN m.expires_at <= now() THEN 'Expired'"                                                                       \
    " ELSE coalesce(" RENEWAL_STATUS ", CASE WHEN m.expires_at <= now() + " WINDOW " THEN 'Expiring' ELSE 'Active' END) END"

/* Few certificates have a policy: for the others the instant is one that the planner knows. */
#define BY_WINDOW(op)                                                                                                  \
    "(m.renewal_policy_id IS NULL AND m.expires_at " op " now() + interval '30 days'"                                  \
    " OR m.renewal_policy_id IS NOT NULL AND m.expires_at " op " now() + " WINDOW ")"

#define GOOD    "m.status = 'Active' AND m.expires_at > now() AND "
/* Asked for each row that is shown, never for all: many renewals may have failed.  The planner takes it to hold mostly. */
#define AT_REST " AND coalesce(" RENEWAL_STATUS ", 'none') NOT IN ('RenewalInProgress', 'Failed')"
#define RENEWAL(status)                                                                                                \
    GOOD "m.id IN (SELECT cr.certificate_id FROM certificate_renewal cr WHERE cr.status = '" status "')"

/* Each status that a row can show is a condition that indexes are good for.  A new one: the three tables, MANAGED_STATUS. */
static const char *const statuses[] = { "Active", "Expiring", "Expired", "RenewalInProgress", "Failed", "Revoked", "Archived",
                                        NULL };
static const char *const status_conds[] = {
    GOOD "m.expires_at > now() + renewal_window(false) AND " BY_WINDOW(">") AT_REST,
    GOOD "m.expires_at <= now() + renewal_window(true) AND " BY_WINDOW("<=") AT_REST,
    "m.status = 'Active' AND m.expires_at <= now()",
    RENEWAL("RenewalInProgress"),
    RENEWAL("Failed"),
    "m.status = 'Revoked'",
    "m.archived_at IS NOT NULL",
};

/* Certificates of EST have a label, which has an index; all other sources are in one of their own. */
static const char *const sources[] = { "API", "EST", "Import", NULL };
static const char *const source_conds[] = {
    "m.source = 'API'",
    "m.source = 'EST' AND m.est_label_id IS NOT NULL",
    "m.source = 'Import'",
};

/* The end of each from which the first rows are found at once. */
static const char *const status_orders[] = { "-expires_at", "expires_at", "-expires_at", NULL, NULL, NULL, NULL };
static const char *const by_end[] = { "expires_at" }, *const by_creation[] = { "-created_at" },
                        *const by_change[] = { "-updated_at" };

static const char *const truths[] = { "true", "false", NULL };
static const char *const archived_conds[] = { "true", "m.archived_at IS NULL" };

/* In certificate_search, which is filled a moment after the certificates.  The index has words: they find what the text is
 * looked for in.  The planner takes <> to hold mostly, and so goes by the words. */
#define SEARCHED(cond) "m.no IN (SELECT cs.no FROM certificate_search cs WHERE " cond ")"
#define PART_IS        "cs.words @@ search_query(%s) AND strpos(cs.text, lower(%s)) <> 0"
#define SAN_OF                                                                                                         \
    "cs.sans && ARRAY[lower(%s), 'dns:' || lower(%s), 'email:' || lower(%s), 'ip:' || lower(%s), 'uri:' || lower(%s),"  \
    " 'dirname:' || lower(%s), 'other:' || lower(%s)]"
/* The planner takes seven names that it does not know to be in 3 % of all rows, which is many: so it is told three times. */
#define SAN_IS SAN_OF " AND " SAN_OF " AND " SAN_OF

#define ISSUER_ID "(SELECT i.id FROM issuer i WHERE i.no = m.issuer_no)"

#define CERTIFICATE_SCOPES                                                                                             \
    { [SCOPE_ISSUER] = "m.issuer_no IN (SELECT i.no FROM issuer i WHERE i.id = ANY(%s))",                              \
      [SCOPE_PROFILE] = "m.profile_id", [SCOPE_TEAM] = "m.team_id", [SCOPE_OWNER] = "m.owner_id" }

/* clang-format off */
static const list_column_t certificate_columns[] = {
    { "id",                "m.id",                LIST_TEXT,  "identifier" },
    { "name",              "m.name",              LIST_TEXT,  "unique name" },
    { "source",            "m.source",            LIST_TEXT,  "what it was enrolled by" },
    { "status",            MANAGED_STATUS,        LIST_TEXT,  "Active, Expiring (within its renewal policy's window, 30 days without one), Expired, RenewalInProgress, Failed, Revoked, Archived" },
    { "common_name",       "m.common_name",       LIST_TEXT,  "common name of the subject" },
    { "subject",           "m.subject",           LIST_TEXT,  "subject, RFC 4514" },
    { "sans",              "m.sans",              LIST_TEXTS, "alternative names" },
    { "issuer_id",         ISSUER_ID,             LIST_TEXT,  "its issuer" },
    { "profile_id",        "m.profile_id",        LIST_TEXT,  "its profile" },
    { "est_label_id",      "m.est_label_id",      LIST_TEXT,  "EST label that it was enrolled at" },
    { "owner_id",          "m.owner_id",          LIST_TEXT,  "who answers for it" },
    { "team_id",           "m.team_id",           LIST_TEXT,  "team that it belongs to" },
    { "environment",       "m.environment",       LIST_TEXT,  "where it is used: production, staging ..." },
    { "renewal_policy_id", "m.renewal_policy_id", LIST_TEXT,  "how it is renewed" },
    { "tags",              "m.tags",              LIST_JSON,  "keys and values of its operators" },
    { "serial",            "m.last_serial",       LIST_HEX,   "serial number of the newest version" },
    { "expires_at",        "m.expires_at",        LIST_TIME,  "end of the newest version" },
    { "revoked_at",        "m.revoked_at",        LIST_TIME,  "when it was revoked" },
    { "revocation_reason", REASON_NAME("m.revocation_reason"), LIST_TEXT, "why it was revoked" },
    { "archived_at",       "m.archived_at",       LIST_TIME,  "when it was archived" },
    { "last_renewal_at",   "m.last_renewal_at",   LIST_TIME,  "when it was last renewed" },
    { "created_at",        "m.created_at",        LIST_TIME,  "first enrolment" },
    { "updated_at",        "m.updated_at",        LIST_TIME,  "last change" },
    END
};
static const list_filter_t certificate_filters[] = {
    { "serial",            "m.no IN (SELECT v.managed_no FROM issuer x JOIN certificate_version v ON v.issuer_no = x.no"
                           " AND v.serial = decode(%s, 'hex'))", LIST_HEX, NULL, "serial number of any version, hexadecimal" },
    { "id",                "m.id = %s",                LIST_TEXT, NULL,     "exact identifier" },
    { "status",            NULL,                       LIST_TEXT, statuses, "status as rows show it", .conds = status_conds, .orders = status_orders, .opens = "Archived" },
    { "include_archived",  NULL,                       LIST_TEXT, truths,   "true: archived ones, too; they are left out otherwise", .conds = archived_conds, .opens = "true" },
    { "source",            NULL,                       LIST_TEXT, sources,  "API, EST or Import", .conds = source_conds },
    { "issuer_id",         "m.issuer_no = issuer_no_of(%s)", LIST_TEXT, NULL, "issuer" },
    { "profile_id",        "m.profile_id = %s",        LIST_TEXT, NULL,     "profile" },
    { "certificate_profile_id", "m.profile_id = %s",   LIST_TEXT, NULL,     "the same by its older name" },
    { "est_label_id",      "m.est_label_id = %s",      LIST_TEXT, NULL,     "EST label" },
    { "owner_id",          "m.owner_id = %s",          LIST_TEXT, NULL,     "owner" },
    { "team_id",           "m.team_id = %s",           LIST_TEXT, NULL,     "team" },
    { "environment",       "coalesce(m.environment, '') = %s", LIST_TEXT, NULL, "environment" },
    { "renewal_policy_id", "m.renewal_policy_id = %s", LIST_TEXT, NULL,     "renewal policy" },
    { "tag",               "m.tags @> %s AND m.tags <> '{}'", LIST_TAG, NULL, "key:value, or a key; given several times, all must hold", .bare = "m.tags ? %s AND m.tags <> '{}'", .many = true },
    { "name",              "m.name = %s",              LIST_TEXT, NULL,     "exact name" },
    { "common_name",       "coalesce(m.common_name, '') = %s", LIST_TEXT, NULL, "exact common name" },
    { "san",               SEARCHED(SAN_IS), LIST_TEXT, NULL, "alternative name, with or without its kind (dns:)" },
    { "q",                 SEARCHED(PART_IS),          LIST_TEXT, NULL, "part of the name, the common name or an alternative name from the start of a word on, in any case; words are letters or digits", .least = 3, .words = true },
    { "expires_before",    "m.expires_at < %s",        LIST_TIME, NULL,     "ends before this time", .orders = by_end },
    { "expires_after",     "m.expires_at > %s",        LIST_TIME, NULL,     "ends after this time", .orders = by_end },
    { "created_before",    "m.created_at < %s",        LIST_TIME, NULL,     "first enrolled before this time", .orders = by_creation },
    { "created_after",     "m.created_at > %s",        LIST_TIME, NULL,     "first enrolled after this time", .orders = by_creation },
    { "updated_before",    "m.updated_at < %s",        LIST_TIME, NULL,     "last changed before this time", .orders = by_change },
    { "updated_after",     "m.updated_at > %s",        LIST_TIME, NULL,     "last changed after this time", .orders = by_change },
    END
};
#define CREATED     "m.created_at", "timestamptz"
#define UPDATED     "m.updated_at", "timestamptz"
#define EXPIRES     "m.expires_at", "timestamptz"
#define COMMON_NAME "coalesce(m.common_name, '')", "text"
static const list_sort_t certificate_sorts[] = {
    { "created",     "m.no", "bigint" },
    { "created_at",  CREATED },
    { "createdAt",   CREATED },
    { "updated_at",  UPDATED },
    { "updatedAt",   UPDATED },
    { "expires_at",  EXPIRES },
    { "expiresAt",   EXPIRES },
    { "notAfter",    EXPIRES },
    { "name",        "m.name", "text" },
    { "common_name", COMMON_NAME },
    { "commonName",  COMMON_NAME },
    { "environment", "coalesce(m.environment, '')", "text" },
    /* By the status that is stored and the end: Expired, Expiring, Active, in this order, are all stored as Active. */
    { "status",      "m.status", "text", "m.expires_at", "timestamptz" },
    END
};
const list_resource_t list_certificates = {
    .name = "certificates", .from = "managed_certificate m",
    .id = "m.id", .key = "m.no", .key_cast = "bigint", .newest_first = true, .large = true, .version = "m.xmin",
    .usually = "m.archived_at IS NULL", .scopes = CERTIFICATE_SCOPES,
    .columns = certificate_columns, .filters = certificate_filters, .sorts = certificate_sorts,
};

static const list_column_t version_columns[] = {
    { "serial",             "v.serial",                    LIST_HEX,  "serial number" },
    { "issuer_id",          "i.id",                        LIST_TEXT, "its issuer" },
    { "generation",         "v.generation",                LIST_INT,  "generation of the CA that signed it" },
    { "status",             "coalesce(r.state, 'good')",   LIST_TEXT, "good, revoked, hold or released" },
    { "not_before",         "v.not_before",                LIST_TIME, "valid from" },
    { "not_after",          "v.not_after",                 LIST_TIME, "valid to" },
    { "issued_at",          "v.issued_at",                 LIST_TIME, "when it was issued" },
    { "fingerprint_sha256", "v.fingerprint",               LIST_HEX,  "SHA-256 of the certificate" },
    { "spki_sha256",        "v.spki_sha256",               LIST_HEX,  "SHA-256 of its public key" },
    { "key_algorithm",      "v.key_algorithm",             LIST_TEXT, "kind of its public key: RSA, ECDSA, Ed25519, or what others have" },
    { "key_size",           "v.key_size",                  LIST_INT,  "bits of its public key" },
    { "revoked_at",         "r.revoked_at",                LIST_TIME, "when it was revoked or put on hold" },
    { "revocation_reason",  REASON_NAME("r.reason"),       LIST_TEXT, "why" },
    { "invalidity_at",      "r.invalidity_at",             LIST_TIME, "since when it should not be trusted" },
    { "pem",                "v.der",                       LIST_PEM,  "the certificate" },
    END
};
static const list_filter_t version_filters[] = {
    { "serial", "v.serial = decode(%s, 'hex')", LIST_HEX, NULL, "serial number, hexadecimal" },
    END
};
static const list_sort_t version_sorts[] = {
    { "issued_at", "v.issued_at", "timestamptz" },
    { "not_after", "v.not_after", "timestamptz" },
    END
};
const list_resource_t list_versions = {
    .name = "versions",
    .from = "managed_certificate m JOIN certificate_version v ON v.managed_no = m.no JOIN issuer i ON i.no = v.issuer_no"
            " LEFT JOIN revocation r ON r.issuer_no = v.issuer_no AND r.serial = v.serial",
    .id = "encode(v.serial, 'hex')", .key = "encode(v.serial, 'hex')", .key_cast = "text", .newest_first = true,
    .parent = "m.id = %s", .scopes = CERTIFICATE_SCOPES,
    .columns = version_columns, .filters = version_filters, .sorts = version_sorts,
};
/* clang-format on */
