#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""The management API: every resource, every kind of refusal, pages, the audit, the figures."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, like, note_skip, ok, openssl, unlike, wait_for  # noqa: E402

DAY_S = 86400
V1 = '/api/v1'
calls = []  # (request id, status, path) of everything that was asked, for the audit


def call(s, method, path, body=None, key=None, headers=None, raw=None):
    """As Stack.api(), with other headers and bodies where a test wants them; remembers the call."""
    sent = {'Authorization': 'Bearer ' + (key if key is not None else s.env['CHANCERY_API_KEY'])}
    if body is not None:
        raw, sent['Content-Type'] = json.dumps(body), 'application/json'
    sent.update(headers or {})
    answer = s.http(method, path, raw, {name: value for name, value in sent.items() if value}, tls=True)
    if answer.headers.get('X-Request-ID') and path.startswith(V1):
        calls.append((answer.headers['X-Request-ID'], answer.status, path))
    return answer


def refused(answer, status, code, name, fields=None):
    """A refusal of that status and code; fields: exactly these are named."""
    try:
        error = answer.json['error']
    except (ValueError, KeyError, TypeError):
        return ok(False, name, answer)
    good = (answer.status, error['code']) == (status, code) and error['message'] \
        and error['request_id'] == answer.headers['X-Request-ID']
    named = sorted({each['field'] for each in error['fields']})
    if fields is not None:
        good = good and named == sorted(fields) and all(each['text'] for each in error['fields'])
    return ok(good, name, 'wanted %s %s %s\n%r' % (status, code, fields, answer))


def total(s, path):
    return call(s, 'GET', path).json['total']


# ---- who may, and what is there --------------------------------------------------------------------------------


def identity(s):
    answer = call(s, 'GET', V1 + '/profiles', headers={'Authorization': ''})
    refused(answer, 401, 'unauthenticated', 'no key: 401')
    like(answer.headers.get('WWW-Authenticate', ''), r'^Bearer', 'with a challenge')
    refused(call(s, 'GET', V1 + '/profiles', key='chk_' + 'a' * 32), 401, 'unauthenticated', 'an unknown key: 401')
    refused(call(s, 'GET', V1 + '/profiles', headers={'Authorization': 'Basic YTpi'}), 401, 'unauthenticated',
            'another scheme: 401')
    refused(call(s, 'DELETE', V1 + '/profiles/prof-device', key=''), 401, 'unauthenticated', 'an empty key: 401')

    made = call(s, 'POST', V1 + '/auth/keys', {'name': 'Reader of profiles', 'permissions': ['profile.read']})
    is_((made.status, made.json['id']), (201, 'key-reader-of-profiles'), 'a key is made, its id from its name')
    reader = made.json['key']
    is_(call(s, 'GET', V1 + '/profiles', key=reader).status, 200, 'it may what it is for')
    refused(call(s, 'GET', V1 + '/certificates', key=reader), 403, 'forbidden', 'and nothing else: 403')
    refused(call(s, 'POST', V1 + '/profiles', {}, key=reader), 403, 'forbidden', 'before its body is looked at')
    listed = call(s, 'GET', V1 + '/auth/keys').text
    like(listed, 'key-reader-of-profiles', 'it is in the list')
    unlike(listed, reader, 'which does not show keys')
    is_(s.psql("SELECT count(*) FROM api_key k WHERE k::text LIKE '%%%s%%'" % reader), '0', 'nor has the database one')
    is_(call(s, 'DELETE', V1 + '/auth/keys/key-reader-of-profiles').status, 204, 'it is revoked')
    refused(call(s, 'GET', V1 + '/profiles', key=reader), 401, 'unauthenticated', 'and refused at once')
    refused(call(s, 'DELETE', V1 + '/auth/keys/key-reader-of-profiles'), 404, 'not_found', 'twice is 404')

    maker = call(s, 'POST', V1 + '/auth/keys', {'name': 'maker', 'permissions': ['auth.key.create']}).json['key']
    refused(call(s, 'POST', V1 + '/auth/keys', {'name': 'x', 'permissions': ['cert.revoke']}, key=maker), 403,
            'forbidden', 'nobody gives a permission that they do not have')
    refused(call(s, 'POST', V1 + '/auth/keys', {'name': '', 'permissions': ['nothing.known'], 'id': 'Key', 'colour': 1}),
            400, 'invalid', 'wrong members of a key', ['colour', 'name'])
    refused(call(s, 'POST', V1 + '/auth/keys', {'name': 'n', 'permissions': ['nothing.known'], 'id': 'Key',
                                               'expires_at': '2020-01-01T00:00:00Z'}),
            400, 'invalid', 'and what no table says', ['expires_at', 'id', 'permissions.0'])
    short = call(s, 'POST', V1 + '/auth/keys', {
        'name': 'short', 'permissions': ['*'],
        'expires_at': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + 2))}).json['key']
    is_(call(s, 'GET', V1 + '/issuers', key=short).status, 200, 'a key that will expire')
    ok(wait_for('its end', lambda: call(s, 'GET', V1 + '/issuers', key=short).status == 401, 6), 'expires')


def routing(s):
    refused(call(s, 'GET', V1 + '/nothing'), 404, 'not_found', 'an unknown path: 404')
    refused(call(s, 'GET', V1 + '/profiles/'), 404, 'not_found', 'a slash too many: 404')
    answer = call(s, 'PATCH', V1 + '/profiles/prof-device', {})
    refused(answer, 405, 'method', 'a wrong method: 405')
    is_(answer.headers['Allow'], 'GET, HEAD, PUT, DELETE', 'with Allow')
    refused(call(s, 'OPTIONS', V1 + '/profiles', headers={'Origin': 'https://evil.example'}), 405, 'method',
            'no CORS: OPTIONS is 405')
    head = call(s, 'HEAD', V1 + '/profiles')
    is_((head.status, head.body), (200, b''), 'HEAD is GET without a body')
    for path in ('/%2e%2e/', '/profiles/prof-device%00', '/profiles/%zz', '/profiles/%ff', '/profiles/a%0ab'):
        status = call(s, 'GET', V1 + path).status
        ok(status in (400, 404), 'GET %s is refused' % path, status)
    answer = call(s, 'GET', V1 + '/version')
    is_((answer.status, answer.json['name']), (200, 'chancery'), 'the version needs no key')
    is_(call(s, 'GET', V1 + '/version', headers={'Authorization': ''}).status, 200, 'really none')
    for name, value in (('X-Content-Type-Options', 'nosniff'), ('X-Frame-Options', 'DENY'), ('Cache-Control', 'no-store'),
                        ('Referrer-Policy', 'no-referrer')):
        is_(answer.headers.get(name), value, '%s: %s' % (name, value))
    like(answer.headers.get('Content-Security-Policy', ''), "default-src 'none'", 'a content security policy')
    ok('Access-Control-Allow-Origin' not in answer.headers, 'and no CORS')


def raw(s, octets, close=False):
    """Octets straight to the socket that nginx uses; what comes back."""
    with socket.socket(socket.AF_UNIX) as c:
        c.settimeout(20)
        c.connect(s.path('run/api.sock'))
        c.sendall(octets)
        if close:
            return b''
        out = b''
        try:
            while b'\r\n\r\n' not in out:
                more = c.recv(65536)
                if not more:
                    break
                out += more
        except ConnectionError:
            pass
        return out


def wire(s):
    """What nginx would not let through: the daemon stands it, too."""
    head = 'Host: x\r\nAuthorization: Bearer %s\r\n' % s.env['CHANCERY_API_KEY']
    get = ('GET /api/v1/profiles HTTP/1.1\r\n' + head + '\r\n').encode()
    like(raw(s, get), '^HTTP/1.1 200', 'the socket itself answers')
    like(raw(s, b'GET /health HTTP/1.1\r\nHost: x\r\nX-Request-ID: mine-1\r\n\r\n'), 'X-Request-ID: mine-1', 'an id is taken over')
    unlike(raw(s, b'GET /health HTTP/1.1\r\nHost: x\r\nX-Request-ID: a b\r\n\r\n'), 'X-Request-ID: a b', 'an odd one is not')
    like(raw(s, b'GET /health HTTP/1.1\r\nHost: x\r\nX: ' + b'a' * 70000 + b'\r\n\r\n'), '^HTTP/1.1 431', 'oversized headers: 431')
    like(raw(s, b'GET /' + b'a' * 70000 + b' HTTP/1.1\r\nHost: x\r\n\r\n'), '^HTTP/1.1 4', 'an oversized path: 4xx')
    body = b'{"name": "%s"}' % (b'n' * 300000)
    chunked = b'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n' % (len(body), body)
    post = ('POST /api/v1/profiles HTTP/1.1\r\n' + head).encode()
    like(raw(s, post + chunked), '^HTTP/1.1 400', 'a body without a length is read')
    huge = b'Content-Type: application/json\r\nContent-Length: 3000000\r\n\r\n' + b' ' * 3000000
    like(raw(s, post + huge), '^HTTP/1.1 413', 'three megabytes are read away and refused: 413')
    for octets in (get[:30], get, post + b'Content-Length: 100\r\n\r\n{"na', os.urandom(2000), b''):
        for _ in range(30):
            raw(s, octets, close=True)
    like(raw(s, get), '^HTTP/1.1 200', 'after callers that went away in the middle all is well')


def bodies(s):
    path, before = V1 + '/profiles', total(s, V1 + '/profiles')
    refused(call(s, 'POST', path, raw='{}', headers={'Content-Type': 'text/plain'}), 415, 'media_type', 'text/plain: 415')
    refused(call(s, 'POST', path, raw='{}', headers={'Content-Type': ''}), 415, 'media_type', 'no Content-Type: 415')
    for name, raw in (('not JSON', '{"name"'), ('a list', '[]'), ('twice the same member', '{"name":"a","name":"b"}'),
                      ('octets after it', '{} {}'), ('not UTF-8', b'{"name":"\xff"}'), ('deep', '[' * 2000 + ']' * 2000)):
        answer = call(s, 'POST', path, raw=raw, headers={'Content-Type': 'application/json'})
        ok(answer.status == 400 and answer.json['error']['code'] in ('parse', 'invalid'), 'a body that is %s: 400' % name, answer)
    answer = call(s, 'POST', path, raw='{"name":"%s"}' % ('x' * (1 << 20)), headers={'Content-Type': 'application/json'})
    is_(answer.status, 413, 'a body of more than 1 MiB: 413')
    refused(call(s, 'POST', path), 400, 'invalid', 'no body: what is missing is named', ['key_kinds', 'name', 'validity_s'])
    refused(call(s, 'DELETE', path + '/prof-device', {'really': True}), 400, 'invalid', 'a body where none is taken: 400')
    is_(total(s, path), before, 'none of that made a profile')


# ---- resources -------------------------------------------------------------------------------------------------

PROFILE = {'name': 'Web servers', 'key_kinds': ['p-256', 'rsa'], 'validity_s': 30 * DAY_S, 'eku': ['serverAuth'],
           'name_kinds': ['dns'], 'dns_patterns': ['*.example.net']}


def profiles(s):
    path = V1 + '/profiles'
    made = call(s, 'POST', path, PROFILE)
    is_((made.status, made.json['id'], made.headers['Location']), (201, 'prof-web-servers', path + '/prof-web-servers'),
        'a profile is made, its id from its name')
    ok(all(made.json[name] == value for name, value in PROFILE.items()), 'as it was asked for', made)
    is_((made.json['min_rsa_bits'], made.json['subject_rule'], made.json['allow_empty_subject']), (2048, 'csr', False),
        'with defaults')
    is_(call(s, 'GET', path + '/prof-web-servers').json, made.json, 'and can be read')
    is_([each['id'] for each in call(s, 'GET', path + '?name=Web%20servers').json['data']], ['prof-web-servers'],
        'and found by name')
    refused(call(s, 'POST', path, PROFILE), 409, 'conflict', 'a second one of that name: 409')
    refused(call(s, 'POST', path, {**PROFILE, 'id': 'prof-device', 'name': 'other'}), 409, 'conflict', 'of that id: 409')
    wrong = {'id': 5, 'key_kinds': ['dsa'], 'validity_s': 1, 'eku': 'serverAuth', 'min_rsa_bits': 1024,
             'subject_rule': 'guess', 'allow_empty_subject': 'yes', 'created_at': '2020-01-01T00:00:00Z', 'extra': 1}
    refused(call(s, 'POST', path, wrong), 400, 'invalid', 'every wrong member at once',
            ['id', 'name', 'key_kinds.0', 'validity_s', 'eku', 'min_rsa_bits', 'subject_rule', 'allow_empty_subject',
             'created_at', 'extra'])
    refused(call(s, 'POST', path, {**PROFILE, 'id': 'prof-UPPER', 'name': 'a' * 201, 'key_kinds': [], 'name_kinds': []}),
            400, 'invalid', 'also what no table says', ['id', 'name', 'key_kinds', 'dns_patterns'])
    changed = {**PROFILE, 'validity_s': 60 * DAY_S, 'dns_patterns': []}
    answer = call(s, 'PUT', path + '/prof-web-servers', changed)
    is_((answer.status, answer.json['validity_s'], answer.json['dns_patterns']), (200, 60 * DAY_S, []), 'it is replaced')
    refused(call(s, 'PUT', path + '/prof-web-servers', {**changed, 'id': 'prof-x'}), 400, 'invalid',
            'an id does not change', ['id'])
    refused(call(s, 'PUT', path + '/prof-none', changed), 404, 'not_found', 'replacing nothing: 404')
    refused(call(s, 'GET', path + '/prof-none'), 404, 'not_found', 'reading nothing: 404')
    refused(call(s, 'DELETE', path + '/prof-device'), 409, 'conflict', 'one that is used stays: 409')
    is_(call(s, 'DELETE', path + '/prof-web-servers').status, 204, 'it is deleted')
    refused(call(s, 'DELETE', path + '/prof-web-servers'), 404, 'not_found', 'once')


def issuers(s):
    path, here = V1 + '/issuers', s.env['CHANCERY_ISSUER']
    ok(here in [each['id'] for each in call(s, 'GET', path).json['data']], 'the issuer is listed')
    one = call(s, 'GET', '%s/%s' % (path, here)).json
    is_((one['id'], one['type'], one['enabled']), (here, 'local', True), 'and can be read')
    chain = call(s, 'GET', '%s/%s/chain' % (path, here))
    is_((chain.status, chain.text.count('BEGIN CERTIFICATE')), (200, 2), 'its chain: issuing CA and root')
    der = call(s, 'GET', '%s/%s/chain?format=der' % (path, here))
    is_((der.headers['Content-Type'], openssl('x509', '-inform', 'DER', '-noout', '-serial', input=der.body).out.split('=')[1]
         .strip().lower()), ('application/pkix-cert', one['serial']), 'in DER the issuing CA')
    refused(call(s, 'GET', '%s/%s/chain?format=p7b' % (path, here)), 400, 'invalid', 'an unknown format: 400', ['format'])
    refused(call(s, 'POST', path, {'id': here, 'name': 'again', 'config': {'subject': 'CN=again'}}), 409, 'conflict', 'an issuer of that id: 409')
    refused(call(s, 'POST', path, {'name': 'x', 'type': 'nonesuch'}), 400, 'invalid', 'an unknown connector: 400', ['type'])
    before = total(s, path)
    refused(call(s, 'POST', path, {'name': 'nameless'}), 400, 'invalid', 'a CA without a subject: 400', ['config.subject'])
    refused(call(s, 'POST', path, {'type': 'local', 'config': {'key': 5, 'colour': 'red'}, 'size': 1}), 400, 'invalid',
            'wrong members of an issuer and of its config at once', ['name', 'size', 'config.key', 'config.colour'])
    is_(call(s, 'POST', path, {'name': 'weak', 'config': {'subject': 'CN=weak', 'key': 'rsa-1024'}}).status, 400, 'a weak CA key: 400')
    is_(total(s, path), before, 'none of that made an issuer')
    made = call(s, 'POST', path, {'name': 'Second CA', 'config': {'subject': 'CN=Second CA,O=Example', 'key': 'p-384'}})
    is_((made.status, made.json.get('id'), made.json.get('key_kind')), (201, 'iss-second-ca', 'p-384'), 'a second CA')
    file = s.file('second.pem')
    with open(file, 'w') as out:
        out.write(call(s, 'GET', path + '/iss-second-ca/chain').text)
    openssl('x509', '-in', file, '-noout', '-checkend', '86400')
    like(openssl('verify', '-CAfile', file, file).out, 'OK', 'whose chain openssl verifies')


LABEL = {'name': 'printers', 'profile_id': 'prof-device', 'auth_certificate': False}


def labels(s):
    path, label = V1 + '/est/labels', {**LABEL, 'issuer_id': s.env['CHANCERY_ISSUER']}
    made = call(s, 'POST', path, label)
    is_((made.status, made.json.get('id')), (201, 'est-printers'), 'an EST label is made')
    is_((made.json['is_default'], made.json['wrap'], made.json['auth_basic']), (False, 0, True), 'with defaults')
    is_(s.http('GET', '/.well-known/est/printers/cacerts', tls=True).status, 200, 'and served at once')
    refused(call(s, 'POST', path, label), 409, 'conflict', 'twice: 409')
    refused(call(s, 'POST', path, {**label, 'name': 'p2', 'is_default': True}), 409, 'conflict', 'a second default: 409')
    refused(call(s, 'POST', path, {'name': 'simpleenroll', 'issuer_id': 'iss-none', 'profile_id': 'prof-none',
                                   'auth_basic': False, 'auth_certificate': False, 'trust_pem': 'hello'}), 400, 'invalid',
            'what does not exist is named', ['name', 'issuer_id', 'profile_id', 'auth_basic', 'trust_pem'])

    creds = path + '/est-printers/credentials'
    first = call(s, 'POST', creds, {'user_name': 'lobby'})
    is_((first.status, first.json['kind'], len(first.json['password'])), (201, 'sha256', 32), 'a generated password')
    holder = s.holder('lobby')
    auth = s.basic('lobby', first.json['password'])
    is_(s.est(holder.csr, label='printers', auth=auth).status, 200, 'which enrols at once')
    is_(s.est(holder.csr, label='printers', auth=s.basic('lobby', 'wrong')).status, 401, 'and no other does')
    chosen = call(s, 'POST', creds, {'user_name': 'attic', 'password': 'correct horse'})
    is_((chosen.status, chosen.json['kind'], chosen.json.get('password')), (201, 'scrypt', None), 'a chosen password')
    is_(s.est(s.holder('attic').csr, label='printers', auth=s.basic('attic', 'correct horse')).status, 200, 'enrols, too')
    is_(s.est(s.holder('attic2').csr, label='printers', auth=s.basic('attic', 'correct h0rse')).status, 401, 'and no other')
    refused(call(s, 'POST', creds, {'user_name': 'lobby'}), 409, 'conflict', 'a user twice: 409')
    refused(call(s, 'POST', creds, {'user_name': 'a:b', 'expires_at': '2001-01-01T00:00:00Z'}), 400, 'invalid',
            'wrong credentials', ['user_name', 'expires_at'])
    short = call(s, 'POST', creds, {'user_name': 'x', 'password': 'sesam1'})
    refused(short, 400, 'invalid', 'a short password: 400', ['password'])
    unlike(short.text, 'sesam1', 'which is not repeated')
    refused(call(s, 'POST', path + '/est-none/credentials', {'user_name': 'x'}), 404, 'not_found', 'of no label: 404')
    refused(call(s, 'GET', path + '/est-none/credentials'), 404, 'not_found', 'a list of no label: 404')
    listed = call(s, 'GET', creds)
    is_(sorted(each['user_name'] for each in listed.json['data']), ['attic', 'lobby'], 'they are listed')
    unlike(listed.text, first.json['password'], 'without passwords')
    is_(call(s, 'DELETE', '%s/%s' % (creds, first.json['id'])).status, 204, 'one is revoked')
    is_(s.est(s.holder('lobby2').csr, label='printers', auth=auth).status, 401, 'and refused at once')
    refused(call(s, 'DELETE', '%s/%s' % (creds, first.json['id'])), 404, 'not_found', 'twice is 404')

    answer = call(s, 'PUT', path + '/est-printers', {**label, 'enabled': False})
    is_((answer.status, answer.json['enabled']), (200, False), 'the label is switched off')
    is_(s.http('GET', '/.well-known/est/printers/cacerts', tls=True).status, 404, 'and not served')
    refused(call(s, 'PUT', path + '/est-none', label), 404, 'not_found', 'replacing nothing: 404')
    is_(call(s, 'DELETE', path + '/est-printers').status, 204, 'it is deleted')
    refused(call(s, 'GET', path + '/est-printers'), 404, 'not_found', 'and gone')


def order(s, holder, name, **more):
    with open(holder.csr) as file:
        return {'name': name, 'profile_id': 'prof-tls-server', 'issuer_id': s.env['CHANCERY_ISSUER'],
                'csr_pem': file.read(), **more}


def certificates(s):
    path, web = V1 + '/certificates', s.holder('web')
    before = total(s, path)
    refused(call(s, 'POST', path, {'name': '', 'issuer_id': 5, 'owner_id': '', 'validity': 1}), 400, 'invalid',
            'every wrong member', ['name', 'profile_id', 'issuer_id', 'owner_id', 'csr_pem', 'validity'])
    refused(call(s, 'POST', path, order(s, web, 'web', profile_id='prof-none', issuer_id='iss-none', csr_pem='hello')),
            400, 'invalid', 'every wrong reference', ['profile_id', 'issuer_id', 'csr_pem'])
    answer = call(s, 'POST', path, order(s, s.holder('spy', 'ed25519'), 'spy'))
    ok(answer.status in (400, 403), 'a key that the profile does not take is refused', answer)
    is_(total(s, path), before, 'none of that issued anything')

    call(s, 'POST', V1 + '/owners', {'name': 'web'})
    made = call(s, 'POST', path, order(s, web, 'web', owner_id='owner-web'))
    if not is_(made.status, 201, 'a certificate is issued for a request') and made.status != 201:
        return
    web.cert = s.file('web.pem')
    with open(web.cert, 'w') as file:
        file.write(made.json['pem'])
    mc, serial = made.json['id'], made.json['serial']
    is_((web.serial.lower(), made.headers['Location']), (serial, '%s/%s' % (path, mc)), 'its serial and place')
    like(openssl('verify', '-CAfile', s.bundle, web.cert).out, 'OK', 'openssl verifies it')
    is_(openssl('x509', '-in', web.cert, '-noout', '-pubkey').out, openssl('pkey', '-in', web.key, '-pubout').out, 'for its key')
    like(made.json['chain_pem'], 'BEGIN CERTIFICATE', 'with its chain')
    refused(call(s, 'POST', path, order(s, s.holder('web2'), 'web')), 409, 'conflict', 'another of that name: 409')

    one = call(s, 'GET', '%s/%s' % (path, mc)).json
    is_((one['name'], one['source'], one['status'], one['owner_id'], one['serial']), ('web', 'API', 'Active', 'owner-web', serial),
        'the managed certificate')
    for written in (serial, serial.upper(), '00' + serial, ':'.join(re.findall('..', serial))):
        found = call(s, 'GET', '%s?serial=%s' % (path, written)).json
        is_([each['id'] for each in found['data']], [mc], 'found by serial %s' % written)
    is_(call(s, 'GET', path + '?serial=0badcafe').json['data'], [], 'an unknown serial')
    for query, count in (('name=web', 1), ('owner_id=owner-web', 1), ('source=API&name=web', 1), ('source=EST&name=web', 0),
                         ('status=Revoked&name=web', 0), ('expires_before=2020-01-01T00:00:00Z', 0)):
        is_(total(s, '%s?%s' % (path, query)), count, 'filter ' + query)
    versions = call(s, 'GET', '%s/%s/versions' % (path, mc)).json
    is_((versions['total'], versions['data'][0]['serial'], versions['data'][0]['status']), (1, serial, 'good'), 'its version')
    refused(call(s, 'GET', path + '/mc-none/versions'), 404, 'not_found', 'versions of nothing: 404')

    down = call(s, 'GET', '%s/%s/download' % (path, mc))
    is_((down.headers['Content-Type'], down.text.count('BEGIN CERTIFICATE')), ('application/x-pem-file', 2), 'download: PEM with chain')
    der = call(s, 'GET', '%s/%s/versions/%s' % (path, mc, serial), headers={'Accept': 'application/pkix-cert'})
    is_(der.body, openssl('x509', '-in', web.cert, '-outform', 'DER').raw, 'a version in DER by Accept')
    is_(call(s, 'GET', '%s/%s/versions/%s?format=der' % (path, mc, serial)).body, der.body, 'and by format')
    refused(call(s, 'GET', '%s/%s/versions/xyz' % (path, mc)), 400, 'invalid', 'no serial: 400', ['serial'])
    refused(call(s, 'GET', '%s/%s/versions/01' % (path, mc)), 404, 'not_found', 'no such version: 404')
    refused(call(s, 'GET', path + '/mc-none/download'), 404, 'not_found', 'no such certificate: 404')
    revoke(s, path, mc, web, serial)


def revoke(s, path, mc, web, serial):
    here = '%s/%s' % (path, mc)
    refused(call(s, 'POST', here + '/revoke', {'reason': 'because', 'serials': 5, 'when': 1}), 400, 'invalid',
            'wrong members of a revocation', ['reason', 'serials', 'when'])
    refused(call(s, 'POST', here + '/revoke', {'reason': 'removeFromCRL'}), 400, 'invalid', 'release is another call', ['reason'])
    refused(call(s, 'POST', here + '/revoke', {'reason': 'keyCompromise', 'invalidity_date': '2999-01-01T00:00:00Z',
                                               'serials': ['zz', serial, '']}), 400, 'invalid',
            'a future invalidity date, odd serials', ['invalidity_date', 'serials.0', 'serials.2'])
    refused(call(s, 'POST', here + '/revoke', {'serials': ['0badcafe']}), 404, 'not_found', 'another serial: 404')
    refused(call(s, 'POST', path + '/mc-none/revoke', {}), 404, 'not_found', 'nothing to revoke: 404')
    refused(call(s, 'POST', here + '/release', {}), 409, 'conflict', 'nothing to release: 409')
    is_(s.ocsp(web), 'good', 'none of that revoked it')

    held = call(s, 'POST', here + '/revoke', {'reason': 'certificateHold'})
    is_((held.status, held.json.get('changed'), s.ocsp(web)), (200, 1, 'revoked'), 'it is put on hold')
    released = call(s, 'POST', here + '/release')
    is_((released.status, released.json.get('changed'), s.ocsp(web)), (200, 1, 'good'), 'and released, without a body')
    gone = call(s, 'POST', here + '/revoke', {'reason': 'keyCompromise', 'invalidity_date': '2026-01-02T03:04:05Z',
                                              'serials': [serial.upper()]})
    is_((gone.status, gone.json), (200, {'id': mc, 'status': 'Revoked', 'reason': 'keyCompromise', 'changed': 1}), 'it is revoked')
    like(s.ocsp_text(web), r'keyCompromise', 'and OCSP says why')
    one = call(s, 'GET', here).json
    is_((one['status'], one['revocation_reason']), ('Revoked', 'keyCompromise'), 'as does the API')
    is_(call(s, 'GET', here + '/versions').json['data'][0]['invalidity_at'], '2026-01-02T03:04:05Z', 'with the invalidity date')
    refused(call(s, 'POST', here + '/revoke', {}), 409, 'conflict', 'twice: 409')
    refused(call(s, 'POST', here + '/release', {}), 409, 'conflict', 'and it cannot be released: 409')


# ---- pages, audit, figures -------------------------------------------------------------------------------------


def pages(s):
    path = V1 + '/profiles'
    for query, fields in (('limit=0', ['limit']), ('limit=1001', ['limit']), ('limit=x', ['limit']), ('sort=colour', ['sort']),
                          ('limit=-1&sort=x&colour=red', ['limit', 'sort', 'colour']), ('name=a&name=b', ['name']),
                          ('%zz=1', [])):
        refused(call(s, 'GET', '%s?%s' % (path, query)), 400, 'invalid', 'a list with ?%s: 400' % query, fields)
    refused(call(s, 'GET', path + '?cursor=garbage'), 400, 'invalid', 'a cursor that is not ours: 400')
    refused(call(s, 'GET', V1 + '/certificates?serial=xyz&expires_after=today&status=Odd'), 400, 'invalid',
            'every wrong filter', ['serial', 'expires_after', 'status'])

    mine = ['page-%03d' % each for each in range(23)]
    for name in mine:
        call(s, 'POST', path, {**PROFILE, 'name': name, 'dns_patterns': []})
    for sort in ('name', '-name'):
        seen, cursor, more = [], None, 0
        while True:
            page = call(s, 'GET', '%s?limit=4&sort=%s%s' % (path, sort, '&cursor=' + cursor if cursor else '')).json
            seen += [each['name'] for each in page['data']]
            cursor = page['next_cursor']
            if not cursor:
                break
            more += 1
            call(s, 'POST', path, {**PROFILE, 'name': 'page-%03d-%s%d' % (more * 3, 'a' if sort == 'name' else 'd', more),
                                   'dns_patterns': []})
        is_([seen.count(name) for name in mine], [1] * len(mine), 'sort=%s: every row exactly once while rows are added' % sort)
        ok(len(seen) == len(set(seen)), 'and no other twice', seen)
        is_(seen, sorted(seen, reverse=sort[0] == '-'), 'in order')
    is_(call(s, 'GET', path + '?limit=1').json['total'], len(call(s, 'GET', path + '?limit=1000').json['data']),
        'the total is that of all pages')


def audit(s):
    listed = call(s, 'GET', V1 + '/audit?action=profile.create&limit=1000').json
    ok(listed['total'] > 20, 'the audit is listed and filtered', listed['total'])
    ok(all(each['action'] == 'profile.create' for each in listed['data']), 'by action')
    ours = [each for each in listed['data'] if each['status'] == 201]
    ok(ours and all(each['actor_type'] == 'api_key' and each['actor'].startswith('key-') and each['resource_id']
                    and each['latency_us'] > 0 for each in ours), 'with actor, resource and latency', ours[:1])
    ok(any(each['source'] for each in ours), 'and the source that nginx saw', ours[:1])
    rows = {}
    for line in s.psql('SELECT request_id, status FROM audit_event WHERE request_id IS NOT NULL').splitlines():
        name, _, status = line.partition('|')
        rows.setdefault(name, []).append(int(status))
    missing = [each for each in calls[:-1] if each[1] != 413 and each[1] not in rows.get(each[0], [])]
    is_(missing[:3], [], 'every one of %d calls is in the audit with its status' % len(calls))
    twice = [each for each in calls[:-1] if rows.get(each[0], []).count(each[1]) > 1]
    is_(twice[:3], [], 'and once')
    refused(call(s, 'GET', V1 + '/audit?status=x&from=y'), 400, 'invalid', 'wrong filters', ['status', 'from'])


SAMPLE = re.compile(r'^([a-z_]+)(\{.*\})? (-?[0-9.e+-]+|\+Inf)$')


def samples(text):
    out = {}
    for line in text.splitlines():
        if line and not line.startswith('#'):
            found = SAMPLE.match(line)
            if not found:
                raise ValueError(line)
            out[found.group(1) + (found.group(2) or '')] = float(found.group(3))
    return out


def metrics(s):
    answer = call(s, 'GET', V1 + '/metrics/prometheus')
    like(answer.headers['Content-Type'], r'^text/plain; version=0\.0\.4', 'the media type of Prometheus')
    first = samples(answer.text)
    if shutil.which('promtool'):
        told = subprocess.run(['promtool', 'check', 'metrics'], input=answer.body, capture_output=True)
        is_((told.returncode, told.stderr + told.stdout), (0, b''), 'promtool has nothing to say')
    else:
        note_skip('promtool is not installed')
    names = re.findall(r'^# TYPE (\S+) (\S+)$', answer.text, re.M)
    is_(len(names), len(set(names)), 'every family once')
    ok(all(name.endswith('_total') == (kind == 'counter') for name, kind in names), 'counters, and only they, end in _total')
    is_(sorted(name for name, _ in names), sorted(re.findall(r'^# HELP (\S+) \S', answer.text, re.M)), 'each has help')
    for _ in range(7):
        call(s, 'GET', V1 + '/profiles/prof-none')
    second = samples(call(s, 'GET', V1 + '/metrics/prometheus').text)
    name = 'chancery_http_requests_total{method="GET",route="/api/v1/profiles/{id}",status="404"}'
    is_(second[name] - first.get(name, 0), 7.0, 'seven requests count as seven')
    buckets = [second['chancery_http_request_duration_seconds_bucket{class="read",le="%s"}' % le] for le in
               ('0.0005', '0.001', '0.0025', '0.005', '0.01', '0.025', '0.05', '0.1', '0.25', '0.5', '1', '2.5', '+Inf')]
    ok(buckets == sorted(buckets), 'the histogram grows')
    is_(second['chancery_http_request_duration_seconds_count{class="read"}'], buckets[-1], 'to its count')
    is_(second['chancery_managed_certificates{status="Revoked"}'],
        float(s.psql("SELECT count(*) FROM managed_certificate WHERE status = 'Revoked'")), 'true counts of certificates')
    is_((second['chancery_edge_ready'], second['chancery_issuance_open'], second['chancery_database_up']), (1.0, 1.0, 1.0),
        'and the state of the parts')


def many(s):
    """Sixteen at once: nothing is mixed up."""
    wrong = []

    def ask(each):
        for turn in range(20):
            name = 'colour-%d-%d' % (each, turn)
            answer = call(s, 'GET', '%s/profiles?%s=1' % (V1, name))
            if answer.status != 400 or [field['field'] for field in answer.json['error']['fields']] != [name]:
                wrong.append(repr(answer))
    threads = [threading.Thread(target=ask, args=(each,)) for each in range(16)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    is_(wrong[:3], [], 'many at once, each with its own answer')


def database_away(s):
    """While PostgreSQL is killed: 503 with Retry-After, quickly; never a hang, never another 5xx; /health stays."""
    old, statuses, slowest, wrong, health = s.kill('postgres'), [], 0, [], set()
    back = 0
    while back < 20 and len(statuses) < 3000:
        began = time.monotonic()
        answer = call(s, 'GET', V1 + '/profiles/prof-device')
        slowest = max(slowest, time.monotonic() - began)
        statuses.append(answer.status)
        back = back + 1 if answer.status == 200 else 0
        if answer.status not in (200, 503) or (answer.status == 503 and not answer.headers.get('Retry-After')):
            wrong.append(repr(answer))
        health.add(s.http('GET', '/health', tls=True).status)
    ok(old and 503 in statuses, 'PostgreSQL is killed: calls get 503', statuses[:20])
    is_(wrong[:3], [], 'with Retry-After, and nothing else than that')
    ok(slowest < 2, 'within two seconds', slowest)
    is_(health, {200}, 'while /health is 200')
    is_(statuses[-1], 200, 'and afterwards all is well')
    ok(wait_for('ready', lambda: s.http('GET', '/ready', tls=True).status == 200, 20), '/ready again')


def overload(s):
    """One worker, one place in the queue: who comes too much is told so at once."""
    answers = []

    def ask(each):
        body = {'user_name': 'user-%d' % each, 'password': 'correct horse'}  # scrypt keeps the worker busy
        answers.append(call(s, 'POST', V1 + '/est/labels/est-devices/credentials', body))
    threads = [threading.Thread(target=ask, args=(each,)) for each in range(24)]
    for each in threads:
        each.start()
    health = s.http('GET', '/health', tls=True).status
    for each in threads:
        each.join()
    statuses = sorted({each.status for each in answers})
    is_(statuses, [201, 503], 'some are served, the others get 503')
    ok(all(each.headers.get('Retry-After') and each.json['error']['code'] == 'unavailable'
           for each in answers if each.status == 503), 'with Retry-After')
    is_(health, 200, '/health needs no worker')
    made = sum(each.status == 201 for each in answers)
    is_(total(s, V1 + '/est/labels/est-devices/credentials'), made + 1, 'and who got 503 changed nothing')


if __name__ == '__main__':
    with Stack() as s:
        is_(s.http('GET', '/health', tls=True).status, 200, '/health')
        is_(s.http('GET', '/ready', tls=True).json['status'], 'ready', '/ready')
        for part in (identity, routing, wire, bodies, profiles, issuers, labels, certificates, pages, many, audit, metrics, database_away):
            part(s)
    with Stack(env={'CHANCERY_LISTEN_WORKERS': '1', 'CHANCERY_LISTEN_QUEUE': '1'}) as s:
        overload(s)
    done()
