/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * OCSP as clients do it (RFC 6960, RFC 9919, RFC 9654): by POST and by GET, with CertIDs of SHA-1 and SHA-256, with and
 * without a nonce.  OpenSSL makes the requests and judges the answers: it is what many devices have.
 */
#include <openssl/ocsp.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/selftest/selftest.h"
#include "core/clock.h"
#include "pkiproto/base/ossl.h"
#include "pkiproto/base/text.h"
#include "pkiproto/ocsp/response.h"

#define OCSP_ANSWER_MAX  262144
#define RESPONDER_WARN_S 86400 /* left of a responder's certificate */

typedef struct {
    bool        post;
    const char *digest;
    bool        nonce;
} way_t;

static const way_t ways[] = {
    { true, "SHA1", false },  { true, "SHA256", false },  { false, "SHA1", false },  { false, "SHA256", false },
    { true, "SHA1", true },   { true, "SHA256", true },   { false, "SHA1", true },   { false, "SHA256", true },
};

/* One question and its answer. */
typedef struct {
    selftest_t     *t;
    const view_t   *v;
    const way_t    *way;
    char            name[32]; /* "OCSP GET SHA256 nonce" */
    OCSP_REQUEST   *request;
    OCSP_CERTID    *id;       /* of the request */
    OCSP_RESPONSE  *response;
    OCSP_BASICRESP *basic;
    http_answer_t   http;
    int64_t         next_update;
} question_t;

static void
question_free(question_t *q)
{
    OCSP_BASICRESP_free(q->basic);
    OCSP_RESPONSE_free(q->response);
    OCSP_REQUEST_free(q->request);
}

static void
fail(question_t *q, const char *advice, const char *text)
{
    check_report(q->t, q->v->subject, q->name, CHECK_FAIL, advice, "%s", text);
}

/* serial NULL: the certificate's own. */
static bool
question_make(question_t *q, const ASN1_INTEGER *serial)
{
    const EVP_MD *md = EVP_get_digestbyname(q->way->digest);

    snprintf(q->name, sizeof(q->name), "OCSP %s %s%s", q->way->post ? "POST" : "GET", q->way->digest,
             q->way->nonce ? " nonce" : "");
    q->request = OCSP_REQUEST_new();
    q->id = OCSP_cert_id_new(md, X509_get_subject_name(q->v->ca), X509_get0_pubkey_bitstr(q->v->ca),
                             serial != NULL ? serial : X509_get0_serialNumber(q->v->leaf));
    if (q->request == NULL || q->id == NULL || OCSP_request_add0_id(q->request, q->id) == NULL) {
        return false;
    }
    return !q->way->nonce || OCSP_request_add1_nonce(q->request, NULL, 32) == 1;
}

static bool
question_ask(question_t *q, bool quiet)
{
    selftest_t          *t = q->t;
    const http_header_t  type = { "Content-Type", "application/ocsp-request" };
    unsigned char       *der = NULL;
    int                  len = i2d_OCSP_REQUEST(q->request, &der);
    http_request_t       r = { .method = q->way->post ? "POST" : "GET", .url = q->v->ocsp_url, .max = OCSP_ANSWER_MAX,
                               .timeout_ms = t->app->timeout_ms };
    const unsigned char *p;
    bool                 good = false;

    if (len > 0 && q->way->post) {
        r.headers = &type;
        r.header_count = 1;
        r.body = bytes_of(der, (size_t) len);
    } else if (len > 0) {
        char *text = base64_print(t->a, bytes_of(der, (size_t) len));

        r.url = text != NULL ? pki_printf(t->a, "%s/%s", q->v->ocsp_url, http_escape(t->a, bytes_str(text))) : NULL;
    }
    if (len > 0 && r.url != NULL) {
        good = quiet ? http_client_do(t->web, t->a, &r, &q->http, NULL) == PKI_OK && q->http.status == 200
                     : web_do(t, q->v->subject, q->name, &r, "application/ocsp-response", &q->http);
    }
    OPENSSL_free(der);
    if (!good) {
        return false;
    }
    p = q->http.body.p;
    q->response = d2i_OCSP_RESPONSE(NULL, &p, (long) q->http.body.len);
    if (q->response == NULL && !quiet) {
        fail(q, "another service answers there, or a proxy changes answers", "the answer is no OCSPResponse");
    }
    return q->response != NULL;
}

/* ---- who signed ---- */

static bool
delegate_good(question_t *q, X509 *signer)
{
    time_t    now = (time_t) clock_now();
    EVP_PKEY *key = X509_get0_pubkey(q->v->ca);

    if (X509_verify(signer, key) != 1) {
        fail(q, "the responder's certificate has to be issued by the CA itself (RFC 6960 4.2.2.2)",
             "the responder's certificate is not signed by the CA");
        return false;
    }
    if ((X509_get_extension_flags(signer) & EXFLAG_XKUSAGE) == 0
        || (X509_get_extended_key_usage(signer) & XKU_OCSP_SIGN) == 0) {
        fail(q, "the responder's certificate must be for OCSPSigning", "who signed may not sign OCSP answers");
        return false;
    }
    if (X509_cmp_time(X509_get0_notAfter(signer), &now) < 0) {
        fail(q, "it must be renewed: is chanceryd running, and can it reach its signer and the edge folder?",
             "the responder's certificate has expired");
        return false;
    }
    if (X509_cmp_time(X509_get0_notBefore(signer), &now) > 0) {
        fail(q, "synchronise the clocks", "the responder's certificate is not valid yet");
        return false;
    }
    return true;
}

/* What is worth a warning only; told once for each issuer. */
static void
delegate_watch(question_t *q, X509 *signer)
{
    time_t soon = (time_t) clock_now() + RESPONDER_WARN_S;

    if (X509_get_ext_by_NID(signer, NID_id_pkix_OCSP_noCheck, -1) < 0) {
        check_report(q->t, q->v->subject, "OCSP responder", CHECK_WARN,
                     "clients may ask for its status, in a circle (RFC 6960 4.2.2.2.1)",
                     "its certificate has no ocsp-nocheck");
    } else if (X509_cmp_time(X509_get0_notAfter(signer), &soon) < 0) {
        check_report(q->t, q->v->subject, "OCSP responder", CHECK_WARN,
                     "it should have been renewed by now: see chanceryd's log",
                     "its certificate ends within a day");
    } else {
        check_report(q->t, q->v->subject, "OCSP responder", CHECK_OK, NULL,
                     "issued by the CA, for OCSPSigning, ocsp-nocheck, in time");
    }
}

static bool
signer_good(question_t *q, X509 **signer)
{
    STACK_OF(X509) *others = sk_X509_new_null();
    bool            good;

    sk_X509_push(others, q->v->ca);
    *signer = NULL;
    good = OCSP_resp_get0_signer(q->basic, signer, others) == 1;
    if (!good) {
        fail(q, "the answer has to bring the responder's certificate (RFC 6960 4.2.2.3)", "it is not said who signed");
    } else if (OCSP_basic_verify(q->basic, others, NULL, OCSP_NOVERIFY) <= 0) {
        fail(q, "the key is not the certificate's: restart chanceryd, which makes both anew; who changed the edge folder?",
             "the signature is wrong");
        good = false;
    } else if (X509_cmp(*signer, q->v->ca) != 0) {
        good = delegate_good(q, *signer);
    }
    sk_X509_free(others);
    return good;
}

/* ---- what is said ---- */

static bool
status_good(question_t *q, int wanted)
{
    ASN1_GENERALIZEDTIME *this_update = NULL, *next_update = NULL;
    int                   status = -1, reason;
    time_t                early = (time_t) clock_now() + SELFTEST_SKEW_S, now = (time_t) clock_now();
    struct tm             tm;
    civil_t               c;

    if (OCSP_resp_find_status(q->basic, q->id, &status, &reason, NULL, &this_update, &next_update) != 1) {
        fail(q, "clients will say that they got no answer", "the answer is not about the certificate that was asked for");
        return false;
    }
    if (status != wanted) {
        check_report(q->t, q->v->subject, q->name, CHECK_FAIL, "has the edge fallen behind?  /ready and chanceryd's log say so",
                     "the answer is \"%s\" for a certificate that is %s", OCSP_cert_status_str(status),
                     OCSP_cert_status_str(wanted));
        return false;
    }
    if (X509_cmp_time(this_update, &early) > 0 || (next_update != NULL && X509_cmp_time(next_update, &now) < 0)) {
        fail(q, "is nginx running with a store that is fed, and are the clocks right?",
             "the answer is stale, or not valid yet");
        return false;
    }
    if (next_update != NULL && ASN1_TIME_to_tm(next_update, &tm) == 1) {
        c = (civil_t){ tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec };
        civil_to_time(&c, &q->next_update);
    }
    return true;
}

static const char *
nonce_wrong(const question_t *q)
{
    int said = OCSP_check_nonce(q->request, q->basic);

    return said == 0    ? "another nonce came back"
           : said == -1 ? "the nonce did not come back"
           : said == 3  ? "a nonce came that was not asked for"
                        : NULL;
}

static bool
answer_check(question_t *q, int wanted)
{
    X509       *signer;
    const char *nonce;
    int         status = OCSP_response_status(q->response);

    if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
        check_report(q->t, q->v->subject, q->name, CHECK_FAIL,
                     "the service has no responder for this CA, or does not know it: see nginx' log and `chancery ready`",
                     "the answer is %s",
                     OCSP_response_status_str(status));
        return false;
    }
    q->basic = OCSP_response_get1_basic(q->response);
    if (q->basic == NULL) {
        fail(q, "another service answers there", "the answer is no BasicOCSPResponse");
        return false;
    }
    if (!signer_good(q, &signer) || !status_good(q, wanted)) {
        return false;
    }
    nonce = nonce_wrong(q);
    if (nonce != NULL && OCSP_check_nonce(q->request, q->basic) >= 0) {
        fail(q, "somebody replays answers", nonce);
        return false;
    }
    check_report(q->t, q->v->subject, q->name, nonce != NULL ? CHECK_WARN : CHECK_OK,
                 nonce != NULL ? "clients that insist on nonces refuse it: pki_ocsp_nonce" : NULL, "%s%s%s",
                 OCSP_cert_status_str(wanted),
                 nonce != NULL ? "; " : "", nonce != NULL ? nonce : q->way->nonce ? ", with the nonce" : "");
    return true;
}

/* ---- the walk ---- */

static void
first_watch(question_t *q)
{
    X509           *signer = NULL;
    STACK_OF(X509) *others = sk_X509_new_null();

    sk_X509_push(others, q->v->ca);
    if (OCSP_resp_get0_signer(q->basic, &signer, others) == 1 && X509_cmp(signer, q->v->ca) != 0) {
        delegate_watch(q, signer);
    }
    sk_X509_free(others);
}

static bool
way_check(selftest_t *t, const view_t *v, const way_t *way, int wanted, bool first)
{
    question_t q = { .t = t, .v = v, .way = way };
    bool       good = question_make(&q, NULL) && question_ask(&q, false) && answer_check(&q, wanted);

    if (good && first) {
        first_watch(&q);
    }
    if (good && !way->post && !way->nonce) {
        web_cache_check(t, v->subject, q.name, &q.http, q.next_update);
    }
    question_free(&q);
    return good;
}

/* A serial that nobody has issued must not be good. */
static void
unissued_check(selftest_t *t, const view_t *v)
{
    question_t           q = { .t = t, .v = v, .way = &ways[1] };
    unsigned char        octets[CERT_SERIAL_LEN];
    PKI_AUTO(BIGNUM)     number = BN_new();
    ASN1_INTEGER        *serial = NULL;
    int                  status = -1, reason, said;

    RAND_bytes(octets, sizeof(octets));
    octets[0] = (octets[0] & 0x3f) | 0x40;
    if (number != NULL && BN_bin2bn(octets, sizeof(octets), number) != NULL) {
        serial = BN_to_ASN1_INTEGER(number, NULL);
    }
    if (serial != NULL && question_make(&q, serial)) {
        snprintf(q.name, sizeof(q.name), "OCSP unissued serial");
        if (question_ask(&q, false)) {
            said = OCSP_response_status(q.response);
            q.basic = said == OCSP_RESPONSE_STATUS_SUCCESSFUL ? OCSP_response_get1_basic(q.response) : NULL;
            if (q.basic != NULL) {
                OCSP_resp_find_status(q.basic, q.id, &status, &reason, NULL, NULL, NULL);
            }
            if (status == V_OCSP_CERTSTATUS_GOOD) {
                fail(&q, "forged certificates would pass: this must never happen", "the answer is \"good\"");
            } else {
                check_report(t, v->subject, q.name, CHECK_OK, NULL, "%s", q.basic != NULL ? OCSP_cert_status_str(status)
                                                                                         : OCSP_response_status_str(said));
            }
        }
    }
    ASN1_INTEGER_free(serial);
    question_free(&q);
}

void
selftest_ocsp(selftest_t *t, const view_t *v, bool revoked)
{
    bool good = true, first = !revoked;

    if (v->ocsp_url == NULL) {
        return;
    }
    /* What a revoked one is asked for is the status; the ways were all gone with the good one. */
    for (size_t i = 0; i < (revoked ? 1 : sizeof(ways) / sizeof(ways[0])) && good; i++) {
        good = way_check(t, v, &ways[i], revoked ? V_OCSP_CERTSTATUS_REVOKED : V_OCSP_CERTSTATUS_GOOD, first);
        first = false;
    }
    if (good && !revoked) {
        unissued_check(t, v);
    }
}

bool
selftest_is_revoked(selftest_t *t, const view_t *v)
{
    question_t q = { .t = t, .v = v, .way = &ways[1] };
    int        status = -1, reason;

    if (question_make(&q, NULL) && question_ask(&q, true)
        && OCSP_response_status(q.response) == OCSP_RESPONSE_STATUS_SUCCESSFUL) {
        q.basic = OCSP_response_get1_basic(q.response);
        if (q.basic != NULL) {
            OCSP_resp_find_status(q.basic, q.id, &status, &reason, NULL, NULL, NULL);
        }
    }
    question_free(&q);
    return status == V_OCSP_CERTSTATUS_REVOKED;
}
