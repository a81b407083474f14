/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * EST as a device does it (RFC 7030, RFC 8951): the CA certificates, and with a credential an enrolment of a key that
 * is thrown away.
 */
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "cli/selftest/selftest.h"
#include "core/clock.h"
#include "pkiproto/base/ossl.h"
#include "pkiproto/base/text.h"
#include "pkiproto/cms/certs_only.h"
#include "pkiproto/est/transfer.h"

#define EST_ANSWER_MAX 262144

static const char *
est_url(selftest_t *t, const char *operation)
{
    return t->est_label != NULL ? pki_printf(t->a, "%s/.well-known/est/%s/%s", t->app->base, t->est_label, operation)
                                : pki_printf(t->a, "%s/.well-known/est/%s", t->app->base, operation);
}

static pki_code_t
certificates_of(selftest_t *t, const http_answer_t *answer, cert_list_t *out, pki_err_t *err)
{
    bytes_t der;

    PKI_TRY(est_body_decode(t->a, answer->body, &der, err));
    return certs_only_parse(t->a, der, out, err);
}

bool
selftest_cacerts(selftest_t *t, cert_list_t *out)
{
    http_request_t r = { .method = "GET", .url = est_url(t, "cacerts"), .max = EST_ANSWER_MAX,
                        .timeout_ms = t->app->timeout_ms };
    http_answer_t  answer;
    pki_err_t      err = { 0 };
    const char    *subject = t->est_label != NULL ? t->est_label : "est";

    if (http_client_do(t->app->http, t->a, &r, &answer, &err) != PKI_OK) {
        check_report(t, subject, "EST cacerts", CHECK_FAIL, "is nginx running?", "%s", err.text);
        return false;
    }
    if (answer.status == 404) {
        check_report(t, subject, "EST cacerts", CHECK_WARN, "make a label, or say which with --est-label",
                     "there is no such label");
        return false;
    }
    if (answer.status != 200 || certificates_of(t, &answer, out, &err) != PKI_OK || out->count == 0) {
        check_report(t, subject, "EST cacerts", CHECK_FAIL, "see nginx' log", "status %d %s", answer.status, err.text);
        return false;
    }
    check_report(t, subject, "EST cacerts", CHECK_OK, NULL, "%zu certificates", out->count);
    return true;
}

/* ---- a key that is thrown away ---- */

static bool
request_names(X509_REQ *request, const char *name)
{
    char                     san[160];
    X509_NAME               *subject = X509_REQ_get_subject_name(request);
    STACK_OF(X509_EXTENSION) *list = sk_X509_EXTENSION_new_null();
    X509_EXTENSION           *e;
    bool                      good;

    snprintf(san, sizeof(san), "DNS:%s", name);
    e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
    good = e != NULL && sk_X509_EXTENSION_push(list, e) > 0 && X509_REQ_add_extensions(request, list) == 1
           && X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *) name, -1, -1, 0) == 1;
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    return good;
}

/* The body of simpleenroll. */
static bool
request_make(selftest_t *t, const char *name, bytes_t *body)
{
    PKI_AUTO(EVP_PKEY) key = EVP_EC_gen("P-256");
    PKI_AUTO(X509_REQ) request = X509_REQ_new();
    unsigned char     *der = NULL;
    pki_buf_t          text;
    int                len;

    if (key == NULL || request == NULL || X509_REQ_set_version(request, 0) != 1 || !request_names(request, name)
        || X509_REQ_set_pubkey(request, key) != 1 || X509_REQ_sign(request, key, EVP_sha256()) <= 0) {
        return false;
    }
    len = i2d_X509_REQ(request, &der);
    pki_buf_init(&text, t->a, EST_BODY_MAX);
    if (len > 0) {
        est_body_encode(bytes_of(der, (size_t) len), 64, &text, NULL);
    }
    OPENSSL_free(der);
    *body = pki_buf_bytes(&text);
    return len > 0 && !text.failed;
}

static const char *
throwaway_name(selftest_t *t)
{
    unsigned char octets[4];
    char          hex[9];

    if (t->est_name != NULL) {
        return t->est_name;
    }
    RAND_bytes(octets, sizeof(octets));
    hex_encode(BYTES_ARR(octets), hex);
    return pki_printf(t->a, "selftest-%s.invalid", hex); /* RFC 6761 6.4: nobody's name */
}

/* The issued certificate first, then the CA's of cacerts that signed it and the others. */
static pki_code_t
chain_put(selftest_t *t, bytes_t leaf, const cert_list_t *cacerts, cert_list_t *out, pki_err_t *err)
{
    cert_t cert, ca;
    size_t n = 1;

    PKI_TRY(PKI_NEW_N(t->a, cacerts->count + 1, &out->v, err));
    PKI_TRY(cert_parse(t->a, leaf, &cert, err));
    out->v[0] = leaf;
    for (int signers = 1; signers >= 0; signers--) {
        for (size_t i = 0; i < cacerts->count; i++) {
            bool signer = cert_parse(t->a, cacerts->v[i], &ca, NULL) == PKI_OK
                          && cert_check_issued_by(&cert, &ca, NULL) == PKI_OK;

            if (signer == (signers == 1)) {
                out->v[n++] = cacerts->v[i];
            }
        }
    }
    out->count = n;
    return PKI_OK;
}

static void
refusal_report(selftest_t *t, const char *subject, const http_answer_t *answer)
{
    const char *advice = answer->status == 401   ? "is the credential of this label, and not revoked?"
                         : answer->status == 403 ? "the profile refuses the name: give one that it allows with --est-name"
                         : answer->status == 202 ? "it waits for somebody's approval: not finished here"
                                                 : "see nginx' and chanceryd's logs";

    check_report(t, subject, "EST simpleenroll", answer->status == 202 ? CHECK_WARN : CHECK_FAIL, advice,
                 "status %d: %.*s", answer->status,
                 (int) (answer->body.len < 160 ? answer->body.len : 160), (const char *) answer->body.p);
}

bool
selftest_enrol(selftest_t *t, const cert_list_t *cacerts, view_t *out)
{
    static const http_header_t headers[] = { { "Content-Type", "application/pkcs10" },
                                             { "Content-Transfer-Encoding", "base64" } };
    http_request_t             r = { .method = "POST", .url = est_url(t, "simpleenroll"), .headers = headers, .header_count = 2,
                                     .user = t->est_user, .password = t->est_password, .max = EST_ANSWER_MAX,
                                     .timeout_ms = t->app->timeout_ms };
    const char                *name = throwaway_name(t), *subject = t->est_label != NULL ? t->est_label : "est";
    http_answer_t              answer;
    cert_list_t                issued, chain;
    pki_err_t                  err = { 0 };

    if (name == NULL || !request_make(t, name, &r.body)) {
        check_report(t, subject, "EST simpleenroll", CHECK_FAIL, NULL, "the request could not be made here");
        return false;
    }
    if (http_client_do(t->app->http, t->a, &r, &answer, &err) != PKI_OK) {
        check_report(t, subject, "EST simpleenroll", CHECK_FAIL, "is nginx running?", "%s", err.text);
        return false;
    }
    if (answer.status != 200) {
        refusal_report(t, subject, &answer);
        return false;
    }
    if (certificates_of(t, &answer, &issued, &err) != PKI_OK || issued.count == 0
        || chain_put(t, issued.v[0], cacerts, &chain, &err) != PKI_OK || view_build(t, subject, chain, out, &err) != PKI_OK) {
        check_report(t, subject, "EST simpleenroll", CHECK_FAIL, "the answer is of no use to a device", "%s", err.text);
        return false;
    }
    check_report(t, subject, "EST simpleenroll", CHECK_OK, NULL, "issued for %s", name);
    return true;
}
