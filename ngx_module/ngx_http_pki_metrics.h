/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What the modules count, by issuer: requests by result, events, and how long answers took.  The counters are
 * in memory that all workers share; each worker adds to a slot of its own, which nobody else writes, and the
 * page sums over the slots.  What is counted is in ngx_http_pki_metrics.inc.
 *
 *     slot = ngx_http_pki_metrics_slot(r, NGX_HTTP_PKI_CRL, &issuer->slots, issuer->record.id);
 *     ngx_http_pki_metrics_done(slot, NGX_HTTP_OK, began);
 */
#ifndef NGX_HTTP_PKI_METRICS_H
#define NGX_HTTP_PKI_METRICS_H

#include <time.h>

#include "ngx_module/ngx_http_pki_glue.h"

typedef enum {
    NGX_HTTP_PKI_OCSP,
    NGX_HTTP_PKI_CRL,
    NGX_HTTP_PKI_EST,
    NGX_HTTP_PKI_PARTS
} ngx_http_pki_part_t;

/* The outcomes of OCSP that are no ocsp_response_status_t. */
#define NGX_HTTP_PKI_OUTCOME_GOOD    0x100
#define NGX_HTTP_PKI_OUTCOME_REVOKED 0x101
#define NGX_HTTP_PKI_OUTCOME_UNKNOWN 0x102

typedef enum {
#define NGX_HTTP_PKI_EVENT(part, name, family, value) NGX_HTTP_PKI_EVENT_##name,
#include "ngx_module/ngx_http_pki_metrics.inc"
    NGX_HTTP_PKI_EVENTS
} ngx_http_pki_event_t;

#define NGX_HTTP_PKI_RESULTS_MAX 12 /* of one part */
#define NGX_HTTP_PKI_BUCKETS     9  /* of the histogram, without the one for all that took longer */

/* One worker's counters for one issuer in one part: four cache lines of its own, one chunk of a slab. */
typedef struct ngx_http_pki_slot_s ngx_http_pki_slot_t;
struct ngx_http_pki_slot_s {
    uint64_t             result[NGX_HTTP_PKI_RESULTS_MAX];
    uint64_t             event[NGX_HTTP_PKI_EVENTS];
    uint64_t             bucket[NGX_HTTP_PKI_BUCKETS + 1];
    uint64_t             took_ns;
    ngx_http_pki_part_t  part;
    ngx_uint_t           seat; /* whose it is */
    ngx_http_pki_slot_t *next; /* of another worker, for the same issuer and part */
};

/* Kept by whoever stands for an issuer, so that a slot is looked up once; zeros at first. */
typedef struct {
    ngx_http_pki_slot_t *slot[NGX_HTTP_PKI_PARTS];
} ngx_http_pki_slots_t;

/*
 * Where to count.  Never NULL: what cannot be counted for the issuer (the zone is full) goes to those that
 * have none, and without pki_metrics to memory that nobody reads.
 */
ngx_http_pki_slot_t *ngx_http_pki_metrics_find(ngx_http_request_t *r, ngx_http_pki_part_t part,
                                               ngx_http_pki_slots_t *kept, bytes_t issuer);

/* For requests that name no issuer of the store: whatever they name makes nothing new. */
ngx_http_pki_slot_t *ngx_http_pki_metrics_none(ngx_http_request_t *r, ngx_http_pki_part_t part);

static ngx_inline ngx_http_pki_slot_t *
ngx_http_pki_metrics_slot(ngx_http_request_t *r, ngx_http_pki_part_t part, ngx_http_pki_slots_t *kept,
                          bytes_t issuer)
{
    return kept->slot[part] != NULL ? kept->slot[part]
                                    : ngx_http_pki_metrics_find(r, part, kept, issuer);
}

/* Nanoseconds of a clock that only goes forward. */
static ngx_inline uint64_t
ngx_http_pki_metrics_clock(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;
}

static ngx_inline void
ngx_http_pki_metrics_event(ngx_http_pki_slot_t *slot, ngx_http_pki_event_t event)
{
    slot->event[event]++;
}

/*
 * A request that began at that time has its answer.  The outcome: an HTTP status; for OCSP a response status
 * or one of NGX_HTTP_PKI_OUTCOME_*.
 */
void ngx_http_pki_metrics_done(ngx_http_pki_slot_t *slot, ngx_int_t outcome, uint64_t began);

/* The HTTP status of a request whose handler returned rc. */
ngx_int_t ngx_http_pki_metrics_status(const ngx_http_request_t *r, ngx_int_t rc);

/*
 * For handlers that end elsewhere: count when the request ends, by its HTTP status.  Set slot when the issuer
 * is known; it is that of no issuer until then.  NULL when out of memory.
 */
typedef struct {
    ngx_http_request_t  *request;
    ngx_http_pki_slot_t *slot;
    uint64_t             began;
} ngx_http_pki_watch_t;

ngx_http_pki_watch_t *ngx_http_pki_metrics_watch(ngx_http_request_t *r, ngx_http_pki_part_t part);

/* ---- for the module that has the directives ---- */

typedef struct ngx_http_pki_metrics_s ngx_http_pki_metrics_t; /* the zone, as one process sees it */

ngx_http_pki_metrics_t *ngx_http_pki_metrics_of(ngx_http_request_t *r);

/* "zone=NAME:SIZE" of a directive. */
char *ngx_http_pki_metrics_zone(ngx_conf_t *cf, ngx_str_t *value, ngx_http_pki_metrics_t *m, void *tag);

ngx_http_pki_metrics_t *ngx_http_pki_metrics_new(ngx_conf_t *cf);
void                    ngx_http_pki_metrics_enter(ngx_http_pki_metrics_t *m, ngx_log_t *log); /* in the worker */
void                    ngx_http_pki_metrics_leave(ngx_http_pki_metrics_t *m);

/* Sums over all workers that ever were; in the order in which issuers were first asked for. */
typedef struct {
    bytes_t             issuer; /* empty: of no issuer */
    ngx_http_pki_slot_t slot;
} ngx_http_pki_sum_t;

ngx_int_t ngx_http_pki_metrics_sum(ngx_http_pki_metrics_t *m, ngx_pool_t *pool, ngx_array_t *sums);

/* The tables, for printing.  A row without a label ends them. */
typedef struct {
    ngx_http_pki_part_t part;
    ngx_int_t           outcome;
    const char         *label;
} ngx_http_pki_result_row_t;

typedef struct {
    uint64_t    ns;
    const char *le;
} ngx_http_pki_bucket_row_t;

extern const ngx_http_pki_result_row_t ngx_http_pki_result_rows[];
extern const ngx_http_pki_bucket_row_t ngx_http_pki_bucket_rows[NGX_HTTP_PKI_BUCKETS];

#endif
