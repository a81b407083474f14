/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * OCSP requests: what OpenSSL builds is read as OpenSSL reads it, and what is not a request is refused.
 * Hand-made requests are put together here from tags and contents.
 */
#include <criterion/criterion.h>

#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/ocsp.h>

#include "pkiproto/base/arena.h"
#include "pkiproto/ocsp/request.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

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

TestSuite(request, .init = setup, .fini = teardown);

/* One element around parts; the last part is END. */
static const uint8_t end_mark;
#define END   ((bytes_t){ &end_mark, 0 })
#define EMPTY BYTES_NONE
#define DER(tag, ...) der_of((tag), __VA_ARGS__, END)
#define OCTETS(s) BYTES_LIT(s) /* octets in escapes */

static bytes_t
der_of(int tag, ...)
{
    uint8_t *p = pki_alloc(arena, 20000);
    size_t   len = 0;
    va_list  ap;

    va_start(ap, tag);
    for (bytes_t part = va_arg(ap, bytes_t); part.p != &end_mark; part = va_arg(ap, bytes_t)) {
        if (part.len != 0) {
            memcpy(p + 4 + len, part.p, part.len);
        }
        len += part.len;
    }
    va_end(ap);

    if (len >= 0x100) {
        p[0] = (uint8_t) tag, p[1] = 0x82, p[2] = (uint8_t) (len >> 8), p[3] = (uint8_t) len;
        return bytes_of(p, len + 4);
    }
    if (len >= 0x80) {
        p[1] = (uint8_t) tag, p[2] = 0x81, p[3] = (uint8_t) len;
        return bytes_of(p + 1, len + 3);
    }
    p[2] = (uint8_t) tag, p[3] = (uint8_t) len;
    return bytes_of(p + 2, len + 2);
}

#define OID_SHA1   OCTETS("\x06\x05\x2b\x0e\x03\x02\x1a")
#define OID_SHA256 OCTETS("\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01")
#define OID_SHA224 OCTETS("\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x04")
#define OID_OCSP(n) OCTETS("\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01" n)
#define OID_OTHER  OCTETS("\x06\x03\x2a\x03\x04")
#define NULL_DER   OCTETS("\x05\x00")
#define TRUE_DER   OCTETS("\x01\x01\xff")
#define SERIAL_ONE OCTETS("\x02\x01\x01")

static bytes_t
octets(uint8_t fill, size_t len)
{
    uint8_t *p = pki_alloc(arena, len + 1);

    memset(p, fill, len);
    return bytes_of(p, len);
}

static bytes_t
cert_id(bytes_t algorithm, size_t hash_len, bytes_t serial)
{
    return DER(0x30, DER(0x30, algorithm), DER(0x04, octets(0xaa, hash_len)),
               DER(0x04, octets(0xbb, hash_len)), serial);
}

static bytes_t
sha1_id(bytes_t serial)
{
    return DER(0x30, DER(0x30, OID_SHA1, NULL_DER), DER(0x04, octets(0xaa, 20)), DER(0x04, octets(0xbb, 20)),
               serial);
}

/* before: version and requestorName; list: Requests; extensions: [2] or nothing. */
static bytes_t
request_of(bytes_t before, bytes_t list, bytes_t extensions)
{
    return DER(0x30, DER(0x30, before, DER(0x30, list), extensions));
}

static bytes_t
simple(bytes_t serial)
{
    return request_of(EMPTY, DER(0x30, sha1_id(serial)), EMPTY);
}

static bytes_t
with_extensions(bytes_t extensions)
{
    return request_of(EMPTY, DER(0x30, sha1_id(SERIAL_ONE)), DER(0xa2, DER(0x30, extensions)));
}

static bytes_t
nonce_extension(bytes_t value)
{
    return DER(0x30, OID_OCSP("\x02"), DER(0x04, value));
}

static pki_code_t
parse(bytes_t der)
{
    ocsp_request_t r;
    pki_err_t      err;
    pki_code_t     rc = ocsp_request_parse(der, &r, &err);

    cr_assert(rc == PKI_OK || err.code == rc);
    return rc;
}

static bool
openssl_accepts(bytes_t der)
{
    const uint8_t *p = der.p;
    OCSP_REQUEST  *r = d2i_OCSP_REQUEST(NULL, &p, (long) der.len);
    bool           whole = r != NULL && p == der.p + der.len;

    OCSP_REQUEST_free(r);
    return whole;
}

static void
compare_with_openssl(bytes_t der, const char *name)
{
    static const int nids[] = { NID_sha1, NID_sha256, NID_sha384, NID_sha512 };
    const uint8_t   *p = der.p;
    OCSP_REQUEST    *o = d2i_OCSP_REQUEST(NULL, &p, (long) der.len);
    ocsp_request_t   r;
    pki_err_t        err;

    cr_assert_not_null(o, "%s", name);
    cr_assert_eq(ocsp_request_parse(der, &r, &err), PKI_OK, "%s: %s", name, err.text);
    cr_assert_eq((int) r.count, OCSP_request_onereq_count(o), "%s", name);
    cr_assert_eq(r.is_signed, OCSP_request_is_signed(o), "%s", name);
    cr_assert_eq(r.nonce.p != NULL, OCSP_REQUEST_get_ext_by_NID(o, NID_id_pkix_OCSP_Nonce, -1) >= 0, "%s",
                 name);

    for (size_t i = 0; i < r.count; i++) {
        OCSP_CERTID       *id = OCSP_onereq_get0_id(OCSP_request_onereq_get0(o, (int) i));
        ASN1_OCTET_STRING *name_hash, *key_hash;
        ASN1_OBJECT       *md;
        ASN1_INTEGER      *serial;
        uint8_t           *whole = NULL, *integer = NULL;
        int                len;

        OCSP_id_get0_info(&name_hash, &md, &key_hash, &serial, id);
        cr_assert_eq(OBJ_obj2nid(md), nids[r.id[i].hash], "%s", name);
        cr_assert(bytes_eq(r.id[i].name_hash, bytes_of(name_hash->data, (size_t) name_hash->length)), "%s",
                  name);
        cr_assert(bytes_eq(r.id[i].key_hash, bytes_of(key_hash->data, (size_t) key_hash->length)), "%s",
                  name);
        len = i2d_ASN1_INTEGER(serial, &integer);
        cr_assert(bytes_eq(r.id[i].serial, bytes_of(integer + 2, (size_t) len - 2)), "%s", name);
        len = i2d_OCSP_CERTID(id, &whole);
        cr_assert(bytes_eq(r.id[i].whole, bytes_of(whole, (size_t) len)), "%s", name);
        OPENSSL_free(integer);
        OPENSSL_free(whole);
    }
    OCSP_REQUEST_free(o);
}

static bytes_t
file(const char *path)
{
    FILE    *f = fopen(path, "rb");
    uint8_t *p = pki_alloc(arena, 65536);
    size_t   len;

    cr_assert_not_null(f, "%s", path);
    len = fread(p, 1, 65536, f);
    fclose(f);
    return bytes_of(p, len);
}

Test(request, reads_every_request_of_the_openssl_command)
{
    glob_t g;

    cr_assert_eq(glob("t/vectors/ocsp_request/*.der", 0, NULL, &g), 0);
    cr_assert_geq(g.gl_pathc, 13);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        compare_with_openssl(file(g.gl_pathv[i]), g.gl_pathv[i]);
    }
    globfree(&g);
}

Test(request, refuses_what_is_well_formed_and_wrong)
{
    glob_t g;

    cr_assert_eq(glob("t/vectors/ocsp_request/refused/*.der", 0, NULL, &g), 0);
    cr_assert_geq(g.gl_pathc, 16);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        bytes_t        der = file(g.gl_pathv[i]);
        const uint8_t *p = der.p;
        OCSP_REQUEST  *theirs = d2i_OCSP_REQUEST(NULL, &p, (long) der.len);

        cr_assert(theirs != NULL && p == der.p + der.len, "%s is not for OpenSSL", g.gl_pathv[i]);
        cr_assert_neq(parse(der), PKI_OK, "%s", g.gl_pathv[i]);
        OCSP_REQUEST_free(theirs);
    }
    globfree(&g);
}

Test(request, knows_signed_requests)
{
    bytes_t        der = file("t/vectors/ocsp_request/signed.der");
    ocsp_request_t r;

    cr_assert_eq(ocsp_request_parse(der, &r, NULL), PKI_OK);
    cr_assert(r.is_signed && r.algorithm.p[0] == 0x30 && r.signature.len != 0 && r.tbs.p[0] == 0x30);
    cr_assert_eq(r.tbs.p, der.p + 4);
    cr_assert_eq(ocsp_request_parse(simple(SERIAL_ONE), &r, NULL), PKI_OK);
    cr_assert(!r.is_signed && r.signature.p == NULL);
}

Test(request, gives_the_parts_of_a_signature)
{
    bytes_t                  der = file("t/vectors/ocsp_request/signed.der");
    const uint8_t           *p = der.p, *cert;
    OCSP_REQUEST            *theirs = d2i_OCSP_REQUEST(NULL, &p, (long) der.len);
    ocsp_request_t           r;
    X509                    *x;
    EVP_PKEY                *key;
    EVP_MD_CTX              *ctx = EVP_MD_CTX_new();
    X509_ALGOR              *algorithm;
    int                      digest = NID_undef;

    cr_assert(theirs != NULL && OCSP_request_is_signed(theirs));
    cr_assert_eq(ocsp_request_parse(der, &r, NULL), PKI_OK);
    cert = r.certs.p;
    x = d2i_X509(NULL, &cert, (long) r.certs.len);
    p = r.algorithm.p;
    algorithm = d2i_X509_ALGOR(NULL, &p, (long) r.algorithm.len);
    cr_assert(x != NULL && algorithm != NULL && p == r.algorithm.p + r.algorithm.len);
    key = X509_get0_pubkey(x);
    OBJ_find_sigid_algs(OBJ_obj2nid(algorithm->algorithm), &digest, NULL);
    cr_assert_eq(EVP_DigestVerifyInit(ctx, NULL, EVP_get_digestbynid(digest), NULL, key), 1);
    cr_assert_eq(EVP_DigestVerify(ctx, r.signature.p, r.signature.len, r.tbs.p, r.tbs.len), 1);

    /* openssl names the signer: [4] directoryName, with its subject inside. */
    cr_assert(r.requestor.len != 0 && r.requestor.p[0] == 0xa4);
    X509_ALGOR_free(algorithm);
    X509_free(x);
    EVP_MD_CTX_free(ctx);
    OCSP_REQUEST_free(theirs);
}

Test(request, a_cert_id_of_ours_is_that_of_openssl)
{
    static const struct {
        ocsp_hash_t   hash;
        const EVP_MD *(*md)(void);
    } rows[] = { { OCSP_SHA1, EVP_sha1 }, { OCSP_SHA256, EVP_sha256 }, { OCSP_SHA384, EVP_sha384 }, { OCSP_SHA512, EVP_sha512 } };

    for (size_t i = 0; i < COUNT(rows); i++) {
        X509_NAME       *name = X509_NAME_new();
        ASN1_BIT_STRING *key = ASN1_BIT_STRING_new();
        ASN1_INTEGER    *serial = ASN1_INTEGER_new();
        uint8_t          mem[OCSP_CERT_ID_MAX], name_hash[64], key_hash[64], *der = NULL;
        const uint8_t   *encoded;
        size_t           name_len;
        OCSP_CERTID     *theirs;
        pki_buf_t        b;
        int              len;

        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *) "CA", -1, -1, 0);
        ASN1_BIT_STRING_set(key, (uint8_t *) "\x04key", 4);
        ASN1_INTEGER_set_uint64(serial, 0x8001);
        theirs = OCSP_cert_id_new(rows[i].md(), name, key, serial);
        len = i2d_OCSP_CERTID(theirs, &der);
        cr_assert_eq(X509_NAME_get0_der(name, &encoded, &name_len), 1);
        EVP_Digest(encoded, name_len, name_hash, NULL, rows[i].md(), NULL);
        EVP_Digest("\x04key", 4, key_hash, NULL, rows[i].md(), NULL);

        pki_buf_fixed(&b, mem, sizeof(mem));
        ocsp_cert_id_put(&b, rows[i].hash, bytes_of(name_hash, ocsp_hash_len[rows[i].hash]),
                         bytes_of(key_hash, ocsp_hash_len[rows[i].hash]), BYTES_LIT("\0\x80\x01"));
        cr_expect(!b.failed && bytes_eq(pki_buf_bytes(&b), bytes_of(der, (size_t) len)), "%zu", i);
        OPENSSL_free(der);
        OCSP_CERTID_free(theirs);
        ASN1_INTEGER_free(serial);
        ASN1_BIT_STRING_free(key);
        X509_NAME_free(name);
    }
}

Test(request, refuses_every_truncation_and_every_trailing_octet)
{
    static const char *const paths[] = { "t/vectors/ocsp_request/sha256-nonce.der",
                                         "t/vectors/ocsp_request/signed.der",
                                         "t/vectors/ocsp_request/three.der" };

    for (size_t i = 0; i < COUNT(paths); i++) {
        bytes_t  whole = file(paths[i]);
        uint8_t *longer = pki_alloc(arena, whole.len + 1);

        for (size_t len = 0; len < whole.len; len++) {
            /* Memory of its own, so that a read beyond the end is noticed. */
            uint8_t *copy = malloc(len + (len == 0));

            memcpy(copy, whole.p, len);
            cr_assert_eq(parse(bytes_of(copy, len)), PKI_E_PARSE, "%s cut to %zu", paths[i], len);
            free(copy);
        }
        memcpy(longer, whole.p, whole.len);
        cr_assert_eq(parse(bytes_of(longer, whole.len + 1)), PKI_E_PARSE);
        cr_assert_eq(parse(bytes_of(longer, whole.len)), PKI_OK);
    }
}

Test(request, refuses_ber)
{
    bytes_t  der = simple(SERIAL_ONE);
    uint8_t *ber = pki_alloc(arena, der.len + 8), *padded = pki_alloc(arena, der.len + 8);

    /* Indefinite: 30 80 contents 00 00. */
    memcpy(ber, der.p, der.len);
    ber[1] = 0x80;
    cr_assert_eq(parse(bytes_of(ber, der.len + 2)), PKI_E_PARSE);

    /* A length octet too many. */
    padded[0] = 0x30;
    padded[1] = 0x81;
    memcpy(padded + 2, der.p + 1, der.len - 1);
    cr_assert_eq(parse(bytes_of(padded, der.len + 1)), PKI_E_PARSE);
}

Test(request, accepts_version_one_only)
{
    bytes_t list = DER(0x30, sha1_id(SERIAL_ONE));

    cr_assert_eq(parse(request_of(OCTETS("\xa0\x03\x02\x01\x00"), list, EMPTY)), PKI_OK);
    cr_assert_eq(parse(request_of(OCTETS("\xa0\x03\x02\x01\x01"), list, EMPTY)), PKI_E_PARSE);
    cr_assert_eq(parse(request_of(OCTETS("\xa0\x03\x02\x01\xff"), list, EMPTY)), PKI_E_PARSE);
    cr_assert_eq(parse(request_of(OCTETS("\xa0\x00"), list, EMPTY)), PKI_E_PARSE);
    cr_assert_eq(parse(request_of(OCTETS("\xa0\x05\x02\x01\x00\x05\x00"), list, EMPTY)), PKI_E_PARSE);
}

Test(request, takes_one_to_sixteen_ids_in_their_order)
{
    uint8_t *list = pki_alloc(arena, 4096);
    size_t   len = 0;

    cr_assert_eq(parse(request_of(EMPTY, EMPTY, EMPTY)), PKI_E_PARSE);
    for (size_t n = 1; n <= OCSP_IDS_MAX + 1; n++) {
        uint8_t        serial[] = { 2, 1, (uint8_t) n };
        bytes_t        one = DER(0x30, sha1_id(BYTES_ARR(serial)));
        ocsp_request_t r;

        memcpy(list + len, one.p, one.len);
        len += one.len;
        if (n > OCSP_IDS_MAX) {
            cr_assert_eq(parse(request_of(EMPTY, bytes_of(list, len), EMPTY)), PKI_E_PARSE);
            continue;
        }
        cr_assert_eq(ocsp_request_parse(request_of(EMPTY, bytes_of(list, len), EMPTY), &r, NULL), PKI_OK);
        cr_assert_eq(r.count, n);
        for (size_t i = 0; i < n; i++) {
            cr_assert(r.id[i].serial.len == 1 && r.id[i].serial.p[0] == i + 1);
        }
    }
}

Test(request, keeps_the_nonce_as_it_was_sent_when_it_has_1_to_128_octets)
{
    for (size_t len = 0; len <= 129; len++) {
        bytes_t        wrapped = DER(0x04, octets(0x5a, len)), raw = octets(0x5a, len);
        pki_code_t     wanted = len >= 1 && len <= 128 ? PKI_OK : PKI_E_PARSE;
        ocsp_request_t r;

        cr_assert_eq(ocsp_request_parse(with_extensions(nonce_extension(wrapped)), &r, NULL), wanted, "%zu",
                     len);
        cr_assert(wanted != PKI_OK || bytes_eq(r.nonce, wrapped), "%zu", len);
        cr_assert_eq(ocsp_request_parse(with_extensions(nonce_extension(raw)), &r, NULL), wanted, "raw %zu",
                     len);
        cr_assert(wanted != PKI_OK || bytes_eq(r.nonce, raw), "raw %zu", len);
    }
}

Test(request, takes_octets_that_only_begin_like_an_octet_string_for_a_raw_nonce)
{
    bytes_t        raw = OCTETS("\x04\x02\x01\x02\x03");
    ocsp_request_t r;

    cr_assert_eq(ocsp_request_parse(with_extensions(nonce_extension(raw)), &r, NULL), PKI_OK);
    cr_assert(bytes_eq(r.nonce, raw));
}

Test(request, refuses_two_nonces)
{
    bytes_t one = nonce_extension(octets(1, 16));

    cr_assert_eq(parse(with_extensions(one)), PKI_OK);
    cr_assert_eq(parse(request_of(EMPTY, DER(0x30, sha1_id(SERIAL_ONE)), DER(0xa2, DER(0x30, one, one)))),
                 PKI_E_PARSE);
}

Test(request, ignores_a_nonce_and_a_service_locator_of_a_single_request)
{
    bytes_t        extensions = DER(0xa0, DER(0x30, nonce_extension(octets(1, 16)),
                                              DER(0x30, OID_OCSP("\x07"), TRUE_DER, DER(0x04, OCTETS("\x30\x00")))));
    ocsp_request_t r;

    cr_assert_eq(
        ocsp_request_parse(request_of(EMPTY, DER(0x30, sha1_id(SERIAL_ONE), extensions), EMPTY), &r, NULL),
        PKI_OK);
    cr_assert_null(r.nonce.p);
}

Test(request, ignores_unknown_extensions_and_refuses_critical_ones)
{
    bytes_t plain = DER(0x30, OID_OTHER, DER(0x04, OCTETS("x")));
    bytes_t critical = DER(0x30, OID_OTHER, TRUE_DER, DER(0x04, OCTETS("x")));

    cr_assert_eq(parse(with_extensions(plain)), PKI_OK);
    cr_assert_eq(parse(with_extensions(critical)), PKI_E_PARSE);
    cr_assert_eq(parse(request_of(EMPTY, DER(0x30, sha1_id(SERIAL_ONE), DER(0xa0, DER(0x30, plain))), EMPTY)),
                 PKI_OK);
    cr_assert_eq(
        parse(request_of(EMPTY, DER(0x30, sha1_id(SERIAL_ONE), DER(0xa0, DER(0x30, critical))), EMPTY)),
        PKI_E_PARSE);
    cr_assert_eq(parse(with_extensions(DER(0x30, OID_OCSP("\x02"), TRUE_DER, DER(0x04, octets(1, 16))))),
                 PKI_OK);
}

Test(request, refuses_broken_extensions)
{
    const bytes_t cases[] = {
        EMPTY,
        DER(0x30, EMPTY),
        DER(0x30, OID_OTHER),
        DER(0x30, OCTETS("\x06\x00"), DER(0x04, OCTETS("x"))),
        DER(0x30, OCTETS("\x06\x02\x2a\x80"), DER(0x04, OCTETS("x"))),
        DER(0x30, OCTETS("\x06\x03\x2a\x80\x01"), DER(0x04, OCTETS("x"))),
        DER(0x30, OID_OTHER, OCTETS("\x01\x01\x01"), DER(0x04, OCTETS("x"))),
        DER(0x30, OID_OTHER, DER(0x04, OCTETS("x")), NULL_DER),
        DER(0x31, OID_OTHER, DER(0x04, OCTETS("x"))),
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        cr_assert_eq(parse(with_extensions(cases[i])), PKI_E_PARSE, "%zu", i);
    }
}

Test(request, bounds_the_number_of_extensions)
{
    bytes_t  one = DER(0x30, OID_OTHER, DER(0x04, OCTETS("x")));
    uint8_t *list = pki_alloc(arena, 17 * one.len);

    for (size_t i = 0; i < 17; i++) {
        memcpy(list + i * one.len, one.p, one.len);
    }
    cr_assert_eq(parse(with_extensions(bytes_of(list, 16 * one.len))), PKI_OK);
    cr_assert_eq(parse(with_extensions(bytes_of(list, 17 * one.len))), PKI_E_PARSE);
}

Test(request, wants_basic_among_the_acceptable_responses)
{
    struct {
        bytes_t    value;
        pki_code_t wanted;
    } cases[] = {
        { DER(0x30, OID_OCSP("\x01")), PKI_OK },
        { DER(0x30, OID_OTHER, OID_OCSP("\x01")), PKI_OK },
        { DER(0x30, OID_OTHER), PKI_E_UNSUPPORTED },
        { DER(0x30, EMPTY), PKI_E_UNSUPPORTED },
        { DER(0x31, OID_OCSP("\x01")), PKI_E_PARSE },
        { DER(0x30, NULL_DER), PKI_E_PARSE },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        bytes_t extension = DER(0x30, OID_OCSP("\x04"), DER(0x04, cases[i].value));

        cr_assert_eq(parse(with_extensions(extension)), cases[i].wanted, "%zu", i);
    }
}

Test(request, keeps_the_preferred_algorithms)
{
    bytes_t        value = DER(0x30, DER(0x30, DER(0x30, OID_OTHER)));
    ocsp_request_t r;

    cr_assert_eq(ocsp_request_parse(with_extensions(DER(0x30, OID_OCSP("\x08"), DER(0x04, value))), &r, NULL),
                 PKI_OK);
    cr_assert(bytes_eq(r.preferred_algorithms, value));
    cr_assert_eq(parse(with_extensions(DER(0x30, OID_OCSP("\x08"), DER(0x04, OCTETS("\x30\x01\x05"))))),
                 PKI_E_PARSE);
}

Test(request, knows_its_hashes_with_null_and_without_parameters)
{
    struct {
        bytes_t     oid;
        size_t      len;
        ocsp_hash_t hash;
    } cases[] = {
        { OID_SHA1, 20, OCSP_SHA1 },
        { OID_SHA256, 32, OCSP_SHA256 },
        { OCTETS("\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02"), 48, OCSP_SHA384 },
        { OCTETS("\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03"), 64, OCSP_SHA512 },
        { OID_SHA224, 28, OCSP_HASH_COUNT },
        { OID_OTHER, 7, OCSP_HASH_COUNT },
    };

    for (size_t i = 0; i < 2 * COUNT(cases); i++) {
        size_t         n = i / 2;
        bytes_t        algorithm = DER(0x30, cases[n].oid, i % 2 ? NULL_DER : EMPTY);
        bytes_t        id = DER(0x30, algorithm, DER(0x04, octets(0xaa, cases[n].len)),
                                DER(0x04, octets(0xbb, cases[n].len)), SERIAL_ONE);
        bytes_t        der = request_of(EMPTY, DER(0x30, id), EMPTY);
        ocsp_request_t r;

        cr_assert(openssl_accepts(der), "%zu", i);
        cr_assert_eq(ocsp_request_parse(der, &r, NULL), PKI_OK, "%zu", i);
        cr_assert_eq(r.id[0].hash, cases[n].hash, "%zu", i);
        cr_assert(bytes_eq(r.id[0].whole, id), "%zu", i);
    }
}

Test(request, refuses_other_parameters_and_hashes_of_a_wrong_length)
{
    const bytes_t cases[] = {
        sha1_id(EMPTY),
        DER(0x30, DER(0x30, OID_SHA1, OCTETS("\x05\x01\x00")), DER(0x04, octets(1, 20)),
            DER(0x04, octets(2, 20)), SERIAL_ONE),
        DER(0x30, DER(0x30, OID_SHA1, SERIAL_ONE), DER(0x04, octets(1, 20)), DER(0x04, octets(2, 20)),
            SERIAL_ONE),
        DER(0x30, DER(0x30, OID_SHA1), DER(0x04, octets(1, 19)), DER(0x04, octets(2, 20)), SERIAL_ONE),
        DER(0x30, DER(0x30, OID_SHA1), DER(0x04, octets(1, 20)), DER(0x04, octets(2, 32)), SERIAL_ONE),
        DER(0x30, DER(0x30, OID_SHA1), DER(0x04, octets(1, 20)), DER(0x04, octets(2, 20)), SERIAL_ONE,
            NULL_DER),
        cert_id(OID_SHA256, 20, SERIAL_ONE),
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        cr_assert_eq(parse(request_of(EMPTY, DER(0x30, cases[i]), EMPTY)), PKI_E_PARSE, "%zu", i);
    }
}

Test(request, hands_on_every_canonical_serial)
{
    struct {
        bytes_t serial;
        bool    ok;
    } cases[] = {
        { OCTETS("\x00"), true },
        { OCTETS("\xff"), true },
        { OCTETS("\x80"), true },
        { OCTETS("\x00\x80"), true },
        { octets(0x7f, 20), true },
        { octets(0x7f, 21), true },
        { octets(0x7f, 200), true },
        { EMPTY, false },
        { OCTETS("\x00\x7f"), false },
        { OCTETS("\x00\x00"), false },
        { OCTETS("\xff\x80"), false },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        ocsp_request_t r;
        pki_code_t     rc = ocsp_request_parse(simple(DER(0x02, cases[i].serial)), &r, NULL);

        cr_assert_eq(rc, cases[i].ok ? PKI_OK : PKI_E_PARSE, "%zu", i);
        cr_assert(rc != PKI_OK || bytes_eq(r.id[0].serial, cases[i].serial), "%zu", i);
    }
}

Test(request, takes_no_notice_of_a_requestor_name)
{
    bytes_t        list = DER(0x30, sha1_id(SERIAL_ONE));
    ocsp_request_t r;

    cr_assert_eq(ocsp_request_parse(request_of(OCTETS("\xa1\x03\x82\x01x"), list, EMPTY), &r, NULL), PKI_OK);
    cr_assert(r.count == 1 && !r.is_signed);
    cr_assert_eq(parse(request_of(OCTETS("\xa1\x03\x0c\x01x"), list, EMPTY)), PKI_E_PARSE);
    cr_assert_eq(parse(request_of(OCTETS("\xa1\x00"), list, EMPTY)), PKI_E_PARSE);
    cr_assert_eq(parse(request_of(OCTETS("\xa1\x06\x82\x01x\x82\x01y"), list, EMPTY)), PKI_E_PARSE);
}

Test(request, refuses_what_is_too_long)
{
    size_t  around = with_extensions(DER(0x30, OID_OTHER, DER(0x04, octets(0, 5000)))).len - 5000;
    bytes_t fits = with_extensions(DER(0x30, OID_OTHER, DER(0x04, octets(0, OCSP_REQUEST_MAX - around))));
    bytes_t over = with_extensions(DER(0x30, OID_OTHER, DER(0x04, octets(0, OCSP_REQUEST_MAX - around + 1))));

    cr_assert_eq(fits.len, OCSP_REQUEST_MAX);
    cr_assert_eq(parse(fits), PKI_OK);
    cr_assert_eq(parse(over), PKI_E_PARSE);
}

Test(request, refuses_what_is_not_a_request)
{
    const bytes_t cases[] = {
        EMPTY,
        OCTETS("\x30\x00"),
        OCTETS("\x30\x02\x30\x00"),
        OCTETS("\x31\x00"),
        OCTETS("GET / HTTP/1.1"),
        DER(0x30, DER(0x30, DER(0x30, DER(0x30, EMPTY)))),
        DER(0x30, DER(0x30, DER(0x30, DER(0x30, sha1_id(SERIAL_ONE), NULL_DER)))),
        DER(0x30, DER(0x30, DER(0x30, DER(0x30, sha1_id(SERIAL_ONE)))), NULL_DER),
        DER(0x30, DER(0x30, DER(0x30, DER(0x30, sha1_id(SERIAL_ONE)))), OCTETS("\xa0\x02\x30\x00")),
        DER(0x30, DER(0x30, DER(0x30, DER(0x30, sha1_id(SERIAL_ONE)))), OCTETS("\xa0\x00")),
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        cr_assert_eq(parse(cases[i]), PKI_E_PARSE, "%zu", i);
    }
}

Test(request, is_guessed_to_ask_for_the_integer_at_its_end)
{
    for (size_t len = 1; len <= 24; len++) {
        bytes_t        der = simple(DER(0x02, octets(0x5a, len))), guess = ocsp_serial_guess(der);
        ocsp_request_t r;

        cr_assert_eq(ocsp_request_parse(der, &r, NULL), PKI_OK);
        if (len >= 8 && len <= 20) {
            cr_assert(guess.p == r.id[0].serial.p && guess.len == len, "%zu octets", len);
        } else {
            cr_assert_null(guess.p, "%zu octets", len);
        }
    }
    cr_assert_null(ocsp_serial_guess(with_extensions(nonce_extension(octets(0x5a, 16)))).p);
    for (size_t len = 0; len < 10; len++) {
        cr_assert_null(ocsp_serial_guess(octets(0x02, len)).p);
    }
}
