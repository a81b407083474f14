/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Opening, following and reading the LMDB environment.
 */
#include "ngx_module/ngx_http_pki_store.h"

#define NGX_HTTP_PKI_BOOT_ID "/proc/sys/kernel/random/boot_id"
#define NGX_HTTP_PKI_KEEP_MS 100 /* how long a transaction that nobody uses holds the writer's free pages */

static const char *const ngx_http_pki_db_names[EDGE_DB_COUNT] = {
    [NGX_HTTP_PKI_DB_META] = EDGE_DB_META,           [NGX_HTTP_PKI_DB_ISSUER] = EDGE_DB_ISSUER,
    [NGX_HTTP_PKI_DB_STATUS] = EDGE_DB_STATUS,       [NGX_HTTP_PKI_DB_RESPONDER] = EDGE_DB_RESPONDER,
    [NGX_HTTP_PKI_DB_CRL] = EDGE_DB_CRL,             [NGX_HTTP_PKI_DB_PROFILE] = EDGE_DB_PROFILE,
    [NGX_HTTP_PKI_DB_ACCOUNT] = EDGE_DB_ACCOUNT,
};

static ngx_int_t
ngx_http_pki_store_path(ngx_pool_t *pool, ngx_str_t *dir, const char *tail, ngx_str_t *out)
{
    out->len = dir->len + ngx_strlen(tail);
    out->data = ngx_pnalloc(pool, out->len + 1);
    if (out->data == NULL) {
        return NGX_ERROR;
    }
    ngx_sprintf(out->data, "%V%s%Z", dir, tail);
    return NGX_OK;
}

ngx_http_pki_store_t *
ngx_http_pki_store_new(ngx_pool_t *pool, ngx_str_t *dir)
{
    ngx_http_pki_store_t *s = ngx_pcalloc(pool, sizeof(*s));

    if (s == NULL || ngx_http_pki_store_path(pool, dir, "", &s->dir) != NGX_OK
        || ngx_http_pki_store_path(pool, dir, "/" EDGE_STORE_DIR, &s->env_dir) != NGX_OK
        || ngx_http_pki_store_path(pool, dir, "/" EDGE_STORE_DIR "/data.mdb", &s->data_file) != NGX_OK) {
        return NULL;
    }
    return s;
}

/* The kernel's name for this boot: a store that was written without syncing in an earlier one may be torn. */
static void
ngx_http_pki_boot_id(uint8_t out[16])
{
    u_char    text[64], digits[32];
    ngx_fd_t  fd = ngx_open_file(NGX_HTTP_PKI_BOOT_ID, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    ssize_t   n;
    size_t    i, len = 0;

    ngx_memzero(out, 16);
    if (fd == NGX_INVALID_FILE) {
        return;
    }
    n = read(fd, text, sizeof(text));
    ngx_close_file(fd);

    for (i = 0; n > 0 && i < (size_t) n && len < sizeof(digits); i++) {
        if (text[i] != '-') {
            digits[len++] = text[i];
        }
    }
    for (i = 0; len == sizeof(digits) && i < 16; i++) {
        out[i] = (uint8_t) ngx_hextoi(digits + 2 * i, 2);
    }
}

static void
ngx_http_pki_txn_reset(ngx_http_pki_store_t *s)
{
    if (s->is_reading) {
        s->is_reading = 0;
        mdb_txn_reset(s->txn);
    }
}

static void
ngx_http_pki_store_idle(ngx_event_t *ev)
{
    ngx_http_pki_txn_reset(ev->data);
}

static void
ngx_http_pki_env_close(ngx_http_pki_store_t *s)
{
    if (s->env != NULL) {
        s->is_reading = 0;
        mdb_txn_abort(s->txn);
        mdb_env_close(s->env);
        s->env = NULL;
        s->txn = NULL;
    }
}

/* Open the databases, and keep a transaction for renewal. */
static int
ngx_http_pki_env_prepare(MDB_env *env, MDB_dbi *dbi, MDB_txn **txn)
{
    int i, rc;

    rc = mdb_txn_begin(env, NULL, MDB_RDONLY, txn);
    for (i = 0; rc == MDB_SUCCESS && i < EDGE_DB_COUNT; i++) {
        rc = mdb_dbi_open(*txn, ngx_http_pki_db_names[i], 0, &dbi[i]);
    }
    if (rc != MDB_SUCCESS) {
        if (*txn != NULL) {
            mdb_txn_abort(*txn);
        }
        return rc;
    }
    /* Handles stay open only when the transaction that opened them is committed. */
    rc = mdb_txn_commit(*txn);
    if (rc == MDB_SUCCESS) {
        rc = mdb_txn_begin(env, NULL, MDB_RDONLY, txn);
    }
    if (rc == MDB_SUCCESS) {
        mdb_txn_reset(*txn);
    }
    return rc;
}

/* Open what is in the folder now; on success it takes the place of what was open. */
static int
ngx_http_pki_env_open(ngx_http_pki_store_t *s, ngx_file_uniq_t inode)
{
    MDB_dbi  dbi[EDGE_DB_COUNT];
    MDB_env *env;
    MDB_txn *txn = NULL;
    int      rc;

    rc = mdb_env_create(&env);
    if (rc != MDB_SUCCESS) {
        return rc;
    }
    if ((rc = mdb_env_set_maxdbs(env, EDGE_DB_COUNT)) != MDB_SUCCESS
        || (rc = mdb_env_set_mapsize(env, EDGE_MAP_SIZE)) != MDB_SUCCESS
        || (rc = mdb_env_set_maxreaders(env, EDGE_MAX_READERS)) != MDB_SUCCESS
        || (rc = mdb_env_open(env, (char *) s->env_dir.data, MDB_RDONLY | MDB_NOTLS | MDB_NORDAHEAD, 0660))
               != MDB_SUCCESS
        || (rc = ngx_http_pki_env_prepare(env, dbi, &txn)) != MDB_SUCCESS) {
        mdb_env_close(env);
        return rc;
    }
    ngx_http_pki_env_close(s);
    s->env = env;
    s->txn = txn;
    s->inode = inode;
    s->seen = 0;
    ngx_memcpy(s->dbi, dbi, sizeof(dbi));

    /* Generations of two environments say nothing about each other. */
    if (s->snapshot != NULL) {
        s->snapshot->generation = UINT64_MAX;
    }
    return MDB_SUCCESS;
}

/* Look at the folder: NGX_OK when another environment is open than before. */
static ngx_int_t
ngx_http_pki_store_follow(ngx_http_pki_store_t *s, ngx_log_t *log)
{
    ngx_file_info_t fi;
    int             rc;

    s->looked_at = ngx_time();

    if (ngx_file_info(s->data_file.data, &fi) == NGX_FILE_ERROR) {
        rc = ngx_errno;
    } else if (s->env != NULL && ngx_file_uniq(&fi) == s->inode) {
        return NGX_DECLINED;
    } else {
        rc = ngx_http_pki_env_open(s, ngx_file_uniq(&fi));
    }
    if (rc == MDB_SUCCESS) {
        ngx_log_error(NGX_LOG_NOTICE, log, 0, "pki: edge store \"%V\" opened", &s->env_dir);
        s->reported = 0;
        return NGX_OK;
    }
    if (s->reported != rc) {
        ngx_log_error(NGX_LOG_WARN, log, 0, "pki: edge store \"%V\" cannot be opened: %s", &s->env_dir,
                      mdb_strerror(rc));
        s->reported = rc;
    }
    return NGX_DECLINED;
}

ngx_int_t
ngx_http_pki_store_init(ngx_http_pki_store_t *s, ngx_log_t *log)
{
    ngx_http_pki_boot_id(s->boot_id);
    s->idle.handler = ngx_http_pki_store_idle;
    s->idle.data = s;
    s->idle.log = log;
    s->idle.cancelable = 1;
    (void) ngx_http_pki_store_follow(s, log);
    return NGX_OK;
}

void
ngx_http_pki_store_close(ngx_http_pki_store_t *s)
{
    if (s->idle.timer_set) {
        ngx_del_timer(&s->idle);
    }
    ngx_http_pki_env_close(s);
    if (s->snapshot != NULL) {
        ngx_http_pki_snapshot_release(s->snapshot);
        s->snapshot = NULL;
    }
}

/*
 * A transaction that shows the last commit.  The one of the request before is used again when nothing has
 * been committed since: renewing it would make LMDB look up its databases again.
 */
static int
ngx_http_pki_txn_begin(ngx_http_pki_store_t *s)
{
    MDB_envinfo info;
    int         rc, dead;

    if (s->is_reading) {
        if (mdb_env_info(s->env, &info) == MDB_SUCCESS && info.me_last_txnid == mdb_txn_id(s->txn)) {
            return MDB_SUCCESS;
        }
        ngx_http_pki_txn_reset(s);
    }
    rc = mdb_txn_renew(s->txn);
    if (rc == MDB_READERS_FULL && mdb_reader_check(s->env, &dead) == MDB_SUCCESS) {
        rc = mdb_txn_renew(s->txn);
    }
    s->is_reading = rc == MDB_SUCCESS;
    return rc;
}

/* The state record; one that an earlier boot wrote, without syncing, is not to be believed. */
static ngx_int_t
ngx_http_pki_state_read(ngx_http_pki_store_t *s, ngx_log_t *log)
{
    pki_err_t err;
    bytes_t   value;

    if (ngx_http_pki_store_get(s, NGX_HTTP_PKI_DB_META, BYTES_LIT(EDGE_STATE_KEY), &value, log) != NGX_OK) {
        return NGX_DECLINED;
    }
    if (edge_state_decode(value, &s->state, &err) != PKI_OK) {
        ngx_log_error(NGX_LOG_ERR, log, 0, "pki: edge store: %s", err.text);
        return NGX_DECLINED;
    }
    if (!bytes_eq(s->state.boot_id, BYTES_ARR(s->boot_id))) {
        /* The orchestrator replaces it when it starts. */
        return NGX_DECLINED;
    }
    if (s->state.generation == 0) {
        /* Just made: its issuers and labels follow. */
        return NGX_DECLINED;
    }
    if (ngx_http_pki_store_get(s, NGX_HTTP_PKI_DB_META, BYTES_LIT(EDGE_CHANGES_KEY), &s->changes, log) != NGX_OK) {
        s->changes = BYTES_NONE;
    }
    s->seen = mdb_txn_id(s->txn);
    return NGX_OK;
}

static ngx_int_t
ngx_http_pki_store_renew(ngx_http_pki_store_t *s, ngx_log_t *log)
{
    int rc = ngx_http_pki_txn_begin(s);

    if (rc != MDB_SUCCESS) {
        ngx_log_error(NGX_LOG_ERR, log, 0, "pki: edge store: %s", mdb_strerror(rc));
        ngx_http_pki_env_close(s);
        return NGX_DECLINED;
    }
    if (s->seen == mdb_txn_id(s->txn)) {
        /* Nothing has been committed since the state was last read. */
        return NGX_OK;
    }
    s->seen = 0;
    if (ngx_http_pki_state_read(s, log) != NGX_OK) {
        ngx_http_pki_txn_reset(s);
        return NGX_DECLINED;
    }
    return NGX_OK;
}

ngx_int_t
ngx_http_pki_store_begin(ngx_http_pki_store_t *s, ngx_log_t *log)
{
    ngx_http_pki_snapshot_t *snap;

    if (s->looked_at != ngx_time()) {
        (void) ngx_http_pki_store_follow(s, log);
    }
    if (s->env == NULL || ngx_http_pki_store_renew(s, log) != NGX_OK) {
        return NGX_DECLINED;
    }
    if (s->state.retired) {
        /* Replaced: what is committed from now on is only in the new one, so do not wait for the second. */
        ngx_http_pki_txn_reset(s);
        (void) ngx_http_pki_store_follow(s, log);
        if (ngx_http_pki_store_renew(s, log) != NGX_OK) {
            return NGX_DECLINED;
        }
        if (s->state.retired) {
            /* The new one is not there, and nobody tells this one of revocations any more. */
            ngx_http_pki_txn_reset(s);
            return NGX_DECLINED;
        }
    }
    if (s->snapshot == NULL || s->snapshot->generation != s->state.generation) {
        snap = ngx_http_pki_snapshot_new(s, s->snapshot, log);
        if (snap == NULL) {
            ngx_http_pki_txn_reset(s);
            return NGX_DECLINED;
        }
        if (s->snapshot != NULL) {
            ngx_http_pki_snapshot_release(s->snapshot);
        }
        s->snapshot = snap;
        s->snapshots++;
    }
    return NGX_OK;
}

void
ngx_http_pki_store_end(ngx_http_pki_store_t *s)
{
    if (!s->idle.timer_set) {
        ngx_add_timer(&s->idle, NGX_HTTP_PKI_KEEP_MS);
    }
}

ngx_int_t
ngx_http_pki_store_get(ngx_http_pki_store_t *s, ngx_http_pki_db_t db, bytes_t key, bytes_t *value,
                       ngx_log_t *log)
{
    MDB_val k = { key.len, (void *) key.p }, v;
    int     rc;

    rc = mdb_get(s->txn, s->dbi[db], &k, &v);
    if (rc == MDB_SUCCESS) {
        *value = bytes_of(v.mv_data, v.mv_size);
        return NGX_OK;
    }
    if (rc == MDB_NOTFOUND || rc == MDB_BAD_VALSIZE) {
        return NGX_DECLINED;
    }
    ngx_log_error(NGX_LOG_ERR, log, 0, "pki: edge store, %s: %s", ngx_http_pki_db_names[db],
                  mdb_strerror(rc));
    return NGX_ERROR;
}

ngx_int_t
ngx_http_pki_store_status(ngx_http_pki_store_t *s, uint32_t authority, bytes_t serial, bytes_t *value,
                          ngx_log_t *log)
{
    uint8_t key[EDGE_STATUS_KEY_MAX];
    size_t  len = edge_status_key(authority, serial, key);

    if (len == 0) {
        return NGX_DECLINED;
    }
    return ngx_http_pki_store_get(s, NGX_HTTP_PKI_DB_STATUS, bytes_of(key, len), value, log);
}

ngx_int_t
ngx_http_pki_store_stripe(ngx_http_pki_store_t *s, uint32_t authority, bytes_t serial, size_t *stripe)
{
    uint8_t key[EDGE_STATUS_KEY_MAX];
    size_t  len = edge_status_key(authority, serial, key);

    *stripe = edge_changes_stripe(bytes_of(key, len));
    return len != 0 && s->changes.p != NULL ? NGX_OK : NGX_DECLINED;
}

ngx_int_t
ngx_http_pki_store_unchanged(ngx_http_pki_store_t *s, uint32_t authority, bytes_t serial, uint64_t *count)
{
    size_t stripe;

    return ngx_http_pki_store_stripe(s, authority, serial, &stripe) == NGX_OK
                   && edge_changes_get_stripe(s->changes, stripe, count)
               ? NGX_OK
               : NGX_DECLINED;
}

/*
 * The key ends with the serial, and its last 8 octets say which stripe it is.  The record may have moved since the last
 * request, which is only found out when this one begins reading: nothing is read here.
 */
void
ngx_http_pki_store_expect(ngx_http_pki_store_t *s, bytes_t serial)
{
    if (s->changes.p != NULL) {
        __builtin_prefetch(s->changes.p + EDGE_CHANGES_AT(edge_changes_stripe(serial)));
    }
}
