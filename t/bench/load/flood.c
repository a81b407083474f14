/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Requests that nobody should have to work for: serials that were never issued, garbage, and too much of it.
 */
#include <stdio.h>
#include <string.h>

#include "t/bench/load/load.h"

#define GARBAGE_MAX 300
#define OVERSIZE    20000

static size_t
post_head(const load_url_t *u, size_t body_len, char *out)
{
    return (size_t) snprintf(out, LOAD_OUT_MAX,
                             "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/ocsp-request\r\n"
                             "Content-Length: %zu\r\n\r\n",
                             u->path, u->host, body_len);
}

/* By POST any octets, by GET letters that could be base64. */
static size_t
garbage_write(const load_url_t *u, uint64_t *random, char *out)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t            size = 1 + load_random(random) % GARBAGE_MAX, n;
    uint8_t           garbage[GARBAGE_MAX];

    load_random_fill(random, garbage, size);
    if (load_random(random) & 1) {
        n = post_head(u, size, out);
        memcpy(out + n, garbage, size);
        return n + size;
    }
    for (size_t i = 0; i < size; i++) {
        garbage[i] = (uint8_t) letters[garbage[i] & 63];
    }
    return (size_t) snprintf(out, LOAD_OUT_MAX, "GET %s/%.*s HTTP/1.1\r\nHost: %s\r\n\r\n", u->path, (int) size,
                             (const char *) garbage, u->host);
}

static size_t
oversize_write(const load_url_t *u, char *out)
{
    size_t n = post_head(u, OVERSIZE, out);

    memset(out + n, 0x30, OVERSIZE);
    return n + OVERSIZE;
}

/* edge_fill's serials begin with 0x40. */
static size_t
unissued_write(const load_template_t *t, uint64_t *random, char *out)
{
    uint8_t serial[LOAD_SERIAL_MAX], nonce[LOAD_NONCE_MAX];

    load_random_fill(random, serial, t->serial_len);
    load_random_fill(random, nonce, t->nonce_len);
    serial[0] = 0x45;
    return load_template_write(t, serial, nonce, "", out);
}

size_t
load_flood_write(load_flood_t kind, const load_template_t *t, const load_url_t *u, uint64_t *random, char *out)
{
    if (kind == FLOOD_MIX) {
        kind = FLOOD_RANDOM + (load_flood_t) (load_random(random) % 3);
    }
    switch (kind) {
    case FLOOD_GARBAGE:
        return garbage_write(u, random, out);
    case FLOOD_OVERSIZE:
        return oversize_write(u, out);
    default:
        return unissued_write(t, random, out);
    }
}
