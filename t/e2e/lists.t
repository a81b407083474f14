#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
Lists of the management API as a client meets them: 1,200 certificates by cursor and by page in every size, totals that
are true, wrong values that are named, sparse fields, free text a moment after an enrolment and after a kill.
"""

import os
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, like, ok, wait_for  # noqa: E402
from seed_managed import seed_managed                      # noqa: E402

COUNT = 1200


def ask(s, path='certificates', **query):
    return s.api('GET', '/api/v1/' + path + '?' + urllib.parse.urlencode(query, doseq=True))


def walk(s, **query):
    """Every id from the start to the end by cursor."""
    found, cursor = [], ''
    while cursor is not None:
        page = ask(s, cursor=cursor, fields='id', **query).json
        found += [each['id'] for each in page['data']]
        cursor = page['next_cursor']
    return found


def sizes(s, there):
    """None is lost, none is repeated, none is clamped, whatever the size: the family of defects of fifty rows."""
    for size in (7, 49, 50, 51, 100, 500, 501, 1000):
        found = walk(s, page_size=size, include_archived='true')
        ok(len(found) == there == len(set(found)), 'pages of %d by cursor have every certificate once' % size, len(found))
        found = []
        for page in range(1, 2 + there // size):
            answer = ask(s, page=page, per_page=size, include_archived='true', fields='id').json
            found += [each['id'] for each in answer['data']]
            if len(answer['data']) != min(size, there - (page - 1) * size) or answer['total'] != there:
                break
        ok(len(found) == there == len(set(found)), 'and so have pages of %d by number, each with the true total' % size,
           (len(found), answer['total']))


def filters(s):
    """Each filter counts what the database has, however many that are."""
    for query, sql in (({}, 'archived_at IS NULL'), ({'status': 'Archived'}, 'archived_at IS NOT NULL'),
                       ({'status': 'Revoked'}, "status = 'Revoked'"), ({'source': 'API'}, "source = 'API'"),
                       ({'status': 'Expired'}, "status = 'Active' AND expires_at < now()"),
                       ({'environment': 'staging'}, "environment = 'staging'"), ({'team_id': 'team-3'}, "team_id = 'team-3'"),
                       ({'tag': 'app'}, "tags ? 'app'"), ({'tag': ['app', 'tier:1']}, """tags @> '{"tier": "1"}' AND tags ? 'app'"""),
                       ({'renewal_policy_id': 'rp-1'}, "renewal_policy_id = 'rp-1'"), ({'profile_id': 'prof-4'}, "profile_id = 'prof-4'"),
                       ({'q': 'Site'}, "name ILIKE '%site%'"), ({'san': 'alias-77.example'}, "id = 'mc-bench-77'")):
        if 'status' not in query:
            sql += ' AND archived_at IS NULL'
        elif query['status'] != 'Archived':
            sql += ' AND archived_at IS NULL'
        wanted = int(s.psql('SELECT count(*) FROM managed_certificate WHERE ' + sql))
        got, found = ask(s, **query).json, walk(s, page_size=200, **query)
        ok(got['total'] == wanted == len(found) and not got['total_is_estimate'], 'all that fit %s are found and counted' % query,
           (got['total'], wanted, len(found)))


def refusals(s):
    for query, fields in (({'page_size': 1001}, ['page_size']), ({'limit': 0}, ['limit']), ({'per_page': 1001}, ['per_page']),
                          ({'page': 0}, ['page']), ({'page': 11, 'per_page': 1000}, ['page']), ({'page': 1, 'cursor': ''}, ['cursor']),
                          ({'per_page': 5, 'page_size': 5, 'limit': 5}, ['page_size', 'limit', 'limit']),
                          ({'page_size': 5, 'limit': 5}, ['limit']), ({'sort': 'subject'}, ['sort']),
                          ({'fields': 'id,nothing,more'}, ['fields', 'fields']), ({'q': 'ab'}, ['q']), ({'q': '%_\'\\:*&|!'}, ['q']), ({'tag': ':'}, ['tag']),
                          ({'status': 'Gone', 'expires_before': 'soon', 'tag': ''}, ['status', 'expires_before', 'tag']),
                          ({'name': ['a', 'b']}, ['name'])):
        answer = ask(s, **query)
        is_((answer.status, [each['field'] for each in answer.json['error']['fields']]), (400, fields),
            '%s is refused by name' % query)
    like(ask(s, page=11, per_page=1000).text, 'next_cursor', 'who goes too far by number is told of the cursor')
    is_(ask(s, cursor='bm90aGluZw').status, 400, 'a cursor that is none of ours is refused')
    is_(ask(s, 'certificates/mc-bench-1', fields='id,x').status, 400, 'a single row names an unknown field, too')


def forms(s):
    is_(list(ask(s, page=2, per_page=3).json), ['data', 'total', 'total_is_estimate', 'next_cursor', 'page', 'per_page'],
        'a page by number says which one it is')
    is_(list(ask(s, page_size=3).json), ['data', 'total', 'total_is_estimate', 'next_cursor', 'page_size'],
        'a page by cursor says how large it is')
    second = ask(s, page=2, per_page=3, sort='name').json
    first = ask(s, page_size=3, sort='name').json
    is_(ask(s, cursor=first['next_cursor'], page_size=3, sort='name').json['data'], second['data'],
        'both forms are the same list')
    is_(ask(s, fields='id,status', sort='-commonName').json['data'][0].keys(), {'id', 'status'}, 'only the members asked for')
    is_(set(ask(s, 'certificates/mc-bench-5', fields='name').json), {'name'}, 'also of a single certificate')
    for sort in ('notAfter', 'expiresAt', 'createdAt', 'updatedAt', 'commonName', 'name', 'status', 'environment'):
        up, down = walk(s, sort=sort, page_size=150), walk(s, sort='-' + sort, page_size=150)
        ok(up == down[::-1] and len(set(up)) == len(up), 'sort=%s and -%s are each other turned round' % (sort, sort))
    is_(walk(s, sort='name', page_size=400), walk(s, sort='name', page_size=7), 'and the size changes nothing')


def while_rows_come(s):
    """A walk that takes its time loses and repeats nothing of what was there when it began."""
    before, stopping = set(walk(s, page_size=1000)), threading.Event()

    def enrol():
        number = 0
        while not stopping.is_set() and number < 40:
            number += 1
            s.enrol('comes-%d' % number)

    thread = threading.Thread(target=enrol)
    thread.start()
    for sort in ('-created_at', 'name', '-updated_at'):
        found = walk(s, sort=sort, page_size=20)
        ok(before <= set(found) and len(found) == len(set(found)), 'while others enrol, a walk by %s has all that were there, once' % sort,
           (len(before - set(found)), len(found) - len(set(found))))
    stopping.set()
    thread.join()


def search(s):
    began = time.monotonic()
    s.enrol('needle-in-hay')
    ok(wait_for('the search', lambda: ask(s, q='NEEDLE-in').json['total'] == 1, 5), 'a new certificate is found by the start of its name')
    is_([ask(s, q=q).json['total'] for q in ('in-hay', 'eedle-in', 'hay\' | \'needle', 'needle_in%')], [1, 0, 0, 0],
        'and by a word in it, not from the middle of one')
    ok(time.monotonic() - began < 3, 'within moments', time.monotonic() - began)
    for number in range(3):
        s.enrol('killed-%d' % number)
        old = s.kill('orchestrator')
        s.wait_again('orchestrator', old)
        s.wait_ready()
    ok(wait_for('the rest', lambda: ask(s, q='killed-').json['total'] == 3, 15), 'nothing is missed when the process is killed right after')
    is_(s.psql('SELECT count(*) FROM managed_certificate m WHERE NOT EXISTS (SELECT FROM certificate_search c WHERE c.no = m.no)'), '0',
        'every certificate is searchable')


def main():
    with Stack() as s:
        seed_managed(s, COUNT)
        sizes(s, int(s.psql('SELECT count(*) FROM managed_certificate')))
        filters(s)
        refusals(s)
        forms(s)
        while_rows_come(s)
        search(s)
    done()


main()
