# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""Telling the person at the terminal what happens, and how a step failed."""

import os
import sys
import time

_begin = time.monotonic()


class Failure(Exception):
    """A step that failed: what, why, the log to look at, and what to do about it."""

    def __init__(self, what, why='', log=None, hint=''):
        super().__init__(what)
        self.what, self.why, self.log, self.hint = what, why, log, hint

    def show(self):
        line('FAILED: ' + self.what)
        for text in str(self.why).strip().splitlines():
            line('    ' + text)
        if self.log:
            line('the end of %s:' % self.log)
            for text in tail(self.log):
                line('    ' + text)
        if self.hint:
            line('what to do: ' + self.hint)


def tail(path, count=15):
    try:
        with open(path, 'rb') as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 16384))
            return file.read().decode('utf-8', 'replace').splitlines()[-count:]
    except OSError as problem:
        return [str(problem)]


def raw(text):
    """A terminal that went away must not end the servers."""
    try:
        sys.stdout.write(text + '\n')
        sys.stdout.flush()
    except OSError:
        pass


def line(text):
    raw('[%6.2f] %s' % (time.monotonic() - _begin, text))
