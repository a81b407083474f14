#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""The ids of OCSP's checklist that are about more than nginx: responders and statuses as the daemon makes them."""

import hashlib
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, ok, subtest, wait_for  # noqa: E402

from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives.serialization import Encoding  # noqa: E402
import der  # noqa: E402
from ocsp_wire import (CERT_HASH, HASHES, NONCE, TYPE, UNAUTHORIZED, Response, cert_id, issued_by, load,  # noqa: E402
                       nonce, preferred, request)

NOCHECK = '1.3.6.1.5.5.7.48.1.5'
HOLD, KEY_COMPROMISE, CA_COMPROMISE = 6, 1, 2
SETTINGS = {'ocsp_keys': ['p-256', 'rsa-2048', 'ed25519'], 'ocsp_cert_hash': True, 'inherit_ca_revocation': True}
WISHES = ('p256-sha256', 'rsa-sha256', 'ed25519')


class Asker:
    def __init__(self, s):
        self.s, self.ca = s, load(s.issuer)

    def raw(self, body):
        answer = self.s.http('POST', '/ocsp/' + self.s.issuer_id, body, {'Content-Type': 'application/ocsp-request'})
        if (answer.status, answer.headers['Content-Type']) != (200, TYPE):
            raise RuntimeError(repr(answer))
        return answer.body

    def ask(self, cert, ca=None, **more):
        """The Response for a certificate: a Holder, or one of the cryptography package."""
        cert = cert if isinstance(cert, x509.Certificate) else load(cert.cert)
        return Response(self.raw(request(cert_id(ca or self.ca, cert.serial_number), **more)))

    def recorded(self, holder):
        """(time, reason) as they are in PostgreSQL, and the state."""
        row = self.s.psql("SELECT extract(epoch FROM revoked_at), reason, state FROM revocation WHERE serial = '\\x%s'" %
                          holder.serial.lower()).split('|')
        return int(float(row[0])), int(row[1]), row[2]


def settings(s, **more):
    answer = s.api('PUT', '/api/v1/issuers/%s/revocation' % s.issuer_id, dict(SETTINGS, **more))
    if answer.status != 200:
        raise RuntimeError(repr(answer))


def o14(s, a):
    holder = s.enrol('o14')
    for wish in WISHES:
        answer = wait_for(wish, lambda: (lambda got: got if got.algorithm_name == wish else None)(
            a.ask(holder, request=[preferred(wish)])), 20)
        ok(answer and answer.verifies(a.ca), '%s is preferred, and signs' % wish)
    is_(a.ask(holder).algorithm_name, 'p256-sha256', 'who has no preference gets the first kind of the settings')


def o23(s, a):
    """After a re-key old certificates are answered by an old-key delegate, new ones by a new-key one."""
    old = s.enrol('o23-old')
    answer = s.api('POST', '/api/v1/issuers/%s/rekey' % s.issuer_id, {})
    is_(answer.status, 200, 'a re-key')
    text = s.api('GET', '/api/v1/issuers/%s/chain?generation=2' % s.issuer_id).text
    ca2 = x509.load_pem_x509_certificate(text.encode())
    new = s.enrol('o23-new')
    ok(ca2.subject == a.ca.subject and ca2.public_key() != a.ca.public_key(), 'the same name, another key')
    first, second = a.ask(old), a.ask(new, ca2)
    is_((first.words, second.words), (['good'], ['good']), 'both are good')
    ok(first.verifies(a.ca) and not first.verifies(ca2), "the old one by a delegate of the old key")
    ok(second.verifies(ca2) and not second.verifies(a.ca), "the new one by a delegate of the new key")
    for answer in (first, second):
        usages = answer.signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        ok(x509.ExtendedKeyUsageOID.OCSP_SIGNING in usages, 'id-kp-OCSPSigning')
    is_(a.raw(request(cert_id(ca2, load(old.cert).serial_number))), UNAUTHORIZED, 'the old serial under the new key: unauthorized')
    is_(a.raw(request(cert_id(a.ca, load(new.cert).serial_number))), UNAUTHORIZED, 'and the other way round')
    return old, new, ca2


def o24(s, a):
    holder = s.enrol('o24')
    for wish in WISHES:
        answer = a.ask(holder, request=[preferred(wish)])
        octets = answer.certs[0]
        is_((answer.algorithm_name, octets.count(der.extension(NOCHECK, der.NULL))), (wish, 1),
            '%s: id-pkix-ocsp-nocheck, NULL, not critical' % wish)
        ok(not answer.signer.extensions.get_extension_for_class(x509.OCSPNoCheck).critical, 'says another reader')
        issued_by(answer.signer, a.ca)
        is_(answer.signer.issuer, a.ca.subject, 'issued by the CA itself')
        is_(len(answer.certs), 1, 'and alone in the answer')
        ok(answer.single.next_update <= answer.signer.not_valid_after.timestamp() - time.timezone, 'which ends before it does')


def o29(s, a):
    for reason, code in (('keyCompromise', 1), ('superseded', 4), ('unspecified', None), ('cessationOfOperation', 5)):
        holder = s.enrol('o29-' + reason)
        is_(s.revoke(holder, reason).status, 200, reason)
        when, number, _ = a.recorded(holder)
        is_((a.ask(holder).single.revoked, number), ((when, code), code or 0), 'revocationTime to the second, the reason as recorded')
        is_(a.ask(holder, request=[nonce(bytes(20))]).single.revoked, (when, code), 'with a nonce, too')


def found(s, holder):
    return s.api('GET', '/api/v1/certificates?serial=' + holder.serial).json['data'][0]['id']


def o30(s, a):
    holder, other = s.enrol('o30'), s.enrol('o30-final')
    before = a.ask(holder)
    is_(before.words, ['good'], 'good')
    for each in (holder, other):
        s.revoke(each, 'certificateHold')
        is_(a.ask(each).single.revoked, (a.recorded(each)[0], HOLD), 'on hold: certificateHold at once')
    held, when = a.ask(holder), a.recorded(other)[0]
    time.sleep(1.1)
    is_(s.api('POST', '/api/v1/certificates/%s/release' % found(s, holder)).status, 200, 'released')
    released = a.ask(holder)
    ok(released.words == ['good'] and released.produced_at > held.produced_at, 'good, and produced later')
    is_(a.ask(holder, request=[nonce(bytes(20))]).words, ['good'], 'with a nonce, too')
    s.revoke(other, 'keyCompromise')
    is_(a.ask(other).single.revoked, (when, KEY_COMPROMISE), 'a hold made final: the new reason, the time of the hold')
    is_(a.recorded(other), (when, KEY_COMPROMISE, 'revoked'), 'as recorded')


def o35(s, a):
    holder = s.enrol('o35')
    wanted = der.seq(der.seq(der.oid(HASHES['sha256'])), der.octets(hashlib.sha256(load(holder.cert).public_bytes(Encoding.DER)).digest()))
    wait_for('its hash', lambda: a.ask(holder).single.extensions, 20)
    is_(a.ask(holder).single.extensions, {der.oid(CERT_HASH): wanted}, 'SHA-256 of the very certificate')


def o38(s, a):
    """What the CA has issued for itself is answered like all else."""
    holder = s.enrol('o38')
    for wish in WISHES:
        signer = a.ask(holder, request=[preferred(wish)]).signer
        answer = a.ask(signer)
        is_(answer.words, ['good'], "the %s responder's own certificate" % wish)
        ok(answer.verifies(a.ca), 'and the answer verifies')


def o31(s, a, old, new, ca2):
    """And O-39: a CA that is revoked, and what it issued."""
    revoked = s.enrol('o31-revoked')  # of the second generation
    s.revoke(revoked, 'superseded')
    own = a.ask(revoked, ca2).single.revoked
    is_(a.ask(old).words, ['good'], 'good before')
    answer = s.api('POST', '/api/v1/issuers/%s/revoke-ca' % s.issuer_id, {'generation': 1, 'reason': 'cACompromise'})
    is_(answer.status, 200, 'the first CA is revoked')
    got = wait_for('its certificates', lambda: (lambda one: one if one.words == ['revoked'] else None)(a.ask(old)), 20)
    recorded = int(float(s.psql('SELECT extract(epoch FROM revoked_at) FROM ca_certificate WHERE generation = 1 AND position = 0')))
    is_(got and got.single.revoked, (recorded, CA_COMPROMISE), 'all that it issued is revoked with it, with a reason')
    is_(a.ask(old, request=[nonce(b'n' * 16)]).extension(NONCE), der.octets(b'n' * 16), 'and its delegate still signs')
    is_((a.ask(new, ca2).words, a.ask(revoked, ca2).single.revoked), (['good'], own), 'the second is another CA')


with Stack() as s:
    settings(s)
    asker = Asker(s)
    for name, check in (('O-14', o14), ('O-24', o24), ('O-29', o29), ('O-30', o30), ('O-35', o35), ('O-38', o38)):
        with subtest(name):
            check(s, asker)
    with subtest('O-23'):
        old, new, ca2 = o23(s, asker)
    with subtest('O-31, O-39'):
        o31(s, asker, old, new, ca2)
done()
