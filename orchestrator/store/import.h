/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Certificates that others issued: recorded to be looked after, under an issuer of type "external", which has no key, no
 * CRL and no OCSP here and of which no edge is told.
 */
#ifndef ORCHESTRATOR_STORE_IMPORT_H
#define ORCHESTRATOR_STORE_IMPORT_H

#include "orchestrator/store/audit.h"

#define ISSUER_EXTERNAL "external"

typedef enum { IMPORT_NEW, IMPORT_KNOWN, IMPORT_REFUSED } import_outcome_t;

typedef struct {
    /* of the certificate */
    const char *name, *common_name, *subject, *issuer; /* RFC 4514; name: unique; common_name may be NULL */
    bytes_t     serial, der, subject_der, spki_sha256, fingerprint;
    const char *key_algorithm, *weakness; /* weakness: "key", "signature", NULL */
    int64_t     key_size;
    bytes_t     key_id; /* authority key identifier; absent: none */
    const char *issuer_id;
    str_list_t  sans;
    int64_t     not_before, not_after;

    const char      *id;  /* in: of a new one; out: of the one that has it */
    import_outcome_t outcome;
    const char      *why; /* REFUSED */
} import_t;

/* What is said of all of them; NULL: nothing. */
typedef struct {
    const char *owner_id, *team_id, *environment, *renewal_policy_id;
    const char *tags; /* JSON, an object of strings */
} import_care_t;

/* One transaction; an audit row for each new one, by the actor of the call. */
pki_code_t import_record(db_t *db, pki_arena_t *a, import_t *certs, size_t count, const import_care_t *care,
                         const audit_t *call, pki_err_t *err);

#endif
