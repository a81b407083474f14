/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What the test programs of the store have in common: a cluster for the program, and for each test a database, a pool, a
 * connection beside it, an arena and a place for what went wrong.  Included once by a program, which is why it defines.
 */
#ifndef T_UNIT_LIB_SUITE_H
#define T_UNIT_LIB_SUITE_H

#include <criterion/criterion.h>

#include "t/unit/lib/pg.h"
#include "t/unit/lib/store.h"

#define SUITE static __attribute__((unused))

SUITE const char  *url;
SUITE db_t        *db;
SUITE PGconn      *pg;
SUITE pki_arena_t *arena;
SUITE pki_err_t    err;

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    (void) tests;
    pg_cluster_start("fsync=off");
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void) stats;
    pg_cluster_stop();
}

/* A database with the schema and nothing else. */
SUITE void
setup_empty(int64_t connections, int64_t timeout_ms)
{
    url = pg_database_new(true);
    db = pg_pool(url, connections, timeout_ms);
    pg = pg_connect(url);
    arena = pki_arena_new(0);
}

/* With the small world. */
SUITE void
setup_world(void)
{
    setup_empty(8, 5000);
    store_world(db);
}

SUITE void
teardown(void)
{
    db_close(db);
    PQfinish(pg);
    pki_arena_free(arena);
}

#endif
