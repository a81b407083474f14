/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Messages to and from the signer, and what it accepts as a TBSCertificate.
 */
#include "orchestrator/signer/message.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "pkiproto/x509/cert.h"
#include "t/unit/lib/signer_fixture.h"

static uint8_t   memory[SIGNER_MESSAGE_MAX];
static pki_err_t err;

static bytes_t
built(const signer_request_t *r)
{
    pki_buf_t b;

    pki_buf_fixed(&b, memory, sizeof(memory));
    signer_request_build(r, &b);
    cr_assert_not(b.failed);
    return pki_buf_bytes(&b);
}

static const signer_request_t sign_cert = {
    .op = SIGNER_OP_SIGN_CERT,
    .issuer_no = 0xfffffffe,
    .max = 3,
    .epoch = 0x0102030405060708,
    .client = 5,
    .id = UINT64_MAX,
    .position = 9,
    .ref = { (const uint8_t *) "file:ca", 7 },
    .name = { (const uint8_t *) "\x01\x02", 2 },
    .body = { (const uint8_t *) "tbs", 3 },
};

Test(signer_message, a_request_arrives_as_it_was_sent)
{
    signer_request_t out;

    cr_assert_eq(signer_request_parse(built(&sign_cert), &out, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(out.op, SIGNER_OP_SIGN_CERT);
    cr_expect_eq(out.issuer_no, 0xfffffffe);
    cr_expect_eq(out.max, 3);
    cr_expect_eq(out.epoch, 0x0102030405060708);
    cr_expect_eq(out.client, 5);
    cr_expect_eq(out.id, UINT64_MAX);
    cr_expect_eq(out.position, 9);
    cr_expect(bytes_eq(out.ref, sign_cert.ref) && bytes_eq(out.name, sign_cert.name)
              && bytes_eq(out.body, sign_cert.body));
    cr_expect_arr_eq(memory + SIGNER_EPOCH_OFFSET, "\1\2\3\4\5\6\7\10", 8);
}

Test(signer_message, every_truncation_and_a_longer_message_are_refused)
{
    bytes_t          all = built(&sign_cert);
    signer_request_t out;

    for (size_t len = 0; len < all.len; len++) {
        cr_expect_eq(signer_request_parse(bytes_of(all.p, len), &out, NULL), PKI_E_PARSE, "%zu", len);
    }
    cr_expect_eq(signer_request_parse(bytes_of(all.p, all.len + 1), &out, NULL), PKI_E_PARSE);
}

Test(signer_message, a_refused_request_still_says_who_asked)
{
    signer_request_t r = sign_cert, out;

    r.ref = BYTES_LIT("file:a b");
    cr_assert_eq(signer_request_parse(built(&r), &out, &err), PKI_E_PARSE);
    cr_expect_eq(out.client, 5);
    cr_expect_eq(out.id, UINT64_MAX);
}

typedef struct {
    signer_op_t op;
    size_t      ref, name, body;
} bounds_case_t;

ParameterizedTestParameters(signer_message, refuses_parts_that_an_operation_does_not_have)
{
    static bounds_case_t cases[] = {
        { SIGNER_OP_NONE, 0, 0, 0 },
        { SIGNER_OP_COUNT_, 0, 0, 0 },
        { SIGNER_OP_HELLO, 1, 0, 0 },
        { SIGNER_OP_KEY_MAKE, 0, 5, 0 },
        { SIGNER_OP_KEY_MAKE, 7, 16, 0 },
        { SIGNER_OP_KEY_PUBLIC, SIGNER_KEY_REF_MAX + 1, 0, 0 },
        { SIGNER_OP_SIGN_CERT, 7, 0, 10 },
        { SIGNER_OP_SIGN_CERT, 7, 21, 10 },
        { SIGNER_OP_SIGN_CERT, 7, 5, 0 },
        { SIGNER_OP_SIGN_CERT, 7, 5, SIGNER_TBS_MAX + 1 },
        { SIGNER_OP_SIGN_CRL, 7, 5, EVP_MAX_MD_SIZE + 1 },
        { SIGNER_OP_JOURNAL_READ, 0, 0, 1 },
    };

    return cr_make_param_array(bounds_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(bounds_case_t *c, signer_message, refuses_parts_that_an_operation_does_not_have)
{
    static uint8_t   octets[SIGNER_TBS_MAX + 1];
    signer_request_t r = { .op = c->op }, out;

    memset(octets, 'a', sizeof(octets));
    r.ref = bytes_of(octets, c->ref);
    r.name = bytes_of(octets, c->name);
    r.body = bytes_of(octets, c->body);
    cr_expect_eq(signer_request_parse(built(&r), &out, &err), PKI_E_PARSE);
}

Test(signer_message, answers_and_entries_arrive_as_they_were_sent)
{
    signer_journal_entry_t e = {
        .position = 1, .next = 2, .at = -3, .is_cert = true, .issuer_no = 4, .serial = BYTES_LIT("s"),
        .tbs = BYTES_LIT("tbs"),
    }, back;
    signer_answer_t a = { .op = SIGNER_OP_JOURNAL_READ, .code = PKI_E_CONFLICT, .count = 1, .epoch = 2, .client = 3,
                          .id = 4, .position = 5, .syncs = 6 }, out;
    uint8_t   inner[64];
    pki_buf_t b;
    bytes_t   in;
    size_t    one;

    pki_buf_fixed(&b, inner, sizeof(inner));
    signer_entry_build(&e, &b);
    cr_expect_eq(b.len, signer_entry_size(&e));
    a.body = pki_buf_bytes(&b);
    pki_buf_fixed(&b, memory, sizeof(memory));
    signer_answer_build(&a, &b);
    one = b.len;
    signer_answer_build(&(signer_answer_t){ .op = SIGNER_OP_KEY_PUBLIC, .id = 9 }, &b);
    in = pki_buf_bytes(&b);
    cr_assert_eq(signer_answer_take(&in, &out, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(out.code, PKI_E_CONFLICT);
    cr_expect_eq(out.syncs, 6);
    cr_expect_eq(out.position, 5);
    cr_assert_eq(signer_entry_take(&out.body, &back, &err), PKI_OK);
    cr_expect_eq(out.body.len, 0);
    cr_expect_eq(back.at, -3);
    cr_expect(back.is_cert && back.issuer_no == 4 && bytes_eq(back.tbs, e.tbs));
    cr_expect_eq(in.len, b.len - one);
    cr_assert_eq(signer_answer_take(&in, &out, &err), PKI_OK, "the one behind it: %s", err.text);
    cr_expect(out.id == 9 && in.len == 0);
    for (size_t len = 0; len < one; len++) {
        in = bytes_of(memory, len);
        cr_expect_eq(signer_answer_take(&in, &out, NULL), PKI_E_PARSE, "%zu", len);
    }
}

/* A P-256 key's SPKI, made by OpenSSL. */
static bytes_t
spki_make(pki_arena_t *a)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    uint8_t  *p = pki_alloc(a, 200), *at = p;
    int       len = i2d_PUBKEY(key, &at);

    EVP_PKEY_free(key);
    return bytes_of(p, (size_t) len);
}

Test(signer_message, a_tbs_is_checked_octet_by_octet)
{
    pki_arena_t        *a = pki_arena_new(0);
    bytes_t             tbs = fixture_tbs(a, spki_make(a), BYTES_LIT("\x11\x22"));
    const pki_sigalg_t *alg = pki_key_sigalg(PKI_KEY_P256);
    bytes_t             longer = BYTES_NONE;

    cr_expect_eq(signer_tbs_check(tbs, BYTES_LIT("\x11\x22"), alg, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(signer_tbs_check(tbs, BYTES_LIT("\x11\x23"), alg, &err), PKI_E_INVALID);
    cr_expect_eq(signer_tbs_check(tbs, BYTES_LIT("\x11"), alg, &err), PKI_E_INVALID);
    cr_expect_eq(signer_tbs_check(tbs, BYTES_LIT("\x11\x22"), pki_key_sigalg(PKI_KEY_P384), &err), PKI_E_INVALID);
    for (size_t len = 0; len < tbs.len; len++) {
        cr_expect_neq(signer_tbs_check(bytes_of(tbs.p, len), BYTES_LIT("\x11\x22"), alg, NULL), PKI_OK, "%zu", len);
    }
    cr_assert_eq(pki_bytes_dup(a, tbs, &longer, NULL), PKI_OK);
    ((uint8_t *) longer.p)[3]++; /* the outer length, which der_take() then finds too long */
    cr_expect_neq(signer_tbs_check(longer, BYTES_LIT("\x11\x22"), alg, NULL), PKI_OK);
    pki_arena_free(a);
}

Test(signer_message, serials_that_rfc_5280_forbids_are_refused)
{
    static const struct {
        const char *octets;
        size_t      len;
    } bad[] = {
        { "\x00", 1 },
        { "\x80", 1 },
        { "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15", 21 },
    };
    pki_arena_t        *a = pki_arena_new(0);
    bytes_t             good = fixture_tbs(a, spki_make(a), BYTES_LIT("\x11"));
    const pki_sigalg_t *alg = pki_key_sigalg(PKI_KEY_P256);

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t octets[600];
        size_t  head = 4, version = 5, shift = bad[i].len - 1, len = good.len + shift;

        /* 30 82 hh ll, a0 03 02 01 02, 02 01 11, ... : another serial in its place */
        cr_assert_eq(good.p[head + version], 0x02);
        memcpy(octets, good.p, head + version);
        octets[head + version] = 0x02;
        octets[head + version + 1] = (uint8_t) bad[i].len;
        memcpy(octets + head + version + 2, bad[i].octets, bad[i].len);
        memcpy(octets + head + version + 2 + bad[i].len, good.p + head + version + 3, good.len - head - version - 3);
        octets[2] = (uint8_t) ((len - 4) >> 8);
        octets[3] = (uint8_t) (len - 4);
        cr_expect_eq(signer_tbs_check(bytes_of(octets, len), bytes_of(bad[i].octets, bad[i].len), alg, &err),
                     PKI_E_INVALID, "%zu: %s", i, err.text);
    }
    pki_arena_free(a);
}
