#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
conf/webpki.json and conf/webpki.nginx.conf, requirement by requirement (CA/Browser Forum BR 4.9, 4.10, 7.2, 7.3; ids B-01 to
B-13).  What has to do with the age of answers is tried on a store that edge_fill writes.
"""

import datetime
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import ROOT, SLOW, Stack, done, is_, like, ok, subtest, unlike, wait_for  # noqa: E402
import ca as authority                                                           # noqa: E402
import lint                                                                      # noqa: E402
import octets                                                                    # noqa: E402
from edge import Edge                                                            # noqa: E402
from relying import Scene, made                                                  # noqa: E402

from cryptography import x509                                                    # noqa: E402
from cryptography.hazmat.primitives import hashes                                # noqa: E402
from cryptography.hazmat.primitives.serialization import Encoding                # noqa: E402
from cryptography.x509 import ocsp as x509_ocsp                                  # noqa: E402

HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)
SECOND = datetime.timedelta(seconds=1)
SETTINGS = '/api/v1/issuers/%s/revocation'
REASONS = {'unspecified': None, 'keyCompromise': 'key_compromise', 'affiliationChanged': 'affiliation_changed',
           'superseded': 'superseded', 'cessationOfOperation': 'cessation_of_operation',
           'privilegeWithdrawn': 'privilege_withdrawn'}
FORBIDDEN = {'certificateHold': r'4\.9\.13', 'cACompromise': r'7\.2\.2', 'aACompromise': r'7\.2\.2'}

with open(os.path.join(ROOT, 'conf/webpki.json')) as file:
    PRESET = json.load(file)


def include(s):
    """The directives, for all of http; nginx takes them up."""
    path = s.path('conf/nginx.conf')
    with open(path) as file:
        text = file.read()
    with open(path, 'w') as file:
        file.write(text.replace('http {', 'http {\n    include %s;' % os.path.join(ROOT, 'conf/webpki.nginx.conf'), 1))
    old = s.pids('worker')
    s.kill('nginx', signal.SIGHUP)
    ok(wait_for('other workers', lambda: s.pids('worker') and not set(old) & set(s.pids('worker')), 10),
       'nginx takes conf/webpki.nginx.conf')


def put(s, issuer_id, **changes):
    return s.api('PUT', SETTINGS % issuer_id, dict(PRESET, **changes))


def asked(scene, cert, method='GET'):
    """An answer, and its octets."""
    built = x509_ocsp.OCSPRequestBuilder().add_certificate(cert, authority.load(scene.ca), hashes.SHA1()).build()
    raw = scene.carry(method, built.public_bytes(Encoding.DER))
    return x509_ocsp.load_der_ocsp_response(raw), raw


def lasts(got):
    """Both ends count (4.9.10)."""
    return got.next_update - got.this_update + SECOND


def crl_of(scene, name=None):
    raw = scene.stack.http('GET', '/crl/%s.crl' % (name or scene.issuer_id)).body
    return x509.load_der_x509_crl(raw), raw


def entry(scene, cert, seconds=5):
    """Of a certificate, as soon as it is on the list."""
    return wait_for('the list', lambda: crl_of(scene)[0].get_revoked_certificate_by_serial_number(cert.serial_number), seconds)


def number_of(got):
    return lint.extension(got, x509.CRLNumber).value.crl_number


def answers(s, scene):
    good = authority.load(scene.cert('good'))
    with subtest('B-01 OCSP by GET'):
        is_(asked(scene, good, 'GET')[1], asked(scene, good, 'POST')[1], 'the same octets as by POST')
    with subtest('B-02 an answer is valid for 8 hours at least, and 10 days at most'):
        is_(lasts(asked(scene, good)[0]), 4 * DAY + SECOND, 'by the preset: four days')
        for seconds, wanted in ((8 * 3600, 200), (864000 - 1, 400), (8 * 3600 - 1, 400), (864000, 400)):
            answer = put(s, scene.issuer_id, ocsp_validity_s=seconds)
            if seconds == 864000 - 1:  # longer than responders overlap: refused by the configuration, not by the rule
                unlike(answer.text, '4.9.10', '%d seconds are not against it' % seconds)
                continue
            is_(answer.status, wanted, '%d seconds: %d' % (seconds, wanted))
            if wanted == 400:
                like(answer.text, r'4\.9\.10', '... and why')
        fresh = scene.order('shortest')
        got = wait_for('the setting', lambda: a if lasts(a := asked(scene, authority.load(fresh.cert))[0]) < 4 * DAY else None, 5)
        is_(lasts(got), 8 * HOUR + SECOND, 'the shortest')
        is_(put(s, scene.issuer_id).status, 200, 'and back')
    with subtest('B-04 an answer as soon as the certificate is handed out'):
        for i in range(5):
            cert = authority.load(scene.order('early-%d' % i).cert)
            got = asked(scene, cert)[0]
            is_(got.certificate_status, x509_ocsp.OCSPCertStatus.GOOD, 'good, at once')
    with subtest('B-05 a serial that was not assigned is not good'):
        stranger = authority.load(scene.cert('unissued'))
        for method in ('GET', 'POST'):
            is_(asked(scene, stranger, method)[0].response_status, x509_ocsp.OCSPResponseStatus.UNAUTHORIZED, method)
        got = scene.stack.http('GET', '/ca/%s.crt' % scene.issuer_id)
        is_(got.status, 200, 'the CA is there all the same')
    with subtest('B-06 OCSP and CRL answer within 10 seconds'):
        slowest = 0
        for i in range(100):
            begin = time.monotonic()
            _ = asked(scene, good, ('GET', 'POST')[i % 2]), crl_of(scene)
            slowest = max(slowest, time.monotonic() - begin)
        ok(slowest < 10, 'the slowest of 100', '%.3f s' % slowest)


def lists(s, scene, first):
    with subtest('B-07 a list before the first certificate, soon after a revocation, and at least every four days'):
        ok(number_of(first) > 0, 'it was there before any certificate')
        holder = scene.order('b-07')
        before, begin = number_of(crl_of(scene)[0]), time.monotonic()
        is_(s.revoke(holder, 'keyCompromise').status, 200, 'revoked')
        ok(entry(scene, authority.load(holder.cert)), 'listed')
        ok(time.monotonic() - begin < 5 * SLOW, 'within seconds, not 24 hours')
        ok(number_of(crl_of(scene)[0]) > before, 'with a number that has grown')
        like(put(s, scene.issuer_id, crl_refresh_s=4 * 86400 + 1).text, r'4\.9\.7', 'no longer than four days between lists')
        effective = s.api('GET', SETTINGS % scene.issuer_id).json['effective']
        ok(effective['crl_refresh_s'] <= 4 * 86400, 'as the preset says')
    with subtest('B-08 a list is valid for 10 days at most, both ends counted'):
        for got in (first, crl_of(scene)[0]):
            ok(got.next_update - got.last_update + SECOND <= 10 * DAY, 'this one is')
        answer = put(s, scene.issuer_id, crl_validity_s=864000)
        is_(answer.status, 400, 'ten days and a second are refused')
        like(answer.text, r'7\.2', '... and why')
    with subtest('B-10 AKI with a key identifier, a number, and nothing else'):
        got, raw = crl_of(scene)
        is_(octets.crl(raw, authority.load(scene.ca).not_valid_before), [], 'octet by octet')
        is_(list(lint.crl(got, authority.load(scene.ca))), [], 'only these two')
        for change in ({'crl_delta_s': 3600}, {'crl_next_publish': True}, {'crl_aia': True},
                       {'crl_expired_since': True, 'crl_keep_expired_s': 86400}):
            answer = put(s, scene.issuer_id, **change)
            is_(answer.status, 400, 'refused: %s' % next(iter(change)))
            like(answer.text, r'7\.2\.2', '... and why')


def reasons(s, scene):
    with subtest('B-09 the reasons of 7.2.2, no hold, nothing for "unspecified"'):
        for reason, pattern in FORBIDDEN.items():
            holder = scene.order('b-09-' + reason.lower())
            answer = s.revoke(holder, reason)
            is_(answer.status, 400, '%s is refused' % reason)
            like(answer.text, pattern, '... and why')
            is_(asked(scene, authority.load(holder.cert))[0].certificate_status, x509_ocsp.OCSPCertStatus.GOOD, '... still good')
        for reason, name in REASONS.items():
            cert = authority.load((holder := scene.order('b-09-' + reason.lower())).cert)
            is_(s.revoke(holder, reason).status, 200, reason)
            wanted = name and x509.ReasonFlags[name]
            got = asked(scene, cert)[0]
            is_((got.certificate_status, got.revocation_reason), (x509_ocsp.OCSPCertStatus.REVOKED, wanted), '... by OCSP')
            found = entry(scene, cert)
            more = found and lint.extension(found, x509.CRLReason)
            is_(more.value.reason if more else None, wanted, '... on the list')
            is_([each.oid for each in got.single_extensions], [], '... no reason among the extensions (7.3.2)')


def shards(s, scene):
    with subtest('B-11 a list in parts: a critical IDP that names the URL in the certificate, whole lists have none'):
        unlike(str([each.oid.dotted_string for each in crl_of(scene)[0].extensions]), r'2\.5\.29\.28', 'the whole list')
        is_(put(s, scene.issuer_id, crl_shards=4).status, 200, 'four parts, from the next key on')
        made(s.api('POST', '/api/v1/issuers/%s/rekey' % scene.issuer_id, {}))
        for i in range(4):
            cert = authority.load(scene.order('b-11-%d' % i).cert)
            urls = {}
            findings = lint.Findings()
            urls['crl'] = lint.revocation_urls(cert, findings)[2]
            name = urls['crl'].rpartition('/crl/')[2]
            like(name, r'\.s[0-3]\.crl$', 'its list is one of them')
            raw = wait_for('the part', lambda: a.body if (a := s.http('GET', '/crl/' + name)).status == 200 else None, 5)
            found = lint.extension(x509.load_der_x509_crl(raw), x509.IssuingDistributionPoint)
            ok(found and found.critical, 'a critical IDP')
            is_([each.value for each in found.value.full_name], [urls['crl']], 'with that very URL')
            is_((found.value.indirect_crl, found.value.only_contains_user_certs, found.value.only_contains_ca_certs,
                 found.value.only_some_reasons), (False, False, False, None), 'neither indirect nor for some only')
            is_(octets.crl(raw), [], 'octet by octet')


def kept(s, scene):
    with subtest('B-12 an entry stays until the certificate has expired'):
        cert = authority.load(scene.cert('expired'))
        ok(entry(scene, cert), 'it is listed')
        scene.age()
        ok(entry(scene, cert), 'it is still there when it has expired')
        for i in range(2):
            is_(s.revoke(scene.order('b-12-%d' % i), 'superseded').status, 200, 'a reason for another list')
            before = number_of(crl_of(scene)[0])
            wait_for('another list', lambda: number_of(crl_of(scene)[0]) > before, 3)
        lists_ = s.psql("SELECT count(*) FROM crl WHERE this_update > to_timestamp(%d)" % cert.not_valid_after.replace(
            tzinfo=datetime.timezone.utc).timestamp())
        ok(int(lists_) >= 1, 'and lists were made since')


def algorithms(scene):
    with subtest('B-13 nothing is signed with SHA-1'):
        got, raw = asked(scene, authority.load(scene.cert('good')))
        for what, thing in (('certificate', authority.load(scene.cert('good'))), ('CA', authority.load(scene.ca)), ('list',
                            crl_of(scene)[0]), ('answer', got), ('responder', got.certificates[0])):
            ok(thing.signature_hash_algorithm.name in ('sha256', 'sha384', 'sha512'), what, thing.signature_hash_algorithm.name)
        is_(octets.ocsp(raw), [], 'octet by octet')


def replaced(edge):
    """The store was synchronised so long ago when an answer was first given; then it is again."""
    with subtest('B-03 answers are replaced in time'):
        for what, validity, age, renewed in (
                ('8 hours, one hour old: used again', 8 * 3600, 3600, False),
                ('8 hours, half of it over: replaced', 8 * 3600, 4 * 3600 + 1, True),
                ('15 hours, half of it over: replaced', 15 * 3600, 7 * 3600 + 1801, True),
                ('16 hours, 8 of them over: replaced', 16 * 3600, 8 * 3600 + 1, True),
                ('a day, two hours old: used again', 86400, 7200, False),
                ('a day, 12 hours old, before 8 are left: replaced', 86400, 12 * 3600 + 1, True),
                ('10 days, three days old: used again', 864000, 3 * 86400, False),
                ('10 days, four days old: replaced', 864000, 4 * 86400 + 1, True)):
            edge.fill('validity=%d' % validity, 'chain=' + edge.pki.path('chain.pem'), 'synced=%d' % age)
            serial = '40%014x' % (validity + age)
            edge.fill('synced=%d' % age, 'status=%s,good' % serial)
            first = edge.ocsp(serial, words=('-no_nonce',))
            like(first, r': good', 'an answer')
            edge.fill()
            (is_ if renewed is False else differs)(when(edge.ocsp(serial, words=('-no_nonce',))), when(first), what)


def differs(got, old, name):
    ok(got != old, name, '%s, twice' % (got,))


def when(text):
    """thisUpdate."""
    return next(each.strip() for each in text.splitlines() if 'This Update' in each)


with Stack() as s:
    made(s.api('POST', '/api/v1/issuers', {'id': 'iss-web', 'name': 'web', 'config': {'subject': 'CN=Web CA,O=Example,C=GB'}}))
    is_(put(s, 'iss-web').status, 200, 'an issuer takes conf/webpki.json')
    first = x509.load_der_x509_crl(wait_for('the first list', lambda: a.body if (a := s.http('GET', '/crl/iss-web.crl')).status
                                            == 200 else None, 5))
    include(s)
    scene = Scene(s, 'iss-web', cases=('good', 'unissued', 'expired'))
    is_(s.revoke(scene.holders['expired'], 'superseded').status, 200, 'one that expires soon is revoked')
    algorithms(scene)
    answers(s, scene)
    lists(s, scene, first)
    reasons(s, scene)
    kept(s, scene)
    shards(s, scene)
    scene.close()

edge = Edge(text=lambda text: text.replace('http {', 'http {\n    include %s;' % os.path.join(ROOT, 'conf/webpki.nginx.conf'), 1))
edge.fill_all()
edge.start()
replaced(edge)
edge.stop()
done()
