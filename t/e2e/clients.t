#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
The client matrix: other people's relying parties, from Debian packages, and what they say of a certificate that is
good, revoked, on hold, not issued, or expired; by OCSP (GET and POST, SHA-1 to SHA-512 as the client can) and by CRL.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, ok, program, subtest, wait_for  # noqa: E402
from relying import CASES, CRL, DELTA, OCSP, RSA_CRL, RSA_OCSP, SHARDS, Scene, made, nss_database, python_crl  # noqa: E402


def ask_all(scene, cases, table=OCSP):
    for name, ask, methods, digests, wanted in table:
        for case in cases:
            with subtest('OCSP of %s, %s: %s' % (scene.issuer_id, name, case)):
                for method in methods:
                    for digest in digests:
                        is_(ask(scene, case, method, digest), wanted[case], '%s, %s' % (method, digest))


def list_all(scene, cases, table=CRL):
    for name, ask, wanted in table:
        for case in cases:
            is_(ask(scene, case), wanted[case], 'CRL of %s, %s: %s' % (scene.issuer_id, name, case))


def released(s, scene):
    """A hold that is over.  nginx is left out: it keeps what it was told for an hour."""
    is_(s.api('POST', '/api/v1/certificates/mc-%s/release' % scene.holders['hold'].name, {}).status, 200, 'a hold is over')
    for name, ask, methods, digests, wanted in OCSP:
        if not name.startswith('nginx'):
            is_(ask(scene, 'hold', methods[0], digests[0]), wanted['good'], 'released: OCSP of %s, %s' % (scene.issuer_id, name))
    ok(wait_for('a list without it', lambda: scene.fetch_crl('revoked') and python_crl(scene, 'hold') == 'good', 5),
       'and it is on the list no more')


def issuer(s, name, settings, key='p-256'):
    """With settings for how revocations are told; what is fixed when a CA is made holds for its second generation."""
    made(s.api('POST', '/api/v1/issuers', {'id': 'iss-' + name, 'name': name, 'config': {
        'subject': 'CN=%s CA' % name, 'key': key, 'root_key': key}}))
    made(s.api('PUT', '/api/v1/issuers/iss-%s/revocation' % name, settings))
    if 'crl_shards' in settings:
        made(s.api('POST', '/api/v1/issuers/iss-%s/rekey' % name, {}))


def in_parts(s, alive):
    issuer(s, 'parts', {'crl_shards': 4})
    scene = Scene(s, 'iss-parts', cases=alive)
    list_all(scene, alive, SHARDS)
    for path, raw in scene.lists.items():
        shown = program(['crlutil', '-I', '-i', scene.keep('part.crl', raw), '-t', '1', '-d', nss_database(scene)], check=False)
        ok('CRL import failed' in shown.err or 'unable to import' in shown.err, 'NSS does not take %s' % path, shown)
    scene.close()


def with_delta(s):
    issuer(s, 'delta', {'crl_delta_s': 3600})
    scene = Scene(s, 'iss-delta', cases=('good', 'revoked', 'hold'))
    scene.holders['late'] = scene.order('late')
    is_(s.revoke(scene.holders['late'], 'superseded').status, 200, 'another one is revoked')
    is_(s.api('POST', '/api/v1/certificates/mc-%s/release' % scene.holders['hold'].name, {}).status, 200, 'a hold is over')
    ok(wait_for('the delta', lambda: scene.fetch_delta('late') and scene.fetch_delta('hold')), 'a delta says so')
    list_all(scene, ('good', 'revoked', 'hold', 'late'), DELTA)


with Stack() as s:
    scene = Scene(s)
    alive = [case for case in CASES if case != 'expired']
    ask_all(scene, alive)
    list_all(scene, alive)
    in_parts(s, alive)
    with_delta(s)
    issuer(s, 'rsa', {'ocsp_keys': ['rsa-2048']}, 'rsa-2048')
    rsa = Scene(s, 'iss-rsa', 'rsa', alive)
    ask_all(rsa, alive, RSA_OCSP)
    list_all(rsa, alive, RSA_CRL)
    released(s, scene)
    scene.age()
    ask_all(scene, ['expired'])
    list_all(scene, ['expired'])
    scene.close()
done()
