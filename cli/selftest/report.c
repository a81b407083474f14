/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Findings, and the requests that most of them begin with.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/selftest/selftest.h"
#include "core/clock.h"
#include "pkiproto/est/transfer.h"

static const char *const result_names[] = { [CHECK_OK] = "ok", [CHECK_WARN] = "warn", [CHECK_FAIL] = "FAIL" };

void
check_report(selftest_t *t, const char *subject, const char *check, check_result_t result, const char *advice,
             const char *fmt, ...)
{
    char    text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    for (char *p = text; *p != '\0'; p++) {
        *p = (unsigned char) *p < ' ' ? ' ' : *p;
    }
    t->counts[result]++;
    if (t->app->json) {
        json_t *one = json_pack("{ssssssss}", "subject", subject, "check", check, "result", result_names[result], "text", text);

        if (advice != NULL) {
            json_object_set_new(one, "advice", json_string(advice));
        }
        json_array_append_new(t->checks, one);
        return;
    }
    printf("%-4s  %-14s  %-26s  %s\n", result_names[result], subject, check, text);
    if (advice != NULL) {
        printf("      %-14s  %-26s  -> %s\n", "", "", advice);
    }
    fflush(stdout);
}

bool
web_do(selftest_t *t, const char *subject, const char *check, const http_request_t *r, const char *type, http_answer_t *out)
{
    pki_err_t   err = { 0 };
    const char *got;

    if (http_client_do(t->web, t->a, r, out, &err) != PKI_OK) {
        check_report(t, subject, check, CHECK_FAIL,
                     "certificates name this address: edge.public_url must lead to this service, and its nginx must run",
                     "%.200s: %s", r->url, err.text);
        return false;
    }
    if (out->status != 200) {
        check_report(t, subject, check, CHECK_FAIL,
                     "certificates name this address: edge.public_url must lead to this service; see nginx' log for the reason",
                     "%.200s: status %d", r->url, out->status);
        return false;
    }
    got = http_header(out, "content-type");
    if (type != NULL && (got == NULL || !media_type_is(bytes_str(got), type))) {
        check_report(t, subject, check, CHECK_WARN, "a proxy on the way may have changed it; clients may refuse the answer",
                     "Content-Type is %.80s, not %s", got != NULL ? got : "missing", type);
    }
    return true;
}

bool
web_get(selftest_t *t, const char *subject, const char *check, const char *url, const char *type, http_answer_t *out)
{
    http_request_t r = { .method = "GET", .url = url, .max = SELFTEST_DER_MAX, .timeout_ms = t->app->timeout_ms };

    return web_do(t, subject, check, &r, type, out);
}

void
web_cache_check(selftest_t *t, const char *subject, const char *check, const http_answer_t *answer, int64_t until)
{
    const char *control = http_header(answer, "cache-control"), *age = control != NULL ? strstr(control, "max-age=") : NULL;
    long long   seconds = age != NULL ? strtoll(age + 8, NULL, 10) : -1;

    if (seconds < 0) {
        check_report(t, subject, check, CHECK_WARN,
                     "caches will guess, or not keep it: look for a proxy that takes headers away",
                     "no max-age in Cache-Control");
    } else if (clock_now() + seconds > until + SELFTEST_SKEW_S) {
        check_report(t, subject, check, CHECK_FAIL,
                     "set pki_ocsp_max_age or pki_crl_max_age lower, or look for a proxy that changes it",
                     "caches may keep it for %lld s, which is beyond nextUpdate", seconds);
    }
}
