/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Public keys: OpenSSL makes them and signs, and says what their encodings are.
 */
#include "pkiproto/x509/key.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "pkiproto/base/ossl.h"
#include "pkiproto/der/write.h"

typedef struct {
    char           name[16];
    pki_key_kind_t kind;
    unsigned       bits;
    int            nid;
    char           digest[8];
} key_case_t;

static key_case_t cases[] = {
    {"rsa-2048", PKI_KEY_RSA, 2048, NID_sha256WithRSAEncryption, "SHA256"},
    {"p-256", PKI_KEY_P256, 256, NID_ecdsa_with_SHA256, "SHA256"},
    {"p-384", PKI_KEY_P384, 384, NID_ecdsa_with_SHA384, "SHA384"},
    {"ed25519", PKI_KEY_ED25519, 256, NID_ED25519, ""},
};

static EVP_PKEY *
generate(const key_case_t *c)
{
    return c->kind == PKI_KEY_RSA    ? EVP_RSA_gen(c->bits)
           : c->kind == PKI_KEY_P256 ? EVP_EC_gen("P-256")
           : c->kind == PKI_KEY_P384 ? EVP_EC_gen("P-384")
                                     : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

static size_t
sign(EVP_PKEY *pkey, const char *digest, uint8_t *out, size_t cap)
{
    PKI_AUTO(EVP_MD_CTX) ctx = EVP_MD_CTX_new();

    cr_assert_eq(EVP_DigestSignInit_ex(ctx, NULL, digest[0] != '\0' ? digest : NULL, NULL, NULL, pkey, NULL),
                 1);
    cr_assert_eq(EVP_DigestSign(ctx, out, &cap, (const uint8_t *) "message", 7), 1);
    return cap;
}

ParameterizedTestParameters(key, follows_openssl_for_every_kind)
{
    return cr_make_param_array(key_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(key_case_t *c, key, follows_openssl_for_every_kind)
{
    PKI_AUTO(EVP_PKEY) pkey = generate(c);
    PKI_AUTO(EVP_PKEY) again = NULL;
    uint8_t     *spki = NULL, *algorithm = NULL, signature[1024], id[20], want[20];
    char         name[16];
    X509_PUBKEY *pub = NULL;
    X509_ALGOR  *algor = X509_ALGOR_new();
    pki_key_t    key;
    size_t       len;
    int          n = i2d_PUBKEY(pkey, &spki);

    cr_assert_gt(n, 0);
    cr_assert_eq(pki_key_parse(bytes_of(spki, (size_t) n), &key, NULL), PKI_OK);
    cr_expect_eq(key.kind, c->kind);
    cr_expect_eq(key.bits, c->bits);
    cr_expect_str_eq(pki_key_name(&key, name), c->name);
    cr_assert_eq(pki_key_evp(&key, &again, NULL), PKI_OK);
    cr_expect_eq(EVP_PKEY_eq(pkey, again), 1);

    /* The identifier is what OpenSSL's certificate extensions would have. */
    cr_assert(pki_key_id(&key, id));
    X509_PUBKEY_set(&pub, pkey);
    PKI_AUTO(X509) x = X509_new();
    X509_set_pubkey(x, pkey);
    cr_assert_eq(X509_pubkey_digest(x, EVP_sha1(), want, NULL), 1);
    cr_expect_arr_eq(id, want, 20);

    /* AlgorithmIdentifier and signatures. */
    X509_ALGOR_set0(algor, OBJ_nid2obj(c->nid), c->kind == PKI_KEY_RSA ? V_ASN1_NULL : V_ASN1_UNDEF, NULL);
    n = i2d_X509_ALGOR(algor, &algorithm);
    cr_expect(bytes_eq(pki_key_sigalg(c->kind)->identifier, bytes_of(algorithm, (size_t) n)));
    len = sign(pkey, c->digest, signature, sizeof(signature));
    cr_expect_eq(pki_signature_check(&key, bytes_of(algorithm, (size_t) n), BYTES_LIT("message"),
                                     bytes_of(signature, len), NULL),
                 PKI_OK);
    cr_expect_eq(pki_signature_check(&key, bytes_of(algorithm, (size_t) n), BYTES_LIT("massage"),
                                     bytes_of(signature, len), NULL),
                 PKI_E_SIGNATURE);
    cr_expect_eq(pki_signature_check(&key, bytes_of(algorithm, (size_t) n), BYTES_LIT("message"),
                                     bytes_of(signature, len - 1), NULL),
                 PKI_E_SIGNATURE);
    OPENSSL_free(spki);
    OPENSSL_free(algorithm);
    X509_PUBKEY_free(pub);
    X509_ALGOR_free(algor);
}

Test(key, signs_with_sha2_in_all_lengths_and_nothing_weaker)
{
    static const struct {
        pki_key_kind_t kind;
        int            nids[PKI_SIGALGS_MAX];
    } rows[] = {
        { PKI_KEY_RSA, { NID_sha256WithRSAEncryption, NID_sha384WithRSAEncryption, NID_sha512WithRSAEncryption } },
        { PKI_KEY_P256, { NID_ecdsa_with_SHA256, NID_ecdsa_with_SHA384, NID_ecdsa_with_SHA512 } },
        { PKI_KEY_P384, { NID_ecdsa_with_SHA256, NID_ecdsa_with_SHA384, NID_ecdsa_with_SHA512 } },
        { PKI_KEY_ED25519, { NID_ED25519, 0, 0 } },
    };
    size_t count, n;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const pki_sigalg_t *algs = pki_key_sigalgs(rows[i].kind, &count);
        bool                usual = false;

        for (n = 0; n < count; n++) {
            X509_ALGOR *algor = X509_ALGOR_new();
            uint8_t    *der = NULL;
            int         md = 0, len;

            cr_assert_neq(rows[i].nids[n], 0);
            X509_ALGOR_set0(algor, OBJ_nid2obj(rows[i].nids[n]),
                            rows[i].kind == PKI_KEY_RSA ? V_ASN1_NULL : V_ASN1_UNDEF, NULL);
            len = i2d_X509_ALGOR(algor, &der);
            cr_expect(bytes_eq(algs[n].identifier, bytes_of(der, (size_t) len)), "%zu %zu", i, n);
            cr_expect_eq(OBJ_find_sigid_algs(rows[i].nids[n], &md, NULL), 1);
            cr_expect(algs[n].digest == NULL
                          ? md == NID_undef
                          : (size_t) EVP_MD_get_size(EVP_get_digestbyname(algs[n].digest)) == algs[n].digest_len
                                && EVP_MD_get_type(EVP_get_digestbyname(algs[n].digest)) == md);
            usual = usual || &algs[n] == pki_key_sigalg(rows[i].kind);
            OPENSSL_free(der);
            X509_ALGOR_free(algor);
        }
        cr_expect(usual && (n == PKI_SIGALGS_MAX || rows[i].nids[n] == 0), "%zu", i);
    }
    cr_expect_null(pki_key_sigalgs(PKI_KEY_NONE, &count));
    cr_expect_eq(count, 0);
}

Test(key, a_signature_by_another_kind_of_key_is_refused)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        PKI_AUTO(EVP_PKEY) pkey = generate(&cases[i]);
        uint8_t  *spki = NULL;
        int       n = i2d_PUBKEY(pkey, &spki);
        pki_key_t key;

        cr_assert_eq(pki_key_parse(bytes_of(spki, (size_t) n), &key, NULL), PKI_OK);
        for (size_t j = 0; j < sizeof(cases) / sizeof(cases[0]); j++) {
            cr_expect_eq(pki_signature_check(&key, pki_key_sigalg(cases[j].kind)->identifier, BYTES_LIT("m"),
                                             BYTES_LIT("s"), NULL),
                         PKI_E_SIGNATURE);
        }
        OPENSSL_free(spki);
    }
}

Test(key, absent_parameters_of_an_rsa_signature_mean_the_same_as_null)
{
    static const uint8_t sha256_rsa[] = {0x30, 0x0b, 0x06, 0x09, 0x2a, 0x86, 0x48,
                                         0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b};
    PKI_AUTO(EVP_PKEY) pkey = EVP_RSA_gen(2048);
    uint8_t  *spki = NULL, signature[256];
    int       n = i2d_PUBKEY(pkey, &spki);
    pki_key_t key;
    size_t    len = sign(pkey, "SHA256", signature, sizeof(signature));

    cr_assert_eq(pki_key_parse(bytes_of(spki, (size_t) n), &key, NULL), PKI_OK);
    cr_expect_eq(pki_signature_check(&key, BYTES_ARR(sha256_rsa), BYTES_LIT("message"),
                                     bytes_of(signature, len), NULL),
                 PKI_OK);
    OPENSSL_free(spki);
}

/* A SubjectPublicKeyInfo of an RSA key whose modulus is all ones, len octets long after its first. */
static bytes_t
rsa_spki(pki_arena_t *a, uint8_t first, size_t len, uint64_t e)
{
    static const uint8_t algorithm[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                        0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
    uint8_t             *n = pki_alloc(a, len + 1);
    pki_buf_t            out;
    size_t               seq, bits, inner;

    memset(n, 0xff, len + 1);
    n[0] = first;
    pki_buf_init(&out, a, 10000);
    seq = der_open(&out, DER_SEQUENCE);
    pki_buf_put(&out, BYTES_ARR(algorithm));
    bits = der_open(&out, DER_BIT_STRING);
    pki_buf_put_u8(&out, 0);
    inner = der_open(&out, DER_SEQUENCE);
    der_put_unsigned(&out, bytes_of(n, len + 1));
    der_put_uint(&out, DER_INTEGER, e);
    der_close(&out, inner);
    der_close(&out, bits);
    der_close(&out, seq);
    return pki_buf_bytes(&out);
}

Test(key, counts_the_bits_of_a_modulus)
{
    static const struct {
        uint8_t    first;
        size_t     len;
        pki_code_t code;
        unsigned   bits;
    } rows[] = {
        {0xff, 255, PKI_OK, 2048},     {0x80, 255, PKI_OK, 2048}, {0x7f, 255, PKI_E_KEY, 2047},
        {0x01, 256, PKI_OK, 2049},     {0xff, 511, PKI_OK, 4096}, {0x01, 512, PKI_E_KEY, 4097},
        {0xff, 2000, PKI_E_KEY, 8192}, {0x01, 0, PKI_E_KEY, 1},
    };
    pki_arena_t *a = pki_arena_new(0);
    pki_key_t    key;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_expect_eq(pki_key_parse(rsa_spki(a, rows[i].first, rows[i].len, 65537), &key, NULL), rows[i].code);
        cr_expect_eq(key.bits, rows[i].bits, "%zu: %u", i, key.bits);
    }
    cr_expect_eq(pki_key_parse(rsa_spki(a, 0xff, 255, 3), &key, NULL), PKI_OK);
    cr_expect_eq(pki_key_parse(rsa_spki(a, 0xff, 255, UINT32_MAX), &key, NULL), PKI_OK);
    cr_expect_eq(pki_key_parse(rsa_spki(a, 0xff, 255, 1), &key, NULL), PKI_E_KEY);
    cr_expect_eq(pki_key_parse(rsa_spki(a, 0xff, 255, 65536), &key, NULL), PKI_E_KEY);
    cr_expect_eq(pki_key_parse(rsa_spki(a, 0xff, 255, (1ull << 32) + 1), &key, NULL), PKI_E_KEY);
    pki_arena_free(a);
}

/* Of what others have certified. */
Test(key, tells_the_facts_of_keys_that_are_not_ours)
{
    const struct {
        EVP_PKEY   *pkey;
        const char *algorithm;
        unsigned    bits;
        bool        weak, ours;
    } rows[] = {
        { EVP_RSA_gen(1024), "RSA", 1024, true, false },
        { EVP_RSA_gen(2048), "RSA", 2048, false, true },
        { EVP_EC_gen("P-192"), "ECDSA", 192, true, false },
        { EVP_EC_gen("P-256"), "ECDSA", 256, false, true },
        { EVP_EC_gen("P-521"), "ECDSA", 521, false, false },
        { EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "Ed25519", 256, false, true },
        { EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), "Ed448", 456, false, false },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t        *spki = NULL;
        int             n = i2d_PUBKEY(rows[i].pkey, &spki);
        pki_key_facts_t facts;
        pki_key_t       key;

        cr_assert_gt(n, 0);
        cr_assert_eq(pki_key_facts(bytes_of(spki, (size_t) n), &facts, NULL), PKI_OK, "%zu", i);
        cr_expect_str_eq(facts.algorithm, rows[i].algorithm);
        cr_expect_eq(facts.bits, rows[i].bits, "%zu: %u", i, facts.bits);
        cr_expect_eq(facts.weak, rows[i].weak, "%zu", i);
        cr_expect_eq(pki_key_parse(bytes_of(spki, (size_t) n), &key, NULL) == PKI_OK, rows[i].ours, "%zu", i);
        cr_expect(!rows[i].ours || strcmp(pki_key_algorithm(key.kind), facts.algorithm) == 0);
        cr_expect_eq(pki_key_facts(bytes_of(spki, (size_t) n - 1), &facts, NULL), PKI_E_KEY);
        OPENSSL_free(spki);
        EVP_PKEY_free(rows[i].pkey);
    }
}

Test(key, signatures_over_sha1_and_md5_are_weak)
{
    static const int nids[] = { NID_sha1WithRSAEncryption, NID_md5WithRSAEncryption, NID_ecdsa_with_SHA1,
                                NID_sha256WithRSAEncryption, NID_ecdsa_with_SHA384, NID_ED25519 };

    for (size_t i = 0; i < sizeof(nids) / sizeof(nids[0]); i++) {
        X509_ALGOR *algor = X509_ALGOR_new();
        uint8_t    *der = NULL;

        X509_ALGOR_set0(algor, OBJ_nid2obj(nids[i]), V_ASN1_UNDEF, NULL);
        cr_expect_eq(pki_sigalg_is_weak(bytes_of(der, (size_t) i2d_X509_ALGOR(algor, &der))), i < 3, "%zu", i);
        OPENSSL_free(der);
        X509_ALGOR_free(algor);
    }
}

Test(key, names_for_key_generation)
{
    static const char *const wrong[] = {"",         "rsa",   "rsa-1024", "rsa-2049",
                                        "rsa-8192", "P-256", "p-521",    "ed448"};
    pki_key_kind_t           kind;
    unsigned                 bits;

    cr_expect(pki_key_name_parse("rsa-3072", &kind, &bits));
    cr_expect_eq(kind, PKI_KEY_RSA);
    cr_expect_eq(bits, 3072);
    cr_expect(pki_key_name_parse("ed25519", &kind, &bits));
    cr_expect_eq(kind, PKI_KEY_ED25519);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_expect_not(pki_key_name_parse(wrong[i], &kind, &bits), "%s", wrong[i]);
    }
}
