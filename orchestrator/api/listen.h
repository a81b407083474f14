/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Listening on a unix socket that nginx' group may use.
 */
#ifndef ORCHESTRATOR_API_LISTEN_H
#define ORCHESTRATOR_API_LISTEN_H

#include "pkiproto/base/err.h"

/* group NULL or "": the owner alone.  *fd is nonblocking; -1 on failure. */
pki_code_t socket_listen(const char *path, const char *group, int *fd, pki_err_t *err);

#endif
