/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Running jobs: workers that claim what is due, a clock that renews their leases and finds what is due by itself.  The
 * rows are the truth: any orchestrator may go on where another one stopped, at any instant.
 */
#ifndef ORCHESTRATOR_JOB_JOB_H
#define ORCHESTRATOR_JOB_JOB_H

#include <stdatomic.h>

#include "orchestrator/issue/issue.h"
#include "orchestrator/store/job.h"

typedef struct {
    const conf_t *conf;
    db_t         *db;
    edge_t       *edge;
    issue_t      *issue;
} job_parts_t;

typedef struct jobs jobs_t;

pki_code_t jobs_open(const job_parts_t *parts, jobs_t **out, pki_err_t *err);
void       jobs_drain(jobs_t *j); /* claim nothing more, and ask what runs to stop at the next step; accepts NULL */
void       jobs_close(jobs_t *j); /* waits for it; accepts NULL */

/* There is something new to do: do not wait for the next look. */
void jobs_wake(jobs_t *j);

#define JOB_NEEDS_EDGE     0x01u /* the edge store, to tell it */
#define JOB_NEEDS_ISSUANCE 0x02u /* issuance open: signer and journal */

typedef struct job_run job_run_t;

typedef struct {
    const char *name; /* "Renewal" */
    unsigned    needs;
    int64_t     max_attempts, retry_s, timeout_s, concurrency;
    pki_code_t (*run)(job_run_t *run, pki_err_t *err);
} job_type_t;

const job_type_t *job_type_at(size_t i);             /* walks the table; NULL at its end */
const job_type_t *job_type_find(const char *name);   /* NULL: none */

/* Seconds to the next attempt: twice as long after each, an hour at most unless it began with more, a quarter by chance. */
int64_t job_backoff_ms(int64_t retry_s, int64_t attempts, uint32_t chance);

/* What bulk calls take, and what their jobs are given.  Which certificates: all that is given has to fit. */
typedef struct {
    const char *reason; /* of bulk_revoke_fields only, as the next one */
    int64_t     invalidity_date;
    const char *profile_id, *owner_id, *issuer_id, *team_id, *source;
    str_list_t  certificate_ids;
    str_list_t  allowed_names;        /* of whoever asks for renewals: in the parameters only */
} bulk_criteria_t;
extern const field_t bulk_revoke_fields[], bulk_renew_fields[], bulk_renew_params_fields[];

/* Figures of this process. */
#define JOB_BUCKETS 8
extern const int64_t job_buckets_ms[JOB_BUCKETS]; /* upper bounds; one more bucket takes the rest */
typedef struct {
    uint64_t bucket[JOB_BUCKETS + 1], sum_us, completed, failed, retried, lost, running;
} job_figures_t;
void jobs_figures(jobs_t *j, const job_type_t *type, job_figures_t *out);

/* Whether the clock has looked at the table lately, and could; how many jobs were due then and had nobody. */
bool    jobs_alive(jobs_t *j);
int64_t jobs_backlog(jobs_t *j);

#endif
