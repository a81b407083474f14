/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The sandbox, from inside of a child that entered it.  Not under AddressSanitizer, where it does not apply.
 */
#include "orchestrator/signer/sandbox.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file.h"

#ifndef __SANITIZE_ADDRESS__

static char dir[] = "/tmp/chancery-sandbox.XXXXXX";
static bool has_landlock;

/* Each says whether what it tries went as it should; names in the order of bits in the child's report. */
static bool
opens_no_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM;
}

static bool
runs_no_program(void)
{
    char *argv[] = { (char *) "true", NULL };

    return execv("/bin/true", argv) < 0 && (errno == EPERM || errno == EACCES);
}

static bool
makes_no_process(void)
{
    return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) < 0 && errno == EPERM;
}

static bool
traces_nobody(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 && errno == EPERM;
}

static bool
leaves_no_core(void)
{
    struct rlimit limit = { 1, 1 };

    return getrlimit(RLIMIT_CORE, &limit) < 0 ? errno == EPERM : limit.rlim_max == 0;
}

static bool
reads_no_foreign_file(void)
{
    return !has_landlock || (open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES);
}

static bool
keeps_its_folder(void)
{
    char      path[128];
    pki_err_t err;

    snprintf(path, sizeof(path), "%s/file", dir);
    return file_replace(path, BYTES_LIT("one"), 0600, &err) == PKI_OK
           && file_replace(path, BYTES_LIT("two"), 0600, &err) == PKI_OK;
}

typedef struct {
    const char *name;
    bool (*holds)(void);
    bool with_token; /* holds there too */
} claim_t;

static const claim_t claims[] = {
    { "opens no socket", opens_no_socket, false },
    { "runs no program", runs_no_program, true },
    { "makes no process", makes_no_process, false },
    { "traces nobody", traces_nobody, true },
    { "leaves no core", leaves_no_core, true },
    { "reads no foreign file", reads_no_foreign_file, false },
    { "keeps its folder", keeps_its_folder, true },
};
#define CLAIMS (sizeof(claims) / sizeof(claims[0]))

static unsigned
claims_from_inside(bool has_token)
{
    unsigned  report = 0;
    pid_t     pid = fork();
    int       status;
    pki_err_t err;

    cr_assert_geq(pid, 0);
    if (pid == 0) {
        if (sandbox_prepare(&err) != PKI_OK || sandbox_enter(dir, has_token, &err) != PKI_OK) {
            _exit(255);
        }
        for (size_t i = 0; i < CLAIMS; i++) {
            report |= claims[i].holds() ? 1u << i : 0;
        }
        _exit((int) report);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status), "the child was killed");
    cr_assert_neq(WEXITSTATUS(status), 255, "the sandbox cannot be entered");
    return (unsigned) WEXITSTATUS(status);
}

static void
check(bool has_token)
{
    unsigned report;

    cr_assert_not_null(mkdtemp(dir));
    has_landlock = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* version */) > 0;
    report = claims_from_inside(has_token);
    for (size_t i = 0; i < CLAIMS; i++) {
        if (!has_token || claims[i].with_token) {
            cr_expect((report >> i & 1) != 0, "%s", claims[i].name);
        }
    }
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", dir);
    cr_expect_eq(system(command), 0);
}

Test(sandbox, holds_what_it_promises)
{
    check(false);
}

Test(sandbox, holds_less_when_a_tokens_module_has_needs_of_its_own)
{
    check(true);
}

#else

Test(sandbox, can_be_entered)
{
    pki_err_t err;

    cr_expect_eq(sandbox_prepare(&err), PKI_OK);
    cr_expect_eq(sandbox_enter("/tmp", false, &err), PKI_OK);
}

#endif
