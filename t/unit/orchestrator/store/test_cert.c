/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Recording certificates, transaction keys and revocation.
 */
#include "orchestrator/store/cert.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <pthread.h>
#include <stdio.h>

#include "core/clock.h"
#include "t/unit/lib/suite.h"

TestSuite(cert, .init = setup_world, .fini = teardown, .timeout = 60);

static cert_prior_t
prior(bytes_t key, const char *managed_id, bytes_t presented)
{
    cert_prior_ask_t ask = { .transaction_key = key, .window_s = 3600, .managed_id = managed_id,
                             .presented_issuer_no = 1, .presented_serial = presented };
    cert_prior_t     out;

    cr_assert_eq(cert_prior(db, arena, &ask, &out, &err), PKI_OK, "%s", err.text);
    return out;
}

Test(cert, is_recorded_with_everything_that_belongs_to_it)
{
    managed_row_t m;
    version_row_t v;

    store_issue(db, arena, "one", 7, DAY_S);
    cr_assert_eq(cert_find(db, arena, "mc-one", &m, &err), PKI_OK, "%s", err.text);
    cr_expect_str_eq(m.name, "one");
    cr_expect_str_eq(m.source, "EST");
    cr_expect_str_eq(m.issuer_id, "iss-local");
    cr_expect_str_eq(m.status, "Active");
    cr_expect_str_eq(m.sans.v[0], "dns:a.example");
    cr_expect(bytes_eq(m.last_serial, store_serial(arena, 7)));
    cr_assert_eq(cert_version_find(db, arena, CERT_ANY_ISSUER, store_serial(arena, 7), &v, &err), PKI_OK);
    cr_expect_str_eq(v.managed_id, "mc-one");
    cr_expect_str_eq(v.state, "good");
    cr_expect_eq(v.reason, -1);
    cr_expect(bytes_eq(v.der, bytes_str("der 7")));
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM audit_event WHERE action = 'certificate.issue'"), 1);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM change_feed WHERE kind = 'status'"), 1);
    cr_expect_eq(cert_find(db, arena, "mc-other", &m, &err), PKI_E_NOT_FOUND);
    cr_expect_eq(cert_find(db, arena, NULL, &m, &err), PKI_E_NOT_FOUND);
    cr_expect_eq(cert_version_find(db, arena, 2, store_serial(arena, 7), &v, &err), PKI_E_NOT_FOUND);
}

Test(cert, gains_a_version_when_it_is_enrolled_again)
{
    version_row_t *v;
    managed_row_t  m;
    size_t         n;

    store_issue(db, arena, "one", 7, DAY_S);
    store_issue(db, arena, "one", 8, 2 * DAY_S);
    cr_assert_eq(cert_versions(db, arena, "mc-one", 10, &v, &n, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(n, 2);
    cr_expect(bytes_eq(v[0].serial, store_serial(arena, 8)), "newest first");
    cr_assert_eq(cert_find(db, arena, "mc-one", &m, &err), PKI_OK);
    cr_expect(bytes_eq(m.last_serial, store_serial(arena, 8)));
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM managed_certificate"), 1);
}

Test(cert, tells_what_is_known_before_a_signature)
{
    cert_record_t in = store_cert(arena, "one", 7, DAY_S);
    cert_prior_t  p = prior(bytes_str("key"), "mc-one", store_serial(arena, 7));
    bool          won;

    cr_expect(!p.repeated && !p.presented_known);
    cr_expect_null(p.managed_status);

    in.transaction_key = bytes_str("key");
    cr_assert_eq(cert_record(db, &in, &won, &err), PKI_OK, "%s", err.text);
    p = prior(bytes_str("key"), "mc-one", store_serial(arena, 7));
    cr_expect(p.repeated && p.presented_known);
    cr_expect(bytes_eq(p.der, bytes_str("der 7")));
    cr_expect_str_eq(p.repeated_id, "mc-one");
    cr_expect_str_eq(p.managed_status, "Active");
    cr_expect_str_eq(p.presented_id, "mc-one");
    cr_expect_str_eq(p.presented_state, "good");
    cr_expect(bytes_eq(p.presented_fingerprint, bytes_str("fingerprint 7")));
    cr_expect_eq(p.presented_not_after, in.not_after);
    cr_expect_eq(p.superseded_at, 0);

    store_issue(db, arena, "one", 8, DAY_S);
    p = prior(BYTES_NONE, "mc-one", store_serial(arena, 7));
    cr_expect(!p.repeated);
    cr_expect_lt(clock_now() - p.superseded_at, 10);
    cr_assert_eq(store_revoke(db, arena, "one", 7, 1, NULL), PKI_OK);
    cr_expect_str_eq(prior(BYTES_NONE, "mc-one", store_serial(arena, 7)).presented_state, "revoked");
}

Test(cert, is_recorded_once_for_a_transaction_key)
{
    cert_record_t first = store_cert(arena, "one", 7, DAY_S), second = store_cert(arena, "one", 8, 2 * DAY_S);
    managed_row_t m;
    bool          won;

    first.transaction_key = second.transaction_key = bytes_str("key");
    cr_assert_eq(cert_record(db, &first, &won, &err), PKI_OK, "%s", err.text);
    cr_expect(won);
    cr_assert_eq(cert_record(db, &second, &won, &err), PKI_OK, "%s", err.text);
    cr_expect_not(won);
    cr_assert_eq(cert_find(db, arena, "mc-one", &m, &err), PKI_OK);
    cr_expect(bytes_eq(m.last_serial, first.serial), "nothing of the loser is written");
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM certificate_version"), 1);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM audit_event"), 1);
}

Test(cert, may_use_a_transaction_key_again_after_the_window)
{
    cert_record_t in = store_cert(arena, "one", 7, DAY_S);
    bool          won;

    in.transaction_key = bytes_str("key");
    cr_assert_eq(cert_record(db, &in, &won, &err), PKI_OK, "%s", err.text);
    PQclear(pg_sql(pg, "UPDATE issuance_key SET created_at = now() - interval '2 hours'"));
    cr_expect_not(prior(bytes_str("key"), "mc-one", BYTES_NONE).repeated);
    in = store_cert(arena, "one", 8, DAY_S);
    in.transaction_key = bytes_str("key");
    cr_assert_eq(cert_record(db, &in, &won, &err), PKI_OK, "%s", err.text);
    cr_expect(won);
    cr_expect(bytes_eq(prior(bytes_str("key"), "mc-one", BYTES_NONE).serial, store_serial(arena, 8)));
}

/* Threads that race for each of several keys. */
#define RACERS 6
#define KEYS   40

typedef struct {
    int    who;
    size_t won;
} racer_t;

static void *
race(void *arg)
{
    racer_t     *r = arg;
    pki_arena_t *a = pki_arena_new(0);

    for (uint32_t k = 0; k < KEYS; k++) {
        cert_record_t in = store_cert(a, "raced", 1000 * (k + 1) + (uint32_t) r->who, DAY_S);
        bool          won = false;

        in.transaction_key = bytes_str(pki_printf(a, "key %u", k));
        cr_expect_eq(cert_record(db, &in, &won, NULL), PKI_OK);
        r->won += won;
    }
    pki_arena_free(a);
    return NULL;
}

Test(cert, has_one_winner_when_many_race_for_a_key)
{
    racer_t   racer[RACERS] = { { 0 } };
    pthread_t t[RACERS];
    size_t    won = 0;

    for (int i = 0; i < RACERS; i++) {
        racer[i].who = i;
        pthread_create(&t[i], NULL, race, &racer[i]);
    }
    for (int i = 0; i < RACERS; i++) {
        pthread_join(t[i], NULL);
        won += racer[i].won;
    }
    cr_expect_eq(won, KEYS);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM certificate_version"), KEYS);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM change_feed WHERE kind = 'status'"), KEYS);
    cr_expect_eq(
        pg_number(pg,
                  "SELECT count(*) FROM issuance_key k JOIN certificate_version v USING (issuer_no, serial)"),
        KEYS);
}

/* Many that record at the same time. */
#define CROWD 24

typedef struct {
    uint32_t   who;
    pki_code_t rc;
    bool       won;
} member_t;

static void *
join_crowd(void *arg)
{
    member_t     *m = arg;
    pki_arena_t  *a = pki_arena_new(0);
    cert_record_t in = store_cert(a, pki_printf(a, "member-%u", m->who), 100 + m->who, DAY_S);

    m->rc = cert_record(db, &in, &m->won, NULL);
    pki_arena_free(a);
    return NULL;
}

Test(cert, fails_alone_in_a_batch)
{
    cert_record_t in[CROWD];
    db_item_t     item[CROWD];
    bool          won[CROWD];

    store_issue(db, arena, "one", 7, DAY_S);
    for (uint32_t i = 0; i < CROWD; i++) {
        in[i] = store_cert(arena, pki_printf(arena, "member-%u", i), 100 + i, DAY_S);
        if (i % 3 == 0) {
            in[i].managed.name = "one"; /* taken */
        }
        item[i] = (db_item_t){ .in = &in[i], .out = &won[i] };
    }
    cert_record_many(db, item, CROWD, db_deadline(db));
    for (uint32_t i = 0; i < CROWD; i++) {
        cr_expect_eq(item[i].code, i % 3 == 0 ? PKI_E_CONFLICT : PKI_OK, "member %u: %s", i, item[i].err.text);
        cr_expect(item[i].code != PKI_OK || won[i]);
    }
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM certificate_version"), 1 + CROWD * 2 / 3);
    cr_expect_eq(
        pg_number(
            pg, "SELECT count(*) FROM managed_certificate m JOIN certificate_version v ON v.managed_no = m.no"
                " AND v.serial = m.last_serial AND convert_from(subject_der, 'UTF8') = m.name"),
        1 + CROWD * 2 / 3, "every value is in its own row");
}

Test(cert, records_a_batch_in_one_commit)
{
    cert_record_t in[CROWD];
    db_item_t     item[CROWD];
    bool          won[CROWD];

    for (uint32_t i = 0; i < CROWD; i++) {
        in[i] = store_cert(arena, pki_printf(arena, "member-%u", i), 100 + i, DAY_S);
        item[i] = (db_item_t){ .in = &in[i], .out = &won[i] };
    }
    cert_record_many(db, item, CROWD, db_deadline(db));
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM certificate_version"), CROWD);
    cr_expect_eq(pg_number(pg, "SELECT count(DISTINCT xid) FROM change_feed WHERE kind = 'status'"), 1);
}

Test(cert, is_unavailable_in_time_when_the_server_hangs_under_many)
{
    member_t  member[CROWD] = { { 0 } };
    pthread_t t[CROWD];
    int64_t   start;

    db_close(db);
    db = pg_pool(url, 8, 800);
    pg_cluster_command("pause");
    start = clock_mono_us();
    for (uint32_t i = 0; i < CROWD; i++) {
        member[i].who = i;
        pthread_create(&t[i], NULL, join_crowd, &member[i]);
    }
    for (uint32_t i = 0; i < CROWD; i++) {
        pthread_join(t[i], NULL);
        cr_expect_eq(member[i].rc, PKI_E_UNAVAILABLE);
    }
    cr_expect_lt(clock_mono_us() - start, 2000000);
    pg_cluster_command("resume");
    store_issue(db, arena, "afterwards", 7, DAY_S);
}

#define ASKED 50

Test(cert, answers_each_question_of_a_batch_to_who_asked)
{
    cert_prior_ask_t ask[ASKED];
    cert_prior_t     out[ASKED];
    db_item_t        item[ASKED];

    for (uint32_t i = 0; i < ASKED; i++) {
        const char *name = pki_printf(arena, "asked-%u", i);

        store_issue(db, arena, name, i, DAY_S);
        ask[i] = (cert_prior_ask_t){ .window_s = 3600, .managed_id = pki_printf(arena, "mc-%s", name),
                                     .presented_issuer_no = 1, .presented_serial = store_serial(arena, i) };
        item[ASKED - 1 - i] = (db_item_t){ .in = &ask[i], .out = &out[i], .a = arena };
    }
    cert_prior_many(db, item, ASKED, db_deadline(db));
    for (uint32_t i = 0; i < ASKED; i++) {
        cr_assert_eq(item[i].code, PKI_OK);
        cr_expect_str_eq(out[i].managed_name, ask[i].managed_id + 3);
        cr_expect_str_eq(out[i].presented_id, ask[i].managed_id);
    }
}

Test(cert, reports_a_name_that_another_has)
{
    cert_record_t in = store_cert(arena, "one", 7, DAY_S);
    bool          won;

    store_issue(db, arena, "one", 6, DAY_S);
    in.managed.id = "mc-two";
    cr_expect_eq(cert_record(db, &in, &won, &err), PKI_E_CONFLICT);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM certificate_version"), 1);
}

Test(cert, refuses_the_same_serial_twice)
{
    cert_record_t in = store_cert(arena, "two", 7, DAY_S);
    bool          won;

    store_issue(db, arena, "one", 7, DAY_S);
    cr_expect_eq(cert_record(db, &in, &won, &err), PKI_E_CONFLICT);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM managed_certificate"), 1);
}

/* There is no foreign key to do it: migration 0003. */
Test(cert, keeps_its_profile_and_its_issuer)
{
    cert_record_t in = store_cert(arena, "two", 8, DAY_S);
    PGresult     *res;
    bool          won = true;

    store_issue(db, arena, "one", 7, DAY_S);
    PQclear(pg_sql(pg, "DELETE FROM est_label"));
    cr_expect_eq(profile_delete(db, "prof-device", NULL, &err), PKI_E_CONFLICT);
    res = PQexec(pg, "DELETE FROM issuer");
    cr_expect_str_eq(PQresultErrorField(res, PG_DIAG_SQLSTATE), "23503");
    PQclear(res);

    in.transaction_key = bytes_str("key");
    in.managed.profile_id = "prof-gone";
    cr_assert_eq(cert_record(db, &in, &won, &err), PKI_OK, "%s", err.text);
    cr_expect_not(won);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM certificate_version"), 1);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM issuance_key WHERE txn_key = 'key'"), 0);
}

Test(cert, has_an_id_per_source_label_and_subject)
{
    char id[5][CERT_MANAGED_ID_LEN + 1];

    cert_managed_id("EST", "est-a", bytes_str("subject"), id[0]);
    cert_managed_id("EST", "est-a", bytes_str("subject"), id[1]);
    cert_managed_id("EST", "est-b", bytes_str("subject"), id[2]);
    cert_managed_id("EST", "est-", bytes_str("asubject"), id[3]);
    cert_managed_id("API", "est-a", bytes_str("subject"), id[4]);
    cr_expect_str_eq(id[0], id[1]);
    for (int i = 2; i < 5; i++) {
        cr_expect_str_neq(id[0], id[i]);
    }
    cr_expect_str_eq(id[0], "mc-015de4e1e4cedd40b9a4", "printf 'EST\\0est-a\\0subject' | sha256sum");
}

Test(cert, has_a_bounded_name_that_is_utf8)
{
    char  cn[201];
    char *name;

    memset(cn, 'x', 200);
    cn[200] = '\0';
    memcpy(cn + 63, "\xc3\xa9", 2); /* straddles the cut */
    name = cert_managed_name(arena, "devices", cn, "mc-0123456789abcdef0123");
    cr_expect_eq(strlen(name), 8 + 63 + 13);
    cr_expect_str_eq(name + 8 + 63, "/0123456789ab");
    cr_expect_str_eq(cert_managed_name(arena, "d", NULL, "mc-0123456789abcdef0123"),
                     "d/unnamed/0123456789ab");
}

Test(cert, is_expired_when_its_time_is_over)
{
    managed_row_t m;

    store_issue(db, arena, "old", 7, 1800);
    cr_assert_eq(cert_find(db, arena, "mc-old", &m, &err), PKI_OK);
    cr_expect_str_eq(m.status, "Expired");
}

TestSuite(revocation, .init = setup_world, .fini = teardown, .timeout = 60);

static status_row_t
status_of(uint32_t serial)
{
    status_row_t s;

    cr_assert_eq(revocation_status(db, arena, 1, store_serial(arena, serial), &s, &err), PKI_OK, "%s",
                 err.text);
    return s;
}

static const char *
managed_status(const char *id)
{
    managed_row_t m;

    cr_assert_eq(cert_find(db, arena, id, &m, &err), PKI_OK, "%s", err.text);
    return m.status;
}

Test(revocation, takes_every_unexpired_version)
{
    size_t changed;

    store_issue(db, arena, "one", 1, 1800);
    store_issue(db, arena, "one", 2, DAY_S);
    store_issue(db, arena, "one", 3, DAY_S);
    store_issue(db, arena, "two", 4, DAY_S);
    cr_assert_eq(store_revoke(db, arena, "one", 0, 1, &changed), PKI_OK);
    cr_expect_eq(changed, 2);
    cr_expect_eq(status_of(1).state, 'g');
    cr_expect_eq(status_of(2).state, 'r');
    cr_expect_eq(status_of(2).reason, 1);
    cr_expect_eq(status_of(2).revision, 1);
    cr_expect_eq(status_of(4).state, 'g');
    cr_expect_str_eq(managed_status("mc-one"), "Revoked");
    cr_expect_str_eq(managed_status("mc-two"), "Active");
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM audit_event WHERE action = 'certificate.revoke'"), 1);
}

Test(revocation, of_a_named_serial_leaves_the_others)
{
    store_issue(db, arena, "one", 2, DAY_S);
    store_issue(db, arena, "one", 3, DAY_S);
    cr_assert_eq(store_revoke(db, arena, "one", 2, 1, NULL), PKI_OK);
    cr_expect_eq(status_of(3).state, 'g');
    cr_expect_str_eq(managed_status("mc-one"), "Active");
    cr_expect_eq(store_revoke(db, arena, "one", 99, 1, NULL), PKI_E_NOT_FOUND);
    cr_expect_eq(store_revoke(db, arena, "none", 0, 1, NULL), PKI_E_NOT_FOUND);
    cr_assert_eq(store_revoke(db, arena, "one", 3, 1, NULL), PKI_OK);
    cr_expect_str_eq(managed_status("mc-one"), "Revoked");
}

/* What may follow what: orders one after the other, and the code and state that each must give. */
typedef struct {
    const char *name;
    struct {
        int        reason;
        pki_code_t rc;
        char       state;
    } step[4];
} way_t;

#define REVOKE 1
#define HOLD 6
#define RELEASE 8

static const way_t ways[] = {
    {"revoked stays revoked",
     {{REVOKE, PKI_OK, 'r'},
      {REVOKE, PKI_E_CONFLICT, 'r'},
      {HOLD, PKI_E_CONFLICT, 'r'},
      {RELEASE, PKI_E_CONFLICT, 'r'}}},
    {"a hold is lifted",
     {{HOLD, PKI_OK, 'h'},
      {HOLD, PKI_E_CONFLICT, 'h'},
      {RELEASE, PKI_OK, 'l'},
      {RELEASE, PKI_E_CONFLICT, 'l'}}},
    {"a hold becomes final",
     {{HOLD, PKI_OK, 'h'},
      {REVOKE, PKI_OK, 'r'},
      {RELEASE, PKI_E_CONFLICT, 'r'},
      {HOLD, PKI_E_CONFLICT, 'r'}}},
    {"released is like good",
     {{HOLD, PKI_OK, 'h'}, {RELEASE, PKI_OK, 'l'}, {HOLD, PKI_OK, 'h'}, {REVOKE, PKI_OK, 'r'}}},
    {"good cannot be released",
     {{RELEASE, PKI_E_CONFLICT, 'g'},
      {7, PKI_E_INVALID, 'g'},
      {11, PKI_E_INVALID, 'g'},
      {-1, PKI_E_INVALID, 'g'}}},
};

/* Tests run in processes of their own, to which only numbers are carried over. */
ParameterizedTestParameters(revocation, follows_the_legal_transitions)
{
    static int index[] = { 0, 1, 2, 3, 4 };

    cr_assert_eq(sizeof(index) / sizeof(index[0]), sizeof(ways) / sizeof(ways[0]));
    return cr_make_param_array(int, index, sizeof(index) / sizeof(index[0]));
}

ParameterizedTest(int *at, revocation, follows_the_legal_transitions)
{
    const way_t *way = &ways[*at];

    store_issue(db, arena, "one", 2, DAY_S);
    for (int named = 0; named < 2; named++) {
        uint32_t serial = named ? 3 : 2;

        if (named) {
            store_issue(db, arena, "two", 3, DAY_S);
        }
        for (int i = 0; i < 4; i++) {
            cr_expect_eq(
                store_revoke(db, arena, named ? "two" : "one", named ? serial : 0, way->step[i].reason, NULL),
                way->step[i].rc, "%s, step %d, named %d", way->name, i, named);
            cr_expect_eq(status_of(serial).state, way->step[i].state, "%s, step %d", way->name, i);
        }
    }
}

Test(revocation, keeps_the_date_of_a_hold_that_becomes_final)
{
    int64_t at;

    store_issue(db, arena, "one", 2, DAY_S);
    cr_assert_eq(store_revoke(db, arena, "one", 0, HOLD, NULL), PKI_OK);
    PQclear(pg_sql(pg, "UPDATE revocation SET revoked_at = revoked_at - interval '1 hour'"));
    at = status_of(2).revoked_at;
    cr_assert_eq(store_revoke(db, arena, "one", 0, REVOKE, NULL), PKI_OK);
    cr_expect_eq(status_of(2).revoked_at, at);
    cr_expect_eq(status_of(2).revision, 2);
}

Test(revocation, is_undone_for_the_managed_certificate_by_a_new_version)
{
    store_issue(db, arena, "one", 2, DAY_S);
    cr_assert_eq(store_revoke(db, arena, "one", 0, REVOKE, NULL), PKI_OK);
    store_issue(db, arena, "one", 3, DAY_S);
    cr_expect_str_eq(managed_status("mc-one"), "Active");
    cr_expect_eq(status_of(2).state, 'r');
}

Test(revocation, keeps_to_the_reasons_of_the_baseline_requirements_when_told)
{
    const issuer_settings_t settings = { .webpki = true };
    const audit_t           audit = { .actor = "key-test", .actor_type = "api_key", .action = "issuer.revocation_set",
                                      .resource_type = "issuer", .resource_id = "iss-local", .status = 200 };
    const char              allowed[] = "11.111...1."; /* by reason: 0, 1, 3, 4, 5, 9; 8 has nothing to release */

    store_issue(db, arena, "one", 2, DAY_S);
    cr_assert_eq(store_revoke(db, arena, "one", 2, HOLD, NULL), PKI_OK);
    cr_assert_eq(issuer_settings_put(db, "iss-local", &settings, &audit, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(store_revoke(db, arena, "one", 2, RELEASE, NULL), PKI_OK, "one from before can be released");
    for (int reason = 0; reason <= 10; reason++) {
        char     name[16];
        uint32_t serial = 100 + (uint32_t) reason;

        snprintf(name, sizeof(name), "r%d", reason);
        store_issue(db, arena, name, serial, DAY_S);
        cr_expect_eq(store_revoke(db, arena, name, serial, reason, NULL) == PKI_OK, allowed[reason] == '1', "%d", reason);
        cr_expect_eq(status_of(serial).state, allowed[reason] == '1' ? 'r' : 'g', "%d", reason);
    }
}

Test(revocation, refuses_expired_versions)
{
    store_issue(db, arena, "one", 2, 1800);
    cr_expect_eq(store_revoke(db, arena, "one", 2, REVOKE, NULL), PKI_E_CONFLICT);
    cr_expect_eq(store_revoke(db, arena, "one", 0, REVOKE, NULL), PKI_E_CONFLICT);
}
