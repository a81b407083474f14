/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Certs-only messages: what OpenSSL makes is read, what is made here OpenSSL reads.
 */
#include "pkiproto/cms/certs_only.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include <openssl/pkcs7.h>

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

TestSuite(certs_only, .init = setup, .fini = teardown);

static cert_list_t
chain(void)
{
    cert_list_t list;

    cr_assert_eq(cert_decode(arena, vector_read(arena, "cert/chain.pem"), 8, &list, NULL), PKI_OK);
    cr_assert_eq(list.count, 3);
    return list;
}

static bytes_t
build(const cert_list_t *list)
{
    pki_buf_t out;

    pki_buf_init(&out, arena, 65536);
    cr_assert_eq(certs_only_build(list, &out, NULL), PKI_OK);
    return pki_buf_bytes(&out);
}

Test(certs_only, openssl_reads_what_is_built_in_the_order_given)
{
    cert_list_t    list = chain();
    bytes_t        der = build(&list);
    const uint8_t *p = der.p;
    PKCS7         *p7 = d2i_PKCS7(NULL, &p, (long) der.len);

    cr_assert_not_null(p7);
    cr_assert_eq(p, der.p + der.len);
    cr_assert(PKCS7_type_is_signed(p7));
    cr_expect_eq(ASN1_INTEGER_get(p7->d.sign->version), 1);
    cr_expect_eq(sk_X509_ALGOR_num(p7->d.sign->md_algs), 0);
    cr_expect_eq(sk_PKCS7_SIGNER_INFO_num(p7->d.sign->signer_info), 0);
    cr_expect_eq(OBJ_obj2nid(p7->d.sign->contents->type), NID_pkcs7_data);
    cr_expect_null(p7->d.sign->contents->d.ptr);
    cr_assert_eq(sk_X509_num(p7->d.sign->cert), 3);
    for (int i = 0; i < 3; i++) {
        uint8_t *one = NULL;
        int      n = i2d_X509(sk_X509_value(p7->d.sign->cert, i), &one);

        cr_expect(bytes_eq(list.v[i], bytes_of(one, (size_t) n)));
        OPENSSL_free(one);
    }
    PKCS7_free(p7);
}

Test(certs_only, reads_what_openssl_builds)
{
    cert_list_t want = chain(), got;

    cr_assert_eq(certs_only_parse(arena, vector_read(arena, "certs_only/chain.der"), &got, NULL), PKI_OK);
    cr_assert_eq(got.count, 3);
    for (size_t i = 0; i < 3; i++) {
        cr_expect(bytes_eq(got.v[i], want.v[i]));
    }
}

Test(certs_only, one_certificate_makes_the_octets_that_openssl_makes)
{
    cert_list_t list;

    cr_assert_eq(cert_decode(arena, vector_read(arena, "cert/root.der"), 1, &list, NULL), PKI_OK);
    cr_expect(bytes_eq(build(&list), vector_read(arena, "certs_only/one.der")));
}

Test(certs_only, nothing_to_send_is_an_error)
{
    cert_list_t none = { NULL, 0 };
    pki_buf_t   out;

    pki_buf_init(&out, arena, 1000);
    cr_expect_eq(certs_only_build(&none, &out, NULL), PKI_E_INVALID);
}

Test(certs_only, refuses_every_truncation_and_trailing_octets)
{
    bytes_t     whole = vector_read(arena, "certs_only/one.der");
    uint8_t    *longer = pki_alloc(arena, whole.len + 1);
    cert_list_t list;

    for (size_t len = 0; len < whole.len; len++) {
        uint8_t *copy = malloc(len + 1);

        memcpy(copy, whole.p, len);
        cr_expect_eq(certs_only_parse(arena, bytes_of(copy, len), &list, NULL), PKI_E_PARSE, "%zu octets", len);
        free(copy);
    }
    memcpy(longer, whole.p, whole.len);
    cr_expect_eq(certs_only_parse(arena, bytes_of(longer, whole.len + 1), &list, NULL), PKI_E_PARSE);
}

/* Offsets in one.der: 4 contentType, 19 version..., found by their octets. */
Test(certs_only, refuses_other_versions_types_and_signers)
{
    static const struct {
        const char *find, *put;
        size_t      len;
    } changes[] = {
        { "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03", 9 },
        { "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01", "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x05", 9 },
        { "\x02\x01\x01\x31\x00", "\x02\x01\x03\x31\x00", 5 },
        { "\x02\x01\x01\x31\x00", "\x02\x01\x01\x30\x00", 5 },
    };
    bytes_t     whole = vector_read(arena, "certs_only/one.der");
    cert_list_t list;

    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        uint8_t *copy = pki_alloc(arena, whole.len), *at;

        memcpy(copy, whole.p, whole.len);
        at = memmem(copy, whole.len, changes[i].find, changes[i].len);
        cr_assert_not_null(at);
        memcpy(at, changes[i].put, changes[i].len);
        cr_expect_eq(certs_only_parse(arena, bytes_of(copy, whole.len), &list, NULL), PKI_E_PARSE, "%zu", i);
    }
}
