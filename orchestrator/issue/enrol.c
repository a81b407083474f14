/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * One enrolment (RFC 7030 4.2 as the module has normalised it): who asks, whether they may, and the answer.  A
 * retry of the same transaction gets the same certificate.  The steps up to the decision reject; those after it
 * fail, which tells the client to come again.
 */
#include <stddef.h>

#include <openssl/sha.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/issue/part.h"
#include "pkiproto/base/text.h"

typedef struct {
    issue_t                *issue;
    pki_arena_t            *arena;
    const enrol_request_t  *in;
    snapshot_t             *snapshot;
    const snapshot_label_t *label;
    bool                    renews;       /* simplereenroll */
    bool                    presents;     /* a certificate */
    cert_t                  presented;
    uint8_t                 presented_fingerprint[SHA256_DIGEST_LENGTH];
    uint32_t                presented_issuer_no; /* 0: not one of our issuers */
    signing_t               signing;
    cert_prior_ask_t        ask;
    int64_t                 started_us;
    flight_t                flight;
    bool                    flies;               /* flight is entered */
    bool                    decided;             /* it may be: job is to be served */
    sign_job_t              job;
    pki_code_t              judgement;           /* what the judge found, and why */
    pki_err_t               why;
} enrol_t;

/* Who asks */

static pki_code_t
authorise_basic(enrol_t *e, pki_err_t *err)
{
    const enrol_request_t      *in = e->in;
    const est_credential_row_t *c = snapshot_credential(e->snapshot, e->label->row->name, in->identity);
    bool                        chosen;
    uint8_t                     digest[SHA256_DIGEST_LENGTH];

    if (!e->label->row->auth_basic || e->renews) {
        return pki_fail(err, PKI_E_FORBIDDEN, e->renews ? "RFC 7030 4.2.2" : "RFC 7030 3.2.3",
                        "%s does not accept a user name and password here", e->label->row->name);
    }
    if (c == NULL || (c->expires_at != 0 && c->expires_at <= clock_now())) {
        return pki_fail(err, PKI_E_UNAUTHENTICATED, "RFC 7030 3.2.3", "the user name or the password is wrong");
    }
    chosen = strcmp(c->kind, "scrypt") == 0;
    if (chosen && in->password == NULL) {
        return pki_fail(err, PKI_E_UNAUTHENTICATED, "RFC 7030 3.2.3", "the password is missing");
    }
    e->signing.allowed_names = &c->allowed_names;
    if (chosen) {
        return password_check(e->issue->passwords,
                              &(password_t){ c->id, c->digest, c->salt, c->scrypt_n, c->scrypt_r, c->scrypt_p }, in->password,
                              err);
    }
    /* A generated one: the module has compared it, unless its store was older than this snapshot. */
    if (in->password != NULL && !bytes_eq_secret(bytes_of(SHA256((const uint8_t *) in->password, strlen(in->password), digest),
                                                          sizeof(digest)),
                                                 c->digest)) {
        return pki_fail(err, PKI_E_UNAUTHENTICATED, "RFC 7030 3.2.3", "the user name or the password is wrong");
    }
    return PKI_OK;
}

/* The number of the issuer that the presented certificate names, 0 for a foreign one.  Its old keys' count as well. */
static uint32_t
presented_issuer(const enrol_t *e)
{
    const snapshot_issuer_t *issuer = e->label->issuer;

    if (!bytes_eq(e->presented.issuer, issuer->ca.cert.subject)) {
        issuer = snapshot_issuer_named(e->snapshot, e->presented.issuer, e->presented.akid);
    }
    return issuer != NULL ? issuer->ca.issuer_no : 0;
}

static pki_code_t
authorise_certificate(enrol_t *e, pki_err_t *err)
{
    const enrol_request_t *in = e->in;
    char                   digits[2 * SHA256_DIGEST_LENGTH + 1];

    if (!e->label->row->auth_certificate && !e->renews) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 7030 3.3.2", "%s does not accept client certificates",
                        e->label->row->name);
    }
    if (in->certificate.len == 0) {
        return pki_fail(err, PKI_E_INVALID, NULL, "the client certificate is missing");
    }
    PKI_TRY(cert_parse(e->arena, in->certificate, &e->presented, err));
    SHA256(in->certificate.p, in->certificate.len, e->presented_fingerprint);
    hex_encode(BYTES_ARR(e->presented_fingerprint), digits);
    if (strcmp(digits, in->identity) != 0) {
        return pki_fail(err, PKI_E_INVALID, NULL, "the identity is not the client certificate's");
    }
    e->presents = true;
    e->signing.allowed_names = &e->label->row->allowed_names;
    e->presented_issuer_no = presented_issuer(e);
    if (e->renews && e->presented_issuer_no != e->label->issuer->ca.issuer_no) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 7030 4.2.2", "the presented certificate is of another CA");
    }
    return PKI_OK;
}

static pki_code_t
enrol_authorise(enrol_t *e, pki_err_t *err)
{
    const enrol_request_t *in = e->in;

    if (strcmp(in->protocol, "est") != 0) {
        return pki_fail(err, PKI_E_UNSUPPORTED, NULL, "protocol %s", in->protocol);
    }
    e->renews = strcmp(in->operation, "simplereenroll") == 0;
    if (!e->renews && strcmp(in->operation, "simpleenroll") != 0) {
        return pki_fail(err, PKI_E_UNSUPPORTED, NULL, "operation %s", in->operation);
    }
    e->label = snapshot_label(e->snapshot, in->label);
    if (e->label == NULL) {
        return pki_fail(err, PKI_E_NOT_FOUND, "RFC 7030 3.2.2", "there is no label %.128s", in->label);
    }
    if (strcmp(in->identity_kind, "basic") == 0) {
        return authorise_basic(e, err);
    }
    if (strcmp(in->identity_kind, "certificate") == 0) {
        return authorise_certificate(e, err);
    }
    return pki_fail(err, PKI_E_UNSUPPORTED, NULL, "identity kind %s", in->identity_kind);
}

/* What they ask for */

static pki_code_t
same_names(const enrol_t *e, pki_err_t *err)
{
    if (!bytes_eq(e->signing.csr.subject, e->presented.subject)) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 7030 4.2.2",
                        "the subject is not that of the presented certificate, octet for octet");
    }
    if (!general_names_equal(&e->signing.csr.names, &e->presented.names)) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 7030 4.2.2",
                        "the subjectAltName is not that of the presented certificate");
    }
    return PKI_OK;
}

/* One managed certificate for each label and subject; without a subject its names stand for it. */
static pki_code_t
enrol_identity(enrol_t *e, pki_err_t *err)
{
    signing_t  *s = &e->signing;
    bool        empty = s->order.subject.len == 2;
    char       *id = pki_alloc(e->arena, CERT_MANAGED_ID_LEN + 1);
    const char *cn;

    if (id == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    cert_managed_id(s->source, s->label_id, empty ? s->order.san : s->order.subject, id);
    s->managed_id = id;
    PKI_TRY(name_common_name(e->arena, s->order.subject, &cn, err));
    s->name = cert_managed_name(e->arena, e->label->row->name, cn, id);
    return s->name != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

static pki_code_t
enrol_decide(enrol_t *e, pki_err_t *err)
{
    signing_t *s = &e->signing;

    PKI_TRY(csr_parse(e->arena, e->in->csr, &s->csr, err));
    PKI_TRY(csr_check_wish(&s->csr, err)); /* its signature is the module's to verify: enrol.h */
    if (e->renews) {
        PKI_TRY(same_names(e, err));
    }
    s->issuer = e->label->issuer;
    s->policy = e->label->policy;
    s->source = "EST";
    s->label_id = e->label->row->id;
    s->meta = (issue_meta_t){ .owner_id = e->label->row->owner_id,
                              .team_id = e->label->row->team_id,
                              .environment = e->label->row->environment,
                              .renewal_policy_id = e->label->row->renewal_policy_id };
    s->transaction_key = e->in->transaction_key;
    PKI_TRY(sign_prepare(e->issue, e->arena, s, err));
    PKI_TRY(enrol_identity(e, err));
    return sign_enforce(e->issue, e->arena, e->snapshot, s, err);
}

/* What the database says of the presented certificate (RE-04, and the same for a first enrolment with one of ours). */
static pki_code_t
presented_check(const enrol_t *e, pki_err_t *err)
{
    const cert_prior_t *p = &e->job.prior;
    int64_t             now = clock_now();
    bool                good;

    if (!e->presents || e->presented_issuer_no == 0) {
        return PKI_OK;
    }
    if (!p->presented_known || !bytes_eq(p->presented_fingerprint, BYTES_ARR(e->presented_fingerprint))) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 7030 3.3.2", "the presented certificate was not issued here");
    }
    good = strcmp(p->presented_state, "good") == 0 || strcmp(p->presented_state, "released") == 0;
    if (!good) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 7030 3.3.2", "the presented certificate is %s",
                        strcmp(p->presented_state, "hold") == 0 ? "on hold" : "revoked");
    }
    if (now > p->presented_not_after) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 7030 3.3.2", "the presented certificate has expired");
    }
    return PKI_OK;
}

/* Only for what is not a retry: the retry of a renewal presents a certificate that it has itself superseded. */
static pki_code_t
renewal_check(const enrol_t *e, pki_err_t *err)
{
    const cert_prior_t *p = &e->job.prior;

    if (!e->renews) {
        return PKI_OK;
    }
    if (p->presented_id == NULL || strcmp(p->presented_id, e->signing.managed_id) != 0) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 7030 4.2.2",
                        "the presented certificate does not belong to label %s", e->label->row->name);
    }
    if (p->superseded_at != 0 && clock_now() > p->superseded_at + e->label->row->superseded_grace_s) {
        return pki_fail(err, PKI_E_FORBIDDEN, "RFC 7030 3.3.2", "the presented certificate has been superseded");
    }
    return PKI_OK;
}

static void
enrol_ask(enrol_t *e)
{
    e->ask = (cert_prior_ask_t){ .transaction_key = e->in->transaction_key,
                                 .window_s = e->issue->conf->retry_window_s };
    if (e->presents && e->presented_issuer_no != 0) {
        e->ask.presented_issuer_no = e->presented_issuer_no;
        e->ask.presented_serial = e->presented.serial;
    }
}

/* Between asking and signing, in the turn that serves several enrolments: no input or output here. */
static bool
enrol_judge(sign_job_t *job)
{
    enrol_t *e = (enrol_t *) ((char *) job - offsetof(enrol_t, job));

    e->judgement = presented_check(e, &e->why);
    if (e->judgement != PKI_OK || job->prior.repeated) {
        return false;
    }
    e->judgement = renewal_check(e, &e->why);
    return e->judgement == PKI_OK;
}

/* Answers */

static pki_code_t
answer_issued(bytes_t der, enrol_answer_t *out)
{
    *out = (enrol_answer_t){ .status = "issued", .certificate = der };
    return PKI_OK;
}

static bool
is_rejection(pki_code_t code)
{
    return pki_code_http(code) < 500 && !pki_code_retryable(code);
}

/* Refusals of known identities are evidence; wrong passwords would only fill the table, and are in the log. */
static void
audit_rejection(const enrol_t *e, pki_code_t code, const pki_err_t *err)
{
    audit_t audit = e->signing.audit;

    audit.action = "certificate.reject";
    audit.status = pki_code_http(code);
    audit.details = NULL;
    if (code != PKI_E_UNAUTHENTICATED && code != PKI_E_NOT_FOUND) {
        (void) audit_add(e->issue->db, &audit, NULL);
    }
    log_failure(LOG_INFO, "enrol.rejected", err);
}

static pki_code_t
answer_rejected(enrol_t *e, pki_code_t code, const pki_err_t *why, enrol_answer_t *out, pki_err_t *err)
{
    char *text = pki_strdup(e->arena, why->text);

    if (text == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    atomic_fetch_add(&e->issue->rejected, 1);
    audit_rejection(e, code, why);
    *out = (enrol_answer_t){ .status = "rejected", .code = pki_code_name(code), .clause = why->clause, .text = text };
    return PKI_OK;
}

static pki_code_t
answer_repeated(enrol_t *e, enrol_answer_t *out, pki_err_t *err)
{
    pki_err_t     why = { 0 };
    edge_change_t change;

    PKI_TRY(sign_republish(e->issue, e->arena, e->job.prior.issuer_no, e->job.prior.serial, &change, err));
    if (change.status.kind != EDGE_GOOD) {
        (void) pki_fail(&why, PKI_E_FORBIDDEN, NULL,
                        "the certificate that was issued for this request is revoked: make a new request");
        return answer_rejected(e, PKI_E_FORBIDDEN, &why, out, err);
    }
    atomic_fetch_add(&e->issue->repeated, 1);
    return answer_issued(e->job.prior.der, out);
}

static void
audit_fill(enrol_t *e)
{
    const enrol_request_t *in = e->in;
    bool                   basic = strcmp(in->identity_kind, "basic") == 0;
    const char            *actor = pki_printf(e->arena, "est:%s", in->identity);

    e->signing.audit = (audit_t){
        .actor = actor != NULL ? actor : "est",
        .actor_type = basic ? "est_user" : "est_certificate",
        .action = strcmp(in->operation, "simplereenroll") == 0 ? "certificate.renew" : "certificate.issue",
        .resource_type = "certificate",
        .status = 200,
        .request_id = in->request_id,
        .source = in->source,
    };
}

/* Another process was quicker: its certificate is the answer. */
static pki_code_t
enrol_lost(enrol_t *e, enrol_answer_t *out, pki_err_t *err)
{
    PKI_TRY(cert_prior(e->issue->db, e->arena, &e->ask, &e->job.prior, err));
    return e->job.prior.repeated ? answer_repeated(e, out, err)
                                 : pki_fail(err, PKI_E_UNAVAILABLE, NULL, "the same request is being served");
}

static void
enrol_prepare(enrol_t *e)
{
    signing_t *s = &e->signing;

    enrol_ask(e);
    s->audit.resource_id = s->managed_id;
    s->audit.details = pki_printf(e->arena, "{\"label\": \"%s\", \"operation\": \"%s\"}", e->label->row->name,
                                  e->in->operation);
    e->job = (sign_job_t){ .a = e->arena, .s = s, .ask = &e->ask, .judge = enrol_judge };
    e->decided = true;
}

/* What has become of the job. */
static pki_code_t
enrol_signed(enrol_t *e, enrol_answer_t *out, pki_err_t *err)
{
    const signing_t *s = &e->signing;

    if (e->job.code != PKI_OK) {
        *err = e->job.err;
        return e->job.code;
    }
    if (e->judgement != PKI_OK) {
        return answer_rejected(e, e->judgement, &e->why, out, err);
    }
    if (!e->job.signs) {
        return answer_repeated(e, out, err);
    }
    if (!e->job.won) {
        return enrol_lost(e, out, err);
    }
    log_info("cert.issued", LOG_S("issuer", s->issuer->ca.issuer_id), LOG_X("serial", e->job.cert.serial),
             LOG_S("certificate", s->managed_id), LOG_S("label", e->label->row->name),
             LOG_I("us", clock_mono_us() - e->started_us));
    return answer_issued(e->job.cert.der, out);
}

/* Up to the decision: what is not to be is answered here. */
static pki_code_t
enrol_run(enrol_t *e, enrol_answer_t *out, pki_err_t *err)
{
    pki_code_t code = enrol_authorise(e, &e->why);

    if (code == PKI_OK) {
        code = enrol_decide(e, &e->why);
    }
    if (code == PKI_OK) {
        enrol_prepare(e);
        return PKI_OK;
    }
    return is_rejection(code) ? answer_rejected(e, code, &e->why, out, err)
                              : pki_fail(err, code, e->why.clause, "%s", e->why.text);
}

/* The key must be over this very request: a module that got it wrong would hand out another's certificate. */
static pki_code_t
key_check(const enrol_request_t *in, flight_t *flight, pki_err_t *err)
{
    if (!enrol_transaction_key(in, flight->key)) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "transaction key");
    }
    return bytes_eq(in->transaction_key, BYTES_ARR(flight->key))
               ? PKI_OK
               : pki_fail(err, PKI_E_INVALID, NULL, "the transaction key is not this request's");
}

static pki_code_t
enrol_begin(enrol_t *e, issue_enrol_t *call)
{
    pki_err_t *err = &call->err;

    if (!atomic_load(&e->issue->reconciled)) {
        return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "the signer's journal is being compared with the database");
    }
    PKI_TRY(key_check(e->in, &e->flight, err));
    PKI_TRY(snapshot_get(e->issue->cache, &e->snapshot, err));
    if (!flight_enter(e->issue, &e->flight, call->patient)) {
        call->busy = true;
        return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "the same request is being served");
    }
    e->flies = true;
    audit_fill(e);
    return enrol_run(e, &call->out, err);
}

static void
call_begin(issue_t *i, issue_enrol_t *call, enrol_t *e)
{
    *e = (enrol_t){ .issue = i, .arena = call->a, .in = call->in, .started_us = clock_mono_us() };
    call->err = (pki_err_t){ 0 };
    call->busy = false;
    log_request_set(call->in->request_id);
    call->code = enrol_begin(e, call);
    log_request_set(NULL);
}

static void
call_finish(issue_enrol_t *call, enrol_t *e)
{
    if (e->decided) {
        log_request_set(call->in->request_id);
        call->code = enrol_signed(e, &call->out, &call->err);
        log_request_set(NULL);
    }
    if (e->flies) {
        flight_leave(e->issue, &e->flight);
    }
    snapshot_put(e->snapshot);
    if (call->code != PKI_OK && (call->patient || !call->busy)) {
        atomic_fetch_add(&e->issue->failed, 1);
    }
}

void
issue_enrol(issue_t *i, issue_enrol_t *calls, size_t count, const issue_next_t *next)
{
    enrol_t     enrols[ISSUE_ENROL_MAX];
    sign_job_t *jobs[ISSUE_ENROL_MAX];
    size_t      decided = 0;

    for (size_t n = 0; n < count; n++) {
        call_begin(i, &calls[n], &enrols[n]);
        if (enrols[n].decided) {
            jobs[decided++] = &enrols[n].job;
        }
    }
    sign_serve_many(i, jobs, decided, next);
    for (size_t n = 0; n < count; n++) {
        call_finish(&calls[n], &enrols[n]);
    }
}
