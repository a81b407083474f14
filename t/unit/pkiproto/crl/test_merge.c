/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * A list out of an earlier one: whatever the changes, it is the list that would have been written from the start.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "pkiproto/crl/crl.h"

#define NOW    INT64_C(1795191000)
#define SPACE  600 /* serials in play */
#define ROUNDS 300

#define ISSUER BYTES_LIT("\x30\x13\x31\x11\x30\x0f\x06\x03\x55\x04\x03\x0c\x08" "CRL test")

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

TestSuite(merge, .init = setup, .fini = teardown);

/* Serials of one to four octets, so that their order is not that of numbers. */
static bytes_t
serial_of(unsigned n)
{
    uint8_t *p = pki_alloc(arena, 4);
    size_t   len = 1 + n % 4;

    p[0] = (uint8_t) (n / 8 % 127 + 1);
    p[1] = (uint8_t) n;
    p[2] = (uint8_t) (n >> 8);
    p[3] = 0x55;
    return bytes_of(p, len);
}

static int
change_cmp(const void *a, const void *b)
{
    return bytes_cmp(((const crl_change_t *) a)->entry.serial, ((const crl_change_t *) b)->entry.serial);
}

/* Sorted, each serial once. */
static size_t
changes_sort(crl_change_t *v, size_t count)
{
    size_t n = 0;

    qsort(v, count, sizeof(*v), change_cmp);
    for (size_t i = 0; i < count; i++) {
        if (n == 0 || change_cmp(&v[n - 1], &v[i]) != 0) {
            v[n++] = v[i];
        }
    }
    return n;
}

static pki_code_t
collect(void *arg, bytes_t data, pki_err_t *err)
{
    pki_buf_put(arg, data);
    return pki_buf_check(arg, "CRL", err);
}

static bytes_t
written(crl_t *crl)
{
    static const crl_template_t t = { .issuer = ISSUER, .this_update = NOW + ROUNDS, .next_update = NOW + 99999,
                                      .akid = BYTES_LIT("\x01\x02"), .number = BYTES_LIT("\x05") };
    crl_template_t              signed_by = t;
    pki_buf_t                   out;
    pki_err_t                   err = { 0 };

    signed_by.sigalg = pki_key_sigalg(PKI_KEY_P256);
    pki_buf_init(&out, arena, 1 << 24);
    cr_assert_eq(crl_seal(crl, &signed_by, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(crl_write(crl, BYTES_LIT("signature"), collect, &out, &err), PKI_OK, "%s", err.text);
    return pki_buf_bytes(&out);
}

static bytes_t
from_the_start(const crl_change_t *state, size_t count, size_t *listed)
{
    crl_t  *crl = crl_new();
    bytes_t out;

    for (size_t i = 0; i < count; i++) {
        if (state[i].listed) {
            cr_assert_eq(crl_add(crl, &state[i].entry, NULL), PKI_OK);
        }
    }
    *listed = crl_count(crl);
    out = written(crl);
    crl_free(crl);
    return out;
}

static bytes_t
entries_of(bytes_t list)
{
    crl_view_t v;

    cr_assert_eq(crl_parse(list, &v, NULL), PKI_OK);
    return v.entries;
}

Test(merge, any_history_of_changes_gives_the_list_that_is_written_from_the_start, .timeout = 120)
{
    crl_change_t *state = calloc(SPACE, sizeof(*state)), *changes = calloc(SPACE, sizeof(*changes));
    size_t        count, listed;
    bytes_t       list = BYTES_NONE;

    srand(7);
    for (unsigned i = 0; i < SPACE; i++) {
        state[i].entry = (crl_entry_t){ .serial = serial_of(i) };
    }
    count = changes_sort(state, SPACE);
    for (int round = 0; round < ROUNDS; round++) {
        size_t       n = 0, some = (size_t) rand() % (round % 10 == 0 ? SPACE : 6);
        crl_t       *crl = crl_new();
        crl_merged_t done;
        pki_err_t    err = { 0 };
        size_t       before = 0, added = 0, removed = 0;
        bytes_t      merged;

        for (size_t i = 0; i < count; i++) {
            before += state[i].listed;
        }
        for (size_t i = 0; i < some; i++) {
            crl_change_t *c = &state[(size_t) rand() % count];
            bool          was = c->listed;

            if (c->entry.revoked_at == NOW + round) {
                continue; /* once in a round */
            }
            c->listed = rand() % 3 != 0;
            c->entry.revoked_at = NOW + round;
            c->entry.reason = rand() % 7 - 1;
            added += !was && c->listed;
            removed += was && !c->listed;
            changes[n++] = *c;
        }
        n = changes_sort(changes, n);
        cr_assert_eq(crl_merge(crl, list.p == NULL ? BYTES_NONE : entries_of(list), NOW + round, changes, n, NULL, NULL,
                               &done, &err), PKI_OK, "%s", err.text);
        merged = written(crl);
        cr_assert(bytes_eq(merged, from_the_start(state, count, &listed)), "round %d", round);
        cr_assert_eq(crl_count(crl), listed);
        cr_assert_eq(done.added, added);
        cr_assert_eq(done.removed, removed);
        cr_assert_eq(listed, before + done.added - done.removed);
        crl_free(crl);
        list = merged;
    }
    free(state);
    free(changes);
}

Test(merge, refuses_what_is_not_in_order)
{
    static const uint8_t    one[] = { 1 }, two[] = { 2 };
    const crl_change_t      bad[] = { { { .serial = BYTES_ARR(two), .revoked_at = NOW }, true },
                                      { { .serial = BYTES_ARR(one), .revoked_at = NOW }, true } };
    static const struct {
        bytes_t entries;
    } cases[] = {
        { BYTES_LIT("\x30\x03\x02\x01\x02\x30\x03\x02\x01\x01") }, /* 2, 1 */
        { BYTES_LIT("\x30\x03\x02\x01\x01\x30\x03\x02\x01\x01") }, /* twice */
        { BYTES_LIT("\x30\x03\x02\x02\x01\x01") },                     /* the serial ends behind the entry */
        { BYTES_LIT("\x30\x04\x02\x01\x01") },                          /* cut off */
        { BYTES_LIT("\x30\x03\x04\x01\x01") },
        { BYTES_LIT("\x30\x02\x02\x00") },
        { BYTES_LIT("\x30") },
    };
    crl_merged_t done;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        crl_t *crl = crl_new();

        cr_assert_eq(crl_merge(crl, cases[i].entries, NOW, NULL, 0, NULL, NULL, &done, NULL), PKI_E_PARSE, "%zu", i);
        crl_free(crl);
    }
    crl_t *crl = crl_new();
    cr_assert_eq(crl_merge(crl, BYTES_NONE, NOW, bad, 2, NULL, NULL, &done, NULL), PKI_E_INTERNAL);
    crl_free(crl);
}

static void
note_passed(void *arg, bytes_t walked)
{
    bytes_t *whole = arg;

    cr_assert(walked.p == whole->p + whole->len || whole->len == 0);
    whole->p = whole->len == 0 ? walked.p : whole->p;
    whole->len += walked.len;
}

Test(merge, takes_millions_over_in_one_run_and_tells_what_it_has_walked)
{
    enum { COUNT = 100000 };
    crl_t       *first = crl_new(), *second = crl_new();
    bytes_t      list, entries, whole = BYTES_NONE;
    crl_merged_t done;

    for (uint32_t i = 0; i < COUNT; i++) {
        uint8_t     serial[5] = { 0x40, (uint8_t) (i >> 24), (uint8_t) (i >> 16), (uint8_t) (i >> 8), (uint8_t) i };
        crl_entry_t e = { .serial = BYTES_ARR(serial), .revoked_at = NOW, .reason = -1 };

        cr_assert_eq(crl_add(first, &e, NULL), PKI_OK);
    }
    list = written(first);
    entries = entries_of(list);
    cr_assert_eq(crl_merge(second, entries, NOW, NULL, 0, note_passed, &whole, &done, NULL), PKI_OK);
    cr_assert_eq(whole.p, entries.p);
    cr_assert(whole.len > entries.len - CRL_SINK_MAX && whole.len <= entries.len);
    cr_assert(bytes_eq(list, written(second)));
    crl_free(first);
    crl_free(second);
}
