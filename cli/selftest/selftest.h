/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What a device would meet.  Every check is one line: ok, warn, or FAIL with what to do.
 */
#ifndef CLI_SELFTEST_SELFTEST_H
#define CLI_SELFTEST_SELFTEST_H

#include <openssl/x509.h>

#include "cli/client.h"
#include "pkiproto/ocsp/request.h"
#include "pkiproto/x509/cert.h"

#define SELFTEST_SKEW_S    300          /* that clocks may differ */
#define SELFTEST_DER_MAX   (256u << 20) /* of a CRL */
#define SELFTEST_FOLLOW_US 5000000      /* that a revocation may take to be seen */
#define SELFTEST_LOOK_US   100000

typedef enum { CHECK_OK, CHECK_WARN, CHECK_FAIL, CHECK_RESULTS } check_result_t;

typedef struct {
    app_t         *app;
    pki_arena_t   *a;
    http_client_t *web;   /* for the URLs that certificates name: no key, no client certificate */
    X509_STORE    *trust; /* NULL without a bundle */
    const char    *est_user, *est_password, *est_label, *est_name;
    json_t        *checks;
    size_t         counts[CHECK_RESULTS];
} selftest_t;

/* One certificate of an issuer and where it says that its status is. */
typedef struct {
    const char *subject; /* of the lines that are printed: the issuer's id */
    X509       *leaf, *ca;
    cert_t      cert, issuer; /* the same, read by us */
    cert_list_t chain;        /* as it came, leaf first */
    const char *ocsp_url, *ca_url, *crl_url; /* NULL: not named */
} view_t;

/* advice: what to do about it; NULL for what is ok. */
void check_report(selftest_t *t, const char *subject, const char *check, check_result_t result, const char *advice,
                  const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* One request to a URL out of a certificate; reported when it is not answered with 200. */
bool web_get(selftest_t *t, const char *subject, const char *check, const char *url, const char *type, http_answer_t *out);
bool web_do(selftest_t *t, const char *subject, const char *check, const http_request_t *r, const char *type,
            http_answer_t *out);

/* max-age of Cache-Control has to end before `until`. */
void web_cache_check(selftest_t *t, const char *subject, const char *check, const http_answer_t *answer, int64_t until);

/* The leaf and its CA out of a list, leaf first. */
pki_code_t view_build(selftest_t *t, const char *subject, cert_list_t chain, view_t *out, pki_err_t *err);

void selftest_endpoint(selftest_t *t, http_answer_t *tls);         /* TLS, /ready, clocks */
void selftest_chain(selftest_t *t, const view_t *v);               /* CA certificate, chain, what the certificate looks like */
void selftest_crl(selftest_t *t, const view_t *v, bool revoked);   /* the list that the certificate names */
void selftest_ocsp(selftest_t *t, const view_t *v, bool revoked);  /* every way to ask */
bool selftest_is_revoked(selftest_t *t, const view_t *v);         /* once, silently */

bool selftest_cacerts(selftest_t *t, cert_list_t *out);
bool selftest_enrol(selftest_t *t, const cert_list_t *cacerts, view_t *out);

#endif
