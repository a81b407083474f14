/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * UTF-8 (RFC 3629), character by character.
 */
#ifndef PKI_BASE_UTF8_H
#define PKI_BASE_UTF8_H

#include "pkiproto/base/buf.h"

/* Take the next character of a slice that is not empty; false when there is none that is valid. */
bool utf8_take(bytes_t *in, uint32_t *out);
void utf8_put(pki_buf_t *out, uint32_t c);
bool utf8_valid(bytes_t in);

#endif
