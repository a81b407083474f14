/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Rules (see rule.h).
 */
#include "orchestrator/issue/rule.h"

#include <stdio.h>
#include <strings.h>

#include "orchestrator/issue/policy.h"

#define DAY_S         86400
#define RULE_WORD_MAX 100 /* of a name in a finding's text */

static const char *const algorithm_words[] = { "rsa", "p-256", "p-384", "ed25519", NULL };
static const char *const field_words[] = { "owner", "team", "environment", "renewal_policy", NULL };

/* The word of algorithm_words for a kind of key. */
static const char *
algorithm_of(pki_key_kind_t kind)
{
    static const char *const words[] = { [PKI_KEY_RSA] = "rsa", [PKI_KEY_P256] = "p-256", [PKI_KEY_P384] = "p-384",
                                         [PKI_KEY_ED25519] = "ed25519" };

    return kind != PKI_KEY_NONE && (size_t) kind < sizeof(words) / sizeof(words[0]) ? words[kind] : "unknown";
}

/* As %.*s takes it: at most max octets, cut between characters. */
static int
text_cut(const char *text, size_t max)
{
    size_t len = strlen(text);

    if (len > max) {
        for (len = max; len > 0 && ((uint8_t) text[len] & 0xc0) == 0x80; len--) {
        }
    }
    return (int) len;
}

static bool
list_has(const str_list_t *list, const char *word)
{
    for (size_t i = 0; i < list->count && word != NULL; i++) {
        if (strcmp(list->v[i], word) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- the types: false, and why, for what the rule is against ---- */

/* clang-format off */
static const field_t scope_fields[] = {
    FIELD_STRS(rule_scope_t, profile_ids,  0, NULL, "only certificates of these profiles"),
    FIELD_STRS(rule_scope_t, issuer_ids,   0, NULL, "only certificates of these issuers"),
    FIELD_STRS(rule_scope_t, environments, 0, NULL, "only certificates of these environments"),
    FIELD_END };
#define SCOPE_AND_END FIELD_OBJECT(rule_conf_t, scope, 0, scope_fields, "what the rule is for; absent: everything"), FIELD_END

static const field_t key_algorithm_fields[] = {
    FIELD_STRS(rule_conf_t, algorithms, F_REQUIRED, algorithm_words, "kinds of key that are allowed"),
    SCOPE_AND_END };

static const field_t key_size_fields[] = {
    FIELD_INT(rule_conf_t, min_rsa_bits, 0, "2048", 2048, 4096, "least modulus of RSA keys"),
    FIELD_INT(rule_conf_t, min_ec_bits,  0, "256",  256, 384,   "least size of elliptic curves; Ed25519 has 256"),
    SCOPE_AND_END };

static const field_t lifetime_fields[] = {
    FIELD_INT(rule_conf_t, max_days, F_REQUIRED, NULL, 1, 36525, "longest lifetime in days"),
    SCOPE_AND_END };

static const field_t patterns_fields[] = {
    FIELD_STRS(rule_conf_t, patterns, F_REQUIRED, NULL, "every alternative name must match one of these, * being any run of characters; without any the common name must"),
    SCOPE_AND_END };

static const field_t domains_fields[] = {
    FIELD_STRS(rule_conf_t, domains, F_REQUIRED, NULL, "every DNS name and mail address must be in one of these domains or below it; without alternative names the common name must"),
    SCOPE_AND_END };

static const field_t issuers_fields[] = {
    FIELD_STRS(rule_conf_t, issuer_ids, F_REQUIRED, NULL, "issuers that may be used"),
    SCOPE_AND_END };

static const field_t metadata_fields[] = {
    FIELD_STRS(rule_conf_t, fields, 0, field_words, "what must be said of a certificate"),
    FIELD_STRS(rule_conf_t, tags,   0, NULL,        "tags that it must have"),
    SCOPE_AND_END };

static const field_t environments_fields[] = {
    FIELD_STRS(rule_conf_t, environments, F_REQUIRED, NULL, "environments that a certificate may be of; it must be of one"),
    SCOPE_AND_END };

static const field_t lead_time_fields[] = {
    FIELD_INT(rule_conf_t, min_days, F_REQUIRED, NULL, 1, 3650, "days before its end in which it must be renewed: least window of its renewal policy"),
    SCOPE_AND_END };
/* clang-format on */

static bool
key_algorithm_allows(const rule_conf_t *conf, const rule_facts_t *facts, char why[RULE_TEXT_MAX])
{
    const char *word = algorithm_of(facts->key->kind);

    snprintf(why, RULE_TEXT_MAX, "keys of kind %s are not allowed", word);
    return list_has(&conf->algorithms, word);
}

static bool
key_size_allows(const rule_conf_t *conf, const rule_facts_t *facts, char why[RULE_TEXT_MAX])
{
    int64_t least = facts->key->kind == PKI_KEY_RSA ? conf->min_rsa_bits : conf->min_ec_bits;

    snprintf(why, RULE_TEXT_MAX, "the key has %u bits, %lld are needed", facts->key->bits, (long long) least);
    return facts->key->bits >= least;
}

static bool
lifetime_allows(const rule_conf_t *conf, const rule_facts_t *facts, char why[RULE_TEXT_MAX])
{
    snprintf(why, RULE_TEXT_MAX, "a lifetime of %lld seconds is more than %lld days", (long long) facts->lifetime_s,
             (long long) conf->max_days);
    return facts->lifetime_s <= conf->max_days * DAY_S;
}

/* "DNS:www.example.org" without its kind; false when it cannot be printed. */
static bool
name_text(pki_arena_t *a, const general_name_t *name, const char **out)
{
    const char *colon;

    if (general_name_print(a, name, out, NULL) != PKI_OK) {
        return false;
    }
    colon = strchr(*out, ':');
    *out = colon != NULL ? colon + 1 : *out;
    return true;
}

/* Names are judged one by one; a certificate without alternative names is known by its common name. */
typedef bool (*name_judge_pt)(const str_list_t *list, const char *text, general_name_kind_t kind);

static bool
names_allow(const str_list_t *list, name_judge_pt judge, const rule_facts_t *facts, char why[RULE_TEXT_MAX])
{
    pki_arena_t *a = pki_arena_new(0);
    const char  *text = facts->common_name;
    bool         good = a != NULL;

    for (size_t i = 0; i < facts->names->count && good; i++) {
        good = name_text(a, &facts->names->v[i], &text) && judge(list, text, facts->names->v[i].kind);
    }
    if (facts->names->count == 0 && text != NULL) {
        good = good && judge(list, text, GENERAL_NAME_DNS);
    }
    text = text != NULL ? text : "";
    snprintf(why, RULE_TEXT_MAX, "the name %.*s is not allowed", text_cut(text, RULE_WORD_MAX), text);
    pki_arena_free(a);
    return good;
}

static bool
pattern_judge(const str_list_t *patterns, const char *text, general_name_kind_t kind)
{
    (void) kind;
    for (size_t i = 0; i < patterns->count; i++) {
        if (pattern_match(patterns->v[i], text)) {
            return true;
        }
    }
    return false;
}

static bool
patterns_allows(const rule_conf_t *conf, const rule_facts_t *facts, char why[RULE_TEXT_MAX])
{
    return names_allow(&conf->patterns, pattern_judge, facts, why);
}

/* Addresses and URIs are in no domain that could be told from their text. */
static bool
domain_judge(const str_list_t *domains, const char *text, general_name_kind_t kind)
{
    const char *at = kind == GENERAL_NAME_EMAIL ? strrchr(text, '@') : NULL;
    const char *host = at != NULL ? at + 1 : text;

    if (kind != GENERAL_NAME_DNS && kind != GENERAL_NAME_EMAIL) {
        return true;
    }
    for (size_t i = 0; i < domains->count; i++) {
        size_t len = strlen(domains->v[i]), all = strlen(host);

        if (all >= len && strcasecmp(host + all - len, domains->v[i]) == 0
            && (all == len || host[all - len - 1] == '.')) {
            return true;
        }
    }
    return false;
}

static bool
domains_allows(const rule_conf_t *conf, const rule_facts_t *facts, char why[RULE_TEXT_MAX])
{
    return names_allow(&conf->domains, domain_judge, facts, why);
}

static bool
issuers_allows(const rule_conf_t *conf, const rule_facts_t *facts, char why[RULE_TEXT_MAX])
{
    snprintf(why, RULE_TEXT_MAX, "the issuer %.100s is not allowed", facts->issuer_id);
    return list_has(&conf->issuer_ids, facts->issuer_id);
}

static bool
tag_is_set(const str_map_t *tags, const char *name)
{
    for (size_t i = 0; i < tags->count; i++) {
        if (strcmp(tags->names[i], name) == 0) {
            return *tags->values[i] != '\0';
        }
    }
    return false;
}

static bool
metadata_allows(const rule_conf_t *conf, const rule_facts_t *facts, char why[RULE_TEXT_MAX])
{
    const char *said[] = { facts->owner_id, facts->team_id, facts->environment, facts->renewal_policy_id };

    for (size_t i = 0; field_words[i] != NULL; i++) {
        if (said[i] == NULL && list_has(&conf->fields, field_words[i])) {
            snprintf(why, RULE_TEXT_MAX, "it has no %s", field_words[i]);
            return false;
        }
    }
    for (size_t i = 0; i < conf->tags.count; i++) {
        if (!tag_is_set(&facts->tags, conf->tags.v[i])) {
            snprintf(why, RULE_TEXT_MAX, "it has no tag %.*s", text_cut(conf->tags.v[i], RULE_WORD_MAX),
                     conf->tags.v[i]);
            return false;
        }
    }
    return true;
}

static bool
environments_allows(const rule_conf_t *conf, const rule_facts_t *facts, char why[RULE_TEXT_MAX])
{
    if (facts->environment == NULL) {
        snprintf(why, RULE_TEXT_MAX, "it is of no environment");
        return false;
    }
    snprintf(why, RULE_TEXT_MAX, "the environment %s is not allowed", facts->environment);
    return list_has(&conf->environments, facts->environment);
}

static bool
lead_time_allows(const rule_conf_t *conf, const rule_facts_t *facts, char why[RULE_TEXT_MAX])
{
    snprintf(why, RULE_TEXT_MAX, "it would be renewed %lld days before its end, at least %lld are needed",
             (long long) facts->renewal_window_days, (long long) conf->min_days);
    return facts->renewal_window_days >= conf->min_days;
}

/* ---- the table ---- */

struct rule_type {
    const char    *name;
    const field_t *fields;
    bool         (*allows)(const rule_conf_t *conf, const rule_facts_t *facts, char why[RULE_TEXT_MAX]);
    bool           metadata; /* about what operators say of a certificate: also asked when they change it */
};

/* Name, prefix of its fields and its function, whether it is about metadata. */
#define RULE_TYPES(ROW)                       \
    ROW(KeyAlgorithm, key_algorithm, false)   \
    ROW(MinimumKeySize, key_size, false)      \
    ROW(CertificateLifetime, lifetime, false) \
    ROW(RequiredSanPatterns, patterns, false) \
    ROW(AllowedDomains, domains, false)       \
    ROW(AllowedIssuers, issuers, false)       \
    ROW(RequiredMetadata, metadata, true)     \
    ROW(AllowedEnvironments, environments, true) \
    ROW(RenewalLeadTime, lead_time, true)

#define ROW(word, prefix, about) { #word, prefix##_fields, prefix##_allows, about },
static const rule_type_t types[] = { RULE_TYPES(ROW) };
#undef ROW

#define ROW(word, prefix, about) #word,
const char *const rule_type_names[] = { RULE_TYPES(ROW) NULL };
#undef ROW

const rule_type_t *
rule_type_at(size_t i)
{
    return i < sizeof(types) / sizeof(types[0]) ? &types[i] : NULL;
}

const rule_type_t *
rule_type_find(const char *name)
{
    const rule_type_t *type;

    for (size_t i = 0; (type = rule_type_at(i)) != NULL; i++) {
        if (strcmp(type->name, name) == 0) {
            return type;
        }
    }
    return NULL;
}

const char *
rule_type_name(const rule_type_t *type)
{
    return type->name;
}

const field_t *
rule_type_fields(const rule_type_t *type)
{
    return type->fields;
}

pki_code_t
rule_compile(pki_arena_t *a, const rule_row_t *row, rule_t *out, pki_err_t *err)
{
    JSON_AUTO config = NULL;

    *out = (rule_t){ .row = row, .type = rule_type_find(row->type), .refuses = strcmp(row->severity, "Warning") != 0 };
    if (out->type == NULL) {
        return pki_fail(err, PKI_E_INVALID, NULL, "the type %s is unknown", row->type);
    }
    PKI_TRY(json_parse(bytes_str(row->config), &config, err));
    return fields_decode(a, out->type->fields, config, &out->conf, NULL, err);
}

static bool
scope_fits(const rule_scope_t *scope, const rule_facts_t *facts)
{
    return (scope->profile_ids.count == 0 || list_has(&scope->profile_ids, facts->profile_id))
           && (scope->issuer_ids.count == 0 || list_has(&scope->issuer_ids, facts->issuer_id))
           && (scope->environments.count == 0 || list_has(&scope->environments, facts->environment));
}

pki_code_t
rules_apply(pki_arena_t *a, const rule_t *rules, size_t rule_count, const rule_facts_t *facts, rule_finding_t **out,
            size_t *count, bool *refused, pki_err_t *err)
{
    *count = 0;
    *refused = false;
    PKI_TRY(PKI_NEW_N(a, rule_count + 1, out, err));
    for (size_t i = 0; i < rule_count; i++) {
        const rule_t   *rule = &rules[i];
        rule_finding_t *finding = &(*out)[*count];

        if ((facts->key == NULL && !rule->type->metadata) || !scope_fits(&rule->conf.scope, facts)) {
            continue;
        }
        if (!rule->type->allows(&rule->conf, facts, finding->text)) {
            finding->rule = rule;
            *refused = *refused || rule->refuses;
            (*count)++;
        }
    }
    return PKI_OK;
}
