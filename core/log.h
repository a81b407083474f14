/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The log: one event a line on stderr, JSON in service and logfmt on a terminal.
 *
 *     log_info("cert.issued", LOG_S("issuer", id), LOG_X("serial", serial), LOG_I("ms", ms));
 *
 * Event names are stable dotted words.  Never a key, token, password or challenge in any pair.
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include "pkiproto/base/bytes.h"
#include "pkiproto/base/err.h"

typedef enum { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR } log_level_t;

typedef struct {
    const char *name;
    char        type; /* s: string, i: integer, x: octets as hexadecimal, b: boolean */
    const char *s;
    int64_t     i;
    bytes_t     x;
} log_pair_t;

#define LOG_S(n, v) ((log_pair_t){ .name = (n), .type = 's', .s = (v) })
#define LOG_I(n, v) ((log_pair_t){ .name = (n), .type = 'i', .i = (int64_t) (v) })
#define LOG_B(n, v) ((log_pair_t){ .name = (n), .type = 'b', .i = (v) })
#define LOG_X(n, v) ((log_pair_t){ .name = (n), .type = 'x', .x = (v) })

/* Thread-safe; one write(2) a line, see log_gather(). */
void log_event(log_level_t level, const char *event, const log_pair_t *pairs, size_t count);

#define LOG_PAIRS_(...) ((const log_pair_t[]){ __VA_ARGS__ }), \
        (sizeof((const log_pair_t[]){ __VA_ARGS__ }) / sizeof(log_pair_t))
#define log_debug(event, ...) log_event(LOG_DEBUG, (event), LOG_PAIRS_(__VA_ARGS__))
#define log_info(event, ...)  log_event(LOG_INFO, (event), LOG_PAIRS_(__VA_ARGS__))
#define log_warn(event, ...)  log_event(LOG_WARN, (event), LOG_PAIRS_(__VA_ARGS__))
#define log_error(event, ...) log_event(LOG_ERROR, (event), LOG_PAIRS_(__VA_ARGS__))

/* An error record as pairs: code, text, clause, where. */
void log_failure(log_level_t level, const char *event, const pki_err_t *err);

bool log_level_parse(const char *name, log_level_t *out); /* "debug", "info", "warn", "error" */
void log_configure(log_level_t least, const char *process /* "orchestrator", "signer" */);

/*
 * Keep this thread's lines, but warnings and errors, in `room` until it is full or this is called again; NULL, 0 ends
 * that.  At most LOG_GATHER_MAX octets of room: more would not be one piece in a pipe.
 */
#define LOG_GATHER_MAX 4096
void log_gather(void *room, size_t cap);

/* The request id that this thread's events carry; NULL for none.  The text must outlive its use. */
void log_request_set(const char *request_id);

#endif
