# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
Certificates by the hundred thousand in a real stack's database, with the serials that edge_fill's count=N makes, so
that the tools of t/bench know them.  They were never signed: what is tested with them looks at status only.
"""

import os
import shutil
import signal

from chancery import openssl, wait_for
from edge import unlimited

MARK = 'mc-bench-'
CHUNK = 100000

SERIAL = "set_byte(substring(sha256(n::text::bytea) FROM 1 FOR 16), 0, 64)"

MANAGED = """
INSERT INTO managed_certificate (id, name, source, profile_id, issuer_no, subject, subject_der, sans, status, expires_at,
                                 last_serial)
SELECT '{mark}' || n, 'bench ' || n, 'API', 'prof-device', i.no, 'CN=' || n, '\\x3000', '{{}}', 'Active',
       now() + interval '90 days', {serial}
  FROM issuer i, generate_series({first}, {last}) n WHERE i.id = '{issuer}';
"""
VERSION = """
INSERT INTO certificate_version (issuer_no, serial, managed_no, orphan, der, spki_sha256, fingerprint, not_before,
                                 not_after)
SELECT i.no, {serial}, {managed}, false, decode(repeat('5a', {size}), 'hex'), sha256(n::text::bytea),
       sha256(n::text::bytea), now(), now() + interval '90 days'
  FROM issuer i, generate_series({first}, {last}) n WHERE i.id = '{issuer}';
"""
REVOCATION = """
INSERT INTO revocation (issuer_no, serial, state, reason, revoked_at, not_after, revision)
SELECT i.no, {serial}, 'revoked', CASE WHEN n % 2 = 0 THEN 0 ELSE 4 END, now() - make_interval(secs => n % 86400),
       now() + interval '90 days', 1
  FROM issuer i, generate_series({first}, {last}) n WHERE i.id = '{issuer}';
"""
FEED = """
INSERT INTO change_feed (kind, issuer_no, serial)
SELECT 'status', i.no, {serial} FROM issuer i, generate_series({first}, {last}) n WHERE i.id = '{issuer}';
"""


def _each(stack, sql, first, count, **more):
    for at in range(first, first + count, CHUNK):
        stack.psql(sql.format(serial=SERIAL, mark=MARK, issuer=stack.issuer_id, first=at,
                              last=min(at + CHUNK, first + count) - 1, **more))


def seed_revoked(stack, count, first=0):
    """Entries of the CRL and no more than that."""
    _each(stack, REVOCATION, first, count)
    stack.psql('ANALYZE')


def seed(stack, count, first=0, managed=True, size=600):
    """Rows only: feed() or rebuild() tells the edge.  size: octets of what stands for the certificate."""
    if managed:
        _each(stack, MANAGED, first, count)
    _each(stack, VERSION, first, count, size=size, managed="(SELECT no FROM managed_certificate WHERE id = '%s' || n)" % MARK
          if managed else 'NULL')
    stack.psql('ANALYZE')


def feed(stack, count, first=0):
    """By the change feed, and wait until it has been read."""
    _each(stack, FEED, first, count)
    last = stack.psql("SELECT encode(%s, 'hex') FROM generate_series(%d, %d) n" % (SERIAL, first + count - 1, first + count - 1))
    template = known(stack, last)
    return wait_for('the edge to know them', template, 60)


def known(stack, serial):
    """A function that asks whether the edge has an answer about this serial (hexadecimal)."""
    name = stack.file('known.der')
    openssl('ocsp', '-issuer', stack.issuer, '-serial', '0x' + serial, '-no_nonce', '-reqout', name)
    with open(name, 'rb') as file:
        der = file.read()
    return lambda: len(stack.http('POST', '/ocsp/' + stack.issuer_id, der,
                                  {'Content-Type': 'application/ocsp-request'}).body) > 100


def rebuild(stack):
    """From PostgreSQL, as after the loss of the store."""
    stack.stop()
    shutil.rmtree(os.path.join(stack.path('edge'), 'store'))
    stack.start()
    if not stack.wait_ready(600):
        raise RuntimeError('the stack is not ready after the rebuild')


def reconfigure(stack, change):
    """nginx's configuration changed by a function of its text, and workers that have it."""
    name = stack.path('conf/nginx.conf')
    with open(name) as file:
        text = change(file.read())
    with open(name, 'w') as file:
        file.write(text)
    old = set(stack.pids('worker'))
    stack.kill('nginx', signal.SIGHUP)
    if not wait_for('new workers', lambda: len(stack.pids('worker')) == stack.workers and not old & set(stack.pids('worker')), 30):
        raise RuntimeError('nginx was not reloaded:\n' + stack.log('nginx')[-2000:])


def tell_workers(stack):
    """nginx says in each answer which worker gave it, and the kernel spreads connections over the workers."""
    def change(text):
        text = text.replace('http {\n', 'http {\n    add_header X-Worker $pid always;\n', 1)
        return unlimited(text).replace('listen 127.0.0.1:%d;' % stack.http_port,
                                       'listen 127.0.0.1:%d reuseport;' % stack.http_port)
    reconfigure(stack, change)
