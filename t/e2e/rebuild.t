#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
The edge is a cache: whatever is deleted or damaged of it comes back from PostgreSQL with the same answers, and no
wrong answer is given on the way.
"""

import base64
import glob
import os
import random
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, diag, done, is_, ok, wait_for  # noqa: E402
from load import (BROKEN, GOOD, REVOKED, Book, Crowd, Device, Issuer, Member, Operator, pkcs7_first,  # noqa: E402
                  requests_make, state_of)
from cryptography import x509  # noqa: E402
from cryptography.x509 import ocsp  # noqa: E402

BASIC = {'Content-Type': 'application/pkcs10'}
PAGE = 4096
POOL = 400  # certificates to revoke meanwhile


def enrol(s, body, **more):
    return s.http('POST', '/.well-known/est/simpleenroll', body, {**BASIC, **s.basic(**more)}, tls=True)


def act(s, serial, action, body):
    found = s.api('GET', '/api/v1/certificates?serial=%x' % serial).json['data'][0]['id']
    answer = s.api('POST', '/api/v1/certificates/%s/%s' % (found, action), body)
    if answer.status != 200:
        raise RuntimeError('%s: %r' % (action, answer))


class Town:
    """A certificate in every state, and what the edge says about each."""

    def __init__(self, s):
        self.s, self.issuer = s, Issuer(s.issuer)
        names = ('good', 'revoked', 'dated', 'hold', 'released')
        self.requests = dict(zip(names, requests_make(len(names), 'town')))
        self.serial = {name: x509.load_der_x509_certificate(pkcs7_first(enrol(s, body).body)).serial_number
                       for name, body in self.requests.items()}
        self.serial['unknown'] = 0x4f << 120 | random.getrandbits(120)
        act(s, self.serial['revoked'], 'revoke', {'reason': 'keyCompromise'})
        act(s, self.serial['dated'], 'revoke', {'reason': 'superseded', 'invalidity_date': '2024-02-29T12:00:00Z'})
        act(s, self.serial['hold'], 'revoke', {'reason': 'certificateHold'})
        act(s, self.serial['released'], 'revoke', {'reason': 'certificateHold'})
        act(s, self.serial['released'], 'release', {})

    def status(self, name, ask=None):
        serial = self.serial[name]
        answer = (ask or self.s.http)('POST', '/ocsp/' + self.s.issuer_id, self.issuer.request(serial),
                                      {'Content-Type': 'application/ocsp-request'})
        if answer.status != 200:
            return 'HTTP %d' % answer.status
        response = ocsp.load_der_ocsp_response(answer.body)
        if response.response_status != ocsp.OCSPResponseStatus.SUCCESSFUL:
            return response.response_status.name
        single = self.issuer.read(answer.body, serial)
        return state_of(single), single.revocation_time, single.revocation_reason

    def statuses(self):
        return {name: self.status(name) for name in self.serial}

    def crl(self):
        """Its number and its entries, or None."""
        answer = self.s.http('GET', '/crl/%s.crl' % self.s.issuer_id)
        if answer.status != 200:
            return None
        found = x509.load_der_x509_crl(answer.body)
        if not found.is_signature_valid(self.issuer.certificate.public_key()):
            raise RuntimeError('the CRL is not signed by the issuer')
        entries = {each.serial_number: (each.revocation_date, sorted(ext.value.public_bytes() for ext in each.extensions))
                   for each in found if each.serial_number in self.serial.values()}
        return found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number, entries

    def cacerts(self):
        answer = self.s.http('GET', '/.well-known/est/cacerts', tls=True)
        return answer.status, base64.b64decode(answer.body) if answer.status == 200 else answer.body

    def credentials(self):
        """The right password gets the certificate that it got before; a wrong one gets nothing."""
        again = enrol(self.s, self.requests['good'])
        serial = x509.load_der_x509_certificate(pkcs7_first(again.body)).serial_number if again.status == 200 else again
        return serial, enrol(self.s, self.requests['good'], password='wrong').status

    def all(self):
        try:
            return {'OCSP': self.statuses(), 'CRL': self.crl(), 'cacerts': self.cacerts(), 'EST': self.credentials()}
        except BROKEN as problem:
            return {'nobody': repr(problem)}


class Watcher(Member):
    """Asks all the time.  No answer and 'try later' are right while things are broken; another answer never is."""

    pause = 0.01

    def __init__(self, s, town):
        super().__init__(s, None)
        self.town, self.right = town, town.statuses()

    def turn(self):
        name = self.chance.choice(list(self.right))
        try:
            said = self.town.status(name, self.client.ask)
        except BROKEN:
            return time.sleep(0.05)
        self.answers += 1
        if said not in (self.right[name], 'TRY_LATER'):
            self.fault('%s is %r, but the answer says %r' % (name, self.right[name], said))
        return None


def same(town, before, name, newer_list=False):
    """The answers come to be what they were; the CRL may be a newer one with the same entries."""
    least = before['CRL'][0] + (1 if newer_list else 0)

    def look():
        now = town.all()
        now['CRL'] = now.get('CRL') or (0, None)
        return {**now, 'CRL': (now['CRL'][0] >= least, now['CRL'][1])}

    wanted = {**before, 'CRL': (True, before['CRL'][1])}
    wait_for('the same answers', lambda: look() == wanted, 30)
    now = look()
    ok(now == wanted, name, '\n'.join('%s: %r\n  was %r' % (key, now.get(key), value) for key, value in wanted.items()
                                      if now.get(key) != value))


def rebuilds(s):
    return s.log().count('"edge.rebuilt"')


def spoil(s, town, before, name, harm):
    """Kill the daemon, do harm to the edge, let the daemon start again.  The workers go on with what they have open."""
    s.hold('chanceryd')
    count = rebuilds(s)
    harm()
    s.free('chanceryd')
    ok(wait_for('a rebuild', lambda: rebuilds(s) > count, 30), '%s: the store is rebuilt' % name)
    s.wait_ready()
    same(town, before, '%s: the same answers' % name)


def damage(s, town, before, name, harm):
    """
    What a disk does while nothing runs.  (LMDB has no checksums: octets that change under a worker that has them
    mapped may be taken for anything, and the file is not for anybody else to write.)
    """
    s.hold('chanceryd')
    s.hold('nginx')
    wait_for('the end of the workers', lambda: not answers(s))
    count = rebuilds(s)
    harm()
    s.free('chanceryd')
    ok(wait_for('a rebuild', lambda: rebuilds(s) > count, 30), '%s: the store is rebuilt' % name)
    s.free('nginx')
    s.wait_ready()
    same(town, before, '%s: the same answers' % name)


def answers(s):
    try:
        s.http('GET', '/health')
        return True
    except BROKEN:
        return False


def overwrite(path, start, end=None):
    size = os.path.getsize(path)
    with open(path, 'r+b') as file:
        file.seek(start)
        file.write(random.randbytes((size if end is None else end) - start))


def set_mark(s, text):
    with open(s.path('edge/store/mark'), 'w') as file:
        file.write(text)


def spoil_store(s, town, before):
    data = s.path('edge/store/data.mdb')
    spoil(s, town, before, 'a deleted store', lambda: shutil.rmtree(s.path('edge/store')))
    damage(s, town, before, 'random octets instead of a store', lambda: overwrite(data, 0))
    damage(s, town, before, 'random octets behind the first two pages', lambda: overwrite(data, 2 * PAGE))
    damage(s, town, before, 'a store cut in the middle',
           lambda: os.truncate(data, os.path.getsize(data) // PAGE // 2 * PAGE))
    damage(s, town, before, 'an empty store', lambda: os.truncate(data, 0))
    spoil(s, town, before, 'a store of another boot', lambda: set_mark(s, 'c0ffee' * 5 + '00'))


def spoil_files(s, town, before):
    for path in glob.glob(s.path('edge/responder/*')):
        os.unlink(path)
    s.kill('master')
    s.wait_ready()
    same(town, before, 'lost responder keys: the same answers')
    ok(wait_for('a key', lambda: glob.glob(s.path('edge/responder/*.key')), 20), 'with a new key')

    for path in glob.glob(s.path('edge/crl/*')):
        os.unlink(path)
    s.kill('master')
    s.wait_ready()
    same(town, before, 'lost CRL files: a new CRL with the same entries', newer_list=True)


def revoking(s):
    """Operators who revoke certificates while the store is lost again and again."""
    book = Book()
    devices = Crowd([Device(s, book, list(enumerate(requests_make(POOL // 2, 'pool-%d' % n), n * POOL)), n, 0)
                     for n in range(2)])
    wait_for('certificates to revoke', lambda: devices.total(Device, 'done') == POOL, 60)
    devices.stop()
    return Crowd([Operator(s, book, n, 0.0) for n in range(2)])


def main():
    with Stack(workers=2) as s:
        town = Town(s)
        said = town.statuses()
        is_({name: each if isinstance(each, str) else each[0] for name, each in said.items()},
            {'good': GOOD, 'revoked': REVOKED, 'dated': REVOKED, 'hold': REVOKED, 'released': GOOD, 'unknown': 'UNAUTHORIZED'},
            'a certificate in every state')
        is_([said[name][2] for name in ('revoked', 'dated', 'hold')],
            [x509.ReasonFlags.key_compromise, x509.ReasonFlags.superseded, x509.ReasonFlags.certificate_hold],
            'with the reasons')
        want = {town.serial[name] for name in ('revoked', 'dated', 'hold')}
        ok(wait_for('the CRL', lambda: want == set((town.crl() or (0, ()))[1])), 'and a CRL that lists them')
        before = town.all()
        is_(before['EST'], (town.serial['good'], 401), 'a repeated enrolment gets the same, a wrong password nothing')
        watcher = Watcher(s, town)
        watcher.start()
        operators = revoking(s)

        spoil_store(s, town, before)
        operators.stop()
        faults = operators.faults()
        ok(not faults and operators.total(Operator, 'answers') > 5,
           'what was revoked meanwhile was revoked for every worker at once', '\n'.join(faults[:5]))
        diag('%d revocations' % operators.total(Operator, 'answers'))
        spoil_files(s, town, before)

        shutil.rmtree(s.path('edge/store'))
        s.kill_all()
        s.start()
        same(town, before, 'a store deleted under running processes, and all of them killed: the same answers')

        s.stop()
        shutil.rmtree(s.path('edge'))
        s.start()
        same(town, before, 'a clean end, all of the edge deleted, and a start: the same answers')

        watcher.ending.set()
        watcher.join(30)
        ok(watcher.answers > 20 and not watcher.faults, 'nobody was given a wrong answer meanwhile', '\n'.join(watcher.faults[:5]))
        diag('%d answers' % watcher.answers)
    done()


main()
