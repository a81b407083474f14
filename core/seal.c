/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Sealed values and the ring of master keys.  Of a master key only what is derived is kept: its id and its data key.
 */
#include "core/seal.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>

#include "core/file.h"
#include "pkiproto/base/text.h"

#define SEAL_TEXT_MAX  4096
#define SEAL_DATA_LEN  32
#define SEAL_PLACE_MAX 1024
#define SEAL_VARIABLE  "CHANCERY_MASTER_KEY"
#define SEAL_SEPARATOR " \t\r\n,"

typedef struct {
    uint8_t id[SEAL_ID_LEN], data[SEAL_DATA_LEN];
} seal_key_t;

struct keyring {
    pthread_rwlock_t lock; /* key, count */
    seal_key_t       key[SEAL_KEYS_MAX];
    size_t           count;
};

/* ---- keys ---- */

static bool
hkdf(const uint8_t master[SEAL_MASTER_LEN], const char *info, uint8_t *out, size_t len)
{
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    bool          good = c != NULL && EVP_PKEY_derive_init(c) == 1 && EVP_PKEY_CTX_set_hkdf_md(c, EVP_sha256()) == 1
                && EVP_PKEY_CTX_set1_hkdf_key(c, master, SEAL_MASTER_LEN) == 1
                && EVP_PKEY_CTX_add1_hkdf_info(c, (const uint8_t *) info, (int) strlen(info)) == 1
                && EVP_PKEY_derive(c, out, &len) == 1;

    EVP_PKEY_CTX_free(c);
    return good;
}

/* One word of the text to 32 octets. */
static bool
master_parse(bytes_t word, uint8_t out[SEAL_MASTER_LEN])
{
    pki_arena_t *a = pki_arena_new(4096);
    bytes_t      decoded;
    char         hex[2 * SEAL_MASTER_LEN + 1] = "";
    size_t       len = 0;
    bool         good = false;

    if (word.len == 2 * SEAL_MASTER_LEN) {
        memcpy(hex, word.p, word.len);
        good = hex_decode(bytes_str(hex), out, SEAL_MASTER_LEN, &len, NULL) == PKI_OK && len == SEAL_MASTER_LEN;
        OPENSSL_cleanse(hex, sizeof(hex));
    } else if (a != NULL && base64_parse(a, word, 0, &decoded, NULL) == PKI_OK) {
        good = decoded.len == SEAL_MASTER_LEN;
        memcpy(out, decoded.p, good ? SEAL_MASTER_LEN : 0);
        OPENSSL_cleanse((void *) (uintptr_t) decoded.p, decoded.len);
    }
    pki_arena_free(a);
    return good;
}

static pki_code_t
key_add(keyring_t *k, bytes_t word, pki_err_t *err)
{
    uint8_t     master[SEAL_MASTER_LEN];
    seal_key_t *key = &k->key[k->count];
    bool        good;

    if (k->count == SEAL_KEYS_MAX) {
        return pki_fail(err, PKI_E_INVALID, NULL, "there are more than %d master keys", SEAL_KEYS_MAX);
    }
    if (!master_parse(word, master)) {
        OPENSSL_cleanse(master, sizeof(master));
        return pki_fail(err, PKI_E_INVALID, NULL, "master key %zu is neither 64 hexadecimal digits nor base64 of 32 octets",
                        k->count + 1);
    }
    good = hkdf(master, "chancery seal 1 id", key->id, sizeof(key->id))
           && hkdf(master, "chancery seal 1 data", key->data, sizeof(key->data));
    OPENSSL_cleanse(master, sizeof(master));
    k->count += good;
    return good ? PKI_OK : pki_fail(err, PKI_E_CRYPTO, NULL, "HKDF-SHA256 failed");
}

pki_code_t
keyring_new(bytes_t text, keyring_t **out, pki_err_t *err)
{
    keyring_t *k = calloc(1, sizeof(*k));
    pki_code_t code = PKI_OK;
    size_t     at = 0;

    if (k == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    pthread_rwlock_init(&k->lock, NULL);
    while (code == PKI_OK && at < text.len) {
        size_t from = at;

        while (at < text.len && text.p[at] != '\0' && strchr(SEAL_SEPARATOR, text.p[at]) == NULL) {
            at++;
        }
        if (at > from) {
            code = key_add(k, bytes_of(text.p + from, at - from), err);
        } else {
            at++;
        }
    }
    if (code != PKI_OK) {
        keyring_free(k);
        return code;
    }
    *out = k;
    return PKI_OK;
}

void
keyring_free(keyring_t *k)
{
    if (k != NULL) {
        pthread_rwlock_destroy(&k->lock);
        OPENSSL_cleanse(k, sizeof(*k));
        free(k);
    }
}

/* systemd itself sees to it who may read a credential, by an access list where need be. */
static pki_code_t
credential_read(pki_arena_t *a, const char *dir, bool *found, pki_secret_t *out, pki_err_t *err)
{
    const char *path = pki_printf(a, "%s/master-key", dir);
    bytes_t     text;
    pki_code_t  code;

    if (path == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = file_read(a, path, SEAL_TEXT_MAX, &text, err);
    *found = code == PKI_OK;
    if (code != PKI_OK) {
        return code == PKI_E_NOT_FOUND ? PKI_OK : code;
    }
    code = pki_secret_new(a, text, out, err);
    OPENSSL_cleanse((void *) (uintptr_t) text.p, text.len);
    return code;
}

/* Stricter than for other secrets: not even a group. */
static pki_code_t
master_file_read(pki_arena_t *a, const char *file, pki_secret_t *out, pki_err_t *err)
{
    struct stat st;

    if (stat(file, &st) == 0 && (st.st_mode & 077) != 0) {
        return pki_fail(err, PKI_E_CONFIG, NULL, "%s holds master keys and has mode %04o: it must be 0600 or 0400", file,
                        (unsigned) st.st_mode & 07777);
    }
    return file_read_secret(a, file, SEAL_TEXT_MAX, out, err);
}

static pki_code_t
source_read(pki_arena_t *a, const char *file, pki_secret_t *out, pki_err_t *err)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY"), *value = getenv(SEAL_VARIABLE);
    bool        found = false;

    if (dir != NULL) {
        PKI_TRY(credential_read(a, dir, &found, out, err));
    }
    if (found) {
        return PKI_OK;
    }
    if (file[0] != '\0') {
        return master_file_read(a, file, out, err);
    }
    return pki_secret_new(a, bytes_str(value != NULL ? value : ""), out, err);
}

pki_code_t
keyring_load(const char *file, keyring_t **out, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    pki_secret_t text = { 0 };
    pki_code_t   code;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = source_read(a, file, &text, err);
    if (code == PKI_OK) {
        code = keyring_new(pki_secret_bytes(&text), out, err);
    }
    pki_arena_free(a);
    return code;
}

pki_code_t
keyring_reload(keyring_t *k, const char *file, pki_err_t *err)
{
    keyring_t *fresh;

    PKI_TRY(keyring_load(file, &fresh, err));
    pthread_rwlock_wrlock(&k->lock);
    memcpy(k->key, fresh->key, sizeof(k->key));
    k->count = fresh->count;
    pthread_rwlock_unlock(&k->lock);
    keyring_free(fresh);
    return PKI_OK;
}

size_t
keyring_count(keyring_t *k)
{
    size_t count;

    pthread_rwlock_rdlock(&k->lock);
    count = k->count;
    pthread_rwlock_unlock(&k->lock);
    return count;
}

/* A copy of the key with this id (absent: of the one that seals), which the caller cleanses. */
static bool
key_find(keyring_t *k, bytes_t id, seal_key_t *out)
{
    bool found = false;

    pthread_rwlock_rdlock(&k->lock);
    for (size_t i = 0; i < k->count && !found; i++) {
        found = id.p == NULL || bytes_eq(BYTES_ARR(k->key[i].id), id);
        if (found) {
            *out = k->key[i];
        }
    }
    pthread_rwlock_unlock(&k->lock);
    return found;
}

bool
keyring_id(keyring_t *k, uint8_t out[SEAL_ID_LEN])
{
    seal_key_t key;

    if (!key_find(k, BYTES_NONE, &key)) {
        return false;
    }
    memcpy(out, key.id, SEAL_ID_LEN);
    OPENSSL_cleanse(&key, sizeof(key));
    return true;
}

/* ---- values ---- */

pki_code_t
sealed_parse(bytes_t blob, sealed_t *out, pki_err_t *err)
{
    if (blob.len < SEAL_OVERHEAD) {
        return pki_fail(err, PKI_E_INVALID, NULL, "a sealed value has at least %d octets, this one %zu", SEAL_OVERHEAD,
                        blob.len);
    }
    if (blob.p[0] != SEAL_VERSION) {
        return pki_fail(err, PKI_E_INVALID, NULL, "a sealed value of version %u", blob.p[0]);
    }
    out->id = bytes_of(blob.p + 1, SEAL_ID_LEN);
    out->nonce = bytes_of(blob.p + SEAL_HEAD_LEN, SEAL_NONCE_LEN);
    out->ciphertext = bytes_of(blob.p + SEAL_HEAD_LEN + SEAL_NONCE_LEN, blob.len - SEAL_OVERHEAD);
    out->tag = bytes_of(blob.p + blob.len - SEAL_TAG_LEN, SEAL_TAG_LEN);
    return PKI_OK;
}

/* The key, the nonce, and as additional data the head and the place, without which nobody can move a value. */
static bool
gcm_begin(EVP_CIPHER_CTX *c, const seal_key_t *key, const uint8_t *blob, const char *place, int sealing)
{
    const uint8_t *nonce = blob + SEAL_HEAD_LEN;
    int            n;

    return c != NULL && strlen(place) <= SEAL_PLACE_MAX
           && EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, key->data, nonce, sealing) == 1
           && EVP_CipherUpdate(c, NULL, &n, blob, SEAL_HEAD_LEN) == 1
           && EVP_CipherUpdate(c, NULL, &n, (const uint8_t *) place, (int) strlen(place)) == 1;
}

static bool
gcm_seal(const seal_key_t *key, const char *place, bytes_t plain, uint8_t *blob)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    uint8_t        *to = blob + SEAL_HEAD_LEN + SEAL_NONCE_LEN;
    int             n = 0, end = 0;
    bool            good = gcm_begin(c, key, blob, place, 1)
                && (plain.len == 0 || EVP_CipherUpdate(c, to, &n, plain.p, (int) plain.len) == 1)
                && EVP_CipherFinal_ex(c, to + n, &end) == 1
                && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, SEAL_TAG_LEN, to + plain.len) == 1;

    EVP_CIPHER_CTX_free(c);
    return good;
}

static bool
gcm_open(const seal_key_t *key, const char *place, bytes_t blob, const sealed_t *s, uint8_t *out)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int             n = 0, end = 0;
    bool            good = gcm_begin(c, key, blob.p, place, 0)
                && (s->ciphertext.len == 0 || EVP_CipherUpdate(c, out, &n, s->ciphertext.p, (int) s->ciphertext.len) == 1)
                && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, SEAL_TAG_LEN, (void *) (uintptr_t) s->tag.p) == 1
                && EVP_CipherFinal_ex(c, out + n, &end) == 1;

    EVP_CIPHER_CTX_free(c);
    return good;
}

pki_code_t
seal(keyring_t *k, pki_arena_t *a, const char *place, bytes_t plain, bytes_t *out, pki_err_t *err)
{
    uint8_t   *blob = pki_alloc(a, plain.len + SEAL_OVERHEAD);
    seal_key_t key;
    bool       good;

    if (blob == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    if (!key_find(k, BYTES_NONE, &key)) {
        return pki_fail(err, PKI_E_CONFIG, NULL, "there is no master key: secrets cannot be kept");
    }
    blob[0] = SEAL_VERSION;
    memcpy(blob + 1, key.id, SEAL_ID_LEN);
    good = RAND_bytes(blob + SEAL_HEAD_LEN, SEAL_NONCE_LEN) == 1 && plain.len <= INT32_MAX
           && gcm_seal(&key, place, plain, blob);
    OPENSSL_cleanse(&key, sizeof(key));
    *out = bytes_of(blob, plain.len + SEAL_OVERHEAD);
    return good ? PKI_OK : pki_fail(err, PKI_E_CRYPTO, NULL, "cannot seal a value of %s", place);
}

pki_code_t
unseal(keyring_t *k, pki_arena_t *a, const char *place, bytes_t blob, pki_secret_t *out, pki_err_t *err)
{
    sealed_t   s;
    seal_key_t key;
    uint8_t   *plain;
    pki_code_t code;
    bool       good;

    PKI_TRY(sealed_parse(blob, &s, err));
    if (!key_find(k, s.id, &key)) {
        return pki_fail(err, PKI_E_CONFIG, NULL, "the master key that opens %s is not here", place);
    }
    plain = OPENSSL_malloc(s.ciphertext.len + 1);
    good = plain != NULL && s.ciphertext.len <= INT32_MAX && gcm_open(&key, place, blob, &s, plain);
    OPENSSL_cleanse(&key, sizeof(key));
    code = good ? pki_secret_new(a, bytes_of(plain, s.ciphertext.len), out, err)
                : pki_fail(err, PKI_E_CRYPTO, NULL, "the sealed value of %s has been changed, or is of another place", place);
    OPENSSL_clear_free(plain, s.ciphertext.len + 1);
    return code;
}
