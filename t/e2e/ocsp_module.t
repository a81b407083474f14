#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""The OCSP module over a store that no daemon writes: answers, errors, and a store that comes and goes."""

import base64
import calendar
import os
import re
import shutil
import signal
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import done, is_, like, ok, openssl, unlike, wait_for  # noqa: E402
from edge import Edge  # noqa: E402

TYPE = 'application/ocsp-response'
MALFORMED, INTERNAL, TRY_LATER, UNAUTHORIZED = (b'\x30\x03\x0a\x01' + bytes([n]) for n in (1, 2, 3, 6))


def status_of(edge, serial):
    """The openssl client's one word for a serial."""
    found = re.search(r'^0x%s: (\w+)' % serial, edge.ocsp(serial, words=('-no_nonce',)), re.M)
    return found and found.group(1)


def times_of(text):
    found = re.findall(r'(?:This|Next) Update: (.*) GMT', text)
    return [calendar.timegm(time.strptime(each, '%b %d %H:%M:%S %Y')) for each in found]


def parsed(edge, der):
    name = os.path.join(edge.folder, 'response.der')
    with open(name, 'wb') as file:
        file.write(der)
    return openssl('ocsp', '-respin', name, '-resp_text', '-noverify', check=False).out


def without_a_store(edge):
    status, headers, body = edge.ocsp_post(edge.ocsp_request('1001'))
    is_((status, headers['Content-Type'], body), (200, TYPE, TRY_LATER), 'without a store OCSP answers tryLater')
    status, headers, body = edge.http('GET', '/crl/iss-test.crl')
    is_((status, headers['Content-Type']), (503, 'text/plain'), 'and a CRL 503')
    ok(int(headers['Retry-After'] or 0) >= 1, 'with Retry-After')
    edge.fill_all('status=1001,good', 'status=1002,revoked,1', 'status=1003,hold', 'status=1004,revoked', 'status=00ff01,good', 'status=7fffffffffffffff,good',
                  'count=2000')

    def is_opened():
        return {status_of(edge, '1001') for _ in range(6)} == {'good'} and edge.log().count('" opened') == edge.workers

    ok(wait_for('the store', is_opened, 20), 'a store that appears is opened, by every worker')


def what_clients_get(edge):
    text = edge.ocsp('1001')
    like(text, r'Response verify OK', 'openssl verifies the answer')
    like(text, r'0x1001: good', 'good')
    unlike(text, r'no nonce', 'its nonce comes back')
    this, following = times_of(text)
    ok(this <= time.time() < following, 'now is between thisUpdate and nextUpdate')
    is_(following - this, 3600, "nextUpdate is as far off as the issuer's setting says")
    like(edge.ocsp('1002'), r'0x1002: revoked\n(.*\n)*\s+Reason: keyCompromise', 'revoked, with its reason')
    like(edge.ocsp('1003'), r'0x1003: revoked\n(.*\n)*\s+Reason: certificateHold', 'on hold')
    unlike(edge.ocsp('1004'), r'Reason:', 'no reason where none is recorded')
    like(edge.ocsp('1005'), r'unauthorized', 'a serial that was not issued is unauthorized')
    like(edge.ocsp('FF01'), r'0xFF01: good', 'a serial with its first bit set')
    like(edge.ocsp('1001', url='http://127.0.0.1:%d/.well-known/pki/ocsp/iss-test' % edge.http_port), r'0x1001: good',
         'below /.well-known/pki too')


def get_and_post(edge):
    der = edge.ocsp_request('1001')
    status, headers, posted = edge.ocsp_post(der)
    is_((status, headers['Content-Type'], int(headers['Content-Length'])), (200, TYPE, len(posted)), 'POST')
    like(parsed(edge, posted), r'Responder Id: [0-9A-F]{40}\n', 'the responder is named by its key')
    is_(edge.ocsp_post(der)[2], posted, 'asked again, the same octets: from the cache')
    text = base64.b64encode(der).decode()
    spellings = {
        'percent-encoded': urllib.parse.quote(text, safe=''), 'raw': text, 'lower-case escapes': text.replace('=', '%3d').replace('/', '%2f'),
        'without padding': text.rstrip('='), 'after two slashes': '/' + text, 'with a query': text + '?x=1',
    }
    for name, spelling in spellings.items():
        status, headers, body = edge.http('GET', '/ocsp/iss-test/' + spelling)
        is_((status, headers['Content-Type'], body == posted), (200, TYPE, True), 'GET, %s: the same octets' % name)
    der = edge.ocsp_request('7fffffffffffffff')
    ok(b'//' in base64.b64encode(der), 'base64 with slashes next to each other')
    like(parsed(edge, edge.http('GET', '/ocsp/iss-test/' + base64.b64encode(der).decode())[2]), r'Cert Status: good', 'is understood raw')
    der = edge.ocsp_request('1001')
    status, headers, body = edge.http('HEAD', '/ocsp/iss-test/' + spellings['percent-encoded'])
    is_((status, int(headers['Content-Length']), body), (200, len(posted), b''), 'HEAD')
    is_(edge.http('POST', '/ocsp/iss-test', der)[2], posted, 'POST without a media type')
    is_(edge.http('POST', '/ocsp/iss-test/', der, {'Content-Type': TYPE + '; a=b'})[2], posted, 'POST with another, to the path with a slash')
    is_(edge.http('POST', '/ocsp/iss-test', der, chunked=True)[2], posted, 'POST in chunks')


def errors(edge):
    der = edge.ocsp_request('1001')
    status, headers, body = edge.ocsp_post(der, 'nobody')
    is_((status, headers['Content-Type']), (404, 'text/plain'), 'an unknown issuer: 404')
    for method in ('PUT', 'DELETE', 'OPTIONS'):
        status, headers, body = edge.http(method, '/ocsp/iss-test')
        is_((status, headers['Allow'], headers['Content-Type']), (405, 'GET, POST, HEAD', 'text/plain'), '%s: 405 with Allow' % method)
    for chunked in (False, True):
        status, headers, body = edge.http('POST', '/ocsp/iss-test', bytes(10241), chunked=chunked)
        is_((status, headers['Content-Type']), (413, 'text/plain'), 'a body over the limit, %s: 413' % ('chunked' if chunked else 'announced'))
    is_(edge.http('POST', '/ocsp/iss-test', bytes(10240))[2], MALFORMED, 'as large as may be, and no request')
    is_(edge.http('GET', '/ocsp/iss-test/*nothing*')[2], MALFORMED, 'what is not base64: malformedRequest')
    status, headers, body = edge.http('GET', '/ocsp/iss-test/%00%zz')
    is_((status, headers['Content-Type']), (400, 'text/plain'), 'what is not even percent-encoded: 400')
    is_(edge.ocsp_post(os.urandom(9000))[2], MALFORMED, 'random octets: malformedRequest')
    ok(status_of(edge, '1001') == 'good', 'and answers go on')


def revoked_at_once(edge):
    request = edge.ocsp_request('1001')
    is_(status_of(edge, '1001'), 'good', 'good and cached')
    edge.fill('status=1001,revoked,1')
    seen = {re.search(r'Cert Status: (\w+)', parsed(edge, edge.ocsp_post(request)[2])).group(1) for _ in range(40)}
    is_(seen, {'revoked'}, 'the next answers of every worker say revoked')
    edge.fill('status=1001,good')
    is_(status_of(edge, '1001'), 'good', 'and good again')


def replaced(edge):
    other = edge.store + '.new'
    edge.fill_all('status=1001,revoked,4', 'count=10', into=other)
    os.rename(edge.store, edge.store + '.old')
    os.rename(other, edge.store)
    edge.fill('retired=1', into=edge.store + '.old')
    opened, seen = edge.log().count('opened'), set()

    def everybody():
        seen.add(status_of(edge, '1001'))
        return edge.log().count('opened') == opened + edge.workers
    ok(wait_for('every worker', everybody), 'every worker opens the store that took the place of a retired one')
    is_(seen, {'revoked'}, 'and leaves the old one at once')
    shutil.rmtree(edge.store + '.old')
    shutil.rmtree(edge.store)
    is_(status_of(edge, '1001'), 'revoked', 'a store that is deleted serves on')
    edge.fill_all('status=1001,good')
    is_(wait_for('the new store', lambda: status_of(edge, '1001') == 'good', 3), True, 'until another is in its place')


def ages(edge):
    edge.fill('synced=600')
    this, following = times_of(edge.ocsp('1001'))
    ok(599 <= time.time() - this < 700, 'thisUpdate is when the store was in step with the database')
    is_(following - this, 3600, 'and nextUpdate goes from there')
    edge.fill('synced=3600')
    like(edge.ocsp('1001'), r'trylater', 'a store older than an answer may be: tryLater')
    edge.fill('boot=00112233445566778899aabbccddeeff')
    like(edge.ocsp('1001'), r'trylater', 'a store left by an earlier boot: tryLater')
    edge.fill()
    is_(status_of(edge, '1001'), 'good', 'and good when it is in step again')


def responders(edge):
    edge.pki.issue('second', '/CN=Edge Test OCSP 2', 'ca', 'ocsp')
    edge.fill('responder=%s,%s' % (edge.pki.path('second.pem'), edge.pki.path('second.key')))
    like(parsed(edge, edge.ocsp_post(edge.ocsp_request('1001'))[2]), r'Subject: CN ?= ?Edge Test OCSP 2', 'a new responder signs at once')
    is_(status_of(edge, '1001'), 'good', 'and its answers verify')
    edge.fill('responder=%s,%s' % (edge.pki.path('second.pem'), edge.pki.path('responder.key')))
    like(edge.ocsp('1001'), r'trylater', "a key that is not the certificate's: tryLater")
    like(edge.log(), r"is not the certificate's", 'and a line in the log')
    edge.pki.key('third', 'RSA')
    edge.pki.issue('rsa', '/CN=Edge Test OCSP 3', 'ca', 'ocsp', key='third')
    edge.fill('responder=%s,%s' % (edge.pki.path('rsa.pem'), edge.pki.path('rsa.key')))
    text = edge.ocsp('1001')
    ok('Response verify OK' in text and '0x1001: good' in text, 'an RSA responder', text)


def killed(edge):
    before = edge.worker_pids()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    ok(wait_for('new workers', lambda: not set(before) & set(edge.worker_pids()) and len(edge.worker_pids()) == 2, 5), 'killed workers are replaced')
    is_({status_of(edge, '1001') for _ in range(6)}, {'good'}, 'and answers go on')
    edge.process.send_signal(signal.SIGHUP)
    is_({status_of(edge, '1001') for _ in range(6)}, {'good'}, 'also over a reload')


edge = Edge(workers=2)
edge.start()
for check in (without_a_store, what_clients_get, get_and_post, errors, revoked_at_once, replaced, ages, responders, killed):
    check(edge)
edge.stop()
unlike(edge.log(), r'\[(alert|emerg|crit)\](?!.*exited on signal 9)|AddressSanitizer|runtime error', 'nothing alarming in the log')
done()
