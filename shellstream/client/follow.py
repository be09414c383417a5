"""Follows a run's output to its end, over as many connections as it takes."""

import re
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from shellstream.client.transport.documents import run_path
from shellstream.programs import typed

from .decode import DecodeError, FrameDecoder, NdjsonDecoder
from .errors import (
    ContractViolation,
    CutShort,
    NoResponse,
    ServerError,
    TooMuchOutput,
)
from .events import Begun, End, Event, Gap, Output, Result, RunInfo
from .retry import RETRYABLE, is_temporary

if TYPE_CHECKING:
    from shellstream.client.transport.documents import ServerApi
    from shellstream.client.transport.wire import Response

    from .retry import RetryPolicy

#: Seconds of silence after which a connection counts as broken. The server sends at
#: least a ping every 15; two may be late.
SILENCE = 45.0


#: What the id of a run may look like; it is shown, and part of paths.
_RUN_ID = re.compile(r"[A-Za-z0-9._~-]{1,100}")

#: The most output that is held for a caller, in bytes: as much as a daemon keeps of a
#: run by default.
MOST_COLLECTED = 64 << 20


class View(NamedTuple):
    """
    Which part of a run's output to ask for, and how.

    @ivar offset: of the first byte.
    @ivar tail: begin with this many last lines instead.
    @ivar only: C{"stdout"} or C{"stderr"}.
    @ivar follow: L{False} for only the output until now.
    @ivar lossless: let the command wait for us rather than miss a byte.
    @ivar timed: let each L{Output} have its time.
    """

    offset: int = 0
    tail: int | None = None
    only: str | None = None
    follow: bool = True
    lossless: bool = False
    timed: bool = False

    @property
    def accept(self) -> str:
        """The media type to ask for: only NDJSON has times."""
        kind = "x-ndjson" if self.timed else "vnd.shellstream.frames"
        return f"application/{kind}"

    @property
    def query(self) -> str:
        """The query of the URL to ask."""
        given = {
            "tail": self.tail,
            "offset": self.offset if self.tail is None else None,
            "stream": self.only,
            "follow": None if self.follow else "false",
            "lossless": "true" if self.lossless else None,
        }
        return urlencode({k: v for k, v in given.items() if v is not None})


class Following:
    """
    An async iterator of L{Event}s that ends after the run's L{End}, or raises.

    When it ends, the caller has had every byte except those that a L{Gap} names. A
    connection that is cut is replaced by another one that starts at the next byte.

    Use it in C{async with}, or C{close} it: a connection that is not read makes the
    command wait.

    @ivar run: the run's id, once it is known.
    @ivar offset: of the next byte; L{None} until it is known.
    @ivar end: how the run ended, once that is known.
    """

    def __init__(
        self,
        view: View,
        *,
        api: "ServerApi",
        retry: "RetryPolicy",
        run: str | None = None,
        begin: "Callable[[], Awaitable[Response]] | None" = None,
    ) -> None:
        """@param begin: starts a run, if there is no C{run} yet; idempotent."""
        self.run = run
        self.offset = None if view.tail is not None or run is None else view.offset
        self.end: End | None = None
        self._view = view
        self._begin = begin
        self._api = api
        self._retry = retry
        self._pending: deque[Event] = deque()
        self._response: Response | None = None
        self._decoder: FrameDecoder | NdjsonDecoder | None = None
        # Whether the server may have received a request of ours, so that it is worth
        # waiting for. For a start it tells whether an earlier try may have begun a run.
        self._requested = api.has_answered and run is not None
        self._size_at_start: int | None = None
        self._finished = False

    def __aiter__(self) -> "Following":
        return self

    async def __anext__(self) -> Event:
        while not self._pending:
            if self._finished:
                raise StopAsyncIteration
            if self._response is None:
                await self._connect()
            else:
                await self._read(self._response)
        return self._pending.popleft()

    async def __aenter__(self) -> "Following":
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()

    async def collect(
        self, most: int = MOST_COLLECTED, *, whole: bool = True
    ) -> Result:
        """
        Wait for the end, and return all output at once.

        @param most: the most bytes of output to hold.
        @param whole: L{False} to have what there is of the output, if not all of it:
            C{truncated} of the result tells.
        @raise TooMuchOutput: if there are more.
        @raise CutShort: if the server does not have all of them any more.
        """
        found = {"stdout": bytearray(), "stderr": bytearray()}
        truncated = False
        async with self:
            async for event in self:
                if isinstance(event, Gap):
                    truncated = True
                if isinstance(event, Gap) and whole:
                    why = f"{event.end - event.offset} bytes are not kept any more"
                    raise CutShort(f"run {self.run}", why)
                if isinstance(event, Output):
                    left = most - sum(map(len, found.values()))
                    if len(event.data) > left and whole:
                        raise TooMuchOutput(self.run or "", most)
                    truncated = truncated or len(event.data) > left
                    found[event.stream] += event.data[:left]
        assert self.run is not None
        assert self.end is not None, "without follow there is no end"
        out, err = found.values()
        return Result(self.run, bytes(out), bytes(err), self.end, truncated)

    def close(self) -> None:
        """Disconnect, and end the iteration. Harmless when repeated."""
        self._finished = True
        self._disconnect()

    def _disconnect(self) -> None:
        if self._response is not None:
            self._response.close()
        self._response = self._decoder = None

    async def _connect(self) -> None:
        try:
            response = await self._request()
        except RETRYABLE as error:
            # A server that was never reached is not waited for: its address may be
            # wrong.
            reached = isinstance(error, NoResponse | CutShort)
            if not (is_temporary(error) and (self._requested or reached)):
                raise
            self._requested = True
            await self._wait(error)
            return
        self._requested = True
        if self._finished:  # closed meanwhile
            response.close()
            return
        kind = NdjsonDecoder if self._view.timed else FrameDecoder
        self._retry.connected()
        self._response = response
        self._decoder = kind(self.offset, partial=self._view.only is not None)

    async def _request(self) -> "Response":
        if self.run is None:
            assert self._begin is not None
            repeated = self._requested
            response = await self._begin()
            self.run, self.offset = self._run_of(response), 0
            if not repeated:
                return response
            # The run began with the lost request, and the server may have dropped
            # output since; it tells so only if it is asked for the first byte.
            response.close()
        view = self._view
        if self.offset is not None:
            view = view._replace(offset=self.offset, tail=None)
        # Without follow there is no end record; only the size tells a cut response
        # from a whole one.
        if not view.follow and self._size_at_start is None:
            state = await self._api.call("GET", run_path(self.run), RunInfo)
            self._size_at_start = state["size"]
        path = f"{run_path(self.run)}/output?{view.query}"
        response = await self._api.request("GET", path, {"accept": view.accept})
        self._run_of(response)
        return response

    def _run_of(self, response: "Response") -> str:
        """
        The run whose output a response is. The decoders do not tell output from a short
        page of another server: that looks like the first bytes of it.

        @raise ContractViolation: if there is none.
        """
        found = response.headers.get("shellstream-run", "")
        if _RUN_ID.fullmatch(found):
            return found
        response.close()
        why = "it does not name a run; is this a shellstream server?"
        raise ContractViolation(self._api.url, why)

    async def _read(self, response: "Response") -> None:
        assert self._decoder is not None
        try:
            data = await response.read(SILENCE)
        except CutShort as error:
            self._disconnect()
            await self._wait(error)
            return
        if self._finished:
            return
        if not data:
            self._disconnect()
            if self._view.follow or (self.offset or 0) < (self._size_at_start or 0):
                await self._wait(CutShort(f"run {self.run}", "no end record"))
            else:
                self._finished = True
            return
        try:
            events = self._decoder.feed(data)
        except DecodeError as error:
            self._disconnect()
            raise ContractViolation(f"run {self.run}", str(error)) from error
        self.offset = self._decoder.offset
        # A connection that only greets may be cut for ever, and again at once.
        if not all(isinstance(event, Begun) for event in events):
            self._retry.succeeded()
        for event in events:
            self._handle(event)

    def _handle(self, event: Event) -> None:
        if isinstance(event, Begun) and self.run not in (None, event.run):
            raise ContractViolation(
                f"run {self.run}", f"this is the output of run {event.run}"
            )
        if isinstance(event, Output) and self._view.only not in (None, event.stream):
            raise ContractViolation(
                f"run {self.run}", f"{event.stream} was not asked for"
            )
        if isinstance(event, End):
            self.end = event
            self._finished = True
            self._disconnect()
        self._pending.append(event)

    async def _wait(self, error: ServerError) -> None:
        """Wait until it is time to try again."""
        if self.run is None:
            what, advice = "the request", "it is unknown whether it started a run"
        else:
            what = f"run {self.run}"
            attach = f"{typed('shellstream')} attach {self.run}"
            advice = f"{attach} --from {self.offset or 0} resumes"
        await self._retry.wait(error, what, advice)
