/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The orchestrator process.  Parts are opened from the bottom up and closed in the reverse order.  None of them
 * needs PostgreSQL to be there: until it is, callers are told to come again.
 */
#include "orchestrator/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <openssl/crypto.h>

#include "core/log.h"
#include "orchestrator/api/api.h"
#include "orchestrator/search.h"

#define DAEMON_SIGNER_MS    5000
#define DAEMON_SECURE_HEAP  (1 << 20)
#define DAEMON_SECURE_BLOCK 64

/* Integers that need no restart take effect at once: the parts read them from *conf each time they use them. */
static void
reload_table(const field_t *table, void *live, const void *fresh)
{
    for (const field_t *f = table; f->type != FIELD_T_END; f++) {
        char       *to = (char *) live + f->offset;
        const char *from = (const char *) fresh + f->offset;

        if (f->type == FIELD_T_OBJECT) {
            reload_table(f->sub, to, from);
        } else if (f->type == FIELD_T_INT && !(f->flags & F_RESTART)) {
            __atomic_store_n((int64_t *) (void *) to, *(const int64_t *) (const void *) from, __ATOMIC_RELAXED);
        }
    }
}

/* The key that seals from now on, and those that open: a rotation begins and ends with a change of the file. */
static void
keyring_follow(keyring_t *keyring, const conf_t *conf)
{
    pki_err_t err = { 0 };

    if (keyring_reload(keyring, conf->master_key_file, &err) != PKI_OK) {
        log_failure(LOG_ERROR, "master_key.reload_refused", &err);
    }
}

static void
daemon_reload(conf_t *conf, const char *conf_path, keyring_t *keyring)
{
    pki_arena_t *a = pki_arena_new(0);
    log_level_t  level;
    pki_err_t    err;
    conf_t       fresh;

    if (a == NULL || conf_read(a, conf_path, &fresh, NULL, &err) != PKI_OK) {
        log_failure(LOG_ERROR, "config.reload_refused", &err);
    } else {
        reload_table(conf_fields, conf, &fresh);
        if (log_level_parse(fresh.log_level, &level)) {
            log_configure(level, "orchestrator");
        }
        keyring_follow(keyring, conf);
        log_info("config.reloaded", LOG_S("log_level", fresh.log_level));
    }
    pki_arena_free(a);
}

static void
serve(api_t *api, jobs_t *jobs, conf_t *conf, const char *conf_path, keyring_t *keyring, const sigset_t *set)
{
    for (;;) {
        int sig = sigwaitinfo(set, NULL);

        if (sig == SIGHUP) {
            daemon_reload(conf, conf_path, keyring);
        } else if (sig == SIGTERM || sig == SIGINT) {
            break;
        }
    }
    log_info("process.draining", LOG_I("drain_s", conf->drain_s));
    jobs_drain(jobs);
    api_drain(api, conf->drain_s);
}

static pki_code_t
parts_run(conf_t *conf, const char *conf_path, int signer_fd, const sigset_t *set, pki_err_t *err)
{
    api_parts_t parts = { .conf = conf };
    api_t      *api = NULL;
    search_t   *search = NULL;
    pki_code_t  rc;

    rc = keyring_load(conf->master_key_file, &parts.keyring, err);
    if (rc == PKI_OK) {
        rc = db_open(&conf->database, &parts.db, err);
    }
    if (rc == PKI_OK) {
        rc = signer_open(signer_fd, DAEMON_SIGNER_MS, &parts.signer, err);
    }
    if (rc == PKI_OK) {
        rc = edge_open(conf, parts.db, parts.signer, &parts.edge, err);
    }
    if (rc == PKI_OK) {
        rc = issue_open(conf, parts.db, parts.signer, parts.edge, &parts.issue, err);
    }
    if (rc == PKI_OK) {
        const job_parts_t jobs = { .conf = conf, .db = parts.db, .edge = parts.edge, .issue = parts.issue };

        rc = jobs_open(&jobs, &parts.jobs, err);
    }
    if (rc == PKI_OK) {
        rc = search_open(parts.db, &search, err);
    }
    if (rc == PKI_OK) {
        rc = api_open(&parts, &api, err);
    }
    if (rc == PKI_OK) {
        log_info("process.serving", LOG_S("api", conf->listen.api_socket), LOG_S("edge", conf->listen.edge_socket));
        serve(api, parts.jobs, conf, conf_path, parts.keyring, set);
    }
    api_close(api);
    search_close(search);
    jobs_close(parts.jobs);
    issue_close(parts.issue);
    edge_close(parts.edge);
    signer_close(parts.signer);
    db_close(parts.db);
    keyring_free(parts.keyring);
    return rc;
}

int
daemon_run(conf_t *conf, const char *conf_path, int signer_fd)
{
    const struct rlimit no_core = { 0, 0 };
    sigset_t            set;
    pki_err_t           err = { 0 };
    log_level_t         level = LOG_INFO;

    log_level_parse(conf->log_level, &level);
    log_configure(level, "orchestrator");
    prctl(PR_SET_NAME, "chancery-orch");
    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGPIPE, SIG_IGN);

    /* Before any thread, so that all of them leave these signals to serve(). */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);

    if (CRYPTO_secure_malloc_init(DAEMON_SECURE_HEAP, DAEMON_SECURE_BLOCK) == 0) {
        log_warn("process.no_secure_heap", LOG_I("octets", DAEMON_SECURE_HEAP));
    }
    if (parts_run(conf, conf_path, signer_fd, &set, &err) != PKI_OK) {
        log_failure(LOG_ERROR, "process.start_failed", &err);
        return EXIT_FAILURE;
    }
    log_info("process.stopped", LOG_S("role", "orchestrator"));
    return EXIT_SUCCESS;
}
