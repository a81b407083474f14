#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
An issuer over a re-key: what the old key signed keeps its OCSP responder (O-23) and its CRL, what the new one signs gets
others; EST goes on for the holders of both; nothing of it is lost when the store is.
"""

import os
import re
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from cryptography import x509                                              # noqa: E402
from cryptography.exceptions import InvalidSignature                       # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec                   # noqa: E402
from cryptography.hazmat.primitives import hashes                          # noqa: E402
from cryptography.x509 import ocsp as x509_ocsp                            # noqa: E402
from cryptography.hazmat.primitives.serialization import Encoding          # noqa: E402
import lint                                                                # noqa: E402
from chancery import Stack, done, is_, like, ok, openssl, program, wait_for  # noqa: E402
from ca import load                                                        # noqa: E402
from second import Second                                                  # noqa: E402

REVOCATION = '/api/v1/issuers/%s/revocation'


def chain_of(s, generation):
    """The certificates of a generation; also as files for openssl: its CA, and the bundle of it and its root."""
    answer = s.api('GET', '/api/v1/issuers/%s/chain?generation=%d' % (s.issuer_id, generation))
    is_(answer.status, 200, 'generation %d: its chain can be downloaded' % generation)
    parts = [each + '-----END CERTIFICATE-----\n' for each in answer.text.split('-----END CERTIFICATE-----\n')[:-1]]
    chain = [x509.load_pem_x509_certificate(each.encode()) for each in parts]
    ca, bundle = s.file('g%d.pem' % generation), s.file('g%d-bundle.pem' % generation)
    for path, text in ((ca, parts[0]), (bundle, answer.text)):
        with open(path, 'w') as file:
            file.write(text)
    return chain, ca, bundle


class Generation:
    """One authority as relying parties see it."""

    def __init__(self, s, number):
        self.s, self.number = s, number
        self.chain, self.file, self.bundle = chain_of(s, number)
        self.ca = self.chain[0]
        self.dot = '' if number == 1 else '.g%d' % number

    def ocsp(self, holder, digest='-sha1', at=None):
        """What openssl says, when the answer verifies under this very CA."""
        url = '%s/ocsp/%s' % ((at or self.s).http_url, self.s.issuer_id)
        asked = openssl('ocsp', '-issuer', self.file, digest, '-cert', holder.cert, '-CAfile', self.bundle, '-url', url,
                        '-no_nonce', check=False)
        found = re.search(r': (good|revoked|unknown)$', asked.out, re.M)
        return found.group(1) if found and 'Response verify OK' in asked.err else repr(asked)

    def answer(self, holder):
        """The answer's bytes, taken apart by another library."""
        der = x509_ocsp.OCSPRequestBuilder().add_certificate(load(holder.cert), self.ca, hashes.SHA256()).build()
        got = self.s.http('POST', '/ocsp/' + self.s.issuer_id, der.public_bytes(Encoding.DER),
                          {'Content-Type': 'application/ocsp-request'})
        return x509_ocsp.load_der_ocsp_response(got.body)

    def crl(self):
        """The list of this authority, after its signature was verified; None: there is none (yet)."""
        answer = self.s.http('GET', '/crl/%s%s.crl' % (self.s.issuer_id, self.dot))
        if answer.status != 200:
            return None
        shown = openssl('crl', '-inform', 'DER', '-noout', '-CAfile', self.bundle, input=answer.body, check=False)
        if 'verify OK' not in shown.err:
            raise RuntimeError('the CRL of generation %d does not verify: %r' % (self.number, shown))
        return x509.load_der_x509_crl(answer.body)

    def lists(self, holder):
        crl = self.crl()
        return crl is not None and crl.get_revoked_certificate_by_serial_number(load(holder.cert).serial_number) is not None


def newest(s):
    return s.api('GET', '/api/v1/issuers/' + s.issuer_id).json['generation']


def rekey(s, body, status=200):
    answer = s.api('POST', '/api/v1/issuers/%s/rekey' % s.issuer_id, body)
    is_(answer.status, status, 're-key %r: %d' % (body, status)) or print('# %r' % answer)
    return answer


def settings_of(s):
    """What can be set, and what cannot."""
    path = REVOCATION % s.issuer_id
    got = s.api('GET', path).json
    is_(got.get('settings'), None, 'nothing is set at first')
    is_((got['effective']['ocsp_keys'], got['effective']['crl_delta_s']), (['p-256'], 0), 'what counts are defaults')
    ok(got['effective']['ocsp_validity_s'] > 0 and got['effective']['crl_validity_s'] > 0, '... of the configuration')
    for what, body, field in (
            ('a kind of key that no responder has', {'ocsp_keys': ['p-521']}, 'ocsp_keys'),
            ('a kind of key twice', {'ocsp_keys': ['p-256', 'ed25519', 'p-256']}, 'ocsp_keys'),
            ('answers that last a minute', {'ocsp_validity_s': 60}, 'ocsp_validity_s'),
            ('answers that outlast a responder', {'ocsp_validity_s': 864000}, 'ocsp_validity_s'),
            ('a CRL that is renewed too late', {'crl_validity_s': 3600, 'crl_refresh_s': 3600}, 'crl_refresh_s'),
            ('deltas that outlast their CRL', {'crl_validity_s': 3600, 'crl_refresh_s': 600, 'crl_delta_s': 3600},
             'crl_delta_s'),
            ('too many shards', {'crl_shards': 4097}, 'crl_shards'),
            ('expired ones since nothing', {'crl_expired_since': True}, 'crl_expired_since'),
            ('what there is not', {'crl_indirect': True}, 'crl_indirect')):
        answer = s.api('PUT', path, body)
        is_(answer.status, 400, '%s: refused' % what)
        like(answer.text, field, '... by its name')
    is_(s.api('PUT', REVOCATION % 'iss-nobody', {}).status, 404, 'an issuer that is not there')
    answer = s.api('PUT', path, {'ocsp_validity_s': 7200, 'ocsp_keys': ['p-256', 'rsa-2048', 'ed25519']})
    is_(answer.status, 200, 'set')
    is_(answer.json['settings']['ocsp_validity_s'], 7200, '... is what was asked for')
    events = s.api('GET', '/api/v1/audit?action=issuer.revocation_set&status=200&resource_id=' + s.issuer_id).json['data']
    is_(len(events), 1, '... in the audit')


def responders(s, first, holder):
    """Three keys: each has a certificate of the CA; the first one answers."""
    kinds = s.psql("SELECT string_agg(key_kind, ' ' ORDER BY key_kind) FROM ocsp_responder WHERE ca_generation = 1 AND "
                   "issuer_no = 1")
    is_(kinds, 'ed25519 p-256 rsa-2048', 'a responder for each kind of key')
    answer = first.answer(holder)
    is_(list(lint.ocsp(answer, first.ca, load(holder.cert))), [], 'the answer is as it should be')
    is_(answer.certificates[0].public_key().curve.name, 'secp256r1', '... by the first of them')
    is_((answer.next_update - answer.this_update).total_seconds(), 7200, '... for as long as was set')


def after_rekey(s, first, second, old, new):
    ok(first.ca.subject == second.ca.subject and first.ca.public_key() != second.ca.public_key(),
       'the same name, another key')
    is_(load(new.cert).extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier,
        second.ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest, 'the new key signs')
    points = load(new.cert).extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    url = points[0].full_name[0].value
    ok(url.endswith('/crl/%s.g2.crl' % s.issuer_id), 'its CDP is the list of generation 2', url)
    access = load(new.cert).extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    paths = {each.access_method._name: each.access_location.value for each in access}
    is_(s.http('GET', '/ca/' + paths['caIssuers'].rsplit('/', 1)[1]).body, second.ca.public_bytes(Encoding.DER),
        'its caIssuers is the certificate of generation 2')
    is_(s.http('GET', '/ca/%s.crt' % s.issuer_id).body, first.ca.public_bytes(Encoding.DER), 'that of 1 is where it was')
    both = {first: old, second: new}
    for one, holder in both.items():
        for digest in ('-sha1', '-sha256'):
            is_(one.ocsp(holder, digest), 'good', 'O-23 generation %d: good %s' % (one.number, digest))
        answer = one.answer(holder)
        is_(list(lint.ocsp(answer, one.ca, load(holder.cert))), [], 'O-23 ... by a delegate of its own key')
        wait_for('a CRL of generation %d' % one.number, lambda: one.crl() is not None)
        is_(list(lint.crl(one.crl(), one.ca)), [], '... and its CRL')
    ok('good' not in second.ocsp(old), 'O-07 asked with the key of the other generation: not good')
    ok('good' not in first.ocsp(new), 'O-07 ... nor the other way round')


def revoked(s, first, second, holders):
    """Each on the list of the key that signed it."""
    for one, other, holder in ((first, second, holders[0]), (second, first, holders[1])):
        is_(s.revoke(holder).status, 200, 'revoked, of generation %d' % one.number)
        is_(one.ocsp(holder), 'revoked', '... OCSP says so')
        wait_for('the CRL', lambda: one.lists(holder))
        ok(True, '... its own CRL has it')
        ok(not other.lists(holder), '... the other has not')


def est(s, old, new):
    """RFC 7030: a certificate of the old key renews, and gets one of the new."""
    for holder in (old, new):
        answer = s.est(holder.csr, 'simplereenroll', cert=holder)
        holder.cert = s.keep(answer, holder.name + '-renewed')
        answer = s.api('GET', '/api/v1/certificates?serial=' + holder.serial).json['data'][0]
        rows = s.api('GET', '/api/v1/certificates/%s/versions' % answer['id']).json['data']
        is_(rows[0]['generation'], 2, '%s: renewed by generation 2' % holder.name)


def shards(s):
    """A generation that publishes shards: its certificates name theirs, and are on that one."""
    s.api('PUT', REVOCATION % s.issuer_id, {'crl_shards': 4})
    third = Generation(s, newest(s))
    is_(s.api('GET', '/api/v1/issuers/' + s.issuer_id).json['generations'][0]['crl_shards'], 0, 'a generation keeps its lists')
    rekey(s, {})
    fourth, holder = Generation(s, newest(s)), s.enrol('sharded')
    points = load(holder.cert).extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    path = points[0].full_name[0].value
    path = path[path.index('/crl/'):]
    ok(re.fullmatch(r'/crl/%s\.g%d\.s[0-3]\.crl' % (s.issuer_id, fourth.number), path), 'the CDP is one of its shards', path)
    is_(s.revoke(holder).status, 200, '... revoked')

    def listed():
        answer = s.http('GET', path)
        crl = x509.load_der_x509_crl(answer.body) if answer.status == 200 else None
        return crl is not None and crl.get_revoked_certificate_by_serial_number(load(holder.cert).serial_number) is not None
    wait_for('the shard', listed)
    ok(True, '... and on that very shard')
    is_(fourth.ocsp(holder), 'revoked', '... OCSP as well')
    is_(s.http('GET', '/crl/%s.g%d.crl' % (s.issuer_id, fourth.number)).status, 404, 'there is no full list')
    ok(third.crl() is not None, '... that of the one before is where it was')


def ca_revoked(s):
    """O-31: no more issuance; with inheritance, everything below is revoked."""
    one = Generation(s, newest(s))
    holder = s.enrol('orphaned')
    path = '/api/v1/issuers/%s/revoke-ca' % s.issuer_id
    is_(s.api('POST', path, {'generation': 99}).status, 404, 'a generation that is not there')
    is_(s.api('POST', path, {'reason': 'certificateHold'}).status, 400, 'a CA is not put on hold')
    answer = s.api('POST', path, {'reason': 'cACompromise'})
    is_((answer.status, answer.json['generations'][0]['revocation_reason']), (200, 'cACompromise'), 'the CA is revoked')
    is_(s.api('POST', path, {}).status, 409, '... once')
    refused = s.est(s.holder('too-late').csr)
    ok(refused.status in (400, 403, 500), 'it issues no more', refused)
    like(refused.text, 'revoked', '... and says why')
    is_(one.ocsp(holder), 'good', 'without inheritance what it issued stays as it is')
    s.api('PUT', REVOCATION % s.issuer_id, {'inherit_ca_revocation': True})
    is_(one.ocsp(holder), 'revoked', 'O-31 with it, that is revoked')
    is_(s.est(holder.csr, 'simplereenroll', cert=holder).status, 403, '... and opens no door')
    rekey(s, {})
    is_(Generation(s, newest(s)).ocsp(s.enrol('fresh')), 'good', 'a re-key mends it')


def exempt(s):
    """RFC 9608: short-lived certificates that nobody can ask about."""
    body = {'name': 'brief', 'key_kinds': ['p-256'], 'validity_s': 3601, 'eku': ['clientAuth'], 'name_kinds': ['dns'],
            'revocation_exempt': True}
    answer = s.api('POST', '/api/v1/profiles', body)
    is_(answer.status, 400, 'D-08 more than an hour is not exempt')
    like(answer.text, 'revocation_exempt', '... by its name')
    profile = s.api('POST', '/api/v1/profiles', {**body, 'validity_s': 3600}).json
    is_(profile['revocation_exempt'], True, 'an hour is')
    label = s.api('POST', '/api/v1/est/labels', {'name': 'brief', 'issuer_id': s.issuer_id, 'profile_id': profile['id'],
                                                 'auth_basic': True, 'auth_certificate': True}).json
    account = s.api('POST', '/api/v1/est/labels/%s/credentials' % label['id'], {'user_name': 'brief'}).json
    holder = s.holder('brief')
    holder.cert = s.keep(s.est(holder.csr, label='brief', auth=s.basic('brief', account['password'])), 'brief')
    named = {each.oid.dotted_string: each for each in load(holder.cert).extensions}
    ok('2.5.29.56' in named and not named['2.5.29.56'].critical, 'D-08 noRevAvail, not critical')
    is_(named['2.5.29.56'].value.value if '2.5.29.56' in named else None, b'\x05\x00', '... NULL')
    ok('2.5.29.31' not in named and '2.5.29.46' not in named, '... no CDP and no freshest CRL')
    is_([each.access_method._name for each in named['1.3.6.1.5.5.7.1.1'].value], ['caIssuers'], '... and no OCSP')
    serial = load(holder.cert).serial_number
    one = Generation(s, newest(s))
    is_(one.answer(holder).response_status.name, 'UNAUTHORIZED', '... nobody can ask, either')
    renewed = s.est(holder.csr, 'simplereenroll', label='brief', cert=holder)
    holder.cert = s.keep(renewed, 'brief-2')
    ok(load(holder.cert).serial_number != serial, 'it renews as any other')


def under_load(s):
    """A re-key while devices enrol: each certificate is of the key that signed it, and nothing is lost."""
    holders, failed = [s.holder('load-%d' % i) for i in range(40)], []
    threads = []

    def enrol(mine):
        for holder in mine:
            answer = s.est(holder.csr)
            if answer.status != 200:
                failed.append(answer)
            else:
                holder.cert = s.keep(answer, holder.name)
    for at in range(4):
        threads.append(threading.Thread(target=enrol, args=(holders[at::4],)))
        threads[-1].start()
    wait_for('the first of them', lambda: sum(bool(each.cert) for each in holders) >= 5)
    rekey(s, {})
    for each in threads:
        each.join()
    is_(failed, [], 'every device has got a certificate')
    number = newest(s)
    both = {one.ca.public_key().public_numbers(): one for one in (Generation(s, number - 1), Generation(s, number))}
    found = {}
    for holder in holders:
        cert = load(holder.cert)
        signer = [one for one in both.values() if signed_by(cert, one.ca)]
        found[holder] = signer[0].number if len(signer) == 1 else None
    counts = {each: list(found.values()).count(each) for each in set(found.values())}
    ok(set(counts) == {number - 1, number}, 'both keys have signed', counts)
    recorded = dict(line.split('|') for line in s.psql(
        "SELECT encode(serial, 'hex'), generation FROM certificate_version WHERE managed_no IS NOT NULL").splitlines())
    is_([each.name for each in holders if recorded['%032x' % load(each.cert).serial_number] != str(found[each])], [],
        'each is on record with its own')
    is_([each.name for each in holders if both_answer(both, found[each], each) != 'good'], [], '... and good under it')


def signed_by(cert, ca):
    try:
        ca.public_key().verify(cert.signature, cert.tbs_certificate_bytes, ec.ECDSA(cert.signature_hash_algorithm))
    except InvalidSignature:
        return False
    return True


def both_answer(both, number, holder):
    return [one for one in both.values() if one.number == number][0].ocsp(holder)


def two_hosts(s, old, new):
    """Another host has responders of its own, for the same authorities; the two leave each other's alone."""
    made = "SELECT count(*) FROM ocsp_responder"
    number, keys = newest(s), ['p-256', 'ed25519']
    s.api('PUT', REVOCATION % s.issuer_id, {'ocsp_keys': keys})
    before = int(s.psql(made))
    with Second(s, workers=1) as other:
        one = [(Generation(s, 1), old), (Generation(s, 2), new)]
        for authority, holder in one:
            wait_for('the second host', lambda: authority.ocsp(holder, at=other) in ('good', 'revoked'), 20)
            is_(authority.ocsp(holder, at=other), authority.ocsp(holder), 'generation %d: both hosts say the same' %
                authority.number)
        after = int(s.psql(made))
        ok(after > before, 'the second host has made responders of its own', (before, after))
        for seconds in (3600, 7200):  # each makes both hosts look through their configuration
            s.api('PUT', REVOCATION % s.issuer_id, {'ocsp_validity_s': seconds, 'ocsp_keys': keys})
            wait_for('%d seconds at the second host' % seconds, lambda: validity(s, other, one[0]) == seconds, 20)
        is_(int(s.psql(made)), after, 'and none is made anew for that')
    is_(newest(s), number, 'a second host makes no generation')


def validity(s, host, pair):
    """What a fresh answer at that host is good for, in seconds."""
    authority, holder = pair
    der = x509_ocsp.OCSPRequestBuilder().add_certificate(load(holder.cert), authority.ca, hashes.SHA1()).add_extension(
        x509.OCSPNonce(os.urandom(16)), False).build()
    path = s.file('validity.der')
    with open(path, 'wb') as file:
        file.write(der.public_bytes(Encoding.DER))
    got = program(['curl', '-s', '--data-binary', '@' + path, '-H', 'Content-Type: application/ocsp-request',
                   '%s/ocsp/%s' % (host.http_url, s.issuer_id)]).raw
    answer = x509_ocsp.load_der_ocsp_response(got)
    return (answer.next_update - answer.this_update).total_seconds()


with Stack() as s:
    before, doomed = s.enrol('before'), s.enrol('doomed')
    settings_of(s)
    first = Generation(s, 1)
    responders(s, first, before)
    rekey(s, {'key': 'dsa'}, 400)
    row = rekey(s, {'key': 'p-384', 'validity_s': 10000000}).json
    is_((row['generation'], row['key_kind']), (2, 'p-384'), 'the second generation issues')
    is_([(each['generation'], each['active']) for each in row['generations']], [(2, True), (1, False)], 'both are shown')
    second = Generation(s, 2)
    after, fated = s.enrol('after'), s.enrol('fated')
    after_rekey(s, first, second, before, after)
    revoked(s, first, second, (doomed, fated))
    est(s, before, after)

    s.restart()
    is_([first.ocsp(doomed), second.ocsp(before), second.ocsp(fated)], ['revoked', 'good', 'revoked'], 'after a restart')
    ok(first.lists(doomed) and second.lists(fated), 'the CRLs as well')

    s.api('PUT', REVOCATION % s.issuer_id, {'ocsp_cert_hash': True})
    wait_for('a store with hashes', lambda: '"why":"settings"' in s.log())
    is_([first.ocsp(doomed), second.ocsp(before), second.ocsp(fated)], ['revoked', 'good', 'revoked'],
        'a store made anew knows them all')

    two_hosts(s, doomed, fated)
    rekey(s, {'key_ref': 'file:%s-ca' % s.issuer_id}, 409)
    rekey(s, {})
    under_load(s)
    shards(s)
    ca_revoked(s)
    exempt(s)
done()
