/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * GET over a unix socket, from a peer that says what it is told to, in pieces, and then closes or is silent.
 */
#include "core/http.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/clock.h"

#define TIMEOUT_MS 300
#define MAX        64

static pki_arena_t *arena;
static pki_err_t    err;
static char         folder[] = "/tmp/chancery-http.XXXXXX";
static char         path[64];

typedef struct {
    int         fd;
    const char *says;
    bool        stays;
    char        heard[256];
} peer_t;

static void
setup(void)
{
    arena = pki_arena_new(0);
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
}

static void
teardown(void)
{
    unlink(path);
    rmdir(folder);
    pki_arena_free(arena);
}

TestSuite(http, .init = setup, .fini = teardown, .timeout = 20);

static int
listening(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int                fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    cr_assert_eq(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
    cr_assert_eq(listen(fd, 4), 0);
    return fd;
}

static void *
peer_run(void *data)
{
    peer_t *peer = data;
    int     fd = accept(peer->fd, NULL, NULL);
    size_t  len = strlen(peer->says);

    if (read(fd, peer->heard, sizeof(peer->heard) - 1) > 0) {
        for (size_t i = 0; i < len; i += 7) {
            if (write(fd, peer->says + i, len - i < 7 ? len - i : 7) < 0) {
                break;
            }
        }
    }
    if (peer->stays) {
        usleep(2 * TIMEOUT_MS * 1000);
    }
    close(fd);
    return NULL;
}

static pki_code_t
ask(peer_t *peer, bytes_t *body)
{
    pthread_t  thread;
    pki_code_t code;

    peer->fd = listening();
    cr_assert_eq(pthread_create(&thread, NULL, peer_run, peer), 0);
    code = http_unix_get(arena, path, "/figures", TIMEOUT_MS, MAX, body, &err);
    pthread_join(thread, NULL);
    close(peer->fd);
    return code;
}

Test(http, gives_the_body_and_asks_for_the_path)
{
    peer_t  peer = { .says = "HTTP/1.1 200 OK\r\nX: y\r\ncontent-length: 9\r\nConnection: close\r\n\r\none\r\n\r\nto" };
    bytes_t body;

    cr_assert_eq(ask(&peer, &body), PKI_OK, "%s", err.text);
    cr_expect(bytes_eq(body, BYTES_LIT("one\r\n\r\nto")));
    cr_expect_eq(strncmp(peer.heard, "GET /figures HTTP/1.0\r\n", 23), 0, "%s", peer.heard);
    cr_expect_not_null(strstr(peer.heard, "\r\n\r\n"));
}

Test(http, takes_the_end_of_the_connection_for_the_end_of_a_body_without_a_length)
{
    peer_t  peer = { .says = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nContent-Length: 1" };
    bytes_t body;

    cr_assert_eq(ask(&peer, &body), PKI_OK, "%s", err.text);
    cr_expect(bytes_eq(body, BYTES_LIT("Content-Length: 1")));
}

typedef struct {
    const char *name;
    char        says[256];
    bool        stays;
    pki_code_t  code;
} bad_case_t;

ParameterizedTestParameters(http, says_what_was_wrong)
{
    static bad_case_t cases[] = {
        { "another status", "HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx", false, PKI_E_UNAVAILABLE },
        { "a body that is cut", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfour", false, PKI_E_PARSE },
        { "a body that is too long for its length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nfour", false, PKI_E_PARSE },
        { "a length without end", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999\r\n\r\nx", false,
          PKI_E_PARSE },
        { "a head that is cut", "HTTP/1.1 200 OK\r\nContent-Le", false, PKI_E_PARSE },
        { "nothing", "", false, PKI_E_PARSE },
        { "another protocol", "SSH-2.0-somebody\r\n\r\nxxxxxxxxxxxxxxx", false, PKI_E_PARSE },
        { "more than may be",
          "HTTP/1.0 200 OK\r\n\r\n"
          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
          false, PKI_E_TOO_LARGE },
        { "somebody who does not end", "HTTP/1.0 200 OK\r\n\r\nx", true, PKI_E_UNAVAILABLE },
    };

    return cr_make_param_array(bad_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(bad_case_t *c, http, says_what_was_wrong)
{
    peer_t  peer = { .says = c->says, .stays = c->stays };
    int64_t began = clock_mono_us();
    bytes_t body;

    cr_expect_eq(ask(&peer, &body), c->code, "%s: %d, %s", c->name, err.code, err.text);
    cr_expect_lt(clock_mono_us() - began, 4 * TIMEOUT_MS * 1000);
}

Test(http, knows_when_nobody_is_there)
{
    bytes_t body;

    cr_expect_eq(http_unix_get(arena, path, "/", TIMEOUT_MS, MAX, &body, &err), PKI_E_UNAVAILABLE);
    close(listening());
    cr_expect_eq(http_unix_get(arena, path, "/", TIMEOUT_MS, MAX, &body, &err), PKI_E_UNAVAILABLE, "left behind");
}

Test(http, refuses_a_path_that_is_no_socket_s)
{
    char    name[256];
    bytes_t body;

    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    cr_expect_eq(http_unix_get(arena, name, "/", TIMEOUT_MS, MAX, &body, &err), PKI_E_INVALID);
}
