#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""Single certificates, which have a socket of their own: the same answers, for the same callers, also many at once."""

import http.client
import json
import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, like, ok, wait_for  # noqa: E402

CERTIFICATES = '/api/v1/certificates'
MADE = 40


class Wire:
    """One connection to a socket of the orchestrator, kept."""

    def __init__(self, s, name):
        self.c = socket.socket(socket.AF_UNIX)
        self.c.settimeout(20)
        self.c.connect(s.path('run/%s.sock' % name))
        self.file = self.c.makefile('rb')

    def send(self, text):
        self.c.sendall(text.encode())

    def get(self, path, *headers):
        self.send('GET %s HTTP/1.1\r\nHost: x\r\nX-Request-ID: same\r\n%s\r\n' % (path, ''.join(h + '\r\n' for h in headers)))
        return self.answer()

    def answer(self):
        status = self.file.readline().split()
        found = http.client.parse_headers(self.file)
        body = self.file.read(int(found.get('Content-Length', 0)))
        # libmicrohttpd gives a 304 the length of nothing
        left_out = ('Date', 'Connection') + (('Content-Length',) if int(status[1]) == 304 else ())
        return int(status[1]), {n.lower(): v for n, v in found.items() if n not in left_out}, body


def bearer(key):
    return 'Authorization: Bearer ' + key


def make(s):
    """Certificates with what a row may have in it."""
    s.psql("""INSERT INTO managed_certificate (id, name, source, profile_id, issuer_no, common_name, subject, subject_der, sans, status,
                                               expires_at, last_serial, tags)
              SELECT 'mc-row-' || n, E'row "' || n || E'" \\\\ \\u00fc', 'API', 'prof-device', i.no, NULL, 'CN=row', '', '{dns:a,dns:b}', 'Active',
                     now() + make_interval(days => n), '\\x4001', '{"app": "x"}'
                FROM issuer i, generate_series(1, %d) n WHERE i.id = '%s'""" % (MADE, s.issuer_id))


def alike(s, key):
    rows, api = Wire(s, 'rows'), Wire(s, 'api')
    tag = 'If-None-Match: ' + rows.get(CERTIFICATES + '/mc-row-1', bearer(key))[1]['etag']
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
        ('a session that is none', '/mc-row-1', ['Cookie: a=b; __Host-chancery_session=nobody; c=d']),
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
    rows = Wire(s, 'rows')
    is_([rows.get(CERTIFICATES + '/mc-row-2', bearer(made['key']))[0] for _ in range(3)], [200] * 3, 'a key that may read does')
    is_([rows.get(CERTIFICATES + '/mc-row-2', bearer(other['key']))[0] for _ in range(3)], [403] * 3, 'one that may not does not')
    gone = s.http('DELETE', '/api/v1/auth/keys/' + made['id'], None, admin, tls=True).status
    is_((gone, rows.get(CERTIFICATES + '/mc-row-2', bearer(made['key']))[0]), (204, 401), 'nor does one that was taken away, at once')


def hostile(s, key):
    for what, text in (('another method', 'POST %s/mc-row-1 HTTP/1.1\r\nContent-Length: 0\r\n\r\n'),
                       ('a body', 'GET %s/mc-row-1 HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody'),
                       ('a coding', 'GET %s/mc-row-1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n')):
        wire = Wire(s, 'rows')
        wire.send(text % CERTIFICATES)
        is_((wire.answer()[0], wire.file.read()), (400, b''), '%s is refused, and the connection ended' % what)
    wire = Wire(s, 'rows')
    for octet in 'GET %s/mc-row-1 HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n' % (CERTIFICATES, bearer(key)):
        wire.send(octet)
    is_(wire.answer()[0], 200, 'a request may come in pieces')
    wire = Wire(s, 'rows')
    wire.send('GET %s/mc-row-1 HTTP/1.1\r\n' % CERTIFICATES)
    wire.c.close()
    is_(Wire(s, 'rows').get(CERTIFICATES + '/mc-row-1', bearer(key))[0], 200, 'or not at all: others are served')


def outage(s, key):
    frozen = s.freeze('postgres')
    try:
        began = time.monotonic()
        status, headers, _ = Wire(s, 'rows').get(CERTIFICATES + '/mc-row-1', bearer(key))
        is_((status, 'retry-after' in headers), (503, True), 'while PostgreSQL hangs the answer is 503 with Retry-After')
        ok(time.monotonic() - began < 5, 'in time')
        is_(Wire(s, 'api').get('/health')[0], 200, 'and /health is good')
    finally:
        s.thaw(frozen)
    ok(wait_for('PostgreSQL', lambda: Wire(s, 'rows').get(CERTIFICATES + '/mc-row-1', bearer(key))[0] == 200, 20), 'then it is as before')


with Stack(workers=1) as s:
    make(s)
    alike(s, s.env['CHANCERY_API_KEY'])
    together(s, s.env['CHANCERY_API_KEY'])
    rights(s, s.env['CHANCERY_API_KEY'])
    hostile(s, s.env['CHANCERY_API_KEY'])
    outage(s, s.env['CHANCERY_API_KEY'])
    like(s.log(), r'"?event"?[=:]"?rows.refused|rows.refused', 'what was refused is in the log')
done()
