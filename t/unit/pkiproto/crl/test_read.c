/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The CRL reader: what OpenSSL writes is read as OpenSSL reads it, and what is not a CRL is refused.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include <openssl/x509v3.h>

#include "pkiproto/crl/crl.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define DAY      86400

static const char *const vectors[] = { "empty", "reasons", "idp", "delta" };

static uint8_t memory[65536];

static bytes_t
vector(const char *name)
{
    char   path[128];
    FILE  *f;
    size_t len;

    snprintf(path, sizeof(path), "t/vectors/crl/%s.der", name);
    f = fopen(path, "rb");
    cr_assert_not_null(f, "%s", path);
    len = fread(memory, 1, sizeof(memory), f);
    fclose(f);
    return bytes_of(memory, len);
}

static int64_t
time_of(const ASN1_TIME *t)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int        days, seconds;

    cr_assert_eq(ASN1_TIME_diff(&days, &seconds, epoch, t), 1);
    ASN1_TIME_free(epoch);
    return (int64_t) days * DAY + seconds;
}

static void
compare_entry(X509_REVOKED *r, const crl_entry_t *e)
{
    ASN1_ENUMERATED      *reason = X509_REVOKED_get_ext_d2i(r, NID_crl_reason, NULL, NULL);
    ASN1_GENERALIZEDTIME *invalidity = X509_REVOKED_get_ext_d2i(r, NID_invalidity_date, NULL, NULL);
    uint8_t              *der = NULL;
    int                   len = i2d_ASN1_INTEGER(X509_REVOKED_get0_serialNumber(r), &der);

    cr_assert(bytes_eq(e->serial, bytes_of(der + 2, (size_t) len - 2)));
    cr_assert_eq(e->revoked_at, time_of(X509_REVOKED_get0_revocationDate(r)));
    cr_assert_eq(e->reason, reason != NULL ? ASN1_ENUMERATED_get(reason) : -1);
    cr_assert_eq(e->invalidity_at, invalidity != NULL ? time_of(invalidity) : 0);
    OPENSSL_free(der);
    ASN1_GENERALIZEDTIME_free(invalidity);
    ASN1_ENUMERATED_free(reason);
}

Test(read, reads_what_the_openssl_command_writes)
{
    for (size_t i = 0; i < COUNT(vectors); i++) {
        bytes_t        der = vector(vectors[i]);
        const uint8_t *p = der.p;
        X509_CRL      *x = d2i_X509_CRL(NULL, &p, (long) der.len);
        ASN1_INTEGER  *number = X509_CRL_get_ext_d2i(x, NID_crl_number, NULL, NULL);
        crl_view_t     v;
        crl_entry_t    e;
        pki_err_t      err;
        int            count = 0;

        cr_assert_eq(crl_parse(der, &v, &err), PKI_OK, "%s: %s", vectors[i], err.text);
        cr_assert_eq(v.this_update, time_of(X509_CRL_get0_lastUpdate(x)));
        cr_assert_eq(v.next_update, time_of(X509_CRL_get0_nextUpdate(x)));
        cr_assert(v.number.len == 1 && v.number.p[0] == ASN1_INTEGER_get(number));
        cr_assert_eq(v.akid.len, 20);
        cr_assert_eq(v.idp.p != NULL, strcmp(vectors[i], "idp") == 0);
        cr_assert_eq(v.base_number.p != NULL, strcmp(vectors[i], "delta") == 0);
        while (crl_entry_next(&v.entries, &e, &err) == PKI_OK && e.serial.p != NULL) {
            compare_entry(sk_X509_REVOKED_value(X509_CRL_get_REVOKED(x), count++), &e);
        }
        cr_assert_eq(v.entries.len, 0);
        cr_assert_eq(count, strcmp(vectors[i], "empty") == 0 ? 0 : 8);
        ASN1_INTEGER_free(number);
        X509_CRL_free(x);
    }
}

/* The whole list, entries included. */
static pki_code_t
read_all(bytes_t der)
{
    crl_view_t  v;
    crl_entry_t e;

    PKI_TRY(crl_parse(der, &v, NULL));
    do {
        PKI_TRY(crl_entry_next(&v.entries, &e, NULL));
    } while (e.serial.p != NULL);
    return PKI_OK;
}

Test(read, refuses_every_truncation_and_every_trailing_octet)
{
    for (size_t i = 0; i < COUNT(vectors); i++) {
        bytes_t der = vector(vectors[i]);

        cr_assert_eq(read_all(der), PKI_OK);
        for (size_t len = 0; len < der.len; len++) {
            uint8_t *copy = malloc(len + (len == 0));

            memcpy(copy, der.p, len);
            cr_assert_eq(read_all(bytes_of(copy, len)), PKI_E_PARSE, "%s cut to %zu", vectors[i], len);
            free(copy);
        }
        memory[der.len] = 0;
        cr_assert_eq(read_all(bytes_of(memory, der.len + 1)), PKI_E_PARSE);
    }
}

/* Lists that differ in one place from a good one: what follows "30 len" of each level is shown. */
#define ALGORITHM "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"
#define ISSUER    "\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01" "A"
#define THIS      "\x17\x0d" "260101000000Z"
#define NEXT      "\x17\x0d" "260102000000Z"
#define BITS      "\x03\x02\x00\x55"
#define NUMBER    "\x30\x0a\x06\x03\x55\x1d\x14\x04\x03\x02\x01\x05"
#define TBS_HEAD  "\x02\x01\x01" ALGORITHM ISSUER THIS NEXT

static const struct {
    const char *what;
    bytes_t     tbs, after;
    pki_code_t  wanted;
} lists[] = {
    {"a good one", BYTES_LIT(TBS_HEAD "\xa0\x0e\x30\x0c" NUMBER), BYTES_LIT(ALGORITHM BITS), PKI_OK},
    {"without extensions", BYTES_LIT(TBS_HEAD), BYTES_LIT(ALGORITHM BITS), PKI_OK},
    {"no version", BYTES_LIT(ALGORITHM ISSUER THIS NEXT), BYTES_LIT(ALGORITHM BITS), PKI_E_PARSE},
    {"version 1", BYTES_LIT("\x02\x01\x00" ALGORITHM ISSUER THIS NEXT), BYTES_LIT(ALGORITHM BITS),
     PKI_E_PARSE},
    {"another algorithm outside", BYTES_LIT(TBS_HEAD),
     BYTES_LIT("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03" BITS), PKI_E_PARSE},
    {"no nextUpdate", BYTES_LIT("\x02\x01\x01" ALGORITHM ISSUER THIS), BYTES_LIT(ALGORITHM BITS),
     PKI_E_PARSE},
    {"an empty list", BYTES_LIT(TBS_HEAD "\x30\x00"), BYTES_LIT(ALGORITHM BITS), PKI_E_PARSE},
    {"empty extensions", BYTES_LIT(TBS_HEAD "\xa0\x02\x30\x00"), BYTES_LIT(ALGORITHM BITS), PKI_E_PARSE},
    {"two numbers", BYTES_LIT(TBS_HEAD "\xa0\x1a\x30\x18" NUMBER NUMBER), BYTES_LIT(ALGORITHM BITS),
     PKI_E_PARSE},
    {"a negative number",
     BYTES_LIT(TBS_HEAD "\xa0\x0e\x30\x0c\x30\x0a\x06\x03\x55\x1d\x14\x04\x03\x02\x01\x85"),
     BYTES_LIT(ALGORITHM BITS), PKI_E_PARSE},
    {"an unknown extension", BYTES_LIT(TBS_HEAD "\xa0\x0c\x30\x0a\x30\x08\x06\x03\x55\x1d\x63\x04\x01x"),
     BYTES_LIT(ALGORITHM BITS), PKI_OK},
    {"an unknown critical one",
     BYTES_LIT(TBS_HEAD "\xa0\x0f\x30\x0d\x30\x0b\x06\x03\x55\x1d\x63\x01\x01\xff\x04\x01x"),
     BYTES_LIT(ALGORITHM BITS), PKI_E_UNSUPPORTED},
    {"an empty IDP",
     BYTES_LIT(TBS_HEAD "\xa0\x10\x30\x0e\x30\x0c\x06\x03\x55\x1d\x1c\x01\x01\xff\x04\x02\x30\x00"),
     BYTES_LIT(ALGORITHM BITS), PKI_E_PARSE},
    {"unused bits in the signature", BYTES_LIT(TBS_HEAD), BYTES_LIT(ALGORITHM "\x03\x02\x01\x54"),
     PKI_E_PARSE},
    {"something after the signature", BYTES_LIT(TBS_HEAD), BYTES_LIT(ALGORITHM BITS "\x05\x00"), PKI_E_PARSE},
};

Test(read, refuses_lists_with_one_fault)
{
    for (size_t i = 0; i < COUNT(lists); i++) {
        uint8_t    der[256] = { 0x30, (uint8_t) (2 + lists[i].tbs.len + lists[i].after.len), 0x30,
                                (uint8_t) lists[i].tbs.len };
        crl_view_t v;

        cr_assert_lt(2 + lists[i].tbs.len + lists[i].after.len, 128, "%s", lists[i].what);
        memcpy(der + 4, lists[i].tbs.p, lists[i].tbs.len);
        memcpy(der + 4 + lists[i].tbs.len, lists[i].after.p, lists[i].after.len);
        cr_assert_eq(crl_parse(bytes_of(der, 2u + der[1]), &v, NULL), lists[i].wanted, "%s", lists[i].what);
    }
}

static const struct {
    bytes_t    entry;
    pki_code_t wanted;
} entries[] = {
    {BYTES_LIT("\x30\x12\x02\x01\x05" THIS), PKI_OK},
    {BYTES_LIT("\x30\x20\x02\x01\x05" THIS "\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01\x01"),
     PKI_OK},
    {BYTES_LIT("\x30\x20\x02\x01\x05" THIS "\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01\x07"),
     PKI_E_PARSE},
    {BYTES_LIT("\x30\x20\x02\x01\x05" THIS "\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x02\x01\x01"),
     PKI_E_PARSE},
    {BYTES_LIT("\x30\x14\x02\x01\x05" THIS "\x30\x00"), PKI_E_PARSE},
    {BYTES_LIT("\x30\x14\x02\x01\x05" THIS "\x05\x00"), PKI_E_PARSE},
    {BYTES_LIT("\x30\x13\x02\x02\x00\x05" THIS), PKI_E_PARSE},
    {BYTES_LIT("\x30\x11\x02\x00" THIS), PKI_E_PARSE},
    {BYTES_LIT("\x30\x03\x02\x01\x05"), PKI_E_PARSE},
    {BYTES_LIT("\x31\x12\x02\x01\x05" THIS), PKI_E_PARSE},
    /* certificateIssuer, critical: entries of another issuer */
    {BYTES_LIT("\x30\x22\x02\x01\x05" THIS
               "\x30\x0e\x30\x0c\x06\x03\x55\x1d\x1d\x01\x01\xff\x04\x02\x30\x00"),
     PKI_E_UNSUPPORTED},
    {BYTES_LIT("\x30\x2d\x02\x01\x05" THIS "\x30\x19\x30\x17\x06\x03\x55\x1d\x18\x04\x10\x17\x0e"
               "20260101000000"),
     PKI_E_PARSE},
};

Test(read, refuses_entries_with_one_fault)
{
    for (size_t i = 0; i < COUNT(entries); i++) {
        bytes_t     in = entries[i].entry;
        crl_entry_t e;

        cr_assert_eq((size_t) in.p[1] + 2, in.len, "%zu", i);
        cr_assert_eq(crl_entry_next(&in, &e, NULL), entries[i].wanted, "%zu", i);
    }
}
