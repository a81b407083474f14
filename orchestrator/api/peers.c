/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * See peers.h.  A connection belongs to whoever takes: that thread alone reads from it, finds out that it has gone, and
 * forgets it.  All others write, one at a time and whole frames only, and the last that holds a connection closes it.
 */
#include "orchestrator/api/peers.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/api/listen.h"
#include "pkiproto/edge/frame.h"

#define PEERS_MAX        1024
#define PEERS_AT_ONCE    64
#define PEER_ROOM        (FRAME_HEAD + FRAME_ASK_MAX) /* pages that nothing reaches cost nothing */
#define PEER_SEND_ROOM   (1 << 20)                    /* as much of it as the system gives */
#define PEER_PATIENCE_US 1000000                      /* nginx always reads, unless it has stopped */
#define ACCEPT_PAUSE_US  10000

enum { PEERS_OPEN, PEERS_QUIET, PEERS_OVER };

struct peer {
    peer_t         *next, **at;
    peer_t         *ready_next;
    bool            ready;
    int             fd;
    atomic_uint     holders; /* whoever takes, as long as there may be more requests; each that is not answered yet */
    atomic_bool     broken;  /* nothing that is written arrives */
    pthread_mutex_t lock;    /* of writing */
    size_t          from, to; /* the octets that are not yet taken */
    uint8_t         in[];
};

/* ---- one connection ---- */

static peer_t *
peer_new(int fd)
{
    peer_t *c = malloc(sizeof(*c) + PEER_ROOM);

    if (c != NULL) {
        memset(c, 0, sizeof(*c));
        c->fd = fd;
        atomic_init(&c->holders, 1);
        pthread_mutex_init(&c->lock, NULL);
    }
    return c;
}

static void
peer_drop(peer_t *c, unsigned times)
{
    if (atomic_fetch_sub(&c->holders, times) != times) {
        return;
    }
    close(c->fd);
    pthread_mutex_destroy(&c->lock);
    OPENSSL_cleanse(c->in + c->from, c->to - c->from);
    free(c);
}

/* Whoever takes is told, too: there is nothing to read any more. */
static void
peer_break(peer_t *c)
{
    if (!atomic_exchange(&c->broken, true)) {
        (void) shutdown(c->fd, SHUT_RDWR);
    }
}

/* ---- answers ---- */

/* True when there is room for more. */
static bool
peer_room(const peer_t *c, int64_t until_us)
{
    struct pollfd  room = { .fd = c->fd, .events = POLLOUT };
    int64_t        left_us = until_us - clock_mono_us();
    int            n = left_us > 0 ? poll(&room, 1, (int) (left_us / 1000) + 1) : 0;

    return n > 0 || (n < 0 && errno == EINTR);
}

/* What is left of the parts after n octets. */
static void
parts_skip(struct msghdr *m, size_t n)
{
    while (m->msg_iovlen > 0 && n >= m->msg_iov->iov_len) {
        n -= m->msg_iov->iov_len;
        m->msg_iov++;
        m->msg_iovlen--;
    }
    if (m->msg_iovlen > 0) {
        m->msg_iov->iov_base = (uint8_t *) m->msg_iov->iov_base + n;
        m->msg_iov->iov_len -= n;
    }
}

static void
peer_send(peer_t *c, struct iovec *parts, size_t count)
{
    struct msghdr m = { .msg_iov = parts, .msg_iovlen = count };
    int64_t       until_us = 0;

    pthread_mutex_lock(&c->lock);
    while (m.msg_iovlen > 0 && !atomic_load(&c->broken)) {
        ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0) {
            parts_skip(&m, (size_t) n);
        } else if (errno == EAGAIN) {
            until_us = until_us != 0 ? until_us : clock_mono_us() + PEER_PATIENCE_US;
            if (!peer_room(c, until_us)) {
                log_warn("peers.stuck", LOG_S("text", "nginx reads no answers: its connection is closed"));
                peer_break(c);
            }
        } else if (errno != EINTR) {
            peer_break(c);
        }
    }
    pthread_mutex_unlock(&c->lock);
}

static bool
answers_put(peer_answers_t *with, peer_t *to, const struct iovec *parts, size_t count, size_t len)
{
    if (with->count == PEER_ANSWERS_MAX || len > sizeof(with->octets) - with->len) {
        peer_answers_send(with);
    }
    if (len > sizeof(with->octets)) {
        return false;
    }
    with->of[with->count].to = to;
    with->of[with->count].at = with->len;
    with->of[with->count++].len = len;
    for (size_t i = 0; i < count; i++) {
        memcpy(with->octets + with->len, parts[i].iov_base, parts[i].iov_len);
        with->len += parts[i].iov_len;
    }
    return true;
}

void
peer_answer(peer_t *to, uint32_t no, bytes_t head, bytes_t body, peer_answers_t *with)
{
    uint8_t      frame[FRAME_HEAD];
    struct iovec parts[3] = { { frame, sizeof(frame) } };
    size_t       count = 1;

    frame_head(frame, no, head.len + body.len);
    if (head.len > 0) {
        parts[count++] = (struct iovec){ (void *) head.p, head.len };
    }
    if (body.len > 0) {
        parts[count++] = (struct iovec){ (void *) body.p, body.len };
    }
    if (with == NULL || !answers_put(with, to, parts, count, sizeof(frame) + head.len + body.len)) {
        peer_send(to, parts, count);
        peer_drop(to, 1);
    }
}

/* All for the same connection as the ith; those that follow each other are one part. */
static void
answers_send(peer_answers_t *with, size_t i)
{
    struct iovec parts[PEER_ANSWERS_MAX];
    peer_t      *to = with->of[i].to;
    size_t       count = 0, end = 0;
    unsigned     answers = 0;

    for (; i < with->count; i++) {
        if (with->of[i].to != to) {
            continue;
        }
        if (count > 0 && with->of[i].at == end) {
            parts[count - 1].iov_len += with->of[i].len;
        } else {
            parts[count++] = (struct iovec){ with->octets + with->of[i].at, with->of[i].len };
        }
        end = with->of[i].at + with->of[i].len;
        with->of[i].to = NULL;
        answers++;
    }
    peer_send(to, parts, count);
    peer_drop(to, answers);
}

void
peer_answers_send(peer_answers_t *with)
{
    for (size_t i = 0; i < with->count; i++) {
        if (with->of[i].to != NULL) {
            answers_send(with, i);
        }
    }
    with->count = 0;
    with->len = 0;
}

/* ---- all connections, for whoever takes ---- */

static void
ready_put(peers_t *p, peer_t *c)
{
    if (!c->ready) {
        c->ready = true;
        c->ready_next = NULL;
        *p->ready_end = c;
        p->ready_end = &c->ready_next;
    }
}

static peer_t *
ready_take(peers_t *p)
{
    peer_t *c = p->ready;

    if (c != NULL) {
        c->ready = false;
        p->ready = c->ready_next;
        p->ready_end = p->ready != NULL ? p->ready_end : &p->ready;
    }
    return c;
}

/* Not ready.  There are no more requests of it; answers may still be on their way. */
static void
peer_forget(peers_t *p, peer_t *c)
{
    (void) epoll_ctl(p->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    *c->at = c->next;
    if (c->next != NULL) {
        c->next->at = c->at;
    }
    p->count--;
    peer_drop(c, 1);
}

static void
peer_lose(peers_t *p, peer_t *c)
{
    peer_break(c);
    peer_forget(p, c);
}

static void
peer_open(peers_t *p, int fd)
{
    int                room = PEER_SEND_ROOM;
    peer_t            *c = p->count < PEERS_MAX ? peer_new(fd) : NULL;
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = c };

    if (c == NULL) {
        close(fd);
        return;
    }
    c->next = p->first;
    c->at = &p->first;
    if (c->next != NULL) {
        c->next->at = &c->next;
    }
    p->first = c;
    p->count++;
    (void) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    if (epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        log_error("peers.epoll", LOG_S("text", strerror(errno)));
        peer_lose(p, c);
    }
}

static int
peer_accept(peers_t *p)
{
    int fd = p->fd != -1 ? accept4(p->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) : -1;

    if (fd == -1 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
        log_warn("peers.accept", LOG_S("text", strerror(errno)));
        usleep(ACCEPT_PAUSE_US); /* whoever waits is still there then */
    }
    return fd;
}

static void
peers_accept(peers_t *p)
{
    int fd;

    while ((fd = peer_accept(p)) >= 0) {
        peer_open(p, fd);
    }
}

/* What is there, behind the beginning of a request. */
static void
peer_read(peer_t *c)
{
    size_t  len = c->to - c->from;
    ssize_t n;

    if (c->from > 0) {
        memmove(c->in, c->in + c->from, len);
        OPENSSL_cleanse(c->in + len, c->to - len);
        c->from = 0;
        c->to = len;
    }
    n = recv(c->fd, c->in + len, PEER_ROOM - len, MSG_DONTWAIT);
    if (n > 0) {
        c->to += (size_t) n;
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        peer_break(c);
    }
}

/* Who has gone is not served with what is not taken yet: it comes again.  Nor is more read than is wanted. */
static void
peer_event(peers_t *p, peer_t *c, uint32_t events)
{
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        peer_break(c);
    } else if (!c->ready) {
        peer_read(c);
    }
    ready_put(p, c);
}

/* Its next requests, at most max. */
static size_t
peer_take(peers_t *p, peer_t *c, size_t max, peer_ask_pt fn, void *arg)
{
    bytes_t rest = bytes_of(c->in + c->from, c->to - c->from), next;
    size_t  count = 0;
    frame_t frame;
    int     status;

    while (!atomic_load(&c->broken) && count < max && frame_take(&rest, FRAME_ASK_MAX, &frame) == 1) {
        atomic_fetch_add(&c->holders, 1);
        fn(arg, c, frame.no, frame.octets);
        OPENSSL_cleanse(c->in + (frame.octets.p - c->in), frame.octets.len);
        count++;
    }
    c->from = rest.len > 0 ? c->to - rest.len : 0;
    c->to = c->from + rest.len;
    next = rest;
    status = frame_take(&next, FRAME_ASK_MAX, &frame);
    if (status < 0) {
        log_warn("peers.refused", LOG_S("text", "what came is no frame: the connection is closed"));
    }
    if (status < 0 || atomic_load(&c->broken)) {
        peer_lose(p, c);
    } else if (status > 0) {
        ready_put(p, c);
    } else if (atomic_load(&p->state) != PEERS_OPEN) {
        peer_forget(p, c);
    }
    return count;
}

/* What is here already is served yet. */
static void
peers_rest(peers_t *p)
{
    uint64_t woken;

    if (atomic_load(&p->state) == PEERS_QUIET) {
        (void) !read(p->wake, &woken, sizeof(woken)); /* once: others may still wait for what is here */
    }
    if (p->fd != -1) {
        close(p->fd);
        p->fd = -1;
    }
    for (peer_t *c = p->first; c != NULL; c = c->next) {
        ready_put(p, c);
    }
}

void
peers_take(peers_t *p, size_t max, peer_ask_pt fn, void *arg)
{
    struct epoll_event events[PEERS_AT_ONCE];
    int                n = epoll_wait(p->epoll, events, PEERS_AT_ONCE, p->ready != NULL ? 0 : -1);
    size_t             count = 0;
    bool               woken = false;
    peer_t            *c;

    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == &p->fd) {
            peers_accept(p);
        } else if (events[i].data.ptr == &p->wake) {
            woken = true;
        } else {
            peer_event(p, events[i].data.ptr, events[i].events);
        }
    }
    if (woken) {
        peers_rest(p);
    }
    while (count < max && (c = ready_take(p)) != NULL) {
        count += peer_take(p, c, max - count, fn, arg);
    }
}

/* ---- life ---- */

static pki_code_t
peers_watch(peers_t *p, int *fd, pki_err_t *err)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = fd };

    return epoll_ctl(p->epoll, EPOLL_CTL_ADD, *fd, &event) == 0
               ? PKI_OK
               : pki_fail(err, PKI_E_IO, NULL, "epoll: %s", strerror(errno));
}

pki_code_t
peers_open(peers_t *p, const char *path, const char *group, pki_err_t *err)
{
    *p = (peers_t){ .fd = -1, .epoll = -1, .wake = -1 };
    p->ready_end = &p->ready;
    PKI_TRY(socket_listen(path, group, &p->fd, err));
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->epoll == -1 || p->wake == -1) {
        return pki_fail(err, PKI_E_IO, NULL, "epoll: %s", strerror(errno));
    }
    PKI_TRY(peers_watch(p, &p->wake, err));
    return peers_watch(p, &p->fd, err);
}

static void
peers_wake(peers_t *p)
{
    uint64_t one = 1;

    while (p->wake != -1 && write(p->wake, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
}

void
peers_quiesce(peers_t *p)
{
    int open = PEERS_OPEN;

    if (atomic_compare_exchange_strong(&p->state, &open, PEERS_QUIET)) {
        peers_wake(p);
    }
}

void
peers_end(peers_t *p)
{
    atomic_store(&p->state, PEERS_OVER);
    peers_wake(p);
}

void
peers_close(peers_t *p)
{
    while (p->first != NULL) {
        peer_lose(p, p->first);
    }
    if (p->fd != -1) {
        close(p->fd);
    }
    if (p->epoll != -1) {
        close(p->epoll);
    }
    if (p->wake != -1) {
        close(p->wake);
    }
}
