"""Tests for L{shellstream.client.doctor.command_diagnosis}.

Which commands hold output back on a pipe.
"""

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.doctor.command_diagnosis import (
    CURES,
    PIPE,
    PTY,
    PYTHON_OPTION,
    diagnose,
    holds_back,
    seems_held,
    together,
)
from shellstream.client.doctor.findings import Kind, Layer
from shellstream.client.doctor.process_watch import ignores_environment
from tests.support.doctor_commands import HELD, LIVE, stage, trial

ARGV = ["say", "it's"]
STDBUF, PYTHON, PERL = CURES


class CommandTests(SynchronousTestCase):
    """Output on a pipe is compared with output on a terminal."""

    def test_clean(self) -> None:
        """A command that writes into a pipe as on a terminal is clean."""
        report = diagnose(ARGV, trial(PIPE, *LIVE), trial(PTY, *LIVE))
        self.assertEqual((report.clean, report.notes), (True, ()))
        self.assertEqual([each["how"] for each in report.facts], ["pipe", "terminal"])

    def test_cured(self) -> None:
        """The report names the cure, for a shellstream and for elsewhere."""
        all_of_them = trial(together(CURES), *LIVE)
        tried = [all_of_them, trial(STDBUF, *HELD), trial(PYTHON, *LIVE)]
        report = diagnose(ARGV, trial(PIPE, *HELD), trial(PTY, *LIVE), tried)
        (finding,) = report.findings
        self.assertEqual(
            (finding.kind, finding.layer), (Kind.COMMAND_BUFFERS, Layer.COMMAND)
        )
        self.assertIn('unbuffer = "auto"', finding.cure)
        self.assertEqual(finding.cure[-1], "PYTHONUNBUFFERED=1 say 'it'\"'\"'s'")
        self.assertIn("PYTHONUNBUFFERED cures it", finding.seen)
        self.assertEqual(len(report.facts), 5)

    def test_pipeline(self) -> None:
        """
        A stage in the middle holds back on a terminal, too; the cure and the stages
        tell which.
        """
        shell = ["sh", "-c", "loop | grep x | cat"]
        held = (stage("sh", 3), stage("grep x", 0, 1, 2), stage("cat", 1, 2, 3))
        live = (stage("sh", 3), stage("grep x", 3, 1, 2), stage("cat", 3, 2, 3))
        pipe = trial(PIPE, *HELD, lines=3, stages=held)
        terminal = trial(PTY, *HELD, lines=3, stages=held)
        self.assertFalse(holds_back(pipe, terminal))
        self.assertTrue(seems_held(pipe, terminal))
        cured = trial(STDBUF, *LIVE, stages=live)
        (finding,) = diagnose(shell, pipe, terminal, [cured]).findings
        self.assertEqual(
            finding.what,
            "grep, which sh starts, holds output back when it writes into a pipe",
        )
        self.assertIn("grep --line-buffered", finding.cure)
        bare = [trial(each, *times) for each, times in ((PIPE, HELD), (STDBUF, LIVE))]
        (finding,) = diagnose(shell, bare[0], bare[0], bare[1:]).findings
        self.assertIn("one of the programs that sh starts", finding.what)

    def test_several(self) -> None:
        """Where only all cures together help, the report says so."""
        tried = [trial(together(CURES), *LIVE), *(trial(c, *HELD) for c in CURES)]
        report = diagnose(ARGV, trial(PIPE, *HELD), trial(PTY, *HELD), tried)
        self.assertIn(f"{together(CURES).name} cures it", report.findings[0].seen)

    def test_own_ways(self) -> None:
        """Programs that heed no variable: named, with their own option or nature."""
        for words, said in (
            ("mawk {print}", "mawk -W interactive …"),
            ("sort", "nothing makes it write earlier"),
            ("python3 -I x.py", "python3 -u -I x.py"),
        ):
            stages = (stage("sh", 6), stage(words, 1, 1, 2, reads=6))
            pipe = trial(PIPE, *HELD, lines=3)
            tried = trial(together(CURES), *HELD, lines=3, stages=stages)
            (finding,) = diagnose(ARGV, pipe, pipe, [tried]).findings
            self.assertTrue(finding.what.startswith(words.split()[0]), finding.what)
            self.assertIn(said, finding.cure[-1])
        # A filter may have had nothing to write before; nobody can tell.
        stages = (stage("sh", 6), stage("filter", 1, 1, 2, reads=6))
        tried = trial(together(CURES), *HELD, lines=3, stages=stages)
        report = diagnose(ARGV, pipe, pipe, [tried])
        self.assertTrue(report.clean)
        self.assertIn("filter read its input piece by piece", " ".join(report.notes))

    def test_python_option(self) -> None:
        """Python that ignores its variables needs its own switch, not a terminal."""
        argv = ["python3", "-E", "x.py"]
        tried = [trial(together(CURES), *HELD), trial(PYTHON_OPTION, *LIVE)]
        report = diagnose(argv, trial(PIPE, *HELD), trial(PTY, *LIVE), tried)
        (finding,) = report.findings
        self.assertEqual(finding.cure[1:], ("python3 -u -E x.py",))
        for words, ignores in (
            ("python3 -E x.py", True),
            ("/usr/bin/python3.13 -bI -m x", True),
            ("python3 -sE x.py", True),
            ("python3 x.py -E", False),
            ("python3 -u x.py", False),
            ("perl -E 1", False),
            ("python3", False),
        ):
            self.assertEqual(ignores_environment(words.split()), ignores, words)

    def test_needs_terminal(self) -> None:
        """A command that fails on a pipe does not hold anything back."""
        pipe, terminal = trial(PIPE, code=1), trial(PTY, *LIVE)
        self.assertFalse(seems_held(pipe, terminal))
        (finding,) = diagnose(ARGV, pipe, terminal).findings
        self.assertEqual(finding.kind, Kind.NEEDS_TERMINAL)
        self.assertIn("tty = true", finding.cure)

    def test_suspicious(self) -> None:
        """Cures are worth a trial only where several lines came after a silence."""
        for run, suspicious in (
            (trial(PIPE, 2.0, lines=3), True),
            (trial(PIPE, 0.01, 2.0, lines=3), True),
            (trial(PIPE, code=None), True),
            (trial(PIPE, 2.0, lines=1), False),
            (trial(PIPE, 0.1, lines=30), False),
            (trial(PIPE, 0.1, 0.4, 0.7, lines=3), False),
            (trial(PIPE, code=0), False),
        ):
            self.assertEqual(seems_held(run, run), suspicious, run)

    def test_terminal_only(self) -> None:
        """The terminal is suggested if nothing else helps."""
        tried = [trial(each, *HELD) for each in CURES]
        report = diagnose(ARGV, trial(PIPE, *HELD), trial(PTY, *LIVE), tried)
        (finding,) = report.findings
        self.assertIn('unbuffer = "pty"', finding.cure)
        self.assertTrue(finding.cure[-1].startswith("script -qec "))
        self.assertIn("only a terminal does", finding.seen)
        argv = ["env", "-i", "python3", "x.py"]
        python = evolve(stage("python3 x.py", 1), program="python3.13")
        pipe = trial(PIPE, *HELD, stages=(python,))
        (finding,) = diagnose(argv, pipe, trial(PTY, *LIVE), tried).findings
        self.assertTrue(finding.what.startswith("python3, which env starts"))
        self.assertEqual(finding.cure[-1], "python3 -u …")

    def test_nothing_on_pipe(self) -> None:
        """A command that writes nothing at all on a pipe holds back output too."""
        pipe = trial(PIPE, code=None)
        self.assertTrue(holds_back(pipe, trial(PTY, *LIVE)))
        report = diagnose(ARGV, pipe, trial(PTY, *LIVE), [trial(STDBUF, *LIVE)])
        self.assertIn("on a pipe nothing came in 3.0 s", report.findings[0].seen)

    def test_unknown(self) -> None:
        """A note says that one write, or a failure, does not prove anything."""
        report = diagnose(
            ARGV,
            trial(PIPE, 0.1, code=2),
            trial(PTY, 0.1),
            unbuffering=["PYTHONUNBUFFERED"],
        )
        self.assertTrue(report.clean)
        notes = " ".join(report.notes)
        self.assertIn("at once on a terminal too", notes)
        self.assertIn("exited with 2 on a pipe, with 0 on a terminal", notes)
        self.assertIn("PYTHONUNBUFFERED is set here", notes)

    @given(st.lists(st.floats(0, 100), min_size=1, max_size=50))
    def test_same(self, times) -> None:
        """Output that comes at the same times is never held back."""
        pipe, terminal = trial(PIPE, *sorted(times)), trial(PTY, *sorted(times))
        self.assertFalse(holds_back(pipe, terminal))

    @given(st.lists(st.integers(0, 50), min_size=2, max_size=50, unique=True))
    def test_at_the_end(self, times) -> None:
        """Output that comes all at the end is held back; earlier output never is."""
        terminal = trial(PTY, *map(float, sorted(times)))
        self.assertTrue(holds_back(trial(PIPE, float(max(times))), terminal))
        self.assertFalse(holds_back(trial(PIPE, float(min(times))), terminal))

    def test_blocks(self) -> None:
        """Output in blocks is held back, for as long as a block takes to fill."""
        terminal = trial(PTY, *(n / 10 for n in range(100)))
        pipe = trial(PIPE, *(n / 10 for n in range(19, 100, 20) for _ in range(20)))
        self.assertTrue(holds_back(pipe, terminal))

    def test_faster(self) -> None:
        """A pipe that brings the same in fewer bursts, but earlier, is no fault."""
        terminal = trial(PTY, *(n / 1000 for n in range(120)))
        pipe = trial(PIPE, *(n / 10000 for n in range(120)))
        self.assertEqual((terminal.bursts, pipe.bursts), (3, 1))
        self.assertFalse(holds_back(pipe, terminal))
