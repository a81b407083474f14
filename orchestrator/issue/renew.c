/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Renewal of a managed certificate: the same names and, unless a request brings another (re-key, RFC 3647 4.7), the same
 * key (RFC 3647 4.6), by the profile and the issuer of today.  Nothing of a request but its key is taken over: what it
 * names has to be the certificate's already.
 */
#include <openssl/sha.h>

#include "core/log.h"
#include "orchestrator/issue/part.h"
#include "orchestrator/store/job.h"

#define REASON_KEY_COMPROMISE 1

/* One job, one certificate, however often it is tried. */
static pki_code_t
renewal_key(const char *job_id, uint8_t out[SHA256_DIGEST_LENGTH], pki_err_t *err)
{
    char text[128];
    int  len = snprintf(text, sizeof(text), "renewal:%s", job_id);

    if (len < 0 || (size_t) len >= sizeof(text) || SHA256((const uint8_t *) text, (size_t) len, out) == NULL) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "transaction key");
    }
    return PKI_OK;
}

/* The states that a renewal is for. */
static pki_code_t
renewal_allowed(const renewal_cert_t *c, const renew_order_t *in, pki_err_t *err)
{
    bool active = strcmp(c->status, "Active") == 0;

    if (strcmp(c->issuer_type, "external") == 0) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "%s was issued by somebody else, who alone can renew it", c->id);
    }
    if (strcmp(c->status, "Archived") == 0) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "%s is archived", c->id);
    }
    if (!active && !in->force) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "%s is %s: renew it with force, if that is meant", c->id, c->status);
    }
    if (c->revocation_reason == REASON_KEY_COMPROMISE && in->csr == NULL) {
        return pki_fail(err, PKI_E_CONFLICT, "RFC 3647 4.6", "the key of %s is compromised: a request with a new one is needed",
                        c->id);
    }
    return PKI_OK;
}

static bool
name_has(const general_names_t *names, bytes_t whole)
{
    for (size_t i = 0; i < names->count; i++) {
        if (bytes_eq(names->v[i].whole, whole)) {
            return true;
        }
    }
    return false;
}

/* An empty SEQUENCE is no subject. */
static pki_code_t
names_check(const csr_t *csr, const cert_t *now, pki_err_t *err)
{
    if (csr->subject.len > 2 && !bytes_eq(csr->subject, now->subject)) {
        return pki_fail(err, PKI_E_POLICY, NULL, "the request has another subject than the certificate");
    }
    for (size_t i = 0; i < csr->names.count; i++) {
        if (!name_has(&now->names, csr->names.v[i].whole)) {
            return pki_fail(err, PKI_E_POLICY, NULL, "the request names something that the certificate does not");
        }
    }
    return PKI_OK;
}

static pki_code_t
rekey_read(pki_arena_t *a, const renewal_cert_t *c, const char *pem, const cert_t *now, csr_t *out, pki_err_t *err)
{
    bytes_t der;

    PKI_TRY(csr_decode(a, bytes_str(pem), &der, err));
    PKI_TRY(csr_parse(a, der, out, err));
    PKI_TRY(csr_check(out, err));
    PKI_TRY(names_check(out, now, err));
    if (c->revocation_reason == REASON_KEY_COMPROMISE && bytes_eq(out->key.spki, now->key.spki)) {
        return pki_fail(err, PKI_E_KEY, "RFC 3647 4.7", "the request has the key that is compromised");
    }
    return PKI_OK;
}

/* What is asked of the profile: the names of the present version, and the key of it or of the request. */
static pki_code_t
renewal_wish(pki_arena_t *a, const renewal_cert_t *c, const renew_order_t *in, csr_t *out, pki_err_t *err)
{
    cert_t now;

    if (c->der.p == NULL) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "nothing was issued for %s yet", c->id);
    }
    PKI_TRY(cert_parse(a, c->der, &now, err));
    *out = (csr_t){ .key = now.key };
    if (in->csr != NULL) {
        PKI_TRY(rekey_read(a, c, in->csr, &now, out, err));
    }
    out->subject = now.subject;
    out->san = now.san;
    out->names = now.names;
    return PKI_OK;
}

static pki_code_t
renewal_prepare(issue_t *i, pki_arena_t *a, const snapshot_t *snapshot, const renewal_cert_t *c, const renew_order_t *in,
                signing_t *s, pki_err_t *err)
{
    PKI_TRY(renewal_allowed(c, in, err));
    PKI_TRY(renewal_wish(a, c, in, &s->csr, err));
    s->issuer = snapshot_issuer(snapshot, c->issuer_id);
    s->policy = c->profile_id != NULL ? snapshot_policy(snapshot, c->profile_id) : NULL;
    if (s->issuer == NULL || s->policy == NULL) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "the issuer or the profile of %s cannot be used", c->id);
    }
    s->source = c->source;
    s->label_id = c->est_label_id;
    s->meta = (issue_meta_t){ .owner_id = c->owner_id, .team_id = c->team_id, .environment = c->environment,
                              .renewal_policy_id = c->renewal_policy_id, .tags = c->tags };
    s->allowed_names = in->allowed_names;
    s->managed_id = c->id;
    s->name = c->name;
    s->audit = in->audit;
    s->audit.action = "certificate.renew";
    s->audit.resource_type = "certificate";
    s->audit.resource_id = c->id;
    s->audit.status = 200;
    s->audit.details = pki_printf(a, "{\"job\": \"%s\", \"key\": \"%s\"}", in->job_id != NULL ? in->job_id : "",
                                  in->csr != NULL ? "new" : "same");
    PKI_TRY(sign_prepare(i, a, s, err));
    return sign_enforce(i, a, snapshot, s, err);
}

static bool
renewal_judge(sign_job_t *job)
{
    return !job->prior.repeated;
}

static pki_code_t
renewal_run(issue_t *i, pki_arena_t *a, signing_t *s, pki_err_t *err)
{
    cert_prior_ask_t ask = { .transaction_key = s->transaction_key, .window_s = i->conf->retry_window_s };
    sign_job_t       job = { .a = a, .s = s, .ask = &ask, .judge = renewal_judge };
    edge_change_t    change;

    sign_serve(i, &job);
    if (job.code != PKI_OK) {
        *err = job.err;
        return job.code;
    }
    if (!job.signs) {
        return sign_republish(i, a, job.prior.issuer_no, job.prior.serial, &change, err);
    }
    if (!job.won) {
        return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "somebody else is renewing %s", s->managed_id);
    }
    log_info("cert.renewed", LOG_S("issuer", s->issuer->ca.issuer_id), LOG_X("serial", job.cert.serial),
             LOG_S("certificate", s->managed_id));
    return PKI_OK;
}

/* An earlier attempt got as far as its row. */
static pki_code_t
renewal_known(issue_t *i, pki_arena_t *a, const snapshot_t *snapshot, const renewal_cert_t *c, pki_err_t *err)
{
    const snapshot_issuer_t *issuer = snapshot_issuer(snapshot, c->issuer_id);
    edge_change_t            change;
    cert_t                   cert;

    if (issuer == NULL) {
        return PKI_OK; /* nobody is told of its certificates any more */
    }
    PKI_TRY(cert_parse(a, c->issued, &cert, err));
    return sign_republish(i, a, issuer->ca.issuer_no, cert.serial, &change, err);
}

static pki_code_t
renewal_serve(issue_t *i, pki_arena_t *a, const snapshot_t *snapshot, const renew_order_t *in, pki_err_t *err)
{
    uint8_t        key[SHA256_DIGEST_LENGTH];
    signing_t      s = { .transaction_key = BYTES_ARR(key) };
    renewal_cert_t c;

    PKI_TRY(renewal_key(in->job_id != NULL ? in->job_id : "", key, err));
    PKI_TRY(renewal_find(i->db, a, in->managed_id, s.transaction_key, &c, err));
    if (in->job_id != NULL && c.issued.p != NULL) {
        return renewal_known(i, a, snapshot, &c, err);
    }
    PKI_TRY(renewal_prepare(i, a, snapshot, &c, in, &s, err));
    return in->job_id != NULL ? renewal_run(i, a, &s, err) : PKI_OK;
}

pki_code_t
issue_renew(issue_t *i, pki_arena_t *a, const renew_order_t *in, pki_err_t *err)
{
    snapshot_t *snapshot;
    pki_code_t  code;

    if (in->job_id != NULL && !atomic_load(&i->reconciled)) {
        return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "the signer's journal is being compared with the database");
    }
    PKI_TRY(snapshot_get(i->cache, &snapshot, err));
    code = renewal_serve(i, a, snapshot, in, err);
    snapshot_put(snapshot);
    if (code != PKI_OK && in->job_id != NULL) {
        atomic_fetch_add(pki_code_http(code) < 500 ? &i->rejected : &i->failed, 1);
    }
    return code;
}
