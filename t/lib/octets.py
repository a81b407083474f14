# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
CRLs and OCSP responses octet by octet, with a reader of DER that has nothing in common with ours: X.690, RFC 5280 section 5,
RFC 6960 section 4.2, and what zlint, pkilint and browsers' own checks want.  crl() and ocsp() return what is wrong.
"""

import datetime

# ---- DER -------------------------------------------------------------------------------------------------------


class Node:
    """An element: tag, contents; children when it is constructed."""

    def __init__(self, tag, body, whole):
        self.tag, self.body, self.whole = tag, body, whole
        self.children = nodes(body) if tag & 0x20 else []

    def child(self, tag):
        return next((each for each in self.children if each.tag == tag), None)


class Bad(ValueError):
    """Not DER."""


def nodes(data):
    """All elements of data, or Bad: X.690 8.1 and 10.1."""
    found = []
    while data:
        if len(data) < 2 or data[0] & 0x1f == 0x1f:
            raise Bad('a header ends early, or a long tag')
        size, head = data[1], 2
        if size & 0x80:
            octets = size & 0x7f
            head += octets
            size = int.from_bytes(data[2:head], 'big')
            if octets == 0 or len(data) < head or size < 0x80 or data[2] == 0:
                raise Bad('a length of %s' % data[1:head].hex())
        if len(data) < head + size:
            raise Bad('an element of %d octets ends after %d' % (size, len(data) - head))
        found.append(Node(data[0], data[head:head + size], data[:head + size]))
        data = data[head + size:]
    return found


def primitives(node, out):
    """X.690 8.2, 8.3, 8.6, 11.1: what the contents of simple types look like."""
    body = node.body
    if node.tag == 0x01 and body != b'\xff':
        out.append('BOOLEAN %s: FALSE is the DEFAULT everywhere here, TRUE is ff' % body.hex())
    if node.tag in (0x02, 0x0a) and (not body or (len(body) > 1 and (body[0], body[1] >> 7) in ((0, 0), (0xff, 1)))):
        out.append('INTEGER %s' % body.hex())
    if node.tag == 0x05 and body:
        out.append('NULL with contents')
    if node.tag == 0x06 and (not body or body[-1] & 0x80):
        out.append('OBJECT IDENTIFIER %s' % body.hex())
    if node.tag == 0x03 and (not body or body[0] > 7):
        out.append('BIT STRING %s' % body[:1].hex())
    if node.tag in (0x24, 0x23, 0x2c, 0x33):
        out.append('a string in parts')
    for each in node.children:
        primitives(each, out)


def read(data, out):
    """The one element that data is, or None and a finding."""
    try:
        found = nodes(data)
    except Bad as problem:
        out.append(str(problem))
        return None
    if len(found) != 1:
        out.append('%d elements instead of one' % len(found))
        return None
    primitives(found[0], out)
    return found[0]


def oid(node):
    """Dotted."""
    values, value = [], 0
    for each in node.body:
        value = value << 7 | each & 0x7f
        if not each & 0x80:
            values.append(value)
            value = 0
    first = min(values[0] // 40, 2)
    return '.'.join(map(str, [first, values[0] - 40 * first, *values[1:]]))


def time_of(node, out, what):
    """RFC 5280 4.1.2.5, 5.1.2.4: UTCTime through 2049, GeneralizedTime from then on."""
    text, short = node.body.decode('ascii', 'replace'), node.tag == 0x17
    try:
        value = datetime.datetime.strptime(text, '%y%m%d%H%M%SZ' if short else '%Y%m%d%H%M%SZ')
    except ValueError:
        out.append('%s: %s' % (what, text))
        return None
    if short and value.year >= 2050:
        value = value.replace(year=value.year - 100)
    if node.tag not in (0x17, 0x18) or len(text) != (13 if short else 15) or short != (value.year < 2050):
        out.append('%s: %s as tag %02x' % (what, text, node.tag))
    return value


def generalized(node, out, what):
    """RFC 6960 4.2.2.1, RFC 5280 5.3.2: with seconds, in Z, without a fraction."""
    try:
        if node.tag == 0x18 and len(node.body) == 15:
            return datetime.datetime.strptime(node.body.decode(), '%Y%m%d%H%M%SZ')
    except ValueError:
        pass
    out.append('%s: %s' % (what, node.body))
    return None


def algorithm(node, out):
    """AlgorithmIdentifier: NULL with RSA, nothing with the others (RFC 4055 5, RFC 5758 3.2, RFC 8410 3)."""
    name, rest = oid(node.children[0]), [each.whole for each in node.children[1:]]
    wanted = {'1.2.840.113549.1.1.11': [b'\x05\0'], '1.2.840.113549.1.1.12': [b'\x05\0'], '1.2.840.113549.1.1.13': [b'\x05\0'],
              '1.2.840.10045.4.3.2': [], '1.2.840.10045.4.3.3': [], '1.3.101.112': []}
    if name not in wanted or wanted[name] != rest:
        out.append('signature algorithm %s with %s' % (name, rest))


def extensions(holder, known, out, where):
    """{oid: (critical, the node in extnValue)}; known: {oid: whether it has to be critical}."""
    found = {}
    if not holder.children:
        out.append('%s: an empty list of extensions' % where)
    for each in holder.children:
        name, critical = oid(each.children[0]), each.child(0x01) is not None
        if name in found:
            out.append('%s: %s twice' % (where, name))
        if name not in known:
            out.append('%s: %s does not belong there' % (where, name))
        elif known[name] != critical:
            out.append('%s: %s %s critical' % (where, name, 'is' if critical else 'is not'))
        found[name] = critical, read(each.children[-1].body, out)
    return found


def number(node):
    return int.from_bytes(node.body, 'big', signed=True)


# ---- CRLs ------------------------------------------------------------------------------------------------------

AKI, CRL_NUMBER, DELTA, IDP, FRESHEST = '2.5.29.35', '2.5.29.20', '2.5.29.27', '2.5.29.28', '2.5.29.46'
REASON, INVALIDITY = '2.5.29.21', '2.5.29.24'
LIST_EXTENSIONS = {AKI: False, CRL_NUMBER: False, DELTA: True, IDP: True, FRESHEST: False, '2.5.29.60': False,
                   '1.3.6.1.5.5.7.1.1': False, '1.3.6.1.4.1.311.21.4': False}
ENTRY_EXTENSIONS = {REASON: False, INVALIDITY: False}


def list_numbers(found, out):
    """AKI, CRLNumber, BaseCRLNumber."""
    if AKI not in found or [each.tag for each in found[AKI][1].children] != [0x80]:
        out.append('AKI is missing, or is more than a key identifier')
    if CRL_NUMBER not in found or not 0 <= number(found[CRL_NUMBER][1]) < 1 << 159:
        out.append('CRLNumber is missing or out of range')
    elif DELTA in found and not 0 <= number(found[DELTA][1]) <= number(found[CRL_NUMBER][1]):
        out.append('BaseCRLNumber is above CRLNumber')
    if DELTA in found and FRESHEST in found:
        out.append('a delta with FreshestCRL')


def distribution_point(found, out):
    """5.2.5: not empty, one of the only* at most, nothing indirect, a name as [0] [0] [6]."""
    if IDP not in found:
        return
    parts = {each.tag: each for each in found[IDP][1].children}
    if not parts or 0x84 in parts or len({0x81, 0x82, 0x85} & set(parts)) > 1:
        out.append('IDP has %s' % [hex(each) for each in parts])
    if 0xa0 in parts:
        names = parts[0xa0].children[0].children if parts[0xa0].children else []
        if [each.tag for each in names] != [0x86] or not names[0].body.startswith(b'http://'):
            out.append('IDP names %s' % parts[0xa0].body)


def entry(each, this_update, is_delta, not_before, out):
    """One of revokedCertificates: its serial."""
    serial, date = each.children[0], time_of(each.children[1], out, 'revocationDate')
    if not 0 < number(serial) < 1 << 160:
        out.append('serial %s' % serial.body.hex())
    if date and this_update and not (not_before or date) <= date <= this_update:
        out.append('revoked at %s, before the CA was or after thisUpdate' % date)
    if len(each.children) > 2:
        found = extensions(each.children[2], ENTRY_EXTENSIONS, out, 'entry')
        if REASON in found:
            reason = found[REASON][1]
            if reason.tag != 0x0a or number(reason) not in ((1, 2, 3, 4, 5, 6, 9, 10) + ((8,) if is_delta else ())):
                out.append('reason %s' % reason.whole.hex())
        if INVALIDITY in found:
            since = generalized(found[INVALIDITY][1], out, 'invalidityDate')
            if since and date and since > date:
                out.append('invalid only after it was revoked')
    return serial.body


def crl(data, not_before=None):
    """not_before: the CA certificate's."""
    out = []
    whole = read(data, out)
    if whole is None:
        return out
    tbs, outside = whole.children[0], whole.children[1]
    parts = list(tbs.children)
    if parts[0].whole != b'\x02\x01\x01':
        return out + ['not a v2 list']
    if parts[1].whole != outside.whole:
        out.append('signature algorithms differ')
    algorithm(outside, out)
    times = [time_of(each, out, 'an update') for each in parts[3:5] if each.tag in (0x17, 0x18)]
    if len(times) != 2 or None in times or times[0] >= times[1]:
        return out + ['thisUpdate and nextUpdate']
    rest = {each.tag: each for each in parts[5:]}
    if set(rest) - {0x30, 0xa0} or 0xa0 not in rest:
        return out + ['parts %s' % [hex(each) for each in rest]]
    found = extensions(rest[0xa0].children[0], LIST_EXTENSIONS, out, 'list')
    list_numbers(found, out)
    distribution_point(found, out)
    if 0x30 in rest:
        if not rest[0x30].children:
            out.append('revokedCertificates is there, and empty')
        serials = [entry(each, times[0], DELTA in found, not_before, out) for each in rest[0x30].children]
        if len(set(serials)) != len(serials):
            out.append('a serial is there twice')
    return out


# ---- OCSP ------------------------------------------------------------------------------------------------------

NONCE, EXTENDED_REVOKE = '1.3.6.1.5.5.7.48.1.2', '1.3.6.1.5.5.7.48.1.9'
RESPONSE_EXTENSIONS = {NONCE: False, EXTENDED_REVOKE: False}
SINGLE_EXTENSIONS = {'1.3.6.1.5.5.7.48.1.6': False, '1.3.6.1.5.5.7.48.1.3': False, INVALIDITY: False, '1.3.36.8.3.13': False}
HASHES = {'1.3.14.3.2.26': 20, '2.16.840.1.101.3.4.2.1': 32, '2.16.840.1.101.3.4.2.2': 48, '2.16.840.1.101.3.4.2.3': 64}
EPOCH = datetime.datetime(1970, 1, 1)


def status(node, this_update, out):
    """CertStatus: IMPLICIT NULLs, and RevokedInfo with a reason that says something."""
    if node.tag in (0x80, 0x82):
        if node.body:
            out.append('a status with contents')
        return
    if node.tag != 0xa1:
        out.append('a status with tag %02x' % node.tag)
        return
    date = generalized(node.children[0], out, 'revocationTime')
    if date and this_update and date > this_update:
        out.append('revoked after thisUpdate')
    reason = node.child(0xa0)
    if reason is not None:
        value = reason.children[0]
        if value.tag != 0x0a or number(value) not in (1, 2, 3, 4, 5, 6, 9, 10):
            out.append('reason %s' % value.whole.hex())
        if date == EPOCH and number(value) != 6:
            out.append('never issued, and not on hold')


def single(node, produced, out):
    """SingleResponse, RFC 6960 4.2.1."""
    cert_id, rest = node.children[0], node.children[2:]
    size = HASHES.get(oid(cert_id.children[0].children[0]))
    if size is not None and [len(each.body) for each in cert_id.children[1:3]] != [size, size]:
        out.append('hashes of another length')
    this_update = generalized(rest[0], out, 'thisUpdate')
    if this_update and produced and this_update > produced:
        out.append('thisUpdate is after producedAt')
    status(node.children[1], this_update, out)
    after = next((each for each in rest[1:] if each.tag == 0xa0), None)
    next_update = after and generalized(after.children[0], out, 'nextUpdate')
    if not next_update or (this_update and next_update <= this_update):
        out.append('nextUpdate is missing or not later than thisUpdate')
    for each in rest[1:]:
        if each.tag == 0xa1:
            extensions(each.children[0], SINGLE_EXTENSIONS, out, 'single response')


def basic(node, out):
    """BasicOCSPResponse."""
    data = node.children[0]
    parts = list(data.children)
    if parts[0].tag == 0xa0:
        out.append('a version that is the DEFAULT')
        parts.pop(0)
    who = parts.pop(0)
    if who.tag not in (0xa1, 0xa2) or (who.tag == 0xa2 and (who.children[0].tag, len(who.children[0].body)) != (0x04, 20)):
        out.append('responderID %s' % who.whole.hex())
    produced = generalized(parts.pop(0), out, 'producedAt')
    if not parts[0].children:
        out.append('no response')
    for each in parts[0].children:
        single(each, produced, out)
    for each in parts[1:]:
        extensions(each.children[0], RESPONSE_EXTENSIONS, out, 'response')
    algorithm(node.children[1], out)
    certs = node.child(0xa0)
    if certs is not None and len(certs.children[0].children) != 1:
        out.append('%d certificates' % len(certs.children[0].children))


def ocsp(data):
    out = []
    whole = read(data, out)
    if whole is None:
        return out
    result = number(whole.children[0])
    if result not in (0, 1, 2, 3, 5, 6):
        out.append('status %d' % result)
    if result != 0:
        return out + (['an error with more than its status'] if len(whole.children) > 1 else [])
    inner = whole.children[1].children[0]
    if oid(inner.children[0]) != '1.3.6.1.5.5.7.48.1.1':
        return out + ['not basic']
    body = read(inner.children[1].body, out)
    if body is not None:
        basic(body, out)
    return out
