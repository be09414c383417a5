"""Tests for L{shellstream.client.doctor.process_watch}: who reads and writes when."""

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.doctor import process_watch
from shellstream.client.doctor.process_watch import (
    ProcessWatch,
    held_back_by,
    takes_without_giving,
)
from tests.support.doctor_commands import stage


class WatchTests(SynchronousTestCase):
    """The kernel's counts, here in a folder that looks like /proc."""

    def setUp(self) -> None:
        self.proc = Path(self.mktemp())
        self.patch(process_watch, "_PROC", self.proc)
        self.watch = ProcessWatch(10)

    def process(
        self, pid: int, *argv: str, io: tuple[int, int] = (0, 0), children: str = ""
    ) -> None:
        """A process, with the bytes that it has read and written so far."""
        folder = self.proc / str(pid)
        task = folder / f"task/{pid}"
        task.mkdir(parents=True, exist_ok=True)
        (folder / "fd").mkdir(exist_ok=True)
        (task / "children").write_text(children)
        (folder / "io").write_text(f"rchar: {io[0]}\nwchar: {io[1]}\nsyscr: 7\n")
        (folder / "cmdline").write_bytes(b"".join(os.fsencode(w) + b"\0" for w in argv))
        for name, target in (
            ("exe", f"/usr/bin/{argv[0]}"),
            ("fd/0", "pipe:[1]"),
            ("fd/1", "pipe:[2]"),
        ):
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(target)

    def test_moments(self) -> None:
        """A moment is a look at which a count has grown."""
        self.process(10, "sh", children="11 ")
        for io in ((0, 0), (5, 0), (5, 0), (9, 9), (12, 9)):
            self.process(11, "tr", "a", "b", io=io)
            self.watch.look()
        shell, tr = self.watch.stages()
        self.assertEqual((shell.name, shell.reads, shell.writes), ("sh", 0, 0))
        self.assertEqual((tr.argv, tr.reads, tr.writes), (("tr", "a", "b"), 3, 1))
        self.assertEqual((tr.stdin, tr.stdout), ("pipe:[1]", "pipe:[2]"))

    def test_other_program(self) -> None:
        """What a shell wrote counts no more once it has become another program."""
        for written in (0, 1, 2):
            self.process(10, "sh", io=(0, written))
            self.watch.look()
        self.process(10, "python3", "x.py", io=(7, 3))
        self.watch.look()
        (only,) = self.watch.stages()
        self.assertEqual(
            (only.name, only.program, only.writes), ("python3",) * 2 + (0,)
        )

    def test_gone(self) -> None:
        """A process that has ended, or no such file system, is no error."""
        self.watch.look()
        self.assertEqual(self.watch.stages(), ())
        self.process(10, "sh", children="11 12")
        self.process(12, "cat")
        self.watch.look()
        self.assertEqual([each.name for each in self.watch.stages()], ["sh", "cat"])

    def test_bounded(self) -> None:
        """Of a command that starts no end of processes, some are looked at."""
        self.process(10, "sh", children=" ".join(map(str, range(100, 400))))
        for pid in range(100, 400):
            self.process(pid, "sleep")
        self.watch.look()
        self.assertEqual(len(self.watch.stages()), process_watch.MAX_PROCESSES)


class PipelineTests(SynchronousTestCase):
    """Which stage of a pipeline holds output back."""

    def test_first(self) -> None:
        """Of stages that write more often when cured, the first one is the reason."""
        held = [stage("sh", 6), stage("tr", 0, 1, 2), stage("cat", 1, 2, 3)]
        live = [stage("sh", 6), stage("tr", 6, 1, 2), stage("cat", 6, 2, 3)]
        self.assertEqual([s.name for s in held_back_by(held, live, 6)], ["tr"])

    def test_several(self) -> None:
        """Stages that do not stand behind each other are all named."""
        held = [stage("a", 0, 1, 2), stage("b", 0, 3, 4)]
        live = [stage("a", 6, 1, 2), stage("b", 5, 3, 4)]
        self.assertEqual([s.name for s in held_back_by(held, live, 6)], ["a", "b"])

    def test_accident(self) -> None:
        """A few moments more, or a process that was seen once only, are no reason."""
        held, live = [stage("sh", 3)], [stage("sh", 5), stage("cat", 6)]
        self.assertEqual(held_back_by(held, live, 6), ())

    def test_takes(self) -> None:
        """A stage that reads piece by piece, and writes at its end."""
        stages = [
            stage("sh", 6),
            stage("mawk", 1, 1, 2, reads=6),
            stage("cat", 6, 2, 3, reads=6),
        ]
        self.assertEqual([s.name for s in takes_without_giving(stages)], ["mawk"])
