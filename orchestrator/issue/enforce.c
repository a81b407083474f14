/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The rules on the one issuance path.  What they let through with a warning is recorded in the transaction of the
 * certificate; a refusal in one of its own, since nothing else comes of it.
 */
#include "core/log.h"
#include "orchestrator/issue/part.h"

typedef struct {
    str_map_t tags;
} tags_t;

static const field_t tags_fields[] = {
    FIELD_MAP(tags_t, tags, 0, NULL, 0, NULL, "tags"),
    FIELD_END,
};

static pki_code_t
facts_meta(pki_arena_t *a, const snapshot_t *snapshot, const issue_meta_t *meta, rule_facts_t *out, pki_err_t *err)
{
    tags_t tags = { 0 };

    if (meta->tags != NULL) {
        PKI_TRY(field_from_text(a, &tags_fields[0], meta->tags, &tags, err));
    }
    out->owner_id = meta->owner_id;
    out->team_id = meta->team_id;
    out->environment = meta->environment;
    out->renewal_policy_id = meta->renewal_policy_id;
    out->renewal_window_days = snapshot_window_days(snapshot, meta->renewal_policy_id);
    out->tags = tags.tags;
    return PKI_OK;
}

/* As violation_t has it. */
static pki_code_t
findings_print(pki_arena_t *a, const rule_finding_t *found, size_t count, const char **out, pki_err_t *err)
{
    JSON_AUTO list = json_array();
    char     *text;

    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, json_pack("{ssss}", "policy_id", found[i].rule->row->id, "message", found[i].text));
    }
    text = json_array_size(list) == count ? json_dumps(list, JSON_COMPACT) : NULL;
    if (text == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    *out = text;
    return pki_arena_own(a, text, free, err);
}

/* Names the first that refuses; the list of violations has them all. */
static pki_code_t
findings_refuse(issue_t *i, const rule_finding_t *found, const violation_t *violation, pki_err_t *err)
{
    pki_err_t why = { 0 };

    while (!found->rule->refuses) {
        found++;
    }
    if (violation_add(i->db, violation, &why) != PKI_OK) {
        log_failure(LOG_WARN, "issue.violation", &why);
    }
    return pki_fail(err, PKI_E_POLICY, NULL, "policy %s: %s", found->rule->row->id, found->text);
}

static pki_code_t
rules_judge(issue_t *i, pki_arena_t *a, const snapshot_t *snapshot, const rule_facts_t *facts, violation_t *violation,
            pki_err_t *err)
{
    const rule_t   *rules;
    size_t          rule_count = snapshot_rules(snapshot, &rules), count;
    rule_finding_t *found;

    PKI_TRY(rules_apply(a, rules, rule_count, facts, &found, &count, &violation->refused, err));
    if (count == 0) {
        return PKI_OK;
    }
    PKI_TRY(findings_print(a, found, count, &violation->list, err));
    return violation->refused ? findings_refuse(i, found, violation, err) : PKI_OK;
}

pki_code_t
sign_enforce(issue_t *i, pki_arena_t *a, const snapshot_t *snapshot, signing_t *s, pki_err_t *err)
{
    const rule_t *rules;
    rule_facts_t  facts = { .key = &s->csr.key,
                            .lifetime_s = s->order.not_after - s->order.not_before + 1,
                            .names = &s->csr.names,
                            .profile_id = s->policy->row->id,
                            .issuer_id = s->issuer->ca.issuer_id };
    violation_t   violation = { .certificate_id = s->managed_id, .actor = s->audit.actor };

    if (snapshot_rules(snapshot, &rules) == 0) {
        return PKI_OK;
    }
    PKI_TRY(name_common_name(a, s->order.subject, &facts.common_name, err));
    PKI_TRY(facts_meta(a, snapshot, &s->meta, &facts, err));
    PKI_TRY(rules_judge(i, a, snapshot, &facts, &violation, err));
    s->violations = violation.list;
    return PKI_OK;
}

static pki_code_t
review_run(issue_t *i, pki_arena_t *a, const snapshot_t *snapshot, const issue_review_t *in, const char **violations,
           pki_err_t *err)
{
    rule_facts_t facts = { .profile_id = in->profile_id, .issuer_id = in->issuer_id };
    violation_t  violation = { .certificate_id = in->managed_id, .actor = in->actor };

    PKI_TRY(facts_meta(a, snapshot, &in->meta, &facts, err));
    PKI_TRY(rules_judge(i, a, snapshot, &facts, &violation, err));
    *violations = violation.list;
    return PKI_OK;
}

pki_code_t
issue_review(issue_t *i, pki_arena_t *a, const issue_review_t *in, const char **violations, pki_err_t *err)
{
    snapshot_t *snapshot;
    pki_code_t  code;

    *violations = NULL;
    PKI_TRY(snapshot_get(i->cache, &snapshot, err));
    code = review_run(i, a, snapshot, in, violations, err);
    snapshot_put(snapshot);
    return code;
}
