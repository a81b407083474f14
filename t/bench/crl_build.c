/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * How long a CRL of N entries takes without its signature, and what memory: crl_build N
 * One line: entries, octets, seconds to encode, to hash and to emit, entries a second, peak memory; then seconds to
 * make the same list with one more entry out of it, to the end of its hash.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pkiproto/crl/crl.h"

#define THIS_UPDATE INT64_C(1795191000)

static double
seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* The end of serials that are like real ones: octets without a pattern (splitmix64). */
static uint64_t
next_random(uint64_t *state)
{
    uint64_t v = *state += 0x9e3779b97f4a7c15;

    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9;
    v = (v ^ v >> 27) * 0x94d049bb133111eb;
    return v ^ v >> 31;
}

static pki_code_t
add_entries(crl_t *crl, size_t count, pki_err_t *err)
{
    uint64_t state = 1;
    uint8_t  serial[16] = { 0x40 };

    for (size_t i = 0; i < count; i++) {
        crl_entry_t e = { .serial = BYTES_ARR(serial), .reason = i % 2 != 0 ? 4 : -1 };
        uint64_t    end = next_random(&state);

        for (size_t k = 0; k < 7; k++) { /* in order, as the database gives them */
            serial[1 + k] = (uint8_t) ((uint64_t) i >> 8 * (6 - k));
        }
        memcpy(serial + 8, &end, sizeof(end));
        e.revoked_at = THIS_UPDATE - (int64_t) (end % 31536000);
        PKI_TRY(crl_add(crl, &e, err));
    }
    return PKI_OK;
}

static pki_code_t
count_octets(void *arg, bytes_t data, pki_err_t *err)
{
    (void) err;
    *(size_t *) arg += data.len;
    return PKI_OK;
}

/* Of this program alone: what getrusage() tells begins with what the parent had. */
static long
peak_kb(void)
{
    FILE *in = fopen("/proc/self/status", "r");
    char  text[256];
    long  found = -1;

    while (in != NULL && fgets(text, sizeof(text), in) != NULL) {
        if (strncmp(text, "VmHWM:", 6) == 0) {
            found = strtol(text + 6, NULL, 10);
        }
    }
    if (in != NULL) {
        fclose(in);
    }
    return found;
}

typedef struct {
    uint8_t *p;
    size_t   len;
} octets_t;

static pki_code_t
keep_octets(void *arg, bytes_t data, pki_err_t *err)
{
    octets_t *o = arg;

    (void) err;
    memcpy(o->p + o->len, data.p, data.len);
    o->len += data.len;
    return PKI_OK;
}

/* One more revocation in a list that lies in memory. */
static pki_code_t
measure_merge(bytes_t list, const crl_template_t *t, double *took, pki_err_t *err)
{
    static const uint8_t serial[] = { 0x40, 0, 0, 0, 0, 0, 1 };
    const crl_change_t   more = { { .serial = BYTES_ARR(serial), .revoked_at = THIS_UPDATE, .reason = 1 }, true };
    double               start = seconds();
    crl_t               *crl = crl_new();
    uint8_t              digest[32];
    crl_view_t           view;
    crl_merged_t         done;
    size_t               len;

    if (crl == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "no room for a CRL");
    }
    PKI_TRY(crl_parse(list, &view, err));
    PKI_TRY(crl_merge(crl, view.entries, THIS_UPDATE, &more, 1, NULL, NULL, &done, err));
    PKI_TRY(crl_seal(crl, t, err));
    PKI_TRY(crl_digest(crl, NULL, NULL, digest, sizeof(digest), &len, err));
    *took = seconds() - start;
    crl_free(crl);
    return PKI_OK;
}

static pki_code_t
measure(size_t count, pki_err_t *err)
{
    static const uint8_t issuer[] = {0x30, 0x0c, 0x31, 0x0a, 0x30, 0x08, 0x06,
                                     0x03, 0x55, 0x04, 0x03, 0x0c, 1,    'A'};
    static const uint8_t akid[20] = { 1 }, number[] = { 1 }, signature[70] = { 0x30, 68 };
    const crl_template_t t = { .issuer = BYTES_ARR(issuer), .sigalg = pki_key_sigalg(PKI_KEY_P256),
                               .this_update = THIS_UPDATE, .next_update = THIS_UPDATE + 604800,
                               .akid = BYTES_ARR(akid), .number = BYTES_ARR(number) };
    double        start = seconds(), encoded, hashed, emitted, merged = 0;
    octets_t      kept = { 0 };
    crl_t        *crl = crl_new();
    uint8_t       digest[32];
    size_t        len, octets = 0;
    long          peak;

    if (crl == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "no room for a CRL");
    }
    PKI_TRY(add_entries(crl, count, err));
    PKI_TRY(crl_seal(crl, &t, err));
    encoded = seconds();
    PKI_TRY(crl_digest(crl, NULL, NULL, digest, sizeof(digest), &len, err));
    hashed = seconds();
    PKI_TRY(crl_write(crl, BYTES_ARR(signature), count_octets, &octets, err));
    emitted = seconds();
    peak = peak_kb();
    kept.p = malloc(octets);
    if (kept.p == NULL) {
        return pki_fail(err, PKI_E_NOMEM, NULL, "no room for %zu octets", octets);
    }
    PKI_TRY(crl_write(crl, BYTES_ARR(signature), keep_octets, &kept, err));
    PKI_TRY(measure_merge(bytes_of(kept.p, kept.len), &t, &merged, err));
    printf("entries %zu  octets %zu  encode_s %.3f  hash_s %.3f  emit_s %.3f  entries_per_s %.0f  peak_kb %ld  "
           "merge_s %.3f\n",
           count, octets, encoded - start, hashed - encoded, emitted - hashed, (double) count / (emitted - start),
           peak, merged);
    free(kept.p);
    crl_free(crl);
    return PKI_OK;
}

int
main(int argc, char **argv)
{
    char     *end = NULL;
    size_t    count = argc == 2 ? strtoul(argv[1], &end, 10) : 0;
    pki_err_t err = { 0 };

    if (end == NULL || *end != '\0') {
        fprintf(stderr, "usage: crl_build ENTRIES\n");
        return 2;
    }
    if (measure(count, &err) != PKI_OK) {
        fprintf(stderr, "crl_build: %s\n", err.text);
        return 1;
    }
    return 0;
}
