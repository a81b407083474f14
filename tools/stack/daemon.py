# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""chanceryd: its configuration file, migrations, the first API key, the process."""

import json
import signal

from .api import Api
from .places import write_file
from .process import Child, run, until

DRAIN_S = 10


class Daemon:
    def __init__(self, places, database_url):
        self.places = places
        self.conf = places.path('conf/chanceryd.yaml')
        self.api = Api(places.path('run/api.sock'))
        self.database_url = database_url
        self.child = Child(places, 'chanceryd', [places.daemon, 'run', '-c', self.conf],
                           stop=(signal.SIGTERM, DRAIN_S + 10))

    def configure(self):
        at = self.places.path
        sections = [
            ('', [('user', self.places.user if self.places.as_root else ''),
                  ('group', self.places.user if self.places.as_root else ''),
                  ('edge_group', self.places.edge_group),
                  ('drain_s', DRAIN_S),
                  ('master_key_file', at('conf/master-key'))]),
            ('database', [('url', self.database_url)]),
            ('listen', [('api_socket', at('run/api.sock')), ('edge_socket', at('run/edge.sock')),
                        ('rows_socket', at('run/rows.sock'))]),
            # For demonstrations, tests and measurements on one machine: what one key may ask for is many times the default.
            ('limits', [('source_rps', 100000), ('source_burst', 100000), ('export_per_hour', 100000)]),
            ('signer', [('user', self.places.signer_user if self.places.as_root else ''), ('dir', at('signer')),
                        ('passphrase_file', at('signer/passphrase'))]),
            ('edge', [('dir', at('edge')), ('public_url', 'http://localhost:%d' % self.places.http_port),
                      ('metrics_socket', at('run/nginx-metrics.sock'))]),
        ]
        text = '# Written by tools/run at every start.  "chanceryd manual" prints every key.\n'
        for section, pairs in sections:
            text += '%s:\n' % section if section else ''
            for name, value in pairs:
                if value != '':
                    text += '%s%s: %s\n' % ('  ' if section else '', name, json.dumps(value, ensure_ascii=False))
        write_file(self.conf, text)
        self._command('checking the configuration', '--check')

    def _command(self, what, *words):
        return run(self.places, what, [self.places.daemon, *words, '-c', self.conf])

    def migrate(self):
        self._command('migrating the database', 'migrate')

    def start(self):
        self.child.start()
        until('chanceryd answers', 30, self.child, lambda: self.api.status('/health') == 200)
        until('chanceryd is ready', 30, self.child, lambda: self.api.status('/ready') == 200)

    def authorise(self, state):
        """The key of an earlier start, or a new one where it is not known (a new database)."""
        self.api.key = state.get('api_key')
        if not self.api.key or self.api.status('/api/v1/issuers') == 401:
            words = self._command('making an API key', 'bootstrap-key', '--name', 'make-run').split()
            self.api.key = state['api_key'] = words[-1]
