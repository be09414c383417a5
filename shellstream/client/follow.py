"""Follow a run's output to its end, over as many connections as it takes."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from .decode import DecodeError, FrameDecoder, NdjsonDecoder
from .errors import ContractViolation, CutShort, NoResponse, ServerError
from .events import Begun, End, Event, Output
from .retry import RETRYABLE, is_temporary

if TYPE_CHECKING:
    from shellstream.client.transport.wire import Response

    from .retry import RetryPolicy

#: Seconds of silence that mean that the way is broken: the server says at least
#: something every 15.
SILENCE = 45.0


class View(NamedTuple):
    """
    Which part of a run's output is wanted, and how.

    @ivar offset: of the first byte.
    @ivar tail: begin with the last so many lines instead.
    @ivar only: C{"stdout"} or C{"stderr"}.
    @ivar follow: L{False} for what is there now.
    @ivar lossless: have the command wait for us rather than miss a byte.
    @ivar timed: whether each piece tells its time.
    """

    offset: int = 0
    tail: int | None = None
    only: str | None = None
    follow: bool = True
    lossless: bool = False
    timed: bool = False

    @property
    def accept(self) -> str:
        """The media type to ask for: only NDJSON tells times."""
        kind = "x-ndjson" if self.timed else "vnd.shellstream.frames"
        return f"application/{kind}"


class Following:
    """
    An async iterator of L{Event}s that ends behind the run's L{End}, or raises.

    That is its one rule: whoever comes to the end of it has had every byte, save
    those that a L{Gap} spoke of. A connection that is
    cut is replaced by another that goes on at the next byte.

    Use it in C{async with}, or C{close} it: a connection that nobody reads makes
    the command wait.

    @ivar run: the run's id, once it is known.
    @ivar offset: of the next byte; L{None} until it is known.
    @ivar end: how the run ended, once that is known.
    """

    def __init__(
        self,
        view: View,
        *,
        begin: "Callable[[], Awaitable[Response]] | None" = None,
        resume: "Callable[[str, View], Awaitable[Response]]",
        run: str | None = None,
        size: "Callable[[str], Awaitable[int]]",
        tries: "RetryPolicy",
        heard: bool = False,
    ) -> None:
        """
        @param begin: starts a run; to call it again starts no second one.
        @param resume: asks for the output of a run.
        @param size: asks how much output a run has.
        @param tries: when to do so.
        @param heard: whether the server is known to be there, so that it is worth
            waiting for.
        """
        self.run = run
        self.offset = None if view.tail is not None or run is None else view.offset
        self.end: End | None = None
        self._view = view
        self._begin = begin
        self._resume = resume
        self._size = size
        self._tries = tries
        self._pending: deque[Event] = deque()
        self._answer: Response | None = None
        self._decoder: FrameDecoder | NdjsonDecoder | None = None
        # Whether the server may have heard of us.
        self._asked = heard and run is not None
        self._until: int | None = None
        self._over = False

    def __aiter__(self) -> "Following":
        return self

    async def __anext__(self) -> Event:
        while not self._pending:
            if self._over:
                raise StopAsyncIteration
            if self._answer is None:
                await self._open()
            else:
                await self._read(self._answer)
        return self._pending.popleft()

    async def __aenter__(self) -> "Following":
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave; nothing more is told. Harmless when repeated."""
        self._over = True
        self._drop()

    def _drop(self) -> None:
        if self._answer is not None:
            self._answer.close()
        self._answer = self._decoder = None

    async def _open(self) -> None:
        try:
            answer = await self._ask()
        except RETRYABLE as error:
            # One that was never there at all is not waited for.
            sent = isinstance(error, NoResponse | CutShort)
            if not (is_temporary(error) and (self._asked or sent)):
                raise
            self._asked = True
            await self._wait(error)
            return
        self._asked = True
        if self._over:  # closed meanwhile
            answer.close()
            return
        kind = NdjsonDecoder if self._view.timed else FrameDecoder
        self._answer = answer
        self._decoder = kind(self.offset, partial=self._view.only is not None)

    async def _ask(self) -> "Response":
        if self.run is None:
            assert self._begin is not None
            again = self._asked
            answer = await self._begin()
            self.run = answer.headers.get("shellstream-run")
            if self.run is None:
                answer.close()
                raise ContractViolation(
                    "the server", "it does not say which run this is"
                )
            self.offset = 0
            if not again:
                return answer
            answer.close()  # only the first request's answer loses nothing
        view = self._view
        if self.offset is not None:
            view = view._replace(offset=self.offset, tail=None)
        if not view.follow and self._until is None:
            self._until = await self._size(self.run)
        return await self._resume(self.run, view)

    async def _read(self, answer: "Response") -> None:
        assert self._decoder is not None
        try:
            data = await answer.read(SILENCE)
        except CutShort as error:
            self._drop()
            await self._wait(error)
            return
        if self._over:
            return
        if not data:
            self._drop()
            if self._view.follow or (self.offset or 0) < (self._until or 0):
                await self._wait(CutShort(f"run {self.run}", "it ended without an end"))
            else:
                self._over = True
            return
        self._tries.well()
        try:
            events = self._decoder.feed(data)
        except DecodeError as error:
            self._drop()
            raise ContractViolation(f"run {self.run}", str(error)) from error
        self.offset = self._decoder.offset
        for event in events:
            self._take(event)

    def _take(self, event: Event) -> None:
        if isinstance(event, Begun) and self.run not in (None, event.run):
            raise ContractViolation(f"run {self.run}", f"it is that of run {event.run}")
        if isinstance(event, Output) and self._view.only not in (None, event.stream):
            raise ContractViolation(
                f"run {self.run}", f"{event.stream} was not asked for"
            )
        if isinstance(event, End):
            self.end = event
            self._over = True
            self._drop()
        self._pending.append(event)

    async def _wait(self, error: ServerError) -> None:
        """Until it is time to try again."""
        if await self._tries.wait(error):
            return
        if self.run is None:
            what, then = "the request", "nobody knows whether it began a run"
        else:
            what = f"run {self.run}"
            then = f"shellstream attach {self.run} --from {self.offset or 0} goes on"
        raise self._tries.given_up(what, error, then) from error
