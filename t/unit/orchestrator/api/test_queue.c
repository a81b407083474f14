/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The bounded queue: nothing lost, nothing twice, never more than its depth.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

#include "orchestrator/api/queue.h"

static atomic_int  seen[10000];
static atomic_bool hold;

static void
work(void *item, void *arg)
{
    (void) arg;
    while (atomic_load(&hold)) {
        usleep(100);
    }
    atomic_fetch_add(&seen[(uintptr_t) item], 1);
}

Test(queue, runs_every_item_once)
{
    queue_t *q = NULL;

    cr_assert_eq(queue_open(8, 64, work, NULL, &q, NULL), PKI_OK);
    for (uintptr_t i = 1; i < 10000; i++) {
        while (!queue_put(q, (void *) i)) {
            usleep(10);
        }
    }
    queue_stop(q);
    for (size_t i = 1; i < 10000; i++) {
        cr_assert_eq(atomic_load(&seen[i]), 1, "%zu", i);
    }
    cr_expect(!queue_put(q, (void *) 1), "closed is closed");
    queue_free(q);
}

Test(queue, refuses_what_is_above_its_depth_and_finishes_what_it_took)
{
    queue_t *q = NULL;
    size_t   taken = 0;

    atomic_store(&hold, true);
    cr_assert_eq(queue_open(1, 4, work, NULL, &q, NULL), PKI_OK);
    for (uintptr_t i = 1; i <= 20; i++) {
        taken += queue_put(q, (void *) i);
        while (i == 1 && queue_length(q) > 0) {
            usleep(100); /* the worker takes the first when it gets the machine */
        }
    }
    cr_expect_eq(taken, 5, "one at work and four waiting, not %zu", taken);
    cr_expect_eq(queue_length(q), 4);
    atomic_store(&hold, false);
    queue_stop(q);
    for (size_t i = 1; i <= 20; i++) {
        cr_expect_eq(atomic_load(&seen[i]), i <= 5, "%zu", i);
    }
    queue_free(q);
}
