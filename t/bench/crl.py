#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
A CRL of 1,000,000 entries: our writer against `openssl ca -gencrl` over the same entries, then the orchestrator's whole
way with the rows in PostgreSQL: one more revocation by the API until nginx serves a list that has it, and its memory.
"""

import hashlib
import os
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from bench import done, line, pick, resident_kb, tool  # noqa: E402
from chancery import Stack, openssl, program, wait_for  # noqa: E402
from edge import Pki                                    # noqa: E402
from seed import feed, seed, seed_revoked               # noqa: E402

ENTRIES = pick(1000000, 20000)
ROUNDS = pick(2, 1)
MORE = pick(5, 2)  # revocations one after the other


def theirs(folder):
    """Seconds that openssl ca takes, and the size of its list."""
    pki = Pki(folder)
    with open(pki.path('index.txt'), 'w') as file:
        subprocess.run([tool('serials'), str(ENTRIES), 'revoked'], stdout=file, check=True)

    def once():
        start = time.monotonic()
        program(['openssl', 'ca', '-config', pki.path('crl.cnf'), '-gencrl', '-cert', pki.path('ca.pem'), '-keyfile',
                 pki.path('ca.key'), '-out', pki.path('crl.pem')], timeout=1200)
        return time.monotonic() - start
    return once


def ours(entries=ENTRIES):
    out = program([tool('crl_build'), str(entries)], timeout=600).out
    value = {name: float(re.search(r'\b%s ([\d.]+)' % name, out).group(1))
             for name in ('octets', 'encode_s', 'hash_s', 'emit_s', 'peak_kb')}
    value['seconds'] = value['encode_s'] + value['hash_s'] + value['emit_s']
    return value


def writer(stack):
    openssl_ca = theirs(stack.file('theirs'))
    taken = [(ours(), openssl_ca()) for _ in range(ROUNDS)]
    line('CRL of %d entries: openssl ca -gencrl / our writer, time' % ENTRIES,
         statistics.median(b / a['seconds'] for a, b in taken), 20, '%.2f s and %.3f s' % (
             statistics.median(b for _, b in taken), statistics.median(a['seconds'] for a, _ in taken)))
    one, none = taken[0][0], ours(1)
    line('our writer: peak memory for it / size of the list', (one['peak_kb'] - none['peak_kb']) * 1024 / one['octets'], most=1.5,
         details='process %.1f MB, with an empty list %.1f MB, list %.1f MB' % (
             one['peak_kb'] / 1024, none['peak_kb'] / 1024, one['octets'] / 2 ** 20))


# ---- the whole way ---------------------------------------------------------------------------------------------


def peak_kb(pid):
    with open('/proc/%d/status' % pid) as file:
        return int(re.search(r'VmHWM:\s+(\d+)', file.read()).group(1))


def etag(stack):
    return stack.http('HEAD', '/crl/%s.crl' % stack.issuer_id).headers['ETag']


def serial_of(number):
    return b'\x40' + hashlib.sha256(b'%d' % number).digest()[1:16]


def published(stack, number):
    """Seconds from the start of the revoke call to the list being served, and the list."""
    before, start = etag(stack), time.monotonic()
    answer = stack.api('POST', '/api/v1/certificates/mc-bench-%d/revoke' % number, {'reason': 'superseded'})
    if answer.status != 200:
        raise RuntimeError('%r' % answer)
    while True:
        if not wait_for('a new list', lambda: etag(stack) != before, 60):
            raise RuntimeError(stack.log()[-2000:])
        took = time.monotonic() - start
        before = etag(stack)
        body = stack.http('GET', '/crl/%s.crl' % stack.issuer_id, timeout=60).body
        if serial_of(number) in body:
            return took, body


def duration_ms(stack):
    return float(stack.psql("SELECT duration_ms FROM crl WHERE error IS NULL AND scope = 'full' ORDER BY number DESC LIMIT 1"))


def whole(stack):
    base = resident_kb(stack.pids('orchestrator')[0])
    seed_revoked(stack, ENTRIES)
    seed(stack, MORE + 1, first=ENTRIES)
    feed(stack, MORE + 1, first=ENTRIES)
    published(stack, ENTRIES)  # the first with all the entries: caches are cold
    taken = []
    for i in range(MORE):
        seconds, body = published(stack, ENTRIES + 1 + i)
        taken.append((seconds, duration_ms(stack) / 1000))
    line('one more revocation, API call to published, seconds', max(seconds for seconds, _ in taken), most=2, details=(
        'the slowest of %d; median %.2f s, of which the making %.2f s' % (
            MORE, statistics.median(a for a, _ in taken), statistics.median(b for _, b in taken))))
    orchestrator = stack.pids('orchestrator')[0]
    line('orchestrator: peak memory for it / size of the list', (peak_kb(orchestrator) - base) * 1024 / len(body), most=1.5,
         details='%.1f MB before, %.1f MB at most, list %.1f MB' % (base / 1024, peak_kb(orchestrator) / 1024,
                                                                   len(body) / 2 ** 20))
    verified = openssl('crl', '-inform', 'DER', '-noout', '-CAfile', stack.bundle, input=body)
    if 'verify OK' not in verified.err:
        raise RuntimeError('openssl does not accept the list: %r' % verified)


def main():
    with Stack(workers=1) as stack:
        writer(stack)
        whole(stack)
    done()


main()
