/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What nginx' workers ask of the orchestrator, many requests at a time on one connection of the edge socket or of that of
 * single rows:
 *
 *     frame := length(4) no(4) octets      length counts the octets; big endian
 *
 * A request has a number of its sender's choice, and its answer has the same; answers come in any order.  An answer
 * without octets: it could not be served.  A connection is closed after what is no frame, and an end that closes it has
 * answered nothing more: what was asked may be asked again on the next one.
 */
#ifndef PKI_EDGE_FRAME_H
#define PKI_EDGE_FRAME_H

#include "pkiproto/base/bytes.h"

#define FRAME_HEAD       8
#define FRAME_ASK_MAX    (128u << 10) /* of a request's octets: an escaped client certificate needs 16 KiB */
#define FRAME_ANSWER_MAX (4u << 20)

typedef struct {
    uint32_t no;
    bytes_t  octets;
} frame_t;

void frame_head(uint8_t out[FRAME_HEAD], uint32_t no, size_t len);

/* 1: *out is borrowed from *in, which goes on behind it; 0: it is not whole yet; -1: it has more than max octets. */
int frame_take(bytes_t *in, size_t max, frame_t *out);

#endif
