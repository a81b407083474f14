/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Passwords: right, wrong, of somebody else, of nobody, and too many at once.
 */
#include "core/password.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>

static passwords_t *p;
static pki_arena_t *a;
static pki_err_t    err;

static void
setup(void)
{
    a = pki_arena_new(0);
    cr_assert_eq(passwords_open(1, &p, &err), PKI_OK);
}

static void
teardown(void)
{
    passwords_close(p);
    pki_arena_free(a);
}

TestSuite(password, .init = setup, .fini = teardown, .timeout = 60);

static password_t
kept(const char *id, const char *text)
{
    password_t out = { .id = id };

    cr_assert_eq(password_make(p, a, text, &out, &err), PKI_OK, "%s", err.text);
    return out;
}

Test(password, knows_the_right_one_and_no_other)
{
    password_t one = kept("user-one", "correct horse");

    cr_expect_eq(password_check(p, &one, "correct horse", &err), PKI_OK, "%s", err.text);
    cr_expect_eq(password_check(p, &one, "correct horse", &err), PKI_OK, "also by memory");
    cr_expect_eq(password_check(p, &one, "correct hors", &err), PKI_E_UNAUTHENTICATED);
    cr_expect_eq(password_check(p, &one, "", &err), PKI_E_UNAUTHENTICATED);
}

Test(password, is_kept_differently_each_time)
{
    password_t one = kept("user-one", "correct horse"), two = kept("user-one", "correct horse");

    cr_expect_not(bytes_eq(one.salt, two.salt));
    cr_expect_not(bytes_eq(one.digest, two.digest));
}

Test(password, that_was_changed_is_not_remembered)
{
    password_t one = kept("user-one", "correct horse"), two = kept("user-one", "another horse");

    cr_assert_eq(password_check(p, &one, "correct horse", &err), PKI_OK);
    cr_expect_eq(password_check(p, &two, "correct horse", &err), PKI_E_UNAUTHENTICATED);
}

Test(password, of_nobody_is_always_wrong_and_says_the_same)
{
    password_t one = kept("user-one", "correct horse");
    pki_err_t  nobody = { 0 };

    cr_expect_eq(password_check_nobody(p, "correct horse", &nobody), PKI_E_UNAUTHENTICATED);
    cr_expect_eq(password_check(p, &one, "wrong horse", &err), PKI_E_UNAUTHENTICATED);
    cr_expect_str_eq(nobody.text, err.text);
}

static atomic_int turned_away;

static void *
check_thread(void *arg)
{
    pki_err_t why = { 0 };

    (void) arg;
    if (password_check_nobody(p, "guess", &why) == PKI_E_RATE) {
        atomic_fetch_add(&turned_away, 1);
    }
    return NULL;
}

/* Two run and one waits: of twelve that come together most are turned away, and at once. */
Test(password, checks_are_few_at_once)
{
    pthread_t threads[12];

    for (size_t i = 0; i < 12; i++) {
        pthread_create(&threads[i], NULL, check_thread, NULL);
    }
    for (size_t i = 0; i < 12; i++) {
        pthread_join(threads[i], NULL);
    }
    cr_expect_geq(atomic_load(&turned_away), 1);
    cr_expect_leq(atomic_load(&turned_away), 10);
}
