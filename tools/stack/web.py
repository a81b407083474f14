# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""nginx: its configuration from conf/nginx.conf, and the process."""

import os
import re
import signal
import socket
import ssl

from .places import write_file
from .process import Child, until
from .say import Failure


def addresses():
    """Loopback, of the families that this machine has; or what LISTEN= says (space-separated)."""
    if os.environ.get('LISTEN'):
        return os.environ['LISTEN'].split()
    found = ['127.0.0.1']
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(('::1', 0))
        found.append('[::1]')
    except OSError:
        pass
    return found


def check_ports(places):
    for name, port in (('HTTP_PORT', places.http_port), ('HTTPS_PORT', places.https_port)):
        for address in addresses():
            family = socket.AF_INET6 if address.startswith('[') else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((address.strip('[]'), port))
                except OSError as problem:
                    raise Failure('port %d on %s cannot be used: %s' % (port, address, problem.strerror),
                                  hint='stop what uses it, or choose another with %s=' % name)
    if places.http_port == places.https_port:
        raise Failure('HTTP_PORT and HTTPS_PORT are the same', hint='choose two ports')


class Web:
    def __init__(self, places):
        self.places = places
        self.conf = places.path('conf/nginx.conf')
        preload = os.environ.get('NGINX_PRELOAD')
        sanitised = {'LD_PRELOAD': preload, 'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', '') + ':detect_leaks=0'}
        argv = ['/usr/sbin/nginx', '-p', places.var, '-c', self.conf, '-e', places.log('nginx')]
        self.child = Child(places, 'nginx', argv, stop=(signal.SIGQUIT, 5),
                           env=sanitised if preload else None, before=self._clear)

    def _clear(self):
        """nginx does not take the place of a socket that a killed one left behind."""
        try:
            os.unlink(self.places.path('run/nginx-metrics.sock'))
        except FileNotFoundError:
            pass

    def configure(self):
        values = {
            'VAR': self.places.var,
            'MODULE': self.places.module,
            'USER': 'user www-data;' if self.places.as_root else '',
            'WORKERS': os.environ.get('WORKERS', 'auto'),
            'LISTEN_HTTP': ' '.join('listen %s:%d;' % (a, self.places.http_port) for a in addresses()),
            'LISTEN_HTTPS': ' '.join('listen %s:%d ssl http2;' % (a, self.places.https_port) for a in addresses()),
        }
        with open(os.path.join(self.places.root, 'conf/nginx.conf')) as file:
            text = file.read()
        text = re.sub(r'@([A-Z_]+)@', lambda match: values[match.group(1)], text)
        write_file(self.conf, text)

    def start(self):
        self.child.start()
        until('nginx answers', 20, self.child, self._answers)

    def _answers(self):
        address = addresses()[0].strip('[]')
        address = {'0.0.0.0': '127.0.0.1', '::': '::1'}.get(address, address)
        context = ssl.create_default_context(cafile=self.places.path('tls/ca-bundle.pem'))
        try:
            with socket.create_connection((address, self.places.https_port), timeout=5) as plain:
                with context.wrap_socket(plain, server_hostname='localhost') as tls:
                    tls.sendall(b'GET /ready HTTP/1.0\r\nHost: localhost\r\n\r\n')
                    return b' 200 ' in tls.recv(64)
        except ssl.SSLError as problem:
            raise Failure("nginx's certificate does not verify", problem, log=self.child.log)
        except OSError:
            return False
