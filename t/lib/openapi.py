# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
The OpenAPI document as a source of requests: operations, values that fit a schema and values that do not, and whether
an answer is one of those that the document promises.  What the tests of the contract share; nothing in it knows a route.
"""

import copy
import json
import random
import string
import subprocess
import urllib.parse

import jsonschema

from chancery import BUILD

TEXTS = ['a', 'web-1', 'Ünïcödé 名', "Robert'); DROP TABLE profile;--", '%s%n', '../../etc/passwd', '<b>x</b>', ' ', '0', '*',
         'a' * 300, '{"a": 1}', '-1', '\t', 'null']
JSON = 'application/json'
BEYOND = 2 ** 70  # no integer of 64 bits


class Operation:
    def __init__(self, document, path, method, what):
        self.document, self.path, self.method = document, path, method.upper()
        self.id, self.permission = what['operationId'], what.get('x-permission')
        self.responses, self.secured = what['responses'], what.get('security') != []
        self.parameters = what.get('parameters', [])
        body = what.get('requestBody')
        self.body = body and document.resolve(body['content'][JSON]['schema'])

    def __str__(self):
        return self.method + ' ' + self.path

    def named(self, where):
        return [each for each in self.parameters if each['in'] == where]

    def success(self):
        return min(int(status) for status in self.responses)

    def streams(self):
        """An answer that does not end by itself."""
        return any('text/event-stream' in each.get('content', {}) for each in self.responses.values())

    def target(self, values, query=None):
        path = self.path
        for each in self.named('path'):
            path = path.replace('{%s}' % each['name'], urllib.parse.quote(str(values[each['name']]), safe=''))
        return path + ('?' + urllib.parse.urlencode(query) if query else '')

    def complaint(self, answer):
        """What is wrong with an answer by the document; None: nothing."""
        told = self.responses.get(str(answer.status))
        if told is None:
            return 'the status %d is not documented' % answer.status
        content = told.get('content')
        if not content:
            return 'a body where none is documented' if answer.body and answer.status != 304 else None
        kind = answer.headers.get('Content-Type', '').split(';')[0].strip()
        if kind not in content:
            return 'the type %r is not documented' % kind
        if kind == JSON:
            try:
                self.document.check(answer.json, content[kind]['schema'])
            except (ValueError, jsonschema.ValidationError) as problem:
                return 'the body does not fit its schema: %s' % str(problem).split('\n')[0]
        return None


class Document:
    def __init__(self, text=None):
        text = text or subprocess.run([BUILD + '/chanceryd', 'openapi'], stdout=subprocess.PIPE, check=True).stdout
        self.json = json.loads(text)
        self.operations = [Operation(self, path, method, what) for path, methods in self.json['paths'].items()
                           for method, what in methods.items()]

    def resolve(self, schema):
        """The schema with what its references name put in their place."""
        if isinstance(schema, list):
            return [self.resolve(each) for each in schema]
        if not isinstance(schema, dict):
            return schema
        if '$ref' in schema:
            return self.resolve(self.json['components']['schemas'][schema['$ref'].rsplit('/', 1)[1]])
        return {name: self.resolve(each) for name, each in schema.items()}

    def check(self, value, schema):
        jsonschema.Draft202012Validator(self.resolve(schema)).validate(value)


# ---- values ----------------------------------------------------------------------------------------------------


def kind_of(schema):
    kind = schema.get('type', 'object' if 'properties' in schema else None)
    return kind[0] if isinstance(kind, list) else kind


def text_of(schema, chance):
    if schema.get('format') == 'date-time':
        return chance.choice(['2026-01-01T00:00:00Z', '2031-12-31T23:59:59Z', '1999-12-31T23:59:59+02:00'])
    low, high = schema.get('minLength', 0), schema.get('maxLength', 300)
    text = chance.choice(TEXTS + [''.join(chance.choices(string.ascii_lowercase, k=chance.randint(1, 20)))])
    return (text * (low // len(text) + 1) if len(text) < low else text)[:high]


def value_of(schema, chance, names=None, required_only=False):
    """A value that fits the schema; names: {member: values to choose from} for what has to exist."""
    if 'anyOf' in schema or 'oneOf' in schema:
        return value_of(chance.choice(schema.get('anyOf') or schema['oneOf']), chance, names, required_only)
    if 'enum' in schema:
        return chance.choice(schema['enum'])
    kind = kind_of(schema)
    if kind == 'object':
        wanted = set(schema.get('required', []))
        return {name: names[name](chance) if names and name in names else value_of(each, chance, names, required_only)
                for name, each in schema.get('properties', {}).items()
                if name in wanted or (not required_only and chance.random() < 0.5)}
    if kind == 'array':
        return [value_of(schema.get('items', {}), chance, names) for _ in range(chance.randint(0, 3))]
    if kind == 'integer':
        low = schema.get('minimum', 0)
        return chance.randint(low, max(low, min(schema.get('maximum', low + 1000), low + 10 ** 9)))
    if kind == 'boolean':
        return chance.random() < 0.5
    return text_of(schema, chance)


def any_json(chance, depth=0):
    """Whatever JSON can say."""
    pick = chance.randint(0, 7 if depth < 3 else 5)
    if pick == 6:
        return [any_json(chance, depth + 1) for _ in range(chance.randint(0, 3))]
    if pick == 7:
        return {chance.choice(TEXTS): any_json(chance, depth + 1) for _ in range(chance.randint(0, 3))}
    return [None, True, chance.randint(-2 ** 63, 2 ** 63 - 1), chance.random() * 1e300, chance.choice(TEXTS), 2 ** 63][pick]


def mutated(value, chance):
    """The value with something else somewhere."""
    if chance.random() < 0.2 or not isinstance(value, dict) or not value:
        return any_json(chance)
    out = copy.deepcopy(value)
    name = chance.choice(list(out))
    out[name] = mutated(out[name], chance) if chance.random() < 0.5 else any_json(chance)
    if chance.random() < 0.2:
        out[chance.choice(TEXTS)] = any_json(chance)
    return out


# ---- wrong values ----------------------------------------------------------------------------------------------


def wrong_values(schema):
    """[(what is wrong, value)] for one member, of every kind that the schema knows."""
    if 'anyOf' in schema or 'oneOf' in schema:
        return [('of another type', 17)]
    kind, out = kind_of(schema), []
    others = {'string': 17, 'integer': 'seventeen', 'boolean': 'maybe', 'array': {'not': 'a list'}, 'object': ['not', 'one']}
    if kind in others:
        out.append(('of another type', others[kind]))
    if kind == 'integer':
        out += [('a fraction', 1.5), ('beyond 64 bits', BEYOND)]
        if 'minimum' in schema:
            out.append(('below the minimum', schema['minimum'] - 1))
        if 'maximum' in schema and schema['maximum'] < 2 ** 63 - 1:
            out.append(('above the maximum', schema['maximum'] + 1))
    if kind == 'string':
        out.append(('with a NUL', 'a\0b'))
        if 'enum' in schema:
            out.append(('none of its values', 'no-such-value'))
        if schema.get('format') == 'date-time':
            out.append(('no time', 'yesterday'))
        if schema.get('minLength', 0) > 0:
            out.append(('too short', 'a' * (schema['minLength'] - 1)))
        if schema.get('maxLength', 2 ** 20) < 2 ** 19:  # larger ones are larger than a body may be
            out.append(('too long', 'a' * (schema['maxLength'] + 1)))
    if kind == 'array':
        item = wrong_values(schema.get('items', {}))
        out += [('with an element that is ' + what, [value]) for what, value in item[:1]]
        if 'enum' in schema.get('items', {}):
            out.append(('with an element that is none of its values', ['no-such-value']))
    return out


def wrong_texts(schema):
    """The same for a query parameter, where everything is text."""
    kind = kind_of(schema)
    out = {'integer': ['seventeen', '', '1.5', str(2 ** 70)], 'boolean': ['maybe', '']}.get(kind, [])
    if 'minimum' in schema:
        out.append(str(schema['minimum'] - 1))
    if 'maximum' in schema:
        out.append(str(schema['maximum'] + 1))
    if 'enum' in schema:
        out.append('no-such-value')
    if schema.get('format') == 'date-time':
        out += ['yesterday', '2026-13-01T00:00:00Z', '']
    return out


def members(schema, prefix=''):
    """(path, schema) of every member, objects inside of objects as well."""
    for name, each in schema.get('properties', {}).items():
        yield prefix + name, each
        if kind_of(each) == 'object':
            yield from members(each, prefix + name + '.')


def put(body, path, value):
    """The body with that member set; what is on the way is made."""
    out = copy.deepcopy(body)
    at, names = out, path.split('.')
    for name in names[:-1]:
        at = at.setdefault(name, {})
    at[names[-1]] = value
    return out


def chance_of(seed):
    return random.Random(seed)
