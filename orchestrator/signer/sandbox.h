/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What the signer process may not do, so that whoever takes it over gains little.
 */
#ifndef ORCHESTRATOR_SIGNER_SANDBOX_H
#define ORCHESTRATOR_SIGNER_SANDBOX_H

#include "pkiproto/base/err.h"

/* Before any key is read: no new privileges, no core dumps, not traceable, a secure heap for OpenSSL. */
pki_code_t sandbox_prepare(pki_err_t *err);

/*
 * After the start: files of this folder only (where the kernel has Landlock), and the system calls that
 * serving requests takes.  With has_token the token's module decides about files and sockets, and
 * what stays refused is running programs, tracing and the like.
 */
pki_code_t sandbox_enter(const char *dir, bool has_token, pki_err_t *err);

#endif
