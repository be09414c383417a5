"""Shared by tests with real processes: programs, the daemon, the gate."""

import os
import re
import resource
import shutil
import sys
import tempfile
import termios
import tty
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from twisted.internet import reactor
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

import shellstream

from .watched_tests import WatchedTestCase, assert_in_time

ROOT = Path(shellstream.__file__).parents[1]  # trial runs in _trial_temp


class Program(ProcessProtocol):
    """A program under test, and what it has written so far."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.out = b""
        self.err = b""
        self.status: int | None = None
        self._waiting: list[tuple[bytes, Deferred[None]]] = []
        self._ended: list[Deferred[int]] = []

    @property
    def pid(self) -> int:
        assert self.transport is not None
        pid: int = self.transport.pid
        return pid

    def seen(self, text: bytes) -> Deferred[None]:
        """Return a Deferred that fires once C{text} is in the program's output."""
        found: Deferred[None] = Deferred()
        self._waiting.append((text, found))
        self._look()
        return found

    def ended(self) -> Deferred[int]:
        """Fires with the exit status, negative for a signal, when it has ended."""
        found: Deferred[int] = Deferred()
        self._ended.append(found)
        self._look()
        return found

    def signal(self, name: str) -> None:
        """Send a signal, unless the program has ended already."""
        assert self.transport is not None
        try:
            self.transport.signalProcess(name)
        except ProcessExitedAlready:
            return

    def outReceived(self, data: bytes) -> None:
        self.out += data
        self._look()

    def errReceived(self, data: bytes) -> None:
        self.err += data
        self._look()

    def processEnded(self, reason) -> None:
        end = reason.value
        assert isinstance(end, ProcessDone | ProcessTerminated), end
        self.status = -end.signal if end.signal is not None else end.exitCode
        self._look()

    def _look(self) -> None:
        waiting, self._waiting = self._waiting, []
        for text, found in waiting:
            if text in self.out or text in self.err:
                found.callback(None)
            elif self.status is not None:
                found.errback(
                    AssertionError(
                        f"{self.name} ended ({self.status}) and never wrote {text!r}: "
                        f"{self.out!r} {self.err!r}"
                    )
                )
            else:
                self._waiting.append((text, found))
        if self.status is not None:
            ended, self._ended = self._ended, []
            for each in ended:
                each.callback(self.status)


def run(
    test: TestCase,
    *argv: str,
    env: Mapping[str, str] = {},
    cwd: str | None = None,
    end_with: str = "KILL",
    child_fds: Mapping[int, int | str] | None = None,
    pty: tuple[int, int, str] | None = None,
) -> Program:
    """
    Start a program, and end it after the test. @param pty: its terminal: both ends, and
    the slave's name.
    """
    program = Program(Path(argv[0]).name)
    # What a daemon keeps, it keeps for this test.
    home = str(state_home(test))
    state = {"STATE_DIRECTORY": "", "XDG_STATE_HOME": home, "XDG_CONFIG_HOME": home}
    env = {**os.environ, **state, **env}
    ends: Any = pty or False  # which the interface's types do not know of
    reactor.spawnProcess(
        program, argv[0], argv, env, cwd, usePTY=ends, childFDs=child_fds
    )

    def end() -> Deferred[int]:
        program.signal(end_with)
        return program.ended()

    test.addCleanup(end)
    return program


def open_terminal() -> tuple[int, int, str]:
    """A terminal for L{run}, which shows lines of any length as they are written."""
    master, slave = os.openpty()
    tty.setraw(slave)  # or each newline would become two characters
    attributes = termios.tcgetattr(slave)
    attributes[3] |= termios.ISIG
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    return master, slave, os.ttyname(slave)


_STATE_HOMES: "WeakKeyDictionary[TestCase, Path]" = WeakKeyDictionary()


def state_home(test: TestCase) -> Path:
    """A test's $XDG_STATE_HOME: the same for all daemons that it starts."""
    if test not in _STATE_HOMES:
        _STATE_HOMES[test] = Path(test.mktemp()).absolute()
    return _STATE_HOMES[test]


def script(name: str) -> str:
    """Return the path of a program installed beside this Python, such as twistd."""
    return str(Path(sys.executable).with_name(name))


def socket_path(test: TestCase) -> str:
    """Return a short path for a UNIX socket: unix(7) allows 107 bytes."""
    folder = tempfile.mkdtemp()
    test.addCleanup(shutil.rmtree, folder)
    return f"{folder}/sock"


class Daemon:
    """A real shellstream daemon on a free port of this machine."""

    def __init__(self, program: Program) -> None:
        self.program = program
        match = re.search(rb"open (https?://\S+:(\d+))/ or type: ", program.out)
        assert match is not None, program.out
        self.url = match[1].decode()
        self.port = int(match[2])

    @property
    def pid(self) -> int:
        return self.program.pid


async def start_daemon(
    test: TestCase,
    config: str | None = None,
    *options: str,
    env: Mapping[str, str] = {},
    before: Sequence[str] = (),
) -> Daemon:
    """
    Start the daemon as a user would, and wait until it says where it listens.

    @param before: a program that is to execute it.
    """
    extra: list[str] = list(options)
    if config is not None:
        path = Path(test.mktemp())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(config, "utf-8")
        extra += ["--config", str(path.absolute())]
    if not any(option.startswith("--listen") for option in extra):
        extra += ["--port", "0"]
    # As shellstreamd does, which an older installation of a checkout lacks.
    daemon = [sys.executable, "-m", "shellstream.daemon"]
    if isinstance(test, WatchedTestCase):
        turns = Path(test.mktemp()).absolute()
        env = {**env, "TURNS": str(turns), "PYTHONPATH": str(ROOT)}
        daemon = [sys.executable, "-m", "tests.support.reactor_deadline"]
        # Cleanups run backwards: this one follows the end of the program.
        test.addCleanup(assert_in_time, turns)
    words = (*before, *daemon, *extra)
    program = run(test, *words, env=env, end_with="INT")
    await program.seen(b"/ or type: ")
    return Daemon(program)


class Gate:
    """
    A command that prints line k+1 only once it was let through after line k.

    Whoever holds a line back on its way here stops the command dead: no clock
    is needed to tell that output is live.
    """

    LINES = 3

    def __init__(self, test: TestCase) -> None:
        self.path = str(Path(test.mktemp()).absolute())
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(self.path)
        # Open for both, or writing would wait for a reader.
        self._fd = os.open(self.path, os.O_RDWR)
        test.addCleanup(os.close, self._fd)

    @property
    def shell(self) -> str:
        """The gated script."""
        lines = " ".join(str(k) for k in range(1, self.LINES + 1))
        return (
            f"for k in {lines}; do echo line $k; read go; done < '{self.path}'; "
            "echo over"
        )

    @property
    def config(self) -> str:
        """A configuration whose default command is the gated one."""
        return (
            'default = "gated"\n'
            "[commands.gated]\n"
            f'shell = """{self.shell}"""\n'
            "get = true\n"
        )

    def let_through(self) -> None:
        """Let the command print its next line."""
        os.write(self._fd, b"go\n")

    async def passed_by(self, client: Program) -> None:
        """Let the command through, line by line, as C{client} shows each."""
        for k in range(1, self.LINES + 1):
            await client.seen(b"line %d" % k)
            assert client.status is None, f"{client.name} ended too early"
            self.let_through()
        await client.seen(b"over")


class Lifeline:
    """
    Tells when every process that opened it for writing is gone.

    A command opens it with C{exec 3> PATH}; all that it starts inherits it.
    """

    def __init__(self, test: TestCase) -> None:
        self.path = str(Path(test.mktemp()).absolute())
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(self.path)
        self._fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        test.addCleanup(os.close, self._fd)

    async def spoken(self) -> None:
        """Wait for a write."""
        await readable(self._fd)

    async def cut(self) -> None:
        """Wait until no process holds the file; one must have opened it before."""
        await readable(self._fd)
        while os.read(self._fd, 4096):
            await readable(self._fd)


def readable(fd: int) -> Deferred[None]:
    """
    Return a Deferred that fires once there is something to read, or no writer left.
    """
    waiting = _Readable(fd)
    waiting.startReading()
    return waiting.found


class _Readable(FileDescriptor):
    def __init__(self, fd: int) -> None:
        super().__init__(reactor)
        self._fd = fd
        self.found: Deferred[None] = Deferred(lambda found: self.stopReading())

    def fileno(self) -> int:
        return self._fd

    def doRead(self) -> None:
        self.stopReading()
        self.found.callback(None)

    def connectionLost(self, reason: Failure) -> None:
        self.found.callback(None)


@contextmanager
def no_descriptor() -> Iterator[None]:
    """Make one attempt to open a file fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    first_free = os.open(os.devnull, os.O_RDONLY)
    os.close(first_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def needs(*programs: str) -> str | None:
    """
    Return why a test is skipped, if any of C{programs} is missing.

    In CI nothing is skipped: a program that is missing fails its test.
    """
    missing = [name for name in programs if shutil.which(name) is None]
    if not missing or os.environ.get("CI"):
        return None
    return f"not installed: {', '.join(missing)}"
