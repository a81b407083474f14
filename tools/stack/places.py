# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""Where everything is: the folder VAR, its owners, the users that the processes run as."""

import fcntl
import grp
import hashlib
import os
import pwd
import re
import stat
import subprocess

from .say import Failure, line

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
SUN_PATH_MAX = 107
PASSED_ON = re.compile(r'^(CHANCERY_(DATABASE|LISTEN|LIMITS|SIGNER|EDGE|OCSP|CRL|JOBS|SESSION)_.*|'
                       r'CHANCERY_(LOG|DRAIN|RETRY|SEED|MASTER|BOOTSTRAP)_.*|'
                       r'(A|UB|L)SAN_OPTIONS|TZ|CREDENTIALS_DIRECTORY|SOFTHSM2_CONF|PATH)$')


def port_of(name, default):
    text = os.environ.get(name, default)
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise Failure('%s=%s is not a port number' % (name, text), hint='give a number from 1 to 65535')
    return int(text)


class Places:
    """Paths are attributes; prepare() makes the folders with the right owners."""

    def __init__(self):
        self.root = ROOT
        self.build = os.path.join(ROOT, os.environ.get('BUILD') or 'build')
        self.var = os.path.abspath(os.environ.get('VAR') or os.path.join(ROOT, 'var'))
        self.http_port = port_of('HTTP_PORT', '8080')
        self.https_port = port_of('HTTPS_PORT', '8443')
        self.as_root = os.geteuid() == 0
        own = pwd.getpwuid(os.geteuid()).pw_name
        self.user = 'chancery' if self.as_root else own
        self.signer_user = 'chancery-signer' if self.as_root else own
        self.edge_group = 'www-data' if self.as_root else grp.getgrgid(os.getegid()).gr_name
        self.daemon = os.path.join(self.build, 'chanceryd')
        self.module = os.path.join(self.build, 'ngx_http_pki_module.so')
        self._lock = None

    def path(self, *parts):
        return os.path.join(self.var, *parts)

    def log(self, name):
        return self.path('log', name + '.log')

    def env(self):
        """The environment of a child: nothing that happens to be set for a client of ours gets in."""
        env = {name: value for name, value in os.environ.items() if PASSED_ON.match(name)}
        env.update(LANG='C.UTF-8', HOME='/nonexistent')
        env['PATH'] = env.get('PATH', '/usr/bin:/bin') + ':/usr/sbin:/sbin'
        return env

    def prepare(self):
        for program in (self.daemon, self.module):
            if not os.path.exists(program):
                raise Failure('%s is missing' % program, hint='run "make build"')
        for name in {self.user, self.signer_user}:
            try:
                pwd.getpwnam(name)
            except KeyError:
                raise Failure('there is no user ' + name, hint='run tools/bootstrap')
        self._make_var()
        self._take_lock()
        folders = [
            # name            owner             group            mode
            ('conf',          None,             None,            0o755),
            ('log',           None,             None,            0o755),
            ('tls',           None,             None,            0o755),
            ('pids',          None,             None,            0o755),
            ('run',           self.user,        self.edge_group, 0o2750),
            ('run/pg',        self.user,        self.user,       0o700),
            ('edge',          self.user,        self.edge_group, 0o2750),
            ('signer',        self.signer_user, self.signer_user, 0o700),
            ('tmp',           'www-data' if self.as_root else None, None, 0o700),
        ]
        for name, owner, group, mode in folders:
            self._folder(self.path(name), owner, group, mode)
        self._secret('signer/passphrase', self.signer_user, 24)
        self._secret('conf/master-key', self.user, 32)
        longest = self.path('run/pg/.s.PGSQL.5432.lock')
        if len(os.fsencode(longest)) > SUN_PATH_MAX:
            raise Failure('the path %s is too long for a unix socket' % self.var, hint='set VAR= to a shorter path')

    def own(self, path, owner, group):
        if self.as_root:
            uid = pwd.getpwnam(owner).pw_uid if owner else 0
            gid = grp.getgrnam(group).gr_gid if group else (pwd.getpwnam(owner).pw_gid if owner else 0)
            os.chown(path, uid, gid, follow_symlinks=False)

    def _folder(self, path, owner, group, mode):
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise Failure('%s is not a folder' % path, hint='move it away, or set VAR= to another folder')
        self.own(path, owner, group if self.as_root else None)
        os.chmod(path, mode)

    def _secret(self, name, owner, octets):
        path = self.path(name)
        if os.path.exists(path):
            return
        handle = os.open(path + '.new', os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, 'w') as file:
            file.write(os.urandom(octets).hex() + '\n')
            file.flush()
            os.fsync(file.fileno())
        self.own(path + '.new', owner, None)
        os.rename(path + '.new', path)

    def _make_var(self):
        if not os.path.isdir(self.var):
            os.makedirs(self.var, 0o755, exist_ok=True)
        if self.as_root and not self._reachable(os.path.realpath(self.var)):
            self._move_out()
        self.var = os.path.realpath(self.var)

    def _reachable(self, path):
        """Can the unprivileged users get there?  Asked of the kernel, which knows ACLs and mounts too."""
        code = 'import os, sys; sys.exit(not os.access(sys.argv[1], os.X_OK))'
        return all(subprocess.run(['/usr/bin/python3', '-c', code, path], user=name, group=pwd.getpwnam(name).pw_gid,
                                  extra_groups=[], cwd='/', timeout=20).returncode == 0
                   for name in (self.user, self.signer_user, 'www-data'))

    def _move_out(self):
        name = hashlib.sha256(os.fsencode(self.var)).hexdigest()[:12]
        away = '/var/lib/chancery-run-' + name
        try:
            os.rmdir(self.var)
        except OSError:
            raise Failure('%s cannot be reached by the users chancery, chancery-signer and www-data' % self.var,
                          'It is a folder with something in it, below one that only root may enter.',
                          hint='move it away, or set VAR= to a folder that every user may enter')
        self._folder(away, None, None, 0o755)
        os.symlink(away, self.var)
        line('%s is closed to unprivileged users: the data is in %s' % (os.path.dirname(self.var), away))

    def _take_lock(self):
        self._lock = open(self.path('lock'), 'a')
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Failure('another tools/run uses %s' % self.var, hint='stop it, or set VAR= (and the ports) to others')


def write_file(path, text, mode=0o644):
    """Replace in one step, and have it on disk."""
    handle = os.open(path + '.new', os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, 'w') as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + '.new', path)
