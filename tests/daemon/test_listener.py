"""Tests for L{shellstream.daemon.listener} with the kernel's own sockets."""

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import ServerFactory
from twisted.internet.tcp import Port
from twisted.trial.unittest import TestCase

from shellstream.daemon.listener import Listener

#: What the kernel may keep for a connection, in bytes: with its own rule of growth it
#: keeps three times as much.
MOST = 1 << 20


class ListenerTests(TestCase):
    """The connections of a L{Listener}."""

    def test_slow_client(self) -> None:
        """For a client that reads nothing the kernel keeps less than a megabyte."""
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        listener = Listener("tcp:0", endpoint, ServerFactory())
        listener.privilegedStartService()
        self.addCleanup(listener.stopService)
        port: Any = listener.port
        assert isinstance(port, Port)
        client = socket.create_connection(("127.0.0.1", port.getHost().port))
        self.addCleanup(client.close)
        server, _ = port.socket.accept()
        self.addCleanup(server.close)
        server.setblocking(False)
        self.assertLess(self.fill(server), MOST)

    def fill(self, server: socket.socket) -> int:
        """Write until the kernel takes no more. Returns the bytes that it took."""
        size, piece = 0, bytes(1 << 16)
        try:
            while size < 1 << 26:
                size += server.send(piece)
        except BlockingIOError:
            pass
        return size
