/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * API keys, known by their SHA-256 only.
 */
#ifndef ORCHESTRATOR_STORE_API_KEY_H
#define ORCHESTRATOR_STORE_API_KEY_H

#include "orchestrator/store/audit.h"

typedef struct {
    const char *id, *name; /* "key-..", for people */
    bytes_t     digest;    /* 32 octets */
    str_list_t  permissions; /* as the route table names them; "*": all */
    int64_t     created_at, expires_at, last_used_at; /* 0: never */
} api_key_row_t;

/* A live key by its digest; NOT_FOUND otherwise.  Compare the digest again in constant time. */
pki_code_t api_key_find(db_t *db, pki_arena_t *a, bytes_t digest, api_key_row_t *out, pki_err_t *err);
pki_code_t api_key_insert(db_t *db, const api_key_row_t *in, const audit_t *audit, pki_err_t *err);
pki_code_t api_key_revoke(db_t *db, const char *id, const audit_t *audit, pki_err_t *err);

/* Note that it was used; written once a minute at most. */
pki_code_t api_key_touch(db_t *db, const char *id, pki_err_t *err);

#endif
