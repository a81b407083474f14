/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Request heads (see head.h): strict, since two readers that differ about where a body ends are how requests are
 * smuggled.  A body has a Content-Length, and no coding.
 */
#include "orchestrator/api/head.h"

#include <strings.h>

#define LENGTH_DIGITS 9

/* The text before `end`, which is taken along; false when there is none. */
static bool
take_until(bytes_t *in, const char *end, bytes_t *out)
{
    size_t         len = strlen(end);
    const uint8_t *at = memmem(in->p, in->len, end, len);

    if (at == NULL) {
        return false;
    }
    *out = bytes_of(in->p, (size_t) (at - in->p));
    in->p = at + len;
    in->len -= out->len + len;
    return true;
}

static bool
is_name(bytes_t in, const char *name)
{
    return in.len == strlen(name) && strncasecmp((const char *) in.p, name, in.len) == 0;
}

static bytes_t
trim(bytes_t in)
{
    while (in.len > 0 && (in.p[0] == ' ' || in.p[0] == '\t')) {
        in = bytes_of(in.p + 1, in.len - 1);
    }
    while (in.len > 0 && (in.p[in.len - 1] == ' ' || in.p[in.len - 1] == '\t')) {
        in.len--;
    }
    return in;
}

/* What the lines have said. */
typedef struct {
    head_t *head;
    size_t  body_max;
    bool    has_length;
} reading_t;

static int
length_read(reading_t *r, bytes_t value)
{
    size_t n = 0;

    if (r->has_length || value.len == 0) {
        return 400;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.p[i] < '0' || value.p[i] > '9') {
            return 400;
        }
        n = i < LENGTH_DIGITS ? n * 10 + (size_t) (value.p[i] - '0') : SIZE_MAX;
    }
    r->has_length = true;
    r->head->body_len = n;
    return n <= r->body_max ? 200 : 413;
}

static int
coding_read(reading_t *r, bytes_t value)
{
    (void) r;
    (void) value;
    return 501;
}

static int
connection_read(reading_t *r, bytes_t value)
{
    r->head->close = r->head->close || is_name(value, "close");
    return 200;
}

static const struct {
    const char *name;
    int       (*read)(reading_t *r, bytes_t value);
} headers[] = {
    { "Content-Length", length_read },
    { "Transfer-Encoding", coding_read },
    { "Connection", connection_read },
};

/* RFC 9112 5.1: no space before the colon; 5.2: no line that continues another. */
static int
header_split(bytes_t line, bytes_t *name, bytes_t *value)
{
    if (!take_until(&line, ":", name) || name->len == 0 || memchr(name->p, ' ', name->len) != NULL
        || memchr(name->p, '\t', name->len) != NULL)
    {
        return 400;
    }
    *value = trim(line);
    return 200;
}

static int
header_read(reading_t *r, bytes_t name, bytes_t value)
{
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        if (is_name(name, headers[i].name)) {
            return headers[i].read(r, value);
        }
    }
    return 200;
}

static int
request_line_read(bytes_t line, bytes_t *method, bytes_t *uri)
{
    if (!take_until(&line, " ", method) || !take_until(&line, " ", uri)) {
        return 400;
    }
    return bytes_eq(line, BYTES_LIT("HTTP/1.1")) ? 200 : 505;
}

/* The lines of a whole head, each with its end; 0: it is not whole. */
static int
head_take(bytes_t in, size_t max, bytes_t *lines, head_t *out)
{
    bytes_t rest = in;

    *out = (head_t){ 0 };
    if (!take_until(&rest, "\r\n\r\n", lines)) {
        return in.len > max ? 431 : 0;
    }
    out->len = lines->len + 4;
    if (out->len > max) {
        return 431;
    }
    lines->len += 2;
    return memchr(lines->p, 0, lines->len) != NULL ? 400 : 200;
}

int
head_parse(bytes_t in, const char *target, size_t body_max, head_t *out)
{
    reading_t r = { .head = out, .body_max = body_max };
    bytes_t   lines, line, method, uri, name, value;
    int       status = head_take(in, HEAD_MAX, &lines, out);

    if (status == 200) {
        status = take_until(&lines, "\r\n", &line) ? request_line_read(line, &method, &uri) : 400;
    }
    if (status != 200) {
        return status;
    }
    if (!bytes_eq(uri, bytes_str(target))) {
        return 404;
    }
    status = bytes_eq(method, BYTES_LIT("POST")) ? 200 : 405;
    while (status == 200 && take_until(&lines, "\r\n", &line)) {
        status = header_split(line, &name, &value);
        status = status == 200 ? header_read(&r, name, value) : status;
    }
    return status != 200 || r.has_length ? status : 411;
}

int
head_get_parse(bytes_t in, head_get_t *get, head_t *out)
{
    reading_t r = { .head = out };
    bytes_t   lines, line, method;
    int       status = head_take(in, HEAD_GET_MAX, &lines, out);

    get->count = 0;
    if (status == 200) {
        status = take_until(&lines, "\r\n", &line) ? request_line_read(line, &method, &get->target) : 400;
    }
    if (status == 200) {
        status = bytes_eq(method, BYTES_LIT("GET")) ? 200 : 405;
    }
    while (status == 200 && take_until(&lines, "\r\n", &line)) {
        head_field_t *field = &get->fields[get->count];

        status = get->count < HEAD_FIELDS ? header_split(line, &field->name, &field->value) : 431;
        if (status == 200) {
            status = header_read(&r, field->name, field->value);
            get->count++;
        }
    }
    return status;
}

bytes_t
head_field(const head_get_t *get, const char *name)
{
    for (size_t i = 0; i < get->count; i++) {
        if (is_name(get->fields[i].name, name)) {
            return get->fields[i].value;
        }
    }
    return BYTES_NONE;
}
