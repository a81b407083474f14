/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * EST on the wire (RFC 7030, RFC 8951): operations, media types, and the base64 transfer rules.
 */
#ifndef PKI_EST_TRANSFER_H
#define PKI_EST_TRANSFER_H

#include "pkiproto/base/buf.h"

typedef enum { EST_CACERTS, EST_SIMPLEENROLL, EST_SIMPLEREENROLL, EST_OP_COUNT } est_op_t;

typedef struct {
    const char *name;          /* last path segment */
    const char *method;        /* "GET" or "POST" */
    const char *request_type;  /* media type of the request, NULL for none */
    const char *response_type; /* Content-Type of a success */
} est_op_info_t;
const est_op_info_t *est_op_info(est_op_t op);

#define EST_LABEL_MAX 128
#define EST_BODY_MAX  32768

/*
 * The path below /.well-known/est, "/simpleenroll" or "/label/simpleenroll", not yet percent-decoded.
 * Exactly one decode; "..", "%2f", "%00", empty, over-long or extra segments: NOT_FOUND (E-07).
 * label is copied to the caller, "" for none.
 */
pki_code_t est_path_parse(bytes_t path, char label[EST_LABEL_MAX + 1], est_op_t *op, pki_err_t *err);

/* A label that an operator may configure: 1..128 of [A-Za-z0-9._-], not an operation's name (E-05). */
pki_code_t est_label_check(const char *label, pki_err_t *err);

/* Case-insensitive compare of a Content-Type with a media type, parameters ignored (B-05). */
bool media_type_is(bytes_t header, const char *type);

/* Request body: base64 (RFC 8951 3.1) of one DER element, in the arena. */
pki_code_t est_body_decode(pki_arena_t *a, bytes_t body, bytes_t *der, pki_err_t *err);

/* Response body: base64 in lines of wrap characters (0: one line), each ending in CRLF when wrapped. */
pki_code_t est_body_encode(bytes_t der, unsigned wrap, pki_buf_t *out, pki_err_t *err);

/* HTTP Basic (RFC 7617) from the Authorization header's value; user and password in the arena. */
pki_code_t basic_parse(pki_arena_t *a, bytes_t header, bytes_t *user, bytes_t *password, pki_err_t *err);

#endif
