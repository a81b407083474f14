/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Group commit: every job is served once, never two turns at a time, and together when they come together.
 */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <unistd.h>

#include "core/group.h"

#define CALLERS 16
#define ROUNDS  400

typedef struct {
    group_job_t group;
    int         served;
    bool        alone;
} job_t;

typedef struct {
    group_t    group;
    atomic_int running;
    int        overlaps, turns, jobs, largest, mixed;
} work_t;

static work_t work;

static void
turn(void *arg, group_job_t *list)
{
    work_t *w = arg;
    int     size = 0;

    w->overlaps += atomic_fetch_add(&w->running, 1) != 0;
    for (group_job_t *each = list; each != NULL; each = each->next) {
        job_t *job = (job_t *) (void *) each;

        job->served++;
        w->mixed += job->alone && (each != list || each->next != NULL);
        w->jobs++;
        size++;
    }
    w->turns++;
    w->largest = size > w->largest ? size : w->largest;
    usleep(50); /* long enough for others to come */
    atomic_fetch_sub(&w->running, 1);
}

static bool
joins(const group_job_t *list, const group_job_t *job)
{
    return !((const job_t *) (const void *) list)->alone && !((const job_t *) (const void *) job)->alone;
}

static int served_wrong[CALLERS];

static void *
caller(void *arg)
{
    int number = (int) (intptr_t) arg;

    for (int i = 0; i < ROUNDS; i++) {
        job_t job = { .alone = number == 0 };

        group_serve(&work.group, &job.group);
        served_wrong[number] += job.served != 1;
    }
    return NULL;
}

static void
run_all(const group_ops_t *ops)
{
    pthread_t threads[CALLERS];

    group_init(&work.group, ops, &work);
    for (int i = 0; i < CALLERS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, caller, (void *) (intptr_t) i), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
    }
    group_fini(&work.group);
}

Test(group, serves_every_job_once_and_many_together)
{
    static const group_ops_t ops = { .max = 8, .run = turn };

    run_all(&ops);
    cr_expect_eq(work.jobs, CALLERS * ROUNDS);
    cr_expect_eq(work.overlaps, 0);
    cr_expect_leq(work.largest, 8);
    cr_expect_lt(work.turns, CALLERS * ROUNDS / 2, "%d turns for %d jobs", work.turns, CALLERS * ROUNDS);
    for (int i = 0; i < CALLERS; i++) {
        cr_expect_eq(served_wrong[i], 0);
    }
}

Test(group, gives_a_turn_of_its_own_to_a_job_that_does_not_join)
{
    static const group_ops_t ops = { .max = CALLERS, .run = turn, .joins = joins };

    run_all(&ops);
    cr_expect_eq(work.jobs, CALLERS * ROUNDS);
    cr_expect_eq(work.mixed, 0);
    cr_expect_eq(work.overlaps, 0);
}
