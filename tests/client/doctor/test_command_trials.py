"""Tests for L{shellstream.client.doctor.command_trials}.

Real commands, very short ones.
"""

import os
import select
import signal
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.doctor.command_diagnosis import CURES, PIPE, PTY, Setup, Trial
from shellstream.client.doctor.command_trials import (
    MAX_ARRIVALS,
    check_command,
    run_trial,
)
from shellstream.client.doctor.findings import CannotRun, NothingSeen

#: Seconds; commands end by themselves before, unless a test says otherwise.
LONG = 60.0


def written(trial: Trial) -> bytes:
    return b"".join(each.data for each in trial.arrivals)


class TrialTests(SynchronousTestCase):
    """A command runs as it would elsewhere, and ends with the trial."""

    def setUp(self) -> None:
        self.leave, self.signals = os.pipe()
        self.addCleanup(os.close, self.leave)
        self.addCleanup(os.close, self.signals)

    def trial(self, shell: str, setup: Setup = PIPE, watch: float = LONG) -> Trial:
        return run_trial(["sh", "-c", shell], setup, watch, self.leave)

    def test_written(self) -> None:
        """Standard output is recorded; standard error is not."""
        for setup in (PIPE, PTY):
            trial = self.trial("echo one; echo no >&2; exit 3", setup)
            self.assertEqual((written(trial), trial.code), (b"one\n", 3))
            self.assertGreaterEqual(trial.ended, trial.arrivals[-1].time)
            self.assertGreaterEqual(trial.arrivals[0].time, trial.began)

    def test_terminal(self) -> None:
        """Only the terminal's trial has a terminal, and only for output."""
        shell = "test -t 1 && echo out; test -t 0 && echo in; true"
        self.assertEqual(written(self.trial(shell)), b"")
        self.assertEqual(written(self.trial(shell, PTY)), b"out\n")

    def test_cures(self) -> None:
        """A setup adds a prefix and variables; PERL5OPT keeps its value."""
        setup = Setup("x", prefix=("env", "A=1"), env={"B": "2", "PERL5OPT": "-w"})
        self.patch(os, "environ", {**os.environ, "B": "1", "PERL5OPT": "-t"})
        self.assertEqual(
            written(self.trial("echo $A $B $PERL5OPT", setup)), b"1 2 -t -w\n"
        )

    def test_signalled(self) -> None:
        """The exit code of a killed command is the negative signal number."""
        self.assertEqual(self.trial("kill -9 $$").code, -signal.SIGKILL)

    def test_watched(self) -> None:
        """A command that goes on is ended with its children, if need be by KILL."""
        path = self.mktemp()
        trial = self.trial(
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

    def test_left(self) -> None:
        """A signal ends the trial, and so does one that came before it began."""
        os.write(self.signals, bytes([signal.SIGWINCH, signal.SIGTERM]))
        leaving = self.assertRaises(SystemExit, self.trial, "sleep 600")
        self.assertEqual(leaving.code, 143)

    def test_enough(self) -> None:
        """The output read from a command that never stops writing is limited."""
        trial = self.trial("yes")
        self.assertIsNone(trial.code)
        self.assertLessEqual(len(trial.arrivals), MAX_ARRIVALS)

    def test_cannot_run(self) -> None:
        """A file that is no program cannot be run."""
        path = Path(self.mktemp())
        path.write_bytes(b"\x7fELF nonsense")
        path.chmod(0o755)
        argv = [str(path.absolute())]
        self.assertRaises(CannotRun, run_trial, argv, PIPE, LONG, self.leave)

    def test_leaves_nothing(self) -> None:
        """No descriptor stays open."""
        before = len(os.listdir("/dev/fd"))
        for setup in (PIPE, PTY):
            self.trial("echo one", setup)
        self.assertEqual(len(os.listdir("/dev/fd")), before)

    if not sys.platform.startswith("linux"):
        test_watched.skip = "only Linux has /proc"  # type: ignore[attr-defined]


class CheckTests(SynchronousTestCase):
    """The whole examination, of commands that take no time."""

    def test_clean(self) -> None:
        """A command that writes once is clean, as far as that shows."""
        report = check_command(["echo", "one"], LONG)
        self.assertTrue(report.clean)
        self.assertIn("at once on a terminal too", report.notes[0])

    def test_helped(self) -> None:
        """A note names a variable that un-buffers already."""
        for cure in CURES:
            for name, value in cure.env.items():
                self.patch(os, "environ", {**os.environ, name: value})
                report = check_command(["echo", "one"], LONG)
                self.assertIn(f"{name} is set here", " ".join(report.notes))

    def test_nothing(self) -> None:
        """A command that writes nothing cannot be examined."""
        argv = ["sh", "-c", "exit 4"]
        error = self.assertRaises(NothingSeen, check_command, argv, LONG)
        self.assertIn("exit code: 4", str(error))
        self.assertIn("run it by itself", str(error))
        self.assertNotIn("--seconds", str(error))
        argv = ["sleep", "600"]
        error = self.assertRaises(NothingSeen, check_command, argv, 0.05)
        self.assertIn("watch it for longer (--seconds)", str(error))

    def test_missing(self) -> None:
        """A missing program is reported before anything is started."""
        error = self.assertRaises(CannotRun, check_command, ["no-such-program"], LONG)
        self.assertIn("no such program", str(error))
