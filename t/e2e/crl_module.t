#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""Serving CRLs and CA certificates: what RFC 2585 and HTTP ask of the files that an orchestrator has published."""

import email.utils
import gzip
import hashlib
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import done, is_, like, ok, openssl, unlike  # noqa: E402
from edge import Edge  # noqa: E402

FULL = '/crl/iss-test.crl'


def crl_make(pki, name, *words):
    openssl('ca', '-config', pki.path('crl.cnf'), '-gencrl', '-cert', pki.path('ca.pem'), '-keyfile', pki.path('ca.key'),
            '-out', pki.path('made.pem'), *words)
    openssl('crl', '-in', pki.path('made.pem'), '-outform', 'DER', '-out', pki.path(name))
    with open(pki.path(name), 'rb') as file:
        return file.read()


def time_of(header):
    return email.utils.parsedate_to_datetime(header).timestamp()


def update_of(pki, name, which):
    text = openssl('crl', '-inform', 'DER', '-in', pki.path(name), '-noout', '-' + which).out.strip().split('=')[1]
    return time.mktime(time.strptime(text, '%b %d %H:%M:%S %Y GMT')) - time.timezone


def plain(edge, full):
    status, headers, body = edge.http('GET', FULL)
    is_((status, headers['Content-Type'], body == full), (200, 'application/pkix-crl', True),
        'D-01 one DER list as application/pkix-crl')
    is_(headers['Content-Length'], str(len(full)), 'with its length')
    is_(headers['ETag'], '"%s"' % hashlib.sha256(full).hexdigest(), 'D-02 a strong entity tag over the octets')
    is_(time_of(headers['Last-Modified']), update_of(edge.pki, 'full.crl', 'lastupdate'), 'D-02 Last-Modified is thisUpdate')
    like(headers['Last-Modified'], r'GMT$', 'in the form of RFC 9110')
    age = int(headers['Cache-Control'].split('=')[1])
    ok(0 < age <= 3600, 'D-02 max-age is the configured hour at most', headers['Cache-Control'])
    ok(abs(time_of(headers['Expires']) - time.time() - age) <= 2, 'D-02 Expires says the same')
    ok(time_of(headers['Expires']) <= update_of(edge.pki, 'full.crl', 'nextupdate'), 'and is not after nextUpdate')

    validators = {'If-None-Match': headers['ETag'], 'If-Modified-Since': headers['Last-Modified']}
    for name, value in validators.items():
        status, again, body = edge.http('GET', FULL, headers={name: value})
        is_((status, body, again['ETag']), (304, b'', headers['ETag']), 'D-02 %s: 304' % name)
    is_(edge.http('GET', FULL, headers={'If-None-Match': '"other"'})[0], 200, 'D-02 another entity tag: the list')
    status, again, body = edge.http('GET', FULL, headers={'Range': 'bytes=10-19'})
    is_((status, body, again['Content-Range']), (206, full[10:20], 'bytes 10-19/%d' % len(full)), 'D-02 a range')
    is_(edge.http('GET', FULL, headers={'Range': 'bytes=9999999-'})[0], 416, 'D-02 a range that is not there')
    status, again, body = edge.http('HEAD', FULL)
    is_((status, again['Content-Length'], body), (200, str(len(full)), b''), 'HEAD has the header alone')
    status, again, _ = edge.http('POST', FULL, b'x')
    is_((status, again['Allow']), (405, 'GET, HEAD'), 'POST is refused')
    is_(edge.http('GET', '/crl/iss-test')[2], full, 'the suffix may be missing')
    is_(edge.http('GET', '/.well-known/pki/crl/iss-test.crl')[2], full, 'the well-known path gives the same')


def compressed(edge, full):
    is_(edge.http('GET', FULL)[1]['Vary'], None, 'D-03 no Vary where there is one form only')
    packed = gzip.compress(full, mtime=0)
    with open(edge.pki.path('full.crl.gz'), 'wb') as file:
        file.write(packed)
    edge.fill('crl=%s,full,%s' % (edge.pki.path('full.crl'), edge.pki.path('full.crl.gz')))
    status, headers, body = edge.http('GET', FULL)
    is_((status, body == full, headers['Content-Encoding']), (200, True, None), 'D-03 who does not ask gets it plain')
    is_(headers['Vary'], 'Accept-Encoding', 'D-03 with Vary')
    status, coded, body = edge.http('GET', FULL, headers={'Accept-Encoding': 'gzip'})
    is_((status, body == packed, coded['Content-Encoding']), (200, True, 'gzip'), 'D-03 who asks gets the compressed file')
    is_((coded['Vary'], coded['Content-Type']), ('Accept-Encoding', 'application/pkix-crl'), 'of the same type')
    is_(coded['ETag'], '"%s"' % hashlib.sha256(packed).hexdigest(), 'D-03 with an entity tag of its own')
    ok(coded['ETag'] != headers['ETag'], 'which is another one')
    is_(edge.http('GET', FULL, headers={'Accept-Encoding': 'gzip', 'If-None-Match': coded['ETag']})[0], 304, 'and gives 304')
    is_(edge.http('GET', FULL, headers={'Accept-Encoding': 'gzip;q=0'})[1]['Content-Encoding'], None, 'D-03 q=0 is a no')
    status, again, body = edge.http('GET', FULL, headers={'Accept-Encoding': 'gzip', 'Range': 'bytes=0-1'})
    is_((status, body), (206, b'\x1f\x8b'), 'a range of the compressed form')


def names(edge):
    second, delta, shard = (crl_make(edge.pki, name, '-crldays', '2') for name in ('second.crl', 'delta.crl', 'shard.crl'))
    edge.fill('crl=%s,delta' % edge.pki.path('delta.crl'), 'generation=2', 'shards=4',
              'chain=' + edge.pki.path('chain.pem'), 'crl=%s,s0' % edge.pki.path('second.crl'), 'crl=%s,s3' % edge.pki.path('shard.crl'))
    for path, wanted in (('iss-test.delta.crl', delta), ('iss-test.g2.s0.crl', second), ('iss-test.g2.s3.crl', shard)):
        status, _, body = edge.http('GET', '/crl/' + path)
        is_((status, body == wanted), (200, True), path)
    is_(edge.http('GET', '/crl/iss-test.g2.s1.crl')[0], 503, 'a shard that is to come: try later')
    for path in ('iss-test.g2.s4.crl', 'iss-test.g2.crl', 'iss-test.g2.delta.crl', 'iss-test.g3.crl', 'iss-test.s0.crl', 'iss-test.g1.crl', 'iss-none.crl',
                 'iss-test.full.crl', '', 'iss-test.crl/', '%2e%2e/x', '../nginx.conf'):
        status, headers, _ = edge.http('GET', '/crl/' + path)
        is_((status, headers['Content-Type']), (404, 'text/plain'), 'not a list: "%s"' % path)
    status, headers, body = edge.http('GET', '/crl/iss-test.json')
    is_((status, headers['Content-Type']), (200, 'application/json'), 'D-07 the lists of an issuer as JSON')
    is_(sorted(json.loads(body)), ['/crl/iss-test.crl', '/crl/iss-test.delta.crl', '/crl/iss-test.g2.s0.crl', '/crl/iss-test.g2.s3.crl'],
        'D-07 names every one')
    ok(all(edge.http('GET', each)[0] == 200 for each in json.loads(body)), 'D-07 and each is there')
    is_(edge.http('GET', '/crl/iss-none.json')[0], 404, 'of an unknown issuer: 404')
    ca = openssl('x509', '-in', edge.pki.path('ca.pem'), '-outform', 'DER').raw
    for path in ('iss-test.crt', 'iss-test', 'iss-test.g2.crt'):
        is_(edge.http('GET', '/ca/' + path)[2] == ca, True, 'the CA certificate: ' + path)
    is_(edge.http('GET', '/ca/iss-test.crt')[1]['Content-Type'], 'application/pkix-cert', 'of its type')
    is_(edge.http('GET', '/ca/iss-test.delta.crt')[0], 404, 'a list is no certificate')


def ended(edge):
    old = crl_make(edge.pki, 'old.crl', '-crl_lastupdate', '20200101000000Z', '-crl_nextupdate', '20200102000000Z')
    edge.fill('crl=%s,full' % edge.pki.path('old.crl'))
    status, headers, body = edge.http('GET', FULL)
    is_((status, body == old, headers['Cache-Control'], headers['Expires']), (200, True, 'no-store', None),
        'D-05 a list that has ended is served, and not kept')
    like(edge.log(), r'\[alert\].*CRL "old.crl" has ended', 'D-05 and reported')
    unlike(edge.log(), r'"full.crl" has ended', 'no other is')
    os.remove(os.path.join(edge.store, 'crl/old.crl'))
    edge.stop()
    edge.start()
    status, headers, _ = edge.http('GET', FULL)
    is_((status, bool(headers['Retry-After'])), (503, True), 'a file that is missing: try later')


def after_a_restart(edge, full):
    edge.fill('crl=%s,full' % edge.pki.path('full.crl'))
    before = edge.http('GET', FULL)
    edge.stop()
    edge.start()
    after = edge.http('GET', FULL)
    is_([(each[1]['ETag'], each[1]['Last-Modified'], each[2] == full) for each in (before, after)],
        [(before[1]['ETag'], before[1]['Last-Modified'], True)] * 2, 'D-06 the same octets and validators after a restart')


edge = Edge(workers=1)
edge.fill_all()
edge.start()
with open(edge.pki.path('full.crl'), 'rb') as source:
    whole = source.read()
plain(edge, whole)
compressed(edge, whole)
names(edge)
ended(edge)
after_a_restart(edge, whole)
edge.remove()
done()
