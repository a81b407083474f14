/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The enrolment request: what a protocol module has authenticated, parsed and checked, on its way
 * to the orchestrator's one issuance path, and the answer.  Octets by these tables (pkiproto/json/pack.h), in frames
 * (frame.h) on the edge socket.  An enrol_answer_t comes back whatever the outcome; an answer without octets means that
 * the orchestrator could not serve: the module answers 503.
 */
#ifndef PKI_EDGE_ENROL_H
#define PKI_EDGE_ENROL_H

#include "pkiproto/json/field.h"

typedef struct {
    const char *protocol;      /* "est" */
    const char *operation;     /* "simpleenroll" or "simplereenroll" */
    const char *label;         /* EST label name as in the profile record, never empty */
    const char *identity_kind; /* "basic", "certificate" */
    const char *identity;      /* user name, or hex SHA-256 of the certificate */
    const char *password;      /* only for credentials that the orchestrator has to check; secret */
    bytes_t     certificate;   /* DER of the verified client certificate; absent for basic */
    bytes_t     csr;           /* DER; parsed and its signature verified by the module */
    bytes_t     transaction_key; /* 32 octets: SHA-256 over protocol, label, identity and CSR */
    const char *source;        /* peer address, for the audit */
    const char *request_id;
} enrol_request_t;

typedef struct {
    const char *status;      /* "issued", "pending", "rejected" */
    bytes_t     certificate; /* DER when issued */
    int64_t     retry_after_s; /* pending */
    const char *code;        /* rejected: a name of errors.inc */
    const char *clause;      /* rejected: may be absent */
    const char *text;        /* rejected: for people, never a secret */
} enrol_answer_t;

extern const field_t enrol_request_fields[];
extern const field_t enrol_answer_fields[];

/*
 * SHA-256 over the length-prefixed protocol, operation, label, identity kind, identity and CSR; false when
 * out of memory.
 */
bool enrol_transaction_key(const enrol_request_t *r, uint8_t out[32]);

/* A code of errors.inc by its name; PKI_E_INTERNAL for an unknown one. */
pki_code_t enrol_code_parse(const char *name);

#endif
