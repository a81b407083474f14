# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""The demonstration set: an issuer, two profiles, an EST label with a credential, and nginx's own certificate."""

import os
import socket

from .places import write_file
from .process import run
from .say import Failure, line

ISSUER = 'iss-local'
DAY_S = 86400
PROFILES = [
    {'id': 'prof-device', 'name': 'device', 'key_kinds': ['rsa', 'p-256', 'p-384', 'ed25519'],
     'validity_s': 90 * DAY_S, 'eku': ['clientAuth', 'serverAuth'], 'name_kinds': ['dns', 'ip', 'email', 'uri']},
    {'id': 'prof-tls-server', 'name': 'tls-server', 'key_kinds': ['rsa', 'p-256', 'p-384'],
     'validity_s': 90 * DAY_S, 'eku': ['serverAuth'], 'name_kinds': ['dns', 'ip']},
]
LABEL = {'id': 'est-devices', 'name': 'devices', 'is_default': True, 'issuer_id': ISSUER,
         'profile_id': 'prof-device', 'auth_basic': True, 'auth_certificate': True}
USER = 'device'


class Demo:
    def __init__(self, places, daemon):
        self.places, self.api, self.log = places, daemon.api, daemon.child.log

    def make(self, state):
        api = self.api
        issuer = {'id': ISSUER, 'name': 'local', 'type': 'local',
                  'config': {'subject': 'CN=Demonstration CA,O=Chancery'}}
        if api.ensure('making the demonstration CA', '/api/v1/issuers', issuer):
            line('made the demonstration CA, a root and an issuing CA (%s)' % ISSUER)
        for profile in PROFILES:
            api.ensure('making the profile ' + profile['id'], '/api/v1/profiles', profile)
        if api.ensure('making the EST label', '/api/v1/est/labels', LABEL) or not state.get('est_password'):
            made = api.must('making the EST credential', 'POST', '/api/v1/est/labels/%s/credentials' % LABEL['id'],
                            {'user_name': USER})
            state['est_user'], state['est_password'] = USER, made['password']
        self.bundle()

    def bundle(self):
        chain = self.api.must('fetching the CA certificates', 'GET', '/api/v1/issuers/%s/chain' % ISSUER)
        if 'BEGIN CERTIFICATE' not in chain:
            raise Failure('fetching the CA certificates', chain)
        write_file(self.places.path('tls/ca-bundle.pem'), chain)

    # -- nginx's certificate

    def server_certificate(self):
        if self._still_good():
            return
        line("getting nginx's TLS certificate")
        at = self.places.path
        names = 'DNS:localhost,IP:127.0.0.1,IP:::1'
        host = socket.gethostname().lower()
        if host and host != 'localhost' and all(part and part.strip('-').replace('-', '').isalnum() and part.isascii()
                                                for part in host.split('.')):
            names += ',DNS:' + host
        key = run(self.places, "making nginx's key", ['openssl', 'genpkey', '-algorithm', 'EC', '-pkeyopt',
                                                      'ec_paramgen_curve:P-256'])
        write_file(at('tls/server.key.next'), key, 0o600)
        csr = run(self.places, "making nginx's certificate request", [
            'openssl', 'req', '-new', '-key', at('tls/server.key.next'), '-subj', '/CN=localhost', '-addext',
            'subjectAltName=' + names])
        order = {'profile_id': 'prof-tls-server', 'issuer_id': ISSUER, 'csr_pem': csr,
                 'name': 'nginx-%s' % os.urandom(4).hex()}
        made = self.api.must("getting nginx's certificate", 'POST', '/api/v1/certificates', order)
        write_file(at('tls/server.crt'), made['pem'] + made['chain_pem'])
        os.rename(at('tls/server.key.next'), at('tls/server.key'))

    def _still_good(self):
        """Ours, of this CA, for this key, and good for another week."""
        crt, key, bundle = (self.places.path('tls', name) for name in ('server.crt', 'server.key', 'ca-bundle.pem'))

        def ask(*words):
            return run(self.places, "checking nginx's certificate", ['openssl', *words])

        try:
            ask('x509', '-noout', '-checkend', str(7 * DAY_S), '-in', crt)
            ask('verify', '-CAfile', bundle, crt)
            return ask('x509', '-noout', '-pubkey', '-in', crt) == ask('pkey', '-pubout', '-in', key)
        except Failure:
            return False
