/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The headers of requests that mean something here, and those of answers; alike for all faces.
 */
#include <stdio.h>

#include "orchestrator/api/cors.h"
#include "orchestrator/api/server.h"

static const struct {
    const char *name, *value;
} common_headers[] = {
    { "Cache-Control", "no-store" },
    { "X-Content-Type-Options", "nosniff" },
    { "X-Frame-Options", "DENY" },
    { "Referrer-Policy", "no-referrer" },
    { "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'" },
    { "Permissions-Policy", "interest-cohort=()" },
};

/* ---- requests ---- */

/* The version in a tag of ours; any other tag is of no row. */
static pki_code_t
if_match_take(req_t *r, bytes_t tag)
{
    size_t len = 0;

    if (tag.p == NULL || bytes_eq(tag, BYTES_LIT("*"))) {
        return PKI_OK;
    }
    if (tag.len > 0 && tag.p[0] == '"') {
        tag = bytes_of(tag.p + 1, tag.len - 1);
    }
    while (len < tag.len && tag.p[len] != '-' && tag.p[len] != '"') {
        len++;
    }
    r->if_match = pki_strndup(r->a, tag.p, len);
    return r->if_match != NULL ? PKI_OK : PKI_E_NOMEM;
}

/* RFC 6265 4.2.1: name=value, separated by "; ". */
static bytes_t
cookie_find(bytes_t in, bytes_t name)
{
    while (in.len > 0) {
        const uint8_t *end = memchr(in.p, ';', in.len);
        size_t         len = end != NULL ? (size_t) (end - in.p) : in.len;

        if (len > name.len && in.p[name.len] == '=' && bytes_eq(bytes_of(in.p, name.len), name)) {
            return bytes_of(in.p + name.len + 1, len - name.len - 1);
        }
        len += len < in.len;
        in = bytes_of(in.p + len, in.len - len);
        while (in.len > 0 && in.p[0] == ' ') {
            in = bytes_of(in.p + 1, in.len - 1);
        }
    }
    return BYTES_NONE;
}

static pki_code_t
secrets_take(req_t *r, bytes_t authorization, bytes_t cookies)
{
    bytes_t cookie = cookies.p != NULL ? cookie_find(cookies, BYTES_LIT(SESSION_COOKIE)) : BYTES_NONE;

    if (cookie.p != NULL) {
        PKI_TRY(pki_secret_new(r->a, cookie, &r->cookie, NULL));
    }
    return authorization.p != NULL ? pki_secret_new(r->a, authorization, &r->authorization, NULL) : PKI_OK;
}

pki_code_t
request_headers(req_t *r, header_get_pt get, void *arg)
{
    const struct {
        const char **to, *name;
    } copied[] = { { &r->content_type, "Content-Type" }, { &r->accept, "Accept" }, { &r->source, "X-Real-IP" },
                   { &r->if_none_match, "If-None-Match" }, { &r->origin, "Origin" }, { &r->keyed.key, "Idempotency-Key" },
                   { &r->last_event_id, "Last-Event-ID" }, { &r->certificate, "X-Chancery-Certificate" },
                   { &r->csrf, "X-CSRF-Token" }, { &r->user_agent, "User-Agent" } };
    bytes_t id = get(arg, "X-Request-ID");
    char    given[REQUEST_ID_MAX + 1];

    for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++) {
        bytes_t value = get(arg, copied[i].name);

        if (value.p != NULL && (*copied[i].to = pki_strndup(r->a, value.p, value.len)) == NULL) {
            return PKI_E_NOMEM;
        }
    }
    if (id.p != NULL && id.len <= REQUEST_ID_MAX) {
        snprintf(given, sizeof(given), "%.*s", (int) id.len, (const char *) id.p);
        if (request_id_valid(given)) {
            memcpy(r->id, given, sizeof(given));
        }
    }
    r->asks_method = get(arg, "Access-Control-Request-Method").p != NULL;
    PKI_TRY(if_match_take(r, get(arg, "If-Match")));
    return secrets_take(r, get(arg, "Authorization"), get(arg, "Cookie"));
}

/* ---- answers ---- */

static void
header_put(header_put_pt put, void *arg, const char *name, const char *value)
{
    if (value != NULL) {
        put(arg, name, value);
    }
}

void
answer_headers(const req_t *r, header_put_pt put, void *arg)
{
    const answer_t *answer = &r->answer;
    char            seconds[24];

    for (size_t i = 0; i < sizeof(common_headers) / sizeof(common_headers[0]); i++) {
        put(arg, common_headers[i].name, common_headers[i].value);
    }
    cors_headers(r, put, arg);
    header_put(put, arg, "X-Request-ID", r->id);
    header_put(put, arg, "Content-Type", answer->content_type);
    header_put(put, arg, "Content-Disposition", answer->disposition);
    header_put(put, arg, "Allow", answer->allow);
    header_put(put, arg, "Location", answer->location);
    header_put(put, arg, "ETag", answer->etag);
    header_put(put, arg, "Set-Cookie", answer->set_cookie);
    header_put(put, arg, "Idempotency-Replayed", answer->replayed ? "true" : NULL);
    header_put(put, arg, "WWW-Authenticate", answer->challenge ? "Bearer realm=\"chancery\"" : NULL);
    if (answer->retry_after_s > 0) {
        snprintf(seconds, sizeof(seconds), "%lld", (long long) answer->retry_after_s);
        put(arg, "Retry-After", seconds);
    }
    if (atomic_load(&r->api->draining)) {
        put(arg, "Connection", "close");
    }
}
