# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""A private PostgreSQL cluster: below VAR, on a unix socket that only its own user can reach, durable."""

import glob
import os
import re
import shutil
import signal
import time

from .process import Child, run, stat_of, until
from .say import Failure, line

FIXED = {
    'listen_addresses': '',
    'unix_socket_permissions': '0700',
    'logging_collector': 'off',
    'fsync': 'on',
    'synchronous_commit': 'on',
    'max_connections': '100',
    'max_wal_size': '4GB', # fewer checkpoints: after each one, whole pages go to the log
    'checkpoint_timeout': '15min',
    'log_min_messages': 'warning',
    'log_line_prefix': '%m [%p] ',
}


def shared_buffers():
    """A quarter of the machine's memory, as PostgreSQL's manual advises, within bounds: 128 MB to 4 GB."""
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    return '%dMB' % min(max(memory // 4 >> 20, 128), 4096)


class Postgres:
    def __init__(self, places):
        self.places = places
        self.data = places.path('pg')
        self.sockets = places.path('run/pg')
        self.bin = self._find()
        argv = [self.bin + '/postgres', '-D', self.data]
        for name, value in {**FIXED, 'shared_buffers': shared_buffers(), 'unix_socket_directories': self.sockets}.items():
            argv += ['-c', '%s=%s' % (name, value)]
        self.child = Child(places, 'postgres', argv, user=places.user, stop=(signal.SIGINT, 30), death=signal.SIGINT,
                           before=self._clear_locks)

    def url(self):
        return "host='%s' dbname=chancery user=chancery" % self.sockets.replace("'", "\\'")

    def _find(self):
        """The programs of the cluster's own version, or the newest."""
        try:
            with open(os.path.join(self.data, 'PG_VERSION')) as file:
                wanted = file.read().strip()
        except OSError:
            wanted = '*'
        found = glob.glob('/usr/lib/postgresql/%s/bin/postgres' % wanted)
        if not found:
            raise Failure('PostgreSQL %s is not installed' % wanted.replace('*', ''), hint='run tools/bootstrap')
        return os.path.dirname(max(found, key=lambda path: int(re.search(r'/(\d+)/bin', path).group(1))))

    def start(self):
        if not os.path.exists(os.path.join(self.data, 'PG_VERSION')):
            self._make()
        self.child.start()
        until('PostgreSQL accepts connections', 60, self.child, self._answers)
        if self._psql('postgres', "SELECT 1 FROM pg_database WHERE datname = 'chancery'").strip() != '1':
            self._psql('postgres', "SELECT 'CREATE ROLE chancery LOGIN' WHERE NOT EXISTS "
                                   "(SELECT FROM pg_roles WHERE rolname = 'chancery') \\gexec")
            self._psql('postgres', 'CREATE DATABASE chancery OWNER chancery')

    def _clear_locks(self):
        """
        Lock files of a server that was killed.  PostgreSQL takes a process that is dead but was not waited for
        (an init that is slow, or none, as in some containers) for one that runs.  Nothing is removed while any
        process works in the data folder.
        """
        limit = time.monotonic() + 15
        while self._users() and time.monotonic() < limit:
            time.sleep(0.05)
        for path in (self.data + '/postmaster.pid', self.sockets + '/.s.PGSQL.5432.lock'):
            try:
                with open(path) as file:
                    pid = int(file.readline())
            except (OSError, ValueError):
                continue
            if not self._users() and stat_of(pid) is None:
                os.unlink(path)

    def _users(self):
        """Processes whose working folder is the cluster: the server and every process of it."""
        found = []
        for entry in os.listdir('/proc'):
            if entry.isdigit():
                try:
                    if os.readlink('/proc/%s/cwd' % entry) == self.data:
                        found.append(int(entry))
                except OSError:
                    continue
        return found

    def _make(self):
        """Made aside and moved into place whole, so that an interrupted start leaves nothing half made."""
        line('making a PostgreSQL cluster')
        aside = self.data + '.new'
        shutil.rmtree(aside, ignore_errors=True)
        os.mkdir(aside, 0o700)
        self.places.own(aside, self.places.user, None)
        run(self.places, 'making the PostgreSQL cluster',
            [self.bin + '/initdb', '-D', aside, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8',
             '--no-instructions'], user=self.places.user)
        hba = os.path.join(aside, 'pg_hba.conf')
        with open(hba, 'w') as file:
            file.write('# Only a unix socket, in a folder that only this user may enter.\nlocal all all trust\n')
        os.rename(aside, self.data)

    def _answers(self):
        try:
            run(self.places, 'pg_isready', [self.bin + '/pg_isready', '-q', '-h', self.sockets, '-U', 'postgres', '-d',
                                          'postgres'], user=self.places.user)
            return True
        except Failure:
            return False

    def _psql(self, database, sql):
        return run(self.places, 'setting up the database',
                   [self.bin + '/psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-h', self.sockets, '-U',
                    'postgres', '-d', database], user=self.places.user, log=self.child.log, feed=sql + '\n')
