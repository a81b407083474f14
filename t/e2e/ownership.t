#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""Teams, owners, renewal policies, and what operators say of certificates: who may change what, and what keeps what."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, like, ok  # noqa: E402

V1 = '/api/v1'
CERTS = V1 + '/certificates'


def call(s, method, path, body=None, **headers):
    sent = {'Authorization': 'Bearer ' + s.env['CHANCERY_API_KEY'], **{name.replace('_', '-'): value for name, value in headers.items()}}
    if body is not None:
        body, sent['Content-Type'] = json.dumps(body), 'application/json'
    return s.http(method, path, body, sent, tls=True)


def make(s, path, thing):
    answer = call(s, 'POST', path, thing)
    if answer.status != 201:
        raise RuntimeError('POST %s: %r' % (path, answer))
    return answer.json


def refused(answer, status, name, fields=None):
    """A refusal with that status; fields: exactly these are named."""
    named = sorted({each['field'] for each in answer.json['error']['fields']}) if answer.status >= 400 else None
    ok(answer.status == status and (fields is None or named == sorted(fields)), name, 'wanted %s %s: %r' % (status, fields, answer))


def order(s, name, **more):
    with open(s.holder(name).csr) as file:
        return {'name': name, 'profile_id': 'prof-tls-server', 'issuer_id': s.env['CHANCERY_ISSUER'], 'csr_pem': file.read(), **more}


def issue(s, name, **more):
    return make(s, CERTS, order(s, name, **more))['id']


def teams(s):
    team = make(s, V1 + '/teams', {'name': 'Platform', 'description': 'who runs it'})
    is_((team['id'], team['description']), ('team-platform', 'who runs it'), 'a team is made, its id from its name')
    refused(call(s, 'POST', V1 + '/teams', {'name': 'Platform', 'id': 'team-other'}), 409, 'another of that name: 409')
    refused(call(s, 'POST', V1 + '/teams', {'name': '', 'id': 'x', 'colour': 1}), 400, 'every wrong member', ['colour'])
    owner = make(s, V1 + '/owners', {'name': 'Ada', 'email': 'ada@example.org', 'team_id': 'team-platform'})
    is_((owner['id'], owner['email'], owner['team_id']), ('owner-ada', 'ada@example.org', 'team-platform'), 'an owner in it')
    for wrong in ('nobody', '@example.org', 'a@', 'a b@example.org', 'a@example.org,b@example.org'):
        refused(call(s, 'POST', V1 + '/owners', {'name': 'x', 'email': wrong}), 400, '%s is no mail address' % wrong, ['email'])
    refused(call(s, 'POST', V1 + '/owners', {'name': 'x', 'team_id': 'team-none'}), 400, 'no such team', ['team_id'])
    make(s, V1 + '/owners', {'name': 'Bob'})
    is_([each['id'] for each in call(s, 'GET', V1 + '/owners?team_id=team-platform').json['data']], ['owner-ada'], 'owners by team')
    is_([each['id'] for each in call(s, 'GET', V1 + '/owners?sort=-name').json['data']], ['owner-bob', 'owner-ada'], 'and in order')
    refused(call(s, 'DELETE', V1 + '/teams/team-platform'), 409, 'a team with owners stays')
    like(call(s, 'DELETE', V1 + '/teams/team-platform').json['error']['message'], 'in use by 1 owners', 'and the answer says how many')

    read = call(s, 'GET', V1 + '/owners/owner-bob')
    changed = call(s, 'PUT', V1 + '/owners/owner-bob', {'name': 'Bob', 'email': 'bob@example.org'}, If_Match=read.headers['ETag'])
    is_((changed.status, changed.json['email']), (200, 'bob@example.org'), 'an owner that is as it was read is changed')
    refused(call(s, 'PUT', V1 + '/owners/owner-bob', {'name': 'Rob'}, If_Match=read.headers['ETag']), 412, 'one that is not: 412')
    refused(call(s, 'DELETE', V1 + '/owners/owner-bob', If_Match=read.headers['ETag']), 412, 'nor is it deleted')
    is_(call(s, 'PUT', V1 + '/teams/team-platform', {'name': 'Platform'}).json['description'], '', 'what is left out goes back')
    refused(call(s, 'PUT', V1 + '/teams/team-none', {'name': 'None'}), 404, 'replacing nothing: 404')


def renewal_policies(s):
    path = V1 + '/renewal-policies'
    made = make(s, path, {'name': 'Standard'})
    is_((made['id'], made['renewal_window_days'], made['auto_renew'], made['max_retries'], made['retry_interval_seconds'],
         made['alert_thresholds_days'], made['alert_severity_map']), ('rp-standard', 30, True, 3, 3600, [30, 14, 7, 0], {}), 'defaults')
    body = {'name': 'Strict', 'renewal_window_days': 20, 'auto_renew': False, 'alert_thresholds_days': [20, 5],
            'alert_severity_map': {'20': 'warning', '5': 'critical'}}
    strict = make(s, path, body)
    is_((strict['alert_thresholds_days'], strict['alert_severity_map']), ([20, 5], {'20': 'warning', '5': 'critical'}), 'thresholds and severities')
    refused(call(s, 'POST', path, {'name': 'x', 'renewal_window_days': 0, 'alert_thresholds_days': [5, 'x'], 'max_retries': -1,
                                  'alert_severity_map': {'5': 'loud'}, 'alert_channels': {}}), 400, 'every wrong member',
            ['renewal_window_days', 'alert_thresholds_days.1', 'max_retries', 'alert_severity_map.5', 'alert_channels'])
    refused(call(s, 'POST', path, {'name': 'x', 'alert_thresholds_days': [5, 20]}), 400, 'thresholds fall', ['alert_thresholds_days'])
    refused(call(s, 'POST', path, {'name': 'x', 'alert_severity_map': {'9': 'warning'}}), 400, 'a severity is of a threshold',
            ['alert_severity_map'])
    tag = call(s, 'GET', path + '/rp-strict').headers['ETag']
    is_(call(s, 'PUT', path + '/rp-strict', {**body, 'max_retries': 9}, If_Match=tag).json['max_retries'], 9, 'it is changed')
    refused(call(s, 'PUT', path + '/rp-strict', body, If_Match=tag), 412, 'once')
    is_(call(s, 'GET', path + '?auto_renew=false').json['total'], 1, 'listed by what it does')


def metadata(s):
    refused(call(s, 'POST', CERTS, order(s, 'lost', owner_id='owner-none', team_id='team-none', renewal_policy_id='rp-none')), 400,
            'a certificate for nobody', ['owner_id', 'team_id', 'renewal_policy_id'])
    refused(call(s, 'POST', CERTS, order(s, 'lost', tags={'a': 1, 'b': 'x' * 257})), 400, 'tags are strings', ['tags.a', 'tags.b'])
    mc = issue(s, 'web', owner_id='owner-ada', team_id='team-platform', environment='prod', renewal_policy_id='rp-standard',
               tags={'cost': '17', 'tier': 'gold'})
    got = call(s, 'GET', CERTS + '/' + mc)
    is_([got.json[name] for name in ('owner_id', 'team_id', 'environment', 'renewal_policy_id', 'tags')],
        ['owner-ada', 'team-platform', 'prod', 'rp-standard', {'cost': '17', 'tier': 'gold'}], 'a certificate says whose it is')
    for what, path in (('owner', '/owners/owner-ada'), ('team', '/teams/team-platform'), ('renewal policy', '/renewal-policies/rp-standard')):
        kept = call(s, 'DELETE', V1 + path)
        refused(kept, 409, 'the %s of a certificate stays' % what)
        like(kept.json['error']['message'], '1 certificates', 'and the answer says why')

    body = {'name': 'web server', 'owner_id': 'owner-bob', 'environment': 'stage', 'tags': {'tier': 'tin'}}
    changed = call(s, 'PUT', CERTS + '/' + mc, body, If_Match=got.headers['ETag'])
    is_((changed.status, changed.json['name'], changed.json['owner_id'], changed.json['team_id'], changed.json['tags']),
        (200, 'web server', 'owner-bob', None, {'tier': 'tin'}), 'an operator says something else')
    is_((changed.json['serial'], changed.json['status'], changed.json['issuer_id']), (got.json['serial'], 'Active', got.json['issuer_id']),
        'the certificate itself is as it was')
    refused(call(s, 'PUT', CERTS + '/' + mc, body, If_Match=got.headers['ETag']), 412, 'what has changed meanwhile: 412')
    for field, value in (('status', 'Revoked'), ('issuer_id', 'iss-x'), ('sans', []), ('common_name', 'x'), ('expires_at', '2030-01-01T00:00:00Z'),
                         ('revoked_at', None), ('source', 'EST')):
        refused(call(s, 'PUT', CERTS + '/' + mc, {**body, field: value}), 400, '%s is nobody\'s to write' % field, [field])
    is_(call(s, 'GET', CERTS + '/' + mc).json, changed.json, 'and nothing of it was')
    other = issue(s, 'mail')
    refused(call(s, 'PUT', CERTS + '/' + other, {'name': 'web server'}), 409, 'the name of another: 409')
    refused(call(s, 'PUT', CERTS + '/mc-none', {'name': 'x'}), 404, 'nothing to change: 404')
    is_(s.psql("SELECT count(*) FROM audit_event WHERE action = 'certificate.update' AND resource_id = '%s' AND status = 200" % mc), '1',
        'the change is in the audit')
    return mc


def labels(s):
    label = {'name': 'floor', 'issuer_id': s.env['CHANCERY_ISSUER'], 'profile_id': 'prof-device', 'owner_id': 'owner-ada',
             'team_id': 'team-platform', 'environment': 'factory', 'renewal_policy_id': 'rp-strict'}
    refused(call(s, 'POST', V1 + '/est/labels', {**label, 'owner_id': 'owner-none', 'renewal_policy_id': 'rp-none'}), 400,
            'a label for nobody', ['owner_id', 'renewal_policy_id'])
    made = make(s, V1 + '/est/labels', label)
    is_([made[name] for name in ('owner_id', 'team_id', 'environment', 'renewal_policy_id')],
        ['owner-ada', 'team-platform', 'factory', 'rp-strict'], 'a label says whose its devices are')
    password = make(s, V1 + '/est/labels/est-floor/credentials', {'user_name': 'u'})['password']
    device = s.holder('press')
    device.cert = s.keep(s.est(device.csr, label='floor', auth=s.basic('u', password)), 'press')
    [row] = call(s, 'GET', CERTS + '?est_label_id=est-floor').json['data']
    is_([row[name] for name in ('owner_id', 'team_id', 'environment', 'renewal_policy_id')],
        ['owner-ada', 'team-platform', 'factory', 'rp-strict'], 'what is enrolled there is recorded so')
    call(s, 'PUT', CERTS + '/' + row['id'], {'name': 'the press', 'owner_id': 'owner-bob'})
    again = s.holder('press2', subject='/CN=press', san='DNS:press.example.net')
    is_(s.est(again.csr, 'simplereenroll', label='floor', cert=device).status, 200, 'it renews')
    now = call(s, 'GET', CERTS + '/' + row['id']).json
    is_((now['serial'] != row['serial'], now['name'], now['owner_id'], now['team_id']), (True, 'the press', 'owner-bob', None),
        'and what an operator said stays')
    like(call(s, 'DELETE', V1 + '/renewal-policies/rp-strict').json['error']['message'], '1 EST labels', 'a label keeps its renewal policy')


def archive(s):
    mc = issue(s, 'old')
    holder = s.holder('older')
    answer = make(s, CERTS, {**order(s, 'older'), 'csr_pem': open(holder.csr).read()})
    holder.cert = s.file('older.pem')
    with open(holder.cert, 'w') as file:
        file.write(answer['pem'])
    is_(call(s, 'DELETE', CERTS + '/' + answer['id']).status, 204, 'a certificate that lives is archived')
    row = call(s, 'GET', CERTS + '/' + answer['id']).json
    is_((row['status'], bool(row['archived_at'])), ('Archived', True), 'and says so')
    is_(s.ocsp(holder), 'good', 'OCSP still tells of it')
    is_(call(s, 'POST', CERTS + '/%s/revoke' % answer['id'], {'reason': 'superseded'}).json['changed'], 1, 'it can be revoked')
    is_(s.ocsp(holder), 'revoked', 'and is')
    refused(call(s, 'DELETE', CERTS + '/' + answer['id']), 409, 'twice: 409')
    refused(call(s, 'DELETE', CERTS + '/mc-none'), 404, 'nothing: 404')
    is_([each['id'] for each in call(s, 'GET', CERTS + '?status=Archived').json['data']], [answer['id']], 'it is found by its status')
    ok(mc in [each['id'] for each in call(s, 'GET', CERTS + '?status=Active&limit=1000').json['data']], 'others are not touched')


def reassign(s):
    path, ids = CERTS + '/bulk-reassign', [issue(s, 'many-%d' % n, environment='lab') for n in range(3)]
    answer = call(s, 'POST', path, {'owner_id': 'owner-ada', 'certificate_ids': ids + ['mc-none']})
    is_(answer.json, {'total_matched': 3, 'total_reassigned': 3, 'total_skipped': 0, 'total_failed': 1,
                      'errors': [{'certificate_id': 'mc-none', 'error': 'there is no certificate with this id'}]}, 'many get an owner')
    answer = call(s, 'POST', path, {'owner_id': 'owner-ada', 'certificate_ids': ids})
    is_((answer.json['total_reassigned'], answer.json['total_skipped']), (0, 3), 'and have it')
    answer = call(s, 'POST', path, {'owner_id': 'owner-bob', 'team_id': 'team-platform', 'filter': {'owner_id': 'owner-ada', 'environment': 'lab'}})
    is_((answer.status, answer.json['total_reassigned'], answer.json['errors']), (200, 3, []), 'or all that fit a filter')
    is_({(row['owner_id'], row['team_id']) for row in call(s, 'GET', CERTS + '?environment=lab').json['data']}, {('owner-bob', 'team-platform')},
        'with their team')
    refused(call(s, 'POST', path, {'owner_id': 'owner-none', 'team_id': 'team-none'}), 400, 'to nobody, of nothing',
            ['owner_id', 'team_id', 'certificate_ids'])
    refused(call(s, 'POST', path, {'owner_id': 'owner-ada', 'certificate_ids': ids, 'filter': {'environment': 'lab'}}), 400, 'one or the other',
            ['certificate_ids'])
    refused(call(s, 'POST', path, {'owner_id': 'owner-ada', 'certificate_ids': ['mc-%d' % n for n in range(1001)]}), 400, '1001 are too many',
            ['certificate_ids'])
    is_(s.psql("SELECT details->>'reassigned' FROM audit_event WHERE action = 'certificate.reassign' AND status = 200 ORDER BY id"), '3\n0\n3',
        'one event in the audit for each call')


def leave(s, mc):
    make(s, V1 + '/owners', {'name': 'Eve'})
    is_(call(s, 'DELETE', V1 + '/owners/owner-eve').status, 204, 'an owner of nothing is deleted')
    refused(call(s, 'DELETE', V1 + '/owners/owner-eve'), 404, 'once')
    s.psql("INSERT INTO role_grant VALUES ('key-x', 'role-admin', 'team', 'team-free', 'test')")
    make(s, V1 + '/teams', {'name': 'Free'})
    like(call(s, 'DELETE', V1 + '/teams/team-free').json['error']['message'], '1 grants', 'a team that rights hold for stays')
    s.psql("DELETE FROM role_grant WHERE scope_id = 'team-free'")
    is_(call(s, 'DELETE', V1 + '/teams/team-free').status, 204, 'and goes without them')
    is_(call(s, 'PUT', CERTS + '/' + mc, {'name': 'web'}).status, 200, 'a certificate of nobody')


if __name__ == '__main__':
    with Stack() as stack:
        teams(stack)
        renewal_policies(stack)
        web = metadata(stack)
        labels(stack)
        archive(stack)
        reassign(stack)
        leave(stack, web)
    done()
