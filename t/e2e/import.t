#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""Import: certificates that others issued are recorded, once, and disturb nothing of what is issued here."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, like, ok, openssl, unlike, wait_for  # noqa: E402
from seed import rebuild                                                    # noqa: E402

V1 = '/api/v1'


def read(path):
    with open(path) as file:
        return file.read()


class Other:
    """Somebody else's CA."""

    def __init__(self, s, name):
        self.s, self.name = s, name
        self.key, self.cert = s.file(name + '.key'), s.file(name + '.pem')
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', self.key, '-out',
                self.cert, '-subj', '/CN=Other CA/O=Elsewhere', '-days', '400')

    def issue(self, name, days=90, serial=None, kind='p-256', digest='-sha256'):
        holder = self.s.holder(self.name + '-' + name, kind)
        holder.cert = self.s.file(self.name + '-' + name + '.pem')
        config = self.s.file('other.ext')
        with open(config, 'w') as file:
            file.write('basicConstraints=CA:FALSE\nauthorityKeyIdentifier=keyid\nsubjectAltName=DNS:%s.elsewhere.example\n' % name)
        openssl('x509', '-req', '-in', holder.csr, '-CA', self.cert, '-CAkey', self.key, digest, '-days', str(days), '-out', holder.cert,
                '-extfile', config, *(['-set_serial', serial] if serial else ['-CAcreateserial']))
        return holder


def send(s, *paths, **more):
    return s.api('POST', V1 + '/certificates/import', {'pem': ''.join(read(each) for each in paths), **more})


def counts(answer):
    return tuple(answer.json[name] for name in ('imported', 'known', 'refused', 'chain'))


def recorded(s, other):
    s.psql("INSERT INTO owner (id, name) VALUES ('owner-a', 'Alice')")
    one, two = other.issue('one'), other.issue('two')
    answer = send(s, other.cert, one.cert, two.cert, owner_id='owner-a', environment='elsewhere')
    is_((answer.status, counts(answer)), (200, (2, 0, 0, 1)), 'two are imported, the CA certificate is told apart')
    id = answer.json['certificates'][1]['certificate_id']
    row = s.api('GET', V1 + '/certificates/' + id).json
    is_((row['source'], row['owner_id'], row['profile_id'], row['sans']),
        ('Import', 'owner-a', None, ['dns:one.elsewhere.example']), 'it is a managed certificate with its names and its owner')
    is_(row['serial'].lstrip('0'), one.serial.lower().lstrip('0'), 'and its serial')
    answer = s.api('GET', V1 + '/certificates/%s/download' % id)
    ok(openssl('x509', '-noout', '-fingerprint', input=answer.text).out == openssl('x509', '-noout', '-fingerprint', '-in', one.cert).out,
       'which can be downloaded as it is')
    is_(s.api('GET', V1 + '/certificates?source=Import').json['total'], 2, 'they can be listed')
    is_(counts(send(s, one.cert, one.cert, two.cert)), (0, 2, 0, 0), 'again: they are known, each once')
    issuer = s.api('GET', V1 + '/issuers/' + row['issuer_id'])
    is_((issuer.status, issuer.json['type'], issuer.json['enabled']), (200, 'external', False), 'their issuer is one that issues nothing here')
    is_(s.api('GET', V1 + '/issuers?type=external').json['total'], 1, 'one for both')
    is_(s.psql("SELECT count(*) FROM audit_event WHERE action = 'certificate.import' AND resource_id = '%s'" % id), '1',
        'the import of each is in the audit')
    return id, one


def refused(s, other):
    again = Other(s, 'namesake')
    like(send(s, other.cert, again.issue('false').cert).text, 'did not sign it', 'not signed by the CA that came with it: refused')
    is_(counts(send(s, again.issue('true').cert)), (1, 0, 0, 0), 'another key of the same name')
    is_(s.api('GET', V1 + '/issuers?type=external').json['total'], 2, 'is another issuer')
    first, second = other.issue('same', serial='77'), other.issue('serial', serial='77')
    answer = send(s, first.cert, second.cert)
    is_(counts(answer), (1, 0, 1, 0), 'the same serial twice: the second is refused, the first is taken')
    device = s.enrol('own')
    answer = send(s, device.cert)
    is_(counts(answer), (0, 1, 0, 0), 'one of ours is known')
    like(answer.json['certificates'][0]['certificate_id'], r'^mc-', 'and says which')
    answer = s.api('POST', V1 + '/certificates/import', {'pem': 'no certificate', 'colour': 1})
    is_((answer.status, [each['field'] for each in answer.json['error']['fields']]), (400, ['colour']), 'wrong members: 400')
    answer = s.api('POST', V1 + '/certificates/import', {'pem': 'no certificate'})
    is_((answer.status, answer.json['error']['fields'][0]['field']), (400, 'pem'), 'no certificate: 400')
    answer = s.api('POST', V1 + '/certificates/import', {'pem': read(device.cert), 'owner_id': 'owner-nobody', 'team_id': 'team-x'})
    is_(sorted(each['field'] for each in answer.json['error']['fields']), ['owner_id', 'team_id'], 'nobody to look after it: 400')
    answer = s.api('POST', V1 + '/certificates/import', {'pem': 'x', 'renewal_policy_id': 'rp-none', 'environment': 'a\nb', 'team_id': 'x'})
    is_(sorted(each['field'] for each in answer.json['error']['fields']), ['environment', 'pem', 'renewal_policy_id', 'team_id'],
        'all that is wrong at once')
    return device


def weak(s, other):
    """Keys and signatures that we would not take part in are recorded, and told of."""
    ask = lambda: {each['risk']: each['count'] for each in s.api('GET', V1 + '/reports/risk').json['rows']}  # noqa: E731
    before = ask()
    said, wanted = {}, {'rsa-1024': ('RSA', 1024), 'rsa-2048': ('RSA', 2048), 'p-521': ('ECDSA', 521), 'p-384': ('ECDSA', 384)}
    for kind in wanted:
        row = send(s, other.issue('weak-' + kind, kind=kind).cert).json['certificates'][0]
        said[kind] = row['certificate_id']
    versions = {kind: s.api('GET', V1 + '/certificates/%s/versions' % id).json['data'][0] for kind, id in said.items()}
    is_({kind: (row['key_algorithm'], row['key_size']) for kind, row in versions.items()}, wanted, 'kind and size of every key')
    sha1 = send(s, other.cert, other.issue('sha1', digest='-sha1').cert)
    is_(counts(sha1), (1, 0, 0, 1), 'one signed over SHA-1 beside its CA, which cannot be checked any more')
    now = ask()
    is_((now['weak_key'] - before['weak_key'], now['weak_signature'] - before['weak_signature']), (1, 1),
        'the risks count the small key and the old signature')
    s.psql("UPDATE managed_certificate SET archived_at = now() WHERE id = '%s'" % said['rsa-1024'])
    is_(ask()['weak_key'], before['weak_key'], 'and not what is archived')


def cared_for(s, other):
    """What is said of all of a bundle."""
    said = {'owner_id': 'owner-a', 'team_id': 'team-a', 'environment': 'lab', 'renewal_policy_id': 'rp-import'}
    for path, body in (('/teams', {'name': 'A', 'id': 'team-a'}),
                       ('/renewal-policies', {'name': 'Import', 'id': 'rp-import', 'renewal_window_days': 30})):
        s.api('POST', V1 + path, body)
    bundle = send(s, other.issue('cared').cert, other.issue('for').cert, tags={'rack': '7', 'bought': 'used'}, **said).json
    for id in (each['certificate_id'] for each in bundle['certificates']):
        row = s.api('GET', V1 + '/certificates/' + id).json
        is_(({name: row[name] for name in said}, row['tags']), (said, {'rack': '7', 'bought': 'used'}),
            'each has owner, team, environment, renewal policy and tags')
    is_(s.api('GET', V1 + '/certificates?tag=rack:7').json['total'], 2, 'and is found by its tag')


def disturbs_nothing(s, id, one, device):
    is_(s.api('POST', V1 + '/certificates/%s/revoke' % id, {'reason': 'superseded'}).status, 409, 'it cannot be revoked here')
    is_(s.api('POST', V1 + '/certificates/%s/renew' % id, {}).status, 409, 'nor renewed')
    job = s.api('POST', V1 + '/certificates/bulk-revoke', {'source': 'Import'}).json['job_id']
    row = wait_for('the job', lambda: (lambda j: j if j['completed_at'] else None)(s.api('GET', V1 + '/jobs/' + job).json))
    is_((row['status'], row['done'], row['failed']), ('Completed', 0, row['total']), 'in a bulk revocation each says so')
    is_(s.psql("SELECT count(*) FROM revocation"), '0', 'and nothing is revoked')
    rebuild(s)
    is_(s.ocsp(device), 'good', 'the edge is rebuilt, and answers about ours')
    unlike(s.crl(), one.serial, 'the CRL is ours alone')
    is_(s.ocsp(s.enrol('after')), 'good', 'and we issue')
    unlike(s.log(), 'edge.[a-z_]*failed|issuer_unusable', 'nobody stumbled over the issuer that has no key')


def main():
    with Stack() as s:
        other = Other(s, 'other')
        id, one = recorded(s, other)
        device = refused(s, other)
        cared_for(s, other)
        weak(s, other)
        disturbs_nothing(s, id, one, device)
    done()


main()
