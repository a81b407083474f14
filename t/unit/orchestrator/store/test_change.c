/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The change feed with transactions that end out of order, rebuilds, and the reconciliation with the signer's
 * journal.
 */
#include "orchestrator/store/change.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "core/clock.h"
#include "orchestrator/store/journal.h"
#include "orchestrator/store/responder.h"
#include "t/unit/lib/suite.h"

static void
setup(void)
{
    setup_world();
    PQclear(pg_sql(pg, "DELETE FROM change_feed"));
}

TestSuite(change, .init = setup, .fini = teardown, .timeout = 60);

/* Serials (their fourth octet) of the changes after *at, in order; *at moves on. */
static const char *
follow(change_position_t *at, size_t max)
{
    static char text[400];
    change_t   *c;
    size_t      n;

    cr_assert_eq(change_next(db, arena, *at, max, &c, &n, &err), PKI_OK, "%s", err.text);
    text[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(text);

        if (c[i].kind == CHANGE_STATUS) {
            snprintf(text + len, sizeof(text) - len, "%d%c ", c[i].status.serial.p[3], c[i].status.state);
        } else {
            snprintf(text + len, sizeof(text) - len, "%s ", c[i].kind == CHANGE_CRL ? "crl" : "config");
        }
        *at = c[i].position;
    }
    return text;
}

#define INSERT "INSERT INTO change_feed (kind, issuer_no, serial) VALUES ('status', 1, '\\x000000%02x')"

Test(change, hands_out_what_was_committed_in_order)
{
    change_position_t at = { 0, 0 };

    store_issue(db, arena, "a", 1, DAY_S);
    store_issue(db, arena, "b", 2, DAY_S);
    cr_assert_eq(change_announce(db, 0, &err), PKI_OK, "%s", err.text);
    cr_expect_str_eq(follow(&at, 1), "1g ");
    cr_expect_str_eq(follow(&at, 10), "2g config ");
    cr_expect_str_eq(follow(&at, 10), "");
    cr_assert_eq(store_revoke(db, arena, "a", 0, 6, NULL), PKI_OK);
    cr_expect_str_eq(follow(&at, 10), "1h ");
}

Test(change, never_skips_a_row_that_commits_late)
{
    change_position_t at = { 0, 0 };
    PGconn           *slow = pg_connect(url);

    PQclear(pg_sql(slow, "BEGIN"));
    PQclear(pg_sql(slow, INSERT, 1)); /* has the lower sequence number and transaction id */
    PQclear(pg_sql(pg, INSERT, 2));
    cr_expect_str_eq(follow(&at, 10), "", "the older transaction still runs");
    PQclear(pg_sql(slow, "COMMIT"));
    cr_expect_str_eq(follow(&at, 10), "1g 2g ");

    /* The other way about: the transaction that began first takes the higher sequence number. */
    PQclear(pg_sql(slow, "BEGIN"));
    PQclear(pg_sql(slow, "SELECT pg_current_xact_id()"));
    PQclear(pg_sql(pg, INSERT, 3));
    PQclear(pg_sql(slow, INSERT, 4));
    cr_expect_str_eq(follow(&at, 10), "");
    PQclear(pg_sql(slow, "COMMIT"));
    cr_expect_str_eq(follow(&at, 10), "4g 3g ");

    PQclear(pg_sql(slow, "BEGIN"));
    PQclear(pg_sql(slow, INSERT, 5));
    PQclear(pg_sql(pg, INSERT, 6));
    PQclear(pg_sql(slow, "ROLLBACK"));
    cr_expect_str_eq(follow(&at, 10), "6g ");
    PQfinish(slow);
}

typedef struct {
    char text[400];
    void (*meanwhile)(void);
} each_t;

static pki_code_t
each_note(const status_row_t *row, void *arg, pki_err_t *e)
{
    each_t *x = arg;

    (void) e;
    if (x->meanwhile != NULL) {
        x->meanwhile();
        x->meanwhile = NULL;
    }
    snprintf(x->text + strlen(x->text), 20, "%d%c ", row->serial.p[3], row->state);
    return PKI_OK;
}

static void
issue_three(void)
{
    store_issue(db, arena, "c", 3, DAY_S);
}

Test(change, carries_on_from_a_rebuild_without_a_gap)
{
    change_position_t at;
    each_t            x = { .meanwhile = issue_three };

    store_issue(db, arena, "a", 1, DAY_S);
    store_issue(db, arena, "b", 2, DAY_S);
    store_issue(db, arena, "o", 9, 1800); /* has ended */
    cr_assert_eq(store_revoke(db, arena, "b", 0, 1, NULL), PKI_OK);
    cr_assert_eq(status_each(db, clock_now(), each_note, &x, &at, &err), PKI_OK, "%s", err.text);
    cr_expect(strcmp(x.text, "1g 2r ") == 0 || strcmp(x.text, "2r 1g ") == 0, "one snapshot: %s", x.text);
    cr_expect_str_eq(follow(&at, 10), "3g ");
    x = (each_t){ .text = "" };
    cr_assert_eq(status_each(db, 0, each_note, &x, &at, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(strlen(x.text), 4 * 3, "all of them: %s", x.text);
}

Test(change, includes_in_a_rebuild_or_after_it_what_was_not_committed_yet)
{
    change_position_t at;
    each_t            x = { .text = "" };
    PGconn           *slow = pg_connect(url);

    store_issue(db, arena, "a", 1, DAY_S);
    PQclear(pg_sql(slow, "BEGIN"));
    PQclear(pg_sql(slow, INSERT, 7));
    store_issue(db, arena, "b", 2, DAY_S);
    cr_assert_eq(status_each(db, 0, each_note, &x, &at, &err), PKI_OK, "%s", err.text);
    PQclear(pg_sql(slow, "COMMIT"));
    cr_expect_not_null(strstr(follow(&at, 10), "7g "));
    PQfinish(slow);
}

Test(change, asks_for_a_rebuild_when_the_feed_does_not_reach_back)
{
    change_position_t at = { 0, 0 }, start = at;
    change_t         *c;
    size_t            n;

    store_issue(db, arena, "a", 1, DAY_S);
    cr_expect_str_eq(follow(&at, 10), "1g ");
    PQclear(pg_sql(pg, "UPDATE change_feed SET at = at - interval '2 days'"));
    store_issue(db, arena, "b", 2, DAY_S);
    cr_assert_eq(change_prune(db, DAY_S, DAY_S, &n, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(n, 1);
    cr_expect_eq(change_next(db, arena, start, 10, &c, &n, &err), PKI_E_CONFLICT);
    cr_expect_str_eq(follow(&at, 10), "2g ", "who had it all carries on");
    at.xid += 1000000;
    cr_expect_eq(change_next(db, arena, at, 10, &c, &n, &err), PKI_E_CONFLICT, "ahead of this database");
}

Test(change, forgets_old_transaction_keys)
{
    size_t n;

    PQclear(pg_sql(pg,
                   "INSERT INTO issuance_key SELECT int4send(i), 1, '\\x01', now() - interval '1 hour' * i "
                   "FROM generate_series(1, 48) i"));
    cr_assert_eq(change_prune(db, 100 * DAY_S, DAY_S, &n, &err), PKI_OK, "%s", err.text);
    cr_expect_leq(n, 25);
    cr_expect_geq(n, 24);
}

Test(change, announces_a_responder_as_status_and_configuration)
{
    change_position_t at = { 0, 0 };
    responder_new_t   in = {.row = {.issuer_no = 1,
                                    .ca_generation = 1,
                                    .key_kind = "p-256",
                                    .der = bytes_str("der"),
                                    .key_file = "1-1.pem",
                                    .not_before = 1,
                                    .not_after = 4000000000},
                            .serial = store_serial(arena, 5),
                            .spki_sha256 = bytes_str("s"),
                            .fingerprint = bytes_str("f")};
    responder_row_t  *rows;
    size_t            count;
    int64_t           generation;

    cr_assert_eq(responder_find(db, arena, 1, 1, "p-256", &rows, &count, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(count, 0);
    cr_assert_eq(responder_insert(db, &in, NULL, &generation, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(generation, 1);
    cr_expect_str_eq(follow(&at, 10), "5g config ");
    in.serial = store_serial(arena, 6);
    in.row.key_file = "1-2.pem";
    cr_assert_eq(responder_insert(db, &in, NULL, &generation, &err), PKI_OK, "%s", err.text);
    in.serial = store_serial(arena, 7);
    in.row.key_kind = "rsa-2048";
    cr_assert_eq(responder_insert(db, &in, NULL, &generation, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(generation, 3);
    cr_assert_eq(responder_find(db, arena, 1, 1, "p-256", &rows, &count, &err), PKI_OK);
    cr_assert_eq(count, 2);
    cr_expect_eq(rows[0].generation, 2);
    cr_expect_str_eq(rows[0].key_file, "1-2.pem");
    cr_assert_eq(responder_find(db, arena, 1, 2, "p-256", &rows, &count, &err), PKI_OK);
    cr_expect_eq(count, 0);
    cr_assert_eq(responder_list(db, arena, &rows, &count, &err), PKI_OK);
    cr_assert_eq(count, 3);
    cr_expect_str_eq(rows[2].key_kind, "rsa-2048");
}

TestSuite(journal, .init = setup, .fini = teardown, .timeout = 60);

#define JOURNAL bytes_of("0123456789abcdef", 16)

Test(journal, position_moves_forward_only)
{
    uint64_t at = 99;

    cr_assert_eq(journal_position(db, JOURNAL, &at, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(at, 0);
    cr_assert_eq(journal_advance(db, JOURNAL, 500, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(journal_advance(db, JOURNAL, 400, &err), PKI_OK);
    cr_assert_eq(journal_position(db, JOURNAL, &at, &err), PKI_OK);
    cr_expect_eq(at, 500);
}

Test(journal, knows_issued_and_ca_certificates)
{
    journal_serial_t s[] = {
        { .issuer_no = 1, .serial = store_serial(arena, 1) },
        { .issuer_no = 1, .serial = store_serial(arena, 2) },
        { .issuer_no = 2, .serial = store_serial(arena, 1) },
        { .issuer_no = 1, .serial = bytes_str("ca-0") },
    };

    store_issue(db, arena, "a", 1, DAY_S);
    cr_assert_eq(journal_known(db, s, 4, &err), PKI_OK, "%s", err.text);
    cr_expect(s[0].known && !s[1].known && !s[2].known && s[3].known);
}

Test(journal, records_and_revokes_orphans)
{
    journal_orphan_t  o[2];
    change_position_t at = { 0, 0 };
    uint64_t          position;
    status_row_t      status;
    size_t            n;

    for (uint32_t i = 0; i < 2; i++) {
        o[i] = (journal_orphan_t){.issuer_no = 1,
                                  .serial = store_serial(arena, i + 1),
                                  .tbs = bytes_str("tbs"),
                                  .spki_sha256 = bytes_str("s"),
                                  .not_before = 1,
                                  .not_after = 4000000000,
                                  .signed_at = 2};
    }
    store_issue(db, arena, "a", 1, DAY_S); /* the first is no orphan */
    (void) follow(&at, 10);
    cr_assert_eq(journal_orphans(db, o, 2, JOURNAL, 700, &n, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(n, 1);
    cr_expect_str_eq(follow(&at, 10), "2r ");
    cr_assert_eq(revocation_status(db, arena, 1, store_serial(arena, 1), &status, &err), PKI_OK);
    cr_expect_eq(status.state, 'g');
    cr_assert_eq(journal_position(db, JOURNAL, &position, &err), PKI_OK);
    cr_expect_eq(position, 700);
    cr_expect_eq(
        pg_number(pg, "SELECT count(*) FROM certificate_version WHERE orphan AND fingerprint IS NULL"), 1);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM audit_event WHERE action = 'certificate.orphan'"), 1);
    cr_assert_eq(journal_orphans(db, o, 2, BYTES_NONE, 0, &n, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(n, 0, "once only");
}
