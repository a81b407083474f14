#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""What nginx counts: true sums, over workers, reloads and deaths; no labels of strangers' making; merged by the API."""

import base64
import http.client
import os
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import SLOW, Stack, done, is_, like, note_skip, ok, unlike, wait_for  # noqa: E402
from edge import Edge  # noqa: E402
from figures import Figures, UnixConnection, fetch, problems, promtool  # noqa: E402

REQUESTS = 'chancery_edge_requests_total'
METRICS = '/api/v1/metrics/prometheus'
DURATION = 'chancery_edge_request_duration_seconds_count'


def page(edge):
    return fetch(edge.path('run/nginx-metrics.sock'))[2]


def figures(edge):
    return Figures(page(edge))


class Growth:
    """By how much figures grow while something is done."""

    def __init__(self, edge):
        self.edge, self.before = edge, figures(edge)

    def of(self, name, **labels):
        return (figures(self.edge)(name, **labels) or 0) - (self.before(name, **labels) or 0)

    def is_(self, wanted, name, what, **labels):
        """Answers are counted when they are sent: wait a moment for the last one."""
        wait_for(what, lambda: self.of(name, **labels) == wanted, 2)
        return is_(self.of(name, **labels), float(wanted), what)


def well_formed(text, what):
    is_(problems(text), [], what + ': well-formed')
    told = promtool(text)
    if told is None:
        note_skip('promtool is not installed')
    else:
        is_(told, '', what + ': promtool has nothing to say')


def format_(edge):
    status, headers, text = fetch(edge.path('run/nginx-metrics.sock'))
    is_((status, headers['Content-Type']), (200, 'text/plain; version=0.0.4; charset=utf-8'), 'the page is there')
    well_formed(text, 'before any request')
    is_(fetch(edge.path('run/nginx-metrics.sock'), '/ocsp/iss-test')[0], 404, 'and nothing else is at its socket')
    for path in ('/metrics', '/_pki/metrics'):
        is_(edge.http('GET', path)[0], 404, '%s: not for the world' % path)


def ocsp(edge):
    g = Growth(edge)
    ask = {serial: edge.ocsp_request(serial) for serial in ('1001', '1002', '1005')}
    for serial, times in (('1001', 7), ('1002', 5), ('1005', 3)):
        for _ in range(times):
            edge.ocsp_post(ask[serial])
    for _ in range(2):
        edge.ocsp_post(edge.ocsp_request('1001', words=()))
    edge.ocsp_post(b'garbage')
    edge.http('GET', '/ocsp/iss-test/' + base64.b64encode(ask['1001']).decode())
    edge.http('PUT', '/ocsp/iss-test')
    edge.ocsp_post(edge.ocsp_request('1001', '1002'))
    for result, wanted in (('good', 10), ('revoked', 6), ('unauthorized', 3), ('malformed_request', 1), ('try_later', 0)):
        g.is_(wanted, REQUESTS, 'OCSP, %s' % result, module='ocsp', issuer='iss-test', result=result)
    g.is_(20, DURATION, 'as many times were taken', module='ocsp', issuer='iss-test')
    g.is_(1, REQUESTS, 'what is refused by its method has no issuer', module='ocsp', issuer='', result='refused')
    g.is_(2, 'chancery_edge_cache_misses_total', 'two answers were not in the cache', issuer='iss-test')
    g.is_(11, 'chancery_edge_cache_hits_total', 'and were for all others that could be', issuer='iss-test')
    g.is_(5, 'chancery_edge_signatures_total', 'signed: those two, two with a nonce, and one for two', issuer='iss-test')
    f = figures(edge)
    is_((f('chancery_edge_cache_entries'), f('chancery_edge_cache_insertions_total')), (2.0, 2.0), 'the cache has two entries')
    ok(0 < f('chancery_edge_cache_used_bytes') < 4096 < f('chancery_edge_cache_size_bytes'), 'of some octets')
    took = figures(edge)('chancery_edge_request_duration_seconds_sum', module='ocsp', issuer='iss-test')
    ok(0 < took < 20 * SLOW, 'it took some time, and not much', took)


def lists(edge):
    g = Growth(edge)
    etag = edge.http('GET', '/crl/iss-test.crl')[1]['ETag']
    edge.http('GET', '/ca/iss-test.crt')
    for _ in range(3):
        edge.http('GET', '/crl/iss-test.crl', headers={'If-None-Match': etag})
    edge.http('GET', '/crl/iss-test.crl', headers={'Range': 'bytes=1-2'})
    edge.http('POST', '/crl/iss-test.crl', b'x')
    for result, wanted in (('200', 2), ('304', 3), ('206', 1)):
        g.is_(wanted, REQUESTS, 'CRL and CA certificate, %s' % result, module='crl', issuer='iss-test', result=result)
    g.is_(1, REQUESTS, 'CRL, 405', module='crl', issuer='', result='405')


def est(edge):
    g = Growth(edge)
    connection = edge.tls()
    for path, times in (('/cacerts', 4), ('/nobody/cacerts', 2)):
        for _ in range(times):
            connection.request('GET', '/.well-known/est' + path)
            connection.getresponse().read()
    connection.request('POST', '/.well-known/est/simpleenroll', b'x', {'Content-Type': 'application/pkcs10'})
    connection.getresponse().read()
    connection.close()
    edge.http('GET', '/.well-known/est/cacerts')
    g.is_(4, REQUESTS, 'EST, 200', module='est', issuer='iss-test', result='200')
    g.is_(1, REQUESTS, 'EST, 401', module='est', issuer='iss-test', result='401')
    g.is_(2, REQUESTS, 'a label that is not there has no issuer', module='est', issuer='', result='404')
    g.is_(1, REQUESTS, 'nor has one that came without TLS', module='est', issuer='', result='403')


def strangers(edge):
    g = Growth(edge)
    before = figures(edge).series()
    for i in range(50):
        edge.ocsp_post(b'x', 'iss-%d' % i)
        edge.http('GET', '/crl/iss-%d.crl' % i)
        edge.http('GET', '/.well-known/est/label-%d/cacerts' % i)
    g.is_(50, REQUESTS, 'fifty OCSP requests for nobody are counted', module='ocsp', issuer='', result='refused')
    g.is_(50, REQUESTS, 'and fifty for lists', module='crl', issuer='', result='404')
    is_(figures(edge).series() - before, set(), 'and none of them made a figure of its own')


def reload(edge):
    g = Growth(edge)
    request = edge.ocsp_request('1001')
    for turn in range(3):
        for _ in range(10):
            edge.ocsp_post(request)
        old = edge.worker_pids()
        edge.process.send_signal(signal.SIGHUP)
        wait_for('other workers', lambda: not set(old) & set(edge.worker_pids()), 10)
    for _ in range(10):
        edge.ocsp_post(request)
    g.is_(40, REQUESTS, 'counts go on over three reloads', module='ocsp', issuer='iss-test', result='good')


class Crowd:
    """Clients that ask until they are told to stop, and how many answers they had."""

    def __init__(self, edge, count=4):
        self.edge, self.request = edge, edge.ocsp_request('1001')
        self.stop, self.answers = False, [0] * count
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(count)]
        for each in self.threads:
            each.start()

    def run(self, i):
        while not self.stop:
            connection = http.client.HTTPConnection('127.0.0.1', self.edge.http_port, timeout=10)
            try:
                while not self.stop:
                    connection.request('POST', '/ocsp/iss-test', self.request)
                    if connection.getresponse().read():
                        self.answers[i] += 1
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()

    def end(self):
        self.stop = True
        for each in self.threads:
            each.join()
        return sum(self.answers)


def killed(edge):
    g = Growth(edge)
    crowd, low, sums = Crowd(edge), 0, []
    for turn in range(6):
        time.sleep(0.2)
        os.kill(edge.worker_pids()[turn % 2], signal.SIGKILL)
        wait_for('another worker', lambda: len(edge.worker_pids()) == 2, 10)
        sums.append(g.of(REQUESTS, module='ocsp', result='good'))
    answers = crowd.end()
    is_(sums, sorted(sums), 'sums never go down while workers are killed')
    wait_for('the last', lambda: g.of(REQUESTS, module='ocsp', result='good') >= answers, 2)
    counted = g.of(REQUESTS, module='ocsp', result='good')
    ok(answers <= counted <= answers + 6 * len(crowd.answers), 'what was answered is counted',
       '%d answers, %d counted' % (answers, counted))
    ok(answers > 100, 'and it was not nothing (%d)' % answers)
    page_ = page(edge)
    well_formed(page_, 'after all that')
    text = edge.log()
    unlike(text, r'pki_metrics (is full|has no room)', 'the zone has room')


def age(edge):
    is_(figures(edge)('chancery_edge_store_up'), 1.0, 'there is a store')
    edge.fill('synced=600')
    seen = figures(edge)('chancery_edge_store_age_seconds')
    ok(600 <= seen < 700, 'and its age is told', seen)
    edge.fill('boot=00112233445566778899aabbccddeeff')
    is_((figures(edge)('chancery_edge_store_up'), figures(edge)('chancery_edge_store_age_seconds')), (0.0, None),
        'a store that cannot be used has none')
    edge.fill()


def small(edge):
    """More issuers than a zone has room for."""
    for i in range(300):
        edge.http('GET', '/ca/iss-small-%d.crt' % i)
    text = page(edge)
    well_formed(text, 'a zone that is full')
    wait_for('the last', lambda: figures(edge)(REQUESTS, module='crl', result='200') == 300, 2)
    f = figures(edge)
    is_(f(REQUESTS, module='crl', result='200'), 300.0, 'all is counted when the zone is full')
    ok(f(REQUESTS, module='crl', result='200', issuer='') > 0, 'some of it without a name')
    like(edge.log(), r'pki_metrics has no room for all issuers', 'and the log says so')


def upgraded(edge):
    ok(edge.upgrade(), 'another binary takes over')
    before = figures(edge)(REQUESTS, result='good') or 0.0
    edge.ocsp_post(edge.ocsp_request('1001'))
    is_(figures(edge)(REQUESTS, result='good') - before, 1.0, 'with the socket of the figures, and counts')


def without(edge):
    """No pki_metrics: all is served, and the page has no requests in it."""
    is_(edge.ocsp_post(edge.ocsp_request('1001'))[0], 200, 'without a zone there are answers')
    edge.http('GET', '/crl/iss-test.crl')
    f = figures(edge)
    is_((f(REQUESTS), f('chancery_edge_store_up')), (None, 1.0), 'and no counts')


def silent(path):
    """A socket that takes connections and says nothing."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o777)
    listener.listen(5)
    return listener


def direct(s):
    """The API's page without nginx in between: (status, text)."""
    connection = UnixConnection(s.path('run/api.sock'))
    try:
        connection.request('GET', METRICS, headers={'Authorization': 'Bearer ' + s.env['CHANCERY_API_KEY']})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def merged(s):
    device = s.enrol('metrics-1')
    is_(s.ocsp(device), 'good', 'a certificate is issued and good')
    answer = s.api('GET', METRICS)
    well_formed(answer.text, 'the API and nginx together')
    f = Figures(answer.text)
    is_(f('chancery_edge_up'), 1.0, 'nginx is up')
    ok(f(REQUESTS, module='ocsp', issuer=s.issuer_id, result='good') >= 1, 'its OCSP answers are in')
    ok(f(REQUESTS, module='est', issuer=s.issuer_id, result='200') >= 1, 'and its enrolments')
    ok(0 <= f('chancery_edge_store_age_seconds') < 60, "and the store's age")
    ok(f('chancery_certificates_issued_total') >= 1, 'beside those of the orchestrator')
    s.hold('nginx')
    wait_for('the end of the workers', lambda: Figures(direct(s)[1])('chancery_edge_up') == 0)
    status, text = direct(s)
    is_((status, Figures(text)('chancery_edge_up')), (200, 0.0), 'nginx is killed: chancery_edge_up is 0')
    well_formed(text, 'without nginx')
    os.unlink(s.path('run/nginx-metrics.sock'))
    listener = silent(s.path('run/nginx-metrics.sock'))
    began = time.monotonic()
    status, text = direct(s)
    took = time.monotonic() - began
    is_((status, Figures(text)('chancery_edge_up')), (200, 0.0), 'somebody silent: 0')
    ok(0.4 < took < 3 * SLOW, 'after half a second', took)
    listener.close()
    s.free('nginx')
    ok(wait_for('nginx', lambda: s.wait_ready() and Figures(s.api('GET', METRICS).text)('chancery_edge_up') == 1.0, 20),
       'nginx comes back in spite of the socket that was left behind')


edge = Edge(workers=2)
edge.fill_all('status=1001,good', 'status=1002,revoked,1', 'label=,basic,0', 'account=,device,secret')
edge.start()
for check in (format_, ocsp, lists, est, strangers, reload, killed, age):
    check(edge)
edge.stop()
unlike(edge.log(), r'\[(alert|emerg|crit)\](?!.*exited on signal 9)|AddressSanitizer|runtime error', 'nothing alarming in the log')

edge = Edge(workers=1, text=lambda text: text.replace('zone=pki_metrics:4m', 'zone=pki_metrics:64k'))
edge.fill_all(*[word for i in range(300) for word in ('issuer=iss-small-%d' % i, 'chain=' + edge.pki.path('chain.pem'))])
edge.start()
small(edge)
edge.stop()

edge = Edge(workers=1, text=lambda text: text.replace('pki_metrics    zone', '# pki_metrics zone'))
edge.fill_all('status=1001,good')
edge.start()
without(edge)
edge.stop()

if os.environ.get('NGINX_PRELOAD'):
    note_skip('nginx does not hand LD_PRELOAD to a new binary')
else:
    edge = Edge(workers=1, daemon=True)
    edge.fill_all('status=1001,good')
    edge.start()
    upgraded(edge)
    edge.stop()

with Stack() as stack:
    merged(stack)
done()
