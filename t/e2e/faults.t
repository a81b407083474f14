#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
Under a load of enrolments, revocations, OCSP and CRL downloads every process is killed, again and again, at random
moments (SEED= repeats a run; ROUNDS= makes it longer).  Then everything that anybody was told has to be true.
"""

import hashlib
import os
import random
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import BUILD, SLOW, Stack, diag, done, is_, ok, program, wait_for  # noqa: E402
from load import (GOOD, REVOKED, Book, Client, Crowd, Device, Issuer, ListReader, Operator,  # noqa: E402
                  RelyingParty, pkcs7_first, requests_make, state_of)
from cryptography import x509  # noqa: E402

ROLES = ('orchestrator', 'signer', 'postgres', 'worker', 'master')
ROUNDS = int(os.environ.get('ROUNDS', '3'))
DEVICES, PARTIES = 6, 3
MORE_DEVICES = 24  # while PostgreSQL is away: more than the orchestrator has threads
LIMIT_S = 2.0 * SLOW
OUTAGE_S = 4.0


# ---- what breaks -----------------------------------------------------------------------------------------------


def kill_rounds(s, crowd, chance):
    """All roles in turn, each round in another order, at random moments; how often each was killed."""
    kills = dict.fromkeys(ROLES, 0)
    for number in range(1, ROUNDS + 1):
        for role in chance.sample(ROLES, len(ROLES)):
            time.sleep(chance.uniform(0.1, 1.2))
            if wait_for('a %s to kill' % role, lambda: s.kill(role), 30):
                kills[role] += 1
        ok(s.wait_ready(60), 'round %d: ready after each process was killed' % number)
        goes_on(crowd, 'round %d: enrolments go on' % number)
    is_(min(kills.values()), ROUNDS, 'every kind of process was killed in every round')
    return kills


def goes_on(crowd, name):
    before = crowd.total(Device, 'done')
    ok(wait_for(name, lambda: crowd.total(Device, 'done') >= before + 2 * len(crowd.of(Device)), 30), name)


class Probe:
    """What callers see while PostgreSQL is away: an answer of that kind, and in time."""

    def __init__(self, s, name, *words):
        self.client, self.name, self.words = Client(s, tls=True), name, words
        self.wrong, self.slowest, self.count = [], 0.0, 0

    def run(self, good):
        started = time.monotonic()
        answer = self.client.ask(*self.words)
        took = time.monotonic() - started
        self.count += 1
        self.slowest = max(self.slowest, took)
        if not good(answer) or took > LIMIT_S:
            self.wrong.append('%.2f s: %r %s' % (took, answer, dict(answer.headers)))

    def told(self, where, what):
        ok(self.count >= 2 and not self.wrong, '%s: %s (%d times)' % (where, what, self.count), '\n'.join(self.wrong[:3]))
        diag('%s, %s: %.2f s at most' % (where, self.name, self.slowest))


def is_unavailable(answer):
    return answer.status == 503 and answer.headers.get('Retry-After', '').isdigit()


def is_json_unavailable(answer):
    return is_unavailable(answer) and 'json' in answer.headers.get('Content-Type', '') and bool(answer.json)


def outage(s, where, request):
    enrolment = Probe(s, 'enrolment', 'POST', '/.well-known/est/simpleenroll', request,
                      {'Content-Type': 'application/pkcs10', **s.basic()})
    key = {'Authorization': 'Bearer ' + s.env['CHANCERY_API_KEY'], 'Content-Type': 'application/json'}
    reading = Probe(s, 'reading by the API', 'GET', '/api/v1/certificates?limit=1', None, key)
    writing = Probe(s, 'writing by the API', 'POST', '/api/v1/certificates/mc-none/revoke', '{"reason": "superseded"}', key)
    cacerts = Probe(s, 'cacerts', 'GET', '/.well-known/est/cacerts')
    limit, signed = time.monotonic() + OUTAGE_S, None
    while time.monotonic() < limit or enrolment.count < 3:
        enrolment.run(is_unavailable)
        if enrolment.count == 2:
            signed = journal(s)
        reading.run(is_json_unavailable)
        writing.run(is_json_unavailable)
        cacerts.run(lambda answer: answer.status == 200 and len(answer.body) > 100)
    enrolment.told(where, 'an enrolment is answered 503 with Retry-After within 2 seconds')
    reading.told(where, 'the API answers 503 in JSON within 2 seconds')
    writing.told(where, 'also a revocation')
    cacerts.told(where, 'cacerts is answered')
    is_(journal(s) - signed, set(), where + ': nothing is signed')


def outages(s, crowd, book, numbered, requests):
    more = Crowd([Device(s, book, numbered, n) for n in range(MORE_DEVICES)])
    goes_on(more, 'many more devices enrol')
    s.hold('postgres')
    outage(s, 'PostgreSQL is dead', requests[0])
    s.free('postgres')
    ok(s.wait_ready(60), 'ready when PostgreSQL is back')
    goes_on(crowd, 'and enrolments go on')

    frozen = s.freeze('postgres')
    try:
        outage(s, 'PostgreSQL hangs', requests[1])
    finally:
        s.thaw(frozen)
    ok(s.wait_ready(60), 'ready when it goes on')
    goes_on(crowd, 'and enrolments go on')
    more.stop()
    faults = more.faults()
    ok(not faults, 'all of them got certificates in the end, or 503', '\n'.join(faults[:10]))
    diag('%d enrolments, %d times 503 (%.2f s at most)' % (
        more.total(Device, 'done'), more.total(Device, 'refused'), max(each.slowest_refusal for each in more.members)))


def orphan(s, book, request):
    """Between signature and row: PostgreSQL does not take the row, then the orchestrator dies."""
    before = journal(s)
    locked = subprocess.Popen(['psql', '-X', '-q', '-A', '-t', '-h', s.path('run/pg'), '-U', 'chancery', '-d', 'chancery'],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    locked.stdin.write("BEGIN; LOCK TABLE certificate_version IN EXCLUSIVE MODE; SELECT 'locked';\n")
    locked.stdin.flush()
    is_(locked.stdout.readline().strip(), 'locked', 'the table of certificates takes no rows')
    client, issuer = Client(s, tls=True), Issuer(s.issuer)
    headers = {'Content-Type': 'application/pkcs10', **s.basic()}
    answer = client.ask('POST', '/.well-known/est/simpleenroll', request, headers)
    ok(is_unavailable(answer), 'an enrolment that was signed but cannot be recorded is 503', answer)
    lost = serials(journal(s) - before)
    is_(len(lost), 1, 'it is in the journal')
    time.sleep(1.1)  # what the new orchestrator finds is then older than itself, and judged at once
    old = s.kill('orchestrator')
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'certificate_version'::regclass"
    ok(wait_for('the end of the waiting statement', lambda: s.psql(waiting) == '0', 30), 'its statement is given up')
    locked.communicate('ROLLBACK;\n', timeout=30)
    ok(s.wait_again('orchestrator', old) and s.wait_ready(60), 'the orchestrator is back')

    (_, serial), = lost or {(0, '0')}
    row = "SELECT orphan FROM certificate_version WHERE encode(serial, 'hex') = '%s'" % serial
    ok(wait_for('the orphan', lambda: s.psql(row) == 't', 60), 'what was signed and not recorded becomes an orphan')
    said = wait_for('its status', lambda: ask(s, Client(s), issuer, int(serial, 16)) == REVOKED, 30)
    ok(said, 'which is revoked')
    again = client.ask('POST', '/.well-known/est/simpleenroll', request, headers)
    is_(again.status, 200, 'the same request gets a certificate')
    fresh = book.issued('orphan', pkcs7_first(again.body))
    ok(fresh != int(serial, 16) and ask(s, Client(s), issuer, fresh) == GOOD, 'another one, which is good')


# ---- what has to be true afterwards ----------------------------------------------------------------------------


def ask(s, client, issuer, serial):
    answer = client.ask('POST', '/ocsp/' + s.issuer_id, issuer.request(serial), {'Content-Type': 'application/ocsp-request'})
    return state_of(issuer.read(answer.body, serial)) if answer.status == 200 else answer.status


def journal(s, what='list'):
    text = program([os.path.join(BUILD, 'chanceryd'), 'signer-journal', what, '-c', s.path('conf/chanceryd.yaml')],
                   check=what == 'list')
    if what != 'list':
        return text
    rows = [line.split() for line in text.out.splitlines() if line.startswith('certificate ')]
    diag('%d certificates in the journal, %d of them asked for again when the signer had died' % (
        len(rows), len(rows) - len({row[3] for row in rows})))
    return {((int(row[2]), row[3]), row[4]) for row in rows}


def serials(entries):
    return {pair for pair, _ in entries}


def recorded(s):
    """{(issuer, serial): (orphan, fingerprint)}; the certificates of CAs have a table of their own."""
    rows = s.psql("SELECT issuer_no, encode(serial, 'hex'), orphan, coalesce(encode(fingerprint, 'hex'), '') "
                  "FROM certificate_version UNION ALL "
                  "SELECT issuer_no, encode(serial, 'hex'), false, '' FROM ca_certificate")
    return {(int(no), serial): (orphan_ == 't', print_) for no, serial, orphan_, print_ in
            (row.split('|') for row in rows.splitlines())}


def hex_of(serial):
    return '%0*x' % (2 * (serial.bit_length() // 8 + 1), serial)


def check_handed_out(s, book, rows, entries):
    hashes = {(serial, digest) for (_, serial), digest in entries}
    strange = [hex_of(serial) for serial, der in book.der.items() if (hex_of(serial), hashlib.sha256(
        x509.load_der_x509_certificate(der).tbs_certificate_bytes).hexdigest()) not in hashes]
    ok(not strange, 'every certificate that a client received is, octet for octet, in the journal', strange[:5])
    ours = {serial: found for (_, serial), found in rows.items()}
    missing = [hex_of(serial) for serial, der in book.der.items()
               if ours.get(hex_of(serial)) != (False, hashlib.sha256(der).hexdigest())]
    ok(not missing, 'every certificate that a client received is in the database, and no orphan', missing[:5])
    several = {number: len(each) for number, each in book.requests.items() if len(each) != 1}
    ok(not several, 'one request got one certificate, however often it was sent', several)
    is_(len(book.der), len({der for each in book.requests.values() for der in each}), 'no serial was given twice')
    client, issuer = Client(s), Issuer(s.issuer)
    wrong = [(hex_of(serial), state) for serial, state in book.state.items() if ask(s, client, issuer, serial) != state]
    ok(not wrong, 'OCSP says of each what is known of it', wrong[:5])


def check_journal(s):
    clean = journal(s, 'verify')
    ok(clean.status == 0 and 'verified' in clean.out, "the signer's journal verifies", clean)
    entries = journal(s)
    signed = serials(entries)
    is_(len(entries), len(signed), 'no serial was signed for two different certificates')
    wait_for('the journal to be in the records', lambda: not signed - set(recorded(s)), 60)
    rows = recorded(s)
    ok(len(signed) > 10 and not signed - set(rows), 'nothing that was signed is missing from the records',
       sorted(signed - set(rows))[:5])
    ok(not set(rows) - signed, 'and nothing is recorded that was not signed', sorted(set(rows) - signed)[:5])
    return rows, entries


def crl_serials(s):
    answer = s.http('GET', '/crl/%s.crl' % s.issuer_id)
    return {each.serial_number for each in x509.load_der_x509_crl(answer.body)} if answer.status == 200 else set()


def check_revoked(s, book, rows):
    orphans = {int(serial, 16) for (_, serial), (is_orphan, _) in rows.items() if is_orphan}
    client, issuer = Client(s), Issuer(s.issuer)
    wrong = [hex_of(serial) for serial in orphans if ask(s, client, issuer, serial) != REVOKED]
    ok(orphans and not wrong, 'orphans are revoked and published', wrong[:5])
    told = set(book.of(REVOKED))
    ok(told, 'certificates were revoked meanwhile')
    listed = wait_for('the CRL', lambda: told | orphans <= crl_serials(s), 30)
    ok(listed, 'the CRL lists every revocation that was acknowledged, and the orphans',
       sorted(map(hex_of, (told | orphans) - crl_serials(s)))[:5])
    diag('%d orphans' % len(orphans))


def check_crowd(s, crowd, kills):
    for kind, name in ((RelyingParty, 'OCSP answered all the time, and rightly'), (ListReader, 'so did the CRL'),
                       (Device, 'devices were issued certificates or told to come again'),
                       (Operator, 'what the API acknowledged was true at once')):
        faults = crowd.faults(kind)
        ok(not faults and crowd.total(kind, 'answers' if kind is not Device else 'done') > 10, name,
           '%d faults\n%s' % (len(faults), '\n'.join(faults[:10])))
    died = re.findall(r'exited on signal (\d+)', s.log('nginx'))
    ok(set(died) <= {'9'} and len(died) <= kills['worker'], 'no worker died but those that were killed', (died, kills))
    cut = [each.broken for each in crowd.of(RelyingParty) + crowd.of(ListReader)]
    ok(max(cut) <= kills['worker'], "connections broke only by the death of their worker",
       [cut, kills] + [each.breaks for each in crowd.of(RelyingParty) + crowd.of(ListReader)])
    diag('%d OCSP answers (%.2f s at most) and %d CRLs; %d connections were cut by a worker that was killed' % (
        crowd.total(RelyingParty, 'answers'), max(each.slowest for each in crowd.of(RelyingParty)),
        crowd.total(ListReader, 'answers'), sum(cut)))
    diag('%d enrolments, %d times 503 (%.2f s at most), %d broken connections' % (
        crowd.total(Device, 'done'), crowd.total(Device, 'refused'), max(each.slowest_refusal for each in crowd.of(Device)),
        crowd.total(Device, 'broken')))
    diag('%d revocations, %d of them known from a repeated call; %d times 503' % (
        crowd.total(Operator, 'answers'), crowd.total(Operator, 'repeated'), crowd.total(Operator, 'refused')))


def main():
    seed = int(os.environ.get('SEED') or random.SystemRandom().randrange(1 << 32))
    diag('SEED=%d' % seed)
    chance, book = random.Random(seed), Book()
    random.seed(seed)
    requests = requests_make(24000 // SLOW, 'fault')
    numbered = list(enumerate(requests[3:]))
    with Stack(workers=2) as s:
        crowd = Crowd([Device(s, book, numbered, seed + n) for n in range(DEVICES)]
                      + [RelyingParty(s, book, seed + n) for n in range(PARTIES)]
                      + [ListReader(s, book, seed), Operator(s, book, seed)])
        goes_on(crowd, 'devices enrol')
        kills = kill_rounds(s, crowd, chance)
        outages(s, crowd, book, numbered, requests)
        crowd.stop(Operator)
        crowd.stop(Device)
        orphan(s, book, requests[2])
        crowd.stop()
        check_crowd(s, crowd, kills)

        old = s.kill('master')
        ok(s.wait_again('master', old) and s.wait_ready(60), 'ready after one more death')
        rows, entries = check_journal(s)
        check_handed_out(s, book, rows, entries)
        check_revoked(s, book, rows)
    done()


main()
