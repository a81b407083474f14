#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
Who may what: every route of the OpenAPI document asked by nobody, by each built-in role, and by roles that are good for
one issuer, profile, team or owner alone.  Bodies are wrong on purpose: whoever may gets 400, and nothing is changed.
Routes that come later are asked as well.
"""

import http.client
import json
import os
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, ok  # noqa: E402
from openapi import Document  # noqa: E402

V1 = '/api/v1'
ROLES = ['admin', 'agent', 'auditor', 'cli', 'mcp', 'operator', 'viewer']
NOBODY = object()


class Route:
    def __init__(self, operation, what):
        self.operation, self.method, self.path = operation, operation.method, operation.path
        self.permission, self.reach, self.of = what['x-permission'], what['x-reach'], what.get('x-reach-of')
        self.needs_right = self.reach not in ('open', 'self')

    def __str__(self):
        return '%s %s' % (self.method, self.path)

    def target(self, first='no-such-thing'):
        named = [each['name'] for each in self.operation.named('path')]
        return self.operation.target({name: first if n == 0 else 'no-such-thing' for n, name in enumerate(named)})


class Caller:
    """One connection that stays; a status for each call."""

    def __init__(self, s):
        self.s, self.context, self.open = s, ssl.create_default_context(cafile=s.bundle), None

    def ask(self, route, key, first='no-such-thing'):
        headers, body = {}, None
        if key is not NOBODY:
            headers['Authorization'] = 'Bearer ' + key
        if route.method != 'GET':
            headers['Content-Type'], body = 'application/json', json.dumps({'no_such_member': 1})
        for attempt in range(2):
            if self.open is None:
                self.open = http.client.HTTPSConnection('localhost', self.s.https_port, timeout=30, context=self.context)
            try:
                self.open.request(route.method, route.target(first), body=body, headers=headers)
                answer = self.open.getresponse()
                break
            except (OSError, http.client.HTTPException):
                self.open = None
                if attempt == 1:
                    raise
        if route.operation.streams() and answer.status == 200:
            self.open.close()
            self.open = None
        else:
            answer.read()
        return answer.status


def routes_of(document):
    return [Route(each, document.json['paths'][each.path][each.method.lower()]) for each in document.operations]


def complain(name, wrong, asked):
    ok(not wrong and asked > 0, '%s (%d calls)' % (name, asked), '\n'.join(wrong[:20]))


def nobody(caller, routes):
    for what, key in (('without an identity', NOBODY), ('with a key that there is not', 'chk_' + 'a' * 32)):
        found = [(each, caller.ask(each, key)) for each in routes]
        wrong = ['%s: %d' % (each, status) for each, status in found if (status == 401) != (each.reach != 'open')]
        complain('%s everything but what is open is 401' % what, wrong, len(found))


def built_in(s, caller, routes):
    roles = {each['name']: each for each in s.api('GET', V1 + '/auth/roles?built_in=true').json['data']}
    is_(sorted(roles), ROLES, 'seven roles are built in')
    is_(roles['auditor']['permissions'], ['audit.read', 'audit.export', 'auth.user.read'], 'an auditor has the audit and no more')
    for name, role in sorted(roles.items()):
        key = s.api('POST', V1 + '/auth/keys', {'name': 'role ' + name, 'roles': [role['id']]}).json['key']
        has, wrong = set(role['permissions']), []
        for each in routes:
            may = not each.needs_right or each.permission in has or '*' in has
            status = caller.ask(each, key)
            if (status in (401, 403)) if may else (status != 403):
                wrong.append('%s needs %s: %d' % (each, each.permission, status))
        complain('%s may what the role says, and nothing else' % name, wrong, len(routes))
    for name in ('viewer', 'mcp', 'auditor'):
        change = {each.permission for each in routes if each.method in ('PUT', 'DELETE') and each.needs_right}
        is_(sorted(change & set(roles[name]['permissions'])), [], '%s changes nothing' % name)


def world(s):
    """Two of everything that a scope can name, and certificates on both sides."""
    is_(s.api('POST', V1 + '/issuers', {
        'name': 'Other', 'id': 'iss-other', 'config': {'subject': 'CN=Other CA', 'key': 'p-256'}}).status, 201, 'another issuer')
    profile = s.api('GET', V1 + '/profiles/prof-device').json
    wanted = {name: profile[name] for name in ('key_kinds', 'validity_s', 'eku', 'name_kinds', 'subject_rule')}
    is_(s.api('POST', V1 + '/profiles', {**wanted, 'name': 'Other', 'id': 'prof-other'}).status, 201, 'another profile')
    for n in ('one', 'two'):
        s.api('POST', V1 + '/teams', {'name': n, 'id': 'team-' + n})
        s.api('POST', V1 + '/owners', {'name': n, 'id': 'owner-' + n, 'team_id': 'team-' + n, 'email': n + '@example.net'})
        order = {'name': 'cert-' + n, 'profile_id': 'prof-other' if n == 'one' else 'prof-device', 'owner_id': 'owner-' + n,
                 'team_id': 'team-' + n, 'issuer_id': 'iss-other' if n == 'one' else s.issuer_id,
                 'csr_pem': open(s.holder('rights-' + n).csr).read()}
        is_(s.api('POST', V1 + '/certificates', order).status, 201, 'a certificate of team %s' % n)
    s.api('POST', V1 + '/est/labels', {'name': 'other', 'issuer_id': 'iss-other', 'profile_id': 'prof-other'})


def ids(s, path, key=None):
    return {row['id'] for row in s.api('GET', path + '?limit=1000', key=key).json['data']}


def scoped(s, caller, routes):
    """A role of all permissions, for one thing alone."""
    names = sorted({each.permission for each in routes if each.needs_right})
    is_(s.api('POST', V1 + '/auth/roles', {'name': 'All by name', 'id': 'role-all', 'permissions': names}).status, 201,
        'a role of every permission by name')
    lists = {each.path: each for each in routes if each.method == 'GET' and each.reach == 'inside'}
    for kind, thing in (('issuer', 'iss-other'), ('profile', 'prof-other'), ('team', 'team-one'), ('owner', 'owner-one')):
        made = s.api('POST', V1 + '/auth/keys', {'name': 'for one ' + kind}).json
        granted = s.api('POST', V1 + '/auth/keys/%s/roles' % made['id'],
                        {'role_id': 'role-all', 'scope_type': kind, 'scope_id': thing})
        is_(granted.status, 201, 'all permissions for one %s' % kind)
        key, wrong, asked = made['key'], [], 0
        for each in routes:
            if each.reach == 'within':
                continue
            status, asked = caller.ask(each, key), asked + 1
            if (status != 403) if each.reach == 'everywhere' else (status in (401, 403)):
                wrong.append('%s reaches %s: %d' % (each, each.reach, status))
        complain('for one %s: nothing that reaches everywhere, and all that does not' % kind, wrong, asked)
        rows(s, caller, routes, lists, (kind, key))
        mine = s.api('GET', V1 + '/certificates', key=key).json
        is_(({row['name'] for row in mine['data']}, mine['total']), ({'cert-one'}, 1),
            'certificates of other %ss are neither listed nor counted' % kind)


def rows(s, caller, routes, lists, who):
    """Of rows that a path names those inside are there, those outside are not."""
    kind, key = who
    wrong, inside_count, outside_count = [], 0, 0
    for each in routes:
        collection = each.path.split('/{')[0]
        if each.reach != 'within' or collection not in lists:
            continue
        inside = ids(s, collection, key)
        outside = ids(s, collection) - inside
        for found, there in ((sorted(inside)[:1], True), (sorted(outside)[:1], False)):
            for one in found:
                status = caller.ask(each, key, one)
                inside_count, outside_count = inside_count + there, outside_count + (not there)
                if (status in (401, 403)) if there else (status != 404):
                    wrong.append('%s of %s: %d' % (each, one, status))
    complain('for one %s: rows inside are there, rows outside are 404' % kind, wrong, min(inside_count, outside_count))


def main(s):
    document = Document()
    routes, caller = routes_of(document), Caller(s)
    ok(len(routes) > 80, 'all %d routes' % len(routes))
    is_([str(each) for each in routes if each.reach not in ('open', 'self', 'everywhere', 'inside', 'within', 'named')], [],
        'each says how far its permission has to reach')
    before = s.psql('SELECT (SELECT count(*) FROM profile) + (SELECT count(*) FROM managed_certificate)')
    nobody(caller, routes)
    built_in(s, caller, routes)
    is_(s.psql('SELECT (SELECT count(*) FROM profile) + (SELECT count(*) FROM managed_certificate)'), before,
        'nothing was changed by all that')
    world(s)
    scoped(s, caller, routes)


if __name__ == '__main__':
    with Stack() as stack:
        main(stack)
    done()
