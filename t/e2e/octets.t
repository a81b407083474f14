#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
The checks of t/lib/octets.py notice what they are there to notice: lists and responses with one thing wrong each, built
here, and good ones that OpenSSL made.
"""

import glob
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import ROOT, done, is_, like, ok                                          # noqa: E402
import octets                                                                           # noqa: E402
from der import context, integer, octets as octet_string, oid, seq, tlv                 # noqa: E402

ECDSA, RSA_BARE = seq(oid('1.2.840.10045.4.3.2')), seq(oid('1.2.840.113549.1.1.11'))
TRUE, FALSE, NULL, BITS = tlv(1, b'\xff'), tlv(1, b'\0'), tlv(5), tlv(3, b'\0signature')


def utc(text='261120120000Z'):
    return tlv(0x17, text.encode())


def later(text='20261120120000Z'):
    return tlv(0x18, text.encode())


def enumerated(value):
    return tlv(0x0a, bytes([value]))


def extension(name, value, *critical):
    return seq(oid(name), *critical, octet_string(value))


AKI, NUMBER = extension(octets.AKI, seq(tlv(0x80, b'key'))), extension(octets.CRL_NUMBER, integer(7))


def listed(*more, serial=5, date=None):
    return seq(integer(serial), date or utc('261119120000Z'), *([seq(*more)] if more else []))


def a_list(*entries, version=integer(1), inner=ECDSA, outer=ECDSA, times=None, extensions=(AKI, NUMBER), empty=False):
    revoked = [seq(*entries)] if entries or empty else []
    tbs = seq(version, inner, seq(), *(times or [utc(), utc('261127120000Z')]), *revoked, context(0, seq(*extensions)))
    return seq(tbs, outer, BITS)


def reason(value, *critical):
    return extension(octets.REASON, enumerated(value), *critical)


POINT = context(0, context(0, tlv(0x86, b'http://crl.example/1.crl')))
DELTA = extension(octets.DELTA, integer(5), TRUE)
BAD_LISTS = (
    ('a version 1 list', 'v2', a_list(version=integer(0))),
    ('two algorithms', 'differ', a_list(inner=RSA_BARE)),
    ('RSA without NULL', 'algorithm', a_list(inner=RSA_BARE, outer=RSA_BARE)),
    ('no nextUpdate', 'nextUpdate', a_list(times=[utc()])),
    ('nextUpdate before thisUpdate', 'nextUpdate', a_list(times=[utc(), utc('261119120000Z')])),
    ('GeneralizedTime before 2050', 'tag 18', a_list(times=[later(), utc('261127120000Z')])),
    ('a time without seconds', 'update: ', a_list(times=[utc('2611201200Z'), utc('261127120000Z')])),
    ('an empty list of entries', 'empty', a_list(empty=True)),
    ('no AKI', 'AKI', a_list(extensions=[NUMBER])),
    ('AKI with an issuer', 'AKI', a_list(extensions=[NUMBER, extension(octets.AKI, seq(tlv(0x80, b'k'), tlv(0x82, b'\1')))])),
    ('no number', 'CRLNumber', a_list(extensions=[AKI])),
    ('a number of 160 bits', 'range', a_list(extensions=[AKI, extension(octets.CRL_NUMBER, integer(1 << 159))])),
    ('a negative number', 'range', a_list(extensions=[AKI, extension(octets.CRL_NUMBER, integer(-1))])),
    ('a critical number', 'is critical', a_list(extensions=[AKI, extension(octets.CRL_NUMBER, integer(7), TRUE)])),
    ('the number twice', 'twice', a_list(extensions=[AKI, NUMBER, NUMBER])),
    ('an extension from elsewhere', 'belong', a_list(extensions=[AKI, NUMBER, extension('2.5.29.17', seq())])),
    ('a delta that is not critical', 'not critical', a_list(extensions=[AKI, NUMBER, extension(octets.DELTA, integer(5))])),
    ('a delta above its number', 'above', a_list(extensions=[AKI, NUMBER, extension(octets.DELTA, integer(8), TRUE)])),
    ('a delta with FreshestCRL', 'Freshest', a_list(extensions=[AKI, NUMBER, DELTA, extension(octets.FRESHEST, seq())])),
    ('an empty IDP', 'IDP', a_list(extensions=[AKI, NUMBER, extension(octets.IDP, seq(), TRUE)])),
    ('an IDP that is not critical', 'not critical', a_list(extensions=[AKI, NUMBER, extension(octets.IDP, seq(POINT))])),
    ('user and CA certificates only', 'IDP', a_list(extensions=[AKI, NUMBER, extension(octets.IDP, seq(
        POINT, tlv(0x81, b'\xff'), tlv(0x82, b'\xff')), TRUE)])),
    ('an indirect list', 'IDP', a_list(extensions=[AKI, NUMBER, extension(octets.IDP, seq(POINT, tlv(0x84, b'\xff')), TRUE)])),
    ('an IDP with an https name', 'IDP', a_list(extensions=[AKI, NUMBER, extension(octets.IDP, seq(context(0, context(
        0, tlv(0x86, b'https://crl.example/')))), TRUE)])),
    ('reason 0', 'reason', a_list(listed(reason(0)))),
    ('reason 7', 'reason', a_list(listed(reason(7)))),
    ('removeFromCRL in a full list', 'reason', a_list(listed(reason(8)))),
    ('a reason as INTEGER', 'reason', a_list(listed(extension(octets.REASON, integer(1))))),
    ('a critical reason', 'is critical', a_list(listed(reason(1, TRUE)))),
    ('two reasons', 'twice', a_list(listed(reason(1), reason(1)))),
    ('certificateIssuer', 'belong', a_list(listed(extension('2.5.29.29', seq(), TRUE)))),
    ('an entry with no extension in its list', 'empty', a_list(seq(integer(5), utc('261119120000Z'), seq()))),
    ('an entry after thisUpdate', 'thisUpdate', a_list(listed(date=utc('261120120001Z')))),
    ('an entry older than the CA', 'before the CA', a_list(listed(date=utc('200101000000Z')))),
    ('invalidityDate as UTCTime', 'invalidityDate', a_list(listed(extension(octets.INVALIDITY, utc())))),
    ('invalidityDate after the revocation', 'only after', a_list(listed(extension(octets.INVALIDITY, later())))),
    ('serial 0', 'serial', a_list(listed(serial=0))),
    ('a negative serial', 'serial', a_list(listed(serial=-5))),
    ('a serial twice', 'twice', a_list(listed(), listed())),
    ('a FALSE that is the DEFAULT', 'BOOLEAN', a_list(extensions=[AKI, extension(octets.CRL_NUMBER, integer(7), FALSE)])),
    ('a TRUE of 01', 'BOOLEAN', a_list(extensions=[AKI, NUMBER, extension(octets.DELTA, integer(5), tlv(1, b'\1'))])),
    ('an INTEGER with a zero too many', 'INTEGER', a_list(extensions=[AKI, extension(octets.CRL_NUMBER, tlv(2, b'\0\7'))])),
    ('an octet too many', 'elements|header', a_list() + b'\0'),
    ('a list cut short', 'ends', a_list()[:-1]),
    ('a length that is too long', 'length', tlv(0x30, b'').replace(b'\x30\0', b'\x30\x81\0')),
)

CERT_ID = seq(seq(oid('1.3.14.3.2.26'), NULL), octet_string(b'n' * 20), octet_string(b'k' * 20), integer(5))
GOOD = tlv(0x80)


def said(status=GOOD, cert_id=CERT_ID, this=later(), until=later('20261121120000Z'), more=()):
    return seq(cert_id, status, this, *([context(0, until)] if until else []), *more)


def revoked(*more, date=later('20261119120000Z')):
    return context(1, date, *more)


BY_KEY = context(2, octet_string(b'k' * 20))


def response(*singles, status=0, version=(), who=BY_KEY, produced=later(), more=(), certs=(context(0, seq(seq())),),
             sigalg=ECDSA, kind='1.3.6.1.5.5.7.48.1.1'):
    basic = seq(seq(*version, who, produced, seq(*singles), *more), sigalg, BITS, *certs)
    return seq(enumerated(status), context(0, seq(oid(kind), octet_string(basic))))


def extra(number, *parts):
    return (context(number, seq(*parts)),)


NONCE = extension(octets.NONCE, octet_string(b'nonce'))
BAD_RESPONSES = (
    ('status 4', 'status 4', seq(enumerated(4))),
    ('an error with a body', 'more than', response(said(), status=6)),
    ('another type', 'basic', response(said(), kind='1.3.6.1.5.5.7.48.1.2')),
    ('a version that is the default', 'version', response(said(), version=extra(0))),
    ('a key hash of 32 octets', 'responderID', response(said(), who=context(2, octet_string(b'k' * 32)))),
    ('producedAt as UTCTime', 'producedAt', response(said(), produced=utc())),
    ('producedAt with a fraction', 'producedAt', response(said(), produced=later('20261120120000.5Z'))),
    ('no response', 'no response', response()),
    ('an empty list of certificates', '0 certificates', response(said(), certs=[context(0, seq())])),
    ('two certificates', '2 certificates', response(said(), certs=[context(0, seq(seq(), seq()))])),
    ('RSA without NULL', 'algorithm', response(said(), sigalg=RSA_BARE)),
    ('a short hash', 'length', response(said(cert_id=seq(seq(oid('1.3.14.3.2.26'), NULL), octet_string(b'n' * 19), octet_string(
        b'k' * 20), integer(5))))),
    ('good with contents', 'contents', response(said(tlv(0x80, b'\0')))),
    ('a fourth status', 'tag 83', response(said(tlv(0x83)))),
    ('reason 0', 'reason', response(said(revoked(context(0, enumerated(0)))))),
    ('reason 7', 'reason', response(said(revoked(context(0, enumerated(7)))))),
    ('removeFromCRL', 'reason', response(said(revoked(context(0, enumerated(8)))))),
    ('revoked after thisUpdate', 'after', response(said(revoked(date=later('20261120120001Z'))))),
    ('never issued, with another reason than hold', 'hold', response(said(revoked(context(0, enumerated(1)), date=later(
        '19700101000000Z'))))),
    ('thisUpdate after producedAt', 'producedAt', response(said(this=later('20261120120001Z')))),
    ('no nextUpdate', 'nextUpdate', response(said(until=None))),
    ('nextUpdate at thisUpdate', 'nextUpdate', response(said(until=later()))),
    ('a reason code as an extension', 'belong', response(said(more=extra(1, reason(1))))),
    ('no extension in the list of a single response', 'empty', response(said(more=extra(1)))),
    ('a critical nonce', 'critical', response(said(), more=extra(1, extension(octets.NONCE, octet_string(b'n'), TRUE)))),
    ('two nonces', 'twice', response(said(), more=extra(1, NONCE, NONCE))),
    ('no extension in the list', 'empty', response(said(), more=extra(1))),
    ('an octet too many', 'elements|header', response(said()) + b'\0'),
)

BORN = octets.datetime.datetime(2026, 1, 1)
for what, good in (('an empty list', a_list()), ('a list', a_list(listed(reason(1)), listed(serial=6))),
                   ('a delta', a_list(listed(reason(8)), extensions=[AKI, NUMBER, DELTA])),
                   ('a shard', a_list(extensions=[AKI, NUMBER, extension(octets.IDP, seq(POINT), TRUE)]))):
    is_(octets.crl(good, BORN), [], what + ' as it should be')
for path in sorted(glob.glob(os.path.join(ROOT, 't/vectors/crl/*.der'))):
    with open(path, 'rb') as file:
        found = octets.crl(file.read())
    ok(not [each for each in found if 'reason' not in each], 'OpenSSL made %s' % os.path.basename(path), found)
for what, pattern, bad in BAD_LISTS:
    like('; '.join(octets.crl(bad, BORN)), pattern, 'a list with %s' % what)
for what, good in (('an error', seq(enumerated(6))), ('a good response', response(said(), more=extra(1, NONCE))),
                   ('a revoked one', response(said(revoked(context(0, enumerated(1))))))):
    is_(octets.ocsp(good), [], what + ' as it should be')
for what, pattern, bad in BAD_RESPONSES:
    like('; '.join(octets.ocsp(bad)), pattern, 'a response with %s' % what)
done()
