"""Standard output and standard error, written without delay."""

import os
import socket
import stat
import sys
from collections.abc import Callable
from fcntl import F_GETFL, fcntl
from io import FileIO
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from shellstream.client.errors import CannotWrite


@implementer(IReadDescriptor, IWriteDescriptor)
class OutputWriter:
    """
    A descriptor to write to. While its reader is slow only the caller waits; signals
    and the network go on.

    O_NONBLOCK belongs to the open file, which the shell of the terminal shares with us:
    setting it would break the shell's own reads. So pipes and terminals are opened once
    more, for us alone.
    """

    def __init__(self, reactor: Any, fd: int, name: str) -> None:
        """
        @param name: for error messages.
        @raise CannotWrite: if it is not open.
        """
        self._reactor = reactor
        self._fd = self._given = fd
        self._name = name
        self._write: Callable[[memoryview], int] = self._write_to_fd
        self._blocks = False
        self._opened: socket.socket | FileIO | None = None
        self._waiting: Deferred[None] | None = None
        self._on_reader_gone: Callable[[], object] = lambda: None
        try:
            mode = os.fstat(fd).st_mode
        except OSError as error:
            raise CannotWrite(f"{name}: {error.strerror}") from None
        if stat.S_ISSOCK(mode):
            # MSG_DONTWAIT does for one call what O_NONBLOCK does for all programs.
            self._socket = self._opened = socket.socket(fileno=os.dup(fd))
            self._write = self._send
        elif stat.S_ISFIFO(mode) or os.isatty(fd):
            self._reopen()

    def _reopen(self) -> None:
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            self._opened = FileIO(os.open(f"/proc/self/fd/{self._fd}", flags), "w")
            self._fd = self._opened.fileno()
        except OSError:  # another user's terminal, no /proc, or the reader has gone
            self._blocks = os.get_blocking(self._fd)

    async def write(self, data: bytes) -> None:
        """
        Write all of C{data}.

        @raise BrokenPipeError: if the reader has gone.
        @raise CannotWrite: for any other reason.
        """
        left = memoryview(data)
        while left:
            try:
                if self._blocks:
                    count = await self._write_in_thread(left)
                else:
                    count = self._write(left)
                left = left[count:]
            except BlockingIOError:
                await self._until_writable()
            except (BrokenPipeError, ConnectionResetError):
                raise BrokenPipeError from None
            except OSError as error:
                raise CannotWrite(f"{self._name}: {error.strerror}") from None

    def close(self) -> None:
        """Stop watching, and close what was opened here."""
        self._reactor.removeReader(self)
        if self._opened is not None:
            self._opened.close()

    def watch_reader(self, on_gone: Callable[[], object]) -> None:
        """
        Call C{on_gone} as soon as a pipe's reader has gone, not only at the next byte,
        as tail(1) does. Anything but a pipe is not watched.
        """
        pipe = stat.S_ISFIFO(os.fstat(self._fd).st_mode)
        # A pipe that is open for reading too always has a reader: itself.
        write_only = fcntl(self._given, F_GETFL) & os.O_ACCMODE == os.O_WRONLY
        if sys.platform == "linux" and pipe and write_only:
            self._on_reader_gone = on_gone
            # The writing end of a pipe is never readable: it can only break.
            self._reactor.addReader(self)

    def _write_to_fd(self, data: memoryview) -> int:
        return os.write(self._fd, data)

    def _send(self, data: memoryview) -> int:
        return self._socket.send(data, socket.MSG_DONTWAIT)

    def _write_in_thread(self, data: memoryview) -> "Deferred[int]":
        from twisted.internet.threads import deferToThreadPool

        pool = self._reactor.getThreadPool()
        return deferToThreadPool(self._reactor, pool, self._write_to_fd, data)

    async def _until_writable(self) -> None:
        self._waiting = Deferred()
        self._reactor.addWriter(self)
        try:
            await self._waiting
        finally:
            self._reactor.removeWriter(self)
            self._waiting = None

    # IReadDescriptor and IWriteDescriptor

    def fileno(self) -> int:
        return self._fd

    def logPrefix(self) -> str:
        return self._name

    def doRead(self) -> None:
        self._on_reader_gone()

    def doWrite(self) -> None:
        self._reactor.removeWriter(self)
        if self._waiting is not None and not self._waiting.called:
            self._waiting.callback(None)

    def connectionLost(self, reason: Failure) -> None:
        self._on_reader_gone()
        self.doWrite()  # which finds out that the pipe is broken
