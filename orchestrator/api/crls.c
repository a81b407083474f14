/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The CRLs of this host: what is served, how fresh it is, what was made of late and what failed; and their figures.
 */
#include "orchestrator/api/handlers.h"
#include "orchestrator/api/server.h"
#include "orchestrator/store/crl.h"

#include "core/clock.h"

#define EVENTS_MAX 10

typedef struct {
    int64_t     at, number, duration_ms, size, revoked_count;
    const char *error;
} crl_event_t;

typedef struct {
    const char   *issuer_id, *scope, *error;
    int64_t       generation, number, base_number, this_update, next_update, generated_at, generation_duration_ms;
    int64_t       revoked_count, size, gzip_size, built, failed;
    bool          is_served, is_stale;
    object_list_t events;
} crl_cached_t;

typedef struct {
    const char   *host;
    object_list_t data;
} crl_cache_t;

/* clang-format off */
static const field_t crl_event_fields[] = {
    FIELD_TIME(crl_event_t, at,            F_READONLY, "when it was made, or failed"),
    FIELD_INT (crl_event_t, number,        F_READONLY, NULL, 0, 0, "CRL number that was taken for it"),
    FIELD_INT (crl_event_t, duration_ms,   F_READONLY, NULL, 0, 0, "milliseconds that it took"),
    FIELD_INT (crl_event_t, size,          F_READONLY, NULL, 0, 0, "octets; 0 when it failed"),
    FIELD_INT (crl_event_t, revoked_count, F_READONLY, NULL, 0, 0, "entries"),
    FIELD_STR (crl_event_t, error,         F_READONLY, NULL, "why it failed; absent: it was published"),
    FIELD_END };

static const field_t crl_cached_fields[] = {
    FIELD_STR (crl_cached_t, issuer_id,              F_READONLY, NULL, "issuer"),
    FIELD_INT (crl_cached_t, generation,             F_READONLY, NULL, 0, 0, "generation of its CA"),
    FIELD_STR (crl_cached_t, scope,                  F_READONLY, NULL, "full, delta, or s0, s1 ... for a shard"),
    FIELD_BOOL(crl_cached_t, is_served,              F_READONLY, NULL, "whether there is a list; if not, the numbers below are 0"),
    FIELD_BOOL(crl_cached_t, is_stale,               F_READONLY, NULL, "whether it should have been replaced and was not"),
    FIELD_INT (crl_cached_t, number,                 F_READONLY, NULL, 0, 0, "CRL number"),
    FIELD_INT (crl_cached_t, base_number,            F_READONLY, NULL, 0, 0, "of a delta: the number of the list that it is against"),
    FIELD_TIME(crl_cached_t, this_update,            F_READONLY, "thisUpdate"),
    FIELD_TIME(crl_cached_t, next_update,            F_READONLY, "nextUpdate"),
    FIELD_TIME(crl_cached_t, generated_at,           F_READONLY, "when it was published"),
    FIELD_INT (crl_cached_t, generation_duration_ms, F_READONLY, NULL, 0, 0, "milliseconds from its beginning to its publication"),
    FIELD_INT (crl_cached_t, revoked_count,          F_READONLY, NULL, 0, 0, "entries"),
    FIELD_INT (crl_cached_t, size,                   F_READONLY, NULL, 0, 0, "octets"),
    FIELD_INT (crl_cached_t, gzip_size,              F_READONLY, NULL, 0, 0, "octets of its compressed form; 0: there is none yet"),
    FIELD_INT (crl_cached_t, built,                  F_READONLY, NULL, 0, 0, "lists that this process has made for it"),
    FIELD_INT (crl_cached_t, failed,                 F_READONLY, NULL, 0, 0, "attempts of this process that failed"),
    FIELD_STR (crl_cached_t, error,                  F_READONLY, NULL, "why the last attempt failed; absent: it did not"),
    FIELD_OBJECTS(crl_cached_t, events, F_READONLY, crl_event_fields, sizeof(crl_event_t), "what was made of late, newest first"),
    FIELD_END };

static const field_t crl_cache_fields[] = {
    FIELD_STR    (crl_cache_t, host, F_READONLY, NULL, "host and folder whose lists these are: each host makes its own"),
    FIELD_OBJECTS(crl_cache_t, data, F_READONLY, crl_cached_fields, sizeof(crl_cached_t), "lists by issuer, generation and scope"),
    FIELD_END };
/* clang-format on */

const shape_t shape_crl_cache = SHAPE("CRLCache", crl_cache_t, crl_cache_fields);

static pki_code_t
events_fill(req_t *r, const crl_id_t *id, object_list_t *out, pki_err_t *err)
{
    crl_row_t   *rows;
    crl_event_t *v;
    size_t       count;

    PKI_TRY(crl_events(r->api->parts.db, r->a, id, edge_host(r->api->parts.edge), EVENTS_MAX, &rows, &count, err));
    PKI_TRY(PKI_NEW_N(r->a, count + 1, &v, err));
    for (size_t i = 0; i < count; i++) {
        v[i] = (crl_event_t){ .at = rows[i].generated_at, .number = rows[i].number, .duration_ms = rows[i].duration_ms,
                              .size = rows[i].size, .revoked_count = rows[i].entries, .error = rows[i].error };
    }
    *out = (object_list_t){ v, count };
    return PKI_OK;
}

static pki_code_t
cached_fill(req_t *r, const edge_crl_info_t *in, crl_cached_t *out, pki_err_t *err)
{
    char *scope = pki_alloc(r->a, CRL_SCOPE_TEXT_MAX);

    if (scope == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    crl_scope_format(in->id.scope, scope);
    *out = (crl_cached_t){
        .issuer_id = in->issuer_id, .generation = in->id.generation, .scope = scope, .is_served = in->is_served,
        .is_stale = in->is_stale, .number = in->number, .base_number = in->base_number,
        .this_update = in->this_update, .next_update = in->next_update, .generated_at = in->generated_at,
        .generation_duration_ms = in->duration_ms, .revoked_count = in->entries, .size = in->size,
        .gzip_size = in->gzip_size, .built = (int64_t) in->built, .failed = (int64_t) in->failed, .error = in->error,
    };
    return events_fill(r, &in->id, &out->events, err);
}

pki_code_t
crl_cache_get(req_t *r, pki_err_t *err)
{
    crl_cache_t      out = { .host = edge_host(r->api->parts.edge) };
    edge_crl_info_t *infos;
    crl_cached_t    *v;
    size_t           count;

    PKI_TRY(edge_crls(r->api->parts.edge, r->a, &infos, &count, err));
    PKI_TRY(PKI_NEW_N(r->a, count + 1, &v, err));
    for (size_t i = 0; i < count; i++) {
        PKI_TRY(cached_fill(r, &infos[i], &v[i], err));
    }
    out.data = (object_list_t){ v, count };
    return answer_struct(r, &out, err);
}

/* Figures: one sample for each list, shards of an authority together */

static const struct {
    const char *name, *type, *help;
} families[] = {
    { "chancery_crl_age_seconds", "gauge", "Seconds since thisUpdate of the list that is served, the oldest shard." },
    { "chancery_crl_left_seconds", "gauge", "Seconds to nextUpdate, the first shard to end." },
    { "chancery_crl_entries", "gauge", "Entries, of all shards." },
    { "chancery_crl_size_bytes", "gauge", "Octets, of all shards." },
    { "chancery_crl_duration_seconds", "gauge", "What the last one took to make, the slowest shard." },
    { "chancery_crl_built_total", "counter", "Lists made by this process." },
    { "chancery_crl_failed_total", "counter", "Attempts of this process that failed." },
    { "chancery_crl_stale", "gauge", "Lists that should have been replaced and were not." },
};
#define FAMILIES (sizeof(families) / sizeof(families[0]))

typedef struct {
    const edge_crl_info_t *first; /* names them all */
    double                 value[FAMILIES];
} crl_figures_t;

static double
larger(double a, double b)
{
    return a > b ? a : b;
}

static void
figures_add(crl_figures_t *f, const edge_crl_info_t *i, int64_t now)
{
    double left = (double) (i->next_update - now);

    if (f->first == NULL) {
        f->first = i;
        f->value[1] = left;
    }
    f->value[0] = larger(f->value[0], (double) (now - i->this_update));
    f->value[1] = left < f->value[1] ? left : f->value[1];
    f->value[2] += (double) i->entries;
    f->value[3] += (double) i->size;
    f->value[4] = larger(f->value[4], (double) i->duration_ms / 1000);
    f->value[5] += (double) i->built;
    f->value[6] += (double) i->failed;
    f->value[7] += i->is_stale || !i->is_served;
}

static bool
is_together(const edge_crl_info_t *a, const edge_crl_info_t *b)
{
    return a->id.issuer_no == b->id.issuer_no && a->id.generation == b->id.generation
           && a->id.scope.kind == b->id.scope.kind;
}

static void
family_print(const crl_figures_t *f, size_t count, size_t k, pki_buf_t *out)
{
    static const char *const scopes[] = { [CRL_FULL] = "full", [CRL_DELTA] = "delta", [CRL_SHARD] = "shards" };

    pki_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", families[k].name, families[k].help, families[k].name,
                   families[k].type);
    for (size_t i = 0; i < count; i++) {
        pki_buf_printf(out, "%s{issuer=\"%s\",generation=\"%u\",scope=\"%s\"} %.15g\n", families[k].name,
                       f[i].first->issuer_id, f[i].first->id.generation, scopes[f[i].first->id.scope.kind],
                       f[i].value[k]);
    }
}

pki_code_t
crl_metrics_print(req_t *r, pki_buf_t *out, pki_err_t *err)
{
    edge_crl_info_t *infos;
    crl_figures_t   *f;
    size_t           lists, count = 0;
    int64_t          now = clock_now();

    PKI_TRY(edge_crls(r->api->parts.edge, r->a, &infos, &lists, err));
    PKI_TRY(PKI_NEW_N(r->a, lists + 1, &f, err));
    for (size_t i = 0; i < lists; i++) {
        count += i == 0 || !is_together(&infos[i - 1], &infos[i]);
        figures_add(&f[count - 1], &infos[i], now);
    }
    for (size_t k = 0; k < FAMILIES && count != 0; k++) {
        family_print(f, count, k, out);
    }
    return PKI_OK;
}
