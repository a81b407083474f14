#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""Policies of the installation: every type refuses, on the API and on EST; a warning lets through and writes down."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, like, ok, subtest  # noqa: E402

V1 = '/api/v1'
CERTS, PATH = V1 + '/certificates', V1 + '/policies'


def make(s, path, thing):
    answer = s.api('POST', path, thing)
    if answer.status != 201:
        raise RuntimeError('POST %s: %r' % (path, answer))
    return answer.json


def refused(answer, status, name, fields=None):
    named = sorted({each['field'] for each in answer.json['error']['fields']}) if answer.status >= 400 else None
    ok(answer.status == status and (fields is None or named == sorted(fields)), name, 'wanted %s %s: %r' % (status, fields, answer))


class Orders:
    """Requests for the API that differ in name only where a test says nothing else."""

    def __init__(self, s):
        self.s, self.count, self.csr = s, 0, {}

    def send(self, kind='p-256', san='DNS:www.example.net', subject=None, **more):
        self.count += 1
        what = (kind, san, subject)
        if what not in self.csr:
            with open(self.s.holder('h%d' % len(self.csr), kind, san=san, subject=subject).csr) as file:
                self.csr[what] = file.read()
        return self.s.api('POST', CERTS, {'name': 'c%d' % self.count, 'profile_id': 'prof-any', 'issuer_id': self.s.env['CHANCERY_ISSUER'],
                                         'csr_pem': self.csr[what], **more})


def violations(s, policy):
    return s.api('GET', '%s/%s/violations' % (PATH, policy)).json


# Type, configuration, an order that is refused and why, one that is not.
CASES = (
    ('KeyAlgorithm', {'algorithms': ['p-256', 'p-384']}, {'kind': 'rsa'}, 'keys of kind rsa are not allowed', {}),
    ('MinimumKeySize', {'min_rsa_bits': 3072}, {'kind': 'rsa'}, '2048 bits, 3072', {'kind': 'p-256'}),
    ('MinimumKeySize', {'min_ec_bits': 384}, {'kind': 'p-256'}, '256 bits, 384', {'kind': 'p-384'}),
    ('CertificateLifetime', {'max_days': 47}, {}, 'more than 47 days', {'profile_id': 'prof-short'}),
    ('RequiredSanPatterns', {'patterns': ['www.*', '10.*']}, {'san': 'DNS:www.example.net,DNS:ftp.example.net'}, 'ftp.example.net',
     {'san': 'DNS:www.example.net,IP:10.0.0.1'}),
    ('AllowedDomains', {'domains': ['example.net']}, {'san': 'DNS:www.example.net,DNS:badexample.net'}, 'badexample.net',
     {'san': 'DNS:example.net,DNS:a.b.EXAMPLE.net,IP:10.0.0.1'}),
    ('AllowedDomains', {'domains': ['example.net']}, {'san': '', 'subject': '/CN=www.example.com'}, 'www.example.com',
     {'san': '', 'subject': '/CN=www.example.net'}),
    ('AllowedIssuers', {'issuer_ids': ['iss-other']}, {}, 'is not allowed', {'issuer_id': 'iss-other'}),
    ('RequiredMetadata', {'fields': ['owner', 'team', 'environment'], 'tags': ['cost']}, {'owner_id': 'owner-ada', 'environment': 'prod'},
     'it has no team', {'owner_id': 'owner-ada', 'team_id': 'team-a', 'environment': 'prod', 'tags': {'cost': '1'}}),
    ('RequiredMetadata', {'tags': ['cost']}, {'tags': {'cost': ''}}, 'it has no tag cost', {'tags': {'cost': '1'}}),
    ('AllowedEnvironments', {'environments': ['prod', 'stage']}, {'environment': 'lab'}, 'environment lab', {'environment': 'stage'}),
    ('RenewalLeadTime', {'min_days': 14}, {'renewal_policy_id': 'rp-late'}, 'renewed 7 days before', {'renewal_policy_id': 'rp-early'}),
)


def types(s, orders):
    for number, (kind, config, bad, why, good) in enumerate(CASES):
        with subtest('%s %s' % (kind, config)):
            policy = make(s, PATH, {'name': '%s %d' % (kind, number), 'type': kind, 'config': config})['id']
            answer = orders.send(**bad)
            ok(answer.status == 403 and answer.json['error']['code'] == 'policy', 'what it is against is refused', answer)
            like(answer.json['error'].get('message', ''), 'policy %s: .*%s' % (policy, why), 'and the answer says why')
            answer = orders.send(**good)
            is_(answer.status, 201, 'what it is not against is issued')
            [row] = violations(s, policy)['data']
            is_((row['policy_id'], row['severity'], row['refused'], row['actor'].startswith('key-')), (policy, 'Error', True, True), 'recorded')
            like(row['message'], why, 'with what was wrong')
            is_(s.api('GET', CERTS + '/' + row['certificate_id']).status, 404, 'there is no such certificate')
            is_(s.api('DELETE', '%s/%s' % (PATH, policy)).status, 204, 'it is deleted')
            is_(orders.send(**bad).status, 201, 'and holds no more')


def severities(s, orders):
    body = {'name': 'Keys', 'type': 'KeyAlgorithm', 'config': {'algorithms': ['p-384']}, 'severity': 'Warning'}
    policy = make(s, PATH, body)
    is_(policy['config']['algorithms'], ['p-384'], 'a policy shows its configuration')
    made = orders.send()
    is_(made.status, 201, 'a warning lets through')
    [row] = violations(s, policy['id'])['data']
    is_((row['certificate_id'], row['severity'], row['refused']), (made.json['id'], 'Warning', False), 'and is written down')
    device = s.holder('device')
    is_(s.est(device.csr).status, 200, 'on EST, too')
    is_(violations(s, policy['id'])['total'], 2, 'both are there')
    is_([each['actor'] for each in violations(s, policy['id'])['data']][0], 'est:' + s.env['CHANCERY_EST_USER'], 'newest first, with who asked')
    critical = s.api('PUT', '%s/%s' % (PATH, policy['id']), {**body, 'severity': 'Critical'})
    is_((critical.status, critical.json['severity']), (200, 'Critical'), 'it becomes critical')
    answer = s.est(s.holder('device2').csr)
    is_(answer.status, 403, 'a device is refused')
    like(answer.text, 'policy %s' % policy['id'], 'and told why')
    is_(s.est(s.holder('device3', 'p-384').csr).status, 200, 'another is not')
    is_(s.api('GET', '%s/%s/violations?refused=true' % (PATH, policy['id'])).json['total'], 1, 'refusals are found')
    is_(s.api('PUT', '%s/%s' % (PATH, policy['id']), {**body, 'severity': 'Critical', 'enabled': False}).status, 200, 'it is switched off')
    is_(s.est(s.holder('device4').csr).status, 200, 'and asks for nothing')
    s.api('DELETE', '%s/%s' % (PATH, policy['id']))
    is_(s.psql('SELECT count(*) FROM policy_violation'), '0', 'its violations go with it')


def scopes(s, orders):
    policy = make(s, PATH, {'name': 'Prod', 'type': 'KeyAlgorithm',
                            'config': {'algorithms': ['p-384'], 'scope': {'environments': ['prod'], 'profile_ids': ['prof-any']}}})['id']
    is_(orders.send(environment='prod').status, 403, 'a policy for an environment and a profile holds there')
    is_(orders.send(environment='lab').status, 201, 'not in another environment')
    is_(orders.send(environment='prod', profile_id='prof-short').status, 201, 'nor for another profile')
    s.api('DELETE', '%s/%s' % (PATH, policy))


def changes(s, orders):
    mc = orders.send(kind='rsa', owner_id='owner-ada').json['id']
    owner = make(s, PATH, {'name': 'Owned', 'type': 'RequiredMetadata', 'config': {'fields': ['owner']}})['id']
    keys = make(s, PATH, {'name': 'No RSA', 'type': 'KeyAlgorithm', 'config': {'algorithms': ['p-256']}})['id']
    refused(s.api('PUT', CERTS + '/' + mc, {'name': 'x'}), 403, 'an operator may not take away what is asked for')
    is_(violations(s, owner)['data'][0]['certificate_id'], mc, 'which is written down')
    is_(s.api('GET', CERTS + '/' + mc).json['owner_id'], 'owner-ada', 'and the certificate is as it was')
    is_(s.api('PUT', CERTS + '/' + mc, {'name': 'x', 'owner_id': 'owner-ada'}).status, 200, 'other changes pass, whatever its key')
    label = {'name': 'floor', 'issuer_id': s.env['CHANCERY_ISSUER'], 'profile_id': 'prof-device'}
    make(s, V1 + '/est/labels', label)
    auth = s.basic('u', make(s, V1 + '/est/labels/est-floor/credentials', {'user_name': 'u'})['password'])
    device = s.holder('press')
    is_(s.est(device.csr, label='floor', auth=auth).status, 403, 'a label without an owner enrols nobody')
    s.api('PUT', V1 + '/est/labels/est-floor', {**label, 'owner_id': 'owner-ada'})
    is_(s.est(device.csr, label='floor', auth=auth).status, 200, 'one with an owner does')
    for policy in (owner, keys):
        s.api('DELETE', '%s/%s' % (PATH, policy))


def bodies(s):
    refused(s.api('POST', PATH, {'type': 'Colour', 'severity': 'Loud', 'config': {}}), 400, 'a type that is not known', ['name', 'type', 'severity'])
    refused(s.api('POST', PATH, {'name': 'x', 'type': 'CertificateLifetime', 'config': {'max_days': 0, 'colour': 1, 'scope': {'x': []}}}), 400,
            'what the type does not know', ['config.max_days', 'config.colour', 'config.scope.x'])
    refused(s.api('POST', PATH, {'name': 'x', 'type': 'CertificateLifetime'}), 400, 'no configuration', ['config.max_days'])
    refused(s.api('POST', PATH, {'name': 'x', 'type': 'KeyAlgorithm', 'config': {'algorithms': []}}), 400, 'one that would allow nothing', ['config'])
    refused(s.api('POST', PATH, {'name': 'x', 'type': 'RequiredMetadata', 'config': {}}), 400, 'one that would ask for nothing', ['config'])
    refused(s.api('GET', PATH + '/pol-none/violations'), 404, 'violations of nothing: 404')
    made = make(s, PATH, {'name': 'x', 'type': 'CertificateLifetime', 'config': {'max_days': 5}, 'enabled': False})
    refused(s.api('POST', PATH, {'name': 'x', 'id': 'pol-y', 'type': 'CertificateLifetime', 'config': {'max_days': 5}}), 409, 'the name of another')
    is_(s.api('GET', PATH + '?type=CertificateLifetime').json['total'], 1, 'found by type')
    s.api('DELETE', '%s/%s' % (PATH, made['id']))


def prepare(s):
    profile = {'key_kinds': ['rsa', 'p-256', 'p-384'], 'validity_s': 90 * 86400, 'name_kinds': ['dns', 'ip']}
    make(s, V1 + '/profiles', {**profile, 'name': 'any'})
    make(s, V1 + '/profiles', {**profile, 'name': 'short', 'validity_s': 47 * 86400})
    make(s, V1 + '/issuers', {'name': 'other', 'config': {'subject': 'CN=Other'}})
    make(s, V1 + '/teams', {'name': 'a'})
    make(s, V1 + '/owners', {'name': 'ada'})
    make(s, V1 + '/renewal-policies', {'name': 'late', 'renewal_window_days': 7})
    make(s, V1 + '/renewal-policies', {'name': 'early', 'renewal_window_days': 14})


if __name__ == '__main__':
    with Stack() as stack:
        prepare(stack)
        form = Orders(stack)
        types(stack, form)
        severities(stack, form)
        scopes(stack, form)
        changes(stack, form)
        bodies(stack)
    done()
