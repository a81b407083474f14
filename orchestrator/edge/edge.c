/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Opening and closing this host's edge, publishing states, health.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "orchestrator/edge/part.h"

#define EDGE_TEE_MAX      ((size_t) 1 << 20)
#define EDGE_LOCK_TRIES   50 /* a predecessor that is closing gets 5 seconds */
#define EDGE_LOCK_WAIT_US 100000
#define EDGE_CRL_WAIT_MS  10000

bool
edge_stopping(edge_t *e)
{
    bool stopping;

    pthread_mutex_lock(&e->lock);
    stopping = e->stopping;
    pthread_mutex_unlock(&e->lock);
    return stopping;
}

void
edge_hear(edge_t *e, edge_heard_pt fn, void *arg)
{
    pthread_mutex_lock(&e->heard_lock);
    e->heard = fn;
    e->heard_arg = arg;
    pthread_mutex_unlock(&e->heard_lock);
}

void
edge_wait_until(edge_t *e, int64_t due_us)
{
    struct timespec ts = { .tv_sec = due_us / 1000000, .tv_nsec = due_us % 1000000 * 1000 };

    (void) pthread_cond_timedwait(&e->wake, &e->lock, &ts);
}

/* Publishing */

edge_change_t
edge_change_of(const status_row_t *row)
{
    bool revoked = row->state == 'r' || row->state == 'h';

    return (edge_change_t){
        .authority = edge_authority((uint32_t) row->issuer_no, (uint32_t) row->generation),
        .serial = row->serial,
        .status.kind = row->state == 'r' ? EDGE_REVOKED : row->state == 'h' ? EDGE_HOLD : EDGE_GOOD,
        .status.reason = revoked ? (int) row->reason : -1,
        .status.revision = (uint32_t) row->revision,
        .status.revoked_at = revoked ? row->revoked_at : 0,
        .status.invalidity_at = revoked ? row->invalidity_at : 0,
        .status.not_after = row->not_after,
        .status.cert_hash = row->fingerprint,
    };
}

/* Remember a change for the store that is being built; beyond the bound the rebuild starts over. */
static void
tee_add(edge_tee_t *tee, const edge_change_t *c)
{
    if (tee->count == tee->cap) {
        size_t cap = tee->cap == 0 ? 1024 : 2 * tee->cap;
        void  *v = cap <= EDGE_TEE_MAX ? realloc(tee->v, cap * sizeof(*tee->v)) : NULL;

        if (v == NULL) {
            tee->overflow = true;
            return;
        }
        tee->v = v;
        tee->cap = cap;
    }
    tee->v[tee->count].authority = c->authority;
    tee->v[tee->count].serial_len = (uint8_t) c->serial.len;
    memcpy(tee->v[tee->count].serial, c->serial.p, c->serial.len);
    if (c->status.cert_hash.len == EDGE_STATUS_HASH) {
        memcpy(tee->v[tee->count].hash, c->status.cert_hash.p, EDGE_STATUS_HASH);
    }
    tee->v[tee->count++].status = c->status;
}

typedef struct {
    edge_t              *edge;
    const edge_change_t *changes;
    size_t               count;
} publish_t;

static pki_code_t
publish_write(env_t *env, MDB_txn *txn, void *arg, pki_err_t *err)
{
    publish_t *p = arg;
    bool       newer;

    for (size_t i = 0; i < p->count; i++) {
        const edge_change_t *c = &p->changes[i];

        PKI_TRY(env_status_put(env, txn, c->authority, c->serial, &c->status, &newer, err));
        if (p->edge->tee.on) {
            tee_add(&p->edge->tee, c);
        }
    }
    return PKI_OK;
}

pki_code_t
edge_publish(edge_t *e, const edge_change_t *changes, size_t count, pki_err_t *err)
{
    publish_t p = { .edge = e, .changes = changes, .count = count };

    return writer_run(e->writer, publish_write, &p, err);
}

/* A configuration change is known as soon as it is asked for, published or not: issuance reads it from PostgreSQL. */
pki_code_t
edge_reconfigure(edge_t *e, pki_err_t *err)
{
    pki_arena_t    *a;
    issuer_chain_t *issuers;
    size_t          count, made = 0;
    pki_code_t      code;

    atomic_fetch_add(&e->config_version, 1);
    PKI_TRY(responders_ensure(e, &made, err));
    PKI_TRY(config_publish(e, err));
    a = pki_arena_new(0);
    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = issuer_row_list(e->db, a, &issuers, &count, err);
    for (size_t i = 0; code == PKI_OK && i < count; i++) {
        if (issuers[i].chain_len != 0) {
            crl_wait(e, (uint32_t) issuers[i].issuer.no, EDGE_CRL_WAIT_MS);
        }
    }
    pki_arena_free(a);
    return code;
}

uint64_t
edge_config_version(edge_t *e)
{
    return atomic_load(&e->config_version);
}

void
edge_crl_request(edge_t *e, uint32_t authority, bytes_t serial)
{
    crl_want(e, authority, serial);
}

void
edge_health(edge_t *e, edge_health_t *out)
{
    *out = (edge_health_t){
        .ready = writer_has_env(e->writer) && atomic_load(&e->in_step) && atomic_load(&e->configured)
                 && atomic_load(&e->kept_up),
        .synced_at = atomic_load(&e->synced_at),
        .statuses = writer_statuses(e->writer),
        .crls_built = atomic_load(&e->crls_built),
        .crl_failures = atomic_load(&e->crl_failures),
        .crl_differences = atomic_load(&e->crl_differences),
        .rebuilds = atomic_load(&e->rebuilds),
        .changes_applied = atomic_load(&e->changes_applied),
    };
}

/* Opening */

static pki_code_t
folder_path(const edge_t *e, const char *name, char out[EDGE_PATH_MAX], pki_err_t *err)
{
    int n = snprintf(out, EDGE_PATH_MAX, "%s/%s", e->conf->edge.dir, name);

    return n > 0 && n < EDGE_PATH_MAX ? PKI_OK : pki_fail(err, PKI_E_CONFIG, NULL, "edge.dir is too long");
}

/* Two feeders of one folder would undo each other's work. */
static pki_code_t
folder_lock(edge_t *e, pki_err_t *err)
{
    e->lock_fd = open(e->conf->edge.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (e->lock_fd < 0) {
        return pki_fail(err, PKI_E_CONFIG, NULL, "edge.dir %s: %s", e->conf->edge.dir, strerror(errno));
    }
    for (int i = 0; flock(e->lock_fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (i == EDGE_LOCK_TRIES) {
            return pki_fail(err, PKI_E_CONFIG, NULL, "edge.dir %s is in use by another process", e->conf->edge.dir);
        }
        usleep(EDGE_LOCK_WAIT_US);
    }
    return PKI_OK;
}

static pki_code_t
folders_make(edge_t *e, pki_err_t *err)
{
    PKI_TRY(dir_make(e->conf->edge.dir, 02750, err));
    PKI_TRY(folder_path(e, EDGE_STORE_DIR, e->store_dir, err));
    PKI_TRY(folder_path(e, EDGE_STORE_DIR ".new", e->build_dir, err));
    PKI_TRY(folder_path(e, EDGE_CRL_DIR, e->crl_dir, err));
    PKI_TRY(folder_path(e, EDGE_KEY_DIR, e->key_dir, err));
    PKI_TRY(dir_make(e->crl_dir, 02750, err));
    PKI_TRY(dir_make(e->key_dir, 02750, err));
    return folder_lock(e, err);
}

/* Use the store that is there, when it can be used. */
static pki_code_t
store_attach(env_t **env, void *arg, pki_err_t *err)
{
    edge_t     *e = arg;
    env_t      *found = NULL;
    env_state_t state;
    MDB_txn    *txn;
    pki_code_t  code;
    int         rc;

    PKI_TRY(env_open(e->store_dir, &found, err));
    rc = mdb_txn_begin(found->env, NULL, MDB_RDONLY, &txn);
    code = rc == 0 ? env_state_get(found, txn, &state, err) : env_fail(found, rc, "begin", err);
    if (rc == 0) {
        mdb_txn_abort(txn);
    }
    if (code != PKI_OK) {
        env_close(found, false);
        return code;
    }
    e->position = (change_position_t){ state.s.xid, state.s.seq };
    atomic_store(&e->synced_at, state.s.synced_at);
    *env = found;
    return PKI_OK;
}

/* Those that run; the others were never started. */
static void
threads_stop(edge_t *e, size_t crl_threads)
{
    pthread_mutex_lock(&e->lock);
    e->stopping = true;
    pthread_cond_broadcast(&e->wake);
    pthread_mutex_unlock(&e->lock);
    for (size_t i = 0; i < crl_threads; i++) {
        pthread_join(e->crl_threads[i], NULL);
    }
}

static pki_code_t
threads_start(edge_t *e, pki_err_t *err)
{
    size_t n = 0;
    bool   upkeep;

    while (n < EDGE_CRL_THREADS && pthread_create(&e->crl_threads[n], NULL, crl_thread, e) == 0) {
        n++;
    }
    upkeep = n == EDGE_CRL_THREADS && pthread_create(&e->upkeep_thread, NULL, upkeep_thread, e) == 0;
    if (upkeep && pthread_create(&e->feed_thread, NULL, feed_thread, e) == 0) {
        return PKI_OK;
    }
    threads_stop(e, n);
    if (upkeep) {
        pthread_join(e->upkeep_thread, NULL);
    }
    return pki_fail(err, PKI_E_INTERNAL, NULL, "a thread of the edge does not start");
}

/* Two processes may be two hosts for all that PostgreSQL knows, if their folders differ. */
static void
host_name(edge_t *e)
{
    char name[256] = "";

    (void) gethostname(name, sizeof(name) - 1);
    snprintf(e->host, sizeof(e->host), "%s:%s", name, e->conf->edge.dir);
}

static pki_code_t
parts_open(edge_t *e, pki_err_t *err)
{
    pki_err_t why = { 0 };

    host_name(e);
    PKI_TRY(folders_make(e, err));
    PKI_TRY(env_discard(e->build_dir, err)); /* of a rebuild, or a swap, that was cut off */
    PKI_TRY(writer_open(&e->writer, err));
    if (writer_swap(e->writer, store_attach, e, &why) != PKI_OK) {
        log_failure(LOG_INFO, "edge.store_unusable", &why);
    }
    return threads_start(e, err);
}

static void
edge_free(edge_t *e)
{
    writer_close(e->writer, true);
    if (e->lock_fd >= 0) {
        close(e->lock_fd);
    }
    sweep_free(&e->crl_sweep);
    sweep_free(&e->key_sweep);
    free(e->tee.v);
    crl_jobs_free(e);
    pthread_mutex_destroy(&e->lock);
    pthread_mutex_destroy(&e->heard_lock);
    pthread_mutex_destroy(&e->config_lock);
    pthread_mutex_destroy(&e->responder_lock);
    pthread_cond_destroy(&e->wake);
    free(e);
}

pki_code_t
edge_open(const conf_t *conf, db_t *db, signer_t *signer, edge_t **out, pki_err_t *err)
{
    edge_t            *e = calloc(1, sizeof(*e));
    pthread_condattr_t attr;
    pki_code_t         code;

    if (e == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    e->conf = conf;
    e->db = db;
    e->signer = signer;
    e->lock_fd = -1;
    pthread_mutex_init(&e->lock, NULL);
    pthread_mutex_init(&e->heard_lock, NULL);
    pthread_mutex_init(&e->config_lock, NULL);
    pthread_mutex_init(&e->responder_lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&e->wake, &attr);
    pthread_condattr_destroy(&attr);

    code = parts_open(e, err);
    if (code != PKI_OK) {
        edge_free(e);
        return code;
    }
    *out = e;
    return PKI_OK;
}

void
edge_close(edge_t *e)
{
    if (e == NULL) {
        return;
    }
    threads_stop(e, EDGE_CRL_THREADS);
    pthread_join(e->upkeep_thread, NULL);
    pthread_join(e->feed_thread, NULL);
    edge_free(e);
}
