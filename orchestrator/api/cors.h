/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Cross-origin resource sharing (Fetch standard 3.2): denied, but to the pages of origins that the configuration names.
 */
#ifndef ORCHESTRATOR_API_CORS_H
#define ORCHESTRATOR_API_CORS_H

#include "orchestrator/api/request.h"

/* What Access-Control-Allow-Origin says to this origin (may be NULL); NULL: nothing. */
const char *cors_origin(const conf_listen_t *conf, const char *origin);

/* Whether the request is a preflight that is answered: OPTIONS for a known path by an allowed origin. */
bool cors_preflight(req_t *r);

/* Headers of any answer, one call each: to allowed origins only. */
typedef void (*cors_header_pt)(void *arg, const char *name, const char *value);
void cors_headers(const req_t *r, cors_header_pt add, void *arg);

#endif
