/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Server-sent events: GET /api/v1/events stays open and tells what changes.  One thread reads the database, and only
 * while somebody listens; a listener holds a connection and some memory, and no thread.
 */
#ifndef ORCHESTRATOR_API_EVENTS_H
#define ORCHESTRATOR_API_EVENTS_H

#include "orchestrator/api/request.h"

typedef struct events events_t;

/* What the server does with a listener's connection; called with the events' lock held. */
typedef struct {
    void (*suspend)(void *connection);
    void (*resume)(void *connection);
    void (*drop)(void *connection); /* nothing more goes out */
} events_io_t;

pki_code_t events_open(api_t *api, const events_io_t *io, events_t **out, pki_err_t *err);
void       events_end(events_t *e);   /* every stream comes to its end, and no other begins; accepts NULL */
void       events_close(events_t *e); /* after that, and when no request is left; accepts NULL */

/* Listeners now, and those that were too slow. */
void events_count(events_t *e, size_t *listeners, uint64_t *dropped);

/* For the server's thread: octets of the stream; EVENTS_WAIT: it was suspended. */
#define EVENTS_WAIT 0
#define EVENTS_END  (-1)
#define EVENTS_LOST (-2) /* too slow, or not allowed any more */
ssize_t events_read(listener_t *l, char *out, size_t max);

/* The connection is gone; false: the request is still looked at, and is freed later. */
bool events_leave(listener_t *l);

#endif
