# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
Devices, relying parties and an operator, each a thread with connections of its own, who go on while things break.

    book = Book()
    crowd = Crowd([Device(s, book, requests) ...] + [RelyingParty(s, book) ...])
    ...
    crowd.stop()

The book knows which certificates were handed out and what is known of each; the crowd's members write down what
they got that they should not have got.
"""

import base64
import hashlib
import http.client
import json
import random
import ssl
import threading
import time
import warnings

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs7
from cryptography.x509 import ocsp

from chancery import BUILD, SLOW, Answer, program

warnings.filterwarnings('ignore')  # versions of cryptography differ in what they call deprecated

BROKEN = (OSError, http.client.HTTPException)
GOOD, CHANGING, REVOKED = 'good', 'changing', 'revoked'


def requests_make(count, prefix):
    """Different P-256 certificate requests, base64 of DER."""
    return program([BUILD + '/t/bench/csr_make', str(count), prefix], timeout=120).raw.split()


# ---- OCSP ------------------------------------------------------------------------------------------------------


def tlv(tag, *parts):
    """DER."""
    body = b''.join(parts)
    size = bytes([len(body)]) if len(body) < 128 else bytes([0x81, len(body)]) if len(body) < 256 else \
        b'\x82' + len(body).to_bytes(2, 'big')
    return bytes([tag]) + size + body


class Issuer:
    """The CA that answers are about: requests for its serials, and what an answer has to be."""

    SHA1 = tlv(0x30, bytes.fromhex('06052b0e03021a'), b'\x05\x00')

    def __init__(self, path):
        with open(path, 'rb') as file:
            self.certificate = x509.load_pem_x509_certificate(file.read())
        name = self.certificate.subject.public_bytes()
        key = self.certificate.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.hashes = tlv(0x04, hashlib.sha1(name).digest()) + tlv(0x04, hashlib.sha1(key).digest())

    def request(self, serial):
        """Without extensions: RFC 6960 4.1.1."""
        number = tlv(0x02, serial.to_bytes(serial.bit_length() // 8 + 1, 'big'))
        return tlv(0x30, tlv(0x30, tlv(0x30, tlv(0x30, tlv(0x30, self.SHA1, self.hashes, number)))))

    def read(self, body, serial):
        """The single answer, or an exception: everything about it is checked but the status."""
        answer = ocsp.load_der_ocsp_response(body)
        if answer.response_status != ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise ValueError('status of the response: %s' % answer.response_status)
        if answer.serial_number != serial:
            raise ValueError('the answer is about another certificate')
        responder = answer.certificates[0]
        responder.public_key().verify(answer.signature, answer.tbs_response_bytes, ec.ECDSA(answer.signature_hash_algorithm))
        self.certificate.public_key().verify(responder.signature, responder.tbs_certificate_bytes,
                                             ec.ECDSA(responder.signature_hash_algorithm))
        return answer


def is_try_later(body):
    return ocsp.load_der_ocsp_response(body).response_status == ocsp.OCSPResponseStatus.TRY_LATER


def state_of(answer):
    return {ocsp.OCSPCertStatus.GOOD: GOOD, ocsp.OCSPCertStatus.REVOKED: REVOKED}.get(answer.certificate_status, 'unknown')


# ---- what is known ---------------------------------------------------------------------------------------------


class Book:
    """What was handed out.  All by serial, as a number."""

    def __init__(self):
        self.lock = threading.Lock()
        self.state = {}     # serial: GOOD, CHANGING (asked for, not known), REVOKED (acknowledged)
        self.der = {}       # serial: certificate
        self.requests = {}  # number of the request: [certificates]
        self.serials = []   # in the order of their coming

    def issued(self, number, der):
        serial = x509.load_der_x509_certificate(der).serial_number
        with self.lock:
            known = self.requests.setdefault(number, [])
            if der not in known:
                known.append(der)
            if serial not in self.state:
                self.state[serial] = GOOD
                self.der[serial] = der
                self.serials.append(serial)
        return serial

    def mark(self, serial, state):
        with self.lock:
            self.state[serial] = state

    def of(self, state):
        with self.lock:
            return [serial for serial, its in self.state.items() if its == state]

    def pick(self, chance):
        """A serial, or None when there is none."""
        with self.lock:
            return chance.choice(self.serials) if self.serials else None

    def take(self, chance):
        """A good one, for somebody who will change that."""
        with self.lock:
            for _ in range(20):
                serial = chance.choice(self.serials) if self.serials else None
                if serial is not None and self.state[serial] == GOOD:
                    self.state[serial] = CHANGING
                    return serial
            return None


# ---- people ----------------------------------------------------------------------------------------------------


class Client:
    """One connection that is kept alive, over TLS or not; made again when it broke."""

    def __init__(self, stack, tls=False, timeout=15):
        if tls:
            context = ssl.create_default_context(cafile=stack.bundle)
            self.connection = http.client.HTTPSConnection('localhost', stack.https_port, timeout=timeout * SLOW,
                                                          context=context)
        else:
            self.connection = http.client.HTTPConnection('localhost', stack.http_port, timeout=timeout * SLOW)

    def ask(self, method, path, body=None, headers=None):
        try:
            self.connection.request(method, path, body, headers or {})
            answer = self.connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        except BROKEN:
            self.connection.close()
            raise


class Member(threading.Thread):
    """Repeats turn() until the crowd stops.  faults: what it may not see; broken: connections that broke."""

    tls, pause = False, 0.0

    def __init__(self, stack, book, seed=0):
        super().__init__(daemon=True)
        self.stack, self.book = stack, book
        self.chance = random.Random(seed)
        self.client = Client(stack, self.tls)
        self.ending = threading.Event()
        self.faults, self.breaks, self.answers, self.broken, self.slowest = [], [], 0, 0, 0.0

    def run(self):
        try:
            while not self.ending.is_set():
                self.turn()
                self.ending.wait(self.pause)
        except Exception as problem:  # whatever it is, the test has to know
            self.faults.append('%s: %r' % (type(self).__name__, problem))
            raise

    def fault(self, text):
        self.faults.append('%.3f %s: %s' % (time.time(), type(self).__name__, text))

    def ask_surely(self, *words):
        """A connection that breaks may be tried again once, at once: None when that fails, too."""
        started = time.monotonic()
        for last in (False, True):
            try:
                answer = self.client.ask(*words)
                self.answers += 1
                self.slowest = max(self.slowest, time.monotonic() - started)
                return answer
            except BROKEN as problem:
                self.broken += 1
                self.breaks.append('%.3f %r' % (time.time(), problem))
                if last:
                    self.fault('no answer from a new connection either: %r' % problem)
        return None


class RelyingParty(Member):
    """OCSP for certificates at random; the answer has to be what the book says before and after."""

    pause = 0.003

    def __init__(self, stack, book, seed):
        super().__init__(stack, book, seed)
        self.issuer = Issuer(stack.issuer)
        self.path = '/ocsp/' + stack.issuer_id

    def turn(self):
        serial = self.book.pick(self.chance)
        if serial is None:
            return time.sleep(0.02)
        before = self.book.state[serial]
        answer = self.ask_surely('POST', self.path, self.issuer.request(serial), {'Content-Type': 'application/ocsp-request'})
        after = self.book.state[serial]
        if answer is None:
            return None
        if answer.status != 200:
            return self.fault('HTTP status %d' % answer.status)
        try:
            said = state_of(self.issuer.read(answer.body, serial))
        except Exception as problem:
            return self.fault('a bad answer: %r' % problem)
        if before == after and before != CHANGING and said != before:
            self.fault('%x is %s, but the answer says %s' % (serial, before, said))
        return None


class ListReader(Member):
    """Fetches the CRL; its number never goes back."""

    pause = 0.05

    def __init__(self, stack, book, seed):
        super().__init__(stack, book, seed)
        self.issuer = Issuer(stack.issuer)
        self.path = '/crl/%s.crl' % stack.issuer_id
        self.number = 0

    def turn(self):
        answer = self.ask_surely('GET', self.path)
        if answer is None:
            return None
        if answer.status != 200:
            return self.fault('HTTP status %d' % answer.status)
        try:
            found = x509.load_der_x509_crl(answer.body)
            number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            good = found.is_signature_valid(self.issuer.certificate.public_key())
        except ValueError as problem:
            return self.fault('no CRL: %r' % problem)
        if not good or number < self.number:
            self.fault('signature %s, number %d after %d' % ('good' if good else 'bad', number, self.number))
        self.number = number
        return None


class Device(Member):
    """
    Enrols again and again, each time with a new request, which it repeats until it has its certificate.  Sometimes it
    asks again with a request that was served: it must get the same.
    """

    tls, pause = True, 0.02

    def __init__(self, stack, book, requests, seed, again=0.1):
        super().__init__(stack, book, seed)
        self.requests, self.again = requests, again
        self.headers = {'Content-Type': 'application/pkcs10', **stack.basic()}
        self.done, self.refused, self.slowest_refusal, self.waiting_for = 0, 0, 0.0, None

    def turn(self):
        with self.book.lock:
            if not self.requests:
                self.fault('all requests are used: the test needs more of them')
                return time.sleep(1)
            number, body = self.requests.pop()
        self.waiting_for = number
        serial = self.insist(number, body)
        self.waiting_for = None
        if serial is not None and self.chance.random() < self.again and self.book.state[serial] == GOOD:
            self.once(number, body, serial)
        return None

    def insist(self, number, body):
        limit = None
        while limit is None or time.monotonic() < limit:
            serial = self.once(number, body)
            if serial is not None:
                self.done += 1
                return serial
            if self.ending.is_set() and limit is None:
                limit = time.monotonic() + 30 * SLOW
        self.fault('no certificate for request %d' % number)
        return None

    def once(self, number, body, serial=None):
        started = time.monotonic()
        try:
            answer = self.client.ask('POST', '/.well-known/est/simpleenroll', body, self.headers)
        except BROKEN:
            self.broken += 1
            time.sleep(0.05)
            return None
        if answer.status == 200:
            return self.book.issued(number, pkcs7_first(answer.body))
        if answer.status in (502, 503, 504):
            self.refused += 1
            self.slowest_refusal = max(self.slowest_refusal, time.monotonic() - started)
            if answer.status != 503 or not answer.headers.get('Retry-After', '').isdigit():
                self.fault('status %d, Retry-After %r' % (answer.status, answer.headers.get('Retry-After')))
            time.sleep(0.2)
        elif not (answer.status == 403 and serial is not None and self.book.state[serial] != GOOD):
            self.fault('enrolment: %r' % answer)
            time.sleep(0.2)
        return None


def pkcs7_first(body):
    return pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))[0].public_bytes(Encoding.DER)


class Operator(Member):
    """
    Revokes certificates at random until that is acknowledged: from then on no worker says good.  A repeated call that
    finds the certificate revoked is an acknowledgement of the database, so that the edge may need a moment.
    """

    tls, pause = True, 0.05

    def __init__(self, stack, book, seed, every=0.1):
        super().__init__(stack, book, seed)
        self.every = every
        self.headers = {'Authorization': 'Bearer ' + stack.env['CHANCERY_API_KEY'], 'Content-Type': 'application/json'}
        self.issuer, self.path = Issuer(stack.issuer), '/ocsp/' + stack.issuer_id
        self.relying = Client(stack)
        self.refused, self.repeated = 0, 0

    def call(self, method, path, body=None):
        """Until there is an answer that is not 503; (answer, whether it was asked more than once)"""
        again = False
        limit = time.monotonic() + 60 * SLOW
        while time.monotonic() < limit:
            try:
                answer = self.client.ask(method, path, json.dumps(body) if body else None, self.headers)
                if answer.status != 503:
                    return answer, again
                self.refused += 1
                if 'json' not in answer.headers.get('Content-Type', ''):
                    self.fault('503 without JSON: %r' % answer)
            except BROKEN:
                self.broken += 1
            again = True
            time.sleep(0.1)
        raise RuntimeError('the API did not come back')

    def turn(self):
        serial = self.book.take(self.chance)
        if serial is None:
            return time.sleep(0.05)
        found, _ = self.call('GET', '/api/v1/certificates?serial=%x' % serial)
        if found.status != 200 or len(found.json['data']) != 1:
            return self.fault('a certificate that was handed out is not found by its serial: %r' % found)
        answer, again = self.call('POST', '/api/v1/certificates/%s/revoke' % found.json['data'][0]['id'],
                                  {'reason': 'keyCompromise'})
        if answer.status == 409 and again:
            self.repeated += 1
            limit = time.monotonic() + 30 * SLOW
            while self.status(serial) != REVOKED:
                if time.monotonic() > limit:
                    return self.fault('%x is revoked, but OCSP does not get to know it' % serial)
                time.sleep(0.05)
        elif answer.status != 200:
            return self.fault('revocation: %r' % answer)
        elif self.status(serial) != REVOKED:
            self.fault('%x: OCSP does not say revoked right after the answer of the API' % serial)
        self.book.mark(serial, REVOKED)
        self.answers += 1
        self.ending.wait(self.every)
        return None

    def status(self, serial):
        limit = time.monotonic() + 20 * SLOW
        while time.monotonic() < limit:
            try:
                answer = self.relying.ask('POST', self.path, self.issuer.request(serial),
                                          {'Content-Type': 'application/ocsp-request'})
                if not is_try_later(answer.body):
                    return state_of(self.issuer.read(answer.body, serial))
            except BROKEN:
                pass
            time.sleep(0.02)
        return 'no answer'


class Crowd:
    def __init__(self, members):
        self.members = members
        for each in members:
            each.start()

    def of(self, kind):
        return [each for each in self.members if isinstance(each, kind)]

    def total(self, kind, what):
        return sum(getattr(each, what) for each in self.of(kind))

    def faults(self, kind=Member):
        return [text for each in self.of(kind) for text in each.faults]

    def stop(self, kind=Member):
        for each in self.of(kind):
            each.ending.set()
        for each in self.of(kind):
            each.join(120 * SLOW)
            if each.is_alive():
                each.fault('did not come to an end')
