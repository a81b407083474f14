/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The bounded writer, slices and secrets.
 */
#include "pkiproto/base/buf.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>

#include "pkiproto/base/secret.h"

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

TestSuite(buf, .init = setup, .fini = teardown);

Test(buf, grows_up_to_its_maximum_and_keeps_what_it_has)
{
    pki_buf_t b;
    pki_err_t err;

    pki_buf_init(&b, arena, 1000);
    cr_expect_null(b.p);
    for (int i = 0; i < 1000; i++) {
        pki_buf_put_u8(&b, (uint8_t) i);
    }
    cr_expect_eq(pki_buf_check(&b, "test", &err), PKI_OK);
    pki_buf_put_u8(&b, 1);
    cr_expect_eq(pki_buf_check(&b, "test", &err), PKI_E_TOO_LARGE);
    cr_assert_eq(b.len, 1000);
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(b.p[i], (uint8_t) i);
    }
}

Test(buf, a_write_that_does_not_fit_leaves_the_contents_and_later_writes_do_nothing)
{
    uint8_t   room[4];
    pki_buf_t b;

    pki_buf_fixed(&b, room, sizeof(room));
    pki_buf_put(&b, BYTES_LIT("abc"));
    pki_buf_put(&b, BYTES_LIT("de"));
    pki_buf_put(&b, BYTES_LIT("f"));
    cr_expect(b.failed);
    cr_expect(bytes_eq(pki_buf_bytes(&b), BYTES_LIT("abc")));
    cr_expect_eq(pki_buf_check(&b, "test", NULL), PKI_E_TOO_LARGE);
}

Test(buf, running_out_of_memory_is_told_apart)
{
    pki_buf_t b;

    pki_buf_init(&b, arena, 1 << 20);
    pki_arena_fail_after(arena, 1);
    pki_buf_put_u8(&b, 1);
    cr_expect_eq(pki_buf_check(&b, "test", NULL), PKI_E_NOMEM);
}

Test(buf, numbers_are_big_endian_and_read_back)
{
    uint8_t   room[64];
    pki_buf_t b;
    bytes_t   in, part;
    uint64_t  v;

    pki_buf_fixed(&b, room, sizeof(room));
    for (size_t width = 1; width <= 8; width++) {
        pki_buf_put_be(&b, 0x0102030405060708u, width);
    }
    in = pki_buf_bytes(&b);
    cr_expect_eq(in.p[0], 8);
    cr_expect_eq(in.p[1], 7);
    for (size_t width = 1; width <= 8; width++) {
        cr_assert(bytes_take_be(&in, width, &v));
        cr_expect_eq(v, width == 8 ? 0x0102030405060708u : 0x0102030405060708u & ((1ull << 8 * width) - 1));
    }
    cr_expect_not(bytes_take_be(&in, 1, &v));
    cr_expect_not(bytes_take(&in, 1, &part));
    cr_expect(bytes_take(&in, 0, &part));
}

Test(buf, integers_are_printed_in_decimal)
{
    static const int64_t values[] = { 0, 7, -1, 1000, INT64_MAX, INT64_MIN };
    pki_buf_t            b;

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char want[24];

        snprintf(want, sizeof(want), "%lld", (long long) values[i]);
        pki_buf_init(&b, arena, 100);
        pki_buf_put_int(&b, values[i]);
        cr_expect(bytes_eq(pki_buf_bytes(&b), bytes_str(want)), "%s", want);
    }
}

Test(buf, printf_counts_no_nul)
{
    uint8_t   room[6];
    pki_buf_t b;

    pki_buf_fixed(&b, room, sizeof(room));
    pki_buf_printf(&b, "%d%s", 12, "abc");
    cr_expect(bytes_eq(pki_buf_bytes(&b), BYTES_LIT("12abc")));
    pki_buf_printf(&b, "x");
    cr_expect(b.failed, "the NUL needs room, too");
}

Test(buf, slices_compare_by_contents_then_length)
{
    cr_expect(bytes_eq(BYTES_NONE, BYTES_LIT("")));
    cr_expect_not(bytes_eq(BYTES_LIT("a"), BYTES_LIT("ab")));
    cr_expect(bytes_eq_secret(BYTES_LIT("abc"), BYTES_LIT("abc")));
    cr_expect_not(bytes_eq_secret(BYTES_LIT("abc"), BYTES_LIT("abd")));
    cr_expect_not(bytes_eq_secret(BYTES_LIT("abc"), BYTES_LIT("ab")));
    cr_expect(bytes_eq_secret(BYTES_NONE, BYTES_NONE));
    cr_expect_lt(bytes_cmp(BYTES_LIT("a"), BYTES_LIT("b")), 0);
    cr_expect_lt(bytes_cmp(BYTES_LIT("a"), BYTES_LIT("ab")), 0);
    cr_expect_gt(bytes_cmp(BYTES_LIT("b"), BYTES_LIT("ab")), 0);
    cr_expect_eq(bytes_cmp(BYTES_LIT("ab"), BYTES_LIT("ab")), 0);
    cr_expect_eq(bytes_cmp(BYTES_NONE, BYTES_NONE), 0);
    cr_expect_eq(bytes_str(NULL).len, 0);
}

Test(buf, secrets_are_copies_that_end_in_nul)
{
    char         source[] = "hunter2";
    pki_secret_t s;

    cr_assert_eq(pki_secret_new(arena, bytes_str(source), &s, NULL), PKI_OK);
    memset(source, 0, sizeof(source));
    cr_expect_str_eq((const char *) s.p, "hunter2");
    cr_expect_eq(s.len, 7);
    cr_assert_eq(pki_secret_new(arena, BYTES_NONE, &s, NULL), PKI_OK);
    cr_expect_eq(s.p[0], 0);
    pki_arena_fail_after(arena, 1);
    cr_expect_eq(pki_secret_new(arena, BYTES_LIT("x"), &s, NULL), PKI_E_NOMEM);
}

Test(buf, tokens_have_32_base32_characters_and_differ)
{
    char a[PKI_TOKEN_LEN + 1], b[PKI_TOKEN_LEN + 1];

    cr_assert_eq(pki_token_generate(a, NULL), PKI_OK);
    cr_assert_eq(pki_token_generate(b, NULL), PKI_OK);
    cr_expect_str_neq(a, b);
    cr_expect_eq(strspn(a, "abcdefghijklmnopqrstuvwxyz234567"), PKI_TOKEN_LEN);
    cr_expect_eq(a[PKI_TOKEN_LEN], '\0');
}
