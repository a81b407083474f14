#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
CRLs as they come out of a real stack: what RFC 5280 section 5 asks of their contents (C-01 to C-15), deltas, shards, and
what has to hold while they are published (D-04 to D-06).  OpenSSL and Python's cryptography read them.
"""

import datetime
import hashlib
import json
import os
import random
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import SLOW, Stack, done, is_, like, ok, openssl, wait_for  # noqa: E402
from ca import Authority, key_pem, new_key, pem                                   # noqa: E402
from der import items, read, whole                                                # noqa: E402
from second import Second                                                         # noqa: E402

from cryptography import x509                                                     # noqa: E402
from cryptography.x509.oid import ExtensionOID                                    # noqa: E402

UTC = datetime.timezone.utc
NEXT_PUBLISH, EXPIRED_SINCE = '1.3.6.1.4.1.311.21.4', '2.5.29.60'


# ---- reading lists ---------------------------------------------------------------------------------------------


def utc(thing, name):
    """A time, whatever the age of the library: newer ones say the zone."""
    return getattr(thing, name + '_utc') if hasattr(thing, name + '_utc') else getattr(thing, name).replace(tzinfo=UTC)


class List:
    """One CRL: its octets, and what cryptography makes of them."""

    def __init__(self, der):
        self.der, self.crl = der, x509.load_der_x509_crl(der)
        self.entries = {each.serial_number: each for each in self.crl}
        self.count = len(self.crl)
        self.this, self.next = utc(self.crl, 'last_update'), utc(self.crl, 'next_update')
        self.validity_s = (self.next - self.this).total_seconds()

    def _extension(self, oid):
        try:
            return self.crl.extensions.get_extension_for_oid(oid)
        except x509.ExtensionNotFound:
            return None

    @property
    def number(self):
        return self._extension(ExtensionOID.CRL_NUMBER).value.crl_number

    @property
    def base(self):
        found = self._extension(ExtensionOID.DELTA_CRL_INDICATOR)
        return found and found.value.crl_number

    def value(self, oid):
        """(octets, critical) of an extension that cryptography does not know."""
        found = self._extension(x509.ObjectIdentifier(oid))
        return found and (found.value.value, found.critical)

    def reason(self, serial):
        try:
            return self.entries[serial].extensions.get_extension_for_oid(x509.OID_CRL_REASON).value.reason.value
        except x509.ExtensionNotFound:
            return None

    def state(self):
        """{serial: (date, reason)}"""
        return {serial: (utc(each, 'revocation_date'), self.reason(serial)) for serial, each in self.entries.items()}


def fetch(s, name=None):
    answer = s.http('GET', '/crl/%s' % (name or s.issuer_id + '.crl'))
    return List(answer.body) if answer.status == 200 else None


def number_of(holder):
    return int(holder.serial, 16)


def cert_of(path):
    with open(path, 'rb') as file:
        return x509.load_pem_x509_certificate(file.read())


def lists(s, name, check, seconds=10):
    """The list under that name once check() of it is true."""
    def look():
        found = fetch(s, name)
        return found if found and check(found) else None
    return wait_for('%s to be as wanted' % (name or 'the list'), look, seconds)


def after_revoking(s, holder, reason='keyCompromise', name=None, **more):
    """The first list that has it."""
    answer = s.revoke(holder, reason, **more)
    if answer.status != 200:
        raise RuntimeError('%r' % answer)
    return lists(s, name, lambda found: number_of(holder) in found.entries)


def release(s, holder):
    found = s.api('GET', '/api/v1/certificates?serial=' + holder.serial).json['data']
    return s.api('POST', '/api/v1/certificates/%s/release' % found[0]['id'], {})


def settings(s, **more):
    answer = s.api('PUT', '/api/v1/issuers/%s/revocation' % s.issuer_id, more)
    if answer.status != 200:
        raise RuntimeError('%r' % answer)


def hurry(s, **more):
    """Settings that are shorter than the API allows, as it would write them."""
    s.psql("UPDATE issuer SET settings = '%s' WHERE id = '%s'; INSERT INTO change_feed (kind) VALUES ('config')" % (
        json.dumps(more), s.issuer_id))


def cached(s, scope='full', generation=1):
    for each in s.api('GET', '/api/v1/admin/crl/cache').json['data']:
        if (each['issuer_id'], each['scope'], each['generation']) == (s.issuer_id, scope, generation):
            return each
    return None


def figure(s, name, scope='full'):
    text = s.api('GET', '/api/v1/metrics/prometheus').text
    for each in text.splitlines():
        if each.startswith(name + '{issuer="%s",generation="1",scope="%s"}' % (s.issuer_id, scope)):
            return float(each.split()[-1])
    return None


def verify(s, holder, *files, words=()):
    """What openssl verify says of the certificate with these lists."""
    names = []
    for i, each in enumerate(files):
        names += ['-CRLfile', s.file('verify-%d.pem' % i)]
        openssl('crl', '-inform', 'DER', '-out', s.file('verify-%d.pem' % i), input=each.der)
    done_ = openssl('verify', '-CAfile', s.bundle, '-crl_check', *words, *names, holder.cert, check=False)
    text = done_.out + done_.err
    return 'good' if done_.status == 0 else 'revoked' if 'certificate revoked' in text else text


# ---- C-01, C-02, C-03: the frame -------------------------------------------------------------------------------


def frame(s):
    first = lists(s, None, lambda found: True)
    outer = items(whole(first.der))
    tbs = items(outer[0][1])
    issuer = cert_of(s.issuer)
    is_(tbs[0], (2, b'\1'), 'C-01 version 2')
    is_(tbs[1], outer[1], 'C-01 the algorithm inside is the one outside')
    is_(first.crl.issuer.public_bytes(), issuer.subject.public_bytes(), "C-01 the issuer is the CA's subject, octet by octet")
    is_([tag for tag, _ in tbs[3:5]], [0x17, 0x17], 'C-01 thisUpdate and nextUpdate are UTCTime before 2050')
    ok(first.crl.is_signature_valid(issuer.public_key()), 'C-01 the signature verifies')
    is_((first.count, [tag for tag, _ in tbs[5:]]), (0, [0xa0]), 'C-02 without entries the field is absent')
    akid = first._extension(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    skid = issuer.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_KEY_IDENTIFIER).value.digest
    is_((akid.critical, akid.value.key_identifier, akid.value.authority_cert_issuer), (False, skid, None),
        'C-03 authorityKeyIdentifier with the key identifier alone, not critical')
    is_(first._extension(ExtensionOID.CRL_NUMBER).critical, False, 'C-03 cRLNumber, not critical')
    is_(len(first.crl.extensions), 2, 'and nothing else by default')
    like(openssl('crl', '-inform', 'DER', '-noout', '-CAfile', s.bundle, input=first.der).err, 'verify OK', 'openssl agrees')


def entries(s):
    device = {name: s.enrol('entry-' + name) for name in ('plain', 'why', 'hold', 'past')}
    began = int(time.time())
    before = fetch(s)
    after_revoking(s, device['plain'], 'unspecified')
    after_revoking(s, device['why'], 'superseded')
    after_revoking(s, device['hold'], 'certificateHold')
    invalid = datetime.datetime.fromtimestamp(began - 1000, UTC)
    found = after_revoking(s, device['past'], 'keyCompromise', invalidity_date=invalid.strftime('%Y-%m-%dT%H:%M:%SZ'))
    ok(found.number > before.number, 'C-03 a list that is made later has a greater number')
    is_([found.reason(number_of(device[name])) for name in ('plain', 'why', 'hold', 'past')],
        [None, 'superseded', 'certificateHold', 'keyCompromise'], 'C-05 reasons as given, and never "unspecified"')
    past = found.entries[number_of(device['past'])]
    date = past.extensions.get_extension_for_oid(x509.OID_INVALIDITY_DATE)
    is_((date.critical, utc(date.value, 'invalidity_date')), (False, invalid), 'C-06 invalidityDate, not critical')
    ok(utc(date.value, 'invalidity_date') <= utc(past, 'revocation_date'), 'C-06 and not after the revocation')
    ok(all(not extension.critical for each in found.crl for extension in each.extensions), 'C-05 no entry extension is critical')
    ok(all(utc(each, 'revocation_date') <= found.this for each in found.crl), 'C-07 no entry is later than the list')
    is_(len(found.entries), found.count, 'C-07 no serial twice')
    whys = [whole_entry(each) for _, each in items(items(items(whole(found.der))[0][1])[5][1])]
    ok(all(cert_serial(device[name].cert) in whys for name in device), 'C-07 serials are the octets of the certificates')
    release(s, device['hold'])
    gone = lists(s, None, lambda new: number_of(device['hold']) not in new.entries)
    ok(gone and gone.number > found.number, 'C-05 a hold that was released is gone from the full list')


def whole_entry(contents):
    return read(contents)[1]


def cert_serial(path):
    der = openssl('x509', '-in', path, '-outform', 'DER').raw
    return items(items(whole(der))[0][1])[1][1]


# ---- C-08: expired certificates --------------------------------------------------------------------------------


def expired(s):
    gone, other = s.enrol('expired-1'), [s.enrol('filler-%d' % i) for i in range(2)]
    after_revoking(s, gone)
    ends = int(time.time()) + 2
    s.psql("UPDATE revocation SET not_after = to_timestamp(%d) WHERE serial = '\\x%s'" % (ends, gone.serial))
    time.sleep(max(0, ends + 1.1 - time.time()))
    once = after_revoking(s, other[0])
    ok(once.this > datetime.datetime.fromtimestamp(ends, UTC) and number_of(gone) in once.entries, 'C-08 a certificate that has ended is on a list that was made after its end')
    time.sleep(1.1)
    then = after_revoking(s, other[1])
    ok(number_of(gone) not in then.entries, 'C-08 and not on the next one')
    ok(number_of(other[0]) in then.entries, 'while the others stay')


# ---- C-11, C-12, C-15: what settings add -----------------------------------------------------------------------


def additions(s):
    gone = s.enrol('kept-1')
    after_revoking(s, gone)
    settings(s, crl_aia=True, crl_next_publish=True, crl_keep_expired_s=3600, crl_expired_since=True, crl_refresh_s=7200)
    found = lists(s, None, lambda new: new.value(NEXT_PUBLISH))
    access = found._extension(ExtensionOID.AUTHORITY_INFORMATION_ACCESS)
    url = access.value[0].access_location.value
    is_((access.critical, len(access.value), access.value[0].access_method), (False, 1, x509.OID_CA_ISSUERS),
        'C-12 authorityInfoAccess: caIssuers, not critical')
    answer = s.http('GET', url[url.index('/ca/'):])
    is_(answer.body, openssl('x509', '-in', s.issuer, '-outform', 'DER').raw, 'C-12 and the CA certificate is there')
    value, critical = found.value(NEXT_PUBLISH)
    planned = found.this + datetime.timedelta(seconds=7200)
    is_((critical, value), (False, b'\x17\x0d' + planned.strftime('%y%m%d%H%M%SZ').encode()),
        'C-15 Next CRL Publish is the planned refresh, not critical')
    value, critical = found.value(EXPIRED_SINCE)
    since = datetime.datetime.strptime(value[2:].decode(), '%Y%m%d%H%M%SZ').replace(tzinfo=UTC)
    is_((critical, value[0], since), (False, 0x18, found.this - datetime.timedelta(seconds=3600)),
        'C-11 expiredCertsOnCRL is a GeneralizedTime, an hour ago, not critical')
    s.psql("UPDATE revocation SET not_after = now() - interval '30 minutes' WHERE serial = '\\x%s'" % gone.serial)
    for i in range(2):
        kept = after_revoking(s, s.enrol('kept-more-%d' % i))
    ok(number_of(gone) in kept.entries, 'C-11 what ended half an hour ago stays')
    settings(s)
    plain = lists(s, None, lambda new: new.value(NEXT_PUBLISH) is None)
    ok(plain and len(plain.crl.extensions) == 2, 'without the settings the list is as before')


# ---- C-04, C-09: deltas ----------------------------------------------------------------------------------------


def combined(base, delta):
    """RFC 5280 5.2.4, as a relying party does it."""
    state = dict(base.state())
    for serial, (date, reason) in delta.state().items():
        if reason == 'removeFromCRL':
            state.pop(serial, None)
        else:
            state[serial] = (date, reason)
    return state


def pair(s, name):
    """A full list and the delta of the same number."""
    def look():
        delta, full = fetch(s, name), fetch(s)
        return (full, delta) if delta and full.number == delta.number else None
    return wait_for('a full list and a delta of one number', look, 10)


def deltas(s):
    name = s.issuer_id + '.delta.crl'
    held = s.enrol('delta-held')
    after_revoking(s, held, 'certificateHold')
    is_(fetch(s, name), None, 'no delta unless it is asked for')
    ok(fetch(s)._extension(ExtensionOID.FRESHEST_CRL) is None, 'and no pointer to one')
    settings(s, crl_delta_s=3600)
    full = lists(s, None, lambda new: new._extension(ExtensionOID.FRESHEST_CRL))
    freshest = full._extension(ExtensionOID.FRESHEST_CRL)
    url = freshest.value[0].full_name[0].value
    is_((freshest.critical, url[url.index('/crl/'):]), (False, '/crl/' + name), 'C-09 freshestCRL in the full list, not critical')
    first = lists(s, name, lambda new: new.base is not None)
    ok(first, 'C-09 the delta is there')
    ok(first._extension(ExtensionOID.DELTA_CRL_INDICATOR).critical, 'C-09 with a critical base number')
    ok(first._extension(ExtensionOID.FRESHEST_CRL) is None, 'C-09 and without freshestCRL')
    ok(s.psql('SELECT count(*) FROM crl WHERE scope = \'full\' AND error IS NULL AND number = %d' % first.base) == '1',
       'C-09 the base was published')
    is_(first.crl.issuer.public_bytes(), full.crl.issuer.public_bytes(), 'C-09 the issuer is the same')
    old = fetch(s)
    ok(first.base <= old.number, 'C-09 which is not newer than a list that somebody may hold')

    now = s.enrol('delta-now')
    after_revoking(s, now)
    new, delta = pair(s, name)
    is_((delta.this, delta.number), (new.this, new.number), 'C-04 made together, one number')
    is_((verify(s, now, old), verify(s, now, new)), ('good', 'revoked'), 'the old list does not know, the new one does')
    is_(verify(s, now, old, delta, words=('-extended_crl', '-use_deltas')), 'revoked',
        'C-09 openssl finds it with the old list and the delta')
    is_(verify(s, held, old, delta, words=('-extended_crl', '-use_deltas')), 'revoked', 'C-09 and what was there before')
    release(s, held)
    lists(s, None, lambda more: number_of(held) not in more.entries)
    new, delta = pair(s, name)
    is_(delta.reason(number_of(held)), 'removeFromCRL', 'C-05 C-09 a hold that was released is removed by the delta')
    is_(verify(s, held, old, delta, words=('-extended_crl', '-use_deltas')), 'good', 'C-09 and openssl takes it for good')
    is_(combined(old, delta), new.state(), 'C-09 the old list and the delta make the new list')
    history(s, name, old)

    hurry(s, crl_delta_s=2)
    steps = [fetch(s, name).number]
    for _ in range(2):
        steps.append(lists(s, name, lambda more: more.number > steps[-1], 15).number)
    ok(steps == sorted(set(steps)) and fetch(s).number < steps[-1], 'C-04 deltas between full lists have numbers of their own', steps)
    settings(s)
    ok(wait_for('the delta to go', lambda: fetch(s, name) is None, 15), 'without the setting there is no delta')
    ok(lists(s, None, lambda more: more._extension(ExtensionOID.FRESHEST_CRL) is None), 'and no pointer')


def history(s, name, oldest):
    """Holds, releases, revocations and ends in any order; every list that was seen makes the newest one with its delta."""
    random.seed(5)
    devices = [s.enrol('history-%d' % i) for i in range(8)]
    seen, wrong = [oldest], []
    for _ in range(10):
        device = random.choice(devices)
        before = fetch(s).number
        act = random.choice((lambda: s.revoke(device), lambda: s.revoke(device, 'certificateHold'), lambda: release(s, device)))
        if act().status != 200:
            continue
        if random.random() < 0.3:
            s.psql("UPDATE revocation SET not_after = now() WHERE serial = '\\x%s'" % device.serial)
        lists(s, None, lambda new: new.number > before)
        full, delta = pair(s, name)
        wrong += [(base.number, full.number) for base in seen if base.number >= delta.base and combined(base, delta) != full.state()]
        seen.append(full)
    is_(wrong, [], 'C-09 any history: base and delta are the full list (%d lists)' % len(seen))


# ---- C-10, C-14: shards ----------------------------------------------------------------------------------------


def shards(s):
    count = 4
    before = s.enrol('before-shards')
    settings(s, crl_shards=count)
    answer = s.api('POST', '/api/v1/issuers/%s/rekey' % s.issuer_id, {}, timeout=60)
    is_(answer.status, 200, 'the next generation has shards')
    names = ['%s.g2.s%d.crl' % (s.issuer_id, i) for i in range(count)]
    empty = [lists(s, name, lambda found: True) for name in names]
    is_([each and each.count for each in empty], [0] * count, 'C-14 shards without entries are published')
    devices = [s.enrol('shard-%d' % i) for i in range(10)]
    issuer = s.http('GET', '/ca/%s.g2.crt' % s.issuer_id).body
    with open(s.file('g2.pem'), 'w') as file:
        file.write(openssl('x509', '-inform', 'DER', input=issuer).out)
    with open(s.bundle) as file:
        parts = file.read().split('-----END CERTIFICATE-----\n')
    with open(s.file('g2-chain.pem'), 'w') as file, open(s.file('g2.pem')) as own:
        file.write(own.read() + '-----END CERTIFICATE-----\n'.join(parts))
    place = {}
    for device in devices:
        point = cert_of(device.cert).extensions.get_extension_for_oid(ExtensionOID.CRL_DISTRIBUTION_POINTS).value[0]
        name = point.full_name[0].value.rsplit('/', 1)[1]
        place[device.name] = name
        digest = hashlib.sha256(cert_serial(device.cert)).digest()
        if name != names[int.from_bytes(digest[:4], 'big') % count]:
            ok(False, 'C-14 the shard of %s is chosen by its serial' % device.name, name)
        if s.revoke(device).status != 200:
            ok(False, 'revoking %s' % device.name)
    ok(len(set(place.values())) > 1, 'C-14 certificates are spread')
    found = {name: lists(s, name, lambda new: all(number_of(each) in new.entries for each in devices if place[each.name] == name))
             for name in names}
    union = [serial for each in found.values() for serial in each.entries]
    is_(sorted(union), sorted(number_of(each) for each in devices), 'C-14 the union of the shards is all that was revoked, each once')
    for name, each in found.items():
        idp = each._extension(ExtensionOID.ISSUING_DISTRIBUTION_POINT)
        is_((idp.critical, idp.value.full_name[0].value.rsplit('/', 1)[1], idp.value.only_contains_user_certs,
             idp.value.only_contains_ca_certs, idp.value.indirect_crl), (True, name, False, False, False),
            'C-10 %s: the issuing distribution point is critical, and says where' % name)
    device = devices[0]
    own, other = found[place[device.name]], next(found[name] for name in names if name != place[device.name])
    der = openssl('x509', '-in', device.cert, '-outform', 'DER').raw
    url = own._extension(ExtensionOID.ISSUING_DISTRIBUTION_POINT).value.full_name[0].value.encode()
    point = b'\xa0' + bytes([len(url) + 4]) + b'\xa0' + bytes([len(url) + 2]) + b'\x86' + bytes([len(url)]) + url
    ok(point in der and point in own.der, 'C-10 in the same octets as in the certificate')
    words = ['-CAfile', s.file('g2-chain.pem'), '-partial_chain', '-extended_crl']
    is_(verify(s, device, own, words=words), 'revoked', 'C-10 openssl takes the shard for the certificate')
    like(verify(s, device, other, words=words), 'scope', 'C-10 and not another one')
    answer = s.http('GET', '/crl/%s.json' % s.issuer_id)
    ok(all(name in answer.text for name in names + [s.issuer_id + '.crl']), 'D-07 the list of the lists has them all', answer)
    is_(s.http('GET', '/crl/%s.g2.crl' % s.issuer_id).status, 404, 'a generation with shards has no full list')
    after_revoking(s, before)
    settings(s)
    ok(number_of(before) in fetch(s).entries, 'C-14 what the first generation issued stays in its own list')
    is_(cached(s, 's0', 2)['is_served'], True, 'the API knows the shards')


# ---- C-13 ------------------------------------------------------------------------------------------------------


def no_crl_sign(s):
    root, key = Authority('No CRL Root'), new_key()
    with open(s.path('signer/passphrase'), 'rb') as file:
        passphrase = file.readline().rstrip(b'\n')
    path, folder = s.path('signer/keys/nocrl.key'), s.path('signer/keys')
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 'wb') as file:
        file.write(key_pem(key, passphrase))
    os.chown(path, os.stat(folder).st_uid, os.stat(folder).st_gid)
    chain = ''.join(pem(each.cert) for each in (Authority('No CRL', key, root, crl_sign=False), root))
    answer = s.api('POST', '/api/v1/issuers', {'id': 'iss-nocrl', 'name': 'nocrl',
                                               'config': {'certificates': chain, 'key_ref': 'file:nocrl'}})
    ok(answer.status == 400 and 'cRLSign' in answer.text, 'C-13 a CA without cRLSign is refused', answer)


# ---- D-04, D-05, D-06: publication -----------------------------------------------------------------------------


class Reader(threading.Thread):
    """Fetches all the time: every list is whole and signed, and numbers never fall."""

    def __init__(self, s, url=None):
        super().__init__(daemon=True)
        self.s, self.key = s, cert_of(s.issuer).public_key()
        self.stopping, self.seen, self.wrong = False, [], []

    def run(self):
        while not self.stopping:
            try:
                answer = self.s.http('GET', '/crl/%s.crl' % self.s.issuer_id)
                if answer.status != 200:
                    self.wrong.append(answer.status)
                    continue
                found = List(answer.body)
                if '"%s"' % hashlib.sha256(answer.body).hexdigest() != answer.headers['ETag'] \
                        or not found.crl.is_signature_valid(self.key):
                    self.wrong.append('not whole')
                if self.seen and found.number < self.seen[-1]:
                    self.wrong.append((self.seen[-1], found.number))
                self.seen.append(found.number)
            except OSError:
                pass
            except ValueError as why:
                self.wrong.append(str(why))

    def stop(self):
        self.stopping = True
        self.join()


def any_instant(s):
    """The orchestrator is killed again and again, somewhere between a revocation and its list."""
    devices = [s.enrol('instant-%d' % i) for i in range(8)]
    reader = Reader(s)
    reader.start()
    for device in devices:
        s.revoke(device)
        time.sleep(random.random() * 0.4)
        old = s.kill('orchestrator')
        s.wait_again('orchestrator', old)
        s.wait_ready()
    found = lists(s, None, lambda new: all(number_of(each) in new.entries for each in devices), 20)
    reader.stop()
    ok(found, 'C-03 killed at any instant: all that was revoked is listed in the end')
    is_(reader.wrong, [], 'C-03 D-04 meanwhile every list was whole and numbers never fell (%d reads, %d lists)' % (
        len(reader.seen), len(set(reader.seen))))
    is_(s.psql("SELECT count(*) - count(DISTINCT (issuer_no, generation, scope, number)) FROM crl"), '0', 'C-03 no number twice')
    leftovers = [name for name in os.listdir(s.path('edge/crl')) if not name.endswith(('.crl', '.crl.gz'))]
    ok(len(leftovers) <= len(devices), 'D-04 what a killed one left behind has no name that is served', leftovers)


def restored(s):
    """The database is set back: numbers go on, and what was listed is not forgotten."""
    device = s.enrol('restored')
    listed = after_revoking(s, device)
    s.psql("CREATE TABLE kept AS SELECT * FROM revocation WHERE serial = '\\x%s';"
           "DELETE FROM revocation WHERE serial = '\\x%s';"
           "UPDATE crl_number SET number = 5" % (device.serial, device.serial))
    old = s.kill('orchestrator')
    s.wait_again('orchestrator', old)
    s.wait_ready()
    why = wait_for('the refusal', lambda: (cached(s) or {}).get('error'), 20)
    like(why or '', 'lacks 1 entries', 'D-04 a list that lacks an entry without a reason is refused')
    is_(fetch(s).der, listed.der, 'D-05 D-06 and the last good one is served, octet by octet')
    ok('"event":"crl.failed"' in s.log(), 'D-05 the log says so')
    ok(any(each.get('error') for each in cached(s)['events']), 'the API shows the failure among the events')
    s.psql('INSERT INTO revocation SELECT * FROM kept; DROP TABLE kept')
    again = lists(s, None, lambda new: new.number > listed.number, 40)
    ok(again and number_of(device) in again.entries, 'C-03 the next list has it, and a greater number than the one before the loss')


def outage(s):
    """Lists cannot be made: the last one stays, and somebody is told before it ends."""
    hurry(s, crl_validity_s=16, crl_refresh_s=2)
    lists(s, None, lambda new: new.validity_s == 16)
    s.psql('ALTER TABLE crl_number RENAME TO crl_number_away')
    stale = wait_for('the alarm', lambda: (cached(s) or {}).get('is_stale'), 30)
    served = fetch(s)
    ok(stale, 'D-05 the API says that the list is stale')
    ok(served.next > datetime.datetime.now(UTC), 'D-05 before it ends')
    ok('"event":"crl.stale"' in s.log(), 'D-05 and so does the log')
    is_(figure(s, 'chancery_crl_stale'), 1.0, 'D-05 and the figures')
    ok((cached(s)['failed'] or 0) > 0 and cached(s)['error'], 'with the reason')
    etag = s.http('HEAD', '/crl/%s.crl' % s.issuer_id).headers['ETag']
    is_(etag, '"%s"' % hashlib.sha256(served.der).hexdigest(), 'D-05 the last good list is served meanwhile')
    s.psql('ALTER TABLE crl_number_away RENAME TO crl_number')
    fresh = lists(s, None, lambda new: new.number > served.number, 60)
    ok(fresh, 'D-05 and is followed when it can be')
    ok(wait_for('the end of the alarm', lambda: not cached(s)['is_stale'], 10), 'D-05 the alarm is over')
    settings(s)
    lists(s, None, lambda new: new.validity_s > 1000)


def lost(s):
    """D-06: everything but nginx goes away, then nginx begins anew."""
    answer = s.http('GET', '/crl/%s.crl' % s.issuer_id)
    packed = s.http('GET', '/crl/%s.crl' % s.issuer_id, headers={'Accept-Encoding': 'gzip'})
    is_(packed.headers.get('Content-Encoding'), 'gzip', 'lists are compressed')
    names = ('ETag', 'Last-Modified', 'Content-Type')
    s.hold('chanceryd')
    s.hold('postgres')
    for what in ('without orchestrator and database', 'after a reload of nginx'):
        again = s.http('GET', '/crl/%s.crl' % s.issuer_id)
        is_((again.body == answer.body, [again.headers[each] for each in names]),
            (True, [answer.headers[each] for each in names]), 'D-06 the same octets and validators ' + what)
        os.kill(s.pids('nginx')[0], signal.SIGHUP)
        time.sleep(0.5 * SLOW)
    s.free('postgres')
    s.free('chanceryd')
    s.wait_ready(60)


def deleted(s):
    """Somebody deletes the file: another one is made within the minute."""
    served = after_revoking(s, s.enrol('deleted'))
    name = s.psql("SELECT file FROM crl WHERE scope = 'full' AND error IS NULL AND generation = 1 ORDER BY number DESC LIMIT 1")
    os.unlink(s.path('edge/crl', name))
    again = lists(s, None, lambda new: new.number > served.number, 90)
    ok(again and again.state() == served.state(), 'a file that was deleted is made anew')
    ok('"event":"crl.lost"' in s.log(), 'and the log says why')


def two_hosts(s):
    """Two orchestrators on one database: lists of their own, numbers of one sequence."""
    devices = [s.enrol('host-%d' % i) for i in range(6)]
    with Second(s, workers=1) as other:
        view = type('View', (), {'issuer_id': s.issuer_id, 'issuer': s.issuer, 'http_port': other.http_port,
                                 'bundle': s.bundle, 'http': lambda self, *words, **more: Stack.http(self, *words, **more)})()
        ok(wait_for('the list of the second host', lambda: fetch(view), 30), 'the second host has a list')
        readers = [Reader(s), Reader(view)]
        for each in readers:
            each.start()
        for device in devices:
            s.revoke(device)
        for host in (s, view):
            ok(lists(host, None, lambda new: all(number_of(each) in new.entries for each in devices), 20),
               'C-03 both hosts list what was revoked through one of them')
        time.sleep(6)  # whoever hears of the other's lists looks whether it is behind
        settled = [fetch(each).number for each in (s, view)]
        time.sleep(6)
        is_([fetch(each).number for each in (s, view)], settled, 'and then they are at rest: neither follows the other for ever')
        for each in readers:
            each.stop()
            is_(each.wrong, [], 'D-04 every list of the host was whole and its numbers never fell')
        ok(not set(readers[0].seen[1:]) & set(readers[1].seen[1:]), 'C-03 no number was given to both')
        is_(fetch(s).state(), fetch(view).state(), 'they say the same')


def cache(s):
    entry, served = cached(s), fetch(s)
    is_((entry['number'], entry['revoked_count'], entry['size'], entry['is_stale']),
        (served.number, served.count, len(served.der), False), 'GET /api/v1/admin/crl/cache: what is served')
    is_((entry['this_update'], entry['next_update']),
        tuple(each.strftime('%Y-%m-%dT%H:%M:%SZ') for each in (served.this, served.next)),
        'with its times')
    newest = entry['events'][0]
    ok(newest['number'] == served.number and newest['size'] == len(served.der) and newest['duration_ms'] >= 0,
       'and what was made of late', newest)
    ok(entry['generation_duration_ms'] >= 0 and entry['gzip_size'] > 0, 'how long it took, and its compressed size')
    is_((figure(s, 'chancery_crl_entries'), figure(s, 'chancery_crl_stale')), (float(served.count), 0.0), 'the figures agree')


def main():
    with Stack(workers=1) as s:
        frame(s)
        entries(s)
        cache(s)
        expired(s)
        additions(s)
        deltas(s)
        no_crl_sign(s)
        any_instant(s)
        ok('"event":"crl.differs"' not in s.log(), 'changes and table never told differently')
        restored(s)
        outage(s)
        lost(s)
        deleted(s)
        two_hosts(s)
        shards(s)
    done()


main()
