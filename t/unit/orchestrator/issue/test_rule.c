/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What rules make of facts, as a table; the types themselves; configurations that cannot be read.
 */
#include "orchestrator/issue/rule.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "pkiproto/base/text.h"

#define DAY_S 86400

static pki_arena_t *arena;

static void
setup(void)
{
    arena = pki_arena_new(0);
}

static void
teardown(void)
{
    pki_arena_free(arena);
}

TestSuite(rule, .init = setup, .fini = teardown);

static rule_t
rule_of(const char *type, const char *config, const char *severity)
{
    rule_row_t *row = pki_alloc(arena, sizeof(*row));
    rule_t      rule;
    pki_err_t   err = { 0 };

    *row = (rule_row_t){ .id = "pol-x", .name = "x", .type = type, .config = config, .severity = severity, .enabled = true };
    cr_assert_eq(rule_compile(arena, row, &rule, &err), PKI_OK, "%s %s: %s", type, config, err.text);
    return rule;
}

/* Names as "dns:a email:b", each with the tag of its kind. */
static general_names_t
names_of(const char *text)
{
    general_names_t out = { .v = pki_alloc(arena, 8 * sizeof(*out.v)) };
    char           *rest = pki_strdup(arena, text), *word;

    while ((word = strtok_r(rest, " ", &rest)) != NULL) {
        char *value = strchr(word, ':');

        *value++ = '\0';
        out.v[out.count].kind = strcmp(word, "dns") == 0 ? GENERAL_NAME_DNS
                                : strcmp(word, "email") == 0 ? GENERAL_NAME_EMAIL : GENERAL_NAME_URI;
        out.v[out.count++].value = bytes_str(value);
    }
    return out;
}

/* kind, bits, days, names, common name, environment, owner, window; NULL or 0: none */
typedef struct {
    const char    *type, *config;
    bool           good;
    pki_key_kind_t kind;
    unsigned       bits;
    int64_t        days;
    const char    *names, *common_name, *environment, *owner_id;
    int64_t        window_days;
} rule_case_t;

static const rule_case_t cases[] = {
    { "KeyAlgorithm", "{\"algorithms\": [\"p-256\"]}", true, PKI_KEY_P256, 256, 0, "", NULL, NULL, NULL, 0 },
    { "KeyAlgorithm", "{\"algorithms\": [\"p-256\"]}", false, PKI_KEY_P384, 384, 0, "", NULL, NULL, NULL, 0 },
    { "KeyAlgorithm", "{\"algorithms\": [\"ed25519\", \"rsa\"]}", true, PKI_KEY_ED25519, 256, 0, "", NULL, NULL, NULL, 0 },
    { "MinimumKeySize", "{}", true, PKI_KEY_RSA, 2048, 0, "", NULL, NULL, NULL, 0 },
    { "MinimumKeySize", "{\"min_rsa_bits\": 2049}", false, PKI_KEY_RSA, 2048, 0, "", NULL, NULL, NULL, 0 },
    { "MinimumKeySize", "{\"min_rsa_bits\": 4096}", true, PKI_KEY_P256, 256, 0, "", NULL, NULL, NULL, 0 },
    { "MinimumKeySize", "{\"min_ec_bits\": 257}", false, PKI_KEY_P256, 256, 0, "", NULL, NULL, NULL, 0 },
    { "CertificateLifetime", "{\"max_days\": 90}", true, PKI_KEY_P256, 256, 90, "", NULL, NULL, NULL, 0 },
    { "CertificateLifetime", "{\"max_days\": 89}", false, PKI_KEY_P256, 256, 90, "", NULL, NULL, NULL, 0 },
    { "RequiredSanPatterns", "{\"patterns\": [\"*.a\", \"b\"]}", true, PKI_KEY_P256, 256, 0, "dns:x.a dns:b", NULL, NULL, NULL, 0 },
    { "RequiredSanPatterns", "{\"patterns\": [\"*.a\"]}", false, PKI_KEY_P256, 256, 0, "dns:x.a dns:a", NULL, NULL, NULL, 0 },
    { "RequiredSanPatterns", "{\"patterns\": [\"*.a\"]}", true, PKI_KEY_P256, 256, 0, "dns:x.a", "other", NULL, NULL, 0 },
    { "RequiredSanPatterns", "{\"patterns\": [\"*.a\"]}", false, PKI_KEY_P256, 256, 0, "", "other", NULL, NULL, 0 },
    { "RequiredSanPatterns", "{\"patterns\": [\"*.a\"]}", true, PKI_KEY_P256, 256, 0, "", NULL, NULL, NULL, 0 },
    { "AllowedDomains", "{\"domains\": [\"a.org\"]}", true, PKI_KEY_P256, 256, 0, "dns:A.ORG dns:x.a.org email:u@a.org", NULL, NULL, NULL, 0 },
    { "AllowedDomains", "{\"domains\": [\"a.org\"]}", false, PKI_KEY_P256, 256, 0, "dns:ba.org", NULL, NULL, NULL, 0 },
    { "AllowedDomains", "{\"domains\": [\"a.org\"]}", false, PKI_KEY_P256, 256, 0, "dns:org", NULL, NULL, NULL, 0 },
    { "AllowedDomains", "{\"domains\": [\"a.org\"]}", false, PKI_KEY_P256, 256, 0, "email:a.org@b.org", NULL, NULL, NULL, 0 },
    { "AllowedDomains", "{\"domains\": [\"a.org\"]}", true, PKI_KEY_P256, 256, 0, "dns:*.a.org uri:http://b", NULL, NULL, NULL, 0 },
    { "AllowedIssuers", "{\"issuer_ids\": [\"iss-a\", \"iss-b\"]}", true, PKI_KEY_P256, 256, 0, "", NULL, NULL, NULL, 0 },
    { "AllowedIssuers", "{\"issuer_ids\": [\"iss-b\"]}", false, PKI_KEY_P256, 256, 0, "", NULL, NULL, NULL, 0 },
    { "RequiredMetadata", "{\"fields\": [\"owner\"]}", false, PKI_KEY_P256, 256, 0, "", NULL, NULL, NULL, 0 },
    { "RequiredMetadata", "{\"fields\": [\"owner\"], \"tags\": [\"cost\"]}", true, PKI_KEY_P256, 256, 0, "", NULL, NULL, "owner-a", 0 },
    { "RequiredMetadata", "{\"tags\": [\"cost\", \"empty\"]}", false, PKI_KEY_P256, 256, 0, "", NULL, NULL, NULL, 0 },
    { "AllowedEnvironments", "{\"environments\": [\"prod\"]}", true, PKI_KEY_P256, 256, 0, "", NULL, "prod", NULL, 0 },
    { "AllowedEnvironments", "{\"environments\": [\"prod\"]}", false, PKI_KEY_P256, 256, 0, "", NULL, "Prod", NULL, 0 },
    { "AllowedEnvironments", "{\"environments\": [\"prod\"]}", false, PKI_KEY_P256, 256, 0, "", NULL, NULL, NULL, 0 },
    { "RenewalLeadTime", "{\"min_days\": 14}", true, PKI_KEY_P256, 256, 0, "", NULL, NULL, NULL, 14 },
    { "RenewalLeadTime", "{\"min_days\": 14}", false, PKI_KEY_P256, 256, 0, "", NULL, NULL, NULL, 13 },
    { "RenewalLeadTime", "{\"min_days\": 1}", false, PKI_KEY_P256, 256, 0, "", NULL, NULL, NULL, 0 },
    { "KeyAlgorithm", "{\"algorithms\": [\"rsa\"], \"scope\": {\"issuer_ids\": [\"iss-b\"]}}", true, PKI_KEY_P256, 256, 0, "", NULL, NULL, NULL, 0 },
    { "KeyAlgorithm", "{\"algorithms\": [\"rsa\"], \"scope\": {\"issuer_ids\": [\"iss-a\"]}}", false, PKI_KEY_P256, 256, 0, "", NULL, NULL, NULL, 0 },
    { "KeyAlgorithm", "{\"algorithms\": [\"rsa\"], \"scope\": {\"environments\": [\"prod\"]}}", true, PKI_KEY_P256, 256, 0, "", NULL, NULL, NULL, 0 },
};

static const char *tag_names[] = { "cost", "empty" }, *tag_values[] = { "17", "" };

static size_t
apply(const rule_t *rules, size_t rule_count, const rule_facts_t *facts, rule_finding_t **found, bool *refused)
{
    size_t count;

    cr_assert_eq(rules_apply(arena, rules, rule_count, facts, found, &count, refused, NULL), PKI_OK);
    return count;
}

Test(rule, judges_facts_by_its_type)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const rule_case_t *c = &cases[i];
        pki_key_t          key = { .kind = c->kind, .bits = c->bits };
        general_names_t    names = names_of(c->names);
        rule_facts_t       facts = { .key = &key, .lifetime_s = c->days * DAY_S, .names = &names, .common_name = c->common_name,
                                     .profile_id = "prof-a", .issuer_id = "iss-a", .owner_id = c->owner_id,
                                     .environment = c->environment, .renewal_window_days = c->window_days,
                                     .tags = { tag_names, tag_values, 2 } };
        rule_t             rule = rule_of(c->type, c->config, "Error");
        rule_finding_t    *found;
        bool               refused;

        cr_expect_eq(apply(&rule, 1, &facts, &found, &refused) == 0, c->good, "case %zu: %s %s", i, c->type, c->config);
        cr_expect_eq(refused, !c->good, "case %zu", i);
        cr_expect(c->good || found[0].text[0] != '\0', "case %zu says why", i);
    }
}

Test(rule, a_warning_is_found_and_refuses_nothing)
{
    rule_t          rules[] = { rule_of("KeyAlgorithm", "{\"algorithms\": [\"rsa\"]}", "Warning"),
                                rule_of("CertificateLifetime", "{\"max_days\": 1}", "Warning"),
                                rule_of("AllowedIssuers", "{\"issuer_ids\": [\"iss-b\"]}", "Critical") };
    pki_key_t       key = { .kind = PKI_KEY_P256, .bits = 256 };
    general_names_t names = { 0 };
    rule_facts_t    facts = { .key = &key, .lifetime_s = 2 * DAY_S, .names = &names, .profile_id = "prof-a", .issuer_id = "iss-b" };
    rule_finding_t *found;
    bool            refused;

    cr_expect_eq(apply(rules, 3, &facts, &found, &refused), 2);
    cr_expect_not(refused);
    facts.issuer_id = "iss-a";
    cr_expect_eq(apply(rules, 3, &facts, &found, &refused), 3, "all of them are found");
    cr_expect(refused);
    cr_expect_eq(apply(rules, 0, &facts, &found, &refused), 0);
}

Test(rule, without_a_key_only_what_is_said_of_a_certificate_is_judged)
{
    rule_t          rules[] = { rule_of("KeyAlgorithm", "{\"algorithms\": [\"rsa\"]}", "Error"),
                                rule_of("AllowedIssuers", "{\"issuer_ids\": [\"iss-b\"]}", "Error"),
                                rule_of("RequiredMetadata", "{\"fields\": [\"team\"]}", "Error") };
    rule_facts_t    facts = { .profile_id = "prof-a", .issuer_id = "iss-a" };
    rule_finding_t *found;
    bool            refused;

    cr_assert_eq(apply(rules, 3, &facts, &found, &refused), 1);
    cr_expect_str_eq(found[0].text, "it has no team");
}

Test(rule, a_text_is_cut_between_characters)
{
    char            tag[129 * 2 + 1] = "", config[400];
    rule_facts_t    facts = { .profile_id = "prof-a", .issuer_id = "iss-a" };
    rule_t          rule;
    rule_finding_t *found;
    bool            refused;
    JSON_AUTO       text = NULL;

    for (int i = 0; i < 60; i++) {
        memcpy(tag + 2 * i + 1, "\xc3\xa9", 3);
    }
    tag[0] = 'x'; /* the cut falls into a character */
    snprintf(config, sizeof(config), "{\"tags\": [\"%s\"]}", tag);
    rule = rule_of("RequiredMetadata", config, "Error");
    cr_assert_eq(apply(&rule, 1, &facts, &found, &refused), 1);
    text = json_string(found[0].text);
    cr_expect_not_null(text, "it is UTF-8");
}

Test(rule, every_type_has_a_name_fields_with_help_and_a_scope)
{
    const rule_type_t *type;
    size_t             i;

    for (i = 0; (type = rule_type_at(i)) != NULL; i++) {
        bool scope = false;

        cr_expect_str_eq(rule_type_names[i], rule_type_name(type));
        cr_expect_eq(rule_type_find(rule_type_name(type)), type);
        for (const field_t *f = rule_type_fields(type); f->type != FIELD_T_END; f++) {
            cr_expect(f->help != NULL && f->help[0] != '\0', "%s.%s", rule_type_name(type), f->name);
            scope = scope || strcmp(f->name, "scope") == 0;
        }
        cr_expect(scope, "%s can be for a part", rule_type_name(type));
    }
    cr_expect_null(rule_type_names[i]);
    cr_expect_null(rule_type_find("Colour"));
}

Test(rule, one_that_cannot_be_read_is_refused)
{
    static const struct {
        const char *type, *config;
    } bad[] = { { "Colour", "{}" }, { "KeyAlgorithm", "{}" }, { "KeyAlgorithm", "{\"algorithms\": [\"dsa\"]}" },
                { "CertificateLifetime", "{\"max_days\": 0}" }, { "CertificateLifetime", "{\"max_days\": 5, \"x\": 1}" },
                { "CertificateLifetime", "[]" } };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        rule_row_t row = { .id = "pol-x", .type = bad[i].type, .config = bad[i].config, .severity = "Error" };
        rule_t     rule;

        cr_expect_eq(rule_compile(arena, &row, &rule, NULL), PKI_E_INVALID, "%s %s", bad[i].type, bad[i].config);
    }
}
