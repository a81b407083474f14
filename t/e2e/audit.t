#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""The audit's tree: proofs that another program checks, and every kind of tampering found and named."""

import base64
import hashlib
import json
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import BUILD, Stack, done, is_, like, ok, openssl, program, unlike, wait_for  # noqa: E402

V1 = '/api/v1'
EVENTS = 20000
NAMES = ('id at actor actor_type action resource_type resource_id status request_id source latency_us body_hash '
         'details').split()
ADD = ("INSERT INTO audit_event (actor, actor_type, action, status, details)"
       " SELECT 'load', 'system', 'load.add', 200, jsonb_build_object('n', n) FROM generate_series(1, %d) n;")


def node(left, right):
    return hashlib.sha256(b'\x01' + left + right).digest()


def leaf_of(text):
    """Out of the row's own text: details is the last member, as PostgreSQL prints it."""
    row, out = json.loads(text), b'\x00\x01'
    for name in NAMES:
        value = row[name]
        if value is not None:
            value = text.split('"details" : ', 1)[1][:-1] if name == 'details' else str(value)
            value = value.encode()
        out += b'\xff\xff\xff\xff' if value is None else len(value).to_bytes(4, 'big') + value
    return hashlib.sha256(out).digest()


def path_root(leaf, index, size, path):
    """RFC 9162 2.1.3.2"""
    at, last, root = index, size - 1, leaf
    for each in path:
        if last == 0:
            return None
        if at & 1 or at == last:
            root = node(each, root)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            root = node(root, each)
        at, last = at >> 1, last >> 1
    return root if last == 0 else None


def consistent(first, second, path, first_root, second_root):
    """RFC 9162 2.1.4.2"""
    if first == second:
        return not path and first_root == second_root
    path = ([first_root] if first & (first - 1) == 0 else []) + path
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    one = two = path[0]
    for each in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            one, two = node(each, one), node(each, two)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            two = node(two, each)
        at, last = at >> 1, last >> 1
    return one == first_root and two == second_root and last == 0


def head(s):
    return s.api('GET', V1 + '/audit/heads/latest').json


def head_octets(h):
    at = int(program(['date', '-u', '-d', h['at'], '+%s']).out)
    return (b'chancery audit head 1' + bytes.fromhex(h['log']) + h['tree_size'].to_bytes(8, 'big')
            + at.to_bytes(8, 'big') + bytes.fromhex(h['root']))


def sealed(s, event):
    return wait_for('event %s sealed' % event,
                    lambda: s.psql("SELECT count(*) FROM audit_seal WHERE %s = ANY (event_ids)" % event) == '1', 20)


def verify(s, *more):
    return program([os.path.join(BUILD, 'chanceryd'), 'audit', 'verify', '-c', s.path('conf/chanceryd.yaml'), *more],
                   check=False, timeout=120)


def tamper(s, sql):
    """As a superuser, whom no trigger stops."""
    program(['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', s.path('run/pg'), '-U', 'postgres', '-d', 'chancery'],
            input="SET session_replication_role = replica; " + sql)


def proofs(s):
    first = json.loads(s.psql("SELECT json_agg(id) FROM audit_event"))[0]
    sealed(s, first)
    older = head(s)
    s.psql(ADD % EVENTS)
    newest = s.psql("SELECT max(id) FROM audit_event WHERE action = 'load.add'")
    sealed(s, newest)
    newer = head(s)
    for event in (str(first), newest):
        proof = s.api('GET', V1 + '/audit/%s/proof' % event).json
        text = s.http('GET', V1 + '/audit/%s' % event, None, {'Authorization': 'Bearer ' + s.env['CHANCERY_API_KEY']},
                      tls=True).text
        is_(leaf_of(text).hex(), proof['leaf_hash'], 'the leaf of event %s is the hash of its row' % event)
        is_(path_root(leaf_of(text), proof['leaf_index'], proof['head']['tree_size'],
                      [bytes.fromhex(each) for each in proof['path']]).hex(), proof['head']['root'],
            'and its path leads to the root of the head')
    found = s.api('GET', V1 + '/audit/consistency?first=%d&second=%d' % (older['tree_size'], newer['tree_size'])).json
    ok(consistent(older['tree_size'], newer['tree_size'], [bytes.fromhex(each) for each in found['path']],
                  bytes.fromhex(older['root']), bytes.fromhex(newer['root'])), 'the newer tree continues the older one')
    with open(s.file('audit.pem'), 'w') as file:
        file.write(s.http('GET', V1 + '/audit/key', None, {'Authorization': 'Bearer ' + s.env['CHANCERY_API_KEY']},
                          tls=True).text)
    with open(s.file('head.sig'), 'wb') as file:
        file.write(base64.b64decode(newer['signature']))
    like(openssl('dgst', '-sha256', '-verify', s.file('audit.pem'), '-signature', s.file('head.sig'),
                 input=head_octets(newer), check=False).out, 'Verified OK', 'OpenSSL verifies the signature of the head')
    with open(s.file('head.json'), 'w') as file:
        json.dump(newer, file)
    return int(newest)


def out_of_order(s):
    """A transaction that began before many others and ends after them."""
    def late():
        s.psql("BEGIN; " + ADD % 3 + " SELECT pg_sleep(3); COMMIT;")

    threads = [threading.Thread(target=late)]
    threads += [threading.Thread(target=lambda: [s.psql(ADD % 50) for _ in range(10)]) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    sealed(s, s.psql("SELECT max(id) FROM audit_event WHERE action = 'load.add'"))
    found = verify(s, '--head', s.file('head.json'))
    is_(found.status, 0, 'commits out of order, many at once, sealed meanwhile: no false alarm')
    like(found.out, r'(?m)^verified$', 'and it says so')


def tampered(s, newest):
    like(s.sh('psql -X -h "%s" -U chancery -d chancery -c "DELETE FROM audit_event_%s" 2>&1'
              % (s.path('run/pg'), s.psql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')")), check=False).out,
         'ERROR', 'a statement that names a partition is refused, too')
    changed, removed, one, two = newest - 10, newest - 20, newest - 30, newest - 40
    tamper(s, "UPDATE audit_event SET actor = 'nobody' WHERE id = %d" % changed)
    tamper(s, "DELETE FROM audit_event WHERE id = %d" % removed)
    tamper(s, "UPDATE audit_seal SET event_ids = (SELECT array_agg(CASE id WHEN %d THEN %d WHEN %d THEN %d ELSE id END "
              "ORDER BY n) FROM unnest(event_ids) WITH ORDINALITY u (id, n)) WHERE %d = ANY (event_ids)"
           % (one, two, two, one, one))
    tamper(s, "INSERT INTO audit_event (xid, actor, actor_type, action, status) SELECT xid, 'ghost', 'system', 'x.y', 200"
              " FROM audit_event WHERE id = %d" % (newest - 50))
    ghost = s.psql("SELECT id FROM audit_event WHERE actor = 'ghost'")
    found = verify(s)
    is_(found.status, 1, 'tampering: a status that says so')
    like(found.out, r'event %d was changed' % changed, 'a changed event is named')
    like(found.out, r'event %d was removed' % removed, 'a removed event is named')
    for each in (one, two):
        like(found.out, r'event %d (was moved|stands after)' % each, 'an event in another place is named')
    like(found.out, r'event %s was inserted later' % ghost, 'an event that claims to be older is named')
    unlike(found.out, 'root is another', 'the leaves themselves are as they were signed')
    tamper(s, "UPDATE audit_seal SET leaves = overlay(leaves placing '\\x00'::bytea from 1) WHERE first = 0")
    like(verify(s).out, 'root is another one', 'a changed leaf is found by the signed root')
    tamper(s, "DELETE FROM audit_subtree; DELETE FROM audit_seal WHERE first > 0")
    like(verify(s, '--head', s.file('head.json')).out, 'a head of %d was kept' % json.load(open(s.file('head.json')))[
        'tree_size'], 'a tree that was cut is found by a head that was kept elsewhere')


def main():
    with Stack() as s:
        newest = proofs(s)
        out_of_order(s)
        tampered(s, newest)
    done()


main()
