# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
Relying parties that others wrote, and what each says of a certificate: one word for each case.

A Scene is a stack with one certificate of each kind; a client is a function with a row in OCSP or CRL, which gets
(scene, case, method, digest) or (scene, case) and returns a word; the row says which words are right.
"""

import base64
import datetime
import os
import re
import socket
import subprocess
import time
import urllib.parse

from chancery import free_port, openssl, program, wait_for
import ca as authority
import lint
import octets

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as x509_ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID as AIA, ExtendedKeyUsageOID as EKU

CASES = ('good', 'revoked', 'hold', 'unissued', 'expired')
DIGESTS = {'sha1': hashes.SHA1, 'sha256': hashes.SHA256, 'sha384': hashes.SHA384, 'sha512': hashes.SHA512}

# What a client that only asks for a status says; one that tells reasons, too; one that validates the whole path.
STATUS = {'good': 'good', 'revoked': 'revoked', 'hold': 'revoked', 'unissued': 'unauthorized', 'expired': 'good'}
REASON = dict(STATUS, revoked='revoked keyCompromise', hold='revoked certificateHold')
PATH = dict(STATUS, unissued='undetermined', expired='expired')
# A list names what was revoked; what was never issued is not on it.
LIST = dict(PATH, unissued='good')
LIST_REASON = dict(REASON, unissued='good')

# ---- the certificates ------------------------------------------------------------------------------------------

MINUTE = {'id': 'prof-minute', 'name': 'minute', 'key_kinds': ['p-256', 'rsa'], 'validity_s': 60,
          'eku': ['clientAuth', 'serverAuth'], 'name_kinds': ['dns'], 'subject_rule': 'csr'}


def made(answer):
    if answer.status not in (200, 201):
        raise RuntimeError(repr(answer))
    return answer.json


class Scene:
    """An issuer of a running stack, and a certificate for each of CASES."""

    def __init__(self, stack, issuer_id=None, kind='p-256', cases=CASES):
        self.stack, self.issuer_id, self.kind = stack, issuer_id or stack.issuer_id, kind
        self.folder = stack.file('scene-' + self.issuer_id)
        os.mkdir(self.folder)
        os.chmod(self.folder, 0o755)
        self.path = '/ocsp/' + self.issuer_id
        self.url = stack.http_url + self.path
        chain = stack.api('GET', '/api/v1/issuers/%s/chain' % self.issuer_id).text
        parts = re.findall(r'-----BEGIN.*?-----END CERTIFICATE-----\n', chain, re.S)
        self.ca, self.root, self.bundle = (self.keep(name, text) for name, text in (
            ('ca.crt', parts[0]), ('root.crt', parts[-1]), ('bundle.crt', ''.join(parts))))
        self.nss = self.tls = None
        self.holders = {}
        for case in sorted(cases):  # "expired" first: it has to age; "unissued" last: it is like the others
            self.holders[case] = getattr(self, 'make_' + case)()
        for case, reason in (('revoked', 'keyCompromise'), ('hold', 'certificateHold')):
            if case in cases and stack.revoke(self.holders[case], reason).status != 200:
                raise RuntimeError('%s cannot be revoked' % case)
        self.crl = self.file('full.crl')
        wait_for('the revocations on the CRL', self.fetch_crl, 10)

    # -- files

    def file(self, name):
        return os.path.join(self.folder, name)

    def keep(self, name, data):
        with open(self.file(name), 'wb') as file:
            file.write(data.encode() if isinstance(data, str) else data)
        return self.file(name)

    def cert(self, case):
        return self.holders[case].cert

    def der(self, case):
        return self.keep(case + '.der', openssl('x509', '-in', self.cert(case), '-outform', 'DER').raw)

    def chain(self, case):
        """The certificate and the CA above it."""
        return self.keep(case + '-chain.pem', open(self.cert(case)).read() + open(self.ca).read())

    # -- certificates

    def order(self, name, profile='prof-device'):
        holder = self.stack.holder('%s-%s' % (self.issuer_id, name), self.kind, subject='/CN=' + name,
                                   san='DNS:%s.example.net' % name)
        with open(holder.csr) as file:
            got = made(self.stack.api('POST', '/api/v1/certificates', {
                'name': holder.name, 'profile_id': profile, 'issuer_id': self.issuer_id, 'csr_pem': file.read()}))
        holder.cert = self.keep(name + '.pem', got['pem'])
        return holder

    def make_good(self):
        return self.order('good')

    def make_revoked(self):
        return self.order('revoked')

    def make_hold(self):
        return self.order('hold')

    def make_expired(self):
        if self.stack.api('GET', '/api/v1/profiles/prof-minute').status != 200:
            made(self.stack.api('POST', '/api/v1/profiles', MINUTE))
        return self.order('expired', 'prof-minute')

    def make_unissued(self):
        """Signed with the CA's own key, by somebody who got hold of it: everything is right, but nobody issued it."""
        ca = authority.Authority.ours(self.stack, authority.load(self.ca))
        key, now = authority.new_key(), datetime.datetime.utcnow()
        like_good = x509.load_pem_x509_certificate(open(self.holders['good'].cert, 'rb').read())
        built = x509.CertificateBuilder().subject_name(authority.subject_of('unissued')).issuer_name(ca.subject) \
            .public_key(key.public_key()).serial_number(x509.random_serial_number()) \
            .not_valid_before(now - authority.DAY).not_valid_after(now + 30 * authority.DAY) \
            .add_extension(x509.SubjectAlternativeName([x509.DNSName('unissued.example.net')]), False) \
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        for kind in (x509.KeyUsage, x509.ExtendedKeyUsage, x509.AuthorityKeyIdentifier, x509.AuthorityInformationAccess,
                     x509.CRLDistributionPoints):
            found = lint.extension(like_good, kind)
            built = built.add_extension(found.value, found.critical)
        return authority.keep(self.stack, 'unissued-' + self.issuer_id, key, built.sign(ca.key, authority.hash_for(ca.key)))

    def age(self):
        """Until the short one has expired."""
        end = authority.load(self.cert('expired')).not_valid_after
        while datetime.datetime.utcnow() <= end + datetime.timedelta(seconds=1):
            time.sleep(0.1)

    # -- the list

    def fetch_crl(self, *cases):
        """All lists of this CA but deltas, DER and PEM, when what is revoked is on them."""
        answer = self.stack.http('GET', '/crl/%s.json' % self.issuer_id)
        skid = lint.extension(authority.load(self.ca), x509.SubjectKeyIdentifier).value.digest
        self.lists, listed, text = {}, set(), ''
        for path in (answer.json if answer.status == 200 else []):
            raw = self.stack.http('GET', path).body
            got = x509.load_der_x509_crl(raw)
            if lint.extension(got, x509.AuthorityKeyIdentifier).value.key_identifier == skid and '.delta.' not in path:
                self.lists[path] = raw
                listed |= {each.serial_number for each in got}
                text += authority.pem(got)
        wanted = {authority.load(self.cert(case)).serial_number for case in cases or ('revoked', 'hold') if case in self.holders}
        if not self.lists or not wanted <= listed:
            return False
        self.keep('full.crl', next(iter(self.lists.values())))
        self.keep('full.pem', text)
        return True

    def list_of(self, case):
        """The one that the certificate names."""
        point = lint.extension(authority.load(self.cert(case)), x509.CRLDistributionPoints).value[0].full_name[0].value
        return self.lists[urllib.parse.urlsplit(point).path]

    def pem_of(self, case):
        return self.keep('list.pem', authority.pem(x509.load_der_x509_crl(self.list_of(case))))

    def fetch_delta(self, case):
        """The delta, once it says something of the case's certificate."""
        raw = self.stack.http('GET', '/crl/%s.delta.crl' % self.issuer_id).body
        got = x509.load_der_x509_crl(raw)
        if got.get_revoked_certificate_by_serial_number(authority.load(self.cert(case)).serial_number) is None:
            return False
        self.delta = self.keep('delta.crl', raw)
        self.keep('delta.pem', authority.pem(got))
        return True

    # -- plain HTTP for clients that leave it to others

    def get(self, der):
        return self.stack.http('GET', '%s/%s' % (self.path, urllib.parse.quote(base64.b64encode(der), safe='')))

    def post(self, der):
        return self.stack.http('POST', self.path, der, {'Content-Type': 'application/ocsp-request'})

    def carry(self, method, der):
        """Checks what every answer's head must be, and returns the body."""
        answer = (self.get if method == 'GET' else self.post)(der)
        if (answer.status, answer.headers['Content-Type']) != (200, 'application/ocsp-response'):
            raise RuntimeError(repr(answer))
        return answer.body

    def close(self):
        if self.tls:
            self.tls.stop()


def word(text, table):
    """The first row whose pattern is found; otherwise the text itself, for people to see."""
    for pattern, result in table:
        if re.search(pattern, text):
            return result
    return 'said: ' + ' '.join(text.split())[-600:]


# ---- openssl ---------------------------------------------------------------------------------------------------


class OpenSSL:
    """openssl ocsp and openssl verify; command: another one than the system's."""

    def __init__(self, command=('openssl',)):
        self.command = list(command)

    def run(self, *words):
        return program([*self.command, *words], check=False)

    def ocsp(self, scene, case, method, digest):
        """POST by itself, with and without a nonce; it does not do GET: the request is carried to the server and back."""
        ask = ['ocsp', '-' + digest, '-issuer', scene.ca, '-cert', scene.cert(case), '-CAfile', scene.root,
               '-verify_other', scene.ca]
        if method == 'GET':
            self.run(*ask, '-no_nonce', '-reqout', scene.file('q'))
            with open(scene.file('q'), 'rb') as file:
                scene.keep('a', scene.carry('GET', file.read()))
            shown = self.run(*ask, '-no_nonce', '-respin', scene.file('a'))
        else:
            shown = self.run(*ask, '-url', scene.url, *([] if method == 'POST, nonce' else ['-no_nonce']))
        text = shown.out + shown.err
        if 'Responder Error: unauthorized (6)' in text:
            return 'unauthorized'
        if 'Response verify OK' not in text or 'no nonce in response' in text or 'WARNING' in text:
            return 'said: ' + text
        found = re.search(r': (good|revoked|unknown)$', shown.out, re.M)
        reason = re.search(r'Reason: (\w+)', shown.out)
        return ' '.join(each.group(1) for each in (found, reason) if each)

    VERDICTS = ((r'certificate has expired', 'expired'), (r'certificate revoked', 'revoked'), (r'\.pem: OK', 'good'))

    def verify(self, scene, case, *more):
        shown = self.run('verify', '-x509_strict', '-CAfile', scene.root, '-untrusted', scene.ca, '-crl_check', *more,
                         scene.cert(case))
        return word(shown.out + shown.err, self.VERDICTS)

    def crl(self, scene, case):
        return self.verify(scene, case, '-CRLfile', scene.file('full.pem'))

    def base(self, scene, case):
        """Without the delta."""
        return self.verify(scene, case, '-CRLfile', scene.file('full.pem'))

    def delta(self, scene, case):
        """With the delta."""
        return self.verify(scene, case, '-CRLfile', scene.file('full.pem'), '-CRLfile', scene.file('delta.pem'),
                           '-extended_crl', '-use_deltas')

    def crl_download(self, scene, case):
        """It follows the distribution point of the certificate by itself."""
        return self.verify(scene, case, '-crl_download')


# ---- GnuTLS ----------------------------------------------------------------------------------------------------

OCSPTOOL = ((r'(?i)unauthorized', 'unauthorized'),
            (r'Certificate Status: good(?s:.*)Verifying OCSP Response: Success', 'good'),
            (r'Certificate Status: revoked(?s:.*)Verifying OCSP Response: Success', 'revoked'))


def ocsptool(scene, case, method, digest):
    """SHA-1 by itself; the answer to a SHA-256 request, which it cannot make, is shown to it."""
    trust = ['--load-cert', scene.cert(case), '--load-issuer', scene.ca, '--load-trust', scene.ca]
    if method != 'GET' and digest == 'sha1':
        shown = program(['ocsptool', '--ask=' + scene.url, '--nonce' if method == 'POST, nonce' else '--no-nonce', *trust],
                        check=False)
        return word(shown.out + shown.err, OCSPTOOL)
    if digest == 'sha1':
        program(['ocsptool', '--generate-request', '--no-nonce', '--outfile', scene.file('q'), *trust[:4]])
    else:
        openssl('ocsp', '-' + digest, '-issuer', scene.ca, '-cert', scene.cert(case), '-no_nonce', '-reqout', scene.file('q'))
    with open(scene.file('q'), 'rb') as file:
        answer = scene.keep('a', scene.carry(method, file.read()))
    shown = program(['ocsptool', '--verify-response', '--load-response', answer, '--load-trust', scene.ca], check=False)
    more = program(['ocsptool', '--response-info', '--load-response', answer], check=False)
    return word(more.out + shown.out + shown.err, OCSPTOOL)


def gnutls_cli(scene, case, *more):
    """It asks the responder that the server's certificate names."""
    shown = program(['gnutls-cli', '--x509cafile', scene.bundle, '--sni-hostname', case + '.example.net', '--verify-hostname',
                     case + '.example.net', *more, '--port', str(servers(scene).port), '127.0.0.1'], check=False)
    return word(shown.out + shown.err, (
        (r'The certificate chain uses expired certificate', 'expired'), (r'was revoked at|chain is revoked', 'revoked'),
        (r'OCSP response with no data(?s:.*)Fatal error', 'undetermined'),
        (r'certificate is trusted(?s:.*)%sHandshake was completed' % ('verified 1(?s:.*)' if '--ocsp' in more else ''), 'good')))


def gnutls_cli_ocsp(scene, case, _method, _digest):
    return gnutls_cli(scene, case, '--ocsp')


def gnutls_cli_crl(scene, case):
    """Of several lists of a CA GnuTLS looks at one, whatever its IDP: it gets the one that the certificate names."""
    return gnutls_cli(scene, case, '--x509crlfile', scene.pem_of(case))


def certtool(scene, case):
    shown = program(['certtool', '--verify-crl', '--load-ca-certificate', scene.ca, '--infile', scene.pem_of(case)],
                    check=False)
    if 'Verification output: Verified' not in shown.out:
        return 'said: ' + shown.out
    shown = program(['certtool', '--verify', '--load-ca-certificate', scene.bundle, '--load-crl', scene.pem_of(case),
                     '--infile', scene.cert(case)], check=False)
    return word(shown.out + shown.err, ((r'(?i)expired', 'expired'), (r'(?i)revoked', 'revoked'),
                                        (r'Chain verification output: Verified\. The certificate is trusted', 'good')))


# ---- NSS -------------------------------------------------------------------------------------------------------

NSS = ((r'(?i)expired', 'expired'), (r'(?i)has been revoked', 'revoked'),
       (r'(?i)not authoriz|unauthoriz|refused.*unauth', 'unauthorized'),
       (r'succeeded|Chain is good|certificate is valid', 'good'))
NSS_PATH = NSS[:2] + ((r'(?i)not authoriz|unauthoriz|unknown|OCSP', 'undetermined'),) + NSS[3:]


def nss_database(scene, name='nss', crl=False):
    folder = scene.file(name)
    place = 'sql:' + folder
    if not os.path.isdir(folder):
        os.mkdir(folder)
        program(['certutil', '-N', '-d', place, '--empty-password'])
        for nick, path, trust in (('root', scene.root, 'CT,C,C'), ('ca', scene.ca, ',,'),
                                  *((case, scene.cert(case), ',,') for case in scene.holders)):
            program(['certutil', '-A', '-d', place, '-n', nick, '-t', trust, '-i', path])
        if crl:
            program(['crlutil', '-I', '-i', scene.crl, '-t', '1', '-d', place])
    return place


def ocspclnt(scene, case, _method, _digest):
    shown = program(['ocspclnt', '-S', case, '-d', nss_database(scene)], check=False)
    return word(shown.out + shown.err, NSS)


def ocspclnt_verify(scene, case, _method, _digest):
    shown = program(['ocspclnt', '-V', case, '-u', 'c', '-d', nss_database(scene), '-l', scene.url, '-t', 'ca'], check=False)
    return word(shown.out + shown.err, NSS_PATH)


def vfychain(scene, case, method, *flags):
    """By libpkix, which asks for each certificate itself; without information the chain is bad."""
    shown = program(['vfychain', '-d', nss_database(scene, 'nss-crl' if method == 'crl' else 'nss', method == 'crl'), '-pp',
                     '-u', '0', '-g', 'leaf', '-h', 'requireFreshInfo', '-m', method, '-s', 'failIfNoInfo', *flags,
                     scene.der(case)], check=False)
    return word(shown.out + shown.err, NSS_PATH)


def vfychain_ocsp(scene, case, _method, _digest):
    return vfychain(scene, case, 'ocsp')


def vfychain_crl(scene, case):
    return vfychain(scene, case, 'crl')


def crlutil(scene, case):
    """Taken into the database with its signature checked, listed, and used by certutil -V."""
    place = nss_database(scene, 'nss-crl', True)
    shown = program(['crlutil', '-L', '-n', 'ca', '-d', place]).out
    serials = {each.replace(':', '').upper().lstrip('0') for each in re.findall(r'Serial Number:\s+([0-9a-f:]+)', shown)}
    listed = scene.holders[case].serial.lstrip('0') in serials
    shown = program(['certutil', '-V', '-d', place, '-n', case, '-u', 'C'], check=False)
    verdict = word(shown.out + shown.err, NSS)
    return verdict if listed == (case in ('revoked', 'hold')) else 'the list has it: %s, and %s' % (listed, verdict)


# ---- Heimdal ---------------------------------------------------------------------------------------------------


def hxtool_ask(scene, case):
    """The request as hxtool writes it, HTTP 1.0 and all, carried over a socket."""
    program(['hxtool', 'ocsp-fetch', '--no-nonce', '--url-path=' + scene.path, '--pool=FILE:' + scene.ca, scene.file('q'),
             'FILE:' + scene.cert(case)])
    with open(scene.file('q'), 'rb') as file:
        text = file.read()
    with socket.create_connection(('127.0.0.1', scene.stack.http_port), 10) as to:
        to.sendall(text)
        to.settimeout(10)
        got = b''.join(iter(lambda: to.recv(65536), b''))
    head, _, body = got.partition(b'\r\n\r\n')
    if b' 200 ' not in head.splitlines()[0]:
        raise RuntimeError(repr(got))
    return scene.keep('a', body)


def hxtool_ocsp(scene, case, _method, _digest):
    """ocsp-verify knows "good" and all else."""
    answer = hxtool_ask(scene, case)
    shown = program(['hxtool', 'ocsp-verify', '--ocsp-file=' + answer, 'FILE:' + scene.cert(case)], check=False)
    text = shown.out + shown.err
    return 'good' if shown.status == 0 else word(text, ((r'not in OCSP response or not good', 'not good'),
                                                        (r'(?i)malloc|parse|decode|OCSP', 'not good')))


def hxtool_verify(scene, case, kind, path):
    """Debian's hxtool knows RSA signatures only."""
    shown = program(['hxtool', 'verify', '--missing-revoke', 'cert:FILE:' + scene.cert(case), 'chain:FILE:' + scene.ca,
                     'anchor:FILE:' + scene.root, '%s:FILE:%s' % (kind, path)], check=False)
    return word(shown.out + shown.err, ((r'expired|not valid', 'expired'), (r'revoked by issuer', 'revoked'),
                                        (r'path ok', 'good')))


def hxtool_crl(scene, case):
    return hxtool_verify(scene, case, 'crl', scene.crl)


# ---- strongSwan ------------------------------------------------------------------------------------------------


STRONGSWAN = ((r'subject certificate invalid \(valid from', 'expired'), (r'certificate was revoked', 'revoked'),
              (r'status: unauthorized(?s:.*?)fetching crl(?s:.*?)crl correctly signed(?s:.*?)status is good', 'good by CRL'),
              (r'ocsp response correctly signed(?s:.*?)certificate status is good', 'good'))


def strongswan(scene, case, _method, _digest):
    """What it says of the leaf.  Without an answer by OCSP it fetches the CRL, which the certificate names."""
    shown = program(['pki', '--verify', '--in', scene.cert(case), '--cacert', scene.root, '--cacert', scene.ca, '--online'],
                    check=False)
    return word(shown.out + shown.err, STRONGSWAN)


# ---- nginx and curl --------------------------------------------------------------------------------------------

NGINX = '''
daemon off; pid %(folder)s/tls.pid; error_log %(folder)s/tls.log info; worker_processes 1; %(user)s
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path %(folder)s/t1; proxy_temp_path %(folder)s/t2; fastcgi_temp_path %(folder)s/t3;
    uwsgi_temp_path %(folder)s/t4; scgi_temp_path %(folder)s/t5;
    ssl_trusted_certificate %(bundle)s;
%(servers)s
    server {
        listen 127.0.0.1:%(ocsp_port)d ssl;
        ssl_certificate %(folder)s/good-chain.pem; ssl_certificate_key %(key)s;
        ssl_client_certificate %(bundle)s; ssl_verify_client on; ssl_verify_depth 3; ssl_ocsp leaf;
        ssl_ocsp_responder %(url)s; return 200 "let in\\n";
    }
    server {
        listen 127.0.0.1:%(crl_port)d ssl;
        ssl_certificate %(folder)s/good-chain.pem; ssl_certificate_key %(key)s;
        ssl_client_certificate %(bundle)s; ssl_verify_client on; ssl_verify_depth 3; ssl_crl %(folder)s/lists.pem;
        return 200 "let in\\n";
    }
}
'''
SERVER = '''
    server {
        listen 127.0.0.1:%(port)d ssl; server_name %(case)s.example.net;
        ssl_certificate %(folder)s/%(case)s-chain.pem; ssl_certificate_key %(key)s;
        ssl_stapling on; ssl_stapling_verify on; ssl_stapling_responder %(url)s; return 200 "stapled\\n";
    }
'''


class Servers:
    """An nginx that staples to a certificate of each case, and two that check clients: by OCSP, by the CRL."""

    def __init__(self, scene):
        self.port, self.ocsp_port, self.crl_port = free_port(), free_port(), free_port()
        self.log = scene.file('tls.log')
        url = 'http://127.0.0.1:%d%s' % (scene.stack.http_port, scene.path)
        common = {'folder': scene.folder, 'bundle': scene.bundle, 'url': url, 'port': self.port}
        servers = ''
        for case, holder in scene.holders.items():
            scene.chain(case)
            servers += SERVER % dict(common, case=case, key=holder.key)
        scene.keep('lists.pem', open(scene.file('full.pem')).read() + root_list(scene))
        scene.keep('tls.conf', NGINX % dict(common, servers=servers, key=scene.holders['good'].key, ocsp_port=self.ocsp_port,
                                            crl_port=self.crl_port, user='user www-data;' if os.geteuid() == 0 else ''))
        self.process = subprocess.Popen(['/usr/sbin/nginx', '-c', scene.file('tls.conf'), '-p', scene.folder, '-e', self.log],
                                        stdin=subprocess.DEVNULL)
        wait_for('nginx', lambda: self.is_up(), 10)

    def is_up(self):
        try:
            socket.create_connection(('127.0.0.1', self.port), 1).close()
            return True
        except OSError:
            return False

    def said(self, since=0):
        with open(self.log, errors='replace') as file:
            file.seek(since)
            return file.read()

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def root_list(scene):
    """nginx's ssl_crl wants a list of every CA on the path; ours has no root that publishes one: made here, empty."""
    if scene.ca == scene.root:
        return ''
    root, now = authority.Authority.ours(scene.stack, authority.load(scene.root)), datetime.datetime.utcnow()
    built = x509.CertificateRevocationListBuilder().issuer_name(root.subject).last_update(now - authority.DAY) \
        .next_update(now + authority.DAY)
    return authority.pem(built.sign(root.key, authority.hash_for(root.key)))


def servers(scene):
    if scene.tls is None:
        scene.tls = Servers(scene)
    return scene.tls


def curl(scene, case, port, *more):
    name = 'good' if port != scene.tls.port else case
    return program(['curl', '-sS', '--cacert', scene.root, '--resolve', '%s.example.net:%d:127.0.0.1' % (name, port), *more,
                    'https://%s.example.net:%d/' % (name, port)], check=False)


CURL = ((r'expired', 'expired'), (r'revoked', 'revoked'))
STAPLING = {'good': r'$', 'expired': r'$', 'revoked': r'certificate status "revoked"', 'hold': r'certificate status "revoked"',
            'unissued': r'OCSP response not successful \(6: unauthorized\)'}


def stapling(scene, case, _method, _digest):
    """nginx asks, with the first handshake, and staples what is good; curl --cert-status wants it stapled."""
    tls = servers(scene)

    def told():
        shown = curl(scene, case, tls.port, '--cert-status')
        text = shown.out + shown.err
        if text == 'stapled\n':
            return 'good'
        if shown.status == 91:
            said = [each for each in tls.said().splitlines() if 'OCSP' in each or 'certificate status' in each]
            return STAPLED.get(case) if any(re.search(STAPLING[case], each) for each in said) and case in STAPLED else None
        return word(text, CURL)

    return wait_for('what is stapled for ' + case, told, 5) or 'nothing: ' + tls.said()[-400:]


STAPLED = {'revoked': 'revoked', 'hold': 'revoked', 'unissued': 'undetermined'}


def client_certificate(scene, case, port, table):
    at = len(servers(scene).said())
    shown = curl(scene, case, port, '--cert', scene.chain(case), '--key', scene.holders[case].key)
    if shown.out == 'let in\n':
        return 'good'
    said = servers(scene).said(at)
    return word(said, table) if '400 ' in shown.out else 'said: %r %s' % (shown, said)


def nginx_ocsp(scene, case, _method, _digest):
    return client_certificate(scene, case, servers(scene).ocsp_port,
                              ((r'certificate has expired', 'expired'), (r'certificate revoked|status "revoked"', 'revoked'),
                               (r'unauthorized|OCSP response not successful', 'undetermined')))


def nginx_crl(scene, case):
    return client_certificate(scene, case, servers(scene).crl_port,
                              ((r'certificate has expired', 'expired'), (r'certificate revoked', 'revoked')))


def curl_crl(scene, case):
    port = servers(scene).port
    shown = curl(scene, case, port, '--crlfile', scene.file('lists.pem'))
    return 'good' if shown.out == 'stapled\n' else word(shown.out + shown.err, CURL)


# ---- Python's cryptography -------------------------------------------------------------------------------------

REASONS = {x509.ReasonFlags.key_compromise: ' keyCompromise', x509.ReasonFlags.certificate_hold: ' certificateHold', x509.ReasonFlags.superseded: ' superseded',
           x509.ReasonFlags.remove_from_crl: ' removed', None: ''}


def python_ocsp(scene, case, method, digest):
    """Every answer goes through lint.ocsp as well."""
    cert, issuer = authority.load(scene.cert(case)), authority.load(scene.ca)
    built = x509_ocsp.OCSPRequestBuilder().add_certificate(cert, issuer, DIGESTS[digest]()).build()
    raw = scene.carry(method, built.public_bytes(Encoding.DER))
    got = x509_ocsp.load_der_ocsp_response(raw)
    if octets.ocsp(raw):
        return 'said: %s' % octets.ocsp(raw)
    if got.response_status is not x509_ocsp.OCSPResponseStatus.SUCCESSFUL:
        return got.response_status.name.lower()
    found = lint.ocsp(got, issuer, cert)
    if found or got.hash_algorithm.name != digest:
        return 'said: %s %s' % (got.hash_algorithm.name, found)
    return got.certificate_status.name.lower() + REASONS[got.revocation_reason if got.revocation_time else None]


def python_crl(scene, case):
    raw = scene.list_of(case)
    got = x509.load_der_x509_crl(raw)
    more = {x509.IssuingDistributionPoint.oid, x509.FreshestCRL.oid} & {each.oid for each in got.extensions}
    found = octets.crl(raw) + lint.crl(got, authority.load(scene.ca), more)
    if found:
        return 'said: %s' % found
    entry = got.get_revoked_certificate_by_serial_number(authority.load(scene.cert(case)).serial_number)
    return 'good' if entry is None else 'revoked' + python_reason(entry)


def python_reason(entry):
    reason = lint.extension(entry, x509.CRLReason)
    return REASONS[reason.value.reason if reason else None]


def python_delta(scene, case):
    """The full list as it was, and what the delta says to it (RFC 5280 5.2.4)."""
    with open(scene.delta, 'rb') as file:
        raw = file.read()
    base, delta = x509.load_der_x509_crl(scene.list_of('good')), x509.load_der_x509_crl(raw)
    found = octets.crl(raw) + lint.crl(delta, authority.load(scene.ca), [x509.DeltaCRLIndicator.oid])
    numbers = (lint.extension(delta, x509.DeltaCRLIndicator), lint.extension(base, x509.CRLNumber),
               lint.extension(delta, x509.CRLNumber))
    if found or not numbers[0].value.crl_number <= numbers[1].value.crl_number < numbers[2].value.crl_number:
        return 'said: %s %s' % (found, numbers)
    serial = authority.load(scene.cert(case)).serial_number
    entry = delta.get_revoked_certificate_by_serial_number(serial) or base.get_revoked_certificate_by_serial_number(serial)
    return 'good' if entry is None or ' removed' in python_reason(entry) else 'revoked' + python_reason(entry)


# ---- the rows --------------------------------------------------------------------------------------------------

ALL = tuple(DIGESTS)
SYSTEM = OpenSSL()

# Client, its function, methods, hashes of CertIDs, what it has to say.  The exceptions, with reasons, are listed in
# docs/protocols.md: strongSwan goes on to the CRL; libpkix says "revoked" when information that it must have is
# missing; ocspclnt looks at the dates, too; hxtool knows "good" and all else.
OCSP = (
    ('openssl ocsp', SYSTEM.ocsp, ('GET', 'POST', 'POST, nonce'), ALL, REASON),
    ('Python cryptography', python_ocsp, ('GET', 'POST'), ALL, REASON),
    ('GnuTLS ocsptool', ocsptool, ('GET', 'POST', 'POST, nonce'), ('sha1',), STATUS),
    ('GnuTLS ocsptool, shown an answer', ocsptool, ('GET', 'POST'), ('sha256',), STATUS),
    ('gnutls-cli --ocsp', gnutls_cli_ocsp, ('POST, nonce',), ('sha1',), PATH),
    ('NSS ocspclnt -S', ocspclnt, ('GET',), ('sha1',), dict(STATUS, expired='expired')),
    ('NSS ocspclnt -V', ocspclnt_verify, ('GET',), ('sha1',), PATH),
    ('NSS vfychain', vfychain_ocsp, ('GET',), ('sha1',), dict(PATH, unissued='revoked')),
    ('Heimdal hxtool ocsp-verify', hxtool_ocsp, ('POST',), ('sha256',),
     dict(STATUS, revoked='not good', hold='not good', unissued='not good')),
    ('strongSwan pki --verify', strongswan, ('POST, nonce',), ('sha1',), dict(PATH, unissued='good by CRL')),
    ('nginx ssl_stapling, curl --cert-status', stapling, ('GET',), ('sha1',), PATH),
    ('nginx ssl_ocsp', nginx_ocsp, ('GET',), ('sha1',), PATH),
)

CRL = (
    ('openssl verify -crl_check', SYSTEM.crl, LIST),
    ('openssl verify -crl_download', SYSTEM.crl_download, LIST),
    ('Python cryptography', python_crl, LIST_REASON),
    ('GnuTLS certtool', certtool, LIST),
    ('gnutls-cli --x509crlfile', gnutls_cli_crl, LIST),
    ('NSS crlutil, certutil -V', crlutil, LIST),
    ('NSS vfychain', vfychain_crl, LIST),
    ('nginx ssl_crl', nginx_crl, LIST),
    ('curl --crlfile', curl_crl, LIST),
)

# Lists in parts: NSS takes none with a critical IDP, and goes without.
SHARDS = tuple(row for row in CRL if not row[0].startswith('NSS'))

# A full list from before, and a delta that has "late" and releases "hold".
BEFORE = dict(LIST, late='good')
AFTER = dict(LIST, hold='good', late='revoked')
DELTA = (
    ('openssl verify -crl_check', SYSTEM.base, BEFORE),
    ('openssl verify -use_deltas', SYSTEM.delta, AFTER),
    ('Python cryptography', python_delta, dict(AFTER, revoked='revoked keyCompromise', late='revoked superseded')),
)

# RSA all the way, for those who know nothing else.
RSA_CRL = CRL[:1] + (('Heimdal hxtool verify', hxtool_crl, LIST),) + CRL[2:4] + CRL[5:6]
RSA_OCSP = OCSP[:3] + OCSP[6:7] + OCSP[8:9]
