#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""Identities and their rights: the first administrator, keys, roles, grants, certificates, and the names they may ask for."""

import concurrent.futures
import os
import socket
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, like, ok, unlike, wait_for  # noqa: E402

V1 = '/api/v1'
TOKEN = 'a bootstrap token of the test'


def post(s, path, body, key=None, status=201):
    """The answer to what has to succeed."""
    answer = s.api('POST', V1 + path, body, key=key)
    if answer.status != status:
        raise RuntimeError('POST %s: %r' % (path, answer))
    return answer.json


def fields(answer):
    return answer.status, sorted(each['field'] for each in answer.json['error']['fields'])


def later(seconds):
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + seconds))


def bootstrap(s):
    path = V1 + '/auth/bootstrap'

    def claim(token, name='first'):
        return s.http('POST', path, '{"token": "%s", "name": "%s"}' % (token, name), {'Content-Type': 'application/json'}, tls=True)

    is_(s.http('GET', path, tls=True).json, {'open': False}, 'while there is an administrator the door is closed')
    is_(claim(TOKEN).status, 409, 'also for who knows the token')
    s.psql("UPDATE api_key SET permissions = '{cert.read}' WHERE '*' = ANY (permissions)")
    is_(s.http('GET', path, tls=True).json, {'open': True}, 'without one it is open')
    is_(claim('another token of the test').status, 401, 'not for who guesses')
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: claim(TOKEN, 'first %d' % n), range(8)))
    is_(sorted(each.status for each in answers), [201] + [409] * 7, 'of eight at once one is the first administrator')
    key = next(each.json['key'] for each in answers if each.status == 201)
    is_(s.api('GET', V1 + '/auth/me', key=key).json['admin'], True, 'who may do everything')
    is_((s.http('GET', path, tls=True).json, claim(TOKEN).status), ({'open': False}, 409), 'and the door is closed')
    s.psql("UPDATE api_key SET permissions = '{cert.read}' WHERE '*' = ANY (permissions)")
    is_((s.http('GET', path, tls=True).json, claim(TOKEN).status), ({'open': False}, 409), 'for good')
    s.psql("UPDATE api_key SET permissions = '{*}' WHERE id = '%s'" % s.psql('SELECT key_id FROM bootstrap'))
    unlike(s.log(), TOKEN, 'the token is in no log')
    s.env['CHANCERY_API_KEY'] = key
    wait_for('the first rights', lambda: s.api('GET', V1 + '/auth/keys').status == 200, 3)


def keys(s):
    made = post(s, '/auth/keys', {'name': 'life', 'roles': ['role-viewer'], 'allowed_names': ['*.example.net']})
    path = V1 + '/auth/keys/' + made['id']
    row = s.api('GET', path)
    is_([each['role_id'] for each in row.json['roles']], ['role-viewer'], 'a key is made with a role')
    unlike(row.text, made['key'], 'and shown without its secret')
    is_((s.api('GET', V1 + '/issuers', key=made['key']).status, s.api('GET', V1 + '/audit', key=made['key']).status), (200, 403),
        'it may what its role says')
    change = {'name': 'Life', 'expires_at': later(3600)}
    stale = s.http('PUT', path, '{"name": "x"}', {'Authorization': 'Bearer ' + s.env['CHANCERY_API_KEY'], 'If-Match': '"1-x"',
                                                 'Content-Type': 'application/json'}, tls=True)
    is_(stale.status, 412, 'a change of what is not there any more: 412')
    changed = s.api('PUT', path, change).json
    is_((changed['name'], changed['allowed_names'], changed['expires_at']), ('Life', [], change['expires_at']), 'it is changed')
    is_(fields(s.api('PUT', path, {'name': 'x', 'permissions': ['*']})), (400, ['permissions']), 'but not its rights')

    again = post(s, '/auth/keys/%s/rotate' % made['id'], {'grace_s': 2}, status=200)
    is_([s.api('GET', V1 + '/issuers', key=each).status for each in (made['key'], again['key'])], [200, 200],
        'after a rotation both secrets are good for a while')
    ok(wait_for('the end', lambda: s.api('GET', V1 + '/issuers', key=made['key']).status == 401, 5), 'then the old one is not')
    third = post(s, '/auth/keys/%s/rotate' % made['id'], {}, status=200)
    is_([s.api('GET', V1 + '/issuers', key=each).status for each in (again['key'], third['key'])], [401, 200],
        'without a grace it ends at once')
    is_(fields(s.api('POST', path + '/rotate', {'grace_s': 86401})), (400, ['grace_s']), 'a grace is a day at most')
    ok(s.api('GET', path).json['last_used_at'], 'its last use is noted')
    is_(s.api('DELETE', path).status, 204, 'it is revoked')
    is_(s.api('GET', V1 + '/issuers', key=third['key']).status, 401, 'at once')
    is_((s.api('POST', path + '/rotate', {}).status, s.api('POST', path + '/scope-down', {}).status), (404, 404), 'for good')


def roles(s):
    path = V1 + '/auth/roles'
    catalogue = {each['permission'] for each in s.api('GET', V1 + '/auth/permissions').json['data']}
    ok({'cert.read', 'auth.session.list.all'} <= catalogue, 'there is a catalogue of permissions')
    made = s.api('POST', path, {'name': 'Helper', 'permissions': ['cert.read']})
    is_((made.status, made.json['id'], made.json['built_in']), (201, 'role-helper', False), 'a role is made')
    is_(fields(s.api('POST', path, {'name': 'x', 'permissions': ['cert.read', 'nothing.known']})), (400, ['permissions.1']),
        'of what there is')
    for method, place, body in (('PUT', '/role-viewer', {'name': 'viewer', 'permissions': ['*']}), ('DELETE', '/role-viewer', None),
                                ('POST', '/role-viewer/permissions', {'permission': 'cert.issue'}),
                                ('DELETE', '/role-viewer/permissions/cert.read', None)):
        is_(s.api(method, path + place, body).status, 409, 'a built-in one stays: %s %s is 409' % (method, place))
    key = post(s, '/auth/keys', {'name': 'helper', 'roles': ['role-helper']})['key']
    is_([s.api('GET', V1 + each, key=key).status for each in ('/certificates', '/issuers')], [200, 403], 'who has it may what it says')
    is_(s.api('POST', path + '/role-helper/permissions', {'permission': 'issuer.read'}).json['permissions'], ['cert.read', 'issuer.read'],
        'a permission is added')
    is_(s.api('GET', V1 + '/issuers', key=key).status, 200, 'everybody with the role has it at once')
    is_(s.api('DELETE', path + '/role-helper/permissions/issuer.read').status, 204, 'it is taken away')
    is_(s.api('GET', V1 + '/issuers', key=key).status, 403, 'nobody with the role has it any more')
    is_(s.api('DELETE', path + '/role-helper/permissions/issuer.read').status, 404, 'twice is 404')
    is_(s.api('DELETE', path + '/role-helper').status, 409, 'a role that somebody has is not deleted')
    is_(s.api('DELETE', V1 + '/auth/keys/key-helper').status, 204, 'without that somebody')
    is_(s.api('DELETE', path + '/role-helper').status, 204, 'it is')


def grants(s):
    made = post(s, '/auth/keys', {'name': 'granted'})
    path, key = '/auth/keys/%s/roles' % made['id'], made['key']
    is_(s.api('GET', V1 + '/profiles', key=key).status, 403, 'a key without rights may nothing')
    post(s, path, {'role_id': 'role-operator', 'scope_type': 'profile', 'scope_id': 'prof-device'})
    is_([each['id'] for each in s.api('GET', V1 + '/profiles', key=key).json['data']], ['prof-device'], 'a role for one profile')
    is_([s.api('GET', V1 + '/profiles/' + each, key=key).status for each in ('prof-device', 'prof-none')], [200, 404], 'and no other')
    post(s, path, {'role_id': 'role-operator', 'scope_type': 'issuer', 'scope_id': s.issuer_id})
    is_(s.api('DELETE', V1 + path + '/role-operator').status, 409, 'of two grants of a role one has to be named')
    is_(s.api('DELETE', V1 + path + '/role-operator?scope_type=issuer&scope_id=' + s.issuer_id).status, 204, 'named, it is taken away')
    is_(s.api('GET', V1 + '/issuers/' + s.issuer_id, key=key).status, 404, 'at once')
    is_(s.api('DELETE', V1 + path + '/role-operator').status, 204, 'the last one needs no name')
    is_(s.api('GET', V1 + '/profiles', key=key).status, 403, 'and nothing is left')
    post(s, path, {'role_id': 'role-viewer', 'expires_at': later(2)})
    is_(s.api('GET', V1 + '/profiles', key=key).status, 200, 'a grant for two seconds')
    ok(wait_for('its end', lambda: s.api('GET', V1 + '/profiles', key=key).status == 403, 6), 'ends')
    is_(fields(s.api('POST', V1 + path, {'role_id': 'role-none', 'scope_type': 'team', 'scope_id': 'team-none',
                                        'expires_at': '2020-01-01T00:00:00Z'})), (400, ['expires_at', 'role_id', 'scope_id']),
        'everything that is wrong with a grant')
    is_(fields(s.api('POST', V1 + path, {'role_id': 'role-viewer', 'scope_id': 'x'})), (400, ['scope_id']), 'a global one has no scope_id')
    is_(s.api('POST', V1 + '/auth/accounts/%s/roles' % made['id'], {'role_id': 'role-viewer'}).status, 404, 'a key is no account')
    post(s, path, {'role_id': 'role-viewer'})
    s.psql("DELETE FROM role_grant WHERE actor_id = '%s'" % made['id'])  # as another orchestrator would
    time.sleep(1)
    is_(s.api('GET', V1 + '/profiles', key=key).status, 403, 'a grant taken away elsewhere is gone within a second')


def giving(s):
    """Nobody gives away what they do not have."""
    rights = ['auth.key.create', 'auth.key.edit', 'auth.key.rotate', 'auth.role.assign', 'auth.role.create', 'auth.role.edit',
              'auth.user.edit', 'auth.key.list']
    key = post(s, '/auth/keys', {'name': 'giver', 'permissions': rights + ['cert.read']})['key']
    post(s, '/auth/keys/key-giver/roles', {'role_id': 'role-operator', 'scope_type': 'issuer', 'scope_id': s.issuer_id})
    victim = post(s, '/auth/keys', {'name': 'powerful', 'roles': ['role-admin']})['id']
    post(s, '/auth/accounts', {'name': 'powerful', 'password': 'correct horse', 'roles': ['role-admin']})
    mine = post(s, '/auth/keys', {'name': 'mine', 'permissions': ['cert.read']}, key=key)['id']

    def forbidden(method, path, body, name):
        answer = s.api(method, V1 + path, body, key=key)
        is_((answer.status, answer.json['error']['code']), (403, 'forbidden'), name)

    forbidden('POST', '/auth/keys', {'name': 'x', 'permissions': ['cert.revoke']}, 'not a permission that one has for one issuer alone')
    forbidden('POST', '/auth/keys', {'name': 'x', 'roles': ['role-admin']}, 'not a role with more than one has')
    forbidden('POST', '/auth/keys/%s/roles' % mine, {'role_id': 'role-operator'}, 'not everywhere what one has for one issuer')
    post(s, '/auth/keys/%s/roles' % mine, {'role_id': 'role-operator', 'scope_type': 'issuer', 'scope_id': s.issuer_id}, key=key)
    ok(True, 'but for that issuer')
    forbidden('POST', '/auth/keys/%s/roles' % mine, {'role_id': 'role-operator', 'scope_type': 'profile', 'scope_id': 'prof-device'},
              'and for nothing else')
    forbidden('POST', '/auth/roles', {'name': 'x', 'permissions': ['*']}, 'not in a new role')
    post(s, '/auth/roles', {'name': 'lesser', 'permissions': ['cert.read']}, key=key)
    forbidden('POST', '/auth/roles/role-lesser/permissions', {'permission': 'issuer.edit'}, 'not by adding to a role')
    forbidden('PUT', '/auth/roles/role-lesser', {'name': 'lesser', 'permissions': ['*']}, 'not by replacing one')
    forbidden('POST', '/auth/keys/%s/rotate' % victim, {}, "not by taking somebody's secret")
    forbidden('PUT', '/auth/accounts/user-powerful', {'name': 'powerful', 'password': 'another horse'}, "or setting somebody's password")


def lasting(s):
    """Nor for longer than they have it."""
    rights = ['auth.key.create', 'auth.key.edit', 'auth.key.rotate', 'auth.role.assign', 'auth.role.create', 'auth.role.edit']
    key = post(s, '/auth/keys', {'name': 'while', 'permissions': rights})['key']
    end, sooner, later_on = later(600), later(300), later(900)
    post(s, '/auth/keys/key-while/roles', {'role_id': 'role-viewer', 'expires_at': end})
    mine = '/auth/keys/%s/roles' % post(s, '/auth/keys', {'name': 'lasting'}, key=key)['id']
    named = {'scope_type': 'profile', 'scope_id': 'prof-device'}

    def gives(path, body, status, name, key=key, method='POST'):
        answer = s.api(method, V1 + path, body, key=key)
        is_(answer.status, status, name)
        if status == 403:
            like(answer.json['error']['message'], 'longer', 'which is said')

    gives(mine, {'role_id': 'role-viewer'}, 403, 'a role that ends is not given for good')
    gives(mine, {'role_id': 'role-viewer', 'expires_at': later_on}, 403, 'nor for longer')
    gives(mine, {'role_id': 'role-viewer', **named}, 403, 'nor for one profile')
    gives('/auth/keys/key-while/roles', {'role_id': 'role-viewer'}, 403, 'nor to oneself')
    gives(mine, {'role_id': 'role-viewer', 'expires_at': end}, 201, 'but to its end')
    gives(mine, {'role_id': 'role-viewer', 'expires_at': sooner, **named}, 201, 'and for less')
    gives('/auth/keys', {'name': 'x', 'permissions': ['cert.read']}, 403, 'nor is a key made of it that lasts')
    gives('/auth/keys', {'name': 'x', 'roles': ['role-viewer'], 'expires_at': later_on}, 403, 'or is good for longer')
    gives('/auth/keys', {'name': 'short', 'permissions': ['cert.read'], 'expires_at': sooner}, 201, 'but one that ends before')
    gives('/auth/keys/key-short', {'name': 'short', 'expires_at': later_on}, 403, 'whose end is not moved behind that', method='PUT')
    gives('/auth/keys/key-short', {'name': 'short'}, 403, 'nor taken away', method='PUT')
    gives('/auth/keys/key-short', {'name': 'short', 'expires_at': end}, 200, 'but up to it', method='PUT')
    post(s, '/auth/keys', {'name': 'for good', 'permissions': ['cert.read']})
    gives('/auth/keys/key-for-good/rotate', {}, 403, 'a secret of somebody who has it for good is not set')
    gives('/auth/roles', {'name': 'x', 'permissions': ['cert.read']}, 403, 'nor is it made a role, which has no end')
    ending = post(s, '/auth/keys', {'name': 'ending', 'permissions': ['*'], 'expires_at': end})['key']
    gives('/auth/keys', {'name': 'x', 'permissions': ['cert.read']}, 403, 'a key that ends makes none that does not', ending)
    gives('/auth/keys/key-ending', {'name': 'ending'}, 403, 'and does not take away its own end', ending, 'PUT')
    gives('/auth/keys', {'name': 'y', 'permissions': ['cert.read'], 'expires_at': end}, 201, 'but one that ends with it', ending)


def scope_down(s):
    made = post(s, '/auth/keys', {'name': 'wide', 'roles': ['role-operator'], 'permissions': ['audit.read']})
    path, key = '/auth/keys/key-wide/scope-down', made['key']
    is_(s.api('POST', V1 + path, {}).status, 409, 'a key that was not used is not made to have no rights')
    for each in ('/certificates', '/profiles', '/profiles'):
        s.api('GET', V1 + each, key=key)
    wait_for('the use', lambda: len(s.api('GET', V1 + path).json['used']) == 2, 6)
    seen = s.api('GET', V1 + path + '?days=30').json
    is_((seen['permissions'], seen['days'], [each['hours'] for each in seen['used']]), (['cert.read', 'profile.read'], 30, [1, 1]),
        'what a key really uses is proposed')
    ok({'audit.read', 'cert.revoke'} <= set(seen['unused']) and 'cert.read' not in seen['unused'], 'and what it does not is told', seen)
    is_(s.api('POST', V1 + path, {}).status, 200, 'the proposal is put into force')
    row = s.api('GET', V1 + '/auth/keys/key-wide').json
    is_((row['permissions'], row['roles']), (['cert.read', 'profile.read'], []), 'the key has that and no more')
    is_([s.api('GET', V1 + each, key=key).status for each in ('/certificates', '/profiles', '/audit')], [200, 200, 403], 'at once')
    key = post(s, '/auth/keys', {'name': 'ends'})['key']
    end = later(600)
    post(s, '/auth/keys/key-ends/roles', {'role_id': 'role-viewer', 'expires_at': end})
    s.api('GET', V1 + '/profiles', key=key)
    wait_for('the use', lambda: s.api('GET', V1 + '/auth/keys/key-ends/scope-down').json['used'], 6)
    s.api('POST', V1 + '/auth/keys/key-ends/scope-down', {})
    row = s.api('GET', V1 + '/auth/keys/key-ends').json
    is_((row['permissions'], [(each['role_id'], each['expires_at']) for each in row['roles']]), ([], [('role-viewer', end)]),
        'a role that ends does not become permissions that do not')


def certificates(s):
    """A certificate of ours as an identity."""
    order = {'name': 'robot', 'profile_id': 'prof-device', 'issuer_id': s.issuer_id}
    holder = s.holder('robot')
    issued = post(s, '/certificates', {**order, 'csr_pem': open(holder.csr).read()})
    with open(s.file('robot.pem'), 'w') as file:
        file.write(issued['pem'])
    holder.cert = s.file('robot.pem')

    def ask(method='GET', path='/auth/me', headers=None, who=holder, body=None):
        return s.http(method, V1 + path, body, headers, cert=who)

    is_(ask().status, 401, 'a certificate that is not registered is nobody')
    is_(fields(s.api('POST', V1 + '/auth/certificates', {'certificate_id': 'mc-none', 'roles': ['role-none']})),
        (400, ['certificate_id', 'roles.0']), 'what is registered has to exist')
    post(s, '/auth/certificates', {'certificate_id': issued['id'], 'roles': ['role-viewer'], 'allowed_names': ['robot*']})
    me = ask().json
    is_((me['actor'], me['actor_type'], me['allowed_names']), (issued['id'], 'certificate', ['robot*']), 'registered, it is an identity')
    is_([ask(path=each).status for each in ('/issuers', '/audit')], [200, 403], 'with the rights of its role')
    is_(ask(headers={'Authorization': 'Bearer chk_wrong'}).status, 401, 'a header wins over it')
    is_(ask('POST', '/auth/logout', {'Origin': 'https://evil.example', 'Content-Type': 'application/json'}, body='{}').status, 403,
        'a browser that another site made ask is refused')
    is_(ask('POST', '/auth/logout', {'Content-Type': 'application/json'}, body='{}').status, 204, 'a program is not')
    pem = urllib.parse.quote(issued['pem'])
    is_(s.http('GET', V1 + '/auth/me', headers={'X-Chancery-Certificate': pem}, tls=True).status, 401,
        'the header of the certificate does not get through from outside')
    other = s.enrol('stranger')
    is_(ask(headers={'X-Chancery-Certificate': pem}, who=other).status, 401, 'nor beside a certificate of somebody else')
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(s.path('run/api.sock'))
        wire.sendall(('GET /api/v1/auth/me HTTP/1.1\r\nHost: x\r\nX-Chancery-Certificate: %s\r\n\r\n' % 'no%zz').encode())
        like(wire.recv(4096).decode(), '^HTTP/1.1 401', 'what cannot be read is nobody')

    again = s.holder('robot-2', subject='/CN=robot', san='DNS:robot.example.net')
    job = post(s, '/certificates/%s/renew' % issued['id'], {'csr_pem': open(again.csr).read()}, status=202)
    wait_for('the renewal', lambda: s.api('GET', V1 + '/jobs/' + job['id']).json['status'] == 'Completed', 20)
    with open(s.file('robot-2.pem'), 'w') as file:
        file.write(s.api('GET', V1 + '/certificates/%s/download' % issued['id']).text)
    again.cert = s.file('robot-2.pem')
    is_([ask(who=each).status for each in (holder, again)], [200, 200], 'a renewed one is the same identity')
    s.api('POST', V1 + '/certificates/%s/revoke' % issued['id'], {'reason': 'superseded', 'serials': [issued['serial']]})
    ok(wait_for('its end', lambda: ask().status == 401, 2), 'a revoked version is nobody')
    is_(ask(who=again).status, 200, 'the other goes on')
    is_(s.api('DELETE', V1 + '/auth/certificates/' + issued['id']).status, 204, 'the registration is taken back')
    is_(ask(who=again).status, 401, 'at once')


def bulk_names(s, key, foreign):
    """One that is named by an identity that may not ask for its names."""
    own = post(s, '/certificates', {'name': 'ours', 'profile_id': 'prof-device', 'issuer_id': s.issuer_id,
                                    'csr_pem': open(s.holder('ok-bulk', san='DNS:bulk.ok.example.net').csr).read()})['id']
    id = post(s, '/certificates/bulk-renew', {'certificate_ids': [own, foreign]}, key=key, status=202)['job_id']
    path = V1 + '/jobs/' + id
    wait_for('the end', lambda: s.api('GET', path).json['status'] == 'Completed')
    row = s.api('GET', path).json
    is_((row['total'], row['done'], row['failed']), (2, 1, 1), 'of many those within are renewed')
    items = {each['certificate_id']: each['error'] for each in s.api('GET', path + '/items').json['data']}
    ok(not items[own], 'and one outside is not', items)
    like(items[foreign], 'free.* is outside of those', 'which its item says, with the name')
    is_(s.api('GET', V1 + '/jobs?type=Renewal&certificate_id=' + foreign).json['total'], 0, 'and it has no renewal that failed')


def names(s):
    """Allowed names, on every way to a signature."""
    key = post(s, '/auth/keys', {'name': 'named', 'roles': ['role-cli'], 'allowed_names': ['ok-*', '*.ok.example.net', 'https://ok/*']})['key']

    def order(name, **more):
        csr = open(s.holder(name, **more).csr).read()
        return s.api('POST', V1 + '/certificates', {'name': name, 'profile_id': 'prof-device', 'issuer_id': s.issuer_id, 'csr_pem': csr},
                     key=key)

    is_(order('ok-1', san='DNS:a.ok.example.net').status, 201, 'names within the set')
    for name, more in (('bad-1', {'san': 'DNS:a.ok.example.net'}), ('ok-2', {'san': 'DNS:a.ok.example.net,DNS:evil.example.net'})):
        answer = order(name, **more)
        is_((answer.status, answer.json['error']['code']), (403, 'policy'), 'a name outside: %s' % more)
        like(answer.json['error']['message'], 'bad-1|evil.example.net', 'is named')
    mine = s.api('POST', V1 + '/certificates', {'name': 'free', 'profile_id': 'prof-device', 'issuer_id': s.issuer_id,
                                               'csr_pem': open(s.holder('free').csr).read()}).json
    is_(s.api('POST', V1 + '/certificates/%s/renew' % mine['id'], {}, key=key).status, 403, 'nor renewed')
    bulk_names(s, key, mine['id'])

    label = post(s, '/est/labels', {'name': 'named', 'issuer_id': s.issuer_id, 'profile_id': 'prof-device', 'allowed_names': ['ok-*']})
    user = post(s, '/est/labels/%s/credentials' % label['id'], {'user_name': 'dev', 'allowed_names': ['dev-*', '*.example.net']})
    auth = s.basic('dev', user['password'])

    def enrol(name, **more):
        return s.est(s.holder(name).csr, label='named', **more)

    is_(enrol('dev-1', auth=auth).status, 200, 'a user enrols within their names')
    answer = enrol('other-1', auth=auth)
    ok(answer.status in (400, 403), 'and not outside', answer)
    like(answer.text, 'other-1', 'which is said')
    device = s.holder('dev-2')
    device.cert = s.keep(s.est(device.csr, label='named', auth=auth), 'dev-2')
    ok(s.est(device.csr, 'simplereenroll', 'named', cert=device).status in (400, 403), "a device does not renew outside of its label's names")
    changed = {'name': 'named', 'issuer_id': s.issuer_id, 'profile_id': 'prof-device', 'allowed_names': ['dev-2*']}
    is_(s.api('PUT', V1 + '/est/labels/' + label['id'], changed).json['allowed_names'], ['dev-2*'], 'they are changed')
    is_(s.est(device.csr, 'simplereenroll', 'named', cert=device).status, 200, 'and it does')
    is_(fields(s.api('POST', V1 + '/auth/keys', {'name': 'x', 'allowed_names': ['', 'a b', 'fine']})),
        (400, ['allowed_names.0', 'allowed_names.1']), 'patterns that are none')

    rights = ['auth.key.create', 'auth.role.assign', 'cert.issue']
    giver = post(s, '/auth/keys', {'name': 'named giver', 'permissions': rights, 'allowed_names': ['*.ok.example.net']})['key']
    for given, status in ((['x.ok.example.net'], 201), (['*.sub.ok.example.net'], 201), ([], 403), (['*'], 403),
                          (['*.example.net'], 403), (['https://x.ok.example.net'], 403)):
        answer = s.api('POST', V1 + '/auth/keys', {'name': 'given %s' % given, 'id': 'key-given-%d' % abs(hash(str(given))),
                                                  'permissions': ['cert.issue'], 'allowed_names': given}, key=giver)
        is_(answer.status, status, 'who may ask for *.ok.example.net gives %s: %d' % (given, status))


def main(s):
    bootstrap(s)
    keys(s)
    roles(s)
    grants(s)
    giving(s)
    lasting(s)
    scope_down(s)
    certificates(s)
    names(s)


if __name__ == '__main__':
    with Stack(env={'CHANCERY_BOOTSTRAP_TOKEN': TOKEN}) as stack:
        main(stack)
    done()
