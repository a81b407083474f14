/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Generations of issuers and their settings, against a real PostgreSQL: which generations live, what a re-key leaves,
 * and what is of which authority afterwards.
 */
#include "orchestrator/store/issuer.h"

#include <criterion/criterion.h>

#include "core/clock.h"
#include "orchestrator/store/change.h"
#include "orchestrator/store/journal.h"
#include "pkiproto/base/text.h"
#include "pkiproto/crl/scope.h"
#include "t/unit/lib/suite.h"

TestSuite(issuer, .init = setup_world, .fini = teardown, .timeout = 60);

/* The next generation, with this many shards. */
static pki_code_t
rekey(int64_t generation, int64_t shards)
{
    ca_row_t chain[] = {
        { .generation = generation, .der = bytes_str("issuing-2"), .serial = bytes_str("ca-2"), .skid = bytes_str("skid-2"),
          .subject = "CN=Issuing", .key_ref = "file:issuing-2", .key_kind = "p-256", .not_before = 1,
          .not_after = 4000000000, .crl_shards = shards },
        { .generation = generation, .der = bytes_str("root"), .serial = bytes_str("ca-0"), .subject = "CN=Root",
          .key_kind = "rsa-4096", .not_before = 1, .not_after = 4000000000 },
    };
    issuer_chain_t next = { .issuer = { .no = 1, .id = "iss-local" }, .chain = chain, .chain_len = 2 };

    return issuer_row_rekey(db, &next, NULL, &err);
}

static void
issue_as(const char *name, uint32_t n, uint32_t generation)
{
    cert_record_t in = store_cert(arena, name, n, DAY_S);
    bool          won;

    in.generation = generation;
    cr_assert_eq(cert_record(db, &in, &won, &err), PKI_OK, "%s", err.text);
}

/* "1 2*": the generations that live, the active one with a star. */
static const char *
living(void)
{
    issuer_chain_t *rows;
    size_t          count;
    const char     *text = "";

    cr_assert_eq(issuer_generations(db, arena, NULL, &rows, &count, &err), PKI_OK, "%s", err.text);
    for (size_t i = 0; i < count; i++) {
        cr_expect_eq(rows[i].chain_len, 2);
        text = pki_printf(arena, "%s%s%lld%s", text, i > 0 ? " " : "", (long long) rows[i].chain[0].generation,
                          rows[i].chain[0].active ? "*" : "");
    }
    return text;
}

Test(issuer, a_re_key_puts_the_next_generation_in_charge)
{
    issuer_chain_t row;

    cr_expect_str_eq(living(), "1*");
    cr_assert_eq(rekey(2, 16), PKI_OK, "%s", err.text);
    cr_expect_str_eq(living(), "1 2*");
    cr_assert_eq(issuer_row_find(db, arena, "iss-local", &row, &err), PKI_OK);
    cr_expect(row.chain[0].generation == 2 && row.chain[0].crl_shards == 16 && row.chain[1].crl_shards == 0);
    cr_assert_eq(issuer_row_find_generation(db, arena, 1, 1, &row, &err), PKI_OK);
    cr_expect(!row.chain[0].active && row.chain[0].revoked_at == 0 && row.chain[0].revocation_reason == -1);
    cr_expect_eq(issuer_row_find_generation(db, arena, 1, 3, &row, &err), PKI_E_NOT_FOUND);
}

Test(issuer, the_same_generation_is_not_made_twice)
{
    cr_assert_eq(rekey(2, 0), PKI_OK, "%s", err.text);
    cr_expect_eq(rekey(2, 0), PKI_E_CONFLICT);
    cr_expect_eq(rekey(4, 0), PKI_E_CONFLICT);
    cr_expect_str_eq(living(), "1 2*");
}

/* RFC 5280 3.3: a certificate is on a list that was made after its end. */
Test(issuer, an_old_generation_lives_until_the_crl_after_its_last_certificate)
{
    issue_as("a", 1, 1);
    cr_assert_eq(rekey(2, 0), PKI_OK);
    cr_assert_eq(issuer_generations_settle(db, 3600, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM ca_certificate WHERE ends_at IS NOT NULL"), 0, "too early to say");
    cr_assert_eq(issuer_generations_settle(db, 0, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM ca_certificate c JOIN certificate_version v ON c.ends_at = v.not_after"
                               " WHERE c.generation = 1 AND c.position = 0"), 1);
    cr_expect_str_eq(living(), "1 2*");
    PQclear(pg_sql(pg, "UPDATE ca_certificate SET ends_at = now() - interval '1 hour' WHERE ends_at IS NOT NULL"));
    cr_expect_str_eq(living(), "1 2*", "its last list is not out");
    PQclear(pg_sql(pg, "INSERT INTO crl (issuer_no, generation, scope, number, this_update, next_update, size, entries, "
                       "duration_ms%s) VALUES (1, 1, 'full', 7, now() - interval '2 hours', now(), 1, 1, 1%s)",
                   pg_number(pg, "SELECT count(*) FROM pg_attribute WHERE attrelid = 'crl'::regclass AND attname = 'host'")
                       != 0 ? ", host" : "",
                   pg_number(pg, "SELECT count(*) FROM pg_attribute WHERE attrelid = 'crl'::regclass AND attname = 'host'")
                       != 0 ? ", 'h'" : ""));
    cr_expect_str_eq(living(), "1 2*", "that was before the end");
    PQclear(pg_sql(pg, "UPDATE crl SET this_update = now()"));
    cr_expect_str_eq(living(), "2*");
    PQclear(pg_sql(pg, "UPDATE issuer SET settings = '{\"crl_keep_expired_s\": 86400}'"));
    cr_expect_str_eq(living(), "1 2*", "expired ones are kept on the list for a day");
}

Test(issuer, an_old_generation_without_certificates_ends_with_its_re_key)
{
    cr_assert_eq(rekey(2, 0), PKI_OK);
    cr_assert_eq(issuer_generations_settle(db, 0, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM ca_certificate WHERE generation = 1 AND ends_at = retired_at"), 1);
}

Test(issuer, revocations_are_of_the_generation_and_the_shard_of_their_certificate)
{
    for (uint32_t n = 1; n <= 20; n++) {
        issue_as(pki_printf(arena, "old-%u", n), n, 1);
    }
    cr_assert_eq(rekey(2, 7), PKI_OK);
    for (uint32_t n = 21; n <= 40; n++) {
        issue_as(pki_printf(arena, "new-%u", n), n, 2);
    }
    for (uint32_t n = 1; n <= 40; n++) {
        status_row_t row;
        bytes_t      serial = store_serial(arena, n);
        uint32_t     shard = n <= 20 ? 0 : crl_shard_of(serial, 7);

        cr_assert_eq(store_revoke(db, arena, pki_printf(arena, n <= 20 ? "old-%u" : "new-%u", n), 0, 1, NULL), PKI_OK);
        cr_assert_eq(revocation_status(db, arena, 1, serial, &row, &err), PKI_OK);
        cr_expect_eq(row.generation, n <= 20 ? 1 : 2);
        cr_expect_eq(pg_number(pg, "SELECT count(*) FROM revocation WHERE serial = decode('%s', 'hex') AND shard = %u AND "
                                   "generation = %d", hex_print(arena, serial), shard, n <= 20 ? 1 : 2), 1, "serial %u", n);
    }
}

/* What signed it says the key identifier; that of nobody is taken for the present one's. */
Test(issuer, orphans_are_of_the_generation_that_signed_them)
{
    journal_orphan_t v[] = {
        { .issuer_no = 1, .serial = store_serial(arena, 1), .akid = bytes_str("skid") },
        { .issuer_no = 1, .serial = store_serial(arena, 2), .akid = bytes_str("skid-2") },
        { .issuer_no = 1, .serial = store_serial(arena, 3), .akid = bytes_str("nobody") },
        { .issuer_no = 1, .serial = store_serial(arena, 4) },
    };
    static const int wanted[] = { 1, 2, 2, 2 };
    size_t           recorded;

    for (size_t i = 0; i < 4; i++) {
        v[i].tbs = v[i].spki_sha256 = bytes_str("x");
        v[i].not_before = v[i].signed_at = clock_now();
        v[i].not_after = clock_now() + DAY_S;
    }
    cr_assert_eq(rekey(2, 7), PKI_OK);
    cr_assert_eq(journal_orphans(db, v, 4, BYTES_NONE, 0, &recorded, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(recorded, 4);
    for (size_t i = 0; i < 4; i++) {
        status_row_t row;

        cr_assert_eq(revocation_status(db, arena, 1, v[i].serial, &row, &err), PKI_OK);
        cr_expect(row.generation == wanted[i] && row.state == 'r', "orphan %zu: generation %d", i, (int) row.generation);
        cr_expect_eq(pg_number(pg, "SELECT shard FROM revocation WHERE serial = decode('%s', 'hex')",
                               hex_print(arena, v[i].serial)),
                     wanted[i] == 1 ? 0 : crl_shard_of(v[i].serial, 7));
    }
}

typedef struct {
    uint32_t authority[64];
    bytes_t  serial[64];
    bool     hash[64];
    size_t   count;
} seen_t;

static pki_code_t
note(const status_row_t *row, void *arg, pki_err_t *e)
{
    seen_t *s = arg;

    s->authority[s->count] = (uint32_t) (row->issuer_no << 8 | row->generation);
    s->hash[s->count] = row->fingerprint.p != NULL;
    return pki_bytes_dup(arena, row->serial, &s->serial[s->count++], e);
}

/* The bulk load of the store needs them in the order of its keys. */
Test(issuer, statuses_come_by_authority_then_serial)
{
    seen_t            s = { .count = 0 };
    change_position_t at;

    issue_as("c", 30, 1);
    issue_as("a", 10, 1);
    cr_assert_eq(rekey(2, 0), PKI_OK);
    issue_as("b", 20, 2);
    issue_as("d", 5, 2);
    cr_assert_eq(status_each(db, 1, note, &s, &at, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(s.count, 4);
    for (size_t i = 1; i < s.count; i++) {
        cr_expect(s.authority[i - 1] < s.authority[i]
                  || (s.authority[i - 1] == s.authority[i] && memcmp(s.serial[i - 1].p, s.serial[i].p, 16) < 0));
    }
    cr_expect(s.authority[0] == (1 << 8 | 1) && s.authority[3] == (1 << 8 | 2));
}

Test(issuer, statuses_have_the_hash_when_the_settings_say_so)
{
    issuer_settings_t on = { .ocsp_cert_hash = true };
    seen_t            s = { .count = 0 };
    change_position_t at = { 0, 0 };
    change_t         *changes;
    size_t            count;

    issue_as("a", 1, 1);
    cr_assert_eq(status_each(db, 1, note, &s, &at, &err), PKI_OK);
    cr_expect_not(s.hash[0]);
    cr_assert_eq(issuer_settings_put(db, "iss-local", &on, NULL, &err), PKI_OK, "%s", err.text);
    s.count = 0;
    cr_assert_eq(status_each(db, 1, note, &s, &at, &err), PKI_OK);
    cr_expect(s.hash[0]);
    at = (change_position_t){ 0, 0 };
    cr_assert_eq(change_next(db, arena, at, 100, &changes, &count, &err), PKI_OK);
    for (size_t i = 0; i < count; i++) {
        cr_expect_eq(changes[i].kind == CHANGE_STATUS, changes[i].status.fingerprint.p != NULL);
    }
}

/* RFC 9608: no edge hears of it, unless it is revoked all the same. */
Test(issuer, exempt_certificates_stay_out_of_the_stores)
{
    cert_record_t     in = store_cert(arena, "brief", 1, DAY_S);
    seen_t            s = { .count = 0 };
    change_position_t at;
    status_row_t      row;
    bool              won;

    in.exempt = true;
    cr_assert_eq(cert_record(db, &in, &won, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(pg_number(pg, "SELECT count(*) FROM change_feed WHERE kind = 'status'"), 0);
    cr_assert_eq(status_each(db, 1, note, &s, &at, &err), PKI_OK);
    cr_expect_eq(s.count, 0);
    cr_assert_eq(revocation_status(db, arena, 1, in.serial, &row, &err), PKI_OK);
    cr_expect(row.exempt && row.state == 'g');
    cr_assert_eq(store_revoke(db, arena, "brief", 0, 1, NULL), PKI_OK);
    cr_assert_eq(status_each(db, 1, note, &s, &at, &err), PKI_OK);
    cr_expect_eq(s.count, 1);
}

Test(issuer, settings_are_kept_and_take_the_defaults_of_the_configuration)
{
    conf_t            conf = { .ocsp.validity_s = 86400, .crl.validity_s = 604800, .crl.refresh_s = 86400 };
    str_list_t        keys = { (const char *[]){ "ed25519", "p-256" }, 2 };
    issuer_settings_t in = { .ocsp_keys = keys, .crl_validity_s = 7200, .crl_shards = 128, .crl_aia = true }, out;
    issuer_chain_t    row;

    cr_assert_eq(issuer_row_find(db, arena, "iss-local", &row, &err), PKI_OK);
    cr_assert_eq(issuer_settings_of(arena, &row.issuer, &conf, &out, &err), PKI_OK, "%s", err.text);
    cr_expect(out.ocsp_validity_s == 86400 && out.crl_validity_s == 604800 && out.crl_refresh_s == 86400);
    cr_expect(out.ocsp_keys.count == 1 && strcmp(out.ocsp_keys.v[0], "p-256") == 0);
    cr_expect_eq(issuer_settings_put(db, "iss-nobody", &in, NULL, &err), PKI_E_NOT_FOUND);
    cr_assert_eq(issuer_settings_put(db, "iss-local", &in, NULL, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(issuer_row_find(db, arena, "iss-local", &row, &err), PKI_OK);
    cr_assert_eq(issuer_settings_of(arena, &row.issuer, &conf, &out, &err), PKI_OK);
    cr_expect(out.crl_validity_s == 7200 && out.crl_shards == 128 && out.crl_aia && out.ocsp_validity_s == 86400);
    cr_assert_eq(out.ocsp_keys.count, 2);
    cr_expect_str_eq(out.ocsp_keys.v[0], "ed25519");
    cr_assert_eq(issuer_settings_read(arena, &row.issuer, &out, &err), PKI_OK);
    cr_expect(out.ocsp_validity_s == 0 && out.crl_refresh_s == 0);
}

Test(issuer, a_ca_certificate_is_revoked_once)
{
    issuer_chain_t row;

    cr_assert_eq(issuer_row_revoke_ca(db, "iss-local", 1, 2, NULL, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(issuer_row_find(db, arena, "iss-local", &row, &err), PKI_OK);
    cr_expect(row.chain[0].revoked_at > clock_now() - 60 && row.chain[0].revocation_reason == 2);
    cr_expect_eq(row.chain[1].revoked_at, 0);
    cr_expect_eq(issuer_row_revoke_ca(db, "iss-local", 1, 1, NULL, &err), PKI_E_CONFLICT);
    cr_expect_eq(issuer_row_revoke_ca(db, "iss-local", 9, 1, NULL, &err), PKI_E_CONFLICT);
}
