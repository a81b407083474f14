/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Keys on PKCS#11 tokens, named by RFC 7512 URIs: find, make, sign.  The module is called directly, so
 * that neither an OpenSSL engine (gone in OpenSSL 4) nor a provider is needed.
 */
#ifndef ORCHESTRATOR_SIGNER_PKCS11_H
#define ORCHESTRATOR_SIGNER_PKCS11_H

#include "pkiproto/x509/key.h"

typedef struct token     token_t;
typedef struct token_key token_key_t;

/* Load and initialise a module; pin_file may be NULL or empty for tokens that need no login. */
pki_code_t token_open(const char *module, const char *pin_file, token_t **out, pki_err_t *err);
void       token_close(token_t *t); /* accepts NULL */

/* NOT_FOUND, or INVALID for a URI that names more than one key or carries a PIN. */
pki_code_t token_key_find(token_t *t, const char *uri, token_key_t **out, pki_err_t *err);
void       token_key_free(token_key_t *key); /* accepts NULL */

/* The URI must give an object's label or id, which the pair gets.  CONFLICT when there is such a key. */
pki_code_t token_key_make(token_t *t, const char *uri, pki_key_kind_t kind, unsigned bits, pki_err_t *err);

bytes_t token_key_spki(const token_key_t *key);

/* input: the digest for RSA (PKCS #1 v1.5) and ECDSA (answer in DER), the message for Ed25519.  *len: room, length. */
pki_code_t token_key_sign(token_key_t *key, bytes_t input, uint8_t *out, size_t *len, pki_err_t *err);

#endif
