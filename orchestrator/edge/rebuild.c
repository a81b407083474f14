/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A new edge store from PostgreSQL: statuses in key order into an environment of its own, then one swap between
 * two commits.  What is published meanwhile goes to the old store and is remembered (the tee), so that
 * nothing that a caller was told is visible is missing from the new one.
 */
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/edge/part.h"

#define REBUILD_COMMIT 200000          /* statuses in one transaction */
#define REBUILD_KEEP_S (7 * 24 * 3600) /* certificates that ended longer ago are left out */
#define REBUILD_MADE_MAX ((size_t) 1 << 20)
#define REBUILD_SEEN_US 1500000        /* a worker looks for another store once in a second */

typedef struct {
    edge_t           *edge;
    pki_arena_t      *arena;
    bytes_t           made; /* settings that the statuses are made with */
    env_t            *env;
    MDB_txn          *txn;
    size_t            pending;
    uint64_t          count;
    int64_t           synced_at;
    change_position_t position;
} rebuild_t;

/*
 * Which issuers' statuses have the certificate's hash.  Asked before the statuses are read: should it change in between,
 * the next look finds that it has changed.
 */
static pki_code_t
made_with(edge_t *e, pki_arena_t *a, bytes_t *out, pki_err_t *err)
{
    issuer_chain_t   *rows;
    issuer_settings_t settings;
    size_t            count;
    pki_buf_t         text;

    pki_buf_init(&text, a, REBUILD_MADE_MAX);
    pki_buf_printf(&text, "hash:");
    PKI_TRY(issuer_row_list(e->db, a, &rows, &count, err));
    for (size_t i = 0; i < count; i++) {
        PKI_TRY(issuer_settings_read(a, &rows[i].issuer, &settings, err));
        if (settings.ocsp_cert_hash) {
            pki_buf_printf(&text, " %lld", (long long) rows[i].issuer.no);
        }
    }
    *out = pki_buf_bytes(&text);
    return pki_buf_check(&text, "what the edge store is made with", err);
}

static pki_code_t
tee_start(env_t **env, void *arg, pki_err_t *err)
{
    edge_t *e = arg;

    (void) env;
    (void) err;
    e->tee.on = true;
    e->tee.overflow = false;
    e->tee.count = 0;
    return PKI_OK;
}

static pki_code_t
tee_stop(env_t **env, void *arg, pki_err_t *err)
{
    edge_t *e = arg;

    (void) env;
    (void) err;
    e->tee.on = false;
    e->tee.count = 0;
    return PKI_OK;
}

static pki_code_t
load_begin(rebuild_t *r, pki_err_t *err)
{
    int rc = mdb_txn_begin(r->env->env, NULL, 0, &r->txn);

    r->pending = 0;
    return rc == 0 ? PKI_OK : env_fail(r->env, rc, "begin", err);
}

static pki_code_t
load_commit(rebuild_t *r, pki_err_t *err)
{
    int rc = mdb_txn_commit(r->txn);

    r->txn = NULL;
    return rc == 0 ? PKI_OK : env_fail(r->env, rc, "commit", err);
}

static pki_code_t
load_status(const status_row_t *row, void *arg, pki_err_t *err)
{
    rebuild_t    *r = arg;
    edge_change_t c = edge_change_of(row);

    if (r->pending == REBUILD_COMMIT) {
        PKI_TRY(load_commit(r, err));
        if (edge_stopping(r->edge)) {
            return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "stopping");
        }
        PKI_TRY(load_begin(r, err));
    }
    r->pending++;
    r->count++;
    return env_status_append(r->env, r->txn, c.authority, c.serial, &c.status, err);
}

static pki_code_t
load_statuses(rebuild_t *r, pki_err_t *err)
{
    pki_code_t code;

    r->synced_at = clock_now();
    PKI_TRY(load_begin(r, err));
    code = status_each(r->edge->db, r->synced_at - REBUILD_KEEP_S, load_status, r, &r->position, err);
    if (code == PKI_OK) {
        return load_commit(r, err);
    }
    if (r->txn != NULL) {
        mdb_txn_abort(r->txn);
    }
    return code;
}

/* The small databases are taken over as they are: configuration is published to whichever store is in place. */
static pki_code_t
swap_copy(rebuild_t *r, env_t *old, MDB_txn *txn, env_state_t *state, pki_err_t *err)
{
    static const env_db_t small[] = { ENV_ISSUER, ENV_RESPONDER, ENV_CRL, ENV_PROFILE, ENV_ACCOUNT };
    MDB_txn              *old_txn;
    env_state_t           old_state;
    pki_code_t            code = PKI_OK;
    int                   rc = mdb_txn_begin(old->env, NULL, MDB_RDONLY, &old_txn);

    if (rc != 0) {
        return env_fail(old, rc, "begin", err);
    }
    for (size_t i = 0; code == PKI_OK && i < sizeof(small) / sizeof(small[0]); i++) {
        code = env_copy_db(old, old_txn, r->env, txn, small[i], err);
    }
    if (code == PKI_OK && env_state_get(old, old_txn, &old_state, NULL) == PKI_OK &&
        old_state.s.generation != 0) {
        state->s.generation = old_state.s.generation + 1;
    }
    mdb_txn_abort(old_txn);
    return code;
}

static pki_code_t
swap_write(rebuild_t *r, env_t *old, MDB_txn *txn, pki_err_t *err)
{
    edge_tee_t *tee = &r->edge->tee;
    env_state_t state;
    bool        newer;

    if (tee->overflow) {
        return pki_fail(err, PKI_E_UNAVAILABLE, NULL, "too many changes during the rebuild");
    }
    for (size_t i = 0; i < tee->count; i++) {
        tee->v[i].status.cert_hash.p = tee->v[i].hash;
        PKI_TRY(env_status_put(r->env, txn, tee->v[i].authority, bytes_of(tee->v[i].serial, tee->v[i].serial_len),
                               &tee->v[i].status, &newer, err));
    }
    PKI_TRY(env_state_get(r->env, txn, &state, err));
    state.s.synced_at = r->synced_at;
    state.s.xid = r->position.xid;
    state.s.seq = r->position.seq;
    /* A store that is damaged has nothing to hand over; the caller publishes the configuration afterwards. */
    if (old != NULL && !old->damaged) {
        PKI_TRY(swap_copy(r, old, txn, &state, err));
    }
    PKI_TRY(env_made_put(r->env, txn, r->made, err));
    return env_state_put(r->env, txn, &state, err);
}

static pki_code_t
swap_commit(rebuild_t *r, env_t *old, pki_err_t *err)
{
    MDB_txn   *txn;
    pki_code_t code;
    int        rc = mdb_txn_begin(r->env->env, NULL, 0, &txn);

    if (rc != 0) {
        return env_fail(r->env, rc, "begin", err);
    }
    code = swap_write(r, old, txn, err);
    if (code != PKI_OK) {
        mdb_txn_abort(txn);
        return code;
    }
    rc = mdb_txn_commit(txn);
    return rc == 0 ? PKI_OK : env_fail(r->env, rc, "commit", err);
}

/*
 * In a turn of the writer.  The new folder takes the place of the old one before that is marked retired, so that a
 * reader which sees the mark finds the new one at once.
 *
 * Where there is no old one to be marked (it was deleted, or may be damaged), workers may have it open all the
 * same, and know everything that anybody was told so far.  Nothing more is published until all of them have looked.
 */
static pki_code_t
swap_run(env_t **env, void *arg, pki_err_t *err)
{
    rebuild_t *r = arg;
    env_t     *old = *env;

    PKI_TRY(swap_commit(r, old, err));
    PKI_TRY(env_rename(r->env, r->edge->store_dir, err));
    r->edge->tee.on = false;
    r->edge->tee.count = 0;
    *env = r->env;
    r->env = NULL;
    if (old == NULL || env_retire(old, NULL) != PKI_OK) {
        usleep(REBUILD_SEEN_US);
    }
    env_close(old, false);
    return PKI_OK;
}

static pki_code_t
rebuild_into(rebuild_t *r, pki_err_t *err)
{
    pki_code_t code;

    PKI_TRY(made_with(r->edge, r->arena, &r->made, err));
    PKI_TRY(env_create(r->edge->build_dir, &r->env, err));
    code = load_statuses(r, err);
    if (code == PKI_OK) {
        code = writer_swap(r->edge->writer, swap_run, r, err);
    }
    if (r->env != NULL) {
        env_close(r->env, false);
    }
    (void) env_discard(r->edge->build_dir, NULL); /* the old store, or what a failure left */
    return code;
}

pki_code_t
rebuild_run(edge_t *e, const char *why, pki_err_t *err)
{
    rebuild_t  r = { .edge = e, .arena = pki_arena_new(0) };
    int64_t    started = clock_mono_us();
    pki_code_t code;

    if (r.arena == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = writer_swap(e->writer, tee_start, e, err);
    if (code == PKI_OK) {
        code = rebuild_into(&r, err);
    }
    pki_arena_free(r.arena);
    if (code != PKI_OK) {
        (void) writer_swap(e->writer, tee_stop, e, NULL);
        return code;
    }
    e->position = r.position;
    atomic_store(&e->synced_at, r.synced_at);
    atomic_fetch_add(&e->rebuilds, 1);
    log_info("edge.rebuilt", LOG_S("why", why), LOG_I("statuses", r.count),
             LOG_I("ms", (clock_mono_us() - started) / 1000));
    return PKI_OK;
}

typedef struct {
    bytes_t wanted;
    bool   *stale;
} due_t;

static pki_code_t
due_run(env_t *env, MDB_txn *txn, void *arg, pki_err_t *err)
{
    due_t     *d = arg;
    bytes_t    made;
    pki_code_t code = env_made_get(env, txn, &made, err);

    if (code != PKI_OK && code != PKI_E_NOT_FOUND) {
        return code;
    }
    *d->stale = code == PKI_E_NOT_FOUND || !bytes_eq(made, d->wanted);
    return PKI_OK;
}

pki_code_t
rebuild_due(edge_t *e, bool *stale, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    due_t        d = { .stale = stale };
    pki_code_t   code;

    *stale = false;
    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = made_with(e, a, &d.wanted, err);
    if (code == PKI_OK) {
        code = writer_run(e->writer, due_run, &d, err);
    }
    pki_arena_free(a);
    return code;
}
