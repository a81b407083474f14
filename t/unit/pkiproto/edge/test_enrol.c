/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The enrolment request and answer on the edge socket.
 */
#include "pkiproto/edge/enrol.h"
#include "pkiproto/json/pack.h"

#include <criterion/criterion.h>

#include <openssl/sha.h>

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

TestSuite(enrol, .init = setup, .fini = teardown);

static const enrol_request_t request = {
    .protocol = "est", .operation = "simpleenroll", .label = "iot", .identity_kind = "basic", .identity = "device",
    .password = "secret", .csr = { (const uint8_t *) "\x30\x00", 2 },
    .transaction_key = { (const uint8_t *) "0123456789abcdef0123456789abcdef", 32 }, .source = "192.0.2.1" };

Test(enrol, a_request_survives_the_wire_with_its_password)
{
    enrol_request_t got;
    pki_err_t       err = { .text = "" };
    pki_buf_t       wire;

    pki_buf_init(&wire, arena, 4096);
    fields_pack(enrol_request_fields, &request, &wire);
    cr_assert_eq(pki_buf_check(&wire, "wire", NULL), PKI_OK);
    cr_assert_eq(fields_unpack(enrol_request_fields, pki_buf_bytes(&wire), &got, &err), PKI_OK, "%s", err.text);
    cr_expect_str_eq(got.identity, "device");
    cr_expect_str_eq(got.password, "secret");
    cr_expect_str_eq(got.source, "192.0.2.1");
    cr_expect(bytes_eq(got.csr, request.csr));
    cr_expect(bytes_eq(got.transaction_key, request.transaction_key));
    cr_expect_null(got.certificate.p);
    cr_expect_null(got.request_id);
}

Test(enrol, an_unknown_protocol_or_operation_is_refused)
{
    enrol_request_t other[] = { request, request }, got;

    other[0].protocol = "telepathy";
    other[1].operation = "fullcmc";
    for (size_t i = 0; i < 2; i++) {
        pki_buf_t wire;

        pki_buf_init(&wire, arena, 4096);
        fields_pack(enrol_request_fields, &other[i], &wire);
        cr_expect_eq(fields_unpack(enrol_request_fields, pki_buf_bytes(&wire), &got, NULL), PKI_E_INVALID, "%zu", i);
    }
}

Test(enrol, answers_survive_the_wire)
{
    enrol_answer_t rejected = { .status = "rejected", .code = "POLICY", .clause = "RFC 7030 4.2", .text = "no" }, got;
    pki_buf_t      wire;

    pki_buf_init(&wire, arena, 4096);
    fields_pack(enrol_answer_fields, &rejected, &wire);
    cr_assert_eq(fields_unpack(enrol_answer_fields, pki_buf_bytes(&wire), &got, NULL), PKI_OK);
    cr_expect_str_eq(got.status, "rejected");
    cr_expect_eq(enrol_code_parse(got.code), PKI_E_POLICY);
    cr_expect_str_eq(got.clause, "RFC 7030 4.2");
    cr_expect_null(got.certificate.p);
    cr_expect_eq(got.retry_after_s, 0);
}

/* The key by its definition: SHA-256 over each part behind its length in four octets. */
Test(enrol, the_transaction_key_is_a_hash_over_prefixed_parts)
{
    static const char text[] = "\0\0\0\3est\0\0\0\14simpleenroll\0\0\0\3iot\0\0\0\5basic\0\0\0\6device\0\0\0\2\x30\0";
    uint8_t           want[32], got[32];

    SHA256((const uint8_t *) text, sizeof(text) - 1, want);
    cr_assert(enrol_transaction_key(&request, got));
    cr_expect_arr_eq(got, want, 32);
}

Test(enrol, every_part_changes_the_transaction_key_and_the_password_does_not)
{
    enrol_request_t other[] = { request, request, request, request, request, request };
    uint8_t         first[32], key[32];

    cr_assert(enrol_transaction_key(&request, first));
    other[0].operation = "simplereenroll";
    other[1].label = "iot2";
    other[2].identity_kind = "certificate";
    other[3].identity = "devic";
    other[4].csr = BYTES_LIT("\x31\x00");
    for (size_t i = 0; i < 5; i++) {
        cr_assert(enrol_transaction_key(&other[i], key));
        cr_expect_neq(memcmp(key, first, 32), 0, "%zu", i);
    }
    other[5].password = "changed";
    other[5].request_id = "r";
    cr_assert(enrol_transaction_key(&other[5], key));
    cr_expect_arr_eq(key, first, 32);
}

Test(enrol, codes_are_found_by_their_names)
{
    for (int code = PKI_OK + 1; code < PKI_E_COUNT_; code++) {
        cr_expect_eq(enrol_code_parse(pki_code_name((pki_code_t) code)), (pki_code_t) code);
    }
    cr_expect_eq(enrol_code_parse("OK"), PKI_E_INTERNAL);
    cr_expect_eq(enrol_code_parse("parse"), PKI_E_INTERNAL);
    cr_expect_eq(enrol_code_parse(NULL), PKI_E_INTERNAL);
}
