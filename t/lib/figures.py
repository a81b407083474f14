# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""Prometheus' text format as the tests read it: samples by name and labels, and what is wrong with a page."""

import http.client
import re
import shutil
import socket
import subprocess

NAME = r'[a-zA-Z_:][a-zA-Z0-9_:]*'
SAMPLE = re.compile(r'^(%s)(?:\{(.*)\})? (-?[0-9.]+(?:e[+-]?[0-9]+)?|[+-]Inf|NaN)$' % NAME)
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__('localhost', timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def fetch(path, target='/metrics'):
    """(status, headers, text) of nginx's own page."""
    connection = UnixConnection(path)
    try:
        connection.request('GET', target)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def labels_of(text):
    found, at = {}, 0
    while at < len(text or ''):
        match = LABEL.match(text, at)
        if not match or match.group(1) in found:
            raise ValueError('labels: ' + text)
        found[match.group(1)] = match.group(2)
        at = match.end()
    return found


class Figures:
    """The samples of a page."""

    def __init__(self, text):
        self.samples = {}
        for line in text.splitlines():
            if line and not line.startswith('#'):
                name, labels, value = SAMPLE.match(line).groups()
                self.samples[name, tuple(sorted(labels_of(labels).items()))] = float(value)

    def __call__(self, name, **labels):
        """The sum of the samples that have these labels; None where there is none."""
        wanted = {(key, str(value)) for key, value in labels.items()}
        found = [value for (each, has), value in self.samples.items() if each == name and wanted <= set(has)]
        return sum(found) if found else None

    def series(self):
        return set(self.samples)


def problems(text):
    """What a strict reader of the format would refuse or promtool would remark on."""
    wrong, kind, helped, closed, family, seen = [], {}, set(), set(), None, set()
    if not text.endswith('\n'):
        wrong.append('the last line has no end')
    for line in text.splitlines():
        head = re.match(r'^# (HELP|TYPE) (%s) (.+)$' % NAME, line)
        sample = SAMPLE.match(line)
        if head and head.group(1) == 'HELP':
            if family:
                closed.add(family)
            family = head.group(2)
            if family in helped or family in closed:
                wrong.append('twice: ' + line)
            helped.add(family)
        elif head:
            if head.group(2) != family or family in kind:
                wrong.append('TYPE is not under its HELP: ' + line)
            kind[head.group(2)] = head.group(3)
            if (head.group(3) == 'counter') != head.group(2).endswith('_total'):
                wrong.append('counters, and only they, end in _total: ' + line)
        elif sample:
            name = sample.group(1)
            base = re.sub(r'_(bucket|sum|count)$', '', name) if kind.get(family) == 'histogram' else name
            if base != family or family not in kind:
                wrong.append('outside its family: ' + line)
            key = name, tuple(sorted(labels_of(sample.group(2)).items()))
            if key in seen:
                wrong.append('twice: ' + line)
            seen.add(key)
        else:
            wrong.append('neither sample nor comment: ' + line)
    return wrong + histograms(Figures(text), [name for name in kind if kind[name] == 'histogram'])


def histograms(figures, names):
    wrong = []
    for name in names:
        groups = {}
        for (each, labels), value in figures.samples.items():
            if each == name + '_bucket':
                rest = tuple(pair for pair in labels if pair[0] != 'le')
                groups.setdefault(rest, []).append((float(dict(labels)['le']), value))
        for rest, buckets in groups.items():
            values = [value for _, value in sorted(buckets)]
            if values != sorted(values) or sorted(buckets)[-1][0] != float('inf'):
                wrong.append('%s%r does not grow to +Inf' % (name, rest))
            if figures.samples.get((name + '_count', rest)) != values[-1] or (name + '_sum', rest) not in figures.samples:
                wrong.append('%s%r: sum or count' % (name, rest))
    return wrong


def promtool(text):
    """What promtool says; None when it is not here."""
    if not shutil.which('promtool'):
        return None
    told = subprocess.run(['promtool', 'check', 'metrics'], input=text.encode(), capture_output=True)
    return (told.stdout + told.stderr).decode() if told.returncode else ''
