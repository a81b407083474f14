#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
Who may re-enrol (RFC 7030 3.3.2, 4.2.2): the holder of a certificate of the label's CA in good standing, for the same
subject and the same names.  And who may enrol with a certificate; and that asking twice gives one certificate.
"""

import base64
import datetime
import http.client
import os
import socket
import ssl
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cryptography.x509.oid import ExtendedKeyUsageOID                      # noqa: E402
from chancery import SLOW, Stack, done, is_, like, ok, wait_for            # noqa: E402
from ca import Authority, keep, load, load_key, new_key, pem               # noqa: E402
from der import CN, common_name, csr, device_csr, dns, extension_request, name, p256, printable, utf8  # noqa: E402
from second import Second                                              # noqa: E402
from wire import Wire, certificate_of, is_text                             # noqa: E402

SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
DNS = '%s.example.net'


def make(s, path, thing):
    answer = s.api('POST', path, thing)
    if answer.status != 201:
        raise RuntimeError('POST %s: %r' % (path, answer))
    return answer.json


def enrol(s, wire, device, *names, label=None, auth=None):
    """A device with its first certificate, of hand-made CSRs: CN and DNS names."""
    key = new_key()
    cert = certificate_of(wire.est(device_csr(key, device, *names), label=label, auth=auth))
    return keep(s, device, key, cert)


def renew(s, holder, der, label=None, operation='simplereenroll'):
    """As the holder: an Answer."""
    wire = Wire(s, cert=holder)
    try:
        return wire.est(der, operation=operation, label=label, auth={})
    finally:
        wire.close()


def refused(answer, what, pattern, status=403):
    is_((answer.status, is_text(answer)), (status, True), '%s: %d' % (what, status))
    like(answer.text, pattern, '... saying why')


def versions(s, holder):
    found = s.api('GET', '/api/v1/certificates?serial=%s' % holder.serial).json['data']
    is_(len(found), 1, 'its serial belongs to one managed certificate')
    listed = s.api('GET', '/api/v1/certificates/%s/versions' % found[0]['id']).json
    return found[0]['id'], listed['total'], [each['serial'] for each in listed['data']]


def same_identity(s, wire):
    """RE-01, RE-03: the same subject and names; the same key renews, another one rekeys."""
    first = enrol(s, wire, 'pump')
    key = load_key(first)
    answer = renew(s, first, device_csr(key, 'pump'))
    is_(answer.headers.get('Content-Type'), 'application/pkcs7-mime; smime-type=certs-only', 'renewed: certs-only')
    renewed = certificate_of(answer)
    old = load(first.cert)
    ok(renewed.serial_number != old.serial_number and renewed.public_key().public_numbers() ==
       old.public_key().public_numbers(), 'the same key: a new certificate for it')
    is_(renewed.subject.public_bytes(), old.subject.public_bytes(), 'with the same subject')
    second = keep(s, 'pump-2', key, renewed)
    other = new_key()
    third = keep(s, 'pump-3', other, certificate_of(renew(s, second, device_csr(other, 'pump'))))
    is_(load(third.cert).public_key().public_numbers(), other.public_key().public_numbers(), 'another key: rekeyed')
    ids = [versions(s, each) for each in (first, second, third)]
    is_({each[0] for each in ids}, {ids[0][0]}, 'all three are versions of one managed certificate')
    is_(ids[0][1], 3, 'which has three')
    is_({each.lower().lstrip('0') for each in ids[0][2]}, {each.serial.lower().lstrip('0') for each in
                                                           (first, second, third)}, 'these')
    row = s.api('GET', '/api/v1/certificates/' + ids[0][0]).json
    is_((row['source'], row['status']), ('EST', 'Active'), 'source EST, active')
    is_([s.ocsp(each) for each in (first, second, third)], ['good'] * 3, 'and all three are good')
    certificate_of(renew(s, first, device_csr(p256(), 'pump')))
    ok(True, 'the one that was renewed may renew within the grace')


def other_names(s, wire):
    """RE-01: byte for byte, names as a set."""
    one = enrol(s, wire, 'valve')
    two = enrol(s, wire, 'valve-2', 'a.example.net', 'b.example.net')
    bare = keep(s, 'bare', key := new_key(), certificate_of(wire.est(csr(key, common_name('bare')))))
    san = extension_request(dns(DNS % 'valve'))
    key = p256()
    for what, holder, pattern, made in (
            ('another subject', one, 'subject', csr(key, common_name('valve2'), san)),
            ('the subject in other letters', one, 'subject', csr(key, common_name('VALVE'), san)),
            ('the subject as PrintableString', one, 'subject', csr(key, name((CN, printable('valve'))), san)),
            ('one attribute more', one, 'subject', csr(key, name((CN, utf8('valve')), ('2.5.4.10', utf8('x'))), san)),
            ('no subject', one, 'subject', csr(key, name(), san)),
            ('another name', one, 'alternative names', device_csr(key, 'valve', 'other.example.net')),
            ('the name in other letters', one, 'alternative names', device_csr(key, 'valve', 'VALVE.example.net')),
            ('a name more', one, 'alternative names', device_csr(key, 'valve', DNS % 'valve', 'b.example.net')),
            ('the name left out', one, 'alternative names', csr(key, common_name('valve'))),
            ('one of two left out', two, 'alternative names', device_csr(key, 'valve-2', 'a.example.net')),
            ('one of two replaced', two, 'alternative names', device_csr(key, 'valve-2', 'a.example.net', 'c.example.net')),
            ('a name where there was none', bare, 'alternative names', device_csr(key, 'bare')),
            ("another holder's certificate", two, 'subject', device_csr(key, 'valve'))):
        refused(renew(s, holder, made), what, pattern)
    is_(versions(s, one)[1], 1, 'nothing of that was issued')
    certificate_of(renew(s, two, device_csr(key, 'valve-2', 'b.example.net', 'a.example.net')))
    ok(True, 'the same names in another order: renewed')
    certificate_of(renew(s, bare, csr(key, common_name('bare'))))
    ok(True, 'no names as before: renewed')


class Session:
    """TLS 1.2 connections that take up the first one's session (E-03)."""

    def __init__(self, s, holder):
        self.s, self.context, self.session = s, ssl.create_default_context(cafile=s.bundle), None
        self.context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.context.load_cert_chain(holder.cert, holder.key)

    def renew(self, der):
        """(status, whether the session was resumed)"""
        body = base64.b64encode(der)
        with socket.create_connection(('localhost', self.s.https_port), 10) as plain:
            with self.context.wrap_socket(plain, server_hostname='localhost', session=self.session) as link:
                link.sendall(b'POST /.well-known/est/simplereenroll HTTP/1.1\r\nHost: localhost\r\nContent-Type: '
                             b'application/pkcs10\r\nContent-Length: %d\r\n\r\n%s' % (len(body), body))
                answer = http.client.HTTPResponse(link)
                answer.begin()
                self.session = self.session or link.session
                return answer.status, link.session_reused


def standing(s, wire):
    """RE-04: revoked, on hold."""
    lost = enrol(s, wire, 'lost')
    kept, session = Wire(s, cert=lost), Session(s, lost)
    certificate_of(kept.est(device_csr(p256(), 'lost'), operation='simplereenroll', auth={}))
    is_(session.renew(device_csr(p256(), 'lost')), (200, False), 'a certificate renews')
    is_(session.renew(device_csr(p256(), 'lost')), (200, True), 'in a resumed session, too')
    is_(s.revoke(lost).status, 200, 'it is revoked')
    refused(kept.est(device_csr(p256(), 'lost'), operation='simplereenroll', auth={}), 'the open connection renews', 'revoked')
    is_(kept.opened, 1, '(which was open all the time)')
    is_(session.renew(device_csr(p256(), 'lost')), (403, True), 'the resumed session renews: 403')
    refused(renew(s, lost, device_csr(p256(), 'lost')), 'it renews', 'revoked')
    refused(renew(s, lost, device_csr(p256(), 'lost'), operation='simpleenroll'), 'or enrols', 'revoked')
    held = enrol(s, wire, 'held')
    is_(s.revoke(held, 'certificateHold').status, 200, 'another one is on hold')
    refused(renew(s, held, device_csr(p256(), 'held')), 'it renews', 'on hold')
    managed = versions(s, held)[0]
    is_(s.api('POST', '/api/v1/certificates/%s/release' % managed, {}).status, 200, 'and is released')
    certificate_of(renew(s, held, device_csr(p256(), 'held')))
    ok(True, 'then it renews')


def superseded(s, wire):
    """RE-04: a label without grace."""
    user = make(s, '/api/v1/est/labels/est-strict/credentials', {'user_name': 'strict'})
    first = enrol(s, wire, 'meter', label='strict', auth=s.basic('strict', user['password']))
    key = new_key()
    again = device_csr(key, 'meter')
    answer = renew(s, first, again, label='strict')
    second = keep(s, 'meter-2', key, certificate_of(answer))
    retried = renew(s, first, again, label='strict')
    is_(retried.body, answer.body, 'the very same request again gets the very same certificate')
    time.sleep(1.1)
    refused(renew(s, first, device_csr(p256(), 'meter'), label='strict'), 'a superseded certificate renews', 'supersed|renewed|replaced')
    certificate_of(renew(s, second, device_csr(p256(), 'meter'), label='strict'))
    ok(True, 'its successor renews')


def other_authorities(s, wire):
    """RE-01, EN-04: trust is per label."""
    maker, stranger = s.maker, Authority('Stranger')
    ours = load(s.issuer)
    twin = Authority(ours.subject)
    near = enrol(s, wire, 'near')
    password = make(s, '/api/v1/est/labels/est-second/credentials', {'user_name': 'second'})['password']
    far = enrol(s, wire, 'far', label='second', auth=s.basic('second', password))
    made = device_csr(p256(), 'far')
    refused(renew(s, far, made), "a certificate of another CA of ours", 'certificate')
    refused(renew(s, near, device_csr(p256(), 'near'), label='second'), 'and the other way round', 'certificate')
    certificate_of(renew(s, far, made, label='second'))
    ok(True, 'at its own label it renews')
    for what, authority in (('a CA that nobody knows', stranger), ("a CA with our CA's name", twin),
                            ('a manufacturer', maker)):
        holder = authority.issue(s, 'alien')
        refused(renew(s, holder, device_csr(p256(), 'alien')), 'a certificate of %s renews' % what, 'certificate')
        refused(renew(s, holder, device_csr(p256(), 'alien'), operation='simpleenroll'),
                'or enrols where it is not trusted', '.', 401)
    behind = Authority.with_key_of(s, s.issuer_id + '-ca', ours).issue(s, 'behind')
    for operation in ('simplereenroll', 'simpleenroll'):
        refused(renew(s, behind, device_csr(p256(), 'behind'), operation=operation),
                'a certificate that our key signed behind our back: %s' % operation, 'not one on record')
    device = maker.issue(s, 'factory')
    made = device_csr(p256(), 'factory')
    fresh = certificate_of(renew(s, device, made, label='factory', operation='simpleenroll'))
    is_(fresh.issuer.public_bytes(), ours.subject.public_bytes(), "a manufacturer's certificate enrols where it is trusted")
    refused(renew(s, device, made, label='factory'), 'but does not renew there', "not issued by this label's CA")
    refused(renew(s, device, made, label='certs', operation='simpleenroll'), 'nor enrol at another label', 'certificate')
    for what, more in (('one for serverAuth only', {'eku': SERVER_AUTH}),
                       ('one that has expired', {'days': -1, 'start': -10}), ('one that is not yet valid', {'start': 5})):
        holder = maker.issue(s, 'odd', **more)
        refused(renew(s, holder, device_csr(p256(), 'odd'), label='factory', operation='simpleenroll'),
                "%s of the manufacturer's" % what, 'certificate')
    refused(renew(s, keep(s, 'anchor', maker.key, maker.cert), made, label='factory', operation='simpleenroll'),
            "the manufacturer's own", 'certificate')
    refused(wire.est(made, operation='simplereenroll', auth={}), 'no certificate renews', 'certificate')
    refused(wire.est(made, operation='simplereenroll'), 'a password renews', 'certificate')


def idempotent(s, wire):
    """The same request by the same identity is one certificate, however often and however fast it comes."""
    key = p256()
    made = device_csr(key, 'twice')
    first = wire.est(made)
    is_(wire.est(made).body, first.body, 'asked twice: the same certificate')
    is_(Wire(s).est(made, label='devices').body, first.body, 'on another connection, by the name of the label, too')
    holder = keep(s, 'twice', key, certificate_of(first))
    for operation, made in (('simpleenroll', device_csr(p256(), 'parallel')), ('simplereenroll', device_csr(p256(), 'twice'))):
        wires = [Wire(s, cert=holder if operation == 'simplereenroll' else None) for _ in range(8)]
        answers, gate = [None] * len(wires), threading.Barrier(len(wires))

        def ask(at):
            gate.wait()
            answers[at] = wires[at].est(made, operation=operation, auth={} if operation == 'simplereenroll' else None)

        threads = [threading.Thread(target=ask, args=(at,)) for at in range(len(wires))]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        is_([each.status for each in answers], [200] * 8, '%s eight times at once: all are answered' % operation)
        is_(len({each.body for each in answers}), 1, 'with one certificate')
        found = keep(s, 'same', p256(), certificate_of(answers[0]))
        is_(versions(s, found)[1], 1 if operation == 'simpleenroll' else 2, 'which is on record once')


def elsewhere(s):
    """Other hosts know what a host was asked for, also those that were started later."""
    made = [device_csr(p256(), 'host-%d' % n) for n in range(2)]
    first = Wire(s).est(made[0])
    with Second(s) as other:
        is_(Wire(other).est(made[0]).body, first.body, 'asked again at a host that was not there before: the same certificate')
        second = Wire(other).est(made[1])
        time.sleep(1)
        is_(Wire(s).est(made[1]).body, second.body, 'asked again at the first host')
    is_(s.psql('SELECT count(*) FROM certificate_version WHERE orphan'), '0', 'nothing was signed in vain')


with Stack() as s:
    s.maker = Authority('Manufacturer')
    common = {'issuer_id': s.issuer_id, 'profile_id': 'prof-device'}
    make(s, '/api/v1/issuers', {'id': 'iss-second', 'name': 'second', 'config': {'subject': 'CN=Second CA'}})
    make(s, '/api/v1/profiles', {'id': 'prof-brief', 'name': 'brief', 'key_kinds': ['p-256'], 'validity_s': 60,
                                 'eku': ['clientAuth'], 'name_kinds': ['dns']})
    for label in ({'id': 'est-strict', 'name': 'strict', 'superseded_grace_s': 0},
                  {'id': 'est-factory', 'name': 'factory', 'auth_basic': False, 'trust_pem': pem(s.maker.cert)},
                  {'id': 'est-certs', 'name': 'certs', 'auth_basic': False},
                  {'id': 'est-brief', 'name': 'brief', 'profile_id': 'prof-brief'},
                  {'id': 'est-second', 'name': 'second', 'issuer_id': 'iss-second'}):
        make(s, '/api/v1/est/labels', {**common, **label})
    wire = Wire(s)
    made = make(s, '/api/v1/est/labels/est-brief/credentials', {'user_name': 'brief'})
    brief = enrol(s, wire, 'brief', label='brief', auth=s.basic('brief', made['password']))
    certificate_of(renew(s, brief, device_csr(p256(), 'brief'), label='brief'))
    ok(True, 'a certificate of a minute renews within it')

    same_identity(s, wire)
    other_names(s, wire)
    standing(s, wire)
    superseded(s, wire)
    other_authorities(s, wire)
    idempotent(s, wire)
    elsewhere(s)

    # What was issued first has had its minute by now, or soon.
    end = load(brief.cert).not_valid_after
    wait_for('the end of a certificate', lambda: datetime.datetime.utcnow() > end + datetime.timedelta(seconds=1), 90 / SLOW)
    refused(renew(s, brief, device_csr(p256(), 'brief'), label='brief'), 'an expired certificate renews', 'expired')
done()
