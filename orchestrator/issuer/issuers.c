/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The table of issuer connectors, made from list.inc.
 */
#include "orchestrator/issuer/issuer.h"

#define ISSUER(name) extern const issuer_ops_t issuer_##name;
#include "orchestrator/issuer/list.inc"
#undef ISSUER

static const issuer_ops_t *const issuers[] = {
#define ISSUER(name) &issuer_##name,
#include "orchestrator/issuer/list.inc"
#undef ISSUER
};

const issuer_ops_t *
issuer_at(size_t i)
{
    return i < sizeof(issuers) / sizeof(issuers[0]) ? issuers[i] : NULL;
}

const issuer_ops_t *
issuer_find(const char *type)
{
    const issuer_ops_t *ops;

    for (size_t i = 0; (ops = issuer_at(i)) != NULL; i++) {
        if (type != NULL && strcmp(ops->type, type) == 0) {
            break;
        }
    }
    return ops;
}

pki_code_t
issuer_issue(const issuer_ops_t *ops, signer_t *signer, pki_arena_t *a, const issuer_ca_t *ca,
             const issuer_order_t *order, issuer_result_t *out, pki_err_t *err)
{
    issuer_job_t job = { .a = a, .ca = ca, .order = order };

    ops->issue(signer, &job, 1);
    *out = job.result;
    if (job.code != PKI_OK && err != NULL) {
        *err = job.err;
    }
    return job.code;
}
