/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * GET over a unix socket: RFC 1945, where the end of the connection is the end of the body, checked against
 * Content-Length where there is one.  One deadline for all of it.
 */
#include "core/http.h"

#include <errno.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/clock.h"
#include "pkiproto/base/buf.h"

#define HTTP_HEAD_MAX 16384

/* Wait until the socket can be written or read, or the time is up. */
static pki_code_t
http_wait(int fd, short events, int64_t deadline_us, pki_err_t *err)
{
    struct pollfd p = { .fd = fd, .events = events };
    int64_t       left_ms = (deadline_us - clock_mono_us() + 999) / 1000;

    while (left_ms > 0) {
        int n = poll(&p, 1, (int) left_ms);

        if (n > 0) {
            return PKI_OK;
        }
        if (n < 0 && errno != EINTR) {
            return pki_fail(err, PKI_E_IO, NULL, "poll: %s", strerror(errno));
        }
        left_ms = (deadline_us - clock_mono_us() + 999) / 1000;
    }
    return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "no answer in time");
}

static pki_code_t
http_connect(const char *path, int *fd, pki_err_t *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t             len = strlen(path);

    if (len >= sizeof(address.sun_path)) {
        return pki_fail(err, PKI_E_INVALID, NULL, "%s is too long for a socket", path);
    }
    memcpy(address.sun_path, path, len);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0) {
        return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "socket: %s", strerror(errno));
    }
    /* A unix socket connects at once or, with too many waiting, not at all. */
    if (connect(*fd, (struct sockaddr *) &address, sizeof(address)) != 0) {
        return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "%s: %s", path, strerror(errno));
    }
    return PKI_OK;
}

static pki_code_t
http_send(int fd, bytes_t data, int64_t deadline_us, pki_err_t *err)
{
    while (data.len > 0) {
        ssize_t n = send(fd, data.p, data.len, MSG_NOSIGNAL);

        if (n >= 0) {
            data = bytes_of(data.p + n, data.len - (size_t) n);
        } else if (errno == EAGAIN) {
            PKI_TRY(http_wait(fd, POLLOUT, deadline_us, err));
        } else if (errno != EINTR) {
            return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "send: %s", strerror(errno));
        }
    }
    return PKI_OK;
}

/* Everything until the other side closes. */
static pki_code_t
http_receive(int fd, pki_buf_t *in, int64_t deadline_us, pki_err_t *err)
{
    uint8_t piece[16384];

    for (;;) {
        ssize_t n = recv(fd, piece, sizeof(piece), 0);

        if (n == 0) {
            return PKI_OK;
        }
        if (n > 0) {
            pki_buf_put(in, bytes_of(piece, (size_t) n));
            PKI_TRY(pki_buf_check(in, "an HTTP answer", err));
        } else if (errno == EAGAIN) {
            PKI_TRY(http_wait(fd, POLLIN, deadline_us, err));
        } else if (errno != EINTR) {
            return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "recv: %s", strerror(errno));
        }
    }
}

/* The value of a header, digits only; false: there is none. */
static bool
http_length(bytes_t head, uint64_t *length)
{
    static const char name[] = "\r\nContent-Length:";

    for (size_t i = 0; i + sizeof(name) - 1 < head.len; i++) {
        if (strncasecmp((const char *) head.p + i, name, sizeof(name) - 1) == 0) {
            i += sizeof(name) - 1;
            while (i < head.len && head.p[i] == ' ') {
                i++;
            }
            for (*length = 0; i < head.len && head.p[i] >= '0' && head.p[i] <= '9'; i++) {
                *length = *length < UINT32_MAX ? *length * 10 + (uint64_t) (head.p[i] - '0') : UINT64_MAX;
            }
            return true;
        }
    }
    return false;
}

/* "HTTP/1.x 200 ...", headers, an empty line, the body. */
static pki_code_t
http_split(bytes_t in, bytes_t *body, pki_err_t *err)
{
    const uint8_t *end = in.len >= 16 ? memmem(in.p, in.len, "\r\n\r\n", 4) : NULL;
    uint64_t       length;

    if (end == NULL || memcmp(in.p, "HTTP/1.", 7) != 0 || in.p[8] != ' ') {
        return pki_fail(err, PKI_E_PARSE, "RFC 9112 2.1", "what came is no HTTP answer");
    }
    *body = bytes_of(end + 4, in.len - (size_t) (end + 4 - in.p));
    if (memcmp(in.p + 9, "200", 3) != 0) {
        return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "the answer's status is %.3s", in.p + 9);
    }
    if (http_length(bytes_of(in.p, in.len - body->len), &length) && length != body->len) {
        return pki_fail(err, PKI_E_PARSE, "RFC 9112 6.3", "%zu octets came of %llu", body->len,
                        (unsigned long long) length);
    }
    return PKI_OK;
}

static pki_code_t
http_exchange(int fd, const char *path, int64_t deadline_us, pki_arena_t *a, pki_buf_t *in, pki_err_t *err)
{
    char *request = pki_printf(a, "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", path);

    if (request == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    PKI_TRY(http_send(fd, bytes_str(request), deadline_us, err));
    return http_receive(fd, in, deadline_us, err);
}

pki_code_t
http_unix_get(pki_arena_t *a, const char *socket, const char *path, int64_t timeout_ms, size_t max, bytes_t *body,
              pki_err_t *err)
{
    int64_t    deadline_us = clock_mono_us() + timeout_ms * 1000;
    int        fd = -1;
    pki_buf_t  in;
    pki_code_t code;

    pki_buf_init(&in, a, max + HTTP_HEAD_MAX);
    code = http_connect(socket, &fd, err);
    if (code == PKI_OK) {
        code = http_exchange(fd, path, deadline_us, a, &in, err);
    }
    if (fd >= 0) {
        close(fd);
    }
    if (code == PKI_OK) {
        code = http_split(pki_buf_bytes(&in), body, err);
    }
    if (code == PKI_OK && body->len > max) {
        return pki_fail(err, PKI_E_TOO_LARGE, NULL, "the answer has more than %zu octets", max);
    }
    return code;
}
