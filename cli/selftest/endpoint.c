/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The https endpoint: its certificate and versions of TLS, readiness, the two clocks.
 */
#include <stdio.h>
#include <time.h>

#include "cli/selftest/selftest.h"
#include "core/clock.h"
#include "pkiproto/base/text.h"

#define SERVER_DAYS_WARN 14
#define DAY_S            86400

static pki_code_t
endpoint_get(selftest_t *t, const char *path, http_tls_t tls, http_answer_t *out, pki_err_t *err)
{
    http_request_t r = { .method = "GET", .url = pki_printf(t->a, "%s%s", t->app->base, path), .max = 1u << 20, .tls = tls,
                         .timeout_ms = t->app->timeout_ms };

    return r.url != NULL ? http_client_do(t->app->http, t->a, &r, out, err)
                         : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

static void
certificate_check(selftest_t *t, const char *pem)
{
    cert_list_t list;
    cert_t      cert;
    int64_t     left;
    char        end[RFC3339_LEN + 1];

    if (pem == NULL || cert_decode(t->a, bytes_str(pem), 16, &list, NULL) != PKI_OK || list.count == 0
        || cert_parse(t->a, list.v[0], &cert, NULL) != PKI_OK) {
        return;
    }
    left = cert.not_after - clock_now();
    rfc3339_print(cert.not_after, end);
    if (left < 0) {
        check_report(t, "server", "TLS certificate", CHECK_FAIL, "renew nginx' certificate", "it ended at %s", end);
    } else if (left < SERVER_DAYS_WARN * DAY_S) {
        check_report(t, "server", "TLS certificate", CHECK_WARN, "renew nginx' certificate in time", "it ends at %s", end);
    } else {
        check_report(t, "server", "TLS certificate", CHECK_OK, NULL, "chain and name verify; ends at %s", end);
    }
}

static void
versions_check(selftest_t *t)
{
    static const struct {
        http_tls_t  tls;
        const char *name;
        bool        wanted;
    } versions[] = {
        { HTTP_TLS_1_0, "TLS 1.0", false },
        { HTTP_TLS_1_1, "TLS 1.1", false },
        { HTTP_TLS_1_2, "TLS 1.2", true },
        { HTTP_TLS_1_3, "TLS 1.3", true },
    };

    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        http_answer_t answer;
        bool          spoken = endpoint_get(t, "/health", versions[i].tls, &answer, NULL) == PKI_OK;

        if (spoken && !versions[i].wanted) {
            check_report(t, "server", versions[i].name, CHECK_WARN,
                         "switch it off: ssl_protocols in nginx' configuration", "is spoken");
        } else if (!spoken && versions[i].wanted) {
            check_report(t, "server", versions[i].name, CHECK_WARN,
                         "clients may need it: ssl_protocols in nginx' configuration",
                         "is not spoken");
        } else {
            check_report(t, "server", versions[i].name, CHECK_OK, NULL, spoken ? "is spoken" : "is not spoken");
        }
    }
}

/* "Sat, 28 Nov 2026 05:33:12 GMT" (RFC 9110 5.6.7). */
static bool
http_date(const char *text, int64_t *out)
{
    struct tm   tm = { 0 };
    const char *end = text != NULL ? strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm) : NULL;
    civil_t     c = { .year = tm.tm_year + 1900, .month = tm.tm_mon + 1, .day = tm.tm_mday, .hour = tm.tm_hour,
                      .minute = tm.tm_min, .second = tm.tm_sec };

    return end != NULL && *end == '\0' && civil_to_time(&c, out);
}

static void
clock_check(selftest_t *t, const http_answer_t *answer)
{
    int64_t there, off;

    if (!http_date(http_header(answer, "date"), &there)) {
        check_report(t, "server", "clock", CHECK_WARN, NULL, "the answer has no Date");
        return;
    }
    off = there - clock_now();
    if (off > SELFTEST_SKEW_S || off < -SELFTEST_SKEW_S) {
        check_report(t, "server", "clock", CHECK_FAIL, "synchronise the clocks: answers would be too old or not valid yet",
                     "the server's clock and this one differ by %lld s", (long long) off);
    } else {
        check_report(t, "server", "clock", off > 5 || off < -5 ? CHECK_WARN : CHECK_OK,
                     off > 5 || off < -5 ? "synchronise the clocks" : NULL,
                     "the server's clock and this one differ by %lld s", (long long) off);
    }
}

static void
ready_check(selftest_t *t)
{
    http_answer_t answer;
    pki_err_t     err = { 0 };
    JSON_AUTO     ready = NULL;
    char          missing[256] = "";
    const json_t *each;
    size_t        i, len;

    if (endpoint_get(t, "/ready", HTTP_TLS_ANY, &answer, &err) != PKI_OK) {
        check_report(t, "server", "ready", CHECK_FAIL, "is chanceryd running?", "%s", err.text);
        return;
    }
    json_parse(answer.body, &ready, NULL);
    json_array_foreach(json_object_get(ready, "checks"), i, each) {
        len = strlen(missing);
        if (!json_is_true(json_object_get(each, "ok"))) {
            snprintf(missing + len, sizeof(missing) - len, "%s%s: %s", len > 0 ? "; " : "", json_text(each, "name"),
                     json_text(each, "text"));
        }
    }
    if (answer.status == 200) {
        check_report(t, "server", "ready", CHECK_OK, NULL, "every part is there");
    } else {
        check_report(t, "server", "ready", CHECK_FAIL, "OCSP and CRLs go on for now; nothing is issued: see chanceryd's log",
                     "status %d %s", answer.status, missing);
    }
}

void
selftest_endpoint(selftest_t *t, http_answer_t *tls)
{
    pki_err_t err = { 0 };

    memset(tls, 0, sizeof(*tls));
    if (endpoint_get(t, "/health", HTTP_TLS_ANY, tls, &err) != PKI_OK) {
        check_report(t, "server", "connection", CHECK_FAIL,
                     err.code == PKI_E_SIGNATURE ? "give the CA with --ca-bundle, or renew nginx' certificate"
                                                 : "is nginx running, and is --server right?",
                     "%s", err.text);
        return;
    }
    if (tls->chain != NULL) {
        certificate_check(t, tls->chain);
        versions_check(t);
    }
    clock_check(t, tls);
    ready_check(t);
}
