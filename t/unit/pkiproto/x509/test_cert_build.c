/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Building certificates: OpenSSL reads, verifies and judges what we build, strictly.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include <openssl/x509v3.h>

#include "pkiproto/base/ossl.h"
#include "pkiproto/x509/cert.h"
#include "pkiproto/x509/csr.h"
#include "t/unit/pkiproto/vector.h"

#define NOT_BEFORE 1893456000 /* 2030-01-01 */
#define NOT_AFTER 2524608000  /* 2050-01-01: the first GeneralizedTime */

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

TestSuite(cert_build, .init = setup, .fini = teardown);

typedef struct {
    EVP_PKEY *pkey;
    pki_key_t key;
    uint8_t   id[20];
} signer_t;

static signer_t
signer_new(EVP_PKEY *pkey)
{
    signer_t s = {.pkey = pkey};
    uint8_t *spki = NULL;
    bytes_t  copy;
    int      n = i2d_PUBKEY(pkey, &spki);

    cr_assert_gt(n, 0);
    cr_assert_eq(pki_arena_own(arena, pkey, (pki_free_pt) EVP_PKEY_free, NULL), PKI_OK);
    cr_assert_eq(pki_bytes_dup(arena, bytes_of(spki, (size_t) n), &copy, NULL), PKI_OK);
    cr_assert_eq(pki_key_parse(copy, &s.key, NULL), PKI_OK);
    cr_assert(pki_key_id(&s.key, s.id));
    OPENSSL_free(spki);
    return s;
}

static bytes_t
name_of(const char *text)
{
    bytes_t out;

    cr_assert_eq(name_build(arena, text, &out, NULL), PKI_OK);
    return out;
}

static cert_template_t
ca_template(const signer_t *s)
{
    return (cert_template_t){.serial = BYTES_LIT("\x01"),
                             .issuer = name_of("CN=CA,O=Example,C=GB"),
                             .subject = name_of("CN=CA,O=Example,C=GB"),
                             .not_before = NOT_BEFORE,
                             .not_after = NOT_AFTER,
                             .spki = s->key.spki,
                             .sigalg = pki_key_sigalg(s->key.kind),
                             .skid = BYTES_ARR(s->id),
                             .is_ca = true,
                             .path_len = -1,
                             .key_usage = KU_KEY_CERT_SIGN | KU_CRL_SIGN};
}

static const uint8_t san_one[] = {0x30, 0x0b, 0x82, 9, 'a', '.', 'e', 'x', 'a', 'm', 'p', 'l', 'e'};

static cert_template_t
leaf_template(const signer_t *ca, const signer_t *leaf)
{
    return (cert_template_t){.serial = BYTES_LIT("\x00\xff\x01"),
                             .issuer = name_of("CN=CA,O=Example,C=GB"),
                             .subject = name_of("CN=leaf"),
                             .not_before = NOT_BEFORE,
                             .not_after = NOT_BEFORE + 86400,
                             .spki = leaf->key.spki,
                             .sigalg = pki_key_sigalg(ca->key.kind),
                             .akid = BYTES_ARR(ca->id),
                             .skid = BYTES_ARR(leaf->id),
                             .path_len = -1,
                             .key_usage = cert_leaf_key_usage(leaf->key.kind),
                             .eku = EKU_SERVER_AUTH | EKU_CLIENT_AUTH,
                             .san = BYTES_ARR(san_one),
                             .ocsp_url = "http://pki.example/ocsp/iss",
                             .ca_issuers_url = "http://pki.example/ca.crt",
                             .crl_url = "http://pki.example/crl/iss.crl"};
}

static bytes_t
build(const cert_template_t *t, const signer_t *s)
{
    PKI_AUTO(EVP_MD_CTX) ctx = EVP_MD_CTX_new();
    pki_buf_t tbs, out;
    pki_err_t err = {.text = ""};
    uint8_t   signature[512];
    size_t    len = sizeof(signature);

    pki_buf_init(&tbs, arena, CERT_MAX);
    pki_buf_init(&out, arena, CERT_MAX);
    cr_assert_eq(cert_build_tbs(t, &tbs, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(EVP_DigestSignInit_ex(ctx, NULL, t->sigalg->digest, NULL, NULL, s->pkey, NULL), 1);
    cr_assert_eq(EVP_DigestSign(ctx, signature, &len, tbs.p, tbs.len), 1);
    cr_assert_eq(signed_build(pki_buf_bytes(&tbs), t->sigalg, bytes_of(signature, len), &out, &err), PKI_OK);
    return pki_buf_bytes(&out);
}

static X509 *
x509_of(bytes_t der)
{
    const uint8_t *p = der.p;
    X509          *x = d2i_X509(NULL, &p, (long) der.len);

    cr_assert_not_null(x);
    cr_assert_eq(p, der.p + der.len);
    cr_assert_eq(pki_arena_own(arena, x, (pki_free_pt) X509_free, NULL), PKI_OK);
    return x;
}

static EVP_PKEY *
key_of_kind(int kind)
{
    return kind == PKI_KEY_RSA    ? EVP_RSA_gen(2048)
           : kind == PKI_KEY_P256 ? EVP_EC_gen("P-256")
           : kind == PKI_KEY_P384 ? EVP_EC_gen("P-384")
                                  : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

ParameterizedTestParameters(cert_build, openssl_verifies_chains_of_every_kind_of_key)
{
    static int kinds[] = {PKI_KEY_RSA, PKI_KEY_P256, PKI_KEY_P384, PKI_KEY_ED25519};

    return cr_make_param_array(int, kinds, sizeof(kinds) / sizeof(kinds[0]));
}

ParameterizedTest(int *kind, cert_build, openssl_verifies_chains_of_every_kind_of_key)
{
    signer_t        ca = signer_new(key_of_kind(*kind)), leaf = signer_new(key_of_kind(*kind));
    cert_template_t ca_t = ca_template(&ca), leaf_t = leaf_template(&ca, &leaf);
    X509           *root = x509_of(build(&ca_t, &ca)), *end = x509_of(build(&leaf_t, &ca));

    PKI_AUTO(X509_STORE) store = X509_STORE_new();
    PKI_AUTO(X509_STORE_CTX) ctx = X509_STORE_CTX_new();
    X509_STORE_add_cert(store, root);
    X509_STORE_CTX_init(ctx, store, end, NULL);
    X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx),
                                X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
    X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), NOT_BEFORE + 60);
    X509_VERIFY_PARAM_set_purpose(X509_STORE_CTX_get0_param(ctx), X509_PURPOSE_SSL_SERVER);
    cr_expect_eq(X509_verify_cert(ctx), 1, "%s",
                 X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    cr_expect_eq(X509_check_ca(root), 1);
    cr_expect_eq(X509_check_ca(end), 0);
    cr_expect_eq(X509_check_host(end, "a.example", 0, 0, NULL), 1);
}

Test(cert_build, our_reader_reads_back_what_was_built)
{
    signer_t        ca = signer_new(EVP_EC_gen("P-256")), leaf = signer_new(EVP_EC_gen("P-256"));
    cert_template_t ca_t = ca_template(&ca), t = leaf_template(&ca, &leaf);
    cert_t          root, cert;

    cr_assert_eq(cert_parse(arena, build(&ca_t, &ca), &root, NULL), PKI_OK);
    cr_assert_eq(cert_parse(arena, build(&t, &ca), &cert, NULL), PKI_OK);
    cr_expect_eq(cert_check_ca(&root, NULL), PKI_OK);
    cr_expect_eq(cert_check_issued_by(&root, &root, NULL), PKI_OK);
    cr_expect_eq(cert_check_issued_by(&cert, &root, NULL), PKI_OK);
    cr_expect(bytes_eq(cert.serial, t.serial));
    cr_expect(bytes_eq(cert.subject, t.subject));
    cr_expect_eq(cert.not_before, t.not_before);
    cr_expect_eq(cert.not_after, t.not_after);
    cr_expect_eq(root.not_after, NOT_AFTER);
    cr_expect_eq(cert.eku, t.eku);
    cr_expect_eq(cert.key_usage, t.key_usage);
    cr_expect(bytes_eq(cert.san, t.san));
}

/* "critical;hex of the value" of one extension, as OpenSSL finds it, or NULL. */
static const char *
extension_of(X509 *x, int nid)
{
    int                at = X509_get_ext_by_NID(x, nid, -1);
    X509_EXTENSION    *ext = at >= 0 ? X509_get_ext(x, at) : NULL;
    ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(ext);
    char              *hex, *out;

    if (ext == NULL) {
        return NULL;
    }
    hex = OPENSSL_buf2hexstr(ASN1_STRING_get0_data(value), ASN1_STRING_length(value));
    out = pki_printf(arena, "%s%s", X509_EXTENSION_get_critical(ext) ? "critical;" : "", hex);
    OPENSSL_free(hex);
    return out;
}

static void
expect_extension(X509 *x, int nid, const char *want)
{
    const char *got = extension_of(x, nid);

    if (want == NULL) {
        cr_expect_null(got, "%s is there", OBJ_nid2sn(nid));
    } else {
        cr_assert_not_null(got, "%s is missing", OBJ_nid2sn(nid));
        cr_expect_str_eq(got, want);
    }
}

Test(cert_build, a_leaf_has_the_extensions_that_linters_want)
{
    signer_t        ca = signer_new(EVP_EC_gen("P-256")), leaf = signer_new(EVP_EC_gen("P-256"));
    cert_template_t t = leaf_template(&ca, &leaf);
    X509           *x = x509_of(build(&t, &ca));

    cr_expect_eq(X509_get_version(x), X509_VERSION_3);
    cr_expect_eq(X509_get_ext_count(x), 8);
    expect_extension(x, NID_basic_constraints, "critical;30:00");
    expect_extension(x, NID_key_usage, "critical;03:02:07:80");
    expect_extension(x, NID_ext_key_usage,
                     "30:14:06:08:2B:06:01:05:05:07:03:01:06:08:2B:06:01:05:05:07:03:02");
    expect_extension(x, NID_subject_alt_name, "30:0B:82:09:61:2E:65:78:61:6D:70:6C:65");
    cr_expect_eq(strncmp(extension_of(x, NID_authority_key_identifier), "30:16:80:14:", 12), 0);
    cr_expect_eq(strncmp(extension_of(x, NID_subject_key_identifier), "04:14:", 6), 0);
    cr_expect_null(extension_of(x, NID_id_pkix_OCSP_noCheck));
    cr_expect_eq(X509_EXTENSION_get_critical(X509_get_ext(x, X509_get_ext_by_NID(x, NID_info_access, -1))),
                 0);
    cr_expect_eq(
        X509_EXTENSION_get_critical(X509_get_ext(x, X509_get_ext_by_NID(x, NID_crl_distribution_points, -1))),
        0);
}

/* The text that OpenSSL prints of AIA and CDP tells their structure. */
Test(cert_build, addresses_are_where_openssl_looks_for_them)
{
    signer_t        ca = signer_new(EVP_EC_gen("P-256")), leaf = signer_new(EVP_EC_gen("P-256"));
    cert_template_t t = leaf_template(&ca, &leaf);
    X509           *x = x509_of(build(&t, &ca));
    STACK_OF(OPENSSL_STRING) *ocsp = X509_get1_ocsp(x);
    CRL_DIST_POINTS       *points = X509_get_ext_d2i(x, NID_crl_distribution_points, NULL, NULL);
    AUTHORITY_INFO_ACCESS *access = X509_get_ext_d2i(x, NID_info_access, NULL, NULL);
    DIST_POINT            *point;
    GENERAL_NAME          *uri;

    cr_assert_eq(sk_OPENSSL_STRING_num(ocsp), 1);
    cr_expect_str_eq(sk_OPENSSL_STRING_value(ocsp, 0), t.ocsp_url);
    cr_assert_eq(sk_ACCESS_DESCRIPTION_num(access), 2);
    cr_expect_eq(OBJ_obj2nid(sk_ACCESS_DESCRIPTION_value(access, 1)->method), NID_ad_ca_issuers);
    cr_assert_eq(sk_DIST_POINT_num(points), 1);
    point = sk_DIST_POINT_value(points, 0);
    cr_expect_null(point->reasons);
    cr_expect_null(point->CRLissuer);
    cr_assert_eq(point->distpoint->type, 0);
    cr_assert_eq(sk_GENERAL_NAME_num(point->distpoint->name.fullname), 1);
    uri = sk_GENERAL_NAME_value(point->distpoint->name.fullname, 0);
    cr_assert_eq(uri->type, GEN_URI);
    cr_expect_str_eq((const char *) ASN1_STRING_get0_data(uri->d.ia5), t.crl_url);
    X509_email_free(ocsp);
    CRL_DIST_POINTS_free(points);
    AUTHORITY_INFO_ACCESS_free(access);
}

Test(cert_build, a_ca_has_critical_constraints_and_no_more_than_was_asked)
{
    signer_t        ca = signer_new(EVP_EC_gen("P-384"));
    cert_template_t t = ca_template(&ca);
    X509           *x = x509_of(build(&t, &ca));

    cr_expect_eq(X509_get_ext_count(x), 3);
    expect_extension(x, NID_basic_constraints, "critical;30:03:01:01:FF");
    expect_extension(x, NID_key_usage, "critical;03:02:01:06");
    t.path_len = 0;
    t.key_usage |= KU_DIGITAL_SIGNATURE;
    x = x509_of(build(&t, &ca));
    expect_extension(x, NID_basic_constraints, "critical;30:06:01:01:FF:02:01:00");
    expect_extension(x, NID_key_usage, "critical;03:02:01:86");
}

Test(cert_build, a_responder_certificate_has_nocheck_and_no_addresses)
{
    signer_t        ca = signer_new(EVP_EC_gen("P-256")), responder = signer_new(EVP_EC_gen("P-256"));
    cert_template_t t = leaf_template(&ca, &responder);
    X509           *x;

    t.ocsp_url = t.ca_issuers_url = t.crl_url = NULL;
    t.san = BYTES_NONE;
    t.eku = EKU_OCSP_SIGNING;
    t.ocsp_nocheck = true;
    x = x509_of(build(&t, &ca));
    expect_extension(x, NID_id_pkix_OCSP_noCheck, "05:00");
    expect_extension(x, NID_ext_key_usage, "30:0A:06:08:2B:06:01:05:05:07:03:09");
    expect_extension(x, NID_info_access, NULL);
    expect_extension(x, NID_crl_distribution_points, NULL);
    expect_extension(x, NID_subject_alt_name, NULL);
    expect_extension(x, NID_key_usage, "critical;03:02:07:80");
}

Test(cert_build, what_must_be_stapled_says_so)
{
    signer_t        ca = signer_new(EVP_EC_gen("P-256")), leaf = signer_new(EVP_EC_gen("P-256"));
    cert_template_t t = leaf_template(&ca, &leaf);

    expect_extension(x509_of(build(&t, &ca)), NID_tlsfeature, NULL);
    t.must_staple = true;
    expect_extension(x509_of(build(&t, &ca)), NID_tlsfeature, "30:03:02:01:05");
}

Test(cert_build, the_san_is_critical_exactly_when_the_subject_is_empty)
{
    signer_t        ca = signer_new(EVP_EC_gen("P-256")), leaf = signer_new(EVP_EC_gen("P-256"));
    cert_template_t t = leaf_template(&ca, &leaf);

    t.subject = name_of("");
    expect_extension(x509_of(build(&t, &ca)), NID_subject_alt_name,
                     "critical;30:0B:82:09:61:2E:65:78:61:6D:70:6C:65");
}

Test(cert_build, refuses_templates_that_make_no_certificate)
{
    signer_t        ca = signer_new(EVP_EC_gen("P-256"));
    cert_template_t good = leaf_template(&ca, &ca), wrong[16];
    size_t          n = 0;
    pki_buf_t       out;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        wrong[i] = good;
    }
    wrong[n++].serial = BYTES_NONE;
    wrong[n++].serial = BYTES_LIT("\x00");
    wrong[n++].serial = BYTES_LIT("\x00\x7f");
    wrong[n++].serial = BYTES_LIT("\x80");
    wrong[n++].serial = BYTES_LIT("123456789012345678901");
    wrong[n++].not_after = good.not_before - 1;
    wrong[n++].issuer = BYTES_LIT("\x30\x00");
    wrong[n++].key_usage = 0;
    wrong[n++].key_usage = KU_KEY_CERT_SIGN;
    wrong[n++].path_len = 0;
    wrong[n++].eku = EKU_ANY;
    wrong[n++].spki = BYTES_NONE;
    wrong[n++].sigalg = NULL;
    wrong[n].must_staple = true;
    wrong[n++].ocsp_url = NULL;
    wrong[n].san = BYTES_NONE;
    wrong[n++].subject = BYTES_LIT("\x30\x00");
    for (size_t i = 0; i < n; i++) {
        pki_buf_init(&out, arena, CERT_MAX);
        cr_expect_eq(cert_build_tbs(&wrong[i], &out, NULL), PKI_E_INVALID, "%zu", i);
    }
    pki_buf_init(&out, arena, 100);
    cr_expect_eq(cert_build_tbs(&good, &out, NULL), PKI_E_TOO_LARGE);
}

Test(cert_build, serials_are_positive_and_differ)
{
    uint8_t serials[200][CERT_SERIAL_LEN];

    for (size_t i = 0; i < 200; i++) {
        cr_assert_eq(cert_serial_generate(serials[i], NULL), PKI_OK);
        cr_expect(serials[i][0] > 0 && serials[i][0] < 0x80);
        for (size_t j = 0; j < i; j++) {
            cr_expect_neq(memcmp(serials[i], serials[j], CERT_SERIAL_LEN), 0);
        }
    }
}

Test(cert_build, key_usage_fits_the_key)
{
    cr_expect_eq(cert_leaf_key_usage(PKI_KEY_RSA), KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT);
    cr_expect_eq(cert_leaf_key_usage(PKI_KEY_P256), KU_DIGITAL_SIGNATURE);
    cr_expect_eq(cert_leaf_key_usage(PKI_KEY_ED25519), KU_DIGITAL_SIGNATURE);
}

/* Everything from a request's octets to a certificate to be signed, with the nth allocation failing. */
static pki_code_t
issue(pki_arena_t *a, bytes_t der, const cert_template_t *base)
{
    cert_template_t t = *base;
    const char     *text;
    pki_buf_t       tbs, out;
    csr_t           csr;
    cert_t          cert;

    PKI_TRY(csr_parse(a, der, &csr, NULL));
    PKI_TRY(name_print(a, csr.subject, &text, NULL));
    PKI_TRY(general_name_print(a, &csr.names.v[0], &text, NULL));
    PKI_TRY(name_build(a, "CN=CA,O=Example,C=GB", &t.issuer, NULL));
    t.subject = csr.subject;
    t.san = csr.san;
    t.spki = csr.key.spki;
    pki_buf_init(&tbs, a, CERT_MAX);
    pki_buf_init(&out, a, CERT_MAX);
    PKI_TRY(cert_build_tbs(&t, &tbs, NULL));
    PKI_TRY(signed_build(pki_buf_bytes(&tbs), t.sigalg, BYTES_LIT("signature"), &out, NULL));
    return cert_parse(a, pki_buf_bytes(&out), &cert, NULL);
}

Test(cert_build, every_failing_allocation_is_an_ordinary_error)
{
    signer_t        ca = signer_new(EVP_EC_gen("P-256"));
    cert_template_t t = leaf_template(&ca, &ca);
    bytes_t         der = vector_read(arena, "csr/good-names.der");
    pki_code_t      rc = PKI_E_NOMEM;
    size_t          n;

    for (n = 1; rc != PKI_OK; n++) {
        pki_arena_t *a = pki_arena_new(0);

        pki_arena_fail_after(a, n);
        rc = issue(a, der, &t);
        cr_assert(rc == PKI_OK || rc == PKI_E_NOMEM, "allocation %zu: %s", n, pki_code_name(rc));
        pki_arena_free(a);
    }
    cr_expect_gt(n, 10);
}
