#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
The operator's command against a running service: every command's help, every reading command for real, the commands of
the design documents, wrong words, exit statuses, secrets, completion.  What there is comes from the OpenAPI document.
"""

import json
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import (BUILD, ROOT, Stack, diag, done, free_port, is_, like, note_skip, ok, openssl, program,  # noqa: E402
                      unlike, wait_for)

COMMAND = os.path.join(BUILD, 'chancery')
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith('CHANCERY_')}

with open(os.path.join(ROOT, 'docs/openapi.json')) as file:
    DOCUMENT = json.load(file)
OPERATIONS = [(method.upper(), path, operation) for path, item in DOCUMENT['paths'].items()
              for method, operation in item.items() if method in ('get', 'post', 'put', 'patch', 'delete')]


def schema(one):
    while '$ref' in one:
        one = DOCUMENT['components']['schemas'][one['$ref'].rpartition('/')[2]]
    return one


def run(*words, env=None, input=None):
    return program([COMMAND, *words], check=False, env={**CLEAN, **(env or {})}, input=input)


def flags_of(operation):
    """(names that have to be in the help, arguments)"""
    parameters = operation.get('parameters', [])
    names = ['--' + one['name'].replace('_', '-').lower() for one in parameters if one['in'] in ('query', 'header')]
    body = operation.get('requestBody', {}).get('content', {}).get('application/json', {}).get('schema', {})
    names += ['--' + name.replace('_', '-').lower() for name in schema(body).get('properties', {})]
    return names, [one['name'].replace('_', '-').upper() for one in parameters if one['in'] == 'path']


# ---- help needs nobody

top = run('--help')
is_(top.status, 0, '--help')
is_(run().status, 2, 'no words at all are wrong usage')
like(top.out, r'(?s)Exit status:.*0 .*1 .*2 .*3 .*4 .*5 ', 'exit statuses are in the help')
by_route, names = {}, []
groups = re.findall(r'^  ([a-z][a-z0-9 -]*?)  +\S', top.out[top.out.index('Resources'):top.out.index('Flags of')], re.M)
for group in groups:
    shown = run(*group.split(), '--help')
    is_(shown.status, 0, group + ' --help')
    if shown.out.startswith('usage: chancery %s VERB' % group):
        names += re.findall(r'^  (%s(?: [a-z0-9-]+)+)(?:  |$)' % group, shown.out, re.M)
    else:
        names.append(group)
for name in sorted(set(names)):
    shown = run(*name.split(), '--help')
    route = re.search(r'^(GET|POST|PUT|PATCH|DELETE) (/\S+?);', shown.out, re.M)
    if shown.status != 0 or not route:
        ok(False, name + ' --help', shown)
        continue
    by_route[route.groups()] = (name, shown.out)
for method, path, operation in OPERATIONS:
    if (method, path) not in by_route:
        ok(path == '/api/v1/version', '%s %s is a command' % (method, path))
        continue
    name, text = by_route[(method, path)]
    flags, arguments = flags_of(operation)
    wanted = [each for each in flags if not re.search(r'^  %s\b' % re.escape(each), text, re.M)]
    wanted += [each for each in arguments if not re.search(r'^usage:.* %s\b' % each, text)]
    is_(wanted, [], '%s: help names every parameter, and %s' % (name, operation['summary'][:40]))
for own in ('status', 'import', 'selftest', 'version', 'completion'):
    is_(run(own, '--help').status, 0, own + ' --help')

# ---- wrong words: nothing is sent, everything wrong is told

for words, text in (
        (['bogus'], 'no command'), (['certs'], 'what about certs'), (['certs', 'bogus'], 'no command'),
        (['certs', 'get'], 'ID is missing'), (['certs', 'get', 'a', 'b'], 'too many'), (['certs', 'get', ''], 'empty'),
        (['certs', 'list', '--limit', 'x', '--status', 'Nope', '--zzz'], r'(?s)--limit.*--status.*--zzz'),
        (['certs', 'list', '--limit'], 'needs a value'), (['certs', 'revoke', 'x', '--reason', 'boredom'], 'keyCompromise'),
        (['issuers', 'create', '--config', 'a'], r'(?s)--config.*--name is needed'),
        (['profiles', 'create', '--body', '/nowhere'], '--body'), (['--format', 'xml', 'status'], '--format'),
        (['--bogus', 'status'], 'no such flag'), (['status', 'now'], 'too many'), (['status', '--server', 'ftp://x'], '--server'),
        (['status', '--server', 'https://key@x'], '--server'), (['status', '--timeout', '0'], '--timeout'),
        (['--api-key', 'k', '--server', 'http://192.0.2.1', 'status'], 'plain http'), (['completion', 'fish'], 'bash or zsh')):
    shown = run(*words, env={'CHANCERY_URL': 'https://localhost:1'})
    ok(shown.status == 2 and re.search(text, shown.err) and not shown.out, 'wrong: ' + ' '.join(words), shown)
nobody = run('status', '--server', 'https://localhost:%d' % free_port())
is_(nobody.status, 3, 'nobody there: 3')
like(nobody.err, r'^chancery: https://localhost:\d+: ', 'and the place is named')

# ---- completion

for shell in ('bash', 'zsh'):
    script = run('completion', shell)
    is_(script.status, 0, 'completion for ' + shell)
    if not shutil.which(shell):
        note_skip(shell + ' is not installed')
        continue
    is_(program([shell, '-n'], input=script.raw, check=False).status, 0, shell + ' can read it')
complete = '. <(%s completion bash); complete_() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _chancery; echo "${COMPREPLY[*]}"; }; ' % COMMAND
for line, wanted in (('chancery ce', 'certs'), ('chancery certs rev', 'revoke'), ('chancery certs revoke --rea', '--reason'),
                     ('chancery certs revoke x --reason keyC', 'keyCompromise'), ('chancery --format js', 'json'),
                     ('chancery certs list --status Rev', 'Revoked'), ('chancery selftest --est-u', '--est-user'),
                     ('chancery completion z', 'zsh'), ('chancery est la', 'labels')):
    got = program(['bash', '-c', complete + 'complete_ ' + line], check=False)
    is_(got.out.strip(), wanted, 'bash completes: ' + line) or diag(got)

with Stack() as s:
    s.enrol('first')
    second = s.enrol('second')

    def cli(*words, env=None, input=None):
        return run(*words, env={**s.env, **(env or {})}, input=input)

    # ---- the design documents' commands

    listed = cli('certs', 'list', '--format', 'json')
    is_(listed.status, 0, 'certs list') or diag(listed)
    answer = s.api('GET', '/api/v1/certificates')
    is_(listed.out.rstrip('\n'), answer.body.decode().rstrip('\n'), "JSON is exactly the API's")
    rows = json.loads(listed.out)['data']
    table = cli('certs', 'list')
    is_(len(table.out.splitlines()), len(rows) + 1, 'the table has a head and a line for each row')
    ok(all(row['id'] in table.out for row in rows), 'every id is in it', table)
    is_(cli('certificates', 'list').out, table.out, 'the long name of the resource is the same')
    paged = cli('certs', 'list', '--limit', '1')
    like(paged.err, r'1 of 3; --all', 'one page says that there are more')
    is_(len(cli('certs', 'list', '--limit', '1', '--all').out.splitlines()), 4, '--all walks every page')
    every = json.loads(cli('certs', 'list', '--limit', '1', '--all', '--format', 'json').out)
    is_(([one['id'] for one in every['data']], every['total'], every['next_cursor']),
        ([one['id'] for one in rows], 3, None), 'also as JSON')
    is_(cli('certs', 'list', '--columns', 'status,id').out.splitlines()[0].split(), ['STATUS', 'ID'], '--columns')
    is_(cli('certs', 'list', '--columns', 'nonsense').status, 2, 'a column that is not there')
    is_(cli('certs', 'list', '--no-all').status, 2, 'only what is there can be switched off')
    like(cli('certs', 'list', '--status', 'Revoked').err, 'there are none', 'an empty list says so')
    is_(cli('certs', 'list', '--serial', second.serial).out.count('\n'), 2, 'filters are flags')

    mine = next(row for row in rows if row['common_name'] == 'second')['id']
    like(cli('certs', 'get', mine).out, r'(?m)^common_name +second$', 'certs get')
    is_(cli('certs', 'get', 'mc-none').status, 1, 'what is not there: 1')
    like(cli('certs', 'get', 'mc-none').err, r'not_found; request [0-9a-f]+', 'with the code and the request id')
    error = json.loads(cli('certs', 'get', 'mc-none', '--format', 'json').err)
    is_(error['error']['code'], 'not_found', "as JSON it is the API's own")
    saved = s.file('second-copy.pem')
    is_(cli('certs', 'download', mine, '-o', saved).status, 0, 'a download to a file')
    like(openssl('x509', '-noout', '-subject', '-in', saved).out, 'CN *= *second', 'is the certificate')
    is_(cli('certs', 'download', 'mc-none', '-o', s.file('none.pem')).status, 1, 'a download that is refused')
    ok(not os.path.exists(s.file('none.pem')), 'leaves no file behind')
    revoked = cli('certs', 'revoke', mine, '--reason', 'keyCompromise', '--invalidity-date', '-1h')
    is_(revoked.status, 0, 'certs revoke') or diag(revoked)
    is_(s.ocsp(second), 'revoked', 'and OCSP says so')
    if ('POST', '/api/v1/certificates/{id}/renew') in by_route:
        is_(cli('certs', 'renew', 'mc-none').status, 1, 'certs renew')
    if ('POST', '/api/v1/certificates/bulk-revoke') in by_route:
        first = next(row for row in rows if row['common_name'] == 'first')['id']
        shown = cli('certs', 'bulk-revoke', first, '--reason', 'superseded', '--wait')
        is_(shown.status, 0, 'certs bulk-revoke ID --wait') or diag(shown)
        is_(s.api('GET', '/api/v1/certificates/' + first).json['status'], 'Revoked', 'has revoked it when it ends')
        is_(cli('certs', 'bulk-revoke', '--profile-id', 'prof-none', '--reason', 'superseded').status in (0, 1), True, 'by profile')
        is_(cli('jobs', 'list').status, 0, 'jobs list')
        is_(cli('jobs', 'get', 'job-none').status, 1, 'jobs get')
        is_(cli('jobs', 'cancel', 'job-none').status, 1, 'jobs cancel')
    if ('POST', '/api/v1/certificates/import') in by_route:
        openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', s.file('strange.key'), '-out', s.file('strange.pem'),
                '-subj', '/CN=strange', '-addext', 'subjectAltName=DNS:strange.example.net', '-addext', 'basicConstraints=CA:FALSE')
        shown = cli('import', s.file('strange.pem'), '--environment', 'lab', '--tags', 'rack=8', '--tags', 'bought=used')
        is_(shown.status, 0, 'import FILE, with what is to be said of it') or diag(shown)
        row = s.api('GET', '/api/v1/certificates?tag=rack:8').json['data'][0]
        is_((row['environment'], row['tags']), ('lab', {'rack': '8', 'bought': 'used'}), 'which is recorded')
        is_(cli('import', s.file('strange.key')).status, 1, 'a file without a certificate')
        is_(cli('import').status, 2, 'import needs a file')
    shown = cli('status')
    like(shown.out, r'(?s)server +https://.*version +\d.*ready +yes', 'status')
    is_(json.loads(cli('status', '--format', 'json').out)['ready']['status'], 'ready', 'status as JSON')
    like(cli('version').out, r'chancery \d\S*\nserver +\d', 'version')

    # ---- every reading command for real, and what it gives is what the API gives

    def fill(path):
        known = {'/issuers/': s.issuer_id, '/certificates/': mine, '/profiles/': 'prof-device', '/est/labels/': 'est-devices'}
        return next((value for part, value in known.items() if part in path), None)

    for method, path, operation in OPERATIONS:
        content = operation['responses'].get('200', {}).get('content', {})
        if method != 'GET' or (method, path) not in by_route or 'text/event-stream' in content:
            continue
        name = by_route[(method, path)][0]
        needed = [one for one in operation.get('parameters', []) if one.get('required') and one['in'] == 'query']
        value = fill(path)
        if '{' in path and (value is None or path.count('{') > 1):
            shown = cli(*name.split(), *['none-such'] * path.count('{'))
            ok(shown.status in (0, 1), name + ' of something that is not there', shown)
            continue
        if needed:
            continue
        words = [value] if '{' in path else []
        wanted = s.api('GET', re.sub(r'\{\w+\}', value or '', path))
        shown = cli(*name.split(), *words)
        is_(shown.status, 0 if wanted.status < 400 else 1 if wanted.status < 500 else 4, name) or diag(shown)
        if 'application/json' in content and wanted.status == 200 and '{' not in path:
            is_(json.loads(cli(*name.split(), '--format', 'json').out).keys(), wanted.json.keys(), name + ' as JSON')

    # ---- changes: bodies from flags, from a file, over each other; refusals name the flags

    shown = cli('profiles', 'create', '--id', 'prof-cli', '--name', 'cli', '--key-kinds', 'p-256', '--key-kinds', 'rsa',
                '--validity-s', '86400', '--eku', 'clientAuth', '--name-kinds', 'dns')
    is_(shown.status, 0, 'a profile from flags') or diag(shown)
    is_(s.api('GET', '/api/v1/profiles/prof-cli').json['key_kinds'], ['p-256', 'rsa'], 'lists are repeated flags')
    body = {'id': 'prof-two', 'name': 'two', 'key_kinds': ['p-256'], 'validity_s': 3600, 'eku': ['clientAuth'], 'name_kinds': ['dns']}
    shown = cli('profiles', 'create', '--body', '-', '--name', 'over', input=json.dumps(body))
    is_(shown.status, 0, 'a profile from standard input') or diag(shown)
    is_(s.api('GET', '/api/v1/profiles/prof-two').json['name'], 'over', 'with a flag over it')
    shown = cli('profiles', 'create', '--name', '', '--key-kinds', 'rot13', '--validity-s', '86400')
    ok(shown.status in (1, 2) and '--name' in shown.err + '--name' and '--key-kinds' in shown.err, 'a refusal names the flags', shown)
    holder = s.holder('from-csr')
    shown = cli('certs', 'issue', '--name', 'from-csr', '--profile-id', 'prof-device', '--issuer-id', s.issuer_id, '--csr-pem', '@' + holder.csr)
    is_(shown.status, 0, '@FILE is the contents of the file') or diag(shown)
    like(shown.out, '-----BEGIN CERTIFICATE-----', 'and the certificate is shown with its lines')
    is_(cli('profiles', 'delete', 'prof-two').status, 0, 'a script is not asked')

    pid, fd = pty.fork()
    if pid == 0:
        os.execve(COMMAND, [COMMAND, 'profiles', 'delete', 'prof-cli'], {**CLEAN, **s.env})
    asked = b''
    while b'[y/N]' not in asked:
        asked += os.read(fd, 4096)
    os.write(fd, b'n\n')
    try:
        while True:
            asked += os.read(fd, 4096)
    except OSError:
        pass
    is_(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 1, 'on a terminal it asks, and "n" is no')
    is_(s.api('GET', '/api/v1/profiles/prof-cli').status, 200, 'nothing was deleted')
    is_(cli('profiles', 'delete', 'prof-cli', '--yes').status, 0, '--yes answers before')

    # ---- keys: where from, where to, never shown

    key = s.env['CHANCERY_API_KEY']
    bare = {name: value for name, value in s.env.items() if name != 'CHANCERY_API_KEY'}
    path = s.file('key')
    with open(path, 'w') as file:
        file.write(key + '\n')
    os.chmod(path, 0o600)
    is_(run('certs', 'list', '--api-key-file', path, env=bare).status, 0, 'a key from a file')
    os.chmod(path, 0o644)
    is_(run('certs', 'list', '--api-key-file', path, env=bare).status, 2, 'not from one that others may read')
    is_(run('--api-key', key, 'certs', 'list', env=bare).status, 0, 'a key as an argument')
    none = run('certs', 'list', env=bare)
    is_((none.status, 'CHANCERY_API_KEY' in none.err), (1, True), 'without a key: 1, and how to give one')
    wrong = run('--api-key', 'ck_wrong_' + 'x' * 32, 'certs', 'list', env=bare)
    is_(wrong.status, 1, 'a wrong key: 1')
    unlike(wrong.out + wrong.err, 'ck_wrong', 'and it is not shown')
    is_(cli('status', env={'CHANCERY_CA_BUNDLE': '/etc/ssl/certs/ca-certificates.crt'}).status, 3, 'a server that does not verify: 3')
    is_(cli('status', '--ca-bundle', '/nowhere').status in (2, 3), True, 'a bundle that is not there')
    is_(cli('certs', 'list', '--server', 'unix:' + s.path('run/api.sock')).out, cli('certs', 'list').out, 'the socket of the API does too')

    with socket.socket() as silent:  # somebody who takes the connection and says nothing: time to look at the process
        silent.bind(('127.0.0.1', 0))
        silent.listen()
        waiting = subprocess.Popen([COMMAND, '--server', 'http://127.0.0.1:%d' % silent.getsockname()[1], '--api-key', key,
                                    '--timeout', '5', 'certs', 'list'], env=CLEAN, stderr=subprocess.PIPE)
        heard = []
        threading.Thread(target=lambda: heard.append(silent.accept()[0].recv(4096)), daemon=True).start()
        wait_for('the request', lambda: heard, 5)
        with open('/proc/%d/cmdline' % waiting.pid, 'rb') as file:
            arguments = file.read()
        ok(key.encode() not in arguments, 'whoever lists processes does not see the key', arguments)
        ok(b'Bearer ' + key.encode() in heard[0], 'which was sent nevertheless')
        said = waiting.communicate()[1].decode()
        is_((waiting.returncode, key in said), (3, False), 'a server that says nothing: 3, in time')

    # ---- a server that fails

    s.hold('chanceryd')
    is_(cli('certs', 'list').status, 4, 'a server that fails: 4')
    s.free('chanceryd')
    s.wait_ready()
done()
