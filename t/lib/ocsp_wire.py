# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
OCSP requests made by hand and answers taken apart octet by octet.  What an answer should be is written with der.py
and compared whole; signatures are checked by the cryptography package.
"""

import calendar
import hashlib
import time

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

import der

TYPE = 'application/ocsp-response'
MALFORMED, INTERNAL, TRY_LATER, SIG_REQUIRED, UNAUTHORIZED = (b'\x30\x03\x0a\x01' + bytes([n]) for n in (1, 2, 3, 5, 6))

PKIX_OCSP = '1.3.6.1.5.5.7.48.1'
BASIC, NONCE, CRL, ACCEPTABLE, CUTOFF, LOCATOR, PREFERRED, EXTENDED = (
    PKIX_OCSP + '.%d' % n for n in (1, 2, 3, 4, 6, 7, 8, 9))
INVALIDITY, REASON_CODE, CERT_HASH = '2.5.29.24', '2.5.29.21', '1.3.36.8.3.13'

HASHES = {'sha1': '1.3.14.3.2.26', 'sha256': '2.16.840.1.101.3.4.2.1', 'sha384': '2.16.840.1.101.3.4.2.2',
          'sha512': '2.16.840.1.101.3.4.2.3', 'sha224': '2.16.840.1.101.3.4.2.4', 'md5': '1.2.840.113549.2.5'}

PKCS1, ECDSA = '1.2.840.113549.1.1', '1.2.840.10045.4'
SIGNATURES = {  # what an answer is signed with, as written in it
    'p256-sha256': der.seq(der.oid(ECDSA + '.3.2')), 'p256-sha384': der.seq(der.oid(ECDSA + '.3.3')),
    'rsa-sha256': der.seq(der.oid(PKCS1 + '.11'), der.NULL), 'rsa-sha384': der.seq(der.oid(PKCS1 + '.12'), der.NULL),
    'rsa-sha512': der.seq(der.oid(PKCS1 + '.13'), der.NULL), 'ed25519': der.seq(der.oid('1.3.101.112')),
    'ecdsa-sha1': der.seq(der.oid(ECDSA + '.1')), 'rsa-sha1': der.seq(der.oid(PKCS1 + '.5'), der.NULL),
    'rsa-md5': der.seq(der.oid(PKCS1 + '.4'), der.NULL),
}
DIGESTS = {'2': hashes.SHA256, '3': hashes.SHA384, '4': hashes.SHA512,
           '11': hashes.SHA256, '12': hashes.SHA384, '13': hashes.SHA512}


def load(path):
    with open(path, 'rb') as file:
        return x509.load_pem_x509_certificate(file.read())


def load_key(path):
    with open(path, 'rb') as file:
        return load_pem_private_key(file.read(), None)


def key_octets(cert):
    """Contents of the BIT STRING of a certificate's key, without the count of unused bits."""
    spki = cert.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return der.items(der.whole(spki))[1][1][1:]


def generalized(when):
    return der.tlv(0x18, time.strftime('%Y%m%d%H%M%SZ', time.gmtime(when)).encode())


def seconds(text):
    """Of GeneralizedTime contents: "Z", seconds, no fraction."""
    assert len(text) == 15 and text[14:] == b'Z', text
    return calendar.timegm(time.strptime(text.decode(), '%Y%m%d%H%M%SZ'))


# ---- requests --------------------------------------------------------------------------------------------------


def cert_id(issuer, serial, hash_name='sha1', parameters=der.NULL, name=None, key=None):
    """A CertID of a serial: a number, or the INTEGER's contents as they are.  name, key: other issuers' hashes."""
    def digest(data):
        return der.octets(hashlib.new(hash_name, data).digest())
    number = der.tlv(0x02, serial) if isinstance(serial, bytes) else der.integer(serial)
    return der.seq(der.seq(der.oid(HASHES[hash_name]), parameters),
                   digest((name or issuer).subject.public_bytes()), digest(key_octets(key or issuer)), number)


def extensions(number, *list_):
    return der.context(number, der.seq(*list_)) if list_ else b''


def nonce(value, critical=b''):
    return der.extension(NONCE, der.octets(value), critical)


def preferred(*names, keys=()):
    """PreferredSignatureAlgorithms; keys: the pubKeyAlgIdentifier of each, if any."""
    keys = list(keys) + [b''] * (len(names) - len(keys))
    return der.extension(PREFERRED, der.seq(*(der.seq(SIGNATURES.get(name, name), key)
                                              for name, key in zip(names, keys))))


def tbs_request(*ids, request=(), single=(), version=b'', requestor=b''):
    """single: extensions in each Request; request: extensions of all."""
    return der.seq(version, requestor, der.seq(*(der.seq(each, extensions(0, *single)) for each in ids)),
                   extensions(2, *request))


def request(*ids, signature=b'', **more):
    return der.seq(tbs_request(*ids, **more), signature)


def signed_request(*ids, key, certs=(), name=None, damage=False, algorithm=None, **more):
    """name: the certificate whose subject is the requestor."""
    requestor = der.context(1, der.context(4, name.subject.public_bytes())) if name else b''
    tbs = tbs_request(*ids, requestor=requestor, **more)
    if algorithm == 'ecdsa-sha1':
        used, signature = SIGNATURES[algorithm], key.sign(tbs, ec.ECDSA(hashes.SHA1()))
    else:
        used, signature = der.sign(key, tbs)
    if damage:
        tbs = tbs[:-1] + bytes([tbs[-1] ^ 1])
    sent = [each.public_bytes(Encoding.DER) for each in certs]
    return der.seq(tbs, der.context(0, der.seq(used, der.bits(signature), *([der.context(0, der.seq(*sent))] if sent else []))))


# ---- answers ---------------------------------------------------------------------------------------------------


class Single:
    """A SingleResponse: cert_id and status whole, times, extensions as {OID in DER: value}."""

    def __init__(self, contents):
        (tag, value), status, (time_tag, this), *rest = der.items(contents)
        assert tag == 0x30 and time_tag == 0x18
        self.cert_id, self.status = der.tlv(tag, value), der.tlv(*status)
        self.this_update, self.next_update = seconds(this), None
        self.extensions = {}
        if rest and rest[0][0] == 0xa0:
            self.next_update = seconds(der.whole(rest.pop(0)[1]))
        if rest:
            assert len(rest) == 1 and rest[0][0] == 0xa1
            self.extensions = extensions_of(rest[0][1])

    @property
    def word(self):
        return {0x80: 'good', 0xa1: 'revoked', 0x82: 'unknown'}[self.status[0]]

    @property
    def revoked(self):
        """(time, reason) of a revoked one; reason None when there is none."""
        (tag, when), *reason = der.items(der.whole(self.status))
        assert tag == 0x18 and len(reason) <= 1
        if reason:
            assert reason[0][0] == 0xa0
            tag, value, rest = der.read(reason[0][1])
            assert tag == 0x0a and len(value) == 1 and not rest
            return seconds(when), value[0]
        return seconds(when), None


def extensions_of(contents):
    out = {}
    for tag, value in der.items(der.whole(contents)):
        oid, *rest = der.items(value)
        assert tag == 0x30 and len(rest) == 1 and rest[0][0] == 0x04, 'critical, or no extension'
        name = der.tlv(*oid)
        assert name not in out, 'twice'
        out[name] = rest[0][1]
    assert out, 'an empty list'
    return out


class Response:
    """A successful answer; parse with answer()."""

    def __init__(self, body):
        self.body = body
        status, outer = der.items(der.whole(body))
        assert status == (0x0a, b'\0') and outer[0] == 0xa0
        self.type, basic = (value for _, value in der.items(der.whole(outer[1])))
        tbs, algorithm, signature, *certs = der.items(der.whole(basic))
        self.basic, self.tbs, self.algorithm = basic, der.tlv(*tbs), der.tlv(*algorithm)
        assert signature[0] == 0x03 and signature[1][0] == 0
        self.signature = signature[1][1:]
        self.has_certs = bool(certs)
        self.certs = [der.tlv(*each) for each in der.items(der.whole(certs[0][1]))] if certs else []
        self._data(der.items(tbs[1]))

    def _data(self, parts):
        self.has_version = parts[0][0] == 0xa0
        if self.has_version:
            parts.pop(0)
        self.responder_id, (tag, produced), singles = der.tlv(*parts.pop(0)), parts.pop(0), parts.pop(0)
        assert tag == 0x18 and singles[0] == 0x30
        self.produced_at = seconds(produced)
        self.singles = [Single(value) for _, value in der.items(singles[1])]
        assert len(parts) <= 1
        self.extensions = extensions_of(parts[0][1]) if parts else {}

    @property
    def words(self):
        return [each.word for each in self.singles]

    @property
    def single(self):
        assert len(self.singles) == 1
        return self.singles[0]

    @property
    def signer(self):
        return x509.load_der_x509_certificate(self.certs[0])

    def extension(self, oid):
        return self.extensions.get(der.oid(oid))

    def verifies(self, issuer):
        """The delegate was issued by that CA certificate, and its key signed these octets with that algorithm."""
        signer = self.signer
        last = self.algorithm_last()
        key = signer.public_key()
        try:
            issued_by(signer, issuer)
            if isinstance(key, rsa.RSAPublicKey):
                key.verify(self.signature, self.tbs, padding.PKCS1v15(), DIGESTS[last]())
            elif isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(self.signature, self.tbs, ec.ECDSA(DIGESTS[last]()))
            else:
                assert isinstance(key, ed25519.Ed25519PublicKey)
                key.verify(self.signature, self.tbs)
        except InvalidSignature:
            return False
        return True

    def algorithm_last(self):
        """The last arc of the algorithm's OID."""
        return str(der.items(der.whole(self.algorithm))[0][1][-1])

    @property
    def algorithm_name(self):
        found = [name for name, value in SIGNATURES.items() if value == self.algorithm]
        return found[0] if found else self.algorithm.hex()


def issued_by(cert, issuer):
    key = issuer.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(cert.signature, cert.tbs_certificate_bytes, padding.PKCS1v15(), cert.signature_hash_algorithm)
    else:
        key.verify(cert.signature, cert.tbs_certificate_bytes, ec.ECDSA(cert.signature_hash_algorithm))


def expected_tbs(response, singles, by_name=None, extra=b''):
    """
    ResponseData as it must be, with the times of the response: singles are (CertID, status, extensions), all
    whole; extra: Extensions of the response, whole.
    """
    signer = response.signer
    if by_name:
        responder = der.context(1, signer.subject.public_bytes())
    else:
        responder = der.context(2, der.octets(hashlib.sha1(key_octets(signer)).digest()))
    return der.seq(responder, generalized(response.produced_at), der.seq(*(
        der.seq(each, status, generalized(got.this_update), der.context(0, generalized(got.next_update)), more)
        for (each, status, more), got in zip(singles, response.singles))), extra)


GOOD, UNKNOWN = b'\x80\0', b'\x82\0'


def revoked(when, reason=None):
    return der.tlv(0xa1, generalized(when), *([der.context(0, der.tlv(0x0a, bytes([reason])))] if reason else []))
