/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * RFC 4180 2, and what it says nothing of.
 */
#include "pkiproto/base/csv.h"

static bool
value_has(bytes_t value, const char *any)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.p[i] != '\0' && strchr(any, value.p[i]) != NULL) {
            return true;
        }
    }
    return false;
}

void
csv_put(pki_buf_t *out, bytes_t value, bool first)
{
    bool formula = value.len > 0 && value_has(bytes_of(value.p, 1), "=+-@\t\r\n");
    bool quoted = value_has(value, ",\"\r\n");

    pki_buf_put(out, bytes_str(first ? "" : ","));
    pki_buf_put(out, bytes_str(quoted ? "\"" : ""));
    pki_buf_put(out, bytes_str(formula ? "'" : ""));
    for (size_t i = 0; i < value.len; i++) {
        if (value.p[i] == '"') {
            pki_buf_put_u8(out, '"');
        }
        pki_buf_put_u8(out, value.p[i]);
    }
    pki_buf_put(out, bytes_str(quoted ? "\"" : ""));
}

void
csv_end(pki_buf_t *out)
{
    pki_buf_put(out, bytes_str("\r\n"));
}
