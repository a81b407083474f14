#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
The load tool notices what it is there to notice: it asks a peer that misbehaves in one way at a time, and that otherwise
passes on what a real edge answers.
"""

import os
import re
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from bench import ocsp_load, tool                      # noqa: E402
from chancery import done, free_port, is_, like, ok, program  # noqa: E402
from edge import Edge, unlimited                       # noqa: E402

COUNT = 200
REQUESTS = 40


class Peer:
    """Passes requests on to the edge and answers what act(request, answer) makes of it; None: close."""

    def __init__(self, edge, act):
        self.edge, self.act, self.seen = edge, act, 0
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    @staticmethod
    def read(connection):
        data = b''
        while True:
            head, mark, body = data.partition(b'\r\n\r\n')
            length = re.search(rb'content-length: (\d+)', head, re.I)
            if mark and len(body) >= int(length.group(1) if length else 0):
                return data
            more = connection.recv(65536)
            if not more:
                return data
            data += more

    def serve(self, connection):
        with connection, socket.create_connection(('127.0.0.1', self.edge.http_port)) as upstream:
            while True:
                request = self.read(connection)
                if not request:
                    return
                upstream.sendall(request)
                self.seen += 1
                answer = self.act(self, request, self.read(upstream))
                if answer is None:
                    return
                connection.sendall(answer)
                if self.close_after(answer):
                    return

    @staticmethod
    def close_after(answer):
        length = int(re.search(rb'content-length: (\d+)', answer, re.I).group(1))
        return len(answer.partition(b'\r\n\r\n')[2]) < length

    def close(self):
        self.listener.close()


def body_of(answer, body, status=b'200 OK'):
    head = answer.partition(b'\r\n\r\n')[0]
    head = re.sub(rb'Content-Length: \d+', b'Content-Length: %d' % len(body), head)
    return head.replace(b'200 OK', status, 1) + b'\r\n\r\n' + body


def spoil(answer):
    """One bit of the last octet, which is in the signature of the responder's certificate."""
    return answer[:-1] + bytes([answer[-1] ^ 1])


def first_of_all(peer, _, answer):
    """Every request gets the answer to the first."""
    if peer.seen == 1:
        peer.kept = answer
    return peer.kept


def closing(peer, _, answer):
    """Each fifth request finds the connection closed."""
    return None if peer.seen % 5 == 0 else answer


# What the peer does, options, {kind of failure: how many}, and what is said about the first.
CASES = [
    ('nothing wrong', lambda p, r, a: a, [], {}, None),
    ('a nonce', lambda p, r, a: a, ['nonce=16'], {}, None),
    ('another hash, by GET', lambda p, r, a: a, ['hash=sha256', 'method=get', 'nonce=32'], {}, None),
    ('HTTP 503', lambda p, r, a: body_of(a, b'no', b'503 Service Unavailable'), [], {'http': REQUESTS}, 'HTTP status 503'),
    ('tryLater', lambda p, r, a: body_of(a, bytes.fromhex('30030a0103')), [], {'ocsp': REQUESTS}, 'OCSP status 3'),
    ('an empty body', lambda p, r, a: body_of(a, b''), [], {'ocsp': REQUESTS}, 'OCSP status -1'),
    ('an answer about another certificate', first_of_all, ['order=all', 'count=%d' % REQUESTS, 'connections=1'],
     {'check': REQUESTS - 1}, 'another serial'),
    ('a signature that is not right', lambda p, r, a: spoil(a), [], {'check': REQUESTS}, 'does not verify'),
    ('a nonce that is not echoed', lambda p, r, a: p.edge_plain, ['nonce=16', 'connections=1'], {'check': REQUESTS}, 'its nonce'),
    ('a status that is not expected', lambda p, r, a: a, ['want=revoked'], {'check': REQUESTS}, 'not the expected one'),
    ('half an answer', lambda p, r, a: a[:-100], [], {'broken': REQUESTS}, 'before the answer was whole'),
    ('no answer at all', lambda p, r, a: None, [], {'broken': REQUESTS}, 'closed'),
]


def case(edge, what, act, more, failures, said):
    peer = Peer(edge, act)
    peer.edge_plain = Peer.read(asked(edge))
    found = ocsp_load('url=http://127.0.0.1:%d/ocsp/iss-test' % peer.port, 'issuer=' + edge.pki.path('ca.pem'),
                      'count=%d' % COUNT, 'method=post', 'seconds=20', 'requests=%d' % REQUESTS, 'check=1',
                      'connections=4', *more, failures=True)
    peer.close()
    is_(found['failures'], failures, what + ': counted as what it is')
    if said:
        like(found.get('first_failure', ''), said, what + ': named')
    else:
        is_((found['answers'], found['checked']), (REQUESTS, REQUESTS), what + ': all answers were checked')


def asked(edge):
    """A connection on which the edge is about to answer a request without a nonce."""
    der = edge.ocsp_request('40eceb66ffc86f38d952786c6d696c79')
    connection = socket.create_connection(('127.0.0.1', edge.http_port))
    connection.sendall(b'POST /ocsp/iss-test HTTP/1.1\r\nHost: a\r\nContent-Type: application/ocsp-request\r\n'
                       b'Content-Length: %d\r\n\r\n' % len(der) + der)
    return connection


def main():
    edge = Edge(workers=1, text=unlimited)
    edge.fill_all('count=%d' % COUNT)
    edge.start()
    for each in CASES:
        case(edge, *each)

    peer = Peer(edge, closing)
    found = ocsp_load('url=http://127.0.0.1:%d/ocsp/iss-test' % peer.port, 'issuer=' + edge.pki.path('ca.pem'),
                      'count=%d' % COUNT, 'requests=%d' % REQUESTS, 'connections=1', failures=True)
    peer.close()
    ok(found['failed'] == 0 and found['answers'] == REQUESTS and found['retried'] > 0,
       'a kept connection that was closed between requests is no failure, and is counted', found)

    found = ocsp_load('url=http://127.0.0.1:%d/ocsp/iss-test' % free_port(), 'issuer=' + edge.pki.path('ca.pem'),
                      'seconds=0.3', failures=True)
    ok(found['failures'].get('connect', 0) > 0 and found['answers'] == 0, 'nobody listens: connect', found)

    url = 'url=http://127.0.0.1:%d/ocsp/iss-test' % edge.http_port
    found = ocsp_load(url, 'issuer=' + edge.pki.path('ca.pem'), 'count=%d' % COUNT, 'order=all', 'seconds=0')
    is_(found['answers'], COUNT, 'order=all asks for each once')
    found = ocsp_load(url, 'issuer=' + edge.pki.path('ca.pem'), 'count=%d' % COUNT, 'rate=200', 'seconds=2', failures=True)
    ok(300 < found['answers'] <= 401, 'a rate is kept', found)
    found = ocsp_load(url, 'issuer=' + edge.pki.path('ca.pem'), 'flood=mix', 'requests=300', 'seconds=20', failures=True)
    ok(set(found['ocsp']) == {'malformedRequest', 'unauthorized'} and '413' in found['http'],
       'a flood is unissued serials, garbage and too much', found)
    like(program([tool('ocsp_load'), '--help']).out, 'condition=none', '--help tells the options')
    edge.remove()
    done()


main()
