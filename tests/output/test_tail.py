"""Tests for L{shellstream.output.tail}, against the lines of the whole."""

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.events import Chunk, Stream
from shellstream.output import tail as tail_module
from shellstream.output.fair_turns import SLICE, FairTurns
from shellstream.output.log import OutputLog
from shellstream.output.tail import tail
from tests.support.outputs import tail_of

WORDS = st.tuples(
    st.sampled_from(Stream), st.text("ab\n", min_size=1, max_size=8).map(str.encode)
)


def log_of(words: list[tuple[Stream, bytes]], capacity: int = 1 << 18) -> OutputLog:
    """Return a log with these words."""
    log = OutputLog(capacity)
    for stream, word in words:
        log.append(stream, 0, word)
    return log


class TailTests(SynchronousTestCase):
    """The last lines begin where tail(1) says."""

    def test_examples(self) -> None:
        """A newline at the very end ends a line; a last line without one counts too."""
        log = log_of([(Stream.STDOUT, b"one\ntwo\nthree")])
        found = [tail_of(log, lines) for lines in range(5)]
        self.assertEqual(found, [13, 8, 4, 0, 0])
        log.append(Stream.STDOUT, 0, b"\n")
        found = [tail_of(log, lines) for lines in range(5)]
        self.assertEqual(found, [14, 8, 4, 0, 0])

    def test_empty(self) -> None:
        """The tail of an empty log begins at its start."""
        for lines in range(3):
            self.assertEqual(tail_of(log_of([]), lines), 0)

    def test_more_than_is_left(self) -> None:
        """If the beginning is gone, the tail begins with the oldest kept byte."""
        log = log_of([(Stream.STDOUT, b"x" * 99 + b"\n")] * 20, 1000)
        self.assertGreater(log.start, 0)
        self.assertEqual(tail_of(log, 20), log.start)
        self.assertEqual(tail_of(log, 2), log.end - 200)

    def test_lost_meanwhile(self) -> None:
        """If the log drops output during the search, the tail begins with the rest."""

        class Losing(OutputLog):
            def read(self, offset: int, size: int = 0) -> list[Chunk]:
                return []

        log = Losing(1000)
        log.append(Stream.STDOUT, 0, b"x")
        self.assertEqual(tail_of(log, 1), log.start)

    def test_turns(self) -> None:
        """Each read has a turn of its own, and the log stays open meanwhile."""
        clock, reads = Clock(), []

        class Counted(OutputLog):
            def read(self, offset: int, size: int = 0) -> list[Chunk]:
                reads.append(clock.seconds())
                clock.advance(SLICE)  # by the work
                return super().read(offset, size)[:1]

        log = Counted(100_000)
        for _ in range(100):
            log.append(Stream.STDOUT, 0, b"x")
        log.close()
        finding = Deferred.fromCoroutine(tail(log, 1, FairTurns(clock)))
        self.assertNoResult(finding)
        self.assertEqual(reads, [])
        clock.advance(0)
        self.assertEqual(len(reads), 100)
        self.assertEqual(self.successResultOf(finding), 0)

    def test_cancelled(self) -> None:
        """A search for which nobody waits any more ends."""
        log, clock = log_of([(Stream.STDOUT, b"x")]), Clock()
        finding = Deferred.fromCoroutine(tail(log, 1, FairTurns(clock)))
        finding.cancel()
        clock.advance(0)
        self.failureResultOf(finding, CancelledError)
        self.assertEqual(clock.getDelayedCalls(), [])


class TailProperties(SynchronousTestCase):
    """The tail is right for any output and any block size."""

    @given(st.lists(WORDS, max_size=12), st.integers(0, 8), st.integers(1, 20))
    def test_as_the_whole(self, words, lines, block) -> None:
        """The output from the result on has exactly the last lines of the whole."""
        log = log_of(words)
        whole = b"".join(word for _, word in words)
        expected = b"".join(whole.splitlines(keepends=True)[-lines:] if lines else [])
        with patch.object(tail_module, "BLOCK", block):
            self.assertEqual(whole[tail_of(log, lines) :], expected)

    @given(
        st.lists(WORDS, max_size=12),
        st.integers(0, 8),
        st.integers(1, 20),
        st.sampled_from(Stream),
    )
    def test_one_stream(self, words, lines, block, only) -> None:
        """The tail of one stream has exactly that stream's last lines."""
        log = log_of(words)
        with patch.object(tail_module, "BLOCK", block):
            begin = tail_of(log, lines, only)
        mine = (
            [chunk for chunk in log.read(0, 1 << 16) if chunk.stream is only]
            if words
            else []
        )
        whole = b"".join(chunk.data for chunk in mine)
        rest = b"".join(
            chunk.since(max(begin, chunk.offset)).data
            for chunk in mine
            if chunk.end > begin
        )
        expected = b"".join(whole.splitlines(keepends=True)[-lines:] if lines else [])
        self.assertEqual(rest, expected)

    @given(st.lists(WORDS, max_size=30), st.integers(0, 8), st.integers(250, 900))
    def test_bounded(self, words, lines, capacity) -> None:
        """The tail of a log that dropped its beginning is the tail of the rest."""
        log = log_of(words, capacity)
        whole = b"".join(word for _, word in words)
        left = whole[log.start :]
        expected = b"".join(left.splitlines(keepends=True)[-lines:] if lines else [])
        self.assertEqual(whole[tail_of(log, lines) :], expected)
