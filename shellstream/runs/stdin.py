"""The input of a run, as it is taken."""

from collections.abc import Callable
from typing import Protocol

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, succeed

from shellstream.model.errors import ShellstreamError
from shellstream.model.run_input import (
    InputBusy,
    InputClosed,
    InputMisplaced,
    InputReplaced,
    StdinChunk,
    StdinState,
)


class Sink(Protocol):
    """A process, as far as something can be put into it."""

    def write(self, data: memoryview, ready: Callable[[], None]) -> int:
        """
        Hand over what it takes at once; how many bytes that was.

        If not all of it, C{ready} is called when it may take more.
        """

    def end_input(self) -> None:
        """There is no more input."""


@define(eq=False)
class _Waiting:
    """A piece of which the process has not taken all, and who is to be told."""

    rest: memoryview
    eof: bool
    answer: Deferred[int]


@define(eq=False)
class Stdin:
    """
    A run's input: every byte goes in once, at its offset.

    One piece at a time waits for the process to take it, so that is all that is
    held of it. If whoever sent it comes again, as after a connection that broke
    without a word, the newer piece takes the place of the older.

    @ivar intake: how much was taken.
    """

    intake: StdinState = field(factory=StdinState)
    _sink: Sink | None = field(default=None, init=False)
    _waiting: _Waiting | None = field(default=None, init=False)

    @property
    def offset(self) -> int:
        assert self.intake.offset is not None
        return self.intake.offset

    def connect(self, sink: Sink) -> None:
        """The process is there."""
        self._sink = sink
        self._push()

    def feed(self, piece: StdinChunk) -> Deferred[int]:
        """
        Put in a piece, of which bytes that were taken before are skipped.

        Fires, when the process took it all, with how much of the input it has by
        then. Who cancels this gives up what was not taken.

        @raise InputNotTaken: if it cannot go in; later failures are such, too.
        """
        offset = self.offset if piece.offset is None else piece.offset
        if offset > self.offset:
            raise InputMisplaced(offset, self.offset)
        rest = memoryview(piece.data)[self.offset - offset :]
        if not self.intake.open:
            if rest:
                raise InputClosed(self.offset)
            return succeed(self.offset)
        if not rest and not piece.eof:
            return succeed(self.offset)
        if self._waiting is not None:
            if piece.offset is None:
                raise InputBusy(self.offset)
            self._fail(InputReplaced(self.offset))
        answer: Deferred[int] = Deferred(self._given_up)
        self._waiting = _Waiting(rest, piece.eof, answer)
        self._push()
        return answer

    def close(self, why: ShellstreamError | None = None) -> None:
        """
        Nothing more is taken.

        @param why: if it is not that the process reads no more.
        """
        self.intake = evolve(self.intake, open=False)
        self._fail(why or InputClosed(self.offset))

    def _push(self) -> None:
        waiting, sink = self._waiting, self._sink
        if waiting is None or sink is None:
            return
        while waiting.rest:
            size = sink.write(waiting.rest, self._push)
            if size == 0:  # it has enough, or is gone: then this was closed
                return
            waiting.rest = waiting.rest[size:]
            self.intake = evolve(self.intake, offset=self.offset + size)
        self._waiting = None
        if waiting.eof:
            self.intake = evolve(self.intake, open=False)
            sink.end_input()
        waiting.answer.callback(self.offset)

    def _given_up(self, answer: Deferred[int]) -> None:
        if self._waiting is not None and self._waiting.answer is answer:
            self._waiting = None

    def _fail(self, error: ShellstreamError) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.answer.errback(error)
