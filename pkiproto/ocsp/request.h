/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * OCSP requests (RFC 6960 4.1, RFC 9919, RFC 9654): a reader that copies and allocates nothing.
 */
#ifndef PKI_OCSP_REQUEST_H
#define PKI_OCSP_REQUEST_H

#include "pkiproto/base/buf.h"

#define OCSP_REQUEST_MAX 10240 /* octets of DER */
#define OCSP_IDS_MAX     16    /* CertIDs in one request */

typedef enum { OCSP_SHA1, OCSP_SHA256, OCSP_SHA384, OCSP_SHA512, OCSP_HASH_COUNT } ocsp_hash_t;
extern const size_t ocsp_hash_len[OCSP_HASH_COUNT];

typedef struct {
    bytes_t     whole; /* the CertID as sent: echoed unchanged */
    ocsp_hash_t hash;  /* OCSP_HASH_COUNT: an algorithm we do not know */
    bytes_t     name_hash, key_hash;
    bytes_t     serial; /* INTEGER contents octets, shortest form */
} ocsp_cert_id_t;

typedef struct {
    ocsp_cert_id_t id[OCSP_IDS_MAX];
    size_t         count; /* at least 1 */
    bytes_t        nonce; /* extnValue contents as sent, wrapped in an OCTET STRING or not; absent when none */
    bytes_t        preferred_algorithms; /* PreferredSignatureAlgorithms, whole; absent when none */
    bytes_t        requestor;            /* whole GeneralName; absent when none */
    bool           is_signed;
    bytes_t        tbs;                  /* whole TBSRequest */
    bytes_t        algorithm, signature; /* whole AlgorithmIdentifier; the BIT STRING's octets */
    bytes_t        certs;                /* Certificates one after the other; absent when none */
} ocsp_request_t;

/*
 * Every failure is PKI_E_PARSE (malformedRequest) but a list of AcceptableResponses without
 * id-pkix-ocsp-basic, which is PKI_E_UNSUPPORTED.  Unknown critical extensions are failures.
 */
pki_code_t ocsp_request_parse(bytes_t der, ocsp_request_t *out, pki_err_t *err);

/*
 * What is probably the serial of a request that has not been parsed, for fetching memory early: the INTEGER at its end,
 * which is where a request without extensions has its last one.  Absent when there is none.
 */
bytes_t ocsp_serial_guess(bytes_t der);

/*
 * The base64 of a GET request from the raw request target after the base path (RFC 6960 A.1): '+' '/'
 * '=' raw or percent-encoded, missing padding, leading '/', a space as '+', a query string ignored.
 * Decodes into out (cap octets).
 */
pki_code_t ocsp_get_decode(bytes_t raw, uint8_t *out, size_t cap, bytes_t *der, pki_err_t *err);

/* A whole CertID, with NULL parameters as clients write them. */
#define OCSP_CERT_ID_MAX 192
void ocsp_cert_id_put(pki_buf_t *out, ocsp_hash_t hash, bytes_t name_hash, bytes_t key_hash, bytes_t serial);

#endif
