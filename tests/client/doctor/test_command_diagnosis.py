"""Tests for L{shellstream.client.doctor.command_diagnosis}.

Which commands hold output back on a pipe.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.doctor.command_diagnosis import (
    CURES,
    PIPE,
    PTY,
    diagnose,
    holds_back,
)
from shellstream.client.doctor.findings import Kind, Layer
from tests.support.doctor_commands import HELD, LIVE, trial

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
        tried = [trial(STDBUF, *HELD), trial(PYTHON, *LIVE)]
        report = diagnose(ARGV, trial(PIPE, *HELD), trial(PTY, *LIVE), tried)
        (finding,) = report.findings
        self.assertEqual(
            (finding.kind, finding.layer), (Kind.COMMAND_BUFFERS, Layer.COMMAND)
        )
        self.assertIn('unbuffer = "auto"', finding.cure)
        self.assertEqual(finding.cure[-1], "PYTHONUNBUFFERED=1 say 'it'\"'\"'s'")
        self.assertIn("PYTHONUNBUFFERED cures it", finding.seen)
        self.assertEqual(len(report.facts), 4)

    def test_terminal_only(self) -> None:
        """The terminal is suggested if nothing else helps."""
        tried = [trial(each, *HELD) for each in CURES]
        report = diagnose(ARGV, trial(PIPE, *HELD), trial(PTY, *LIVE), tried)
        (finding,) = report.findings
        self.assertIn('unbuffer = "pty"', finding.cure)
        self.assertTrue(finding.cure[-1].startswith("script -qec "))
        self.assertIn("it needs a terminal", finding.seen)

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
        self.assertIn("in one go on a terminal too", notes)
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
