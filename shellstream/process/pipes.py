"""Our ends of a child's pipes. L{process.pty} has those of its terminal."""

import errno
import os
import sys
import termios
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from fcntl import F_SETPIPE_SZ, fcntl, ioctl
from typing import Any, Protocol

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IReadDescriptor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from shellstream.output.log import READ_SIZE

_log = Logger()

#: The capacity of a pipe at first, and of one to a fast child, in bytes (pipe(7)).
PIPE_SIZE, WIDE_PIPE = 1 << 16, 1 << 20


class PipeOwner(Protocol):
    """A child, as its pipes see it."""

    @property
    def protocol(self) -> ProcessProtocol: ...

    def pipe_lost(self, number: int) -> None:
        """One of the child's pipes is closed, by the other side or by us."""

    def output_cut(self) -> None:
        """Output is given up that could not be read; its pipe is closed next."""


@implementer(IReadDescriptor)
class ReadDescriptor(ABC):
    """
    A descriptor that is only read. Twisted's own can write too, and is three times as
    large.
    """

    __slots__ = ("_fd", "_reactor")

    def __init__(self, reactor: Any, fd: int) -> None:
        self._reactor = reactor
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def logPrefix(self) -> str:
        return type(self).__name__

    def startReading(self) -> None:
        self._reactor.addReader(self)

    def stopReading(self) -> None:
        self._reactor.removeReader(self)

    @abstractmethod
    def doRead(self) -> Any:
        """Read; a returned exception ends the reading."""

    def connectionLost(self, reason: Failure) -> None:
        self.stopReading()
        os.close(self._fd)


class OutputPipe(ReadDescriptor):
    """
    The reading end of one of a child's pipes.

    Its end is what read(2) says, never what poll(2) or epoll(7) does. These look at
    the bytes first and then at the writers, so a child that writes and exits in
    between is reported as C{HUP} alone while its last bytes are still there.
    """

    __slots__ = (
        *("_failures", "_number", "_owner", "_retry", "_size", "_wanted"),
        *("closing", "owed"),
    )

    #: Seconds between two attempts to read what could not be read.
    RETRY = 0.5

    #: How many failures in a row end the reading once the child is gone.
    MOST_FAILURES = 20

    def __init__(self, reactor: Any, owner: PipeOwner, number: int, fd: int) -> None:
        super().__init__(reactor, fd)
        self._owner = owner
        self._number = number
        #: Bytes that were in the pipe when the child exited and have not been read yet.
        self.owed = 0
        #: Whether to close as soon as nothing is owed.
        self.closing = False
        self._size = PIPE_SIZE
        self._wanted = False
        self._failures = 0
        self._retry: IDelayedCall | None = None
        os.set_blocking(fd, False)

    def startReading(self) -> None:
        self._wanted = True
        if self._retry is None:
            self._reactor.addReader(self)

    def stopReading(self) -> None:
        self._wanted = False
        self._reactor.removeReader(self)

    def doRead(self) -> None:
        try:
            data = self._read()
        except BlockingIOError:
            self.owed = 0  # all that was owed has been read
            if self.closing:
                self._end()
            return
        except (OSError, MemoryError) as error:
            self._read_failed(error)
            return
        self._failures = 0
        if self.owed:
            self.owed -= len(data)
        if data:
            self._owner.protocol.childDataReceived(self._number, data)
        if not data or (self.closing and self.owed <= 0):
            self._end()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor saw C{HUP} alone, and has removed this reader: look again."""
        wanted = self._wanted
        self.doRead()
        # Whatever paused the child meanwhile has cleared this; so has the end.
        if wanted and self._wanted:
            self.startReading()

    def child_exited(self) -> None:
        """The child has exited: what is in the pipe now was written by it."""
        try:
            waiting = ioctl(self._fd, termios.FIONREAD, b"\0\0\0\0")
        except OSError:
            self.owed = WIDE_PIPE  # at most
        else:
            self.owed = int.from_bytes(waiting, sys.byteorder)

    def close(self) -> None:
        """Read what the child wrote while it lived, then close the pipe."""
        self.closing = True
        if self.owed <= 0:
            self._end()

    def _read(self) -> bytes:
        """
        Some bytes; none at the end.

        @raise BlockingIOError: if there are none now.
        """
        size = self._size
        data = os.read(self._fd, size)
        if size < READ_SIZE and len(data) == size:
            self._widen()
        return data

    def _widen(self) -> None:
        """
        Enlarge the pipe of a child that writes faster than it is read.

        With the larger reads that it allows, 653 MB/s instead of 196. Not done for all:
        a user has 64 MiB for all pipes, and only small ones after that.
        """
        self._size = READ_SIZE
        with suppress(OSError):  # the user's share is used up
            fcntl(self._fd, F_SETPIPE_SZ, WIDE_PIPE)

    def _read_failed(self, error: Exception) -> None:
        """
        The kernel or Python refused to read, most often for want of memory: the bytes
        are still there, so try again soon. The child waits while its pipe is full.
        """
        if not self._failures:
            text = "the output of a command cannot be read ({error}); trying again"
            _log.error(text, error=error)
        self._failures += 1
        if self.closing and self._failures > self.MOST_FAILURES:
            self._owner.output_cut()
            self._end()
            return
        super().stopReading()
        self._retry = self._reactor.callLater(self.RETRY, self._read_again)

    def _read_again(self) -> None:
        self._retry = None
        if self._wanted:
            super().startReading()

    def _end(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self.stopReading()
        os.close(self._fd)
        self._owner.pipe_lost(self._number)


class StdinPipe(FileDescriptor):
    """
    The writing end of a child's input.

    It buffers nothing: what does not fit into the pipe has to be offered again.
    """

    def __init__(self, reactor: Any, owner: PipeOwner, fd: int) -> None:
        super().__init__(reactor)
        self._owner = owner
        self._fd = fd
        self._later: IReactorTime = reactor
        self._ready: Callable[[], None] | None = None
        self._retry: IDelayedCall | None = None
        os.set_blocking(fd, False)

    def fileno(self) -> int:
        return self._fd

    def watch_reader(self) -> None:
        """Notice when the last reader has closed the pipe."""
        self.startReading()

    def doRead(self) -> Exception:
        return CONNECTION_DONE  # a writing end gets readable only when it is broken

    def offer(self, data: memoryview, ready: Callable[[], None]) -> int:
        """@see: L{shellstream.runs.stdin.Sink.write}"""
        try:
            size = os.write(self._fd, data)
        except BlockingIOError:
            size = 0
        except OSError as error:
            if error.errno == errno.ENOMEM:
                self._ready = ready
                self._retry = self._later.callLater(OutputPipe.RETRY, self.doWrite)
            else:  # EPIPE; EIO from a terminal
                self.connectionLost(Failure(CONNECTION_LOST))
            return 0
        if size < len(data):
            self._ready = ready
            self.startWriting()
        return size

    def doWrite(self) -> None:
        self.stopWriting()
        assert self._ready is not None
        self._ready()

    def send_eof(self) -> None:
        """There is no more input."""
        self.connectionLost(Failure(CONNECTION_DONE))

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        os.close(self._fd)
        self._owner.pipe_lost(0)
