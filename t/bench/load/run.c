/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The loop of the load tool: connections that are kept, one request under way on each.  A request on a reused
 * connection that is closed before the first octet of an answer is sent once more on a new one, as RFC 9110 9.2.2
 * lets clients do, and counted as retried; everything else that goes wrong is a failure.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <openssl/evp.h>

#include "t/bench/load/load.h"

#define EVENTS        256
#define TICK_MS       1
#define DRAIN_NS      INT64_C(2000000000)
#define CONDITION_MAX (LOAD_ETAG_MAX + 32)
#define AGAIN_NS      INT64_C(10000000) /* after a connection that could not be made */

typedef struct {
    int         fd; /* -1: not connected */
    unsigned    number;
    bool        busy, used, retry;
    size_t      which; /* certificate */
    int64_t     since, again_at;
    size_t      out_len, out_sent, in_len;
    uint8_t     serial[LOAD_SERIAL_LEN], nonce[LOAD_NONCE_MAX];
    char        out[LOAD_OUT_MAX], in[LOAD_IN_MAX];
} conn_t;

/* What all threads share. */
typedef struct {
    const load_conf_t *conf;
    load_template_t    request;
    load_check_t       check;
    uint8_t          (*serials)[LOAD_SERIAL_LEN];
    char             (*etags)[CONDITION_MAX]; /* whole field lines; NULL: none are needed */
    char               since[CONDITION_MAX];  /* If-Modified-Since */
    bool               learn;                 /* take the ETags of all certificates, in order */
    atomic_size_t      next;                  /* of in_order */
    atomic_ullong      started;
    int64_t            begin, end;
} share_t;

typedef struct {
    share_t    *share;
    load_stat_t stat;
    conn_t     *conns;
    conn_t    **idle;
    unsigned    count, idle_count, index;
    int         epoll;
    uint64_t    random, since_check;
    double      due; /* of the next request, when a rate is kept */
    int64_t     end; /* the share's, or when a signal came */
    bool        over;
    pthread_t   thread;
} driver_t;

volatile sig_atomic_t load_stopped;

/* ---- what is sent ---- */

static const char *
condition_of(const share_t *s, size_t which)
{
    if (s->conf->no_keep) {
        return "Connection: close\r\n";
    }
    if (s->learn) {
        return "";
    }
    return s->etags != NULL ? s->etags[which] : s->since;
}

/* The next request, or false when there is none any more. */
static bool
request_make(driver_t *d, conn_t *c)
{
    share_t           *s = d->share;
    const load_conf_t *conf = s->conf;

    if (conf->requests != 0 && !s->learn && atomic_fetch_add(&s->started, 1) >= conf->requests) {
        return false;
    }
    if (conf->flood != FLOOD_NONE) {
        c->out_len = load_flood_write(conf->flood, &s->request, &conf->url, &d->random, c->out);
        return true;
    }
    c->which = s->learn || conf->in_order ? atomic_fetch_add(&s->next, 1) : load_random(&d->random) % conf->count;
    if (c->which >= conf->count) {
        return false;
    }
    if (conf->method == LOAD_PLAIN) {
        c->out_len = load_plain_write(&conf->url, condition_of(s, c->which), c->out);
        return true;
    }
    memcpy(c->serial, s->serials[c->which], LOAD_SERIAL_LEN);
    load_random_fill(&d->random, c->nonce, conf->nonce_len);
    c->out_len = load_template_write(&s->request, c->serial, c->nonce, condition_of(s, c->which), c->out);
    return true;
}

/* ---- connections ---- */

static bool
conn_open(driver_t *d, conn_t *c)
{
    const load_conf_t *conf = d->share->conf;
    struct sockaddr_in from = { .sin_family = AF_INET };
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c };
    int                on = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        load_die("socket", strerror(errno));
    }
    if (conf->source != 0) {
        from.sin_addr.s_addr = htonl(conf->source + c->number % conf->sources);
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
        if (bind(c->fd, (struct sockaddr *) &from, sizeof(from)) != 0) {
            load_die("source", strerror(errno));
        }
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(c->fd, (const struct sockaddr *) &conf->url.address, sizeof(conf->url.address)) != 0) {
        close(c->fd);
        c->fd = -1;
        return false;
    }
    if (epoll_ctl(d->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0) {
        load_die("epoll", strerror(errno));
    }
    c->used = false;
    return true;
}

static void
conn_close(driver_t *d, conn_t *c)
{
    close(c->fd);
    c->fd = -1;
    d->stat.reconnected++;
}

static void conn_lost(driver_t *d, conn_t *c, const char *why);

static void
conn_push(driver_t *d, conn_t *c)
{
    ssize_t n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n >= 0) {
        c->out_sent += (size_t) n;
    } else if (errno != EAGAIN && errno != EINTR) {
        conn_lost(d, c, strerror(errno));
    }
}

static void
conn_idle(driver_t *d, conn_t *c)
{
    c->busy = false;
    d->idle[d->idle_count++] = c;
}

/* Send what is in c->out. */
static void
conn_send(driver_t *d, conn_t *c)
{
    c->out_sent = 0;
    c->in_len = 0;
    if (c->fd < 0 && !conn_open(d, c)) {
        load_stat_fail(&d->stat, FAIL_CONNECT, strerror(errno));
        c->again_at = load_now() + AGAIN_NS;
        conn_idle(d, c);
        return;
    }
    conn_push(d, c);
}

/* The connection broke with a request under way, or while it was idle. */
static void
conn_lost(driver_t *d, conn_t *c, const char *why)
{
    bool again = c->busy && c->used && c->in_len == 0 && !c->retry;

    conn_close(d, c);
    if (again) {
        d->stat.retried++;
        c->retry = true;
        conn_send(d, c);
    } else if (c->busy) {
        load_stat_fail(&d->stat, FAIL_BROKEN, why);
        conn_idle(d, c);
    }
}

static bool
request_start(driver_t *d, conn_t *c, int64_t since)
{
    if (!request_make(d, c)) {
        d->over = true;
        return false;
    }
    c->busy = true;
    c->retry = false;
    c->since = since;
    conn_send(d, c);
    return true;
}

/* ---- what comes back ---- */

static void
answer_save(FILE *out, const load_answer_t *a)
{
    unsigned char text[4 * (LOAD_IN_MAX / 3 + 1) + 1];
    int           n = EVP_EncodeBlock(text, (const unsigned char *) a->body, (int) a->body_len);

    text[n] = '\n';
    if (fwrite(text, 1, (size_t) n + 1, out) != (size_t) n + 1) {
        load_die("save", strerror(errno));
    }
}

static void
check_fail(driver_t *d, const conn_t *c, const char *why)
{
    char text[LOAD_REASON_MAX];

    snprintf(text, sizeof(text), "certificate %zu: %s", c->which, why);
    load_stat_fail(&d->stat, FAIL_CHECK, text);
}

static void
answer_check(driver_t *d, const conn_t *c, const load_answer_t *a)
{
    const load_conf_t *conf = d->share->conf;
    const char        *why;
    int                status;

    d->stat.checked++;
    why = load_check(&d->share->check, a->body, a->body_len, c->serial, LOAD_SERIAL_LEN, c->nonce, conf->nonce_len,
                     &status);
    if (why != NULL) {
        check_fail(d, c, why);
    } else if (conf->want >= 0 && status != conf->want) {
        check_fail(d, c, "its status is not the expected one");
    }
}

static void
answer_body(driver_t *d, const conn_t *c, const load_answer_t *a)
{
    const load_conf_t *conf = d->share->conf;
    int                status = load_ocsp_status(a->body, a->body_len);
    char               text[LOAD_REASON_MAX];

    d->stat.ocsp[status >= 0 && status < LOAD_OCSP_COUNT - 1 ? status : LOAD_OCSP_COUNT - 1]++;
    if (conf->flood != FLOOD_NONE) {
        return;
    }
    if (conf->save != NULL) {
        answer_save(conf->save, a);
    }
    if (status != 0) {
        snprintf(text, sizeof(text), "certificate %zu: OCSP status %d", c->which, status);
        load_stat_fail(&d->stat, FAIL_OCSP, text);
    } else if (conf->check_every != 0 && ++d->since_check >= conf->check_every) {
        d->since_check = 0;
        answer_check(d, c, a);
    }
}

static void
etag_learn(const share_t *s, const conn_t *c, const load_answer_t *a)
{
    if (a->etag_len == 0 || a->etag_len > LOAD_ETAG_MAX) {
        load_die("ETag", "an answer has none, or a very long one");
    }
    snprintf(s->etags[c->which], CONDITION_MAX, "If-None-Match: %.*s\r\n", (int) a->etag_len, a->etag);
}

static void
answer_take(driver_t *d, conn_t *c, const load_answer_t *a)
{
    const load_conf_t *conf = d->share->conf;
    char               text[LOAD_REASON_MAX];
    int64_t            now = load_now();

    d->stat.answers++;
    d->stat.octets += a->whole;
    d->stat.http[a->status]++;
    load_stat_latency(&d->stat, now - c->since);
    c->used = true;
    if (conf->flood == FLOOD_NONE && a->status != 200
        && (a->status != 304 || (conf->condition == LOAD_ALWAYS || d->share->learn))) {
        snprintf(text, sizeof(text), "certificate %zu: HTTP status %d", c->which, a->status);
        load_stat_fail(&d->stat, FAIL_HTTP, text);
    } else if (a->status == 200 && !conf->any_body) {
        answer_body(d, c, a);
    }
    if (d->share->learn) {
        etag_learn(d->share, c, a);
    }
    if (a->close) {
        conn_close(d, c);
    }
    if (conf->rate > 0 || now >= d->end || load_stopped || !request_start(d, c, now)) {
        conn_idle(d, c);
    }
}

/* What one recv() gave; true: there may be more of the same answer. */
static bool
conn_feed(driver_t *d, conn_t *c, ssize_t n)
{
    load_answer_t a;
    int           whole;

    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            conn_lost(d, c, strerror(errno));
        }
        return false;
    }
    if (n == 0) {
        conn_lost(d, c, "the connection was closed before the answer was whole");
        return false;
    }
    c->in_len += (size_t) n;
    whole = load_answer_read(c->in, c->in_len, &a);
    if (whole < 0 || !c->busy || (whole > 0 && c->in_len > a.whole) || (whole == 0 && c->in_len == sizeof(c->in))) {
        c->retry = true;
        conn_lost(d, c, "this is no HTTP answer to one request");
    } else if (whole > 0) {
        answer_take(d, c, &a);
    }
    return whole == 0;
}

/* Events come once for what is there: an answer that is not whole is read on until nothing is left. */
static void
conn_receive(driver_t *d, conn_t *c)
{
    bool more = true;

    while (more && c->fd >= 0) {
        more = conn_feed(d, c, recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, MSG_DONTWAIT));
    }
}

/* ---- one thread ---- */

/* Requests whose time has come; without a rate, connections that lie idle after a failure. */
static void
driver_start_due(driver_t *d)
{
    const load_conf_t *conf = d->share->conf;
    int64_t            now = load_now();
    double             step = conf->rate > 0 ? 1e9 * conf->threads / conf->rate : 0;

    for (unsigned left = d->idle_count; left > 0 && !d->over && d->idle_count > 0; left--) {
        conn_t *c = d->idle[0];

        if (conf->rate > 0 && d->due > (double) now) {
            return;
        }
        d->idle[0] = d->idle[--d->idle_count];
        if (c->again_at > now) {
            d->idle[d->idle_count++] = c;
            continue;
        }
        if (!request_start(d, c, conf->rate > 0 ? (int64_t) d->due : now)) {
            conn_idle(d, c);
            return;
        }
        d->due += step;
    }
}

static void *
driver_run(void *arg)
{
    driver_t          *d = arg;
    struct epoll_event events[EVENTS];
    int64_t            now = load_now();

    d->due = (double) now;
    d->end = d->share->end;
    while ((now < d->end && !d->over) || (d->idle_count < d->count && now < d->end + DRAIN_NS)) {
        int n;

        if (load_stopped && d->end > now) {
            d->end = now;
        } else if (now < d->end && !d->over) {
            driver_start_due(d);
        }
        n = epoll_wait(d->epoll, events, EVENTS, TICK_MS);

        for (int i = 0; i < n; i++) {
            conn_t *c = events[i].data.ptr;

            if (c->fd >= 0 && c->busy && c->out_sent < c->out_len) {
                conn_push(d, c);
            }
            if (c->fd >= 0 && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
                conn_receive(d, c);
            }
        }
        now = load_now();
    }
    for (unsigned i = 0; i < d->count; i++) {
        if (d->conns[i].busy) {
            load_stat_fail(&d->stat, FAIL_BROKEN, "no answer came");
        }
    }
    return NULL;
}

static void
driver_init(driver_t *d, share_t *s, unsigned index, unsigned first, unsigned count)
{
    *d = (driver_t){ .share = s, .index = index, .count = count, .random = s->conf->seed * 1000003 + index };
    d->conns = calloc(count, sizeof(conn_t));
    d->idle = calloc(count, sizeof(conn_t *));
    d->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (d->conns == NULL || d->idle == NULL || d->epoll < 0) {
        load_die("connections", "no memory");
    }
    for (unsigned i = 0; i < count; i++) {
        d->conns[i].fd = -1;
        d->conns[i].number = first + i;
        d->idle[d->idle_count++] = &d->conns[i];
    }
}

static void
driver_free(driver_t *d)
{
    for (unsigned i = 0; i < d->count; i++) {
        if (d->conns[i].fd >= 0) {
            close(d->conns[i].fd);
        }
    }
    close(d->epoll);
    free(d->conns);
    free(d->idle);
}

/* ---- all of them ---- */

static double
pass_run(share_t *s, load_stat_t *sum)
{
    const load_conf_t *conf = s->conf;
    driver_t          *drivers = calloc(conf->threads, sizeof(*drivers));
    unsigned           each = (conf->connections + conf->threads - 1) / conf->threads;

    if (drivers == NULL) {
        load_die("threads", "no memory");
    }
    *sum = (load_stat_t){ .cpu_s = -load_cpu(0), .server_cpu_s = conf->pid != 0 ? -load_cpu(conf->pid) : 0 };
    s->next = 0;
    s->begin = load_now();
    s->end = conf->seconds > 0 && !s->learn ? s->begin + (int64_t) (conf->seconds * 1e9) : INT64_MAX - DRAIN_NS;
    for (unsigned i = 0; i < conf->threads; i++) {
        driver_init(&drivers[i], s, i, i * each, each);
    }
    for (unsigned i = 1; i < conf->threads; i++) {
        if (pthread_create(&drivers[i].thread, NULL, driver_run, &drivers[i]) != 0) {
            load_die("thread", "cannot be started");
        }
    }
    driver_run(&drivers[0]);
    for (unsigned i = 0; i < conf->threads; i++) {
        if (i > 0) {
            pthread_join(drivers[i].thread, NULL);
        }
        load_stat_add(sum, &drivers[i].stat);
        driver_free(&drivers[i]);
    }
    free(drivers);
    sum->cpu_s += load_cpu(0);
    sum->server_cpu_s += conf->pid != 0 ? load_cpu(conf->pid) : 0;
    return (double) (load_now() - s->begin) / 1e9;
}

static void
since_make(share_t *s)
{
    time_t    now = time(NULL);
    struct tm t;

    gmtime_r(&now, &t);
    strftime(s->since, sizeof(s->since), "If-Modified-Since: %a, %d %b %Y %H:%M:%S GMT\r\n", &t);
}

double
load_run(const load_conf_t *conf, load_stat_t *sum)
{
    share_t s = { .conf = conf };
    double  seconds;

    if (conf->method != LOAD_PLAIN) {
        load_template_make(&s.request, &conf->url, conf->method, conf->issuer, conf->hash, LOAD_SERIAL_LEN, conf->nonce_len);
        load_check_init(&s.check, conf->issuer);
        s.serials = load_serials(conf->count);
    }
    if (conf->condition == LOAD_IF_MODIFIED_SINCE) {
        since_make(&s);
    } else if (conf->condition == LOAD_IF_NONE_MATCH) {
        s.etags = calloc(conf->count, CONDITION_MAX);
        if (s.etags == NULL) {
            load_die("ETags", "no memory");
        }
        s.learn = true;
        pass_run(&s, sum);
        s.learn = false;
        if (sum->answers < conf->count) {
            load_die("ETags", "were not learned");
        }
    }
    seconds = pass_run(&s, sum);
    X509_STORE_free(s.check.trust);
    free(s.serials);
    free(s.etags);
    return seconds;
}
