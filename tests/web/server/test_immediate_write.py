"""Tests for L{server.immediate_write}, with real sockets and no reactor's turns."""

import socket

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from shellstream.web.server.immediate_write import write_now


@implementer(IReactorFDSet)
class Watched:
    """A reactor that only remembers its writers."""

    def __init__(self) -> None:
        self.writing: set[IWriteDescriptor] = set()

    def addReader(self, reader: IReadDescriptor) -> None:
        """The test does not read."""

    def removeReader(self, reader: IReadDescriptor) -> None:
        """The test does not read."""

    def addWriter(self, writer: IWriteDescriptor) -> None:
        self.writing.add(writer)

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        self.writing.discard(writer)

    def removeAll(self) -> list[IReadDescriptor | IWriteDescriptor]:
        """The test does not use this."""
        return []

    def getReaders(self) -> list[IReadDescriptor]:
        """The test does not read."""
        return []

    def getWriters(self) -> list[IWriteDescriptor]:
        return list(self.writing)


class WriteNowTests(SynchronousTestCase):
    """L{write_now} sends as much as possible at once, and never out of order."""

    def setUp(self) -> None:
        ours, self.theirs = socket.socketpair()
        self.theirs.setblocking(False)
        self.reactor = Watched()
        self.transport = Connection(ours, Protocol(), self.reactor)
        self.transport.connected = True
        for each in (ours, self.theirs):
            self.addCleanup(each.close)

    def taken(self) -> bytes:
        """Return the bytes that have arrived at the other end."""
        taken = b""
        try:
            while some := self.theirs.recv(1 << 20):
                taken += some
        except BlockingIOError:
            pass
        return taken

    def fill(self) -> int:
        """Write until the socket is full; return the number of bytes."""
        count = 0
        while not self.reactor.writing:
            write_now(self.transport, (b"x" * 9999,))
            count += 1
        return 9999 * count

    def flush(self) -> bytes:
        """Let the transport send its buffer; return the arrived bytes."""
        taken = self.taken()
        while self.reactor.writing:
            self.assertIsNone(self.transport.doWrite())
            taken += self.taken()
        return taken

    def test_at_once(self) -> None:
        """Everything arrives without a turn of the event loop."""
        write_now(self.transport, (b"3\r\n", b"abc", b"\r\n"))
        self.assertEqual(self.taken(), b"3\r\nabc\r\n")
        self.assertEqual(self.reactor.writing, set())

    def test_what_twisted_keeps(self) -> None:
        """
        Bytes that Twisted buffered earlier stay first: the test fails if Twisted moves
        its buffer.
        """
        for data in (b"a", b"b" * 300_000):
            self.transport.write(data)
            write_now(self.transport, (b"c",))
            self.assertEqual(self.taken(), b"")
            self.assertEqual(self.flush(), data + b"c")
        size = self.fill()
        self.transport.doWrite()  # it moves its buffer, and is still full
        write_now(self.transport, (b"c",))
        self.assertEqual(self.flush(), b"x" * size + b"c")

    def test_producer(self) -> None:
        """A producer is paused and resumed by the transport's buffer."""
        said: list[str] = []

        class Producer:
            def pauseProducing(self) -> None:
                said.append("pause")

            def resumeProducing(self) -> None:
                said.append("resume")

        self.transport.registerProducer(Producer(), True)
        write_now(self.transport, (b"abc",))
        self.assertEqual(said, [])
        self.fill()
        write_now(self.transport, (b"x" * (Connection.bufferSize + 1),))
        self.assertEqual(said, ["pause"])
        self.flush()
        self.assertEqual(said, ["pause", "resume"])

    def test_closing(self) -> None:
        """A closing or closed connection sends nothing."""
        self.transport.write(b"a")
        self.transport.loseConnection()
        write_now(self.transport, (b"b",))
        self.assertEqual(self.taken(), b"")
        self.transport.connected = False
        write_now(self.transport, (b"c",))
        self.assertEqual(self.taken(), b"")

    def test_gone(self) -> None:
        """The transport finds out that the other end is gone."""
        self.theirs.close()
        write_now(self.transport, (b"a",))
        self.assertEqual(self.reactor.writing, {self.transport})
        self.assertIsInstance(self.transport.doWrite(), Exception)

    def test_no_socket(self) -> None:
        """A transport without a plain socket, as under TLS, uses its own C{write}."""
        transport = StringTransport()
        write_now(transport, (b"a", b"b"))
        self.assertEqual(transport.value(), b"ab")

    @given(st.lists(st.lists(st.binary(max_size=5), min_size=1), max_size=5))
    def test_any_parts(self, writes: list[list[bytes]]) -> None:
        """Any writes in any parts arrive whole and in order."""
        for parts in writes:
            write_now(self.transport, parts)
        self.assertEqual(self.flush(), b"".join(map(b"".join, writes)))

    def test_large(self) -> None:
        """A partial write of the socket arrives whole and in order."""
        parts = [bytes([n]) * 150_000 for n in range(20)]
        write_now(self.transport, parts)
        self.assertEqual(self.reactor.writing, {self.transport})
        self.assertEqual(self.flush(), b"".join(parts))


class TwistedTests(SynchronousTestCase):
    """The attributes of Twisted's transports on which L{write_now} relies."""

    def test_attributes(self) -> None:
        """The attributes exist, and mean what we think."""
        one = FileDescriptor(Watched())
        self.assertEqual((one.dataBuffer, one._tempDataBuffer), (b"", []))
        verifyObject(IReactorFDSet, Watched())
        for flag in (one.disconnecting, one._writeDisconnecting, one.connected):
            self.assertFalse(flag)
