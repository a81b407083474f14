/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What the API counts: answers by route and status, latencies by limits class, refusals.  Counters are
 * atomic and never locked.
 */
#ifndef ORCHESTRATOR_API_METRICS_H
#define ORCHESTRATOR_API_METRICS_H

#include "orchestrator/api/route.h"

typedef struct metrics metrics_t;

metrics_t *metrics_new(void);
void       metrics_free(metrics_t *m);

/* One answer; route is NULL where no path matched. */
void metrics_count(metrics_t *m, const route_t *route, int status, int64_t took_us);

/* Requests now being served: +1, -1. */
void metrics_busy(metrics_t *m, int by);

/* The API's own families in Prometheus' text format. */
void metrics_print(metrics_t *m, pki_buf_t *out);

/*
 * The families of this host's nginx, asked for at its socket, and chancery_edge_up: 0 when it did not answer, which
 * is no error.  An empty path: nothing is printed.  Takes half a second at most.
 */
void metrics_edge_print(const char *socket, pki_arena_t *a, pki_buf_t *out);

/* One family with one sample, for the figures of other parts. */
void metric_print(pki_buf_t *out, const char *name, const char *type, const char *help, double value);

#endif
