/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Migrations: files NNNN_what.up.sql and NNNN_what.down.sql, each run in a transaction of its own and
 * recorded with its SHA-256, one runner at a time.
 */
#include "orchestrator/store/conn.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/file.h"
#include "core/log.h"

#define MIGRATE_WAIT_MS 600000
#define MIGRATION_MAX   (4u << 20)

/* The lock's number is arbitrary, and the same for every runner. */
#define MIGRATE_LOCK   "SET lock_timeout = 0; SELECT pg_advisory_lock(4850173420190142)"
#define MIGRATE_UNLOCK "SELECT pg_advisory_unlock(4850173420190142); RESET lock_timeout"
#define MIGRATE_TABLE                                                                                    \
    "CREATE TABLE IF NOT EXISTS schema_migration (version bigint PRIMARY KEY, name text NOT NULL, "      \
    "sha256 bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"

typedef struct {
    int64_t     version;
    const char *name; /* "0001_first_light" */
} migration_t;

typedef struct {
    pki_arena_t *a;
    const char  *dir;
    int64_t      target;
    migration_t *file; /* sorted by version */
    size_t       count;
    db_rows_t   *done; /* recorded before */
} migrate_t;

static int
migration_order(const void *a, const void *b)
{
    const migration_t *x = a, *y = b;

    return x->version < y->version ? -1 : x->version > y->version;
}

/* "0001_first_light.up.sql"; anything else is not a migration. */
static bool
migration_name(const char *file, migration_t *out, pki_arena_t *a)
{
    size_t len = strlen(file), digits = strspn(file, "0123456789");

    if (digits != 4 || file[4] != '_' || len < 12 || strcmp(file + len - 7, ".up.sql") != 0) {
        return false;
    }
    out->version = strtol(file, NULL, 10);
    out->name = pki_strndup(a, file, len - 7);
    return out->name != NULL;
}

static pki_code_t
migrations_find(migrate_t *m, pki_err_t *err)
{
    struct dirent *e;
    DIR           *d = opendir(m->dir);

    if (d == NULL) {
        return pki_fail(err, PKI_E_CONFIG, NULL, "migrations folder %s: %m", m->dir);
    }
    m->file = pki_alloc(m->a, 10000 * sizeof(*m->file));
    while (m->file != NULL && m->count < 9999 && (e = readdir(d)) != NULL) {
        m->count += migration_name(e->d_name, &m->file[m->count], m->a);
    }
    closedir(d);
    if (m->count == 0) {
        return pki_fail(err, PKI_E_CONFIG, NULL, "no migrations in %s", m->dir);
    }
    qsort(m->file, m->count, sizeof(*m->file), migration_order);
    for (size_t i = 0; i < m->count; i++) {
        if (m->file[i].version != (int64_t) i + 1) {
            return pki_fail(err, PKI_E_CONFIG, NULL, "%s/%s.up.sql: version %zu is missing or there twice",
                            m->dir, m->file[i].name, i + 1);
        }
    }
    return PKI_OK;
}

static pki_code_t
migration_read(migrate_t *m, const migration_t *f, const char *way, bytes_t *text, uint8_t hash[32],
               pki_err_t *err)
{
    const char *path = pki_printf(m->a, "%s/%s.%s.sql", m->dir, f->name, way);
    unsigned    len = 32;

    if (path == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    PKI_TRY(file_read(m->a, path, MIGRATION_MAX, text, err));
    if (EVP_Digest(text->p, text->len, hash, &len, EVP_sha256(), NULL) != 1) {
        return pki_fail(err, PKI_E_CRYPTO, NULL, "SHA-256 of %s", path);
    }
    return PKI_OK;
}

static pki_code_t
migration_steps(db_conn_t *c, migrate_t *m, const migration_t *f, bool up, pki_err_t *err)
{
    uint8_t    hash[32];
    bytes_t    text;
    char      *sql;

    PKI_TRY(migration_read(m, f, up ? "up" : "down", &text, hash, err));
    sql = pki_strndup(m->a, text.p, text.len);
    if (sql == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    PKI_TRY(conn_exec(c, sql, err));
    if (!up) {
        return db_query(c, NULL, Q_migration_delete, DB_PARAMS(DB_I(f->version)), NULL, err);
    }
    return db_query(c, NULL, Q_migration_insert,
                    DB_PARAMS(DB_I(f->version), DB_T(f->name), DB_B(BYTES_ARR(hash))), NULL, err);
}

static pki_code_t
migration_run(db_conn_t *c, migrate_t *m, const migration_t *f, bool up, pki_err_t *err)
{
    pki_code_t rc;

    PKI_TRY(conn_exec(c, "BEGIN", err));
    rc = migration_steps(c, m, f, up, err);
    if (rc == PKI_OK) {
        rc = conn_exec(c, "COMMIT", err);
    } else if (!c->broken) {
        (void) conn_exec(c, "ROLLBACK", NULL);
    }
    if (rc != PKI_OK) {
        return pki_err_context(err, "migration %s (%s)", f->name, up ? "up" : "down");
    }
    log_info("db.migrated", LOG_S("migration", f->name), LOG_S("way", up ? "up" : "down"));
    return PKI_OK;
}

/* What ran before must be what the folder holds. */
static pki_code_t
migrations_check(migrate_t *m, pki_err_t *err)
{
    uint8_t hash[32];
    bytes_t text;

    for (size_t i = 0; i < db_row_count(m->done); i++) {
        if (db_int(m->done, i, "version") != (int64_t) i + 1 || i >= m->count) {
            return pki_fail(err, PKI_E_CONFIG, NULL, "the database has migration %s, which %s has not",
                            db_text(m->done, i, "name"), m->dir);
        }
        PKI_TRY(migration_read(m, &m->file[i], "up", &text, hash, err));
        if (!bytes_eq(db_bytes(m->done, i, "sha256"), BYTES_ARR(hash))) {
            return pki_fail(err, PKI_E_CONFIG, NULL, "%s.up.sql has changed since it was applied",
                            m->file[i].name);
        }
    }
    return PKI_OK;
}

static pki_code_t
migrate_locked(db_conn_t *c, migrate_t *m, pki_err_t *err)
{
    size_t at, target;

    PKI_TRY(conn_exec(c, "SET client_min_messages = warning; " MIGRATE_TABLE, err));
    PKI_TRY(db_query(c, m->a, Q_migration_list, NULL, 0, &m->done, err));
    PKI_TRY(migrations_check(m, err));
    if (m->target > (int64_t) m->count) {
        return pki_fail(err, PKI_E_CONFIG, NULL, "there is no migration %lld: the newest is %zu",
                        (long long) m->target, m->count);
    }
    at = db_row_count(m->done);
    target = m->target < 0 ? m->count : (size_t) m->target;
    while (at < target) {
        PKI_TRY(migration_run(c, m, &m->file[at++], true, err));
    }
    while (at > target) {
        PKI_TRY(migration_run(c, m, &m->file[--at], false, err));
    }
    return PKI_OK;
}

static pki_code_t
migrate_run(db_conn_t *c, void *arg, pki_err_t *err)
{
    pki_code_t rc;

    conn_patience(c, MIGRATE_WAIT_MS);
    PKI_TRY(conn_exec(c, MIGRATE_LOCK, err));
    rc = migrate_locked(c, arg, err);
    if (!c->broken) {
        (void) conn_exec(c, MIGRATE_UNLOCK, NULL);
    }
    c->broken = true; /* what was prepared here may be of another schema */
    return rc;
}

pki_code_t
db_migrate(db_t *db, const char *dir, int64_t target, pki_err_t *err)
{
    migrate_t  m = { .a = pki_arena_new(0), .dir = dir, .target = target };
    pki_code_t rc;

    if (m.a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = migrations_find(&m, err);
    if (rc == PKI_OK) {
        rc = db_run(db, migrate_run, &m, err);
    }
    pki_arena_free(m.a);
    return rc;
}

static pki_code_t
schema_check(db_conn_t *c, void *arg, pki_err_t *err)
{
    db_rows_t  *rows;
    pki_code_t  rc = db_query(c, arg, Q_migration_version, NULL, 0, &rows, err);

    if (rc != PKI_OK) {
        return strcmp(c->sqlstate, "42P01") == 0
                   ? pki_fail(err, PKI_E_CONFIG, NULL, "the database has no schema: run `chanceryd migrate`")
                   : rc;
    }
    if (db_int(rows, 0, "version") < DB_SCHEMA_VERSION) {
        return pki_fail(err, PKI_E_CONFIG, NULL,
                        "the schema is at version %lld, %d is needed: run `chanceryd migrate`",
                        (long long) db_int(rows, 0, "version"), DB_SCHEMA_VERSION);
    }
    return PKI_OK;
}

pki_code_t
db_schema_check(db_t *db, pki_err_t *err)
{
    pki_arena_t *a = pki_arena_new(0);
    pki_code_t   rc;

    if (a == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "out of memory");
    }
    rc = db_run(db, schema_check, a, err);
    pki_arena_free(a);
    return rc;
}
