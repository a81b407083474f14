/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Reading certificates that the openssl command made, with OpenSSL's reader as the judge.
 */
#include "pkiproto/x509/cert.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

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

TestSuite(cert, .init = setup, .fini = teardown);

static cert_t
cert_of(const char *name)
{
    pki_err_t err = {.text = ""};
    char      path[64];
    cert_t    cert;

    snprintf(path, sizeof(path), "cert/%s.der", name);
    cr_assert_eq(cert_parse(arena, vector_read(arena, path), &cert, &err), PKI_OK, "%s: %s", name, err.text);
    return cert;
}

typedef struct {
    char     name[16];
    unsigned bits;
    uint16_t key_usage;
    unsigned eku;
    int      path_len;
    bool     is_ca, has_unknown_critical;
} read_case_t;

ParameterizedTestParameters(cert, reads_what_openssl_reads)
{
    static read_case_t cases[] = {
        {"root", 3072, KU_KEY_CERT_SIGN | KU_CRL_SIGN, 0, -1, true, false},
        {"issuing", 384, KU_DIGITAL_SIGNATURE | KU_KEY_CERT_SIGN | KU_CRL_SIGN, 0, 0, true, false},
        {"leaf", 256, KU_DIGITAL_SIGNATURE, EKU_SERVER_AUTH | EKU_CLIENT_AUTH, -1, false, false},
        {"ed25519", 256, KU_DIGITAL_SIGNATURE, EKU_SERVER_AUTH | EKU_CLIENT_AUTH, -1, false, false},
        {"v1", 2048, 0, 0, -1, false, false},
        {"constrained", 2048, KU_KEY_CERT_SIGN, 0, -1, true, true},
    };

    return cr_make_param_array(read_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

static int64_t
time_of(const ASN1_TIME *t)
{
    struct tm tm;

    cr_assert_eq(ASN1_TIME_to_tm(t, &tm), 1);
    return timegm(&tm);
}

static void
expect_octets(bytes_t got, const ASN1_OCTET_STRING *want)
{
    cr_expect(want == NULL
                  ? got.p == NULL
                  : bytes_eq(got, bytes_of(ASN1_STRING_get0_data(want), (size_t) ASN1_STRING_length(want))));
}

ParameterizedTest(read_case_t *c, cert, reads_what_openssl_reads)
{
    cert_t         cert = cert_of(c->name);
    const uint8_t *p = cert.der.p;
    uint8_t       *name = NULL;
    int            n;

    PKI_AUTO(X509) x = d2i_X509(NULL, &p, (long) cert.der.len);
    cr_assert_not_null(x);
    cr_expect_eq(cert.key.bits, c->bits);
    cr_expect_eq(cert.key_usage, c->key_usage);
    cr_expect_eq(cert.eku, c->eku);
    cr_expect_eq(cert.path_len, c->path_len);
    cr_expect_eq(cert.is_ca, c->is_ca);
    cr_expect_eq(cert.has_unknown_critical, c->has_unknown_critical);
    cr_expect_eq(cert.not_before, time_of(X509_get0_notBefore(x)));
    cr_expect_eq(cert.not_after, time_of(X509_get0_notAfter(x)));
    expect_octets(cert.skid, X509_get0_subject_key_id(x));
    expect_octets(cert.akid, X509_get0_authority_key_id(x));
    n = i2d_X509_NAME(X509_get_subject_name(x), &name);
    cr_expect(bytes_eq(cert.subject, bytes_of(name, (size_t) n)));
    OPENSSL_free(name);
}

Test(cert, keeps_the_serial_as_it_is_encoded)
{
    cr_expect(bytes_eq(cert_of("leaf").serial, BYTES_LIT("\x00\x80\xff")));
    cr_expect(bytes_eq(cert_of("issuing").serial, BYTES_LIT("\x7f\xab\xcd\xef")));
}

Test(cert, reads_the_names)
{
    cert_t      cert = cert_of("leaf");
    const char *text;

    cr_assert_eq(cert.names.count, 2);
    cr_assert_eq(general_name_print(arena, &cert.names.v[1], &text, NULL), PKI_OK);
    cr_expect_str_eq(text, "ip:192.0.2.7");
}

typedef struct {
    char       cert[16], issuer[16];
    pki_code_t code;
} issued_case_t;

ParameterizedTestParameters(cert, checks_who_issued_it)
{
    static issued_case_t cases[] = {
        {"root", "root", PKI_OK},        {"issuing", "root", PKI_OK},
        {"leaf", "issuing", PKI_OK},     {"ed25519", "issuing", PKI_OK},
        {"leaf", "root", PKI_E_INVALID}, {"root", "issuing", PKI_E_INVALID},
        {"v1", "v1", PKI_E_INVALID},     {"constrained", "constrained", PKI_OK},
        {"v1", "constrained", PKI_OK},   {"constrained", "v1", PKI_E_INVALID},
    };

    return cr_make_param_array(issued_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(issued_case_t *c, cert, checks_who_issued_it)
{
    cert_t    cert = cert_of(c->cert), issuer = cert_of(c->issuer);
    pki_err_t err = {.text = ""};

    cr_expect_eq(cert_check_issued_by(&cert, &issuer, &err), c->code, "%s by %s: %s", c->cert, c->issuer,
                 err.text);
}

Test(cert, a_changed_octet_breaks_the_signature_and_other_key_ids_do_not_chain)
{
    cert_t   leaf = cert_of("leaf"), issuing = cert_of("issuing");
    uint8_t *copy = malloc(leaf.tbs.len);

    memcpy(copy, leaf.tbs.p, leaf.tbs.len);
    copy[leaf.tbs.len - 1] ^= 1;
    leaf.tbs.p = copy;
    cr_expect_eq(cert_check_issued_by(&leaf, &issuing, NULL), PKI_E_SIGNATURE);
    free(copy);
    leaf = cert_of("leaf");
    issuing.skid = BYTES_LIT("another");
    cr_expect_eq(cert_check_issued_by(&leaf, &issuing, NULL), PKI_E_INVALID);
}

Test(cert, an_issuing_ca_needs_everything_it_will_sign)
{
    cert_t ca = cert_of("issuing");

    cr_expect_eq(cert_check_ca(&ca, NULL), PKI_OK);
    ca.key_usage &= (uint16_t) ~KU_KEY_CERT_SIGN;
    cr_expect_eq(cert_check_ca(&ca, NULL), PKI_E_INVALID);
    ca = cert_of("constrained");
    cr_expect_eq(cert_check_ca(&ca, NULL), PKI_E_INVALID, "no cRLSign");
    ca = cert_of("leaf");
    cr_expect_eq(cert_check_ca(&ca, NULL), PKI_E_INVALID);
    ca = cert_of("v1");
    cr_expect_eq(cert_check_ca(&ca, NULL), PKI_E_INVALID);
    ca = cert_of("root");
    ca.skid = BYTES_NONE;
    cr_expect_eq(cert_check_ca(&ca, NULL), PKI_E_INVALID);
}

Test(cert, refuses_every_truncation)
{
    bytes_t whole = vector_read(arena, "cert/leaf.der");
    cert_t  cert;

    for (size_t len = 0; len < whole.len; len++) {
        uint8_t *copy = malloc(len + 1);

        memcpy(copy, whole.p, len);
        cr_expect_eq(cert_parse(arena, bytes_of(copy, len), &cert, NULL), PKI_E_PARSE, "%zu octets", len);
        free(copy);
    }
}

/* Where OpenSSL, which is more lenient, refuses a changed certificate, so do we. */
Test(cert, accepts_no_mutation_that_openssl_refuses)
{
    bytes_t  whole = vector_read(arena, "cert/leaf.der");
    uint8_t *copy = malloc(whole.len);
    size_t   accepted = 0;

    for (size_t i = 0; i < whole.len; i++) {
        pki_arena_t   *a = pki_arena_new(0);
        const uint8_t *p = copy;
        cert_t         cert;

        memcpy(copy, whole.p, whole.len);
        copy[i] ^= 0x04;
        PKI_AUTO(X509) x = d2i_X509(NULL, &p, (long) whole.len);
        if (cert_parse(a, bytes_of(copy, whole.len), &cert, NULL) == PKI_OK) {
            cr_expect_not_null(x, "octet %zu", i);
            accepted++;
        }
        pki_arena_free(a);
    }
    cr_expect_gt(accepted, 0, "changes in the signature or in names are no matter of syntax");
    free(copy);
}

static bytes_t
replaced(bytes_t in, size_t at, const char *octets, size_t len)
{
    uint8_t *copy = pki_alloc(arena, in.len);

    memcpy(copy, in.p, in.len);
    memcpy(copy + at, octets, len);
    return bytes_of(copy, in.len);
}

Test(cert, refuses_wrong_versions_and_serials)
{
    bytes_t whole = vector_read(arena, "cert/leaf.der");
    /* 30 82 xx xx 30 82 xx xx a0 03 02 01 02 02 03 00 80 ff: version at 12, serial at 15. */
    cert_t cert;

    cr_assert_eq(memcmp(whole.p + 8, "\xa0\x03\x02\x01\x02\x02\x03\x00\x80\xff", 10), 0);
    cr_expect_eq(cert_parse(arena, replaced(whole, 12, "\x01", 1), &cert, NULL), PKI_E_PARSE);
    cr_expect_eq(cert_parse(arena, replaced(whole, 12, "\x00", 1), &cert, NULL), PKI_E_PARSE);
    cr_expect_eq(cert_parse(arena, replaced(whole, 15, "\x80\x00\x01", 3), &cert, NULL), PKI_E_PARSE,
                 "negative");
    cr_expect_eq(cert_parse(arena, replaced(whole, 15, "\x00\x00\x01", 3), &cert, NULL), PKI_E_PARSE,
                 "padded");
    cr_expect_eq(cert_parse(arena, replaced(whole, 15, "\x01\x00\x01", 3), &cert, NULL), PKI_OK);
}

Test(cert, refuses_differing_signature_algorithms)
{
    bytes_t        whole = vector_read(arena, "cert/leaf.der");
    const uint8_t *inner = memmem(whole.p, whole.len, "\x2a\x86\x48\xce\x3d\x04\x03", 7);
    cert_t         cert;

    cr_assert_not_null(inner);
    cr_expect_eq(cert_parse(arena, replaced(whole, (size_t) (inner - whole.p) + 7, "\x04", 1), &cert, NULL),
                 PKI_E_PARSE);
}

/* A certificate by OpenSSL that has noRevAvail (RFC 9608) with this value. */
static bytes_t
no_rev_avail_cert(const char *value, size_t len, bool critical)
{
    PKI_AUTO(EVP_PKEY) key = EVP_EC_gen("P-256");
    PKI_AUTO(X509) x = X509_new();
    ASN1_OBJECT       *oid = OBJ_txt2obj("2.5.29.56", 1);
    ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
    X509_EXTENSION    *ext;
    uint8_t           *der = pki_alloc(arena, 2048), *end = der;

    ASN1_OCTET_STRING_set(octets, (const uint8_t *) value, (int) len);
    ext = X509_EXTENSION_create_by_OBJ(NULL, oid, critical, octets);
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, (const uint8_t *) "x", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_add_ext(x, ext, -1);
    X509_sign(x, key, EVP_sha256());
    X509_EXTENSION_free(ext);
    ASN1_OCTET_STRING_free(octets);
    ASN1_OBJECT_free(oid);
    return bytes_of(der, (size_t) i2d_X509(x, &end));
}

Test(cert, reads_no_rev_avail_as_null_and_nothing_else)
{
    static const struct {
        const char *value;
        size_t      len;
        pki_code_t  code;
    } cases[] = {
        { "\x05\x00", 2, PKI_OK },          { "", 0, PKI_E_PARSE },
        { "\x05\x01\x00", 3, PKI_E_PARSE }, { "\x05\x00\x00", 3, PKI_E_PARSE },
        { "\x30\x00", 2, PKI_E_PARSE },
    };
    cert_t cert;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect_eq(cert_parse(arena, no_rev_avail_cert(cases[i].value, cases[i].len, false), &cert, NULL), cases[i].code,
                     "case %zu", i);
    }
    cr_assert_eq(cert_parse(arena, no_rev_avail_cert("\x05\x00", 2, true), &cert, NULL), PKI_OK);
    cr_expect(cert.no_rev_avail && !cert.has_unknown_critical);
}

Test(cert, decodes_one_der_or_many_pem)
{
    cert_list_t list;

    cr_assert_eq(cert_decode(arena, vector_read(arena, "cert/root.der"), 4, &list, NULL), PKI_OK);
    cr_expect_eq(list.count, 1);
    cr_assert_eq(cert_decode(arena, vector_read(arena, "cert/chain.pem"), 4, &list, NULL), PKI_OK);
    cr_assert_eq(list.count, 3);
    cr_expect(bytes_eq(list.v[0], vector_read(arena, "cert/leaf.der")));
    cr_expect(bytes_eq(list.v[2], vector_read(arena, "cert/root.der")));
    cr_expect_eq(cert_decode(arena, vector_read(arena, "cert/chain.pem"), 2, &list, NULL), PKI_E_TOO_LARGE);
    cr_expect_eq(cert_decode(arena, BYTES_LIT("no PEM"), 4, &list, NULL), PKI_E_PARSE);
    cr_expect_eq(cert_decode(arena, BYTES_LIT("\x30\x00\x00"), 4, &list, NULL), PKI_E_PARSE);
    cr_expect_eq(cert_decode(arena, vector_read(arena, "csr/good-p256.pem"), 4, &list, NULL), PKI_E_PARSE);
}

Test(cert, writes_the_pem_that_openssl_writes)
{
    cert_t    root = cert_of("root");
    pki_buf_t out;
    char     *want;
    long      len;

    const uint8_t *p = root.der.p;
    PKI_AUTO(X509) x = d2i_X509(NULL, &p, (long) root.der.len);
    PKI_AUTO(BIO) bio = BIO_new(BIO_s_mem());
    cr_assert_eq(PEM_write_bio_X509(bio, x), 1);
    len = BIO_get_mem_data(bio, &want);
    pki_buf_init(&out, arena, 10000);
    cr_assert_eq(cert_pem(root.der, &out, NULL), PKI_OK);
    cr_expect(bytes_eq(pki_buf_bytes(&out), bytes_of(want, (size_t) len)));
}

Test(cert, prints_for_operators)
{
    static const char *const lines[] = {
        "serial: 0080ff\n",
        "subject: CN=p256.example,O=Example,C=GB\n",
        "issuer: CN=p384.example,O=Example,C=GB\n",
        "name: dns:leaf.example\n",
        "name: ip:192.0.2.7\n",
        "key: p-256\n",
        "key usage: digitalSignature\n",
        "extended key usage: serverAuth clientAuth\n",
        "CA: no\n",
    };
    cert_t    leaf = cert_of("leaf"), issuing = cert_of("issuing");
    pki_buf_t out;

    pki_buf_init(&out, arena, 10000);
    cr_assert_eq(cert_print(&leaf, &out, NULL), PKI_OK);
    pki_buf_put_u8(&out, 0);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        cr_expect_not_null(strstr((const char *) out.p, lines[i]), "%s", lines[i]);
    }
    pki_buf_init(&out, arena, 10000);
    cr_assert_eq(cert_print(&issuing, &out, NULL), PKI_OK);
    pki_buf_put_u8(&out, 0);
    cr_expect_not_null(strstr((const char *) out.p, "CA: yes, path length 0\n"));
}

Test(cert, usage_names_and_bits_are_one_to_one)
{
    unsigned bit;

    for (unsigned b = 1; b <= EKU_ANY; b <<= 1) {
        cr_assert_not_null(eku_name(b));
        cr_assert(eku_parse(eku_name(b), &bit));
        cr_expect_eq(bit, b);
        cr_expect_neq(OBJ_txt2nid(eku_name(b)), NID_undef, "OpenSSL knows %s", eku_name(b));
    }
    cr_expect_not(eku_parse("serverauth", &bit));
    cr_expect_null(eku_name(0x100));
}
