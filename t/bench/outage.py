#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
What relying parties notice when the rest is away: the rate of cached OCSP answers while the orchestrator and PostgreSQL
are down against the rate with them, and requests that fail while both are killed, while nginx is reloaded, and while its
binary is replaced.
"""

import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from bench import Background, Figure, done, line, ocsp_load, pick  # noqa: E402
from chancery import Stack                                                # noqa: E402
from edge import Edge, unlimited                                          # noqa: E402
from seed import rebuild, reconfigure, seed                               # noqa: E402

CERTIFICATES = pick(20000, 2000)
SECONDS = pick(3, 1)
ROUNDS = pick(3, 1)
RELOADS, UPGRADES = pick(20, 2), pick(5, 1)
SETTLE_S = pick(2, 0)  # what processes that die or start do to a machine of two cores is not the question
NOISE = 0.97  # a goal of 1.0, as far as two such figures can be told apart
PARTS = ('chanceryd', 'postgres')


def outage():
    with Stack(workers=1) as stack:
        seed(stack, CERTIFICATES, managed=False)
        rebuild(stack)
        reconfigure(stack, unlimited)
        worker = stack.pids('worker')[0]
        words = ['url=%s/ocsp/%s' % (stack.http_url, stack.issuer_id), 'issuer=' + stack.issuer, 'method=get',
                 'count=%d' % CERTIFICATES, 'want=good']

        def figure():
            return Figure(ocsp_load(*words, 'seconds=%g' % SECONDS, 'pid=%d' % worker))

        ocsp_load(*words, 'order=all', 'seconds=0')
        taken, failed, answers = [], 0, 0  # taken: away, and before and after it, since machines get faster and slower
        for _ in range(ROUNDS):
            beside = Background(*words, 'rate=500')
            before = figure()
            for name in PARTS:
                stack.hold(name)  # SIGKILL, and they stay down
            time.sleep(SETTLE_S)
            away = figure()
            for name in reversed(PARTS):
                stack.free(name)
            if not stack.wait_ready(60):
                raise RuntimeError('the stack did not come back')
            time.sleep(SETTLE_S)
            after = figure()
            found = beside.stop()
            failed, answers = failed + found['failed'], answers + found['answers']
            taken.append((away.per_core / ((before.per_core + after.per_core) / 2), away.rate, (before.rate + after.rate) / 2))
    ratio, rate, usual = (statistics.median(each) for each in zip(*taken))
    line('OCSP GET, cached, orchestrator and PostgreSQL away / there', ratio, NOISE,
         'goal 1.0 within noise; %.0f/s and %.0f/s' % (rate, usual))
    line('failed while they were killed, away, and came back', failed, most=0, details='of %d, in %d outages' % (answers, ROUNDS))


def upgrades():
    edge = Edge(workers=1, daemon=True, text=unlimited)
    edge.fill_all('count=%d' % CERTIFICATES)
    edge.start()
    words = ['url=http://127.0.0.1:%d/ocsp/iss-test' % edge.http_port, 'issuer=' + edge.pki.path('ca.pem'),
             'count=%d' % CERTIFICATES, 'want=good']
    for what, count, act in (('reloads', RELOADS, edge.reload), ('binary upgrades', UPGRADES, edge.upgrade)):
        loads = [Background(*words, 'connections=16'), Background(*words, 'keepalive=off', 'rate=500', 'connections=4')]
        for _ in range(count):
            if not act():
                raise RuntimeError(edge.log())
            time.sleep(0.2)
        found = [each.stop() for each in loads]
        line('failed during %d %s of nginx under load' % (count, what), sum(each['failed'] for each in found), most=0,
             details='of %d on kept connections (%d were closed between two requests and sent again), %d on new ones' % (
                 found[0]['answers'], found[0]['retried'], found[1]['answers']))
    edge.stop()


outage()
upgrades()
done()
