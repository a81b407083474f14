/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The orchestrator's side: callers send their own requests and wait on a condition of their own; one thread
 * reads answers.  A HELLO tells a new signer's epoch: then every waiting caller sends again.
 */
#include "orchestrator/signer/signer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/signer/message.h"

#define CALL_BUCKETS  1024
#define HELLO_WAIT_MS 250 /* between questions, until a signer said who it is */
#define SEND_WAIT_MS  20  /* between attempts, while the signer does not take what was sent */

typedef struct call {
    struct call    *next;
    uint64_t        id, sent_epoch;
    uint8_t        *message;
    size_t          len;
    int             message_fd;
    int64_t         deadline_us;
    bool            done;
    uint8_t        *raw; /* malloc: the answer's octets, which answer borrows from */
    signer_answer_t answer;
    pthread_cond_t  changed;
} call_t;

struct signer {
    int             fd, wake_fd;
    int64_t         timeout_ms;
    uint64_t        client;
    pthread_t       reader;
    pthread_mutex_t lock; /* guards all below, and the calls */
    uint64_t        epoch, next_id;
    bool            closing;
    call_t         *calls[CALL_BUCKETS];

    _Atomic uint64_t signatures, syncs, restarts;
};

static call_t **
call_slot(signer_t *s, uint64_t id)
{
    call_t **at = &s->calls[id % CALL_BUCKETS];

    while (*at != NULL && (*at)->id != id) {
        at = &(*at)->next;
    }
    return at;
}

static void
calls_wake(signer_t *s)
{
    for (size_t i = 0; i < CALL_BUCKETS; i++) {
        for (call_t *c = s->calls[i]; c != NULL; c = c->next) {
            pthread_cond_signal(&c->changed);
        }
    }
}

static bool
message_send(int fd, const uint8_t *p, size_t len, int message_fd)
{
    union {
        struct cmsghdr align;
        uint8_t        octets[CMSG_SPACE(sizeof(int))];
    } control = { .octets = { 0 } };
    struct iovec  io = { (void *) p, len };
    struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };

    if (message_fd >= 0) {
        m.msg_control = control.octets;
        m.msg_controllen = sizeof(control.octets);
        CMSG_FIRSTHDR(&m)->cmsg_level = SOL_SOCKET;
        CMSG_FIRSTHDR(&m)->cmsg_type = SCM_RIGHTS;
        CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &message_fd, sizeof(int));
    }
    return sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static void
hello_ask(signer_t *s)
{
    signer_request_t r = { .op = SIGNER_OP_HELLO, .client = s->client };
    uint8_t          octets[128];
    pki_buf_t        b;

    pki_buf_fixed(&b, octets, sizeof(octets));
    signer_request_build(&r, &b);
    message_send(s->fd, b.p, b.len, -1);
}

static void
on_hello(signer_t *s, const signer_answer_t *a)
{
    pthread_mutex_lock(&s->lock);
    if (s->epoch != a->epoch) {
        if (s->epoch != 0) {
            atomic_fetch_add(&s->restarts, 1);
            log_warn("signer.restarted", LOG_I("restarts", atomic_load(&s->restarts)));
        }
        s->epoch = a->epoch;
        calls_wake(s);
    }
    pthread_mutex_unlock(&s->lock);
}

/* Answers to callers that gave up, or to an orchestrator of before, find no call and are dropped. */
static void
on_answer(signer_t *s, const signer_answer_t *a, bytes_t raw)
{
    uint8_t *copy;
    call_t  *c;

    if (a->client != s->client) {
        return;
    }
    atomic_store(&s->syncs, a->syncs);
    pthread_mutex_lock(&s->lock);
    c = *call_slot(s, a->id);
    if (c != NULL && !c->done) {
        copy = malloc(raw.len);
        if (copy != NULL) {
            memcpy(copy, raw.p, raw.len);
            c->raw = copy;
            c->answer = *a;
            c->answer.body.p = copy + (a->body.p - raw.p);
            c->done = true;
            pthread_cond_signal(&c->changed);
        }
    }
    pthread_mutex_unlock(&s->lock);
}

static void
reader_take(signer_t *s, bytes_t raw)
{
    signer_answer_t a;
    pki_err_t       err;

    if (signer_answer_parse(raw, &a, &err) != PKI_OK) {
        log_failure(LOG_ERROR, "signer.answer_refused", &err);
    } else if (a.op == SIGNER_OP_HELLO) {
        on_hello(s, &a);
    } else {
        on_answer(s, &a, raw);
    }
}

static bool
reader_ended(signer_t *s)
{
    bool closing;

    pthread_mutex_lock(&s->lock);
    closing = s->closing;
    pthread_mutex_unlock(&s->lock);
    return closing;
}

static void *
reader_run(void *arg)
{
    signer_t     *s = arg;
    uint8_t      *raw = malloc(SIGNER_MESSAGE_MAX);
    struct pollfd wait[] = { { .fd = s->fd, .events = POLLIN }, { .fd = s->wake_fd, .events = POLLIN } };

    while (raw != NULL && !reader_ended(s)) {
        ssize_t n;

        if (s->epoch == 0) {
            hello_ask(s);
        }
        if (poll(wait, 2, s->epoch == 0 ? HELLO_WAIT_MS : -1) <= 0 || wait[0].revents == 0) {
            continue;
        }
        n = recv(s->fd, raw, SIGNER_MESSAGE_MAX, MSG_DONTWAIT);
        if (n > 0) {
            reader_take(s, bytes_of(raw, (size_t) n));
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            log_error("signer.lost", LOG_S("text", n == 0 ? "the socket was closed" : strerror(errno)));
            break;
        }
    }
    free(raw);
    return NULL;
}

pki_code_t
signer_open(int fd, int64_t timeout_ms, signer_t **out, pki_err_t *err)
{
    signer_t *s = calloc(1, sizeof(*s));

    *out = NULL;
    if (s == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    s->fd = fd;
    s->timeout_ms = timeout_ms;
    s->wake_fd = eventfd(0, EFD_CLOEXEC);
    pthread_mutex_init(&s->lock, NULL);
    if (s->wake_fd < 0 || RAND_bytes((uint8_t *) &s->client, sizeof(s->client)) != 1
        || pthread_create(&s->reader, NULL, reader_run, s) != 0)
    {
        if (s->wake_fd >= 0) {
            close(s->wake_fd);
        }
        pthread_mutex_destroy(&s->lock);
        free(s);
        return pki_fail(err, PKI_E_INTERNAL, NULL, "the signer's client cannot start: %s", strerror(errno));
    }
    *out = s;
    return PKI_OK;
}

void
signer_close(signer_t *s)
{
    uint64_t one = 1;

    if (s == NULL) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    calls_wake(s);
    pthread_mutex_unlock(&s->lock);
    while (write(s->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    pthread_join(s->reader, NULL);
    close(s->wake_fd);
    close(s->fd);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void
epoch_put(call_t *c, uint64_t epoch)
{
    for (size_t i = 8; i-- > 0; epoch >>= 8) {
        c->message[SIGNER_EPOCH_OFFSET + i] = (uint8_t) epoch;
    }
}

static void
call_wait(signer_t *s, call_t *c, int64_t until_us)
{
    struct timespec at = { .tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000 };

    pthread_cond_timedwait(&c->changed, &s->lock, &at);
}

/* Under the lock: until there is an answer, send (again) whenever the signer is one that did not get it. */
static pki_code_t
call_finish(signer_t *s, call_t *c, pki_err_t *err)
{
    while (!c->done) {
        int64_t now = clock_mono_us(), until = c->deadline_us;

        if (s->closing || now >= c->deadline_us) {
            return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "no answer from the signer within %lld ms",
                            (long long) s->timeout_ms);
        }
        if (s->epoch != 0 && c->sent_epoch != s->epoch) {
            epoch_put(c, s->epoch);
            if (message_send(s->fd, c->message, c->len, c->message_fd)) {
                c->sent_epoch = s->epoch;
            } else if (now + SEND_WAIT_MS * 1000 < until) {
                until = now + SEND_WAIT_MS * 1000;
            }
        }
        call_wait(s, c, until);
    }
    return PKI_OK;
}

static pki_code_t
call_message(call_t *c, const signer_request_t *r, pki_err_t *err)
{
    pki_buf_t b;

    c->message = malloc(SIGNER_MESSAGE_MAX);
    if (c->message == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    pki_buf_fixed(&b, c->message, SIGNER_MESSAGE_MAX);
    signer_request_build(r, &b);
    c->len = b.len;
    return pki_buf_check(&b, "the request to the signer", err);
}

static void
call_free(call_t *c)
{
    free(c->message);
    free(c->raw);
}

/* On success the caller reads c->answer and then calls call_free(). */
static pki_code_t
signer_call(signer_t *s, signer_request_t *r, int message_fd, call_t *c, pki_err_t *err)
{
    pthread_condattr_t attr;
    pki_code_t         rc;

    *c = (call_t){ .message_fd = message_fd, .deadline_us = clock_mono_us() + s->timeout_ms * 1000 };
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &attr);
    pthread_condattr_destroy(&attr);

    pthread_mutex_lock(&s->lock);
    r->client = s->client;
    r->id = c->id = ++s->next_id;
    pthread_mutex_unlock(&s->lock);
    rc = call_message(c, r, err);
    if (rc == PKI_OK) {
        pthread_mutex_lock(&s->lock);
        c->next = s->calls[c->id % CALL_BUCKETS];
        s->calls[c->id % CALL_BUCKETS] = c;
        rc = call_finish(s, c, err);
        *call_slot(s, c->id) = c->next;
        pthread_mutex_unlock(&s->lock);
    }
    pthread_cond_destroy(&c->changed);
    if (rc == PKI_OK && c->answer.code != PKI_OK) {
        rc = pki_fail(err, c->answer.code, NULL, "signer: %.*s", (int) c->answer.body.len,
                      (const char *) c->answer.body.p);
    }
    if (rc != PKI_OK) {
        call_free(c);
    }
    return rc;
}

/* Calls whose answer is a string of octets. */
static pki_code_t
signer_ask(signer_t *s, pki_arena_t *a, signer_request_t *r, int message_fd, bytes_t *out, pki_err_t *err)
{
    call_t     c;
    pki_code_t rc;

    PKI_TRY(signer_call(s, r, message_fd, &c, err));
    rc = pki_bytes_dup(a, c.answer.body, out, err);
    call_free(&c);
    return rc;
}

pki_code_t
signer_key_make(signer_t *s, pki_arena_t *a, const char *ref, const char *kind, bytes_t *spki, pki_err_t *err)
{
    signer_request_t r = { .op = SIGNER_OP_KEY_MAKE, .ref = bytes_str(ref), .name = bytes_str(kind) };

    return signer_ask(s, a, &r, -1, spki, err);
}

pki_code_t
signer_key_public(signer_t *s, pki_arena_t *a, const char *ref, bytes_t *spki, pki_err_t *err)
{
    signer_request_t r = { .op = SIGNER_OP_KEY_PUBLIC, .ref = bytes_str(ref) };

    return signer_ask(s, a, &r, -1, spki, err);
}

static pki_code_t
signer_sign(signer_t *s, pki_arena_t *a, signer_request_t *r, int message_fd, bytes_t *signature, pki_err_t *err)
{
    PKI_TRY(signer_ask(s, a, r, message_fd, signature, err));
    atomic_fetch_add(&s->signatures, 1);
    return PKI_OK;
}

pki_code_t
signer_sign_cert(signer_t *s, pki_arena_t *a, const char *ref, uint32_t issuer_no, bytes_t serial, bytes_t tbs,
                 bytes_t *signature, pki_err_t *err)
{
    signer_request_t r = {
        .op = SIGNER_OP_SIGN_CERT,
        .ref = bytes_str(ref),
        .issuer_no = issuer_no,
        .name = serial,
        .body = tbs,
    };

    return signer_sign(s, a, &r, -1, signature, err);
}

pki_code_t
signer_sign_crl(signer_t *s, pki_arena_t *a, const char *ref, uint32_t issuer_no, bytes_t number, bytes_t digest,
                int message_fd, bytes_t *signature, pki_err_t *err)
{
    signer_request_t r = {
        .op = SIGNER_OP_SIGN_CRL,
        .ref = bytes_str(ref),
        .issuer_no = issuer_no,
        .name = number,
        .body = message_fd < 0 ? digest : BYTES_NONE,
    };

    return signer_sign(s, a, &r, message_fd, signature, err);
}

pki_code_t
signer_journal_info(signer_t *s, signer_journal_t *out, pki_err_t *err)
{
    signer_request_t r = { .op = SIGNER_OP_JOURNAL_INFO };
    call_t           c;
    bool             ok;

    PKI_TRY(signer_call(s, &r, -1, &c, err));
    ok = c.answer.body.len == sizeof(out->id);
    if (ok) {
        memcpy(out->id, c.answer.body.p, sizeof(out->id));
        out->end = c.answer.position;
    }
    call_free(&c);
    return ok ? PKI_OK : pki_fail(err, PKI_E_INTERNAL, NULL, "the signer's journal has no id");
}

pki_code_t
signer_journal_read(signer_t *s, pki_arena_t *a, uint64_t from, size_t max, signer_journal_entry_t **entries,
                    size_t *count, pki_err_t *err)
{
    signer_request_t r = {
        .op = SIGNER_OP_JOURNAL_READ,
        .position = from,
        .max = max < UINT32_MAX ? (uint32_t) max : UINT32_MAX,
    };
    call_t     c;
    bytes_t    body;
    pki_code_t rc;

    *count = 0;
    PKI_TRY(signer_call(s, &r, -1, &c, err));
    rc = pki_bytes_dup(a, c.answer.body, &body, err);
    if (rc == PKI_OK) {
        rc = PKI_NEW_N(a, c.answer.count + 1, entries, err);
    }
    for (uint32_t i = 0; rc == PKI_OK && i < c.answer.count; i++) {
        rc = signer_entry_take(&body, &(*entries)[i], err);
    }
    if (rc == PKI_OK) {
        *count = c.answer.count;
    }
    call_free(&c);
    return rc;
}

void
signer_stats(signer_t *s, signer_stats_t *out)
{
    out->signatures = atomic_load(&s->signatures);
    out->syncs = atomic_load(&s->syncs);
    out->restarts_seen = atomic_load(&s->restarts);
}
