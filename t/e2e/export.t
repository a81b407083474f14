#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""Exports of a certificate, opened by other people's software; certificates for S/MIME, and those that must be stapled."""

import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, like, note_skip, ok, openssl, program, unlike  # noqa: E402

from cryptography import x509                                                       # noqa: E402
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12              # noqa: E402

V1 = '/api/v1'
PASSWORD, ACCENTS = 'open sesame', 'sésame ouvre-toi'


def make(s, path, thing):
    answer = s.api('POST', path, thing)
    if answer.status != 201:
        raise RuntimeError('POST %s: %r' % (path, answer))
    return answer.json


def issue(s, holder, **more):
    with open(holder.csr) as file:
        return make(s, V1 + '/certificates', {'name': holder.name, 'profile_id': 'prof-tls-server', 'issuer_id': s.env['CHANCERY_ISSUER'],
                                             'csr_pem': file.read(), **more})


def texts(s, path):
    got = s.api('GET', path + '/pem')
    is_(sorted(got.json), ['cert_pem', 'chain_pem', 'full_pem'], 'PEM: the certificate, its chain, both')
    is_(got.json['full_pem'], got.json['cert_pem'] + got.json['chain_pem'], 'one after the other')
    down = s.api('GET', path + '/pem?download=true')
    is_((down.headers['Content-Type'], down.headers['Content-Disposition'], down.text),
        ('application/x-pem-file', 'attachment; filename="mc-web.pem"', got.json['full_pem']), 'or as a file')
    leaf = x509.load_pem_x509_certificate(got.json['cert_pem'].encode())
    der = s.api('GET', path + '/p7b')
    is_(der.headers['Content-Type'], 'application/x-pkcs7-certificates', 'a p7b')
    is_(pkcs7.load_der_pkcs7_certificates(der.body)[0], leaf, 'begins with it')
    pem = s.api('GET', path + '/p7b?format=pem')
    is_(openssl('pkcs7', '-print_certs', input=pem.text).out.count('BEGIN CERTIFICATE'), len(pkcs7.load_der_pkcs7_certificates(der.body)),
        'openssl reads it in PEM')
    is_(s.api('GET', path + '/p7b?format=doc').status, 400, 'another format: 400')
    return leaf


def trust_store(s, path, leaf):
    answer = s.api('POST', path + '/pkcs12', {'password': PASSWORD, 'friendly_name': 'Wëb'})
    is_((answer.status, answer.headers['Content-Type']), (200, 'application/x-pkcs12'), 'a trust store')
    store = s.file('trust.p12')
    with open(store, 'wb') as file:
        file.write(answer.body)
    key, first, others = pkcs12.load_key_and_certificates(answer.body, PASSWORD.encode())
    ok(key is None and leaf in ([first] if first else []) + others and len(others) > 1, 'holds certificates and no key', others)
    shown = openssl('pkcs12', '-in', store, '-nokeys', '-info', '-passin', 'pass:' + PASSWORD)
    like(shown.err, 'AES-256-CBC', 'under AES-256')
    like(shown.err, 'PBKDF2', 'and PBKDF2')
    unlike(shown.err, 'RC2|3DES|PBE-SHA1', 'and nothing older')
    ok(openssl('pkcs12', '-in', store, '-nokeys', '-passin', 'pass:wrong one', check=False).status != 0, 'not with another password')
    java(store, len(others) + bool(first))
    accents = s.api('POST', path + '/pkcs12', {'password': ACCENTS}).body
    ok(pkcs12.load_key_and_certificates(accents, ACCENTS.encode())[2], 'a password may have accents')
    is_(s.api('POST', path + '/pkcs12', {}).json['error']['fields'][0]['field'], 'password', 'none without a password')
    is_(s.api('POST', path + '/pkcs12', {'password': 'short'}).status, 400, 'nor with a short one')
    unlike(s.log(), PASSWORD, 'the password is not in the log')
    is_(s.psql("SELECT count(*) FROM audit_event e WHERE e::text LIKE '%sesame%'"), '0', 'nor in the audit')


def java(store, count):
    if shutil.which('keytool') is None:
        return note_skip('there is no keytool')
    shown = program(['keytool', '-list', '-keystore', store, '-storepass:env', 'STOREPASS'], env={**os.environ, 'STOREPASS': PASSWORD})
    is_(shown.out.count('trustedCertEntry'), count, 'Java trusts each of them')


def trail(s, leaf):
    rows = s.psql("SELECT action, details->>'serial' FROM audit_event WHERE action LIKE 'certificate.export%' AND status = 200 ORDER BY id")
    serial = '%x' % leaf.serial_number
    serial = serial.zfill(len(serial) + len(serial) % 2)
    is_(rows.split('\n'), ['certificate.export_%s|%s' % (what, serial) for what in ('pem', 'pem', 'p7b', 'p7b', 'pkcs12', 'pkcs12')],
        'each is in the audit once, with the serial')
    is_(s.api('GET', V1 + '/certificates/mc-none/export/pem').status, 404, 'nothing to export: 404')
    reader = make(s, V1 + '/auth/keys', {'name': 'issuer reader', 'permissions': ['issuer.read']})['key']
    is_(s.api('GET', V1 + '/certificates/mc-web/export/pem', key=reader).status, 403, 'not for everybody')


def usages(s):
    make(s, V1 + '/profiles', {'name': 'mail', 'key_kinds': ['p-256', 'rsa'], 'validity_s': 86400, 'eku': ['emailProtection'],
                               'name_kinds': ['email'], 'email_patterns': ['*@example.org']})
    mail = s.holder('ada', 'rsa', san='email:ada@example.org')
    cert = x509.load_pem_x509_certificate(issue(s, mail, profile_id='prof-mail')['pem'].encode())
    usage = cert.extensions.get_extension_for_class(x509.KeyUsage).value
    ok(usage.digital_signature and usage.content_commitment and usage.key_encipherment, 'S/MIME: signs, and stands for it', usage)
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    is_(names.get_values_for_type(x509.RFC822Name), ['ada@example.org'], 'with a mail address')
    server = x509.load_pem_x509_certificate(s.api('GET', V1 + '/certificates/mc-web/export/pem').json['cert_pem'].encode())
    ok(not server.extensions.get_extension_for_class(x509.KeyUsage).value.content_commitment, 'a server does not')

    staple = {'name': 'staple', 'key_kinds': ['p-256'], 'validity_s': 86400, 'eku': ['serverAuth'], 'name_kinds': ['dns'], 'must_staple': True}
    is_(make(s, V1 + '/profiles', staple)['must_staple'], True, 'a profile that asks for stapling')
    pem = issue(s, s.holder('stapled'), profile_id='prof-staple')['pem']
    cert = x509.load_pem_x509_certificate(pem.encode())
    is_(list(cert.extensions.get_extension_for_class(x509.TLSFeature).value), [x509.TLSFeatureType.status_request], 'gives the TLS feature')
    like(openssl('x509', '-noout', '-text', input=pem).out, 'status_request', 'which openssl reads')
    like(openssl('x509', '-noout', '-ocsp_uri', input=pem).out, '/ocsp/', 'and says where to get the answer')
    answer = s.api('POST', V1 + '/profiles', {**staple, 'name': 'both', 'validity_s': 600, 'revocation_exempt': True})
    is_([each['field'] for each in answer.json['error']['fields']], ['must_staple'], 'not where nobody can ask')


if __name__ == '__main__':
    with Stack() as stack:
        issue(stack, stack.holder('web'))
        here = V1 + '/certificates/mc-web/export'
        certificate = texts(stack, here)
        trust_store(stack, here, certificate)
        trail(stack, certificate)
        usages(stack)
    done()
