# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
An edge without a daemon: certificates made by the openssl command, a store filled by edge_fill, nginx with our
module and the example configuration.  For tests of the modules and for measurements.
"""

import atexit
import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

from chancery import BUILD, ROOT, openssl, program, wait_for

FILL = os.path.join(BUILD, 't/lib/edge_fill')
MODULE = os.path.join(BUILD, 'ngx_http_pki_module.so')

EXTENSIONS = {
    'ca': 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n',
    'ocsp': 'keyUsage=critical,digitalSignature\nextendedKeyUsage=OCSPSigning\n',
    'client': 'keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\n',
    'server': 'keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n',
    'plain': '',
}


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class Pki:
    """Keys and certificates in one folder: NAME.key, NAME.pem."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.root('root', '/CN=Edge Test Root')
        self.issue('ca', '/CN=Edge Test CA', 'root', 'ca', days=3000)
        self.issue('responder', '/CN=Edge Test OCSP', 'ca', 'ocsp')
        self.issue('server', '/CN=localhost', 'ca', 'server', san='DNS:localhost,IP:127.0.0.1')
        self.join('chain.pem', 'ca', 'root')
        self.crl('ca')

    def path(self, name):
        return os.path.join(self.folder, name)

    def key(self, name, kind='P-256'):
        words = {'RSA': ['RSA', '-pkeyopt', 'rsa_keygen_bits:2048'],
                 'ED25519': ['ED25519']}.get(kind, ['EC', '-pkeyopt', 'ec_paramgen_curve:' + kind])
        openssl('genpkey', '-algorithm', *words, '-out', self.path(name + '.key'))

    def root(self, name, subject):
        self.key(name)
        openssl('req', '-x509', '-new', '-key', self.path(name + '.key'), '-subj', subject, '-days', '3650',
                '-addext', 'keyUsage=critical,keyCertSign,cRLSign', '-out', self.path(name + '.pem'))

    def request(self, name, subject, san=None, challenge=None):
        """DER of a certificate request with NAME.key."""
        words = ['-addext', 'subjectAltName=' + san] if san else []
        text = '[req]\ndistinguished_name=dn\nprompt=no\nstring_mask=utf8only\n'
        if challenge:
            # Attributes are taken from the file only together with the subject.
            text += 'attributes=a\n[a]\nchallengePassword=%s\n[dn]\n%s\n' % (challenge, subject[1:].replace('/', '\n'))
        else:
            text += '[dn]\n'
            words += ['-subj', subject]
        with open(self.path('req.cnf'), 'w') as file:
            file.write(text)
        return openssl('req', '-new', '-config', self.path('req.cnf'), '-key', self.path(name + '.key'), '-outform', 'DER', *words).raw

    def issue(self, name, subject, by, kind, san=None, serial=None, days=30, key=None):
        if key is None:
            self.key(name)
        else:
            shutil.copy(self.path(key + '.key'), self.path(name + '.key'))
        with open(self.path(name + '.csr'), 'wb') as file:
            file.write(self.request(name, subject, san))
        with open(self.path('ext.cnf'), 'w') as file:
            file.write(EXTENSIONS[kind] + 'subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n')
            if san:
                file.write('subjectAltName=' + san + '\n')
        words = ['-set_serial', serial] if serial else ['-set_serial', '0x40' + os.urandom(15).hex()]
        openssl('x509', '-req', '-inform', 'DER', '-in', self.path(name + '.csr'), '-CA', self.path(by + '.pem'), '-CAkey',
                self.path(by + '.key'), '-days', str(days), '-extfile', self.path('ext.cnf'), '-out', self.path(name + '.pem'),
                *words)

    def expire(self, name, by):
        """A copy of NAME with the same names and key that ended long ago: NAME-expired."""
        shutil.copy(self.path(name + '.key'), self.path(name + '-expired.key'))
        with open(self.path('old.cnf'), 'w') as file:
            file.write('[ca]\ndefault_ca=c\n[c]\ndatabase=%s\nnew_certs_dir=%s\nrand_serial=yes\ndefault_md=sha256\n'
                       'policy=p\ncopy_extensions=copy\nx509_extensions=e\nunique_subject=no\n[p]\ncommonName=supplied\n[e]\n%s'
                       'authorityKeyIdentifier=keyid\n' % (self.path('index.txt'), self.folder, EXTENSIONS['client']))
        openssl('req', '-inform', 'DER', '-in', self.path(name + '.csr'), '-out', self.path('old.csr'))
        openssl('ca', '-batch', '-notext', '-config', self.path('old.cnf'), '-in', self.path('old.csr'), '-cert',
                self.path(by + '.pem'), '-keyfile', self.path(by + '.key'), '-startdate', '20200101000000Z', '-enddate',
                '20210101000000Z', '-out', self.path(name + '-expired.pem'))

    def serial(self, name):
        return openssl('x509', '-in', self.path(name + '.pem'), '-noout', '-serial').out.strip().split('=')[1].lower()

    def join(self, name, *certificates):
        with open(self.path(name), 'w') as out:
            for each in certificates:
                with open(self.path(each + '.pem')) as file:
                    out.write(file.read())

    def crl(self, name):
        open(self.path('index.txt'), 'w').close()
        with open(self.path('crlnumber'), 'w') as file:
            file.write('1000\n')
        with open(self.path('crl.cnf'), 'w') as file:
            file.write('[ca]\ndefault_ca=c\n[c]\ndatabase=%s\ncrlnumber=%s\ndefault_md=sha256\ndefault_crl_days=1\n'
                       'crl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\n' % (self.path('index.txt'), self.path('crlnumber')))
        openssl('ca', '-config', self.path('crl.cnf'), '-gencrl', '-cert', self.path(name + '.pem'), '-keyfile',
                self.path(name + '.key'), '-out', self.path('crl.pem'))
        openssl('crl', '-in', self.path('crl.pem'), '-outform', 'DER', '-out', self.path('full.crl'))


def kept(text):
    """A configuration in which connections are kept for good: what is measured is not their making."""
    return re.sub(r'keepalive_requests +\d+;', 'keepalive_requests 1000000000;', text)


def unlimited(text):
    """And nothing bounds a source: one load generator stands for many clients."""
    text = re.sub(r'^(\s*)((?:limit_req|limit_conn|pki_ocsp_\w*limit)\s[^;]*;)', r'\1# \2', text, flags=re.M)
    return kept(text)


class Edge:
    """nginx over a store below a temporary folder."""

    def __init__(self, workers=2, cache=True, text=None, daemon=False):
        """text: a function of the configuration's text; daemon: nginx leaves us, which it must for an upgrade."""
        self.folder = tempfile.mkdtemp(prefix='chancery-edge-')
        os.chmod(self.folder, 0o755)
        atexit.register(self.remove)
        self.pki = Pki(os.path.join(self.folder, 'pki'))
        self.var = os.path.join(self.folder, 'var')
        self.store = os.path.join(self.var, 'edge')
        for each in ('edge', 'run', 'tls', 'log', 'tmp', 'pids'):
            os.makedirs(os.path.join(self.var, each))
        if os.geteuid() == 0:
            shutil.chown(os.path.join(self.var, 'tmp'), 'www-data')
        shutil.copy(self.pki.path('server.pem'), os.path.join(self.var, 'tls/server.crt'))
        shutil.copy(self.pki.path('server.key'), os.path.join(self.var, 'tls/server.key'))
        self.http_port, self.https_port = free_port(), free_port()
        self.workers, self.cache, self.extra, self.daemon = workers, cache, text, daemon
        self.process = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sys.exit(130))

    def fill(self, *words, into=None):
        """edge_fill; the records of the test issuer unless they say otherwise.  Everybody may read what it makes."""
        program([FILL, into or self.store, 'issuer=iss-test', *words], timeout=120)
        for folder, _, files in os.walk(into or self.store):
            os.chmod(folder, 0o755)
            for each in files:
                os.chmod(os.path.join(folder, each), 0o666)

    def fill_all(self, *words, into=None):
        self.fill('chain=' + self.pki.path('chain.pem'),
                  'responder=%s,%s' % (self.pki.path('responder.pem'), self.pki.path('responder.key')),
                  'crl=' + self.pki.path('full.crl'), *words, into=into)

    def configure(self):
        """Write the configuration; start() does, and before a reload() it may be written anew."""
        values = {
            'VAR': self.var, 'MODULE': MODULE, 'WORKERS': str(self.workers),
            'USER': 'user www-data;' if os.geteuid() == 0 else '',
            'LISTEN_HTTP': 'listen 127.0.0.1:%d;' % self.http_port,
            'LISTEN_HTTPS': 'listen 127.0.0.1:%d ssl http2;' % self.https_port,
        }
        with open(os.path.join(ROOT, 'conf/nginx.conf')) as file:
            text = re.sub(r'@([A-Z_]+)@', lambda match: values[match.group(1)], file.read())
        if not self.cache:
            text = text.replace('pki_ocsp_cache', '# pki_ocsp_cache')
        if self.daemon:
            text = re.sub(r'daemon +off;', 'daemon on;', text)
        if self.extra:
            text = self.extra(text)
        if os.environ.get('NGINX_PRELOAD'): # a new binary has to have it as well
            text = 'env LD_PRELOAD;\nenv ASAN_OPTIONS;\nenv UBSAN_OPTIONS;\n' + text
        with open(os.path.join(self.var, 'nginx.conf'), 'w') as file:
            file.write(text)

    def start(self):
        self.configure()
        self.process = subprocess.Popen(
            ['/usr/sbin/nginx', '-p', self.var, '-c', os.path.join(self.var, 'nginx.conf'), '-e', self.path('log/nginx.log')],
            env=self.environment(), stderr=subprocess.DEVNULL)
        if self.daemon:
            self.process.wait(30)  # while this one lives, its child takes itself for a new binary and ignores USR2
        if not wait_for('nginx', lambda: self.answers() and len(self.worker_pids()) == self.workers):
            raise RuntimeError('nginx did not start:\n' + self.log())

    @staticmethod
    def environment():
        env = dict(os.environ, PATH='/usr/sbin:/usr/bin:/sbin:/bin')
        if os.environ.get('NGINX_PRELOAD'):
            # nginx unloads its modules before it ends: what they keep for life would look lost.
            env.update(LD_PRELOAD=os.environ['NGINX_PRELOAD'],
                       ASAN_OPTIONS=os.environ.get('ASAN_OPTIONS', '') + ':detect_leaks=0')
        return env

    def path(self, name):
        return os.path.join(self.var, name)

    def log(self):
        try:
            with open(self.path('log/nginx.log')) as file:
                return file.read()
        except OSError:
            return ''

    def answers(self):
        try:
            socket.create_connection(('127.0.0.1', self.http_port), 1).close()
            return True
        except OSError:
            return False

    def master(self):
        """Its process id, or None."""
        if not self.daemon:
            return self.process.pid
        try:
            with open(self.path('pids/nginx-master.pid')) as file:
                pid = int(file.read())
            return pid if os.path.exists('/proc/%d' % pid) else None
        except (OSError, ValueError):
            return None

    def worker_pids(self, master=None):
        """Workers that serve; of the masters there may be two during an upgrade."""
        master = master or self.master()
        try:
            with open('/proc/%d/task/%d/children' % (master, master)) as file:
                found = [int(each) for each in file.read().split()]
        except (TypeError, OSError):
            return []
        return [pid for pid in found if self.title(pid) == 'nginx: worker process']

    @staticmethod
    def title(pid):
        try:
            with open('/proc/%d/cmdline' % pid) as file:
                return file.read().replace('\0', ' ').strip()
        except OSError:
            return ''

    def reload(self):
        """SIGHUP, and wait until other workers serve."""
        old = set(self.worker_pids())
        os.kill(self.master(), signal.SIGHUP)

        def replaced():
            now = set(self.worker_pids())
            return len(now) == self.workers and not now & old
        return wait_for('new workers', replaced, 20)

    def upgrade(self):
        """Another binary takes over the sockets: USR2, WINCH, QUIT.  True when it has."""
        old = self.master()
        os.kill(old, signal.SIGUSR2)
        new = wait_for('a new master', lambda: self.master() != old and self.master(), 20)
        if not new or not wait_for('its workers', lambda: len(self.worker_pids(new)) == self.workers, 20):
            return False
        os.kill(old, signal.SIGWINCH)
        wait_for('the end of the old workers', lambda: not self.worker_pids(old), 20)
        os.kill(old, signal.SIGQUIT)
        return bool(wait_for('the end of the old master', lambda: not os.path.exists('/proc/%d' % old), 20))

    def metric(self, name):
        """The sum of a counter over issuers and labels."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.path('run/nginx-metrics.sock'))
            connection.sendall(b'GET /metrics HTTP/1.0\r\n\r\n')
            text = b''.join(iter(lambda: connection.recv(65536), b'')).decode()
        found = re.findall(r'^%s(?:\{[^}]*\})? (\S+)$' % name, text, re.M)
        if not found:
            raise RuntimeError('no metric %s in %s' % (name, text[:500]))
        return sum(float(each) for each in found)

    def stop(self):
        if self.daemon:
            pid = self.master()
            if pid:
                os.kill(pid, signal.SIGTERM)
                wait_for('the end of nginx', lambda: not os.path.exists('/proc/%d' % pid), 20)
        elif self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
        self.process = None

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- clients

    def http(self, method, path, body=None, headers=None, chunked=False, timeout=30):
        """One request on a connection of its own: (status, headers, body)."""
        connection = http.client.HTTPConnection('127.0.0.1', self.http_port, timeout=timeout)
        try:
            if chunked:
                body = iter([body[i:i + 1000] for i in range(0, len(body), 1000)])
            connection.request(method, path, body, headers or {}, encode_chunked=chunked)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def tls(self, certificate=None, version=None):
        """An http.client connection over TLS; certificate: the name of one with its key."""
        context = ssl.create_default_context(cafile=self.pki.path('chain.pem'))
        if certificate:
            context.load_cert_chain(self.pki.path(certificate + '.pem'), self.pki.path(certificate + '.key'))
        if version:
            context.minimum_version = context.maximum_version = version
        return http.client.HTTPSConnection('localhost', self.https_port, context=context, timeout=30)

    def ocsp_request(self, *serials, words=('-no_nonce',), issuer='ca'):
        """DER of a request for serials (hexadecimal)."""
        name = os.path.join(self.folder, 'request.der')
        argv = ['ocsp', '-issuer', self.pki.path(issuer + '.pem'), *words]
        for each in serials:
            argv += ['-serial', '0x' + each]
        openssl(*argv, '-reqout', name)
        with open(name, 'rb') as file:
            return file.read()

    def ocsp_post(self, der, issuer='iss-test', path='/ocsp/'):
        return self.http('POST', path + issuer, der, {'Content-Type': 'application/ocsp-request'})

    def ocsp(self, *serials, words=(), url=None, issuer='ca'):
        """What the openssl client makes of the answer: its whole output."""
        argv = ['ocsp', '-issuer', self.pki.path(issuer + '.pem'), '-CAfile', self.pki.path('root.pem'), *words,
                '-url', url or 'http://127.0.0.1:%d/ocsp/iss-test' % self.http_port]
        for each in serials:
            argv += ['-serial', '0x' + each]
        done = openssl(*argv, check=False)
        return done.out + done.err
