#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""Single certificates, which have a socket of their own: the same answers, for the same callers, also many at once."""

import http.client
import json
import os
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import frame                                               # noqa: E402
from chancery import Stack, done, is_, like, ok, wait_for  # noqa: E402

CERTIFICATES = '/api/v1/certificates'
MADE = 40


class Api:
    """The socket of the API, asked with HTTP on a connection that is kept."""

    def __init__(self, s):
        self.c = socket.socket(socket.AF_UNIX)
        self.c.settimeout(20)
        self.c.connect(s.path('run/api.sock'))
        self.file = self.c.makefile('rb')

    def get(self, path, *headers):
        self.c.sendall(('GET %s HTTP/1.1\r\nHost: x\r\nX-Request-ID: same\r\n%s\r\n' % (
            path, ''.join('%s: %s\r\n' % each for each in headers))).encode())
        status = self.file.readline().split()
        found = http.client.parse_headers(self.file)
        body = self.file.read(int(found.get('Content-Length', 0)))
        # A frame has its length elsewhere.
        return int(status[1]), {n.lower(): v for n, v in found.items() if n not in ('Date', 'Connection', 'Content-Length')}, body


def question(path, *headers):
    return frame.relay([(':target', path), ('X-Request-ID', 'same'), *headers])


def answer(octets):
    found = dict(frame.unrelay(octets))
    status, body = int(found.pop(':status')), found.pop(':body', b'')
    return status, {name.lower(): value.decode() for name, value in found.items()}, body


class Rows(frame.Client):
    def __init__(self, s):
        super().__init__(s.path('run/rows.sock'))

    def get(self, path, *headers):
        return answer(self.ask(question(path, *headers)))


def bearer(key):
    return 'Authorization', 'Bearer ' + key


def make(s):
    """Certificates with what a row may have in it."""
    s.psql("""INSERT INTO managed_certificate (id, name, source, profile_id, issuer_no, common_name, subject, subject_der, sans, status,
                                               expires_at, last_serial, tags)
              SELECT 'mc-row-' || n, E'row "' || n || E'" \\\\ \\u00fc', 'API', 'prof-device', i.no, NULL, 'CN=row', '', '{dns:a,dns:b}', 'Active',
                     now() + make_interval(days => n), '\\x4001', '{"app": "x"}'
                FROM issuer i, generate_series(1, %d) n WHERE i.id = '%s'""" % (MADE, s.issuer_id))


def alike(s, key):
    rows, api = Rows(s), Api(s)
    tag = 'If-None-Match', rows.get(CERTIFICATES + '/mc-row-1', bearer(key))[1]['etag']
    cases = (
        ('a certificate', '/mc-row-1', [bearer(key)]),
        ('sparse fields', '/mc-row-1?fields=id,name', [bearer(key)]),
        ('a tag that is the row\'s', '/mc-row-1', [bearer(key), tag]),
        ('no such certificate', '/mc-none', [bearer(key)]),
        ('an unknown query parameter', '/mc-row-1?what=1', [bearer(key)]),
        ('an unknown field', '/mc-row-1?fields=what', [bearer(key)]),
        ('a path that is none', '/mc-row-1/what', [bearer(key)]),
        ('a list', '?page_size=2', [bearer(key)]),
        ('a wrong key', '/mc-row-1', [bearer('ck_wrong')]),
        ('no key', '/mc-row-1', []),
        ('a session that is none', '/mc-row-1', [('Cookie', 'a=b; __Host-chancery_session=nobody; c=d')]),
    )
    for what, path, headers in cases:
        for again in range(2):  # whoever calls is known the second time
            is_(rows.get(CERTIFICATES + path, *headers), api.get(CERTIFICATES + path, *headers), '%s: as from the API%s' % (
                what, ', again' if again else ''))


def together(s, key):
    """Through nginx, and each gets its own."""
    wrong, answers = [], []

    def ask(first):
        for n in range(first, first + MADE):
            name = 'mc-row-%d' % (1 + n % (MADE + 1))  # one of them is not there
            got = s.http('GET', CERTIFICATES + '/' + name, None, {'Authorization': 'Bearer ' + key}, tls=True)
            answers.append(got.status)
            if got.status != (200 if n % (MADE + 1) < MADE else 404) or (got.status == 200 and got.json['id'] != name):
                wrong.append((name, got))

    threads = [threading.Thread(target=ask, args=(n * 5,)) for n in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    is_((len(answers), wrong), (8 * MADE, []), 'callers that ask at once get each their own certificate')
    told = s.http('GET', '/api/v1/audit?limit=1', None, {'Authorization': 'Bearer ' + key}, tls=True)
    is_(told.status, 200, 'the audit can be read')
    is_(int(s.psql("SELECT count(*) FROM audit_event WHERE action = 'certificate.read' AND resource_id LIKE 'mc-row-%' AND"
                   " request_id <> 'same'")), 8 * MADE, 'and has each call once, for whoever reads it')


def rights(s, key):
    admin = {'Authorization': 'Bearer ' + key, 'Content-Type': 'application/json'}
    made = s.http('POST', '/api/v1/auth/keys', json.dumps({'name': 'reader', 'permissions': ['cert.read']}), admin, tls=True).json
    other = s.http('POST', '/api/v1/auth/keys', json.dumps({'name': 'other', 'permissions': ['job.read']}), admin, tls=True).json
    rows = Rows(s)
    is_([rows.get(CERTIFICATES + '/mc-row-2', bearer(made['key']))[0] for _ in range(3)], [200] * 3, 'a key that may read does')
    is_([rows.get(CERTIFICATES + '/mc-row-2', bearer(other['key']))[0] for _ in range(3)], [403] * 3, 'one that may not does not')
    gone = s.http('DELETE', '/api/v1/auth/keys/' + made['id'], None, admin, tls=True).status
    is_((gone, rows.get(CERTIFICATES + '/mc-row-2', bearer(made['key']))[0]), (204, 401), 'nor does one that was taken away, at once')


def one_write(s, key):
    """As nginx passes on what comes to it at once."""
    rows, known = Rows(s), bearer(key)
    names = ['mc-row-%d' % (1 + n % MADE) for n in range(300)]
    found = [answer(each) for each in rows.many([question(CERTIFICATES + '/' + name, known) for name in names])]
    is_([json.loads(body)['id'] for _, _, body in found], names, 'hundreds in one write get each their own certificate')
    mixed = [(200, '/mc-row-1', known), (404, '/mc-none', known), (401, '/mc-row-1', bearer('ck_wrong')), (200, '?page_size=1', known),
             (304, '/mc-row-1', known, ('If-None-Match', found[0][1]['etag'])), (400, '/mc-row-1?what=1', known)] * 20
    is_([answer(each)[0] for each in rows.many([question(CERTIFICATES + path, *headers) for _, path, *headers in mixed])],
        [status for status, *_ in mixed], 'whatever they are about')


def hostile(s, key):
    rows, good = Rows(s), question(CERTIFICATES + '/mc-row-1', bearer(key))
    is_(rows.many([b'', b'nothing', good[:-1], frame.relay([('Accept', '*/*')]), frame.relay([(':target', b'')]),
                   frame.relay([(':target', b'/a\0b')]), frame.relay([(':target', '/')] + [('X', '')] * 100)]), [b''] * 7,
        'what is no request has no answer')
    is_([answer(each)[0] for each in rows.many([frame.relay([(':target', each), bearer(key)]) for each in (
        'what', '/', '*', '/%00', '/api/v1/events', '/api/v1/audit/export')])], [400, 404, 400, 400, 400, 400],
        'what is asked for is looked at, and has to be for this socket')
    for octet in frame.frame(9, good):
        rows.c.sendall(bytes([octet]))
    no, octets = rows.take()
    is_((no, answer(octets)[0]), (9, 200), 'a request may come in pieces')
    for octets, what in ((b'GET / HTTP/1.1\r\n\r\n', 'what is no frame'), ((frame.ASK_MAX + 1).to_bytes(4, 'big'), 'one that is too large')):
        wire = Rows(s)
        wire.c.sendall(octets)
        is_(wire.take(), None, '%s ends its connection' % what)
    for n in range(20):
        wire = Rows(s)
        wire.c.sendall(b''.join(frame.frame(no, good) for no in range(200)) + frame.frame(200, good)[:-1])
        if n % 2:
            wire.take()
        wire.close()
    is_(answer(rows.ask(good))[0], 200, 'and no other; nor do those that go away')


def ending(s, key):
    rows = Rows(s)
    is_(answer(rows.ask(question(CERTIFICATES + '/mc-row-1', bearer(key))))[0], 200, 'a connection is kept')
    numbers = [rows.send(question(CERTIFICATES + '/mc-row-%d' % n, bearer(key))) for n in range(1, MADE)]
    old = s.kill('orchestrator', signal.SIGTERM)
    found = list(iter(rows.take, None))
    is_({answer(octets)[0] for _, octets in found} | {200}, {200}, 'until the orchestrator ends, which answers what it has read')
    is_(sorted(no for no, _ in found), numbers[:len(found)], 'and leaves nothing out')
    ok(s.wait_again('orchestrator', old) and s.wait_ready(), 'it comes back')
    is_(Rows(s).get(CERTIFICATES + '/mc-row-1', bearer(key))[0], 200, 'the next one is served')
    is_(s.http('GET', CERTIFICATES + '/mc-row-1', None, {'Authorization': 'Bearer ' + key}, tls=True).status, 200, 'nginx\' too')


def outage(s, key):
    frozen = s.freeze('postgres')
    try:
        began = time.monotonic()
        status, headers, _ = Rows(s).get(CERTIFICATES + '/mc-row-1', bearer(key))
        is_((status, 'retry-after' in headers), (503, True), 'while PostgreSQL hangs the answer is 503 with Retry-After')
        ok(time.monotonic() - began < 5, 'in time')
        is_(Api(s).get('/health')[0], 200, 'and /health is good')
    finally:
        s.thaw(frozen)
    ok(wait_for('PostgreSQL', lambda: Rows(s).get(CERTIFICATES + '/mc-row-1', bearer(key))[0] == 200, 20), 'then it is as before')


with Stack(workers=1) as s:
    make(s)
    alike(s, s.env['CHANCERY_API_KEY'])
    together(s, s.env['CHANCERY_API_KEY'])
    rights(s, s.env['CHANCERY_API_KEY'])
    one_write(s, s.env['CHANCERY_API_KEY'])
    hostile(s, s.env['CHANCERY_API_KEY'])
    ending(s, s.env['CHANCERY_API_KEY'])
    outage(s, s.env['CHANCERY_API_KEY'])
    like(s.log(), r'"?event"?[=:]"?rows.refused|rows.refused', 'what was refused is in the log')
done()
