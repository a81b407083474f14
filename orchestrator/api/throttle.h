/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * How much one caller may ask for: a token bucket for each actor that has said who it is, and for each source address of
 * those that have not, in memory of a fixed size.  The bucket that has been full longest gives its place to a new one.
 */
#ifndef ORCHESTRATOR_API_THROTTLE_H
#define ORCHESTRATOR_API_THROTTLE_H

#include "orchestrator/conf.h"

typedef struct throttle throttle_t;

/* Room for about `buckets` of them. */
throttle_t *throttle_new(size_t buckets);
void        throttle_free(throttle_t *t);

typedef enum { THROTTLE_SOURCE, THROTTLE_ACTOR, THROTTLE_EXPORT } throttle_kind_t;

/* How fast and how many at once; a period of 0 is no limit. */
typedef struct {
    int64_t period_us, burst; /* a token comes each period_us */
} throttle_rate_t;
throttle_rate_t throttle_rate(const conf_limits_t *conf, throttle_kind_t kind);

/* Who: an address as text, or the id of an actor.  0: a token was taken; else microseconds until there is one. */
int64_t throttle_take(throttle_t *t, throttle_kind_t kind, const char *who, const throttle_rate_t *rate, int64_t now_us);

#endif
