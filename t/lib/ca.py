# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""Certification authorities that are not ours: a manufacturer's, a stranger's, one with our CA's name."""

import datetime
import os

from chancery import Holder
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


def new_key(kind='p-256'):
    """p-256, p-384, ed25519, rsa-2048 ..."""
    if kind.startswith('rsa'):
        return rsa.generate_private_key(65537, int(kind.partition('-')[2] or 2048))
    if kind == 'ed25519':
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key({'p-256': ec.SECP256R1, 'p-384': ec.SECP384R1}[kind]())


def subject_of(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def pem(thing):
    return thing.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key, passphrase=None):
    how = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def public_der(thing):
    """Of a key or a certificate: its SubjectPublicKeyInfo."""
    return thing.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def hash_for(key):
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


class Authority:
    """A self-signed CA, or one below a parent.  Without ca, cert_sign or crl_sign what makes it one is left out."""

    def __init__(self, subject, key=None, parent=None, ca=True, cert_sign=True, crl_sign=True, days=3650, start=-1,
                 path_length=0):
        self.subject = subject if isinstance(subject, x509.Name) else subject_of(subject)
        self.key, self.parent = key or new_key(), parent
        now = datetime.datetime.utcnow()
        usage = x509.KeyUsage(digital_signature=True, content_commitment=False, key_encipherment=False,
                              data_encipherment=False, key_agreement=False, key_cert_sign=cert_sign, crl_sign=crl_sign,
                              encipher_only=False, decipher_only=False)
        signer, public = (parent or self).key, self.key.public_key()
        self.cert = (
            x509.CertificateBuilder()
            .subject_name(self.subject).issuer_name((parent or self).subject).public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + start * DAY).not_valid_after(now + days * DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length if ca and parent else None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            .sign(signer, hash_for(signer)))

    @classmethod
    def with_key_of(cls, stack, name, cert):
        """One of our own CAs, with its key out of the signer's folder: whoever holds that can sign anything."""
        with open(stack.path('signer/passphrase'), 'rb') as file:
            passphrase = file.readline().rstrip(b'\n')
        self = cls.__new__(cls)
        with open(stack.path('signer/keys', name + '.key'), 'rb') as file:
            self.key = serialization.load_pem_private_key(file.read(), passphrase)
        self.cert, self.subject = cert, cert.subject
        return self

    @classmethod
    def ours(cls, stack, cert):
        """The same, looking for the key."""
        for each in sorted(os.listdir(stack.path('signer/keys'))):
            self = cls.with_key_of(stack, each[:-4], cert)
            if public_der(self.key) == public_der(cert):
                return self
        raise RuntimeError('no key of %s' % cert.subject)

    def issue(self, stack, name, subject=None, san=None, eku=ExtendedKeyUsageOID.CLIENT_AUTH, days=30, start=-1):
        """A device's certificate and key, as files: a Holder for mutual TLS."""
        key, now = new_key(), datetime.datetime.utcnow()
        built = (
            x509.CertificateBuilder()
            .subject_name(subject_of(subject or name)).issuer_name(self.subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + start * DAY).not_valid_after(now + days * DAY)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(san or name + '.example.net')]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False))
        if eku:
            built = built.add_extension(x509.ExtendedKeyUsage([eku]), critical=False)
        return keep(stack, name, key, built.sign(self.key, hash_for(self.key)))


def keep(stack, name, key, cert):
    """Key and certificate as files of the stack's."""
    paths = stack.file(name + '.key'), stack.file(name + '.pem')
    for path, data in zip(paths, (key_pem(key), pem(cert).encode())):
        with open(path, 'wb') as file:
            file.write(data)
    return Holder(name, paths[0], None, paths[1])


def load(path):
    with open(path, 'rb') as file:
        return x509.load_pem_x509_certificate(file.read())


def load_key(holder):
    with open(holder.key, 'rb') as file:
        return serialization.load_pem_private_key(file.read(), None)
