/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The orchestrator's side: callers send their own requests, some of them in a group, and sleep until the last
 * answer is there; one thread reads answers.  A HELLO tells a new signer's epoch: then every waiting caller
 * sends again.
 */
#include "orchestrator/signer/signer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
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
#define AT_ONCE       32  /* messages of one system call */
#define ORDERS_AT_ONCE 256
#define ANSWER_SMALL  640 /* room for a signature, without malloc */

typedef struct group group_t;

typedef struct call {
    struct call    *next;
    group_t        *group;
    uint64_t        id, sent_epoch;
    uint8_t        *message;
    size_t          len;
    int             message_fd;
    bool            due;  /* to be sent now */
    bool            done;
    signer_answer_t answer;
    uint8_t        *raw;  /* the answer's octets, which answer borrows from: small or malloc */
    uint8_t         small[ANSWER_SMALL];
    union {
        struct cmsghdr align;
        uint8_t        octets[CMSG_SPACE(sizeof(int))];
    } control;
} call_t;

/* Calls of one thread.  Whoever counts up wakes posts once for it; the caller takes every post before it goes. */
struct group {
    call_t          *calls;
    size_t           count;
    int64_t          deadline_us;
    _Atomic size_t   open; /* without an answer */
    unsigned         wakes, taken;
    sem_t            wake;
    group_t         *next; /* of those that the reader is about to wake */
};

struct signer {
    int              fd, wake_fd;
    int64_t          timeout_ms;
    uint64_t         client;
    pthread_t        reader;
    _Atomic uint64_t next_id;
    pthread_mutex_t  lock; /* guards the rest, and the calls in it */
    uint64_t         epoch;
    bool             closing;
    call_t          *calls[CALL_BUCKETS];

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
            c->group->wakes++;
            sem_post(&c->group->wake);
        }
    }
}

static void
call_header(call_t *c, struct iovec *io, struct msghdr *m)
{
    *io = (struct iovec){ c->message, c->len };
    *m = (struct msghdr){ .msg_iov = io, .msg_iovlen = 1 };
    if (c->message_fd >= 0) {
        memset(&c->control, 0, sizeof(c->control));
        m->msg_control = c->control.octets;
        m->msg_controllen = sizeof(c->control.octets);
        CMSG_FIRSTHDR(m)->cmsg_level = SOL_SOCKET;
        CMSG_FIRSTHDR(m)->cmsg_type = SCM_RIGHTS;
        CMSG_FIRSTHDR(m)->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(m)), &c->message_fd, sizeof(int));
    }
}

/* Send what is due.  False when the socket did not take all of it: the rest is due again. */
static bool
group_send(signer_t *s, group_t *g)
{
    struct mmsghdr m[AT_ONCE];
    struct iovec   io[AT_ONCE];
    call_t        *due[AT_ONCE];
    bool           all = true;

    for (size_t at = 0; at < g->count;) {
        unsigned n = 0;
        int      sent = 0;

        for (; at < g->count && n < AT_ONCE; at++) {
            if (g->calls[at].due) {
                due[n] = &g->calls[at];
                call_header(due[n], &io[n], &m[n].msg_hdr);
                n++;
            }
        }
        if (n > 0 && all) {
            sent = sendmmsg(s->fd, m, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        }
        for (unsigned i = sent > 0 ? (unsigned) sent : 0; i < n; i++) {
            due[i]->sent_epoch = 0;
            all = false;
        }
    }
    return all;
}

static void
hello_ask(signer_t *s)
{
    signer_request_t r = { .op = SIGNER_OP_HELLO, .client = s->client };
    uint8_t          octets[128];
    pki_buf_t        b;

    pki_buf_fixed(&b, octets, sizeof(octets));
    signer_request_build(&r, &b);
    /* Lost when the socket is full; asked again after a while. */
    (void) send(s->fd, b.p, b.len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Under the lock, like on_answer(). */
static void
on_hello(signer_t *s, const signer_answer_t *a)
{
    if (s->epoch != a->epoch) {
        if (s->epoch != 0) {
            atomic_fetch_add(&s->restarts, 1);
            log_warn("signer.restarted", LOG_I("restarts", atomic_load(&s->restarts)));
        }
        s->epoch = a->epoch;
        calls_wake(s);
    }
}

/*
 * Answers to callers that gave up, or to an orchestrator of before, find no call and are dropped.  A group
 * without open calls goes to the list of those to be woken.
 */
static void
on_answer(signer_t *s, const signer_answer_t *a, bytes_t raw, group_t **ready)
{
    call_t **at, *c;
    group_t *g;

    if (a->client != s->client) {
        return;
    }
    atomic_store(&s->syncs, a->syncs);
    at = call_slot(s, a->id);
    c = *at;
    if (c == NULL) {
        return;
    }
    c->raw = raw.len <= sizeof(c->small) ? c->small : malloc(raw.len);
    if (c->raw == NULL) {
        return;
    }
    memcpy(c->raw, raw.p, raw.len);
    c->answer = *a;
    c->answer.body.p = c->raw + (a->body.p - raw.p);
    c->done = true;
    *at = c->next;
    g = c->group;
    if (atomic_load(&g->open) == 1) {
        g->wakes++;
        g->next = *ready;
        *ready = g;
    }
    atomic_fetch_sub(&g->open, 1);
}

static void
reader_take(signer_t *s, bytes_t raw, group_t **ready)
{
    signer_answer_t a;
    pki_err_t       err;

    for (const uint8_t *at = raw.p; raw.len > 0; at = raw.p) {
        if (signer_answer_take(&raw, &a, &err) != PKI_OK) {
            log_failure(LOG_ERROR, "signer.answer_refused", &err);
            return;
        }
        if (a.op == SIGNER_OP_HELLO) {
            on_hello(s, &a);
        } else {
            on_answer(s, &a, bytes_of(at, (size_t) (raw.p - at)), ready);
        }
    }
}

typedef struct {
    struct mmsghdr m[AT_ONCE];
    struct iovec   io[AT_ONCE];
    uint8_t        octets[AT_ONCE][SIGNER_MESSAGE_MAX];
} reader_t;

/* All answers that are there; then wake, without the lock, who has got them all.  False at the end. */
static bool
reader_receive(signer_t *s, reader_t *r)
{
    group_t *ready = NULL, *g;
    int      n;

    for (size_t i = 0; i < AT_ONCE; i++) {
        r->io[i] = (struct iovec){ r->octets[i], sizeof(r->octets[i]) };
        r->m[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &r->io[i], .msg_iovlen = 1 } };
    }
    n = recvmmsg(s->fd, r->m, AT_ONCE, MSG_DONTWAIT, NULL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    if (n <= 0 || r->m[0].msg_len == 0) {
        log_error("signer.lost", LOG_S("text", n >= 0 ? "the socket was closed" : strerror(errno)));
        return false;
    }
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < n && r->m[i].msg_len > 0; i++) {
        reader_take(s, bytes_of(r->octets[i], r->m[i].msg_len), &ready);
    }
    pthread_mutex_unlock(&s->lock);
    while ((g = ready) != NULL) {
        ready = g->next;
        sem_post(&g->wake); /* g may be gone now */
    }
    return true;
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
    reader_t     *r = malloc(sizeof(*r));
    struct pollfd wait[] = { { .fd = s->fd, .events = POLLIN }, { .fd = s->wake_fd, .events = POLLIN } };

    while (r != NULL && !reader_ended(s)) {
        if (s->epoch == 0) {
            hello_ask(s);
        }
        if (poll(wait, 2, s->epoch == 0 ? HELLO_WAIT_MS : -1) <= 0 || wait[0].revents == 0) {
            continue;
        }
        if (!reader_receive(s, r)) {
            break;
        }
    }
    free(r);
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

/* Under the lock: mark what this signer did not get.  False when there is none. */
static bool
group_due(signer_t *s, group_t *g)
{
    bool any = false;

    for (size_t i = 0; i < g->count; i++) {
        call_t *c = &g->calls[i];

        c->due = !c->done && s->epoch != 0 && c->sent_epoch != s->epoch;
        if (c->due) {
            epoch_put(c, s->epoch);
            c->sent_epoch = s->epoch;
            any = true;
        }
    }
    return any;
}

/* Under the lock: nobody finds these calls any more. */
static void
group_give_up(signer_t *s, group_t *g)
{
    for (size_t i = 0; i < g->count; i++) {
        if (!g->calls[i].done) {
            *call_slot(s, g->calls[i].id) = g->calls[i].next;
        }
    }
    atomic_store(&g->open, 0);
}

static bool
wake_take(group_t *g)
{
    struct timespec at = { .tv_sec = g->deadline_us / 1000000, .tv_nsec = g->deadline_us % 1000000 * 1000 };
    bool            taken = sem_clockwait(&g->wake, CLOCK_MONOTONIC, &at) == 0;

    g->taken += taken;
    return taken;
}

/* Until the socket takes more; a socket that never will does not make us busy. */
static void
room_wait(const signer_t *s)
{
    struct pollfd wait = { .fd = s->fd, .events = POLLOUT };

    if (poll(&wait, 1, SEND_WAIT_MS) != 0 && wait.revents != POLLOUT) {
        usleep(SEND_WAIT_MS * 1000);
    }
}

/* Until all answers are there or the time is over: send, and again when the signer is another one. */
static void
group_finish(signer_t *s, group_t *g)
{
    while (atomic_load(&g->open) > 0) {
        bool due = false;

        pthread_mutex_lock(&s->lock);
        if (s->closing || clock_mono_us() >= g->deadline_us) {
            group_give_up(s, g);
        } else {
            due = group_due(s, g);
        }
        pthread_mutex_unlock(&s->lock);
        if (due && !group_send(s, g)) {
            room_wait(s);
        } else if (atomic_load(&g->open) > 0) {
            wake_take(g);
        }
    }
    while (g->taken < g->wakes) {
        g->taken += sem_wait(&g->wake) == 0;
    }
}

static size_t
request_size(const signer_request_t *r)
{
    return SIGNER_REQUEST_LEN + r->ref.len + r->name.len + r->body.len;
}

/* Room for the calls and, behind them, their messages. */
static pki_code_t
group_open(signer_t *s, group_t *g, signer_request_t *requests, size_t count, int message_fd, pki_err_t *err)
{
    size_t    size = count * sizeof(call_t);
    pki_buf_t b;

    for (size_t i = 0; i < count; i++) {
        size += request_size(&requests[i]);
    }
    *g = (group_t){ .count = count, .deadline_us = clock_mono_us() + s->timeout_ms * 1000, .calls = malloc(size) };
    if (g->calls == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    pki_buf_fixed(&b, g->calls + count, size - count * sizeof(call_t));
    for (size_t i = 0; i < count; i++) {
        call_t *c = &g->calls[i];

        requests[i].client = s->client;
        requests[i].id = c->id = atomic_fetch_add(&s->next_id, 1) + 1;
        c->group = g;
        c->sent_epoch = 0;
        c->message = b.p + b.len;
        c->len = request_size(&requests[i]);
        c->message_fd = message_fd;
        c->due = c->done = false;
        c->raw = NULL;
        signer_request_build(&requests[i], &b);
    }
    atomic_init(&g->open, count);
    sem_init(&g->wake, 0, 0);
    return PKI_OK;
}

static void
group_close(group_t *g)
{
    for (size_t i = 0; i < g->count; i++) {
        if (g->calls[i].raw != g->calls[i].small) {
            free(g->calls[i].raw);
        }
    }
    sem_destroy(&g->wake);
    free(g->calls);
}

/* On success the caller reads the calls' answers and then calls group_close(). */
static pki_code_t
signer_call(signer_t *s, signer_request_t *requests, size_t count, int message_fd, group_t *g, pki_err_t *err)
{
    PKI_TRY(group_open(s, g, requests, count, message_fd, err));
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < count; i++) {
        call_t *c = &g->calls[i];

        c->next = s->calls[c->id % CALL_BUCKETS];
        s->calls[c->id % CALL_BUCKETS] = c;
    }
    pthread_mutex_unlock(&s->lock);
    group_finish(s, g);
    return PKI_OK;
}

static pki_code_t
call_outcome(const signer_t *s, const call_t *c, pki_err_t *err)
{
    if (!c->done) {
        return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "no answer from the signer within %lld ms",
                        (long long) s->timeout_ms);
    }
    return c->answer.code == PKI_OK ? PKI_OK
                                    : pki_fail(err, c->answer.code, NULL, "signer: %.*s", (int) c->answer.body.len,
                                               (const char *) c->answer.body.p);
}

/* One call; on success group_close() comes later. */
static pki_code_t
signer_call_one(signer_t *s, signer_request_t *r, int message_fd, group_t *g, pki_err_t *err)
{
    pki_code_t rc;

    PKI_TRY(signer_call(s, r, 1, message_fd, g, err));
    rc = call_outcome(s, g->calls, err);
    if (rc != PKI_OK) {
        group_close(g);
    }
    return rc;
}

/* Calls whose answer is a string of octets. */
static pki_code_t
signer_ask(signer_t *s, pki_arena_t *a, signer_request_t *r, int message_fd, bytes_t *out, pki_err_t *err)
{
    group_t    g;
    pki_code_t rc;

    PKI_TRY(signer_call_one(s, r, message_fd, &g, err));
    rc = pki_bytes_dup(a, g.calls->answer.body, out, err);
    group_close(&g);
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

static void
order_finish(signer_t *s, const call_t *c, signer_order_t *o)
{
    o->code = call_outcome(s, c, &o->err);
    if (o->code == PKI_OK) {
        o->code = pki_bytes_dup(o->a, c->answer.body, &o->signature, &o->err);
    }
    if (o->code == PKI_OK) {
        atomic_fetch_add(&s->signatures, 1);
    }
}

/* At most ORDERS_AT_ONCE of them. */
static void
orders_run(signer_t *s, signer_order_t *const *orders, size_t count)
{
    signer_request_t r[ORDERS_AT_ONCE];
    group_t          g;
    pki_err_t        err;
    pki_code_t       rc;

    for (size_t i = 0; i < count; i++) {
        r[i] = (signer_request_t){
            .op = SIGNER_OP_SIGN_CERT,
            .ref = bytes_str(orders[i]->ref),
            .issuer_no = orders[i]->issuer_no,
            .name = orders[i]->serial,
            .body = orders[i]->tbs,
        };
    }
    rc = signer_call(s, r, count, -1, &g, &err);
    for (size_t i = 0; i < count; i++) {
        if (rc == PKI_OK) {
            order_finish(s, &g.calls[i], orders[i]);
        } else {
            orders[i]->err = err;
            orders[i]->code = rc;
        }
    }
    if (rc == PKI_OK) {
        group_close(&g);
    }
}

void
signer_sign_certs(signer_t *s, signer_order_t *const *orders, size_t count)
{
    for (size_t n; count > 0; orders += n, count -= n) {
        n = count < ORDERS_AT_ONCE ? count : ORDERS_AT_ONCE;
        orders_run(s, orders, n);
    }
}

pki_code_t
signer_sign_cert(signer_t *s, pki_arena_t *a, const char *ref, uint32_t issuer_no, bytes_t serial, bytes_t tbs,
                 bytes_t *signature, pki_err_t *err)
{
    signer_order_t  order = { .ref = ref, .issuer_no = issuer_no, .serial = serial, .tbs = tbs, .a = a };
    signer_order_t *orders[] = { &order };

    signer_sign_certs(s, orders, 1);
    *signature = order.signature;
    if (order.code != PKI_OK && err != NULL) {
        *err = order.err;
    }
    return order.code;
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

    PKI_TRY(signer_ask(s, a, &r, message_fd, signature, err));
    atomic_fetch_add(&s->signatures, 1);
    return PKI_OK;
}

pki_code_t
signer_sign_head(signer_t *s, pki_arena_t *a, bytes_t head, bytes_t *signature, pki_err_t *err)
{
    signer_request_t r = { .op = SIGNER_OP_SIGN_HEAD, .ref = bytes_str(SIGNER_AUDIT_REF), .body = head };

    PKI_TRY(signer_ask(s, a, &r, -1, signature, err));
    atomic_fetch_add(&s->signatures, 1);
    return PKI_OK;
}

pki_code_t
signer_journal_info(signer_t *s, signer_journal_t *out, pki_err_t *err)
{
    signer_request_t r = { .op = SIGNER_OP_JOURNAL_INFO };
    group_t          g;
    bool             ok;

    PKI_TRY(signer_call_one(s, &r, -1, &g, err));
    ok = g.calls->answer.body.len == sizeof(out->id);
    if (ok) {
        memcpy(out->id, g.calls->answer.body.p, sizeof(out->id));
        out->end = g.calls->answer.position;
    }
    group_close(&g);
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
    group_t    g;
    bytes_t    body;
    uint32_t   n;
    pki_code_t rc;

    *count = 0;
    PKI_TRY(signer_call_one(s, &r, -1, &g, err));
    n = g.calls->answer.count;
    rc = pki_bytes_dup(a, g.calls->answer.body, &body, err);
    group_close(&g);
    PKI_TRY(rc);
    PKI_TRY(PKI_NEW_N(a, (size_t) n + 1, entries, err));
    for (uint32_t i = 0; i < n; i++) {
        PKI_TRY(signer_entry_take(&body, &(*entries)[i], err));
    }
    *count = n;
    return PKI_OK;
}

void
signer_stats(signer_t *s, signer_stats_t *out)
{
    out->signatures = atomic_load(&s->signatures);
    out->syncs = atomic_load(&s->syncs);
    out->restarts_seen = atomic_load(&s->restarts);
}
