/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Certificates (RFC 5280): a zero-copy reader for what this project needs to know of a certificate,
 * and a writer that builds the to-be-signed part from a template, never from a request's extensions.
 */
#ifndef PKI_X509_CERT_H
#define PKI_X509_CERT_H

#include <openssl/x509v3.h>

#include "pkiproto/x509/key.h"
#include "pkiproto/x509/name.h"

#define CERT_MAX        65536
#define CERT_SERIAL_MAX 20

/*
 * keyUsage bits as in the ASN.1 type: bit 0 is the most significant.  OpenSSL has the same names for other
 * values (nginx includes them too): where this file is included, these hold.
 */
#undef KU_DIGITAL_SIGNATURE
#undef KU_NON_REPUDIATION
#undef KU_KEY_ENCIPHERMENT
#undef KU_DATA_ENCIPHERMENT
#undef KU_KEY_AGREEMENT
#undef KU_KEY_CERT_SIGN
#undef KU_CRL_SIGN
#define KU_DIGITAL_SIGNATURE 0x8000u
#define KU_NON_REPUDIATION   0x4000u
#define KU_KEY_ENCIPHERMENT  0x2000u
#define KU_DATA_ENCIPHERMENT 0x1000u
#define KU_KEY_AGREEMENT     0x0800u
#define KU_KEY_CERT_SIGN     0x0400u
#define KU_CRL_SIGN          0x0200u

/* Extended key usages this project knows by name; a set of them is a mask. */
#define EKU_SERVER_AUTH  0x01u /* "serverAuth" */
#define EKU_CLIENT_AUTH  0x02u /* "clientAuth" */
#define EKU_CODE_SIGNING 0x04u /* "codeSigning" */
#define EKU_EMAIL        0x08u /* "emailProtection" */
#define EKU_TIMESTAMPING 0x10u /* "timeStamping" */
#define EKU_OCSP_SIGNING 0x20u /* "OCSPSigning" */
#define EKU_CMC_RA       0x40u /* "cmcRA" */
#define EKU_ANY          0x80u /* "anyExtendedKeyUsage": read, never issued */
bool        eku_parse(const char *name, unsigned *bit);
const char *eku_name(unsigned bit);

typedef struct {
    bytes_t         der; /* borrowed from the input, as all slices below */
    bytes_t         tbs; /* whole */
    bytes_t         serial; /* INTEGER contents octets as encoded: canonical, may start with 0x00 */
    bytes_t         issuer, subject; /* whole Names */
    int64_t         not_before, not_after;
    pki_key_t       key;
    bytes_t         algorithm, signature;
    bytes_t         skid, akid; /* contents octets; absent when none */
    bytes_t         san;        /* whole GeneralNames; absent when none */
    general_names_t names;
    uint16_t        key_usage;  /* 0: extension absent */
    bool            has_basic_constraints, is_ca;
    int             path_len;   /* -1: none */
    unsigned        eku;        /* 0: extension absent or nothing known in it */
    bool            has_eku, has_unknown_critical;
    bool            no_rev_avail; /* RFC 9608 */
} cert_t;

/* Parse strictly (DER, v3 or v1, no duplicate extensions, no trailing octets).  Does not verify. */
pki_code_t cert_parse(pki_arena_t *a, bytes_t der, cert_t *out, pki_err_t *err);

/* The same of what others issued: a key that is none of ours is there as its SubjectPublicKeyInfo, of kind NONE. */
pki_code_t cert_parse_foreign(pki_arena_t *a, bytes_t der, cert_t *out, pki_err_t *err);

/* The signature verifies with issuer's key, names and key identifiers chain, issuer may sign certificates. */
pki_code_t cert_check_issued_by(const cert_t *cert, const cert_t *issuer, pki_err_t *err);

/* What an issuing CA certificate must be: v3, CA:TRUE, keyCertSign and cRLSign, a subject, an SKI. */
pki_code_t cert_check_ca(const cert_t *cert, pki_err_t *err);

/* One or more PEM certificates, or one DER, to DER slices in the arena. */
typedef struct {
    bytes_t *v;
    size_t   count;
} cert_list_t;
pki_code_t cert_decode(pki_arena_t *a, bytes_t in, size_t max, cert_list_t *out, pki_err_t *err);
pki_code_t cert_pem(bytes_t der, pki_buf_t *out, pki_err_t *err);
pki_code_t cert_print(const cert_t *cert, pki_buf_t *out, pki_err_t *err);

/* Everything a certificate of ours is made of. */
typedef struct {
    bytes_t  serial;            /* INTEGER contents octets, canonical, positive, at most 20 */
    bytes_t  issuer, subject;   /* whole Names */
    int64_t  not_before, not_after;
    bytes_t  spki;              /* whole, copied */
    const pki_sigalg_t *sigalg; /* of the issuer's key */
    bytes_t  akid, skid;        /* 20 octets each; absent: left out */
    bool     is_ca;
    int      path_len;          /* -1: none */
    uint16_t key_usage;
    unsigned eku;               /* 0: extension left out */
    bytes_t  san;               /* whole GeneralNames; critical iff the subject is empty */
    const char *ocsp_url, *ca_issuers_url, *crl_url; /* NULL: left out */
    bool     ocsp_nocheck;      /* id-pkix-ocsp-nocheck (RFC 6960 4.2.2.2.1) */
    bool     no_rev_avail;      /* RFC 9608: neither OCSP nor CRL */
    bool     must_staple;       /* RFC 7633: TLS feature status_request; needs an OCSP URL */
} cert_template_t;

/* The whole TBSCertificate. */
pki_code_t cert_build_tbs(const cert_template_t *t, pki_buf_t *out, pki_err_t *err);

/* Certificate, CertificateList and BasicOCSPResponse alike: SEQUENCE { tbs, algorithm, BIT STRING signature }. */
pki_code_t signed_build(bytes_t tbs, const pki_sigalg_t *alg, bytes_t signature, pki_buf_t *out, pki_err_t *err);

/* A fresh serial: 16 random octets, first bit clear, first octet not zero (RFC 5280 4.1.2.2; CABF 7.1). */
#define CERT_SERIAL_LEN 16
pki_code_t cert_serial_generate(uint8_t out[CERT_SERIAL_LEN], pki_err_t *err);

/* Key usage that fits a leaf's key: digitalSignature, and keyEncipherment for RSA only. */
uint16_t cert_leaf_key_usage(pki_key_kind_t kind);

#endif
