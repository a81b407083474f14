# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""Enrolment requests and answers as they are in frames on the edge socket: pkiproto/json/pack.h with the tables of enrol.c."""

REQUEST = (('protocol', str), ('operation', str), ('label', str), ('identity_kind', str), ('identity', str),
           ('password', str), ('certificate', bytes), ('csr', bytes), ('transaction_key', bytes), ('source', str),
           ('request_id', str))
ANSWER = (('status', str), ('certificate', bytes), ('retry_after_s', int), ('code', str), ('clause', str), ('text', str))
ABSENT = b'\xff\xff\xff\xff'


def pack(table, values):
    """values: what is not in it is absent."""
    out = bytes([len(table)])
    for name, kind in table:
        value = values.get(name)
        if value is None:
            out += ABSENT
            continue
        octets = value.encode() + b'\0' if kind is str else value.to_bytes(8, 'big') if kind is int else value
        out += len(octets).to_bytes(4, 'big') + octets
    return out


def unpack(table, octets):
    """{name: value} of what is there."""
    if octets[0] != len(table):
        raise ValueError('a record of %d members' % octets[0])
    at, found = 1, {}
    for name, kind in table:
        length = octets[at:at + 4]
        at += 4
        if length == ABSENT:
            continue
        value = octets[at:at + int.from_bytes(length, 'big')]
        at += len(value)
        found[name] = value[:-1].decode() if kind is str else int.from_bytes(value, 'big') if kind is int else value
    if at != len(octets):
        raise ValueError('octets behind the record')
    return found
