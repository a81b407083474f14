/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The CRL thread.  Requests that come within a moment make one list; a list is also made at start (a
 * predecessor may have died between a revocation and its CRL) and every crl.refresh_s.  A number is taken in
 * PostgreSQL first, and is never used twice; what was written is read back and verified before any record names
 * it.  After a failure the last good list stays, and the next attempt comes soon.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "orchestrator/edge/part.h"
#include "pkiproto/base/ossl.h"
#include "pkiproto/crl/crl.h"

#define CRL_GATHER_US      100000   /* requests within this time share a list */
#define CRL_BACKOFF_MIN_US 500000
#define CRL_BACKOFF_MAX_US 30000000
#define CRL_IDLE_US        60000000

/* One build. */
typedef struct {
    edge_t        *edge;
    pki_arena_t   *arena;
    issuer_chain_t issuer;
    issuer_ca_t    ca;
    crl_t         *crl;
    crl_row_t      row;
    uint8_t        number[9];
    size_t         number_len;
    file_new_t     file;
    EVP_MD_CTX    *md;
    int64_t        started_us;
} crl_build_t;

/* INTEGER contents octets of a positive number. */
static bytes_t
number_octets(crl_build_t *b)
{
    uint8_t be[9] = { 0 };
    size_t  skip = 0;

    for (size_t i = 0; i < 8; i++) {
        be[1 + i] = (uint8_t) ((uint64_t) b->row.number >> 8 * (7 - i));
    }
    while (skip < 8 && be[skip] == 0 && be[skip + 1] < 0x80) {
        skip++;
    }
    b->number_len = sizeof(be) - skip;
    memcpy(b->number, be + skip, b->number_len);
    return bytes_of(b->number, b->number_len);
}

/* Clocks may differ: no entry is later than the list (RFC 5280 5.1.2.4). */
static pki_code_t
build_entry(const status_row_t *row, void *arg, pki_err_t *err)
{
    crl_build_t *b = arg;
    crl_entry_t  entry = {
         .serial = row->serial,
         .revoked_at = row->revoked_at < b->row.this_update ? row->revoked_at : b->row.this_update,
         .reason = (int) row->reason,
    };

    /* RFC 5280 5.3.2: not after the revocation; 0 is none. */
    entry.invalidity_at = row->invalidity_at < entry.revoked_at ? row->invalidity_at : entry.revoked_at;
    return crl_add(b->crl, &entry, err);
}

static pki_code_t
fd_sink(void *arg, bytes_t data, pki_err_t *err)
{
    return fd_write_full(*(const int *) arg, data.p, data.len, err);
}

/* Ed25519 signs the message itself: hand it over in memory. */
static pki_code_t
build_sign_message(crl_build_t *b, bytes_t *signature, pki_err_t *err)
{
    int        fd = memfd_create("tbsCertList", MFD_CLOEXEC);
    pki_code_t code;

    if (fd < 0) {
        return pki_fail(err, PKI_E_IO, NULL, "memfd: %s", strerror(errno));
    }
    code = crl_tbs_write(b->crl, fd_sink, &fd, err);
    if (code == PKI_OK) {
        code = signer_sign_crl(b->edge->signer, b->arena, b->ca.key_ref, b->ca.issuer_no,
                               bytes_of(b->number, b->number_len), BYTES_NONE, fd, signature, err);
    }
    close(fd);
    return code;
}

static pki_code_t
build_sign(crl_build_t *b, const pki_sigalg_t *alg, bytes_t *signature, pki_err_t *err)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    size_t  len;

    if (alg->digest == NULL) {
        return build_sign_message(b, signature, err);
    }
    PKI_TRY(crl_digest(b->crl, digest, sizeof(digest), &len, err));
    return signer_sign_crl(b->edge->signer, b->arena, b->ca.key_ref, b->ca.issuer_no,
                           bytes_of(b->number, b->number_len), bytes_of(digest, len), -1, signature, err);
}

/* Everything before the file: number, entries, header, signature. */
static pki_code_t
build_list(crl_build_t *b, bytes_t *signature, pki_err_t *err)
{
    edge_t        *e = b->edge;
    crl_template_t t;

    PKI_TRY(issuer_row_find_no(e->db, b->arena, (uint32_t) b->row.issuer_no, &b->issuer, err));
    PKI_TRY(edge_ca_of(b->arena, &b->issuer, &b->ca, err));
    PKI_TRY(crl_number_next(e->db, b->ca.issuer_no, CRL_SCOPE_FULL, &b->row.number, err));

    b->row.this_update = clock_now();
    b->row.next_update = b->row.this_update + e->conf->crl.validity_s;
    PKI_TRY(crl_entries(e->db, b->ca.issuer_no, CRL_SCOPE_FULL, build_entry, b, err));
    b->row.entries = (int64_t) crl_count(b->crl);

    t = (crl_template_t){ .issuer = b->ca.cert.subject,
                          .sigalg = pki_key_sigalg(b->ca.cert.key.kind),
                          .this_update = b->row.this_update,
                          .next_update = b->row.next_update,
                          .akid = b->ca.cert.skid,
                          .number = number_octets(b) };
    PKI_TRY(crl_seal(b->crl, &t, err));
    return build_sign(b, t.sigalg, signature, err);
}

static pki_code_t
file_sink(void *arg, bytes_t data, pki_err_t *err)
{
    crl_build_t *b = arg;

    if (EVP_DigestUpdate(b->md, data.p, data.len) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 of the CRL");
    }
    b->row.size += (int64_t) data.len;
    return file_put(&b->file, data, err);
}

/* Read back what is in the file, as a relying party would. */
static pki_code_t
list_check(crl_build_t *b, bytes_t der, pki_err_t *err)
{
    crl_view_t  view;
    crl_entry_t entry;
    int64_t     count = 0;

    PKI_TRY(crl_parse(der, &view, err));
    if (!bytes_eq(view.issuer, b->ca.cert.subject) || !bytes_eq(view.akid, b->ca.cert.skid) ||
        !bytes_eq(view.number, bytes_of(b->number, b->number_len)) || view.this_update != b->row.this_update ||
        view.next_update != b->row.next_update) {
        return pki_fail(err, PKI_E_INTERNAL, "RFC 5280 5.1", "the finished CRL has another header");
    }
    while (view.entries.len != 0) {
        PKI_TRY(crl_entry_next(&view.entries, &entry, err));
        count++;
    }
    if (count != b->row.entries) {
        return pki_fail(err, PKI_E_INTERNAL, "RFC 5280 5.1.2.6", "the finished CRL has %lld entries and not %lld",
                        (long long) count, (long long) b->row.entries);
    }
    return pki_signature_check(&b->ca.cert.key, view.algorithm, view.tbs, view.signature, err);
}

static pki_code_t
file_check(crl_build_t *b, pki_err_t *err)
{
    void      *map = mmap(NULL, (size_t) b->row.size, PROT_READ, MAP_SHARED, b->file.fd, 0);
    pki_code_t code;

    if (map == MAP_FAILED) {
        return pki_fail(err, PKI_E_IO, NULL, "%s: %s", b->file.temp, strerror(errno));
    }
    code = list_check(b, bytes_of(map, (size_t) b->row.size), err);
    munmap(map, (size_t) b->row.size);
    return code;
}

static pki_code_t
build_file(crl_build_t *b, bytes_t signature, pki_err_t *err)
{
    uint8_t *etag = pki_alloc(b->arena, 32);
    char    *name = pki_printf(b->arena, "%s-%s-%lld.crl", b->ca.issuer_id, CRL_SCOPE_FULL, (long long) b->row.number);
    char    *path = name != NULL ? edge_path(b->arena, b->edge->crl_dir, name) : NULL;

    if (etag == NULL || path == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    if (EVP_DigestInit_ex(b->md, EVP_sha256(), NULL) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 of the CRL");
    }
    PKI_TRY(file_begin(&b->file, path, 0640, err));
    PKI_TRY(crl_write(b->crl, signature, file_sink, b, err));
    if (EVP_DigestFinal_ex(b->md, etag, NULL) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 of the CRL");
    }
    PKI_TRY(file_check(b, err));
    b->row.etag = bytes_of(etag, 32);
    b->row.file = name;
    return file_commit(&b->file, err);
}

pki_code_t
crl_record(const crl_row_t *row, pki_buf_t *key, pki_buf_t *value, pki_err_t *err)
{
    crl_build_t b = { .row = *row };
    edge_crl_t  record = { .file = bytes_str(row->file),
                           .number = number_octets(&b),
                           .etag = row->etag,
                           .this_update = row->this_update,
                           .next_update = row->next_update,
                           .size = (uint64_t) row->size };

    pki_buf_put_be(key, edge_authority((uint32_t) row->issuer_no, 1), 4);
    pki_buf_put(key, bytes_str(row->scope));
    PKI_TRY(pki_buf_check(key, "edge key", err));
    return edge_crl_encode(&record, value, err);
}

static pki_code_t
record_write(env_t *env, MDB_txn *txn, void *arg, pki_err_t *err)
{
    const crl_row_t *row = arg;
    uint8_t          key_mem[64], value_mem[1024];
    pki_buf_t        key, value;
    env_state_t      state;

    pki_buf_fixed(&key, key_mem, sizeof(key_mem));
    pki_buf_fixed(&value, value_mem, sizeof(value_mem));
    PKI_TRY(crl_record(row, &key, &value, err));
    PKI_TRY(env_put(env, txn, ENV_CRL, pki_buf_bytes(&key), pki_buf_bytes(&value), err));
    PKI_TRY(env_state_get(env, txn, &state, err));
    state.s.generation += state.s.generation != 0; /* 0: config_publish() is still to come */
    return env_state_put(env, txn, &state, err);
}

/* PostgreSQL, then the store; under the configuration's lock, so that no older list is put back. */
static pki_code_t
build_publish(crl_build_t *b, pki_err_t *err)
{
    pki_code_t code;

    b->row.duration_ms = (clock_mono_us() - b->started_us) / 1000;
    pthread_mutex_lock(&b->edge->config_lock);
    code = crl_published(b->edge->db, &b->row, err);
    if (code == PKI_OK) {
        b->edge->config_known = false;
        code = writer_run(b->edge->writer, record_write, &b->row, err);
    }
    pthread_mutex_unlock(&b->edge->config_lock);
    return code;
}

static pki_code_t
build_run(crl_build_t *b, pki_err_t *err)
{
    bytes_t signature;

    b->crl = crl_new();
    b->md = EVP_MD_CTX_new();
    if (b->crl == NULL || b->md == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    PKI_TRY(build_list(b, &signature, err));
    PKI_TRY(build_file(b, signature, err));
    return build_publish(b, err);
}

/* A failure is a row, too, when a number was taken. */
static void
build_failed(crl_build_t *b, const pki_err_t *err)
{
    atomic_fetch_add(&b->edge->crl_failures, 1);
    log_failure(LOG_ERROR, "crl.failed", err);
    if (b->row.number != 0) {
        b->row.file = NULL;
        b->row.etag = BYTES_NONE;
        b->row.size = 0;
        b->row.error = err->text;
        b->row.duration_ms = (clock_mono_us() - b->started_us) / 1000;
        if (b->row.next_update == 0) {
            b->row.this_update = b->row.next_update = clock_now();
        }
        (void) crl_published(b->edge->db, &b->row, NULL);
    }
}

static pki_code_t
crl_build(edge_t *e, uint32_t issuer_no)
{
    crl_build_t b = { .edge = e,
                      .arena = pki_arena_new(0),
                      .row = { .issuer_no = issuer_no, .scope = CRL_SCOPE_FULL },
                      .file.fd = -1,
                      .started_us = clock_mono_us() };
    pki_err_t   err = { 0 };
    pki_code_t  code;

    if (b.arena == NULL) {
        return PKI_E_NOMEM;
    }
    code = build_run(&b, &err);
    if (code == PKI_OK) {
        atomic_fetch_add(&e->crls_built, 1);
        log_info("crl.published", LOG_S("issuer", b.ca.issuer_id), LOG_I("number", b.row.number),
                 LOG_I("entries", b.row.entries), LOG_I("bytes", b.row.size), LOG_I("ms", b.row.duration_ms));
    } else if (code != PKI_E_NOT_FOUND) {
        build_failed(&b, &err);
    }
    if (b.file.fd >= 0) {
        file_abandon(&b.file);
    }
    crl_free(b.crl);
    EVP_MD_CTX_free(b.md);
    pki_arena_free(b.arena);
    return code;
}

/* Requests; all of this with e->lock held but for the entry points */

static edge_crl_job_t *
job_find(edge_t *e, uint32_t issuer_no)
{
    for (size_t i = 0; i < e->crl_count; i++) {
        if (e->crl[i].issuer_no == issuer_no) {
            return &e->crl[i];
        }
    }
    return NULL;
}

static edge_crl_job_t *
job_make(edge_t *e, uint32_t issuer_no)
{
    edge_crl_job_t *job = job_find(e, issuer_no);
    size_t          cap = e->crl_cap == 0 ? 8 : 2 * e->crl_cap;

    if (job != NULL) {
        return job;
    }
    if (e->crl_count == e->crl_cap) {
        job = realloc(e->crl, cap * sizeof(*job));
        if (job == NULL) {
            return NULL;
        }
        e->crl = job;
        e->crl_cap = cap;
    }
    job = &e->crl[e->crl_count++];
    *job = (edge_crl_job_t){ .issuer_no = issuer_no, .due_us = clock_mono_us() + CRL_GATHER_US };
    pthread_cond_broadcast(&e->wake);
    return job;
}

void
crl_want(edge_t *e, uint32_t issuer_no)
{
    int64_t         soon_us = clock_mono_us() + CRL_GATHER_US;
    edge_crl_job_t *job;

    pthread_mutex_lock(&e->lock);
    job = job_make(e, issuer_no);
    if (job != NULL) {
        job->wanted++;
        if (job->backoff_us == 0 && job->due_us > soon_us) {
            job->due_us = soon_us;
            pthread_cond_broadcast(&e->wake);
        }
    }
    pthread_mutex_unlock(&e->lock);
}

void
crl_watch(edge_t *e, uint32_t issuer_no, bool have)
{
    edge_crl_job_t *job;
    bool            lost = false;

    pthread_mutex_lock(&e->lock);
    job = job_make(e, issuer_no);
    if (job != NULL) {
        lost = job->have && !have;
        job->have = have;
    }
    pthread_mutex_unlock(&e->lock);
    if (lost) {
        crl_want(e, issuer_no);
    }
}

void
crl_wait(edge_t *e, uint32_t issuer_no, int64_t timeout_ms)
{
    int64_t         due_us = clock_mono_us() + timeout_ms * 1000;
    edge_crl_job_t *job;
    uint64_t        attempts;

    pthread_mutex_lock(&e->lock);
    job = job_find(e, issuer_no);
    attempts = job != NULL ? job->attempts : 0;
    while (!e->stopping && job != NULL && !job->have && job->attempts == attempts && clock_mono_us() < due_us) {
        edge_wait_until(e, due_us);
        job = job_find(e, issuer_no);
    }
    pthread_mutex_unlock(&e->lock);
}

/* When the next list of this issuer is due after an attempt. */
static void
job_finish(edge_t *e, uint32_t issuer_no, uint64_t wanted, pki_code_t code)
{
    edge_crl_job_t *job = job_find(e, issuer_no);
    int64_t         now_us = clock_mono_us();

    job->attempts++;
    if (code == PKI_E_NOT_FOUND) {
        *job = e->crl[--e->crl_count]; /* no such issuer, or it has no certificate: nobody to sign */
    } else if (code == PKI_OK) {
        job->have = true;
        job->backoff_us = 0;
        job->due_us = now_us + (job->wanted != wanted ? CRL_GATHER_US : e->conf->crl.refresh_s * 1000000);
    } else {
        job->backoff_us = job->backoff_us == 0 ? CRL_BACKOFF_MIN_US : 2 * job->backoff_us;
        if (job->backoff_us > CRL_BACKOFF_MAX_US) {
            job->backoff_us = CRL_BACKOFF_MAX_US;
        }
        job->due_us = now_us + job->backoff_us;
    }
    pthread_cond_broadcast(&e->wake);
}

static edge_crl_job_t *
job_first(edge_t *e)
{
    edge_crl_job_t *first = NULL;

    for (size_t i = 0; i < e->crl_count; i++) {
        if (first == NULL || e->crl[i].due_us < first->due_us) {
            first = &e->crl[i];
        }
    }
    return first;
}

void *
crl_thread(void *arg)
{
    edge_t *e = arg;

    (void) prctl(PR_SET_NAME, "edge-crl");
    pthread_mutex_lock(&e->lock);
    while (!e->stopping) {
        edge_crl_job_t *job = job_first(e);
        int64_t         now_us = clock_mono_us();
        uint32_t        issuer_no;
        uint64_t        wanted;
        pki_code_t      code;

        if (job == NULL || job->due_us > now_us) {
            edge_wait_until(e, job != NULL ? job->due_us : now_us + CRL_IDLE_US);
            continue;
        }
        issuer_no = job->issuer_no;
        wanted = job->wanted;
        pthread_mutex_unlock(&e->lock);
        code = crl_build(e, issuer_no);
        pthread_mutex_lock(&e->lock);
        job_finish(e, issuer_no, wanted, code);
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}
