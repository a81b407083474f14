/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * See peers.h.
 */
#include "orchestrator/api/peers.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "core/log.h"
#include "orchestrator/api/listen.h"

#define PEERS_MAX       1024
#define PEERS_AT_ONCE   64
#define PEER_ROOM       4096 /* first room for a request */
#define ACCEPT_PAUSE_US 10000

void
peer_close(peers_t *p, peer_t *c)
{
    pthread_mutex_lock(&p->lock);
    *c->at = c->next;
    if (c->next != NULL) {
        c->next->at = c->at;
    }
    p->count--;
    pthread_mutex_unlock(&p->lock);
    close(c->fd);
    OPENSSL_cleanse(c->in, c->len);
    free(c->in);
    free(c);
}

/* Give it back: any thread may get its next event from here on. */
static void
peer_arm(peers_t *p, peer_t *c, int op)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, .data.ptr = c };

    if (epoll_ctl(p->epoll, op, c->fd, &event) != 0) {
        log_error("peers.epoll", LOG_S("text", strerror(errno)));
        peer_close(p, c);
    }
}

static void
peer_open(peers_t *p, int fd)
{
    peer_t *c = calloc(1, sizeof(*c));
    bool    full = false;

    if (c == NULL || (c->in = malloc(PEER_ROOM)) == NULL) {
        free(c);
        close(fd);
        return;
    }
    c->fd = fd;
    c->cap = PEER_ROOM;
    pthread_mutex_lock(&p->lock);
    full = p->count >= PEERS_MAX;
    c->next = p->first;
    c->at = &p->first;
    if (c->next != NULL) {
        c->next->at = &c->next;
    }
    p->first = c;
    p->count++;
    pthread_mutex_unlock(&p->lock);
    if (full) {
        peer_close(p, c);
        return;
    }
    peer_arm(p, c, EPOLL_CTL_ADD);
}

static int
peer_accept(peers_t *p)
{
    int fd = -1;

    errno = EAGAIN;
    pthread_mutex_lock(&p->lock);
    if (p->fd != -1) {
        fd = accept4(p->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    pthread_mutex_unlock(&p->lock);
    if (fd == -1 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
        log_warn("peers.accept", LOG_S("text", strerror(errno)));
        usleep(ACCEPT_PAUSE_US); /* whoever waits is still there then */
    }
    return fd;
}

static bool
peer_grow(peer_t *c)
{
    size_t   want = c->head.len + c->head.body_len;
    size_t   cap = want > c->cap ? want : c->cap * 2;
    uint8_t *p = malloc(cap);

    if (p == NULL) {
        return false;
    }
    memcpy(p, c->in, c->len);
    OPENSSL_cleanse(c->in, c->len);
    free(c->in);
    c->in = p;
    c->cap = cap;
    return true;
}

int
peer_read(peer_t *c, peer_parse_pt parse, void *arg)
{
    for (;;) {
        int     status;
        ssize_t n;

        if (c->len == c->cap && !peer_grow(c)) {
            return -1;
        }
        n = recv(c->fd, c->in + c->len, c->cap - c->len, MSG_DONTWAIT);
        if (n <= 0) {
            return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
        }
        c->len += (size_t) n;
        status = parse(bytes_of(c->in, c->len), &c->head, arg);
        if (status != 0 && (status != 200 || c->len >= c->head.len + c->head.body_len)) {
            return status;
        }
    }
}

void
peer_wait(peers_t *p, peer_t *c)
{
    peer_arm(p, c, EPOLL_CTL_MOD);
}

/* All at once: the socket is empty, since nginx waits for this answer alone. */
static bool
peer_send(const peer_t *c, bytes_t head, bytes_t body)
{
    struct iovec  parts[] = { { (void *) head.p, head.len }, { (void *) body.p, body.len } };
    struct msghdr m = { .msg_iov = parts, .msg_iovlen = body.len > 0 ? 2 : 1 };
    ssize_t       n;

    do {
        n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t) (head.len + body.len);
}

void
peer_answer(peers_t *p, peer_t *c, bytes_t head, bytes_t body, bool close_it)
{
    bool sent = peer_send(c, head, body);

    if (!sent || close_it || c->len != c->head.len + c->head.body_len) {
        peer_close(p, c);
        return;
    }
    OPENSSL_cleanse(c->in, c->len);
    c->len = 0;
    peer_arm(p, c, EPOLL_CTL_MOD);
}

static void
peers_accept(peers_t *p)
{
    int fd;

    while ((fd = peer_accept(p)) >= 0) {
        peer_open(p, fd);
    }
}

size_t
peers_take(peers_t *p, peer_t **out, bool *gone, size_t max)
{
    struct epoll_event events[PEERS_AT_ONCE];
    int                n = epoll_wait(p->epoll, events, (int) (max < PEERS_AT_ONCE ? max : PEERS_AT_ONCE), -1);
    size_t             count = 0;

    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == &p->fd) {
            peers_accept(p);
        } else if (events[i].data.ptr != &p->wake) {
            gone[count] = (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
            out[count++] = events[i].data.ptr;
        }
    }
    return count;
}

/* ---- life ---- */

static pki_code_t
peers_watch(peers_t *p, int *fd, uint32_t events, pki_err_t *err)
{
    struct epoll_event event = { .events = events, .data.ptr = fd };

    return epoll_ctl(p->epoll, EPOLL_CTL_ADD, *fd, &event) == 0
               ? PKI_OK
               : pki_fail(err, PKI_E_IO, NULL, "epoll: %s", strerror(errno));
}

pki_code_t
peers_open(peers_t *p, const char *path, const char *group, pki_err_t *err)
{
    *p = (peers_t){ .fd = -1, .epoll = -1, .wake = -1 };
    pthread_mutex_init(&p->lock, NULL);
    PKI_TRY(socket_listen(path, group, &p->fd, err));
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->epoll == -1 || p->wake == -1) {
        return pki_fail(err, PKI_E_IO, NULL, "epoll: %s", strerror(errno));
    }
    PKI_TRY(peers_watch(p, &p->wake, EPOLLIN, err));
    return peers_watch(p, &p->fd, EPOLLIN | EPOLLEXCLUSIVE, err);
}

void
peers_quiesce(peers_t *p)
{
    pthread_mutex_lock(&p->lock);
    if (p->fd != -1) {
        close(p->fd);
        p->fd = -1;
    }
    pthread_mutex_unlock(&p->lock);
}

void
peers_wake(peers_t *p)
{
    uint64_t one = 1;

    while (p->wake != -1 && write(p->wake, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
}

void
peers_close(peers_t *p)
{
    peers_quiesce(p);
    while (p->first != NULL) {
        peer_close(p, p->first);
    }
    if (p->epoll != -1) {
        close(p->epoll);
    }
    if (p->wake != -1) {
        close(p->wake);
    }
    pthread_mutex_destroy(&p->lock);
}
