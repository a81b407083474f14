#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""People: accounts, logging in and out, cookies, CSRF, lock-out, and sessions that end."""

import http.cookies
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, like, ok, unlike  # noqa: E402

V1 = '/api/v1'
COOKIE = '__Host-chancery_session'
PASSWORD = 'correct horse battery'


class Browser:
    """What a browser and our pages would send."""

    def __init__(self, s):
        self.s, self.cookie, self.csrf = s, None, None

    def ask(self, method, path, body=None, csrf=True, headers=None):
        sent = {'User-Agent': 'Tester/1.0'}
        if self.cookie:
            sent['Cookie'] = 'other=1; %s=%s' % (COOKIE, self.cookie)
        if csrf and self.csrf:
            sent['X-CSRF-Token'] = self.csrf
        if body is not None:
            sent['Content-Type'], body = 'application/json', json.dumps(body)
        sent.update(headers or {})
        return self.s.http(method, path, body, sent, tls=True)

    def login(self, path=V1 + '/auth/login', **what):
        answer = self.ask('POST', path, what)
        if answer.status == 200:
            jar = http.cookies.SimpleCookie(answer.headers['Set-Cookie'])
            self.cookie, self.csrf = jar[COOKIE].value, answer.json['csrf_token']
        return answer


def logged_in(s, **what):
    browser = Browser(s)
    browser.login(**what)
    return browser


def accounts(s):
    path = V1 + '/auth/accounts'
    made = s.api('POST', path, {'name': 'alice', 'email': 'alice@example.net', 'password': PASSWORD, 'roles': ['role-viewer']})
    is_((made.status, made.json['id'], made.json['disabled']), (201, 'user-alice', False), 'an account is made')
    is_([each['role_id'] for each in made.json['roles']], ['role-viewer'], 'with its role')
    unlike(made.text, 'password|digest|salt', 'without a word of its password')
    is_(s.psql("SELECT count(*) FROM account WHERE account::text LIKE '%correct horse%'"), '0', 'which the database does not know')
    is_(s.api('POST', path, {'name': 'alice', 'password': PASSWORD}).status, 409, 'a second one of that name: 409')
    wrong = s.api('POST', path, {'name': 'b', 'password': 'short', 'email': 'nobody', 'roles': ['role-none'], 'colour': 1})
    is_((wrong.status, sorted(each['field'] for each in wrong.json['error']['fields'])), (400, ['colour', 'password']),
        'what is wrong with an account')
    wrong = s.api('POST', path, {'name': 'b', 'password': PASSWORD, 'email': 'nobody', 'roles': ['role-none'],
                                 'allowed_names': ['a b']})
    is_(sorted(each['field'] for each in wrong.json['error']['fields']), ['allowed_names.0', 'email', 'roles.0'], 'and what no table says')
    is_(s.api('POST', path, {'name': 'bob', 'password': PASSWORD}).status, 201, 'another account, without a role')


def login(s):
    browser = Browser(s)
    answer = browser.login(name='alice', password=PASSWORD)
    is_((answer.status, answer.json['actor'], answer.json['actor_type']), (200, 'user-alice', 'account'), 'a person logs in')
    like(answer.headers['Set-Cookie'], '^__Host-chancery_session=[0-9a-f]{64}; Path=/; Secure; HttpOnly; SameSite=Strict$',
         'the cookie is of this host, of TLS, and of no script')
    is_(browser.ask('GET', V1 + '/certificates').status, 200, 'the cookie is enough to see')
    is_(browser.ask('POST', V1 + '/profiles', {}).status, 403, 'a viewer changes nothing')
    me = browser.ask('GET', V1 + '/auth/me').json
    is_((me['actor'], me['session_id'], me['csrf_token']), ('user-alice', answer.json['session_id'], browser.csrf),
        'a page that was loaded again finds its CSRF token')
    is_([(each['role_id'], each['scope_type']) for each in me['roles']], [('role-viewer', 'global')], 'and its roles')
    is_(s.psql("SELECT count(*) FROM session WHERE session::text LIKE '%%%s%%'" % browser.cookie), '0',
        'the database does not know the cookie')
    unlike(s.log(), browser.cookie + '|' + PASSWORD, 'and no log knows it or the password')
    is_(browser.ask('GET', V1 + '/certificates', headers={'Authorization': 'Bearer chk_wrong'}).status, 401,
        'an Authorization header wins over the cookie')
    first = Browser(s)
    is_(first.login(key=s.env['CHANCERY_API_KEY']).json['actor_type'], 'api_key', 'an API key logs in, too')
    is_(first.ask('GET', V1 + '/auth/me').json['admin'], True, 'and is what it was')
    is_(Browser(s).login(path='/auth/breakglass/login', name='alice', password=PASSWORD).status, 200, 'by the older path as well')
    for what, fields in (({}, ['name']), ({'name': 'alice'}, ['password']), ({'key': 'x', 'name': 'a', 'password': 'b'}, ['key'])):
        wrong = Browser(s).login(**what)
        is_((wrong.status, [each['field'] for each in wrong.json['error']['fields']]), (400, fields), 'a login that says %s' % sorted(what))
    is_([Browser(s).login(key='chk_' + 'a' * 32).status, Browser(s).login(name='bob', password='wrong password').status],
        [401, 401], 'a wrong key, a wrong password: 401')
    is_(s.psql("SELECT count(*) FROM audit_event WHERE action = 'session.create' AND actor = 'user-alice'"), '1',
        'the login is in the audit, as alice')


def forgery(s):
    admin = logged_in(s, key=s.env['CHANCERY_API_KEY'])
    role = {'name': 'by browser', 'permissions': ['cert.read']}
    is_(admin.ask('POST', V1 + '/auth/roles', role, csrf=False).status, 403, 'a change without X-CSRF-Token: 403')
    for name, token in (('another', '0' * 64), ('an empty', ''), ('a shorter', admin.csrf[:-1])):
        is_(admin.ask('POST', V1 + '/auth/roles', role, csrf=False, headers={'X-CSRF-Token': token}).status, 403, 'with %s one: 403' % name)
    other = logged_in(s, key=s.env['CHANCERY_API_KEY'])
    is_(admin.ask('POST', V1 + '/auth/roles', role, csrf=False, headers={'X-CSRF-Token': other.csrf}).status, 403,
        "with another session's: 403")
    is_(admin.ask('DELETE', V1 + '/auth/roles/role-none', csrf=False).status, 403, 'DELETE as well')
    is_(admin.ask('POST', V1 + '/auth/roles', role).status, 201, 'with the right one it is done')
    is_(admin.ask('GET', V1 + '/auth/roles', csrf=False).status, 200, 'to see it takes none')


def ending(s):
    one, two = (logged_in(s, name='alice', password=PASSWORD) for _ in range(2))
    mine = one.ask('GET', V1 + '/auth/sessions').json['data']
    is_({each['actor_id'] for each in mine}, {'user-alice'}, 'a person sees their own sessions')
    is_(mine[0]['user_agent'], 'Tester/1.0', 'and by what they were begun')
    everyone = s.api('GET', V1 + '/auth/sessions').json['data']
    ok({'user-alice'} < {each['actor_id'] for each in everyone}, 'an administrator sees all', everyone)
    foreign = next(each['id'] for each in everyone if each['actor_id'] != 'user-alice')
    is_(one.ask('DELETE', V1 + '/auth/sessions/' + foreign).status, 404, "somebody else's is not there to end")
    is_(one.ask('DELETE', V1 + '/auth/sessions').status, 204, 'all but the present one are ended')
    is_([each.ask('GET', V1 + '/auth/me').status for each in (one, two)], [200, 401], 'which goes on, alone')
    answer = one.ask('POST', V1 + '/auth/logout', {})
    is_(answer.status, 204, 'logging out')
    like(answer.headers['Set-Cookie'], '^__Host-chancery_session=;.*Max-Age=0', 'takes the cookie away')
    is_(one.ask('GET', V1 + '/auth/me').status, 401, 'and ends the session at once')
    three = logged_in(s, name='alice', password=PASSWORD)
    is_(three.ask('POST', '/auth/logout', {}).status, 204, 'the older path does the same')
    is_(three.ask('GET', V1 + '/auth/me').status, 401, 'at once')

    four = logged_in(s, name='alice', password=PASSWORD)
    change = {'name': 'alice', 'email': 'alice@example.net'}
    is_(s.api('PUT', V1 + '/auth/accounts/user-alice', {**change, 'disabled': True}).status, 200, 'an account is disabled')
    is_(four.ask('GET', V1 + '/auth/me').status, 401, 'its sessions end at once')
    is_(Browser(s).login(name='alice', password=PASSWORD).status, 401, 'and it logs in no more')
    is_(s.api('PUT', V1 + '/auth/accounts/user-alice', change).status, 200, 'it is enabled')
    five = logged_in(s, name='alice', password=PASSWORD)
    s.api('PUT', V1 + '/auth/accounts/user-alice', {**change, 'password': PASSWORD + '!'})
    is_(five.ask('GET', V1 + '/auth/me').status, 401, 'another password ends its sessions')
    is_([Browser(s).login(name='alice', password=each).status for each in (PASSWORD, PASSWORD + '!')], [401, 200], 'and is the one that counts')
    s.api('PUT', V1 + '/auth/accounts/user-alice', {**change, 'password': PASSWORD})

    made = s.api('POST', V1 + '/auth/keys', {'name': 'short', 'roles': ['role-viewer']}).json
    six = logged_in(s, key=made['key'])
    is_(six.ask('GET', V1 + '/auth/me').status, 200, 'a session of a key')
    is_(s.api('DELETE', V1 + '/auth/keys/' + made['id']).status, 204, 'that is revoked')
    is_(six.ask('GET', V1 + '/auth/me').status, 401, 'ends with it')


def expiry(s):
    idle, old = (logged_in(s, name='alice', password=PASSWORD) for _ in range(2))
    of = "WHERE id = '%s'"
    ids = [each.ask('GET', V1 + '/auth/me').json['session_id'] for each in (idle, old)]
    s.psql("UPDATE session SET last_seen_at = now() - interval '61 minutes' " + of % ids[0])
    s.psql("UPDATE session SET expires_at = now() - interval '1 second' " + of % ids[1])
    time.sleep(1)
    is_([each.ask('GET', V1 + '/auth/me').status for each in (idle, old)], [401, 401], 'unused for an hour, or eight hours old: over')
    is_(s.psql("SELECT round(extract(epoch FROM max(expires_at - created_at)) / 3600) FROM session WHERE actor_id = 'user-alice'"), '8',
        'a session lasts eight hours')


def lock_out(s):
    def attempt(name, password, out):
        began = time.monotonic()
        out.append((Browser(s).login(name=name, password=password).status, time.monotonic() - began))

    out = []
    for _ in range(5):
        attempt('bob', 'wrong password', out)
    is_([status for status, _ in out], [401] * 5, 'five wrong passwords')
    attempt('bob', PASSWORD, out)
    is_(out[-1][0], 401, 'lock the account: the right one is refused as well')
    locked = s.api('GET', V1 + '/auth/accounts/user-bob').json['locked_until']
    left = int(s.psql("SELECT extract(epoch FROM locked_until - now())::int FROM account WHERE id = 'user-bob'"))
    ok(locked and 800 < left <= 900, 'for fifteen minutes', (locked, left))
    is_(s.api('POST', V1 + '/auth/accounts/user-bob/unlock', {}).json['locked_until'], None, 'an administrator unlocks it')
    attempt('bob', PASSWORD, out)
    is_(out[-1][0], 200, 'and bob is in')

    for _ in range(4):
        attempt('bob', 'wrong password', out)
    s.psql("UPDATE account SET failed_at = failed_at - interval '61 minutes' WHERE id = 'user-bob'")
    attempt('bob', 'wrong password', out)
    attempt('bob', PASSWORD, out)
    is_(out[-1][0], 200, 'failures of an hour ago do not count')

    out.clear()
    threads = [threading.Thread(target=attempt, args=('bob', 'wrong password', out)) for _ in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    ok(all(status in (401, 429) for status, _ in out), 'twenty at once are refused, or told to come again', out)
    attempt('bob', PASSWORD, out)
    is_(out[-1][0], 401, 'and were not more tries than five')

    known, unknown = [], []
    s.api('POST', V1 + '/auth/accounts/user-bob/unlock', {})
    for n in range(3):
        attempt('bob', 'wrong %d password' % n, known)
        attempt('nobody-%d' % n, 'wrong password', unknown)
    ok(min(took for _, took in unknown) > 0.4 * min(took for _, took in known), 'an unknown name takes as long as a known one',
       (known, unknown))


def main(s):
    info = s.http('GET', V1 + '/auth/info', tls=True)
    is_((info.status, info.json['auth_type'], info.json['cookie']), (200, 'api-key', COOKIE), 'how one logs in is told to everybody')
    is_(s.http('GET', V1 + '/auth/check', tls=True).status, 401, 'who one is to nobody')
    check = s.api('GET', V1 + '/auth/check').json
    is_((check['status'], check['actor_type'], check['admin']), ('authenticated', 'api_key', True), 'and to those who are somebody')
    accounts(s)
    login(s)
    forgery(s)
    ending(s)
    expiry(s)
    lock_out(s)
    is_(s.api('DELETE', V1 + '/auth/accounts/user-alice').status, 204, 'an account is deleted')
    is_(s.psql("SELECT count(*) FROM role_grant WHERE actor_id = 'user-alice'"), '0', 'with its rights')
    s.psql("UPDATE session SET expires_at = now() - interval '1 hour'")
    is_(s.api('GET', V1 + '/auth/sessions').json['total'], 0, 'sessions that are over are not listed')


if __name__ == '__main__':
    with Stack() as stack:
        main(stack)
    done()
