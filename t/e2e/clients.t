#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
The client matrix: other people's relying parties, from Debian packages, and what they say of a certificate that is
good, revoked, on hold, not issued, or expired; by OCSP (GET and POST, SHA-1 to SHA-512 as the client can) and by CRL.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, subtest            # noqa: E402
from relying import CASES, CRL, OCSP, RSA_CRL, RSA_OCSP, Scene, made  # noqa: E402


RSA = {'id': 'iss-rsa', 'name': 'rsa', 'config': {'subject': 'CN=RSA CA', 'key': 'rsa-2048', 'root_key': 'rsa-2048'}}


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


with Stack() as s:
    scene = Scene(s)
    alive = [case for case in CASES if case != 'expired']
    ask_all(scene, alive)
    list_all(scene, alive)
    made(s.api('POST', '/api/v1/issuers', RSA))
    rsa = Scene(s, 'iss-rsa', 'rsa', alive)
    ask_all(rsa, alive, RSA_OCSP)
    list_all(rsa, alive, RSA_CRL)
    scene.age()
    ask_all(scene, ['expired'])
    list_all(scene, ['expired'])
    scene.close()
done()
