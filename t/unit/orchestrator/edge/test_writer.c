/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The edge store's environment and its writer, on real folders: what readers of the same store see.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file.h"
#include "orchestrator/edge/writer.h"

static char      root[64], dir[96];
static writer_t *writer;

static pki_code_t
adopt(env_t **env, void *arg, pki_err_t *err)
{
    (void) err;
    *env = arg;
    return PKI_OK;
}

static void
setup(void)
{
    env_t *env;

    snprintf(root, sizeof(root), "/tmp/chancery-edge.XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    snprintf(dir, sizeof(dir), "%s/store", root);
    cr_assert_eq(env_create(dir, &env, NULL), PKI_OK);
    cr_assert_eq(writer_open(&writer, NULL), PKI_OK);
    cr_assert_eq(writer_swap(writer, adopt, env, NULL), PKI_OK);
}

static void
teardown(void)
{
    char command[128];

    writer_close(writer, true);
    snprintf(command, sizeof(command), "rm -rf '%s'", root);
    cr_assert_eq(system(command), 0);
}

TestSuite(edge_writer, .init = setup, .fini = teardown);

typedef struct {
    uint8_t       serial;
    edge_status_t status;
    bool          newer;
    pki_code_t    fail; /* report this instead of writing */
} put_t;

static pki_code_t
put(env_t *env, MDB_txn *txn, void *arg, pki_err_t *err)
{
    put_t *p = arg;

    if (p->fail != PKI_OK) {
        return pki_fail(err, p->fail, NULL, "asked to fail");
    }
    return env_status_put(env, txn, 7, bytes_of(&p->serial, 1), &p->status, &p->newer, err);
}

typedef struct {
    uint8_t       serial;
    edge_status_t status;
} got_t;

static pki_code_t
get(env_t *env, MDB_txn *txn, void *arg, pki_err_t *err)
{
    got_t  *g = arg;
    uint8_t key[EDGE_STATUS_KEY_MAX];
    bytes_t value;

    PKI_TRY(env_get(env, txn, ENV_STATUS, bytes_of(key, edge_status_key(7, bytes_of(&g->serial, 1), key)), &value, err));
    return edge_status_decode(value, &g->status, err);
}

static pki_code_t
publish(uint8_t serial, edge_status_kind_t kind, uint32_t revision, bool *newer)
{
    put_t      p = { .serial = serial, .status = { .kind = kind, .reason = -1, .revision = revision } };
    pki_code_t code = writer_run(writer, put, &p, NULL);

    *newer = p.newer;
    return code;
}

Test(edge_writer, never_lets_an_older_revision_replace_a_newer_one)
{
    static const struct {
        edge_status_kind_t kind;
        uint32_t           revision;
        bool               newer;
        edge_status_kind_t then;
    } steps[] = {
        { EDGE_GOOD, 1, true, EDGE_GOOD },    { EDGE_HOLD, 2, true, EDGE_HOLD }, { EDGE_GOOD, 1, false, EDGE_HOLD },
        { EDGE_HOLD, 2, false, EDGE_HOLD },   { EDGE_GOOD, 3, true, EDGE_GOOD }, { EDGE_HOLD, 2, false, EDGE_GOOD },
        { EDGE_REVOKED, 9, true, EDGE_REVOKED }, { EDGE_GOOD, 8, false, EDGE_REVOKED },
    };

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        got_t g = { .serial = 0x11 };
        bool  newer;

        cr_assert_eq(publish(0x11, steps[i].kind, steps[i].revision, &newer), PKI_OK);
        cr_expect_eq(newer, steps[i].newer, "step %zu", i);
        cr_assert_eq(writer_run(writer, get, &g, NULL), PKI_OK);
        cr_expect_eq(g.status.kind, steps[i].then, "step %zu", i);
    }
}

static pki_code_t
count(env_t *env, MDB_txn *txn, void *arg, pki_err_t *err)
{
    uint8_t key[EDGE_STATUS_KEY_MAX], serial = 0x11;
    bytes_t record;

    PKI_TRY(env_get(env, txn, ENV_META, BYTES_LIT(EDGE_CHANGES_KEY), &record, err));
    return edge_changes_get(record, bytes_of(key, edge_status_key(7, bytes_of(&serial, 1), key)), arg)
               ? PKI_OK
               : PKI_E_INVALID;
}

Test(edge_writer, counts_changes_of_a_status_and_nothing_else)
{
    static const struct {
        uint8_t            serial;
        edge_status_kind_t kind;
        uint32_t           revision;
        uint64_t           changes;
    } steps[] = {
        { 0x11, EDGE_GOOD, 1, 0 }, { 0x11, EDGE_GOOD, 1, 0 },    { 0x11, EDGE_HOLD, 2, 1 }, { 0x11, EDGE_GOOD, 1, 1 },
        { 0x11, EDGE_GOOD, 3, 2 }, { 0x11, EDGE_REVOKED, 3, 3 }, { 0x12, EDGE_GOOD, 1, 3 }, { 0x12, EDGE_HOLD, 2, 3 },
    };
    uint64_t first, now;
    bool     newer;

    cr_assert_eq(writer_run(writer, count, &first, NULL), PKI_OK);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        cr_assert_eq(publish(steps[i].serial, steps[i].kind, steps[i].revision, &newer), PKI_OK);
        cr_assert_eq(writer_run(writer, count, &now, NULL), PKI_OK);
        cr_expect_eq(now - first, steps[i].changes, "step %zu", i);
    }
}

/* What an nginx worker does: its own environment handle would be a second one in this process, so ask a child. */
static int
child_reads(const char *where, uint8_t serial)
{
    pid_t pid = fork();
    int   status;

    if (pid == 0) {
        MDB_env *env;
        MDB_txn *txn;
        MDB_dbi  dbi;
        MDB_val  k, v;
        uint8_t  key[EDGE_STATUS_KEY_MAX];

        k = (MDB_val){ edge_status_key(7, bytes_of(&serial, 1), key), key };
        if (mdb_env_create(&env) != 0 || mdb_env_set_maxdbs(env, EDGE_DB_COUNT) != 0 ||
            mdb_env_open(env, where, MDB_RDONLY | MDB_NOTLS, 0) != 0 ||
            mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0 || mdb_dbi_open(txn, EDGE_DB_STATUS, 0, &dbi) != 0) {
            _exit(100);
        }
        _exit(mdb_get(txn, dbi, &k, &v) == 0 ? ((const uint8_t *) v.mv_data)[0] & 0x0f : 101);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

Test(edge_writer, shows_a_status_to_other_processes_as_soon_as_it_returns)
{
    bool newer;

    cr_assert_eq(child_reads(dir, 0x22), 101);
    cr_assert_eq(publish(0x22, EDGE_GOOD, 1, &newer), PKI_OK);
    cr_assert_lt(child_reads(dir, 0x22), 100);
}

typedef struct {
    pthread_t thread;
    put_t     put;
    pki_code_t code;
    pki_err_t err;
} caller_t;

static void *
caller_run(void *arg)
{
    caller_t *c = arg;

    c->code = writer_run(writer, put, &c->put, &c->err);
    return NULL;
}

Test(edge_writer, lets_only_the_bad_job_of_a_batch_fail)
{
    caller_t callers[24] = { 0 };

    for (size_t i = 0; i < 24; i++) {
        callers[i].put = (put_t){ .serial = (uint8_t) (0x30 + i),
                                  .status = { .reason = -1, .revision = 1 },
                                  .fail = i % 8 == 3 ? PKI_E_INVALID : PKI_OK };
        cr_assert_eq(pthread_create(&callers[i].thread, NULL, caller_run, &callers[i]), 0);
    }
    for (size_t i = 0; i < 24; i++) {
        got_t g = { .serial = (uint8_t) (0x30 + i) };

        pthread_join(callers[i].thread, NULL);
        cr_expect_eq(callers[i].code, i % 8 == 3 ? PKI_E_INVALID : PKI_OK);
        cr_expect_eq(writer_run(writer, get, &g, NULL), i % 8 == 3 ? PKI_E_NOT_FOUND : PKI_OK);
    }
    cr_expect_eq(writer_statuses(writer), 21);
}

Test(edge_writer, gives_data_to_its_group_for_reading_and_the_lock_for_writing)
{
    static const struct {
        const char *name;
        mode_t      mode;
    } files[] = { { "data.mdb", 0640 }, { "lock.mdb", 0660 } };

    for (size_t i = 0; i < 2; i++) {
        char        path[128];
        struct stat st;

        snprintf(path, sizeof(path), "%s/%s", dir, files[i].name);
        cr_assert_eq(stat(path, &st), 0);
        cr_expect_eq(st.st_mode & 07777, files[i].mode, "%s", files[i].name);
    }
}

static pki_code_t
detach(env_t **env, void *arg, pki_err_t *err)
{
    (void) err;
    *(env_t **) arg = *env;
    *env = NULL;
    return PKI_OK;
}

static env_t *
take(void)
{
    env_t *env = NULL;

    cr_assert_eq(writer_swap(writer, detach, &env, NULL), PKI_OK);
    return env;
}

Test(edge_writer, is_unavailable_without_a_store)
{
    bool newer;

    env_close(take(), false);
    cr_expect_eq(publish(0x44, EDGE_GOOD, 1, &newer), PKI_E_UNAVAILABLE);
    cr_expect_not(writer_has_env(writer));
}

Test(edge_writer, reopens_a_store_of_this_boot_after_a_crash)
{
    env_t *env;
    got_t  g = { .serial = 0x55 };
    bool   newer;

    cr_assert_eq(publish(0x55, EDGE_HOLD, 4, &newer), PKI_OK);
    env_close(take(), false);
    cr_assert_eq(env_open(dir, &env, NULL), PKI_OK);
    cr_assert_eq(writer_swap(writer, adopt, env, NULL), PKI_OK);
    cr_assert_eq(writer_run(writer, get, &g, NULL), PKI_OK);
    cr_expect_eq(g.status.kind, EDGE_HOLD);
    cr_expect_eq(writer_statuses(writer), 1);
}

/* As if the machine had gone down: the mark names another boot. */
Test(edge_writer, refuses_what_another_boot_left_behind_unless_it_was_closed)
{
    static const struct {
        const char *mark;
        pki_code_t  code;
    } cases[] = {
        { "00112233445566778899aabbccddeeff", PKI_E_INVALID },
        { "", PKI_E_INVALID },
        { "clean", PKI_OK },
    };
    char path[128];

    snprintf(path, sizeof(path), "%s/mark", dir);
    env_close(take(), false);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        env_t *env = NULL;

        cr_assert_eq(file_replace(path, bytes_str(cases[i].mark), 0640, NULL), PKI_OK);
        cr_expect_eq(env_open(dir, &env, NULL), cases[i].code, "mark '%s'", cases[i].mark);
        env_close(env, false);
    }
}

Test(edge_writer, refuses_a_retired_store_and_one_that_is_no_database)
{
    env_t *env = take();
    char   path[128];

    cr_assert_eq(env_retire(env, NULL), PKI_OK);
    env_close(env, false);
    cr_expect_eq(env_open(dir, &env, NULL), PKI_E_INVALID);

    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    cr_assert_eq(file_replace(path, BYTES_LIT("not a database at all"), 0640, NULL), PKI_OK);
    cr_expect_eq(env_open(dir, &env, NULL), PKI_E_INVALID);
    cr_assert_eq(env_discard(dir, NULL), PKI_OK);
    cr_expect_eq(env_open(dir, &env, NULL), PKI_E_NOT_FOUND);
}

Test(edge_writer, notices_that_its_folder_was_deleted)
{
    env_t *env = take();
    char   command[128];

    snprintf(command, sizeof(command), "rm -r '%s'", dir);
    cr_expect(env_is_at(env, dir));
    cr_assert_eq(system(command), 0);
    cr_expect_not(env_is_at(env, dir));
    env_close(env, false);
}
