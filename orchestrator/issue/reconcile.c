/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The signer's journal against the database.  What was signed but is not recorded (the process died between the two,
 * or the database went away) can be in nobody's hands by our doing, but it exists: it is recorded as an orphan,
 * revoked with cessationOfOperation (nothing is known to be compromised, and nothing took its place), published
 * and reported.  The position up to which both agree is kept for each journal.
 *
 * Which entries may be judged: those that the journal had while no issuance of this process was between its
 * signature and its row.  Other signatures of this process (issuers being made, responder certificates) are
 * given SETTLE_S.  Should an orphan be recorded while its issuance still commits, the primary key of
 * certificate_version lets only one of the two be, so that a certificate that was handed out is never an orphan.
 */
#include <openssl/sha.h>
#include <sys/prctl.h>
#include <time.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/issue/part.h"
#include "orchestrator/store/journal.h"
#include "pkiproto/der/write.h"

#define RECONCILE_BATCH    200
#define RECONCILE_SETTLE_S 10
#define RECONCILE_RETRY_S  1
#define RECONCILE_AGAIN_S  3
#define RECONCILE_IDLE_S   60

/* Orphans */

/* A TBSCertificate as cert_parse() takes it: with its own algorithm and a signature of no worth. */
static pki_code_t
tbs_parse(pki_arena_t *a, bytes_t tbs, cert_t *out, pki_err_t *err)
{
    static const uint8_t nothing[1] = { 0 };
    bytes_t              in = tbs, fields, serial, algorithm, skipped;
    pki_buf_t            b;
    size_t               at;

    PKI_TRY(der_take(&in, DER_SEQUENCE, "TBSCertificate", &fields, err));
    if (der_peek(fields, DER_CONTEXT_CONSTRUCTED(0))) {
        PKI_TRY(der_take(&fields, DER_CONTEXT_CONSTRUCTED(0), "version", &skipped, err));
    }
    PKI_TRY(der_take_integer(&fields, "serialNumber", &serial, err));
    PKI_TRY(der_take_whole(&fields, DER_SEQUENCE, "signature", &algorithm, err));

    pki_buf_init(&b, a, tbs.len + algorithm.len + 64);
    at = der_open(&b, DER_SEQUENCE);
    pki_buf_put(&b, tbs);
    pki_buf_put(&b, algorithm);
    der_put_bits(&b, BYTES_ARR(nothing));
    der_close(&b, at);
    PKI_TRY(pki_buf_check(&b, "certificate", err));
    return cert_parse(a, pki_buf_bytes(&b), out, err);
}

static pki_code_t
orphan_publish(issue_t *i, pki_arena_t *a, uint32_t issuer_no, bytes_t serial, pki_err_t *err)
{
    edge_change_t change;

    PKI_TRY(sign_republish(i, a, issuer_no, serial, &change, err));
    if (change.status.kind != EDGE_GOOD) {
        edge_crl_request(i->edge, change.authority, serial);
    }
    return PKI_OK;
}

pki_code_t
orphan_record(issue_t *i, pki_arena_t *a, uint32_t issuer_no, bytes_t serial, bytes_t tbs, int64_t signed_at,
              pki_err_t *err)
{
    uint8_t          hash[SHA256_DIGEST_LENGTH];
    cert_t           cert;
    journal_orphan_t orphan = { .issuer_no = issuer_no, .serial = serial, .tbs = tbs, .signed_at = signed_at };
    size_t           recorded = 0;

    PKI_TRY(tbs_parse(a, tbs, &cert, err));
    orphan.spki_sha256 = bytes_of(SHA256(cert.key.spki.p, cert.key.spki.len, hash), sizeof(hash));
    orphan.akid = cert.akid;
    orphan.not_before = cert.not_before;
    orphan.not_after = cert.not_after;
    PKI_TRY(journal_orphans(i->db, &orphan, 1, BYTES_NONE, 0, &recorded, err));
    if (recorded == 0) {
        return PKI_OK; /* its issuance has committed after all */
    }
    atomic_fetch_add(&i->orphans, 1);
    log_warn("issue.orphan", LOG_I("issuer_no", issuer_no), LOG_X("serial", serial), LOG_I("signed_at", signed_at));
    return orphan_publish(i, a, issuer_no, serial, err);
}

/* Reconciliation */

typedef struct {
    issue_t                *issue;
    pki_arena_t            *arena;
    signer_journal_t        journal;
    uint64_t                position; /* judged up to here */
    signer_journal_entry_t *entries;
    journal_serial_t       *serials;  /* of the certificates among the entries */
    size_t                  count, serial_count;
    bool                    unsettled; /* stopped before an entry that is too young to judge */
} reconcile_t;

/* The watermark: with no issuance between signature and row, everything in the journal has its row or is an orphan. */
static pki_code_t
journal_mark(reconcile_t *r, pki_err_t *err)
{
    pki_code_t code;

    pthread_rwlock_wrlock(&r->issue->signing);
    code = signer_journal_info(r->issue->signer, &r->journal, err);
    pthread_rwlock_unlock(&r->issue->signing);
    return code;
}

static pki_code_t
batch_read(reconcile_t *r, pki_err_t *err)
{
    pki_arena_reset(r->arena);
    PKI_TRY(signer_journal_read(r->issue->signer, r->arena, r->position, RECONCILE_BATCH, &r->entries, &r->count, err));
    r->serial_count = 0;
    PKI_TRY(PKI_NEW_N(r->arena, r->count + 1, &r->serials, err));
    for (size_t n = 0; n < r->count && r->entries[n].position < r->journal.end; n++) {
        if (r->entries[n].is_cert) {
            r->serials[r->serial_count++] =
                (journal_serial_t){ .issuer_no = r->entries[n].issuer_no, .serial = r->entries[n].serial };
        }
    }
    return r->serial_count == 0 ? PKI_OK : journal_known(r->issue->db, r->serials, r->serial_count, err);
}

static pki_code_t
entry_judge(reconcile_t *r, const signer_journal_entry_t *entry, pki_err_t *err)
{
    if (entry->at >= r->issue->started_at && entry->at + RECONCILE_SETTLE_S > clock_now()) {
        r->unsettled = true;
        return PKI_OK;
    }
    return orphan_record(r->issue, r->arena, entry->issuer_no, entry->serial, entry->tbs, entry->at, err);
}

static pki_code_t
batch_judge(reconcile_t *r, pki_err_t *err)
{
    size_t next = 0;

    for (size_t n = 0; n < r->count && r->entries[n].position < r->journal.end; n++) {
        const signer_journal_entry_t *entry = &r->entries[n];

        if (entry->is_cert && !r->serials[next++].known) {
            PKI_TRY(entry_judge(r, entry, err));
            if (r->unsettled) {
                break;
            }
        }
        r->position = entry->next;
    }
    return journal_advance(r->issue->db, BYTES_ARR(r->journal.id), r->position, err);
}

static pki_code_t
reconcile_run(reconcile_t *r, pki_err_t *err)
{
    r->unsettled = false;
    /* The database first: while it is away, issuance must not be held up for the mark. */
    PKI_TRY(signer_journal_info(r->issue->signer, &r->journal, err));
    PKI_TRY(journal_position(r->issue->db, BYTES_ARR(r->journal.id), &r->position, err));
    PKI_TRY(journal_mark(r, err));
    while (r->position < r->journal.end && !r->unsettled) {
        PKI_TRY(batch_read(r, err));
        if (r->count == 0) {
            break;
        }
        PKI_TRY(batch_judge(r, err));
    }
    return PKI_OK;
}

void
reconcile_want(issue_t *i)
{
    pthread_mutex_lock(&i->lock);
    i->reconcile_wanted = true;
    pthread_mutex_unlock(&i->lock);
}

/* Sleep, but not past the end; called with the lock held. */
static void
reconcile_sleep(issue_t *i, int64_t seconds)
{
    struct timespec until;
    int             rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    while (!i->stopping && rc == 0) {
        rc = pthread_cond_timedwait(&i->wake, &i->lock, &until);
    }
}

/* One run and what follows from it; returns the seconds until the next. */
static int64_t
reconcile_turn(reconcile_t *r, pki_code_t *failing)
{
    issue_t   *i = r->issue;
    pki_err_t  err = { 0 };
    pki_code_t code = reconcile_run(r, &err);

    if (code != PKI_OK && code != *failing) {
        log_failure(LOG_WARN, "issue.reconcile_failed", &err);
    }
    *failing = code;
    if (code != PKI_OK) {
        return RECONCILE_RETRY_S;
    }
    if (!atomic_exchange(&i->reconciled, true)) {
        log_info("issue.reconciled", LOG_I("position", r->position), LOG_I("orphans", atomic_load(&i->orphans)));
    }
    if (seen_load(i->seen, i->db, &err) != PKI_OK) {
        log_failure(LOG_WARN, "issue.keys_failed", &err);
        return RECONCILE_RETRY_S;
    }
    return r->unsettled ? RECONCILE_AGAIN_S : 0;
}

void *
reconcile_thread(void *arg)
{
    issue_t    *i = arg;
    reconcile_t r = { .issue = i, .arena = pki_arena_new(0) };
    pki_code_t  failing = PKI_OK;
    int64_t     due_us = 0;

    (void) prctl(PR_SET_NAME, "reconcile");
    if (r.arena == NULL) {
        log_error("issue.reconcile_failed", LOG_S("text", "out of memory"));
        return NULL;
    }
    pthread_mutex_lock(&i->lock);
    while (!i->stopping) {
        int64_t wait_s = RECONCILE_RETRY_S;

        if (i->reconcile_wanted || clock_mono_us() >= due_us) {
            i->reconcile_wanted = false;
            pthread_mutex_unlock(&i->lock);
            wait_s = reconcile_turn(&r, &failing);
            pthread_mutex_lock(&i->lock);
            due_us = clock_mono_us() + (wait_s != 0 ? wait_s : RECONCILE_IDLE_S) * 1000000;
            wait_s = RECONCILE_RETRY_S;
        }
        reconcile_sleep(i, wait_s);
    }
    pthread_mutex_unlock(&i->lock);
    pki_arena_free(r.arena);
    return NULL;
}
