/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Jobs: states, claims and fences, membership, the steps of bulk jobs, renewals that are due.
 */
#include "orchestrator/store/job.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "core/clock.h"
#include "orchestrator/store/bulk.h"
#include "orchestrator/store/stats.h"
#include "t/unit/lib/suite.h"

static const scope_t everything = { .all = true };
static const audit_t call = { .actor = "key-1", .actor_type = "api_key", .action = "certificate.bulk", .status = 202 };

TestSuite(job, .init = setup_world, .fini = teardown, .timeout = 60);

static void
issue_some(uint32_t count)
{
    for (uint32_t i = 1; i <= count; i++) {
        char name[20];

        snprintf(name, sizeof(name), "host-%02u", i);
        store_issue(db, arena, name, i, 30 * DAY_S);
    }
}

static int64_t
bulk(const char *type, const job_filter_t *filter, const char **id)
{
    const job_order_t order = { .type = type, .params = "{}", .max_attempts = 3, .retry_s = 1, .audit = &call };
    int64_t           affected;

    cr_assert_eq(job_bulk_insert(db, arena, &order, filter, id, &affected, &err), PKI_OK, "%s", err.text);
    return affected;
}

static job_claim_t
claim(const char *type)
{
    job_claim_t job;

    cr_assert_eq(job_claim(db, arena, type, 60, &job, &err), PKI_OK, "%s", err.text);
    return job;
}

static pki_code_t
finish(const job_claim_t *job, job_state_t state)
{
    return job_finish(db, job, &(job_end_t){ .state = state }, &err);
}

Test(job, states_move_as_the_table_says_in_c_and_in_the_database)
{
    for (int from = 0; from < JOB_STATES; from++) {
        for (int to = 0; to < JOB_STATES; to++) {
            bool      over = to >= JOB_COMPLETED, was_over = from >= JOB_COMPLETED;
            PGresult *r;

            PQclear(pg_sql(pg, "INSERT INTO job (id, type, status, params, requested_by, requester_type, max_attempts, "
                               "retry_s, completed_at) VALUES ('job-%d-%d', 'Test', '%s', '{}', 'x', 'y', 1, 1, %s)",
                           from, to, job_state_names[from], was_over ? "now()" : "NULL"));
            r = PQexec(pg, pki_printf(arena, "UPDATE job SET status = '%s', completed_at = %s WHERE id = 'job-%d-%d'",
                                      job_state_names[to], over ? "now()" : "NULL", from, to));
            cr_expect_eq(PQresultStatus(r) == PGRES_COMMAND_OK,
                         job_may((job_state_t) from, (job_state_t) to) || (from == to && !over), "%s to %s",
                         job_state_names[from], job_state_names[to]);
            PQclear(r);
        }
    }
}

Test(job, is_claimed_by_one_worker_and_goes_to_another_when_its_lease_has_ended)
{
    const char  *id;
    job_claim_t  first, second;
    job_filter_t filter = { .profile_id = "prof-device", .scope = &everything };

    issue_some(1);
    bulk("BulkRevoke", &filter, &id);
    first = claim("BulkRevoke");
    cr_expect_str_eq(first.id, id);
    cr_expect_eq(job_claim(db, arena, "BulkRevoke", 60, &second, &err), PKI_E_NOT_FOUND, "it has a worker");
    cr_expect_eq(job_keep(db, &first, 60, &err), PKI_OK);

    PQclear(pg_sql(pg, "UPDATE job SET run_at = now() - interval '1 second'"));
    second = claim("BulkRevoke");
    cr_expect_gt(second.fence, first.fence);
    cr_expect_eq(job_keep(db, &first, 60, &err), PKI_E_CONFLICT, "the first has lost it");
    cr_expect_eq(finish(&first, JOB_FAILED), PKI_E_CONFLICT, "and cannot end it");
    cr_expect_eq(pg_number(pg, "SELECT losses FROM job"), 1);
    cr_expect_eq(finish(&second, JOB_COMPLETED), PKI_OK, "%s", err.text);
    cr_expect_eq(job_claim(db, arena, "BulkRevoke", 60, &second, &err), PKI_E_NOT_FOUND, "it is over");
}

Test(job, that_every_worker_dies_with_fails)
{
    const char  *id;
    job_filter_t filter = { .profile_id = "prof-device", .scope = &everything };

    issue_some(1);
    bulk("BulkRevoke", &filter, &id);
    for (int i = 0; i < 4; i++) {
        (void) claim("BulkRevoke");
        PQclear(pg_sql(pg, "UPDATE job SET run_at = now() - interval '1 second'"));
    }
    cr_expect_eq(job_reap(db, 4, 90, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM job WHERE status = 'Running'"), 1, "three deaths are not four");
    cr_expect_eq(job_reap(db, 3, 90, &err), PKI_OK);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM job WHERE status = 'Failed'"), 1);
    PQclear(pg_sql(pg, "UPDATE job SET completed_at = now() - interval '91 days'"));
    cr_expect_eq(job_reap(db, 3, 90, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(pg_number(pg, "SELECT (SELECT count(*) FROM job) + (SELECT count(*) FROM job_item)"), 0, "and is forgotten");
}

Test(job, cancelled_is_lost_for_its_worker_and_over)
{
    const char  *id;
    job_claim_t  job;
    job_filter_t filter = { .profile_id = "prof-device", .scope = &everything };

    issue_some(1);
    bulk("BulkRevoke", &filter, &id);
    job = claim("BulkRevoke");
    cr_expect_eq(job_cancel(db, id, "1", &call, &err), PKI_E_PRECONDITION, "another version");
    cr_expect_eq(job_cancel(db, id, NULL, &call, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(finish(&job, JOB_COMPLETED), PKI_E_CONFLICT);
    cr_expect_eq(job_cancel(db, id, NULL, &call, &err), PKI_E_CONFLICT);
    cr_expect_eq(job_cancel(db, "job-none", NULL, &call, &err), PKI_E_NOT_FOUND);
}

Test(job, is_about_what_the_criteria_and_the_scope_have_in_common)
{
    const char  *id, *owners[] = { "owner-a" }, *named[] = { "mc-host-01", "mc-host-02", "mc-host-09", "mc-none" };
    scope_t      scope = { .ids = { [SCOPE_OWNER] = { owners, 1 } } };
    job_filter_t filter = { .profile_id = "prof-device", .scope = &everything };

    issue_some(9);
    PQclear(pg_sql(pg, "INSERT INTO owner (id, name) VALUES ('owner-a', 'a'); "
                       "UPDATE managed_certificate SET owner_id = 'owner-a' WHERE id < 'mc-host-04'"));
    cr_expect_eq(bulk("BulkRevoke", &filter, &id), 9);
    filter.scope = &scope;
    cr_expect_eq(bulk("BulkRevoke", &filter, &id), 3, "row by row");
    filter.source = "API";
    cr_expect_eq(bulk("BulkRevoke", &filter, &id), 0, "all criteria have to fit");
    filter = (job_filter_t){ .certificate_ids = { named, 4 }, .scope = &scope };
    cr_expect_eq(bulk("BulkRevoke", &filter, &id), 2);
    cr_expect_eq(pg_number(pg, "SELECT total * 100 + failed FROM job WHERE id = '%s'", id), 402,
                 "what is not there, or not inside, has failed alike");
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM audit_event WHERE resource_type = 'job'"), 4, "each is in the audit");
}

Test(job, revokes_in_steps_that_are_told_before_they_are_done)
{
    const char  *id;
    job_filter_t filter = { .profile_id = "prof-device", .scope = &everything };
    bulk_step_t  step;
    job_claim_t  job;

    issue_some(5);
    cr_assert_eq(store_revoke(db, arena, "host-01", 0, 4, NULL), PKI_OK);
    cr_assert_eq(bulk("BulkRevoke", &filter, &id), 4, "what is revoked is not meant");
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET name = name; INSERT INTO job_item VALUES (1, 'mc-gone')"));
    cr_assert_eq(store_revoke(db, arena, "host-02", 0, 4, NULL), PKI_OK, "meanwhile");
    job = claim("BulkRevoke");
    cr_assert_eq(bulk_revoke(db, arena, &job, 1, 0, "", 3, &step, &err), PKI_OK, "%s", err.text);
    cr_expect(step.taken == 3 && step.count == 1, "%lld %zu", (long long) step.taken, step.count);
    cr_expect(step.count == 1 && step.changed[0].state == 'r' && step.changed[0].reason == 1);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM job_item WHERE status = 'Applied'"), 1);
    cr_expect_eq(pg_number(pg, "SELECT done * 100 + skipped * 10 + failed FROM job"), 11, "one skipped, one gone");

    cr_assert_eq(bulk_applied(db, arena, &job, "", 10, &step, &err), PKI_OK, "%s", err.text);
    cr_expect(step.taken == 1 && step.count == 1, "a worker that comes after knows what was not told");
    cr_assert_eq(bulk_told(db, &job, "", &err), PKI_OK);
    cr_expect_eq(pg_number(pg, "SELECT done FROM job"), 1);

    PQclear(pg_sql(pg, "UPDATE job SET fence = fence + 1"));
    cr_expect_eq(bulk_revoke(db, arena, &job, 1, 0, "", 3, &step, &err), PKI_E_CONFLICT, "a lost job changes nothing");
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM revocation"), 3);
}

Test(job, asks_for_renewals_and_follows_them)
{
    const char  *id;
    job_filter_t filter = { .profile_id = "prof-device", .scope = &everything };
    job_claim_t  job, child;
    int64_t      taken, open;

    issue_some(3);
    bulk("BulkRenew", &filter, &id);
    cr_assert_eq(store_revoke(db, arena, "host-03", 0, 4, NULL), PKI_OK, "meanwhile");
    job = claim("BulkRenew");
    cr_assert_eq(bulk_renew(db, &job, 10, &taken, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(taken, 3);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM job WHERE type = 'Renewal' AND parent_no = %lld", (long long) job.no), 2);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM certificate_renewal WHERE status = 'RenewalInProgress'"), 2);
    child = claim("Renewal");
    cr_assert_eq(finish(&child, JOB_COMPLETED), PKI_OK);
    child = claim("Renewal");
    cr_assert_eq(job_finish(db, &child, &(job_end_t){ .state = JOB_FAILED, .error = "why" }, &err), PKI_OK);
    cr_assert_eq(bulk_renewals_follow(db, &job, &open, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(open, 0);
    cr_expect_eq(pg_number(pg, "SELECT done * 100 + skipped * 10 + failed FROM job WHERE id = '%s'", id), 111);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM certificate_renewal WHERE status = 'Failed'"), 1);
}

Test(job, cancelled_takes_along_the_renewals_that_have_not_begun)
{
    const char  *id;
    job_filter_t filter = { .profile_id = "prof-device", .scope = &everything };
    job_claim_t  job, child;
    int64_t      taken;

    issue_some(3);
    bulk("BulkRenew", &filter, &id);
    job = claim("BulkRenew");
    cr_assert_eq(bulk_renew(db, &job, 10, &taken, &err), PKI_OK, "%s", err.text);
    child = claim("Renewal");
    cr_assert_eq(job_cancel(db, id, NULL, &call, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM job WHERE type = 'Renewal' AND status = 'Cancelled'"), 2);
    cr_expect_eq(finish(&child, JOB_COMPLETED), PKI_OK, "what runs goes on");
}

Test(job, a_certificate_has_one_open_renewal)
{
    const job_order_t order = { .type = "Renewal", .params = "{}", .max_attempts = 3, .retry_s = 1, .audit = &call };
    const char       *id;
    job_claim_t       job;

    issue_some(1);
    cr_assert_eq(job_renewal_insert(db, arena, &order, "mc-host-01", &id, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(job_renewal_insert(db, arena, &order, "mc-host-01", &id, &err), PKI_E_CONFLICT);
    job = claim("Renewal");
    cr_assert_eq(finish(&job, JOB_FAILED), PKI_OK);
    cr_expect_eq(job_renewal_insert(db, arena, &order, "mc-host-01", &id, &err), PKI_OK, "another one when it is over");
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM certificate_renewal WHERE status = 'Failed'"), 0);
}

/* A certificate of this life in days, of which so much is left, with a policy of 30 days. */
static void
due_case(const char *name, uint32_t n, int64_t days, int64_t left_days)
{
    cert_record_t in = store_cert(arena, name, n, days * DAY_S);
    bool          won;

    in.not_before = clock_now() - (days - left_days) * DAY_S;
    in.not_after = clock_now() + left_days * DAY_S + 60;
    cr_assert_eq(cert_record(db, &in, &won, &err), PKI_OK, "%s", err.text);
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET renewal_policy_id = 'rp-a' WHERE id = 'mc-%s'", name));
}

Test(job, renewals_are_due_in_the_window_of_the_policy_and_the_last_third_of_the_lifetime)
{
    int64_t count;

    PQclear(pg_sql(pg, "INSERT INTO renewal_policy VALUES ('rp-a', 'a', 30, true, 4, 7, '{30}', '{}')"));
    due_case("year-29", 1, 365, 29);
    due_case("year-31", 2, 365, 31);
    due_case("six-1", 3, 6, 1);
    due_case("six-5", 4, 6, 5);
    due_case("fresh", 5, 47, 20);
    cr_assert_eq(job_renewals_due(db, 100, &count, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(count, 2);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM job WHERE certificate_id IN ('mc-year-29', 'mc-six-1') "
                               "AND max_attempts = 5 AND retry_s = 7"), 2, "as the policy says");
    cr_assert_eq(job_renewals_due(db, 100, &count, &err), PKI_OK);
    cr_expect_eq(count, 0, "not twice");
    PQclear(pg_sql(pg, "UPDATE job SET status = 'Running'; UPDATE job SET status = 'Failed', completed_at = now()"));
    cr_assert_eq(job_renewals_due(db, 100, &count, &err), PKI_OK);
    cr_expect_eq(count, 0, "not at once after one that failed for good");
    PQclear(pg_sql(pg, "UPDATE job SET completed_at = now() - interval '25 hours'"));
    cr_assert_eq(job_renewals_due(db, 100, &count, &err), PKI_OK);
    cr_expect_eq(count, 2, "but a day later");
    PQclear(pg_sql(pg, "DELETE FROM job; UPDATE renewal_policy SET auto_renew = false"));
    cr_assert_eq(job_renewals_due(db, 100, &count, &err), PKI_OK);
    cr_expect_eq(count, 0, "unless the policy does not want it");
}

Test(job, statistics_count_each_certificate_once_and_only_inside_of_the_scope)
{
    const char          *owners[] = { "owner-a" };
    scope_t              scope = { .ids = { [SCOPE_OWNER] = { owners, 1 } } };
    const job_order_t    order = { .type = "Renewal", .params = "{}", .max_attempts = 3, .retry_s = 1, .audit = &call };
    const char          *id;
    stats_certificates_t s;

    issue_some(7);
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET expires_at = now() + interval '60 days';"
                       "UPDATE managed_certificate SET expires_at = now() + interval '9 days' WHERE id = 'mc-host-01';"
                       "UPDATE managed_certificate SET expires_at = now() - interval '1 day' WHERE id = 'mc-host-02';"
                       "UPDATE managed_certificate SET archived_at = now() WHERE id = 'mc-host-03';"
                       "INSERT INTO owner (id, name) VALUES ('owner-a', 'a');"
                       "UPDATE managed_certificate SET owner_id = 'owner-a' WHERE id <= 'mc-host-02'"));
    cr_assert_eq(store_revoke(db, arena, "host-04", 0, 4, NULL), PKI_OK);
    cr_assert_eq(job_renewal_insert(db, arena, &order, "mc-host-05", &id, &err), PKI_OK);
    cr_assert_eq(stats_certificates(db, &everything, &s, &err), PKI_OK, "%s", err.text);
    cr_expect(s.active == 2 && s.expiring == 1 && s.expired == 1 && s.renewal_in_progress == 1 && s.failed == 0
              && s.revoked == 1 && s.archived == 1 && s.total == 7);
    cr_assert_eq(stats_certificates(db, &scope, &s, &err), PKI_OK);
    cr_expect(s.active == 0 && s.expiring == 1 && s.expired == 1 && s.revoked == 0 && s.total == 2);
}
