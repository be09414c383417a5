"""C{--tty}: a terminal here, and one for the command there."""

import os
import sys
import termios
from fcntl import ioctl
from signal import SIGCONT, SIGHUP, SIGQUIT, SIGSTOP, SIGTERM
from struct import pack
from typing import Any

from tests.end_to_end.command_line import ClientTestCase
from tests.support.programs import Program, run

CONFIG = """
tty = true
[commands.sh]
argv = ["sh"]
env = { PS1 = "ready> " }
[commands.stuck]
shell = "stty raw -echo; echo here; exec cat"
linger = 0
[commands.fails]
argv = ["/nowhere/at/all"]
[commands.no]
argv = ["true"]
tty = false
"""


class TerminalTestCase(ClientTestCase):
    """The command line at a terminal of its own."""

    def size(self, rows: int, columns: int) -> None:
        """Make the terminal larger, or smaller."""
        ioctl(self.terminal, termios.TIOCSWINSZ, pack("HHHH", rows, columns, 0, 0))

    def modes(self) -> list[Any]:
        """Return the current settings of the terminal."""
        return termios.tcgetattr(self.terminal)

    def sit(self, *words: str) -> Program:
        """The client, at a new terminal."""
        master, slave = os.openpty()
        # No other process may have it open, or its end would not show.
        self.terminal = os.dup(master)
        self.addCleanup(os.close, self.terminal)
        self.size(50, 132)
        self.found = self.modes()
        argv = (sys.executable, "-m", "shellstream.client", *words)
        env = {"SHELLSTREAM_URL": self.daemon.url, "TERM": "vt100"}
        pty = (master, slave, os.ttyname(slave))
        self.program = run(self, *argv, env=env, pty=pty)
        return self.program

    def type(self, text: str) -> None:
        """Press keys."""
        transport: Any = self.program.transport
        transport.write(text.encode())

    async def left(self, code: int) -> str:
        """
        The client has ended like this, and its terminal is as it was.

        @return: all that was on it.
        """
        self.assertEqual(await self.program.ended(), code, self.program.out)
        self.assertEqual(self.modes(), self.found)
        return self.program.out.decode()


class SessionTests(TerminalTestCase):
    """A session feels like the command's own machine."""

    async def test_session(self) -> None:
        """Size, type, a new size, Ctrl-C, Ctrl-D, and the exit code of the shell."""
        await self.serve(CONFIG)
        program = self.sit("--tty", "sh")
        await program.seen(b"ready> ")
        self.assertNotEqual(self.modes(), self.found)
        self.type("stty size; echo $TERM\r")
        await program.seen(b"\r\n50 132\r\nvt100\r\n")
        self.size(33, 44)
        # The size and the keys go by requests of their own.
        self.type("until stty size | grep '33 44'; do :; done\r")
        await program.seen(b"\r\n33 44\r\n")
        self.type("sh -c 'echo be\"\"gun; exec sleep 1000'\r")
        await program.seen(b"begun\r\n")
        self.type("\x03")
        self.type("echo status $?; (exit 9)\r")
        await program.seen(b"status 130\r\n")
        self.type("\x04")
        self.assertNotIn("shellstream:", await self.left(9))

    async def test_order(self) -> None:
        """Keys arrive in the order in which they are pressed, however fast."""
        await self.serve(CONFIG)
        program = self.sit("--tty", "sh")
        await program.seen(b"ready> ")
        self.type("stty -echo; cat | md5sum; exit\r")
        line = "".join(map(str, range(500)))
        for each in line:
            self.type(each)
        self.type("\r\x04")
        from hashlib import md5

        expected = md5(f"{line}\n".encode(), usedforsecurity=False).hexdigest()
        self.assertIn(expected, await self.left(0))

    async def test_typed(self) -> None:
        """Without C{--tty} a user at a terminal is told what a command can take."""
        await self.serve(
            f'{CONFIG}\n[commands.load]\nargv = ["cat"]\ntty = false\nstdin = true\n'
        )
        for words, said in (
            (("sh",), "shellstream --tty sh, or --no-stdin to do without"),
            (("load",), "does not go to this command; give it a file or a pipe"),
            (("load", "--no-stdin"), None),
            (("load", "-q"), None),
            (("no",), None),
        ):
            self.sit(*words)
            shown = await self.left(0)
            if said is None:
                self.assertEqual(shown, "")
            else:
                self.assertIn(said, shown)


class LeavingTests(TerminalTestCase):
    """However it ends, the terminal is as it was."""

    async def stuck(self, *options: str) -> Program:
        """A command that ignores every key, of a new daemon."""
        await self.serve(CONFIG, "--state-dir", ":memory:")
        program = self.sit(*options, "--tty", "stuck")
        await program.seen(b"here")
        return program

    async def test_escape(self) -> None:
        """Enter, C{~} and C{.} leave a command that ignores them; it is ended."""
        await self.stuck()
        self.type("x~.\r~x\r~~.\r")
        await self.program.seen(b"x~.\r~x\r~.\r")
        self.type("~")
        self.type(".")
        self.assertIn("left; the run is ended in ", await self.left(129))
        (found,) = await self.runs()
        await self.client("attach", found["id"]).ended()
        (found,) = await self.runs()
        self.assertEqual(found["reason"], "disconnected")

    async def test_escape_unheard(self) -> None:
        """The escape also works when the server does not answer any more."""
        await self.stuck()
        os.kill(self.daemon.pid, SIGSTOP)
        self.addCleanup(os.kill, self.daemon.pid, SIGCONT)
        self.type("x\r~.")
        await self.left(129)

    async def test_killed(self) -> None:
        """A daemon that was killed is given up."""
        program = await self.stuck("--retry-for", "0.1")
        self.daemon.program.signal("KILL")
        self.assertIn("shellstream: ", await self.left(75))
        self.assertIn(b"not resumed", program.out)

    async def test_signals(self) -> None:
        """SIGTERM cancels the run; SIGQUIT leaves it, as does closing the terminal."""
        for number, code in ((SIGTERM, None), (SIGQUIT, 131), (SIGHUP, 129)):
            program = await self.stuck()
            os.kill(program.pid, number)
            # A run that is cancelled is sent TERM and HUP, and dies of either.
            await self.left(code or await program.ended())
            cancelled = "it was cancelled" in program.out.decode()
            self.assertEqual(cancelled, number == SIGTERM)

    async def test_mistakes(self) -> None:
        """Mistakes are reported before the terminal's modes are changed, or after."""
        await self.serve(CONFIG)
        for words, code, said in (
            (("no",), 65, "tty = true"),
            (("fails",), 70, "could not be started"),
            (("nothing",), 65, "there is no command 'nothing'"),
            ((f"{self.daemon.url}/stream",), 64, "name the command"),
            (("sh", "--detach-on-int"), 64, "goes to the command"),
            (("sh", "--prefix"), 64, "screen as it is"),
        ):
            self.sit("--tty", *words)
            self.assertIn(said, await self.left(code))
        said = await self.said("--tty", "sh", code=64)
        self.assertIn("needs a terminal", said)
