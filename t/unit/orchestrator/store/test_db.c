/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The pool, rows, transactions and migrations against a real PostgreSQL, also one that dies, hangs and comes
 * back.
 */
#include "orchestrator/store/conn.h"

#include <criterion/criterion.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/clock.h"
#include "orchestrator/store/api_key.h"
#include "orchestrator/store/audit.h"
#include "orchestrator/store/profile.h"
#include "pkiproto/base/text.h"
#include "t/unit/lib/suite.h"

#define TIMEOUT_MS 700

static void
setup(void)
{
    setup_empty(2, TIMEOUT_MS);
}

TestSuite(db, .init = setup, .fini = teardown, .timeout = 60);

static const audit_t event = {
    .actor = "key-1",
    .actor_type = "api_key",
    .action = "profile.create",
    .status = 201,
    .details = "{\"a\": 1}",
};

Test(db, prepares_every_statement_on_the_migrated_schema)
{
    for (int q = 0; q < Q_COUNT_; q++) {
        PGresult *res = PQprepare(pg, db_query_name(q), db_query_text(q), 0, NULL);

        cr_expect_eq(PQresultStatus(res), PGRES_COMMAND_OK, "%s: %s", db_query_name(q), PQerrorMessage(pg));
        PQclear(res);
    }
}

static pki_code_t
row_every_type(db_conn_t *c, void *arg, pki_err_t *e)
{
    str_list_t texts = { (const char *[]){ "a", "quo\"te", "back\\slash", "{,}", "" }, 5 };
    bytes_t    octets = bytes_of("\0\1'\\\xff", 5);

    return conn_query_text(
        c, arena, "types",
        "SELECT $1::text AS t, $2::bigint AS i, $3::bytea AS b, $4::boolean AS f, $5::timestamptz AS at, "
        "$6::text[] AS ts, $7::text AS nothing, (-5)::smallint AS small, '{}'::text[] AS none, "
        "'{\"k\": 1}'::jsonb AS j, '1969-12-31 23:59:58.5+00'::timestamptz AS early",
        DB_PARAMS(DB_T("h\xc3\xa9"), DB_I(INT64_MIN), DB_B(octets), DB_F(true), DB_TM(1700000000),
                  DB_TS(&texts), DB_T(NULL)),
        arg, e);
}

Test(db, gives_back_values_of_every_type)
{
    db_rows_t *r;
    str_list_t texts;

    cr_assert_eq(db_run(db, row_every_type, &r, &err), PKI_OK, "%s", err.text);
    cr_expect_str_eq(db_text(r, 0, "t"), "h\xc3\xa9");
    cr_expect_eq(db_int(r, 0, "i"), INT64_MIN);
    cr_expect(bytes_eq(db_bytes(r, 0, "b"), bytes_of("\0\1'\\\xff", 5)));
    cr_expect(db_bool(r, 0, "f"));
    cr_expect_eq(db_time(r, 0, "at"), 1700000000);
    cr_expect_eq(db_time(r, 0, "early"), -2);
    cr_expect_null(db_text(r, 0, "nothing"));
    cr_expect_eq(db_int(r, 0, "small"), -5);
    cr_expect_str_eq(db_text(r, 0, "j"), "{\"k\": 1}");
    cr_assert_eq(db_texts(r, 0, "ts", arena, &texts, &err), PKI_OK);
    cr_assert_eq(texts.count, 5);
    cr_expect_str_eq(texts.v[1], "quo\"te");
    cr_expect_str_eq(texts.v[2], "back\\slash");
    cr_expect_str_eq(texts.v[3], "{,}");
    cr_expect_str_eq(texts.v[4], "");
    cr_assert_eq(db_texts(r, 0, "none", arena, &texts, &err), PKI_OK);
    cr_expect_eq(texts.count, 0);
}

Test(db, refuses_to_change_audit_events_and_versions)
{
    static const char *const tables[] = { "audit_event", "certificate_version" };
    static const char *const attempts[] = { "UPDATE %s SET der = NULL", "DELETE FROM %s", "TRUNCATE %s" };

    cr_assert_eq(audit_add(db, &event, &err), PKI_OK, "%s", err.text);
    for (size_t t = 0; t < 2; t++) {
        for (size_t i = 0; i < 3; i++) {
            char      sql[100];
            PGresult *res;

            snprintf(sql, sizeof(sql), i == 0 && t == 0 ? "UPDATE %s SET actor = 'x'" : attempts[i],
                     tables[t]);
            res = PQexec(pg, sql);
            cr_expect_eq(PQresultStatus(res), PGRES_FATAL_ERROR, "%s", sql);
            cr_expect_str_eq(PQresultErrorField(res, PG_DIAG_SQLSTATE), "42501", "%s", sql);
            PQclear(res);
        }
    }
    cr_expect_eq(
        pg_number(pg, "SELECT count(*) FROM audit_event WHERE actor = 'key-1' AND details->>'a' = '1'"), 1);
}

static pki_code_t
audit_then_fail(db_conn_t *c, void *arg, pki_err_t *e)
{
    (void) arg;
    PKI_TRY(audit_write(c, &event, e));
    return pki_fail(e, PKI_E_POLICY, NULL, "no");
}

Test(db, rolls_back_when_the_function_fails)
{
    cr_expect_eq(db_tx(db, audit_then_fail, NULL, &err), PKI_E_POLICY);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM audit_event"), 0);
    cr_expect_eq(audit_add(db, &event, &err), PKI_OK, "the connection is of use afterwards: %s", err.text);
}

static pki_code_t
sleep_run(db_conn_t *c, void *arg, pki_err_t *e)
{
    return conn_exec(c, arg, e);
}

Test(db, gives_up_on_a_statement_that_takes_too_long)
{
    int64_t start = clock_mono_us();

    cr_expect_eq(db_run(db, sleep_run, "SELECT pg_sleep(20)", &err), PKI_E_UNAVAILABLE);
    cr_expect_lt(clock_mono_us() - start, 2000000);
    cr_expect_eq(audit_add(db, &event, &err), PKI_OK, "%s", err.text);
}

static pki_code_t
nested_run(db_conn_t *c, void *arg, pki_err_t *e)
{
    int *depth = arg;

    (void) c;
    (*depth)++;
    return db_run(db, nested_run, depth, e);
}

Test(db, reports_an_exhausted_pool)
{
    int depth = 0;

    cr_expect_eq(db_run(db, nested_run, &depth, &err), PKI_E_UNAVAILABLE);
    cr_expect_eq(depth, 2, "two connections");
    cr_expect_eq(audit_add(db, &event, &err), PKI_OK, "%s", err.text);
}

Test(db, survives_a_killed_server)
{
    int64_t start;

    cr_assert_eq(audit_add(db, &event, &err), PKI_OK, "%s", err.text);
    pg_cluster_command("kill");
    start = clock_mono_us();
    cr_expect_eq(audit_add(db, &event, &err), PKI_E_UNAVAILABLE);
    cr_expect_lt(clock_mono_us() - start, 2000000);
    pg_cluster_command("start");
    cr_expect_eq(audit_add(db, &event, &err), PKI_OK, "the stale connection is replaced: %s", err.text);
    PQreset(pg);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM audit_event"), 2);
}

Test(db, reports_a_hanging_server_in_time)
{
    int64_t start;

    cr_assert_eq(audit_add(db, &event, &err), PKI_OK, "%s", err.text);
    pg_cluster_command("pause");
    for (int i = 0; i < 3; i++) { /* on the idle connection, on new ones */
        start = clock_mono_us();
        cr_expect_eq(audit_add(db, &event, &err), PKI_E_UNAVAILABLE);
        cr_expect_lt(clock_mono_us() - start, 2000000);
    }
    pg_cluster_command("resume");
    cr_expect_eq(audit_add(db, &event, &err), PKI_OK, "%s", err.text);
}

/* Two transactions that take two locks in opposite order: one is the victim, and is run again. */
typedef struct {
    int                first, second, runs;
    pthread_barrier_t *both;
    pki_code_t         rc;
} deadlock_t;

static pki_code_t
deadlock_run(db_conn_t *c, void *arg, pki_err_t *e)
{
    deadlock_t *d = arg;
    char        sql[100];

    conn_patience(c, 20000);
    snprintf(sql, sizeof(sql), "UPDATE api_key SET name = 'x' WHERE id = '%d'", d->first);
    PKI_TRY(conn_exec(c, sql, e));
    if (d->runs++ == 0) {
        pthread_barrier_wait(d->both);
    }
    snprintf(sql, sizeof(sql), "UPDATE api_key SET name = 'x' WHERE id = '%d'", d->second);
    return conn_exec(c, sql, e);
}

static void *
deadlock_thread(void *arg)
{
    deadlock_t *d = arg;

    d->rc = db_tx(db, deadlock_run, d, NULL);
    return NULL;
}

Test(db, repeats_a_transaction_that_lost_a_deadlock)
{
    pthread_barrier_t both;
    deadlock_t d[2] = {{.first = 1, .second = 2, .both = &both}, {.first = 2, .second = 1, .both = &both}};
    pthread_t         t[2];

    for (int i = 1; i <= 2; i++) {
        uint8_t       digest[32] = { (uint8_t) i };
        api_key_row_t key = { .id = i == 1 ? "1" : "2", .name = "n", .digest = BYTES_ARR(digest) };

        key.permissions = (str_list_t){ (const char *[]){ "*" }, 1 };
        cr_assert_eq(api_key_insert(db, &key, NULL, NULL, &err), PKI_OK, "%s", err.text);
    }
    pthread_barrier_init(&both, NULL, 2);
    for (int i = 0; i < 2; i++) {
        pthread_create(&t[i], NULL, deadlock_thread, &d[i]);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(t[i], NULL);
        cr_expect_eq(d[i].rc, PKI_OK);
    }
    cr_expect_geq(d[0].runs + d[1].runs,
                  3); /* on a busy machine the victim may be first again, and lose again */
}

static pki_code_t
count_rows(const db_rows_t *row, void *arg, pki_err_t *e)
{
    size_t *n = arg;

    cr_expect_neq(db_int(row, 0, "version"), 0);
    (*n)++;
    return *n == 3 ? pki_fail(e, PKI_E_POLICY, NULL, "enough") : PKI_OK;
}

static pki_code_t
each_run(db_conn_t *c, void *arg, pki_err_t *e)
{
    return db_each(c, Q_migration_list, NULL, 0, count_rows, arg, e);
}

Test(db, stops_a_bulk_read_when_told)
{
    size_t n = 0;

    PQclear(pg_sql(pg, "INSERT INTO schema_migration (version, name, sha256) SELECT i, '', '' FROM "
                       "generate_series(100, 50100) i"));
    cr_expect_eq(db_run(db, each_run, &n, &err), PKI_E_POLICY);
    cr_expect_eq(n, 3);
    cr_expect_eq(audit_add(db, &event, &err), PKI_OK, "%s", err.text);
}

/* Migrations */

static char *
folder_copy(void)
{
    char  cmd[200];
    char *dir = strdup("/tmp/chancery-migrations.XXXXXX");

    cr_assert_not_null(mkdtemp(dir));
    snprintf(cmd, sizeof(cmd), "cp " MIGRATIONS "/*.sql %s/", dir);
    cr_assert_eq(system(cmd), 0);
    return dir;
}

static void
folder_remove(char *dir)
{
    char cmd[200];

    snprintf(cmd, sizeof(cmd), "rm -r '%s'", dir);
    cr_assert_eq(system(cmd), 0);
    free(dir);
}

static void
file_write(const char *dir, const char *name, const char *text)
{
    char  path[200];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "a");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

TestSuite(migrate, .init = setup, .fini = teardown, .timeout = 60);

#define TABLES                                                                                               \
    "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migration'"

Test(migrate, goes_up_and_down_and_up_again)
{
    int64_t tables = pg_number(pg, TABLES);

    cr_expect_gt(tables, 10);
    cr_expect_eq(db_schema_check(db, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(db_migrate(db, MIGRATIONS, 0, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(pg_number(pg, TABLES), 0);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"),
                 0);
    cr_expect_eq(db_schema_check(db, &err), PKI_E_CONFIG);
    cr_assert_eq(db_migrate(db, MIGRATIONS, -1, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(pg_number(pg, TABLES), tables);
    cr_assert_eq(db_migrate(db, MIGRATIONS, -1, &err), PKI_OK, "%s", err.text);
}

/* What an installation has, but for the columns that a step adds. */
#define EVIDENCE                                                                                             \
    "SELECT ('x' || substr(md5(string_agg(t, '|' ORDER BY t)), 1, 15))::bit(60)::bigint FROM ("              \
    "SELECT concat(issuer_no, encode(serial, 'hex'), encode(der, 'hex'), not_after) AS t FROM certificate_version " \
    "UNION ALL SELECT concat(issuer_no, encode(serial, 'hex'), state, reason, revoked_at, revision) FROM revocation " \
    "UNION ALL SELECT concat(issuer_no, generation, position, encode(der, 'hex')) FROM ca_certificate "      \
    "UNION ALL SELECT concat(issuer_no, scope, number, file) FROM crl "                                      \
    "UNION ALL SELECT concat(issuer_no, scope, number) FROM crl_number "                                     \
    "UNION ALL SELECT concat(issuer_no, generation, key_file) FROM ocsp_responder "                          \
    "UNION ALL SELECT concat(id, name) FROM profile UNION ALL SELECT concat(id, issuer_no) FROM est_label) AS t"

static void
world_fill(void)
{
    store_world(db);
    store_issue(db, arena, "kept", 1, DAY_S);
    store_issue(db, arena, "revoked", 2, DAY_S);
    cr_assert_eq(store_revoke(db, arena, "revoked", 0, 1, NULL), PKI_OK);
    PQclear(pg_sql(pg, "INSERT INTO crl_number (issuer_no, scope, number) VALUES (1, 'full', 7)"));
    PQclear(pg_sql(pg, "INSERT INTO crl (issuer_no, scope, number, this_update, next_update, file, size, entries, "
                       "duration_ms) VALUES (1, 'full', 7, now(), now(), 'x.crl', 1, 1, 1)"));
    PQclear(pg_sql(pg, "INSERT INTO ocsp_responder (issuer_no, generation, der, key_file, not_before, not_after) "
                       "VALUES (1, 1, 'x', 'x.key', now(), now())"));
}

Test(migrate, keeps_what_an_installation_has)
{
    int64_t before;

    world_fill();
    before = pg_number(pg, EVIDENCE);
    cr_assert_eq(db_migrate(db, MIGRATIONS, 1, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(pg_number(pg, EVIDENCE), before);
    cr_assert_eq(db_migrate(db, MIGRATIONS, -1, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(pg_number(pg, EVIDENCE), before);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM certificate_version WHERE generation = 1 AND NOT exempt"), 2);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM revocation WHERE generation = 1 AND shard = 0"), 1);
    store_issue(db, arena, "later", 3, DAY_S);
    cr_expect_eq(store_revoke(db, arena, "kept", 0, 1, NULL), PKI_OK);
}

static void
version_with_key(const char *mark, EVP_PKEY *key, bool hashed)
{
    uint8_t     *spki = NULL;
    int          n = i2d_PUBKEY(key, &spki);
    char        *hex = pki_alloc(arena, 2 * (size_t) n + 1);
    const char  *sql;

    hex_encode(bytes_of(spki, (size_t) n), hex);
    sql = pki_printf(arena, "INSERT INTO certificate_version (issuer_no, serial, orphan, der, spki_sha256, not_before, not_after) "
                     "VALUES (1, '%s', false, '\\x0102%s03', sha256('\\x%s%s'), now(), now())", mark, hex, hex, hashed ? "" : "00");
    PQclear(pg_sql(pg, "%s", sql));
    OPENSSL_free(spki);
    EVP_PKEY_free(key);
}

Test(migrate, tells_the_keys_of_certificates_that_are_there)
{
    version_with_key("a", EVP_EC_gen("P-256"), true);
    version_with_key("b", EVP_EC_gen("P-384"), true);
    version_with_key("c", EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), true);
    version_with_key("d", EVP_RSA_gen(2048), true);
    version_with_key("e", EVP_RSA_gen(3072), true);
    version_with_key("f", EVP_EC_gen("P-256"), false); /* something that only looks like its key */
    cr_assert_eq(db_migrate(db, MIGRATIONS, 9, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(db_migrate(db, MIGRATIONS, -1, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM certificate_version WHERE (convert_from(serial, 'UTF8'), key_algorithm, "
                               "key_size) IN (('a', 'ECDSA', 256), ('b', 'ECDSA', 384), ('c', 'Ed25519', 256), "
                               "('d', 'RSA', 2048), ('e', 'RSA', 3072))"), 5);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM certificate_version WHERE key_algorithm IS NULL"), 1);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM pg_trigger WHERE tgname = 'certificate_version_append_only' "
                               "AND tgenabled = 'O'"), 1);
}

Test(migrate, finds_by_words_what_was_found_by_trigrams)
{
    cr_assert_eq(db_migrate(db, MIGRATIONS, 12, &err), PKI_OK, "%s", err.text);
    PQclear(pg_sql(pg, "INSERT INTO certificate_search (no, text, sans) VALUES (1, E'web-12\nweb.example\n', '{}')"));
    cr_assert_eq(db_migrate(db, MIGRATIONS, -1, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM certificate_search WHERE words @@ search_query('WEB-1')"), 1);
    cr_assert_eq(db_migrate(db, MIGRATIONS, 12, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM certificate_search WHERE text LIKE '%%eb-1%%'"), 1);
}

/* Version 1 would take the certificates of both for those of one. */
Test(migrate, does_not_go_down_past_a_second_generation)
{
    store_world(db);
    PQclear(pg_sql(pg, "INSERT INTO ca_certificate (issuer_no, generation, position, active, der, serial, subject, "
                       "key_kind, not_before, not_after) VALUES (1, 2, 0, false, 'x', 'y', 's', 'p-256', now(), now())"));
    cr_expect_neq(db_migrate(db, MIGRATIONS, 1, &err), PKI_OK);
    cr_expect_not_null(strstr(err.text, "second generation"), "%s", err.text);
    cr_expect_eq(pg_number(pg, "SELECT max(version) FROM schema_migration"), 2);
}

Test(migrate, needs_exactly_the_newest_file_of_the_tree)
{
    cr_expect_eq(pg_number(pg, "SELECT max(version) FROM schema_migration"), DB_SCHEMA_VERSION);
}

Test(migrate, says_that_an_empty_database_has_no_schema)
{
    db_t *empty = pg_pool(pg_database_new(false), 1, TIMEOUT_MS);

    cr_expect_eq(db_schema_check(empty, &err), PKI_E_CONFIG);
    cr_expect_not_null(strstr(err.text, "chanceryd migrate"));
    db_close(empty);
}

Test(migrate, refuses_a_file_that_changed_after_it_ran)
{
    char *dir = folder_copy();

    file_write(dir, "0001_first_light.up.sql", "-- changed\n");
    cr_expect_eq(db_migrate(db, dir, -1, &err), PKI_E_CONFIG);
    folder_remove(dir);
}

Test(migrate, leaves_nothing_of_a_migration_that_fails)
{
    char *dir = folder_copy(), name[32];

    snprintf(name, sizeof(name), "%04d_wrong.up.sql", DB_SCHEMA_VERSION + 1);
    file_write(dir, name, "CREATE TABLE half (a int);\nSELECT 1/0;\n");
    cr_expect_eq(db_migrate(db, dir, -1, &err), PKI_E_INVALID);
    cr_expect_not_null(strstr(err.text, "_wrong"));
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM pg_tables WHERE tablename = 'half'"), 0);
    cr_expect_eq(pg_number(pg, "SELECT max(version) FROM schema_migration"), DB_SCHEMA_VERSION);
    folder_remove(dir);
}

static void *
migrate_thread(void *arg)
{
    db_t      *pool = arg;
    pki_code_t rc = db_migrate(pool, MIGRATIONS, -1, NULL);

    return (void *) (intptr_t) rc;
}

Test(migrate, runs_once_when_several_start_together)
{
    const char *fresh = pg_database_new(false);
    PGconn     *look = pg_connect(fresh);
    pthread_t   t[4];
    db_t       *pool[4];

    for (int i = 0; i < 4; i++) {
        pool[i] = pg_pool(fresh, 1, 10000);
        pthread_create(&t[i], NULL, migrate_thread, pool[i]);
    }
    for (int i = 0; i < 4; i++) {
        void *rc;

        pthread_join(t[i], &rc);
        cr_expect_eq((intptr_t) rc, PKI_OK);
        db_close(pool[i]);
    }
    cr_expect_eq(pg_number(look, "SELECT count(*) FROM schema_migration"), DB_SCHEMA_VERSION);
    PQfinish(look);
}
