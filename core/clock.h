/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The clock, in one place so that tests can turn it.
 */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include <stdint.h>

int64_t clock_now(void);     /* seconds since 1970 */
int64_t clock_now_ms(void);  /* milliseconds since 1970 */
int64_t clock_mono_us(void); /* monotonic microseconds, for durations and deadlines */

/* For tests: seconds added to clock_now() and clock_now_ms(). */
void clock_shift(int64_t seconds);

#endif
