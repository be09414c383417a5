"""Our ends of a child's pipes, and of its terminal."""

import errno
import os
import select
import sys
import termios
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from fcntl import F_SETPIPE_SZ, fcntl, ioctl
from typing import Any, Protocol

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from shellstream.output.log import READ_SIZE

from .pty import edits_lines, eof_key

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
            super().startReading()

    def stopReading(self) -> None:
        self._wanted = False
        super().stopReading()

    def doRead(self) -> None:
        try:
            data = self._read()
        except BlockingIOError:
            return
        except (OSError, MemoryError) as error:
            self._read_failed(error)
            return
        self._failures = 0
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
        waiting = ioctl(self._fd, termios.FIONREAD, b"\0\0\0\0")
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
        data = os.read(self._fd, self._size)
        if len(data) == self._size < READ_SIZE:
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


class PtyOutput(OutputPipe):
    """
    The reading end of a pseudo-terminal, if the child writes to one.

    The kernel returns at most 4 KiB at once, and does not tell how much it has.
    """

    __slots__ = ("_edits_lines",)

    #: More than the kernel ever holds, in bytes: Linux 6 has 18 KiB (tty_buffer.c).
    MOST_HELD = 1 << 16

    def __init__(self, reactor: Any, owner: PipeOwner, number: int, fd: int) -> None:
        super().__init__(reactor, owner, number, fd)
        self._edits_lines: bool | None = None

    def doRead(self) -> None:
        super().doRead()
        if self._edits_lines is not None and self._wanted:
            self._repeat_eof()

    def child_exited(self) -> None:
        # poll(2) makes the kernel pass on all that it holds; FIONREAD does not.
        asked = select.poll()
        asked.register(self._fd, select.POLLIN)
        found = any(event & select.POLLIN for _, event in asked.poll(0))
        self.owed = self.MOST_HELD if found else 0

    def input_ended(self) -> None:
        """The end of file was typed: see L{_repeat_eof}."""
        self._edits_lines = edits_lines(self._fd)

    def _read(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        hung_up = False
        while size < READ_SIZE:
            try:
                data = os.read(self._fd, READ_SIZE - size)
            except BlockingIOError:
                self.owed = 0  # all that was owed has been read
                if not parts:
                    raise
                break
            except (OSError, MemoryError) as error:
                if parts:
                    break  # first these; the next read says it again
                if getattr(error, "errno", None) != errno.EIO:
                    raise
                # The end, for Linux (pty(7)). But the kernel looks for bytes first
                # and then for writers (n_tty_read), and may be interrupted in between
                # by a child that writes and exits. A second look is after its exit.
                if hung_up:
                    return b""
                hung_up = True
                continue
            if not data:
                break
            parts.append(data)
            size += len(data)
        return b"".join(parts)

    def _repeat_eof(self) -> None:
        """
        Type the end of file once more, if the terminal no longer edits lines.

        A shell that edits lines itself lets the terminal do it while it executes a
        command. An end of file typed at that time ends no read: the shell gets a NUL
        in its place when it comes back (N_TTY), and would wait for ever.
        """
        lines = edits_lines(self._fd)
        if self._edits_lines and not lines:
            with suppress(OSError):  # its input is full, or nobody reads it
                os.write(self._fd, eof_key(self._fd))
        self._edits_lines = lines


class StdinPipe(FileDescriptor):
    """
    The writing end of a child's input.

    It buffers nothing: what does not fit into the pipe has to be offered again.
    """

    def __init__(self, reactor: Any, owner: PipeOwner, fd: int) -> None:
        super().__init__(reactor)
        self._owner = owner
        self._fd = fd
        self._ready: Callable[[], None] | None = None
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
        except OSError:  # EPIPE; EIO from a terminal
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
        os.close(self._fd)
        self._owner.pipe_lost(0)


class PtyInput(StdinPipe):
    """The input of a child that has a terminal: what is written is typed there."""

    _last = b"\n"

    def watch_reader(self) -> None:
        """Not here: reading it would take the terminal's output from L{PtyOutput}."""

    def offer(self, data: memoryview, ready: Callable[[], None]) -> int:
        size = super().offer(data, ready)
        if size:
            self._last = bytes(data[size - 1 : size])
        return size

    def send_eof(self) -> None:
        """
        Type the terminal's end-of-file character, usually Ctrl-D.

        Within a line it only ends the line, and has to come twice (termios(3)).
        """
        eof = eof_key(self._fd)
        within = edits_lines(self._fd) and self._last not in (b"\n", b"\r", eof)
        self._type(memoryview(eof * (2 if within else 1)))

    def _type(self, keys: memoryview) -> None:
        if keys:
            keys = keys[self.offer(keys, lambda: self._type(keys)) :]
        if not keys and not self.disconnected:
            super().send_eof()
