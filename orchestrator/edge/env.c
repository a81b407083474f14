/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The LMDB environment of the edge store (see env.h).
 *
 * The file "mark" beside data.mdb names the boot that writes it, or says that it was synced and closed.  A
 * folder is usable when it is of this boot (the page cache survives any death of a process) or clean; anything
 * else may be damaged in any way and is not even mapped.
 *
 * LMDB trusts its file: a page that is not what it should be may end the process.  So before anything is read from a
 * folder its mark is taken away, and put back only when every record has been walked: who died in between finds
 * a folder that is not usable, and rebuilds it instead of dying again.
 */
#include "orchestrator/edge/env.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "core/clock.h"
#include "core/file.h"
#include "pkiproto/base/text.h"

#define ENV_SCHEMA     "3"
#define ENV_KEY_SCHEMA "schema"
#define ENV_MADE_KEY   "made"
#define ENV_MARK       "mark"
#define ENV_MARK_CLEAN "clean"
#define ENV_MARK_DOUBT "doubt" /* being looked at, or found damaged */
#define ENV_BLOAT_MIN  ((size_t) 64 << 20) /* smaller files are left alone */
#define ENV_BLOAT_RATE 3

static const char *const env_db_names[EDGE_DB_COUNT] = {
    [ENV_META] = EDGE_DB_META,           [ENV_ISSUER] = EDGE_DB_ISSUER,   [ENV_STATUS] = EDGE_DB_STATUS,
    [ENV_RESPONDER] = EDGE_DB_RESPONDER, [ENV_CRL] = EDGE_DB_CRL,         [ENV_PROFILE] = EDGE_DB_PROFILE,
    [ENV_ACCOUNT] = EDGE_DB_ACCOUNT,
};

#define VAL(b) ((MDB_val){ .mv_size = (b).len, .mv_data = (void *) (uintptr_t) (b).p })

static bool
env_damage(int rc)
{
    return rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_PANIC || rc == MDB_INVALID ||
           rc == MDB_VERSION_MISMATCH || rc == MDB_CURSOR_FULL || rc == MDB_BAD_DBI;
}

pki_code_t
env_fail(env_t *e, int rc, const char *what, pki_err_t *err)
{
    e->damaged = e->damaged || env_damage(rc);
    return pki_fail(err, rc == ENOMEM ? PKI_E_NOMEM : PKI_E_IO, NULL, "edge store: %s: %s", what, mdb_strerror(rc));
}

pki_code_t
env_boot_id(uint8_t out[16], pki_err_t *err)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    char              text[40], digits[32];
    size_t            n = 0, len = 0;
    FILE             *f = fopen(path, "re");
    bool              read = f != NULL && fgets(text, sizeof(text), f) != NULL;

    if (f != NULL) {
        fclose(f);
    }
    if (!read) {
        return pki_fail(err, PKI_E_IO, NULL, "%s cannot be read", path);
    }
    for (const char *p = text; *p != '\0' && n < sizeof(digits); p++) {
        if (*p != '-' && *p != '\n') {
            digits[n++] = *p;
        }
    }
    PKI_TRY(hex_decode(bytes_of(digits, n), out, 16, &len, err));
    return len == 16 ? PKI_OK : pki_fail(err, PKI_E_IO, NULL, "%s holds no UUID", path);
}

pki_code_t
env_put(env_t *e, MDB_txn *txn, env_db_t db, bytes_t key, bytes_t value, pki_err_t *err)
{
    MDB_val k = VAL(key), v = VAL(value);
    int     rc = mdb_put(txn, e->dbi[db], &k, &v, 0);

    return rc == 0 ? PKI_OK : env_fail(e, rc, env_db_names[db], err);
}

pki_code_t
env_get(env_t *e, MDB_txn *txn, env_db_t db, bytes_t key, bytes_t *value, pki_err_t *err)
{
    MDB_val k = VAL(key), v;
    int     rc = mdb_get(txn, e->dbi[db], &k, &v);

    if (rc == MDB_NOTFOUND) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "edge store: no such record in %s", env_db_names[db]);
    }
    if (rc != 0) {
        return env_fail(e, rc, env_db_names[db], err);
    }
    *value = bytes_of(v.mv_data, v.mv_size);
    return PKI_OK;
}

pki_code_t
env_empty(env_t *e, MDB_txn *txn, env_db_t db, pki_err_t *err)
{
    int rc = mdb_drop(txn, e->dbi[db], 0);

    return rc == 0 ? PKI_OK : env_fail(e, rc, env_db_names[db], err);
}

pki_code_t
env_copy_db(env_t *from, MDB_txn *from_txn, env_t *to, MDB_txn *to_txn, env_db_t db, pki_err_t *err)
{
    MDB_cursor *cursor;
    MDB_val     k, v;
    pki_code_t  code = env_empty(to, to_txn, db, err);
    int         rc;

    PKI_TRY(code);
    rc = mdb_cursor_open(from_txn, from->dbi[db], &cursor);
    if (rc != 0) {
        return env_fail(from, rc, env_db_names[db], err);
    }
    while (code == PKI_OK && (rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
        code = env_put(to, to_txn, db, bytes_of(k.mv_data, k.mv_size), bytes_of(v.mv_data, v.mv_size), err);
    }
    mdb_cursor_close(cursor);
    return code != PKI_OK ? code : rc == MDB_NOTFOUND ? PKI_OK : env_fail(from, rc, env_db_names[db], err);
}

pki_code_t
env_state_get(env_t *e, MDB_txn *txn, env_state_t *out, pki_err_t *err)
{
    bytes_t record;

    PKI_TRY(env_get(e, txn, ENV_META, BYTES_LIT(EDGE_STATE_KEY), &record, err));
    PKI_TRY(edge_state_decode(record, &out->s, err));
    memcpy(out->boot, out->s.boot_id.p, sizeof(out->boot));
    out->s.boot_id = BYTES_ARR(out->boot);
    return PKI_OK;
}

pki_code_t
env_state_put(env_t *e, MDB_txn *txn, const env_state_t *in, pki_err_t *err)
{
    edge_state_t state = in->s;
    uint8_t      mem[128];
    pki_buf_t    record;

    state.boot_id = BYTES_ARR(in->boot);
    pki_buf_fixed(&record, mem, sizeof(mem));
    PKI_TRY(edge_state_encode(&state, &record, err));
    return env_put(e, txn, ENV_META, BYTES_LIT(EDGE_STATE_KEY), pki_buf_bytes(&record), err);
}

/* Readers may keep what they made of a status for as long as this does not count a change. */
static pki_code_t
env_changes_add(env_t *e, MDB_txn *txn, bytes_t key, pki_err_t *err)
{
    uint8_t record[EDGE_CHANGES_LEN];
    bytes_t present;

    PKI_TRY(env_get(e, txn, ENV_META, BYTES_LIT(EDGE_CHANGES_KEY), &present, err));
    if (present.len != sizeof(record)) {
        return env_fail(e, MDB_CORRUPTED, "counts of changes", err);
    }
    memcpy(record, present.p, sizeof(record));
    edge_changes_add(record, key);
    return env_put(e, txn, ENV_META, BYTES_LIT(EDGE_CHANGES_KEY), BYTES_ARR(record), err);
}

static pki_code_t
env_changes_first(env_t *e, MDB_txn *txn, pki_err_t *err)
{
    uint8_t  record[EDGE_CHANGES_LEN];
    uint64_t first;

    if (RAND_bytes((uint8_t *) &first, sizeof(first)) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "no random octets");
    }
    edge_changes_init(first, record);
    return env_put(e, txn, ENV_META, BYTES_LIT(EDGE_CHANGES_KEY), BYTES_ARR(record), err);
}

pki_code_t
env_status_put(env_t *e, MDB_txn *txn, uint32_t authority, bytes_t serial, const edge_status_t *status, bool *newer,
               pki_err_t *err)
{
    uint8_t       key[EDGE_STATUS_KEY_MAX], value[EDGE_STATUS_MAX];
    size_t        key_len = edge_status_key(authority, serial, key), value_len = edge_status_encode(status, value);
    edge_status_t present;
    MDB_val       k = { key_len, key }, v;
    int           rc;

    *newer = true;
    if (key_len == 0) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.1.2.2", "serial of %zu octets", serial.len);
    }
    rc = mdb_get(txn, e->dbi[ENV_STATUS], &k, &v);
    if (rc == 0) {
        PKI_TRY(edge_status_decode(bytes_of(v.mv_data, v.mv_size), &present, err));
        *newer = status->revision > present.revision;
        if (status->revision < present.revision
            || bytes_eq(bytes_of(v.mv_data, v.mv_size), bytes_of(value, value_len))) {
            return PKI_OK;
        }
        PKI_TRY(env_changes_add(e, txn, bytes_of(key, key_len), err));
    } else if (rc != MDB_NOTFOUND) {
        return env_fail(e, rc, "status", err);
    }
    return env_put(e, txn, ENV_STATUS, bytes_of(key, key_len), bytes_of(value, value_len), err);
}

pki_code_t
env_status_append(env_t *e, MDB_txn *txn, uint32_t authority, bytes_t serial, const edge_status_t *status,
                  pki_err_t *err)
{
    uint8_t key[EDGE_STATUS_KEY_MAX], value[EDGE_STATUS_MAX];
    size_t  key_len = edge_status_key(authority, serial, key);
    MDB_val k = { key_len, key }, v = { edge_status_encode(status, value), value };
    int     rc;

    if (key_len == 0) {
        return pki_fail(err, PKI_E_INVALID, "RFC 5280 4.1.2.2", "serial of %zu octets", serial.len);
    }
    rc = mdb_put(txn, e->dbi[ENV_STATUS], &k, &v, MDB_APPEND);
    return rc == 0 ? PKI_OK : env_fail(e, rc, "status, in order", err);
}

pki_code_t
env_made_get(env_t *e, MDB_txn *txn, bytes_t *out, pki_err_t *err)
{
    return env_get(e, txn, ENV_META, BYTES_LIT(ENV_MADE_KEY), out, err);
}

pki_code_t
env_made_put(env_t *e, MDB_txn *txn, bytes_t made, pki_err_t *err)
{
    return env_put(e, txn, ENV_META, BYTES_LIT(ENV_MADE_KEY), made, err);
}

uint64_t
env_status_count(env_t *e, MDB_txn *txn)
{
    MDB_stat stat;

    return mdb_stat(txn, e->dbi[ENV_STATUS], &stat) == 0 ? stat.ms_entries : 0;
}

/* Opening */

static pki_code_t
env_path(const char *dir, const char *name, char out[4096], pki_err_t *err)
{
    int n = snprintf(out, 4096, "%s/%s", dir, name);

    return n > 0 && n < 4096 ? PKI_OK : pki_fail(err, PKI_E_CONFIG, NULL, "%s: path too long", dir);
}

/* Workers take a slot in the lock file, so their group has to write it; nobody but us writes the data. */
static pki_code_t
env_modes(env_t *e, const char *dir, pki_err_t *err)
{
    struct stat st;
    char        data[4096], lock[4096];

    PKI_TRY(env_path(dir, "data.mdb", data, err));
    PKI_TRY(env_path(dir, "lock.mdb", lock, err));
    if (chmod(data, 0640) != 0 || chmod(lock, 0660) != 0 || stat(data, &st) != 0) {
        return pki_fail(err, PKI_E_IO, NULL, "%s: %s", dir, strerror(errno));
    }
    e->dev = st.st_dev;
    e->ino = st.st_ino;
    return PKI_OK;
}

static int
env_databases(env_t *e, MDB_txn *txn, unsigned flags)
{
    for (size_t i = 0; i < EDGE_DB_COUNT; i++) {
        int rc = mdb_dbi_open(txn, env_db_names[i], flags, &e->dbi[i]);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static pki_code_t
env_attach(const char *dir, bool create, env_t **out, pki_err_t *err)
{
    env_t   *e = calloc(1, sizeof(*e));
    MDB_txn *txn;
    int      rc;

    if (e == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = mdb_env_create(&e->env);
    if (rc == 0) {
        (void) mdb_env_set_mapsize(e->env, EDGE_MAP_SIZE);
        (void) mdb_env_set_maxdbs(e->env, EDGE_DB_COUNT);
        (void) mdb_env_set_maxreaders(e->env, EDGE_MAX_READERS);
        rc = mdb_env_open(e->env, dir, MDB_NOSYNC | MDB_NOTLS | MDB_NORDAHEAD, 0640);
    }
    if (rc == 0 && (rc = mdb_txn_begin(e->env, NULL, 0, &txn)) == 0) {
        rc = env_databases(e, txn, create ? MDB_CREATE : 0);
        if (rc == 0) {
            rc = mdb_txn_commit(txn);
        } else {
            mdb_txn_abort(txn);
        }
    }
    if (rc != 0) {
        mdb_env_close(e->env); /* accepts NULL */
        free(e);
        return pki_fail(err, PKI_E_INVALID, NULL, "edge store %s: %s", dir, mdb_strerror(rc));
    }
    *out = e;
    return PKI_OK;
}

typedef pki_code_t (*env_write_pt)(env_t *e, MDB_txn *txn, pki_err_t *err);

static pki_code_t
env_write(env_t *e, env_write_pt fn, pki_err_t *err)
{
    MDB_txn   *txn;
    pki_code_t code;
    int        rc = mdb_txn_begin(e->env, NULL, 0, &txn);

    if (rc != 0) {
        return env_fail(e, rc, "begin", err);
    }
    code = fn(e, txn, err);
    if (code != PKI_OK) {
        mdb_txn_abort(txn);
        return code;
    }
    rc = mdb_txn_commit(txn);
    return rc == 0 ? PKI_OK : env_fail(e, rc, "commit", err);
}

static pki_code_t
write_first_state(env_t *e, MDB_txn *txn, pki_err_t *err)
{
    env_state_t state = { .s = { .generation = 0 } };

    PKI_TRY(env_boot_id(state.boot, err));
    PKI_TRY(env_put(e, txn, ENV_META, BYTES_LIT(ENV_KEY_SCHEMA), BYTES_LIT(ENV_SCHEMA), err));
    PKI_TRY(env_changes_first(e, txn, err));
    return env_state_put(e, txn, &state, err);
}

static pki_code_t
write_retired(env_t *e, MDB_txn *txn, pki_err_t *err)
{
    env_state_t state;

    PKI_TRY(env_state_get(e, txn, &state, err));
    state.s.retired = true;
    return env_state_put(e, txn, &state, err);
}

/* Take an environment over: check what it says of itself, and note that this boot writes it from now on. */
static pki_code_t
write_adopted(env_t *e, MDB_txn *txn, pki_err_t *err)
{
    env_state_t state;
    bytes_t     value;

    PKI_TRY(env_get(e, txn, ENV_META, BYTES_LIT(ENV_KEY_SCHEMA), &value, err));
    if (!bytes_eq(value, BYTES_LIT(ENV_SCHEMA))) {
        return pki_fail(err, PKI_E_INVALID, NULL, "edge store: another schema");
    }
    PKI_TRY(env_state_get(e, txn, &state, err));
    if (state.s.retired) {
        return pki_fail(err, PKI_E_INVALID, NULL, "edge store: retired");
    }
    PKI_TRY(env_boot_id(state.boot, err));
    return env_state_put(e, txn, &state, err);
}

/* The mark */

static pki_code_t
mark_write(const char *dir, bytes_t text, pki_err_t *err)
{
    char path[4096];

    PKI_TRY(env_path(dir, ENV_MARK, path, err));
    return file_replace(path, text, 0640, err);
}

static pki_code_t
mark_boot(const char *dir, pki_err_t *err)
{
    char    text[2 * 16 + 1];
    uint8_t boot[16];

    PKI_TRY(env_boot_id(boot, err));
    hex_encode(BYTES_ARR(boot), text);
    return mark_write(dir, bytes_str(text), err);
}

static pki_code_t
mark_check(const char *dir, pki_err_t *err)
{
    char    path[4096], want[2 * 16 + 1], text[64] = "";
    uint8_t boot[16];
    FILE   *f;

    PKI_TRY(env_path(dir, ENV_MARK, path, err));
    PKI_TRY(env_boot_id(boot, err));
    hex_encode(BYTES_ARR(boot), want);
    f = fopen(path, "re");
    if (f != NULL) {
        text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
        fclose(f);
    }
    if (strcmp(text, want) != 0 && strcmp(text, ENV_MARK_CLEAN) != 0) {
        return pki_fail(err, PKI_E_INVALID, NULL, "edge store %s: an earlier boot did not close it, or it is damaged",
                        dir);
    }
    return PKI_OK;
}

/* Whether there is one that may be read; from here on it is in doubt. */
static pki_code_t
env_there(const char *dir, pki_err_t *err)
{
    char path[4096];

    PKI_TRY(env_path(dir, "data.mdb", path, err));
    if (access(path, F_OK) != 0) {
        return pki_fail(err, PKI_E_NOT_FOUND, NULL, "no edge store in %s", dir);
    }
    PKI_TRY(mark_check(dir, err));
    return mark_write(dir, BYTES_LIT(ENV_MARK_DOUBT), err);
}

/* Every record of one database in its place, as many as it says of itself. */
static int
walk_db(MDB_txn *txn, MDB_dbi dbi, bool status)
{
    MDB_cursor   *cursor;
    MDB_stat      stat;
    MDB_val       k, v, last = { 0, NULL };
    edge_status_t decoded;
    size_t        count = 0;
    int           rc = mdb_stat(txn, dbi, &stat);

    if (rc != 0 || (rc = mdb_cursor_open(txn, dbi, &cursor)) != 0) {
        return rc;
    }
    while ((rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
        if ((last.mv_data != NULL && mdb_cmp(txn, dbi, &last, &k) >= 0) ||
            (status && edge_status_decode(bytes_of(v.mv_data, v.mv_size), &decoded, NULL) != PKI_OK)) {
            rc = MDB_CORRUPTED;
            break;
        }
        last = k;
        count++;
    }
    mdb_cursor_close(cursor);
    return rc != MDB_NOTFOUND ? rc : count == stat.ms_entries ? 0 : MDB_CORRUPTED;
}

static pki_code_t
env_walk(env_t *e, const char *dir, pki_err_t *err)
{
    MDB_txn *txn;
    int      rc = mdb_txn_begin(e->env, NULL, MDB_RDONLY, &txn);

    if (rc == 0) {
        rc = walk_db(txn, 0, false); /* the free list */
        for (size_t i = 0; i < EDGE_DB_COUNT && rc == 0; i++) {
            rc = walk_db(txn, e->dbi[i], i == ENV_STATUS);
        }
        mdb_txn_abort(txn);
    }
    return rc == 0 ? PKI_OK : pki_fail(err, PKI_E_INVALID, NULL, "edge store %s: %s", dir, mdb_strerror(rc));
}

/* Own a freshly attached environment, or close it again. */
static pki_code_t
env_take(env_t *e, const char *dir, env_write_pt first, env_t **out, pki_err_t *err)
{
    pki_code_t code = env_write(e, first, err);

    if (code == PKI_OK) {
        code = env_modes(e, dir, err);
    }
    if (code == PKI_OK) {
        code = mark_boot(dir, err);
    }
    if (code != PKI_OK) {
        mdb_env_close(e->env);
        free(e);
        return code;
    }
    snprintf(e->dir, sizeof(e->dir), "%s", dir);
    *out = e;
    return PKI_OK;
}

pki_code_t
env_open(const char *dir, env_t **out, pki_err_t *err)
{
    env_t *e;

    PKI_TRY(env_there(dir, err));
    PKI_TRY(env_attach(dir, false, &e, err));
    if (env_walk(e, dir, err) != PKI_OK) {
        mdb_env_close(e->env);
        free(e);
        return PKI_E_INVALID;
    }
    if (env_take(e, dir, write_adopted, out, err) != PKI_OK) {
        return err == NULL ? PKI_E_INVALID : (err->code = PKI_E_INVALID);
    }
    return PKI_OK;
}

pki_code_t
env_create(const char *dir, env_t **out, pki_err_t *err)
{
    env_t *e;

    PKI_TRY(env_discard(dir, err));
    PKI_TRY(dir_make(dir, 02750, err));
    PKI_TRY(env_attach(dir, true, &e, err));
    return env_take(e, dir, write_first_state, out, err);
}

void
env_close(env_t *e, bool clean)
{
    if (e == NULL) {
        return;
    }
    /* Data first: the mark must not reach the disk before what it vouches for. */
    if (clean && mdb_env_sync(e->env, 1) == 0) {
        (void) mark_write(e->dir, BYTES_LIT(ENV_MARK_CLEAN), NULL);
    }
    mdb_env_close(e->env);
    free(e);
}

pki_code_t
env_rename(env_t *e, const char *to, pki_err_t *err)
{
    if (renameat2(AT_FDCWD, e->dir, AT_FDCWD, to, RENAME_EXCHANGE) != 0 &&
        (errno != ENOENT || rename(e->dir, to) != 0)) {
        return pki_fail(err, PKI_E_IO, NULL, "%s to %s: %s", e->dir, to, strerror(errno));
    }
    snprintf(e->dir, sizeof(e->dir), "%s", to);
    return PKI_OK;
}

pki_code_t
env_retire(env_t *e, pki_err_t *err)
{
    return env_write(e, write_retired, err);
}

/* Removal */

static pki_code_t
dir_clear(const char *dir, pki_err_t *err)
{
    DIR           *d = opendir(dir);
    struct dirent *entry;

    if (d == NULL) {
        return errno == ENOENT ? PKI_OK : pki_fail(err, PKI_E_IO, NULL, "%s: %s", dir, strerror(errno));
    }
    while ((entry = readdir(d)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            (void) unlinkat(dirfd(d), entry->d_name, 0);
        }
    }
    closedir(d);
    if (rmdir(dir) != 0 && errno != ENOENT) {
        return pki_fail(err, PKI_E_IO, NULL, "%s: %s", dir, strerror(errno));
    }
    return PKI_OK;
}

pki_code_t
env_discard(const char *dir, pki_err_t *err)
{
    env_t *e;

    if (env_there(dir, NULL) == PKI_OK && env_attach(dir, false, &e, NULL) == PKI_OK) {
        (void) env_retire(e, NULL);
        mdb_env_close(e->env);
        free(e);
    }
    return dir_clear(dir, err);
}

bool
env_is_at(env_t *e, const char *dir)
{
    char        path[4096];
    struct stat st;

    return env_path(dir, "data.mdb", path, NULL) == PKI_OK && stat(path, &st) == 0 && st.st_dev == e->dev &&
           st.st_ino == e->ino;
}

static size_t
db_pages(MDB_txn *txn, MDB_dbi dbi)
{
    MDB_stat stat;

    return mdb_stat(txn, dbi, &stat) == 0 ? stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages : 0;
}

bool
env_is_bloated(env_t *e)
{
    MDB_envinfo info;
    MDB_stat    stat;
    MDB_txn    *txn;
    size_t      used = 2, size;

    if (mdb_txn_begin(e->env, NULL, MDB_RDONLY, &txn) != 0) {
        return false;
    }
    for (size_t i = 0; i < EDGE_DB_COUNT; i++) {
        used += db_pages(txn, e->dbi[i]);
    }
    mdb_txn_abort(txn);
    if (mdb_env_info(e->env, &info) != 0 || mdb_env_stat(e->env, &stat) != 0) {
        return false;
    }
    size = (info.me_last_pgno + 1) * stat.ms_psize;
    return size >= ENV_BLOAT_MIN && info.me_last_pgno + 1 > ENV_BLOAT_RATE * used;
}
