"""Tests for commands on an interactive terminal, with real processes."""

import errno
import hashlib
import os
import signal
from tty import setraw
from unittest.mock import patch

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.trial.unittest import SynchronousTestCase, TestCase

from shellstream.config.command import Command, Unbuffer
from shellstream.model.errors import Busy, CannotStart
from shellstream.model.events import Stream
from shellstream.model.run_input import InputClosed, StdinChunk, Tty
from shellstream.process.child import ChildProcess, ChildProtocol
from shellstream.process.pty import PtyInput, open_tty
from shellstream.runs.stdin import Stdin
from tests.support.processes import Told, kill_group, start, turn
from tests.support.programs import readable


@define(eq=False)
class Owner:
    """The owner of a child on a terminal."""

    closed: Deferred[None]
    protocol: ProcessProtocol = field(factory=ProcessProtocol)

    def pipe_lost(self, number: int) -> None:
        self.closed.callback(None)

    def output_cut(self) -> None:
        raise AssertionError


class ConsoleTestCase(TestCase):
    """A process on a terminal."""

    timeout = 60

    def start(
        self, script: str, size: Tty | None = None, **values: object
    ) -> tuple[ChildProcess, Told, Stdin]:
        """A script that is on one."""
        command = Command(name="c", shell=script, tty=True, **values)  # type: ignore[arg-type]
        child, told = start(self, command, tty=size or Tty())
        stdin = Stdin()
        stdin.connect(child)
        told.deaf.addCallback(lambda _: stdin.close())
        return child, told, stdin

    def out(self, told: Told) -> str:
        """Return all output so far."""
        self.assertNotIn(Stream.STDERR, told.output_)
        return told.output_.get(Stream.STDOUT, b"").decode()

    async def shown(self, told: Told, text: str) -> None:
        """Wait until this is shown; it must be before the end."""
        while text not in self.out(told):
            self.assertFalse(told.ended.called, self.out(told))
            await turn()


class ConsoleTests(ConsoleTestCase):
    """Programs see a real terminal."""

    async def test_terminal(self) -> None:
        """All three are one terminal, which controls the session and its group."""
        script = (
            "test -t 0 && test -t 1 && test -t 2 && tty && echo there > /dev/tty; "
            "test $(ps -o tpgid= -p $$) -eq $$ && echo mine; stty -a; echo $TERM"
        )
        _, told, _ = self.start(script, Tty(rows=50, columns=132, term="vt100"))
        self.assertEqual((await told.ended).code, 0)
        name, there, mine, *_, term = self.out(told).splitlines()
        self.assertRegex(name, "^/dev/(pts/|tty)")
        self.assertEqual((there, mine, term), ("there", "mine", "vt100"))
        self.assertIn("rows 50; columns 132", self.out(told))
        modes = {"icanon", "echo", "isig", "iutf8", "onlcr"}
        self.assertLessEqual(modes, set(self.out(told).split()))

    async def test_one_stream(self) -> None:
        """Standard error appears on the terminal in order with standard output."""
        _, told, _ = self.start("for n in 1 2 3; do echo $n; echo e$n >&2; done")
        await told.ended
        self.assertEqual(self.out(told).split(), ["1", "e1", "2", "e2", "3", "e3"])

    async def test_typed(self) -> None:
        """Typed characters are echoed, and read line by line."""
        _, told, stdin = self.start('read a; echo "you said $a"')
        self.assertEqual(await stdin.feed(StdinChunk(b"hi\x7fello\r")), 8)
        self.assertEqual((await told.ended).code, 0)
        self.assertEqual(self.out(told).splitlines()[-1], "you said hello")

    async def test_erase(self) -> None:
        """A character of several bytes is erased as one."""
        _, told, stdin = self.start('read a; echo "[$a]"')
        await stdin.feed(StdinChunk("xü\x7f\r".encode()))
        await told.ended
        self.assertEqual(self.out(told).splitlines()[-1], "[x]")

    async def test_password(self) -> None:
        """A program that asks for a password gets it, and it is not echoed."""
        script = "bash -c 'read -s -p Password: p < /dev/tty; echo; echo \"${#p}\"'"
        _, told, stdin = self.start(script)
        await self.shown(told, "Password:")
        await stdin.feed(StdinChunk(b"secret\n"))
        await told.ended
        self.assertEqual(self.out(told), "Password:\r\n6\r\n")

    async def test_interrupt(self) -> None:
        """Ctrl-C is INT."""
        _, told, stdin = self.start("echo here; read a; echo on")
        await self.shown(told, "here")
        await stdin.feed(StdinChunk(b"\x03"))
        self.assertEqual((await told.ended).signal, signal.SIGINT)

    async def test_resize(self) -> None:
        """The terminal can be resized, and programs notice it."""
        script = "trap 'stty size; exit 3' WINCH; echo here; while :; do read a; done"
        child, told, _ = self.start(script)
        await self.shown(told, "here")
        child.resize(Tty(rows=33, columns=44))
        self.assertEqual((await told.ended).code, 3)
        self.assertEqual(self.out(told).split(), ["here", "33", "44"])
        child.resize(Tty())  # harmless after the exit

    async def test_other_user_of_terminals(self) -> None:
        """C{unbuffer} does not make an interactive terminal dumb."""
        script = "echo $TERM [$PAGER]; test -t 2"
        for how in Unbuffer:
            _, told, _ = self.start(script, unbuffer=how)
            self.assertEqual((await told.ended).code, 0)
            self.assertEqual(self.out(told), "xterm []\r\n")

    async def test_operator_knows(self) -> None:
        """The operator's C{TERM} takes precedence."""
        _, told, _ = self.start("echo $TERM", env={"TERM": "dumb"})
        await told.ended
        self.assertEqual(self.out(told), "dumb\r\n")

    async def test_much(self) -> None:
        """A program that reads every key gets all of them unchanged."""
        keys = bytes(range(256)) * 2000
        script = "stty raw -echo; echo here; head -c 512000 | sha256sum; stty sane"
        _, told, stdin = self.start(script)
        await self.shown(told, "here")
        await stdin.feed(StdinChunk(keys))
        self.assertEqual((await told.ended).code, 0)

        self.assertIn(hashlib.sha256(keys).hexdigest(), self.out(told))


class EndTests(ConsoleTestCase):
    """The end of typed input, and of its reader."""

    async def test_eof(self) -> None:
        """The end of input ends a program that reads lines, wherever it comes."""
        for typed in (b"", b"a\n", b"a\nb", b"a\x04"):
            _, told, stdin = self.start("stty -echo; cat; echo over")
            await stdin.feed(StdinChunk(typed, eof=True))
            self.assertEqual((await told.ended).code, 0)
            shown = typed.strip(b"\x04").decode().replace("\n", "\r\n")
            self.assertTrue(self.out(told).endswith(f"{shown}over\r\n"), typed)
            self.assertFalse(stdin.state.open)

    async def test_eof_of_shell(self) -> None:
        """The same for a shell that reads keys, which then exits."""
        _, told, stdin = self.start("exec bash --norc -i", env={"PS1": "> "})
        await self.shown(told, "> ")
        await stdin.feed(StdinChunk(b"echo 4$((1+1))\r", eof=True))
        self.assertEqual((await told.ended).code, 0)
        self.assertIn("42", self.out(told))

    async def test_eof_while_command_runs(self) -> None:
        """
        The end of input ends a shell, also when it comes while a command runs and the
        terminal edits lines meanwhile.
        """
        go = os.path.abspath(self.mktemp())
        command = f"echo $((40+2)); until test -e {go}; do :; done\r".encode()
        _, told, stdin = self.start("exec bash --norc -i", env={"PS1": "> "})
        await self.shown(told, "> ")
        await stdin.feed(StdinChunk(command))
        await self.shown(told, "42")
        await stdin.feed(StdinChunk(b"", eof=True))
        with open(go, "x"):
            pass
        self.assertEqual((await told.ended).code, 0)

    async def test_eof_while_full(self) -> None:
        """The end of file waits behind the terminal's buffer for room."""
        master, slave, _ = open_tty(Tty())
        self.addCleanup(os.close, slave)
        self.addCleanup(os.close, master)
        setraw(slave)
        closed: Deferred[None] = Deferred()
        keyboard = PtyInput(reactor, Owner(closed), os.dup(master))
        typed = 0
        while size := keyboard.offer(memoryview(bytes(1 << 16)), lambda: None):
            typed += size
            await turn()
        keyboard.send_eof()
        self.assertFalse(closed.called)
        found = b""
        while not found.endswith(b"\x04"):
            await readable(slave)
            found += os.read(slave, 1 << 16)
        self.assertEqual(found, bytes(typed) + b"\x04")
        await closed

    async def test_eof_of_nobody(self) -> None:
        """Input has no reader when all programs have closed the terminal."""
        master, slave, _ = open_tty(Tty())
        os.close(slave)
        closed: Deferred[None] = Deferred()
        PtyInput(reactor, Owner(closed), master).send_eof()
        self.assertTrue(closed.called)

    async def test_closed(self) -> None:
        """When all processes have closed the terminal, input is refused."""
        _, told, stdin = self.start("exec <&- >&- 2>&-; exec sleep 1000")
        await told.deaf
        self.assertRaises(InputClosed, stdin.feed, StdinChunk(b"x"))

    async def test_exit(self) -> None:
        """After the exit, a background job keeps nothing open."""
        child, told, stdin = self.start("sleep 1000 & exit 5")
        with patch.object(ChildProtocol, "LINGER", 0.1):
            self.assertEqual((await told.ended).code, 5)
        self.assertRaises(InputClosed, stdin.feed, StdinChunk(b"x"))
        kill_group(child)

    async def test_jobs(self) -> None:
        """A signal reaches the jobs of a shell, each in a group of its own."""
        child, told, stdin = self.start("exec bash --norc -i")
        # Before they are sleep(1) they would be bash, which takes note and goes on.
        begun = b"until grep -q sleep /proc/$!/comm; do :; done"
        jobs = b"sleep 1001 & %b; sleep 1002 & %b" % (begun, begun)
        await stdin.feed(StdinChunk(b"%b; echo $((40+2))\r" % jobs))
        await self.shown(told, "42")
        self.assertTrue(child.session_lives())
        child.signal(signal.SIGHUP)
        self.assertEqual((await told.ended).signal, signal.SIGHUP)
        while child.session_lives():
            await turn()


class RefusedTests(SynchronousTestCase):
    """A failed start with input or a terminal leaves nothing open."""

    def assert_refused(self, error: type[Exception], command: Command) -> str:
        """Check that the command cannot be started; the error names no path."""
        before = len(os.listdir("/dev/fd"))
        found = ""
        for tty in (Tty(), None):
            raised = self.assertRaises(error, start, self, command, stdin=True, tty=tty)
            self.assertNotIn("/", str(raised))
            self.assertEqual(len(os.listdir("/dev/fd")), before)
            found += str(raised)
        return found

    def test_no_program(self) -> None:
        """The program is missing or not executable."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w") as plain:
            plain.write("\x01")
        os.chmod(path, 0o755)
        for argv in (("no-such-program",), (path,)):
            command = Command(name="c", argv=argv, stdin=True, tty=True)
            self.assertIn("its program", self.assert_refused(CannotStart, command))

    def test_no_room(self) -> None:
        """No descriptor, or no terminal."""
        command = Command(name="c", argv=("true",), stdin=True, tty=True)
        full = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        with (
            patch.object(os, "dup", side_effect=full),
            patch.object(os, "pipe", side_effect=full),
        ):
            self.assertIn("no room", self.assert_refused(Busy, command))
        before = len(os.listdir("/dev/fd"))
        with patch.object(os, "ttyname", side_effect=full):
            raised = self.assertRaises(Busy, start, self, command, tty=Tty())
        self.assertIn("no room for a terminal", str(raised))
        self.assertEqual(len(os.listdir("/dev/fd")), before)
