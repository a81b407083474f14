/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Threads that append audit events as the daemon does.
 *
 *     audit_append URL add|trail THREADS SECONDS [RATE]
 *
 * add: each event by itself, on a connection for each thread.  trail: all threads put theirs into the list of calls,
 * which one thread writes.  RATE: events a second of all threads together, as fast as they come by default.
 * Prints events written, seconds until the last one was, and events lost.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "orchestrator/api/trail.h"

#define THREADS_MAX 64
#define FLUSH_MS    60000

static struct {
    db_t            *db;
    trail_t         *trail; /* NULL: each event by itself */
    int              threads;
    int64_t          start_us, until_us;
    double           rate; /* of one thread; 0: no limit */
    _Atomic(int64_t) done, failed;
} bench;

/* What a call of the API leaves: t/bench/audit.py inserts the same row. */
static const audit_t event = {
    .actor = "key-0123456789abcdef", .actor_type = "api_key", .action = "certificate.list",
    .resource_type = "certificate", .resource_id = "mc-0123456789abcdef", .status = 200,
    .request_id = "0123456789abcdef0123456789abcdef", .source = "192.0.2.1", .latency_us = 1234,
    .body_hash = "0123456789abcdef", .details = "{\"route\": \"/api/v1/certificates\"}",
};

static void
turn_await(int64_t no)
{
    int64_t due_us = bench.start_us + (int64_t) ((double) no / bench.rate * 1e6), now_us = clock_mono_us();

    if (due_us > now_us) {
        usleep((useconds_t) (due_us - now_us));
    }
}

static void *
work(void *arg)
{
    pki_err_t err;

    (void) arg;
    for (int64_t no = 0; clock_mono_us() < bench.until_us; no++) {
        if (bench.rate > 0) {
            turn_await(no);
        }
        if (bench.trail != NULL) {
            trail_put(bench.trail, &event, true);
        } else if (audit_add(bench.db, &event, &err) == PKI_OK) {
            bench.done++;
        } else if (bench.failed++ == 0) {
            fprintf(stderr, "%s\n", err.text);
        }
    }
    return NULL;
}

static void
threads_run(void)
{
    pthread_t thread[THREADS_MAX];

    for (int i = 0; i < bench.threads; i++) {
        pthread_create(&thread[i], NULL, work, NULL);
    }
    for (int i = 0; i < bench.threads; i++) {
        pthread_join(thread[i], NULL);
    }
}

static void
trail_count(void)
{
    trail_stats_t stats;

    trail_flush(bench.trail, FLUSH_MS);
    trail_stats(bench.trail, &stats);
    bench.done = (int64_t) stats.written;
    bench.failed = (int64_t) (stats.lost + stats.waiting);
}

int
main(int argc, char **argv)
{
    int             seconds = argc > 4 ? atoi(argv[4]) : 0;
    bool            trail = argc > 2 && strcmp(argv[2], "trail") == 0;
    conf_database_t conf = { .url = argv[1], .timeout_ms = 5000 };
    double          took_s;
    pki_err_t       err;

    bench.threads = argc > 3 ? atoi(argv[3]) : 0;
    if (bench.threads < 1 || bench.threads > THREADS_MAX || seconds < 1) {
        fprintf(stderr, "usage: audit_append URL add|trail THREADS SECONDS [RATE]\n");
        return 2;
    }
    conf.pool = bench.threads;
    if (db_open(&conf, &bench.db, &err) != PKI_OK || db_schema_check(bench.db, &err) != PKI_OK
        || (trail && trail_open(bench.db, &bench.trail, &err) != PKI_OK))
    {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    bench.rate = argc > 5 ? strtod(argv[5], NULL) / bench.threads : 0;
    bench.start_us = clock_mono_us();
    bench.until_us = bench.start_us + seconds * INT64_C(1000000);
    threads_run();
    if (trail) {
        trail_count();
    }
    took_s = (double) (clock_mono_us() - bench.start_us) / 1e6;
    printf("%lld %.3f %lld\n", (long long) bench.done, took_s, (long long) bench.failed);
    trail_close(bench.trail);
    db_close(bench.db);
    return bench.failed != 0;
}
