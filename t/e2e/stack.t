#!/usr/bin/python3
# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""tools/run: it becomes ready, carries on, survives the death of each process and of all, and cleans up."""

import os
import signal
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from chancery import Stack, descendants, done, is_, like, note_skip, ok, processes, wait_for  # noqa: E402

with Stack() as s:
    ok(s.api('GET', '/api/v1/issuers/' + s.issuer_id).status == 200, 'the demonstration issuer is there')
    is_(s.http('GET', '/ready', tls=True).status, 200, '/ready through nginx')
    mode = os.stat(s.path('env')).st_mode & 0o777
    is_(oct(mode), oct(0o600), 'var/env is for its owner alone')
    is_(len(s.pids('worker')), 2, 'nginx has as many workers as asked for')
    if os.geteuid() == 0:
        owners = {role: os.stat('/proc/%d' % s.pids(role)[0]).st_uid for role in
                  ('orchestrator', 'signer', 'postgres', 'worker')}
        ok(0 not in owners.values(), 'as root every process that serves has dropped its rights', owners)
        ok(owners['signer'] != owners['orchestrator'], 'the signer runs as a user of its own', owners)
    first = s.enrol('first')
    is_(s.ocsp(first), 'good', 'a device enrolled')

    for role in ('nginx', 'master', 'postgres'):
        old = s.kill(role)
        ok(s.wait_again(role, old), '%s is started again after kill -9' % role)
        ok(s.wait_ready(), 'and all is ready')
        is_(s.ocsp(first), 'good', 'with the same answers')

    busy = Stack(start=False)
    busy.http_port, busy.https_port = s.http_port, s.https_port
    busy.launch()
    is_(busy.runner.wait(30), 1, 'a busy port is an error')
    said = wait_for('output', lambda: any('cannot be used' in each for each in busy.output), 5)
    ok(said, 'that says so', busy.output)
    ok(not os.path.exists(busy.path('pg')), 'before anything was started')
    busy.remove()

    before, key = s.env.copy(), s.env['CHANCERY_API_KEY']
    everyone = s.kill_all()
    s.start()
    ok(not [pid for pid in everyone if pid in processes()], 'nothing of the killed run is left')
    is_(s.env, before, 'after kill -9 of everything the same keys and addresses')
    is_(s.ocsp(first), 'good', 'and the same certificates')

    os.kill(s.runner.pid, signal.SIGKILL)
    s.runner.wait(10)
    s.start()
    is_(s.ocsp(first), 'good', 'the same after kill -9 of tools/run alone')

    if os.geteuid() == 0:
        closed = Stack(start=False)
        os.mkdir(closed.file('closed'), 0o700)
        closed.var = os.path.join(closed.file('closed'), 'var')
        closed.start()
        ok(os.path.realpath(closed.var).startswith('/var/lib/chancery-run-'),
           'below a folder that only root may enter the data goes elsewhere', os.path.realpath(closed.var))
        kept = closed.env.copy()
        closed.restart()
        is_(closed.env, kept, 'and the next start finds it there')
        closed.remove()
    else:
        note_skip('only root has folders that the daemons cannot enter')

    everyone = list(descendants(s.runner.pid))
    is_(s.stop(), 0, 'SIGTERM ends tools/run with status 0')
    ok(not [pid for pid in everyone if pid in processes()], 'and every process that it started')
    with socket.socket() as probe:
        probe.settimeout(1)
        ok(probe.connect_ex(('127.0.0.1', s.http_port)) != 0, 'and frees its ports')
    like(s.log('chanceryd'), r'process\.started', 'the daemon logged its start')
done()
