/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Trust stores: what is made here OpenSSL opens, with every certificate, its name and Oracle's attribute.
 */
#include "pkiproto/x509/trust_store.h"

#include <criterion/criterion.h>

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

TestSuite(trust_store, .init = setup, .fini = teardown);

static cert_list_t
chain(void)
{
    cert_list_t list;

    cr_assert_eq(cert_decode(arena, vector_read(arena, "cert/chain.pem"), 8, &list, NULL), PKI_OK);
    cr_assert_eq(list.count, 3);
    return list;
}

static PKCS12 *
build(const cert_list_t *list, const char *name, const char *password)
{
    pki_buf_t      out;
    const uint8_t *at;
    pki_err_t      err = { 0 };

    pki_buf_init(&out, arena, 65536);
    cr_assert_eq(trust_store_build(list, name, password, &out, &err), PKI_OK, "%s", err.text);
    at = out.p;
    return d2i_PKCS12(NULL, &at, (long) out.len);
}

Test(trust_store, openssl_finds_each_certificate_with_its_name_and_trust)
{
    static const char *const names[] = { "web", "web ca 1", "web ca 2" };
    cert_list_t              list = chain();
    PKI_AUTO(PKCS12) store = build(&list, "web", "password");
    ASN1_OBJECT *trusted = OBJ_txt2obj("2.16.840.1.113894.746875.1.1", 1);
    STACK_OF(PKCS7) *safes;
    STACK_OF(PKCS12_SAFEBAG) *bags;

    cr_assert_not_null(store);
    cr_expect_eq(PKCS12_verify_mac(store, "password", -1), 1);
    cr_expect_eq(PKCS12_verify_mac(store, "Password", -1), 0);
    safes = PKCS12_unpack_authsafes(store);
    cr_assert_eq(sk_PKCS7_num(safes), 1);
    cr_assert_eq(OBJ_obj2nid(sk_PKCS7_value(safes, 0)->type), NID_pkcs7_encrypted, "nothing is in clear");
    bags = PKCS12_unpack_p7encdata(sk_PKCS7_value(safes, 0), "password", -1);
    cr_assert_eq(sk_PKCS12_SAFEBAG_num(bags), 3);
    for (int i = 0; i < 3; i++) {
        PKCS12_SAFEBAG *bag = sk_PKCS12_SAFEBAG_value(bags, i);
        PKI_AUTO(X509) cert = PKCS12_SAFEBAG_get1_cert(bag);
        uint8_t *der = NULL;
        char    *name = PKCS12_get_friendlyname(bag);
        int      len = i2d_X509(cert, &der), at = X509at_get_attr_by_OBJ(PKCS12_SAFEBAG_get0_attrs(bag), trusted, -1);

        cr_expect(bytes_eq(bytes_of(der, (size_t) len), list.v[i]), "certificate %d", i);
        cr_expect_str_eq(name, names[i]);
        cr_assert_geq(at, 0, "certificate %d is trusted", i);
        cr_expect_eq(OBJ_obj2nid(X509_ATTRIBUTE_get0_type(X509at_get_attr(PKCS12_SAFEBAG_get0_attrs(bag), at), 0)->value.object),
                     NID_anyExtendedKeyUsage);
        OPENSSL_free(name);
        OPENSSL_free(der);
    }
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
    sk_PKCS7_pop_free(safes, PKCS7_free);
    ASN1_OBJECT_free(trusted);
}

Test(trust_store, what_is_no_certificate_does_not_go_in)
{
    bytes_t     junk = BYTES_LIT("no certificate");
    cert_list_t list = { &junk, 1 };
    pki_buf_t   out;

    pki_buf_init(&out, arena, 65536);
    cr_expect_eq(trust_store_build(&list, "x", "password", &out, NULL), PKI_E_CRYPTO);
}
