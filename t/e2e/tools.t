#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""The tools that guard the tree find what they are there for; bootstrap is silent and quick when nothing is missing."""

import os
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import ROOT, SLOW, done, is_, like, ok, program  # noqa: E402

LICENCE = '/* Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0 */\n'
CASES = [
    # check       file                          text                                     what is said of it
    ('arrows',    'pkiproto/a.c',               '#include "core/log.h"\n',               r'may not include "core/log\.h"'),
    ('arrows',    'pkiproto/a.c',               '#include <sys/socket.h>\n',             r'is pure'),
    ('arrows',    'orchestrator/api/a.c',       '#include <libpq-fe.h>\n',               r'may not use libpq'),
    ('arrows',    'orchestrator/issuer/a.c',    '#include "orchestrator/store/db.h"\n',  r'may not include'),
    ('arrows',    'ngx_module/a.c',             '#include "orchestrator/conf.h"\n',      r'may not include'),
    ('banned',    'core/a.c',                   'int f(void) { return atoi("1"); }\n',   r'atoi\(\) is banned'),
    ('layout',    'core/a.c',                   'int x; \n',                             r'blanks at the end'),
    ('layout',    'core/a.c',                   '\tint x;\n',                            r'a tab'),
    ('layout',    'core/a.c',                   '/* %s */\n' % ('x' * 130),              r'136 columns'),
    ('open_ends', 'core/a.c',                   '/* TO' + 'DO later */\n',               r'an open end'),
    ('secrets',   'core/a.c',                   '/* -----BEGIN ' + 'PRIVATE KEY----- */\n', r'a private key'),
    ('headers',   'core/a.h',                   'size_t f(void);\n',                     r'alone'),
    ('python',    'tools/a.py',                 'def f(:\n',                             r'invalid syntax'),
]
GOOD = '#include <string.h>\n\n/* strcpy() and atoi() are only named here: "sprintf(" too */\nsize_t a_length(void);\n'

tree = tempfile.mkdtemp(prefix='chancery-t-')
try:
    def lint(check, name, text, licence=LICENCE):
        shutil.rmtree(tree)
        os.makedirs(os.path.join(tree, 'tools'))
        shutil.copy(os.path.join(ROOT, 'tools/lint'), os.path.join(tree, 'tools/lint'))
        os.makedirs(os.path.dirname(os.path.join(tree, name)), exist_ok=True)
        with open(os.path.join(tree, name), 'w') as file:
            file.write(licence + text)
        return program([os.path.join(tree, 'tools/lint'), check], check=False)

    for check, name, text, pattern in CASES:
        found = lint(check, name, text, '' if name.endswith('.py') else LICENCE)
        ok(found.status == 1, '%s fails for %s' % (check, text.strip()[:40]), found)
        like(found.out, name.replace('.', r'\.') + '.*' + pattern, 'and says what and where')
    like(lint('licences', 'core/a.c', 'int x;\n', '').out, r'core/a\.c: no licence', 'a file without its licence is found')
    for check in ('arrows', 'banned', 'layout', 'licences', 'secrets', 'open_ends', 'headers', 'python'):
        found = lint(check, 'core/a.h', GOOD)
        is_(found.status, 0, check + ' has nothing against a good file')
finally:
    shutil.rmtree(tree)

begin = time.monotonic()
quiet = program([os.path.join(ROOT, 'tools/bootstrap'), 'test'], check=False)
took = time.monotonic() - begin
is_(quiet.status, 0, 'bootstrap succeeds when nothing is missing')
is_(quiet.out + quiet.err, '', 'says nothing')
ok(took < 1.0 * SLOW, 'and is quick', took)
is_(program([os.path.join(ROOT, 'tools/bootstrap'), 'everything'], check=False).status, 2, 'an unknown set is a usage error')
done()
