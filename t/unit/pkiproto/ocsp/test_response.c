/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * OCSP responses: OpenSSL reads, verifies and encodes again what is written here.
 */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <time.h>

#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "pkiproto/base/ossl.h"
#include "pkiproto/ocsp/response.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define HOUR     3600

static pki_arena_t *arena;
static int64_t      now;

static void
setup(void)
{
    arena = pki_arena_new(0);
    now = time(NULL);
}

static void
teardown(void)
{
    pki_arena_free(arena);
}

TestSuite(response, .init = setup, .fini = teardown);

/* A responder of each kind of key, made by OpenSSL: its own CA, or a delegate of one. */
typedef struct {
    X509            *ca, *signer;
    EVP_PKEY        *key;
    bytes_t          der;
    cert_t           cert;
    ocsp_responder_t responder;
    bool             by_name;
} fixture_t;

static EVP_PKEY *
make_key(pki_key_kind_t kind)
{
    switch (kind) {
    case PKI_KEY_RSA:
        return EVP_RSA_gen(2048);
    case PKI_KEY_P256:
        return EVP_EC_gen("P-256");
    case PKI_KEY_P384:
        return EVP_EC_gen("P-384");
    default:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
}

static void
add_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    cr_assert(e != NULL && X509_add_ext(x, e, -1) == 1);
    X509_EXTENSION_free(e);
}

static X509 *
make_cert(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
    X509      *x = X509_new();
    X509_NAME *n = X509_NAME_new();
    bool       ed = EVP_PKEY_is_a(issuer_key, "ED25519");

    X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const uint8_t *) name, -1, -1, 0);
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), issuer != NULL ? 2 : 1);
    X509_set_subject_name(x, n);
    X509_set_issuer_name(x, issuer != NULL ? X509_get_subject_name(issuer) : n);
    X509_gmtime_adj(X509_getm_notBefore(x), -2 * HOUR);
    X509_gmtime_adj(X509_getm_notAfter(x), 240 * HOUR);
    X509_set_pubkey(x, key);
    if (issuer == NULL) {
        add_extension(x, NID_basic_constraints, "critical,CA:TRUE");
    } else {
        add_extension(x, NID_ext_key_usage, "OCSPSigning");
    }
    cr_assert_gt(X509_sign(x, issuer_key, ed ? NULL : EVP_sha256()), 0);
    X509_NAME_free(n);
    return x;
}

static bytes_t
der_of(X509 *x)
{
    uint8_t *p = NULL;
    int      len = i2d_X509(x, &p);
    bytes_t  der;

    cr_assert_gt(len, 0);
    cr_assert_eq(pki_bytes_dup(arena, bytes_of(p, (size_t) len), &der, NULL), PKI_OK);
    OPENSSL_free(p);
    return der;
}

static void
fixture_make(fixture_t *f, pki_key_kind_t kind, bool delegated)
{
    EVP_PKEY *ca_key = make_key(kind);
    pki_err_t err;

    f->by_name = false;
    f->ca = make_cert("Response CA", ca_key, NULL, ca_key);
    if (delegated) {
        f->key = make_key(kind);
        f->signer = make_cert("Response delegate", f->key, f->ca, ca_key);
        EVP_PKEY_free(ca_key);
    } else {
        f->key = ca_key;
        f->signer = f->ca;
        X509_up_ref(f->ca);
    }
    f->der = der_of(f->signer);
    cr_assert_eq(cert_parse(arena, f->der, &f->cert, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(ocsp_responder_build(arena, &f->cert, delegated, &f->responder, &err), PKI_OK, "%s",
                 err.text);
}

static void
fixture_free(fixture_t *f)
{
    X509_free(f->ca);
    X509_free(f->signer);
    EVP_PKEY_free(f->key);
}

static bytes_t
sign(const fixture_t *f, bytes_t tbs)
{
    const char *digest = f->responder.sigalg->digest;
    PKI_AUTO(EVP_MD_CTX) ctx = EVP_MD_CTX_new();
    uint8_t *p = pki_alloc(arena, 1024);
    size_t   len = 1024;

    cr_assert_eq(
        EVP_DigestSignInit(ctx, NULL, digest != NULL ? EVP_get_digestbyname(digest) : NULL, NULL, f->key), 1);
    cr_assert_eq(EVP_DigestSign(ctx, p, &len, tbs.p, tbs.len), 1);
    return bytes_of(p, len);
}

static ocsp_single_t
single(ocsp_cert_status_t status)
{
    /* SHA-1, two hashes, serial 5 */
    static const uint8_t cert_id[] = "\x30\x3a\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14nnnnnnnnnnn"
                                     "nnnnnnnnn\x04\x14kkkkkkkkkkkkkkkkkkkk"
                                     "\x02\x01\x05";

    return (ocsp_single_t){.cert_id = bytes_of(cert_id, sizeof(cert_id) - 1),
                           .status = status,
                           .reason = -1,
                           .revoked_at = now - 30 * HOUR,
                           .this_update = now - HOUR,
                           .next_update = now + 24 * HOUR};
}

static pki_code_t
tbs_build(const fixture_t *f, const ocsp_single_t *s, size_t count, bytes_t nonce, pki_buf_t *out, pki_err_t *err)
{
    ocsp_data_t data = { .responder_id = f->by_name ? f->responder.by_name : f->responder.by_key,
                         .produced_at = now, .singles = s, .count = count, .nonce = nonce };

    return ocsp_tbs_build(&f->responder, &data, out, err);
}

/* The whole way, in memory of the caller; *basic is for the caller to free. */
static bytes_t
respond(const fixture_t *f, const ocsp_single_t *s, size_t count, bytes_t nonce, OCSP_BASICRESP **basic)
{
    uint8_t       *mem = pki_alloc(arena, 16384), *again = NULL;
    pki_buf_t      tbs, out;
    pki_err_t      err;
    const uint8_t *p;
    OCSP_RESPONSE *o;
    bytes_t        der;
    int            len;

    pki_buf_fixed(&tbs, mem, 8192);
    pki_buf_fixed(&out, mem + 8192, 8192);
    cr_assert_eq(tbs_build(f, s, count, nonce, &tbs, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(ocsp_response_build(&f->responder, f->responder.sigalg, pki_buf_bytes(&tbs),
                                     sign(f, pki_buf_bytes(&tbs)), &out, &err),
                 PKI_OK);
    der = pki_buf_bytes(&out);

    p = der.p;
    o = d2i_OCSP_RESPONSE(NULL, &p, (long) der.len);
    cr_assert(o != NULL && p == der.p + der.len, "OpenSSL does not read it");
    cr_assert_eq(OCSP_response_status(o), OCSP_RESPONSE_STATUS_SUCCESSFUL);
    len = i2d_OCSP_RESPONSE(o, &again);
    cr_assert(bytes_eq(der, bytes_of(again, (size_t) len)), "OpenSSL encodes it differently");
    OPENSSL_free(again);

    *basic = OCSP_response_get1_basic(o);
    cr_assert_not_null(*basic);
    again = NULL;
    len = i2d_OCSP_BASICRESP(*basic, &again);
    cr_assert(memmem(der.p, der.len, again, (size_t) len) != NULL,
              "OpenSSL encodes the inner part differently");
    OPENSSL_free(again);
    OCSP_RESPONSE_free(o);
    return der;
}

static bytes_t
cert_id_of(X509 *ca, const EVP_MD *md, long serial)
{
    ASN1_INTEGER *n = ASN1_INTEGER_new();
    OCSP_CERTID  *id;
    uint8_t      *p = NULL;
    bytes_t       der;
    int           len;

    ASN1_INTEGER_set(n, serial);
    id = OCSP_cert_id_new(md, X509_get_subject_name(ca), X509_get0_pubkey_bitstr(ca), n);
    len = i2d_OCSP_CERTID(id, &p);
    cr_assert_eq(pki_bytes_dup(arena, bytes_of(p, (size_t) len), &der, NULL), PKI_OK);
    OPENSSL_free(p);
    OCSP_CERTID_free(id);
    ASN1_INTEGER_free(n);
    return der;
}

Test(response, verifies_with_openssl_for_every_kind_of_key, .timeout = 60)
{
    static const pki_key_kind_t kinds[] = { PKI_KEY_RSA, PKI_KEY_P256, PKI_KEY_P384, PKI_KEY_ED25519 };

    for (size_t i = 0; i < 2 * COUNT(kinds); i++) {
        bool            delegated = i % 2 != 0;
        fixture_t       f;
        ocsp_single_t   s = single(OCSP_GOOD);
        OCSP_BASICRESP *basic;
        X509_STORE     *store = X509_STORE_new();
        STACK_OF(X509) *certs = sk_X509_new_null();

        fixture_make(&f, kinds[i / 2], delegated);
        s.cert_id = cert_id_of(f.ca, i % 4 < 2 ? EVP_sha1() : EVP_sha256(), 77);
        respond(&f, &s, 1, BYTES_NONE, &basic);
        X509_STORE_add_cert(store, f.ca);
        if (!delegated) {
            sk_X509_push(certs, f.ca);
        }
        cr_assert_eq(OCSP_basic_verify(basic, certs, store, 0), 1, "kind %d, delegated %d", kinds[i / 2],
                     delegated);
        cr_assert_eq(sk_X509_num(OCSP_resp_get0_certs(basic)), delegated ? 1 : -1); /* -1: no such field */
        sk_X509_free(certs);
        X509_STORE_free(store);
        OCSP_BASICRESP_free(basic);
        fixture_free(&f);
    }
}

static int64_t
time_of(const ASN1_GENERALIZEDTIME *t)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int        days, seconds;

    cr_assert(t != NULL && t->type == V_ASN1_GENERALIZEDTIME && t->length == 15 && t->data[14] == 'Z');
    cr_assert_eq(ASN1_TIME_diff(&days, &seconds, epoch, t), 1);
    ASN1_TIME_free(epoch);
    return (int64_t) days * 86400 + seconds;
}

Test(response, says_what_it_was_told)
{
    static const struct {
        ocsp_cert_status_t status;
        int                reason, wanted_status, wanted_reason;
        int64_t            revoked_at;
    } cases[] = {
        { OCSP_GOOD, -1, V_OCSP_CERTSTATUS_GOOD, -1, 0 },
        { OCSP_UNKNOWN, 1, V_OCSP_CERTSTATUS_UNKNOWN, -1, 0 },
        { OCSP_REVOKED, -1, V_OCSP_CERTSTATUS_REVOKED, -1, 1795191000 },
        { OCSP_REVOKED, 0, V_OCSP_CERTSTATUS_REVOKED, -1, 1795191000 },
        { OCSP_REVOKED, 1, V_OCSP_CERTSTATUS_REVOKED, 1, 0 },
        { OCSP_REVOKED, 6, V_OCSP_CERTSTATUS_REVOKED, 6, 951782399 },
        { OCSP_REVOKED, 10, V_OCSP_CERTSTATUS_REVOKED, 10, 1709164800 },
    };
    fixture_t f;

    fixture_make(&f, PKI_KEY_P256, true);
    for (size_t i = 0; i < COUNT(cases); i++) {
        ocsp_single_t         s = single(cases[i].status);
        OCSP_BASICRESP       *basic;
        OCSP_SINGLERESP      *one;
        ASN1_GENERALIZEDTIME *revoked, *this_update, *next_update;
        int                   reason = -1;

        s.reason = cases[i].reason;
        s.revoked_at = cases[i].revoked_at;
        respond(&f, &s, 1, BYTES_NONE, &basic);
        one = OCSP_resp_get0(basic, 0);
        cr_assert_eq(OCSP_single_get0_status(one, &reason, &revoked, &this_update, &next_update),
                     cases[i].wanted_status, "%zu", i);
        cr_assert_eq(reason, cases[i].wanted_reason, "%zu", i);
        cr_assert_eq(time_of(this_update), s.this_update);
        cr_assert_eq(time_of(next_update), s.next_update);
        cr_assert(cases[i].status != OCSP_REVOKED || time_of(revoked) == s.revoked_at, "%zu", i);
        cr_assert_eq(time_of(OCSP_resp_get0_produced_at(basic)), now);
        cr_assert_eq(OCSP_SINGLERESP_get_ext_count(one), 0);
        cr_assert_eq(OCSP_BASICRESP_get_ext_count(basic), 0);
        OCSP_BASICRESP_free(basic);
    }
    fixture_free(&f);
}

Test(response, carries_the_invalidity_date_of_a_revoked_certificate_only)
{
    for (ocsp_cert_status_t status = OCSP_GOOD; status <= OCSP_UNKNOWN; status++) {
        ocsp_single_t         s = single(status);
        OCSP_BASICRESP       *basic;
        ASN1_GENERALIZEDTIME *t;
        fixture_t             f;
        int                   critical = 7;

        fixture_make(&f, PKI_KEY_P256, true);
        s.invalidity_at = s.revoked_at - 5;
        respond(&f, &s, 1, BYTES_NONE, &basic);
        t = OCSP_SINGLERESP_get1_ext_d2i(OCSP_resp_get0(basic, 0), NID_invalidity_date, &critical, NULL);
        cr_assert_eq(t != NULL, status == OCSP_REVOKED);
        cr_assert(t == NULL || (time_of(t) == s.invalidity_at && critical == 0));
        ASN1_GENERALIZEDTIME_free(t);
        OCSP_BASICRESP_free(basic);
        fixture_free(&f);
    }
}

Test(response, gives_back_the_nonce_octet_for_octet)
{
    static uint8_t octets[131] = { 0x04, 0x81, 0x80 };
    const bytes_t  nonces[] = { BYTES_ARR(octets), BYTES_LIT("\x04\x01\x05"), BYTES_LIT("raw nonce") };
    fixture_t      f;

    fixture_make(&f, PKI_KEY_P256, true);
    for (size_t i = 0; i < COUNT(nonces); i++) {
        ocsp_single_t      s = single(OCSP_GOOD);
        OCSP_BASICRESP    *basic;
        X509_EXTENSION    *e;
        ASN1_OCTET_STRING *value;

        respond(&f, &s, 1, nonces[i], &basic);
        cr_assert_eq(OCSP_BASICRESP_get_ext_count(basic), 1);
        e = OCSP_BASICRESP_get_ext(basic, OCSP_BASICRESP_get_ext_by_NID(basic, NID_id_pkix_OCSP_Nonce, -1));
        value = X509_EXTENSION_get_data(e);
        cr_assert(bytes_eq(bytes_of(value->data, (size_t) value->length), nonces[i]), "%zu", i);
        cr_assert_eq(X509_EXTENSION_get_critical(e), 0);
        OCSP_BASICRESP_free(basic);
    }
    fixture_free(&f);
}

Test(response, names_its_signer_by_the_hash_of_the_key)
{
    const ASN1_OCTET_STRING *id;
    const X509_NAME         *name;
    const ASN1_BIT_STRING   *key;
    ocsp_single_t            s = single(OCSP_GOOD);
    OCSP_BASICRESP          *basic;
    fixture_t                f;
    uint8_t                  digest[20];

    fixture_make(&f, PKI_KEY_P384, true);
    respond(&f, &s, 1, BYTES_NONE, &basic);
    cr_assert_eq(OCSP_resp_get0_id(basic, &id, &name), 1);
    cr_assert_null(name);
    key = X509_get0_pubkey_bitstr(f.signer);
    cr_assert_eq(EVP_Digest(key->data, (size_t) key->length, digest, NULL, EVP_sha1(), NULL), 1);
    cr_assert(bytes_eq(bytes_of(id->data, (size_t) id->length), BYTES_ARR(digest)));
    OCSP_BASICRESP_free(basic);
    fixture_free(&f);
}

Test(response, names_its_signer_by_its_subject_where_that_is_wanted)
{
    const ASN1_OCTET_STRING *id;
    const X509_NAME         *name;
    ocsp_single_t            s = single(OCSP_GOOD);
    OCSP_BASICRESP          *basic;
    fixture_t                f;

    fixture_make(&f, PKI_KEY_P256, true);
    f.by_name = true;
    respond(&f, &s, 1, BYTES_NONE, &basic);
    cr_assert_eq(OCSP_resp_get0_id(basic, &id, &name), 1);
    cr_assert_null(id);
    cr_assert_eq(X509_NAME_cmp(name, X509_get_subject_name(f.signer)), 0);
    OCSP_BASICRESP_free(basic);
    fixture_free(&f);
}

/* RFC 6960 4.4.8, whatever else is known of the serial. */
Test(response, what_was_not_issued_is_on_hold_since_1970_and_says_so)
{
    ocsp_single_t         s[2] = { single(OCSP_UNISSUED), single(OCSP_GOOD) };
    ASN1_GENERALIZEDTIME *revoked;
    OCSP_BASICRESP       *basic;
    OCSP_SINGLERESP      *one;
    X509_EXTENSION       *e;
    ASN1_OBJECT          *oid = OBJ_txt2obj("1.3.6.1.5.5.7.48.1.9", 1);
    fixture_t             f;
    int                   reason = -1;

    fixture_make(&f, PKI_KEY_P256, true);
    for (size_t i = 0; i < 2; i++) {
        s[i].crl_url = BYTES_LIT("http://x/y.crl");
        s[i].crl_number = BYTES_LIT("\x05");
        s[i].archive_cutoff = s[i].invalidity_at = 5;
        s[i].cert_hash = BYTES_LIT("hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh");
    }
    respond(&f, s, 2, BYTES_NONE, &basic);
    one = OCSP_resp_get0(basic, 0);
    cr_assert_eq(OCSP_single_get0_status(one, &reason, &revoked, NULL, NULL), V_OCSP_CERTSTATUS_REVOKED);
    cr_assert(reason == OCSP_REVOKED_STATUS_CERTIFICATEHOLD && time_of(revoked) == 0);
    cr_assert_eq(OCSP_SINGLERESP_get_ext_count(one), 0);
    cr_assert_eq(OCSP_SINGLERESP_get_ext_count(OCSP_resp_get0(basic, 1)), 3);

    cr_assert_eq(OCSP_BASICRESP_get_ext_count(basic), 1);
    e = OCSP_BASICRESP_get_ext(basic, OCSP_BASICRESP_get_ext_by_OBJ(basic, oid, -1));
    cr_assert(e != NULL && X509_EXTENSION_get_critical(e) == 0);
    cr_assert_eq(X509_EXTENSION_get_data(e)->length, 2);
    cr_assert_eq(memcmp(X509_EXTENSION_get_data(e)->data, "\x05\0", 2), 0);
    ASN1_OBJECT_free(oid);
    OCSP_BASICRESP_free(basic);

    respond(&f, &s[1], 1, BYTES_NONE, &basic);
    cr_assert_eq(OCSP_BASICRESP_get_ext_count(basic), 0);
    OCSP_BASICRESP_free(basic);
    fixture_free(&f);
}

Test(response, names_a_list_and_how_far_back_it_knows)
{
    ocsp_single_t         s = single(OCSP_REVOKED);
    ASN1_GENERALIZEDTIME *cutoff;
    OCSP_BASICRESP       *basic;
    OCSP_SINGLERESP      *one;
    OCSP_CRLID           *crl;
    X509_EXTENSION       *theirs;
    ASN1_OCTET_STRING    *value;
    char                  url[] = "http://lists.example/crl/iss-test.g2.crl";
    long                  number = 0x010203;
    uint8_t              *p = NULL;
    fixture_t             f;
    int                   critical = 7, len;

    fixture_make(&f, PKI_KEY_P256, true);
    s.crl_url = bytes_str(url);
    s.crl_number = BYTES_LIT("\x01\x02\x03");
    s.archive_cutoff = now - 1000 * HOUR;
    respond(&f, &s, 1, BYTES_NONE, &basic);
    one = OCSP_resp_get0(basic, 0);

    crl = OCSP_SINGLERESP_get1_ext_d2i(one, NID_id_pkix_OCSP_CrlID, &critical, NULL);
    cr_assert(crl != NULL && critical == 0);
    /* OpenSSL hides its members: it is what OCSP_crlID_new() makes of the same. */
    theirs = OCSP_crlID_new(url, &number, NULL);
    len = i2d_OCSP_CRLID(crl, &p);
    value = X509_EXTENSION_get_data(theirs);
    cr_assert(bytes_eq(bytes_of(p, (size_t) len), bytes_of(value->data, (size_t) value->length)));
    X509_EXTENSION_free(theirs);
    OPENSSL_free(p);
    OCSP_CRLID_free(crl);

    cutoff = OCSP_SINGLERESP_get1_ext_d2i(one, NID_id_pkix_OCSP_archiveCutoff, &critical, NULL);
    cr_assert(cutoff != NULL && critical == 0 && time_of(cutoff) == s.archive_cutoff);
    ASN1_GENERALIZEDTIME_free(cutoff);
    OCSP_BASICRESP_free(basic);
    fixture_free(&f);
}

/* Common PKI, part 4: SEQUENCE { AlgorithmIdentifier, OCTET STRING }: a DigestInfo, as X509_SIG. */
Test(response, shows_the_hash_of_a_certificate)
{
    ocsp_single_t          s = single(OCSP_GOOD);
    const ASN1_OCTET_STRING *hash;
    const X509_ALGOR      *algorithm;
    OCSP_BASICRESP        *basic;
    X509_EXTENSION        *e;
    X509_SIG              *info;
    ASN1_OBJECT           *oid = OBJ_txt2obj("1.3.36.8.3.13", 1);
    const uint8_t         *p;
    fixture_t              f;

    fixture_make(&f, PKI_KEY_P256, true);
    s.cert_hash = BYTES_LIT("0123456789abcdef0123456789abcdef");
    respond(&f, &s, 1, BYTES_NONE, &basic);
    cr_assert_eq(OCSP_SINGLERESP_get_ext_count(OCSP_resp_get0(basic, 0)), 1);
    e = OCSP_SINGLERESP_get_ext(OCSP_resp_get0(basic, 0), 0);
    cr_assert_eq(OBJ_cmp(X509_EXTENSION_get_object(e), oid), 0);
    ASN1_OBJECT_free(oid);
    p = X509_EXTENSION_get_data(e)->data;
    info = d2i_X509_SIG(NULL, &p, X509_EXTENSION_get_data(e)->length);
    cr_assert_not_null(info);
    X509_SIG_get0(info, &algorithm, &hash);
    cr_assert_eq(OBJ_obj2nid(algorithm->algorithm), NID_sha256);
    cr_assert(bytes_eq(bytes_of(hash->data, (size_t) hash->length), s.cert_hash));
    X509_SIG_free(info);
    OCSP_BASICRESP_free(basic);
    fixture_free(&f);
}

Test(response, answers_every_cert_id_in_order_and_unchanged)
{
    static uint8_t  id[16][60];
    ocsp_single_t   s[16];
    OCSP_BASICRESP *basic;
    fixture_t       f;

    fixture_make(&f, PKI_KEY_P256, true);
    for (size_t i = 0; i < 16; i++) {
        s[i] = single(i % 2 != 0 ? OCSP_REVOKED : OCSP_GOOD);
        memcpy(id[i], s[i].cert_id.p, sizeof(id[i]));
        id[i][sizeof(id[i]) - 1] = (uint8_t) i;
        s[i].cert_id = BYTES_ARR(id[i]);
    }
    respond(&f, s, 16, BYTES_LIT("\x04\x01\x05"), &basic);
    cr_assert_eq(OCSP_resp_count(basic), 16);
    for (int i = 0; i < 16; i++) {
        OCSP_SINGLERESP *one = OCSP_resp_get0(basic, i);
        uint8_t         *der = NULL;
        int              len = i2d_OCSP_CERTID(OCSP_SINGLERESP_get0_id(one), &der);

        cr_assert(bytes_eq(bytes_of(der, (size_t) len), BYTES_ARR(id[i])));
        cr_assert_eq(OCSP_single_get0_status(one, NULL, NULL, NULL, NULL), i % 2);
        OPENSSL_free(der);
    }
    OCSP_BASICRESP_free(basic);
    fixture_free(&f);
}

Test(response, refuses_times_and_reasons_that_cannot_be)
{
    ocsp_single_t ok = single(OCSP_REVOKED), cases[8];
    uint8_t       mem[1024];
    pki_buf_t     out;
    fixture_t     f;

    fixture_make(&f, PKI_KEY_P256, true);
    for (size_t i = 0; i < COUNT(cases); i++) {
        cases[i] = ok;
    }
    cases[0].this_update = now + 1;
    cases[1].next_update = cases[1].this_update;
    cases[2].next_update = 0;
    cases[3].next_update = f.responder.not_after + 1;
    cases[4].reason = 7;
    cases[5].reason = 8;
    cases[6].reason = 11;
    cases[7].reason = -2;
    for (size_t i = 0; i < COUNT(cases); i++) {
        pki_buf_fixed(&out, mem, sizeof(mem));
        cr_assert_eq(tbs_build(&f, &cases[i], 1, BYTES_NONE, &out, NULL), PKI_E_INVALID,
                     "%zu", i);
    }
    pki_buf_fixed(&out, mem, sizeof(mem));
    cr_assert_eq(tbs_build(&f, &ok, 0, BYTES_NONE, &out, NULL), PKI_E_INVALID);
    ok.this_update = now;
    ok.next_update = f.responder.not_after;
    cr_assert_eq(tbs_build(&f, &ok, 1, BYTES_NONE, &out, NULL), PKI_OK);
    fixture_free(&f);
}

Test(response, stays_inside_the_memory_of_its_caller)
{
    ocsp_single_t s = single(OCSP_REVOKED);
    uint8_t       whole[4096];
    bytes_t       nonce = BYTES_LIT("\x04\x01\x05"), signature, tbs;
    pki_buf_t     out, answer;
    fixture_t     f;

    fixture_make(&f, PKI_KEY_P256, true);
    s.reason = 1;
    s.invalidity_at = 5;
    pki_buf_fixed(&out, whole, sizeof(whole));
    cr_assert_eq(tbs_build(&f, &s, 1, nonce, &out, NULL), PKI_OK);
    tbs = pki_buf_bytes(&out);
    signature = sign(&f, tbs);
    pki_buf_fixed(&answer, whole + out.len, sizeof(whole) - out.len);
    cr_assert_eq(ocsp_response_build(&f.responder, f.responder.sigalg, tbs, signature, &answer, NULL), PKI_OK);

    for (size_t cap = 0; cap < answer.len; cap++) {
        uint8_t  *mem = malloc(cap + (cap == 0));
        pki_buf_t b;

        pki_buf_fixed(&b, mem, cap);
        cr_assert_eq(tbs_build(&f, &s, 1, nonce, &b, NULL),
                     cap < tbs.len ? PKI_E_TOO_LARGE : PKI_OK, "%zu", cap);
        pki_buf_fixed(&b, mem, cap);
        cr_assert_eq(ocsp_response_build(&f.responder, f.responder.sigalg, tbs, signature, &b, NULL),
                     PKI_E_TOO_LARGE, "%zu", cap);
        free(mem);
    }
    fixture_free(&f);
}

Test(response, error_answers_have_five_octets)
{
    static const int statuses[] = { 1, 2, 3, 5, 6 };

    for (size_t i = 0; i < COUNT(statuses); i++) {
        bytes_t        der = ocsp_error_response((ocsp_response_status_t) statuses[i]);
        const uint8_t *p = der.p;
        OCSP_RESPONSE *o = d2i_OCSP_RESPONSE(NULL, &p, (long) der.len);

        cr_assert_eq(der.len, 5);
        cr_assert_not_null(o);
        cr_assert_eq(OCSP_response_status(o), statuses[i]);
        OCSP_RESPONSE_free(o);
    }
}

Test(response, never_says_successful_or_four_without_an_answer)
{
    static const int statuses[] = { 0, 4, 7, -1 };

    for (size_t i = 0; i < COUNT(statuses); i++) {
        cr_assert_eq(ocsp_error_response((ocsp_response_status_t) statuses[i]).p[4], OCSP_INTERNAL_ERROR);
    }
}

Test(response, a_responder_needs_memory_and_a_key_that_signs)
{
    fixture_t        f;
    ocsp_responder_t r;

    fixture_make(&f, PKI_KEY_P256, true);
    for (size_t n = 1; n <= 4; n++) {
        pki_arena_fail_after(arena, n);
        cr_assert_eq(ocsp_responder_build(arena, &f.cert, true, &r, NULL), PKI_E_NOMEM);
    }
    pki_arena_fail_after(arena, 0);
    f.cert.key.kind = PKI_KEY_NONE;
    cr_assert_eq(ocsp_responder_build(arena, &f.cert, true, &r, NULL), PKI_E_KEY);
    fixture_free(&f);
}
