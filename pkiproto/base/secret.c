/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Secrets live in memory of their own (OpenSSL's secure heap where the process has one).
 */
#include "pkiproto/base/secret.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

typedef struct {
    size_t  size;
    uint8_t data[];
} secret_box_t;

static void
secret_box_free(void *ptr)
{
    secret_box_t *box = ptr;

    OPENSSL_secure_clear_free(box, sizeof(*box) + box->size);
}

pki_code_t
pki_secret_new(pki_arena_t *a, bytes_t in, pki_secret_t *out, pki_err_t *err)
{
    secret_box_t *box = OPENSSL_secure_zalloc(sizeof(*box) + in.len + 1);

    if (box == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "no room for a secret");
    }
    box->size = in.len + 1;
    PKI_TRY(pki_arena_own(a, box, secret_box_free, err));
    if (in.len != 0) {
        memcpy(box->data, in.p, in.len);
    }
    *out = (pki_secret_t){ box->data, in.len };
    return PKI_OK;
}

pki_code_t
pki_token_generate(char out[PKI_TOKEN_LEN + 1], pki_err_t *err)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint8_t           raw[PKI_TOKEN_LEN];

    if (RAND_priv_bytes(raw, sizeof(raw)) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "no random octets");
    }
    for (size_t i = 0; i < sizeof(raw); i++) {
        out[i] = digits[raw[i] & 31];
    }
    out[PKI_TOKEN_LEN] = '\0';
    OPENSSL_cleanse(raw, sizeof(raw));
    return PKI_OK;
}
