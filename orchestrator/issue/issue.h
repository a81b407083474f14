/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The one issuance path: authorise, profile, issuer, one transaction, edge store, answer.  EST, the
 * management API and all that come later reach a signature only through here.
 */
#ifndef ORCHESTRATOR_ISSUE_ISSUE_H
#define ORCHESTRATOR_ISSUE_ISSUE_H

#include "orchestrator/conf.h"
#include "orchestrator/edge/edge.h"
#include "orchestrator/signer/signer.h"
#include "orchestrator/store/job.h"
#include "pkiproto/edge/enrol.h"

typedef struct issue issue_t;

pki_code_t issue_open(const conf_t *conf, db_t *db, signer_t *signer, edge_t *edge, issue_t **out, pki_err_t *err);
void       issue_close(issue_t *i);

/* One enrolment of several that came together. */
typedef struct {
    pki_arena_t           *a;
    const enrol_request_t *in;
    bool                   patient; /* wait while the same request is being served for somebody else */
    enrol_answer_t         out;     /* for every outcome that the protocol can express: issued or rejected */
    bool                   busy;    /* not patient, and would have had to wait: nothing was done */
    pki_code_t             code;    /* an error: nothing was decided (UNAVAILABLE, INTERNAL...): try again */
    pki_err_t              err;
} issue_enrol_t;

/*
 * Serve at most ISSUE_ENROL_MAX enrolments in as few turns as possible: what each turn costs is shared by all in it.
 * The same transaction key within retry_window_s gives the same certificate.  `next` (may be NULL) is called when the
 * first turn has its signatures, if there is one: a good time to begin with others, while these are recorded.
 */
#define ISSUE_ENROL_MAX 64
typedef struct {
    void (*fn)(void *arg);
    void  *arg;
} issue_next_t;
void issue_enrol(issue_t *i, issue_enrol_t *calls, size_t count, const issue_next_t *next);

/* What is said of a certificate, and not in it; NULL: none. */
typedef struct {
    const char *owner_id, *team_id, *environment, *renewal_policy_id;
    const char *tags; /* JSON, an object of strings */
} issue_meta_t;

/* Issue for the management API: POST /api/v1/certificates.  Names come from the CSR as the profile allows. */
typedef struct {
    const char  *name, *profile_id, *issuer_id; /* name: unique */
    const char  *csr;                           /* PEM */
    const str_list_t *allowed_names;            /* that the caller may ask for: patterns; NULL or empty: any */
    bytes_t      transaction_key;               /* the same again gives the same certificate; absent: none */
    issue_meta_t meta;
    audit_t      audit; /* of the call: who, from where, the request; what was done is filled in */
} issue_order_t;
typedef struct {
    const char *managed_id;
    bytes_t     serial, der;
    cert_list_t chain;
} issue_result_t;
pki_code_t issue_request(issue_t *i, pki_arena_t *a, const issue_order_t *in, issue_result_t *out, pki_err_t *err);

/* Whether a pattern of allowed names lets through no more than another one (see policy_names_check()). */
bool issue_name_covers(const char *ours, const char *theirs);

/*
 * Another version of a managed certificate, for a renewal job: however often it is tried, one certificate comes of it.
 * Without a job, only whether it could be done now.  CONFLICT for a state that it is not for.
 */
typedef struct {
    const char *managed_id, *job_id;
    const char *csr;   /* PEM: re-key; NULL: the same key again */
    bool        force; /* also what is revoked or has expired */
    const str_list_t *allowed_names; /* as in issue_order_t: of whoever asks, not of their job */
    audit_t     audit; /* who asked for the job */
} renew_order_t;
pki_code_t issue_renew(issue_t *i, pki_arena_t *a, const renew_order_t *in, pki_err_t *err);

/*
 * What the rules say of new metadata for a certificate that is there.  POLICY, and recorded, when one refuses; otherwise
 * *violations is what has to be recorded with the change (NULL: nothing).
 */
typedef struct {
    const char  *managed_id, *profile_id, *issuer_id, *actor;
    issue_meta_t meta;
} issue_review_t;
pki_code_t issue_review(issue_t *i, pki_arena_t *a, const issue_review_t *in, const char **violations, pki_err_t *err);

/*
 * Revoke versions of a managed certificate: all unexpired ones, or those named by serial.  reason is a
 * CRLReason (6: hold; not 0.. see crl_reason_parse; 8 releases from hold).  On return every local worker
 * answers accordingly and a CRL is on its way.  *changed counts versions whose state changed.
 * NOT_FOUND for an unknown certificate or serial; CONFLICT for a transition that RFC 5280 5.3.1 does not allow.
 */
typedef struct {
    const char    *managed_id;
    const bytes_t *serials; /* INTEGER contents octets; count 0: all unexpired */
    size_t         serial_count;
    int            reason;
    int64_t        invalidity_at; /* 0: none */
    audit_t        audit; /* of the call, as in issue_order_t */
} revoke_order_t;
pki_code_t issue_revoke(issue_t *i, const revoke_order_t *in, size_t *changed, pki_err_t *err);

/*
 * The next certificates of a bulk revocation, many in one transaction; on return every local worker knows, and they are
 * Done.  *taken: how many items; 0: none is left.  *after: where the one before ended, at first "".  A CRL is asked for at
 * the end of each.  issue_revoke_resume() comes first: it tells the edge what an earlier worker of the job could not.
 */
pki_code_t issue_revoke_resume(issue_t *i, const job_claim_t *job, pki_err_t *err);
pki_code_t issue_revoke_bulk(issue_t *i, pki_arena_t *a, const job_claim_t *job, int reason, int64_t invalidity_at,
                             const char **after, int64_t *taken, pki_err_t *err);

/* Counters and state for metrics and readiness. */
typedef struct {
    uint64_t issued, repeated, rejected, failed, revoked, orphans;
    bool     reconciled; /* journal and database agree: issuance is open */
} issue_health_t;
void issue_health(issue_t *i, issue_health_t *out);

#endif
