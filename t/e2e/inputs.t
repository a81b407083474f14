#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
Wrong input of every kind that the API's tables know, made out of the OpenAPI document that is printed from them: for each
route, each member of its body and each query parameter.  Every refusal is a 4xx that names what is wrong, all of it at
once; nothing has changed afterwards, and nothing of the inside was told.
"""

import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, ok  # noqa: E402
from openapi import BEYOND, JSON, Document, chance_of, members, put, value_of, wrong_texts, wrong_values  # noqa: E402

LEAKS = re.compile(rb'SQLSTATE|PRIVATE KEY|libpq|\.c:\d+|/tmp/|violates|relation "|Traceback')
NAMED_AT_MOST = 32  # problems that one answer names
# What calls leave behind whatever they are about: traces, uses, sessions; and what comes round each minute.
TRACES = re.compile(r'^(audit_|permission_use$|idempotency$|session$|certificate_search$|search_position$|signer_journal$|'
                    r'change_feed$|api_key$|crl$|schema_)')


def digest(s):
    """What the database holds, traces aside."""
    names = [each for each in s.psql("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace "
                                     "ORDER BY 1").split('\n') if not TRACES.match(each)]
    return {each: s.psql("SELECT count(*), md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))) FROM %s t" % each) for each in names}


class Caller:
    def __init__(self, stack, document):
        self.stack, self.document, self.wrong, self.calls = stack, document, [], 0

    def call(self, operation, body=None, query=None, raw=None, kind=JSON):
        headers = {'Authorization': 'Bearer ' + self.stack.env['CHANCERY_API_KEY']}
        if body is not None or raw is not None:
            headers['Content-Type'] = kind
        target = operation.target({each['name']: self.there(operation, each['name']) for each in operation.named('path')}, query)
        self.calls += 1
        return self.stack.http(operation.method, target, raw if raw is not None else None if body is None else json.dumps(body), headers,
                               tls=True)

    def there(self, operation, name):
        """Something that is there, so that only the input is to blame."""
        base = re.sub(r'/\{\w+\}', '', operation.path.split('/{%s}' % name)[0])
        if base not in self.known:
            listed = self.stack.api('GET', base)
            rows = listed.json.get('data', []) if listed.status == 200 else []
            self.known[base] = next((row['id'] for row in rows if 'id' in row), 'no-such')
        return self.known[base]

    known = {}

    def expect(self, operation, answer, what, fields):
        """A 4xx that names these; fields None: it need name none."""
        try:
            error = answer.json['error']
            named = {each['field'] for each in error['fields']}
        except (ValueError, KeyError, TypeError):
            self.wrong.append('%s: no error body: %.300r' % (what, answer))
            return
        missing = [each for each in fields or [] if not any(name == each or name.startswith(each + '.') for name in named)]
        if not 400 <= answer.status < 500:
            self.wrong.append('%s: %d' % (what, answer.status))
        elif missing and len(named) < NAMED_AT_MOST:
            self.wrong.append('%s: %s not named in %s' % (what, missing, error))
        elif LEAKS.search(answer.body):
            self.wrong.append('%s: it tells of the inside: %.300r' % (what, answer))


def bodies(c, operation, names):
    base = value_of(operation.body, chance_of(1), names, required_only=True)
    everything, wrong_names = dict(base), []
    for path, schema in members(operation.body):
        found = wrong_values(schema)
        for what, value in found:
            # What is not even JSON to the parser is told by its line and column.
            unparsed = value == BEYOND or isinstance(value, str) and '\0' in value
            fields = None if unparsed else [path]
            c.expect(operation, c.call(operation, put(base, path, value)), '%s is %s' % (path, what), fields)
        if '.' not in path and found and 'anyOf' not in schema:
            everything[path] = found[0][1]
            wrong_names.append(path)
    for name in operation.body.get('required', []):
        for what, body in (('missing', {k: v for k, v in base.items() if k != name}), ('null', {**base, name: None})):
            c.expect(operation, c.call(operation, body), '%s is %s' % (name, what), [name])
    if operation.body.get('additionalProperties') is False:
        c.expect(operation, c.call(operation, {**base, 'no_such_member': 1}), 'an unknown member', ['no_such_member'])
        everything['no_such_member'] = 1
        wrong_names.append('no_such_member')
    if wrong_names:
        c.expect(operation, c.call(operation, everything), 'everything wrong at once', wrong_names)


def forms(c, operation):
    """What is no body at all."""
    for what, raw in (('no JSON', '{"a"'), ('a list', '[]'), ('a number', '7'), ('twice the same member', '{"a":1,"a":2}'),
                      ('octets after it', '{} {}'), ('not UTF-8', b'{"a":"\xff"}'), ('deep', '[' * 1000 + ']' * 1000)):
        c.expect(operation, c.call(operation, raw=raw), 'a body that is ' + what, None)
    c.expect(operation, c.call(operation, raw='{}', kind='text/plain'), 'a body of another type', None)
    is_413 = c.call(operation, raw=b'{"a":"' + b'x' * (1 << 20) + b'"}').status
    if is_413 != 413:
        c.wrong.append('a body of more than 1 MiB: %d' % is_413)


def queries(c, operation):
    first = {}
    for each in operation.named('query'):
        texts = wrong_texts(each['schema'])
        for text in texts:
            c.expect(operation, c.call(operation, query={each['name']: text}), '?%s=%s' % (each['name'], text), [each['name']])
        if texts:
            first[each['name']] = texts[0]
    c.expect(operation, c.call(operation, query={'no_such_parameter': 1}), 'an unknown parameter', ['no_such_parameter'])
    if first:
        c.expect(operation, c.call(operation, query={**first, 'no_such_parameter': 1}), 'every parameter wrong at once',
                 [*first, 'no_such_parameter'])


def main(s):
    c = Caller(s, Document())
    s.enrol('inputs')
    csr = open(s.holder('request').csr).read()
    names = {'csr_pem': lambda _: csr, 'issuer_id': lambda _: s.issuer_id, 'profile_id': lambda _: 'prof-device'}
    before = digest(s)
    for operation in c.document.operations:
        if operation.streams() or operation.permission in (None, 'public') and operation.body is None:
            continue
        c.wrong = []
        if operation.body is not None:
            bodies(c, operation, names)
            forms(c, operation)
        elif operation.method != 'GET':
            c.expect(operation, c.call(operation, {'no_such_member': 1}), 'a body where none is taken', None)
        if operation.method == 'GET':
            queries(c, operation)
        ok(not c.wrong, '%s names what is wrong' % operation, '\n'.join(c.wrong[:8]))
    ok(c.calls > 300, 'that were %d calls' % c.calls)
    after = digest(s)
    is_({name: value for name, value in after.items() if before.get(name) != value}, {}, 'and nothing has changed')
    ok(not [each for each in s.log().splitlines() if '"code":"INTERNAL"' in each], 'nor failed inside')


if __name__ == '__main__':
    with Stack() as stack:
        main(stack)
    done()
