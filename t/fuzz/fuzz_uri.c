/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Paths of the management API: what is accepted has whole, NUL-free, printable segments.
 */
#include <stdlib.h>

#include "orchestrator/api/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pki_arena_t *a = pki_arena_new(0);
    path_t       path;
    const char  *text;

    if (path_parse(a, bytes_of(data, size), &path, NULL) == PKI_OK) {
        for (size_t i = 0; i < path.count; i++) {
            for (const char *p = path.segment[i]; *p != '\0'; p++) {
                if ((uint8_t) *p < 0x20 || *p == 0x7f) {
                    abort();
                }
            }
        }
    }
    if (uri_decode(a, bytes_of(data, size), true, &text, NULL) == PKI_OK && strlen(text) > size) {
        abort();
    }
    pki_arena_free(a);
    return 0;
}
