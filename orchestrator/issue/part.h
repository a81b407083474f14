/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this folder share.
 *
 *   issue.c      opening, closing, health
 *   enrol.c      one enrolment from a protocol module: authorise, decide, answer
 *   request.c    one order from the management API
 *   renew.c      another version of a managed certificate
 *   sign.c       what both end in: signature, one transaction, edge store
 *   revoke.c     revocation, hold, release
 *   reconcile.c  the signer's journal against the database
 *   policy.c     what a profile makes of a request (pure)
 *   rule.c       what the installation's rules have against it (pure)
 *   enforce.c    the rules on the way to a signature, and what they found
 *   seen.c       transaction keys that the database must be asked about
 *   snapshot.c   configuration, cached
 */
#ifndef ORCHESTRATOR_ISSUE_PART_H
#define ORCHESTRATOR_ISSUE_PART_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/group.h"
#include "core/password.h"
#include "orchestrator/issue/issue.h"
#include "orchestrator/issue/seen.h"
#include "orchestrator/issue/snapshot.h"
#include "orchestrator/store/cert.h"

/* One at a time for each transaction key: the second caller finds what the first one recorded. */
typedef struct flight {
    uint8_t        key[32];
    struct flight *next;
} flight_t;

struct issue {
    const conf_t     *conf;
    db_t             *db;
    signer_t         *signer;
    edge_t           *edge;
    snapshot_cache_t *cache;
    passwords_t      *passwords;
    seen_t           *seen;

    pthread_mutex_t  lock; /* flights, stopping, wanted */
    pthread_cond_t   wake; /* of the reconciliation thread; monotonic clock, as the next one */
    pthread_cond_t   landed; /* a flight has left */
    flight_t        *flights;
    unsigned         flights_waiting;
    bool             stopping, reconcile_wanted;
    pthread_t        reconcile_thread;
    pthread_rwlock_t signing; /* held for reading from a signature to its row */
    group_t          turns;   /* of sign_serve() */
    int64_t          started_at;

    atomic_bool   reconciled;
    atomic_ullong issued, repeated, rejected, failed, revoked, orphans;
};

/* False when the other one is there, to the patient only when it takes too long. */
bool flight_enter(issue_t *i, flight_t *f, bool patient);
void flight_leave(issue_t *i, flight_t *f);

/* A certificate about to be. */
typedef struct {
    const snapshot_issuer_t *issuer;
    const policy_t          *policy;
    csr_t                    csr;
    issuer_order_t           order;
    const char              *source;                 /* "EST", "API" */
    const char              *label_id;               /* NULL: none */
    const str_list_t        *allowed_names;          /* that whoever asks may ask for; NULL or empty: any */
    issue_meta_t             meta;
    const char              *managed_id, *name;
    bytes_t                  transaction_key;        /* absent: none */
    const char              *violations;             /* of rules, let through; NULL: none */
    audit_t                  audit;
} signing_t;

/* The decision: policy and what the order says of its issuer. */
pki_code_t sign_prepare(issue_t *i, pki_arena_t *a, signing_t *s, pki_err_t *err);

/* After sign_prepare(): the rules.  POLICY, and recorded, when one refuses. */
pki_code_t sign_enforce(issue_t *i, pki_arena_t *a, const snapshot_t *snapshot, signing_t *s, pki_err_t *err);

/*
 * Ask, judge, sign, record, publish.  Callers that come together are served together: one statement asks for all,
 * one sync of the journal, one statement and one commit, one commit of the edge store.
 */
typedef struct sign_job {
    group_job_t             group;
    pki_arena_t            *a;
    signing_t              *s;
    const cert_prior_ask_t *ask;                   /* NULL: sign without asking */
    bool                  (*judge)(struct sign_job *job); /* prior is here: whether to sign; NULL: yes */
    int64_t                 deadline_us;

    cert_prior_t            prior;
    cert_record_t           record;
    issuer_result_t         cert;
    bool                    signs;  /* it got past the judge */
    bool                    won;    /* false: another process has used the transaction key meanwhile, or the profile is
                                     * gone: ours is an orphan */
    pki_code_t              code;   /* an error: nothing may be answered as issued */
    pki_err_t               err;
} sign_job_t;

void                     sign_serve(issue_t *i, sign_job_t *job);
/* The list is used up; next as in issue_enrol(). */
void                     sign_serve_many(issue_t *i, sign_job_t **jobs, size_t count, const issue_next_t *next);
extern const group_ops_t sign_group;

/* Make sure that the edge store has a certificate that was recorded earlier; REVOKED states are published, too. */
pki_code_t sign_republish(issue_t *i, pki_arena_t *a, uint32_t issuer_no, bytes_t serial, edge_change_t *out,
                          pki_err_t *err);

/* reconcile.c */
void *reconcile_thread(void *issue);
void  reconcile_want(issue_t *i);

/* Record certificates that were signed but not recorded: revoked, published, reported. */
pki_code_t orphan_record(issue_t *i, pki_arena_t *a, uint32_t issuer_no, bytes_t serial, bytes_t tbs, int64_t signed_at,
                         pki_err_t *err);

#endif
