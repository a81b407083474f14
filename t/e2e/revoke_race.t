#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
Revocations by many at once, under OCSP load: as soon as the call has returned, every worker says revoked.  And at the
edge of another orchestrator it is so within seconds.
"""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from bench import Background, race                  # noqa: E402
from chancery import SLOW, Stack, done, is_, ok     # noqa: E402
from edge import unlimited                          # noqa: E402
from second import Second                           # noqa: E402
from seed import feed, seed, tell_workers           # noqa: E402

TRIALS, ELSEWHERE = 400, 20
WORKERS = 3


def main():
    with Stack(workers=WORKERS) as stack:
        seed(stack, TRIALS + 2 * ELSEWHERE)
        ok(feed(stack, TRIALS + 2 * ELSEWHERE), 'the certificates are known at the edge')
        tell_workers(stack)
        load = Background('url=%s/ocsp/%s' % (stack.http_url, stack.issuer_id), 'issuer=' + stack.issuer,
                          'count=%d' % TRIALS, 'rate=1000', 'check=200')
        found = race(stack, 'count=%d' % TRIALS, 'workers=%d' % WORKERS)
        beside = load.stop()
        is_(found['good'], 0, 'no worker says good after the call returned')
        is_((found['revoked'], found['unclear'], found['refused'], found['wrong']), (TRIALS * WORKERS, 0, 0, 0),
            'every worker says revoked, every time')
        ok(beside['failed'] == 0 and beside['answers'] > 0, 'nothing failed beside', beside)
        with Second(stack, text=unlimited) as second:
            found = race(stack, 'first=%d' % TRIALS, 'count=%d' % ELSEWHERE, 'revokers=2', 'workers=1', 'until=1', edge=second)
            second.signal(signal.SIGSTOP)
            deaf = race(stack, 'first=%d' % (TRIALS + ELSEWHERE), 'count=%d' % ELSEWHERE, 'workers=1', edge=second)
            second.signal(signal.SIGCONT)
        is_(deaf['good'], ELSEWHERE, 'where nobody listens it is still good, and this test would see it')
        is_((found['revoked'], found['wrong']), (ELSEWHERE, 0), 'the edge of another orchestrator says revoked, too')
        ok(found['seen_max_ms'] < 3000 * SLOW, 'within three seconds', found)
    done()


main()
