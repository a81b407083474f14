# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
"""What nginx and the orchestrator say on the edge socket and on that of single rows: pkiproto/edge/frame.h and relay.h."""

import socket

HEAD = 8
ASK_MAX = 128 << 10


def frame(no, octets):
    return len(octets).to_bytes(4, 'big') + no.to_bytes(4, 'big') + octets


def relay(fields):
    """fields: pairs of a name and its value."""
    out = b''
    for name, value in fields:
        value = value.encode() if isinstance(value, str) else value
        out += bytes([len(name)]) + name.encode() + len(value).to_bytes(4, 'big') + value
    return out


def unrelay(octets):
    """[(name, value)], each value as octets."""
    found = []
    while octets:
        at = 1 + octets[0]
        end = at + 4 + int.from_bytes(octets[at:at + 4], 'big')
        if len(octets) < end or end < at + 4:
            raise ValueError('a field is cut off')
        found.append((octets[1:at].decode(), octets[at + 4:end]))
        octets = octets[end:]
    return found


class Wire:
    """Frames in both directions on a connected socket; for either end."""

    def __init__(self, connection):
        self.c, self.here, self.no = connection, b'', 0

    def send(self, octets, no=None):
        """The number of the frame: one more than that of the last, unless it is given."""
        self.no = self.no + 1 if no is None else no
        self.c.sendall(frame(self.no, octets))
        return self.no

    def take(self):
        """(number, octets) of the next frame; None at the end of the connection."""
        while len(self.here) < HEAD or len(self.here) < HEAD + int.from_bytes(self.here[:4], 'big'):
            try:
                more = self.c.recv(65536)
            except ConnectionResetError:
                more = b''
            if not more:
                return None
            self.here += more
        end = HEAD + int.from_bytes(self.here[:4], 'big')
        found = int.from_bytes(self.here[4:HEAD], 'big'), self.here[HEAD:end]
        self.here = self.here[end:]
        return found

    def close(self):
        self.c.close()


class Client(Wire):
    """A connection as nginx opens it."""

    def __init__(self, path, seconds=30):
        super().__init__(socket.socket(socket.AF_UNIX))
        self.c.settimeout(seconds)
        self.c.connect(path)

    def ask(self, octets):
        """The answer to one request, when no other is on its way; None: the connection was closed."""
        no, found = self.send(octets), self.take()
        if found is not None and found[0] != no:
            raise ValueError('an answer to %d, not to %d' % (found[0], no))
        return found and found[1]

    def many(self, asked):
        """All in one write; the answers in the order of what was asked, whatever order they came in."""
        numbers = [self.no + 1 + n for n in range(len(asked))]
        self.no += len(asked)
        self.c.sendall(b''.join(frame(no, octets) for no, octets in zip(numbers, asked)))
        found = dict(self.take() for _ in asked)
        return [found[no] for no in numbers]
