/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Files in a folder of the test's own, looked at with stdio and stat(2).
 */
#include "core/file.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static pki_arena_t *arena;
static pki_err_t    err;
static char         folder[] = "/tmp/chancery-file.XXXXXX";
static char         path[4096];

static void
setup(void)
{
    arena = pki_arena_new(0);
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/name", folder);
}

static void
teardown(void)
{
    char command[128];

    pki_arena_free(arena);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(file, .init = setup, .fini = teardown);

static void
write_plainly(const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");

    fputs(text, f);
    fclose(f);
    chmod(path, mode);
}

static size_t
entries(void)
{
    DIR   *d = opendir(folder);
    size_t n = 0;

    while (readdir(d) != NULL) {
        n++;
    }
    closedir(d);
    return n - 2;
}

Test(file, reads_whole_files_within_the_limit)
{
    bytes_t out;

    write_plainly("hello", 0644);
    cr_assert_eq(file_read(arena, path, 5, &out, &err), PKI_OK, "%s", err.text);
    cr_expect(bytes_eq(out, BYTES_LIT("hello")));
    cr_expect_eq(file_read(arena, path, 4, &out, &err), PKI_E_TOO_LARGE);
    cr_expect_eq(file_read(arena, "/nonexistent/x", 4, &out, &err), PKI_E_NOT_FOUND);
    cr_expect_not_null(strstr(err.text, "/nonexistent/x"));
    cr_expect_eq(file_read(arena, folder, 4096, &out, &err), PKI_E_IO);
}

Test(file, reads_secrets_only_from_files_that_others_cannot_read)
{
    pki_secret_t secret;

    write_plainly("pass word\n", 0600);
    cr_assert_eq(file_read_secret(arena, path, 100, &secret, &err), PKI_OK, "%s", err.text);
    cr_expect(bytes_eq(pki_secret_bytes(&secret), BYTES_LIT("pass word")));
    write_plainly("pass word\n", 0604);
    cr_expect_eq(file_read_secret(arena, path, 100, &secret, &err), PKI_E_CONFIG);
    cr_expect_null(strstr(err.text, "pass word"));
}

Test(file, replaces_with_mode_and_leaves_nothing_behind)
{
    struct stat st;
    bytes_t     out;

    cr_assert_eq(file_replace(path, BYTES_LIT("one"), 0640, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(file_replace(path, BYTES_LIT("two"), 0600, &err), PKI_OK, "%s", err.text);
    cr_assert_eq(file_read(arena, path, 100, &out, &err), PKI_OK);
    cr_expect(bytes_eq(out, BYTES_LIT("two")));
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 07777, 0600);
    cr_expect_eq(entries(), 1);
    cr_expect_eq(file_replace("/nonexistent/x", BYTES_LIT("one"), 0600, &err), PKI_E_NOT_FOUND);
}

Test(file, an_open_reader_keeps_the_old_contents)
{
    char  old[8] = "";
    FILE *f;

    cr_assert_eq(file_replace(path, BYTES_LIT("one"), 0640, &err), PKI_OK);
    f = fopen(path, "r");
    cr_assert_eq(file_replace(path, BYTES_LIT("two"), 0640, &err), PKI_OK);
    cr_assert_eq(fread(old, 1, sizeof(old), f), 3);
    cr_expect_str_eq(old, "one");
    fclose(f);
}

Test(file, an_abandoned_file_never_appears)
{
    file_new_t f;

    cr_assert_eq(file_begin(&f, path, 0600, &err), PKI_OK);
    cr_assert_eq(file_put(&f, BYTES_LIT("half"), &err), PKI_OK);
    cr_expect_neq(access(path, F_OK), 0);
    file_abandon(&f);
    file_abandon(&f);
    cr_expect_eq(entries(), 0);
}

Test(file, makes_folders_and_accepts_those_that_exist)
{
    char inner[4200];

    snprintf(inner, sizeof(inner), "%s/inner", folder);
    cr_expect_eq(dir_make(inner, 0700, &err), PKI_OK);
    cr_expect_eq(dir_make(inner, 0700, &err), PKI_OK);
    write_plainly("x", 0600);
    cr_expect_eq(dir_make(path, 0700, &err), PKI_E_IO);
    cr_expect_eq(dir_sync(inner, &err), PKI_OK);
    cr_expect_eq(dir_sync("/nonexistent", &err), PKI_E_NOT_FOUND);
}

Test(file, exact_reads_tell_the_end_from_an_error)
{
    int  ends[2];
    char in[4];

    cr_assert_eq(pipe(ends), 0);
    cr_expect_eq(fd_write_full(ends[1], "abcdef", 6, &err), PKI_OK);
    cr_expect_eq(fd_read_full(ends[0], in, 4, &err), PKI_OK);
    close(ends[1]);
    cr_expect_eq(fd_read_full(ends[0], in, 4, &err), PKI_E_UNAVAILABLE);
    cr_expect_eq(fd_read_full(-1, in, 4, &err), PKI_E_IO);
}
