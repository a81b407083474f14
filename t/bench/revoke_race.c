/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Revocations against relying parties: each trial revokes a certificate by the management API and, as soon as that
 * call has returned, asks every nginx worker for it.  Or it asks the edge of another orchestrator again and again
 * until that says revoked, and tells how long it took.  See usage[].
 *
 * Workers are told apart by the field X-Worker, which the test's nginx configuration adds ($pid).
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <netinet/tcp.h>
#include <openssl/ocsp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "t/bench/load/load.h"

#define WORKERS_MAX 16
#define TRIES_MAX   2000 /* connections that are made to meet every worker */
#define GIVE_UP_NS  INT64_C(30000000000)
#define AGAIN_US    1000 /* between asking; without a pause the asking itself is what an edge is busy with */
#define CHECK_EVERY 64 /* one answer in so many is verified completely */

static const char usage[] =
    "usage: revoke_race url=http://ADDRESS:PORT/PATH issuer=FILE api=SOCKET key=KEY [NAME=VALUE ...]\n"
    "\n"
    "Revokes managed certificates MARK{i} whose serials are those of edge_fill's count=N, and prints one line of JSON.\n"
    "\n"
    "  url=URL        OCSP, without the base64\n"
    "  issuer=FILE    PEM\n"
    "  api=SOCKET     unix socket of the management API; key=KEY: its bearer key\n"
    "  mark=TEXT      ids are MARK followed by the number (mc-bench-)\n"
    "  first=N        the first certificate (0); count=N: trials (100)\n"
    "  revokers=N     threads, each with its own connections (16)\n"
    "  workers=N      nginx workers that each trial asks (2)\n"
    "  until=0        1: ask one worker every millisecond until it says revoked, and measure the time from the\n"
    "                 call's start (seen_...) and from its return (after_...)\n"
    "  pause=MS       between the trials of a thread (0)\n";

typedef struct {
    load_url_t    url;
    X509         *issuer;
    const char   *api, *key, *mark;
    size_t        first, count;
    unsigned      revokers, workers, pause_ms;
    bool          until;
    load_check_t  check;
    uint8_t     (*serials)[LOAD_SERIAL_LEN];
    load_template_t request;
    atomic_size_t next;
} race_t;

/* One connection, blocking, kept. */
typedef struct {
    int    fd;
    long   worker;
    char   in[LOAD_IN_MAX];
} ask_t;

typedef struct {
    race_t     *race;
    ask_t       api, ocsp[WORKERS_MAX];
    uint64_t    trials, good, revoked, unclear, refused, checked, wrong;
    load_stat_t call, seen, after;
    char        why[LOAD_REASON_MAX];
    pthread_t   thread;
} revoker_t;

/* ---- asking ---- */

static void
ask_send(ask_t *q, const char *p, size_t len)
{
    while (len > 0) {
        ssize_t n = send(q->fd, p, len, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR) {
            load_die("send", strerror(errno));
        }
        p += n > 0 ? n : 0;
        len -= n > 0 ? (size_t) n : 0;
    }
}

static void
ask_receive(ask_t *q, load_answer_t *a)
{
    size_t  len = 0;
    int     whole = 0;

    while (whole == 0) {
        ssize_t n = recv(q->fd, q->in + len, sizeof(q->in) - len, 0);

        if (n == 0 || (n < 0 && errno != EINTR)) {
            load_die("receive", n == 0 ? "the connection was closed" : strerror(errno));
        }
        len += n > 0 ? (size_t) n : 0;
        whole = load_answer_read(q->in, len, a);
    }
    if (whole < 0 || a->close) {
        load_die("answer", "it cannot be read, or the connection is not kept");
    }
}

static int
ocsp_connect(const race_t *race)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    if (fd < 0 || connect(fd, (const struct sockaddr *) &race->url.address, sizeof(race->url.address)) != 0) {
        load_die(race->url.host, strerror(errno));
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

static void
ocsp_send(revoker_t *r, ask_t *q, size_t which)
{
    char   out[LOAD_OUT_MAX];
    size_t len = load_template_write(&r->race->request, r->race->serials[which], NULL, "", out);

    ask_send(q, out, len);
}

/* Connections to as many different workers as there are to be asked. */
static void
workers_meet(revoker_t *r)
{
    unsigned      met = 0;
    load_answer_t a;

    for (unsigned tries = 0; met < r->race->workers && tries < TRIES_MAX; tries++) {
        ask_t   *q = &r->ocsp[met];
        unsigned i = 0;

        q->fd = ocsp_connect(r->race);
        ocsp_send(r, q, r->race->first);
        ask_receive(q, &a);
        q->worker = a.worker;
        while (i < met && r->ocsp[i].worker != a.worker) {
            i++;
        }
        if (i < met) {
            close(q->fd);
        } else {
            met++;
        }
    }
    if (met < r->race->workers) {
        load_die("workers", "there are not as many, or they do not say who they are (X-Worker)");
    }
}

static void
api_connect(revoker_t *r)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };

    if (strlen(r->race->api) >= sizeof(to.sun_path)) {
        load_die(r->race->api, "is too long for a socket");
    }
    memcpy(to.sun_path, r->race->api, strlen(r->race->api));
    r->api.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (r->api.fd < 0 || connect(r->api.fd, (struct sockaddr *) &to, sizeof(to)) != 0) {
        load_die(r->race->api, strerror(errno));
    }
}

/* ---- one trial ---- */

static bool
certificate_revoke(revoker_t *r, size_t which)
{
    static const char body[] = "{\"reason\":\"superseded\"}";
    char              out[1024];
    load_answer_t     a;
    int               n = snprintf(out, sizeof(out),
                     "POST /api/v1/certificates/%s%zu/revoke HTTP/1.1\r\nHost: race\r\nAuthorization: Bearer %s\r\n"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     r->race->mark, which, r->race->key, sizeof(body) - 1, body);

    ask_send(&r->api, out, (size_t) n);
    ask_receive(&r->api, &a);
    if (a.status != 200 || memmem(a.body, a.body_len, "\"Revoked\"", 9) == NULL) {
        r->refused++;
        snprintf(r->why, sizeof(r->why), "revocation of %s%zu: %d %.*s", r->race->mark, which, a.status,
                 (int) (a.body_len > 80 ? 80 : a.body_len), a.body);
        return false;
    }
    return true;
}

/* certStatus of an answer, some of them verified completely. */
static int
status_of(revoker_t *r, const load_answer_t *a, size_t which, unsigned nth)
{
    int         status = a->status == 200 ? load_cert_status(a->body, a->body_len) : -1;
    const char *why;

    if (status >= 0 && (which + nth) % CHECK_EVERY == 0) {
        r->checked++;
        why = load_check(&r->race->check, a->body, a->body_len, r->race->serials[which], LOAD_SERIAL_LEN, NULL, 0, &status);
        if (why != NULL) {
            r->wrong++;
            snprintf(r->why, sizeof(r->why), "certificate %zu: %s", which, why);
        }
    }
    return status;
}

static void
trial_all(revoker_t *r, size_t which)
{
    load_answer_t a;

    for (unsigned i = 0; i < r->race->workers; i++) {
        ocsp_send(r, &r->ocsp[i], which);
    }
    for (unsigned i = 0; i < r->race->workers; i++) {
        ask_receive(&r->ocsp[i], &a);
        switch (status_of(r, &a, which, i)) {
        case V_OCSP_CERTSTATUS_REVOKED:
            r->revoked++;
            break;
        case V_OCSP_CERTSTATUS_GOOD:
            r->good++;
            snprintf(r->why, sizeof(r->why), "certificate %zu: worker %ld said good", which, r->ocsp[i].worker);
            break;
        default:
            r->unclear++;
            snprintf(r->why, sizeof(r->why), "certificate %zu: HTTP %d, OCSP status %d", which, a.status,
                     load_ocsp_status(a.body, a.body_len));
        }
    }
}

static void
trial_until(revoker_t *r, size_t which, int64_t begun)
{
    int64_t       returned = load_now(), now = returned;
    load_answer_t a;
    int           status;

    for (;;) {
        ocsp_send(r, &r->ocsp[0], which);
        ask_receive(&r->ocsp[0], &a);
        now = load_now();
        status = status_of(r, &a, which, 0);
        if (status != V_OCSP_CERTSTATUS_GOOD || now - returned >= GIVE_UP_NS) {
            break;
        }
        usleep(AGAIN_US);
    }
    if (status == V_OCSP_CERTSTATUS_REVOKED) {
        r->revoked++;
        load_stat_latency(&r->seen, now - begun);
        load_stat_latency(&r->after, now - returned);
    } else {
        r->unclear++;
        snprintf(r->why, sizeof(r->why), "certificate %zu: not revoked after %d s", which, (int) ((now - returned) / 1000000000));
    }
}

static void *
revoker_run(void *arg)
{
    revoker_t *r = arg;
    race_t    *race = r->race;
    size_t     which;
    int64_t    begun;

    while ((which = atomic_fetch_add(&race->next, 1)) < race->first + race->count) {
        begun = load_now();
        r->trials++;
        if (!certificate_revoke(r, which)) {
            continue;
        }
        load_stat_latency(&r->call, load_now() - begun);
        if (race->until) {
            trial_until(r, which, begun);
        } else {
            trial_all(r, which);
        }
        if (race->pause_ms > 0) {
            usleep(race->pause_ms * 1000);
        }
    }
    return NULL;
}

/* ---- all of them ---- */

static void
revoker_add(revoker_t *sum, const revoker_t *r)
{
    sum->trials += r->trials;
    sum->good += r->good;
    sum->revoked += r->revoked;
    sum->unclear += r->unclear;
    sum->refused += r->refused;
    sum->checked += r->checked;
    sum->wrong += r->wrong;
    load_stat_add(&sum->call, &r->call);
    load_stat_add(&sum->seen, &r->seen);
    load_stat_add(&sum->after, &r->after);
    if (sum->why[0] == '\0') {
        memcpy(sum->why, r->why, sizeof(sum->why));
    }
}

static void
race_print(const revoker_t *s, double seconds)
{
    const struct {
        const char        *name;
        const load_stat_t *stat;
    } rows[] = { { "call", &s->call }, { "seen", &s->seen }, { "after", &s->after } };

    printf("{\"trials\": %llu, \"good\": %llu, \"revoked\": %llu, \"unclear\": %llu, \"refused\": %llu, \"checked\": %llu, "
           "\"wrong\": %llu, \"seconds\": %.3f",
           (unsigned long long) s->trials, (unsigned long long) s->good, (unsigned long long) s->revoked,
           (unsigned long long) s->unclear, (unsigned long long) s->refused, (unsigned long long) s->checked,
           (unsigned long long) s->wrong, seconds);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        printf(", \"%s_p50_ms\": %.2f, \"%s_p99_ms\": %.2f, \"%s_max_ms\": %.2f", rows[i].name,
               load_stat_percentile(rows[i].stat, 0.5) / 1000, rows[i].name, load_stat_percentile(rows[i].stat, 0.99) / 1000,
               rows[i].name, load_stat_percentile(rows[i].stat, 1) / 1000);
    }
    printf(", \"why\": \"");
    for (const char *p = s->why; *p != '\0'; p++) {
        putchar(*p == '"' || *p == '\\' || (unsigned char) *p < ' ' ? ' ' : *p);
    }
    printf("\"}\n");
}

static void
race_run(race_t *race)
{
    revoker_t *v = calloc(race->revokers, sizeof(*v)), *sum = calloc(1, sizeof(*sum));
    int64_t    begin;

    if (v == NULL || sum == NULL) {
        load_die("threads", "no memory");
    }
    for (unsigned i = 0; i < race->revokers; i++) {
        v[i].race = race;
        api_connect(&v[i]);
        workers_meet(&v[i]);
    }
    begin = load_now();
    for (unsigned i = 0; i < race->revokers; i++) {
        if (pthread_create(&v[i].thread, NULL, revoker_run, &v[i]) != 0) {
            load_die("thread", "cannot be started");
        }
    }
    for (unsigned i = 0; i < race->revokers; i++) {
        pthread_join(v[i].thread, NULL);
        revoker_add(sum, &v[i]);
    }
    race_print(sum, (double) (load_now() - begin) / 1e9);
    free(v);
    free(sum);
}

static bool
option_is(const char *option, const char *name, const char **value)
{
    size_t len = strlen(name);

    *value = option + len + 1;
    return strncmp(option, name, len) == 0 && option[len] == '=';
}

static void
option_read(race_t *race, const char *option)
{
    const struct {
        const char *name;
        unsigned   *value, most;
    } numbers[] = {
        { "revokers", &race->revokers, 1000 },
        { "workers", &race->workers, WORKERS_MAX },
        { "pause", &race->pause_ms, 10000 },
    };
    const char *v;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (option_is(option, numbers[i].name, &v)) {
            *numbers[i].value = (unsigned) strtoul(v, NULL, 10);
            if (*numbers[i].value > numbers[i].most) {
                load_die(option, "is too much");
            }
            return;
        }
    }
    if (option_is(option, "url", &v)) {
        load_url_parse(v, &race->url);
    } else if (option_is(option, "issuer", &v)) {
        race->issuer = load_certificate(v);
    } else if (option_is(option, "api", &v)) {
        race->api = v;
    } else if (option_is(option, "key", &v)) {
        race->key = v;
    } else if (option_is(option, "mark", &v)) {
        race->mark = v;
    } else if (option_is(option, "first", &v)) {
        race->first = strtoul(v, NULL, 10);
    } else if (option_is(option, "count", &v)) {
        race->count = strtoul(v, NULL, 10);
    } else if (option_is(option, "until", &v)) {
        race->until = v[0] == '1';
    } else {
        load_die(option, "is not an option (--help)");
    }
}

int
main(int argc, char **argv)
{
    race_t race = { .mark = "mc-bench-", .count = 100, .revokers = 16, .workers = 2 };

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        option_read(&race, argv[i]);
    }
    if (race.url.path == NULL || race.issuer == NULL || race.api == NULL || race.key == NULL || race.revokers == 0
        || race.workers == 0 || race.count == 0) {
        load_die("url, issuer, api or key", "is missing (--help)");
    }
    load_template_make(&race.request, &race.url, LOAD_POST, race.issuer, "sha1", LOAD_SERIAL_LEN, 0);
    load_check_init(&race.check, race.issuer);
    race.serials = load_serials(race.first + race.count);
    race.next = race.first;
    race_run(&race);
    free(race.serials);
    X509_STORE_free(race.check.trust);
    X509_free(race.issuer);
    return 0;
}
