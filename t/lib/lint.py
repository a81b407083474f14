# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
What certificates, CRLs and OCSP responses have to look like (RFC 5280, RFC 6960, the common linters), said with
Python's cryptography and a DER walker of our own.  Each check returns a list of what is wrong.
"""

import datetime
import re

import octets

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AuthorityInformationAccessOID as AIA, ExtendedKeyUsageOID as EKU, ExtensionOID as OID

SECOND = datetime.timedelta(seconds=1)

# ---- signatures and DER ----------------------------------------------------------------------------------------


def verifies(public, signature, message, digest):
    """The signature is right under this key; raises otherwise.  digest: None for Ed25519."""
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, message, padding.PKCS1v15(), digest)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(signature, message, ec.ECDSA(digest))
    else:
        public.verify(signature, message)
    return True


def elements(der):
    """[(tag, contents, whole)] of the elements that follow each other."""
    found, at = [], 0
    while at < len(der):
        size, head = der[at + 1], 2
        if size & 0x80:
            head += size & 0x7f
            size = int.from_bytes(der[at + 2:at + head], 'big')
        found.append((der[at], der[at + head:at + head + size], der[at:at + head + size]))
        at += head + size
    return found


def signature_algorithms(whole):
    """The AlgorithmIdentifier inside and outside of a certificate or CRL."""
    tbs, outside, _ = elements(elements(whole)[0][1])
    inside = [each for each in elements(tbs[1]) if each[0] != 0xa0][1 if tbs[1][0] in (0xa0, 0x02) else 0]
    return inside[2], outside[2]


def key_kind(public):
    if isinstance(public, rsa.RSAPublicKey):
        return 'rsa-%d' % public.key_size
    if isinstance(public, ec.EllipticCurvePublicKey):
        return {'secp256r1': 'p-256', 'secp384r1': 'p-384'}[public.curve.name]
    return 'ed25519'


WANTED_ALGORITHM = {'rsa': bytes.fromhex('300d06092a864886f70d01010b0500'), 'p-256': bytes.fromhex('300a06082a8648ce3d040302'),
                    'p-384': bytes.fromhex('300a06082a8648ce3d040303'), 'ed25519': bytes.fromhex('300506032b6570')}

# ---- pieces ----------------------------------------------------------------------------------------------------


class Findings(list):
    def want(self, good, text):
        if not good:
            self.append(text)


def extension(thing, kind):
    try:
        return thing.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def usages(cert):
    """The names of the bits that are set."""
    found = extension(cert, x509.KeyUsage)
    if found is None:
        return None
    names = ('digital_signature', 'content_commitment', 'key_encipherment', 'data_encipherment', 'key_agreement',
             'key_cert_sign', 'crl_sign')
    return {name for name in names if getattr(found.value, name)}


def common(cert, issuer, out):
    """What all certificates share; issuer may be the certificate itself."""
    whole = cert.public_bytes(Encoding.DER)
    serial = cert.serial_number
    out.want(serial > 0 and serial.bit_length() <= 159, 'serial of %d bits' % serial.bit_length())
    out.want(serial.bit_length() > 96, 'serial %x has too little in it' % serial)
    out.want(cert.version is x509.Version.v3, 'version')
    inside, outside = signature_algorithms(whole)
    wanted = WANTED_ALGORITHM[re.sub('rsa-.*', 'rsa', key_kind(issuer.public_key()))]
    out.want(inside == outside == wanted, 'signature algorithm ' + inside.hex())
    out.want(cert.issuer.public_bytes() == issuer.subject.public_bytes(), "the issuer's name byte for byte")
    verifies(issuer.public_key(), cert.signature, cert.tbs_certificate_bytes, cert.signature_hash_algorithm)
    kinds = [each.oid for each in cert.extensions]
    out.want(len(kinds) == len(set(kinds)), 'duplicate extensions')
    out.want(cert.not_valid_before < cert.not_valid_after, 'times')
    out.want(issuer.not_valid_before <= cert.not_valid_before and cert.not_valid_after <= issuer.not_valid_after,
             "outside of the CA's validity")
    skid = extension(cert, x509.SubjectKeyIdentifier)
    out.want(skid and not skid.critical and
             skid.value.digest == x509.SubjectKeyIdentifier.from_public_key(cert.public_key()).digest, 'SKI')
    akid = extension(cert, x509.AuthorityKeyIdentifier)
    if cert is not issuer or akid:
        out.want(akid and not akid.critical and akid.value.authority_cert_serial_number is None and
                 akid.value.authority_cert_issuer is None and akid.value.key_identifier ==
                 extension(issuer, x509.SubjectKeyIdentifier).value.digest, 'AKI')
    for kind in (OID.KEY_USAGE, OID.BASIC_CONSTRAINTS):
        out.want(all(each.critical for each in cert.extensions if each.oid == kind), 'criticality of %s' % kind)
    for rdn in cert.subject.rdns:
        out.want(len(list(rdn)) == 1, 'multi-valued RDN')


def revocation_urls(cert, out):
    """(ocsp, caIssuers, crl) of a certificate."""
    aia, cdp = extension(cert, x509.AuthorityInformationAccess), extension(cert, x509.CRLDistributionPoints)
    if not aia or not cdp:
        out.append('no AIA or no CDP')
        return None
    out.want(not aia.critical and not cdp.critical, 'AIA or CDP is critical')
    by_kind = {each.access_method: each.access_location.value for each in aia.value}
    out.want(len(by_kind) == len(list(aia.value)) == 2, 'AIA')
    points = list(cdp.value)
    out.want(len(points) == 1 and len(points[0].full_name or []) == 1 and not points[0].reasons and
             not points[0].crl_issuer, 'CDP')
    return by_kind.get(AIA.OCSP), by_kind.get(AIA.CA_ISSUERS), points[0].full_name[0].value


# ---- whole things ----------------------------------------------------------------------------------------------


def leaf(cert, issuer, csr_key, ekus, validity_s):
    out = Findings()
    common(cert, issuer, out)
    raw = csr_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    out.want(cert.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == raw, 'another key')
    basic = extension(cert, x509.BasicConstraints)
    out.want(basic is None or (not basic.value.ca and basic.value.path_length is None), 'basicConstraints')
    wanted = {'digital_signature', 'key_encipherment'} if isinstance(csr_key, rsa.RSAPublicKey) else {'digital_signature'}
    out.want(usages(cert) == wanted, 'keyUsage %s' % usages(cert))
    eku = extension(cert, x509.ExtendedKeyUsage)
    out.want(eku and not eku.critical and set(eku.value) == ekus, 'extKeyUsage')
    san = extension(cert, x509.SubjectAlternativeName)
    out.want(san and san.critical == (len(cert.subject.rdns) == 0), 'SAN')
    lasts = cert.not_valid_after - cert.not_valid_before + SECOND
    clamped = cert.not_valid_after == issuer.not_valid_after
    out.want(clamped or lasts == datetime.timedelta(seconds=validity_s), 'it lasts %s' % lasts)
    now = datetime.datetime.utcnow()
    out.want(now - datetime.timedelta(hours=1) < cert.not_valid_before <= now + SECOND, 'notBefore')
    return out


def authority(cert, issuer):
    """A root (issued by itself) or an issuing CA."""
    out = Findings()
    common(cert, issuer, out)
    basic = extension(cert, x509.BasicConstraints)
    out.want(basic and basic.critical and basic.value.ca, 'basicConstraints')
    out.want(basic.value.path_length == (None if cert is issuer else 0), 'pathLen %s' % basic.value.path_length)
    out.want(usages(cert) == {'key_cert_sign', 'crl_sign'}, 'keyUsage')
    out.want(cert is not issuer or not extension(cert, x509.ExtendedKeyUsage), 'a root has no EKU')
    out.want(len(cert.subject.rdns) > 0, 'no subject')
    return out


def responder(cert, issuer):
    """A delegated OCSP responder certificate (RFC 6960 4.2.2.2)."""
    out = Findings()
    common(cert, issuer, out)
    out.want(usages(cert) == {'digital_signature'}, 'keyUsage')
    eku = extension(cert, x509.ExtendedKeyUsage)
    out.want(eku and list(eku.value) == [EKU.OCSP_SIGNING], 'extKeyUsage')
    nocheck = extension(cert, x509.OCSPNoCheck)
    out.want(nocheck and not nocheck.critical, 'no-check')
    for kind in (x509.SubjectAlternativeName, x509.CRLDistributionPoints, x509.NameConstraints):
        out.want(extension(cert, kind) is None, kind.__name__)
    out.want(cert.not_valid_after - cert.not_valid_before < datetime.timedelta(days=31), 'it lasts too long')
    return out


def crl(got, issuer, more=()):
    """more: extensions of this list beside AKI and number; an IDP is critical, and so is a delta's indicator."""
    out = Findings()
    out += octets.crl(got.public_bytes(Encoding.DER), issuer.not_valid_before)
    out.want(got.issuer.public_bytes() == issuer.subject.public_bytes(), "the issuer's name byte for byte")
    verifies(issuer.public_key(), got.signature, got.tbs_certlist_bytes, got.signature_hash_algorithm)
    kinds = [each.oid for each in got.extensions]
    out.want(sorted(kinds, key=str) == sorted([OID.AUTHORITY_KEY_IDENTIFIER, OID.CRL_NUMBER, *more], key=str), 'extensions')
    critical = {each.oid for each in got.extensions if each.critical}
    out.want(critical == {OID.ISSUING_DISTRIBUTION_POINT, OID.DELTA_CRL_INDICATOR} & set(kinds), 'critical extensions')
    akid = extension(got, x509.AuthorityKeyIdentifier).value
    out.want(akid.key_identifier == extension(issuer, x509.SubjectKeyIdentifier).value.digest and
             akid.authority_cert_issuer is None, 'AKI')
    out.want(0 < extension(got, x509.CRLNumber).value.crl_number < 1 << 159, 'number')
    now = datetime.datetime.utcnow()
    out.want(got.last_update <= now + SECOND < got.next_update, 'times')
    out.want(got.next_update - got.last_update <= datetime.timedelta(days=10), 'it lasts too long')
    serials = [each.serial_number for each in got]
    out.want(len(serials) == len(set(serials)), 'a serial is there twice')
    for each in got:
        out.want(each.revocation_date <= got.last_update, 'revoked after thisUpdate')
        out.want(all(not more.critical for more in each.extensions), 'critical entry extension')
    return out


def ocsp(got, issuer, cert):
    """A successful response about one certificate."""
    out = Findings()
    out += octets.ocsp(got.public_bytes(Encoding.DER))
    out.want(got.serial_number == cert.serial_number, 'another serial')
    out.want(len(got.certificates) == 1, '%d certificates' % len(got.certificates))
    out += responder(got.certificates[0], issuer)
    public = got.certificates[0].public_key()
    verifies(public, got.signature, got.tbs_response_bytes, got.signature_hash_algorithm)
    digest = hashes.Hash(hashes.SHA1())
    digest.update(elements(elements(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))[0][1])[1][1][1:])
    out.want(got.responder_key_hash == digest.finalize(), 'responder by key')
    now = datetime.datetime.utcnow()
    out.want(got.this_update <= got.produced_at <= now + SECOND, 'producedAt')
    out.want(got.this_update <= now + SECOND < got.next_update, 'thisUpdate, nextUpdate')
    out.want(len(list(got.extensions)) == 0, 'response extensions')
    return out
