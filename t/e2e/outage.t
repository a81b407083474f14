#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
The orchestrator and PostgreSQL are killed under OCSP load and stay away for a while: no request without a nonce fails,
none with one either, and afterwards everything is there again.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from bench import Background                        # noqa: E402
from chancery import Stack, done, is_, ok           # noqa: E402
from edge import unlimited                          # noqa: E402
from seed import feed, reconfigure, seed            # noqa: E402

COUNT = 500
AWAY_S = 2
LOADS = {'GET': ['method=get'], 'POST': ['method=post'], 'POST with a nonce': ['method=post', 'nonce=32'],
         'a connection for each request': ['keepalive=off']}


def main():
    with Stack(workers=2) as stack:
        reconfigure(stack, unlimited)
        seed(stack, COUNT)
        ok(feed(stack, COUNT), 'the certificates are known at the edge')
        words = ['url=%s/ocsp/%s' % (stack.http_url, stack.issuer_id), 'issuer=' + stack.issuer, 'count=%d' % COUNT,
                 'want=good', 'check=100', 'connections=4', 'rate=400']
        loads = {name: Background(*words, *more) for name, more in LOADS.items()}
        time.sleep(0.5)
        for name in ('chanceryd', 'postgres'):
            stack.hold(name)
        is_((stack.pids('orchestrator'), stack.pids('postgres')), ([], []), 'both are gone')
        time.sleep(AWAY_S)
        for name in ('postgres', 'chanceryd'):
            stack.free(name)
        ok(stack.wait_ready(60), 'the stack comes back')
        for name, load in loads.items():
            found = load.stop()
            is_(found['failed'], 0, '%s: no request failed' % name)
            ok(found['answers'] > 200 and found['checked'] > 0, '%s: answers were verified' % name, found)
        answer = stack.api('POST', '/api/v1/certificates/mc-bench-0/revoke', {'reason': 'superseded'})
        is_(answer.status, 200, 'revocations go on')
    done()


main()
