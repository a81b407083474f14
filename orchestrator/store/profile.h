/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Certificate profiles: what may be issued.  profile_fields is the body of the API, too.
 */
#ifndef ORCHESTRATOR_STORE_PROFILE_H
#define ORCHESTRATOR_STORE_PROFILE_H

#include "orchestrator/store/audit.h"

typedef struct {
    const char *id, *name;
    str_list_t  key_kinds;    /* "rsa", "p-256", "p-384", "ed25519" */
    int64_t     min_rsa_bits;
    int64_t     validity_s;
    str_list_t  eku;          /* "serverAuth", ... as eku_parse() knows them */
    str_list_t  name_kinds;   /* kinds of subjectAltName accepted: "dns", "ip", "email", "uri" */
    /* Every name of a kind must match one of its patterns, in which * stands for any run of characters; an
     * empty list accepts every name of the kind. */
    str_list_t  dns_patterns, ip_patterns, email_patterns, uri_patterns;
    /* "csr": the request's subject; "san": CN is the first DNS name, nothing else */
    const char *subject_rule;
    bool        allow_empty_subject;
    bool        revocation_exempt; /* RFC 9608: short-lived, and nobody can ask */
    bool        must_staple;       /* RFC 7633 */
    int64_t     created_at, updated_at;
} profile_row_t;

extern const field_t profile_fields[];

pki_code_t profile_list(db_t *db, pki_arena_t *a, profile_row_t **out, size_t *count, pki_err_t *err);
pki_code_t profile_find(db_t *db, pki_arena_t *a, const char *id, profile_row_t *out, pki_err_t *err);

/* CONFLICT when id or name is taken; each also writes a configuration change. */
pki_code_t profile_insert(db_t *db, const profile_row_t *in, const audit_t *audit, pki_err_t *err);
/* by id; PRECONDITION when version (NULL: any) is not the row's */
pki_code_t profile_update(db_t *db, const profile_row_t *in, const char *version, const audit_t *audit, pki_err_t *err);

/* CONFLICT while a label or a managed certificate uses it. */
pki_code_t profile_delete(db_t *db, const char *id, const audit_t *audit, pki_err_t *err);

#endif
