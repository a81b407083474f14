/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The signer's client against a real signer process; OpenSSL's own API verifies the signatures.
 */
#include "t/unit/lib/signer_fixture.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/sha.h>

#include "orchestrator/signer/process.h"
#include "pkiproto/audit/head.h"

static signer_fixture_t f;
static pki_arena_t     *arena;
static pki_err_t        err;

static void
setup(void)
{
    arena = pki_arena_new(0);
    fixture_signer_open(&f);
}

static void
teardown(void)
{
    fixture_signer_close(&f);
    pki_arena_free(arena);
}

TestSuite(signer, .init = setup, .fini = teardown, .timeout = 60);

typedef struct {
    char kind[16], digest[16];
} kind_case_t;

static kind_case_t kinds[] = {
    { "p-256", "SHA256" }, { "p-384", "SHA384" }, { "rsa-2048", "SHA256" }, { "ed25519", "" },
};

ParameterizedTestParameters(signer, makes_keys_and_signs_certificates)
{
    return cr_make_param_array(kind_case_t, kinds, sizeof(kinds) / sizeof(kinds[0]));
}

ParameterizedTest(kind_case_t *c, signer, makes_keys_and_signs_certificates)
{
    const char *digest = c->digest[0] != '\0' ? c->digest : NULL;
    bytes_t     spki, again, tbs, signature;

    fixture_signer_start(&f);
    cr_assert_eq(signer_key_make(f.client, arena, "file:ca", c->kind, &spki, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(signer_key_public(f.client, arena, "file:ca", &again, &err), PKI_OK, "%s", err.text);
    cr_expect(bytes_eq(spki, again));
    tbs = fixture_tbs(arena, spki, BYTES_LIT("\x11\x22"));
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(signer_sign_cert(f.client, arena, "file:ca", 7, BYTES_LIT("\x11\x22"), tbs, &signature, &err),
                     PKI_OK, "%s", err.text);
        cr_expect(fixture_verify(spki, digest, tbs, signature));
    }
    cr_expect_eq(fixture_signer_stop(&f), 0);
}

Test(signer, keeps_keys_over_a_restart_encrypted_and_to_itself)
{
    bytes_t     spki, again, conflict;
    char        path[128], text[64] = "";
    struct stat st;
    FILE       *file;

    fixture_signer_start(&f);
    cr_assert_eq(signer_key_make(f.client, arena, "file:ca", "p-256", &spki, &err), PKI_OK, "%s", err.text);
    fixture_signer_kill(&f);
    fixture_signer_start(&f);
    cr_assert_eq(signer_key_public(f.client, arena, "file:ca", &again, &err), PKI_OK, "%s", err.text);
    cr_expect(bytes_eq(spki, again));
    cr_expect_eq(signer_key_make(f.client, arena, "file:ca", "p-256", &conflict, &err), PKI_E_CONFLICT);

    snprintf(path, sizeof(path), "%s/keys/ca.key", f.dir);
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0600);
    file = fopen(path, "r");
    cr_assert_not_null(fgets(text, sizeof(text), file));
    cr_expect_str_eq(text, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n");
    rewind(file);
    cr_expect_null(PEM_read_PrivateKey(file, NULL, NULL, (void *) "wrong"));
    rewind(file);
    EVP_PKEY *pkey = PEM_read_PrivateKey(file, NULL, NULL, (void *) "correct horse");
    cr_expect_not_null(pkey, "an ordinary PKCS#8 file that OpenSSL opens with the passphrase");
    EVP_PKEY_free(pkey);
    fclose(file);
}

typedef struct {
    char       ref[64], kind[16];
    pki_code_t code;
} bad_key_t;

ParameterizedTestParameters(signer, refuses_keys_that_are_none)
{
    static bad_key_t cases[] = {
        { "file:", "p-256", PKI_E_INVALID },
        { "file:../x", "p-256", PKI_E_INVALID },
        { "file:a/b", "p-256", PKI_E_INVALID },
        { "file:.hidden", "p-256", PKI_E_INVALID },
        { "nothing", "p-256", PKI_E_INVALID },
        { "file:a b", "p-256", PKI_E_PARSE },
        { "file:ok", "rsa-1024", PKI_E_UNSUPPORTED },
        { "file:ok", "p-521", PKI_E_UNSUPPORTED },
        { "pkcs11:token=none;object=x", "p-256", PKI_E_UNSUPPORTED },
    };

    return cr_make_param_array(bad_key_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(bad_key_t *c, signer, refuses_keys_that_are_none)
{
    bytes_t spki;

    fixture_signer_start(&f);
    cr_expect_eq(signer_key_make(f.client, arena, c->ref, c->kind, &spki, &err), c->code, "%s %s: %s", c->ref,
                 c->kind, err.text);
    cr_expect_eq(signer_key_public(f.client, arena, "file:unknown", &spki, &err), PKI_E_NOT_FOUND);
}

Test(signer, refuses_a_tbs_that_is_not_what_the_request_says)
{
    bytes_t spki, tbs, signature, other;

    fixture_signer_start(&f);
    cr_assert_eq(signer_key_make(f.client, arena, "file:ca", "p-256", &spki, &err), PKI_OK);
    cr_assert_eq(signer_key_make(f.client, arena, "file:other", "p-384", &other, &err), PKI_OK);
    tbs = fixture_tbs(arena, spki, BYTES_LIT("\x11\x22"));
    cr_expect_eq(signer_sign_cert(f.client, arena, "file:ca", 7, BYTES_LIT("\x11\x23"), tbs, &signature, &err),
                 PKI_E_INVALID, "another serial");
    cr_expect_eq(signer_sign_cert(f.client, arena, "file:other", 7, BYTES_LIT("\x11\x22"), tbs, &signature, &err),
                 PKI_E_INVALID, "another algorithm");
    cr_expect_eq(signer_sign_cert(f.client, arena, "file:ca", 7, BYTES_LIT("\x11\x22"),
                                  bytes_of(tbs.p, tbs.len - 1), &signature, &err),
                 PKI_E_PARSE, "cut off");
    cr_expect_eq(signer_sign_cert(f.client, arena, "file:ca", 7, BYTES_LIT("\x11\x22"), BYTES_LIT("hello"),
                                  &signature, &err),
                 PKI_E_PARSE, "no certificate");
}

#define ORDERS 300

Test(signer, signs_several_at_once_and_each_has_its_own_outcome)
{
    static signer_order_t  orders[ORDERS];
    static signer_order_t *list[ORDERS];
    static uint8_t         serials[ORDERS][2];
    signer_stats_t         stats;
    bytes_t                spki;

    fixture_signer_start(&f);
    cr_assert_eq(signer_key_make(f.client, arena, "file:ca", "p-256", &spki, &err), PKI_OK);
    for (size_t i = 0; i < ORDERS; i++) {
        serials[i][0] = (uint8_t) (i >> 8 | 1);
        serials[i][1] = (uint8_t) i;
        orders[i] = (signer_order_t){ .ref = "file:ca", .issuer_no = 1, .serial = BYTES_ARR(serials[i]), .a = arena };
        orders[i].tbs = fixture_tbs(arena, spki, orders[i].serial);
        list[i] = &orders[i];
    }
    orders[5].ref = "file:unknown";
    orders[7].tbs = BYTES_LIT("hello");
    signer_sign_certs(f.client, list, ORDERS);
    for (size_t i = 0; i < ORDERS; i++) {
        if (i != 5 && i != 7) {
            cr_assert_eq(orders[i].code, PKI_OK, "%zu: %s", i, orders[i].err.text);
            cr_expect(fixture_verify(spki, "SHA256", orders[i].tbs, orders[i].signature), "%zu", i);
        }
    }
    cr_expect_eq(orders[5].code, PKI_E_NOT_FOUND);
    cr_expect_not_null(strstr(orders[5].err.text, "unknown"));
    cr_expect_eq(orders[7].code, PKI_E_PARSE);
    signer_stats(f.client, &stats);
    cr_expect_eq(stats.signatures, ORDERS - 2);
    cr_expect_lt(stats.syncs, ORDERS / 4);
    signer_sign_certs(f.client, list, 0);
}

Test(signer, signs_crls_by_digest_or_whole)
{
    static const char list[] = "what would be a TBSCertList";
    bytes_t           spki, ed, signature;
    uint8_t           digest[SHA256_DIGEST_LENGTH];
    int               fd = memfd_create("list", MFD_CLOEXEC);

    SHA256((const uint8_t *) list, strlen(list), digest);
    cr_assert_eq(write(fd, list, strlen(list)), (ssize_t) strlen(list));
    fixture_signer_start(&f);
    cr_assert_eq(signer_key_make(f.client, arena, "file:ca", "p-256", &spki, &err), PKI_OK);
    cr_assert_eq(signer_key_make(f.client, arena, "file:ed", "ed25519", &ed, &err), PKI_OK);

    cr_assert_eq(signer_sign_crl(f.client, arena, "file:ca", 7, BYTES_LIT("\x01"), BYTES_ARR(digest), -1,
                                 &signature, &err), PKI_OK, "%s", err.text);
    cr_expect(fixture_verify(spki, "SHA256", bytes_str(list), signature));
    cr_assert_eq(signer_sign_crl(f.client, arena, "file:ed", 7, BYTES_LIT("\x02"), BYTES_NONE, fd, &signature,
                                 &err), PKI_OK, "%s", err.text);
    cr_expect(fixture_verify(ed, NULL, bytes_str(list), signature));

    cr_expect_eq(signer_sign_crl(f.client, arena, "file:ed", 7, BYTES_LIT("\x02"), BYTES_ARR(digest), -1,
                                 &signature, &err), PKI_E_INVALID);
    cr_expect_eq(signer_sign_crl(f.client, arena, "file:ca", 7, BYTES_LIT("\x02"), BYTES_LIT("short"), -1,
                                 &signature, &err), PKI_E_INVALID);
    cr_expect_eq(signer_sign_crl(f.client, arena, "file:ca", 7, BYTES_LIT("\x02"), BYTES_NONE, fd, &signature,
                                 &err), PKI_E_INVALID);
    close(fd);
}

Test(signer, signs_heads_of_the_audit_of_its_own_journal_and_nothing_else)
{
    audit_head_t     head = { .size = 5, .at = 1764288000 };
    uint8_t          octets[AUDIT_HEAD_LEN];
    signer_journal_t journal;
    bytes_t          spki, other, tbs, signature;

    fixture_signer_start(&f);
    cr_assert_eq(signer_key_make(f.client, arena, SIGNER_AUDIT_REF, "p-256", &spki, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(signer_journal_info(f.client, &journal, &err), PKI_OK, "%s", err.text);
    memcpy(head.log, journal.id, sizeof(head.log));
    memset(head.root.h, 0x5a, sizeof(head.root.h));
    audit_head_build(&head, octets);
    cr_assert_eq(signer_sign_head(f.client, arena, BYTES_ARR(octets), &signature, &err), PKI_OK, "%s", err.text);
    cr_expect(fixture_verify(spki, "SHA256", BYTES_ARR(octets), signature));

    cr_expect_neq(signer_sign_head(f.client, arena, bytes_of(octets, sizeof(octets) - 1), &signature, NULL), PKI_OK,
                  "a head that is cut is none");
    cr_assert_eq(signer_key_make(f.client, arena, "file:ca", "p-256", &other, &err), PKI_OK, "%s", err.text);
    tbs = fixture_tbs(arena, other, BYTES_LIT("\x01"));
    cr_expect_neq(signer_sign_head(f.client, arena, tbs, &signature, NULL), PKI_OK, "nor is a certificate");
    cr_expect_neq(signer_sign_cert(f.client, arena, SIGNER_AUDIT_REF, 1, BYTES_LIT("\x01"), tbs, &signature, NULL), PKI_OK,
                  "and its key signs no certificate");
    head.log[0] ^= 1;
    audit_head_build(&head, octets);
    cr_expect_eq(signer_sign_head(f.client, arena, BYTES_ARR(octets), &signature, NULL), PKI_E_INVALID,
                 "a head of another journal is refused");
    cr_expect_eq(fixture_signer_stop(&f), 0);
}

Test(signer, tells_what_its_journal_holds)
{
    signer_journal_entry_t *e;
    signer_journal_t        info, later;
    bytes_t                 spki, tbs, signature;
    size_t                  count;

    fixture_signer_start(&f);
    cr_assert_eq(signer_journal_info(f.client, &info, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(info.end, 0);
    cr_assert_eq(signer_key_make(f.client, arena, "file:ca", "p-256", &spki, &err), PKI_OK);
    for (uint8_t i = 1; i <= 5; i++) {
        tbs = fixture_tbs(arena, spki, bytes_of(&i, 1));
        cr_assert_eq(signer_sign_cert(f.client, arena, "file:ca", 9, bytes_of(&i, 1), tbs, &signature, &err), PKI_OK);
    }
    cr_assert_eq(signer_journal_read(f.client, arena, 0, 2, &e, &count, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(count, 2);
    cr_assert_eq(signer_journal_read(f.client, arena, e[1].next, 100, &e, &count, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(count, 3);
    cr_expect(e[2].is_cert);
    cr_expect_eq(e[2].issuer_no, 9);
    cr_expect(bytes_eq(e[2].serial, BYTES_LIT("\x05")));
    cr_expect(bytes_eq(e[2].tbs, tbs));
    cr_assert_eq(signer_journal_info(f.client, &later, &err), PKI_OK);
    cr_expect_eq(later.end, e[2].next);
    cr_expect_arr_eq(later.id, info.id, sizeof(info.id));
    cr_assert_eq(signer_journal_read(f.client, arena, later.end, 100, &e, &count, &err), PKI_OK);
    cr_expect_eq(count, 0);
    cr_expect_eq(signer_journal_read(f.client, arena, 1, 100, &e, &count, &err), PKI_E_INVALID);
    cr_expect_eq(signer_journal_read(f.client, arena, later.end + 1, 100, &e, &count, &err), PKI_E_INVALID);
    cr_expect_eq(fixture_signer_stop(&f), 0);
    cr_expect_eq(signer_journal_verify(&f.conf), 0);
}

static void *
ask_for_a_key(void *arg)
{
    bytes_t *spki = arg;

    signer_key_public(f.client, arena, "file:ca", spki, &err);
    return NULL;
}

Test(signer, a_call_made_while_the_signer_is_down_is_answered_when_it_is_back)
{
    pthread_t thread;
    bytes_t   spki, late = BYTES_NONE;

    fixture_signer_start(&f);
    cr_assert_eq(signer_key_make(f.client, arena, "file:ca", "p-256", &spki, &err), PKI_OK);
    fixture_signer_kill(&f);
    pthread_create(&thread, NULL, ask_for_a_key, &late);
    usleep(100000);
    fixture_signer_start(&f);
    pthread_join(thread, NULL);
    cr_expect(bytes_eq(spki, late), "%s", err.text);
}

Test(signer, a_call_without_a_signer_ends_as_unavailable)
{
    signer_order_t a = { .ref = "file:ca", .serial = BYTES_LIT("\x01"), .tbs = BYTES_LIT("x"), .a = arena }, b = a;
    bytes_t        spki;
    signer_t      *client;
    int            ends[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    cr_assert_eq(signer_open(ends[0], 100, &client, &err), PKI_OK);
    cr_expect_eq(signer_key_public(client, arena, "file:ca", &spki, &err), PKI_E_UNAVAILABLE);
    signer_sign_certs(client, (signer_order_t *[]){ &a, &b }, 2);
    cr_expect_eq(a.code, PKI_E_UNAVAILABLE);
    cr_expect_eq(b.code, PKI_E_UNAVAILABLE);
    signer_close(client);
    close(ends[1]);
}

#define CALLERS 16
#define CALLS   50

static bytes_t    ca_spki;
static atomic_int good;

static void *
sign_many(void *arg)
{
    pki_arena_t *a = pki_arena_new(0);
    bytes_t      tbs, signature;

    for (int i = 0; i < CALLS; i++) {
        uint8_t serial[3] = { 1, (uint8_t) (intptr_t) arg, (uint8_t) i };

        tbs = fixture_tbs(a, ca_spki, BYTES_ARR(serial));
        if (signer_sign_cert(f.client, a, "file:ca", 1, BYTES_ARR(serial), tbs, &signature, NULL) == PKI_OK
            && fixture_verify(ca_spki, "SHA256", tbs, signature))
        {
            atomic_fetch_add(&good, 1);
        }
        pki_arena_reset(a);
    }
    pki_arena_free(a);
    return NULL;
}

Test(signer, many_callers_share_syncs)
{
    pthread_t      threads[CALLERS];
    signer_stats_t stats;

    fixture_signer_start(&f);
    cr_assert_eq(signer_key_make(f.client, arena, "file:ca", "p-256", &ca_spki, &err), PKI_OK);
    for (intptr_t i = 0; i < CALLERS; i++) {
        pthread_create(&threads[i], NULL, sign_many, (void *) i);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
    }
    signer_stats(f.client, &stats);
    cr_expect_eq(good, CALLERS * CALLS);
    cr_expect_eq(stats.signatures, CALLERS * CALLS);
    cr_expect_gt(stats.syncs, 0);
    cr_expect_lt(stats.syncs, CALLERS * CALLS, "%llu syncs for as many signatures",
                 (unsigned long long) stats.syncs);
}

Test(signer, does_not_start_without_a_passphrase_that_is_its_own)
{
    cr_assert_eq(chmod(f.passphrase, 0644), 0);
    fixture_signer_start(&f);
    usleep(300000);
    cr_expect_eq(fixture_signer_stop(&f), 1);
}

Test(signer, two_never_run_on_one_journal)
{
    bytes_t          spki;
    signer_fixture_t other;

    fixture_signer_start(&f);
    cr_assert_eq(signer_key_make(f.client, arena, "file:ca", "p-256", &spki, &err), PKI_OK);
    fixture_signer_open(&other);
    other.conf.signer = f.conf.signer;
    fixture_signer_start(&other);
    usleep(300000);
    cr_expect_eq(fixture_signer_stop(&other), 1);
    fixture_signer_close(&other);
}
