#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
Revocation on a whole stack under OCSP load.  "Good" from any of four workers after the revoke call returned: never.
And how long it takes from a revocation by one orchestrator until the edge of another one says revoked.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from bench import Background, done, line, pick, race  # noqa: E402
from chancery import Stack                            # noqa: E402
from edge import unlimited                            # noqa: E402
from second import Second                             # noqa: E402
from seed import rebuild, seed, tell_workers          # noqa: E402

TRIALS = pick(100000, 300)
SECOND_TRIALS = pick(1000, 30)  # seen at another edge
WORKERS = 4
LOAD = 3000  # requests a second beside


def visible(stack):
    load = Background('url=%s/ocsp/%s' % (stack.http_url, stack.issuer_id), 'issuer=' + stack.issuer, 'method=post',
                      'count=%d' % TRIALS, 'rate=%d' % LOAD)
    try:
        found = race(stack, 'count=%d' % TRIALS, 'workers=%d' % WORKERS, 'revokers=32')
    finally:
        beside = load.stop()
    if found['trials'] != TRIALS or found['refused'] or found['unclear'] or found['wrong']:
        raise RuntimeError('the trials were not what they should be: %s' % found)
    line('"good" after the revoke call returned, %d trials' % TRIALS, found['good'], most=0, details=(
        '%d answers of %d workers; %.0f revocations/s, call p50 %.1f ms, p99 %.1f ms; load beside %.0f/s, %d failed' % (
            found['revoked'], WORKERS, TRIALS / found['seconds'], found['call_p50_ms'], found['call_p99_ms'],
            beside['rate'], beside['failed'])))


def elsewhere(stack):
    """One after the other, at an even pace: what is measured is the way, not how many fit on it."""
    with Second(stack, text=unlimited) as second:
        load = Background('url=%s/ocsp/%s' % (second.http_url, stack.issuer_id), 'issuer=' + stack.issuer, 'method=post',
                          'count=%d' % TRIALS, 'rate=%d' % LOAD)
        try:
            found = race(stack, 'first=%d' % TRIALS, 'count=%d' % SECOND_TRIALS, 'revokers=4', 'workers=1', 'until=1',
                         'pause=20', edge=second)
        finally:
            beside = load.stop()
    if found['revoked'] != SECOND_TRIALS or found['wrong']:
        raise RuntimeError('the trials were not what they should be: %s' % found)
    line('revoked at the edge of another orchestrator, p99 in ms', found['seen_p99_ms'], most=100, details=(
        'from the start of the call, p50 %.1f; from its return p50 %.1f, p99 %.1f, max %.1f; load beside %.0f/s' % (
            found['seen_p50_ms'], found['after_p50_ms'], found['after_p99_ms'], found['after_max_ms'], beside['rate'])))


def main():
    with Stack(workers=WORKERS) as stack:
        seed(stack, TRIALS + SECOND_TRIALS)
        rebuild(stack)
        tell_workers(stack)
        visible(stack)
        elsewhere(stack)
    done()


main()
