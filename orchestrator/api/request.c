/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The way of a request: route, who, may they, query, body, handler, answer, audit, figures.  Every
 * refusal goes through one place, so that each has the same body and the same trail.
 */
#include "orchestrator/api/request.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/api/cors.h"
#include "orchestrator/api/error.h"
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "pkiproto/base/text.h"

#define REQUEST_ARENA_MAX (32u << 20)
#define RESOURCE_MAX      200

bool
request_id_valid(const char *id)
{
    size_t len = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

    return len > 0 && len <= REQUEST_ID_MAX && id[len] == '\0';
}

static void
request_id_make(char out[REQUEST_ID_MAX + 1])
{
    uint8_t random[16] = { 0 };

    (void) RAND_bytes(random, sizeof(random));
    hex_encode(BYTES_ARR(random), out);
}

req_t *
request_new(api_t *api, bytes_t uri)
{
    pki_arena_t *a = pki_arena_new(REQUEST_ARENA_MAX);
    req_t       *r = a != NULL ? pki_alloc(a, sizeof(*r)) : NULL;

    if (r == NULL || (r->uri = pki_strndup(a, uri.p, uri.len)) == NULL) {
        pki_arena_free(a);
        return NULL;
    }
    r->api = api;
    r->a = a;
    r->began_us = clock_mono_us();
    r->identity.actor = "anonymous";
    r->identity.type = "anonymous";
    atomic_fetch_add(&api->active, 1);
    metrics_busy(api->metrics, 1);
    return r;
}

void
request_free(req_t *r)
{
    api_t *api = r->api;

    if (r->listener != NULL && !events_leave(r->listener)) {
        return;
    }
    stream_free(r->stream);
    if (r->body != NULL) {
        OPENSSL_cleanse(r->body, r->body_cap);
    }
    if (r->answer.secret) {
        OPENSSL_cleanse((void *) r->answer.body.p, r->answer.body.len);
    }
    identity_release(r->known);
    pki_arena_free(r->a);
    metrics_busy(api->metrics, -1);
    atomic_fetch_sub(&api->active, 1);
}

static bytes_t
uri_path(const req_t *r)
{
    return bytes_of(r->uri, strcspn(r->uri, "?"));
}

static pki_code_t
request_route(req_t *r, pki_err_t *err)
{
    route_match_t match;

    PKI_TRY(path_parse(r->a, uri_path(r), &r->path, err));
    route_match(r->method, &r->path, &match);
    if (match.route == NULL && !match.path_known) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "there is no such path");
    }
    if (match.route == NULL) {
        r->answer.allow = route_allow(r->a, &r->path);
        return pki_fail(err, PKI_E_METHOD, "RFC 9110 15.5.6", "this path takes %s", r->answer.allow);
    }
    r->route = match.route;
    memcpy(r->param, match.param, sizeof(r->param));
    r->resource = r->param[0];
    return PKI_OK;
}

void
request_prepare(req_t *r)
{
    struct in6_addr any;

    if (r->id[0] == '\0') {
        request_id_make(r->id);
    }
    if (r->source != NULL && inet_pton(AF_INET, r->source, &any) != 1 && inet_pton(AF_INET6, r->source, &any) != 1) {
        r->source = NULL;
    }
    r->early = request_route(r, &r->early_err);
    r->body_max = r->early == PKI_OK ? limits_rows[r->route->limits].body_max : 0;
}

/* ---- query ---- */

/* Of one that may be given once only. */
static bool
query_has(const req_t *r, const char *name)
{
    const list_resource_t *rows = route_filtered(r->route);
    const list_filter_t   *f = rows != NULL ? list_filter_of(rows, name) : NULL;

    for (size_t i = 0; i < r->arg_count && (f == NULL || !f->many); i++) {
        if (strcmp(r->args[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static pki_code_t
query_put(req_t *r, bytes_t pair, pki_err_t *err)
{
    const uint8_t *eq = memchr(pair.p, '=', pair.len);
    size_t         name_len = eq != NULL ? (size_t) (eq - pair.p) : pair.len;
    bytes_t        value = eq != NULL ? bytes_of(eq + 1, pair.len - name_len - 1) : bytes_of(pair.p + pair.len, 0);
    list_arg_t    *arg = &r->args[r->arg_count];

    if (r->arg_count == REQUEST_ARGS_MAX) {
        return pki_fail(err, PKI_E_INVALID, NULL, "more than %d query parameters", REQUEST_ARGS_MAX);
    }
    PKI_TRY(uri_decode(r->a, bytes_of(pair.p, name_len), true, &arg->name, err));
    PKI_TRY(uri_decode(r->a, value, true, &arg->value, err));
    if (query_has(r, arg->name)) {
        check_problem(r, arg->name, "is given twice");
        return PKI_OK;
    }
    r->arg_count++;
    return PKI_OK;
}

static pki_code_t
query_split(req_t *r, pki_err_t *err)
{
    const char *at = r->uri + uri_path(r).len;

    while (*at != '\0') {
        size_t len = strcspn(++at, "&");

        if (len > 0) {
            PKI_TRY(query_put(r, bytes_of(at, len), err));
        }
        at += len;
    }
    return PKI_OK;
}

static const field_t *
shape_field(const shape_t *shape, const char *name)
{
    const field_t *f = shape != NULL ? shape->fields : NULL;

    while (f != NULL && f->type != FIELD_T_END && strcmp(f->name, name) != 0) {
        f++;
    }
    return f != NULL && f->type != FIELD_T_END ? f : NULL;
}

/* The text of an error about a field, without "name: " before it. */
static const char *
problem_text(const pki_err_t *err, const char *name)
{
    size_t len = strlen(name);

    return strncmp(err->text, name, len) == 0 && err->text[len] == ':' ? err->text + len + 2 : err->text;
}

/* Members that the shape knows into its struct; the filters of a list stay behind as r->args. */
static pki_code_t
query_decode(req_t *r, pki_err_t *err)
{
    const list_resource_t *rows = route_filtered(r->route);
    const shape_t *shape = route_query(r->route);
    size_t         kept = 0;

    PKI_TRY(query_split(r, err));
    if (shape != NULL) {
        JSON_AUTO none = json_object();

        r->query = pki_alloc(r->a, shape->size);
        if (r->query == NULL) {
            return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
        }
        PKI_TRY(fields_decode(r->a, shape->fields, none, r->query, NULL, err));
    }
    for (size_t i = 0; i < r->arg_count; i++) {
        const field_t *f = shape_field(shape, r->args[i].name);
        pki_err_t      why = { 0 };

        if (f != NULL) {
            if (field_from_text(r->a, f, r->args[i].value, r->query, &why) != PKI_OK) {
                check_problem(r, f->name, "%s", problem_text(&why, f->name));
            }
        } else if (rows != NULL && list_filter_of(rows, r->args[i].name) != NULL) {
            r->args[kept++] = r->args[i];
        } else {
            check_problem(r, r->args[i].name, "is not a known query parameter");
        }
    }
    r->arg_count = kept;
    return rows != NULL ? PKI_OK : check_done(r, err); /* lists.c has more to say */
}

/* ---- body ---- */

static bool
media_is_json(const char *type)
{
    size_t len = type != NULL ? strcspn(type, "; \t") : 0;

    return len == 16 && strncasecmp(type, "application/json", 16) == 0;
}

void
problems_add(req_t *r, const char *open, const field_problems_t *more)
{
    for (size_t i = 0; i < more->count; i++) {
        check_problem(r, pki_printf(r->a, "%s.%s", open, more->item[i].field), "%s", more->item[i].text);
    }
    r->problems.more += more->more;
}

/* The open member is taken out of *in, and decoded by the shape that the other members ask for. */
static pki_code_t
open_decode(req_t *r, const shape_t *shape, json_t *member, pki_err_t *err)
{
    field_problems_t problems = { 0 };
    shape_t          inner = { 0 };
    JSON_AUTO        none = json_object();
    pki_code_t       code;

    r->open_given = member;
    if (member != NULL && !json_is_object(member)) {
        check_problem(r, shape->open, "must be an object");
        return PKI_OK;
    }
    if (!shape->open_shape(r->in, &inner)) {
        r->body_secret = r->body_secret || member != NULL; /* nobody knows */
        return PKI_OK;
    }
    r->body_secret = r->body_secret || fields_secret_given(inner.fields, member);
    if (shape->open_merges) {
        return PKI_OK;
    }
    r->open = pki_alloc(r->a, inner.size);
    if (r->open == NULL || none == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = fields_decode(r->a, inner.fields, member != NULL ? member : none, r->open, &problems, err);
    problems_add(r, shape->open, &problems);
    return code == PKI_E_INVALID ? PKI_OK : code;
}

static pki_code_t
members_decode(req_t *r, const shape_t *shape, json_t *in, pki_err_t *err)
{
    JSON_AUTO  open = shape->open != NULL ? json_incref(json_object_get(in, shape->open)) : NULL;
    pki_code_t code;

    r->in = pki_alloc(r->a, shape->size);
    if (r->in == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    r->body_secret = fields_secret_given(shape->fields, in);
    if (open != NULL) {
        PKI_TRY(pki_arena_own(r->a, json_incref(open), (pki_free_pt) json_decref, err));
        (void) json_object_del(in, shape->open);
    }
    code = fields_decode(r->a, shape->fields, in, r->in, &r->problems, err);
    if (shape->open == NULL || (code != PKI_OK && code != PKI_E_INVALID) || !json_is_object(in)) {
        return code;
    }
    PKI_TRY(open_decode(r, shape, open, err));
    return check_done(r, err);
}

static pki_code_t
body_decode(req_t *r, pki_err_t *err)
{
    const shape_t *shape = r->route->body;
    json_t        *in = NULL;

    if (shape == NULL) {
        return r->body_seen == 0 ? PKI_OK : pki_fail(err, PKI_E_INVALID, NULL, "this call takes no body");
    }
    if (r->body_seen > r->body_max) {
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "the body is larger than %zu octets", r->body_max);
    }
    if (r->body_len > 0 && !media_is_json(r->content_type)) {
        return pki_fail(err, PKI_E_MEDIA_TYPE, NULL, "the body must be application/json");
    }
    PKI_TRY(json_parse(r->body_len > 0 ? bytes_of(r->body, r->body_len) : BYTES_LIT("{}"), &in, err));
    PKI_TRY(pki_arena_own(r->a, in, (pki_free_pt) json_decref, err));
    return members_decode(r, shape, in, err);
}

void
check_problem(req_t *r, const char *field, const char *fmt, ...)
{
    char              text[192];
    va_list           ap;
    field_problems_t *p = &r->problems;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (p->count == sizeof(p->item) / sizeof(p->item[0])) {
        p->more++;
        return;
    }
    p->item[p->count].field = pki_strdup(r->a, field);
    p->item[p->count].text = pki_strdup(r->a, text);
    if (p->item[p->count].field != NULL && p->item[p->count].text != NULL) {
        p->count++;
    } else {
        p->more++;
    }
}

pki_code_t
check_done(req_t *r, pki_err_t *err)
{
    const field_problems_t *p = &r->problems;

    if (p->count + p->more == 0) {
        return PKI_OK;
    }
    return pki_fail(err, PKI_E_INVALID, NULL, "%s: %s", p->count > 0 ? p->item[0].field : "",
                    p->count > 0 ? p->item[0].text : "not acceptable");
}

/* ---- serving ---- */

/*
 * The first 8 octets of its SHA-256: what was sent can be compared with what is audited.  Of a body with a chosen password
 * it would be a means to guess that.
 */
static void
body_hash(req_t *r)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];

    if (r->body_hash[0] == '\0' && r->body_len > 0 && r->body_len == r->body_seen && !r->body_secret) {
        hex_encode(bytes_of(SHA256(r->body, r->body_len, digest), 8), r->body_hash);
    }
}

/* A representation that the caller has already (RFC 9110 13.1.2). */
static void
answer_unchanged(req_t *r)
{
    const char *tag = r->answer.etag, *at = r->if_none_match;
    bool        any = at != NULL && strcmp(at, "*") == 0;

    if (tag == NULL || r->answer.status != 200 || at == NULL || strcmp(r->route->method, "GET") != 0) {
        return;
    }
    if (any || strstr(at, tag) != NULL) {
        r->answer.status = 304;
        r->answer.body = bytes_of("", 0);
    }
}

static pki_code_t
rate_take(req_t *r, throttle_kind_t kind, const char *who, pki_err_t *err)
{
    throttle_rate_t rate = throttle_rate(&r->api->parts.conf->limits, kind);
    int64_t         wait_us = throttle_take(r->api->throttle, kind, who, &rate, clock_mono_us());

    if (wait_us == 0) {
        return PKI_OK;
    }
    r->retry_after_s = wait_us / 1000000 + 1;
    return pki_fail(err, PKI_E_RATE, NULL, "too many %s: try again in %lld seconds",
                    kind == THROTTLE_EXPORT ? "exports" : "requests", (long long) r->retry_after_s);
}

/* Whoever is somebody has a bucket of their own, wherever they call from; all others share that of their address. */
static pki_code_t
rates_check(req_t *r, bool known, pki_err_t *err)
{
    unsigned rates = r->route != NULL ? limits_rows[r->route->limits].rates : L_CALLS;

    if (rates & L_CALLS) {
        PKI_TRY(rate_take(r, known ? THROTTLE_ACTOR : THROTTLE_SOURCE, known ? r->identity.actor : r->source, err));
    }
    return rates & L_EXPORTS && known ? rate_take(r, THROTTLE_EXPORT, r->identity.actor, err) : PKI_OK;
}

/* Who calls, and not too often: also those who do not say who they are, or say it wrongly. */
static pki_code_t
caller_find(req_t *r, pki_err_t *err)
{
    pki_err_t  why = { 0 };
    pki_code_t code = PKI_E_UNAUTHENTICATED;

    if (r->route == NULL || r->route->reach != REACH_OPEN) {
        code = auth_identify(r, &why);
    }
    if (code == PKI_OK || code == PKI_E_UNAUTHENTICATED) {
        PKI_TRY(rates_check(r, code == PKI_OK, err));
    }
    if (code != PKI_OK && r->route != NULL && r->route->reach != REACH_OPEN) {
        *err = why;
        return code;
    }
    return PKI_OK;
}

/* A key that was used is answered as before. */
static pki_code_t
handler_run(req_t *r, pki_err_t *err)
{
    bool       served;
    pki_code_t code;

    PKI_TRY(idempotency_enter(r, &served, err));
    if (served) {
        return PKI_OK;
    }
    code = r->route->handler(r, err);
    idempotency_leave(r, code);
    return code;
}

/* Up to where the handler takes over, or that of a preflight (r->preflight), which has none. */
static pki_code_t
request_admit(req_t *r, pki_err_t *err)
{
    if (r->early != PKI_OK) {
        /* Also so that the audit names who asked for what is not there. */
        PKI_TRY(caller_find(r, err));
        if (cors_preflight(r)) {
            r->answer.status = 204;
            return answer_octets(r, NULL, BYTES_LIT(""), err);
        }
        *err = r->early_err;
        return r->early;
    }
    PKI_TRY(caller_find(r, err));
    if (r->route->reach != REACH_OPEN) {
        PKI_TRY(auth_permit(r, err));
    }
    PKI_TRY(query_decode(r, err));
    PKI_TRY(body_decode(r, err));
    body_hash(r);
    r->answer.status = r->route->status;
    return PKI_OK;
}

/* After the handler. */
static void
request_served(req_t *r)
{
    if (r->route->reach != REACH_OPEN && r->route->reach != REACH_SELF) {
        permission_used(r->api->keeper, r->identity.actor, r->route->permission);
    }
    answer_unchanged(r);
}

static pki_code_t
request_serve(req_t *r, pki_err_t *err)
{
    PKI_TRY(request_admit(r, err));
    if (r->early == PKI_OK) {
        PKI_TRY(handler_run(r, err));
        request_served(r);
    }
    return PKI_OK;
}

static void
answer_error(req_t *r, pki_code_t code, const pki_err_t *err)
{
    static const char fallback[] = "{\"error\":{\"code\":\"nomem\",\"message\":\"out of memory\"}}";
    const char       *allow = r->answer.allow;

    memset(&r->answer, 0, sizeof(r->answer));
    r->answer.status = pki_code_http(code);
    r->answer.content_type = "application/json";
    r->answer.allow = allow;
    r->answer.challenge = code == PKI_E_UNAUTHENTICATED;
    r->answer.retry_after_s = r->retry_after_s != 0 ? r->retry_after_s : pki_code_retryable(code) ? 1 : 0;
    r->answer.body = error_body(r->a, code, err, r->id, &r->problems);
    if (r->answer.body.p == NULL) {
        r->answer.body = BYTES_LIT(fallback);
    }
    if (r->answer.status >= 500) {
        log_failure(r->answer.status == 500 ? LOG_ERROR : LOG_WARN, "api.failed", err);
    }
}

/* At most 200 octets of what a caller named, cut between characters: it is a column with an index. */
static const char *
resource_cut(req_t *r)
{
    size_t len = r->resource != NULL ? strlen(r->resource) : 0;

    if (len <= RESOURCE_MAX) {
        return r->resource;
    }
    len = RESOURCE_MAX;
    while (len > 0 && ((uint8_t) r->resource[len] & 0xc0) == 0x80) {
        len--;
    }
    return pki_strndup(r->a, r->resource, len);
}

audit_t
audit_of(req_t *r, int status)
{
    audit_t     out = { .actor = r->identity.actor, .actor_type = r->identity.type, .status = status,
                        .request_id = r->id, .source = r->source, .latency_us = clock_mono_us() - r->began_us,
                        .body_hash = r->body_hash[0] != '\0' ? r->body_hash : NULL };
    const char *dot;

    if (r->route == NULL) {
        out.action = "request.refuse";
        return out;
    }
    out.action = r->route->action;
    dot = strchr(out.action, '.');
    out.resource_type = pki_strndup(r->a, out.action, (size_t) (dot - out.action));
    out.resource_id = resource_cut(r);
    return out;
}

void
audit_kept(req_t *r, const audit_t *audit)
{
    r->audited_status = (int) audit->status;
}

static void
request_audit(req_t *r)
{
    audit_t event;

    if (r->preflight != NULL || (r->route != NULL && (r->route->audit == AUDIT_NONE || r->route->audit == AUDIT_CALLEE))) {
        return;
    }
    if (r->audited_status == r->answer.status) {
        return;
    }
    event = audit_of(r, r->answer.status);
    trail_put(r->api->trail, &event, r->working);
}

static void
request_finish(req_t *r)
{
    int64_t     took_us = clock_mono_us() - r->began_us;
    bool        probe = r->route != NULL && r->route->audit == AUDIT_NONE;
    bytes_t     path = uri_path(r);
    const char *shown = pki_strndup(r->a, path.p, path.len);

    metrics_count(r->api->metrics, r->route, r->answer.status, took_us);
    log_event(probe ? LOG_DEBUG : LOG_INFO, "api.call",
              LOG_PAIRS_(LOG_S("method", r->method), LOG_S("path", shown), LOG_I("status", r->answer.status),
                         LOG_S("actor", r->identity.actor), LOG_S("source", r->source), LOG_I("us", took_us)));
    request_audit(r);
}

void
request_refuse(req_t *r, pki_code_t code, const char *text)
{
    pki_err_t err = { 0 };

    log_request_set(r->id);
    (void) pki_fail(&err, code, NULL, "%s", text);
    answer_error(r, code, &err);
    request_finish(r);
    log_request_set(NULL);
}

/* False when it waited too long, and was told so. */
static bool
request_begin(req_t *r)
{
    r->working = r->queued_us != 0;
    r->body_secret = r->route != NULL && r->route->body != NULL
                     && (r->route->body->open != NULL || fields_secret(r->route->body->fields));
    body_hash(r);
    if (r->working && clock_mono_us() - r->queued_us > QUEUE_WAIT_US) {
        request_refuse(r, PKI_E_UNAVAILABLE, "too many requests are waiting");
        return false;
    }
    log_request_set(r->id);
    return true;
}

static void
request_end(req_t *r, pki_code_t code, const pki_err_t *err)
{
    log_request_set(r->id);
    if (code != PKI_OK) {
        answer_error(r, code, err);
    }
    request_finish(r);
    log_request_set(NULL);
}

void
request_run(req_t *r)
{
    pki_err_t err = { 0 };

    if (request_begin(r)) {
        request_end(r, request_serve(r, &err), &err);
    }
}

void
request_rows_run(request_rows_t *rows, req_t *const *r, size_t count)
{
    rows->count = 0;
    for (size_t i = 0; i < count; i++) {
        size_t n = rows->count;

        if (request_begin(r[i])) {
            rows->errs[n] = (pki_err_t){ 0 };
            rows->codes[n] = request_admit(r[i], &rows->errs[n]);
            rows->r[rows->count++] = r[i];
        }
    }
    rows_serve(rows->r, rows->count, rows->codes, rows->errs);
    log_request_set(NULL);
}

void
request_rows_end(request_rows_t *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->codes[i] == PKI_OK) {
            request_served(rows->r[i]);
        }
        request_end(rows->r[i], rows->codes[i], &rows->errs[i]);
    }
}
