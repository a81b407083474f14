/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Answers without an end that is known: they are made a piece at a time, when the one before has been taken.  One thread
 * makes the pieces of all; whoever reads slowly holds a connection and one piece, and no thread and no transaction.
 */
#ifndef ORCHESTRATOR_API_STREAM_H
#define ORCHESTRATOR_API_STREAM_H

#include "orchestrator/api/events.h"

typedef struct streams streams_t;

/* The next piece into *out; *last: none follows. */
typedef pki_code_t (*stream_make_pt)(void *arg, pki_arena_t *a, pki_buf_t *out, bool *last, pki_err_t *err);

pki_code_t streams_open(const events_io_t *io, streams_t **out, pki_err_t *err);
void       streams_end(streams_t *s);   /* what has not come to its end is cut off; accepts NULL */
void       streams_close(streams_t *s); /* after that, and when no request is left; accepts NULL */

/*
 * Of a handler: answer with a stream.  The first piece is made at once, so that what cannot begin is refused as any other
 * call; arg lives as long as the request.
 */
pki_code_t stream_answer(req_t *r, const char *content_type, stream_make_pt make, void *arg, pki_err_t *err);

/* For the server's thread, as events_read(). */
ssize_t stream_read(stream_t *s, char *out, size_t max);
void    stream_free(stream_t *s); /* accepts NULL */

#endif
