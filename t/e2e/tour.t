#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""The README's tour, run as it stands; then what it shows is looked at with a stricter eye."""

import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import ROOT, Stack, diag, done, is_, like, ok, openssl, unlike, wait_for  # noqa: E402


def blocks():
    """What the README shows for a shell: each is run as it stands, from the top."""
    with open(os.path.join(ROOT, 'README.md')) as file:
        return re.findall(r'^```sh\n(.*?)^```$', file.read(), re.M | re.S)


with Stack(workers=2) as s:
    tour, *others = blocks()
    shown = s.sh('set -eu\n' + tour, check=False)
    is_(shown.status, 0, "the README's tour runs to its end") or diag(shown)
    for each in others:
        command = s.sh('set -eu\n' + each, check=False)
        is_(command.status, 0, "the README's other commands run to their end") or diag(command)
        like(command.out, r'(?s)ready +yes.*valve.*, 0 problems', 'and show what they should')
    os.chdir(s.path('tour'))

    cacerts = openssl('storeutl', '-noout', '-certs', 'cacerts.pem').out
    like(cacerts, r'Total found: 2', 'EST cacerts holds the issuing CA and the root')
    for device, key in (('pump', 'prime256v1'), ('valve', r'RSA.*2048|2048 bit')):
        is_(openssl('verify', '-CAfile', s.bundle, device + '.pem').out, device + '.pem: OK\n', device + ' verifies')
        text = openssl('x509', '-noout', '-text', '-in', device + '.pem').out
        like(text, key, 'its key is of the kind it asked for')
        like(text, r'DNS:%s\.example\.net' % device, 'it has its name')
        like(text, r'OCSP - URI:%s/ocsp/%s' % (s.http_url, s.issuer_id), 'it says where OCSP is')
        like(text, r'URI:%s/crl/%s\.crl' % (s.http_url, s.issuer_id), 'and where the CRL is')
    like(shown.out, r'(?s)pump.pem: good.*pump.pem: good.*pump.pem: revoked', 'POST and GET said good, then revoked')
    like(shown.out, r'(?s)pump.pem: revoked.*Reason: keyCompromise', 'for the reason that was given')
    is_(shown.err.count('Response verify OK'), 3, 'every OCSP answer verified')
    serial = openssl('x509', '-noout', '-serial', '-in', 'pump.pem').out.strip().split('=')[1]
    with open('before.txt') as file:
        before = file.read()
    unlike(before, serial, 'the CRL did not list the pump before')
    after = openssl('crl', '-inform', 'DER', '-in', 'after.crl', '-noout', '-text').out
    like(after, serial, 'and lists it afterwards')
    other = openssl('x509', '-noout', '-serial', '-in', 'valve.pem').out.strip().split('=')[1]
    unlike(after, other, 'but not the valve')

    # Sharper than the tour: every worker, at once, and the CRL within one second.
    device = s.enrol('sharp')
    for _ in range(20):
        s.ocsp(device)
    answer = s.revoke(device)
    is_(answer.status, 200, 'the revocation is answered')
    said = [s.ocsp(device) for _ in range(40)]
    is_(set(said), {'revoked'}, 'from then on every answer of every worker says revoked')
    like(s.ocsp_text(device), r'Revocation Reason: keyCompromise', 'with its reason')

    other = s.enrol('listed')
    s.revoke(other, 'superseded')
    at = time.monotonic()
    listed = wait_for('the CRL', lambda: s.listed(other), 3)
    ok(listed and time.monotonic() - at < 1.0, 'the CRL lists it within one second', time.monotonic() - at)
done()
