#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""EST under hostile input: requests that no CA should sign, and bodies that are none.  Each is refused with its reason."""

import base64
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, diag, done, is_, like, ok          # noqa: E402
from wire import Refusals, Wire, Witness, certificate_of, is_text  # noqa: E402

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: E402
import der                                                     # noqa: E402
from der import CN, O, TRUE, attribute, challenge_password, common_name, csr, device_csr, dns, extension, \
    extension_request, ia5, integer, name, octets, p256, printable, seq, utf8  # noqa: E402

LIMIT = 32768
SEED = int(os.environ.get('SEED') or int.from_bytes(os.urandom(4), 'big'))
diag('SEED=%d' % SEED)
chance = random.Random(SEED)


def refused(answer, status, pattern, what):
    """The exact status, in plain text that says why."""
    is_((answer.status, is_text(answer)), (status, True), '%s: %d' % (what, status))
    return like(answer.text, pattern, '... saying why')


def cut(wire, key):
    """Every truncation of a good request, and of its base64."""
    good = device_csr(key, 'cut')
    tried = Refusals('a truncated request is 400 in plain text')
    for size in range(len(good)):
        answer = wire.est(good[:size])
        tried.expect('%d octets' % size, answer.status == 400 and is_text(answer), answer)
    tried.done(len(good))

    text = base64.b64encode(good)
    tried = Refusals('truncated base64 is 400 in plain text')
    for size in range(len(text)):
        answer = wire.est(b'', raw=text[:size])
        tried.expect('%d characters' % size, answer.status == 400 and is_text(answer), answer)
    tried.done(len(text))


def flip(wire, key):
    """Every octet changed: the signature covers all of it, so nothing but a refusal is possible."""
    good = device_csr(key, 'flip')
    tried = Refusals('a request with one octet changed is 400 in plain text')
    for at in range(len(good)):
        wrong = bytearray(good)
        wrong[at] ^= 1 << chance.randrange(8)
        answer = wire.est(bytes(wrong))
        tried.expect('octet %d' % at, answer.status == 400 and is_text(answer), answer)
    tried.done(len(good))


def even_exponent(modulus):
    """A well-formed request for an RSA key that nobody can have; what signs it does not matter."""
    tbs = seq(integer(0), common_name('even'), der.rsa_spki(modulus, 65536), der.context(0))
    return seq(tbs, der.RSA_SHA256, der.bits(bytes(256)))


def requests(wire, witness, key):
    """Well-formed requests that must not be signed."""
    subject = common_name('device')
    san = extension_request(dns('device.example.net'))
    secret = witness.secret('a challengePassword', 'challenge-%032x' % chance.getrandbits(128))
    modulus = rsa.generate_private_key(65537, 2048).public_key().public_numbers().n
    ca = extension(der.BASIC_CONSTRAINTS, seq(TRUE), TRUE)
    nothing = extension(der.BASIC_CONSTRAINTS, seq())
    p256k1 = ec.generate_private_key(ec.SECP256K1())
    numbers = key.public_key().public_numbers()
    point = b'\4' + numbers.x.to_bytes(32, 'big')
    p256_algorithm = seq(der.oid('1.2.840.10045.2.1'), der.oid('1.2.840.10045.3.1.7'))
    off_curve = seq(p256_algorithm, der.bits(point, (numbers.y ^ 1).to_bytes(32, 'big')))
    compressed = seq(p256_algorithm, der.bits(bytes([2 + numbers.y % 2]), point[1:]))

    for what, pattern, made in (
            ('a bad signature', 'signature does not verify', csr(key, subject, san, damage=True)),
            ("another one's key", 'signature does not verify', csr(key, subject, san, spki=der.spki_of(p256()))),
            ('CA:TRUE', 'CA:TRUE', csr(key, subject, extension_request(ca))),
            ('a duplicate extension', 'twice', csr(key, subject, extension_request(nothing, nothing))),
            ('a duplicate SAN', 'twice', csr(key, subject, extension_request(dns('a.example'), dns('b.example')))),
            ('two extensionRequests', 'twice|two extensionRequests', csr(key, subject, san, san)),
            ('two values of one extensionRequest', 'more than one value',
             csr(key, subject, attribute('1.2.840.113549.1.9.14', seq(dns('a.example')), seq(dns('b.example'))))),
            ('an attribute without a value', 'no value', csr(key, subject, attribute('1.2.840.113549.1.9.14'))),
            ('NUL in a common name', 'control character', csr(key, name((CN, utf8('good\0.evil'))), san)),
            ('NUL in a DNS name', '0x00', csr(key, subject, extension_request(dns('good.example\0.evil.example')))),
            ('a line feed in a name', 'control character', csr(key, name((O, utf8('a\nb'))), san)),
            ('a character that PrintableString has not', 'not a string', csr(key, name((O, printable('a@b'))), san)),
            ('broken UTF-8 in a name', 'not a string', csr(key, name((CN, utf8(b'\xc3\x28'))), san)),
            ('an empty common name', 'characters', csr(key, name((CN, utf8(''))), san)),
            ('a common name of 65 characters', 'characters', csr(key, common_name('x' * 65), san)),
            ('an empty subject and no SAN', 'neither a subject', csr(key, name())),
            ('an empty SAN', 'no names', csr(key, subject, extension_request(dns()))),
            ('a SAN that is no host name', 'not well formed', csr(key, subject, extension_request(dns('a..b')))),
            ('an IP address of 5 octets', 'IP address',
             csr(key, subject, extension_request(extension(der.SAN, seq(der.tlv(0x87, b'12345')))))),
            ('RSA-1024', '1024 bits', csr(rsa.generate_private_key(65537, 1024), subject, san)),
            ('RSA with an even exponent', 'exponent is even', even_exponent(modulus)),
            ('RSA with an even modulus', 'modulus is even', even_exponent(modulus ^ 1)),
            ('an unknown curve', 'curve', csr(p256k1, subject, san)),
            ('a point off its curve', 'not (on the curve|valid)', csr(key, subject, san, spki=off_curve)),
            ('a compressed point', 'compressed|uncompressed', csr(key, subject, san, spki=compressed)),
            ('version 1', 'version is 1', csr(key, subject, san, version=1)),
            ('a challengePassword that is an INTEGER', 'challengePassword',
             csr(key, subject, san, challenge_password(integer(5)))),
            ('a challengePassword that is a BOOLEAN', 'challengePassword',
             csr(key, subject, san, challenge_password(TRUE))),
            ('a challengePassword that is NULL', 'challengePassword',
             csr(key, subject, san, challenge_password(der.NULL))),
            ('a challengePassword that is a SEQUENCE', 'challengePassword',
             csr(key, subject, san, challenge_password(seq(utf8(secret))))),
            ('a challengePassword that is an OCTET STRING', 'challengePassword',
             csr(key, subject, san, challenge_password(octets(secret.encode())))),
            ('a challengePassword without a value', 'no value', csr(key, subject, san, challenge_password())),
            ('two challengePasswords', 'more than one value|twice',
             csr(key, subject, san, challenge_password(utf8(secret), utf8(secret + 'x')))),
            ('a wrong channel binding', 'does not match this TLS connection',
             csr(key, subject, san, challenge_password(utf8(secret)))),
            ('one in IA5String', 'does not match', csr(key, subject, san, challenge_password(ia5(secret)))),
            ('an empty one', 'does not match', csr(key, subject, san, challenge_password(printable('')))),
            ('one of 20000 octets', 'does not match', csr(key, subject, san, challenge_password(utf8(secret * 476))))):
        refused(wire.est(made), 400, pattern, what)

    certificate_of(wire.est(csr(key, subject, extension_request(dns('device.example.net'), nothing))))
    ok(True, 'cA FALSE and all else in order: issued')
    certificate_of(wire.est(csr(ed25519.Ed25519PrivateKey.generate(), common_name('x' * 64), san)))
    ok(True, 'a common name of 64 characters: issued')
    return 2


def encodings(wire, key):
    """RFC 8951 3.1: base64 of one DER element and nothing else."""
    good = device_csr(key, 'encoding')
    text = base64.b64encode(good)
    pem = b'-----BEGIN CERTIFICATE REQUEST-----\n' + base64.encodebytes(good) + b'-----END CERTIFICATE REQUEST-----\n'
    for what, pattern, raw in (
            ('an empty body', 'empty', b''),
            ('white space', 'empty', b' \r\n\t\r\n'),
            ('a character outside the alphabet', 'unexpected octet 0x21', text[:40] + b'!' + text[41:]),
            ('base64url', 'unexpected octet 0x2[d]|unexpected octet 0x5f', b'-_' + text[2:]),
            ('an octet above 127', 'unexpected octet 0xff', text[:40] + b'\xff' + text[41:]),
            ('NUL', 'unexpected octet 0x00', text[:40] + b'\0' + text[41:]),
            ('three padding characters', 'padding|unexpected', text.rstrip(b'=') + b'==='),
            ('padding in the middle', 'padding|unexpected', text[:41] + b'=' + text[42:]),
            ('missing padding', 'padding', base64.b64encode(good + b'\0' * (2 - len(good) % 3)).rstrip(b'=')),
            ('a single character more', 'padding|too many|unexpected|unused', text + b'A'),
            ('PEM', 'unexpected octet 0x2d', pem),
            ('DER as it is', 'unexpected octet', good),
            ('BER indefinite length', 'indefinite', base64.b64encode(der.indefinite(good))),
            ('a length in too many octets', 'shortest form',
             base64.b64encode(b'\x30\x83\0' + good[2:4] + good[4:] if good[1] == 0x82 else
                              b'\x30\x82\0' + good[2:3] + good[3:])),
            ('trailing octets after the request', 'too many after', base64.b64encode(good + b'\0\0\0')),
            ('two requests', 'too many after', base64.b64encode(good + good)),
            ('an INTEGER', 'tag 0x02', base64.b64encode(integer(1)))):
        refused(wire.est(b'', raw=raw), 400, pattern, what)
    lines = b' \t\r\n'.join(text[at:at + 37] for at in range(0, len(text), 37)) + b'\r\n'
    certificate_of(wire.est(b'', raw=lines))
    ok(True, 'white space anywhere is no fault: issued')
    return 1


def random_octets(wire):
    tried = Refusals('a million random octets are 400 in plain text')
    left = 1000000
    while left > 0:
        size = min(left, chance.randrange(1, LIMIT + 1))
        left -= size
        raw = chance.randbytes(size) if chance.randrange(2) else base64.b64encode(chance.randbytes(size * 3 // 4 - 2 if size > 4 else 1))
        answer = wire.est(b'', raw=raw[:LIMIT])
        tried.expect('%d octets' % size, answer.status == 400 and is_text(answer), answer)
    tried.done(30)

    tried = Refusals('random octets inside of good DER are 400 in plain text')
    for _ in range(300):
        answer = wire.est(der.tlv(0x30, chance.randbytes(chance.randrange(1, 400))))
        tried.expect('', answer.status == 400 and is_text(answer), answer)
    tried.done(300)


with Stack() as s:
    device = s.enrol('device-1')
    witness = Witness(s)
    key, wire = p256(), Wire(s)
    cut(wire, key)
    flip(wire, key)
    issued = requests(wire, witness, key)
    issued += encodings(wire, key)
    random_octets(wire)
    ok(wire.opened <= 3, 'all that over connections that were kept', wire.opened)

    certificate_of(wire.est(device_csr(key, 'afterwards')))
    ok(True, 'the same connection still enrols')
    is_(s.ocsp(device), 'good', 'the certificate from before is good')
    is_(s.ocsp(s.enrol('device-2')), 'good', 'a new device enrols, and its certificate is good')
    witness.check(issued=issued + 2)
done()
