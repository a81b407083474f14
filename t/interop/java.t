#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""Java's PKIXRevocationChecker: OCSP by GET, by GET with a nonce, and by POST; the CRL by its distribution point."""

import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, note_skip, ok, program      # noqa: E402
from relying import CASES, LIST, PATH, Scene, made                 # noqa: E402

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'Relying.java')
REASONS = {'revoked': 'revoked KEY_COMPROMISE', 'hold': 'revoked CERTIFICATE_HOLD'}
BY_OCSP = dict(PATH, unissued='unauthorized', **REASONS)


def java(scene, mode, cases, *options, responder='-'):
    shown = program(['java', *options, SOURCE, mode, responder, scene.root, scene.ca, *map(scene.cert, cases)], check=False)
    words = ['unauthorized' if 'OCSP response error: UNAUTHORIZED' in each else each for each in shown.out.splitlines()]
    if len(words) != len(cases) or shown.status != 0:
        raise RuntimeError(repr(shown))
    return dict(zip(cases, words))


def requests(scene, word):
    """How many of the lines of the access log have it: proof of what was sent."""
    return sum(scene.path in each and word in each for each in scene.stack.log('access').splitlines())


def matrix(scene, cases):
    long_url = scene.url + '?' + 'x' * 250  # over 255 octets Java posts
    for what, mode, wanted, options, responder in (
            ('OCSP, GET', 'ocsp', BY_OCSP, [], '-'),
            ('OCSP, GET with a nonce', 'ocsp', BY_OCSP, ['-Djdk.security.certpath.ocspNonce=true'], '-'),
            ('OCSP, POST', 'ocsp', BY_OCSP, [], long_url),
            ('CRL by its distribution point', 'crl', dict(LIST, **REASONS), [], '-')):
        for case, word in java(scene, mode, cases, *options, responder=responder).items():
            is_(word, wanted[case], 'Java, %s: %s' % (what, case))


if shutil.which('java') is None or shutil.which('javac') is None:
    note_skip('Java: no JDK here (openjdk-17-jdk-headless)')
    done()
with Stack() as s:
    scene = Scene(s)
    matrix(scene, [case for case in CASES if case != 'expired'])
    ok(requests(scene, '"method":"GET"') >= 8 and requests(scene, '"method":"POST"') >= 4, 'both by GET and by POST')
    made(s.api('POST', '/api/v1/issuers', {'id': 'iss-parts', 'name': 'parts', 'config': {'subject': 'CN=Parts CA'}}))
    made(s.api('PUT', '/api/v1/issuers/iss-parts/revocation', {'crl_shards': 4}))
    made(s.api('POST', '/api/v1/issuers/iss-parts/rekey', {}))
    parts = Scene(s, 'iss-parts', cases=('good', 'revoked', 'hold', 'unissued'))
    for case, word in java(parts, 'crl', tuple(parts.holders)).items():
        is_(word, dict(LIST, **REASONS)[case], 'Java, a list in parts: %s' % case)
    scene.age()
    matrix(scene, ['expired'])
done()
