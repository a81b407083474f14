#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""Other people's clients, from Debian packages: strongSwan, GnuTLS, NSS, OpenSSL, nginx's stapling with curl."""

import base64
import os
import re
import subprocess
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, free_port, is_, like, ok, openssl, program, wait_for  # noqa: E402


def certificates(s):
    """The bundle's certificates, each in a file: the issuing CA and the root."""
    with open(s.bundle) as file:
        found = re.findall(r'-----BEGIN.*?-----END CERTIFICATE-----\n', file.read(), re.S)
    paths = [s.file('ca.crt'), s.file('root.crt')]
    for path, text in zip(paths, found):
        with open(path, 'w') as file:
            file.write(text)
    return paths


def fetch(s, path, name):
    answer = s.http('GET', path)
    with open(s.file(name), 'wb') as file:
        file.write(answer.body)
    return s.file(name)


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


def gnutls(s, ca, root, good, bad):
    def ask(device, *more):
        return program(['ocsptool', '--ask=%s/ocsp/%s' % (s.http_url, s.issuer_id), '--load-cert', device.cert,
                        '--load-issuer', ca, '--load-trust', ca, *more], check=False)
    for more in (['--nonce'], ['--no-nonce']):
        shown = ask(good, *more)
        like(shown.out + shown.err, r'Certificate Status: good(?s:.*)Verifying OCSP Response: Success',
             'ocsptool %s: good, and verified' % more[0])
    shown = ask(bad, '--no-nonce')
    like(shown.out + shown.err, r'Certificate Status: revoked(?s:.*)Revocation time(?s:.*)Success', 'ocsptool: revoked')
    with open(s.file('chain.pem'), 'wb') as file:
        file.write(b''.join(open(each, 'rb').read() for each in (good.cert, ca)))
    shown = program(['certtool', '--verify', '--load-ca-certificate', root, '--infile', s.file('chain.pem')], check=False)
    like(shown.out, r'Chain verification output: Verified\. The certificate is trusted', 'certtool: the chain is trusted')
    pem = s.file('full.crl.pem')
    openssl('crl', '-inform', 'DER', '-in', s.file('full.crl'), '-out', pem)
    shown = program(['certtool', '--verify-crl', '--load-ca-certificate', ca, '--infile', pem], check=False)
    like(shown.out, r'Verification output: Verified', 'certtool: the CRL is verified')
    shown = program(['certtool', '--verify', '--load-ca-certificate', s.bundle, '--load-crl', pem, '--infile', bad.cert],
                    check=False)
    like(shown.out + shown.err, r'(?i)revoked', 'certtool: with the CRL the revoked one is not trusted')


def nss(s, ca, root, good, bad):
    place = 'sql:' + s.file('nss')
    os.mkdir(s.file('nss'))
    program(['certutil', '-N', '-d', place, '--empty-password'])
    for name, path, trust in (('root', root, 'CT,C,C'), ('ca', ca, ',,'), ('good', good.cert, ',,'), ('bad', bad.cert, ',,')):
        program(['certutil', '-A', '-d', place, '-n', name, '-t', trust, '-i', path])
    responder = ['-l', '%s/ocsp/%s' % (s.http_url, s.issuer_id), '-t', 'ca']
    for what, words in (('the responder in the certificate', ['-S', 'good']), ('a given one', ['-S', 'good', *responder]),
                        ('all of the certificate for a client', ['-V', 'good', '-u', 'c']),
                        ('all of it for a server', ['-V', 'good', '-u', 's', *responder])):
        shown = program(['ocspclnt', *words, '-d', place], check=False)
        ok(shown.status == 0 and 'succeeded' in shown.out + shown.err, 'ocspclnt, %s: good' % what, shown)
    shown = program(['ocspclnt', '-S', 'bad', '-d', place], check=False)
    like(shown.out + shown.err, r'"bad" failed\.(?s:.*)has been revoked', 'ocspclnt: revoked')
    shown = program(['crlutil', '-I', '-i', s.file('full.crl'), '-t', '1', '-d', place], check=False)
    ok(shown.status == 0 and not shown.err.strip(), 'crlutil takes the CRL, with its signature checked', shown)
    shown = program(['crlutil', '-L', '-n', 'ca', '-d', place])
    like(shown.out, r'(?i)Serial Number:\s+%s' % ':'.join(re.findall('..', bad.serial.lower())), 'and finds the revoked one')
    like(shown.out, r'CRL reason code\s+Data: 1 (?s:.*)CRL Number', 'with its reason, in a numbered list')
    with open(s.file('broken.crl'), 'wb') as file:
        raw = open(s.file('full.crl'), 'rb').read()
        file.write(raw[:-1] + bytes([raw[-1] ^ 1]))
    shown = program(['crlutil', '-I', '-i', s.file('broken.crl'), '-t', '1', '-d', place], check=False)
    ok(shown.status != 0 or 'unable' in shown.err, 'crlutil does not take it with a damaged signature', shown)
    shown = program(['certutil', '-V', '-d', place, '-n', 'good', '-u', 'C'], check=False)
    like(shown.out, 'certificate is valid', 'certutil: the good one is valid')
    shown = program(['certutil', '-V', '-d', place, '-n', 'bad', '-u', 'C'], check=False)
    like(shown.out + shown.err, '(?i)revoked', 'and the other one revoked, by the CRL')


def openssl_tools(s, ca, root, good, bad):
    with open(s.file('crl-ca.pem'), 'w') as file:
        file.write(openssl('crl', '-inform', 'DER', '-in', s.file('full.crl')).out)
    words = ['-CAfile', root, '-untrusted', ca, '-crl_check', '-CRLfile', s.file('crl-ca.pem'), '-purpose', 'sslclient']
    is_(openssl('verify', '-x509_strict', *words, good.cert, check=False).out, good.cert + ': OK\n',
        'openssl verify -x509_strict -crl_check: good')
    like(openssl('verify', *words, bad.cert, check=False).err, 'certificate revoked', 'and revoked')
    for digest in ('sha1', 'sha256', 'sha384', 'sha512'):
        openssl('ocsp', '-' + digest, '-issuer', ca, '-cert', good.cert, '-cert', bad.cert, '-no_nonce', '-reqout', s.file('q'))
        with open(s.file('q'), 'rb') as file:
            text = base64.b64encode(file.read()).decode()
        for what, path in (('percent-encoded', urllib.parse.quote(text, safe='')), ('as it is', text)):
            shown = program(['curl', '-sS', '--fail', '%s/ocsp/%s/%s' % (s.http_url, s.issuer_id, path), '-o', s.file('a')])
            shown = openssl('ocsp', '-' + digest, '-issuer', ca, '-cert', good.cert, '-cert', bad.cert, '-no_nonce', '-respin',
                            s.file('a'), '-CAfile', s.bundle, check=False)
            ok('Response verify OK' in shown.err and ': good' in shown.out and ': revoked' in shown.out,
               'openssl ocsp with %s hashes by GET, %s: one good, one revoked' % (digest, what), shown)
        shown = openssl('ocsp', '-' + digest, '-issuer', ca, '-cert', good.cert, '-url', '%s/.well-known/pki/ocsp/%s'
                        % (s.http_url, s.issuer_id), '-CAfile', s.bundle, check=False)
        ok('Response verify OK' in shown.err and ': good' in shown.out and 'no nonce' not in shown.err,
           'by POST with a nonce, which comes back: good', shown)
    shown = openssl('crl', '-inform', 'DER', '-in', s.file('full.crl'), '-noout', '-text', '-CAfile', s.bundle)
    like(shown.err, 'verify OK', 'openssl crl: verified')
    like(shown.out, r'Serial Number: %s(?s:.*)Key Compromise' % bad.serial, 'it lists the revoked one with its reason')


STAPLING = '''
daemon off; pid %(tmp)s/staple.pid; error_log %(tmp)s/staple.log info; worker_processes 1; %(user)s
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path %(tmp)s/staple-body; proxy_temp_path %(tmp)s/staple-proxy; fastcgi_temp_path %(tmp)s/staple-f;
    uwsgi_temp_path %(tmp)s/staple-u; scgi_temp_path %(tmp)s/staple-s;
    server {
        listen 127.0.0.1:%(port)d ssl;
        ssl_certificate %(tmp)s/staple.crt; ssl_certificate_key %(key)s; ssl_trusted_certificate %(bundle)s;
        ssl_stapling on; ssl_stapling_verify on; ssl_stapling_responder http://127.0.0.1:%(http)d/ocsp/%(issuer)s;
        return 200 "stapled\\n";
    }
}
'''


class Stapler:
    """An nginx of its own, which staples answers of ours to a certificate of ours."""

    def __init__(self, s, device, ca):
        self.port, self.log = free_port(), s.file('staple.log')
        with open(s.file('staple.crt'), 'w') as file:
            file.write(open(device.cert).read() + open(ca).read())
        with open(s.file('staple.conf'), 'w') as file:
            file.write(STAPLING % {'tmp': s.tmp, 'port': self.port, 'key': device.key, 'bundle': s.bundle,
                                   'http': s.http_port, 'issuer': s.issuer_id,
                                   'user': 'user www-data;' if os.geteuid() == 0 else ''})
        self.process = subprocess.Popen(['/usr/sbin/nginx', '-c', s.file('staple.conf'), '-p', s.tmp, '-e', self.log],
                                        stdin=subprocess.DEVNULL)
        self.bundle = s.bundle

    def ask(self):
        return program(['curl', '-sS', '--cert-status', '--cacert', self.bundle, '--resolve', 'staple.example.net:%d:'
                        '127.0.0.1' % self.port, 'https://staple.example.net:%d/' % self.port], check=False)

    def said(self):
        with open(self.log) as file:
            return file.read()

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def stapling(s, ca):
    device = s.enrol('staple')
    nginx = Stapler(s, device, ca)
    good = wait_for('a stapled answer', lambda: nginx.ask().out == 'stapled\n', 15)
    ok(good, 'curl --cert-status is content with what nginx staples', nginx.ask())
    nginx.stop()
    s.revoke(device, 'superseded')
    nginx = Stapler(s, device, ca)
    told = wait_for('word of the revocation', lambda: nginx.ask().status == 91 and 'revoked' in nginx.said(), 15)
    ok(told, 'once revoked nginx staples nothing, and curl refuses', nginx.said()[-500:])
    nginx.stop()


with Stack() as s:
    ca, root = certificates(s)
    good, bad = s.enrol('good'), s.enrol('bad', 'rsa')
    is_(s.revoke(bad, 'keyCompromise').status, 200, 'one of two certificates is revoked')
    ok(wait_for('the CRL', lambda: s.listed(bad), 5), 'and listed')
    fetch(s, '/crl/%s.crl' % s.issuer_id, 'full.crl')
    strongswan(s, ca, root)
    gnutls(s, ca, root, good, bad)
    nss(s, ca, root, good, bad)
    openssl_tools(s, ca, root, good, bad)
    stapling(s, ca)
done()
