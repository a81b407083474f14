/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The audit's tree against roots and a leaf that Python's hashlib made, and every proof of every small tree.
 */
#include "pkiproto/audit/merkle.h"

#include <criterion/criterion.h>
#include <openssl/sha.h>

#include "pkiproto/audit/proof.h"
#include "pkiproto/base/text.h"

#define TREE_MAX 70

/* Of 0 to 7 leaves; the data of the nth is the octet n. */
static const char *const roots[] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "a20bf9a7cc2dc8a08f5f415a71b19f6ac427bab54d24eec868b5d3103449953a",
    "3b6cccd7e3e023ff393006f030315ee7ad9eb111b022b41fba7e5b7a3973f688",
    "9bcd51240af4005168f033121ba85be5a6ed4f0e6a5fac262066729b8fbfdecb",
    "b855b42d6c30f5b087e05266783fbd6e394f7b926013ccaa67700a8b0c5a596f",
    "bb36e7d3d4cee5720cbd323d02fab15962e2ba1dadf5f8fc6eeef4fd6ad056a8",
    "3560191803028444b232018ac047fdb561c09c23a7a6876c85e08b5e4d48e9f3",
};
static const char event_leaf[] = "028817c2ca9967d75bc6c4ce73ff14d850612687b2e98299295ef8f1164a784e";

static merkle_hash_t
leaf_of(uint8_t n)
{
    uint8_t       in[] = { 0x00, n };
    merkle_hash_t out;

    SHA256(in, sizeof(in), out.h);
    return out;
}

static pki_code_t
range(void *arg, uint64_t first, uint64_t count, merkle_hash_t *out, pki_err_t *err)
{
    merkle_front_t f = { 0 };

    (void) arg;
    for (uint64_t i = first; i < first + count; i++) {
        merkle_hash_t leaf = leaf_of((uint8_t) i);

        merkle_add(&f, &leaf, NULL, NULL);
    }
    return merkle_root(&f, out, err);
}

Test(merkle, roots_are_those_of_another_program)
{
    for (uint64_t n = 0; n < 8; n++) {
        merkle_hash_t root;
        char          hex[2 * MERKLE_HASH_LEN + 1];

        range(NULL, 0, n, &root, NULL);
        hex_encode(BYTES_ARR(root.h), hex);
        cr_expect_str_eq(hex, roots[n], "%d leaves", (int) n);
    }
}

Test(merkle, every_path_leads_to_the_root_and_no_other_leaf_or_place_does)
{
    for (uint64_t size = 1; size <= TREE_MAX; size++) {
        merkle_hash_t root, path[MERKLE_PATH_MAX];
        size_t        len;

        range(NULL, 0, size, &root, NULL);
        for (uint64_t i = 0; i < size; i++) {
            merkle_hash_t leaf = leaf_of((uint8_t) i), other = leaf_of((uint8_t) (i + 1));

            cr_assert_eq(merkle_path(i, size, range, NULL, path, &len, NULL), PKI_OK);
            cr_expect(merkle_path_check(&leaf, i, size, path, len, &root));
            cr_expect(!merkle_path_check(&other, i, size, path, len, &root));
            cr_expect(size == 1 || !merkle_path_check(&leaf, (i + 1) % size, size, path, len, &root));
            cr_expect(!merkle_path_check(&leaf, size, size, path, len, &root));
            cr_expect(len == 0 || !merkle_path_check(&leaf, i, size, path, len - 1, &root));
        }
    }
}

Test(merkle, a_tree_continues_every_smaller_one_and_no_other)
{
    for (uint64_t second = 1; second <= TREE_MAX; second++) {
        for (uint64_t first = 1; first <= second; first++) {
            merkle_hash_t one, two, path[MERKLE_PATH_MAX];
            size_t        len;

            range(NULL, 0, first, &one, NULL);
            range(NULL, 0, second, &two, NULL);
            cr_assert_eq(merkle_consistency(first, second, range, NULL, path, &len, NULL), PKI_OK);
            cr_expect(merkle_consistency_check(first, second, path, len, &one, &two), "%d %d", (int) first, (int) second);
            one.h[0] ^= 1;
            cr_expect(!merkle_consistency_check(first, second, path, len, &one, &two));
        }
    }
}

Test(merkle, a_tree_that_memory_was_out_for_has_no_root)
{
    merkle_front_t f = { .size = 1, .failed = true };
    merkle_hash_t  root, leaf = leaf_of(1);

    merkle_add(&f, &leaf, NULL, NULL);
    cr_expect_eq(merkle_root(&f, &root, NULL), PKI_E_NOMEM);
}

Test(audit, a_leaf_is_the_hash_of_the_fields_with_their_lengths)
{
    audit_event_t e = { .field = { BYTES_LIT("7"), BYTES_LIT("2026-11-28T06:00:00.123456Z"), BYTES_LIT("key-1"),
                                   BYTES_LIT("api_key"), BYTES_LIT("profile.create"), BYTES_LIT("profile"),
                                   BYTES_LIT("prof-a"), BYTES_LIT("201"), BYTES_LIT(""), BYTES_NONE, BYTES_LIT("1500"),
                                   BYTES_NONE, BYTES_LIT("{\"a\": 1}") } };
    merkle_hash_t leaf, other;
    char          hex[2 * MERKLE_HASH_LEN + 1];

    cr_assert_eq(audit_event_leaf(&e, &leaf, NULL), PKI_OK);
    hex_encode(BYTES_ARR(leaf.h), hex);
    cr_expect_str_eq(hex, event_leaf);
    e.field[8] = BYTES_NONE;
    cr_assert_eq(audit_event_leaf(&e, &other, NULL), PKI_OK);
    cr_expect(!merkle_same(&leaf, &other), "an empty field is not an absent one");
}

Test(audit, a_head_is_read_as_it_was_built_and_nothing_else_is)
{
    audit_head_t in = { .size = 7, .at = 1795851554, .log = { 1, 2, 3 }, .root = { { 4, 5 } } }, out;
    uint8_t      octets[AUDIT_HEAD_LEN];

    audit_head_build(&in, octets);
    cr_assert_eq(audit_head_parse(BYTES_ARR(octets), &out, NULL), PKI_OK);
    cr_expect(out.size == 7 && out.at == in.at && merkle_same(&in.root, &out.root));
    cr_expect_eq(audit_head_parse(bytes_of(octets, sizeof(octets) - 1), &out, NULL), PKI_E_PARSE);
    octets[0] = 0x30;
    cr_expect_eq(audit_head_parse(BYTES_ARR(octets), &out, NULL), PKI_E_PARSE);
}
