/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A line of an export that an auditor was handed: what is taken of it lies inside of it or is text of its own, and the
 * same line gives the same leaf.
 */
#include <stdlib.h>

#include "pkiproto/audit/line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pki_arena_t  *a = pki_arena_new(0);
    audit_line_t  line, again;
    merkle_hash_t one, two;

    if (audit_line_parse(a, bytes_of(data, size), &line, NULL) == PKI_OK) {
        if (audit_line_parse(a, bytes_of(data, size), &again, NULL) != PKI_OK || line.event.field[0].len == 0
            || strtoll((const char *) line.event.field[0].p, NULL, 10) != line.id)
        {
            abort();
        }
        if (audit_event_leaf(&line.event, &one, NULL) != PKI_OK || audit_event_leaf(&again.event, &two, NULL) != PKI_OK
            || !merkle_same(&one, &two))
        {
            abort();
        }
    }
    pki_arena_free(a);
    return 0;
}
