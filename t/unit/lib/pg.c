/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Starting t/lib/pg.sh, talking to it, and databases for tests.
 */
#include "t/unit/lib/pg.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Criterion runs each test in a process of its own that inherits the environment and nothing else: it reaches
 * the pipes through the runner's open files.
 */
static int cluster_in, cluster_out;

static const char *
cluster_url(void)
{
    return getenv("PG_TEST_URL");
}

/* One line, octet by octet: nothing is read ahead that belongs to another process. */
static void
line_read(int fd, char *line, size_t size)
{
    size_t n = 0;

    while (n + 1 < size && read(fd, line + n, 1) == 1 && line[n] != '\n') {
        n++;
    }
    line[n] = '\0';
    if (n == 0) {
        fprintf(stderr, "t/lib/pg.sh has ended\n");
        exit(99);
    }
}

static void
cluster_exec(int in, int out, const char *setting)
{
    dup2(in, 0);
    dup2(out, 1);
    for (int fd = 3; fd < 64; fd++) {
        close(fd);
    }
    execl("t/lib/pg.sh", "pg.sh", setting, (char *) NULL);
    perror("t/lib/pg.sh");
    _exit(99);
}

static void
path_export(const char *name, int fd)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int) getpid(), fd);
    setenv(name, path, 1);
}

void
pg_cluster_start(const char *setting)
{
    int   in[2], out[2];
    pid_t pid;
    char  url[512];

    if (pipe(in) != 0 || pipe(out) != 0 || (pid = fork()) < 0) {
        perror("pg_cluster_start");
        exit(99);
    }
    if (pid == 0) {
        /* The script is not our child: Criterion waits for whatever child of the runner ends, and for ever. */
        if (fork() == 0) {
            cluster_exec(in[0], out[1], setting);
        }
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    close(in[0]);
    close(out[1]);
    cluster_in = in[1];
    cluster_out = out[0];
    line_read(cluster_out, url, sizeof(url));
    setenv("PG_TEST_URL", url, 1);
    path_export("PG_TEST_IN", cluster_in);
    path_export("PG_TEST_OUT", cluster_out);
}

void
pg_cluster_stop(void)
{
    char rest;

    close(cluster_in);
    while (read(cluster_out, &rest, 1) == 1) { /* until it has ended */
    }
    close(cluster_out);
}

void
pg_cluster_command(const char *command)
{
    char line[64];
    int  in = open(getenv("PG_TEST_IN"), O_WRONLY), out = open(getenv("PG_TEST_OUT"), O_RDONLY);

    cr_assert(in >= 0 && out >= 0);
    cr_assert(dprintf(in, "%s\n", command) > 0);
    line_read(out, line, sizeof(line));
    cr_assert_str_eq(line, "ok");
    close(in);
    close(out);
}

PGconn *
pg_connect(const char *url)
{
    PGconn *pg = PQconnectdb(url);

    cr_assert_eq(PQstatus(pg), CONNECTION_OK, "%s", PQerrorMessage(pg));
    PQclear(PQexec(pg, "SET client_min_messages = warning"));
    return pg;
}

static PGresult *
sql_run(PGconn *pg, const char *fmt, va_list ap)
{
    char     *sql;
    PGresult *res;

    cr_assert(vasprintf(&sql, fmt, ap) >= 0);
    res = PQexec(pg, sql);
    cr_assert(PQresultStatus(res) == PGRES_COMMAND_OK || PQresultStatus(res) == PGRES_TUPLES_OK, "%s: %s",
              sql, PQerrorMessage(pg));
    free(sql);
    return res;
}

PGresult *
pg_sql(PGconn *pg, const char *fmt, ...)
{
    va_list   ap;
    PGresult *res;

    va_start(ap, fmt);
    res = sql_run(pg, fmt, ap);
    va_end(ap);
    return res;
}

int64_t
pg_number(PGconn *pg, const char *fmt, ...)
{
    va_list   ap;
    PGresult *res;
    int64_t   n;

    va_start(ap, fmt);
    res = sql_run(pg, fmt, ap);
    va_end(ap);
    cr_assert_eq(PQntuples(res), 1);
    n = strtoll(PQgetvalue(res, 0, 0), NULL, 10);
    PQclear(res);
    return n;
}

db_t *
pg_pool(const char *url, int64_t connections, int64_t timeout_ms)
{
    conf_database_t conf = { .url = url, .pool = connections, .timeout_ms = timeout_ms };
    db_t           *db;
    pki_err_t       err = { 0 };

    cr_assert_eq(db_open(&conf, &db, &err), PKI_OK, "%s", err.text);
    return db;
}

static void
template_make(PGconn *pg, const char *url)
{
    db_t     *db;
    pki_err_t err = { 0 };

    PQclear(pg_sql(pg, "CREATE DATABASE migrated"));
    db = pg_pool(url, 1, 5000);
    cr_assert_eq(db_migrate(db, MIGRATIONS, -1, &err), PKI_OK, "%s", err.text);
    db_close(db);
    PQclear(pg_sql(pg, "ALTER DATABASE migrated IS_TEMPLATE true"));
}

const char *
pg_database_new(bool migrated)
{
    static char url[600];
    static int  n;
    PGconn     *pg = pg_connect(cluster_url());
    int         len = (int) (strstr(cluster_url(), "dbname=") - cluster_url());

    snprintf(url, sizeof(url), "%.*sdbname=migrated", len, cluster_url());
    if (migrated && pg_number(pg, "SELECT count(*) FROM pg_database WHERE datname = 'migrated'") == 0) {
        template_make(pg, url);
    }
    snprintf(url, sizeof(url), "%.*sdbname=t%d_%d", len, cluster_url(), (int) getpid(), ++n);
    PQclear(pg_sql(pg, "CREATE DATABASE %s TEMPLATE %s", strstr(url, "dbname=") + 7,
                   migrated ? "migrated" : "template0"));
    PQfinish(pg);
    return url;
}
