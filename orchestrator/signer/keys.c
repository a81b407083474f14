/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Key files: "NAME.key" in keys/, PEM of EncryptedPrivateKeyInfo (PKCS #8) under PBES2 with PBKDF2
 * (HMAC-SHA256) and AES-256-CBC.  Loaded when first asked for and kept with a ready signing context, since
 * setting one up costs as much as an ECDSA signature.
 */
#include "orchestrator/signer/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "core/file.h"
#include "orchestrator/signer/pkcs11.h"
#include "pkiproto/base/ossl.h"

#define KEY_FILE_MAX    65536
#define KEY_NAME_MAX    200
#define KEY_SPKI_MAX    1024
#define KEY_ITERATIONS  100000
#define PASSPHRASE_MAX  4096
#define FILE_PREFIX     "file:"
#define PKCS11_PREFIX   "pkcs11:"

struct signer_key {
    struct signer_key  *next;
    char                ref[SIGNER_KEY_REF_MAX + 1];
    uint8_t             spki[KEY_SPKI_MAX];
    pki_key_t           public; /* borrowed from spki */
    const pki_sigalg_t *sigalg;
    EVP_MD             *md;   /* NULL for Ed25519 */
    EVP_MD_CTX         *hash; /* for md, used again and again */
    EVP_PKEY           *pkey; /* NULL for a key on a token */
    EVP_PKEY_CTX       *ctx;  /* ready for EVP_PKEY_sign(); NULL for Ed25519 and on a token */
    token_key_t        *token_key;
};

struct keys {
    char          dir[3800];
    pki_arena_t  *arena;
    pki_secret_t  passphrase;
    token_t      *token; /* NULL: no module configured */
    signer_key_t *loaded;
};

static void
key_free(signer_key_t *key)
{
    if (key != NULL) {
        EVP_PKEY_CTX_free(key->ctx);
        EVP_PKEY_free(key->pkey);
        EVP_MD_CTX_free(key->hash);
        EVP_MD_free(key->md);
        token_key_free(key->token_key);
        free(key);
    }
}

void
keys_close(keys_t *k)
{
    if (k == NULL) {
        return;
    }
    while (k->loaded != NULL) {
        signer_key_t *next = k->loaded->next;

        key_free(k->loaded);
        k->loaded = next;
    }
    token_close(k->token);
    pki_arena_free(k->arena);
    free(k);
}

static pki_code_t
keys_start(keys_t *k, const conf_signer_t *conf, pki_err_t *err)
{
    if ((size_t) snprintf(k->dir, sizeof(k->dir), "%s/keys", conf->dir) >= sizeof(k->dir)) {
        return pki_fail(err, PKI_E_CONFIG, NULL, "signer.dir is too long");
    }
    k->arena = pki_arena_new(0);
    if (k->arena == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    PKI_TRY(dir_make(k->dir, 0700, err));
    PKI_TRY(file_read_secret(k->arena, conf->passphrase_file, PASSPHRASE_MAX, &k->passphrase, err));
    if (k->passphrase.len == 0) {
        return pki_fail(err, PKI_E_CONFIG, NULL, "%s is empty", conf->passphrase_file);
    }
    if (conf->pkcs11_module == NULL || conf->pkcs11_module[0] == '\0') {
        return PKI_OK;
    }
    return token_open(conf->pkcs11_module, conf->pkcs11_pin_file, &k->token, err);
}

pki_code_t
keys_open(const conf_signer_t *conf, keys_t **out, pki_err_t *err)
{
    keys_t    *k = calloc(1, sizeof(*k));
    pki_code_t rc;

    *out = NULL;
    if (k == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = keys_start(k, conf, err);
    if (rc != PKI_OK) {
        keys_close(k);
        return rc;
    }
    *out = k;
    return PKI_OK;
}

/* "file:NAME" to the path of its file.  Names never start with a dot, so that they cannot leave the folder. */
static pki_code_t
ref_path(const keys_t *k, const char *ref, char out[4096], pki_err_t *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char       *name = ref + strlen(FILE_PREFIX);

    if (*name == '\0' || *name == '.' || strlen(name) > KEY_NAME_MAX || name[strspn(name, allowed)] != '\0') {
        return pki_fail(err, PKI_E_INVALID, NULL, "key name is not of [A-Za-z0-9._-] or starts with a dot");
    }
    snprintf(out, 4096, "%s/%s.key", k->dir, name);
    return PKI_OK;
}

static bool
is_file_ref(const char *ref)
{
    return strncmp(ref, FILE_PREFIX, strlen(FILE_PREFIX)) == 0;
}

/* Public half, algorithm and digest from the SPKI that key->spki starts with. */
static pki_code_t
key_describe(signer_key_t *key, size_t spki_len, pki_err_t *err)
{
    PKI_TRY(pki_key_parse(bytes_of(key->spki, spki_len), &key->public, err));
    key->sigalg = pki_key_sigalg(key->public.kind);
    if (key->sigalg->digest != NULL) {
        key->md = EVP_MD_fetch(NULL, key->sigalg->digest, NULL);
        key->hash = EVP_MD_CTX_new();
        if (key->md == NULL || key->hash == NULL) {
            return pki_fail(err, PKI_E_CRYPTO, NULL, "OpenSSL has no %s", key->sigalg->digest);
        }
    }
    return PKI_OK;
}

static pki_code_t
key_prepare(signer_key_t *key, pki_err_t *err)
{
    uint8_t *p = key->spki;
    int      len = i2d_PUBKEY(key->pkey, NULL);

    if (len <= 0 || len > KEY_SPKI_MAX || i2d_PUBKEY(key->pkey, &p) != len) {
        return pki_fail(err, PKI_E_KEY, NULL, "the key has no public half that can be encoded");
    }
    PKI_TRY(key_describe(key, (size_t) len, err));
    if (key->md == NULL) {
        return PKI_OK;
    }
    key->ctx = EVP_PKEY_CTX_new(key->pkey, NULL);
    if (key->ctx == NULL || EVP_PKEY_sign_init(key->ctx) != 1
        || (key->public.kind == PKI_KEY_RSA && EVP_PKEY_CTX_set_rsa_padding(key->ctx, RSA_PKCS1_PADDING) != 1)
        || EVP_PKEY_CTX_set_signature_md(key->ctx, key->md) != 1)
    {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "the key cannot be set up for signing");
    }
    return PKI_OK;
}

static pki_code_t
file_key_decrypt(const keys_t *k, bytes_t pem, EVP_PKEY **out, pki_err_t *err)
{
    PKI_AUTO(BIO) in = BIO_new_mem_buf(pem.p, (int) pem.len);
    X509_SIG           *box = in != NULL ? PEM_read_bio_PKCS8(in, NULL, NULL, NULL) : NULL;
    PKCS8_PRIV_KEY_INFO *info = NULL;

    if (box == NULL) {
        return pki_fail(err, PKI_E_KEY, "RFC 5958", "not an encrypted PKCS#8 file");
    }
    info = PKCS8_decrypt(box, (const char *) k->passphrase.p, (int) k->passphrase.len);
    X509_SIG_free(box);
    *out = info != NULL ? EVP_PKCS82PKEY(info) : NULL;
    PKCS8_PRIV_KEY_INFO_free(info);
    return *out != NULL ? PKI_OK : pki_fail(err, PKI_E_KEY, NULL, "the passphrase does not open it");
}

static pki_code_t
file_key_load(const keys_t *k, signer_key_t *key, pki_err_t *err)
{
    pki_arena_t *a;
    char         path[4096];
    bytes_t      pem;
    pki_code_t   rc;

    PKI_TRY(ref_path(k, key->ref, path, err));
    a = pki_arena_new(0);
    rc = a != NULL ? file_read(a, path, KEY_FILE_MAX, &pem, err) : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    if (rc == PKI_E_NOT_FOUND) {
        pki_fail(err, PKI_E_NOT_FOUND, NULL, "there is no key %s", key->ref);
    }
    if (rc == PKI_OK) {
        rc = file_key_decrypt(k, pem, &key->pkey, err);
        if (rc != PKI_OK && err != NULL) {
            pki_err_context(err, "%s", path);
        }
    }
    pki_arena_free(a);
    return rc == PKI_OK ? key_prepare(key, err) : rc;
}

static pki_code_t
token_key_load(keys_t *k, signer_key_t *key, pki_err_t *err)
{
    bytes_t spki;

    if (k->token == NULL) {
        return pki_fail(err, PKI_E_UNSUPPORTED, "RFC 7512", "%s: signer.pkcs11_module is not configured", key->ref);
    }
    PKI_TRY(token_key_find(k->token, key->ref, &key->token_key, err));
    spki = token_key_spki(key->token_key);
    if (spki.len > sizeof(key->spki)) {
        return pki_fail(err, PKI_E_KEY, NULL, "the key's public half is too long");
    }
    memcpy(key->spki, spki.p, spki.len);
    return key_describe(key, spki.len, err);
}

static pki_code_t
key_new(bytes_t ref, signer_key_t **out, pki_err_t *err)
{
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    memcpy((*out)->ref, ref.p, ref.len);
    return PKI_OK;
}

static pki_code_t
key_load(keys_t *k, signer_key_t *key, pki_err_t *err)
{
    return is_file_ref(key->ref) ? file_key_load(k, key, err) : token_key_load(k, key, err);
}

static pki_code_t
ref_check(bytes_t ref, pki_err_t *err)
{
    static const char *const prefixes[] = { FILE_PREFIX, PKCS11_PREFIX };

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        size_t len = strlen(prefixes[i]);

        if (ref.len > len && ref.len <= SIGNER_KEY_REF_MAX && memcmp(ref.p, prefixes[i], len) == 0
            && memchr(ref.p, 0, ref.len) == NULL)
        {
            return PKI_OK;
        }
    }
    return pki_fail(err, PKI_E_INVALID, NULL, "a key reference is \"file:NAME\" or \"pkcs11:...\"");
}

static pki_code_t
keys_keep(keys_t *k, signer_key_t *key, pki_code_t rc, signer_key_t **out)
{
    if (rc != PKI_OK) {
        key_free(key);
        return rc;
    }
    key->next = k->loaded;
    k->loaded = key;
    *out = key;
    return PKI_OK;
}

pki_code_t
keys_find(keys_t *k, bytes_t ref, signer_key_t **out, pki_err_t *err)
{
    signer_key_t *key;

    PKI_TRY(ref_check(ref, err));
    for (key = k->loaded; key != NULL; key = key->next) {
        if (bytes_eq(ref, bytes_str(key->ref))) {
            *out = key;
            return PKI_OK;
        }
    }
    PKI_TRY(key_new(ref, &key, err));
    return keys_keep(k, key, key_load(k, key, err), out);
}

static EVP_PKEY *
pkey_generate(pki_key_kind_t kind, unsigned bits)
{
    switch (kind) {
    case PKI_KEY_RSA:
        return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) bits);
    case PKI_KEY_P256:
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    case PKI_KEY_P384:
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
    case PKI_KEY_ED25519:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    default:
        return NULL;
    }
}

/* The file's contents in a BIO of ours; nothing unencrypted ever leaves memory. */
static pki_code_t
pkey_encrypt(const keys_t *k, EVP_PKEY *pkey, BIO *out, pki_err_t *err)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
    X509_SIG            *box = NULL;
    bool                 ok;

    if (info != NULL) {
        /* -1: PBES2 with the PRF's default, HMAC-SHA256 */
        box = PKCS8_encrypt(-1, EVP_aes_256_cbc(), (const char *) k->passphrase.p, (int) k->passphrase.len, NULL, 0,
                            KEY_ITERATIONS, info);
    }
    ok = box != NULL && PEM_write_bio_PKCS8(out, box) == 1;
    X509_SIG_free(box);
    PKCS8_PRIV_KEY_INFO_free(info);
    return ok ? PKI_OK : pki_fail(err, PKI_E_CRYPTO, NULL, "the key cannot be encrypted");
}

static pki_code_t
file_key_make(keys_t *k, const char *ref, pki_key_kind_t kind, unsigned bits, pki_err_t *err)
{
    PKI_AUTO(EVP_PKEY) pkey = NULL;
    PKI_AUTO(BIO) pem = BIO_new(BIO_s_mem());
    char  path[4096];
    char *p;
    long  len;

    PKI_TRY(ref_path(k, ref, path, err));
    if (access(path, F_OK) == 0) {
        return pki_fail(err, PKI_E_CONFLICT, NULL, "there is a key %s already", ref);
    }
    pkey = pkey_generate(kind, bits);
    if (pkey == NULL || pem == NULL) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "the key cannot be made");
    }
    PKI_TRY(pkey_encrypt(k, pkey, pem, err));
    len = BIO_get_mem_data(pem, &p);
    return file_replace(path, bytes_of(p, (size_t) len), 0600, err);
}

static pki_code_t
token_make(keys_t *k, const char *ref, pki_key_kind_t kind, unsigned bits, pki_err_t *err)
{
    if (k->token == NULL) {
        return pki_fail(err, PKI_E_UNSUPPORTED, "RFC 7512", "%s: signer.pkcs11_module is not configured", ref);
    }
    return token_key_make(k->token, ref, kind, bits, err);
}

pki_code_t
keys_make(keys_t *k, bytes_t ref, bytes_t kind, signer_key_t **out, pki_err_t *err)
{
    pki_key_kind_t key_kind;
    unsigned       bits;
    char           name[16] = "";
    signer_key_t  *key;
    pki_code_t     rc;

    PKI_TRY(ref_check(ref, err));
    memcpy(name, kind.p, kind.len < sizeof(name) ? kind.len : sizeof(name) - 1);
    if (!pki_key_name_parse(name, &key_kind, &bits)) {
        return pki_fail(err, PKI_E_UNSUPPORTED, NULL, "unknown kind of key");
    }
    PKI_TRY(key_new(ref, &key, err));
    rc = is_file_ref(key->ref) ? file_key_make(k, key->ref, key_kind, bits, err)
                               : token_make(k, key->ref, key_kind, bits, err);
    return keys_keep(k, key, rc == PKI_OK ? key_load(k, key, err) : rc, out);
}

bytes_t
key_spki(const signer_key_t *key)
{
    return key->public.spki;
}

const pki_sigalg_t *
key_sigalg(const signer_key_t *key)
{
    return key->sigalg;
}

static pki_code_t
ed25519_sign(signer_key_t *key, bytes_t message, uint8_t out[SIGNER_SIGNATURE_MAX], size_t *len, pki_err_t *err)
{
    PKI_AUTO(EVP_MD_CTX) ctx = EVP_MD_CTX_new();

    if (ctx == NULL || EVP_DigestSignInit(ctx, NULL, NULL, NULL, key->pkey) != 1
        || EVP_DigestSign(ctx, out, len, message.p, message.len) != 1)
    {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "signing with %s failed", key->ref);
    }
    return PKI_OK;
}

pki_code_t
key_sign_message(signer_key_t *key, bytes_t message, uint8_t out[SIGNER_SIGNATURE_MAX], size_t *len, pki_err_t *err)
{
    uint8_t  digest[EVP_MAX_MD_SIZE];
    unsigned digest_len;

    *len = SIGNER_SIGNATURE_MAX;
    if (key->md == NULL) {
        return key->token_key != NULL ? token_key_sign(key->token_key, message, out, len, err)
                                      : ed25519_sign(key, message, out, len, err);
    }
    if (EVP_DigestInit_ex2(key->hash, key->md, NULL) != 1 || EVP_DigestUpdate(key->hash, message.p, message.len) != 1
        || EVP_DigestFinal_ex(key->hash, digest, &digest_len) != 1)
    {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "hashing failed");
    }
    return key_sign_digest(key, bytes_of(digest, digest_len), out, len, err);
}

pki_code_t
key_sign_digest(signer_key_t *key, bytes_t digest, uint8_t out[SIGNER_SIGNATURE_MAX], size_t *len, pki_err_t *err)
{
    if (key->md == NULL || digest.len != key->sigalg->digest_len) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%s does not sign a digest of %zu octets", key->ref, digest.len);
    }
    *len = SIGNER_SIGNATURE_MAX;
    if (key->token_key != NULL) {
        return token_key_sign(key->token_key, digest, out, len, err);
    }
    if (EVP_PKEY_sign(key->ctx, out, len, digest.p, digest.len) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "signing with %s failed", key->ref);
    }
    return PKI_OK;
}
