/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Arenas: alignment, limits, ownership and failing on request.
 */
#include "pkiproto/base/arena.h"

#include <criterion/criterion.h>
#include <stdint.h>

static pki_arena_t *arena;
static char         order[16];
static size_t       order_len;

static void
setup(void)
{
    arena = pki_arena_new(0);
    order_len = 0;
}

static void
teardown(void)
{
    pki_arena_free(arena);
}

TestSuite(arena, .init = setup, .fini = teardown);

static void
note(void *ptr)
{
    order[order_len++] = *(char *) ptr;
    order[order_len] = '\0';
}

Test(arena, memory_is_zeroed_aligned_and_apart)
{
    static const size_t sizes[] = { 1, 7, 16, 100, 1000, 1025, 4096, 100000, 3, 0, 5000 };
    uint8_t            *p[sizeof(sizes) / sizeof(sizes[0])];
    size_t              n = sizeof(sizes) / sizeof(sizes[0]);

    for (size_t i = 0; i < n; i++) {
        p[i] = pki_alloc(arena, sizes[i]);
        cr_assert_not_null(p[i]);
        cr_expect_eq((uintptr_t) p[i] % _Alignof(max_align_t), 0);
        for (size_t j = 0; j < sizes[i]; j++) {
            cr_assert_eq(p[i][j], 0);
        }
        memset(p[i], (int) i + 1, sizes[i]);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < sizes[i]; j++) {
            cr_assert_eq(p[i][j], i + 1);
        }
    }
}

Test(arena, small_blocks_stay_usable_after_large_ones)
{
    uint8_t *a = pki_alloc(arena, 16), *big = pki_alloc(arena, 100000), *b = pki_alloc(arena, 16);

    cr_assert_not_null(big);
    cr_expect_eq(b, a + 16, "the block being filled is still the first one");
}

Test(arena, frees_what_it_owns_last_owned_first)
{
    char a = 'a', b = 'b', c = 'c';

    cr_assert_eq(pki_arena_own(arena, &a, note, NULL), PKI_OK);
    cr_assert_eq(pki_arena_own(arena, &b, note, NULL), PKI_OK);
    cr_assert_eq(pki_arena_own(arena, &c, note, NULL), PKI_OK);
    cr_expect_eq(order_len, 0);
    pki_arena_reset(arena);
    cr_expect_str_eq(order, "cba");
    pki_arena_reset(arena);
    cr_expect_str_eq(order, "cba", "only once");
}

Test(arena, frees_at_once_what_it_cannot_own)
{
    pki_err_t err;
    char      a = 'a';

    pki_arena_fail_after(arena, 1);
    cr_expect_eq(pki_arena_own(arena, &a, note, &err), PKI_E_NOMEM);
    cr_expect_str_eq(order, "a");
    pki_arena_fail_after(arena, 0);
    pki_arena_reset(arena);
    cr_expect_str_eq(order, "a");
}

Test(arena, fails_from_the_nth_allocation_on)
{
    pki_arena_fail_after(arena, 3);
    cr_expect_not_null(pki_alloc(arena, 1));
    cr_expect_not_null(pki_alloc(arena, 1));
    cr_expect_null(pki_alloc(arena, 1));
    cr_expect_null(pki_alloc(arena, 1));
    pki_arena_fail_after(arena, 0);
    cr_expect_not_null(pki_alloc(arena, 1));
}

Test(arena, a_limit_counts_what_was_handed_out)
{
    pki_arena_t *a = pki_arena_new(1000);

    cr_expect_null(pki_alloc(a, 1001));
    cr_expect_not_null(pki_alloc(a, 900));
    cr_expect_null(pki_alloc(a, 200));
    pki_arena_reset(a);
    cr_expect_not_null(pki_alloc(a, 900));
    pki_arena_free(a);
    pki_arena_free(NULL);
}

Test(arena, sizes_that_overflow_are_refused)
{
    cr_expect_null(pki_alloc(arena, SIZE_MAX));
    cr_expect_null(pki_alloc(arena, SIZE_MAX - 8));
    cr_expect_null(pki_strndup(arena, "x", SIZE_MAX));
}

Test(arena, copies_end_in_nul)
{
    bytes_t out;

    cr_assert_eq(pki_bytes_dup(arena, BYTES_LIT("abc"), &out, NULL), PKI_OK);
    cr_expect(bytes_eq(out, BYTES_LIT("abc")));
    cr_expect_eq(out.p[3], 0);
    cr_assert_eq(pki_bytes_dup(arena, BYTES_NONE, &out, NULL), PKI_OK);
    cr_expect_not_null(out.p);
    cr_expect_eq(out.len, 0);
    cr_expect_str_eq(pki_strdup(arena, "hello"), "hello");
    cr_expect_str_eq(pki_strndup(arena, "hello", 2), "he");
    cr_expect_str_eq(pki_printf(arena, "%d-%s", 7, "x"), "7-x");
    pki_arena_fail_after(arena, 1);
    cr_expect_null(pki_printf(arena, "%d", 1));
    cr_expect_eq(pki_bytes_dup(arena, BYTES_LIT("abc"), &out, NULL), PKI_E_NOMEM);
}
