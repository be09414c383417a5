"""Tests for L{shellstream.client.doctor.command_diagnosis}.

Who keeps output back on a pipe.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.doctor.command_diagnosis import (
    CURES,
    PIPE,
    PTY,
    cured,
    diagnose,
    holds_back,
    silent,
)
from shellstream.client.doctor.findings import Kind, Layer
from tests.support.doctor_commands import HELD, LIVE, trial

ARGV = ["say", "it's"]
STDBUF, PYTHON, PERL = CURES


class CommandTests(SynchronousTestCase):
    """How output came on a pipe is compared with how it came on a terminal."""

    def test_clean(self) -> None:
        """What comes on a pipe as it does on a terminal is clean."""
        report = diagnose(ARGV, trial(PIPE, *LIVE), trial(PTY, *LIVE))
        self.assertEqual((report.clean, report.notes), (True, ()))
        self.assertEqual([each["how"] for each in report.facts], ["pipe", "terminal"])

    def test_cured(self) -> None:
        """What cures it is told, for a shellstream and for elsewhere."""
        tried = [trial(STDBUF, *HELD), trial(PYTHON, *LIVE)]
        report = diagnose(ARGV, trial(PIPE, *HELD), trial(PTY, *LIVE), tried)
        (finding,) = report.findings
        self.assertEqual(
            (finding.kind, finding.layer), (Kind.COMMAND_BUFFERS, Layer.COMMAND)
        )
        self.assertIn('unbuffer = "auto"', finding.cure)
        self.assertEqual(finding.cure[-1], "PYTHONUNBUFFERED=1 say 'it'\"'\"'s'")
        self.assertIn("PYTHONUNBUFFERED cures it", finding.seen)
        self.assertEqual(finding.evidence["cure"], "PYTHONUNBUFFERED")
        self.assertEqual(len(report.facts), 4)

    def test_terminal_only(self) -> None:
        """If nothing else helps, a terminal does."""
        tried = [trial(each, *HELD) for each in CURES]
        report = diagnose(ARGV, trial(PIPE, *HELD), trial(PTY, *LIVE), tried)
        (finding,) = report.findings
        self.assertIn('unbuffer = "pty"', finding.cure)
        self.assertTrue(finding.cure[-1].startswith("script -qec "))
        self.assertEqual(finding.evidence["cure"], "pty")

    def test_nothing_on_pipe(self) -> None:
        """Nothing at all on a pipe, and something on a terminal, is to keep it too."""
        pipe = trial(PIPE, code=None)
        self.assertTrue(holds_back(pipe, trial(PTY, *LIVE)))
        report = diagnose(ARGV, pipe, trial(PTY, *LIVE), [trial(STDBUF, *LIVE)])
        self.assertIn("on a pipe nothing came in 3.0 s", report.findings[0].seen)

    def test_unknown(self) -> None:
        """What writes once, or fails, is not known to be well; that is said."""
        report = diagnose(
            ARGV, trial(PIPE, 0.1, code=2), trial(PTY, 0.1), helped=["PYTHONUNBUFFERED"]
        )
        self.assertTrue(report.clean)
        told = " ".join(report.notes)
        self.assertIn("in one go on a terminal too", told)
        self.assertIn("exited with 2 on a pipe, with 0 on a terminal", told)
        self.assertIn("PYTHONUNBUFFERED is set here", told)
        self.assertTrue(silent(trial(PIPE), trial(PTY)))
        self.assertFalse(silent(trial(PIPE), trial(PTY, 0.1)))

    @given(st.lists(st.floats(0, 100), min_size=1, max_size=50))
    def test_same(self, times) -> None:
        """The same output at the same times is never kept back, so it is a cure."""
        pipe, terminal = trial(PIPE, *sorted(times)), trial(PTY, *sorted(times))
        self.assertFalse(holds_back(pipe, terminal))
        self.assertTrue(cured(pipe, terminal))

    @given(st.lists(st.integers(0, 50), min_size=2, max_size=50, unique=True))
    def test_at_the_end(self, times) -> None:
        """What comes all at the end on a pipe is kept back; what is earlier never."""
        terminal = trial(PTY, *map(float, sorted(times)))
        self.assertTrue(holds_back(trial(PIPE, float(max(times))), terminal))
        self.assertFalse(holds_back(trial(PIPE, float(min(times))), terminal))

    def test_blocks(self) -> None:
        """What comes in blocks is kept back, for as long as a block takes to fill."""
        terminal = trial(PTY, *(n / 10 for n in range(100)))
        pipe = trial(PIPE, *(n / 10 for n in range(19, 100, 20) for _ in range(20)))
        self.assertTrue(holds_back(pipe, terminal))

    def test_faster(self) -> None:
        """A terminal is slow: that a pipe takes the same in fewer goes is no fault."""
        terminal = trial(PTY, *(n / 1000 for n in range(120)))
        pipe = trial(PIPE, *(n / 10000 for n in range(120)))
        self.assertEqual((terminal.goes, pipe.goes), (3, 1))
        self.assertFalse(holds_back(pipe, terminal))
