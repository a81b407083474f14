/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * chanceryd's configuration: its tables, its example, and what fits together.
 */
#include "orchestrator/conf.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/file.h"

static pki_arena_t     *arena;
static field_problems_t problems;
static pki_err_t        err;

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

TestSuite(chanceryd_conf, .init = setup, .fini = teardown);

Test(chanceryd_conf, the_defaults_are_a_configuration)
{
    conf_t c;

    cr_assert_eq(conf_read(arena, NULL, &c, &problems, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(c.ocsp.responder_validity_s, 30 * 86400);
    cr_expect_eq(c.ocsp.responder_renew_s, 7 * 86400);
    cr_expect_str_eq(c.log_level, "info");
    cr_expect_str_eq(c.signer.pkcs11_module, "");
}

static void
help_walk(const field_t *table, size_t *keys)
{
    for (const field_t *f = table; f->type != FIELD_T_END; f++) {
        cr_expect(f->help != NULL && strlen(f->help) > 3, "%s has no help", f->name);
        if (f->type == FIELD_T_OBJECT) {
            help_walk(f->sub, keys);
            continue;
        }
        ++*keys;
        cr_expect_not_null(f->def, "%s has no default", f->name);
    }
}

Test(chanceryd_conf, every_key_has_help_and_a_default)
{
    size_t keys = 0;

    help_walk(conf_fields, &keys);
    cr_expect_gt(keys, 20);
}

Test(chanceryd_conf, the_example_is_the_manual_and_loads_as_the_defaults)
{
    conf_t    c, defaults;
    pki_buf_t manual;
    bytes_t   example;

    pki_buf_init(&manual, arena, 65536);
    cr_assert_eq(conf_manual(conf_fields, &manual, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(file_read(arena, "conf/chanceryd.yaml", 65536, &example, &err), PKI_OK, "%s", err.text);
    cr_expect(bytes_eq(pki_buf_bytes(&manual), example), "conf/chanceryd.yaml is not what `chanceryd manual` prints");

    cr_assert_eq(conf_read(arena, "conf/chanceryd.yaml", &c, &problems, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(conf_read(arena, NULL, &defaults, NULL, &err), PKI_OK);
    JSON_AUTO from_file = fields_encode(conf_fields, &c);
    JSON_AUTO from_table = fields_encode(conf_fields, &defaults);

    cr_expect(json_equal(from_file, from_table));
}

typedef struct {
    char variable[48], value[144], field[40];
} bad_case_t;

ParameterizedTestParameters(chanceryd_conf, names_what_does_not_fit)
{
    static bad_case_t cases[] = {
        { "CHANCERY_SIGNER_DIR", "relative/path", "signer.dir" },
        { "CHANCERY_SIGNER_PASSPHRASE_FILE", "", "signer.passphrase_file" },
        { "CHANCERY_EDGE_DIR", "edge", "edge.dir" },
        { "CHANCERY_EDGE_PUBLIC_URL", "https://pki.example", "edge.public_url" },
        { "CHANCERY_EDGE_PUBLIC_URL", "http://pki.example/", "edge.public_url" },
        { "CHANCERY_EDGE_PUBLIC_URL", "http://pki example", "edge.public_url" },
        { "CHANCERY_LISTEN_EDGE_SOCKET", "/run/chancery/api.sock", "listen.edge_socket" },
        { "CHANCERY_OCSP_RESPONDER_RENEW_S", "2592000", "ocsp.responder_renew_s" },
        { "CHANCERY_OCSP_RESPONDER_RENEW_S", "3600", "ocsp.responder_renew_s" },
        { "CHANCERY_CRL_REFRESH_S", "604800", "crl.refresh_s" },
        { "CHANCERY_LOG_LEVEL", "loud", "log_level" },
        { "CHANCERY_DATABASE_POOL", "0", "database.pool" },
        { "CHANCERY_USER", "", "user" },
        { "CHANCERY_MASTER_KEY_FILE", "master-key", "master_key_file" },
        { "CHANCERY_LIMITS_SOURCE_BURST", "0", "limits.source_burst" },
        { "CHANCERY_LISTEN_CORS_ORIGINS", "https://ops.example/", "listen.cors_origins" },
        { "CHANCERY_LISTEN_CORS_ORIGINS", "https://OPS.example", "listen.cors_origins" },
        { "CHANCERY_LISTEN_CORS_ORIGINS", "null", "listen.cors_origins" },
        { "CHANCERY_LISTEN_CORS_ORIGINS", "https://", "listen.cors_origins" },
        { "CHANCERY_LISTEN_API_SOCKET",
          "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          "aaaaaaaaaa", "listen.api_socket" },
    };

    return cr_make_param_array(bad_case_t, cases, sizeof(cases) / sizeof(cases[0]));
}

ParameterizedTest(bad_case_t *c, chanceryd_conf, names_what_does_not_fit)
{
    conf_t out;

    setenv(c->variable, c->value, 1);
    cr_assert_eq(conf_read(arena, NULL, &out, &problems, &err), PKI_E_INVALID, "%s=%s", c->variable, c->value);
    cr_assert_eq(problems.count, 1);
    cr_expect_str_eq(problems.item[0].field, c->field);
}

Test(chanceryd_conf, any_origin_may_call_but_not_with_cookies)
{
    conf_t c;

    setenv("CHANCERY_LISTEN_CORS_ORIGINS", "*", 1);
    cr_assert_eq(conf_read(arena, NULL, &c, &problems, &err), PKI_OK);
    setenv("CHANCERY_LISTEN_CORS_CREDENTIALS", "true", 1);
    cr_assert_eq(conf_read(arena, NULL, &c, &problems, &err), PKI_E_INVALID);
    cr_expect_str_eq(problems.item[0].field, "listen.cors_credentials");
    setenv("CHANCERY_LISTEN_CORS_ORIGINS", "https://ops.example, http://[::1]:8080", 1);
    cr_expect_eq(conf_read(arena, NULL, &c, &problems, &err), PKI_OK);
    cr_expect_eq(c.listen.cors_origins.count, 2);
}

Test(chanceryd_conf, leaves_the_clients_variables_alone)
{
    conf_t c;

    setenv("CHANCERY_URL", "https://localhost:8443", 1);
    setenv("CHANCERY_API_KEY", "secret", 1);
    cr_expect_eq(conf_read(arena, NULL, &c, &problems, &err), PKI_OK, "%s", err.text);
    setenv("CHANCERY_EDGE_FOLDER", "/x", 1);
    cr_expect_eq(conf_read(arena, NULL, &c, &problems, &err), PKI_E_CONFIG);
}
