#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
pkilint and zlint over what we sign by default: certificates of CAs, devices and responders, CRLs, OCSP responses.
No finding of WARNING or above, but for those below, which are meant.
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, note_skip, openssl, program, wait_for  # noqa: E402
from relying import OpenSSL, Scene, made                                # noqa: E402

PKILINT, ZLINT = os.environ.get('INTEROP_PKILINT'), os.environ.get('INTEROP_ZLINT')
KINDS = ('p-256', 'rsa-2048', 'ed25519')
SOURCES = 'RFC5280,RFC5480,RFC5891,RFC6962,RFC8813,Community'

# Finding: why it is meant.
MEANT = {
    'pkix.invalid_uri_syntax': "the stack of a test is at http://localhost:PORT, and pkilint wants a dot in a host's name",
}


def pkilint(tool, path, *more):
    shown = program([os.path.join(PKILINT, tool), 'lint', '-s', 'WARNING', '-f', 'JSON', *more, path], check=False)
    found = json.loads(shown.out)['results']
    return {each['code'] for row in found for each in row['finding_descriptions']} - set(MEANT)


def zlint(path):
    shown = program([ZLINT, '-includeSources', SOURCES, path], check=False)
    return {name for name, row in json.loads(shown.out).items() if row['result'] in ('warn', 'error', 'fatal')} - set(MEANT)


def certificate(path, what):
    if PKILINT:
        is_(pkilint('lint_pkix_cert', path), set(), 'pkilint: %s' % what)
    if ZLINT:
        is_(zlint(path), set(), 'zlint: %s' % what)


def crl(path, what):
    if PKILINT:
        is_(pkilint('lint_crl', path, '-t', 'CRL', '-p', 'PKIX'), set(), 'pkilint: %s' % what)
    if ZLINT:
        is_(zlint(path), set(), 'zlint: %s' % what)


def lists(s):
    """Parts, a delta and the list beside it; and one that is held to the Baseline Requirements."""
    for name, settings in (('parts', {'crl_shards': 2}), ('delta', {'crl_delta_s': 3600, 'crl_next_publish': True,
                                                                    'crl_aia': True}), ('web', {'webpki': True})):
        issuer_id = 'iss-' + name
        made(s.api('POST', '/api/v1/issuers', {'id': issuer_id, 'name': name, 'config': {'subject': 'CN=%s CA' % name}}))
        made(s.api('PUT', '/api/v1/issuers/%s/revocation' % issuer_id, settings))
        if name == 'parts':
            made(s.api('POST', '/api/v1/issuers/%s/rekey' % issuer_id, {}))
        scene = Scene(s, issuer_id, cases=('good', 'revoked') if name == 'web' else ('good', 'revoked', 'hold'))
        for path, raw in scene.lists.items():
            crl(scene.keep('one.pem', openssl('crl', '-inform', 'DER', input=raw).raw), path)
        certificate(scene.cert('good'), name + ', a device')
        if name == 'delta' and wait_for('the delta', lambda: scene.fetch_delta('revoked')):
            crl(scene.file('delta.pem'), 'a delta')
        if name == 'web' and PKILINT:
            is_(pkilint('lint_crl', scene.file('full.pem'), '-t', 'CRL', '-p', 'BR'), set(), 'pkilint: by the BR')


def responses(scene, what):
    """One for each status, each method of hashing, and one with a nonce; the responder's certificate is in them."""
    for case in scene.holders:
        for digest, more in (('sha1', ['-no_nonce']), ('sha256', [])):
            path = scene.file('%s-%s.der' % (case, digest))
            openssl('ocsp', '-' + digest, '-issuer', scene.ca, '-cert', scene.cert(case), '-url', scene.url, '-noverify',
                    '-respout', path, *more, check=False)
            if PKILINT:
                is_(pkilint('lint_ocsp_response', path), set(), 'pkilint: %s, OCSP about %s, %s' % (what, case, digest))
    text = OpenSSL().run('ocsp', '-respin', scene.file('good-sha1.der'), '-noverify', '-resp_text').out
    certificate(scene.keep('responder.pem', text[text.index('-----BEGIN'):]), what + ', the responder')


if not PKILINT and not ZLINT:
    note_skip('neither pkilint nor zlint is to be had here, see what tools/interop says')
    done()
with Stack() as s:
    for kind in KINDS:
        issuer_id = 'iss-' + kind
        made(s.api('POST', '/api/v1/issuers', {'id': issuer_id, 'name': kind, 'config': {
            'subject': 'CN=%s CA,O=Example,C=GB' % kind, 'key': kind, 'root_key': kind}}))
        empty = s.file(issuer_id + '.crl')
        with open(empty, 'wb') as file:
            file.write(openssl('crl', '-inform', 'DER', input=s.http('GET', '/crl/%s.crl' % issuer_id).body).raw)
        crl(empty, kind + ', an empty list')
        scene = Scene(s, issuer_id, 'rsa' if kind == 'rsa-2048' else kind, ('good', 'revoked', 'hold', 'unissued'))
        for path, what in ((scene.root, 'the root'), (scene.ca, 'the issuing CA'), (scene.cert('good'), 'a device')):
            certificate(path, '%s, %s' % (kind, what))
        crl(scene.file('full.pem'), kind + ', a list')
        responses(scene, kind)
    lists(s)
done()
