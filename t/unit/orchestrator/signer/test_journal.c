/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The journal: what a crash leaves is cut, what somebody changed is found, nothing synced is lost.  Tests
 * damage the files with plain stdio.
 */
#include "orchestrator/signer/journal.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "orchestrator/signer/journal_format.h"

static pki_arena_t *arena;
static pki_err_t    err;
static char         dir[] = "/tmp/chancery-journal.XXXXXX";
static char         first[128];
static journal_t   *j;
static size_t       torn;

static void
setup(void)
{
    arena = pki_arena_new(0);
    cr_assert_not_null(mkdtemp(dir));
    snprintf(first, sizeof(first), "%s/0000000000000000.journal", dir);
    cr_assert_eq(journal_open(dir, &j, &torn, &err), PKI_OK, "%s", err.text);
}

static void
teardown(void)
{
    char command[128];

    journal_close(j);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
    pki_arena_free(arena);
}

TestSuite(journal, .init = setup, .fini = teardown);

static void
add(uint32_t n, size_t data_len)
{
    static uint8_t   data[SIGNER_TBS_MAX];
    uint8_t          serial[2] = { (uint8_t) (n >> 8 | 1), (uint8_t) n };
    journal_record_t r = {
        .kind = n % 2 == 0 ? JOURNAL_CERT : JOURNAL_CRL,
        .at = 1700000000 + n,
        .issuer_no = n,
        .ref = BYTES_LIT("file:ca"),
        .name = BYTES_ARR(serial),
        .data = bytes_of(data, data_len),
    };

    memset(data, (int) n, data_len);
    cr_assert_eq(journal_add(j, &r, &err), PKI_OK, "%s", err.text);
}

static void
add_synced(uint32_t count)
{
    for (uint32_t n = 0; n < count; n++) {
        add(n, 100 + n);
        cr_assert_eq(journal_sync(j, &err), PKI_OK, "%s", err.text);
    }
}

static pki_code_t
reopen(void)
{
    journal_close(j);
    return journal_open(dir, &j, &torn, &err);
}

static size_t
count_from(uint64_t at)
{
    static signer_journal_entry_t entries[64];
    size_t                        n, total = 0;

    for (;; at = entries[n - 1].next) {
        cr_assert_eq(journal_read(j, arena, at, 7, 1 << 20, entries, &n, &err), PKI_OK, "%s", err.text);
        if (n == 0) {
            return total;
        }
        total += n;
    }
}

static long
file_size(const char *path)
{
    struct stat st;

    cr_assert_eq(stat(path, &st), 0);
    return st.st_size;
}

static void
file_change(const char *path, long at, const void *octets, size_t len)
{
    FILE *f = fopen(path, "r+");

    fseek(f, at, at < 0 ? SEEK_END : SEEK_SET);
    fwrite(octets, 1, len, f);
    fclose(f);
}

Test(journal, holds_what_was_added_over_a_restart)
{
    signer_journal_entry_t e[4];
    uint64_t               end;
    size_t                 n;

    add_synced(3);
    end = journal_end(j);
    cr_assert_eq(reopen(), PKI_OK, "%s", err.text);
    cr_expect_eq(torn, 0);
    cr_expect_eq(journal_end(j), end);
    cr_assert_eq(journal_read(j, arena, 0, 4, 1 << 20, e, &n, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(n, 3);
    cr_expect_eq(e[0].position, 0);
    cr_expect_eq(e[2].next, end);
    cr_expect(e[2].is_cert && !e[1].is_cert);
    cr_expect_eq(e[2].at, 1700000002);
    cr_expect_eq(e[2].issuer_no, 2);
    cr_expect_eq(e[2].tbs.len, 102);
    cr_expect(bytes_eq(e[2].serial, BYTES_LIT("\x01\x02")));
}

Test(journal, one_sync_is_enough_for_all_that_wait)
{
    uint64_t before = journal_syncs(j);

    for (uint32_t n = 0; n < 50; n++) {
        add(n, 500);
    }
    cr_expect_eq(count_from(0), 0, "nothing is told before it is synced");
    cr_assert_eq(journal_sync(j, &err), PKI_OK);
    cr_expect_eq(journal_syncs(j), before + 1);
    cr_expect_eq(count_from(0), 50);
    cr_assert_eq(journal_sync(j, &err), PKI_OK);
    cr_expect_eq(journal_syncs(j), before + 1, "nothing waits: nothing to sync");
}

Test(journal, what_is_dropped_leaves_no_trace)
{
    add_synced(2);
    add(7, 100);
    journal_drop(j);
    add(8, 100);
    cr_assert_eq(journal_sync(j, &err), PKI_OK);
    cr_expect_eq(count_from(0), 3);
    cr_assert_eq(reopen(), PKI_OK, "%s", err.text);
    cr_expect_eq(count_from(0), 3);
}

Test(journal, a_batch_that_would_be_too_large_is_refused_and_the_rest_kept)
{
    journal_record_t big = { .kind = JOURNAL_CERT, .ref = BYTES_LIT("file:ca"), .name = BYTES_LIT("\x01") };
    uint8_t         *data = calloc(1, SIGNER_TBS_MAX);
    size_t           added = 0;

    big.data = bytes_of(data, SIGNER_TBS_MAX);
    while (journal_add(j, &big, &err) == PKI_OK) {
        added++;
    }
    cr_expect_leq(journal_pending(j), JOURNAL_BATCH_MAX);
    cr_assert_eq(journal_sync(j, &err), PKI_OK);
    cr_expect_eq(count_from(0), added);
    free(data);
}

static void
file_octets(const char *path, long at, void *out, size_t len)
{
    FILE *f = fopen(path, "r");

    fseek(f, at, SEEK_SET);
    cr_assert_eq(fread(out, 1, len, f), len);
    fclose(f);
}

/* [from, to) of the last batch reached the disk, the rest of it did not. */
typedef struct {
    size_t from, to;
} piece_t;

static void
tear(long at, const uint8_t *batch, size_t len, piece_t piece)
{
    uint8_t left[4096] = { 0 };

    memcpy(left + piece.from, batch + piece.from, piece.to - piece.from);
    file_change(first, at, left, len);
}

/* Every piece of the last write that a crash may leave: its beginning, its end, some of the middle. */
Test(journal, a_torn_tail_is_made_zero_kept_aside_and_written_on)
{
    uint8_t  batch[4096], after[4096];
    uint64_t whole;
    size_t   len, cuts = 0;
    char     pattern[128];
    glob_t   found;

    add_synced(2);
    whole = journal_end(j);
    add(2, 40);
    cr_assert_eq(journal_sync(j, &err), PKI_OK);
    len = journal_end(j) - whole;
    file_octets(first, (long) (JOURNAL_HEADER_LEN + whole), batch, len);
    for (size_t from = 0; from < len; from += 9) {
        for (size_t to = from + 1; to <= len; to += 13) {
            if (from <= 3 && to == len) {
                continue; /* the length starts with zeros: all of it is there */
            }
            tear((long) (JOURNAL_HEADER_LEN + whole), batch, len, (piece_t){ from, to });
            cr_assert_eq(reopen(), PKI_OK, "%zu to %zu: %s", from, to, err.text);
            cr_expect_leq(torn, to);
            cr_expect_eq(journal_end(j), whole);
            cr_expect_eq(count_from(0), 2);
            file_octets(first, (long) (JOURNAL_HEADER_LEN + whole), after, len);
            cr_expect_eq(journal_tail(bytes_of(after, len)), 0);
            cuts += torn > 0;
        }
    }
    cr_expect_gt(cuts, 10);
    add(2, 40);
    cr_assert_eq(journal_sync(j, &err), PKI_OK);
    cr_assert_eq(reopen(), PKI_OK, "%s", err.text);
    cr_expect_eq(torn, 0);
    cr_expect_eq(count_from(0), 3);
    snprintf(pattern, sizeof(pattern), "%s/torn-*", dir);
    cr_expect_eq(glob(pattern, 0, NULL, &found), 0);
    cr_expect_gt(found.gl_pathc, 0);
    globfree(&found);
}

Test(journal, garbage_after_the_end_is_cut)
{
    uint64_t end;
    uint8_t  octet;

    add_synced(2);
    end = journal_end(j);
    file_change(first, (long) (JOURNAL_HEADER_LEN + end), "\0\0\0\x10garbage that a power failure left there", 40);
    cr_assert_eq(reopen(), PKI_OK, "%s", err.text);
    cr_expect_eq(torn, 40);
    cr_expect_eq(journal_end(j), end);
    file_octets(first, (long) (JOURNAL_HEADER_LEN + end), &octet, 1);
    cr_expect_eq(octet, 0);
}

Test(journal, a_segment_is_made_whole_before_its_first_record)
{
    uint8_t *all = malloc(JOURNAL_SEGMENT_LEN);

    cr_expect_eq(file_size(first), JOURNAL_SEGMENT_LEN);
    file_octets(first, 0, all, JOURNAL_SEGMENT_LEN);
    cr_expect_eq(journal_tail(bytes_of(all + JOURNAL_HEADER_LEN, JOURNAL_SEGMENT_LEN - JOURNAL_HEADER_LEN)), 0);
    add_synced(10);
    cr_expect_eq(file_size(first), JOURNAL_SEGMENT_LEN);
    free(all);
}

static void
add_large(uint32_t count)
{
    for (uint32_t n = 0; n < count; n++) {
        add(n, 60000);
        cr_assert_eq(journal_sync(j, &err), PKI_OK, "%s", err.text);
        cr_assert_eq(journal_prepare(j, &err), PKI_OK, "%s", err.text);
    }
}

Test(journal, the_next_segment_is_ready_before_it_is_needed)
{
    journal_summary_t s;
    char              next[128];

    snprintf(next, sizeof(next), "%s/next", dir);
    add_large(100);
    cr_expect_neq(access(next, F_OK), 0, "too early");
    add_large(150);
    cr_expect_eq(file_size(next), JOURNAL_SEGMENT_LEN);
    cr_assert_eq(journal_check(dir, &s, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(s.segments, 1, "what is to come is no segment yet");
    add_large(50);
    cr_expect_neq(access(next, F_OK), 0, "used");
    cr_assert_eq(journal_check(dir, &s, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(s.segments, 2);
    cr_expect_eq(s.unfinished, 0);
    cr_expect_eq(count_from(0), 300);
}

Test(journal, half_a_next_segment_does_no_harm)
{
    char  next[128];
    FILE *file;

    snprintf(next, sizeof(next), "%s/next", dir);
    add_synced(3);
    file = fopen(next, "w");
    fputs("what a killed signer left there", file);
    fclose(file);
    cr_assert_eq(reopen(), PKI_OK, "%s", err.text);
    cr_expect_neq(access(next, F_OK), 0);
    add_large(300);
    cr_expect_eq(count_from(0), 303);
}

/* Segments of before were as long as their records. */
Test(journal, goes_on_after_a_segment_without_zeros)
{
    journal_summary_t s;

    add_synced(3);
    cr_assert_eq(truncate(first, (off_t) (JOURNAL_HEADER_LEN + journal_end(j))), 0);
    cr_assert_eq(reopen(), PKI_OK, "%s", err.text);
    cr_expect_eq(torn, 0);
    add_synced(4);
    cr_expect_eq(count_from(0), 7);
    cr_assert_eq(journal_check(dir, &s, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(s.segments, 2);
    cr_assert_eq(reopen(), PKI_OK, "%s", err.text);
    cr_expect_eq(count_from(0), 7);
}

Test(journal, damage_that_no_crash_can_do_stops_the_signer)
{
    for (uint32_t n = 0; n < 40; n++) {
        add(n, 60000);
        cr_assert_eq(journal_sync(j, &err), PKI_OK);
    }
    file_change(first, JOURNAL_HEADER_LEN + 1000, "\xff", 1);
    cr_expect_eq(reopen(), PKI_E_INTERNAL);
    cr_expect_not_null(strstr(err.text, "damaged"));
    cr_expect_null(j);
}

Test(journal, only_one_process_has_it)
{
    journal_t *other;

    cr_expect_eq(journal_open(dir, &other, &torn, &err), PKI_E_CONFLICT);
}

Test(journal, goes_on_in_further_segments)
{
    journal_summary_t s;

    for (uint32_t n = 0; n < 600; n++) {
        add(n, 60000);
        if (n % 16 == 15) {
            cr_assert_eq(journal_sync(j, &err), PKI_OK, "%s", err.text);
        }
    }
    cr_assert_eq(journal_sync(j, &err), PKI_OK);
    cr_expect_eq(count_from(0), 600);
    cr_assert_eq(reopen(), PKI_OK, "%s", err.text);
    cr_expect_eq(count_from(0), 600);
    cr_assert_eq(journal_check(dir, &s, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(s.segments, 3);
    cr_expect_eq(s.certs, 300);
    cr_expect_eq(s.crls, 300);
    cr_expect_eq(s.end, journal_end(j));
    cr_expect_eq(s.first_at, 1700000000);
    cr_expect_eq(s.last_at, 1700000599);
    cr_expect(bytes_eq(BYTES_ARR(s.id), journal_id(j)));
    cr_assert_eq(unlink(first), 0);
    cr_expect_eq(journal_check(dir, &s, &err), PKI_E_INVALID, "a missing segment is a fault");
}

Test(journal, every_changed_octet_is_found)
{
    journal_summary_t s;
    long              size;

    add_synced(4);
    size = (long) (JOURNAL_HEADER_LEN + journal_end(j) + 50); /* some of the zeros, too */
    cr_assert_eq(journal_check(dir, &s, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(s.unfinished, 0);
    for (long at = 0; at < size; at += 3) {
        FILE   *f = fopen(first, "r+");
        uint8_t was, changed;

        fseek(f, at, SEEK_SET);
        was = (uint8_t) fgetc(f);
        changed = was ^ 0x20;
        fclose(f);
        file_change(first, at, &changed, 1);
        cr_expect(journal_check(dir, &s, NULL) != PKI_OK || s.unfinished > 0, "octet %ld", at);
        file_change(first, at, &was, 1);
    }
    cr_expect_eq(journal_check(dir, &s, NULL), PKI_OK);
}

Test(journal, what_stands_among_the_zeros_is_found)
{
    journal_summary_t s;

    add_synced(4);
    file_change(first, JOURNAL_SEGMENT_LEN - 1, "x", 1);
    cr_expect_eq(journal_check(dir, &s, &err), PKI_E_PARSE);
    cr_expect_eq(reopen(), PKI_E_INTERNAL, "no crash puts it so far from the end");
}

Test(journal, records_made_zero_in_an_earlier_segment_are_found)
{
    static const uint8_t zeros[60100];
    journal_summary_t    s;

    add_large(300);
    cr_assert_eq(journal_check(dir, &s, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(s.segments, 2);
    for (long at = JOURNAL_SEGMENT_LEN - 130000; at < (long) JOURNAL_SEGMENT_LEN; at += 60100) {
        file_change(first, at, zeros, at + 60100 < (long) JOURNAL_SEGMENT_LEN ? 60100 : JOURNAL_SEGMENT_LEN - at);
    }
    cr_expect_neq(journal_check(dir, &s, &err), PKI_OK);
}

/* A record taken out whole, with its neighbours untouched. */
Test(journal, a_removed_record_is_found)
{
    signer_journal_entry_t e[4];
    journal_summary_t      s;
    size_t                 n;
    char                   command[512];

    add_synced(4);
    cr_assert_eq(journal_read(j, arena, 0, 4, 1 << 20, e, &n, &err), PKI_OK);
    snprintf(command, sizeof(command), "cd %s && head -c %llu %s >x && tail -c +%llu %s >>x && mv x %s", dir,
             (unsigned long long) (JOURNAL_HEADER_LEN + e[1].position), first,
             (unsigned long long) (JOURNAL_HEADER_LEN + e[2].position + 1), first, first);
    cr_assert_eq(system(command), 0);
    cr_expect(journal_check(dir, &s, NULL) != PKI_OK || s.unfinished > 0);
}

/* A segment that another program wrote after the description. */
Test(journal, reads_the_format_that_is_described)
{
    journal_summary_t      s;
    signer_journal_entry_t e[2];
    char                   command[256];
    size_t                 n;

    snprintf(command, sizeof(command), "cp t/vectors/journal/segment %s", first);
    cr_assert_eq(system(command), 0);
    cr_assert_eq(journal_check(dir, &s, &err), PKI_OK, "%s", err.text);
    cr_expect_eq(s.certs, 1);
    cr_expect_eq(s.crls, 0);
    cr_expect_eq(s.unfinished, 0);
    cr_expect_eq(s.first_at, 1700000000);
    cr_assert_eq(reopen(), PKI_OK, "%s", err.text);
    cr_assert_eq(journal_read(j, arena, 0, 2, 1 << 20, e, &n, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(n, 1);
    cr_expect(bytes_eq(e[0].serial, BYTES_LIT("\x11\x22")));
    cr_expect(bytes_eq(e[0].tbs, BYTES_LIT("00000000000000000000")));
}

Test(journal, there_is_none_in_an_empty_folder)
{
    journal_summary_t s;
    char              empty[128];

    snprintf(empty, sizeof(empty), "%s/empty", dir);
    mkdir(empty, 0700);
    cr_expect_eq(journal_check(empty, &s, &err), PKI_E_NOT_FOUND);
}
