/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * One turn of a CRL job.  A number is taken in PostgreSQL first, and is never used twice.  What the list is to have is
 * read in one snapshot: as a rule only what has changed since the list that this host serves, which is then made
 * out of its own file; all entries when there is none, when something does not fit, and every refresh as a check of
 * the former.  The delta is made of the same snapshot and has the same number.  What was written is read back and
 * verified before any record names it.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/edge/crl_turn.h"

/* Before anything is read */

/* RFC 5280 3.3: those that had ended when the last list was made have been on one. */
static int64_t
turn_floor(const crl_order_t *o, int64_t this_update)
{
    int64_t kept = this_update - o->rules.keep_expired_s, floor = o->before < kept ? o->before : kept;

    return floor > 0 ? floor : 1; /* a time of 0 would be none */
}

static pki_code_t
turn_prepare(crl_turn_t *u, pki_err_t *err)
{
    const crl_order_t *o = u->order;
    int64_t            above = o->list.number > o->delta.number ? o->list.number : o->delta.number;

    PKI_TRY(issuer_row_find_generation(u->edge->db, u->arena, o->id.issuer_no, o->id.generation, &u->issuer, err));
    PKI_TRY(edge_ca_of(u->arena, &u->issuer, &u->ca, err));
    if ((u->ca.cert.key_usage & KU_CRL_SIGN) == 0 && u->ca.cert.key_usage != 0) {
        return pki_fail(err, PKI_E_POLICY, "RFC 5280 4.2.1.3", "the key usage of issuer %s does not allow it to sign CRLs",
                        u->ca.issuer_id);
    }
    PKI_TRY(crl_number_next(u->edge->db, u->arena, &o->id, above, &u->number, err));
    u->this_update = clock_now();
    u->floor = turn_floor(o, u->this_update);
    return PKI_OK;
}

/* The list that is served, if it is what is expected: there is another one to come when it is not. */
static void
served_open(crl_turn_t *u)
{
    const crl_list_t *list = &u->order->list;
    pki_err_t         why = { 0 };
    const char       *path;

    if (list->file[0] == '\0' || !u->order->full) {
        return;
    }
    path = edge_path(u->arena, u->edge->crl_dir, list->file);
    if (path == NULL || crl_map_open(path, &u->served, &why) != PKI_OK
        || crl_parse(bytes_of(u->served.p, u->served.len), &u->now, &why) != PKI_OK)
    {
        log_failure(LOG_WARN, "crl.file_unusable", &why);
        crl_map_close(&u->served);
        u->now = (crl_view_t){ 0 };
    }
}

/* Clocks may differ: no entry is later than the list (RFC 5280 5.1.2.4), nor its invalidity than it (5.3.2). */
static void
entry_clamp(crl_turn_t *u, crl_entry_t *e)
{
    if (e->revoked_at > u->this_update) {
        e->revoked_at = u->this_update;
        u->clamped = true;
    }
    e->invalidity_at = e->invalidity_at < e->revoked_at ? e->invalidity_at : e->revoked_at;
    e->reason = e->reason == 0 ? -1 : e->reason;
}

static pki_code_t
turn_entry(const crl_entry_t *entry, void *arg, pki_err_t *err)
{
    crl_turn_t     *u = arg;
    crl_entry_t e = *entry;

    entry_clamp(u, &e);
    return crl_spool_add(u->spool, &e, err);
}

static void
changes_clamp(crl_turn_t *u, crl_since_t *s)
{
    for (size_t i = 0; i < s->count; i++) {
        entry_clamp(u, &s->v[i].entry);
    }
}

static pki_code_t
turn_read(crl_turn_t *u, bool reread, pki_err_t *err)
{
    const crl_order_t *o = u->order;
    bool        fits = u->now.tbs.p != NULL && o->list.this_update <= u->this_update;
    crl_query_t q = { .id = o->id,
                      .floor = u->floor,
                      .since = fits ? o->list.number : 0,
                      .delta = o->rules.delta_s != 0 && o->id.scope.kind == CRL_FULL,
                      .reread = reread,
                      .entry = o->full ? turn_entry : NULL,
                      .arg = u };

    PKI_TRY(crl_spool_open(u->edge->crl_dir, u->spool, err));
    PKI_TRY(crl_read(u->edge->db, u->arena, &q, &u->state, err));
    changes_clamp(u, &u->state.since);
    changes_clamp(u, &u->state.delta);
    return crl_spool_end(u->spool, &u->spooled, err);
}

/* The full list or a shard */

static pki_code_t
entries_merge(crl_make_t *m, crl_t *into, crl_merged_t *done, pki_err_t *err)
{
    crl_turn_t *u = m->turn;

    return crl_merge(into, u->now.entries, u->order->list.this_update, u->state.since.v, u->state.since.count,
                     crl_map_walked, &u->served, done, err);
}

/* SHA-256 of the entries of a list that is not sealed yet: it is sealed for that, and anew later. */
static pki_code_t
entries_digest(crl_make_t *m, crl_t *crl, crl_map_t *map, uint8_t out[EVP_MAX_MD_SIZE], size_t *len, pki_err_t *err)
{
    crl_template_t t = m->t;

    t.sigalg = pki_key_sigalg(PKI_KEY_P256);
    PKI_TRY(crl_seal(crl, &t, err));
    return crl_digest(crl, crl_map_walked, map, out, EVP_MAX_MD_SIZE, len, err);
}

/*
 * All entries were read though the changes would have been enough: the two ways to the list have to agree.  What the
 * table says is right, and the difference is for people to look at.
 */
static void
self_check(crl_make_t *m)
{
    crl_turn_t  *u = m->turn;
    crl_t       *other = crl_new();
    uint8_t      a[EVP_MAX_MD_SIZE], b[EVP_MAX_MD_SIZE];
    size_t       a_len = 0, b_len = 0;
    crl_merged_t done;
    bool         same;

    if (other == NULL) {
        return;
    }
    same = entries_merge(m, other, &done, NULL) == PKI_OK
           && entries_digest(m, other, &u->served, a, &a_len, NULL) == PKI_OK
           && entries_digest(m, m->crl, &u->spooled, b, &b_len, NULL) == PKI_OK
           && bytes_eq(bytes_of(a, a_len), bytes_of(b, b_len));
    if (!same) {
        atomic_fetch_add(&u->edge->crl_differences, 1);
        log_error("crl.differs", LOG_S("issuer", u->ca.issuer_id), LOG_I("generation", m->id.generation),
                  LOG_I("number", u->order->list.number), LOG_I("by_changes", crl_count(other)),
                  LOG_I("by_table", crl_count(m->crl)));
    }
    crl_free(other);
}

/* All entries: nothing that the served list has may be missing without a reason.  A damaged list has no say. */
static pki_code_t
full_reread(crl_make_t *m, pki_err_t *err)
{
    crl_turn_t *u = m->turn;
    bytes_t     entries = bytes_of(u->spooled.p, u->spooled.len);
    pki_code_t  code;

    PKI_TRY(crl_add_run(m->crl, entries, u->spool->count, u->this_update, err));
    if (u->now.tbs.p == NULL) {
        return PKI_OK;
    }
    if (u->state.since.usable && !u->clamped) {
        self_check(m);
    }
    code = crl_check_missing(u->edge->db, &m->id, u->floor, &u->served, u->now.entries, &u->spooled, entries, err);
    if (code == PKI_E_PARSE) {
        log_failure(LOG_ERROR, "crl.file_unusable", err);
        return PKI_OK;
    }
    return code;
}

static pki_code_t
full_run(crl_make_t *m, pki_err_t *err)
{
    crl_turn_t      *u = m->turn;
    crl_wanted_t wanted = { &u->ca.cert, &m->t, 0 };
    crl_merged_t done;

    PKI_TRY(crl_make_frame(m, err));
    if (u->now.tbs.p != NULL) {
        PKI_TRY(crl_check_frame(bytes_of(u->served.p, u->served.len), &wanted, err));
    }
    PKI_TRY(u->state.read ? full_reread(m, err) : entries_merge(m, m->crl, &done, err));
    return crl_make_finish(m, err);
}

static pki_code_t
delta_run(crl_make_t *m, pki_err_t *err)
{
    const crl_since_t *d = &m->turn->state.delta;

    PKI_TRY(crl_make_frame(m, err));
    for (size_t i = 0; i < d->count; i++) {
        PKI_TRY(crl_add(m->crl, &d->v[i].entry, err));
    }
    return crl_make_finish(m, err);
}

/* The turn */

typedef pki_code_t (*make_pt)(crl_make_t *m, pki_err_t *err);

static pki_code_t
turn_list(crl_turn_t *u, crl_scope_t scope, make_pt run, crl_make_t **m, pki_err_t *err)
{
    pki_code_t code;

    PKI_TRY(crl_make_open(u, scope, m, err));
    code = run(*m, err);
    if (code != PKI_OK) {
        crl_make_failed(*m, err);
    }
    return code;
}

static pki_code_t
turn_make(crl_turn_t *u, pki_err_t *err)
{
    crl_make_t *full = NULL, *delta = NULL;
    pki_code_t  code = PKI_OK;

    if (u->order->full) {
        code = turn_list(u, u->order->id.scope, full_run, &full, err);
    }
    if (code == PKI_OK && !u->state.delta.usable && u->state.delta.number != 0) {
        log_warn("crl.delta_too_large", LOG_S("issuer", u->ca.issuer_id), LOG_I("base", u->state.delta.number));
    }
    if (code == PKI_OK && u->state.delta.usable) {
        code = turn_list(u, (crl_scope_t){ CRL_DELTA, 0 }, delta_run, &delta, err);
    }
    if (code == PKI_OK && full != NULL) {
        crl_make_compress(full);
    }
    if (code == PKI_OK && delta != NULL) {
        crl_make_compress(delta);
    }
    crl_make_close(full);
    crl_make_close(delta);
    return code;
}

static pki_code_t
turn_run(crl_turn_t *u, pki_err_t *err)
{
    u->spool = calloc(1, sizeof(*u->spool));
    if (u->spool == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    u->spool->fd = -1;
    PKI_TRY(turn_prepare(u, err));
    served_open(u);
    PKI_TRY(turn_read(u, u->order->reread, err));
    return turn_make(u, err);
}

pki_code_t
crl_build(edge_t *e, const crl_order_t *order, pki_err_t *err)
{
    crl_turn_t     u = { .edge = e, .order = order, .arena = pki_arena_new(0), .started_us = clock_mono_us() };
    pki_code_t code;

    if (u.arena == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    code = turn_run(&u, err);
    if (code != PKI_OK && code != PKI_E_NOT_FOUND) {
        atomic_fetch_add(&e->crl_failures, 1);
        log_failure(LOG_ERROR, "crl.failed", err);
    }
    crl_map_close(&u.served);
    crl_map_close(&u.spooled);
    if (u.spool != NULL) {
        crl_spool_close(u.spool);
    }
    free(u.spool);
    pki_arena_free(u.arena);
    return code;
}
