#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
EST simpleenroll over keepalive TLS, P-256, durable, against pgbench inserting a row of the same size into the same
PostgreSQL with the same number of connections.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from bench import done, line, pairs, pgbench, tool, wrk  # noqa: E402
from chancery import Stack, program                      # noqa: E402

CONNECTIONS = (64, 16)  # the first has the goal
SECONDS = 5
ROUNDS = 5
REQUESTS = 400000


def row_size(stack):
    """Octets that one enrolment leaves in the tables, without indexes."""
    tables = ('managed_certificate', 'certificate_version', 'issuance_key', 'audit_event', 'change_feed')
    return int(stack.psql('SELECT (%s) / count(*) FROM certificate_version' %
                          ' + '.join("pg_relation_size('%s')" % each for each in tables)))


def main():
    with Stack(workers=1) as stack:
        requests = stack.file('requests')
        with open(requests, 'wb') as file:
            file.write(program([tool('csr_make'), str(REQUESTS), 'bench'], timeout=600).raw)
        lua = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'est.lua')
        authorization = stack.basic()['Authorization']
        used = [0]

        def enrol(connections):
            before = int(stack.psql('SELECT count(*) FROM certificate_version'))
            rate = wrk(stack.url + '/.well-known/est/simpleenroll', lua, connections, SECONDS,
                       args=(requests, authorization, str(used[0])))
            issued = int(stack.psql('SELECT count(*) FROM certificate_version')) - before
            if issued < rate * SECONDS * 0.9:
                raise RuntimeError('%d answers, but %d certificates' % (rate * SECONDS, issued))
            used[0] += issued + 2 * connections
            return rate

        enrol(CONNECTIONS[0])  # warm: connections, prepared statements, files
        stack.psql('CREATE TABLE bench_row (no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL)')
        stack.psql('ALTER TABLE bench_row ALTER COLUMN body SET STORAGE EXTERNAL')
        size = row_size(stack)
        script = stack.file('insert.sql')
        with open(script, 'w') as file:
            file.write("INSERT INTO bench_row (body) VALUES (decode('%s', 'hex'));\n" % ('5a' * size))
        for connections in CONNECTIONS:
            ratio, ours, theirs = pairs(lambda: enrol(connections),
                                        lambda: pgbench(stack, script, connections, SECONDS), ROUNDS)
            figures = '%.0f/s, %.0f/s, rows of %d octets' % (ours, theirs, size)
            what = 'EST simpleenroll / pgbench insert, %d connections' % connections
            if connections == CONNECTIONS[0]:
                line(what, ratio, 0.25, figures)
            else:
                line(what, '%.2f' % ratio, None, figures)
    done()


main()
