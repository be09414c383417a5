"""Tests for L{shellstream.client.doctor.command_trials}.

Real commands, very short ones.
"""

import asyncio
import os
import select
import signal
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.doctor.command_diagnosis import CURES, PIPE, PTY, Cure, Trial
from shellstream.client.doctor.command_trials import MAX_PIECES, examine_command, run
from shellstream.client.doctor.errors import CannotRun, NothingSeen

#: Seconds; nothing here waits for it to be over, unless it says so.
LONG = 60.0


def tried(shell: str, cure: Cure = PIPE, watch: float = LONG) -> Trial:
    return asyncio.run(run(["sh", "-c", shell], cure, watch))


def written(trial: Trial) -> bytes:
    return b"".join(each.data for each in trial.pieces)


class RunTests(SynchronousTestCase):
    """A command runs as it would elsewhere, and is over when we are."""

    def test_written(self) -> None:
        """What it writes to standard output is seen; stderr is no matter."""
        for cure in (PIPE, PTY):
            trial = tried("echo one; echo no >&2; exit 3", cure)
            self.assertEqual((written(trial), trial.code), (b"one\n", 3))
            self.assertGreaterEqual(trial.ended, trial.pieces[-1].time)
            self.assertGreaterEqual(trial.pieces[0].time, trial.began)

    def test_terminal(self) -> None:
        """Only on a terminal is its output one; its input never is."""
        shell = "test -t 1 && echo out; test -t 0 && echo in; true"
        self.assertEqual(written(tried(shell)), b"")
        self.assertEqual(written(tried(shell, PTY)), b"out\n")

    def test_cures(self) -> None:
        """A cure is a prefix, or a variable; Perl's is added to what is there."""
        cure = Cure("x", prefix=("env", "A=1"), env={"B": "2", "PERL5OPT": "-w"})
        self.patch(os, "environ", {**os.environ, "B": "1", "PERL5OPT": "-t"})
        self.assertEqual(written(tried("echo $A $B $PERL5OPT", cure)), b"1 2 -t -w\n")

    def test_signalled(self) -> None:
        """A command that a signal ended is told by its number."""
        self.assertEqual(tried("kill -9 $$").code, -signal.SIGKILL)

    def test_watched(self) -> None:
        """One that goes on is ended, with what it started and what ignores TERM."""
        path = self.mktemp()
        trial = tried(
            f"trap '' TERM; sleep 600 & echo $$ $! > {path}; echo up; wait; wait",
            watch=1.0,
        )
        self.assertIsNone(trial.code)
        self.assertEqual(written(trial), b"up\n")
        for pid in Path(path).read_text().split():
            try:
                fd = os.pidfd_open(int(pid))
            except ProcessLookupError:
                continue
            self.addCleanup(os.close, fd)
            # Killed, it may take a moment to be gone.
            self.assertTrue(select.select([fd], [], [], 10)[0], pid)

    def test_enough(self) -> None:
        """One that never stops writing is seen enough of at some point."""
        trial = tried("yes")
        self.assertIsNone(trial.code)
        self.assertLessEqual(len(trial.pieces), MAX_PIECES)

    def test_cannot_run(self) -> None:
        """What is no program cannot be run."""
        path = Path(self.mktemp())
        path.write_bytes(b"\x7fELF nonsense")
        path.chmod(0o755)
        starting = run([str(path.absolute())], PIPE, LONG)
        self.assertRaises(CannotRun, asyncio.run, starting)

    def test_leaves_nothing(self) -> None:
        """No descriptor stays open."""
        before = len(os.listdir("/dev/fd"))
        for cure in (PIPE, PTY):
            tried("echo one", cure)
        self.assertEqual(len(os.listdir("/dev/fd")), before)

    if not sys.platform.startswith("linux"):
        test_watched.skip = "only Linux has /proc"  # type: ignore[attr-defined]


class ExamineTests(SynchronousTestCase):
    """The whole examination, of commands that take no time."""

    def test_clean(self) -> None:
        """A command that writes once is clean, as far as one can tell."""
        report = asyncio.run(examine_command(["echo", "one"], LONG))
        self.assertTrue(report.clean)
        self.assertIn("in one go on a terminal too", report.notes[0])

    def test_helped(self) -> None:
        """A variable that un-buffers already is told of."""
        for cure in CURES:
            for name, value in cure.env.items():
                self.patch(os, "environ", {**os.environ, name: value})
                report = asyncio.run(examine_command(["echo", "one"], LONG))
                self.assertIn(f"{name} is set here", " ".join(report.notes))

    def test_nothing(self) -> None:
        """Of one that writes nothing nothing can be said."""
        examining = examine_command(["sh", "-c", "exit 4"], LONG)
        error = self.assertRaises(NothingSeen, asyncio.run, examining)
        self.assertIn("exit code: 4", str(error))

    def test_missing(self) -> None:
        """One that is not there is told before anything is started."""
        examining = examine_command(["no-such-program"], LONG)
        error = self.assertRaises(CannotRun, asyncio.run, examining)
        self.assertIn("no such program", str(error))
