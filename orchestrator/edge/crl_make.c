/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * One list, once its entries are known: what it says beside them, signature, file, checks, publication.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "orchestrator/edge/crl_turn.h"

#define CRL_GZIP_FIRST  (4 << 20) /* smaller lists are compressed before anybody sees them */
#define CRL_URL_MAX     2048
#define CRL_DELTA_MIN_S 60        /* validity of a delta */

static pki_code_t
make_url(crl_make_t *m, crl_scope_kind_t kind, const char **url, pki_err_t *err)
{
    crl_name_t name = { bytes_str(m->turn->ca.issuer_id), m->id.generation, { kind, 0 } };

    if (kind == CRL_SHARD) {
        name.scope = m->id.scope;
    }
    *url = crl_url(m->turn->arena, m->turn->edge->conf->edge.public_url, &name);
    return *url != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "the URL of a CRL is too long");
}

static pki_code_t
make_ca_url(crl_make_t *m, pki_err_t *err)
{
    crl_name_t  name = { bytes_str(m->turn->ca.issuer_id), m->id.generation, { CRL_FULL, 0 } };
    const char *base = m->turn->edge->conf->edge.public_url;
    size_t      len = strlen(base);
    char        text[CRL_NAME_MAX];

    while (len > 0 && base[len - 1] == '/') {
        len--;
    }
    if (crl_name_format(&name, ".crt", text)) {
        m->t.ca_issuers_url = pki_printf(m->turn->arena, "%.*s/ca/%s", (int) len, base, text);
    }
    return m->t.ca_issuers_url != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "the URL of a CA is too long");
}

static pki_code_t
make_idp(crl_make_t *m, pki_err_t *err)
{
    const char *url;
    pki_buf_t   idp;

    PKI_TRY(make_url(m, CRL_SHARD, &url, err));
    pki_buf_init(&idp, m->turn->arena, CRL_URL_MAX);
    crl_idp_put(&idp, url);
    m->t.idp = pki_buf_bytes(&idp);
    return pki_buf_check(&idp, "issuing distribution point", err);
}

/* A delta outlives the next one that is planned. */
static int64_t
make_validity(const crl_make_t *m)
{
    const crl_rules_t *r = &m->turn->order->rules;
    int64_t            s = 2 * r->delta_s > CRL_DELTA_MIN_S ? 2 * r->delta_s : CRL_DELTA_MIN_S;

    return m->id.scope.kind == CRL_DELTA && s < r->validity_s ? s : r->validity_s;
}

pki_code_t
crl_make_frame(crl_make_t *m, pki_err_t *err)
{
    crl_turn_t        *u = m->turn;
    const crl_rules_t *r = &u->order->rules;
    bool               is_delta = m->id.scope.kind == CRL_DELTA;

    m->t = (crl_template_t){ .issuer = u->ca.cert.subject,
                             .sigalg = pki_key_sigalg(u->ca.cert.key.kind),
                             .this_update = u->this_update,
                             .next_update = u->this_update + make_validity(m),
                             .akid = u->ca.cert.skid,
                             .number = crl_number_put(u->number.number, m->number),
                             .next_publish = r->next_publish
                                                 ? u->this_update + (is_delta ? r->delta_s : r->refresh_s) : 0,
                             .expired_since = r->expired_since && r->keep_expired_s != 0 ? u->floor : 0 };
    if (m->id.scope.kind == CRL_SHARD) {
        PKI_TRY(make_idp(m, err));
    }
    if (is_delta) {
        m->t.base_number = crl_number_put(u->state.delta.number, m->base);
    } else if (m->id.scope.kind == CRL_FULL && r->delta_s != 0) {
        PKI_TRY(make_url(m, CRL_DELTA, &m->t.freshest_url, err));
    }
    return r->aia ? make_ca_url(m, err) : PKI_OK;
}

/* What is being read while the list is walked. */
static crl_map_t *
make_source(crl_make_t *m)
{
    return m->turn->state.read ? &m->turn->spooled : &m->turn->served;
}

/* Ed25519 signs the message itself: hand it over in memory. */
static pki_code_t
fd_sink(void *arg, bytes_t data, pki_err_t *err)
{
    return fd_write_full(*(const int *) arg, data.p, data.len, err);
}

static pki_code_t
sign_message(crl_make_t *m, bytes_t *signature, pki_err_t *err)
{
    crl_turn_t *u = m->turn;
    int        fd = memfd_create("tbsCertList", MFD_CLOEXEC);
    pki_code_t code;

    if (fd < 0) {
        return pki_fail(err, PKI_E_IO, NULL, "memfd: %s", strerror(errno));
    }
    code = crl_tbs_write(m->crl, fd_sink, &fd, err);
    if (code == PKI_OK) {
        code = signer_sign_crl(u->edge->signer, u->arena, u->ca.key_ref, u->ca.issuer_no, m->t.number, BYTES_NONE, fd,
                               signature, err);
    }
    close(fd);
    return code;
}

static pki_code_t
make_sign(crl_make_t *m, bytes_t *signature, pki_err_t *err)
{
    crl_turn_t *u = m->turn;
    uint8_t digest[EVP_MAX_MD_SIZE];
    size_t  len;

    if (m->t.sigalg->digest == NULL) {
        return sign_message(m, signature, err);
    }
    PKI_TRY(crl_digest(m->crl, crl_map_walked, make_source(m), digest, sizeof(digest), &len, err));
    return signer_sign_crl(u->edge->signer, u->arena, u->ca.key_ref, u->ca.issuer_no, m->t.number,
                           bytes_of(digest, len), -1, signature, err);
}

static pki_code_t
make_name(crl_make_t *m, const char **path, pki_err_t *err)
{
    char scope[CRL_SCOPE_TEXT_MAX];
    int  n;

    crl_scope_format(m->id.scope, scope);
    n = snprintf(m->list.file, sizeof(m->list.file), "%s-g%u-%s-%lld.crl", m->turn->ca.issuer_id, m->id.generation,
                 scope, (long long) m->turn->number.number);
    *path = edge_path(m->turn->arena, m->turn->edge->crl_dir, m->list.file);
    return n > 0 && n < CRL_FILE_MAX && *path != NULL ? PKI_OK : pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
}

static bool
never(void *arg)
{
    (void) arg;
    return false;
}

/* The file, read back and verified; small ones are compressed at once. */
static pki_code_t
make_file(crl_make_t *m, bytes_t signature, pki_err_t *err)
{
    crl_wanted_t wanted = { &m->turn->ca.cert, &m->t, crl_count(m->crl) };
    const char  *path;

    PKI_TRY(make_name(m, &path, err));
    PKI_TRY(crl_file_write(m->crl, signature, path, make_source(m), &m->file, &m->list.size, m->list.etag, err));
    PKI_TRY(crl_check(m->file.fd, m->list.size, &wanted, err));
    PKI_TRY(file_commit(&m->file, err));
    return m->list.size < CRL_GZIP_FIRST
               ? crl_file_compress(path, never, NULL, &m->list.gzip_size, m->list.gzip_etag, err)
               : PKI_OK;
}

/* Publication */

typedef struct {
    const crl_id_t   *id;
    const crl_list_t *list;
} record_t;

static pki_code_t
record_write(env_t *env, MDB_txn *txn, void *arg, pki_err_t *err)
{
    const record_t *r = arg;
    uint8_t         key_mem[64], value_mem[1024];
    pki_buf_t       key, value;
    env_state_t     state;

    pki_buf_fixed(&key, key_mem, sizeof(key_mem));
    pki_buf_fixed(&value, value_mem, sizeof(value_mem));
    PKI_TRY(crl_record(r->id, r->list, &key, &value, err));
    PKI_TRY(env_put(env, txn, ENV_CRL, pki_buf_bytes(&key), pki_buf_bytes(&value), err));
    PKI_TRY(env_state_get(env, txn, &state, err));
    state.s.generation += state.s.generation != 0; /* 0: config_publish() is still to come */
    return env_state_put(env, txn, &state, err);
}

static void
row_fill(crl_make_t *m)
{
    crl_turn_t *u = m->turn;

    m->row = (crl_row_t){
        .id = m->id,
        .host = u->edge->host,
        .number = u->number.number,
        .this_update = u->this_update,
        .next_update = m->t.next_update,
        .file = m->list.file,
        .size = m->list.size,
        .etag = BYTES_ARR(m->list.etag),
        .gzip_size = m->list.gzip_size,
        .gzip_etag = m->list.gzip_size != 0 ? BYTES_ARR(m->list.gzip_etag) : BYTES_NONE,
        .entries = m->list.entries,
        .duration_ms = m->list.duration_ms,
        .base_number = m->list.base_number,
        /* What had to take the list's date is to be looked at again. */
        .snapshot = m->id.scope.kind == CRL_DELTA ? NULL
                    : !u->clamped                 ? u->number.snapshot
                    : u->state.read               ? NULL
                                                  : u->state.since.snapshot,
        .floor = u->floor,
    };
}

static void
list_fill(crl_make_t *m)
{
    crl_turn_t *u = m->turn;

    m->list.number = u->number.number;
    m->list.this_update = u->this_update;
    m->list.next_update = m->t.next_update;
    m->list.entries = (int64_t) crl_count(m->crl);
    m->list.base_number = m->id.scope.kind == CRL_DELTA ? u->state.delta.number : 0;
    m->list.generated_at = clock_now();
    m->list.duration_ms = (clock_mono_us() - u->started_us) / 1000;
}

/* PostgreSQL, then the store; under the configuration's lock, so that no older list is put back. */
static pki_code_t
make_publish(crl_make_t *m, pki_err_t *err)
{
    edge_t    *e = m->turn->edge;
    record_t   record = { &m->id, &m->list };
    pki_code_t code;

    list_fill(m);
    row_fill(m);
    pthread_mutex_lock(&e->config_lock);
    code = crl_published(e->db, &m->row, err);
    if (code == PKI_OK) {
        e->config_known = false;
        code = writer_run(e->writer, record_write, &record, err);
    }
    if (code == PKI_OK) {
        crl_serve(e, &m->id, &m->list);
    }
    pthread_mutex_unlock(&e->config_lock);
    return code;
}

static void
published_log(const crl_make_t *m)
{
    char scope[CRL_SCOPE_TEXT_MAX];

    crl_scope_format(m->id.scope, scope);
    atomic_fetch_add(&m->turn->edge->crls_built, 1);
    log_info("crl.published", LOG_S("issuer", m->turn->ca.issuer_id), LOG_I("generation", m->id.generation),
             LOG_S("scope", scope), LOG_I("number", m->list.number), LOG_I("entries", m->list.entries),
             LOG_I("bytes", m->list.size), LOG_I("ms", m->list.duration_ms), LOG_B("reread", m->turn->state.read));
}

pki_code_t
crl_make_finish(crl_make_t *m, pki_err_t *err)
{
    bytes_t signature;

    PKI_TRY(crl_seal(m->crl, &m->t, err));
    PKI_TRY(make_sign(m, &signature, err));
    PKI_TRY(make_file(m, signature, err));
    PKI_TRY(make_publish(m, err));
    published_log(m);
    return PKI_OK;
}

/* A failure is a row, too. */
void
crl_make_failed(crl_make_t *m, const pki_err_t *err)
{
    crl_turn_t *u = m->turn;

    m->row = (crl_row_t){ .id = m->id,
                          .host = u->edge->host,
                          .number = u->number.number,
                          .this_update = u->this_update,
                          .next_update = m->t.next_update > u->this_update ? m->t.next_update : u->this_update,
                          .entries = m->crl != NULL ? (int64_t) crl_count(m->crl) : 0,
                          .duration_ms = (clock_mono_us() - u->started_us) / 1000,
                          .error = err->text };
    (void) crl_published(u->edge->db, &m->row, NULL);
}

/* Afterwards */

static bool
compress_stops(void *arg)
{
    const crl_make_t *m = arg;

    return crl_is_wanted(m->turn->edge, m->turn->order) || edge_stopping(m->turn->edge);
}

void
crl_make_compress(crl_make_t *m)
{
    edge_t     *e = m->turn->edge;
    const char *path = m->list.gzip_size == 0 ? edge_path(m->turn->arena, e->crl_dir, m->list.file) : NULL;
    record_t    record = { &m->id, &m->list };
    pki_err_t   err = { 0 };
    pki_code_t  code;

    if (path == NULL) {
        return; /* it has one */
    }
    code = crl_file_compress(path, compress_stops, m, &m->list.gzip_size, m->list.gzip_etag, &err);
    if (code == PKI_E_UNAVAILABLE) {
        return;
    }
    if (code != PKI_OK) {
        log_failure(LOG_WARN, "crl.not_compressed", &err);
        return;
    }
    m->row.gzip_size = m->list.gzip_size;
    m->row.gzip_etag = BYTES_ARR(m->list.gzip_etag);
    pthread_mutex_lock(&e->config_lock);
    e->config_known = false;
    code = writer_run(e->writer, record_write, &record, &err);
    crl_serve(e, &m->id, &m->list);
    pthread_mutex_unlock(&e->config_lock);
    code = code == PKI_OK ? crl_compressed(e->db, &m->row, &err) : code;
    if (code != PKI_OK) {
        log_failure(LOG_WARN, "crl.not_compressed", &err);
    }
}

pki_code_t
crl_make_open(crl_turn_t *u, crl_scope_t scope, crl_make_t **out, pki_err_t *err)
{
    crl_make_t *m = calloc(1, sizeof(*m));

    if (m == NULL || (m->crl = crl_new()) == NULL) {
        free(m);
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    m->turn = u;
    m->id = (crl_id_t){ u->order->id.issuer_no, u->order->id.generation, scope };
    m->file.fd = -1;
    *out = m;
    return PKI_OK;
}

void
crl_make_close(crl_make_t *m)
{
    if (m != NULL) {
        file_abandon(&m->file);
        crl_free(m->crl);
        free(m);
    }
}
