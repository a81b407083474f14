/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * An audit event as a leaf of the tree.  Its fields are texts, as the API shows them:
 *
 *     leaf  = SHA-256(0x00, version[1] = 1, field[13])
 *     field = length[4], octets[length]; NULL: length 0xffffffff and nothing
 *
 * in the order of audit_event_names.  Times have microseconds and end in Z; details is PostgreSQL's text of the jsonb.
 */
#ifndef PKI_AUDIT_EVENT_H
#define PKI_AUDIT_EVENT_H

#include "pkiproto/audit/merkle.h"

#define AUDIT_EVENT_FIELDS 13

typedef struct {
    bytes_t field[AUDIT_EVENT_FIELDS]; /* without octets' address: NULL */
} audit_event_t;

extern const char *const audit_event_names[AUDIT_EVENT_FIELDS]; /* "id" first */

/* NOMEM */
pki_code_t audit_event_leaf(const audit_event_t *e, merkle_hash_t *out, pki_err_t *err);

#endif
