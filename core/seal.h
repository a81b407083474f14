/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Secrets at rest: AES-256-GCM under a key that HKDF-SHA256 makes of a master key.  A sealed value says which master key
 * it needs, and opens only in the place that it was made for: that is its additional data.
 *
 *     version (1) | key id (8) | nonce (12) | ciphertext | tag (16)
 *
 * The first of the master keys seals; those after it only open what was sealed before they were replaced.
 */
#ifndef CORE_SEAL_H
#define CORE_SEAL_H

#include "pkiproto/base/secret.h"

#define SEAL_VERSION    1
#define SEAL_MASTER_LEN 32
#define SEAL_ID_LEN     8
#define SEAL_NONCE_LEN  12
#define SEAL_TAG_LEN    16
#define SEAL_HEAD_LEN   (1 + SEAL_ID_LEN)
#define SEAL_OVERHEAD   (SEAL_HEAD_LEN + SEAL_NONCE_LEN + SEAL_TAG_LEN)
#define SEAL_KEYS_MAX   8

typedef struct {
    bytes_t id, nonce, ciphertext, tag; /* of the blob: borrowed */
} sealed_t;

/* INVALID: it is too short, or of another version. */
pki_code_t sealed_parse(bytes_t blob, sealed_t *out, pki_err_t *err);

typedef struct keyring keyring_t;

/*
 * Of text: master keys between white space or commas, each 64 hexadecimal digits or base64 of 32 octets; an empty text
 * is a ring without keys.  INVALID for anything else.
 */
pki_code_t keyring_new(bytes_t text, keyring_t **out, pki_err_t *err);
void       keyring_free(keyring_t *k); /* cleanses; accepts NULL */

/*
 * From where an installation keeps it: $CREDENTIALS_DIRECTORY/master-key (systemd), else the file (empty: none), which
 * only its owner may read, else the variable CHANCERY_MASTER_KEY; with none of them a ring without keys.
 */
pki_code_t keyring_load(const char *file, keyring_t **out, pki_err_t *err);

/* The same again for a ring in use, by other threads, too; when that fails it keeps the keys that it has. */
pki_code_t keyring_reload(keyring_t *k, const char *file, pki_err_t *err);

size_t keyring_count(keyring_t *k);

/* The id of the key that seals; false: there is none. */
bool keyring_id(keyring_t *k, uint8_t out[SEAL_ID_LEN]);

/* place: what the value belongs to, "issuer:iss-a:secrets".  CONFIG: there is no master key. */
pki_code_t seal(keyring_t *k, pki_arena_t *a, const char *place, bytes_t plain, bytes_t *out, pki_err_t *err);

/* CONFIG: no such master key; CRYPTO: changed since, or of another place. */
pki_code_t unseal(keyring_t *k, pki_arena_t *a, const char *place, bytes_t blob, pki_secret_t *out, pki_err_t *err);

#endif
