#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""OCSP under hostile input: each an error of RFC 6960 4.2.1 or a clear HTTP status, and nothing is harmed by it."""

import base64
import os
import random
import socket
import ssl
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, diag, done, is_, ok, program                  # noqa: E402
from wire import BROKEN, Refusals, Wire, Witness, is_text                # noqa: E402

from cryptography import x509                                            # noqa: E402
from cryptography.hazmat.primitives import hashes                        # noqa: E402
from cryptography.hazmat.primitives.serialization import Encoding        # noqa: E402
from cryptography.x509 import ocsp                                       # noqa: E402
import der                                                               # noqa: E402

MALFORMED, UNAUTHORIZED = bytes.fromhex('30030a0101'), bytes.fromhex('30030a0106')
LIMIT = 10240
SEED = int(os.environ.get('SEED') or int.from_bytes(os.urandom(4), 'big'))
diag('SEED=%d' % SEED)
chance = random.Random(SEED)


def is_error(answer, body=MALFORMED):
    return (answer.status, answer.body, answer.headers.get('Content-Type')) == (200, body, 'application/ocsp-response')


def is_good(answer):
    if answer.status != 200 or answer.body in (MALFORMED, UNAUTHORIZED):
        return False
    return ocsp.load_der_ocsp_response(answer.body).certificate_status == ocsp.OCSPCertStatus.GOOD


def load(path):
    with open(path, 'rb') as file:
        return x509.load_pem_x509_certificate(file.read())


def question(cert, issuer):
    return ocsp.OCSPRequestBuilder().add_certificate(cert, issuer, hashes.SHA1()).build().public_bytes(Encoding.DER)


def get_path(s, text):
    return '/ocsp/%s/%s' % (s.issuer_id, text)


def quoted(request):
    return urllib.parse.quote(base64.b64encode(request).decode(), safe='')


def rebuilt(request, ids=1, version=b'', extensions=b''):
    """The CertID of a request in a new one: OCSPRequest { TBSRequest { [0] version, requestList, [2] extensions } }."""
    cert_id = request[8:]
    return der.seq(der.seq(version, der.seq(*([der.seq(cert_id)] * ids)), extensions))


def cut(s, wire, request):
    """Every truncation, by POST and by GET."""
    post, get = Refusals('a truncated request by POST is malformedRequest'), \
        Refusals('a truncated request by GET is malformedRequest')
    for size in range(len(request)):
        answer = wire.ocsp(request[:size])
        post.expect('%d octets' % size, is_error(answer), answer)
        answer = wire.ask('GET', get_path(s, quoted(request[:size])))
        get.expect('%d octets' % size, is_error(answer), answer)
    post.done(len(request))
    get.done(len(request))


def flip(wire, request):
    """Every bit turned over: malformed, unauthorized, or the answer to another question; never anything else."""
    flips = Refusals('a request with one bit turned over gets an OCSP response')
    for at in range(8 * len(request)):
        wrong = bytearray(request)
        wrong[at // 8] ^= 1 << at % 8
        answer = wire.ocsp(bytes(wrong))
        fine = answer.status == 200 and (answer.body in (MALFORMED, UNAUTHORIZED) or is_good(answer))
        flips.expect('bit %d' % at, fine, answer)
    flips.done(8 * len(request))


def shapes(s, wire, request):
    """Requests of the wrong form, each with the status that it gets."""
    many = rebuilt(request, ids=17)
    unknown_critical = der.context(2, der.seq(der.extension('1.2.3.4.5', der.NULL, der.TRUE)))
    nonces = {size: der.context(2, der.seq(der.extension('1.3.6.1.5.5.7.48.1.2', der.octets(bytes(size)))))
              for size in (0, 32, 129)}
    is_(is_good(wire.ocsp(rebuilt(request))), True, 'the request, taken apart and put together, is good')
    for what, body, wanted in (
            ('nothing', b'', MALFORMED),
            ('indefinite length', der.indefinite(request), MALFORMED),
            ('indefinite length, never ended', der.indefinite(request)[:-2], MALFORMED),
            ('a trailing octet', request + b'\0', MALFORMED),
            ('two requests', request + request, MALFORMED),
            ('base64 by POST', base64.b64encode(request), MALFORMED),
            ('an empty list', der.seq(der.seq(der.EMPTY)), MALFORMED),
            ('version 2', rebuilt(request, version=der.context(0, der.integer(1))), MALFORMED),
            ('more CertIDs than are answered', many, MALFORMED),
            ('an unknown critical extension', rebuilt(request, extensions=unknown_critical), MALFORMED),
            ('a nonce of 129 octets', rebuilt(request, extensions=nonces[129]), MALFORMED),
            ('an empty nonce', rebuilt(request, extensions=nonces[0]), MALFORMED),
            ('a length of 2^63', b'\x30\x88\x7f' + b'\xff' * 7 + request, MALFORMED),
            ('a length in too many octets', b'\x30\x82\0' + bytes([len(request) - 2]) + request[2:], MALFORMED),
            ('4000 SEQUENCEs in each other', deep(4000), MALFORMED)):
        ok(is_error(wire.ocsp(body), wanted), what + ' is malformedRequest')
    is_(is_good(wire.ocsp(rebuilt(request, extensions=nonces[32]))), True, 'a nonce of 32 octets is good')


def deep(levels):
    out = b''
    for _ in range(levels):
        out = der.seq(out)
        if len(out) > LIMIT - 8:
            break
    return out


def not_ours(s, wire, cert, issuer):
    """Certificates that we know nothing of: unsigned unauthorized, never good (RFC 9919 3.2.3)."""
    request = question(cert, issuer)
    serial = cert.serial_number.to_bytes(20, 'big').lstrip(b'\0')
    other = request.replace(serial, bytes([serial[0] ^ 0x11]) + serial[1:])
    ok(other != request and is_error(wire.ocsp(other), UNAUTHORIZED), 'an unknown serial is unauthorized')
    root = load(s.bundle_root)
    ok(is_error(wire.ocsp(question(cert, root)), UNAUTHORIZED), 'the hashes of another issuer are unauthorized')


def random_octets(s, wire):
    tried = Refusals('a million random octets by POST are malformed requests')
    left = 1000000
    while left > 0:
        size = min(left, chance.randrange(1, LIMIT + 1))
        left -= size
        answer = wire.ocsp(chance.randbytes(size))
        tried.expect('%d octets' % size, is_error(answer), answer)
    tried.done(90)

    tried = Refusals('random octets after a good beginning are malformed requests')
    for _ in range(300):
        body = der.tlv(0x30, chance.randbytes(chance.randrange(1, 300)))
        answer = wire.ocsp(body)
        tried.expect(body.hex(), is_error(answer), answer)
    tried.done(300)

    tried = Refusals('random text by GET is a malformed request')
    letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=%-_.~,'
    for _ in range(500):
        text = '~' + ''.join(chance.choice(letters) for _ in range(chance.randrange(1, 1000))) # of hex digits: a serial
        answer = wire.ask('GET', get_path(s, text.replace('%', '%25')))
        tried.expect(text, is_error(answer), answer)
    tried.done(500)


def raw(s, tls):
    """Octets that are no HTTP at all: a 400 in plain text, a TLS alert, or a closed connection."""
    sent, wrong = 0, []
    context = ssl.create_default_context(cafile=s.bundle)
    for turn in range(60):
        blob = chance.randbytes(chance.randrange(1, 8192))
        if turn % 3 == 0:
            blob = blob.replace(b'\n', b'') + b'\r\n\r\n'
        with socket.create_connection(('localhost', s.https_port if tls != 'plain' else s.http_port), 10) as link:
            try:
                if tls == 'inside':
                    link = context.wrap_socket(link, server_hostname='localhost')
                link.sendall(blob)
                link.shutdown(socket.SHUT_WR) if tls == 'plain' else None
                link.settimeout(0.1 if turn % 3 else 2)
                answer = link.recv(65536)
            except (socket.timeout, *BROKEN, OSError):
                answer = b''
            finally:
                link.close()
        sent += len(blob)
        if b'<html' in answer.lower() or (answer.startswith(b'HTTP/') and b' 400 ' not in answer[:16]):
            wrong.append((blob[:40], answer[:200]))
    is_(wrong, [], 'random octets %s: 400 as text, or no answer (%d octets)' % (
        {'plain': 'on the HTTP port', 'outside': 'instead of TLS', 'inside': 'inside TLS'}[tls], sent))


def http_level(s, wire, request):
    path = '/ocsp/' + s.issuer_id
    for method in ('PUT', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND'):
        answer = wire.ask(method, path)
        is_((answer.status, answer.headers.get('Allow'), is_text(answer)), (405, 'GET, POST, HEAD', True),
            '%s is 405, and says what is allowed' % method)
    for method, more in (('POST', {}), ('POST', {'chunked': True})):
        body = request + bytes(LIMIT + 1 - len(request))
        body = [body[:4096], body[4096:]] if more else body
        answer = wire.ask(method, path, body, {'Content-Type': 'application/ocsp-request'}, **more)
        is_((answer.status, is_text(answer)), (413, True), 'one octet above the limit is 413%s' % (
            ', in chunks too' if more else ''))
    answer = wire.ask('POST', path, [request[:50], request[50:]], {'Content-Type': 'application/ocsp-request'}, chunked=True)
    ok(is_good(answer), 'a good request in chunks is good', answer)
    answer = wire.ask('POST', path, bytes(20 * 1024 * 1024), {'Content-Type': 'application/ocsp-request'})
    is_((answer.status, is_text(answer)), (413, True), 'twenty megabytes are 413')
    for where in ('/ocsp/iss-nobody', '/ocsp/', '/ocsp/' + 'x' * 4000, '/ocsp/..%2f' + s.issuer_id,
                  '/ocsp/%2e%2e/ocsp/' + s.issuer_id, '/ocsp/iss-local%2F', '/.well-known/pki/ocsp/iss-nobody'):
        answer = wire.ask('POST', where, request, {'Content-Type': 'application/ocsp-request'})
        is_((answer.status, is_text(answer)), (404, True), '%.40s is 404' % where)
    ok(is_good(wire.ocsp(request, '/.well-known/pki/ocsp/' + s.issuer_id)), 'the well-known path is good')
    answer = wire.ask('GET', get_path(s, quoted(request)), headers={'X-Long': 'x' * 70000})
    is_((answer.status, is_text(answer)), (400, True), 'a header of 70 kB is 400')
    answer = wire.ask('GET', get_path(s, 'A' * 70000))
    is_((answer.status, is_text(answer)), (414, True), 'a path of 70 kB is 414')
    answer = wire.ask('GET', get_path(s, quoted(request)), headers={'X-%d' % i: 'y' * 900 for i in range(100)})
    is_((answer.status, is_text(answer)), (400, True), 'a hundred headers of 900 octets are 400')
    shown = program(['curl', '-s', '--http2', '--cacert', s.bundle, '-o', '/dev/null', '-w', '%{http_version} %{http_code}',
                     '--data-binary', '@-', '-H', 'Content-Type: application/ocsp-request', s.url + path],
                    input=bytes(LIMIT + 1))
    is_(shown.out, '2 413', 'the same limit over HTTP/2')


with Stack() as s:
    device = s.enrol('device-1')
    s.bundle_root = s.file('root.pem')
    with open(s.bundle) as file:
        text = file.read()
    with open(s.bundle_root, 'w') as file:
        file.write(text[text.rindex('-----BEGIN'):])
    witness = Witness(s)
    cert, issuer = load(device.cert), load(s.issuer)
    request = question(cert, issuer)
    wire = Wire(s, tls=False)
    ok(is_good(wire.ocsp(request)), 'the request is good before')

    cut(s, wire, request)
    flip(wire, request)
    shapes(s, wire, request)
    not_ours(s, wire, cert, issuer)
    random_octets(s, wire)
    for tls in ('plain', 'outside', 'inside'):
        raw(s, tls)
    http_level(s, Wire(s, tls=False), request)

    ok(is_good(Wire(s, tls=False).ocsp(request)), 'the request is good afterwards')
    is_(s.ocsp(device), 'good', 'openssl says so, too')
    is_(s.ocsp(s.enrol('device-2')), 'good', 'and a new device enrols')
    witness.check(issued=1)
done()
