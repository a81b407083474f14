#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""The EST module in front of a peer that does as it is told: who may enrol, what is refused, what goes on the wire."""

import base64
import contextlib
import hashlib
import os
import re
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import record  # noqa: E402
from chancery import SLOW, done, is_, like, ok, openssl, unlike, wait_for  # noqa: E402
from edge import Edge  # noqa: E402
from frame import Wire  # noqa: E402

CERTS_ONLY = 'application/pkcs7-mime; smime-type=certs-only'
PASSWORD, CHALLENGE = 'correct-horse-battery', 'not-this-connection'
EST = '/.well-known/est'


class Peer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Where the orchestrator would be: keeps what it was sent, and answers what self.answer says."""

    daemon_threads = True

    def __init__(self, edge):
        self.edge, self.seen, self.answer, self.delay = edge, [], None, 0
        self.connections, self.waiting, self.lock = [], [], threading.Lock()
        self.gather = 1  # so many requests are answered together, the last one first
        self.drop = 0    # so many are answered by the end of the connection
        self.place = edge.path('run/edge.sock')
        super().__init__(self.place, Peer.Handler)
        os.chmod(self.place, 0o777)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()
        os.unlink(self.place)
        for each in self.connections:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def certificate(self, csr):
        pki = self.edge.pki
        return openssl('x509', '-req', '-inform', 'DER', '-CA', pki.path('ca.pem'), '-CAkey', pki.path('ca.key'), '-set_serial',
                       '0x40' + os.urandom(15).hex(), '-copy_extensions', 'copy', '-days', '9', '-outform', 'DER', input=csr).raw

    class Handler(socketserver.BaseRequestHandler):
        def octets(self, got):
            answer = self.server.answer
            if answer is None:
                answer = {'status': 'issued', 'certificate': self.server.certificate(got['csr'])}
            elif callable(answer):
                answer = answer(got)
            return answer if isinstance(answer, bytes) else record.pack(record.ANSWER, answer)

        def handle(self):
            peer, wire = self.server, Wire(self.request)
            peer.connections.append(self.request)
            while (asked := wire.take()) is not None:
                got = record.unpack(record.REQUEST, asked[1])
                peer.seen.append(got)
                if peer.drop:
                    peer.drop -= 1
                    return
                with peer.lock:
                    peer.waiting.append((wire, asked[0], got))
                    if len(peer.waiting) == peer.gather:
                        self.answer_all()

        def answer_all(self):
            time.sleep(self.server.delay)
            for wire, no, got in reversed(self.server.waiting):
                with contextlib.suppress(OSError):
                    wire.send(self.octets(got), no)
            del self.server.waiting[:]


def basic(user, password=PASSWORD):
    return {'Authorization': 'Basic ' + base64.b64encode(('%s:%s' % (user, password)).encode()).decode()}


def send(connection, path, der, headers=None, type_='application/pkcs10', method='POST', **more):
    body = der if isinstance(der, str) else base64.b64encode(der)
    connection.request(method, EST + path, body, {'Content-Type': type_, **(headers or {})}, **more)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def certificates(body):
    """What is in a certs-only message, as the openssl command sees it: PEM."""
    text = openssl('pkcs7', '-inform', 'DER', '-print_certs', input=base64.b64decode(body)).out
    return re.findall(r'-----BEGIN.*?-----END CERTIFICATE-----', text, re.S)


def cacerts(edge):
    connection = edge.tls()
    for path in ('/cacerts', '/devices/cacerts'):
        connection.request('GET', EST + path)
        answer = connection.getresponse()
        body = answer.read()
        is_((answer.status, answer.headers['Content-Type'], int(answer.headers['Content-Length'])),
            (200, 'application/pkcs7-mime', len(body)), 'GET %s' % path)
        is_(len(certificates(body)), 2, 'the issuing CA and its root')
        ok(b'\n' not in body, 'in one line')
    connection.request('GET', EST + '/cacerts', headers={'User-Agent': 'libest 3.1'})
    body = connection.getresponse().read()
    ok(max(len(each) for each in body.split(b'\r\n')) == 64, 'in lines of 64 for libest')
    is_(edge.http('GET', EST + '/cacerts')[0], 403, 'not without TLS')


def paths(edge, csr):
    connection = edge.tls()
    for path in ('', '/', '/nobody/cacerts', '/cacerts/', '/cacerts/devices', '/fullcmc', '/devices/csrattrs', '/x/devices/cacerts',
                 '/devices%2fcacerts', '/' + 200 * 'a' + '/cacerts', 'x/cacerts', '/DEVICES/cacerts'):
        connection.request('GET', EST + path)
        answer = connection.getresponse()
        is_((answer.status, answer.headers['Content-Type'], answer.read()[:5]), (404, 'text/plain', b'there'), 'GET %s: 404' % path[:40])
    for path, wanted in (('/..%2fcacerts', 404), ('/devices/../cacerts', 404), ('/devices%00/cacerts', 400)):
        connection = edge.tls()
        connection.request('GET', EST + path)
        answer = connection.getresponse()
        answer.read()
        is_((answer.status, answer.headers['Content-Type']), (wanted, 'text/plain'), 'GET %s: %d' % (path, wanted))
    connection = edge.tls()
    connection.request('GET', EST + '/dev%69ces/cacerts')
    answer = connection.getresponse()
    answer.read()
    is_(answer.status, 200, 'one percent-decoding is done')
    for method, path, allow in (('POST', '/cacerts', 'GET, HEAD'), ('GET', '/simpleenroll', 'POST'), ('PUT', '/simplereenroll', 'POST')):
        status, headers, body = send(connection, path, csr, method=method)
        is_((status, headers['Allow'], headers['Content-Type']), (405, allow, 'text/plain'), '%s %s: 405 with Allow' % (method, path))


def credentials(edge, peer, csr):
    connection = edge.tls()
    for headers, what in (({}, 'none'), (basic('device', 'wrong'), 'a wrong password'), (basic('nobody'), 'an unknown user'),
                          (basic('device', PASSWORD + 'x'), 'a longer password'), ({'Authorization': 'Bearer x'}, 'not Basic'),
                          ({'Authorization': 'Basic !!'}, 'not base64'), (basic('device', ''), 'an empty password')):
        status, answer, body = send(connection, '/devices/simpleenroll', csr, headers)
        is_((status, answer['WWW-Authenticate'], answer['Content-Type']), (401, 'Basic realm="EST devices"', 'text/plain'), 'credentials, %s: 401' % what)
    status, answer, body = send(connection, '/machines/simpleenroll', csr, basic('device'))
    is_((status, answer['WWW-Authenticate']), (403, None), 'a label that takes certificates only: 403')
    is_(send(connection, '/devices/simplereenroll', csr, basic('device'))[0], 403, 're-enrolment with a password: 403')
    is_(peer.seen, [], 'and the orchestrator was not asked')


def bodies(edge, peer, csr):
    connection, good = edge.tls(), base64.b64encode(csr)
    for type_ in ('text/plain', '', 'application/pkcs7-mime'):
        is_(send(connection, '/devices/simpleenroll', csr, basic('device'), type_)[0], 415, 'Content-Type "%s": 415' % type_)
    is_(send(connection, '/devices/simpleenroll', 32769 * 'A', basic('device'))[::2],
        (413, b"the request's body has at most 32768 octets\n"), 'a body over the limit: 413')
    connection = edge.tls()
    chunks = iter([1000 * b'A'] * 40)
    connection.request('POST', EST + '/devices/simpleenroll', chunks, {'Content-Type': 'application/pkcs10', **basic('device')}, encode_chunked=True)
    answer = connection.getresponse()
    is_((answer.status, answer.headers['Content-Type']), (413, 'text/plain'), 'also in chunks')
    connection = edge.tls()
    for body, what in ((b'', 'nothing'), (good[:-1], 'padding cut off'), (good.replace(b'A', b'-', 1), 'base64url'), (good + b'AAAA', 'octets after it'),
                       (b'-----BEGIN CERTIFICATE REQUEST-----\n' + good + b'\n-----END CERTIFICATE REQUEST-----\n', 'PEM'),
                       (base64.b64encode(os.urandom(3000)), 'random octets'),
                       (base64.b64encode(csr[:-1] + bytes([csr[-1] ^ 1])), 'a bad signature'),
                       (base64.b64encode(b'\x30\x80' + csr[4:] + b'\0\0'), 'indefinite length')):
        status, headers, text = send(connection, '/devices/simpleenroll', body.decode(), basic('device'))
        is_((status, headers['Content-Type']), (400, 'text/plain'), '%s: 400' % what)
    answers = {send(connection, '/devices/simpleenroll', csr[:n], basic('device'))[0] for n in range(1, len(csr), 3)}
    is_(answers, {400}, 'truncations: 400')
    is_(peer.seen, [], 'and the orchestrator was not asked')
    wrapped = '\r\n'.join(good.decode()[i:i + 64] for i in range(0, len(good), 64)) + '\n'
    is_(send(connection, '/devices/simpleenroll', wrapped, basic('device'), 'Application/PKCS10; charset=x')[0], 200, 'lines, and a media type with parameters, are fine')
    chunks = iter([good[:100], good[100:]])
    is_(chunked(connection, chunks), 200, 'in chunks, on a connection that has seen errors')


def chunked(connection, chunks):
    connection.request('POST', EST + '/devices/simpleenroll', chunks, {'Content-Type': 'application/pkcs10', **basic('device')}, encode_chunked=True)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def issued(edge, peer, csr):
    connection = edge.tls()
    del peer.seen[:]
    status, headers, body = send(connection, '/devices/simpleenroll', csr, basic('device'))
    is_((status, headers['Content-Type'], int(headers['Content-Length'])), (200, CERTS_ONLY, len(body)), 'issued')
    is_(headers['Transfer-Encoding'], None, 'not in chunks')
    found = certificates(body)
    is_(len(found), 1, 'the certificate and no other')
    like(openssl('x509', '-noout', '-subject', input=found[0]).out, 'device-1', 'the one asked for')
    is_(len(peer.seen), 1, 'one request to the orchestrator')
    got = peer.seen[0]
    is_({each: got.get(each) for each in ('protocol', 'operation', 'label', 'identity_kind', 'identity', 'password', 'source')},
        {'protocol': 'est', 'operation': 'simpleenroll', 'label': 'devices', 'identity_kind': 'basic', 'identity': 'device', 'password': None,
         'source': '127.0.0.1'}, 'says who asks for what')
    is_(got['csr'], csr, 'with the request as it came')
    send(connection, '/devices/simpleenroll', csr, basic('device'))
    send(connection, '/devices/simpleenroll', csr, basic('person'))
    keys = [each['transaction_key'] for each in peer.seen]
    ok(keys[0] == keys[1] != keys[2], 'the same request has the same transaction key, another identity\'s has not', keys)
    is_(peer.seen[2].get('password'), PASSWORD, 'the orchestrator gets a password only when it has to check it')
    status, headers, body = send(connection, '/devices/simpleenroll', csr, {**basic('device'), 'User-Agent': 'libest'})
    ok(max(len(each) for each in body.split(b'\r\n')) == 64, 'in lines of 64 for libest')


def other_answers(edge, peer, csr):
    connection = edge.tls()

    def ask():
        start = time.monotonic()
        status, headers, body = send(connection, '/devices/simpleenroll', csr, basic('device'))
        return status, headers, body, time.monotonic() - start

    peer.answer = {'status': 'pending', 'retry_after_s': 7}
    status, headers, body, _ = ask()
    is_((status, headers['Retry-After']), (202, '7'), 'pending: 202 with Retry-After')
    for code, wanted in (('POLICY', 403), ('CSR', 400), ('KEY', 400), ('CONFLICT', 409), ('RATE', 429)):
        peer.answer = {'status': 'rejected', 'code': code, 'clause': 'RFC 1 2', 'text': 'no'}
        status, headers, body, _ = ask()
        is_((status, headers['Content-Type'], body), (wanted, 'text/plain', b'no (RFC 1 2)\n'), 'rejected, %s: %d' % (code, wanted))
    peer.answer = {'status': 'rejected', 'code': 'UNAUTHENTICATED', 'text': 'no'}
    status, headers, body, _ = ask()
    is_((status, headers['WWW-Authenticate']), (401, 'Basic realm="EST devices"'), 'rejected, UNAUTHENTICATED: 401 with a challenge')
    for answer, what in ((b'{', 'no record'), (record.pack(record.ANSWER, {'status': 'pending'})[:-3], 'half a record'),
                         ({'status': 'odd'}, 'an unknown outcome'), (b'', 'that it could not serve'),
                         (bytes(5 << 20), 'more than an answer may have'), ({'status': 'issued'}, 'issued without a certificate'),
                         ({'status': 'rejected', 'code': 'INTERNAL', 'text': 'private'}, 'an internal error')):
        peer.answer = answer
        status, headers, body, _ = ask()
        is_((status, headers['Content-Type'], headers['Retry-After'] in list('12345')), (503, 'text/plain', True), 'from the orchestrator %s: 503 with Retry-After' % what)
        unlike(body, 'private', 'and no details')
    peer.answer, peer.delay = None, 3
    status, headers, body, seconds = ask()
    is_((status, headers['Retry-After'] is not None), (503, True), 'a slow orchestrator: 503 with Retry-After')
    ok(seconds < 2, 'within two seconds', seconds)
    with contextlib.closing(edge.tls()) as gone:
        gone.request('POST', EST + '/devices/simpleenroll', base64.b64encode(csr), {'Content-Type': 'application/pkcs10', **basic('device')})
    peer.delay = 0
    peer.close()
    status, headers, body, seconds = ask()
    is_((status, headers['Retry-After'] is not None), (503, True), 'no orchestrator: 503 with Retry-After')
    ok(seconds < 2, 'within two seconds', seconds)
    connection.request('GET', EST + '/cacerts')
    is_(connection.getresponse().status, 200, 'while cacerts is served')


def many_at_once(edge, peer):
    requests = [edge.pki.request('device', '/CN=device-%d' % n) for n in range(12)]

    def enrol(csr, results):
        with contextlib.closing(edge.tls()) as connection:
            status, _, body = send(connection, '/devices/simpleenroll', csr, basic('device'))
            results.append((status, body.decode().strip() == hashlib.sha256(csr).hexdigest()))

    def enrol_all(count):
        results = []
        threads = [threading.Thread(target=enrol, args=(csr, results)) for csr in requests[:count]]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return results

    peer.answer = lambda got: {'status': 'rejected', 'code': 'POLICY', 'text': hashlib.sha256(got['csr']).hexdigest()}
    del peer.seen[:], peer.connections[:]
    peer.drop = 1
    is_(enrol_all(1), [(403, True)], 'a connection that is lost: asked once more on the next one')
    is_(len(peer.seen), 2, 'which makes two')
    is_(peer.seen[0], peer.seen[1], 'and the same')
    peer.gather = 12
    is_(enrol_all(12), 12 * [(403, True)], 'twelve at a time, answered in another order, each with its own')
    is_(len(peer.seen), 14, 'and none of them twice')
    ok(len(peer.connections) <= 2, 'on one connection of each worker', len(peer.connections))
    peer.gather, peer.drop = 1, 2
    is_((enrol_all(1), len(peer.seen)), ([(503, False)], 16), 'lost twice: 503')
    is_(enrol_all(1), [(403, True)], 'and the next one is served')


def client_certificates(edge, peer):
    pki = edge.pki
    names, san = '/CN=device-1', 'DNS:device-1,IP:192.0.2.1'
    pki.issue('one', names, 'ca', 'client', san=san)
    for other in ('revoked', 'hold', 'unknown'):
        pki.issue(other, names, 'ca', 'client', san=san)
    pki.issue('noeku', names, 'ca', 'plain', san=san)
    pki.issue('web', names, 'ca', 'server', san=san)
    pki.root('maker', '/CN=Maker Root')
    pki.issue('idevid', '/CN=idevid-1', 'maker', 'client')
    pki.issue('sibling', '/CN=Sibling CA', 'root', 'ca')
    pki.issue('cousin', names, 'sibling', 'client', san=san)
    with open(pki.path('cousin.pem'), 'a') as out, open(pki.path('sibling.pem')) as file:
        out.write(file.read())
    pki.expire('one', 'ca')
    edge.fill('trust=' + pki.path('maker.pem'), 'label=machines,certificate,0',
              *['status=%s,%s' % (pki.serial(name), kind) for name, kind in
                (('one', 'good'), ('revoked', 'revoked'), ('hold', 'hold'), ('noeku', 'good'), ('web', 'good'), ('one-expired', 'good'))])
    for name, operation, wanted, what in (
            ('one', 'simpleenroll', 200, 'a certificate of the label\'s CA'), ('one', 'simplereenroll', 200, 'the same, to be renewed'),
            ('noeku', 'simplereenroll', 200, 'one without extended key usage'), ('web', 'simplereenroll', 403, 'one for servers only'),
            ('revoked', 'simpleenroll', 403, 'a revoked one'), ('revoked', 'simplereenroll', 403, 'a revoked one, to be renewed'),
            ('hold', 'simplereenroll', 403, 'one on hold'), ('unknown', 'simplereenroll', 403, 'one that is not on record'),
            ('one-expired', 'simplereenroll', 403, 'an expired one'), ('idevid', 'simpleenroll', 200, 'one of the trust bundle'),
            ('idevid', 'simplereenroll', 403, 'one of the trust bundle, to be renewed'),
            ('cousin', 'simpleenroll', 403, 'one of another CA under the same root'), ('cousin', 'simplereenroll', 403, 'the same, to be renewed'),
            (None, 'simplereenroll', 403, 'none')):
        csr = pki.request(name or 'one', names, san)
        status, headers, body = send(edge.tls(name), '/machines/' + operation, csr)
        is_((status, headers['WWW-Authenticate'], headers['Content-Type'] == 'text/plain'), (wanted, None, wanted != 200), '%s, %s: %d' % (operation, what, wanted))
    csr = pki.request('one', names, san)
    is_(send(edge.tls('revoked'), '/devices/simpleenroll', csr, basic('device'))[0], 403, 'a password does not make up for a revoked certificate')
    is_(send(edge.tls('one-expired'), '/devices/simpleenroll', csr, basic('device'))[0], 200, 'but for an expired one')
    is_(send(edge.tls('idevid'), '/simpleenroll', csr)[0], 401, 'trust is per label: where the bundle is not, a password could help')
    del peer.seen[:]
    is_(send(edge.tls('one'), '/devices/simplereenroll', csr)[0], 200, 'renewed')
    got = peer.seen[0]
    der = openssl('x509', '-in', pki.path('one.pem'), '-outform', 'DER').raw
    digest = openssl('dgst', '-sha256', '-r', input=der).out.split()[0]
    is_((got['operation'], got['identity_kind'], got['identity'], got['certificate'] == der),
        ('simplereenroll', 'certificate', digest, True), 'the orchestrator gets the certificate')
    for subject, wanted_san, wanted, what in (
            (names, 'IP:192.0.2.1,DNS:device-1', 200, 'the same alternative names in another order'), ('/CN=device-2', san, 403, 'another subject'),
            ('/CN=Device-1', san, 403, 'a subject in other letters'), ('/CN=device-1/O=x', san, 403, 'a longer subject'),
            (names, 'DNS:device-1', 403, 'one alternative name less'), (names, san + ',DNS:device-2', 403, 'one more'), (names, None, 403, 'none')):
        is_(send(edge.tls('one'), '/devices/simplereenroll', pki.request('one', subject, wanted_san))[0], wanted, 'renewal, %s: %d' % (what, wanted))
    pki.key('fresh')
    is_(send(edge.tls('one'), '/devices/simplereenroll', pki.request('fresh', names, san))[0], 200, 'a new key')
    edge.fill('status=%s,revoked,1' % pki.serial('one'))
    connection = edge.tls('one')
    is_(send(connection, '/devices/simplereenroll', csr)[0], 403, 'revoked a moment ago')


def binding_12(edge, csr_for):
    connection = edge.tls(version=ssl.TLSVersion.TLSv1_2)
    connection.connect()
    unique = base64.b64encode(connection.sock.get_channel_binding('tls-unique')).decode()
    is_(send(connection, '/devices/simpleenroll', csr_for(unique), basic('device'))[0], 200, 'challengePassword with tls-unique on TLS 1.2')
    for wrong in (unique[:-1], unique + 'A', CHALLENGE):
        status, headers, body = send(connection, '/devices/simpleenroll', csr_for(wrong), basic('device'))
        is_((status, b'challengePassword' in body), (400, True), 'a wrong one: 400 that says so')
    again = edge.tls(version=ssl.TLSVersion.TLSv1_2)
    is_(send(again, '/devices/simpleenroll', csr_for(unique), basic('device'))[0], 400, 'that of another connection: 400')
    is_(send(edge.tls(), '/devices/simpleenroll', csr_for(CHALLENGE), basic('device'))[0], 400, 'a wrong one on TLS 1.3: 400')


def binding_13(edge, csr_for):
    """The openssl client prints the exporter's value, and takes the request on its standard input."""
    client = subprocess.Popen(['openssl', 's_client', '-connect', '127.0.0.1:%d' % edge.https_port, '-tls1_3', '-ign_eof',
                               '-keymatexport', 'EXPORTER-Channel-Binding', '-keymatexportlen', '32'],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = b''
    while b'Keying material: ' not in text or not text.endswith(b'\n'):
        line = client.stdout.readline()
        if not line:
            break
        text += line
    found = re.search(rb'Keying material: ([0-9A-F]{64})', text)
    if not ok(found, 'the openssl client exports keying material', text):
        client.kill()
        return
    body = base64.b64encode(csr_for(base64.b64encode(bytes.fromhex(found.group(1).decode())).decode()))
    head = 'POST %s/devices/simpleenroll HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/pkcs10\r\n' \
           'Content-Length: %d\r\nAuthorization: %s\r\n\r\n' % (EST, len(body), basic('device')['Authorization'])
    out, _ = client.communicate(head.encode() + body, timeout=20 * SLOW)
    like(out, r'HTTP/1.1 200 OK', 'challengePassword with tls-exporter on TLS 1.3')


edge = Edge(workers=2)
edge.pki.key('device')
csr = edge.pki.request('device', '/CN=device-1', 'DNS:device-1')
edge.start()
is_(send(edge.tls(), '/simpleenroll', csr, basic('device'))[0], 503, 'without a store: 503')
edge.fill_all('label=devices,both,0', 'label=,both,0', 'label=machines,certificate,0', 'account=devices,device,' + PASSWORD, 'account=devices,person',
              'account=default,device,' + PASSWORD)
ok(wait_for('the store', lambda: edge.http('GET', '/ca/iss-test.crt')[0] == 200, 3), 'the store is open')
time.sleep(1.1)
peer = Peer(edge)
cacerts(edge)
paths(edge, csr)
credentials(edge, peer, csr)
bodies(edge, peer, csr)
issued(edge, peer, csr)
client_certificates(edge, peer)
binding_12(edge, lambda challenge: edge.pki.request('device', '/CN=device-1', challenge=challenge))
binding_13(edge, lambda challenge: edge.pki.request('device', '/CN=device-1', challenge=challenge))
many_at_once(edge, peer)
other_answers(edge, peer, csr)
edge.stop()
time.sleep(1.1)
with open(edge.path('log/access.log')) as file:
    logs = file.read() + edge.log()
unlike(logs, '|'.join(map(re.escape, (PASSWORD, basic('device')['Authorization'][6:], CHALLENGE))), 'no secret in a log')
unlike(logs, r'\[(alert|emerg)\]|AddressSanitizer|runtime error', 'nothing alarming in the log')
done()
