/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The table of job types, and back-off.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "orchestrator/job/part.h"
#include "orchestrator/store/list.h"

Test(job_types, every_row_has_what_the_runner_relies_on)
{
    const job_type_t *type;
    size_t            i;

    for (i = 0; (type = job_type_at(i)) != NULL; i++) {
        cr_expect(type->name != NULL && type->name[0] >= 'A' && type->name[0] <= 'Z', "row %zu", i);
        cr_expect_not_null(type->run, "%s", type->name);
        cr_expect(type->max_attempts >= 1 && type->retry_s >= 1 && type->timeout_s >= 1, "%s", type->name);
        cr_expect_eq(job_type_find(type->name), type, "%s is twice", type->name);
    }
    cr_expect_geq(i, 3);
    cr_expect_null(job_type_find("renewal"), "names are exact");
}

Test(job_types, waits_double_up_to_an_hour_and_no_two_are_the_same)
{
    cr_expect_eq(job_backoff_ms(10, 1, 0), 10000);
    cr_expect_eq(job_backoff_ms(10, 2, 0), 20000);
    cr_expect_eq(job_backoff_ms(10, 5, 0), 160000);
    cr_expect_eq(job_backoff_ms(10, 60, 0), 3600000, "an hour at most");
    cr_expect_eq(job_backoff_ms(86400, 3, 0), 86400000, "unless the policy says more");
    cr_expect_eq(job_backoff_ms(10, 1, 500), 11250);
    cr_expect_lt(job_backoff_ms(10, 1, 999), 12500, "a quarter more at most");
}

Test(job_types, criteria_have_one_member_for_each_thing_that_a_grant_can_be_limited_to)
{
    for (size_t kind = 0; kind < SCOPE_KINDS; kind++) {
        char name[32];
        bool found = false;

        snprintf(name, sizeof(name), "%s_id", scope_names[kind]);
        for (const field_t *f = bulk_renew_fields; f->type != FIELD_T_END; f++) {
            found = found || strcmp(f->name, name) == 0;
        }
        cr_expect(found, "%s", name);
        cr_expect_not_null(list_jobs.scopes[kind], "%s: by its criteria a bulk job is found again", name);
    }
}
