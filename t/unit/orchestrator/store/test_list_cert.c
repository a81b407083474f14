/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The list of certificates: its filters, statuses and orders, pages by number, sparse fields, totals, and the free text
 * that it is searched by.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "orchestrator/store/list.h"
#include "orchestrator/store/search.h"
#include "pkiproto/base/text.h"
#include "t/unit/lib/suite.h"

TestSuite(list_cert, .init = setup_world, .fini = teardown, .timeout = 60);

/* host-1 ... host-N, the first issued first. */
static void
issue_many(uint32_t count)
{
    for (uint32_t i = 1; i <= count; i++) {
        char name[20];

        snprintf(name, sizeof(name), "host-%u", i);
        store_issue(db, arena, name, i, 90 * DAY_S);
    }
}

static list_page_t
page_of(const list_query_t *q)
{
    list_page_t page;

    cr_assert_eq(list_page(db, arena, &list_certificates, q, &page, &err), PKI_OK, "%s", err.text);
    return page;
}

/* The names on a page: "host-1 host-2 ". */
static const char *
names_of(const list_query_t *q)
{
    list_page_t page = page_of(q);
    const char *out = "";

    for (size_t i = 0; i < page.count; i++) {
        JSON_AUTO row = NULL;

        cr_assert_eq(json_parse(bytes_str(page.rows[i]), &row, &err), PKI_OK, "%s", err.text);
        out = pki_printf(arena, "%s%s ", out, json_string_value(json_object_get(row, "name")));
    }
    return out;
}

static const char *
found(const char *name, const char *value)
{
    list_arg_t   arg = { name, value };
    list_query_t q = { .args = &arg, .arg_count = 1, .sort = "name" };

    return names_of(&q);
}

static void
fill(void)
{
    char    at[SEARCH_AT_MAX] = "-infinity";
    int64_t no = 0, rows;
    bool    busy;

    do {
        cr_assert_eq(search_fill(db, at, &no, 2, &rows, &busy, &err), PKI_OK, "%s", err.text);
        cr_assert_not(busy);
    } while (rows > 0);
}

Test(list_cert, has_one_status_for_each_row_and_finds_it_by_that)
{
    static const struct {
        const char *status, *names;
    } cases[] = { { "Active", "host-1 host-2 " }, { "Expiring", "host-3 host-4 " }, { "Expired", "host-5 " },
                  { "Revoked", "host-6 " }, { "Archived", "host-7 host-8 " } };

    issue_many(8);
    PQclear(pg_sql(pg, "INSERT INTO renewal_policy VALUES ('rp-short', 'short', 5, true, 1, 1, '{}', '{}'),"
                       " ('rp-long', 'long', 100, true, 1, 1, '{}', '{}')"));
    /* 2 is due in ten days, but not by its policy; 4 is due by its policy only. */
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET renewal_policy_id = 'rp-short', expires_at = now() + interval '10 days'"
                       " WHERE name = 'host-2'"));
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET expires_at = now() + interval '10 days' WHERE name = 'host-3'"));
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET renewal_policy_id = 'rp-long' WHERE name = 'host-4'"));
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET expires_at = now() WHERE name = 'host-5'"));
    cr_assert_eq(store_revoke(db, arena, "host-6", 0, 1, NULL), PKI_OK);
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET archived_at = now() WHERE name IN ('host-7', 'host-8')"));
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET expires_at = now() WHERE name = 'host-8'"));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        list_arg_t   arg = { "status", cases[i].status };
        list_query_t q = { .args = &arg, .arg_count = 1, .fields = "status" };
        list_page_t  page = page_of(&q);

        cr_expect_str_eq(found("status", cases[i].status), cases[i].names, "%s", cases[i].status);
        for (size_t n = 0; n < page.count; n++) {
            cr_expect_not_null(strstr(page.rows[n], cases[i].status), "%s is shown for %s", page.rows[n], cases[i].status);
        }
    }
    cr_expect_str_eq(found("include_archived", "false"), "host-1 host-2 host-3 host-4 host-5 host-6 ");
    cr_expect_str_eq(found("include_archived", "true"), "host-1 host-2 host-3 host-4 host-5 host-6 host-7 host-8 ");
    {
        list_query_t q = { .sort = "status" };

        cr_expect_str_eq(names_of(&q), "host-5 host-2 host-3 host-1 host-4 host-6 ", "Expired ... Active, then Revoked");
    }
}

Test(list_cert, is_filtered_by_whatever_a_certificate_belongs_to)
{
    static const struct {
        const char *name, *value, *names;
    } cases[] = {
        { "owner_id", "owner-a", "host-1 " },
        { "team_id", "team-a", "host-1 host-2 " },
        { "environment", "production", "host-2 " },
        { "renewal_policy_id", "rp-a", "host-3 " },
        { "certificate_profile_id", "prof-device", "host-1 host-2 host-3 " },
        { "certificate_profile_id", "prof-none", "" },
        { "source", "EST", "host-1 host-2 host-3 " },
        { "tag", "app:shop", "host-1 " },
        { "tag", "app", "host-1 host-2 " },
        { "tag", "app:sho", "" },
        { "tag", "app:", "" },
        { "tag", "empty:", "host-3 " },
        { "tag", "app\":\"shop", "" },
        { "created_after", "2030-01-01T00:00:00Z", "" },
        { "created_before", "2030-01-01T00:00:00Z", "host-1 host-2 " },
        { "updated_after", "2029-01-01T00:00:00Z", "host-2 " },
        { "updated_before", "2029-01-01T00:00:00Z", "host-1 host-3 " },
    };

    issue_many(3);
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET updated_at = '2020-01-01'"));
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET owner_id = 'owner-a', team_id = 'team-a', tags = '{\"app\": \"shop\"}'"
                       " WHERE name = 'host-1'"));
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET team_id = 'team-a', environment = 'production',"
                       " tags = '{\"app\": \"till\", \"tier\": \"1\"}', updated_at = '2029-06-01' WHERE name = 'host-2'"));
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET renewal_policy_id = 'rp-a', tags = '{\"empty\": \"\"}',"
                       " created_at = '2030-01-01' WHERE name = 'host-3'"));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect_str_eq(found(cases[i].name, cases[i].value), cases[i].names, "%s=%s", cases[i].name, cases[i].value);
    }
}

Test(list_cert, wants_all_of_several_tags)
{
    list_arg_t   args[] = { { "tag", "tier:1" }, { "tag", "app" } };
    list_query_t q = { .args = args, .arg_count = 2, .sort = "name" };

    issue_many(3);
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET tags = '{\"tier\": \"1\"}' WHERE name <> 'host-2'"));
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET tags = tags || '{\"app\": \"x\"}' WHERE name <> 'host-1'"));
    cr_expect_str_eq(names_of(&q), "host-3 ");
}

Test(list_cert, refuses_values_that_no_filter_takes)
{
    static const list_arg_t cases[] = {
        { "tag", "" }, { "tag", ":x" }, { "tag", "a:\xff" }, { "q", "ab" }, { "q", "\xc3\xa4\xc3\xb6" },
        { "q", "%_'\\:*&|! (.)" },
        { "status", "Sleeping" }, { "include_archived", "maybe" }, { "source", "SCEP" },
    };
    list_page_t page;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        list_query_t q = { .args = &cases[i], .arg_count = 1 };

        cr_expect_eq(list_page(db, arena, &list_certificates, &q, &page, &err), PKI_E_INVALID, "%s=%s", cases[i].name,
                     cases[i].value);
    }
}

Test(list_cert, sorts_what_has_no_common_name_or_environment_first)
{
    static const char *const sorts[] = { "common_name", "commonName", "environment" };

    issue_many(4);
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET environment = 'test', common_name = 'zoo' WHERE name = 'host-1'"));
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET common_name = NULL WHERE name <> 'host-1'"));
    for (size_t i = 0; i < 3; i++) {
        list_query_t q = { .sort = sorts[i], .limit = 3 };

        cr_expect_str_eq(names_of(&q), "host-2 host-3 host-4 ", "%s", sorts[i]);
        q.cursor = page_of(&q).next_cursor;
        cr_expect_str_eq(names_of(&q), "host-1 ", "%s", sorts[i]);
    }
}

Test(list_cert, walks_every_order_by_cursor_as_by_number)
{
    issue_many(13);
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET environment = 'e' || no %% 3, updated_at = now()"));
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET status = 'Revoked', expires_at = '2030-01-01' WHERE no %% 4 = 0"));
    for (const list_sort_t *s = list_certificates.sorts; s->name != NULL; s++) {
        for (int down = 0; down < 2; down++) {
            const char  *sort = pki_printf(arena, "%s%s", down ? "-" : "", s->name), *cursor = NULL;
            const char  *all;
            list_query_t whole = { .sort = sort }, part = { .sort = sort, .limit = 4 }, paged = part;
            const char  *walked = "", *numbered = "";

            all = names_of(&whole);
            for (paged.page = 1; paged.page <= 4; paged.page++) {
                part.cursor = cursor;
                walked = pki_printf(arena, "%s%s", walked, names_of(&part));
                numbered = pki_printf(arena, "%s%s", numbered, names_of(&paged));
                cursor = page_of(&part).next_cursor;
                cr_expect_eq(page_of(&paged).total, 13);
                cr_expect_eq(page_of(&paged).next_cursor == NULL, cursor == NULL);
            }
            cr_expect_null(cursor);
            cr_expect_str_eq(walked, all, "%s", sort);
            cr_expect_str_eq(numbered, all, "%s", sort);
            paged.page = 5;
            cr_expect_eq(page_of(&paged).count, 0);
            cr_expect_eq(page_of(&paged).total, 13, "also behind the last page");
        }
    }
}

Test(list_cert, ends_pages_by_number_where_the_cursor_goes_on)
{
    list_query_t q = { .page = 201, .limit = 50 };
    list_page_t  page;

    cr_expect_eq(list_page(db, arena, &list_certificates, &q, &page, &err), PKI_E_INVALID);
    cr_expect_not_null(strstr(err.text, "next_cursor"), "%s", err.text);
    q.page = 200;
    cr_expect_eq(list_page(db, arena, &list_certificates, &q, &page, &err), PKI_OK);
}

/* Far from the start of a large table, where rows are skipped by the order's index alone. */
Test(list_cert, skips_what_is_archived_on_the_way_to_a_page)
{
    static const char *const sorts[] = { "expires_at", "-expires_at", "status", "name" };
    list_page_t              page, want;

    store_issue(db, arena, "one", 1, DAY_S);
    PQclear(pg_sql(pg, "INSERT INTO managed_certificate (id, name, source, profile_id, issuer_no, subject, subject_der, sans,"
                       " status, expires_at, last_serial, archived_at)"
                       " SELECT 'mc-' || n, 'n' || n, 'API', 'prof-device', 1, '', '', '{}', 'Active',"
                       " now() + abs(hashint4(n)) %% 90000 * interval '1 s', '', CASE WHEN n %% 7 = 0 THEN now() END"
                       " FROM generate_series(2, 30000) n"));
    PQclear(pg_sql(pg, "ANALYZE managed_certificate"));
    for (size_t i = 0; i < sizeof(sorts) / sizeof(sorts[0]); i++) {
        list_query_t q = { .limit = 1000, .sort = sorts[i] };

        for (size_t n = 1; n < 8; n++) {
            want = page_of(&q);
            q.cursor = want.next_cursor;
        }
        want = page_of(&q);
        q.cursor = NULL;
        q.page = 8;
        page = page_of(&q);
        cr_assert_eq(page.count, 1000);
        cr_expect_str_eq(page.rows[0], want.rows[0], "%s", sorts[i]);
        cr_expect_str_eq(page.next_cursor, want.next_cursor, "%s", sorts[i]);
    }
}

Test(list_cert, gives_the_fields_that_are_asked_for)
{
    list_query_t q = { .fields = "name,id" };
    list_page_t  page;
    list_row_t   row;

    issue_many(1);
    cr_expect_str_eq(page_of(&q).rows[0], "{\"id\" : \"mc-host-1\", \"name\" : \"host-1\"}");
    cr_assert_eq(list_one_by(db, arena, &list_certificates, &q, "mc-host-1", &row, &err), PKI_OK, "%s", err.text);
    cr_expect_str_eq(row.json, "{\"id\" : \"mc-host-1\", \"name\" : \"host-1\"}");
    cr_expect_not_null(row.version);
    for (size_t i = 0; i < 4; i++) {
        q.fields = ((const char *const[]){ "", "id,", "id,subject_der", "ID" })[i];
        cr_expect_eq(list_page(db, arena, &list_certificates, &q, &page, &err), PKI_E_INVALID, "\"%s\"", q.fields);
        cr_expect_eq(list_one_by(db, arena, &list_certificates, &q, "mc-host-1", &row, &err), PKI_E_INVALID);
    }
}

Test(list_cert, reads_many_rows_as_it_reads_each)
{
    const char      *ids[] = { "mc-host-2", "no-such", "mc-host-1", "mc-host-2", "mc-host-3" };
    const str_list_t asked = { ids, 5 };
    list_row_t       rows[5], one;

    issue_many(3);
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET name = E'quote \" and \\\\ and \\b\\f\\n\\r\\t\\x1f\\x7f \u00fc',"
                       " tags = '{\"app\": \"a\\\"b\", \"tier\": \"1\"}', sans = '{}', revoked_at = '1999-12-31 23:59:59.5Z',"
                       " revocation_reason = 1, status = 'Revoked' WHERE id = 'mc-host-2'"));
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET archived_at = '2026-01-02 03:04:05.999999Z', sans = '{\"dns:a\\\"\",\"x,y\"}'"
                       " WHERE id = 'mc-host-3'"));
    cr_assert_eq(list_many(db, arena, &list_certificates, &asked, rows, &err), PKI_OK, "%s", err.text);
    for (size_t i = 0; i < 5; i++) {
        if (i == 1) {
            cr_expect_null(rows[i].json);
            continue;
        }
        cr_assert_eq(list_one(db, arena, &list_certificates, NULL, ids[i], NULL, &one, &err), PKI_OK, "%s", err.text);
        cr_expect_str_eq(rows[i].json, one.json);
        cr_expect_str_eq(rows[i].version, one.version);
    }
}

Test(list_cert, counts_to_a_limit_and_says_when_it_estimates)
{
    list_query_t q = { .limit = 1 };
    list_page_t  page;

    store_issue(db, arena, "one", 1, DAY_S);
    PQclear(pg_sql(pg, "INSERT INTO managed_certificate (id, name, source, profile_id, issuer_no, subject, subject_der, sans,"
                       " status, expires_at, last_serial)"
                       " SELECT 'mc-' || n, 'n' || n, 'API', 'prof-device', 1, '', '', '{}', 'Active', now(), ''"
                       " FROM generate_series(2, 2000) n"));
    page = page_of(&q);
    cr_expect_eq(page.total, LIST_TOTAL_EXACT);
    cr_expect_not(page.total_estimated);
    PQclear(pg_sql(pg, "INSERT INTO managed_certificate (id, name, source, profile_id, issuer_no, subject, subject_der, sans,"
                       " status, expires_at, last_serial)"
                       " SELECT 'mc-' || n, 'n' || n, 'API', 'prof-device', 1, '', '', '{}', 'Active', now(), ''"
                       " FROM generate_series(2001, 30000) n"));
    PQclear(pg_sql(pg, "ANALYZE managed_certificate"));
    page = page_of(&q);
    cr_expect(page.total_estimated);
    cr_expect(page.total > 28000 && page.total < 32000, "%lld", (long long) page.total);
}

Test(list_cert, is_searched_by_names_once_they_are_filled_in)
{
    issue_many(3);
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET common_name = 'x', name = '100%% Sure_Thing\\' WHERE name = 'host-3'"));
    cr_expect_str_eq(found("q", "host"), "");
    fill();
    cr_expect_str_eq(found("q", "HOST-"), "host-1 host-2 ");
    cr_expect_str_eq(found("q", "hos"), "host-1 host-2 ");
    cr_expect_str_eq(found("q", "100% sure_t"), "100% Sure_Thing\\ ", "wildcards stand for themselves");
    cr_expect_str_eq(found("q", "thing\\"), "100% Sure_Thing\\ ");
    cr_expect_str_eq(found("q", "_host"), "");
    cr_expect_str_eq(found("san", "A.example"), "100% Sure_Thing\\ host-1 host-2 ");
    cr_expect_str_eq(found("san", "dns:a.example"), "100% Sure_Thing\\ host-1 host-2 ");
    cr_expect_str_eq(found("san", ".example"), "", "it is the whole name");
}

Test(list_cert, is_searched_from_the_start_of_a_word_on)
{
    static const struct {
        const char *q, *names;
    } cases[] = {
        { "ost", "" },
        { "ost-2", "" },
        { "host-2", "host-2 " },
        { "dns:a.ex", "(web) 10.0.0.7 Gr\u00f6\u00dfe-9f9f0a09867e host-1 host-2 " },
        { ".example", "(web) 10.0.0.7 Gr\u00f6\u00dfe-9f9f0a09867e host-1 host-2 " },
        { "web)", "(web) 10.0.0.7 " },
        { "(WEB) 10", "(web) 10.0.0.7 " },
        { "10.0.0", "(web) 10.0.0.7 " },
        { "10.0.7", "" },
        { "0.0.7", "(web) 10.0.0.7 " },
        { "10 0 0", "" },
        { "gr\u00f6\u00df", "Gr\u00f6\u00dfe-9f9f0a09867e " },
        { "\u00dfe-9f9f", "" },
        { "9f9f0a", "Gr\u00f6\u00dfe-9f9f0a09867e " },
        { "f9f0a", "" },
        { "host'", "" },
        { "host' | 'web", "" },
        { "host:*", "" },
        { "!host & web", "" },
        { "h_st", "" },
        { "host%", "" },
        { "host\\", "" },
        { "\u2026\u2026\u2026", "" },
    };

    issue_many(4);
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET common_name = 'x'"));
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET name = '(web) 10.0.0.7' WHERE name = 'host-3'"));
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET name = 'Gr\u00f6\u00dfe-9f9f0a09867e' WHERE name = 'host-4'"));
    fill();
    for (int known = 0; known < 2; known++) {
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            cr_expect_str_eq(found("q", cases[i].q), cases[i].names, "%s", cases[i].q);
        }
        PQclear(pg_sql(pg, "ANALYZE certificate_search")); /* and once more as words that are common are searched for */
    }
}

/* "ABAB...", n times. */
static const char *
repeated(const char *text, size_t n)
{
    pki_buf_t b;

    pki_buf_init(&b, arena, 1 << 16);
    while (n-- > 0) {
        pki_buf_put(&b, bytes_str(text));
    }
    pki_buf_put_u8(&b, '\0');
    return (const char *) b.p;
}

/* An index takes words of a limited length. */
Test(list_cert, is_searched_by_names_of_any_length)
{
    issue_many(2);
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET common_name = repeat('\u00e4', 600) || 'z' WHERE name = 'host-1'"));
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET sans = ARRAY[repeat('a.', 1000)] WHERE name = 'host-2'"));
    fill();
    cr_expect_str_eq(found("q", repeated("\u00c4", 300)), "host-1 ");
    cr_expect_str_eq(found("q", pki_printf(arena, "%sz", repeated("\u00e4", 600))), "host-1 ");
    cr_expect_str_eq(found("q", repeated("\u00e4", 601)), "");
    cr_expect_str_eq(found("q", repeated("a.", 900)), "host-2 ");
}

static pki_code_t
rename_run(db_conn_t *c, void *arg, pki_err_t *e)
{
    return search_update(c, arg, e);
}

Test(list_cert, is_found_by_a_new_name_at_once_and_by_new_alternative_names_after_a_turn)
{
    issue_many(1);
    fill();
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET name = 'renamed'"));
    cr_assert_eq(db_tx(db, rename_run, (void *) "mc-host-1", &err), PKI_OK, "%s", err.text);
    cr_expect_str_eq(found("q", "renamed"), "renamed ");
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET sans = '{dns:fresh.example}', updated_at = now()"));
    fill();
    cr_expect_str_eq(found("san", "fresh.example"), "renamed ");
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM certificate_search"), 1);
}

Test(list_cert, is_filled_again_from_before_the_oldest_transaction)
{
    search_begin_t b;
    PGconn        *late = pg_connect(url);

    PQclear(pg_sql(late, "BEGIN"));
    PQclear(pg_sql(late, "SELECT pg_sleep(1.2)"));
    cr_assert_eq(search_begin(db, &b, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(search_settle(db, b.settled, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(pg_number(late, "SELECT (at < now())::integer FROM search_position"), 1,
                 "a row that this transaction still writes is dated after what is settled");
    cr_assert_eq(search_settle(db, "2001-01-01", &err), PKI_OK, "%s", err.text);
    cr_expect_eq(pg_number(pg, "SELECT (at > '2020-01-01')::integer FROM search_position"), 1, "it never goes back");
    PQfinish(late);
}

Test(list_cert, is_filled_by_one_host_at_a_time)
{
    char    at[SEARCH_AT_MAX] = "-infinity";
    int64_t no = 0, rows;
    bool    busy;

    issue_many(1);
    PQclear(pg_sql(pg, "SELECT pg_advisory_lock(4850173420190143)"));
    cr_assert_eq(search_fill(db, at, &no, 10, &rows, &busy, &err), PKI_OK, "%s", err.text);
    cr_expect(busy);
    PQclear(pg_sql(pg, "SELECT pg_advisory_unlock(4850173420190143)"));
    cr_assert_eq(search_fill(db, at, &no, 10, &rows, &busy, &err), PKI_OK, "%s", err.text);
    cr_expect_not(busy);
    cr_expect_eq(rows, 1);
}
