"""Tests for L{shellstream.process.tracking.cgroups}."""

import errno
import os
import signal
from pathlib import Path
from unittest.mock import patch

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase, TestCase

from shellstream.config.command import Command, Unbuffer
from shellstream.config.confinement import Confinement
from shellstream.daemon.left_processes import LeftProcesses
from shellstream.model.errors import Busy, CannotStart
from shellstream.model.events import Stream
from shellstream.process.child import ChildProcess
from shellstream.process.launch_plan import prepare
from shellstream.process.tracking.cgroups import RunCgroups
from shellstream.process.tracking.process_scanner import ProcessScanner
from tests.support.cgroups import make_cgroup, needs_cgroups
from tests.support.orphans import RUN, Started
from tests.support.processes import Told, start, turn
from tests.support.programs import needs

#: Of a machine whose cgroup2 file system is at an unusual place.
MOUNTS = r"""
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu
41 31 0:38 {root} {point} rw,relatime shared:4 - cgroup2 cgroup2 rw
"""


class DelegatedTests(SynchronousTestCase):
    """A cgroup is divided only where the service manager says that it may be."""

    def setUp(self) -> None:
        self.mount = Path(self.mktemp()).absolute() / "a folder"
        self.own = self.mount / "system.slice" / "shellstream.service"
        self.own.mkdir(parents=True)
        self.proc = Path(self.mktemp())
        self.proc.mkdir()
        self.attribute = b"1"
        self.patch(os, "getxattr", self.getxattr)
        self.place("/system.slice/shellstream.service")

    def getxattr(self, path: str, name: str) -> bytes:
        self.assertEqual(name, "user.delegate")
        if path != str(self.own):
            raise OSError(errno.ENODATA, "no such attribute")
        return self.attribute

    def place(self, cgroup: str, root: str = "/") -> None:
        """Be in this cgroup, as the kernel tells it."""
        (self.proc / "cgroup").write_text(f"4:memory:/x\n0::{cgroup}\n")
        point = str(self.mount).replace(" ", r"\040")
        (self.proc / "mountinfo").write_text(MOUNTS.format(root=root, point=point))

    def delegated(self) -> RunCgroups | None:
        return RunCgroups.delegated(str(self.proc))

    def test_moves(self) -> None:
        """The daemon moves to a cgroup beside those of runs."""
        found = self.delegated()
        assert found is not None
        self.assertEqual(found.path, str(self.own))
        self.assertEqual((self.own / "daemon" / "cgroup.procs").read_text(), "0")
        run = found.of("x")
        run.make()
        self.assertEqual({*os.listdir(self.own)}, {"daemon", "run-x"})
        self.assertEqual(run.enter({})[-1], f"{self.own}/run-x/cgroup.procs")

    def test_container(self) -> None:
        """Names are told from the root of what is mounted."""
        self.place("/box/system.slice/shellstream.service", "/box")
        self.assertIsNotNone(self.delegated())
        self.place("/elsewhere/shellstream.service", "/box")
        self.assertIsNone(self.delegated())

    def test_not_delegated(self) -> None:
        """Without the mark, nothing is made, whatever may be written to."""
        self.place("/system.slice")
        self.assertIsNone(self.delegated())
        self.place("/gone (deleted)")
        self.assertIsNone(self.delegated())
        self.place("/system.slice/shellstream.service")
        self.attribute = b"0"
        self.assertIsNone(self.delegated())
        self.assertEqual(os.listdir(self.own), [])

    def test_no_cgroup2(self) -> None:
        """Neither is it on a machine that has only cgroups of version 1, or none."""
        (self.proc / "cgroup").write_text("4:memory:/x\n")
        self.assertIsNone(self.delegated())
        (self.proc / "cgroup").unlink()
        self.assertIsNone(self.delegated())

    def test_read_only(self) -> None:
        """A sandbox that forbids the use is told of."""
        error = OSError(errno.EROFS, "Read-only file system")
        with patch("os.makedirs", side_effect=error), capturedLogs() as logged:
            self.assertIsNone(self.delegated())
        (event,) = logged
        self.assertIn("ProtectControlGroups=no", formatEvent(event))

    def test_left(self) -> None:
        """
        What the last daemon left is found by its folders, those that programs made in
        them too; empty ones are removed.
        """
        for name, pids in {"a": "1\n2\n", "a/box": "3\n", "b": None}.items():
            folder = self.own / f"run-{name}"
            folder.mkdir()
            if pids is not None:
                (folder / "cgroup.procs").write_text(pids)
        found = self.delegated()
        assert found is not None
        self.assertEqual(found.left(), {"a": [1, 2, 3]})
        self.assertFalse((self.own / "run-b").exists())

    def test_swept(self) -> None:
        """What is not empty at the end of its run is removed once it is."""
        found = self.delegated()
        assert found is not None
        run = found.of("x")
        run.make()
        process = Path(run.path, "cgroup.procs")
        process.touch()
        run.remove()
        found.sweep()
        self.assertTrue(os.path.isdir(run.path))
        process.unlink()
        found.sweep()
        self.assertFalse(os.path.isdir(run.path))
        run.remove()  # again: nothing happens
        self.assertEqual([*run.pids()], [])
        self.assertFalse(run.kill())

    def test_old_kernel(self) -> None:
        """Before Linux 5.14 there is no cgroup.kill, and none is made."""
        found = self.delegated()
        assert found is not None
        run = found.of("x")
        run.make()
        self.assertFalse(run.kill())
        self.assertEqual(os.listdir(run.path), [])


#: Leaves its session, its parent and its environment; says who it is.
STRAY = "(env -i setsid sh -c 'echo $$; exec >&- 2>&-; {0}; exec sleep 99' &); {1}"


class RunTests(TestCase):
    """A run in a cgroup of this machine."""

    timeout = 60
    skip = needs_cgroups() or needs("setsid")

    def setUp(self) -> None:
        self.folder = make_cgroup(self)
        self.cgroups = RunCgroups(str(self.folder))
        self.cgroup = self.cgroups.of(RUN.id)

    async def output(self, command: Command) -> tuple[str, int]:
        """What a command prints in its cgroup, and its status."""
        plan = prepare([command])[command.name]
        _, told = start(self, command, plan, run_id=RUN.id, cgroup=self.cgroup)
        status = await told.ended
        assert status.code is not None
        return told.output_.get(Stream.STDOUT, b"").decode(), status.code

    async def stray(
        self, does: str, then: str = "exec sleep 99"
    ) -> tuple[ChildProcess, Told, int]:
        """Start a script with a stray, and wait until that is there."""
        shell = Command(name="c", shell=STRAY.format(does, then))
        child, told = start(self, shell, run_id=RUN.id, cgroup=self.cgroup)
        while b"\n" not in told.output_.get(Stream.STDOUT, b""):
            await turn()
        return child, told, int(told.output_[Stream.STDOUT])

    def pids(self) -> list[int]:
        return [pid for each in self.cgroup.pids() for pid in each]

    async def removed(self) -> None:
        """Wait until the cgroup is removed: a process that is ending may be in it."""
        while os.path.isdir(self.cgroup.path):
            await turn()
            self.cgroups.sweep()

    async def test_entered(self) -> None:
        """
        The program begins in the cgroup, with the id, the arguments and the environment
        that it would have without; and the cgroup is removed after.
        """
        show = "cat /proc/self/cgroup; echo $$; env"
        argv = ("sh", "-c", show, "a b", "*")
        with patch.dict(os.environ, clear=True, PATH=os.environ["PATH"]):
            command = Command(
                name="c",
                argv=("env", "-0"),
                env={"X": "a\nb", "SHLVL": "7"},
                unbuffer=Unbuffer.OFF,
            )
            entered, status = await self.output(command)
            _, told = start(self, command, prepare([command])["c"], run_id=RUN.id)
            await told.ended
        self.assertEqual(status, 0)
        otherwise = told.output_[Stream.STDOUT].decode()
        self.assertEqual({*entered.split("\0")}, {*otherwise.split("\0")})
        shown, _ = await self.output(Command(name="c", argv=argv))
        self.assertIn(f"0::/{self.folder.name}/run-{RUN.id}\n", shown)
        self.assertFalse(os.path.isdir(self.cgroup.path))

    async def test_confined(self) -> None:
        """It enters before it changes its user, which may not write there."""
        confine = Confinement(user="nobody", no_new_privileges=True, nice=1)
        argv = ("sh", "-c", "id -un; grep ^0:: /proc/self/cgroup; nice")
        shown, status = await self.output(Command(name="c", argv=argv, confine=confine))
        expected = f"nobody\n0::/{self.folder.name}/run-{RUN.id}\n1\n"
        self.assertEqual((shown, status), (expected, 0))

    if os.geteuid():
        test_confined.skip = "only root changes its user"

    async def test_status(self) -> None:
        """Its end is told as it is, and a program that is not there is named."""
        _, status = await self.output(Command(name="c", shell="exit 7"))
        self.assertEqual(status, 7)
        with self.assertRaises(CannotStart):
            start(self, Command(name="c", argv=("/no/such",)), cgroup=self.cgroup)
        self.assertFalse(os.path.isdir(self.cgroup.path))

    async def test_no_room(self) -> None:
        """A run for which there may be no more cgroups can be tried again later."""
        (self.folder / "cgroup.max.descendants").write_text("0")
        with self.assertRaises(Busy):
            start(self, Command(name="c", argv=("true",)), cgroup=self.cgroup)

    async def test_signal(self) -> None:
        """A stray is ended where that is asked for, and no process is looked for."""
        child, told, other = await self.stray(":")
        self.assertLessEqual({child.pid, other}, {*self.pids()})
        self.patch(ProcessScanner, "scan", None)
        child.signal(signal.SIGTERM)
        await told.ended
        while child.session_lives():
            await turn()
        self.assertEqual(self.pids(), [other])
        child.signal(signal.SIGTERM, strays=True)
        while child.session_lives():
            await turn()
        await self.removed()

    async def test_kill(self) -> None:
        """KILL ends all at once, in cgroups that it made too."""
        inner = (
            f"mkdir {self.cgroup.path}/in; echo 0 > {self.cgroup.path}/in/cgroup.procs"
        )
        child, told, other = await self.stray(f"trap : TERM; {inner}")
        while other not in self.pids() or not os.path.isdir(f"{self.cgroup.path}/in"):
            await turn()
        child.signal(signal.SIGTERM, strays=True)
        await told.ended
        self.assertTrue(child.session_lives())
        child.signal(signal.SIGKILL)
        while child.session_lives():
            await turn()
        self.assertEqual(self.pids(), [])
        await self.removed()

    async def test_no_kill(self) -> None:
        """The same on a kernel that cannot kill a cgroup."""
        self.patch(type(self.cgroup), "kill", lambda cgroup: False)
        await self.test_kill()

    def test_left(self) -> None:
        """
        Of a killed daemon's run, what has cleaned its environment is found by the
        cgroup once the leader has ended.
        """
        self.cgroup.make()
        started = Started(
            self,
            f"set -- '{self.cgroup.path}/cgroup.procs'; echo 0 > $1; "
            "env -i sh -c 'echo $$; exec sleep 99' &",
        )
        record = started.record
        started.wait()
        clock = Clock()
        scanner = ProcessScanner(clock, lambda: 0.0)
        self.assertEqual({*LeftProcesses(clock, scanner).find([record])}, set())
        left = LeftProcesses(clock, scanner, self.cgroups)
        self.assertEqual({*left.find([record])}, {RUN.id})
        gone: list[str] = []
        left.end(gone.append)
        while not gone:
            clock.advance(1)
        self.assertEqual(self.pids(), [])
