/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Token buckets with a clock of the test's own.
 */
#include "orchestrator/api/throttle.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define SECOND_US INT64_C(1000000)
#define START_US  (1000 * SECOND_US)

static const conf_limits_t limits = { .source_rps = 50, .source_burst = 100, .actor_burst = 7, .export_per_hour = 50 };

static size_t
taken(throttle_t *t, throttle_kind_t kind, const char *who, const throttle_rate_t *rate, int64_t now_us)
{
    size_t n = 0;

    while (n < 1000 && throttle_take(t, kind, who, rate, now_us) == 0) {
        n++;
    }
    return n;
}

Test(throttle, rates_are_those_of_the_configuration)
{
    conf_limits_t   other = limits;
    throttle_rate_t r = throttle_rate(&limits, THROTTLE_SOURCE);

    cr_expect(r.period_us == 20000 && r.burst == 100);
    r = throttle_rate(&limits, THROTTLE_ACTOR);
    cr_expect(r.period_us == 20000 && r.burst == 100, "an actor has what a source has");
    r = throttle_rate(&limits, THROTTLE_EXPORT);
    cr_expect(r.period_us == 72 * SECOND_US && r.burst == 50);
    other.actor_rps = 10;
    r = throttle_rate(&other, THROTTLE_ACTOR);
    cr_expect(r.period_us == 100000 && r.burst == 7, "unless it is said otherwise");
    other.source_rps = other.export_per_hour = 0;
    cr_expect_eq(throttle_rate(&other, THROTTLE_SOURCE).period_us, 0);
    cr_expect_eq(throttle_rate(&other, THROTTLE_EXPORT).period_us, 0);
}

Test(throttle, a_bucket_holds_its_burst_and_fills_at_its_rate)
{
    throttle_t     *t = throttle_new(64);
    throttle_rate_t rate = throttle_rate(&limits, THROTTLE_SOURCE);

    cr_expect_eq(taken(t, THROTTLE_SOURCE, "192.0.2.1", &rate, START_US), 100);
    cr_expect_eq(throttle_take(t, THROTTLE_SOURCE, "192.0.2.1", &rate, START_US), 20000, "and says when there is more");
    cr_expect_eq(throttle_take(t, THROTTLE_SOURCE, "192.0.2.1", &rate, START_US + 19999), 1);
    cr_expect_eq(throttle_take(t, THROTTLE_SOURCE, "192.0.2.1", &rate, START_US + 20000), 0);
    cr_expect_eq(taken(t, THROTTLE_SOURCE, "192.0.2.1", &rate, START_US + SECOND_US), 49);
    cr_expect_eq(taken(t, THROTTLE_SOURCE, "192.0.2.1", &rate, START_US + 3600 * SECOND_US), 100, "never more");
    throttle_free(t);
}

Test(throttle, callers_do_not_share_but_those_of_one_network_do)
{
    throttle_t     *t = throttle_new(1024);
    throttle_rate_t rate = throttle_rate(&limits, THROTTLE_SOURCE);

    cr_expect_eq(taken(t, THROTTLE_SOURCE, "2001:db8:0:1::1", &rate, START_US), 100);
    cr_expect_eq(taken(t, THROTTLE_SOURCE, "2001:db8:0:1:ffff::1", &rate, START_US), 0);
    cr_expect_eq(taken(t, THROTTLE_SOURCE, "2001:db8:0:2::1", &rate, START_US), 100);
    cr_expect_eq(taken(t, THROTTLE_SOURCE, "192.0.2.1", &rate, START_US), 100);
    cr_expect_eq(taken(t, THROTTLE_SOURCE, "::ffff:192.0.2.1", &rate, START_US), 0);
    cr_expect_eq(taken(t, THROTTLE_ACTOR, "192.0.2.1", &rate, START_US), 100, "an actor of that name is somebody else");
    cr_expect_eq(taken(t, THROTTLE_ACTOR, "key-a", &rate, START_US), 100);
    cr_expect_eq(taken(t, THROTTLE_ACTOR, "key-b", &rate, START_US), 100);
    cr_expect_eq(taken(t, THROTTLE_SOURCE, NULL, &rate, START_US), 100, "no address is one");
    throttle_free(t);
}

Test(throttle, a_flood_of_addresses_forgets_the_quiet_ones_first)
{
    throttle_t     *t = throttle_new(64);
    throttle_rate_t rate = throttle_rate(&limits, THROTTLE_SOURCE), hourly = throttle_rate(&limits, THROTTLE_EXPORT);
    char            who[32];

    cr_expect_eq(taken(t, THROTTLE_EXPORT, "key-a", &hourly, START_US), 50);
    for (int i = 0; i < 100000; i++) {
        snprintf(who, sizeof(who), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        cr_assert_eq(throttle_take(t, THROTTLE_SOURCE, who, &rate, START_US), 0, "a new one is let in");
    }
    cr_expect_eq(taken(t, THROTTLE_EXPORT, "key-a", &hourly, START_US), 0, "whoever has most to wait for is kept");
    throttle_free(t);
}
