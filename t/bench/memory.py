#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
Resident memory of an nginx worker and of the orchestrator with 100,000 and with 1,000,000 certificates: the rows are
written to PostgreSQL, the edge store is rebuilt from them, and OCSP is asked for many of them.
"""

import hashlib
import http.client
import os
import random
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from bench import done, line, resident_kb, resident_private_kb  # noqa: E402
from chancery import Stack, openssl                           # noqa: E402

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


def main():
    with Stack(workers=1) as stack:
        there = 0
        for count in (100000, 1000000):
            stack.psql(SEED % (there + 1, count))
            there = count
            stack.stop()
            shutil.rmtree(stack.path('edge/store'))
            stack.start()
            stack.wait_ready()
            orchestrator, worker = stack.pids('orchestrator')[0], stack.pids('worker')[0]
            ask(stack, count)
            line('worker, %d certificates' % count, '%.1f MB' % (resident_kb(worker) / 1024), None,
                 '%.1f MB private' % (resident_private_kb(worker) / 1024))
            line('orchestrator, %d certificates' % count, '%.1f MB' % (resident_kb(orchestrator) / 1024), None,
                 '%.1f MB private, store %.1f MB' % (resident_private_kb(orchestrator) / 1024,
                                                     os.path.getsize(stack.path('edge/store/data.mdb')) / 2 ** 20))
    done()


main()
