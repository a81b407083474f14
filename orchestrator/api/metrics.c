/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Counters and latency histograms, printed in Prometheus' text exposition format; those of nginx beside them.
 */
#include "orchestrator/api/metrics.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "core/http.h"

#define EDGE_PATH       "/metrics"
#define EDGE_TIMEOUT_MS 500
#define EDGE_PAGE_MAX   (4u << 20)

/* Upper bounds of the histogram's buckets, in microseconds. */
static const struct {
    int64_t     us;
    const char *le;
} buckets[] = {
    { 500, "0.0005" },  { 1000, "0.001" },  { 2500, "0.0025" }, { 5000, "0.005" },
    { 10000, "0.01" },  { 25000, "0.025" }, { 50000, "0.05" },  { 100000, "0.1" },
    { 250000, "0.25" }, { 500000, "0.5" },  { 1000000, "1" },   { 2500000, "2.5" },
};
#define BUCKETS (sizeof(buckets) / sizeof(buckets[0]))

/* Statuses that the API answers with; the last row takes any other. */
static const int statuses[] = { 200, 201, 204, 400, 401, 403, 404, 405, 409, 413, 415, 429, 500, 503, 0 };
#define STATUSES (sizeof(statuses) / sizeof(statuses[0]))

typedef struct {
    atomic_uint_fast64_t bucket[BUCKETS + 1], sum_us;
} histogram_t;

struct metrics {
    histogram_t           latency[LIMITS_COUNT];
    atomic_int            busy;
    atomic_uint_fast64_t *answers; /* (routes + 1) x STATUSES; the last row: no route */
};

metrics_t *
metrics_new(void)
{
    metrics_t *m = calloc(1, sizeof(*m));

    if (m != NULL) {
        m->answers = calloc((route_count() + 1) * STATUSES, sizeof(*m->answers));
        if (m->answers == NULL) {
            free(m);
            m = NULL;
        }
    }
    return m;
}

void
metrics_free(metrics_t *m)
{
    if (m != NULL) {
        free(m->answers);
        free(m);
    }
}

static void
histogram_add(histogram_t *h, int64_t took_us)
{
    size_t i = 0;

    while (i < BUCKETS && took_us > buckets[i].us) {
        i++;
    }
    atomic_fetch_add_explicit(&h->bucket[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, (uint64_t) took_us, memory_order_relaxed);
}

void
metrics_count(metrics_t *m, const route_t *route, int status, int64_t took_us)
{
    size_t row = route != NULL ? route_index(route) : route_count(), column = 0;

    while (statuses[column] != 0 && statuses[column] != status) {
        column++;
    }
    atomic_fetch_add_explicit(&m->answers[row * STATUSES + column], 1, memory_order_relaxed);
    if (route != NULL) {
        histogram_add(&m->latency[route->limits], took_us);
    }
}

void
metrics_busy(metrics_t *m, int by)
{
    atomic_fetch_add_explicit(&m->busy, by, memory_order_relaxed);
}

void
metric_print(pki_buf_t *out, const char *name, const char *type, const char *help, double value)
{
    pki_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type, name, value);
}

static void
answers_print(metrics_t *m, pki_buf_t *out)
{
    pki_buf_printf(out, "# HELP chancery_http_requests_total Answered requests by route and status.\n"
                        "# TYPE chancery_http_requests_total counter\n");
    for (size_t row = 0; row <= route_count(); row++) {
        const route_t *route = route_at(row);

        for (size_t column = 0; column < STATUSES; column++) {
            uint64_t n = atomic_load_explicit(&m->answers[row * STATUSES + column], memory_order_relaxed);

            if (n > 0) {
                pki_buf_printf(out, "chancery_http_requests_total{method=\"%s\",route=\"%s\",status=\"%d\"} %llu\n",
                               route != NULL ? route->method : "", route != NULL ? route->path : "",
                               statuses[column], (unsigned long long) n);
            }
        }
    }
}

/* The buckets are read once and summed, so that what is printed agrees with itself. */
static void
histogram_print(histogram_t *h, const char *class, pki_buf_t *out)
{
    uint64_t sum_us = atomic_load_explicit(&h->sum_us, memory_order_relaxed), total = 0;

    for (size_t i = 0; i <= BUCKETS; i++) {
        total += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
        pki_buf_printf(out, "chancery_http_request_duration_seconds_bucket{class=\"%s\",le=\"%s\"} %llu\n", class,
                       i < BUCKETS ? buckets[i].le : "+Inf", (unsigned long long) total);
    }
    pki_buf_printf(out,
                   "chancery_http_request_duration_seconds_sum{class=\"%s\"} %.6f\n"
                   "chancery_http_request_duration_seconds_count{class=\"%s\"} %llu\n",
                   class, (double) sum_us / 1e6, class, (unsigned long long) total);
}

void
metrics_print(metrics_t *m, pki_buf_t *out)
{
    answers_print(m, out);
    pki_buf_printf(out, "# HELP chancery_http_request_duration_seconds Time from the request line to the answer.\n"
                        "# TYPE chancery_http_request_duration_seconds histogram\n");
    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        histogram_print(&m->latency[i], limits_rows[i].name, out);
    }
    metric_print(out, "chancery_http_requests_in_progress", "gauge", "Requests being served now.",
                 atomic_load_explicit(&m->busy, memory_order_relaxed));
}

void
metrics_edge_print(const char *socket, pki_arena_t *a, pki_buf_t *out)
{
    bytes_t page = BYTES_NONE;
    bool    up;

    if (socket[0] == '\0') {
        return;
    }
    up = http_unix_get(a, socket, EDGE_PATH, EDGE_TIMEOUT_MS, EDGE_PAGE_MAX, &page, NULL) == PKI_OK;
    metric_print(out, "chancery_edge_up", "gauge", "1 when this host's nginx gave its figures.", up);
    if (up) {
        pki_buf_put(out, page);
    }
}
