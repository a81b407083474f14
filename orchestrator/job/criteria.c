/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What bulk calls take: bodies of the API and parameters of jobs are the same, but for what the job has to know of the
 * caller.
 */
#include "orchestrator/job/job.h"

static const char *const reasons[] = { "unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded",
                                       "cessationOfOperation", "certificateHold", "privilegeWithdrawn", "aACompromise",
                                       "caCompromise", "aaCompromise", NULL };
static const char *const sources[] = { "API", "EST", "Import", NULL };

/* clang-format off */
#define CRITERIA                                                                                                       \
    FIELD_STR (bulk_criteria_t, profile_id,      0, NULL,    "certificates of this profile"),                          \
    FIELD_STR (bulk_criteria_t, owner_id,        0, NULL,    "of this owner"),                                         \
    FIELD_STR (bulk_criteria_t, issuer_id,       0, NULL,    "of this issuer"),                                        \
    FIELD_STR (bulk_criteria_t, team_id,         0, NULL,    "of this team, or of an owner who is in it"),             \
    FIELD_ENUM(bulk_criteria_t, source,          0, NULL, sources, "enrolled this way"),                               \
    FIELD_STRS(bulk_criteria_t, certificate_ids, 0, NULL,    "these, by id")

const field_t bulk_revoke_fields[] = {
    FIELD_ENUM(bulk_criteria_t, reason,          0, "unspecified", reasons, "reason as RFC 5280 5.3.1 names it; certificateHold can be released"),
    FIELD_TIME(bulk_criteria_t, invalidity_date, 0,          "when the keys are thought to have become unsafe"),
    CRITERIA,
    FIELD_END };

const field_t bulk_renew_fields[] = {
    CRITERIA,
    FIELD_END };

const field_t bulk_renew_params_fields[] = {
    CRITERIA,
    FIELD_STRS(bulk_criteria_t, allowed_names,   0, NULL,    "names that whoever asks may ask for; none: any"),
    FIELD_END };
/* clang-format on */
