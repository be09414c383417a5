"""Tests for undoing a run's changes to our terminal."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.cli.terminal_modes import TerminalModes

#: What switches something, and what switches it back.
SWITCHES = {
    b"\x1b[?1049h": b"\x1b[?1049l",
    b"\x1b[?25l": b"\x1b[?25h",
    b"\x1b[?1;2004h": b"\x1b[?1l\x1b[?2004l",
    b"\x1b[>4;2m": b"\x1b[>4m",
    b"\x1b=": b"\x1b>",
    b"\x1b[1;31m": b"\x1b[m",
    b"\x1b[2;23r": b"\x1b7\x1b[r\x1b8",
}

PIECES = (
    *SWITCHES,
    *SWITCHES.values(),
    *(b"text", b"\x1b", b"\x1b[", b"\x1b[?", b"\x1bc", b"\x1b[12;40H", b"\xff"),
)


def undo(*written: bytes) -> bytes:
    """Return the sequence that undoes these switches."""
    modes = TerminalModes()
    for each in written:
        modes.feed(each)
    return modes.reset()


class TerminalModesTests(SynchronousTestCase):
    """L{TerminalModes} resets the modes that a run has set."""

    def test_switched(self) -> None:
        """A mode that was switched is switched back, and no other."""
        for switch, back in SWITCHES.items():
            self.assertEqual(undo(b"text " + switch + b" text"), back)
        self.assertEqual(undo(*SWITCHES), undo(b"".join(SWITCHES)))
        self.assertEqual(undo(b"\x1b[?12h\x1b[22;0t\x1b[4h\x1b[5;5Htext"), b"")

    def test_switched_back(self) -> None:
        """A mode that the run switched back or reset itself is left alone."""
        for switch, back in SWITCHES.items():
            self.assertEqual(undo(switch, back), b"")
            self.assertEqual(undo(switch, b"\x1bc"), b"")
        self.assertEqual(undo(b"\x1b[31m", b"\x1b[0m"), b"")

    def test_undone(self) -> None:
        """A mode is undone only once."""
        modes = TerminalModes()
        modes.feed(b"".join(SWITCHES))
        modes.reset()
        self.assertEqual(modes.reset(), b"")

    @given(st.lists(st.sampled_from(PIECES)), st.data())
    def test_cut(self, pieces: list[bytes], data: st.DataObject) -> None:
        """Modes are recognized however the output is split."""
        whole = b"".join(pieces)
        cut = data.draw(st.integers(0, len(whole)))
        self.assertEqual(undo(whole[:cut], whole[cut:]), undo(whole))

    @given(st.lists(st.sampled_from(PIECES)))
    def test_right(self, pieces: list[bytes]) -> None:
        """After the undoing sequence there is nothing left to undo."""
        whole = b"".join(pieces) + b"\n"
        self.assertEqual(undo(whole, undo(whole)), b"")
