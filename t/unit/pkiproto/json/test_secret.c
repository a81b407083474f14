/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Secrets of a configuration: none is shown, none is lost, and those that were changed are.
 */
#include "pkiproto/json/secret.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdlib.h>

typedef struct {
    const char *user, *password;
} login_t;

typedef struct {
    const char *url, *token;
    bytes_t     key;
    int64_t     ttl_s;
    login_t     login;
} vault_t;

static const field_t login_fields[] = {
    FIELD_STR(login_t, user, 0, NULL, "user"),
    FIELD_STR(login_t, password, F_SECRET, NULL, "password"),
    FIELD_END,
};

static const field_t vault_fields[] = {
    FIELD_STR(vault_t, url, F_REQUIRED, NULL, "where"),
    FIELD_STR(vault_t, token, F_REQUIRED | F_SECRET, NULL, "token"),
    FIELD_BASE64(vault_t, key, F_SECRET, "client key"),
    FIELD_INT(vault_t, ttl_s, 0, "60", 0, 1000, "lifetime"),
    FIELD_OBJECT(vault_t, login, 0, login_fields, "log in"),
    FIELD_END,
};

static json_t *
json_of(const char *text)
{
    json_t *out = text[0] != '\0' ? json_loads(text, 0, NULL) : NULL;

    cr_assert(text[0] == '\0' || out != NULL, "%s", text);
    return out;
}

typedef struct {
    char whole[160], shown[160], secret[120];
} split_case_t;

ParameterizedTestParameters(json_secret, secrets_are_taken_out)
{
    static split_case_t cases[] = {
        { "{\"url\": \"u\", \"token\": \"t\", \"ttl_s\": 5}", "{\"url\": \"u\", \"token\": \"***\", \"ttl_s\": 5}", "{\"token\": \"t\"}" },
        { "{\"url\": \"u\"}", "{\"url\": \"u\"}", "{}" },
        { "{\"token\": null}", "{\"token\": null}", "{}" },
        { "{\"login\": {\"user\": \"a\"}}", "{\"login\": {\"user\": \"a\"}}", "{}" },
        { "{\"key\": \"AAAA\", \"login\": {\"user\": \"a\", \"password\": \"p\"}}",
          "{\"key\": \"***\", \"login\": {\"user\": \"a\", \"password\": \"***\"}}", "{\"key\": \"AAAA\", \"login\": {\"password\": \"p\"}}" },
    };
    return cr_make_param_array(split_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(split_case_t *c, json_secret, secrets_are_taken_out)
{
    JSON_AUTO whole = json_of(c->whole);
    JSON_AUTO want_shown = json_of(c->shown);
    JSON_AUTO want_secret = json_of(c->secret);
    JSON_AUTO shown = NULL;
    JSON_AUTO secret = NULL;
    JSON_AUTO before = json_deep_copy(whole);

    cr_assert_eq(secrets_split(vault_fields, whole, &shown, &secret, NULL), PKI_OK);
    cr_expect(json_equal(shown, want_shown), "%s", c->whole);
    cr_expect(json_equal(secret, want_secret), "%s", c->whole);
    cr_expect(json_equal(whole, before), "the whole is left alone");
}

typedef struct {
    char shown[160], secret[120], given[160], whole[160];
} merge_case_t;

#define SHOWN  "{\"url\": \"u\", \"token\": \"***\", \"login\": {\"user\": \"a\", \"password\": \"***\"}}"
#define SECRET "{\"token\": \"t\", \"login\": {\"password\": \"p\"}}"

ParameterizedTestParameters(json_secret, a_change_is_put_over_what_is_kept)
{
    static merge_case_t cases[] = {
        { SHOWN, SECRET, SHOWN, "{\"url\": \"u\", \"token\": \"t\", \"login\": {\"user\": \"a\", \"password\": \"p\"}}" },
        { SHOWN, SECRET, "{}", "{\"url\": \"u\", \"token\": \"t\", \"login\": {\"user\": \"a\", \"password\": \"p\"}}" },
        { SHOWN, SECRET, "{\"token\": \"new\", \"ttl_s\": 7}",
          "{\"url\": \"u\", \"token\": \"new\", \"ttl_s\": 7, \"login\": {\"user\": \"a\", \"password\": \"p\"}}" },
        { SHOWN, SECRET, "{\"token\": null, \"login\": {\"password\": \"q\"}}", "{\"url\": \"u\", \"login\": {\"user\": \"a\", \"password\": \"q\"}}" },
        { SHOWN, SECRET, "{\"login\": null, \"url\": \"***\"}", "{\"url\": \"***\", \"token\": \"t\"}" },
        { SHOWN, "", "{\"token\": \"***\", \"login\": {}}", "{\"url\": \"u\", \"login\": {\"user\": \"a\"}}" },
        { "", "", "{\"url\": \"u\", \"token\": \"t\", \"colour\": 1}", "{\"url\": \"u\", \"token\": \"t\", \"colour\": 1}" },
        { SHOWN, SECRET, "{\"login\": 5}", "{\"url\": \"u\", \"token\": \"t\", \"login\": 5}" },
    };
    return cr_make_param_array(merge_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(merge_case_t *c, json_secret, a_change_is_put_over_what_is_kept)
{
    JSON_AUTO shown = json_of(c->shown);
    JSON_AUTO secret = json_of(c->secret);
    JSON_AUTO given = json_of(c->given);
    JSON_AUTO want = json_of(c->whole);
    JSON_AUTO whole = NULL;

    cr_assert_eq(secrets_merge(vault_fields, shown, secret, given, &whole, NULL), PKI_OK);
    cr_expect(json_equal(whole, want), "%s", c->given);
}

Test(json_secret, what_is_split_and_merged_decodes_as_it_was)
{
    pki_arena_t *a = pki_arena_new(0);
    JSON_AUTO    whole = json_of("{\"url\": \"u\", \"token\": \"t\", \"key\": \"AAAA\", \"login\": {\"password\": \"p\"}}");
    JSON_AUTO    shown = NULL;
    JSON_AUTO    secret = NULL;
    JSON_AUTO    back = NULL;
    vault_t      out;

    cr_assert_eq(secrets_split(vault_fields, whole, &shown, &secret, NULL), PKI_OK);
    cr_assert_eq(secrets_merge(vault_fields, shown, secret, shown, &back, NULL), PKI_OK);
    cr_assert_eq(fields_decode(a, vault_fields, back, &out, NULL, NULL), PKI_OK);
    cr_expect_str_eq(out.token, "t");
    cr_expect_str_eq(out.login.password, "p");
    cr_expect_eq(out.key.len, 3);
    cr_expect_eq(out.ttl_s, 60);
    pki_arena_free(a);
}

Test(json_secret, a_table_and_a_body_are_known_to_have_secrets)
{
    JSON_AUTO none = json_of("{\"url\": \"u\", \"token\": null, \"login\": {\"user\": \"a\"}}");
    JSON_AUTO one = json_of("{\"token\": \"t\"}");
    JSON_AUTO inside = json_of("{\"login\": {\"password\": \"p\"}}");

    cr_expect(fields_secret(vault_fields));
    cr_expect(!fields_secret(&login_fields[2]));
    cr_expect(!fields_secret_given(vault_fields, none));
    cr_expect(fields_secret_given(vault_fields, one));
    cr_expect(fields_secret_given(vault_fields, inside));
    cr_expect(!fields_secret_given(vault_fields, NULL));
}
