/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Checking passwords that people chose: scrypt (RFC 7914), and a short memory of those that were right, as an HMAC
 * under a key of this process.  scrypt is dear on purpose: two run at a time, the rest wait for a moment.
 */
#ifndef ORCHESTRATOR_ISSUE_PASSWORD_H
#define ORCHESTRATOR_ISSUE_PASSWORD_H

#include "orchestrator/store/est.h"

typedef struct passwords passwords_t;

pki_code_t passwords_open(passwords_t **out, pki_err_t *err);
void       passwords_close(passwords_t *p);

/* UNAUTHENTICATED for a wrong one; RATE when too many are being checked. */
pki_code_t password_check(passwords_t *p, const est_credential_row_t *credential, const char *password, pki_err_t *err);

#endif
