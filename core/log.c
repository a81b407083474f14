/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The log.  A line is put together on the stack and written with one write(2), alone or behind those of the same
 * thread that were gathered, so that lines of threads and of processes that share stderr never mix.  What does not fit
 * a line is cut, never split.
 */
#include "core/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include <openssl/err.h>

#include "core/clock.h"
#include "pkiproto/base/buf.h"
#include "pkiproto/base/text.h"

#define LOG_LINE_MAX 8192
#define LOG_TAIL     16 /* room kept for the end of a cut line */

static const char *const level_names[] = { "debug", "info", "warn", "error" };

static _Atomic int              log_least = LOG_INFO;
static const char *_Atomic      log_process = "chanceryd";
static _Atomic int              log_pid; /* 0: not asked yet */
static _Thread_local const char *log_request_id;
static _Thread_local pki_buf_t   log_gathered; /* of log_gather(); without room: not gathering */

bool
log_level_parse(const char *name, log_level_t *out)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (log_level_t) i;
            return true;
        }
    }
    return false;
}

void
log_configure(log_level_t least, const char *process)
{
    atomic_store(&log_least, (int) least);
    atomic_store(&log_process, process);
    atomic_store(&log_pid, (int) getpid());
}

void
log_request_set(const char *request_id)
{
    log_request_id = request_id;
}

/* Octets of the UTF-8 sequence at p, or 0 when it is none (RFC 3629 section 4). */
static size_t
utf8_len(const uint8_t *p, size_t left)
{
    size_t   n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
                 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;

    if (n == 0 || n > left) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf0 && p[1] < 0x90)
        || (p[0] == 0xf4 && p[1] >= 0x90))
    {
        return 0;
    }
    return n;
}

/* Characters that go as they are. */
static size_t
plain_len(const uint8_t *p, size_t left)
{
    size_t n = 0;

    while (n < left && p[n] >= 0x20 && p[n] < 0x7f && p[n] != '"' && p[n] != '\\') {
        n++;
    }
    return n;
}

/* A quoted JSON string, which logfmt reads just as well.  Whatever is not UTF-8 becomes U+FFFD. */
static void
put_quoted(pki_buf_t *b, const char *s)
{
    size_t left = strlen(s), n;

    pki_buf_put_u8(b, '"');
    for (const uint8_t *p = (const uint8_t *) s; left > 0; p += n, left -= n) {
        n = plain_len(p, left);
        if (n > 0) {
            pki_buf_put(b, bytes_of(p, n));
            continue;
        }
        n = utf8_len(p, left);
        if (n == 0) {
            pki_buf_put(b, BYTES_LIT("\xef\xbf\xbd"));
            n = 1;
        } else if (*p < 0x20 || *p == 0x7f) {
            pki_buf_printf(b, "\\u%04x", *p);
        } else if (*p == '"' || *p == '\\') {
            pki_buf_put_u8(b, '\\');
            pki_buf_put_u8(b, *p);
        } else {
            pki_buf_put(b, bytes_of(p, n));
        }
    }
    pki_buf_put_u8(b, '"');
}

static bool
needs_quotes(const char *s)
{
    if (*s == '\0') {
        return true;
    }
    for (; *s != '\0'; s++) {
        if (*s <= ' ' || *s >= 0x7f || *s == '"' || *s == '=' || *s == '\\') {
            return true;
        }
    }
    return false;
}

static void
put_string(pki_buf_t *b, bool json, const char *s)
{
    if (json || needs_quotes(s)) {
        put_quoted(b, s);
    } else {
        pki_buf_put(b, bytes_str(s));
    }
}

static void
put_hex(pki_buf_t *b, bool json, bytes_t x)
{
    static const char digits[] = "0123456789abcdef";
    const char       *quote = json ? "\"" : "";

    pki_buf_put(b, bytes_str(quote));
    for (size_t i = 0; i < x.len; i++) {
        const char pair[] = { digits[x.p[i] >> 4], digits[x.p[i] & 15] };

        pki_buf_put(b, bytes_of(pair, sizeof(pair)));
    }
    pki_buf_put(b, bytes_str(quote));
}

static void
put_all(pki_buf_t *b, const char *const *texts)
{
    for (; *texts != NULL; texts++) {
        pki_buf_put(b, bytes_str(*texts));
    }
}

static void
put_pair(pki_buf_t *b, bool json, const log_pair_t *pair)
{
    put_all(b, (const char *[]){ json ? ",\"" : " ", pair->name, json ? "\":" : "=", NULL });
    switch (pair->type) {
    case 's':
        put_string(b, json, pair->s);
        break;
    case 'i':
        pki_buf_put_int(b, pair->i);
        break;
    case 'b':
        pki_buf_put(b, bytes_str(pair->i != 0 ? "true" : "false"));
        break;
    case 'x':
        put_hex(b, json, pair->x);
        break;
    }
}

/* A pair that does not fit is left out whole; an absent string is no pair at all. */
static bool
put_pair_whole(pki_buf_t *b, bool json, const log_pair_t *pair)
{
    size_t len = b->len;

    if (pair->type == 's' && pair->s == NULL) {
        return true;
    }
    put_pair(b, json, pair);
    if (b->failed) {
        b->failed = false;
        b->len = len;
        return false;
    }
    return true;
}

static char
digit(int v)
{
    return (char) ('0' + v % 10);
}

static void
put_start(pki_buf_t *b, bool json, log_level_t level, const char *event)
{
    int64_t now = clock_now_ms();
    int     ms = (int) (now % 1000);
    char    at[RFC3339_LEN + 1], rest[] = { '.', digit(ms / 100), digit(ms / 10), digit(ms), 'Z', '\0' };

    rfc3339_print(now / 1000, at);
    at[RFC3339_LEN - 1] = '\0'; /* the Z comes after the milliseconds */
    if (json) {
        put_all(b, (const char *[]){ "{\"time\":\"", at, rest, "\",\"level\":\"", level_names[level], "\",\"event\":\"",
                                      event, "\"", NULL });
    } else {
        pki_buf_printf(b, "%s%s %-5s %s", at, rest, level_names[level], event);
    }
}

/* The whole line with its newline; returns its length. */
static size_t
log_line(char *out, size_t cap, bool json, log_level_t level, const char *event, const log_pair_t *pairs,
         size_t count)
{
    log_pair_t common[] = {
        LOG_S("process", atomic_load(&log_process)),
        LOG_I("pid", atomic_load(&log_pid) != 0 ? atomic_load(&log_pid) : getpid()),
        LOG_S("request", log_request_id),
    };
    pki_buf_t b;
    bool      whole = true;

    pki_buf_fixed(&b, out, cap - LOG_TAIL);
    put_start(&b, json, level, event);
    for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++) {
        whole = put_pair_whole(&b, json, &common[i]) && whole;
    }
    for (size_t i = 0; i < count; i++) {
        whole = put_pair_whole(&b, json, &pairs[i]) && whole;
    }
    b.cap = b.max = cap;
    if (!whole) {
        put_pair(&b, json, &LOG_B("cut", true));
    }
    pki_buf_put(&b, json ? BYTES_LIT("}\n") : BYTES_LIT("\n"));
    return b.len;
}

static void
line_write(const void *line, size_t len)
{
    while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR) {
    }
}

static void
gathered_write(void)
{
    if (log_gathered.len > 0) {
        line_write(log_gathered.p, log_gathered.len);
        log_gathered.len = 0;
    }
}

/* True when the line may come later, and is kept. */
static bool
gathered_add(log_level_t level, bytes_t line)
{
    if (log_gathered.cap == 0) {
        return false;
    }
    if (level > LOG_INFO || line.len > log_gathered.cap - log_gathered.len) {
        gathered_write();
    }
    if (level > LOG_INFO || line.len > log_gathered.cap) {
        return false;
    }
    pki_buf_put(&log_gathered, line);
    return true;
}

void
log_gather(void *room, size_t cap)
{
    gathered_write();
    pki_buf_fixed(&log_gathered, room, cap);
}

void
log_event(log_level_t level, const char *event, const log_pair_t *pairs, size_t count)
{
    static _Atomic int terminal = -1;
    char               line[LOG_LINE_MAX];
    size_t             len;
    int                saved = errno;

    if ((int) level < atomic_load(&log_least)) {
        return;
    }
    if (atomic_load(&terminal) < 0) {
        atomic_store(&terminal, isatty(STDERR_FILENO));
    }
    len = log_line(line, sizeof(line), atomic_load(&terminal) == 0, level, event, pairs, count);
    if (!gathered_add(level, bytes_of(line, len))) {
        line_write(line, len);
    }
    errno = saved;
}

void
log_failure(log_level_t level, const char *event, const pki_err_t *err)
{
    char where[160], reason[160];

    snprintf(where, sizeof(where), "%s:%d", err->file != NULL ? err->file : "?", err->line);
    if (err->ossl != 0) {
        ERR_error_string_n(err->ossl, reason, sizeof(reason));
    }
    log_event(level, event,
              LOG_PAIRS_(LOG_S("code", pki_code_name(err->code)), LOG_S("text", err->text),
                         LOG_S("clause", err->clause), LOG_S("openssl", err->ossl != 0 ? reason : NULL),
                         LOG_S("where", where)));
}
