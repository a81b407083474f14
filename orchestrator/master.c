/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * The master holds nothing secret: one SOCK_SEQPACKET pair, of which it keeps both ends for its life, and two
 * process ids.  So either child can be replaced while the other keeps its end.  Children are this program
 * again, started by fexecve() from a descriptor that was opened before privileges are dropped: the program's path
 * need not be reachable for them, and they share no address-space layout.
 */
#include "orchestrator/master.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"

#define MASTER_STEADY_US  ((int64_t) 5 * 1000 * 1000) /* a child that lived this long is started again at once */
#define MASTER_DELAY_US   ((int64_t) 50 * 1000)       /* otherwise after this, doubled each time ... */
#define MASTER_DELAY_MAX  ((int64_t) 1000 * 1000)     /* ... up to this */
#define MASTER_KILL_US    ((int64_t) 5 * 1000 * 1000) /* beyond the drain time, before SIGKILL */
#define MASTER_BUFFER     (4 << 20)                   /* octets of requests that wait while the signer is replaced */
#define MASTER_GROUPS_MAX 64
#define MASTER_CREDENTIAL_MAX 4096

extern char **environ;

typedef struct {
    const char *role;    /* argument of main.c */
    const char *user;    /* to become when root; empty: stay */
    const char *group;   /* empty: the user's own */
    const char *extra;   /* one more group; empty: none */
    int         fd;
    pid_t       pid;     /* 0: not running */
    int64_t     started_at, again_at, delay_us;
} child_t;

typedef struct {
    int         program; /* O_PATH */
    const char *conf_path;
    child_t     signer, orchestrator;
} master_t;

static gid_t
group_id(const char *name, gid_t otherwise)
{
    struct group *g = name[0] != '\0' ? getgrnam(name) : NULL;

    return g != NULL ? g->gr_gid : otherwise;
}

/* In the child: become the user for good. */
static void
child_drop(const child_t *c)
{
    gid_t          groups[MASTER_GROUPS_MAX];
    int            count = MASTER_GROUPS_MAX - 1;
    struct passwd *p;
    gid_t          gid;

    if (geteuid() != 0 || c->user[0] == '\0') {
        return;
    }
    p = getpwnam(c->user);
    if (p == NULL) {
        log_error("process.user_unknown", LOG_S("role", c->role), LOG_S("user", c->user));
        _exit(EXIT_FAILURE);
    }
    gid = group_id(c->group, p->pw_gid);
    if (getgrouplist(c->user, gid, groups, &count) < 0) {
        count = 1;
        groups[0] = gid;
    }
    if (c->extra[0] != '\0') {
        groups[count++] = group_id(c->extra, gid);
    }
    if (setgroups((size_t) count, groups) != 0 || setresgid(gid, gid, gid) != 0
        || setresuid(p->pw_uid, p->pw_uid, p->pw_uid) != 0)
    {
        log_error("process.drop_failed", LOG_S("role", c->role), LOG_I("errno", errno));
        _exit(EXIT_FAILURE);
    }
}

/*
 * systemd gives its credentials to the service's user, which is root here.  The orchestrator, and no other child, gets
 * the master keys of theirs in its environment.
 */
static void
credential_pass(void)
{
    const char  *dir = getenv("CREDENTIALS_DIRECTORY"), *path;
    pki_arena_t *a = dir != NULL && geteuid() == 0 ? pki_arena_new(0) : NULL;
    bytes_t      text;
    char        *value;

    if (a == NULL || (path = pki_printf(a, "%s/master-key", dir)) == NULL
        || file_read(a, path, MASTER_CREDENTIAL_MAX, &text, NULL) != PKI_OK)
    {
        pki_arena_free(a);
        return;
    }
    value = pki_strndup(a, text.p, text.len);
    if (value == NULL || setenv("CHANCERY_MASTER_KEY", value, 1) != 0 || unsetenv("CREDENTIALS_DIRECTORY") != 0) {
        _exit(EXIT_FAILURE);
    }
    pki_arena_free(a);
}

static void
child_exec(const master_t *m, const child_t *c, pid_t parent)
{
    char    *argv[] = { (char *) "chanceryd", (char *) (uintptr_t) c->role, NULL, NULL, NULL };
    sigset_t none;

    if (m->conf_path != NULL) {
        argv[2] = (char *) "-c";
        argv[3] = (char *) (uintptr_t) m->conf_path;
    }
    if (c == &m->orchestrator) {
        credential_pass();
    }
    child_drop(c);

    /* After the change of user, which would clear it.  A master that died meanwhile takes us along as well. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
        _exit(EXIT_FAILURE);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(c->fd, MASTER_CHILD_FD) == MASTER_CHILD_FD) {
        fexecve(m->program, argv, environ);
    }
    log_error("process.exec_failed", LOG_S("role", c->role), LOG_I("errno", errno));
    _exit(EXIT_FAILURE);
}

static void
child_start(const master_t *m, child_t *c)
{
    pid_t parent = getpid();

    c->started_at = clock_mono_us();
    c->pid = fork();
    if (c->pid == 0) {
        child_exec(m, c, parent);
    }
    if (c->pid < 0) {
        log_error("process.fork_failed", LOG_S("role", c->role), LOG_I("errno", errno));
        c->pid = 0;
        c->again_at = c->started_at + MASTER_DELAY_MAX;
        return;
    }
    log_info("process.started", LOG_S("role", c->role), LOG_I("pid", c->pid));
}

static void
child_ended(child_t *c, int status)
{
    int64_t now = clock_mono_us();

    log_warn("process.ended", LOG_S("role", c->role), LOG_I("pid", c->pid),
             LOG_I("exit", WIFEXITED(status) ? WEXITSTATUS(status) : -1),
             LOG_I("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0));
    c->pid = 0;
    if (now - c->started_at >= MASTER_STEADY_US) {
        c->delay_us = 0;
    }
    c->again_at = now + c->delay_us;
    c->delay_us = c->delay_us == 0 ? MASTER_DELAY_US : c->delay_us * 2;
    if (c->delay_us > MASTER_DELAY_MAX) {
        c->delay_us = MASTER_DELAY_MAX;
    }
}

static void
children_reap(master_t *m)
{
    int   status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == m->signer.pid) {
            child_ended(&m->signer, status);
        } else if (pid == m->orchestrator.pid) {
            child_ended(&m->orchestrator, status);
        }
    }
}

/* Start what is due; the microseconds until the next start, or -1 when both run. */
static int64_t
children_tend(master_t *m)
{
    child_t *all[] = { &m->signer, &m->orchestrator };
    int64_t  now = clock_mono_us(), next = -1;

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i]->pid == 0 && all[i]->again_at <= now) {
            child_start(m, all[i]);
        }
        if (all[i]->pid == 0 && (next < 0 || all[i]->again_at - now < next)) {
            next = all[i]->again_at - now;
        }
    }
    return next;
}

/* The next signal of the set, or 0 after wait_us (-1: no limit). */
static int
signal_wait(const sigset_t *set, int64_t wait_us)
{
    struct timespec limit = { wait_us / 1000000, wait_us % 1000000 * 1000 };
    int             sig = wait_us < 0 ? sigwaitinfo(set, NULL) : sigtimedwait(set, NULL, &limit);

    return sig > 0 ? sig : 0;
}

static void
child_stop(master_t *m, child_t *c, const sigset_t *set, int64_t wait_us)
{
    int64_t limit = clock_mono_us() + wait_us, left;

    if (c->pid != 0) {
        kill(c->pid, SIGTERM);
    }
    while (c->pid != 0) {
        left = limit - clock_mono_us();
        if (left <= 0) {
            log_warn("process.killed", LOG_S("role", c->role), LOG_I("pid", c->pid));
            kill(c->pid, SIGKILL);
            left = MASTER_KILL_US;
            limit += MASTER_KILL_US;
        }
        signal_wait(set, left);
        children_reap(m);
    }
}

static void
master_loop(master_t *m, const sigset_t *set)
{
    for (;;) {
        int64_t wait_us = children_tend(m);
        int     sig = signal_wait(set, wait_us);

        if (sig == SIGTERM || sig == SIGINT) {
            log_info("process.stopping", LOG_S("signal", strsignal(sig)));
            return;
        }
        if (sig == SIGHUP && m->orchestrator.pid != 0) {
            kill(m->orchestrator.pid, SIGHUP);
        }
        children_reap(m);
    }
}

/* Out of the way of MASTER_CHILD_FD, which a child puts its socket on. */
static int
descriptor_high(int fd)
{
    int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, MASTER_CHILD_FD + 1);

    if (fd >= 0) {
        close(fd);
    }
    return high;
}

/* Room in both directions, so that a burst does not block its senders while a child is replaced. */
static bool
socket_pair(int fds[2])
{
    int size = MASTER_BUFFER;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        fds[i] = descriptor_high(fds[i]);
        if (fds[i] < 0) {
            return false;
        }
        if (setsockopt(fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0) {
            setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        }
    }
    return true;
}

int
master_run(const conf_t *conf, const char *conf_path)
{
    const char *signer_user = conf->signer.user[0] != '\0' ? conf->signer.user : conf->user;
    sigset_t    set;
    int         fds[2];
    master_t    m = { .program = descriptor_high(open("/proc/self/exe", O_PATH | O_CLOEXEC)), .conf_path = conf_path };

    if (m.program < 0 || !socket_pair(fds)) {
        log_error("process.start_failed", LOG_I("errno", errno));
        return EXIT_FAILURE;
    }
    m.signer = (child_t){ MASTER_SIGNER, signer_user, "", "", fds[0], 0, 0, 0, 0 };
    m.orchestrator = (child_t){ MASTER_ORCHESTRATOR, conf->user, conf->group, conf->edge_group, fds[1], 0, 0, 0, 0 };

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);

    master_loop(&m, &set);
    child_stop(&m, &m.orchestrator, &set, conf->drain_s * 1000000 + MASTER_KILL_US);
    child_stop(&m, &m.signer, &set, MASTER_KILL_US);
    return EXIT_SUCCESS;
}
