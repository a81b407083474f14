/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Comma-separated values (RFC 4180) that are safe to open in a spreadsheet: a value that one would take for a formula has
 * an apostrophe before it.
 */
#ifndef PKI_BASE_CSV_H
#define PKI_BASE_CSV_H

#include "pkiproto/base/buf.h"

void csv_put(pki_buf_t *out, bytes_t value, bool first); /* first: of its record */
void csv_end(pki_buf_t *out);                            /* the record */

#endif
