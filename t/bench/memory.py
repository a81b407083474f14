#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
Memory with 100,000 and with 1,000,000 certificates: the rows are written to PostgreSQL, the edge store is rebuilt from
them, and OCSP is asked for many of them.  What one certificate more costs in the store, which all workers share; what
nginx workers have to themselves; the orchestrator.  And the store when certificates come in one after the other, in no
order: its pages are less full then.
"""

import hashlib
import http.client
import os
import random
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from bench import done, line, pick, resident_kb, resident_private_kb  # noqa: E402
from chancery import Stack, openssl                           # noqa: E402
from edge import Edge                                         # noqa: E402

# Serials that serial_of() knows too: 16 octets, MD5 of their number with the first octet below 0x80 and not zero.
SEED = """
INSERT INTO certificate_version (issuer_no, serial, managed_no, orphan, der, spki_sha256, fingerprint, not_before,
                                 not_after)
SELECT i.no, set_byte(s.md5, 0, get_byte(s.md5, 0) %% 127 + 1), NULL, false, decode(repeat('5a', 600), 'hex'),
       s.md5 || s.md5, s.md5 || s.md5, now(), now() + interval '90 days'
  FROM issuer i, LATERAL (SELECT decode(md5(n::text), 'hex') AS md5 FROM generate_series(%d, %d) n) AS s
 WHERE i.id = 'iss-local';
"""

ASKED = 20000


def serial_of(number):
    octets = bytearray(hashlib.md5(b'%d' % number).digest())
    octets[0] = octets[0] % 127 + 1
    return bytes(octets)


def ask(stack, count):
    """OCSP for a sample of them, spread over the whole store; all must be good."""
    template = openssl('ocsp', '-issuer', stack.issuer, '-serial', '0x' + '11' * 16, '-no_nonce', '-reqout',
                       '/dev/stdout').raw
    connection = http.client.HTTPConnection('localhost', stack.http_port, timeout=30)
    for i in range(ASKED):
        serial = serial_of(1 + random.randrange(count))
        connection.request('POST', '/ocsp/' + stack.issuer_id, template.replace(b'\x11' * 16, serial),
                           {'Content-Type': 'application/ocsp-request'})
        answer = connection.getresponse().read()
        if len(answer) < 100:
            raise RuntimeError('serial %s was answered %s' % (serial.hex(), answer.hex()))


COUNTS = pick((100000, 1000000), (10000, 50000))
MOST = 100  # octets of the store for each certificate


def store_octets(folder):
    """What the file has on disk, which is what can be resident."""
    return os.stat(os.path.join(folder, 'store/data.mdb')).st_blocks * 512


def copied_octets(pid):
    """Of the store's pages, what this process has as a copy of its own."""
    with open('/proc/%d/smaps' % pid) as file:
        text = file.read()
    mapped = [each for each in re.split(r'^(?=[0-9a-f]+-[0-9a-f]+ )', text, flags=re.M) if 'store/data.mdb' in each.split('\n')[0]]
    if not mapped:
        raise RuntimeError('worker %d has no store' % pid)
    return 1024 * sum(int(each) for one in mapped for each in re.findall(r'^Anonymous:\s+(\d+)', one, re.M))


def whole():
    sizes, copied = [], 0
    with Stack(workers=2) as stack:
        there = 0
        for count in COUNTS:
            stack.psql(SEED % (there + 1, count))
            there = count
            stack.stop()
            shutil.rmtree(stack.path('edge/store'))
            stack.start()
            stack.wait_ready()
            orchestrator, workers = stack.pids('orchestrator')[0], stack.pids('worker')
            ask(stack, count)
            sizes.append(store_octets(stack.path('edge')))
            line('two workers, %d certificates' % count, '%.1f MB resident' % (sum(resident_kb(pid) for pid in workers) / 1024),
                 None, 'with the store and the answers kept; %.1f MB private' % (
                     sum(resident_private_kb(pid) for pid in workers) / 1024))
            line('orchestrator, %d certificates' % count, '%.1f MB' % (resident_kb(orchestrator) / 1024), None,
                 '%.1f MB private, store %.1f MB' % (resident_private_kb(orchestrator) / 1024, sizes[-1] / 2 ** 20))
            copied = sum(copied_octets(pid) for pid in workers)
    more = COUNTS[1] - COUNTS[0]
    line('octets of the store that two workers have twice', copied, most=0)
    line('octets of the store for a certificate, rebuilt', (sizes[1] - sizes[0]) / more, most=MOST)


def scattered():
    edge = Edge(workers=1)
    edge.fill_all()
    before = store_octets(edge.store)
    edge.fill('scattered=%d' % COUNTS[1])
    line('octets of the store for a certificate, as they come in', (store_octets(edge.store) - before) / COUNTS[1], most=MOST)
    edge.remove()


whole()
scattered()
done()
