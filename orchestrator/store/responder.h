/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Delegated OCSP responder certificates: of each authority (issuer and generation of its CA) one for each kind of key
 * and host: a host uses the newest whose key it has.
 */
#ifndef ORCHESTRATOR_STORE_RESPONDER_H
#define ORCHESTRATOR_STORE_RESPONDER_H

#include "orchestrator/store/audit.h"

typedef struct {
    int64_t     issuer_no, ca_generation;
    const char *key_kind;   /* "p-256", "rsa-2048" */
    int64_t     generation; /* of the responders of an issuer */
    bytes_t     der;
    const char *key_file; /* name inside the edge's responder folder */
    int64_t     not_before, not_after;
} responder_row_t;

/* Those that have not ended, by authority and kind of key, newest first: all, or those of one authority and kind. */
pki_code_t responder_list(db_t *db, pki_arena_t *a, responder_row_t **out, size_t *count, pki_err_t *err);
pki_code_t responder_find(db_t *db, pki_arena_t *a, uint32_t issuer_no, uint32_t ca_generation, const char *key_kind,
                          responder_row_t **out, size_t *count, pki_err_t *err);

/*
 * Record a new one: the row (its generation is chosen here and returned), the certificate among all issued
 * ones,
 * change feed and audit, in one transaction.
 */
typedef struct {
    responder_row_t row; /* generation ignored */
    bytes_t         serial, spki_sha256, fingerprint;
} responder_new_t;
pki_code_t responder_insert(db_t *db, const responder_new_t *in, const audit_t *audit, int64_t *generation,
                            pki_err_t *err);

#endif
