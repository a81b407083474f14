/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The signer's sandbox: prctl(2), Landlock and seccomp.  A refused system call fails with EPERM; it does not
 * kill, since a process that is killed for what a library tries on some machine could never sign there.
 * Under AddressSanitizer, which needs to trace and to read everywhere, only the first part applies.
 */
#include "orchestrator/signer/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/landlock.h>
#include <openssl/crypto.h>
#include <seccomp.h>

#include "core/log.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define SECURE_HEAP     (256u << 10) /* octets that are locked into memory */
#define SECURE_HEAP_MIN 32u

pki_code_t
sandbox_prepare(pki_err_t *err)
{
    struct rlimit none = { 0, 0 };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0
        || (!SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0))
    {
        return pki_fail(err, PKI_E_INTERNAL, NULL, "cannot give up privileges: %s", strerror(errno));
    }
    if (!CRYPTO_secure_malloc_initialized()) {
        int rc = CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_HEAP_MIN);

        if (rc == 0) {
            return pki_fail(err, PKI_E_NOMEM, NULL, "no secure heap");
        }
        if (rc == 2) {
            log_warn("signer.secure_heap", LOG_S("text", "key memory cannot be locked and may reach swap"));
        }
    }
    return PKI_OK;
}

/* Landlock (Linux 5.13): only what is below dir, and programs of no folder at all. */
static pki_code_t
landlock_enter(const char *dir, pki_err_t *err)
{
    struct landlock_ruleset_attr rules = {
        .handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE
                             | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR
                             | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE
                             | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR
                             | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK
                             | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK
                             | LANDLOCK_ACCESS_FS_MAKE_SYM,
    };
    struct landlock_path_beneath_attr below = {
        .allowed_access = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE
                          | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE
                          | LANDLOCK_ACCESS_FS_MAKE_REG,
    };
    int  set = (int) syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
    bool ok;

    if (set < 0) {
        log_info("signer.landlock", LOG_S("text", "this kernel has none"), LOG_S("reason", strerror(errno)));
        return PKI_OK;
    }
    below.parent_fd = open(dir, O_PATH | O_CLOEXEC);
    ok = below.parent_fd >= 0 && syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &below, 0) == 0
         && syscall(SYS_landlock_restrict_self, set, 0) == 0;
    if (below.parent_fd >= 0) {
        close(below.parent_fd);
    }
    close(set);
    return ok ? PKI_OK : pki_fail(err, PKI_E_INTERNAL, NULL, "Landlock for %s: %s", dir, strerror(errno));
}

/* All that serving requests takes: messages, the journal, key files, memory, time. */
static const char *const calls_allowed[] = {
    "read", "readv", "write", "writev", "pread64", "pwrite64", "recvmsg", "recvmmsg", "recvfrom",
    "sendmsg", "sendmmsg", "sendto",
    "poll", "ppoll", "openat", "open", "close", "fstat", "stat", "lstat", "newfstatat", "statx", "lseek",
    "fdatasync", "fsync", "sync_file_range", "ftruncate", "rename", "renameat", "renameat2", "unlink", "unlinkat",
    "mkdir", "mkdirat", "access", "faccessat", "faccessat2", "getdents64", "fchmod", "fcntl", "flock", "ioctl", "readlink",
    "readlinkat",
    "mmap", "munmap", "mremap", "mprotect", "madvise", "mlock", "mlock2", "munlock", "brk", "futex", "sched_yield",
    "getrandom", "clock_gettime", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "getpid", "gettid",
    "getuid", "geteuid", "getgid", "getegid", "getrusage", "sysinfo", "uname", "rt_sigaction", "rt_sigprocmask",
    "rt_sigreturn", "sigaltstack", "restart_syscall", "tgkill", "rseq", "exit", "exit_group", NULL,
};

/* What even a token's module has no business doing. */
static const char *const calls_refused[] = {
    "execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "fork", "vfork", "kexec_load",
    "init_module", "finit_module", "delete_module", "mount", "umount2", "pivot_root", "chroot", "setns", "unshare",
    "bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key", "open_by_handle_at", "reboot",
    "swapon", "swapoff", "acct", "settimeofday", "clock_settime", "sethostname", "personality", NULL,
};

static pki_code_t
seccomp_enter(bool has_token, pki_err_t *err)
{
    const char *const *names = has_token ? calls_refused : calls_allowed;
    uint32_t           refuse = SCMP_ACT_ERRNO(EPERM), action = has_token ? refuse : SCMP_ACT_ALLOW;
    scmp_filter_ctx    filter = seccomp_init(has_token ? SCMP_ACT_ALLOW : refuse);
    int                rc = filter != NULL ? 0 : -ENOMEM;

    for (; rc == 0 && *names != NULL; names++) {
        int number = seccomp_syscall_resolve_name(*names);

        /* Names that this architecture does not have are skipped. */
        if (number != __NR_SCMP_ERROR && number >= 0) {
            rc = seccomp_rule_add(filter, action, number, 0);
        }
    }
    if (rc == 0) {
        rc = seccomp_load(filter);
    }
    seccomp_release(filter);
    return rc == 0 ? PKI_OK : pki_fail(err, PKI_E_INTERNAL, NULL, "seccomp: %s", strerror(-rc));
}

pki_code_t
sandbox_enter(const char *dir, bool has_token, pki_err_t *err)
{
    if (SANITIZED) {
        return PKI_OK;
    }
    if (!has_token) {
        PKI_TRY(landlock_enter(dir, err));
    }
    return seccomp_enter(has_token, err);
}
