/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The counters' zone.  A series is an issuer in one part, and holds one slot for each worker that has counted
 * for it.  A worker takes a seat when it starts: one that is free or whose worker is dead, with the slots and
 * their counts as they are, so that sums never go down.  Nothing is ever freed; series, seats and slots are
 * found and added under the zone's lock, and counted in without one.
 */
#include "ngx_module/ngx_http_pki_metrics.h"

#include <signal.h>

#include "pkiproto/ocsp/response.h"

#define NGX_HTTP_PKI_SLOT_SIZE   256 /* a slab's chunk, which begins at a multiple of its size */
#define NGX_HTTP_PKI_ISSUER_MAX  64

_Static_assert(sizeof(ngx_http_pki_slot_t) <= NGX_HTTP_PKI_SLOT_SIZE, "a slot has grown out of its chunk");

typedef struct ngx_http_pki_seat_s   ngx_http_pki_seat_t;
typedef struct ngx_http_pki_series_s ngx_http_pki_series_t;

struct ngx_http_pki_seat_s {
    ngx_http_pki_seat_t *next;
    ngx_uint_t           no;
    ngx_pid_t            pid; /* 0: free */
};

struct ngx_http_pki_series_s {
    ngx_http_pki_series_t *next;
    ngx_http_pki_slot_t   *slots;
    ngx_http_pki_part_t    part;
    size_t                 len;
    uint8_t                issuer[];
};

/* The root of what is in the zone. */
typedef struct {
    ngx_http_pki_series_t *series; /* in the order of their making */
    ngx_http_pki_seat_t   *seats;
    ngx_uint_t             seat_count;
} ngx_http_pki_table_t;

struct ngx_http_pki_metrics_s {
    ngx_shm_zone_t       *zone; /* NULL: no pki_metrics */
    ngx_slab_pool_t      *pool;
    ngx_http_pki_table_t *table;

    /* Of this process. */
    ngx_http_pki_seat_t  *seat;
    ngx_http_pki_slot_t  *none[NGX_HTTP_PKI_PARTS];
    ngx_http_pki_slot_t   spare[NGX_HTTP_PKI_PARTS]; /* counted in where nobody looks */
    ngx_uint_t            full;                      /* said so in the log */
};

const ngx_http_pki_result_row_t ngx_http_pki_result_rows[] = {
#define NGX_HTTP_PKI_RESULT(part, outcome, label) { NGX_HTTP_PKI_##part, outcome, label },
#include "ngx_module/ngx_http_pki_metrics.inc"
    { NGX_HTTP_PKI_PARTS, 0, NULL }
};

const ngx_http_pki_bucket_row_t ngx_http_pki_bucket_rows[NGX_HTTP_PKI_BUCKETS] = {
#define NGX_HTTP_PKI_BUCKET(ns, le) { ns, le },
#include "ngx_module/ngx_http_pki_metrics.inc"
};

/* ---- counting ---- */

/* The first of a part's rows. */
static const ngx_http_pki_result_row_t *
ngx_http_pki_result_first(ngx_http_pki_part_t part)
{
    const ngx_http_pki_result_row_t *row = ngx_http_pki_result_rows;

    while (row->part != part) {
        row++;
    }
    return row;
}

void
ngx_http_pki_metrics_done(ngx_http_pki_slot_t *slot, ngx_int_t outcome, uint64_t began)
{
    const ngx_http_pki_result_row_t *first = ngx_http_pki_result_first(slot->part), *row = first;
    uint64_t                         took = ngx_http_pki_metrics_clock() - began;
    ngx_uint_t                       i = 0;

    while (row->outcome != 0 && row->outcome != outcome) {
        row++;
    }
    while (i < NGX_HTTP_PKI_BUCKETS && took > ngx_http_pki_bucket_rows[i].ns) {
        i++;
    }
    slot->result[row - first]++;
    slot->bucket[i]++;
    slot->took_ns += took;
}

ngx_int_t
ngx_http_pki_metrics_status(const ngx_http_request_t *r, ngx_int_t rc)
{
    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }
    return r->err_status != 0 ? r->err_status : r->headers_out.status;
}

static void
ngx_http_pki_metrics_ended(void *data)
{
    ngx_http_pki_watch_t *w = data;

    ngx_http_pki_metrics_done(w->slot, ngx_http_pki_metrics_status(w->request, NGX_OK), w->began);
}

ngx_http_pki_watch_t *
ngx_http_pki_metrics_watch(ngx_http_request_t *r, ngx_http_pki_part_t part)
{
    ngx_http_cleanup_t   *cln = ngx_http_cleanup_add(r, sizeof(ngx_http_pki_watch_t));
    ngx_http_pki_watch_t *w;

    if (cln == NULL) {
        return NULL;
    }
    w = cln->data;
    w->request = r;
    w->slot = ngx_http_pki_metrics_none(r, part);
    w->began = ngx_http_pki_metrics_clock();
    cln->handler = ngx_http_pki_metrics_ended;
    return w;
}

/* ---- slots ---- */

static ngx_http_pki_series_t *
ngx_http_pki_metrics_series(ngx_http_pki_metrics_t *m, ngx_http_pki_part_t part, bytes_t issuer)
{
    ngx_http_pki_series_t *s, **last = &m->table->series;

    for (s = *last; s != NULL; s = s->next) {
        if (s->part == part && bytes_eq(bytes_of(s->issuer, s->len), issuer)) {
            return s;
        }
        last = &s->next;
    }
    s = ngx_slab_calloc_locked(m->pool, sizeof(*s) + issuer.len);
    if (s == NULL) {
        return NULL;
    }
    s->part = part;
    s->len = issuer.len;
    ngx_memcpy(s->issuer, issuer.p, issuer.len);
    *last = s;
    return s;
}

/* Inside the lock: this worker's slot; NULL when the zone is full. */
static ngx_http_pki_slot_t *
ngx_http_pki_metrics_own(ngx_http_pki_metrics_t *m, ngx_http_pki_part_t part, bytes_t issuer)
{
    ngx_http_pki_series_t *s = ngx_http_pki_metrics_series(m, part, issuer);
    ngx_http_pki_slot_t   *slot;

    if (s == NULL) {
        return NULL;
    }
    for (slot = s->slots; slot != NULL; slot = slot->next) {
        if (slot->seat == m->seat->no) {
            return slot;
        }
    }
    slot = ngx_slab_calloc_locked(m->pool, NGX_HTTP_PKI_SLOT_SIZE);
    if (slot != NULL) {
        slot->part = part;
        slot->seat = m->seat->no;
        slot->next = s->slots;
        s->slots = slot;
    }
    return slot;
}

ngx_http_pki_slot_t *
ngx_http_pki_metrics_find(ngx_http_request_t *r, ngx_http_pki_part_t part, ngx_http_pki_slots_t *kept,
                          bytes_t issuer)
{
    ngx_http_pki_metrics_t *m = ngx_http_pki_metrics_of(r);
    ngx_http_pki_slot_t    *slot = NULL;

    if (m->seat == NULL || issuer.len == 0 || issuer.len > NGX_HTTP_PKI_ISSUER_MAX) {
        kept->slot[part] = m->none[part];
        return kept->slot[part];
    }
    ngx_shmtx_lock(&m->pool->mutex);
    slot = ngx_http_pki_metrics_own(m, part, issuer);
    ngx_shmtx_unlock(&m->pool->mutex);

    if (slot == NULL) {
        slot = m->none[part];
        if (!m->full) {
            m->full = 1;
            ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                          "pki: pki_metrics has no room for all issuers; some are counted without a name");
        }
    }
    kept->slot[part] = slot;
    return slot;
}

ngx_http_pki_slot_t *
ngx_http_pki_metrics_none(ngx_http_request_t *r, ngx_http_pki_part_t part)
{
    return ngx_http_pki_metrics_of(r)->none[part];
}

/* ---- the zone ---- */

ngx_http_pki_metrics_t *
ngx_http_pki_metrics_new(ngx_conf_t *cf)
{
    ngx_http_pki_metrics_t *m = ngx_pcalloc(cf->pool, sizeof(*m));
    ngx_uint_t              i;

    for (i = 0; m != NULL && i < NGX_HTTP_PKI_PARTS; i++) {
        m->spare[i].part = i;
        m->none[i] = &m->spare[i];
    }
    return m;
}

static ngx_int_t
ngx_http_pki_metrics_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_pki_metrics_t *old = data, *m = zone->data;

    m->pool = (ngx_slab_pool_t *) zone->shm.addr;
    if (old != NULL) {
        m->table = old->table;
        return NGX_OK;
    }
    if (zone->shm.exists) {
        m->table = m->pool->data;
        return NGX_OK;
    }
    m->table = ngx_slab_calloc(m->pool, sizeof(*m->table));
    if (m->table == NULL) {
        return NGX_ERROR;
    }
    m->pool->data = m->table;
    m->pool->log_nomem = 0;
    return NGX_OK;
}

char *
ngx_http_pki_metrics_zone(ngx_conf_t *cf, ngx_str_t *value, ngx_http_pki_metrics_t *m, void *tag)
{
    char *rv = ngx_http_pki_zone(cf, value, &m->zone, tag);

    if (rv == NGX_CONF_OK) {
        m->zone->data = m;
        m->zone->init = ngx_http_pki_metrics_init;
    }
    return rv;
}

/* Whoever sits there cannot count any more.  A pid that was given to another process keeps a seat busy. */
static ngx_uint_t
ngx_http_pki_seat_is_free(const ngx_http_pki_seat_t *seat)
{
    return seat->pid == 0 || seat->pid == ngx_pid || (kill(seat->pid, 0) == -1 && ngx_errno == NGX_ESRCH);
}

static ngx_http_pki_seat_t *
ngx_http_pki_seat_take(ngx_http_pki_metrics_t *m)
{
    ngx_http_pki_seat_t *seat;

    for (seat = m->table->seats; seat != NULL; seat = seat->next) {
        if (ngx_http_pki_seat_is_free(seat)) {
            seat->pid = ngx_pid;
            return seat;
        }
    }
    seat = ngx_slab_calloc_locked(m->pool, sizeof(*seat));
    if (seat != NULL) {
        seat->pid = ngx_pid;
        seat->no = m->table->seat_count++;
        seat->next = m->table->seats;
        m->table->seats = seat;
    }
    return seat;
}

void
ngx_http_pki_metrics_enter(ngx_http_pki_metrics_t *m, ngx_log_t *log)
{
    ngx_http_pki_slot_t *slot;
    ngx_uint_t           i;

    if (m->zone == NULL) {
        return;
    }
    ngx_shmtx_lock(&m->pool->mutex);
    m->seat = ngx_http_pki_seat_take(m);
    for (i = 0; m->seat != NULL && i < NGX_HTTP_PKI_PARTS; i++) {
        slot = ngx_http_pki_metrics_own(m, i, BYTES_LIT(""));
        m->none[i] = slot != NULL ? slot : &m->spare[i];
    }
    ngx_shmtx_unlock(&m->pool->mutex);

    if (m->seat == NULL) {
        ngx_log_error(NGX_LOG_WARN, log, 0, "pki: pki_metrics is full: this worker is not counted");
    }
}

void
ngx_http_pki_metrics_leave(ngx_http_pki_metrics_t *m)
{
    if (m->seat != NULL) {
        m->seat->pid = 0;
        m->seat = NULL;
    }
}

/* ---- sums ---- */

/* Its numbers only grow, and each is written in one piece: no lock against their writers. */
static void
ngx_http_pki_metrics_add(ngx_http_pki_slot_t *sum, const ngx_http_pki_slot_t *slot)
{
    const volatile uint64_t *from = (const volatile uint64_t *) slot;
    uint64_t                *to = (uint64_t *) sum;
    size_t                   i;

    for (i = 0; i < offsetof(ngx_http_pki_slot_t, part) / sizeof(uint64_t); i++) {
        to[i] += from[i];
    }
}

ngx_int_t
ngx_http_pki_metrics_sum(ngx_http_pki_metrics_t *m, ngx_pool_t *pool, ngx_array_t *sums)
{
    ngx_http_pki_series_t *s;
    ngx_http_pki_slot_t   *slot;
    ngx_http_pki_sum_t    *sum = NULL;

    if (ngx_array_init(sums, pool, 32, sizeof(*sum)) != NGX_OK) {
        return NGX_ERROR;
    }
    if (m->zone == NULL) {
        return NGX_OK;
    }
    ngx_shmtx_lock(&m->pool->mutex);
    for (s = m->table->series; s != NULL; s = s->next) {
        sum = ngx_array_push(sums);
        if (sum == NULL) {
            break;
        }
        ngx_memzero(sum, sizeof(*sum));
        sum->issuer = bytes_of(s->issuer, s->len); /* nothing is ever freed */
        sum->slot.part = s->part;
        for (slot = s->slots; slot != NULL; slot = slot->next) {
            ngx_http_pki_metrics_add(&sum->slot, slot);
        }
    }
    ngx_shmtx_unlock(&m->pool->mutex);
    return s == NULL ? NGX_OK : NGX_ERROR;
}
