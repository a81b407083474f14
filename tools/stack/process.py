# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
The processes: started in sessions of their own, stopped in order, started again when they die, and found again
by a later run when this one was killed.
"""

import ctypes
import os
import pwd
import signal
import subprocess
import time

from .say import Failure, line

PR_SET_PDEATHSIG = 1
LOG_MAX = 64 << 20
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def boot_id():
    with open('/proc/sys/kernel/random/boot_id') as file:
        return file.read().strip()


def stat_of(pid):
    """(name, session, start time in ticks) of a live process, or None."""
    try:
        with open('/proc/%d/stat' % pid) as file:
            text = file.read()
    except OSError:
        return None
    name, rest = text[text.index('(') + 1:text.rindex(')')], text[text.rindex(')') + 2:].split()
    return None if rest[0] in 'ZX' else (name, int(rest[3]), int(rest[19]))


def session_of(leader, since):
    """Members of the session, the leader aside, that are not older than it was."""
    members = []
    for entry in os.listdir('/proc'):
        found = stat_of(int(entry)) if entry.isdigit() else None
        if found and int(entry) != leader and found[1] == leader and found[2] >= since:
            members.append(int(entry))
    return members


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def end(pids, number, grace_s, alive):
    """Signal, wait, and be hard with what is left."""
    for pid in pids:
        send(pid, number)
    limit = time.monotonic() + grace_s
    while any(alive(pid) for pid in pids) and time.monotonic() < limit:
        time.sleep(0.02)
    for pid in pids:
        if alive(pid):
            send(pid, signal.SIGKILL)
            limit = time.monotonic() + 5
            while alive(pid) and time.monotonic() < limit:
                time.sleep(0.02)


class Child:
    def __init__(self, places, name, argv, user=None, stop=(signal.SIGTERM, 15), death=signal.SIGTERM, env=None,
                 before=None):
        self.places, self.name, self.argv, self.user = places, name, argv, user
        self.stop_signal, self.grace_s = stop
        self.death = death
        self.extra_env = env or {}
        self.before = before
        self.log = places.log(name)
        self.process, self.record = None, None
        self.started, self.again_at, self.pause = 0.0, None, 0.0

    # -- life

    def start(self):
        identity = {}
        if self.user and self.places.as_root:
            entry = pwd.getpwnam(self.user)
            identity = {'user': entry.pw_uid, 'group': entry.pw_gid, 'extra_groups': []}
        if self.before:
            self.before()
        parent = os.getpid()

        def tie():
            _prctl(PR_SET_PDEATHSIG, self.death)
            if os.getppid() != parent:
                os._exit(1)

        try:
            with open(self.log, 'ab') as log:
                self.process = subprocess.Popen(
                    self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.places.var,
                    env={**self.places.env(), **self.extra_env}, start_new_session=True, preexec_fn=tie, **identity)
        except OSError as problem:
            raise Failure('%s cannot be started' % self.name, problem, hint='run tools/bootstrap and "make build"')
        self.started, self.again_at = time.monotonic(), None
        found = stat_of(self.process.pid)
        self.record = (self.process.pid, found[2] if found else 0)
        self._write_pid()

    def ended(self):
        return self.process is None or self.process.poll() is not None

    def how(self):
        code = self.process.returncode
        return 'signal %d' % -code if code < 0 else 'status %d' % code

    def stop(self):
        if self.process is None:
            return
        if not self.ended():
            end([self.process.pid], self.stop_signal, self.grace_s, lambda pid: not self.ended())
        self._end_orphans()
        self._forget()

    def _end_orphans(self):
        """nginx workers outlive a master that was killed, and keep its ports."""
        pid, start = self.record
        end(session_of(pid, start), signal.SIGTERM, 3, stat_of)

    # -- supervision

    def tend(self):
        """Called again and again: a process that died is started again, at once the first time."""
        now = time.monotonic()
        if not self.ended():
            return
        if self.again_at is None:
            self.pause = 0.0 if now - self.started > 5 else min(2.0, max(0.2, self.pause * 2))
            self.again_at = now + self.pause
            line('%s ended (%s): starting it again' % (self.name, self.how()))
            self._end_orphans()
        if now >= self.again_at and not os.path.exists(self.hold_path()):
            self.start()

    # -- pid files

    def pid_path(self):
        return self.places.path('pids', self.name)

    def hold_path(self):
        """While this file exists a process that died stays down: for maintenance, and for tests."""
        return self.places.path('pids', self.name + '.hold')

    def _write_pid(self):
        with open(self.pid_path() + '.new', 'w') as file:
            file.write('%d %d %s\n' % (*self.record, boot_id()))
        os.rename(self.pid_path() + '.new', self.pid_path())

    def _forget(self):
        for path in (self.pid_path(), self.hold_path()):
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass

    def end_leftover(self):
        """What an earlier run left behind when it was killed; a process that only has the same id stays."""
        try:
            with open(self.pid_path()) as file:
                pid, start, boot = file.read().split()
        except (OSError, ValueError):
            return self._forget()
        if boot == boot_id():
            pid, start = int(pid), int(start)

            def ours(one):
                found = stat_of(one)
                return bool(found) and (found[2] == start if one == pid else found[1] == pid)

            left = [one for one in [pid] + session_of(pid, start) if ours(one)]
            if left:
                line('%s of an earlier run is still there: ending it' % self.name)
                end(left, self.stop_signal, self.grace_s, ours)
        self._forget()

    def turn_log(self):
        if os.path.exists(self.log) and os.path.getsize(self.log) > LOG_MAX:
            os.replace(self.log, self.log + '.1')


def until(what, seconds, child, check):
    """Wait for check() to be true; a child that dies meanwhile or time that runs out is a failure."""
    limit = time.monotonic() + seconds
    while True:
        result = check()
        if result:
            return result
        if child.ended():
            raise Failure('%s did not start (%s)' % (child.name, child.how()), log=child.log,
                          hint='mend what the log names, then run again')
        if time.monotonic() > limit:
            raise Failure('%s: not within %d seconds' % (what, seconds), log=child.log,
                          hint='is the machine overloaded?  Otherwise the log may say')
        time.sleep(0.03)


def run(places, what, argv, log=None, user=None, timeout=120, env=None, feed=None):
    """Run a program to its end and return its output."""
    identity = {}
    if user and places.as_root:
        entry = pwd.getpwnam(user)
        identity = {'user': entry.pw_uid, 'group': entry.pw_gid, 'extra_groups': []}
    try:
        done = subprocess.run(argv, input=feed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=timeout, cwd=places.var, env={**places.env(), **(env or {})}, **identity)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise Failure(what, problem, log=log)
    if done.returncode != 0:
        raise Failure('%s (%s ended with status %d)' % (what, os.path.basename(argv[0]), done.returncode),
                      '\n'.join((done.stderr or done.stdout).strip().splitlines()[-15:]), log=log)
    return done.stdout
