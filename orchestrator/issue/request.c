/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * One order from the management API: the caller's rights are checked there, everything else here as for a device.
 */
#include <openssl/sha.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/issue/part.h"

#define REQUEST_NAME_ID_MAX 100

/* "mc-NAME" where the name can be part of an id, a hash of it otherwise. */
static pki_code_t
request_id(pki_arena_t *a, const char *name, const char **out, pki_err_t *err)
{
    static const char ok[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t            len = strlen(name);
    char             *id;

    if (len != 0 && len <= REQUEST_NAME_ID_MAX && strspn(name, ok) == len) {
        id = pki_printf(a, "mc-%s", name);
    } else if ((id = pki_alloc(a, CERT_MANAGED_ID_LEN + 1)) != NULL) {
        cert_managed_id("API", name, BYTES_NONE, id);
    }
    *out = id;
    return id != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

static pki_code_t
request_prepare(issue_t *i, pki_arena_t *a, const snapshot_t *snapshot, const issue_order_t *in, signing_t *s,
                pki_err_t *err)
{
    bytes_t der;

    s->issuer = snapshot_issuer(snapshot, in->issuer_id);
    if (s->issuer == NULL) {
        return pki_fail(err, PKI_E_INVALID, NULL, "there is no issuer %.100s", in->issuer_id);
    }
    s->policy = snapshot_policy(snapshot, in->profile_id);
    if (s->policy == NULL) {
        return pki_fail(err, PKI_E_INVALID, NULL, "there is no profile %.100s", in->profile_id);
    }
    PKI_TRY(csr_decode(a, bytes_str(in->csr), &der, err));
    PKI_TRY(csr_parse(a, der, &s->csr, err));
    PKI_TRY(csr_check(&s->csr, err));
    s->source = "API";
    s->name = in->name;
    s->meta = in->meta;
    s->transaction_key = in->transaction_key;
    s->allowed_names = in->allowed_names;
    PKI_TRY(request_id(a, in->name, &s->managed_id, err));
    s->audit = in->audit;
    s->audit.action = "certificate.issue";
    s->audit.resource_type = "certificate";
    s->audit.resource_id = s->managed_id;
    s->audit.status = 201;
    PKI_TRY(sign_prepare(i, a, s, err));
    return sign_enforce(i, a, snapshot, s, err);
}

static bool
request_judge(sign_job_t *job)
{
    if (job->prior.repeated) {
        return false;
    }
    if (job->prior.managed_status != NULL) {
        job->code = pki_fail(&job->err, PKI_E_CONFLICT, NULL, "certificate %s exists already", job->s->managed_id);
        return false;
    }
    return true;
}

static pki_code_t
request_result(pki_arena_t *a, const signing_t *s, const issuer_result_t *cert, issue_result_t *out, pki_err_t *err)
{
    out->managed_id = s->managed_id;
    out->serial = cert->serial;
    out->der = cert->der;
    /* The snapshot goes before the answer is written. */
    PKI_TRY(PKI_NEW_N(a, s->issuer->ca.chain.count, &out->chain.v, err));
    for (size_t n = 0; n < s->issuer->ca.chain.count; n++) {
        PKI_TRY(pki_bytes_dup(a, s->issuer->ca.chain.v[n], &out->chain.v[n], err));
        out->chain.count++;
    }
    return PKI_OK;
}

/* The certificate that this very order got before. */
static pki_code_t
request_repeated(issue_t *i, pki_arena_t *a, signing_t *s, const cert_prior_t *prior, issue_result_t *out, pki_err_t *err)
{
    issuer_result_t cert = { .der = prior->der, .serial = prior->serial };
    edge_change_t   change;

    if (prior->repeated_id == NULL) {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "a certificate of the API without a managed one");
    }
    PKI_TRY(sign_republish(i, a, prior->issuer_no, prior->serial, &change, err));
    s->managed_id = prior->repeated_id;
    atomic_fetch_add(&i->repeated, 1);
    return request_result(a, s, &cert, out, err);
}

/* In this process one at a time for each certificate, so that two orders of one name cannot both be the first. */
static pki_code_t
request_run(issue_t *i, pki_arena_t *a, signing_t *s, issue_result_t *out, pki_err_t *err)
{
    cert_prior_ask_t ask = { .managed_id = s->managed_id, .transaction_key = s->transaction_key,
                             .window_s = i->conf->retry_window_s };
    sign_job_t       job = { .a = a, .s = s, .ask = &ask, .judge = request_judge };
    flight_t         flight;

    SHA256((const uint8_t *) s->managed_id, strlen(s->managed_id), flight.key);
    if (!flight_enter(i, &flight, true)) {
        return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "the same request is being served");
    }
    sign_serve(i, &job);
    flight_leave(i, &flight);
    if (job.code != PKI_OK) {
        *err = job.err;
        return job.code;
    }
    if (!job.signs) {
        return request_repeated(i, a, s, &job.prior, out, err);
    }
    if (!job.won && s->transaction_key.p != NULL) {
        PKI_TRY(cert_prior(i->db, a, &ask, &job.prior, err));
        if (job.prior.repeated) {
            return request_repeated(i, a, s, &job.prior, out, err);
        }
    }
    if (!job.won) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "the profile %s, or what the certificate belongs to, was deleted meanwhile",
                        s->policy->row->id);
    }
    log_info("cert.issued", LOG_S("issuer", s->issuer->ca.issuer_id), LOG_X("serial", job.cert.serial),
             LOG_S("certificate", s->managed_id));
    return request_result(a, s, &job.cert, out, err);
}

pki_code_t
issue_request(issue_t *i, pki_arena_t *a, const issue_order_t *in, issue_result_t *out, pki_err_t *err)
{
    signing_t   s = { 0 };
    snapshot_t *snapshot;
    pki_code_t  code;

    *out = (issue_result_t){ 0 };
    if (!atomic_load(&i->reconciled)) {
        return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "the signer's journal is being compared with the database");
    }
    PKI_TRY(snapshot_get(i->cache, &snapshot, err));
    code = request_prepare(i, a, snapshot, in, &s, err);
    if (code == PKI_OK) {
        code = request_run(i, a, &s, out, err);
    }
    snapshot_put(snapshot);
    if (code != PKI_OK) {
        atomic_fetch_add(pki_code_http(code) < 500 ? &i->rejected : &i->failed, 1);
    }
    return code;
}
