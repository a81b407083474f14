/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * OCSP responses (RFC 6960 4.2).  What is the same in every answer of a responder is encoded once
 * (ocsp_responder_t); one answer is then written into memory of the caller without allocation.
 */
#ifndef PKI_OCSP_RESPONSE_H
#define PKI_OCSP_RESPONSE_H

#include "pkiproto/ocsp/request.h"
#include "pkiproto/x509/cert.h"

/* OCSPResponseStatus; 4 is not used. */
typedef enum {
    OCSP_SUCCESSFUL = 0,
    OCSP_MALFORMED_REQUEST = 1,
    OCSP_INTERNAL_ERROR = 2,
    OCSP_TRY_LATER = 3,
    OCSP_SIG_REQUIRED = 5,
    OCSP_UNAUTHORIZED = 6,
} ocsp_response_status_t;

/* The five octets of an answer that is not successful (static memory). */
bytes_t ocsp_error_response(ocsp_response_status_t status);

typedef struct {
    bytes_t             responder_id; /* whole [2] byKey */
    bytes_t             certificate;  /* whole delegate certificate; absent when the CA signs itself */
    const pki_sigalg_t *sigalg;
    int64_t             not_after;    /* of the certificate that signs */
} ocsp_responder_t;

/* Slices point into the arena. */
pki_code_t ocsp_responder_build(pki_arena_t *a, const cert_t *delegate, bool embed, ocsp_responder_t *out,
                                pki_err_t *err);

typedef enum { OCSP_GOOD, OCSP_REVOKED, OCSP_UNKNOWN } ocsp_cert_status_t;

typedef struct {
    bytes_t            cert_id; /* whole */
    ocsp_cert_status_t status;
    int64_t            revoked_at;
    int                reason;        /* CRLReason, -1: none; 0 is never encoded */
    int64_t            invalidity_at; /* 0: none; a single extension (RFC 6960 4.4.5) */
    int64_t            this_update, next_update;
} ocsp_single_t;

/*
 * The whole ResponseData; nonce is the request's extnValue contents, absent: no nonce.  INVALID unless
 * this_update <= produced_at, this_update < next_update <= r->not_after (clamp it before), and the reason is
 * one of RFC 5280 5.3.1 but removeFromCRL.
 */
pki_code_t ocsp_tbs_build(const ocsp_responder_t *r, const ocsp_single_t *singles, size_t count,
                          int64_t produced_at, bytes_t nonce, pki_buf_t *out, pki_err_t *err);

/* The whole OCSPResponse. */
pki_code_t ocsp_response_build(const ocsp_responder_t *r, bytes_t tbs, bytes_t signature, pki_buf_t *out,
                               pki_err_t *err);

#endif
