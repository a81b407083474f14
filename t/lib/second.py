# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""
A second host: chanceryd and nginx of its own, on the PostgreSQL and with the CA keys of a Stack.
"""

import contextlib
import os
import shutil
import sys

from chancery import BUILD, ROOT, descendants, free_port

sys.path.insert(0, os.path.join(ROOT, 'tools'))
from stack.daemon import Daemon                     # noqa: E402
from stack.places import Places                     # noqa: E402
from stack.postgres import Postgres                 # noqa: E402
from stack.web import Web                           # noqa: E402


@contextlib.contextmanager
def environment(**more):
    old = dict(os.environ)
    os.environ.update(more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(old)


class Second:
    """Ports, http_url, bundle, basic() and path() as a Stack has them; text: a function of nginx's configuration.  stop() before the Stack goes."""

    def __init__(self, stack, workers=2, text=None):
        self.stack, self.workers = stack, workers
        self.var = os.path.join(stack.tmp, 'second')
        self.http_port, self.https_port = free_port(), free_port()
        self.bundle, self.basic = stack.bundle, stack.basic
        with environment(VAR=self.var, HTTP_PORT=str(self.http_port), HTTPS_PORT=str(self.https_port), BUILD=BUILD,
                         WORKERS=str(workers), **stack.extra_env):
            self.places = Places()
            self.places.prepare()
            self.keys()
            self.daemon, self.web = Daemon(self.places, Postgres(self._first()).url()), Web(self.places)
            self.daemon.configure()
            self.daemon.start()
            for name in ('ca-bundle.pem', 'server.crt', 'server.key'):
                shutil.copy2(stack.path('tls', name), self.places.path('tls', name))
            self.web.configure()
            if text:
                self._change(text)
            self.web.start()
        self.http_url = 'http://localhost:%d' % self.http_port

    def _change(self, text):
        with open(self.web.conf) as file:
            changed = text(file.read())
        with open(self.web.conf, 'w') as file:
            file.write(changed)

    def _first(self):
        with environment(VAR=self.stack.var):
            return Places()

    def keys(self):
        """The same CA keys and passphrase, with a journal of its own: two hosts share a token in the same way."""
        here, there = self.places.path('signer'), self.stack.path('signer')
        shutil.copy2(os.path.join(there, 'passphrase'), os.path.join(here, 'passphrase'))
        shutil.copytree(os.path.join(there, 'keys'), os.path.join(here, 'keys'))
        for folder, _, files in os.walk(here):
            for each in [folder] + [os.path.join(folder, name) for name in files]:
                self.places.own(each, self.places.signer_user, self.places.signer_user)

    def path(self, *parts):
        return self.places.path(*parts)

    def signal(self, number):
        """To chanceryd and its children: SIGSTOP and SIGCONT."""
        top = self.daemon.child.process.pid
        for pid in [top, *descendants(top)]:
            os.kill(pid, number)

    def stop(self):
        for each in (self.web.child, self.daemon.child):
            each.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
