/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * API keys, known by their SHA-256 only.  Whose key something is, store/actor.h says.
 */
#ifndef ORCHESTRATOR_STORE_API_KEY_H
#define ORCHESTRATOR_STORE_API_KEY_H

#include "orchestrator/store/audit.h"

typedef struct {
    const char *id, *name;     /* "key-..", for people */
    bytes_t     digest;        /* 32 octets */
    str_list_t  permissions;   /* as the route table names them; "*": all */
    str_list_t  allowed_names; /* patterns; empty: any */
    const char *created_by;    /* NULL: this program */
    int64_t     expires_at;    /* 0: never */
} api_key_row_t;

/* With global grants of these roles (may be NULL).  CONFLICT: the id is taken. */
pki_code_t api_key_insert(db_t *db, const api_key_row_t *in, const str_list_t *roles, const audit_t *audit, pki_err_t *err);

/* Name, allowed names and end.  PRECONDITION when version (NULL: any) is not the row's. */
pki_code_t api_key_update(db_t *db, const api_key_row_t *in, const char *version, const audit_t *audit, pki_err_t *err);

/* Another secret; the one before is good for grace_s more.  Sessions that were begun with it end. */
pki_code_t api_key_rotate(db_t *db, const char *id, bytes_t digest, int64_t grace_s, const audit_t *audit, pki_err_t *err);

/* Other permissions of its own, and of its grants only those with a scope and of one of these roles. */
pki_code_t api_key_reduce(db_t *db, const char *id, const str_list_t *permissions, const str_list_t *roles,
                          const audit_t *audit, pki_err_t *err);

/* Its grants and sessions end as well. */
pki_code_t api_key_revoke(db_t *db, const char *id, const audit_t *audit, pki_err_t *err);

/* Note that it was used; written once a minute at most. */
pki_code_t api_key_touch(db_t *db, const char *id, pki_err_t *err);

/* Whether the first administrator can still be made: nobody was, and nobody may do everything. */
pki_code_t bootstrap_open(db_t *db, pki_arena_t *a, bool *open, pki_err_t *err);

/* Make them, once: CONFLICT when it is closed, or somebody else was faster. */
pki_code_t bootstrap_claim(db_t *db, const api_key_row_t *in, const audit_t *audit, pki_err_t *err);

#endif
