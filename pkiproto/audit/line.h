/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A line of the audit's export: an event as its leaf has it, with the place and the hash of that leaf; or an event alone.
 */
#ifndef PKI_AUDIT_LINE_H
#define PKI_AUDIT_LINE_H

#include "pkiproto/audit/event.h"
#include "pkiproto/base/arena.h"

#define AUDIT_LINE_MAX (1u << 20)

typedef struct {
    audit_event_t event; /* in the arena */
    int64_t       id;
    bool          sealed; /* otherwise it has no leaf yet, or: */
    bool          alone;  /* nothing is said of its leaf, as in an export it is */
    uint64_t      leaf_index;
    merkle_hash_t leaf_hash;
} audit_line_t;

/* Without its line feed. */
pki_code_t audit_line_parse(pki_arena_t *a, bytes_t line, audit_line_t *out, pki_err_t *err);

#endif
