/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What operators do to certificates, and who keeps what: metadata that a later enrolment leaves alone, scopes of a
 * reassignment, things in use that are deleted at the same time.
 */
#include "orchestrator/store/managed.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "orchestrator/store/renewal_policy.h"
#include "orchestrator/store/rule.h"
#include "orchestrator/store/team.h"
#include "t/unit/lib/suite.h"

static const audit_t audit = { .actor = "key-1", .actor_type = "api_key", .action = "certificate.update", .status = 200 };

static void
setup(void)
{
    setup_world();
    cr_assert_eq(team_insert(db, &(team_row_t){ "team-a", "A", "" }, &audit, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(owner_insert(db, &(owner_row_t){ "owner-a", "A", NULL, "team-a" }, &audit, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(owner_insert(db, &(owner_row_t){ "owner-b", "B", NULL, NULL }, &audit, &err), PKI_OK, "%s", err.text);
}

TestSuite(managed, .init = setup, .fini = teardown, .timeout = 60);

static bool
issue(const char *name, uint32_t serial, const char *owner, const char *violations)
{
    cert_record_t in = store_cert(arena, name, serial, DAY_S);
    bool          won;

    in.managed.owner_id = owner;
    in.managed.environment = "prod";
    in.managed.tags = "{\"a\": \"1\"}";
    in.violations = violations;
    cr_assert_eq(cert_record(db, &in, &won, &err), PKI_OK, "%s", err.text);
    return won;
}

Test(managed, a_later_version_keeps_what_an_operator_said)
{
    managed_change_t change = { .id = "mc-one", .name = "uno", .owner_id = "owner-b", .tags = "{\"b\": \"2\"}" };
    managed_row_t    row;

    cr_assert(issue("one", 1, "owner-a", NULL));
    cr_assert_eq(managed_update(db, &change, NULL, &audit, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(managed_archive(db, "mc-one", NULL, &audit, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(cert_find(db, arena, "mc-one", &row, &err), PKI_OK);
    cr_expect_str_eq(row.status, "Archived");
    cr_assert(issue("one", 2, "owner-a", NULL));
    cr_assert_eq(cert_find(db, arena, "mc-one", &row, &err), PKI_OK);
    cr_expect_str_eq(row.name, "uno");
    cr_expect_str_eq(row.owner_id, "owner-b");
    cr_expect_str_eq(row.tags, "{\"b\": \"2\"}");
    cr_expect_null(row.environment);
    cr_expect_str_eq(row.status, "Active", "one that is enrolled again is not put away");
}

Test(managed, a_new_name_is_what_it_is_found_by)
{
    managed_change_t change = { .id = "mc-one", .name = "Uno" };

    cr_assert(issue("one", 1, NULL, NULL));
    PQclear(pg_sql(pg, "INSERT INTO certificate_search SELECT no, 'one', '{}' FROM managed_certificate"
                       " ON CONFLICT (no) DO UPDATE SET text = excluded.text"));
    cr_assert_eq(managed_update(db, &change, NULL, &audit, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM certificate_search WHERE text LIKE '%%uno%%dns:a.example%%'"), 1);
}

Test(managed, what_it_is_to_belong_to_has_to_be_there)
{
    managed_change_t change = { .id = "mc-one", .name = "one", .owner_id = "owner-none" };

    cr_expect_not(issue("one", 1, "owner-none", NULL), "nothing is recorded for an owner that is gone");
    cr_assert(issue("one", 2, "owner-a", NULL));
    cr_expect_eq(managed_update(db, &change, NULL, &audit, &err), PKI_E_NOT_FOUND);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM audit_event WHERE action = 'certificate.update'"), 3,
                 "nor is a change in the audit that was none");
}

Test(managed, what_is_in_use_stays_and_says_by_how_many)
{
    PGresult *gone;

    cr_assert(issue("one", 1, "owner-a", NULL));
    cr_assert(issue("two", 2, "owner-a", NULL));
    cr_expect_eq(owner_delete(db, "owner-a", NULL, &audit, &err), PKI_E_CONFLICT);
    cr_expect_str_eq(err.text, "owner owner-a is in use by 2 certificates");
    cr_expect_eq(team_delete(db, "team-a", NULL, &audit, &err), PKI_E_CONFLICT);
    cr_expect_str_eq(err.text, "team team-a is in use by 1 owners");
    gone = PQexec(pg, "DELETE FROM owner WHERE id = 'owner-a'");
    cr_expect_eq(PQresultStatus(gone), PGRES_FATAL_ERROR, "whoever deletes it");
    PQclear(gone);
    cr_expect_eq(owner_delete(db, "owner-b", NULL, &audit, &err), PKI_OK, "%s", err.text);
}

static reassigned_t
reassign(const reassign_t *in)
{
    reassigned_t out;

    cr_assert_eq(managed_reassign(db, arena, in, &audit, &out, &err), PKI_OK, "%s", err.text);
    return out;
}

Test(managed, a_reassignment_reaches_as_far_as_the_scope)
{
    const char  *ids[] = { "mc-one", "mc-two", "mc-none" }, *owner[] = { "owner-a" };
    str_list_t   all = { ids, 3 };
    scope_t      everything = { .all = true }, nothing = { 0 }, mine = { .ids = { [SCOPE_OWNER] = { owner, 1 } } };
    reassigned_t done;

    cr_assert(issue("one", 1, "owner-a", NULL));
    cr_assert(issue("two", 2, NULL, NULL));
    done = reassign(&(reassign_t){ .owner_id = "owner-b", .ids = &all, .scope = &nothing });
    cr_expect_eq(done.matched + done.reassigned, 0);
    cr_expect_eq(done.missing.count, 3, "what is outside is not there");
    done = reassign(&(reassign_t){ .owner_id = "owner-b", .team_id = "team-a", .ids = &all, .scope = &mine });
    cr_expect_eq(done.reassigned, 1);
    cr_expect_eq(done.missing.count, 2);
    done = reassign(&(reassign_t){ .owner_id = "owner-b", .from_team_id = "team-a", .scope = &everything });
    cr_expect_eq(done.matched, 1, "the team is found by its id");
    cr_expect_eq(done.skipped, 1);
    done = reassign(&(reassign_t){ .owner_id = "owner-a", .environment = "prod", .scope = &everything });
    cr_expect_eq(done.reassigned, 2);
    done = reassign(&(reassign_t){ .owner_id = "owner-b", .profile_id = "prof-none", .scope = &everything });
    cr_expect_eq(done.matched, 0);
}

Test(managed, violations_are_written_with_the_certificate_and_of_policies_that_are_there)
{
    rule_row_t rule = { "pol-x", "x", "KeyAlgorithm", "{}", "Warning", true };

    cr_assert_eq(rule_insert(db, &rule, &audit, &err), PKI_OK, "%s", err.text);
    cr_assert(issue("one", 1, NULL, "[{\"policy_id\": \"pol-x\", \"message\": \"m\"}, {\"policy_id\": \"pol-gone\", \"message\": \"m\"}]"));
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM policy_violation WHERE policy_id = 'pol-x' AND certificate_id = 'mc-one'"
                               " AND NOT refused AND severity = 'Warning' AND actor = 'est:device'"), 1);
    cr_assert_eq(rule_delete(db, "pol-x", NULL, &audit, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM policy_violation"), 0);
}

Test(managed, a_renewal_policy_keeps_its_thresholds)
{
    int64_t              days[] = { 30, 7 };
    const char          *names[] = { "7" }, *values[] = { "critical" };
    renewal_policy_row_t row = { "rp-x", "x", 30, true, 3, 60, { days, 2 }, { names, values, 1 } };
    renewal_window_t     window;

    cr_assert_eq(renewal_policy_insert(db, arena, &row, &audit, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM renewal_policy WHERE alert_thresholds_days = '{30,7}'"
                               " AND alert_severity_map = '{\"7\": \"critical\"}'"), 1);
    row.alert_thresholds_days.count = 0;
    row.renewal_window_days = 8;
    cr_assert_eq(renewal_policy_update(db, arena, &row, NULL, &audit, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(pg_number(pg, "SELECT cardinality(alert_thresholds_days) FROM renewal_policy"), 0);
    cr_assert_eq(renewal_policy_window(db, arena, "rp-x", &window, &err), PKI_OK);
    cr_expect_eq(window.renewal_window_days, 8);
    cr_expect_eq(renewal_policy_delete(db, "rp-x", "1", &audit, &err), PKI_E_PRECONDITION);
    cr_expect_eq(renewal_policy_delete(db, "rp-x", NULL, &audit, &err), PKI_OK, "%s", err.text);
}
