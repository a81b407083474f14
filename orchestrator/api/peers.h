/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Connections of nginx to a unix socket, with many requests in flight on each: frames (pkiproto/edge/frame.h).  One
 * thread at a time takes requests; answers come from any thread and in any order.
 */
#ifndef ORCHESTRATOR_API_PEERS_H
#define ORCHESTRATOR_API_PEERS_H

#include <stdatomic.h>

#include "pkiproto/base/bytes.h"
#include "pkiproto/base/err.h"

#define PEER_ANSWERS_MAX 64

typedef struct peer peer_t;

typedef struct {
    int        fd, epoll, wake; /* fd: -1 when it does not listen any more */
    atomic_int state;
    peer_t    *first;           /* all that may have more requests */
    size_t     count;
    peer_t    *ready, **ready_end; /* those that have octets to be looked at */
} peers_t;

/* To be closed also after a failure, once no thread takes any more, and all that was taken is answered. */
pki_code_t peers_open(peers_t *p, const char *path, const char *group, pki_err_t *err);
void       peers_quiesce(peers_t *p); /* no more connections and octets: each is closed behind its last answer */
void       peers_end(peers_t *p);     /* nobody waits in peers_take() from here on */
void       peers_close(peers_t *p);

/* One whole request.  Its octets are cleansed when this returns; the connection is kept until it is answered. */
typedef void (*peer_ask_pt)(void *arg, peer_t *from, uint32_t no, bytes_t octets);

/* Waits for something to happen, and hands on at most max requests. */
void peers_take(peers_t *p, size_t max, peer_ask_pt fn, void *arg);

/* Answers that one thread has for several connections, to go out in one write for each of these.  Nothing secret. */
typedef struct {
    size_t count, len;
    struct {
        peer_t *to;
        size_t  at, len;
    } of[PEER_ANSWERS_MAX];
    uint8_t octets[PEER_ANSWERS_MAX * 2048];
} peer_answers_t;

/*
 * Once for each request: a frame of head and body, at once or, when `with` is not NULL, with others.  Where nobody is any
 * more it goes nowhere.
 */
void peer_answer(peer_t *to, uint32_t no, bytes_t head, bytes_t body, peer_answers_t *with);
void peer_answers_send(peer_answers_t *with);

#endif
