/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Changes out of the audit: each once, in an order in which nothing comes late, and nothing that was refused or only read.
 */
#include "orchestrator/store/event.h"

#include <criterion/criterion.h>

#include "t/unit/lib/pg.h"

static pki_arena_t *a;
static pki_err_t    err;
static db_t        *db;
static PGconn      *pg;
static const char  *url;

ReportHook(PRE_ALL)(struct criterion_test_set *set)
{
    (void) set;
    pg_cluster_start(NULL);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void) stats;
    pg_cluster_stop();
}

static void
setup(void)
{
    url = pg_database_new(true);
    a = pki_arena_new(0);
    db = pg_pool(url, 4, 2000);
    pg = pg_connect(url);
}

static void
teardown(void)
{
    PQfinish(pg);
    db_close(db);
    pki_arena_free(a);
}

TestSuite(event, .init = setup, .fini = teardown);

static void
write_event(PGconn *c, const char *action, const char *thing, int status)
{
    PQclear(pg_sql(c, "INSERT INTO audit_event (actor, actor_type, action, resource_type, resource_id, status) "
                      "VALUES ('t', 'system', '%s', 'team', '%s', %d)", action, thing, status));
}

/* What comes after a position, as far as it may be told now. */
static size_t
next(event_position_t after, int64_t floor, size_t max, event_t **out)
{
    static const char *reads[] = { "team.list" };
    const str_list_t   without = { reads, 1 };
    event_head_t       head;
    size_t             count = 0;

    cr_assert_eq(event_head(db, &head, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(event_next(db, a, &(event_query_t){ after, head.xmin, floor, &without, max }, out, &count, &err), PKI_OK,
                 "%s", err.text);
    return count;
}

Test(event, changes_are_told_and_nothing_else)
{
    event_t *found;

    write_event(pg, "team.create", "one", 201);
    write_event(pg, "team.create", "refused", 409);
    write_event(pg, "team.list", "read", 200);
    write_event(pg, "team.delete", "two", 204);
    cr_assert_eq(next((event_position_t){ 0 }, 0, 10, &found), 2);
    cr_expect_str_eq(found[0].action, "team.create");
    cr_expect_str_eq(found[1].type, "team");
    cr_expect_not_null(strstr(found[1].data, "\"resource_id\": \"two\""));
    cr_expect(event_after(found[1].at, found[0].at));
    cr_assert_eq(next(found[0].at, 0, 10, &found), 1);
    cr_expect_not_null(strstr(found[0].data, "\"two\""));
}

Test(event, what_commits_late_is_waited_for)
{
    PGconn  *late = pg_connect(url);
    event_t *found;

    PQclear(pg_sql(late, "BEGIN"));
    write_event(late, "team.create", "late", 201);
    write_event(pg, "team.create", "early", 201);
    cr_expect_eq(next((event_position_t){ 0 }, 0, 10, &found), 0);
    PQclear(pg_sql(late, "COMMIT"));
    cr_assert_eq(next((event_position_t){ 0 }, 0, 10, &found), 2);
    cr_expect_not_null(strstr(found[0].data, "\"late\""));
    PQfinish(late);
}

Test(event, a_floor_is_below_all_that_can_come)
{
    event_t *found;
    int64_t  floor = -1, first;

    write_event(pg, "team.create", "one", 201);
    first = pg_number(pg, "SELECT max(id) FROM audit_event");
    cr_assert_eq(event_floor(db, 0, &floor, &err), PKI_OK, "%s", err.text);
    cr_expect_lt(floor, first);
    cr_expect_eq(next((event_position_t){ 0 }, floor, 10, &found), 1);
    cr_expect_eq(next((event_position_t){ 0 }, first, 10, &found), 0);
    cr_assert_eq(event_floor(db, first, &floor, &err), PKI_OK);
    cr_expect_lt(floor, first);
}
