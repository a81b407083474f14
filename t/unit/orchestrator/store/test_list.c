/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Lists: pages, orders, filters, and what hostile values do; and the rows of the small tables.
 */
#include "orchestrator/store/list.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>

#include "core/clock.h"
#include "orchestrator/store/actor.h"
#include "orchestrator/store/api_key.h"
#include "pkiproto/base/text.h"
#include "t/unit/lib/suite.h"

TestSuite(list, .init = setup_world, .fini = teardown, .timeout = 60);

static const list_resource_t *const all[] = {
    &list_issuers, &list_ca_certificates, &list_profiles, &list_certificates, &list_versions, &list_est_labels,
    &list_est_credentials,
    &list_api_keys, &list_audit, &list_jobs, &list_job_items, &list_teams, &list_owners, &list_renewal_policies,
    &list_policies, &list_violations, &list_roles, &list_accounts, &list_sessions, &list_certificate_identities,
    &list_audit_heads, &list_audit_export, &list_audit_logs,
};

static void
issue_many(uint32_t count)
{
    for (uint32_t i = 1; i <= count; i++) {
        char name[20];

        snprintf(name, sizeof(name), "host-%02u", i);
        store_issue(db, arena, name, i, DAY_S);
    }
}

/* Whole answers as JSON. */
static json_t *
page_json(const list_resource_t *r, const list_query_t *q)
{
    list_page_t page;
    pki_buf_t   b;
    json_t     *out;

    cr_assert_eq(list_page(db, arena, r, q, &page, &err), PKI_OK, "%s: %s", r->name, err.text);
    pki_buf_init(&b, arena, 1 << 20);
    cr_assert_eq(list_print(&page, &b, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(json_parse(pki_buf_bytes(&b), &out, &err), PKI_OK, "%s: %s", r->name, err.text);
    return out;
}

static const char *
name_at(const json_t *page, size_t i)
{
    return json_string_value(json_object_get(json_array_get(json_object_get(page, "data"), i), "name"));
}

Test(list, runs_every_column_filter_and_order_of_every_resource)
{
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const list_resource_t *r = all[i];
        const char            *parent = r->parent != NULL ? "x" : NULL;
        list_row_t             row;

        for (const list_sort_t *s = r->sorts; s->name != NULL; s++) {
            list_query_t q = { .sort = s->name, .parent = parent };

            json_decref(page_json(r, &q));
        }
        for (const list_filter_t *f = r->filters; f->name != NULL; f++) {
            const char  *value = f->choices != NULL      ? f->choices[0]
                                 : f->least > 0         ? "abc"
                                 : f->type == LIST_TIME ? "2026-11-20T12:00:00Z"
                                 : f->type == LIST_DAY  ? "2026-11-20"
                                 : f->type == LIST_BOOL ? "true"
                                 : f->type == LIST_INT  ? "1"
                                                        : "ab";
            list_arg_t   arg = { f->name, value };
            list_query_t q = { .args = &arg, .arg_count = 1, .parent = parent };

            json_decref(page_json(r, &q));
        }
        cr_expect_eq(list_one(db, arena, r, parent, "no-such", NULL, &row, &err), PKI_E_NOT_FOUND, "%s: %s",
                     r->name, err.text);
    }
}

static size_t
walk(const char *sort, bool descending, size_t limit)
{
    list_query_t q = { .limit = (int64_t) limit, .sort = sort };
    const char  *last = NULL;
    size_t       seen = 0;

    do {
        json_t *page = page_json(&list_certificates, &q);
        json_t *data = json_object_get(page, "data"), *next = json_object_get(page, "next_cursor");

        cr_expect_eq(json_integer_value(json_object_get(page, "total")), 23);
        cr_assert_leq(json_array_size(data), limit);
        for (size_t i = 0; i < json_array_size(data); i++, seen++) {
            const char *name = pki_strdup(arena, name_at(page, i));

            cr_expect(last == NULL || (strcmp(name, last) > 0) != descending, "%s after %s", name, last);
            last = name;
        }
        q.cursor = json_is_null(next) ? NULL : pki_strdup(arena, json_string_value(next));
        json_decref(page);
    } while (q.cursor != NULL);
    return seen;
}

Test(list, walks_every_row_once_in_every_order)
{
    static const struct {
        const char *sort;
        bool        descending;
    } orders[] = { { NULL, true }, { "", true }, { "name", false }, { "-name", true }, { "created", false } };

    issue_many(23);
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        for (size_t limit = 1; limit < 30; limit += 7) {
            cr_expect_eq(walk(orders[i].sort, orders[i].descending, limit), 23);
        }
    }
    /* Equal sort keys: the unique key decides. */
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET expires_at = '2030-01-01'"));
    cr_expect_eq(walk("expires_at", false, 4), 23);
    cr_expect_eq(walk("-expires_at", true, 4), 23);
}

Test(list, keeps_its_place_while_rows_come)
{
    list_query_t q = { .limit = 2 };
    list_page_t  page;

    issue_many(4);
    cr_assert_eq(list_page(db, arena, &list_certificates, &q, &page, &err), PKI_OK);
    store_issue(db, arena, "later", 99, DAY_S);
    q.cursor = page.next_cursor;
    cr_assert_eq(list_page(db, arena, &list_certificates, &q, &page, &err), PKI_OK);
    cr_assert_eq(page.count, 2);
    cr_expect_not_null(strstr(page.rows[0], "host-02"));
    cr_expect_null(page.next_cursor);
}

/* Filters over host-01 .. host-05, of which 02 is revoked and 03 has expired: how many remain. */
typedef struct {
    const char *name, *value;
    int64_t     total; /* -1: INVALID */
} filter_t;

static const filter_t filter_cases[] = {
    { "status", "Active", 0 },
    { "status", "Expiring", 3 },
    { "status", "Revoked", 1 },
    { "status", "Expired", 1 },
    { "status", "active", -1 },
    { "source", "EST", 5 },
    { "source", "API", 0 },
    { "issuer_id", "iss-local", 5 },
    { "issuer_id", "iss-other", 0 },
    { "profile_id", "prof-device", 5 },
    { "name", "host-04", 1 },
    { "name", "host-04' OR 'x'='x", 0 },
    { "name", "", 0 },
    { "common_name", "host-04", 1 },
    { "id", "mc-host-01", 1 },
    { "owner_id", "owner-nobody", 0 },
    { "serial", "100000015a5a5a5a5a5a5a5a5a5a5a5a", 1 },
    { "serial", "100000FF5A5A5A5A5A5A5A5A5A5A5A5A", 0 },
    { "serial", "", -1 },
    { "serial", "0x01", -1 },
    { "expires_before", "2001-01-01T00:00:00Z", 0 },
    { "expires_after", "2001-01-01T00:00:00+02:00", 5 },
    { "expires_after", "yesterday", -1 },
    { "expires_after", "", -1 },
    { "nonsense", "1", -1 },
    { "m.id = m.id OR 'a'", "a", -1 },
};

/* Tests run in processes of their own, to which only numbers are carried over. */
ParameterizedTestParameters(list, filters)
{
    static int index[sizeof(filter_cases) / sizeof(filter_cases[0])];

    for (size_t i = 0; i < sizeof(index) / sizeof(index[0]); i++) {
        index[i] = (int) i;
    }
    return cr_make_param_array(int, index, sizeof(index) / sizeof(index[0]));
}

ParameterizedTest(int *at, list, filters)
{
    const filter_t *f = &filter_cases[*at];
    list_arg_t   arg = { f->name, f->value };
    list_query_t q = { .args = &arg, .arg_count = 1 };
    list_page_t  page;

    issue_many(5);
    cr_assert_eq(store_revoke(db, arena, "host-02", 0, 1, NULL), PKI_OK);
    PQclear(pg_sql(pg, "UPDATE managed_certificate SET expires_at = now() WHERE name = 'host-03'"));
    if (f->total < 0) {
        cr_expect_eq(list_page(db, arena, &list_certificates, &q, &page, &err), PKI_E_INVALID, "%s=%s",
                     f->name, f->value);
        return;
    }
    cr_assert_eq(list_page(db, arena, &list_certificates, &q, &page, &err), PKI_OK, "%s=%s: %s", f->name,
                 f->value, err.text);
    cr_expect_eq(page.total, f->total, "%s=%s: %lld", f->name, f->value, (long long) page.total);
    cr_expect_eq(page.count, (size_t) f->total);
}

Test(list, finds_a_serial_however_it_is_written)
{
    static const char *const spellings[] = { "8f01", "008f01", "8F:01", "00008f01", "0:08F:01" };
    cert_record_t in = store_cert(arena, "one", 1, DAY_S);
    bool          won;

    in.serial = bytes_of("\x00\x8f\x01", 3); /* an INTEGER with its first bit set has a zero before it */
    cr_assert_eq(cert_record(db, &in, &won, &err), PKI_OK, "%s", err.text);
    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
        list_arg_t   arg = { "serial", spellings[i] };
        list_query_t q = { .args = &arg, .arg_count = 1 };
        json_t      *page = page_json(&list_certificates, &q);

        cr_expect_eq(json_integer_value(json_object_get(page, "total")), 1, "%s", spellings[i]);
        json_decref(page);
    }
}

Test(list, refuses_bad_limits_orders_and_cursors)
{
    static const list_query_t bad[] = {
        {.limit = -1},
        {.limit = LIST_LIMIT_MAX + 1},
        {.sort = "owner_id"},
        {.sort = "-"},
        {.sort = "name; DROP TABLE issuer"},
        {.cursor = "!"},
        {.cursor = "abc"},
        {.cursor = "LWNyZWF0ZWQ"},
        {.cursor = "LWNyZWF0ZWQfeB8feA" /* "-created", "x", "", "x" */},
        {.cursor = "bmFtZR8xHx9h" /* "name", "1", "", "a" */},
    };
    list_page_t page;

    issue_many(3);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_expect_eq(list_page(db, arena, &list_certificates, &bad[i], &page, &err), PKI_E_INVALID,
                     "case %zu", i);
    }
}

Test(list, renders_a_row_as_its_columns_say)
{
    list_row_t  found;
    json_t     *row;

    store_issue(db, arena, "one", 1, DAY_S);
    cr_assert_eq(store_revoke(db, arena, "one", 0, 1, NULL), PKI_OK);
    cr_assert_eq(list_one(db, arena, &list_certificates, NULL, "mc-one", NULL, &found, &err), PKI_OK, "%s",
                 err.text);
    cr_assert_eq(json_parse(bytes_str(found.json), &row, &err), PKI_OK, "%s", err.text);
    cr_expect_str_eq(json_string_value(json_object_get(row, "serial")), "100000015a5a5a5a5a5a5a5a5a5a5a5a");
    cr_expect_str_eq(json_string_value(json_object_get(row, "revocation_reason")), "keyCompromise");
    cr_expect_str_eq(json_string_value(json_object_get(row, "status")), "Revoked");
    cr_expect_str_eq(json_string_value(json_array_get(json_object_get(row, "sans"), 0)), "dns:a.example");
    cr_expect(json_is_null(json_object_get(row, "owner_id")));
    cr_expect_eq(strlen(json_string_value(json_object_get(row, "created_at"))), RFC3339_LEN);
    json_decref(row);
}

Test(list, leaves_out_what_is_outside_of_a_scope)
{
    const char  *other[] = { "prof-other" }, *device[] = { "prof-device" };
    scope_t      nothing = { 0 }, everything = { .all = true }, elsewhere = { 0 }, here = { 0 };
    const struct {
        const scope_t *scope;
        size_t         rows;
    } cases[] = { { NULL, 1 }, { &everything, 1 }, { &nothing, 0 }, { &elsewhere, 0 }, { &here, 1 } };

    elsewhere.ids[SCOPE_PROFILE] = (str_list_t){ other, 1 };
    here.ids[SCOPE_TEAM] = (str_list_t){ other, 1 };
    here.ids[SCOPE_PROFILE] = (str_list_t){ device, 1 };
    store_issue(db, arena, "one", 1, DAY_S);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        list_query_t q = { .scope = cases[i].scope };
        json_t      *page = page_json(&list_certificates, &q);
        list_row_t   row;

        cr_expect_eq(json_array_size(json_object_get(page, "data")), cases[i].rows, "case %zu", i);
        cr_expect_eq(json_integer_value(json_object_get(page, "total")), (json_int_t) cases[i].rows, "case %zu", i);
        cr_expect_eq(list_one(db, arena, &list_certificates, NULL, "mc-one", cases[i].scope, &row, &err),
                     cases[i].rows == 1 ? PKI_OK : PKI_E_NOT_FOUND, "case %zu", i);
        json_decref(page);
    }
}

Test(list, gives_versions_of_one_certificate_with_pem)
{
    list_query_t q = { .parent = "mc-one" };
    json_t      *page, *row;
    char         der[100];

    memset(der, 'A', sizeof(der));
    store_issue(db, arena, "two", 9, DAY_S);
    store_issue(db, arena, "one", 1, DAY_S);
    {
        cert_record_t in = store_cert(arena, "one", 2, DAY_S);
        bool          won;

        in.der = bytes_of(der, sizeof(der));
        cr_assert_eq(cert_record(db, &in, &won, &err), PKI_OK, "%s", err.text);
    }
    page = page_json(&list_versions, &q);
    cr_expect_eq(json_integer_value(json_object_get(page, "total")), 2);
    row = json_array_get(json_object_get(page, "data"), 0);
    cr_expect_str_eq(json_string_value(json_object_get(row, "status")), "good");
    cr_expect_str_eq(json_string_value(json_object_get(row, "pem")),
                     "-----BEGIN CERTIFICATE-----\n"
                     "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB\n"
                     "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB\n"
                     "QUFBQQ==\n-----END CERTIFICATE-----\n");
    json_decref(page);
}

TestSuite(rows, .init = setup_world, .fini = teardown, .timeout = 60);

Test(rows, of_issuers_come_with_their_chain)
{
    issuer_chain_t *list, one;
    size_t          n;
    uint32_t        no;

    cr_assert_eq(issuer_row_list(db, arena, &list, &n, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(n, 1);
    cr_assert_eq(list[0].chain_len, 2);
    cr_expect_str_eq(list[0].chain[0].key_ref, "file:issuing");
    cr_expect_null(list[0].chain[1].key_ref);
    cr_expect(bytes_eq(list[0].chain[1].der, bytes_str("root")));
    cr_assert_eq(issuer_row_find(db, arena, "iss-local", &one, &err), PKI_OK);
    cr_expect_str_eq(one.issuer.config, "{}");
    cr_expect_eq(issuer_row_find(db, arena, "iss-none", &one, &err), PKI_E_NOT_FOUND);
    cr_expect_eq(issuer_row_find(db, arena, NULL, &one, &err), PKI_E_NOT_FOUND);
    cr_assert_eq(issuer_row_find_generation(db, arena, 1, 1, &one, &err), PKI_OK);
    cr_assert_eq(issuer_row_enable(db, "iss-local", false, NULL, &err), PKI_OK);
    cr_assert_eq(issuer_row_find_generation(db, arena, 1, 1, &one, &err), PKI_OK);
    cr_expect_not(one.issuer.enabled);
    cr_expect_eq(issuer_row_insert(db, &one, NULL, &err), PKI_E_CONFLICT);
    cr_assert_eq(issuer_no_next(db, &no, &err), PKI_OK, "%s", err.text);
    cr_expect_gt(no, 0);
}

Test(rows, of_profiles_can_be_changed_and_deleted_unless_used)
{
    profile_row_t p, q;

    cr_assert_eq(profile_find(db, arena, "prof-device", &p, &err), PKI_OK, "%s", err.text);
    cr_expect_str_eq(p.key_kinds.v[1], "rsa");
    cr_expect_eq(profile_insert(db, &p, NULL, &err), PKI_E_CONFLICT);
    cr_expect_eq(profile_delete(db, "prof-device", NULL, &err), PKI_E_CONFLICT, "a label uses it");
    q = p;
    q.id = "prof-other";
    q.name = "other";
    q.dns_patterns = (str_list_t){ (const char *[]){ "*.example", "x,\"{y}\"" }, 2 };
    cr_assert_eq(profile_insert(db, &q, NULL, &err), PKI_OK, "%s", err.text);
    q.validity_s = 99;
    cr_assert_eq(profile_update(db, &q, NULL, NULL, &err), PKI_OK);
    cr_assert_eq(profile_find(db, arena, "prof-other", &p, &err), PKI_OK);
    cr_expect_eq(p.validity_s, 99);
    cr_expect_str_eq(p.dns_patterns.v[1], "x,\"{y}\"");
    q.id = "prof-none";
    cr_expect_eq(profile_update(db, &q, NULL, NULL, &err), PKI_E_NOT_FOUND);
    q.id = "NOT AN ID";
    cr_expect_eq(profile_insert(db, &q, NULL, &err), PKI_E_INVALID);
    cr_assert_eq(profile_delete(db, "prof-other", NULL, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(profile_delete(db, "prof-other", NULL, &err), PKI_E_NOT_FOUND);
    cr_expect_gt(pg_number(pg, "SELECT count(*) FROM change_feed WHERE kind = 'config'"), 3);
}

Test(rows, of_labels_have_one_default)
{
    est_label_row_t l, m;

    cr_assert_eq(est_label_find_name(db, arena, "devices", &l, &err), PKI_OK, "%s", err.text);
    cr_expect_str_eq(l.issuer_id, "iss-local");
    cr_expect_eq(l.issuer_no, 1);
    m = l;
    m.id = "est-two";
    m.name = "two";
    cr_expect_eq(est_label_insert(db, &m, NULL, &err), PKI_E_CONFLICT, "two defaults");
    m.is_default = false;
    m.issuer_id = "iss-none";
    cr_expect_eq(est_label_insert(db, &m, NULL, &err), PKI_E_INVALID);
    m.issuer_id = "iss-local";
    m.profile_id = "prof-none";
    cr_expect_eq(est_label_insert(db, &m, NULL, &err), PKI_E_INVALID);
    m.profile_id = "prof-device";
    cr_assert_eq(est_label_insert(db, &m, NULL, &err), PKI_OK, "%s", err.text);
    m.trust_pem = "PEM";
    cr_assert_eq(est_label_update(db, &m, NULL, NULL, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(est_label_find(db, arena, "est-two", &l, &err), PKI_OK);
    cr_expect_str_eq(l.trust_pem, "PEM");
    cr_assert_eq(est_label_delete(db, "est-two", NULL, &err), PKI_OK);
    cr_expect_eq(est_label_find(db, arena, "est-two", &l, &err), PKI_E_NOT_FOUND);
}

Test(rows, of_credentials_are_live_one_a_user)
{
    est_credential_row_t  c = {.id = "cred-1",
                               .label_id = "est-devices",
                               .user_name = "device",
                               .kind = "sha256",
                               .digest = bytes_str("digest")};
    est_credential_row_t  s = {.id = "cred-2",
                               .label_id = "est-devices",
                               .user_name = "person",
                               .kind = "scrypt",
                               .digest = bytes_str("hash"),
                               .salt = bytes_str("salt"),
                               .scrypt_n = 16384,
                               .scrypt_r = 8,
                               .scrypt_p = 1,
                               .expires_at = clock_now() + 3600};
    est_credential_row_t *list, found;
    size_t                n;

    cr_assert_eq(est_credential_insert(db, &c, NULL, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(est_credential_insert(db, &s, NULL, &err), PKI_OK, "%s", err.text);
    c.id = "cred-3";
    cr_expect_eq(est_credential_insert(db, &c, NULL, &err), PKI_E_CONFLICT);
    cr_assert_eq(est_credential_list(db, arena, NULL, &list, &n, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(n, 2);
    cr_expect_str_eq(list[0].label_name, "devices");
    cr_assert_eq(est_credential_find(db, arena, "est-devices", "person", &found, &err), PKI_OK, "%s",
                 err.text);
    cr_expect(found.scrypt_n == 16384 && bytes_eq(found.salt, bytes_str("salt")));
    cr_assert_eq(est_credential_revoke(db, "est-devices", "cred-1", NULL, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(est_credential_revoke(db, "est-devices", "cred-1", NULL, &err), PKI_E_NOT_FOUND);
    cr_assert_eq(est_credential_insert(db, &c, NULL, &err), PKI_OK, "the name is free again: %s", err.text);
    PQclear(pg_sql(pg, "UPDATE est_credential SET expires_at = now() WHERE id = 'cred-3'"));
    cr_expect_eq(est_credential_find(db, arena, "est-devices", "device", &found, &err), PKI_E_NOT_FOUND);
    c.id = "cred-4";
    cr_assert_eq(est_credential_insert(db, &c, NULL, &err), PKI_OK, "an expired one makes room: %s",
                 err.text);
    c.label_id = "est-none";
    c.id = "cred-5";
    cr_expect_eq(est_credential_insert(db, &c, NULL, &err), PKI_E_NOT_FOUND);
}

Test(rows, of_api_keys_are_found_while_they_live)
{
    uint8_t       digest[32] = { 1 }, other[32] = { 2 };
    api_key_row_t key = { .id = "key-1", .name = "k", .digest = BYTES_ARR(digest),
                          .permissions = { (const char *[]){ "*" }, 1 } };
    actor_row_t   found;

    cr_assert_eq(api_key_insert(db, &key, NULL, NULL, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(actor_of_key(db, arena, BYTES_ARR(digest), &found, &err), PKI_OK, "%s", err.text);
    cr_expect_str_eq(found.id, "key-1");
    cr_expect_str_eq(found.type, "api_key");
    cr_expect_str_eq(found.permissions.v[0], "*");
    cr_expect_eq(found.used_at, 0);
    cr_expect_eq(actor_of_key(db, arena, BYTES_ARR(other), &found, &err), PKI_E_NOT_FOUND);
    cr_assert_eq(api_key_touch(db, "key-1", &err), PKI_OK, "%s", err.text);
    cr_assert_eq(actor_of_key(db, arena, BYTES_ARR(digest), &found, &err), PKI_OK);
    cr_expect_neq(found.used_at, 0);
    cr_assert_eq(api_key_rotate(db, "key-1", BYTES_ARR(other), 60, NULL, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(actor_of_key(db, arena, BYTES_ARR(digest), &found, &err), PKI_OK, "the one before is good for a while");
    cr_expect_leq(found.expires_at, clock_now() + 60);
    cr_assert_eq(actor_of_key(db, arena, BYTES_ARR(other), &found, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(found.expires_at, 0);
    cr_assert_eq(api_key_revoke(db, "key-1", NULL, &err), PKI_OK);
    cr_expect_eq(actor_of_key(db, arena, BYTES_ARR(other), &found, &err), PKI_E_NOT_FOUND);
    cr_expect_eq(actor_of_key(db, arena, BYTES_ARR(digest), &found, &err), PKI_E_NOT_FOUND);
}
