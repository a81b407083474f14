#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
OCSP, id by id of the checklist: what is asked (O-01 to O-14), what is answered (O-20 to O-39), nonces (N-01 to N-06).
nginx serves a store that edge_fill writes; answers are taken apart octet by octet and verified with the openssl
command and the cryptography package.  What needs the daemon is in ocsp_stack.t.
"""

import base64
import datetime
import hashlib
import os
import re
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import done, is_, like, ok, openssl, subtest, unlike, wait_for  # noqa: E402
from edge import Edge  # noqa: E402
from figures import Figures, fetch  # noqa: E402

from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat  # noqa: E402
import der  # noqa: E402
from ocsp_wire import (ACCEPTABLE, BASIC, CERT_HASH, CRL, CUTOFF, EXTENDED, GOOD, HASHES, INTERNAL,  # noqa: E402
                       INVALIDITY, LOCATOR, MALFORMED, NONCE, REASON_CODE, SIG_REQUIRED, SIGNATURES, TRY_LATER, TYPE,
                       UNAUTHORIZED, UNKNOWN, Response, cert_id, expected_tbs, extensions, generalized, load, load_key,
                       nonce, preferred, request, revoked, signed_request)

HOLD, CA_COMPROMISE = 6, 2
DAY = 86400
START = int(time.time())
REVOKED_AT, INVALID_AT = START - 30 * DAY + 7, START - 31 * DAY

# One location for each way to be configured: /o/NAME/{issuer}.
LOCATIONS = {
    'name': 'pki_ocsp_responder_id name;',
    'unknown': 'pki_ocsp_unissued unknown;',
    'extended': 'pki_ocsp_unissued revoked; pki_ocsp_crl_reference http://lists.example/crl/; pki_ocsp_archive_cutoff 400d;',
    'plain': 'pki_ocsp_nonce off;',
    'two': 'pki_ocsp_max_ids 2;',
    'signed': 'pki_ocsp_signed_requests require; pki_ocsp_client_trust @TRUST@;',
    'cutoff': 'pki_ocsp_archive_cutoff 10d;',
    'lists': 'pki_ocsp_crl_reference http://lists.example/crl/;',
    'nohash': 'pki_ocsp_cert_hash off;',
    'dual': 'pki_ocsp_dual_cert_id on;',
    'all': 'pki_ocsp_crl_reference http://lists.example/crl/; pki_ocsp_archive_cutoff 10d; pki_ocsp_responder_id name;',
}

# serial (hexadecimal) of the status records
STATUSES = ['1001,good', '1002,revoked,1', '1003,hold', '1004,revoked', '1005,revoked,4', '00,good', '00ff01,good',
            '40' + '5a' * 19 + ',good', '7fffffffffffffff,good', '0100,good']


class Asker:
    def __init__(self, edge):
        self.edge = edge
        self.ca, self.root = load(edge.pki.path('ca.pem')), load(edge.pki.path('root.pem'))

    def id(self, serial, *args, **more):
        return cert_id(self.ca, serial, *args, **more)

    def raw(self, body, where='', issuer='iss-test'):
        status, headers, body = self.edge.ocsp_post(body, issuer, '/o/%s/' % where if where else '/ocsp/')
        if (status, headers['Content-Type']) != (200, TYPE):
            raise RuntimeError('%d %s %r' % (status, headers['Content-Type'], body))
        return body

    def get(self, der_, where=''):
        path = ('/o/%s/' % where if where else '/ocsp/') + 'iss-test/' + urllib.parse.quote(base64.b64encode(der_).decode(), safe='')
        return self.edge.http('GET', path)

    def ask(self, *ids, where='', issuer='iss-test', **more):
        """The Response to a request for CertIDs, or for serials with SHA-1."""
        ids = [each if isinstance(each, bytes) else self.id(each) for each in ids]
        return Response(self.raw(request(*ids, **more), where, issuer))

    def signatures(self):
        """How many nginx has made so far."""
        return Figures(fetch(self.edge.path('run/nginx-metrics.sock'))[2])('chancery_edge_signatures_total', issuer='iss-test')

    def word(self, serial, where='', **more):
        """good, revoked, unknown, or the five octets."""
        body = self.raw(request(self.id(serial, **more)), where)
        return body if len(body) == 5 else Response(body).single.word


def locations(edge):
    trust = edge.pki.path('trust.pem')

    def extra(text):
        more = ''.join('        location /o/%s/ { pki_ocsp; %s }\n' % (name, each.replace('@TRUST@', trust))
                       for name, each in LOCATIONS.items())
        mark = '        location /ca/'
        assert mark in text
        return text.replace(mark, more + mark, 1)
    return extra


def prepare(edge):
    pki = edge.pki
    for name, kind in (('rsa', 'RSA'), ('ed', 'ED25519')):
        pki.key(name + '-key', kind)
        pki.issue(name, '/CN=Edge Test OCSP ' + name, 'ca', 'ocsp', key=name + '-key')
    pki.issue('ca2', '/CN=Edge Test CA', 'root', 'ca', days=3000)         # the same name, another key
    pki.issue('responder2', '/CN=Edge Test OCSP of CA 2', 'ca2', 'ocsp')
    pki.issue('other', '/CN=Another Test CA', 'root', 'ca', days=3000)
    pki.issue('responder3', '/CN=Edge Test OCSP of another', 'other', 'ocsp')
    pki.issue('asker', '/CN=A client that signs', 'ca', 'client')
    pki.issue('stranger', '/CN=A client of another CA', 'other', 'client')
    pki.join('chain2.pem', 'ca2', 'root')
    pki.join('chain3.pem', 'other', 'root')
    pki.issue('pinned', '/CN=A client that is trusted by itself', 'other', 'client')
    pki.join('trust.pem', 'ca', 'pinned')
    edge.extra = locations(edge)


def responder(pki, name, place=0):
    return 'responder=%s,%s,%d' % (pki.path(name + '.pem'), pki.path(name + '.key'), place)


def fill(edge, *more):
    """Three authorities: two generations of iss-test, and iss-other; the same serials, other statuses."""
    pki = edge.pki
    edge.fill('chain=' + pki.path('chain.pem'), responder(pki, 'responder'), responder(pki, 'rsa', 1),
              responder(pki, 'ed', 2), 'crl=' + pki.path('full.crl'), 'revoked_at=%d' % REVOKED_AT,
              *('status=' + each for each in STATUSES), 'generation=2', 'chain=' + pki.path('chain2.pem'),
              responder(pki, 'responder2'), 'status=1001,revoked,3', 'status=2001,good',
              'issuer=iss-other', 'chain=' + pki.path('chain3.pem'), responder(pki, 'responder3'),
              'status=1001,revoked,5', *more)


# ---- 1.1: what is asked ----------------------------------------------------------------------------------------


def o01(a):
    is_(a.ask(0x1001).words, ['good'], 'without a version')
    is_(a.ask(0x1001, version=der.context(0, der.integer(0))).words, ['good'], 'version 1, written')
    for version in (1, 2, -1, 2 ** 70):
        is_(a.raw(request(a.id(0x1001), version=der.context(0, der.integer(version)))), MALFORMED,
            'the number %d for the version' % version)


def o02(a):
    good = request(a.id(0x1001), request=[nonce(bytes(32))])
    is_(Response(a.raw(good)).words, ['good'], 'the request itself')
    wrong = [n for n in range(len(good)) if a.raw(good[:n]) != MALFORMED]
    is_(wrong, [], 'each of its %d truncations' % len(good))
    wrong = [n for n in range(0, len(good), 3) if a.get(good[:n])[::2] != (200, MALFORMED)]
    is_(wrong, [], 'by GET, too')
    long_form = good[:1] + b'\x82\0' + good[1:2] + good[2:] if good[1] < 0x80 else good[:1] + b'\x82\0' + good[2:]
    for what, body in (('a trailing octet', good + b'\0'), ('the request twice', good + good), ('nothing', b''),
                       ('indefinite length', der.indefinite(good)), ('a longer length than needed', long_form),
                       ('a length of 2^63', b'\x30\x88\x7f' + b'\xff' * 7 + good), ('zeros', bytes(500)),
                       ('an INTEGER with a zero too many', request(a.id(b'\0\0\x10\x01')))):
        is_(a.raw(body), MALFORMED, what)
    is_(a.word(0x1001), 'good', 'and answers go on')


def o03(a):
    serials = [0x1001, 0x1002, 0x1003, 0x1004]
    for count in (1, 2, 3, 4, 16):
        ids = [a.id(serials[i % 4], list(HASHES)[i % 4]) for i in range(count)]
        answer = a.ask(*ids)
        is_([each.cert_id for each in answer.singles], ids, '%d CertIDs: as many SingleResponses, in order' % count)
        is_(answer.words, [('good', 'revoked', 'revoked', 'revoked')[i % 4] for i in range(count)], 'each its own status')
    is_(a.raw(request(*[a.id(0x1001)] * 17)), MALFORMED, '17 are too many')
    is_(a.ask(0x1001, 0x1002, where='two').words, ['good', 'revoked'], 'pki_ocsp_max_ids 2: two')
    is_(a.raw(request(*[a.id(0x1001)] * 3), 'two'), MALFORMED, 'and not three')
    is_(a.raw(request(a.id(0x1001), a.id(0x9999))), UNAUTHORIZED, 'an answer covers all of them or none')


def o04(a):
    for serial, words in ((0x1001, {'good'}), (0x1003, {'revoked'})):
        ids = [a.id(serial), a.id(serial, 'sha256'), a.id(serial), a.id(serial, parameters=b''), a.id(serial, 'sha512')]
        answer = a.ask(*ids)
        is_([each.cert_id for each in answer.singles], ids, 'the same certificate five times: five SingleResponses')
        is_(set(answer.words), words, 'which agree')
        is_(len({(each.status, each.this_update, each.next_update) for each in answer.singles}), 1, 'in everything')


def o05(a):
    is_(a.raw(der.seq(der.seq(der.EMPTY))), MALFORMED, 'an empty requestList')
    is_(a.raw(der.seq(der.EMPTY)), MALFORMED, 'none at all')
    is_(a.raw(der.EMPTY), MALFORMED, 'no TBSRequest')


def o06(a):
    for name in ('sha1', 'sha256', 'sha384', 'sha512'):
        for what, parameters in (('NULL', der.NULL), ('no', b'')):
            each = a.id(0x1002, name, parameters)
            answer = a.ask(each)
            is_((answer.single.cert_id, answer.single.word), (each, 'revoked'), '%s, %s parameters: echoed' % (name, what))
            ok(answer.verifies(a.ca), 'and signed')
    for name in ('sha224', 'md5'):
        is_(a.word(0x1001, hash_name=name), UNAUTHORIZED, name + ' names no CA of ours')
    is_(a.word(0x1001, parameters=der.integer(1)), MALFORMED, 'parameters of another kind')
    for word in ('sha1', 'sha256', 'sha384', 'sha512'):
        like(a.edge.ocsp('1001', words=('-' + word,)), r'0x1001: good\n(.*\n)*Response verify OK', 'openssl, ' + word)


def o07(a):
    other = load(a.edge.pki.path('other.pem'))
    for name in HASHES:
        if name not in ('sha1', 'sha256', 'sha384', 'sha512'):
            continue
        is_(a.word(0x1001, hash_name=name, name=other), UNAUTHORIZED, "%s: another CA's name with our key" % name)
        is_(a.word(0x1001, hash_name=name, key=other), UNAUTHORIZED, "another CA's key with our name")
        is_(a.word(0x1001, hash_name=name, key=other, name=other), UNAUTHORIZED, 'another CA')
        is_(a.word(0x1001, hash_name=name, name=a.root, key=a.root), UNAUTHORIZED, "our CA's own issuer")
    short = der.seq(der.seq(der.oid(HASHES['sha1']), der.NULL), der.octets(bytes(19)), der.octets(bytes(20)), der.integer(1))
    is_(a.raw(request(short)), MALFORMED, 'a hash of the wrong length')
    empty = der.seq(der.seq(der.oid(HASHES['sha1']), der.NULL), der.octets(), der.octets(), der.integer(0x1001))
    is_(a.raw(request(empty)), MALFORMED, 'empty hashes')


def o08(a):
    for what, serial, wanted in (
            ('0, which is issued', 0, 'good'), ('20 octets', b'\x40' + b'\x5a' * 19, 'good'),
            ('the first bit set', 0xff01, 'good'), ('the same octets, negative', b'\xff\x01', UNAUTHORIZED),
            ('all bits set', 0x7fffffffffffffff, 'good'), ('its negative', -1, UNAUTHORIZED),
            ('-0x1001', -0x1001, UNAUTHORIZED), ('20 octets, not issued', b'\x40' + b'\x5b' * 19, UNAUTHORIZED),
            ('21 octets', b'\x40' + b'\x5a' * 20, UNAUTHORIZED), ('300 octets', b'\x40' * 300, UNAUTHORIZED),
            ('a redundant zero', b'\0\x10\x01', MALFORMED), ('a redundant 0xff', b'\xff\xff\x01', MALFORMED),
            ('no octets', b'', MALFORMED), ('a prefix of one that was issued', 0x10, UNAUTHORIZED),
            ('one that was issued, and more', 0x100100, UNAUTHORIZED), ('256', 0x100, 'good'), ('1', 1, UNAUTHORIZED)):
        is_(a.word(serial), wanted, 'serial: ' + what)
    other = load(a.edge.pki.path('other.pem'))
    answer = a.ask(cert_id(other, 0x1001), issuer='iss-other')
    is_((a.word(0x1001), answer.single.word, answer.single.revoked[1]), ('good', 'revoked', 5),
        'the same serial under two CAs has two statuses')
    is_(a.raw(request(cert_id(other, 0x1001))), UNAUTHORIZED, 'each below its own URL')
    for serial, wanted in ((-1, 'unknown'), (b'\x40' * 300, 'unknown'), (0, 'good')):
        is_(a.word(serial, where='unknown'), wanted, 'where unknown is signed, serials of all sizes')


def o09(a):
    for what, name in (('a directoryName', der.context(4, a.ca.subject.public_bytes())),
                       ('a DNS name', der.tlv(0x82, b'client.example')), ('an rfc822Name', der.tlv(0x81, b'a@example.net'))):
        is_(a.ask(0x1001, requestor=der.context(1, name)).words, ['good'], 'requestorName: %s, unsigned' % what)
    is_(a.raw(request(a.id(0x1001), requestor=der.context(1, der.integer(1)))), MALFORMED, 'no name at all')


def o10(a):
    pki = a.edge.pki
    key, cert = load_key(pki.path('asker.key')), load(pki.path('asker.pem'))
    stranger_key, stranger = load_key(pki.path('stranger.key')), load(pki.path('stranger.pem'))
    pinned_key, pinned = load_key(pki.path('pinned.key')), load(pki.path('pinned.pem'))
    one = a.id(0x1002)

    def asked(where, *args, **more):
        body = a.raw(signed_request(one, *args, **more), where)
        return body if len(body) == 5 else Response(body).single.word

    is_(asked('', key=key, certs=[cert], name=cert), 'revoked', 'ignore: a signed request is answered')
    is_(asked('', key=key, certs=[cert], name=cert, damage=True), 'revoked', 'ignore: a bad signature, too')
    is_(asked('', key=stranger_key), 'revoked', 'ignore: one without a certificate, too')
    is_(a.word(0x1002, where='signed'), SIG_REQUIRED, 'require: unsigned is sigRequired')
    is_(a.word(0x9999, where='signed'), SIG_REQUIRED, 'whatever is asked')
    is_(asked('signed', key=key, certs=[cert], name=cert), 'revoked', 'signed by a client that the CA made')
    is_(asked('signed', key=key, certs=[cert]), 'revoked', 'without requestorName')
    is_(asked('signed', key=key, certs=[stranger, cert], name=cert), 'revoked', 'its certificate is found by its name')
    is_(asked('signed', key=pinned_key, name=pinned), 'revoked', 'a client that is in the file itself need not send it')
    is_(asked('signed', key=pinned_key, certs=[pinned], name=pinned), 'revoked', 'but may')
    is_(asked('signed', key=key, certs=[cert], name=cert, damage=True), UNAUTHORIZED,
        'require: asking for something else than was signed is unauthorized')
    for what, more in (('another CA', dict(key=stranger_key, certs=[stranger], name=stranger)),
                       ('another key than the certificate has', dict(key=stranger_key, certs=[cert], name=cert)),
                       ("another client's name", dict(key=key, certs=[cert], name=stranger)),
                       ('no certificate, not in the file', dict(key=key, name=cert)),
                       ('no certificate, no name', dict(key=pinned_key)),
                       ('SHA-1', dict(key=key, certs=[cert], name=cert, algorithm='ecdsa-sha1'))):
        is_(asked('signed', **more), UNAUTHORIZED, 'require: %s is unauthorized' % what)
    text = a.edge.ocsp('1002', url='http://127.0.0.1:%d/o/signed/iss-test' % a.edge.http_port,
                       words=('-signer', pki.path('asker.pem'), '-signkey', pki.path('asker.key')))
    like(text, r'0x1002: revoked\n(.*\n)*Response verify OK', "openssl's client signs")


def o11(a):
    unknown = der.extension('1.2.3.4.5', der.NULL)
    critical = der.extension('1.2.3.4.5', der.NULL, der.TRUE)
    is_(a.ask(0x1001, request=[unknown]).words, ['good'], 'an unknown request extension')
    is_(a.ask(0x1001, single=[unknown]).words, ['good'], 'an unknown single extension')
    is_(a.ask(0x1001, request=[unknown]).extensions, {}, 'is not given back')
    is_(a.raw(request(a.id(0x1001), request=[critical])), MALFORMED, 'an unknown critical request extension')
    is_(a.raw(request(a.id(0x1001), single=[critical])), MALFORMED, 'an unknown critical single extension')
    is_(a.ask(0x1001, request=[nonce(bytes(16), der.TRUE)]).words, ['good'], 'a nonce may be critical')
    is_(a.raw(request(a.id(0x1001), request=[nonce(bytes(16)), nonce(bytes(16))])), MALFORMED, 'the same one twice')


def o12(a):
    def accept(*oids):
        return der.extension(ACCEPTABLE, der.seq(*(der.oid(each) for each in oids)))
    is_(a.ask(0x1001, request=[accept(BASIC)]).words, ['good'], 'basic, as NSS sends it')
    is_(a.ask(0x1001, request=[accept('1.2.3', BASIC)]).words, ['good'], 'basic among others')
    is_(a.raw(request(a.id(0x1001), request=[accept('1.2.3')])), UNAUTHORIZED, 'others alone are refused')
    is_(a.raw(request(a.id(0x1001), request=[accept()])), UNAUTHORIZED, 'as is an empty list')


def o13(a):
    location = der.seq(der.seq(der.oid('1.3.6.1.5.5.7.48.1'), der.tlv(0x86, b'http://other.example/')))
    locator = der.extension(LOCATOR, der.seq(a.ca.subject.public_bytes(), location))
    is_(a.ask(0x1001, single=[locator]).words, ['good'], 'a ServiceLocator is ignored')
    is_(a.ask(0x1001, single=[der.extension(LOCATOR, der.NULL, der.TRUE)]).words, ['good'], 'whatever is in it')
    is_(a.ask(0x1001, single=[locator]).single.extensions, {}, 'and not given back')


def o14(a):
    ec_p256 = der.seq(der.oid('1.2.840.10045.2.1'), der.oid('1.2.840.10045.3.1.7'))
    ec_p384 = der.seq(der.oid('1.2.840.10045.2.1'), der.oid('1.3.132.0.34'))
    ec_any = der.seq(der.oid('1.2.840.10045.2.1'))
    plain = a.ask(0x1001)
    is_((plain.algorithm_name, plain.signer.subject), ('p256-sha256', load(a.edge.pki.path('responder.pem')).subject),
        'no preference: the default responder')
    for wishes, keys, wanted in (
            (['p256-sha256'], [], 'p256-sha256'), (['rsa-sha256'], [], 'rsa-sha256'), (['rsa-sha384'], [], 'rsa-sha384'),
            (['rsa-sha512'], [], 'rsa-sha512'), (['ed25519'], [], 'ed25519'), (['ed25519', 'rsa-sha256'], [], 'ed25519'),
            (['rsa-sha512', 'ed25519'], [], 'rsa-sha512'), ([der.seq(der.oid('1.2.3.4')), 'ed25519'], [], 'ed25519'),
            (['rsa-sha1', 'rsa-md5', 'ecdsa-sha1'], [], 'p256-sha256'), (['rsa-sha1', 'rsa-sha384'], [], 'rsa-sha384'),
            ([], [], 'p256-sha256'), (['p256-sha384'], [], 'p256-sha384'),
            (['p256-sha256', 'ed25519'], [ec_p384], 'ed25519'), (['p256-sha256', 'ed25519'], [ec_p256], 'p256-sha256'),
            (['p256-sha256', 'ed25519'], [ec_any], 'p256-sha256'),
            ([der.seq(der.oid('1.2.840.113549.1.1.12'))], [], 'rsa-sha384'), ([der.NULL], [], 'p256-sha256')):
        names = ' '.join(each if isinstance(each, str) else '?' for each in wishes) or 'nothing'
        answer = a.ask(0x1001, request=[preferred(*wishes, keys=keys)])
        is_(answer.algorithm_name, wanted, 'prefers %s: %s' % (names, wanted))
        ok(answer.verifies(a.ca), 'and it verifies')
    again = a.ask(0x1001)
    is_((again.algorithm_name, again.body), ('p256-sha256', plain.body), 'who has no preference gets the same as before')
    wish = request(a.id(0x1001), request=[preferred('ed25519')])
    is_(a.raw(wish), a.raw(wish), 'answers to a preference are kept apart')
    is_(a.ask(0x1001, request=[preferred('ed25519'), nonce(bytes(20))]).algorithm_name, 'ed25519', 'with a nonce, too')
    a.edge.fill('responder=%s,%s,2' % (a.edge.pki.path('ed.pem'), a.edge.pki.path('rsa.key')))
    is_(a.ask(0x1001, request=[preferred('ed25519', 'rsa-sha256')]).algorithm_name, 'rsa-sha256',
        'a responder whose key is gone is passed over')
    a.edge.fill('responder=%s,%s,2' % (a.edge.pki.path('ed.pem'), a.edge.pki.path('ed.key')))


# ---- 1.2: what is answered -------------------------------------------------------------------------------------


def o20(a):
    for what, answer in (('good', a.ask(0x1001)), ('revoked', a.ask(0x1002)), ('several', a.ask(0x1001, 0x1002, 0x1003)),
                         ('nonce', a.ask(0x1001, request=[nonce(bytes(32))])), ('unknown', a.ask(0x9999, where='unknown')),
                         ('extended revoke', a.ask(0x9999, where='extended')), ('everything', a.ask(0x1002, where='all'))):
        is_(answer.type, der.whole(der.oid(BASIC)), what + ': id-pkix-ocsp-basic')
        is_(answer.has_version, False, 'the version is left out')
        is_(der.again(answer.body) == answer.body and der.again(answer.basic) == answer.basic, True, 'DER throughout')
        name = os.path.join(a.edge.folder, 'answer.der')
        with open(name, 'wb') as file:
            file.write(answer.body)
        is_(openssl('asn1parse', '-inform', 'DER', '-in', name, '-noout', '-out', '/dev/stdout').raw, answer.body,
            'openssl reads it to its end')
        like(openssl('ocsp', '-respin', name, '-issuer', a.edge.pki.path('ca.pem'), '-CAfile', a.edge.pki.path('root.pem'),
                     '-resp_text', check=False).err, r'Response verify OK', 'and verifies it')


def o21(a):
    answer = a.ask(0x1001)
    is_(answer.tbs, expected_tbs(answer, [(a.id(0x1001), GOOD, b'')]), 'byKey: the whole of ResponseData')
    signer = load(a.edge.pki.path('responder.pem'))
    is_(answer.responder_id[4:], x509.SubjectKeyIdentifier.from_public_key(signer.public_key()).digest,
        "SHA-1 of the key's octets, says another")
    named = a.ask(0x1001, where='name')
    is_(named.tbs, expected_tbs(named, [(a.id(0x1001), GOOD, b'')], by_name=True), 'byName where it is configured')
    ok(named.verifies(a.ca), 'and signed')
    is_(a.ask(0x1001, where='name').body, named.body, 'from the cache, the same')
    is_(a.ask(0x1001).responder_id, answer.responder_id, 'which keeps the two apart')
    text = a.edge.ocsp('1001', url='http://127.0.0.1:%d/o/name/iss-test' % a.edge.http_port)
    like(text, r'Response verify OK', 'openssl finds the signer by its name')


def o22(a):
    for synced in (0, 600):
        a.edge.fill('synced=%d' % synced)
        for what, answer in (('kept', a.ask(0x1001)), ('signed', a.ask(0x1005, request=[nonce(bytes(16))])),
                             ('unissued', a.ask(0x9999, where='unknown'))):
            now, one = time.time(), answer.single
            ok(one.this_update <= answer.produced_at <= now, '%s, synced %d s ago: thisUpdate <= producedAt <= now' % (what, synced))
            ok(one.next_update > now, 'nextUpdate is yet to come')
            ok(now - one.this_update < 3600 and (what == 'kept' or one.this_update <= now - synced),
               'thisUpdate is when the store was in step')
    a.edge.fill('synced=0')


def o23(a):
    """The generation's key chooses the delegate; a delegate of the other is never used."""
    ca2 = load(a.edge.pki.path('ca2.pem'))
    is_(ca2.subject, a.ca.subject, 'two CA certificates of one name')
    old, new = a.ask(0x1001), a.ask(cert_id(ca2, 0x1001))
    is_((old.words, new.words), (['good'], ['revoked']), 'the same serial, the same URL: two statuses')
    ok(old.verifies(a.ca) and not old.verifies(ca2), "the one key's certificates: its delegate")
    ok(new.verifies(ca2) and not new.verifies(a.ca), "the other key's: its own delegate")
    is_(a.word(0x2001), UNAUTHORIZED, 'what one issued is unknown to the other')
    is_(a.ask(cert_id(ca2, 0x2001)).words, ['good'], 'and known to the one that did')
    is_(a.raw(request(a.id(0x1001), cert_id(ca2, 0x1001))), UNAUTHORIZED, 'one signature cannot answer for both')
    is_(a.word(0x1001, key=ca2), Response(a.raw(request(cert_id(ca2, 0x1001)))).single.word, 'the key chooses, as the name is the same')
    for answer in (old, new):
        usages = answer.signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        is_(list(usages), [x509.ExtendedKeyUsageOID.OCSP_SIGNING], 'id-kp-OCSPSigning')
        name = os.path.join(a.edge.folder, 'one.der')
        with open(name, 'wb') as file:
            file.write(answer.body)
        issuer = 'ca' if answer is old else 'ca2'
        like(openssl('ocsp', '-respin', name, '-issuer', a.edge.pki.path(issuer + '.pem'), '-serial', '0x1001', '-CAfile',
                     a.edge.pki.path('root.pem'), check=False).err, r'Response verify OK', 'openssl agrees')


def short_lived(pki, seconds_left):
    """A delegate that is about to end."""
    key, ca_key, ca = ec.generate_private_key(ec.SECP256R1()), load_key(pki.path('ca.key')), load(pki.path('ca.pem'))
    now = datetime.datetime.utcnow().replace(microsecond=0)
    cert = (x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, 'Short')]))
            .issuer_name(ca.subject).public_key(key.public_key()).serial_number(0x7001)
            .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(seconds=seconds_left))
            .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.OCSP_SIGNING]), False)
            .add_extension(x509.OCSPNoCheck(), False).sign(ca_key, hashes.SHA256()))
    for name, octets in (('short.key', key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())),
                         ('short.pem', cert.public_bytes(Encoding.PEM))):
        with open(pki.path(name), 'wb') as file:
            file.write(octets)
    return cert


def o25(a):
    cert = short_lived(a.edge.pki, 1000)
    a.edge.fill(responder(a.edge.pki, 'short'))
    answer = a.ask(0x1001)
    end = int(cert.not_valid_after.replace(tzinfo=datetime.timezone.utc).timestamp())
    is_(answer.single.next_update, end, "nextUpdate is the delegate's notAfter, when that comes first")
    ok(answer.verifies(a.ca), 'signed by it')
    short_lived(a.edge.pki, 3)
    a.edge.fill(responder(a.edge.pki, 'short'))
    time.sleep(4)
    is_(a.ask(0x1001).algorithm_name, 'rsa-sha256', 'after its end another one signs')
    a.edge.fill(responder(a.edge.pki, 'responder'))
    is_(a.ask(0x1001).single.next_update - a.ask(0x1001).single.this_update, 3600, 'and the issuer\'s setting counts else')


def o26(a):
    for what, answer in (('signed', a.ask(0x1001, request=[nonce(bytes(16))])), ('kept', a.ask(0x1001)), ('kept', a.ask(0x1001))):
        is_(answer.certs, [load(a.edge.pki.path('responder.pem')).public_bytes(Encoding.DER)],
            what + ': exactly the delegate, not its CA')


def o27(a):
    is_(a.word(0x9999), UNAUTHORIZED, 'unissued, by default: unauthorized, unsigned')
    answer = a.ask(0x9999, where='unknown')
    is_(answer.tbs, expected_tbs(answer, [(a.id(0x9999), UNKNOWN, b'')]), 'unknown: the whole of ResponseData')
    ok(answer.verifies(a.ca), 'signed')
    ok(answer.single.next_update <= time.time() + 300, 'for five minutes at most')
    is_(a.ask(0x1001, 0x9999, 0x1002, where='unknown').words, ['good', 'unknown', 'revoked'], 'among others')
    is_(a.word(0x9999, where='unknown', name=a.root), UNAUTHORIZED, 'of a CA that we do not know: unauthorized')
    is_(a.word(0x9999, where='extended', name=a.root), UNAUTHORIZED, 'in every mode')
    for mode in ('', 'unknown', 'extended'):
        words = {a.word(int.from_bytes(os.urandom(8), 'big'), where=mode) for _ in range(30)}
        ok('good' not in words and len(words) == 1, 'no random serial is good: %s' % words)
    a.edge.fill('status=009999,good')
    is_((a.word(0x9999), a.word(0x9999, where='unknown'), a.word(0x9999, where='extended')), ('good',) * 3,
        'as soon as it is issued, it is good')
    a.edge.fill('drop=009999')


def o28(a):
    extra = extensions(1, der.extension(EXTENDED, der.NULL))
    answer = a.ask(0x9999, where='extended')
    is_(answer.tbs, expected_tbs(answer, [(a.id(0x9999), revoked(0, HOLD), b'')], extra=extra),
        'on hold since 1970, extended revoke, nothing else: the whole of ResponseData')
    ok(answer.verifies(a.ca), 'signed')
    both = a.ask(0x1001, 0x9999, where='extended')
    is_([set(each.extensions) for each in both.singles], [{der.oid(CUTOFF)}, set()], 'an issued one beside it has its extensions')
    is_(both.extension(EXTENDED), der.NULL, 'and the answer says extended revoke')
    is_(a.ask(0x1001, where='extended').extensions, {}, 'without an unissued one it does not')
    with_nonce = a.ask(0x9999, where='extended', request=[nonce(b'n' * 32)])
    is_((with_nonce.extension(NONCE), with_nonce.extension(EXTENDED)), (der.octets(b'n' * 32), der.NULL), 'beside a nonce')
    text = a.edge.ocsp('9999', url='http://127.0.0.1:%d/o/extended/iss-test' % a.edge.http_port, words=('-resp_text',))
    like(text, r'0x9999: revoked\n(.*\n)*\s+Reason: certificateHold\n\s+Revocation Time: Jan  1 00:00:00 1970 GMT', 'openssl reads it')
    like(text, r'Response Extensions:\n(.*\n)*\s+(valid|Extended OCSP Revoke): ', 'with the extension, by its older name')


def o29(a):
    for serial, reason in ((0x1002, 1), (0x1004, None), (0x1005, 4), (0x1003, HOLD)):
        answer = a.ask(serial)
        is_(answer.single.revoked, (REVOKED_AT, reason), '%#x: to the second, reason %s' % (serial, reason))
    a.edge.fill('revoked_at=%d' % (REVOKED_AT + 1), *('status=08%02x,revoked,%d' % (n, n) for n in (0, 1, 2, 3, 4, 5, 9, 10)))
    for reason in (0, 1, 2, 3, 4, 5, 9, 10):
        is_(a.ask(0x800 + reason).single.revoked, (REVOKED_AT + 1, reason or None), 'reason %d%s' % (reason, '' if reason else ' is left out'))


def o30(a):
    when = REVOKED_AT + 60
    before = a.ask(0x1001)
    a.edge.fill('revoked_at=%d' % when, 'status=1001,hold')
    is_(a.ask(0x1001, request=[nonce(bytes(16))]).single.revoked, (when, HOLD), 'a hold shows at once, with a nonce')
    held = a.ask(0x1001)
    is_(held.single.revoked, (when, HOLD), 'and without')
    is_(a.ask(0x1001, request=[nonce(bytes(16))]).single.revoked, (when, HOLD), 'and with one when the cache has it')
    a.edge.fill('revoked_at=%d' % when, 'status=1001,revoked,1')
    is_(a.ask(0x1001).single.revoked, (when, 1), 'made final, it has the new reason and keeps its time')
    a.edge.fill('status=1001,good')
    time.sleep(1.1)
    released = a.ask(0x1001, request=[nonce(bytes(16))])
    ok(released.single.word == 'good' and released.produced_at > held.produced_at >= before.produced_at,
       'released: good, and produced later')
    is_(a.word(0x1001), 'good', 'from the cache as well')


def o31(a):
    pki, when = a.edge.pki, REVOKED_AT + 100
    chain = 'chain=' + pki.path('chain.pem')
    is_(a.word(0x1001), 'good', 'good before')
    a.edge.fill('ca_revoked=%d' % when, chain)
    for what, more in (('kept', {}), ('with a nonce', dict(request=[nonce(bytes(16))]))):
        is_(a.ask(0x1001, **more).single.revoked, (when, CA_COMPROMISE), 'a good one is revoked with its CA, ' + what)
    is_(a.ask(0x1002).single.revoked, (REVOKED_AT, 1), 'a revoked one keeps its own time and reason')
    is_(a.ask(0x1003).single.revoked, (REVOKED_AT, CA_COMPROMISE), 'one on hold stays revoked since then')
    is_(a.word(0x9999), UNAUTHORIZED, 'an unissued one is unauthorized all the same')
    is_(a.ask(cert_id(load(pki.path('ca2.pem')), 0x2001)).words, ['good'], 'those of the other generation are good')
    a.edge.fill(chain)
    is_(a.word(0x1001), 'good', 'good again when it is not inherited')


def o32(a):
    old, older = START - 9 * DAY, START - 11 * DAY
    a.edge.fill('not_after=%d' % old, 'status=3001,good', 'revoked_at=%d' % REVOKED_AT, 'status=3003,revoked,1',
                'not_after=%d' % older, 'status=3002,good', 'status=3004,revoked,1')
    for serial in (0x1001, 0x1002, 0x3001, 0x3003):
        answer = a.ask(serial, where='cutoff')
        is_(answer.single.extensions, {der.oid(CUTOFF): generalized(answer.produced_at - 10 * DAY)},
            '%#x: producedAt minus ten days' % serial)
    is_((a.word(0x3001, where='cutoff'), a.word(0x3003, where='cutoff')), ('good', 'revoked'), 'expired nine days ago: answered')
    is_((a.word(0x3002, where='cutoff'), a.word(0x3004, where='cutoff')), (UNAUTHORIZED,) * 2, 'eleven days ago: unauthorized')
    is_(a.ask(0x1001).single.extensions, {}, 'none where it is not configured')
    a.edge.fill('drop=3001')
    is_((a.word(0x3001), a.word(0x3001, where='cutoff')), (UNAUTHORIZED,) * 2, 'purged: unauthorized, never good')
    text = a.edge.ocsp('1001', url='http://127.0.0.1:%d/o/cutoff/iss-test' % a.edge.http_port, words=('-resp_text',))
    like(text, r'OCSP Archive Cutoff: ?\n', 'openssl knows it')


def crl_id(url, number):
    return der.seq(der.context(0, der.ia5(url)), der.context(1, der.integer(number)))


def make_crl(pki, number, name):
    """A list with that number, made by openssl, published under another file name."""
    with open(pki.path('crlnumber'), 'w') as file:
        file.write('%04x\n' % number)
    openssl('ca', '-config', pki.path('crl.cnf'), '-gencrl', '-cert', pki.path('ca.pem'), '-keyfile', pki.path('ca.key'),
            '-out', pki.path('crl.pem'))
    openssl('crl', '-in', pki.path('crl.pem'), '-outform', 'DER', '-out', pki.path(name))
    shown = openssl('crl', '-in', pki.path('crl.pem'), '-noout', '-crlnumber').out
    return int(re.search(r'=(?:0x)?([0-9A-Fa-f]+)', shown).group(1), 16)


def o33(a):
    pki = a.edge.pki
    numbers = [int(openssl('crl', '-inform', 'DER', '-in', pki.path('full.crl'), '-noout', '-crlnumber').out.strip().split('=')[1].replace('0x', ''), 16)]
    url = 'http://lists.example/crl/iss-test.crl'
    answer = a.ask(0x1002, where='lists')
    one = extensions(1, der.extension(CRL, crl_id(url, numbers[0])))
    is_(answer.tbs, expected_tbs(answer, [(a.id(0x1002), revoked(REVOKED_AT, 1), one)]), 'a revoked one: URL and number, the whole of it')
    is_(a.ask(0x1002, where='lists').body, answer.body, 'kept')
    is_(a.ask(0x1003, where='lists').single.extensions, {der.oid(CRL): crl_id(url, numbers[0])}, 'one on hold, too')
    is_(a.ask(0x1001, where='lists').single.extensions, {}, 'a good one is on no list')
    is_(a.ask(0x1002).single.extensions, {}, 'none where it is not configured')
    numbers.append(make_crl(pki, 0x1f00, 'next.crl'))
    a.edge.fill('crl=' + pki.path('next.crl'))
    is_(a.ask(0x1002, where='lists').single.extensions, {der.oid(CRL): crl_id(url, numbers[1])},
        'number %x was published after %x: the answer names it at once' % (numbers[1], numbers[0]))
    a.edge.fill('revoked_at=%d' % (time.time() + 5), 'status=3101,revoked,1', 'revoked_at=%d' % REVOKED_AT,
                'not_after=%d' % (START - DAY), 'status=3102,revoked,1')
    is_(a.ask(0x3101, where='lists').single.extensions, {}, 'revoked since the list was made: not yet on it')
    is_(a.ask(0x3102, where='lists').single.extensions, {}, 'expired before the list was made: not on it any more')
    a.edge.fill('shards=4', 'chain=' + pki.path('chain.pem'), *('crl=%s,s%d' % (pki.path('next.crl'), n) for n in range(4)))
    shard = int.from_bytes(hashlib.sha256(b'\x10\x02').digest()[:4], 'big') % 4
    is_(a.ask(0x1002, where='lists').single.extensions,
        {der.oid(CRL): crl_id('http://lists.example/crl/iss-test.s%d.crl' % shard, numbers[1])}, 'the shard of its serial')
    a.edge.fill('chain=' + pki.path('chain.pem'))
    text = a.edge.ocsp('1002', url='http://127.0.0.1:%d/o/lists/iss-test' % a.edge.http_port, words=('-resp_text',))
    like(text, r'crlUrl: ' + re.escape(url) + r'\s+crlNum: %X' % numbers[1], 'openssl reads both')


def o34(a):
    a.edge.fill('revoked_at=%d' % REVOKED_AT, 'invalidity=%d' % INVALID_AT, 'status=3201,revoked,1', 'status=3202,hold')
    for serial in (0x3201, 0x3202):
        answer = a.ask(serial)
        is_(answer.single.extensions, {der.oid(INVALIDITY): generalized(INVALID_AT)}, '%#x: invalidityDate alone' % serial)
        ok(der.oid(REASON_CODE) not in answer.single.extensions and answer.single.revoked[1], 'the reason is in the status')
    is_(a.ask(0x1002).single.extensions, {}, 'none where none is recorded')


def o35(a):
    digest = hashlib.sha256(b'the certificate').digest()
    a.edge.fill('hash=' + digest.hex(), 'status=3301,good', 'revoked_at=%d' % REVOKED_AT, 'status=3302,revoked,1')
    wanted = der.seq(der.seq(der.oid(HASHES['sha256'])), der.octets(digest))
    for serial in (0x3301, 0x3302):
        is_(a.ask(serial).single.extensions, {der.oid(CERT_HASH): wanted}, '%#x: SHA-256 of the certificate' % serial)
        is_(a.ask(serial, where='nohash').single.extensions, {}, 'not where it is switched off')
    is_(a.ask(0x1001).single.extensions, {}, 'not where the issuer does not want it')
    everything = a.ask(0x3302, where='all')
    is_([each for each in everything.single.extensions], [der.oid(each) for each in (CRL, CUTOFF, CERT_HASH)],
        'beside the others')


def o36(a):
    errors = {a.word(0x9999), a.raw(b''), a.word(0x1001, where='signed'), a.word(0x1001, name=a.root)}
    is_(errors, {UNAUTHORIZED, MALFORMED, SIG_REQUIRED}, 'errors are five octets without responseBytes')
    for body in sorted(errors):
        name = os.path.join(a.edge.folder, 'error.der')
        with open(name, 'wb') as file:
            file.write(body)
        like(openssl('ocsp', '-respin', name, '-resp_text', '-noverify', check=False).out, r'Responder Error: \w+ \(%d\)' % body[4],
             'openssl reads %d' % body[4])


def o37(a):
    a.edge.fill('broken=5501')
    is_(a.word(0x5501), INTERNAL, 'a record that cannot be read: internalError')
    is_(a.word(0x1001), 'good', 'all others are answered')
    is_(a.raw(request(cert_id(a.root, 0x1001))), UNAUTHORIZED, 'an unknown CA: unauthorized')
    a.edge.fill('synced=7200')
    is_(a.word(0x3001), UNAUTHORIZED, 'nothing is known: unauthorized')
    is_(a.word(0x0100), TRY_LATER, 'out of step for longer than an answer lives: tryLater')
    status, headers, body = a.edge.ocsp_post(request(a.id(0x0100)))
    ok(int(headers['Retry-After']) >= 1, 'with Retry-After')
    a.edge.fill('synced=0')
    is_(a.word(0x0100), 'good', 'and good when it is in step again')
    key = a.edge.pki
    wrong = ['responder=%s,%s,%d' % (key.path(name + '.pem'), key.path('server.key'), place)
             for place, name in enumerate(('responder', 'rsa', 'ed'))]
    a.edge.fill(*wrong)
    is_(a.word(0x1004), TRY_LATER, 'no key to sign with: tryLater')
    a.edge.fill(responder(key, 'responder'), responder(key, 'rsa', 1), responder(key, 'ed', 2))
    is_(a.ask(0x1004).words, ['revoked'], 'until there is one')


def overload(edge):
    """O-37 of a signer that is asked too much; limits.t has the rest."""
    def few(text):
        text, count = re.subn(r'(?m)^(\s+pki_ocsp_sign_limit\s+zone=\S+).*;$', r'\1 total=2r/m;', text)
        assert count == 1
        return text
    busy = Edge(workers=1, text=few)
    busy.fill_all(*('status=%d,good' % (2000 + n) for n in range(8)))
    busy.start()
    asker = Asker(busy)
    answers = [busy.ocsp_post(request(asker.id(int(str(2000 + n), 16)))) for n in range(8)]
    late = [headers for _, headers, body in answers if body == TRY_LATER]
    ok(late and all(int(each['Retry-After']) >= 1 for each in late), 'signatures over the budget: tryLater and Retry-After')
    is_({status for status, _, _ in answers}, {200}, 'and never a dropped connection')
    busy.stop()


def o38(a):
    pki = a.edge.pki
    pki.issue('sub', '/CN=A CA below', 'ca', 'ca', serial='0x6601', days=2000)
    a.edge.fill('status=6601,good')
    text = openssl('ocsp', '-issuer', pki.path('ca.pem'), '-cert', pki.path('sub.pem'), '-CAfile', pki.path('root.pem'), '-url',
                   'http://127.0.0.1:%d/ocsp/iss-test' % a.edge.http_port).out
    like(text, r'sub\.pem: good', 'a CA certificate that the CA issued is answered')


def o39(a):
    a.edge.fill('revoked_at=%d' % REVOKED_AT, 'status=6601,revoked,2')
    text = openssl('ocsp', '-issuer', a.edge.pki.path('ca.pem'), '-cert', a.edge.pki.path('sub.pem'), '-CAfile',
                   a.edge.pki.path('root.pem'), '-url', 'http://127.0.0.1:%d/ocsp/iss-test' % a.edge.http_port).out
    like(text, r'sub\.pem: revoked\n(.*\n)*\s+Reason: cACompromise', 'a revoked one with its reason')
    a.edge.fill('ca_revoked=%d' % REVOKED_AT, 'chain=' + a.edge.pki.path('chain.pem'))
    is_(a.ask(0x1001).single.revoked[1], CA_COMPROMISE, 'what a revoked CA issued has one, too')
    a.edge.fill('chain=' + a.edge.pki.path('chain.pem'))


# ---- 1.3: nonces -----------------------------------------------------------------------------------------------


def n01(a):
    value = os.urandom(24)
    answer = a.ask(0x1001, request=[nonce(value)])
    extra = extensions(1, der.extension(NONCE, der.octets(value)))
    is_(answer.tbs, expected_tbs(answer, [(a.id(0x1001), GOOD, b'')], extra=extra), 'echoed, not critical: the whole of ResponseData')
    ok(answer.verifies(a.ca), 'under the signature')
    is_(a.ask(0x1001, request=[nonce(value, der.TRUE)]).extension(NONCE), der.octets(value), 'not critical even if it was in the request')
    unlike(a.edge.ocsp('1001'), r'WARNING|Nonce Verify error', "openssl's own nonce")


def n02(a):
    for size in (0, 129, 200, 1000):
        is_(a.raw(request(a.id(0x1001), request=[nonce(bytes(size))])), MALFORMED, '%d octets: malformedRequest' % size)
    wrong = [size for size in range(1, 129)
             if a.ask(0x1001, request=[nonce(b'\x5a' * size)]).extension(NONCE) != der.octets(b'\x5a' * size)]
    is_(wrong, [], '1 to 128 octets are echoed')
    is_(a.raw(request(a.id(0x1001), request=[der.extension(NONCE, b'')])), MALFORMED, 'no octets at all, not even a tag')
    is_(a.raw(request(a.id(0x1001), request=[nonce(b'')]), 'plain'), MALFORMED, 'also where nonces are off')


def n03(a):
    for size in (32, 128):
        answer = a.ask(0x1002, request=[nonce(b'\xa5' * size)])
        ok(answer.extension(NONCE) == der.octets(b'\xa5' * size) and answer.verifies(a.ca), '%d octets' % size)


def n04(a):
    kept = a.ask(0x1001, where='plain')
    answer = a.ask(0x1001, where='plain', request=[nonce(bytes(32))])
    is_(answer.extensions, {}, 'nonces off: an answer without one')
    is_(answer.singles[0].word, 'good', 'rather than an error')
    ok(answer.verifies(a.ca) and kept.verifies(a.ca), 'signed')
    is_(answer.body, kept.body, 'it is the one that others get')
    before = a.signatures()
    bodies = {a.ask(0x1001, where='plain', request=[nonce(os.urandom(16))]).body for _ in range(50)}
    is_((bodies, a.signatures()), ({kept.body}, before), 'and fifty more cost no signature')
    is_(a.ask(0x1001, request=[nonce(bytes(32))]).extension(NONCE), der.octets(bytes(32)), 'nonces on: echoed')
    is_(a.signatures(), before + 1, 'by a signature of its own')


def n05(a):
    for what, raw in (('octets without a tag', b'raw nonce of 2560'), ('an INTEGER', der.integer(2 ** 100)),
                      ('an OCTET STRING and more', der.octets(b'12345678') + b'!'), ('one octet', b'x')):
        answer = a.ask(0x1001, request=[der.extension(NONCE, raw)])
        is_(answer.extension(NONCE), raw, what + ': echoed octet for octet')
        ok(answer.verifies(a.ca), 'and signed')
    is_(a.raw(request(a.id(0x1001), request=[der.extension(NONCE, bytes(129))])), MALFORMED, '129 of them: malformedRequest')
    answer = a.ask(0x1001, single=[nonce(bytes(16))])
    is_((answer.words, answer.extensions, answer.single.extensions), (['good'], {}, {}), 'in singleRequestExtensions it is ignored')
    is_(answer.body, a.ask(0x1001).body, 'and the answer is the one that others get')


def n06(a):
    plain = request(a.id(0x1005))
    before = a.get(plain)
    like(before[1]['Cache-Control'], r'max-age=\d+,public', 'a plain answer may be kept')
    noisy = request(a.id(0x1005), request=[nonce(os.urandom(16))])
    for what, (status, headers, body) in (('GET', a.get(noisy)), ('POST', a.edge.ocsp_post(noisy))):
        ok(status == 200 and Response(body).extension(NONCE), what + ' with a nonce')
        unlike(headers['Cache-Control'] or '', r'public|max-age', 'is not for shared caches')
        like(headers['Cache-Control'], r'no-store', 'and is not stored')
        is_((headers['ETag'], headers['Expires'], headers['Last-Modified']), (None, None, None), 'nor validated')
    after = a.get(plain)
    is_((Response(after[2]).extensions, after[2]), ({}, before[2]), 'and has not poisoned our own cache')
    status, headers, body = a.get(noisy, 'plain')
    is_(Response(body).extensions, {}, 'nonces off: the answer has none')
    like(headers['Cache-Control'], r'max-age=\d+,public', 'and is as good for others')


# ---- 1.4, the one that is about what is signed ----


def h16(a):
    is_(len(a.ask(0x1001).singles), 1, 'off by default')
    for first, second in (('sha1', 'sha256'), ('sha256', 'sha1')):
        answer = a.ask(a.id(0x1002, first), where='dual')
        is_(answer.tbs, expected_tbs(answer, [(a.id(0x1002, first), revoked(REVOKED_AT, 1), b''),
                                              (a.id(0x1002, second), revoked(REVOKED_AT, 1), b'')]), '%s asked: %s beside it' % (first, second))
        ok(answer.verifies(a.ca), 'one signature')
        is_(a.ask(a.id(0x1002, first), where='dual').body, answer.body, 'kept')
    is_(len(a.ask(a.id(0x1001, 'sha512'), where='dual').singles), 1, 'none beside SHA-512')
    is_(len(a.ask(0x1001, 0x1002, where='dual').singles), 2, 'none beside several')
    text = a.edge.ocsp('1002', url='http://127.0.0.1:%d/o/dual/iss-test' % a.edge.http_port, words=('-sha256',))
    like(text, r'0x1002: revoked', 'openssl finds its own')


edge = Edge(workers=2)
prepare(edge)
fill(edge)
edge.start()
asker = Asker(edge)
wait_for('an answer', lambda: asker.word(0x1001) == 'good', 5)

CHECKS = [o01, o02, o03, o04, o05, o06, o07, o08, o09, o10, o11, o12, o13, o14, o20, o21, o22, o23, o25, o26, o27, o28, o29, o30,
          o31, o32, o33, o34, o35, o36, o37, o38, o39, n01, n02, n03, n04, n05, n06, h16]
wanted = sys.argv[1:]
for check in CHECKS:
    name = '%s-%s' % (check.__name__[0].upper(), check.__name__[1:])
    if wanted and name not in wanted:
        continue
    with subtest(name):
        check(asker)
        if name == 'O-37':
            overload(edge)
edge.stop()
unlike(edge.log(), r'\[(alert|emerg|crit)\]|AddressSanitizer|runtime error', 'nothing alarming in the log')
done()
