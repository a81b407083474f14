/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What a right is good for: everything, or what belongs to the named issuers, profiles, teams and owners.  A thing is
 * within a scope when it belongs to one of them.
 */
#ifndef ORCHESTRATOR_STORE_SCOPE_H
#define ORCHESTRATOR_STORE_SCOPE_H

#include "pkiproto/json/field.h"

typedef enum { SCOPE_ISSUER, SCOPE_PROFILE, SCOPE_TEAM, SCOPE_OWNER, SCOPE_KINDS } scope_kind_t;

/* "issuer", "profile", "team", "owner", NULL */
extern const char *const scope_names[SCOPE_KINDS + 1];

typedef struct {
    bool       all;
    str_list_t ids[SCOPE_KINDS];
} scope_t;

/* What a thing belongs to, by kind of scope; NULL: none of that kind. */
typedef struct {
    const char *id[SCOPE_KINDS];
} scope_of_t;

bool scope_has(const scope_t *scope, const scope_of_t *of);

#endif
