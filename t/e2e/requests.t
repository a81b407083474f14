#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""What happens to a request around its handler: limits, CORS, idempotency keys, body hashes."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, like, ok, processes, unlike, wait_for  # noqa: E402

V1 = '/api/v1'
PAGES = 'https://ops.example'


def call(s, method, path, body=None, key=None, headers=None):
    sent = {'Authorization': 'Bearer ' + (key if key is not None else s.env['CHANCERY_API_KEY'])}
    if body is not None:
        body, sent['Content-Type'] = json.dumps(body), 'application/json'
    sent.update(headers or {})
    return s.http(method, path, body, {name: value for name, value in sent.items() if value}, tls=True)


def once(s, idem, path, body, **more):
    return call(s, 'POST', V1 + path, body, headers={'Idempotency-Key': idem}, **more)


def code(answer):
    return answer.status, answer.json['error']['code']


def key_of(s, name, permissions):
    made = call(s, 'POST', V1 + '/auth/keys', {'name': name, 'permissions': permissions})
    return made.json['id'], made.json['key']


# ---- limits ----------------------------------------------------------------------------------------------------


class Wire:
    """One connection to the socket that nginx uses, kept open: as many calls as fit into a second, from any address."""

    def __init__(self, s):
        self.c = socket.socket(socket.AF_UNIX)
        self.c.settimeout(20)
        self.c.connect(s.path('run/api.sock'))
        self.file = self.c.makefile('rb')

    def get(self, path, key=None, source='192.0.2.1'):
        """Status and headers."""
        words = 'GET %s HTTP/1.1\r\nHost: x\r\nX-Real-IP: %s\r\n' % (path, source)
        self.c.sendall((words + ('Authorization: Bearer %s\r\n' % key if key else '') + '\r\n').encode())
        status = int(self.file.readline().split()[1])
        headers = http.client.parse_headers(self.file)
        self.file.read(int(headers['Content-Length']))
        return status, headers


def flood(wire, count, path=V1 + '/profiles', **more):
    return [wire.get(path, **more) for _ in range(count)]


def limits(s):
    wire, key = Wire(s), s.env['CHANCERY_API_KEY']
    _, other = key_of(s, 'other', ['profile.read'])
    time.sleep(2)  # the bucket is full
    began = time.monotonic()
    answers = flood(wire, 300, key=key)
    most = 102 + 50 * (time.monotonic() - began)
    served = [status for status, _ in answers].count(200)
    ok(100 <= served <= most, 'a key may ask 100 times at once, and then 50 times a second', '%d, wanted at most %d' % (served, most))
    is_({status for status, _ in answers}, {200, 429}, 'and is refused with 429')
    refusal = [headers for status, headers in answers if status == 429][0]
    like(refusal['Retry-After'], '^1$', 'which says when to come again')
    is_(wire.get(V1 + '/profiles', key=other)[0], 200, 'another key from the same address is served')
    answer = call(s, 'GET', V1 + '/nothing', key='')
    is_(code(answer), (404, 'not_found'), 'and so is somebody without one')

    answers = flood(wire, 300, source='2001:db8:1:2::7')
    is_({status for status, _ in answers}, {401, 429}, 'without a key an address may ask no oftener')
    statuses = [status for status, _ in flood(wire, 60, source='2001:db8:1:2:ffff::1')]
    ok(429 in statuses, 'nor may another of the same /64')
    is_(wire.get(V1 + '/profiles', source='2001:db8:1:3::7')[0], 401, 'but one of the next /64')
    statuses = [status for status, _ in flood(wire, 60, key='chk_' + 'a' * 32, source='2001:db8:1:2::8')]
    ok(429 in statuses, 'a wrong key is as good as none')
    is_(wire.get(V1 + '/profiles', key=other, source='2001:db8:1:2::8')[0], 200, 'a right one is not')
    is_({status for status, _ in flood(wire, 200, path='/health', source='2001:db8:1:2::7')}, {200}, 'probes are never limited')
    ok(wait_for('the bucket', lambda: wire.get(V1 + '/profiles', key=key)[0] == 200, 5), 'a moment later the key may ask again')
    time.sleep(2)
    text = call(s, 'GET', V1 + '/metrics/prometheus').text
    like(text, r'chancery_http_requests_total\{method="GET",route="/api/v1/profiles",status="429"\} \d\d', 'refusals are counted')
    ok(wait_for('the audit', lambda: int(s.psql("SELECT count(*) FROM audit_event WHERE status = 429")) > 100), 'and in the audit')


# ---- CORS ------------------------------------------------------------------------------------------------------


def cors(s):
    path, asks = V1 + '/profiles', {'Access-Control-Request-Method': 'PUT'}
    answer = call(s, 'OPTIONS', path, key='', headers={'Origin': PAGES, **asks})
    is_((answer.status, answer.body), (204, b''), 'a preflight of an origin that is allowed is answered')
    is_((answer.headers['Access-Control-Allow-Origin'], answer.headers['Access-Control-Max-Age']), (PAGES, '600'), 'for ten minutes')
    is_(answer.headers['Access-Control-Allow-Methods'], 'GET, HEAD, POST', 'with the methods of the path')
    like(answer.headers['Access-Control-Allow-Headers'], 'Authorization.*Idempotency-Key', 'and the headers')
    for name, headers in (('another origin', {'Origin': 'https://evil.example', **asks}), ('no origin', asks),
                          ('a longer one', {'Origin': PAGES + '.evil.example', **asks}), ('no question', {'Origin': PAGES})):
        answer = call(s, 'OPTIONS', path, key='', headers=headers)
        is_((answer.status, answer.headers.get('Access-Control-Allow-Methods')), (405, None), '%s: 405' % name)
    answer = call(s, 'OPTIONS', V1 + '/nothing', key='', headers={'Origin': PAGES, **asks})
    is_(answer.status, 404, 'a path that is not there: 404')
    answer = call(s, 'GET', path, headers={'Origin': PAGES})
    is_((answer.status, answer.headers['Access-Control-Allow-Origin'], answer.headers['Vary']), (200, PAGES, 'Origin'),
        'its pages read answers')
    is_(call(s, 'GET', path, key='', headers={'Origin': PAGES}).headers['Access-Control-Allow-Origin'], PAGES, 'refusals, too')
    answer = call(s, 'GET', path, headers={'Origin': 'https://evil.example'})
    is_((answer.status, answer.headers.get('Access-Control-Allow-Origin')), (200, None), "another's do not")
    is_(answer.headers['Strict-Transport-Security'], 'max-age=31536000', 'and TLS is for good')
    is_(s.http('GET', '/health').headers.get('Strict-Transport-Security'), None, 'where it is used')


# ---- idempotency -----------------------------------------------------------------------------------------------

PROFILE = {'key_kinds': ['p-256'], 'validity_s': 86400, 'eku': ['clientAuth']}


def order(s, name):
    with open(s.holder(name).csr) as file:
        return {'name': name, 'profile_id': 'prof-tls-server', 'issuer_id': s.env['CHANCERY_ISSUER'], 'csr_pem': file.read()}


def repeated(s):
    body = {**PROFILE, 'name': 'Once'}
    first, second = once(s, 'k-1', '/profiles', body), once(s, 'k-1', '/profiles', body)
    is_((first.status, first.headers.get('Idempotency-Replayed')), (201, None), 'a profile is made')
    is_((second.status, second.body, second.headers['Idempotency-Replayed']), (201, first.body, 'true'), 'once: the answer is repeated')
    is_([second.headers[name] for name in ('Location', 'ETag', 'Content-Type')],
        [first.headers[name] for name in ('Location', 'ETag', 'Content-Type')], 'with its headers')
    answer = once(s, 'k-1', '/profiles', {**body, 'name': 'Other'})
    is_(code(answer), (409, 'conflict'), 'the key with another body: 409')
    like(answer.json['error']['message'], 'another request', 'which says why')
    is_(code(once(s, 'k-1', '/est/labels', body))[0], 400, 'with another path, which is looked at first')
    _, other = key_of(s, 'second', ['profile.edit'])
    is_(code(once(s, 'k-1', '/profiles', body, key=other)), (409, 'conflict'), "somebody else's key of that name is another key")
    is_(code(once(s, 'k-2', '/profiles', {'name': 'x'})), (400, 'invalid'), 'a refused call')
    is_(once(s, 'k-2', '/profiles', {**PROFILE, 'name': 'Two'}).status, 201, 'gives the key free')
    is_(code(once(s, 'k-3', '/profiles', body)), (409, 'conflict'), 'so does one that the handler refuses')
    is_(once(s, 'k-3', '/profiles', {**PROFILE, 'name': 'Three'}).status, 201, 'like that')
    for key in ('x' * 256, 'a b'):
        answer = once(s, key, '/profiles', body)
        is_((code(answer), answer.json['error']['fields'][0]['field']), ((400, 'invalid'), 'Idempotency-Key'), 'an odd key: 400')

    made = [once(s, 'k-4', '/auth/keys', {'name': 'shown once', 'permissions': ['profile.read']}) for _ in range(2)]
    is_([each.status for each in made], [201, 201], 'an API key is made')
    is_(made[0].json['key'], made[1].json['key'], 'once, and shown again to who made it')
    unlike(s.psql("SELECT encode(answer, 'escape') FROM idempotency WHERE key = 'k-4'"), 'chk_', 'in the database it is sealed')
    s.psql("UPDATE idempotency SET created_at = now() - interval '25 hours' WHERE key = 'k-1'")
    is_(code(once(s, 'k-1', '/profiles', body)), (409, 'conflict'), 'after a day the key is forgotten: the name is taken now')

    ask = order(s, 'idem')
    is_([once(s, 'k-5', '/certificates', ask).json['serial'] for _ in range(2)], [once(s, 'k-5', '/certificates', ask).json['serial']] * 2,
        'a certificate is issued once')


def together(s):
    """The same at once: one is served, the others wait or are told."""
    answers = []

    def ask():
        answers.append(once(s, 'k-together', '/certificates', body))
    body = order(s, 'together')
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    good = [each for each in answers if each.status == 201]
    ok(good and len({each.json['serial'] for each in good}) == 1, 'eight at once get one certificate', answers)
    ok(all(each.status == 409 and each.headers['Retry-After'] == '1' for each in answers if each not in good),
       'or are told to come again', answers)


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


def cut_off(s, key, path, body, waits):
    """The orchestrator dies by SIGKILL while it serves this call; waits: what the database says while it does."""
    sender = threading.Thread(target=lambda: once(s, key, path, body), daemon=True)
    sender.start()
    ok(wait_for('the call', lambda: s.psql(waits) == 't'), 'a call is in the middle')
    pid = s.kill('orchestrator', signal.SIGKILL)
    wait_for('its death', lambda: pid not in processes())
    sender.join(20)


WAITING = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"


def killed(s):
    creds = '/est/labels/%s/credentials' % s.api('GET', V1 + '/est/labels').json['data'][0]['id']
    lock = Locked(s, 'LOCK TABLE est_credential IN EXCLUSIVE MODE')
    cut_off(s, 'k-dead', creds, {'user_name': 'dead'}, WAITING)
    s.psql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
    lock.free()
    s.wait_ready()
    answer = once(s, 'k-dead', creds, {'user_name': 'dead'})
    is_((code(answer), answer.headers.get('Retry-After')), ((409, 'conflict'), None), 'after a SIGKILL the outcome is unknown: 409')
    like(answer.json['error']['message'], 'outcome is unknown', 'and the answer says so')
    is_(s.psql("SELECT count(*) FROM est_credential WHERE user_name = 'dead'"), '0', 'nothing was done then, and nothing is now')
    is_(once(s, 'k-dead-2', creds, {'user_name': 'dead'}).status, 201, 'another key asks again')

    # Everything is done but the answer, which a trigger keeps from being written.
    s.psql("CREATE FUNCTION t_slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(20); RETURN new; END';"
           "CREATE TRIGGER t_slow BEFORE UPDATE ON idempotency FOR EACH ROW EXECUTE FUNCTION t_slow()")
    body = order(s, 'killed')
    cut_off(s, 'k-cert', '/certificates', body,
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')")
    s.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    s.psql('DROP TRIGGER t_slow ON idempotency; DROP FUNCTION t_slow()')
    s.wait_ready()
    there = s.psql("SELECT encode(last_serial, 'hex') FROM managed_certificate WHERE name = 'killed'")
    retry = wait_for('the signer', lambda: (lambda a: a if a.status != 503 else None)(once(s, 'k-cert', '/certificates', body)))
    is_((retry.status, retry.json.get('serial')), (201, there), 'a certificate that was recorded is the answer to the same key')
    is_(once(s, 'k-cert', '/certificates', body).json['serial'], there, 'again and again')
    is_(s.psql("SELECT count(*) FROM certificate_version v JOIN managed_certificate m ON m.no = v.managed_no"
               " WHERE m.name = 'killed'"), '1', 'there is one')


# ---- body hashes -----------------------------------------------------------------------------------------------


def hashes(s):
    def kept(answer):
        wait_for('the audit', lambda: s.psql("SELECT count(*) FROM audit_event WHERE request_id = '%s'" % answer.headers['X-Request-ID']) != '0')
        return s.psql("SELECT coalesce(body_hash, '-') FROM audit_event WHERE request_id = '%s'" % answer.headers['X-Request-ID'])
    creds = V1 + '/est/labels/%s/credentials' % s.api('GET', V1 + '/est/labels').json['data'][0]['id']
    like(kept(call(s, 'POST', V1 + '/profiles', {**PROFILE, 'name': 'Hashed'})), '^[0-9a-f]{16}$', 'the audit has a hash of a body')
    is_(kept(call(s, 'POST', creds, {'user_name': 'chosen', 'password': 'correct horse battery'})), '-', 'but not of one with a password')
    is_(kept(call(s, 'POST', creds, {'user_name': 'chosen', 'password': 'short'})), '-', 'refused or not')
    is_(kept(call(s, 'POST', creds, {'user_name': 'x', 'password': 'correct horse battery'}, key='chk_' + 'a' * 32)), '-',
        'or from a stranger')
    like(kept(call(s, 'POST', creds, {'user_name': 'generated'})), '^[0-9a-f]{16}$', 'without a password there is one')


with Stack(env={'CHANCERY_LIMITS_SOURCE_RPS': '50', 'CHANCERY_LIMITS_SOURCE_BURST': '100', 'CHANCERY_LISTEN_CORS_ORIGINS': PAGES,
                'CHANCERY_DATABASE_TIMEOUT_MS': '15000'}) as s:
    limits(s)
    cors(s)
    repeated(s)
    together(s)
    killed(s)
    hashes(s)
done()
