/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rules: what the installation's policies make of a certificate about to be, beside its profile.  Pure.  A type is one row
 * of the table in rule.c: its name, the fields of its configuration, the function that judges.
 */
#ifndef ORCHESTRATOR_ISSUE_RULE_H
#define ORCHESTRATOR_ISSUE_RULE_H

#include "orchestrator/store/rule.h"
#include "pkiproto/x509/key.h"
#include "pkiproto/x509/name.h"

/* What a rule is for; empty lists: everything. */
typedef struct {
    str_list_t profile_ids, issuer_ids, environments;
} rule_scope_t;

/* The configurations of all types; each has a table of its own over the members that it knows. */
typedef struct {
    str_list_t   algorithms, patterns, domains, issuer_ids, fields, tags, environments;
    int64_t      min_rsa_bits, min_ec_bits, max_days, min_days;
    rule_scope_t scope;
} rule_conf_t;

/* What is known of the certificate.  Without a key, what an operator changes of one that is there. */
typedef struct {
    const pki_key_t       *key;         /* NULL: only what is said of it is judged */
    int64_t                lifetime_s;
    const general_names_t *names;
    const char            *common_name; /* NULL: none, as below */
    const char            *profile_id, *issuer_id;
    const char            *owner_id, *team_id, *environment, *renewal_policy_id;
    int64_t                renewal_window_days; /* 0: no renewal policy */
    str_map_t              tags;
} rule_facts_t;

typedef struct rule_type rule_type_t;
const rule_type_t *rule_type_find(const char *name); /* NULL: there is none */
const rule_type_t *rule_type_at(size_t i);           /* walks the table; NULL at its end */
const char        *rule_type_name(const rule_type_t *type);
const field_t     *rule_type_fields(const rule_type_t *type); /* of rule_conf_t */
extern const char *const rule_type_names[];          /* NULL at its end */

/* A rule compiled once; its row is borrowed. */
typedef struct {
    const rule_row_t  *row;
    const rule_type_t *type;
    rule_conf_t        conf;
    bool               refuses; /* Error, Critical; otherwise what it finds is only written down */
} rule_t;

/* INVALID for a type or a configuration that is not known. */
pki_code_t rule_compile(pki_arena_t *a, const rule_row_t *row, rule_t *out, pki_err_t *err);

#define RULE_TEXT_MAX 192
typedef struct {
    const rule_t *rule;
    char          text[RULE_TEXT_MAX];
} rule_finding_t;

/* What the rules have against it: *count findings, of which *refused says whether one is more than a warning. */
pki_code_t rules_apply(pki_arena_t *a, const rule_t *rules, size_t rule_count, const rule_facts_t *facts,
                       rule_finding_t **out, size_t *count, bool *refused, pki_err_t *err);

#endif
