/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Transaction keys: what was used is never taken for new.
 */
#include "orchestrator/issue/seen.h"

#include <criterion/criterion.h>
#include <openssl/sha.h>

#include "core/clock.h"
#include "orchestrator/store/cert.h"
#include "t/unit/lib/suite.h"

#define WINDOW_S 3600
#define KEYS     20000

TestSuite(seen, .init = setup_world, .fini = teardown, .timeout = 60);

static bytes_t
key_of(unsigned n, uint8_t out[32])
{
    return bytes_of(SHA256((const uint8_t *) &n, sizeof(n), out), 32);
}

static seen_t *
seen_of_database(void)
{
    seen_t *s;

    cr_assert_eq(seen_open(WINDOW_S, &s, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(seen_load(s, db, &err), PKI_OK, "%s", err.text);
    return s;
}

Test(seen, has_every_key_and_hardly_another)
{
    seen_t  *s = seen_of_database();
    uint8_t  key[32];
    unsigned wrong = 0;
    int64_t  now = clock_now();

    for (unsigned n = 0; n < KEYS; n++) {
        seen_add(s, key_of(n, key), now);
    }
    for (unsigned n = 0; n < KEYS; n++) {
        cr_assert(seen_maybe(s, key_of(n, key), now), "%u", n);
        wrong += seen_maybe(s, key_of(KEYS + n, key), now);
    }
    cr_expect_lt(wrong, KEYS / 1000);
    seen_close(s);
}

Test(seen, keeps_a_key_for_a_window_at_least)
{
    seen_t *s = seen_of_database();
    uint8_t one[32], other[32];
    int64_t now = clock_now();

    seen_add(s, key_of(1, one), now + WINDOW_S / 2);
    cr_expect(seen_maybe(s, key_of(1, one), now + WINDOW_S + 10));
    seen_add(s, key_of(2, other), now + WINDOW_S + 11);
    cr_expect(seen_maybe(s, key_of(1, one), now + 3 * WINDOW_S / 2));
    cr_expect(seen_maybe(s, key_of(2, other), now + 2 * WINDOW_S + 20));
    cr_expect_not(seen_maybe(s, key_of(1, one), now + 2 * WINDOW_S + 20), "the window is over");
    seen_close(s);
}

Test(seen, takes_what_the_database_has)
{
    cert_record_t in = store_cert(arena, "one", 7, DAY_S);
    uint8_t       one[32], other[32];
    seen_t       *s;
    bool          won;

    in.transaction_key = key_of(1, one);
    cr_assert_eq(cert_record(db, &in, &won, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(seen_open(WINDOW_S, &s, &err), PKI_OK, "%s", err.text);
    cr_expect(seen_maybe(s, key_of(2, other), clock_now()), "nothing is known before it was asked");
    cr_assert_eq(seen_load(s, db, &err), PKI_OK, "%s", err.text);
    cr_expect(seen_maybe(s, key_of(1, one), clock_now()));
    cr_expect_not(seen_maybe(s, key_of(2, other), clock_now()));
    cr_expect(seen_maybe(s, BYTES_NONE, clock_now()), "no key");

    seen_doubt(s);
    cr_expect(seen_maybe(s, key_of(2, other), clock_now()), "some were missed");
    cr_assert_eq(seen_load(s, db, &err), PKI_OK, "%s", err.text);
    cr_expect_not(seen_maybe(s, key_of(2, other), clock_now()));
    seen_close(s);
}
