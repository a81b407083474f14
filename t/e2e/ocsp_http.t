#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""OCSP over HTTP (RFC 6960 A.1, RFC 9919 5 and 6.2): H-01 to H-15, and the cache that the workers share."""

import base64
import datetime
import email.utils
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from bench import tool                                              # noqa: E402
from chancery import SLOW, done, is_, like, note_skip, ok, subtest, unlike  # noqa: E402
from edge import Edge, unlimited                                    # noqa: E402
from figures import Figures, fetch                                  # noqa: E402

from cryptography.x509 import ocsp                                  # noqa: E402

TYPE = 'application/ocsp-response'
MALFORMED, UNAUTHORIZED = bytes.fromhex('30030a0101'), bytes.fromhex('30030a0106')
TRY_LATER = bytes.fromhex('30030a0103')
BASES = ('/ocsp/iss-test', '/.well-known/pki/ocsp/iss-test')
DATE = r'^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) 20\d\d \d\d:\d\d:\d\d GMT$'
VALIDITY = 3600
SLASHES = '7fffffffffffffff'  # its request's base64 has slashes next to each other


def serial(i):
    return b'\x40' + hashlib.sha256(b'%d' % i).digest()[1:16]


class Asker:
    """Requests for serials, from one that the openssl command made."""

    def __init__(self, edge):
        self.template = edge.ocsp_request('41' * 16)

    def der(self, i):
        return self.template.replace(b'\x41' * 16, serial(i))

    def path(self, i):
        return BASES[0] + '/' + urllib.parse.quote(base64.b64encode(self.der(i)).decode(), safe='')


def raw(edge, head, body=b''):
    """Octets sent as they are, on a connection that the server is asked to close: (status, fields, body)."""
    with socket.create_connection(('127.0.0.1', edge.http_port), 30) as s:
        s.sendall(head.encode('latin-1') + body)
        answer = http.client.HTTPResponse(s)
        answer.begin()
        return answer.status, answer.headers, answer.read()


def get_raw(edge, target, version='1.1'):
    return raw(edge, 'GET %s HTTP/%s\r\nHost: x\r\nConnection: close\r\n\r\n' % (target, version))


def ask(edge, method, path, **headers):
    return edge.http(method, path, headers={name.replace('_', '-'): value for name, value in headers.items()})


def seconds(text):
    return int(email.utils.parsedate_to_datetime(text).timestamp())


def read(answer):
    return ocsp.load_der_ocsp_response(answer)


def stamp(moment):
    return int(moment.replace(tzinfo=datetime.timezone.utc).timestamp())


def max_age(headers):
    return int(re.match(r'max-age=(\d+),', headers['Cache-Control']).group(1))


def posts_and_gets(edge):
    der = edge.ocsp_request('1001')
    text = base64.b64encode(der).decode()
    with subtest('H-01 GET and POST give the same octets'):
        for base in BASES:
            posted = edge.http('POST', base, der, {'Content-Type': 'application/ocsp-request'})
            got = edge.http('GET', base + '/' + urllib.parse.quote(text, safe=''))
            is_((posted[0], got[0]), (200, 200), base)
            ok(len(posted[2]) > 300 and posted[2] == got[2], 'the same answer, ' + base)
            is_([posted[1][name] for name in ('ETag', 'Expires', 'Last-Modified')],
                [got[1][name] for name in ('ETag', 'Expires', 'Last-Modified')], 'the same validators, ' + base)
        is_({edge.ocsp_post(der)[2] for _ in range(20)}, {posted[2]}, 'from every worker')
    wanted = posted[2]
    slashes = base64.b64encode(edge.ocsp_request(SLASHES)).decode()
    answer = edge.ocsp_post(edge.ocsp_request(SLASHES))[2]
    ok('//' in slashes, 'there is base64 with slashes next to each other')

    with subtest('H-02 what clients and proxies make of the base64 is undone'):
        spellings = {
            'raw': slashes, 'escapes in capitals': urllib.parse.quote(slashes, safe=''),
            'escapes in small letters': re.sub(r'%..', lambda m: m.group(0).lower(), urllib.parse.quote(slashes, safe='')),
            'no padding': slashes.rstrip('='), 'some padding': slashes[:-1] if slashes.endswith('==') else slashes,
            'all characters escaped': ''.join('%%%02x' % ord(each) for each in slashes),
            'a space for a plus': slashes.replace('+', '%20'),
            'base64url': slashes.replace('+', '-').replace('/', '_'),
        }
        for name, spelling in spellings.items():
            is_(get_raw(edge, BASES[0] + '/' + spelling)[::2], (200, answer), name)
        plus = next(each for each in range(1000) if b'+' in base64.b64encode(Asker(edge).der(each)))
        text_plus = base64.b64encode(Asker(edge).der(plus)).decode()
        answers = {get_raw(edge, BASES[0] + '/' + text_plus.replace('+', each))[2] for each in ('+', '%2B', '%2b', '%20')}
        is_(len(answers), 1, 'a plus in four spellings: one answer')

    with subtest('H-03 more slashes before the base64 are nothing'):
        for slash in ('//', '///', '/%2F', '/%2f/'):
            is_(get_raw(edge, BASES[0] + slash + text)[::2], (200, wanted), slash)

    with subtest('H-04 the raw target is decoded; NUL and control characters are 400'):
        is_(get_raw(edge, BASES[0] + '/' + slashes)[::2], (200, answer), 'slashes next to each other, merge_slashes off')
        for bad in ('%00', text + '%00', text[:20] + '%0a' + text[20:], '%1F' + text, text + '%7f', '%0D%0A'):
            status, headers, body = get_raw(edge, BASES[0] + '/' + bad)
            is_((status, headers['Cache-Control']), (400, 'no-store' if '%00' not in bad else headers['Cache-Control']), bad[-30:])
        for bad in ('\x01', '\x7f', '\t'):
            is_(get_raw(edge, BASES[0] + '/' + text[:10] + bad + text[10:])[0], 400, 'raw %02x' % ord(bad))

    with subtest('H-05 a GET of more than 255 octets is answered, one over the configured size is 414'):
        long = urllib.parse.quote(base64.b64encode(edge.ocsp_request(*['1001'] * 6)).decode(), safe='')
        ok(255 < len(long) < 1000, '%d octets' % len(long))
        status, headers, body = get_raw(edge, BASES[0] + '/' + long)
        ok(status == 200 and len(body) > 600, 'is answered')
        status, headers, body = get_raw(edge, '/small/iss-test/' + long)
        is_((status, headers['Content-Type'], headers['Cache-Control']), (414, 'text/plain', 'no-store'), '414 where 256 are allowed')
        is_(get_raw(edge, '/small/iss-test/' + text)[0], 200, 'but a request of usual size')
        is_(get_raw(edge, BASES[0] + '/' + 'M' * 9000)[0], 414, '414 over 8192 octets')

    with subtest('H-06 a query is ignored; what is not base64 never is an error of the server'):
        is_(get_raw(edge, BASES[0] + '/' + text + '?x=%00&y')[::2], (200, wanted), 'a query')
        is_(get_raw(edge, BASES[0] + '/' + text + '?')[::2], (200, wanted), 'an empty one')
        for bad in ('%', '%4', '%zz', text + '%', text[:9] + '%g0' + text[9:], '!', '%ff%fe', text + '=', '*' * 100, ''):
            status, headers, body = get_raw(edge, BASES[0] + '/' + bad)
            ok(status == 400 or (status, body) == (200, MALFORMED), 'garbage: %r' % bad[-20:], '%d %s' % (status, body[:60]))


def statuses(edge):
    der = edge.ocsp_request('1001')
    with subtest('H-07 every OCSP body has status 200, its exact type and its length'):
        for name, body in (('good', der), ('unauthorized', edge.ocsp_request('5555')), ('malformed', b'x')):
            for method in ('POST', 'GET'):
                path = BASES[0] + ('/' + urllib.parse.quote(base64.b64encode(body).decode(), safe='') if method == 'GET' else '')
                status, headers, answer = edge.http(method, path, body if method == 'POST' else None)
                is_((status, headers.get_all('Content-Type'), headers['Content-Length'], headers['Transfer-Encoding']),
                    (200, [TYPE], str(len(answer)), None), '%s by %s' % (name, method))

    with subtest('H-08 POST: any media type or none, chunks, a limit, HTTP/1.0'):
        wanted = edge.ocsp_post(der)[2]
        for kind in (None, 'application/ocsp-request', 'application/ocsp-request; charset=x', 'text/html', 'nonsense'):
            head = 'POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %d\r\n\r\n' % (
                BASES[0], 'Content-Type: %s\r\n' % kind if kind else '', len(der))
            is_(raw(edge, head, der)[::2], (200, wanted), 'Content-Type %s' % kind)
        is_(edge.http('POST', BASES[0], der, chunked=True)[::2], (200, wanted), 'chunked')
        chunks = b''.join(b'1\r\n%c\r\n' % each for each in der) + b'0\r\n\r\n'
        is_(raw(edge, 'POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n' % BASES[0], chunks)[::2],
            (200, wanted), 'in chunks of one octet')
        for chunked in (False, True):
            status, headers, body = edge.http('POST', BASES[0], bytes(10241), chunked=chunked)
            is_((status, headers['Cache-Control']), (413, 'no-store'), '10241 octets%s: 413' % (', chunked' if chunked else ''))
        head = 'POST %s HTTP/1.0\r\n%sContent-Length: %d\r\n\r\n'
        is_(raw(edge, head % (BASES[0], '', len(der)), der)[::2], (200, wanted), 'HTTP/1.0 without Host')
        is_(raw(edge, head % (BASES[0], 'Connection: close\r\n', len(der)), der)[::2], (200, wanted), 'HTTP/1.0, Connection: close')
        text = urllib.parse.quote(base64.b64encode(der).decode(), safe='')
        status, headers, body = raw(edge, 'GET %s/%s HTTP/1.0\r\n\r\n' % (BASES[0], text))
        is_((status, headers['Connection'], body), (200, 'close', wanted), 'GET by HTTP/1.0')


def validators(edge, name, headers, answer, now):
    """H-09 and H-10 of one answer."""
    is_(seconds(headers['Last-Modified']), stamp(answer.this_update), name + ': Last-Modified is thisUpdate')
    is_(seconds(headers['Expires']), stamp(answer.next_update), name + ': Expires is nextUpdate')
    like(headers['Cache-Control'], r'^max-age=\d+,public,no-transform,must-revalidate$', name + ': Cache-Control')
    ok(0 < max_age(headers) and seconds(headers['Date']) + max_age(headers) < stamp(answer.next_update),
       name + ': max-age ends before nextUpdate', str(headers))
    ok(abs(seconds(headers['Date']) - now) <= 2, name + ': Date')
    for field in ('Date', 'Last-Modified', 'Expires'):
        like(headers[field], DATE, '%s: %s is an IMF-fixdate' % (name, field))


def caching(edge):
    asker = Asker(edge)
    with subtest('H-09 an answer that can be kept says so, and until when'):
        for method in ('GET', 'POST', 'HEAD'):
            for i in (1, 2):
                status, headers, body = edge.http(method, asker.path(i) if method != 'POST' else BASES[0],
                                                  asker.der(i) if method == 'POST' else None)
                whole = edge.ocsp_post(asker.der(i))[2]
                is_(headers['ETag'], '"%s"' % hashlib.sha256(whole).hexdigest(), '%s %d: ETag is the SHA-256' % (method, i))
                validators(edge, '%s %d' % (method, i), headers, read(whole), time.time())
        several = edge.ocsp_request('1001', '1002')
        status, headers, body = edge.ocsp_post(several)
        is_(headers['ETag'], '"%s"' % hashlib.sha256(body).hexdigest(), 'two CertIDs: ETag')
        ok(max_age(headers) > 0, 'two CertIDs: max-age')
        ages = [max_age(edge.http('GET', asker.path(i))[1]) for i in range(64)]
        ok(len(set(ages)) > 16 and max(ages) <= VALIDITY and min(ages) >= VALIDITY * 7 // 8 - 10,
           'max-age is the default hour, differently for each certificate', str(sorted(ages)))
        status, headers, body = edge.http('GET', asker.path(3).replace(BASES[0], '/brief/iss-test'))
        ok(52 <= max_age(headers) <= 60, 'pki_ocsp_max_age 60s', headers['Cache-Control'])

    with subtest('H-10 dates are IMF-fixdates in GMT, also of a revoked certificate and on another day'):
        edge.fill('synced=2000')
        for name in ('1002', '1003'):
            status, headers, body = edge.ocsp_post(edge.ocsp_request(name))
            validators(edge, name, headers, read(body), time.time())
        edge.fill()


def conditions(edge):
    asker = Asker(edge)
    path = asker.path(5)
    status, headers, body = edge.http('GET', path)
    etag, modified = headers['ETag'], headers['Last-Modified']
    later = email.utils.formatdate(seconds(modified) + 60, usegmt=True)
    earlier = email.utils.formatdate(seconds(modified) - 60, usegmt=True)
    with subtest('H-11 conditional requests'):
        for name, wanted, fields in (
                ('the tag', 304, {'If-None-Match': etag}), ('weakly', 304, {'If-None-Match': 'W/' + etag}),
                ('in a list', 304, {'If-None-Match': '"a", W/"b,c" ,%s, "d"' % etag}), ('*', 304, {'If-None-Match': '*'}),
                ('another tag', 200, {'If-None-Match': '"%s"' % ('0' * 64)}), ('not quoted', 200, {'If-None-Match': etag.strip('"')}),
                ('a part of it', 200, {'If-None-Match': etag[:20] + '"'}), ('no end', 200, {'If-None-Match': etag[:-1]}),
                ('empty', 200, {'If-None-Match': ''}),
                ('the date', 304, {'If-Modified-Since': modified}), ('a later date', 304, {'If-Modified-Since': later}),
                ('an earlier date', 200, {'If-Modified-Since': earlier}), ('no date', 200, {'If-Modified-Since': 'yesterday'}),
                ('the date, but another tag', 200, {'If-None-Match': '"x"', 'If-Modified-Since': modified}),
                ('the tag, but an earlier date', 304, {'If-None-Match': etag, 'If-Modified-Since': earlier})):
            for method in ('GET', 'HEAD'):
                status, again, text = edge.http(method, path, headers=fields)
                is_((status, text), (wanted, body if (wanted, method) == (200, 'GET') else b''), '%s, %s' % (method, name))
                is_([again[each] for each in ('ETag', 'Last-Modified', 'Expires')],
                    [headers[each] for each in ('ETag', 'Last-Modified', 'Expires')], 'the same validators')
                ok(max_age(again) > 0 and again['Date'], 'and a lifetime')
        is_(edge.http('POST', BASES[0], asker.der(5), {'If-None-Match': etag, 'If-Modified-Since': modified})[::2], (200, body),
            'a POST has no conditions')
        is_(edge.http('GET', BASES[0] + '/xx', headers={'If-None-Match': '*', 'If-Modified-Since': later})[::2], (200, MALFORMED),
            'nor has an error')
        for method in ('GET', 'HEAD'):  # more often than there are workers: each has seen the tag by then
            answers = [edge.http(method, path, headers={'If-None-Match': etag}) for _ in range(20)]
            is_({(status, again['ETag'], text) for status, again, text in answers}, {(304, etag, b'')}, method + ', again and again')
        is_({edge.http('GET', path + each, headers={'If-None-Match': '"%s"' % ('0' * 64)})[0] for each in ('', '?') for _ in range(9)},
            {200}, 'which is about that tag alone')
        edge.fill('status=%s,revoked,1' % serial(5).hex())
        status, again, text = edge.http('GET', path, headers={'If-None-Match': etag})
        is_((status, read(text).certificate_status.name), (200, 'REVOKED'), 'revoked: the old tag is no longer good')
        status, again, text = edge.http('GET', path, headers={'If-Modified-Since': again['Last-Modified']})
        is_((status, read(text).certificate_status.name), (200, 'REVOKED'), 'nor is a date, which may be that of both answers')
        for _ in range(9):
            is_([edge.http('GET', path, headers={'If-None-Match': each})[0] for each in (etag, again['ETag'])], [200, 304],
                'the new tag is, in every worker')

    with subtest('H-12 authoritative answers may be stored, all others may not'):
        for name, der in (('good', edge.ocsp_request('1001')), ('revoked', edge.ocsp_request('1002')), ('hold', edge.ocsp_request('1003'))):
            unlike(edge.ocsp_post(der)[1]['Cache-Control'].replace('no-transform', ''), r'no-', name)
        nonced = edge.ocsp_request('1001', words=('-nonce',))
        for name, answer in (
                ('a nonce', edge.ocsp_post(nonced)),
                ('a nonce by GET', edge.http('GET', BASES[0] + '/' + urllib.parse.quote(base64.b64encode(nonced).decode(), safe=''))),
                ('unauthorized', edge.ocsp_post(edge.ocsp_request('5555'))), ('malformed', edge.ocsp_post(b'x')),
                ('no such issuer', edge.ocsp_post(nonced, 'nobody'))):
            is_((answer[1].get_all('Cache-Control'), answer[1]['ETag'], answer[1]['Expires']), (['no-store'], None, None), name)
        edge.fill('synced=%d' % VALIDITY)
        status, headers, body = edge.ocsp_post(edge.ocsp_request('1001'))
        is_((body, headers.get_all('Cache-Control')), (TRY_LATER, ['no-store']), 'tryLater')
        ok(int(headers['Retry-After']) > 0, 'with Retry-After')
        edge.fill()


def renewals(edge):
    """Answers that say they are 20 s old, of 64 s: due between 25 and 28 s, a little later each."""
    asker, some, seen, failures, ends = Asker(edge), range(100, 148), {}, [], time.time() + 30
    with subtest('H-13 answers are made anew before they run out, not all at once, and each by one worker'):
        before = time.time()
        edge.fill('validity=64', 'chain=' + edge.pki.path('chain.pem'), 'synced=20')
        after = time.time()
        first = {i: edge.ocsp_post(asker.der(i))[1]['ETag'] for i in some}
        edge.fill()

        def anew():
            return [i for i in some if len(seen.get(i, ())) == 2]

        def client():
            while time.time() < (ends if len(anew()) < len(some) else after + 11):
                for i in some:
                    try:
                        asked = time.time()
                        status, headers, body = edge.http('GET', asker.path(i))
                        at = time.time()
                        if at + max_age(headers) >= stamp(read(body).next_update) + 1:
                            failures.append('max-age is beyond nextUpdate')
                        if headers['ETag'] == first[i] and asked - after + 20 >= 31:
                            failures.append('not anew before half of its life')
                        seen.setdefault(i, {}).setdefault(headers['ETag'], at)
                    except (OSError, TypeError, AttributeError) as problem:
                        failures.append(repr(problem))

        threads = [threading.Thread(target=client) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        is_(failures, [], 'no failures; before half of its life')
        is_(anew(), list(some), 'each was made anew once, whoever asked')
        ages = [max(seen[i].values()) - before + 20 for i in anew()]
        ok(ages and min(ages) >= 24, 'and not much earlier', '%s' % sorted(ages))
        ok(ages and max(ages) - min(ages) > 1, 'not all at once', '%s' % sorted(ages))
        is_([i for i in some if first[i] not in seen[i]], [], 'until then the same octets')


def methods(edge):
    asker = Asker(edge)
    with subtest('H-14 HEAD is GET without a body; other methods are 405'):
        status, headers, body = edge.http('GET', asker.path(7))
        again = edge.http('HEAD', asker.path(7))
        same = ('Content-Type', 'Content-Length', 'ETag', 'Last-Modified', 'Expires')
        is_((again[0], again[2], [again[1][each] for each in same]), (200, b'', [headers[each] for each in same]), 'HEAD')
        for method in ('PUT', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND'):
            status, headers, body = edge.http(method, asker.path(7))
            is_((status, headers['Allow'], headers['Cache-Control']), (405, 'GET, POST, HEAD', 'no-store'), method)

    with subtest('H-15 nothing is coded, varied, redirected or remembered; plain HTTP works'):
        status, headers, body = edge.http('GET', asker.path(7), headers={'Accept-Encoding': 'gzip, br', 'Cookie': 'a=b'})
        is_((status, [headers[each] for each in ('Content-Encoding', 'Vary', 'Set-Cookie', 'Location', 'Accept-Ranges')]),
            (200, [None] * 5), 'no such fields')
        is_(edge.http('GET', asker.path(7), headers={'Range': 'bytes=0-9'})[::2], (200, body), 'no ranges')
        like(edge.ocsp(serial(7).hex()), r'Response verify OK', 'over plain HTTP')
        is_(edge.http('GET', BASES[0])[0], 200, 'the path without a slash is not redirected')


def by_serial(edge):
    with subtest('a certificate asked for by its serial'):
        base = BASES[1] + '/'
        for digits in ('1001', '001001', '00001001'):
            answer = read(edge.http('GET', base + digits)[2])
            is_((answer.certificate_status.name, answer.serial_number), ('GOOD', 0x1001), digits)
        answer = read(edge.http('GET', base + '1002')[2])
        is_(answer.certificate_status.name, 'REVOKED', 'revoked')
        is_(answer.issuer_key_hash, read(edge.ocsp_post(edge.ocsp_request('1002'))[2]).issuer_key_hash, 'of this issuer')
        high = read(edge.http('GET', base + 'FEDC')[2])
        is_((high.certificate_status.name, high.serial_number), ('GOOD', 0xfedc), 'with its highest bit set, in capitals')
        is_(edge.http('GET', base + '1001')[2], edge.ocsp_post(edge.ocsp_request('1001'))[2], 'the same octets as for a request')
        is_(edge.http('GET', base + '5555')[2], UNAUTHORIZED, 'not issued')
        is_(edge.http('GET', base + '101')[2], MALFORMED, 'an odd number of digits')
        is_(edge.http('GET', base + 'aa' * 22)[2], MALFORMED, 'more than a serial has')


# ---- the cache -------------------------------------------------------------------------------------------------


def figure(edge, name):
    return Figures(fetch(edge.path('run/nginx-metrics.sock'))[2])(name)


def load(edge, *words, wait=True):
    argv = [tool('ocsp_load'), 'url=http://127.0.0.1:%d%s' % (edge.http_port, BASES[0]), 'issuer=' + edge.pki.path('ca.pem'),
            'connections=16', *words]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    return json.loads(process.communicate(timeout=120 * SLOW)[0]) if wait else process


class Buckets:
    """The cache of a worker, which is that of all: its buckets that have something in them, changed from outside."""

    HEAD = struct.Struct('<QIHH')  # writer, version, octets, entries
    SIZE = 4096

    def __init__(self, pid, size):
        self.pid, self.places = pid, []
        with open('/proc/%d/maps' % pid) as file:
            for line in file:
                first, last = (int(each, 16) for each in line.split()[0].split('-'))
                if last - first == size and '/dev/zero' in line:
                    self.places += self.found(first, last)

    def memory(self):
        return open('/proc/%d/mem' % self.pid, 'r+b', buffering=0)

    def found(self, first, last):
        with self.memory() as memory:
            memory.seek(first)
            octets = memory.read(last - first)
        for at in range(0, last - first, self.SIZE):
            writer, version, used, count = self.HEAD.unpack_from(octets, at)
            if writer == 0 and version > 0 and version % 2 == 0 and 0 < count <= 11 and 100 * count < used <= 4032:
                yield first + at

    def write(self, writer, is_odd, room=None):
        with self.memory() as memory:
            for place in self.places:
                memory.seek(place)
                _, version, used, count = self.HEAD.unpack(memory.read(self.HEAD.size))
                memory.seek(place)
                memory.write(self.HEAD.pack(writer, version | 1 if is_odd else version + version % 2, used, count))
                if room:
                    memory.seek(place + 64)
                    memory.write(room)


def dead_and_alive(edge, asker):
    """A worker that died, or still is, between taking a bucket and giving it back."""
    def asked():
        """In a full bucket what came last makes way for what comes next, unless it has been asked for again."""
        return [[edge.http('GET', asker.path(i))[2] for _ in range(2)][-1] for i in range(20)]

    def names(*rounds):
        return {read(each).certificate_status.name for some in rounds for each in some}

    def kept_good():
        """How many rounds it takes depends on what else is in the buckets; in the end two get the same octets."""
        before = asked()
        for _ in range(10):
            now = asked()
            if now == before:
                return names(now) == {'GOOD'}
            before = now
        return False

    with subtest('what a worker had taken when it died is emptied and used again'):
        ok(kept_good(), 'answers are kept')
        buckets = Buckets(edge.worker_pids()[0], 128 << 10)
        ok(len(buckets.places) >= 20, '%d buckets with something in them' % len(buckets.places))
        gone = subprocess.Popen(['true'])
        gone.wait()
        buckets.write(gone.pid, is_odd=True, room=os.urandom(3000))
        ok(kept_good(), 'answers are signed anew, and kept')
        like(edge.ocsp(serial(3).hex()), 'Response verify OK', 'and verify')
        buckets = Buckets(edge.worker_pids()[0], 128 << 10)
        buckets.write(os.getpid(), is_odd=True)
        first, second = asked(), asked()
        ok(not set(first) & set(second) and names(first, second) == {'GOOD'},
           'while one that lives has them, all is answered and nothing kept',
           '%d buckets, %s' % (len(buckets.places), names(first, second)))
        buckets.write(0, is_odd=False)
        ok(kept_good(), 'when it has given them back, answers are kept')


def crowded():
    """A hundred answers' room for a thousand certificates, and four workers."""
    edge = Edge(workers=4, text=lambda text: unlimited(text).replace('zone=ocsp:64m', 'zone=ocsp:128k'))
    edge.fill_all('count=1000')
    edge.start()
    asker = Asker(edge)
    with subtest('a small cache: all is answered, old answers go, what is asked for stays'):
        found = load(edge, 'count=1000', 'order=all', 'seconds=0', 'check=10', 'want=good', 'method=post')
        is_((found['answers'], found['failed']), (1000, 0), 'each certificate is answered')
        ok(found['checked'] >= 90, 'and answers verify')
        entries, evicted = figure(edge, 'chancery_edge_cache_entries'), figure(edge, 'chancery_edge_cache_evictions_total')
        ok(100 < entries < 400 and entries + evicted <= 1000 and evicted > 500, 'some are kept, others were', '%s %s' % (entries, evicted))
        ok(figure(edge, 'chancery_edge_cache_used_bytes') <= figure(edge, 'chancery_edge_cache_size_bytes'), 'within the room')
        etag = edge.http('GET', asker.path(0))[1]['ETag']
        same = set()
        for i in range(1, 400):
            edge.http('GET', asker.path(i))
            if i % 4 == 0:
                same.add(edge.http('GET', asker.path(0))[1]['ETag'])
        is_(same, {etag}, 'one that is asked for again and again is not driven out')

    with subtest('workers that are killed at any time leave a cache that works'):
        running = load(edge, 'count=1000', 'seconds=6', 'check=5', 'want=good', wait=False)
        end, killed = time.time() + 5, 0
        while time.time() < end:
            for pid in edge.worker_pids()[:2]:
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
                except ProcessLookupError:
                    pass
            time.sleep(0.1)
        found = json.loads(running.communicate(timeout=60)[0])
        ok(killed > 20 and found['answers'] > 1000, '%d killed, %d answers' % (killed, found['answers']))
        is_({each: count for each, count in found['failures'].items() if each in ('check', 'ocsp', 'http') and count}, {},
            'none that was wrong')
        found = load(edge, 'count=1000', 'seconds=1', 'check=5', 'want=good')
        is_(found['failed'], 0, 'and all are answered after it')
        before = figure(edge, 'chancery_edge_cache_conflicts_total')
        for i in range(300):
            edge.http('GET', asker.path(i))
        ok(figure(edge, 'chancery_edge_cache_conflicts_total') - before < 10, 'no place is left taken by the dead')
        is_(edge.http('GET', asker.path(299))[2], edge.http('GET', asker.path(299))[2], 'answers are kept')

    if os.geteuid() == 0:
        dead_and_alive(edge, asker)
    else:
        note_skip('only root may write to the memory of a worker')
    with subtest('a change is seen by every worker at once, cached or not'):
        running = load(edge, 'count=1000', 'seconds=4', 'check=1000', wait=False)
        wrong = []
        for turn in range(30):
            for status, wanted in (('revoked,4', 'REVOKED'), ('hold', 'REVOKED'), ('good', 'GOOD')):
                edge.fill('status=%s,%s' % (serial(turn % 3).hex(), status))
                names = {read(edge.http('GET', asker.path(turn % 3))[2]).certificate_status.name for _ in range(6)}
                if names != {wanted}:
                    wrong.append((turn, status, names))
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=60)
        is_(wrong, [], '90 changes under load')
    with subtest('the cache outlives a reload'):
        etag = edge.http('GET', asker.path(1))[1]['ETag']
        old = set(edge.worker_pids())
        edge.process.send_signal(signal.SIGHUP)
        end = time.time() + 10 * SLOW
        while time.time() < end and set(edge.worker_pids()) & old:
            time.sleep(0.1)
        is_(edge.http('GET', asker.path(1))[1]['ETag'], etag, 'the same octets')
    edge.stop()
    unlike(edge.log(), r'\[(alert|emerg|crit)\](?!.*exited on signal 9)|AddressSanitizer|runtime error', 'nothing alarming in the log')
    edge.remove()


def configure(text):
    more = '''
        location /small/ { pki_ocsp; pki_ocsp_max_target 256; }
        location /brief/ { pki_ocsp; pki_ocsp_max_age 60s; }
        '''
    return unlimited(text).replace('# ---- devices', more + '# ---- devices')


edge = Edge(workers=2, text=configure)
edge.fill_all('status=1001,good', 'status=1002,revoked,1', 'status=1003,hold', 'status=%s,good' % SLASHES, 'status=00fedc,good', 'count=200')
edge.start()
for check in (posts_and_gets, statuses, caching, conditions, methods, by_serial, renewals):
    check(edge)
edge.stop()
with open(edge.path('log/access.log')) as file:
    lines = file.read()
like(lines, r'"method":"GET","path":"/\.well-known/pki/ocsp/iss-test","status":200', 'the access log has location and issuer')
unlike(lines, r'"path":"/(\.well-known/pki/)?ocsp/[^"/]*/', 'and not what was asked')
unlike(edge.log(), r'\[(alert|emerg|crit)\]|AddressSanitizer|runtime error', 'nothing alarming in the log')
edge.remove()
crowded()
done()
