/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The API's key goes over TLS or a unix socket or to this host, nowhere else.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli/client.h"
#include "core/file.h"

#define ANSWER_MAX  (64u << 20)
#define KEY_MAX     1024
#define CONNECT_MS  10000
#define DEFAULT_URL "https://localhost:8443"

/* http://localhost and the loopback addresses. */
static bool
is_here(const char *url)
{
    static const char *const hosts[] = { "http://localhost", "http://127.0.0.1", "http://[::1]" };

    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        size_t len = strlen(hosts[i]);

        if (strncmp(url, hosts[i], len) == 0 && strchr(":/", url[len]) != NULL) {
            return true;
        }
    }
    return false;
}

static app_exit_t
server_set(app_t *app, http_client_conf_t *conf)
{
    const char *server = app->options.server != NULL ? app->options.server : DEFAULT_URL;
    size_t      len;

    if (strncmp(server, "unix:", 5) == 0) {
        conf->unix_socket = server + 5;
        app->base = "http://localhost";
        return APP_OK;
    }
    if (strncmp(server, "https://", 8) != 0 && strncmp(server, "http://", 7) != 0) {
        return app_fail(APP_USAGE, "--server: https://HOST[:PORT] or unix:PATH, not \"%.80s\"", server);
    }
    if (strpbrk(server, "@?#") != NULL) {
        return app_fail(APP_USAGE, "--server: only a host and a port; the key is given with --api-key-file");
    }
    if (strncmp(server, "http:", 5) == 0 && !is_here(server) && app->options.api_key != NULL) {
        return app_fail(APP_USAGE, "--server: a key is not sent over plain http to another host");
    }
    len = strlen(server);
    while (len > 0 && server[len - 1] == '/') {
        len--;
    }
    app->base = pki_strndup(app->a, server, len);
    return app->base != NULL ? APP_OK : app_fail(APP_REFUSED, "out of memory");
}

static app_exit_t
key_set(app_t *app)
{
    pki_err_t    err = { 0 };
    pki_secret_t key;

    if (app->options.api_key == NULL && app->options.api_key_file != NULL) {
        if (file_read_secret(app->a, app->options.api_key_file, KEY_MAX, &key, &err) != PKI_OK) {
            return app_fail(APP_USAGE, "--api-key-file: %s", err.text);
        }
        app->options.api_key = (const char *) key.p;
    }
    for (const char *p = app->options.api_key; p != NULL && *p != '\0'; p++) {
        if (*p <= ' ' || *p == 0x7f) {
            return app_fail(APP_USAGE, "the API key has a character that no key has");
        }
    }
    return APP_OK;
}

app_exit_t
client_open(app_t *app)
{
    const options_t   *o = &app->options;
    http_client_conf_t conf = { .agent = "chancery/" CHANCERY_VERSION, .ca_bundle = o->ca_bundle, .cert = o->cert,
                               .key = o->key,
                                .connect_ms = CONNECT_MS };
    pki_err_t          err = { 0 };
    app_exit_t         status;
    char              *end = NULL;
    long               seconds = o->timeout != NULL ? strtol(o->timeout, &end, 10) : 30;

    if (app->http != NULL) {
        return APP_OK;
    }
    if ((end != NULL && *end != '\0') || seconds < 1 || seconds > 86400) {
        return app_fail(APP_USAGE, "--timeout: seconds from 1 to 86400");
    }
    app->timeout_ms = seconds * 1000;
    conf.connect_ms = app->timeout_ms < CONNECT_MS ? app->timeout_ms : CONNECT_MS;
    status = key_set(app);
    if (status == APP_OK) {
        status = server_set(app, &conf);
    }
    if (status != APP_OK) {
        return status;
    }
    return http_client_new(&conf, &app->http, &err) == PKI_OK ? APP_OK : app_failed(&err);
}

/* ---- sending ---- */

static const char *
url_of(app_t *app, pki_arena_t *a, const call_t *call)
{
    const char *name;
    json_t     *value;
    pki_buf_t   out;
    char        mark = '?';

    pki_buf_init(&out, a, 1 << 20);
    pki_buf_printf(&out, "%s%s", app->base, call->path);
    json_object_foreach(call->query, name, value) {
        pki_buf_printf(&out, "%c%s=%s", mark, http_escape(a, bytes_str(name)),
                       http_escape(a, bytes_str(json_string_value(value))));
        mark = '&';
    }
    pki_buf_put_u8(&out, '\0');
    return out.failed ? NULL : (const char *) out.p;
}

static size_t
headers_of(app_t *app, pki_arena_t *a, const call_t *call, http_header_t *out, size_t max)
{
    const char *name;
    json_t     *value;
    size_t      n = 0;

    out[n++] = (http_header_t){ "Accept", call->command != NULL && call->command->accept[0] != '\0' ? call->command->accept
                                                                                                  : "application/json" };
    if (app->options.api_key != NULL) {
        out[n++] = (http_header_t){ "Authorization", pki_printf(a, "Bearer %s", app->options.api_key) };
    }
    if (call->body != NULL) {
        out[n++] = (http_header_t){ "Content-Type", "application/json" };
    }
    json_object_foreach(call->headers, name, value) {
        if (n < max) {
            out[n++] = (http_header_t){ name, json_string_value(value) };
        }
    }
    return n;
}

pki_code_t
client_send(app_t *app, pki_arena_t *a, const call_t *call, http_sink_pt sink, void *arg, http_answer_t *out, pki_err_t *err)
{
    http_header_t  headers[16];
    http_request_t r = { .method = call->command != NULL ? call->command->method : "GET", .url = url_of(app, a, call),
                         .headers = headers, .max = ANSWER_MAX, .timeout_ms = app->timeout_ms, .sink = sink, .arg = arg };
    bool           events = call->command != NULL && strstr(call->command->accept, "text/event-stream") != NULL;
    char          *body = call->body != NULL ? json_dumps(call->body, JSON_COMPACT) : NULL;
    pki_code_t     code;

    if (r.url == NULL || (call->body != NULL && body == NULL)) {
        free(body);
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "the request is too long");
    }
    r.header_count = headers_of(app, a, call, headers, sizeof(headers) / sizeof(headers[0]));
    r.body = body != NULL ? bytes_str(body) : BYTES_NONE;
    r.timeout_ms = events ? 0 : r.timeout_ms; /* silence is what there is when nothing happens */
    code = http_client_do(app->http, a, &r, out, err);
    free(body);
    return code;
}

pki_code_t
client_call(app_t *app, pki_arena_t *a, const char *method, const char *path, const json_t *body, json_t **out, pki_err_t *err)
{
    command_t     command = { .method = method, .accept = "" };
    call_t        call = { .command = &command, .path = path, .body = (json_t *) (uintptr_t) body };
    http_answer_t answer;
    pki_code_t    code = PKI_E_INTERNAL;

    *out = NULL;
    PKI_TRY(client_send(app, a, &call, NULL, NULL, &answer, err));
    if (answer.status >= 200 && answer.status < 300) {
        return answer.body.len > 0 ? json_parse(answer.body, out, err) : PKI_OK;
    }
    for (pki_code_t each = PKI_OK + 1; each < PKI_E_COUNT_; each++) {
        if (pki_code_http(each) == answer.status) {
            code = each;
            break;
        }
    }
    JSON_AUTO refusal = NULL;

    json_parse(answer.body, &refusal, NULL);
    return pki_fail(err, code, NULL, "%s %.120s: %d %s", method, path, answer.status,
                    json_text(json_object_get(refusal, "error"), "message"));
}

pki_code_t
client_get(app_t *app, pki_arena_t *a, const char *path, json_t **out, pki_err_t *err)
{
    PKI_TRY(client_call(app, a, "GET", path, NULL, out, err));
    return *out != NULL ? PKI_OK : pki_fail(err, PKI_E_PARSE, NULL, "%.120s: an empty answer", path);
}

/* ---- refusals ---- */

/* "names.0.value" is of the flag --names. */
static void
field_print(const command_t *c, const json_t *item)
{
    const char *field = json_text(item, "field");
    size_t      len = strcspn(field, ".");

    for (size_t i = 0; c != NULL && i < c->param_count; i++) {
        if (c->params[i].in != IN_PATH && strlen(c->params[i].name) == len && memcmp(c->params[i].name, field, len) == 0) {
            fprintf(stderr, "    --%s%s%s: %s\n", c->params[i].flag, field[len] != '\0' ? " " : "",
                    field + len + (field[len] != '\0'),
                    json_text(item, "text"));
            return;
        }
    }
    fprintf(stderr, "    %s: %s\n", field, json_text(item, "text"));
}

app_exit_t
client_refused(const app_t *app, const command_t *c, const http_answer_t *answer)
{
    app_exit_t    status = answer->status >= 500 ? APP_SERVER : APP_REFUSED;
    const char   *retry = http_header(answer, "retry-after");
    JSON_AUTO     body = NULL;
    const json_t *error, *each;
    size_t        i;

    json_parse(answer->body, &body, NULL);
    error = json_object_get(body, "error");
    if (app->json && error != NULL) {
        fprintf(stderr, "%.*s\n", (int) answer->body.len, (const char *) answer->body.p);
        return status;
    }
    if (error == NULL) {
        return app_fail(status, "the server answered with status %d", answer->status);
    }
    fprintf(stderr, "chancery: %s (%s", json_text(error, "message"), json_text(error, "code"));
    if (json_text(error, "clause")[0] != '\0') {
        fprintf(stderr, ", %s", json_text(error, "clause"));
    }
    fprintf(stderr, "; request %s)\n", json_text(error, "request_id"));
    json_array_foreach(json_object_get(error, "fields"), i, each) {
        field_print(c, each);
    }
    if (answer->status == 401 && app->options.api_key == NULL) {
        fprintf(stderr, "    no key was given: set CHANCERY_API_KEY, or --api-key-file FILE\n");
    }
    if (retry != NULL) {
        fprintf(stderr, "    try again in %s seconds\n", retry);
    }
    return status;
}
