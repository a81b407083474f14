/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The clock against time(2).
 */
#include "core/clock.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <time.h>

Test(clock, follows_the_system)
{
    cr_expect_leq(llabs(clock_now() - (int64_t) time(NULL)), 1);
    cr_expect_leq(llabs(clock_now_ms() / 1000 - clock_now()), 1);
}

Test(clock, can_be_shifted_without_moving_durations)
{
    int64_t mono = clock_mono_us();

    clock_shift(86400 * 365);
    cr_expect_leq(llabs(clock_now() - ((int64_t) time(NULL) + 86400 * 365)), 1);
    cr_expect_leq(llabs(clock_now_ms() / 1000 - clock_now()), 1);
    cr_expect_lt(clock_mono_us() - mono, 60 * 1000000);
    clock_shift(0);
    cr_expect_leq(llabs(clock_now() - (int64_t) time(NULL)), 1);
}
