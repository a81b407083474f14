/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The clock: the kernel's, plus what a test shifted it by.
 */
#include "core/clock.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic int64_t clock_shifted_s;

static int64_t
clock_read_us(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (int64_t) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t
clock_now(void)
{
    return clock_now_ms() / 1000;
}

int64_t
clock_now_ms(void)
{
    return clock_read_us(CLOCK_REALTIME) / 1000 + atomic_load(&clock_shifted_s) * 1000;
}

int64_t
clock_mono_us(void)
{
    return clock_read_us(CLOCK_MONOTONIC);
}

void
clock_shift(int64_t seconds)
{
    atomic_store(&clock_shifted_s, seconds);
}
