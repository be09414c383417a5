"""Tests for L{process.child} and L{process.spawn}, with real processes."""

import contextlib
import errno
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from shellstream.config.command import Command, Invocation
from shellstream.config.confinement import Confinement
from shellstream.model.errors import Busy, CannotStart
from shellstream.model.events import ExitStatus, Stream
from shellstream.process.child import ChildProcess, ChildProtocol
from shellstream.process.file_limits import keep_descriptors, raise_file_limit
from shellstream.process.launch_plan import LaunchPlan
from shellstream.process.pipes import OutputPipe
from shellstream.process.spawn import spawn
from shellstream.process.tracking.process_scanner import ProcessScanner
from shellstream.process.tracking.process_table import process_start
from tests.support.processes import Told, spawn_now

#: Leaves its group, and a zombie in it.
NEGLIGENT = """
import os, time
if os.fork() == 0:
    os._exit(0)
os.setsid()
os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
print(os.getpid(), flush=True)
os.closerange(0, 3)
time.sleep(99)
"""


class FakeChild:
    """A child's transport, as far as its protocol looks at it."""

    closed = False
    cpu, memory, output_complete, has_output = 0.25, 4096, True, True

    def loseConnection(self) -> None:
        self.closed = True


class ChildProtocolTests(SynchronousTestCase):
    """L{ChildProtocol} reports the child's events to its run."""

    def setUp(self) -> None:
        self.told, self.clock, self.child = Told(), Clock(), FakeChild()
        self.protocol = ChildProtocol(self.told, self.clock)
        self.protocol.makeConnection(self.child)

    def test_output_then_exit(self) -> None:
        """Both streams arrive as they are written, and the exit code comes last."""
        self.protocol.childDataReceived(1, b"out")
        self.protocol.childDataReceived(2, b"err")
        self.protocol.processExited(Failure(ProcessDone(0)))
        self.assertNoResult(self.told.ended)
        self.protocol.processEnded(Failure(ProcessDone(0)))
        self.assertEqual(
            self.told.output_, {Stream.STDOUT: b"out", Stream.STDERR: b"err"}
        )
        status = self.successResultOf(self.told.ended)
        self.assertEqual(status, ExitStatus(0, None, 0.25, 4096))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_grandchild_holds_pipe(self) -> None:
        """A pipe that outlives the child is closed after a while."""
        end = Failure(ProcessTerminated(signal=9))
        self.protocol.processExited(end)
        self.clock.advance(ChildProtocol.LINGER - 0.1)
        self.assertFalse(self.child.closed)
        self.clock.advance(0.1)
        self.assertTrue(self.child.closed)
        self.protocol.processEnded(end)
        status = self.successResultOf(self.told.ended)
        self.assertEqual(status, ExitStatus(None, 9, 0.25, 4096))


class SpawnTests(TestCase):
    """L{spawn} starts a process, and reports its events."""

    timeout = 60

    def start(self, script: str) -> tuple[ChildProcess, Told]:
        """Start a script."""
        told = Told()
        command = Command(name="c", shell=script)
        child = spawn_now(command, command.invoke([]), ChildProtocol(told, reactor))

        def end() -> "Deferred[ExitStatus] | None":
            if told.ended.called:
                return None
            child.resume()
            child.signal(signal.SIGKILL)
            return told.ended

        self.addCleanup(end)
        return child, told

    def assert_ended(
        self, status: ExitStatus, code: int | None, number: int | None = None
    ) -> None:
        """Check this end, and that processor time and memory are plausible."""
        self.assertEqual((status.code, status.signal), (code, number))
        assert status.cpu is not None
        self.assertTrue(0 <= status.cpu < 60, status)

    async def test_streams_and_code(self) -> None:
        """The two streams stay apart, and the code is the child's."""
        _, told = self.start("echo out; echo err >&2; exit 3")
        self.assert_ended(await told.ended, 3)
        self.assertEqual(
            told.output_, {Stream.STDOUT: b"out\n", Stream.STDERR: b"err\n"}
        )

    async def test_signal(self) -> None:
        """A signal reaches the whole session, and is reported as its end."""
        child, told = self.start("sleep 1000 & echo here; wait")
        await told.seen
        self.assertTrue(child.session_lives())
        child.signal(signal.SIGTERM)
        self.assert_ended(await told.ended, None, signal.SIGTERM)
        child.signal(signal.SIGTERM)  # harmless after the last process

    async def test_zombies(self) -> None:
        """A session of unreaped zombies counts as gone."""
        child, told = self.start(f"{sys.executable} -c '{NEGLIGENT}' & exit 0")
        await told.ended
        parent = int(told.output_[Stream.STDOUT])
        self.addCleanup(os.kill, parent, signal.SIGKILL)
        os.killpg(child.pid, 0)
        self.assertFalse(child.session_lives())

    async def test_in_thread(self) -> None:
        """
        A process that a thread starts has the folder and the umask of its command. The
        rest of the daemon keeps its own, and hears why a start failed.
        """
        script = "pwd; umask; ps -o sid= -p $$ | tr -d ' '"
        confine = Confinement(umask=0o31)
        for cwd in ("/usr", "/nonexistent"):
            told = Told()
            command = Command(name="c", shell=script, cwd=cwd, confine=confine)
            here, mask = os.getcwd(), os.umask(0o22)
            self.addCleanup(os.umask, mask)
            starting = spawn(
                reactor,
                command,
                command.invoke([]),
                ChildProtocol(told, reactor),
                "id",
                LaunchPlan(),
                ProcessScanner(reactor),
                deferToThread,
            )
            if cwd == "/nonexistent":
                with self.assertRaises(CannotStart):
                    await starting
                continue
            child = await starting
            await told.ended
            said = f"/usr\n0031\n{child.pid}\n".encode()
            self.assertEqual(told.output_, {Stream.STDOUT: said})
            self.assertEqual((os.getcwd(), os.umask(0o22)), (here, 0o22))

    async def test_own_session(self) -> None:
        """The child leads a session and a group of its own, with no terminal."""
        child, told = self.start("echo here; read wait < /dev/stdin; sleep 1000")
        await told.seen
        self.assertEqual(os.getsid(child.pid), child.pid)
        self.assertEqual(os.getpgid(child.pid), child.pid)

    async def test_inherits_nothing(self) -> None:
        """The child has three descriptors, its input is empty, its limit usual."""
        raise_file_limit()
        keep_descriptors()
        _, told = self.start("ls /proc/self/fd | wc -l; cat; ulimit -Sn")
        await told.ended
        # ls has opened the folder too.
        count, limit = told.output_[Stream.STDOUT].split()
        self.assertEqual(int(count), 4)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.assertLessEqual(int(limit), hard)

    async def test_signals(self) -> None:
        """The child ignores and blocks no signal, whatever the daemon does."""
        ignored = {signal.SIGUSR1, signal.SIGHUP, signal.SIGRTMIN}
        for number in ignored:
            self.addCleanup(signal.signal, number, signal.getsignal(number))
            signal.signal(number, signal.SIG_IGN)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            _, told = self.start("exec grep -E '^Sig(Blk|Ign)' /proc/self/status")
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        await told.ended
        _, blocked, _, sets = told.output_[Stream.STDOUT].split()
        self.assertEqual(int(blocked, 16), 0)
        # glibc has two signals of its own, 32 and 33, which nobody else can use.
        self.assertEqual(int(sets, 16) & ~(0b11 << 31), 0)

    async def test_paused(self) -> None:
        """Output of a child that was paused when it exited is not lost."""
        child, told = self.start("head -c 60000 /dev/zero")
        child.pause()
        exited: Deferred[None] = Deferred()
        original = child.protocol.processExited

        def processExited(reason: Failure) -> None:
            original(reason)
            exited.callback(None)

        self.patch(child.protocol, "processExited", processExited)
        await exited
        child.loseConnection()  # as after the linger time
        self.assertNoResult(told.ended)
        child.resume()
        self.assert_ended(await told.ended, 0)
        self.assertEqual(len(told.output_[Stream.STDOUT]), 60000)

    async def test_grandchild_writes_on(self) -> None:
        """A grandchild that never stops writing does not keep the run."""
        child, told = self.start("yes & exit 0")
        with patch.object(ChildProtocol, "LINGER", 0.1):
            self.assert_ended(await told.ended, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)

    async def test_without_pidfd(self) -> None:
        """Without a pidfd, SIGCHLD reports the end."""
        with patch.object(os, "pidfd_open", side_effect=OSError(errno.ENOSYS, "")):
            _, told = self.start("echo here; exit 4")
        ended = await told.ended
        self.assertEqual((ended.code, ended.signal), (4, None))
        self.assertIsNotNone(ended.cpu)
        self.assertEqual(told.output_, {Stream.STDOUT: b"here\n"})

    async def test_reaped_by_others(self) -> None:
        """
        A child that other code has reaped has ended, though not as a success; with and
        without a pidfd.
        """
        for error in (None, OSError(errno.ENOSYS, "")):
            with patch.object(os, "pidfd_open", side_effect=error, wraps=os.pidfd_open):
                child, told = self.start("echo here; exec sleep 1000")
            await told.seen
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
            child.reapProcess() if error else None
            ended = await told.ended
            self.assertEqual((ended.code, ended.signal), (None, None))
            self.assertFalse(ended.output_complete)

    async def test_run(self) -> None:
        """The child gets the id of its run, and we its start time."""
        child, told = self.start("echo $SHELLSTREAM_RUN; sleep 1000")
        await told.seen
        self.assertEqual(told.output_[Stream.STDOUT], b"id\n")
        self.assertEqual(child.start_time, process_start(child.pid))
        self.assertIsNotNone(child.start_time)

    async def test_what_it_took(self) -> None:
        """Its processor time and memory are reported at its end."""
        busy = (
            'import time; x = b"x" * (300 << 20)\nwhile time.process_time() < 0.2: pass'
        )
        _, told = self.start(f"exec {sys.executable} -c '{busy}'")
        status = await told.ended
        self.assert_ended(status, 0)
        self.assertGreaterEqual(status.cpu or 0, 0.2)
        ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        if ours < 300 << 20:  # or a child's own peak cannot be told
            self.assertGreater(status.memory or 0, 300 << 20)

    async def test_many_at_once(self) -> None:
        """Each of many gets its own output and its own end."""
        started = [self.start(f"echo {n}; exit {n}")[1] for n in range(50)]
        for n, told in enumerate(started):
            self.assert_ended(await told.ended, n)
            self.assertEqual(told.output_[Stream.STDOUT], b"%d\n" % n)

    async def test_unforeseen(self) -> None:
        """
        Whatever is raised when a process has exited, its end is told once, and its
        descriptors are closed. If it is not known how it ended, that is told as well.
        """
        places = (
            (os, "waitid"),
            (os, "wait4"),
            (resource, "getrusage"),
            (OutputPipe, "child_exited"),
            (ChildProtocol, "processExited"),
            (ChildProtocol, "childConnectionLost"),
        )
        await self.start("exit 0")[1].ended  # by now the reactor has its descriptors
        before = len(os.listdir("/proc/self/fd"))
        for owner, name in places:
            for error in (OSError(errno.EIO, ""), MemoryError(), RecursionError()):
                _, told = self.start("exit 3")
                with patch.object(owner, name, side_effect=error):
                    status = await told.ended
                # Those that asked before it could be known how it ended.
                lost = (None, False), (3, True)
                known = (status.code, status.output_complete)
                self.assertEqual(known, lost[name != "waitid"], (name, error))
                self.assertEqual(len(os.listdir("/proc/self/fd")), before, name)
                self.flushLoggedErrors(type(error))
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(-1, os.WNOHANG)  # what wait4 could not reap


def names_of_children() -> list[str]:
    """The programs of our children, ended ones too, until they are reaped."""
    names = []
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError):  # it has ended meanwhile
            for pid in path.read_text().split():
                names.append(Path(f"/proc/{pid}/comm").read_text().strip())
    return names


class CannotSpawnTests(SynchronousTestCase):
    """A failed start is an error that names no path."""

    def setUp(self) -> None:
        gc.collect()  # what earlier tests left has descriptors as well

    def failing(self, number: int, error: Exception) -> Callable[[Any], None]:
        """Return an C{addReader} that fails after so many calls."""
        add, left = reactor.addReader, [None] * number

        def add_or_fail(reader: Any) -> None:
            if not left:
                raise error
            left.pop()
            add(reader)

        return add_or_fail

    def test_cannot_be_watched(self) -> None:
        """A process that cannot be watched is ended, and nothing of it is left."""
        command = Command(name="c", argv=("tail", "-f", "/dev/null"))
        invocation = command.invoke([])
        for error, raised in (
            (OSError(errno.ENOMEM, ""), Busy),
            (MemoryError(), MemoryError),
        ):
            for number in range(3):  # stdout, stderr, the exit
                before = len(os.listdir("/proc/self/fd")), reactor.getReaders()
                protocol = ChildProtocol(Told(), reactor)
                with (
                    patch.object(reactor, "addReader", self.failing(number, error)),
                    self.assertRaises(raised),
                ):
                    spawn_now(command, invocation, protocol)
                after = len(os.listdir("/proc/self/fd")), reactor.getReaders()
                self.assertEqual(after, before)
                self.assertNotIn("tail", names_of_children())

    def test_cannot_be_described(self) -> None:
        """Whatever fails before the process is there, no descriptor is left."""
        command = Command(name="c", argv=("true",))
        given = command, command.invoke([]), ChildProtocol(Told(), reactor)
        for owner, name in ((LaunchPlan, "resolve"), (LaunchPlan, "hand_over")):
            for error in (RecursionError(), UnicodeEncodeError("ascii", "x", 0, 1, "")):
                before = len(os.listdir("/proc/self/fd"))
                with (
                    patch.object(owner, name, side_effect=error),
                    self.assertRaises(type(error)),
                ):
                    spawn_now(*given)
                self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def why(self, *argv: str, cwd: str | None = None) -> str:
        """Return the error of L{spawn} for a command that cannot be started."""
        before = len(os.listdir("/proc/self/fd"))
        command = Command(name="c", argv=argv, cwd=cwd)
        with self.assertRaises(CannotStart) as caught:
            protocol = ChildProtocol(Told(), reactor)
            spawn_now(command, command.invoke([]), protocol)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
        self.assertNotIn("/", str(caught.exception))
        return str(caught.exception)

    def test_program(self) -> None:
        """The program is missing, not executable, or of an unknown format."""
        self.assertIn("program was not found", self.why("/nonexistent/x"))
        self.assertIn("program was not found", self.why("no-such-program-at-all"))
        self.assertIn("program is a folder", self.why("/"))
        path = os.path.abspath(self.mktemp())
        with open(path, "w") as plain:
            plain.write("\x01\x02")
        self.assertIn("may not be executed by the daemon", self.why(path))
        os.chmod(path, 0o755)
        self.assertIn("in no format", self.why(path))

    def test_interpreter(self) -> None:
        """A script is there, but not what it names: that is not the same."""
        path = os.path.abspath(self.mktemp())
        for named in ("/nonexistent/python3", "nonexistent"):
            with open(path, "w") as script:
                script.write(f"#!{named}\n")
            os.chmod(path, 0o755)
            expected = "needs an interpreter or a loader that was not found"
            self.assertIn(expected, self.why(path))

    def test_script_from_windows(self) -> None:
        """The carriage return is not taken for a part of the interpreter's name."""
        path = os.path.abspath(self.mktemp())
        for text, why in (
            ("#!/bin/sh\r\necho\r\n", "line ends of Windows"),
            ("\ufeff#!/bin/sh\necho\n", "nothing before that"),
        ):
            with open(path, "w", newline="") as script:
                script.write(text)
            os.chmod(path, 0o755)
            self.assertIn(why, self.why(path))

    def test_folder(self) -> None:
        """A missing working directory, or a file in its place, is an error."""
        self.assertIn("directory was not found", self.why("true", cwd="/nonexistent"))
        self.assertIn("directory was not found", self.why("true", cwd="/dev/null"))

    def test_too_long(self) -> None:
        """Parameters that are too long for execve(2) have an error of their own."""
        self.assertIn("too long", self.why("true", "x" * 10_000_000))

    def test_no_room(self) -> None:
        """A machine at its limit is busy, not broken."""
        command = Command(name="c", argv=("true",))
        full = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        with patch.object(os, "pipe", side_effect=full):
            invocation = Invocation(("true",), {}, {})
            protocol = ChildProtocol(Told(), reactor)
            self.assertRaises(Busy, spawn_now, command, invocation, protocol)
