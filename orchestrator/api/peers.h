/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Connections of nginx to a unix socket, with one request at a time on each.  A connection is armed for one event at a
 * time and belongs to the thread that got it until that arms it again.
 */
#ifndef ORCHESTRATOR_API_PEERS_H
#define ORCHESTRATOR_API_PEERS_H

#include <pthread.h>
#include <stdint.h>

#include "orchestrator/api/head.h"
#include "pkiproto/base/err.h"

typedef struct peer {
    struct peer *next, **at;
    int          fd;
    uint8_t     *in; /* cleansed behind each request */
    size_t       len, cap;
    head_t       head;
} peer_t;

typedef struct {
    int             fd, epoll, wake; /* fd: -1 when it does not listen any more */
    pthread_mutex_t lock;            /* fd, first, count */
    peer_t         *first;
    size_t          count;
} peers_t;

/* Called with what has come so far: as head_parse() answers. */
typedef int (*peer_parse_pt)(bytes_t in, head_t *out, void *arg);

/* To be closed also after a failure, once no thread takes any more: wake ends a wait for good. */
pki_code_t peers_open(peers_t *p, const char *path, const char *group, pki_err_t *err);
void       peers_quiesce(peers_t *p); /* accept no more */
void       peers_wake(peers_t *p);
void       peers_close(peers_t *p);

/* Waits for something to happen; connections of which there is something to read, *gone that are not to be read. */
size_t peers_take(peers_t *p, peer_t **out, bool *gone, size_t max);

/* What is there, up to the end of one request.  The status of parse, -1 at the end. */
int peer_read(peer_t *c, peer_parse_pt parse, void *arg);

void peer_wait(peers_t *p, peer_t *c); /* for the rest of a request */
void peer_close(peers_t *p, peer_t *c);

/* Answer and give the connection back, or end it. */
void peer_answer(peers_t *p, peer_t *c, bytes_t head, bytes_t body, bool close_it);

#endif
