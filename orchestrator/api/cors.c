/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Which origins may call from a browser, and what their browsers are told.
 */
#include "orchestrator/api/cors.h"

#include "orchestrator/api/server.h"

#define CORS_MAX_AGE "600"

const char *
cors_origin(const conf_listen_t *conf, const char *origin)
{
    for (size_t i = 0; i < conf->cors_origins.count && origin != NULL; i++) {
        const char *allowed = conf->cors_origins.v[i];

        if (strcmp(allowed, "*") == 0 || strcmp(allowed, origin) == 0) {
            return allowed;
        }
    }
    return NULL;
}

bool
cors_preflight(req_t *r)
{
    if (strcmp(r->method, "OPTIONS") != 0 || !r->asks_method || r->answer.allow == NULL
        || cors_origin(&r->api->parts.conf->listen, r->origin) == NULL)
    {
        return false;
    }
    r->preflight = r->answer.allow;
    return true;
}

void
cors_headers(const req_t *r, cors_header_pt add, void *arg)
{
    const conf_listen_t *conf = &r->api->parts.conf->listen;
    const char          *origin = cors_origin(conf, r->origin);

    if (conf->cors_origins.count == 0) {
        return;
    }
    /* Whoever caches must not give one origin's answer to another. */
    add(arg, "Vary", "Origin");
    if (origin == NULL) {
        return;
    }
    add(arg, "Access-Control-Allow-Origin", origin);
    if (conf->cors_credentials) {
        add(arg, "Access-Control-Allow-Credentials", "true");
    }
    if (r->preflight != NULL) {
        add(arg, "Access-Control-Allow-Methods", r->preflight);
        add(arg, "Access-Control-Allow-Headers",
            "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-CSRF-Token, X-Request-ID");
        add(arg, "Access-Control-Max-Age", CORS_MAX_AGE);
    } else {
        add(arg, "Access-Control-Expose-Headers",
            "ETag, Idempotency-Replayed, Location, Retry-After, X-Request-ID");
    }
}
