/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The end of the one issuance path: the issuer's signature, one transaction, the edge store; then the answer.
 */
#include <openssl/sha.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/issue/part.h"

pki_code_t
sign_prepare(issue_t *i, pki_arena_t *a, signing_t *s, pki_err_t *err)
{
    (void) i;
    if (!s->issuer->enabled) {
        return pki_fail(err, PKI_E_POLICY, NULL, "issuer %s is disabled", s->issuer->ca.issuer_id);
    }
    if (s->issuer->revoked) {
        return pki_fail(err, PKI_E_POLICY, "RFC 6960 2.7", "the CA certificate of issuer %s is revoked: it needs a re-key",
                        s->issuer->ca.issuer_id);
    }
    PKI_TRY(policy_apply(a, s->policy, &s->csr, &s->issuer->ca.cert, clock_now(), &s->order, err));
    PKI_TRY(policy_names_check(a, s->allowed_names, &s->order, err));
    s->order.ca_issuers_url = s->issuer->ca_issuers_url;
    if (!s->order.no_rev_avail) {
        s->order.ocsp_url = s->issuer->ocsp_url;
        s->order.crl_base = s->issuer->crl_base;
    }
    return PKI_OK;
}

/* The names as the lists of the API show them. */
static pki_code_t
record_names(pki_arena_t *a, const signing_t *s, managed_row_t *m, pki_err_t *err)
{
    general_names_t names = { 0 };

    PKI_TRY(name_print(a, s->order.subject, &m->subject, err));
    PKI_TRY(name_common_name(a, s->order.subject, &m->common_name, err));
    if (s->order.san.p != NULL) {
        PKI_TRY(general_names_parse(a, s->order.san, &names, err));
    }
    PKI_TRY(PKI_NEW_N(a, names.count + 1, &m->sans.v, err));
    for (size_t n = 0; n < names.count; n++) {
        PKI_TRY(general_name_print(a, &names.v[n], &m->sans.v[n], err));
    }
    m->sans.count = names.count;
    m->subject_der = s->order.subject;
    return PKI_OK;
}

/* Everything of the row that is known before the signature: what can fail here leaves no orphan. */
static pki_code_t
record_prepare(issue_t *i, pki_arena_t *a, const signing_t *s, cert_record_t *r, pki_err_t *err)
{
    *r = (cert_record_t){
        .managed = { .id = s->managed_id,
                     .name = s->name,
                     .source = s->source,
                     .profile_id = s->policy->row->id,
                     .issuer_no = s->issuer->ca.issuer_no,
                     .est_label_id = s->label_id,
                     .owner_id = s->meta.owner_id,
                     .team_id = s->meta.team_id,
                     .environment = s->meta.environment,
                     .renewal_policy_id = s->meta.renewal_policy_id,
                     .tags = s->meta.tags },
        .violations = s->violations,
        .generation = s->issuer->ca.generation,
        .exempt = s->order.no_rev_avail,
        .key_algorithm = pki_key_algorithm(s->csr.key.kind),
        .key_size = s->csr.key.bits,
        .transaction_key = s->transaction_key,
        .window_s = i->conf->retry_window_s,
        .audit = s->audit,
    };
    return record_names(a, s, &r->managed, err);
}

static pki_code_t
record_result(pki_arena_t *a, const signing_t *s, const issuer_result_t *cert, cert_record_t *r, pki_err_t *err)
{
    uint8_t *hashes = pki_alloc(a, 2 * SHA256_DIGEST_LENGTH);

    if (hashes == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    r->serial = cert->serial;
    r->der = cert->der;
    r->not_before = cert->not_before;
    r->not_after = cert->not_after;
    r->spki_sha256 = bytes_of(SHA256(s->order.spki.p, s->order.spki.len, hashes), SHA256_DIGEST_LENGTH);
    r->fingerprint =
        bytes_of(SHA256(cert->der.p, cert->der.len, hashes + SHA256_DIGEST_LENGTH), SHA256_DIGEST_LENGTH);
    return PKI_OK;
}

/* Lost the race for the transaction key: nobody will ever get this one. */
static pki_code_t
sign_lost(issue_t *i, sign_job_t *job)
{
    cert_t cert;

    PKI_TRY(cert_parse(job->a, job->cert.der, &cert, &job->err));
    return orphan_record(i, job->a, job->s->issuer->ca.issuer_no, job->cert.serial, cert.tbs, clock_now(), &job->err);
}

/* The jobs of one turn, and those among them that a step is for. */
typedef struct {
    sign_job_t *job[ISSUER_JOBS_MAX];
    size_t      count;
    int64_t     deadline_us; /* the earliest of them */
} turn_t;

static void
turn_add(turn_t *t, sign_job_t *job)
{
    t->deadline_us = t->count == 0 || job->deadline_us < t->deadline_us ? job->deadline_us : t->deadline_us;
    t->job[t->count++] = job;
}

/* A first enrolment with a key that nobody has used has no past. */
static bool
job_asks(const issue_t *i, const sign_job_t *job, int64_t now)
{
    const cert_prior_ask_t *ask = job->ask;

    return ask != NULL
           && (ask->managed_id != NULL || ask->presented_issuer_no != 0 || seen_maybe(i->seen, ask->transaction_key, now));
}

static void
turn_ask(issue_t *i, const turn_t *all)
{
    db_item_t items[ISSUER_JOBS_MAX];
    turn_t    t = { 0 };
    int64_t   now = clock_now();

    for (size_t n = 0; n < all->count; n++) {
        if (job_asks(i, all->job[n], now)) {
            items[t.count] = (db_item_t){ .in = all->job[n]->ask, .out = &all->job[n]->prior, .a = all->job[n]->a };
            turn_add(&t, all->job[n]);
        }
    }
    if (t.count != 0) {
        cert_prior_many(i->db, items, t.count, t.deadline_us);
    }
    for (size_t n = 0; n < t.count; n++) {
        t.job[n]->code = items[n].code;
        t.job[n]->err = items[n].err;
    }
}

/* Everything that can fail is done before the signature. */
static void
turn_judge(issue_t *i, const turn_t *all, turn_t *out)
{
    for (size_t n = 0; n < all->count; n++) {
        sign_job_t *job = all->job[n];

        if (job->code != PKI_OK || (job->judge != NULL && !job->judge(job))) {
            continue;
        }
        job->code = record_prepare(i, job->a, job->s, &job->record, &job->err);
        if (job->code == PKI_OK) {
            job->signs = true;
            turn_add(out, job);
        }
    }
}

/* Neighbours of one connector in one call. */
static void
turn_sign(issue_t *i, const turn_t *t)
{
    issuer_job_t orders[ISSUER_JOBS_MAX] = { 0 };

    for (size_t n = 0; n < t->count; n++) {
        orders[n] = (issuer_job_t){ .a = t->job[n]->a, .ca = &t->job[n]->s->issuer->ca, .order = &t->job[n]->s->order };
    }
    for (size_t n = 0, next; n < t->count; n = next) {
        const issuer_ops_t *ops = t->job[n]->s->issuer->ops;

        for (next = n + 1; next < t->count && t->job[next]->s->issuer->ops == ops; next++) {
        }
        ops->issue(i->signer, &orders[n], next - n);
    }
    for (size_t n = 0; n < t->count; n++) {
        sign_job_t *job = t->job[n];

        job->cert = orders[n].result;
        job->err = orders[n].err;
        job->code = orders[n].code == PKI_OK ? record_result(job->a, job->s, &job->cert, &job->record, &job->err)
                                             : orders[n].code;
    }
}

static void
turn_record(issue_t *i, const turn_t *all)
{
    db_item_t items[ISSUER_JOBS_MAX];
    turn_t    t = { 0 };
    int64_t   now = clock_now();

    for (size_t n = 0; n < all->count; n++) {
        if (all->job[n]->code == PKI_OK) {
            seen_add(i->seen, all->job[n]->record.transaction_key, now);
            items[t.count] = (db_item_t){ .in = &all->job[n]->record, .out = &all->job[n]->won };
            turn_add(&t, all->job[n]);
        }
    }
    if (t.count != 0) {
        cert_record_many(i->db, items, t.count, db_deadline(i->db));
    }
    for (size_t n = 0; n < t.count; n++) {
        t.job[n]->code = items[n].code;
        t.job[n]->err = items[n].err;
        if (items[n].code == PKI_OK && !t.job[n]->won) {
            t.job[n]->code = sign_lost(i, t.job[n]);
        }
    }
}

/* What was signed and is not recorded is settled soon.  While the database is away it is asked before anything is signed. */
static void
turn_doubt(issue_t *i, const turn_t *all)
{
    for (size_t n = 0; n < all->count; n++) {
        if (all->job[n]->code != PKI_OK) {
            reconcile_want(i);
        }
        if (pki_code_retryable(all->job[n]->code)) {
            seen_doubt(i->seen);
        }
    }
}

static void
turn_publish(issue_t *i, const turn_t *all)
{
    edge_change_t changes[ISSUER_JOBS_MAX];
    turn_t        t = { 0 };
    pki_err_t     err = { 0 };
    pki_code_t    code;

    for (size_t n = 0; n < all->count; n++) {
        sign_job_t *job = all->job[n];

        if (job->code == PKI_OK && job->won && job->record.exempt) {
            atomic_fetch_add(&i->issued, 1);
        } else if (job->code == PKI_OK && job->won) {
            changes[t.count] = (edge_change_t){
                .authority = edge_authority(job->s->issuer->ca.issuer_no, job->s->issuer->ca.generation),
                .serial = job->cert.serial,
                .status = { .kind = EDGE_GOOD, .reason = -1, .not_after = job->cert.not_after },
            };
            if (job->s->issuer->cert_hash) {
                changes[t.count].status.cert_hash = job->record.fingerprint;
            }
            turn_add(&t, job);
        }
    }
    code = t.count != 0 ? edge_publish(i->edge, changes, t.count, &err) : PKI_OK;
    for (size_t n = 0; n < t.count; n++) {
        t.job[n]->code = code;
        t.job[n]->err = err;
    }
    if (code == PKI_OK) {
        atomic_fetch_add(&i->issued, t.count);
    }
}

/* A job whose time was up before its turn came is not begun. */
static void
turn_begin(const turn_t *all, turn_t *out)
{
    int64_t now = clock_mono_us();

    for (size_t n = 0; n < all->count; n++) {
        sign_job_t *job = all->job[n];

        if (now >= job->deadline_us) {
            job->code = pki_fail(&job->err, PKI_E_UNAVAILABLE, NULL, "the database does not answer in time");
        } else {
            turn_add(out, job);
        }
    }
}

static void
turn_serve(issue_t *i, const turn_t *given, const issue_next_t *next)
{
    turn_t all = { 0 }, signing = { 0 };

    turn_begin(given, &all);
    turn_ask(i, &all);
    turn_judge(i, &all, &signing);

    pthread_rwlock_rdlock(&i->signing);
    turn_sign(i, &signing);
    if (next != NULL) {
        next->fn(next->arg);
    }
    turn_record(i, &signing);
    pthread_rwlock_unlock(&i->signing);

    turn_doubt(i, &signing);
    turn_publish(i, &signing);
}

/* One statement cannot touch a row twice: cert_record_many(). */
static bool
jobs_join(const sign_job_t *job, const sign_job_t *other)
{
    const signing_t *a = job->s, *b = other->s;

    return strcmp(a->managed_id, b->managed_id) != 0
           && (a->transaction_key.p == NULL || !bytes_eq(a->transaction_key, b->transaction_key));
}

static void
turn_run(void *arg, group_job_t *list)
{
    turn_t all = { 0 };

    for (group_job_t *g = list; g != NULL; g = g->next) {
        turn_add(&all, (sign_job_t *) g);
    }
    turn_serve(arg, &all, NULL);
}

static bool
turn_joins(const group_job_t *list, const group_job_t *job)
{
    for (; list != NULL; list = list->next) {
        if (!jobs_join((const sign_job_t *) job, (const sign_job_t *) list)) {
            return false;
        }
    }
    return true;
}

const group_ops_t sign_group = { .max = ISSUER_JOBS_MAX, .run = turn_run, .joins = turn_joins };

void
sign_serve(issue_t *i, sign_job_t *job)
{
    job->deadline_us = db_deadline(i->db);
    group_serve(&i->turns, &job->group);
}

static bool
turn_takes(const turn_t *t, const sign_job_t *job)
{
    for (size_t n = 0; n < t->count; n++) {
        if (!jobs_join(job, t->job[n])) {
            return false;
        }
    }
    return t->count < ISSUER_JOBS_MAX;
}

void
sign_serve_many(issue_t *i, sign_job_t **jobs, size_t count, const issue_next_t *next)
{
    int64_t deadline_us = db_deadline(i->db);

    for (size_t n = 0; n < count; n++) {
        jobs[n]->deadline_us = deadline_us;
    }
    while (count > 0) {
        turn_t turn = { 0 };
        size_t left = 0;

        for (size_t n = 0; n < count; n++) {
            if (turn_takes(&turn, jobs[n])) {
                turn_add(&turn, jobs[n]);
            } else {
                jobs[left++] = jobs[n];
            }
        }
        turn_serve(i, &turn, next);
        next = NULL;
        count = left;
    }
}

pki_code_t
sign_republish(issue_t *i, pki_arena_t *a, uint32_t issuer_no, bytes_t serial, edge_change_t *out, pki_err_t *err)
{
    status_row_t row;

    PKI_TRY(revocation_status(i->db, a, issuer_no, serial, &row, err));
    *out = edge_change_of(&row);
    return row.exempt && row.state == 'g' ? PKI_OK : edge_publish(i->edge, out, 1, err);
}
