/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Certificate requests.  The vectors were made with the openssl command (t/vectors/make.sh); for good
 * ones OpenSSL's reader says what they hold.
 */
#include "pkiproto/x509/csr.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/rand.h>

#include "pkiproto/base/ossl.h"
#include "t/unit/pkiproto/vector.h"

static pki_arena_t *arena;

static void
setup(void)
{
    arena = pki_arena_new(0);
}

static void
teardown(void)
{
    pki_arena_free(arena);
}

TestSuite(csr, .init = setup, .fini = teardown);

/* What a protocol module does with a request. */
static pki_code_t
accept_csr(bytes_t der, csr_t *csr, pki_err_t *err)
{
    PKI_TRY(csr_parse(arena, der, csr, err));
    return csr_check(csr, err);
}

typedef struct {
    char           name[40];
    pki_key_kind_t kind;
    unsigned       bits;
    size_t         names;
} good_case_t;

ParameterizedTestParameters(csr, accepts_what_openssl_makes)
{
    static good_case_t cases[] = {
        {"good-p256", PKI_KEY_P256, 256, 1},
        {"good-p384", PKI_KEY_P384, 384, 1},
        {"good-ed25519", PKI_KEY_ED25519, 256, 1},
        {"good-rsa2048", PKI_KEY_RSA, 2048, 1},
        {"good-rsa3072", PKI_KEY_RSA, 3072, 1},
        {"good-rsa4096", PKI_KEY_RSA, 4096, 1},
        {"good-names", PKI_KEY_P256, 256, 7},
        {"good-other-names", PKI_KEY_P256, 256, 2},
        {"good-san-only", PKI_KEY_P256, 256, 1},
        {"good-sha512", PKI_KEY_RSA, 2048, 0},
        {"good-challenge", PKI_KEY_P256, 256, 0},
        {"good-ms-extensions", PKI_KEY_P256, 256, 1},
        {"good-unsorted-attributes", PKI_KEY_P256, 256, 1},
    };

    return cr_make_param_array(good_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(good_case_t *c, csr, accepts_what_openssl_makes)
{
    char           path[64];
    const uint8_t *p;
    uint8_t       *subject = NULL;
    pki_err_t      err = {.text = ""};
    bytes_t        der;
    csr_t          csr;
    int            len;

    snprintf(path, sizeof(path), "csr/%s.der", c->name);
    der = vector_read(arena, path);
    cr_assert_eq(accept_csr(der, &csr, &err), PKI_OK, "%s: %s", c->name, err.text);
    cr_expect_eq(csr.key.kind, c->kind);
    cr_expect_eq(csr.key.bits, c->bits);
    cr_expect_eq(csr.names.count, c->names);

    p = der.p;
    PKI_AUTO(X509_REQ) req = d2i_X509_REQ(NULL, &p, (long) der.len);
    cr_assert_not_null(req);
    len = i2d_X509_NAME(X509_REQ_get_subject_name(req), &subject);
    cr_expect(bytes_eq(csr.subject, bytes_of(subject, (size_t) len)));
    cr_expect_eq(X509_REQ_verify(req, X509_REQ_get0_pubkey(req)), 1);
    OPENSSL_free(subject);
}

typedef struct {
    char       name[48];
    pki_code_t code;
} hostile_case_t;

ParameterizedTestParameters(csr, refuses_hostile_requests)
{
    static hostile_case_t cases[] = {
        {"bad-signature", PKI_E_SIGNATURE},
        {"other-tbs", PKI_E_SIGNATURE},
        {"wrong-algorithm", PKI_E_SIGNATURE},
        {"algorithm-parameters", PKI_E_SIGNATURE},
        {"unknown-algorithm", PKI_E_UNSUPPORTED},
        {"sha1", PKI_E_UNSUPPORTED},
        {"ca-true", PKI_E_CSR},
        {"nobody", PKI_E_CSR},
        {"duplicate-extension", PKI_E_CSR},
        {"two-extension-requests", PKI_E_CSR},
        {"two-extension-requests-ms", PKI_E_CSR},
        {"extension-request-two-values", PKI_E_CSR},
        {"nul-in-cn", PKI_E_CSR},
        {"control-in-cn", PKI_E_CSR},
        {"long-cn", PKI_E_CSR},
        {"empty-cn", PKI_E_CSR},
        {"utf8-cn", PKI_E_CSR},
        {"country-3", PKI_E_CSR},
        {"name-no-string", PKI_E_CSR},
        {"multi-valued-rdn", PKI_E_CSR},
        {"nul-in-dns", PKI_E_CSR},
        {"dns-space", PKI_E_CSR},
        {"dns-wildcard", PKI_E_CSR},
        {"ip-5", PKI_E_CSR},
        {"san-empty", PKI_E_CSR},
        {"san-101", PKI_E_CSR},
        {"san-tag", PKI_E_PARSE},
        {"challenge-null", PKI_E_CSR},
        {"challenge-boolean", PKI_E_CSR},
        {"challenge-empty-set", PKI_E_CSR},
        {"challenge-two-values", PKI_E_CSR},
        {"challenge-twice", PKI_E_CSR},
        {"version-1", PKI_E_CSR},
        {"rsa1024", PKI_E_KEY},
        {"rsa-even-exponent", PKI_E_KEY},
        {"rsa-even-modulus", PKI_E_KEY},
        {"rsa-exponent-1", PKI_E_KEY},
        {"rsa-exponent-2", PKI_E_KEY},
        {"rsa-exponent-large", PKI_E_KEY},
        {"rsa-no-null", PKI_E_KEY},
        {"secp256k1", PKI_E_KEY},
        {"p521", PKI_E_KEY},
        {"explicit", PKI_E_KEY},
        {"compressed", PKI_E_KEY},
        {"off-curve", PKI_E_KEY},
        {"critical-false", PKI_E_PARSE},
        {"ca-false-encoded", PKI_E_PARSE},
        {"key-usage-padded", PKI_E_PARSE},
        {"key-usage-none", PKI_E_PARSE},
        {"no-attributes", PKI_E_PARSE},
        {"trailing", PKI_E_PARSE},
        {"indefinite", PKI_E_PARSE},
        {"long-length", PKI_E_PARSE},
    };

    return cr_make_param_array(hostile_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(hostile_case_t *c, csr, refuses_hostile_requests)
{
    char       path[64];
    pki_err_t  err = {.text = ""};
    pki_code_t rc;
    csr_t      csr;

    snprintf(path, sizeof(path), "csr/hostile-%s.der", c->name);
    rc = accept_csr(vector_read(arena, path), &csr, &err);
    cr_expect_eq(rc, c->code, "%s: %s (%s)", c->name, pki_code_name(rc), err.text);
    cr_expect_eq(err.code, c->code);
    cr_expect_neq(err.text[0], '\0');
}

Test(csr, refuses_every_truncation)
{
    bytes_t whole = vector_read(arena, "csr/good-names.der");
    csr_t   csr;

    for (size_t len = 0; len < whole.len; len++) {
        /* A copy of its own, so that a sanitizer sees reads beyond it. */
        uint8_t *copy = malloc(len + 1);

        memcpy(copy, whole.p, len);
        cr_expect_eq(csr_parse(arena, bytes_of(copy, len), &csr, NULL), PKI_E_PARSE, "%zu octets", len);
        free(copy);
    }
}

Test(csr, changing_any_octet_never_passes)
{
    bytes_t  whole = vector_read(arena, "csr/good-ed25519.der");
    uint8_t *copy;
    csr_t    csr;

    for (size_t i = 0; i < whole.len; i++) {
        pki_arena_t *a = pki_arena_new(0);

        copy = malloc(whole.len);
        memcpy(copy, whole.p, whole.len);
        copy[i] ^= 0x01;
        cr_expect(csr_parse(a, bytes_of(copy, whole.len), &csr, NULL) != PKI_OK ||
                      csr_check(&csr, NULL) != PKI_OK,
                  "octet %zu", i);
        free(copy);
        pki_arena_free(a);
    }
}

Test(csr, random_octets_are_refused)
{
    uint8_t octets[1024];
    csr_t   csr;

    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(RAND_bytes(octets, sizeof(octets)), 1);
        octets[0] = 0x30;
        cr_expect_neq(csr_parse(arena, BYTES_ARR(octets), &csr, NULL), PKI_OK);
    }
}

Test(csr, reads_names_and_usages)
{
    static const char *const wanted[] = {"dns:a.example",
                                         "dns:*.b.example",
                                         "ip:192.0.2.1",
                                         "ip:2001:db8::1",
                                         "email:a@b.example",
                                         "uri:https://c.example/",
                                         "dirname:CN=directory,C=GB"};
    const char              *text;
    csr_t                    csr;

    cr_assert_eq(csr_parse(arena, vector_read(arena, "csr/good-names.der"), &csr, NULL), PKI_OK);
    cr_assert_eq(csr.names.count, 7);
    for (size_t i = 0; i < csr.names.count; i++) {
        cr_assert_eq(general_name_print(arena, &csr.names.v[i], &text, NULL), PKI_OK);
        cr_expect_str_eq(text, wanted[i]);
    }
    cr_expect(csr.san_critical);
    cr_expect_eq(csr.key_usage, 0xa000);
    cr_expect(csr.has_basic_constraints);
    cr_expect_not(csr.asks_ca);
    cr_expect_not_null(csr.eku.p);
    cr_expect_eq(csr.extension_count, 4);
    cr_expect_null(csr.challenge_password.p);
}

Test(csr, reads_the_challenge_password)
{
    csr_t csr;

    cr_assert_eq(csr_parse(arena, vector_read(arena, "csr/good-challenge.der"), &csr, NULL), PKI_OK);
    cr_expect(bytes_eq(csr.challenge_password, BYTES_LIT("correct horse")));
}

Test(csr, decodes_pem_with_both_labels_and_der)
{
    bytes_t der = vector_read(arena, "csr/good-p256.der"), out;

    cr_assert_eq(csr_decode(arena, der, &out, NULL), PKI_OK);
    cr_expect(bytes_eq(out, der));
    cr_assert_eq(csr_decode(arena, vector_read(arena, "csr/good-p256.pem"), &out, NULL), PKI_OK);
    cr_expect(bytes_eq(out, der));
    cr_assert_eq(csr_decode(arena, vector_read(arena, "csr/good-newhdr.pem"), &out, NULL), PKI_OK);
    cr_expect_eq(out.p[0], 0x30);
}

Test(csr, decode_refuses_other_text)
{
    static const char *const texts[] = {
        "",
        "hello",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n",
        "-----BEGIN CERTIFICATE REQUEST-----\nMA!=\n-----END CERTIFICATE REQUEST-----\n",
        "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE-----\n",
    };
    bytes_t out;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cr_expect_eq(csr_decode(arena, bytes_str(texts[i]), &out, NULL), PKI_E_PARSE, "%zu", i);
    }
}

Test(csr, refuses_more_than_32_kib)
{
    uint8_t *big = pki_alloc(arena, CSR_MAX + 1);
    csr_t    csr;

    cr_expect_eq(csr_parse(arena, bytes_of(big, CSR_MAX + 1), &csr, NULL), PKI_E_TOO_LARGE);
}

Test(csr, prints_without_the_challenge_password)
{
    pki_buf_t out;
    csr_t     csr;

    pki_buf_init(&out, arena, 10000);
    cr_assert_eq(csr_parse(arena, vector_read(arena, "csr/good-challenge.der"), &csr, NULL), PKI_OK);
    cr_assert_eq(csr_print(&csr, &out, NULL), PKI_OK);
    pki_buf_put_u8(&out, 0);
    cr_expect_not_null(strstr((const char *) out.p, "subject: CN=challenge\n"));
    cr_expect_not_null(strstr((const char *) out.p, "key: p-256\n"));
    cr_expect_not_null(strstr((const char *) out.p, "challenge password: present\n"));
    cr_expect_null(strstr((const char *) out.p, "correct horse"));
}
