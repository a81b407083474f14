/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The small world of the store's tests.
 */
#include "t/unit/lib/store.h"

#include <criterion/criterion.h>

#include "core/clock.h"

static str_list_t none;

void
store_world(db_t *db)
{
    ca_row_t chain[] = {
        {.der = bytes_str("issuing"),
         .serial = bytes_str("ca-1"),
         .skid = bytes_str("skid"),
         .subject = "CN=Issuing",
         .key_ref = "file:issuing",
         .key_kind = "p-256",
         .not_before = 1,
         .not_after = 4000000000},
        {.der = bytes_str("root"),
         .serial = bytes_str("ca-0"),
         .subject = "CN=Root",
         .key_kind = "rsa-4096",
         .not_before = 1,
         .not_after = 4000000000},
    };
    issuer_chain_t issuer = {
        .issuer = {.no = 1, .id = "iss-local", .name = "local", .type = "local", .enabled = true},
        .chain = chain,
        .chain_len = 2};
    str_list_t      kinds = { (const char *[]){ "p-256", "rsa" }, 2 };
    profile_row_t   profile = {.id = "prof-device",
                               .name = "device",
                               .key_kinds = kinds,
                               .min_rsa_bits = 2048,
                               .validity_s = 90 * DAY_S,
                               .eku = none,
                               .name_kinds = none,
                               .subject_rule = "csr"};
    est_label_row_t label = { .id = "est-devices", .name = "devices", .is_default = true, .enabled = true,
                              .issuer_id = "iss-local", .profile_id = "prof-device", .auth_basic = true };
    pki_err_t       err = { 0 };

    cr_assert_eq(issuer_row_insert(db, &issuer, NULL, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(profile_insert(db, &profile, NULL, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(est_label_insert(db, &label, NULL, &err), PKI_OK, "%s", err.text);
}

bytes_t
store_serial(pki_arena_t *a, uint32_t n)
{
    uint8_t *p = pki_alloc(a, 16);

    cr_assert_not_null(p);
    memset(p, 0x5a, 16);
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t) (n >> (24 - 8 * i));
    }
    p[0] |= 0x10; /* canonical: the first octet is not zero */
    return bytes_of(p, 16);
}

cert_record_t
store_cert(pki_arena_t *a, const char *name, uint32_t n, int64_t valid_s)
{
    static const char *const sans[] = { "dns:a.example" };
    int64_t                  now = clock_now();

    return (cert_record_t){
        .managed = {.id = pki_printf(a, "mc-%s", name),
                    .name = name,
                    .source = "EST",
                    .profile_id = "prof-device",
                    .issuer_no = 1,
                    .est_label_id = "est-devices",
                    .common_name = name,
                    .subject = pki_printf(a, "CN=%s", name),
                    .subject_der = bytes_str(name),
                    .sans = {(const char **) sans, 1}},
        .serial = store_serial(a, n),
        .der = bytes_str(pki_printf(a, "der %u", n)),
        .spki_sha256 = bytes_str("spki"),
        .fingerprint = bytes_str(pki_printf(a, "fingerprint %u", n)),
        .not_before = now - 3600,
        .not_after = now - 3600 + valid_s,
        .window_s = 3600,
        .generation = 1,
        .audit = {.actor = "est:device",
                  .actor_type = "est_user",
                  .action = "certificate.issue",
                  .resource_type = "certificate",
                  .resource_id = name,
                  .status = 200},
    };
}

void
store_issue(db_t *db, pki_arena_t *a, const char *name, uint32_t n, int64_t valid_s)
{
    cert_record_t in = store_cert(a, name, n, valid_s);
    pki_err_t     err = { 0 };
    bool          won = false;

    cr_assert_eq(cert_record(db, &in, &won, &err), PKI_OK, "%s", err.text);
    cr_assert(won);
}

pki_code_t
store_revoke(db_t *db, pki_arena_t *a, const char *name, uint32_t serial, int reason, size_t *changed)
{
    bytes_t            one = store_serial(a, serial);
    audit_t            audit = {
                   .actor = "key-1", .actor_type = "api_key", .action = "certificate.revoke", .status = 200};
    revocation_order_t order = { .managed_id = pki_printf(a, "mc-%s", name), .serials = &one,
                                 .serial_count = serial != 0, .reason = reason, .audit = &audit };
    status_row_t      *rows;
    size_t             count = 0;
    pki_code_t         rc = revocation_apply(db, a, &order, &rows, &count, NULL);

    if (changed != NULL) {
        *changed = count;
    }
    return rc;
}
