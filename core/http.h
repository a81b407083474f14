/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * HTTP between processes of one host: GET over a unix socket, HTTP/1.0, one request for each connection.
 * Nothing that crosses a network goes through here.
 */
#ifndef CORE_HTTP_H
#define CORE_HTTP_H

#include "pkiproto/base/arena.h"

/*
 * The body of a 200, in the arena.  UNAVAILABLE: nobody answered in time or with another status; PARSE: what came
 * is not an answer, or not all of it; TOO_LARGE: more than max octets.
 */
pki_code_t http_unix_get(pki_arena_t *a, const char *socket, const char *path, int64_t timeout_ms, size_t max,
                         bytes_t *body, pki_err_t *err);

#endif
