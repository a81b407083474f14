#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""Server-sent events: what changes is told once and in order, to many, to who resumes, and to nobody who may not hear it."""

import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, like, ok, wait_for  # noqa: E402

V1 = '/api/v1'
PROFILE = {'key_kinds': ['p-256'], 'validity_s': 86400, 'eku': ['clientAuth']}


def call(s, method, path, body=None, key=None, headers=None):
    sent = {'Authorization': 'Bearer ' + (key if key is not None else s.env['CHANCERY_API_KEY'])}
    if body is not None:
        body, sent['Content-Type'] = json.dumps(body), 'application/json'
    sent.update(headers or {})
    return s.http(method, path, body, {name: value for name, value in sent.items() if value}, tls=True)


def code(answer):
    return answer.status, answer.json['error']['code']


def key_of(s, name, permissions):
    made = call(s, 'POST', V1 + '/auth/keys', {'name': name, 'permissions': permissions})
    return made.json['id'], made.json['key']


class Locked:
    """A session of the database's owner that holds a lock until it is let go."""

    def __init__(self, s, sql):
        self.p = subprocess.Popen(['psql', '-X', '-q', '-A', '-t', '-h', s.path('run/pg'), '-U', 'chancery', '-d', 'chancery'],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.p.stdin.write("BEGIN; %s; SELECT 'locked';\n" % sql)
        self.p.stdin.flush()
        while self.p.stdout.readline().strip() != 'locked':
            pass

    def free(self):
        self.p.stdin.close()
        self.p.wait(10)


class Stream:
    """A listener: events and comments as they come, in a thread of its own."""

    def __init__(self, s, query='', key=None, last=None):
        context = ssl.create_default_context(cafile=s.bundle)
        self.c = http.client.HTTPSConnection('localhost', s.https_port, timeout=60, context=context)
        headers = {'Authorization': 'Bearer ' + (key or s.env['CHANCERY_API_KEY']), 'Accept': 'text/event-stream'}
        if last:
            headers['Last-Event-ID'] = last
        self.c.request('GET', V1 + '/events' + query, headers=headers)
        self.answer = self.c.getresponse()
        self.refusal = json.loads(self.answer.read()) if self.answer.status != 200 else None
        self.events, self.told, self.comments, self.ended = [], [], 0, False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        event = {}
        try:
            for line in self.answer:
                line = line.decode().rstrip('\n')
                if line.startswith(':'):
                    self.comments += 1
                elif line:
                    name, _, value = line.partition(': ')
                    event[name] = value
                elif event:
                    self._take(event)
                    event = {}
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            pass
        self.ended = True

    def _take(self, event):
        if 'data' in event:
            self.told.append((event['event'], json.loads(event['data'])['resource_id']))
            self.events.append(event)

    def actions(self):
        return list(self.told)

    def wait(self, action, thing, seconds=5):
        return wait_for('%s %s' % (action, thing), lambda: (action, thing) in self.told[-100:], seconds)

    def close(self):
        try:
            self.c.sock.shutdown(socket.SHUT_RDWR)
        except (OSError, AttributeError):
            pass


def events(s):
    one, some, quiet = Stream(s), Stream(s, '?type=issuer,certificate'), Stream(s, '?type=nothing')
    is_((one.answer.status, one.answer.headers['Content-Type']), (200, 'text/event-stream'), 'a stream of events')
    ok(wait_for('a comment', lambda: one.comments), 'it begins at once')
    call(s, 'POST', V1 + '/profiles', {**PROFILE, 'name': 'Told'})
    call(s, 'GET', V1 + '/profiles')
    ok(one.wait('profile.create', 'prof-told'), 'a change is told')
    device = s.enrol('listened')
    ok(wait_for('an issuance', lambda: [each for each in one.actions() if each[0] == 'certificate.issue']), 'and an enrolment')
    data = json.loads(one.events[0]['data'])
    is_(sorted(data), ['action', 'actor', 'at', 'id', 'request_id', 'resource_id', 'type'], 'with what, when and who')
    ok(device and not [each for each in one.actions() if each[0].endswith(('.list', '.read', '.stream'))], 'reads are not')
    wait_for('the other stream', some.actions)  # each listener is told in its turn
    is_({each[0].split('.')[0] for each in some.actions()}, {'certificate'}, 'a filter keeps the others out')

    # A transaction that began before others and commits after them is told, also to who resumes.
    last = one.events[-1]['id']
    late = Locked(s, "INSERT INTO audit_event (actor, actor_type, action, resource_type, resource_id, status)"
                     " VALUES ('t', 'system', 'team.create', 'team', 'team-late', 201)")
    call(s, 'POST', V1 + '/profiles', {**PROFILE, 'name': 'Early'})
    time.sleep(1)
    ok(('profile.create', 'prof-early') not in one.actions(), 'while a transaction is open, nothing after it is told')
    late.p.stdin.write('COMMIT;\n')
    late.free()
    ok(one.wait('team.create', 'team-late') and one.wait('profile.create', 'prof-early'), 'then both are, in order')
    again = Stream(s, last=last)
    ok(again.wait('profile.create', 'prof-early'), 'Last-Event-ID resumes')
    tail = [each['id'] for each in one.events]
    is_([each['id'] for each in again.events], tail[tail.index(last) + 1:], 'with all that came after, and nothing else')
    is_(code(call(s, 'GET', V1 + '/events', headers={'Last-Event-ID': 'yesterday'})), (400, 'invalid'), 'an odd Last-Event-ID: 400')

    lazy = socket.socket(socket.AF_UNIX)
    lazy.connect(s.path('run/api.sock'))
    lazy.sendall(('GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n' % s.env['CHANCERY_API_KEY']).encode())
    wait_for('the lazy one', lambda: '\nchancery_event_listeners 5\n' in call(s, 'GET', V1 + '/metrics/prometheus').text)
    s.psql("INSERT INTO audit_event (actor, actor_type, action, resource_type, resource_id, status)"
           " SELECT 't', 'system', 'team.update', 'team', 'team-' || n, 200 FROM generate_series(1, 8000) AS n")
    ok(one.wait('team.update', 'team-8000', 20), 'eight thousand changes at once are told')
    told = [each[1] for each in one.actions() if each[0] == 'team.update']
    is_(told, ['team-%d' % n for n in range(1, 8001)], 'each once and in order')
    key_id, key = key_of(s, 'listener', ['event.read'])
    mine = Stream(s, key=key)
    ok(wait_for('a comment', lambda: mine.comments), 'a key may listen')
    call(s, 'DELETE', V1 + '/auth/keys/' + key_id)
    ok(wait_for('its end', lambda: mine.ended, 5), 'until it is revoked')
    ok(not one.ended, 'others go on')
    _, blind = key_of(s, 'blind', ['profile.read'])
    is_(code(call(s, 'GET', V1 + '/events', key=blind)), (403, 'forbidden'), 'it needs its own permission')

    many = [Stream(s) for _ in range(15)]
    is_([each.answer.status for each in many].count(200), 15, 'twenty listen')
    one_more = Stream(s)  # not call(): should there be a place, that would listen for ever
    is_((one_more.answer.status, one_more.refusal and one_more.refusal['error']['code']), (503, 'unavailable'), 'and no more than that')
    is_(call(s, 'GET', V1 + '/profiles').status, 200, 'which holds up nobody')
    call(s, 'POST', V1 + '/profiles', {**PROFILE, 'name': 'All'})
    ok(all(each.wait('profile.create', 'prof-all') for each in many), 'each of them hears')
    like(call(s, 'GET', V1 + '/metrics/prometheus').text, r'\nchancery_event_listeners 20\n', 'they are counted')
    for each in many:
        each.close()
    call(s, 'POST', V1 + '/profiles', {**PROFILE, 'name': 'Left'})  # what is written to them finds that they are gone
    ok(wait_for('an end', lambda: '\nchancery_event_listeners_dropped_total 1\n' in call(s, 'GET', V1 + '/metrics/prometheus').text, 20),
       'who takes nothing for ten seconds is dropped')
    ok(wait_for('a heartbeat', lambda: quiet.comments > 1, 20), 'a comment comes every 15 seconds')
    ok(wait_for('places', lambda: '\nchancery_event_listeners 4\n' in call(s, 'GET', V1 + '/metrics/prometheus').text, 20),
       'those who left made place')
    s.psql("SELECT setval('audit_event_no', last_value + 200000) FROM audit_event_no")
    answer = call(s, 'GET', V1 + '/events', headers={'Last-Event-ID': last})
    is_(code(answer), (400, 'invalid'), 'who was away for too long')
    like(answer.text, 'read the audit', 'is told where to look')
    return one


with Stack(env={'CHANCERY_LISTEN_EVENT_LISTENERS': '20', 'CHANCERY_LISTEN_WORKERS': '4'}) as s:
    listener = events(s)
    began = time.monotonic()
    is_(s.stop(), 0, 'with listeners there it still stops')
    ok(time.monotonic() - began < 20, 'within its time')
    ok(wait_for('the end', lambda: listener.ended), 'and their streams come to an end')
done()
