/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The head of an HTTP/1.1 request, as far as the enrolment hop needs it (RFC 9112).
 */
#ifndef ORCHESTRATOR_API_HEAD_H
#define ORCHESTRATOR_API_HEAD_H

#include "pkiproto/base/bytes.h"

#define HEAD_MAX 8192

typedef struct {
    size_t len;      /* of the head, with the empty line at its end */
    size_t body_len;
    bool   close;    /* the client asks for it */
} head_t;

/*
 * 200: *out is the head of a POST to `target`; 0: there is more to come.  Otherwise the status of a refusal, after
 * which nothing that follows can be told apart: the connection is to be closed.
 */
int head_parse(bytes_t in, const char *target, size_t body_max, head_t *out);

/* A header of a request that is all head. */
typedef struct {
    bytes_t name, value;
} head_field_t;

#define HEAD_FIELDS  64
#define HEAD_GET_MAX 65536 /* an escaped client certificate needs 16 KiB */

typedef struct {
    bytes_t      target;
    head_field_t fields[HEAD_FIELDS];
    size_t       count;
} head_get_t;

/* The same for a GET of anything; what is in *get is borrowed from in. */
int head_get_parse(bytes_t in, head_get_t *get, head_t *out);

/* The value of the first of that name, absent when there is none. */
bytes_t head_field(const head_get_t *get, const char *name);

#endif
