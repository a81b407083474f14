/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Exports as an auditor is handed them: lines, and the tree made of them, with what is wrong named.
 */
#include "pkiproto/audit/replay.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "pkiproto/base/ossl.h"
#include "pkiproto/base/text.h"

#define EVENTS 12

static pki_arena_t *arena;
static EVP_PKEY    *pkey;
static bytes_t      spki;
static char        *lines[EVENTS]; /* newest first */
static audit_signed_head_t heads[2];
static char         told[4096];

/* An event in the export's form; its leaf is made of the row that has none. */
static char *
line_make(int id)
{
    char         *text = pki_alloc(arena, 1024), hash[2 * MERKLE_HASH_LEN + 1];
    audit_line_t  line;
    merkle_hash_t leaf;

    for (int pass = 0; pass < 2; pass++) {
        snprintf(text, 1024,
                 "{\"id\" : %d, \"at\" : \"2026-11-20T10:00:00.000001Z\", \"actor\" : \"a\\u00fc\\\"\", \"actor_type\" : "
                 "\"api_key\", \"action\" : \"x.y\", \"resource_type\" : null, \"resource_id\" : null, \"status\" : 200, "
                 "\"request_id\" : null, \"source\" : null, \"latency_us\" : 12, \"body_hash\" : null, \"details\" : "
                 "{\"n\": 1.50, \"t\": \"}, \\\"id\\\" : 7\"}, \"leaf_index\" : %d, \"leaf_hash\" : \"%s\"}",
                 id, id - 1, pass == 0 ? "0000000000000000000000000000000000000000000000000000000000000000" : hash);
        cr_assert_eq(audit_line_parse(arena, bytes_str(text), &line, NULL), PKI_OK);
        cr_assert_eq(audit_event_leaf(&line.event, &leaf, NULL), PKI_OK);
        hex_encode(BYTES_ARR(leaf.h), hash);
    }
    return text;
}

static void
head_make(audit_signed_head_t *h, const merkle_front_t *front)
{
    PKI_AUTO(EVP_MD_CTX) ctx = EVP_MD_CTX_new();
    audit_head_t  head = { .size = front->size, .at = 1700000000 };
    merkle_hash_t root;
    uint8_t       octets[AUDIT_HEAD_LEN], signature[128];
    size_t        len = sizeof(signature);
    char         *id = pki_alloc(arena, AUDIT_KEY_ID_LEN + 1);

    cr_assert_eq(merkle_root(front, &root, NULL), PKI_OK);
    head.root = root;
    audit_head_build(&head, octets);
    cr_assert_eq(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pkey), 1);
    cr_assert_eq(EVP_DigestSign(ctx, signature, &len, octets, sizeof(octets)), 1);
    audit_key_id(spki, id);
    *h = (audit_signed_head_t){ .tree_size = (int64_t) front->size, .at = head.at, .key_id = id };
    cr_assert_eq(pki_bytes_dup(arena, BYTES_ARR(root.h), &h->root, NULL), PKI_OK);
    cr_assert_eq(pki_bytes_dup(arena, BYTES_ARR(head.log), &h->log, NULL), PKI_OK);
    cr_assert_eq(pki_bytes_dup(arena, bytes_of(signature, len), &h->signature, NULL), PKI_OK);
}

static void
setup(void)
{
    merkle_front_t front = { 0 };
    audit_line_t   line;
    uint8_t       *der = NULL;
    int            len;

    arena = pki_arena_new(0);
    pkey = EVP_EC_gen("P-256");
    len = i2d_PUBKEY(pkey, &der);
    cr_assert_gt(len, 0);
    cr_assert_eq(pki_bytes_dup(arena, bytes_of(der, (size_t) len), &spki, NULL), PKI_OK);
    OPENSSL_free(der);
    for (int i = 0; i < EVENTS; i++) {
        lines[EVENTS - 1 - i] = line_make(i + 1);
        cr_assert_eq(audit_line_parse(arena, bytes_str(lines[EVENTS - 1 - i]), &line, NULL), PKI_OK);
        merkle_add(&front, &line.leaf_hash, NULL, NULL);
        if (i == 4 || i == EVENTS - 2) {
            head_make(&heads[i == 4 ? 1 : 0], &front);
        }
    }
    told[0] = '\0';
}

static void
teardown(void)
{
    EVP_PKEY_free(pkey);
    pki_arena_free(arena);
}

TestSuite(replay, .init = setup, .fini = teardown);

static void
tell(void *arg, int64_t event_id, const char *what)
{
    size_t len = strlen(told);

    (void) arg;
    snprintf(told + len, sizeof(told) - len, "%" PRId64 " %s\n", event_id, what);
}

static uint64_t
faults_of(uint64_t *covered)
{
    replay_t r = { .fault = tell };

    for (size_t i = 0; i < EVENTS; i++) {
        if (lines[i] != NULL) {
            cr_assert_eq(replay_take(&r, bytes_str(lines[i]), NULL), PKI_OK);
        }
    }
    cr_assert_eq(replay_check(&r, heads, 2, &spki, 1, NULL), PKI_OK);
    if (covered != NULL) {
        *covered = r.covered;
    }
    replay_free(&r);
    return r.faults;
}

Test(replay, whole_export_is_the_tree_that_was_signed)
{
    uint64_t covered;

    cr_expect_eq(faults_of(&covered), 0, "%s", told);
    cr_expect_eq(covered, EVENTS - 1, "what came after the newest head is in none");
}

Test(replay, details_are_taken_as_they_stand_there)
{
    audit_line_t line;

    cr_assert_eq(audit_line_parse(arena, bytes_str(lines[0]), &line, NULL), PKI_OK);
    cr_expect(bytes_eq(line.event.field[0], BYTES_LIT("12")));
    cr_expect(bytes_eq(line.event.field[2], BYTES_LIT("a\xc3\xbc\"")));
    cr_expect(line.event.field[5].p == NULL);
    cr_expect(bytes_eq(line.event.field[12], BYTES_LIT("{\"n\": 1.50, \"t\": \"}, \\\"id\\\" : 7\"}")));
}

Test(replay, a_changed_row_is_named)
{
    strstr(lines[5], "x.y")[0] = 'z';
    cr_expect_eq(faults_of(NULL), 1);
    cr_expect_str_eq(told, "7 was changed: its row is not that of its leaf\n");
}

Test(replay, a_row_that_was_changed_with_its_leaf_is_found_by_the_signed_root)
{
    audit_line_t  line;
    merkle_hash_t leaf;
    char          hash[2 * MERKLE_HASH_LEN + 1];

    strstr(lines[5], "x.y")[0] = 'z';
    cr_assert_eq(audit_line_parse(arena, bytes_str(lines[5]), &line, NULL), PKI_OK);
    cr_assert_eq(audit_event_leaf(&line.event, &leaf, NULL), PKI_OK);
    hex_encode(BYTES_ARR(leaf.h), hash);
    memcpy(strstr(lines[5], "leaf_hash") + strlen("leaf_hash\" : \""), hash, 2 * MERKLE_HASH_LEN);
    cr_expect_eq(faults_of(NULL), 1);
    cr_expect_str_eq(told, "0 leaves 5 to 10 (events 6 to 11) are not those that were signed\n");
}

Test(replay, a_removed_row_is_missed_where_it_was)
{
    lines[5] = NULL;
    cr_expect_eq(faults_of(NULL), 2);
    cr_expect(strstr(told, "0 leaves 6 to 6 are missing: events were removed before event 8\n") != NULL, "%s", told);
    cr_expect(strstr(told, "the head of 11 events cannot be made") != NULL, "%s", told);
}

Test(replay, rows_that_changed_places_are_named)
{
    char *other = lines[5];

    lines[5] = lines[6];
    lines[6] = other;
    cr_expect_eq(faults_of(NULL), 1);
    cr_expect_str_eq(told, "7 stands after event 6: it was moved or is there twice\n");
}

Test(replay, two_rows_do_not_share_a_leaf)
{
    char *at = strstr(lines[5], "leaf_index\" : ") + strlen("leaf_index\" : ");

    at[0] = '5';
    (void) faults_of(NULL);
    cr_expect(strstr(told, "7 claims leaf 5, which is that of event 6\n") != NULL, "%s", told);
}

Test(replay, a_head_of_another_key_is_none)
{
    uint8_t *signature = (uint8_t *) (uintptr_t) heads[0].signature.p;

    signature[heads[0].signature.len - 1] ^= 1;
    heads[1].key_id = "0011223344556677";
    cr_expect_eq(faults_of(NULL), 2);
    cr_expect(strstr(told, "the head of 5 events is not signed: its key 0011223344556677 is not among") != NULL, "%s", told);
    cr_expect(strstr(told, "the head of 11 events is not signed") != NULL, "%s", told);
}

Test(replay, an_event_without_its_leaf_is_no_line_of_an_export)
{
    char *end = strstr(lines[0], ", \"leaf_index\"");

    cr_assert_not_null(end);
    memcpy(end, "}", 2);
    (void) faults_of(NULL);
    cr_expect(strstr(told, "0 line 1: not an event with its leaf\n") != NULL, "%s", told);
}

Test(replay, lines_that_are_no_events_are_told_by_their_number)
{
    static const char *const bad[] = { "", "{}", "[]", "{\"id\": 1", "null" };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        replay_t r = { .fault = tell };

        told[0] = '\0';
        cr_assert_eq(replay_take(&r, bytes_str(bad[i]), NULL), PKI_OK);
        cr_expect_eq(r.faults, 1, "%s", bad[i]);
        cr_expect(strncmp(told, "0 line 1: ", 10) == 0, "%s", told);
    }
}
