/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Secrets: cleansed on release, never printed.  No function formats a pki_secret_t.
 */
#ifndef PKI_BASE_SECRET_H
#define PKI_BASE_SECRET_H

#include "pkiproto/base/arena.h"

typedef struct {
    uint8_t *p; /* NUL-terminated, the NUL is not counted */
    size_t   len;
} pki_secret_t;

/* A copy that the arena cleanses when it goes. */
pki_code_t pki_secret_new(pki_arena_t *a, bytes_t in, pki_secret_t *out, pki_err_t *err);

static inline bytes_t
pki_secret_bytes(const pki_secret_t *s)
{
    return (bytes_t){ s->p, s->len };
}

/* A generated authenticator: 160 random bits as 32 lower-case base32 characters and a NUL. */
#define PKI_TOKEN_LEN 32
pki_code_t pki_token_generate(char out[PKI_TOKEN_LEN + 1], pki_err_t *err);

#endif
