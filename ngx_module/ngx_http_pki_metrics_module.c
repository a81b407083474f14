/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The directives of metrics, and the page in Prometheus' text exposition format.
 *
 *     pki_metrics zone=NAME:SIZE;      http; 256 octets for each issuer, module and worker
 *     pki_metrics_export;              location; for operators only: it is not protected by itself
 */
#include "ngx_module/ngx_http_pki_metrics.h"
#include "ngx_module/ngx_http_pki_ocsp.h"

#define NGX_HTTP_PKI_PAGE_MAX (64 << 20) /* some ten thousand issuers */

static void     *ngx_http_pki_metrics_create_main_conf(ngx_conf_t *cf);
static char     *ngx_http_pki_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char     *ngx_http_pki_metrics_export(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_pki_metrics_init_process(ngx_cycle_t *cycle);
static void      ngx_http_pki_metrics_exit_process(ngx_cycle_t *cycle);

static ngx_command_t ngx_http_pki_metrics_commands[] = {

    { ngx_string("pki_metrics"),
      NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
      ngx_http_pki_metrics,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pki_metrics_export"),
      NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS,
      ngx_http_pki_metrics_export,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    ngx_null_command
};

static ngx_http_module_t ngx_http_pki_metrics_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_pki_metrics_create_main_conf, /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};

ngx_module_t ngx_http_pki_metrics_module = {
    NGX_MODULE_V1,
    &ngx_http_pki_metrics_module_ctx,  /* module context */
    ngx_http_pki_metrics_commands,     /* module directives */
    NGX_HTTP_MODULE,                   /* module type */
    NULL,                              /* init master */
    NULL,                              /* init module */
    ngx_http_pki_metrics_init_process, /* init process */
    NULL,                              /* init thread */
    NULL,                              /* exit thread */
    ngx_http_pki_metrics_exit_process, /* exit process */
    NULL,                              /* exit master */
    NGX_MODULE_V1_PADDING
};

typedef enum {
#define NGX_HTTP_PKI_FAMILY(name, metric, label, help) NGX_HTTP_PKI_FAMILY_##name,
#include "ngx_module/ngx_http_pki_metrics.inc"
    NGX_HTTP_PKI_FAMILIES
} ngx_http_pki_family_t;

static const struct {
    const char *metric, *label, *help;
} ngx_http_pki_family_rows[NGX_HTTP_PKI_FAMILIES] = {
#define NGX_HTTP_PKI_FAMILY(name, metric, label, help) { metric, label, help },
#include "ngx_module/ngx_http_pki_metrics.inc"
};

static const struct {
    ngx_http_pki_part_t   part;
    ngx_http_pki_family_t family;
    const char           *value; /* of the family's label */
} ngx_http_pki_event_rows[NGX_HTTP_PKI_EVENTS] = {
#define NGX_HTTP_PKI_EVENT(part, name, family, value) \
    { NGX_HTTP_PKI_##part, NGX_HTTP_PKI_FAMILY_##family, value },
#include "ngx_module/ngx_http_pki_metrics.inc"
};

static const struct {
    size_t      offset; /* of a uint64_t in ngx_http_pki_cache_stat_t */
    const char *metric, *type, *help;
} ngx_http_pki_cache_rows[] = {
#define NGX_HTTP_PKI_CACHE(member, metric, type, help) \
    { offsetof(ngx_http_pki_cache_stat_t, member), metric, type, help },
#include "ngx_module/ngx_http_pki_metrics.inc"
};

static const char *const ngx_http_pki_part_names[NGX_HTTP_PKI_PARTS] = { "ocsp", "crl", "est" };

ngx_http_pki_metrics_t *
ngx_http_pki_metrics_of(ngx_http_request_t *r)
{
    return ngx_http_get_module_main_conf(r, ngx_http_pki_metrics_module);
}

/* ---- the page ---- */

/* One sample.  Identifiers of issuers need no escapes: a-z, 0-9 and "-". */
static void
ngx_http_pki_print(pki_buf_t *out, const char *metric, const ngx_http_pki_sum_t *sum, const char *label,
                   const char *value, uint64_t count)
{
    pki_buf_printf(out, "%s{module=\"%s\",issuer=\"%.*s\"", metric, ngx_http_pki_part_names[sum->slot.part],
                   (int) sum->issuer.len, sum->issuer.p);
    if (label != NULL) {
        pki_buf_printf(out, ",%s=\"%s\"", label, value);
    }
    pki_buf_printf(out, "} %llu\n", (unsigned long long) count);
}

static void
ngx_http_pki_print_head(pki_buf_t *out, const char *metric, const char *type, const char *help)
{
    pki_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metric, help, metric, type);
}

static void
ngx_http_pki_print_results(pki_buf_t *out, const ngx_array_t *sums)
{
    static const char                metric[] = "chancery_edge_requests_total";
    const ngx_http_pki_sum_t        *sum = sums->elts;
    const ngx_http_pki_result_row_t *row;
    ngx_uint_t                       i, n;

    ngx_http_pki_print_head(out, metric, "counter", "Answered requests by result.");
    for (i = 0; i < sums->nelts; i++) {
        n = 0;
        for (row = ngx_http_pki_result_rows; row->label != NULL; row++) {
            if (row->part == sum[i].slot.part) {
                ngx_http_pki_print(out, metric, &sum[i], "result", row->label, sum[i].slot.result[n++]);
            }
        }
    }
}

static void
ngx_http_pki_print_events(pki_buf_t *out, const ngx_array_t *sums, ngx_http_pki_family_t family)
{
    const char               *metric = ngx_http_pki_family_rows[family].metric;
    const ngx_http_pki_sum_t *sum = sums->elts;
    ngx_uint_t                i, n;

    ngx_http_pki_print_head(out, metric, "counter", ngx_http_pki_family_rows[family].help);
    for (i = 0; i < sums->nelts; i++) {
        for (n = 0; n < NGX_HTTP_PKI_EVENTS; n++) {
            if (ngx_http_pki_event_rows[n].family == family
                && ngx_http_pki_event_rows[n].part == sum[i].slot.part) {
                ngx_http_pki_print(out, metric, &sum[i], ngx_http_pki_family_rows[family].label,
                                   ngx_http_pki_event_rows[n].value, sum[i].slot.event[n]);
            }
        }
    }
}

static void
ngx_http_pki_print_latency(pki_buf_t *out, const ngx_array_t *sums)
{
    static const char         metric[] = "chancery_edge_request_duration_seconds";
    static const char         bucket[] = "chancery_edge_request_duration_seconds_bucket";
    const ngx_http_pki_sum_t *sum = sums->elts;
    uint64_t                  total;
    ngx_uint_t                i, n;

    ngx_http_pki_print_head(out, metric, "histogram",
                            "Time from a request's arrival in the module to its answer.");
    for (i = 0; i < sums->nelts; i++) {
        total = 0;
        for (n = 0; n <= NGX_HTTP_PKI_BUCKETS; n++) {
            total += sum[i].slot.bucket[n];
            ngx_http_pki_print(out, bucket, &sum[i], "le",
                               n < NGX_HTTP_PKI_BUCKETS ? ngx_http_pki_bucket_rows[n].le : "+Inf", total);
        }
        pki_buf_printf(out, "%s_sum{module=\"%s\",issuer=\"%.*s\"} %.9f\n", metric,
                       ngx_http_pki_part_names[sum[i].slot.part], (int) sum[i].issuer.len, sum[i].issuer.p,
                       (double) sum[i].slot.took_ns / 1e9);
        ngx_http_pki_print(out, "chancery_edge_request_duration_seconds_count", &sum[i], NULL, NULL, total);
    }
}

/* As this worker sees it; all workers read the same one. */
static void
ngx_http_pki_print_store(pki_buf_t *out, ngx_http_pki_store_t *store, ngx_log_t *log)
{
    ngx_uint_t up = ngx_http_pki_store_begin(store, log) == NGX_OK;
    int64_t    age = 0;

    if (up) {
        age = ngx_max(ngx_time() - store->state.synced_at, 0);
        ngx_http_pki_store_end(store);
    }
    ngx_http_pki_print_head(out, "chancery_edge_store_up", "gauge", "1 when there is an edge store to answer from.");
    pki_buf_printf(out, "chancery_edge_store_up %d\n", (int) up);
    if (up) {
        ngx_http_pki_print_head(out, "chancery_edge_store_age_seconds", "gauge",
                                "Time since the edge store was last in step with the database.");
        pki_buf_printf(out, "chancery_edge_store_age_seconds %lld\n", (long long) age);
    }
}

static void
ngx_http_pki_print_cache(pki_buf_t *out, ngx_shm_zone_t *zone)
{
    ngx_http_pki_cache_stat_t stat;
    uint64_t                  value;
    ngx_uint_t                i;

    if (zone == NULL) {
        return;
    }
    ngx_http_pki_cache_stat(zone, &stat);
    for (i = 0; i < sizeof(ngx_http_pki_cache_rows) / sizeof(ngx_http_pki_cache_rows[0]); i++) {
        ngx_memcpy(&value, (u_char *) &stat + ngx_http_pki_cache_rows[i].offset, sizeof(value));
        ngx_http_pki_print_head(out, ngx_http_pki_cache_rows[i].metric, ngx_http_pki_cache_rows[i].type,
                                ngx_http_pki_cache_rows[i].help);
        pki_buf_printf(out, "%s %llu\n", ngx_http_pki_cache_rows[i].metric, (unsigned long long) value);
    }
}

static ngx_int_t
ngx_http_pki_metrics_handler(ngx_http_request_t *r)
{
    static ngx_str_t               type = ngx_string("text/plain; version=0.0.4; charset=utf-8");
    ngx_http_pki_ocsp_main_conf_t *omcf = ngx_http_get_module_main_conf(r, ngx_http_pki_ocsp_module);
    pki_arena_t                   *arena = ngx_http_pki_arena(r, 2 * NGX_HTTP_PKI_PAGE_MAX);
    ngx_array_t                    sums;
    pki_buf_t                      out;
    ngx_uint_t                     family;

    if (ngx_http_pki_method(r, NGX_HTTP_GET | NGX_HTTP_HEAD) != NGX_OK) {
        return ngx_http_pki_send_text(r, NGX_HTTP_NOT_ALLOWED, "this can only be read");
    }
    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }
    if (arena == NULL
        || ngx_http_pki_metrics_sum(ngx_http_pki_metrics_of(r), r->pool, &sums) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    pki_buf_init(&out, arena, NGX_HTTP_PKI_PAGE_MAX);
    ngx_http_pki_print_results(&out, &sums);
    for (family = 0; family < NGX_HTTP_PKI_FAMILIES; family++) {
        ngx_http_pki_print_events(&out, &sums, family);
    }
    ngx_http_pki_print_latency(&out, &sums);
    ngx_http_pki_print_cache(&out, omcf->cache);
    ngx_http_pki_print_store(&out, ngx_http_pki_store(r), r->connection->log);
    if (out.failed) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return ngx_http_pki_send(r, NGX_HTTP_OK, &type, pki_buf_bytes(&out));
}

/* ---- configuration and life ---- */

static void *
ngx_http_pki_metrics_create_main_conf(ngx_conf_t *cf)
{
    return ngx_http_pki_metrics_new(cf);
}

static char *
ngx_http_pki_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t *value = cf->args->elts;

    return ngx_http_pki_metrics_zone(cf, &value[1], conf, &ngx_http_pki_metrics_module);
}

static char *
ngx_http_pki_metrics_export(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_pki_handler_set(cf, ngx_http_pki_metrics_handler);
}

static ngx_int_t
ngx_http_pki_metrics_init_process(ngx_cycle_t *cycle)
{
    ngx_http_pki_metrics_t *m = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_pki_metrics_module);

    if (m != NULL && ngx_process != NGX_PROCESS_HELPER) {
        ngx_http_pki_metrics_enter(m, cycle->log);
    }
    return NGX_OK;
}

static void
ngx_http_pki_metrics_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_pki_metrics_t *m = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_pki_metrics_module);

    if (m != NULL) {
        ngx_http_pki_metrics_leave(m);
    }
}
