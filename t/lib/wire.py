# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
Connections that are kept, for tests that ask thousands of questions; and what is looked at after hostile ones: the
same processes, nothing lost, nothing secret in a log.
"""

import base64
import collections
import http.client
import os
import socket
import ssl
import time

from chancery import SLOW, Answer, diag, is_, ok

BROKEN = (http.client.HTTPException, ConnectionError, ssl.SSLError, socket.timeout)


class Wire:
    """One keepalive connection to nginx, opened again when the other side has closed it."""

    def __init__(self, stack, tls=True, cert=None, timeout=20):
        self.stack, self.timeout = stack, timeout * SLOW
        self.tls, self.opened = tls or cert is not None, 0
        if self.tls:
            self.context = ssl.create_default_context(cafile=stack.bundle)
            if cert:
                self.context.load_cert_chain(cert.cert, cert.key)
        self._open()

    def _open(self):
        if self.tls:
            self.http = http.client.HTTPSConnection('localhost', self.stack.https_port, timeout=self.timeout,
                                                    context=self.context)
        else:
            self.http = http.client.HTTPConnection('localhost', self.stack.http_port, timeout=self.timeout)
        self.opened += 1

    def close(self):
        self.http.close()

    def ask(self, method, path, body=None, headers=None, chunked=False):
        """An Answer.  A connection that the other side has meanwhile closed is no answer: once more on a new one."""
        for attempt in (0, 1):
            fresh = self.http.sock is None
            try:
                if chunked:
                    self.http.request(method, path, iter(body), headers or {}, encode_chunked=True)
                else:
                    self.http.request(method, path, body, headers or {})
                return self._read()
            except BROKEN:
                # Refused before all of it was sent: the answer may be there already.
                early = self._early()
                self.http.close()
                self._open()
                if early or fresh or attempt:
                    if early:
                        return early
                    raise

    def _read(self):
        answer = self.http.getresponse()
        return Answer(answer.status, answer.headers, answer.read())

    def _early(self):
        try:
            answer = http.client.HTTPResponse(self.http.sock)
            answer.begin()
            return Answer(answer.status, answer.headers, answer.read())
        except (AttributeError, OSError, *BROKEN):
            return None

    def est(self, der, operation='simpleenroll', label=None, auth=None, raw=None, content_type='application/pkcs10',
            **more):
        """POST a request in DER (or raw, as it is)."""
        path = '/.well-known/est/%s%s' % (label + '/' if label else '', operation)
        headers = {'Content-Type': content_type} if content_type else {}
        headers.update(self.stack.basic() if auth is None else auth)
        return self.ask('POST', path, base64.b64encode(der) if raw is None else raw, headers, **more)

    def ocsp(self, der, path=None):
        path = path or '/ocsp/' + self.stack.issuer_id
        return self.ask('POST', path, der, {'Content-Type': 'application/ocsp-request'})


def certificate_of(answer):
    """The certificate in an EST answer, which holds that one alone."""
    from cryptography.hazmat.primitives.serialization import pkcs7
    if answer.status != 200:
        raise RuntimeError('the enrolment was answered %r' % answer)
    found = pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.body))
    if len(found) != 1:
        raise RuntimeError('%d certificates in an answer' % len(found))
    return found[0]


def is_text(answer):
    """A person can read it, and nginx did not write it in HTML."""
    kind = (answer.headers.get('Content-Type') or '').partition(';')[0]
    return kind == 'text/plain' and b'<' not in answer.body[:1] and b'<html' not in answer.body.lower() \
        and answer.body.strip() != b''


class Refusals:
    """Many answers of which each must be the same kind of error; one line of TAP for all of them."""

    def __init__(self, name):
        self.name, self.wrong, self.count = name, [], 0
        self.seen = collections.Counter()

    def expect(self, what, good, answer):
        self.count += 1
        self.seen[answer.status] += 1
        if not good:
            self.wrong.append('%s: %r' % (what, answer))

    def done(self, at_least=1):
        details = '%d of %d wrong, statuses %s\n%s' % (len(self.wrong), self.count, dict(self.seen),
                                                       '\n'.join(self.wrong[:5]))
        return ok(not self.wrong and self.count >= at_least, '%s (%d times)' % (self.name, self.count), details)


class Witness:
    """What hostile requests must not change."""

    ROLES = ('master', 'orchestrator', 'signer', 'nginx', 'worker')

    def __init__(self, stack):
        self.stack = stack
        self.secrets = {'the EST password': stack.env['CHANCERY_EST_PASSWORD'],
                        'the API key': stack.env['CHANCERY_API_KEY'],
                        'an Authorization value': stack.basic()['Authorization'].split()[1]}
        self.pids = self._pids()
        self.versions = self._versions()

    def _pids(self):
        return {role: self.stack.pids(role) for role in self.ROLES}

    def _versions(self):
        return int(self.stack.psql('SELECT count(*) FROM certificate_version WHERE managed_no IS NOT NULL'))

    def secret(self, what, value):
        self.secrets[what] = value
        return value

    def logs(self):
        found = {}
        for name in os.listdir(self.stack.path('log')):
            with open(self.stack.path('log', name), 'rb') as file:
                found[name] = file.read()
        return found

    def check(self, issued):
        """issued: how many certificates were rightly made since."""
        is_(self._pids(), self.pids, 'the same processes are alive')
        is_(self._versions() - self.versions, issued, 'as many certificates are on record as were issued, no more')
        time.sleep(1.5)  # the access log is written once a second
        logs = self.logs()
        ok(sum(len(each) for each in logs.values()) > 1000, 'there are logs to look at', sorted(logs))
        said = [(what, name) for what, value in self.secrets.items() for name, text in logs.items()
                if value.encode() in text]
        is_(said, [], 'no log holds a secret')
        crashed = [line for line in logs.get('nginx.log', b'').decode(errors='replace').splitlines()
                   if any(sign in line for sign in ('exited on signal', '[alert]', '[emerg]'))]
        if not is_(crashed, [], "nginx's log tells of no crash"):
            diag('\n'.join(crashed[:5]))
