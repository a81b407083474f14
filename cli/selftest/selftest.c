/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The order of the walk: the endpoint, EST, then every issuer with certificates that it has issued.  With an API key
 * the issuers and their certificates come from the API; without one there are the server's own certificate and what
 * EST issues.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/own.h"
#include "cli/selftest/selftest.h"
#include "cli/value.h"
#include "core/clock.h"
#include "pkiproto/base/ossl.h"
#include "pkiproto/base/text.h"

/* clang-format off */
const own_flag_t selftest_flags[] = {
    { "issuer",       "ID",       "only this issuer" },
    { "all",          NULL,       "disabled issuers too" },
    { "est-label",    "LABEL",    "EST label to enrol at; without it the default one" },
    { "est-user",     "USER",     "enrol, as this device (CHANCERY_EST_USER)" },
    { "est-password", "PASSWORD", "its password; better in CHANCERY_EST_PASSWORD, or @FILE" },
    { "est-name",     "NAME",     "DNS name to enrol, for a profile that does not allow any; selftest-*.invalid without it" },
    { "no-enrol",     NULL,       "do not enrol, even if there is a credential" },
    { "at",           "TIME",     "judge everything as at this time: +30d finds what will have ended then" },
    { NULL,           NULL,       NULL },
};
/* clang-format on */

/* ---- what is looked at ---- */

static bool
chain_get(selftest_t *t, const char *certificate_id, cert_list_t *out, pki_err_t *err)
{
    command_t     command = { .method = "GET", .accept = "application/x-pem-file" };
    const char   *id = http_escape(t->a, bytes_str(certificate_id));
    call_t        call = { .command = &command, .path = pki_printf(t->a, "/api/v1/certificates/%s/download", id) };
    http_answer_t answer;

    if (client_send(t->app, t->a, &call, NULL, NULL, &answer, err) != PKI_OK) {
        return false;
    }
    if (answer.status != 200) {
        pki_fail(err, PKI_E_NOT_FOUND, NULL, "%s cannot be downloaded: status %d", certificate_id, answer.status);
        return false;
    }
    return cert_decode(t->a, answer.body, 16, out, err) == PKI_OK;
}

/* One that the issuer has issued and that has this status: "Active", "Revoked"; the first in this order, unless it was seen. */
static bool
example_get(selftest_t *t, const char *issuer, const char *status, const char *order, const char **seen, view_t *out)
{
    char         now[RFC3339_LEN + 1];
    const char  *path;
    JSON_AUTO    list = NULL;
    cert_list_t  chain;
    pki_err_t    err = { 0 };
    const char  *id;

    rfc3339_print(clock_now(), now);
    path = pki_printf(t->a, "/api/v1/certificates?limit=1&issuer_id=%s&status=%s&expires_after=%s&sort=%s",
                      http_escape(t->a, bytes_str(issuer)), status, http_escape(t->a, bytes_str(now)), order);
    if (path == NULL || client_get(t->app, t->a, path, &list, &err) != PKI_OK) {
        check_report(t, issuer, "certificates", CHECK_WARN, "the key needs cert.read", "%s", err.text);
        return false;
    }
    id = json_text(json_array_get(json_object_get(list, "data"), 0), "id");
    if (id[0] == '\0' || strcmp(id, *seen) == 0) {
        return false;
    }
    *seen = pki_strdup(t->a, id);
    if (!chain_get(t, id, &chain, &err) || view_build(t, issuer, chain, out, &err) != PKI_OK) {
        check_report(t, issuer, "certificates", CHECK_FAIL, "see chanceryd's log", "%s", err.text);
        return false;
    }
    return true;
}

static void
view_check(selftest_t *t, const view_t *v)
{
    selftest_chain(t, v);
    selftest_crl(t, v, false);
    selftest_ocsp(t, v, false);
}

static void
revoked_view_check(selftest_t *t, const view_t *v)
{
    selftest_crl(t, v, true);
    selftest_ocsp(t, v, true);
}

/* The one that ends last and the one that ends first: as far apart in generations and shards as two can be. */
static bool
examples_check(selftest_t *t, const char *issuer, const char *status, void (*check)(selftest_t *t, const view_t *v))
{
    static const char *const orders[] = { "-expires_at", "expires_at" };
    const char              *seen = "";
    bool                     any = false;
    view_t                   v;

    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        if (example_get(t, issuer, status, orders[i], &seen, &v)) {
            check(t, &v);
            any = true;
        }
    }
    return any;
}

static void
issuer_check(selftest_t *t, const char *id)
{
    bool active = examples_check(t, id, "Active", view_check);

    if (!examples_check(t, id, "Revoked", revoked_view_check) && !active) {
        check_report(t, id, "certificates", CHECK_WARN, "issue one, or let this enrol one (--est-user)",
                     "it has issued nothing that could be looked at");
    }
}

/* false: the API could not be asked. */
static bool
issuers_check(selftest_t *t, const char *only, bool all)
{
    JSON_AUTO     list = NULL;
    const json_t *each;
    pki_err_t     err = { 0 };
    size_t        i, found = 0;

    if (client_get(t->app, t->a, "/api/v1/issuers?limit=1000", &list, &err) != PKI_OK) {
        check_report(t, "server", "issuers", CHECK_WARN, "the key needs issuer.read and cert.read", "%s", err.text);
        return false;
    }
    json_array_foreach(json_object_get(list, "data"), i, each) {
        const char *id = json_text(each, "id");

        if (only == NULL ? all || !json_is_false(json_object_get(each, "enabled")) : strcmp(only, id) == 0) {
            issuer_check(t, pki_strdup(t->a, id));
            found++;
        }
    }
    if (found == 0) {
        check_report(t, only != NULL ? only : "server", "issuers", CHECK_FAIL, "chancery issuers list",
                     only != NULL ? "there is no such issuer" : "there are none");
    }
    return true;
}

/* Without a key, or without an API: the server's own certificate, when one of the CAs that EST names has issued it. */
static void
server_view_check(selftest_t *t, const char *pem, const cert_list_t *cacerts, bool enough)
{
    cert_list_t shown, chain = { 0 };
    view_t      v;
    cert_t      leaf, ca;

    if (pem == NULL || cert_decode(t->a, bytes_str(pem), 16, &shown, NULL) != PKI_OK || shown.count == 0
        || cert_parse(t->a, shown.v[0], &leaf, NULL) != PKI_OK) {
        return;
    }
    for (size_t i = 0; i < cacerts->count && chain.count == 0; i++) {
        if (cert_parse(t->a, cacerts->v[i], &ca, NULL) == PKI_OK && cert_check_issued_by(&leaf, &ca, NULL) == PKI_OK
            && PKI_NEW_N(t->a, cacerts->count + 1, &chain.v, NULL) == PKI_OK) {
            chain.v[chain.count++] = shown.v[0];
            chain.v[chain.count++] = cacerts->v[i];
            for (size_t k = 0; k < cacerts->count; k++) {
                if (k != i) {
                    chain.v[chain.count++] = cacerts->v[k];
                }
            }
        }
    }
    if (chain.count > 0 && view_build(t, "server", chain, &v, NULL) == PKI_OK) {
        view_check(t, &v);
    } else if (!enough) {
        check_report(t, "server", "issuers", CHECK_WARN, "give a key (CHANCERY_API_KEY), or let this enrol (--est-user)",
                     "nothing tells which certificates the issuers have issued");
    }
}

/* ---- what was enrolled goes again ---- */

static void
throwaway_revoke(selftest_t *t, const view_t *v)
{
    char         serial[2 * CERT_SERIAL_MAX + 1];
    JSON_AUTO    list = NULL;
    JSON_AUTO    done = NULL;
    JSON_AUTO    body = json_pack("{ss}", "reason", "cessationOfOperation");
    pki_err_t    err = { 0 };
    int64_t      began = clock_mono_us();
    const char  *path, *id;

    hex_encode(v->cert.serial.p[0] == 0 ? bytes_of(v->cert.serial.p + 1, v->cert.serial.len - 1) : v->cert.serial, serial);
    path = pki_printf(t->a, "/api/v1/certificates?serial=%s", serial);
    if (t->app->options.api_key == NULL || client_get(t->app, t->a, path, &list, &err) != PKI_OK) {
        check_report(t, v->subject, "revocation", CHECK_WARN, "with an API key it would be revoked",
                     "the certificate that was enrolled stays valid %s", err.text);
        return;
    }
    id = json_text(json_array_get(json_object_get(list, "data"), 0), "id");
    path = pki_printf(t->a, "/api/v1/certificates/%s/revoke", http_escape(t->a, bytes_str(id)));
    if (client_call(t->app, t->a, "POST", path, body, &done, &err) != PKI_OK) {
        check_report(t, v->subject, "revocation", err.code == PKI_E_FORBIDDEN ? CHECK_WARN : CHECK_FAIL,
                     "the key needs cert.revoke",
                     "the certificate that was enrolled stays valid: %s", err.text);
        return;
    }
    while (!selftest_is_revoked(t, v)) {
        if (clock_mono_us() - began > SELFTEST_FOLLOW_US) {
            check_report(t, v->subject, "revocation", CHECK_FAIL, "the edge does not follow: see /ready and chanceryd's log",
                         "OCSP does not say \"revoked\" %d s after it was", SELFTEST_FOLLOW_US / 1000000);
            return;
        }
        usleep(SELFTEST_LOOK_US);
    }
    check_report(t, v->subject, "revocation", CHECK_OK, NULL, "OCSP says \"revoked\" %lld ms after the request",
                 (long long) (clock_mono_us() - began) / 1000);
}

/* ---- the command ---- */

static app_exit_t
trust_load(selftest_t *t)
{
    const char *bundle = t->app->options.ca_bundle;

    t->trust = X509_STORE_new();
    if (t->trust == NULL) {
        return app_fail(APP_REFUSED, "out of memory");
    }
    if (bundle != NULL ? X509_STORE_load_file(t->trust, bundle) != 1 : X509_STORE_set_default_paths(t->trust) != 1) {
        return app_fail(APP_USAGE, "--ca-bundle: %s cannot be read", bundle != NULL ? bundle : "the system's");
    }
    return APP_OK;
}

static app_exit_t
time_set(const char *text)
{
    param_t   p = { .kind = VALUE_TIME };
    json_t   *value = NULL;
    pki_err_t err = { 0 };
    int64_t   at;

    if (value_put(NULL, NULL, &p, text, &value, &err) != PKI_OK
        || rfc3339_parse(json_string_value(value), &at, &err) != PKI_OK) {
        json_decref(value);
        return app_fail(APP_USAGE, "--at: %s", err.text);
    }
    json_decref(value);
    clock_shift(at - clock_now());
    return APP_OK;
}

static app_exit_t
settings(selftest_t *t, const own_t *own, const own_args_t *args)
{
    const char *user = own_value(own, args, "est-user"), *password = own_value(own, args, "est-password");
    const char *at = own_value(own, args, "at");
    app_exit_t  status = at != NULL ? time_set(at) : APP_OK;
    pki_err_t   err = { 0 };

    t->est_label = own_value(own, args, "est-label");
    t->est_name = own_value(own, args, "est-name");
    t->est_user = user != NULL ? user : getenv("CHANCERY_EST_USER");
    t->est_password = password != NULL ? password : getenv("CHANCERY_EST_PASSWORD");
    if (password != NULL && value_text(t->a, password, &t->est_password, &err) != PKI_OK) {
        return app_fail(APP_USAGE, "--est-password: %s", err.text);
    }
    if (own_value(own, args, "no-enrol") != NULL || t->est_password == NULL
        || (t->est_user != NULL && t->est_user[0] == '\0')) {
        t->est_user = NULL;
    }
    return status;
}

/* http alone, without a key and without a certificate: as a device meets it. */
static app_exit_t
web_open(selftest_t *t)
{
    http_client_conf_t conf = { .agent = "chancery/" CHANCERY_VERSION " selftest", .ca_bundle = t->app->options.ca_bundle,
                               .connect_ms = 5000 };
    pki_err_t          err = { 0 };

    return http_client_new(&conf, &t->web, &err) == PKI_OK ? APP_OK : app_failed(&err);
}

static void
walk(selftest_t *t, const own_t *own, const own_args_t *args)
{
    const char   *only = own_value(own, args, "issuer");
    cert_list_t   cacerts = { 0 };
    http_answer_t tls;
    view_t        enrolled;
    bool          has_enrolled = false;

    selftest_endpoint(t, &tls);
    if (tls.status == 0) {
        return;
    }
    if (selftest_cacerts(t, &cacerts) && t->est_user != NULL && own_value(own, args, "at") == NULL) {
        has_enrolled = selftest_enrol(t, &cacerts, &enrolled);
    }
    if (has_enrolled) {
        view_check(t, &enrolled);
        throwaway_revoke(t, &enrolled);
    }
    if (t->app->options.api_key == NULL || !issuers_check(t, only, own_value(own, args, "all") != NULL)) {
        server_view_check(t, tls.chain, &cacerts, has_enrolled);
    }
}

static app_exit_t
verdict(const selftest_t *t)
{
    if (t->app->json) {
        json_t *all = json_pack("{sOsisisi}", "checks", t->checks, "ok", (int) t->counts[CHECK_OK], "warn",
                                (int) t->counts[CHECK_WARN],
                                "fail", (int) t->counts[CHECK_FAIL]);
        char   *text = all != NULL ? json_dumps(all, JSON_COMPACT) : NULL;

        puts(text != NULL ? text : "{}");
        free(text);
        json_decref(all);
    } else {
        printf("\n%zu ok, %zu warnings, %zu problems\n", t->counts[CHECK_OK], t->counts[CHECK_WARN], t->counts[CHECK_FAIL]);
    }
    return t->counts[CHECK_FAIL] > 0 ? APP_FINDINGS : APP_OK;
}

app_exit_t
selftest_run(app_t *app, const own_t *own, const own_args_t *args)
{
    selftest_t t = { .app = app, .a = app->a, .checks = json_array() };
    app_exit_t status = settings(&t, own, args);

    status = status == APP_OK ? client_open(app) : status;
    status = status == APP_OK ? trust_load(&t) : status;
    status = status == APP_OK ? web_open(&t) : status;
    if (status == APP_OK) {
        walk(&t, own, args);
        status = verdict(&t);
    }
    http_client_free(t.web);
    X509_STORE_free(t.trust);
    json_decref(t.checks);
    return status;
}
