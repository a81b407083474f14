#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""OpenSSL 3.5, where tools/interop could get it: the same rows of the client matrix as for the system's OpenSSL."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, like, note_skip, ok, wait_for  # noqa: E402
from relying import ALL, CASES, LIST, OpenSSL, REASON, Scene, made  # noqa: E402

COMMAND = os.environ.get('INTEROP_OPENSSL35', '').split()


def matrix(scene, newer, cases):
    for case in cases:
        for method in ('GET', 'POST', 'POST, nonce'):
            for digest in ALL:
                is_(newer.ocsp(scene, case, method, digest), REASON[case], 'OpenSSL 3.5, %s, %s: %s' % (method, digest, case))
        is_(newer.crl(scene, case), LIST[case], 'OpenSSL 3.5, verify -crl_check: %s' % case)
        is_(newer.crl_download(scene, case), LIST[case], 'OpenSSL 3.5, verify -crl_download: %s' % case)


if not COMMAND:
    note_skip('OpenSSL 3.5: not to be had here, see what tools/interop says')
    done()
with Stack() as s:
    newer = OpenSSL(COMMAND)
    like(newer.run('version').out, r'^OpenSSL 3\.5', 'it is the newer one')
    scene = Scene(s)
    matrix(scene, newer, [case for case in CASES if case != 'expired'])
    made(s.api('POST', '/api/v1/issuers', {'id': 'iss-delta', 'name': 'delta', 'config': {'subject': 'CN=Delta CA'}}))
    made(s.api('PUT', '/api/v1/issuers/iss-delta/revocation', {'crl_delta_s': 3600}))
    delta = Scene(s, 'iss-delta', cases=('good', 'revoked', 'hold'))
    delta.holders['late'] = delta.order('late')
    is_(s.revoke(delta.holders['late'], 'superseded').status, 200, 'another one is revoked')
    ok(wait_for('the delta', lambda: delta.fetch_delta('late')), 'a delta says so')
    for case in ('good', 'revoked', 'hold', 'late'):
        is_(newer.base(delta, case), dict(LIST, late='good')[case], 'OpenSSL 3.5, without the delta: %s' % case)
        is_(newer.delta(delta, case), dict(LIST, late='revoked')[case], 'OpenSSL 3.5, verify -use_deltas: %s' % case)
    scene.age()
    matrix(scene, newer, ['expired'])
done()
