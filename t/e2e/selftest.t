#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
`chancery selftest`: it is content with a fresh stack, and finds what is broken on purpose.

Certificates of this stack name a front, which passes on to nginx; told to, it does harm: it changes signatures, answers as
a responder whose certificate has expired or that is a stranger's, or serves an old list, all signed with the CA's own key.
"""

import base64
import datetime
import http.server
import json
import os
import sys
import threading
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import BUILD, Stack, diag, done, free_port, is_, like, ok, program, unlike, wait_for  # noqa: E402
import ca as authority  # noqa: E402
from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.x509 import ocsp  # noqa: E402
from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: E402

COMMAND = os.path.join(BUILD, 'chancery')
NOW = datetime.datetime.utcnow
HOUR = datetime.timedelta(hours=1)
DER = serialization.Encoding.DER


def delegate(signer, ends, key, eku=ExtendedKeyUsageOID.OCSP_SIGNING):
    """A responder's certificate that ends then."""
    return (x509.CertificateBuilder()
            .subject_name(authority.subject_of('responder')).issuer_name(signer.subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(ends - 48 * HOUR).not_valid_after(ends)
            .add_extension(x509.ExtendedKeyUsage([eku]), critical=False)
            .add_extension(x509.OCSPNoCheck(), critical=False)
            .sign(signer.key, hashes.SHA256()))


class Front(http.server.ThreadingHTTPServer):
    """What certificates name as edge.public_url."""

    daemon_threads = True

    def __init__(self, port):
        super().__init__(('127.0.0.1', port), Handler)
        self.harm, self.stack, self.ca = None, None, None
        self.key = authority.new_key()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def answer(self, request, certificate):
        """"good", signed by the holder of that certificate."""
        asked = ocsp.load_der_ocsp_request(request)
        leaf = (x509.CertificateBuilder()
                .subject_name(authority.subject_of('any')).issuer_name(self.ca.subject).public_key(self.key.public_key())
                .serial_number(asked.serial_number).not_valid_before(NOW() - HOUR).not_valid_after(NOW() + HOUR)
                .sign(self.ca.key, hashes.SHA256()))
        return ocsp.OCSPResponseBuilder().add_response(
            cert=leaf, issuer=self.ca.cert, algorithm=asked.hash_algorithm, cert_status=ocsp.OCSPCertStatus.GOOD,
            this_update=NOW() - HOUR, next_update=NOW() + HOUR, revocation_time=None, revocation_reason=None) \
            .responder_id(ocsp.OCSPResponderEncoding.HASH, certificate).certificates([certificate]) \
            .sign(self.key, hashes.SHA256()).public_bytes(DER)

    def old_list(self):
        return (x509.CertificateRevocationListBuilder().issuer_name(self.ca.subject).last_update(NOW() - 48 * HOUR)
                .next_update(NOW() - HOUR).add_extension(x509.CRLNumber(1), critical=False)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.ca.key.public_key()), critical=False)
                .sign(self.ca.key, hashes.SHA256()).public_bytes(DER))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def serve(self):
        front = self.server
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        kept = {name: value for name, value in self.headers.items() if name.lower() in ('content-type', 'accept')}
        answer = front.stack.http(self.command, self.path, body or None, kept)
        data, headers = answer.body, {name: value for name, value in answer.headers.items()
                                      if name.lower() in ('content-type', 'cache-control')}
        if front.harm is not None:
            request = body or base64.b64decode(urllib.parse.unquote(self.path.rpartition('/')[2]) + '==') \
                if self.path.startswith('/ocsp/') else b''
            data = front.harm(self.path, request, data, headers)
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = serve


def selftest(s, *words, status=None, env=None):
    """Its report as JSON, and the exit status that it should have."""
    done_ = program([COMMAND, 'selftest', '--format', 'json', *words], check=False, env={**s.env, **(env or {})})
    if status is not None and done_.status != status:
        diag(done_)
    report = json.loads(done_.out)
    report['status'] = done_.status
    return report


def wrong(report):
    return {one['check']: one['text'] for one in report['checks'] if one['result'] == 'FAIL'}


def found(report, check, text, name):
    is_(report['status'], 5, name + ': the exit status says that there are problems')
    like(wrong(report).get(check, 'nothing wrong with ' + check), text, name) or diag(json.dumps(report, indent=1))
    ok(all(one.get('advice') for one in report['checks'] if one['result'] == 'FAIL'), name + ': and what to do')


port = free_port()
front = Front(port)
with Stack(env={'CHANCERY_EDGE_PUBLIC_URL': 'http://localhost:%d' % port}) as s:
    front.stack = s
    front.ca = authority.Authority.ours(s, authority.load(s.issuer))

    # ---- nothing is wrong

    s.revoke(s.enrol('gone'))
    fresh = selftest(s, status=0)
    is_((fresh['status'], fresh['fail'], fresh['warn']), (0, 0, 0), 'a fresh stack passes') or diag(json.dumps(fresh, indent=1))
    checks = {(one['subject'], one['check']) for one in fresh['checks']}
    for check in ('certificate', 'CA certificate', 'chain', 'CRL', 'CRL of a revoked one', 'OCSP POST SHA1', 'OCSP POST SHA256',
                  'OCSP GET SHA1', 'OCSP GET SHA256', 'OCSP POST SHA1 nonce', 'OCSP GET SHA256 nonce', 'OCSP unissued serial'):
        ok((s.issuer_id, check) in checks, 'it looked at: ' + check, sorted(checks))
    for check in ('TLS certificate', 'TLS 1.3', 'clock', 'ready'):
        ok(('server', check) in checks, 'it looked at: ' + check)
    for check in ('EST cacerts', 'EST simpleenroll', 'revocation'):
        ok(('est', check) in checks, 'it looked at: ' + check)
    mine = s.api('GET', '/api/v1/certificates?limit=1000').json['data']
    mine = [one for one in mine if one['common_name'].startswith('selftest-')]
    is_([one['status'] for one in mine], ['Revoked'], 'what it enrolled is revoked afterwards')

    text = program([COMMAND, 'selftest', '--no-enrol'], env=s.env)
    like(text.out, r'(?m)^ok    %s +OCSP GET SHA256 +good$' % s.issuer_id, 'as a table, a line for each check')
    like(text.out, r'\n\d+ ok, 0 warnings, 0 problems\n$', 'and the sum')
    unlike(text.out + text.err, s.env['CHANCERY_API_KEY'] + '|' + s.env['CHANCERY_EST_PASSWORD'], 'no secret is shown')
    count = s.api('GET', '/api/v1/certificates?limit=1').json['total']
    open_ = selftest(s, status=0, env={'CHANCERY_API_KEY': '', 'CHANCERY_EST_USER': ''})
    is_((open_['status'], open_['fail']), (0, 0), 'without any credential it looks at what everybody can see')
    ok(('server', 'OCSP GET SHA1') in {(one['subject'], one['check']) for one in open_['checks']}, 'and asks for the server itself')
    is_(s.api('GET', '/api/v1/certificates?limit=1').json['total'], count, 'and enrols nothing')
    report = selftest(s, '--no-enrol', '--issuer', 'iss-none', status=5)
    like(wrong(report)['issuers'], 'no such issuer', 'an issuer that is not there is a problem')
    is_(program([COMMAND, 'selftest', '--at', 'yesterday-ish'], check=False, env=s.env).status, 2, 'a wrong flag is wrong usage')

    # ---- broken responders

    def flip(path, request, data, headers):
        if not path.startswith('/ocsp/') or len(data) < 100:
            return data
        signature = ocsp.load_der_ocsp_response(data).signature
        return data.replace(signature, signature[:-1] + bytes([signature[-1] ^ 1]))

    def as_delegate(certificate):
        return lambda path, request, data, headers: \
            front.answer(request, certificate) if path.startswith('/ocsp/') else data

    front.harm = flip
    found(selftest(s, '--no-enrol'), 'OCSP POST SHA1', 'signature is wrong', 'a wrong signature is found')
    front.harm = as_delegate(delegate(front.ca, NOW() - HOUR, front.key))
    found(selftest(s, '--no-enrol'), 'OCSP POST SHA1', 'certificate has expired', 'an expired delegate is found')
    front.harm = as_delegate(delegate(authority.Authority(front.ca.subject), NOW() + 48 * HOUR, front.key))
    found(selftest(s, '--no-enrol'), 'OCSP POST SHA1', 'not signed by the CA', 'a delegate of a stranger is found')
    front.harm = as_delegate(delegate(front.ca, NOW() + 48 * HOUR, front.key, ExtendedKeyUsageOID.SERVER_AUTH))
    found(selftest(s, '--no-enrol'), 'OCSP POST SHA1', 'may not sign OCSP', 'a delegate that may not is found')
    front.harm = as_delegate(delegate(front.ca, NOW() + 48 * HOUR, front.key))
    report = selftest(s, '--no-enrol')
    found(report, 'OCSP POST SHA1', '"good" for a certificate that is revoked',
          'a responder that says "good" of everything is found')
    like(wrong(report)['OCSP unissued serial'], '"good"', 'also for a serial that nobody issued')

    # ---- lists, caches, addresses

    front.harm = lambda path, request, data, headers: front.old_list() if path.startswith('/crl/') else data
    found(selftest(s, '--no-enrol'), 'CRL', 'nextUpdate was at', 'a stale list is found')
    front.harm = lambda path, request, data, headers: data[:-1] + bytes([data[-1] ^ 1]) if path.startswith('/crl/') else data
    found(selftest(s, '--no-enrol'), 'CRL', "signature is not the CA's", 'a list with a wrong signature is found')

    def keep_long(path, request, data, headers):
        headers['Cache-Control'] = 'max-age=99999999'
        return data

    front.harm = keep_long
    found(selftest(s, '--no-enrol'), 'OCSP GET SHA1', 'beyond nextUpdate', 'a cache that is told to keep too long is found')
    front.harm = None
    found(selftest(s, '--no-enrol', '--at', '+45d'), 'OCSP POST SHA1', 'certificate has expired',
          'what will have ended then is found')
    is_(selftest(s, '--no-enrol', status=0)['fail'], 0, 'and nothing any more when the front does no harm')

    # ---- deltas and shards

    def list_of(path, number, base=None):
        """A good list of the CA's, as a delta when it has a base."""
        builder = (x509.CertificateRevocationListBuilder().issuer_name(front.ca.subject).last_update(NOW() - HOUR)
                   .next_update(NOW() + HOUR).add_extension(x509.CRLNumber(number), critical=False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(front.ca.key.public_key()), critical=False))
        builder = builder.add_extension(x509.DeltaCRLIndicator(base), critical=True) if base else builder
        return builder.sign(front.ca.key, hashes.SHA256()).public_bytes(DER)

    def delta_is(make):
        return lambda path, request, data, headers: make(data) if path.endswith('.delta.crl') else data

    def told(report, check):
        return [one for one in report['checks'] if one['check'] == check]

    put = s.api('PUT', '/api/v1/issuers/%s/revocation' % s.issuer_id, {'crl_delta_s': 3600})
    is_(put.status, 200, 'the issuer makes deltas')
    ok(wait_for('the delta', lambda: s.http('GET', '/crl/%s.delta.crl' % s.issuer_id).status == 200), 'there is one')
    report = selftest(s, '--no-enrol', status=0)
    is_({one['result'] for one in told(report, 'delta CRL')}, {'ok'}, 'it looked at the delta') or diag(json.dumps(report, indent=1))
    for make, text, name in ((lambda data: list_of('', 9999), 'no delta', 'a list that is no delta is found'),
                             (lambda data: list_of('', 1 << 40, 1 << 39), 'against a later list', 'one against a later list is found'),
                             (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "signature is not the CA's", 'one that was changed is found'),
                             (lambda data: b'<html>', 'delta.crl', 'something else in its place is found')):
        front.harm = delta_is(make)
        found(selftest(s, '--no-enrol'), 'delta CRL', text, name)
    front.harm = None

    for path, body in (('issuers', {'id': 'iss-parts', 'name': 'parts', 'config': {'subject': 'CN=Parts CA', 'key': 'p-256'}}),
                       ('issuers/iss-parts/rekey', {})):
        if path.endswith('rekey'):
            s.api('PUT', '/api/v1/issuers/iss-parts/revocation', {'crl_shards': 2})
        made = s.api('POST', '/api/v1/' + path, body)
        is_(made.status // 100, 2, path) or diag(made)
    with open(s.file('both.pem'), 'w') as file, open(s.bundle) as ours:
        file.write(ours.read() + s.api('GET', '/api/v1/issuers/iss-parts/chain').text)
    s.env['CHANCERY_CA_BUNDLE'] = s.file('both.pem')
    for n in range(2):
        order = {'name': 'part %d' % n, 'profile_id': 'prof-device', 'issuer_id': 'iss-parts',
                 'csr_pem': open(s.holder('part-%d' % n).csr).read()}
        is_(s.api('POST', '/api/v1/certificates', order).status, 201, 'a certificate of a CA with shards')
    id = s.api('POST', '/api/v1/certificates', {'name': 'part gone', 'profile_id': 'prof-device', 'issuer_id': 'iss-parts',
                                                'csr_pem': open(s.holder('part-gone').csr).read()}).json['id']
    is_(s.api('POST', '/api/v1/certificates/%s/revoke' % id, {'reason': 'superseded'}).status, 200, 'one of the parts is revoked')
    report = wait_for('the parts', lambda: (lambda one: not wrong(one) and one)(selftest(s, '--no-enrol', '--issuer', 'iss-parts')), 20) \
        or selftest(s, '--no-enrol', '--issuer', 'iss-parts')
    is_([one['result'] for one in told(report, 'CRL scope')], ['ok', 'ok'], 'of a CA with shards it looks at the shards of two') \
        or diag(json.dumps(report, indent=1))
    ok(told(report, 'CRL of a revoked one'), 'and at that of the one that is revoked')

    swapped = {'.s0.crl': '.s1.crl', '.s1.crl': '.s0.crl'}

    def other_shard(path, request, data, headers):
        other = swapped.get(path[-len('.s0.crl'):])
        return s.http('GET', path[:-len(other)] + other).body if other else data

    front.harm = other_shard
    found(selftest(s, '--no-enrol', '--issuer', 'iss-parts'), 'CRL scope', 'not what the certificate names', 'a mixed-up shard is found')
    front.harm = None

    # ---- nginx with another key than the certificate's, and nobody there to repair it

    s.hold('chanceryd')
    folder = s.path('edge/responder')
    for each in os.listdir(folder):
        with open(os.path.join(folder, each), 'wb') as file:
            file.write(authority.key_pem(authority.new_key()))
    old = s.pids('nginx')[0]
    s.kill('nginx')
    wait_for('another nginx', lambda: s.pids('nginx') and s.pids('nginx') != [old] and s.pids('worker'))
    wait_for('nginx to answer', lambda: s.http('GET', '/ca/%s.crt' % s.issuer_id).status == 200)
    report = wait_for('workers with that key', lambda: (lambda one: 'OCSP POST SHA1' in wrong(one) and one)(selftest(s)), 5) or selftest(s)
    found(report, 'OCSP POST SHA1', 'trylater|internalerror', 'a replaced responder key is found')
    ok('ready' in wrong(report), 'and that the service is not ready')
    s.free('chanceryd')
    s.wait_ready()
    ok(wait_for('the repair', lambda: selftest(s, '--no-enrol')['fail'] == 0, 20), 'chanceryd repairs it, and the selftest passes') \
        or diag(wrong(selftest(s, '--no-enrol')))

    # ---- an address that leads nowhere

    s.extra_env['CHANCERY_EDGE_PUBLIC_URL'] = 'http://localhost:%d' % free_port()
    s.restart()
    report = selftest(s)
    found(report, 'CRL', "Couldn't connect|refused", 'a wrong CDP is found')
    ok({'CA certificate', 'OCSP POST SHA1'} <= set(wrong(report)), 'and the other addresses with it')
done()
