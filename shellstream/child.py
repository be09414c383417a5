"""
What a started process does, told to a real L{ProcessProtocol}, and how to steer it.

L{shellstream.spawn} starts them.
"""

import errno
import os
import resource
import select
import sys
import termios
from collections.abc import Mapping
from contextlib import suppress
from fcntl import fcntl, ioctl
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.process import (
    registerReapProcessHandler,
    unregisterReapProcessHandler,
)
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from .events import ExitStatus, Stream
from .outputlog import READ_SIZE
from .processes import living_member

if sys.platform == "linux":
    from fcntl import F_SETPIPE_SZ

_log = Logger()

#: What a pipe holds in the beginning (pipe(7)), and what it may hold then, in bytes.
PIPE_SIZE, WIDE_PIPE = 1 << 16, 1 << 20


class Run(Protocol):
    """What a child has to say to the run that it belongs to."""

    def output(self, stream: Stream, data: bytes) -> None:
        """The child wrote something."""

    def finished(self, status: ExitStatus) -> None:
        """The child is gone, and nothing of its output is still to come."""


class ChildProtocol(ProcessProtocol):
    """Carry a child's output, and then its fate, to its run."""

    #: A grandchild may hold the pipes open after the child is gone; this is
    #: how many seconds of its output still belong to the run.
    LINGER = 2.0

    def __init__(self, run: Run, clock: IReactorTime) -> None:
        self._run = run
        self._clock = clock
        self._linger: IDelayedCall | None = None

    def outReceived(self, data: bytes) -> None:
        self._run.output(Stream.STDOUT, data)

    def errReceived(self, data: bytes) -> None:
        self._run.output(Stream.STDERR, data)

    def processExited(self, reason: Failure) -> None:
        assert self.transport is not None
        self._linger = self._clock.callLater(self.LINGER, self.transport.loseConnection)

    def processEnded(self, reason: Failure) -> None:
        if self._linger is not None and self._linger.active():
            self._linger.cancel()
        end = reason.value
        assert isinstance(end, ProcessDone | ProcessTerminated), end
        child: Any = self.transport
        took = child.cpu, child.memory
        self._run.finished(ExitStatus(end.exitCode, end.signal, *took))


class _Pipe(FileDescriptor):
    """The reading end of one of a child's pipes."""

    def __init__(self, reactor: Any, child: "Child", number: int, fd: int) -> None:
        super().__init__(reactor)
        self._child = child
        self._number = number
        self._fd = fd
        #: Bytes that were in the pipe when the child exited, not yet read.
        self.owed = 0
        #: Whether to close once nothing is owed any more.
        self.closing = False
        self._size = PIPE_SIZE
        os.set_blocking(fd, False)

    def fileno(self) -> int:
        return self._fd

    def doRead(self) -> Exception | None:
        try:
            data = os.read(self._fd, self._size)
        except BlockingIOError:
            return None
        if not data:
            return CONNECTION_DONE
        self.owed -= len(data)
        if len(data) == self._size < READ_SIZE:
            self._widen()
        self._child.protocol.childDataReceived(self._number, data)
        if self.closing and self.owed <= 0:
            return CONNECTION_DONE
        return None

    def _widen(self) -> None:
        """Give more room to a child that writes faster than it is read."""
        self._size = READ_SIZE
        # No sooner: a user has 64 MiB for all pipes, and small ones after that.
        if sys.platform == "linux":
            with suppress(OSError):  # it has them, or more is not allowed
                fcntl(self._fd, F_SETPIPE_SZ, WIDE_PIPE)

    def note_exit(self) -> None:
        """The child has exited: what is in the pipe by now is still its own."""
        waiting = ioctl(self._fd, termios.FIONREAD, b"\0\0\0\0")
        self.owed = int.from_bytes(waiting, sys.byteorder)

    def close(self) -> None:
        """Read what the child wrote while it lived, then nothing more."""
        self.closing = True
        if self.owed <= 0:
            self.stopReading()
            self.connectionLost(Failure(CONNECTION_DONE))

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        os.close(self._fd)
        self._child.pipe_lost(self._number)


class _Terminal(_Pipe):
    """
    The reading end of a terminal, where a child has one in place of a pipe.

    The kernel hands over at most 4 KiB at once, and does not tell how much it has.
    """

    #: More than the kernel ever holds: Linux 6 has 18 KiB (tty_buffer.c, n_tty.c).
    HOLDS = 1 << 16

    def doRead(self) -> Exception | None:
        pieces: list[bytes] = []
        size = 0
        end: Exception | None = None
        while size < READ_SIZE:
            try:
                data = os.read(self._fd, READ_SIZE - size)
            except BlockingIOError:
                self.owed = 0  # whatever was owed has been read
                break
            except OSError as error:
                if error.errno != errno.EIO:  # what Linux has for an end
                    raise
                data = b""
            if not data:
                end = CONNECTION_DONE
                break
            pieces.append(data)
            size += len(data)
        self.owed -= size
        if pieces:
            self._child.protocol.childDataReceived(self._number, b"".join(pieces))
        if self.closing and self.owed <= 0:
            end = CONNECTION_DONE
        return end

    def note_exit(self) -> None:
        # Asked this way, the kernel looks through all that it holds.
        asked = select.poll()
        asked.register(self._fd, select.POLLIN)
        found = any(event & select.POLLIN for _, event in asked.poll(0))
        self.owed = self.HOLDS if found else 0


class _Watch(FileDescriptor):
    """A pidfd, which gets readable when its process exits (Linux 5.3)."""

    def __init__(self, reactor: Any, child: "Child", fd: int) -> None:
        super().__init__(reactor)
        self._child = child
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def doRead(self) -> None:
        self.stopReading()
        self.connectionLost(Failure(CONNECTION_DONE))
        self._child.exited()

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        os.close(self._fd)


@define(eq=False)
class Child:
    """
    A started process, the leader of its own session and process group.

    Its process id stays taken, by the unreaped process, until both it and its
    pipes are done; so a signal never reaches a stranger who got the same id.

    @ivar began: when it did, as its kernel counts; L{None} if that cannot be told.
    @ivar cpu: seconds of processor time that it took, once it has ended; L{None}
        where there is no pidfd.
    @ivar memory: its peak resident memory in bytes, likewise; L{None} if it is
        less than the daemon's own, too.
    """

    protocol: ProcessProtocol
    pid: int
    began: int | None
    cpu: float | None = field(default=None, init=False)
    memory: int | None = field(default=None, init=False)
    _pipes: dict[int, _Pipe] = field(factory=dict, init=False)
    _status: Failure | None = field(default=None, init=False)
    _reaped: bool = field(default=False, init=False)
    _ended: bool = field(default=False, init=False)
    _member: int | None = field(default=None, init=False)  # see living_member

    def start(self, reactor: Any, pipes: Mapping[int, int]) -> None:
        """Begin to listen to the child, by way of C{pipes} (number: descriptor)."""
        for number, fd in pipes.items():
            kind = _Terminal if os.isatty(fd) else _Pipe
            self._pipes[number] = kind(reactor, self, number, fd)
        self.protocol.makeConnection(self)
        self.resume()
        try:
            _Watch(reactor, self, os.pidfd_open(self.pid)).startReading()
        except (AttributeError, OSError):  # not Linux, an old one, or no descriptor
            registerReapProcessHandler(self.pid, self)

    def pause(self) -> None:
        """Leave the pipes unread, so that a child that writes on has to wait."""
        for pipe in self._pipes.values():
            pipe.stopReading()

    def resume(self) -> None:
        """Read the pipes again."""
        for pipe in self._pipes.values():
            pipe.startReading()

    def signal(self, number: int) -> None:
        """Send a signal to the child and all that it has started in its group."""
        try:
            with suppress(ProcessLookupError):  # an empty group: nobody to be told
                os.killpg(self.pid, number)
        except PermissionError:
            _log.warn(
                "process group {pid} runs as another user; signal {number} not sent",
                pid=self.pid,
                number=number,
            )

    def group_lives(self) -> bool:
        """Whether any process of the child's group is left but zombies."""
        try:
            self._member = living_member(self.pid, self._member)
        except PermissionError:
            return True
        return self._member is not None

    def loseConnection(self) -> None:
        """Close the pipes, once all is read that the child itself wrote."""
        for pipe in tuple(self._pipes.values()):
            pipe.close()

    def exited(self) -> None:
        """The process has exited; learn how, but leave its id taken."""
        found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        assert found is not None
        killed = found.si_code != os.CLD_EXITED
        self._exited(-found.si_status if killed else found.si_status)

    def reapProcess(self) -> None:
        """Called on SIGCHLD where there is no pidfd."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            unregisterReapProcessHandler(self.pid, self)
            self.processEnded(status)

    def processEnded(self, status: int) -> None:
        """Called where there is no pidfd, for a process that is reaped already."""
        self._reaped = True
        self._exited(os.waitstatus_to_exitcode(status))

    def _exited(self, code: int) -> None:
        end = (
            ProcessTerminated(signal=-code, status=-code)
            if code < 0
            else ProcessTerminated(code, status=code << 8)
            if code
            else ProcessDone(0)
        )
        self._status = Failure(end)
        for pipe in self._pipes.values():
            pipe.note_exit()
        self.protocol.processExited(self._status)
        self._maybe_ended()

    def pipe_lost(self, number: int) -> None:
        """One of the child's pipes is closed, by its writers or by us."""
        del self._pipes[number]
        self.protocol.childConnectionLost(number)
        self._maybe_ended()

    def _maybe_ended(self) -> None:
        if self._status is None or self._pipes or self._ended:
            return
        self._ended = True
        if not self._reaped:
            # It is a zombie: this only gives its id back, and tells what it took.
            _, _, usage = os.wait4(self.pid, 0)
            self.cpu = usage.ru_utime + usage.ru_stime
            # Started by vfork, it begins with our own peak as its own.
            ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if usage.ru_maxrss > ours:
                unit = 1 if sys.platform == "darwin" else 1024
                self.memory = usage.ru_maxrss * unit
        self.protocol.processEnded(self._status)
