#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""Floods: what OCSP signs has budgets (N-07, O-37), a source has a rate, and what is cached goes on (RFC 6960 2.3)."""

import base64
import hashlib
import http.client
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import done, is_, like, ok, unlike, wait_for  # noqa: E402
from edge import Edge  # noqa: E402
from figures import Figures, fetch  # noqa: E402

TYPE = 'application/ocsp-response'
TRY_LATER, UNAUTHORIZED = (b'\x30\x03\x0a\x01' + bytes([n]) for n in (3, 6))
SHEDS = 'chancery_edge_sheds_total'


class Client:
    """Asks from an address of its own (loopback has sixteen million), on one connection."""

    def __init__(self, edge, source='127.0.0.1'):
        self.connection = http.client.HTTPConnection('127.0.0.1', edge.http_port, timeout=30, source_address=(source, 0))

    def post(self, der):
        self.connection.request('POST', '/ocsp/iss-test', der, {'Content-Type': 'application/ocsp-request'})
        return self.read()

    def get(self, path):
        self.connection.request('GET', path)
        return self.read()

    def read(self):
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()


def made(text, **values):
    """The configuration with other limits: made(text, pki_ocsp_nonce_limit='source=2r/s')."""
    for name, value in values.items():
        text, count = re.subn(r'(?m)^(\s+%s\s+zone=\S+).*;$' % name, r'\g<1> %s;' % value, text)
        assert count == 1, name
    return text


def figure(edge, name, **labels):
    return Figures(fetch(edge.path('run/nginx-metrics.sock'))[2])(name, **labels) or 0.0


def numbered(i):
    """Serial i of edge_fill's count=."""
    return '40' + hashlib.sha256(b'%d' % i).hexdigest()[2:32]


def requests(edge, count):
    """Requests for the first serials: the one of serial 0 with another in its place."""
    first = edge.ocsp_request(numbered(0))
    place = bytes.fromhex(numbered(0))
    return [first.replace(place, bytes.fromhex(numbered(i))) for i in range(count)]


def signed(answers):
    return [body for _, _, body in answers if len(body) > 100]


def turned_away(answers, wanted, what):
    """The others say so in the one way that clients read."""
    others = {(status, headers['Content-Type'], body, headers['Cache-Control'], int(headers['Retry-After'] or 0) >= 1)
              for status, headers, body in answers if len(body) <= 100}
    is_(others, {(200, TYPE, wanted, 'no-store', True)}, what)


def nonces(edge):
    with_nonce, plain = edge.ocsp_request('1001', words=()), edge.ocsp_request('1001')
    with Client(edge) as client, Client(edge, '127.0.0.2') as other:
        wanted = client.post(plain)[2]
        sheds, made_ = figure(edge, SHEDS, reason='nonce'), figure(edge, 'chancery_edge_signatures_total')
        began, answers, cached = time.monotonic(), [], []
        for _ in range(60):
            answers.append(client.post(with_nonce))
            cached.append(client.post(plain)[::2])
        took = time.monotonic() - began
        good = len(signed(answers))
        ok(10 <= good <= 11 + 10 * took, 'N-07: a second\'s worth, and then the rate of a source', '%d in %.2f s' % (good, took))
        turned_away(answers, TRY_LATER, 'the others: tryLater, Retry-After, not to be kept')
        is_(set(cached), {(200, wanted)}, 'answers from the cache go on meanwhile')
        is_(figure(edge, SHEDS, reason='nonce') - sheds, 60.0 - good, 'those turned away are counted')
        is_(figure(edge, 'chancery_edge_signatures_total') - made_, float(good), 'and cost no signature')
        answers = [other.post(with_nonce) for _ in range(5)]
        is_(len(signed(answers)), 5, 'another source has a budget of its own')
        pair = edge.ocsp_request('1001', '1002')
        ok(not signed([client.post(with_nonce) for _ in range(20)][-1:]), 'the first one has spent its')
        is_(client.post(pair)[2], TRY_LATER, 'and an answer about two certificates, too, is signed for one request alone')
        time.sleep(1.1)
        is_(len(signed([client.post(with_nonce) for _ in range(8)])), 8, 'after a second it may again')


def nonces_in_total(edge):
    with_nonce, plain = edge.ocsp_request('1001', words=()), edge.ocsp_request('1001')
    time.sleep(1.1)
    began, answers = time.monotonic(), []
    for i in range(150):
        with Client(edge, '127.0.7.%d' % (1 + i)) as client:
            answers.append(client.post(with_nonce))
    took, good = time.monotonic() - began, len(signed(answers))
    ok(40 <= good <= 41 + 40 * took, 'N-07: 150 sources have one total', '%d in %.2f s' % (good, took))
    turned_away(answers, TRY_LATER, 'over it: tryLater')
    with Client(edge, '127.0.7.200') as client:
        ok(signed([client.post(plain)]), 'a plain request of any source is answered')


def signatures(edge):
    asked = requests(edge, 120)
    unknown = edge.ocsp_request('00bad0')
    with Client(edge) as client:
        time.sleep(1.1)
        is_({client.post(unknown)[2] for _ in range(200)}, {UNAUTHORIZED}, 'serials that were not issued are unauthorized')
        sheds, made_ = figure(edge, SHEDS, reason='signature'), figure(edge, 'chancery_edge_signatures_total')
        began = time.monotonic()
        answers = [client.post(each) for each in asked]
        took, good = time.monotonic() - began, len(signed(answers))
        ok(30 <= good <= 31 + 30 * took, 'O-37: as many are signed for the cache as the budget has, and those cost nothing of it',
           '%d in %.2f s' % (good, took))
        turned_away(answers, TRY_LATER, 'O-37: over it tryLater with Retry-After')
        is_(figure(edge, SHEDS, reason='signature') - sheds, 120.0 - good, 'which is counted')
        is_(figure(edge, 'chancery_edge_signatures_total') - made_, float(good), 'as is what was signed')
        again = [client.post(each)[2] for each, answer in zip(asked, answers) if len(answer[2]) > 100]
        is_(again, signed(answers), 'what was signed is answered from the cache, budget or not')

        def all_there():
            return len(signed([client.post(each) for each in asked])) == len(asked)

        ok(wait_for('all to be signed', all_there, 10), 'who asks again gets an answer in the end')


def sources(edge):
    der = edge.ocsp_request('1001')
    path = '/ocsp/iss-test/' + base64.b64encode(der).decode()
    for name, ask in (('POST', lambda client: client.post(der)), ('GET', lambda client: client.get(path))):
        sheds = figure(edge, SHEDS, reason='source')
        with Client(edge, '127.0.0.9' if name == 'GET' else '127.0.0.8') as client, Client(edge) as other:
            answers = []
            for _ in range(40):
                answers.append(ask(client))
                ok_other = ask(other)
                if len(ok_other[2]) <= 100:
                    break
            good = len(signed(answers))
            ok(6 <= good < 25, '%s: a burst, and then the rate of a source' % name, good)
            turned_away(answers, UNAUTHORIZED, '%s: the others: unauthorized, status 200, Retry-After, not to be kept' % name)
            is_(len(answers), 40, '%s: the connection stays, and another source gets all its answers' % name)
            is_(client.get('/crl/iss-test.crl')[0], 200, '%s: lists are not meant' % name)
            is_(figure(edge, SHEDS, reason='source', issuer='') - sheds, 40.0 - good, '%s: those turned away are counted' % name)
    unlike(edge.log(), r'limiting requests', 'and do not fill the log')
    with Client(edge, '127.0.0.8') as client:
        first = wait_for('the rate', lambda: signed([client.post(der)]), 3)
        ok(first, 'a source that waits is answered again')


def over_reloads(edge):
    with_nonce = edge.ocsp_request('1001', words=())
    with Client(edge) as client:
        ok(signed([client.post(with_nonce)]), 'one a minute')
        status, headers, body = client.post(with_nonce)
        is_(body, TRY_LATER, 'is not two')
        ok(30 < int(headers['Retry-After']) <= 63, 'and Retry-After tells when', headers['Retry-After'])
    old = edge.worker_pids()
    edge.process.send_signal(signal.SIGHUP)
    wait_for('other workers', lambda: not set(old) & set(edge.worker_pids()), 10)
    with Client(edge) as client:
        is_(client.post(with_nonce)[2], TRY_LATER, 'a reload gives nothing back')


def refused(edge):
    """Configurations with a mistake, each named by nginx."""
    cases = [
        ('pki_ocsp_nonce_limit', '', r'invalid number of arguments'),
        ('pki_ocsp_nonce_limit', 'source=fast', r'invalid parameter "source=fast"'),
        ('pki_ocsp_nonce_limit', 'total=0r/s', r'invalid parameter "total=0r/s"'),
        ('pki_ocsp_sign_limit', 'source=5r/s', r'invalid parameter "source=5r/s"'),
        ('pki_ocsp_sign_limit', 'total=5r/h', r'invalid parameter "total=5r/h"'),
    ]
    with open(edge.path('nginx.conf')) as file:
        good = file.read()
    texts = [(made(good, **{name: words}), pattern) for name, words, pattern in cases]
    texts += [(good.replace('zone=ocsp_sign:64k', 'zone=ocsp_sign:4k'), r'needs a larger zone'),
              (good.replace('zone=ocsp_sign:64k', 'zone=ocsp_nonce:1m'), r'zone that is in use already'),
              (good.replace('pki_ocsp_error unauthorized', 'pki_ocsp_error sorry'), r'takes "unauthorized" or "tryLater"')]
    for text, pattern in texts:
        with open(edge.path('bad.conf'), 'w') as file:
            file.write(text)
        told = subprocess.run(['/usr/sbin/nginx', '-t', '-q', '-p', edge.var, '-c', edge.path('bad.conf')], capture_output=True, text=True,
                              env=edge.environment())
        like('%d %s' % (told.returncode, told.stderr), r'(?s)^1 .*' + pattern, 'nginx refuses: ' + pattern)


def started(**values):
    edge = Edge(workers=2, text=lambda text: made(text, **values))
    edge.fill_all('status=1001,good', 'status=1002,revoked,1', 'count=200')
    edge.start()
    return edge


for values, checks in (
        ({'pki_ocsp_nonce_limit': 'source=10r/s total=40r/s', 'pki_ocsp_sign_limit': 'total=30r/s'},
         (nonces, nonces_in_total, signatures)),
        ({'pki_ocsp_nonce_limit': 'source=1r/m'}, (over_reloads, refused))):
    edge = started(**values)
    for check in checks:
        check(edge)
    edge.stop()
    unlike(edge.log(), r'\[(alert|emerg|crit)\]|AddressSanitizer|runtime error', 'nothing alarming in the log')

edge = Edge(workers=2, text=lambda text: text.replace('rate=1000r/s', 'rate=10r/s').replace('burst=2000', 'burst=5'))
edge.fill_all('status=1001,good')
edge.start()
sources(edge)
edge.stop()
done()
