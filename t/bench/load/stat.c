/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What a load tool counts, and the line of JSON that it prints.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "t/bench/load/load.h"

#define SUB_BITS 4 /* sixteen buckets for each power of two: five percent */

static const char *const failure_names[FAIL_COUNT] = {
    [FAIL_CONNECT] = "connect", [FAIL_BROKEN] = "broken", [FAIL_HTTP] = "http",
    [FAIL_OCSP] = "ocsp",       [FAIL_CHECK] = "check",
};
static const char *const ocsp_names[LOAD_OCSP_COUNT] = {
    "successful", "malformedRequest", "internalError", "tryLater", "status4", "sigRequired", "unauthorized", "none",
};

int64_t
load_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000000000 + t.tv_nsec;
}

double
load_cpu(pid_t pid)
{
    char          name[64], text[1024];
    const char   *at;
    unsigned long user = 0, kernel = 0;
    FILE         *in;

    snprintf(name, sizeof(name), "/proc/%d/stat", (int) (pid != 0 ? pid : getpid()));
    in = fopen(name, "r");
    if (in == NULL || fgets(text, sizeof(text), in) == NULL || (at = strrchr(text, ')')) == NULL
        || sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2) {
        load_die(name, "cannot be read");
    }
    fclose(in);
    return (double) (user + kernel) / (double) sysconf(_SC_CLK_TCK);
}

static unsigned
bucket_of(uint64_t v)
{
    unsigned top;

    if (v < 1 << SUB_BITS) {
        return (unsigned) v;
    }
    top = 63 - (unsigned) __builtin_clzll(v);
    return (top - SUB_BITS + 1) << SUB_BITS | (unsigned) (v >> (top - SUB_BITS) & ((1 << SUB_BITS) - 1));
}

/* The middle of a bucket. */
static double
bucket_value(unsigned i)
{
    unsigned shift = i >> SUB_BITS;

    if (shift == 0) {
        return i;
    }
    return ldexp((double) ((1 << SUB_BITS) + (i & ((1 << SUB_BITS) - 1))) + 0.5, (int) shift - 1);
}

void
load_stat_latency(load_stat_t *s, int64_t ns)
{
    s->latency[bucket_of(ns > 0 ? (uint64_t) ns : 0)]++;
}

void
load_stat_fail(load_stat_t *s, load_failure_t kind, const char *why)
{
    s->failed[kind]++;
    if (s->first_failure[0] == '\0') {
        snprintf(s->first_failure, sizeof(s->first_failure), "%s", why);
    }
}

static void
table_add(uint64_t *sum, const uint64_t *one, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sum[i] += one[i];
    }
}

void
load_stat_add(load_stat_t *sum, const load_stat_t *one)
{
    sum->answers += one->answers;
    sum->octets += one->octets;
    sum->checked += one->checked;
    sum->retried += one->retried;
    sum->reconnected += one->reconnected;
    table_add(sum->http, one->http, LOAD_HTTP_MAX);
    table_add(sum->ocsp, one->ocsp, LOAD_OCSP_COUNT);
    table_add(sum->failed, one->failed, FAIL_COUNT);
    table_add(sum->latency, one->latency, LOAD_BUCKETS);
    if (sum->first_failure[0] == '\0') {
        memcpy(sum->first_failure, one->first_failure, sizeof(sum->first_failure));
    }
}

double
load_stat_percentile(const load_stat_t *s, double part)
{
    uint64_t total = 0, seen = 0;

    for (unsigned i = 0; i < LOAD_BUCKETS; i++) {
        total += s->latency[i];
    }
    for (unsigned i = 0; i < LOAD_BUCKETS; i++) {
        seen += s->latency[i];
        if (seen > 0 && (double) seen >= part * (double) total) {
            return bucket_value(i) / 1000;
        }
    }
    return 0;
}

/* "name": {"a": 1, ...}: what is not zero. */
static void
table_print(const char *name, const uint64_t *v, size_t count, const char *const *names)
{
    const char *comma = "";

    printf(", \"%s\": {", name);
    for (size_t i = 0; i < count; i++) {
        if (v[i] != 0 && names != NULL) {
            printf("%s\"%s\": %llu", comma, names[i], (unsigned long long) v[i]);
        } else if (v[i] != 0) {
            printf("%s\"%zu\": %llu", comma, i, (unsigned long long) v[i]);
        }
        comma = v[i] != 0 ? ", " : comma;
    }
    printf("}");
}

void
load_stat_print(const load_stat_t *s, double seconds)
{
    uint64_t failed = 0;

    for (unsigned i = 0; i < FAIL_COUNT; i++) {
        failed += s->failed[i];
    }
    printf("{\"rate\": %.1f, \"seconds\": %.3f, \"answers\": %llu, \"failed\": %llu, \"p50_us\": %.1f, \"p99_us\": %.1f, "
           "\"max_us\": %.1f, \"cpu_s\": %.2f, \"server_cpu_s\": %.2f, \"octets\": %llu, \"checked\": %llu, \"retried\": %llu, \"reconnected\": %llu",
           seconds > 0 ? (double) s->answers / seconds : 0, seconds, (unsigned long long) s->answers,
           (unsigned long long) failed, load_stat_percentile(s, 0.5), load_stat_percentile(s, 0.99),
           load_stat_percentile(s, 1), s->cpu_s, s->server_cpu_s, (unsigned long long) s->octets, (unsigned long long) s->checked,
           (unsigned long long) s->retried, (unsigned long long) s->reconnected);
    table_print("http", s->http, LOAD_HTTP_MAX, NULL);
    table_print("ocsp", s->ocsp, LOAD_OCSP_COUNT, ocsp_names);
    table_print("failures", s->failed, FAIL_COUNT, failure_names);
    if (s->first_failure[0] != '\0') {
        printf(", \"first_failure\": \"");
        for (const char *p = s->first_failure; *p != '\0'; p++) {
            putchar(*p == '"' || *p == '\\' || (unsigned char) *p < ' ' ? ' ' : *p);
        }
        printf("\"");
    }
    printf("}\n");
}
