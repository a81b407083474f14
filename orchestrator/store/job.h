/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Jobs: work that outlives a request.  Whoever claims one has it until a time, and a fencing number that grows with each
 * claim; a verb that is given a claim which somebody else has taken over meanwhile writes nothing.
 */
#ifndef ORCHESTRATOR_STORE_JOB_H
#define ORCHESTRATOR_STORE_JOB_H

#include "orchestrator/store/audit.h"
#include "orchestrator/store/scope.h"

typedef enum {
    JOB_PENDING, JOB_RUNNING, JOB_RETRY_WAIT, JOB_COMPLETED, JOB_FAILED, JOB_CANCELLED, JOB_STATES
} job_state_t;

extern const char *const job_state_names[JOB_STATES + 1]; /* "Pending", ..., NULL */

/* The legal transitions; the trigger job_moves in the database has the same. */
bool job_may(job_state_t from, job_state_t to);

/* A job in the hands of a worker. */
typedef struct {
    int64_t     no, fence;
    const char *id, *type;
    const char *certificate_id;                /* NULL: none */
    const char *params;                        /* JSON */
    const char *requested_by, *requester_type, *request_id;
    int64_t     attempts, max_attempts, retry_s;
} job_claim_t;

/* The first that is due; NOT_FOUND when none is. */
pki_code_t job_claim(db_t *db, pki_arena_t *a, const char *type, int64_t lease_s, job_claim_t *out, pki_err_t *err);

/* CONFLICT: it is somebody else's, or over.  job_hold() is the same inside of another verb's transaction. */
pki_code_t job_keep(db_t *db, const job_claim_t *job, int64_t lease_s, pki_err_t *err);
pki_code_t job_hold(db_conn_t *c, const job_claim_t *job, pki_err_t *err);

/* How a run ended. */
typedef struct {
    job_state_t state;     /* COMPLETED, FAILED or RETRY_WAIT */
    const char *error;     /* NULL: none */
    bool        attempted; /* it counts as an attempt that failed */
    int64_t     wait_ms;   /* RETRY_WAIT: until it is due again */
    audit_t    *audit;     /* of a job that is over: its details are filled in with the figures; NULL: none */
} job_end_t;
pki_code_t job_finish(db_t *db, const job_claim_t *job, const job_end_t *end, pki_err_t *err);

/*
 * With the renewals that it asked for and that have not begun.  CONFLICT when it is over already, NOT_FOUND,
 * PRECONDITION when a version is given that is not its.
 */
pki_code_t job_cancel(db_t *db, const char *id, const char *version, const audit_t *audit, pki_err_t *err);

/* Jobs that are due and that nobody has. */
pki_code_t job_backlog(db_t *db, int64_t *count, pki_err_t *err);

/* Jobs that took too many workers with them have failed; old ones are forgotten (a batch at a time). */
pki_code_t job_reap(db_t *db, int64_t max_losses, int64_t keep_days, pki_err_t *err);

/* Which certificates a bulk job is about; all that are given have to fit.  The scope is that of whoever asks. */
typedef struct {
    const char    *profile_id, *owner_id, *issuer_id, *team_id, *source; /* NULL: any */
    str_list_t     certificate_ids;                                      /* none: any */
    const scope_t *scope;
} job_filter_t;

typedef struct {
    const char    *type, *params; /* params: JSON */
    int64_t        max_attempts, retry_s;
    const audit_t *audit;         /* of the call: who asks; resource_id and details are filled in */
} job_order_t;

/*
 * The job, its items and the audit row in one transaction.  *affected: items that wait to be done.  Named certificates that
 * are not there, or outside of the scope, are items that have failed.
 */
pki_code_t job_bulk_insert(db_t *db, pki_arena_t *a, const job_order_t *in, const job_filter_t *filter, const char **id,
                           int64_t *affected, pki_err_t *err);

/* A renewal of one certificate.  CONFLICT when one is open. */
pki_code_t job_renewal_insert(db_t *db, pki_arena_t *a, const job_order_t *in, const char *certificate_id, const char **id,
                              pki_err_t *err);

/*
 * Renewals of certificates whose policy wants it and whose window has come, at most max; *count may be 0 because another
 * orchestrator is just doing it.
 */
pki_code_t job_renewals_due(db_t *db, int64_t max, int64_t *count, pki_err_t *err);

/* Jobs by type and status; with a scope, those about one certificate in it. */
typedef struct {
    const char *type, *status;
    int64_t     count;
} job_count_t;
pki_code_t job_counts(db_t *db, pki_arena_t *a, const scope_t *scope, job_count_t **out, size_t *count, pki_err_t *err);

/* What a renewal has to know of its certificate. */
typedef struct {
    int64_t     no;
    const char *id, *name, *source, *profile_id, *issuer_id, *issuer_type; /* profile_id may be NULL */
    const char *est_label_id, *owner_id, *team_id, *environment, *renewal_policy_id;
    const char *tags;              /* JSON */
    const char *status;            /* "Active", "Revoked", "Expired", "Archived" */
    int64_t     revocation_reason; /* -1: none */
    bytes_t     der;               /* newest version */
    bytes_t     issued;            /* the version with this transaction key; absent: none */
} renewal_cert_t;
pki_code_t renewal_find(db_t *db, pki_arena_t *a, const char *certificate_id, bytes_t transaction_key, renewal_cert_t *out,
                        pki_err_t *err);

#endif
