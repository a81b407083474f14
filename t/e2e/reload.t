#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
nginx under OCSP load, with connections that are kept and with one for each request: a reload of the configuration and
an upgrade of the binary (USR2, WINCH, QUIT) fail no request.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from bench import Background  # noqa: E402
from chancery import done, ok    # noqa: E402
from edge import Edge, unlimited  # noqa: E402

RELOADS = 3
COUNT = 2000
KINDS = {'kept connections': ['connections=16', 'method=post'],
         'a connection for each request': ['connections=4', 'keepalive=off', 'rate=500']}


def under_load(edge, what, act):
    words = ['url=http://127.0.0.1:%d/ocsp/iss-test' % edge.http_port, 'issuer=' + edge.pki.path('ca.pem'),
             'count=%d' % COUNT, 'want=good', 'check=200']
    loads = {kind: Background(*words, *more) for kind, more in KINDS.items()}
    time.sleep(0.5)
    act()
    time.sleep(0.5)
    for kind, load in loads.items():
        found = load.stop()
        ok(found['failed'] == 0, '%s, %s: no request failed' % (what, kind), found)
        ok(found['answers'] > 100 and found['checked'] > 0, '%s, %s: there was a load, and answers were verified' % (what, kind),
           found)


def main():
    edge = Edge(workers=2, daemon=True, text=unlimited)
    edge.fill_all('count=%d' % COUNT)
    edge.start()
    under_load(edge, 'reload', lambda: ok(all([edge.reload() for _ in range(RELOADS)]), 'it was reloaded'))
    before = edge.master()
    under_load(edge, 'upgrade', lambda: ok(edge.upgrade(), 'the binary was replaced'))
    ok(edge.master() not in (None, before), 'another master is there')
    edge.stop()
    done()


main()
