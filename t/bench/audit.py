#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
The audit: appending against pgbench inserting the same row with as many connections, appending at full rate while the
daemon seals and a verifier looks on, and a million sealed events, of which each that is tampered with is named.
"""

import os
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from bench import done, line, pairs, pgbench, pick, tool  # noqa: E402
from chancery import BUILD, Stack, program                # noqa: E402

CONNECTIONS = 16
SECONDS = pick(5, 1)
ROUNDS = pick(5, 1)
RATE = 20000
RATE_S = pick(20, 2)
EVENTS = pick(1000000, 20000)
PART = 50000  # events of one transaction, so that sealing starts while others are added
PROOFS = pick(200, 20)
LAG_S = 5

COLUMNS = ('actor, actor_type, action, resource_type, resource_id, status, request_id, source, latency_us, body_hash,'
           ' details')
ROW = ("'key-0123456789abcdef', 'api_key', 'certificate.list', 'certificate', 'mc-0123456789abcdef', 200,"
       " '0123456789abcdef0123456789abcdef', '192.0.2.1', 1234, '0123456789abcdef',"
       " '{\"route\": \"/api/v1/certificates\"}'")
PLAIN = """CREATE TABLE bench_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(),
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(), actor text NOT NULL, actor_type text NOT NULL, action text NOT NULL,
    resource_type text, resource_id text, status integer NOT NULL, request_id text, source text, latency_us bigint,
    body_hash text, details jsonb);"""


def url(s):
    return 'postgresql:///chancery?host=%s&user=chancery' % s.path('run/pg')


def start(s, how, seconds, *rate):
    return subprocess.Popen([tool('audit_append'), url(s), how, str(CONNECTIONS), str(seconds), *rate],
                            stdout=subprocess.PIPE, text=True)


def rate_of(process):
    """Events written each second, and how many were lost: those of calls are when the database stands still."""
    words = process.communicate(timeout=300)[0].split()
    return int(words[0]) / float(words[1]), int(words[2])


def verify(s):
    """What it printed, its status, how long it took, events each second."""
    before = time.monotonic()
    found = program([os.path.join(BUILD, 'chanceryd'), 'audit', 'verify', '-c', s.path('conf/chanceryd.yaml')], check=False,
                    timeout=3600)
    found.seconds = time.monotonic() - before
    found.rate = int(re.search(r'(?m)^events +(\d+)$', found.out).group(1)) / found.seconds
    return found


def clean(s, when):
    found = verify(s)
    faults = re.findall('(?m)^FAULT: .*$', found.out)
    line('false alarms of the verifier, ' + when, len(faults) + (found.status != 0 and not faults), most=0,
         details='%.1f s, %.0f events/s%s' % (found.seconds, found.rate, ''.join('; ' + each for each in faults[:3])))


def appended(s):
    script = s.file('insert.sql')
    s.psql(PLAIN)
    with open(script, 'w') as file:
        file.write('INSERT INTO bench_event (%s) VALUES (%s);\n' % (COLUMNS, ROW))
    for how, what in (('trail', 'audit append of calls'), ('add', 'audit append, each committed by itself')):
        ratio, ours, theirs = pairs(lambda: rate_of(start(s, how, SECONDS))[0],
                                    lambda: pgbench(s, script, CONNECTIONS, SECONDS), ROUNDS)
        line(what + ' / pgbench insert', ratio, 0.5, '%.0f/s, %.0f/s, %d connections' % (ours, theirs, CONNECTIONS))


def lag_s(s):
    """How long the oldest event that is not sealed has waited."""
    return float(s.psql(
        "SELECT coalesce((SELECT extract(epoch FROM clock_timestamp() - e.at) FROM audit_event e"
        " WHERE (e.xid, e.id) > (l.last_xid, l.last_id) ORDER BY e.xid, e.id LIMIT 1), 0)"
        " FROM (SELECT last_xid, last_id FROM audit_seal ORDER BY first DESC LIMIT 1) l"))


def sealed(s):
    """Wait until all events are; seconds it took."""
    before = time.monotonic()
    newest = s.psql('SELECT id FROM audit_event ORDER BY xid DESC, id DESC LIMIT 1')
    while s.psql('SELECT (l.last_xid, l.last_id) >= (e.xid, e.id) FROM audit_event e,'
                 ' (SELECT last_xid, last_id FROM audit_seal ORDER BY first DESC LIMIT 1) l WHERE e.id = %s' % newest) != 't':
        if time.monotonic() - before > 900:
            raise RuntimeError('event %s is not sealed' % newest)
        time.sleep(0.1)
    return time.monotonic() - before


def raced(s):
    sealed(s)
    clean(s, 'before')
    load, lags = start(s, 'trail', RATE_S, str(RATE * 1.05)), []

    def look():
        while load.poll() is None:
            lags.append(lag_s(s))
            time.sleep(0.3)

    looking = threading.Thread(target=look)
    looking.start()
    time.sleep(RATE_S / 4)
    clean(s, 'during')
    looking.join()
    rate, lost = rate_of(load)
    line('events appended at once, each second', rate, RATE, 'for %d s, sealed meanwhile, %d lost' % (RATE_S, lost))
    lags.append(sealed(s))
    line('seconds an event waits to be sealed', max(lags), most=LAG_S, details='all of them %.1f s after the end' % lags[-1])
    clean(s, 'after')


def grown(s):
    """As many events as the large tree has, a part of it at least, and how fast they were sealed."""
    missing = max(PART, EVENTS - int(s.psql('SELECT count(*) FROM audit_event')))
    before, begun = time.monotonic(), int(s.psql('SELECT max(size) FROM audit_seal'))
    while missing > 0:
        s.psql('INSERT INTO audit_event (%s) SELECT %s FROM generate_series(1, %d)' % (COLUMNS, ROW.replace(
            "}'", "}'::jsonb"), min(missing, PART)))
        missing -= PART
    sealed(s)
    count = int(s.psql('SELECT max(size) FROM audit_seal'))
    line('events added and sealed, each second', '%.0f' % ((count - begun) / (time.monotonic() - before)), None,
         '%d in the tree' % count)
    found = verify(s)
    line('events verified, each second', '%.0f' % found.rate, None, '%.1f s for %d' % (found.seconds, count))
    line('faults in %d events' % count, len(re.findall('(?m)^FAULT: ', found.out)), most=0)


def proved(s):
    times, first = [], s.psql('SELECT event_ids[1] FROM audit_seal ORDER BY first LIMIT 1')
    newest = int(s.psql('SELECT max(max_id) FROM audit_seal'))
    for each in range(PROOFS):
        at = int(first) + (newest - int(first)) * each // PROOFS
        before = time.monotonic()
        if s.api('GET', '/api/v1/audit/%d/proof' % at).status == 200:
            times.append(1000 * (time.monotonic() - before))
    times.sort()
    line('milliseconds for the proof of an event', '%.1f' % times[len(times) // 2], None,
         'median of %d; 99 %% below %.1f' % (len(times), times[len(times) * 99 // 100]))


def tamper(s, sql):
    """As a superuser, whom no trigger stops."""
    program(['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', s.path('run/pg'), '-U', 'postgres', '-d', 'chancery'],
            input='SET session_replication_role = replica; ' + sql, timeout=600)


def named(s, what, do, undo, *wanted):
    """Each kind alone: the verifier names the events, and nothing else; undone, it is content."""
    tamper(s, do)
    found = verify(s)
    faults = re.findall('(?m)^FAULT: (.*)$', found.out)
    good = found.status == 1 and all(any(re.search(each, fault) for fault in faults) for each in wanted)
    tamper(s, undo)
    line('tampering named: ' + what, int(good), 1, '%d faults: %s' % (len(faults), '; '.join(faults[:3])))


def swap(one, two):
    return ('UPDATE audit_seal SET event_ids = (SELECT array_agg(CASE id WHEN %d THEN %d WHEN %d THEN %d ELSE id END'
            ' ORDER BY n) FROM unnest(event_ids) WITH ORDINALITY u (id, n)) WHERE %d = ANY (event_ids)'
            ' AND min_id <= %d AND max_id >= %d' % (one, two, two, one, one, one, one))


def tampered(s):
    ids = [int(each) for each in s.psql(
        'SELECT unnest(event_ids[3:6]) FROM (SELECT event_ids FROM audit_seal WHERE size - first > 8 ORDER BY first'
        ' OFFSET (SELECT count(*) / 2 FROM audit_seal WHERE size - first > 8) LIMIT 1) b').split()]
    changed, removed, one, two = ids
    named(s, 'one changed', "UPDATE audit_event SET actor = 'nobody' WHERE id = %d" % changed,
          "UPDATE audit_event SET actor = 'key-0123456789abcdef' WHERE id = %d" % changed,
          'event %d was changed' % changed)
    named(s, 'one removed', 'CREATE TABLE bench_kept AS SELECT * FROM audit_event WHERE id = %d;'
          ' DELETE FROM audit_event WHERE id = %d' % (removed, removed),
          'INSERT INTO audit_event SELECT * FROM bench_kept', 'event %d was removed' % removed)
    named(s, 'two swapped in the tree', swap(one, two), swap(one, two),
          *('event %d (was moved|stands after)' % each for each in (one, two)))
    clean(s, 'all of it undone')


def main():
    with Stack(workers=1) as s:
        appended(s)
        raced(s)
        grown(s)
        proved(s)
        tampered(s)
    done()


main()
