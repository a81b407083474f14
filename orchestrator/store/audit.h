/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Audit events: rows that nobody can change.  Verbs that change something take an audit_t and write it in
 * the transaction of the change; NULL means that the caller writes its own.  Calls that change nothing, and
 * refused ones, are recorded by audit_add().
 */
#ifndef ORCHESTRATOR_STORE_AUDIT_H
#define ORCHESTRATOR_STORE_AUDIT_H

#include "orchestrator/store/db.h"

typedef struct {
    const char *actor;         /* "key-1a2b", "est:device", "chanceryd" */
    const char *actor_type;    /* "api_key", "est_user", "est_certificate", "system", "anonymous" */
    const char *action;        /* "certificate.revoke": noun and verb */
    const char *resource_type; /* "certificate", "issuer", ...; NULL: none */
    const char *resource_id;
    int64_t     status;        /* HTTP status of the call */
    const char *request_id, *source;
    int64_t     latency_us;    /* 0: not measured */
    const char *body_hash;     /* 16 hexadecimal digits of the SHA-256 of the call's body; NULL: none */
    const char *details;       /* JSON text without secrets, or NULL */
} audit_t;

pki_code_t audit_add(db_t *db, const audit_t *event, pki_err_t *err);

/* Several events with one statement, inside of a transaction: all of them or none. */
#define AUDIT_MANY 512
pki_code_t audit_write_many(db_conn_t *c, const audit_t *const *events, size_t count, pki_err_t *err);

/* Inside of another verb's transaction; a NULL event is nothing to do. */
pki_code_t audit_write(db_conn_t *c, const audit_t *event, pki_err_t *err);

#endif
