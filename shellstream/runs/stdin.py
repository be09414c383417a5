"""The standard input of a run: every byte of it goes to the process once."""

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
    """A process, as far as its standard input goes."""

    def write(self, data: memoryview, ready: Callable[[], None]) -> int:
        """
        Write as much as it takes at once, and return how many bytes that was.

        If that is not all, C{ready} is called when it may take more.
        """

    def end_input(self) -> None:
        """There is no more input."""


@define(eq=False)
class _Waiting:
    """A chunk that the process has not taken yet, and the Deferred that fires then."""

    rest: memoryview
    eof: bool
    answer: Deferred[int]


@define(eq=False)
class Stdin:
    """
    A run's input: every byte goes in once, at its offset.

    One chunk at a time waits for the process, so memory holds no more than that. A
    client whose connection broke without a word sends its chunk again: the newer one
    then replaces the older one.

    @ivar state: how much the process has taken.
    """

    state: StdinState = field(factory=StdinState)
    _sink: Sink | None = field(default=None, init=False)
    _waiting: _Waiting | None = field(default=None, init=False)

    @property
    def offset(self) -> int:
        assert self.state.offset is not None
        return self.state.offset

    def connect(self, sink: Sink) -> None:
        """The process is there."""
        self._sink = sink
        self._push()

    def feed(self, chunk: StdinChunk) -> Deferred[int]:
        """
        Write a chunk, without the bytes that were taken before.

        Fires when the process has taken all of it, with how many bytes of the whole
        input it has then. Cancel it to give up what is not taken yet.

        @raise InputNotTaken: if it cannot be written. The Deferred fails with it, too.
        """
        offset = self.offset if chunk.offset is None else chunk.offset
        if offset > self.offset:
            raise InputMisplaced(offset, self.offset)
        # A client whose answer was lost sends its chunk again: bytes that were taken
        # are not an error, and only the others go in.
        rest = memoryview(chunk.data)[self.offset - offset :]
        if not self.state.open:
            if rest:
                raise InputClosed(self.offset)
            return succeed(self.offset)
        if not rest and not chunk.eof:
            return succeed(self.offset)
        if self._waiting is not None:
            # Without an offset it may be more input of a second client, in parallel.
            if chunk.offset is None:
                raise InputBusy(self.offset)
            self._fail(InputReplaced(self.offset))
        answer: Deferred[int] = Deferred(self._given_up)
        self._waiting = _Waiting(rest, chunk.eof, answer)
        self._push()
        return answer

    def close(self, why: ShellstreamError | None = None) -> None:
        """
        Take nothing more.

        @param why: the reason, if it is not that the process reads no more.
        """
        self.state = evolve(self.state, open=False)
        self._fail(why or InputClosed(self.offset))

    def _push(self) -> None:
        waiting, sink = self._waiting, self._sink
        if waiting is None or sink is None:
            return
        while waiting.rest:
            size = sink.write(waiting.rest, self._push)
            if size == 0:  # its pipe is full, or it is gone: then this was closed
                return
            waiting.rest = waiting.rest[size:]
            self.state = evolve(self.state, offset=self.offset + size)
        # Before the answer: its receiver may feed the next chunk at once.
        self._waiting = None
        if waiting.eof:
            self.state = evolve(self.state, open=False)
            sink.end_input()
        waiting.answer.callback(self.offset)

    def _given_up(self, answer: Deferred[int]) -> None:
        if self._waiting is not None and self._waiting.answer is answer:
            self._waiting = None

    def _fail(self, error: ShellstreamError) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.answer.errback(error)
