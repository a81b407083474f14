/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP client, against a peer that says what it is told to over plain HTTP.  TLS is in t/e2e/cli.t.
 */
#include "core/http_client.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "pkiproto/base/buf.h"

#define TIMEOUT_MS 500
#define MAX        64

static pki_arena_t   *arena;
static pki_err_t      err;
static http_client_t *client;
static http_answer_t  answer;

typedef struct {
    int         fd, port;
    const char *says;
    bool        stays;
    char        heard[2048];
} peer_t;

static void
setup(void)
{
    http_client_conf_t conf = { .agent = "tester/1", .connect_ms = TIMEOUT_MS };

    arena = pki_arena_new(0);
    cr_assert_eq(http_client_new(&conf, &client, &err), PKI_OK);
}

static void
teardown(void)
{
    http_client_free(client);
    pki_arena_free(arena);
}

TestSuite(http_client, .init = setup, .fini = teardown, .timeout = 20);

static void *
peer_run(void *data)
{
    peer_t *peer = data;
    int     fd = accept(peer->fd, NULL, NULL);
    size_t  n = 0;
    ssize_t got;

    while (n < sizeof(peer->heard) - 1 && (got = read(fd, peer->heard + n, sizeof(peer->heard) - 1 - n)) > 0) {
        n += (size_t) got;
        /* A body of these tests ends in a dot. */
        if (strstr(peer->heard, "\r\n\r\n") != NULL && (strstr(peer->heard, "Content-Length: ") == NULL || peer->heard[n - 1] == '.')) {
            break;
        }
    }
    cr_expect_eq(write(fd, peer->says, strlen(peer->says)), (ssize_t) strlen(peer->says));
    if (peer->stays) {
        usleep(3 * TIMEOUT_MS * 1000);
    }
    close(fd);
    return NULL;
}

static pki_code_t
ask(peer_t *peer, http_request_t *r, const char *path)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t          len = sizeof(address);
    pthread_t          thread;
    pki_code_t         code;

    peer->fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(peer->fd, (struct sockaddr *) &address, sizeof(address)), 0);
    cr_assert_eq(listen(peer->fd, 4), 0);
    cr_assert_eq(getsockname(peer->fd, (struct sockaddr *) &address, &len), 0);
    peer->port = ntohs(address.sin_port);
    r->url = pki_printf(arena, "http://127.0.0.1:%d%s", peer->port, path);
    r->method = r->method != NULL ? r->method : "GET";
    r->max = r->max > 0 ? r->max : MAX;
    r->timeout_ms = TIMEOUT_MS;
    cr_assert_eq(pthread_create(&thread, NULL, peer_run, peer), 0);
    code = http_client_do(client, arena, r, &answer, &err);
    pthread_join(thread, NULL);
    close(peer->fd);
    return code;
}

Test(http_client, gives_status_headers_and_body)
{
    peer_t         peer = { .says = "HTTP/1.1 404 Not Found\r\nX-Thing:  a b \r\nContent-Length: 4\r\n\r\nfour" };
    http_request_t r = { 0 };

    cr_assert_eq(ask(&peer, &r, "/p?q=1"), PKI_OK, "%s", err.text);
    cr_expect_eq(answer.status, 404, "any status is an answer");
    cr_expect_str_eq(http_header(&answer, "x-thing"), "a b");
    cr_expect_null(http_header(&answer, "x-other"));
    cr_expect(bytes_eq(answer.body, BYTES_LIT("four")));
    cr_expect_eq(strncmp(peer.heard, "GET /p?q=1 HTTP/1.1\r\n", 21), 0, "%s", peer.heard);
    cr_expect_not_null(strstr(peer.heard, "User-Agent: tester/1\r\n"));
    cr_expect_null(strstr(peer.heard, "Content-Type"));
}

Test(http_client, sends_a_body_with_its_headers_and_a_credential)
{
    static const http_header_t headers[] = { { "Content-Type", "application/x" }, { "Authorization-X", "y" } };
    peer_t                     peer = { .says = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" };
    http_request_t             r = { .method = "PUT", .headers = headers, .header_count = 2, .body = BYTES_LIT("a body."),
                                     .user = "device", .password = "secret" };

    cr_assert_eq(ask(&peer, &r, "/"), PKI_OK, "%s", err.text);
    cr_expect_not_null(strstr(peer.heard, "PUT / HTTP/1.1\r\n"));
    cr_expect_not_null(strstr(peer.heard, "Content-Type: application/x\r\n"));
    cr_expect_not_null(strstr(peer.heard, "Authorization: Basic ZGV2aWNlOnNlY3JldA==\r\n"));
    cr_expect_not_null(strstr(peer.heard, "Content-Length: 7\r\n"));
    cr_expect_not_null(strstr(peer.heard, "\r\n\r\na body."));
    cr_expect_eq(answer.body.len, 0);
    cr_expect_not_null(answer.body.p, "an empty body is there");
}

Test(http_client, does_not_follow_anybody_elsewhere)
{
    peer_t         peer = { .says = "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n" };
    http_request_t r = { 0 };

    cr_assert_eq(ask(&peer, &r, "/"), PKI_OK, "%s", err.text);
    cr_expect_eq(answer.status, 302);
}

static pki_code_t
gather(void *arg, bytes_t piece, pki_err_t *e)
{
    pki_buf_t *out = arg;

    pki_buf_put(out, piece);
    return out->failed ? pki_fail(e, PKI_E_CONFLICT, NULL, "enough") : PKI_OK;
}

Test(http_client, gives_a_success_to_the_sink_and_a_refusal_to_the_caller)
{
    peer_t         peer = { .says = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour" };
    peer_t         other = { .says = "HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\nnono" };
    pki_buf_t      out;
    http_request_t r = { .sink = gather, .arg = &out };

    pki_buf_init(&out, arena, 16);
    cr_assert_eq(ask(&peer, &r, "/"), PKI_OK, "%s", err.text);
    cr_expect(bytes_eq(pki_buf_bytes(&out), BYTES_LIT("four")));
    cr_expect_null(answer.body.p);
    cr_assert_eq(ask(&other, &r, "/"), PKI_OK, "%s", err.text);
    cr_expect(bytes_eq(answer.body, BYTES_LIT("nono")));
    cr_expect_eq(out.len, 4);
}

Test(http_client, ends_when_the_sink_has_had_enough)
{
    peer_t         peer = { .says = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nfourfourfourfourfour" };
    pki_buf_t      out;
    http_request_t r = { .sink = gather, .arg = &out };

    pki_buf_init(&out, arena, 16);
    cr_expect_eq(ask(&peer, &r, "/"), PKI_E_CONFLICT, "what the sink says: %s", err.text);
}

Test(http_client, keeps_no_more_than_it_may)
{
    peer_t         peer = { .says = "HTTP/1.1 200 OK\r\nContent-Length: 65\r\n\r\n"
                                    "12345678901234567890123456789012345678901234567890123456789012345" };
    http_request_t r = { 0 };

    cr_expect_eq(ask(&peer, &r, "/"), PKI_E_TOO_LARGE, "%s", err.text);
}

Test(http_client, waits_no_longer_than_it_may)
{
    peer_t         peer = { .says = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfo", .stays = true };
    http_request_t r = { 0 };
    int64_t        began = clock_mono_us();

    cr_expect_eq(ask(&peer, &r, "/"), PKI_E_UNAVAILABLE, "%s", err.text);
    cr_expect_lt(clock_mono_us() - began, 6 * TIMEOUT_MS * 1000);
}

Test(http_client, names_the_place_and_no_secret_when_nobody_is_there)
{
    http_request_t r = { .method = "GET", .url = "http://who:hush@127.0.0.1:1/secret?token=hush", .user = "u", .password = "hush",
                         .max = MAX, .timeout_ms = TIMEOUT_MS };

    cr_expect_eq(http_client_do(client, arena, &r, &answer, &err), PKI_E_UNAVAILABLE);
    cr_expect_not_null(strstr(err.text, "http://127.0.0.1:1: "), "%s", err.text);
    cr_expect_null(strstr(err.text, "hush"), "%s", err.text);
}

Test(http_client, knows_http_and_nothing_else)
{
    http_request_t r = { .method = "GET", .url = "file:///etc/passwd", .max = MAX, .timeout_ms = TIMEOUT_MS };

    cr_expect_eq(http_client_do(client, arena, &r, &answer, &err), PKI_E_INVALID, "%s", err.text);
    r.url = "no url at all";
    cr_expect_eq(http_client_do(client, arena, &r, &answer, &err), PKI_E_INVALID, "%s", err.text);
}

Test(http_client, escapes_what_is_not_unreserved)
{
    cr_expect_str_eq(http_escape(arena, BYTES_LIT("aZ09-._~/ +%\xc3\xa9")), "aZ09-._~%2F%20%2B%25%C3%A9");
    cr_expect_str_eq(http_escape(arena, BYTES_LIT("")), "");
}
