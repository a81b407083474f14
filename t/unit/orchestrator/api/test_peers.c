/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Connections with many requests in flight: nothing lost, nothing torn, and nobody is harmed by another.
 */
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "orchestrator/api/peers.h"
#include "pkiproto/edge/frame.h"

#define ASKS_MAX 512

typedef struct {
    peer_t  *from;
    uint32_t no;
    size_t   len;
    uint8_t  octets[64]; /* the first ones */
} ask_t;

static peers_t        peers;
static char           path[64];
static ask_t          asks[ASKS_MAX]; /* taken, and not yet answered */
static size_t         ask_count;
static const uint8_t *last; /* of the ask before, in the connection's room */
static size_t         last_len;
static peer_answers_t together;

static void
setup(void)
{
    pki_err_t err = { .text = "" };

    snprintf(path, sizeof(path), "/tmp/chancery-peers-%d", (int) getpid());
    cr_assert_eq(peers_open(&peers, path, NULL, &err), PKI_OK, "%s", err.text);
}

static void
teardown(void)
{
    peers_close(&peers);
    unlink(path);
}

TestSuite(peers, .init = setup, .fini = teardown);

/* ---- nginx' end ---- */

static int
dial(void)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int                fd = socket(AF_UNIX, SOCK_STREAM, 0);

    memcpy(addr.sun_path, path, sizeof(path));
    return connect(fd, (struct sockaddr *) &addr, sizeof(addr)) == 0 ? fd : -1;
}

static size_t
frame_make(uint8_t *out, uint32_t no, const void *octets, size_t len)
{
    frame_head(out, no, len);
    memcpy(out + FRAME_HEAD, octets, len);
    return FRAME_HEAD + len;
}

static void
send_all(int fd, const void *octets, size_t len)
{
    cr_assert_eq(send(fd, octets, len, MSG_NOSIGNAL), (ssize_t) len);
}

/* `count` frames in one write; the octets of each are its number. */
static void
ask(int fd, uint32_t first, uint32_t count)
{
    static uint8_t room[ASKS_MAX * (FRAME_HEAD + 4)];
    size_t         len = 0;

    for (uint32_t no = first; no < first + count; no++) {
        len += frame_make(room + len, no, &no, sizeof(no));
    }
    send_all(fd, room, len);
}

/* The number of the next answer, whose octets must be that number; -1 at the end. */
static int64_t
answer_read(int fd)
{
    uint8_t  head[FRAME_HEAD];
    uint32_t got = 0;
    bytes_t  in = BYTES_ARR(head);
    frame_t  f;

    if (recv(fd, head, sizeof(head), MSG_WAITALL) != sizeof(head)) {
        return -1;
    }
    cr_assert_eq(frame_take(&in, FRAME_ANSWER_MAX, &f), 0);
    cr_assert_eq(head[3], sizeof(got));
    cr_assert_eq(recv(fd, &got, sizeof(got), MSG_WAITALL), sizeof(got));
    cr_expect_eq((uint32_t) (head[4] << 24 | head[5] << 16 | head[6] << 8 | head[7]), got);
    return got;
}

static bool
is_over(int fd)
{
    uint8_t octet;

    return recv(fd, &octet, 1, 0) <= 0;
}

/* ---- the orchestrator's end ---- */

static void
take(void *arg, peer_t *from, uint32_t no, bytes_t octets)
{
    ask_t *a = &asks[ask_count++];

    (void) arg;
    for (size_t i = 0; i < last_len; i++) {
        cr_expect_eq(last[i], 0, "of what was taken nothing is left");
    }
    last = octets.p;
    last_len = octets.len;
    *a = (ask_t){ .from = from, .no = no, .len = octets.len };
    memcpy(a->octets, octets.p, octets.len < sizeof(a->octets) ? octets.len : sizeof(a->octets));
}

static size_t
taken(size_t max)
{
    size_t before = ask_count;

    last_len = 0;
    peers_take(&peers, max, take, NULL);
    return ask_count - before;
}

/* Until there are as many. */
static void
take_until(size_t count)
{
    while (ask_count < count) {
        (void) taken(count - ask_count);
    }
}

static void
answer(const ask_t *a, peer_answers_t *with)
{
    peer_answer(a->from, a->no, bytes_of(a->octets, 1), bytes_of(a->octets + 1, a->len - 1), with);
}

static void
answer_all(void)
{
    while (ask_count > 0) {
        answer(&asks[--ask_count], &together); /* the last one first */
    }
    peer_answers_send(&together);
}

Test(peers, many_requests_in_one_write_are_taken_and_answered_together)
{
    int fd = dial();

    ask(fd, 1, 50);
    take_until(1);
    cr_expect_eq(ask_count, 1);
    cr_expect_eq(taken(64), 49, "all that has come");
    for (uint32_t i = 0; i < 50; i++) {
        cr_expect_eq(asks[i].no, i + 1);
    }
    answer_all();
    for (int64_t no = 50; no > 0; no--) {
        cr_assert_eq(answer_read(fd), no);
    }
    close(fd);
}

Test(peers, no_more_are_taken_than_are_wanted_and_the_rest_is_not_forgotten)
{
    int      fd[2] = { dial(), dial() };
    uint32_t seen[2] = { 0, 0 };

    ask(fd[0], 0, 100);
    ask(fd[1], 1000, 100);
    take_until(10);
    cr_assert_eq(ask_count, 10);
    for (size_t turns = 0; ask_count < 200; turns++) {
        size_t n = taken(64);

        cr_assert_gt(n, 0, "nobody waits for what is here");
        cr_assert_leq(n, 64);
        cr_assert_lt(turns, 10);
    }
    for (size_t i = 0; i < 200; i++) {
        size_t of = asks[i].no >= 1000;

        cr_expect_eq(asks[i].no, of * 1000 + seen[of]++, "in the order of its connection");
    }
    answer_all();
    cr_expect_eq(answer_read(fd[0]), 99);
    cr_expect_eq(answer_read(fd[1]), 1099);
}

Test(peers, a_request_may_come_in_pieces)
{
    static uint8_t room[FRAME_HEAD + FRAME_ASK_MAX], body[FRAME_ASK_MAX];
    int            fd = dial();
    size_t         len;

    memset(body, 'x', sizeof(body));
    len = frame_make(room, 7, body, sizeof(body));
    ask(fd, 1, 1);
    for (size_t at = 0; at < len;) {
        size_t n = at < 20 ? 1 : len - at < 30000 ? len - at : 30000;

        send_all(fd, room + at, n);
        at += n;
        (void) taken(8);
    }
    take_until(2);
    cr_expect_eq(asks[1].no, 7);
    cr_expect_eq(asks[1].len, FRAME_ASK_MAX, "the largest");
    cr_expect_eq(asks[1].octets[63], 'x');
    answer(&asks[0], NULL);
    peer_answer(asks[1].from, 7, BYTES_NONE, BYTES_NONE, NULL);
    cr_expect_eq(answer_read(fd), 1);
    cr_assert_eq(recv(fd, room, FRAME_HEAD, MSG_WAITALL), FRAME_HEAD);
    cr_expect_arr_eq(room, ((uint8_t[]){ 0, 0, 0, 0, 0, 0, 0, 7 }), FRAME_HEAD, "an answer without octets");
}

Test(peers, what_is_no_frame_ends_its_connection_and_no_other)
{
    int good = dial(), bad = dial();

    ask(bad, 1, 1);
    take_until(1);
    send_all(bad, "GET / HTTP/1.1\r\n\r\n", 18);
    cr_expect_eq(taken(8), 0);
    cr_expect(is_over(bad));
    answer_all(); /* to nobody */
    ask(good, 2, 1);
    take_until(1);
    answer_all();
    cr_expect_eq(answer_read(good), 2);
}

Test(peers, who_has_gone_is_asked_for_no_more_and_told_nothing)
{
    int gone = dial(), here = dial();

    ask(gone, 1, 300);
    take_until(10);
    close(gone);
    ask(here, 1000, 1);
    while (asks[ask_count - 1].no != 1000) {
        cr_expect_leq(taken(1), 1);
        cr_assert_lt(ask_count, 300, "what was not taken is not served");
    }
    answer_all();
    cr_expect_eq(answer_read(here), 1000);
    cr_expect_eq(peers.count, 1);
}

/* ---- several threads ---- */

#define WRITERS 4
#define EACH    100

static void *
writer(void *arg)
{
    size_t first = (size_t) (uintptr_t) arg;

    for (size_t i = first; i < WRITERS * EACH; i += WRITERS) {
        answer(&asks[i], NULL);
    }
    return NULL;
}

Test(peers, answers_of_several_threads_are_whole)
{
    pthread_t threads[WRITERS];
    bool      seen[WRITERS * EACH] = { false };
    int       fd = dial();

    ask(fd, 0, WRITERS * EACH);
    take_until(WRITERS * EACH);
    for (size_t i = 0; i < WRITERS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, writer, (void *) (uintptr_t) i), 0);
    }
    for (size_t i = 0; i < WRITERS * EACH; i++) {
        int64_t no = answer_read(fd);

        cr_assert(no >= 0 && no < WRITERS * EACH);
        cr_expect(!seen[no], "%d once", (int) no);
        seen[no] = true;
    }
    for (size_t i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
    }
}

static uint8_t large[3u << 20];

static void *
reader(void *arg)
{
    size_t *got = arg;
    int     fd = (int) *got;
    ssize_t n;

    for (*got = 0; *got < sizeof(large) + FRAME_HEAD && (n = recv(fd, large, 5000, 0)) > 0; *got += (size_t) n) {
    }
    return NULL;
}

Test(peers, an_answer_waits_for_room)
{
    static uint8_t body[sizeof(large)];
    pthread_t      thread;
    int            fd = dial();
    size_t         got = (size_t) fd;

    ask(fd, 1, 1);
    take_until(1);
    cr_assert_eq(pthread_create(&thread, NULL, reader, &got), 0);
    peer_answer(asks[0].from, 1, BYTES_NONE, BYTES_ARR(body), &together); /* too large to go with others */
    cr_expect_eq(together.count, 0);
    pthread_join(thread, NULL);
    cr_expect_eq(got, sizeof(body) + FRAME_HEAD);
}

Test(peers, who_reads_nothing_is_given_up)
{
    static uint8_t body[sizeof(large)];
    int            fd = dial();

    ask(fd, 1, 2);
    take_until(2);
    peer_answer(asks[0].from, 1, BYTES_NONE, BYTES_ARR(body), NULL);
    answer(&asks[1], NULL);
    ask_count = 0;
    cr_expect_eq(taken(8), 0);
    cr_expect_eq(peers.count, 0);
}

/* ---- the end ---- */

Test(peers, when_it_gets_quiet_what_was_read_is_answered_and_connections_end_behind_it)
{
    int           busy = dial(), idle = dial(), half = dial();
    struct pollfd more = { .fd = busy, .events = POLLIN };

    ask(busy, 1, 20);
    ask(idle, 100, 1);
    ask(half, 200, 1);
    send_all(half, "\0\0\0\4", 4);
    while (ask_count < 12) {
        (void) taken(1);
    }
    while (peers.count < 3) {
        (void) taken(1);
    }
    peers_quiesce(&peers);
    peers_quiesce(&peers);
    for (int i = 0; i < 3; i++) {
        if (peers.count > 0) {
            (void) taken(64);
        }
    }
    cr_expect_eq(ask_count, 22, "not %zu", ask_count);
    cr_expect_eq(peers.count, 0);
    cr_expect_eq(poll(&more, 1, 0), 0, "it is open as long as there are answers to come");
    cr_expect_eq(dial(), -1, "nobody else comes in");
    answer_all();
    for (size_t i = 0; i < 20; i++) {
        cr_expect_geq(answer_read(busy), 0);
    }
    cr_expect_eq(answer_read(idle), 100);
    cr_expect_eq(answer_read(half), 200);
    cr_expect(is_over(busy));
    cr_expect(is_over(idle));
    cr_expect(is_over(half));
    peers_end(&peers);
    cr_expect_eq(taken(8), 0, "nobody waits any more");
    cr_expect_eq(taken(8), 0);
}
