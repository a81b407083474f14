#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""OpenSSL 3.5, where tools/interop could get it: the same rows of the client matrix as for the system's OpenSSL."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, like, note_skip      # noqa: E402
from relying import ALL, CASES, LIST, OpenSSL, REASON, Scene  # noqa: E402

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
    scene.age()
    matrix(scene, newer, ['expired'])
done()
