#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
OCSP with one nginx worker, keepalive, serials in random order over 100,000 certificates: answers from the cache
against `return 200` of the same size in the same nginx, and signed answers against the openssl command's signatures.
"""

import base64
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from bench import done, line, openssl_sign_rate, pairs, wrk  # noqa: E402
from edge import Edge                                        # noqa: E402

CERTIFICATES = 100000
CONNECTIONS = 16
SECONDS = 2
ROUNDS = 5
LUA = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'ocsp.lua')


def requests_make(edge):
    """One request for each certificate that edge_fill made, and how long an answer is."""
    mark = '41' * 16
    template = edge.ocsp_request(mark)
    name = os.path.join(edge.folder, 'requests')
    with open(name, 'w') as file:
        for i in range(CERTIFICATES):
            serial = b'\x40' + hashlib.sha256(b'%d' % i).digest()[1:16]
            der = template.replace(bytes.fromhex(mark), serial)
            file.write(base64.b64encode(der).decode() + '\n')
    answer = edge.ocsp_post(der)[2]
    if len(answer) < 100:
        raise RuntimeError('the last certificate is answered ' + answer.hex())
    return name, len(answer)


def edge_start(cache):
    size = [0]
    edge = Edge(workers=1, cache=cache, text=lambda text: text.replace(
        '# ---- devices', 'location /baseline { default_type application/ocsp-response; return 200 "%s"; }\n        # ----' % ('x' * size[0])))
    edge.fill_all('count=%d' % CERTIFICATES)
    edge.start()
    name, size[0] = requests_make(edge)
    edge.stop()
    edge.start()
    return edge, name, size[0]


def rate(edge, name, path, method, order, seconds=SECONDS):
    return wrk('http://127.0.0.1:%d' % edge.http_port, LUA, CONNECTIONS, seconds, args=(method, path, name, str(order)))


def cached():
    edge, name, size = edge_start(cache=True)
    rate(edge, name, '/ocsp/iss-test', 'post', 'all', 12)  # every answer is in the cache after this
    for method in ('post', 'get'):
        ratio, ours, theirs = pairs(lambda: rate(edge, name, '/ocsp/iss-test', method, 1),
                                    lambda: rate(edge, name, '/baseline', method, 1), ROUNDS)
        line('OCSP %s, cached / return 200' % method.upper(), ratio, 0.7, '%.0f/s, %.0f/s, %d octets' % (ours, theirs, size))
    edge.remove()


def uncached():
    edge, name, _ = edge_start(cache=False)
    ratio, ours, theirs = pairs(lambda: rate(edge, name, '/ocsp/iss-test', 'post', 2), openssl_sign_rate, ROUNDS)
    line('OCSP POST, signed / openssl ecdsap256 sign', ratio, 0.4, '%.0f/s, %.0f/s' % (ours, theirs))
    edge.remove()


cached()
uncached()
done()
