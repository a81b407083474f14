/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What a CRL has in it, what has changed since another, numbers, and what is remembered of lists.
 */
#include "orchestrator/store/crl.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "t/unit/lib/suite.h"

#define REVOKE  1
#define HOLD    6
#define RELEASE 8

static const crl_id_t full = { 1, 1, { CRL_FULL, 0 } };

TestSuite(crl, .init = setup_world, .fini = teardown, .timeout = 120);

/* A list as a relying party has it. */
typedef struct {
    struct {
        uint32_t n; /* of store_serial() */
        int      reason;
        int64_t  revoked_at;
    } v[256];
    size_t count;
} list_t;

static uint32_t
serial_number(bytes_t serial)
{
    return (uint32_t) serial.p[2] << 8 | serial.p[3];
}

static pki_code_t
entry_note(const crl_entry_t *e, void *arg, pki_err_t *why)
{
    list_t *l = arg;

    (void) why;
    cr_assert_lt(l->count, 256);
    l->v[l->count].n = serial_number(e->serial);
    l->v[l->count].reason = e->reason;
    l->v[l->count++].revoked_at = e->revoked_at;
    return PKI_OK;
}

static crl_state_t
read_list(const crl_id_t *id, int64_t floor, int64_t since, bool delta, list_t *all)
{
    crl_query_t q = { .id = *id, .floor = floor, .since = since, .delta = delta, .reread = true, .entry = entry_note,
                      .arg = all };
    crl_state_t s;

    all->count = 0;
    cr_assert_eq(crl_read(db, arena, &q, &s, &err), PKI_OK, "%s", err.text);
    cr_assert(s.read);
    return s;
}

static const char *
entries(int64_t floor)
{
    static char text[400];
    list_t      all;

    (void) read_list(&full, floor, 0, false, &all);
    text[0] = '\0';
    for (size_t i = 0; i < all.count; i++) {
        snprintf(text + strlen(text), 20, "%u:%d ", all.v[i].n, all.v[i].reason);
    }
    return text;
}

static crl_number_t
number_next(void)
{
    crl_number_t n;

    cr_assert_eq(crl_number_next(db, arena, &full, 0, &n, &err), PKI_OK, "%s", err.text);
    return n;
}

static crl_row_t
row_of(int64_t number, int64_t this_update)
{
    return (crl_row_t){ .id = full, .host = "a:/edge", .number = number, .this_update = this_update,
                        .next_update = this_update + DAY_S, .file = "f", .etag = bytes_str("etag"),
                        .floor = this_update - 100 };
}

static void
publish(const crl_row_t *row)
{
    cr_assert_eq(crl_published(db, row, &err), PKI_OK, "%s", err.text);
}

Test(crl, lists_revoked_and_held_but_not_released_certificates)
{
    store_issue(db, arena, "a", 1, DAY_S);
    store_issue(db, arena, "b", 2, DAY_S);
    store_issue(db, arena, "c", 3, DAY_S);
    store_issue(db, arena, "d", 4, DAY_S);
    cr_assert_eq(store_revoke(db, arena, "c", 0, REVOKE, NULL), PKI_OK);
    cr_assert_eq(store_revoke(db, arena, "a", 0, HOLD, NULL), PKI_OK);
    cr_assert_eq(store_revoke(db, arena, "b", 0, HOLD, NULL), PKI_OK);
    cr_assert_eq(store_revoke(db, arena, "b", 0, RELEASE, NULL), PKI_OK);
    cr_expect_str_eq(entries(0), "1:6 3:1 ");
}

Test(crl, leaves_out_what_ended_before_its_floor)
{
    int64_t now = clock_now();

    store_issue(db, arena, "a", 1, DAY_S);
    cr_assert_eq(store_revoke(db, arena, "a", 0, REVOKE, NULL), PKI_OK);
    PQclear(pg_sql(pg, "UPDATE revocation SET not_after = to_timestamp(%lld)", (long long) now - 600));
    cr_expect_str_eq(entries(now - 601), "1:1 ");
    cr_expect_str_eq(entries(now - 600), "1:1 ", "it had not ended before");
    cr_expect_str_eq(entries(now - 599), "");
}

Test(crl, shards_and_generations_have_entries_of_their_own)
{
    static const crl_id_t others[] = { { 1, 1, { CRL_SHARD, 5 } }, { 1, 2, { CRL_FULL, 0 } }, { 2, 1, { CRL_FULL, 0 } } };
    list_t                all;

    store_issue(db, arena, "a", 1, DAY_S);
    store_issue(db, arena, "b", 2, DAY_S);
    cr_assert_eq(store_revoke(db, arena, "a", 0, REVOKE, NULL), PKI_OK);
    cr_assert_eq(store_revoke(db, arena, "b", 0, REVOKE, NULL), PKI_OK);
    for (size_t i = 0; i < 3; i++) {
        (void) read_list(&others[i], 0, 0, false, &all);
        cr_expect_eq(all.count, 0, "%zu", i);
    }
    PQclear(pg_sql(pg, "UPDATE revocation SET shard = 5 WHERE get_byte(serial, 3) = 2"));
    (void) read_list(&others[0], 0, 0, false, &all);
    cr_expect(all.count == 1 && all.v[0].n == 2);
    cr_expect_str_eq(entries(0), "1:1 ");
}

/* Numbers */

Test(crl, numbers_grow_and_start_at_the_time)
{
    int64_t n[3];

    for (int i = 0; i < 3; i++) {
        n[i] = number_next().number;
    }
    cr_expect_lt(llabs(n[0] - clock_now()), 10);
    cr_expect(n[1] > n[0] && n[2] > n[1]);
}

/* C-03: what this host has published may be newer than the database that was restored. */
Test(crl, numbers_are_above_what_is_served_whatever_the_database_says)
{
    int64_t      far = clock_now() + 1000000;
    crl_number_t n;

    cr_assert_eq(crl_number_next(db, arena, &full, far, &n, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(n.number, far + 1);
    PQclear(pg_sql(pg, "DELETE FROM crl_number"));
    cr_assert_eq(crl_number_next(db, arena, &full, far + 1, &n, &err), PKI_OK);
    cr_expect_eq(n.number, far + 2);
    cr_expect_eq(number_next().number, far + 3, "a clock that was set back");
}

Test(crl, deltas_are_numbered_with_their_full_lists_and_shards_by_themselves)
{
    static const crl_id_t delta = { 1, 1, { CRL_DELTA, 0 } }, shard = { 1, 1, { CRL_SHARD, 3 } };
    int64_t               first = number_next().number;
    crl_number_t          n;

    cr_assert_eq(crl_number_next(db, arena, &delta, 0, &n, &err), PKI_OK);
    cr_expect_gt(n.number, first);
    cr_expect_gt(number_next().number, n.number);
    cr_assert_eq(crl_number_next(db, arena, &shard, 0, &n, &err), PKI_OK);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM crl_number WHERE scope IN ('full', 's3')"), 2);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM crl_number"), 2);
}

enum { RACERS = 4, LAPS = 50 };

static void *
race(void *arg)
{
    int64_t *out = arg;

    for (int i = 0; i < LAPS; i++) {
        pki_arena_t *a = pki_arena_new(0);
        crl_number_t n;

        out[i] = crl_number_next(db, a, &full, 0, &n, NULL) == PKI_OK ? n.number : 0;
        pki_arena_free(a);
    }
    return NULL;
}

static int
int64_cmp(const void *a, const void *b)
{
    int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

    return (x > y) - (x < y);
}

Test(crl, orchestrators_that_race_never_get_the_same_number)
{
    pthread_t t[RACERS];
    int64_t   n[RACERS * LAPS];

    for (int i = 0; i < RACERS; i++) {
        pthread_create(&t[i], NULL, race, n + i * LAPS);
    }
    for (int i = 0; i < RACERS; i++) {
        pthread_join(t[i], NULL);
    }
    for (int i = 0; i < RACERS * LAPS; i++) {
        cr_expect(n[i] != 0 && (i % LAPS == 0 || n[i] > n[i - 1]), "%d", i);
    }
    qsort(n, RACERS * LAPS, sizeof(n[0]), int64_cmp);
    for (int i = 1; i < RACERS * LAPS; i++) {
        cr_expect_neq(n[i], n[i - 1]);
    }
}

/* What was published */

Test(crl, a_host_publishes_no_smaller_number)
{
    crl_row_t row = row_of(100, 1000);

    publish(&row);
    for (int64_t n = 98; n <= 100; n++) {
        row.number = n;
        cr_expect_eq(crl_published(db, &row, &err), PKI_E_CONFLICT, "%lld", (long long) n);
    }
    row.number = 99;
    row.host = "b:/edge";
    publish(&row);
    row.host = "a:/edge";
    row.number = 101;
    publish(&row);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM crl"), 3);
}

Test(crl, remembers_the_newest_hundred_of_each_host)
{
    crl_row_t row, out, *events;
    size_t    count;

    cr_expect_eq(crl_last(db, arena, &full, "a:/edge", &out, &err), PKI_E_NOT_FOUND);
    row = row_of(5, 900);
    row.host = "b:/edge";
    publish(&row);
    for (int i = 11; i <= 140; i++) {
        row = row_of(i, 1000 + i);
        publish(&row);
    }
    row = row_of(141, 2000);
    row.file = NULL;
    row.etag = BYTES_NONE;
    row.error = "no";
    publish(&row);
    cr_assert_eq(crl_last(db, arena, &full, "a:/edge", &out, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(out.number, 140);
    cr_expect_eq(out.this_update, 1140);
    cr_expect(bytes_eq(out.etag, bytes_str("etag")));
    cr_assert_eq(crl_events(db, arena, &full, "a:/edge", 3, &events, &count, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(count, 3);
    cr_expect(events[0].number == 141 && strcmp(events[0].error, "no") == 0 && events[1].error == NULL);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM crl WHERE host = 'a:/edge'"), 100);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM crl WHERE host = 'b:/edge'"), 1);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM change_feed WHERE kind = 'crl'"), 131);
}

/* Changes */

Test(crl, knows_nothing_since_a_list_that_is_not_there_or_of_another_database)
{
    list_t       all;
    crl_number_t n = number_next();
    crl_row_t    row = row_of(n.number, clock_now());

    cr_expect_not(read_list(&full, clock_now(), n.number, false, &all).since.usable);
    publish(&row);
    cr_expect_not(read_list(&full, clock_now(), n.number, false, &all).since.usable, "it has no snapshot");
    row.number++;
    row.snapshot = "4000000000:4000000000:";
    publish(&row);
    cr_expect_not(read_list(&full, clock_now(), row.number, true, &all).since.usable, "of another cluster");
    cr_assert_eq(crl_snapshots_check(db, &err), PKI_OK);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM crl WHERE snapshot IS NOT NULL OR is_base"), 0);
    row.number++;
    row.snapshot = n.snapshot;
    publish(&row);
    cr_expect(read_list(&full, row.floor, row.number, false, &all).since.usable);
    cr_expect_not(read_list(&full, row.floor - 1, row.number, false, &all).since.usable, "what had gone would come back");
}

Test(crl, is_behind_when_another_transaction_has_changed_something)
{
    crl_number_t n;
    crl_row_t    row;
    bool         behind;

    store_issue(db, arena, "a", 1, DAY_S);
    store_issue(db, arena, "b", 2, DAY_S);
    cr_assert_eq(store_revoke(db, arena, "a", 0, REVOKE, NULL), PKI_OK);
    n = number_next();
    row = row_of(n.number, clock_now());
    row.snapshot = n.snapshot;
    cr_assert_eq(crl_behind(db, &full, n.number, &behind, &err), PKI_OK);
    cr_expect(behind, "there is no such list");
    publish(&row);
    cr_assert_eq(crl_behind(db, &full, n.number, &behind, &err), PKI_OK);
    cr_expect_not(behind);
    cr_assert_eq(store_revoke(db, arena, "b", 0, HOLD, NULL), PKI_OK);
    cr_assert_eq(crl_behind(db, &full, n.number, &behind, &err), PKI_OK);
    cr_expect(behind);
}

Test(crl, may_lack_what_was_released_or_has_ended_only)
{
    bytes_t serials[] = { store_serial(arena, 1), store_serial(arena, 2), store_serial(arena, 3), store_serial(arena, 9) };
    int64_t now = clock_now();
    size_t  gone;

    for (uint32_t n = 1; n <= 3; n++) {
        store_issue(db, arena, n == 1 ? "a" : n == 2 ? "b" : "c", n, DAY_S);
    }
    cr_assert_eq(store_revoke(db, arena, "a", 0, HOLD, NULL), PKI_OK);
    cr_assert_eq(store_revoke(db, arena, "b", 0, REVOKE, NULL), PKI_OK);
    cr_assert_eq(store_revoke(db, arena, "c", 0, REVOKE, NULL), PKI_OK);
    cr_assert_eq(crl_gone(db, &full, now, serials, 4, &gone, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(gone, 0);
    cr_assert_eq(store_revoke(db, arena, "a", 0, RELEASE, NULL), PKI_OK);
    PQclear(pg_sql(pg, "UPDATE revocation SET not_after = to_timestamp(%lld) WHERE get_byte(serial, 3) = 2",
                   (long long) now - 10));
    cr_assert_eq(crl_gone(db, &full, now, serials, 4, &gone, &err), PKI_OK);
    cr_expect_eq(gone, 2, "and neither the third nor the one that nobody knows");
}

/* Histories (C-09) */

enum { CERTS = 60, ROUNDS = 60 };

static int
list_cmp(const list_t *a, const list_t *b)
{
    return a->count != b->count ? 1 : memcmp(a->v, b->v, a->count * sizeof(a->v[0]));
}

/* RFC 5280 5.2.4, as a relying party does it: no code of ours but the lists themselves. */
static void
list_apply(list_t *l, const crl_change_t *changes, size_t count, bool delta)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t n = serial_number(changes[i].entry.serial);
        bool     gone = delta ? changes[i].entry.reason == 8 : !changes[i].listed;
        size_t   at = 0;

        while (at < l->count && l->v[at].n < n) {
            at++;
        }
        if (at < l->count && l->v[at].n == n) {
            memmove(&l->v[at], &l->v[at + 1], (--l->count - at) * sizeof(l->v[0]));
        }
        if (!gone) {
            memmove(&l->v[at + 1], &l->v[at], (l->count++ - at) * sizeof(l->v[0]));
            memset(&l->v[at], 0, sizeof(l->v[at]));
            l->v[at].n = n;
            l->v[at].reason = changes[i].entry.reason;
            l->v[at].revoked_at = changes[i].entry.revoked_at;
        }
    }
}

/* A few revocations, holds and releases; certificates that end soon after. */
static void
history_step(int64_t virtual_now)
{
    for (int i = rand() % 6; i > 0; i--) {
        uint32_t n = (uint32_t) (1 + rand() % CERTS);
        char     name[16];

        snprintf(name, sizeof(name), "c%u", n);
        (void) store_revoke(db, arena, name, n, rand() % 3 == 0 ? REVOKE : rand() % 2 == 0 ? HOLD : RELEASE, NULL);
        if (rand() % 3 == 0) {
            PQclear(pg_sql(pg, "UPDATE revocation SET not_after = to_timestamp(%lld) WHERE get_byte(serial, 3) = %u "
                           "AND not_after > now()", (long long) virtual_now + rand() % 60, n));
        }
    }
}

static void
histories(int64_t validity_s)
{
    static list_t lists[ROUNDS];
    int64_t       numbers[ROUNDS], begin = clock_now() - 20 * ROUNDS, before = begin - 1;
    size_t        deltas = 0, removals = 0;

    memset(lists, 0, sizeof(lists));
    for (uint32_t n = 1; n <= CERTS; n++) {
        char name[16];

        snprintf(name, sizeof(name), "c%u", n);
        store_issue(db, arena, name, n, DAY_S);
    }
    for (int r = 0; r < ROUNDS; r++) {
        int64_t      now = begin + 10 * r;
        crl_number_t n;
        crl_state_t  s;
        crl_row_t    row;
        list_t       merged;

        history_step(now);
        n = number_next();
        if (rand() % 2 == 0) {
            history_step(now); /* between the number and the list */
        }
        numbers[r] = n.number;
        s = read_list(&full, before, r != 0 ? numbers[r - 1] : 0, true, &lists[r]);
        if (r != 0) {
            cr_assert(s.since.usable, "round %d", r);
            merged = lists[r - 1];
            list_apply(&merged, s.since.v, s.since.count, false);
            cr_assert_eq(list_cmp(&merged, &lists[r]), 0, "round %d", r);
        }
        for (int base = 0; base < r && s.delta.usable; base++) {
            if (numbers[base] >= s.delta.number) {
                merged = lists[base];
                list_apply(&merged, s.delta.v, s.delta.count, true);
                cr_assert_eq(list_cmp(&merged, &lists[r]), 0, "round %d, base %d", r, base);
                deltas++;
            }
        }
        for (size_t i = 0; i < s.delta.count; i++) {
            removals += s.delta.v[i].entry.reason == 8;
        }
        row = row_of(n.number, now);
        row.next_update = now + validity_s;
        row.snapshot = n.snapshot;
        row.floor = before;
        publish(&row);
        before = now;
    }
    cr_expect(deltas > ROUNDS && removals > 10, "%zu %zu", deltas, removals);
}

Test(crl, any_history_base_and_delta_make_the_full_list_while_bases_expire)
{
    srand(11);
    histories(200);
}

Test(crl, any_history_base_and_delta_make_the_full_list_when_the_first_base_is_still_good)
{
    srand(12);
    histories(100000);
}

/* Lists of hosts that still may be held are never older than the base; what is not needed goes. */
Test(crl, keeps_bases_until_a_newer_one_has_expired)
{
    int64_t now = clock_now();

    for (int i = 1; i <= 300; i++) {
        crl_number_t n = number_next();
        crl_row_t    row = row_of(n.number, now - 3000 + 10 * i);

        row.next_update = row.this_update + 400;
        row.snapshot = n.snapshot;
        publish(&row);
    }
    cr_expect_geq(pg_number(pg, "SELECT count(*) FROM crl WHERE is_base AND next_update <= now()"), 1);
    cr_expect_leq(pg_number(pg, "SELECT count(*) FROM crl WHERE is_base"), 12);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM crl c WHERE NOT is_base AND next_update > now() AND number < "
                           "(SELECT min(number) FROM crl WHERE is_base AND number >= "
                           "(SELECT max(number) FROM crl WHERE is_base AND next_update <= now()))"), 0);
}
