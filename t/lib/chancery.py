# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
What the end-to-end tests share: TAP, a private stack below a temporary folder (tools/run), its processes, clients.

    from chancery import Stack, ok, is_, like, done
    with Stack() as s:
        device = s.enrol('device-1')
        is_(s.ocsp(device), 'good', 'a fresh certificate is good')
    done()

A test script begins with "#!/usr/bin/python3" and the line that finds this file:
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
"""

import atexit
import base64
import contextlib
import ctypes
import http.client
import json
import os
import random
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get('BUILD') or 'build')
SLOW = 4 if 'asan' in os.path.basename(BUILD) else 1  # sanitised builds get more time
READY_S = 90 * SLOW

# ---- TAP -------------------------------------------------------------------------------------------------------

_lock = threading.Lock()
_count, _failed, _planned, _indent = 0, 0, None, ''


def plan(count):
    global _planned
    _planned = count
    print('1..%d' % count, flush=True)


def diag(text):
    """For people: on standard error, which prove shows without being asked."""
    sys.stdout.flush()
    for each in str(text).splitlines() or ['']:
        print('# ' + each[:1000], file=sys.stderr, flush=True)


def note_skip(text):
    """A check that cannot be made here, and why."""
    _result(True, '', 'SKIP ' + text)


def _result(good, name, directive=''):
    global _count, _failed
    with _lock:
        _count += 1
        name = ' '.join(str(name).split()).replace('#', '\\#')
        directive = ' # ' + directive if directive else ''
        print('%s%sok %d - %s%s' % (_indent, '' if good else 'not ', _count, name, directive), flush=True)
        if not good:
            _failed += 1


@contextlib.contextmanager
def subtest(name):
    """Checks that are one in the end: TAP's subtest, indented lines with numbers of their own.  Not for threads."""
    global _count, _failed, _indent
    outer = _count, _failed, _indent
    print('%s# Subtest: %s' % (_indent, name), flush=True)
    _count, _failed, _indent = 0, 0, _indent + '    '
    try:
        yield
        print('%s1..%d' % (_indent, _count), flush=True)
    finally:
        count, failed = _count, _failed
        _count, _failed, _indent = outer
    ok(count > 0 and not failed, name, '%d of %d failed' % (failed, count))


def ok(good, name, details=''):
    _result(bool(good), name)
    if not good:
        if details != '':
            diag(details)
        frame = sys._getframe(1)
        while frame.f_code.co_filename == __file__ and frame.f_back:
            frame = frame.f_back
        diag('at %s line %d' % (os.path.basename(frame.f_code.co_filename), frame.f_lineno))
    return bool(good)


def is_(got, wanted, name):
    return ok(got == wanted, name, 'got:    %r\nwanted: %r' % (got, wanted))


def like(text, pattern, name):
    if isinstance(text, bytes):
        text = text.decode('utf-8', 'replace')
    return ok(re.search(pattern, text), name, 'got:     %s\npattern: %s' % (text, pattern))


def unlike(text, pattern, name):
    if isinstance(text, bytes):
        text = text.decode('utf-8', 'replace')
    found = re.search(pattern, text)
    return ok(not found, name, 'found %r in: %s' % (found and found.group(0), text))


def done():
    """The plan, and an exit status that prove looks at."""
    if _planned is None:
        print('1..%d' % _count, flush=True)
    sys.exit(1 if _failed or (_planned is not None and _planned != _count) else 0)


# ---- programs --------------------------------------------------------------------------------------------------


class Done:
    """What a program left: status, out (text), raw (bytes), err."""

    def __init__(self, status, raw, err):
        self.status, self.raw = status, raw
        self.out, self.err = raw.decode('utf-8', 'replace'), err.decode('utf-8', 'replace')

    def __repr__(self):
        return 'status %d\n%s%s' % (self.status, self.out, self.err)


def program(argv, input=None, check=True, timeout=60, env=None, cwd=None):
    """Run it; with check a failure raises with what it printed."""
    if isinstance(input, str):
        input = input.encode()
    done_ = subprocess.run(argv, input=input if input is not None else b'', stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=timeout * SLOW, env=env, cwd=cwd)
    result = Done(done_.returncode, done_.stdout, done_.stderr)
    if check and result.status != 0:
        raise RuntimeError('%s: %r' % (' '.join(argv), result))
    return result


def openssl(*words, input=None, check=True, cwd=None):
    return program(['openssl', *words], input=input, check=check, cwd=cwd)


def wait_for(what, check, seconds=10):
    """The first true value of check(), or None when the time is up (and a line that says so)."""
    limit = time.monotonic() + seconds * SLOW
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > limit:
            diag('gave up waiting: ' + what)
            return None
        time.sleep(0.02)


# ---- processes -------------------------------------------------------------------------------------------------


def processes():
    """{pid: (parent, name)} of all that live."""
    found = {}
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            try:
                with open('/proc/%s/stat' % entry) as file:
                    text = file.read()
            except OSError:
                continue
            rest = text[text.rindex(')') + 2:].split()
            if rest[0] not in 'ZX':
                found[int(entry)] = (int(rest[1]), text[text.index('(') + 1:text.rindex(')')])
    return found


def descendants(top):
    table = processes()
    found, edge = [], [top]
    while edge:
        edge = [pid for pid, (parent, _) in table.items() if parent in edge]
        found += edge
    return {pid: table[pid] for pid in found}


def free_port():
    """Below the range that outgoing connections use, so that none of them takes it meanwhile."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(('127.0.0.1', port))
                return port
            except OSError:
                continue


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode('utf-8', 'replace')

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return '%d %s' % (self.status, self.text[:2000])


class Holder:
    """Somebody with a key and a certificate, as files."""

    def __init__(self, name, key, csr, cert=None):
        self.name, self.key, self.csr, self.cert = name, key, csr, cert

    @property
    def serial(self):
        return openssl('x509', '-noout', '-serial', '-in', self.cert).out.strip().split('=')[1]


# ---- the stack -------------------------------------------------------------------------------------------------


class Stack:
    """
    tools/run in a temporary folder, on free ports.  env: additional environment (CHANCERY_CRL_REFRESH_S ...);
    workers: of nginx; start=False: start() is called later.
    """

    def __init__(self, env=None, workers=2, start=True):
        self.tmp = tempfile.mkdtemp(prefix='chancery-t-')
        os.chmod(self.tmp, 0o755)
        self.var = os.path.join(self.tmp, 'var')
        self.extra_env, self.workers = env or {}, workers
        self.runner, self.output, self.env = None, [], {}
        self.http_port, self.https_port = free_port(), free_port()
        atexit.register(self.remove)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sys.exit(130))
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None and kind is not SystemExit:
            self.show_logs()
        self.remove()

    # -- life

    def launch(self):
        """Start tools/run and return at once."""
        env = {name: value for name, value in os.environ.items() if not name.startswith('CHANCERY_')}
        env.update(VAR=self.var, HTTP_PORT=str(self.http_port), HTTPS_PORT=str(self.https_port), BUILD=BUILD,
                   WORKERS=str(self.workers), **self.extra_env)
        parent, prctl = os.getpid(), ctypes.CDLL(None).prctl

        def tie():
            prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: a test that is killed takes its stack along
            if os.getppid() != parent:
                os._exit(1)

        self.output = []
        self.runner = subprocess.Popen([os.path.join(ROOT, 'tools/run')], stdin=subprocess.DEVNULL, text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, preexec_fn=tie,
                                       start_new_session=True)
        threading.Thread(target=self._read, args=(self.runner,), daemon=True).start()

    def _read(self, runner):
        for each in runner.stdout:
            self.output.append(each.rstrip('\n'))

    def start(self):
        for attempt in range(3):
            self.launch()
            limit = time.monotonic() + READY_S
            while 'ready' not in self.output and self.runner.poll() is None and time.monotonic() < limit:
                time.sleep(0.02)
            if 'ready' in self.output:
                break
            self.stop()
            text = '\n'.join(self.output)
            if attempt < 2 and 'cannot be used' in text and not os.path.exists(self.path('env')):
                self.http_port, self.https_port = free_port(), free_port()
                continue
            self.show_logs()
            raise RuntimeError('tools/run did not become ready:\n' + text)
        self._load_env()
        return self

    def _load_env(self):
        with open(self.path('env')) as file:
            for each in file:
                if each.startswith('export '):
                    name, value = shlex.split(each)[1].split('=', 1)
                    self.env[name] = value
        self.url, self.http_url = self.env['CHANCERY_URL'], self.env['CHANCERY_HTTP_URL']
        self.bundle, self.issuer_id = self.env['CHANCERY_CA_BUNDLE'], self.env['CHANCERY_ISSUER']
        self.issuer = self.file('issuer.pem')
        with open(self.bundle) as file:
            first = file.read().split('-----END CERTIFICATE-----')[0]
        with open(self.issuer, 'w') as file:
            file.write(first + '-----END CERTIFICATE-----\n')

    def stop(self):
        """SIGTERM, and the exit status of tools/run."""
        if self.runner is None:
            return None
        if self.runner.poll() is None:
            self.runner.send_signal(signal.SIGTERM)
            try:
                self.runner.wait(60)
            except subprocess.TimeoutExpired:
                diag('tools/run did not stop within 60 seconds')
                self.kill_all()
        return self.runner.wait(10)

    def restart(self):
        self.stop()
        return self.start()

    def kill_all(self):
        """SIGKILL to everything at once, tools/run included."""
        table = [self.runner.pid] + list(descendants(self.runner.pid))
        for pid in table:
            self._kill(pid, signal.SIGKILL)
        self.runner.wait(10)
        return table

    def remove(self):
        """Stop, and leave nothing behind."""
        if self.tmp is None:
            return
        self.stop()
        if _failed:
            self.show_logs()
        away = os.path.realpath(self.var)
        if not away.startswith(os.path.realpath(self.tmp) + '/') and away.startswith('/var/lib/chancery-run-'):
            shutil.rmtree(away, ignore_errors=True)
        shutil.rmtree(self.tmp, ignore_errors=True)
        self.tmp = None

    # -- files and logs

    def path(self, *parts):
        return os.path.join(self.var, *parts)

    def file(self, name):
        return os.path.join(self.tmp, name)

    def log(self, name='chanceryd'):
        try:
            with open(self.path('log', name + '.log'), errors='replace') as file:
                return file.read()
        except OSError:
            return ''

    def show_logs(self):
        for name in ('chanceryd', 'nginx', 'postgres'):
            text = self.log(name).splitlines()[-25:]
            if text:
                diag('---- the end of %s.log' % name)
                diag('\n'.join(text))

    # -- processes: tools-run's own children and theirs

    def pids(self, role):
        """role: master, orchestrator, signer, postgres, nginx, worker"""
        top = self.runner.pid
        table = descendants(top)

        def is_role(pid):
            parent, name = table[pid]
            return {
                'master': name == 'chanceryd' and parent == top,
                'orchestrator': name == 'chancery-orch',
                'signer': name == 'chancery-signer',
                'postgres': name == 'postgres' and parent == top,
                'nginx': name == 'nginx' and parent == top,
                'worker': name == 'nginx' and parent != top,
            }[role]

        return sorted(pid for pid in table if is_role(pid))

    def _kill(self, pid, number):
        try:
            os.kill(pid, number)
            return True
        except ProcessLookupError:
            return False

    def kill(self, role, number=signal.SIGKILL):
        """Signal one process of that role; its pid, or None when there is none just now."""
        found = self.pids(role)
        if not found:
            return None
        pid = random.choice(found)
        return pid if self._kill(pid, number) else None

    def hold(self, name):
        """Kill a child of tools/run (postgres, chanceryd, nginx) and keep it down until free()."""
        with open(self.path('pids', name + '.hold'), 'w'):
            pass
        pid = wait_for('a %s to kill' % name, lambda: self.kill({'chanceryd': 'master'}.get(name, name)))
        wait_for('the end of ' + name, lambda: pid not in processes())

    def free(self, name):
        os.unlink(self.path('pids', name + '.hold'))

    def freeze(self, role):
        """SIGSTOP to a process and all below it: it is there, and does nothing.  thaw() with what this returns."""
        frozen = []
        while True:
            top = self.pids(role)
            more = [pid for pid in top + [each for pid in top for each in descendants(pid)] if pid not in frozen]
            if not more:
                return frozen
            frozen += [pid for pid in more if self._kill(pid, signal.SIGSTOP)]

    def thaw(self, frozen):
        for pid in frozen:
            self._kill(pid, signal.SIGCONT)

    def wait_again(self, role, old, seconds=15):
        """A process of that role that is not the old one."""
        return wait_for('a new ' + role, lambda: [pid for pid in self.pids(role) if pid != old], seconds)

    def wait_ready(self, seconds=30):
        def check():
            try:
                return self.http('GET', '/ready', tls=True, timeout=5).status == 200
            except (OSError, http.client.HTTPException):
                return False
        return wait_for('/ready', check, seconds)

    # -- clients

    def http(self, method, path, body=None, headers=None, tls=False, cert=None, timeout=30):
        """One request through nginx.  cert: a Holder for mutual TLS."""
        timeout *= SLOW
        if tls or cert:
            context = ssl.create_default_context(cafile=self.bundle)
            if cert:
                context.load_cert_chain(cert.cert, cert.key)
            connection = http.client.HTTPSConnection('localhost', self.https_port, timeout=timeout, context=context)
        else:
            connection = http.client.HTTPConnection('localhost', self.http_port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def api(self, method, path, body=None, key=None, timeout=30):
        """The management API with the key of var/env; body is turned to JSON."""
        headers = {'Authorization': 'Bearer ' + (key or self.env['CHANCERY_API_KEY'])}
        if body is not None:
            headers['Content-Type'] = 'application/json'
            body = json.dumps(body)
        return self.http(method, path, body, headers, tls=True, timeout=timeout)

    def sh(self, command, check=True, timeout=120):
        """A shell command in the temporary folder, with var/env."""
        env = {name: value for name, value in os.environ.items() if not name.startswith('CHANCERY_')}
        env.update(self.env)
        return program(['/bin/sh', '-c', command], check=check, timeout=timeout, env=env, cwd=self.tmp)

    def psql(self, sql):
        """Ask the database as its owner; rows as lines, columns separated by |."""
        return program(['psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-h', self.path('run/pg'), '-U',
                        'chancery', '-d', 'chancery'], input=sql).out.strip()

    # -- devices

    def holder(self, name, kind='p-256', subject=None, san=None):
        """A key and a CSR.  kind: p-256, p-384, p-521, ed25519, rsa, rsa-3072 ..."""
        key, csr = self.file(name + '.key'), self.file(name + '.csr')
        words = {'p-256': ['EC', '-pkeyopt', 'ec_paramgen_curve:P-256'],
                 'p-384': ['EC', '-pkeyopt', 'ec_paramgen_curve:P-384'],
                 'p-521': ['EC', '-pkeyopt', 'ec_paramgen_curve:P-521'],
                 'ed25519': ['ED25519']}.get(kind)
        if words is None:
            words = ['RSA', '-pkeyopt', 'rsa_keygen_bits:' + (kind.partition('-')[2] or '2048')]
        openssl('genpkey', '-out', key, '-algorithm', *words)
        san = 'DNS:%s.example.net' % name if san is None else san
        openssl('req', '-new', '-key', key, '-out', csr, '-subj', '/CN=' + name if subject is None else subject,
                *(['-addext', 'subjectAltName=' + san] if san else []))
        return Holder(name, key, csr)

    def basic(self, user=None, password=None):
        pair = '%s:%s' % (user or self.env['CHANCERY_EST_USER'], password or self.env['CHANCERY_EST_PASSWORD'])
        return {'Authorization': 'Basic ' + base64.b64encode(pair.encode()).decode()}

    def est(self, csr, operation='simpleenroll', label=None, auth=None, cert=None, timeout=30):
        """POST a CSR (a file, PEM) and return the Answer.  auth: headers; the device's by default, without a cert."""
        body = base64.encodebytes(openssl('req', '-in', csr, '-outform', 'DER').raw)
        headers = {'Content-Type': 'application/pkcs10', 'Content-Transfer-Encoding': 'base64'}
        headers.update(auth if auth is not None else {} if cert else self.basic())
        path = '/.well-known/est/%s%s' % (label + '/' if label else '', operation)
        return self.http('POST', path, body, headers, tls=True, cert=cert, timeout=timeout)

    def keep(self, answer, name):
        """Write the certificate of an EST answer to a file; its path."""
        if answer.status != 200:
            raise RuntimeError('the enrolment of %s was answered %r' % (name, answer))
        path = self.file(name + '.pem')
        pem = openssl('pkcs7', '-inform', 'DER', '-print_certs', input=base64.b64decode(answer.body)).out
        with open(path, 'w') as file:
            file.write(pem[pem.index('-----BEGIN'):])
        return path

    def enrol(self, name, kind='p-256', **more):
        """A key, a CSR, and a certificate by EST with the credential of var/env."""
        holder = self.holder(name, kind, **more)
        holder.cert = self.keep(self.est(holder.csr), name)
        return holder

    def revoke(self, holder, reason='keyCompromise', **more):
        """By the API: find the managed certificate by serial, revoke it."""
        found = self.api('GET', '/api/v1/certificates?serial=' + holder.serial).json['data']
        return self.api('POST', '/api/v1/certificates/%s/revoke' % found[0]['id'], {'reason': reason, **more})

    # -- relying parties

    def _ask(self, holder, *more):
        url = '%s/ocsp/%s' % (self.http_url, self.issuer_id)
        return openssl('ocsp', '-issuer', self.issuer, '-cert', holder.cert, '-CAfile', self.bundle, '-url', url,
                       '-no_nonce', *more, check=False)

    def ocsp(self, holder, *more):
        """What openssl ocsp says of the certificate: good, revoked, unknown; or everything when it fails."""
        done_ = self._ask(holder, *more)
        found = re.search(r': (good|revoked|unknown)$', done_.out, re.M)
        return found.group(1) if found and 'Response verify OK' in done_.err else repr(done_)

    def ocsp_text(self, holder, *more):
        return self._ask(holder, '-resp_text', *more).out

    def crl(self):
        """The list as openssl prints it, after its signature was verified."""
        answer = self.http('GET', '/crl/%s.crl' % self.issuer_id)
        if answer.status != 200:
            raise RuntimeError('the CRL was answered %r' % answer)
        done_ = openssl('crl', '-inform', 'DER', '-noout', '-text', '-CAfile', self.bundle, input=answer.body,
                        check=False)
        if 'verify OK' not in done_.err:
            raise RuntimeError('the CRL does not verify: %r' % done_)
        return done_.out

    def listed(self, holder):
        return 'Serial Number: ' + holder.serial in self.crl()
