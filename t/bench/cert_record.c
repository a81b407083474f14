/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What recording certificates costs the database: threads that do what an enrolment does, without the
 * signature.
 *
 *     cert_record URL CONNECTIONS SECONDS [OCTETS]
 *
 * The database is migrated and has the issuer number 1 and the profile prof-bench (made here when missing).
 * Prints certificates per second.
 */
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "orchestrator/store/cert.h"
#include "orchestrator/store/issuer.h"
#include "orchestrator/store/profile.h"
#include "pkiproto/base/text.h"

#define DER_OCTETS 700

static struct {
    db_t             *db;
    size_t            octets;
    int64_t           until_us;
    _Atomic(uint64_t) done, failed;
} bench;

static void
world_make(void)
{
    static const char *const kinds[] = { "p-256" };
    ca_row_t                 ca = {.der = bytes_str("x"),
                                   .serial = bytes_str("x"),
                                   .subject = "CN=Bench",
                                   .key_kind = "p-256",
                                   .not_before = 1,
                                   .not_after = 4000000000};
    issuer_chain_t           issuer = {
                  .issuer = {.no = 1, .id = "iss-bench", .name = "bench", .type = "local", .enabled = true},
                  .chain = &ca,
                  .chain_len = 1};
    profile_row_t  profile = { .id = "prof-bench", .name = "bench", .key_kinds = { (const char **) kinds, 1 },
                               .min_rsa_bits = 2048, .validity_s = 86400, .subject_rule = "csr" };

    (void) issuer_row_insert(bench.db, &issuer, NULL, NULL);
    (void) profile_insert(bench.db, &profile, NULL, NULL);
}

static pki_code_t
enrol(pki_arena_t *a, pki_err_t *err)
{
    uint8_t      *random = pki_alloc(a, bench.octets + 96);
    char          id[CERT_MANAGED_ID_LEN + 1];
    const char   *san[] = { "dns:device.example" };
    cert_record_t in = { .window_s = 86400, .generation = 1 };
    cert_prior_t  prior;
    bool          won;

    if (random == NULL || RAND_bytes(random, (int) bench.octets + 96) != 1) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "no random octets");
    }
    random[0] = 0x41;
    cert_managed_id("EST", "est-bench", bytes_of(random, 16), id);
    in.managed = (managed_row_t){.id = id,
                                 .name = cert_managed_name(a, "bench", "device", id),
                                 .source = "EST",
                                 .profile_id = "prof-bench",
                                 .issuer_no = 1,
                                 .est_label_id = "est-bench",
                                 .common_name = "device",
                                 .subject = "CN=device,O=Example",
                                 .subject_der = bytes_of(random + 96, 40),
                                 .sans = {san, 1}};
    in.serial = bytes_of(random, 16);
    in.transaction_key = bytes_of(random + 32, 32);
    in.spki_sha256 = in.fingerprint = bytes_of(random + 64, 32);
    in.der = bytes_of(random + 96, bench.octets);
    in.not_before = clock_now();
    in.not_after = in.not_before + 86400;
    in.audit = (audit_t){ .actor = "est:device", .actor_type = "est_user", .action = "certificate.issue",
                          .resource_type = "certificate", .resource_id = id, .status = 200, .request_id = id,
                          .source = "192.0.2.1" };
    PKI_TRY(cert_prior(
        bench.db, a,
        &(cert_prior_ask_t){.transaction_key = in.transaction_key, .window_s = 86400, .managed_id = id},
        &prior, err));
    return cert_record(bench.db, &in, &won, err);
}

static void *
work(void *arg)
{
    pki_arena_t *a = pki_arena_new(0);
    pki_err_t    err;

    (void) arg;
    while (clock_mono_us() < bench.until_us) {
        if (enrol(a, &err) == PKI_OK) {
            bench.done++;
        } else if (bench.failed++ == 0) {
            fprintf(stderr, "%s\n", err.text);
        }
        pki_arena_reset(a);
    }
    pki_arena_free(a);
    return NULL;
}

int
main(int argc, char **argv)
{
    int             count = argc > 2 ? atoi(argv[2]) : 0, seconds = argc > 3 ? atoi(argv[3]) : 0;
    conf_database_t conf = { .url = argv[1], .pool = count, .timeout_ms = 5000 };
    pthread_t       thread[64];
    pki_err_t       err;

    if (count < 1 || count > 64 || seconds < 1) {
        fprintf(stderr, "usage: cert_record URL CONNECTIONS SECONDS [OCTETS]\n");
        return 2;
    }
    bench.octets = argc > 4 ? (size_t) atoi(argv[4]) : DER_OCTETS;
    if (db_open(&conf, &bench.db, &err) != PKI_OK || db_schema_check(bench.db, &err) != PKI_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    world_make();
    bench.until_us = clock_mono_us() + seconds * INT64_C(1000000);
    for (int i = 0; i < count; i++) {
        pthread_create(&thread[i], NULL, work, NULL);
    }
    for (int i = 0; i < count; i++) {
        pthread_join(thread[i], NULL);
    }
    db_close(bench.db);
    printf("%.0f\n", (double) bench.done / seconds);
    return bench.failed != 0;
}
