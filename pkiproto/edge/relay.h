/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A GET that nginx passes on in a frame, and what it is answered with: fields, in any order.
 *
 *     field := name-length(1) name value-length(4) value
 *
 * A request has its target as ":target" and the headers that mean something to the API, by the names that they have there.
 * An answer has ":status", three digits, ":body" when there is one, and the headers that are to be sent.
 */
#ifndef PKI_EDGE_RELAY_H
#define PKI_EDGE_RELAY_H

#include "pkiproto/base/buf.h"

#define RELAY_TARGET ":target"
#define RELAY_STATUS ":status"
#define RELAY_BODY   ":body"

void relay_put(pki_buf_t *out, const char *name, bytes_t value);

/* A field but for its value, which comes next and from elsewhere. */
void relay_put_head(pki_buf_t *out, const char *name, size_t value_len);

/* 1: the next field, borrowed; 0: there is no more; -1: it is cut off. */
int relay_take(bytes_t *in, bytes_t *name, bytes_t *value);

#endif
