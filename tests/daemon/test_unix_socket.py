"""Tests for L{shellstream.daemon.unix_socket}: sockets that a killed daemon left."""

import os
import socket
import stat
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from shellstream.daemon.errors import DaemonCannotStart
from shellstream.daemon.listener import Listener


class ListenTests(TestCase):
    """A daemon listens where nobody else does, whatever files there are."""

    def setUp(self) -> None:
        # The path of a socket has 107 bytes at most.
        self.folder = Path(os.path.relpath(self.mktemp()))
        self.folder.mkdir()
        self.path = self.folder / "sock"
        self.lock = self.folder / "sock.lock"

    def listen(self) -> Listener:
        description = f"unix:{self.path}"
        endpoint = serverFromString(reactor, description)
        listener = Listener(description, endpoint, Factory.forProtocol(Protocol))
        self.addCleanup(listener.stopService)
        listener.privilegedStartService()
        return listener

    def refused(self) -> str:
        return str(self.assertRaises(DaemonCannotStart, self.listen))

    def bind(self) -> socket.socket:
        """A socket that is bound to the path."""
        bound = socket.socket(socket.AF_UNIX)
        self.addCleanup(bound.close)
        bound.bind(str(self.path))
        return bound

    async def test_stale(self) -> None:
        """
        What is left of a killed daemon is taken over, though its lock names a process
        that lives: this one, as in a container.
        """
        for socket_left, owner in (
            (True, os.getpid()),
            (True, 1),
            (True, None),
            (False, os.getpid()),
        ):
            if socket_left:
                self.bind().close()
            if owner is not None:
                self.lock.symlink_to(str(owner))
            listener = self.listen()
            self.assertTrue(stat.S_ISSOCK(self.path.lstat().st_mode))
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(self.path))
            assert listener.port is not None
            await (listener.port.stopListening() or succeed(None))
            listener.port = None
            self.path.unlink(missing_ok=True)
            self.lock.unlink(missing_ok=True)

    def test_heard(self) -> None:
        """Where another program listens, it goes on listening."""
        other = self.bind()
        other.listen(0)
        for _ in range(3):  # after the first one its queue is full
            said = self.refused()
            self.assertIn(f"UNIX socket {self.path}: another program listens", said)
            self.assertNotIn("--port", said)
        other.accept()[0].close()

    def test_second(self) -> None:
        """The same for another daemon of ours, which has the lock."""
        self.listen()
        self.assertIn("another program listens there", self.refused())
        self.assertTrue(self.path.is_socket())

    def test_no_socket(self) -> None:
        """Files that are no sockets stay; the message says what is there."""
        self.path.write_text("precious")
        self.assertIn("a file that is no socket of ours; remove it", self.refused())
        self.assertEqual(self.path.read_text(), "precious")
        self.path = self.folder / "none" / "sock"
        self.assertIn("its folder does not exist", self.refused())
        self.path = self.folder / ("x" * 120)
        self.assertIn("too long", self.refused())
