/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The CRL writer: OpenSSL reads, verifies and encodes again what is written here.
 */
#include <criterion/criterion.h>

#include <openssl/x509v3.h>

#include "pkiproto/base/ossl.h"
#include "pkiproto/crl/crl.h"
#include "pkiproto/crl/scope.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NOW      INT64_C(1795191000) /* 2026-11-20 */
#define DAY      86400

/* CN=CRL test */
#define ISSUER BYTES_LIT("\x30\x13\x31\x11\x30\x0f\x06\x03\x55\x04\x03\x0c\x08" "CRL test")
#define AKID   BYTES_LIT("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14")

static pki_arena_t *arena;
static crl_t       *crl;

static void
setup(void)
{
    arena = pki_arena_new(0);
    crl = crl_new();
}

static void
teardown(void)
{
    crl_free(crl);
    pki_arena_free(arena);
}

TestSuite(crl, .init = setup, .fini = teardown);

static crl_template_t
template_of(pki_key_kind_t kind)
{
    return (crl_template_t){ .issuer = ISSUER, .sigalg = pki_key_sigalg(kind), .this_update = NOW,
                             .next_update = NOW + 7 * DAY, .akid = AKID, .number = BYTES_LIT("\x00\xff") };
}

static pki_code_t
collect(void *arg, bytes_t data, pki_err_t *err)
{
    pki_buf_put(arg, data);
    return pki_buf_check(arg, "CRL", err);
}

static bytes_t
written(bytes_t signature)
{
    pki_buf_t out;
    pki_err_t err;

    pki_buf_init(&out, arena, 64 << 20);
    cr_assert_eq(crl_write(crl, signature, collect, &out, &err), PKI_OK, "%s", err.text);
    return pki_buf_bytes(&out);
}

static bytes_t
serial_of(uint32_t n)
{
    uint8_t *p = pki_alloc(arena, 16);

    memset(p, 0x11, 16);
    p[0] = (uint8_t) (n >> 24 & 0x7f) | 1;
    p[1] = (uint8_t) (n >> 16);
    p[2] = (uint8_t) (n >> 8);
    p[3] = (uint8_t) n;
    return bytes_of(p, 16);
}

static void
add(const crl_entry_t *e)
{
    pki_err_t err;

    cr_assert_eq(crl_add(crl, e, &err), PKI_OK, "%s", err.text);
}

static void
add_entries(size_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        crl_entry_t e = {.serial = serial_of(i),
                         .revoked_at = NOW - i,
                         .reason = i % 7 == 0 ? -1 : (int) (i % 7),
                         .invalidity_at = i % 3 == 0 ? NOW - i - DAY : 0};

        add(&e);
    }
}

static void
seal(const crl_template_t *t)
{
    pki_err_t err;

    cr_assert_eq(crl_seal(crl, t, &err), PKI_OK, "%s", err.text);
}

/* As the signer does it: over the digest, or over the whole list for Ed25519. */
static bytes_t
sign(EVP_PKEY *key, const pki_sigalg_t *alg)
{
    uint8_t  *signature = pki_alloc(arena, 1024), digest[64];
    size_t    len = 1024, digest_len;
    pki_buf_t tbs;

    if (alg->digest == NULL) {
        PKI_AUTO(EVP_MD_CTX) ctx = EVP_MD_CTX_new();

        cr_assert_eq(crl_digest(crl, NULL, NULL, digest, sizeof(digest), &digest_len, NULL), PKI_E_UNSUPPORTED);
        pki_buf_init(&tbs, arena, 64 << 20);
        cr_assert_eq(crl_tbs_write(crl, collect, &tbs, NULL), PKI_OK);
        cr_assert_eq(tbs.len, crl_tbs_size(crl));
        cr_assert_eq(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key), 1);
        cr_assert_eq(EVP_DigestSign(ctx, signature, &len, tbs.p, tbs.len), 1);
    } else {
        PKI_AUTO(EVP_PKEY_CTX) ctx = EVP_PKEY_CTX_new(key, NULL);

        cr_assert_eq(crl_digest(crl, NULL, NULL, digest, sizeof(digest), &digest_len, NULL), PKI_OK);
        cr_assert_eq(digest_len, alg->digest_len);
        cr_assert_eq(EVP_PKEY_sign_init(ctx), 1);
        cr_assert_eq(EVP_PKEY_CTX_set_signature_md(ctx, EVP_get_digestbyname(alg->digest)), 1);
        cr_assert_eq(EVP_PKEY_sign(ctx, signature, &len, digest, digest_len), 1);
    }
    return bytes_of(signature, len);
}

/* Read by OpenSSL; the inner part encoded again must be the same octets. */
static X509_CRL *
openssl_reads(bytes_t der)
{
    const uint8_t *p = der.p;
    X509_CRL      *x = d2i_X509_CRL(NULL, &p, (long) der.len);
    uint8_t       *again = NULL;
    crl_view_t     v;
    pki_err_t      err;
    int            len;

    cr_assert(x != NULL && p == der.p + der.len, "OpenSSL does not read it");
    len = i2d_re_X509_CRL_tbs(x, &again);
    cr_assert_eq(crl_parse(der, &v, &err), PKI_OK, "%s", err.text);
    cr_assert(bytes_eq(v.tbs, bytes_of(again, (size_t) len)), "OpenSSL encodes it differently");
    OPENSSL_free(again);
    return x;
}

/* A sealed list with a signature that nobody checks. */
static X509_CRL *
sealed(const crl_template_t *t)
{
    seal(t);
    return openssl_reads(written(BYTES_LIT("signature")));
}

Test(crl, verifies_with_openssl_for_every_kind_of_key, .timeout = 60)
{
    static const pki_key_kind_t kinds[] = { PKI_KEY_RSA, PKI_KEY_P256, PKI_KEY_P384, PKI_KEY_ED25519 };
    static const size_t         counts[] = { 0, 1, 3, 3000 };

    for (size_t i = 0; i < COUNT(kinds) * COUNT(counts); i++) {
        crl_template_t   t = template_of(kinds[i / COUNT(counts)]);
        size_t           count = counts[i % COUNT(counts)];
        X509_CRL        *x;
        PKI_AUTO(EVP_PKEY) key = kinds[i / COUNT(counts)] == PKI_KEY_RSA    ? EVP_RSA_gen(2048)
                                 : kinds[i / COUNT(counts)] == PKI_KEY_P256 ? EVP_EC_gen("P-256")
                                 : kinds[i / COUNT(counts)] == PKI_KEY_P384 ? EVP_EC_gen("P-384")
                                                                   : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

        crl_free(crl);
        crl = crl_new();
        add_entries(count);
        cr_assert_eq(crl_count(crl), count);
        seal(&t);
        x = openssl_reads(written(sign(key, t.sigalg)));
        cr_assert_eq(X509_CRL_verify(x, key), 1, "%zu", i);
        cr_assert_eq(X509_CRL_get_version(x), X509_CRL_VERSION_2);
        cr_assert_eq(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(x)), count == 0 ? -1 : (int) count);
        X509_CRL_free(x);
    }
}

static int64_t
time_of(const ASN1_TIME *t)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int        days, seconds;

    cr_assert_eq(ASN1_TIME_diff(&days, &seconds, epoch, t), 1);
    ASN1_TIME_free(epoch);
    return (int64_t) days * DAY + seconds;
}

Test(crl, openssl_finds_every_entry_as_it_was_given)
{
    crl_template_t t = template_of(PKI_KEY_P256);
    X509_CRL      *x;

    add_entries(2000);
    x = sealed(&t);
    for (uint32_t i = 0; i < 2000; i++) {
        bytes_t               serial = serial_of(i);
        BIGNUM               *bn = BN_bin2bn(serial.p, (int) serial.len, NULL);
        ASN1_INTEGER         *n = BN_to_ASN1_INTEGER(bn, NULL);
        X509_REVOKED         *r = NULL;
        ASN1_ENUMERATED      *reason;
        ASN1_GENERALIZEDTIME *invalidity;
        int                   critical = 7;

        cr_assert_eq(X509_CRL_get0_by_serial(x, &r, n), 1, "%u", i);
        cr_assert_eq(time_of(X509_REVOKED_get0_revocationDate(r)), NOW - i);
        reason = X509_REVOKED_get_ext_d2i(r, NID_crl_reason, &critical, NULL);
        cr_assert_eq(reason != NULL, i % 7 != 0, "%u", i);
        cr_assert(reason == NULL || (ASN1_ENUMERATED_get(reason) == i % 7 && critical == 0), "%u", i);
        invalidity = X509_REVOKED_get_ext_d2i(r, NID_invalidity_date, &critical, NULL);
        cr_assert_eq(invalidity != NULL, i % 3 == 0, "%u", i);
        cr_assert(invalidity == NULL
                  || (time_of(invalidity) == NOW - i - DAY && invalidity->type == V_ASN1_GENERALIZEDTIME
                      && critical == 0), "%u", i);
        ASN1_GENERALIZEDTIME_free(invalidity);
        ASN1_ENUMERATED_free(reason);
        ASN1_INTEGER_free(n);
        BN_free(bn);
    }
    X509_CRL_free(x);
}

Test(crl, writes_utctime_until_2049_and_generalizedtime_after)
{
    static const struct {
        int64_t t;
        int     type;
    } cases[] = {
        { INT64_C(-631152001), V_ASN1_GENERALIZEDTIME }, /* 1949-12-31T23:59:59Z */
        { INT64_C(-631152000), V_ASN1_UTCTIME },
        { INT64_C(2524607999), V_ASN1_UTCTIME }, /* 2049-12-31T23:59:59Z */
        { INT64_C(2524608000), V_ASN1_GENERALIZEDTIME },
    };
    crl_template_t t = template_of(PKI_KEY_P256);
    X509_CRL      *x;

    for (uint32_t i = 0; i < COUNT(cases); i++) {
        crl_entry_t e = { .serial = serial_of(i), .revoked_at = cases[i].t, .reason = -1 };

        add(&e);
    }
    t.this_update = cases[3].t;
    t.next_update = cases[3].t + 1;
    x = sealed(&t);
    for (int i = 0; i < (int) COUNT(cases); i++) {
        const ASN1_TIME *date =
            X509_REVOKED_get0_revocationDate(sk_X509_REVOKED_value(X509_CRL_get_REVOKED(x), i));

        cr_assert_eq(date->type, cases[i].type, "%d", i);
        cr_assert_eq(time_of(date), cases[i].t, "%d", i);
    }
    cr_assert_eq(X509_CRL_get0_lastUpdate(x)->type, V_ASN1_GENERALIZEDTIME);
    X509_CRL_free(x);
    t.this_update = cases[2].t;
    cr_assert_eq(crl_seal(crl, &t, NULL), PKI_E_INVALID);
}

Test(crl, carries_key_identifier_and_number_and_nothing_else)
{
    crl_template_t   t = template_of(PKI_KEY_P256);
    X509_CRL        *x = sealed(&t);
    AUTHORITY_KEYID *akid;
    ASN1_INTEGER    *number;
    int              critical = 7;

    cr_assert_eq(X509_CRL_get_ext_count(x), 2);
    akid = X509_CRL_get_ext_d2i(x, NID_authority_key_identifier, &critical, NULL);
    cr_assert(akid != NULL && critical == 0 && akid->issuer == NULL && akid->serial == NULL);
    cr_assert(bytes_eq(bytes_of(akid->keyid->data, (size_t) akid->keyid->length), AKID));
    number = X509_CRL_get_ext_d2i(x, NID_crl_number, &critical, NULL);
    cr_assert(number != NULL && critical == 0 && ASN1_INTEGER_get(number) == 255);
    cr_assert_eq(time_of(X509_CRL_get0_lastUpdate(x)), NOW);
    cr_assert_eq(time_of(X509_CRL_get0_nextUpdate(x)), NOW + 7 * DAY);
    ASN1_INTEGER_free(number);
    AUTHORITY_KEYID_free(akid);
    X509_CRL_free(x);
}

Test(crl, carries_a_critical_distribution_point_and_the_freshest_pointer)
{
    crl_template_t    t = template_of(PKI_KEY_P256);
    X509_CRL         *x;
    ISSUING_DIST_POINT *idp;
    CRL_DIST_POINTS  *freshest;
    GENERAL_NAME     *uri;
    int               critical = 7;

    t.idp = BYTES_LIT("\x30\x03\x81\x01\xff"); /* onlyContainsUserCerts */
    t.freshest_url = "http://crl.example/delta.crl";
    x = sealed(&t);
    idp = X509_CRL_get_ext_d2i(x, NID_issuing_distribution_point, &critical, NULL);
    cr_assert(idp != NULL && critical == 1 && idp->onlyuser > 0);
    freshest = X509_CRL_get_ext_d2i(x, NID_freshest_crl, &critical, NULL);
    cr_assert(freshest != NULL && critical == 0 && sk_DIST_POINT_num(freshest) == 1);
    uri = sk_GENERAL_NAME_value(sk_DIST_POINT_value(freshest, 0)->distpoint->name.fullname, 0);
    cr_assert(uri->type == GEN_URI && strcmp((char *) uri->d.ia5->data, t.freshest_url) == 0);
    CRL_DIST_POINTS_free(freshest);
    ISSUING_DIST_POINT_free(idp);
    X509_CRL_free(x);
}

/* C-11, C-12, C-15 of RFC 5280, X.509 and CryptoAPI: none is critical, and OpenSSL reads them. */
Test(crl, says_where_its_issuer_is_when_the_next_comes_and_since_when_expired_ones_stay)
{
    crl_template_t         t = template_of(PKI_KEY_P256);
    ASN1_OBJECT           *next = OBJ_txt2obj("1.3.6.1.4.1.311.21.4", 1), *since = OBJ_txt2obj("2.5.29.60", 1);
    static const uint8_t   time[] = { V_ASN1_UTCTIME, 13 }, general[] = { V_ASN1_GENERALIZEDTIME, 15 };
    AUTHORITY_INFO_ACCESS *aia;
    X509_EXTENSION        *e;
    X509_CRL              *x;
    int                    critical = 7;

    t.ca_issuers_url = "http://pki.example/ca/iss.crt";
    t.next_publish = NOW + DAY;
    t.expired_since = NOW - 365 * DAY;
    x = sealed(&t);
    cr_assert_eq(X509_CRL_get_ext_count(x), 5);
    aia = X509_CRL_get_ext_d2i(x, NID_info_access, &critical, NULL);
    cr_assert(aia != NULL && critical == 0 && sk_ACCESS_DESCRIPTION_num(aia) == 1);
    cr_assert_eq(OBJ_obj2nid(sk_ACCESS_DESCRIPTION_value(aia, 0)->method), NID_ad_ca_issuers);
    cr_assert_str_eq((char *) sk_ACCESS_DESCRIPTION_value(aia, 0)->location->d.ia5->data, t.ca_issuers_url);
    e = X509_CRL_get_ext(x, X509_CRL_get_ext_by_OBJ(x, next, -1));
    cr_assert(e != NULL && X509_EXTENSION_get_critical(e) == 0);
    cr_assert_eq(memcmp(ASN1_STRING_get0_data(X509_EXTENSION_get_data(e)), time, 2), 0);
    cr_assert_eq(memcmp(ASN1_STRING_get0_data(X509_EXTENSION_get_data(e)) + 2, "261121", 6), 0);
    e = X509_CRL_get_ext(x, X509_CRL_get_ext_by_OBJ(x, since, -1));
    cr_assert(e != NULL && X509_EXTENSION_get_critical(e) == 0);
    cr_assert_eq(memcmp(ASN1_STRING_get0_data(X509_EXTENSION_get_data(e)), general, 2), 0);
    cr_assert_eq(memcmp(ASN1_STRING_get0_data(X509_EXTENSION_get_data(e)) + 2, "20251120", 8), 0);
    ASN1_OBJECT_free(next);
    ASN1_OBJECT_free(since);
    AUTHORITY_INFO_ACCESS_free(aia);
    X509_CRL_free(x);
}

/* C-10: clients compare the names octet by octet. */
Test(crl, a_shard_names_the_url_as_the_certificate_does)
{
    static const uint8_t spki[] = { 0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00 };
    uint8_t              key[sizeof(spki) + 32] = { 0 };
    const char          *url = crl_url(arena, "http://pki.example//",
                                       &(crl_name_t){ BYTES_LIT("iss-a"), 2, { CRL_SHARD, 17 } });
    crl_template_t       t = template_of(PKI_KEY_P256);
    cert_template_t      cert = { .serial = serial_of(1), .issuer = ISSUER, .subject = ISSUER, .not_before = NOW,
                                  .not_after = NOW + DAY, .spki = BYTES_ARR(key), .path_len = -1, .crl_url = url,
                                  .key_usage = KU_DIGITAL_SIGNATURE,
                                  .sigalg = pki_key_sigalg(PKI_KEY_P256), .akid = AKID };
    pki_buf_t            idp, tbs;
    pki_err_t            err = { 0 };
    X509_CRL            *x;
    ISSUING_DIST_POINT  *point;
    bytes_t              name;
    int                  critical = 7;

    cr_assert_str_eq(url, "http://pki.example/crl/iss-a.g2.s17.crl");
    memcpy(key, spki, sizeof(spki));
    pki_buf_init(&idp, arena, 512);
    crl_idp_put(&idp, url);
    t.idp = pki_buf_bytes(&idp);
    x = sealed(&t);
    point = X509_CRL_get_ext_d2i(x, NID_issuing_distribution_point, &critical, NULL);
    cr_assert(point != NULL && critical == 1 && point->onlyuser == 0 && point->onlyCA == 0);
    cr_assert_eq(sk_GENERAL_NAME_num(point->distpoint->name.fullname), 1);

    pki_buf_init(&tbs, arena, 4096);
    cr_assert_eq(cert_build_tbs(&cert, &tbs, &err), PKI_OK, "%s", err.text);
    name = bytes_of(t.idp.p + 2, t.idp.len - 2); /* DistributionPointName */
    cr_assert(memmem(tbs.p, tbs.len, name.p, name.len) != NULL);
    ISSUING_DIST_POINT_free(point);
    X509_CRL_free(x);
}

Test(crl, becomes_a_delta_by_its_base_number)
{
    crl_template_t t = template_of(PKI_KEY_P256);
    crl_entry_t    e = { .serial = serial_of(1), .revoked_at = NOW, .reason = 8 };
    ASN1_INTEGER  *base;
    X509_CRL      *x;
    int            critical = 7;

    add(&e);
    cr_assert_eq(crl_seal(crl, &t, NULL), PKI_E_INVALID, "removeFromCRL belongs to a delta");
    t.base_number = BYTES_LIT("\x07");
    x = sealed(&t);
    base = X509_CRL_get_ext_d2i(x, NID_delta_crl, &critical, NULL);
    cr_assert(base != NULL && critical == 1 && ASN1_INTEGER_get(base) == 7);
    t.freshest_url = "http://crl.example/delta.crl";
    cr_assert_eq(crl_seal(crl, &t, NULL), PKI_E_INVALID);
    ASN1_INTEGER_free(base);
    X509_CRL_free(x);
}

Test(crl, refuses_entries_that_cannot_be)
{
    const bytes_t     good = serial_of(1);
    const crl_entry_t cases[] = {
        { .serial = BYTES_NONE, .revoked_at = NOW },
        { .serial = BYTES_LIT("\x00\x01"), .revoked_at = NOW },
        { .serial = BYTES_LIT("\xff\x80"), .revoked_at = NOW },
        { .serial = BYTES_LIT("123456789012345678901"), .revoked_at = NOW },
        { .serial = good, .revoked_at = NOW, .reason = 7 },
        { .serial = good, .revoked_at = NOW, .reason = 11 },
        { .serial = good, .revoked_at = NOW, .reason = -2 },
        { .serial = good, .revoked_at = NOW, .invalidity_at = NOW + 1 },
        { .serial = good, .revoked_at = INT64_C(253402300800) }, /* year 10000 */
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        cr_assert_eq(crl_add(crl, &cases[i], NULL), PKI_E_INVALID, "%zu", i);
    }
    cr_assert_eq(crl_count(crl), 0);
}

Test(crl, refuses_templates_that_cannot_be)
{
    crl_template_t cases[9];

    for (size_t i = 0; i < COUNT(cases); i++) {
        cases[i] = template_of(PKI_KEY_P256);
    }
    cases[0].next_update = NOW;
    cases[1].number = BYTES_NONE;
    cases[2].number = BYTES_LIT("\x80");
    cases[3].number = BYTES_LIT("\x00\x01");
    cases[4].number = BYTES_LIT("\x01" "12345678901234567890");
    cases[5].akid = BYTES_NONE;
    cases[6].issuer = BYTES_NONE;
    cases[7].idp = BYTES_LIT("\x30\x00");
    cases[8].base_number = BYTES_LIT("\x80");
    for (size_t i = 0; i < COUNT(cases); i++) {
        cr_assert_eq(crl_seal(crl, &cases[i], NULL), PKI_E_INVALID, "%zu", i);
    }
}

Test(crl, keeps_its_order_of_calls)
{
    crl_template_t t = template_of(PKI_KEY_P256);
    crl_entry_t    e = { .serial = serial_of(1), .revoked_at = NOW };
    uint8_t        digest[64];
    size_t         len;
    pki_buf_t      out;

    pki_buf_init(&out, arena, 1 << 20);
    cr_assert_eq(crl_digest(crl, NULL, NULL, digest, sizeof(digest), &len, NULL), PKI_E_INTERNAL);
    cr_assert_eq(crl_tbs_write(crl, collect, &out, NULL), PKI_E_INTERNAL);
    cr_assert_eq(crl_write(crl, AKID, collect, &out, NULL), PKI_E_INTERNAL);
    cr_assert_eq(out.len, 0);
    seal(&t);
    cr_assert_eq(crl_add(crl, &e, NULL), PKI_E_INTERNAL);
    cr_assert_eq(crl_digest(crl, NULL, NULL, digest, 31, &len, NULL), PKI_E_TOO_LARGE);
}

static pki_code_t
fail_third(void *arg, bytes_t data, pki_err_t *err)
{
    (void) data;
    return ++*(int *) arg == 3 ? pki_fail(err, PKI_E_IO, NULL, "disk full") : PKI_OK;
}

Test(crl, ends_when_its_sink_fails)
{
    crl_template_t t = template_of(PKI_KEY_P256);
    int            calls = 0;

    add_entries(500);
    seal(&t);
    cr_assert_eq(crl_write(crl, AKID, fail_third, &calls, NULL), PKI_E_IO);
    cr_assert_eq(calls, 3);
}

Test(crl, names_every_reason_as_it_reads_it)
{
    static const char *const unknown[] = { "", "key compromise", "unused", "1" };

    for (int reason = -2; reason <= 12; reason++) {
        const char *name = crl_reason_name(reason);

        cr_assert_eq(name != NULL, reason >= 0 && reason <= 10 && reason != 7, "%d", reason);
        cr_assert(name == NULL || crl_reason_parse(name) == reason, "%d", reason);
    }
    cr_assert_str_eq(crl_reason_name(1), "keyCompromise");
    cr_assert_eq(crl_reason_parse("caCompromise"), 2, "as the design documents write it");
    for (size_t i = 0; i < COUNT(unknown); i++) {
        cr_assert_eq(crl_reason_parse(unknown[i]), -1, "%s", unknown[i]);
    }
}
