/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Keys on a SoftHSM2 token in a folder of the test's own, made by pkcs11-tool and by us.
 */
#include "t/unit/lib/signer_fixture.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "core/file.h"

#define MODULE "/usr/lib/softhsm/libsofthsm2.so"

static signer_fixture_t f;
static pki_arena_t     *arena;
static pki_err_t        err;
static char             pin_file[128];

static void
run(const char *command)
{
    char line[512];

    snprintf(line, sizeof(line), "%s >/dev/null 2>&1", command);
    cr_assert_eq(system(line), 0, "%s", command);
}

static void
setup(void)
{
    char conf[128], tokens[128], text[256];

    arena = pki_arena_new(0);
    fixture_signer_open(&f);
    snprintf(conf, sizeof(conf), "%s/softhsm2.conf", f.dir);
    snprintf(tokens, sizeof(tokens), "%s/tokens", f.dir);
    snprintf(text, sizeof(text), "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", tokens);
    snprintf(pin_file, sizeof(pin_file), "%s/pin", f.dir);
    cr_assert_eq(file_replace(conf, bytes_str(text), 0600, &err), PKI_OK);
    cr_assert_eq(file_replace(pin_file, BYTES_LIT("1234\n"), 0600, &err), PKI_OK);
    cr_assert_eq(dir_make(tokens, 0700, &err), PKI_OK);
    setenv("SOFTHSM2_CONF", conf, 1);
    run("softhsm2-util --init-token --free --label ca --pin 1234 --so-pin 5678");
    f.conf.signer.pkcs11_module = MODULE;
    f.conf.signer.pkcs11_pin_file = pin_file;
}

static void
teardown(void)
{
    fixture_signer_close(&f);
    pki_arena_free(arena);
}

TestSuite(pkcs11, .init = setup, .fini = teardown, .timeout = 60);

static void
sign_and_verify(const char *ref, bytes_t spki, const char *digest)
{
    bytes_t tbs = fixture_tbs(arena, spki, BYTES_LIT("\x12")), signature;

    cr_assert_eq(signer_sign_cert(f.client, arena, ref, 1, BYTES_LIT("\x12"), tbs, &signature, &err), PKI_OK, "%s",
                 err.text);
    cr_expect(fixture_verify(spki, digest, tbs, signature));
}

Test(pkcs11, signs_with_a_key_that_pkcs11_tool_made)
{
    static const char ref[] = "pkcs11:token=ca;object=made;type=private";
    bytes_t           spki;

    run("pkcs11-tool --module " MODULE " --token-label ca --login --pin 1234 --keypairgen --key-type EC:prime256v1 "
        "--label made --id 01");
    fixture_signer_start(&f);
    cr_assert_eq(signer_key_public(f.client, arena, ref, &spki, &err), PKI_OK, "%s", err.text);
    sign_and_verify(ref, spki, "SHA256");
    sign_and_verify(ref, spki, "SHA256");
}

typedef struct {
    char kind[16], digest[16];
} kind_case_t;

ParameterizedTestParameters(pkcs11, makes_keys_and_signs_with_them)
{
    static kind_case_t cases[] = {
        { "p-256", "SHA256" }, { "p-384", "SHA384" }, { "rsa-2048", "SHA256" }, { "ed25519", "" },
    };

    return cr_make_param_array(kind_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(kind_case_t *c, pkcs11, makes_keys_and_signs_with_them)
{
    static const char ref[] = "pkcs11:token=ca;object=new";
    bytes_t           spki, again;

    fixture_signer_start(&f);
    cr_assert_eq(signer_key_make(f.client, arena, ref, c->kind, &spki, &err), PKI_OK, "%s", err.text);
    sign_and_verify(ref, spki, c->digest[0] != '\0' ? c->digest : NULL);
    cr_expect_eq(signer_key_make(f.client, arena, ref, c->kind, &again, &err), PKI_E_CONFLICT);

    fixture_signer_kill(&f);
    fixture_signer_start(&f);
    cr_assert_eq(signer_key_public(f.client, arena, ref, &again, &err), PKI_OK, "%s", err.text);
    cr_expect(bytes_eq(spki, again));
}

Test(pkcs11, signs_a_crl_by_its_digest)
{
    static const char ref[] = "pkcs11:token=ca;object=rsa";
    bytes_t           spki, signature;
    uint8_t           digest[SHA256_DIGEST_LENGTH];

    SHA256((const uint8_t *) "list", 4, digest);
    fixture_signer_start(&f);
    cr_assert_eq(signer_key_make(f.client, arena, ref, "rsa-2048", &spki, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(signer_sign_crl(f.client, arena, ref, 1, BYTES_LIT("\x01"), BYTES_ARR(digest), -1, &signature, &err),
                 PKI_OK, "%s", err.text);
    cr_expect(fixture_verify(spki, "SHA256", BYTES_LIT("list"), signature));
}

typedef struct {
    char       ref[80];
    pki_code_t code;
} bad_case_t;

ParameterizedTestParameters(pkcs11, refuses_uris_that_name_no_key)
{
    static bad_case_t cases[] = {
        { "pkcs11:token=ca;object=missing", PKI_E_NOT_FOUND },
        { "pkcs11:token=other;object=missing", PKI_E_NOT_FOUND },
        { "pkcs11:token=ca", PKI_E_INVALID },
        { "pkcs11:token=ca;object=x?pin-value=1234", PKI_E_INVALID },
        { "pkcs11:token=ca;object=x?pin-source=/etc/passwd", PKI_E_INVALID },
        { "pkcs11:token=ca;object=%zz", PKI_E_INVALID },
    };

    return cr_make_param_array(bad_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(bad_case_t *c, pkcs11, refuses_uris_that_name_no_key)
{
    bytes_t spki;

    fixture_signer_start(&f);
    cr_expect_eq(signer_key_public(f.client, arena, c->ref, &spki, &err), c->code, "%s: %s", c->ref, err.text);
    cr_expect_null(strstr(err.text, "1234"), "no PIN in an error");
}

Test(pkcs11, a_wrong_pin_is_told_without_the_pin)
{
    bytes_t spki;

    cr_assert_eq(file_replace(pin_file, BYTES_LIT("9999\n"), 0600, &err), PKI_OK);
    fixture_signer_start(&f);
    cr_expect_eq(signer_key_public(f.client, arena, "pkcs11:token=ca;object=x", &spki, &err), PKI_E_UNAVAILABLE);
    cr_expect_not_null(strstr(err.text, "C_Login"), "%s", err.text);
    cr_expect_null(strstr(err.text, "9999"));
}
