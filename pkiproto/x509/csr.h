/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * PKCS #10 certification requests (RFC 2986) with the extensions they ask for (RFC 2985 5.4.2).
 */
#ifndef PKI_X509_CSR_H
#define PKI_X509_CSR_H

#include "pkiproto/x509/key.h"
#include "pkiproto/x509/name.h"

#define CSR_MAX 32768 /* octets of DER */

typedef struct {
    bytes_t         der;       /* all of these are borrowed from the input, arrays in the arena */
    bytes_t         tbs;       /* whole CertificationRequestInfo */
    bytes_t         subject;   /* whole Name */
    pki_key_t       key;
    bytes_t         san;       /* whole GeneralNames; absent when none */
    bool            san_critical;
    general_names_t names;     /* parsed san */
    bytes_t         algorithm; /* whole AlgorithmIdentifier of the signature */
    bytes_t         signature;
    bytes_t         challenge_password; /* contents octets of its string; absent when none */
    uint16_t        key_usage;          /* 0: not asked for; bit 0 of the ASN.1 type is 1 << 15 */
    bool            has_basic_constraints, asks_ca;
    bytes_t         eku;                /* whole ExtKeyUsageSyntax; absent when none */
    size_t          extension_count;
} csr_t;

/*
 * Parse without verifying.  Refuses: anything that is not DER, version other than 0, trailing octets,
 * duplicate attributes or extensions, two extensionRequests, NUL or control characters in names,
 * keys that pki_key_parse() refuses, more than 32 KiB.
 */
pki_code_t csr_parse(pki_arena_t *a, bytes_t der, csr_t *out, pki_err_t *err);

/*
 * What every protocol asks of a request before any policy: it does not ask for CA:TRUE, it names
 * somebody (a subject or a SAN), and its own signature verifies (proof of possession).
 */
pki_code_t csr_check(const csr_t *csr, pki_err_t *err);

/* The same but for the signature, which costs a hundred times the rest: where another process verified it. */
pki_code_t csr_check_wish(const csr_t *csr, pki_err_t *err);

/* PEM ("CERTIFICATE REQUEST" or "NEW CERTIFICATE REQUEST") or DER to DER, in the arena. */
pki_code_t csr_decode(pki_arena_t *a, bytes_t in, bytes_t *der, pki_err_t *err);

/* Several lines of text for operators: subject, names, key, what it asks for. */
pki_code_t csr_print(const csr_t *csr, pki_buf_t *out, pki_err_t *err);

#endif
