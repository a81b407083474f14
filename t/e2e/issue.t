#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""The issuance path and the edge feeder: idempotency, re-enrolment, revocation, rebuilds, orphans, responders."""

import glob
import hashlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import frame                                                        # noqa: E402
import record                                                       # noqa: E402
from chancery import Stack, done, is_, like, ok, openssl, wait_for  # noqa: E402

V1 = '/api/v1'


# ---- the edge socket, as a protocol module speaks to it ----------------------------------------------------------


def der(holder):
    return openssl('req', '-in', holder.csr, '-outform', 'DER').raw


def cert_der(path):
    return openssl('x509', '-in', path, '-outform', 'DER').raw


def enrolment(s, csr, operation='simpleenroll', user=None, cert=None, label='devices', **more):
    """The octets of a request."""
    kind, identity = ('certificate', hashlib.sha256(cert).hexdigest()) if cert else ('basic', user or s.env['CHANCERY_EST_USER'])
    parts = [b'est', operation.encode(), label.encode(), kind.encode(), identity.encode(), csr]
    key = hashlib.sha256(b''.join(len(each).to_bytes(4, 'big') + each for each in parts)).digest()
    body = {'protocol': 'est', 'operation': operation, 'label': label, 'identity_kind': kind, 'identity': identity,
            'certificate': cert, 'csr': csr, 'transaction_key': key, 'source': '192.0.2.1', 'request_id': '0' * 32}
    body.update(more)
    return record.pack(record.REQUEST, body)


def edge(s):
    return frame.Client(s.path('run/edge.sock'))


def read(octets):
    """The answer; None: it could not be served."""
    return record.unpack(record.ANSWER, octets) if octets else None


def hop(s, *args, **more):
    connection = edge(s)
    try:
        return read(connection.ask(enrolment(s, *args, **more)))
    finally:
        connection.close()


def rejected(answer, code, pattern, name):
    good = answer and answer['status'] == 'rejected' and answer['code'] == code and re.search(pattern, answer['text'])
    return ok(good, name, answer)


def serial_of(certificate):
    return openssl('x509', '-inform', 'DER', '-noout', '-serial', input=certificate).out.strip().split('=')[1]


def versions(s, holder):
    found = s.api('GET', V1 + '/certificates?serial=' + holder.serial).json['data'][0]
    return s.api('GET', V1 + '/certificates/%s/versions' % found['id']).json['data']


# ---- one certificate for one request -----------------------------------------------------------------------------


def idempotency(s):
    a = s.enrol('twice')
    again = s.keep(s.est(a.csr), 'twice-again')
    is_(cert_der(a.cert), cert_der(again), 'the same request again gets the same certificate')

    csr, found, threads = der(s.holder('crowd')), [], []
    for _ in range(12):
        threads.append(threading.Thread(target=lambda: found.append(hop(s, csr))))
    [each.start() for each in threads]
    [each.join() for each in threads]
    given = {body['certificate'] for body in found if body and body['status'] == 'issued'}
    is_((len(found), len(given)), (12, 1), 'a dozen at once get one')
    is_(s.psql("SELECT count(*) FROM certificate_version v JOIN managed_certificate m ON m.no = v.managed_no "
               "WHERE m.common_name = 'crowd'"), '1', 'and one was issued')

    s.restart()
    is_({hop(s, csr)['certificate']}, given, 'after a restart, too')
    is_(hop(s, csr, transaction_key=b'x' * 32), None, 'a transaction key that is not the request\'s is refused')


# ---- many on one connection --------------------------------------------------------------------------------------


def count_of(s, name):
    return s.psql("SELECT count(*) FROM certificate_version v JOIN managed_certificate m ON m.no = v.managed_no "
                  "WHERE m.common_name = '%s'" % name)


def frames(s):
    csrs = [der(s.holder('frame-%d' % n)) for n in range(100)]
    a = edge(s)
    found = [read(each) for each in a.many([enrolment(s, each) for each in csrs])]
    is_([each and each['status'] for each in found], ['issued'] * len(csrs), 'many enrolments in one write are all served')
    is_([read(each) for each in a.many([enrolment(s, each) for each in csrs])], found, 'each with its own certificate')

    mixed = a.many([enrolment(s, csrs[0]), b'', b'no record', enrolment(s, csrs[1], user='person', password='wrong'),
                    enrolment(s, csrs[1])])
    is_((read(mixed[0]), mixed[1:3], read(mixed[4])), (found[0], [b'', b''], found[1]), 'what is no record has no answer, and harms no other')
    rejected(read(mixed[3]), 'UNAUTHENTICATED', 'wrong', 'nor does a password that has to be looked at')

    for octet in frame.frame(7, enrolment(s, csrs[2])):
        a.c.sendall(bytes([octet]))
    no, answer = a.take()
    is_((no, read(answer)), (7, found[2]), 'a request may come in pieces')

    for octets, what in ((b'GET / HTTP/1.1\r\n\r\n', 'what is no frame'), ((frame.ASK_MAX + 1).to_bytes(4, 'big'), 'one that is too large')):
        b = edge(s)
        b.c.sendall(octets)
        is_(b.take(), None, '%s ends its connection' % what)
    b = edge(s)
    b.c.sendall(frame.frame(1, enrolment(s, csrs[2]))[:-1])
    b.close()
    is_(read(a.ask(bytes(enrolment(s, csrs[2])))), found[2], 'and no other')
    is_(a.ask(bytes(frame.ASK_MAX)), b'', 'the largest is read')

    b = edge(s)
    b.send(enrolment(s, der(s.holder('gone'))))
    wait_for('the enrolment', lambda: count_of(s, 'gone') != '0', 5)
    b.close()
    c = edge(s)
    numbers = [c.send(enrolment(s, der(s.holder('going-%d' % n)))) for n in range(3)]
    c.take()
    c.close()
    is_((len(numbers), read(a.ask(enrolment(s, csrs[2])))), (3, found[2]), 'who has gone harms nobody')
    is_(count_of(s, 'gone'), '1', 'and what was begun for them is recorded')


# ---- who may -----------------------------------------------------------------------------------------------------


def identities(s):
    csr = der(s.holder('who'))
    rejected(hop(s, csr, user='nobody'), 'UNAUTHENTICATED', 'wrong', 'an unknown user is rejected')
    rejected(hop(s, csr, label='nowhere'), 'NOT_FOUND', 'nowhere', 'an unknown label is')
    rejected(hop(s, csr, operation='simplereenroll'), 'FORBIDDEN', 'does not accept', 're-enrolment needs a certificate')
    made = s.api('POST', V1 + '/est/labels/est-devices/credentials', {'user_name': 'person', 'password': 'correct horse'})
    is_(made.status, 201, 'a credential with a chosen password')
    rejected(hop(s, csr, user='person'), 'UNAUTHENTICATED', 'missing', 'its password has to be brought along')
    rejected(hop(s, csr, user='person', password='incorrect horse'), 'UNAUTHENTICATED', 'wrong', 'and to be right')
    body = hop(s, csr, user='person', password='correct horse')
    is_(body and body['status'], 'issued', 'the right one enrols')

    def took(password):
        started = time.monotonic()
        hop(s, csr, user='person', password=password)
        return time.monotonic() - started

    quick, slow = (min(took(each) for _ in range(5)) for each in ('correct horse', 'incorrect horse'))
    ok(quick < slow, 'a verified password is remembered, a wrong one is not', (quick, slow))
    like(s.log(), 'enrol.rejected', 'rejections are logged')
    ok('correct horse' not in s.log(), 'without passwords')


def policy(s):
    made = s.api('POST', V1 + '/profiles', {
        'id': 'prof-strict', 'name': 'strict', 'key_kinds': ['p-256'], 'validity_s': 86400, 'eku': ['clientAuth'],
        'name_kinds': ['dns'], 'dns_patterns': ['*.strict.example'], 'subject_rule': 'san'})
    is_(made.status, 201, 'a strict profile')
    s.api('POST', V1 + '/est/labels', {'name': 'strict', 'issuer_id': s.issuer_id, 'profile_id': 'prof-strict'})
    password = s.api('POST', V1 + '/est/labels/est-strict/credentials', {'user_name': 'u'}).json['password']

    def ask(holder):
        return s.est(holder.csr, label='strict', auth=s.basic('u', password))

    good = s.holder('good', subject='/O=ignored/CN=ignored', san='DNS:a.strict.example')
    good.cert = s.keep(ask(good), 'good')
    text = openssl('x509', '-in', good.cert, '-noout', '-text', '-nameopt', 'RFC2253').out
    like(text, r'Subject: CN=a\.strict\.example\n', 'the subject is what the profile makes of the names')
    like(text, r'TLS Web Client Authentication\n', 'with the usage of the profile')
    for name, holder in {
            'a name outside of the patterns': s.holder('p1', san='DNS:a.lax.example'),
            'a wildcard below no pattern': s.holder('p2', san='DNS:*.lax.example'),
            'a kind of name that is not listed': s.holder('p3', san='DNS:a.strict.example,IP:192.0.2.1'),
            'a kind of key that is not listed': s.holder('p4', kind='rsa', san='DNS:a.strict.example'),
            'no name at all': s.holder('p5', san='')}.items():
        answer = ask(holder)
        ok(answer.status in (400, 403) and 'strict' in answer.text, '%s is refused, with the reason' % name, answer)


# ---- re-enrolment ------------------------------------------------------------------------------------------------


def renew(s, holder, name, key=False, subject=None, san=None, presents=None):
    """A CSR like the holder's, with its key (or a new one), presented with its certificate."""
    device = getattr(holder, 'device', holder.name)
    subject, san = subject or '/CN=' + device, san or 'DNS:%s.example.net' % device
    new = s.holder(name, subject=subject, san=san)
    new.device = device
    if not key:
        openssl('req', '-new', '-key', holder.key, '-out', new.csr, '-subj', subject, '-addext', 'subjectAltName=' + san)
        new.key = holder.key
    presents = presents or holder
    return new, hop(s, der(new), 'simplereenroll', cert=cert_der(presents.cert))


def issued(s, pair, name):
    new, body = pair
    ok(body and body['status'] == 'issued', name, body)
    new.cert = s.file(new.name + '.pem')
    with open(new.cert, 'w') as file:
        file.write(openssl('x509', '-inform', 'DER', input=body['certificate']).out)
    return new


def reenrolment(s):
    a, b = s.enrol('re-a'), s.enrol('re-b')
    is_(s.api('PUT', V1 + '/est/labels/est-devices', {
        'name': 'devices', 'is_default': True, 'issuer_id': s.issuer_id, 'profile_id': 'prof-device',
        'auth_certificate': True, 'superseded_grace_s': 2}).status, 200, 'two seconds of grace')
    rejected(renew(s, a, 're-1', subject='/CN=re-b')[1], 'FORBIDDEN', 'subject', 'another subject is refused')
    rejected(renew(s, a, 're-2', san='DNS:re-b.example.net')[1], 'FORBIDDEN', 'subjectAltName', 'another SAN is')
    rejected(renew(s, a, 're-3', san='DNS:re-a.example.net,DNS:more.example.net')[1], 'FORBIDDEN', 'subjectAltName', 'more SANs are')
    rejected(renew(s, a, 're-4', presents=b)[1], 'FORBIDDEN', 'subject', 'with another holder\'s certificate it is')
    foreign = s.holder('re-a-foreign')
    openssl('req', '-x509', '-key', foreign.key, '-out', s.file('foreign.pem'), '-subj', '/CN=re-a', '-days', '2')
    foreign.cert = s.file('foreign.pem')
    rejected(renew(s, a, 're-5', presents=foreign)[1], 'FORBIDDEN', 'another CA', 'with a certificate of another CA it is')
    # A CA of the same name, but another: only the record of what was issued can tell.
    forged = forge(s)
    rejected(renew(s, a, 're-6', presents=forged)[1], 'FORBIDDEN', 'not issued here', 'with one of a namesake it is')

    same = issued(s, renew(s, a, 're-7'), 'the same key is renewed')
    is_(len(versions(s, a)), 2, 'as another version of the same certificate')
    rekeyed = issued(s, renew(s, same, 're-8', key=True), 'another key is certified, too')
    again = hop(s, der(rekeyed), 'simplereenroll', cert=cert_der(same.cert))
    is_(again['certificate'], cert_der(rekeyed.cert), 'a retry gets the same certificate')
    time.sleep(3.2)
    rejected(renew(s, same, 're-9', key=True)[1], 'FORBIDDEN', 'superseded', 'after the grace a superseded one is refused')
    again = hop(s, der(rekeyed), 'simplereenroll', cert=cert_der(same.cert))
    is_(again['status'], 'issued', 'but not the retry of what superseded it')
    answer = s.est(renewal_csr(s, rekeyed), 'simplereenroll', cert=rekeyed)
    is_(answer.status, 200, 'and through nginx the newest one renews')

    s.revoke(b)
    rejected(renew(s, b, 're-10')[1], 'FORBIDDEN', 'revoked', 'a revoked certificate is refused')
    c = s.enrol('re-c')
    s.revoke(c, 'certificateHold')
    rejected(renew(s, c, 're-11')[1], 'FORBIDDEN', 'on hold', 'one on hold is')
    rejected(hop(s, der(s.holder('re-12')), cert=cert_der(c.cert)), 'FORBIDDEN', 'on hold', 'for a first enrolment, too')


def renewal_csr(s, holder):
    path = s.file(holder.name + '-next.csr')
    openssl('req', '-new', '-key', holder.key, '-out', path, '-subj', '/CN=re-a', '-addext', 'subjectAltName=DNS:re-a.example.net')
    return path


def forge(s):
    """A certificate for re-a by a CA with our CA's name and another key."""
    subject = openssl('x509', '-in', s.issuer, '-noout', '-subject', '-nameopt', 'compat').out.strip().partition('=')[2]
    ca, leaf = s.holder('namesake', subject=subject.strip()), s.holder('forged', subject='/CN=re-a', san='DNS:re-a.example.net')
    openssl('req', '-x509', '-key', ca.key, '-out', s.file('namesake.pem'), '-subj', subject.strip(), '-utf8', '-days', '2')
    leaf.cert = s.file('forged.pem')
    openssl('x509', '-req', '-in', leaf.csr, '-CA', s.file('namesake.pem'), '-CAkey', ca.key, '-out', leaf.cert, '-days', '1',
            '-set_serial', '7', '-copy_extensions', 'copy')
    return leaf


# ---- revocation --------------------------------------------------------------------------------------------------


def crl_within(s, check, seconds=1.0):
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if check():
            return True
        time.sleep(0.02)
    return check()


def revocation(s):
    a, b = s.enrol('rev-a'), s.enrol('rev-b')
    is_(s.ocsp(a), 'good', 'a fresh certificate is good')
    answer = s.revoke(a, 'keyCompromise')
    is_(answer.status, 200, 'it is revoked')
    found = {s.ocsp(a) for _ in range(12)}
    is_(found, {'revoked'}, 'every worker says so from then on')
    ok(crl_within(s, lambda: s.listed(a)), 'and the CRL within a second')
    like(s.ocsp_text(a), r'keyCompromise', 'with the reason')
    is_(s.revoke(a, 'keyCompromise').status, 409, 'twice is a conflict')

    number = lambda: int(re.search(r'X509v3 CRL Number: \n\s+(\S+)', s.crl()).group(1), 0)  # noqa: E731
    before = number()
    is_(s.revoke(b, 'certificateHold').status, 200, 'another is put on hold')
    like(s.ocsp_text(b), r'certificateHold', 'OCSP says hold')
    held_at = re.search(r'Revocation Time: (.*)', s.ocsp_text(b)).group(1)
    ok(crl_within(s, lambda: s.listed(b)), 'the CRL lists it')
    ok(number() > before, 'with a higher number')
    managed = s.api('GET', V1 + '/certificates?serial=' + b.serial).json['data'][0]['id']
    is_(s.api('POST', V1 + '/certificates/%s/release' % managed, {}).status, 200, 'it is released')
    is_(s.ocsp(b), 'good', 'and good again')
    ok(crl_within(s, lambda: not s.listed(b)), 'and off the CRL')
    s.revoke(b, 'certificateHold')
    held_at = re.search(r'Revocation Time: (.*)', s.ocsp_text(b)).group(1)
    time.sleep(1.1)
    is_(s.revoke(b, 'superseded').status, 200, 'a hold becomes a revocation')
    text = s.ocsp_text(b)
    like(text, 'superseded', 'with its own reason')
    is_(re.search(r'Revocation Time: (.*)', text).group(1), held_at, 'since the time of the hold')
    is_(s.api('POST', V1 + '/certificates/%s/release' % managed, {}).status, 409, 'which cannot be released')

    rejected(hop(s, der(a)), 'FORBIDDEN', 'revoked', 'a retry does not hand out the revoked certificate')


def many_revocations(s):
    held = [s.enrol('burst-%d' % n) for n in range(6)]
    built = s.log().count('crl.published')
    threads = [threading.Thread(target=lambda each=each: s.revoke(each)) for each in held]
    [each.start() for each in threads]
    [each.join() for each in threads]
    ok(crl_within(s, lambda: all(s.listed(each) for each in held)), 'six at once are on the CRL within a second')
    ok(s.log().count('crl.published') - built <= 4, 'of which there are fewer')


# ---- the feeder --------------------------------------------------------------------------------------------------


def feed(s):
    a = s.enrol('elsewhere')
    s.psql("WITH v AS (SELECT issuer_no, serial, not_after FROM certificate_version WHERE serial = '\\x%s'::bytea), "
           "r AS (INSERT INTO revocation (issuer_no, serial, state, reason, revoked_at, not_after, revision) "
           "SELECT issuer_no, serial, 'revoked', 1, now(), not_after, 1 FROM v) "
           "INSERT INTO change_feed (kind, issuer_no, serial) SELECT 'status', issuer_no, serial FROM v" % serial_hex(a))
    ok(wait_for('the feed', lambda: s.ocsp(a) == 'revoked', 3), 'what another orchestrator revokes comes by the feed')
    ok(crl_within(s, lambda: s.listed(a), 2), 'and makes a CRL here')

    # A transaction that is older and commits later must not be skipped.
    b, c = s.enrol('slow'), s.enrol('quick')
    insert = ("INSERT INTO revocation (issuer_no, serial, state, reason, revoked_at, not_after, revision) SELECT issuer_no, "
              "serial, 'revoked', 1, now(), not_after, 1 FROM certificate_version WHERE serial = '\\x%s'::bytea; "
              "INSERT INTO change_feed (kind, issuer_no, serial) SELECT 'status', issuer_no, serial FROM "
              "certificate_version WHERE serial = '\\x%s'::bytea;")
    slow = threading.Thread(target=lambda: s.psql('BEGIN; ' + insert % ((serial_hex(b),) * 2) + 'SELECT pg_sleep(1.5); COMMIT;'))
    slow.start()
    time.sleep(0.5)
    s.psql('BEGIN; ' + insert % ((serial_hex(c),) * 2) + 'COMMIT;')
    slow.join()
    ok(wait_for('both', lambda: (s.ocsp(b), s.ocsp(c)) == ('revoked', 'revoked'), 4), 'changes that commit out of order all arrive')


def serial_hex(holder):
    text = holder.serial.lower()
    return text if int(text[0], 16) < 8 else '00' + text


def answers(s, holders):
    return [s.ocsp(each) for each in holders]


def rebuild(s, held):
    before = answers(s, held)
    ok('good' in before and 'revoked' in before, 'before a rebuild there are good and revoked ones', before)
    s.stop()
    shutil.rmtree(s.path('edge/store'))
    s.start()
    is_(answers(s, held), before, 'a deleted store is rebuilt with the same answers')
    like(s.log(), r'edge\.rebuilt.*"missing"', 'and that is logged')

    s.stop()
    with open(s.path('edge/store/mark'), 'w') as file:
        file.write('0' * 32)
    s.start()
    is_(answers(s, held), before, 'and one that another boot left open')
    is_(s.log().count('edge.rebuilt'), 3, 'the first start made one, too')

    s.stop()
    s.start()
    is_(answers(s, held), before, 'a clean one is used as it is')
    is_(s.log().count('edge.rebuilt'), 3, 'without a rebuild')

    s.stop()
    with open(s.path('edge/store/data.mdb'), 'r+b') as file:
        file.write(os.urandom(8192))
    s.start()
    is_(answers(s, held), before, 'one that is damaged is rebuilt')


def responders(s, held):
    one = s.api('GET', V1 + '/issuers/' + s.issuer_id).status
    is_(one, 200, 'the issuer is there')
    keys = glob.glob(s.path('edge/responder/*.key'))
    is_(len(keys), 1, 'one responder key')
    is_(oct(os.stat(keys[0]).st_mode & 0o777), '0o640', 'for the workers\' group')
    os.unlink(keys[0])
    is_(s.api('POST', V1 + '/est/labels', {'name': 'poke', 'issuer_id': s.issuer_id, 'profile_id': 'prof-device'}).status, 201,
        'the next configuration change')
    keys = glob.glob(s.path('edge/responder/*.key'))
    is_(len(keys), 1, 'makes a new one for a key that is lost')
    is_(s.ocsp(held[0]), 'good', 'which answers')
    pem = re.search(r'-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----', s.ocsp_text(held[0]), re.S).group(0)
    text = openssl('x509', '-noout', '-text', input=pem).out
    for pattern, name in ((r'OCSP Signing\n', 'OCSPSigning'), (r'OCSP No Check', 'nocheck'),
                          (r'Key Usage: critical\n\s+Digital Signature\n', 'digitalSignature')):
        like(text, pattern, 'its certificate has ' + name)
    is_(s.psql('SELECT count(*) FROM ocsp_responder'), '2', 'both generations are recorded')


# ---- orphans -----------------------------------------------------------------------------------------------------


def hold_table(s, seconds):
    """Keep certificate_version from being written; what is signed meanwhile cannot be recorded."""
    process = subprocess.Popen(['psql', '-X', '-q', '-h', s.path('run/pg'), '-U', 'chancery', '-d', 'chancery'],
                               stdin=subprocess.PIPE, text=True)
    process.stdin.write('BEGIN; LOCK TABLE certificate_version IN SHARE MODE; SELECT 1; SELECT pg_sleep(%g); ROLLBACK;\n' % seconds)
    process.stdin.close()
    wait_for('the lock', lambda: s.psql("SELECT count(*) FROM pg_locks WHERE mode = 'ShareLock' AND granted AND relation = "
                                        "'certificate_version'::regclass") != '0', 5)
    return process


def orphan_count(s):
    return int(s.psql("SELECT count(*) FROM certificate_version v JOIN revocation r USING (issuer_no, serial) "
                      "WHERE v.orphan AND r.state = 'revoked' AND r.reason = 5"))


def orphans(s):
    before = orphan_count(s)
    lock = hold_table(s, 4)
    started = time.monotonic()
    holder = s.holder('orphan')
    answer = s.est(holder.csr)
    took = time.monotonic() - started
    is_(answer.status, 503, 'an enrolment that cannot be recorded is 503')
    ok(answer.headers.get('Retry-After'), 'with Retry-After', answer.headers)
    ok(took < 3, 'soon', took)
    lock.wait()
    holder.cert = s.keep(wait_for('a retry', lambda: retry(s, holder), 10), 'orphan')
    is_(s.ocsp(holder), 'good', 'the retry is issued')
    ok(wait_for('the orphan', lambda: orphan_count(s) == before + 1, 25), 'what was signed before is recorded and revoked')
    text = s.psql("SELECT encode(serial, 'hex') FROM certificate_version WHERE orphan ORDER BY issued_at DESC LIMIT 1")
    check = openssl('ocsp', '-issuer', s.issuer, '-serial', '0x' + text, '-CAfile', s.bundle, '-no_nonce', '-url',
                    '%s/ocsp/%s' % (s.http_url, s.issuer_id), check=False).out
    like(check, 'revoked', 'OCSP says so')
    ok(crl_within(s, lambda: ('Serial Number: ' + text.upper()) in s.crl(), 2), 'and the CRL')
    is_(s.psql("SELECT count(*) FROM audit_event WHERE action = 'certificate.orphan' AND resource_id = '%s'" % text), '1',
        'it is audited')
    like(s.log(), r'issue\.orphan', 'and logged')

    # The same with a death in between: the next process finds it in the journal.
    lock = hold_table(s, 4)
    thread = threading.Thread(target=lambda: quiet(lambda: s.est(s.holder('orphan-2').csr)))
    thread.start()
    time.sleep(0.7)
    old = s.kill('orchestrator')
    thread.join()
    lock.wait()
    ok(s.wait_again('orchestrator', old) and s.wait_ready(), 'the orchestrator is killed and comes back')
    ok(wait_for('the second orphan', lambda: orphan_count(s) == before + 2, 25), 'and records what it had signed')
    is_(s.psql("SELECT count(*) - count(DISTINCT (issuer_no, serial)) FROM certificate_version"), '0', 'no serial is there twice')


def quiet(call):
    try:
        return call()
    except (OSError, http.client.HTTPException):
        return None


def retry(s, holder):
    answer = s.est(holder.csr)
    return answer if answer.status == 200 else None


def database_down(s, held):
    pid = s.kill('postgres', signal.SIGSTOP)
    workers = [int(each) for each in subprocess.run(['ps', '-o', 'pid=', '--ppid', str(pid)], capture_output=True, text=True).stdout.split()]
    [os.kill(each, signal.SIGSTOP) for each in workers]
    try:
        started = time.monotonic()
        answer = s.est(s.holder('down').csr)
        took = time.monotonic() - started
        is_((answer.status, bool(answer.headers.get('Retry-After'))), (503, True), 'while PostgreSQL hangs: 503 with Retry-After')
        ok(took < 2.5, 'within two seconds (and what the client itself takes)', took)
        is_(s.ocsp(held[0]), 'good', 'OCSP carries on')
        ok(s.crl(), 'and the CRL')
    finally:
        [quiet(lambda each=each: os.kill(each, signal.SIGCONT)) for each in workers + [pid]]
    ok(wait_for('recovery', lambda: retry(s, s.holder('down-2')), 15), 'and when it is back, enrolments work')


with Stack() as s:
    kept = [s.enrol('kept-good'), s.enrol('kept-revoked'), s.enrol('kept-hold', kind='rsa')]
    s.revoke(kept[1])
    s.revoke(kept[2], 'certificateHold')
    idempotency(s)
    frames(s)
    identities(s)
    policy(s)
    reenrolment(s)
    revocation(s)
    many_revocations(s)
    feed(s)
    orphans(s)
    responders(s, kept)
    database_down(s, kept)
    rebuild(s, kept)
done()
