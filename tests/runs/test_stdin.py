"""Tests for L{shellstream.runs.stdin}: every byte of an input goes in once."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.errors import RunNotRunning
from shellstream.model.run_input import (
    InputBusy,
    InputClosed,
    InputMisplaced,
    InputNotTaken,
    InputReplaced,
    StdinChunk,
)
from shellstream.runs.stdin import Stdin
from tests.support.fakes import FakeChild

#: What is sent, and how: a piece of it, from below what was taken on; whether its
#: sender leaves; how much is read then.
DATA = bytes(range(256)) * 2
STEPS = st.lists(
    st.tuples(
        st.integers(0, 40), st.integers(0, 60), st.booleans(), st.integers(0, 50)
    ),
    max_size=60,
)


class StdinTestCase(SynchronousTestCase):
    """An input, and a process that has room for nothing yet."""

    def setUp(self) -> None:
        self.child, self.stdin = FakeChild(), Stdin()
        self.child.room = 0
        self.stdin.connect(self.child)

    def feed(
        self, data: bytes, offset: int | None = None, *, eof: bool = False
    ) -> Deferred[int]:
        return self.stdin.feed(StdinChunk(data, offset, eof))

    def refused(
        self, error: type[InputNotTaken], data: bytes, offset: int | None = None
    ) -> InputNotTaken:
        """Check that input is refused at once."""
        found = self.assertRaises(error, self.feed, data, offset)
        assert isinstance(found, InputNotTaken)
        self.assertEqual(found.extensions, {"stdin_offset": self.stdin.offset})
        return found


class TakenTests(StdinTestCase):
    """A piece is answered when all of it was taken."""

    def test_at_once(self) -> None:
        """Input that fits is taken at once, and the next offset is returned."""
        self.child.room = 5
        self.assertEqual(self.successResultOf(self.feed(b"ab")), 2)
        self.assertEqual(self.successResultOf(self.feed(b"cde", 2)), 5)
        self.assertEqual(self.child.given, b"abcde")

    def test_by_and_by(self) -> None:
        """Input that does not fit waits, and is taken as the child reads."""
        self.child.room = 1
        feeding = self.feed(b"abcdef")
        for taken in (1, 3, 5):
            self.assertNoResult(feeding)
            self.assertEqual(self.stdin.offset, taken)
            self.child.take(2)
        self.assertEqual(self.successResultOf(feeding), 6)
        self.assertEqual(self.child.given, b"abcdef")

    def test_nothing(self) -> None:
        """Empty input asks for the current offset."""
        waiting = self.feed(b"abc")
        self.child.take(1)
        self.assertEqual(self.successResultOf(self.feed(b"")), 1)
        self.assertEqual(self.successResultOf(self.feed(b"a", 0)), 1)
        self.assertNoResult(waiting)

    def test_before_start(self) -> None:
        """Input before the process exists waits for it."""
        stdin = Stdin()
        feeding = stdin.feed(StdinChunk(b"abc", eof=True))
        self.assertNoResult(feeding)
        self.child.room = 3
        stdin.connect(self.child)
        self.assertEqual(self.successResultOf(feeding), 3)
        self.assertTrue(self.child.ended)


class OffsetTests(StdinTestCase):
    """A piece with its offset may be repeated."""

    def test_again(self) -> None:
        """Input that was taken before is skipped."""
        self.child.room = 100
        for offset, data in ((0, b"abc"), (0, b"abc"), (1, b"bcd"), (0, b""), (2, b"")):
            self.successResultOf(self.feed(data, offset))
        self.assertEqual(self.child.given, b"abcd")

    def test_beyond(self) -> None:
        """Input that would leave a hole is refused with the expected offset."""
        self.child.room = 100
        self.successResultOf(self.feed(b"abc"))
        for data in (b"x", b""):
            self.assertIn("offset=3", str(self.refused(InputMisplaced, data, 4)))
        self.assertEqual(self.child.given, b"abc")

    def test_in_its_place(self) -> None:
        """A newer piece takes the place of the one that waits."""
        first = self.feed(b"abcd", 0)
        self.child.take(2)
        second = self.feed(b"bcdef", 1, eof=True)
        failure = self.failureResultOf(first, InputReplaced)
        self.assertEqual(failure.value.extensions["stdin_offset"], 2)
        self.child.take(100)
        self.assertEqual(self.successResultOf(second), 6)
        self.assertEqual(self.child.given, b"abcdef")

    def test_busy(self) -> None:
        """Input without an offset does not replace input that waits."""
        waiting = self.feed(b"abc")
        self.refused(InputBusy, b"def")
        self.refused(InputMisplaced, b"def", 3)
        self.child.take(100)
        self.assertEqual(self.successResultOf(waiting), 3)
        self.successResultOf(self.feed(b"def"))
        self.assertEqual(self.child.given, b"abcdef")

    def test_left(self) -> None:
        """Input that was taken counts even if its client left."""
        feeding = self.feed(b"abcd")
        self.child.take(2)
        feeding.cancel()
        self.failureResultOf(feeding, CancelledError)
        self.child.take(100)
        self.assertEqual((self.child.given, self.stdin.offset), (b"ab", 2))
        self.successResultOf(self.feed(b"abcd", 0))
        self.assertEqual(self.child.given, b"abcd")

    @given(STEPS)
    def test_any(self, steps: list[tuple[int, int, bool, int]]) -> None:
        """Input arrives unchanged, wherever it is cut and resumed."""
        child, stdin = FakeChild(), Stdin()
        child.room = 0
        stdin.connect(child)
        for back, size, leaves, room in steps:
            at = max(0, stdin.offset - back)
            feeding = stdin.feed(StdinChunk(DATA[at : at + size], at))
            feeding.addErrback(lambda failure: failure.trap(InputReplaced))
            if leaves:
                feeding.addErrback(lambda failure: failure.trap(CancelledError))
                feeding.cancel()
            child.take(room)
            self.assertEqual(len(child.given), stdin.offset)
        child.take(1000)
        rest = stdin.feed(StdinChunk(DATA[stdin.offset :], stdin.offset, eof=True))
        self.assertEqual(self.successResultOf(rest), len(DATA))
        self.assertEqual((child.given, child.ended), (DATA, True))


class EndTests(StdinTestCase):
    """An input ends once."""

    def test_eof(self) -> None:
        """The last piece ends it, when all is taken; it may come again."""
        feeding = self.feed(b"abc", 0, eof=True)
        self.child.take(2)
        self.assertFalse(self.child.ended)
        self.child.take(1)
        self.assertEqual(self.successResultOf(feeding), 3)
        self.assertTrue(self.child.ended)
        self.assertFalse(self.stdin.state.open)
        self.assertEqual(self.successResultOf(self.feed(b"abc", 0, eof=True)), 3)
        self.assertEqual(self.successResultOf(self.feed(b"", eof=True)), 3)
        self.refused(InputClosed, b"d")
        self.refused(InputClosed, b"cd", 2)
        self.refused(InputMisplaced, b"x", 4)

    def test_deaf(self) -> None:
        """When the process closes its input, waiting and later pieces are refused."""
        feeding = self.feed(b"abc")
        self.child.take(1)
        self.stdin.close()
        failure = self.failureResultOf(feeding, InputClosed)
        self.assertEqual(failure.value.extensions["stdin_offset"], 1)
        self.refused(InputClosed, b"bc", 1)
        self.assertEqual(self.successResultOf(self.feed(b"a", 0)), 1)

    def test_deaf_while_given(self) -> None:
        """The process may close its input during a write."""

        def write(child: FakeChild, data: memoryview, ready: object) -> int:
            self.stdin.close()
            return 0

        self.patch(FakeChild, "write", write)
        self.failureResultOf(self.feed(b"abc"), InputClosed)

    def test_why(self) -> None:
        """The error may be another one."""
        feeding = self.feed(b"abc")
        self.stdin.close(RunNotRunning("cancelled"))
        self.failureResultOf(feeding, RunNotRunning)
