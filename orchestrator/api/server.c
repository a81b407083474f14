/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * libmicrohttpd on the API's unix socket, with one I/O thread.  It collects a request, suspends its
 * connection and hands it to the workers; a worker leaves the answer in the request and resumes the
 * connection.  The parser of libmicrohttpd is lenient: nothing but nginx may reach this socket.
 */
#include <errno.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/api/listen.h"
#include "orchestrator/api/server.h"

#define CONNECTION_MEMORY  65536u /* headers with an escaped client certificate need 16 KiB */
#define CONNECTION_LIMIT   1024u
#define CONNECTION_IDLE_S  75u    /* above nginx' keepalive_timeout of upstreams: 60 s */
#define STREAM_BLOCK       4096u
#define PIECES_BLOCK       32768u
#define THROTTLE_BUCKETS   65536u     /* 1 MiB */
#define BODY_DISCARD_MAX   (8u << 20) /* of a refused request: after that the connection is closed */
#define LOGINS_WAITING     6u        /* for their passwords to be checked: each has a worker */
#define BODY_UNKNOWN       65536u     /* first room for a body without Content-Length */

static bytes_t
header_of(void *c, const char *name)
{
    const char *value = MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);

    return value != NULL ? bytes_str(value) : BYTES_NONE;
}

/* ---- reading a request ---- */

/* Room for the whole body at once where its length is told, so that no copy of a secret stays behind. */
static bool
body_reserve(req_t *r, size_t want)
{
    size_t   cap = r->body_cap == 0 ? BODY_UNKNOWN : r->body_cap * 2;
    uint8_t *p;

    if (want <= r->body_cap) {
        return true;
    }
    cap = cap < want ? want : cap;
    cap = cap > r->body_max && r->body_max >= want ? r->body_max : cap;
    p = pki_alloc(r->a, cap);
    if (p == NULL) {
        return false;
    }
    if (r->body != NULL) {
        memcpy(p, r->body, r->body_len);
        explicit_bzero(r->body, r->body_cap);
    }
    r->body = p;
    r->body_cap = cap;
    return true;
}

static void
body_take(req_t *r, const char *data, size_t len)
{
    r->body_seen += len;
    if (r->body_seen > r->body_max || r->early != PKI_OK) {
        return;
    }
    if (!body_reserve(r, r->body_seen)) {
        r->early = pki_fail(&r->early_err, PKI_E_NOMEM, NULL, "out of memory for the body");
        return;
    }
    memcpy(r->body + r->body_len, data, len);
    r->body_len += len;
}

/* Of a worker: the I/O thread sends. */
static void
request_answered(req_t *r)
{
    r->done = true;
    MHD_resume_connection(r->connection);
}

static void
request_start(req_t *r, struct MHD_Connection *c, const char *method)
{
    const char *length = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Length");
    size_t      expected = length != NULL ? strtoul(length, NULL, 10) : 0;

    r->started = true;
    r->connection = c;
    r->answered = request_answered;
    r->method = pki_strdup(r->a, method);
    if (r->method == NULL || request_headers(r, header_of, c) != PKI_OK) {
        r->method = "";
        r->early = pki_fail(&r->early_err, PKI_E_NOMEM, NULL, "out of memory");
        return;
    }
    request_prepare(r);
    if (r->early == PKI_OK && expected > 0 && expected <= r->body_max) {
        (void) body_reserve(r, expected);
    }
}

/* ---- answering ---- */

static void
header_add(void *response, const char *name, const char *value)
{
    (void) MHD_add_response_header(response, name, value);
}

/* What goes on after the headers, from where the I/O thread asks for more. */
static ssize_t
read_result(ssize_t n)
{
    return n == EVENTS_END ? MHD_CONTENT_READER_END_OF_STREAM : n == EVENTS_LOST ? MHD_CONTENT_READER_END_WITH_ERROR : n;
}

static ssize_t
listener_read(void *cls, uint64_t pos, char *out, size_t max)
{
    (void) pos;
    return read_result(events_read(cls, out, max));
}

static ssize_t
pieces_read(void *cls, uint64_t pos, char *out, size_t max)
{
    (void) pos;
    return read_result(stream_read(cls, out, max));
}

static void
connection_suspend(void *connection)
{
    MHD_suspend_connection(connection);
}

static void
connection_resume(void *connection)
{
    MHD_resume_connection(connection);
}

/* Also when the caller takes nothing: the I/O thread then finds the connection broken, and closes it. */
static void
connection_drop(void *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    if (info != NULL) {
        (void) shutdown(info->connect_fd, SHUT_RDWR);
    }
}

static const events_io_t connection_io = { connection_suspend, connection_resume, connection_drop };

static struct MHD_Response *
response_make(req_t *r)
{
    if (r->listener != NULL) {
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, listener_read, r->listener, NULL);
    }
    if (r->stream != NULL) {
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECES_BLOCK, pieces_read, r->stream, NULL);
    }
    return MHD_create_response_from_buffer(r->answer.body.len, (void *) r->answer.body.p, MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result
request_answer(req_t *r, struct MHD_Connection *c)
{
    struct MHD_Response *response;
    enum MHD_Result      sent;

    response = response_make(r);
    if (response == NULL) {
        return MHD_NO;
    }
    answer_headers(r, header_add, response);
    sent = MHD_queue_response(c, (unsigned) r->answer.status, response);
    MHD_destroy_response(response);
    return sent;
}

/* A worker's turn. */
static void
request_work(void *item, void *arg)
{
    req_t *r = item;

    (void) arg;
    request_run(r);
    r->answered(r);
}

static enum MHD_Result
request_dispatch(req_t *r, struct MHD_Connection *c)
{
    if (r->early == PKI_OK && (r->route->flags & R_INLINE)) {
        request_run(r);
        r->done = true;
        return request_answer(r, c);
    }
    r->queued_us = clock_mono_us();
    MHD_suspend_connection(c);
    if (!queue_put(r->api->queue, r)) {
        request_refuse(r, PKI_E_UNAVAILABLE, "too many requests are waiting");
        r->done = true;
        MHD_resume_connection(c);
    }
    return MHD_YES;
}

/* ---- libmicrohttpd's calls ---- */

static void *
face_uri(void *cls, const char *uri, struct MHD_Connection *c)
{
    face_t *face = cls;

    (void) c;
    return request_new(face->api, bytes_str(uri));
}

static enum MHD_Result
face_access(void *cls, struct MHD_Connection *c, const char *url, const char *method, const char *version,
            const char *data, size_t *len, void **context)
{
    req_t *r = *context;

    (void) cls;
    (void) url;
    (void) version;
    if (r == NULL) {
        return MHD_NO; /* out of memory: the connection is closed */
    }
    if (!r->started) {
        request_start(r, c, method);
        return MHD_YES;
    }
    if (*len > 0) {
        body_take(r, data, *len);
        *len = 0;
        return r->body_seen <= BODY_DISCARD_MAX ? MHD_YES : MHD_NO;
    }
    return r->done ? request_answer(r, c) : request_dispatch(r, c);
}

static void
face_completed(void *cls, struct MHD_Connection *c, void **context, enum MHD_RequestTerminationCode why)
{
    (void) cls;
    (void) c;
    (void) why;
    if (*context != NULL) {
        request_free(*context);
        *context = NULL;
    }
}

/* Paths and queries are decoded by the router, which knows where a NUL or a slash may not be. */
static size_t
face_unescape(void *cls, struct MHD_Connection *c, char *s)
{
    (void) cls;
    (void) c;
    return strlen(s);
}

static void face_log(void *cls, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

static void
face_log(void *cls, const char *fmt, va_list ap)
{
    char text[256];

    (void) cls;
    vsnprintf(text, sizeof(text), fmt, ap);
    text[strcspn(text, "\n")] = '\0';
    log_debug("api.http", LOG_S("text", text));
}

/* ---- listening ---- */

static pki_code_t
face_open(face_t *face, api_t *api, const char *path, pki_err_t *err)
{
    face->api = api;
    PKI_TRY(socket_listen(path, api->parts.conf->edge_group, &face->fd, err));
    face->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, face_access, face,
        MHD_OPTION_EXTERNAL_LOGGER, face_log, NULL, MHD_OPTION_LISTEN_SOCKET, face->fd,
        MHD_OPTION_URI_LOG_CALLBACK, face_uri, face, MHD_OPTION_NOTIFY_COMPLETED, face_completed, NULL,
        MHD_OPTION_UNESCAPE_CALLBACK, face_unescape, NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t) CONNECTION_MEMORY, MHD_OPTION_CONNECTION_LIMIT, CONNECTION_LIMIT, MHD_OPTION_CONNECTION_TIMEOUT,
        CONNECTION_IDLE_S, MHD_OPTION_END);
    if (face->daemon == NULL) {
        return pki_fail(err, PKI_E_IO, NULL, "%s: cannot start the HTTP server", path);
    }
    return PKI_OK;
}

static void
face_quiesce(face_t *face)
{
    if (face->daemon != NULL && face->fd != -1 && MHD_quiesce_daemon(face->daemon) != MHD_INVALID_SOCKET) {
        close(face->fd);
        face->fd = -1;
    }
}

static void
face_close(face_t *face)
{
    face_quiesce(face);
    if (face->daemon != NULL) {
        MHD_stop_daemon(face->daemon);
    }
    if (face->fd != -1) {
        close(face->fd);
    }
}

pki_code_t
api_open(const api_parts_t *parts, api_t **out, pki_err_t *err)
{
    const conf_listen_t *listen_conf = &parts->conf->listen;
    api_t               *api = calloc(1, sizeof(*api));
    pki_code_t           code;

    if (api == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    (void) signal(SIGPIPE, SIG_IGN);
    api->parts = *parts;
    api->opened_us = clock_mono_us();
    api->face.fd = -1;
    api->metrics = metrics_new();
    api->identities = identity_cache_new();
    api->throttle = throttle_new(THROTTLE_BUCKETS);
    code = api->metrics == NULL || api->identities == NULL || api->throttle == NULL
               ? pki_fail(err, PKI_E_NOMEM, NULL, "out of memory")
               : PKI_OK;
    if (code == PKI_OK) {
        code = trail_open(parts->db, &api->trail, err);
    }
    if (code == PKI_OK) {
        code = passwords_open(LOGINS_WAITING, &api->passwords, err);
    }
    if (code == PKI_OK) {
        code = keeper_open(api, &api->keeper, err);
    }
    if (code == PKI_OK) {
        code = sealer_open(parts->db, parts->signer, &api->sealer, err);
    }
    if (code == PKI_OK) {
        code = idempotency_open(&api->idempotency, err);
    }
    if (code == PKI_OK) {
        code = events_open(api, &connection_io, &api->events, err);
    }
    if (code == PKI_OK) {
        code = streams_open(&connection_io, &api->streams, err);
    }
    if (code == PKI_OK) {
        code = queue_open((size_t) listen_conf->workers, (size_t) listen_conf->queue, request_work, api, &api->queue, err);
    }
    if (code == PKI_OK) {
        code = face_open(&api->face, api, listen_conf->api_socket, err);
    }
    if (code == PKI_OK) {
        code = hop_open(api, &api->hop, err);
    }
    if (code == PKI_OK) {
        code = rows_open(api, &api->rows, err);
    }
    if (code == PKI_OK) {
        code = chores_open(&api->parts, &api->chores, err);
    }
    if (code != PKI_OK) {
        api_close(api);
        return code;
    }
    *out = api;
    return PKI_OK;
}

void
api_drain(api_t *api, int64_t wait_s)
{
    int64_t until = clock_mono_us() + wait_s * 1000000;

    atomic_store(&api->draining, true);
    face_quiesce(&api->face);
    hop_quiesce(api->hop);
    rows_quiesce(api->rows);
    events_end(api->events);
    while (atomic_load(&api->active) > 0 && clock_mono_us() < until) {
        usleep(2000);
    }
    trail_flush(api->trail, 1000);
}

/* Workers first: a suspended connection must be resumed before its daemon may stop. */
void
api_close(api_t *api)
{
    if (api == NULL) {
        return;
    }
    atomic_store(&api->draining, true);
    face_quiesce(&api->face);
    hop_quiesce(api->hop);
    rows_quiesce(api->rows);
    chores_close(api->chores);
    queue_stop(api->queue);
    events_end(api->events);
    streams_end(api->streams);
    face_close(&api->face);
    events_close(api->events);
    streams_close(api->streams);
    hop_close(api->hop);
    rows_close(api->rows);
    queue_free(api->queue);
    trail_close(api->trail);
    sealer_close(api->sealer);
    keeper_close(api->keeper);
    passwords_close(api->passwords);
    identity_cache_free(api->identities);
    throttle_free(api->throttle);
    idempotency_close(api->idempotency);
    metrics_free(api->metrics);
    free(api);
}
