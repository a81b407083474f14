#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""The audit taken away as a whole: all rows, what filters let through, and what is done about those who read slowly."""

import csv
import io
import json
import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import BUILD, Stack, done, is_, like, ok, program, wait_for  # noqa: E402

V1 = '/api/v1'
EVENTS = 3000
ADD = ("INSERT INTO audit_event (actor, actor_type, action, resource_type, resource_id, status, details)"
       " SELECT 'load', 'system', 'load.add', 'load', 'load-' || n, 200, jsonb_build_object('n', n, 'text', %s)"
       " FROM generate_series(1, %d) n;")


def get(s, path):
    return s.http('GET', V1 + path, None, {'Authorization': 'Bearer ' + s.env['CHANCERY_API_KEY']}, tls=True, timeout=60)


def rows_of(answer):
    return [json.loads(line) for line in answer.text.splitlines()]


def all_rows(s):
    s.psql(ADD % ("E'quoted \" \\\\ \\n\\x01 \\u00fc'", EVENTS))
    answer = get(s, '/audit/export?action=load.add')
    is_((answer.status, answer.headers.get('content-type')), (200, 'application/x-ndjson'), 'an export is NDJSON')
    like(answer.headers.get('content-disposition'), 'audit.ndjson', 'and is a file')
    rows = rows_of(answer)
    is_([each['resource_id'] for each in rows], ['load-%d' % n for n in range(EVENTS, 0, -1)],
        'all rows come, however many pages they are, once each and newest first')
    is_(len(rows_of(get(s, '/audit/export?format=ndjson'))), int(s.psql("SELECT count(*) FROM audit_event")) - 1,
        'without filters it is the whole audit up to the call itself')


def filters(s):
    kept = s.psql("SELECT resource_id FROM audit_event WHERE action = 'load.add' ORDER BY id DESC OFFSET 10 LIMIT 1")
    for query, count in (('actor=load', EVENTS), ('actor=load&status=404', 0), ('resource_id=' + kept, 1),
                         ('actor_type=system&action=load.add&resource_type=load', EVENTS),
                         ('action=load.add&from=2000-01-01T00:00:00Z', EVENTS),
                         ('action=load.add&to=2000-01-01T00:00:00Z', 0)):
        is_(len(rows_of(get(s, '/audit/export?' + query))), count, 'rows that fit %s' % query)
    answer = get(s, '/audit/export?format=xml&status=many&colour=red')
    is_(answer.status, 400, 'wrong values are refused')
    is_(sorted(each['field'] for each in answer.json['error']['fields']), ['colour', 'format', 'status'], 'each by its name')


def spreadsheet(s):
    s.psql("INSERT INTO audit_event (actor, actor_type, action, status, details)"
           " VALUES ('=cmd|''/c calc''!A1', 'system', 'load.odd', 200, '{\"a\": \"x, y\"}')")
    answer = get(s, '/audit/export?format=csv&actor_type=system')
    is_(answer.headers.get('content-type'), 'text/csv', 'the other form is CSV')
    found = list(csv.reader(io.StringIO(answer.text, newline='')))
    is_(found[0][:5], ['id', 'at', 'actor', 'actor_type', 'action'], 'its first record names the columns')
    odd = [each for each in found if each[4] == 'load.odd'][0]
    is_(odd[2], "'=cmd|'/c calc'!A1", 'what a spreadsheet would take for a formula is text')
    is_(json.loads(odd[found[0].index('details')]), {'a': 'x, y'}, 'details are JSON in one column')
    is_(len([each for each in found if each[4] == 'load.add']), EVENTS, 'all rows come in this form, too')


def older_form(s):
    rows = s.api('GET', V1 + '/audit/logs?actor_type=system&actor_id=load&action=load.add&from=2024-02-12&limit=3').json
    one = rows['data'][0]
    is_(rows['total'] >= 2000 and len(rows['data']), 3, 'the older form of the audit is a list as others are')
    is_((one['actor'], one['resource']), ({'type': 'system', 'id': 'load'}, {'type': 'load', 'id': 'load-%d' % EVENTS}),
        'actor and resource are objects')
    like(one['id'] + ' ' + one['timestamp'], r'^audit-\d+ 2\d+-\d\d-\d\dT', 'with id and timestamp')
    is_((one['status'], one['details']['n']), ('success', EVENTS), 'status and details')
    refused = s.api('GET', V1 + '/audit/logs?status=failure&action=audit.export').json['data']
    is_([each['status'] for each in refused], ['failure'], 'what was refused is a failure')
    is_(s.api('GET', V1 + '/audit/logs?actor_id=load&to=2024-02-12').json['data'], [], 'a date is a time, too')
    is_(s.api('GET', V1 + '/audit/logs?from=2024-13-40').status, 400, 'what is neither is refused')


def heads(s):
    listed = wait_for('two heads', lambda: (lambda found: found if len(found) > 1 else None)(
        s.api('GET', V1 + '/audit/heads?limit=1000').json['data']), 10)
    sizes = [each['tree_size'] for each in listed]
    is_(sizes, sorted(sizes, reverse=True), 'heads are listed newest first')
    latest = s.api('GET', V1 + '/audit/heads/latest').json
    found = s.api('GET', V1 + '/audit/heads?limit=1000').json['data']
    ok(latest in found, 'the newest head is among them, the same in every member', found[:2])
    page = s.api('GET', V1 + '/audit/heads?limit=1').json
    after = s.api('GET', V1 + '/audit/heads?limit=1&cursor=' + page['next_cursor']).json
    ok(after['data'][0]['tree_size'] < page['data'][0]['tree_size'], 'a cursor goes on to older ones')


def fetch(s, path, name):
    with open(s.file(name), 'w') as file:
        file.write(get(s, path).text)
    return s.file(name)


def audit_verify(*words):
    """In an empty environment, without a database."""
    return program([os.path.join(BUILD, 'chanceryd'), 'audit', 'verify', *words], check=False, env={})


def load(path):
    with open(path) as file:
        return json.load(file)


def altered(s, path, old, new):
    with open(path) as file:
        text = file.read()
    with open(s.file('altered.json'), 'w') as file:
        file.write(text.replace(old, new, 1))
    return s.file('altered.json')


def proofs_offline(s):
    heads, head = s.file('heads.json'), fetch(s, '/audit/heads/latest', 'head.json')
    key = ('--key', s.file('key.pem'))
    event = s.psql("SELECT max(id) FROM audit_event WHERE actor = 'load'")
    one, proof = fetch(s, '/audit/' + event, 'event.json'), fetch(s, '/audit/%s/proof' % event, 'proof.json')
    found = audit_verify('--file', one, '--proof', proof, *key)
    is_((found.status, found.out.splitlines()[-1]), (0, 'verified'), 'an event is proved without a database')
    like(found.out, r'(?m)^event +%s$' % event, 'and it is said which')
    action, path, root = load(one)['action'], load(proof)['path'][0], load(proof)['head']['root']
    for what, where, old, new, why in (
            ('an event that was changed', one, action, 'x.y', r'not leaf \d+ of the tree.*RFC 9162 2\.1\.3\.2'),
            ('an event with more to it', one, '{', '{"more": 1, "of": 2, "it": 3, ', 'not an event'),
            ('a path that was changed', proof, path, '00' * 32, 'not leaf'),
            ('a path without hashes', proof, path, '00', r'path\[0\] is no hash'),
            ('a head that was changed', proof, root, '00' * 32, 'signature')):
        files = [altered(s, each, old, new) if each == where else each for each in (one, proof)]
        found = audit_verify('--file', files[0], '--proof', files[1], *key)
        is_((found.status, found.out.splitlines()[-1]), (1, 'NOT verified'), what + ' is not')
        like(found.out, r'FAULT: .*' + why, 'for that reason')

    oldest = min(load(heads)['data'], key=lambda each: each['tree_size'])
    with open(s.file('older.json'), 'w') as file:
        json.dump(oldest, file)
    sizes = (oldest['tree_size'], load(head)['tree_size'])
    between = fetch(s, '/audit/consistency?first=%d&second=%d' % sizes, 'consistency.json')
    words = ('--head', s.file('older.json'), '--heads', head, *key)
    found = audit_verify('--consistency', between, *words)
    is_((found.status, found.out.splitlines()[-1]), (0, 'verified'), 'so is that a tree continues another')
    found = audit_verify('--consistency', altered(s, between, load(between)['path'][0], '00' * 32), *words)
    is_((found.status, found.out.splitlines()[-1]), (1, 'NOT verified'), 'another path proves nothing')
    like(found.out, r'FAULT: the tree of %d does not continue that of %d \(RFC 9162 2\.1\.4\.2\)' % sizes[::-1],
         'and that is said')
    for words in (key, ('--file', one, '--proof', proof), ('--consistency', between, '--heads', head, *key)):
        found = audit_verify(*words)
        is_(found.status, 1, 'files that make no whole: ' + words[0])
        like(found.err, 'audit verify takes --key', 'and it is said what does')


def offline(s):
    last = s.psql("SELECT max(id) FROM audit_event WHERE actor = 'load'")
    wait_for('the rows sealed', lambda: s.psql("SELECT count(*) FROM audit_seal WHERE %s = ANY (event_ids)" % last) == '1', 20)
    heads, key = fetch(s, '/audit/heads?limit=1000', 'heads.json'), fetch(s, '/audit/key', 'key.pem')
    with open(fetch(s, '/audit/export', 'audit.ndjson')) as file:
        lines = file.readlines()

    def verify(changed):
        with open(s.file('changed.ndjson'), 'w') as file:
            file.writelines(changed)
        return audit_verify('--file', s.file('changed.ndjson'), '--heads', heads, '--key', key)

    found = verify(lines)
    is_((found.status, found.out.splitlines()[-1]), (0, 'verified'), 'an export is verified without a database')
    at = next(n for n, line in enumerate(lines) if '"load-1000"' in line)
    event = json.loads(lines[at])['id']
    found = verify(lines[:at] + [lines[at].replace('"load-1000"', '"load-9999"')] + lines[at + 1:])
    is_(found.status, 1, 'a changed export is not')
    like(found.out, 'event %d was changed' % event, 'and the changed row is named')
    found = verify(lines[:at] + lines[at + 1:])
    like(found.out, r'leaves (\d+) to \1 are missing: events were removed before event %d' % (event + 1),
         'so is the place of one that was removed')
    like(verify(lines[:at] + [lines[at + 1], lines[at]] + lines[at + 2:]).out, 'event %d stands after event %d'
         % (event, event - 1), 'and one in another place')
    like(verify(lines[-100:]).out, r'head of \d+ events cannot be made', 'newest rows that were cut off are missed')


def audited(s):
    row = wait_for('the export in the audit',
                   lambda: s.api('GET', V1 + '/audit?action=audit.export&status=200&limit=1').json['data'], 10)[0]
    is_(row['actor'] != 'anonymous', True, 'an export is itself in the audit')


def command(s):
    found = program([os.path.join(BUILD, 'chancery'), 'audit', 'export', '--action', 'load.add', '--server',
                     'unix:' + s.path('run/api.sock')], check=False,
                    env={'PATH': os.environ['PATH'], 'CHANCERY_API_KEY': s.env['CHANCERY_API_KEY']})
    is_(len(found.out.splitlines()), EVENTS, 'chancery audit export prints all of them')


def raw(s, query):
    """The API's own socket, of which nothing is read until somebody asks."""
    c = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    c.settimeout(30)
    c.connect(s.path('run/api.sock'))
    c.sendall(('GET %s/audit/export?%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n'
               % (V1, query, s.env['CHANCERY_API_KEY'])).encode())
    return c


def rest(c):
    out = b''
    while True:
        more = c.recv(1 << 16)
        if not more:
            return out
        out += more


def slow(s):
    readers = [raw(s, 'action=load.big') for _ in range(12)]
    time.sleep(1.5)
    is_(s.psql("SELECT count(*) FROM pg_stat_activity WHERE datname = 'chancery' AND pid <> pg_backend_pid()"
               " AND state LIKE 'idle in transaction%'"), '0', 'who reads slowly holds no transaction')
    is_(s.api('GET', V1 + '/issuers').status, 200, 'and no worker: more of them than there are workers do not matter')
    whole = rest(readers[0])
    ok(whole.endswith(b'\r\n0\r\n\r\n'), 'who reads on at last gets everything to its end')
    return readers[1:]


def cut(s, readers):
    s.sh('psql -X -q -h "%s" -U postgres -d chancery -c "ALTER TABLE audit_event RENAME TO audit_event_gone"'
         % s.path('run/pg'))
    got = rest(readers[0])
    s.sh('psql -X -q -h "%s" -U postgres -d chancery -c "ALTER TABLE audit_event_gone RENAME TO audit_event"'
         % s.path('run/pg'))
    ok(b'load-' in got and not got.endswith(b'0\r\n\r\n'), 'a stream that cannot go on does not look complete')
    for each in readers:
        each.close()


def main():
    with Stack() as s:
        all_rows(s)
        filters(s)
        spreadsheet(s)
        older_form(s)
        heads(s)
        offline(s)
        proofs_offline(s)
        audited(s)
        command(s)
        s.psql(ADD.replace('load.add', 'load.big') % ("repeat('x', 1000)", EVENTS))
        cut(s, slow(s))
    done()


main()
