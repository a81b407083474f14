#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
The API keeps what its OpenAPI document promises: requests made at random of the document, some that fit and some that
do not, get answers that it documents, and never a 5xx.  SEED= in the environment repeats a run; CALLS= makes it longer.
"""

import json
import os
import random
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, diag, done, is_, ok, openssl  # noqa: E402
from openapi import JSON, Document, chance_of, mutated, value_of  # noqa: E402

import jsonschema  # noqa: E402

SEED = int(os.environ.get('SEED') or random.SystemRandom().randrange(2 ** 32))
CALLS = int(os.environ.get('CALLS') or 25)  # of each operation
LEAKS = re.compile(rb'SQLSTATE|PRIVATE KEY|libpq|\.c:\d+|/tmp/|violates|relation "|at_exit|Traceback')
V1 = '/api/v1'


def form(document):
    """What a validator of documents would say of this one."""
    ids = [each.id for each in document.operations]
    is_(sorted(set(ids)), sorted(ids), 'every operation has an id of its own')
    for schema in document.json['components']['schemas'].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    ok(True, 'every schema is one by JSON Schema 2020-12')
    for each in document.operations:
        named = set(re.findall(r'\{(\w+)\}', each.path))
        if named != {p['name'] for p in each.named('path')} or not all(p['required'] for p in each.named('path')):
            ok(False, '%s documents the parameters of its path' % each)
        if not all(each.document.resolve(p['schema']) for p in each.parameters):
            ok(False, '%s gives every parameter a schema' % each)
    answers = [document.resolve(each.responses[str(each.success())].get('content', {}).get(JSON, {}).get('schema', {}))
               for each in document.operations]
    is_([each for each in answers if not set(each.get('required', [])) <= set(each.get('properties', {}))], [],
        'what an answer is said to have is described')
    ok(not [str(each) for each in document.operations if each.secured and not {'401', '403'} <= set(each.responses)
            and each.permission != 'self'], 'what needs a permission documents 401 and 403')


class Things:
    """Ids that are there, by collection, so that requests at random meet something."""

    def __init__(self, stack, key):
        self.stack, self.key, self.known = stack, key, {}

    def call(self, method, target, body=None, raw=None):
        headers = {'Authorization': 'Bearer ' + self.key}
        if body is not None or raw is not None:
            headers['Content-Type'] = JSON
        return self.stack.http(method, target, raw if raw is not None else json.dumps(body) if body is not None else None,
                               headers, tls=True)

    def learn(self, document):
        for each in document.operations:
            if each.method == 'GET' and not each.named('path') and each.id.endswith('_list'):
                rows = self.call('GET', each.path).json.get('data', [])
                self.known[each.path] = [row['id'] for row in rows if 'id' in row]
        # Not the keys that the test itself needs.
        self.known[V1 + '/auth/keys'] = [self.call('POST', V1 + '/auth/keys', {'name': 'victim %d' % n, 'permissions': ['cert.read']})
                                         .json['id'] for n in range(3)]

    def at(self, operation, name, chance):
        """A value for a parameter of the path: mostly one that is there."""
        before = operation.path.split('/{%s}' % name)[0]
        there = self.known.get(re.sub(r'/\{\w+\}', '', before)) or self.known.get(before) or []
        if there and chance.random() < 0.8:
            return chance.choice(there)
        return chance.choice(['no-such', 'mc-x', 'ünknown', '0', '-1', 'a' * 300, "'", '%', '01ff'])

    def reference(self, path, wrong):
        def pick(chance):
            there = self.known.get(path)
            return chance.choice(there) if there and chance.random() < 0.9 else wrong
        return pick


def call_at_random(things, operation, names, chance):
    values = {each['name']: things.at(operation, each['name'], chance) for each in operation.named('path')}
    query = {each['name']: value_of(each['schema'], chance) for each in operation.named('query') if chance.random() < 0.15}
    query = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in query.items()
             if not isinstance(value, list)}
    body = None
    if operation.body is not None:
        body = value_of(operation.body, chance, names, required_only=chance.random() < 0.3)
        if chance.random() < 0.3:
            body = mutated(body, chance)
    target = operation.target(values, query)
    return target, body, things.call(operation.method, target, body)


def destroys(operation):
    """What would take away the caller's own rights or what the others need is asked last."""
    return operation.method == 'DELETE' or re.search(r'revoke|release|logout|scope.down|retire|rekey|bulk', operation.id + operation.path)


def main(s):
    document = Document()
    form(document)
    key = s.api('POST', V1 + '/auth/keys', {'name': 'contract', 'permissions': ['*']}).json['key']
    things, chance = Things(s, key), chance_of(SEED)
    things.learn(document)
    csr = open(s.holder('contract').csr).read()
    names = {
        'csr_pem': lambda c: csr if c.random() < 0.9 else 'no request',
        'issuer_id': things.reference(V1 + '/issuers', 'iss-none'), 'profile_id': things.reference(V1 + '/profiles', 'prof-none'),
        'owner_id': things.reference(V1 + '/owners', 'owner-none'), 'team_id': things.reference(V1 + '/teams', 'team-none'),
        'role_id': things.reference(V1 + '/auth/roles', 'role-none'),
        'renewal_policy_id': things.reference(V1 + '/renewal-policies', 'rp-none'),
        'certificate_ids': lambda c: [things.reference(V1 + '/certificates', 'mc-none')(c) for _ in range(c.randint(1, 3))],
    }
    diag('SEED=%d' % SEED)
    made = 0
    for operation in sorted(document.operations, key=lambda each: bool(destroys(each))):
        if operation.streams():
            continue
        wrong = []
        for _ in range(CALLS):
            target, body, answer = call_at_random(things, operation, names, chance)
            made += 1
            complaint = operation.complaint(answer)
            if complaint is None and LEAKS.search(answer.body) and 'pem' not in target and answer.status >= 400:
                complaint = 'it tells of the inside'
            if complaint is None and answer.status >= 500:
                complaint = 'a failure'
            if complaint:
                wrong.append('%s\n%s %s %s\n%.600r' % (complaint, operation.method, target, json.dumps(body)[:600], answer))
            if answer.status == 201 and answer.headers.get('Location', '').startswith(operation.path):
                things.known.setdefault(operation.path, []).append(answer.headers['Location'].rsplit('/', 1)[1])
        ok(not wrong, '%s answers as documented' % operation, '\n'.join(wrong[:3]))
    ok(made > 500, 'that were %d calls' % made)
    is_(s.api('GET', '/ready').status, 200, 'and everything is still there')
    failures = [each for each in s.log().splitlines() if '"api.failed"' in each and '"code":"INTERNAL"' in each]
    is_(failures, [], 'nothing failed inside')


if __name__ == '__main__':
    with Stack() as stack:
        main(stack)
    done()
