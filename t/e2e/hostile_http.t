#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""EST under hostile HTTP: sizes, methods, paths, credentials, headers.  Answers are exact, in plain text, never HTML."""

import base64
import http.client
import io
import os
import socket
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, like, ok, program, unlike   # noqa: E402
from wire import Wire, Witness, certificate_of, is_text            # noqa: E402
from der import device_csr, p256                                   # noqa: E402

LIMIT = 32768
EST = '/.well-known/est'
CSR = {'Content-Type': 'application/pkcs10'}


def refused(answer, status, what, pattern='.'):
    is_((answer.status, is_text(answer)), (status, True), what) or print('# %r' % answer)
    return like(answer.text, pattern, '... saying why') if pattern != '.' else None


def sizes(s, wire, good):
    body = base64.b64encode(good)
    padded = body + b'\n' * (LIMIT - len(body))
    certificate_of(wire.est(b'', raw=padded))
    ok(True, 'a body of just the limit: issued')
    certificate_of(wire.est(b'', raw=[body[:100], body[100:]], chunked=True))
    ok(True, 'the same request in chunks: issued')
    refused(wire.est(b'', raw=padded + b'\n'), 413, 'one octet more: 413')
    refused(wire.est(b'', raw=[padded, b'\n'], chunked=True), 413, 'in chunks, too: 413')
    refused(wire.est(b'', raw=[b'\n' * 8192] * 600, chunked=True), 413, 'five megabytes in chunks: 413')
    refused(wire.est(b'', raw=b'A' * 20000000), 413, 'twenty megabytes: 413')
    for size in ('99999999999999999999', '-1', 'many'):
        answer = s_raw(s, 'POST %s/simpleenroll HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/pkcs10\r\n'
                          'Content-Length: %s\r\n\r\n' % (EST, size))
        like(answer, r'^HTTP/1.1 400 (?s:.*)\r\n\r\n(?!<)', 'Content-Length: %s is 400' % size)
    answer = s_raw(s, 'POST %s/simpleenroll HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n'
                      'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n' % EST)
    like(answer, r'^HTTP/1.1 400 ', 'Content-Length and chunks at once is 400')
    answer = s_raw(s, 'POST %s/simpleenroll HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/pkcs10\r\n%s'
                      'Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n' % (EST, basic_line(s)))
    like(answer, r'^HTTP/1.1 400 (?s:.*)\r\n\r\n(?!<)', 'chunks of no size are 400')
    for version in ('1.1', '2'):
        for what, data, wanted in (('above the limit', 'A' * (LIMIT + 1), '413'), ('good', body.decode(), '200'),
                                   ('good, up to the limit', body.decode() + ' ' * (LIMIT - len(body)), '200'),
                                   ('bad', 'A' * 3000, '400')):
            conf = 'user = "%s:%s"\nheader = "Content-Type: application/pkcs10"\ndata-binary = "%s"\n' % (
                s.env['CHANCERY_EST_USER'], s.env['CHANCERY_EST_PASSWORD'], data)
            shown = program(['curl', '-s', '--http' + version, '--cacert', s.bundle, '-K', '-', '-w', '%{http_version} '
                             '%{http_code}', '-o', '/dev/null', s.url + EST + '/simpleenroll'], input=conf)
            is_(shown.out, '%s %s' % (version, wanted), 'HTTP/%s, %s: %s' % (version, what, wanted))
    return 1  # the second one is the same request again


def tls(s):
    context = ssl.create_default_context(cafile=s.bundle)
    return context.wrap_socket(socket.create_connection(('localhost', s.https_port), 10), server_hostname='localhost')


def s_raw(s, text):
    """What nginx answers first to these octets inside TLS."""
    with tls(s) as link:
        link.settimeout(3)
        link.sendall(text.encode())
        out = b''
        try:
            while not out.partition(b'\r\n\r\n')[2] and (chunk := link.recv(65536)):
                out += chunk
        except OSError:
            pass
        return out.decode('latin-1')


def basic_line(s):
    return 'Authorization: %s\r\n' % s.basic()['Authorization']


def methods_and_paths(s, wire, good):
    for operation, method, allowed in (
            *(('simpleenroll', each, 'POST') for each in ('GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'PATCH')),
            ('simplereenroll', 'GET', 'POST'), ('cacerts', 'POST', 'GET, HEAD'), ('cacerts', 'DELETE', 'GET, HEAD')):
        answer = wire.ask(method, '%s/%s' % (EST, operation), headers=s.basic())
        is_((answer.status, answer.headers.get('Allow'), method == 'HEAD' or is_text(answer)), (405, allowed, True),
            '%s %s is 405, and says what is allowed' % (method, operation))
    body = base64.b64encode(good)
    for path in ('', '/', '/unknown', '/simpleenrol', '/simpleenroll/', '/SimpleEnroll', '//simpleenroll',
                 '/nolabel/simpleenroll', '/devices/simpleenroll/simpleenroll', '/devices//simpleenroll',
                 '/devices/unknown', '/simpleenroll/simpleenroll', '/serverkeygen', '/fullcmc',
                 '/../est/simpleenroll', '/devices/../simpleenroll', '/./simpleenroll', '/devices%2fsimpleenroll',
                 '/devices%2Fsimpleenroll', '/%2e%2e/simpleenroll', '/%2e/simpleenroll', '/..%2f..%2fsimpleenroll',
                 '/devices%252fsimpleenroll', '/dev%20ices/simpleenroll', '/d%C3%A9vices/simpleenroll',
                 '/devices;x=y/simpleenroll', '/' + 'x' * 128 + '/simpleenroll', '/' + 'x' * 129 + '/simpleenroll',
                 '/' + 'x' * 8000 + '/simpleenroll', '/' + '%41' * 1000 + '/simpleenroll', 'x/simpleenroll'):
        answer = wire.ask('POST', EST + path, body, {**CSR, **s.basic()})
        refused(answer, 404, 'POST %.48s is 404' % (path or 'nothing'))
    for path in ('/devices%00/simpleenroll', '/%00/simpleenroll', '/simpleenroll%00'):
        answer = wire.ask('POST', EST + path, body, {**CSR, **s.basic()})
        refused(answer, 400, 'POST %s is 400: nginx takes no NUL in a path' % path)
    answer = wire.ask('POST', EST + '/' + 'x' * 70000 + '/simpleenroll', body, {**CSR, **s.basic()})
    refused(answer, 414, 'a path of 70 kB is 414')
    for path in ('/simpleenroll?x=y', '/d%65vices/simpleenroll', '/devices/simpleenroll'):
        certificate_of(wire.ask('POST', EST + path, body, {**CSR, **s.basic()}))
        ok(True, 'POST %s is the operation' % path)
    for path in ('/_pki/enrol', '/_pki/error', '/edge/v1/enrol', '/.well-known/', '/nothing'):
        refused(wire.ask('POST', path, b'{}', {'Content-Type': 'application/json'}), 404, 'POST %s is 404' % path)


def credentials(s, wire, witness, good):
    user, password = s.env['CHANCERY_EST_USER'], s.env['CHANCERY_EST_PASSWORD']
    wrong = witness.secret('a wrong password', 'wrong-' + os.urandom(12).hex())

    def basic(text):
        value = base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()
        return {'Authorization': 'Basic ' + witness.secret('the value for %.20r' % text, value)}

    for what, auth in (
            ('no credentials', {}), ('a wrong password', basic('%s:%s' % (user, wrong))),
            ('an unknown user', basic('nobody:' + password)), ('an empty user', basic(':' + password)),
            ('an empty password', basic(user + ':')), ('a password with something behind it', basic('%s:%sx' % (user, password))),
            ('a password that is cut', basic('%s:%s' % (user, password[:-1]))),
            ('a password with NUL behind it', basic('%s:%s\0' % (user, password))),
            ('no colon', basic(user + password)), ('octets that are no UTF-8', basic(b'\xff\xfe:' + password.encode())),
            ("another label's user", basic('../devices/%s:%s' % (user, password))),
            ('a user of 4000 characters', basic('x' * 4000 + ':' + password)),
            ('no base64', {'Authorization': 'Basic %' + password}), ('nothing', {'Authorization': 'Basic'}),
            ('nothing at all', {'Authorization': ''}),
            ('an API key', {'Authorization': 'Bearer ' + s.env['CHANCERY_API_KEY']}),
            ('Digest', {'Authorization': 'Digest username="%s", response="%s"' % (user, wrong)})):
        answer = wire.est(good, auth=auth)
        refused(answer, 401, '%s: 401' % what)
        is_(answer.headers.get('WWW-Authenticate'), 'Basic realm="EST devices"', '... and how to authenticate')
        unlike(answer.text, '%s|%s' % (password, wrong), '... without the password')
    certificate_of(wire.est(good, auth={'Authorization': s.basic()['Authorization'].replace('Basic', 'bAsIc')}))
    ok(True, 'the scheme in other letters: issued')

    answer = wire.est(good, operation='simplereenroll')
    refused(answer, 403, 'simplereenroll with a password: 403', 'certificate')
    answer = wire.est(good, label='certs-only', auth={})
    refused(answer, 403, 'nothing where only certificates count: 403', 'certificate')
    answer = wire.est(good, label='certs-only')
    refused(answer, 403, 'a password there: 403', 'certificate')
    ok(answer.headers.get('WWW-Authenticate') is None, '... and no hint that a password would help')
    certificate_of(wire.est(good, label='basic-only', auth=basic('chosen:' + witness.secret('a chosen one', 'Tr0ub4dor&3'))))
    ok(True, 'a password that a person chose: issued')
    answer = wire.est(good, label='basic-only', auth=basic('chosen:Tr0ub4dor&2'))
    refused(answer, 401, 'nearly that one: 401')
    refused(wire.est(good, label='basic-only'), 401, "another label's user: 401")
    for what, thing in (('too short', 'zQ7~x!9'), ('too long', 'zQ7~x!' * 50), ('a number', 7310558813)):
        witness.secret('a password that is ' + what, str(thing))
        answer = s.api('POST', '/api/v1/est/labels/est-basic/credentials', {'user_name': 'next', 'password': thing})
        ok(answer.status == 400 and str(thing) not in answer.text, 'a password that is %s is refused, and not repeated' % what,
           answer)
    refused(wire.est(good, label='off'), 404, 'a label that is switched off: 404')
    for identity in ('X-Forwarded-User', 'X-SSL-Client-Cert', 'X-Chancery-Identity', 'X-Chancery-Certificate'):
        with open(s.issuer) as file:
            pem = file.read().replace('\n', ' ')
        refused(wire.est(good, operation='simplereenroll', auth={identity: pem}), 403, '%s is no identity: 403' % identity)


def types_and_headers(s, wire, good):
    for kind in ('text/plain', 'application/pkcs10x', 'application/x-www-form-urlencoded', 'application/json',
                 'pkcs10', 'application/pkcs7-mime', '', None, 'x' * 3000):
        refused(wire.est(good, content_type=kind), 415, 'Content-Type %.40s: 415' % kind, 'application/pkcs10')
    for kind in ('APPLICATION/PKCS10', 'application/pkcs10; charset=us-ascii', 'application/pkcs10;smime-type=x'):
        certificate_of(wire.est(good, content_type=kind))
        ok(True, 'Content-Type %s: issued' % kind)
    for encoding in ('binary', '8bit', 'quoted-printable', ''):
        certificate_of(wire.est(good, auth={**s.basic(), 'Content-Transfer-Encoding': encoding}))
    ok(True, 'Content-Transfer-Encoding is not looked at')
    refused(wire.est(good, auth={**s.basic(), 'X-Long': 'x' * 70000}), 400, 'a header of 70 kB: 400')
    refused(wire.est(good, auth={'X-%d' % i: 'y' * 900 for i in range(100)}), 400, 'a hundred of 900 octets: 400')
    refused(wire.est(good, auth={'Authorization': 'Basic ' + 'QUFB' * 10000}), 400, 'credentials of 40 kB: 400')
    answer = s_raw(s, 'POST %s/simpleenroll HTTP/1.1\r\nHost: localhost\r\nBad Header\x01: x\r\n\r\n' % EST)
    like(answer, r'^HTTP/1.1 4\d\d (?s:.*)\r\n\r\n(?!<)', 'a broken header line')
    like(s_raw(s, 'POST %s/simpleenroll HTTP/1.1\r\n\r\n' % EST), r'^HTTP/1.1 400 (?s:.*)\r\n\r\n(?!<)', 'no Host: 400')
    like(s_raw(s, 'POST %s/simpleenroll HTTP/9.9\r\nHost: x\r\n\r\n' % EST), r'^HTTP/1.1 505 (?s:.*)\r\n\r\n(?!<)', 'HTTP/9.9: 505')

    plain = Wire(s, tls=False)
    for method, operation in (('GET', 'cacerts'), ('POST', 'simpleenroll'), ('POST', 'simplereenroll')):
        body = base64.b64encode(good) if method == 'POST' else None
        refused(plain.ask(method, '%s/%s' % (EST, operation), body, {**CSR, **s.basic()}), 403,
                '%s over plain HTTP: 403' % operation, 'TLS')
    with socket.create_connection(('localhost', s.https_port), 10) as link:
        link.sendall(b'GET %s/cacerts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' % EST.encode())
        link.settimeout(5)
        out = b''
        while chunk := link.recv(65536):
            out += chunk
    like(out, r'^HTTP/1.1 400 (?s:.*)\r\n\r\n(?!<)', 'plain HTTP to the TLS port: 400 as text')
    unlike(out, '<html', '... not HTML')
    answer = wire.ask('GET', EST + '/cacerts')
    is_((answer.status, answer.headers['Content-Type'], answer.headers.get('Transfer-Encoding')),
        (200, 'application/pkcs7-mime', None), 'cacerts needs nothing of all this')


def enrolment(s, der):
    """A whole request as octets."""
    body = base64.b64encode(der)
    return ('POST %s/simpleenroll HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/pkcs10\r\n%s'
            'Content-Length: %d\r\n\r\n' % (EST, basic_line(s), len(body))).encode() + body


def gone(s, wire, key):
    """Clients that leave in the middle, and before they have their answer."""
    good = enrolment(s, device_csr(key, 'gone'))
    for at in range(1, len(good), 23):
        with tls(s) as link:
            link.sendall(good[:at])
    with tls(s) as link:
        link.sendall(b''.join(enrolment(s, der) for der in (b'\0', device_csr(key, 'gone'), b'\0')))
        statuses = []
        for _ in range(3):
            # The answers are read to their ends: http.client would take the next one along in its buffer.
            head = b''
            while not head.endswith(b'\r\n\r\n'):
                head += link.recv(1)
            fields = http.client.parse_headers(io.BytesIO(head.partition(b'\r\n')[2]))
            left = int(fields['Content-Length'])
            while left:
                left -= len(link.recv(left))
            statuses.append(int(head.split()[1]))
    is_(statuses, [400, 200, 400], 'three requests sent at once are answered in their order')
    ders = [device_csr(key, 'gone-%d' % at) for at in range(20)]
    for der in ders:
        with tls(s) as link:
            link.sendall(enrolment(s, der))
    first = [wire.est(der) for der in ders]
    is_([each.status for each in first], [200] * 20, 'clients that left without their answer ask again: issued')
    is_([wire.est(der).body for der in ders], [each.body for each in first], 'one certificate each')
    return 1 + 20


def labels(s):
    def make(path, thing):
        answer = s.api('POST', path, thing)
        if answer.status != 201:
            raise RuntimeError('%s: %r' % (path, answer))
        return answer.json

    common = {'issuer_id': s.issuer_id, 'profile_id': 'prof-device'}
    make('/api/v1/est/labels', {'id': 'est-certs', 'name': 'certs-only', 'auth_basic': False, **common})
    make('/api/v1/est/labels', {'id': 'est-basic', 'name': 'basic-only', 'auth_certificate': False, **common})
    make('/api/v1/est/labels', {'id': 'est-off', 'name': 'off', 'enabled': False, **common})
    made = make('/api/v1/est/labels/est-basic/credentials', {'user_name': 'chosen', 'password': 'Tr0ub4dor&3'})
    ok('password' not in made or made['password'] is None, 'a chosen password is not shown again', made)
    for bad in ('simpleenroll', 'cacerts', '..', 'a/b', '', 'x' * 129, 'a b', 'a%2fb'):
        answer = s.api('POST', '/api/v1/est/labels', {'name': bad, **common})
        ok(answer.status in (400, 422), 'the label "%.20s" is refused' % bad, answer)


with Stack() as s:
    labels(s)
    device = s.enrol('device-1')
    witness = Witness(s)
    wire, key = Wire(s), p256()
    good = device_csr(key, 'http')
    issued = sizes(s, wire, good)
    methods_and_paths(s, wire, good)
    credentials(s, wire, witness, good)
    types_and_headers(s, wire, good)
    issued += gone(s, wire, key)
    is_(s.ocsp(device), 'good', 'the certificate from before is good')
    is_(s.ocsp(s.enrol('device-2')), 'good', 'a new device enrols, and its certificate is good')
    # The same request and identity got the same certificate each time; the chosen password is another identity.
    witness.check(issued=issued + 1 + 1)
done()
