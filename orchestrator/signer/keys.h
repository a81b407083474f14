/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The signer's keys: encrypted PKCS#8 files and keys on a PKCS#11 token, behind one face.
 */
#ifndef ORCHESTRATOR_SIGNER_KEYS_H
#define ORCHESTRATOR_SIGNER_KEYS_H

#include "orchestrator/conf.h"
#include "orchestrator/signer/signer.h"

typedef struct keys       keys_t;
typedef struct signer_key signer_key_t; /* owned by keys_t, loaded once and kept */

/* Makes keys/ below conf->dir, reads the passphrase, starts the token module when one is configured. */
pki_code_t keys_open(const conf_signer_t *conf, keys_t **out, pki_err_t *err);
void       keys_close(keys_t *k);

/* NOT_FOUND for a key that does not exist; INVALID for a reference that is none. */
pki_code_t keys_find(keys_t *k, bytes_t ref, signer_key_t **out, pki_err_t *err);

/* kind as pki_key_name_parse() has it.  CONFLICT when there is a key already. */
pki_code_t keys_make(keys_t *k, bytes_t ref, bytes_t kind, signer_key_t **out, pki_err_t *err);

bytes_t             key_spki(const signer_key_t *key);
const pki_sigalg_t *key_sigalg(const signer_key_t *key);

/* The signature of a message (hashed here), or of a digest (INVALID for Ed25519 and for a wrong length). */
pki_code_t key_sign_message(signer_key_t *key, bytes_t message, uint8_t out[SIGNER_SIGNATURE_MAX], size_t *len,
                            pki_err_t *err);
pki_code_t key_sign_digest(signer_key_t *key, bytes_t digest, uint8_t out[SIGNER_SIGNATURE_MAX], size_t *len,
                           pki_err_t *err);

#endif
