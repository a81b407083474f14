#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""Secrets at rest: what a dump of the database and the logs show, the master key and its rotation beside a running daemon."""

import json
import os
import re
import signal
import sys
import threading

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import BUILD, Stack, done, is_, like, ok, program, unlike, wait_for  # noqa: E402

V1 = '/api/v1'


class Master:
    """A master key as core/seal.h describes it, made and used by other code."""

    def __init__(self, text=None):
        self.text = text or os.urandom(32).hex()
        self.id, self.data = self._derive(b'id', 8), self._derive(b'data', 32)

    def _derive(self, what, size):
        return HKDF(hashes.SHA256(), size, None, b'chancery seal 1 ' + what).derive(bytes.fromhex(self.text))

    def seal(self, place, plain):
        head, nonce = b'\x01' + self.id, os.urandom(12)
        return head + nonce + AESGCM(self.data).encrypt(nonce, plain, head + place.encode())

    def open(self, place, blob):
        return AESGCM(self.data).decrypt(blob[9:21], blob[21:], blob[:9] + place.encode())


def keys_write(s, *keys):
    """The file in one step, and the daemon told."""
    path = s.path('conf/master-key')
    owner = os.stat(path)
    with open(path + '.new', 'w') as file:
        file.write(''.join(each.text + '\n' for each in keys))
    os.chmod(path + '.new', 0o600)
    os.chown(path + '.new', owner.st_uid, owner.st_gid)
    os.rename(path + '.new', path)
    reload(s)


def reload(s, event='config.reloaded'):
    before = s.log().count(event)
    os.kill(s.pids('master')[0], signal.SIGHUP)
    ok(wait_for(event, lambda: s.log().count(event) > before), 'the daemon has read its keys')


def once(s, idem, name):
    headers = {'Authorization': 'Bearer ' + s.env['CHANCERY_API_KEY'], 'Content-Type': 'application/json'}
    headers.update({'Idempotency-Key': idem} if idem else {})
    body = json.dumps({'name': name, 'permissions': ['profile.read']})
    return s.http('POST', V1 + '/auth/keys', body, headers, tls=True)


def rotate(s, check=True):
    return program([os.path.join(BUILD, 'chanceryd'), 'master-key', 'rotate', '-c', s.path('conf/chanceryd.yaml')], check=check)


def dump(s):
    return program(['pg_dump', '-h', s.path('run/pg'), '-U', 'chancery', '-d', 'chancery', '--inserts']).out


def stored(s):
    return bytes.fromhex(s.psql("SELECT encode(secrets, 'hex') FROM issuer WHERE id = '%s'" % s.issuer_id))


def shown_nowhere(s, secrets):
    text = dump(s)
    ok(len(text) > 20000 and 'est_credential' in text, 'a dump of the database')
    logs = ''.join(s.log(name) for name in ('chanceryd', 'nginx', 'access'))
    for name, value in secrets:
        forms = [value, value.encode().hex(), re.sub('(..)', r'\1 ', value.encode().hex())]
        ok(not any(each in text for each in forms), 'has no %s in it' % name)
        ok(not any(each in logs for each in forms), 'nor have the logs')


def main():
    with Stack() as s:
        path = s.path('conf/master-key')
        is_(oct(os.stat(path).st_mode & 0o7777), '0o600', 'tools/run makes a master key')
        with open(path) as file:
            old = Master(file.read().strip())
        place = 'issuer:%s:secrets' % s.issuer_id
        plain = b'{"token": "the-secret-of-a-connector"}'
        s.psql("UPDATE issuer SET secrets = '\\x%s' WHERE id = '%s'" % (old.seal(place, plain).hex(), s.issuer_id))
        made = once(s, 'k-1', 'sealed')
        is_(made.status, 201, 'an answer that shows a secret is kept')
        label = s.api('GET', V1 + '/est/labels').json['data'][0]['id']
        creds = '%s/est/labels/%s/credentials' % (V1, label)
        device = s.api('POST', creds, {'user_name': 'gate'}).json['password']
        s.api('POST', creds, {'user_name': 'door', 'password': 'correct-horse-battery'})
        shown_nowhere(s, [('master key', old.text), ('API key', made.json['key']), ('bootstrap key', s.env['CHANCERY_API_KEY']),
                          ('secret of an issuer', 'the-secret-of-a-connector'), ('generated password', device),
                          ('chosen password', 'correct-horse-battery')])

        # A new key seals, the old one still opens; then everything is sealed anew while calls go on.
        new = Master()
        keys_write(s, new, old)
        is_(once(s, 'k-1', 'sealed').json['key'], made.json['key'], 'with a new key before it the old one still opens')
        during, going = [], True

        def traffic():
            n = 0
            while going:
                n += 1
                during.append((once(s, 'd-%d' % n, 'during %d' % n), once(s, 'd-%d' % n, 'during %d' % n),
                               once(s, 'k-1', 'sealed')))
        thread = threading.Thread(target=traffic)
        thread.start()
        wait_for('traffic', lambda: len(during) > 2)
        first = rotate(s)
        going = False
        thread.join()
        like(first.out, r'(?m)^issuer secrets: 1 sealed anew, 0 failed$', 'a rotation says what it did')
        like(first.out, r'(?m)^kept answers: 1 sealed anew, 0 failed$', 'kind by kind')
        like(first.out, r'^master key %s seals, of 2' % new.id.hex(), 'and with which key')
        unlike(first.out + first.err, new.text + '|' + old.text, 'which it does not show')
        ok(all(a.status == b.status == 201 and a.json['key'] == b.json['key'] and c.json['key'] == made.json['key']
               for a, b, c in during), 'calls go on meanwhile', during[-1:])
        like(rotate(s).out, r'(?m)^issuer secrets: 0 sealed anew, 0 failed\nkept answers: 0 ', 'a second run has nothing to do')
        is_(new.open(place, stored(s)), plain, 'the secret is there, under the new key')
        like(s.psql("SELECT resource_id || details::text FROM audit_event WHERE action = 'master_key.rotate' ORDER BY id LIMIT 1"),
             '^%s.*"sealed": 2' % new.id.hex(), 'the audit knows of it')
        keys_write(s, new)
        is_(once(s, 'k-1', 'sealed').json['key'], made.json['key'], 'the old key is needed no more')
        is_(s.restart() and once(s, 'k-1', 'sealed').json['key'], made.json['key'], 'after a restart neither')

        # What cannot be opened is named, left as it was, and does not hold up the rest.
        before = stored(s)
        s.psql("UPDATE issuer SET secrets = '\\x%s' WHERE id = '%s'" % (old.seal(place, plain).hex(), s.issuer_id))
        before = stored(s)
        failed = rotate(s, check=False)
        is_((failed.status, stored(s)), (1, before), 'a value whose key is gone fails a rotation, and stays')
        like(failed.err, 'master key that opens %s is not here' % place, 'it is named')
        s.psql("UPDATE issuer SET secrets = '\\x%s' WHERE id = '%s'" % (new.seal('issuer:iss-other:secrets', plain).hex(), s.issuer_id))
        keys_write(s, Master(), new)
        like(rotate(s, check=False).err, 'changed, or is of another place', 'so is one that was moved from another row')
        is_(once(s, 'k-1', 'sealed').json['key'], made.json['key'], 'the others are served')

        # systemd gives a credential to root alone; the orchestrator has it from the master.
        folder = os.path.join(s.tmp, 'credentials')
        os.mkdir(folder, 0o700)
        os.rename(path, os.path.join(folder, 'master-key'))
        s.extra_env.update(CREDENTIALS_DIRECTORY=folder, CHANCERY_MASTER_KEY_FILE='')
        is_(s.restart() and once(s, 'k-1', 'sealed').json['key'], made.json['key'], 'the keys may be a credential of systemd')
        with open(os.path.join(folder, 'master-key')) as file:
            credential = file.read()
        s.extra_env.clear()
        s.stop()
        with open(path, 'w') as file:
            file.write(credential)
        os.chown(path, os.stat(s.path('run')).st_uid, -1)
        os.chmod(path, 0o600)
        s.start()

        os.chmod(path, 0o640)
        reload(s, 'master_key.reload_refused')
        like(s.log(), 'must be 0600 or 0400', 'a file that a group may read is refused')
        is_(once(s, 'k-1', 'sealed').json['key'], made.json['key'], 'and the keys from before stay')
        os.chmod(path, 0o400)
        keys_write(s)
        answer = once(s, 'k-2', 'no key')
        is_((answer.status, answer.json['error']['code']), (400, 'unsupported'), 'without a master key nothing secret is kept')
        like(answer.json['error']['message'], 'no master key', 'and the answer says why')
        is_(once(s, None, 'no key').status, 201, 'the rest works')
        is_(s.psql("SELECT count(*) FROM idempotency WHERE key = 'k-2'"), '0', 'of a refused call nothing is left')
        is_(rotate(s, check=False).status, 1, 'a rotation needs one, too')
    done()


main()
