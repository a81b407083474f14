#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
OCSP with one nginx worker over a store of 1,000,000 certificates, keepalive, serials in random order.

Ratios are of answers for each second of the servers' CPU, so that they hold when the machine has other things to do
and when the load generator is the slower side; the ratio by answers a second is printed beside it.  On both sides the
requests are the same octets but for the path.
"""

import atexit
import os
import re
import shutil
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from bench import (Background, Figure, done, duel, line, ocsp_load, openssl_sign_rate, pick,  # noqa: E402
                   skipped, tool)
from chancery import wait_for                                                                       # noqa: E402
from edge import Edge, free_port, kept, unlimited                                                   # noqa: E402

CERTIFICATES = pick(1000000, 20000)
LEARNED = pick(100000, 5000)   # certificates whose ETags are learned, and that cfssl gets (it is slow to begin)
CACHE = pick('1024m', '64m')   # room for an answer about every certificate
SECONDS = pick(2, 0.5)
ROUNDS, FLOODS = pick(5, 1), pick(3, 1)
OURS, BASELINE = '/ocsp/iss-test', '/baseline/iss-test'
HITS, MISSES = 'chancery_edge_cache_hits_total', 'chancery_edge_cache_misses_total'
SIGNATURES = 'chancery_edge_signatures_total'
LOST = 0.001                   # of the answers, which a full set of the cache may have put out
NGINX_FILE = ('last-modified', 'etag')  # that it gives to a file by itself
NGINX_OWN = ('server', 'date', 'content-type', 'content-length', 'connection')


class Bench:
    """The edge, and beside OCSP two locations of nginx's own that answer with as many octets and fields."""

    def __init__(self):
        self.locations, self.limited = '', False
        self.edge = Edge(workers=1, text=self.configure)
        self.edge.fill_all('count=%d' % CERTIFICATES)
        self.edge.start()
        status, fields, body = self.ask(OURS)
        if len(body) < 100:
            raise RuntimeError('the first certificate is answered %d %s' % (status, body.hex()))
        self.fields = [(name, value) for name, value in fields.items() if name.lower() not in NGINX_OWN]
        self.size = len(body)
        self.edge.stop()
        self.locations = self.theirs(body)
        self.edge.start()
        self.pid = self.edge.worker_pids()[0]
        self.alike()

    def configure(self, text):
        text = re.sub(r'(pki_ocsp_cache +zone=\w+):\w+', r'\1:' + CACHE, (kept if self.limited else unlimited)(text))
        return text.replace('# ---- devices', self.locations + '# ---- devices')

    def theirs(self, body):
        folder = self.edge.path('static')
        os.mkdir(folder)
        with open(os.path.join(folder, 'answer'), 'wb') as file:
            file.write(body)
        log = 'access_log %s/log/access.log pki_ocsp buffer=64k flush=1s;' % self.edge.var  # as OCSP's
        return '''
            location /baseline/ {
                %s
                default_type application/ocsp-response;
                %s
                return 200 "%s";
            }
            location /static/ {
                %s
                default_type application/ocsp-response;
                %s
                root %s;
            }
            ''' % (log, self.added(self.fields), 'x' * self.size,
                   log, self.added(each for each in self.fields if each[0].lower() not in NGINX_FILE), self.edge.var)

    @staticmethod
    def added(fields):
        return '\n'.join('add_header %s \'%s\';' % each for each in fields)

    def ask(self, path):
        serial = '40eceb66ffc86f38d952786c6d696c79'  # SHA-256 of "0"
        return self.edge.ocsp_post(self.edge.ocsp_request(serial), '', path)

    def alike(self):
        """The comparison is worth nothing when the two answers differ in the number of fields, or in size (an ECDSA
        signature has some octets more or less)."""
        ours, theirs = self.ask(OURS), self.ask(BASELINE)
        if len(ours[1]) != len(theirs[1]) or abs(len(ours[2]) - len(theirs[2])) > 6:
            raise RuntimeError('%s %d octets, %s %d octets' % (ours[1].items(), len(ours[2]), theirs[1].items(),
                                                               len(theirs[2])))

    def load(self, path, *words, pid=None, port=None, seconds=SECONDS, **more):
        return Figure(ocsp_load('url=http://127.0.0.1:%d%s' % (port or self.edge.http_port, path), 'seconds=%g' % seconds,
                                'issuer=' + self.edge.pki.path('ca.pem'), 'count=%d' % CERTIFICATES,
                                'pid=%d' % (pid or self.pid), *words, **more))

    def warm(self):
        """Every answer is in the cache after this."""
        self.load(OURS, 'order=all', 'method=post', seconds=0)


def cached(b):
    misses, hits = b.edge.metric(MISSES), b.edge.metric(HITS)
    for method, goal in (('get', 0.85), ('post', 0.75)):
        ratio, text = duel(lambda: b.load(OURS, 'method=' + method, 'want=good'),
                           lambda: b.load(BASELINE, 'method=' + method, 'body=any'), ROUNDS)
        line('OCSP %s, cached / return 200' % method.upper(), ratio, goal,
             '%s; %d octets, %d fields' % (text, b.size, len(b.fields) + len(NGINX_OWN)))
    lost = (b.edge.metric(MISSES) - misses) / (b.edge.metric(HITS) - hits)
    if lost > LOST:
        raise RuntimeError('the cache does not hold every answer: %.3g of them were not there' % lost)


def not_modified(figure):
    if figure.load['http'].get('304', 0) < (1 - LOST) * figure.load['answers']:
        raise RuntimeError('not all were answered 304: %s' % figure.load)
    return figure


def conditional(b):
    what = 'OCSP GET, 304 / a static file of that size, 304'
    words = ['condition=etag', 'count=%d' % LEARNED]
    if not any(name.lower() == 'etag' for name, _ in b.fields):
        return skipped(what, 'OCSP answers have no ETag')
    b.load(OURS, *words, 'order=all', seconds=0)  # who asks again has asked before
    ratio, text = duel(lambda: not_modified(b.load(OURS, *words)),
                       lambda: not_modified(b.load('/static/answer?', *words, 'body=any')), ROUNDS)
    return line(what, ratio, 0.95, text)


def nonced(b):
    taken = []
    for _ in range(ROUNDS):
        ours = b.load(OURS, 'method=post', 'nonce=32', 'check=100', 'want=good')
        taken.append((ours.per_core, openssl_sign_rate(pick(3, 1)), ours.rate))
    line('OCSP POST with a nonce / openssl ecdsap256 sign', statistics.median(a / b for a, b, _ in taken), 0.5,
         '%.0f/s and %.0f/s of a core; %.0f/s' % tuple(statistics.median(each[i] for each in taken) for i in range(3)))


# ---- other responders ------------------------------------------------------------------------------------------


class Responder:
    """Somebody else's, with as many of the certificates."""

    def __init__(self, b, name, argv, port, count):
        self.b, self.port = b, port
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        atexit.register(self.stop)
        self.words = ['count=%d' % count, 'connections=16']
        if not wait_for(name, lambda: self.answers('method=post'), 120):
            self.stop()
            raise RuntimeError('%s does not answer' % name)
        self.method = 'method=get' if self.answers('method=get') else 'method=post'

    def answers(self, method):
        try:
            found = self.b.load('/', method, 'requests=20', 'connections=1', *self.words[:1], pid=self.process.pid,
                                port=self.port, failures=True, seconds=5).load
        except OSError:
            return False
        return found['answers'] == 20 and not found['failed']

    def load(self):
        return self.b.load('/', self.method, *self.words, pid=self.process.pid, port=self.port, failures=True)

    def stop(self):
        self.process.kill()
        self.process.wait()


def compare(b, what, start, goal):
    try:
        theirs = start()
    except (OSError, RuntimeError) as problem:
        return skipped(what, str(problem))
    try:
        ratio, text = duel(lambda: b.load(OURS, 'method=get'), theirs.load, ROUNDS)
        return line(what, ratio, goal, '%s; asked by %s' % (text, theirs.method[7:].upper()))
    finally:
        theirs.stop()


def cfssl(b):
    if not shutil.which('cfssl'):
        raise RuntimeError('golang-cfssl is not installed: tools/bootstrap bench')
    answers, port = os.path.join(b.edge.folder, 'answers'), free_port()
    b.load(OURS, 'method=post', 'order=all', 'count=%d' % LEARNED, 'save=' + answers, seconds=0)
    return Responder(b, 'cfssl', ['cfssl', 'ocspserve', '-port=%d' % port, '-responses=' + answers, '-loglevel=5'],
                     port, LEARNED)


def openssl_ocsp(b):
    index, port = os.path.join(b.edge.folder, 'index'), free_port()
    subprocess.run([tool('serials'), '%d' % CERTIFICATES, 'index'], stdout=open(index, 'w'), check=True)
    pki = b.edge.pki.path
    return Responder(b, 'openssl ocsp', ['openssl', 'ocsp', '-index', index, '-port', str(port), '-CA', pki('ca.pem'),
                                         '-rsigner', pki('responder.pem'), '-rkey', pki('responder.key'),
                                         '-ndays', '1'], port, CERTIFICATES)


# ---- attacks ---------------------------------------------------------------------------------------------------


def flooded(b, what, kind, *more, rate, words=()):
    """A load and beside it a flood as large, from one address; what is kept of the load's rate."""
    def legitimate():
        return b.load(OURS, 'method=get', 'rate=%.0f' % rate, 'want=good', *words).rate

    def attacked():
        flood = Background('url=http://127.0.0.1:%d%s' % (b.edge.http_port, OURS), 'rate=%.0f' % rate, 'source=127.0.9.1',
                           'issuer=' + b.edge.pki.path('ca.pem'), 'count=%d' % LEARNED, *more)
        try:
            kept_rate = legitimate()
        finally:
            came.append(flood.stop())
        return kept_rate

    came = []
    taken = [(attacked(), legitimate()) for _ in range(FLOODS)]
    line('OCSP kept under a flood as large, %s%s' % (kind, what), statistics.median(a / b for a, b in taken), 0.9,
         '%.0f/s offered, flood %.0f/s answered, %s' % (
             rate, statistics.median(each['rate'] for each in came),
             ', '.join('%s %d' % each for each in sorted(came[-1]['ocsp'].items()))))


def floods(b):
    """Offered is what two such loads leave a little of the worker idle with."""
    rate = 0.4 * b.load(OURS, 'method=get').rate
    signatures = b.edge.metric(SIGNATURES)
    for kind in ('random', 'garbage', 'oversize'):
        flooded(b, '', kind, 'flood=' + kind, rate=rate)
    line('signatures caused by these floods', int(b.edge.metric(SIGNATURES) - signatures), most=0)
    b.limited = True  # as the example configuration is: clients are many, the flood is one
    b.edge.configure()
    b.edge.reload()
    b.pid = b.edge.worker_pids()[0]
    many = ['source=127.1.0.1', 'sources=100', 'connections=100']
    for kind, more in (('mix', ['flood=mix']), ('nonces', ['nonce=32', 'body=any'])):
        flooded(b, ', with limits', kind, *more, rate=rate, words=many)


def main():
    b = Bench()
    b.warm()
    cached(b)
    conditional(b)
    nonced(b)
    compare(b, 'OCSP GET, cached, per core / cfssl ocspserve', lambda: cfssl(b), 2.5)
    compare(b, 'OCSP GET, cached, per core / openssl ocsp', lambda: openssl_ocsp(b), 5)
    floods(b)
    b.edge.remove()
    done()


main()
