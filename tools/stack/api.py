# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""A client of the management API over its unix socket."""

import http.client
import json
import socket

from .say import Failure


class _Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__('localhost', timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Api:
    def __init__(self, path, key=None):
        self.path, self.key = path, key

    def call(self, method, path, body=None, timeout=30):
        """(status, decoded JSON or text)"""
        headers = {'Accept': 'application/json'}
        if self.key:
            headers['Authorization'] = 'Bearer ' + self.key
        if body is not None:
            headers['Content-Type'] = 'application/json'
            body = json.dumps(body)
        connection = _Connection(self.path, timeout)
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            text = answer.read().decode('utf-8', 'replace')
        finally:
            connection.close()
        if answer.getheader('Content-Type', '').split(';')[0].endswith('json'):
            return answer.status, json.loads(text)
        return answer.status, text

    def status(self, path):
        """The status of a GET, or 0 when nobody answers."""
        try:
            return self.call('GET', path, timeout=5)[0]
        except (OSError, http.client.HTTPException):
            return 0

    def must(self, what, method, path, body=None):
        try:
            status, answer = self.call(method, path, body)
        except (OSError, http.client.HTTPException) as problem:
            raise Failure(what, '%s %s: %s' % (method, path, problem))
        if status >= 300:
            raise Failure(what, '%s %s: %d %s' % (method, path, status, answer))
        return answer

    def ensure(self, what, path, thing):
        """Make it, unless a thing of that id is there."""
        if self.status('%s/%s' % (path, thing['id'])) == 200:
            return False
        self.must(what, 'POST', path, thing)
        return True
