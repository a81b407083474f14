/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What a list has to pass before it is published: each fault alone keeps it back.  And its files: what is compressed
 * is the same, every time.
 */
#include "orchestrator/edge/crl.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "pkiproto/base/ossl.h"
#include "pkiproto/der/write.h"

#define NOW INT64_C(1795191000)

#define NAME BYTES_LIT("\x30\x13\x31\x11\x30\x0f\x06\x03\x55\x04\x03\x0c\x08" "CRL test")
#define KEY_ID BYTES_LIT("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14")

static pki_arena_t *arena;
static EVP_PKEY    *key, *other_key;
static cert_t       ca;
static char         dir[] = "/tmp/chancery-crl.XXXXXX";

static void
setup(void)
{
    uint8_t *spki = NULL;
    int      len;

    arena = pki_arena_new(0);
    key = EVP_EC_gen("P-256");
    other_key = EVP_EC_gen("P-256");
    len = i2d_PUBKEY(key, &spki);
    ca = (cert_t){ .subject = NAME, .skid = KEY_ID };
    cr_assert_eq(pki_key_parse(bytes_of(pki_strndup(arena, spki, (size_t) len), (size_t) len), &ca.key, NULL), PKI_OK);
    OPENSSL_free(spki);
    cr_assert_not_null(mkdtemp(dir));
}

static void
teardown(void)
{
    char command[64];

    snprintf(command, sizeof(command), "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other_key);
    pki_arena_free(arena);
}

TestSuite(crl_check, .init = setup, .fini = teardown);

static bytes_t
serial_of(unsigned n)
{
    uint8_t *p = pki_alloc(arena, 3);

    p[0] = 0x40;
    p[1] = (uint8_t) (n >> 8);
    p[2] = (uint8_t) n;
    return bytes_of(p, 3);
}

static crl_template_t
template_of(void)
{
    return (crl_template_t){ .issuer = NAME, .sigalg = pki_key_sigalg(PKI_KEY_P256), .this_update = NOW,
                             .next_update = NOW + 3600, .akid = KEY_ID, .number = BYTES_LIT("\x05") };
}

static crl_t *
list_of(const crl_entry_t *entries, size_t count)
{
    crl_t *crl = crl_new();

    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(crl_add(crl, &entries[i], NULL), PKI_OK);
    }
    return crl;
}

/* A signed file of the list; the caller closes it. */
static int
file_of(crl_t *crl, const crl_template_t *t, EVP_PKEY *signer, int64_t *size)
{
    PKI_AUTO(EVP_PKEY_CTX) ctx = EVP_PKEY_CTX_new(signer, NULL);
    uint8_t    digest[64], signature[128], etag[32];
    size_t     len = sizeof(signature), digest_len;
    file_new_t f;
    crl_map_t  none = { 0 };
    char       path[64];
    int        fd;

    cr_assert_eq(crl_seal(crl, t, NULL), PKI_OK);
    cr_assert_eq(crl_digest(crl, NULL, NULL, digest, sizeof(digest), &digest_len, NULL), PKI_OK);
    cr_assert_eq(EVP_PKEY_sign_init(ctx), 1);
    cr_assert_eq(EVP_PKEY_sign(ctx, signature, &len, digest, digest_len), 1);
    snprintf(path, sizeof(path), "%s/list.crl", dir);
    cr_assert_eq(crl_file_write(crl, bytes_of(signature, len), path, &none, &f, size, etag, NULL), PKI_OK);
    fd = dup(f.fd);
    cr_assert_eq(file_commit(&f, NULL), PKI_OK);
    return fd;
}

static const crl_entry_t good[] = {
    { .serial = BYTES_LIT("\x40\x00\x01"), .revoked_at = NOW - 5, .reason = 1, .invalidity_at = NOW - 9 },
    { .serial = BYTES_LIT("\x40\x00\x02"), .revoked_at = NOW, .reason = -1 },
};

static pki_code_t
checked(const crl_entry_t *entries, size_t count, const crl_template_t *written, const crl_template_t *wanted, size_t expected,
        EVP_PKEY *signer, pki_err_t *err)
{
    crl_t       *crl = list_of(entries, count);
    crl_wanted_t w = { &ca, wanted, expected };
    int64_t      size;
    int          fd = file_of(crl, written, signer, &size);
    pki_code_t   code = crl_check(fd, size, &w, err);

    close(fd);
    crl_free(crl);
    return code;
}

Test(crl_check, passes_a_good_list_and_an_empty_one)
{
    crl_template_t t = template_of();
    pki_err_t      err = { 0 };

    cr_expect_eq(checked(good, 2, &t, &t, 2, key, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(checked(NULL, 0, &t, &t, 0, key, &err), PKI_OK, "%s", err.text);
}

Test(crl_check, keeps_back_a_list_with_a_fault_in_its_frame)
{
    crl_template_t t = template_of(), wrong[7];

    for (size_t i = 0; i < 7; i++) {
        wrong[i] = t;
    }
    wrong[0].number = BYTES_LIT("\x06");
    wrong[1].this_update--;
    wrong[2].next_update++;
    wrong[3].idp = BYTES_LIT("\x30\x03\x81\x01\xff");
    wrong[4].base_number = BYTES_LIT("\x01");
    wrong[5].freshest_url = "http://pki.example/delta.crl";
    wrong[6].akid = BYTES_LIT("other");
    for (size_t i = 0; i < 7; i++) {
        if (i != 1) { /* an entry would be later than the list: crl_seal() sees to it */
            cr_expect_eq(checked(good, 2, &wrong[i], &t, 2, key, NULL), PKI_E_INTERNAL, "%zu", i);
        }
        if (i != 6) {
            cr_expect_eq(checked(good, 2, &t, &wrong[i], 2, key, NULL), PKI_E_INTERNAL, "%zu", i);
        }
    }
    ca.subject = BYTES_LIT("\x30\x00");
    cr_expect_eq(checked(good, 2, &t, &t, 2, key, NULL), PKI_E_INTERNAL);
}

Test(crl_check, keeps_back_a_list_with_a_fault_in_its_entries)
{
    const crl_entry_t twice[] = { good[0], good[0] }, backwards[] = { good[1], good[0] };
    crl_template_t    t = template_of(), delta = template_of();

    cr_expect_eq(checked(twice, 2, &t, &t, 2, key, NULL), PKI_E_INTERNAL, "C-07 a serial twice");
    cr_expect_eq(checked(backwards, 2, &t, &t, 2, key, NULL), PKI_E_INTERNAL);
    cr_expect_eq(checked(good, 2, &t, &t, 1, key, NULL), PKI_E_INTERNAL, "more than were counted");
    cr_expect_eq(checked(good, 2, &t, &t, 3, key, NULL), PKI_E_INTERNAL, "fewer");
    delta.base_number = BYTES_LIT("\x01");
    const crl_entry_t removed = { .serial = BYTES_LIT("\x40\x00\x01"), .revoked_at = NOW, .reason = 8 };
    cr_expect_eq(checked(&removed, 1, &delta, &delta, 1, key, NULL), PKI_OK, "C-05 in a delta it may be");
}

/* What crl_add() would refuse, as a fault of memory or of somebody else's writer might make it. */
Test(crl_check, keeps_back_entries_that_the_writer_would_have_refused)
{
    static const struct {
        bytes_t     entry;
        const char *what;
    } cases[] = {
        { BYTES_LIT("\x30\x1d\x02\x01\x01\x17\x0d" "261120102000Z" "\x30\x09\x30\x07\x06\x03\x55\x1d\x15\x04\x00"), "an empty reason" },
        { BYTES_LIT("\x30\x20\x02\x01\x01\x17\x0d" "261120102000Z" "\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01\x00"), "C-05 unspecified" },
        { BYTES_LIT("\x30\x20\x02\x01\x01\x17\x0d" "261120102000Z" "\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01\x07"), "C-05 reason 7" },
        { BYTES_LIT("\x30\x20\x02\x01\x01\x17\x0d" "261120102000Z" "\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01\x08"), "C-05 removed in a full list" },
        { BYTES_LIT("\x30\x12\x02\x01\x01\x17\x0d" "291120102000Z"), "C-07 later than the list" },
    };
    crl_template_t t = template_of();

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        crl_t       *crl = crl_new();
        crl_wanted_t w = { &ca, &t, 1 };
        int64_t      size;
        int          fd;

        cr_assert_eq(crl_add_run(crl, cases[i].entry, 1, NOW, NULL), PKI_OK);
        fd = file_of(crl, &t, key, &size);
        cr_expect_neq(crl_check(fd, size, &w, NULL), PKI_OK, "%s", cases[i].what);
        close(fd);
        crl_free(crl);
    }
}

Test(crl_check, keeps_back_a_list_that_another_key_signed_or_that_was_changed)
{
    crl_template_t t = template_of();
    crl_t         *crl = list_of(good, 2);
    crl_wanted_t   w = { &ca, &t, 2 };
    int64_t        size;
    int            fd;
    uint8_t        octet;

    cr_expect_eq(checked(good, 2, &t, &t, 2, other_key, NULL), PKI_E_SIGNATURE);
    fd = file_of(crl, &t, key, &size);
    cr_expect_eq(crl_check(fd, size, &w, NULL), PKI_OK);
    for (int64_t at = 0; at < size; at++) {
        cr_assert_eq(pread(fd, &octet, 1, at), 1);
        octet ^= 1;
        cr_assert_eq(pwrite(fd, &octet, 1, at), 1);
        cr_expect_neq(crl_check(fd, size, &w, NULL), PKI_OK, "octet %lld", (long long) at);
        octet ^= 1;
        cr_assert_eq(pwrite(fd, &octet, 1, at), 1);
    }
    cr_expect_neq(crl_check(fd, size - 1, &w, NULL), PKI_OK, "cut off");
    close(fd);
    crl_free(crl);
}

/* D-04 */
Test(crl_check, holds_the_next_list_against_the_one_that_is_served)
{
    crl_template_t t = template_of(), next = template_of();
    crl_wanted_t   w = { &ca, &next, 0 };
    crl_t         *crl = list_of(good, 2);
    int64_t        size;
    int            fd = file_of(crl, &t, key, &size);
    crl_map_t      map;
    bytes_t        now;

    cr_assert_eq(crl_map(fd, (size_t) size, &map, NULL), PKI_OK);
    now = bytes_of(map.p, map.len);
    cr_expect_eq(crl_check_frame(now, &w, NULL), PKI_E_CONFLICT, "the same number");
    next.number = BYTES_LIT("\x04");
    cr_expect_eq(crl_check_frame(now, &w, NULL), PKI_E_CONFLICT, "a smaller one");
    next.number = BYTES_LIT("\x01\x00");
    cr_expect_eq(crl_check_frame(now, &w, NULL), PKI_OK, "256 after 5");
    next.idp = BYTES_LIT("\x30\x03\x81\x01\xff");
    cr_expect_eq(crl_check_frame(now, &w, NULL), PKI_E_CONFLICT, "another distribution point");
    next.idp = BYTES_NONE;
    ca.skid = BYTES_LIT("other");
    cr_expect_eq(crl_check_frame(now, &w, NULL), PKI_E_CONFLICT, "another key");
    crl_map_close(&map);
    close(fd);
    crl_free(crl);
}

/* Files */

static bool
goes_on(void *arg)
{
    return ++*(int *) arg > 1000000;
}

static bool
stops(void *arg)
{
    (void) arg;
    return true;
}

Test(crl_check, compresses_to_the_same_octets_every_time)
{
    crl_template_t t = template_of();
    crl_t         *crl = crl_new();
    char           path[64], packed[80];
    uint8_t        etag[2][32], *plain, *list;
    int64_t        size, gzip_size[2];
    int            fd, calls = 0;
    gzFile         gz;

    for (unsigned i = 0; i < 20000; i++) {
        crl_entry_t e = { .serial = serial_of(i), .revoked_at = NOW - i, .reason = 4 };

        cr_assert_eq(crl_add(crl, &e, NULL), PKI_OK);
    }
    fd = file_of(crl, &t, key, &size);
    snprintf(path, sizeof(path), "%s/list.crl", dir);
    snprintf(packed, sizeof(packed), "%s.gz", path);
    cr_expect_eq(crl_file_compress(path, stops, NULL, &gzip_size[0], etag[0], NULL), PKI_E_UNAVAILABLE);
    cr_expect_neq(access(packed, F_OK), 0, "one that was stopped leaves nothing");
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(crl_file_compress(path, goes_on, &calls, &gzip_size[i], etag[i], NULL), PKI_OK);
    }
    cr_expect(gzip_size[0] == gzip_size[1] && memcmp(etag[0], etag[1], 32) == 0);
    cr_expect_lt(gzip_size[0], size / 2);
    plain = malloc((size_t) size + 1);
    list = malloc((size_t) size);
    gz = gzopen(packed, "rb");
    cr_assert_eq(gzread(gz, plain, (unsigned) size + 1), size);
    cr_assert_eq(pread(fd, list, (size_t) size, 0), size);
    cr_expect_eq(memcmp(plain, list, (size_t) size), 0);
    gzclose(gz);
    free(plain);
    free(list);
    close(fd);
    crl_free(crl);
}

Test(crl_check, spooled_entries_are_those_of_the_list)
{
    crl_spool_t *spool = malloc(sizeof(*spool));
    crl_t       *a = crl_new(), *b = crl_new();
    crl_map_t    map;
    crl_template_t t = template_of();
    uint8_t      x[64], y[64];
    size_t       n, m;

    cr_assert_eq(crl_spool_open(dir, spool, NULL), PKI_OK);
    for (unsigned i = 0; i < 5000; i++) { /* more than a buffer */
        crl_entry_t e = { .serial = serial_of(i), .revoked_at = NOW - i, .reason = (int) (i % 6), .invalidity_at = NOW - 9000 };

        cr_assert_eq(crl_spool_add(spool, &e, NULL), PKI_OK);
        cr_assert_eq(crl_add(a, &e, NULL), PKI_OK);
    }
    cr_assert_eq(crl_spool_end(spool, &map, NULL), PKI_OK);
    cr_assert_eq(spool->count, 5000);
    cr_assert_eq(crl_add_run(b, bytes_of(map.p, map.len), spool->count, NOW, NULL), PKI_OK);
    cr_assert_eq(crl_seal(a, &t, NULL), PKI_OK);
    cr_assert_eq(crl_seal(b, &t, NULL), PKI_OK);
    cr_assert_eq(crl_digest(a, NULL, NULL, x, sizeof(x), &n, NULL), PKI_OK);
    cr_assert_eq(crl_digest(b, crl_map_walked, &map, y, sizeof(y), &m, NULL), PKI_OK);
    cr_expect(n == m && memcmp(x, y, n) == 0);
    crl_map_close(&map);
    crl_spool_close(spool);
    free(spool);
    crl_free(a);
    crl_free(b);
}
