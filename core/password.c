/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Passwords that people chose (see password.h).
 */
#include "core/password.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "core/clock.h"

#define PASSWORD_REMEMBER_US 300000000 /* five minutes */
#define PASSWORD_PLACES      1024      /* a verified one displaces whichever shares its place */
#define PASSWORD_AT_ONCE     2
#define PASSWORD_WAIT_S      2
#define PASSWORD_DIGEST_MAX  64
#define PASSWORD_DIGEST_LEN  32        /* of new ones, and their salt and cost */
#define PASSWORD_SALT_LEN    16
#define PASSWORD_N           32768
#define PASSWORD_R           8
#define PASSWORD_P           1
#define PASSWORD_MEMORY_MAX  ((uint64_t) 256 << 20) /* octets that one check may use */

struct passwords {
    uint8_t         key[32];
    pthread_mutex_t lock;
    pthread_cond_t  freed;
    size_t          running, waiting, waiting_max;
    struct {
        uint8_t tag[32];
        int64_t until_us;
    } verified[PASSWORD_PLACES];
};

/* HMAC over everything that makes the check: a changed credential is not remembered. */
static pki_code_t
password_tag(const passwords_t *p, const password_t *kept, const char *text, uint8_t out[32], pki_err_t *err)
{
    bytes_t  parts[] = { bytes_str(kept->id), kept->salt, kept->digest, bytes_str(text) };
    EVP_MAC *mac = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_HMAC, NULL);
    EVP_MAC_CTX *ctx = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
    OSSL_PARAM   params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){ "SHA256" }, 0),
                              OSSL_PARAM_construct_end() };
    bool         ok = ctx != NULL && EVP_MAC_init(ctx, p->key, sizeof(p->key), params) == 1;
    size_t       len;

    for (size_t i = 0; ok && i < sizeof(parts) / sizeof(parts[0]); i++) {
        uint64_t part_len = parts[i].len;

        ok = EVP_MAC_update(ctx, (const unsigned char *) &part_len, sizeof(part_len)) == 1 &&
             EVP_MAC_update(ctx, parts[i].p, parts[i].len) == 1;
    }
    ok = ok && EVP_MAC_final(ctx, out, &len, 32) == 1;
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    return ok ? PKI_OK : pki_fail(err, PKI_E_CRYPTO, NULL, "HMAC of a password");
}

static size_t
place_of(const uint8_t tag[32])
{
    return ((size_t) tag[0] << 8 | tag[1]) % PASSWORD_PLACES;
}

static bool
password_remembered(passwords_t *p, const uint8_t tag[32])
{
    size_t place = place_of(tag);
    bool   known;

    pthread_mutex_lock(&p->lock);
    known = CRYPTO_memcmp(p->verified[place].tag, tag, 32) == 0 && clock_mono_us() < p->verified[place].until_us;
    pthread_mutex_unlock(&p->lock);
    return known;
}

static void
password_remember(passwords_t *p, const uint8_t tag[32])
{
    size_t place = place_of(tag);

    pthread_mutex_lock(&p->lock);
    memcpy(p->verified[place].tag, tag, 32);
    p->verified[place].until_us = clock_mono_us() + PASSWORD_REMEMBER_US;
    pthread_mutex_unlock(&p->lock);
}

static pki_code_t
scrypt_digest(const password_t *kept, const char *text, uint8_t *out, pki_err_t *err)
{
    uint64_t     n = (uint64_t) kept->n, memory = PASSWORD_MEMORY_MAX;
    uint32_t     r = (uint32_t) kept->r, parallel = (uint32_t) kept->p;
    EVP_KDF     *kdf = EVP_KDF_fetch(NULL, "SCRYPT", NULL);
    EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    OSSL_PARAM   params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, (void *) (uintptr_t) text, strlen(text)),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *) (uintptr_t) kept->salt.p, kept->salt.len),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &parallel),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory),
        OSSL_PARAM_construct_end(),
    };
    bool ok = ctx != NULL && EVP_KDF_derive(ctx, out, kept->digest.len, params) == 1;

    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok ? PKI_OK : pki_fail(err, PKI_E_CRYPTO, "RFC 7914 6", "scrypt of a password");
}

/* A turn at the machine, or RATE when none comes free in time or too many wait for one. */
static pki_code_t
turn_take(passwords_t *p, pki_err_t *err)
{
    struct timespec until;
    int             rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PASSWORD_WAIT_S;
    pthread_mutex_lock(&p->lock);
    p->waiting++;
    while (p->running >= PASSWORD_AT_ONCE && p->waiting <= p->waiting_max && rc == 0) {
        rc = pthread_cond_timedwait(&p->freed, &p->lock, &until);
    }
    p->waiting--;
    rc = p->running < PASSWORD_AT_ONCE ? 0 : ETIMEDOUT;
    if (p->running < PASSWORD_AT_ONCE) {
        p->running++;
    }
    pthread_mutex_unlock(&p->lock);
    return rc == 0 ? PKI_OK : pki_fail(err, PKI_E_RATE, NULL, "too many passwords are being checked");
}

static void
turn_give(passwords_t *p)
{
    pthread_mutex_lock(&p->lock);
    p->running--;
    pthread_cond_signal(&p->freed);
    pthread_mutex_unlock(&p->lock);
}

static pki_code_t
digest_compare(passwords_t *p, const password_t *kept, const char *text, pki_err_t *err)
{
    uint8_t    digest[PASSWORD_DIGEST_MAX];
    pki_code_t code;

    PKI_TRY(turn_take(p, err));
    code = scrypt_digest(kept, text, digest, err);
    turn_give(p);
    if (code == PKI_OK && !bytes_eq_secret(bytes_of(digest, kept->digest.len), kept->digest)) {
        code = pki_fail(err, PKI_E_UNAUTHENTICATED, NULL, "the user name or the password is wrong");
    }
    OPENSSL_cleanse(digest, sizeof(digest));
    return code;
}

pki_code_t
password_check(passwords_t *p, const password_t *kept, const char *text, pki_err_t *err)
{
    uint8_t tag[32];

    if (kept->digest.len == 0 || kept->digest.len > PASSWORD_DIGEST_MAX) {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "%s has a digest of %zu octets", kept->id, kept->digest.len);
    }
    PKI_TRY(password_tag(p, kept, text, tag, err));
    if (password_remembered(p, tag)) {
        return PKI_OK;
    }
    PKI_TRY(digest_compare(p, kept, text, err));
    password_remember(p, tag);
    return PKI_OK;
}

pki_code_t
password_check_nobody(passwords_t *p, const char *text, pki_err_t *err)
{
    static const uint8_t zeros[PASSWORD_DIGEST_LEN];
    const password_t     nobody = { .id = "nobody", .digest = BYTES_ARR(zeros), .salt = bytes_of(zeros, PASSWORD_SALT_LEN),
                                    .n = PASSWORD_N, .r = PASSWORD_R, .p = PASSWORD_P };
    pki_code_t           code = digest_compare(p, &nobody, text, err);

    return code != PKI_OK ? code : pki_fail(err, PKI_E_UNAUTHENTICATED, NULL, "the user name or the password is wrong");
}

pki_code_t
password_make(passwords_t *p, pki_arena_t *a, const char *text, password_t *out, pki_err_t *err)
{
    uint8_t   *salt, *digest;
    pki_code_t code;

    PKI_TRY(PKI_NEW_N(a, PASSWORD_SALT_LEN, &salt, err));
    PKI_TRY(PKI_NEW_N(a, PASSWORD_DIGEST_LEN, &digest, err));
    if (RAND_bytes(salt, PASSWORD_SALT_LEN) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "no random octets");
    }
    out->salt = bytes_of(salt, PASSWORD_SALT_LEN);
    out->digest = bytes_of(digest, PASSWORD_DIGEST_LEN);
    out->n = PASSWORD_N;
    out->r = PASSWORD_R;
    out->p = PASSWORD_P;
    PKI_TRY(turn_take(p, err));
    code = scrypt_digest(out, text, digest, err);
    turn_give(p);
    return code;
}

pki_code_t
passwords_open(size_t waiting, passwords_t **out, pki_err_t *err)
{
    passwords_t       *p = calloc(1, sizeof(*p));
    pthread_condattr_t attr;

    if (p == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    if (RAND_bytes(p->key, sizeof(p->key)) != 1) {
        free(p);
        return pki_fail(err, PKI_E_CRYPTO, NULL, "no random octets");
    }
    p->waiting_max = waiting;
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->freed, &attr);
    pthread_condattr_destroy(&attr);
    *out = p;
    return PKI_OK;
}

void
passwords_close(passwords_t *p)
{
    if (p != NULL) {
        OPENSSL_cleanse(p, sizeof(*p));
        free(p);
    }
}
