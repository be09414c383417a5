"""Tests for L{shellstream.web.server.dead_peers}: clients that vanished."""

import socket

from twisted.internet.address import UNIXAddress
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from shellstream.web.server.channel import Channel
from shellstream.web.server.dead_peers import (
    REPEATED,
    ROUND,
    DeadPeerMonitor,
    repetitions,
)
from tests.support.http import WebTestCase, Wire


class RepetitionsTests(SynchronousTestCase):
    """The kernel's count of retransmissions."""

    def transport(self, connection: socket.socket) -> StringTransport:
        self.addCleanup(connection.close)
        made = StringTransport()
        made.socket = connection
        return made

    def test_tcp(self) -> None:
        """A connection to a living client has no retransmissions."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        client = socket.create_connection(listening.getsockname())
        self.addCleanup(client.close)
        accepted, _ = listening.accept()
        accepted.sendall(b"x" * 100_000)
        self.assertEqual(repetitions(self.transport(accepted)), 0)

    def test_length(self) -> None:
        """
        As many bytes are asked for as an integer has: an emulator hands over no more,
        and fewer of them only in part.
        """
        asked: list[int] = []

        class Emulated:
            def getsockopt(self, level: int, option: int, length: int) -> bytes:
                asked.append(length)
                return b"\x01\x00\x05\x00"[:length]

        transport = StringTransport()
        transport.socket = Emulated()
        self.assertEqual((repetitions(transport), asked), (5, [4]))

    def test_others(self) -> None:
        """A closed connection, or one of another family, has no retransmissions."""
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        self.assertEqual(repetitions(self.transport(ours)), 0)
        ours.close()
        self.assertEqual(repetitions(self.transport(ours)), 0)
        self.assertEqual(repetitions(StringTransport()), 0)


class DeadPeerMonitorTests(WebTestCase):
    """Connections of vanished clients are reset, one round after the other."""

    def test_rounds(self) -> None:
        """Each round checks every connection once, and resets only the dead ones."""
        counts: dict[object, int] = {}
        channels = set[Channel]()
        looked: list[object] = []

        def look(transport: object) -> int:
            looked.append(transport)
            return counts[transport]

        wires = [Wire(UNIXAddress(None)) for _ in range(100)]
        for index, wire in enumerate(wires):
            channel = Channel()
            channel.transport = wire
            channels.add(channel)
            counts[wire] = REPEATED - index % 2
        monitor = DeadPeerMonitor(channels, look)
        for _ in range(ROUND + 2):
            monitor()
        self.assertEqual(set(looked), set(wires))
        for wire in wires:
            self.assertEqual(wire.disconnected, counts[wire] == REPEATED)
        self.assertLess(len(looked), 2 * len(wires))

    def test_site(self) -> None:
        """The monitor runs as long as a port listens."""
        self.connection.lose()
        self.site.startFactory()
        self.site.startFactory()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.pump([1.0] * 5)
        self.site.stopFactory()
        self.site.stopFactory()
        self.assertEqual(self.clock.getDelayedCalls(), [])
