/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Fills an edge store from files, for tests and measurements of the nginx modules without a daemon:
 *
 *     edge_fill DIR name=value...
 *
 *     issuer=ID            the records that follow belong to this issuer, numbered in order of appearance
 *     generation=N         ... to this generation of it (1; the first one is the current one)
 *     chain=FILE           PEM, the issuing CA first
 *     validity=SECONDS     of OCSP answers (before chain=; 3600)
 *     ca_revoked=TIME      the CA itself (before chain=; it holds for that one only)
 *     responder=CERT,KEY[,PLACE]    PEM files; the key is copied to the folder of responder keys; place 0: default
 *     crl=FILE[,SCOPE[,GZIP]]    DER; copied to the folder of lists, with the compressed file GZIP beside it
 *     shards=N             lists of the authority (before chain=; 0)
 *     label=NAME,MODES,WRAP    EST label; MODES of "basic", "certificate", "both"; NAME empty: the default
 *     trust=FILE           PEM anchors for client certificates of the labels that follow
 *     account=LABEL,USER,PASSWORD
 *     status=SERIALHEX,KIND[,REASON]    KIND of "good", "revoked", "hold"
 *     revoked_at=TIME, invalidity=TIME, not_after=TIME, hash=HEX    of the statuses that follow
 *     broken=SERIALHEX     a status record that cannot be read
 *     drop=SERIALHEX       remove one
 *     count=N              N certificates in good standing; serial i is the first 16 octets of
 *                          SHA-256 of i in decimal, with the first octet set to 0x40
 *     scattered=N          the same, written in the order of their numbers as certificates come in
 *     synced=SECONDS       how long ago the store was synchronised (0)
 *     boot=HEX             the boot id of the state (this boot's)
 *     retired=1
 *
 * One write transaction; existing records stay.  Not a feeder: it never syncs and knows no database.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <lmdb.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "pkiproto/base/text.h"
#include "pkiproto/crl/crl.h"
#include "pkiproto/crl/scope.h"
#include "pkiproto/edge/record.h"

#define SERIAL_LEN    16
#define SCATTERED_TXN 64 /* certificates that come in together */

typedef struct {
    const char  *dir;
    pki_arena_t *arena;
    MDB_env     *env;
    MDB_txn     *txn;
    edge_state_t state;
    uint32_t     authority, issuer_count;
    const char  *issuer_id;
    uint32_t     validity_s, shards;
    int64_t      ca_revoked_at;
    cert_list_t  trust;
    int64_t      revoked_at, invalidity_at, not_after;
    uint8_t      cert_hash[EDGE_STATUS_HASH];
    size_t       cert_hash_len;
} fill_t;

static void
die(const char *what, const char *why)
{
    fprintf(stderr, "edge_fill: %s: %s\n", what, why);
    exit(1);
}

static void
must(pki_code_t rc, const char *what, const pki_err_t *err)
{
    if (rc != PKI_OK) {
        die(what, err->text);
    }
}

static void
must_mdb(int rc, const char *what)
{
    if (rc != MDB_SUCCESS) {
        die(what, mdb_strerror(rc));
    }
}

static bytes_t
file_load(fill_t *f, const char *path)
{
    FILE    *in = fopen(path, "rb");
    uint8_t *p;
    long     size = 0;

    if (in == NULL || fseek(in, 0, SEEK_END) != 0 || (size = ftell(in)) < 0) {
        die(path, strerror(errno));
    }
    rewind(in);
    p = pki_alloc(f->arena, (size_t) size + 1);
    if (p == NULL || fread(p, 1, (size_t) size, in) != (size_t) size) {
        die(path, "cannot be read");
    }
    fclose(in);
    return bytes_of(p, (size_t) size);
}

/* A copy below DIR under the last part of the path; gives that name. */
static const char *
file_copy(fill_t *f, const char *path, const char *folder)
{
    bytes_t     data = file_load(f, path);
    const char *name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    const char *to = pki_printf(f->arena, "%s/%s/%s", f->dir, folder, name);
    FILE       *out = fopen(to, "wb");

    if (out == NULL || fwrite(data.p, 1, data.len, out) != data.len || fclose(out) != 0) {
        die(to, strerror(errno));
    }
    return name;
}

static void
put(fill_t *f, const char *db, bytes_t key, bytes_t value, unsigned flags)
{
    MDB_val k = { key.len, (void *) key.p }, v = { value.len, (void *) value.p };
    MDB_dbi dbi;

    must_mdb(mdb_dbi_open(f->txn, db, MDB_CREATE, &dbi), db);
    must_mdb(mdb_put(f->txn, dbi, &k, &v, flags), db);
}

static bytes_t
authority_key(const fill_t *f, uint8_t key[4])
{
    for (int i = 0; i < 4; i++) {
        key[i] = (uint8_t) (f->authority >> 8 * (3 - i));
    }
    return bytes_of(key, 4);
}

static void
fill_issuer(fill_t *f, char *value)
{
    f->issuer_id = value;
    f->authority = edge_authority(++f->issuer_count, 1);
}

static void
fill_generation(fill_t *f, char *value)
{
    f->authority = edge_authority(f->issuer_count, (uint32_t) atoi(value));
}

static void
fill_validity(fill_t *f, char *value)
{
    f->validity_s = (uint32_t) strtoul(value, NULL, 10);
}

static void
fill_chain(fill_t *f, char *value)
{
    edge_issuer_t issuer = {
        .no = f->authority, .id = bytes_str(f->issuer_id), .is_current = (f->authority & 0xff) == 1, .reason = -1,
        .ocsp_validity_s = f->validity_s, .crl_shards = f->shards, .is_revoked = f->ca_revoked_at != 0,
        .revoked_at = f->ca_revoked_at
    };
    uint8_t     key[4];
    cert_list_t list;
    cert_t      ca;
    pki_buf_t   out;
    pki_err_t   err;

    must(cert_decode(f->arena, file_load(f, value), EDGE_CHAIN_MAX, &list, &err), value, &err);
    must(cert_parse(f->arena, list.v[0], &ca, &err), value, &err);
    must(edge_issuer_hashes(f->arena, &ca, &issuer, &err), value, &err);
    memcpy(issuer.chain, list.v, list.count * sizeof(list.v[0]));
    issuer.chain_len = list.count;
    pki_buf_init(&out, f->arena, 1 << 20);
    must(edge_issuer_encode(&issuer, &out, &err), value, &err);
    put(f, EDGE_DB_ISSUER, authority_key(f, key), pki_buf_bytes(&out), 0);
    f->ca_revoked_at = 0;
}

static void
fill_responder(fill_t *f, char *value)
{
    edge_responder_t responder = { 0 };
    char            *certificate = strtok(value, ","), *file = strtok(NULL, ","), *place = strtok(NULL, ",");
    uint8_t          key[5];
    cert_list_t      list;
    cert_t           cert;
    pki_buf_t        out;
    pki_err_t        err;

    must(cert_decode(f->arena, file_load(f, certificate), 1, &list, &err), certificate, &err);
    must(cert_parse(f->arena, list.v[0], &cert, &err), certificate, &err);
    responder.certificate = cert.der;
    responder.key_file = bytes_str(file_copy(f, file, EDGE_KEY_DIR));
    responder.generation = (uint32_t) f->state.generation;
    responder.not_before = cert.not_before;
    responder.not_after = cert.not_after;
    pki_buf_init(&out, f->arena, 1 << 20);
    must(edge_responder_encode(&responder, &out, &err), certificate, &err);
    authority_key(f, key);
    key[4] = (uint8_t) (place != NULL ? atoi(place) : 0);
    put(f, EDGE_DB_RESPONDER, BYTES_ARR(key), pki_buf_bytes(&out), 0);
}

static void
fill_crl(fill_t *f, char *value)
{
    char       *file = strtok(value, ","), *scope = strtok(NULL, ","), *gzip = strtok(NULL, ",");
    edge_crl_t  crl = { 0 };
    crl_view_t  view;
    bytes_t     der = file_load(f, file), packed;
    uint8_t     key_mem[4 + CRL_SCOPE_TEXT_MAX], etag[2][32];
    pki_buf_t   key, out;
    pki_err_t   err;

    must(crl_parse(der, &view, &err), file, &err);
    crl.file = bytes_str(file_copy(f, file, EDGE_CRL_DIR));
    crl.number = view.number;
    crl.this_update = view.this_update;
    crl.next_update = view.next_update;
    crl.size = der.len;
    EVP_Digest(der.p, der.len, etag[0], NULL, EVP_sha256(), NULL);
    crl.etag = BYTES_ARR(etag[0]);
    if (gzip != NULL) {
        packed = file_load(f, gzip);
        file_copy(f, gzip, EDGE_CRL_DIR);
        crl.gzip_size = packed.len;
        EVP_Digest(packed.p, packed.len, etag[1], NULL, EVP_sha256(), NULL);
        crl.gzip_etag = BYTES_ARR(etag[1]);
    }
    pki_buf_init(&out, f->arena, 1 << 20);
    must(edge_crl_encode(&crl, &out, &err), file, &err);
    pki_buf_fixed(&key, key_mem, sizeof(key_mem));
    pki_buf_put_be(&key, f->authority, 4);
    pki_buf_put(&key, bytes_str(scope != NULL ? scope : "full"));
    put(f, EDGE_DB_CRL, pki_buf_bytes(&key), pki_buf_bytes(&out), 0);
}

static void
fill_shards(fill_t *f, char *value)
{
    f->shards = (uint32_t) atoi(value);
}

static void
fill_trust(fill_t *f, char *value)
{
    pki_err_t err;

    must(cert_decode(f->arena, file_load(f, value), EDGE_TRUST_MAX, &f->trust, &err), value, &err);
}

static void
fill_label(fill_t *f, char *value)
{
    char            *modes = strchr(value, ','), *wrap = modes != NULL ? strchr(modes + 1, ',') : NULL;
    edge_est_label_t label = { .issuer_no = f->issuer_count };
    pki_buf_t        out;
    pki_err_t        err;

    if (wrap == NULL) {
        die("label", "takes NAME,MODES,WRAP");
    }
    *modes++ = '\0';
    *wrap++ = '\0';
    label.label = bytes_str(value[0] != '\0' ? value : "default");
    label.wrap = (uint32_t) strtoul(wrap, NULL, 10);
    label.auth_basic = strcmp(modes, "certificate") != 0;
    label.auth_certificate = strcmp(modes, "basic") != 0;
    while (label.trust_len < f->trust.count) {
        label.trust[label.trust_len] = f->trust.v[label.trust_len];
        label.trust_len++;
    }
    pki_buf_init(&out, f->arena, 1 << 20);
    must(edge_est_label_encode(&label, &out, &err), value, &err);
    put(f, EDGE_DB_PROFILE, bytes_str(pki_printf(f->arena, "est/%s", value)), pki_buf_bytes(&out), 0);
}

static void
fill_account(fill_t *f, char *value)
{
    char          *label = strtok(value, ","), *user = strtok(NULL, ","), *password = strtok(NULL, ",");
    edge_account_t account = { .kind = EDGE_CREDENTIAL_ORCHESTRATOR };
    uint8_t        digest[32];
    pki_buf_t      out;
    pki_err_t      err;

    if (password != NULL) {
        account.kind = EDGE_CREDENTIAL_SHA256;
        EVP_Digest(password, strlen(password), digest, NULL, EVP_sha256(), NULL);
        account.digest = BYTES_ARR(digest);
    }
    pki_buf_init(&out, f->arena, 1 << 10);
    must(edge_account_encode(&account, &out, &err), value, &err);
    put(f, EDGE_DB_ACCOUNT, bytes_str(pki_printf(f->arena, "est/%s/%s", label, user)), pki_buf_bytes(&out), 0);
}

static int64_t
time_of(const char *value)
{
    return (int64_t) strtoll(value, NULL, 10);
}

static void
fill_revoked_at(fill_t *f, char *value)
{
    f->revoked_at = time_of(value);
}

static void
fill_invalidity(fill_t *f, char *value)
{
    f->invalidity_at = time_of(value);
}

static void
fill_not_after(fill_t *f, char *value)
{
    f->not_after = time_of(value);
}

static void
fill_hash(fill_t *f, char *value)
{
    pki_err_t err;

    must(hex_decode(bytes_str(value), f->cert_hash, sizeof(f->cert_hash), &f->cert_hash_len, &err), value, &err);
}

static void
fill_ca_revoked(fill_t *f, char *value)
{
    f->ca_revoked_at = time_of(value);
}

static size_t
status_key(fill_t *f, const char *hex, uint8_t key[EDGE_STATUS_KEY_MAX])
{
    uint8_t   serial[CERT_SERIAL_MAX];
    size_t    len;
    pki_err_t err;

    must(hex_decode(bytes_str(hex), serial, sizeof(serial), &len, &err), hex, &err);
    return edge_status_key(f->authority, bytes_of(serial, len), key);
}

static void
fill_broken(fill_t *f, char *value)
{
    uint8_t key[EDGE_STATUS_KEY_MAX];
    size_t  len = status_key(f, value, key);

    put(f, EDGE_DB_STATUS, bytes_of(key, len), BYTES_LIT("?"), 0);
}

static void
fill_drop(fill_t *f, char *value)
{
    uint8_t key[EDGE_STATUS_KEY_MAX];
    MDB_val k = { status_key(f, value, key), key };
    MDB_dbi dbi;

    must_mdb(mdb_dbi_open(f->txn, EDGE_DB_STATUS, MDB_CREATE, &dbi), EDGE_DB_STATUS);
    must_mdb(mdb_del(f->txn, dbi, &k, NULL), value);
}

static void
fill_status(fill_t *f, char *value)
{
    char         *hex = strtok(value, ","), *kind = strtok(NULL, ","), *reason = strtok(NULL, ",");
    edge_status_t status = { .reason = -1, .revision = 1, .not_after = f->not_after };
    uint8_t       key[EDGE_STATUS_KEY_MAX], record[EDGE_STATUS_MAX];
    size_t        len, record_len;

    if (kind == NULL || strcmp(kind, "good") != 0) {
        status.kind = kind != NULL && strcmp(kind, "hold") == 0 ? EDGE_HOLD : EDGE_REVOKED;
        status.reason = reason != NULL ? atoi(reason) : status.kind == EDGE_HOLD ? 6 : -1;
        status.revoked_at = f->revoked_at;
        status.invalidity_at = f->invalidity_at;
        status.revision = 2;
    }
    if (f->cert_hash_len != 0) {
        status.cert_hash = bytes_of(f->cert_hash, f->cert_hash_len);
    }
    record_len = edge_status_encode(&status, record);
    len = status_key(f, hex, key);
    put(f, EDGE_DB_STATUS, bytes_of(key, len), bytes_of(record, record_len), 0);
}

static int
key_cmp(const void *a, const void *b)
{
    return memcmp(a, b, 4 + SERIAL_LEN);
}

static void
fill_many(fill_t *f, const char *value, bool in_order)
{
    size_t        count = strtoul(value, NULL, 10);
    edge_status_t status = { .reason = -1, .revision = 1, .not_after = time(NULL) + 86400 };
    uint8_t       record[EDGE_STATUS_MAX], digest[32], *keys = malloc(count * (4 + SERIAL_LEN));
    size_t        record_len = edge_status_encode(&status, record);
    char          text[24];

    for (size_t i = 0; keys != NULL && i < count; i++) {
        snprintf(text, sizeof(text), "%zu", i);
        EVP_Digest(text, strlen(text), digest, NULL, EVP_sha256(), NULL);
        digest[0] = 0x40;
        edge_status_key(f->authority, bytes_of(digest, SERIAL_LEN), keys + i * (4 + SERIAL_LEN));
    }
    /* In order, pages are filled one after the other. */
    if (in_order) {
        qsort(keys, count, 4 + SERIAL_LEN, key_cmp);
    }
    for (size_t i = 0; i < count; i++) {
        put(f, EDGE_DB_STATUS, bytes_of(keys + i * (4 + SERIAL_LEN), 4 + SERIAL_LEN), bytes_of(record, record_len), 0);
        if (!in_order && i % SCATTERED_TXN == SCATTERED_TXN - 1) {
            must_mdb(mdb_txn_commit(f->txn), "commit");
            must_mdb(mdb_txn_begin(f->env, NULL, 0, &f->txn), "transaction");
        }
    }
    free(keys);
}

static void
fill_count(fill_t *f, char *value)
{
    fill_many(f, value, true);
}

static void
fill_scattered(fill_t *f, char *value)
{
    fill_many(f, value, false);
}

static void
fill_synced(fill_t *f, char *value)
{
    f->state.synced_at = time(NULL) - atol(value);
}

static void
fill_boot(fill_t *f, char *value)
{
    pki_err_t err;
    size_t    len;
    uint8_t  *id = pki_alloc(f->arena, 16);

    must(hex_decode(bytes_str(value), id, 16, &len, &err), value, &err);
    f->state.boot_id = bytes_of(id, 16);
}

static void
fill_retired(fill_t *f, char *value)
{
    f->state.retired = value[0] == '1';
}

static const struct {
    const char *name;
    void (*fill)(fill_t *f, char *value);
} words[] = {
    { "issuer", fill_issuer },     { "chain", fill_chain },     { "validity", fill_validity },
    { "responder", fill_responder }, { "crl", fill_crl },       { "label", fill_label },
    { "trust", fill_trust },       { "account", fill_account }, { "status", fill_status },
    { "count", fill_count },       { "scattered", fill_scattered }, { "synced", fill_synced },   { "boot", fill_boot },
    { "retired", fill_retired },   { "generation", fill_generation },
    { "revoked_at", fill_revoked_at }, { "invalidity", fill_invalidity }, { "not_after", fill_not_after },
    { "hash", fill_hash },         { "broken", fill_broken },   { "drop", fill_drop },
    { "ca_revoked", fill_ca_revoked },
    { "shards", fill_shards },
    { NULL, NULL },
};

/* This boot, as the kernel names it. */
static bytes_t
boot_id(fill_t *f)
{
    FILE    *in = fopen("/proc/sys/kernel/random/boot_id", "r");
    char     text[64] = "", digits[33] = "";
    uint8_t *id = pki_alloc(f->arena, 16);
    size_t   n = 0;

    if (in != NULL) {
        if (fgets(text, sizeof(text), in) == NULL) {
            text[0] = '\0';
        }
        fclose(in);
    }
    for (size_t i = 0; text[i] != '\0' && n < 32; i++) {
        if (text[i] != '-') {
            digits[n++] = text[i];
        }
    }
    hex_decode(bytes_str(digits), id, 16, &n, NULL);
    return bytes_of(id, 16);
}

static void
state_read(fill_t *f)
{
    MDB_val   k = { sizeof(EDGE_STATE_KEY) - 1, (void *) EDGE_STATE_KEY }, v;
    MDB_dbi   dbi;
    pki_err_t err;

    must_mdb(mdb_dbi_open(f->txn, EDGE_DB_META, MDB_CREATE, &dbi), EDGE_DB_META);
    if (mdb_get(f->txn, dbi, &k, &v) == MDB_SUCCESS) {
        must(edge_state_decode(bytes_of(v.mv_data, v.mv_size), &f->state, &err), "state", &err);
    }
    f->state.generation++;
    f->state.boot_id = boot_id(f);
    f->state.synced_at = time(NULL);
}

static void
store_open(fill_t *f)
{
    static const char *const folders[] = { "", EDGE_STORE_DIR, EDGE_CRL_DIR, EDGE_KEY_DIR };
    static const char *const dbs[] = { EDGE_DB_META,      EDGE_DB_ISSUER, EDGE_DB_STATUS, EDGE_DB_RESPONDER,
                                       EDGE_DB_CRL,       EDGE_DB_PROFILE, EDGE_DB_ACCOUNT };
    MDB_dbi                  dbi;

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        const char *path = pki_printf(f->arena, "%s/%s", f->dir, folders[i]);

        if (mkdir(path, 0755) != 0 && errno != EEXIST) {
            die(path, strerror(errno));
        }
    }
    must_mdb(mdb_env_create(&f->env), "environment");
    must_mdb(mdb_env_set_maxdbs(f->env, EDGE_DB_COUNT), "environment");
    must_mdb(mdb_env_set_maxreaders(f->env, EDGE_MAX_READERS), "environment");
    must_mdb(mdb_env_set_mapsize(f->env, EDGE_MAP_SIZE), "environment");
    must_mdb(mdb_env_open(f->env, pki_printf(f->arena, "%s/%s", f->dir, EDGE_STORE_DIR), MDB_NOSYNC, 0666), f->dir);
    must_mdb(mdb_txn_begin(f->env, NULL, 0, &f->txn), "transaction");
    for (size_t i = 0; i < EDGE_DB_COUNT; i++) {
        must_mdb(mdb_dbi_open(f->txn, dbs[i], MDB_CREATE, &dbi), dbs[i]);
    }
}

static void
fill_word(fill_t *f, char *word)
{
    char *value = strchr(word, '=');

    for (size_t i = 0; value != NULL && words[i].name != NULL; i++) {
        if (strlen(words[i].name) == (size_t) (value - word) && strncmp(word, words[i].name, (size_t) (value - word)) == 0) {
            words[i].fill(f, value + 1);
            return;
        }
    }
    die(word, "is not understood");
}

/* As if every status had been changed. */
static void
changes_write(fill_t *f)
{
    uint8_t  record[EDGE_CHANGES_LEN];
    uint64_t first;

    RAND_bytes((uint8_t *) &first, sizeof(first));
    edge_changes_init(first, record);
    put(f, EDGE_DB_META, BYTES_LIT(EDGE_CHANGES_KEY), BYTES_ARR(record), 0);
}

int
main(int argc, char **argv)
{
    fill_t    f = { .validity_s = 3600 };
    pki_buf_t out;
    pki_err_t err;

    if (argc < 2) {
        die("usage", "edge_fill DIR name=value...");
    }
    f.dir = argv[1];
    f.arena = pki_arena_new(0);
    f.revoked_at = time(NULL);
    f.not_after = time(NULL) + 86400;
    store_open(&f);
    state_read(&f);
    for (int i = 2; i < argc; i++) {
        fill_word(&f, argv[i]);
    }
    pki_buf_init(&out, f.arena, 256);
    must(edge_state_encode(&f.state, &out, &err), "state", &err);
    put(&f, EDGE_DB_META, BYTES_LIT(EDGE_STATE_KEY), pki_buf_bytes(&out), 0);
    changes_write(&f);
    must_mdb(mdb_txn_commit(f.txn), "commit");
    mdb_env_close(f.env);
    pki_arena_free(f.arena);
    return 0;
}
