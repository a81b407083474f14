#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""The audit's months: made ahead, events without one come along later, old ones are taken out and said to be."""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import BUILD, Stack, done, is_, like, program, unlike, wait_for  # noqa: E402

EVENTS = 300
ADD = ("INSERT INTO audit_event (at, actor, actor_type, action, status) SELECT %s + n * interval '1 second', '%s', 'system',"
       " 'load.add', 200 FROM generate_series(1, %d) n")


def verify(s):
    return program([os.path.join(BUILD, 'chanceryd'), 'audit', 'verify', '-c', s.path('conf/chanceryd.yaml')], check=False,
                   timeout=120)


def tamper(s, sql):
    """As a superuser, whom no trigger stops."""
    program(['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', s.path('run/pg'), '-U', 'postgres', '-d', 'chancery'],
            input="SET session_replication_role = replica; " + sql)


def month(s, ahead):
    """The first instant of a month, as text, and the name of its partition; ahead: months from now."""
    return s.psql("SELECT date_trunc('month', now() AT TIME ZONE 'UTC') + interval '%d months',"
                  " to_char(now() AT TIME ZONE 'UTC' + interval '%d months', '\"audit_event_\"YYYY_MM')"
                  % (ahead, ahead)).split('|')


def months(s):
    return s.psql("SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'audit_event'::regclass").split()


def sealed(s):
    newest = s.psql("SELECT max(id) FROM audit_event WHERE action = 'load.add'")
    wait_for('event %s sealed' % newest,
             lambda: s.psql('SELECT count(*) FROM audit_seal WHERE %s = ANY (event_ids)' % newest) == '1', 20)


def start_again(s):
    old = s.pids('orchestrator')
    s.kill('orchestrator', signal.SIGTERM)
    s.wait_again('orchestrator', old)
    s.wait_ready()


def strays(s):
    return s.psql('SELECT count(*) FROM audit_event_rest')


def where(s, actor):
    return s.psql("SELECT DISTINCT tableoid::regclass FROM audit_event WHERE actor = '%s'" % actor)


def made_ahead(s):
    names = [month(s, ahead)[1] for ahead in range(4)]
    is_([each for each in names if each not in months(s)], [], 'this month and three more have their partitions')
    like(s.psql("SELECT string_agg(tgrelid::regclass::text, ' ') FROM pg_trigger WHERE tgname = 'audit_event_append_only'"),
         names[3], 'each of which refuses changes')
    s.psql(ADD % ("(timestamptz '%s UTC')" % month(s, 1)[0], 'next', EVENTS))
    is_(where(s, 'next'), names[1], "events after the month's end are in the next month's")


def come_along(s):
    """Nobody has made partitions for a while: the month after the next is not there when its first events come."""
    (start, later), (past, old) = month(s, 2), month(s, -2)
    s.psql('DROP TABLE %s' % later)
    for at, actor in ((start, 'late'), (past, 'old')):
        s.psql(ADD % ("(timestamptz '%s UTC')" % at, actor, EVENTS))
    is_(where(s, 'late'), 'audit_event_rest', 'an event without a month is written all the same')
    sealed(s)
    is_(verify(s).status, 0, 'and sealed')
    start_again(s)
    wait_for(later, lambda: later in months(s), 20)
    is_(where(s, 'late'), later, 'it moves to its month when that is made')
    is_(where(s, 'old'), old, 'so do events of a month that is over')
    is_(strays(s), '0', 'no stray is left')
    like(s.sh('psql -X -h "%s" -U chancery -d chancery -c "DELETE FROM %s" 2>&1' % (s.path('run/pg'), old),
              check=False).out, 'ERROR', 'and nobody removes them')
    like(verify(s).out, r'(?m)^verified$', 'the tree is what it was')


def taken_out(s):
    past, old = month(s, -2)
    now = month(s, 0)[0]
    like(s.sh('psql -X -h "%s" -U chancery -d chancery -c "SELECT audit_detach(\'%s\')" 2>&1'
              % (s.path('run/pg'), now[:10]), check=False).out, 'is not over', 'the present month is not taken out')
    s.psql("SELECT audit_detach('%s')" % past[:10])
    is_(old in months(s), False, 'a month that is over and sealed is')
    is_(s.psql('SELECT count(*) FROM %s' % old), str(EVENTS), 'its table stays, to be kept elsewhere')
    s.psql('DROP TABLE %s' % old)
    start_again(s)
    found = verify(s)
    is_(found.status, 0, 'without it the audit verifies')
    like(found.out, r'pruned +%d events, up to %s' % (EVENTS, month(s, -1)[0][:10]), 'and says what was pruned')
    unlike(found.out, 'FAULT', 'which is no fault')
    like(s.psql("SELECT resource_id, status FROM audit_event WHERE action = 'audit.detach'"), old, 'the audit tells who did it')
    removed = s.psql("SELECT min(id) FROM audit_event WHERE actor = 'late'")
    tamper(s, 'DELETE FROM audit_event WHERE id = %s' % removed)
    like(verify(s).out, 'event %s was removed' % removed, 'an event of another month that is gone is still named')


def main():
    with Stack() as s:
        made_ahead(s)
        come_along(s)
        taken_out(s)
    done()


main()
