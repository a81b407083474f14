/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The table of job types, made from list.inc, and what is the same for all of them.
 */
#include "orchestrator/job/part.h"

#define BACKOFF_MAX_S 3600

#define JOB(file, type, needs_, attempts, retry, timeout, runs) pki_code_t job_##file(job_run_t *run, pki_err_t *err);
#include "orchestrator/job/list.inc"
#undef JOB

static const job_type_t types[] = {
#define JOB(file, type, needs_, attempts, retry, timeout, runs)                                                        \
    { .name = (type), .needs = (needs_), .max_attempts = (attempts), .retry_s = (retry), .timeout_s = (timeout),       \
      .concurrency = (runs), .run = job_##file },
#include "orchestrator/job/list.inc"
#undef JOB
};

_Static_assert(sizeof(types) / sizeof(types[0]) <= JOB_TYPES_MAX, "figures have room for each type");

const job_type_t *
job_type_at(size_t i)
{
    return i < sizeof(types) / sizeof(types[0]) ? &types[i] : NULL;
}

const job_type_t *
job_type_find(const char *name)
{
    const job_type_t *type;

    for (size_t i = 0; (type = job_type_at(i)) != NULL; i++) {
        if (strcmp(type->name, name) == 0) {
            break;
        }
    }
    return type;
}

int64_t
job_backoff_ms(int64_t retry_s, int64_t attempts, uint32_t chance)
{
    int64_t most_s = retry_s > BACKOFF_MAX_S ? retry_s : BACKOFF_MAX_S, wait_s = retry_s;

    for (int64_t n = 1; n < attempts && wait_s < most_s; n++) {
        wait_s *= 2;
    }
    wait_s = wait_s < most_s ? wait_s : most_s;
    return wait_s * 1000 + wait_s * 250 * (int64_t) (chance % 1000) / 1000;
}
