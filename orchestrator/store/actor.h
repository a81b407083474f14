/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Actors: whoever may have rights (an API key, a local account, a certificate), what they show to be found by, their
 * grants, and what they use of them.
 */
#ifndef ORCHESTRATOR_STORE_ACTOR_H
#define ORCHESTRATOR_STORE_ACTOR_H

#include "orchestrator/store/audit.h"
#include "orchestrator/store/scope.h"

typedef struct {
    const char *id, *type, *name; /* type: "api_key", "account", "certificate" */
    str_list_t  permissions;      /* of its own: they hold everywhere */
    str_list_t  allowed_names;    /* that it may ask certificates for: patterns; empty: any */
    bool        live;
    const char *session_id;       /* NULL: not by a session */
    bytes_t     digest;           /* what it was found by */
    int64_t     expires_at, used_at; /* of what it was found by; 0: never */
    int64_t     ends_at;          /* of the actor with all its rights; 0: never */
} actor_row_t;

/* NOT_FOUND unless they are live.  Compare the digest again in constant time. */
pki_code_t actor_of_key(db_t *db, pki_arena_t *a, bytes_t digest, actor_row_t *out, pki_err_t *err);
pki_code_t actor_of_session(db_t *db, pki_arena_t *a, bytes_t digest, int64_t idle_s, actor_row_t *out, pki_err_t *err);
pki_code_t actor_of_certificate(db_t *db, pki_arena_t *a, bytes_t serial, bytes_t fingerprint, actor_row_t *out,
                                pki_err_t *err);

/* By id, live or not; type NULL: any. */
pki_code_t actor_find(db_t *db, pki_arena_t *a, const char *id, const char *type, actor_row_t *out, pki_err_t *err);

/* What somebody has: permissions, and what they are good for. */
typedef struct {
    const char  *role_id, *role_name; /* NULL: permissions of the actor's own */
    str_list_t   permissions;         /* "*": all */
    scope_kind_t scope;               /* SCOPE_KINDS: it holds everywhere */
    const char  *scope_id;
    int64_t      expires_at;          /* 0: never */
} grant_t;

/* Those of roles that hold now, and room for one more in front of them. */
pki_code_t grant_list(db_t *db, pki_arena_t *a, const char *actor_id, grant_t **out, size_t *count, pki_err_t *err);

/* Whether the thing of this kind ("issuer") is there. */
pki_code_t grant_scope_there(db_t *db, pki_arena_t *a, const char *scope_type, const char *scope_id, bool *there,
                             pki_err_t *err);

typedef struct {
    const char *actor_id, *role_id;
    const char *scope_type, *scope_id; /* "global" and "" */
    int64_t     expires_at;
} grant_row_t;

/* Giving one again sets its end.  NOT_FOUND: no such actor; INVALID: no such role. */
pki_code_t grant_insert(db_t *db, const grant_row_t *in, const char *granted_by, const audit_t *audit, pki_err_t *err);

/* scope_type NULL: the one there is; CONFLICT when they are several. */
pki_code_t grant_delete(db_t *db, const grant_row_t *in, const audit_t *audit, pki_err_t *err);

/* Inside of a transaction: several global ones for a new actor. */
pki_code_t grants_write(db_conn_t *c, const char *actor_id, const str_list_t *roles, const char *granted_by, pki_err_t *err);

/* What an actor has used within so many days. */
typedef struct {
    const char *permission;
    int64_t     hours, last_at;
} permission_use_t;
pki_code_t permission_use_list(db_t *db, pki_arena_t *a, const char *actor_id, int64_t days, permission_use_t **out,
                               size_t *count, pki_err_t *err);
pki_code_t permission_use_note(db_t *db, const char *actor_id, const char *permission, pki_err_t *err);

#endif
