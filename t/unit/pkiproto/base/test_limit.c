/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Token buckets against a count: so many in a time, whoever asks and whenever.
 */
#include "pkiproto/base/limit.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdlib.h>

#define T0 123456789

static limit_table_t *table;
static void          *memory;

static void
make(size_t size)
{
    memory = malloc(size);
    table = limit_table_make(memory, size, 0x9e3779b97f4a7c15);
    cr_assert_not_null(table);
}

static void
setup(void)
{
    make(65536);
}

static void
teardown(void)
{
    free(memory);
}

TestSuite(limit, .init = setup, .fini = teardown);

static uint64_t
rate(const char *text)
{
    uint64_t found = 0;

    cr_assert(limit_rate_parse(bytes_str(text), &found), "%s", text);
    return found;
}

/* How many get through when one asks every step_ms from from_ms to to_ms. */
static unsigned
taken(const limit_rates_t *rates, uint64_t source, uint64_t from_ms, uint64_t to_ms, uint64_t step_ms)
{
    unsigned n = 0;

    for (uint64_t t = from_ms; t < to_ms; t += step_ms) {
        n += limit_take(table, rates, source, T0 + t) == 0;
    }
    return n;
}

typedef struct {
    char text[24];
    bool good;
} rate_case_t;

ParameterizedTestParameters(limit, reads_rates_as_nginx_does)
{
    static rate_case_t cases[] = {
        { "1r/s", true },  { "30r/m", true }, { "1000000r/s", true }, { "1r/m", true },   { "", false },      { "r/s", false },
        { "0r/s", false }, { "5", false },    { "5r/h", false },      { "-5r/s", false }, { "5r/s ", false }, { "1000001r/s", false },
        { "99999999999999999r/s", false },    { "0r/m", false },      { "5r", false },
    };

    return cr_make_param_array(rate_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(rate_case_t *c, limit, reads_rates_as_nginx_does)
{
    uint64_t found = 0;

    cr_expect_eq(limit_rate_parse(bytes_str(c->text), &found), c->good, "%s", c->text);
    cr_expect(!c->good || found > 0);
}

typedef struct {
    char     rate[16];
    uint64_t step_ms, time_ms;
    unsigned least, most;
} flow_case_t;

ParameterizedTestParameters(limit, lets_a_second_s_worth_and_then_the_rate_through)
{
    static flow_case_t cases[] = {
        { "10r/s", 1, 10000, 109, 110 },  { "10r/s", 10, 10000, 109, 110 }, { "10r/s", 100, 10000, 100, 100 },
        { "10r/s", 200, 10000, 50, 50 },  { "1r/s", 1, 10000, 10, 11 },     { "60r/m", 1, 10000, 10, 11 },
        { "30r/m", 7, 100000, 50, 51 },   { "1r/m", 10, 120000, 2, 2 },     { "1000r/s", 1, 3000, 3000, 3000 },
    };

    return cr_make_param_array(flow_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(flow_case_t *c, limit, lets_a_second_s_worth_and_then_the_rate_through)
{
    limit_rates_t by_source = { .source = rate(c->rate) }, in_total = { .total = rate(c->rate) };
    unsigned      n = taken(&by_source, 1, 0, c->time_ms, c->step_ms);

    cr_expect(n >= c->least && n <= c->most, "%s, each %llu ms, one source: %u", c->rate, (unsigned long long) c->step_ms, n);
    n = taken(&in_total, 1, 0, c->time_ms, c->step_ms);
    cr_expect(n >= c->least && n <= c->most, "%s, each %llu ms, in total: %u", c->rate, (unsigned long long) c->step_ms, n);
}

Test(limit, keeps_sources_apart)
{
    limit_rates_t rates = { .source = rate("5r/s") };

    cr_expect_eq(taken(&rates, 1, 0, 100, 1), 5);
    cr_expect_eq(taken(&rates, 2, 100, 200, 1), 5);
    cr_expect_neq(limit_take(table, &rates, 1, T0 + 199), 0);
}

Test(limit, lets_nobody_through_when_the_total_is_spent_and_then_costs_the_source_nothing)
{
    limit_rates_t rates = { .source = rate("5r/s"), .total = rate("8r/s") };

    cr_expect_eq(taken(&rates, 1, 0, 10, 1), 5);
    cr_expect_eq(taken(&rates, 2, 10, 20, 1), 3);
    cr_expect_eq(taken(&rates, 3, 20, 30, 1), 0);
    cr_expect_eq(taken(&rates, 3, 2000, 2010, 1), 5, "it had five all the time");
}

Test(limit, says_how_long_to_wait)
{
    limit_rates_t rates = { .source = rate("1r/m") };
    uint64_t      wait;

    cr_assert_eq(limit_take(table, &rates, 1, T0), 0);
    wait = limit_take(table, &rates, 1, T0 + 1000);
    cr_expect(wait > 58000 && wait < 63000, "%llu ms", (unsigned long long) wait);
    cr_expect_neq(limit_take(table, &rates, 1, T0 + 1000 + wait - 1), 0);
    cr_expect_eq(limit_take(table, &rates, 1, T0 + 1000 + wait), 0);
}

Test(limit, forgets_who_was_quiet_longest_when_there_is_no_room)
{
    limit_rates_t rates = { .source = rate("1r/m"), .total = rate("1000000r/s") };

    for (uint64_t source = 0; source < 100000; source++) {
        cr_assert_eq(limit_take(table, &rates, source, T0 + source), 0, "a new source has a full bucket");
    }
    cr_expect_neq(limit_take(table, &rates, 99999, T0 + 100000), 0, "the latest is known");
    cr_expect_eq(limit_take(table, &rates, 0, T0 + 100000), 0, "the first is not");
}

Test(limit, holds_about_as_many_sources_as_its_memory_has_room_for)
{
    limit_rates_t rates = { .source = rate("1r/m") };
    unsigned      known = 0;

    for (uint64_t source = 0; source < 1000; source++) {
        (void) limit_take(table, &rates, source, T0 + source);
    }
    for (uint64_t source = 0; source < 1000; source++) {
        known += limit_take(table, &rates, source, T0 + 1000) != 0;
    }
    cr_expect_gt(known, 900, "%u of 1000 in 65536 octets", known);
}

Test(limit, is_bounded_by_the_total_for_whoever_has_many_addresses)
{
    limit_rates_t rates = { .source = rate("100r/s"), .total = rate("200r/s") };
    unsigned      n = 0;

    for (uint64_t i = 0; i < 50000; i++) {
        n += limit_take(table, &rates, i, T0 + i / 10) == 0;
    }
    cr_expect(n >= 1195 && n <= 1205, "five seconds: %u", n);
}

Test(limit, does_not_mind_a_clock_that_seems_to_go_back)
{
    limit_rates_t rates = { .source = rate("5r/s") };

    cr_expect_eq(taken(&rates, 1, 1000, 1010, 1), 5);
    cr_expect_eq(taken(&rates, 1, 0, 900, 1), 0);
    cr_expect_eq(taken(&rates, 1, 2100, 2110, 1), 5);
}

static uint64_t
source(const char *text)
{
    uint8_t address[16];
    bool    six = strchr(text, ':') != NULL;

    cr_assert_eq(inet_pton(six ? AF_INET6 : AF_INET, text, address), 1, "%s", text);
    return limit_source(bytes_of(address, six ? 16 : 4));
}

typedef struct {
    char a[40], b[40];
    bool same;
} source_case_t;

ParameterizedTestParameters(limit, takes_an_address_of_IPv4_and_a_network_of_IPv6_for_a_source)
{
    static source_case_t cases[] = {
        { "192.0.2.1", "192.0.2.1", true },
        { "192.0.2.1", "192.0.2.2", false },
        { "192.0.2.1", "::ffff:192.0.2.1", true },
        { "::ffff:192.0.2.1", "::ffff:192.0.2.2", false },
        { "2001:db8:1:2::1", "2001:db8:1:2:ffff::", true },
        { "2001:db8:1:2::1", "2001:db8:1:3::1", false },
        { "2001:db8::1", "2001:db9::1", false },
        { "::1", "127.0.0.1", false },
    };

    return cr_make_param_array(source_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(source_case_t *c, limit, takes_an_address_of_IPv4_and_a_network_of_IPv6_for_a_source)
{
    cr_expect_eq(source(c->a) == source(c->b), c->same, "%s and %s", c->a, c->b);
}

Test(limit, wants_room_for_one_set)
{
    uint64_t small[4];

    cr_expect_null(limit_table_make(small, sizeof(small), 1));
}
