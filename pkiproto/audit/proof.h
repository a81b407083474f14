/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Proofs of the audit's tree, as they are told in JSON, and their checks.
 */
#ifndef PKI_AUDIT_PROOF_H
#define PKI_AUDIT_PROOF_H

#include "pkiproto/audit/event.h"
#include "pkiproto/audit/head.h"

/* That an event is in the tree. */
typedef struct {
    int64_t             event_id, leaf_index;
    bytes_t             leaf_hash;
    str_list_t          path; /* hexadecimal */
    audit_signed_head_t head;
} audit_proof_t;
extern const field_t audit_proof_fields[];

/* That one tree continues another. */
typedef struct {
    int64_t    first, second;
    str_list_t path;
} audit_consistency_t;
extern const field_t audit_consistency_fields[];

/* Paths as lists of hexadecimal texts. */
pki_code_t audit_path_print(pki_arena_t *a, const merkle_hash_t *path, size_t len, str_list_t *out, pki_err_t *err);

/* RFC 9162 2.1.3.2; INVALID when this is no proof of the event.  Whether the head is signed is another check. */
pki_code_t audit_proof_check(const audit_proof_t *p, const audit_event_t *e, pki_err_t *err);

/* RFC 9162 2.1.4.2; INVALID when this is no proof that the tree of the second head continues that of the first. */
pki_code_t audit_consistency_check(const audit_consistency_t *c, const audit_signed_head_t *first,
                                   const audit_signed_head_t *second, pki_err_t *err);

#endif
