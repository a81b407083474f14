#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
Every kind of key under every kind of CA: Python's cryptography parses each certificate, CRL and OCSP response, and
they are as RFC 5280, RFC 6960 and the common linters want them (t/lib/lint.py).
"""

import base64
import os
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, ok, openssl, program, wait_for  # noqa: E402
import lint                                                           # noqa: E402
from ca import hash_for, new_key, pem, subject_of                     # noqa: E402
from wire import Wire, certificate_of                                 # noqa: E402

from cryptography import x509                                         # noqa: E402
from cryptography.hazmat.primitives import hashes                     # noqa: E402
from cryptography.hazmat.primitives.serialization import Encoding     # noqa: E402
from cryptography.x509 import ocsp as x509_ocsp                       # noqa: E402
from cryptography.x509.oid import ExtendedKeyUsageOID as EKU          # noqa: E402

DAY_S = 86400
ISSUERS = ('p-256', 'p-384', 'rsa-3072', 'ed25519')
LEAVES = ('p-256', 'p-384', 'ed25519', 'rsa-2048', 'rsa-3072', 'rsa-4096')
GOOD, REVOKED = x509_ocsp.OCSPCertStatus.GOOD, x509_ocsp.OCSPCertStatus.REVOKED


def make(s, path, thing):
    answer = s.api('POST', path, thing)
    if answer.status != 201:
        raise RuntimeError('POST %s: %r' % (path, answer))
    return answer.json


def clean(findings, name):
    return is_(list(findings), [], name)


def chain_of(s, issuer_id):
    text = s.api('GET', '/api/v1/issuers/%s/chain' % issuer_id).body
    parts = [each + b'-----END CERTIFICATE-----\n' for each in text.split(b'-----END CERTIFICATE-----\n')[:-1]]
    return [x509.load_pem_x509_certificate(each) for each in parts]


def request(key, name):
    san = x509.SubjectAlternativeName([x509.DNSName(name + '.example.net')])
    return x509.CertificateSigningRequestBuilder().subject_name(subject_of(name)).add_extension(san, False) \
        .sign(key, hash_for(key))


def fetch(s, url):
    """What a URL out of a certificate leads to."""
    place = urllib.parse.urlsplit(url)
    ok((place.scheme, place.port, place.query) == ('http', s.http_port, ''), 'plain http: %s' % url)
    answer = s.http('GET', place.path)
    is_(answer.status, 200, '... which is there')
    return answer


def ask(wire, path, cert, issuer, digest):
    built = x509_ocsp.OCSPRequestBuilder().add_certificate(cert, issuer, digest).build().public_bytes(Encoding.DER)
    return x509_ocsp.load_der_ocsp_response(wire.ocsp(built, path).body)


def leaves(s, wire, issuer_id, keys, issuer):
    """One certificate of each kind of key, by the API."""
    found = {}
    for kind, key in keys.items():
        order = {'name': '%s-%s' % (issuer_id, kind), 'profile_id': 'prof-device', 'issuer_id': issuer_id,
                 'csr_pem': pem(request(key, kind))}
        made = make(s, '/api/v1/certificates', order)
        cert = x509.load_pem_x509_certificate(made['pem'].encode())
        findings = lint.leaf(cert, issuer, key.public_key(), {EKU.CLIENT_AUTH, EKU.SERVER_AUTH}, 90 * DAY_S)
        clean(findings, 'a %s certificate of %s' % (kind, issuer_id))
        found[kind] = (made['id'], cert)
    return found


def relying(s, wire, chain, certs):
    """OCSP and CRL about them, found by what the certificates say."""
    issuer, revoked = chain[0], certs['p-256']
    findings = lint.Findings()
    urls = {lint.revocation_urls(cert, findings) for _, cert in certs.values()}
    clean(findings, 'where to ask is said as it should be')
    is_(len(urls), 1, 'and the same in all of them')
    ocsp_url, ca_url, crl_url = urls.pop()
    answer = fetch(s, ca_url)
    is_((answer.headers['Content-Type'], answer.body), ('application/pkix-cert', issuer.public_bytes(Encoding.DER)),
        'caIssuers is the CA in DER')
    path = urllib.parse.urlsplit(ocsp_url).path
    for kind, (_, cert) in certs.items():
        for digest in (hashes.SHA1(), hashes.SHA256()):
            got = ask(wire, path, cert, issuer, digest)
            if got.certificate_status != GOOD:
                ok(False, '%s is good' % kind)
            clean(lint.ocsp(got, issuer, cert), 'OCSP with %s about %s: good' % (digest.name, kind))

    before = lint.extension(x509.load_der_x509_crl(fetch(s, crl_url).body), x509.CRLNumber).value.crl_number
    for at, (kind, reason) in enumerate((('p-256', 'keyCompromise'), ('rsa-2048', 'certificateHold'),
                                         ('ed25519', 'unspecified'))):
        body = {'reason': reason, **({'invalidity_date': '2026-01-02T03:04:05Z'} if at == 0 else {})}
        is_(s.api('POST', '/api/v1/certificates/%s/revoke' % certs[kind][0], body).status, 200, '%s: %s' % (kind, reason))

    def listed():
        got = x509.load_der_x509_crl(s.http('GET', urllib.parse.urlsplit(crl_url).path).body)
        return got if len(got) == 3 else None

    got = wait_for('a list of three', listed, 5)
    clean(lint.crl(got, issuer), 'the CRL is as it should be')
    entries = {each.serial_number: each for each in got}
    is_(set(entries), {certs[kind][1].serial_number for kind in ('p-256', 'rsa-2048', 'ed25519')}, 'and has these three')
    ok(lint.extension(got, x509.CRLNumber).value.crl_number > before, 'with a number that has grown')
    first = entries[revoked[1].serial_number]
    is_((lint.extension(first, x509.CRLReason).value.reason, lint.extension(first, x509.InvalidityDate).value.invalidity_date
         .isoformat()), (x509.ReasonFlags.key_compromise, '2026-01-02T03:04:05'), 'reason and invalidity date')
    is_(len(list(entries[certs['ed25519'][1].serial_number].extensions)), 0, 'no reason when none was given (RFC 5280 5.3.1)')
    answer = ask(wire, path, revoked[1], issuer, hashes.SHA256())
    clean(lint.ocsp(answer, issuer, revoked[1]), 'OCSP about the revoked one')
    is_((answer.certificate_status, answer.revocation_reason, answer.revocation_time),
        (REVOKED, x509.ReasonFlags.key_compromise, first.revocation_date), 'revoked, as the CRL says')
    answer = ask(wire, path, certs['ed25519'][1], issuer, hashes.SHA1())
    is_((answer.certificate_status, answer.revocation_reason), (REVOKED, None), 'revoked without a reason')
    return got


def by_openssl(s, issuer_id, chain, certs, crl):
    """OpenSSL's strict eyes on the same."""
    root, sub, crl_file = (s.file('%s-%s' % (issuer_id, name)) for name in ('root', 'sub', 'crl'))
    for path, text in ((root, pem(chain[-1])), (sub, pem(chain[0])), (crl_file, pem(crl))):
        with open(path, 'w') as file:
            file.write(text)
    words = ['-x509_strict', '-check_ss_sig', '-CAfile', root, '-untrusted', sub, '-crl_check', '-CRLfile', crl_file]
    for kind, (_, cert) in certs.items():
        path = s.file('leaf.pem')
        with open(path, 'w') as file:
            file.write(pem(cert))
        shown = openssl('verify', *words, path, check=False)
        if kind in ('p-256', 'rsa-2048', 'ed25519'):
            ok('certificate revoked' in shown.err, 'openssl verify: %s is revoked' % kind, shown)
        else:
            is_(shown.out, path + ': OK\n', 'openssl verify: %s is good' % kind)


def est_of(s, wire, issuer_id, keys, issuer):
    """The same over EST, and cacerts."""
    label = issuer_id.replace('iss-', '')
    make(s, '/api/v1/est/labels', {'name': label, 'issuer_id': issuer_id, 'profile_id': 'prof-device'})
    password = make(s, '/api/v1/est/labels/est-%s/credentials' % label, {'user_name': 'u'})['password']
    for kind in ('ed25519', 'rsa-4096'):
        answer = wire.est(request(keys[kind], kind).public_bytes(Encoding.DER), label=label, auth=s.basic('u', password))
        cert = certificate_of(answer)
        clean(lint.leaf(cert, issuer, keys[kind].public_key(), {EKU.CLIENT_AUTH, EKU.SERVER_AUTH}, 90 * DAY_S),
              'a %s certificate of %s by EST' % (kind, issuer_id))
    answer = wire.ask('GET', '/.well-known/est/%s/cacerts' % label)
    shown = program(['openssl', 'pkcs7', '-inform', 'DER', '-print_certs'], input=base64.b64decode(answer.body)).out
    is_(shown.count('BEGIN CERTIFICATE'), 2, 'cacerts of it has the issuing CA and the root')


def clamped(s):
    """A CA that ends before the profile's validity does: what it issues ends with it."""
    make(s, '/api/v1/issuers', {'id': 'iss-short', 'name': 'short', 'config': {
        'subject': 'CN=Short CA', 'validity_s': 30 * DAY_S, 'root_validity_s': 20 * DAY_S}})
    chain, key = chain_of(s, 'iss-short'), new_key()
    ok(chain[0].not_valid_after <= chain[1].not_valid_after, "the issuing CA ends with its root")
    made = make(s, '/api/v1/certificates', {'name': 'short', 'profile_id': 'prof-device', 'issuer_id': 'iss-short',
                                            'csr_pem': pem(request(key, 'short'))})
    cert = x509.load_pem_x509_certificate(made['pem'].encode())
    is_(cert.not_valid_after, chain[0].not_valid_after, 'and its certificates with it')
    clean(lint.leaf(cert, chain[0], key.public_key(), {EKU.CLIENT_AUTH, EKU.SERVER_AUTH}, 90 * DAY_S), 'all else in order')


with Stack() as s:
    keys = {kind: new_key(kind) for kind in LEAVES}
    ocsp_wire, est_wire = Wire(s, tls=False), Wire(s)
    serials = []
    for kind in ISSUERS:
        issuer_id = 'iss-' + kind
        make(s, '/api/v1/issuers', {'id': issuer_id, 'name': kind, 'config': {
            'subject': 'CN=%s CA,O=Example,C=GB' % kind, 'key': kind, 'root_key': kind}})
        chain = chain_of(s, issuer_id)
        is_([lint.key_kind(each.public_key()) for each in chain], [kind, kind], 'a %s CA and its root' % kind)
        clean(lint.authority(chain[0], chain[1]), 'the issuing CA is as it should be')
        clean(lint.authority(chain[1], chain[1]), 'and its root')
        certs = leaves(s, ocsp_wire, issuer_id, keys, chain[0])
        crl = relying(s, ocsp_wire, chain, certs)
        by_openssl(s, issuer_id, chain, certs, crl)
        est_of(s, est_wire, issuer_id, keys, chain[0])
        serials += [cert.serial_number for _, cert in certs.values()]
    is_(len(set(serials)), len(ISSUERS) * len(LEAVES), 'no serial came twice')
    ok(all(each.bit_length() > 96 for each in serials), 'and each is long')
    clamped(s)
done()
