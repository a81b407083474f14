#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
CAs that are taken over: a certificate with its chain, and a key that the signer has.  What is no CA, or not the key's,
is refused and leaves nothing behind; what is accepted issues, answers OCSP and has a CRL.
"""

import json
import os
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, done, is_, like, ok, openssl, unlike, wait_for  # noqa: E402
import lint                                                        # noqa: E402
from ca import Authority, key_pem, new_key, pem                    # noqa: E402
from der import device_csr                                         # noqa: E402
from wire import Wire, Witness                                     # noqa: E402

from cryptography import x509                                      # noqa: E402
from cryptography.hazmat.primitives import hashes                  # noqa: E402
from cryptography.hazmat.primitives.serialization import Encoding  # noqa: E402
from cryptography.x509 import ocsp as x509_ocsp                    # noqa: E402
from cryptography.x509.oid import ExtendedKeyUsageOID as EKU       # noqa: E402

DAY_S = 86400


def give(s, name, key):
    """Put a key where an operator would: encrypted PKCS #8 in the signer's folder, its file and its owner's."""
    with open(s.path('signer/passphrase'), 'rb') as file:
        passphrase = file.readline().rstrip(b'\n')
    path, folder = s.path('signer/keys', name + '.key'), s.path('signer/keys')
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, 'wb') as file:
        file.write(key_pem(key, passphrase))
    owner = os.stat(folder)
    os.chown(path, owner.st_uid, owner.st_gid)
    return 'file:' + name


def load(s, name, certificates, key_ref):
    """POST an issuer; the certificates are Authorities, or PEM as it is."""
    if not isinstance(certificates, str):
        certificates = ''.join(pem(each.cert) for each in certificates)
    config = {'certificates': certificates}
    if key_ref:
        config['key_ref'] = key_ref
    return s.api('POST', '/api/v1/issuers', {'id': 'iss-' + name, 'name': name, 'config': config})


def refused(s, what, pattern, certificates, key_ref):
    answer = load(s, 'refused', certificates, key_ref)
    ok(answer.status in (400, 404, 413), '%s: refused' % what, answer)
    like(answer.text, pattern, '... saying why')
    unlike(answer.text, 'PRIVATE', '... without a key')
    is_(s.api('GET', '/api/v1/issuers/iss-refused').status, 404, '... and it is not there')


def refusals(s):
    root, key = Authority('Corporate Root'), new_key()
    good = Authority('Issuing', key, root)
    ref = give(s, 'corporate', key)
    other = give(s, 'other', new_key())
    weak = new_key('rsa-1024')
    with open(s.path('signer/keys/plain.key'), 'wb') as file:
        file.write(key_pem(new_key()))
    os.chmod(s.path('signer/keys/plain.key'), 0o644)
    narrow = Authority('Narrow', None, root)  # its own pathLen is 0: no CA below it
    twin = Authority('Corporate Root')
    text = ''.join(pem(each.cert) for each in (good, root))
    for what, pattern, certificates, key_ref in (
            ('no CA:TRUE', 'CA:TRUE', [Authority('Leaf', key, root, ca=False), root], ref),
            ('no keyCertSign', 'keyCertSign', [Authority('Issuing', key, root, cert_sign=False), root], ref),
            ('no cRLSign', 'cRLSign', [Authority('Issuing', key, root, crl_sign=False), root], ref),
            ('a key that is not the one', 'not the one', [good, root], other),
            ('a key that nobody has', 'no key', [good, root], 'file:nowhere'),
            ('no key at all', 'key_ref', [good, root], None),
            ('a key outside of the folder', 'key name', [good, root], 'file:../passphrase'),
            ('a key by its path', 'key name', [good, root], 'file:/etc/hostname'),
            ('a key that is not encrypted', 'PKCS#8', [good, root], 'file:plain'),
            ('a reference of another kind', 'key reference', [good, root], 'http://localhost/key'),
            ('a token that is not configured', 'pkcs11', [good, root], 'pkcs11:object=ca'),
            ('no root', 'not issued by itself|root', [good], ref),
            ('the root first', 'not issued by|no chain of this length', [root, good], ref),
            ("a root of the same name", 'not issued by', [good, twin], ref),
            ('another root', 'not issued by', [good, Authority('Another')], ref),
            ('a root that has expired', 'not valid now', [Authority('Issuing', key, old := Authority(
                'Old', days=-1, start=-9)), old], ref),
            ('one that has expired', 'not valid now', [Authority('Issuing', key, root, days=-1, start=-9), root], ref),
            ('one that is not yet valid', 'not valid now', [Authority('Issuing', key, root, start=2), root], ref),
            ('one below a CA that may have none', 'no chain of this length', [Authority('Issuing', key, narrow), narrow,
                                                                              root], ref),
            ('RSA-1024', '1024', [Authority('Issuing', weak, root), root], ref),
            ('a chain of nine', 'more than|8', [good] + [root] * 8, ref),
            ('no PEM', 'PEM|certificate', 'not a certificate', ref),
            ('PEM that is cut', '.', text[:len(text) // 3], ref),
            ('a private key in it', '.', key_pem(new_key()).decode(), ref)):
        refused(s, what, pattern, certificates, key_ref)


def at_work(s, name, chain, key_kind):
    """It issues, and what it issues stands up to everything."""
    issuer_id, key = 'iss-' + name, new_key(key_kind)
    order = {'name': name, 'profile_id': 'prof-device', 'issuer_id': issuer_id, 'csr_pem': pem(request(key, name))}
    answer = s.api('POST', '/api/v1/certificates', order)
    is_(answer.status, 201, '... issues')
    cert, issuer = x509.load_pem_x509_certificate(answer.json['pem'].encode()), chain[0].cert
    found = lint.leaf(cert, issuer, key.public_key(), {EKU.CLIENT_AUTH, EKU.SERVER_AUTH}, 90 * DAY_S)
    is_(list(found), [], '... as it should be')
    findings = lint.Findings()
    ocsp_url, ca_url, crl_url = lint.revocation_urls(cert, findings)
    built = x509_ocsp.OCSPRequestBuilder().add_certificate(cert, issuer, hashes.SHA256()).build().public_bytes(Encoding.DER)
    got = x509_ocsp.load_der_ocsp_response(Wire(s, tls=False).ocsp(built, urllib.parse.urlsplit(ocsp_url).path).body)
    is_((list(lint.ocsp(got, issuer, cert)), got.certificate_status), ([], x509_ocsp.OCSPCertStatus.GOOD), '... OCSP')
    is_(s.http('GET', urllib.parse.urlsplit(ca_url).path).body, issuer.public_bytes(Encoding.DER), '... its certificate')
    answer = wait_for('a CRL', lambda: a if (a := s.http('GET', urllib.parse.urlsplit(crl_url).path)).status == 200
                      else None, 5)
    is_(list(lint.crl(x509.load_der_x509_crl(answer.body), issuer)), [], '... and its CRL')
    paths = [s.file('%s-%s.pem' % (name, part)) for part in ('root', 'middle', 'leaf')]
    for path, text in zip(paths, (pem(chain[-1].cert), ''.join(pem(each.cert) for each in chain), pem(cert))):
        with open(path, 'w') as file:
            file.write(text)
    shown = openssl('verify', '-CAfile', paths[0], '-untrusted', paths[1], paths[2], check=False)
    is_(shown.out, paths[2] + ': OK\n', '... which openssl verifies')


def request(key, name):
    return x509.load_der_x509_csr(device_csr(key, name))


def accepted(s):
    """Several kinds of chain; the names of the CAs are theirs, not ours."""
    made = []
    for name, kind, root_kind in (('corp-p256', 'p-256', 'p-384'), ('corp-rsa', 'rsa-2048', 'rsa-4096'),
                                  ('corp-ed', 'ed25519', 'p-256')):
        root = Authority('Root of ' + name, new_key(root_kind))
        made.append((name, [Authority('Issuing CA of ' + name, new_key(kind), root), root]))
    alone = Authority('Alone')
    made.append(('corp-alone', [alone]))
    top = Authority('Top')
    middle = Authority(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, 'Middle'), x509.NameAttribute(
        x509.NameOID.ORGANIZATION_NAME, 'Müller & Söhne')]), None, top, path_length=None)
    made.append(('corp-deep', [Authority('Low', None, middle), middle, top]))
    for name, chain in made:
        answer = load(s, name, chain, give(s, name, chain[0].key))
        is_(answer.status, 201, '%s: taken over' % name) or print('# %r' % answer)
        served = s.api('GET', '/api/v1/issuers/iss-%s/chain' % name).text
        is_(served, ''.join(pem(each.cert) for each in chain), '... with its chain')
        at_work(s, name, chain, 'p-256')
    answer = load(s, 'corp-deep', made[-1][1], 'file:corp-deep')
    is_(answer.status, 409, 'the same again is a conflict')
    return made


V1 = '/api/v1'


def code(answer):
    error = answer.json['error']
    return answer.status, error['code'], [each['field'] for each in error['fields']]


def ask(s, issuer, name):
    order = {'name': name, 'profile_id': 'prof-device', 'issuer_id': issuer, 'csr_pem': pem(request(new_key(), name))}
    return s.api('POST', V1 + '/certificates', order)


def changes(s):
    """An issuer from its making to its end: renamed, switched off and on, tested, retired."""
    path = V1 + '/issuers/iss-life'
    made = s.api('POST', V1 + '/issuers', {'id': 'iss-life', 'name': 'Life', 'config': {'subject': 'CN=Life CA'}}).json
    is_((made['source'], made['test_status'], made['tested_at'], made['retired_at']), ('database', None, None, None), 'an issuer of the API')
    answer = s.api('PUT', path, {'name': 'Renamed'})
    is_((answer.status, answer.json['name'], answer.json['config']), (200, 'Renamed', made['config']), 'it is renamed, its config stays')
    is_(s.api('PUT', path, {'name': 'Renamed', 'type': 'local', 'config': made['config']}).status, 200, 'the same config is no change')
    is_(code(s.api('PUT', path, {'name': 'x', 'id': 'iss-y', 'type': 'vault', 'config': {'subject': 'CN=Other', 'colour': 1}})),
        (400, 'invalid', ['type', 'id']), 'what it is cannot be changed')
    is_(code(s.api('PUT', path, {'name': 'x', 'config': {'subject': 'CN=Other', 'key': 5, 'colour': 1}})),
        (400, 'invalid', ['config.subject', 'config.key', 'config.key', 'config.colour']), 'nor what its CA was made with')
    is_(code(s.api('PUT', path, {'name': 'Demo'}))[:2] if s.api('PUT', V1 + '/issuers/' + s.issuer_id, {'name': 'Demo'}).status == 200
        else None, (409, 'conflict'), 'a name that is taken: 409')
    is_(s.api('PUT', V1 + '/issuers/iss-none', {'name': 'x'}).status, 404, 'of nothing: 404')
    headers = {'Authorization': 'Bearer ' + s.env['CHANCERY_API_KEY'], 'Content-Type': 'application/json', 'If-Match': '"1-x"'}
    is_(s.http('PUT', path, '{"name": "x"}', headers, tls=True).status, 412, 'an old If-Match: 412')
    headers['If-Match'] = s.api('GET', path).headers['ETag']
    is_(s.http('PUT', path, '{"name": "Life", "enabled": false}', headers, tls=True).status, 200, 'the present one: switched off')
    is_(code(ask(s, 'iss-life', 'off'))[:2], (403, 'policy'), 'it does not issue')
    is_(s.api('PUT', path, {'name': 'Life'}).json['enabled'], True, 'and on again')
    first = ask(s, 'iss-life', 'first')
    is_(first.status, 201, 'it does')

    good = wait_for('its CRL', lambda: (lambda a: a if a.json['test_status'] == 'ok' else None)(s.api('POST', path + '/test', {})))
    ok(good and good.json['test_error'] is None and good.json['tested_at'], 'a test finds that all is well', good)
    is_(s.api('GET', path).json['test_status'], 'ok', 'which is kept')
    ended = s.api('POST', V1 + '/issuers', {'id': 'iss-ended', 'name': 'Ended', 'config': {'subject': 'CN=Ended CA'}})
    is_((ended.status, s.api('POST', V1 + '/issuers/iss-ended/revoke-ca', {}).status), (201, 200), 'a CA whose certificate is revoked')
    bad = s.api('POST', V1 + '/issuers/iss-ended/test', {})
    is_((bad.status, bad.json['test_status']), (200, 'failed'), 'fails its test')
    like(bad.json['test_error'], 'revoked', 'and says why')
    is_(s.api('POST', V1 + '/issuers/iss-none/test', {}).status, 404, 'a test of nothing: 404')

    for name in ('life-1', 'life-2'):
        s.api('POST', V1 + '/est/labels', {'name': name, 'issuer_id': 'iss-life', 'profile_id': 'prof-device'})
    answer = s.api('DELETE', path)
    is_(code(answer)[:2], (409, 'conflict'), 'while EST labels use it, it is not retired')
    like(answer.json['error']['message'], 'used by 2 EST labels', 'the answer counts them')
    is_(s.api('GET', path).json['enabled'], True, 'nothing has changed')
    for name in ('life-1', 'life-2'):
        s.api('DELETE', V1 + '/est/labels/est-' + name)
    is_(s.api('DELETE', path).status, 204, 'then it is')
    is_(s.api('DELETE', path).status, 404, 'once')
    row = s.api('GET', path).json
    is_((row['enabled'], bool(row['retired_at'])), (False, True), 'it is still there, and retired')
    is_([each['id'] for each in s.api('GET', V1 + '/issuers?retired=true').json['data']], ['iss-life'], 'the list finds it')
    is_(code(ask(s, 'iss-life', 'late'))[0], 403, 'it issues no more')
    is_(code(s.api('PUT', path, {'name': 'Life', 'enabled': True})), (400, 'invalid', ['enabled']), 'for good')
    is_(code(s.api('POST', path + '/rekey', {}))[:2], (409, 'conflict'), 'it gets no new key')
    is_(code(s.api('POST', V1 + '/est/labels', {'name': 'life-3', 'issuer_id': 'iss-life', 'profile_id': 'prof-device'})),
        (400, 'invalid', ['issuer_id']), 'and no new label')
    is_(s.http('GET', '/crl/iss-life.crl').status, 200, 'its CRL is served')
    is_(s.api('POST', '%s/certificates/%s/revoke' % (V1, first.json['id']), {}).json['changed'], 1, 'its certificates are revoked')
    ok(wait_for('the CRL', lambda: first.json['serial'].lstrip('0') in openssl('crl', '-inform', 'DER', '-noout', '-text', input=s.http(
        'GET', '/crl/iss-life.crl').body).out.lower()), 'and listed')


def ca_certificates(s):
    path = V1 + '/ca-certificates'
    rows = s.api('GET', path + '?issuer_id=iss-life').json
    is_([(each['id'], each['position'], each['active']) for each in rows['data']],
        [('iss-life.1.0', 0, True), ('iss-life.1.1', 1, True)], 'the CA certificates of an issuer, its root last')
    one = s.api('GET', path + '/iss-life.1.0').json
    is_(one, rows['data'][0], 'each has an id')
    like(openssl('x509', '-noout', '-subject', input=one['pem']).out, 'CN = Life CA', 'and PEM')
    is_((one['issuer_id'], one['generation'], one['key_kind'], one['revoked']), ('iss-life', 1, 'p-256', False), 'and what it is')
    found = s.api('GET', path + '?revoked=true').json['data']
    is_([(each['issuer_id'], each['revocation_reason']) for each in found], [('iss-ended', 'unspecified')], 'revoked ones are found')
    ends = [each['not_after'] for each in s.api('GET', path + '?sort=-not_after&limit=100').json['data']]
    is_(ends, sorted(ends, reverse=True), 'by their end')
    is_(s.api('GET', path + '/iss-life.9.0').status, 404, 'none: 404')


def seeds(s):
    """Issuers of a file: made at start when they are not there."""
    seed = os.path.join(s.tmp, 'seed.json')
    with open(seed, 'w') as file:
        json.dump([{'id': 'iss-seed', 'name': 'Seed', 'config': {'subject': 'CN=Seed CA', 'key': 'p-384'}},
                   {'id': 'iss-life', 'name': 'Life again', 'config': {'subject': 'CN=Life again'}},
                   {'id': 'iss-wrong', 'name': 'Wrong', 'config': {'key': 7}}], file)
    os.chmod(seed, 0o644)
    s.extra_env['CHANCERY_SEED_FILE'] = seed
    s.restart()
    row = wait_for('the seed', lambda: (lambda a: a.json if a.status == 200 else None)(s.api('GET', V1 + '/issuers/iss-seed')))
    is_((row['source'], row['subject'], row['key_kind']), ('file', 'CN=Seed CA', 'p-384'), 'an issuer of the seed file is made')
    is_(ask(s, 'iss-seed', 'seeded').status, 201, 'and issues')
    is_(s.api('GET', V1 + '/issuers/iss-life').json['name'], 'Life', 'one that is there is left alone')
    ok(wait_for('the log', lambda: 'issuer 3 of the seed file' in s.log()), 'a wrong one is in the log')
    is_([each['id'] for each in s.api('GET', V1 + '/issuers?source=file').json['data']], ['iss-seed'], 'and not made')


with Stack() as s:
    witness = Witness(s)
    with open(s.path('signer/passphrase')) as file:
        witness.secret("the signer's passphrase", file.readline().strip())
    refusals(s)
    made = accepted(s)
    witness.check(issued=len(made))
    s.restart()
    name, chain = made[0]
    key = new_key()
    order = {'name': 'later', 'profile_id': 'prof-device', 'issuer_id': 'iss-' + name, 'csr_pem': pem(request(key, 'later'))}
    answer = s.api('POST', '/api/v1/certificates', order)
    is_(answer.status, 201, 'after a restart it issues as before')
    found = lint.leaf(x509.load_pem_x509_certificate(answer.json['pem'].encode()), chain[0].cert, key.public_key(),
                      {EKU.CLIENT_AUTH, EKU.SERVER_AUTH}, 90 * DAY_S)
    is_(list(found), [], 'certificates that are as they should be')
    changes(s)
    ca_certificates(s)
    seeds(s)
done()
