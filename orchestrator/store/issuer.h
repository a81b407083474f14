/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Issuers and the CA certificates of their generations.  (The connectors' contract is orchestrator/issuer/.)
 * Everything that is returned lives in the arena.
 */
#ifndef ORCHESTRATOR_STORE_ISSUER_H
#define ORCHESTRATOR_STORE_ISSUER_H

#include "orchestrator/store/audit.h"

typedef struct {
    int64_t     no;
    const char *id, *name, *type; /* "iss-local", "local", "local" */
    bool        enabled;
    const char *config;           /* JSON text, without secrets */
    int64_t     created_at, updated_at;
} issuer_row_t;

/* One certificate of an issuer's chain: position 0 issues, the last one is the root. */
typedef struct {
    int64_t     generation, position;
    bytes_t     der, serial, skid;
    const char *subject;  /* RFC 4514 */
    const char *key_ref;  /* of the signer; NULL: the key is not ours */
    const char *key_kind; /* "p-256", "rsa-3072" */
    int64_t     not_before, not_after;
} ca_row_t;

typedef struct {
    issuer_row_t issuer;
    ca_row_t    *chain; /* of the active generation, by position */
    size_t       chain_len;
} issuer_chain_t;

/* All issuers with their active chains, by number. */
pki_code_t issuer_row_list(db_t *db, pki_arena_t *a, issuer_chain_t **out, size_t *count, pki_err_t *err);

/* NOT_FOUND for an unknown one. */
pki_code_t issuer_row_find(db_t *db, pki_arena_t *a, const char *id, issuer_chain_t *out, pki_err_t *err);
pki_code_t issuer_row_find_no(db_t *db, pki_arena_t *a, uint32_t no, issuer_chain_t *out, pki_err_t *err);

/* A number for an issuer that is about to be made (its certificates are signed before the row is written). */
pki_code_t issuer_no_next(db_t *db, uint32_t *no, pki_err_t *err);

/*
 * Write issuer, its first chain (generation 1, active) and a configuration change; CONFLICT when id
 * or name is taken.
 */
pki_code_t issuer_row_insert(db_t *db, const issuer_chain_t *in, const audit_t *audit, pki_err_t *err);

pki_code_t issuer_row_enable(db_t *db, const char *id, bool enabled, const audit_t *audit, pki_err_t *err);

#endif
