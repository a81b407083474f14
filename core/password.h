/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Passwords that people chose: scrypt (RFC 7914), and a short memory of those that were right, as an HMAC under a key
 * of this process.  scrypt is dear on purpose: two run at a time, some wait for a moment, the rest are turned away.
 */
#ifndef CORE_PASSWORD_H
#define CORE_PASSWORD_H

#include "pkiproto/base/secret.h"

#define PASSWORD_MIN 8
#define PASSWORD_MAX 256

/* What is kept of a password. */
typedef struct {
    const char *id; /* whose it is: a memory of one is none of another */
    bytes_t     digest, salt;
    int64_t     n, r, p;
} password_t;

typedef struct passwords passwords_t;

/* At most `waiting` callers wait for their turn. */
pki_code_t passwords_open(size_t waiting, passwords_t **out, pki_err_t *err);
void       passwords_close(passwords_t *p);

/* A fresh salt and the digest, in the arena; id is left alone.  RATE. */
pki_code_t password_make(passwords_t *p, pki_arena_t *a, const char *text, password_t *out, pki_err_t *err);

/* UNAUTHENTICATED for a wrong one; RATE when too many are being checked. */
pki_code_t password_check(passwords_t *p, const password_t *kept, const char *text, pki_err_t *err);

/* The same work for nobody: UNAUTHENTICATED with the same text, or RATE. */
pki_code_t password_check_nobody(passwords_t *p, const char *text, pki_err_t *err);

#endif
