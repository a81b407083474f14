/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Public keys and signature algorithms: the kinds this project issues with and for (RFC 3279, 5480,
 * 8410), their SubjectPublicKeyInfo and AlgorithmIdentifier encodings, key identifiers.
 */
#ifndef PKI_X509_KEY_H
#define PKI_X509_KEY_H

#include <openssl/evp.h>

#include "pkiproto/base/arena.h"

typedef enum {
    PKI_KEY_NONE = 0,
    PKI_KEY_RSA,
    PKI_KEY_P256,
    PKI_KEY_P384,
    PKI_KEY_ED25519,
} pki_key_kind_t;

typedef struct {
    pki_key_kind_t kind;
    unsigned       bits; /* RSA modulus bits; 256, 384; 256 for Ed25519 */
    bytes_t        spki; /* whole SubjectPublicKeyInfo, borrowed from the input */
    bytes_t        key;  /* contents of its BIT STRING */
} pki_key_t;

/*
 * Parse and check a SubjectPublicKeyInfo (whole element).  Refuses with PKI_E_KEY: other algorithms,
 * unknown or explicit curves, missing or wrong parameters, RSA under min_rsa_bits (2048) or over 4096 bits,
 * even moduli, exponents that are even, 1, or over 2^32, EC points that are compressed or of another length.
 * Whether a point is on its curve costs arithmetic and is found out by pki_key_evp(), and so by
 * pki_signature_check() and csr_check(), which always refuse one that is not.
 */
pki_code_t pki_key_parse(bytes_t spki, pki_key_t *out, pki_err_t *err);

/* "rsa-3072", "p-256", "p-384", "ed25519" in the caller's memory. */
const char *pki_key_name(const pki_key_t *key, char out[16]);

/* "RSA", "ECDSA", "Ed25519"; NULL for none of ours. */
const char *pki_key_algorithm(pki_key_kind_t kind);

/* The same names parsed for key generation: kind and bits ("rsa-2048".."rsa-4096" in steps of 1024 bits). */
bool pki_key_name_parse(const char *name, pki_key_kind_t *kind, unsigned *bits);

/*
 * Key identifier: SHA-1 of the BIT STRING contents (RFC 5280 4.2.1.2 method 1; RFC 6960 KeyHash).
 * false, and zeroes, when out of memory.
 */
bool pki_key_id(const pki_key_t *key, uint8_t out[20]);

/* An EVP_PKEY for verification, owned by the caller. */
pki_code_t pki_key_evp(const pki_key_t *key, EVP_PKEY **out, pki_err_t *err);

/*
 * What this kind of key signs with: whole AlgorithmIdentifier (sha256WithRSAEncryption with NULL,
 * ecdsa-with-SHA256 for P-256, ecdsa-with-SHA384 for P-384, Ed25519), and the digest ("SHA256",
 * "SHA384", or NULL for Ed25519, which signs the message itself).
 */
typedef struct {
    bytes_t     identifier; /* static memory */
    const char *digest;
    size_t      digest_len;
} pki_sigalg_t;
const pki_sigalg_t *pki_key_sigalg(pki_key_kind_t kind);

/* All that this kind of key can sign with, the usual one among them; none is weak. */
#define PKI_SIGALGS_MAX 3
const pki_sigalg_t *pki_key_sigalgs(pki_key_kind_t kind, size_t *count);

/* Whether it is a signature over a digest that nobody trusts any more. */
bool pki_sigalg_is_weak(bytes_t algorithm);

/*
 * What a key is that others have certified, ours or not: "RSA", "ECDSA", "DSA" ..., its size, and whether it is too small to
 * be trusted.  Of one that is not ours OpenSSL tells, at its price.  KEY for one that it does not know either.
 */
typedef struct {
    const char *algorithm;
    unsigned    bits;
    bool        weak;
} pki_key_facts_t;
pki_code_t pki_key_facts(bytes_t spki, pki_key_facts_t *out, pki_err_t *err);

/*
 * Verify a signature over message with the algorithm named by the whole AlgorithmIdentifier.  SHA-1
 * and MD5 are refused (UNSUPPORTED); a mismatch of key and algorithm, or a bad signature: SIGNATURE.
 */
pki_code_t pki_signature_check(const pki_key_t *key, bytes_t algorithm, bytes_t message, bytes_t signature,
                               pki_err_t *err);

/* The same for a message that is large: it is walked once, and `walked` is told of each part when it is over. */
typedef void (*pki_walked_pt)(void *arg, bytes_t part);
pki_code_t pki_signature_check_large(const pki_key_t *key, bytes_t algorithm, bytes_t message, bytes_t signature,
                                     pki_walked_pt walked, void *arg, pki_err_t *err);

#endif
