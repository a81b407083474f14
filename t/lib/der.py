# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""A small DER writer, and PKCS #10 requests made with it that no decent library would make."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

# ---- elements --------------------------------------------------------------------------------------------------


def tlv(tag, *parts):
    body = b''.join(parts)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, 'big')
    return bytes([tag, 0x80 | len(size)]) + size + body


def seq(*parts):
    return tlv(0x30, *parts)


def set_(*parts):
    return tlv(0x31, *parts)


def integer(value):
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, 'big', signed=True))


def octets(*parts):
    return tlv(0x04, *parts)


def bits(*parts):
    return tlv(0x03, b'\0', *parts)


def utf8(text):
    return tlv(0x0c, text if isinstance(text, bytes) else text.encode())


def printable(text):
    return tlv(0x13, text if isinstance(text, bytes) else text.encode())


def ia5(text):
    return tlv(0x16, text if isinstance(text, bytes) else text.encode())


def context(number, *parts):
    return tlv(0xa0 | number, *parts)


def oid(text):
    first, second, *others = (int(each) for each in text.split('.'))
    out = b''
    for value in [40 * first + second, *others]:
        group = bytes([value & 0x7f])
        while value > 0x7f:
            value >>= 7
            group = bytes([0x80 | value & 0x7f]) + group
        out += group
    return tlv(0x06, out)


NULL, TRUE, EMPTY = b'\x05\0', b'\x01\x01\xff', b'\x30\0'

# ---- names and extensions --------------------------------------------------------------------------------------

CN, O = '2.5.4.3', '2.5.4.10'
SAN, BASIC_CONSTRAINTS, KEY_USAGE = '2.5.29.17', '2.5.29.19', '2.5.29.15'


def name(*pairs):
    """name((CN, utf8('device')), ...): one attribute in each RDN."""
    return seq(*(set_(seq(oid(kind), value)) for kind, value in pairs))


def common_name(text):
    return name((CN, utf8(text)))


def extension(kind, value, critical=b''):
    return seq(oid(kind), critical, octets(value))


def dns(*names):
    """A subjectAltName extension."""
    return extension(SAN, seq(*(tlv(0x82, each if isinstance(each, bytes) else each.encode()) for each in names)))


def attribute(kind, *values):
    return seq(oid(kind), set_(*values))


def extension_request(*extensions):
    return attribute('1.2.840.113549.1.9.14', seq(*extensions))


def challenge_password(*values):
    return attribute('1.2.840.113549.1.9.7', *values)


# ---- requests --------------------------------------------------------------------------------------------------

ECDSA_SHA256 = seq(oid('1.2.840.10045.4.3.2'))
RSA_SHA256 = seq(oid('1.2.840.113549.1.1.11'), NULL)
ED25519 = seq(oid('1.3.101.112'))


def p256():
    return ec.generate_private_key(ec.SECP256R1())


def spki_of(key):
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def rsa_spki(modulus, exponent):
    return seq(seq(oid('1.2.840.113549.1.1.1'), NULL), bits(seq(integer(modulus), integer(exponent))))


def sign(key, tbs):
    """AlgorithmIdentifier and signature."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return ECDSA_SHA256, key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    if isinstance(key, rsa.RSAPrivateKey):
        return RSA_SHA256, key.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    return ED25519, key.sign(tbs)


def csr(key, subject, *attributes, spki=None, version=0, damage=False):
    """A request signed by the key.  spki: another public key than its own; damage: one bit of the signature."""
    tbs = seq(integer(version), subject, spki or spki_of(key), context(0, *attributes))
    algorithm, signature = sign(key, tbs)
    if damage:
        signature = signature[:-1] + bytes([signature[-1] ^ 1])
    return seq(tbs, algorithm, bits(signature))


def device_csr(key, label, *names):
    """What a device sends: CN and DNS names."""
    return csr(key, common_name(label), extension_request(dns(*(names or [label + '.example.net']))))


def indefinite(der):
    """The same element with BER's indefinite length outside."""
    start = 2 if der[1] < 0x80 else 2 + (der[1] & 0x7f)
    return bytes([der[0], 0x80]) + der[start:] + b'\0\0'

# ---- reading ---------------------------------------------------------------------------------------------------


def read(der):
    """(tag, contents, what follows) of the first element; only what DER allows: short tags, shortest lengths."""
    size, start = der[1], 2
    if size > 0x80:
        start += size & 0x7f
        size = int.from_bytes(der[2:start], 'big')
    assert der[1] != 0x80 and tlv(der[0], der[start:start + size]) == der[:start + size], 'not DER'
    return der[0], der[start:start + size], der[start + size:]


def whole(der):
    """Contents of what is one element and no more."""
    tag, contents, rest = read(der)
    assert not rest, 'octets follow'
    return contents


def items(contents):
    """The elements one after the other, each as (tag, contents)."""
    out = []
    while contents:
        tag, value, contents = read(contents)
        out.append((tag, value))
    return out


def again(der):
    """Written again from what was read, all the way down: the same octets when it was DER."""
    return b''.join(tlv(tag, again(value) if tag & 0x20 else value) for tag, value in items(der))
