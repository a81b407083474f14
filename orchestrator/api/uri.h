/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Paths and percent-encoding (RFC 3986).
 */
#ifndef ORCHESTRATOR_API_URI_H
#define ORCHESTRATOR_API_URI_H

#include "pkiproto/base/arena.h"

/* A path cut into decoded segments. */
#define PATH_SEGMENTS_MAX 12
typedef struct {
    const char *segment[PATH_SEGMENTS_MAX];
    size_t      count;
} path_t;

/* Cut and decode.  INVALID for a bad escape, an escaped or plain control character, or an empty segment. */
pki_code_t path_parse(pki_arena_t *a, bytes_t text, path_t *out, pki_err_t *err);

/* Decode %XX ('+' too where plus says so); NUL-terminated in the arena. */
pki_code_t uri_decode(pki_arena_t *a, bytes_t in, bool plus, const char **out, pki_err_t *err);

#endif
