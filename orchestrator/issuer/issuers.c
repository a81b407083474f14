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
        if (strcmp(ops->type, type) == 0) {
            break;
        }
    }
    return ops;
}
