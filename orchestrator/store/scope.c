/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Scopes of rights.
 */
#include "orchestrator/store/scope.h"

const char *const scope_names[SCOPE_KINDS + 1] = { "issuer", "profile", "team", "owner", NULL };

bool
scope_has(const scope_t *scope, const scope_of_t *of)
{
    for (size_t kind = 0; kind < SCOPE_KINDS && !scope->all; kind++) {
        const str_list_t *ids = &scope->ids[kind];

        for (size_t i = 0; i < ids->count && of->id[kind] != NULL; i++) {
            if (strcmp(ids->v[i], of->id[kind]) == 0) {
                return true;
            }
        }
    }
    return scope->all;
}
