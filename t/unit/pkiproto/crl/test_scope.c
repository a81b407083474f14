/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Names of CRLs: what is written is read back, and nothing else is a name.
 */
#include "pkiproto/crl/scope.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct {
    crl_name_t  name;
    const char *text;
} names[] = {
    { { BYTES_LIT("iss-local"), 1, { CRL_FULL, 0 } }, "iss-local.crl" },
    { { BYTES_LIT("iss-local"), 1, { CRL_DELTA, 0 } }, "iss-local.delta.crl" },
    { { BYTES_LIT("iss-local"), 2, { CRL_FULL, 0 } }, "iss-local.g2.crl" },
    { { BYTES_LIT("iss-s1"), 255, { CRL_SHARD, 0 } }, "iss-s1.g255.s0.crl" },
    { { BYTES_LIT("iss-a"), 1, { CRL_SHARD, CRL_SHARDS_MAX - 1 } }, "iss-a.s4095.crl" },
};

Test(scope, names_are_read_back_as_they_were_written)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char       text[CRL_NAME_MAX];
        crl_name_t out;

        cr_assert(crl_name_format(&names[i].name, ".crl", text));
        cr_assert_str_eq(text, names[i].text);
        for (size_t cut = 0; cut <= 4; cut += 4) { /* with and without the suffix */
            cr_assert(crl_name_parse(bytes_of(text, strlen(text) - cut), ".crl", &out), "%s", text);
            cr_assert(bytes_eq(out.issuer, names[i].name.issuer));
            cr_assert_eq(out.generation, names[i].name.generation);
            cr_assert(out.scope.kind == names[i].name.scope.kind && out.scope.shard == names[i].name.scope.shard);
        }
    }
}

Test(scope, refuses_other_spellings)
{
    static const char *const bad[] = { "", ".crl", "iss-a.g1.crl", "iss-a.g0.crl", "iss-a.g256.crl", "iss-a.g02.crl",
                                       "iss-a.full.crl", "iss-a.s01.crl", "iss-a.s4096.crl", "iss-a.s.crl",
                                       "iss-a.s1.g2.crl", "iss-a.delta.delta.crl", "iss-a..crl", ".g2.crl",
                                       "iss-a.g2.g3.crl", "iss-a.s-1.crl", "iss-a.s99999999999.crl", "iss-a.x.crl" };
    crl_name_t               out;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_not(crl_name_parse(bytes_str(bad[i]), ".crl", &out), "%s", bad[i]);
    }
}

Test(scope, shards_are_as_documented_and_even)
{
    static const uint8_t one[] = { 1 };
    size_t               hits[4] = { 0 };

    /* SHA-256(01) begins 4bf5122f. */
    cr_assert_eq(crl_shard_of(BYTES_ARR(one), 1000), 0x4bf5122fu % 1000);
    for (uint32_t i = 0; i < 4096; i++) {
        uint8_t serial[4] = { 0x40, (uint8_t) (i >> 16), (uint8_t) (i >> 8), (uint8_t) i };

        hits[crl_shard_of(BYTES_ARR(serial), 4)]++;
    }
    for (size_t i = 0; i < 4; i++) {
        cr_assert(hits[i] > 900 && hits[i] < 1150, "%zu", hits[i]);
    }
}
