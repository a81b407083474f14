/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A load of signing calls while the signer is killed again and again; TAP on standard output.  It
 * plays master and orchestrator: `signer_load DIR SECONDS`, and starts itself as `signer_load --signer DIR FD`.
 * DIR/passphrase is there; the journal and the keys stay for others to look at.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/x509.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/signer/process.h"
#include "orchestrator/signer/signer.h"
#include "pkiproto/x509/cert.h"

#define CALLERS 12
#define REF     "file:load"

typedef struct {
    uint8_t (*v)[CERT_SERIAL_LEN]; /* of certificates whose signature was received and verified */
    size_t    count, cap;
    pthread_t thread;
} caller_t;

static char           passphrase[4096];
static conf_t         conf;
static int            ends[2];
static signer_t      *client;
static bytes_t        spki;
static caller_t       callers[CALLERS];
static atomic_int     failures, unverified;
static atomic_bool    over;
static int            tests;

static void
ok(bool good, const char *what)
{
    printf("%sok %d - %s\n", good ? "" : "not ", ++tests, what);
}

static void
die(const char *what)
{
    printf("Bail out! %s: %s\n", what, strerror(errno));
    exit(1);
}

static pid_t
signer_start(const char *self)
{
    char   fd[16];
    pid_t  pid;

    snprintf(fd, sizeof(fd), "%d", ends[1]);
    pid = fork();
    if (pid < 0) {
        die("fork");
    }
    if (pid == 0) {
        execl(self, self, "--signer", conf.signer.dir, fd, (char *) NULL);
        _exit(127);
    }
    return pid;
}

static bytes_t
tbs_make(pki_arena_t *a, const uint8_t serial[CERT_SERIAL_LEN])
{
    cert_template_t t = {
        .serial = bytes_of(serial, CERT_SERIAL_LEN),
        .not_before = 1700000000,
        .not_after = 1900000000,
        .spki = spki,
        .sigalg = pki_key_sigalg(PKI_KEY_P256),
        .path_len = -1,
        .key_usage = KU_DIGITAL_SIGNATURE,
    };
    pki_buf_t b;

    pki_buf_init(&b, a, CERT_MAX);
    if (name_build(a, "CN=Load", &t.subject, NULL) != PKI_OK) {
        die("name");
    }
    t.issuer = t.subject;
    if (cert_build_tbs(&t, &b, NULL) != PKI_OK) {
        die("tbs");
    }
    return pki_buf_bytes(&b);
}

static bool
verified(EVP_PKEY *key, bytes_t tbs, bytes_t signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool        good = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1
                && EVP_DigestVerify(ctx, signature.p, signature.len, tbs.p, tbs.len) == 1;

    EVP_MD_CTX_free(ctx);
    return good;
}

static void
serial_keep(caller_t *c, const uint8_t serial[CERT_SERIAL_LEN])
{
    if (c->count == c->cap) {
        c->cap = c->cap != 0 ? c->cap * 2 : 1024;
        c->v = realloc(c->v, c->cap * sizeof(*c->v));
        if (c->v == NULL) {
            die("memory");
        }
    }
    memcpy(c->v[c->count++], serial, CERT_SERIAL_LEN);
}

static void *
caller_run(void *arg)
{
    caller_t      *c = arg;
    pki_arena_t   *a = pki_arena_new(0);
    const uint8_t *p = spki.p;
    EVP_PKEY      *key = d2i_PUBKEY(NULL, &p, (long) spki.len);
    uint8_t        serial[CERT_SERIAL_LEN];
    bytes_t        tbs, signature;
    pki_err_t      err;

    while (!atomic_load(&over)) {
        cert_serial_generate(serial, NULL);
        tbs = tbs_make(a, serial);
        if (signer_sign_cert(client, a, REF, 1, bytes_of(serial, sizeof(serial)), tbs, &signature, &err) != PKI_OK) {
            printf("# %s\n", err.text);
            atomic_fetch_add(&failures, 1);
        } else if (!verified(key, tbs, signature)) {
            atomic_fetch_add(&unverified, 1);
        } else {
            serial_keep(c, serial);
        }
        pki_arena_reset(a);
    }
    EVP_PKEY_free(key);
    pki_arena_free(a);
    return NULL;
}

static int
serial_cmp(const void *a, const void *b)
{
    return memcmp(a, b, CERT_SERIAL_LEN);
}

/* All serials of the journal, sorted. */
static uint8_t (*journal_serials(size_t *count))[CERT_SERIAL_LEN]
{
    caller_t                all = { 0 };
    pki_arena_t            *a = pki_arena_new(0);
    signer_journal_entry_t *e;
    uint64_t                from = 0;
    size_t                  n;

    for (;;) {
        if (signer_journal_read(client, a, from, 1000, &e, &n, NULL) != PKI_OK) {
            die("journal");
        }
        if (n == 0) {
            break;
        }
        for (size_t i = 0; i < n; i++) {
            if (e[i].serial.len == CERT_SERIAL_LEN) {
                serial_keep(&all, e[i].serial.p);
            }
        }
        from = e[n - 1].next;
        pki_arena_reset(a);
    }
    pki_arena_free(a);
    qsort(all.v, all.count, CERT_SERIAL_LEN, serial_cmp);
    *count = all.count;
    return all.v;
}

static void
results_tell(int kills)
{
    size_t         journaled, received = 0, missing = 0;
    signer_stats_t stats;
    uint8_t (*serials)[CERT_SERIAL_LEN] = journal_serials(&journaled);

    for (int i = 0; i < CALLERS; i++) {
        received += callers[i].count;
        for (size_t n = 0; n < callers[i].count; n++) {
            missing += bsearch(callers[i].v[n], serials, journaled, CERT_SERIAL_LEN, serial_cmp) == NULL;
        }
        free(callers[i].v);
    }
    free(serials);
    signer_stats(client, &stats);
    printf("# %zu signatures, %zu journal entries, %llu syncs of the last signer, %d kills, %llu restarts seen\n",
           received, journaled, (unsigned long long) stats.syncs, kills, (unsigned long long) stats.restarts_seen);
    ok(received > 0 && stats.signatures == received, "signatures were made");
    ok(kills > 3 && stats.restarts_seen > 0, "the signer was killed several times meanwhile");
    ok(atomic_load(&failures) == 0, "every call was answered");
    ok(atomic_load(&unverified) == 0, "every signature verifies");
    ok(missing == 0, "every signature's serial is in the journal");
}

/* Restart and kill until the time is over; the last signer stays. */
static pid_t
kill_again_and_again(const char *self, pid_t pid, int64_t until_us, int *kills)
{
    for (*kills = 0; clock_mono_us() < until_us; ++*kills) {
        usleep(50000 + (useconds_t) (rand() % 250000));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        pid = signer_start(self);
    }
    return pid;
}

static int
load_run(const char *self, int64_t seconds)
{
    pki_arena_t *a = pki_arena_new(0);
    pki_err_t    err = { 0 };
    pid_t        pid;
    int          kills, status;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0 || signer_open(dup(ends[0]), 20000, &client, &err) != PKI_OK) {
        die("socket");
    }
    log_configure(LOG_ERROR, "load");
    pid = signer_start(self);
    if (signer_key_make(client, a, REF, "p-256", &spki, &err) != PKI_OK) {
        die(err.text);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_create(&callers[i].thread, NULL, caller_run, &callers[i]);
    }
    pid = kill_again_and_again(self, pid, clock_mono_us() + seconds * 1000000, &kills);
    atomic_store(&over, true);
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
    }
    results_tell(kills);
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    ok(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the signer stops when asked to");
    signer_close(client);
    pki_arena_free(a);
    printf("1..%d\n", tests);
    return 0;
}

int
main(int argc, char **argv)
{
    bool is_signer = argc == 4 && strcmp(argv[1], "--signer") == 0;

    if (!is_signer && argc != 3) {
        fprintf(stderr, "usage: signer_load DIR SECONDS\n");
        return 2;
    }
    conf.log_level = "error";
    conf.signer.dir = argv[is_signer ? 2 : 1];
    snprintf(passphrase, sizeof(passphrase), "%s/passphrase", conf.signer.dir);
    conf.signer.passphrase_file = passphrase;
    return is_signer ? signer_process_run(&conf, (int) strtol(argv[3], NULL, 10))
                     : load_run(argv[0], strtol(argv[2], NULL, 10));
}
