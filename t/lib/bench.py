# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
What the measurements of t/bench share: lines with a ratio and its goal, load tools, CPU time and memory of servers.

These machines are noisy: what counts is a ratio of two figures taken alternately in one run, and of several such
pairs the median.  BENCH_QUICK=1 in the environment makes everything smaller and shorter: it shows that a bench works,
not what comes out.
"""

import atexit
import json
import os
import re
import statistics
import subprocess
import sys

from chancery import BUILD, program

QUICK = bool(os.environ.get('BENCH_QUICK'))
_missed = 0


def pick(normal, quick):
    return quick if QUICK else normal


def line(what, figure, goal=None, details='', most=None):
    """figure: a number when there is a goal (at least that) or a bound (most: at most that), otherwise text."""
    global _missed
    if goal is None and most is None:
        print('bench: %-52s %s  %s' % (what, figure, details), flush=True)
        return
    good = figure >= goal if most is None else figure <= most
    if not good:
        _missed += 1
    bound = 'at least %g' % goal if most is None else 'at most %g' % most
    print('bench: %-52s %s (%s%s)  %s' % (what, '%d' % figure if isinstance(figure, int) else '%.3g' % figure, bound,
                                          '' if good else ', MISSED', details), flush=True)


def skipped(what, why):
    line(what, 'skipped', None, why)


def done():
    sys.exit(1 if _missed else 0)


def tool(name):
    """A C helper of t/bench or t/lib."""
    for folder in ('bench', 'lib'):
        path = os.path.join(BUILD, 't', folder, name)
        if os.path.exists(path):
            return path
    raise RuntimeError('%s is not built: make build' % name)


def wrk(url, script=None, connections=16, seconds=5, threads=1, args=()):
    """Requests a second; raises when one of them failed."""
    words = ['wrk', '-t%d' % threads, '-c%d' % connections, '-d%ds' % seconds]
    words += (['-s', script] if script else []) + [url] + (['--', *args] if args else [])
    out = program(words, timeout=seconds + 60).out
    bad = re.search(r'Non-2xx or 3xx responses: (\d+)', out) or re.search(r'Socket errors: (.*)', out)
    if bad:
        raise RuntimeError('wrk %s: %s' % (url, bad.group(0)))
    return float(re.search(r'Requests/sec:\s+([\d.]+)', out).group(1))


def pgbench(stack, script, connections=16, seconds=5):
    """Transactions a second of a script, with as many connections, prepared statements."""
    out = program(['pgbench', '-n', '-M', 'prepared', '-c', str(connections), '-j', '1', '-T', str(seconds), '-f',
                   script, '-h', stack.path('run/pg'), '-U', 'chancery', 'chancery'], timeout=seconds + 60).out
    return float(re.search(r'tps = ([\d.]+)', out).group(1))


def pairs(first, second, count=3):
    """Take both figures alternately: median of the ratios, medians of each."""
    taken = [(first(), second()) for _ in range(count)]
    return (statistics.median(a / b for a, b in taken), statistics.median(a for a, _ in taken),
            statistics.median(b for _, b in taken))


class Figure:
    """What a load did to one server process: answers a second, and answers for each second of that process's CPU."""

    def __init__(self, load):
        self.load, cpu_s = load, max(load['server_cpu_s'], 0.01)
        self.rate = load['rate']
        self.per_core = load['answers'] / cpu_s
        self.busy = cpu_s / load['seconds']


def ocsp_load(*words, failures=False, seconds=60):
    """t/bench/ocsp_load's line of JSON; raises when something failed, unless failures are looked at elsewhere."""
    found = json.loads(program([tool('ocsp_load'), *words], timeout=seconds + 600).out)
    if found['failed'] and not failures:
        raise RuntimeError('ocsp_load %s: %s' % (' '.join(words), found))
    return found


class Background:
    """ocsp_load until it is told to stop."""

    def __init__(self, *words):
        self.process = subprocess.Popen([tool('ocsp_load'), 'seconds=0', *words], stdout=subprocess.PIPE, text=True)
        atexit.register(self.process.kill)  # of a test that fails meanwhile

    def stop(self):
        self.process.terminate()
        return json.loads(self.process.communicate(timeout=60)[0])


def duel(ours, theirs, count):
    """Two functions that give a Figure, alternately: the median ratio per second of the servers' CPU, and a text."""
    taken = [(ours(), theirs()) for _ in range(count)]
    ratio = statistics.median(a.per_core / b.per_core for a, b in taken)

    def median(field, one):
        return statistics.median(getattr(pair[one], field) for pair in taken)

    text = 'by rate %.2f; %.0f/s and %.0f/s, server busy %.0f and %.0f %%' % (
        statistics.median(a.rate / b.rate for a, b in taken), median('rate', 0), median('rate', 1),
        100 * median('busy', 0), 100 * median('busy', 1))
    return ratio, text


def resident_kb(pid):
    with open('/proc/%d/status' % pid) as file:
        return int(re.search(r'VmRSS:\s+(\d+)', file.read()).group(1))


def resident_private_kb(pid):
    """Without what is shared with others, such as the pages of the store."""
    with open('/proc/%d/smaps_rollup' % pid) as file:
        return sum(int(each) for each in re.findall(r'^Private_\w+:\s+(\d+)', file.read(), re.M))


def openssl_sign_rate(seconds=3):
    """Signatures of `openssl speed ecdsap256` for each second of its CPU."""
    out = subprocess.run(['openssl', 'speed', '-mr', '-seconds', str(seconds), 'ecdsap256'], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, check=True).stdout.decode()
    return float(re.search(r'^\+F\d+:\d+:\d+:([\d.]+):', out, re.M).group(1))


def race(stack, *words, edge=None):
    """t/bench/revoke_race's line of JSON: revoke at this stack, ask its edge, or that of another stack."""
    edge = edge or stack
    return json.loads(program([
        tool('revoke_race'), 'url=%s/ocsp/%s' % (edge.http_url, stack.issuer_id), 'issuer=' + stack.issuer,
        'api=' + stack.path('run/api.sock'), 'key=' + stack.env['CHANCERY_API_KEY'], *words], timeout=3600).out)
