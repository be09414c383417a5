"""
A started process: its events go to a real L{ProcessProtocol}, and it can be controlled.

L{shellstream.process.spawn} starts them.
"""

import errno
import os
import resource
import signal
import termios
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from fcntl import ioctl
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.process import reapProcessHandlers
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from shellstream.model.events import ExitStatus, Stream
from shellstream.model.run_input import Tty
from shellstream.output.unforeseen import contained, log_unforeseen

from .pipes import OutputPipe, ReadDescriptor, StdinPipe
from .pty import PtyInput, PtyOutput, winsize
from .tracking.run_processes import RunProcesses

#: Twisted calls C{reapProcess} of these on SIGCHLD. Its function to register one would
#: reap a child that has exited already.
_ON_SIGCHLD: dict[int, Any] = reapProcessHandlers


_STREAMS = {1: Stream.STDOUT, 2: Stream.STDERR}


class ChildObserver(Protocol):
    """The run that a child belongs to, as the child sees it."""

    def output(self, stream: Stream, data: bytes) -> None:
        """The child wrote something."""

    def input_lost(self) -> None:
        """The child's input is closed, by the child or by us."""

    def finished(self, status: ExitStatus) -> None:
        """The child is reaped, and all of its output has been read."""


class ChildProtocol(ProcessProtocol):
    """Passes a child's output and its end on to its run."""

    #: A grandchild may hold the pipes open after the child has exited. For so many
    #: seconds its output still belongs to the run.
    LINGER = 2.0

    def __init__(self, run: ChildObserver, clock: IReactorTime) -> None:
        self._run = run
        self._clock = clock
        self._linger: IDelayedCall | None = None

    def childDataReceived(self, childFD: int, data: bytes) -> None:  # noqa: N803
        self._run.output(_STREAMS[childFD], data)

    def inConnectionLost(self) -> None:
        self._run.input_lost()

    def processExited(self, reason: Failure) -> None:
        child: Any = self.transport
        if child.has_output:
            self._linger = self._clock.callLater(self.LINGER, child.loseConnection)

    def processEnded(self, reason: Failure) -> None:
        if self._linger is not None and self._linger.active():
            self._linger.cancel()
        end = reason.value
        assert isinstance(end, ProcessDone | ProcessTerminated), end
        child: Any = self.transport
        status = ExitStatus(
            end.exitCode, end.signal, child.cpu, child.memory, child.output_complete
        )
        self._run.finished(status)


class _ExitWatcher(ReadDescriptor):
    """A pidfd, which gets readable when its process exits (pidfd_open(2))."""

    __slots__ = ("_child",)

    def __init__(self, reactor: Any, child: "ChildProcess", fd: int) -> None:
        super().__init__(reactor, fd)
        self._child = child

    def doRead(self) -> None:
        self.stopReading()
        os.close(self._fd)
        self._child.exited()


@define(eq=False)
class ChildProcess:
    """
    A started process, the leader of its own session and process group.

    The process is reaped only when it has exited and its pipes are closed. Until then
    its id is not given to another process, which a signal would reach by mistake.

    @ivar cpu: seconds of processor time that it took, once it has ended.
    @ivar memory: its peak resident memory in bytes, once it has ended; L{None} if it is
        less than the daemon's own.
    @ivar output_complete: whether all of its output could be read.
    """

    protocol: ProcessProtocol
    pid: int
    _processes: RunProcesses
    cpu: float | None = field(default=None, init=False)
    memory: int | None = field(default=None, init=False)
    output_complete: bool = field(default=True, init=False)
    _pipes: dict[int, OutputPipe] = field(factory=dict, init=False)
    _input: StdinPipe | None = field(default=None, init=False)
    _on_terminal: bool = field(default=False, init=False)
    _status: Failure | None = field(default=None, init=False)
    _ended: bool = field(default=False, init=False)

    @property
    def start_time(self) -> int | None:
        """@see: L{RunProcesses.start}"""
        return self._processes.start

    @property
    def has_output(self) -> bool:
        """Whether there may be output that is not read yet."""
        return bool(self._pipes)

    def start(
        self, reactor: Any, pipes: Mapping[int, int], terminals: Container[int] = ()
    ) -> None:
        """
        Begin to read the child's output, and to wait for its end.

        @param pipes: our descriptors by the child's number for the other end; 0, if it
            is there, takes its input. If this fails, they are still the caller's.
        @param terminals: the numbers of those that are a terminal.
        """
        try:
            self._start(reactor, pipes, terminals)
        except Exception:
            for pipe in self._pipes.values():
                pipe.stopReading()
            if self._input is not None:
                self._input.stopReading()
            raise

    def _start(
        self, reactor: Any, pipes: Mapping[int, int], terminals: Container[int]
    ) -> None:
        for number, fd in pipes.items():
            terminal = number in terminals
            if number == 0:
                self._on_terminal = terminal
                self._input = (PtyInput if terminal else StdinPipe)(reactor, self, fd)
            else:
                kind = PtyOutput if terminal else OutputPipe
                self._pipes[number] = kind(reactor, self, number, fd)
        self.protocol.makeConnection(self)
        self.resume()
        if self._input is not None:
            self._input.watch_reader()
        try:
            watcher = _ExitWatcher(reactor, self, os.pidfd_open(self.pid))
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                raise
            # A kernel before 5.3, or a sandbox.
            _ON_SIGCHLD[self.pid] = self
            self.reapProcess()
            return
        try:
            watcher.startReading()
        except Exception:
            os.close(watcher.fileno())
            raise

    def pause(self) -> None:
        """Leave the pipes unread: when they are full, the child's writes block."""
        for pipe in self._pipes.values():
            pipe.stopReading()

    def resume(self) -> None:
        """Read the pipes again."""
        for pipe in self._pipes.values():
            pipe.startReading()

    def write(self, data: memoryview, ready: Callable[[], None]) -> int:
        """@see: L{shellstream.runs.stdin.Sink.write}"""
        return 0 if self._input is None else self._input.offer(data, ready)

    def end_input(self) -> None:
        """There is no more input: close the pipe, or type the end of file."""
        if self._input is not None:
            self._input.send_eof()

    def resize(self, size: Tty) -> None:
        """Change the terminal's size; the kernel sends SIGWINCH to its programs."""
        if 1 in self._pipes:  # or the terminal is closed
            ioctl(self._pipes[1].fileno(), termios.TIOCSWINSZ, winsize(size))

    def signal(self, *numbers: int, strays: bool = False) -> None:
        """
        Send signals to the child and all that it has started in its session.

        @param strays: and, from now on, to what has left the session.
        """
        self._processes.signal(*numbers, strays=strays)

    def session_lives(self) -> bool:
        """
        Whether a process of those that L{signal} reaches is more than a zombie. On a
        machine with many processes the answer can be no only after several calls.
        """
        return self._processes.live()

    def loseConnection(self) -> None:
        """Close the pipes when all is read that the child itself wrote."""
        for pipe in tuple(self._pipes.values()):
            pipe.close()

    def reapProcess(self) -> None:
        """Called on each SIGCHLD if there is no pidfd."""
        how = os.WEXITED | os.WNOWAIT | os.WNOHANG
        try:
            lives = os.waitid(os.P_PID, self.pid, how) is None
        except ChildProcessError:  # reaped by other code
            lives = False
        if not lives:
            del _ON_SIGCHLD[self.pid]
            self.exited()

    def exited(self) -> None:
        """
        The process has exited: ask how, without reaping it.

        Each step is contained: this is not called again, and the run waits for its end.
        """
        how: Exception = ProcessTerminated()
        try:
            how = self._how_it_ended()
        except Exception:  # noqa: BLE001  # nobody can tell how it ended
            self.output_complete = False
            log_unforeseen(self._processes.run_id)
        self._status = Failure(how)
        if self._input is not None:
            with contained(self._processes.run_id):
                self._input.connectionLost(Failure(CONNECTION_DONE))
        for pipe in self._pipes.values():
            with contained(self._processes.run_id):
                pipe.child_exited()
        try:
            self.protocol.processExited(self._status)
        except Exception:  # noqa: BLE001  # the end is owed to the run all the same
            log_unforeseen(self._processes.run_id)
        self._maybe_ended()

    def _how_it_ended(self) -> Exception:
        try:
            found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            # Other code of this process has reaped it, as the kernel does where SIGCHLD
            # is ignored. Nobody can tell any more how it ended.
            self.output_complete = False
            return ProcessTerminated()
        assert found is not None
        code = found.si_status
        if found.si_code != os.CLD_EXITED:
            return ProcessTerminated(signal=code, status=code)
        return ProcessTerminated(code, status=code << 8) if code else ProcessDone(0)

    def pipe_lost(self, number: int) -> None:
        """One of the child's pipes is closed, by its other side or by us."""
        self._pipes.pop(number, None)
        if number == 0:
            self._input = None
            terminal = self._pipes.get(1)
            if isinstance(terminal, PtyOutput):
                with contained(self._processes.run_id):
                    terminal.input_ended()
        elif self._on_terminal and self._input is not None:
            with contained(self._processes.run_id):
                self._input.connectionLost(Failure(CONNECTION_DONE))
        try:
            self.protocol.childConnectionLost(number)
        except Exception:  # noqa: BLE001  # its end is owed to the run all the same
            log_unforeseen(self._processes.run_id)
        self._maybe_ended()

    def output_cut(self) -> None:
        """Part of the output could not be read."""
        self.output_complete = False

    def _maybe_ended(self) -> None:
        if self._status is None or self._pipes or self._ended:
            return
        self._ended = True
        try:
            self._reap()
        except Exception:  # noqa: BLE001  # what it took may stay unknown
            log_unforeseen(self._processes.run_id)
        self._processes.remove_cgroup()
        self.protocol.processEnded(self._status)

    def _reap(self) -> None:
        self._processes.leader_reaped = True
        try:
            # It is a zombie, so this does not block.
            _, _, usage = os.wait4(self.pid, 0)
        except ChildProcessError:
            return
        self.cpu = usage.ru_utime + usage.ru_stime
        # A child of vfork(2) begins with our own peak as its own.
        ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if usage.ru_maxrss > ours:
            self.memory = usage.ru_maxrss * 1024


def work_without_sigchld() -> None:
    """
    Let the kernel not send SIGCHLD, if it has pidfds. Otherwise each end of a process
    wakes the reactor twice. Call it once the reactor has begun to handle that signal.
    """
    with suppress(OSError):
        os.close(os.pidfd_open(os.getpid()))
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
