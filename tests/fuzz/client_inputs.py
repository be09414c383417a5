"""Targets: documents and messages that the client reads from a server."""

from collections.abc import Mapping
from typing import Any

from shellstream.client.errors import ContractViolation, ServerError
from shellstream.client.events import CommandInfo, CommandList, RunInfo, RunPage
from shellstream.client.transport.documents import check_status, parse
from tests.fuzz.byte_source import ByteSource

_URL = "http://server.test:8000/x"
_TYPES = (
    *("application/problem+json", "text/plain", "text/html; charset=utf-8", "x/y"),
    "",
)


def document(data: bytes) -> None:
    """A document is what it should be, or a violation that is told in one line."""
    source = ByteSource(data)
    kinds: tuple[type[Any], ...] = (RunInfo, RunPage, CommandInfo, CommandList)
    try:
        found = parse(source.rest(), source.one_of(kinds), _URL)
    except ContractViolation as violation:
        assert str(violation).isprintable()
        assert len(str(violation)) < 1000, violation
    else:
        assert isinstance(found, dict)


class _Response:
    """A response with any status, headers and body."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.phrase = status, headers["phrase"]
        self.headers, self._body = headers, body

    async def read(self, timeout: float | None = None) -> bytes:
        body, self._body = self._body, b""
        return body

    def close(self) -> None:
        """Nothing is open."""


def refusal(data: bytes) -> None:
    """A refusal is told in one line of bounded length, whatever it is."""
    source = ByteSource(data)
    status = 300 + source.number(300)
    headers = {
        "content-type": source.one_of(_TYPES),
        "phrase": source.some().decode("latin-1"),
        "location": source.some().decode("latin-1"),
    }
    checking = check_status(_URL, _Response(status, headers, source.rest()))
    try:
        checking.send(None)  # nothing in it has to wait
    except ServerError as error:
        assert str(error).isprintable(), error
        assert len(str(error)) < 10_000, error
    else:
        raise AssertionError(status)
