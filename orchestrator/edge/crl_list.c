/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Lists that are there: as records of the edge store, as an earlier process of this host left them, and as people
 * want to know of them.
 */
#include <stdlib.h>
#include <sys/stat.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/edge/crl.h"

bytes_t
crl_number_put(int64_t number, uint8_t out[CRL_NUMBER_OCTETS])
{
    size_t skip = 0;

    out[0] = 0;
    for (size_t i = 0; i < 8; i++) {
        out[1 + i] = (uint8_t) ((uint64_t) number >> 8 * (7 - i));
    }
    while (skip < 8 && out[skip] == 0 && out[skip + 1] < 0x80) {
        skip++;
    }
    return bytes_of(out + skip, CRL_NUMBER_OCTETS - skip);
}

pki_code_t
crl_record(const crl_id_t *id, const crl_list_t *list, pki_buf_t *key, pki_buf_t *value, pki_err_t *err)
{
    uint8_t    number[CRL_NUMBER_OCTETS];
    char       scope[CRL_SCOPE_TEXT_MAX];
    edge_crl_t record = { .file = bytes_str(list->file),
                          .number = crl_number_put(list->number, number),
                          .etag = BYTES_ARR(list->etag),
                          .this_update = list->this_update,
                          .next_update = list->next_update,
                          .size = (uint64_t) list->size,
                          .gzip_size = (uint64_t) list->gzip_size,
                          .gzip_etag = list->gzip_size != 0 ? BYTES_ARR(list->gzip_etag) : BYTES_NONE };

    crl_scope_format(id->scope, scope);
    pki_buf_put_be(key, edge_authority(id->issuer_no, id->generation), 4);
    pki_buf_put(key, bytes_str(scope));
    PKI_TRY(pki_buf_check(key, "edge key", err));
    return edge_crl_encode(&record, value, err);
}

/*
 * What an earlier process left.  The store knows best what is served, but may have been lost with the machine;
 * then PostgreSQL knows what this host published last.  Files outlive both.
 */

typedef struct {
    const crl_id_t *id;
    crl_list_t     *list;
} found_t;

static int64_t
number_take(bytes_t octets)
{
    uint64_t v = 0;

    for (size_t i = 0; i < octets.len; i++) {
        v = v << 8 | octets.p[i];
    }
    return octets.len <= 8 || (octets.len == 9 && octets.p[0] == 0) ? (int64_t) v : 0;
}

static bool
etag_copy(uint8_t out[32], bytes_t in)
{
    if (in.len == 32) {
        memcpy(out, in.p, 32);
    }
    return in.len == 32;
}

static void
record_take(const edge_crl_t *r, crl_list_t *list)
{
    *list = (crl_list_t){ .number = number_take(r->number),
                          .this_update = r->this_update,
                          .next_update = r->next_update,
                          .size = (int64_t) r->size };
    if (r->file.len < sizeof(list->file) && etag_copy(list->etag, r->etag)) {
        memcpy(list->file, r->file.p, r->file.len);
    }
    if (r->gzip_size != 0 && etag_copy(list->gzip_etag, r->gzip_etag)) {
        list->gzip_size = (int64_t) r->gzip_size;
    }
}

static pki_code_t
record_find(env_t **env, void *arg, pki_err_t *err)
{
    found_t   *f = arg;
    uint8_t    key_mem[16];
    char       scope[CRL_SCOPE_TEXT_MAX];
    pki_buf_t  key;
    bytes_t    value;
    edge_crl_t record;
    MDB_txn   *txn;

    if (*env == NULL || mdb_txn_begin((*env)->env, NULL, MDB_RDONLY, &txn) != 0) {
        return PKI_OK;
    }
    crl_scope_format(f->id->scope, scope);
    pki_buf_fixed(&key, key_mem, sizeof(key_mem));
    pki_buf_put_be(&key, edge_authority(f->id->issuer_no, f->id->generation), 4);
    pki_buf_put(&key, bytes_str(scope));
    if (env_get(*env, txn, ENV_CRL, pki_buf_bytes(&key), &value, NULL) == PKI_OK
        && edge_crl_decode(value, &record, err) == PKI_OK)
    {
        record_take(&record, f->list);
    }
    mdb_txn_abort(txn);
    return PKI_OK;
}

static void
row_take(const crl_row_t *row, crl_list_t *list)
{
    const edge_crl_t record = { .file = bytes_str(row->file), .etag = row->etag, .this_update = row->this_update,
                                .next_update = row->next_update, .size = (uint64_t) row->size,
                                .gzip_size = (uint64_t) row->gzip_size, .gzip_etag = row->gzip_etag };

    record_take(&record, list);
    list->number = row->number;
}

static bool
file_is_there(edge_t *e, pki_arena_t *a, const char *name, const char *suffix, int64_t size)
{
    const char *path = pki_printf(a, "%s/%s%s", e->crl_dir, name, suffix);
    struct stat st;

    return path != NULL && stat(path, &st) == 0 && st.st_size == size;
}

static pki_code_t
list_adopt(edge_t *e, pki_arena_t *a, const crl_id_t *id, crl_list_t *list, pki_err_t *err)
{
    found_t    f = { id, list };
    crl_row_t  row;
    pki_code_t code;

    PKI_TRY(writer_swap(e->writer, record_find, &f, err));
    if (list->file[0] == '\0' && (code = crl_last(e->db, a, id, e->host, &row, err)) != PKI_E_NOT_FOUND) {
        PKI_TRY(code);
        row_take(&row, list);
    }
    if (list->file[0] == '\0' || !file_is_there(e, a, list->file, "", list->size)) {
        *list = (crl_list_t){ .number = list->number };
        return PKI_OK;
    }
    if (!file_is_there(e, a, list->file, EDGE_CRL_GZIP, list->gzip_size)) {
        list->gzip_size = 0;
    }
    code = crl_find(e->db, a, id, list->number, &row, err);
    if (code == PKI_OK) {
        list->entries = row.entries;
        list->duration_ms = row.duration_ms;
        list->generated_at = row.generated_at;
        list->base_number = row.base_number;
    }
    return code == PKI_E_NOT_FOUND ? PKI_OK : code;
}

pki_code_t
crl_adopt(edge_t *e, pki_arena_t *a, crl_job_t *job, pki_err_t *err)
{
    crl_id_t delta = job->id;

    PKI_TRY(list_adopt(e, a, &job->id, &job->list, err));
    if (job->id.scope.kind == CRL_FULL && job->rules.delta_s != 0) {
        delta.scope.kind = CRL_DELTA;
        PKI_TRY(list_adopt(e, a, &delta, &job->delta, err));
    }
    job->before = job->list.this_update;
    return job->before != 0 ? PKI_OK : crl_published_at(e->db, &job->id, &job->before, err);
}

/* Records of an authority */

static pki_code_t
record_add(pki_arena_t *a, const crl_id_t *id, const crl_list_t *list, crl_add_pt add, void *arg, pki_err_t *err)
{
    pki_buf_t key, value;

    if (list->file[0] == '\0') {
        return PKI_OK;
    }
    pki_buf_init(&key, a, 64);
    pki_buf_init(&value, a, 1024);
    PKI_TRY(crl_record(id, list, &key, &value, err));
    return add(arg, pki_buf_bytes(&key), &value, err);
}

pki_code_t
crl_watch_authority(edge_t *e, pki_arena_t *a, const issuer_chain_t *issuer, crl_add_pt add, void *arg, pki_err_t *err)
{
    issuer_settings_t s;
    crl_watch_t       w = { .issuer = issuer->issuer.id, .shards = (uint32_t) issuer->chain[0].crl_shards };
    crl_id_t          id = { .issuer_no = (uint32_t) issuer->issuer.no,
                             .generation = (uint32_t) issuer->chain[0].generation };
    crl_id_t          delta_id = id;

    PKI_TRY(issuer_settings_of(a, &issuer->issuer, e->conf, &s, err));
    w.rules = (crl_rules_t){ .validity_s = s.crl_validity_s, .refresh_s = s.crl_refresh_s,
                             .delta_s = w.shards == 0 ? s.crl_delta_s : 0, .keep_expired_s = s.crl_keep_expired_s,
                             .expired_since = s.crl_expired_since, .next_publish = s.crl_next_publish,
                             .aia = s.crl_aia };
    delta_id.scope.kind = CRL_DELTA;
    for (uint32_t i = 0; i < (w.shards != 0 ? w.shards : 1); i++) {
        crl_list_t list, delta;

        id.scope = w.shards != 0 ? (crl_scope_t){ CRL_SHARD, i } : (crl_scope_t){ CRL_FULL, 0 };
        PKI_TRY(crl_watch(e, a, &w, &id, &list, &delta, err));
        PKI_TRY(record_add(a, &id, &list, add, arg, err));
        PKI_TRY(w.rules.delta_s != 0 ? record_add(a, &delta_id, &delta, add, arg, err) : PKI_OK);
    }
    return PKI_OK;
}

/* What is served, for those who want to know */

static pki_code_t
info_fill(pki_arena_t *a, const crl_job_t *job, const crl_list_t *list, bool is_delta, edge_crl_info_t *out,
          pki_err_t *err)
{
    *out = (edge_crl_info_t){
        .id = { job->id.issuer_no, job->id.generation, is_delta ? (crl_scope_t){ CRL_DELTA, 0 } : job->id.scope },
        .issuer_id = pki_strdup(a, job->issuer),
        .is_served = list->file[0] != '\0',
        .number = list->number,
        .base_number = list->base_number,
        .this_update = list->this_update,
        .next_update = list->next_update,
        .generated_at = list->generated_at,
        .duration_ms = list->duration_ms,
        .entries = list->entries,
        .size = list->size,
        .gzip_size = list->gzip_size,
        .is_stale = is_delta ? clock_now() >= list->next_update : job->stale,
        .built = job->built,
        .failed = job->failed,
        .error = job->error[0] != '\0' ? pki_strdup(a, job->error) : NULL,
    };
    return out->issuer_id != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

static size_t
lists_count(const edge_t *e)
{
    size_t count = 0;

    for (const crl_job_t *job = e->crl; job != NULL; job = job->next) {
        count += 2;
    }
    return count;
}

static pki_code_t
infos_fill(edge_t *e, pki_arena_t *a, edge_crl_info_t **out, size_t *count, pki_err_t *err)
{
    PKI_TRY(PKI_NEW_N(a, lists_count(e) + 1, out, err));
    for (const crl_job_t *job = e->crl; job != NULL; job = job->next) {
        PKI_TRY(info_fill(a, job, &job->list, false, &(*out)[(*count)++], err));
        if (job->rules.delta_s != 0) {
            PKI_TRY(info_fill(a, job, &job->delta, true, &(*out)[(*count)++], err));
        }
    }
    return PKI_OK;
}

static int
info_cmp(const void *a, const void *b)
{
    const crl_id_t *x = &((const edge_crl_info_t *) a)->id, *y = &((const edge_crl_info_t *) b)->id;
    const int64_t   p[] = { x->issuer_no, x->generation, x->scope.kind, x->scope.shard };
    const int64_t   q[] = { y->issuer_no, y->generation, y->scope.kind, y->scope.shard };

    for (size_t i = 0; i < sizeof(p) / sizeof(p[0]); i++) {
        if (p[i] != q[i]) {
            return p[i] < q[i] ? -1 : 1;
        }
    }
    return 0;
}

pki_code_t
edge_crls(edge_t *e, pki_arena_t *a, edge_crl_info_t **out, size_t *count, pki_err_t *err)
{
    pki_code_t code;

    *count = 0;
    pthread_mutex_lock(&e->lock);
    code = infos_fill(e, a, out, count, err);
    pthread_mutex_unlock(&e->lock);
    if (code == PKI_OK && *count != 0) {
        qsort(*out, *count, sizeof(**out), info_cmp);
    }
    return code;
}

const char *
edge_host(const edge_t *e)
{
    return e->host;
}

pki_code_t
crl_files(edge_t *e, pki_arena_t *a, str_list_t *out, pki_err_t *err)
{
    pki_code_t code = PKI_OK;

    *out = (str_list_t){ 0 };
    pthread_mutex_lock(&e->lock);
    code = PKI_NEW_N(a, 2 * lists_count(e) + 1, &out->v, err);
    for (const crl_job_t *job = e->crl; job != NULL && code == PKI_OK; job = job->next) {
        const crl_list_t *lists[] = { &job->list, &job->delta };

        for (size_t i = 0; i < 2 && code == PKI_OK; i++) {
            out->v[out->count] = pki_strdup(a, lists[i]->file);
            out->v[out->count + 1] = pki_printf(a, "%s" EDGE_CRL_GZIP, lists[i]->file);
            if (out->v[out->count] == NULL || out->v[out->count + 1] == NULL) {
                code = pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
            }
            out->count += 2;
        }
    }
    pthread_mutex_unlock(&e->lock);
    return code;
}
