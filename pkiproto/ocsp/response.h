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
    bytes_t             by_key, by_name; /* whole ResponderIDs: [2] and [1] */
    bytes_t             certificate;     /* whole delegate certificate; absent when the CA signs itself */
    pki_key_kind_t      kind;
    bytes_t             key_algorithm; /* AlgorithmIdentifier of its key, contents */
    const pki_sigalg_t *sigalg;        /* what it signs with if the client has no wish */
    int64_t             not_after;     /* of the certificate that signs */
} ocsp_responder_t;

/* Slices point into the arena. */
pki_code_t ocsp_responder_build(pki_arena_t *a, const cert_t *delegate, bool embed, ocsp_responder_t *out,
                                pki_err_t *err);

/*
 * PreferredSignatureAlgorithms (RFC 6960 4.4.7): take the next one of ocsp_request_t.preferred_algorithms, which
 * is left with what follows; false at its end.  Then, what the responder would sign with to please it: NULL when
 * it cannot.  SHA-1 and MD5 please nobody.
 */
#define OCSP_PREFERRED_MAX 32 /* later ones are not looked at */
typedef struct {
    bytes_t signature, key; /* contents of AlgorithmIdentifiers; key is absent when any will do */
} ocsp_preferred_t;
bytes_t             ocsp_preferred_list(const ocsp_request_t *r);
bool                ocsp_preferred_next(bytes_t *list, ocsp_preferred_t *out);
const pki_sigalg_t *ocsp_preferred_match(const ocsp_preferred_t *preferred, const ocsp_responder_t *r);

typedef enum {
    OCSP_GOOD,
    OCSP_REVOKED,
    OCSP_UNKNOWN,
    OCSP_UNISSUED, /* "revoked" in the extended definition: on hold since 1970 (RFC 6960 4.4.8) */
} ocsp_cert_status_t;

/* Single extensions are left out where a member is absent or 0, and all of them for OCSP_UNISSUED. */
typedef struct {
    bytes_t            cert_id; /* whole */
    ocsp_cert_status_t status;
    int64_t            revoked_at;
    int                reason;        /* CRLReason, -1: none; 0 is never encoded */
    int64_t            this_update, next_update;
    bytes_t            crl_url, crl_number; /* CRL reference (4.4.2); INTEGER contents octets */
    int64_t            archive_cutoff;      /* 4.4.4 */
    int64_t            invalidity_at;       /* 4.4.5; of revoked ones */
    bytes_t            cert_hash;           /* Common PKI: SHA-256 of the certificate */
} ocsp_single_t;

typedef struct {
    bytes_t              responder_id; /* by_key or by_name of the responder */
    int64_t              produced_at;
    const ocsp_single_t *singles;
    size_t               count;
    bytes_t              nonce; /* the request's extnValue contents; absent: no nonce */
} ocsp_data_t;

/*
 * The whole ResponseData; it says "extended revoke" when it needs to.  INVALID unless this_update <=
 * produced_at, this_update < next_update <= r->not_after (clamp it before), and the reason is one of RFC 5280
 * 5.3.1 but removeFromCRL.
 */
pki_code_t ocsp_tbs_build(const ocsp_responder_t *r, const ocsp_data_t *data, pki_buf_t *out, pki_err_t *err);

/* The whole OCSPResponse. */
pki_code_t ocsp_response_build(const ocsp_responder_t *r, const pki_sigalg_t *sigalg, bytes_t tbs,
                               bytes_t signature, pki_buf_t *out, pki_err_t *err);

#endif
