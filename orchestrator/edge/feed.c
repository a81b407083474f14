/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The feed thread: follows PostgreSQL's change feed, decides when the store has to be rebuilt, and does what
 * comes round every minute.
 */
#include <sys/prctl.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/edge/part.h"

#define FEED_BATCH       1000
#define FEED_RETRY_US    1000000
#define FEED_MINUTE_US   60000000
#define FEED_PRUNE_US    600000000
#define FEED_KEEP_S      (3 * 24 * 3600) /* a feeder that was away longer rebuilds */
#define FEED_CRL_GRACE_S 60

typedef struct {
    edge_t      *edge;
    pki_arena_t *arena;                       /* of one cycle */
    const char  *rebuild;                     /* why, or NULL */
    bool         reconfigure;
    int64_t      minute_us, prune_us;         /* monotonic: when next */
    pki_code_t   failing;                     /* logged once until it passes */
} feed_t;

typedef struct {
    const change_t   *changes;
    bool             *newer;
    size_t            count;
    change_position_t position;
    int64_t           synced_at; /* 0: more is to come */
} feed_write_t;

static pki_code_t
feed_write(env_t *env, MDB_txn *txn, void *arg, pki_err_t *err)
{
    feed_write_t *w = arg;
    env_state_t   state;

    for (size_t i = 0; i < w->count; i++) {
        edge_change_t c = edge_change_of(&w->changes[i].status);

        if (w->changes[i].kind == CHANGE_STATUS) {
            PKI_TRY(env_status_put(env, txn, c.authority, c.serial, &c.status, &w->newer[i], err));
        }
    }
    PKI_TRY(env_state_get(env, txn, &state, err));
    state.s.xid = w->position.xid;
    state.s.seq = w->position.seq;
    if (w->synced_at > state.s.synced_at) {
        state.s.synced_at = w->synced_at;
    }
    return env_state_put(env, txn, &state, err);
}

/* A revocation that this host had not heard of (another orchestrator's, or ours just before it died). */
static void
feed_note(feed_t *f, const change_t *change, bool newer)
{
    if (change->kind == CHANGE_CONFIG) {
        atomic_fetch_add(&f->edge->config_version, 1);
        f->reconfigure = true;
    } else if (change->kind == CHANGE_STATUS && newer && change->status.state != 'g') {
        crl_want(f->edge, edge_authority((uint32_t) change->status.issuer_no, (uint32_t) change->status.generation),
                 change->status.serial);
    } else if (change->kind == CHANGE_CRL) {
        crl_heard(f->edge, change->issuer_no);
    }
}

static void
feed_tell(feed_t *f, const change_t *changes, size_t count)
{
    edge_t *e = f->edge;

    pthread_mutex_lock(&e->heard_lock);
    for (size_t i = 0; i < count && e->heard != NULL; i++) {
        if (changes[i].transaction_key.p != NULL) {
            e->heard(changes[i].transaction_key, e->heard_arg);
        }
    }
    pthread_mutex_unlock(&e->heard_lock);
}

/* A rebuild goes past changes without reading them one by one. */
static void
feed_missed(feed_t *f)
{
    edge_t *e = f->edge;

    pthread_mutex_lock(&e->heard_lock);
    if (e->heard != NULL) {
        e->heard(BYTES_NONE, e->heard_arg);
    }
    pthread_mutex_unlock(&e->heard_lock);
}

static pki_code_t
feed_step(feed_t *f, int64_t now, bool *more, pki_err_t *err)
{
    edge_t      *e = f->edge;
    feed_write_t w = { .position = e->position };
    change_t    *changes = NULL;
    bool         newer[FEED_BATCH] = { false };

    PKI_TRY(change_next(e->db, f->arena, e->position, FEED_BATCH, &changes, &w.count, err));
    *more = w.count == FEED_BATCH;
    if (w.count == 0 && now <= atomic_load(&e->synced_at)) {
        return PKI_OK;
    }
    if (w.count != 0) {
        w.position = changes[w.count - 1].position;
    }
    w.changes = changes;
    w.newer = newer;
    w.synced_at = *more ? 0 : now;
    PKI_TRY(writer_run(e->writer, feed_write, &w, err));

    e->position = w.position;
    atomic_fetch_add(&e->changes_applied, w.count);
    feed_tell(f, changes, w.count);
    for (size_t i = 0; i < w.count; i++) {
        feed_note(f, &changes[i], newer[i]);
    }
    if (!*more) {
        atomic_store(&e->synced_at, now);
    }
    return PKI_OK;
}

static pki_code_t
feed_follow(feed_t *f, pki_err_t *err)
{
    bool more = true;

    while (more && !edge_stopping(f->edge)) {
        pki_arena_reset(f->arena);
        PKI_TRY(feed_step(f, clock_now(), &more, err));
    }
    return PKI_OK;
}

/* Of an authority's responders with a kind of key, the newest whose key this host has. */
static bool
key_is_used(edge_t *e, pki_arena_t *a, const responder_row_t *rows, size_t i)
{
    for (size_t n = 0; n <= i; n++) {
        const char *path = edge_path(a, e->key_dir, rows[n].key_file);

        if (rows[n].issuer_no == rows[i].issuer_no && rows[n].ca_generation == rows[i].ca_generation
            && strcmp(rows[n].key_kind, rows[i].key_kind) == 0 && path != NULL && access(path, R_OK) == 0)
        {
            return n == i;
        }
    }
    return false;
}

static void
feed_sweep(feed_t *f)
{
    edge_t          *e = f->edge;
    responder_row_t *responders;
    str_list_t       crls = { 0 }, keys = { 0 };
    size_t           responder_count;

    pki_arena_reset(f->arena);
    if (crl_files(e, f->arena, &crls, NULL) != PKI_OK
        || responder_list(e->db, f->arena, &responders, &responder_count, NULL) != PKI_OK
        || PKI_NEW_N(f->arena, responder_count + 1, &keys.v, NULL) != PKI_OK)
    {
        return;
    }
    for (size_t i = 0; i < responder_count; i++) {
        if (key_is_used(e, f->arena, responders, i)) {
            keys.v[keys.count++] = responders[i].key_file;
        }
    }
    (void) sweep_run(&e->crl_sweep, e->crl_dir, &crls, FEED_CRL_GRACE_S);
    (void) sweep_run(&e->key_sweep, e->key_dir, &keys, 2 * e->conf->ocsp.validity_s);
}

static pki_code_t
env_check(env_t **env, void *arg, pki_err_t *err)
{
    feed_t *f = arg;
    int     dead;

    (void) err;
    if (*env == NULL) {
        f->rebuild = "missing";
        return PKI_OK;
    }
    if (!env_is_at(*env, f->edge->store_dir)) {
        f->rebuild = "deleted";
    } else if (env_is_bloated(*env)) {
        f->rebuild = "compaction";
    }
    if (mdb_reader_check((*env)->env, &dead) == 0 && dead > 0) {
        log_info("edge.readers_cleared", LOG_I("count", dead));
    }
    return PKI_OK;
}

/* Everything that comes round: dead readers, the folder, its size, old files, expired credentials, responders. */
static void
feed_minute(feed_t *f)
{
    int64_t now_us = clock_mono_us();
    size_t  removed;

    if (now_us < f->minute_us) {
        return;
    }
    f->minute_us = now_us + FEED_MINUTE_US;
    (void) writer_swap(f->edge->writer, env_check, f, NULL);
    feed_sweep(f);
    f->reconfigure = true;
    if (now_us >= f->prune_us) {
        f->prune_us = now_us + FEED_PRUNE_US;
        (void) change_prune(f->edge->db, FEED_KEEP_S, f->edge->conf->retry_window_s, &removed, NULL);
    }
}

static pki_code_t
feed_cycle(feed_t *f, pki_err_t *err)
{
    edge_t    *e = f->edge;
    pki_code_t code;
    bool       stale;

    if (!writer_has_env(e->writer) && f->rebuild == NULL) {
        f->rebuild = "missing";
    }
    if (writer_damaged(e->writer)) {
        f->rebuild = "damaged";
    }
    if (f->rebuild != NULL) {
        PKI_TRY(rebuild_run(e, f->rebuild, err));
        feed_missed(f);
        f->rebuild = NULL;
        f->reconfigure = true;
        e->config_known = false;
    }
    code = feed_follow(f, err);
    if (code == PKI_E_CONFLICT) {
        f->rebuild = "position";
        return code;
    }
    PKI_TRY(code);
    atomic_store(&e->in_step, true);
    feed_minute(f);
    if (f->reconfigure) {
        upkeep_want(e);
        PKI_TRY(config_publish(e, err));
        PKI_TRY(rebuild_due(e, &stale, err));
        f->reconfigure = false;
        f->rebuild = stale ? "settings" : f->rebuild;
    }
    return PKI_OK;
}

/* One line when it starts to fail, one when it works again. */
static void
feed_report(feed_t *f, pki_code_t code, const pki_err_t *err)
{
    if (code != PKI_OK && code != f->failing) {
        log_failure(LOG_WARN, "edge.feed_failed", err);
    } else if (code == PKI_OK && f->failing != PKI_OK) {
        log_info("edge.feed_recovered", LOG_I("synced_at", atomic_load(&f->edge->synced_at)));
    }
    f->failing = code;
    if (code != PKI_OK) {
        atomic_store(&f->edge->in_step, false);
    }
}

void *
feed_thread(void *arg)
{
    edge_t *e = arg;
    feed_t  f = { .edge = e, .arena = pki_arena_new(0), .reconfigure = true };

    (void) prctl(PR_SET_NAME, "edge-feed");
    if (f.arena == NULL) {
        log_error("edge.feed_failed", LOG_S("text", "out of memory"));
        return NULL;
    }
    f.prune_us = clock_mono_us() + FEED_PRUNE_US;
    while (!edge_stopping(e)) {
        pki_err_t  err = { 0 };
        pki_code_t code = feed_cycle(&f, &err);
        int64_t    wait_us = code == PKI_OK || f.rebuild != NULL ? e->conf->edge.poll_ms * 1000 : FEED_RETRY_US;
        int64_t    due_us = clock_mono_us() + wait_us;

        if (edge_stopping(e)) {
            break;
        }
        feed_report(&f, code, &err);
        pthread_mutex_lock(&e->lock);
        while (!e->stopping && clock_mono_us() < due_us) {
            edge_wait_until(e, due_us);
        }
        pthread_mutex_unlock(&e->lock);
    }
    pki_arena_free(f.arena);
    return NULL;
}
