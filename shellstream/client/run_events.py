"""The events of all runs, over as many connections as it takes."""

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, NamedTuple

from shellstream.client.transport.documents import (
    MAX_DOCUMENT,
    parse,
    resolve_references,
)
from shellstream.programs import typed

from .errors import ContractViolation, CutShort, ServerError
from .events import RunEvent, RunEventInfo
from .follow import SILENCE
from .retry import RETRYABLE, RetryPolicy, is_temporary

if TYPE_CHECKING:
    from shellstream.client.transport.documents import ServerApi
    from shellstream.client.transport.wire import Response


class ServerSentEvent(NamedTuple):
    """
    An event of a C{text/event-stream}.

    @ivar id: where to go on after it.
    """

    name: str
    id: str | None
    data: str


class SseDecoder:
    """
    Decodes what a shellstream server sends of server-sent events (WHATWG HTML, 9.2):
    lines end with a line feed, and an event has one line of data.

    @ivar last_id: the id to go on after, or L{None}.
    """

    def __init__(self) -> None:
        self.last_id: str | None = None
        self._rest = b""
        self._name = self._data = ""

    def feed(self, data: bytes) -> Iterator[ServerSentEvent]:
        """
        The events that some more bytes complete.

        @raise ValueError: if they are too long, or no UTF-8.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_DOCUMENT:
            raise ValueError("an event is too long")
        for line in lines:
            field, _, value = line.decode().partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                self._name = value
            elif field == "data":
                self._data = value
            elif field == "id":
                self.last_id = value
            elif not line:
                name, found = self._name, self._data
                self._name = self._data = ""
                if found:
                    yield ServerSentEvent(name, self.last_id, found)


async def run_events(api: "ServerApi", retry: RetryPolicy) -> AsyncIterator[RunEvent]:
    """Iterate over what happens to runs from now on, without an end."""
    last: str | None = None
    while True:
        headers = {"accept": "text/event-stream"}
        if last is not None:
            headers["last-event-id"] = last
        try:
            response = await api.request("GET", "/events", headers)
            retry.connected()
            async for event in _read(api, response):
                # Its first line has an id, and tells that this is the right server.
                last = event.id
                if event.data:
                    retry.succeeded()
                    yield _parse(event, f"{api.url}/events")
            error: ServerError = CutShort(api.url, "the stream ended")
        except RETRYABLE as caught:
            error = caught
            if last is None or not is_temporary(error):
                raise
        how = f"{typed('shellstream')} ps --all lists the runs"
        await retry.wait(error, "the events", how)


async def _read(
    api: "ServerApi", response: "Response"
) -> AsyncIterator[ServerSentEvent]:
    """The events of one connection, and each place that has none as an empty one."""
    decoder, known = SseDecoder(), None
    try:
        while data := await response.read(SILENCE):
            try:
                for event in decoder.feed(data):
                    known = event.id
                    yield event
            except ValueError as error:
                raise ContractViolation(f"{api.url}/events", str(error)) from error
            if decoder.last_id != known:
                known = decoder.last_id
                yield ServerSentEvent("", known, "")
    finally:
        response.close()


def _parse(event: ServerSentEvent, url: str) -> RunEvent:
    if event.name == "gap":
        return RunEvent("gap", None)
    found = parse(event.data.encode(), RunEventInfo, url)
    resolve_references(found["run"], url)
    return RunEvent(found["event"], found["run"])
