/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The edge store's records: what is written is read back, and nothing else is.
 */
#include <criterion/criterion.h>

#include <openssl/sha.h>

#include "pkiproto/edge/record.h"

static pki_arena_t *arena;
static uint8_t      octets[256];

static void
setup(void)
{
    arena = pki_arena_new(0);
    for (size_t i = 0; i < sizeof(octets); i++) {
        octets[i] = (uint8_t) (i * 7 + 1);
    }
}

static void
teardown(void)
{
    pki_arena_free(arena);
}

TestSuite(record, .init = setup, .fini = teardown);

static pki_buf_t
buffer(void)
{
    pki_buf_t b;

    pki_buf_init(&b, arena, 1 << 20);
    return b;
}

/* Every shorter record, one octet more, and another version must be refused. */
#define refuses_all_but(record, type, decode)                                                               \
    do {                                                                                                    \
        type      scratch_;                                                                                 \
        uint8_t   copy_[2048];                                                                              \
        bytes_t   r_ = (record);                                                                            \
        pki_err_t e_;                                                                                       \
        cr_assert(r_.len + 1 < sizeof(copy_));                                                              \
        memcpy(copy_, r_.p, r_.len);                                                                        \
        copy_[r_.len] = 0;                                                                                  \
        for (size_t n_ = 0; n_ < r_.len; n_++) {                                                            \
            cr_assert_eq(decode(bytes_of(copy_, n_), &scratch_, &e_), PKI_E_PARSE, "%zu octets", n_);       \
        }                                                                                                   \
        cr_assert_eq(decode(bytes_of(copy_, r_.len), &scratch_, &e_), PKI_OK);                              \
        cr_assert_eq(decode(bytes_of(copy_, r_.len + 1), &scratch_, &e_), PKI_E_PARSE);                     \
        copy_[0] ^= 0x20;                                                                                   \
        cr_assert_eq(decode(bytes_of(copy_, r_.len), &scratch_, &e_), PKI_E_UNSUPPORTED);                   \
    } while (0)

Test(record, state_round_trips)
{
    edge_state_t in = { .generation = UINT64_MAX - 5, .synced_at = 1795191000, .xid = 77, .seq = 1ull << 40,
                        .retired = true, .boot_id = bytes_of(octets, 16) };
    edge_state_t out;
    pki_buf_t    b = buffer();

    cr_assert_eq(edge_state_encode(&in, &b, NULL), PKI_OK);
    cr_assert_eq(edge_state_decode(pki_buf_bytes(&b), &out, NULL), PKI_OK);
    cr_assert(out.generation == in.generation && out.synced_at == in.synced_at && out.xid == in.xid);
    cr_assert(out.seq == in.seq && out.retired && bytes_eq(out.boot_id, in.boot_id));
    refuses_all_but(pki_buf_bytes(&b), edge_state_t, edge_state_decode);
}

Test(record, state_needs_a_whole_boot_id)
{
    edge_state_t in = { .boot_id = bytes_of(octets, 15) };
    pki_buf_t    b = buffer();

    cr_assert_eq(edge_state_encode(&in, &b, NULL), PKI_E_INVALID);
}

Test(record, status_has_the_documented_layout)
{
    static const uint8_t wanted[EDGE_STATUS_LEN] = { 0x21, 0x01, 0, 0, 1, 2, 0, 0x6b, 0x01, 0x02, 0x03,
                                                     0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0 };
    edge_status_t in = { EDGE_REVOKED, 1, 0x102, 0x6b010203, -1, INT64_C(1) << 32, BYTES_NONE };
    uint8_t       out[EDGE_STATUS_MAX];

    cr_assert_eq(edge_status_encode(&in, out), sizeof(wanted));
    cr_assert_arr_eq(out, wanted, sizeof(wanted));
}

Test(record, status_round_trips)
{
    const edge_status_t cases[] = {
        { EDGE_GOOD, -1, 0, 0, 0, INT64_C(253402300799), BYTES_NONE },
        { EDGE_REVOKED, 10, UINT32_MAX, 1795191000, 1795190000, 1895191000, BYTES_NONE },
        { EDGE_REVOKED, 0, 3, 1, -86400, 2, bytes_of(octets, 32) },
        { EDGE_HOLD, 6, 4, INT64_C(-62135596800), 0, 4102444800, BYTES_NONE },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const edge_status_t *in = &cases[i];
        edge_status_t        out;
        uint8_t              r[EDGE_STATUS_MAX];
        bytes_t              record = bytes_of(r, edge_status_encode(in, r));

        cr_assert_eq(edge_status_decode(record, &out, NULL), PKI_OK);
        cr_assert(out.kind == in->kind && out.reason == in->reason && out.revision == in->revision, "%zu", i);
        cr_assert(out.revoked_at == in->revoked_at && out.invalidity_at == in->invalidity_at, "%zu", i);
        cr_assert_eq(out.not_after, in->not_after, "%zu", i);
        cr_assert(bytes_eq(out.cert_hash, in->cert_hash), "%zu", i);
    }
}

Test(record, status_refuses_an_unknown_kind_and_another_length)
{
    uint8_t       r[EDGE_STATUS_MAX] = { 0x20 };
    edge_status_t out;

    for (size_t len = 0; len <= sizeof(r); len++) {
        bool whole = len == EDGE_STATUS_LEN || len == EDGE_STATUS_MAX;

        cr_assert_eq(edge_status_decode(bytes_of(r, len), &out, NULL), whole ? PKI_OK : PKI_E_PARSE, "%zu", len);
    }
    r[0] = 0x23;
    cr_assert_eq(edge_status_decode(BYTES_ARR(r), &out, NULL), PKI_E_PARSE);
}

Test(record, status_key_is_authority_and_serial)
{
    uint8_t key[EDGE_STATUS_KEY_MAX];

    cr_assert_eq(edge_status_key(0x01020304, bytes_of(octets, 2), key), 6);
    cr_assert_arr_eq(key, ((uint8_t[]){ 1, 2, 3, 4, 1, 8 }), 6);
    cr_assert_eq(edge_status_key(1, bytes_of(octets, 20), key), 24);
    cr_assert_eq(edge_status_key(1, bytes_of(octets, 21), key), 0);
    cr_assert_eq(edge_status_key(1, BYTES_NONE, key), 0);
}

static edge_issuer_t
issuer(void)
{
    edge_issuer_t in = { .no = 9, .id = BYTES_LIT("iss-local"), .is_current = true, .is_revoked = true, .reason = 2,
                         .revoked_at = 1795191000, .crl_shards = 16, .chain_len = 2, .ocsp_validity_s = 86400 };

    for (size_t h = 0; h < OCSP_HASH_COUNT; h++) {
        in.name_hash[h] = bytes_of(octets + h, ocsp_hash_len[h]);
        in.key_hash[h] = bytes_of(octets + 10 + h, ocsp_hash_len[h]);
    }
    in.chain[0] = bytes_of(octets, 200);
    in.chain[1] = bytes_of(octets + 3, 150);
    return in;
}

Test(record, changes_count_by_stripes_that_spread)
{
    static uint8_t record[EDGE_CHANGES_LEN];
    uint8_t        key[EDGE_STATUS_KEY_MAX], serial[4] = { 0 };
    uint64_t       count;
    size_t         len = edge_status_key(7, BYTES_ARR(serial), key), same = 0;

    edge_changes_init(UINT64_MAX, record);
    cr_assert(edge_changes_get(BYTES_ARR(record), bytes_of(key, len), &count));
    cr_assert_eq(count, UINT64_MAX);
    edge_changes_add(record, bytes_of(key, len));
    edge_changes_add(record, bytes_of(key, len));
    cr_assert(edge_changes_get(BYTES_ARR(record), bytes_of(key, len), &count));
    cr_assert_eq(count, 1);
    cr_assert(edge_changes_get_stripe(BYTES_ARR(record), edge_changes_stripe(bytes_of(key, len)), &count));
    cr_assert_eq(count, 1);

    /* Serials that are counted fall on the stripe of one of them about as often as random ones would. */
    for (uint32_t i = 1; i <= 10 * EDGE_STRIPES; i++) {
        serial[2] = (uint8_t) (i >> 8);
        serial[3] = (uint8_t) i;
        cr_assert(edge_changes_get(BYTES_ARR(record), bytes_of(key, edge_status_key(7, BYTES_ARR(serial), key)), &count));
        same += count == 1;
    }
    cr_assert(same >= 1 && same <= 40, "%zu", same);
}

Test(record, changes_refuse_another_length_or_version)
{
    static uint8_t record[EDGE_CHANGES_LEN + 1];
    uint64_t       count;

    edge_changes_init(1, record);
    cr_assert(edge_changes_get(bytes_of(record, EDGE_CHANGES_LEN), BYTES_LIT("k"), &count));
    cr_assert_not(edge_changes_get(bytes_of(record, EDGE_CHANGES_LEN - 1), BYTES_LIT("k"), &count));
    cr_assert_not(edge_changes_get(BYTES_ARR(record), BYTES_LIT("k"), &count));
    cr_assert_not(edge_changes_get(BYTES_NONE, BYTES_LIT("k"), &count));
    record[0]++;
    cr_assert_not(edge_changes_get(bytes_of(record, EDGE_CHANGES_LEN), BYTES_LIT("k"), &count));
}

Test(record, issuer_round_trips)
{
    edge_issuer_t in = issuer(), out;
    pki_buf_t     b = buffer();

    cr_assert_eq(edge_issuer_encode(&in, &b, NULL), PKI_OK);
    cr_assert_eq(edge_issuer_decode(pki_buf_bytes(&b), &out, NULL), PKI_OK);
    cr_assert(out.no == 9 && bytes_eq(out.id, in.id) && out.ocsp_validity_s == 86400 && out.chain_len == 2);
    cr_assert(out.is_current && out.is_revoked && out.reason == 2 && out.revoked_at == 1795191000);
    cr_assert_eq(out.crl_shards, 16);
    for (size_t h = 0; h < OCSP_HASH_COUNT; h++) {
        cr_assert(bytes_eq(out.name_hash[h], in.name_hash[h]) && bytes_eq(out.key_hash[h], in.key_hash[h]));
    }
    cr_assert(bytes_eq(out.chain[0], in.chain[0]) && bytes_eq(out.chain[1], in.chain[1]));
    refuses_all_but(pki_buf_bytes(&b), edge_issuer_t, edge_issuer_decode);
}

Test(record, issuer_bounds_its_chain)
{
    edge_issuer_t in = issuer();
    pki_buf_t     b = buffer();

    in.chain_len = EDGE_CHAIN_MAX + 1;
    cr_assert_eq(edge_issuer_encode(&in, &b, NULL), PKI_E_INVALID);
    in.chain_len = 1;
    in.chain[0].len = 0;
    cr_assert_eq(edge_issuer_encode(&in, &b, NULL), PKI_E_INVALID);
    in = issuer();
    in.key_hash[OCSP_SHA384].len--;
    cr_assert_eq(edge_issuer_encode(&in, &b, NULL), PKI_E_INVALID);
}

Test(record, responder_round_trips)
{
    edge_responder_t in = { bytes_of(octets, 250), BYTES_LIT("9-3.pem"), 3, -5, 1795191000 }, out;
    pki_buf_t        b = buffer();

    cr_assert_eq(edge_responder_encode(&in, &b, NULL), PKI_OK);
    cr_assert_eq(edge_responder_decode(pki_buf_bytes(&b), &out, NULL), PKI_OK);
    cr_assert(bytes_eq(out.certificate, in.certificate) && bytes_eq(out.key_file, in.key_file));
    cr_assert(out.generation == 3 && out.not_before == -5 && out.not_after == 1795191000);
    refuses_all_but(pki_buf_bytes(&b), edge_responder_t, edge_responder_decode);
}

Test(record, crl_round_trips)
{
    edge_crl_t in = {
        BYTES_LIT("9-full-12.crl"), bytes_of(octets, 3), bytes_of(octets, 32), 100, 200, 1ull << 33,
        7, bytes_of(octets + 1, 32) };
    edge_crl_t out;
    pki_buf_t  b = buffer();

    cr_assert_eq(edge_crl_encode(&in, &b, NULL), PKI_OK);
    cr_assert_eq(edge_crl_decode(pki_buf_bytes(&b), &out, NULL), PKI_OK);
    cr_assert(bytes_eq(out.file, in.file) && bytes_eq(out.number, in.number) && bytes_eq(out.etag, in.etag));
    cr_assert(out.this_update == 100 && out.next_update == 200 && out.size == 1ull << 33);
    cr_assert(out.gzip_size == 7 && bytes_eq(out.gzip_etag, in.gzip_etag));
    refuses_all_but(pki_buf_bytes(&b), edge_crl_t, edge_crl_decode);
}

Test(record, file_names_stay_in_their_folder)
{
    static const bytes_t bad[] = {BYTES_LIT("../key.pem"), BYTES_LIT("a/b"), BYTES_LIT(".hidden"),
                                  BYTES_LIT(""), BYTES_LIT("a\0b")};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        edge_crl_t       crl = { bad[i], bytes_of(octets, 3), bytes_of(octets, 32), 100, 200, 1, 0, BYTES_NONE };
        edge_responder_t responder = { bytes_of(octets, 250), bad[i], 3, 0, 1 };
        pki_buf_t        b = buffer();

        cr_assert_eq(edge_crl_encode(&crl, &b, NULL), PKI_E_INVALID, "%zu", i);
        cr_assert_eq(edge_responder_encode(&responder, &b, NULL), PKI_E_INVALID, "%zu", i);
    }
}

Test(record, reading_refuses_a_file_name_that_leads_elsewhere)
{
    edge_crl_t in = { BYTES_LIT("9.crl"), bytes_of(octets, 3), bytes_of(octets, 32), 100, 200, 1, 0, BYTES_NONE }, out;
    pki_buf_t  b = buffer();

    cr_assert_eq(edge_crl_encode(&in, &b, NULL), PKI_OK);
    b.p[3] = '/';
    cr_assert_eq(edge_crl_decode(pki_buf_bytes(&b), &out, NULL), PKI_E_PARSE);
}

Test(record, est_label_round_trips)
{
    edge_est_label_t in = {
        .label = BYTES_LIT("devices"), .issuer_no = 4, .wrap = 64, .auth_certificate = true, .trust_len = 3};
    edge_est_label_t out;
    pki_buf_t        b = buffer();

    for (size_t i = 0; i < in.trust_len; i++) {
        in.trust[i] = bytes_of(octets + i, 100 + i);
    }
    cr_assert_eq(edge_est_label_encode(&in, &b, NULL), PKI_OK);
    cr_assert_eq(edge_est_label_decode(pki_buf_bytes(&b), &out, NULL), PKI_OK);
    cr_assert(bytes_eq(out.label, in.label) && out.issuer_no == 4 && out.wrap == 64 && out.trust_len == 3);
    cr_assert(!out.auth_basic && out.auth_certificate);
    for (size_t i = 0; i < in.trust_len; i++) {
        cr_assert(bytes_eq(out.trust[i], in.trust[i]));
    }
    refuses_all_but(pki_buf_bytes(&b), edge_est_label_t, edge_est_label_decode);
}

Test(record, account_round_trips)
{
    const edge_account_t cases[] = { { EDGE_CREDENTIAL_SHA256, bytes_of(octets, 32) },
                                     { EDGE_CREDENTIAL_ORCHESTRATOR, BYTES_NONE } };

    for (size_t i = 0; i < 2; i++) {
        edge_account_t out;
        pki_buf_t      b = buffer();

        cr_assert_eq(edge_account_encode(&cases[i], &b, NULL), PKI_OK);
        cr_assert_eq(edge_account_decode(pki_buf_bytes(&b), &out, NULL), PKI_OK);
        cr_assert(out.kind == cases[i].kind && bytes_eq(out.digest, cases[i].digest));
        refuses_all_but(pki_buf_bytes(&b), edge_account_t, edge_account_decode);
    }
}

Test(record, account_refuses_a_digest_that_does_not_fit_its_kind)
{
    const edge_account_t cases[] = { { EDGE_CREDENTIAL_SHA256, bytes_of(octets, 31) },
                                     { EDGE_CREDENTIAL_SHA256, BYTES_NONE },
                                     { EDGE_CREDENTIAL_ORCHESTRATOR, bytes_of(octets, 32) },
                                     { (edge_credential_kind_t) 3, BYTES_NONE } };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pki_buf_t b = buffer();

        cr_assert_eq(edge_account_encode(&cases[i], &b, NULL), PKI_E_INVALID, "%zu", i);
    }
}

Test(record, issuer_hashes_are_those_of_the_name_and_the_key)
{
    cert_t        ca = { .subject = bytes_of(octets, 40), .key.key = bytes_of(octets + 40, 65) };
    edge_issuer_t out = { 0 };
    uint8_t       wanted[64];

    cr_assert_eq(edge_issuer_hashes(arena, &ca, &out, NULL), PKI_OK);
    SHA1(octets, 40, wanted);
    cr_assert(bytes_eq(out.name_hash[OCSP_SHA1], bytes_of(wanted, 20)));
    SHA256(octets + 40, 65, wanted);
    cr_assert(bytes_eq(out.key_hash[OCSP_SHA256], bytes_of(wanted, 32)));
    SHA384(octets, 40, wanted);
    cr_assert(bytes_eq(out.name_hash[OCSP_SHA384], bytes_of(wanted, 48)));
    SHA512(octets + 40, 65, wanted);
    cr_assert(bytes_eq(out.key_hash[OCSP_SHA512], bytes_of(wanted, 64)));
}

Test(record, running_out_of_memory_is_an_ordinary_error)
{
    edge_issuer_t in = issuer();
    cert_t        ca = { .subject = bytes_of(octets, 40), .key.key = bytes_of(octets + 40, 65) };

    for (size_t n = 1; n <= 8; n++) {
        edge_issuer_t out;

        pki_arena_fail_after(arena, n);
        cr_assert_eq(edge_issuer_hashes(arena, &ca, &out, NULL), PKI_E_NOMEM);
    }
    for (size_t n = 1; n <= 2; n++) {
        pki_buf_t b = buffer();

        pki_arena_fail_after(arena, n);
        cr_assert_eq(edge_issuer_encode(&in, &b, NULL), PKI_E_NOMEM);
    }
}
