#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""strongSwan's EST client.  Relying parties are in clients.t."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, like, ok, openssl, program  # noqa: E402


def certificates(s):
    """The bundle's certificates, each in a file: the issuing CA and the root."""
    with open(s.bundle) as file:
        found = re.findall(r'-----BEGIN.*?-----END CERTIFICATE-----\n', file.read(), re.S)
    paths = [s.file('ca.crt'), s.file('root.crt')]
    for path, text in zip(paths, found):
        with open(path, 'w') as file:
            file.write(text)
    return paths


def strongswan(s, ca, root):
    """pki: cacerts, enrolment by password, re-enrolment by certificate; it asks OCSP for our TLS certificate."""
    trust = ['--cacert', root, '--cacert', ca]
    shown = program(['pki', '--estca', '--url', s.url, *trust, '--caout', s.file('est.pem'), '--outform', 'pem'])
    with open(s.file('est.pem')) as got, open(root) as wanted:
        is_(openssl('x509', '-in', got.name, '-outform', 'DER').raw, openssl('x509', '-in', wanted.name, '-outform',
                                                                             'DER').raw, 'pki --estca: the root')
    is_(openssl('x509', '-in', s.file('est-1.pem'), '-outform', 'DER').raw,
        openssl('x509', '-in', ca, '-outform', 'DER').raw, 'and the issuing CA')
    like(shown.err, r'Sub CA cert is trusted', 'which it trusts')
    like(shown.err, r'ocsp response correctly signed by(?s:.*)ocsp response is valid(?s:.*)certificate status is good',
         'it asked OCSP for the server certificate, and is content')

    def est(name, der, *more):
        got = program(['pki', '--est', '--url', s.url, '--in', der, *trust, '--outform', 'pem', *more])
        like(got.err, r'Issued certificate is trusted', 'pki --est: %s' % name)
        path = s.file(name + '.pem')
        with open(path, 'wb') as file:
            file.write(got.raw)
        return path

    for kind in ('p-256', 'rsa'):
        holder = s.holder('swan-' + kind, kind)
        der = s.file(holder.name + '.der')
        openssl('req', '-in', holder.csr, '-outform', 'DER', '-out', der)
        holder.cert = est(holder.name, der, '--userpass',
                          '%s:%s' % (s.env['CHANCERY_EST_USER'], s.env['CHANCERY_EST_PASSWORD']))
        is_(s.ocsp(holder), 'good', 'a %s certificate that is good' % kind)
        again = est(holder.name + '-again', der, '--cert', holder.cert, '--key', holder.key)
        is_(openssl('x509', '-in', again, '-noout', '-subject').out,
            openssl('x509', '-in', holder.cert, '-noout', '-subject').out, 'renewed with the old one')
    refused = program(['pki', '--est', '--url', s.url, '--in', der, *trust, '--userpass', 'nobody:nothing'], check=False)
    like(refused.err, r'HTTP request failed|failed to authenticate|401|unauthori', 'a wrong password is refused')
    ok(refused.status != 0 and b'CERTIFICATE' not in refused.raw, 'without a certificate')


with Stack() as s:
    ca, root = certificates(s)
    strongswan(s, ca, root)
done()
