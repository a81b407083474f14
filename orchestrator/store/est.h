/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * EST labels and the credentials of their users.  est_label_fields is the body of the API, too.
 */
#ifndef ORCHESTRATOR_STORE_EST_H
#define ORCHESTRATOR_STORE_EST_H

#include "orchestrator/store/audit.h"

typedef struct {
    const char *id, *name;
    bool        is_default, enabled;
    const char *issuer_id, *profile_id;
    int64_t     issuer_no;
    bool        auth_basic, auth_certificate;
    int64_t     wrap;      /* base64 line length of answers, 0: one line */
    const char *trust_pem; /* anchors for client certificates besides the label's own issuer; NULL: none */
    int64_t     superseded_grace_s; /* a superseded certificate may still re-enrol this long */
    str_list_t  allowed_names;      /* that client certificates may ask for; empty: any */
    const char *owner_id, *team_id, *environment, *renewal_policy_id; /* of what is enrolled; NULL: none */
    int64_t     created_at, updated_at;
} est_label_row_t;

extern const field_t est_label_fields[];

pki_code_t est_label_list(db_t *db, pki_arena_t *a, est_label_row_t **out, size_t *count, pki_err_t *err);
pki_code_t est_label_find(db_t *db, pki_arena_t *a, const char *id, est_label_row_t *out, pki_err_t *err);
pki_code_t est_label_find_name(db_t *db, pki_arena_t *a, const char *name, est_label_row_t *out,
                               pki_err_t *err);

/*
 * issuer_id counts, issuer_no is ignored. CONFLICT: id, name, or the default is taken; INVALID:
 * unknown issuer or profile.
 */
pki_code_t est_label_insert(db_t *db, const est_label_row_t *in, const audit_t *audit, pki_err_t *err);
/* by id; PRECONDITION when version (NULL: any) is not the row's */
pki_code_t est_label_update(db_t *db, const est_label_row_t *in, const char *version, const audit_t *audit,
                            pki_err_t *err);
/* with its credentials */
pki_code_t est_label_delete(db_t *db, const char *id, const audit_t *audit, pki_err_t *err);

typedef struct {
    const char *id;         /* "cred-.." */
    const char *label_id, *label_name, *user_name;
    const char *kind;       /* "sha256" (generated) or "scrypt" (chosen by a person) */
    bytes_t     digest, salt;
    int64_t     scrypt_n, scrypt_r, scrypt_p;
    str_list_t  allowed_names;          /* that the user may ask for; empty: any */
    int64_t     created_at, expires_at; /* 0: does not expire */
} est_credential_row_t;

/* Live ones only: not revoked, not expired.  A NULL label_id lists those of all labels. */
pki_code_t est_credential_list(db_t *db, pki_arena_t *a, const char *label_id, est_credential_row_t **out,
                               size_t *count, pki_err_t *err);
pki_code_t est_credential_find(db_t *db, pki_arena_t *a, const char *label_id, const char *user_name,
                               est_credential_row_t *out, pki_err_t *err);

/* CONFLICT when the user has a live one at this label; NOT_FOUND: unknown label. */
pki_code_t est_credential_insert(db_t *db, const est_credential_row_t *in, const audit_t *audit,
                                 pki_err_t *err);
pki_code_t est_credential_revoke(db_t *db, const char *label_id, const char *id, const audit_t *audit,
                                 pki_err_t *err);

#endif
