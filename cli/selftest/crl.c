/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The list that a certificate names, and its delta (RFC 5280 section 5).
 */
#include <openssl/x509v3.h>
#include <unistd.h>

#include "cli/selftest/selftest.h"
#include "core/clock.h"
#include "pkiproto/base/text.h"
#include "pkiproto/crl/crl.h"

/* What both kinds of list have to be. */
static bool
list_good(selftest_t *t, const view_t *v, const char *check, const crl_view_t *crl)
{
    int64_t   now = clock_now();
    pki_err_t err = { 0 };
    char      at[RFC3339_LEN + 1];

    if (!bytes_eq(crl->issuer, v->issuer.subject)) {
        check_report(t, v->subject, check, CHECK_FAIL, "edge.public_url must lead to the service that issued",
                     "it is another CA's list");
        return false;
    }
    if (pki_signature_check(&v->issuer.key, crl->algorithm, crl->tbs, crl->signature, &err) != PKI_OK) {
        check_report(t, v->subject, check, CHECK_FAIL, "it is of another generation of the CA, or was changed on its way",
                     "its signature is not the CA's: %s", err.text);
        return false;
    }
    if (!bytes_eq(crl->akid, v->issuer.skid) || crl->number.p == NULL) {
        check_report(t, v->subject, check, CHECK_FAIL, "clients that look strictly refuse it",
                     crl->number.p == NULL ? "it has no number" : "its authorityKeyIdentifier is not the CA's");
        return false;
    }
    if (crl->this_update > now + SELFTEST_SKEW_S) {
        rfc3339_print(crl->this_update, at);
        check_report(t, v->subject, check, CHECK_FAIL, "synchronise the clocks", "it is not valid before %s", at);
        return false;
    }
    if (crl->next_update < now) {
        rfc3339_print(crl->next_update, at);
        check_report(t, v->subject, check, CHECK_FAIL,
                     "it is stale: is chanceryd running, and what does `chancery admin crl cache` say?",
                     "nextUpdate was at %s", at);
        return false;
    }
    return true;
}

/* Whether the serial is in the entries. */
static bool
is_listed(const crl_view_t *crl, bytes_t serial)
{
    bytes_t     entries = crl->entries;
    crl_entry_t entry;

    while (crl_entry_next(&entries, &entry, NULL) == PKI_OK && entry.serial.p != NULL) {
        if (bytes_eq(entry.serial, serial)) {
            return true;
        }
    }
    return false;
}

static void
scope_check(selftest_t *t, const view_t *v, const crl_view_t *crl)
{
    pki_buf_t idp;

    if (crl->idp.p == NULL) {
        return;
    }
    pki_buf_init(&idp, t->a, 4096);
    crl_idp_put(&idp, v->crl_url);
    if (!bytes_eq(pki_buf_bytes(&idp), crl->idp)) {
        check_report(t, v->subject, "CRL scope", CHECK_FAIL,
                     "clients take it for a list of other certificates (RFC 5280 6.3.3)",
                     "issuingDistributionPoint is not what the certificate names");
    } else {
        check_report(t, v->subject, "CRL scope", CHECK_OK, NULL, "issuingDistributionPoint is what the certificate names");
    }
}

/* freshestCRL (RFC 5280 5.2.6). */
static const char *
delta_url(selftest_t *t, bytes_t freshest)
{
    const unsigned char *p = freshest.p;
    CRL_DIST_POINTS     *points = p != NULL ? d2i_CRL_DIST_POINTS(NULL, &p, (long) freshest.len) : NULL;
    const char          *url = NULL;

    if (sk_DIST_POINT_num(points) > 0) {
        const DIST_POINT   *point = sk_DIST_POINT_value(points, 0);
        const GENERAL_NAME *name = point->distpoint != NULL && point->distpoint->type == 0
                                       ? sk_GENERAL_NAME_value(point->distpoint->name.fullname, 0)
                                       : NULL;

        if (name != NULL && name->type == GEN_URI) {
            url = pki_strndup(t->a, ASN1_STRING_get0_data(name->d.uniformResourceIdentifier),
                              (size_t) ASN1_STRING_length(name->d.uniformResourceIdentifier));
        }
    }
    CRL_DIST_POINTS_free(points);
    return url;
}

/* Numbers of one length or of two: shortest form, positive. */
static int
number_compare(bytes_t a, bytes_t b)
{
    return a.len != b.len ? (a.len < b.len ? -1 : 1) : bytes_cmp(a, b);
}

static void
delta_check(selftest_t *t, const view_t *v, const crl_view_t *base)
{
    const char   *url = delta_url(t, base->freshest);
    http_answer_t answer;
    crl_view_t    delta;
    pki_err_t     err = { 0 };

    if (url == NULL || !web_get(t, v->subject, "delta CRL", url, "application/pkix-crl", &answer)) {
        return;
    }
    if (crl_parse(answer.body, &delta, &err) != PKI_OK) {
        check_report(t, v->subject, "delta CRL", CHECK_FAIL, "another service answers there", "%s: %s", url, err.text);
    } else if (!list_good(t, v, "delta CRL", &delta)) {
        return;
    } else if (delta.base_number.p == NULL || number_compare(delta.base_number, base->number) > 0) {
        check_report(t, v->subject, "delta CRL", CHECK_FAIL, "clients cannot combine the two (RFC 5280 5.2.4)",
                     delta.base_number.p == NULL ? "it is no delta" : "it is against a later list than the one that is served");
    } else {
        check_report(t, v->subject, "delta CRL", CHECK_OK, NULL, "fits the list that is served");
    }
}

/* The list that is served now, when it is a good one. */
static bool
list_get(selftest_t *t, const view_t *v, const char *check, http_answer_t *answer, crl_view_t *out)
{
    pki_err_t err = { 0 };

    if (!web_get(t, v->subject, check, v->crl_url, "application/pkix-crl", answer)) {
        return false;
    }
    if (crl_parse(answer->body, out, &err) != PKI_OK) {
        check_report(t, v->subject, check, CHECK_FAIL, "another service answers there, or a proxy changes answers", "%s: %s",
                     v->crl_url, err.text);
        return false;
    }
    return list_good(t, v, check, out);
}

/* A list is made anew within a second of a revocation. */
static void
revoked_check(selftest_t *t, const view_t *v)
{
    int64_t       began = clock_mono_us();
    http_answer_t answer;
    crl_view_t    crl;

    while (list_get(t, v, "CRL of a revoked one", &answer, &crl)) {
        if (is_listed(&crl, v->cert.serial)) {
            check_report(t, v->subject, "CRL of a revoked one", CHECK_OK, NULL, "it is listed");
            return;
        }
        if (clock_mono_us() - began > SELFTEST_FOLLOW_US) {
            check_report(t, v->subject, "CRL of a revoked one", CHECK_FAIL,
                         "is the list made anew?  `chancery admin crl cache` says when, and why not", "it is not listed");
            return;
        }
        usleep(SELFTEST_LOOK_US);
    }
}

void
selftest_crl(selftest_t *t, const view_t *v, bool revoked)
{
    http_answer_t answer;
    crl_view_t    crl;
    char          until[RFC3339_LEN + 1];

    if (v->crl_url == NULL) {
        return;
    }
    if (revoked) {
        revoked_check(t, v);
        return;
    }
    if (!list_get(t, v, "CRL", &answer, &crl)) {
        return;
    }
    rfc3339_print(crl.next_update, until);
    if (is_listed(&crl, v->cert.serial)) {
        check_report(t, v->subject, "CRL", CHECK_FAIL,
                     "is the list made anew?  `chancery admin crl cache` says when, and why not",
                     "a certificate that is not revoked is in it");
    } else {
        check_report(t, v->subject, "CRL", CHECK_OK, NULL, "%s, %zu octets, number %s, good until %s", v->crl_url,
                     answer.body.len,
                     hex_print(t->a, crl.number), until);
    }
    web_cache_check(t, v->subject, "CRL", &answer, crl.next_update);
    scope_check(t, v, &crl);
    delta_check(t, v, &crl);
}
