"""
Tests for L{shellstream.process.launch_plan}: impossible settings fail at the start.
"""

import errno
import os
import pwd
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import patch

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.command import Command, Unbuffer
from shellstream.config.confinement import Confinement
from shellstream.process.launch_plan import CannotPrepare, LaunchPlan, prepare
from tests.support.programs import needs

LIMITS = ("memory", "cpu_seconds", "processes", "open_files", "file_size")


def command(
    name: str = "x", unbuffer: Unbuffer = Unbuffer.OFF, **confine: object
) -> Command:
    """A command that asks for this."""
    confinement = Confinement(**confine)  # type: ignore[arg-type]
    return Command(name=name, argv=("true",), unbuffer=unbuffer, confine=confinement)


class PrepareTests(SynchronousTestCase):
    """L{prepare} finds out how to start commands."""

    def test_nothing(self) -> None:
        """
        A command without settings has an empty plan, and no program is run for it.
        """
        with patch.dict(os.environ, PATH=""):
            self.assertEqual(prepare([command()]), {"x": LaunchPlan()})

    def test_prefix(self) -> None:
        """A command with settings gets the tools as its prefix, by their paths."""
        asked = command(nice=1, open_files=50, no_new_privileges=True)
        nice, prlimit, setpriv = map(shutil.which, ("nice", "prlimit", "setpriv"))
        expected = (nice, "-n", "1", "--", prlimit, "--nofile=50", "--")
        found = prepare([asked])["x"]
        self.assertEqual(found.prefix, (*expected, setpriv, "--no-new-privs", "--"))
        self.assertIsNone(found.owner)
        program, argv, env = LaunchPlan().resolve(asked, asked.invoke([]), "id")
        self.assertEqual((program, argv), (shutil.which("true"), ("true",)))
        self.assertEqual(
            found.resolve(asked, asked.invoke([]), "id"),
            (nice, (*found.prefix, "true"), env),
        )

    def test_own_user(self) -> None:
        """
        The daemon's own user as C{user} takes no privilege, and sets its variables.
        """
        own = pwd.getpwuid(os.geteuid())
        asked = command(user=own.pw_name)
        found = prepare([asked])["x"]
        self.assertEqual((found.prefix, found.owner), ((), None))
        with patch.dict(os.environ, HOME="/elsewhere", USER="nobody"):
            *_, env = found.resolve(asked, asked.invoke([]), "id")
        self.assertEqual((env["HOME"], env["SHELL"]), (own.pw_dir, own.pw_shell))
        self.assertEqual({env["LOGNAME"], env["USER"]}, {own.pw_name})

    def test_preload(self) -> None:
        """The library is looked up once, if any command needs it."""
        asked = [command("a"), command("b", unbuffer=Unbuffer.AUTO)]
        found = prepare(asked)
        self.assertIsNotNone(found["b"].preload)
        self.assertIs(found["a"].preload, found["b"].preload)

    def test_terminals_taken(self) -> None:
        """A temporary lack of terminals does not stop the daemon."""
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with patch.object(os, "openpty", side_effect=full):
            prepare([command(unbuffer=Unbuffer.PTY)])

    test_prefix.skip = needs("prlimit", "setpriv")
    test_preload.skip = needs("stdbuf")


class CannotPrepareTests(SynchronousTestCase):
    """A setting that the system cannot apply is reported with command, key and cure."""

    def reasons(self, *commands: Command) -> list[str]:
        """Why these cannot be had."""
        return list(self.assertRaises(CannotPrepare, prepare, commands).reasons)

    def test_unknown(self) -> None:
        """An unknown user or group."""
        asked = command(user="no-such-user", group="no-such-group")
        self.assertEqual(
            self.reasons(asked),
            [
                "command 'x': user: there is no 'no-such-user' here; create it",
                "command 'x': group: there is no 'no-such-group' here; create it; or "
                "use heading, to list commands together on the page for browsers",
            ],
        )

    def test_all(self) -> None:
        """Reasons of all commands come together; one that works has no reason."""
        bad = command("a", user="no-such-user"), command("b", group="no-such-group")
        reasons = self.reasons(command("c"), *bad, command("d"))
        self.assertEqual(
            [reason[:12] for reason in reasons], ["command 'a':", "command 'b':"]
        )

    def test_no_tools(self) -> None:
        """A system without the tools."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        for program in ("nice", "true"):
            os.symlink(str(shutil.which(program)), folder / program)
        limits: dict[str, Any] = {key: 10**6 for key in LIMITS if key != "processes"}
        with patch.dict(os.environ, PATH=str(folder)):
            (limit,) = self.reasons(command(nice=1, **limits))
            (death,) = self.reasons(command(die_with_daemon=True))
        self.assertIn("memory, open_files, file_size, cpu_seconds: needs", limit)
        self.assertIn("the program prlimit (of util-linux", limit)
        self.assertIn("die_with_daemon: needs the program setpriv", death)
        self.assertIn("install it, or do without", death)

    def test_above_hard_limit(self) -> None:
        """A limit above the daemon's own."""
        (reason,) = self.reasons(command(open_files=1 << 31))
        self.assertIn("command 'x': open_files: prlimit: ", reason)
        self.assertIn("Operation not permitted; a limit may not be above", reason)

    def test_too_little(self) -> None:
        """A limit too low for any process is refused."""
        (reason,) = self.reasons(command(memory=4096))
        self.assertIn("memory: no program survives it", reason)
        (reason,) = self.reasons(command(open_files=1))
        self.assertIn("open_files: ", reason)
        self.assertIn("must leave a program enough to start", reason)

    def test_root_has_any_number(self) -> None:
        """A limit of processes is refused for root, who is exempt from it."""
        with patch.object(os, "geteuid", return_value=0):
            (reason,) = self.reasons(command(processes=9))
        self.assertIn("processes: root may have any number; name a user", reason)

    def test_no_terminals(self) -> None:
        """A system without terminals."""
        none = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        with patch.object(os, "openpty", side_effect=none):
            (reason,) = self.reasons(command(unbuffer=Unbuffer.PTY))
            (other,) = self.reasons(evolve(command(), tty=True))
        self.assertIn("unbuffer: there are no terminals here", reason)
        self.assertIn("tty: there are no terminals here", other)

    def test_old_tools(self) -> None:
        """Tools without the needed options are reported."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        old = folder / "setpriv"
        old.write_text(
            "#!/bin/sh\necho \"setpriv: unrecognized option '$1'\" >&2; exit 1\n"
        )
        old.chmod(0o755)
        with patch.dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}"):
            (reason,) = self.reasons(command(die_with_daemon=True))
        self.assertIn("die_with_daemon: setpriv: unrecognized option", reason)
        self.assertIn("util-linux, 2.33 or newer", reason)

    def test_not_together(self) -> None:
        """Settings that only fail together are all named."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        picky = folder / "nice"
        picky.write_text(
            "#!/bin/sh\ncase $4 in */true) ;; *) echo no >&2; exit 1; esac\n"
        )
        picky.chmod(0o755)
        with patch.dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}"):
            (reason,) = self.reasons(command(nice=1, memory=1 << 30))
        self.assertEqual(reason, "command 'x': nice, memory: not together: no")

    for each in (test_above_hard_limit, test_too_little, test_not_together):
        each.skip = needs("prlimit")
