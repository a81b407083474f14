/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A private PostgreSQL for a test program: one cluster for all of its tests (t/lib/pg.sh), a database of its
 * own for each test, made from a migrated template.
 */
#ifndef T_UNIT_LIB_PG_H
#define T_UNIT_LIB_PG_H

#include <libpq-fe.h>

#include "orchestrator/store/db.h"

#define MIGRATIONS "migrations"

/* In ReportHook(PRE_ALL) and ReportHook(POST_ALL); setting may be NULL. */
void pg_cluster_start(const char *setting);
void pg_cluster_stop(void);
void pg_cluster_command(const char *command); /* kill, start, pause, resume */

/* A fresh database with the schema, or without; the connection string lives until the next call. */
const char *pg_database_new(bool migrated);

/* A pool on a connection string. */
db_t *pg_pool(const char *url, int64_t connections, int64_t timeout_ms);

/* A connection of the test's own, and statements on it that must succeed. */
PGconn   *pg_connect(const char *url);
PGresult *pg_sql(PGconn *pg, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int64_t   pg_number(PGconn *pg, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
