# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
What the measurements of t/bench share: lines with a ratio and its goal, wrk and pgbench, resident memory.

These machines are noisy: what counts is a ratio of two figures taken alternately in one run, and of several such
pairs the median.
"""

import os
import re
import statistics
import subprocess
import sys

from chancery import BUILD, program

_missed = 0


def line(what, figure, goal=None, details=''):
    """figure: a ratio when there is a goal, otherwise text."""
    global _missed
    if goal is None:
        print('bench: %-44s %s  %s' % (what, figure, details), flush=True)
        return
    good = figure >= goal
    if not good:
        _missed += 1
    print('bench: %-44s %.2f (at least %.2f%s)  %s' % (what, figure, goal, '' if good else ', MISSED', details),
          flush=True)


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


def resident_kb(pid):
    with open('/proc/%d/status' % pid) as file:
        return int(re.search(r'VmRSS:\s+(\d+)', file.read()).group(1))


def resident_private_kb(pid):
    """Without what is shared with others, such as the pages of the store."""
    with open('/proc/%d/smaps_rollup' % pid) as file:
        return sum(int(each) for each in re.findall(r'^Private_\w+:\s+(\d+)', file.read(), re.M))


def openssl_sign_rate(seconds=3):
    """Signatures a second of `openssl speed ecdsap256`."""
    out = subprocess.run(['openssl', 'speed', '-mr', '-elapsed', '-seconds', str(seconds), 'ecdsap256'], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, check=True).stdout.decode()
    return float(re.search(r'^\+F\d+:\d+:\d+:([\d.]+):', out, re.M).group(1))
