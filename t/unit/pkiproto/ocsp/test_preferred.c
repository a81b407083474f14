/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * PreferredSignatureAlgorithms: lists encoded by OpenSSL, against responders with keys of every kind.
 */
#include <criterion/criterion.h>

#include <openssl/asn1.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

#include "pkiproto/ocsp/response.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NO_KEY   0

/* One wish: the signature algorithm and the key's, by NID; curve: of an EC key, 0: no parameters. */
typedef struct {
    int  signature, key, curve;
    bool no_params; /* where NULL is usual */
} wish_t;

static uint8_t octets[2048];

/* AlgorithmIdentifier behind out; returns its length. */
static size_t
put_algorithm(uint8_t *out, int nid, int param_type, int param_nid)
{
    X509_ALGOR *a = X509_ALGOR_new();
    uint8_t    *p = out;
    int         len;

    X509_ALGOR_set0(a, OBJ_nid2obj(nid), param_type, param_type == V_ASN1_OBJECT ? OBJ_nid2obj(param_nid) : NULL);
    len = i2d_X509_ALGOR(a, &p);
    X509_ALGOR_free(a);
    cr_assert_gt(len, 0);
    return (size_t) len;
}

static size_t
put_sequence(uint8_t *out, const uint8_t *contents, size_t len)
{
    uint8_t *p = out;

    ASN1_put_object(&p, 1, (int) len, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
    memcpy(p, contents, len);
    return (size_t) (p - out) + len;
}

static bool
is_rsa(int nid)
{
    return OBJ_obj2nid(OBJ_nid2obj(nid)) == nid && strstr(OBJ_nid2ln(nid), "WithRSA") != NULL;
}

static size_t
put_wish(uint8_t *out, const wish_t *w)
{
    uint8_t item[256];
    size_t  len = put_algorithm(item, w->signature, is_rsa(w->signature) && !w->no_params ? V_ASN1_NULL : V_ASN1_UNDEF, 0);

    if (w->key != NO_KEY) {
        len += put_algorithm(item + len, w->key,
                             w->curve != 0                 ? V_ASN1_OBJECT
                             : w->key == NID_rsaEncryption ? V_ASN1_NULL
                                                           : V_ASN1_UNDEF,
                             w->curve);
    }
    return put_sequence(out, item, len);
}

/* A request that holds the list; the end of the wishes is one without a signature. */
static ocsp_request_t
request_of(const wish_t *wishes)
{
    uint8_t list[1024];
    size_t  len = 0;

    for (; wishes->signature != 0; wishes++) {
        len += put_wish(list + len, wishes);
    }
    return (ocsp_request_t){ .preferred_algorithms = bytes_of(octets, put_sequence(octets, list, len)) };
}

/* A responder with that kind of key, as OpenSSL describes it. */
static ocsp_responder_t
responder_of(pki_key_kind_t kind, uint8_t out[64])
{
    static const struct {
        pki_key_kind_t kind;
        int            nid, type, curve;
    } rows[] = {
        { PKI_KEY_RSA, NID_rsaEncryption, V_ASN1_NULL, 0 },
        { PKI_KEY_P256, NID_X9_62_id_ecPublicKey, V_ASN1_OBJECT, NID_X9_62_prime256v1 },
        { PKI_KEY_P384, NID_X9_62_id_ecPublicKey, V_ASN1_OBJECT, NID_secp384r1 },
        { PKI_KEY_ED25519, NID_ED25519, V_ASN1_UNDEF, 0 },
    };
    size_t i, len;

    for (i = 0; rows[i].kind != kind; i++) { }
    len = put_algorithm(out, rows[i].nid, rows[i].type, rows[i].curve);
    return (ocsp_responder_t){ .kind = kind, .key_algorithm = bytes_of(out + 2, len - 2), .sigalg = pki_key_sigalg(kind) };
}

/* The NID of what the responder would sign with for the first wish that it can fulfil; 0: none. */
static int
chosen(const ocsp_request_t *r, const ocsp_responder_t *responder)
{
    bytes_t             list = ocsp_preferred_list(r);
    const pki_sigalg_t *algorithm = NULL;
    ocsp_preferred_t    wish;
    X509_ALGOR         *a;
    const uint8_t      *p;
    int                 nid;

    while (algorithm == NULL && ocsp_preferred_next(&list, &wish)) {
        algorithm = ocsp_preferred_match(&wish, responder);
    }
    if (algorithm == NULL) {
        return 0;
    }
    p = algorithm->identifier.p;
    a = d2i_X509_ALGOR(NULL, &p, (long) algorithm->identifier.len);
    cr_assert_not_null(a);
    nid = OBJ_obj2nid(a->algorithm);
    X509_ALGOR_free(a);
    return nid;
}

#define RSA(n)   NID_sha##n##WithRSAEncryption
#define ECDSA(n) NID_ecdsa_with_SHA##n
#define EC       NID_X9_62_id_ecPublicKey

Test(preferred, the_first_that_the_key_can_do)
{
    static const struct {
        pki_key_kind_t kind;
        int            wanted;
        wish_t         wishes[4];
    } cases[] = {
        { PKI_KEY_P256, ECDSA(256), { { .signature = ECDSA(256) } } },
        { PKI_KEY_P256, ECDSA(384), { { .signature = ECDSA(384) }, { .signature = ECDSA(256) } } },
        { PKI_KEY_P256, ECDSA(256), { { .signature = RSA(256) }, { .signature = ECDSA(256) } } },
        { PKI_KEY_P256, 0, { { .signature = RSA(256) }, { .signature = NID_ED25519 } } },
        { PKI_KEY_P256, 0, { { .signature = 0 } } },
        { PKI_KEY_P384, ECDSA(256), { { .signature = ECDSA(256) } } },
        { PKI_KEY_RSA, RSA(256), { { .signature = RSA(256) } } },
        { PKI_KEY_RSA, RSA(384), { { .signature = RSA(384) }, { .signature = RSA(256) } } },
        { PKI_KEY_RSA, RSA(512), { { .signature = RSA(512), .no_params = true } } },
        { PKI_KEY_ED25519, NID_ED25519, { { .signature = RSA(512) }, { .signature = NID_ED25519 } } },
        { PKI_KEY_ED25519, 0, { { .signature = ECDSA(256) } } },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t          mem[64];
        ocsp_responder_t responder = responder_of(cases[i].kind, mem);
        ocsp_request_t   r = request_of(cases[i].wishes);

        cr_expect_eq(chosen(&r, &responder), cases[i].wanted, "%zu", i);
    }
}

Test(preferred, never_sha1_or_md5)
{
    static const int            weak[] = { NID_sha1WithRSAEncryption, NID_md5WithRSAEncryption, NID_ecdsa_with_SHA1 };
    static const pki_key_kind_t kinds[] = { PKI_KEY_RSA, PKI_KEY_P256, PKI_KEY_P384, PKI_KEY_ED25519 };

    for (size_t i = 0; i < COUNT(weak) * COUNT(kinds); i++) {
        uint8_t          mem[64];
        ocsp_responder_t responder = responder_of(kinds[i % COUNT(kinds)], mem);
        wish_t           wishes[] = { { .signature = weak[i / COUNT(kinds)] }, { .signature = 0 } };
        ocsp_request_t   r = request_of(wishes);

        cr_expect_eq(chosen(&r, &responder), 0, "%zu", i);
    }
}

Test(preferred, a_key_algorithm_must_be_that_of_the_responder)
{
    static const struct {
        pki_key_kind_t kind;
        wish_t         wish;
        bool           matches;
    } cases[] = {
        { PKI_KEY_P256, { ECDSA(256), EC, NID_X9_62_prime256v1, false }, true },
        { PKI_KEY_P256, { ECDSA(256), EC, 0, false }, true },
        { PKI_KEY_P256, { ECDSA(256), EC, NID_secp384r1, false }, false },
        { PKI_KEY_P384, { ECDSA(256), EC, NID_secp384r1, false }, true },
        { PKI_KEY_P256, { ECDSA(256), NID_rsaEncryption, 0, false }, false },
        { PKI_KEY_RSA, { RSA(256), NID_rsaEncryption, 0, false }, true },
        { PKI_KEY_RSA, { RSA(256), EC, 0, false }, false },
        { PKI_KEY_ED25519, { NID_ED25519, NID_ED25519, 0, false }, true },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t          mem[64];
        ocsp_responder_t responder = responder_of(cases[i].kind, mem);
        wish_t           wishes[] = { cases[i].wish, { .signature = 0 } };
        ocsp_request_t   r = request_of(wishes);

        cr_expect_eq(chosen(&r, &responder) != 0, cases[i].matches, "%zu", i);
    }
}

/* What cannot be read is skipped, or ends the list; the wish after it counts if it can be found. */
Test(preferred, survives_every_truncation_and_every_changed_octet)
{
    wish_t           wishes[] = { { RSA(256), NID_rsaEncryption, 0, false }, { ECDSA(256), EC, 0, false }, { .signature = 0 } };
    ocsp_request_t   whole = request_of(wishes), r;
    uint8_t          mem[64], copy[sizeof(octets)];
    ocsp_responder_t responder = responder_of(PKI_KEY_P256, mem);
    size_t           len = whole.preferred_algorithms.len;

    for (size_t i = 0; i < len; i++) {
        r.preferred_algorithms = bytes_of(octets, i);
        cr_expect_eq(chosen(&r, &responder), 0, "%zu octets", i);
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(copy, octets, len);
            copy[i] ^= (uint8_t) (1u << bit);
            r.preferred_algorithms = bytes_of(copy, len);
            (void) chosen(&r, &responder);
        }
    }
    cr_expect_eq(chosen(&whole, &responder), ECDSA(256));
    r.preferred_algorithms = BYTES_NONE;
    cr_expect_eq(chosen(&r, &responder), 0);
}
