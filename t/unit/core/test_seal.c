/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Sealed values against those that Python's cryptography made (HKDF, AESGCM), and everything that must not open.
 */
#include "core/seal.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pkiproto/base/text.h"

#define MASTER "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define OTHER  "//////////////////////////////////////////8="
#define PLACE  "issuer:iss-a:secrets"

static pki_arena_t *a;
static pki_err_t    err;

static void
setup(void)
{
    a = pki_arena_new(0);
    unsetenv("CREDENTIALS_DIRECTORY");
    unsetenv("CHANCERY_MASTER_KEY");
}

static void
teardown(void)
{
    pki_arena_free(a);
}

TestSuite(seal, .init = setup, .fini = teardown);

static keyring_t *
ring(const char *text)
{
    keyring_t *k = NULL;

    cr_assert_eq(keyring_new(bytes_str(text), &k, &err), PKI_OK, "%s", err.text);
    return k;
}

static bytes_t
octets(const char *hex)
{
    size_t   len = 0, cap = strlen(hex) / 2;
    uint8_t *p = pki_alloc(a, cap);

    cr_assert_eq(hex_decode(bytes_str(hex), p, cap, &len, &err), PKI_OK);
    return bytes_of(p, len);
}

/* Master key 00..1f, nonce 64..6f. */
static const struct {
    const char *plain, *blob;
} known[] = {
    { "", "016c408a6bc6de3aeb6465666768696a6b6c6d6e6f9c374ea64dce90ae9d09ca88a5ade319" },
    { "{\"token\": \"s3cret\"}", "016c408a6bc6de3aeb6465666768696a6b6c6d6e6f8a57e50da13055508fac1693ad36253146e863963f4f3a8d068bda"
                                 "d9f25bdb1668ecd9" },
};

Test(seal, opens_what_another_implementation_sealed)
{
    keyring_t   *k = ring(MASTER);
    pki_secret_t out;

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        cr_assert_eq(unseal(k, a, PLACE, octets(known[i].blob), &out, &err), PKI_OK, "%s", err.text);
        cr_expect(bytes_eq(pki_secret_bytes(&out), bytes_str(known[i].plain)));
    }
    keyring_free(k);
}

Test(seal, what_was_sealed_is_opened_and_never_sealed_the_same_twice)
{
    keyring_t   *k = ring(MASTER);
    bytes_t      one, two, plain = BYTES_LIT("correct horse battery staple");
    pki_secret_t out;

    cr_assert_eq(seal(k, a, PLACE, plain, &one, &err), PKI_OK);
    cr_assert_eq(seal(k, a, PLACE, plain, &two, &err), PKI_OK);
    cr_expect_eq(one.len, plain.len + SEAL_OVERHEAD);
    cr_expect(!bytes_eq(one, two));
    cr_expect_null(memmem(one.p, one.len, plain.p, 8));
    cr_assert_eq(unseal(k, a, PLACE, two, &out, &err), PKI_OK);
    cr_expect(bytes_eq(pki_secret_bytes(&out), plain));
    keyring_free(k);
}

Test(seal, opens_in_its_own_place_only)
{
    keyring_t   *k = ring(MASTER);
    bytes_t      blob = octets(known[1].blob);
    pki_secret_t out = { 0 };

    cr_expect_eq(unseal(k, a, "issuer:iss-b:secrets", blob, &out, &err), PKI_E_CRYPTO);
    cr_expect_eq(unseal(k, a, "", blob, &out, &err), PKI_E_CRYPTO);
    cr_expect_null(out.p);
    keyring_free(k);
}

Test(seal, every_bit_counts)
{
    keyring_t   *k = ring(MASTER);
    bytes_t      blob = octets(known[1].blob);
    uint8_t     *p = (uint8_t *) (uintptr_t) blob.p;
    pki_secret_t out = { 0 };

    for (size_t bit = 0; bit < 8 * blob.len; bit++) {
        p[bit / 8] ^= (uint8_t) (1u << bit % 8);
        cr_expect_neq(unseal(k, a, PLACE, blob, &out, &err), PKI_OK, "bit %zu", bit);
        p[bit / 8] ^= (uint8_t) (1u << bit % 8);
    }
    for (size_t len = 0; len < blob.len; len++) {
        cr_expect_neq(unseal(k, a, PLACE, bytes_of(blob.p, len), &out, &err), PKI_OK, "%zu octets", len);
    }
    cr_expect_null(out.p);
    cr_expect_eq(unseal(k, a, PLACE, blob, &out, &err), PKI_OK);
    keyring_free(k);
}

Test(seal, the_first_key_seals_and_the_others_open)
{
    keyring_t   *old = ring(MASTER), *both = ring(OTHER "\n" MASTER "\n"), *fresh = ring(OTHER);
    uint8_t      id[SEAL_ID_LEN];
    bytes_t      blob;
    sealed_t     s;
    pki_secret_t out;

    cr_expect_eq(keyring_count(both), 2);
    cr_expect_eq(unseal(both, a, PLACE, octets(known[1].blob), &out, &err), PKI_OK);
    cr_assert_eq(seal(both, a, PLACE, BYTES_LIT("x"), &blob, &err), PKI_OK);
    cr_assert(keyring_id(fresh, id));
    cr_assert_eq(sealed_parse(blob, &s, &err), PKI_OK);
    cr_expect(bytes_eq(s.id, BYTES_ARR(id)));
    cr_expect_eq(unseal(fresh, a, PLACE, blob, &out, &err), PKI_OK);
    cr_expect_eq(unseal(old, a, PLACE, blob, &out, &err), PKI_E_CONFIG);
    keyring_free(old);
    keyring_free(both);
    keyring_free(fresh);
}

Test(seal, without_a_key_nothing_is_sealed)
{
    keyring_t   *k = ring(" \n");
    bytes_t      blob;
    uint8_t      id[SEAL_ID_LEN];
    pki_secret_t out;

    cr_expect_eq(keyring_count(k), 0);
    cr_expect(!keyring_id(k, id));
    cr_expect_eq(seal(k, a, PLACE, BYTES_LIT("x"), &blob, &err), PKI_E_CONFIG);
    cr_expect_eq(unseal(k, a, PLACE, octets(known[0].blob), &out, &err), PKI_E_CONFIG);
    keyring_free(k);
}

Test(seal, odd_keys_are_refused_and_not_quoted)
{
    static const char *const odd[] = { "abc", MASTER "00", MASTER "," "zz", "g" MASTER, "AAAA", MASTER "\n" "////" };
    keyring_t               *k = NULL;

    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        cr_expect_eq(keyring_new(bytes_str(odd[i]), &k, &err), PKI_E_INVALID, "%s", odd[i]);
        cr_expect_null(strstr(err.text, odd[i]));
    }
    cr_expect_null(k);
}

Test(seal, keys_come_from_a_credential_a_file_or_the_environment)
{
    char       dir[] = "/tmp/chancery-seal.XXXXXX", file[64], credential[64];
    keyring_t *k;
    FILE      *f;

    cr_assert_not_null(mkdtemp(dir));
    snprintf(file, sizeof(file), "%s/keys", dir);
    snprintf(credential, sizeof(credential), "%s/master-key", dir);
    f = fopen(file, "w");
    fprintf(f, "%s\n%s\n", MASTER, OTHER);
    fclose(f);

    cr_assert_eq(keyring_load("", &k, &err), PKI_OK);
    cr_expect_eq(keyring_count(k), 0);
    setenv("CHANCERY_MASTER_KEY", OTHER, 1);
    cr_assert_eq(keyring_reload(k, "", &err), PKI_OK);
    cr_expect_eq(keyring_count(k), 1);

    chmod(file, 0640);
    cr_expect_eq(keyring_reload(k, file, &err), PKI_E_CONFIG, "others may read it");
    cr_expect_eq(keyring_count(k), 1, "and what there was stays");
    chmod(file, 0400);
    cr_assert_eq(keyring_reload(k, file, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(keyring_count(k), 2);

    setenv("CREDENTIALS_DIRECTORY", dir, 1);
    cr_assert_eq(keyring_reload(k, file, &err), PKI_OK);
    cr_expect_eq(keyring_count(k), 2, "there is no credential: the file");
    f = fopen(credential, "w");
    fprintf(f, "%s", OTHER);
    fclose(f);
    cr_assert_eq(keyring_reload(k, file, &err), PKI_OK);
    cr_expect_eq(keyring_count(k), 1);
    keyring_free(k);
    unlink(file);
    unlink(credential);
    rmdir(dir);
}
